//! The evaluator: an idempotent reconciler between what the log says and which alerts there are.
//!
//! Each round takes everything that changed since the last one, publishes the national values that differ from those published,
//! evaluates the rules where they could differ, and appends the transitions. Started again at any point it finds what is missing and
//! repeats nothing, because every decision is a function of the folded log. It wakes on changes and when a day begins, never by polling
//! the log.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::civil::Date;
use qipp_api::error::ApiError;
use qipp_api::facts::{self, Meta};
use qipp_domain::alert::AlertFact;
use qipp_domain::benchmark::NationalValue;
use qipp_domain::nation::{Facts, Key, Nation};
use qipp_domain::{Cut, KnownAt, MarkerCode, OrgCode, Period, Slug};
use qipp_eventlog::{NewRecord, Topic, partition_for};
use qipp_projection::lane_of;
use qipp_rules::{Moment, Subject, cause_id, evaluate, transitions};
use qipp_serving::{Deps, log_error, wait_error};
use tokio::sync::watch as channel;

use crate::Config;
use crate::national::{self, Group};

/// Organisations evaluated under one read lock, so that a whole nation's evaluation never keeps the fold waiting for long.
const ORGANISATIONS_PER_VIEW: usize = 16;

/// How often the evaluator looks whether a new day has begun.
const DAY_CHECK: Duration = Duration::from_secs(30);

/// How long the evaluator waits before it tries again after the log refused.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(5);

/// Name under which evaluations stand in the log.
const WRITER: &str = "alerts-evaluator";

/// The evaluator. Run it beside the service.
#[derive(Debug)]
pub struct Evaluator {
    config: Config,
    deps: Deps,
    evaluated: channel::Sender<Cut>,
    standing: channel::Sender<EvaluatorStanding>,
    /// Per organisation the offset up to which its returns have been looked at.
    seen: BTreeMap<OrgCode, u64>,
    /// The day of the last whole evaluation.
    day: Option<Date>,
    /// What changed and is not evaluated yet; kept over a failure.
    pending: Pending,
}

/// How the evaluator is doing, for those who operate it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EvaluatorStanding {
    /// Rounds that were completed.
    pub rounds: u64,
    /// Why the last round stopped half-way; it is taken up again until it goes through.
    pub failing: Option<String>,
    /// It runs no more. In order only when the house closes.
    pub ended: bool,
}

#[derive(Debug, Default)]
struct Pending {
    organisations: BTreeSet<OrgCode>,
    everything: bool,
}

impl Evaluator {
    pub(crate) fn new(config: Config, deps: Deps) -> (Self, channel::Receiver<Cut>) {
        let (evaluated, receiver) = channel::channel(Cut::default());
        let pending = Pending {
            everything: true,
            ..Pending::default()
        };
        (
            Self {
                config,
                deps,
                evaluated,
                standing: channel::Sender::default(),
                seen: BTreeMap::new(),
                day: None,
                pending,
            },
            receiver,
        )
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
        let mut changes = self.deps.follower.changes();
        let mut upto = changes.since().clone();
        let mut day_check = tokio::time::interval(DAY_CHECK);
        loop {
            if let Err(error) = self.round(upto.clone()).await {
                tracing::error!(reason = %error.reason, error = %error.message, "evaluation stopped half-way; it will be taken up again");
                let failing = Some(format!("{}: {}", error.reason, error.message));
                self.standing
                    .send_modify(|standing| standing.failing = failing);
                tokio::select! {
                    () = shutdown.cancelled() => return,
                    () = tokio::time::sleep(PAUSE_AFTER_FAILURE) => continue,
                }
            }
            self.standing.send_modify(|standing| {
                standing.rounds += 1;
                standing.failing = None;
            });
            // Until something changes, or a day begins.
            loop {
                tokio::select! {
                    () = shutdown.cancelled() => return,
                    next = changes.next() => {
                        let Some((keys, cut)) = next else { return };
                        self.note(&keys);
                        upto = cut;
                        break;
                    }
                    _ = day_check.tick() => {
                        if self.day != Some(self.deps.today()) {
                            break;
                        }
                    }
                }
            }
        }
    }

