//! Sets, and what is refused. Whether the rates hold is simulated in `tests/fdr_size.rs`.

use super::*;
use crate::normal::quantile;

/// Normal z-values without noise.
fn quantiles(count: usize, mean: f64, deviation: f64) -> Vec<f64> {
    let p = |i: usize| (i as f64 + 0.5) / count as f64;
    (0..count)
        .map(|i| mean + deviation * quantile(p(i)))
        .collect()
}

#[test]
fn the_largest_set_by_hand() {
    let lfdr = [0.3, 0.01, f64::NAN, 0.05, 0.9, 0.25];
    assert_eq!(largest_set(&lfdr, 0.1), [1, 3]);
    assert_eq!(largest_set(&lfdr, 0.104), [1, 3, 5]);
    assert_eq!(largest_set(&lfdr, 0.2), [1, 3, 5, 0]);
    assert_eq!(largest_set(&lfdr, 0.001), [0_usize; 0]);
    assert_eq!(largest_set(&lfdr, 1.0).len(), 5);
    assert_eq!(largest_set(&[], 0.1), [0_usize; 0]);
    assert_eq!(largest_set(&lfdr, f64::NAN), [0_usize; 0]);
}

#[test]
fn units_that_are_all_null_are_all_found_to_be_null() {
    for null in [Null::Theoretical, Null::Empirical] {
        let estimated = estimate(&quantiles(2000, 0.0, 1.0), null).unwrap();
        assert!(estimated.null_share > 0.995);
        assert!(estimated.values.iter().all(|lfdr| *lfdr > 0.8), "{null:?}");
        assert!(largest_set(&estimated.values, 0.1).is_empty());
    }
}

#[test]
fn an_empirical_null_does_not_know_units() {
    let mut z = quantiles(900, 0.0, 1.0);
    z.extend(quantiles(100, 3.5, 0.8));
    let ours = estimate(&z, Null::Empirical).unwrap();
    let moved: Vec<f64> = z.iter().map(|z| 2.0 * z - 1.0).collect();
    let theirs = estimate(&moved, Null::Empirical).unwrap();
    assert!((ours.null_share - theirs.null_share).abs() < 1e-6);
    assert!((2.0 * ours.null_mean - 1.0 - theirs.null_mean).abs() < 1e-6);
    assert!((2.0 * ours.null_deviation - theirs.null_deviation).abs() < 1e-6);
    for (a, b) in ours.values.iter().zip(&theirs.values) {
        assert!((a - b).abs() < 1e-6);
    }
}

#[test]
fn the_farther_out_the_less_likely_null_on_each_side() {
    let mut z = quantiles(900, 0.0, 1.0);
    z.extend(quantiles(60, 3.5, 1.0));
    z.extend([-1e6, -5.0, 40.0, 1e6]);
    let lfdr = estimate(&z, Null::Theoretical).unwrap().values;
    let mut order: Vec<usize> = (0..z.len()).collect();
    order.sort_by(|a, b| z[*a].total_cmp(&z[*b]));
    // It rises to a single peak and falls from there.
    let sorted: Vec<f64> = order.iter().map(|place| lfdr[*place]).collect();
    let largest = sorted.iter().copied().fold(0.0, f64::max);
    let peak = sorted.iter().position(|value| *value == largest).unwrap();
    assert!(sorted[..=peak].is_sorted() && sorted[peak..].is_sorted_by(|a, b| a >= b));
    assert!(sorted[0] < 1e-3 && sorted[sorted.len() - 1] < 1e-6);
}

#[test]
fn what_cannot_be_estimated_is_refused() {
    let code = |z: &[f64], null| estimate(z, null).unwrap_err().code();
    assert_eq!(code(&[0.0; 199], Null::Theoretical), "too_few_values");
    assert_eq!(code(&[0.5; 300], Null::Empirical), "no_spread");
    for bad in [f64::NAN, f64::INFINITY, 1e7] {
        let mut z = quantiles(300, 0.0, 1.0);
        z[7] = bad;
        assert_eq!(code(&z, Null::Empirical), "entry_out_of_domain");
    }
    // Nothing within the reach of the theoretical null is no error: then nothing is null.
    let far = estimate(&quantiles(300, 500.0, 1.0), Null::Theoretical).unwrap();
    assert!(far.values.iter().all(|lfdr| *lfdr < 1e-12));
}
