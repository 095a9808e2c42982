//! A house that is killed fifty times under load. The long run is a command: `cargo run --release -p qipp-tests --bin qipp-survive`.

use qipp_tests::survive::process::Binary;
use qipp_tests::survive::{Settings, run};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_kills_under_load_lose_double_and_change_nothing() {
    let histories = tempfile::tempdir().unwrap();
    let settings = Settings {
        binary: Binary::new(env!("CARGO_BIN_EXE_qipp-under-test")),
        seed: u64::from(rand::random::<u32>()),
        kills: 50,
        histories: histories.path().to_owned(),
    };
    eprintln!("seed {}", settings.seed);
    let ran = run(&settings, |report| eprintln!("{report:?}")).await;
    let report = ran.unwrap_or_else(|broken| {
        let kept = histories.keep();
        panic!("{broken}\nhistories: {}\nreplay: cargo run -p qipp-tests --bin qipp-survive -- --seed {} --kills 50", kept.display(), settings.seed)
    });
    assert_eq!(report.kills, 50);
    assert!(
        report.accepted > 1_000 && report.unanswered > 0 && report.starting > 0,
        "{report:?}"
    );
    assert!(report.digests > 10 && report.events > 5, "{report:?}");
}
