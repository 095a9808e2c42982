//! Back-test: the alerts that a rule set would have raised, month by month, on what was known in each month.
//!
//! The log is played again: for every month the facts that were known at its end, then the national values, the joint decisions and
//! the organisations, under one rule set from beginning to end. What happens to alerts is decided as the service decides it, over a book
//! of alerts that begins empty. Nobody acts on these alerts: one stands until its finding is gone.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use jiff::tz::TimeZone;
use qipp_domain::alert::{Act, AlertFact, Severity, Transition};
use qipp_domain::calendar::add_working_days;
use qipp_domain::nation::{Facts, Nation, ReturnFact};
use qipp_domain::reference::{ReferenceFact, RuleSet};
use qipp_domain::returns::{Precondition, Return};
use qipp_domain::scheme::Scheme;
use qipp_domain::{Cut, Dataset, KnownAt, OrgCode, Period, Stamp};

use crate::national::{self, Asked, Group, Month, QUORUM};
use crate::{Moment, changes, r06, surveillance};

/// When a fact counts as known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// When the log received it.
    AsReceived,
    /// As if everybody had been prompt: a return with all its restatements when it was due, everything else from the beginning.
    Prompt,
}

/// So many months after its own a return is late beyond any deadline: it was loaded, not returned.
const LOADED_MONTHS: i32 = 12;

/// The share of first revisions that came more than twelve months after the month that they are about, 0 to 1; `None` without returns.
#[must_use]
#[allow(clippy::cast_precision_loss, reason = "a share needs no more")]
pub fn share_loaded_late(nation: &Nation) -> Option<f64> {
    let (mut all, mut late) = (0_u64, 0_u64);
    for (_, ledger) in nation.ledgers() {
        for ((_, period), history) in ledger.histories() {
            let Some(first) = history.revisions().first() else {
                continue;
            };
            let limit = period
                .plus(LOADED_MONTHS)
                .map(|then| end_of(then.last_day()));
            all += 1;
            late += u64::from(limit.is_some_and(|limit| first.stamp.time_ms > limit));
        }
    }
    (all > 0).then(|| late as f64 / all as f64)
}

/// What the months are looked at with.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// When facts count as known.
    pub known: Known,
    /// Working days after the last deadline of a month (or, without deadlines, after the last day of the month that follows) at whose
    /// end it is looked at.
    pub wait: u32,
    /// The last month that is looked at; later ones of the log are left out.
    pub until: Option<Period>,
}

/// An alert of a back-test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raised {
    /// Its rule.
    pub rule: String,
    /// Whose.
    pub org: OrgCode,
    /// The month that the finding is about.
    pub period: Period,
    /// How urgent, when it was raised.
    pub severity: Severity,
    /// What was seen.
    pub summary: String,
    /// How and in which month it ended: cleared, withdrawn, or suppressed.
    pub ended: Option<(Transition, Period)>,
}

/// The months of the log, each with the day at whose end it is looked at, oldest first.
#[must_use]
pub fn calendar(nation: &Nation, plan: &Plan) -> Vec<(Period, Date)> {
    let reference = nation.reference(&KnownAt::Latest);
    let months = nation.ledgers().flat_map(|(_, ledger)| {
        let months = ledger.histories().map(|((_, period), _)| period);
        months.collect::<Vec<_>>()
    });
    let months: BTreeSet<Period> = months.collect();
    let (Some(first), Some(last)) = (months.first(), months.last()) else {
        return Vec::new();
    };
    let last = plan.until.map_or(*last, |until| until.min(*last));
    let mut latest = first.first_day();
    let day = |period: Period| {
        let due = [Dataset::Savings, Dataset::Quality]
            .into_iter()
            .filter_map(|dataset| reference.deadline(dataset, period))
            .max()
            .unwrap_or_else(|| period.plus(1).unwrap_or(period).last_day());
        // A later month is never looked at before an earlier one.
        latest = latest.max(add_working_days(due, plan.wait));
        (period, latest)
    };
    first.to(last).map(day).collect()
}

/// The last millisecond of a day. In UTC, so that it needs no data on time zones: an hour after midnight in an English summer.
fn end_of(day: Date) -> i64 {
    let end = day.at(23, 59, 59, 999_000_000).to_zoned(TimeZone::UTC);
    end.map_or(i64::MAX, |end| end.timestamp().as_millisecond())
}

/// Plays the log under a rule set (`None`: the built-in parameters), and says which alerts it raised, in order of month, organisation and
/// rule. `looked_at` is told each month when it is done.
#[must_use]
pub fn play(
    nation: &Nation,
    rules: Option<&RuleSet>,
    plan: &Plan,
    mut looked_at: impl FnMut(Period),
) -> Vec<Raised> {
    let calendar = calendar(nation, plan);
    let mut facts = Arriving::of(nation, &calendar, plan.known);
    let mut play = Play::default();
    if let Some(rules) = rules {
        play.append(
            REFERENCE,
            Facts::Reference(vec![ReferenceFact::RuleSet(rules.clone())]),
        );
    }
    for (at, (period, today)) in calendar.into_iter().enumerate() {
        play.take(facts.by_month.remove(&at).unwrap_or_default());
        play.national_values(today);
        play.joint_decisions(today);
        play.organisations(today);
        looked_at(period);
    }
    let mut raised: Vec<Raised> = play.raised;
    raised.sort_by(|a, b| (a.period, a.org, &a.rule).cmp(&(b.period, b.org, &b.rule)));
    raised
}

