//! The time of the log at a place: the latest timestamp of all records before it.
//!
//! Writers on several machines have clocks of their own, so timestamps of a partition go up and down a little. The time of a record is
//! the latest timestamp so far, which never decreases and is the same for every reader, wherever it begins. Who begins in the middle
//! asks the brokers' own index of times.

use super::client::{self, topic_name};
use super::place::Place;
use super::said::LastSaid;
use crate::{KafkaConfig, LogError};
use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const DOING: &str = "find the time at a place";

/// The time before everything.
pub(super) const BEGINNING: i64 = i64::MIN;

/// For each place the latest timestamp of the records below that offset. Blocks; leaves the consumer assigned to anything.
///
/// The offsets are above 0 and no higher than the heads, so that there is a record at or after the one below each of them, or a gap and
/// then a record.
pub(super) fn before(
    config: &KafkaConfig,
    said: &LastSaid,
    consumer: &BaseConsumer<LastSaid>,
    limits: &BTreeMap<Place, u64>,
) -> Result<BTreeMap<Place, i64>, LogError> {
    let ask = Ask {
        config,
        said,
        consumer,
        until: Instant::now() + config.timeout,
    };
    let mut latest = ask.right_below(limits)?;
    let mut open = latest.clone();
    // Each round finds, per place, an earlier record that is later in time, or that there is none.
    while !open.is_empty() {
        let earlier: BTreeMap<Place, u64> = ask
            .first_later_than(&open)?
            .into_iter()
            .filter(|(place, offset)| *offset < limits[place])
            .collect();
        open = ask
            .peek(&earlier)?
            .into_iter()
            .map(|(place, (_, time))| (place, time))
            .collect();
        latest.extend(open.iter().map(|(place, time)| (*place, *time)));
    }
    Ok(latest)
}

struct Ask<'a> {
    config: &'a KafkaConfig,
    said: &'a LastSaid,
    consumer: &'a BaseConsumer<LastSaid>,
    until: Instant,
}

impl Ask<'_> {
    /// The timestamp of the last record below each limit. Where it is a gap that ends there, goes back in growing steps.
    fn right_below(&self, limits: &BTreeMap<Place, u64>) -> Result<BTreeMap<Place, i64>, LogError> {
        let mut times = BTreeMap::new();
        let mut step = 1;
        let mut open = limits.clone();
        while !open.is_empty() {
            let from = open
                .iter()
                .map(|(place, limit)| (*place, limit.saturating_sub(step)))
                .collect();
            for (place, (offset, time)) in self.peek(&from)? {
                let is_below = offset < limits[&place];
                if is_below {
                    times.insert(place, time);
                }
                if is_below || from[&place] == 0 {
                    open.remove(&place);
                }
            }
            step *= 4;
        }
        Ok(times)
    }

    /// The first offset whose timestamp is later than this, where there is one.
    fn first_later_than(
        &self,
        times: &BTreeMap<Place, i64>,
    ) -> Result<BTreeMap<Place, u64>, LogError> {
        let found = client::patiently(self.config, || {
            let asked = self.list(times.iter().map(|(place, time)| (*place, time + 1)))?;
            client::offsets(self.config, self.consumer, &asked)
                .map_err(|error| self.failed(&error.to_string()))
        })?;
        let offset = |place: &Place| {
            let key = (
                topic_name(self.config, place.topic),
                i32::from(place.partition),
            );
            match found.get(&key) {
                Some(Offset::Offset(offset)) => u64::try_from(*offset).ok(),
                _ => None,
            }
        };
        let places = times.keys();
        Ok(places
            .filter_map(|place| Some((*place, offset(place)?)))
            .collect())
    }

    /// The first record at or after each offset: where it stands, and its timestamp.
    fn peek(&self, from: &BTreeMap<Place, u64>) -> Result<BTreeMap<Place, (u64, i64)>, LogError> {
        let mut found = BTreeMap::new();
        if from.is_empty() {
            return Ok(found);
        }
        let starts = from
            .iter()
            .map(|(place, offset)| (*place, i64::try_from(*offset).unwrap_or(i64::MAX)));
        self.consumer
            .assign(&self.list(starts)?)
            .map_err(|error| self.failed(&error.to_string()))?;
        while found.len() < from.len() {
            if Instant::now() >= self.until {
                return Err(self.failed("no answer in time"));
            }
            match self.consumer.poll(Duration::from_millis(100)) {
                None => {}
                // Leaders move and connections break: the client has told its context, goes on, and the time-out ends it.
                Some(Err(_)) => {}
                Some(Ok(message)) => {
                    let place = from.keys().find(|place| {
                        i32::from(place.partition) == message.partition()
                            && topic_name(self.config, place.topic) == message.topic()
                    });
                    let offset = u64::try_from(message.offset()).unwrap_or(0);
                    // What is below was fetched for an earlier question.
                    if let Some(place) = place.filter(|place| offset >= from[*place]) {
                        let time = message.timestamp().to_millis().unwrap_or(0);
                        found.entry(*place).or_insert((offset, time));
                    }
                }
            }
        }
        Ok(found)
    }

    fn list(
        &self,
        places: impl Iterator<Item = (Place, i64)>,
    ) -> Result<TopicPartitionList, LogError> {
        list(self.config, places).map_err(|error| self.failed(&error))
    }

    fn failed(&self, cause: &str) -> LogError {
        self.said.io(DOING, cause)
    }
}

/// Partitions with a number each, as the client wants them.
pub(super) fn list(
    config: &KafkaConfig,
    places: impl Iterator<Item = (Place, i64)>,
) -> Result<TopicPartitionList, String> {
    let mut list = TopicPartitionList::new();
    for (place, number) in places {
        let name = topic_name(config, place.topic);
        list.add_partition_offset(&name, i32::from(place.partition), Offset::Offset(number))
            .map_err(|error| error.to_string())?;
    }
    Ok(list)
}
