//! A log copied into another one: every record where and when it stands, begun again after any break, and refused where it is not the same log.
#![allow(
    clippy::unwrap_used,
    reason = "in a test a failed expectation is a failed test"
)]

use async_trait::async_trait;
use futures::StreamExt;
use proptest::prelude::*;
use qipp_eventlog::copy::{
    Copied, CopyError, CopyOptions, Copying, Digesting, Progress, Stage, Until, copy,
};
use qipp_eventlog::{
    Appended, CopyTarget, Cut, EmbeddedConfig, EmbeddedLog, EventLog, Layout, LogError,
    ManualClock, MemoryLog, NewRecord, Position, Record, RecordStream, Topic,
};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tempfile::TempDir;
use tokio::sync::watch;

const LAYOUT: Layout = Layout {
    returns: 3,
    alerts: 2,
};

/// A log in memory, each record of a time of its own.
struct Given {
    log: MemoryLog,
    clock: ManualClock,
}

impl Given {
    fn new(gaps: Option<u64>) -> Given {
        let clock = ManualClock::new(1_000);
        let log = MemoryLog::new(LAYOUT, Arc::new(clock.clone()));
        let log = match gaps {
            Some(seed) => log.with_gaps(seed),
            None => log,
        };
        Given { log, clock }
    }

    async fn with_records(gaps: Option<u64>, count: usize) -> Given {
        let given = Given::new(gaps);
        for number in 0..count {
            given.append(number).await;
        }
        given
    }

    async fn append(&self, number: usize) -> Appended {
        let places: Vec<_> = LAYOUT.all().collect();
        let (topic, partition) = places[number * 5 % places.len()];
        self.clock.set(1_000 + number as i64 / 3);
        let record = record(&format!("payload {number}"));
        self.log
            .append(topic, partition, vec![record])
            .await
            .unwrap()[0]
    }
}

fn record(payload: &str) -> NewRecord {
    NewRecord {
        key: "RJ1".into(),
        payload: payload.to_owned().into(),
    }
}

fn memory() -> MemoryLog {
    MemoryLog::new(LAYOUT, Arc::new(ManualClock::new(7)))
}

fn embedded(directory: &Path) -> EmbeddedLog {
    let config = EmbeddedConfig {
        layout: LAYOUT,
        max_frame_records: 4,
        clock: Arc::new(ManualClock::new(7)),
        ..EmbeddedConfig::default()
    };
    EmbeddedLog::open(directory, config).unwrap()
}

async fn everything(log: &dyn EventLog) -> Vec<Record> {
    let mut all = Vec::new();
    for (topic, partition) in LAYOUT.all() {
        let mut from = 0;
        loop {
            let page = log.read(topic, partition, from, 3).await.unwrap();
            let Some(last) = page.last() else { break };
            from = last.position.offset + 1;
            all.extend(page);
        }
    }
    all
}

async fn copied(source: &dyn EventLog, target: &dyn CopyTarget) -> Result<Copied, CopyError> {
    copy(
        source,
        target,
        &CopyOptions::default(),
        &Progress::default(),
    )
    .await
}

/// A target that fails at the append of this number, before or after it has written, and counts what it takes.
#[derive(Debug)]
struct Failing {
    log: Arc<dyn CopyTarget>,
    appends: AtomicU64,
    fails_at: u64,
    after_writing: bool,
}

impl Failing {
    fn at(log: Arc<dyn CopyTarget>, fails_at: u64, after_writing: bool) -> Failing {
        Failing {
            log,
            appends: AtomicU64::new(0),
            fails_at,
            after_writing,
        }
    }
}

#[async_trait]
impl EventLog for Failing {
    fn layout(&self) -> Layout {
        self.log.layout()
    }

    async fn append(
        &self,
        topic: Topic,
        partition: u16,
        records: Vec<NewRecord>,
    ) -> Result<Vec<Appended>, LogError> {
        self.log.append(topic, partition, records).await
    }

    fn head(&self) -> Cut {
        self.log.head()
    }

