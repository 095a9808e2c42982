//! When a checkpoint is made, and making it: the fold hands over an image of its state, which is written in the background.
//!
//! One is written at a time. When writing fails, no more are made until the next start: the state in memory is sound and the
//! log is the truth, but the disk is in doubt.

use std::sync::Arc;

use qipp_domain::Cut;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::checkpoint::Image;
use crate::state::State;
use crate::store::Store;

/// While records come in, a checkpoint is made when the state has grown by one part in this many since the last one.
///
/// A checkpoint is the whole state, so a fixed number of records between two of them would cost the square of the log. This way
/// everything that is ever written is at most some ten times the state, and a restart folds at most a tenth of the log again.
const PARTS_WHILE_LIVE: u64 = 10;

/// While records come in, at least this many times as long as the last one took lie between two: a flood is not slowed by more than a
/// twentieth of a core.
const REST: u32 = 20;

/// While catching up it is made when the state has doubled: all of them together are at most twice the last one.
const PARTS_WHILE_CATCHING_UP: u64 = 1;

/// In silence, and at the end, one part in a hundred is enough: less is folded again faster than it is written.
const PARTS_IN_SILENCE: u64 = 100;

/// What was folded and is not saved yet, and what saves it.
#[derive(Debug)]
pub(crate) struct Saver {
    store: Arc<Store>,
    every_records: u64,
    /// Records that the last checkpoint covers.
    covered: u64,
    /// Records folded since.
    since: u64,
    writing: Option<Writing>,
    /// While records come in, none is made before.
    rest: Instant,
}

#[derive(Debug)]
struct Writing {
    task: JoinHandle<Result<(), String>>,
    cut: Cut,
    begun: Instant,
}

impl Saver {
    /// Saves to `store`, which holds a checkpoint of so many records; at least `every_records` lie between two.
    pub(crate) fn new(store: Store, covered: u64, every_records: u64) -> Self {
        Self {
            store: Arc::new(store),
            every_records,
            covered,
            since: 0,
            writing: None,
            rest: Instant::now(),
        }
    }

    /// Takes note of how much was folded.
    pub(crate) fn note(&mut self, records: u64) {
        self.since += records;
    }

    /// What is saved is not to be gone back to: the next moment that is fit for saving is taken.
    pub(crate) fn outdate(&mut self) {
        self.since = self.since.max(self.covered).max(self.every_records).max(1);
    }

    /// Is it time, although more records are coming in?
    pub(crate) fn is_due(&self, catching_up: bool) -> bool {
        let (parts, rested) = match catching_up {
            true => (PARTS_WHILE_CATCHING_UP, true),
            false => (PARTS_WHILE_LIVE, Instant::now() >= self.rest),
        };
        self.since >= self.every_records && self.has_grown_by(parts) && rested
    }

    /// Is there anything to save that is worth it, and nothing being saved?
    pub(crate) fn is_behind(&self) -> bool {
        self.has_grown_by(PARTS_IN_SILENCE)
    }

    fn has_grown_by(&self, parts: u64) -> bool {
        let grown = self.since.saturating_mul(parts) >= self.covered;
        self.since > 0 && grown && !self.is_writing()
    }

    /// Is a checkpoint being written?
    pub(crate) fn is_writing(&self) -> bool {
        self.writing.is_some()
    }

    /// Begins to write the state. To be called in a runtime, when nothing is being written.
    pub(crate) fn begin(&mut self, state: &State) {
        debug_assert!(self.writing.is_none(), "one checkpoint at a time");
        let image = Image::of(state);
        (self.covered, self.since) = (state.records, 0);
        let store = Arc::clone(&self.store);
        let cut = image.cut().clone();
        let task = tokio::task::spawn_blocking(move || store.persist(&image));
        let begun = Instant::now();
        self.writing = Some(Writing { task, cut, begun });
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
        self.rest = Instant::now() + writing.begun.elapsed() * REST;
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
