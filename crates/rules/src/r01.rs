//! R01: savings rising while quality slips.
//!
//! **Asks** whether savings are bought with quality. The programme claims that money was delivered with "quality markers stable or
//! improving" (seed 001); this rule tests the claim for one organisation and month. Commissioners should be able to say "we are
//! concerned about the crude way this is having an impact on quality" (seed 004) before the Q is lost (seed 002).
//!
//! **Amber** when at least two trigger markers slip in at least two quality domains, and savings were rising in at least two of the
//! months `m-3..m`. A marker that a live scheme declared in advance counts twice when another domain slips too or when it has
//! slipped for three months; in the latter case it needs no second domain.
//!
//! **Red** when, with savings rising as above, it is amber in the month and in two of the last three months in all, or at least
//! three markers (declared ones counted as above) slip in at least two domains, or a sentinel marker has two events in three months
//! next to a slipping marker.
//!
//! **Info** when it takes markers on a trial baseline (12 to 23 points) to get there.

use qipp_domain::Period;
use qipp_domain::alert::{Finding, Severity};

use crate::rule_set::Parameter;
use crate::subject::Subject;
use crate::tally::Tally;
use crate::{LooksAt, Rule, suppress, wording};

/// The rule.
pub const RULE: Rule = Rule {
    id: "R01",
    title: "Savings rising while quality slips",
    looks_at: LooksAt::Figures,
    parameters: &[
        Z_SINGLE,
        Z_PAIR,
        BASELINE_MONTHS,
        BASELINE_LEAST,
        RISING_FACTOR,
        PLAN_SHARE,
        RISING_MONTHS,
        MARKERS,
        DOMAINS,
        RED_MARKERS,
        RED_MONTHS,
        SENTINEL_EVENTS,
        DENOMINATOR_FLOOR,
        EXPECTED_FLOOR,
        SHOCK_SHARE,
        SHOCK_ORGANISATIONS,
        SUCCESSION_MONTHS,
    ],
    evaluate,
};

/// See its `what`.
pub const Z_SINGLE: Parameter = Parameter::new(
    "R01",
    "z_single",
    3.0,
    (0.5, 20.0),
    "sigmas at which one month is a slip (rules.csv R01: 3)",
);
/// See its `what`.
pub const Z_PAIR: Parameter = Parameter::new(
    "R01",
    "z_pair",
    2.0,
    (0.5, 20.0),
    "sigmas that two of three months have to reach (rules.csv R01: 2)",
);
/// See its `what`.
pub const BASELINE_MONTHS: Parameter = Parameter::new(
    "R01",
    "baseline_months",
    24.0,
    (6.0, 120.0),
    "points of a full baseline (rules.csv R01: 24)",
);
/// See its `what`.
pub const BASELINE_LEAST: Parameter = Parameter::new(
    "R01",
    "baseline_least",
    12.0,
    (3.0, 120.0),
    "points of a trial baseline (rules.csv R01: 12)",
);
/// See its `what`.
pub const RISING_FACTOR: Parameter = Parameter::new(
    "R01",
    "rising_factor",
    1.05,
    (0.5, 10.0),
    "times the same three months of last year above which savings rise (rules.csv R01: 1.05)",
);
/// See its `what`.
pub const PLAN_SHARE: Parameter = Parameter::new(
    "R01",
    "plan_share",
    0.95,
    (0.0, 10.0),
    "share of the plan from which savings can rise in the first year (rules.csv R01: 0.95)",
);
/// See its `what`.
pub const RISING_MONTHS: Parameter = Parameter::new(
    "R01",
    "rising_months",
    2.0,
    (1.0, 4.0),
    "months of m-3..m in which savings have to rise (rules.csv R01: 2)",
);
/// See its `what`.
pub const MARKERS: Parameter = Parameter::new(
    "R01",
    "markers",
    2.0,
    (1.0, 100.0),
    "slipping markers for amber (rules.csv R01: 2)",
);
/// See its `what`.
pub const DOMAINS: Parameter = Parameter::new(
    "R01",
    "domains",
    2.0,
    (1.0, 5.0),
    "quality domains that they have to lie in (rules.csv R01: 2)",
);
/// See its `what`.
pub const RED_MARKERS: Parameter = Parameter::new(
    "R01",
    "red_markers",
    3.0,
    (1.0, 100.0),
    "slipping markers for red (rules.csv R01: 3)",
);
/// See its `what`.
pub const RED_MONTHS: Parameter = Parameter::new(
    "R01",
    "red_months",
    2.0,
    (1.0, 3.0),
    "amber months of the last three for red (rules.csv R01: 2)",
);
/// See its `what`.
pub const SENTINEL_EVENTS: Parameter = Parameter::new(
    "R01",
    "sentinel_events",
    2.0,
    (1.0, 100.0),
    "events of a sentinel marker in three months that make a cluster (rules.csv R01: 2)",
);
/// See its `what`.
pub const DENOMINATOR_FLOOR: Parameter = Parameter::new(
    "R01",
    "denominator_floor",
    20.0,
    (0.0, 10_000.0),
    "smallest denominator of a proportion that counts (markers.csv: the smallest usual ones, cancelled operations 45 and \
     62-day cancer 65, have to stay in)",
);
/// See its `what`.
pub const EXPECTED_FLOOR: Parameter = Parameter::new(
    "R01",
    "expected_floor",
    0.5,
    (0.0, 10_000.0),
    "events expected at the national rate below which a marker does not count (markers.csv: MRSA with 0 to 1 events has to \
     stay in)",
);
/// See its `what`.
pub const SHOCK_SHARE: Parameter = Parameter::new(
    "R01",
    "shock_share",
    0.30,
    (0.0, 1.0),
    "share of slipping organisations above which the question is a national one (rules.csv R01: 30%)",
);
/// See its `what`.
pub const SHOCK_ORGANISATIONS: Parameter = Parameter::new(
    "R01",
    "shock_organisations",
    5.0,
    (1.0, 10_000.0),
    "organisations from which a share of them says something about the country (one of two is no national shock)",
);
/// See its `what`.
pub const SUCCESSION_MONTHS: Parameter = Parameter::new(
    "R01",
    "succession_months",
    6.0,
    (0.0, 24.0),
    "months after a succession in which an organisation is not asked (rules.csv R01: 6)",
);

