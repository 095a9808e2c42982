//! The log in memory, for tests and for replaying history. Keeps the whole contract except that it dies with the process.
//!
//! It can be told to leave gaps between offsets, so that consumers prove they never assume that there are none.

use crate::follow::{BATCH_BYTES, BATCH_RECORDS, Heads, follow, refused};
use crate::types::record::{check_follows, check_kept, check_limits};
use crate::{
    Appended, Clock, CopyTarget, Cut, EventLog, Layout, LogError, NewRecord, Position, Record,
    RecordStream, Topic,
};
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A log in memory. Dropping it closes it.
#[derive(Debug)]
pub struct MemoryLog {
    clock: Arc<dyn Clock>,
    layout: Layout,
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    partitions: BTreeMap<(Topic, u16), Mutex<Partition>>,
    heads: Heads,
}

#[derive(Debug, Default)]
struct Partition {
    records: Vec<Record>,
    closed: bool,
    /// State of the generator of gaps; nothing when offsets are gapless.
    gaps: Option<u64>,
}

impl MemoryLog {
    /// An empty log whose offsets have no gaps.
    #[must_use]
    pub fn new(layout: Layout, clock: Arc<dyn Clock>) -> MemoryLog {
        let partitions = layout.all().map(|place| (place, Mutex::default()));
        let inner = Inner {
            partitions: partitions.collect(),
            heads: Heads::new(layout, &Cut::new()),
        };
        MemoryLog {
            clock,
            layout,
            inner: Arc::new(inner),
        }
    }

    /// Leaves gaps of up to three offsets before about every third record from now on; which ones, the seed decides.
    #[must_use]
    pub fn with_gaps(self, seed: u64) -> MemoryLog {
        for ((topic, number), partition) in &self.inner.partitions {
            let place = u64::from(topic.id()) << 16 | u64::from(*number);
            lock(partition).gaps = Some(seed ^ place.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        }
        self
    }
}

impl Inner {
    fn partition(&self, topic: Topic, partition: u16) -> Option<MutexGuard<'_, Partition>> {
        self.partitions.get(&(topic, partition)).map(lock)
    }

    fn read(
        &self,
        topic: Topic,
        partition: u16,
        from: u64,
        max: usize,
    ) -> Result<Vec<Record>, LogError> {
        let Some(partition) = self.partition(topic, partition) else {
            return Ok(Vec::new());
        };
        if partition.closed {
            return Err(LogError::Closed);
        }
        let start = partition
            .records
            .partition_point(|record| record.position.offset < from);
        let mut bytes = 0;
        let bounded = partition.records[start..]
            .iter()
            .take(max)
            .take_while(|record| {
                let fits = bytes < BATCH_BYTES;
                bytes += record.key.len() + record.payload.len();
                fits
            });
        Ok(bounded.cloned().collect())
    }

    fn close(&self) {
        for partition in self.partitions.values() {
            lock(partition).closed = true;
        }
        self.heads.close();
    }
}

impl Partition {
    /// The offset after the last record.
    fn end(&self) -> u64 {
        let last = self.records.last();
        last.map_or(0, |last| last.position.offset + 1)
    }

    fn next_offset(&mut self) -> u64 {
        self.end() + self.gaps.as_mut().map_or(0, gap)
    }
}

/// The size of the next gap: splitmix64, because it is five lines, and which gaps a seed gives must not change with a library.
fn gap(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^= mixed >> 31;
    if mixed.is_multiple_of(3) {
        1 + (mixed >> 32) % 3
    } else {
        0
    }
}

/// A panic while the lock is held can only come from running out of memory half-way through pushing records, of which
/// each is whole; so what is there may be used.
fn lock(partition: &Mutex<Partition>) -> MutexGuard<'_, Partition> {
    partition.lock().unwrap_or_else(PoisonError::into_inner)
}

#[async_trait]
impl EventLog for MemoryLog {
    fn layout(&self) -> Layout {
        self.layout
    }

    async fn append(
        &self,
        topic: Topic,
        partition: u16,
        records: Vec<NewRecord>,
    ) -> Result<Vec<Appended>, LogError> {
        self.layout.check(topic, partition)?;
        check_limits(&records)?;
        let Some(mut stored) = self.inner.partition(topic, partition) else {
            return Ok(Vec::new());
        };
        if records.is_empty() {
            return Ok(Vec::new());
        }
        if stored.closed {
            return Err(LogError::Closed);
        }
        let earlier = stored.records.last().map_or(i64::MIN, |last| last.time_ms);
        let time_ms = self.clock.now_ms().max(earlier);
        let mut receipts = Vec::with_capacity(records.len());
        for NewRecord { key, payload } in records {
            let offset = stored.next_offset();
            let position = Position {
                topic,
                partition,
                offset,
            };
            stored.records.push(Record {
                position,
                time_ms,
                key,
                payload,
            });
            receipts.push(Appended { position, time_ms });
        }
        if let Some(last) = receipts.last() {
            self.inner
                .heads
                .publish(topic, partition, last.position.offset + 1);
        }
        Ok(receipts)
    }

    fn head(&self) -> Cut {
        self.inner.heads.cut()
    }

    fn tail(&self, topic: Topic, partition: u16, from: u64) -> RecordStream {
        let Some(head) = self.inner.heads.watch(topic, partition) else {
            let known = self.layout.check(topic, partition);
            return refused(known.err().unwrap_or(LogError::Closed));
        };
        let inner = Arc::clone(&self.inner);
        follow(head, from, move |next| {
            std::future::ready(inner.read(topic, partition, next, BATCH_RECORDS))
        })
    }

    async fn read(
        &self,
        topic: Topic,
        partition: u16,
        from: u64,
        max: usize,
    ) -> Result<Vec<Record>, LogError> {
        self.layout.check(topic, partition)?;
        self.inner.read(topic, partition, from, max)
    }

    async fn close(&self) {
        self.inner.close();
    }
}

#[async_trait]
impl CopyTarget for MemoryLog {
    async fn append_at(
        &self,
        topic: Topic,
        partition: u16,
        records: Vec<Record>,
    ) -> Result<(), LogError> {
        self.layout.check(topic, partition)?;
        check_kept((topic, partition), &records)?;
        let (Some(mut stored), Some(first)) =
            (self.inner.partition(topic, partition), records.first())
        else {
            return Ok(());
        };
        if stored.closed {
            return Err(LogError::Closed);
        }
        let earlier_ms = stored.records.last().map_or(i64::MIN, |last| last.time_ms);
        check_follows(first, stored.end(), earlier_ms)?;
        stored.records.extend(records);
        let end = stored.end();
        self.inner.heads.publish(topic, partition, end);
        Ok(())
    }
}

impl Drop for MemoryLog {
    fn drop(&mut self) {
        self.inner.close();
    }
}
