//! Checks of what a durable log finds when it is opened again. They pass at once for a log that is not durable.

use super::{Given, START_MS, TOPIC, record, within};
use futures::StreamExt;
use std::sync::Arc;

/// Closes the log and opens it again on the same storage; nothing if it is not durable.
async fn reopen(given: Given) -> Option<Given> {
    if !given.storage.is_durable() {
        return None;
    }
    within(given.log.close()).await;
    let Given {
        log,
        clock,
        storage,
    } = given;
    drop(log);
    let log = storage.open(Arc::new(clock.clone())).await;
    Some(Given {
        log,
        clock,
        storage,
    })
}

/// Every acknowledged record is there, where it was and as it was, and so is the head.
pub async fn what_was_acknowledged_is_still_there(given: Given) {
    for partition in 0..2 {
        for number in 0..40 {
            let payload = vec![u8::try_from(number).expect("below 40"); number * 997];
            given
                .append_all(partition, vec![record(format!("{number}"), payload); 2])
                .await;
        }
    }
    let before = (
        given.log.head(),
        given.read_all(0, 100).await,
        given.read_all(1, 100).await,
    );
    let Some(given) = reopen(given).await else {
        return;
    };
    let after = (
        given.log.head(),
        given.read_all(0, 100).await,
        given.read_all(1, 100).await,
    );
    assert!(after == before, "the log changed by being opened again");
    let tailed: Vec<_> = given.log.tail(TOPIC, 0, 0).take(1).collect().await;
    assert_eq!(tailed.len(), 1);
}

/// New records come after the old ones, in offset and in time, even if the clock has jumped back. More than once.
pub async fn offsets_and_time_go_on(given: Given) {
    let mut given = given;
    let mut last = given.append("first").await;
    for round in 1..4 {
        let Some(again) = reopen(given).await else {
            return;
        };
        given = again;
        given.clock.set(START_MS - 10_000 * round);
        let next = given.append("next").await;
        assert!(next.position > last.position);
        assert_eq!(next.time_ms, START_MS);
        last = next;
    }
    assert_eq!(given.read_all(0, 10).await.len(), 4);
}

/// Appends that are under way when the log is closed are either acknowledged and kept, or refused.
pub async fn what_was_taken_is_kept_by_closing(given: Given) {
    let appends: Vec<_> = (0..200)
        .map(|number| {
            let log = Arc::clone(&given.log);
            tokio::spawn(async move {
                log.append(TOPIC, 0, vec![record("key", format!("{number}"))])
                    .await
            })
        })
        .collect();
    tokio::task::yield_now().await;
    within(given.log.close()).await;
    let mut acknowledged = Vec::new();
    for (number, append) in appends.into_iter().enumerate() {
        match within(append).await.expect("the appender does not panic") {
            Ok(receipts) => acknowledged.push((receipts[0].position, format!("{number}"))),
            Err(error) => assert_eq!(error.code(), "LOG_CLOSED"),
        }
    }
    acknowledged.sort();
    let Some(given) = reopen(given).await else {
        return;
    };
    let found = given.read_all(0, 1000).await;
    let found: Vec<_> = found
        .iter()
        .map(|record| {
            (
                record.position,
                String::from_utf8_lossy(&record.payload).into_owned(),
            )
        })
        .collect();
    assert_eq!(found, acknowledged);
}
