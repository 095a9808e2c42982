//! What happens to an alert.

use std::cell::Cell;
use std::collections::BTreeMap;

use proptest::prelude::*;
use qipp_domain::alert::{
    Act, Acted, AlertBook, AlertFact, Condition, Direction, Evidence, Finding, MarkerEvidence,
    Severity, Stage, Transition,
};
use qipp_domain::marker::{Polarity, QualityDomain};
use qipp_domain::{Cut, KnownAt, Period, Stamp};
use qipp_rules::{Evaluated, Recheck, Rule, cause_id, transitions};

use crate::fixture::{FAR, Log, NOW, Trust, marker, month, org};

const DAY: &str = "2012-08-01";

fn kinds(facts: &[AlertFact]) -> Vec<(String, Transition)> {
    facts
        .iter()
        .map(|fact| match fact {
            AlertFact::Evaluated {
                alert_id,
                transition,
                ..
            } => (alert_id.clone(), *transition),
            AlertFact::Acted(_) => unreachable!("evaluations only"),
        })
        .collect()
}

fn one(id: &str, transition: Transition) -> Vec<(String, Transition)> {
    vec![(id.to_owned(), transition)]
}

/// Rising savings, and two slips in May 2012; the log ends with May.
fn raised_in_may() -> (Trust, Log) {
    let mut trust = Trust::with_rising_savings()
        .worse("AE_4H", FAR, &["2012-05"])
        .worse("FFT_IP", FAR, &["2012-05"]);
    trust.last = month("2012-05");
    let mut log = trust.log();
    assert_eq!(
        kinds(&log.evaluate_on(DAY)),
        one("R01-RJ1-2012-05", Transition::Raised)
    );
    (trust, log)
}

/// Adds the returns and national values of June.
fn june(log: &mut Log, mut trust: Trust) {
    trust.last = month(NOW);
    trust.first = month("2010-01");
    let whole = trust.log();
    let ledger = whole.nation.ledger(org("RJ1")).unwrap();
    for dataset in [qipp_domain::Dataset::Savings, qipp_domain::Dataset::Quality] {
        let content = ledger
            .history(dataset, month(NOW))
            .unwrap()
            .latest()
            .unwrap()
            .content
            .clone();
        log.returns(vec![crate::fixture::a_return(
            month(NOW),
            content.status,
            content.body,
        )]);
    }
    let values = whole
        .nation
        .benchmarks()
        .iter(&KnownAt::Latest)
        .filter(|value| value.period == month(NOW));
    log.benchmarks(values.cloned().collect());
}

fn act(log: &mut Log, id: &str, act: Act) {
    let acted = Acted {
        alert_id: id.to_owned(),
        act_id: format!("{id} {}", act.name()),
        act,
        who: "someone".to_owned(),
        why: String::new(),
    };
    log.alerts(vec![AlertFact::Acted(acted)]);
}

fn close(log: &mut Log, id: &str) {
    for step in [Act::Ask, Act::Answer, Act::Refute, Act::Close] {
        act(log, id, step);
    }
}

#[test]
fn the_same_month_evaluated_again_changes_nothing() {
    let (_, mut log) = raised_in_may();
    assert_eq!(log.evaluate_on(DAY), []);
    assert_eq!(log.evaluate_on("2012-08-02"), [], "one more day is no news");
}

#[test]
fn a_later_month_that_slips_too_updates_the_alert() {
    let (trust, mut log) = raised_in_may();
    june(
        &mut log,
        trust
            .worse("AE_4H", FAR, &[NOW])
            .worse("FFT_IP", FAR, &[NOW]),
    );
    assert_eq!(
        kinds(&log.evaluate_on(DAY)),
        one("R01-RJ1-2012-05", Transition::Updated)
    );
    let book = log.nation.alerts(org("RJ1")).unwrap();
    let (_, standing) = book.current("R01", &KnownAt::Latest).unwrap();
    assert_eq!(
        (standing.finding.period, standing.finding.severity),
        (month(NOW), Severity::Red)
    );
}

#[test]
fn a_usual_later_month_clears_it_with_the_evidence_of_that_month() {
    let (trust, mut log) = raised_in_may();
    june(&mut log, trust);
    let facts = log.evaluate_on(DAY);
    assert_eq!(kinds(&facts), one("R01-RJ1-2012-05", Transition::Cleared));
    let AlertFact::Evaluated { finding, .. } = &facts[0] else {
        unreachable!()
    };
    assert_eq!(finding.period, month(NOW));
    let points = &finding.evidence.markers[0].points;
    assert!(points.last().unwrap().adverse_z < 2.0 && points.last().unwrap().period == month(NOW));
    assert_eq!(log.evaluate_on(DAY), []);
}

