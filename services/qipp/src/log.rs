//! Opens the log of a configuration, whichever adapter it asks for.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use qipp_eventlog::{
    Clock, EmbeddedConfig, EmbeddedLog, EventLog, Layout, LogError, MemoryLog, Observer,
};

use crate::config::{LogKind, ServeConfig};
use crate::keys;

/// Opens the log of a configuration.
///
/// # Errors
/// As the adapter: the message says why and what to do.
pub async fn open_log(
    config: &ServeConfig,
    clock: Arc<dyn Clock>,
    observer: Arc<dyn Observer>,
) -> anyhow::Result<Arc<dyn EventLog>> {
    match &config.log {
        LogKind::Memory => Ok(Arc::new(MemoryLog::new(layout(config), clock))),
        LogKind::Embedded => embedded(config, clock, observer).await,
        LogKind::Kafka(url) => kafka(config, url, clock, observer).await,
    }
}

fn layout(config: &ServeConfig) -> Layout {
    Layout {
        returns: config.returns_partitions,
        alerts: config.alerts_partitions,
    }
}

async fn embedded(
    config: &ServeConfig,
    clock: Arc<dyn Clock>,
    observer: Arc<dyn Observer>,
) -> anyhow::Result<Arc<dyn EventLog>> {
    let path = config.data_dir.join("log");
    has_log(&config.data_dir)?;
    refuse_unfinished(&path)?;
    keys::private_folder(&config.data_dir)?;
    let embedded = EmbeddedConfig {
        layout: layout(config),
        clock,
        min_free_bytes: config.min_free_bytes,
        observer,
        ..EmbeddedConfig::default()
    };
    // Opening verifies every frame: work for a thread that may block.
    let opened = tokio::task::spawn_blocking(move || EmbeddedLog::open(path, embedded))
        .await
        .context("opening the log")?;
    Ok(Arc::new(opened.map_err(|error| with_code(&error))?))
}

#[cfg(feature = "kafka")]
async fn kafka(
    config: &ServeConfig,
    url: &str,
    clock: Arc<dyn Clock>,
    observer: Arc<dyn Observer>,
) -> anyhow::Result<Arc<dyn EventLog>> {
    // Checkpoints of its fold are kept there.
    keys::private_folder(&config.data_dir)?;
    let kafka = qipp_eventlog::KafkaConfig {
        clock,
        observer,
        ..kafka_config(config, url).map_err(|error| with_code(&error))?
    };
    opened(kafka).await?.map_err(|error| with_code(&error))
}

/// Asks the brokers about every topic: work for a thread that may block.
#[cfg(feature = "kafka")]
async fn opened(
    kafka: qipp_eventlog::KafkaConfig,
) -> anyhow::Result<Result<Arc<dyn EventLog>, LogError>> {
    let opened = tokio::task::spawn_blocking(move || qipp_eventlog::KafkaLog::open(kafka));
    let opened = opened.await.context("opening the log")?;
    Ok(opened.map(|log| Arc::new(log) as Arc<dyn EventLog>))
}

#[cfg(feature = "kafka")]
fn kafka_config(config: &ServeConfig, url: &str) -> Result<qipp_eventlog::KafkaConfig, LogError> {
    use std::time::Duration;

    let settings = &config.kafka;
    let mut kafka = qipp_eventlog::KafkaConfig::from_url(url)?;
    kafka.layout = layout(config);
    kafka.replication = settings.replication;
    kafka.min_insync = settings.min_insync;
    kafka.session = Duration::from_secs(settings.session_seconds);
    kafka.timeout = Duration::from_secs(settings.timeout_seconds);
    kafka.window_bytes = settings.window_bytes;
    kafka.properties.extend(settings.properties.0.clone());
    Ok(kafka)
}

