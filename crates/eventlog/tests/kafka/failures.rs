//! Brokers that go away and come back.

use crate::brokers::{on, open, record};
use futures::StreamExt;
use qipp_eventlog::{EventLog, KafkaConfig, Topic};
use qipp_kafka_cluster::Cluster;
use std::time::Duration;

/// An append ends within its time-out, a tail waits, and both go on when the brokers are back. Nothing that was acknowledged is missing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_whose_brokers_were_away_goes_on_by_itself() {
    let starting = tokio::task::spawn_blocking(|| Cluster::start(1));
    let cluster = starting
        .await
        .expect("no panic")
        .unwrap_or_else(|error| panic!("{error}"));
    let view = cluster.view(0);
    let config = KafkaConfig {
        timeout: Duration::from_secs(4),
        ..on(&view.brokers())
    };
    let log = open(config.clone()).await.expect("it opens");
    let append = |payload: &'static str| log.append(Topic::Returns, 1, vec![record(payload)]);
    let before = append("before").await.expect("it is appended");
    let mut tail = log.tail(Topic::Returns, 1, before[0].position.offset + 1);

    view.cut();
    let refused = append("cut off").await.expect_err("nobody acknowledges it");
    assert_eq!(refused.code(), "LOG_IO");
    assert_eq!(
        log.find_head().await.map_err(|error| error.code()),
        Err("LOG_IO")
    );
    assert_eq!(
        open(config).await.map_err(|error| error.code()).err(),
        Some("LOG_IO")
    );
    assert!(futures::poll!(tail.next()).is_pending());

    view.mend();
    // Until the client has found the way back, which it looks for by itself.
    let after = loop {
        if let Ok(receipts) = append("after").await {
            break receipts[0];
        }
    };
    let mut seen = Vec::new();
    while seen
        .last()
        .is_none_or(|last: &qipp_eventlog::Record| last.position < after.position)
    {
        let batch = tokio::time::timeout(Duration::from_secs(60), tail.next()).await;
        let batch = batch.expect("it comes").expect("the tail goes on");
        seen.extend(batch.expect("it can be read"));
    }
    assert_eq!(
        seen.last().map(|last| &last.payload[..]),
        Some(&b"after"[..])
    );
    assert!(
        log.find_head()
            .await
            .is_ok_and(|head| head.covers(after.position))
    );
    log.close().await;
}
