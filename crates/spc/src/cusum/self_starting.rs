//! The self-starting CUSUM: no baseline, every value is judged by those before it.

use super::{Cusum, CusumDesign, CusumPoint};
use crate::normal::score_of_t;
use crate::standard::AfterSignal;

/// Turns a series with unknown mean and standard deviation into standard normal scores, one value at a time:
///
/// ```text
/// T_n = √((n−1)/n) (x_n − x̄_{n−1}) / s_{n−1}        U_n = Φ⁻¹(F_{n−2}(T_n))
/// ```
///
/// where x̄ and s are mean and standard deviation (divisor n − 2) of the n − 1 values before, and F is the distribution of Student's t with n − 2
/// degrees of freedom. In control and for normal values the U_n from the third on are *exactly* independent N(0, 1), so the run lengths of
/// [`run_length`](crate::run_length) hold from the third value on, with no baseline at all.
///
/// The price: after a shift the running mean follows it, and the evidence fades; what is not found soon may not be found at all. A value that
/// was explained by a cause should be left out. A missing value changes nothing.
///
/// Source: Hawkins (1987), The Statistician 36:299.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SelfStarting {
    count: f64,
    mean: f64,
    // Sum of squared deviations from the mean, updated as by Welford (1962), Technometrics 4:419.
    squares: f64,
}

impl SelfStarting {
    /// Before the first value.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next value, in the units of the series; returns its score.
    ///
    /// `None` for a value that is missing or not finite (and nothing changes), for the first two, and as long as the values before are all
    /// equal: then there is no scale yet.
    pub fn update(&mut self, value: Option<f64>) -> Option<f64> {
        let value = value.filter(|value| value.is_finite())?;
        let deviation = value - self.mean;
        let score = self.score(deviation);
        self.count += 1.0;
        self.mean += deviation / self.count;
        self.squares += deviation * (value - self.mean);
        score
    }

    fn score(&self, deviation: f64) -> Option<f64> {
        let degrees = self.count - 1.0;
        if degrees < 1.0 || self.squares <= 0.0 {
            return None;
        }
        let deviation_of_one = (self.squares / degrees).sqrt();
        let t = (self.count / (self.count + 1.0)).sqrt() * deviation / deviation_of_one;
        (!t.is_nan()).then(|| score_of_t(t, degrees))
    }
}

/// The self-starting chart of a series in time order: each value's score, and the CUSUM of the scores. A value without a score keeps the sums.
///
/// After a restart the sums begin again; what was learnt of mean and spread stays.
pub fn self_starting_chart(
    design: CusumDesign,
    after: AfterSignal,
    values: &[Option<f64>],
) -> Vec<(Option<f64>, CusumPoint)> {
    let (mut scores, mut cusum) = (SelfStarting::new(), Cusum::new(design));
    values
        .iter()
        .map(|value| {
            let score = scores.update(*value);
            (score, cusum.follow(score, after))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::normal::below;

    fn scores(values: &[f64]) -> Vec<Option<f64>> {
        let mut state = SelfStarting::new();
        values
            .iter()
            .map(|value| state.update(Some(*value)))
            .collect()
    }

    #[test]
    fn the_third_value_by_hand() {
        // x̄ = 2, s = √2, T = √(2/3) (5 − 2)/√2 = √3, one degree of freedom: F = ½ + arctan(√3)/π = 5/6.
        let score = scores(&[1.0, 3.0, 5.0]);
        assert_eq!(score[..2], [None, None]);
        assert!((below(score[2].unwrap()) - 5.0 / 6.0).abs() < 1e-12);
    }

    #[test]
    fn the_fourth_value_by_the_definition() {
        // x̄ = 3, s = 2, T = √(3/4) (0 − 3)/2, two degrees of freedom.
        let t = -(0.75_f64.sqrt()) * 1.5;
        let expected = 0.5 + t / (2.0 * (2.0 + t * t).sqrt());
        let score = scores(&[1.0, 3.0, 5.0, 0.0]);
        assert!((below(score[3].unwrap()) - expected).abs() < 1e-12);
    }

    #[test]
    fn a_constant_beginning_has_no_scale_yet() {
        let score = scores(&[4.0, 4.0, 4.0, 5.0, 4.0]);
        assert_eq!(score[..4], [None; 4]);
        assert!(score[4].is_some());
    }

    #[test]
    fn a_missing_value_changes_nothing() {
        let mut state = SelfStarting::new();
        state.update(Some(1.0));
        let before = state;
        for nothing in [None, Some(f64::NAN), Some(f64::INFINITY)] {
            assert_eq!(state.update(nothing), None);
            assert_eq!(state, before);
        }
    }
}
