//! How the house stands: whether it is ready, and if not, why. One answer for `/readyz`, for the health service of gRPC, and for the metrics.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use qipp_alerts::EvaluatorStanding;
use qipp_domain::Cut;
use qipp_gateway::Reason;
use qipp_projection::domain_cut;
use qipp_serving::Deps;
use tokio::sync::watch;

use crate::config::Operations;
use crate::head::RealHead;
use crate::peers::Peers;

/// How often health is looked at. Whoever asks is answered at once; this is for those who watch, and to see a fold stand still.
const LOOK: Duration = Duration::from_millis(500);

/// A fault, and the services that it keeps from answering.
type Fault = (Reason, &'static [&'static str]);

const INTAKE: &str = "qipp.intake.v1.IntakeService";
const REGISTRY: &str = "qipp.registry.v1.RegistryService";
const PROJECTIONS: &str = "qipp.projections.v1.ProjectionsService";
const ALERTS: &str = "qipp.alerts.v1.AlertsService";
const LOG: &str = "qipp.log.v1.LogService";

/// What is behind when it is not healthy: the fold behind the log. Then the process is lagging.
const FOLD_NAME: &str = "qipp.fold";
/// What stands still when it is not healthy: the log under those who write. Then the process is stalled.
const LOG_NAME: &str = "qipp.log";

/// Names under which health can be asked for; the empty one is the whole process. Those of services are there when this process answers
/// for them.
const SERVICES: [&str; 8] = [
    "",
    INTAKE,
    REGISTRY,
    PROJECTIONS,
    ALERTS,
    LOG,
    FOLD_NAME,
    LOG_NAME,
];
const SERVICES_OF_CONTRACT: [&str; 5] = [INTAKE, REGISTRY, PROJECTIONS, ALERTS, LOG];
/// Faults that concern what is served elsewhere too.
const ANYWHERE: [&str; 2] = ["DRAINING", "PEERS_UNREACHABLE"];
/// What needs a fold that is up to date.
const READERS: &[&str] = &[INTAKE, REGISTRY, PROJECTIONS, ALERTS, FOLD_NAME];
const WRITERS: &[&str] = &[INTAKE, REGISTRY, ALERTS, LOG_NAME];

/// Looks at the parts of a house.
#[derive(Clone)]
pub(crate) struct Standing(Arc<Parts>);

impl std::fmt::Debug for Standing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Standing")
            .field("seen", &self.0.seen)
            .finish_non_exhaustive()
    }
}

struct Parts {
    deps: Deps,
    evaluator: watch::Receiver<EvaluatorStanding>,
    head: RealHead,
    peers: Vec<Peers>,
    limits: Operations,
    /// The disk and how much of it has to be free, when there is one.
    disk: Option<(PathBuf, u64)>,
    /// Has the fold come to where the log ended when the house was opened?
    caught_up: watch::Receiver<bool>,
    seen: Mutex<Seen>,
}

/// What was seen before: standing still is seen by looking twice.
#[derive(Clone, Debug)]
struct Seen {
    cut: Cut,
    /// When the fold last moved, or was at the head.
    moved: Instant,
    failing: Option<Instant>,
}

/// How a process stands with its log, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// It answers from all that the log holds.
    Serving,
    /// The fold is behind the log.
    Lagging,
    /// The log stands still under those who write, or can't be reached.
    Stalled,
}

impl State {
    pub(crate) const ALL: [Self; 3] = [Self::Serving, Self::Lagging, Self::Stalled];

    /// As metrics have it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Serving => "serving",
            Self::Lagging => "lagging",
            Self::Stalled => "stalled",
        }
    }

    fn of(faults: &[Fault]) -> Self {
        let concerns = |name: &str| {
            faults
                .iter()
                .any(|(_, concerned)| concerned.contains(&name))
        };
        if concerns(LOG_NAME) {
            Self::Stalled
        } else if concerns(FOLD_NAME) {
            Self::Lagging
        } else {
            Self::Serving
        }
    }
}

/// How far the fold is behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lag {
    pub(crate) records: u64,
    /// Since it last moved or had nothing to do.
    pub(crate) still: Duration,
}

impl Standing {
    pub(crate) fn new(
        deps: Deps,
        evaluator: Option<watch::Receiver<EvaluatorStanding>>,
        caught_up: watch::Receiver<bool>,
        peers: Vec<Peers>,
        limits: Operations,
        disk: Option<(PathBuf, u64)>,
    ) -> Self {
        Self(Arc::new(Parts {
            // Where there is none, none fails.
            evaluator: evaluator.unwrap_or_else(|| watch::Sender::default().subscribe()),
            head: RealHead::new(&*deps.log),
            peers,
            limits,
            disk,
            caught_up,
            seen: Mutex::new(Seen {
                cut: Cut::default(),
                moved: Instant::now(),
                failing: None,
            }),
            deps,
        }))
    }

