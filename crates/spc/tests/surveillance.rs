//! The surveillance layer as a whole, on simulated panels with known truth. Seeds are fixed, so nothing here is random;
//! the bounds are wide of what 20 seeds of `cargo run --release -p qipp-spc --example surveillance` show.

#[allow(dead_code)]
#[path = "../examples/surveillance/simulate.rs"]
mod simulate;

use qipp_spc::surveillance::{Assessment, Design, Options, Panel, SurveillanceError, assess};
use simulate::{Kind, Nation, Scenario, nation, panel};

fn options() -> Options {
    Options {
        resamples: 99,
        ..Options::default()
    }
}

fn small(name: &str, organisations: usize) -> Scenario {
    let share = |n: usize| n * organisations / 500;
    let full = Scenario::named(name);
    Scenario {
        organisations,
        both: share(full.both),
        savings_only: share(full.savings_only),
        quality_only: share(full.quality_only),
        ..full
    }
}

fn at(panel: &Panel, end: usize) -> Assessment {
    assess(panel, end, &options(), 1).expect("the panel is sound")
}

/// True alerts, false alerts, targets.
fn hits(nation: &Nation, now: &Assessment) -> (usize, usize, usize) {
    let right = now
        .alerts
        .iter()
        .filter(|alert| nation.kind[alert.unit] == Kind::Both)
        .count();
    let targets = nation
        .kind
        .iter()
        .filter(|kind| **kind == Kind::Both)
        .count();
    (right, now.alerts.len() - right, targets)
}

#[test]
fn most_harm_is_found_and_few_alerts_are_false() {
    // After 23 months of a shift that is there in full; power of single months, from the table of 20 seeds, is higher.
    for (name, least) in [("A", 0.4), ("E", 0.8)] {
        let scenario = Scenario::named(name);
        let (mut right, mut wrong, mut targets) = (0, 0, 0);
        for seed in 1..=2 {
            let nation = nation(&scenario, seed);
            let (r, w, t) = hits(&nation, &at(&panel(&scenario, &nation), 47));
            (right, wrong, targets) = (right + r, wrong + w, targets + t);
        }
        let (power, fdr) = (
            right as f64 / targets as f64,
            wrong as f64 / (right + wrong) as f64,
        );
        assert!(
            power >= least && fdr <= 0.2,
            "{name}: power {power}, FDR {fdr}"
        );
    }
}

#[test]
fn where_nobody_has_both_nobody_is_alerted() {
    for (name, seed) in [("N", 1), ("NE", 2)] {
        let scenario = Scenario::named(name);
        let nation = nation(&scenario, seed);
        for end in [30, 42] {
            assert_eq!(
                at(&panel(&scenario, &nation), end).alerts,
                vec![],
                "{name}, month {end}"
            );
        }
    }
}

#[test]
fn the_domain_and_markers_that_slipped_are_named() {
    let scenario = small("E", 200);
    let nation = nation(&scenario, 3);
    let now = at(&panel(&scenario, &nation), 46);
    let true_alerts: Vec<_> = now
        .alerts
        .iter()
        .filter(|alert| nation.kind[alert.unit] == Kind::Both)
        .collect();
    assert!(true_alerts.len() >= 5, "{now:?}");
    let (mut named, mut other) = (0, 0);
    for alert in &true_alerts {
        let domain = nation.domain[alert.unit];
        assert_eq!(alert.domain, domain);
        named += alert
            .markers
            .iter()
            .filter(|s| (*s - 1) / 5 == domain)
            .count();
        other += alert
            .markers
            .iter()
            .filter(|s| (*s - 1) / 5 != domain)
            .count();
    }
    assert!(
        named >= 4 * true_alerts.len(),
        "{named} of {}",
        5 * true_alerts.len()
    );
    assert!(
        other * 4 <= named,
        "{other} that did not slip beside {named}"
    );
}

#[test]
fn months_to_come_are_never_read() {
    let scenario = small("E", 60);
    let nation = nation(&scenario, 4);
    let panel = panel(&scenario, &nation);
    let mut other = panel.clone();
    for line in other.values.chunks_exact_mut(panel.months) {
        line[40..].fill(1e9);
    }
    assert_eq!(at(&panel, 40), at(&other, 40));
}

