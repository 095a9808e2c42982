//! Reading what is older than the windows, from the brokers.

use super::client;
use super::place::{Place, record};
use super::said::LastSaid;
use super::time::{self, BEGINNING};
use crate::follow::BATCH_BYTES;
use crate::{KafkaConfig, LogError, Record};
use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, Consumer};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A reader that nobody asked for so long is let go: it holds connections, and what it fetched ahead.
const IDLE: Duration = Duration::from_secs(5);
/// How often a reader that waits looks whether the log is being closed.
const LOOK: Duration = Duration::from_millis(100);

/// Readers that stand where somebody left off, so that going on costs nothing.
pub(super) struct Fetchers {
    config: KafkaConfig,
    said: LastSaid,
    idle: Mutex<Vec<(Fetcher, Instant)>>,
}

impl Fetchers {
    pub(super) fn new(config: KafkaConfig, said: LastSaid) -> Fetchers {
        Fetchers {
            config,
            said,
            idle: Mutex::default(),
        }
    }

    /// Records of a place from `from` on, below `head`, which is above `from`. Blocks.
    pub(super) fn read(
        &self,
        what: &Wanted,
        closed: impl Fn() -> bool,
    ) -> Result<Vec<Record>, LogError> {
        let mut fetcher = match self.take(what) {
            Some(fetcher) => fetcher,
            None => Fetcher {
                consumer: client::consumer(&self.config, &self.said, client::NO_WAIT)?,
                at: None,
                time_ms: BEGINNING,
            },
        };
        let records = fetcher.read(&self.config, &self.said, what, closed)?;
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.push((fetcher, Instant::now()));
        Ok(records)
    }

    /// The reader that stands just there, or else the one that nobody has wanted for the longest time.
    fn take(&self, what: &Wanted) -> Option<Fetcher> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let stands = |fetcher: &Fetcher| fetcher.at == Some((what.place, what.from));
        let at = idle.iter().position(|(fetcher, _)| stands(fetcher));
        let at = at.or_else(|| {
            let rests = |(_, since): &(Fetcher, Instant)| since.elapsed() > LOOK;
            idle.iter().position(rests)
        });
        at.map(|at| idle.remove(at).0)
    }

    /// Lets go of readers that nobody wants.
    pub(super) fn tidy(&self) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let (kept, old): (Vec<_>, Vec<_>) = idle
            .drain(..)
            .partition(|(_, since)| since.elapsed() < IDLE);
        *idle = kept;
        drop(idle);
        drop(old);
    }

    /// Lets go of all of them.
    pub(super) fn clear(&self) {
        let all = std::mem::take(&mut *self.idle.lock().unwrap_or_else(PoisonError::into_inner));
        drop(all);
    }
}

impl fmt::Debug for Fetchers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fetchers").finish_non_exhaustive()
    }
}

/// What is to be read.
pub(super) struct Wanted {
    pub(super) place: Place,
    pub(super) from: u64,
    pub(super) head: u64,
    pub(super) max: usize,
}

struct Fetcher {
    consumer: BaseConsumer<LastSaid>,
    /// Where it goes on when polled.
    at: Option<(Place, u64)>,
    /// The time of the log there.
    time_ms: i64,
}

impl Fetcher {
    fn read(
        &mut self,
        config: &KafkaConfig,
        said: &LastSaid,
        what: &Wanted,
        closed: impl Fn() -> bool,
    ) -> Result<Vec<Record>, LogError> {
        if self.at != Some((what.place, what.from)) {
            self.go_to(config, said, what)?;
        }
        // Until it has come to an orderly end it stands nowhere.
        self.at = None;
        let until = Instant::now() + config.timeout;
        let (mut records, mut bytes, mut next) = (Vec::new(), 0, what.from);
        while records.len() < what.max && bytes < BATCH_BYTES && next < what.head {
            // Waits for the first record only: what has not been fetched yet is for the next call.
            let wait = if records.is_empty() {
                LOOK
            } else {
                Duration::ZERO
            };
            match self.consumer.poll(wait) {
                None if !records.is_empty() => break,
                None if closed() => return Err(LogError::Closed),
                None if Instant::now() >= until => {
                    return Err(said.io("read from the brokers", "no answer in time"));
                }
                None => {}
                // Leaders move and connections break: the client has told its context, goes on, and the time-out ends it.
                Some(Err(_)) => {}
                Some(Ok(message)) => {
                    let offset = u64::try_from(message.offset()).unwrap_or(0);
                    if offset < what.from {
                        continue;
                    }
                    if offset >= what.head {
                        return Ok(records);
                    }
                    let record = record(what.place, &message, &mut self.time_ms);
                    bytes += record.key.len() + record.payload.len();
                    next = offset + 1;
                    records.push(record);
                }
            }
        }
        self.at = Some((what.place, next));
        Ok(records)
    }

    fn go_to(
        &mut self,
        config: &KafkaConfig,
        said: &LastSaid,
        what: &Wanted,
    ) -> Result<(), LogError> {
        self.time_ms = BEGINNING;
        if what.from > 0 {
            let limits = BTreeMap::from([(what.place, what.from)]);
            let times = time::before(config, said, &self.consumer, &limits)?;
            self.time_ms = times.get(&what.place).copied().unwrap_or(BEGINNING);
        }
        let from = i64::try_from(what.from).unwrap_or(i64::MAX);
        let list = time::list(config, std::iter::once((what.place, from)));
        let assigned = list.and_then(|list| {
            let assigned = self.consumer.assign(&list);
            assigned.map_err(|error| error.to_string())
        });
        assigned.map_err(|cause| said.io("read from the brokers", &cause))
    }
}
