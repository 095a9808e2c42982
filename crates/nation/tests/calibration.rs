//! Does the simulated nation look like what was published? 160 trusts of the shipped data, default configuration.
#![allow(clippy::unwrap_used, reason = "a test that fails to unwrap has failed")]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use qipp_domain::returns::{SavingsLine, Value};
use qipp_domain::scheme::Scheme;
use qipp_domain::{FinancialYear, MarkerCode, OrgCode, Pence, Period, SeriesKey};
use qipp_nation::{Config, SimulatedTrust, Simulation, TruthKind, simulate};
use support::{correlation, mean, median, month, quantile, residuals, sd, shipped, trusts};

const TRUSTS: usize = 160;

/// Of each marker: is it a proportion, and which way is adverse (catalogue).
const MARKERS: [(&str, bool, f64); 18] = [
    ("CANC_2WW", true, -1.0),
    ("CANC_31", true, -1.0),
    ("CANC_62", true, -1.0),
    ("CANX_28D", true, 1.0),
    ("CDI", false, 1.0),
    ("COMPL_RATE", false, 1.0),
    ("COMPL_TIME", true, -1.0),
    ("DM01_6W", true, 1.0),
    ("DTOC", true, 1.0),
    ("FALLS_HARM", false, 1.0),
    ("MSA", false, 1.0),
    ("NEL_ADM", false, 1.0),
    ("NEVER_EVT", false, 1.0),
    ("PU_2_4", false, 1.0),
    ("READM_30", true, 1.0),
    ("SICKNESS", true, 1.0),
    ("STROKE_HF", true, -1.0),
    ("VTE_RA", true, -1.0),
];

/// Markers with few events a month: counting noise hides persistence and correlation there, as it should.
const SPARSE: [&str; 5] = ["CANC_31", "CANX_28D", "CDI", "FALLS_HARM", "NEVER_EVT"];

fn nation() -> Simulation {
    simulate(&Config::default(), &trusts(TRUSTS))
}

fn undisturbed(simulation: &Simulation) -> Vec<&SimulatedTrust> {
    let cast: BTreeSet<OrgCode> = simulation.truth.iter().map(|truth| truth.org).collect();
    simulation
        .trusts
        .iter()
        .filter(|trust| !cast.contains(&trust.org))
        .collect()
}

/// Planned by month over all schemes that `wanted` accepts.
fn planned(trust: &SimulatedTrust, period: Period, wanted: impl Fn(&Scheme) -> bool) -> f64 {
    let in_month = trust
        .schemes
        .iter()
        .filter(|s| wanted(s))
        .filter_map(|s| s.planned_in(period));
    in_month.map(|p| p.0 as f64).sum()
}

fn months_of(year: i16) -> Vec<Period> {
    let april = Period::new(year, 4).unwrap();
    april.to(april.plus(11).unwrap()).collect()
}

#[test]
fn trusts_plan_to_save_four_to_six_percent_of_spend() {
    let simulation = nation();
    let spend: BTreeMap<OrgCode, f64> = trusts(TRUSTS)
        .iter()
        .map(|t| (t.org, t.annual_spend.0 as f64))
        .collect();
    for (year, low, high) in [
        (2010, 0.040, 0.050),
        (2011, 0.050, 0.060),
        (2012, 0.046, 0.056),
    ] {
        let share = |t: &&SimulatedTrust| {
            months_of(year)
                .iter()
                .map(|p| planned(t, *p, |_| true))
                .sum::<f64>()
                / spend[&t.org]
        };
        let shares: Vec<f64> = undisturbed(&simulation).iter().map(share).collect();
        let (middle, p10, p90) = (
            median(shares.clone()),
            quantile(shares.clone(), 0.1),
            quantile(shares, 0.9),
        );
        println!("{year}: plan share of spend median {middle:.4}, p10 {p10:.4}, p90 {p90:.4}");
        assert!((low..high).contains(&middle), "{year}: {middle}");
        assert!(p10 > 0.025 && p90 < 0.10, "{year}: {p10} {p90}");
    }
}

