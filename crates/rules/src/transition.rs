//! From what a rule found to what happens to the alert.
//!
//! An alert follows its finding: it is *raised*, *updated* when something that people would act on is different, *suppressed* when
//! a reason keeps it from being asked, *cleared* when a later month no longer shows it, and *withdrawn* when the very month it was
//! last seen in no longer shows it, because a figure was restated.
//!
//! Three cautions:
//!
//! * a later month in which the markers of the alert have no figure, or its savings are not known, clears nothing for three months:
//!   missing is not well. Many markers are published weeks after the first return of a month;
//! * an alert that people have closed is not raised again by the same finding. It takes a marker that it did not have or a higher
//!   severity, or the finding must have gone in between (its end is recorded on the closed alert too);
//! * the facts are a function of the alert book and the finding. After they were applied, the same finding gives none.

use qipp_domain::alert::{
    AlertBook, AlertFact, Condition, Direction, Evidence, Finding, LateReturn, Stage, Standing,
    Transition,
};
use qipp_domain::{Dataset, KnownAt, MarkerCode, Period};
use sha2::{Digest, Sha256};

use crate::rising::Basis;
use crate::slip::{SlipOutcome, WINDOW};
use crate::subject::Subject;
use crate::{Evaluated, LooksAt, Rule};

/// Looking again, at the state that the evaluation saw.
pub trait Recheck {
    /// What the rule finds in a month.
    fn find(&self, rule: &Rule, period: Period) -> Option<Finding>;
    /// Are there figures to say in a month whether an earlier finding still holds?
    fn can_judge(&self, rule: &Rule, earlier: &Finding, period: Period) -> bool;
    /// What an earlier finding rested on, as it is in a month.
    fn evidence(&self, earlier: &Finding, period: Period) -> Evidence;
}

impl Recheck for Subject<'_> {
    fn find(&self, rule: &Rule, period: Period) -> Option<Finding> {
        (rule.evaluate)(self, period)
    }

    fn can_judge(&self, rule: &Rule, earlier: &Finding, period: Period) -> bool {
        let judged = |marker| !matches!(self.slip(marker, period), SlipOutcome::NotJudged(_));
        let markers = earlier
            .evidence
            .markers
            .iter()
            .all(|held| judged(held.marker));
        let known = |basis: &str| {
            [Basis::SameMonthsLastYear, Basis::PlanInFirstYear]
                .iter()
                .any(|b| b.name() == basis)
        };
        let was_known = earlier
            .evidence
            .savings
            .as_ref()
            .is_some_and(|side| known(&side.basis));
        let savings = !was_known
            || self
                .savings
                .look(self.context.rules, period)
                .basis
                .is_known();
        rule.looks_at == LooksAt::Calendar || (markers && savings)
    }

    fn evidence(&self, earlier: &Finding, period: Period) -> Evidence {
        self.evidence_again(earlier, period)
    }
}

/// What happens to the alerts of a rule, given what it found.
///
/// `book` holds the alerts of the organisation and `known` is the moment up to which they are known: [`KnownAt::Latest`] where
/// alerts are decided, for a cut of the returns alone would hide every alert.
#[must_use]
pub fn transitions(
    book: Option<&AlertBook>,
    known: &KnownAt,
    evaluated: &Evaluated,
    again: &impl Recheck,
) -> Vec<AlertFact> {
    let standing = standing_alerts(book, known, evaluated.rule);
    let open = standing
        .iter()
        .find(|(_, standing)| standing.stage != Stage::Closed);
    let Some((id, last)) = open else {
        return match &evaluated.finding {
            None => all_ends(&standing, evaluated, again),
            Some(finding)
                if standing
                    .iter()
                    .any(|(_, closed)| says_nothing_new(closed.finding, finding)) =>
            {
                Vec::new()
            }
            Some(finding) => vec![raise(book, finding)],
        };
    };
    let (period, finding) = not_before(evaluated, last, again);
    if let Some(finding) = finding {
        return follow(id, last, finding).into_iter().collect();
    }
    let gone = Evaluated {
        period,
        finding: None,
        ..evaluated.clone()
    };
    let mut facts = all_ends(&standing, &gone, again);
    // Looking at an earlier month than the alert did: the later one is withdrawn, and the earlier one is a question of its own.
    facts.extend(
        evaluated
            .finding
            .as_ref()
            .map(|finding| raise(book, finding)),
    );
    facts
}

/// Alerts of the rule whose finding holds or is suppressed, closed ones included.
fn standing_alerts<'a>(
    book: Option<&'a AlertBook>,
    known: &KnownAt,
    rule: &Rule,
) -> Vec<(&'a str, Standing<'a>)> {
    book.into_iter()
        .flat_map(AlertBook::iter)
        .filter(|alert| alert.rule == rule.id)
        .filter_map(|alert| Some((alert.id.as_str(), alert.known(known)?)))
        .filter(|(_, standing)| {
            matches!(standing.condition, Condition::Holds | Condition::Suppressed)
        })
        .collect()
}

/// The evaluation, but never of a month before the one that the alert was last seen in.
fn not_before(
    evaluated: &Evaluated,
    standing: &Standing<'_>,
    again: &impl Recheck,
) -> (Period, Option<Finding>) {
    let last_seen = standing.finding.period;
    if evaluated.period < last_seen {
        (last_seen, again.find(evaluated.rule, last_seen))
    } else {
        (evaluated.period, evaluated.finding.clone())
    }
}

