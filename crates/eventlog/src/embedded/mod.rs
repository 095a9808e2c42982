//! The log on one machine: a directory, a store (sled) in it, one writer thread.
//!
//! # Constraints
//!
//! It is the source of truth, so nothing is acknowledged before it is durable, nothing damaged is passed on, and nothing is
//! repaired silently. It runs inside the process it serves, so memory is bounded everywhere and no async thread is
//! ever blocked: appends go through a bounded queue to the writer, and reads, which may have to wait for the disk, run on
//! the runtime's blocking threads, each bounded in records and bytes.
//!
//! # Files
//!
//! ```text
//! <directory>/lock    held while the log is open
//! <directory>/store   sled: one tree, so that one batch covers everything
//! <directory>/ends    where every partition ended after the last sync, so that a lost tail is noticed
//! ```
//!
//! What is in the tree: `keys.rs`. What is in a frame: `frame.rs`. How it gets there: `cutter.rs`, `writer.rs`. What is relied on in sled,
//! and what not: `store.rs`. What is checked on opening: `verify.rs`, `mark.rs`. What can
//! be had of a damaged log: `survey.rs`; of a back-up: `restore.rs`.
//!
//! # Invariants
//!
//! * A frame and the end of its partition are written in one batch: there is never one without the other.
//! * Frames of a partition are numbered without gaps. Offsets strictly increase; what is appended
//!   leaves no gaps, but what was restored or copied may have some, between frames.
//! * A head is published after the sync and before the acknowledgement, and readers stay below it.

mod config;
mod cutter;
mod frame;
mod keys;
mod mark;
mod restore;
mod store;
pub mod stored;
mod survey;
#[cfg(test)]
mod tests;
mod verify;
mod writer;

/// The embedded log's file grows by steps of this size, and opening it may take one, bytes.
pub const GROWTH_BYTES: u64 = store::SEGMENT_BYTES as u64;

pub use config::EmbeddedConfig;
pub use restore::Restoring;
pub use survey::{Lost, Survey, survey};

use crate::follow::{BATCH_RECORDS, Heads, follow, refused};
use crate::types::record::{check_kept, check_limits};
use crate::{
    Appended, CopyTarget, Cut, EventLog, Layout, LogError, NewRecord, Record, RecordStream, Topic,
};
use async_trait::async_trait;
use mark::Mark;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use store::Store;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use writer::{Limits, Request, Wanted, Writer};

/// What a record takes of the queue besides its bytes, so that very many empty records are bounded too.
const QUEUE_OVERHEAD: usize = 64;

/// A durable log in a directory of this machine.
///
/// Close it with [`close`](EventLog::close), which waits until all is released. Dropping it begins the same without waiting,
/// so that opening it again at once may find it [still open](LogError::AlreadyOpen).
#[derive(Debug)]
pub struct EmbeddedLog {
    shared: Arc<Shared>,
    /// Nothing once the log is closed; the writer ends when the last sender is gone.
    queue: Mutex<Option<mpsc::Sender<Request>>>,
    /// Room for bytes in the queue.
    room: Arc<Semaphore>,
    room_bytes: usize,
    /// Ends when the store is closed and its lock released.
    released: watch::Receiver<()>,
}

/// Is there a log in this directory? Opens and changes nothing.
///
/// # Errors
/// [`LogError::Corrupt`] when there was one and its data is gone.
pub fn is_log(directory: impl AsRef<Path>) -> Result<bool, LogError> {
    let directory = directory.as_ref();
    store::refuse_if_gone(directory, mark::read(directory).is_some())?;
    Ok(store::holds_data(directory))
}

/// What readers and tails need of the log.
#[derive(Debug)]
struct Shared {
    layout: Layout,
    heads: Arc<Heads>,
    /// Nothing once the log is closed.
    store: RwLock<Option<Arc<Store>>>,
}

impl EmbeddedLog {
    /// Opens the log in this directory, or creates it, and verifies all that is stored.
    ///
    /// Blocks for as long as reading the whole log takes: do not call it on a thread that serves others.
    ///
    /// # Errors
    /// [`LogError::AlreadyOpen`], [`LogError::LayoutMismatch`], [`LogError::Corrupt`], [`LogError::UnsupportedFormat`],
    /// [`LogError::InvalidConfig`], [`LogError::StorageFull`], [`LogError::Io`].
    pub fn open(path: impl AsRef<Path>, config: EmbeddedConfig) -> Result<EmbeddedLog, LogError> {
        config.check()?;
        let noted = mark::read(path.as_ref());
        store::refuse_if_gone(path.as_ref(), noted.is_some())?;
        let (store, released) = Store::open(path.as_ref(), config.layout, config.cache_bytes)?;
        let ends = verify::verify(&store, config.layout)?;
        if noted.is_none() && ends.values().any(|end| end.next > 0) {
            tracing::warn!(
                "the note of how far the log goes (the file `ends`) is missing or does not read: were a tail lost, it could not be told this time"
            );
        }
        if let Some((_, noted, _)) = &noted {
            verify::reaches(&ends, noted)?;
        }
        let mark = Mark::begin(path.as_ref(), config.layout, &ends)?;
        let start = ends.iter().map(|(place, end)| (*place, end.next)).collect();
        let store = Arc::new(store);
        let frames = config.frames();
        let shared = Arc::new(Shared {
            layout: config.layout,
            heads: Arc::new(Heads::new(config.layout, &start)),
            store: RwLock::new(Some(Arc::clone(&store))),
        });
        let writer = Writer {
            medium: store,
            heads: Arc::clone(&shared.heads),
            clock: config.clock,
            observer: config.observer,
            limits: Limits {
                frames,
                min_free_bytes: config.min_free_bytes,
            },
            ends,
            mark: Some(mark),
            poisoned: None,
        };
        let (sender, queue) = mpsc::channel(config.queue_appends);
        let ending = Ending(Arc::clone(&shared));
        let thread = std::thread::Builder::new().name("qipp-log-writer".into());
        let started = thread.spawn(move || {
            writer.run(queue);
            drop(ending);
        });
        started.map_err(|error| LogError::Io {
            doing: "start its writer",
            cause: error.to_string(),
        })?;
        Ok(EmbeddedLog {
            shared,
            queue: Mutex::new(Some(sender)),
            room: Arc::new(Semaphore::new(config.queue_bytes)),
            room_bytes: config.queue_bytes,
            released,
        })
    }