#[test]
fn the_year_begins_slowly() {
    let simulation = nation();
    let (mut first_quarter, mut half) = (Vec::new(), Vec::new());
    for trust in undisturbed(&simulation) {
        for year in 2010..=2012 {
            let plan: Vec<f64> = months_of(year)
                .iter()
                .map(|p| planned(trust, *p, |_| true))
                .collect();
            let total: f64 = plan.iter().sum();
            first_quarter.push(plan[..3].iter().sum::<f64>() / total);
            half.push(plan[..6].iter().sum::<f64>() / total);
        }
    }
    let (q1, h1) = (median(first_quarter), median(half));
    println!("quarter 1: {q1:.4} of the year; half-year: {h1:.4}");
    assert!((0.12..0.145).contains(&q1), "{q1}");
    assert!((0.405..0.435).contains(&h1), "{h1}");
}

#[test]
fn four_tenths_of_the_plan_are_national() {
    let simulation = nation();
    for (year, expected) in [(2010, 0.30), (2011, 0.38), (2012, 0.38)] {
        let sum = |wanted: &dyn Fn(&Scheme) -> bool| {
            undisturbed(&simulation)
                .iter()
                .flat_map(|t| months_of(year).into_iter().map(|p| planned(t, p, wanted)))
                .sum::<f64>()
        };
        let part = sum(&|s| s.category.is_national()) / sum(&|_| true);
        assert!((part - expected).abs() < 0.005, "{year}: {part}");
    }
}

/// Delivered since April and planned since April, from what a trust states in the last month of a year in which all
/// returns came.
fn delivered(trust: &SimulatedTrust, year: i16) -> Option<f64> {
    let months = months_of(year);
    let mut plan = Pence(0);
    let mut actual = Pence(0);
    for period in &months {
        let lines = trust.savings.get(period)?;
        if lines.iter().any(|line| line.missing.is_some()) {
            return None;
        }
        plan = plan + lines.iter().filter_map(|l| l.plan).sum();
        actual = actual + lines.iter().filter_map(|l| l.actual).sum();
    }
    let ytd: Pence = trust
        .savings
        .get(months.last()?)?
        .iter()
        .filter_map(|l| l.actual_ytd)
        .sum();
    Some(((actual + ytd).0 as f64) / plan.0 as f64)
}

#[test]
fn trusts_deliver_about_85_percent_of_plan() {
    let simulation = nation();
    let ratios: Vec<f64> = simulation
        .trusts
        .iter()
        .flat_map(|t| (2010..=2012).filter_map(|year| delivered(t, year)))
        .collect();
    let (low, middle, high) = (
        quantile(ratios.clone(), 0.25),
        median(ratios.clone()),
        quantile(ratios.clone(), 0.75),
    );
    println!(
        "delivery: {} trust-years, quartiles {low:.3} {middle:.3} {high:.3}",
        ratios.len()
    );
    assert!((0.80..0.90).contains(&middle), "{middle}");
    assert!(
        (0.62..0.75).contains(&low) && (0.95..1.08).contains(&high),
        "{low} {high}"
    );
}

#[test]
fn part_of_what_is_delivered_does_not_recur() {
    let simulation = nation();
    let lines: Vec<&SavingsLine> = simulation
        .trusts
        .iter()
        .flat_map(|t| t.savings.values().flatten())
        .collect();
    let stated = lines
        .iter()
        .filter_map(|l| Some((l.actual?.0 as f64, l.recurrent?.0 as f64)));
    let (actual, recurrent) = stated.fold((0.0, 0.0), |(a, r), (actual, recurrent)| {
        (a + actual, r + recurrent)
    });
    let part = recurrent / actual;
    println!("recurrent: {part:.3} of delivered");
    assert!((0.80..0.93).contains(&part), "{part}");
}

