//! The evaluator: an idempotent reconciler between what the log says and which alerts there are.
//!
//! Started again at any point it finds what is missing and repeats nothing, because every decision is a function of the folded log. It
//! wakes on changes and when a day begins, never by polling the log. What it has to do stands in four queues, and it takes a small
//! piece of work from the first one that has any:
//!
//! 1. organisations that returned something: their rules are evaluated at once, against the national values that are published. While
//!    returns come faster than that can be done, it rests in between;
//! 2. national values that could be others now: those that differ are published, oldest month first. One return can move a value for
//!    ten thousand organisations, so this waits until returns have stopped coming for a moment, and while they do not stop it rests
//!    between two passes for some times as long as a pass took;
//! 3. kinds over which a joint decision could be another one now (`joint.rs`): decided when the national values are published, and in the
//!    same measure as these;
//! 4. organisations whose findings could be others because of that, or because a day has begun or the reference data have changed.
//!
//! Where several processes share a log, one of them evaluates and the others stand by (`tenure.rs`). Who takes over knows nothing of what the
//! other one had begun, and begins with everything.
//!
//! It works on an image of the nation that it takes and holds without a lock, so that neither folding nor queries wait for it, and on a thread
//! of low priority (`background.rs`).

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::time::Duration;

use jiff::civil::Date;
use qipp_api::error::{ApiError, Code};
use qipp_api::facts::{self, Meta};
use qipp_domain::alert::AlertFact;
use qipp_domain::benchmark::NationalValue;
use qipp_domain::nation::{Facts, Key, Ledger, Nation};
use qipp_domain::tenure::{EPOCH_KEY, Tenure};
use qipp_domain::{Cut, KnownAt, MarkerCode, OrgCode, Period, Slug};
use qipp_eventlog::{NewRecord, Topic, partition_for};
use qipp_projection::lane_of;
use qipp_rules::national::{self, Asked, Group, Month};
use qipp_rules::{Moment, cause_id, changes, surveillance};
use qipp_serving::{Deps, log_error, step, wait_error};
use tokio::sync::watch as channel;
use tokio::time::Instant;
use tracing::Instrument as _;

use crate::Config;
use crate::background::Background;
use crate::tenure::{Candidate, Order};

/// Organisations evaluated in one piece of work: what a return that has just arrived may have to wait for.
const ORGANISATIONS_PER_PIECE: usize = 16;

/// When more than these wait, returns come faster than their rules can be evaluated.
const FLOOD: usize = 256;

/// In a flood the evaluator rests after each piece of work for this many times as long as that took. Its low priority is not enough: two
/// threads of a processor share one core, so that what it does on one slows the other. And who returns much is evaluated once for all of it.
const FLOOD_REST: u32 = 4;

/// A flood is over when nothing has come for so long.
const FLOOD_OVER: Duration = Duration::from_millis(50);

/// As many are asked in one piece of work which markers slip in a month: that is a tenth of the work of evaluating them.
const PEERS_PER_PIECE: usize = 160;

/// How often the evaluator looks whether a new day has begun.
const DAY_CHECK: Duration = Duration::from_secs(30);

/// How long the evaluator waits before it tries again after the log refused.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(5);

/// The turn was lost while a piece of work was done.
const LOST: &str = "EVALUATED_ELSEWHERE";

/// Name under which evaluations stand in the log.
const WRITER: &str = "alerts-evaluator";

/// The evaluator. Run it beside the service.
#[derive(Debug)]
pub struct Evaluator {
    config: Config,
    deps: Deps,
    evaluated: channel::Sender<Cut>,
    standing: channel::Sender<EvaluatorStanding>,
    candidate: Candidate,
    /// Has the log chosen this process?
    chosen: channel::Receiver<bool>,
    /// The epoch under which it evaluates, while it does.
    epoch: Option<u64>,
    /// Per organisation the offset up to which its returns have been looked at.
    seen: BTreeMap<OrgCode, u64>,
    /// How often the fold's state had been exchanged for one that says something else.
    restated: u64,
    /// The day of the last whole evaluation.
    day: Option<Date>,
    queues: Queues,
    rest: Rest,
    background: Background,
}

