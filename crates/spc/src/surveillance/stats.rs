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

/// Weighted location of (value, weight): the weighted median, then Tukey-biweight steps with the weighted MAD as scale.
///
/// Near-efficient for the normal and t, and a share of units that moved pulls it far less than it pulls the mean.
pub(crate) fn location(pool: &mut [(f64, f64)]) -> Option<f64> {
    let start = weighted_median(pool)?;
    let mut deviations: Vec<(f64, f64)> = pool.iter().map(|(v, w)| ((v - start).abs(), *w)).collect();
    let mad = weighted_median(&mut deviations)?;
    if mad <= 0.0 {
        return Some(start);
    }
    let cut = 4.685 * 1.4826 * mad;
    let mut centre = start;
    for _ in 0..3 {
        let (mut num, mut den) = (0.0, 0.0);
        for (v, w) in pool.iter() {
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
    Some(centre)
}

fn weighted_median(pool: &mut [(f64, f64)]) -> Option<f64> {
    pool.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let total: f64 = pool.iter().map(|x| x.1).sum();
    if total <= 0.0 {
        return None;
    }
    let mut so_far = 0.0;
    for (index, (v, w)) in pool.iter().enumerate() {
        so_far += w;
        if so_far > total / 2.0 {
            return Some(*v);
        }
        if so_far == total / 2.0 {
            return Some(pool.get(index + 1).map_or(*v, |next| 0.5 * (v + next.0)));
        }
    }
    None
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
