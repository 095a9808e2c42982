//! Folding: from the history to everything that is derived from it; how that compares with reading alone; what it takes on disk.
//!
//! Ours: a fresh process folds an embedded log that was filled before, and is measured from the first record to the last, without the
//! time of opening. PostgreSQL: from the history tables, which are loaded, to the current figures with their indexes and the roll-ups.
//! DuckDB: the same two steps from a table of its own.

use std::path::Path;
use std::time::{Duration, Instant};

use qipp_eventlog::Topic;
use qipp_projection::{Follower, FollowerConfig, StoreConfig, domain_cut, fold_to};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::fill::{Filled, filled, open};
use crate::nation::Nation;
use crate::parts::{Bench, duckdb, postgres};
use crate::process::{fresh, memory, peak_memory};
use crate::results::Side;

/// Records read at a time.
const PAGE: usize = 1024;
/// The core that a process is held on, when it may have one only.
const CORE: Option<u32> = Some(0);

/// What a process of its own says about a fold.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Folded {
    /// Opening and verifying the log.
    pub opened: f64,
    /// Folding all of it, seconds.
    pub seconds: f64,
    /// Evaluating every organisation, seconds; 0: not asked for.
    pub evaluated: f64,
    /// Findings of that.
    pub findings: u64,
    /// Most memory that was ever resident, bytes.
    pub peak: u64,
    /// Memory that is resident at the end, bytes.
    pub resident: u64,
    /// Values in the current revisions, to be held against what was filled.
    pub values: u64,
}

/// What a process of its own says about reading.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Read {
    /// Reading all of it, seconds.
    pub seconds: f64,
    /// Bytes of the payloads.
    pub bytes: u64,
    /// Records.
    pub records: u64,
}

/// Folds in this process.
pub async fn fold_here(data: &Path, to_cut: bool, evaluate: bool) -> anyhow::Result<Folded> {
    let begun = Instant::now();
    let log = open(data)?;
    let opened = begun.elapsed().as_secs_f64();
    let me = std::process::id();
    let begun = Instant::now();
    if to_cut || evaluate {
        let cut = domain_cut(&log.head());
        let (nation, parked) = fold_to(&*log, qipp::serve::decode, &cut).await?;
        let seconds = begun.elapsed().as_secs_f64();
        anyhow::ensure!(
            parked.is_empty(),
            "facts could not be digested: {:?}",
            parked[0]
        );
        let begun = Instant::now();
        let (mut evaluated, mut findings) = (0.0, 0);
        if evaluate {
            // The tenth working day after the last month of any history: a day is an input of the rules.
            let today = jiff::civil::Date::constant(2015, 4, 20);
            let moment = qipp_rules::Moment::at(&nation, cut, today);
            for (org, _) in nation.ledgers() {
                let all = qipp_rules::evaluate_organisation(&moment.context(&nation), org);
                findings += all.iter().filter(|one| one.finding.is_some()).count() as u64;
            }
            evaluated = begun.elapsed().as_secs_f64();
        }
        return Ok(Folded {
            opened,
            seconds,
            evaluated,
            findings,
            peak: peak_memory(me),
            resident: memory(me),
            values: nation.counts().values,
        });
    }
    let shutdown = CancellationToken::new();
    let config = FollowerConfig::new(StoreConfig::Memory, qipp::serve::decode);
    let follower = Follower::start(log, config, shutdown).await?;
    follower.caught_up().await?;
    let seconds = begun.elapsed().as_secs_f64();
    let (peak, resident) = (peak_memory(me), memory(me));
    anyhow::ensure!(follower.parked().is_empty(), "facts could not be digested");
    let values = follower.view().counts().values;
    Ok(Folded {
        opened,
        seconds,
        evaluated: 0.0,
        findings: 0,
        peak,
        resident,
        values,
    })
}

/// Reads in this process.
pub async fn read_here(data: &Path) -> anyhow::Result<Read> {
    let log = open(data)?;
    let begun = Instant::now();
    let (mut bytes, mut records) = (0, 0);
    for partition in 0..log.layout().partitions(Topic::Returns) {
        let mut from = 0;
        loop {
            let page = log.read(Topic::Returns, partition, from, PAGE).await?;
            let Some(last) = page.last() else { break };
            from = last.position.offset + 1;
            records += page.len() as u64;
            bytes += page
                .iter()
                .map(|record| record.payload.len() as u64)
                .sum::<u64>();
        }
    }
    Ok(Read {
        seconds: begun.elapsed().as_secs_f64(),
        bytes,
        records,
    })
}

/// Folds in a fresh process.
pub async fn folded(data: &Path, flags: &[&str], core: Option<u32>) -> anyhow::Result<Folded> {
    let mut arguments = vec!["fold".to_owned(), format!("--data={}", data.display())];
    arguments.extend(flags.iter().map(|flag| (*flag).to_owned()));
    Ok(serde_json::from_value(
        fresh(&arguments, None, core).await?,
    )?)
}

/// Reads in a fresh process.
async fn read(data: &Path, core: Option<u32>) -> anyhow::Result<Read> {
    let arguments = ["read".to_owned(), format!("--data={}", data.display())];
    Ok(serde_json::from_value(
        fresh(&arguments, None, core).await?,
    )?)
}

