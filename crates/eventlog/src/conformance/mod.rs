//! The contract of [`EventLog`] as checks that every adapter must pass, unchanged.
//!
//! Written against the port alone: an adapter offers a [`Factory`] and calls [`conformance_suite!`](crate::conformance_suite), which makes one
//! test of each check. Nothing here knows an adapter, sleeps, or depends on how fast anything is: where a check
//! waits, it waits for a state, and a generous deadline turns waiting in vain into a failure.
//!
//! The checks panic when the contract is broken, as tests do. They are public, and not behind `cfg(test)`, so that an
//! adapter in another crate can run them too.

pub mod appending;
pub mod reopening;
pub mod tailing;

use crate::{
    Appended, Clock, EventLog, LogError, ManualClock, NewRecord, Record, RecordStream, Topic,
};
use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

/// Makes storage for logs of one kind.
pub trait Factory: Send + Sync {
    /// Storage that no log has used yet, of at least two partitions of [`Topic::Returns`].
    fn fresh(&self) -> Box<dyn Storage>;
}

/// Where one log is kept. Dropped after the log, and may clean up then.
#[async_trait]
pub trait Storage: Send + Sync {
    /// Opens the log; again after it was closed, if it is durable.
    async fn open(&self, clock: Arc<dyn Clock>) -> Arc<dyn EventLog>;
    /// Whether the log can be opened again after it was closed.
    fn is_durable(&self) -> bool;
}

/// An open, empty log to check, on a clock that stands at [`START_MS`].
pub struct Given {
    /// The log.
    pub log: Arc<dyn EventLog>,
    /// Its clock.
    pub clock: ManualClock,
    /// Where it is kept.
    pub storage: Box<dyn Storage>,
}

impl Debug for Given {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Given")
            .field("log", &self.log)
            .finish_non_exhaustive()
    }
}

/// Where the clock stands when a check begins.
pub const START_MS: i64 = 1_700_000_000_000;
/// The topic most checks use.
const TOPIC: Topic = Topic::Returns;
/// How long a check waits for what must come. Only a guard: whatever comes, comes at once.
const DEADLINE: Duration = Duration::from_secs(60);

impl Given {
    /// A fresh log.
    pub async fn new(factory: &dyn Factory) -> Given {
        let clock = ManualClock::new(START_MS);
        let storage = factory.fresh();
        let log = storage.open(Arc::new(clock.clone())).await;
        assert!(
            log.layout().partitions(TOPIC) >= 2,
            "the suite wants two partitions"
        );
        Given {
            log,
            clock,
            storage,
        }
    }

    /// Appends one record to partition 0 of the usual topic.
    async fn append(&self, payload: impl Into<Bytes>) -> Appended {
        self.append_all(0, vec![record("key", payload)]).await[0]
    }

    async fn append_all(&self, partition: u16, records: Vec<NewRecord>) -> Vec<Appended> {
        let count = records.len();
        let receipts = within(self.log.append(TOPIC, partition, records)).await;
        let receipts = receipts.expect("an append within all limits is taken");
        assert_eq!(receipts.len(), count, "one receipt per record");
        receipts
    }

    /// Everything in partition `partition` of the usual topic, read in pages of `page`.
    async fn read_all(&self, partition: u16, page: usize) -> Vec<Record> {
        let mut all: Vec<Record> = Vec::new();
        loop {
            let from = all.last().map_or(0, |last| last.position.offset + 1);
            let records = within(self.log.read(TOPIC, partition, from, page)).await;
            let records = records.expect("what is there can be read");
            assert!(records.len() <= page, "no more than asked for");
            if records.is_empty() {
                return all;
            }
            all.extend(records);
        }
    }
}

fn record(key: impl Into<Bytes>, payload: impl Into<Bytes>) -> NewRecord {
    NewRecord {
        key: key.into(),
        payload: payload.into(),
    }
}

/// What comes, within the deadline.
async fn within<T>(coming: impl Future<Output = T>) -> T {
    let come = tokio::time::timeout(DEADLINE, coming).await;
    come.expect("it comes within the deadline")
}

/// The next batch of a tail.
async fn next_batch(tail: &mut RecordStream) -> Vec<Record> {
    let batch = within(tail.next()).await.expect("the tail goes on");
    let batch = batch.expect("the tail has no error");
    assert!(!batch.is_empty(), "batches are never empty");
    batch
}

/// Records of a tail, batch after batch, until there are at least `count`.
async fn take(tail: &mut RecordStream, count: usize) -> Vec<Record> {
    let mut taken = Vec::new();
    while taken.len() < count {
        taken.extend(next_batch(tail).await);
    }
    taken
}

/// The receipts that these records should have.
fn receipts(records: &[Record]) -> Vec<Appended> {
    let receipt = |record: &Record| Appended {
        position: record.position,
        time_ms: record.time_ms,
    };
    records.iter().map(receipt).collect()
}

fn code<T>(answer: Result<T, LogError>) -> &'static str {
    answer.err().map_or("no error", |error| error.code())
}

/// Makes one test of every check of the contract, for the adapter that the [`Factory`] makes logs of. Wants `tokio` with
/// its macros and the multi-threaded runtime where it is called.
#[macro_export]
macro_rules! conformance_suite {
    ($factory:expr) => {
        $crate::conformance_suite!($factory;
            appending: a_new_log_is_empty, acknowledged_records_are_readable, records_are_kept_byte_for_byte,
            offsets_increase_and_batches_stay_together, time_never_decreases, large_records_come_back_whole,
            what_is_too_large_is_refused, unknown_partitions_are_refused, partitions_are_apart,
            nothing_is_appended_by_no_records, the_head_is_right_after_a_record, many_appenders_share_the_log;
            tailing: a_tail_starts_at_any_offset, a_tail_wakes_on_append, a_tail_from_the_head_sees_only_what_follows,
            a_tail_from_beyond_the_head_waits_for_its_offset, many_tails_see_the_same,
            a_tail_follows_appenders_without_loss_or_repeat, batches_are_bounded, closing_ends_tails_and_refuses_appends,
            a_tail_of_an_unknown_partition_is_refused, tails_of_other_partitions_stay_quiet;
            reopening: what_was_acknowledged_is_still_there, offsets_and_time_go_on, what_was_taken_is_kept_by_closing;
        );
    };
    ($factory:expr; $($group:ident: $($check:ident),+;)+) => {
        $($(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $check() {
                let given = $crate::conformance::Given::new(&$factory).await;
                $crate::conformance::$group::$check(given).await;
            }
        )+)+
    };
}
