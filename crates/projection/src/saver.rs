//! When a checkpoint is made, and making it: encoded by the fold between two batches, written in the background.
//!
//! One is written at a time. When writing fails, no more are made until the next start: the state in memory is sound and the
//! log is the truth, but what the store holds is in doubt, and opening it will judge.

use std::collections::BTreeSet;
use std::sync::Arc;

use qipp_domain::Cut;
use qipp_domain::nation::Key;
use tokio::task::JoinHandle;

use crate::checkpoint::{self, Encoded, Marks};
use crate::state::State;
use crate::store::Store;

/// A checkpoint while catching up may write this many times the bytes that were read since the last one.
///
/// A checkpoint rewrites the histories of all keys that were touched, and a bulk load touches all of them all the time; at a
/// fixed number of records its cost would grow with the square of the load.
const WRITES_PER_READ: u64 = 4;

/// What was folded and is not saved yet, and what saves it.
#[derive(Debug)]
pub(crate) struct Saver {
    store: Arc<Store>,
    marks: Marks,
    every_records: u64,
    dirty: BTreeSet<Key>,
    records: u64,
    bytes: u64,
    /// What the last checkpoint wrote: the best guess of what the next one will.
    written: u64,
    writing: Option<Writing>,
}

#[derive(Debug)]
struct Writing {
    task: JoinHandle<Result<(), String>>,
    cut: Cut,
}

impl Saver {
    /// Saves to `store`, which holds what `marks` says, of which `dirty` is to be written again.
    pub(crate) fn new(
        store: Store,
        marks: Marks,
        dirty: BTreeSet<Key>,
        every_records: u64,
    ) -> Self {
        Self {
            store: Arc::new(store),
            marks,
            every_records,
            dirty,
            records: 0,
            bytes: 0,
            written: 0,
            writing: None,
        }
    }

    /// Takes note of what was folded.
    pub(crate) fn note(&mut self, touched: &BTreeSet<Key>, records: u64, bytes: u64) {
        self.dirty.extend(touched);
        self.records += records;
        self.bytes += bytes;
    }

    /// Is it time, although more records are coming in?
    pub(crate) fn is_due(&self) -> bool {
        let pays = self.bytes.saturating_mul(WRITES_PER_READ) >= self.written;
        self.is_behind() && self.records >= self.every_records && pays
    }

    /// Is there anything to save, and nothing being saved?
    pub(crate) fn is_behind(&self) -> bool {
        self.records > 0 && self.writing.is_none()
    }

    /// Encodes what is not saved and begins to write it. To be called in a runtime, when nothing is being written.
    pub(crate) fn begin(&mut self, state: &State) {
        debug_assert!(self.writing.is_none(), "one checkpoint at a time");
        let Encoded { batch, cut, bytes } = checkpoint::encode(state, &self.dirty, &mut self.marks);
        self.dirty.clear();
        (self.records, self.bytes, self.written) = (0, 0, bytes);
        let store = Arc::clone(&self.store);
        let task = tokio::task::spawn_blocking(move || store.persist(batch));
        self.writing = Some(Writing { task, cut });
    }

    /// Resolves with its cut when the checkpoint that is being written is durable; never when none is. Cancel safe.
    ///
    /// # Errors
    /// Why it could not be written; this saver is of no use then.
    pub(crate) async fn finished(&mut self) -> Result<Cut, String> {
        let Some(writing) = &mut self.writing else {
            return std::future::pending().await;
        };
        let written = (&mut writing.task).await;
        let cut = std::mem::take(&mut writing.cut);
        self.writing = None;
        match written {
            Ok(Ok(())) => Ok(cut),
            Ok(Err(cause)) => Err(cause),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Waits for what is being written, if anything is.
    ///
    /// # Errors
    /// As [`finished`](Self::finished).
    pub(crate) async fn settle(&mut self) -> Result<Option<Cut>, String> {
        match self.writing {
            Some(_) => self.finished().await.map(Some),
            None => Ok(None),
        }
    }
}