/// Whose turn it is to evaluate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Turn {
    /// Not known yet: the fold catches up, or an epoch has been begun.
    #[default]
    Starting,
    /// This process's.
    Evaluating,
    /// Another one's. This one takes over when it is gone.
    StandingBy,
}

/// How the evaluator is doing, for those who operate it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EvaluatorStanding {
    /// Whose turn it is.
    pub turn: Turn,
    /// The epoch under which it evaluates; 0 while it does not, and where the log has had one process only.
    pub epoch: u64,
    /// How many times it had nothing left to do.
    pub rounds: u64,
    /// Why the last piece of work failed; it is taken up again until it goes through.
    pub failing: Option<String>,
    /// It runs no more. In order only when the house closes.
    pub ended: bool,
}

/// What is to be done; kept over a failure.
#[derive(Debug, Default)]
struct Queues {
    /// They returned something.
    returned: BTreeSet<OrgCode>,
    /// The last of them that was evaluated.
    turn: Option<OrgCode>,
    /// Values that could be others now.
    values: BTreeMap<Period, BTreeSet<Group>>,
    /// A pass over the values is under way.
    pass: Option<Pass>,
    /// A joint decision over them could be another one now.
    kinds: BTreeSet<Slug>,
    /// Their findings could be others now.
    others: BTreeSet<OrgCode>,
    /// Everything could be other than it was.
    everything: bool,
}

/// A pass over the national values: one month after the other.
#[derive(Debug)]
struct Pass {
    begun: Instant,
    months: BTreeMap<Period, BTreeSet<Group>>,
    /// Kinds of which a value has moved.
    moved: BTreeSet<Slug>,
    month: Option<Month>,
}

/// When work may go on that waits while returns keep coming.
#[derive(Debug)]
struct Rest {
    /// The last return that was taken note of.
    last_return: Instant,
    /// While returns keep coming, no pass over the national values before this.
    until: Instant,
    /// While they come in a flood, no organisation before this.
    flooded: Instant,
}

/// Is there more to do?
enum Next {
    /// At once.
    Work,
    /// Then, unless returns keep coming.
    At(Instant),
    Nothing,
}

impl Evaluator {
    pub(crate) fn new(config: Config, deps: Deps) -> (Self, channel::Receiver<Cut>) {
        let (evaluated, receiver) = channel::channel(Cut::default());
        let holder = format!("{:032x}", rand::random::<u128>());
        let patience = config.superseded_patience;
        let evaluator = Self {
            candidate: Candidate::new(holder, deps.log.is_shared(), patience),
            config,
            deps,
            evaluated,
            standing: channel::Sender::default(),
            // It stands for it once the fold has caught up: until then somebody else does it better.
            chosen: channel::Sender::new(false).subscribe(),
            epoch: None,
            seen: BTreeMap::new(),
            restated: 0,
            day: None,
            queues: Queues::default(),
            rest: Rest::new(),
            background: Background::start(),
        };
        (evaluator, receiver)
    }

    /// How it is doing, from now on.
    #[must_use]
    pub fn standing(&self) -> channel::Receiver<EvaluatorStanding> {
        self.standing.subscribe()
    }

    /// Evaluates until the shutdown token is cancelled or folding has stopped.
    pub async fn run(self) {
        let ending = Ending(self.standing.clone());
        self.evaluate_changes().await;
        drop(ending);
    }

