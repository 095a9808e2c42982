//! The port: what a log is to everybody who writes to it or reads from it. Adapters live in their own files.

use crate::{Appended, Cut, Layout, LogError, NewRecord, Record, Topic};
use async_trait::async_trait;
use futures::stream::BoxStream;
use std::fmt::Debug;
use tokio::sync::watch;

/// Batches of consecutive records of one partition, as [`EventLog::tail`] gives them.
pub type RecordStream = BoxStream<'static, Result<Vec<Record>, LogError>>;

/// An ordered, durable, append-only log of records, in topics of a fixed number of partitions.
///
/// One partition, seen at a moment:
///
/// ```text
///   offset    0     1     2     3     4     5     6     7     8     9
///          ┌─────┬─────┬─────┬     ┬─────┬     ┬     ┬─────┬ ─ ─ ┬ ─ ─ ┐
///          │  r  │  r  │  r  │ gap │  r  │ gap   gap │  r  │ taken, not│ → later appends
///          └─────┴─────┴─────┴     ┴─────┴     ┴     ┴─────┴ ─ ─ ┴ ─ ─ ┘
///             ▲                       ▲                       ▲
///           first                a reader from 3            durable head = next offset = 8
///                                starts here                (one past the last durable record)
/// ```
///
/// # What is promised
///
/// * **Order.** Offsets of a partition strictly increase in the order of appending. Every reader sees that order.
/// * **Durable before acknowledged.** [`append`](EventLog::append) returns once all its records are as durable as the
///   adapter can make them. What was acknowledged is found after any crash or restart.
/// * **A record is atomic.** It is there whole or not at all, so facts that belong together go into one record.
/// * **A batch keeps its order**: records of one append stand in the order given. Where one process writes, no record of another append
///   stands in between; where several do (Kafka), records of another process may.
/// * **Readers see only durable records.** Nothing read is ever taken back.
/// * **A tail loses nothing, repeats nothing and keeps order**, and can be resumed at any offset: 0, in the middle, in a
///   gap (it starts at the next record) or beyond the head (it waits for that offset or the next one after it).
/// * **Gaps come before records, never after the last one**: where the head is above 0, the record right below it exists.
///   So a reader that waits until it has passed the head always gets there.
/// * **Time never decreases** within a partition, whatever the clock does.
/// * **Keys and payloads are kept byte for byte.**
///
/// # What is not promised
///
/// * Offsets without gaps, or a first offset of 0. Count records, never offsets; go on at last offset + 1.
/// * Any order between partitions. What needs one order has one partition, or cites a [`Cut`].
/// * Atomicity across the records of one append: after a failure or a crash a leading part of them may be there.
/// * That a failed or abandoned append left nothing. Where the answer is [`LogError::Io`], or the future was dropped, the
///   records may be found later: facts have ids that their cause determines, and folds ignore repeats.
/// * That two appends begun at the same time stand in the order in which they began.
/// * A choice of partition: the caller chooses, by the key ([`Layout::partition_of`]). The log does not check it.
#[async_trait]
pub trait EventLog: Send + Sync + Debug {
    /// How many partitions each topic has.
    fn layout(&self) -> Layout;

    /// Appends records to one partition, in order, and returns one receipt for each once **all** are durable.
    ///
    /// Waits while the log has as much to write as it takes at once (back-pressure). No records, no effect.
    ///
    /// # Errors
    /// [`LogError::UnknownPartition`], [`LogError::RecordTooLarge`], [`LogError::AppendTooLarge`], [`LogError::Closed`] and
    /// [`LogError::Poisoned`] mean that nothing was appended; so does [`LogError::StorageFull`], except when the disk
    /// filled up in mid-write, after which the log is poisoned. After others the records may or may not be there.
    async fn append(
        &self,
        topic: Topic,
        partition: u16,
        records: Vec<NewRecord>,
    ) -> Result<Vec<Appended>, LogError>;

    /// The next offset of every partition: the cut that covers everything durable that this process knows of. Answers from memory.
    ///
    /// What this process appended is always covered once it is acknowledged; what another process appended to the same log
    /// (only on Kafka is there such a thing) is covered a moment later. Who must not miss that asks [`find_head`](EventLog::find_head).
    fn head(&self) -> Cut;

    /// The next offset of every partition as the storage has it now: covers whatever any process was acknowledged before the call.
    ///
    /// # Errors
    /// [`LogError::Io`] when the storage does not answer in time, [`LogError::Closed`].
    async fn find_head(&self) -> Result<Cut, LogError> {
        Ok(self.head())
    }

    /// Stands for what only one process of a log may do, and says whether this process is the one that is chosen now.
    ///
    /// A log that one process has to itself chooses it at once and for good (the default). On Kafka the brokers choose one of all
    /// that stand, and another when it is gone. To be chosen is a hint and no lock: a process that was paused believes for a
    /// moment longer that it is, so what it writes must carry an epoch by which folds can tell (see `Facts::EpochBegun` of
    /// the domain). A receiver whose sender is gone keeps its last value.
    fn stand(&self) -> watch::Receiver<bool> {
        watch::Sender::new(true).subscribe()
    }

    /// May several processes write to this log? Then [`stand`](EventLog::stand) has to be asked, and [`head`](EventLog::head) can lag.
    fn is_shared(&self) -> bool {
        false
    }

    /// How many appends wait for the writer. Answers from memory.
    fn waiting(&self) -> usize {
        0
    }

    /// Records from offset `from` on, to the present and then as they arrive, without polling.
    ///
    /// Items are non-empty batches of consecutive records, bounded in count and bytes. The stream ends when the log is
    /// closed, perhaps before it reached the head (resume later at last offset + 1), or after yielding one error. A stream
    /// that nobody polls holds no resource but itself, so a slow reader slows nobody else.
    fn tail(&self, topic: Topic, partition: u16, from: u64) -> RecordStream;

    /// One bounded read, for verification and paging: records from offset `from` on, at most `max`.
    ///
    /// Fewer than `max` says nothing (answers are bounded in bytes too); empty says that `from` is at or beyond the head
    /// (or that `max` is 0).
    ///
    /// # Errors
    /// [`LogError::UnknownPartition`], [`LogError::Closed`], [`LogError::Corrupt`], [`LogError::Io`].
    async fn read(
        &self,
        topic: Topic,
        partition: u16,
        from: u64,
        max: usize,
    ) -> Result<Vec<Record>, LogError>;

    /// Stops taking appends, makes durable and acknowledges what was taken, ends all tails, releases the storage.
    ///
    /// Afterwards appends and reads answer [`LogError::Closed`]; [`head`](EventLog::head) stays. Idempotent: whoever calls it waits
    /// until the log is closed.
    async fn close(&self);
}