    fn tail(&self, topic: Topic, partition: u16, from: u64) -> RecordStream {
        self.log.tail(topic, partition, from)
    }

    async fn read(
        &self,
        topic: Topic,
        partition: u16,
        from: u64,
        max: usize,
    ) -> Result<Vec<Record>, LogError> {
        // Pages of two, so that a copy takes many steps.
        self.log.read(topic, partition, from, max.min(2)).await
    }

    async fn close(&self) {
        self.log.close().await;
    }
}

#[async_trait]
impl CopyTarget for Failing {
    async fn append_at(
        &self,
        topic: Topic,
        partition: u16,
        records: Vec<Record>,
    ) -> Result<(), LogError> {
        let fails = self.appends.fetch_add(1, Ordering::SeqCst) == self.fails_at;
        if !fails || self.after_writing {
            self.log.append_at(topic, partition, records).await?;
        }
        match fails {
            true => Err(LogError::Io {
                doing: "write",
                cause: "the test".into(),
            }),
            false => Ok(()),
        }
    }
}

#[tokio::test]
async fn a_copy_in_memory_is_the_same_with_and_without_gaps() {
    for gaps in [None, Some(2026)] {
        let source = Given::with_records(gaps, 200).await.log;
        let target = memory();
        let done = copied(&source, &target).await.unwrap();
        assert_eq!((done.copied, done.found), (200, 0));
        assert_eq!(done.cut, source.head());
        assert_eq!(target.head(), source.head());
        assert_eq!(everything(&target).await, everything(&source).await);
        // Again: nothing to do, and the same digest.
        let again = copied(&source, &target).await.unwrap();
        assert_eq!((again.copied, again.found), (0, 200));
        assert_eq!(again.digest, done.digest);
    }
}

#[tokio::test]
async fn a_copy_to_a_folder_and_back_is_the_same_after_both_were_opened_again() {
    let source = Given::with_records(Some(11), 200).await.log;
    let folder = TempDir::new().unwrap();
    let stored = embedded(folder.path());
    let there = copied(&source, &stored).await.unwrap();
    stored.close().await;
    let stored = embedded(folder.path());
    assert_eq!(everything(&stored).await, everything(&source).await);

    let (back, other) = (memory(), TempDir::new().unwrap());
    let elsewhere = embedded(other.path());
    assert_eq!(copied(&stored, &back).await.unwrap().digest, there.digest);
    assert_eq!(
        copied(&stored, &elsewhere).await.unwrap().digest,
        there.digest
    );
    // And it goes on as any log does: at the next offset, at no earlier time.
    let last = everything(&elsewhere).await;
    let last = last
        .iter()
        .rfind(|r| r.position.topic == Topic::Returns)
        .unwrap();
    let (topic, partition) = (last.position.topic, last.position.partition);
    let next = elsewhere
        .append(topic, partition, vec![record("next")])
        .await
        .unwrap()[0];
    assert_eq!(next.position.offset, last.position.offset + 1);
    assert_eq!(next.time_ms, last.time_ms);
    elsewhere.close().await;
    assert_eq!(everything(&embedded(other.path())).await.len(), 201);
}

