//! Appends under way.
//!
//! An append is acknowledged when two things have happened: the leader has said that all copies in step hold its records, and they
//! have come back with everything else, so that their place and the time of the log there are known as every reader knows them. Each
//! message carries who sent it in a header, because a broker that answers a repeated message does not say where the first one stands.

use super::client::{self, topic_name};
use super::place::Place;
use super::said::LastSaid;
use crate::{Appended, KafkaConfig, LogError, NewRecord};
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

/// The header that says whose message it is: the writer's number and the append's, 8 bytes each, and the record's in the append, 4 bytes.
const HEADER: &str = "qipp";

/// How long the client goes on with a message, whoever still waits for it. When it gives one up of which it does not know whether the
/// broker has it, it begins a new session, and sends again what was unanswered then: the broker can't tell that it is the same, and it
/// stands in the log twice. So it gives up late, and appends have a time-out of their own.
const GIVES_UP: Duration = Duration::from_secs(600);

/// What an append comes to.
pub(super) type Answer = Result<Vec<Appended>, LogError>;

/// Appends that wait to be acknowledged.
#[derive(Debug)]
pub(super) struct Pending {
    /// Tells this writer's messages from those of others; random.
    writer: u64,
    appends: Mutex<HashMap<usize, Waiting>>,
    said: LastSaid,
    /// Told of each place up to which records are known to be there.
    known: Mutex<BTreeMap<Place, u64>>,
}

#[derive(Debug)]
struct Waiting {
    /// Messages of which the client has not said what became of them.
    under_way: usize,
    /// By record; a copy of one that is there already says nothing new.
    receipts: Vec<Option<Appended>>,
    /// How many of them have not come back.
    missing: usize,
    failed: Option<LogError>,
    /// Nothing once it has been answered, or nobody waits any more.
    answer: Option<oneshot::Sender<Answer>>,
    /// The room that its bytes take, for as long as the client holds them.
    _room: OwnedSemaphorePermit,
}

impl Waiting {
    /// What it has come to, if it has.
    fn outcome(&self) -> Option<Answer> {
        if let Some(failed) = &self.failed {
            return Some(Err(failed.clone()));
        }
        if self.under_way > 0 || self.missing > 0 {
            return None;
        }
        self.receipts.iter().copied().collect::<Option<_>>().map(Ok)
    }
}

