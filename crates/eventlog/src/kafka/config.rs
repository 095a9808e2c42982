//! How a log on Kafka is set up. Plain data; what cannot work is refused when it is read or opened.

use crate::{Clock, Layout, LogError, Observer, SystemClock};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// The scheme of the address of a log on Kafka.
const SCHEME: &str = "kafka://";

/// Properties that this adapter sets itself, because what the log promises depends on them.
const OURS: [&str; 16] = [
    "bootstrap.servers",
    "metadata.broker.list",
    "acks",
    "request.required.acks",
    "enable.idempotence",
    "group.id",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "auto.offset.reset",
    "isolation.level",
    "session.timeout.ms",
    "message.timeout.ms",
    "delivery.timeout.ms",
    "message.max.bytes",
    "group.instance.id",
    "transactional.id",
];

/// How a [`KafkaLog`](crate::KafkaLog) is set up.
#[derive(Clone)]
pub struct KafkaConfig {
    /// Where to find the cluster: `host:port`, several with commas.
    pub brokers: String,
    /// What stands before the names of the topics, with a full stop in between; empty: nothing. Two nations on one cluster differ in it.
    pub prefix: String,
    /// Partitions per topic. Fixed when the topics are made; another is refused.
    pub layout: Layout,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Told of every append (default: nobody).
    pub observer: Arc<dyn Observer>,
    /// Copies of every record on different brokers (default 3).
    pub replication: u16,
    /// How many of them must hold a record before it is acknowledged (default 2). Fewer brokers in step than that: appends fail.
    pub min_insync: u16,
    /// How soon somebody else is chosen when the chosen process is silent (default 6 s). The brokers have bounds for it.
    pub session: Duration,
    /// How long an append, a read or a question to the brokers may take (default 30 s).
    pub timeout: Duration,
    /// Memory for the newest records, from which tails near the end are served, bytes (default 64 MiB).
    pub window_bytes: usize,
    /// Bytes of records that may be under way to the brokers (default 64 MiB); further appends wait.
    pub queue_bytes: usize,
    /// Make topics that are missing (default), or refuse to open.
    pub create_topics: bool,
    /// Properties of librdkafka, passed through as they are, to every client: TLS, SASL, buffers.
    pub properties: BTreeMap<String, String>,
}

impl Default for KafkaConfig {
    fn default() -> KafkaConfig {
        KafkaConfig {
            brokers: String::new(),
            prefix: String::new(),
            layout: Layout::default(),
            clock: Arc::new(SystemClock),
            observer: Arc::new(()),
            replication: 3,
            min_insync: 2,
            session: Duration::from_secs(6),
            timeout: Duration::from_secs(30),
            window_bytes: 64 * 1024 * 1024,
            queue_bytes: 64 * 1024 * 1024,
            create_topics: true,
            properties: BTreeMap::new(),
        }
    }
}

impl KafkaConfig {
    /// Reads `kafka://host:port,host:port/prefix?property=value&…`; the rest stands at its default.
    ///
    /// # Errors
    /// [`LogError::InvalidConfig`], naming the part that is wrong.
    pub fn from_url(url: &str) -> Result<KafkaConfig, LogError> {
        let rest = url.strip_prefix(SCHEME);
        let rest = rest.ok_or_else(|| {
            invalid("an address that does not begin with kafka:// (kafka://host:port,host:port/prefix?property=value)")
        })?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (brokers, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let properties = query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(property)
            .collect::<Result<_, _>>()?;
        let config = KafkaConfig {
            brokers: brokers.to_owned(),
            prefix: prefix.trim_end_matches('/').to_owned(),
            properties,
            ..KafkaConfig::default()
        };
        config.check()?;
        Ok(config)
    }

    /// Refuses a configuration that cannot work.
    pub(super) fn check(&self) -> Result<(), LogError> {
        let broker_is_right = |broker: &str| {
            broker
                .rsplit_once(':')
                .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
        };
        if let Some(wrong) = self.brokers.split(',').find(|at| !broker_is_right(at)) {
            return Err(invalid(format!(
                "the broker {wrong:?}, which is not host:port"
            )));
        }
        let fits_a_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if self.prefix.len() > 100 || !self.prefix.chars().all(fits_a_name) {
            return Err(invalid(format!(
                "the prefix {:?}: letters, digits, '.', '_' and '-' are taken, 100 at most",
                self.prefix
            )));
        }
        if let Some(ours) = OURS
            .iter()
            .find(|name| self.properties.contains_key(**name))
        {
            return Err(invalid(format!(
                "the property {ours}, which is set by the log itself: leave it away"
            )));
        }
        let tls = self
            .properties
            .iter()
            .find(|(name, value)| needs_tls(name, value));
        if let Some((name, _)) = tls.filter(|_| !cfg!(feature = "kafka-tls")) {
            return Err(invalid(format!(
                "the property {name} as it is, because TLS and SCRAM are not in this build: build it with `--features kafka-tls`, or leave it away"
            )));
        }
        let rules = [
            (self.layout.returns > 0, "no partition for returns"),
            (self.layout.alerts > 0, "no partition for alerts"),
            (self.replication > 0, "replication of 0"),
            (
                (1..=self.replication).contains(&self.min_insync),
                "min_insync below 1 or above the replication",
            ),
            (
                self.session >= Duration::from_secs(1),
                "a session below 1 s",
            ),
            (
                self.timeout >= Duration::from_secs(1),
                "a timeout below 1 s",
            ),
            (
                (1..=1 << 30).contains(&self.queue_bytes),
                "queue_bytes below 1 or above 1 GiB",
            ),
        ];
        match rules.into_iter().find(|(holds, _)| !holds) {
            None => Ok(()),
            Some((_, what)) => Err(invalid(what)),
        }
    }
}

/// Is this for a client that has OpenSSL in it? SCRAM takes its hashes from there.
fn needs_tls(name: &str, value: &str) -> bool {
    let value = value.to_ascii_lowercase();
    match name {
        "security.protocol" => value.ends_with("ssl"),
        "sasl.mechanism" | "sasl.mechanisms" => value.starts_with("scram-"),
        _ => name.starts_with("ssl."),
    }
}

fn property(pair: &str) -> Result<(String, String), LogError> {
    let (name, value) = pair.split_once('=').ok_or_else(|| {
        invalid(format!(
            "the property {pair:?}, which has no value (name=value)"
        ))
    })?;
    Ok((name.to_owned(), percent_decoded(value)?))
}

/// `%26` stands for `&`, so that a value can hold any byte.
fn percent_decoded(text: &str) -> Result<String, LogError> {
    let wrong = || {
        invalid("a property with a % that is not followed by two hexadecimal digits of UTF-8 text")
    };
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digits = rest.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        let byte = digits.and_then(|two| u8::from_str_radix(two, 16).ok());
        bytes.push(byte.ok_or_else(wrong)?);
        rest = &rest[2..];
    }
    String::from_utf8(bytes).map_err(|_| wrong())
}

