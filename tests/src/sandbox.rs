//! A house of its own for every scenario.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use qipp::client::{Client, Summary};
use qipp::config::{LogKind, Overrides, ServeConfig};
use qipp::serve::{House, Parts};
use qipp_access::{Authenticator, KeyFile, Principal, Role, Scope, generate_key};
use qipp_api::files::MAX_FACTS_PER_CALL;
use qipp_api::proto::alerts::v1::{Alert, ListAlertsRequest};
use qipp_api::proto::events::v1::{Cut, ReferenceFact, Return, Scheme};
use qipp_api::proto::intake::v1::{Receipt, SubmitReturnRequest, SubmitSchemeRequest};
use qipp_api::proto::projections::v1::{GetStatusRequest, GetStatusResponse};
use qipp_api::proto::registry::v1::RecordFactsRequest;
use qipp_eventlog::{Clock, EventLog, ManualClock, Record, Topic};
use tempfile::TempDir;
use tokio::net::TcpListener;

/// The organisation of [`Who::Trust`]; it stands below [`NODE`].
pub const TRUST: &str = "RA1";
/// An organisation outside of the scopes of [`Who::Trust`] and [`Who::Regional`].
pub const OTHER: &str = "RB1";
/// The tree of [`Who::Regional`].
pub const TREE: &str = "regions";
/// The node of [`Who::Regional`].
pub const NODE: &str = "N01";

/// Calls give up after this long: a scenario that hangs fails with a reason. Far longer than anything takes.
const PATIENCE: Duration = Duration::from_secs(180);

/// Who calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Who {
    /// Keeps the reference data.
    Operator,
    /// Reads everything, and does everything with alerts.
    National,
    /// Submits for the whole nation.
    Collector,
    /// Reads [`NODE`] of [`TREE`].
    Regional,
    /// Submits for [`TRUST`].
    Trust,
    /// Submits for [`OTHER`].
    OtherTrust,
}

impl Who {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Operator,
        Self::National,
        Self::Collector,
        Self::Regional,
        Self::Trust,
        Self::OtherTrust,
    ];

    /// The name that goes into the log.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Operator => "test-operator",
            Self::National => "test-national",
            Self::Collector => "test-collector",
            Self::Regional => "test-regional",
            Self::Trust => "test-trust",
            Self::OtherTrust => "test-other-trust",
        }
    }

    fn principal(self) -> Principal {
        let own = |code: &str| Scope::Organisations([code.parse().unwrap()].into());
        let (role, scope) = match self {
            Self::Operator => (Role::Operator, Scope::Nation),
            Self::National => (Role::National, Scope::Nation),
            Self::Collector => (Role::Submitter, Scope::Nation),
            Self::Regional => {
                let scope = Scope::Node {
                    tree: TREE.parse().unwrap(),
                    node: NODE.parse().unwrap(),
                };
                (Role::Regional, scope)
            }
            Self::Trust => (Role::Submitter, own(TRUST)),
            Self::OtherTrust => (Role::Submitter, own(OTHER)),
        };
        Principal {
            name: self.name().to_owned(),
            role,
            scope,
        }
    }
}

/// Something that is not a key of any house.
#[must_use]
pub fn no_key() -> String {
    format!("{}{}", qipp_access::KEY_PREFIX, "0".repeat(64))
}

/// A house with everything around it. Its folder is removed at the end, and kept for a look when the scenario failed.
#[derive(Debug)]
pub struct Sandbox {
    house: Option<House>,
    /// The clock of the house.
    pub clock: ManualClock,
    config: ServeConfig,
    keys: BTreeMap<Who, String>,
    principals: Arc<KeyFile>,
    folder: Option<TempDir>,
}

impl Sandbox {
    /// A house on the embedded log, at nine in the morning of 1 June 2011.
    pub async fn start() -> Self {
        Self::with(LogKind::Embedded).await
    }

    /// A house whose log is gone when it ends.
    pub async fn in_memory() -> Self {
        Self::with(LogKind::Memory).await
    }

