//! Several processes on one log, each an own handle here.

use crate::brokers::{config, open, record};
use futures::StreamExt;
use qipp_eventlog::{Cut, EventLog, KafkaConfig, KafkaLog, LogError, ManualClock, Record, Topic};
use std::sync::Arc;
use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(60);

async fn all(log: &KafkaLog, upto: &Cut) -> Vec<Record> {
    let mut found: Vec<Record> = Vec::new();
    for (topic, partition) in log.layout().all() {
        let (end, mut next) = (upto.next(topic, partition), 0);
        let mut tail = log.tail(topic, partition, 0);
        while next < end {
            let batch = tokio::time::timeout(DEADLINE, tail.next()).await;
            let batch = batch.expect("it comes").expect("the tail goes on");
            let batch = batch.expect("it can be read");
            next = batch.last().map_or(next, |last| last.position.offset + 1);
            found.extend(batch);
        }
    }
    found
}

/// Clocks of different machines differ; what the log says is one thing, wherever a reader begins.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_processes_see_the_same_records_at_the_same_times() {
    let (ahead, behind) = (
        ManualClock::new(1_700_000_060_000),
        ManualClock::new(1_700_000_000_000),
    );
    let config = config();
    let with = |clock: &ManualClock, window_bytes| KafkaConfig {
        clock: Arc::new(clock.clone()),
        window_bytes,
        ..config.clone()
    };
    let one = Arc::new(open(with(&ahead, 1 << 20)).await.expect("it opens"));
    let other = Arc::new(open(with(&behind, 0)).await.expect("it opens"));
    let appends = [&one, &other]
        .into_iter()
        .enumerate()
        .flat_map(|(who, log)| {
            (0..20).map(move |number| {
                let log = Arc::clone(log);
                tokio::spawn(async move {
                    let records = vec![
                        record(format!("{who} {number} a")),
                        record(format!("{who} {number} b")),
                    ];
                    log.append(Topic::Returns, number % 3, records).await
                })
            })
        });
    let mut receipts = Vec::new();
    for append in appends.collect::<Vec<_>>() {
        let appended = append.await.expect("no panic").expect("it is appended");
        assert!(appended[0].position < appended[1].position);
        receipts.extend(appended);
    }
    let head = other.find_head().await.expect("the brokers answer");
    assert_eq!(one.find_head().await, Ok(head.clone()));
    let seen = all(&one, &head).await;
    assert_eq!(seen.len(), 80);
    assert_eq!(all(&other, &head).await, seen);
    for receipt in receipts {
        let found = seen.iter().find(|found| found.position == receipt.position);
        assert_eq!(found.map(|found| found.time_ms), Some(receipt.time_ms));
    }
    for records in seen.chunk_by(|a, b| a.position.partition == b.position.partition) {
        assert!(records.is_sorted_by_key(|found| found.time_ms));
    }
    // Somebody who comes later and begins in the middle.
    let late = open(with(&behind, 1 << 20)).await.expect("it opens");
    assert_eq!(late.head(), head);
    for wanted in seen
        .iter()
        .filter(|record| record.position.topic == Topic::Returns)
    {
        let position = wanted.position;
        let read = late
            .read(position.topic, position.partition, position.offset, 1)
            .await;
        assert_eq!(read, Ok(vec![wanted.clone()]));
    }
    late.append(Topic::Returns, 0, vec![record("later")])
        .await
        .expect("it is appended");
}

/// One is chosen; when it goes, another is, and who goes has heard that it is not any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_process_is_chosen_and_another_when_it_goes() {
    let config = config();
    let first = open(config.clone()).await.expect("it opens");
    let second = open(config.clone()).await.expect("it opens");
    assert!(first.is_shared());
    let mut chosen_first = first.stand();
    chosen(&mut chosen_first).await;
    let mut chosen_second = second.stand();
    first
        .append(
            Topic::Benchmarks,
            0,
            vec![record("read by nobody who stands")],
        )
        .await
        .expect("it is appended");
    assert!(
        *chosen_first.borrow(),
        "who is chosen stays it when another comes"
    );
    first.close().await;
    assert!(!*chosen_first.borrow());
    chosen(&mut chosen_second).await;
    let mut again = second.stand();
    chosen(&mut again).await;
    second.close().await;
}

async fn chosen(receiver: &mut tokio::sync::watch::Receiver<bool>) {
    let chosen = tokio::time::timeout(DEADLINE, receiver.wait_for(|chosen| *chosen)).await;
    chosen
        .expect("it is chosen in time")
        .expect("the log is open");
}

/// What another process wrote is where the log really ends, whether it has come here or not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_real_end_covers_what_another_process_was_acknowledged() {
    let config = config();
    let one = open(config.clone()).await.expect("it opens");
    let other = open(config).await.expect("it opens");
    for number in 0..20 {
        let receipt = one
            .append(Topic::Reference, 0, vec![record(format!("{number}"))])
            .await;
        let receipt = receipt.expect("it is appended");
        let end = other.find_head().await.expect("the brokers answer");
        assert!(end.covers(receipt[0].position));
    }
    other.close().await;
    assert_eq!(other.find_head().await, Err(LogError::Closed));
}
