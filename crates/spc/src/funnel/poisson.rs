//! Poisson counts and gamma quantiles. `P(X ≤ x | E) = Q(x+1, E)` and `P(X ≥ x | E) = P(x, E)`, with `P` and `Q` the regularised incomplete gamma
//! functions, which also say what lies between whole counts.
//!
//! Accuracy: 1e-11 relative up to [`MANY`] expected events. Above, expansions in the normal quantile (Cornish & Fisher), which are better than
//! 1e-8 of the limit there (1e-12 for the gamma quantiles).

use special::Gamma as _;

use super::Level;

/// From so many expected events on the expansions are used: the series of the incomplete gamma function gets long.
const MANY: f64 = 1e4;

/// `Φ⁻¹` of the upper tail.
fn normal(level: Level) -> f64 {
    match level {
        Level::P95 => 1.959_963_984_540_054,
        Level::P998 => 3.090_232_306_167_813_5,
    }
}

/// `P(a, x)`.
fn gamma_below(a: f64, x: f64) -> f64 {
    x.inc_gamma(a).min(1.0)
}

/// The counts below and above which a Poisson count with mean `expected` is with a probability of the level's tail each: the solutions of
/// `P(X ≤ x) = α` and `P(X ≥ x) = α`. A whole count is outside exactly when the probability of one as far out or farther is below `α`. The lower one is
/// 0 where even nothing is likelier.
pub(super) fn limits_of_count(expected: f64, level: Level) -> (f64, f64) {
    let tail = level.tail();
    let z = normal(level);
    let spread = z * expected.sqrt();
    if expected > MANY {
        let skew = (z * z - 1.0) / 6.0;
        // The third term of the expansion with the lattice's own correction.
        let third = (z * z * z + 2.0 * z) / (72.0 * expected.sqrt());
        return (
            expected - spread + skew - 0.5 + third,
            expected + spread + skew + 0.5 - third,
        );
    }
    let lower = if (-expected).exp() >= tail {
        0.0
    } else {
        let at_most = |x: f64| 1.0 - gamma_below(x + 1.0, expected);
        root(|x| (at_most(x) / tail).ln(), 0.0, expected)
    };
    let at_least = |x: f64| gamma_below(x, expected);
    let upper = root(
        |x| -(at_least(x) / tail).ln(),
        expected.min(0.5),
        expected + 2.0 * spread + 10.0,
    );
    (lower, upper)
}

/// The exact interval for the mean of a Poisson variable of which `count` were seen (Garwood 1936, Biometrika 28:437), which FunnelPlotR takes for
/// the limits of a count when `count` are expected: `χ²(α; 2E)/2` and `χ²(1−α; 2(E+1))/2`.
pub(super) fn interval_of_mean(count: f64, level: Level) -> (f64, f64) {
    let z = normal(level);
    if count > MANY {
        return (gamma_expansion(count, -z), gamma_expansion(count + 1.0, z));
    }
    let tail = level.tail();
    let (shape, next) = (count, count + 1.0);
    // On logarithmic scales the lower tail is nearly a line, also where the quantile is 1e-8.
    let guess = ((tail.ln() + special::Gamma::ln_gamma(shape + 1.0).0) / shape).min(shape.ln());
    let below = |log: f64| (gamma_below(shape, log.exp()) / tail).ln();
    let lower = root(below, guess - 1.0, (shape + 1.0).ln()).exp();
    let above = |x: f64| -((1.0 - gamma_below(next, x)) / tail).ln();
    let upper = root(above, next * 0.5, next + 2.0 * z * next.sqrt() + 10.0);
    (lower, upper)
}

/// The quantile of a gamma variable of a large shape at the normal quantile `z` (Goldberg & Levine 1946, Ann. Math. Stat. 17:216, for χ²).
fn gamma_expansion(shape: f64, z: f64) -> f64 {
    let root = (2.0 * shape).sqrt();
    let z2 = z * z;
    let chi2 = root * root
        + root * z * std::f64::consts::SQRT_2
        + (z2 - 1.0) * 2.0 / 3.0
        + z * (z2 - 7.0) / (9.0 * std::f64::consts::SQRT_2 * root)
        - (6.0 * z2 * z2 + 14.0 * z2 - 32.0) / (405.0 * root * root)
        + z * (9.0 * z2 * z2 + 256.0 * z2 - 433.0)
            / (4860.0 * std::f64::consts::SQRT_2 * root * root * root);
    0.5 * chi2
}

