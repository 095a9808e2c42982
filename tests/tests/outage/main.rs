//! Every kind of failure once, with real processes and real brokers. The long run is a command: `cargo run --release -p qipp-tests --bin
//! qipp-outage -- --failures 200`.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "in a test a failed expectation is a failed test, and it says what to replay"
)]

use qipp_tests::outage::{Kind, Settings, run};
use qipp_tests::survive::process::Binary;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kind_of_failure_loses_doubles_and_changes_nothing() {
    let histories = tempfile::tempdir().unwrap();
    let settings = Settings {
        binary: Binary::new(env!("CARGO_BIN_EXE_qipp-under-test")),
        seed: u64::from(rand::random::<u32>()),
        failures: Kind::ALL.len(),
        kinds: Kind::ALL.to_vec(),
        histories: histories.path().to_owned(),
    };
    eprintln!("seed {}", settings.seed);
    let ran = run(&settings, |failure| eprintln!("{failure:?}")).await;
    let report = ran.unwrap_or_else(|broken| {
        let kept = histories.keep();
        panic!(
            "{broken}\nhistories: {}\nreplay: cargo run -p qipp-tests --bin qipp-outage -- --seed {} --failures {}",
            kept.display(),
            settings.seed,
            settings.failures
        )
    });
    assert!(report.kinds().values().all(|count| *count == 1) && report.kinds().len() == 8);
    assert!(
        report.accepted > 1_000 && report.unanswered > 0,
        "{report:?}"
    );
    assert!(
        report.digests == 16 && report.events > 5 && report.epochs > 1,
        "{report:?}"
    );
}
