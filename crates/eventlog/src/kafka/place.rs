//! One partition of one topic, and its newest records in memory.

use crate::follow::BATCH_BYTES;
use crate::{Position, Record, Topic};
use bytes::Bytes;
use rdkafka::Message;
use std::collections::VecDeque;

/// A partition of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Place {
    pub(super) topic: Topic,
    pub(super) partition: u16,
}

/// The record of a message, at the time of the log up to it, which it moves on.
pub(super) fn record(place: Place, message: &impl Message, time_ms: &mut i64) -> Record {
    let (key, payload) = (
        message.key().unwrap_or_default(),
        message.payload().unwrap_or_default(),
    );
    // One piece of memory for both.
    let mut bytes = Vec::with_capacity(key.len() + payload.len());
    bytes.extend_from_slice(key);
    bytes.extend_from_slice(payload);
    let mut payload_bytes = Bytes::from(bytes);
    let key = payload_bytes.split_to(key.len());
    *time_ms = message.timestamp().to_millis().unwrap_or(0).max(*time_ms);
    Record {
        position: Position {
            topic: place.topic,
            partition: place.partition,
            offset: u64::try_from(message.offset()).unwrap_or(0),
        },
        time_ms: *time_ms,
        key,
        payload: payload_bytes,
    }
}

/// The newest records of a partition, without a gap in what is known: everything from `start` to the head.
#[derive(Debug)]
pub(super) struct Window {
    start: u64,
    records: VecDeque<Record>,
    bytes: usize,
    limit: usize,
}

impl Window {
    /// Knows nothing below `start`, and keeps about `limit` bytes.
    pub(super) fn new(start: u64, limit: usize) -> Window {
        Window {
            start,
            records: VecDeque::new(),
            bytes: 0,
            limit,
        }
    }

    /// Takes the next records, and lets go of the oldest that are too many.
    pub(super) fn extend(&mut self, records: Vec<Record>) {
        self.bytes += records.iter().map(size).sum::<usize>();
        self.records.extend(records);
        while self.bytes > self.limit {
            let Some(oldest) = self.records.pop_front() else {
                return;
            };
            self.bytes -= size(&oldest);
            self.start = oldest.position.offset + 1;
        }
    }

    /// Records from an offset on, bounded in count and bytes; nothing when the window begins after it.
    pub(super) fn read(&self, from: u64, max: usize) -> Option<Vec<Record>> {
        if from < self.start {
            return None;
        }
        let first = self
            .records
            .partition_point(|record| record.position.offset < from);
        let mut bytes = 0;
        let bounded = self.records.range(first..).take(max).take_while(|record| {
            let fits = bytes < BATCH_BYTES;
            bytes += record.key.len() + record.payload.len();
            fits
        });
        Some(bounded.cloned().collect())
    }
}

/// What a record takes of the window, roughly.
fn size(record: &Record) -> usize {
    record.key.len() + record.payload.len() + 128
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(offset: u64, bytes: usize) -> Record {
        Record {
            position: Position {
                topic: Topic::Returns,
                partition: 0,
                offset,
            },
            time_ms: 0,
            key: Bytes::new(),
            payload: vec![0; bytes].into(),
        }
    }

    #[test]
    fn a_window_answers_only_for_what_it_has_whole() {
        let mut window = Window::new(10, 3 * 228);
        assert_eq!(window.read(9, 5), None);
        assert_eq!(window.read(10, 5), Some(vec![]));
        // A gap at 12.
        window.extend([10, 11, 13].map(|offset| record(offset, 100)).into());
        let offsets = |from| {
            let read = window.read(from, 5)?;
            Some(read.iter().map(|r| r.position.offset).collect::<Vec<_>>())
        };
        assert_eq!(offsets(10), Some(vec![10, 11, 13]));
        assert_eq!(offsets(12), Some(vec![13]));
        window.extend(vec![record(14, 100)]);
        assert_eq!(window.read(10, 5), None);
        assert_eq!(window.read(11, 1), Some(vec![record(11, 100)]));
        window.extend(vec![record(15, 1000)]);
        assert_eq!(window.read(15, 1), None, "larger than the window");
        assert_eq!(window.read(16, 1), Some(vec![]));
    }
}
