//! A replica that starts from somebody else's checkpoint: it reads nothing of what that covers, and takes none that is not of its log.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use futures::StreamExt as _;
use qipp_eventlog::{
    Appended, Cut, EventLog, Layout, LogError, ManualClock, MemoryLog, NewRecord, Record,
    RecordStream, Topic,
};
use qipp_projection::{
    Directory, Follower, FollowerConfig, Share, Snapshots, StoreConfig, domain_cut,
};
use tokio_util::sync::CancellationToken;

use crate::fixture::*;

/// A log that counts what is read of it.
#[derive(Debug)]
struct Counting {
    log: Arc<MemoryLog>,
    read: Arc<AtomicU64>,
}

impl Counting {
    fn new(log: &Arc<MemoryLog>) -> Self {
        Self {
            log: Arc::clone(log),
            read: Arc::default(),
        }
    }
}

#[async_trait]
impl EventLog for Counting {
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
        let read = Arc::clone(&self.read);
        let count = move |batch: &Result<Vec<Record>, LogError>| {
            let records = batch.as_ref().map_or(0, Vec::len) as u64;
            read.fetch_add(records, Ordering::Relaxed);
        };
        self.log.tail(topic, partition, from).inspect(count).boxed()
    }

    async fn read(
        &self,
        topic: Topic,
        partition: u16,
        from: u64,
        max: usize,
    ) -> Result<Vec<Record>, LogError> {
        let records = self.log.read(topic, partition, from, max).await?;
        self.read.fetch_add(records.len() as u64, Ordering::Relaxed);
        Ok(records)
    }

    async fn close(&self) {
        self.log.close().await;
    }
}

fn from(snapshots: impl Snapshots + 'static, store: StoreConfig) -> FollowerConfig {
    FollowerConfig {
        snapshots: Some(Arc::new(snapshots)),
        ..FollowerConfig::new(store, version_1)
    }
}

/// Folds the log, and leaves a checkpoint for others.
async fn saved(log: &Arc<MemoryLog>, folder: &Path) {
    let (follower, _shutdown) = follow(log, in_memory()).await;
    follower.caught_up().await.unwrap();
    let snapshot = follower.snapshot();
    assert_eq!(snapshot.cut(), &domain_cut(&log.head()));
    Directory::new(folder.to_owned(), Share::WHOLE)
        .save(&snapshot)
        .unwrap();
}

/// A replica that starts, and is right when it has caught up: how many records it has read by then.
async fn started(log: &Arc<MemoryLog>, config: FollowerConfig) -> u64 {
    let counting = Arc::new(Counting::new(log));
    let read = Arc::clone(&counting.read);
    let follower = Follower::start(counting, config, CancellationToken::new()).await;
    let follower = follower.unwrap();
    follower.caught_up().await.unwrap();
    assert_eq!(follower.digest(), truth(log, version_1).await);
    read.load(Ordering::Relaxed)
}

#[tokio::test]
async fn a_replica_goes_on_from_the_checkpoint_of_another_and_reads_only_what_came_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let log = empty_log();
    append_all(&log, &some_of_everything()).await;
    saved(&log, folder.path()).await;
    let lanes = domain_cut(&log.head()).iter().count() as u64;
    append_all(&log, &[Fact::quality(1, 8, 900), Fact::quality(2, 8, 900)]).await;

    let directory = Directory::new(folder.path().to_owned(), Share::WHOLE);
    let read = started(&log, from(directory, StoreConfig::Memory)).await;
    // The last record of every lane, to be sure that it is of this log, and the two that came later.
    assert_eq!(read, lanes + 2);
    let without = started(&log, in_memory()).await;
    assert!(without > read * 4, "{without} records without it");
}

#[tokio::test]
async fn what_was_taken_from_elsewhere_is_kept_here_for_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let (store, shared) = (folder.path().join("store"), folder.path().join("shared"));
    let log = empty_log();
    append_all(&log, &some_of_everything()).await;
    saved(&log, &shared).await;
    let config = FollowerConfig {
        snapshots: Some(Arc::new(Directory::new(shared.clone(), Share::WHOLE))),
        ..seldom(&store, version_1)
    };
    let replica = follow(&log, config).await;
    stop(replica).await;
    std::fs::remove_dir_all(&shared).unwrap();
    let again = follow(&log, seldom(&store, version_1)).await;
    assert_eq!(again.0.checkpointed().borrow().cut, domain_cut(&log.head()));
    assert_eq!(again.0.digest(), truth(&log, version_1).await);
}

#[tokio::test]
async fn a_snapshot_of_another_log_or_a_damaged_one_is_not_taken_and_the_log_is_folded() {
    let folder = tempfile::tempdir().unwrap();
    let log = empty_log();
    append_all(&log, &some_of_everything()).await;
    let config = || {
        from(
            Directory::new(folder.path().to_owned(), Share::WHOLE),
            StoreConfig::Memory,
        )
    };

    // There is none.
    started(&log, config()).await;
    // Of a log that holds the same to begin with, and more.
    let longer = empty_log();
    append_all(&longer, &some_of_everything()).await;
    append(&longer, &Fact::quality(1, 11, 900)).await;
    saved(&longer, folder.path()).await;
    let all = started(&log, config()).await;
    // Of a log that took another course at its end.
    let other = empty_log();
    let mut facts = some_of_everything();
    let last = facts
        .iter_mut()
        .rev()
        .find(|f| matches!(f, Fact::Quality { .. }));
    *last.unwrap() = Fact::quality(5, 2, 701);
    append_all(&other, &facts).await;
    saved(&other, folder.path()).await;
    assert!(started(&log, config()).await >= all);
    // Of a log with other partitions.
    let layout = Layout {
        returns: 5,
        alerts: 2,
    };
    let wider = Arc::new(MemoryLog::new(layout, Arc::new(ManualClock::new(1_000))));
    append_all(&wider, &some_of_everything()).await;
    saved(&wider, folder.path()).await;
    started(&log, config()).await;
    // The right one, with a bit turned.
    saved(&log, folder.path()).await;
    let file = std::fs::read_dir(folder.path())
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&file, &bytes).unwrap();
    assert_eq!(started(&log, config()).await, all);
    // And as it was.
    bytes[middle] ^= 1;
    std::fs::write(&file, &bytes).unwrap();
    assert!(started(&log, config()).await < all);
}

/// Somebody who cannot give one.
#[derive(Debug)]
struct Away;

#[async_trait]
impl Snapshots for Away {
    async fn newest(&self) -> Result<Option<Box<dyn Read + Send>>, String> {
        Err("nobody answers".to_owned())
    }
}

#[tokio::test]
async fn who_gives_no_snapshot_costs_a_replay_and_nothing_else() {
    let log = empty_log();
    append_all(&log, &some_of_everything()).await;
    started(&log, from(Away, StoreConfig::Memory)).await;
}

#[tokio::test]
async fn an_own_checkpoint_is_preferred() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let log = empty_log();
    append_all(&log, &some_of_everything()).await;
    let own = follow(&log, seldom(&store, version_1)).await;
    own.0.caught_up().await.unwrap();
    stop(own).await;
    let config = FollowerConfig {
        snapshots: Some(Arc::new(Never)),
        ..seldom(&store, version_1)
    };
    let (follower, _shutdown) = follow(&log, config).await;
    assert_eq!(follower.digest(), truth(&log, version_1).await);
}

/// Somebody who is not to be asked.
#[derive(Debug)]
struct Never;

#[async_trait]
impl Snapshots for Never {
    async fn newest(&self) -> Result<Option<Box<dyn Read + Send>>, String> {
        panic!("it was asked")
    }
}
