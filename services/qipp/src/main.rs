//! The entry point: reads the command line, runs the verb, ends with an exit code that means something.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    qipp::cli::main()
}
