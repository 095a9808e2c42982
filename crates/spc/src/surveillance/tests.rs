//! What the parts have to satisfy; the layer as a whole is judged in `tests/surveillance.rs`.

use super::Design;
use super::correlation::leave_out;
use super::decide::{alert_set, benjamini_hochberg, recalibrate};
use super::evidence::{K, Scratch, Unit, evidence};
use super::fit::{Own, SeriesShared, Shared, Span, information, level_of, whiten};
use super::random::Random;
use super::stats::biweight;

#[test]
fn whitened_innovations_bridge_missing_months() {
    let mut steps = Vec::new();
    whiten(&[2.0, f64::NAN, 1.5], 1.0, 2.0, 0.5, &mut steps);
    assert_eq!(steps.len(), 2);
    assert_eq!((steps[0].e, steps[0].o), (0.5, 1.0));
    // Two months on, a quarter is left: (0.25 − 0.25 × 0.5) / sqrt(1 − 1/16).
    assert!((steps[1].e - 0.125 / (15.0f64 / 16.0).sqrt()).abs() < 1e-12);
    assert_eq!(steps[1].previous, Some(0));
}

#[test]
fn a_level_without_autocorrelation_is_near_the_mean_and_far_values_count_less() {
    let mut steps = Vec::new();
    let z = [1.0, -1.0, 0.5, -0.5, 0.2, -0.2];
    let (level, variance) = level_of(&z, 1.0, 0.0, 30.0, (0.0, 1e9), &mut steps);
    assert!(level.abs() < 1e-9);
    assert!((variance - 1.0 / (6.0 * information(30.0))).abs() < 1e-6);
    let outlier = [1.0, -1.0, 0.5, -0.5, 0.2, 60.0];
    let (level, _) = level_of(&outlier, 1.0, 0.0, 6.0, (0.0, 1e9), &mut steps);
    assert!(level < 5.0, "the mean would be 10, the level is {level}");
    // A tight prior wins.
    let (level, _) = level_of(&[5.0; 6], 1.0, 0.0, 30.0, (0.0, 1e-9), &mut steps);
    assert!(level.abs() < 1e-3);
}

/// The same series as savings and as the only marker: two codes, one likelihood.
#[test]
fn the_likelihood_of_one_series_is_the_same_by_both_ways() {
    let mut random = Random::new(7);
    for missing in [0.0, 0.2] {
        let months = 40;
        let series: Vec<f64> = (0..months)
            .map(|_| {
                if random.uniform() < missing {
                    f64::NAN
                } else {
                    random.normal()
                }
            })
            .collect();
        let z = [series.clone(), series].concat();
        let shared_series = SeriesShared {
            rho: 0.4,
            rho_var: 0.0,
            log_var: 0.0,
            log_var_var: 0.1,
            level: 0.1,
            level_var: 0.8,
        };
        let shared = Shared {
            nu: 8.0,
            information: information(8.0),
            series: vec![shared_series.clone(), shared_series],
            rho_unit_var: 0.0,
            precision: vec![1.0],
        };
        let mut own = Own {
            span: Span {
                start: 0,
                base: 24,
                end: months,
            },
            rho: 0.4,
            rho_centre: 0.4,
            rho_spread: 0.0,
            sigma: 0.9,
            level: 0.0,
            level_var: 0.0,
        };
        let mut steps = Vec::new();
        (own.level, own.level_var) = level_of(
            &z[..24],
            own.marginal_sd(),
            0.4,
            8.0,
            (0.1, 0.8),
            &mut steps,
        );
        let design = Design {
            savings: 0,
            domains: vec![vec![1]],
        };
        let e = evidence(
            Unit {
                z: &z,
                months,
                own: &[own, own],
            },
            &shared,
            &design,
            &mut Scratch::default(),
        )
        .expect("savings can be used");
        for (a, b) in e.moved[0].iter().zip(&e.moved[1]) {
            for k in 0..K {
                assert!((a[k] / b[k] - 1.0).abs() < 1e-9, "{a:?} {b:?}");
            }
        }
    }
}

#[test]
fn leaving_a_coordinate_out_gives_the_inverse_of_the_rest() {
    // Inverse of [[1, r], [r, 1]] with r = 0.5; without the second, the inverse of [1] is 1.
    let r: f64 = 0.5;
    let d = 1.0 - r * r;
    let mut precision = [1.0 / d, -r / d, -r / d, 1.0 / d];
    leave_out(&mut precision, 2, 1);
    assert!((precision[0] - 1.0).abs() < 1e-12);
    assert_eq!(&precision[1..], &[0.0; 3]);
}

