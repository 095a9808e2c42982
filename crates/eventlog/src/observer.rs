//! Where an adapter tells what it does, for those who operate it.

use std::fmt::Debug;
use std::time::Duration;

use crate::LogError;

/// One batch that became durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Appends that shared its sync.
    pub appends: usize,
    /// Records in it.
    pub records: usize,
    /// Bytes of keys and payloads.
    pub bytes: usize,
    /// How long writing and syncing took.
    pub took: Duration,
}

/// Told by the writer, between two batches: it must neither block nor fail.
pub trait Observer: Send + Sync + Debug {
    /// A batch is durable and about to be acknowledged.
    fn written(&self, batch: Batch);

    /// Appends were refused, or failed, all for the same reason.
    fn refused(&self, appends: usize, error: &LogError);
}

/// Nobody wants to know.
impl Observer for () {
    fn written(&self, _: Batch) {}

    fn refused(&self, _: usize, _: &LogError) {}
}
