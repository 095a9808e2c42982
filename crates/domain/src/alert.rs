//! Alerts: questions with evidence, and their life.
//!
//! An alert has two sides that move apart from each other. Its *condition* says whether what was found still holds; evaluations move
//! it. Its *stage* says where the conversation stands; people move it.

use std::collections::BTreeMap;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::marker::{Polarity, QualityDomain};
use crate::returns::{Measured, Status};
use crate::surveillance::Watched;
use crate::{Cut, Dataset, KnownAt, MarkerCode, OrgCode, Pence, Period, SchemeId, Slug, Stamp};

/// How urgent a question is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Severity {
    /// Worth knowing; nobody is asked.
    Info,
    /// A question.
    Amber,
    /// A pressing question.
    Red,
}

/// What an evaluation did to an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Transition {
    /// Opened.
    Raised,
    /// Still holds; month, severity or markers are others.
    Updated,
    /// A later month is in and it no longer holds.
    Cleared,
    /// It no longer holds for the month that it was last seen in: a figure was restated.
    Withdrawn,
    /// Found, and a stated reason keeps it from being asked.
    Suppressed,
}

/// Whether what was found still holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[allow(missing_docs, reason = "named as the transitions that lead there")]
pub enum Condition {
    Holds,
    Cleared,
    Withdrawn,
    Suppressed,
}

/// Where the conversation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[allow(missing_docs, reason = "named as the acts that lead there")]
pub enum Stage {
    Raised,
    Acknowledged,
    Asked,
    Explained,
    Confirmed,
    Refuted,
    Closed,
}

/// What a person can do with an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Act {
    /// Somebody has it in hand.
    Acknowledge,
    /// The question is put.
    Ask,
    /// The organisation answers.
    Answer,
    /// Quality suffers.
    Confirm,
    /// It does not.
    Refute,
    /// The conversation ends.
    Close,
}

impl Act {
    /// All acts.
    pub const ALL: [Self; 6] = [
        Self::Acknowledge,
        Self::Ask,
        Self::Answer,
        Self::Confirm,
        Self::Refute,
        Self::Close,
    ];

    /// The name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Acknowledge => "acknowledge",
            Self::Ask => "ask",
            Self::Answer => "answer",
            Self::Confirm => "confirm",
            Self::Refute => "refute",
            Self::Close => "close",
        }
    }
}

/// What a rule found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// R01, R02, …
    pub rule: String,
    /// Whose.
    pub org: OrgCode,
    /// The month that was looked at.
    pub period: Period,
    /// How urgent.
    pub severity: Severity,
    /// What was seen, in a sentence.
    pub summary: String,
    /// What is asked.
    pub question: String,
    /// Who is asked, by role.
    pub asked: Vec<String>,
    /// Why it is not asked; empty: it is.
    pub suppressed_because: String,
    /// Enough to recompute it.
    pub evidence: Evidence,
}

/// The cut, the rule set, the values and the limits that a rule saw.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// State of the log.
    pub cut: Cut,
    /// Rules in force.
    pub rule_set_version: String,
    /// The day that counted as today.
    pub as_of: Date,
    /// The savings side.
    pub savings: Option<SavingsEvidence>,
    /// The markers.
    pub markers: Vec<MarkerEvidence>,
    /// Returns that did not come in time.
    pub late_returns: Vec<LateReturn>,
    /// Any figure is simulated.
    pub simulated: bool,
    /// What was left out and why.
    pub notes: Vec<String>,
    /// The joint decision that the finding rests on, if it rests on one.
    pub joint: Option<JointEvidence>,
}

/// What a joint decision over all organisations of a kind says of one of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JointEvidence {
    /// Who was held against each other.
    pub peer_group: Slug,
    /// What the list says of the organisation.
    pub entry: Watched,
    /// Organisations that could be judged.
    pub assessed: u32,
    /// Of these, on the same list: for the watch list all that are on it, otherwise those of tiers alert and confirmed.
    pub listed: u32,
    /// Expected number of false entries on that list.
    pub expected_false: f64,
    /// The cut that the decision was made at.
    pub decided_at: Cut,
}

/// The savings side of a finding.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavingsEvidence {
    /// Delivered in the last three months.
    pub last_three_months: Option<Pence>,
    /// Delivered in the same months a year ago.
    pub same_months_last_year: Option<Pence>,
    /// Planned for the last three months.
    pub planned_three_months: Option<Pence>,
    /// Of the last three months, pay.
    pub pay_three_months: Option<Pence>,
    /// Full-year effect of the schemes that are live.
    pub in_force: Pence,
    /// The same three months ago.
    pub in_force_three_months_ago: Pence,
    /// Which comparison was used.
    pub basis: String,
    /// Months of the window in which savings were rising.
    pub rising_periods: Vec<Period>,
    /// Any figure is simulated.
    pub simulated: bool,
}

