//! The log on Kafka against a real broker: the contract suite, and what only a log of several processes has.

#[path = "kafka/brokers.rs"]
mod brokers;
#[path = "kafka/failures.rs"]
mod failures;
#[path = "kafka/moving.rs"]
mod moving;
#[path = "kafka/secured.rs"]
mod secured;
#[path = "kafka/several.rs"]
mod several;
#[cfg(feature = "kafka-tls")]
#[path = "kafka/tls.rs"]
mod tls;
#[path = "kafka/topics.rs"]
mod topics;

use async_trait::async_trait;
use brokers::{LAYOUT, config};
use qipp_eventlog::conformance::{Factory, Storage};
use qipp_eventlog::{Clock, EventLog, KafkaConfig};
use std::sync::Arc;

/// Logs on the shared broker, each with topics of its own, with so much memory for the newest records.
struct Kafka {
    window_bytes: usize,
}

struct Topics(KafkaConfig);

impl Factory for Kafka {
    fn fresh(&self) -> Box<dyn Storage> {
        Box::new(Topics(KafkaConfig {
            window_bytes: self.window_bytes,
            layout: LAYOUT,
            ..config()
        }))
    }
}

#[async_trait]
impl Storage for Topics {
    async fn open(&self, clock: Arc<dyn Clock>) -> Arc<dyn EventLog> {
        let config = KafkaConfig {
            clock,
            ..self.0.clone()
        };
        Arc::new(brokers::open(config).await.expect("the log opens"))
    }

    fn is_durable(&self) -> bool {
        true
    }
}

mod contract {
    qipp_eventlog::conformance_suite!(super::Kafka {
        window_bytes: 64 * 1024 * 1024
    });
}

/// Every tail and every read goes to the broker.
mod contract_without_memory {
    qipp_eventlog::conformance_suite!(super::Kafka { window_bytes: 0 });
}