/// The root of an increasing function between `low` and `high`: false position, where an end that has stayed twice counts half (Illinois), and
/// bisection at every third step.
fn root(function: impl Fn(f64) -> f64, mut low: f64, mut high: f64) -> f64 {
    const STEPS: usize = 200;
    let (mut at_low, mut at_high) = (function(low), function(high));
    let mut rose = None;
    for step in 1..STEPS {
        let secant = high - at_high * (high - low) / (at_high - at_low);
        let middle = if step % 3 != 0 && secant > low && secant < high {
            secant
        } else {
            low + 0.5 * (high - low)
        };
        let value = function(middle);
        if value == 0.0 || high - low <= 1e-14 * middle.abs() || middle == low || middle == high {
            return middle;
        }
        let rises = value < 0.0;
        if rises {
            (low, at_low) = (middle, value);
        } else {
            (high, at_high) = (middle, value);
        }
        match (rises, rose) {
            (true, Some(true)) => at_high *= 0.5,
            (false, Some(false)) => at_low *= 0.5,
            _ => {}
        }
        rose = Some(rises);
    }
    low + 0.5 * (high - low)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(ours: f64, known: f64, tolerance: f64) {
        assert!((ours / known - 1.0).abs() < tolerance, "{ours} {known}");
    }

    #[test]
    fn the_interval_of_a_mean_is_the_published_one() {
        // Garwood's table, 95 %: 4 events 1.09 to 10.24, 10 events 4.80 to 18.39, 30 events 20.24 to 42.83.
        for (count, lower, upper) in [
            (4.0, 1.09, 10.24),
            (10.0, 4.80, 18.39),
            (30.0, 20.24, 42.83),
        ] {
            let (ours_lower, ours_upper) = interval_of_mean(count, Level::P95);
            assert!((ours_lower - lower).abs() < 0.006 && (ours_upper - upper).abs() < 0.006);
        }
    }

    #[test]
    fn a_count_is_outside_exactly_when_its_tail_is_below_the_nominal() {
        for step in 1..400 {
            let expected = f64::from(step) * 0.37;
            // P(X ≤ x) by adding up.
            let mut probability = (-expected).exp();
            let mut up_to = Vec::new();
            let mut sum = 0.0;
            for count in 0..400_u32 {
                sum += probability;
                up_to.push(sum);
                probability *= expected / f64::from(count + 1);
            }
            for level in [Level::P95, Level::P998] {
                let (lower, upper) = limits_of_count(expected, level);
                for (count, at_most) in (0_u32..350).zip(&up_to) {
                    let at_least = 1.0
                        - if count == 0 {
                            0.0
                        } else {
                            up_to[count as usize - 1]
                        };
                    let count = f64::from(count);
                    assert_eq!(
                        count < lower,
                        *at_most < level.tail(),
                        "{count} of {expected}"
                    );
                    assert_eq!(
                        count > upper,
                        at_least < level.tail(),
                        "{count} of {expected}"
                    );
                }
            }
        }
    }

    #[test]
    fn both_ways_to_a_limit_meet_where_the_expansions_take_over() {
        for level in [Level::P95, Level::P998] {
            for limits in [limits_of_count, interval_of_mean] {
                let (exact, expanded) = (limits(MANY, level), limits(MANY * (1.0 + 1e-14), level));
                near(exact.0, expanded.0, 1e-8);
                near(exact.1, expanded.1, 1e-8);
            }
        }
    }

    #[test]
    fn any_expectation_has_limits() {
        for power in -300..=12 {
            let expected = 10_f64.powi(power);
            for limits in [limits_of_count, interval_of_mean] {
                let (lower, upper) = limits(expected, Level::P998);
                assert!(
                    lower >= 0.0 && lower <= upper && upper.is_finite(),
                    "{expected}: {lower} {upper}"
                );
            }
        }
    }
}
