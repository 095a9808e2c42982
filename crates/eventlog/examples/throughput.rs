//! Measures the embedded log: durable events a second, time to the acknowledgement, and what it costs to open again.
//!
//! `cargo run --release -p qipp-eventlog --example throughput -- [directory] [appenders] [events] [records per append]`

use qipp_eventlog::{EmbeddedConfig, EmbeddedLog, EventLog, NewRecord, Topic};
use std::fmt::Debug;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

const EVENT_BYTES: usize = 600;

#[derive(Clone, Copy, Debug)]
struct Load {
    appenders: usize,
    events: usize,
    per_append: usize,
}

#[tokio::main]
async fn main() {
    let temporary = tempfile::tempdir().expect("a temporary directory can be made");
    let mut arguments = std::env::args().skip(1);
    let directory = arguments.next().filter(|given| given != "-");
    let directory = directory.map_or(temporary.path().to_owned(), Into::into);
    let load = Load {
        appenders: number(arguments.next(), 64),
        events: number(arguments.next(), 200_000),
        per_append: number(arguments.next(), 1),
    };
    let log = Arc::new(open(&directory));
    append_all(&log, load).await;
    read_all(&log).await;
    log.close().await;
    report(
        "on disk",
        format!(
            "{:.0} bytes an event",
            bytes_below(&directory) as f64 / load.events as f64
        ),
    );
    let start = Instant::now();
    let log = open(&directory);
    report("opened and verified", format!("{:?}", start.elapsed()));
    log.close().await;
}

fn open(directory: &Path) -> EmbeddedLog {
    EmbeddedLog::open(directory, EmbeddedConfig::default()).expect("the log opens")
}

async fn append_all(log: &Arc<EmbeddedLog>, load: Load) {
    let rounds = load.events / load.appenders / load.per_append;
    let start = Instant::now();
    let tasks: Vec<_> = (0..load.appenders)
        .map(|appender| tokio::spawn(append(Arc::clone(log), appender, rounds, load.per_append)))
        .collect();
    let mut waits = Vec::new();
    for task in tasks {
        waits.extend(task.await.expect("the appender does not panic"));
    }
    let took = start.elapsed();
    waits.sort();
    let events = rounds * load.appenders * load.per_append;
    report(
        "appended",
        format!("{events} events of {EVENT_BYTES} bytes, {load:?}, in {took:.2?}"),
    );
    report(
        "durable events/s",
        format!("{:.0}", events as f64 / took.as_secs_f64()),
    );
    let at = |share: usize| waits[(waits.len() - 1) * share / 100];
    report(
        "acknowledged after",
        format!(
            "p50 {:.2?}, p99 {:.2?}, max {:.2?}",
            at(50),
            at(99),
            at(100)
        ),
    );
}

async fn append(
    log: Arc<EmbeddedLog>,
    appender: usize,
    rounds: usize,
    per_append: usize,
) -> Vec<Duration> {
    let key = format!("organisation {appender}").into_bytes();
    let partition = log.layout().partition_of(Topic::Returns, &key);
    // Not compressible, so that the file system cannot help.
    let mut state = appender as u64 + 1;
    let mut waits = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        let records = (0..per_append).map(|_| NewRecord {
            key: key.clone().into(),
            payload: noise(&mut state).into(),
        });
        let start = Instant::now();
        let records = records.collect();
        log.append(Topic::Returns, partition, records)
            .await
            .expect("the log takes it");
        waits.push(start.elapsed());
    }
    waits
}

fn noise(state: &mut u64) -> Vec<u8> {
    let words = (0..EVENT_BYTES / 8).map(|_| {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        state.to_be_bytes()
    });
    words.flatten().collect()
}

async fn read_all(log: &EmbeddedLog) {
    let start = Instant::now();
    let mut events = 0;
    for partition in 0..log.layout().partitions(Topic::Returns) {
        let mut from = 0;
        loop {
            let records = log
                .read(Topic::Returns, partition, from, 1024)
                .await
                .expect("it can be read");
            let Some(last) = records.last() else { break };
            from = last.position.offset + 1;
            events += records.len();
        }
    }
    let rate = events as f64 / start.elapsed().as_secs_f64();
    report("read back", format!("{events} events, {rate:.0} events/s"));
}

fn bytes_below(directory: &Path) -> u64 {
    let entries = std::fs::read_dir(directory).expect("the directory can be read");
    let sizes = entries.map(|entry| {
        let entry = entry.expect("the directory can be read");
        let meta = entry.metadata().expect("the directory can be read");
        if meta.is_dir() {
            bytes_below(&entry.path())
        } else {
            meta.len()
        }
    });
    sizes.sum()
}

fn number<N: FromStr>(given: Option<String>, otherwise: N) -> N
where
    N::Err: Debug,
{
    given.map_or(otherwise, |given| given.parse().expect("a number"))
}

#[expect(clippy::print_stdout, reason = "telling is what a measurement is for")]
fn report(what: &str, value: impl AsRef<str>) {
    println!("{what:>22}: {}", value.as_ref());
}
