//! One series; its autocorrelation and its variance are integrated over their posterior under "nothing moved".
//!
//! Of quality there are many markers, and what is wrong with one evens out. Of savings there is one series, so that its
//! likelihood is taken as it is, not by its slope at no shift: two standard deviations are beyond where a t's slope can tell.

use super::{K, RAMPS, Ratios, SIZES, Unit, before, response};
use crate::surveillance::fit::{Own, SeriesShared, Shared, Step, level_of, whiten};

/// Points of the grids, and how far they go in standard deviations: of the prior for autocorrelations, of the baseline's posterior
/// for standard deviations. Finer ones change nothing (7 × 5 points: matched power of E .859 both times) and take longer.
const RHOS: usize = 5;
const FAR_RHO: f64 = 1.9;
const SIGMAS: usize = 3;
const FAR_SIGMA: f64 = 1.3;
/// A point that weighs less than this part of the heaviest is left out.
const NEGLIGIBLE: f64 = 0.02;
/// A spread below this is as good as none.
const NO_SPREAD: f64 = 0.03;

#[derive(Debug, Default)]
pub(super) struct Room {
    /// What a shift that is there in full explains from a step to the end.
    tail: Vec<Looked>,
    /// Score of the level when nothing moved, before each step.
    before: Vec<f64>,
}

/// Months looked at as if a shift explained them, by its size: the product of `(ν − 2 + e²) / (ν − 2 + r²)`, and the score of the
/// level.
#[derive(Clone, Copy, Debug)]
struct Looked {
    product: Ratios,
    score: Ratios,
}

impl Looked {
    /// Takes in the months after.
    fn then(&mut self, later: &Self) {
        for k in 0..K {
            self.product[k] *= later.product[k];
            self.score[k] += later.score[k];
        }
    }
}

impl Default for Looked {
    fn default() -> Self {
        Self {
            product: [1.0; K],
            score: [0.0; K],
        }
    }
}

pub(super) fn ratios(
    unit: Unit,
    shared: &Shared,
    s: usize,
    (steps, x): (&mut Vec<Step>, &mut Room),
    out: &mut [Ratios],
) {
    let (z, own, series) = (unit.line(s), unit.own[s], &shared.series[s]);
    let mut grid = [(f64::NEG_INFINITY, 0.0, 0.0); RHOS * SIGMAS];
    let mut points = grid.iter_mut();
    for by_rho in offsets::<RHOS>(FAR_RHO, own.rho_spread) {
        let rho = own.rho_centre + by_rho * own.rho_spread;
        for by_sigma in offsets::<SIGMAS>(FAR_SIGMA, own.log_sd_spread) {
            let sigma = own.sigma * (by_sigma * own.log_sd_spread).exp();
            let Some(point) = points.next() else { continue };
            if (-0.8..=0.95).contains(&rho) {
                let of_variance =
                    (2.0 * sigma.ln() - series.log_var).powi(2) / series.log_var_var.max(1e-6);
                let prior = -0.5 * (by_rho * by_rho + of_variance);
                let given = Given::new((z, own), (rho, sigma), (shared, series), steps);
                *point = (prior + given.log, rho, sigma);
            }
        }
    }
    let top = grid.iter().map(|g| g.0).fold(f64::NEG_INFINITY, f64::max);
    let mut total = 0.0;
    out.fill([0.0; K]);
    for (log, rho, sigma) in grid {
        let weight = (log - top).exp();
        if weight < NEGLIGIBLE {
            continue;
        }
        total += weight;
        let given = Given::new((z, own), (rho, sigma), (shared, series), steps);
        given.ratios((own, shared), steps, x, weight, out);
    }
    for ratio in out.iter_mut().flatten() {
        *ratio /= total;
    }
}

/// `N` offsets from `-far` to `far`; only 0 where there is no spread.
fn offsets<const N: usize>(far: f64, spread: f64) -> impl Iterator<Item = f64> {
    let (count, first) = if spread < NO_SPREAD {
        (1, 0.0)
    } else {
        (N, -far)
    };
    (0..count).map(move |i| first + 2.0 * far * i as f64 / (N - 1) as f64)
}

/// What follows from an autocorrelation and an innovation standard deviation.
struct Given {
    /// Marginal standard deviation.
    sd: f64,
    /// Index of the first monitored step.
    first: usize,
    /// Score of the level when nothing moved, and half its variance once all months are known.
    g: f64,
    half: f64,
    /// Log likelihood of all months when nothing moved, the level integrated out.
    log: f64,
}

