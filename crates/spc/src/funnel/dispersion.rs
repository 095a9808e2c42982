//! How much more the groups differ than chance makes them: `φ = Σz²/n` of the trimmed `z`, and `τ²` from it.
//!
//! Trimming keeps real outliers from widening the limits that are to find them, but it also takes away what chance alone has in its tails:
//! without overdispersion, 10 % winsorising leaves 0.68 of `φ`, and 10 % truncation 0.44, in large samples. The corrected form divides by that
//! expectation, for the very number of groups. It is the sum of second moments of normal order statistics, by the series of David & Johnson
//! (1954), Biometrika 41:228, which is right to 2 % from five groups and to 0.2 % from ten.

use super::{FunnelOptions, Measure, Mode, Score};
use crate::normal;

/// What is said of all groups together, and what trimming did to each.
pub(super) struct Dispersion {
    pub(super) phi: f64,
    pub(super) tau2: f64,
    pub(super) trimmed: Vec<Trimmed>,
}

/// A group's `z` as it counts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trimmed {
    pub(super) is_trimmed: bool,
    /// `None` is left out.
    pub(super) z: Option<f64>,
}

pub(super) fn of(mode: Mode, scores: &[Score], options: &FunnelOptions) -> Dispersion {
    let z: Vec<f64> = scores.iter().map(|score| score.z).collect();
    let truncates = options.measure == Measure::StandardisedShmi;
    let trimmed = match (truncates, mode) {
        (false, _) => winsorised(&z, options.trim_by),
        (true, Mode::Corrected) => truncated(&z, options.trim_by),
        (true, Mode::Compat) => truncated_by_buckets(&z, options.trim_by),
    };
    let kept = || {
        let pairs = trimmed.iter().zip(scores);
        pairs.filter_map(|(trimmed, score)| trimmed.z.map(|z| (z, score.s)))
    };
    let count = kept().count() as f64;
    let squares: f64 = kept().map(|(z, _)| z * z).sum();
    if count == 0.0 {
        let (phi, tau2) = (0.0, 0.0);
        return Dispersion { phi, tau2, trimmed };
    }
    let phi = squares / count / left_by_trimming(mode, truncates, scores.len(), options.trim_by);
    let weights: f64 = kept().map(|(_, s)| (s * s).recip()).sum();
    let squared_weights: f64 = kept().map(|(_, s)| (s * s * s * s).recip()).sum();
    let tau2 = between_groups(phi, count, weights, squared_weights);
    Dispersion { phi, tau2, trimmed }
}

/// `τ² = max(0, (nφ − (n−1)) / (W₁ − W₂/W₁))` with `W₁ = Σ1/s²` and `W₂ = Σ1/s⁴`: DerSimonian & Laird (1986). One group has no variance
/// between groups.
fn between_groups(phi: f64, count: f64, weights: f64, squared_weights: f64) -> f64 {
    let room = weights - squared_weights / weights;
    if count < 2.0 || room <= 0.0 {
        return 0.0;
    }
    ((count * phi - (count - 1.0)) / room).max(0.0)
}

/// Clamps to the quantiles `share` and `1 − share` (linear between order statistics, type 7 of Hyndman & Fan).
fn winsorised(z: &[f64], share: f64) -> Vec<Trimmed> {
    let mut sorted = z.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (low, high) = (quantile(&sorted, share), quantile(&sorted, 1.0 - share));
    z.iter()
        .map(|z| Trimmed {
            is_trimmed: *z <= low || *z >= high,
            z: Some(z.max(low).min(high)),
        })
        .collect()
}

fn quantile(sorted: &[f64], share: f64) -> f64 {
    let (index, part) = place(sorted.len(), share);
    let low = sorted[index];
    match sorted.get(index + 1) {
        Some(high) if part > 0.0 => low + part * (high - low),
        _ => low,
    }
}