fn raise(book: Option<&AlertBook>, finding: &Finding) -> AlertFact {
    AlertFact::Evaluated {
        alert_id: new_id(book, finding),
        transition: opening(finding),
        finding: finding.clone(),
    }
}

fn opening(finding: &Finding) -> Transition {
    if finding.suppressed_because.is_empty() {
        Transition::Raised
    } else {
        Transition::Suppressed
    }
}

/// A finding for an alert that stands.
fn follow(id: &str, standing: &Standing<'_>, finding: Finding) -> Option<AlertFact> {
    let transition = match (standing.condition, opening(&finding)) {
        (Condition::Suppressed, Transition::Raised) => Transition::Raised,
        // A suppressed alert is asked of nobody, so that nobody waits for news of it.
        (Condition::Suppressed, _) => return None,
        (_, Transition::Suppressed) => Transition::Suppressed,
        _ if essence(standing.finding) == essence(&finding) => return None,
        _ => Transition::Updated,
    };
    Some(AlertFact::Evaluated {
        alert_id: id.to_owned(),
        transition,
        finding,
    })
}

fn all_ends(
    standing: &[(&str, Standing<'_>)],
    evaluated: &Evaluated,
    again: &impl Recheck,
) -> Vec<AlertFact> {
    standing
        .iter()
        .filter_map(|(id, standing)| end(id, standing, evaluated, again))
        .collect()
}

/// The end of an alert whose finding is gone; `None` while it cannot be told.
///
/// The fact carries the finding that no longer holds, with the evidence of the month that shows it: its markers (still under the
/// direction in which they had moved) and savings as they are now.
fn end(
    id: &str,
    standing: &Standing<'_>,
    evaluated: &Evaluated,
    again: &impl Recheck,
) -> Option<AlertFact> {
    let rule = evaluated.rule;
    let last_seen = standing.finding.period;
    let gone_there = evaluated.period == last_seen || again.find(rule, last_seen).is_none();
    if evaluated.period < last_seen && !gone_there {
        return None;
    }
    let restated = rule.looks_at != LooksAt::Calendar && gone_there;
    let waiting = evaluated.period.months_since(last_seen) < WINDOW
        && !again.can_judge(rule, standing.finding, evaluated.period);
    let (transition, period) = match (restated, waiting) {
        (true, _) => (Transition::Withdrawn, last_seen),
        (false, true) => return None,
        (false, false) => (Transition::Cleared, evaluated.period.max(last_seen)),
    };
    let finding = Finding {
        period,
        suppressed_because: String::new(),
        evidence: again.evidence(standing.finding, period),
        ..standing.finding.clone()
    };
    Some(AlertFact::Evaluated {
        alert_id: id.to_owned(),
        transition,
        finding,
    })
}

/// What people would act on. A later cut, or one more day of waiting, is not news.
#[derive(PartialEq)]
struct Essence<'a> {
    period: Period,
    severity: qipp_domain::alert::Severity,
    markers: Vec<(MarkerCode, bool)>,
    late: Vec<(Dataset, Period)>,
    asked: &'a [String],
}

fn essence(finding: &Finding) -> Essence<'_> {
    let slips = |direction| direction == Direction::Slipping;
    let late = |held: &LateReturn| (held.dataset, held.period);
    Essence {
        period: finding.period,
        severity: finding.severity,
        markers: finding
            .evidence
            .markers
            .iter()
            .map(|m| (m.marker, slips(m.direction)))
            .collect(),
        late: finding.evidence.late_returns.iter().map(late).collect(),
        asked: &finding.asked,
    }
}

/// Is the finding covered by what people closed: no higher severity, and no marker or late return that was not there?
fn says_nothing_new(closed: &Finding, finding: &Finding) -> bool {
    let (before, now) = (essence(closed), essence(finding));
    now.severity <= before.severity
        && now
            .markers
            .iter()
            .all(|marker| before.markers.contains(marker))
        && now.late.iter().all(|late| before.late.contains(late))
}

/// `R01-RJ1-2012-06`, and `R01-RJ1-2012-06-2` for a second alert that is raised in the same month.
fn new_id(book: Option<&AlertBook>, finding: &Finding) -> String {
    let id = format!("{}-{}-{}", finding.rule, finding.org, finding.period);
    let taken = |id: &String| book.is_some_and(|book| book.get(id).is_some());
    let numbered = |n: u32| {
        if n == 1 {
            id.clone()
        } else {
            format!("{id}-{n}")
        }
    };
    (1..)
        .map(numbered)
        .find(|id| !taken(id))
        .expect("a book has fewer alerts than there are numbers")
}

/// The identifier of a fact, determined by what caused it: alert, transition, month and the whole finding with its cut. Evaluating
/// the same cut again gives the same identifier, so that a repeat is a repeat. An act of a person brings its own.
#[must_use]
pub fn cause_id(fact: &AlertFact) -> String {
    match fact {
        AlertFact::Acted(acted) => acted.act_id.clone(),
        AlertFact::Evaluated {
            alert_id,
            transition,
            finding,
        } => {
            let bytes = postcard::to_stdvec(finding)
                .expect("a finding is plain data and memory is the only sink");
            let digest = Sha256::digest(&bytes);
            let short: String = digest
                .iter()
                .take(8)
                .map(|byte| format!("{byte:02x}"))
                .collect();
            let transition = format!("{transition:?}").to_lowercase();
            format!("{alert_id}/{transition}/{}/{short}", finding.period)
        }
    }
}