    async fn evaluate_changes(mut self) {
        let shutdown = self.deps.shutdown.clone();
        // A fold that is still catching up (a rebuild) shows a nation that never was: half of its returns, none of its alerts.
        tokio::select! {
            () = shutdown.cancelled() => return,
            caught_up = self.deps.follower.caught_up() => if caught_up.is_err() { return },
        }
        self.chosen = self.deps.log.stand();
        let mut changes = self.deps.follower.changes();
        let mut upto = changes.since().clone();
        let mut day_check = tokio::time::interval(DAY_CHECK);
        while !shutdown.is_cancelled() {
            if let Some((keys, cut)) = changes.take() {
                self.note(&keys);
                upto = cut;
            }
            let wake = match self.go_on(&upto).await {
                Ok(Next::Work) => continue,
                Ok(Next::At(instant)) => Some(instant),
                Ok(Next::Nothing) => None,
                Err(error) => {
                    self.queues.begin_again();
                    if error.reason == LOST {
                        continue;
                    }
                    self.say_failing(&error);
                    tokio::select! {
                        () = shutdown.cancelled() => return,
                        () = tokio::time::sleep(PAUSE_AFTER_FAILURE) => continue,
                    }
                }
            };
            let rested = async {
                match wake {
                    Some(instant) => tokio::time::sleep_until(instant).await,
                    None => std::future::pending().await,
                }
            };
            let choice = async {
                if self.chosen.changed().await.is_err() {
                    // Chosen for good, or not at all.
                    std::future::pending().await
                }
            };
            tokio::select! {
                () = shutdown.cancelled() => return,
                next = changes.next() => {
                    let Some((keys, cut)) = next else { return };
                    self.note(&keys);
                    upto = cut;
                }
                () = choice => {}
                _ = day_check.tick() => {}
                () = rested => {}
            }
        }
    }

    /// Does what is next: sees to whose turn it is, and does a piece of work when it is its own.
    async fn go_on(&mut self, upto: &Cut) -> Result<Next, ApiError> {
        let chosen = *self.chosen.borrow_and_update();
        let lanes = self.lanes();
        let shutdown = self.deps.shutdown.clone();
        let getting_ready = async {
            match self.candidate.order(Instant::now(), chosen, &lanes) {
                Order::StandBy(until) => {
                    self.stand_by();
                    Ok(Some(until.map_or(Next::Nothing, Next::At)))
                }
                Order::Begin(epoch) => {
                    self.begin(epoch).await?;
                    Ok(Some(Next::Work))
                }
                Order::Evaluate(epoch) if self.epoch == Some(epoch) => Ok(None),
                Order::Evaluate(epoch) => {
                    self.take_up(epoch).await?;
                    Ok(Some(Next::Work))
                }
            }
        };
        let ready: Result<Option<Next>, ApiError> = tokio::select! {
            () = shutdown.cancelled() => return Ok(Next::Nothing),
            ready = getting_ready => ready,
        };
        if let Some(next) = ready? {
            return Ok(next);
        }
        let next = self.work().await?;
        if matches!(next, Next::Nothing) {
            self.evaluated.send_replace(upto.clone());
            self.standing.send_modify(|standing| {
                standing.rounds += 1;
                standing.failing = None;
            });
        }
        Ok(next)
    }

    fn say_failing(&self, error: &ApiError) {
        tracing::error!(reason = %error.reason, error = %error.message, "evaluation stopped half-way; it will be taken up again");
        let failing = Some(format!("{}: {}", error.reason, error.message));
        self.standing
            .send_modify(|standing| standing.failing = failing);
    }

    /// Who has the lanes that an evaluator writes to, one after the other.
    fn lanes(&self) -> Vec<Option<Tenure>> {
        let view = self.deps.follower.view();
        let of = |(topic, partition)| view.tenures().of_lane(lane_of(topic, partition)).cloned();
        self.partitions().map(of).collect()
    }

    fn partitions(&self) -> impl Iterator<Item = (Topic, u16)> + use<> {
        let all = self.deps.log.layout().all();
        all.filter(|(topic, _)| matches!(topic, Topic::Benchmarks | Topic::Alerts))
    }

    /// Does nothing but keep looking, and forgets what it was at: who takes up the turn begins with everything.
    fn stand_by(&mut self) {
        if let Some(epoch) = self.epoch.take() {
            tracing::warn!(epoch, "another process evaluates now; this one stands by");
            self.queues = Queues::default();
            self.seen.clear();
            // Of what comes now this process does not say that it is evaluated.
            self.evaluated.send_replace(Cut::default());
        }
        self.say(Turn::StandingBy, 0);
    }

    fn say(&self, turn: Turn, epoch: u64) {
        self.standing.send_if_modified(|standing| {
            let changed = (standing.turn, standing.epoch) != (turn, epoch);
            (standing.turn, standing.epoch) = (turn, epoch);
            if changed {
                standing.failing = None;
            }
            changed
        });
    }

