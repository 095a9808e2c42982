//! The processes of the house: two that serve everything, and one that takes returns and passes everything else on to them. Each has its
//! own line to the brokers, which can be cut.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use qipp::client::Client;
use qipp_api::proto::alerts::v1::ListAlertsRequest;
use qipp_api::proto::events::v1::Cut;
use qipp_kafka_cluster::{Cluster, VIEWS, free_ports};
use rustix::process::Signal;
use serde_json::json;
use tokio::sync::watch;

use crate::survive::clients::{Address, Clients, Keys};
use crate::survive::process::{Binary, Served};
use crate::survive::{Faults, fault};

/// The names of the processes. The number of a process is its place here, and that of its line to the brokers.
pub(crate) const NAMES: [&str; VIEWS] = ["a", "b", "c"];
/// So many of them, the first ones, serve everything, and each can be the one that evaluates.
pub(crate) const FULL: usize = 2;
/// What the others serve.
const PARTIAL: [&str; 2] = ["intake", "gateway"];
/// How long an evaluator may be silent, seconds. Short, so that a run is.
pub(crate) const SESSION: u64 = 2;
/// How long an append may take, seconds.
const APPEND: u64 = 8;
/// A process that evaluates says so within this; one that does not refuses at once.
const ASKED: Duration = Duration::from_millis(700);
/// So long nobody may evaluate. Far longer than a session and an election.
const TAKE_OVER: Duration = Duration::from_secs(60);
/// How often it is asked who evaluates.
const LOOK: Duration = Duration::from_millis(20);

/// One process, running or not.
struct Service {
    name: &'static str,
    binary: Binary,
    arguments: Vec<String>,
    listen: String,
    data: PathBuf,
    served: Option<Served>,
    life: u64,
}

/// All of them.
pub(crate) struct Services {
    all: Vec<Service>,
    houses: watch::Sender<Vec<Address>>,
    lives: u64,
    folder: PathBuf,
}

impl Services {
    /// Starts all of them on topics of this prefix. The first one makes the keys for all.
    pub(crate) async fn start(
        binary: &Binary,
        cluster: &Cluster,
        prefix: &str,
        folder: &Path,
    ) -> Result<(Self, watch::Receiver<Vec<Address>>), Faults> {
        let ports = free_ports(NAMES.len()).map_err(fault)?;
        let listen: Vec<String> = ports.iter().map(|p| format!("127.0.0.1:{p}")).collect();
        let full: Vec<String> = listen[..FULL]
            .iter()
            .map(|l| format!("http://{l}"))
            .collect();
        let all = (0..NAMES.len()).map(|number| {
            let log = format!("kafka://{}/{prefix}", cluster.view(number).brokers());
            let partial = if number < FULL { &[][..] } else { &PARTIAL };
            let named = ["--log", log.as_str()];
            let words = partial.iter().chain(&named);
            Service {
                name: NAMES[number],
                binary: configured(binary, folder, number, &full.join(",")),
                arguments: words.map(|word| (*word).to_owned()).collect(),
                listen: listen[number].clone(),
                data: folder.join(NAMES[number]),
                served: None,
                life: 0,
            }
        });
        let (houses, receiver) = watch::channel(Vec::new());
        let mut services = Self {
            all: all.collect(),
            houses,
            lives: 0,
            folder: folder.to_owned(),
        };
        services.up(&[0]).await?;
        services.up(&[1, 2]).await?;
        Ok((services, receiver))
    }

    /// The keys that all of them know.
    pub(crate) fn keys(&self) -> Result<Keys, Faults> {
        crate::survive::keys(&self.all[0].data)
    }

    /// Starts processes at the same time, and waits until each says where it listens.
    pub(crate) async fn up(&mut self, numbers: &[usize]) -> Result<(), Faults> {
        let mut started = Vec::new();
        for number in numbers {
            started.push((*number, self.spawn(*number)?));
        }
        for (number, mut served) in started {
            let service = &mut self.all[number];
            let up = served.address().await;
            up.map_err(|why| fault(format!("process {} did not start: {why}", service.name)))?;
            self.lives += 1;
            service.life = self.lives;
            service.served = Some(served);
            self.tell();
        }
        Ok(())
    }

    fn spawn(&self, number: usize) -> Result<Served, Faults> {
        let said = self.said();
        let service = &self.all[number];
        let words: Vec<&str> = service.arguments.iter().map(String::as_str).collect();
        let (binary, data) = (&service.binary, &service.data);
        Served::spawn_at(&service.listen, binary, data, &said, &words).map_err(fault)
    }

    /// SIGKILL.
    pub(crate) async fn kill(&mut self, number: usize) -> Result<(), Faults> {
        let served = self.take(number)?;
        served.kill().await.map_err(fault)
    }

    /// SIGTERM; it has to end in order.
    pub(crate) async fn stop(&mut self, number: usize) -> Result<(), Faults> {
        let name = self.all[number].name;
        let served = self.take(number)?;
        let ended = served.terminate().await;
        ended.map_err(|why| fault(format!("process {name}: {why}")))
    }

