//! Measures the log on Kafka beside the bare client on the same topic, brokers and machine: appending, its time to the acknowledgement,
//! and replaying everything. Starts brokers of its own and ends them.
//!
//! `cargo run --release -p qipp-eventlog --features kafka --example kafka -- [brokers: 1 or 3] [events]`

#![expect(clippy::print_stdout, reason = "telling is what a measurement is for")]

use futures::StreamExt;
use qipp_eventlog::{EventLog, KafkaConfig, KafkaLog, Layout, NewRecord, Topic};
use qipp_kafka_cluster::Cluster;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::sync::Arc;
use std::time::{Duration, Instant};

const EVENT_BYTES: usize = 600;
const APPENDERS: usize = 64;

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let brokers = number(arguments.next(), 1);
    let events = number(arguments.next(), 300_000);
    let starting = tokio::task::spawn_blocking(move || Cluster::start(brokers));
    let cluster = starting
        .await
        .expect("no panic")
        .expect("the brokers start");
    let copies = u16::try_from(brokers).expect("1 or 3");
    let config = KafkaConfig {
        replication: copies,
        min_insync: copies.div_ceil(2),
        ..KafkaConfig::from_url(&format!("kafka://{}/bench", cluster.brokers()))
            .expect("an address")
    };
    println!("{brokers} broker(s), {events} events of {EVENT_BYTES} bytes\n");

    let log = open(&config).await;
    let single = append(&log, 1, 500, 1).await;
    report("one append after the other", &single);
    let one = append(&log, APPENDERS, events / 4, 1).await;
    report("64 appenders, a record each", &one);
    let raw = raw_produce(&config, events);
    println!(
        "{:<34} {raw:>10.0} events/s",
        "bare producer, all in flight"
    );
    let hundred = append(&log, APPENDERS, events, 100).await;
    report("64 appenders, 100 records each", &hundred);
    println!(
        "{:<34} {:>10.2} x the bare producer\n",
        "",
        hundred.rate / raw
    );
    log.close().await;

    // Alternating, because the machine has moods.
    let mut shares = Vec::new();
    for _ in 0..3 {
        let raw = raw_consume(&config);
        let ours = replay(&config).await;
        println!("{:<34} {raw:>10.0} events/s", "bare consumer, poll");
        println!(
            "{:<34} {ours:>10.0} events/s   {:.2} x",
            "tails of a log that was opened",
            ours / raw
        );
        shares.push(ours / raw);
    }
    shares.sort_by(f64::total_cmp);
    println!(
        "{:<34} {:>10.2} x the bare consumer (median)",
        "replay", shares[1]
    );
}

async fn open(config: &KafkaConfig) -> Arc<KafkaLog> {
    let config = config.clone();
    let opening = tokio::task::spawn_blocking(move || KafkaLog::open(config));
    Arc::new(opening.await.expect("no panic").expect("the log opens"))
}

struct Appends {
    rate: f64,
    waits: Vec<Duration>,
}

async fn append(
    log: &Arc<KafkaLog>,
    appenders: usize,
    events: usize,
    per_append: usize,
) -> Appends {
    let rounds = (events / appenders / per_append).max(1);
    let start = Instant::now();
    let tasks: Vec<_> = (0..appenders)
        .map(|appender| tokio::spawn(append_rounds(Arc::clone(log), appender, rounds, per_append)))
        .collect();
    let mut waits = Vec::new();
    for task in tasks {
        waits.extend(task.await.expect("no panic"));
    }
    let rate = (rounds * appenders * per_append) as f64 / start.elapsed().as_secs_f64();
    waits.sort();
    Appends { rate, waits }
}

async fn append_rounds(
    log: Arc<KafkaLog>,
    appender: usize,
    rounds: usize,
    count: usize,
) -> Vec<Duration> {
    let key = format!("organisation {appender}").into_bytes();
    let partition = log.layout().partition_of(Topic::Returns, &key);
    let mut state = appender as u64 + 1;
    let mut waits = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        let records = (0..count).map(|_| NewRecord {
            key: key.clone().into(),
            payload: noise(&mut state).into(),
        });
        let records = records.collect();
        let start = Instant::now();
        log.append(Topic::Returns, partition, records)
            .await
            .expect("it is taken");
        waits.push(start.elapsed());
    }
    waits
}

