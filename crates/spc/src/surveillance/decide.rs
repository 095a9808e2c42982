//! The joint decision: a mixture of four states over all units of a month.
use super::evidence::{Evidence, K, Ratios};
use super::{Assessment, Options, Panel};

/// Probabilities of the four states of a unit; they add up to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Posterior {
    pub nothing: f64,
    pub savings: f64,
    pub quality: f64,
    pub both: f64,
}

/// Quality begins so many months after savings, from −2; one more for "no relation".
const LAGS: usize = 10;
const EARLIEST_LAG: usize = 2;
/// How often each is counted before any unit is seen: the prior's weight, in units.
const STATES_PRIOR: [f64; 4] = [10.0, 1.0, 1.0, 0.2];
const SIZES_PRIOR: f64 = 2.0;
const ONSETS_PRIOR: f64 = 12.0;
const LAGS_PRIOR: f64 = 10.0;

/// What the units of a month have in common, estimated by EM: shares of the states, of sizes, onsets and lags.
#[derive(Clone, Debug)]
pub(crate) struct Mixture {
    pub(crate) states: [f64; 4],
    pub(crate) sizes: [Ratios; 2],
    /// By month since `origin`.
    pub(crate) onsets: [Vec<f64>; 2],
    pub(crate) lags: [f64; LAGS + 1],
    origin: usize,
}

fn lags_prior() -> [f64; LAGS + 1] {
    let mut lags = [0.0; LAGS + 1];
    for (i, lag) in lags[..LAGS].iter_mut().enumerate() {
        *lag = (-(i as f64 - EARLIEST_LAG as f64 - 0.5).abs() / 2.5).exp();
    }
    let total: f64 = lags.iter().sum();
    lags.iter_mut().for_each(|lag| *lag *= 0.7 / total);
    lags[LAGS] = 0.3;
    lags
}

/// A unit's likelihood ratios under a mixture, and what is needed to divide them up again.
#[derive(Default)]
struct Parts {
    /// Savings and quality, prior × likelihood by onset, and their sums.
    by_onset: [Vec<f64>; 2],
    /// Likelihood alone by onset.
    plain: [Vec<f64>; 2],
    sums: [f64; 2],
    /// Both, by the onset of savings.
    both: f64,
}

fn parts(e: &Evidence, m: &Mixture, x: &mut Parts) {
    let n = e.savings.len();
    let from = e.base - m.origin;
    for (which, table) in [&e.savings, &e.quality].into_iter().enumerate() {
        let prior = &m.onsets[which][from..from + n];
        let total: f64 = prior.iter().sum();
        x.by_onset[which].clear();
        x.plain[which].clear();
        for (ratios, p) in table.iter().zip(prior) {
            let l: f64 = ratios.iter().zip(m.sizes[which]).map(|(l, w)| l * w).sum();
            x.plain[which].push(l);
            x.by_onset[which].push(l * p / total);
        }
        x.sums[which] = x.by_onset[which].iter().sum();
    }
    x.both = 0.0;
    for s in 0..n {
        x.both += x.by_onset[0][s] * pair(s, m, x, n).0;
    }
}

/// Likelihood of quality given that savings began in `s`, and the weight of the lags that are possible.
fn pair(s: usize, m: &Mixture, x: &Parts, n: usize) -> (f64, f64) {
    let (mut sum, mut weight) = (0.0, 0.0);
    for (i, w) in m.lags[..LAGS].iter().enumerate() {
        let q = (s + i).wrapping_sub(EARLIEST_LAG);
        if q < n {
            sum += w * x.plain[1][q];
            weight += w;
        }
    }
    let weight = weight + m.lags[LAGS];
    ((sum + m.lags[LAGS] * x.sums[1]) / weight, weight)
}

