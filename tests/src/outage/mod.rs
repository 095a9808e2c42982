//! Does a house of many processes on Kafka keep its promises when processes and brokers fail? Real processes, real brokers, on loopback.
//!
//! A cluster of three brokers; two processes of the real binary that serve everything, and one that takes returns and passes everything else
//! on; clients that send through all of them and go on until everything is answered. Failures come one after the other, each at a random
//! moment of the load. When one is undone and what belongs to its part of the load has its answer:
//!
//! * every replica shows everything answered since the last look once, under the number and at the place that its receipt named, and the
//!   whole log is what the model folds ([`model`](crate::survive::model)); at the end of a nation every replica is asked about everything;
//! * the digests of all replicas at the same cut are equal, and equal to that of a fresh fold of the log;
//! * the alerts of every replica, with all their events, are those of a house that took the same accepted returns and was never disturbed;
//!   each event is told once by the log, and once by a watcher who was cut off and went on.
//!
//! Failures come in nations, each with topics and folders of its own, on the same brokers. Everything that was sent, answered and done goes
//! into a history, a line each.
//!
//! One thing that is looked at elsewhere is counted here: a record can stand in the log more often than it was sent. When a message of the
//! client of Kafka times out, that client begins anew, and writes again what was stored before its answer was lost, so that no broker can
//! know it for a copy. A copy must change nothing: it has to be a repeat, or the look finds it.
//!
//! A seed determines what is sent, which failures come, whom they hit, after how many answers, and for how long. What the machine does in
//! between is its own affair, so a replayed seed meets similar moments and not the very same.

mod blow;
mod image;
mod look;
mod services;
mod strikes;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use qipp_kafka_cluster::Cluster;
use serde_json::json;
use tempfile::TempDir;

pub use self::strikes::Kind;

use self::blow::{Blow, blow};
use self::look::{Looker, Seen, is_evaluated};
use self::services::{NAMES, Services};
use self::strikes::{Segment, segments};
use crate::survive::clients::{Clients, Patience};
use crate::survive::journal::Journal;
use crate::survive::model::{Answer, Attempt};
use crate::survive::plan::Plan;
use crate::survive::process::Binary;
use crate::survive::{Faults, fault};

/// So many failures hit one nation at most.
const PER_NATION: usize = 20;
/// A client that has no answer after so long asks another process: shorter than most failures.
const PATIENCE: Duration = Duration::from_millis(1500);

/// What to do.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How `qipp` is called. It has to be built with the cargo feature `kafka`.
    pub binary: Binary,
    /// Determines everything that is not the machine's.
    pub seed: u64,
    /// How many failures.
    pub failures: usize,
    /// Which kinds of them; they take turns.
    pub kinds: Vec<Kind>,
    /// Where the histories go, a file a nation.
    pub histories: PathBuf,
}

/// One failure, and what came of it.
#[derive(Clone, Debug)]
pub struct Failure {
    /// From 1, in the run.
    pub number: usize,
    /// What was done.
    pub kind: Kind,
    /// To whom, in words.
    pub victim: String,
    /// After how many answers in its nation.
    pub after: u64,
    /// Until somebody else had evaluated all that was acknowledged, where it hit the evaluator.
    pub take_over: Option<Duration>,
    /// From when everything ran again until everything was in service: read by every replica, and evaluated.
    pub recovery: Duration,
    /// The longest that a client went from process to process with one return until it had an answer.
    pub longest_wait: Duration,
    /// How long all of it took, with the load and the look.
    pub took: Duration,
}

/// What was done.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// One after the other.
    pub failures: Vec<Failure>,
    /// How many nations.
    pub nations: u64,
    /// Attempts of clients to have a return stored.
    pub attempts: u64,
    /// Of these, without an answer.
    pub unanswered: u64,
    /// Acknowledged as a new revision.
    pub accepted: u64,
    /// Digests of replicas that were equal, and equal to a fresh fold.
    pub digests: u64,
    /// Alert events that were compared with an undisturbed run, at the end of each nation.
    pub events: u64,
    /// National values and alert events in the logs that were written by an evaluator whose time was over, and that nobody saw.
    pub superseded: u64,
    /// Records of returns that stand in the logs more often than they were sent, without effect: the client of Kafka wrote them again.
    pub copies: u64,
    /// Tenures of evaluators.
    pub epochs: u64,
}

impl Report {
    /// How many failures there were of each kind.
    #[must_use]
    pub fn kinds(&self) -> BTreeMap<Kind, usize> {
        let mut kinds = BTreeMap::new();
        for failure in &self.failures {
            *kinds.entry(failure.kind).or_default() += 1;
        }
        kinds
    }

