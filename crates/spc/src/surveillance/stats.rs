//! Small statistics that the rest of the layer stands on.

pub(crate) fn mean_of(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (mut sum, mut n) = (0.0, 0.0);
    for v in values {
        sum += v;
        n += 1.0;
    }
    (n > 0.0).then(|| sum / n)
}

/// Sample variance, divisor `n − 1`.
pub(crate) fn variance_of(values: impl Iterator<Item = f64> + Clone) -> Option<f64> {
    let mean = mean_of(values.clone())?;
    let (mut sum, mut n) = (0.0, 0.0);
    for v in values {
        sum += (v - mean).powi(2);
        n += 1.0;
    }
    (n > 1.0).then(|| sum / (n - 1.0))
}

pub(crate) fn median(mut values: Vec<f64>) -> Option<f64> {
    if values.is_empty() {
        return None;
    }
    let middle = values.len() / 2;
    let (_, upper, _) = values.select_nth_unstable_by(middle, f64::total_cmp);
    Some(*upper)
}

/// Weighted location of (value, weight) by Tukey's biweight with the cut at `cut`, from `start`.
///
/// Near-efficient for the normal and t, and a share of units that moved pulls it far less than it pulls the mean.
pub(crate) fn biweight(pool: &[(f64, f64)], start: f64, cut: f64) -> f64 {
    let mut centre = start;
    for _ in 0..2 {
        let (mut num, mut den) = (0.0, 0.0);
        for (v, w) in pool {
            let x = (v - centre) / cut;
            if x.abs() < 1.0 {
                let weight = w * (1.0 - x * x).powi(2);
                num += weight * v;
                den += weight;
            }
        }
        if den <= 0.0 {
            break;
        }
        centre = num / den;
    }
    centre
}

/// Logarithm of the gamma function for `x > 0` (Stirling's series after a shift to x ≥ 10; about 1e-12).
pub(crate) fn ln_gamma(x: f64) -> f64 {
    let mut shift = 0.0;
    let mut x = x;
    while x < 10.0 {
        shift -= x.ln();
        x += 1.0;
    }
    let i = 1.0 / x;
    let i2 = i * i;
    shift + (x - 0.5) * x.ln() - x
        + 0.5 * std::f64::consts::TAU.ln()
        + i * (1.0 / 12.0 - i2 * (1.0 / 360.0 - i2 * (1.0 / 1260.0 - i2 / 1680.0)))
}

/// Upper tail of the standard normal, `1 − Φ(x)`: the power series about 0 below 3, Laplace's continued fraction beyond, so
/// that the far tail keeps its relative accuracy (about 1e-10).
pub(crate) fn normal_upper(x: f64) -> f64 {
    if x < 0.0 {
        return 1.0 - normal_upper(-x);
    }
    let density = (-0.5 * x * x).exp() / std::f64::consts::TAU.sqrt();
    if x < 3.0 {
        let (mut term, mut sum, mut k) = (x, x, 1.0);
        while term > 1e-17 * sum {
            term *= x * x / (2.0 * k + 1.0);
            sum += term;
            k += 1.0;
        }
        return 0.5 - density * sum;
    }
    let tail = (1..=60).rev().fold(x, |f, k| x + f64::from(k) / f);
    density / tail
}
