//! The log on Apache Kafka: the brokers order, keep and replicate; any number of processes write and read.
//!
//! # How a promise is kept
//!
//! | promise | by what |
//! |---|---|
//! | durable before acknowledged | an idempotent producer with `acks=all`; `min.insync.replicas` is checked when the log is opened (`topics.rs`) |
//! | readers see only durable records | consumers see what all copies in step hold |
//! | a batch keeps its order | one lock for each partition while the records of an append are handed over (`writer.rs`) |
//! | time never decreases | the time of a record is the latest timestamp so far (`time.rs`) |
//! | a tail loses nothing and repeats nothing | offsets are the brokers'; whoever reads keeps the place. No offset is ever committed |
//! | bounded memory | newest records in windows of a fixed size (`place.rs`), readers of the past with bounded buffers (`fetch.rs`), a bounded number of bytes under way |
//!
//! # Threads
//!
//! One follows the end of all partitions (`live.rs`): heads move, tails wake and appends are acknowledged there. Tails that are
//! further back read from the brokers on the runtime's blocking threads. Another stands for election when somebody asks who is chosen
//! (`election.rs`). The client has threads of its own.
//!
//! # Failures
//!
//! Brokers that are away make appends fail after the time-out, and tails wait; when they are back everything goes on by itself. A failed append
//! may be found later.

mod client;
mod config;
mod election;
mod fetch;
mod live;
mod place;
mod said;
mod time;
mod topics;
mod writer;

pub use config::KafkaConfig;

use crate::follow::{BATCH_RECORDS, Heads, follow, refused};
use crate::types::record::{check_follows, check_kept, check_limits};
use crate::{
    Appended, Batch, CopyTarget, Cut, EventLog, Layout, LogError, NewRecord, Record, RecordStream,
    Topic,
};
use async_trait::async_trait;
use election::Election;
use fetch::{Fetchers, Wanted};
use live::Live;
use place::{Place, Window};
use rdkafka::consumer::BaseConsumer;
use said::LastSaid;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;
use tokio::sync::{RwLock, Semaphore, watch};
use writer::Writer;

/// What a record takes under way besides its bytes.
const QUEUE_OVERHEAD: usize = 128;

/// A log on Kafka.
///
/// Close it with [`close`](EventLog::close), which waits for what is under way. Dropping it ends its threads without waiting.
#[derive(Debug)]
pub struct KafkaLog {
    shared: Arc<Shared>,
    /// Bytes that may be under way.
    room: Arc<Semaphore>,
    /// Held by every append; whoever closes waits for all of them. True once the log is closed.
    appending: RwLock<bool>,
    /// How many reads of the past may run at the same time.
    reading: Arc<Semaphore>,
    election: Mutex<Option<Election>>,
    follower: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    config: KafkaConfig,
    said: LastSaid,
    heads: Heads,
    windows: BTreeMap<Place, Mutex<Window>>,
    fetchers: Fetchers,
    writer: Writer,
    /// Asks questions, reads nothing.
    asker: BaseConsumer<LastSaid>,
    closed: AtomicBool,
}

impl KafkaLog {
    /// Opens the log: reaches the brokers, makes or checks the topics, and finds where they end.
    ///
    /// Blocks for some round trips, and up to the time-out when no broker answers: do not call it on a thread that serves others. Brokers that
    /// refuse the client (a password, a certificate) are [`LogError::InvalidConfig`], and that within seconds.
    ///
    /// # Errors
    /// [`LogError::InvalidConfig`], [`LogError::TopicMissing`], [`LogError::TopicMismatch`], [`LogError::LayoutMismatch`], [`LogError::Io`].
    pub fn open(config: KafkaConfig) -> Result<KafkaLog, LogError> {
        config.check()?;
        let said = LastSaid::default();
        let asker = client::consumer(&config, &said, client::NO_WAIT)?;
        topics::ensure(&config, &said, &asker)?;
        let start = topics::ends(&config, &said, &asker)?;
        let places: Vec<Place> = config
            .layout
            .all()
            .map(|(topic, partition)| Place { topic, partition })
            .collect();
        let next = |place: &Place| start.next(place.topic, place.partition);
        let limits = places.iter().map(|place| (*place, next(place)));
        let limits = limits.filter(|(_, next)| *next > 0).collect();
        let times = time::before(&config, &said, &asker, &limits)?;
        let at: BTreeMap<Place, (u64, i64)> = places
            .iter()
            .map(|place| {
                let time_ms = times.get(place).copied().unwrap_or(time::BEGINNING);
                (*place, (next(place), time_ms))
            })
            .collect();
        let window_bytes = config.window_bytes / places.len();
        let windows = places
            .iter()
            .map(|place| (*place, Mutex::new(Window::new(next(place), window_bytes))));
        let writer_times = at.iter().map(|(place, (_, time_ms))| (*place, *time_ms));
        let shared = Arc::new(Shared {
            heads: Heads::new(config.layout, &start),
            windows: windows.collect(),
            fetchers: Fetchers::new(config.clone(), said.clone()),
            writer: Writer::new(&config, &said, writer_times.collect())?,
            asker,
            closed: AtomicBool::new(false),
            said,
            config,
        });
        let live = Live::begin(Arc::clone(&shared), at)?;
        let thread = std::thread::Builder::new().name("qipp-log-follower".into());
        let follower = thread
            .spawn(move || live.run())
            .map_err(|error| LogError::Io {
                doing: "start its follower",
                cause: error.to_string(),
            })?;
        Ok(KafkaLog {
            room: Arc::new(Semaphore::new(shared.config.queue_bytes)),
            appending: RwLock::new(false),
            reading: Arc::new(Semaphore::new(places.len() + 4)),
            election: Mutex::new(None),
            follower: Mutex::new(Some(follower)),
            shared,
        })
    }

