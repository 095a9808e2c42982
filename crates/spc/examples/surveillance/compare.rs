//! The methods that the surveillance layer is compared with, on the same panel: each gives a score per organisation for
//! one month, and raises an alert where the score is at least 1.

use super::simulate::{BASELINE, DOMAINS, MARKERS, SERIES};

/// Name and score of each method.
pub(crate) const METHODS: [&str; 5] = [
    "MDC: savings icon and >= 1 concern icon",
    "MDC: savings icon and >= 3 concern icons",
    "two of three beyond 2 sd: savings and >= 1 marker",
    "plain CUSUM .5/5: savings and >= 1 marker",
    "domain CUSUM on innovations .5/5 (form of the reference)",
];

/// What does not depend on the month: values less the median of their month, baselines, CUSUM paths.
pub(crate) struct Prepared {
    organisations: usize,
    months: usize,
    raw: Vec<f64>,
    z: Vec<f64>,
    plain: Vec<f64>,
    /// Savings, then domains.
    innovations: Vec<f64>,
}

const STREAMS: usize = 1 + DOMAINS;

pub(crate) fn prepare(values: &[f64], organisations: usize, months: usize) -> Prepared {
    let at = |u: usize, s: usize, t: usize| (u * SERIES + s) * months + t;
    let mut z = values.to_vec();
    for s in 0..SERIES {
        for t in 0..months {
            let mut all: Vec<f64> = (0..organisations)
                .map(|u| values[at(u, s, t)])
                .filter(|v| !v.is_nan())
                .collect();
            all.sort_by(f64::total_cmp);
            let median = all[all.len() / 2];
            (0..organisations).for_each(|u| z[at(u, s, t)] -= median);
        }
    }
    for line in z.chunks_exact_mut(months) {
        let known: Vec<f64> = line[..BASELINE]
            .iter()
            .copied()
            .filter(|v| !v.is_nan())
            .collect();
        let n = known.len() as f64;
        let mean = known.iter().sum::<f64>() / n;
        let sd = (known.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt();
        line.iter_mut()
            .for_each(|v| *v = if v.is_nan() { 0.0 } else { (*v - mean) / sd });
    }
    let mut plain = vec![0.0; z.len()];
    for (path, line) in plain.chunks_exact_mut(months).zip(z.chunks_exact(months)) {
        for t in BASELINE..months {
            path[t] = (path[t - 1] + line[t] - 0.5).max(0.0);
        }
    }
    // Innovations with the series' pooled, bias-corrected autocorrelation, winsorised at 4.
    let mut e = vec![0.0; z.len()];
    for s in 0..SERIES {
        let (mut c1, mut c0) = (0.0, 0.0);
        for u in 0..organisations {
            for t in 1..BASELINE {
                c1 += z[at(u, s, t)] * z[at(u, s, t - 1)];
                c0 += z[at(u, s, t)].powi(2);
            }
        }
        let b = BASELINE as f64;
        let rho = ((c1 / c0 + 1.0 / b) / (1.0 - 3.0 / b)).clamp(-0.9, 0.9);
        let predictive = (1.0
            + (1.0 + rho) * (1.0 - rho).powi(2) / ((1.0 - rho * rho) * b * (1.0 - rho)))
            .sqrt();
        for u in 0..organisations {
            for t in 1..months {
                let raw = (z[at(u, s, t)] - rho * z[at(u, s, t - 1)])
                    / ((1.0 - rho * rho).sqrt() * predictive);
                e[at(u, s, t)] = raw.clamp(-4.0, 4.0);
            }
        }
    }
    let size = MARKERS / DOMAINS;
    let mut innovations = vec![0.0; organisations * STREAMS * months];
    for stream in 0..STREAMS {
        let value = |u: usize, t: usize| match stream {
            0 => e[at(u, 0, t)],
            d => (0..size)
                .map(|i| e[at(u, 1 + (d - 1) * size + i, t)])
                .sum::<f64>(),
        };
        let mut squares = 0.0;
        for u in 0..organisations {
            squares += (1..BASELINE).map(|t| value(u, t).powi(2)).sum::<f64>();
        }
        let sd = (squares / (organisations * (BASELINE - 1)) as f64).sqrt();
        for u in 0..organisations {
            let path = &mut innovations[(u * STREAMS + stream) * months..][..months];
            for t in BASELINE..months {
                path[t] = (path[t - 1] + value(u, t) / sd - 0.5).max(0.0);
            }
        }
    }
    Prepared {
        organisations,
        months,
        raw: values.to_vec(),
        z,
        plain,
        innovations,
    }
}

/// Whether the last point of an XmR chart over all months is special cause upwards: beyond the limit, two of three beyond
/// two sigma on one side, seven on one side, seven rising.
fn icon(y: &[f64]) -> bool {
    let known: Vec<f64> = y.iter().copied().filter(|v| !v.is_nan()).collect();
    let n = known.len();
    if n < 13 || y.last().is_none_or(|v| v.is_nan()) {
        return false;
    }
    let mean = known.iter().sum::<f64>() / n as f64;
    let range = known.windows(2).map(|p| (p[1] - p[0]).abs()).sum::<f64>() / (n - 1) as f64;
    let last = known[n - 1];
    let three = &known[n - 3..];
    let near = mean + 2.0 * 2.66 / 3.0 * range;
    let two_of_three = three.iter().all(|v| *v > mean)
        && last > near
        && three.iter().filter(|v| **v > near).count() >= 2;
    let seven = &known[n - 7..];
    last > mean + 2.66 * range
        || two_of_three
        || seven.iter().all(|v| *v > mean)
        || seven.windows(2).all(|p| p[1] > p[0])
}

/// Scores of all organisations in the month `end − 1`, by method.
pub(crate) fn scores(p: &Prepared, end: usize) -> Vec<[f64; 5]> {
    let line = |u: usize, s: usize| (u * SERIES + s) * p.months..(u * SERIES + s + 1) * p.months;
    (0..p.organisations)
        .map(|u| {
            let icons = (1..SERIES)
                .filter(|s| icon(&p.raw[line(u, *s)][..end]))
                .count() as f64;
            let icons = if icon(&p.raw[line(u, 0)][..end]) {
                icons
            } else {
                0.0
            };
            let two = |s: usize| {
                let three = &p.z[line(u, s)][end - 3..end];
                three[2] > 2.0 && three.iter().filter(|v| **v > 2.0).count() >= 2
            };
            let twos = if two(0) {
                (1..SERIES).filter(|s| two(*s)).count() as f64
            } else {
                0.0
            };
            let plain = |s: usize| p.plain[line(u, s)][end - 1];
            let path = |stream: usize| p.innovations[(u * STREAMS + stream) * p.months + end - 1];
            let most = |values: &mut dyn Iterator<Item = f64>| values.fold(0.0, f64::max);
            [
                icons,
                icons / 3.0,
                twos,
                plain(0).min(most(&mut (1..SERIES).map(plain))) / 5.0,
                path(0).min(most(&mut (1..STREAMS).map(path))) / 5.0,
            ]
        })
        .collect()
}
