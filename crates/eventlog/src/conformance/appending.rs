//! Checks of appending and reading.

use super::{Given, START_MS, TOPIC, code, receipts, record, within};
use crate::{
    Cut, MAX_APPEND_RECORDS, MAX_KEY_BYTES, MAX_RECORD_BYTES, NewRecord, Position, Record, Topic,
};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Nothing is in a new log, and its head is the cut before everything.
pub async fn a_new_log_is_empty(given: Given) {
    assert_eq!(given.log.head(), Cut::new());
    for (topic, partition) in given.log.layout().all() {
        let found = within(given.log.read(topic, partition, 0, 10)).await;
        assert_eq!(found, Ok(Vec::new()));
    }
}

/// What was acknowledged can be read at once, one by one and in pages, and the head covers it.
pub async fn acknowledged_records_are_readable(given: Given) {
    let mut acknowledged = Vec::new();
    for number in 0..25 {
        let receipt = given.append(format!("payload {number}")).await;
        assert!(given.log.head().covers(receipt.position));
        let found = within(given.log.read(TOPIC, 0, receipt.position.offset, 5)).await;
        let found = found.expect("what is there can be read");
        assert_eq!(receipts(&found), [receipt]);
        assert_eq!(found[0].payload, format!("payload {number}"));
        acknowledged.push(receipt);
    }
    for page in [1, 7, 1000] {
        assert_eq!(receipts(&given.read_all(0, page).await), acknowledged);
    }
    let none = within(given.log.read(TOPIC, 0, 0, 0)).await;
    assert_eq!(none, Ok(Vec::new()));
}

/// Keys and payloads come back as they were, whatever bytes they are of, empty ones too.
pub async fn records_are_kept_byte_for_byte(given: Given) {
    let all_bytes: Bytes = (0..=255).collect::<Vec<u8>>().into();
    let new = vec![
        record("", ""),
        record("", all_bytes.clone()),
        record(all_bytes.clone(), ""),
        record(all_bytes.slice(128..), all_bytes),
        record("RJ1", "\0\n\r{}"),
        record(vec![0xff; MAX_KEY_BYTES], "the longest key"),
    ];
    given.append_all(1, new.clone()).await;
    let found = given.read_all(1, 100).await;
    let found: Vec<_> = found
        .iter()
        .map(|found| record(found.key.clone(), found.payload.clone()))
        .collect();
    assert_eq!(found, new);
}

/// Offsets strictly increase in the order of appending, and the records of one append stand next to each other.
pub async fn offsets_increase_and_batches_stay_together(given: Given) {
    let given = Arc::new(given);
    let appenders = (0..8_usize).map(|appender| {
        let given = Arc::clone(&given);
        tokio::spawn(async move {
            let mut acknowledged = Vec::new();
            for round in 0..20_usize {
                let name = |part| record("key", format!("{appender} {round} {part}"));
                let receipts = given.append_all(0, (0..5).map(name).collect()).await;
                acknowledged.extend(receipts.iter().map(|receipt| receipt.position));
            }
            acknowledged
        })
    });
    for appender in appenders.collect::<Vec<_>>() {
        let acknowledged = appender.await.expect("the appender does not panic");
        assert!(
            acknowledged.is_sorted_by(|a, b| a < b),
            "an appender's own order is kept"
        );
    }
    let all = given.read_all(0, 64).await;
    assert_eq!(all.len(), 8 * 20 * 5);
    assert!(all.is_sorted_by(|a, b| a.position < b.position));
    for append in all.chunks(5) {
        let names: Vec<_> = append
            .iter()
            .map(|record| String::from_utf8_lossy(&record.payload))
            .collect();
        let whose = names[0].trim_end_matches('0');
        let expected: Vec<_> = (0..5).map(|part| format!("{whose}{part}")).collect();
        assert_eq!(names, expected);
    }
}

/// Time is the clock's, and stands still within a partition while the clock is behind.
pub async fn time_never_decreases(given: Given) {
    let mut times = Vec::new();
    for now_ms in [
        START_MS,
        START_MS + 5,
        START_MS - 1000,
        START_MS + 3,
        START_MS + 6,
    ] {
        given.clock.set(now_ms);
        times.push(given.append("now").await.time_ms - START_MS);
    }
    assert_eq!(times, [0, 5, 5, 5, 6]);
    let read: Vec<_> = given
        .read_all(0, 2)
        .await
        .iter()
        .map(|record| record.time_ms - START_MS)
        .collect();
    assert_eq!(read, times);
}

/// A record as large as the limit comes back whole, among small ones.
pub async fn large_records_come_back_whole(given: Given) {
    let payload = |bytes: usize| -> Bytes {
        let byte = |at: usize| u8::try_from(at * 31 % 251).expect("a remainder of 251 fits a byte");
        (0..bytes).map(byte).collect::<Vec<_>>().into()
    };
    let sizes = [
        10,
        65_000,
        65_536,
        200_000,
        MAX_RECORD_BYTES - 3,
        0,
        1_000_000,
        10,
    ];
    let new: Vec<NewRecord> = sizes.map(|bytes| record("RJ1", payload(bytes))).into();
    given.append_all(0, new.clone()).await;
    let found = given.read_all(0, 100).await;
    assert_eq!(found.len(), new.len());
    for (found, new) in found.iter().zip(new) {
        assert!(
            found.payload == new.payload,
            "{} bytes came back changed",
            new.payload.len()
        );
    }
}

