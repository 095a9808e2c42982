//! Kills `qipp serve` again and again under load, and checks that nothing acknowledged is ever lost, doubled or changed.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line tool prints"
)]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use qipp_tests::survive::process::Binary;
use qipp_tests::survive::{Report, Settings, run};

/// Set for the children of this program: they are `qipp`, the same `main` as that of the binary.
const AS_QIPP: &str = "SURVIVE_AS_QIPP";

/// Kill `qipp serve` under load, start it again, and check by a model that nothing acknowledged is lost, doubled or changed.
#[derive(Debug, Parser)]
struct Arguments {
    /// How many times to kill.
    #[arg(long, default_value_t = 50)]
    kills: u64,
    /// Replay: the same load and the same aims. A seed of its own is chosen, and printed, when none is given.
    #[arg(long)]
    seed: Option<u64>,
    /// The binary to kill. This program holds the same code, and calls itself, when none is given.
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
    /// Where the histories of the episodes go, every attempt a line.
    #[arg(long, value_name = "FOLDER")]
    histories: Option<PathBuf>,
}

fn main() -> ExitCode {
    if std::env::var_os(AS_QIPP).is_some() {
        return qipp::cli::main();
    }
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    match runtime {
        Ok(runtime) => runtime.block_on(survive(arguments)),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn survive(arguments: Arguments) -> ExitCode {
    let binary = match arguments.binary {
        Some(program) => Binary::new(program),
        None => match std::env::current_exe() {
            Ok(own) => Binary {
                program: own,
                variables: vec![(AS_QIPP.into(), "1".into())],
            },
            Err(error) => {
                eprintln!(
                    "error: this program does not find itself ({error}): name a binary with --binary"
                );
                return ExitCode::FAILURE;
            }
        },
    };
    let settings = Settings {
        binary,
        seed: arguments
            .seed
            .unwrap_or_else(|| u64::from(rand::random::<u32>())),
        kills: arguments.kills,
        histories: arguments
            .histories
            .unwrap_or_else(|| std::env::temp_dir().join("qipp-survive")),
    };
    println!(
        "seed {} (replay: --seed {} --kills {}), histories in {}",
        settings.seed,
        settings.seed,
        settings.kills,
        settings.histories.display()
    );
    let began = Instant::now();
    let told =
        |report: &Report| println!("{:6.1} s  {}", began.elapsed().as_secs_f64(), line(report));
    match run(&settings, told).await {
        Ok(report) => {
            println!(
                "HOLDS after {:.1} s: {}",
                began.elapsed().as_secs_f64(),
                line(&report)
            );
            ExitCode::SUCCESS
        }
        Err(broken) => {
            println!("BROKEN: {broken}");
            ExitCode::FAILURE
        }
    }
}

fn line(report: &Report) -> String {
    format!(
        "{} kills ({} while starting, {} at a checkpoint), {} SIGTERMs, {} episodes; {} attempts, {} without an answer, {} accepted; {} digests and {} alert events compared",
        report.kills,
        report.starting,
        report.checkpointing,
        report.terminated,
        report.episodes,
        report.attempts,
        report.unanswered,
        report.accepted,
        report.digests,
        report.events
    )
}
