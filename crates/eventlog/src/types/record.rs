//! Records: what is appended, what is read back, and how big either may be.

use crate::{LogError, Position, Topic};
use bytes::Bytes;

/// The most bytes one record may have, key and payload together: 4 MiB, what one message between services may have too.
pub const MAX_RECORD_BYTES: usize = 4 * 1024 * 1024;
/// The most bytes a key may have. Keys are codes, not documents.
pub const MAX_KEY_BYTES: usize = 1024;
/// The most records one append may have.
pub const MAX_APPEND_RECORDS: usize = 10_000;
/// The most bytes the records of one append may have together.
pub const MAX_APPEND_BYTES: usize = 16 * 1024 * 1024;

/// A record to be appended: one atomic unit, which may hold several facts of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRecord {
    /// What the record is about; kept byte for byte. Choose the partition by it ([`Layout::partition_of`](crate::Layout::partition_of)).
    pub key: Bytes,
    /// The facts. Opaque to the log.
    pub payload: Bytes,
}

impl NewRecord {
    /// Bytes that count towards the limits.
    #[must_use]
    pub fn size(&self) -> usize {
        self.key.len() + self.payload.len()
    }
}

/// A record as it stands in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Where it stands.
    pub position: Position,
    /// When the log accepted it, in milliseconds of Unix time; never decreasing within a partition.
    pub time_ms: i64,
    /// What it is about.
    pub key: Bytes,
    /// The facts.
    pub payload: Bytes,
}

impl Record {
    /// Bytes that count towards the limits.
    #[must_use]
    pub fn size(&self) -> usize {
        self.key.len() + self.payload.len()
    }
}

/// The receipt of one appended record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Where the record stands now.
    pub position: Position,
    /// When the log accepted it, in milliseconds of Unix time.
    pub time_ms: i64,
}

/// Refuses an append that breaks a limit, before any adapter sees it, so that all adapters have the same limits.
pub(crate) fn check_limits(records: &[NewRecord]) -> Result<(), LogError> {
    for record in records {
        check_size(&record.key, &record.payload)?;
    }
    check_together(records.len(), records.iter().map(NewRecord::size).sum())
}

/// Refuses records to be kept at their places that break a limit, are of another partition, or don't follow on each other. Whether the first
/// follows on what the log has, the adapter sees ([`check_follows`]).
pub(crate) fn check_kept(
    (topic, partition): (Topic, u16),
    records: &[Record],
) -> Result<(), LogError> {
    let mut before: Option<&Record> = None;
    for record in records {
        check_size(&record.key, &record.payload)?;
        let at = record.position;
        if (at.topic, at.partition) != (topic, partition) {
            let what = format!(
                "it is not of {topic}/{partition}, to which it was sent: send it to its own partition"
            );
            return Err(LogError::CopyMismatch { position: at, what });
        }
        if let Some(before) = before {
            check_follows(
                record,
                before.position.offset.saturating_add(1),
                before.time_ms,
            )?;
        }
        before = Some(record);
    }
    check_together(records.len(), records.iter().map(Record::size).sum())
}

/// Refuses a record that can't stand in a partition which ends before the offset `next` and at the time `earlier_ms`.
pub(crate) fn check_follows(record: &Record, next: u64, earlier_ms: i64) -> Result<(), LogError> {
    let Record {
        position, time_ms, ..
    } = record;
    let what = if position.offset < next {
        format!(
            "the partition goes to offset {next} already: let nobody else write to it, and copy again"
        )
    } else if *time_ms < earlier_ms {
        format!(
            "it is of {time_ms}, and the record before it of {earlier_ms} (Unix ms): `qipp log check` says what is wrong with the log that it comes from"
        )
    } else {
        return Ok(());
    };
    Err(LogError::CopyMismatch {
        position: *position,
        what,
    })
}

/// Refuses a record that is larger than the log takes.
pub(crate) fn check_size(key: &Bytes, payload: &Bytes) -> Result<(), LogError> {
    let bytes = key.len() + payload.len();
    let (what, bytes, limit) = if bytes > MAX_RECORD_BYTES {
        ("record", bytes, MAX_RECORD_BYTES)
    } else if key.len() > MAX_KEY_BYTES {
        ("key", key.len(), MAX_KEY_BYTES)
    } else {
        return Ok(());
    };
    Err(LogError::RecordTooLarge { what, bytes, limit })
}

fn check_together(records: usize, bytes: usize) -> Result<(), LogError> {
    if records > MAX_APPEND_RECORDS || bytes > MAX_APPEND_BYTES {
        return Err(LogError::AppendTooLarge { records, bytes });
    }
    Ok(())
}