    /// Begins an epoch in every lane, and waits until that is folded.
    async fn begin(&mut self, epoch: u64) -> Result<(), ApiError> {
        self.say(Turn::Starting, 0);
        let begun = Facts::EpochBegun(self.candidate.tenure(epoch));
        let mut cut = Cut::default();
        for (topic, partition) in self.partitions() {
            let cause = format!("epoch/{epoch}");
            let records = vec![record(EPOCH_KEY, cause, &begun, epoch)];
            self.append_to(topic, partition, records, &mut cut).await?;
        }
        self.wait_for_fold(&cut).await
    }

    /// Begins to evaluate, with everything that the log holds now.
    async fn take_up(&mut self, epoch: u64) -> Result<(), ApiError> {
        if self.deps.log.is_shared() {
            // What this process does not know of yet is part of what it evaluates.
            self.deps.reach_head().await?;
            tracing::info!(epoch, "this process evaluates");
        }
        self.queues = Queues {
            everything: true,
            ..Queues::default()
        };
        self.seen.clear();
        self.day = None;
        self.rest = Rest::new();
        self.epoch = Some(epoch);
        self.say(Turn::Evaluating, epoch);
        Ok(())
    }

    /// What the evaluator writes itself (national values, alerts) is no reason to evaluate again.
    fn note(&mut self, keys: &BTreeSet<Key>) {
        let restated = self.deps.follower.restated();
        if restated != self.restated {
            self.restated = restated;
            // What was concluded rests on a state that is gone; what is recorded of it and still right is not recorded again.
            self.seen.clear();
            self.queues.begin_again();
            self.queues.everything = true;
        }
        for key in keys {
            match key {
                Key::Ledger(org) => {
                    self.queues.returned.insert(*org);
                    self.rest.last_return = Instant::now();
                }
                Key::Reference => self.queues.everything = true,
                Key::Benchmarks(_) | Key::Assessments(_) | Key::Alerts(_) | Key::Tenure(_) => {}
            }
        }
    }

    /// Does one piece of work.
    async fn work(&mut self) -> Result<Next, ApiError> {
        let today = self.deps.today();
        if self.day != Some(today) {
            self.queues.everything = true;
        }
        if !self.queues.returned.is_empty() {
            let begun = Instant::now();
            let due = (self.rest.last_return + FLOOD_OVER).min(self.rest.flooded);
            if due > begun {
                return Ok(Next::At(due));
            }
            let some = self.queues.next_returned();
            self.look_at(&some);
            let step = step!(of: None, "evaluate", qipp.organisations = some.len() as i64);
            self.evaluate(&some, today).instrument(step).await?;
            remove(&mut self.queues.returned, &some);
            if self.queues.returned.len() > FLOOD {
                self.rest.flooded = Instant::now() + begun.elapsed() * FLOOD_REST;
            }
            return Ok(Next::Work);
        }
        if self.queues.pass.is_some() {
            let step = step!(of: None, "national_values");
            self.step(today).instrument(step).await?;
            return Ok(Next::Work);
        }
        if self.queues.everything || !self.queues.values.is_empty() {
            // When returns have stopped coming, or else when it has rested.
            let due = (self.rest.last_return + self.config.settle).min(self.rest.until);
            if due > Instant::now() {
                return Ok(Next::At(due));
            }
            self.begin_pass(today);
            return Ok(Next::Work);
        }
        if let Some(kind) = self.queues.kinds.first().copied() {
            let due = (self.rest.last_return + self.config.settle).min(self.rest.until);
            if due > Instant::now() {
                return Ok(Next::At(due));
            }
            let step = step!(of: None, "joint_decision", qipp.kind = %kind);
            self.decide(kind, today).instrument(step).await?;
            return Ok(Next::Work);
        }
        if !self.queues.others.is_empty() {
            let some = first(&self.queues.others, ORGANISATIONS_PER_PIECE);
            let step = step!(of: None, "evaluate", qipp.organisations = some.len() as i64);
            self.evaluate(&some, today).instrument(step).await?;
            remove(&mut self.queues.others, &some);
            return Ok(Next::Work);
        }
        Ok(Next::Nothing)
    }

