//! Configuration of `qipp serve`: plain data, in layers.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context;
use figment::Figment;
use figment::providers::{Env, Format, Serialized, Toml};
use serde::{Deserialize, Serialize};

use crate::exit::{Failure, USAGE};

/// Every default, documented.
pub const DEFAULTS: &str = include_str!("../default.toml");

/// Which adapter of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogKind {
    /// Durable, in the data directory.
    Embedded,
    /// Gone when the process ends.
    Memory,
}

/// Format of the process's own log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines.
    Json,
}

/// The configuration. See `default.toml` for what each entry means.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "default.toml is the documentation")]
pub struct ServeConfig {
    pub listen: SocketAddr,
    pub data_dir: PathBuf,
    pub log: LogKind,
    pub returns_partitions: u16,
    pub alerts_partitions: u16,
    pub min_free_bytes: u64,
    pub principals: PathBuf,
    pub max_message_bytes: usize,
    pub max_in_flight: usize,
    pub grace_seconds: u64,
    pub log_format: LogFormat,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    serve: ServeConfig,
}

/// What flags override; absent flags override nothing.
#[derive(Clone, Debug, Default, Serialize)]
#[allow(missing_docs, reason = "as in ServeConfig")]
pub struct Overrides {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<SocketAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_dir: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log: Option<LogKind>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub principals: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_format: Option<LogFormat>,
}

#[derive(Serialize)]
struct Layer<'a> {
    serve: &'a Overrides,
}

impl ServeConfig {
    /// Defaults → file → environment → flags.
    ///
    /// # Errors
    /// Everything that is wrong, each with the entry and the layer that it came from.
    pub fn load(file: Option<&Path>, flags: &Overrides) -> Result<Self, Failure> {
        let mut layers = Figment::from(Toml::string(DEFAULTS));
        if let Some(path) = file {
            let text = std::fs::read_to_string(path)
                .with_context(|| format!("can't read the configuration {}", path.display()))?;
            layers = layers.merge(Toml::string(&text));
        }
        // Only QIPP_SERVE__…: other variables of ours (QIPP_KEY) are no configuration.
        let environment = Env::prefixed("QIPP_")
            .filter(|key| key.starts_with("SERVE__"))
            .split("__");
        let layers = layers
            .merge(environment)
            .merge(Serialized::defaults(Layer { serve: flags }));
        let config: File = layers.extract().map_err(|errors| {
            let all: Vec<String> = errors
                .into_iter()
                .map(|error| format!("  {error}"))
                .collect();
            Failure::new(
                USAGE,
                format!("the configuration is wrong:\n{}", all.join("\n")),
            )
        })?;
        config.serve.checked()
    }

    fn checked(self) -> Result<Self, Failure> {
        let mut wrong = Vec::new();
        if self.returns_partitions == 0 || self.alerts_partitions == 0 {
            wrong.push("returns_partitions and alerts_partitions have to be at least 1");
        }
        if self.max_message_bytes < 1024 {
            wrong.push("max_message_bytes has to be at least 1024");
        }
        if self.max_in_flight == 0 {
            wrong.push("max_in_flight has to be at least 1");
        }
        if wrong.is_empty() {
            Ok(self)
        } else {
            Err(Failure::new(
                USAGE,
                format!("the configuration is wrong:\n  {}", wrong.join("\n  ")),
            ))
        }
    }

    /// Where keys live.
    #[must_use]
    pub fn keys_dir(&self) -> PathBuf {
        self.data_dir.join("keys")
    }

    /// The file with the principals.
    #[must_use]
    pub fn principals_file(&self) -> PathBuf {
        if self.principals.as_os_str().is_empty() {
            self.keys_dir().join("principals.toml")
        } else {
            self.principals.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_complete_and_listen_on_loopback_only() {
        let config = ServeConfig::load(None, &Overrides::default()).unwrap();
        assert!(config.listen.ip().is_loopback());
        assert_eq!(
            config.principals_file(),
            PathBuf::from("qipp-data/keys/principals.toml")
        );
    }

    #[test]
    fn flags_win_over_the_file_and_an_unknown_entry_is_named() {
        let folder = std::env::temp_dir().join(format!("qipp-config-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("qipp.toml");
        std::fs::write(
            &file,
            "[serve]\nmax_in_flight = 9\nlisten = \"127.0.0.1:1\"\n",
        )
        .unwrap();
        let flags = Overrides {
            listen: Some("127.0.0.1:2".parse().unwrap()),
            ..Overrides::default()
        };
        let config = ServeConfig::load(Some(&file), &flags).unwrap();
        assert_eq!((config.max_in_flight, config.listen.port()), (9, 2));
        std::fs::write(&file, "[serve]\nlissen = \"x\"\n").unwrap();
        let failure = ServeConfig::load(Some(&file), &Overrides::default()).unwrap_err();
        assert!(
            failure.error.to_string().contains("lissen"),
            "{}",
            failure.error
        );
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
