//! Are the nations on which rules are scored what their configuration says?
#![allow(clippy::unwrap_used, reason = "a test that fails to unwrap has failed")]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use qipp_domain::OrgCode;
use qipp_nation::TruthKind;
use qipp_nation::scenario::{
    FaultRates, ObservationRow, Onsets, Scenario, ScenarioConfig, ScoringNation, files, scenario,
};
use support::shipped;

/// All four files as one text.
fn text(nation: &ScoringNation) -> String {
    files::markers(nation)
        .chain(files::observations(nation))
        .chain(files::savings(nation))
        .chain(files::truth(nation))
        .collect::<Vec<_>>()
        .join("\n")
}

fn small(scenario: Scenario, seed: u64) -> ScenarioConfig {
    ScenarioConfig {
        organisations: 60,
        ..ScenarioConfig::new(scenario, seed)
    }
}

fn kinds(nation: &ScoringNation) -> BTreeMap<TruthKind, usize> {
    let mut kinds = BTreeMap::new();
    for row in &nation.truth {
        *kinds.entry(row.kind).or_default() += 1;
    }
    kinds
}

#[test]
fn the_same_configuration_gives_the_same_bytes() {
    for (name, _) in Scenario::NAMES {
        let config = small(name, 7);
        let first = text(&scenario(&config));
        assert_eq!(first, text(&scenario(&config)));
        assert_ne!(
            first,
            text(&scenario(&ScenarioConfig { seed: 8, ..config }))
        );
    }
}

#[test]
fn what_an_organisation_returns_does_not_depend_on_who_else_is_there() {
    let many = ScenarioConfig {
        faults: FaultRates {
            mergers: 0.0,
            ..ScenarioConfig::new(Scenario::Real, 5).faults
        },
        ..small(Scenario::Real, 5)
    };
    let few = ScenarioConfig {
        organisations: 20,
        ..many
    };
    let (many, few) = (scenario(&many), scenario(&few));
    let cast: BTreeSet<usize> = many
        .truth
        .iter()
        .chain(&few.truth)
        .map(|row| row.org)
        .collect();
    let of = |nation: &ScoringNation| -> Vec<ObservationRow> {
        let rows = nation.observations.iter().copied();
        rows.filter(|row| row.org < 20 && !cast.contains(&row.org))
            .collect()
    };
    assert!(of(&few).len() > 5000);
    assert_eq!(of(&many), of(&few));
}

#[test]
fn the_study_has_25_both_and_50_of_each_control_in_500() {
    for (name, both) in [
        (Scenario::A, 25),
        (Scenario::B, 25),
        (Scenario::C, 25),
        (Scenario::E, 25),
        (Scenario::N, 0),
    ] {
        let nation = scenario(&ScenarioConfig::new(name, 90_000));
        let kinds = kinds(&nation);
        assert_eq!(kinds.get(&TruthKind::Both).copied().unwrap_or(0), both);
        assert_eq!(kinds[&TruthKind::SavingsOnly], 50);
        assert_eq!(kinds[&TruthKind::QualityOnly], 50);
        assert_eq!(
            nation.observations.len(),
            500 * 20 * 48,
            "no figure is missing"
        );
        assert_eq!(nation.savings.len(), 500 * 48);
        assert!(nation.faults.is_empty());
        for row in &nation.truth {
            assert_eq!((row.from, row.until), (24, None));
            let domains: BTreeSet<_> = row
                .markers
                .iter()
                .map(|m| nation.markers[*m].domain)
                .collect();
            let slips = row.kind != TruthKind::SavingsOnly;
            assert_eq!(
                (row.markers.len(), domains.len()),
                if slips { (4, 1) } else { (0, 0) }
            );
        }
    }
}

#[test]
fn nobody_in_a_scoring_nation_exists() {
    let nation = scenario(&small(Scenario::A, 1));
    let mut real = BTreeSet::new();
    for file in [
        "org_trusts.csv",
        "org_pct_sha_2010.csv",
        "trust_characteristics_peerfinder.csv",
    ] {
        for row in shipped(file) {
            real.extend(row.values().filter_map(|cell| OrgCode::new(cell).ok()));
        }
    }
    assert!(real.len() > 300);
    for code in &nation.organisations {
        assert!(
            code.as_str().starts_with("SIM") && !real.contains(code),
            "{code}"
        );
    }
}

#[test]
fn onsets_spread_over_a_year_and_leave_one_after_them() {
    let config = ScenarioConfig {
        onsets: Onsets::Spread,
        lag: (0, 3),
        ..ScenarioConfig::new(Scenario::E, 3)
    };
    let nation = scenario(&config);
    let onsets: BTreeSet<usize> = nation
        .stories
        .iter()
        .filter_map(|story| story.savings_from)
        .collect();
    assert_eq!(onsets, (24..36).collect());
    let lags: BTreeSet<usize> = nation
        .stories
        .iter()
        .filter_map(|story| Some(story.quality_from? - story.savings_from?))
        .collect();
    assert_eq!(lags, (0..=3).collect());
}

#[test]
fn numbers_out_of_range_count_as_the_nearest_in_it() {
    let config = ScenarioConfig {
        organisations: 0,
        months: 0,
        lag: (9, 7),
        genuine_share: f64::NAN,
        onsets: Onsets::Spread,
        first: qipp_domain::Period::LAST,
        faults: FaultRates {
            mergers: 7.0,
            missing_figures: f64::NAN,
            redefinitions: -1.0,
            shocks: 2.0,
            ..FaultRates::NONE
        },
        ..ScenarioConfig::new(Scenario::Real, u64::MAX)
    };
    assert_eq!(config.problems().len(), 10);
    let nation = scenario(&config);
    assert_eq!((nation.organisations.len(), nation.months), (1, 36));
    assert_eq!(nation.observations.len(), 20 * 36);
    assert_eq!(
        nation.faults.len(),
        20,
        "a shock for each marker, and nobody to merge with"
    );
    let crowd = scenario(&ScenarioConfig {
        organisations: 40,
        months: 5000,
        ..config
    });
    assert_eq!((crowd.organisations.len(), crowd.months), (40, 120));
}
