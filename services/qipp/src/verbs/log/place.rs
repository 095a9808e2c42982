//! Where a log is, as a person names it: a folder, a running house, or Kafka. Opens it to be copied from or into.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use anyhow::Context as _;
use qipp_eventlog::copy::CopyTarget;
use qipp_eventlog::{EmbeddedConfig, EmbeddedLog, EventLog, Layout, LogError, is_log};

use crate::config::Properties;
use crate::exit::{DIFFERENT, FAILED, Failure, REFUSED, UNAVAILABLE, USAGE};
use crate::keys;
use crate::log::{UNFINISHED, with_code};
use crate::verbs::verify::{Opened, open};

/// Where a log is.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::verbs) enum Place {
    /// A data directory that no service has open.
    Folder(PathBuf),
    /// A running house with a log of its own.
    House(String),
    /// Brokers, and the prefix of the topics.
    Kafka(String),
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once("://") {
            None if text.is_empty() => Err("name a folder, or an address".to_owned()),
            None => Ok(Self::Folder(text.into())),
            Some(("http" | "https", _)) => Ok(Self::House(text.to_owned())),
            Some(("kafka", _)) => Ok(Self::Kafka(text.to_owned())),
            Some((scheme, _)) => Err(format!(
                "{scheme}:// is no log: use a folder, http://HOST:PORT of a running service, or kafka://BROKERS/PREFIX"
            )),
        }
    }
}

/// What has to be so of the topics that are made on Kafka, and how the brokers are spoken to.
#[derive(Clone, Debug, Default)]
#[cfg_attr(
    not(feature = "kafka"),
    expect(dead_code, reason = "only a log on Kafka has topics")
)]
pub(in crate::verbs) struct OnKafka {
    pub(in crate::verbs) replication: u16,
    pub(in crate::verbs) min_insync: u16,
    /// Over those of the address.
    pub(in crate::verbs) properties: Properties,
}

/// A log that is read: copied, or checked.
pub(in crate::verbs) async fn source(
    place: &Place,
    on_kafka: &OnKafka,
) -> Result<Arc<dyn EventLog>, Failure> {
    match place {
        Place::Folder(data_dir) => match open(data_dir).await? {
            Opened::Whole(log) => Ok(log),
            Opened::Damaged(check) => {
                let what = check.shown.join("; ");
                Err(Failure::new(DIFFERENT, what))
            }
        },
        Place::Kafka(url) => Ok(kafka(url, None, on_kafka).await?),
        Place::House(url) => Err(Failure::new(
            FAILED,
            format!("{url} is a service, and not a log"),
        )),
    }
}

/// A log that is copied into, with the mark of one that is not finished where that is possible.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) log: Arc<dyn CopyTarget>,
    mark: Option<Mark>,
}

impl Target {
    /// Opens the log, or makes it with this layout.
    pub(super) async fn open(
        place: &Place,
        layout: Layout,
        on_kafka: &OnKafka,
    ) -> Result<Self, Failure> {
        match place {
            Place::Folder(data_dir) => {
                let log = folder(data_dir, layout).await?;
                let mark = Some(Mark::set(&data_dir.join("log"))?);
                let log = Arc::new(log);
                Ok(Self { log, mark })
            }
            Place::Kafka(url) => Ok(Self {
                log: kafka(url, Some(layout), on_kafka).await?,
                mark: None,
            }),
            Place::House(_) => Err(Failure::new(
                USAGE,
                "nothing can be copied into a running service: stop it and name its folder",
            )),
        }
    }

    /// Closes the log. `untouched`: nothing was written to it. `whole`: it is equal to its source.
    pub(super) async fn close(self, untouched: bool, whole: bool) -> Result<(), Failure> {
        self.log.close().await;
        match self.mark {
            Some(mark) if whole || (untouched && mark.is_new) => mark.remove(),
            _ => Ok(()),
        }
    }
}

/// The file by which `qipp serve` sees that a copy is not finished.
#[derive(Debug)]
struct Mark {
    folder: PathBuf,
    /// Nobody had left one.
    is_new: bool,
}

