//! The one writer of an embedded log: a thread that takes what waits, writes it as one batch, syncs once, and acknowledges.
//!
//! ```text
//!  appends ──▶ bounded queue ──▶ group ──▶ frames per partition ──▶ one batch, one sync ──▶ heads ──▶ acknowledgements
//! ```
//!
//! While one group is being synced the next one gathers, so the more callers, the more records share a sync. The
//! thread never awaits, never reads back, and outlives every failure until the log is closed: after a failed write it
//! refuses, because what the disk holds is then in doubt until the store is opened again.

use crate::embedded::frame::{FrameBuilder, FrameHeader, RECORD_OVERHEAD};
use crate::embedded::keys::End;
use crate::embedded::mark::Mark;
use crate::embedded::store::{self, Medium, insert_ends};
use crate::embedded::verify::Ends;
use crate::follow::Heads;
use crate::{Appended, Batch, Clock, LogError, NewRecord, Observer, Position, Topic};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

/// The bytes at which a group is written even if more waits: bounds how long the first of it waits.
const GROUP_BYTES: usize = 8 * 1024 * 1024;
/// How much more room than its records a group may take in the store: 4.6 times was measured with one record a frame.
const ROOM_FACTOR: u64 = 5;

/// One append on its way to the disk.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) place: (Topic, u16),
    pub(crate) records: Vec<NewRecord>,
    pub(crate) bytes: usize,
    pub(crate) answer: oneshot::Sender<Result<Vec<Appended>, LogError>>,
    /// The request's share of the queue's bytes, given back with the answer.
    pub(crate) _room: OwnedSemaphorePermit,
}

/// How frames are cut, and when the disk counts as full.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) frame_records: usize,
    pub(crate) frame_bytes: usize,
    pub(crate) min_free_bytes: u64,
}

/// The writer's state. Whoever runs it owns it.
pub(crate) struct Writer<M> {
    pub(crate) medium: M,
    pub(crate) heads: Arc<Heads>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) limits: Limits,
    pub(crate) ends: Ends,
    /// Where the ends are noted a second time.
    pub(crate) mark: Option<Mark>,
    /// Set by the first failed write.
    pub(crate) poisoned: Option<LogError>,
}

/// What a group becomes, before anything is written.
struct Plan {
    batch: sled::Batch,
    ends: Ends,
    receipts: Vec<Vec<Appended>>,
}

impl<M: Medium> Writer<M> {
    /// Writes until there is no sender any more and the queue is empty.
    pub(crate) fn run(mut self, mut queue: mpsc::Receiver<Request>) {
        while let Some(first) = queue.blocking_recv() {
            let group = gather(first, &mut queue);
            self.serve(group);
        }
    }

    /// Writes one group and answers all of it.
    pub(crate) fn serve(&mut self, group: Vec<Request>) {
        match self.commit(&group) {
            Ok(receipts) => {
                for (request, receipts) in group.into_iter().zip(receipts) {
                    // A caller that has gone away does not want to know.
                    let _ = request.answer.send(Ok(receipts));
                }
            }
            Err(error) => {
                self.observer.refused(group.len(), &error);
                for request in group {
                    let _ = request.answer.send(Err(error.clone()));
                }
            }
        }
    }

    fn commit(&mut self, group: &[Request]) -> Result<Vec<Vec<Appended>>, LogError> {
        if let Some(poisoned) = &self.poisoned {
            return Err(poisoned.clone());
        }
        self.check_room(group)?;
        let plan = self.plan(group);
        let started = Instant::now();
        if let Err(error) = self.medium.write(plan.batch) {
            tracing::error!(%error, "writing to the log failed; it takes no more records until it is opened again");
            self.poisoned = Some(LogError::Poisoned {
                cause: error.to_string(),
            });
            return Err(error);
        }
        if let Some(mark) = &mut self.mark {
            mark.note(&plan.ends);
        }
        self.observer.written(Batch {
            appends: group.len(),
            records: group.iter().map(|request| request.records.len()).sum(),
            bytes: group.iter().map(|request| request.bytes).sum(),
            took: started.elapsed(),
        });
        for ((topic, partition), end) in plan.ends {
            self.heads.publish(topic, partition, end.next);
            self.ends.insert((topic, partition), end);
        }
        Ok(plan.receipts)
    }