#[test]
fn a_later_month_without_figures_clears_nothing() {
    let (trust, mut log) = raised_in_may();
    june(&mut log, trust.missing("FFT_IP", &[NOW]));
    assert_eq!(log.evaluate_on(DAY), []);
}

#[test]
fn a_restated_month_withdraws_it_and_the_same_month_found_again_is_a_second_alert() {
    let (trust, mut log) = raised_in_may();
    let slipping = trust.quality_return(month("2012-05"));
    log.returns(vec![
        trust
            .worse("FFT_IP", 0.0, &["2012-05"])
            .quality_return(month("2012-05")),
    ]);
    assert_eq!(
        kinds(&log.evaluate_on(DAY)),
        one("R01-RJ1-2012-05", Transition::Withdrawn)
    );
    assert_eq!(log.evaluate_on(DAY), []);
    log.returns(vec![slipping]);
    assert_eq!(
        kinds(&log.evaluate_on(DAY)),
        one("R01-RJ1-2012-05-2", Transition::Raised)
    );
}

#[test]
fn a_restated_month_withdraws_it_even_when_a_later_month_is_in() {
    let (trust, mut log) = raised_in_may();
    log.returns(vec![
        trust
            .clone()
            .worse("FFT_IP", 0.0, &["2012-05"])
            .quality_return(month("2012-05")),
    ]);
    june(&mut log, trust);
    assert_eq!(
        kinds(&log.evaluate_on(DAY)),
        one("R01-RJ1-2012-05", Transition::Withdrawn)
    );
}

#[test]
fn an_alert_that_people_closed_is_raised_again_only_by_something_new() {
    let (trust, mut log) = raised_in_may();
    close(&mut log, "R01-RJ1-2012-05");
    assert_eq!(log.evaluate_on(DAY), []);
    let third = trust.worse("OAP_BD", FAR, &["2012-05"]);
    log.returns(vec![third.quality_return(month("2012-05"))]);
    assert_eq!(
        kinds(&log.evaluate_on(DAY)),
        one("R01-RJ1-2012-05-2", Transition::Raised)
    );
}

#[test]
fn the_end_of_a_finding_is_recorded_on_a_closed_alert_too() {
    let (trust, mut log) = raised_in_may();
    close(&mut log, "R01-RJ1-2012-05");
    june(&mut log, trust);
    assert_eq!(
        kinds(&log.evaluate_on(DAY)),
        one("R01-RJ1-2012-05", Transition::Cleared)
    );
}

#[test]
fn a_suppressed_finding_becomes_a_question_when_the_reason_is_gone() {
    use qipp_domain::reference::{ReferenceFact, Succession};
    let mut trust = Trust::with_rising_savings()
        .worse("AE_4H", FAR, &["2012-05", NOW])
        .worse("FFT_IP", FAR, &["2012-05", NOW]);
    let succession = Succession {
        org: org("RJ2"),
        successor: org("RJ1"),
        date: "2011-12-01".parse().unwrap(),
    };
    trust.reference.extend([
        crate::fixture::organisation("RJ2"),
        ReferenceFact::Succeeded(succession),
    ]);
    trust.last = month("2012-05");
    let mut log = trust.log();
    assert_eq!(
        kinds(&log.evaluate_on(DAY)),
        one("R01-RJ1-2012-05", Transition::Suppressed)
    );
    assert_eq!(log.evaluate_on(DAY), []);
    june(&mut log, trust);
    assert_eq!(
        kinds(&log.evaluate_on(DAY)),
        one("R01-RJ1-2012-05", Transition::Raised)
    );
}

#[test]
fn the_identifier_of_a_fact_is_the_same_for_a_repeat_and_another_for_another_cut() {
    let (_, mut log) = raised_in_may();
    let fact = |log: &Log| AlertFact::Evaluated {
        alert_id: "R01-RJ1-2012-05".to_owned(),
        transition: Transition::Raised,
        finding: log.finds("R01", month("2012-05")).unwrap(),
    };
    let first = cause_id(&fact(&log));
    assert!(
        first.starts_with("R01-RJ1-2012-05/raised/2012-05/"),
        "{first}"
    );
    assert_eq!(first, cause_id(&fact(&log)));
    log.reference(vec![crate::fixture::organisation("RJ3")]);
    assert_ne!(first, cause_id(&fact(&log)));
}

/// A state of the world as transitions see it: what would be found in each of a few months.
struct World {
    findings: BTreeMap<Period, Finding>,
    judges: bool,
    asked: Cell<u32>,
}