/// Which way a marker moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "plain words")]
pub enum Direction {
    Slipping,
    Improving,
}

/// One marker of a finding.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MarkerEvidence {
    /// The marker.
    pub marker: MarkerCode,
    /// Its domain.
    pub domain: QualityDomain,
    /// Version of its definition in the month looked at.
    pub definition_version: u32,
    /// Which way is better.
    pub polarity: Polarity,
    /// Which way it moved.
    pub direction: Direction,
    /// Frozen baseline of the residual.
    pub baseline_mean: f64,
    /// max(mean moving range / 1.128, standard deviation).
    pub baseline_sigma: f64,
    /// Points of the baseline.
    pub baseline_points: u32,
    /// First month of the baseline.
    pub baseline_from: Period,
    /// Last month of the baseline.
    pub baseline_until: Period,
    /// Fewer points than a full baseline.
    pub trial: bool,
    /// `logit`, `log` or `identity`.
    pub scale: String,
    /// The last three months, oldest first.
    pub points: Vec<MarkerPoint>,
    /// Schemes that declared the marker in advance.
    pub linked_schemes: Vec<SchemeId>,
    /// Any figure is simulated.
    pub simulated: bool,
}

/// One month of a marker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MarkerPoint {
    /// The month.
    pub period: Period,
    /// Own figure.
    pub own: Measured,
    /// National figure of the same month.
    pub national: Measured,
    /// Own less national on the scale.
    pub residual: f64,
    /// Standardised; plus is adverse.
    pub adverse_z: f64,
    /// Revision that the own figure is from.
    pub revision: u32,
    /// How firm it is.
    pub status: Status,
}

/// A return that was owed and did not arrive in time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LateReturn {
    /// Which.
    pub dataset: Dataset,
    /// About which month.
    pub period: Period,
    /// Last day on which it would have been in time.
    pub due: Date,
    /// Working days from the due day to the day that counted as today.
    pub working_days_late: u32,
}

/// A fact about an alert.
#[derive(Clone, Debug, PartialEq)]
#[allow(
    clippy::large_enum_variant,
    reason = "most facts are evaluations, and each is moved once"
)]
pub enum AlertFact {
    /// An evaluation changed it.
    Evaluated {
        /// Which alert.
        alert_id: String,
        /// How.
        transition: Transition,
        /// What was found (or, when cleared or withdrawn, the finding that no longer holds, with the evidence that it does not).
        finding: Finding,
    },
    /// A person did something.
    Acted(Acted),
}

/// What a person did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acted {
    /// Which alert.
    pub alert_id: String,
    /// Key of the act; a repeat is ignored, and another act under it is refused.
    pub act_id: String,
    /// What.
    pub act: Act,
    /// Who.
    pub who: String,
    /// Why.
    pub why: String,
}

/// An entry of an alert's history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlertEvent {
    /// When it became known.
    pub stamp: Stamp,
    /// What happened.
    pub kind: AlertEventKind,
}

/// What happened to an alert.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(
    clippy::large_enum_variant,
    reason = "most events are evaluations, and each is moved once"
)]
pub enum AlertEventKind {
    /// An evaluation changed it.
    Evaluated(Transition, Finding),
    /// A person did something.
    Acted(Acted),
}

/// An alert with its history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// Identifier, made of rule, organisation and the month in which it was raised.
    pub id: String,
    /// Whose.
    pub org: OrgCode,
    /// Which rule.
    pub rule: String,
    /// Effective events, oldest first; never empty.
    pub history: Vec<AlertEvent>,
}

/// Where an alert stands at a moment of knowledge.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing<'a> {
    /// Machine side.
    pub condition: Condition,
    /// People's side.
    pub stage: Stage,
    /// `Confirm` or `Refute`, once decided.
    pub outcome: Option<Act>,
    /// The latest finding.
    pub finding: &'a Finding,
    /// When it was raised.
    pub raised: Stamp,
    /// The month in which it was raised.
    pub raised_period: Period,
    /// When it last changed.
    pub changed: Stamp,
}