    /// Refuses a group while the disk is nearly full, before anything of it is written, so that the log needs nothing
    /// but room to go on.
    fn check_room(&self, group: &[Request]) -> Result<(), LogError> {
        let bytes: usize = group.iter().map(|request| request.bytes).sum();
        let needed = (bytes as u64).saturating_mul(ROOM_FACTOR);
        let needed = needed.saturating_add(self.limits.min_free_bytes);
        let free = self.medium.free_bytes().map_err(|error| LogError::Io {
            doing: "ask how much room the disk has",
            cause: error.to_string(),
        })?;
        if free >= needed {
            return Ok(());
        }
        let detail = format!("{free} bytes free, {needed} wanted");
        tracing::warn!(free, needed, "the log's disk is full; appends are refused");
        Err(LogError::StorageFull { detail })
    }

    /// Decides every position, time and frame of a group.
    fn plan(&self, group: &[Request]) -> Plan {
        let now_ms = self.clock.now_ms();
        let mut cutter = Cutter {
            limits: self.limits,
            now_ms,
            known: &self.ends,
            batch: sled::Batch::default(),
            open: BTreeMap::new(),
            ends: Ends::new(),
        };
        let receipts = group.iter().map(|request| {
            let place = request.place;
            let records = request.records.iter();
            records.map(|record| cutter.push(place, record)).collect()
        });
        let receipts = receipts.collect();
        cutter.finish(receipts)
    }
}

/// Takes what waits, without waiting for more, up to the size of a group.
fn gather(first: Request, queue: &mut mpsc::Receiver<Request>) -> Vec<Request> {
    let mut bytes = first.bytes;
    let mut group = vec![first];
    while bytes < GROUP_BYTES {
        let Ok(next) = queue.try_recv() else { break };
        bytes += next.bytes;
        group.push(next);
    }
    group
}

/// Cuts the records of a group into frames, one open frame per partition.
struct Cutter<'a> {
    limits: Limits,
    now_ms: i64,
    known: &'a Ends,
    batch: sled::Batch,
    open: BTreeMap<(Topic, u16), FrameBuilder>,
    ends: Ends,
}

impl Cutter<'_> {
    fn push(&mut self, place: (Topic, u16), record: &NewRecord) -> Appended {
        let full = |frame: &FrameBuilder| {
            frame.count() >= self.limits.frame_records
                || frame.bytes() + record.size() + RECORD_OVERHEAD > self.limits.frame_bytes
        };
        if self.open.get(&place).is_some_and(full) {
            self.seal(place);
        }
        let end = self.end(place);
        let now_ms = self.now_ms;
        let (topic, partition) = place;
        let frame = self.open.entry(place).or_insert_with(|| {
            FrameBuilder::new(FrameHeader {
                sequence: end.sequence,
                base: Position {
                    topic,
                    partition,
                    offset: end.next,
                },
                time_ms: now_ms.max(end.time_ms),
            })
        });
        Appended {
            position: frame.push(record),
            time_ms: frame.header().time_ms,
        }
    }

    /// Where the partition ends, the frames sealed so far included.
    fn end(&self, place: (Topic, u16)) -> End {
        let end = self.ends.get(&place).or_else(|| self.known.get(&place));
        end.copied().unwrap_or(End::START)
    }

    fn seal(&mut self, place: (Topic, u16)) {
        if let Some(frame) = self.open.remove(&place) {
            store::seal(&mut self.batch, &mut self.ends, &frame);
        }
    }

    fn finish(mut self, receipts: Vec<Vec<Appended>>) -> Plan {
        let open: Vec<_> = self.open.keys().copied().collect();
        for place in open {
            self.seal(place);
        }
        insert_ends(&mut self.batch, &self.ends);
        Plan {
            batch: self.batch,
            ends: self.ends,
            receipts,
        }
    }
}
