//! Is the nation the same each time, and is the truth what was asked for?
#![allow(clippy::unwrap_used, reason = "a test that fails to unwrap has failed")]

mod support;

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use qipp_domain::marker::QualityDomain;
use qipp_domain::{OrgCode, Pence};
use qipp_nation::{Config, Simulation, TrustInput, TruthKind, simulate};
use support::{month, shipped, trusts};

fn digest(simulation: &Simulation) -> u64 {
    let mut hasher = DefaultHasher::new();
    format!("{simulation:?}").hash(&mut hasher);
    hasher.finish()
}

#[test]
fn the_same_configuration_gives_the_same_nation_in_any_order() {
    let config = Config::default();
    let inputs = trusts(60);
    let first = digest(&simulate(&config, &inputs));
    assert_eq!(first, digest(&simulate(&config, &inputs)));
    let mut others = inputs.clone();
    others.reverse();
    others.swap(3, 40);
    others.push(inputs[7].clone());
    assert_eq!(
        first,
        digest(&simulate(&config, &others)),
        "order and repeats do not matter"
    );
    assert_ne!(
        first,
        digest(&simulate(
            &Config {
                seed: config.seed + 1,
                ..config
            },
            &inputs
        ))
    );
}

#[test]
fn what_a_trust_returns_does_not_depend_on_who_else_is_there() {
    let config = Config {
        harmful_share: 0.0,
        savings_only_share: 0.0,
        quality_only_share: 0.0,
        ..Config::default()
    };
    let inputs = trusts(40);
    let (many, few) = (
        simulate(&config, &inputs),
        simulate(&config, &inputs[10..12]),
    );
    for trust in &few.trusts {
        assert_eq!(Some(trust), many.trusts.iter().find(|t| t.org == trust.org));
    }
    assert!(many.truth.is_empty());
}

#[test]
fn a_longer_nation_begins_like_a_shorter_one() {
    let config = Config {
        harmful_share: 0.0,
        savings_only_share: 0.0,
        quality_only_share: 0.0,
        ..Config::default()
    };
    let long = simulate(&config, &trusts(5));
    let short = simulate(
        &Config {
            last: month("2012-03"),
            ..config
        },
        &trusts(5),
    );
    for (a, b) in short.trusts.iter().zip(&long.trusts) {
        assert!(
            a.quality
                .iter()
                .all(|(period, sent)| b.quality.get(period) == Some(sent))
        );
    }
}

#[test]
fn the_stories_are_as_many_as_asked_for() {
    let simulation = simulate(&Config::default(), &trusts(160));
    let count = |kind| simulation.truth.iter().filter(|t| t.kind == kind).count();
    assert_eq!(
        (
            count(TruthKind::Both),
            count(TruthKind::SavingsOnly),
            count(TruthKind::QualityOnly)
        ),
        (10, 16, 16)
    );
    let orgs: BTreeSet<OrgCode> = simulation.truth.iter().map(|t| t.org).collect();
    assert_eq!(orgs.len(), 42, "one story each");
}

#[test]
fn slips_hit_four_to_six_trigger_markers_of_two_domains() {
    let catalogue = shipped("markers.csv");
    let simulation = simulate(&Config::default(), &trusts(200));
    for truth in &simulation.truth {
        assert!((month("2011-10")..=month("2012-06")).contains(&truth.from));
        assert!(truth.until.is_none_or(|until| truth.from < until));
        if truth.kind == TruthKind::SavingsOnly {
            assert!(truth.markers.is_empty() && truth.effect_sd == 0.0 && truth.savings_jump > 0.0);
            continue;
        }
        assert!((2.5..=3.5).contains(&truth.effect_sd));
        assert!((4..=6).contains(&truth.markers.len()), "{truth:?}");
        let rows = truth.markers.iter().map(|m| {
            catalogue
                .iter()
                .find(|row| row["code"] == m.as_str())
                .unwrap()
        });
        let mut domains = BTreeSet::new();
        let mut full_baseline = BTreeSet::new();
        for row in rows {
            assert_eq!(row["trigger_role"], "trigger");
            let domain = QualityDomain::from_name(&row["domain"]).unwrap();
            assert!(domain.is_quality());
            domains.insert(domain);
            if row["standard_valid_from"] <= truth.from.plus(-24).unwrap().to_string() {
                full_baseline.insert(domain);
            }
        }
        assert!(domains.len() >= 2 && full_baseline.len() >= 2, "{truth:?}");
    }
}

#[test]
fn a_trust_that_is_not_acute_returns_what_all_providers_return() {
    let inputs: Vec<TrustInput> = trusts(30)
        .into_iter()
        .map(|t| TrustInput { acute: false, ..t })
        .collect();
    let simulation = simulate(
        &Config {
            quality_only_share: 0.5,
            ..Config::default()
        },
        &inputs,
    );
    let markers: BTreeSet<String> = simulation
        .trusts
        .iter()
        .flat_map(|t| t.quality.values().flatten())
        .map(|o| o.key.marker.to_string())
        .collect();
    let expected = [
        "COMPL_RATE",
        "COMPL_TIME",
        "FALLS_HARM",
        "NEVER_EVT",
        "PU_2_4",
        "SICKNESS",
    ];
    assert_eq!(
        markers.iter().map(String::as_str).collect::<Vec<_>>(),
        expected
    );
    for truth in simulation
        .truth
        .iter()
        .filter(|t| t.kind != TruthKind::SavingsOnly)
    {
        assert_eq!(truth.markers.len(), 4);
    }
    for link in simulation
        .trusts
        .iter()
        .flat_map(|t| &t.schemes)
        .flat_map(|s| &s.linked_markers)
    {
        assert!(
            expected.contains(&link.marker.as_str()),
            "{:?}",
            link.marker
        );
    }
}

#[test]
fn odd_configurations_give_less_and_never_fail() {
    let one = TrustInput {
        org: OrgCode::new("ABCDEFGHIJKL").unwrap(),
        annual_spend: Pence(-5),
        bed_days_per_month: Some(f64::NAN),
        acute: true,
    };
    let short = Config {
        last: month("2010-05"),
        harmful_share: 1.0,
        ..Config::default()
    };
    assert!(
        simulate(&short, std::slice::from_ref(&one))
            .truth
            .is_empty(),
        "no room for a story"
    );
    assert_eq!(simulate(&short, &[]).trusts.len(), 0);
    let backwards = Config {
        last: month("2008-01"),
        harmful_share: f64::NAN,
        ..Config::default()
    };
    let simulation = simulate(&backwards, &[one]);
    assert!(simulation.trusts[0].quality.is_empty() && simulation.trusts[0].savings.is_empty());
}
