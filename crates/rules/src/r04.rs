//! R04: the leading domains slip.
//!
//! **Asks** which wards. Staff and what patients say of them move before outcomes do: "staffing" (seed 000), "cut posts" (seed 004).
//! Finance troubles show first in process markers, not in readmissions (Nagendran 2019, 149 trusts).
//!
//! **Info** when at least two trigger markers of workforce and experience slip and schemes on pay delivered more than 60% of the
//! savings of the last three months. **Amber** when that is so for a second month running. Markers on a trial baseline never make
//! it amber. Limits of a slip are those of R01.
//!
//! The catalogue also leaves out strikes; no fact says when there was one. Winter bank holidays hit all peers alike and are taken
//! out with the national value.

use qipp_domain::Period;
use qipp_domain::alert::{Finding, Severity};
use qipp_domain::marker::QualityDomain;

use crate::rule_set::Parameter;
use crate::subject::Subject;
use crate::tally::{self, Sighting, Tally};
use crate::{LooksAt, Rule, suppress, wording};

/// The rule.
pub const RULE: Rule = Rule {
    id: "R04",
    title: "Workforce and experience slip under pay savings",
    looks_at: LooksAt::Figures,
    parameters: &[MARKERS, PAY_SHARE, AMBER_MONTHS],
    evaluate,
};

/// See its `what`.
pub const MARKERS: Parameter = Parameter {
    rule: "R04",
    name: "markers",
    default: 2.0,
    least: 1.0,
    most: 100.0,
    what: "slipping markers within workforce and experience (rules.csv R04: 2)",
};
/// See its `what`.
pub const PAY_SHARE: Parameter = Parameter {
    rule: "R04",
    name: "pay_share",
    default: 0.6,
    least: 0.0,
    most: 1.0,
    what: "share of pay in the savings of three months that has to be exceeded (rules.csv R04: 60%)",
};
/// See its `what`.
pub const AMBER_MONTHS: Parameter = Parameter {
    rule: "R04",
    name: "amber_months",
    default: 2.0,
    least: 1.0,
    most: 12.0,
    what: "months running after which it is amber (rules.csv R04: 2)",
};

fn evaluate(subject: &Subject<'_>, period: Period) -> Option<Finding> {
    let tally = Tally::of(subject, period);
    let leading = leading(&tally, true);
    if !holds(subject, &leading, period) {
        return None;
    }
    let savings = subject.savings.evidence(subject.context.rules, period);
    let moves = wording::moves(&leading);
    Some(Finding {
        rule: RULE.id.to_owned(),
        org: subject.org,
        period,
        severity: severity(subject, period),
        summary: format!(
            "{moves} worsened beyond their usual variation and beyond peers; pay schemes delivered {} of {} saved in three months.",
            savings.pay_three_months.unwrap_or_default(),
            savings.last_three_months.unwrap_or_default()
        ),
        question: format!("Staffing and experience markers moved first: {moves}. Which wards?"),
        asked: vec!["nursing director".to_owned()],
        suppressed_because: suppress::organisation(subject, period),
        evidence: subject.evidence(
            Some(savings),
            tally::evidence_of(&leading),
            Vec::new(),
            tally.notes,
        ),
    })
}

/// The slipping markers of workforce and experience.
fn leading(tally: &Tally, with_trial: bool) -> Vec<Sighting> {
    let leads = |s: &&Sighting| {
        let domain = s.reading.definition.domain;
        matches!(domain, QualityDomain::Workforce | QualityDomain::Experience)
            && (with_trial || !s.reading.trial)
    };
    tally.slipping.iter().filter(leads).cloned().collect()
}

#[allow(
    clippy::cast_precision_loss,
    reason = "sums of pence of one organisation fit 53 bits"
)]
fn holds(subject: &Subject<'_>, leading: &[Sighting], period: Period) -> bool {
    let rules = subject.context.rules;
    if leading.len() < rules.count(&MARKERS) as usize {
        return false;
    }
    let look = subject.savings.look(rules, period);
    let (Some(all), Some(pay)) = (look.last_three, subject.savings.pay(period)) else {
        return false;
    };
    all.0 > 0 && pay.0 as f64 > rules.value(&PAY_SHARE) * all.0 as f64
}

fn severity(subject: &Subject<'_>, period: Period) -> Severity {
    let months = i32::try_from(subject.context.rules.count(&AMBER_MONTHS)).unwrap_or(i32::MAX);
    let holds_in =
        |month: Period| holds(subject, &leading(&Tally::of(subject, month), false), month);
    let first = period.plus(1 - months);
    if first.is_some_and(|first| first.to(period).all(holds_in)) {
        Severity::Amber
    } else {
        Severity::Info
    }
}