impl Given {
    /// Leaves the whitened months in `steps`.
    fn new(
        (z, own): (&[f64], Own),
        (rho, sigma): (f64, f64),
        (shared, series): (&Shared, &SeriesShared),
        steps: &mut Vec<Step>,
    ) -> Self {
        let baseline = own.span.baseline();
        let nu = shared.nu;
        let sd = sigma / (1.0 - rho * rho).sqrt();
        let prior = (series.level, series.level_var);
        let (level, level_var) = level_of(&z[..baseline], sd, rho, nu, prior, steps);
        whiten(z, level, sd, rho, steps);
        let first = steps.partition_point(|step| step.month < baseline);
        let (mut g, mut oo) = (0.0, 0.0);
        for step in &steps[first..] {
            g += (nu + 1.0) * step.o * step.e / (nu - 2.0 + step.e * step.e);
            oo += shared.information * step.o * step.o;
        }
        let half = 0.5 * level_var / (1.0 + level_var * oo);
        // Logarithms of products of eight, which are finite: one logarithm costs as much as they all.
        let logs: f64 = steps
            .chunks(8)
            .map(|steps| {
                let factor = |step: &Step| (1.0 + step.e * step.e / (nu - 2.0)).min(1e30);
                steps.iter().map(factor).product::<f64>().ln()
            })
            .sum();
        let scales: f64 = steps.iter().map(|step| step.scale).product();
        let log = 0.5 * level_var.ln() + sd.ln() - 0.5 * (1.0 + level_var * oo).ln()
            + half * g * g
            + scales.ln()
            - steps.len() as f64 * sd.ln()
            - 0.5 * (nu + 1.0) * logs;
        Self {
            sd,
            first,
            g,
            half,
            log,
        }
    }

    /// Adds `weight` times the ratios of all onsets.
    ///
    /// Of n innovations `e` (unit-variance t with ν degrees of freedom) that a shift explains by `r = e − size · h`, the ratio is
    /// `Π ((ν − 2 + e²) / (ν − 2 + r²))^((ν+1)/2)`, times `exp(v (g_r² − g_e²) / 2)` for the level: a step of scoring from where
    /// the baseline puts it, with `g` the score in the level's direction and `v` its variance once all months are known.
    fn ratios(
        &self,
        (own, shared): (Own, &Shared),
        steps: &[Step],
        x: &mut Room,
        weight: f64,
        out: &mut [Ratios],
    ) {
        let baseline = own.span.baseline();
        let nu = shared.nu;
        let steps = &steps[self.first..];
        // Sizes are in the marginal sd of the unit's own autocorrelation and variance, not of these.
        let sizes = SIZES.map(|size| size * own.marginal_sd() / self.sd);
        let look = |step: &Step, h: f64, to: &mut Looked| {
            let e2 = nu - 2.0 + step.e * step.e;
            for ((size, product), score) in sizes.iter().zip(&mut to.product).zip(&mut to.score) {
                let r = step.e - size * h;
                let r2 = nu - 2.0 + r * r;
                *product *= e2 / r2;
                *score += (nu + 1.0) * step.o * r / r2;
            }
        };
        // A shift that is there in full acts like a level.
        x.tail.clear();
        x.tail.resize(steps.len() + 1, Looked::default());
        x.before.clear();
        let mut g = 0.0;
        for step in steps {
            x.before.push(g);
            g += (nu + 1.0) * step.o * step.e / (nu - 2.0 + step.e * step.e);
        }
        for i in (0..steps.len()).rev() {
            x.tail[i] = x.tail[i + 1];
            look(&steps[i], steps[i].o, &mut x.tail[i]);
        }
        let power = 0.5 * (nu + 1.0);
        let weight = weight / RAMPS.len() as f64;
        for ramp in RAMPS {
            for (onset, to) in out.iter_mut().enumerate() {
                let from = steps.partition_point(|step| step.month < baseline + onset);
                let mut looked = Looked {
                    score: [x.before.get(from).copied().unwrap_or(self.g); K],
                    ..Looked::default()
                };
                for (i, step) in steps.iter().enumerate().skip(from) {
                    let previous = step.previous.and_then(|month| month.checked_sub(baseline));
                    let before = before(previous, onset, ramp);
                    if before >= 1.0 {
                        looked.then(&x.tail[i]);
                        break;
                    }
                    let now = response(step.month - baseline, onset, ramp);
                    look(step, (now - step.carry * before) * step.scale, &mut looked);
                }
                for ((to, product), score) in to.iter_mut().zip(looked.product).zip(looked.score) {
                    let log = power * product.ln() + self.half * (score * score - self.g * self.g);
                    *to += weight * log.min(60.0).exp();
                }
            }
        }
    }
}
