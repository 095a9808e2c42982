//! Configuration of `qipp serve`: plain data, in layers.

mod layers;
mod listed;
mod log_kind;
mod services;
mod snapshot;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use qipp_projection::Share;
use qipp_serving::admission::Places;
use serde::{Deserialize, Serialize};

use crate::exit::Failure;

pub use layers::Entry;
pub(crate) use layers::entries;
pub use log_kind::{Kafka, LogKind, Properties};
pub use services::{Peers, Service};
#[cfg(feature = "s3")]
pub(crate) use snapshot::BUCKETS;
pub use snapshot::Snapshot;

/// Every default, documented.
pub const DEFAULTS: &str = include_str!("../default.toml");

/// The default of `serve.operations.listen`.
const OPERATIONS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9464);

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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "default.toml is the documentation")]
pub struct ServeConfig {
    pub listen: SocketAddr,
    #[serde(deserialize_with = "listed::deserialize")]
    pub services: Vec<Service>,
    pub shard: Share,
    pub data_dir: PathBuf,
    pub log: LogKind,
    pub returns_partitions: u16,
    pub alerts_partitions: u16,
    pub min_free_bytes: u64,
    pub principals: PathBuf,
    pub grace_seconds: u64,
    pub log_format: LogFormat,
    pub kafka: Kafka,
    pub peers: Peers,
    pub snapshot: Snapshot,
    pub operations: Operations,
    pub traces: Traces,
    pub limits: Limits,
}

/// For those who run the service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "default.toml is the documentation")]
pub struct Operations {
    #[serde(with = "address_or_none")]
    pub listen: Option<SocketAddr>,
    pub max_behind_records: u64,
    pub max_stalled_seconds: u64,
}

/// Where traces go.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "default.toml is the documentation")]
pub struct Traces {
    pub endpoint: String,
    pub ratio: f64,
}

impl Traces {
    fn wrong(&self, wrong: &mut Vec<String>) {
        if let Some(what) = self.fault_of_endpoint() {
            wrong.push(format!(
                "serve.traces.endpoint {what}: use http://HOST:PORT of a collector that takes OTLP over gRPC, for example http://127.0.0.1:4317, or nothing"
            ));
        }
        if !(0.0..=1.0).contains(&self.ratio) {
            wrong.push(format!(
                "serve.traces.ratio is {}: it has to be between 0 (no call begins a trace) and 1 (each does)",
                self.ratio
            ));
        }
    }

    fn fault_of_endpoint(&self) -> Option<&'static str> {
        match self.endpoint.as_str() {
            "" => None,
            endpoint => fault_of_address(endpoint),
        }
    }
}

/// What keeps a text from being `http://HOST:PORT`. The text itself is not repeated: there may be a password in it.
fn fault_of_address(address: &str) -> Option<&'static str> {
    let Ok(uri) = address.parse::<http::Uri>() else {
        return Some("is no address");
    };
    let authority = uri.authority().map_or("", http::uri::Authority::as_str);
    match uri.scheme_str() {
        _ if authority.contains('@') => {
            Some("holds a user or password, which would be printed with it")
        }
        Some("https") => Some("asks for TLS, which is not spoken here"),
        Some("http") if uri.port_u16().is_none() => Some("has no port"),
        Some("http") if !matches!(uri.path(), "" | "/") || uri.query().is_some() => {
            Some("has a path, which gRPC has no use for")
        }
        Some("http") => None,
        _ => Some("does not begin with http://"),
    }
}

/// Two segments of the log's store, bytes.
const LEAST_FREE: u64 = 2 * qipp_eventlog::GROWTH_BYTES;

/// Seconds. Beyond a day a limit is none, and sums of moments and such times have an end.
const DAY: u64 = 24 * 60 * 60;

fn refuse_long(wrong: &mut Vec<String>, section: &str, seconds: &[(&str, u64)]) {
    let long = seconds.iter().filter(|(_, value)| *value > DAY);
    wrong.extend(
        long.map(|(name, _)| {
            format!("serve.{section}{name} has to be at most {DAY}, which is a day")
        }),
    );
}

