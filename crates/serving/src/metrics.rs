//! What the house counts of itself, in the text format of Prometheus.
//!
//! Labels are bounded: names of rpcs and addresses, codes, decisions, limits. Never an organisation, a principal, or anything that a
//! caller chose. One registry for a house, so that two houses in one process do not count into each other.

use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use prometheus::core::Collector;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder,
};
use qipp_api::error::{ApiError, Code};
use qipp_eventlog::{Batch, LogError, Observer};

/// Bounds of latencies, seconds: from an answer out of memory to a call that waited for its deadline.
const SECONDS: [f64; 16] = [
    0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
    10.0, 30.0,
];

/// Bounds of the calls that were let in before one that waited.
const TURNS: [f64; 9] = [0.0, 1.0, 2.0, 5.0, 10.0, 50.0, 100.0, 500.0, 1000.0];

type Refresh = Box<dyn Fn() + Send + Sync>;

/// The counters of one house. Cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    registry: Registry,
    calls: HistogramVec,
    turns: HistogramVec,
    returns: IntCounterVec,
    rejections: IntCounterVec,
    refusals: IntCounterVec,
    log: LogMetrics,
    refresh: Arc<Mutex<Vec<Refresh>>>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    /// Counters that stand at zero.
    #[must_use]
    pub fn new() -> Self {
        let registry = Registry::new();
        let in_registry = |name: &str, help: &str, labels: &[&str]| {
            let vec = IntCounterVec::new(Opts::new(name, help), labels).expect(NAMES);
            registered(&registry, vec)
        };
        let calls = HistogramOpts::new(
            "qipp_call_duration_seconds",
            "How long calls took, by rpc or HTTP address and by the code of their answer. A stream counts when it ends.",
        );
        let calls = HistogramVec::new(calls.buckets(SECONDS.to_vec()), &["rpc", "code"]);
        let turns = HistogramOpts::new(
            "qipp_call_turns",
            "How many other calls were let in while a call waited for its turn, by rpc or HTTP address. Only calls that waited.",
        );
        let turns = HistogramVec::new(turns.buckets(TURNS.to_vec()), &["rpc"]);
        Self {
            calls: registered(&registry, calls.expect(NAMES)),
            turns: registered(&registry, turns.expect(NAMES)),
            returns: in_registry(
                "qipp_returns_total",
                "Returns that were answered, by what became of them. A file counts twice: its returns are validated in a dry run first.",
                &["decision"],
            ),
            rejections: in_registry(
                "qipp_rejected_faults_total",
                "Faults for which returns and schemes were rejected, of form (JSON, CSV) and of meaning, by code. One return may have several.",
                &["code"],
            ),
            refusals: in_registry(
                "qipp_refusals_total",
                "What was refused because of a limit, by the limit.",
                &["limit"],
            ),
            log: LogMetrics::new(&registry),
            refresh: Arc::default(),
            registry,
        }
    }

    /// A call was answered.
    pub fn called(&self, rpc: &str, code: &str, took: Duration) {
        self.calls
            .with_label_values(&[rpc, code])
            .observe(took.as_secs_f64());
    }

    /// A call had to wait while so many others were let in.
    pub fn waited(&self, rpc: &str, turns: u64) {
        #[allow(clippy::cast_precision_loss, reason = "counts of calls in a queue")]
        self.turns.with_label_values(&[rpc]).observe(turns as f64);
    }

    /// A return was answered: accepted, repeat, conflict, key_reused, dry_run, rejected, or failed.
    pub fn decided(&self, decision: &'static str) {
        self.returns.with_label_values(&[decision]).inc();
    }

    /// A return or a scheme was answered with an error: counts the faults that its sender can mend.
    pub fn rejected(&self, error: &ApiError) {
        if !matches!(error.code, Code::InvalidArgument | Code::PermissionDenied) {
            return;
        }
        if error.problems.is_empty() {
            self.rejections.with_label_values(&[&*error.reason]).inc();
        }
        for problem in &error.problems {
            self.rejections.with_label_values(&[&*problem.code]).inc();
        }
    }

    /// A return or a scheme could not even be read: counts its faults of form among those for which others were rejected.
    pub fn unreadable(&self, codes: &[Cow<'static, str>]) {
        for code in codes {
            self.rejections.with_label_values(&[&**code]).inc();
        }
    }

    /// Something was refused because of a limit.
    pub fn refused(&self, limit: &'static str) {
        self.refusals.with_label_values(&[limit]).inc();
    }

    /// For the log: counts its batches.
    #[must_use]
    pub fn log_observer(&self) -> Arc<dyn Observer> {
        Arc::new(self.log.clone())
    }

    /// As [`Metrics::log_observer`], for a log that goes on after an append that failed: brokers come back.
    #[must_use]
    pub fn shared_log_observer(&self) -> Arc<dyn Observer> {
        Arc::new(LogMetrics {
            is_shared: true,
            ..self.log.clone()
        })
    }

    /// How long ago an append to a shared log failed, and why; nothing once one has succeeded after it.
    #[must_use]
    pub fn log_failed(&self) -> Option<(Duration, String)> {
        let failed = self.log.failed.lock();
        let failed = failed.unwrap_or_else(PoisonError::into_inner);
        failed.as_ref().map(|(at, why)| (at.elapsed(), why.clone()))
    }

    /// Why the log takes nothing any more until it is opened again; empty while it does.
    #[must_use]
    pub fn log_poisoned(&self) -> Option<String> {
        let poisoned = self.log.poisoned.lock();
        poisoned.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A gauge of its own.
    #[must_use]
    pub fn gauge(&self, name: &str, help: &str) -> IntGauge {
        registered(&self.registry, IntGauge::new(name, help).expect(NAMES))
    }

    /// A gauge for each combination of labels.
    #[must_use]
    pub fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        let vec = IntGaugeVec::new(Opts::new(name, help), labels).expect(NAMES);
        registered(&self.registry, vec)
    }

    /// A gauge with a fraction.
    #[must_use]
    pub fn fraction(&self, name: &str, help: &str) -> prometheus::Gauge {
        let gauge = prometheus::Gauge::new(name, help).expect(NAMES);
        registered(&self.registry, gauge)
    }

    /// A counter of its own.
    #[must_use]
    pub fn counter(&self, name: &str, help: &str) -> IntCounter {
        registered(&self.registry, IntCounter::new(name, help).expect(NAMES))
    }

    /// A counter that is kept elsewhere and set before it is read.
    #[must_use]
    pub fn counter_of_seconds(&self, name: &str, help: &str) -> prometheus::Counter {
        let counter = prometheus::Counter::new(name, help).expect(NAMES);
        registered(&self.registry, counter)
    }

    /// Called before every reading, to set what is not counted as it happens. May not block for long.
    pub fn before_reading(&self, refresh: impl Fn() + Send + Sync + 'static) {
        let mut all = self.refresh.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(Box::new(refresh));
    }

    /// Everything, in the text format. Reads the state of the house: call it where blocking is allowed.
    #[must_use]
    pub fn text(&self) -> String {
        for refresh in &*self.refresh.lock().unwrap_or_else(PoisonError::into_inner) {
            refresh();
        }
        TextEncoder::new()
            .encode_to_string(&self.registry.gather())
            .unwrap_or_else(|error| format!("# the metrics could not be written: {error}\n"))
    }
}

