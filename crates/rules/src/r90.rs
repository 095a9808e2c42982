//! R90: a return is missing or late.
//!
//! **Asks** for the return. "Minimise bureaucracy" (seed 002), but know: silence is information, and never zero.
//!
//! For each dataset the last two months count that the organisation owes and whose deadline has passed. One that has not arrived
//! two working days after its deadline is **info**, to the return owner; from the fifth working day the finance director is asked
//! too. **Amber** when both months of a dataset are missing. A return that came late clears it.
//!
//! An agreed dispensation is an obligation that ends; a closed organisation owes nothing.

use qipp_domain::alert::{Finding, LateReturn, Severity};
use qipp_domain::calendar::working_days_between;
use qipp_domain::{Dataset, Period};

use crate::rule_set::Parameter;
use crate::subject::Subject;
use crate::{LooksAt, Rule, wording};

/// The rule.
pub const RULE: Rule = Rule {
    id: "R90",
    title: "Missing or late return",
    looks_at: LooksAt::Calendar,
    parameters: &[FIRST_REMINDER, ESCALATION],
    evaluate,
};

/// See its `what`.
pub const FIRST_REMINDER: Parameter = Parameter {
    rule: "R90",
    name: "first_reminder",
    default: 2.0,
    least: 0.0,
    most: 60.0,
    what: "working days after the deadline at which the return owner is asked (rules.csv R90: WD+2)",
};
/// See its `what`.
pub const ESCALATION: Parameter = Parameter {
    rule: "R90",
    name: "escalation",
    default: 5.0,
    least: 0.0,
    most: 60.0,
    what: "working days after the deadline at which the finance director is asked too (rules.csv R90: WD+5)",
};

/// Consecutive missing months of a dataset for amber, and so the months that are looked at (rules.csv R90: 2).
const CONSECUTIVE: usize = 2;

const DATASETS: [Dataset; 2] = [Dataset::Savings, Dataset::Quality];

/// The latest month of any dataset that is owed and whose deadline has passed.
#[must_use]
pub fn latest_overdue(subject: &Subject<'_>) -> Option<Period> {
    DATASETS
        .into_iter()
        .filter_map(|dataset| {
            due(subject, dataset, None)
                .last()
                .map(|(period, _)| *period)
        })
        .max()
}

/// The last owed months of a dataset whose deadline has passed, oldest first, with the deadline.
fn due(
    subject: &Subject<'_>,
    dataset: Dataset,
    until: Option<Period>,
) -> Vec<(Period, jiff::civil::Date)> {
    let context = &subject.context;
    let mut passed: Vec<_> = context
        .reference
        .deadlines()
        .filter(|(held, period, due)| {
            *held == dataset && *due < context.as_of && until.is_none_or(|until| *period <= until)
        })
        .filter(|(_, period, _)| context.reference.owes(subject.org, dataset, *period))
        .map(|(_, period, due)| (period, due))
        .collect();
    passed.sort_unstable();
    passed.split_off(passed.len().saturating_sub(CONSECUTIVE))
}

/// The returns that are overdue by enough working days to ask, up to a month when one is given.
#[must_use]
pub fn overdue(subject: &Subject<'_>, until: Option<Period>) -> Vec<LateReturn> {
    let context = &subject.context;
    let arrived = |dataset, period| {
        subject
            .ledger()
            .is_some_and(|ledger| ledger.known(dataset, period, context.known_at).is_some())
    };
    let mut late = Vec::new();
    for dataset in DATASETS {
        for (period, due) in due(subject, dataset, until) {
            if arrived(dataset, period) {
                continue;
            }
            let working_days_late = working_days_between(due, context.as_of);
            if working_days_late >= context.rules.count(&FIRST_REMINDER) {
                late.push(LateReturn {
                    dataset,
                    period,
                    due,
                    working_days_late,
                });
            }
        }
    }
    late
}

fn evaluate(subject: &Subject<'_>, period: Period) -> Option<Finding> {
    let late = overdue(subject, Some(period));
    if late.is_empty() {
        return None;
    }
    let of = |dataset| {
        late.iter()
            .filter(move |held| held.dataset == dataset)
            .count()
    };
    let consecutive = DATASETS
        .into_iter()
        .any(|dataset| of(dataset) >= CONSECUTIVE);
    let returns: Vec<String> = late
        .iter()
        .map(|held| {
            format!(
                "{} of {} (due {})",
                held.dataset.name(),
                held.period,
                held.due
            )
        })
        .collect();
    let returns = wording::list(&returns);
    Some(Finding {
        rule: RULE.id.to_owned(),
        org: subject.org,
        period,
        severity: if consecutive {
            Severity::Amber
        } else {
            Severity::Info
        },
        summary: format!("Not received: {returns}."),
        question: format!("When will these returns come, and what keeps them: {returns}?"),
        asked: asked(subject, &late),
        suppressed_because: String::new(),
        evidence: subject.evidence(None, Vec::new(), late, Vec::new()),
    })
}

fn asked(subject: &Subject<'_>, late: &[LateReturn]) -> Vec<String> {
    let limit = subject.context.rules.count(&ESCALATION);
    let escalated = late.iter().any(|held| held.working_days_late >= limit);
    let roles = if escalated {
        &["return owner", "finance director"][..]
    } else {
        &["return owner"]
    };
    roles.iter().map(|role| (*role).to_owned()).collect()
}