impl Standing<'_> {
    /// Somebody still has to look at it.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.condition == Condition::Holds && self.stage != Stage::Closed
    }

    /// Acts that are legal now.
    #[must_use]
    pub fn legal_acts(&self) -> Vec<Act> {
        Act::ALL
            .into_iter()
            .filter(|act| self.after(*act).is_some())
            .collect()
    }

    /// The stage that an act leads to, or `None` when it is not legal.
    ///
    /// Questions go round: an answer may be followed by a further question. To close, a conversation needs an outcome, unless the
    /// finding itself no longer holds.
    #[must_use]
    pub fn after(&self, act: Act) -> Option<Stage> {
        use Stage::{Acknowledged, Asked, Closed, Confirmed, Explained, Raised, Refuted};
        let gone = self.condition != Condition::Holds;
        match (self.stage, act) {
            (Raised, Act::Acknowledge) => Some(Acknowledged),
            (Raised | Acknowledged | Explained, Act::Ask) => Some(Asked),
            (Asked, Act::Answer) => Some(Explained),
            (Explained, Act::Confirm) => Some(Confirmed),
            (Explained, Act::Refute) => Some(Refuted),
            (Confirmed | Refuted, Act::Close) => Some(Closed),
            (Raised | Acknowledged | Asked | Explained, Act::Close) if gone => Some(Closed),
            _ => None,
        }
    }
}

impl Alert {
    /// The standing at a moment of knowledge; `None` before it was raised.
    #[must_use]
    pub fn known(&self, at: &KnownAt) -> Option<Standing<'_>> {
        let known = self.history.partition_point(|event| at.covers(event.stamp));
        Self::standing(&self.history[..known])
    }

    /// The standing after the first `events` entries of the history.
    #[must_use]
    pub fn after_events(&self, events: usize) -> Option<Standing<'_>> {
        Self::standing(self.history.get(..events)?)
    }

    fn standing(history: &[AlertEvent]) -> Option<Standing<'_>> {
        let first = history.first()?;
        let AlertEventKind::Evaluated(_, first_finding) = &first.kind else {
            return None;
        };
        let mut standing = Standing {
            condition: Condition::Holds,
            stage: Stage::Raised,
            outcome: None,
            finding: first_finding,
            raised: first.stamp,
            raised_period: first_finding.period,
            changed: first.stamp,
        };
        for event in history {
            standing.changed = event.stamp;
            match &event.kind {
                AlertEventKind::Evaluated(transition, finding) => {
                    standing.finding = finding;
                    standing.condition = match transition {
                        Transition::Raised | Transition::Updated => Condition::Holds,
                        Transition::Cleared => Condition::Cleared,
                        Transition::Withdrawn => Condition::Withdrawn,
                        Transition::Suppressed => Condition::Suppressed,
                    };
                }
                AlertEventKind::Acted(acted) => {
                    standing.stage = standing.after(acted.act).unwrap_or(standing.stage);
                    if matches!(acted.act, Act::Confirm | Act::Refute) {
                        standing.outcome = Some(acted.act);
                    }
                }
            }
        }
        Some(standing)
    }
}

/// What became of an act.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ActDecision {
    /// It counts.
    Accepted,
    /// It was done before under the same key.
    Repeat,
    /// The key stands for another act: another move, other words, or of another alert. It is that one.
    KeyReused(Acted),
    /// The stage does not allow it; these acts are allowed.
    Illegal(Vec<Act>),
    /// There is no such alert.
    UnknownAlert,
}

/// What people did, oldest first.
fn acts(history: &[AlertEvent]) -> impl Iterator<Item = &Acted> {
    history.iter().filter_map(|event| match &event.kind {
        AlertEventKind::Acted(acted) => Some(acted),
        AlertEventKind::Evaluated(..) => None,
    })
}

/// All alerts of one organisation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AlertBook {
    alerts: BTreeMap<String, Alert>,
}

