//! `qipp serve --check`: finds, without starting anything, what would keep a start from succeeding, and what would work and surprise.
//!
//! Prints every entry with the layer that it comes from. No secret is printed: keys are in files of their own, of which only names are
//! shown, and properties of Kafka that are secret are masked. Opens the log as a start would, which reads all of an embedded one; makes none.

use std::fmt;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use qipp_access::KeyFile;
use qipp_domain::Cut;
use qipp_domain::KnownAt;
use qipp_domain::reference::Reference;
use qipp_eventlog::{EventLog, SystemClock, Topic};
use qipp_projection::{domain_cut, fold_to, lane_of};
use tokio::net::TcpListener;

use crate::config::{Entry, LogKind, ServeConfig, Service};
use crate::exit::{self, Outcome};
use crate::log::open_existing;
use crate::serve::decode;
use crate::traces;
use crate::{environment, keys};

/// What was found, in the order in which it was looked at.
#[derive(Debug, Default)]
struct Report {
    lines: Vec<(Verdict, String)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Good,
    /// A start succeeds, and somebody will wonder.
    Warning,
    Wrong,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Good => "good",
            Self::Warning => "WARNING",
            Self::Wrong => "WRONG",
        })
    }
}

impl Report {
    fn add(&mut self, verdict: Verdict, what: impl Into<String>) {
        self.lines.push((verdict, what.into()));
    }
}

pub(crate) async fn run(config: &ServeConfig, entries: &[Entry]) -> Outcome {
    for Entry {
        name,
        value,
        source,
    } in entries
    {
        println!("{:<62} # {source}", format!("{name} = {value}"));
    }
    println!();
    let mut report = Report::default();
    for what in environment::warnings() {
        report.add(Verdict::Warning, what);
    }
    addresses(config, &mut report).await;
    traces_taken(config, &mut report).await;
    if config.opens_log() && config.log != LogKind::Memory {
        folder(config, &mut report);
    }
    let reference = log(config, &mut report).await;
    key_file(config, reference.as_deref(), &mut report);
    services(config, &mut report);
    limits(config, &mut report);
    for (verdict, what) in &report.lines {
        println!("{verdict:<8} {what}");
    }
    let count = |wanted| {
        report
            .lines
            .iter()
            .filter(|(held, _)| *held == wanted)
            .count()
    };
    let (wrong, warnings) = (count(Verdict::Wrong), count(Verdict::Warning));
    if wrong == 0 {
        println!("\nIt would start; {warnings} warnings. Nothing was started.");
        return Ok(exit::OK);
    }
    println!(
        "\nIt would not start, or not take returns: {wrong} things are wrong; {warnings} warnings."
    );
    Ok(exit::FAILED)
}

async fn addresses(config: &ServeConfig, report: &mut Report) {
    let operations = config.operations();
    let all: [(&str, Option<SocketAddr>); 2] = [
        ("serve.listen", Some(config.listen)),
        ("serve.operations.listen", operations),
    ];
    if operations == Some(config.listen) && config.listen.port() != 0 {
        report.add(
            Verdict::Wrong,
            format!(
                "serve.operations.listen and serve.listen are both {}: choose another port for one",
                config.listen
            ),
        );
    }
    for (name, address) in all {
        let Some(address) = address else {
            report.add(
                Verdict::Warning,
                format!("{name} is empty: there will be no metrics"),
            );
            continue;
        };
        match TcpListener::bind(address).await {
            Ok(_) => report.add(Verdict::Good, format!("{name}: {address} is free")),
            Err(error) => report.add(
                Verdict::Wrong,
                format!("{name}: can't listen on {address}: {error}; choose another address"),
            ),
        }
        if !address.ip().is_loopback() {
            let what = match name {
                "serve.listen" => "keys travel in clear text: put TLS in front",
                _ => "metrics need no key: let only operators reach it",
            };
            report.add(
                Verdict::Warning,
                format!("{name}: {address} is reachable from elsewhere; {what}"),
            );
        }
    }
}

/// A collector that is away keeps no service from starting.
async fn traces_taken(config: &ServeConfig, report: &mut Report) {
    let endpoint = &config.traces.endpoint;
    if endpoint.is_empty() {
        report.add(Verdict::Good, "serve.traces: off");
        return;
    }
    match traces::probe(&config.traces).await {
        Ok(()) => report.add(
            Verdict::Good,
            format!("serve.traces: on, and {endpoint} takes them"),
        ),
        Err(error) => report.add(
            Verdict::Warning,
            format!("serve.traces: on, but nobody takes them at {endpoint}: {error}; they are lost until somebody does"),
        ),
    }
}

fn folder(config: &ServeConfig, report: &mut Report) {
    let path = &config.data_dir;
    let shown = path.display();
    // Where it is not there yet, the nearest folder that is says what a start will find.
    let held = path.ancestors().find(|folder| folder.exists());
    let held = held.unwrap_or_else(|| Path::new("."));
    free_space(config, held, report);
    let Ok(metadata) = std::fs::metadata(path) else {
        match is_writable(held) {
            Ok(()) => report.add(Verdict::Good, format!("data_dir: {shown} will be made")),
            Err(error) => report.add(
                Verdict::Wrong,
                format!(
                    "data_dir: {shown} is not there and can't be made in {}: {error}",
                    held.display()
                ),
            ),
        }
        return;
    };
    if !metadata.is_dir() {
        report.add(Verdict::Wrong, format!("data_dir: {shown} is no folder"));
        return;
    }
    match is_writable(path) {
        Ok(()) => report.add(Verdict::Good, format!("data_dir: {shown} can be written")),
        Err(error) => report.add(
            Verdict::Wrong,
            format!("data_dir: can't write in {shown}: {error}; give it to the user that runs the service"),
        ),
    }
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        report.add(
            Verdict::Warning,
            format!("data_dir: others can look into {shown} (mode {mode:o}): chmod 700 {shown}"),
        );
    }
}

