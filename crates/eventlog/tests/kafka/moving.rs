//! A log that moves to Kafka and back.

use crate::brokers::{LAYOUT, config, open, record};
use qipp_eventlog::copy::{CopyOptions, Progress, Until, copy};
use qipp_eventlog::{
    CopyTarget, EmbeddedConfig, EmbeddedLog, EventLog, ManualClock, MemoryLog, Position, Record,
    Topic,
};
use std::path::Path;
use std::sync::Arc;
use tokio::sync::watch;

const BEGAN_MS: i64 = 1_300_000_000_000;

fn embedded(directory: &Path) -> EmbeddedLog {
    let config = EmbeddedConfig {
        layout: LAYOUT,
        ..EmbeddedConfig::default()
    };
    EmbeddedLog::open(directory, config).expect("the log opens")
}

/// Appends so many records, years ago, each partition at times of its own.
async fn grow(log: &dyn EventLog, clock: &ManualClock, count: u64) {
    let places: Vec<_> = LAYOUT.all().collect();
    for (number, (topic, partition)) in (0..count).zip(places.into_iter().cycle()) {
        clock.set(clock_ms(log, number));
        let records = vec![record(format!("{number} a")), record(format!("{number} b"))];
        let appended = log.append(topic, partition, records).await;
        appended.expect("it is appended");
    }
}

fn clock_ms(log: &dyn EventLog, number: u64) -> i64 {
    let held: u64 = log.head().iter().map(|(_, next)| next).sum();
    BEGAN_MS + i64::try_from(held * 10 + number).expect("a small number")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_moves_to_kafka_in_passes_and_back_while_it_is_followed() {
    let clock = ManualClock::new(BEGAN_MS);
    let source = MemoryLog::new(LAYOUT, Arc::new(clock.clone()));
    let (options, progress) = (CopyOptions::default(), Progress::default());
    let kafka = config();
    // Two passes, each by a process of its own; then nothing is left to do.
    let mut digest = None;
    for (pass, more) in [70, 30, 0].into_iter().enumerate() {
        grow(&source, &clock, more).await;
        let target = open(kafka.clone()).await.expect("it opens");
        let done = copy(&source, &target, &options, &Progress::default()).await;
        let done = done.expect("it is copied");
        assert_eq!((done.copied, &done.cut), (2 * more, &source.head()));
        assert_eq!(done.found, [0, 140, 200][pass]);
        digest = Some(done.digest);
        target.close().await;
    }

    // Back, while a house writes to it.
    let folder = tempfile::TempDir::new().expect("a folder");
    let back = embedded(folder.path());
    let served = open(kafka.clone()).await.expect("it opens");
    let read = open(kafka).await.expect("it opens");
    let first = copy(&read, &back, &options, &progress).await;
    let first = first.expect("it is copied");
    assert_eq!(Some(first.digest), digest);
    let (stop, stopped) = watch::channel(false);
    let following = CopyOptions {
        until: Until::Stopped(stopped),
        ..options
    };
    let writing = async {
        for number in 0..40 {
            let records = vec![record(format!("later {number}"))];
            let appended = served.append(Topic::Returns, number % 3, records).await;
            appended.expect("it is appended");
        }
        stop.send(true).expect("somebody copies");
    };
    let again = Progress::default();
    let (done, ()) = tokio::join!(copy(&read, &back, &following, &again), writing);
    let done = done.expect("it is copied");
    assert_eq!((done.copied, done.found), (40, 200));
    assert_eq!(
        done.cut,
        served.find_head().await.expect("the brokers answer")
    );
    assert_eq!(back.head(), done.cut);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kafka_refuses_what_it_cannot_keep_at_its_place() {
    let log = open(config()).await.expect("it opens");
    let at = |offset| Record {
        position: Position {
            topic: Topic::Returns,
            partition: 1,
            offset,
        },
        time_ms: BEGAN_MS,
        key: "RJ1".into(),
        payload: "fact".into(),
    };
    let put = |records| log.append_at(Topic::Returns, 1, records);
    put(vec![at(0), at(1)]).await.expect("it is kept");
    for records in [vec![at(1)], vec![at(3)], vec![at(2), at(4)]] {
        let error = put(records).await.expect_err("it can't be kept");
        assert_eq!(error.code(), "LOG_COPY_MISMATCH", "{error}");
    }
    put(Vec::new()).await.expect("nothing has no effect");
    put(vec![at(2)]).await.expect("it is kept");
    let held = log.read(Topic::Returns, 1, 0, 9).await;
    assert_eq!(held, Ok(vec![at(0), at(1), at(2)]));
    log.close().await;
    let closed = put(vec![at(3)]).await.expect_err("it is closed");
    assert_eq!(closed.code(), "LOG_CLOSED");
}