#[test]
fn delivery_of_a_trust_persists_from_month_to_month() {
    let simulation = nation();
    let mut pairs = Vec::new();
    for trust in undisturbed(&simulation) {
        let ratio = |lines: &Vec<SavingsLine>| {
            let stated: Vec<_> = lines
                .iter()
                .filter_map(|l| Some((l.actual?.0 as f64, l.plan?.0 as f64)))
                .collect();
            let (actual, plan) = stated
                .iter()
                .fold((0.0, 0.0), |(a, p), (x, y)| (a + x, p + y));
            (plan > 0.0).then(|| (actual / plan).ln())
        };
        let series: Vec<f64> = trust.savings.values().filter_map(ratio).collect();
        if series.len() > 24 {
            let m = mean(&series);
            pairs.extend(series.windows(2).map(|w| (w[0] - m, w[1] - m)));
        }
    }
    let r = correlation(&pairs);
    println!("lag-1 autocorrelation of delivery within trusts: {r:.3}");
    assert!((0.4..0.75).contains(&r), "{r}");
}

#[test]
fn markers_persist_from_month_to_month() {
    let simulation = nation();
    let calm: BTreeSet<OrgCode> = undisturbed(&simulation).iter().map(|t| t.org).collect();
    let (mut all, mut dense) = (Vec::new(), Vec::new());
    for (marker, proportion, adverse) in MARKERS {
        let mut of_marker = Vec::new();
        for (org, series) in residuals(&simulation, marker, proportion, adverse) {
            let values: Vec<f64> = series.into_values().collect();
            if calm.contains(&org) && values.len() >= 20 {
                let pairs: Vec<_> = values.windows(2).map(|w| (w[0], w[1])).collect();
                of_marker.push(correlation(&pairs));
            }
        }
        of_marker.retain(|r| r.is_finite());
        println!(
            "{marker}: lag-1 autocorrelation {:.3}",
            median(of_marker.clone())
        );
        if !SPARSE.contains(&marker) {
            dense.extend(of_marker.clone());
        }
        all.extend(of_marker);
    }
    let (all, dense) = (median(all), median(dense));
    println!("lag-1 autocorrelation: all markers {all:.3}, those with many events {dense:.3}");
    assert!((0.25..0.65).contains(&all), "{all}");
    assert!((0.30..0.65).contains(&dense), "{dense}");
}

#[test]
fn markers_of_a_trust_share_their_weather() {
    let simulation = nation();
    let calm: Vec<OrgCode> = undisturbed(&simulation).iter().map(|t| t.org).collect();
    let by_marker: BTreeMap<&str, support::Residuals> = MARKERS
        .iter()
        .map(|(m, proportion, adverse)| (*m, residuals(&simulation, m, *proportion, *adverse)))
        .collect();
    let (mut all, mut dense) = (Vec::new(), Vec::new());
    for (i, (first, ..)) in MARKERS.iter().enumerate() {
        for (second, ..) in &MARKERS[i + 1..] {
            let mut of_pair = Vec::new();
            for org in &calm {
                let (a, b) = (&by_marker[first][org], &by_marker[second][org]);
                let pairs: Vec<_> = a
                    .iter()
                    .filter_map(|(p, x)| Some((*x, *b.get(p)?)))
                    .collect();
                of_pair.push(correlation(&pairs));
            }
            of_pair.retain(|r| r.is_finite());
            if !SPARSE.contains(first) && !SPARSE.contains(second) {
                dense.push(mean(&of_pair));
            }
            all.push(mean(&of_pair));
        }
    }
    let (all, dense) = (mean(&all), mean(&dense));
    println!("correlation of two markers: all {all:.3}, those with many events {dense:.3}");
    assert!((0.10..0.30).contains(&all), "{all}");
    assert!((0.10..0.30).contains(&dense), "{dense}");
}

