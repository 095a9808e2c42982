//! Records: what is appended, what is read back, and how big either may be.

use crate::{LogError, Position};
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
        if record.size() > MAX_RECORD_BYTES {
            return Err(LogError::RecordTooLarge {
                what: "record",
                bytes: record.size(),
                limit: MAX_RECORD_BYTES,
            });
        }
        if record.key.len() > MAX_KEY_BYTES {
            return Err(LogError::RecordTooLarge {
                what: "key",
                bytes: record.key.len(),
                limit: MAX_KEY_BYTES,
            });
        }
    }
    let bytes: usize = records.iter().map(NewRecord::size).sum();
    if records.len() > MAX_APPEND_RECORDS || bytes > MAX_APPEND_BYTES {
        return Err(LogError::AppendTooLarge {
            records: records.len(),
            bytes,
        });
    }
    Ok(())
}
