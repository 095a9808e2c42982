//! Which log, and how Kafka is spoken to. Secrets among it are never printed: not by `Debug`, not by `--check`, not by an error.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What stands in the place of a secret.
pub(crate) const MASK: &str = "***";

/// Every address of a log on Kafka begins so.
const SCHEME: &str = "kafka://";

/// Which adapter of the log.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum LogKind {
    /// Durable, in the data directory.
    Embedded,
    /// Gone when the process ends.
    Memory,
    /// On brokers, shared by any number of processes: `kafka://HOST:PORT,…/PREFIX?PROPERTY=VALUE`.
    Kafka(String),
}

impl FromStr for LogKind {
    type Err = String;

    /// The address is not repeated in the error: there may be a password in it.
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "embedded" => Ok(Self::Embedded),
            "memory" => Ok(Self::Memory),
            _ if text.starts_with(SCHEME) && cfg!(feature = "kafka") => Ok(Self::Kafka(text.to_owned())),
            _ if text.starts_with(SCHEME) => Err(
                "this build has no Kafka in it: build it with `cargo build --release -p qipp --features kafka`, or use `embedded`"
                    .to_owned(),
            ),
            _ => Err("use `embedded`, `memory` or kafka://HOST:PORT,HOST:PORT,…".to_owned()),
        }
    }
}

impl TryFrom<String> for LogKind {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<LogKind> for String {
    fn from(kind: LogKind) -> Self {
        match kind {
            LogKind::Embedded => "embedded".to_owned(),
            LogKind::Memory => "memory".to_owned(),
            LogKind::Kafka(url) => url,
        }
    }
}

/// For people, with every secret masked.
impl fmt::Display for LogKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedded => f.write_str("embedded"),
            Self::Memory => f.write_str("memory"),
            Self::Kafka(url) => f.write_str(&masked_url(url)),
        }
    }
}

impl fmt::Debug for LogKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An address with the secrets of its query, and a user or password before its hosts, masked.
pub(crate) fn masked_url(url: &str) -> String {
    let (place, query) = match url.split_once('?') {
        Some((place, query)) => (place, Some(query)),
        None => (url, None),
    };
    let (scheme, rest) = place.split_once("://").unwrap_or(("", place));
    let rest = match rest.rsplit_once('@') {
        Some((_, hosts)) => format!("{MASK}@{hosts}"),
        None => rest.to_owned(),
    };
    let shown = |pair: &str| match pair.split_once('=') {
        Some((name, _)) if is_secret(name) => format!("{name}={MASK}"),
        _ => pair.to_owned(),
    };
    let query = query.map(|query| query.split('&').map(shown).collect::<Vec<_>>().join("&"));
    let query = query.map_or_else(String::new, |query| format!("?{query}"));
    format!("{scheme}://{rest}{query}")
}

/// Is the value of this property, of librdkafka or of an object store, nobody's business?
pub(crate) fn is_secret(property: &str) -> bool {
    let name = property.to_ascii_lowercase();
    name.ends_with("password")
        || name.contains("secret")
        || name.ends_with(".pem")
        || name.ends_with("token")
        || name.contains("customer_key")
        || name == "sasl.oauthbearer.config"
}

/// Properties of a client, of librdkafka or of an object store, passed on as they are.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Properties(pub BTreeMap<String, String>);

impl fmt::Debug for Properties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.0.iter().map(|(name, value)| {
            let value = if is_secret(name) {
                MASK
            } else {
                value.as_str()
            };
            (name, value)
        });
        f.debug_map().entries(shown).finish()
    }
}

/// How a log on Kafka is kept and spoken to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "default.toml is the documentation")]
pub struct Kafka {
    pub replication: u16,
    pub min_insync: u16,
    pub session_seconds: u64,
    pub timeout_seconds: u64,
    pub window_bytes: usize,
    pub properties: Properties,
}

/// The largest record with room for a second one.
const LEAST_WINDOW: usize = 2 * qipp_eventlog::MAX_RECORD_BYTES;

impl Kafka {
    pub(super) fn wrong(&self, wrong: &mut Vec<String>) {
        if self.min_insync == 0 || self.replication < self.min_insync {
            wrong.push(format!(
                "serve.kafka.min_insync is {} and serve.kafka.replication is {}: at least 1 copy has to be in sync, and no more than there are; 2 of 3 survive the loss of a broker, 1 of 1 is for trying things out",
                self.min_insync, self.replication
            ));
        }
        for (name, seconds) in [
            ("session_seconds", self.session_seconds),
            ("timeout_seconds", self.timeout_seconds),
        ] {
            if seconds == 0 {
                wrong.push(format!("serve.kafka.{name} has to be at least 1"));
            }
        }
        if self.window_bytes < LEAST_WINDOW {
            wrong.push(format!(
                "serve.kafka.window_bytes has to be at least {LEAST_WINDOW}: two of the largest records"
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_prints_a_log_or_its_properties_prints_a_secret() {
        let url = "kafka://me:hidden@a:9092,b:9092/nation?sasl.username=me&sasl.password=hidden&ssl.key.pem=hidden";
        let kind = LogKind::Kafka(url.to_owned());
        let properties = Properties(BTreeMap::from([
            (
                "sasl.oauthbearer.client.secret".to_owned(),
                "hidden".to_owned(),
            ),
            ("sasl.oauthbearer.config".to_owned(), "hidden".to_owned()),
            ("aws_secret_access_key".to_owned(), "hidden".to_owned()),
            ("session_token".to_owned(), "hidden".to_owned()),
            ("sse_customer_key_base64".to_owned(), "hidden".to_owned()),
            ("client.id".to_owned(), "shown".to_owned()),
        ]));
        let printed = format!("{kind} {kind:?} {properties:?}");
        assert!(!printed.contains("hidden"), "{printed}");
        for shown in ["b:9092/nation?sasl.username=me&", "client.id", "shown"] {
            assert!(printed.contains(shown), "{shown} in {printed}");
        }
        assert_eq!(String::from(kind), url);
    }
}
