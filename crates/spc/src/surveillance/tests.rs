//! What the parts have to satisfy; the layer as a whole is judged in `tests/surveillance.rs`.

use super::Design;
use super::correlation::leave_out;
use super::decide::{alert_set, benjamini_hochberg, recalibrate};
use super::evidence::{Evidence, K, RAMPS, SIZES, Scratch, Unit, evidence};
use super::fit::{Own, SeriesShared, Shared, Span, information, lag1, level_of, whiten};
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

/// Evidence of one series of 24 + 16 months that is savings and the only marker, and what is its own. It moves by `shift` in the
/// eighth month after the baseline.
fn of_one_series(nu: f64, missing: f64, shift: f64, seed: u64) -> (Vec<f64>, Own, Evidence) {
    let mut random = Random::new(seed);
    let months = 40;
    let series: Vec<f64> = (0..months)
        .map(|month| {
            if random.uniform() < missing {
                f64::NAN
            } else {
                random.normal() + if month < 31 { 0.0 } else { shift }
            }
        })
        .collect();
    let z = [series.clone(), series.clone()].concat();
    let shared_series = SeriesShared {
        rho: 0.4,
        rho_var: 0.0,
        log_var: 0.0,
        log_var_var: 0.1,
        level: 0.1,
        level_var: 0.8,
    };
    let shared = Shared {
        nu,
        information: information(nu),
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
        log_sd_spread: 0.0,
        level: 0.0,
        level_var: 0.0,
    };
    let mut steps = Vec::new();
    let sd = own.marginal_sd();
    (own.level, own.level_var) = level_of(&z[..24], sd, 0.4, nu, (0.1, 0.8), &mut steps);
    let design = Design {
        savings: 0,
        domains: vec![vec![1]],
    };
    let unit = Unit {
        z: &z,
        months,
        own: &[own, own],
    };
    let e = evidence(unit, &shared, &design, &mut Scratch::default());
    (series, own, e.expect("savings can be used"))
}

/// Two codes, one likelihood, where the innovations are as good as normal.
#[test]
fn the_likelihood_of_one_series_is_the_same_by_both_ways() {
    for missing in [0.0, 0.2] {
        let (_, _, e) = of_one_series(1e7, missing, 0.0, 7);
        for (a, b) in e.moved[0].iter().zip(&e.moved[1]) {
            for k in 0..K {
                assert!((a[k] / b[k] - 1.0).abs() < 1e-4, "{a:?} {b:?}");
            }
        }
    }
}

/// Against the level integrated out by brute force. No month is missing, so every step after the first is one month.
#[test]
fn the_likelihood_of_savings_is_that_of_a_t() {
    let nu = 6.0;
    for (seed, moved) in [(1, 0.0), (2, 0.0), (3, 1.0), (4, 2.0), (5, 2.0)] {
        let (z, own, e) = of_one_series(nu, 0.0, moved, seed);
        let (sd, rho) = (own.marginal_sd(), own.rho);
        let likelihood = |onset: usize, ramp: usize, size: f64| {
            let shift = |month: usize| {
                size * month
                    .checked_sub(24 + onset)
                    .map_or(0.0, |k| ((k + 1) as f64 / ramp as f64).min(1.0))
            };
            // Ten standard deviations either way.
            let points = (-500..=500).map(|i| 0.02 * f64::from(i));
            let given_level = |deviation: f64| {
                let level = own.level + deviation * own.level_var.sqrt() * sd;
                let x = |month: usize| (z[month] - level) / sd - shift(month);
                let density = |month: usize| {
                    let e = (x(month) - rho * x(month - 1)) / (1.0 - rho * rho).sqrt();
                    (1.0 + e * e / (nu - 2.0)).powf(-0.5 * (nu + 1.0))
                };
                (24..40).map(density).product::<f64>() * (-0.5 * deviation * deviation).exp()
            };
            points.map(given_level).sum::<f64>()
        };
        let nothing = likelihood(0, 1, 0.0);
        for onset in [0, 7, 13] {
            for (k, size) in SIZES.into_iter().enumerate() {
                let both = RAMPS.map(|ramp| likelihood(onset, ramp, size) / nothing);
                let exact = both.iter().sum::<f64>() / RAMPS.len() as f64;
                let found = e.moved[0][onset][k];
                // Of what speaks against a shift it is enough that it does.
                let off = (found.max(0.01) / exact.max(0.01)).ln().abs();
                // One step of scoring for the level is a third off where the level fits worst: far beyond any decision.
                assert!(
                    off < 0.4,
                    "{moved} {onset} {size}: {found}, by brute force {exact}"
                );
            }
        }
    }
}

/// Means of 4,000 simulated baselines of two years.
#[test]
fn the_autocorrelation_of_short_baselines_is_hardly_biased() {
    for rho in [0.3, 0.6] {
        let mut random = Random::new(11);
        let sum: f64 = (0..4_000)
            .map(|_| {
                let mut x = random.normal();
                let z: Vec<f64> = (0..24)
                    .map(|_| {
                        x = rho * x + f64::sqrt(1.0 - rho * rho) * random.normal();
                        x
                    })
                    .collect();
                lag1(&z).expect("it can be estimated").0
            })
            .sum();
        let mean = sum / 4_000.0;
        assert!((mean - rho).abs() < 0.025, "{mean} for {rho}");
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
