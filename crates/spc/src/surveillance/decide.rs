//! The joint decision: a mixture of four states over all units of a month.

use std::ops::Range;

use super::Panel;
use super::evidence::{Evidence, K, Ratios, SIZES};
use super::random::Random;

/// Quality begins so many months after savings, from −2; one more for "no relation".
const LAGS: usize = 10;
const EARLIEST_LAG: usize = 2;
/// How often each is counted before any unit is seen: the prior's weight, in units.
const STATES_PRIOR: [f64; 4] = [10.0, 1.0, 1.0, 0.2];
/// Heavy, and heaviest where a shift is one: what is usual varies a little more than any model has it, and as many small
/// shifts as explain that would make of everybody whose savings rose one who slipped, too.
const SIZES_PRIOR: Ratios = [4.0, 12.0, 12.0, 12.0];
/// Light, so that what schemes have in common is soon learnt: many begin in April. Four times as heavy ones cost one to two
/// hundredths of power.
const ONSETS_PRIOR: f64 = 3.0;
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
    for (which, table) in e.moved.iter().enumerate() {
        let prior = m.onsets(e, which);
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
    for s in 0..e.moved[0].len() {
        x.both += x.by_onset[0][s] * pair(s, e, m, x).0;
    }
}

/// Index of the onset of quality at the `i`th lag after onset `s` of savings, if it is among those of the unit.
fn lagged(e: &Evidence, s: usize, i: usize) -> Option<usize> {
    let q = (e.base[0] + s + i).checked_sub(EARLIEST_LAG + e.base[1])?;
    (q < e.moved[1].len()).then_some(q)
}

/// Likelihood of quality given that savings began in `s`, and the weight of the lags that are possible.
fn pair(s: usize, e: &Evidence, m: &Mixture, x: &Parts) -> (f64, f64) {
    let (mut sum, mut weight) = (0.0, 0.0);
    for (i, w) in m.lags[..LAGS].iter().enumerate() {
        if let Some(q) = lagged(e, s, i) {
            sum += w * x.plain[1][q];
            weight += w;
        }
    }
    let weight = weight + m.lags[LAGS];
    ((sum + m.lags[LAGS] * x.sums[1]) / weight, weight)
}