fn invalid(what: impl Into<String>) -> LogError {
    LogError::InvalidConfig { what: what.into() }
}

/// Values of properties that can be secrets are not shown.
impl fmt::Debug for KafkaConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaConfig")
            .field("brokers", &self.brokers)
            .field("prefix", &self.prefix)
            .field("layout", &self.layout)
            .field("replication", &self.replication)
            .field("min_insync", &self.min_insync)
            .field("session", &self.session)
            .field("timeout", &self.timeout)
            .field("properties", &self.properties.keys().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_names_brokers_prefix_and_properties() {
        let config = KafkaConfig::from_url(
            "kafka://a:9092,b:9093/north?security.protocol=sasl_plaintext&sasl.password=a%26b%3D",
        )
        .expect("it is right");
        assert_eq!(
            (config.brokers.as_str(), config.prefix.as_str()),
            ("a:9092,b:9093", "north")
        );
        assert_eq!(config.properties["security.protocol"], "sasl_plaintext");
        assert_eq!(config.properties["sasl.password"], "a&b=");
        assert!(!format!("{config:?}").contains("a&b="));
    }

    #[test]
    fn what_cannot_work_is_refused_with_its_name() {
        let cases = [
            ("http://a:1", "kafka://"),
            ("kafka://", "host:port"),
            ("kafka://a", "host:port"),
            ("kafka://a:99999", "host:port"),
            ("kafka://a:1,/x", "host:port"),
            ("kafka://a:1/north/south", "prefix"),
            ("kafka://a:1/n?acks=0", "acks"),
            ("kafka://a:1/n?delivery.timeout.ms=9", "delivery.timeout.ms"),
            ("kafka://a:1/n?linger.ms", "linger.ms"),
            ("kafka://a:1/n?client.id=%4", "%"),
        ];
        for (url, expected) in cases {
            let error = KafkaConfig::from_url(url).expect_err(url);
            assert_eq!(error.code(), "LOG_INVALID_CONFIG");
            assert!(error.to_string().contains(expected), "{url}: {error}");
        }
        let config = KafkaConfig {
            min_insync: 4,
            ..KafkaConfig::from_url("kafka://a:1").expect("it is right")
        };
        let error = config.check().expect_err("4 of 3 is refused").to_string();
        assert!(error.contains("min_insync"), "{error}");
    }

    #[test]
    fn what_needs_tls_is_refused_with_the_remedy_by_a_build_without_it() {
        let with_tls = [
            ("security.protocol", "ssl"),
            ("security.protocol", "SASL_SSL"),
            ("sasl.mechanism", "SCRAM-SHA-512"),
            ("sasl.mechanisms", "scram-sha-256"),
            ("ssl.ca.location", "ca.pem"),
        ];
        for (name, value) in with_tls {
            let url = format!("kafka://a:1/n?{name}={value}");
            let refused = KafkaConfig::from_url(&url).map_err(|error| error.to_string());
            assert_eq!(refused.is_ok(), cfg!(feature = "kafka-tls"), "{refused:?}");
            if let Err(error) = refused {
                assert!(
                    error.contains(name) && error.contains("--features kafka-tls"),
                    "{error}"
                );
            }
        }
        for url in ["security.protocol=sasl_plaintext", "sasl.mechanism=PLAIN"] {
            KafkaConfig::from_url(&format!("kafka://a:1/n?{url}")).expect(url);
        }
    }
}
