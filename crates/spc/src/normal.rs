//! The standard normal distribution, and Student's t brought to its scale.

use std::f64::consts::{PI, SQRT_2};

use libm::erfc;
use special::Beta;

/// Density `φ(x) = exp(−x²/2) / √(2π)`.
pub(crate) fn density(x: f64) -> f64 {
    (-0.5 * x * x).exp() / (2.0 * PI).sqrt()
}

/// `Φ(x) = P(Z ≤ x)`, accurate in relative terms in the lower tail, until it underflows near −38.
pub(crate) fn below(x: f64) -> f64 {
    0.5 * erfc(-x / SQRT_2)
}

/// `P(Z > x)`, accurate in relative terms in the upper tail.
pub(crate) fn above(x: f64) -> f64 {
    below(-x)
}

/// The farthest a score or quantile goes: beyond it probabilities of the normal distribution are hardly floats any more.
pub(crate) const FARTHEST: f64 = 37.0;

/// `Φ⁻¹(p)`, within ±37; `p` is from 0 to 1. Accurate to a few units in the last place where `p` is below ½, and as far as `p` itself determines it
/// above.
///
/// Formula: the rational first guess of Hastings (Abramowitz & Stegun 26.2.23), then Halley's method on the relative error.
pub(crate) fn quantile(p: f64) -> f64 {
    if p > 0.5 {
        return -quantile(1.0 - p);
    }
    if p < below(-FARTHEST) {
        return -FARTHEST;
    }
    let t = (-2.0 * p.ln()).sqrt();
    let top = 2.515_517 + t * (0.802_853 + t * 0.010_328);
    let bottom = 1.0 + t * (1.432_788 + t * (0.189_269 + t * 0.001_308));
    let mut x = top / bottom - t;
    // The guess is within 4.5e-4, and each step cubes the error.
    for _ in 0..3 {
        let error = (below(x) - p) / density(x);
        x -= error / (1.0 + 0.5 * x * error);
    }
    x
}

/// Above so many degrees of freedom the normal score of a t-statistic comes from Wallace's formula, whose error is then below 1e-6;
/// the series of the incomplete beta function converges slowly there.
const MANY_DEGREES: f64 = 10_000.0;

/// The standard normal score with the same tail probability as `t` has under Student's t with `degrees` of freedom:
/// `Φ⁻¹(F_ν(t))`, within ±37. `degrees` is at least 1 and `t` is not NaN.
///
/// Source of the formula for many degrees: Wallace (1959), Ann. Math. Stat. 30:1121.
pub(crate) fn score_of_t(t: f64, degrees: f64) -> f64 {
    let squared = t * t;
    let score = if degrees > MANY_DEGREES {
        (8.0 * degrees + 1.0) / (8.0 * degrees + 3.0)
            * (degrees * (squared / degrees).ln_1p()).sqrt()
    } else {
        // P(|T| > t) = I_{ν/(ν+t²)}(ν/2, ½), and half of it is one tail.
        let ln_beta = (0.5 * degrees).ln_beta(0.5);
        let both_tails = (degrees / (degrees + squared)).inc_beta(0.5 * degrees, 0.5, ln_beta);
        -quantile(0.5 * both_tails.clamp(0.0, 1.0))
    };
    score.clamp(0.0, FARTHEST).copysign(t)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tails_are_accurate_in_relative_terms() {
        // Abramowitz & Stegun, table 26.2, and the asymptotic series at 20.
        assert!((below(-3.0) / 1.349_898_031_630_094_6e-3 - 1.0).abs() < 1e-13);
        assert!((above(5.0) / 2.866_515_718_791_945e-7 - 1.0).abs() < 1e-13);
        assert!((above(20.0) / 2.753_624_118_606_233e-89 - 1.0).abs() < 1e-12);
        assert!((above(-1.0) - 0.841_344_746_068_543).abs() < 1e-15);
        assert!((density(1.0) - 0.241_970_724_519_143_37).abs() < 1e-16);
    }

    #[test]
    fn the_quantile_is_the_inverse() {
        assert!(quantile(0.5).abs() < 1e-16);
        assert!((quantile(0.975) - 1.959_963_984_540_054).abs() < 1e-14);
        for step in -369..=369 {
            let x = f64::from(step) / 10.0;
            let tail = below(-x.abs());
            assert!((quantile(tail) + x.abs()).abs() < 1e-12, "{x}");
        }
        assert_eq!((quantile(0.0), quantile(1.0)), (-FARTHEST, FARTHEST));
    }

    #[test]
    fn a_t_statistic_and_its_score_have_one_tail_probability() {
        // With one degree of freedom F(t) = ½ + arctan(t)/π, with two ½ + t/(2√(2 + t²)).
        for t in [-40.0_f64, -3.0, -0.2, 0.0, 0.7, 2.0, 12.0] {
            let cauchy = 0.5 + t.atan() / PI;
            assert!((below(score_of_t(t, 1.0)) - cauchy).abs() < 1e-12, "{t}");
            let two = 0.5 + t / (2.0 * (2.0 + t * t).sqrt());
            assert!((below(score_of_t(t, 2.0)) - two).abs() < 1e-12, "{t}");
        }
        for (infinite, degrees) in [
            (f64::INFINITY, 3.0),
            (1e300, 5000.0),
            (f64::INFINITY, 5000.0),
        ] {
            assert!(score_of_t(infinite, degrees) <= FARTHEST);
            assert!(score_of_t(-infinite, degrees) >= -FARTHEST);
        }
    }

    #[test]
    fn both_ways_to_the_score_meet() {
        for t in [-6.0, -2.5, -0.3, 0.01, 1.0, 4.0] {
            let exact = score_of_t(t, MANY_DEGREES);
            let wallace = score_of_t(t, MANY_DEGREES + 1e-6);
            assert!((exact - wallace).abs() < 1e-6, "{t}: {exact} {wallace}");
        }
    }
}
