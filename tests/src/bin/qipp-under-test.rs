//! The binary as the scenarios start it: the same `main` as that of `qipp`. Cargo builds it together with the tests of this package, so that
//! it is never an old one, and with the very dependencies that they have.

fn main() -> std::process::ExitCode {
    qipp::cli::main()
}