    /// SIGSTOP or SIGCONT. Nobody is told: its clients have to notice.
    pub(crate) fn pause(&self, number: usize, paused: bool) -> Result<(), Faults> {
        let signal = if paused { Signal::STOP } else { Signal::CONT };
        let served = self.all[number].served.as_ref();
        served
            .ok_or_else(|| fault("it is down"))?
            .signal(signal)
            .map_err(fault)
    }

    fn take(&mut self, number: usize) -> Result<Served, Faults> {
        let served = self.all[number].served.take();
        self.tell();
        served.ok_or_else(|| fault(format!("process {} is down", NAMES[number])))
    }

    /// Tells clients where processes are. One that is paused or cut off is among them.
    fn tell(&self) {
        let running = self.all.iter().filter(|service| service.served.is_some());
        let addresses = running.map(|service| Address {
            life: service.life,
            url: format!("http://{}", service.listen),
        });
        self.houses.send_replace(addresses.collect());
    }

    /// Where a process listens.
    pub(crate) fn url(&self, number: usize) -> String {
        format!("http://{}", self.all[number].listen)
    }

    /// Nobody has ended by itself or said that it panicked.
    pub(crate) fn are_sound(&mut self) -> Result<(), Faults> {
        let mut faults = Vec::new();
        for service in &mut self.all {
            let ended = service.served.as_mut().map(Served::has_ended);
            if let Some(Some(status)) = ended.transpose().map_err(fault)? {
                faults.push(format!(
                    "process {} ended by itself: {status}",
                    service.name
                ));
            }
        }
        let said = std::fs::read_to_string(self.said()).map_err(fault)?;
        if let Some(line) = said.lines().find(|line| line.contains("panicked")) {
            faults.push(format!("a process said: {line}"));
        }
        if faults.is_empty() {
            Ok(())
        } else {
            Err(faults)
        }
    }

    /// What all of them said.
    fn said(&self) -> PathBuf {
        self.folder.join("said.txt")
    }

    /// The process that evaluates now, if there is one.
    pub(crate) async fn evaluator(&self, keys: &Keys) -> Option<usize> {
        for number in 0..FULL {
            if evaluates(&self.url(number), keys, &Cut::default()).await {
                return Some(number);
            }
        }
        None
    }

    /// Ends all in order.
    pub(crate) async fn end(&mut self) -> Result<(), Faults> {
        for number in 0..NAMES.len() {
            self.stop(number).await?;
        }
        self.are_sound()
    }
}

/// How `qipp` is called for this process.
fn configured(binary: &Binary, folder: &Path, number: usize, full: &str) -> Binary {
    let mut variables = vec![
        ("QIPP_SERVE__KAFKA__SESSION_SECONDS", SESSION.to_string()),
        ("QIPP_SERVE__KAFKA__TIMEOUT_SECONDS", APPEND.to_string()),
        ("QIPP_SERVE__OPERATIONS__LISTEN", String::new()),
    ];
    if number > 0 {
        let principals = folder.join(NAMES[0]).join("keys/principals.toml");
        variables.push(("QIPP_SERVE__PRINCIPALS", principals.display().to_string()));
    }
    if number >= FULL {
        for name in [
            "QIPP_SERVE__PEERS__REGISTRY",
            "QIPP_SERVE__PEERS__PROJECTIONS",
            "QIPP_SERVE__PEERS__ALERTS",
        ] {
            variables.push((name, full.to_owned()));
        }
    }
    let own = variables.into_iter();
    let mut binary = binary.clone();
    (binary.variables).extend(own.map(|(name, value)| (OsString::from(name), value.into())));
    binary
}

/// Does this process evaluate, and has it evaluated everything up to the cut?
async fn evaluates(url: &str, keys: &Keys, cut: &Cut) -> bool {
    let Ok(client) = Client::new(url, &keys.national, ASKED) else {
        return false;
    };
    let request = ListAlertsRequest {
        page_size: 1,
        min_evaluated: Some(cut.clone()),
        ..ListAlertsRequest::default()
    };
    let mut alerts = client.alerts();
    let answer = tokio::time::timeout(ASKED, alerts.list_alerts(request)).await;
    // One that does not evaluate says so by leaving it away.
    matches!(answer, Ok(Ok(answer)) if answer.get_ref().evaluated.is_some())
}

/// Waits until one of these processes has evaluated everything that had been acknowledged at the beginning. How long that took.
pub(crate) async fn taken_over(clients: &Clients, urls: &[String]) -> Result<Duration, Faults> {
    let began = tokio::time::Instant::now();
    let cut = clients.notes().cut.clone();
    while began.elapsed() < TAKE_OVER {
        for url in urls {
            if evaluates(url, &clients.keys, &cut).await {
                let after = began.elapsed();
                let ms = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
                clients.say(&json!({ "taken_over": url, "after_ms": ms }));
                return Ok(after);
            }
        }
        tokio::time::sleep(LOOK).await;
    }
    Err(fault(format!(
        "nobody took over within {TAKE_OVER:?}: none of {urls:?} evaluates"
    )))
}