/// What a caller can make large.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "default.toml is the documentation")]
pub struct Limits {
    pub message_bytes: usize,
    pub upload_bytes: usize,
    pub call_seconds: u64,
    pub calls: usize,
    pub calls_per_principal: usize,
    pub waiting: usize,
    pub waiting_per_principal: usize,
    pub waiting_seconds: u64,
    pub streams: usize,
    pub streams_per_principal: usize,
    pub in_flight: usize,
    pub in_flight_per_principal: usize,
    pub watcher_seconds: u64,
    pub connections: usize,
    pub connections_per_peer: usize,
    pub streams_per_connection: u32,
    pub header_bytes: u32,
    pub header_seconds: u64,
    pub idle_seconds: u64,
    pub stall_seconds: u64,
}

impl Limits {
    /// What the gate needs of them.
    #[must_use]
    pub fn places(&self) -> Places {
        Places {
            calls: self.calls,
            calls_per_principal: self.calls_per_principal,
            waiting: self.waiting,
            waiting_per_principal: self.waiting_per_principal,
            streams: self.streams,
            streams_per_principal: self.streams_per_principal,
            items_per_principal: self.in_flight_per_principal,
        }
    }

    /// The longest that a call may take.
    #[must_use]
    pub fn call(&self) -> Duration {
        Duration::from_secs(self.call_seconds)
    }

    fn wrong(&self, wrong: &mut Vec<String>) {
        let counts = [
            ("calls", self.calls),
            ("calls_per_principal", self.calls_per_principal),
            ("streams", self.streams),
            ("streams_per_principal", self.streams_per_principal),
            ("in_flight", self.in_flight),
            ("in_flight_per_principal", self.in_flight_per_principal),
            ("connections", self.connections),
            ("connections_per_peer", self.connections_per_peer),
            (
                "streams_per_connection",
                self.streams_per_connection as usize,
            ),
        ];
        let seconds = [
            ("call_seconds", self.call_seconds),
            ("waiting_seconds", self.waiting_seconds),
            ("watcher_seconds", self.watcher_seconds),
            ("header_seconds", self.header_seconds),
            ("idle_seconds", self.idle_seconds),
            ("stall_seconds", self.stall_seconds),
        ];
        refuse_long(wrong, "limits.", &seconds);
        let counts = counts.into_iter().filter(|(_, value)| *value == 0);
        let seconds = seconds.into_iter().filter(|(_, value)| *value == 0);
        let zeros = counts
            .map(|(name, _)| name)
            .chain(seconds.map(|(name, _)| name));
        wrong.extend(zeros.map(|name| format!("serve.limits.{name} has to be at least 1")));
        if self.message_bytes < 1024 {
            wrong.push("serve.limits.message_bytes has to be at least 1024".to_owned());
        }
        if self.header_bytes < 8192 {
            // What hyper can read HTTP/1 with.
            wrong.push("serve.limits.header_bytes has to be at least 8192".to_owned());
        }
    }
}

/// What flags override; absent flags override nothing.
#[derive(Clone, Debug, Default, Serialize)]
#[allow(missing_docs, reason = "as in ServeConfig")]
pub struct Overrides {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<SocketAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub services: Option<Vec<Service>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shard: Option<Share>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_dir: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log: Option<LogKind>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub principals: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_format: Option<LogFormat>,
}

impl ServeConfig {
    /// Defaults → file → environment → flags.
    ///
    /// # Errors
    /// Everything that is wrong, each with the entry and the layer that it came from.
    pub fn load(file: Option<&Path>, flags: &Overrides) -> Result<Self, Failure> {
        layers::load(file, flags).map(|(config, _)| config)
    }

