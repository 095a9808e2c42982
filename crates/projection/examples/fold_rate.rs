//! Measures how many records a follower folds in a second, with and without checkpoints, from the real wire format.
//!
//! `cargo run --release -p qipp-projection --example fold_rate [organisations] [months] [markers]`
#![allow(clippy::print_stdout, reason = "it is here to print")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use qipp_api::facts::{Meta, decode, encode};
use qipp_domain::nation::{Facts, ReturnFact};
use qipp_domain::returns::{
    Body, Measured, Observation, Precondition, Return, ReturnContent, Status, Value,
};
use qipp_domain::{MarkerCode, OrgCode, Period, Quantity, SeriesKey};
use qipp_eventlog::{EventLog, Layout, ManualClock, MemoryLog, NewRecord, Topic};
use qipp_projection::{Follower, FollowerConfig, StoreConfig};
use tokio_util::sync::CancellationToken;

type Failure = Box<dyn std::error::Error>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut sizes = std::env::args().skip(1).map(|size| size.parse::<u32>());
    let mut size = |default| sizes.next().unwrap_or(Ok(default));
    let (organisations, months, markers) = (size(500)?, size(60)?, size(100)?);
    let log = Arc::new(MemoryLog::new(
        Layout::default(),
        Arc::new(ManualClock::new(1_000)),
    ));
    for month in 0..months {
        for organisation in 0..organisations {
            append(&log, organisation, month, markers).await?;
        }
    }
    let records = organisations * months;
    println!("{records} returns of {markers} markers each");
    let directory = tempfile::tempdir()?;
    let store = StoreConfig::Directory(directory.path().join("store"));
    measure("no checkpoints", &log, StoreConfig::Memory, records).await?;
    measure("checkpoints (sled)", &log, store.clone(), records).await?;
    measure("from a checkpoint", &log, store, records).await
}

async fn measure(
    what: &str,
    log: &Arc<MemoryLog>,
    store: StoreConfig,
    records: u32,
) -> Result<(), Failure> {
    let config = FollowerConfig::new(store, |key, payload| {
        let (meta, facts) = decode(key, payload).map_err(|error| error.to_string())?;
        Ok((meta.principal, facts))
    });
    let shutdown = CancellationToken::new();
    let log: Arc<dyn EventLog> = Arc::<MemoryLog>::clone(log);
    let begun = Instant::now();
    let follower = Follower::start(log, config, shutdown.clone()).await?;
    follower.caught_up().await?;
    let folded = begun.elapsed();
    shutdown.cancel();
    follower.stopped().await;
    let saved = begun.elapsed();
    let digesting = Instant::now();
    let digest = follower.digest();
    let (rate, count) = (
        rate(records, folded),
        follower.checkpointed().borrow().count,
    );
    println!(
        "{what}: caught up in {folded:.2?} ({rate:.0} records/s), stopped after {saved:.2?}, {count} checkpoints, digest {} in {:.2?}",
        &digest[..8],
        digesting.elapsed()
    );
    Ok(())
}

fn rate(records: u32, time: Duration) -> f64 {
    f64::from(records) / time.as_secs_f64()
}

async fn append(
    log: &MemoryLog,
    organisation: u32,
    month: u32,
    markers: u32,
) -> Result<(), Failure> {
    let org = OrgCode::new(&format!("R{organisation:05}"))?;
    let period = Period::new(2008, 4)?
        .plus(i32::try_from(month)?)
        .ok_or("too many months")?;
    let observation = |number: u32| -> Result<Observation, Failure> {
        Ok(Observation {
            key: SeriesKey::whole(MarkerCode::new(&format!("M{number:04}"))?),
            definition_version: 1,
            value: Value::Measured(Measured {
                numerator: Quantity::from_f64(f64::from(900 + (number * month) % 97))?,
                denominator: Some(Quantity::from_f64(1000.0)?),
            }),
            simulated: true,
        })
    };
    let observations = (0..markers)
        .map(observation)
        .collect::<Result<Vec<_>, _>>()?
        .into();
    let facts = Facts::Returns(vec![ReturnFact::Return(Return {
        org,
        period,
        content: ReturnContent {
            status: Status::Final,
            source: "example".into(),
            narrative: String::new(),
            body: Body::Quality(observations),
        },
        precondition: Precondition::default(),
    })]);
    let record = NewRecord {
        key: org.to_string().into(),
        payload: encode(&facts, Meta::default()),
    };
    let partition = log.layout().partition_of(Topic::Returns, &record.key);
    log.append(Topic::Returns, partition, vec![record]).await?;
    Ok(())
}
