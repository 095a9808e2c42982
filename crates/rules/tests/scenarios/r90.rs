//! R90: missing and late returns.

use qipp_domain::alert::{AlertFact, Severity, Transition};
use qipp_domain::reference::{Obligation, ReferenceFact};
use qipp_domain::{Dataset, Period};

use crate::fixture::{Log, Trust, month, org};

/// Savings are owed for all months, and due on the 20th of the next month.
fn owing(missing: &[&str]) -> (Trust, Log) {
    let mut trust = Trust::with_flat_savings();
    let obligation = Obligation {
        org: org("RJ1"),
        dataset: Dataset::Savings,
        from: trust.first,
        until: None,
    };
    trust.reference.push(ReferenceFact::Obligation(obligation));
    for period in trust.first.to(trust.last) {
        let due = period
            .plus(1)
            .unwrap()
            .first_day()
            .with()
            .day(20)
            .build()
            .unwrap();
        trust.reference.push(ReferenceFact::Deadline {
            dataset: Dataset::Savings,
            period,
            due,
        });
    }
    trust.no_savings_return = missing.iter().map(|text| month(text)).collect();
    let log = trust.log();
    (trust, log)
}

fn transitions(facts: &[AlertFact]) -> Vec<(Transition, Severity, Period, usize, usize)> {
    facts
        .iter()
        .map(|fact| match fact {
            AlertFact::Evaluated {
                transition,
                finding,
                ..
            } => {
                assert_eq!(finding.rule, "R90");
                let late = finding.evidence.late_returns.len();
                (
                    *transition,
                    finding.severity,
                    finding.period,
                    late,
                    finding.asked.len(),
                )
            }
            AlertFact::Acted(_) => unreachable!("evaluations only"),
        })
        .collect()
}

#[test]
fn a_return_in_time_is_not_asked_for() {
    let (_, mut log) = owing(&[]);
    assert_eq!(log.evaluate_on("2012-08-01"), []);
}

#[test]
fn an_overdue_return_is_asked_for_from_the_second_working_day_and_escalated_from_the_fifth() {
    use {
        Severity::Info,
        Transition::{Raised, Updated},
    };
    // Due on Friday 20 July 2012.
    let (_, mut log) = owing(&["2012-06"]);
    let june = month("2012-06");
    assert_eq!(log.evaluate_on("2012-07-20"), [], "still in time");
    assert_eq!(log.evaluate_on("2012-07-23"), [], "one working day");
    assert_eq!(
        transitions(&log.evaluate_on("2012-07-24")),
        [(Raised, Info, june, 1, 1)]
    );
    assert_eq!(log.evaluate_on("2012-07-25"), [], "one more day is no news");
    assert_eq!(
        transitions(&log.evaluate_on("2012-07-27")),
        [(Updated, Info, june, 1, 2)]
    );
    let finding = log.finds("R90", june).unwrap();
    assert_eq!(finding.evidence.late_returns[0].working_days_late, 8);
    assert!(
        finding
            .question
            .contains("savings of 2012-06 (due 2012-07-20)")
    );
}

#[test]
fn two_months_running_are_amber_and_older_ones_do_not_count() {
    let (_, log) = owing(&["2012-05", "2012-06"]);
    assert_eq!(
        log.finds("R90", month("2012-06")).unwrap().severity,
        Severity::Amber
    );
    let (_, log) = owing(&["2012-03", "2012-04"]);
    assert_eq!(log.finds("R90", month("2012-06")), None);
}

#[test]
fn a_return_that_comes_late_clears_the_question() {
    let (trust, mut log) = owing(&["2012-06"]);
    log.evaluate_on("2012-07-24");
    let mut late = trust;
    late.no_savings_return.clear();
    late.first = month("2012-06");
    let arrived = late.log();
    let ledger = arrived.nation.ledger(org("RJ1")).unwrap();
    let content = ledger
        .history(Dataset::Savings, month("2012-06"))
        .unwrap()
        .latest()
        .unwrap()
        .content
        .clone();
    log.returns(vec![crate::fixture::a_return(
        month("2012-06"),
        content.status,
        content.body,
    )]);
    let facts = log.evaluate_on("2012-07-26");
    assert_eq!(
        transitions(&facts),
        [(Transition::Cleared, Severity::Info, month("2012-06"), 0, 1)]
    );
    assert_eq!(log.evaluate_on("2012-07-27"), []);
}

#[test]
fn who_owes_nothing_is_not_asked() {
    let mut nobody = Trust::with_flat_savings();
    nobody.no_savings_return = vec![month("2012-06")];
    assert_eq!(nobody.finds("R90"), None);
    let (mut closed, _) = owing(&["2012-05", "2012-06"]);
    closed.reference.push(ReferenceFact::Closed {
        org: org("RJ1"),
        closed: "2012-05-01".parse().unwrap(),
    });
    assert_eq!(closed.finds("R90"), None);
}