    /// Why the house is not ready; nothing when it is.
    pub(crate) fn reasons(&self) -> Vec<Reason> {
        let faults = self.faults().into_iter();
        faults
            .filter(|fault| self.matters(fault))
            .map(|(reason, _)| reason)
            .collect()
    }

    pub(crate) fn state(&self) -> State {
        State::of(&self.faults())
    }

    /// Where the log really ends, as far as it is known.
    pub(crate) fn head(&self) -> Cut {
        let (found, heard) = (self.0.head.cut(), domain_cut(&self.0.deps.log.head()));
        let lanes = found.iter().chain(heard.iter()).map(|(lane, _)| lane);
        lanes
            .map(|lane| (lane, found.next(lane).max(heard.next(lane))))
            .collect()
    }

    /// For how long the log has stood still while somebody writes.
    pub(crate) fn stalled(&self) -> Duration {
        self.0.head.stalled().unwrap_or_default()
    }

    pub(crate) fn lag(&self) -> Lag {
        let head = self.head();
        let cut = self.0.deps.follower.cut();
        let behind = head
            .iter()
            .map(|(lane, next)| next.saturating_sub(cut.next(lane)));
        let records = behind.sum();
        let mut seen = self.seen();
        if records == 0 || seen.cut != cut {
            seen.moved = Instant::now();
        }
        seen.cut = cut;
        Lag {
            records,
            still: seen.moved.elapsed(),
        }
    }

    pub(crate) fn evaluator(&self) -> EvaluatorStanding {
        self.0.evaluator.borrow().clone()
    }

    /// Bytes that are free on the disk of the log.
    pub(crate) fn free_bytes(&self) -> Option<u64> {
        let (path, _) = self.0.disk.as_ref()?;
        let disk = rustix::fs::statvfs(path).ok()?;
        Some(disk.f_bavail.saturating_mul(disk.f_frsize))
    }

    fn faults(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        if self.0.deps.shutdown.is_cancelled() {
            let what =
                "the service is shutting down: open calls are answered, new ones are not taken";
            faults.push(fault("DRAINING", what, &SERVICES[..6]));
        }
        faults.extend(self.log());
        faults.extend(self.log_stands());
        faults.extend(self.peers());
        faults.extend(self.fold());
        faults.extend(self.evaluation());
        faults
    }

    fn log(&self) -> Option<Fault> {
        if let Some(cause) = self.0.deps.metrics.log_poisoned() {
            return Some(fault("LOG_REFUSES", cause, WRITERS));
        }
        let (_, wanted) = self.0.disk.as_ref()?;
        let free = self.free_bytes()?;
        (free < *wanted).then(|| {
            let what = format!(
                "{free} bytes are free on the disk of the log and {wanted} have to be: make room"
            );
            fault("DISK_FULL", what, WRITERS)
        })
    }

    fn fold(&self) -> Option<Fault> {
        if let Some(why) = self.0.deps.follower.why_stopped() {
            let what = format!("folding has stopped ({why}): look at the log lines, then restart");
            return Some(fault("FOLD_STOPPED", what, READERS));
        }
        let Lag { records, still } = self.lag();
        let limit = Duration::from_secs(self.0.limits.max_stalled_seconds);
        let (code, what) = if !*self.0.caught_up.borrow() {
            let what = format!(
                "the fold is still catching up with what the log held at the start: {records} records to go"
            );
            ("FOLD_BEHIND", what)
        } else if records > 0 && still > limit {
            let what = format!(
                "the fold is {records} records behind the log and has stood still for {} s: see whether the disk or the processor is busy, and what the log lines say",
                still.as_secs()
            );
            ("FOLD_STALLED", what)
        } else if records > self.0.limits.max_behind_records {
            let what = format!("the fold is {records} records behind the log");
            ("FOLD_BEHIND", what)
        } else {
            return None;
        };
        Some(fault(code, what, READERS))
    }

    /// Does the log answer, and does it move under those who write?
    fn log_stands(&self) -> Option<Fault> {
        let limit = Duration::from_secs(self.0.limits.max_stalled_seconds);
        if let Some((time, why)) = self.0.head.unreachable()
            && time > limit
        {
            let what = format!(
                "the log has not said for {} s where it ends ({why}): see whether the brokers run and can be reached from here",
                time.as_secs()
            );
            return Some(fault("LOG_UNREACHABLE", what, WRITERS));
        }
        let stalled = self.stalled();
        (stalled > limit).then(|| {
            let failed = self.0.deps.metrics.log_failed();
            let why = failed.map_or_else(String::new, |(_, why)| format!(" ({why})"));
            let what = format!(
                "the log has stood still for {} s while appends wait, or this process hears nothing of what others append{why}: see whether enough replicas are in sync and the brokers have room",
                stalled.as_secs()
            );
            fault("LOG_STALLED", what, WRITERS)
        })
    }

