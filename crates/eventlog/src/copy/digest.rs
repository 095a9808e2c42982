//! The digest of a log up to a cut: two logs with the same digest hold the same records, byte for byte, at the same places and times.
//!
//! ```text
//! log        SHA-256 over its partitions in order:    1 topic id   2 partition   8 number of records   32 their digest
//! partition  SHA-256 over its records in order:       8 offset   8 time   4 length of key   4 length of payload   key   payload
//! ```
//!
//! Numbers are big endian. By partition, so that partitions can be read at the same time.

use super::page;
use super::progress::Progress;
use crate::{Cut, EventLog, Layout, LogError, Record, Topic};
use futures::{StreamExt, TryStreamExt};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt;

/// The digest of a log up to a cut. Shown in hexadecimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogDigest([u8; 32]);

impl fmt::Display for LogDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The digest of a log whose records are handed in: those of a partition in order, partitions in any.
#[derive(Debug)]
pub struct Digesting(BTreeMap<(Topic, u16), Part>);

impl Digesting {
    /// Of a log without records.
    #[must_use]
    pub fn new(layout: Layout) -> Digesting {
        Digesting(layout.all().map(|place| (place, Part::default())).collect())
    }

    /// Adds records.
    pub fn add(&mut self, records: &[Record]) {
        for record in records {
            let place = (record.position.topic, record.position.partition);
            self.0.entry(place).or_default().add(record);
        }
    }

    /// The digest.
    #[must_use]
    pub fn finish(self) -> LogDigest {
        let mut whole = Sha256::new();
        for ((topic, partition), part) in self.0 {
            whole.update([topic.id()]);
            whole.update(partition.to_be_bytes());
            whole.update(part.records.to_be_bytes());
            whole.update(part.hash.finalize());
        }
        LogDigest(whole.finalize().into())
    }
}

/// Of one partition.
#[derive(Clone, Debug, Default)]
struct Part {
    records: u64,
    hash: Sha256,
}

impl Part {
    fn add(&mut self, record: &Record) {
        self.records += 1;
        self.hash.update(record.position.offset.to_be_bytes());
        self.hash.update(record.time_ms.to_be_bytes());
        for bytes in [&record.key, &record.payload] {
            let length = u32::try_from(bytes.len()).expect("no log takes a record of 4 GiB");
            self.hash.update(length.to_be_bytes());
        }
        self.hash.update(&record.key);
        self.hash.update(&record.payload);
    }
}

/// Reads a log up to a cut, so many partitions at a time.
pub(super) async fn of(
    log: &dyn EventLog,
    cut: &Cut,
    at_once: usize,
    progress: &Progress,
) -> Result<LogDigest, LogError> {
    let places: Vec<_> = log.layout().all().collect();
    let parts = places.into_iter().map(|place| {
        let part = read(log, place, cut.next(place.0, place.1), progress);
        futures::FutureExt::boxed(async move { Ok((place, part.await?)) })
    });
    let parts: Vec<_> = parts.collect();
    let parts = futures::stream::iter(parts).buffer_unordered(at_once.max(1));
    Ok(Digesting(parts.try_collect().await?).finish())
}

async fn read(
    log: &dyn EventLog,
    place: (Topic, u16),
    until: u64,
    progress: &Progress,
) -> Result<Part, LogError> {
    let (mut part, mut from) = (Part::default(), 0);
    loop {
        let records = page(log, place, from, until).await?;
        let Some(last) = records.last() else { break };
        from = last.position.offset + 1;
        progress.read(records.len() as u64);
        // Hashing a page takes milliseconds.
        let hashing = tokio::task::spawn_blocking(move || {
            records.iter().for_each(|record| part.add(record));
            part
        });
        part = hashing.await.map_err(|error| LogError::Io {
            doing: "compute its digest",
            cause: error.to_string(),
        })?;
    }
    progress.partition_done();
    Ok(part)
}
