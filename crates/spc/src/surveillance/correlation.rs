//! Correlation of innovations between markers, and its inverse where some are missing.

use super::Panel;
use super::fit::{Shared, score};

/// Inverse of the pooled correlation of innovation scores between the markers of the design.
pub(crate) fn precision(
    residuals: &[f64],
    series: usize,
    panel: &Panel,
    shared: &Shared,
) -> Vec<f64> {
    let markers = panel.design.markers();
    let p = markers.len();
    let mut sums = vec![0.0f64; p * p];
    let mut counts = vec![0.0f64; p * p];
    let mut row = vec![f64::NAN; p];
    let mut rows = 0.0;
    for line in residuals.chunks_exact(series) {
        for (value, m) in row.iter_mut().zip(&markers) {
            *value = score(line[*m], shared.nu, shared.information);
        }
        rows += 1.0;
        for i in 0..p {
            if row[i].is_nan() {
                continue;
            }
            for j in 0..=i {
                if !row[j].is_nan() {
                    sums[i * p + j] += row[i] * row[j];
                    counts[i * p + j] += 1.0;
                }
            }
        }
    }
    let mut c = vec![0.0; p * p];
    let (mut mean, mut pairs) = (0.0, 0.0);
    for i in 0..p {
        for j in 0..i {
            let scale = (sums[i * p + i] / counts[i * p + i].max(1.0) * sums[j * p + j]
                / counts[j * p + j].max(1.0))
            .sqrt();
            let r = if counts[i * p + j] > 10.0 && scale > 0.0 {
                sums[i * p + j] / counts[i * p + j] / scale
            } else {
                f64::NAN
            };
            c[i * p + j] = r;
            if !r.is_nan() {
                mean += r;
                pairs += 1.0;
            }
        }
    }
    if pairs > 0.0 {
        mean /= pairs;
    }
    // Of markers whose baselines have no month in common, the others are the best guess.
    c.iter_mut().filter(|r| r.is_nan()).for_each(|r| *r = mean);
    // Shrunk towards one common correlation, the more the fewer unit-months there are.
    let lambda = (10.0 * p as f64 / (rows + 1.0)).clamp(0.0, 1.0);
    let mut lambda_now = lambda;
    loop {
        let mut full = vec![0.0; p * p];
        for i in 0..p {
            full[i * p + i] = 1.0;
            for j in 0..i {
                let r = ((1.0 - lambda_now) * c[i * p + j] + lambda_now * mean.clamp(0.0, 0.9))
                    .clamp(-0.95, 0.95);
                full[i * p + j] = r;
                full[j * p + i] = r;
            }
        }
        if let Some(inverse) = inverse(&full, p) {
            return inverse;
        }
        if lambda_now >= 1.0 {
            let mut identity = vec![0.0; p * p];
            (0..p).for_each(|i| identity[i * p + i] = 1.0);
            return identity;
        }
        lambda_now = (lambda_now + 0.2).min(1.0);
    }
}

/// Inverse of a symmetric positive definite matrix, `None` if a pivot is not clearly positive (Gauss and Jordan; pivots of
/// a correlation matrix are variances given the variables before, so no pivoting is needed).
fn inverse(matrix: &[f64], p: usize) -> Option<Vec<f64>> {
    let mut a = matrix.to_vec();
    let mut out = vec![0.0; p * p];
    (0..p).for_each(|i| out[i * p + i] = 1.0);
    for k in 0..p {
        let pivot = a[k * p + k];
        if pivot < 0.02 {
            return None;
        }
        for j in 0..p {
            a[k * p + j] /= pivot;
            out[k * p + j] /= pivot;
        }
        for i in (0..p).filter(|i| *i != k) {
            let f = a[i * p + k];
            for j in 0..p {
                a[i * p + j] -= f * a[k * p + j];
                out[i * p + j] -= f * out[k * p + j];
            }
        }
    }
    Some(out)
}

/// The inverse of the submatrix without coordinate `k`, in place: row and column `k` become 0.
pub(crate) fn leave_out(precision: &mut [f64], p: usize, k: usize) {
    let d = precision[k * p + k];
    for i in 0..p {
        if i == k {
            continue;
        }
        let f = precision[i * p + k] / d;
        for j in 0..p {
            if j != k {
                precision[i * p + j] -= f * precision[k * p + j];
            }
        }
    }
    for i in 0..p {
        precision[i * p + k] = 0.0;
        precision[k * p + i] = 0.0;
    }
}