#[test]
fn slipping_markers_move_by_what_the_truth_says_and_others_do_not() {
    let simulation = nation();
    let (mut felt, mut unfelt) = (Vec::new(), Vec::new());
    for (marker, proportion, adverse) in MARKERS {
        let code = MarkerCode::new(marker).unwrap();
        let by_org = residuals(&simulation, marker, proportion, adverse);
        for truth in &simulation.truth {
            let Some(series) = by_org.get(&truth.org) else {
                continue;
            };
            let before: Vec<f64> = series.range(..truth.from).map(|(_, y)| *y).collect();
            let after: Vec<f64> = series
                .iter()
                .filter(|(p, _)| truth.slip_in(**p) >= 1.0)
                .map(|(_, y)| *y)
                .collect();
            if before.len() < 12 || after.len() < 6 {
                continue;
            }
            let shift = (mean(&after) - mean(&before)) / sd(&before);
            if truth.markers.contains(&code) {
                felt.push(shift / truth.effect_sd);
            } else if !SPARSE.contains(&marker) {
                unfelt.push(shift);
            }
        }
    }
    let (slip, rest) = (median(felt.clone()), median(unfelt));
    println!(
        "{} slips: shift over stated effect, median {slip:.3}; markers that do not slip move by {rest:.3} sd",
        felt.len()
    );
    assert!((0.80..1.25).contains(&slip), "{slip}");
    assert!(rest.abs() < 0.25, "{rest}");
}

/// Delivered in the three months up to `end` over the same months a year before, without national items, as R01 sees
/// it. From plans, which every trust states.
fn own_rise(trust: &SimulatedTrust, end: Period) -> f64 {
    let three = |end: Period| {
        let own = |s: &Scheme| !s.category.is_outside_r01();
        end.plus(-2)
            .unwrap()
            .to(end)
            .map(|p| planned(trust, p, own))
            .sum::<f64>()
    };
    three(end) / three(end.plus(-12).unwrap())
}

#[test]
fn savings_jump_where_the_truth_says_so_and_fall_where_only_quality_slips() {
    let simulation = nation();
    let of = |org: OrgCode| simulation.trusts.iter().find(|t| t.org == org).unwrap();
    let mut jumps = Vec::new();
    for truth in &simulation.truth {
        let rise = own_rise(of(truth.org), truth.from.plus(4).unwrap());
        // R01 calls savings rising from 1.05 on.
        match truth.kind {
            TruthKind::Both | TruthKind::SavingsOnly => {
                assert!(rise > 1.05, "{truth:?}: {rise}");
                jumps.push(rise);
            }
            TruthKind::QualityOnly => assert!(rise < 1.05, "{truth:?}: {rise}"),
        }
    }
    let jump = median(jumps);
    println!("own plan against a year before, savings that jump: median {jump:.3}");
    assert!(jump > 1.5, "{jump}");
    let others: Vec<f64> = undisturbed(&simulation)
        .iter()
        .map(|t| own_rise(t, month("2012-06")))
        .collect();
    println!(
        "own plan against a year before, undisturbed trusts, June 2012: median {:.3}",
        median(others)
    );
}

#[test]
fn markers_are_returned_only_while_the_catalogue_allows_them() {
    let simulation = nation();
    let catalogue: BTreeMap<String, BTreeMap<String, String>> = shipped("markers.csv")
        .into_iter()
        .map(|row| (row["code"].clone(), row))
        .collect();
    let text = |p: Period| p.to_string();
    let mut seen: BTreeMap<MarkerCode, Period> = BTreeMap::new();
    for (period, observations) in simulation.trusts.iter().flat_map(|t| &t.quality) {
        for pair in observations.windows(2) {
            assert!(pair[0].key < pair[1].key, "in order, each once");
        }
        for observation in observations {
            let row = &catalogue[observation.key.marker.as_str()];
            let (from, to) = (&row["standard_valid_from"], &row["standard_valid_to"]);
            assert!(
                *from <= text(*period) && (to.is_empty() || text(*period) < *to),
                "{:?} {period}",
                observation.key
            );
            assert!(observation.simulated && observation.definition_version == 1);
            let first = seen.entry(observation.key.marker).or_insert(*period);
            *first = (*first).min(*period);
        }
    }
    for (marker, first) in &seen {
        let from = catalogue[marker.as_str()]["standard_valid_from"].clone();
        assert_eq!(
            text(*first),
            from.max("2009-04".to_owned()),
            "{marker} starts when it may"
        );
    }
    assert_eq!(
        seen.into_keys().collect::<Vec<_>>(),
        qipp_nation::simulated_markers()
    );
    for (marker, proportion, adverse) in MARKERS {
        let row = &catalogue[marker];
        let higher = row["polarity"] == "higher_is_better";
        assert_eq!(higher, adverse < 0.0, "{marker}");
        assert!(proportion || !row["unit"].contains("percent"), "{marker}");
    }
}

