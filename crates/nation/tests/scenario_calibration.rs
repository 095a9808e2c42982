//! Do the nations on which rules are scored behave as real markers do, and as their configuration says?
#![allow(clippy::unwrap_used, reason = "a test that fails to unwrap has failed")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use flate2::read::GzDecoder;
use qipp_domain::marker::Polarity;
use qipp_nation::TruthKind;
use qipp_nation::scenario::{
    Fault, Scenario, ScenarioConfig, ScoringNation, Story, TruthRow, scenario,
};
use support::portrait::{Marker, Parts, Portrait, shared};
use support::{mean, median, sd};

/// Waits over four hours by trust and calendar month, from the published weeks: trusts with every month, more than 2,000
/// attendances and at least 20 waits in each.
fn accident_and_emergency() -> Marker {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../data/ae_weekly_trust_2010-11_2013-03.csv.gz");
    let mut reader = csv::Reader::from_reader(GzDecoder::new(std::fs::File::open(path).unwrap()));
    let mut months: BTreeMap<String, BTreeMap<String, Parts>> = BTreeMap::new();
    for row in reader.deserialize::<BTreeMap<String, String>>() {
        let row = row.unwrap();
        let number = |name: &str| row[name].parse::<f64>().ok();
        let Some(of) = number("type1_attendances").filter(|_| !row["org_code"].is_empty()) else {
            continue;
        };
        let over = number("type1_over_4h")
            .or_else(|| Some((of * (100.0 - number("type1_pct_within_4h")?) / 100.0).round()));
        let Some(over) = over else { continue };
        let by_month = months.entry(row["org_code"].clone()).or_default();
        let parts = by_month
            .entry(row["week_ending"][..7].to_owned())
            .or_default();
        *parts = (parts.0 + over, parts.1 + of);
    }
    let all: BTreeSet<String> = months.values().flat_map(BTreeMap::keys).cloned().collect();
    let large = |(x, n): &Parts| *x >= 20.0 && *n > 2000.0;
    months.retain(|_, by_month| by_month.len() == all.len() && by_month.values().all(large));
    Marker {
        proportion: true,
        adverse: 1.0,
        first: 11,
        series: months
            .into_iter()
            .map(|(org, by)| (org, by.into_values().collect()))
            .collect(),
    }
}

/// The organisations to which nothing was done.
fn untouched(nation: &ScoringNation) -> BTreeSet<usize> {
    let touched = nation.faults.iter().filter_map(|fault| match fault {
        Fault::Tiny { org } | Fault::Merger { org, .. } => Some(*org),
        _ => None,
    });
    let touched: BTreeSet<usize> = nation
        .truth
        .iter()
        .map(|row| row.org)
        .chain(touched)
        .collect();
    (0..nation.organisations.len())
        .filter(|org| !touched.contains(org))
        .collect()
}

/// The markers of a nation, of those of the organisations that have every figure of all. Of restated figures the last
/// counts.
fn markers(nation: &ScoringNation, of: &BTreeSet<usize>) -> Vec<Marker> {
    let months = nation.months;
    let place = |org: usize, marker: usize| (org * nation.markers.len() + marker) * months;
    let mut figures: Vec<Option<Parts>> = vec![None; place(nation.organisations.len(), 0)];
    for row in &nation.observations {
        let parts = (row.numerator as f64, row.denominator as f64);
        figures[place(row.org, row.marker) + row.month] = Some(parts);
    }
    let whole = |org: &&usize| {
        figures[place(**org, 0)..place(**org + 1, 0)]
            .iter()
            .all(Option::is_some)
    };
    let orgs: Vec<usize> = of.iter().filter(whole).copied().collect();
    let series = |marker: usize| {
        let months = |org: usize| &figures[place(org, marker)..place(org, marker) + months];
        orgs.iter()
            .map(|org| {
                (
                    nation.organisations[*org].to_string(),
                    months(*org).iter().flatten().copied().collect(),
                )
            })
            .collect()
    };
    (0..nation.markers.len())
        .map(|marker| Marker {
            proportion: nation.markers[marker].proportion,
            adverse: if nation.markers[marker].polarity == Polarity::HigherIsBetter {
                -1.0
            } else {
                1.0
            },
            first: nation.first.month().unsigned_abs().into(),
            series: series(marker),
        })
        .collect()
}

/// A nation as real as can be, but with so few gaps that there are series without any.
fn real() -> ScoringNation {
    let mut config = ScenarioConfig::new(Scenario::Real, 2012);
    config.faults.missing_figures = 0.0001;
    config.faults.missing_returns = 0.001;
    scenario(&config)
}

