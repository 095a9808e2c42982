//! Frames as they are stored, read and written outside of a log: what the fuzz targets of the format stand on.

use bytes::Bytes;

use super::frame::{self, FrameBuilder, FrameHeader};
use crate::{NewRecord, Position, Record};

/// Sequence number and records of a stored frame. Whatever the bytes are, it gives what they say or what does not hold in them.
///
/// # Errors
/// What does not hold, in words.
pub fn read_frame(bytes: &Bytes) -> Result<(u64, Vec<Record>), &'static str> {
    frame::decode(bytes)
        .map(|(header, records)| (header.sequence, records))
        .map_err(|damage| damage.0)
}

/// The frame of records that begin at `base` and were accepted at `time_ms`. The records have passed the limits of the log.
#[must_use]
pub fn write_frame(sequence: u64, base: Position, time_ms: i64, records: &[NewRecord]) -> Vec<u8> {
    let mut builder = FrameBuilder::new(FrameHeader {
        sequence,
        base,
        time_ms,
    });
    for record in records {
        builder.push(record);
    }
    builder.encode()
}