#[test]
fn numerators_are_parts_of_denominators_and_missing_is_never_zero() {
    let simulation = nation();
    let (mut measured, mut missing) = (0_u32, 0_u32);
    for observation in simulation
        .trusts
        .iter()
        .flat_map(|t| t.quality.values().flatten())
    {
        match observation.value {
            Value::Missing(_) => missing += 1,
            Value::Measured(m) => {
                measured += 1;
                let of = m.denominator.unwrap();
                assert!(of.thousandths() > 0 && m.numerator.thousandths() >= 0);
                let is_part = MARKERS
                    .iter()
                    .any(|(code, part, _)| *part && observation.key.marker.as_str() == *code);
                assert!(!is_part || m.numerator <= of, "{observation:?}");
            }
        }
    }
    let share = f64::from(missing) / f64::from(measured + missing);
    assert!((0.003..0.005).contains(&share), "{share}");
    for line in simulation
        .trusts
        .iter()
        .flat_map(|t| t.savings.values().flatten())
    {
        assert!(line.plan.is_some() && line.simulated);
        assert!(
            line.missing.is_none()
                || (line.actual, line.actual_ytd, line.recurrent) == (None, None, None)
        );
        assert!(line.missing.is_some() || line.actual.is_some() != line.actual_ytd.is_some());
    }
    let sent: usize = simulation.trusts.iter().map(|t| t.savings.len()).sum();
    let unsent = 1.0 - sent as f64 / (TRUSTS * 36) as f64;
    assert!((0.005..0.018).contains(&unsent), "{unsent}");
}

#[test]
fn bed_days_are_one_figure_a_month() {
    let simulation = nation();
    for observations in simulation.trusts.iter().flat_map(|t| t.quality.values()) {
        let bed_days: BTreeSet<_> = ["CDI", "FALLS_HARM", "PU_2_4", "NEVER_EVT", "DTOC"]
            .iter()
            .filter_map(|code| {
                observations
                    .iter()
                    .find(|o| o.key == SeriesKey::whole(MarkerCode::new(code).unwrap()))
            })
            .filter_map(|o| match o.value {
                Value::Measured(m) => m.denominator,
                Value::Missing(_) => None,
            })
            .collect();
        assert!(bed_days.len() <= 1);
    }
}

#[test]
fn schemes_of_quality_stand_beside_schemes_in_name_only() {
    let simulation = nation();
    let mut genuine_share = Vec::new();
    for trust in &simulation.trusts {
        for year in 2010..=2012 {
            let of_year: Vec<&Scheme> = trust
                .schemes
                .iter()
                .filter(|s| s.start.financial_year() == FinancialYear(year))
                .collect();
            assert!(
                (4..=10).contains(&of_year.len()),
                "{} {year}: {}",
                trust.org,
                of_year.len()
            );
        }
        let own: Vec<&Scheme> = trust
            .schemes
            .iter()
            .filter(|s| !s.category.is_national())
            .collect();
        genuine_share.push(
            own.iter().filter(|s| s.standing().is_genuine()).count() as f64 / own.len() as f64,
        );
        for scheme in &trust.schemes {
            assert!(scheme.simulated && scheme.org == trust.org);
            assert!(scheme.id.as_str().starts_with(&format!("{}-", trust.org)));
            let last = scheme
                .start
                .plus(i32::try_from(scheme.planned.len()).unwrap() - 1)
                .unwrap();
            assert_eq!(last.financial_year(), scheme.start.financial_year());
            assert_eq!(last.month(), 3, "plans end with the year");
        }
        let known: BTreeSet<_> = trust.schemes.iter().map(|s| s.id).collect();
        assert_eq!(known.len(), trust.schemes.len());
        assert!(
            trust
                .savings
                .values()
                .flatten()
                .all(|line| known.contains(&line.scheme))
        );
    }
    println!(
        "genuine own schemes: median {:.3} of a trust's",
        median(genuine_share.clone())
    );
    assert!((0.2..0.5).contains(&median(genuine_share)));
}
