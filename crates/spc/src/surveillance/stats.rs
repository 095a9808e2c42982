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