    /// Takes note of the values that new returns of these organisations could move.
    fn look_at(&mut self, organisations: &[OrgCode]) {
        let view = self.deps.follower.view();
        let reference = view.reference(&KnownAt::Latest);
        for org in organisations {
            let kind = reference.organisation(*org).map(|held| held.kind);
            let (Some(kind), Some(ledger)) = (kind, view.ledger(*org)) else {
                continue;
            };
            self.queues.kinds.insert(kind);
            let seen = self.seen.entry(*org).or_default();
            let touched = touched(kind, ledger, *seen);
            *seen = touched.next;
            for (period, group) in touched.groups {
                self.queues.values.entry(period).or_default().insert(group);
            }
        }
    }

    /// Begins a pass over the national values.
    fn begin_pass(&mut self, today: Date) {
        if std::mem::take(&mut self.queues.everything) {
            let all: Vec<OrgCode> = {
                let view = self.deps.follower.view();
                let reference = view.reference(&KnownAt::Latest);
                // Who has never returned anything can still owe something.
                let owing = reference.obligations().map(|obligation| obligation.org);
                self.queues.others.extend(owing);
                view.ledgers().map(|(org, _)| org).collect()
            };
            self.look_at(&all);
            self.queues.others.extend(all);
            self.day = Some(today);
        }
        let touched = std::mem::take(&mut self.queues.values);
        let view = self.deps.follower.view();
        self.queues.pass = Some(Pass {
            begun: Instant::now(),
            months: national::with_later_months(touched, view.benchmarks()),
            moved: BTreeSet::new(),
            month: None,
        });
    }

    /// A piece of the pass over the national values: a month's value counts the organisations that slip on it, and these are held
    /// against the values of the months before, so a month is published before the next one is begun.
    async fn step(&mut self, today: Date) -> Result<(), ApiError> {
        let Some(mut pass) = self.queues.pass.take() else {
            return Ok(());
        };
        if let Some(month) = pass.month.take() {
            let (period, groups) = month.asked_about();
            match self.ask(month).await {
                Ok(Ok(month)) => pass.month = Some(month),
                Ok(Err(moved)) => pass.moved.extend(moved),
                Err(error) => {
                    pass.months.insert(period, groups);
                    self.queues.pass = Some(pass);
                    return Err(error);
                }
            }
        } else if let Some((period, groups)) = pass.months.pop_first() {
            let (view, quorum) = (self.deps.follower.view(), self.config.quorum);
            let month = Month::begin(&view, view.cut(), today, period, groups, quorum);
            pass.month = Some(month);
        } else {
            self.end_pass(&pass);
            return Ok(());
        }
        self.queues.pass = Some(pass);
        Ok(())
    }

    /// Asks some organisations; when all were asked, publishes the values that differ and says of which kinds they are.
    async fn ask(&self, month: Month) -> Result<Result<Month, BTreeSet<Slug>>, ApiError> {
        match self
            .background
            .run(move || month.ask(PEERS_PER_PIECE))
            .await?
        {
            Asked::More(month) => Ok(Ok(*month)),
            Asked::All(differing) => {
                let moved = differing.iter().map(|value| value.peer_group).collect();
                self.append_values(differing).await?;
                Ok(Err(moved))
            }
        }
    }

    fn end_pass(&mut self, pass: &Pass) {
        self.rest.until = Instant::now() + pass.begun.elapsed() * self.config.rests;
        let peers = self.peers(&pass.moved);
        self.queues.others.extend(peers);
    }

