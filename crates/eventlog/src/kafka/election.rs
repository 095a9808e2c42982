//! Who of all processes is chosen: the brokers decide, by handing the one partition of a topic to one member of a consumer group.
//!
//! Nothing is read and nothing is committed; the group is used for what it knows: who lives.

use super::client::{self, named, topic_name};
use super::said::LastSaid;
use crate::{KafkaConfig, LogError, Topic};
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::KafkaError;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::watch;

/// How often the thread looks whether it shall end.
const LOOK: Duration = Duration::from_millis(100);

/// Standing for election, until dropped.
#[derive(Debug)]
pub(super) struct Election {
    chosen: watch::Sender<bool>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Election {
    pub(super) fn begin(config: &KafkaConfig, said: &LastSaid) -> Result<Election, LogError> {
        let chosen = watch::Sender::new(false);
        let candidate = Candidate {
            said: said.clone(),
            chosen: chosen.clone(),
        };
        let session = config.session.as_millis();
        let mut settings = client::consumer_settings(config);
        settings
            .set("group.id", named(config, "qipp.evaluator"))
            .set("session.timeout.ms", session.to_string())
            .set("heartbeat.interval.ms", (session / 4).max(1).to_string())
            .set("max.poll.interval.ms", session.max(10_000).to_string())
            // Who is chosen stays chosen when others come and go.
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("auto.offset.reset", "latest");
        let consumer: BaseConsumer<Candidate> = settings
            .create_with_context(candidate)
            .map_err(|error| client::refused(&error))?;
        let topic = topic_name(config, Topic::Benchmarks);
        consumer
            .subscribe(&[&topic])
            .map_err(|error| said.io("stand for election", &error.to_string()))?;
        let over = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&over);
        let thread = std::thread::Builder::new().name("qipp-log-election".into());
        let thread = thread.spawn(move || {
            while !ends.load(Ordering::Relaxed) {
                if let Some(Err(error)) = consumer.poll(LOOK) {
                    tracing::debug!(%error, "standing for election");
                }
            }
            consumer.context().chosen.send_replace(false);
            // Leaves the group as it goes, so that another is chosen at once.
            drop(consumer);
        });
        let thread = thread.map_err(|error| LogError::Io {
            doing: "stand for election",
            cause: error.to_string(),
        })?;
        Ok(Election {
            chosen,
            over,
            thread: Some(thread),
        })
    }

    /// Is this process chosen?
    pub(super) fn chosen(&self) -> watch::Receiver<bool> {
        self.chosen.subscribe()
    }
}

impl Drop for Election {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        let ended = self.thread.take().map(JoinHandle::join);
        if let Some(Err(_)) = ended {
            tracing::error!("the thread that stood for election panicked");
        }
    }
}

/// Hears what the brokers decide.
struct Candidate {
    said: LastSaid,
    chosen: watch::Sender<bool>,
}

impl ClientContext for Candidate {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.said.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.said.error(error, reason);
    }
}

impl ConsumerContext for Candidate {
    fn pre_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(_) => {}
            // Whatever is taken away or goes wrong: the one partition was all that there was.
            Rebalance::Revoke(partitions) if partitions.count() == 0 => {}
            Rebalance::Revoke(_) | Rebalance::Error(_) => {
                self.chosen.send_replace(false);
            }
        }
    }

    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        let Rebalance::Assign(partitions) = rebalance else {
            return;
        };
        if partitions.count() == 0 {
            return;
        }
        // Its records come by another way.
        if let Err(error) = consumer.pause(partitions) {
            tracing::debug!(%error, "standing for election");
        }
        self.chosen.send_replace(true);
    }
}
