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

/// How often health is looked at. Whoever asks is answered at once; this is for those who watch, and to see a fold stand still.
const LOOK: Duration = Duration::from_millis(500);

/// A fault, and the services that it keeps from answering.
type Fault = (Reason, &'static [&'static str]);

const INTAKE: &str = "qipp.intake.v1.IntakeService";
const REGISTRY: &str = "qipp.registry.v1.RegistryService";
const PROJECTIONS: &str = "qipp.projections.v1.ProjectionsService";
const ALERTS: &str = "qipp.alerts.v1.AlertsService";
const LOG: &str = "qipp.log.v1.LogService";

/// Names under which health can be asked for; the empty one is the whole process.
const SERVICES: [&str; 6] = ["", INTAKE, REGISTRY, PROJECTIONS, ALERTS, LOG];
const WRITERS: &[&str] = &[INTAKE, REGISTRY, ALERTS];

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
    limits: Operations,
    /// The disk and how much of it has to be free, when there is one.
    disk: Option<(PathBuf, u64)>,
    /// What the log held when the house was opened.
    first_head: Cut,
    seen: Mutex<Seen>,
}

/// What was seen before: standing still is seen by looking twice.
#[derive(Clone, Debug)]
struct Seen {
    caught_up: bool,
    cut: Cut,
    /// When the fold last moved, or was at the head.
    moved: Instant,
    failing: Option<Instant>,
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
        evaluator: watch::Receiver<EvaluatorStanding>,
        limits: Operations,
        disk: Option<(PathBuf, u64)>,
    ) -> Self {
        let first_head = domain_cut(&deps.log.head());
        Self(Arc::new(Parts {
            evaluator,
            limits,
            disk,
            first_head,
            seen: Mutex::new(Seen {
                caught_up: false,
                cut: Cut::default(),
                moved: Instant::now(),
                failing: None,
            }),
            deps,
        }))
    }

    /// Why the house is not ready; nothing when it is.
    pub(crate) fn reasons(&self) -> Vec<Reason> {
        let faults = self.faults();
        faults.into_iter().map(|(reason, _)| reason).collect()
    }

    pub(crate) fn lag(&self) -> Lag {
        let head = domain_cut(&self.0.deps.log.head());
        let cut = self.0.deps.follower.cut();
        let behind = head
            .iter()
            .map(|(lane, next)| next.saturating_sub(cut.next(lane)));
        let records = behind.sum();
        let mut seen = self.seen();
        if records == 0 || seen.cut != cut {
            seen.moved = Instant::now();
        }
        seen.caught_up |= cut.includes(&self.0.first_head);
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
            faults.push(fault("DRAINING", what, &SERVICES));
        }
        faults.extend(self.log());
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
            return Some(fault("FOLD_STOPPED", what, &SERVICES));
        }
        let Lag { records, still } = self.lag();
        let limit = Duration::from_secs(self.0.limits.max_stalled_seconds);
        let what = if !self.seen().caught_up {
            format!(
                "the fold is still catching up with what the log held at the start: {records} records to go"
            )
        } else if records > self.0.limits.max_behind_records {
            format!("the fold is {records} records behind the log")
        } else if records > 0 && still > limit {
            format!(
                "the fold is {records} records behind the log and has stood still for {} s",
                still.as_secs()
            )
        } else {
            return None;
        };
        Some(fault("FOLD_BEHIND", what, &SERVICES))
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
    pub(crate) async fn report(self, reporter: tonic_health::server::HealthReporter) {
        use tonic_health::ServingStatus::{NotServing, Serving};
        let mut told: Option<Vec<bool>> = None;
        let mut look = tokio::time::interval(LOOK);
        let mut draining = false;
        loop {
            let faults = self.faults();
            let holds = |name: &str| {
                faults
                    .iter()
                    .any(|(_, concerned)| name.is_empty() || concerned.contains(&name))
            };
            let serving: Vec<bool> = SERVICES.iter().map(|name| !holds(name)).collect();
            if told.as_ref() != Some(&serving) {
                for (reason, _) in &faults {
                    tracing::warn!(code = reason.code, "not ready: {}", reason.detail);
                }
                if faults.is_empty() {
                    tracing::info!("ready");
                }
                for (name, serving) in SERVICES.iter().zip(&serving) {
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
