//! Facts of the corrected funnel, one each. The golden vectors prove the compatible one.

use super::*;

fn rows(counts: &[(f64, f64)]) -> (Vec<String>, Vec<(f64, f64)>) {
    let names = (0..counts.len()).map(|i| format!("G{i:04}")).collect();
    (names, counts.to_vec())
}

fn draw_in(mode: Mode, counts: &[(f64, f64)], options: &FunnelOptions) -> Funnel {
    let (names, counts) = rows(counts);
    let rows: Vec<Row<'_>> = names
        .iter()
        .zip(counts)
        .map(|(group, (numerator, denominator))| Row {
            group,
            numerator,
            denominator,
        })
        .collect();
    funnel(mode, &rows, options).unwrap()
}

fn of(measure: Measure) -> FunnelOptions {
    FunnelOptions {
        measure,
        ..FunnelOptions::default()
    }
}

const ALL: [Measure; 4] = [
    Measure::Proportion,
    Measure::RatioOfCounts,
    Measure::StandardisedShmi,
    Measure::StandardisedCqc,
];

/// Twenty groups of several sizes around three in ten.
fn peers() -> Vec<(f64, f64)> {
    (0..20)
        .map(|i| {
            let size = f64::from(50 * (1 + i % 5));
            ((size * 0.3).round() + f64::from(i % 7) - 3.0, size)
        })
        .collect()
}

#[test]
fn cqc_limits_are_squared_back_to_the_scale_of_the_ratio() {
    let drawn = draw_in(
        Mode::Corrected,
        &[(25.0, 25.0), (36.0, 25.0), (16.0, 25.0)],
        &of(Measure::StandardisedCqc),
    );
    let width = 3.090_232_306_167_813_5 * (0.01 + drawn.tau2).sqrt();
    let limits = drawn.groups[0].adjusted;
    assert!((limits.upper998 - (1.0 + width).powi(2)).abs() < 1e-12);
    assert!((limits.lower998 - (1.0 - width).max(0.0).powi(2)).abs() < 1e-12);
}

#[test]
fn ratios_of_counts_have_the_variance_of_a_logarithm() {
    let drawn = draw_in(
        Mode::Corrected,
        &[(40.0, 100.0), (40.0, 100.0), (40.0, 100.0)],
        &of(Measure::RatioOfCounts),
    );
    assert_eq!(drawn.tau2, 0.0);
    let se = (1.4_f64 / (0.4 * 100.0)).sqrt();
    let limits = drawn.groups[0].limits;
    assert!((limits.upper95 - 0.4 * (1.959_963_984_540_054 * se).exp()).abs() < 1e-12);
}

#[test]
fn nothing_in_a_hundred_is_no_low_outlier_where_little_is_expected() {
    // The record of the study in which the package calls 0 of 100 low, at 4 % on average.
    let numerators = [0, 0, 0, 0, 1, 2, 0, 6, 2, 1, 1, 4, 1, 1, 0, 4, 1, 0, 7, 4];
    let counts: Vec<(f64, f64)> = numerators
        .iter()
        .zip([10.0, 20.0, 50.0, 100.0].iter().cycle())
        .map(|(n, d)| (f64::from(*n), *d))
        .collect();
    for mode in [Mode::Corrected, Mode::Compat] {
        let drawn = draw_in(
            mode,
            &counts,
            &FunnelOptions {
                unadjusted: true,
                ..of(Measure::Proportion)
            },
        );
        assert!(!drawn.groups[3].outlier, "{mode}");
        assert_eq!(drawn.groups[3].adjusted.lower998, 0.0, "{mode}");
    }
}

#[test]
fn a_group_with_nothing_is_low_only_when_that_is_rare() {
    for measure in ALL {
        for (expected, low) in [(3.0, false), (6.0, false), (7.5, true), (30.0, true)] {
            let denominator = if measure.is_standardised() {
                expected
            } else {
                10.0 * expected
            };
            let mut counts = vec![(expected * 400.0, denominator * 400.0); 30];
            counts.push((0.0, denominator));
            let options = FunnelOptions {
                adjusted: false,
                unadjusted: true,
                ..of(measure)
            };
            let drawn = draw_in(Mode::Corrected, &counts, &options);
            assert_eq!(drawn.groups[30].outlier, low, "{measure:?} {expected}");
            assert!(drawn.groups[30].y.is_finite() && drawn.phi.is_finite());
        }
    }
}

#[test]
fn everybody_in_a_proportion_is_high_only_when_that_is_rare() {
    for (size, high) in [(10.0, false), (200.0, true)] {
        let mut counts = vec![(9_000.0, 10_000.0); 30];
        counts.push((size, size));
        let drawn = draw_in(Mode::Corrected, &counts, &of(Measure::Proportion));
        assert_eq!(drawn.groups[30].outlier, high, "{size}");
    }
}