/// Measures all sides.
pub async fn measure(bench: &Bench) -> anyhow::Result<()> {
    let nation = bench.nation(bench.args.orgs);
    let (data, filled) = filled(&bench.work, nation).await?;
    ours(bench, nation, &data, &filled).await?;
    if let Some(client) = postgres(bench).await? {
        theirs(bench, nation, &filled, &client).await?;
    }
    duckdb(bench, nation).await
}

async fn ours(bench: &Bench, nation: Nation, data: &Path, filled: &Filled) -> anyhow::Result<()> {
    let name = nation.name();
    let one_core = bench
        .results
        .of("fold", &format!("{name}, one core"), Side::Qipp);
    let read = read(data, CORE).await?;
    let on_one = folded(data, &[], CORE).await?;
    check(nation, &on_one)?;
    one_core.told("values and lines in the log", "", filled.all())?;
    one_core.told("opened and verified", "s", on_one.opened)?;
    one_core.told("bare read", "values/s", filled.all() / read.seconds)?;
    one_core.told(
        "bare read",
        "MB/s of payload",
        read.bytes as f64 / 1e6 / read.seconds,
    )?;
    one_core.more("folded", "values/s", filled.all() / on_one.seconds)?;
    one_core.told(
        "share of the bare read",
        "%",
        100.0 * read.seconds / on_one.seconds,
    )?;
    one_core.told(
        "peak memory",
        "MiB",
        on_one.peak as f64 / f64::from(1 << 20),
    )?;
    let to_cut = folded(data, &["--to-cut"], CORE).await?;
    one_core.told("folded to a cut", "values/s", filled.all() / to_cut.seconds)?;
    let all_cores = bench
        .results
        .of("fold", &format!("{name}, all cores"), Side::Qipp);
    let free = folded(data, &[], None).await?;
    all_cores.more("folded", "values/s", filled.all() / free.seconds)?;
    all_cores.less("history to answers", "s", free.seconds)?;
    let disk = bench.results.of("disk", &name, Side::Qipp);
    disk.less("all", "bytes/value", filled.bytes as f64 / filled.all())?;
    disk.told("payload", "bytes/value", read.bytes as f64 / filled.all())?;
    disk.told("appended", "values/s", filled.all() / filled.seconds)
}

/// A fold that lost something would be fast.
fn check(nation: Nation, folded: &Folded) -> anyhow::Result<()> {
    let lines =
        u64::from(nation.orgs) * u64::from(nation.months) * u64::from(crate::nation::SCHEMES);
    let values = u64::from(nation.orgs) * u64::from(nation.months) * u64::from(nation.markers);
    anyhow::ensure!(
        folded.values == values + lines,
        "folded {} current values, and {} were sent",
        folded.values,
        values + lines
    );
    Ok(())
}

async fn theirs(
    bench: &Bench,
    nation: Nation,
    filled: &Filled,
    client: &tokio_postgres::Client,
) -> anyhow::Result<()> {
    let steps = crate::postgres::load(client, nation).await?;
    let seconds = |step: Duration| step.as_secs_f64();
    let name = nation.name();
    let case = bench
        .results
        .of("fold", &format!("{name}, all cores"), Side::Postgresql);
    case.more("folded", "values/s", filled.all() / seconds(steps.fold()))?;
    case.less("history to answers", "s", seconds(steps.fold()))?;
    case.told("of that, roll-ups", "s", seconds(steps.roll_ups))?;
    case.told("COPY of the history", "s", seconds(steps.copy))?;
    case.told("keys of the history", "s", seconds(steps.history_keys))?;
    case.told(
        "everything with COPY",
        "values/s",
        filled.all() / seconds(steps.all()),
    )?;
    let disk = bench.results.of("disk", &name, Side::Postgresql);
    let bytes = crate::postgres::sizes(client, &disk, filled.all()).await?;
    disk.less("all", "bytes/value", bytes / filled.all())
}

/// Ten years of 10,000 organisations with 50 markers.
pub async fn rebuild(bench: &Bench) -> anyhow::Result<()> {
    let nation = Nation {
        months: if bench.args.quick { 18 } else { 120 },
        markers: if bench.args.quick { 6 } else { 50 },
        ..bench.nation(bench.args.orgs)
    };
    let (data, filled) = filled(&bench.work, nation).await?;
    let case = bench.results.of("rebuild", &nation.name(), Side::Qipp);
    case.told("values and lines in the log", "", filled.all())?;
    case.told("log", "MiB", filled.bytes as f64 / f64::from(1 << 20))?;
    let folded = folded(&data, &[], None).await?;
    check(nation, &folded)?;
    case.told("opened and verified", "s", folded.opened)?;
    case.less("folded", "s", folded.seconds)?;
    case.more("folded", "values/s", filled.all() / folded.seconds)?;
    case.less(
        "peak memory",
        "MiB",
        folded.peak as f64 / f64::from(1 << 20),
    )?;
    case.told(
        "memory at the end",
        "bytes/value",
        folded.resident as f64 / filled.all(),
    )
}
