//! Checks of tails, and of what closing does to them.

use super::{Given, TOPIC, code, next_batch, record, take, within};
use crate::{MAX_RECORD_BYTES, Record};
use futures::StreamExt;
use std::sync::Arc;

/// From every offset, be it of a record or in a gap, a tail gives the records from there on.
pub async fn a_tail_starts_at_any_offset(given: Given) {
    for number in 0..30 {
        given
            .append_all(0, vec![record("key", format!("{number}")); 3])
            .await;
    }
    let all = given.read_all(0, 1000).await;
    let head = given.log.head().next(TOPIC, 0);
    for from in 0..head {
        let expected: Vec<_> = all
            .iter()
            .filter(|record| record.position.offset >= from)
            .cloned()
            .collect();
        let mut tail = given.log.tail(TOPIC, 0, from);
        assert_eq!(take(&mut tail, expected.len()).await, expected);
        assert!(
            futures::poll!(tail.next()).is_pending(),
            "nothing follows yet"
        );
    }
}

/// A tail that waits is woken by what is appended.
pub async fn a_tail_wakes_on_append(given: Given) {
    let mut tail = given.log.tail(TOPIC, 0, 0);
    for number in 0..20 {
        let mut next = tail.next();
        assert!(futures::poll!(&mut next).is_pending());
        let receipt = given.append(format!("{number}")).await;
        let batch = within(next)
            .await
            .expect("the tail goes on")
            .expect("the tail has no error");
        assert_eq!(batch.len(), 1);
        assert_eq!(batch[0].position, receipt.position);
        assert_eq!(batch[0].payload, format!("{number}"));
    }
}

/// A tail from the head gives what is appended afterwards, and nothing of what was there.
pub async fn a_tail_from_the_head_sees_only_what_follows(given: Given) {
    given.append_all(0, vec![record("key", "before"); 10]).await;
    let mut tail = given.log.tail(TOPIC, 0, given.log.head().next(TOPIC, 0));
    assert!(futures::poll!(tail.next()).is_pending());
    let receipt = given.append("after").await;
    let batch = next_batch(&mut tail).await;
    assert_eq!((batch.len(), batch[0].position), (1, receipt.position));
}

/// A tail from beyond the head waits, and begins with the first record at or above its offset.
pub async fn a_tail_from_beyond_the_head_waits_for_its_offset(given: Given) {
    given.append("before").await;
    let from = given.log.head().next(TOPIC, 0) + 5;
    let mut tail = given.log.tail(TOPIC, 0, from);
    loop {
        assert!(futures::poll!(tail.next()).is_pending());
        let receipt = given.append("more").await;
        if receipt.position.offset >= from {
            assert_eq!(next_batch(&mut tail).await[0].position, receipt.position);
            return;
        }
        let none = within(given.log.read(TOPIC, 0, from, 10)).await;
        assert_eq!(none, Ok(Vec::new()));
    }
}

/// Many tails of one partition, each at its own pace, see the same.
pub async fn many_tails_see_the_same(given: Given) {
    let tails: Vec<_> = (0..50).map(|_| given.log.tail(TOPIC, 0, 0)).collect();
    let readers: Vec<_> = tails
        .into_iter()
        .map(|mut tail| tokio::spawn(async move { take(&mut tail, 200).await }))
        .collect();
    for number in 0..100 {
        given
            .append_all(0, vec![record("key", format!("{number}")); 2])
            .await;
    }
    let all = given.read_all(0, 1000).await;
    for reader in readers {
        assert_eq!(reader.await.expect("the reader does not panic"), all);
    }
}

/// While many append, a tail gives every record once, in order, and can be left and resumed anywhere.
pub async fn a_tail_follows_appenders_without_loss_or_repeat(given: Given) {
    let given = Arc::new(given);
    let appenders: Vec<_> = (0..16)
        .map(|_| {
            let given = Arc::clone(&given);
            tokio::spawn(async move {
                for _ in 0..40 {
                    given.append("fact").await;
                }
            })
        })
        .collect();
    let mut seen: Vec<Record> = Vec::new();
    while seen.len() < 16 * 40 {
        // Left after one batch and resumed, so that the seams are checked as well.
        let from = seen.last().map_or(0, |last| last.position.offset + 1);
        let mut tail = given.log.tail(TOPIC, 0, from);
        seen.extend(next_batch(&mut tail).await);
    }
    for appender in appenders {
        appender.await.expect("the appender does not panic");
    }
    assert_eq!(seen, given.read_all(0, 1000).await);
}

/// Neither a tail nor a read ever gives everything at once when there is much.
pub async fn batches_are_bounded(given: Given) {
    for _ in 0..3 {
        let large = vec![record("key", vec![7; MAX_RECORD_BYTES / 2]); 6];
        given.append_all(0, large).await;
    }
    let mut tail = given.log.tail(TOPIC, 0, 0);
    let first = next_batch(&mut tail).await;
    assert!(first.len() < 18, "36 MiB came as one batch");
    assert_eq!(
        first.len() + take(&mut tail, 18 - first.len()).await.len(),
        18
    );
    let read = within(given.log.read(TOPIC, 0, 0, usize::MAX)).await;
    assert!(read.expect("what is there can be read").len() < 18);
    assert_eq!(given.read_all(0, usize::MAX).await.len(), 18);

    given.append_all(1, vec![record("", ""); 10_000]).await;
    let mut tail = given.log.tail(TOPIC, 1, 0);
    assert!(
        next_batch(&mut tail).await.len() < 10_000,
        "10,000 records came as one batch"
    );
}

/// After closing, appends and reads are refused, tails end, and the head stays. Closing again does no harm.
pub async fn closing_ends_tails_and_refuses_appends(given: Given) {
    given.append("before").await;
    let head = given.log.head();
    let mut waiting = given.log.tail(TOPIC, 0, head.next(TOPIC, 0));
    assert!(futures::poll!(waiting.next()).is_pending());
    let (first, second) = futures::join!(given.log.close(), given.log.close());
    assert_eq!((first, second), ((), ()));
    within(given.log.close()).await;
    assert_eq!(within(waiting.next()).await, None);
    assert_eq!(within(given.log.tail(TOPIC, 0, 0).next()).await, None);
    let answer = within(given.log.append(TOPIC, 0, vec![record("a", "after")])).await;
    assert_eq!(code(answer), "LOG_CLOSED");
    assert_eq!(
        code(within(given.log.read(TOPIC, 0, 0, 1)).await),
        "LOG_CLOSED"
    );
    assert_eq!(given.log.head(), head);
}

/// A tail of a partition that the layout lacks yields one error and ends.
pub async fn a_tail_of_an_unknown_partition_is_refused(given: Given) {
    let mut tail = given
        .log
        .tail(TOPIC, given.log.layout().partitions(TOPIC), 0);
    let first = within(tail.next()).await.expect("the tail says why");
    assert_eq!(code(first), "LOG_UNKNOWN_PARTITION");
    assert_eq!(within(tail.next()).await, None);
}

/// What is appended to one partition is not seen by a tail of another.
pub async fn tails_of_other_partitions_stay_quiet(given: Given) {
    let mut other = given.log.tail(TOPIC, 1, 0);
    given.append("for partition 0").await;
    assert!(futures::poll!(other.next()).is_pending());
    let receipts = given
        .append_all(1, vec![record("key", "for partition 1")])
        .await;
    assert_eq!(
        next_batch(&mut other).await[0].position,
        receipts[0].position
    );
}
