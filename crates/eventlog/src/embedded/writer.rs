//! The one writer of an embedded log: a thread that takes what waits, writes it as one batch, syncs once, and acknowledges.
//!
//! ```text
//!  appends ──▶ bounded queue ──▶ group ──▶ frames per partition ──▶ one batch, one sync ──▶ heads ──▶ acknowledgements
//! ```
//!
//! While one group is being synced the next one gathers, so the more callers, the more records share a sync. The
//! thread never awaits, never reads back, and outlives every failure until the log is closed: after a failed write it
//! refuses, because what the disk holds is then in doubt until the store is opened again.

use crate::embedded::cutter::{Cutter, FrameLimits, Sealed};
use crate::embedded::mark::Mark;
use crate::embedded::store::Medium;
use crate::embedded::verify::Ends;
use crate::follow::Heads;
use crate::{Appended, Batch, Clock, LogError, NewRecord, Observer, Record, Topic};
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
    pub(crate) records: Wanted,
    pub(crate) bytes: usize,
    pub(crate) answer: oneshot::Sender<Result<Vec<Appended>, LogError>>,
    /// The request's share of the queue's bytes, given back with the answer.
    pub(crate) _room: OwnedSemaphorePermit,
}

/// What an append wants written.
#[derive(Debug)]
pub(crate) enum Wanted {
    /// Records that get their places and times here.
    New(Vec<NewRecord>),
    /// Records that keep theirs. They follow on each other; whether they follow on what is there, the writer sees.
    Kept(Vec<Record>),
}

impl Wanted {
    pub(crate) fn len(&self) -> usize {
        match self {
            Wanted::New(records) => records.len(),
            Wanted::Kept(records) => records.len(),
        }
    }
}

/// How frames are cut, and when the disk counts as full.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) frames: FrameLimits,
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

/// What one append is answered.
type Answer = Result<Vec<Appended>, LogError>;

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
            Ok(answers) => {
                for (request, answer) in group.into_iter().zip(answers) {
                    if let Err(error) = &answer {
                        self.observer.refused(1, error);
                    }
                    // A caller that has gone away does not want to know.
                    let _ = request.answer.send(answer);
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

    /// Answers for each append of the group, or why none of it was written.
    fn commit(&mut self, group: &[Request]) -> Result<Vec<Answer>, LogError> {
        if let Some(poisoned) = &self.poisoned {
            return Err(poisoned.clone());
        }
        self.check_room(group)?;
        let (sealed, answers) = self.plan(group);
        if sealed.ends.is_empty() {
            return Ok(answers);
        }
        let started = Instant::now();
        if let Err(error) = self.medium.write(sealed.batch) {
            tracing::error!(%error, "writing to the log failed; it takes no more records until it is opened again");
            self.poisoned = Some(LogError::Poisoned {
                cause: error.to_string(),
            });
            return Err(error);
        }
        if let Some(mark) = &mut self.mark {
            mark.note(&sealed.ends);
        }
        let taken = || {
            let answered = group.iter().zip(&answers);
            answered.filter_map(|(request, answer)| answer.is_ok().then_some(request))
        };
        self.observer.written(Batch {
            appends: taken().count(),
            records: taken().map(|request| request.records.len()).sum(),
            bytes: taken().map(|request| request.bytes).sum(),
            took: started.elapsed(),
        });
        for ((topic, partition), end) in sealed.ends {
            self.heads.publish(topic, partition, end.next);
            self.ends.insert((topic, partition), end);
        }
        Ok(answers)
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
    fn plan(&self, group: &[Request]) -> (Sealed, Vec<Answer>) {
        let now_ms = self.clock.now_ms();
        let mut cutter = Cutter::new(self.limits.frames, &self.ends);
        let mut answer = |request: &Request| match &request.records {
            Wanted::New(records) => {
                let receipts = records.iter();
                Ok(receipts
                    .map(|record| cutter.push(request.place, now_ms, record))
                    .collect())
            }
            // Only the first can be refused, so that a refused append leaves nothing.
            Wanted::Kept(records) => records.iter().map(|record| cutter.keep(record)).collect(),
        };
        let answers = group.iter().map(&mut answer).collect();
        (cutter.finish(), answers)
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