    /// Hands records of so many bytes to the writer, and waits until they are durable.
    async fn write(
        &self,
        place: (Topic, u16),
        bytes: usize,
        records: Wanted,
    ) -> Result<Vec<Appended>, LogError> {
        let bytes = bytes + records.len() * QUEUE_OVERHEAD;
        let share = u32::try_from(self.room_bytes.min(bytes))
            .expect("queue_bytes is checked to be at most 1 GiB");
        let room = Arc::clone(&self.room).acquire_many_owned(share).await;
        let (answer, answered) = oneshot::channel();
        let request = Request {
            place,
            records,
            bytes,
            answer,
            _room: room.map_err(|_| LogError::Closed)?,
        };
        self.enqueue(request).await?;
        answered.await.unwrap_or_else(|_| {
            Err(LogError::Io {
                doing: "answer an append",
                cause: "its writer ended".into(),
            })
        })
    }

    async fn enqueue(&self, request: Request) -> Result<(), LogError> {
        let sender = self
            .queue
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let sender = sender.ok_or(LogError::Closed)?;
        sender.send(request).await.map_err(|_| LogError::Closed)
    }
}

/// Ends all tails and lets go of the store when the writer ends: usually because it has written everything it took, and
/// even if it panicked, because whoever closes the log waits for the store.
struct Ending(Arc<Shared>);

impl Drop for Ending {
    fn drop(&mut self) {
        let Shared { heads, store, .. } = &*self.0;
        heads.close();
        let store = store.write().unwrap_or_else(PoisonError::into_inner).take();
        drop(store);
    }
}

impl Shared {
    /// Reads on a blocking thread: sled may have to go to the disk, and decoding takes its time.
    async fn read(
        self: Arc<Shared>,
        place: (Topic, u16),
        from: u64,
        max: usize,
    ) -> Result<Vec<Record>, LogError> {
        let (topic, partition) = place;
        let head = self.heads.next(topic, partition);
        let reading = tokio::task::spawn_blocking(move || {
            let store = self
                .store
                .read()
                .unwrap_or_else(PoisonError::into_inner)
                .clone();
            let store = store.ok_or(LogError::Closed)?;
            store.read(place, from, head, max)
        });
        // sled panics on some damages instead of answering.
        reading.await.unwrap_or_else(|error| {
            Err(LogError::Io {
                doing: "read",
                cause: error.to_string(),
            })
        })
    }
}

#[async_trait]
impl EventLog for EmbeddedLog {
    fn layout(&self) -> Layout {
        self.shared.layout
    }

    async fn append(
        &self,
        topic: Topic,
        partition: u16,
        records: Vec<NewRecord>,
    ) -> Result<Vec<Appended>, LogError> {
        self.shared.layout.check(topic, partition)?;
        check_limits(&records)?;
        if records.is_empty() {
            return Ok(Vec::new());
        }
        let bytes = records.iter().map(NewRecord::size).sum();
        self.write((topic, partition), bytes, Wanted::New(records))
            .await
    }

    fn head(&self) -> Cut {
        self.shared.heads.cut()
    }

    fn waiting(&self) -> usize {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue
            .as_ref()
            .map_or(0, |queue| queue.max_capacity() - queue.capacity())
    }

    fn tail(&self, topic: Topic, partition: u16, from: u64) -> RecordStream {
        let Some(head) = self.shared.heads.watch(topic, partition) else {
            let known = self.shared.layout.check(topic, partition);
            return refused(known.err().unwrap_or(LogError::Closed));
        };
        let shared = Arc::clone(&self.shared);
        follow(head, from, move |next| {
            Arc::clone(&shared).read((topic, partition), next, BATCH_RECORDS)
        })
    }

    async fn read(
        &self,
        topic: Topic,
        partition: u16,
        from: u64,
        max: usize,
    ) -> Result<Vec<Record>, LogError> {
        self.shared.layout.check(topic, partition)?;
        Arc::clone(&self.shared)
            .read((topic, partition), from, max)
            .await
    }

    async fn close(&self) {
        let sender = self
            .queue
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        drop(sender);
        let mut released = self.released.clone();
        while released.changed().await.is_ok() {}
    }
}

#[async_trait]
impl CopyTarget for EmbeddedLog {
    async fn append_at(
        &self,
        topic: Topic,
        partition: u16,
        records: Vec<Record>,
    ) -> Result<(), LogError> {
        self.shared.layout.check(topic, partition)?;
        check_kept((topic, partition), &records)?;
        if records.is_empty() {
            return Ok(());
        }
        let bytes = records.iter().map(Record::size).sum();
        let written = self.write((topic, partition), bytes, Wanted::Kept(records));
        written.await.map(|_| ())
    }
}
