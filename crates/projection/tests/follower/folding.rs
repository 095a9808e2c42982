//! Views, waits, changes, and fresh folds.

use std::sync::Arc;

use qipp_domain::nation::Key;
use qipp_domain::{Cut, Dataset, KnownAt, Period};
use qipp_eventlog::{EmbeddedConfig, EmbeddedLog, EventLog, NewRecord, Topic};
use qipp_projection::{
    Follower, ProjectionError, WaitError, digest_of, domain_cut, fold_to, lane_of,
};
use tokio_util::sync::CancellationToken;

use crate::fixture::*;

#[tokio::test]
async fn a_fold_over_lanes_with_gaps_reaches_the_head_and_the_digest_of_a_fresh_fold() {
    let log = empty_log();
    let (follower, _shutdown) = follow(&log, in_memory()).await;
    append_all(&log, &some_of_everything()).await;
    follower.caught_up().await.unwrap();
    assert_eq!(follower.cut(), domain_cut(&log.head()));
    assert_eq!(follower.view().cut(), &follower.cut());
    assert_eq!(follower.digest(), truth(&log, version_1).await);
    assert_eq!(follower.parked(), []);
    let counts = follower.view().counts();
    assert_eq!(
        (counts.organisations, counts.returns, counts.alerts),
        (6, 25, 6)
    );
}

#[tokio::test]
async fn a_writer_reads_its_own_write_once_it_waited_for_it() {
    let log = empty_log();
    let (follower, _shutdown) = follow(&log, in_memory()).await;
    for month in 1..=12 {
        let cut = append(&log, &Fact::quality(1, month, 900)).await;
        follower.wait_for(&cut).await.unwrap();
        let view = follower.view();
        assert!(view.cut().includes(&cut));
        let period = Period::new(2011, month).unwrap();
        let known = view.ledger(org(1)).unwrap();
        assert!(
            known
                .known(Dataset::Quality, period, &KnownAt::Cut(cut))
                .is_some()
        );
    }
}