    /// As [`ServeConfig::load`], and every entry with the layer that it came from.
    ///
    /// # Errors
    /// As [`ServeConfig::load`].
    pub fn load_with_sources(
        file: Option<&Path>,
        flags: &Overrides,
    ) -> Result<(Self, Vec<Entry>), Failure> {
        layers::load(file, flags)
    }

    /// Everything that is wrong with values that can be read.
    fn wrong(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        if self.returns_partitions == 0 || self.alerts_partitions == 0 {
            wrong.push(
                "serve.returns_partitions and serve.alerts_partitions have to be at least 1"
                    .to_owned(),
            );
        }
        let times = [
            ("grace_seconds", self.grace_seconds),
            ("kafka.session_seconds", self.kafka.session_seconds),
            ("kafka.timeout_seconds", self.kafka.timeout_seconds),
            (
                "operations.max_stalled_seconds",
                self.operations.max_stalled_seconds,
            ),
        ];
        if self.min_free_bytes < LEAST_FREE {
            wrong.push(format!(
                "serve.min_free_bytes has to be at least {LEAST_FREE}: the log grows by steps of half of that, and a disk that is full in the middle of one stops it"
            ));
        }
        refuse_long(&mut wrong, "", &times);
        self.kafka.wrong(&mut wrong);
        self.peers.wrong(&mut wrong);
        self.wrong_shards(&mut wrong);
        if let Err(what) = crate::log::check(self) {
            wrong.push(format!("serve.log: {what}"));
        }
        self.snapshot.wrong(&mut wrong);
        self.traces.wrong(&mut wrong);
        self.limits.wrong(&mut wrong);
        wrong
    }

    fn wrong_shards(&self, wrong: &mut Vec<String>) {
        let (shard, partitions) = (self.shard, self.returns_partitions);
        if !shard.is_whole() && self.services != [Service::Projections] {
            wrong.push(format!(
                "serve.shard is {shard}: a process that holds a part of the nation serves projections and nothing else, as in `qipp serve projections --shard {shard}`; the others need all of it"
            ));
        }
        let fewest = partitions.min(self.alerts_partitions);
        let counts = [
            ("serve.shard", usize::from(shard.of())),
            ("serve.peers.shards", self.peers.shards.len()),
        ];
        let many = counts
            .iter()
            .filter(|(_, count)| *count > usize::from(fewest.max(1)));
        wrong.extend(many.map(|(name, count)| format!(
            "{name} makes {count} shards of {fewest} partitions: there are at most as many as serve.returns_partitions and serve.alerts_partitions say, which have to be those of the log"
        )));
    }

    /// Is the service served by this process? All are when none is named.
    #[must_use]
    pub fn serves(&self, service: Service) -> bool {
        self.services.is_empty() || self.services.contains(&service)
    }

    /// Does this process open a log? The gateway needs none.
    #[must_use]
    pub fn opens_log(&self) -> bool {
        Service::OF_LOG.iter().any(|service| self.serves(*service))
    }

    /// What works, and surprises somebody with many processes.
    pub(crate) fn surprises(&self) -> Vec<String> {
        let mut found = Vec::new();
        let is_shared = matches!(self.log, LogKind::Kafka(_)) || !self.services.is_empty();
        if is_shared && self.principals.as_os_str().is_empty() {
            found.push(format!(
                "serve.principals is empty: this process takes the keys in {}, and other processes do not know them unless they are given the same file",
                self.principals_file().display()
            ));
        }
        if self.log == LogKind::Embedded && self.opens_log() && !self.services.is_empty() {
            found.push("serve.services: the embedded log is for one process, so that nobody can serve the others from it; many processes need --log kafka://…".to_owned());
        }
        for service in Service::OF_LOG {
            let (name, peers) = (service.name(), self.peers.all_of(service));
            if self.serves(service) && !peers.is_empty() {
                found.push(format!(
                    "serve.peers.{name} is not used, because {name} is served here"
                ));
            }
            if !self.serves(service) && peers.is_empty() && self.serves(Service::Gateway) {
                found.push(format!("serve.peers.{name} is empty: calls for {name} will be refused, because it is not served here"));
            }
        }
        found
    }