/// Where a quantile lies among `count` sorted values: an index from 0, and the part of the way to the next.
#[allow(
    clippy::cast_possible_truncation,
    reason = "between 0 and the number of groups"
)]
fn place(count: usize, share: f64) -> (usize, f64) {
    let place = (count - 1) as f64 * share;
    // What should be whole is: 0.1 × 10 and the like.
    let place = if (place - place.round()).abs() < 1e-9 {
        place.round()
    } else {
        place
    };
    (place.floor() as usize, place - place.floor())
}

/// How many groups truncation leaves out at each end. One at least is kept.
#[allow(
    clippy::cast_possible_truncation,
    reason = "between 0 and the number of groups"
)]
fn left_out(count: usize, share: f64) -> usize {
    let below = (share * (count + 1) as f64 - 1e-9).ceil() - 1.0;
    (below.max(0.0) as usize).min((count - 1) / 2)
}

/// Leaves out as many groups at each end.
fn truncated(z: &[f64], share: f64) -> Vec<Trimmed> {
    let mut order: Vec<usize> = (0..z.len()).collect();
    order.sort_by(|a, b| z[*a].total_cmp(&z[*b]));
    let out = left_out(z.len(), share);
    let mut trimmed: Vec<Trimmed> = z.iter().map(|z| kept(*z)).collect();
    for index in order[..out].iter().chain(&order[z.len() - out..]) {
        trimmed[*index] = LEFT_OUT;
    }
    trimmed
}

/// The package's truncation: ranks, of which ties have the average, are put into `1/share` buckets of which the first and the last are
/// left out.
fn truncated_by_buckets(z: &[f64], share: f64) -> Vec<Trimmed> {
    if share == 0.0 {
        return z.iter().map(|z| kept(*z)).collect();
    }
    let buckets = share.recip();
    let last = (buckets - 1e-9).ceil() - 1.0;
    let mut sorted = z.to_vec();
    sorted.sort_by(f64::total_cmp);
    let of = |z: &f64| {
        let below = sorted.partition_point(|other| other < z);
        let up_to = sorted.partition_point(|other| other <= z);
        let rank = (below + 1 + up_to) as f64 / 2.0;
        (rank * buckets / (z_count(&sorted) + 1.0)).floor()
    };
    z.iter()
        .map(|z| match of(z) {
            bucket if bucket == 0.0 || bucket == last => LEFT_OUT,
            _ => kept(*z),
        })
        .collect()
}

fn z_count(sorted: &[f64]) -> f64 {
    sorted.len() as f64
}

const LEFT_OUT: Trimmed = Trimmed {
    is_trimmed: true,
    z: None,
};

fn kept(z: f64) -> Trimmed {
    Trimmed {
        is_trimmed: false,
        z: Some(z),
    }
}

/// The expectation of `φ` when there is no overdispersion; 1 where the package has it so.
fn left_by_trimming(mode: Mode, truncates: bool, count: usize, share: f64) -> f64 {
    match mode {
        Mode::Compat => 1.0,
        Mode::Corrected if truncates => left_by_truncating(count, share),
        Mode::Corrected => left_by_winsorising(count, share),
    }
}

/// `E[Σz²/n]` of `count` standard normal values less those left out.
fn left_by_truncating(count: usize, share: f64) -> f64 {
    let out = left_out(count, share);
    let tail: f64 = (1..=out)
        .map(|rank| Moments::of(rank, count).square())
        .sum();
    (count as f64 - 2.0 * tail) / (count - 2 * out) as f64
}

/// `E[Σz²/n]` of `count` standard normal values, clamped at both ends to a quantile between two of them.
fn left_by_winsorising(count: usize, share: f64) -> f64 {
    if count < 2 {
        return 1.0;
    }
    let (index, part) = place(count, share);
    let (below, above) = (Moments::of(index + 1, count), Moments::of(index + 2, count));
    let mean = below.mean + part * (above.mean - below.mean);
    let variance = (1.0 - part) * (1.0 - part) * below.variance
        + part * part * above.variance
        + 2.0 * part * (1.0 - part) * below.covariance(&above);
    let clamped = (index + 1) as f64;
    let tail: f64 = (1..=index + 1)
        .map(|rank| Moments::of(rank, count).square())
        .sum();
    let saved = 2.0 * (tail - clamped * (mean * mean + variance));
    // The series is not exact, and at least a tenth is always left of two groups or more.
    (1.0 - saved / count as f64).clamp(0.1, 1.0)
}