    /// All times of take-over, shortest first.
    #[must_use]
    pub fn take_overs(&self) -> Vec<Duration> {
        let mut all: Vec<_> = self.failures.iter().filter_map(|f| f.take_over).collect();
        all.sort();
        all
    }

    /// The longest waits of clients, shortest first.
    #[must_use]
    pub fn waits(&self) -> Vec<Duration> {
        let mut all: Vec<_> = self.failures.iter().map(|f| f.longest_wait).collect();
        all.sort();
        all
    }

    /// All times of recovery, shortest first.
    #[must_use]
    pub fn recoveries(&self) -> Vec<Duration> {
        let mut all: Vec<_> = self.failures.iter().map(|f| f.recovery).collect();
        all.sort();
        all
    }

    fn count(&mut self, clients: &Clients, seen: Seen) {
        let notes = clients.notes();
        let attempts = &notes.history.attempts;
        let accepted = |a: &&Attempt| matches!(a.answer, Some((Answer::Accepted(_), Some(_))));
        self.nations += 1;
        self.attempts += attempts.len() as u64;
        self.unanswered += attempts.iter().filter(|a| a.answer.is_none()).count() as u64;
        self.accepted += attempts.iter().filter(accepted).count() as u64;
        self.events += seen.events;
        self.superseded += seen.superseded;
        self.copies += seen.copies;
        self.epochs += seen.epoch;
    }
}

/// What must not be, and where it can be looked at.
#[derive(Clone, Debug)]
pub struct Broken {
    /// Seed of the run.
    pub seed: u64,
    /// How many failures had gone well.
    pub held: usize,
    /// Everything that is wrong.
    pub faults: Vec<String>,
    /// The history, the data of the processes and what they said, and the logs of the brokers.
    pub kept: Vec<PathBuf>,
}

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (seed, held, count) = (self.seed, self.held, self.faults.len());
        writeln!(
            f,
            "seed {seed}, after {held} failures that held: {count} faults"
        )?;
        for fault in self.faults.iter().take(20) {
            writeln!(f, "  {fault}")?;
        }
        write!(f, "kept: {:?}", self.kept)
    }
}

/// As many failures as were asked for, in as many nations as that takes. `told` hears of every failure.
///
/// # Errors
/// The first failure after which something was wrong.
pub async fn run(settings: &Settings, mut told: impl FnMut(&Failure)) -> Result<Report, Broken> {
    let mut report = Report::default();
    let broken = |report: &Report, faults, kept| Broken {
        seed: settings.seed,
        held: report.failures.len(),
        faults,
        kept,
    };
    let cluster = tokio::task::spawn_blocking(|| Cluster::start(3)).await;
    let cluster = match cluster.map_err(fault).and_then(|c| c.map_err(fault)) {
        Ok(cluster) => Arc::new(cluster),
        Err(faults) => return Err(broken(&report, faults, Vec::new())),
    };
    while report.failures.len() < settings.failures {
        let nation = report.nations;
        let folder = tempfile::Builder::new().prefix("qipp-outage-").tempdir();
        let folder = folder.map_err(|error| broken(&report, fault(error), Vec::new()))?;
        let ran = run_nation(settings, &cluster, &folder, &mut report, &mut told).await;
        if let Err(faults) = ran {
            let mut kept = vec![folder.keep(), history(settings, nation)];
            kept.extend(keep_logs(settings, &cluster, nation));
            return Err(broken(&report, faults, kept));
        }
    }
    Ok(report)
}

fn history(settings: &Settings, nation: u64) -> PathBuf {
    let name = format!("seed-{}-nation-{nation}.jsonl", settings.seed);
    settings.histories.join(name)
}

/// What the brokers said, for whoever looks into a run that broke.
fn keep_logs(settings: &Settings, cluster: &Cluster, nation: u64) -> Vec<PathBuf> {
    let keep = |node: usize| {
        let name = format!("seed-{}-nation-{nation}-broker-{node}.txt", settings.seed);
        let kept = settings.histories.join(name);
        let said = cluster.log(node).ok()?;
        std::fs::copy(said, &kept).ok().map(|_| kept)
    };
    (0..cluster.size()).filter_map(keep).collect()
}

