//! Lets processes and brokers fail again and again under load, and checks that nothing acknowledged is ever lost, doubled or changed.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line tool prints"
)]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use qipp_tests::outage::{Failure, Kind, Report, Settings, run};
use qipp_tests::survive::process::Binary;

/// Set for the children of this program: they are `qipp`, the same `main` as that of the binary.
const AS_QIPP: &str = "OUTAGE_AS_QIPP";

const MORE: &str = "\
Three brokers of Apache Kafka and three processes of qipp are started on loopback (Java 17 or later and, for the first time, Maven are needed).
Clients send returns of a small nation through all processes while failures come, one after the other. After each failure everything is looked
at: the answers of every replica, their digests beside a fresh fold of the log, and the alerts beside those of an undisturbed run.

    qipp-outage --failures 200
    qipp-outage --failures 20 --seed 7                                   the same load, failures, victims and moments as before
    qipp-outage --failures 10 --kinds pause-service,cut-service          only these

Everything sent, answered and done is in the histories, a line of JSON each. When something is wrong, they are named together with the data
of the processes and the logs of the brokers, and the exit code is 1. When the run ends, however it ends, nothing runs on.

A disk that is full is another matter, because brokers have theirs: `cargo test -p qipp-tests --test survive disk` fills that of the embedded log.";

/// Let processes and brokers fail under load, and check by a model that nothing acknowledged is lost, doubled or changed.
#[derive(Debug, Parser)]
#[command(after_help = MORE)]
struct Arguments {
    /// How many failures.
    #[arg(long, default_value_t = 50)]
    failures: usize,
    /// Replay: the same load, failures and victims. A seed of its own is chosen, and printed, when none is given.
    #[arg(long)]
    seed: Option<u64>,
    /// Which kinds of failures; they take turns. All, when none is named.
    #[arg(long, value_delimiter = ',', value_name = "KIND,…")]
    kinds: Vec<Kind>,
    /// The binary that serves. This program holds the same code, and calls itself, when none is given.
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
    /// Where the histories go, a file a nation.
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
    let settings = settings(arguments);
    match (runtime, settings) {
        (Ok(runtime), Ok(settings)) => runtime.block_on(outage(&settings)),
        (Err(error), _) => failed(&error.to_string()),
        (_, Err(error)) => failed(&error),
    }
}

fn failed(why: &str) -> ExitCode {
    eprintln!("error: {why}");
    ExitCode::FAILURE
}

fn settings(arguments: Arguments) -> Result<Settings, String> {
    let binary = match arguments.binary {
        Some(program) => Binary::new(program),
        None => Binary {
            program: std::env::current_exe().map_err(|error| {
                format!("this program does not find itself ({error}): name a binary with --binary")
            })?,
            variables: vec![(AS_QIPP.into(), "1".into())],
        },
    };
    let kinds = match arguments.kinds {
        none if none.is_empty() => Kind::ALL.to_vec(),
        named => named,
    };
    let histories = arguments.histories;
    Ok(Settings {
        binary,
        seed: arguments
            .seed
            .unwrap_or_else(|| u64::from(rand::random::<u32>())),
        failures: arguments.failures,
        kinds,
        histories: histories.unwrap_or_else(|| std::env::temp_dir().join("qipp-outage")),
    })
}

async fn outage(settings: &Settings) -> ExitCode {
    let kinds: Vec<String> = settings.kinds.iter().map(Kind::to_string).collect();
    println!(
        "seed {} (replay: --seed {} --failures {} --kinds {}), histories in {}",
        settings.seed,
        settings.seed,
        settings.failures,
        kinds.join(","),
        settings.histories.display()
    );
    let began = Instant::now();
    let told = |failure: &Failure| {
        println!("{:7.1} s  {}", began.elapsed().as_secs_f64(), line(failure));
    };
    let ran = tokio::select! {
        ran = run(settings, told) => ran,
        // What runs ends with what was waited for.
        _ = tokio::signal::ctrl_c() => {
            println!("interrupted");
            return ExitCode::from(130);
        }
    };
    match ran {
        Ok(report) => {
            println!("HOLDS after {:.1} s", began.elapsed().as_secs_f64());
            summary(&report);
            ExitCode::SUCCESS
        }
        Err(broken) => {
            println!("BROKEN: {broken}");
            ExitCode::FAILURE
        }
    }
}

fn line(failure: &Failure) -> String {
    let take_over = failure.take_over.map_or_else(String::new, |took| {
        format!(", taken over after {}", seconds(took))
    });
    format!(
        "{:3} {} ({}) after {} answers{take_over}; in service again after {}, longest wait for an answer {}, all in {}",
        failure.number,
        failure.kind,
        failure.victim,
        failure.after,
        seconds(failure.recovery),
        seconds(failure.longest_wait),
        seconds(failure.took)
    )
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

fn summary(report: &Report) {
    for (kind, count) in report.kinds() {
        println!("{count:5} × {kind}");
    }
    println!(
        "take-over of the evaluator: {}",
        spread(&report.take_overs())
    );
    println!("in service again: {}", spread(&report.recoveries()));
    println!("longest wait for an answer: {}", spread(&report.waits()));
    println!(
        "{} nations; {} attempts, {} without an answer, {} accepted; {} digests equal to a fresh fold; {} alert events as undisturbed, {} records superseded, {} returns written again without effect, {} tenures",
        report.nations,
        report.attempts,
        report.unanswered,
        report.accepted,
        report.digests,
        report.events,
        report.superseded,
        report.copies,
        report.epochs
    );
}

fn spread(sorted: &[Duration]) -> String {
    match sorted.last() {
        None => "none".to_owned(),
        Some(longest) => format!(
            "{} times, half within {}, longest {}",
            sorted.len(),
            seconds(sorted[sorted.len() / 2]),
            seconds(*longest)
        ),
    }
}