/// Moments of a standard normal order statistic.
struct Moments {
    mean: f64,
    variance: f64,
    /// `p = rank / (count + 1)`.
    p: f64,
}

impl Moments {
    /// Of the `rank`-th smallest of `count`, to the second order of David & Johnson.
    fn of(rank: usize, count: usize) -> Self {
        let p = rank as f64 / (count + 1) as f64;
        let (q, n) = (1.0 - p, (count + 2) as f64);
        let x = normal::quantile(p);
        // Derivatives of the quantile function at p.
        let first = normal::density(x).recip();
        let second = x * first.powi(2);
        let third = (1.0 + 2.0 * x * x) * first.powi(3);
        let fourth = x * (7.0 + 6.0 * x * x) * first.powi(4);
        let mean = x
            + p * q / (2.0 * n) * second
            + p * q / (n * n) * ((q - p) / 3.0 * third + p * q / 8.0 * fourth);
        let variance = p * q / n * first * first
            + p * q / (n * n)
                * (2.0 * (q - p) * first * second
                    + p * q * (first * third + 0.5 * second * second));
        Self { mean, variance, p }
    }

    /// Expectation of the square.
    fn square(&self) -> f64 {
        self.mean * self.mean + self.variance
    }

    /// With the next larger one, by the correlation of uniform order statistics.
    fn covariance(&self, next: &Self) -> f64 {
        let correlation = (self.p * (1.0 - next.p)) / (next.p * (1.0 - self.p));
        (correlation * self.variance * next.variance).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_large_samples_what_trimming_leaves_is_known_in_closed_form() {
        // With q the (1 − share) quantile: winsorised (1−2t) − 2qφ(q) + 2tq²; truncated 1 − 2qφ(q)/(1−2t).
        assert!((left_by_winsorising(100_000, 0.1) - 0.678_65).abs() < 1e-4);
        assert!((left_by_truncating(100_000, 0.1) - 0.437_73).abs() < 1e-4);
        assert!((left_by_winsorising(100_000, 0.05) - 0.831_3).abs() < 1e-4);
    }

    #[test]
    fn in_small_samples_trimming_leaves_what_a_simulation_shows() {
        // 200,000 simulated samples of each size, standard error below 0.001.
        for (count, winsorised, truncated) in [
            (5, 0.728, 1.0),
            (8, 0.718, 1.0),
            (10, 0.722, 0.572),
            (15, 0.704, 0.644),
            (25, 0.696, 0.563),
            (60, 0.687, 0.464),
        ] {
            let error = left_by_winsorising(count, 0.1) / winsorised - 1.0;
            assert!(error.abs() < 0.015, "{count}: {error}");
            let error = left_by_truncating(count, 0.1) / truncated - 1.0;
            assert!(error.abs() < 0.006, "{count}: {error}");
        }
    }

    #[test]
    fn without_trimming_everything_is_left() {
        for count in 1..50 {
            assert_eq!(left_by_truncating(count, 0.0), 1.0);
            assert!(
                (left_by_winsorising(count, 0.0) - 1.0).abs() < 1e-12,
                "{count}"
            );
        }
    }

    #[test]
    fn any_number_of_groups_and_any_share_leave_something() {
        for count in 1..40 {
            for share in [0.0, 0.01, 0.1, 0.3, 0.49, 0.499_999] {
                let z: Vec<f64> = (0..count).map(f64::from).collect();
                let kept = truncated(&z, share)
                    .iter()
                    .filter(|z| z.z.is_some())
                    .count();
                assert!(kept > 0, "{count} {share}");
                for left in [
                    left_by_truncating(z.len(), share),
                    left_by_winsorising(z.len(), share),
                ] {
                    assert!(left > 0.0 && left < 1.01, "{count} {share}: {left}");
                }
            }
        }
    }
}