/// A fact of the log that is played.
enum Arrival<'a> {
    Reference(&'a ReferenceFact),
    Return(OrgCode, Period, &'a qipp_domain::returns::ReturnContent),
    Scheme(&'a Scheme),
}

/// The facts by the month in which they become known, each month's in the order of the log.
struct Arriving<'a> {
    by_month: BTreeMap<usize, Vec<(Stamp, Arrival<'a>)>>,
}

impl<'a> Arriving<'a> {
    fn of(nation: &'a Nation, calendar: &[(Period, Date)], known: Known) -> Self {
        let ends: Vec<i64> = calendar.iter().map(|(_, day)| end_of(*day)).collect();
        let first = calendar.first().map(|(period, _)| *period);
        let received = |stamp: Stamp| ends.partition_point(|end| *end < stamp.time_ms);
        let from_beginning = |stamp: Stamp| match known {
            Known::AsReceived => received(stamp),
            Known::Prompt => 0,
        };
        let due = |period: Period, stamp: Stamp| match (known, first) {
            (Known::Prompt, Some(first)) => {
                usize::try_from(period.months_since(first)).unwrap_or(0)
            }
            _ => received(stamp),
        };
        let mut by_month: BTreeMap<usize, Vec<(Stamp, Arrival<'a>)>> = BTreeMap::new();
        let mut add =
            |month, stamp, arrival| by_month.entry(month).or_default().push((stamp, arrival));
        for (stamp, fact) in nation.reference_history().facts() {
            // One rule set is in force from beginning to end.
            if !matches!(fact, ReferenceFact::RuleSet(_)) {
                add(from_beginning(*stamp), *stamp, Arrival::Reference(fact));
            }
        }
        for (org, ledger) in nation.ledgers() {
            for scheme in ledger.all_schemes() {
                for revision in scheme.revisions() {
                    let stamp = revision.stamp;
                    add(
                        from_beginning(stamp),
                        stamp,
                        Arrival::Scheme(&revision.content),
                    );
                }
            }
            for ((_, period), history) in ledger.histories() {
                for revision in history.revisions() {
                    let stamp = revision.stamp;
                    let arrival = Arrival::Return(org, period, &revision.content);
                    add(due(period, stamp), stamp, arrival);
                }
            }
        }
        for month in by_month.values_mut() {
            month.sort_by_key(|(stamp, _)| (stamp.lane, stamp.offset));
        }
        Self { by_month }
    }
}

const REFERENCE: u32 = 0;
const RETURNS: u32 = 1;
const BENCHMARKS: u32 = 2;
const ALERTS: u32 = 3;

/// The nation as far as it was played.
#[derive(Default)]
struct Play {
    nation: Nation,
    cut: Cut,
    touched: BTreeMap<Period, BTreeSet<Group>>,
    /// By alert the place of its latest raise in `raised`.
    standing: BTreeMap<String, usize>,
    raised: Vec<Raised>,
}

impl Play {
    fn append(&mut self, lane: u32, facts: Facts) {
        let offset = self.cut.next(lane);
        let stamp = Stamp {
            lane,
            offset,
            time_ms: 0,
        };
        self.nation.apply(stamp, "", facts);
        self.cut.advance_past(lane, offset);
    }

    fn take(&mut self, arriving: Vec<(Stamp, Arrival<'_>)>) {
        let mut returns = Vec::new();
        for (_, arrival) in arriving {
            match arrival {
                Arrival::Reference(fact) => {
                    self.append(REFERENCE, Facts::Reference(vec![fact.clone()]));
                }
                Arrival::Scheme(scheme) => {
                    let fact = ReturnFact::Scheme {
                        scheme: scheme.clone(),
                        precondition: Precondition::default(),
                    };
                    self.append(RETURNS, Facts::Returns(vec![fact]));
                }
                Arrival::Return(org, period, content) => returns.push((org, period, content)),
            }
        }
        // What kind an organisation is of was perhaps said after its return.
        for (org, period, content) in returns {
            self.touch(org, period, content);
            let fact = ReturnFact::Return(Return {
                org,
                period,
                content: content.clone(),
                precondition: Precondition::default(),
            });
            self.append(RETURNS, Facts::Returns(vec![fact]));
        }
    }

    /// The national values that a return moves: of what it says, and of what the revision before it said.
    fn touch(
        &mut self,
        org: OrgCode,
        period: Period,
        content: &qipp_domain::returns::ReturnContent,
    ) {
        let reference = self.nation.reference(&KnownAt::Latest);
        let Some(kind) = reference.organisation(org).map(|held| held.kind) else {
            return;
        };
        let before = self.nation.ledger(org).and_then(|ledger| {
            let held = ledger.known(Dataset::Quality, period, &KnownAt::Latest)?;
            Some(national::markers(&held.content))
        });
        let markers = national::markers(content);
        if !markers.is_empty() {
            let all = markers.into_iter().chain(before.unwrap_or_default());
            let groups = all.map(|marker| Group { marker, kind });
            self.touched.entry(period).or_default().extend(groups);
        }
    }

    fn national_values(&mut self, today: Date) {
        let touched = std::mem::take(&mut self.touched);
        let months = national::with_later_months(touched, self.nation.benchmarks());
        for (period, groups) in months {
            let month = Month::begin(&self.nation, &self.cut, today, period, groups, QUORUM);
            let values = match month.ask(usize::MAX) {
                Asked::All(values) => values,
                Asked::More(_) => Vec::new(),
            };
            if !values.is_empty() {
                self.append(BENCHMARKS, Facts::Benchmarks(values));
            }
        }
    }

    fn joint_decisions(&mut self, today: Date) {
        let kinds = {
            let moment = Moment::of_all(&self.nation, self.cut.clone(), today);
            surveillance::kinds(&moment.context(&self.nation))
        };
        for kind in kinds {
            // A kind that can't be judged (no markers, or too many) has no list.
            while let Ok(Some(decided)) =
                surveillance::decide(&self.nation, &self.cut, today, kind, QUORUM)
            {
                self.append(BENCHMARKS, Facts::Assessment(decided.news));
                if !decided.go_on {
                    break;
                }
            }
        }
    }

    fn organisations(&mut self, today: Date) {
        let moment = Moment::of_all(&self.nation, self.cut.clone(), today);
        let reference = self.nation.reference(&KnownAt::Latest);
        let mut orgs: BTreeSet<OrgCode> = self.nation.ledgers().map(|(org, _)| org).collect();
        orgs.extend(reference.obligations().map(|owed| owed.org));
        orgs.extend(r06::nation(&reference));
        let found: Vec<(OrgCode, Vec<AlertFact>)> = orgs
            .into_iter()
            .map(|org| (org, changes(&moment, &self.nation, org)))
            .collect();
        for (org, facts) in found {
            for fact in facts {
                self.note(&fact);
                self.append(ALERTS, Facts::Alerts(org, vec![fact]));
            }
        }
    }

    fn note(&mut self, fact: &AlertFact) {
        let AlertFact::Evaluated {
            alert_id,
            transition,
            finding,
        } = fact
        else {
            return;
        };
        match transition {
            Transition::Raised => {
                self.standing.insert(alert_id.clone(), self.raised.len());
                self.raised.push(Raised {
                    rule: finding.rule.clone(),
                    org: finding.org,
                    period: finding.period,
                    severity: finding.severity,
                    summary: finding.summary.clone(),
                    ended: None,
                });
            }
            Transition::Updated => {}
            Transition::Cleared | Transition::Withdrawn | Transition::Suppressed => {
                if let Some(at) = self.standing.remove(alert_id) {
                    self.raised[at].ended = Some((*transition, finding.period));
                }
            }
        }
    }
}

/// The alerts of a rule that people have decided: confirmed, and refuted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcomes {
    /// Quality suffers.
    pub confirmed: u32,
    /// It does not.
    pub refuted: u32,
}

impl Outcomes {
    /// Confirmed of those that were decided, 0 to 1; `None` when nobody has said.
    #[must_use]
    pub fn precision(&self) -> Option<f64> {
        let decided = self.confirmed + self.refuted;
        (decided > 0).then(|| f64::from(self.confirmed) / f64::from(decided))
    }
}

/// So many months apart a played alert and a real one are the same question.
const SAME_QUESTION_MONTHS: i32 = 2;

/// What people said of these alerts: of each the real alert of its rule and organisation that was raised nearest to it, within two
/// months. A real alert counts once.
#[must_use]
pub fn outcomes<'a>(nation: &Nation, raised: impl IntoIterator<Item = &'a Raised>) -> Outcomes {
    let mut counted: BTreeSet<(OrgCode, &str)> = BTreeSet::new();
    let mut outcomes = Outcomes::default();
    for alert in raised {
        let book = nation.alerts(alert.org).into_iter();
        let decided = book.flat_map(|book| book.iter()).filter_map(|real| {
            let standing = real.known(&KnownAt::Latest)?;
            let apart = standing.raised_period.months_since(alert.period).abs();
            let same = real.rule == alert.rule && apart <= SAME_QUESTION_MONTHS;
            Some((apart, real.id.as_str(), standing.outcome.filter(|_| same)?))
        });
        let Some((_, id, outcome)) = decided.min_by_key(|(apart, _, _)| *apart) else {
            continue;
        };
        if counted.insert((alert.org, id)) {
            outcomes.confirmed += u32::from(outcome == Act::Confirm);
            outcomes.refuted += u32::from(outcome == Act::Refute);
        }
    }
    outcomes
}
