//! How far a copy is, for whoever shows it.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// What a copy is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stage {
    /// What the target has is compared with the source. Nothing was written yet.
    #[default]
    Comparing,
    /// What is missing is copied.
    Copying,
    /// What arrives is copied.
    Following,
    /// Both logs are read again.
    Proving,
}

/// What is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// What is being done now.
    pub stage: Stage,
    /// Records that this stage is done with.
    pub records: u64,
    /// Records that this stage has at most; 0 when nobody knows.
    pub total: u64,
    /// Partitions that this stage is done with.
    pub partitions: u64,
    /// Records of the target that were equal to those of the source, in all stages.
    pub found: u64,
    /// Records that were copied, in all stages.
    pub copied: u64,
    /// Bytes of their keys and payloads.
    pub bytes: u64,
}

/// How far a copy is. The copy counts here, and whoever wants to know looks.
#[derive(Debug, Default)]
pub struct Progress(Mutex<Done>);

impl Progress {
    /// What is done by now.
    #[must_use]
    pub fn done(&self) -> Done {
        *self.lock()
    }

    /// Begins a stage that has so many records at most.
    pub fn begin(&self, stage: Stage, total: u64) {
        let mut done = self.lock();
        *done = Done {
            stage,
            total,
            records: 0,
            partitions: 0,
            ..*done
        };
    }

    pub(super) fn found(&self, records: u64) {
        let mut done = self.lock();
        done.records += records;
        done.found += records;
    }

    pub(super) fn copied(&self, records: u64, bytes: u64) {
        let mut done = self.lock();
        done.records += records;
        done.copied += records;
        done.bytes += bytes;
    }

    pub(super) fn read(&self, records: u64) {
        self.lock().records += records;
    }

    pub(super) fn partition_done(&self) {
        self.lock().partitions += 1;
    }

    /// The counts are whole whenever the lock is free.
    fn lock(&self) -> MutexGuard<'_, Done> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