    /// A service that is elsewhere needs somebody there.
    fn peers(&self) -> Vec<Fault> {
        let named = self.0.peers.iter().filter(|peers| peers.is_named());
        let lost = named.filter(|peers| peers.reachable().0 == 0);
        lost.map(|peers| {
            let (entry, count) = (peers.entry(), peers.reachable().1);
            let what = format!(
                "none of the {count} processes in {entry} can be reached: see whether they run and can be reached from here"
            );
            fault("PEERS_UNREACHABLE", what, peers.service().of_contract())
        })
        .collect()
    }

    /// How many shards of a nation that is split have no process that answered when it was last asked.
    pub(crate) fn shards_away(&self) -> usize {
        let peers = self.0.peers.iter();
        peers.map(|peers| peers.shards_away().len()).sum()
    }

    /// What runs for as long as the house stands: looks at the log, asks peers for their health, reports.
    pub(crate) fn tasks(
        &self,
        reporter: tonic_health::server::HealthReporter,
    ) -> Vec<tokio::task::JoinHandle<()>> {
        let lately = Duration::from_secs(self.0.limits.max_stalled_seconds);
        let asking = self.0.head.clone().ask(self.0.deps.clone(), lately);
        let probes = self.0.peers.iter().filter(|peers| peers.is_named());
        let mut tasks: Vec<_> = probes
            .map(|peers| tokio::spawn(peers.clone().probe()))
            .collect();
        tasks.push(tokio::spawn(asking));
        tasks.push(tokio::spawn(self.clone().report(reporter)));
        tasks
    }

    /// Who serves what has this name, when it is not this process.
    fn elsewhere(&self, name: &str) -> Option<&Peers> {
        let mut peers = self.0.peers.iter();
        peers.find(|peers| peers.service().of_contract().contains(&name))
    }

    /// Does this process answer for what has this name?
    fn answers_for(&self, name: &str) -> bool {
        self.elsewhere(name).is_none_or(Peers::is_named)
    }

    /// Does a fault keep what has this name from answering? What is served elsewhere does not mind the faults of this process.
    fn holds(&self, (reason, concerned): &Fault, name: &str) -> bool {
        let is_ours = self.elsewhere(name).is_none() || ANYWHERE.contains(&reason.code);
        is_ours && concerned.contains(&name)
    }

    /// Does it keep any service from answering that this process answers for? Where only questions are answered, they are even while the log is
    /// away: from what is folded.
    fn matters(&self, fault: &Fault) -> bool {
        SERVICES_OF_CONTRACT
            .iter()
            .any(|name| self.holds(fault, name))
    }

    fn evaluation(&self) -> Option<Fault> {
        let evaluator = self.evaluator();
        // It ends first when the house closes, and that is in order.
        if evaluator.ended && !self.0.deps.shutdown.is_cancelled() {
            let what = "the rules are not evaluated any more: look at the log lines, then restart";
            return Some(fault("EVALUATOR_STOPPED", what, &[ALERTS]));
        }
        let mut seen = self.seen();
        let Some(why) = evaluator.failing else {
            seen.failing = None;
            return None;
        };
        let since = *seen.failing.get_or_insert_with(Instant::now);
        let limit = Duration::from_secs(self.0.limits.max_stalled_seconds);
        (since.elapsed() > limit).then(|| fault("EVALUATOR_FAILING", why, &[ALERTS]))
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the health service of gRPC up to date until the process ends.
    async fn report(self, reporter: tonic_health::server::HealthReporter) {
        use tonic_health::ServingStatus::{NotServing, Serving};
        let mut told: Option<Vec<bool>> = None;
        let mut look = tokio::time::interval(LOOK);
        let mut draining = false;
        loop {
            let faults = self.faults();
            let holds = |name: &str| {
                faults.iter().any(|fault| match name {
                    "" => self.matters(fault),
                    name => self.holds(fault, name),
                })
            };
            let serving: Vec<bool> = SERVICES.iter().map(|name| !holds(name)).collect();
            if told.as_ref() != Some(&serving) {
                for fault in &faults {
                    let (code, detail) = (fault.0.code, &fault.0.detail);
                    match self.matters(fault) {
                        true => tracing::warn!(code, "not ready: {detail}"),
                        false => tracing::warn!(code, "ready, although {detail}"),
                    }
                }
                if !holds("") {
                    tracing::info!("ready");
                }
                let names = SERVICES.iter().zip(&serving);
                for (name, serving) in names.filter(|(name, _)| self.answers_for(name)) {
                    let status = if *serving { Serving } else { NotServing };
                    reporter.set_service_status(*name, status).await;
                }
                told = Some(serving);
            }
            tokio::select! {
                _ = look.tick() => {}
                () = self.0.deps.shutdown.cancelled(), if !draining => draining = true,
            }
        }
    }
}

fn fault(
    code: &'static str,
    detail: impl Into<String>,
    concerned: &'static [&'static str],
) -> Fault {
    let detail = detail.into();
    (Reason { code, detail }, concerned)
}
