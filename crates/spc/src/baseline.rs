//! What is usual for one series, and how unusual one value is against it. Used by the alert rules, never by charts.

use crate::mean;

/// Expected range of two draws from a normal distribution of standard deviation 1 (the constant d2 for n = 2).
pub const D2_FOR_PAIRS: f64 = 1.128;

/// Spread below this fraction of the largest value is rounding noise: the baseline is constant.
const CONSTANT_WITHIN: f64 = 1e-12;

/// The usual level and spread of a series, in the units of its values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Baseline {
    /// Number of values it was computed from, at least 2.
    pub count: usize,
    /// Arithmetic mean.
    pub mean: f64,
    /// Sample standard deviation, divisor `n − 1`.
    pub standard_deviation: f64,
    /// Mean of `|x_i − x_{i−1}|` over consecutive values.
    pub mean_moving_range: f64,
    /// Largest absolute value: the scale against which a spread is told from rounding noise.
    largest: f64,
}

/// The baseline of `values`, given in time order.
///
/// `None` with fewer than two values (no spread), with a NaN or infinite value, or when the spread is too large for a
/// float. The caller leaves missing months out; a moving range then bridges the gap.
pub fn baseline(values: &[f64]) -> Option<Baseline> {
    if values.len() < 2 || values.iter().any(|value| !value.is_finite()) {
        return None;
    }
    let mean = mean(values.iter().copied())?;
    // The mean of squares with divisor n, scaled to divisor n − 1: one accurate mean serves both.
    let mean_square = crate::mean(values.iter().map(|value| (value - mean).powi(2)))?;
    let degrees = (values.len() - 1) as f64 / values.len() as f64;
    let standard_deviation = (mean_square / degrees).sqrt();
    let mean_moving_range = crate::mean(values.windows(2).map(|pair| (pair[1] - pair[0]).abs()))?;
    let largest = values
        .iter()
        .fold(0.0, |so_far: f64, value| so_far.max(value.abs()));
    let finite =
        mean.is_finite() && standard_deviation.is_finite() && mean_moving_range.is_finite();
    finite.then_some(Baseline {
        count: values.len(),
        mean,
        standard_deviation,
        mean_moving_range,
        largest,
    })
}

impl Baseline {
    /// Spread of a single value: `max(MRbar / 1.128, SD)`, in the units of the values (rule R01).
    ///
    /// The moving range alone is blind to slow drift: on autocorrelated monthly series it gives about 0.6 of the
    /// standard deviation, and limits that are far too tight. The larger of the two is the cautious choice.
    pub fn sigma(&self) -> f64 {
        (self.mean_moving_range / D2_FOR_PAIRS).max(self.standard_deviation)
    }

    /// How many sigmas `value` lies above the mean: `(x − mean) / sigma` (rule R01).
    ///
    /// `None` for a constant baseline (spread zero, or no more than rounding noise): any change from it would be
    /// infinitely surprising, which says nothing about its size. `None` also if `value` is not finite.
    pub fn z(&self, value: f64) -> Option<f64> {
        let sigma = self.sigma();
        if sigma <= CONSTANT_WITHIN * self.largest {
            return None;
        }
        let z = (value - self.mean) / sigma;
        z.is_finite().then_some(z)
    }
}

/// Log-odds of a proportion with a continuity correction: `ln((x + 0.5) / (n − x + 0.5))`, dimensionless.
///
/// The half added on both sides keeps 0 of n and n of n finite (Haldane 1956; Anscombe 1956), so a perfect month does
/// not drop out of the series. `None` unless `0 <= numerator <= denominator`, `denominator > 0` and both are finite: more
/// cases than people is an error in the data, not a proportion.
pub fn logit_clamped(numerator: f64, denominator: f64) -> Option<f64> {
    let counts_make_sense =
        denominator > 0.0 && denominator.is_finite() && (0.0..=denominator).contains(&numerator);
    counts_make_sense.then(|| ((numerator + 0.5) / (denominator - numerator + 0.5)).ln())
}