    async fn with(log: LogKind) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("qipp-scenario-")
            .tempdir()
            .unwrap();
        Self::build(log, folder, "2011-06-01").await
    }

    /// A house on a copy of the data of another one, which has to be closed, in the morning of a day.
    pub async fn on_copy_of(data: &Path, day: &str) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("qipp-scenario-")
            .tempdir()
            .unwrap();
        copy(data, folder.path());
        Self::build(LogKind::Embedded, folder, day).await
    }

    /// A house in memory whose configuration is changed first.
    pub async fn configured(change: impl FnOnce(&mut ServeConfig)) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("qipp-scenario-")
            .tempdir()
            .unwrap();
        Self::changed(LogKind::Memory, folder, "2011-06-01", change).await
    }

    async fn build(log: LogKind, folder: TempDir, day: &str) -> Self {
        Self::changed(log, folder, day, |_| {}).await
    }

    async fn changed(
        log: LogKind,
        folder: TempDir,
        day: &str,
        change: impl FnOnce(&mut ServeConfig),
    ) -> Self {
        let flags = Overrides {
            listen: Some("127.0.0.1:0".parse().unwrap()),
            data_dir: Some(folder.path().to_owned()),
            log: Some(log),
            ..Overrides::default()
        };
        let mut config = ServeConfig::load(None, &flags).unwrap();
        change(&mut config);
        let made = Who::ALL.map(|who| (who, generate_key(who.principal(), None, rand::random())));
        let keys = made
            .iter()
            .map(|(who, (key, _))| (*who, key.expose().to_owned()))
            .collect();
        let principals =
            Arc::new(KeyFile::from_entries(made.map(|(_, (_, entry))| entry)).unwrap());
        let clock = ManualClock::new(morning(day));
        let mut sandbox = Self {
            house: None,
            clock,
            config,
            keys,
            principals,
            folder: Some(folder),
        };
        sandbox.open().await;
        sandbox
    }

    /// A further house with the same keys and the same clock, whose configuration is changed first; on a log that is open already, or on what its
    /// configuration says. It keeps nothing on disk.
    pub async fn beside(
        &self,
        log: Option<Arc<dyn EventLog>>,
        change: impl FnOnce(&mut ServeConfig),
    ) -> House {
        let mut config = self.config.clone();
        config.log = LogKind::Memory;
        change(&mut config);
        let listener = TcpListener::bind(config.listen).await.unwrap();
        let authenticator = Arc::clone(&self.principals) as Arc<dyn Authenticator>;
        let clock = Arc::new(self.clock.clone()) as Arc<dyn Clock>;
        let house = match log {
            None => House::start(&config, listener, clock, authenticator).await,
            Some(log) => {
                let parts = Parts::new(log, clock, authenticator);
                House::start_on(&config, listener, parts).await
            }
        };
        house.unwrap()
    }

    /// Starts the house again after [`Sandbox::close`].
    pub async fn open(&mut self) {
        let listener = TcpListener::bind(self.config.listen).await.unwrap();
        let authenticator = Arc::clone(&self.principals);
        let clock = Arc::new(self.clock.clone());
        self.house = Some(
            House::start(&self.config, listener, clock, authenticator)
                .await
                .unwrap(),
        );
    }

    /// Stops the house in order.
    pub async fn close(&mut self) {
        self.house.take().unwrap().stop().await;
    }

    /// Begins to stop the house, and answers at once.
    pub fn begin_closing(&mut self) -> tokio::task::JoinHandle<()> {
        tokio::spawn(self.house.take().unwrap().stop())
    }

    /// Opens the listener for operators, and gives its base address.
    pub async fn operate(&mut self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = self.house.as_mut().unwrap().operate(listener).unwrap();
        format!("http://{address}")
    }

    /// A counter or gauge, by its name and all its labels as the metrics write them; 0 when it is not there.
    #[must_use]
    pub fn metric(&self, series: &str) -> f64 {
        let text = self.house().metrics.text();
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        value.map_or(0.0, |value| value.parse().unwrap())
    }

    /// Where the data is.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.config.data_dir.clone()
    }

    /// The house.
    #[must_use]
    pub fn house(&self) -> &House {
        self.house.as_ref().unwrap()
    }

    /// Base address.
    #[must_use]
    pub fn url(&self) -> String {
        self.house().url()
    }

    /// The key of a caller.
    #[must_use]
    pub fn key(&self, who: Who) -> &str {
        &self.keys[&who]
    }

    /// A client with the key of a caller.
    #[must_use]
    pub fn client(&self, who: Who) -> Client {
        Client::new(&self.url(), self.key(who), PATIENCE).unwrap()
    }

    /// A client that goes through another address, such as a proxy.
    #[must_use]
    pub fn client_through(&self, url: &str, who: Who) -> Client {
        Client::new(url, self.key(who), PATIENCE).unwrap()
    }

    /// Sets the clock to nine in the morning (UTC) of a day.
    pub fn set_day(&self, day: &str) {
        self.clock.set(morning(day));
    }

    /// Records reference facts as the operator, in batches.
    pub async fn record(&self, facts: Vec<ReferenceFact>) -> Cut {
        let mut cut = Cut::default();
        for batch in facts.chunks(MAX_FACTS_PER_CALL) {
            let request = RecordFactsRequest {
                facts: batch.to_vec(),
                validate_only: false,
            };
            let answer = self
                .client(Who::Operator)
                .registry()
                .record_facts(request)
                .await
                .unwrap();
            cut = answer.into_inner().cut.unwrap();
        }
        cut
    }

    /// Submits one return as the collector.
    pub async fn submit(&self, ret: Return) -> Receipt {
        let request = SubmitReturnRequest {
            r#return: Some(ret),
            validate_only: false,
        };
        let answer = self
            .client(Who::Collector)
            .intake()
            .submit_return(request)
            .await;
        answer.unwrap().into_inner().receipt.unwrap()
    }

    /// Submits many through the bulk stream as the collector; each of them has to be accepted.
    pub async fn submit_all(&self, returns: &[Return]) -> Summary {
        let summary = self
            .client(Who::Collector)
            .submit_all(returns, false, |_, _| {})
            .await
            .unwrap();
        assert_eq!(summary.accepted, returns.len(), "{summary:?}");
        summary
    }

    /// Registers a scheme as the collector.
    pub async fn register(&self, scheme: Scheme) -> Receipt {
        let request = SubmitSchemeRequest {
            scheme: Some(scheme),
            validate_only: false,
        };
        let answer = self
            .client(Who::Collector)
            .intake()
            .submit_scheme(request)
            .await;
        answer.unwrap().into_inner().receipt.unwrap()
    }

    /// Waits until the rules have been evaluated on everything up to the cut.
    pub async fn evaluated(&self, cut: &Cut) {
        let request = ListAlertsRequest {
            page_size: 1,
            min_evaluated: Some(cut.clone()),
            ..ListAlertsRequest::default()
        };
        self.client(Who::National)
            .alerts()
            .list_alerts(request)
            .await
            .unwrap();
    }

    /// All alerts, as the national team sees them.
    pub async fn alerts(&self) -> Vec<Alert> {
        let mut alerts = Vec::new();
        let mut request = ListAlertsRequest {
            page_size: 7,
            ..ListAlertsRequest::default()
        };
        loop {
            let answer = self
                .client(Who::National)
                .alerts()
                .list_alerts(request.clone())
                .await
                .unwrap()
                .into_inner();
            alerts.extend(answer.alerts);
            request.page_token = answer.next_page_token;
            if request.page_token.is_empty() {
                return alerts;
            }
        }
    }

    /// How the house stands, with the digest of its state once it has folded the whole log.
    pub async fn status(&self) -> GetStatusResponse {
        self.house().follower.caught_up().await.unwrap();
        let request = GetStatusRequest {
            digest: true,
            ..GetStatusRequest::default()
        };
        self.client(Who::National)
            .projections()
            .get_status(request)
            .await
            .unwrap()
            .into_inner()
    }

    /// Where the topics stand that people write to. The evaluator writes to the others in its own time.
    #[must_use]
    pub fn written(&self) -> Vec<((Topic, u16), u64)> {
        let head = self.house().log.head();
        head.iter()
            .filter(|((topic, _), _)| matches!(topic, Topic::Reference | Topic::Returns))
            .collect()
    }

    /// The records of a topic. They are counted, because offsets may have gaps.
    pub async fn records(&self, topic: Topic) -> Vec<Record> {
        let log = &self.house().log;
        let mut all = Vec::new();
        for partition in 0..log.layout().partitions(topic) {
            let mut from = 0;
            loop {
                let some = log.read(topic, partition, from, 500).await.unwrap();
                let Some(last) = some.last() else { break };
                from = last.position.offset + 1;
                all.extend(some);
            }
        }
        all
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Some(folder) = self.folder.take()
        {
            #[allow(clippy::print_stderr, reason = "said to whoever reads the failed test")]
            {
                eprintln!(
                    "the data of this house is kept in {}",
                    folder.keep().display()
                );
            }
        }
    }
}

/// Nine in the morning (UTC) of a day, Unix milliseconds.
fn morning(day: &str) -> i64 {
    let day: Date = day.parse().unwrap();
    day.at(9, 0, 0, 0)
        .to_zoned(TimeZone::UTC)
        .unwrap()
        .timestamp()
        .as_millisecond()
}

/// Copies a folder with everything below it.
pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
