//! The entry point: reads the command line, runs the verb, ends with an exit code that means something.

fn main() -> std::process::ExitCode {
    qipp::cli::main()
}