#[test]
fn limits_narrow_with_the_denominator_and_widen_with_dispersion() {
    for mode in [Mode::Corrected, Mode::Compat] {
        for measure in ALL {
            let target = if measure.is_standardised() { 1.0 } else { 0.3 };
            let shape = limits::Shape {
                mode,
                measure,
                target,
                multiplier: 1.0,
            };
            let mut before = shape.adjusted(20.0, 0.02);
            for step in 1..60 {
                let now = shape.adjusted(20.0 * 1.2_f64.powi(step), 0.02);
                for level in [Level::P95, Level::P998] {
                    assert!(
                        now.at(level).0 >= before.at(level).0
                            && now.at(level).1 <= before.at(level).1
                    );
                    assert!(now.at(level).0 < target && now.at(level).1 > target);
                }
                assert!(now.lower998 <= now.lower95 && now.upper998 >= now.upper95);
                before = now;
            }
            let wide = shape.adjusted(100.0, 0.2);
            let narrow = shape.adjusted(100.0, 0.1);
            assert!(wide.upper95 > narrow.upper95 && wide.lower95 <= narrow.lower95);
        }
    }
}

#[test]
fn the_multiplier_scales_limits_and_changes_no_judgement() {
    for measure in ALL {
        let one = draw_in(Mode::Corrected, &peers(), &of(measure));
        let thousand = draw_in(
            Mode::Corrected,
            &peers(),
            &FunnelOptions {
                multiplier: 1000.0,
                ..of(measure)
            },
        );
        for (one, thousand) in one.groups.iter().zip(&thousand.groups) {
            assert_eq!(one.outlier, thousand.outlier);
            assert!(
                (one.adjusted.upper95 * 1000.0 - thousand.adjusted.upper95).abs()
                    < 1e-9 * thousand.adjusted.upper95
            );
        }
    }
}

#[test]
fn the_order_of_the_rows_and_how_a_group_is_split_do_not_matter() {
    let options = of(Measure::Proportion);
    let row = |group, numerator, denominator| Row {
        group,
        numerator,
        denominator,
    };
    let whole = [
        row("A", 6.0, 20.0),
        row("B", 9.0, 20.0),
        row("C", 2.0, 20.0),
    ];
    let split = [
        row("C", 2.0, 15.0),
        row("B", 9.0, 20.0),
        row("A", 1.0, 4.0),
        row("C", 0.0, 5.0),
        row("A", 5.0, 16.0),
    ];
    for mode in [Mode::Corrected, Mode::Compat] {
        assert_eq!(
            funnel(mode, &whole, &options),
            funnel(mode, &split, &options)
        );
    }
}

#[test]
fn with_both_kinds_of_limits_dispersion_decides_and_with_none_nothing_does() {
    let asked = |adjusted, unadjusted| {
        let options = FunnelOptions {
            adjusted,
            unadjusted,
            ..of(Measure::Proportion)
        };
        let mut counts = [(2_000.0, 10_000.0), (4_000.0, 10_000.0)].repeat(10);
        counts.push((5_000.0, 10_000.0));
        draw_in(Mode::Corrected, &counts, &options)
    };
    let outliers = |drawn: &Funnel| drawn.groups.iter().filter(|group| group.outlier).count();
    assert_eq!(outliers(&asked(false, true)), 21);
    assert_eq!(outliers(&asked(true, true)), 0);
    assert_eq!(outliers(&asked(false, false)), 0);
    assert!(asked(false, false).phi > 100.0);
}

#[test]
fn peers_without_overdispersion_are_judged_by_plain_limits() {
    let drawn = draw_in(
        Mode::Corrected,
        &[(30.0, 100.0); 12],
        &of(Measure::Proportion),
    );
    assert!(drawn.unadjusted_used && !drawn.adjusted_used);
    assert_eq!((drawn.phi, drawn.tau2), (0.0, 0.0));
}

#[test]
fn one_group_alone_is_its_own_target() {
    for measure in [Measure::Proportion, Measure::RatioOfCounts] {
        let drawn = draw_in(Mode::Corrected, &[(30.0, 100.0)], &of(measure));
        assert!(!drawn.groups[0].outlier && drawn.tau2 == 0.0);
    }
    let drawn = draw_in(
        Mode::Corrected,
        &[(300.0, 100.0)],
        &of(Measure::StandardisedShmi),
    );
    assert!(drawn.tau2 == 0.0 && drawn.phi > 1.0);
}

#[test]
fn everybody_everywhere_is_a_target_of_one_and_no_error_but_to_the_package() {
    let counts = [(10.0, 10.0), (500.0, 500.0)];
    let drawn = draw_in(Mode::Corrected, &counts, &of(Measure::Proportion));
    assert!(drawn.target == 1.0 && drawn.groups.iter().all(|group| !group.outlier));
    let row = Row {
        group: "A",
        numerator: 10.0,
        denominator: 10.0,
    };
    assert_eq!(
        funnel(Mode::Compat, &[row], &of(Measure::Proportion)),
        Err(FunnelError::NumeratorIsDenominator)
    );
    let none = Row {
        numerator: 0.0,
        ..row
    };
    assert_eq!(
        funnel(Mode::Corrected, &[none], &of(Measure::RatioOfCounts)),
        Err(FunnelError::NoEvents)
    );
    assert!(
        !funnel(Mode::Corrected, &[none], &of(Measure::Proportion))
            .unwrap()
            .groups[0]
            .outlier
    );
}

#[test]
fn rounding_is_to_the_nearer_of_two_decimals() {
    for (x, rounded) in [
        (3.974_652, 3.97),
        (473.857_158, 473.86),
        (52.7147, 52.71),
        (0.125, 0.12),
        (0.375, 0.38),
        (7.0, 7.0),
        (0.004, 0.0),
    ] {
        assert_eq!(two_places(x), rounded);
    }
}
