//! Brokers to test with.

use qipp_eventlog::{KafkaConfig, KafkaLog, Layout, LogError, NewRecord};
use qipp_kafka_cluster::shared;
use std::sync::atomic::{AtomicU32, Ordering};

pub(crate) const LAYOUT: Layout = Layout {
    returns: 3,
    alerts: 2,
};

/// A log of its own on the shared broker.
pub(crate) fn config() -> KafkaConfig {
    let shared = shared().unwrap_or_else(|error| panic!("{error}"));
    on(shared.brokers())
}

/// A log of its own on these brokers, of which one is enough.
pub(crate) fn on(brokers: &str) -> KafkaConfig {
    static LOGS: AtomicU32 = AtomicU32::new(0);
    let number = LOGS.fetch_add(1, Ordering::Relaxed);
    // The process and the time, because an existing cluster keeps what an earlier run left.
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let run = since.map_or(0, |since| since.as_millis());
    let url = format!("kafka://{brokers}/t{}-{run}-{number}", std::process::id());
    KafkaConfig {
        layout: LAYOUT,
        replication: 1,
        min_insync: 1,
        session: std::time::Duration::from_secs(3),
        ..KafkaConfig::from_url(&url).expect("the address is right")
    }
}

pub(crate) async fn open(config: KafkaConfig) -> Result<KafkaLog, LogError> {
    let opening = tokio::task::spawn_blocking(move || KafkaLog::open(config));
    opening.await.expect("opening does not panic")
}

pub(crate) fn record(payload: impl Into<bytes::Bytes>) -> NewRecord {
    NewRecord {
        key: "RJ1".into(),
        payload: payload.into(),
    }
}
