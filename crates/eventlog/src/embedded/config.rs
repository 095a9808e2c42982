//! How an embedded log is set up. Plain data; what cannot work is refused when the log is opened.

use crate::embedded::cutter::FrameLimits;
use crate::embedded::frame::MAX_FRAME_RECORDS;
use crate::embedded::keys::PIECE_BYTES;
use crate::{Clock, Layout, LogError, Observer, SystemClock};
use std::sync::Arc;

const MIB: u64 = 1024 * 1024;

/// How an [`EmbeddedLog`](crate::EmbeddedLog) is set up.
#[derive(Clone, Debug)]
pub struct EmbeddedConfig {
    /// Partitions per topic. Fixed when the log is created; opening it with another is refused.
    pub layout: Layout,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Appends are refused while the disk has less free than this, in bytes (default 64 MiB): a store that runs into the
    /// end of its disk in mid-write has to be reopened, one that stops before has not.
    pub min_free_bytes: u64,
    /// The most records one stored frame holds (default 256).
    pub max_frame_records: usize,
    /// The bytes of records at which a frame is full (default 60 KiB). A larger record has a frame to itself.
    pub max_frame_bytes: usize,
    /// How many appends may wait for the writer (default 1024); further callers wait before they are taken.
    pub queue_appends: usize,
    /// How many bytes of records may wait for the writer (default 64 MiB).
    pub queue_bytes: usize,
    /// How much memory the store may use to cache what is on disk, in bytes, roughly (default 64 MiB).
    pub cache_bytes: u64,
    /// Told of every batch (default: nobody).
    pub observer: Arc<dyn Observer>,
}

impl Default for EmbeddedConfig {
    fn default() -> EmbeddedConfig {
        EmbeddedConfig {
            layout: Layout::default(),
            clock: Arc::new(SystemClock),
            min_free_bytes: 64 * MIB,
            max_frame_records: 256,
            // Leaves room for the lengths of the records, so that a usual frame is one stored piece.
            max_frame_bytes: PIECE_BYTES - 4096,
            queue_appends: 1024,
            queue_bytes: 64 * 1024 * 1024,
            cache_bytes: 64 * MIB,
            observer: Arc::new(()),
        }
    }
}

impl EmbeddedConfig {
    /// When a frame is full.
    pub(super) fn frames(&self) -> FrameLimits {
        FrameLimits {
            records: self.max_frame_records,
            bytes: self.max_frame_bytes,
        }
    }

    /// Refuses a configuration that cannot work.
    pub(super) fn check(&self) -> Result<(), LogError> {
        let rules = [
            (self.layout.returns > 0, "no partition for returns"),
            (self.layout.alerts > 0, "no partition for alerts"),
            (
                (1..=MAX_FRAME_RECORDS).contains(&self.max_frame_records),
                "max_frame_records below 1 or above 65536",
            ),
            (self.max_frame_bytes > 0, "max_frame_bytes of 0"),
            (self.queue_appends > 0, "queue_appends of 0"),
            (
                (1..=1 << 30).contains(&self.queue_bytes),
                "queue_bytes below 1 or above 1 GiB",
            ),
        ];
        match rules.into_iter().find(|(holds, _)| !holds) {
            None => Ok(()),
            Some((_, what)) => Err(LogError::InvalidConfig { what: what.into() }),
        }
    }
}
