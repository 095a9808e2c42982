//! The measurements work: a tiny nation, without the competitors. No figure of it means anything, but each has to be there.

use std::path::Path;
use std::process::Command;

use clap::Args as _;
use qipp_bench::parts::RunArgs;
use qipp_bench::results::{Results, Row};

/// What each part has to say at least.
const FIGURES: [(&str, &str); 11] = [
    ("submit", "durable returns"),
    ("fold", "folded"),
    ("rebuild", "peak memory"),
    ("query", "p99"),
    ("alerts", "p99"),
    ("evaluate", "all rules, every organisation, one core"),
    ("start", "ready after"),
    ("disk", "all"),
    ("growth", "roll-up, p50"),
    ("kafka", "ready after"),
    ("kafka", "durable returns"),
];

#[test]
fn a_quick_run_measures_every_part() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("results.jsonl");
    let run = Command::new(env!("CARGO_BIN_EXE_qipp-bench"))
        .args([
            "run",
            "--quick",
            "--qipp",
            env!("CARGO_BIN_EXE_qipp-under-bench"),
        ])
        .arg("--work")
        .arg(folder.path().join("work"))
        .arg("--out")
        .arg(&out)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{told}");
    let rows = Results::read(&out).unwrap();
    for (part, metric) in FIGURES {
        let of = |row: &&Row| row.part == part && row.metric == metric;
        let found: Vec<&Row> = rows.iter().filter(of).collect();
        assert!(!found.is_empty(), "no {metric} of {part}: {told}");
        assert!(found.iter().all(|row| row.value > 0.0), "{found:?}");
    }
    let refused = rows.iter().filter(|row| row.metric == "not accepted");
    assert_eq!(refused.map(|row| row.value).sum::<f64>(), 0.0, "{told}");
    let report = String::from_utf8_lossy(&run.stdout);
    assert!(report.contains("## Durable submissions"), "{report}");
}

#[test]
fn the_help_of_the_command_names_every_option_and_needs_nothing_built() {
    let run = Path::new(env!("CARGO_MANIFEST_DIR")).join("run");
    let help = Command::new("bash")
        .arg(run)
        .arg("--help")
        // Where no toolchain is, nothing can be built.
        .env("PATH", "/usr/bin:/bin")
        .output()
        .unwrap();
    assert!(help.status.success(), "{help:?}");
    let help = String::from_utf8(help.stdout).unwrap();
    let options = RunArgs::augment_args(clap::Command::new("run"));
    // The command sets these itself.
    let own = ["postgres", "python", "work"];
    for name in options.get_arguments().filter_map(clap::Arg::get_long) {
        let told = help.contains(&format!("--{name} "));
        assert!(told || own.contains(&name), "--{name}: {help}");
    }
}
