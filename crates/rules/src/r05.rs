//! R05: savings rising while quality slips, beyond chance over all organisations at once.
//!
//! **Asks** the question of R01 (seeds 001, 002, 004) in the one way that keeps the number of false questions down: every organisation of
//! a kind is held against all others in the same month, and the list is as long as a stated false discovery rate allows (spec of
//! statistics §7). It is no rule of the catalogue `rules.csv`, whose rules look at one organisation at a time.
//!
//! **Info** on the watch list, **amber** on the list of alerts, **red** when it was on that list in the month before, too. The decision
//! is published as a fact ([`qipp_domain::surveillance`]); this rule reads it and puts the figures beside it. It claims no cause.

use qipp_domain::alert::{Direction, Finding, JointEvidence, MarkerEvidence, Severity};
use qipp_domain::surveillance::{Assessment, Tier, Watched};
use qipp_domain::{KnownAt, Period};

use crate::rule_set::Parameter;
use crate::subject::Subject;
use crate::{LooksAt, Rule, suppress, wording};

/// The rule.
pub const RULE: Rule = Rule {
    id: "R05",
    title: "Savings rising while quality slips, beyond chance over all organisations",
    looks_at: LooksAt::Peers,
    parameters: &[ALERT_Q, WATCH_Q, MARKER_Q, BASELINE_MONTHS, RESAMPLES],
    evaluate,
};

/// See its `what`.
pub const ALERT_Q: Parameter = Parameter::new(
    "R05",
    "alert_q",
    0.10,
    (0.001, 0.5),
    "expected share of false entries in the list of alerts of a month (spec of statistics §7, step 9: 0.10)",
);
/// See its `what`.
pub const WATCH_Q: Parameter = Parameter::new(
    "R05",
    "watch_q",
    0.20,
    (0.001, 0.5),
    "expected share of false entries in the watch list, alerts included (spec of statistics §7, step 9: 0.20)",
);
/// See its `what`.
pub const MARKER_Q: Parameter = Parameter::new(
    "R05",
    "marker_q",
    0.10,
    (0.001, 0.5),
    "expected share of false ones among the markers named for an organisation (spec of statistics §7, step 8)",
);
/// See its `what`.
pub const BASELINE_MONTHS: Parameter = Parameter::new(
    "R05",
    "baseline_months",
    24.0,
    (12.0, 60.0),
    "months of an organisation's own frozen baseline (spec of statistics §7, step 3: 24)",
);
/// See its `what`.
pub const RESAMPLES: Parameter = Parameter::new(
    "R05",
    "resamples",
    400.0,
    (99.0, 10_000.0),
    "organisations made by resampling, from which p-values are read; more are finer and take longer",
);

fn evaluate(subject: &Subject<'_>, period: Period) -> Option<Finding> {
    let context = &subject.context;
    let kind = context.reference.organisation(subject.org)?.kind;
    let decided = context
        .nation
        .assessments()
        .known(kind, period, context.known_at)?;
    let entry = decided.of(subject.org)?;
    let joint = joint(decided, entry);
    let savings = subject.savings.evidence(context.rules, period);
    let mut notes = Vec::new();
    let markers = markers(subject, entry, period, &mut notes);
    if markers.is_empty() {
        notes.push(format!(
            "no marker of {} stands out by itself: together they do",
            entry.domain.name()
        ));
    }
    let (summary, question) = words(entry, &joint, &markers, period);
    let mut evidence = subject.evidence(Some(savings), markers, Vec::new(), notes);
    evidence.simulated |= decided.simulated;
    evidence.joint = Some(joint);
    Some(Finding {
        rule: RULE.id.to_owned(),
        org: subject.org,
        period,
        severity: match entry.tier {
            Tier::Watch => Severity::Info,
            Tier::Alert => Severity::Amber,
            Tier::Confirmed => Severity::Red,
        },
        summary,
        question,
        asked: crate::r01::asked(),
        suppressed_because: suppress::organisation(subject, period),
        evidence,
    })
}

#[allow(clippy::cast_possible_truncation, reason = "organisations of a nation")]
fn joint(decided: &Assessment, entry: &Watched) -> JointEvidence {
    let (listed, expected_false) = match entry.tier {
        Tier::Watch => (decided.watched.len(), decided.expected_false_watched),
        Tier::Alert | Tier::Confirmed => (decided.listed(), decided.expected_false),
    };
    JointEvidence {
        peer_group: decided.peer_group,
        entry: entry.clone(),
        assessed: decided.assessed,
        listed: listed as u32,
        expected_false,
        decided_at: decided.cut.clone(),
    }
}

/// The figures of the markers that are named, as far as this month can be held against a baseline by itself.
fn markers(
    subject: &Subject<'_>,
    entry: &Watched,
    period: Period,
    notes: &mut Vec<String>,
) -> Vec<MarkerEvidence> {
    let mut all = Vec::new();
    for marker in &entry.markers {
        let outcome = subject.slip(*marker, period);
        match outcome.reading() {
            Some(reading) => {
                let linked = subject.linked_schemes(*marker, period);
                all.push(reading.evidence(Direction::Slipping, linked));
            }
            None => notes.push(format!(
                "{marker} slipped since {}, and has no figure for {period} to be shown",
                entry.since
            )),
        }
    }
    all
}

fn words(
    entry: &Watched,
    joint: &JointEvidence,
    markers: &[MarkerEvidence],
    period: Period,
) -> (String, String) {
    let domain = entry.domain.name();
    let names: Vec<String> = markers.iter().map(|held| held.marker.to_string()).collect();
    let which = match names.len() {
        0 => format!("markers of {domain}, taken together, have"),
        1 => format!("{} has", names[0]),
        _ => format!("{} have", wording::list(&names)),
    };
    let seen = format!(
        "Savings have been higher than the organisation's own baseline and {which} been worse, beyond peers; {domain} stands out most, \
         since about {}",
        entry.since
    );
    let list = match entry.tier {
        Tier::Watch => "watch list",
        Tier::Alert | Tier::Confirmed => "list of alerts",
    };
    let odds = format!(
        "Entries on the {list} of {period}: {}, of which about {:.1} are expected to be there by chance",
        joint.listed, joint.expected_false
    );
    let summary = format!("{seen}: a pattern worth a conversation. {odds}.");
    let question = format!(
        "{seen}. What is behind the savings, and what behind the markers? Which schemes touch these services, what did their QIA \
         predict, and has a trigger been tripped? If neither has to do with the other, what does each come from?"
    );
    (summary, question)
}

/// The latest month that was decided for the organisation's kind.
pub(crate) fn latest_decided(subject: &Subject<'_>) -> Option<Period> {
    let context = &subject.context;
    let kind = context.reference.organisation(subject.org)?.kind;
    let known: &KnownAt = context.known_at;
    subject.ledger()?;
    Some(context.nation.assessments().latest(kind, known)?.period)
}
