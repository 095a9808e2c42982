//! Does the log keep what a log promises? Every record is read as one of ours, in its partition, in order, and no earlier than the one before.

use std::collections::BTreeMap;

use anyhow::Context;
use qipp_domain::nation::Facts;
use qipp_eventlog::{Cut, EventLog, Layout, Record, Topic};

use super::{Check, grouped};
use crate::exit::Failure;
use crate::serve::decode;
use crate::verbs::submit::progress;

/// Records read at a time.
const PAGE: usize = 1024;

/// Reads everything below `head`.
pub(super) async fn check(log: &dyn EventLog, head: &Cut) -> Result<Check, Failure> {
    let expected: u64 = head.iter().map(|(_, next)| next).sum();
    let bar = progress(usize::try_from(expected).unwrap_or(usize::MAX), "records");
    let mut seen = Seen {
        layout: log.layout(),
        check: Check::new("continuity"),
        records: BTreeMap::new(),
        facts: 0,
        before: None,
    };
    for ((topic, partition), end) in head.iter() {
        seen.before = None;
        let mut from = 0;
        while from < end {
            let mut page = log.read(topic, partition, from, PAGE).await?;
            page.retain(|record| record.position.offset < end);
            let Some(last) = page.last() else {
                seen.check.differ(|| {
                    format!(
                        "{topic}/{partition} should go on to offset {end} and ends before {from}"
                    )
                });
                break;
            };
            from = last.position.offset + 1;
            bar.inc(page.len() as u64);
            // Decoding a thousand returns takes its time.
            let taken = tokio::task::spawn_blocking(move || {
                page.iter().for_each(|record| seen.take(record));
                seen
            });
            seen = taken.await.context("reading the log")?;
        }
    }
    bar.finish_and_clear();
    Ok(seen.finish())
}

struct Seen {
    layout: Layout,
    check: Check,
    records: BTreeMap<Topic, u64>,
    facts: u64,
    /// Offset and time of the record before, in the same partition.
    before: Option<(u64, i64)>,
}

impl Seen {
    fn take(&mut self, record: &Record) {
        let place = record.position;
        if let Some((offset, time_ms)) = self.before {
            if place.offset <= offset {
                self.check
                    .differ(|| format!("{place} follows offset {offset}: offsets have to rise"));
            }
            if record.time_ms < time_ms {
                self.check.differ(|| {
                    format!("{place} was accepted before the record below it: times must not fall")
                });
            }
        }
        self.before = Some((place.offset, record.time_ms));
        let read = decode(&record.key, &record.payload);
        let home = self.layout.partition_of(place.topic, &record.key);
        // A writer begins in every partition, under the same key.
        let begins = matches!(&read, Ok(read) if matches!(read.facts, Facts::EpochBegun(_)));
        if home != place.partition && !begins {
            let key = record.key.escape_ascii();
            self.check
                .differ(|| format!("{place} is of {key}, whose partition is {home}"));
        }
        match read {
            Ok(read) => self.facts += count(&read.facts),
            Err(why) => self
                .check
                .differ(|| format!("{place} can't be read: {why}")),
        }
        *self.records.entry(place.topic).or_default() += 1;
        self.check.checked += 1;
    }

    fn finish(mut self) -> Check {
        let counts: Vec<String> = self
            .records
            .iter()
            .map(|(topic, count)| format!("{} {topic}", grouped(*count)))
            .collect();
        let counts = if counts.is_empty() {
            "none".to_owned()
        } else {
            counts.join(", ")
        };
        self.check.summary = format!(
            "{} records with {} facts ({counts})",
            grouped(self.check.checked),
            grouped(self.facts)
        );
        self.check
    }
}

fn count(facts: &Facts) -> u64 {
    let count = match facts {
        Facts::Reference(facts) => facts.len(),
        Facts::Returns(facts) => facts.len(),
        Facts::Benchmarks(values) => values.len(),
        Facts::Alerts(_, facts) => facts.len(),
        Facts::EpochBegun(_) | Facts::Assessment(_) => 1,
    };
    count as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use qipp_api::facts::{Meta, encode};
    use qipp_domain::reference::{Organisation, ReferenceFact};
    use qipp_domain::tenure::{EPOCH_KEY, Tenure};
    use qipp_eventlog::{MemoryLog, NewRecord, SystemClock};

    async fn log_of(payloads: &[&[u8]]) -> MemoryLog {
        let log = MemoryLog::new(Layout::default(), Arc::new(SystemClock));
        let record = |payload: &&[u8]| NewRecord {
            key: "RJ1".into(),
            payload: bytes::Bytes::copy_from_slice(payload),
        };
        log.append(Topic::Reference, 0, payloads.iter().map(record).collect())
            .await
            .unwrap();
        log
    }

    async fn whole(log: &MemoryLog) -> Check {
        check(log, &log.head()).await.unwrap()
    }

    fn organisation() -> Vec<u8> {
        let organisation = Organisation {
            code: "RJ1".parse().unwrap(),
            name: "G".into(),
            kind: "trust".parse().unwrap(),
            opened: None,
            closed: None,
        };
        encode(
            &Facts::Reference(vec![ReferenceFact::Organisation(organisation)]),
            Meta::default(),
        )
        .to_vec()
    }

    #[tokio::test]
    async fn records_are_counted_and_one_that_cannot_be_read_is_named() {
        let good = organisation();
        let check = whole(&log_of(&[&good, b"\xff\xff", &good]).await).await;
        assert_eq!((check.checked, check.differences), (3, 1));
        assert!(
            check.shown[0].contains("@1 can't be read"),
            "{:?}",
            check.shown
        );
        assert!(
            check.summary.starts_with("3 records with 2 facts"),
            "{}",
            check.summary
        );
    }

    #[tokio::test]
    async fn a_writer_begins_in_every_partition() {
        let log = MemoryLog::new(Layout::default(), Arc::new(SystemClock));
        let begun = Facts::EpochBegun(Tenure {
            epoch: 1,
            holder: "a".into(),
        });
        for partition in 0..log.layout().partitions(Topic::Alerts) {
            let record = NewRecord {
                key: EPOCH_KEY.into(),
                payload: encode(&begun, Meta::default()),
            };
            log.append(Topic::Alerts, partition, vec![record])
                .await
                .unwrap();
        }
        let check = whole(&log).await;
        assert_eq!((check.checked, check.differences), (8, 0));
    }

    #[tokio::test]
    async fn a_record_in_a_partition_that_is_not_its_keys_is_a_difference() {
        let log = MemoryLog::new(Layout::default(), Arc::new(SystemClock));
        let facts = encode(
            &Facts::Alerts("RJ1".parse().unwrap(), Vec::new()),
            Meta::default(),
        );
        let home = log.layout().partition_of(Topic::Alerts, b"RJ1");
        for (partition, differences) in [(home, 0), (home + 1, 1)] {
            let record = NewRecord {
                key: "RJ1".into(),
                payload: facts.clone(),
            };
            log.append(Topic::Alerts, partition % 8, vec![record])
                .await
                .unwrap();
            assert_eq!(whole(&log).await.differences, differences);
        }
    }
}