    /// Where metrics and readiness are served.
    #[must_use]
    pub fn operations(&self) -> Option<SocketAddr> {
        let listen = self.operations.listen?;
        // Two processes that each take any free port must not meet at the default of this one.
        let any = self.listen.port() == 0 && listen == OPERATIONS;
        Some(if any {
            SocketAddr::new(listen.ip(), 0)
        } else {
            listen
        })
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

/// An address, or nothing as an empty text: TOML has no word for nothing.
mod address_or_none {
    use std::net::SocketAddr;

    use serde::{Deserialize as _, Deserializer, Serializer};

    #[allow(clippy::ref_option, reason = "the form that serde calls")]
    pub(super) fn serialize<S: Serializer>(
        address: &Option<SocketAddr>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let text = address.map(|address| address.to_string());
        serializer.serialize_str(&text.unwrap_or_default())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<SocketAddr>, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.is_empty() {
            return Ok(None);
        }
        let address = text.parse().map(Some);
        address.map_err(|_| {
            serde::de::Error::custom(format!(
                "`{text}` is no address: use ADDRESS:PORT, for example 127.0.0.1:9464, or nothing"
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<ServeConfig, String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("qipp.toml");
        std::fs::write(&file, text).unwrap();
        let config = ServeConfig::load(Some(&file), &Overrides::default());
        config.map_err(|failure| failure.error.to_string())
    }

    #[test]
    fn the_defaults_are_complete_and_listen_on_loopback_only() {
        let config = ServeConfig::load(None, &Overrides::default()).unwrap();
        assert!(config.listen.ip().is_loopback());
        assert_eq!(config.operations.listen, Some(OPERATIONS));
        assert_eq!(
            config.principals_file(),
            PathBuf::from("qipp-data/keys/principals.toml")
        );
        // No principal may hold every place, or the others would wait for its calls.
        let limits = config.limits;
        assert!(limits.calls_per_principal < limits.calls);
        assert!(limits.waiting_per_principal < limits.waiting);
        assert!(limits.streams_per_principal < limits.streams);
    }

    #[test]
    fn flags_win_over_the_file_and_every_entry_knows_where_it_came_from() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("qipp.toml");
        let text =
            "[serve]\nlisten = \"127.0.0.1:1\"\ngrace_seconds = 9\n[serve.limits]\ncalls = 12\n";
        std::fs::write(&file, text).unwrap();
        let flags = Overrides {
            listen: Some("127.0.0.1:2".parse().unwrap()),
            ..Overrides::default()
        };
        let (config, entries) = ServeConfig::load_with_sources(Some(&file), &flags).unwrap();
        assert_eq!((config.limits.calls, config.listen.port()), (12, 2));
        let source = |name: &str| {
            let entry = entries.iter().find(|entry| entry.name == name).unwrap();
            entry.source.clone()
        };
        assert_eq!(source("serve.listen"), "flag");
        assert!(source("serve.limits.calls").ends_with("qipp.toml"));
        assert_eq!(source("serve.limits.streams"), "default");
    }

    #[test]
    fn a_time_that_is_no_limit_is_refused_by_name() {
        let most = i64::MAX;
        let text = format!(
            "[serve]\ngrace_seconds = {most}\n[serve.limits]\ncall_seconds = {most}\nidle_seconds = 86400\n"
        );
        let wrong = load(&text).unwrap_err();
        assert!(
            wrong.contains("serve.grace_seconds") && wrong.contains("serve.limits.call_seconds"),
            "{wrong}"
        );
        assert!(!wrong.contains("idle_seconds"), "{wrong}");
    }

    #[test]
    fn a_reserve_that_the_log_could_outgrow_in_one_step_is_refused() {
        let wrong = load("[serve]\nmin_free_bytes = 1000\n").unwrap_err();
        assert!(
            wrong.contains("serve.min_free_bytes") && wrong.contains("16777216"),
            "{wrong}"
        );
        assert!(load("[serve]\nmin_free_bytes = 16777216\n").is_ok());
    }

    #[test]
    fn an_unknown_entry_is_named_with_the_one_that_was_meant() {
        let wrong = load("[serve]\nlissen = \"x\"\n[serve.limits]\nmax_streams = 1\n").unwrap_err();
        assert!(
            wrong.contains("serve.lissen") && wrong.contains("`serve.listen`"),
            "{wrong}"
        );
        assert!(wrong.contains("serve.limits.max_streams"), "{wrong}");
        let elsewhere = load("[serve]\ncalls = 3\n").unwrap_err();
        assert!(elsewhere.contains("`serve.limits.calls`"), "{elsewhere}");
        let section = load("[server]\nlisten = \"127.0.0.1:1\"\n").unwrap_err();
        assert!(
            section.contains("`server.listen`") && section.contains("`serve.listen`"),
            "{section}"
        );
    }

    #[test]
    fn traces_are_off_unless_a_collector_is_named_by_an_address_that_can_be_one() {
        let config = ServeConfig::load(None, &Overrides::default()).unwrap();
        assert_eq!(config.traces.endpoint, "");
        let with = |endpoint: &str| load(&format!("[serve.traces]\nendpoint = \"{endpoint}\"\n"));
        for right in [
            "http://127.0.0.1:4317",
            "http://[::1]:4317/",
            "http://collector:4317",
        ] {
            assert_eq!(with(right).unwrap().traces.endpoint, right);
        }
        for (wrong, because) in [
            ("collector:4317", "http://"),
            ("127.0.0.1", "http://"),
            ("http://", "no address"),
            ("http://collector", "port"),
            ("http://collector:99999", "port"),
            ("http://collector:4318/v1/traces", "path"),
            ("https://collector:4317", "TLS"),
        ] {
            let said = with(wrong).unwrap_err();
            assert!(
                said.contains("serve.traces.endpoint") && said.contains(because),
                "{wrong}: {said}"
            );
        }
        let secret = with("http://me:hidden@collector:4317").unwrap_err();
        assert!(
            secret.contains("password") && !secret.contains("hidden"),
            "{secret}"
        );
        for ratio in ["-0.1", "1.5", "nan"] {
            let said = load(&format!("[serve.traces]\nratio = {ratio}\n")).unwrap_err();
            assert!(said.contains("serve.traces.ratio"), "{said}");
        }
        assert_eq!(
            load("[serve.traces]\nratio = 1\n").unwrap().traces.ratio,
            1.0
        );
    }

    #[test]
    fn all_that_is_wrong_is_told_at_once() {
        let wrong = load("[serve.limits]\ncalls = 0\nheader_bytes = 1\nstall_seconds = 0\n");
        let wrong = wrong.unwrap_err();
        for name in ["calls", "header_bytes", "stall_seconds"] {
            assert!(wrong.contains(&format!("serve.limits.{name}")), "{wrong}");
        }
        let mixed = load(
            "[serve]\nlisten = 8080\nlissen = 1\ngrace_seconds = \"soon\"\n[serve.limits]\ncalls = 0\n[serve.traces]\nratio = 7\n",
        );
        let mixed = mixed.unwrap_err();
        for name in [
            "serve.listen (",
            "`serve.lissen`",
            "serve.grace_seconds (",
            "serve.limits.calls",
            "serve.traces.ratio",
        ] {
            assert!(mixed.contains(name), "{name} in {mixed}");
        }
        let types = load("[serve]\nlisten = 8080\n").unwrap_err();
        assert!(types.contains("listen"), "{types}");
        let nowhere = load("[serve.operations]\nlisten = \"9464\"\n").unwrap_err();
        assert!(nowhere.contains("127.0.0.1:9464"), "{nowhere}");
        let none = load("[serve.operations]\nlisten = \"\"\n").unwrap();
        assert_eq!(none.operations.listen, None);
    }

    #[test]
    fn nothing_named_is_everything_and_a_gateway_alone_opens_no_log() {
        let all = load("[serve]\n").unwrap();
        assert!(all.opens_log() && Service::ALL.iter().all(|service| all.serves(*service)));
        let gateway = load("[serve]\nservices = [\"gateway\"]\n").unwrap();
        assert!(!gateway.opens_log() && !gateway.serves(Service::Alerts));
        let two = load("[serve]\nservices = \"intake, alerts\"\n").unwrap();
        assert_eq!(two.services, [Service::Intake, Service::Alerts]);
        // One process on one machine is no surprise; a part of it has keys that nobody else knows, and a log that nobody else opens.
        assert_eq!(all.surprises(), Vec::<String>::new());
        let surprises = two.surprises().join("\n");
        assert!(
            surprises.contains("serve.principals") && surprises.contains("embedded"),
            "{surprises}"
        );
        assert!(
            gateway
                .surprises()
                .iter()
                .any(|what| what.contains("serve.peers.intake"))
        );
        let wrong = load("[serve]\nservices = [\"intakes\"]\n").unwrap_err();
        assert!(
            wrong.contains("serve.services") && wrong.contains("registry"),
            "{wrong}"
        );
    }

    #[test]
    fn peers_are_addresses_and_a_wrong_one_is_told_by_its_place() {
        let config = load(
            "[serve.peers]\nintake = \"http://a:8080,http://b:8080\"\nalerts = [\"http://c:1\"]\n",
        );
        let peers = config.unwrap().peers;
        assert_eq!(
            peers.of(Service::Intake),
            ["http://a:8080", "http://b:8080"]
        );
        assert_eq!(peers.of(Service::Alerts), ["http://c:1"]);
        let wrong = load("[serve.peers]\nregistry = [\"http://a:1\", \"http://me:hidden@b:1\"]\n");
        let wrong = wrong.unwrap_err();
        assert!(
            wrong.contains("serve.peers.registry[1]") && !wrong.contains("hidden"),
            "{wrong}"
        );
    }

    #[test]
    fn a_shard_is_for_projections_alone_and_has_partitions() {
        let load = |serve: &str| load(&format!("[serve]\n{serve}"));
        let held = load("services = \"projections\"\nshard = \"1/3\"\n")
            .unwrap()
            .shard;
        assert_eq!(held.to_string(), "1/3");
        assert!(load("").unwrap().shard.is_whole());
        for (serve, because) in [
            ("shard = \"1/3\"\n", "nothing else"),
            (
                "services = [\"projections\", \"gateway\"]\nshard = \"1/3\"\n",
                "nothing else",
            ),
            (
                "services = \"projections\"\nshard = \"0/9\"\n",
                "9 shards of 8 partitions",
            ),
            (
                "services = \"projections\"\nshard = \"3/3\"\n",
                "I from 0 to N-1",
            ),
        ] {
            let wrong = load(serve).unwrap_err();
            assert!(
                wrong.contains("serve.shard") && wrong.contains(because),
                "{wrong}"
            );
        }
    }

    #[test]
    fn shards_are_lists_of_replicas_in_place_of_projections() {
        let load = |peers: &str| load(&format!("[serve.peers]\n{peers}"));
        let split = "shards = [[\"http://a:1\", \"http://a2:1\"], [\"http://b:1\"]]\n";
        let peers = load(split).unwrap().peers;
        assert_eq!(peers.shards[0], ["http://a:1", "http://a2:1"]);
        assert_eq!(peers.all_of(Service::Projections).len(), 3);
        for (peers, because) in [
            (
                format!("{split}projections = [\"http://c:1\"]\n"),
                "both given",
            ),
            (
                "shards = [[\"http://a:1\"]]\n".into(),
                "serve.peers.projections",
            ),
            (
                "shards = [[\"http://a:1\"], []]\n".into(),
                "shards[1] is empty",
            ),
            (
                "shards = [[\"http://a:1\"], [\"http://a:1\"]]\n".into(),
                "shards[1][0] is named twice",
            ),
            (
                "shards = [[\"http://a:1\"], [\"a\"]]\n".into(),
                "shards[1][0] does not",
            ),
        ] {
            let wrong = load(&peers).unwrap_err();
            assert!(wrong.contains(because), "{wrong}");
        }
    }

    #[test]
    fn every_property_of_librdkafka_is_taken_and_none_that_is_secret_is_printed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("qipp.toml");
        let text = "[serve.kafka.properties]\n\"security.protocol\" = \"sasl_ssl\"\nsasl.password = \"hidden\"\n\"queue.buffering.max.messages\" = 7\n";
        std::fs::write(&file, text).unwrap();
        let flags = Overrides::default();
        let (config, entries) = ServeConfig::load_with_sources(Some(&file), &flags).unwrap();
        let held = &config.kafka.properties.0;
        assert_eq!(held["security.protocol"], "sasl_ssl");
        assert_eq!(held["sasl.password"], "hidden");
        assert_eq!(held["queue.buffering.max.messages"], "7");
        let printed = format!("{config:?} {entries:?}");
        assert!(
            !printed.contains("hidden") && printed.contains("sasl_ssl"),
            "{printed}"
        );
        let wrong = load("[serve.kafka]\nproperties = \"hidden\"\n").unwrap_err();
        assert!(
            wrong.contains("serve.kafka.properties") && !wrong.contains("hidden"),
            "{wrong}"
        );
    }

    #[test]
    fn a_snapshot_is_of_a_peer_a_folder_or_a_bucket_and_only_the_last_two_can_be_saved_to() {
        let load = |snapshot: &str| load(&format!("[serve.snapshot]\n{snapshot}"));
        let folder = load("from = \"/shared\"\nsave = true\n").unwrap().snapshot;
        assert!(!folder.is_peer() && !folder.is_bucket());
        let bucket = "from = \"s3://checkpoints/nation\"\nsave = true\nproperties.endpoint = \"http://minio:9000\"\n";
        match cfg!(feature = "s3") {
            true => assert!(load(bucket).unwrap().snapshot.is_bucket()),
            false => assert!(load(bucket).unwrap_err().contains("--features s3")),
        }
        for nowhere in ["", "http://10.0.0.7:8080"] {
            let wrong = load(&format!("from = \"{nowhere}\"\nsave = true\n")).unwrap_err();
            assert!(wrong.contains("serve.snapshot.save needs"), "{wrong}");
        }
        let table = load("properties = \"x\"\n").unwrap_err();
        assert!(
            table.contains("serve.snapshot.properties.region"),
            "{table}"
        );
    }

    #[test]
    fn what_kafka_could_not_keep_is_refused_by_name() {
        let wrong = load("[serve.kafka]\nreplication = 1\nsession_seconds = 0\nwindow_bytes = 1\n");
        let wrong = wrong.unwrap_err();
        for name in ["min_insync", "session_seconds", "window_bytes"] {
            assert!(
                wrong.contains(&format!("serve.kafka.{name}")),
                "{name} in {wrong}"
            );
        }
        assert!(load("[serve.kafka]\nreplication = 1\nmin_insync = 1\n").is_ok());
    }

    #[test]
    fn a_log_is_embedded_in_memory_or_an_address_of_kafka() {
        let wrong = load("[serve]\nlog = \"redis\"\n").unwrap_err();
        assert!(
            wrong.contains("serve.log") && wrong.contains("kafka://HOST:PORT"),
            "{wrong}"
        );
        let kafka = load("[serve]\nlog = \"kafka://a:9092,b:9092/nation\"\n");
        match cfg!(feature = "kafka") {
            true => assert_eq!(
                kafka.unwrap().log,
                LogKind::Kafka("kafka://a:9092,b:9092/nation".to_owned())
            ),
            false => assert!(kafka.unwrap_err().contains("--features kafka")),
        }
    }
}