    /// What the evaluator writes itself (national values, alerts) is no reason to evaluate again.
    fn note(&mut self, keys: &BTreeSet<Key>) {
        for key in keys {
            match key {
                Key::Ledger(org) => {
                    self.pending.organisations.insert(*org);
                }
                Key::Reference => self.pending.everything = true,
                Key::Benchmarks(_) | Key::Alerts(_) => {}
            }
        }
    }

    async fn round(&mut self, upto: Cut) -> Result<(), ApiError> {
        let today = self.deps.today();
        if self.day != Some(today) {
            self.pending.everything = true;
        }
        let touched = self.touched();
        let moved = self.publish(&touched).await?;
        let affected = self.affected(&moved);
        self.evaluate(affected, today).await?;
        self.mark_seen(&touched);
        self.day = Some(today);
        self.pending = Pending::default();
        self.evaluated.send_replace(upto);
        Ok(())
    }

    /// The returns that are new since they were last looked at, by organisation, and the offset up to which they are looked at now.
    fn touched(&self) -> Vec<Touched> {
        let view = self.deps.follower.view();
        let all: Vec<OrgCode> = match self.pending.everything {
            true => view.ledgers().map(|(org, _)| org).collect(),
            false => self.pending.organisations.iter().copied().collect(),
        };
        let reference = view.reference(&KnownAt::Latest);
        all.into_iter()
            .filter_map(|org| {
                let kind = reference.organisation(org)?.kind;
                Some(touched(
                    org,
                    kind,
                    view.ledger(org)?,
                    self.seen.get(&org).copied().unwrap_or(0),
                ))
            })
            .collect()
    }

    fn mark_seen(&mut self, touched: &[Touched]) {
        for organisation in touched {
            self.seen.insert(organisation.org, organisation.next);
        }
    }

    /// Publishes the national values that differ from those published, month by month: a month's value counts the organisations that slip
    /// on it, and these are held against the values of the months before. Says for which kinds of organisations something moved.
    async fn publish(&self, touched: &[Touched]) -> Result<BTreeSet<Slug>, ApiError> {
        let mut moved = BTreeSet::new();
        for (period, groups) in national::by_period(
            touched.iter().flat_map(|t| t.groups.iter().copied()),
            &self.deps,
        ) {
            let values = self.differing(period, groups).await?;
            moved.extend(values.iter().map(|value| value.peer_group));
            self.append_values(values).await?;
        }
        Ok(moved)
    }

    async fn differing(
        &self,
        period: Period,
        groups: Vec<Group>,
    ) -> Result<Vec<NationalValue>, ApiError> {
        let (deps, quorum) = (self.deps.clone(), self.config.quorum);
        blocking(move || {
            let view = deps.follower.view();
            national::differing(&view, view.cut(), deps.today(), period, &groups, quorum)
        })
        .await
    }

    /// One record a marker: the key of the topic.
    async fn append_values(&self, values: Vec<NationalValue>) -> Result<(), ApiError> {
        let mut by_marker: BTreeMap<MarkerCode, Vec<NationalValue>> = BTreeMap::new();
        for value in values {
            by_marker.entry(value.marker).or_default().push(value);
        }
        let records = by_marker.into_iter().map(|(marker, values)| {
            let cause = values
                .first()
                .map(|v| format!("{marker}/{}/{:?}", v.period, v.cut))
                .unwrap_or_default();
            record(marker.as_str(), cause, &Facts::Benchmarks(values))
        });
        self.append(Topic::Benchmarks, 0, records.collect()).await
    }