#[tokio::test]
async fn records_that_cannot_stand_where_they_should_are_refused_and_leave_nothing() {
    let folder = TempDir::new().unwrap();
    let targets: [Box<dyn CopyTarget>; 2] = [Box::new(memory()), Box::new(embedded(folder.path()))];
    for target in targets {
        let at = |offset, time_ms| Record {
            position: Position {
                topic: Topic::Returns,
                partition: 1,
                offset,
            },
            time_ms,
            key: "RJ1".into(),
            payload: "fact".into(),
        };
        let put = |records| target.append_at(Topic::Returns, 1, records);
        put(vec![at(3, 50), at(4, 50), at(9, 60)]).await.unwrap();
        let refused = [
            vec![at(9, 60)],
            vec![at(10, 59)],
            vec![at(11, 60), at(11, 60)],
            vec![at(11, 60), at(12, 59)],
            vec![Record {
                position: Position {
                    partition: 0,
                    ..at(10, 60).position
                },
                ..at(10, 60)
            }],
        ];
        for records in refused {
            let error = put(records.clone()).await.unwrap_err();
            assert_eq!(error.code(), "LOG_COPY_MISMATCH", "{records:?}");
        }
        let large = Record {
            payload: vec![0; qipp_eventlog::MAX_RECORD_BYTES].into(),
            ..at(10, 60)
        };
        assert_eq!(
            put(vec![large]).await.unwrap_err().code(),
            "LOG_RECORD_TOO_LARGE"
        );
        let unknown = target.append_at(Topic::Returns, 3, vec![]).await;
        assert_eq!(unknown.unwrap_err().code(), "LOG_UNKNOWN_PARTITION");
        put(Vec::new()).await.unwrap();
        assert_eq!(
            everything(&*target).await,
            [at(3, 50), at(4, 50), at(9, 60)]
        );
        // A tail sees what is kept, as it sees what is appended.
        let mut tail = target.tail(Topic::Returns, 1, 9);
        put(vec![at(10, 60)]).await.unwrap();
        let mut seen = Vec::new();
        while seen.len() < 2 {
            seen.extend(tail.next().await.unwrap().unwrap());
        }
        assert_eq!(seen, [at(9, 60), at(10, 60)]);
        target.close().await;
        assert_eq!(
            put(vec![at(11, 60)]).await.unwrap_err().code(),
            "LOG_CLOSED"
        );
    }
}

/// Copies with failures until there are no more appends to fail at. In between, a log in a folder is opened again, as by another process.
async fn resumed_after_every_break(
    source: &dyn EventLog,
    folder: Option<&Path>,
    after_writing: bool,
) {
    let digest = copied(source, &memory()).await.unwrap().digest;
    let mut log: Arc<dyn CopyTarget> = Arc::new(memory());
    for round in 0.. {
        if let Some(folder) = folder {
            log = Arc::new(embedded(folder));
        }
        // Two rounds of three get further.
        let target = Failing::at(Arc::clone(&log), round % 3, after_writing);
        let done = copied(source, &target).await;
        let reached = everything(&target).await;
        if folder.is_some() {
            target.close().await;
        }
        match done {
            Ok(done) => {
                assert_eq!(done.digest, digest);
                assert_eq!(reached, everything(source).await);
                assert!(round > 5, "it did fail: {round}");
                return;
            }
            Err(CopyError::Target(LogError::Io { .. })) => {}
            Err(other) => panic!("{other}"),
        }
    }
}

#[tokio::test]
async fn a_copy_that_fails_at_any_append_goes_on_from_there() {
    for gaps in [None, Some(5)] {
        let source = Arc::new(Given::with_records(gaps, 90).await.log);
        // In small pages, so that it takes many appends.
        let source = Failing::at(source, u64::MAX, false);
        for after_writing in [false, true] {
            resumed_after_every_break(&source, None, after_writing).await;
            let folder = TempDir::new().unwrap();
            resumed_after_every_break(&source, Some(folder.path()), after_writing).await;
        }
    }
}

/// The error of copying a source into a target that was a copy of it and got one record more, or was changed by `change`.
async fn refused(source: &MemoryLog, change: impl Fn(&mut Vec<Record>)) -> CopyError {
    let target = memory();
    let mut records = everything(source).await;
    change(&mut records);
    for record in records {
        let Position {
            topic, partition, ..
        } = record.position;
        target
            .append_at(topic, partition, vec![record])
            .await
            .unwrap();
    }
    let before = everything(&target).await;
    let progress = Progress::default();
    let options = CopyOptions::default();
    let error = copy(source, &target, &options, &progress)
        .await
        .unwrap_err();
    assert_eq!(everything(&target).await, before, "nothing was written");
    assert_eq!(progress.done().stage, Stage::Comparing);
    error
}

