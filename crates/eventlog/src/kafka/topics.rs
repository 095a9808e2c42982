//! Topics: made as the log needs them, or checked against that. A topic that would lose records is refused, with the remedy.

use super::client::{self, MAX_MESSAGE_BYTES, metadata, topic_name};
use super::said::LastSaid;
use crate::{Cut, KafkaConfig, LogError, Topic};
use futures::executor::block_on;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::consumer::BaseConsumer;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::metadata::{Metadata, MetadataTopic};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::collections::HashMap;
use std::time::Instant;

/// What a topic of the log has to be like: setting, value, and whether more than that is right too.
fn expected(config: &KafkaConfig) -> Vec<(&'static str, String, bool)> {
    vec![
        // The log is the source of truth: nothing of it ever goes away by itself.
        ("cleanup.policy", "delete".into(), false),
        ("retention.ms", "-1".into(), false),
        ("retention.bytes", "-1".into(), false),
        // An acknowledged record survives the loss of a broker, and a broker that missed it never leads.
        ("min.insync.replicas", config.min_insync.to_string(), true),
        ("unclean.leader.election.enable", "false".into(), false),
        // Times are the writers': a log that was copied keeps its times, and a broker's clock decides nothing.
        ("message.timestamp.type", "CreateTime".into(), false),
        (
            "message.timestamp.before.max.ms",
            i64::MAX.to_string(),
            false,
        ),
        (
            "message.timestamp.after.max.ms",
            i64::MAX.to_string(),
            false,
        ),
        ("max.message.bytes", MAX_MESSAGE_BYTES.to_string(), true),
    ]
}

/// Checks the topics that are there, and then makes those that are missing: where one is wrong, nothing is made beside it.
///
/// # Errors
/// [`LogError::InvalidConfig`], [`LogError::TopicMissing`], [`LogError::TopicMismatch`], [`LogError::LayoutMismatch`], [`LogError::Io`].
pub(super) fn ensure(
    config: &KafkaConfig,
    said: &LastSaid,
    asker: &BaseConsumer<LastSaid>,
) -> Result<(), LogError> {
    let found = metadata(config, said, asker)?;
    let admin: AdminClient<LastSaid> = client::settings(config)
        .create_with_context(said.clone())
        .map_err(|error| client::refused(&error))?;
    let (held, missing): (Vec<Topic>, Vec<Topic>) = Topic::ALL
        .into_iter()
        .partition(|topic| find(&found, &topic_name(config, *topic)).is_some());
    check_counts(config, &found, &held)?;
    check_settings(config, said, &admin, &held)?;
    let Some(first) = missing.first() else {
        return Ok(());
    };
    if !config.create_topics {
        return Err(LogError::TopicMissing {
            name: topic_name(config, *first),
        });
    }
    make(config, said, &admin, &missing)?;
    let until = Instant::now() + config.timeout;
    loop {
        let found = metadata(config, said, asker)?;
        let led = |topic: Topic| {
            let found = find(&found, &topic_name(config, topic));
            found.is_some_and(|found| found.partitions().iter().all(|part| part.leader() >= 0))
        };
        if Topic::ALL.into_iter().all(led) {
            check_counts(config, &found, &missing)?;
            break;
        }
        if Instant::now() >= until {
            return Err(said.io("find leaders of its topics", "some partition has none"));
        }
        std::thread::sleep(client::ASK_AGAIN);
    }
    check_settings(config, said, &admin, &missing)
}

/// Topics without partitions are names that somebody asked for, and nothing else.
fn find<'a>(found: &'a Metadata, name: &str) -> Option<&'a MetadataTopic> {
    found
        .topics()
        .iter()
        .find(|topic| topic.name() == name && !topic.partitions().is_empty())
}

fn make(
    config: &KafkaConfig,
    said: &LastSaid,
    admin: &AdminClient<LastSaid>,
    missing: &[Topic],
) -> Result<(), LogError> {
    let names: Vec<_> = missing
        .iter()
        .map(|topic| (topic_name(config, *topic), *topic))
        .collect();
    let settings = expected(config);
    let topics = names.iter().map(|(name, topic)| {
        let partitions = i32::from(config.layout.partitions(*topic));
        let replication = TopicReplication::Fixed(i32::from(config.replication));
        let topic = NewTopic::new(name, partitions, replication);
        settings
            .iter()
            .fold(topic, |topic, (name, value, _)| topic.set(name, value))
    });
    let topics: Vec<_> = topics.collect();
    let options = AdminOptions::new()
        .request_timeout(Some(config.timeout))
        .operation_timeout(Some(config.timeout));
    let made = block_on(admin.create_topics(&topics, &options))
        .map_err(|error| said.io("make its topics", &error.to_string()))?;
    for result in made {
        match result {
            Ok(name) => tracing::info!(topic = name, "topic made"),
            // Another process of ours was quicker; what it made is checked as any other.
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((name, error @ RDKafkaErrorCode::InvalidReplicationFactor)) => {
                return Err(LogError::InvalidConfig {
                    what: format!(
                        "{} copies of each record, which these brokers can't hold ({name}: {error}): start more brokers, or set serve.kafka.replication and serve.kafka.min_insync to what there is",
                        config.replication
                    ),
                });
            }
            Err((name, error)) => {
                return Err(said.io("make its topics", &format!("{name}: {error}")));
            }
        }
    }
    Ok(())
}

