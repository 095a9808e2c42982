//! A finding can be computed again by anybody, and a rule set changes it only from its record on.

use qipp_domain::alert::Severity;
use qipp_domain::reference::{ReferenceFact, RuleSet, RuleSetting};
use qipp_rules::{CATALOGUE, RuleSetInForce, evaluate_organisation, recompute};

use crate::fixture::{FAR, Log, NOW, Trust, month, org};

fn slipping(trust: Trust) -> Trust {
    trust
        .worse("AE_4H", FAR, &[NOW])
        .worse("FFT_IP", FAR, &[NOW])
        .worse("SICKNESS", FAR, &[NOW])
}

#[test]
fn a_recorded_finding_is_recomputed_exactly_after_later_returns_and_rules() {
    for trust in [Trust::with_rising_savings(), Trust::with_flat_savings()] {
        let mut log = slipping(trust.clone()).log();
        let moment = log.moment();
        let found = evaluate_organisation(&moment.context(&log.nation), org("RJ1"));
        let findings: Vec<_> = found
            .into_iter()
            .filter_map(|evaluated| evaluated.finding)
            .collect();
        assert!(!findings.is_empty());
        log.returns(vec![trust.quality_return(month(NOW))]);
        log.reference(vec![rule_set(&[("R01", true, &[("z_single", 9.0)])])]);
        for finding in findings {
            assert_eq!(
                log.finds(&finding.rule, month(NOW)),
                None,
                "the restated month is usual"
            );
            assert_eq!(recompute(&log.nation, &finding).as_ref(), Some(&finding));
        }
    }
}

/// A rule, whether it is evaluated, and its parameters.
type Setting<'a> = (&'a str, bool, &'a [(&'a str, f64)]);

fn rule_set(rules: &[Setting<'_>]) -> ReferenceFact {
    let setting = |(rule, enabled, parameters): &Setting<'_>| {
        let parameters = parameters
            .iter()
            .map(|(name, value)| ((*name).to_owned(), *value))
            .collect();
        (
            (*rule).to_owned(),
            RuleSetting {
                enabled: *enabled,
                parameters,
            },
        )
    };
    ReferenceFact::RuleSet(RuleSet {
        version: "2012-1".to_owned(),
        rules: rules.iter().map(setting).collect(),
    })
}

#[test]
fn a_rule_set_changes_a_parameter_and_is_cited() {
    let trust = Trust::with_rising_savings()
        .worse("AE_4H", FAR, &[NOW])
        .worse("FFT_IP", FAR, &[NOW]);
    let strict = trust
        .clone()
        .rules("R01", true, &[("red_markers", 2.0)])
        .finds("R01")
        .unwrap();
    assert_eq!(
        (strict.severity, strict.evidence.rule_set_version.as_str()),
        (Severity::Red, "2012-1")
    );
    assert_eq!(
        trust
            .clone()
            .rules("R01", true, &[("z_single", 8.0)])
            .finds("R01"),
        None
    );
    assert_eq!(
        trust
            .rules("R01", true, &[("rising_factor", 1.3)])
            .finds("R01"),
        None
    );
}

#[test]
fn a_rule_that_is_switched_off_is_not_evaluated() {
    let log = slipping(Trust::with_rising_savings())
        .rules("R01", false, &[])
        .log();
    let moment = log.moment();
    let found = evaluate_organisation(&moment.context(&log.nation), org("RJ1"));
    assert!(!found.is_empty() && found.iter().all(|evaluated| evaluated.rule.id != "R01"));
}

#[test]
fn what_a_rule_set_says_of_unknown_things_is_noted_and_ignored() {
    let ReferenceFact::RuleSet(fact) = rule_set(&[
        (
            "R01",
            true,
            &[
                ("z_single", f64::NAN),
                ("z_pair", -1.0),
                ("zz", 1.0),
                ("baseline_months", 36.0),
            ],
        ),
        ("R77", true, &[]),
    ]) else {
        unreachable!()
    };
    let rules = RuleSetInForce::from(&fact);
    assert_eq!(rules.notes().len(), 4, "{:?}", rules.notes());
    assert_eq!(rules.value(&qipp_rules::r01::Z_SINGLE), 3.0);
    assert_eq!(rules.count(&qipp_rules::r01::BASELINE_MONTHS), 36);
}

#[test]
fn every_parameter_of_the_catalogue_has_a_default_within_its_range_and_a_name_of_its_own() {
    for rule in &CATALOGUE {
        let names: std::collections::BTreeSet<&str> =
            rule.parameters.iter().map(|held| held.name).collect();
        assert_eq!(names.len(), rule.parameters.len(), "{}", rule.id);
        for held in rule.parameters {
            assert_eq!(held.rule, rule.id);
            assert!(
                (held.least..=held.most).contains(&held.default),
                "{} {}",
                rule.id,
                held.name
            );
        }
    }
}

#[test]
fn an_organisation_that_never_sent_anything_has_nothing_to_evaluate() {
    let log = Log::default();
    let moment = log.moment();
    assert!(evaluate_organisation(&moment.context(&log.nation), org("RJ9")).is_empty());
}
