//! Every target on its corpus and on some thousand mutations of it. `QIPP_FUZZ_SEED` and `QIPP_FUZZ_RUNS` change the seed and the number.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test")]

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use qipp_hostile::{Mutator, TARGETS, Target};

/// Mutations for each target when nothing else is asked for.
const RUNS: u64 = 8_000;

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz")
}

fn number(name: &str, usual: u64) -> u64 {
    std::env::var(name).map_or(usual, |text| text.parse().expect("a number"))
}

fn corpus(target: &Target) -> Vec<(String, Vec<u8>)> {
    let folder = fuzz().join("corpus").join(target.name);
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{} has no corpus", target.name);
    let read = |path: PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        (name, std::fs::read(path).unwrap())
    };
    files.into_iter().map(read).collect()
}

/// Runs one input and says how to get it again when something does not hold; what does not is on standard error.
fn hold(target: &Target, which: &str, input: &[u8]) -> Result<(), String> {
    catch_unwind(AssertUnwindSafe(|| (target.run)(input))).map_err(|_| {
        let name = target.name;
        format!(
            "{name}: {which} does not hold; the input: b\"{}\"",
            input.escape_ascii()
        )
    })
}

/// The corpus, then mutations of it, up to the first that does not hold.
fn run(target: &Target, seed: u64, runs: u64) -> Result<(), String> {
    let corpus = corpus(target);
    for (name, input) in &corpus {
        hold(target, name, input)?;
    }
    let inputs: Vec<Vec<u8>> = corpus.into_iter().map(|(_, input)| input).collect();
    let mut mutator = Mutator::new(seed, &inputs, target.words);
    (0..runs).try_for_each(|run| {
        let input = mutator.next_input();
        hold(target, &format!("run {run} of seed {seed}"), &input)
    })
}

#[test]
fn nothing_that_a_stranger_sends_breaks_a_promise() {
    let (seed, runs) = (number("QIPP_FUZZ_SEED", 1), number("QIPP_FUZZ_RUNS", RUNS));
    eprintln!("QIPP_FUZZ_SEED={seed} QIPP_FUZZ_RUNS={runs}");
    let next = AtomicUsize::new(0);
    let broken = Mutex::new(Vec::new());
    let work = || {
        while let Some(target) = TARGETS.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Err(what) = run(target, seed, runs) {
                broken.lock().unwrap().push(what);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    let broken = broken.into_inner().unwrap();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn every_target_is_a_target_of_cargo_fuzz_and_has_a_corpus() {
    let names: BTreeSet<String> = TARGETS
        .iter()
        .map(|target| target.name.to_owned())
        .collect();
    let files = |folder: &str| -> BTreeSet<String> {
        std::fs::read_dir(fuzz().join(folder))
            .unwrap()
            .map(|entry| {
                entry
                    .unwrap()
                    .path()
                    .file_stem()
                    .unwrap()
                    .to_string_lossy()
                    .into_owned()
            })
            .collect()
    };
    assert_eq!(files("fuzz_targets"), names);
    assert_eq!(files("corpus"), names);
    let manifest = std::fs::read_to_string(fuzz().join("Cargo.toml")).unwrap();
    for name in &names {
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
    }
}
