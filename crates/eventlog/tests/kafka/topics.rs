//! Topics that are there already.

use crate::brokers::{config, open};
use qipp_eventlog::{EventLog, KafkaConfig, Layout};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use std::time::Duration;

async fn make(config: &KafkaConfig, topic: &str, partitions: i32, settings: &[(&str, &str)]) {
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", &config.brokers)
        .create()
        .expect("the client can be made");
    let name = format!("{}.{topic}", config.prefix);
    let new = NewTopic::new(&name, partitions, TopicReplication::Fixed(1));
    let new = settings
        .iter()
        .fold(new, |new, (name, value)| new.set(name, value));
    let made = admin.create_topics([&new], &AdminOptions::new()).await;
    let made = made.expect("the broker answers");
    assert!(made.iter().all(Result::is_ok), "{made:?}");
}

/// Topics of this log that are there.
fn held(config: &KafkaConfig) -> usize {
    let asker: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &config.brokers)
        .create()
        .expect("the client can be made");
    let found = asker.fetch_metadata(None, Duration::from_secs(30));
    let found = found.expect("the broker answers");
    let topics = found.topics().iter();
    let begins = |name: &str| name.starts_with(&format!("{}.", config.prefix));
    topics.filter(|topic| begins(topic.name())).count()
}

async fn refusal(config: KafkaConfig) -> String {
    let error = open(config).await.expect_err("it is refused");
    format!("{} {error}", error.code())
}

/// A topic from which records would vanish is refused, and the remedy says how to mend it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topics_that_would_lose_records_are_refused() {
    let cases = [
        ("retention.ms", "604800000"),
        ("retention.bytes", "1000000"),
        ("cleanup.policy", "compact"),
        ("message.timestamp.type", "LogAppendTime"),
        ("max.message.bytes", "1000"),
        ("unclean.leader.election.enable", "true"),
    ];
    for (setting, value) in cases {
        let config = config();
        let longest = i64::MAX.to_string();
        let right = [
            ("retention.ms", "-1"),
            ("unclean.leader.election.enable", "false"),
            ("message.timestamp.after.max.ms", longest.as_str()),
        ];
        let others = right.into_iter().filter(|(name, _)| *name != setting);
        let settings: Vec<_> = others.chain([(setting, value)]).collect();
        make(&config, "qipp.reference.v1", 1, &settings).await;
        let refusal = refusal(config.clone()).await;
        assert!(refusal.starts_with("LOG_TOPIC_MISMATCH"), "{refusal}");
        assert!(
            refusal.contains(setting) && refusal.contains(value),
            "{refusal}"
        );
        assert!(refusal.contains("kafka-configs.sh"), "{refusal}");
        assert_eq!(held(&config), 1, "others were made beside it");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_partitions_than_one_can_have_are_refused_and_nothing_is_made_beside_them() {
    let config = config();
    make(&config, "qipp.reference.v1", 3, &[]).await;
    let refusal = refusal(config.clone()).await;
    assert!(refusal.starts_with("LOG_TOPIC_MISMATCH"), "{refusal}");
    assert!(refusal.contains("another prefix"), "{refusal}");
    assert_eq!(held(&config), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_copies_than_there_are_brokers_are_refused_with_the_setting() {
    let config = KafkaConfig {
        replication: 3,
        min_insync: 2,
        ..config()
    };
    let refusal = refusal(config.clone()).await;
    assert!(refusal.starts_with("LOG_INVALID_CONFIG"), "{refusal}");
    assert!(refusal.contains("serve.kafka.replication"), "{refusal}");
    assert_eq!(held(&config), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_number_of_partitions_is_refused() {
    let config = config();
    open(config.clone()).await.expect("it opens").close().await;
    let layout = Layout {
        returns: 5,
        ..config.layout
    };
    let refusal = refusal(KafkaConfig {
        layout,
        ..config.clone()
    })
    .await;
    assert!(refusal.starts_with("LOG_LAYOUT_MISMATCH"), "{refusal}");
    open(config)
        .await
        .expect("nothing was changed")
        .close()
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_copies_than_the_topic_has_are_refused() {
    let config = config();
    open(config.clone()).await.expect("it opens").close().await;
    let more = KafkaConfig {
        replication: 3,
        min_insync: 1,
        ..config
    };
    let refusal = refusal(more).await;
    assert!(refusal.starts_with("LOG_TOPIC_MISMATCH"), "{refusal}");
    assert!(refusal.contains("replication factor = 1"), "{refusal}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missing_topics_are_named_when_they_must_not_be_made() {
    let config = KafkaConfig {
        create_topics: false,
        ..config()
    };
    let refusal = refusal(config.clone()).await;
    assert!(refusal.starts_with("LOG_TOPIC_MISSING"), "{refusal}");
    assert!(refusal.contains(&config.prefix), "{refusal}");
}

/// Properties reach the client as they are; one that it does not know is refused by its name.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn properties_reach_the_client() {
    let with = |name: &str, value: &str| {
        let mut config = config();
        config.properties.insert(name.to_owned(), value.to_owned());
        config
    };
    let refusal = refusal(with("no.such.property", "1")).await;
    assert!(refusal.starts_with("LOG_INVALID_CONFIG"), "{refusal}");
    assert!(refusal.contains("no.such.property"), "{refusal}");
    open(with("compression.type", "zstd"))
        .await
        .expect("it opens")
        .close()
        .await;
}