    /// Decides jointly over a kind, and publishes that when it is news.
    async fn decide(&mut self, kind: Slug, today: Date) -> Result<(), ApiError> {
        let begun = Instant::now();
        let (nation, cut) = {
            let view = self.deps.follower.view();
            (view.frozen(), view.cut().clone())
        };
        let quorum = self.config.quorum;
        let decided = self
            .background
            .run(move || surveillance::decide(&nation, &cut, today, kind, quorum))
            .await?
            .unwrap_or_else(|error| {
                // No markers to judge by, or too many: nothing that another attempt would change.
                tracing::debug!(%kind, code = error.code(), %error, "no joint decision");
                None
            });
        let mut go_on = false;
        if let Some(decided) = decided {
            let news = decided.news;
            let cause = format!("{kind}/{}/{:?}", news.period, news.cut);
            let epoch = self.epoch.unwrap_or_default();
            let record = record(kind.as_str(), cause, &Facts::Assessment(news), epoch);
            self.append(Topic::Benchmarks, 0, vec![record]).await?;
            self.queues.others.extend(decided.touched);
            go_on = decided.go_on;
        }
        if !go_on {
            self.queues.kinds.remove(&kind);
        }
        self.rest.until = Instant::now() + begun.elapsed() * self.config.rests;
        Ok(())
    }

    /// The organisations of these kinds that returned anything.
    fn peers(&self, kinds: &BTreeSet<Slug>) -> Vec<OrgCode> {
        let view = self.deps.follower.view();
        let reference = view.reference(&KnownAt::Latest);
        let of_kind = |org: &OrgCode| {
            reference
                .organisation(*org)
                .is_some_and(|held| kinds.contains(&held.kind))
        };
        view.ledgers().map(|(org, _)| org).filter(of_kind).collect()
    }

    async fn evaluate(&self, organisations: &[OrgCode], today: Date) -> Result<(), ApiError> {
        let (nation, cut) = {
            let view = self.deps.follower.view();
            (view.frozen_for(organisations), view.cut().clone())
        };
        let organisations = organisations.to_vec();
        let facts = self
            .background
            .run(move || evaluated(&nation, &cut, &organisations, today))
            .await?;
        self.append_alerts(facts).await
    }

    /// One record a marker: the key of the topic.
    async fn append_values(&self, values: Vec<NationalValue>) -> Result<(), ApiError> {
        let epoch = self.epoch.unwrap_or_default();
        let mut by_marker: BTreeMap<MarkerCode, Vec<NationalValue>> = BTreeMap::new();
        for value in values {
            by_marker.entry(value.marker).or_default().push(value);
        }
        let records = by_marker.into_iter().map(|(marker, values)| {
            let cause = values
                .first()
                .map(|v| format!("{marker}/{}/{:?}", v.period, v.cut))
                .unwrap_or_default();
            record(marker.as_str(), cause, &Facts::Benchmarks(values), epoch)
        });
        self.append(Topic::Benchmarks, 0, records.collect()).await
    }

    /// One record a fact, so that a watcher can go on after any of them.
    async fn append_alerts(&self, facts: Vec<(OrgCode, AlertFact)>) -> Result<(), ApiError> {
        let epoch = self.epoch.unwrap_or_default();
        let partitions = self.deps.log.layout().partitions(Topic::Alerts);
        let mut by_partition: BTreeMap<u16, Vec<NewRecord>> = BTreeMap::new();
        for (org, fact) in facts {
            let cause = cause_id(&fact);
            let partition = partition_for(org.as_str().as_bytes(), partitions);
            let record = record(org.as_str(), cause, &Facts::Alerts(org, vec![fact]), epoch);
            by_partition.entry(partition).or_default().push(record);
        }
        for (partition, records) in by_partition {
            self.append(Topic::Alerts, partition, records).await?;
        }
        Ok(())
    }

    /// Appends what was computed, if it is still its turn, and waits until that is folded.
    async fn append(
        &self,
        topic: Topic,
        partition: u16,
        records: Vec<NewRecord>,
    ) -> Result<(), ApiError> {
        if records.is_empty() {
            return Ok(());
        }
        let chosen = *self.chosen.borrow();
        if !self.candidate.may_write(chosen, &self.lanes()) {
            let what = "another process evaluates now";
            return Err(ApiError::new(Code::Unavailable, LOST, what));
        }
        let mut cut = Cut::default();
        self.append_to(topic, partition, records, &mut cut).await?;
        self.wait_for_fold(&cut).await
    }

    /// Appends, and adds to the cut what that was.
    async fn append_to(
        &self,
        topic: Topic,
        partition: u16,
        records: Vec<NewRecord>,
        cut: &mut Cut,
    ) -> Result<(), ApiError> {
        let appended = self
            .deps
            .log
            .append(topic, partition, records)
            .instrument(step!("append", qipp.topic = topic.name()))
            .await
            .map_err(|error| log_error(&error))?;
        for done in appended {
            cut.advance_past(lane_of(topic, partition), done.position.offset);
        }
        Ok(())
    }