impl Pending {
    fn new(said: LastSaid) -> Pending {
        Pending {
            writer: RandomState::new().build_hasher().finish(),
            appends: Mutex::default(),
            said,
            known: Mutex::default(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    /// The append that a message belongs to, and which of its records it is, if it is one of ours.
    pub(super) fn owner(&self, message: &impl Message) -> Option<Owned> {
        let headers = message.headers()?;
        let header = headers.iter().find(|header| header.key == HEADER)?;
        let (writer, rest) = header.value?.split_first_chunk::<8>()?;
        let (append, record) = rest.split_first_chunk::<8>()?;
        if u64::from_be_bytes(*writer) != self.writer {
            return None;
        }
        Some(Owned {
            append: usize::try_from(u64::from_be_bytes(*append)).ok()?,
            record: usize::try_from(u32::from_be_bytes(*record.first_chunk()?)).ok()?,
        })
    }

    /// One of its records has come back.
    pub(super) fn came_back(&self, Owned { append, record }: Owned, receipt: Appended) {
        self.update(append, |waiting| {
            if let Some(place @ None) = waiting.receipts.get_mut(record) {
                *place = Some(receipt);
                waiting.missing -= 1;
            }
        });
    }

    fn delivered(&self, append: usize, delivered: Result<(), &KafkaError>) {
        self.update(append, |waiting| {
            waiting.under_way = waiting.under_way.saturating_sub(1);
            if let Err(error) = delivered {
                let failed = failure(&self.said, error);
                waiting.failed.get_or_insert(failed);
            }
        });
    }

    /// Nobody waits for it any more. It takes its room until the client is done with it.
    fn abandon(&self, append: usize) {
        self.update(append, |waiting| waiting.answer = None);
    }

    fn update(&self, append: usize, change: impl FnOnce(&mut Waiting)) {
        let mut appends = self.lock();
        let Some(waiting) = appends.get_mut(&append) else {
            return;
        };
        change(waiting);
        let outcome = waiting.outcome();
        let is_decided = outcome.is_some();
        if let Some(outcome) = outcome
            && let Some(answer) = waiting.answer.take()
        {
            // Nobody listens when the caller went away just now.
            let _ = answer.send(outcome);
        }
        if waiting.under_way == 0 && (is_decided || waiting.answer.is_none()) {
            appends.remove(&append);
        }
    }

    /// Records below this offset are known to be there.
    pub(super) fn is_there(&self, place: Place, next: u64) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let known = known.entry(place).or_default();
        *known = next.max(*known);
    }

    /// Is a record known to be there at or above what `reached` says of its place?
    pub(super) fn knows_more(&self, reached: impl Fn(Place) -> u64) -> bool {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.iter().any(|(place, next)| *next > reached(*place))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<usize, Waiting>> {
        self.appends.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn failure(said: &LastSaid, error: &KafkaError) -> LogError {
    said.io("have its records acknowledged", &error.to_string())
}

/// A record of one of our appends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Owned {
    append: usize,
    record: usize,
}

/// Told by the client which messages were delivered.
struct Deliveries {
    pending: Arc<Pending>,
    place_of: Arc<BTreeMap<(String, i32), Place>>,
    said: LastSaid,
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.said.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.said.error(error, reason);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, append: usize) {
        match result {
            Ok(message) => {
                let key = (message.topic().to_owned(), message.partition());
                let place = self.place_of.get(&key);
                // A repeated message has no offset in the answer.
                if let (Some(place), Ok(offset)) = (place, u64::try_from(message.offset())) {
                    self.pending.is_there(*place, offset + 1);
                }
                self.pending.delivered(append, Ok(()));
            }
            Err((error, _)) => self.pending.delivered(append, Err(error)),
        }
    }
}

/// Sends records to the brokers.
pub(super) struct Writer {
    config: KafkaConfig,
    said: LastSaid,
    producer: Mutex<Arc<ThreadedProducer<Deliveries>>>,
    pending: Arc<Pending>,
    place_of: Arc<BTreeMap<(String, i32), Place>>,
    /// The latest time of each place, as far as this process knows. Its lock keeps the records of one append together.
    times: BTreeMap<Place, Mutex<i64>>,
    next: AtomicUsize,
}

impl Writer {
    pub(super) fn new(
        config: &KafkaConfig,
        said: &LastSaid,
        times: BTreeMap<Place, i64>,
    ) -> Result<Writer, LogError> {
        let pending = Arc::new(Pending::new(said.clone()));
        let place_of = times.keys().map(|place| {
            let name = topic_name(config, place.topic);
            ((name, i32::from(place.partition)), *place)
        });
        let place_of = Arc::new(place_of.collect());
        let producer = producer(config, said, &pending, &place_of)?;
        Ok(Writer {
            config: config.clone(),
            said: said.clone(),
            producer: Mutex::new(Arc::new(producer)),
            pending,
            place_of,
            times: times
                .into_iter()
                .map(|(place, time)| (place, Mutex::new(time)))
                .collect(),
            next: AtomicUsize::new(0),
        })
    }

    pub(super) fn pending(&self) -> &Pending {
        &self.pending
    }

    /// The log has reached this time at this place.
    pub(super) fn is_at(&self, place: Place, time_ms: i64) {
        let mut at = self.time(place);
        *at = time_ms.max(*at);
    }

    /// Hands the records to the client, each with a timestamp if it has to keep one, and gives the answer to come. What is handed over is
    /// sent, whether anybody waits for it or not.
    pub(super) fn send(
        &self,
        place: Place,
        records: &[NewRecord],
        times: Option<&[i64]>,
        room: OwnedSemaphorePermit,
    ) -> Result<(Sent<'_>, oneshot::Receiver<Answer>), LogError> {
        let producer = self.producer()?;
        let append = self.next.fetch_add(1, Ordering::Relaxed);
        let (answer, answered) = oneshot::channel();
        let waiting = Waiting {
            under_way: records.len(),
            receipts: vec![None; records.len()],
            missing: records.len(),
            failed: None,
            answer: Some(answer),
            _room: room,
        };
        self.pending.lock().insert(append, waiting);
        let sent = Sent {
            pending: &self.pending,
            append,
        };
        let name = topic_name(&self.config, place.topic);
        let mut at = self.time(place);
        *at = self.config.clock.now_ms().max(*at).max(0);
        for (record, number) in records.iter().zip(0_u32..) {
            let owner = [
                &self.pending.writer.to_be_bytes()[..],
                &(append as u64).to_be_bytes(),
                &number.to_be_bytes(),
            ]
            .concat();
            let header = Header {
                key: HEADER,
                value: Some(&owner),
            };
            let time_ms = times.map_or(*at, |times| times[number as usize]);
            let message = BaseRecord::with_opaque_to(&name, append)
                .partition(i32::from(place.partition))
                .key(&record.key[..])
                .payload(&record.payload[..])
                .timestamp(time_ms)
                .headers(OwnedHeaders::new_with_capacity(1).insert(header));
            if let Err((error, _)) = producer.send(message) {
                // Of this one and of those behind it the client says nothing.
                for _ in number as usize..records.len() {
                    self.pending.delivered(append, Err(&error));
                }
                break;
            }
        }
        Ok((sent, answered))
    }

    /// The client; a new one if the old one has given up for good.
    fn producer(&self) -> Result<Arc<ThreadedProducer<Deliveries>>, LogError> {
        let mut held = self.producer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((code, reason)) = held.client().fatal_error() {
            tracing::warn!(%code, reason, "the client that writes to the brokers gave up; a new one takes its place");
            let new = producer(&self.config, &self.said, &self.pending, &self.place_of)?;
            *held = Arc::new(new);
        }
        Ok(Arc::clone(&held))
    }

    fn time(&self, place: Place) -> MutexGuard<'_, i64> {
        let time = self
            .times
            .get(&place)
            .expect("the place was checked against the layout");
        time.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An append that was handed over: abandoned when its caller does not wait for it any more.
pub(super) struct Sent<'a> {
    pending: &'a Pending,
    append: usize,
}

impl Drop for Sent<'_> {
    fn drop(&mut self) {
        self.pending.abandon(self.append);
    }
}

fn producer(
    config: &KafkaConfig,
    said: &LastSaid,
    pending: &Arc<Pending>,
    place_of: &Arc<BTreeMap<(String, i32), Place>>,
) -> Result<ThreadedProducer<Deliveries>, LogError> {
    let mut settings = client::settings(config);
    settings
        .set("acks", "all")
        .set("enable.idempotence", "true")
        .set("message.timeout.ms", GIVES_UP.as_millis().to_string());
    let defaults = [
        // Appends wait for their answer, so what piles up meanwhile travels together; waiting longer gains nothing.
        ("linger.ms", "0"),
        ("compression.type", "lz4"),
        // The queue is bounded by our own room.
        ("queue.buffering.max.messages", "10000000"),
        ("queue.buffering.max.kbytes", "2097151"),
        ("retry.backoff.ms", "50"),
        ("retry.backoff.max.ms", "500"),
    ];
    for (name, value) in defaults {
        if !config.properties.contains_key(name) {
            settings.set(name, value);
        }
    }
    let context = Deliveries {
        pending: Arc::clone(pending),
        place_of: Arc::clone(place_of),
        said: said.clone(),
    };
    settings
        .create_with_context(context)
        .map_err(|error| client::refused(&error))
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").finish_non_exhaustive()
    }
}