/// One nation: from nothing to the end of its plan.
async fn run_nation(
    settings: &Settings,
    cluster: &Arc<Cluster>,
    folder: &TempDir,
    report: &mut Report,
    told: &mut impl FnMut(&Failure),
) -> Result<(), Faults> {
    let first = report.failures.len();
    let count = (settings.failures - first).min(PER_NATION);
    let seed = settings
        .seed
        .wrapping_add(report.nations.wrapping_mul(0x9e37_79b9));
    let plan = Plan::of_impatient(seed);
    let kinds = &settings.kinds;
    let segments = segments(&plan, settings.seed, kinds, first, count, NAMES.len());
    let journal = Journal::create(&history(settings, report.nations)).map_err(fault)?;
    let mut nation = Nation::start(settings, cluster, folder.path(), report, plan, journal).await?;
    for (number, segment) in (first + 1..).zip(&segments) {
        let held = nation.hold(segment, number, report).await;
        nation.clients.notes().journal.flush();
        let failure = held?;
        told(&failure);
        report.failures.push(failure);
    }
    nation.end(report).await
}

/// A nation while it lasts.
struct Nation<'a> {
    cluster: &'a Arc<Cluster>,
    services: Services,
    clients: Arc<Clients>,
    looker: Looker,
    seen: Seen,
}

impl<'a> Nation<'a> {
    async fn start(
        settings: &Settings,
        cluster: &'a Arc<Cluster>,
        folder: &Path,
        report: &Report,
        plan: Plan,
        journal: Journal,
    ) -> Result<Self, Faults> {
        let prefix = format!("n{}", report.nations);
        let (services, houses) =
            Services::start(&settings.binary, cluster, &prefix, folder).await?;
        let patience = Patience::Elsewhere(PATIENCE);
        let clients = Clients::new(plan, houses, services.keys()?, patience, journal);
        let clients = Arc::new(clients);
        clients.prepare().await.map_err(fault)?;
        let url = format!("kafka://{}/{prefix}", cluster.brokers());
        let looker = Looker::start(&services, &clients, url).await?;
        Ok(Self {
            cluster,
            services,
            clients,
            looker,
            seen: Seen::default(),
        })
    }

    /// A part of the load with its failure, and the look after it.
    async fn hold(
        &mut self,
        segment: &Segment,
        number: usize,
        report: &mut Report,
    ) -> Result<Failure, Faults> {
        let began = Instant::now();
        self.clients.notes().longest_wait = Duration::ZERO;
        let (answers, blow, recovery) = self.strike(segment).await?;
        let upto = segment.steps.end;
        let at_the_end = upto == self.clients.plan.steps.len();
        self.services.are_sound()?;
        self.seen = self.looker.look(&self.clients, upto, at_the_end).await?;
        report.digests += 2;
        let failure = Failure {
            number,
            kind: segment.strike.kind,
            victim: blow.victim,
            after: answers,
            take_over: blow.take_over,
            recovery,
            longest_wait: self.clients.notes().longest_wait,
            took: began.elapsed(),
        };
        self.clients.say(&json!({ "held": format!("{failure:?}") }));
        Ok(failure)
    }

    /// Sends the steps of a segment, with its failure in between. After how many answers that came, what came of it, and how long it took
    /// until everything was in service again.
    async fn strike(&mut self, segment: &Segment) -> Result<(u64, Blow, Duration), Faults> {
        let (steps, calm) = (segment.steps.clone(), self.clients.plan.calm);
        let mut answered = self.clients.acknowledged();
        let aim = *answered.borrow() + segment.after as u64;
        let clients = Arc::clone(&self.clients);
        let mut load = Load(tokio::spawn(async move {
            let upto = steps.end;
            let waits = |step| is_evaluated(calm, step, upto);
            clients.steps(steps, waits).await
        }));
        let mut ended = None;
        tokio::select! {
            reached = answered.wait_for(|count| *count >= aim) => drop(reached.map_err(fault)?),
            done = &mut load.0 => ended = Some(done),
        }
        tokio::time::sleep(segment.strike.delay).await;
        let answers = *answered.borrow();
        let (services, clients) = (&mut self.services, &self.clients);
        let blow = blow(&segment.strike, services, self.cluster, clients).await?;
        let recovered = async {
            self.looker.recovered(&self.clients).await?;
            Ok(blow.undone.elapsed())
        };
        let sent = async {
            let sent = match ended {
                Some(sent) => sent,
                None => (&mut load.0).await,
            };
            sent.map_err(fault)?.map_err(fault)
        };
        let (recovery, ()) = tokio::try_join!(recovered, sent)?;
        Ok((answers, blow, recovery))
    }

    /// Everything ends in order.
    async fn end(mut self, report: &mut Report) -> Result<(), Faults> {
        self.services.end().await?;
        report.count(&self.clients, self.seen);
        self.looker.close().await;
        Ok(())
    }
}

/// Clients that send, and are ended with this.
struct Load(tokio::task::JoinHandle<Result<(), String>>);

impl Drop for Load {
    fn drop(&mut self) {
        self.0.abort();
    }
}