    /// Hands the records over and waits until they are acknowledged and have come back.
    async fn write(
        &self,
        place: Place,
        records: &[NewRecord],
        times: Option<&[i64]>,
    ) -> Result<Vec<Appended>, LogError> {
        let sizes = records.iter().map(|record| record.size() + QUEUE_OVERHEAD);
        let share = sizes.sum::<usize>().min(self.shared.config.queue_bytes);
        let share = u32::try_from(share).expect("queue_bytes is checked to be at most 1 GiB");
        let begun = Instant::now();
        let until = begun + self.shared.config.timeout;
        let io = |cause| {
            let said = &self.shared.said;
            said.io("have its records acknowledged", cause)
        };
        let room = Arc::clone(&self.room).acquire_many_owned(share);
        let room = tokio::time::timeout_at(until.into(), room).await;
        let room = room.map_err(|_| io("what was sent before is still under way"))?;
        let room = room.map_err(|_| LogError::Closed)?;
        let (sent, answered) = self.shared.writer.send(place, records, times, room)?;
        let answer = tokio::time::timeout_at(until.into(), answered).await;
        drop(sent);
        let answer = match answer {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(LogError::Closed),
            Err(_) => Err(io("no answer in time; it may be found later")),
        };
        self.tell(records, begun, &answer);
        answer
    }

    fn tell(
        &self,
        records: &[NewRecord],
        begun: Instant,
        answer: &Result<Vec<Appended>, LogError>,
    ) {
        let observer = &self.shared.config.observer;
        match answer {
            Ok(_) => observer.written(Batch {
                appends: 1,
                records: records.len(),
                bytes: records.iter().map(NewRecord::size).sum(),
                took: begun.elapsed(),
            }),
            Err(error) => observer.refused(1, error),
        }
    }
}

impl Shared {
    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    fn window(&self, place: Place) -> MutexGuard<'_, Window> {
        let window = self.windows.get(&place).expect("the layout has the place");
        window.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From the window if it goes back so far, otherwise from the brokers.
    async fn read(
        self: Arc<Shared>,
        reading: Arc<Semaphore>,
        place: Place,
        from: u64,
        max: usize,
    ) -> Result<Vec<Record>, LogError> {
        if self.is_closed() {
            return Err(LogError::Closed);
        }
        let head = self.heads.next(place.topic, place.partition);
        if from >= head || max == 0 {
            return Ok(Vec::new());
        }
        if let Some(records) = self.window(place).read(from, max) {
            return Ok(records);
        }
        let _permit = reading.acquire_owned().await;
        let max = max.min(BATCH_RECORDS);
        let wanted = Wanted {
            place,
            from,
            head,
            max,
        };
        let reads =
            tokio::task::spawn_blocking(move || self.fetchers.read(&wanted, || self.is_closed()));
        reads.await.unwrap_or_else(|error| {
            Err(LogError::Io {
                doing: "read",
                cause: error.to_string(),
            })
        })
    }
}

#[async_trait]
impl EventLog for KafkaLog {
    fn layout(&self) -> Layout {
        self.shared.config.layout
    }

    async fn append(
        &self,
        topic: Topic,
        partition: u16,
        records: Vec<NewRecord>,
    ) -> Result<Vec<Appended>, LogError> {
        self.layout().check(topic, partition)?;
        check_limits(&records)?;
        let closed = self.appending.read().await;
        if *closed {
            return Err(LogError::Closed);
        }
        if records.is_empty() {
            return Ok(Vec::new());
        }
        self.write(Place { topic, partition }, &records, None).await
    }

    fn head(&self) -> Cut {
        self.shared.heads.cut()
    }