fn check_counts(config: &KafkaConfig, found: &Metadata, topics: &[Topic]) -> Result<(), LogError> {
    let mut stored = config.layout;
    for topic in topics.iter().copied() {
        let name = topic_name(config, topic);
        let Some(found) = find(found, &name) else {
            return Err(LogError::TopicMissing { name });
        };
        let count = found.partitions().len();
        match topic {
            Topic::Returns => stored.returns = u16::try_from(count).unwrap_or(u16::MAX),
            Topic::Alerts => stored.alerts = u16::try_from(count).unwrap_or(u16::MAX),
            Topic::Reference | Topic::Benchmarks if count == 1 => {}
            Topic::Reference | Topic::Benchmarks => {
                return Err(mismatch(&name, "partitions", "1", count.to_string()));
            }
        }
        let copies = found.partitions().iter().map(|part| part.replicas().len());
        let fewest = copies.min().unwrap_or(0);
        if fewest < usize::from(config.replication) {
            let wanted = format!("{} or more", config.replication);
            return Err(mismatch(
                &name,
                "replication factor",
                &wanted,
                fewest.to_string(),
            ));
        }
    }
    match stored == config.layout {
        true => Ok(()),
        false => Err(LogError::LayoutMismatch {
            stored,
            asked: config.layout,
        }),
    }
}

fn check_settings(
    config: &KafkaConfig,
    said: &LastSaid,
    admin: &AdminClient<LastSaid>,
    topics: &[Topic],
) -> Result<(), LogError> {
    if topics.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = topics
        .iter()
        .map(|topic| topic_name(config, *topic))
        .collect();
    let resources: Vec<_> = names
        .iter()
        .map(|name| ResourceSpecifier::Topic(name))
        .collect();
    let options = AdminOptions::new().request_timeout(Some(config.timeout));
    let failed = |error: &dyn std::fmt::Display| {
        said.io("ask for the settings of its topics", &error.to_string())
    };
    let described = block_on(admin.describe_configs(&resources, &options));
    let described = described.map_err(|error| failed(&error))?;
    for (name, described) in names.iter().zip(described) {
        let described = described.map_err(|error| failed(&error))?;
        let found: HashMap<&str, &str> = described
            .entries
            .iter()
            .filter_map(|entry| Some((entry.name.as_str(), entry.value.as_deref()?)))
            .collect();
        for (setting, wanted, or_more) in expected(config) {
            let Some(value) = found.get(setting) else {
                // An older broker that does not know the setting does not act on it either.
                continue;
            };
            let is_more = || match (value.parse::<u64>(), wanted.parse::<u64>()) {
                (Ok(value), Ok(wanted)) => or_more && value >= wanted,
                _ => false,
            };
            if *value != wanted && !is_more() {
                return Err(mismatch(name, setting, &wanted, (*value).to_owned()));
            }
        }
    }
    Ok(())
}

fn mismatch(name: &str, setting: &str, wanted: &str, found: String) -> LogError {
    LogError::TopicMismatch {
        name: name.to_owned(),
        setting: setting.to_owned(),
        wanted: wanted.to_owned(),
        found,
    }
}

/// Where every partition ends, as its leader says. Blocks.
pub(super) fn ends(
    config: &KafkaConfig,
    said: &LastSaid,
    consumer: &BaseConsumer<LastSaid>,
) -> Result<Cut, LogError> {
    client::patiently(config, || ask_ends(config, said, consumer))
}

fn ask_ends(
    config: &KafkaConfig,
    said: &LastSaid,
    consumer: &BaseConsumer<LastSaid>,
) -> Result<Cut, LogError> {
    let mut asked = TopicPartitionList::new();
    for (topic, partition) in config.layout.all() {
        let name = topic_name(config, topic);
        asked
            .add_partition_offset(&name, i32::from(partition), Offset::End)
            .map_err(|error| said.io("ask where it ends", &error.to_string()))?;
    }
    // "The time of the end" is one question to each broker; asking for watermarks would be one for each partition.
    let found = client::offsets(config, consumer, &asked)
        .map_err(|error| said.io("ask where it ends", &error.to_string()))?;
    let next = config.layout.all().map(|(topic, partition)| {
        let key = (topic_name(config, topic), i32::from(partition));
        match found.get(&key) {
            Some(Offset::Offset(next)) => {
                Ok(((topic, partition), u64::try_from(*next).unwrap_or(0)))
            }
            other => Err(said.io(
                "ask where it ends",
                &format!("{topic}/{partition}: {other:?}"),
            )),
        }
    });
    next.collect()
}