impl Recheck for World {
    fn find(&self, _: &Rule, period: Period) -> Option<Finding> {
        self.asked.set(self.asked.get() + 1);
        self.findings.get(&period).cloned()
    }

    fn can_judge(&self, _: &Rule, _: &Finding, _: Period) -> bool {
        self.judges
    }

    fn evidence(&self, earlier: &Finding, _: Period) -> Evidence {
        earlier.evidence.clone()
    }
}

fn finding(period: Period, severity: Severity, codes: &[&str], suppressed: bool) -> Finding {
    let evidence = |code: &&str| MarkerEvidence {
        marker: marker(code),
        domain: QualityDomain::Access,
        definition_version: 1,
        polarity: Polarity::HigherIsBetter,
        direction: Direction::Slipping,
        baseline_mean: 0.0,
        baseline_sigma: 1.0,
        baseline_points: 24,
        baseline_from: period,
        baseline_until: period,
        trial: false,
        scale: "logit".to_owned(),
        points: Vec::new(),
        linked_schemes: Vec::new(),
        simulated: false,
    };
    Finding {
        rule: "R01".to_owned(),
        org: org("RJ1"),
        period,
        severity,
        summary: String::new(),
        question: String::new(),
        asked: Vec::new(),
        suppressed_because: if suppressed {
            "merged".to_owned()
        } else {
            String::new()
        },
        evidence: Evidence {
            cut: Cut::default(),
            rule_set_version: "default-1".to_owned(),
            as_of: Log::today(),
            savings: None,
            markers: codes.iter().map(evidence).collect(),
            joint: None,
            late_returns: Vec::new(),
            simulated: false,
            notes: Vec::new(),
        },
    }
}

/// One step of a history: what is found in the months 0 to 3, which is the latest, and whether people close what is open.
type Step = (Vec<Option<(bool, bool, bool)>>, usize, bool, bool);

fn step() -> impl Strategy<Value = Step> {
    let found = prop::option::weighted(
        0.6,
        (any::<bool>(), any::<bool>(), prop::bool::weighted(0.2)),
    );
    (
        prop::collection::vec(found, 4),
        0..4_usize,
        any::<bool>(),
        prop::bool::weighted(0.3),
    )
}

proptest! {
    #[test]
    fn after_they_were_applied_the_same_state_gives_no_transitions(steps in prop::collection::vec(step(), 1..12)) {
        let rule = Rule::of("R01").unwrap();
        let mut book = AlertBook::default();
        let mut offset = 0;
        for (months, latest, judges, people_close) in steps {
            let at = |index: usize| month("2012-01").plus(i32::try_from(index).unwrap()).unwrap();
            let findings = months.iter().enumerate().filter_map(|(index, found)| {
                let (red, third, suppressed) = (*found)?;
                let severity = if red { Severity::Red } else { Severity::Amber };
                let codes = if third { &["AE_4H", "FFT_IP", "CDI"][..] } else { &["AE_4H", "FFT_IP"] };
                Some((at(index), finding(at(index), severity, codes, suppressed)))
            });
            let world = World { findings: findings.collect(), judges, asked: Cell::new(0) };
            let period = at(latest);
            let evaluated = Evaluated { rule, org: org("RJ1"), period, finding: world.find(rule, period) };
            for fact in transitions(Some(&book), &KnownAt::Latest, &evaluated, &world) {
                offset += 1;
                prop_assert!(book.apply(Stamp { lane: 4, offset, time_ms: 0 }, fact), "every fact takes effect");
            }
            prop_assert_eq!(transitions(Some(&book), &KnownAt::Latest, &evaluated, &world), vec![]);
            prop_assert!(world.asked.get() < 40, "looking again is bounded");
            let open: Vec<_> = book.iter().filter_map(|alert| {
                let standing = alert.known(&KnownAt::Latest)?;
                let stands = matches!(standing.condition, Condition::Holds | Condition::Suppressed);
                (stands && standing.stage != Stage::Closed).then(|| alert.id.clone())
            }).collect();
            prop_assert!(open.len() <= 1, "a rule has one open alert: {:?}", open);
            for id in open.iter().filter(|_| people_close) {
                for act in [Act::Ask, Act::Answer, Act::Refute, Act::Close] {
                    offset += 1;
                    let acted = Acted {
                        alert_id: id.clone(),
                        act_id: format!("{offset}"),
                        act,
                        who: String::new(),
                        why: String::new(),
                    };
                    book.apply(Stamp { lane: 4, offset, time_ms: 0 }, AlertFact::Acted(acted));
                }
            }
        }
    }
}