fn report(name: &str, appends: &Appends) {
    let at = |share: usize| appends.waits[(appends.waits.len() - 1) * share / 100];
    println!(
        "{name:<34} {:>10.0} events/s   acknowledged after p50 {:.2?}, p99 {:.2?}",
        appends.rate,
        at(50),
        at(99)
    );
}

/// What the client does at best: nobody waits for an answer before all are sent.
fn raw_produce(config: &KafkaConfig, events: usize) -> f64 {
    let producer: BaseProducer = client(config)
        .set("acks", "all")
        .set("enable.idempotence", "true")
        .set("compression.type", "lz4")
        .set("queue.buffering.max.messages", "10000000")
        .create()
        .expect("the client can be made");
    let topic = format!("{}.{}", config.prefix, Topic::Returns.name());
    let partitions = i32::from(Layout::default().returns);
    let mut state = 7;
    let start = Instant::now();
    for partition in (0..partitions).cycle().take(events) {
        let payload = noise(&mut state);
        let record = BaseRecord::to(&topic)
            .partition(partition)
            .key("bare")
            .payload(&payload);
        producer
            .send(record)
            .map_err(|(error, _)| error)
            .expect("there is room");
        producer.poll(Duration::ZERO);
    }
    producer
        .flush(Duration::from_secs(120))
        .expect("everything is acknowledged");
    events as f64 / start.elapsed().as_secs_f64()
}

fn raw_consume(config: &KafkaConfig) -> f64 {
    let consumer: BaseConsumer = client(config)
        .set("group.id", "bare")
        .set("enable.auto.commit", "false")
        .create()
        .expect("the client can be made");
    let topic = format!("{}.{}", config.prefix, Topic::Returns.name());
    let start = Instant::now();
    let (mut list, mut expected) = (TopicPartitionList::new(), 0);
    for partition in 0..i32::from(Layout::default().returns) {
        let ends = consumer.fetch_watermarks(&topic, partition, Duration::from_secs(30));
        expected += ends.expect("the broker answers").1;
        list.add_partition_offset(&topic, partition, Offset::Beginning)
            .expect("a partition");
    }
    consumer.assign(&list).expect("it can be assigned");
    let mut seen = 0;
    while seen < expected {
        if let Some(message) = consumer.poll(Duration::from_secs(30)) {
            message.expect("it can be read");
            seen += 1;
        }
    }
    seen as f64 / start.elapsed().as_secs_f64()
}

/// A process that starts: it opens the log and follows all partitions from their beginning.
async fn replay(config: &KafkaConfig) -> f64 {
    let start = Instant::now();
    let log = open(config).await;
    let head = log.head();
    let tails = (0..log.layout().returns).map(|partition| {
        let (log, end) = (Arc::clone(&log), head.next(Topic::Returns, partition));
        tokio::spawn(async move {
            let mut tail = log.tail(Topic::Returns, partition, 0);
            let (mut next, mut seen) = (0, 0);
            while next < end {
                let batch = tail
                    .next()
                    .await
                    .expect("it goes on")
                    .expect("it can be read");
                next = batch.last().map_or(next, |last| last.position.offset + 1);
                seen += batch.len();
            }
            seen
        })
    });
    let mut seen = 0;
    for tail in tails.collect::<Vec<_>>() {
        seen += tail.await.expect("no panic");
    }
    let rate = seen as f64 / start.elapsed().as_secs_f64();
    log.close().await;
    rate
}

fn client(config: &KafkaConfig) -> ClientConfig {
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", &config.brokers);
    client
}

/// Not compressible, so that nobody gains by compressing.
fn noise(state: &mut u64) -> Vec<u8> {
    let words = (0..EVENT_BYTES / 8).map(|_| {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        state.to_be_bytes()
    });
    words.flatten().collect()
}

fn number(argument: Option<String>, default: usize) -> usize {
    argument.map_or(default, |given| given.parse().expect("a number"))
}
