//! Maximum likelihood for a normal distribution of which only the middle is seen.

use crate::ParameterError;
use crate::normal::{below, density};

const NO_FIT: ParameterError = ParameterError::NoFit {
    what: "the empirical null",
};

/// Mean and standard deviation of the normal distribution that, truncated to ±`reach`, makes the values (all within, on a scale of about 1) most
/// likely.
///
/// Truncated normal distributions are an exponential family of z and z², so the likelihood has one maximum, where the first two moments are those of the values:
/// Newton's method from N(0, 1), with the step halved until the deviation stays within bounds and the likelihood grows.
pub(super) fn fit(values: &[f64], reach: f64) -> Result<(f64, f64), ParameterError> {
    let count = values.len() as f64;
    let first = values.iter().sum::<f64>() / count;
    let second = values.iter().map(|value| value * value).sum::<f64>() / count;
    // Natural parameters: the log density is a z + b z² + constant, with b = −1/(2σ²).
    let likelihood = |a: f64, b: f64| {
        let (mean, deviation) = usual(a, b);
        let inside = below((reach - mean) / deviation) - below((-reach - mean) / deviation);
        a * first + b * second - (deviation * inside).ln() - 0.5 * (mean / deviation).powi(2)
    };
    let (mut a, mut b) = (0.0, -0.5);
    for _ in 0..100 {
        let [m1, m2, m3, m4] = moments(a, b, reach);
        let (r1, r2) = (first - m1, second - m2);
        if r1.abs() + r2.abs() < 1e-12 {
            return Ok(usual(a, b));
        }
        let (v11, v12, v22) = (m2 - m1 * m1, m3 - m1 * m2, m4 - m2 * m2);
        let determinant = v11 * v22 - v12 * v12;
        let (da, db) = (
            (v22 * r1 - v12 * r2) / determinant,
            (v11 * r2 - v12 * r1) / determinant,
        );
        let now = likelihood(a, b);
        let mut step = 1.0;
        // The truncated form can also be flat or bent the other way (b ≥ 0): that is no normal middle.
        while !(b + step * db < -FLATTEST
            && likelihood(a + step * da, b + step * db) >= now - 1e-13)
        {
            step *= 0.5;
            if step < 1e-6 {
                return Err(NO_FIT);
            }
        }
        (a, b) = (a + step * da, b + step * db);
    }
    Err(NO_FIT)
}

/// b of a standard deviation of 5 times the robust one: wider is no normal middle.
const FLATTEST: f64 = 0.02;

/// Mean and standard deviation from the natural parameters.
fn usual(a: f64, b: f64) -> (f64, f64) {
    let variance = -0.5 / b;
    (a * variance, variance.sqrt())
}

/// The first four moments of the truncated distribution, by integration by parts:
/// `M_k = (k − 1) M_{k−2} + αᵏ⁻¹ φ(α) − βᵏ⁻¹ φ(β)` on the standard scale.
fn moments(a: f64, b: f64, reach: f64) -> [f64; 4] {
    let (mean, s) = usual(a, b);
    let (low, high) = ((-reach - mean) / s, (reach - mean) / s);
    let inside = below(high) - below(low);
    let (at_low, at_high) = (density(low) / inside, density(high) / inside);
    let s1 = at_low - at_high;
    let s2 = 1.0 + low * at_low - high * at_high;
    let s3 = 2.0 * s1 + low.powi(2) * at_low - high.powi(2) * at_high;
    let s4 = 3.0 * s2 + low.powi(3) * at_low - high.powi(3) * at_high;
    let m = mean;
    [
        m + s * s1,
        m * m + 2.0 * m * s * s1 + s * s * s2,
        m.powi(3) + 3.0 * m * m * s * s1 + 3.0 * m * s * s * s2 + s.powi(3) * s3,
        m.powi(4)
            + 4.0 * m.powi(3) * s * s1
            + 6.0 * m * m * s * s * s2
            + 4.0 * m * s.powi(3) * s3
            + s.powi(4) * s4,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::normal::quantile;

    #[test]
    fn the_distribution_that_was_cut_is_found_again() {
        // Quantiles at equal steps of probability stand for a sample without noise.
        for (mean, deviation) in [(0.0, 1.0), (0.3, 1.2), (-0.4, 0.8)] {
            let all = (1..200_000).map(|i| mean + deviation * quantile(f64::from(i) / 200_000.0));
            let inside: Vec<f64> = all.filter(|value| value.abs() <= 1.8).collect();
            let (m, s) = fit(&inside, 1.8).unwrap();
            assert!(
                (m - mean).abs() < 1e-3 && (s - deviation).abs() < 1e-3,
                "{m} {s}"
            );
        }
    }

    #[test]
    fn a_middle_that_is_not_normal_has_no_fit() {
        let flat: Vec<f64> = (-1000..=1000).map(|i| f64::from(i) / 500.0).collect();
        let hollow: Vec<f64> = flat
            .iter()
            .copied()
            .filter(|value| value.abs() > 1.0)
            .collect();
        for values in [flat, hollow, Vec::new()] {
            assert_eq!(fit(&values, 2.0).unwrap_err().code(), "no_fit");
        }
    }
}