const NAMES: &str = "names and labels are constants of this form, and a test reads them all";

fn registered<C: Collector + Clone + 'static>(registry: &Registry, collector: C) -> C {
    registry
        .register(Box::new(collector.clone()))
        .expect("every name is registered once");
    collector
}

/// What the writer of the log tells.
#[derive(Clone, Debug)]
struct LogMetrics {
    appends: IntCounter,
    records: IntCounter,
    bytes: IntCounter,
    refused: IntCounterVec,
    sync: Histogram,
    is_shared: bool,
    poisoned: Arc<Mutex<Option<String>>>,
    failed: Arc<Mutex<Option<(Instant, String)>>>,
}

impl LogMetrics {
    fn new(registry: &Registry) -> Self {
        let counter = |name: &str, help: &str| {
            registered(registry, IntCounter::new(name, help).expect(NAMES))
        };
        let sync = HistogramOpts::new(
            "qipp_log_batch_duration_seconds",
            "How long writing and syncing a batch of the log took. Appends that wait together share a batch.",
        );
        let refused = Opts::new(
            "qipp_log_refused_appends_total",
            "Appends that the log refused or failed, by the code of the reason.",
        );
        Self {
            appends: counter("qipp_log_appends_total", "Appends that are durable."),
            records: counter("qipp_log_records_total", "Records that became durable."),
            bytes: counter(
                "qipp_log_bytes_total",
                "Bytes of keys and payloads that became durable.",
            ),
            refused: registered(
                registry,
                IntCounterVec::new(refused, &["code"]).expect(NAMES),
            ),
            sync: registered(
                registry,
                Histogram::with_opts(sync.buckets(SECONDS.to_vec())).expect(NAMES),
            ),
            is_shared: false,
            poisoned: Arc::default(),
            failed: Arc::default(),
        }
    }
}

impl Observer for LogMetrics {
    fn written(&self, batch: Batch) {
        self.appends.inc_by(batch.appends as u64);
        self.records.inc_by(batch.records as u64);
        self.bytes.inc_by(batch.bytes as u64);
        self.sync.observe(batch.took.as_secs_f64());
        if self.is_shared {
            *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }

    fn refused(&self, appends: usize, error: &LogError) {
        self.refused
            .with_label_values(&[error.code()])
            .inc_by(appends as u64);
        match error {
            // A full disk mends itself.
            LogError::StorageFull { .. } => {}
            LogError::Io { .. } if self.is_shared => {
                let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
                *failed = Some((Instant::now(), error.to_string()));
            }
            // A write that failed, and all that are refused after it.
            _ => {
                let mut poisoned = self.poisoned.lock().unwrap_or_else(PoisonError::into_inner);
                poisoned.get_or_insert_with(|| error.to_string());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_append_poisons_a_log_of_one_process_and_a_shared_one_recovers_with_the_next() {
        let failure = LogError::Io {
            doing: "append",
            cause: "the broker is away".to_owned(),
        };
        let alone = Metrics::new();
        alone.log_observer().refused(1, &failure);
        assert!(alone.log_poisoned().is_some() && alone.log_failed().is_none());
        let shared = Metrics::new();
        let observer = shared.shared_log_observer();
        observer.refused(1, &failure);
        assert!(shared.log_poisoned().is_none());
        assert!(
            shared
                .log_failed()
                .is_some_and(|(_, why)| why.contains("away"))
        );
        observer.written(Batch {
            appends: 1,
            records: 1,
            bytes: 1,
            took: Duration::ZERO,
        });
        assert_eq!(shared.log_failed(), None);
    }
}