/// Log of a rate with a continuity correction: `ln((x + 0.5) / n)`, in log events per unit of `denominator`.
///
/// The half keeps a month without events finite. Unlike a proportion the numerator may exceed the denominator (events
/// per bed-day). `None` when `denominator <= 0`, `numerator < 0`, or either is not finite.
pub fn log_rate(numerator: f64, denominator: f64) -> Option<f64> {
    let counts_make_sense =
        denominator > 0.0 && denominator.is_finite() && numerator >= 0.0 && numerator.is_finite();
    counts_make_sense.then(|| ((numerator + 0.5) / denominator).ln())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(left: f64, right: f64) -> bool {
        (left - right).abs() <= 1e-12 * right.abs().max(1.0)
    }

    #[test]
    fn sigma_is_the_standard_deviation_when_a_series_drifts() {
        let drifting = baseline(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap();
        assert_eq!(drifting.mean, 3.5);
        assert_eq!(drifting.mean_moving_range, 1.0);
        assert!(close(drifting.standard_deviation, 3.5_f64.sqrt()));
        assert_eq!(drifting.sigma(), drifting.standard_deviation);
    }

    #[test]
    fn sigma_is_the_moving_range_when_a_series_swings() {
        let swinging = baseline(&[0.0, 2.0, 0.0, 2.0, 0.0, 2.0]).unwrap();
        assert!(close(swinging.standard_deviation, 1.2_f64.sqrt()));
        assert!(close(swinging.sigma(), 2.0 / 1.128));
        assert!(close(swinging.z(1.0 + 3.0 * 2.0 / 1.128).unwrap(), 3.0));
        assert!(close(swinging.z(1.0 - 2.0 / 1.128).unwrap(), -1.0));
    }

    #[test]
    fn a_constant_baseline_gives_no_z_rather_than_an_infinite_one() {
        for value in [0.0, 0.728, -3.0] {
            let flat = baseline(&[value; 24]).unwrap();
            assert_eq!(flat.sigma(), 0.0);
            assert_eq!(flat.z(value + 1.0), None);
            assert_eq!(flat.z(value), None);
        }
    }

    #[test]
    fn a_baseline_that_differs_only_by_rounding_is_constant() {
        let rounding = baseline(&[0.1 + 0.2, 0.3, 0.1 + 0.2, 0.3]).unwrap();
        assert!(rounding.sigma() > 0.0);
        assert_eq!(rounding.z(0.31), None);
    }

    #[test]
    fn there_is_no_baseline_without_two_finite_values() {
        assert_eq!(baseline(&[]), None);
        assert_eq!(baseline(&[1.0]), None);
        assert_eq!(baseline(&[1.0, f64::NAN, 2.0]), None);
        assert_eq!(baseline(&[1.0, f64::INFINITY]), None);
        assert_eq!(baseline(&[f64::MAX, f64::MIN]), None);
    }

    #[test]
    fn a_value_that_is_not_finite_has_no_z() {
        let usual = baseline(&[1.0, 2.0, 1.5]).unwrap();
        assert_eq!(usual.z(f64::NAN), None);
        assert_eq!(usual.z(f64::INFINITY), None);
    }

    #[test]
    fn the_logit_is_finite_and_symmetric_at_nought_and_all() {
        assert!(close(
            logit_clamped(0.0, 100.0).unwrap(),
            (0.5_f64 / 100.5).ln()
        ));
        assert!(close(
            logit_clamped(100.0, 100.0).unwrap(),
            -logit_clamped(0.0, 100.0).unwrap()
        ));
        assert_eq!(logit_clamped(50.0, 100.0), Some(0.0));
    }

    #[test]
    fn an_impossible_proportion_has_no_logit() {
        for (numerator, denominator) in [
            (1.0, 0.0),
            (0.0, 0.0),
            (0.0, -1.0),
            (-1.0, 10.0),
            (11.0, 10.0),
            (f64::NAN, 10.0),
            (1.0, f64::NAN),
            (1.0, f64::INFINITY),
        ] {
            assert_eq!(logit_clamped(numerator, denominator), None);
        }
    }

    #[test]
    fn a_month_without_events_has_a_finite_log_rate() {
        assert!(close(log_rate(0.0, 1000.0).unwrap(), 0.0005_f64.ln()));
        assert!(close(log_rate(3.5, 2.0).unwrap(), 2.0_f64.ln()));
    }

    #[test]
    fn a_rate_needs_exposure_and_no_negative_events() {
        for (numerator, denominator) in [
            (1.0, 0.0),
            (1.0, -5.0),
            (-1.0, 10.0),
            (f64::NAN, 1.0),
            (1.0, f64::NAN),
            (f64::INFINITY, 1.0),
            (1.0, f64::INFINITY),
        ] {
            assert_eq!(log_rate(numerator, denominator), None);
        }
    }
}