/// Limits are kept, the answer says so, and nothing of a refused append is there.
pub async fn what_is_too_large_is_refused(given: Given) {
    let large = record("RJ1", vec![0; MAX_RECORD_BYTES - 2]);
    let long_key = record(vec![0; MAX_KEY_BYTES + 1], "");
    let cases = [
        (vec![record("a", "fits"), large], "LOG_RECORD_TOO_LARGE"),
        (vec![long_key], "LOG_RECORD_TOO_LARGE"),
        (
            vec![record("", ""); MAX_APPEND_RECORDS + 1],
            "LOG_APPEND_TOO_LARGE",
        ),
        (
            vec![record("", vec![0; MAX_RECORD_BYTES]); 5],
            "LOG_APPEND_TOO_LARGE",
        ),
    ];
    for (records, expected) in cases {
        let answer = within(given.log.append(TOPIC, 0, records)).await;
        assert_eq!(code(answer), expected);
    }
    given
        .append_all(0, vec![record("", ""); MAX_APPEND_RECORDS])
        .await;
    assert_eq!(given.read_all(0, 1000).await.len(), MAX_APPEND_RECORDS);
}

/// A partition that the layout lacks can be neither written nor read.
pub async fn unknown_partitions_are_refused(given: Given) {
    for topic in Topic::ALL {
        let beyond = given.log.layout().partitions(topic);
        let answer = within(given.log.append(topic, beyond, vec![record("a", "b")])).await;
        assert_eq!(code(answer), "LOG_UNKNOWN_PARTITION");
        let answer = within(given.log.read(topic, beyond, 0, 1)).await;
        assert_eq!(code(answer), "LOG_UNKNOWN_PARTITION");
    }
    assert_eq!(given.log.head(), Cut::new());
}

/// Every partition of every topic has its own records and its own offsets.
pub async fn partitions_are_apart(given: Given) {
    let mut expected = Cut::new();
    for (topic, partition) in given.log.layout().all() {
        let name = format!("{topic}/{partition}");
        let receipts = within(
            given
                .log
                .append(topic, partition, vec![record("key", name)]),
        )
        .await;
        let receipts = receipts.expect("an append within all limits is taken");
        assert_eq!(
            (receipts[0].position.topic, receipts[0].position.partition),
            (topic, partition)
        );
        expected.advance_past(receipts[0].position);
    }
    assert_eq!(given.log.head(), expected);
    for (topic, partition) in given.log.layout().all() {
        let found = within(given.log.read(topic, partition, 0, 10)).await;
        let found = found.expect("what is there can be read");
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].payload, format!("{topic}/{partition}"));
    }
}

/// An append of no records succeeds and does nothing.
pub async fn nothing_is_appended_by_no_records(given: Given) {
    given.append_all(0, Vec::new()).await;
    assert_eq!(given.log.head(), Cut::new());
}

/// The record right below the head exists, so that whoever waits to pass the head gets there.
pub async fn the_head_is_right_after_a_record(given: Given) {
    for number in 0..50 {
        let receipt = given.append(format!("{number}")).await;
        assert_eq!(given.log.head().next(TOPIC, 0), receipt.position.offset + 1);
    }
}

/// Thousands of records of many appenders over all partitions are all there, each where its receipt says.
pub async fn many_appenders_share_the_log(given: Given) {
    let given = Arc::new(given);
    let appenders = (0..64_u32).map(|appender| {
        let given = Arc::clone(&given);
        tokio::spawn(async move {
            let mut acknowledged = Vec::new();
            for round in 0..40_u32 {
                let key = format!("organisation {appender}");
                let partition = given.log.layout().partition_of(TOPIC, key.as_bytes());
                let payload = format!("{appender} {round}");
                let count = 1 + (appender + round) as usize % 3;
                let records = vec![record(key, payload.clone()); count];
                for receipt in given.append_all(partition, records).await {
                    acknowledged.push((receipt.position, payload.clone()));
                }
            }
            acknowledged
        })
    });
    let mut acknowledged: BTreeMap<Position, String> = BTreeMap::new();
    let mut count = 0;
    for appender in appenders.collect::<Vec<_>>() {
        let receipts = appender.await.expect("the appender does not panic");
        count += receipts.len();
        acknowledged.extend(receipts);
    }
    assert_eq!(acknowledged.len(), count, "no position was given twice");
    let mut found: Vec<Record> = Vec::new();
    for partition in 0..given.log.layout().partitions(TOPIC) {
        found.extend(given.read_all(partition, 500).await);
    }
    assert_eq!(found.len(), count);
    for record in found {
        assert_eq!(
            acknowledged.get(&record.position).map(String::as_bytes),
            Some(&*record.payload)
        );
    }
}