    /// The organisations whose findings could be others now.
    fn affected(&self, moved: &BTreeSet<Slug>) -> Vec<OrgCode> {
        let view = self.deps.follower.view();
        let reference = view.reference(&KnownAt::Latest);
        let peers = |org: OrgCode| {
            reference
                .organisation(org)
                .is_some_and(|o| moved.contains(&o.kind))
        };
        let with_returns = view.ledgers().map(|(org, _)| org);
        let wanted = with_returns.filter(|org| {
            self.pending.everything || self.pending.organisations.contains(org) || peers(*org)
        });
        let mut affected: BTreeSet<OrgCode> = wanted.collect();
        if self.pending.everything {
            // Who has never returned anything can still owe something.
            affected.extend(reference.obligations().map(|obligation| obligation.org));
        }
        affected.into_iter().collect()
    }

    async fn evaluate(&self, affected: Vec<OrgCode>, today: Date) -> Result<(), ApiError> {
        for some in affected.chunks(ORGANISATIONS_PER_VIEW) {
            let (deps, some) = (self.deps.clone(), some.to_vec());
            let facts = blocking(move || {
                let view = deps.follower.view();
                evaluated(&view, view.cut(), &some, today)
            })
            .await?;
            self.append_alerts(facts).await?;
        }
        Ok(())
    }

    /// One record a fact, so that a watcher can go on after any of them.
    async fn append_alerts(&self, facts: Vec<(OrgCode, AlertFact)>) -> Result<(), ApiError> {
        let partitions = self.deps.log.layout().partitions(Topic::Alerts);
        let mut by_partition: BTreeMap<u16, Vec<NewRecord>> = BTreeMap::new();
        for (org, fact) in facts {
            let cause = cause_id(&fact);
            let partition = partition_for(org.as_str().as_bytes(), partitions);
            let record = record(org.as_str(), cause, &Facts::Alerts(org, vec![fact]));
            by_partition.entry(partition).or_default().push(record);
        }
        for (partition, records) in by_partition {
            self.append(Topic::Alerts, partition, records).await?;
        }
        Ok(())
    }

    async fn append(
        &self,
        topic: Topic,
        partition: u16,
        records: Vec<NewRecord>,
    ) -> Result<(), ApiError> {
        if records.is_empty() {
            return Ok(());
        }
        let appended = self
            .deps
            .log
            .append(topic, partition, records)
            .await
            .map_err(|error| log_error(&error))?;
        let mut cut = Cut::default();
        for done in appended {
            cut.advance_past(lane_of(topic, partition), done.position.offset);
        }
        self.deps
            .follower
            .wait_for(&cut)
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

/// The returns of an organisation that are new.
#[derive(Debug)]
pub(crate) struct Touched {
    org: OrgCode,
    next: u64,
    groups: Vec<(Period, Group)>,
}

fn touched(org: OrgCode, kind: Slug, ledger: &qipp_domain::nation::Ledger, seen: u64) -> Touched {
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
    Touched {
        org,
        next,
        groups: groups.into_iter().collect(),
    }
}

fn evaluated(
    nation: &Nation,
    cut: &Cut,
    organisations: &[OrgCode],
    today: Date,
) -> Vec<(OrgCode, AlertFact)> {
    let moment = Moment::at(nation, cut.clone(), today);
    let mut facts = Vec::new();
    for org in organisations {
        let subject = Subject::new(moment.context(nation), *org);
        for outcome in evaluate(&subject) {
            let changes = transitions(nation.alerts(*org), &KnownAt::Latest, &outcome, &subject);
            facts.extend(changes.into_iter().map(|fact| (*org, fact)));
        }
    }
    facts
}

fn record(key: &str, cause_id: String, body: &Facts) -> NewRecord {
    let meta = Meta {
        cause_id,
        principal: WRITER.to_owned(),
        request_id: String::new(),
        writer_epoch: 0,
    };
    NewRecord {
        key: key.as_bytes().to_vec().into(),
        payload: facts::encode(body, meta),
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ApiError> {
    use qipp_api::error::Code;
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| ApiError::new(Code::Internal, "EVALUATION_FAILED", error.to_string()))
}
