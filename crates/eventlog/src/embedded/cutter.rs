//! Cuts records into frames, one open frame a partition. Decides where a record stands when it has no place yet, and refuses one that has a place
//! where it can't stand. Writes nothing.

use crate::embedded::frame::{FrameBuilder, FrameHeader, RECORD_OVERHEAD};
use crate::embedded::keys::End;
use crate::embedded::store::{insert_ends, seal};
use crate::embedded::verify::Ends;
use crate::types::record::check_follows;
use crate::{Appended, LogError, NewRecord, Position, Record, Topic};
use std::collections::BTreeMap;

/// When a frame is full.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FrameLimits {
    pub(crate) records: usize,
    pub(crate) bytes: usize,
}

/// Frames that take no more: what to write, and where the partitions that have new ones end with it.
pub(crate) struct Sealed {
    pub(crate) batch: sled::Batch,
    pub(crate) ends: Ends,
}

/// Frames that are being cut.
pub(crate) struct Cutter<'a> {
    limits: FrameLimits,
    known: &'a Ends,
    batch: sled::Batch,
    open: BTreeMap<(Topic, u16), FrameBuilder>,
    ends: Ends,
}

impl<'a> Cutter<'a> {
    /// Goes on where the partitions are known to end.
    pub(crate) fn new(limits: FrameLimits, known: &'a Ends) -> Cutter<'a> {
        Cutter {
            limits,
            known,
            batch: sled::Batch::default(),
            open: BTreeMap::new(),
            ends: Ends::new(),
        }
    }

    /// Adds a record at the end of its partition, at this time or, if that is later, at the time of the record before it.
    pub(crate) fn push(
        &mut self,
        (topic, partition): (Topic, u16),
        now_ms: i64,
        record: &NewRecord,
    ) -> Appended {
        let (next, earlier_ms) = self.reached((topic, partition));
        let at = Position {
            topic,
            partition,
            offset: next,
        };
        self.put(at, now_ms.max(earlier_ms), record)
    }

    /// Adds a record where and when it stands already; before it there may be a gap.
    pub(crate) fn keep(&mut self, record: &Record) -> Result<Appended, LogError> {
        let at = record.position;
        let (next, earlier_ms) = self.reached((at.topic, at.partition));
        check_follows(record, next, earlier_ms)?;
        let new = NewRecord {
            key: record.key.clone(),
            payload: record.payload.clone(),
        };
        Ok(self.put(at, record.time_ms, &new))
    }

    /// Closes all frames.
    pub(crate) fn finish(mut self) -> Sealed {
        let open: Vec<_> = self.open.keys().copied().collect();
        for place in open {
            self.seal(place);
        }
        insert_ends(&mut self.batch, &self.ends);
        Sealed {
            batch: self.batch,
            ends: self.ends,
        }
    }

    fn put(&mut self, at: Position, time_ms: i64, record: &NewRecord) -> Appended {
        let place = (at.topic, at.partition);
        let goes_on = |frame: &FrameBuilder| {
            frame.next() == at.offset
                && frame.header().time_ms == time_ms
                && frame.count() < self.limits.records
                && frame.bytes() + record.size() + RECORD_OVERHEAD <= self.limits.bytes
        };
        if !self.open.get(&place).is_some_and(goes_on) {
            self.seal(place);
        }
        let sequence = self.sealed(place).sequence;
        let frame = self.open.entry(place).or_insert_with(|| {
            FrameBuilder::new(FrameHeader {
                sequence,
                base: at,
                time_ms,
            })
        });
        let position = frame.push(record);
        Appended { position, time_ms }
    }

    /// The next offset and the latest time of a partition, with its open frame.
    fn reached(&self, place: (Topic, u16)) -> (u64, i64) {
        match self.open.get(&place) {
            Some(frame) => (frame.next(), frame.header().time_ms),
            None => {
                let end = self.sealed(place);
                (end.next, end.time_ms)
            }
        }
    }

    /// Where the partition ends, the frames sealed so far included.
    fn sealed(&self, place: (Topic, u16)) -> End {
        let end = self.ends.get(&place).or_else(|| self.known.get(&place));
        end.copied().unwrap_or(End::START)
    }

    fn seal(&mut self, place: (Topic, u16)) {
        if let Some(frame) = self.open.remove(&place) {
            seal(&mut self.batch, &mut self.ends, &frame);
        }
    }
}