fn free_space(config: &ServeConfig, folder: &Path, report: &mut Report) {
    let wanted = config.min_free_bytes;
    match rustix::fs::statvfs(folder) {
        Ok(disk) => {
            let free = disk.f_bavail.saturating_mul(disk.f_frsize);
            if free < wanted {
                report.add(
                    Verdict::Wrong,
                    format!("min_free_bytes: {free} bytes are free and {wanted} have to be: appends would be refused; make room"),
                );
            } else {
                report.add(Verdict::Good, format!("{free} bytes are free"));
            }
        }
        Err(error) => report.add(
            Verdict::Warning,
            format!(
                "min_free_bytes: how much is free can't be told of {}: {error}",
                folder.display()
            ),
        ),
    }
}

/// By trying, because permissions are not the only thing that can forbid it.
fn is_writable(folder: &Path) -> std::io::Result<()> {
    let probe = folder.join(format!(".qipp-check-{}", std::process::id()));
    std::fs::write(&probe, b"")?;
    std::fs::remove_file(&probe)
}

/// Opens the log, if there is one, and gives the reference data in it.
async fn log(config: &ServeConfig, report: &mut Report) -> Option<Arc<Reference>> {
    if !config.opens_log() {
        report.add(
            Verdict::Good,
            "log: none, for a process that serves the gateway only",
        );
        return None;
    }
    let log = match open_existing(config, Arc::new(SystemClock)).await {
        Ok(Some(log)) => log,
        // Opening would make an empty one.
        Ok(None) => {
            report.add(
                Verdict::Good,
                format!("log: a new one will be made, {}", config.log),
            );
            return None;
        }
        Err(error) => {
            report.add(Verdict::Wrong, format!("log: {error:#}"));
            return None;
        }
    };
    let records: u64 = log.head().iter().map(|(_, next)| next).sum();
    report.add(
        Verdict::Good,
        match config.log {
            LogKind::Kafka(_) => {
                format!("log: opens, with {records} offsets and topics as they have to be")
            }
            _ => format!("log: opens, and all frames of its {records} offsets are whole"),
        },
    );
    let reference = reference(&*log).await;
    log.close().await;
    match reference {
        Ok(reference) => Some(reference),
        Err(error) => {
            report.add(
                Verdict::Warning,
                format!("log: its reference data can't be read: {error}"),
            );
            None
        }
    }
}

async fn reference(log: &dyn EventLog) -> Result<Arc<Reference>, qipp_projection::ProjectionError> {
    let lane = lane_of(Topic::Reference, 0);
    let head = domain_cut(&log.head()).next(lane);
    let (nation, _) = fold_to(log, decode, &Cut::from_iter([(lane, head)])).await?;
    Ok(nation.reference(&KnownAt::Latest))
}

fn key_file(config: &ServeConfig, reference: Option<&Reference>, report: &mut Report) {
    let file = config.principals_file();
    let shown = file.display();
    if config.principals.as_os_str().is_empty() && !file.exists() {
        report.add(
            Verdict::Good,
            format!("principals: {shown} will be made, with a key for each local role"),
        );
        return;
    }
    let known = match KeyFile::read(&file) {
        Ok(known) => known,
        Err(error) => {
            report.add(Verdict::Wrong, format!("principals: {error}"));
            return;
        }
    };
    report.add(
        Verdict::Good,
        format!("principals: {} keys in {shown}", known.len()),
    );
    for warning in known.warnings() {
        report.add(Verdict::Warning, format!("principals: {warning}"));
    }
    for what in reference.map_or_else(Vec::new, |r| keys::unknown_scopes(&known, r)) {
        report.add(Verdict::Warning, format!("principals: {what}"));
    }
}

/// What is served here, and who serves the rest.
fn services(config: &ServeConfig, report: &mut Report) {
    for service in Service::OF_LOG {
        let (name, peers) = (service.name(), config.peers.all_of(service));
        if !config.serves(service) && !peers.is_empty() {
            let what = format!("{name}: passed on to {}", listed(&peers));
            report.add(Verdict::Good, what);
        }
    }
    for what in config.surprises() {
        report.add(Verdict::Warning, what);
    }
}

fn listed(peers: &[&String]) -> String {
    let peers: Vec<&str> = peers.iter().map(|peer| peer.as_str()).collect();
    peers.join(", ")
}

fn limits(config: &ServeConfig, report: &mut Report) {
    let limits = &config.limits;
    let shares = [
        ("calls", limits.calls, limits.calls_per_principal),
        ("waiting", limits.waiting, limits.waiting_per_principal),
        ("streams", limits.streams, limits.streams_per_principal),
    ];
    for (name, all, each) in shares {
        if each >= all {
            report.add(
                Verdict::Warning,
                format!(
                    "serve.limits.{name}_per_principal is not below serve.limits.{name}: one key can take all of them"
                ),
            );
        }
    }
}
