//! Fills a log with the nation as the years would have: month by month, each on the ninth working day after it, restatements a month
//! later. Appends encoded facts through the log's port, as the services do.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;
use qipp_api::facts::{self, Meta};
use qipp_domain::Cut;
use qipp_domain::nation::Facts;
use qipp_eventlog::{
    EmbeddedConfig, EmbeddedLog, EventLog, ManualClock, NewRecord, SystemClock, Topic,
};
use serde::{Deserialize, Serialize};

use crate::nation::{Nation, SCHEMES, Sum};
use crate::say;

/// Records of one append: enough to share a sync, few enough to stay below the limits of an append.
const BATCH: usize = 1_000;
/// Reference facts of one record.
const FACTS_PER_RECORD: usize = 500;

/// What a log holds.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Filled {
    /// Quality values, restated ones counted again, because all of them are read and folded.
    pub values: u64,
    /// Savings lines.
    pub lines: u64,
    /// Records of the returns topic.
    pub records: u64,
    /// Bytes of the directory of the log.
    pub bytes: u64,
    /// How long it took to append.
    pub seconds: f64,
}

impl Filled {
    /// Everything that a fold has to take up.
    pub fn all(&self) -> f64 {
        (self.values + self.lines) as f64
    }

    fn add(&mut self, other: &Filled) {
        self.values += other.values;
        self.lines += other.lines;
        self.records += other.records;
    }
}

/// The data directory with this nation's log; filled now unless a whole one is there from before.
pub async fn filled(work: &Path, nation: Nation) -> anyhow::Result<(PathBuf, Filled)> {
    let data = work.join(format!("qipp-{}", nation.name()));
    let done = data.join("filled.json");
    if let Ok(text) = std::fs::read_to_string(&done) {
        return Ok((data, serde_json::from_str(&text)?));
    }
    if data.exists() {
        std::fs::remove_dir_all(&data).context("removing a log that was not filled to its end")?;
    }
    std::fs::create_dir_all(&data)?;
    let filled = fill(&data.join("log"), nation).await?;
    std::fs::write(&done, serde_json::to_string(&filled)?)?;
    Ok((data, filled))
}

/// Fills a new log.
pub async fn fill(path: &Path, nation: Nation) -> anyhow::Result<Filled> {
    let started = Instant::now();
    let clock = ManualClock::new(nation.received_ms(0) - 30 * 24 * 3_600_000);
    let config = EmbeddedConfig {
        clock: Arc::new(clock.clone()),
        ..EmbeddedConfig::default()
    };
    let path_of_log = path.to_owned();
    let log = tokio::task::spawn_blocking(move || EmbeddedLog::open(path_of_log, config)).await??;
    let log = Arc::new(log);
    let mut filled = Filled::default();
    append_reference(&log, nation).await?;
    let partitions = log.layout().partitions(Topic::Returns);
    for month in nation.all_months() {
        clock.set(nation.received_ms(month));
        let mut parts = tokio::task::JoinSet::new();
        for partition in 0..partitions {
            let log = Arc::clone(&log);
            parts.spawn(async move { append_month(&log, nation, month, partition).await });
        }
        while let Some(part) = parts.join_next().await {
            filled.add(&part??);
        }
        append_national(&log, nation, month).await?;
        if month % 12 == 11 {
            say(&format!(
                "filling {}: {} of {} months, {:.0} s",
                nation.name(),
                month + 1,
                nation.months,
                started.elapsed().as_secs_f64()
            ));
        }
    }
    log.close().await;
    filled.seconds = started.elapsed().as_secs_f64();
    filled.bytes = bytes_below(path)?;
    Ok(filled)
}

/// Opens a filled log.
pub fn open(data: &Path) -> anyhow::Result<Arc<dyn EventLog>> {
    let config = EmbeddedConfig {
        clock: Arc::new(SystemClock),
        ..EmbeddedConfig::default()
    };
    Ok(Arc::new(EmbeddedLog::open(data.join("log"), config)?))
}

