//! The joint decision.
use super::evidence::Evidence;
use super::null::Calibration;
use super::{Assessment, Options, Panel};

/// Probabilities of the four states of a unit; they add up to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Posterior {
    pub nothing: f64,
    pub savings: f64,
    pub quality: f64,
    pub both: f64,
}

/// Mixture weights by EM with a Dirichlet prior.
pub(crate) fn mixture(l: &[[f64; 3]], prior: [f64; 4]) -> [f64; 4] {
    let mut pi = [0.8, 0.08, 0.08, 0.04];
    for _ in 0..200 {
        let mut n = prior;
        for x in l {
            let w = posterior(x, &pi);
            for k in 0..4 {
                n[k] += w[k];
            }
        }
        let total: f64 = n.iter().sum();
        let next = n.map(|v| v / total);
        let change: f64 = next.iter().zip(pi).map(|(a, b)| (a - b).abs()).sum();
        pi = next;
        if change < 1e-7 {
            break;
        }
    }
    pi
}

/// `l` are log likelihood ratios of savings, quality, both against nothing.
pub(crate) fn posterior(l: &[f64; 3], pi: &[f64; 4]) -> [f64; 4] {
    let top = l.iter().copied().fold(0.0, f64::max);
    let w = [pi[0] * (-top).exp(), pi[1] * (l[0] - top).exp(), pi[2] * (l[1] - top).exp(), pi[3] * (l[2] - top).exp()];
    let total: f64 = w.iter().sum();
    w.map(|v| v / total)
}

pub(crate) fn null_weights(panel: &Panel, e: &[Option<Evidence>]) -> Vec<f64> {
    let l: Vec<[f64; 3]> = e.iter().flatten().map(|e| [e.savings, e.quality, e.both]).collect();
    let pi = mixture(&l, [10.0, 1.0, 1.0, 0.5]);
    let mut out = vec![1.0; panel.units * panel.series];
    for (u, e) in e.iter().enumerate() {
        let Some(e) = e else { continue };
        let w = posterior(&[e.savings, e.quality, e.both], &pi);
        out[u * panel.series + panel.design.savings] = w[0] + w[2];
        let total: f64 = e.domains.iter().map(|d| d.exp()).sum();
        for (d, domain) in panel.design.domains.iter().enumerate() {
            let slipped = (w[2] + w[3]) * e.domains[d].exp() / total;
            for s in domain {
                out[u * panel.series + s] = 1.0 - slipped;
            }
        }
    }
    out
}

pub(crate) fn decide(e: &[Option<Evidence>], c: &Calibration, options: &Options) -> Assessment {
    let l: Vec<Option<[f64; 3]>> = e
        .iter()
        .map(|e| {
            e.as_ref().map(|e| {
                let s = c.savings[0] + c.savings[1] * e.savings;
                let q = c.quality[0] + c.quality[1] * e.quality;
                [s, q, s + q + (e.both - e.savings - e.quality)]
            })
        })
        .collect();
    let known: Vec<[f64; 3]> = l.iter().flatten().copied().collect();
    let pi = mixture(&known, [10.0, 1.0, 1.0, 0.2]);
    let posteriors: Vec<Option<Posterior>> = l
        .iter()
        .map(|l| {
            l.map(|l| {
                let w = posterior(&l, &pi);
                Posterior { nothing: w[0], savings: w[1], quality: w[2], both: w[3] }
            })
        })
        .collect();
    let set = |q: f64| {
        let mut order: Vec<(f64, usize)> = posteriors
            .iter()
            .enumerate()
            .filter_map(|(u, p)| p.map(|p| (1.0 - p.both, u)))
            .collect();
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
    Assessment { alerts: set(options.q), watch: set(2.0 * options.q), posteriors, raw: e.iter().map(|e| e.as_ref().map(|e| [e.savings, e.quality, e.both])).collect() }
}