#[test]
fn units_of_measurement_and_whatever_happens_to_all_alike_change_nothing() {
    let scenario = small("E", 100);
    let nation = nation(&scenario, 5);
    let panel = panel(&scenario, &nation);
    let mut other = panel.clone();
    for (index, value) in other.values.iter_mut().enumerate() {
        let (s, month) = (index / panel.months % panel.series, index % panel.months);
        // A scale for each series, and a national shock in month 39 for each.
        *value = *value * (1.0 + s as f64) * 10.0
            + if month == 39 {
                500.0 * (1.0 + s as f64)
            } else {
                7.0
            };
    }
    let (a, b) = (at(&panel, 40), at(&other, 40));
    assert!(!a.alerts.is_empty());
    let units = |now: &Assessment| {
        now.alerts
            .iter()
            .map(|alert| alert.unit)
            .collect::<Vec<_>>()
    };
    assert_eq!(units(&a), units(&b));
    for (a, b) in a
        .judgements
        .iter()
        .flatten()
        .zip(b.judgements.iter().flatten())
    {
        assert!((a.lfdr() - b.lfdr()).abs() < 1e-6);
    }
    assert_eq!(a.national, vec![]);
    assert_eq!(b.national.len(), panel.series, "one event for each series");
}

#[test]
fn a_month_that_shakes_all_differently_floods_nobody() {
    let scenario = small("N", 200);
    let nation = nation(&scenario, 6);
    let mut panel = panel(&scenario, &nation);
    for (u, unit) in panel
        .values
        .chunks_exact_mut(panel.series * panel.months)
        .enumerate()
    {
        for line in unit.chunks_exact_mut(panel.months) {
            // Between −6 and +6 standard deviations, half of them upwards in all series.
            line[30] += (u % 13) as f64 - 6.0;
        }
    }
    for end in [31, 32] {
        let now = at(&panel, end);
        assert_eq!(now.alerts, vec![], "month {end}");
        let suspect = now
            .judgements
            .iter()
            .flatten()
            .filter(|j| j.states[1] + j.states[3] > 0.5)
            .count();
        assert!(
            suspect <= 20,
            "{suspect} with savings that look risen, of 200"
        );
    }
}

#[test]
fn missing_months_short_histories_and_small_panels_are_taken() {
    let scenario = Scenario {
        missing: 0.15,
        ..small("N", 30)
    };
    let nation = nation(&scenario, 7);
    let mut panel = panel(&scenario, &nation);
    // A unit that began, one that was rebased a moment ago, one that ended, one whose series never moves.
    panel.starts[1] = 20;
    panel.starts[2] = 32;
    let block = panel.series * panel.months;
    panel.values[3 * block..4 * block]
        .chunks_exact_mut(panel.months)
        .for_each(|line| line[34..].fill(f64::NAN));
    panel.values[4 * block..5 * block].fill(3.0);
    // The rebased one has no gaps, so that the months can be counted.
    let complete = simulate::nation(&small("N", 30), 7);
    panel.values[2 * block..3 * block].copy_from_slice(&complete.values[2 * block..3 * block]);
    for end in [5, 26, 38] {
        let now = at(&panel, end);
        assert_eq!(now.alerts, vec![]);
        for judgement in now.judgements.iter().flatten() {
            assert!((judgement.states.iter().sum::<f64>() - 1.0).abs() < 1e-9);
            assert!(judgement.savings_p > 0.0 && judgement.savings_p <= 1.0);
        }
        let known = |unit: usize| now.judgements[unit].is_some();
        match end {
            5 => assert!((0..30).all(|unit| !known(unit)), "too early for anybody"),
            26 => assert!(known(0) && !known(1) && !known(2) && known(3)),
            _ => assert!(known(0) && known(1) && !known(2) && !known(3)),
        }
    }
    // Six months after it was rebased, not before.
    assert!(at(&panel, 38).judgements[2].is_none());
    assert!(at(&panel, 39).judgements[2].is_some());
}