#[test]
fn alerts_are_the_largest_set_with_mean_lfdr_within_q() {
    let lfdr = [(0, 0.3), (1, 0.01), (2, 0.02), (3, 0.12), (4, 0.9)];
    assert_eq!(alert_set(&lfdr, 0.10), vec![1, 2, 3]);
    assert_eq!(alert_set(&lfdr, 0.005), Vec::<usize>::new());
    assert_eq!(alert_set(&[], 0.1), Vec::<usize>::new());
}

#[test]
fn benjamini_and_hochberg_step_up() {
    // The third is above its own bound of 0.03, but the fourth is within 0.04, and carries it.
    let p = [
        (10, 0.001),
        (11, 0.02),
        (12, 0.035),
        (13, 0.039),
        (14, 0.8),
        (15, 0.9),
        (16, 0.9),
        (17, 0.9),
        (18, 1.0),
        (19, 1.0),
    ];
    assert_eq!(benjamini_hochberg(&p, 0.10), vec![10, 11, 12, 13]);
    assert_eq!(benjamini_hochberg(&p, 0.05), vec![10]);
}

#[test]
fn overconfident_likelihood_ratios_are_tempered_and_right_ones_are_left() {
    // For a normal shift of 2 the log likelihood ratio is N(−2, 4) without it and N(2, 4) with it.
    let mut random = Random::new(11);
    let mut draw = |mean: f64| {
        (0..4000)
            .map(|_| mean + 2.0 * random.normal())
            .collect::<Vec<f64>>()
    };
    let (null, planted) = (draw(-2.0), draw(2.0));
    let right = recalibrate(&null, &planted);
    // Five standard errors of the slope, about 0.02, and of the offset, about 0.04.
    assert!(
        (right.slope - 1.0).abs() < 0.1 && right.offset.abs() < 0.2,
        "{right:?}"
    );
    let twice = |logs: &[f64]| logs.iter().map(|l| 2.0 * l).collect::<Vec<f64>>();
    let mended = recalibrate(&twice(&null), &twice(&planted));
    assert!((mended.slope - 0.5).abs() < 0.06, "{mended:?}");
    // Evidence is never inflated.
    let half = |logs: &[f64]| logs.iter().map(|l| 0.5 * l).collect::<Vec<f64>>();
    assert_eq!(recalibrate(&half(&null), &half(&planted)).slope, 1.0);
}

#[test]
fn the_peers_value_is_not_pulled_by_a_few_far_away() {
    let mut pool: Vec<(f64, f64)> = (0..99).map(|i| (f64::from(i - 49) / 50.0, 1.0)).collect();
    pool.extend((0..10).map(|_| (100.0, 1.0)));
    // The mean would be 9.2.
    assert!(biweight(&pool, 0.05, 4.0).abs() < 1e-2);
}

#[test]
fn a_baseline_grows_to_its_length_then_stays_then_moves_by_whole_years() {
    assert_eq!(Span::of(0, 6, 24), None);
    assert_eq!(
        Span::of(10, 17, 24),
        Some(Span {
            start: 10,
            base: 16,
            end: 17
        })
    );
    assert_eq!(
        Span::of(0, 25, 24),
        Some(Span {
            start: 0,
            base: 24,
            end: 25
        })
    );
    assert_eq!(
        Span::of(0, 60, 24),
        Some(Span {
            start: 0,
            base: 24,
            end: 60
        })
    );
    assert_eq!(
        Span::of(0, 61, 24),
        Some(Span {
            start: 12,
            base: 36,
            end: 61
        })
    );
}

#[test]
fn a_series_begins_in_its_first_known_month() {
    let with = |known: std::ops::Range<usize>| {
        (0..80)
            .map(|t| if known.contains(&t) { 1.0 } else { f64::NAN })
            .collect::<Vec<f64>>()
    };
    let of = |values: &[f64], end| Span::of_series(values, 2, end, 24);
    assert_eq!(of(&with(0..80), 60), Span::of(2, 60, 24));
    // Two months of silence at the beginning are a gap; three are a later beginning.
    assert_eq!(of(&with(4..80), 60), Span::of(2, 60, 24));
    assert_eq!(of(&with(5..80), 60), Span::of(5, 60, 24));
    assert_eq!(of(&with(30..80), 36), None);
    assert_eq!(of(&with(30..80), 60), Span::of(30, 60, 24));
    assert_eq!(of(&with(70..80), 60), None);
    let mut stray = with(30..80);
    stray[3] = 1.0;
    assert_eq!(of(&stray, 60), Span::of(30, 60, 24));
}