impl AlertBook {
    /// An alert by its identifier.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Alert> {
        self.alerts.get(id)
    }

    /// All alerts by identifier.
    pub fn iter(&self) -> impl Iterator<Item = &Alert> {
        self.alerts.values()
    }

    /// The alert of a rule that is open at a moment of knowledge, or suppressed: a new finding of that rule belongs to it.
    #[must_use]
    pub fn current(&self, rule: &str, at: &KnownAt) -> Option<(&Alert, Standing<'_>)> {
        self.alerts
            .values()
            .filter(|alert| alert.rule == rule)
            .filter_map(|alert| alert.known(at).map(|standing| (alert, standing)))
            .find(|(_, s)| {
                matches!(s.condition, Condition::Holds | Condition::Suppressed)
                    && s.stage != Stage::Closed
            })
    }

    /// What would become of an act, given the effective events before an offset of this organisation's lane.
    #[must_use]
    pub fn decide_before(&self, offset: u64, acted: &Acted) -> ActDecision {
        let Some(alert) = self.alerts.get(&acted.alert_id) else {
            return ActDecision::UnknownAlert;
        };
        let held = alert
            .history
            .partition_point(|event| event.stamp.offset < offset);
        let Some(standing) = alert.after_events(held) else {
            return ActDecision::UnknownAlert;
        };
        // Without a key each act is one of its own.
        let earlier = acts(&alert.history[..held])
            .find(|earlier| !acted.act_id.is_empty() && earlier.act_id == acted.act_id);
        if let Some(earlier) = earlier {
            return match (earlier.act, &earlier.why) == (acted.act, &acted.why) {
                true => ActDecision::Repeat,
                false => ActDecision::KeyReused(earlier.clone()),
            };
        }
        match standing.after(acted.act) {
            Some(_) => ActDecision::Accepted,
            None => ActDecision::Illegal(standing.legal_acts()),
        }
    }

    /// The act on another alert of this book for which its author has used the same key. Without a key there is none.
    #[must_use]
    pub fn same_key_elsewhere(&self, acted: &Acted) -> Option<&Acted> {
        let others = self.iter().filter(|alert| alert.id != acted.alert_id);
        others.flat_map(|alert| acts(&alert.history)).find(|held| {
            !acted.act_id.is_empty() && (&held.act_id, &held.who) == (&acted.act_id, &acted.who)
        })
    }

    /// Applies a fact and says whether it had an effect. Facts come in the order of their lane.
    ///
    /// An evaluation takes effect when it says something that the history does not say already: a raise of an alert that holds, a
    /// clear of one that does not, or the same finding again are ignored. So is a fact that was applied before, and a second one of
    /// the same record about the same alert.
    pub fn apply(&mut self, stamp: Stamp, fact: AlertFact) -> bool {
        match fact {
            AlertFact::Acted(acted) => {
                let seen = |alert: &Alert| {
                    alert
                        .history
                        .last()
                        .is_some_and(|last| last.stamp.offset >= stamp.offset)
                };
                if self.alerts.get(&acted.alert_id).is_some_and(seen) {
                    return false;
                }
                let effective = self.decide_before(stamp.offset, &acted) == ActDecision::Accepted;
                if effective && let Some(alert) = self.alerts.get_mut(&acted.alert_id) {
                    alert.history.push(AlertEvent {
                        stamp,
                        kind: AlertEventKind::Acted(acted),
                    });
                }
                effective
            }
            AlertFact::Evaluated {
                alert_id,
                transition,
                finding,
            } => self.evaluate(stamp, alert_id, transition, finding),
        }
    }

    fn evaluate(
        &mut self,
        stamp: Stamp,
        id: String,
        transition: Transition,
        finding: Finding,
    ) -> bool {
        let opens = matches!(transition, Transition::Raised | Transition::Suppressed);
        let Some(alert) = self.alerts.get_mut(&id) else {
            if opens {
                let (org, rule) = (finding.org, finding.rule.clone());
                let event = AlertEvent {
                    stamp,
                    kind: AlertEventKind::Evaluated(transition, finding),
                };
                self.alerts.insert(
                    id.clone(),
                    Alert {
                        id,
                        org,
                        rule,
                        history: vec![event],
                    },
                );
            }
            return opens;
        };
        let Some(standing) = alert.known(&KnownAt::Latest) else {
            return false;
        };
        let repeat = standing.changed.offset >= stamp.offset;
        let legal = match transition {
            // A suppressed finding becomes a question when the reason falls away, and a withdrawn one when the figure is restated back.
            Transition::Raised => {
                matches!(
                    standing.condition,
                    Condition::Suppressed | Condition::Withdrawn
                )
            }
            Transition::Updated => {
                standing.condition == Condition::Holds && *standing.finding != finding
            }
            Transition::Suppressed => standing.condition == Condition::Holds,
            Transition::Cleared | Transition::Withdrawn => {
                matches!(standing.condition, Condition::Holds | Condition::Suppressed)
            }
        };
        if repeat || !legal {
            return false;
        }
        alert.history.push(AlertEvent {
            stamp,
            kind: AlertEventKind::Evaluated(transition, finding),
        });
        true
    }
}