#[test]
fn waits_in_emergency_departments_are_what_the_calibration_cites() {
    let published = accident_and_emergency();
    assert_eq!(published.series.len(), 138);
    let p = published.portrait();
    println!("{p:?}");
    for (what, found, cited) in [
        ("autocorrelation", p.rho, 0.40),
        ("overdispersion", p.overdispersion, 54.0),
        ("spread of standard deviations", p.sd_spread, 0.28),
        ("spread of levels", p.level_spread, 0.97),
        ("trend", p.trend, 0.50),
        ("winter", p.winter, 0.51),
        ("month effect", p.month_effect, 0.33),
    ] {
        assert!(
            (found - cited).abs() < 0.02 * cited,
            "{what}: {found}, cited {cited}"
        );
    }
}

#[test]
fn a_real_nation_looks_like_real_markers() {
    let nation = real();
    let changed: BTreeSet<usize> = nation
        .faults
        .iter()
        .filter_map(|fault| match fault {
            Fault::Redefinition { marker, .. } | Fault::NationalShock { marker, .. } => {
                Some(*marker)
            }
            _ => None,
        })
        .collect();
    let markers = markers(&nation, &untouched(&nation));
    println!("{} organisations", markers[0].series.len());
    let portraits: Vec<Portrait> = markers
        .iter()
        .enumerate()
        .filter(|(index, _)| !changed.contains(index))
        .map(|(_, marker)| marker.portrait())
        .collect();
    for portrait in &portraits {
        println!("{portrait:?}");
    }
    assert_eq!(
        portraits.len(),
        18,
        "one marker has a shock, one is redefined"
    );
    let of = |f: fn(&Portrait) -> f64| portraits.iter().map(f).collect::<Vec<f64>>();
    let square = |all: Vec<f64>| mean(&all.iter().map(|x| x * x).collect::<Vec<f64>>()).sqrt();
    for (what, found, low, high) in [
        (
            "autocorrelation, median marker",
            median(of(|p| p.rho)),
            0.3,
            0.6,
        ),
        // A&E 54; counts are rarer elsewhere.
        (
            "overdispersion, median marker",
            median(of(|p| p.overdispersion)),
            8.0,
            60.0,
        ),
        (
            "overdispersion, most",
            of(|p| p.overdispersion).into_iter().fold(0.0, f64::max),
            40.0,
            120.0,
        ),
        (
            "spread of standard deviations",
            mean(&of(|p| p.sd_spread)),
            0.22,
            0.32,
        ),
        ("spread of levels", mean(&of(|p| p.level_spread)), 0.8, 1.3),
        ("trend, a year", square(of(|p| p.trend)), 0.15, 0.5),
        ("winter, mean", mean(&of(|p| p.winter)), 0.3, 0.7),
        ("month effect", mean(&of(|p| p.month_effect)), 0.25, 0.45),
        // A normal distribution has just under 3 in short series; t6 and its mixture with a shared t6 have more.
        (
            "fourth moment of innovations",
            mean(&of(|p| p.kurtosis)),
            3.3,
            6.0,
        ),
    ] {
        println!("{what}: {found:.3}");
        assert!(
            (low..high).contains(&found),
            "{what}: {found} is not in {low} to {high}"
        );
    }
}

#[test]
fn markers_of_an_organisation_share_a_fifth() {
    let nation = real();
    let residuals: Vec<_> = markers(&nation, &untouched(&nation))
        .iter()
        .map(Marker::residuals)
        .collect();
    let pairs = (1..residuals.len()).map(|marker| shared(&residuals[0], &residuals[marker]));
    let found = mean(&pairs.collect::<Vec<f64>>());
    println!("correlation of innovations: {found:.3}");
    assert!((0.15..0.22).contains(&found), "{found}");
}

/// Savings as a reader takes them: logarithm, less the national median of the month.
fn savings(nation: &ScoringNation) -> BTreeMap<String, Vec<f64>> {
    let mut money: BTreeMap<String, Vec<Parts>> = BTreeMap::new();
    for row in &nation.savings {
        let code = nation.organisations[row.org].to_string();
        money
            .entry(code)
            .or_default()
            .push((row.actual_pence as f64, 1.0));
    }
    let as_rate = Marker {
        proportion: false,
        adverse: 1.0,
        first: 4,
        series: money,
    };
    as_rate.residuals()
}

