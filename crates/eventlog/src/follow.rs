//! Durable heads, and the tails that wait for them. Shared by the adapters, so that all tails behave alike.
//!
//! A head says how far a partition is durable. Whoever makes records durable publishes it here; whoever waits for
//! records waits here. Nothing in this file reads or writes records itself.

use crate::{Cut, Layout, LogError, Record, RecordStream, Topic};
use futures::StreamExt;
use std::collections::BTreeMap;
use tokio::sync::watch;

/// The most records a tail yields in one batch.
pub(crate) const BATCH_RECORDS: usize = 1024;
/// The bytes at which a batch of a tail, or the answer of a read, is full. One record may exceed it.
pub(crate) const BATCH_BYTES: usize = 1024 * 1024;

/// How far one partition is durable, and whether it still grows.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Head {
    pub(crate) next: u64,
    pub(crate) closed: bool,
}

/// The durable heads of all partitions of a log.
#[derive(Debug)]
pub(crate) struct Heads(BTreeMap<(Topic, u16), watch::Sender<Head>>);

impl Heads {
    /// Heads for every partition of the layout, standing where `start` says.
    pub(crate) fn new(layout: Layout, start: &Cut) -> Heads {
        let head = |(topic, partition)| Head {
            next: start.next(topic, partition),
            closed: false,
        };
        let heads = layout
            .all()
            .map(|place| (place, watch::Sender::new(head(place))));
        Heads(heads.collect())
    }

    /// Makes known that everything below `next` is durable.
    pub(crate) fn publish(&self, topic: Topic, partition: u16, next: u64) {
        if let Some(head) = self.0.get(&(topic, partition)) {
            head.send_modify(|head| head.next = head.next.max(next));
        }
    }

    /// Makes known that nothing will come any more.
    pub(crate) fn close(&self) {
        for head in self.0.values() {
            head.send_modify(|head| head.closed = true);
        }
    }

    /// The next offset of the partition; 0 for one the layout does not have.
    pub(crate) fn next(&self, topic: Topic, partition: u16) -> u64 {
        let head = self.0.get(&(topic, partition));
        head.map_or(0, |head| head.borrow().next)
    }

    /// Where all partitions stand.
    pub(crate) fn cut(&self) -> Cut {
        let next = self
            .0
            .iter()
            .map(|(place, head)| (*place, head.borrow().next));
        next.collect()
    }

    /// Follows the partition's head from now on.
    pub(crate) fn watch(&self, topic: Topic, partition: u16) -> Option<watch::Receiver<Head>> {
        self.0
            .get(&(topic, partition))
            .map(watch::Sender::subscribe)
    }
}

/// A tail: reads batches with `read` (given an offset, answers records from there on, at least one below the head) and
/// waits for `head` to move on in between.
pub(crate) fn follow<Read, Answer>(
    head: watch::Receiver<Head>,
    from: u64,
    read: Read,
) -> RecordStream
where
    Read: Fn(u64) -> Answer + Send + Sync + 'static,
    Answer: Future<Output = Result<Vec<Record>, LogError>> + Send + 'static,
{
    let start = Follower {
        head,
        next: from,
        read,
    };
    futures::stream::unfold(Some(start), |follower| async {
        let mut follower = follower?;
        match follower.next_batch().await {
            Ok(batch) => Some((Ok(batch), Some(follower))),
            Err(LogError::Closed) => None,
            // One error, then the end: whoever resumes decides from where.
            Err(error) => Some((Err(error), None)),
        }
    })
    .boxed()
}

/// A tail that yields one error.
pub(crate) fn refused(error: LogError) -> RecordStream {
    futures::stream::once(async { Err(error) }).boxed()
}

struct Follower<Read> {
    head: watch::Receiver<Head>,
    next: u64,
    read: Read,
}

impl<Read, Answer> Follower<Read>
where
    Read: Fn(u64) -> Answer,
    Answer: Future<Output = Result<Vec<Record>, LogError>>,
{
    async fn next_batch(&mut self) -> Result<Vec<Record>, LogError> {
        loop {
            let next = self.next;
            let arrived = self
                .head
                .wait_for(|head| head.closed || head.next > next)
                .await;
            let closed = arrived.map_or(true, |head| head.closed);
            if closed {
                return Err(LogError::Closed);
            }
            let batch = (self.read)(next).await?;
            if let Some(last) = batch.last() {
                self.next = last.position.offset + 1;
                return Ok(batch);
            }
        }
    }
}