async fn append_reference(log: &EmbeddedLog, nation: Nation) -> anyhow::Result<()> {
    for some in nation.reference().chunks(FACTS_PER_RECORD) {
        let record = record(&Facts::Reference(some.to_vec()), "reference".to_owned());
        log.append(Topic::Reference, 0, vec![record]).await?;
    }
    Ok(())
}

/// A month of the organisations of a partition: schemes first, then the month's returns, then what the month before is restated to.
async fn append_month(
    log: &EmbeddedLog,
    nation: Nation,
    month: u32,
    partition: u16,
) -> anyhow::Result<Filled> {
    let mut filled = Filled::default();
    let mine: Vec<u32> = (0..nation.orgs)
        .filter(|org| {
            let key = nation.org(*org);
            log.layout()
                .partition_of(Topic::Returns, key.as_str().as_bytes())
                == partition
        })
        .collect();
    for some in mine.chunks(BATCH / 3) {
        let mut records = Vec::with_capacity(BATCH);
        for org in some {
            if month == 0 {
                records.push(record(&nation.schemes(*org), format!("schemes/{org}")));
            }
            if month > 0 && nation.is_restated(*org, month - 1) {
                let facts = nation.quality(*org, month - 1, 2);
                records.push(record(&facts, format!("{org}/quality/{month}/2")));
                filled.values += u64::from(nation.markers);
            }
            let facts = nation.quality(*org, month, 1);
            records.push(record(&facts, format!("{org}/quality/{month}/1")));
            filled.values += u64::from(nation.markers);
            let facts = nation.savings_return(*org, month);
            records.push(record(&facts, format!("{org}/savings/{month}/1")));
            filled.lines += u64::from(SCHEMES);
        }
        filled.records += records.len() as u64;
        log.append(Topic::Returns, partition, records).await?;
        // Lets the other partitions' appends into the same batch of the writer.
        tokio::task::yield_now().await;
    }
    Ok(filled)
}

/// The national values of a month, as the evaluator would have published them.
async fn append_national(log: &EmbeddedLog, nation: Nation, month: u32) -> anyhow::Result<()> {
    let cut = qipp_projection::domain_cut(&log.head());
    let records = tokio::task::spawn_blocking(move || national(nation, month, &cut)).await?;
    log.append(Topic::Benchmarks, 0, records).await?;
    Ok(())
}

fn national(nation: Nation, month: u32, cut: &Cut) -> Vec<NewRecord> {
    let value = |marker| {
        let sum: Sum = nation.sum(month, marker);
        let value = nation.national(month, marker, sum, cut.clone());
        record(
            &Facts::Benchmarks(vec![value]),
            format!("{marker}/{month}/1"),
        )
    };
    (0..nation.markers).map(value).collect()
}

/// A record as the services write it.
pub fn record(facts: &Facts, cause_id: String) -> NewRecord {
    let meta = Meta {
        cause_id,
        principal: "bench-collector".to_owned(),
        request_id: String::new(),
        writer_epoch: 0,
    };
    NewRecord {
        key: facts::record_key(facts).into(),
        payload: facts::encode(facts, meta),
    }
}

/// Bytes of all files below a directory.
pub fn bytes_below(directory: &Path) -> anyhow::Result<u64> {
    sum_below(directory, Metadata::len)
}

/// Bytes that they take on the disk, where some have been made longer than what is in them.
pub fn taken_below(directory: &Path) -> anyhow::Result<u64> {
    // Blocks of stat(2) have 512 bytes on every file system.
    sum_below(directory, |file| file.blocks() * 512)
}

fn sum_below(directory: &Path, size: fn(&Metadata) -> u64) -> anyhow::Result<u64> {
    let mut sum = 0;
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let meta = entry.metadata()?;
        sum += if meta.is_dir() {
            sum_below(&entry.path(), size)?
        } else {
            size(&meta)
        };
    }
    Ok(sum)
}

/// A copy of a data directory, for parts that write to it.
pub fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    if to.exists() {
        std::fs::remove_dir_all(to)?;
    }
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