/// How far series move from before month 25 to the time when an effect is there in full, mean over the organisations
/// that are named, in standard deviations of those to which nothing was done.
fn moved(
    residuals: &BTreeMap<String, Vec<f64>>,
    who: &BTreeSet<String>,
    others: &BTreeSet<String>,
) -> f64 {
    let sds: Vec<f64> = others.iter().map(|org| sd(&residuals[org])).collect();
    let shifts: Vec<f64> = who
        .iter()
        .map(|org| mean(&residuals[org][26..]) - mean(&residuals[org][..24]))
        .collect();
    mean(&shifts) / mean(&sds)
}

#[test]
fn effects_have_the_size_that_the_scenario_says() {
    for (name, slip, rise) in [
        (Scenario::A, 1.0, 1.5),
        (Scenario::B, 1.0, 1.5),
        (Scenario::C, 1.5, 2.0),
        (Scenario::E, 2.0, 2.0),
    ] {
        let nation = scenario(&ScenarioConfig::new(name, 90_001));
        let code = |org: usize| nation.organisations[org].to_string();
        let others: BTreeSet<String> = untouched(&nation).into_iter().map(code).collect();
        let everybody = (0..nation.organisations.len()).collect();
        let mut slips = Vec::new();
        let mut rest = Vec::new();
        for (index, marker) in markers(&nation, &everybody).iter().enumerate() {
            let (those, spared): (Vec<_>, Vec<_>) = nation
                .truth
                .iter()
                .partition(|row| row.markers.contains(&index));
            let codes = |rows: Vec<&TruthRow>| rows.iter().map(|row| code(row.org)).collect();
            let residuals = marker.residuals();
            slips.push(moved(&residuals, &codes(those), &others));
            rest.push(moved(&residuals, &codes(spared), &others));
        }
        let saving = |row: &&TruthRow| row.kind != TruthKind::QualityOnly;
        let saved: BTreeSet<String> = nation
            .truth
            .iter()
            .filter(saving)
            .map(|row| code(row.org))
            .collect();
        let rose = moved(&savings(&nation), &saved, &others);
        println!(
            "{}: slip {:.2}, spared {:.2}, savings {rose:.2}",
            name.name(),
            mean(&slips),
            mean(&rest)
        );
        // Short series understate the standard deviation of what persists, by up to a tenth.
        assert!(
            (0.95 * slip..1.2 * slip).contains(&mean(&slips)),
            "{slips:?}"
        );
        assert!(mean(&rest).abs() < 0.1, "{rest:?}");
        assert!((0.9 * rise..1.25 * rise).contains(&rose), "{rose}");
    }
}

#[test]
fn without_autocorrelation_there_is_none_but_the_scatter() {
    for (name, low, high) in [
        (Scenario::B, -0.1, 0.02),
        (Scenario::A, 0.1, 0.4),
        (Scenario::C, 0.3, 0.55),
    ] {
        let nation = scenario(&ScenarioConfig::new(name, 90_002));
        let rhos: Vec<f64> = markers(&nation, &untouched(&nation))
            .iter()
            .map(|marker| marker.portrait().rho)
            .collect();
        println!("{}: {:.3}", name.name(), mean(&rhos));
        assert!((low..high).contains(&mean(&rhos)), "{rhos:?}");
    }
}

#[test]
fn genuine_schemes_save_and_do_good() {
    let config = ScenarioConfig {
        genuine_share: 1.0,
        ..ScenarioConfig::new(Scenario::E, 90_003)
    };
    let nation = scenario(&config);
    let code = |org: usize| nation.organisations[org].to_string();
    let others: BTreeSet<String> = untouched(&nation).into_iter().map(code).collect();
    let everybody = (0..nation.organisations.len()).collect();
    let mut improved = Vec::new();
    for (index, marker) in markers(&nation, &everybody).iter().enumerate() {
        let is_genuine = |story: &&Story| story.quality_sd < 0.0 && story.markers.contains(&index);
        let who: BTreeSet<String> = nation
            .stories
            .iter()
            .filter(is_genuine)
            .map(|s| code(s.org))
            .collect();
        improved.push(moved(&marker.residuals(), &who, &others));
    }
    println!("{:.2}", mean(&improved));
    assert!((-2.4..-1.9).contains(&mean(&improved)), "{improved:?}");
    assert!(
        nation
            .truth
            .iter()
            .all(|row| row.kind != TruthKind::SavingsOnly || row.markers.is_empty())
    );
}
