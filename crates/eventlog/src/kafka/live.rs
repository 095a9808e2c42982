//! The thread that follows the end of the log: what any process appends arrives here, becomes visible to tails, and acknowledges our own
//! appends.

use super::client::{self, topic_name};
use super::place::{Place, record};
use super::said::LastSaid;
use super::writer::Owned;
use super::{Shared, time};
use crate::{Appended, LogError, Record, Topic};
use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, Consumer};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a turn waits for something to arrive, and so how soon the thread hears that the log is being closed.
const TURN: Duration = Duration::from_millis(100);
/// The most messages taken before they are made visible.
const BATCH: usize = 4096;
/// When a record is known to be there and nothing arrives for so long, the reader is stuck (a lost wake-up in the client, a connection
/// that hangs): a new one takes its place.
const STUCK: Duration = Duration::from_secs(3);
/// How often idle readers are looked after.
const TIDY: Duration = Duration::from_secs(2);

/// What arrived of one place in one turn.
#[derive(Default)]
struct Arrived {
    records: Vec<Record>,
    /// Those of our own appends.
    ours: Vec<(Owned, Appended)>,
}

pub(super) struct Live {
    shared: Arc<Shared>,
    consumer: BaseConsumer<LastSaid>,
    names: Vec<(String, Topic)>,
    /// Per place the next offset, and the time of the log.
    at: BTreeMap<Place, (u64, i64)>,
}

impl Live {
    /// Begins at these places.
    pub(super) fn begin(
        shared: Arc<Shared>,
        at: BTreeMap<Place, (u64, i64)>,
    ) -> Result<Live, LogError> {
        let consumer = reader(&shared, &at)?;
        let names = Topic::ALL.map(|topic| (topic_name(&shared.config, topic), topic));
        Ok(Live {
            shared,
            consumer,
            names: names.into(),
            at,
        })
    }

    /// Until the log is closed.
    pub(super) fn run(mut self) {
        let (mut moved, mut tidied) = (Instant::now(), Instant::now());
        while !self.shared.is_closed() {
            if self.turn() || !self.is_behind() {
                moved = Instant::now();
            }
            if moved.elapsed() > STUCK {
                self.begin_again();
                moved = Instant::now();
            }
            if tidied.elapsed() > TIDY {
                self.shared.fetchers.tidy();
                tidied = Instant::now();
            }
        }
    }

    /// Takes what has arrived. Was there anything?
    fn turn(&mut self) -> bool {
        let mut arrived: BTreeMap<Place, Arrived> = BTreeMap::new();
        let mut wait = TURN;
        for _ in 0..BATCH {
            let Some(polled) = self.consumer.poll(wait) else {
                break;
            };
            wait = Duration::ZERO;
            let message = match polled {
                Ok(message) => message,
                Err(error) => {
                    tracing::warn!(
                        %error,
                        "following the log on the brokers failed; it is tried again"
                    );
                    continue;
                }
            };
            let Some(place) = place_of(&self.names, &message) else {
                continue;
            };
            let Some((next, time_ms)) = self.at.get_mut(&place) else {
                continue;
            };
            // A new reader may begin a little before.
            if u64::try_from(message.offset()).unwrap_or(0) < *next {
                continue;
            }
            let record = record(place, &message, time_ms);
            *next = record.position.offset + 1;
            let arrived = arrived.entry(place).or_default();
            if let Some(owned) = self.shared.writer.pending().owner(&message) {
                let (position, time_ms) = (record.position, record.time_ms);
                arrived.ours.push((owned, Appended { position, time_ms }));
            }
            arrived.records.push(record);
        }
        let any = !arrived.is_empty();
        for (place, Arrived { records, ours }) in arrived {
            let (next, time_ms) = self.at[&place];
            self.shared.window(place).extend(records);
            self.shared.writer.is_at(place, time_ms);
            self.shared
                .heads
                .publish(place.topic, place.partition, next);
            for (owned, receipt) in ours {
                self.shared.writer.pending().came_back(owned, receipt);
            }
        }
        any
    }

    fn is_behind(&self) -> bool {
        let reached = |place: Place| self.at.get(&place).map_or(u64::MAX, |(next, _)| *next);
        self.shared.writer.pending().knows_more(reached)
    }

    fn begin_again(&mut self) {
        match reader(&self.shared, &self.at) {
            Ok(consumer) => {
                tracing::warn!(
                    "records that are there did not arrive for {} s; following the log with a new reader",
                    STUCK.as_secs()
                );
                self.consumer = consumer;
            }
            Err(error) => tracing::error!(%error, "a new reader of the log cannot be made"),
        }
    }
}

fn place_of(names: &[(String, Topic)], message: &impl Message) -> Option<Place> {
    let (_, topic) = names.iter().find(|(name, _)| name == message.topic())?;
    Some(Place {
        topic: *topic,
        partition: u16::try_from(message.partition()).ok()?,
    })
}

fn reader(
    shared: &Shared,
    at: &BTreeMap<Place, (u64, i64)>,
) -> Result<BaseConsumer<LastSaid>, LogError> {
    let consumer = client::consumer(&shared.config, &shared.said, client::LONG_WAIT)?;
    let starts = at
        .iter()
        .map(|(place, (next, _))| (*place, i64::try_from(*next).unwrap_or(i64::MAX)));
    let list = time::list(&shared.config, starts);
    let assigned = list.and_then(|list| consumer.assign(&list).map_err(|error| error.to_string()));
    assigned.map_err(|cause| shared.said.io("follow the log on the brokers", &cause))?;
    Ok(consumer)
}