#[tokio::test]
async fn whoever_follows_progress_sees_every_append_without_polling() {
    let log = empty_log();
    let (follower, _shutdown) = follow(&log, in_memory()).await;
    let mut progress = follower.progress();
    for month in 1..=12 {
        let cut = append(&log, &Fact::quality(1, month, 900)).await;
        while !follower.cut().includes(&cut) {
            progress.changed().await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_cut_beyond_the_head_is_refused_at_once() {
    let log = empty_log();
    let mut cut = append(&log, &Fact::quality(1, 1, 900)).await;
    let (follower, _shutdown) = follow(&log, in_memory()).await;
    follower.wait_for(&cut).await.unwrap();
    let (lane, next) = cut.iter().next().unwrap();
    cut.set(lane, next + 1);
    assert_eq!(follower.wait_for(&cut).await, Err(WaitError::BeyondHead));
    let no_such_lane = Cut::from_iter([(lane_of(Topic::Returns, 77), 1)]);
    assert_eq!(
        follower.wait_for(&no_such_lane).await,
        Err(WaitError::BeyondHead)
    );
    assert!(matches!(
        fold_to(&*log, version_1, &cut).await,
        Err(ProjectionError::BeyondHead)
    ));
}

#[tokio::test]
async fn who_waits_is_told_when_folding_stops() {
    let log = empty_log();
    let (follower, shutdown) = follow(&log, in_memory()).await;
    shutdown.cancel();
    follower.stopped().await;
    let cut = append(&log, &Fact::quality(1, 1, 900)).await;
    assert!(matches!(
        follower.wait_for(&cut).await,
        Err(WaitError::Stopped(_))
    ));
    assert!(follower.changes().next().await.is_none());

    let (follower, _shutdown) = follow(&log, in_memory()).await;
    follower.wait_for(&cut).await.unwrap();
    let mut changes = follower.changes();
    log.close().await;
    follower.stopped().await;
    assert_eq!(changes.next().await, None);
    assert_eq!(
        follower.why_stopped().as_deref(),
        Some("the log was closed")
    );
}

#[tokio::test]
async fn changes_are_coalesced_and_none_is_lost() {
    let log = empty_log();
    append(&log, &Fact::quality(5, 1, 900)).await;
    let (follower, _shutdown) = follow(&log, in_memory()).await;
    follower.caught_up().await.unwrap();
    let mut changes = follower.changes();
    assert_eq!(changes.since(), &follower.cut());
    for month in 1..=6 {
        append(&log, &Fact::quality(1, month, 900)).await;
        append(&log, &Fact::quality(2, month, 900)).await;
    }
    append(&log, &Fact::Raised(org(1), 6)).await;
    follower.caught_up().await.unwrap();
    let (keys, cut) = changes.next().await.unwrap();
    let expected = [
        Key::Ledger(org(1)),
        Key::Ledger(org(2)),
        Key::Alerts(org(1)),
    ];
    assert_eq!(Vec::from_iter(keys), expected);
    assert_eq!(cut, follower.cut());

    append(&log, &Fact::quality(5, 2, 900)).await;
    let (keys, cut) = changes.next().await.unwrap();
    assert_eq!(Vec::from_iter(keys), [Key::Ledger(org(5))]);
    assert!(follower.cut().includes(&cut));
}

#[tokio::test]
async fn a_fresh_fold_up_to_a_cut_hides_what_came_later() {
    let log = empty_log();
    append_all(&log, &some_of_everything()).await;
    let cut = domain_cut(&log.head());
    let before = truth(&log, version_1).await;
    append(&log, &Fact::quality(1, 1, 100)).await;
    append(&log, &Fact::Organisation(org(50), "Later".into())).await;
    let (nation, parked) = fold_to(&*log, version_1, &cut).await.unwrap();
    assert_eq!(digest_of(&nation), before);
    assert_eq!(parked, []);
    assert_ne!(truth(&log, version_1).await, before);
    let (nothing, _) = fold_to(&*log, version_1, &Cut::default()).await.unwrap();
    assert_eq!(nothing.counts().revisions, 0);
}

#[tokio::test]
async fn the_last_handle_ends_the_fold() {
    let log = empty_log();
    let (follower, shutdown) = follow(&log, in_memory()).await;
    let clone = follower.clone();
    drop(follower);
    append(&log, &Fact::quality(1, 1, 900)).await;
    clone.caught_up().await.unwrap();
    crash((clone, shutdown)).await;
    assert_eq!(Arc::strong_count(&log), 1);
}

#[tokio::test]
async fn the_embedded_log_is_followed_like_any_other() {
    let directory = tempfile::tempdir().unwrap();
    let opened = EmbeddedLog::open(directory.path().join("log"), EmbeddedConfig::default());
    let log = Arc::new(opened.unwrap());
    let config = often(&directory.path().join("store"), version_1);
    let shutdown = CancellationToken::new();
    let following = Arc::<EmbeddedLog>::clone(&log);
    let follower = Follower::start(following, config, shutdown.clone()).await;
    let follower = follower.unwrap();
    for fact in some_of_everything() {
        let (topic, key) = fact.place();
        let record = NewRecord {
            payload: postcard::to_stdvec(&fact).unwrap().into(),
            key: key.into(),
        };
        let partition = log.layout().partition_of(topic, &record.key);
        log.append(topic, partition, vec![record]).await.unwrap();
    }
    follower.caught_up().await.unwrap();
    let digest = follower.digest();
    shutdown.cancel();
    follower.stopped().await;
    let head = domain_cut(&log.head());
    assert_eq!(follower.checkpointed().borrow().cut, head);
    let (nation, _) = fold_to(&*log, version_1, &head).await.unwrap();
    assert_eq!(digest_of(&nation), digest);
    log.close().await;
}