/// EM with Dirichlet priors, from `start` (of evidence of the same months) if there is one.
pub(crate) fn mixture(evidence: &[Option<Evidence>], start: Option<Mixture>) -> Mixture {
    let bases = evidence.iter().flatten().flat_map(|e| e.base);
    let origin = bases.min().unwrap_or(0);
    let last = evidence
        .iter()
        .flatten()
        .map(|e| e.base[0] + e.moved[0].len())
        .max()
        .unwrap_or(1);
    let months = last - origin;
    let flat = vec![1.0 / months as f64; months];
    let flat = Mixture {
        states: [0.85, 0.06, 0.06, 0.03],
        sizes: [SIZES_PRIOR.map(|s| s / SIZES_PRIOR.iter().sum::<f64>()); 2],
        onsets: [flat.clone(), flat],
        lags: lags_prior(),
        origin,
    };
    let mut m = start.unwrap_or(flat);
    let mut x = Parts::default();
    for _ in 0..60 {
        let mut states = STATES_PRIOR;
        let mut sizes = [SIZES_PRIOR; 2];
        let mut onsets = [
            vec![ONSETS_PRIOR / months as f64; months],
            vec![ONSETS_PRIOR / months as f64; months],
        ];
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
            let mut credit = |which: usize, onset: usize, share: f64| {
                onsets[which][e.base[which] - origin + onset] += share;
                let ratios = &e.moved[which][onset];
                for k in 0..K {
                    sizes[which][k] +=
                        share * ratios[k] * m.sizes[which][k] / x.plain[which][onset];
                }
            };
            for which in [0, 1] {
                for t in 0..e.moved[which].len() {
                    credit(
                        which,
                        t,
                        w[1 + which] * x.by_onset[which][t] / x.sums[which],
                    );
                }
            }
            if w[3] < 0.02 {
                continue;
            }
            for s in 0..e.moved[0].len() {
                let (l, weight) = pair(s, e, &m, &x);
                let share = w[3] * x.by_onset[0][s] / x.both;
                credit(0, s, share * l);
                let share = share / weight;
                for (i, sum) in lags[..LAGS].iter_mut().enumerate() {
                    if let Some(q) = lagged(e, s, i) {
                        let part = share * m.lags[i] * x.plain[1][q];
                        *sum += part;
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
        let change: f64 = states
            .iter()
            .zip(m.states)
            .map(|(a, b)| (a - b).abs())
            .sum();
        m = Mixture {
            states,
            sizes,
            onsets,
            lags,
            origin,
        };
        if change < 1e-5 {
            break;
        }
    }
    m
}

impl Mixture {
    /// Draws the month, out of `window`, in which a shift of savings (0) or quality (1) begins, and its size.
    pub(crate) fn draw(
        &self,
        which: usize,
        window: Range<usize>,
        random: &mut Random,
    ) -> (usize, f64) {
        let among = &self.onsets[which][window.start - self.origin..window.end - self.origin];
        let onset = window.start + choose(among, random);
        (onset, SIZES[choose(&self.sizes[which], random)])
    }

    /// Shares of the onsets that a unit can have of savings (0) or quality (1).
    fn onsets(&self, e: &Evidence, which: usize) -> &[f64] {
        let from = e.base[which] - self.origin;
        &self.onsets[which][from..from + e.moved[which].len()]
    }
}

/// An index, as likely as its weight.
fn choose(weights: &[f64], random: &mut Random) -> usize {
    let mut left = random.uniform() * weights.iter().sum::<f64>();
    let passed = weights.iter().take_while(|weight| {
        left -= *weight;
        left > 0.0
    });
    passed.count().min(weights.len() - 1)
}

fn posterior(x: &Parts, states: &[f64; 4]) -> [f64; 4] {
    let w = [
        states[0],
        states[1] * x.sums[0],
        states[2] * x.sums[1],
        states[3] * x.both,
    ];
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
    let n = e.moved[1].len();
    (0..domains)
        .map(|d| e.domains[d * n..(d + 1) * n].iter().flatten().sum())
        .collect()
}

/// Log likelihood ratios of savings, quality and both, and each domain's likelihood ratio, under the month's mixture.
#[derive(Clone, Debug)]
pub(crate) struct Summary {
    pub(crate) savings: f64,
    pub(crate) quality: f64,
    pub(crate) both: f64,
    pub(crate) domains: Vec<f64>,
    /// Most probable month (index) in which quality began to slip, by domain.
    pub(crate) onsets: Vec<usize>,
}

pub(crate) fn summaries(
    evidence: &[Option<Evidence>],
    m: &Mixture,
    domains: usize,
) -> Vec<Option<Summary>> {
    let mut x = Parts::default();
    let summary = |e: &Evidence, x: &mut Parts| {
        parts(e, m, x);
        let n = e.moved[1].len();
        let prior = m.onsets(e, 1);
        let total: f64 = prior.iter().sum();
        let mut out = Summary {
            savings: x.sums[0].ln(),
            quality: x.sums[1].ln(),
            both: x.both.ln(),
            domains: Vec::new(),
            onsets: Vec::new(),
        };
        for d in 0..domains {
            let (mut sum, mut best) = (0.0, (0.0, 0));
            for (t, (ratios, p)) in e.domains[d * n..(d + 1) * n].iter().zip(prior).enumerate() {
                let l = ratios
                    .iter()
                    .zip(m.sizes[1])
                    .map(|(l, w)| l * w)
                    .sum::<f64>()
                    * p
                    / total;
                sum += l;
                if l > best.0 {
                    best = (l, t);
                }
            }
            out.domains.push(sum.ln());
            out.onsets.push(e.base[1] + best.1);
        }
        out
    };
    evidence
        .iter()
        .map(|e| e.as_ref().map(|e| summary(e, &mut x)))
        .collect()
}

/// Log likelihood ratio as it should have been, `offset + slope × l`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Recalibration {
    pub(crate) offset: f64,
    pub(crate) slope: f64,
}

impl Recalibration {
    pub(crate) fn of(&self, l: f64) -> f64 {
        self.offset + self.slope * l
    }
}

/// Logistic regression of planted (1) against not (0) on the log likelihood ratio: with as many of each, the fitted
/// log-odds are the log likelihood ratio that the made units bear out (Platt 1999). Where the model is right, offset 0 and
/// slope 1. The slope is never above 1, so evidence is tempered and never inflated. A weak prior holds both to 0 and 1.
pub(crate) fn recalibrate(null: &[f64], planted: &[f64]) -> Recalibration {
    let labelled = || {
        null.iter()
            .map(|l| (*l, 0.0))
            .chain(planted.iter().map(|l| (*l, 1.0)))
    };
    let fit = |slope_free: bool| {
        let (mut offset, mut slope) = (0.0, 1.0);
        for _ in 0..25 {
            let (mut g0, mut g1) = (-offset * 4.0, (1.0 - slope) * 4.0);
            let (mut h00, mut h01, mut h11) = (4.0, 0.0, 4.0);
            for (l, label) in labelled() {
                // Far beyond any decision a ratio says no more.
                let l: f64 = l.clamp(-8.0, 8.0);
                let p = 1.0 / (1.0 + (-(offset + slope * l)).exp());
                let w = p * (1.0 - p);
                g0 += label - p;
                g1 += (label - p) * l;
                h00 += w;
                h01 += w * l;
                h11 += w * l * l;
            }
            let (up, across) = if slope_free {
                let determinant = h00 * h11 - h01 * h01;
                (
                    (h11 * g0 - h01 * g1) / determinant,
                    (h00 * g1 - h01 * g0) / determinant,
                )
            } else {
                (g0 / h00, 0.0)
            };
            offset += up.clamp(-1.0, 1.0);
            slope += across.clamp(-0.5, 0.5);
        }
        Recalibration { offset, slope }
    };
    let free = fit(true);
    if free.slope.is_finite() && free.slope <= 1.0 && free.slope > 0.0 {
        free
    } else {
        fit(false)
    }
}

/// Posterior probabilities of the four states, shares of states by EM.
pub(crate) fn posteriors(
    logs: &[Option<[f64; 3]>],
    start: [f64; 4],
) -> (Vec<Option<[f64; 4]>>, [f64; 4]) {
    let one = |l: &[f64; 3], states: &[f64; 4]| {
        let top = l.iter().copied().fold(0.0, f64::max);
        let w = [
            states[0] * (-top).exp(),
            states[1] * (l[0] - top).exp(),
            states[2] * (l[1] - top).exp(),
            states[3] * (l[2] - top).exp(),
        ];
        let total: f64 = w.iter().sum();
        w.map(|w| w / total)
    };
    let mut states = start;
    for _ in 0..100 {
        let mut sums = STATES_PRIOR;
        for l in logs.iter().flatten() {
            for (sum, w) in sums.iter_mut().zip(one(l, &states)) {
                *sum += w;
            }
        }
        let total: f64 = sums.iter().sum();
        let next = sums.map(|sum| sum / total);
        let change: f64 = next.iter().zip(states).map(|(a, b)| (a - b).abs()).sum();
        states = next;
        if change < 1e-6 {
            break;
        }
    }
    // The share that maximises the likelihood is as often too large as too small, and a list chosen with one too large
    // has too many false alerts. So the share of both is taken about three standard errors of its count lower.
    let count: f64 = logs.iter().flatten().map(|l| one(l, &states)[3]).sum();
    let cautious = states[3] / (1.0 + 3.0 / count.max(1.0).sqrt());
    states[0] += states[3] - cautious;
    states[3] = cautious;
    (
        logs.iter()
            .map(|l| l.as_ref().map(|l| one(l, &states)))
            .collect(),
        states,
    )
}

/// The largest set of units whose mean local false discovery rate is at most `q`, most certain first.
pub(crate) fn alert_set(lfdr: &[(usize, f64)], q: f64) -> Vec<usize> {
    let mut order = lfdr.to_vec();
    order.sort_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0)));
    let mut sum = 0.0;
    // The running mean of increasing numbers increases, so the set ends where it first exceeds q.
    let within = order.iter().enumerate().take_while(|(i, (_, lfdr))| {
        sum += lfdr;
        sum <= q * (i + 1) as f64
    });
    let count = within.count();
    order[..count].iter().map(|x| x.0).collect()
}

/// Benjamini and Hochberg (1995): indices of the p-values that are rejected at rate `q`.
pub(crate) fn benjamini_hochberg(p: &[(usize, f64)], q: f64) -> Vec<usize> {
    let mut order = p.to_vec();
    order.sort_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0)));
    let m = order.len() as f64;
    let last = (0..order.len())
        .rev()
        .find(|i| order[*i].1 <= q * (i + 1) as f64 / m);
    let mut rejected: Vec<usize> = order[..last.map_or(0, |i| i + 1)]
        .iter()
        .map(|x| x.0)
        .collect();
    rejected.sort_unstable();
    rejected
}