/// Whatever numbers a panel is made of, there is an answer, and its probabilities are probabilities.
#[test]
fn any_numbers_get_an_answer() {
    let mut judged = 0;
    for seed in 0..60 {
        let mut bits = seed;
        let mut draw = move |n: u64| {
            bits = u64::wrapping_mul(bits, 6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            usize::try_from((bits >> 33) % n).expect("31 bits")
        };
        let (units, series, months) = (10 + draw(6), 5, 20 + draw(60));
        let style = draw(5);
        let values = (0..units * series * months)
            .map(|_| match (style, draw(10)) {
                (_, 0) => f64::NAN,
                (0, k) => k as f64 * 1e99 * if draw(2) == 0 { 1.0 } else { -1.0 },
                (1, k) => k as f64 * 1e-300,
                (2, _) => 4.0,
                (3, k) => {
                    if k == 1 {
                        1e90
                    } else {
                        k as f64
                    }
                }
                (_, k) => k as f64,
            })
            .collect();
        let starts = (0..units)
            .map(|u| if u == 3 { usize::MAX } else { draw(20) })
            .collect();
        let design = Design {
            savings: 4,
            domains: vec![vec![0], vec![1, 3]],
        };
        let panel = Panel {
            units,
            series,
            months,
            values,
            starts,
            design,
        };
        let now = at(&panel, 1 + draw(months as u64));
        for judgement in now.judgements.iter().flatten() {
            assert!(
                (judgement.states.iter().sum::<f64>() - 1.0).abs() < 1e-9,
                "seed {seed}: {judgement:?}"
            );
            judged += 1;
        }
    }
    assert!(judged > 100, "{judged} units were judged at all");
}

#[test]
fn what_does_not_fit_is_refused_with_a_code() {
    let scenario = small("N", 12);
    let nation = nation(&scenario, 8);
    let good = panel(&scenario, &nation);
    let code = |panel: &Panel, end: usize, options: &Options| {
        assess(panel, end, options, 1).map_err(|error: SurveillanceError| error.code())
    };
    let with = |change: &dyn Fn(&mut Panel)| {
        let mut panel = good.clone();
        change(&mut panel);
        code(&panel, 30, &options()).expect_err("refused")
    };
    assert_eq!(with(&|p| p.values.truncate(5)), "PANEL_WRONG_LENGTH");
    assert_eq!(with(&|p| p.starts.clear()), "PANEL_WRONG_LENGTH");
    assert_eq!(
        with(&|p| p.values[0] = f64::INFINITY),
        "PANEL_VALUE_OUT_OF_RANGE"
    );
    assert_eq!(with(&|p| p.design.savings = 1), "PANEL_DESIGN");
    assert_eq!(with(&|p| p.design.domains[0].clear()), "PANEL_DESIGN");
    assert_eq!(with(&|p| p.design.domains[0][0] = 99), "PANEL_DESIGN");
    assert_eq!(code(&good, 0, &options()), Err("PANEL_NO_SUCH_MONTH"));
    assert_eq!(code(&good, 49, &options()), Err("PANEL_NO_SUCH_MONTH"));
    assert_eq!(
        code(
            &good,
            30,
            &Options {
                alert_q: f64::NAN,
                ..options()
            }
        ),
        Err("SURVEILLANCE_OPTION")
    );
    assert_eq!(
        code(
            &good,
            30,
            &Options {
                resamples: 1,
                ..options()
            }
        ),
        Err("SURVEILLANCE_OPTION")
    );
    assert!(code(&good, 30, &options()).is_ok());
}

/// What an assessment says, to nine decimal places, as one number (FNV-1a); the last bits are the C library's.
fn digest(now: &Assessment) -> u64 {
    let mut digest = 0xcbf2_9ce4_8422_2325u64;
    let mut take = |text: String| {
        for byte in text.bytes() {
            digest = (digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    };
    for judgement in &now.judgements {
        let Some(j) = judgement else {
            take("none".to_owned());
            continue;
        };
        let p = j.domain_p.iter().chain([&j.savings_p, &j.quality_p]);
        p.chain(&j.states).for_each(|v| take(format!("{v:.9} ")));
    }
    for alert in &now.alerts {
        let of = (alert.unit, alert.domain, alert.since, &alert.markers);
        take(format!("{of:?} {:.9}", alert.lfdr));
    }
    let watch: Vec<usize> = now.watch.iter().map(|entry| entry.unit).collect();
    take(format!("{watch:?} {:?}", now.national.len()));
    digest
}

/// Alerts recompute, so an assessment changes only on purpose. Series that have baselines of their own, but begin together,
/// gave the digests that one baseline for all of a unit had given; where the method changes, they are taken again.
#[test]
fn an_assessment_is_what_it_was() {
    let scenario = Scenario {
        months: 100,
        ..small("E", 60)
    };
    let nation = nation(&scenario, 9);
    let panel = panel(&scenario, &nation);
    let digests = [20, 30, 47, 95].map(|end| digest(&at(&panel, end)));
    assert_eq!(
        digests,
        [
            13_015_270_887_283_796_610,
            7_521_689_343_192_692_113,
            14_124_146_383_774_586_706,
            1_409_266_291_838_345_881
        ]
    );
}

/// A domain of the simulated nation.
const LATE: std::ops::RangeInclusive<usize> = 6..=10;

/// Quiet organisations; from month 44 on the first ten save more, and the markers [`LATE`] of theirs are worse.
fn quiet_but_for_ten() -> Panel {
    let scenario = Scenario {
        months: 72,
        savings_only: 0,
        quality_only: 0,
        ..small("N", 100)
    };
    let mut panel = panel(&scenario, &nation(&scenario, 10));
    for s in LATE.chain([panel.design.savings]) {
        add(&mut panel, 0..10, s, 44..72, 2.5);
    }
    panel
}

fn add(
    panel: &mut Panel,
    units: std::ops::Range<usize>,
    s: usize,
    months: std::ops::Range<usize>,
    by: f64,
) {
    for unit in units {
        let at = (unit * panel.series + s) * panel.months;
        panel.values[at + months.start..at + months.end]
            .iter_mut()
            .for_each(|v| *v += by);
    }
}

fn unknown_before(panel: &mut Panel, s: usize, month: usize) {
    add(panel, 0..panel.units, s, 0..month, f64::NAN);
}

/// How many of the first ten have an alert in which at least three of [`LATE`] are named; others have none.
fn named(now: &Assessment) -> usize {
    let (of_ten, others): (Vec<_>, Vec<_>) = now.alerts.iter().partition(|a| a.unit < 10);
    assert!(others.len() <= 1, "{others:?}");
    let three = |markers: &[usize]| markers.iter().filter(|s| LATE.contains(s)).count() >= 3;
    of_ten.iter().filter(|a| three(&a.markers)).count()
}

#[test]
fn markers_that_begin_later_come_into_use_and_their_slip_is_found() {
    let mut panel = quiet_but_for_ten();
    LATE.for_each(|s| unknown_before(&mut panel, s, 15));
    assert!(named(&at(&panel, 60)) >= 8);
    // Nothing else has slipped.
    LATE.for_each(|s| unknown_before(&mut panel, s, 72));
    assert_eq!(at(&panel, 60).alerts, vec![]);
}

#[test]
fn redefined_markers_are_not_used_until_they_have_a_baseline() {
    let mut panel = quiet_but_for_ten();
    LATE.for_each(|s| unknown_before(&mut panel, s, 30));
    let mut other = panel.clone();
    for s in LATE {
        for unit in 0..panel.units {
            let by = if unit % 2 == 0 { 1.0 } else { -1.0 };
            add(&mut other, unit..unit + 1, s, 32..72, by);
        }
    }
    assert_eq!(at(&panel, 36).judgements, at(&other, 36).judgements);
    assert_ne!(at(&panel, 37).judgements, at(&other, 37).judgements);
    // The first month that has a value is no event: nothing was there that it could differ from.
    assert_eq!(at(&panel, 31).national, vec![]);
    // The baseline ends with month 53. What began in month 44 is half in it; here it begins in month 56.
    LATE.for_each(|s| add(&mut panel, 0..10, s, 44..56, -2.5));
    assert!(named(&at(&panel, 68)) >= 8);
}

#[test]
fn savings_that_begin_a_year_after_quality_are_assessed_from_a_baseline_of_their_own() {
    let mut panel = quiet_but_for_ten();
    let savings = panel.design.savings;
    unknown_before(&mut panel, savings, 12);
    assert!(at(&panel, 18).judgements.iter().all(Option::is_none));
    assert!(at(&panel, 19).judgements.iter().all(Option::is_some));
    assert!(named(&at(&panel, 56)) >= 8);
}

#[test]
fn a_stray_early_value_does_not_begin_a_series() {
    let mut panel = quiet_but_for_ten();
    LATE.for_each(|s| unknown_before(&mut panel, s, 15));
    for line in panel.values.chunks_exact_mut(panel.months) {
        if line[0].is_nan() {
            line[0] = 40.0;
        }
    }
    assert!(named(&at(&panel, 60)) >= 8);
}
