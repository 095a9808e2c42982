//! What is read off the house when somebody reads the metrics: the log, the fold, the alerts, the process.
//!
//! Labels are topics, partitions, rules and states: a few dozen series, however many organisations there are.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use prometheus::{Gauge, IntGauge, IntGaugeVec};
use qipp_alerts::Turn;
use qipp_domain::alert::{Condition, Stage};
use qipp_domain::{Cut, KnownAt};
use qipp_projection::lane_of;
use qipp_serving::admission::Admission;
use qipp_serving::{Deps, Metrics};

use crate::standing::{Standing, State};

/// Why a house may not be ready, as `qipp_not_ready` names it: all of them, so that an alerting rule finds a series.
const REASONS: [&str; 11] = [
    "DRAINING",
    "LOG_REFUSES",
    "LOG_UNREACHABLE",
    "LOG_STALLED",
    "DISK_FULL",
    "FOLD_STOPPED",
    "FOLD_BEHIND",
    "FOLD_STALLED",
    "EVALUATOR_STOPPED",
    "EVALUATOR_FAILING",
    "PEERS_UNREACHABLE",
];

struct Gauges {
    head: IntGaugeVec,
    position: IntGaugeVec,
    real_head: IntGauge,
    stalled: Gauge,
    state: IntGaugeVec,
    lag: IntGauge,
    still: Gauge,
    waiting: IntGauge,
    checkpoints: IntGauge,
    checkpoint_age: Gauge,
    checkpoint_failed: IntGauge,
    parked: IntGauge,
    alerts: IntGaugeVec,
    rounds: IntGauge,
    failing: IntGauge,
    evaluates: IntGauge,
    epoch: IntGauge,
    superseded: IntGauge,
    ready: IntGauge,
    shards_away: IntGauge,
    not_ready: IntGaugeVec,
    free: IntGauge,
    running: IntGauge,
    queued: IntGauge,
    streams: IntGauge,
}

/// Registers everything, to be set before each reading.
pub(crate) fn register(deps: &Deps, standing: &Standing, admission: &Arc<Admission>) {
    let metrics = &deps.metrics;
    let place = ["topic", "partition"];
    let gauges = Gauges {
        head: metrics.gauges("qipp_log_head", "Next offset of a partition.", &place),
        position: metrics.gauges("qipp_fold_position", "Next offset that is folded.", &place),
        real_head: metrics.gauge(
            "qipp_log_head_records",
            "Next offsets of all partitions added up, as the storage has them: also what other processes wrote.",
        ),
        stalled: metrics.fraction(
            "qipp_log_stalled_seconds",
            "How long the log has stood still while appends wait, or this process has heard nothing of what others append.",
        ),
        state: metrics.gauges(
            "qipp_state",
            "1 for the state that the process is in: serving, lagging (the fold is behind the log), stalled (the log stands still).",
            &["state"],
        ),
        lag: metrics.gauge("qipp_fold_lag_records", "Records that are durable and not folded."),
        still: metrics.fraction(
            "qipp_fold_still_seconds",
            "How long the fold has not moved while it had something to do.",
        ),
        waiting: metrics.gauge("qipp_log_waiting_appends", "Appends that wait for the log's writer."),
        checkpoints: metrics.gauge("qipp_checkpoints", "Checkpoints written since the start."),
        checkpoint_age: metrics.fraction(
            "qipp_checkpoint_age_seconds",
            "How long the oldest record that no checkpoint covers has been waiting for one.",
        ),
        checkpoint_failed: metrics.gauge(
            "qipp_checkpoint_failed",
            "1 when no checkpoints are written any more, so that the next start folds more of the log.",
        ),
        parked: metrics.gauge(
            "qipp_parked_keys",
            "Keys whose facts are kept out because one of them could not be digested.",
        ),
        alerts: metrics.gauges(
            "qipp_alerts",
            "Alerts by rule, by whether what was found still holds, and by where the conversation stands.",
            &["rule", "condition", "stage"],
        ),
        rounds: metrics.gauge("qipp_evaluator_rounds", "Rounds of evaluation completed since the start."),
        failing: metrics.gauge(
            "qipp_evaluator_failing",
            "1 while the evaluator has stopped half-way and tries again, or has ended.",
        ),
        evaluates: metrics.gauge(
            "qipp_evaluator_active",
            "1 while this process evaluates the rules, 0 while another one does or nobody yet.",
        ),
        epoch: metrics.gauge(
            "qipp_evaluator_epoch",
            "The epoch under which this process evaluates; 0 while it does not, and where the log has had one process only.",
        ),
        superseded: metrics.gauge(
            "qipp_superseded_records",
            "Records of the log without effect, because the epoch of the evaluator that wrote them was over.",
        ),
        ready: metrics.gauge("qipp_ready", "1 while the house is ready."),
        shards_away: metrics.gauge(
            "qipp_shards_away",
            "Shards in serve.peers.shards that no process can be reached of: their organisations are not in answers about many.",
        ),
        not_ready: metrics.gauges("qipp_not_ready", "1 while this keeps the house from being ready.", &["reason"]),
        free: metrics.gauge("qipp_data_free_bytes", "Bytes free on the disk of the log."),
        running: metrics.gauge("qipp_calls_running", "Calls that run."),
        queued: metrics.gauge("qipp_calls_waiting", "Calls that wait for their turn."),
        streams: metrics.gauge("qipp_streams", "Open streams: bulk submissions and watchers."),
    };
    let age = Age::default();
    let (deps, standing, admission) = (deps.clone(), standing.clone(), Arc::clone(admission));
    // The metrics are held by the house, and must not hold it.
    let deps = Deps {
        metrics: Metrics::new(),
        ..deps
    };
    metrics.before_reading(move || {
        gauges.running.set(whole(admission.running()));
        gauges.queued.set(whole(admission.waiting()));
        gauges.streams.set(whole(admission.streams()));
        gauges.refresh(&deps, &standing, &age);
    });
    process(metrics);
}