/// EM with Dirichlet priors.
pub(crate) fn mixture(evidence: &[Option<Evidence>]) -> Mixture {
    let origin = evidence.iter().flatten().map(|e| e.base).min().unwrap_or(0);
    let last = evidence.iter().flatten().map(|e| e.base + e.savings.len()).max().unwrap_or(1);
    let months = last - origin;
    let flat = vec![1.0 / months as f64; months];
    let mut m = Mixture {
        states: [0.85, 0.06, 0.06, 0.03],
        sizes: [[1.0 / K as f64; K]; 2],
        onsets: [flat.clone(), flat],
        lags: lags_prior(),
        origin,
    };
    let mut x = Parts::default();
    for _ in 0..60 {
        let mut states = STATES_PRIOR;
        let mut sizes = [[SIZES_PRIOR; K]; 2];
        let mut onsets = [vec![ONSETS_PRIOR / months as f64; months], vec![ONSETS_PRIOR / months as f64; months]];
        let mut lags = lags_prior().map(|l| l * LAGS_PRIOR);
        for e in evidence.iter().flatten() {
            parts(e, &m, &mut x);
            let w = posterior(&x, &m.states);
            for (sum, w) in states.iter_mut().zip(w) {
                *sum += w;
            }
            if w[0] > 0.98 {
                continue;
            }
            let n = e.savings.len();
            let from = e.base - origin;
            let mut credit = |which: usize, onset: usize, share: f64| {
                onsets[which][from + onset] += share;
                let table = if which == 0 { &e.savings } else { &e.quality };
                for k in 0..K {
                    sizes[which][k] += share * table[onset][k] * m.sizes[which][k] / x.plain[which][onset];
                }
            };
            for t in 0..n {
                credit(0, t, w[1] * x.by_onset[0][t] / x.sums[0]);
                credit(1, t, w[2] * x.by_onset[1][t] / x.sums[1]);
            }
            if w[3] < 0.02 {
                continue;
            }
            for s in 0..n {
                let (l, weight) = pair(s, &m, &x, n);
                let share = w[3] * x.by_onset[0][s] / x.both;
                credit(0, s, share * l);
                let share = share / weight;
                for i in 0..LAGS {
                    let q = (s + i).wrapping_sub(EARLIEST_LAG);
                    if q < n {
                        let part = share * m.lags[i] * x.plain[1][q];
                        lags[i] += part;
                        credit(1, q, part);
                    }
                }
                lags[LAGS] += share * m.lags[LAGS] * x.sums[1];
            }
        }
        let normalise = |v: &mut [f64]| {
            let total: f64 = v.iter().sum();
            v.iter_mut().for_each(|v| *v /= total);
        };
        normalise(&mut states);
        normalise(&mut lags);
        sizes.iter_mut().for_each(|s| normalise(s));
        onsets.iter_mut().for_each(|o| normalise(o));
        let change: f64 = states.iter().zip(m.states).map(|(a, b)| (a - b).abs()).sum();
        m = Mixture { states, sizes, onsets, lags, origin };
        if change < 1e-5 {
            break;
        }
    }
    m
}

fn posterior(x: &Parts, states: &[f64; 4]) -> [f64; 4] {
    let w = [states[0], states[1] * x.sums[0], states[2] * x.sums[1], states[3] * x.both];
    let total: f64 = w.iter().sum();
    w.map(|v| v / total)
}

/// How likely each series of each unit is not to have moved.
pub(crate) fn null_weights(panel: &Panel, evidence: &[Option<Evidence>], m: &Mixture) -> Vec<f64> {
    let mut out = vec![1.0; panel.units * panel.series];
    let mut x = Parts::default();
    for (u, e) in evidence.iter().enumerate() {
        let Some(e) = e else { continue };
        parts(e, m, &mut x);
        let w = posterior(&x, &m.states);
        out[u * panel.series + panel.design.savings] = w[0] + w[2];
        let domains = domain_ratios(e, panel.design.domains.len());
        let total: f64 = domains.iter().sum();
        for (domain, l) in panel.design.domains.iter().zip(&domains) {
            for s in domain {
                out[u * panel.series + s] = 1.0 - (w[2] + w[3]) * l / total;
            }
        }
    }
    out
}

fn domain_ratios(e: &Evidence, domains: usize) -> Vec<f64> {
    let n = e.savings.len();
    (0..domains).map(|d| e.domains[d * n..(d + 1) * n].iter().flatten().sum()).collect()
}

pub(crate) fn decide(evidence: &[Option<Evidence>], options: &Options) -> Assessment {
    let m = mixture(evidence);
    let mut x = Parts::default();
    let mut raw = Vec::new();
    let posteriors: Vec<Option<Posterior>> = evidence
        .iter()
        .map(|e| {
            raw.push(e.as_ref().map(|e| {
                parts(e, &m, &mut x);
                [x.sums[0].ln(), x.sums[1].ln(), x.both.ln()]
            }));
            e.as_ref().map(|_| {
                let w = posterior(&x, &m.states);
                Posterior { nothing: w[0], savings: w[1], quality: w[2], both: w[3] }
            })
        })
        .collect();
    let set = |q: f64| {
        let mut order: Vec<(f64, usize)> =
            posteriors.iter().enumerate().filter_map(|(u, p)| p.map(|p| (1.0 - p.both, u))).collect();
        order.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut sum = 0.0;
        let mut n = 0;
        for (i, (lfdr, _)) in order.iter().enumerate() {
            sum += lfdr;
            if sum / (i + 1) as f64 <= q {
                n = i + 1;
            }
        }
        order[..n].iter().map(|x| x.1).collect::<Vec<_>>()
    };
    Assessment { alerts: set(options.q), watch: set(2.0 * options.q), posteriors, raw }
}