    async fn wait_for_fold(&self, cut: &Cut) -> Result<(), ApiError> {
        self.deps
            .follower
            .wait_for(cut)
            .instrument(step!("wait_for_fold"))
            .await
            .map_err(|error| wait_error(&error))
    }
}

/// Says that the evaluator has ended, also when it panicked.
struct Ending(channel::Sender<EvaluatorStanding>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.send_modify(|standing| standing.ended = true);
    }
}

impl Rest {
    /// There is nothing to rest from.
    fn new() -> Self {
        let now = Instant::now();
        Self {
            last_return: now,
            until: now,
            flooded: now,
        }
    }
}

impl Queues {
    /// The next of those that returned something. In turn, so that nobody waits for ever while others keep sending.
    fn next_returned(&mut self) -> Vec<OrgCode> {
        let after = self.turn.map_or(Bound::Unbounded, Bound::Excluded);
        let later = self.returned.range((after, Bound::Unbounded));
        let some: Vec<OrgCode> = later.take(ORGANISATIONS_PER_PIECE).copied().collect();
        self.turn = some.last().copied();
        match some.is_empty() {
            true => first(&self.returned, ORGANISATIONS_PER_PIECE),
            false => some,
        }
    }

    /// After a failure: what the pass had not come to is to be done, and what it had moved is not known any more.
    fn begin_again(&mut self) {
        let Some(pass) = self.pass.take() else {
            return;
        };
        let month = pass.month.map(|month| month.asked_about());
        for (period, groups) in pass.months.into_iter().chain(month) {
            self.values.entry(period).or_default().extend(groups);
        }
        self.everything = true;
    }
}

fn first(organisations: &BTreeSet<OrgCode>, count: usize) -> Vec<OrgCode> {
    organisations.iter().take(count).copied().collect()
}

fn remove(organisations: &mut BTreeSet<OrgCode>, done: &[OrgCode]) {
    for org in done {
        organisations.remove(org);
    }
}

/// The returns of an organisation that are new.
#[derive(Debug)]
struct Touched {
    next: u64,
    groups: BTreeSet<(Period, Group)>,
}

fn touched(kind: Slug, ledger: &Ledger, seen: u64) -> Touched {
    let mut next = seen;
    let mut groups = BTreeSet::new();
    for ((_, period), history) in ledger.histories() {
        let new: Vec<_> = history
            .revisions()
            .iter()
            .filter(|revision| revision.stamp.offset >= seen)
            .collect();
        let Some(last) = new.last() else { continue };
        next = next.max(last.stamp.offset + 1);
        // A marker that an earlier revision had and the new one has not moves the national value too.
        let first = last
            .number
            .saturating_sub(u32::try_from(new.len()).unwrap_or(u32::MAX));
        let changed = history
            .revisions()
            .iter()
            .filter(|revision| revision.number >= first);
        groups.extend(
            changed
                .flat_map(|revision| national::markers(&revision.content))
                .map(|marker| (period, Group { marker, kind })),
        );
    }
    Touched { next, groups }
}

fn evaluated(
    nation: &Nation,
    cut: &Cut,
    organisations: &[OrgCode],
    today: Date,
) -> Vec<(OrgCode, AlertFact)> {
    let moment = Moment::of_all(nation, cut.clone(), today);
    let of = |org: &OrgCode| {
        let facts = changes(&moment, nation, *org).into_iter();
        facts.map(|fact| (*org, fact)).collect::<Vec<_>>()
    };
    organisations.iter().flat_map(of).collect()
}

fn record(key: &str, cause_id: String, body: &Facts, writer_epoch: u64) -> NewRecord {
    let meta = Meta {
        cause_id,
        principal: WRITER.to_owned(),
        request_id: String::new(),
        writer_epoch,
    };
    NewRecord {
        key: key.as_bytes().to_vec().into(),
        payload: facts::encode(body, meta),
    }
}
