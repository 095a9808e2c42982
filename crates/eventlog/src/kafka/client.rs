//! What all clients of the brokers share: their settings, and how questions are asked.

use super::said::LastSaid;
use crate::{KafkaConfig, LogError, Topic};
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::metadata::Metadata;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// The largest batch of records that travels at once: the largest record, and what the format adds to it.
pub(super) const MAX_MESSAGE_BYTES: usize = 8 * 1024 * 1024;

/// How long the question who leads may take.
const REFRESH: Duration = Duration::from_secs(2);

/// How soon the brokers are asked again what they could not answer.
pub(super) const ASK_AGAIN: Duration = Duration::from_millis(50);

/// For a reader of what is there already.
pub(super) const NO_WAIT: Duration = Duration::from_millis(5);
/// For a reader that follows the end.
pub(super) const LONG_WAIT: Duration = Duration::from_millis(500);

/// Settings of every client; what the configuration passes through comes last.
pub(super) fn settings(config: &KafkaConfig) -> ClientConfig {
    let mut settings = ClientConfig::new();
    settings
        .set("bootstrap.servers", &config.brokers)
        .set("client.id", "qipp")
        .set("socket.nagle.disable", "true")
        .set("socket.keepalive.enable", "true")
        // A broker that went away is asked again soon: appends wait for it.
        .set("reconnect.backoff.ms", "50")
        .set("reconnect.backoff.max.ms", "1000")
        .set("socket.connection.setup.timeout.ms", "5000")
        .set("socket.timeout.ms", "10000")
        .set("topic.metadata.refresh.interval.ms", "10000")
        .set("message.max.bytes", MAX_MESSAGE_BYTES.to_string())
        // So that it tells when a broker hangs up.
        .set_log_level(RDKafkaLogLevel::Info);
    if cfg!(feature = "kafka-tls")
        && !config
            .properties
            .keys()
            .any(|name| name.starts_with("ssl.ca."))
    {
        // Public authorities, wherever this system has them: an OpenSSL that was compiled in looks at a place of its own, where nothing is.
        settings.set("ssl.ca.location", "probe");
    }
    for (name, value) in &config.properties {
        settings.set(name, value);
    }
    settings
}

/// A client that reads, for which an empty answer of a broker may take so long. It commits nothing: where a reader goes on is the reader's
/// to know.
///
/// Who follows the end lets the broker wait for something to come. Who reads what is there already must not: when such a reader moves to
/// another place, its last question has to be answered first.
pub(super) fn consumer(
    config: &KafkaConfig,
    said: &LastSaid,
    wait: Duration,
) -> Result<BaseConsumer<LastSaid>, LogError> {
    let mut settings = consumer_settings(config);
    settings.set("fetch.wait.max.ms", wait.as_millis().to_string());
    settings
        .create_with_context(said.clone())
        .map_err(|error| refused(&error))
}

pub(super) fn consumer_settings(config: &KafkaConfig) -> ClientConfig {
    let mut settings = settings(config);
    settings
        // Wanted by the client even when it joins no group.
        .set("group.id", named(config, "readers"))
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        // A place that is not there means that the brokers lost something: never to be passed over.
        .set("auto.offset.reset", "error")
        .set("isolation.level", "read_committed")
        .set("enable.partition.eof", "false")
        .set("check.crcs", "true");
    let defaults = [
        // Memory of a reader: what the client fetches ahead.
        ("queued.max.messages.kbytes", "16384".to_owned()),
        ("fetch.max.bytes", (2 * MAX_MESSAGE_BYTES).to_string()),
        ("fetch.message.max.bytes", (1024 * 1024).to_string()),
        // Their defaults are pauses of a second, or half of one.
        ("fetch.queue.backoff.ms", "10".to_owned()),
        ("fetch.error.backoff.ms", "50".to_owned()),
    ];
    for (name, value) in defaults {
        if !config.properties.contains_key(name) {
            settings.set(name, value);
        }
    }
    settings
}

/// The name under which the brokers know the topic.
pub(super) fn topic_name(config: &KafkaConfig, topic: Topic) -> String {
    named(config, topic.name())
}

/// A name of this log among others on the same brokers.
pub(super) fn named(config: &KafkaConfig, name: &str) -> String {
    match config.prefix.as_str() {
        "" => name.to_owned(),
        prefix => format!("{prefix}.{name}"),
    }
}

/// The client cannot be made with these settings.
pub(super) fn refused(error: &KafkaError) -> LogError {
    LogError::InvalidConfig {
        what: format!("these properties of the client of Kafka ({error})"),
    }
}

/// All that the brokers know of themselves and their topics. Who is refused by them is told so, and need not wait for the time-out.
pub(super) fn metadata(
    config: &KafkaConfig,
    said: &LastSaid,
    asker: &BaseConsumer<LastSaid>,
) -> Result<Metadata, LogError> {
    let until = Instant::now() + config.timeout;
    loop {
        let error = match asker.fetch_metadata(None, REFRESH) {
            Ok(found) => return Ok(found),
            Err(error) => error,
        };
        // A refusal is said to whoever polls, and not in the answer to a question.
        let heard_all = || Instant::now() >= until || asker.poll(ASK_AGAIN).is_none();
        while said.refusal().is_none() && !heard_all() {}
        if let Some(refusal) = said.refusal() {
            return Err(refusal);
        }
        if Instant::now() >= until {
            return Err(said.io("reach the brokers", &error.to_string()));
        }
    }
}

/// Tries again until it goes through or the time-out is over: leaders move, topics that were just made have none yet.
pub(super) fn patiently<T>(
    config: &KafkaConfig,
    mut question: impl FnMut() -> Result<T, LogError>,
) -> Result<T, LogError> {
    let until = Instant::now() + config.timeout;
    loop {
        match question() {
            Err(LogError::Io { .. }) if Instant::now() < until => std::thread::sleep(ASK_AGAIN),
            answer => return answer,
        }
    }
}

/// Asks the leaders of partitions for offsets. One that does not answer is an error: its offset would look like an answer.
pub(super) fn offsets(
    config: &KafkaConfig,
    consumer: &BaseConsumer<LastSaid>,
    asked: &TopicPartitionList,
) -> Result<HashMap<(String, i32), Offset>, KafkaError> {
    let ask = || {
        let answered = consumer.offsets_for_times(asked.clone(), config.timeout)?;
        let elements = answered.elements();
        elements.iter().try_for_each(|element| element.error())?;
        Ok(answered.to_topic_map())
    };
    ask().inspect_err(|_| {
        // It remembers that a partition had no leader for as long as it does not ask who leads.
        let asked = consumer.fetch_metadata(None, REFRESH);
        drop(asked);
    })
}