fn evaluate(subject: &Subject<'_>, period: Period) -> Option<Finding> {
    let tally = Tally::of(subject, period);
    let severity = severity(subject, &tally, period)?;
    let savings = subject.savings.evidence(subject.context.rules, period);
    let seen = wording::savings_sentence(&savings);
    let mut notes = tally.all_notes();
    if severity == Severity::Info {
        notes.push("information only: it takes markers on a trial baseline".to_owned());
    }
    let moves = wording::moves(&tally.slipping);
    Some(Finding {
        rule: RULE.id.to_owned(),
        org: subject.org,
        period,
        severity,
        summary: format!(
            "{seen} while {moves} worsened beyond their usual variation and beyond peers."
        ),
        question: format!(
            "{seen}, while {moves} worsened beyond their usual variation and beyond peers. Which schemes touch these services? \
             What did the QIA predict for {names}, what is its trigger, and has it been tripped? What will you stop, change or \
             fund, by when?",
            names = wording::names(&tally.slipping)
        ),
        asked: asked(),
        suppressed_because: suppress::organisation(subject, period),
        evidence: subject.evidence(Some(savings), tally.slipping_evidence(), Vec::new(), notes),
    })
}

/// Provider directors first; the lead commissioner is copied (rules.csv R01).
pub(crate) fn asked() -> Vec<String> {
    [
        "medical director",
        "nursing director",
        "finance director",
        "lead commissioner (copied)",
    ]
    .map(str::to_owned)
    .to_vec()
}

/// How urgent the month is; `None` when there is nothing to ask.
fn severity(subject: &Subject<'_>, tally: &Tally, period: Period) -> Option<Severity> {
    let rules = subject.context.rules;
    if tally.slipping.is_empty() || !subject.savings.held(rules, period) {
        return None;
    }
    let amber = tally.is_amber(rules, false);
    if tally.is_red_by_itself(rules) || (amber && persists(subject, period)) {
        return Some(Severity::Red);
    }
    if amber {
        return Some(Severity::Amber);
    }
    tally.is_amber(rules, true).then_some(Severity::Info)
}

/// The month is amber: is it, with the two before it, amber in enough of three?
fn persists(subject: &Subject<'_>, period: Period) -> bool {
    let rules = subject.context.rules;
    let earlier = [1, 2].into_iter().filter_map(|back| period.plus(-back));
    let amber = earlier.filter(|month| is_amber(subject, *month)).count();
    amber + 1 >= rules.count(&RED_MONTHS) as usize
}

/// Is the month amber by itself, without trial baselines?
fn is_amber(subject: &Subject<'_>, period: Period) -> bool {
    let rules = subject.context.rules;
    subject.savings.held(rules, period) && Tally::of(subject, period).is_amber(rules, false)
}