#[cfg(not(feature = "kafka"))]
#[allow(clippy::unused_async, reason = "the form of the one that is built in")]
async fn kafka(
    _: &ServeConfig,
    _: &str,
    _: Arc<dyn Clock>,
    _: Arc<dyn Observer>,
) -> anyhow::Result<Arc<dyn EventLog>> {
    anyhow::bail!("this build has no Kafka in it: build it with the cargo feature `kafka`")
}

/// Opens the log of a configuration if there is one; makes none. Nothing when there is none yet.
///
/// # Errors
/// As [`open_log`].
pub(crate) async fn open_existing(
    config: &ServeConfig,
    clock: Arc<dyn Clock>,
) -> anyhow::Result<Option<Arc<dyn EventLog>>> {
    match &config.log {
        LogKind::Memory => Ok(None),
        LogKind::Embedded if !has_log(&config.data_dir)? => Ok(None),
        LogKind::Embedded => embedded(config, clock, Arc::new(())).await.map(Some),
        #[cfg(not(feature = "kafka"))]
        LogKind::Kafka(url) => kafka(config, url, clock, Arc::new(())).await.map(Some),
        #[cfg(feature = "kafka")]
        LogKind::Kafka(url) => {
            let kafka = qipp_eventlog::KafkaConfig {
                clock,
                create_topics: false,
                ..kafka_config(config, url).map_err(|error| with_code(&error))?
            };
            match opened(kafka).await? {
                Ok(log) => Ok(Some(log)),
                Err(LogError::TopicMissing { .. }) => Ok(None),
                Err(error) => Err(with_code(&error)),
            }
        }
    }
}

/// Is what the configuration says about the log of a form that can be opened? Asks nobody.
///
/// # Errors
/// What is wrong, without a user or password that may be in the address.
pub(crate) fn check(config: &ServeConfig) -> Result<(), String> {
    match &config.log {
        LogKind::Kafka(url) if url.split('?').next().is_some_and(|hosts| hosts.contains('@')) => {
            Err("has a user or password before its hosts: put them into serve.kafka.properties, as \"sasl.username\" and \"sasl.password\"".to_owned())
        }
        #[cfg(feature = "kafka")]
        LogKind::Kafka(url) => kafka_config(config, url)
            .map(drop)
            .map_err(|error| with_code(&error).to_string()),
        _ => Ok(()),
    }
}

/// A file in the folder of a log that `qipp log copy` is not done with.
pub(crate) const UNFINISHED: &str = "copying";

/// Refuses a log that holds a part of another one: a house that wrote to it would make a nation of its own.
fn refuse_unfinished(log: &Path) -> anyhow::Result<()> {
    let unfinished = log.join(UNFINISHED);
    anyhow::ensure!(
        !unfinished.exists(),
        "a copy into {} was begun and is not finished: run the same `qipp log copy` again, which goes on from there. To serve what is there all the same, remove the file {}",
        log.display(),
        unfinished.display()
    );
    Ok(())
}

/// The sentence, and the code that never changes, as refusals of calls have it.
pub(crate) fn with_code(error: &LogError) -> anyhow::Error {
    anyhow::anyhow!("{error} ({})", error.code())
}

/// Is there a log in the data directory? One that was there and is gone is an error. Opens and changes nothing.
///
/// A projection is made of a log: where there is one and no log, the log was lost, and a new one would make a nation without a past.
///
/// # Errors
/// When the log was lost: what is missing, and what to do.
pub(crate) fn has_log(data_dir: &Path) -> anyhow::Result<bool> {
    let (log, projection) = (data_dir.join("log"), data_dir.join("projection"));
    let is_there = qipp_eventlog::is_log(&log).map_err(|error| with_code(&error))?;
    anyhow::ensure!(
        is_there || !projection.join("checkpoint").exists(),
        "the log is missing: {} is not there, and {} was made of one. Put it back, or `qipp restore` a back-up into another folder; to begin with nothing, move {} away",
        log.join("store").display(),
        projection.display(),
        projection.display()
    );
    Ok(is_there)
}