#[tokio::test]
async fn a_target_that_is_another_log_is_refused_at_the_first_place_that_differs() {
    let source = Given::with_records(Some(3), 120).await.log;
    let all = everything(&source).await;
    // In the middle of a partition, with one before it and one after it.
    let index = all
        .windows(3)
        .position(|three| {
            let [before, here, after] = three else {
                return false;
            };
            let place = |record: &Record| (record.position.topic, record.position.partition);
            place(before) == place(here)
                && place(here) == place(after)
                && before.time_ms < here.time_ms
        })
        .unwrap()
        + 1;
    let position = all[index].position;
    let differs = |what| CopyError::TargetDiffers { position, what };
    let payload = refused(&source, |r| r[index].payload = "other".into()).await;
    assert_eq!(payload, differs("another payload"));
    let key = refused(&source, |r| r[index].key = "RJ2".into()).await;
    assert_eq!(key, differs("another key"));
    let time = refused(&source, |r| r[index].time_ms -= 1).await;
    assert_eq!(time, differs("another time"));
    let missing = refused(&source, |r| drop(r.remove(index))).await;
    assert_eq!(
        missing,
        differs("it has no record there, and the source has one")
    );
}

#[tokio::test]
async fn a_record_in_a_gap_of_the_source_or_beyond_its_end_is_refused() {
    let at = |offset, time_ms| Record {
        position: Position {
            topic: Topic::Returns,
            partition: 0,
            offset,
        },
        time_ms,
        key: "RJ1".into(),
        payload: "fact".into(),
    };
    let source = memory();
    let held = vec![at(0, 1), at(5, 2), at(6, 2)];
    source.append_at(Topic::Returns, 0, held).await.unwrap();
    let stray = refused(&source, |r| r.insert(1, at(3, 1))).await;
    let what = "it has a record there, and the source has none";
    let position = at(3, 1).position;
    assert_eq!(stray, CopyError::TargetDiffers { position, what });
    // The same where the target ends in the gap.
    let ends = refused(&source, |r| r.splice(1.., [at(3, 1)]).for_each(drop)).await;
    assert_eq!(ends, CopyError::TargetDiffers { position, what });
    let beyond = refused(&source, |r| r.push(at(9, 2))).await;
    let position = at(9, 2).position;
    assert_eq!(beyond, CopyError::TargetBeyond { position });

    let other = Layout {
        returns: 4,
        ..LAYOUT
    };
    let target = MemoryLog::new(other, Arc::new(ManualClock::new(0)));
    let layouts = copied(&source, &target).await.unwrap_err();
    assert_eq!(layouts.code(), "COPY_LAYOUTS_DIFFER");
    source.close().await;
    let closed = copied(&source, &memory()).await.unwrap_err();
    assert_eq!(closed, CopyError::Source(LogError::Closed));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_arrives_while_it_follows_is_copied_until_it_is_told_to_stop() {
    let given = Arc::new(Given::with_records(Some(8), 50).await);
    let folder = TempDir::new().unwrap();
    let target = Arc::new(embedded(folder.path()));
    let (stop, stopped) = watch::channel(false);
    let copying = {
        let (given, target) = (Arc::clone(&given), Arc::clone(&target));
        tokio::spawn(async move {
            let options = CopyOptions {
                until: Until::Stopped(stopped),
                ..CopyOptions::default()
            };
            copy(&given.log, &*target, &options, &Progress::default()).await
        })
    };
    for number in 50..150 {
        let at = given.append(number).await.position;
        // Every tenth is waited for: it has to arrive while the copy follows.
        if number % 10 == 0 {
            let mut tail = target.tail(at.topic, at.partition, at.offset);
            let arrived = tail.next().await.unwrap().unwrap();
            assert_eq!(arrived[0].position, at);
        }
    }
    stop.send(true).unwrap();
    let done = copying.await.unwrap().unwrap();
    assert_eq!((done.copied, done.found), (150, 0));
    assert_eq!(everything(&*target).await, everything(&given.log).await);

    // A source that is closed under a copy that follows is no end of a copy.
    let (_stop, stopped) = watch::channel(false);
    let options = CopyOptions {
        until: Until::Stopped(stopped),
        ..CopyOptions::default()
    };
    let progress = Progress::default();
    let following = copy(&given.log, &*target, &options, &progress);
    let closing = async {
        while progress.done().stage != Stage::Following {
            tokio::task::yield_now().await;
        }
        given.log.close().await;
    };
    let (ended, ()) = tokio::join!(following, closing);
    assert_eq!(ended.unwrap_err(), CopyError::Source(LogError::Closed));
}

#[tokio::test]
async fn a_streamed_log_is_compared_copied_and_proved() {
    let given = Given::with_records(Some(4), 60).await;
    let (target, progress) = (memory(), Progress::default());
    for (already, until) in [(0, 60), (60, 80)] {
        for number in 60..until {
            given.append(number).await;
        }
        let source = &given.log;
        let mut copying = Copying::begin(LAYOUT, &target, &progress).await.unwrap();
        let mut digesting = Digesting::new(LAYOUT);
        let all = everything(source).await;
        for part in all.chunk_by(|a, b| {
            a.position.partition == b.position.partition && a.position.topic == b.position.topic
        }) {
            copying.compare(part).await.unwrap();
        }
        copying.compared(&source.head()).await.unwrap();
        for record in all {
            digesting.add(std::slice::from_ref(&record));
            copying.append(vec![record]).await.unwrap();
        }
        let digest = digesting.finish();
        let done = copying.prove(source.head(), digest, 2).await.unwrap();
        assert_eq!(done.found, already);
        assert_eq!(copied(source, &memory()).await.unwrap().digest, digest);
        assert_eq!(everything(&target).await, everything(source).await);
    }
    // Somebody who writes to the target is noticed.
    let copying = Copying::begin(LAYOUT, &target, &progress).await.unwrap();
    target
        .append(Topic::Alerts, 0, vec![record("stray")])
        .await
        .unwrap();
    let digest = copied(&given.log, &memory()).await.unwrap().digest;
    let beyond = copying
        .prove(given.log.head(), digest, 2)
        .await
        .unwrap_err();
    assert_eq!(beyond.code(), "COPY_TARGET_BEYOND");
    // And a source whose digest is another one.
    let other = Digesting::new(LAYOUT).finish();
    let different = copying.prove(given.log.head(), other, 2).await.unwrap_err();
    assert_eq!(different.code(), "COPY_DIGESTS_DIFFER");
    let unknown = Record {
        position: Position {
            topic: Topic::Returns,
            partition: 99,
            offset: 0,
        },
        time_ms: 0,
        key: "".into(),
        payload: "".into(),
    };
    let mut copying = copying;
    let unknown = copying.append(vec![unknown]).await.unwrap_err();
    assert_eq!(unknown.code(), "LOG_UNKNOWN_PARTITION");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn a_digest_changes_with_any_byte_place_or_time(
        records in proptest::collection::vec((0_u8..3, "[a-b]{0,2}", "[a-b]{0,2}"), 1..8), at in any::<prop::sample::Index>(), what in 0..4
    ) {
        let mut next = 0;
        let mut made: Vec<Record> = records.into_iter().map(|(gap, key, payload)| {
            next += 1 + u64::from(gap);
            let position = Position { topic: Topic::Returns, partition: 0, offset: next };
            Record { position, time_ms: 5, key: key.into(), payload: payload.into() }
        }).collect();
        let digest = |records: &[Record]| {
            let mut digesting = Digesting::new(LAYOUT);
            digesting.add(records);
            digesting.finish()
        };
        let before = digest(&made);
        let record = at.get(&made).clone();
        let changed = made.iter_mut().find(|held| **held == record).unwrap();
        match what {
            0 => changed.position.offset += 1_000,
            1 => changed.time_ms += 1,
            // A byte moved from the key to the payload, or one more.
            2 if !changed.key.is_empty() => {
                let moved = changed.key.split_off(changed.key.len() - 1);
                changed.payload = [moved, changed.payload.clone()].concat().into();
            }
            _ => changed.payload = [changed.payload.as_ref(), b"c"].concat().into(),
        }
        prop_assert_ne!(before, digest(&made));
    }
}