impl Gauges {
    fn refresh(&self, deps: &Deps, standing: &Standing, age: &Age) {
        let head = deps.log.head();
        let cut = deps.follower.cut();
        for (topic, partition) in deps.log.layout().all() {
            let labels = [topic.to_string(), partition.to_string()];
            let next = head.next(topic, partition);
            self.head.with_label_values(&labels).set(whole(next));
            let folded = cut.next(lane_of(topic, partition));
            self.position.with_label_values(&labels).set(whole(folded));
        }
        let real: u64 = standing.head().iter().map(|(_, next)| next).sum();
        self.real_head.set(whole(real));
        self.stalled.set(standing.stalled().as_secs_f64());
        let state = standing.state();
        for each in State::ALL {
            let series = self.state.with_label_values(&[each.name()]);
            series.set(i64::from(each == state));
        }
        let lag = standing.lag();
        self.lag.set(whole(lag.records));
        self.still.set(match lag.records {
            0 => 0.0,
            _ => lag.still.as_secs_f64(),
        });
        self.waiting.set(whole(deps.log.waiting()));
        let checkpointed = deps.follower.checkpointed().borrow().clone();
        self.checkpoints.set(whole(checkpointed.count));
        self.checkpoint_failed
            .set(i64::from(checkpointed.failed.is_some()));
        self.checkpoint_age
            .set(age.seconds(&cut, &checkpointed.cut));
        self.parked.set(whole(deps.follower.parked().len()));
        self.alerts(deps);
        let evaluator = standing.evaluator();
        self.rounds.set(whole(evaluator.rounds));
        let failing = evaluator.failing.is_some() || evaluator.ended;
        self.failing.set(i64::from(failing));
        self.evaluates.set(i64::from(
            evaluator.turn == Turn::Evaluating && !evaluator.ended,
        ));
        self.epoch.set(whole(evaluator.epoch));
        self.superseded.set(whole(deps.follower.superseded()));
        let reasons = standing.reasons();
        self.ready.set(i64::from(reasons.is_empty()));
        self.shards_away
            .set(i64::try_from(standing.shards_away()).unwrap_or(i64::MAX));
        let codes: Vec<&str> = reasons.iter().map(|reason| reason.code).collect();
        for code in REASONS {
            let holds = codes.contains(&code);
            self.not_ready
                .with_label_values(&[code])
                .set(i64::from(holds));
        }
        if let Some(free) = standing.free_bytes() {
            self.free.set(whole(free));
        }
    }

