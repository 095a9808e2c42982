//! Checkpoints: resumed from, survived, judged, set aside.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use qipp_eventlog::{EventLog, Layout, ManualClock, MemoryLog};
use qipp_projection::{Follower, ProjectionError, domain_cut};
use tokio_util::sync::CancellationToken;

use crate::fixture::*;

async fn saved(log: &Arc<MemoryLog>, store: &Path) {
    let follower = follow(log, seldom(store, version_1)).await;
    follower.0.caught_up().await.unwrap();
    stop(follower).await;
}

fn aside(store: &Path, number: u32) -> PathBuf {
    PathBuf::from(format!("{}.damaged-{number}", store.display()))
}

async fn is_rebuilt(log: &Arc<MemoryLog>, store: &Path) {
    let follower = follow(log, seldom(store, version_1)).await;
    follower.0.caught_up().await.unwrap();
    assert_eq!(follower.0.digest(), truth(log, version_1).await);
    stop(follower).await;
}

#[tokio::test]
async fn a_restart_goes_on_from_the_checkpoint() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().join("store");
    let log = empty_log();
    append_all(&log, &some_of_everything()).await;
    saved(&log, &store).await;
    let cut = domain_cut(&log.head());
    append(&log, &Fact::quality(1, 8, 900)).await;

    let follower = follow(&log, seldom(&store, version_1)).await;
    assert_eq!(follower.0.checkpointed().borrow().cut, cut);
    assert!(follower.0.cut().includes(&cut));
    follower.0.caught_up().await.unwrap();
    assert_eq!(follower.0.digest(), truth(&log, version_1).await);
    assert!(!aside(&store, 1).exists());
}

#[tokio::test]
async fn silence_makes_a_checkpoint_that_a_crash_cannot_take_back() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().join("store");
    let log = empty_log();
    append_all(&log, &some_of_everything()).await;
    let head = domain_cut(&log.head());
    let follower = follow(&log, often(&store, version_1)).await;
    let mut checkpointed = follower.0.checkpointed();
    let reached = checkpointed.wait_for(|c| c.cut == head).await;
    assert!(reached.unwrap().count > 0);
    crash(follower).await;

    let follower = follow(&log, seldom(&store, version_1)).await;
    assert_eq!(follower.0.checkpointed().borrow().cut, head);
    assert_eq!(follower.0.digest(), truth(&log, version_1).await);
}

#[tokio::test]
async fn a_crash_loses_only_what_the_log_still_has() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().join("store");
    let log = empty_log();
    append_all(&log, &some_of_everything()).await;
    saved(&log, &store).await;
    append_all(&log, &some_of_everything()).await;
    append(&log, &Fact::quality(1, 8, 900)).await;
    let follower = follow(&log, seldom(&store, version_1)).await;
    follower.0.caught_up().await.unwrap();
    crash(follower).await;

    let follower = follow(&log, seldom(&store, version_1)).await;
    follower.0.caught_up().await.unwrap();
    assert_eq!(follower.0.digest(), truth(&log, version_1).await);
}

#[tokio::test]
async fn a_damaged_store_is_moved_aside_and_rebuilt() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().join("store");
    let log = empty_log();
    append_all(&log, &some_of_everything()).await;

    type Harm = fn(&Path);
    let harms: [Harm; 5] = [
        |store| std::fs::write(store.join("checkpoint"), b"nonsense").unwrap(),
        |store| std::fs::write(store.join("checkpoint"), b"").unwrap(),
        |store| tamper(store, |bytes| bytes.truncate(bytes.len() / 2)),
        |store| tamper(store, |bytes| *bytes.last_mut().unwrap() ^= 1),
        |store| std::fs::rename(store.join("checkpoint"), store.join("db")).unwrap(),
    ];
    for (number, harm) in (1..).zip(harms) {
        saved(&log, &store).await;
        harm(&store);
        is_rebuilt(&log, &store).await;
        assert!(aside(&store, number).exists(), "harm {number} unnoticed");
        assert!(!aside(&store, number + 1).exists());
    }
}

fn tamper(store: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let file = store.join("checkpoint");
    let mut bytes = std::fs::read(&file).unwrap();
    change(&mut bytes);
    std::fs::write(file, bytes).unwrap();
}

#[tokio::test]
async fn a_checkpoint_of_another_log_is_never_used() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().join("store");
    let facts = some_of_everything();
    let log = empty_log();
    append_all(&log, &facts).await;
    saved(&log, &store).await;

    // Shorter than the checkpoint.
    let shorter = empty_log();
    append_all(&shorter, &facts[..20]).await;
    is_rebuilt(&shorter, &store).await;
    assert!(aside(&store, 1).exists());

    // As long, and with one other fact at the end of a lane.
    saved(&log, &store).await;
    assert!(
        !aside(&store, 2).exists(),
        "a longer log with the same records is the same log"
    );
    let other = empty_log();
    let mut facts = facts;
    let last = facts.last_mut().unwrap();
    *last = match last.clone() {
        Fact::National(marker, month, numerator) => Fact::National(marker, month, numerator + 1),
        fact => fact,
    };
    append_all(&other, &facts).await;
    is_rebuilt(&other, &store).await;
    assert!(aside(&store, 2).exists());

    // With fewer partitions.
    let layout = Layout {
        returns: 1,
        alerts: 1,
    };
    let clock = Arc::new(ManualClock::new(1_000));
    let narrow = Arc::new(MemoryLog::new(layout, clock));
    append_all(&narrow, &facts).await;
    append_all(&narrow, &facts).await;
    is_rebuilt(&narrow, &store).await;
    assert!(aside(&store, 3).exists());
}

#[tokio::test]
async fn a_store_in_use_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().join("store");
    let log = empty_log();
    append_all(&log, &some_of_everything()).await;
    let first = follow(&log, seldom(&store, version_1)).await;
    let second = Follower::start(
        Arc::<MemoryLog>::clone(&log) as Arc<dyn EventLog>,
        seldom(&store, version_1),
        CancellationToken::new(),
    );
    assert!(matches!(
        second.await,
        Err(ProjectionError::StoreInUse { .. })
    ));
    first.0.caught_up().await.unwrap();
    stop(first).await;
    assert!(!aside(&store, 1).exists());
    let again = follow(&log, seldom(&store, version_1)).await;
    assert_eq!(again.0.digest(), truth(&log, version_1).await);
}

/// A checkpoint says nothing of the shape of its bytes but a format number, so nothing else notices that a type has changed.
#[tokio::test]
async fn the_bytes_of_saved_state_are_golden() {
    let log = empty_log();
    append_all(&log, &some_of_everything()).await;
    append(&log, &Fact::Begun(7, "somebody".into())).await;
    assert_eq!(
        truth(&log, version_1).await,
        "8931936b197ba52d6b3512bf2e24da943bfba6f64d3d4fff7f65842281c9419f",
        "the domain's saved state has other bytes now: raise FORMAT in checkpoint.rs, then put the new digest here"
    );
}
