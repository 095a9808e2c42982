//! The service as the smoke test starts it: the same `main` as that of `qipp`, built together with the test.

fn main() -> std::process::ExitCode {
    qipp::cli::main()
}