    fn alerts(&self, deps: &Deps) {
        let mut counts: BTreeMap<(String, &str, &str), i64> = BTreeMap::new();
        {
            let view = deps.follower.view();
            for alert in view.alert_books().flat_map(|(_, book)| book.iter()) {
                if let Some(now) = alert.known(&KnownAt::Latest) {
                    let state = (
                        alert.rule.clone(),
                        condition(now.condition),
                        stage(now.stage),
                    );
                    *counts.entry(state).or_default() += 1;
                }
            }
        }
        self.alerts.reset();
        for ((rule, condition, stage), count) in counts {
            let labels = [rule.as_str(), condition, stage];
            self.alerts.with_label_values(&labels).set(count);
        }
    }
}

fn condition(condition: Condition) -> &'static str {
    match condition {
        Condition::Holds => "holds",
        Condition::Cleared => "cleared",
        Condition::Withdrawn => "withdrawn",
        Condition::Suppressed => "suppressed",
    }
}

fn stage(stage: Stage) -> &'static str {
    match stage {
        Stage::Raised => "raised",
        Stage::Acknowledged => "acknowledged",
        Stage::Asked => "asked",
        Stage::Explained => "explained",
        Stage::Confirmed => "confirmed",
        Stage::Refuted => "refuted",
        Stage::Closed => "closed",
    }
}

/// For how long a checkpoint has been behind the fold, as far as anybody looked.
#[derive(Default)]
struct Age(Mutex<Option<(Cut, Instant)>>);

impl Age {
    fn seconds(&self, folded: &Cut, saved: &Cut) -> f64 {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if saved.includes(folded) {
            *held = None;
            return 0.0;
        }
        match &*held {
            Some((cut, since)) if cut == saved => since.elapsed().as_secs_f64(),
            _ => {
                *held = Some((saved.clone(), Instant::now()));
                0.0
            }
        }
    }
}

/// A count as a gauge has it.
fn whole(count: impl TryInto<i64>) -> i64 {
    count.try_into().unwrap_or(i64::MAX)
}

/// The process, under the names that every exporter uses.
fn process(metrics: &Metrics) {
    let build = metrics.gauges(
        "qipp_build_info",
        "Always 1; the version is in the label.",
        &["version"],
    );
    build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
    let memory = metrics.gauge(
        "process_resident_memory_bytes",
        "Memory that the process has in use.",
    );
    let files = metrics.gauge(
        "process_open_fds",
        "File descriptors that the process has open.",
    );
    let threads = metrics.gauge("process_threads", "Threads of the process.");
    let processor = metrics.counter_of_seconds(
        "process_cpu_seconds_total",
        "Processor time that the process has used, user and system.",
    );
    let started = metrics.fraction(
        "process_start_time_seconds",
        "When the process was started, Unix seconds.",
    );
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    started.set(since.map_or(0.0, |since| since.as_secs_f64()));
    metrics.before_reading(move || {
        let Some(now) = Process::read() else { return };
        memory.set(whole(now.resident_bytes));
        threads.set(whole(now.threads));
        files.set(whole(now.open_files));
        let more = now.processor_seconds - processor.get();
        if more > 0.0 {
            processor.inc_by(more);
        }
    });
}

/// What Linux says of this process; elsewhere nothing is known.
struct Process {
    resident_bytes: u64,
    threads: u64,
    open_files: usize,
    processor_seconds: f64,
}

impl Process {
    fn read() -> Option<Self> {
        let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
        let open_files = std::fs::read_dir("/proc/self/fd").ok()?.count();
        // The name of the program is in brackets and may hold anything: count from behind it. See proc(5).
        let (_, fields) = stat.rsplit_once(") ")?;
        let fields: Vec<&str> = fields.split(' ').collect();
        let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
        #[allow(clippy::cast_precision_loss, reason = "seconds of processor time")]
        let processor_seconds =
            (number(11)? + number(12)?) as f64 / rustix::param::clock_ticks_per_second() as f64;
        Some(Self {
            resident_bytes: number(21)?.saturating_mul(rustix::param::page_size() as u64),
            threads: number(17)?,
            open_files,
            processor_seconds,
        })
    }
}