    async fn find_head(&self) -> Result<Cut, LogError> {
        if self.shared.is_closed() {
            return Err(LogError::Closed);
        }
        let shared = Arc::clone(&self.shared);
        let asking = tokio::task::spawn_blocking(move || {
            let found = topics::ends(&shared.config, &shared.said, &shared.asker)?;
            for ((topic, partition), next) in found.iter() {
                let place = Place { topic, partition };
                shared.writer.pending().is_there(place, next);
            }
            Ok(found)
        });
        asking.await.unwrap_or_else(|error| {
            Err(LogError::Io {
                doing: "ask where it ends",
                cause: error.to_string(),
            })
        })
    }

    fn stand(&self) -> watch::Receiver<bool> {
        let mut election = self.election.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(election) = &*election {
            return election.chosen();
        }
        match Election::begin(&self.shared.config, &self.shared.said) {
            Ok(begun) => election.insert(begun).chosen(),
            Err(error) => {
                tracing::error!(%error, "this process cannot stand for election: another one has to do the work");
                watch::Sender::new(false).subscribe()
            }
        }
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn waiting(&self) -> usize {
        self.shared.writer.pending().len()
    }

    fn tail(&self, topic: Topic, partition: u16, from: u64) -> RecordStream {
        let Some(head) = self.shared.heads.watch(topic, partition) else {
            let known = self.layout().check(topic, partition);
            return refused(known.err().unwrap_or(LogError::Closed));
        };
        let (shared, reading) = (Arc::clone(&self.shared), Arc::clone(&self.reading));
        let place = Place { topic, partition };
        follow(head, from, move |next| {
            let (shared, reading) = (Arc::clone(&shared), Arc::clone(&reading));
            shared.read(reading, place, next, BATCH_RECORDS)
        })
    }

    async fn read(
        &self,
        topic: Topic,
        partition: u16,
        from: u64,
        max: usize,
    ) -> Result<Vec<Record>, LogError> {
        self.layout().check(topic, partition)?;
        let (shared, reading) = (Arc::clone(&self.shared), Arc::clone(&self.reading));
        let place = Place { topic, partition };
        shared.read(reading, place, from, max).await
    }

    async fn close(&self) {
        // Waits for the appends under way, each of which ends within its time-out.
        let mut closed = self.appending.write().await;
        *closed = true;
        self.shared.closed.store(true, Ordering::Relaxed);
        self.shared.heads.close();
        let election = self
            .election
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let follower = self
            .follower
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let shared = Arc::clone(&self.shared);
        let ending = tokio::task::spawn_blocking(move || {
            drop(election);
            if let Some(Err(_)) = follower.map(JoinHandle::join) {
                tracing::error!("the thread that followed the log panicked");
            }
            shared.fetchers.clear();
        });
        if let Err(error) = ending.await {
            tracing::error!(%error, "closing the log");
        }
    }
}

#[async_trait]
impl CopyTarget for KafkaLog {
    async fn append_at(
        &self,
        topic: Topic,
        partition: u16,
        records: Vec<Record>,
    ) -> Result<(), LogError> {
        self.layout().check(topic, partition)?;
        check_kept((topic, partition), &records)?;
        let closed = self.appending.read().await;
        if *closed {
            return Err(LogError::Closed);
        }
        let Some(first) = records.first() else {
            return Ok(());
        };
        let mut next = self.shared.heads.next(topic, partition);
        if first.position.offset != next {
            next = self.find_head().await?.next(topic, partition);
        }
        check_follows(first, next, i64::MIN)?;
        refuse_gaps(&records, next)?;
        let times: Vec<i64> = records.iter().map(|record| record.time_ms).collect();
        let new = records.iter().map(|record| NewRecord {
            key: record.key.clone(),
            payload: record.payload.clone(),
        });
        let new: Vec<NewRecord> = new.collect();
        let place = Place { topic, partition };
        let receipts = self.write(place, &new, Some(&times)).await?;
        // Too late to refuse it, but not to tell.
        let strayed = receipts.iter().zip(&records).find(|(receipt, record)| {
            (receipt.position, receipt.time_ms) != (record.position, record.time_ms)
        });
        let Some((receipt, Record { position, .. })) = strayed else {
            return Ok(());
        };
        let what = format!(
            "it was written to {} with the time {}, because somebody else writes to the topic: stop whoever does, and copy into topics with another prefix",
            receipt.position, receipt.time_ms
        );
        Err(LogError::CopyMismatch {
            position: *position,
            what,
        })
    }
}

/// Brokers number records themselves, one after the other.
fn refuse_gaps(records: &[Record], next: u64) -> Result<(), LogError> {
    let gap = records
        .iter()
        .zip(next..)
        .find(|(record, offset)| record.position.offset != *offset);
    let Some((Record { position, .. }, offset)) = gap else {
        return Ok(());
    };
    let what = format!(
        "the offsets from {offset} on are left out, and Kafka can't leave out any: a log with gaps, which comes of one that was damaged, can be copied into a folder only"
    );
    Err(LogError::CopyMismatch {
        position: *position,
        what,
    })
}

impl Drop for KafkaLog {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::Relaxed);
        self.shared.heads.close();
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