impl Mark {
    fn set(folder: &Path) -> Result<Self, Failure> {
        let file = folder.join(UNFINISHED);
        let is_new = !file.exists();
        let set = || {
            File::create(&file)?.sync_all()?;
            File::open(folder)?.sync_all()
        };
        set().with_context(|| format!("can't write {}", file.display()))?;
        Ok(Self {
            folder: folder.to_owned(),
            is_new,
        })
    }

    fn remove(self) -> Result<(), Failure> {
        let file = self.folder.join(UNFINISHED);
        let removed =
            std::fs::remove_file(&file).and_then(|()| File::open(&self.folder)?.sync_all());
        Ok(removed.with_context(|| format!("can't remove {}", file.display()))?)
    }
}

async fn folder(data_dir: &Path, layout: Layout) -> Result<EmbeddedLog, Failure> {
    let path = data_dir.join("log");
    is_log(&path).map_err(|error| failure(&error))?;
    std::fs::create_dir_all(data_dir)
        .with_context(|| format!("can't make {}", data_dir.display()))?;
    keys::private_folder(data_dir)?;
    let config = EmbeddedConfig {
        layout,
        ..EmbeddedConfig::default()
    };
    let opened = tokio::task::spawn_blocking(move || EmbeddedLog::open(path, config)).await?;
    opened.map_err(|error| failure(&error))
}

/// A failure of a log, with its exit code.
pub(in crate::verbs) fn failure(error: &LogError) -> Failure {
    let code = match error {
        LogError::AlreadyOpen { .. } => UNAVAILABLE,
        LogError::Corrupt { .. } => DIFFERENT,
        LogError::LayoutMismatch { .. }
        | LogError::InvalidConfig { .. }
        | LogError::CopyMismatch { .. } => REFUSED,
        _ => FAILED,
    };
    Failure {
        code,
        error: with_code(error),
    }
}

/// Opens the log on Kafka; with a layout, makes the topics that are not there.
#[cfg(feature = "kafka")]
async fn kafka(
    url: &str,
    make: Option<Layout>,
    on_kafka: &OnKafka,
) -> Result<Arc<qipp_eventlog::KafkaLog>, Failure> {
    let mut config = qipp_eventlog::KafkaConfig::from_url(url).map_err(|error| failure(&error))?;
    config.create_topics = make.is_some();
    config.layout = make.unwrap_or(config.layout);
    // Who only reads asks for no more copies than there are.
    (config.replication, config.min_insync) = match make {
        Some(_) => (on_kafka.replication, on_kafka.min_insync),
        None => (1, 1),
    };
    let properties = on_kafka.properties.0.clone();
    config.properties.extend(properties);
    let open = |config| tokio::task::spawn_blocking(|| qipp_eventlog::KafkaLog::open(config));
    let opened = match open(config.clone()).await? {
        // The layout of a source is its own; it is not for a copy to know it beforehand.
        Err(LogError::LayoutMismatch { stored, .. }) if make.is_none() => {
            config.layout = stored;
            open(config).await?
        }
        other => other,
    };
    opened.map(Arc::new).map_err(|error| match error {
        LogError::Io { .. } => Failure {
            code: UNAVAILABLE,
            error: with_code(&error),
        },
        error => failure(&error),
    })
}

#[cfg(not(feature = "kafka"))]
#[allow(clippy::unused_async, reason = "the form of the one that is built in")]
async fn kafka(url: &str, _make: Option<Layout>, _: &OnKafka) -> Result<Arc<EmbeddedLog>, Failure> {
    let what = format!(
        "this build can't reach {url}: build it with the feature `kafka`, or name a folder"
    );
    Err(Failure::new(USAGE, what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_folder_a_house_or_kafka() {
        let place = |text: &str| text.parse::<Place>();
        assert_eq!(place("qipp-data"), Ok(Place::Folder("qipp-data".into())));
        let house = "http://127.0.0.1:8080".to_owned();
        assert_eq!(place(&house), Ok(Place::House(house)));
        let kafka = "kafka://a:9092,b:9092/nation?acks=all".to_owned();
        assert_eq!(place(&kafka), Ok(Place::Kafka(kafka)));
        assert!(place("ftp://a").unwrap_err().contains("ftp:// is no log"));
        assert!(place("").is_err());
    }
}
