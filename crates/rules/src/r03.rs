//! R03: savings rising and quality improving.
//!
//! **Asks** whether neighbours may copy it. There is "fantastic work" (seed 000) and "a perverse attitude to learning from
//! neighbours" (seed 004): good signals have to be published too, or the system only punishes.
//!
//! **Info** (celebrate) when for six months running at least two markers improved in at least two domains, none slipped and savings
//! were rising, and at least half of the plan of the year comes from genuine schemes (R20). It is held back while a return is
//! overdue (R90): praise must not rest on silence.

use qipp_domain::Period;
use qipp_domain::alert::{Finding, Severity};

use crate::rule_set::Parameter;
use crate::subject::Subject;
use crate::tally::{self, Tally};
use crate::{LooksAt, Rule, r01, r90, suppress, wording};

/// The rule.
pub const RULE: Rule = Rule {
    id: "R03",
    title: "Savings rising and quality improving",
    looks_at: LooksAt::Figures,
    parameters: &[SUSTAINED, GENUINE_SHARE],
    evaluate,
};

/// See its `what`.
pub const SUSTAINED: Parameter = Parameter {
    rule: "R03",
    name: "sustained_months",
    default: 6.0,
    least: 1.0,
    most: 24.0,
    what: "months running in which it has to hold (rules.csv R03: 6)",
};
/// See its `what`.
pub const GENUINE_SHARE: Parameter = Parameter {
    rule: "R03",
    name: "genuine_share",
    default: 0.5,
    least: 0.0,
    most: 1.0,
    what: "share of the year's local plan from genuine schemes, by value (rules.csv R03 and R20: 50%)",
};

fn evaluate(subject: &Subject<'_>, period: Period) -> Option<Finding> {
    let rules = subject.context.rules;
    let share = subject.savings.genuine_share(period)?;
    let months = i32::try_from(rules.count(&SUSTAINED)).ok()?;
    let first = period.plus(1 - months)?;
    let sustained = || first.to(period).rev().all(|month| improves(subject, month));
    if share < rules.value(&GENUINE_SHARE) || !sustained() {
        return None;
    }
    let tally = Tally::of(subject, period);
    let savings = subject.savings.evidence(rules, period);
    let moves = wording::moves(&tally.improving);
    let percent = share * 100.0;
    Some(Finding {
        rule: RULE.id.to_owned(),
        org: subject.org,
        period,
        severity: Severity::Info,
        summary: format!(
            "{} while {moves} improved; this has held for {months} months, and {percent:.0}% of the year's plan is genuine.",
            wording::savings_sentence(&savings)
        ),
        question: "May we publish this scheme as a case for neighbours? What would another trust need to copy it?".to_owned(),
        asked: vec!["provider board".to_owned(), "national workstream lead".to_owned()],
        suppressed_because: held_back(subject, period),
        evidence: subject.evidence(
            Some(savings),
            tally::evidence_of(&tally.improving),
            Vec::new(),
            tally.all_notes(),
        ),
    })
}

/// Do markers improve and savings rise in the month, and nothing slips?
fn improves(subject: &Subject<'_>, period: Period) -> bool {
    let rules = subject.context.rules;
    if !subject.savings.held(rules, period) {
        return false;
    }
    let tally = Tally::of(subject, period);
    tally.slipping.is_empty()
        && tally.improving.len() >= rules.count(&r01::MARKERS) as usize
        && tally::domains(&tally.improving) >= rules.count(&r01::DOMAINS) as usize
}

fn held_back(subject: &Subject<'_>, period: Period) -> String {
    let merged = suppress::organisation(subject, period);
    if merged.is_empty() && !r90::overdue(subject, None).is_empty() {
        return "a return is overdue (R90)".to_owned();
    }
    merged
}
