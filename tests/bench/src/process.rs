//! What the system says about processes: processor time, memory; and how children are started and ended.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use qipp::client::Client;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

/// Longest time that the service may take until it is ready.
const PATIENCE: Duration = Duration::from_secs(600);
/// Clock ticks of `/proc` a second; fixed in Linux's interface.
const TICKS: f64 = 100.0;

/// How a service is started that is not everything on an embedded log.
#[derive(Clone, Debug, Default)]
pub struct Serve {
    /// What follows `qipp serve`: what it serves, `--log`, `--shard`.
    pub words: Vec<String>,
    /// Settings, in the environment.
    pub settings: Vec<(&'static str, String)>,
    /// The data directory of the process whose keys it takes; none: it makes its own.
    pub keys_of: Option<PathBuf>,
}

impl Serve {
    /// These services.
    pub fn only(services: &[&str]) -> Self {
        Self {
            words: services.iter().map(|word| (*word).to_owned()).collect(),
            ..Self::default()
        }
    }

    /// The same with one more setting.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.settings.push((name, value.into()));
        self
    }
}

/// A running service, in a process of its own.
#[derive(Debug)]
pub struct House {
    process: Child,
    /// Held open: a process whose standard output is gone may not say another word.
    _output: Lines<BufReader<ChildStdout>>,
    /// Where it listens.
    pub url: String,
    keys: PathBuf,
    /// From the start of the process until it said that it serves, that is, until the whole log was folded.
    pub ready_after: Duration,
}

impl House {
    /// Starts `qipp serve` on a data directory and waits until it serves.
    pub async fn start(qipp: &Path, data: &Path) -> anyhow::Result<Self> {
        Self::start_as(qipp, data, &Serve::default()).await
    }

    /// The same, but not as it comes.
    pub async fn start_as(qipp: &Path, data: &Path, serve: &Serve) -> anyhow::Result<Self> {
        let started = Instant::now();
        let keys = serve.keys_of.as_deref().unwrap_or(data).join("keys");
        let mut command = Command::new(qipp);
        if serve.keys_of.is_some() {
            command.env("QIPP_SERVE__PRINCIPALS", keys.join("principals.toml"));
        }
        let mut process = command
            .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(data)
            .args(&serve.words)
            .envs(serve.settings.iter().map(|(name, value)| (name, value)))
            .env("RUST_LOG", "error")
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| {
                format!(
                    "can't start {}: build it with `cargo build --release -p qipp`",
                    qipp.display()
                )
            })?;
        let output = process.stdout.take().context("it has a standard output")?;
        let mut output = BufReader::new(output).lines();
        let mut url = None;
        while url.is_none() {
            let line = output.next_line().await?;
            let line = line.context("qipp serve ended before it said where it listens")?;
            url = line
                .split_whitespace()
                .find(|word| word.starts_with("http://"))
                .map(str::to_owned);
        }
        let mut house = Self {
            process,
            _output: output,
            url: url.context("an address")?,
            keys,
            ready_after: Duration::ZERO,
        };
        tokio::time::timeout(PATIENCE, house.serving())
            .await
            .context("qipp serve did not become ready in ten minutes")??;
        house.ready_after = started.elapsed();
        Ok(house)
    }

    async fn serving(&self) -> anyhow::Result<()> {
        let channel = Endpoint::from_shared(self.url.clone())?.connect().await?;
        let mut watch = HealthClient::new(channel)
            .watch(HealthCheckRequest::default())
            .await?
            .into_inner();
        while let Some(answer) = watch.message().await? {
            if answer.status() == ServingStatus::Serving {
                return Ok(());
            }
        }
        anyhow::bail!("qipp serve ended before it was ready")
    }

    /// The process.
    pub fn id(&self) -> u32 {
        self.process.id().unwrap_or(0)
    }

    /// The file with the key of a local role: `operator`, `collector` or `national`.
    pub fn key_file(&self, role: &str) -> PathBuf {
        self.keys.join(format!("{role}.key"))
    }

    /// The key of a local role.
    pub fn key(&self, role: &str) -> anyhow::Result<String> {
        let file = self.key_file(role);
        let key = std::fs::read_to_string(&file)
            .with_context(|| format!("can't read {}", file.display()))?;
        Ok(key.trim().to_owned())
    }

    /// A client with the key of a local role.
    pub fn client(&self, role: &str) -> anyhow::Result<Client> {
        let client = Client::new(&self.url, &self.key(role)?, PATIENCE);
        client.map_err(|failure| failure.error)
    }

    /// Ends it in order (SIGTERM), so that it saves its checkpoint.
    pub async fn stop(mut self) -> anyhow::Result<Duration> {
        let begun = Instant::now();
        if let Some(pid) = Pid::from_raw(i32::try_from(self.id())?) {
            kill_process(pid, Signal::TERM)?;
        }
        tokio::time::timeout(PATIENCE, self.process.wait())
            .await
            .context("qipp serve did not end in ten minutes")??;
        Ok(begun.elapsed())
    }
}

/// A fresh process of this program, whose last line of output is its answer. With `core`, it may run on that one only.
pub async fn fresh(
    arguments: &[String],
    key: Option<&str>,
    core: Option<u32>,
) -> anyhow::Result<serde_json::Value> {
    let own = std::env::current_exe()?;
    let mut command = match core {
        None => Command::new(own),
        Some(core) => {
            let mut pinned = Command::new("taskset");
            pinned.args(["-c", &core.to_string()]).arg(own);
            pinned
        }
    };
    if let Some(key) = key {
        command.env(crate::load::KEY, key);
    }
    let output = command
        .args(arguments)
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .output()
        .await
        .context("can't start a process of its own (taskset is part of util-linux)")?;
    anyhow::ensure!(output.status.success(), "`{}` failed", arguments.join(" "));
    let text = String::from_utf8(output.stdout)?;
    let last = text.lines().last().context("it said nothing")?;
    Ok(serde_json::from_str(last)?)
}

/// Processor seconds that a process and those below it have used.
pub fn cpu_seconds(root: u32) -> f64 {
    let mut ticks = 0;
    let mut wanted = vec![root];
    let all = processes();
    while let Some(id) = wanted.pop() {
        if let Some(stat) = stat(id) {
            // Those of children that have ended are in the parent's.
            ticks += stat.own + if id == root { stat.ended_children } else { 0 };
        }
        wanted.extend(
            all.iter()
                .filter(|(_, parent)| *parent == id)
                .map(|(id, _)| *id),
        );
    }
    ticks as f64 / TICKS
}

/// The most memory that a process has had resident, bytes.
pub fn peak_memory(id: u32) -> u64 {
    status(id, "VmHWM:")
}

/// The memory that a process has resident, bytes.
pub fn memory(id: u32) -> u64 {
    status(id, "VmRSS:")
}

fn status(id: u32, field: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    let kib = line.and_then(|line| line.split_whitespace().next());
    kib.and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) * 1024
}

struct Stat {
    parent: u32,
    own: u64,
    ended_children: u64,
}

fn stat(id: u32) -> Option<Stat> {
    let text = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name may hold spaces; the fields after it begin with the state, which is field 3 of proc(5).
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    Some(Stat {
        parent: u32::try_from(field(4)?).ok()?,
        own: field(14)? + field(15)?,
        ended_children: field(16)? + field(17)?,
    })
}

/// Every process with its parent.
fn processes() -> Vec<(u32, u32)> {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    let ids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    ids.filter_map(|id| Some((id, stat(id)?.parent))).collect()
}
