//! One series; its autocorrelation is integrated over its posterior under "nothing moved".

use super::{K, RAMPS, Ratios, Unit, add_ratios, before, response};
use crate::surveillance::fit::{Own, SeriesShared, Shared, Step, level_of, score, whiten};

const GRID: usize = 7;

#[derive(Debug, Default)]
pub(super) struct Room {
    /// Scores and responses to a unit of level, by step, and their sums from a step to the end.
    u: Vec<f64>,
    o: Vec<f64>,
    tail: Vec<(f64, f64)>,
    /// Grid × onsets.
    ratios: Vec<Ratios>,
}

pub(super) fn ratios(
    unit: Unit,
    shared: &Shared,
    s: usize,
    (steps, x): (&mut Vec<Step>, &mut Room),
    out: &mut [Ratios],
) {
    let own = unit.own[s];
    let n = own.span.monitored();
    let grid = if own.rho_spread < 0.03 { 1 } else { GRID };
    let mut logs = [f64::NEG_INFINITY; GRID];
    x.ratios.clear();
    x.ratios.resize(grid * n, [0.0; K]);
    for (g, log) in logs[..grid].iter_mut().enumerate() {
        // From −2.1 to 2.1 standard deviations of the prior.
        let (offset, rho) = if grid == 1 {
            (0.0, own.rho)
        } else {
            let offset = -2.1 + 4.2 * g as f64 / (grid - 1) as f64;
            (offset, own.rho_centre + offset * own.rho_spread)
        };
        if (-0.8..=0.95).contains(&rho) {
            *log = -0.5 * offset * offset
                + given_rho(
                    (unit.line(s), own, rho),
                    (shared, &shared.series[s]),
                    steps,
                    x,
                    g * n,
                );
        }
    }
    let top = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mut weights = logs.map(|log| (log - top).exp());
    let total: f64 = weights.iter().sum();
    weights.iter_mut().for_each(|weight| *weight /= total);
    for (onset, out) in out.iter_mut().enumerate() {
        *out = [0.0; K];
        for (weight, ratios) in weights.iter().zip(x.ratios.iter().skip(onset).step_by(n)) {
            for (out, ratio) in out.iter_mut().zip(ratios) {
                *out += weight * ratio;
            }
        }
    }
}

/// Ratios of all onsets given the autocorrelation, into `x.ratios` from index `at` on. Returns the log likelihood of all months
/// when nothing moved, the level integrated out.
fn given_rho(
    (z, own, rho): (&[f64], Own, f64),
    (shared, series): (&Shared, &SeriesShared),
    steps: &mut Vec<Step>,
    x: &mut Room,
    at: usize,
) -> f64 {
    let baseline = own.span.baseline();
    let (nu, info) = (shared.nu, shared.information);
    let root = info.sqrt();
    let sd = own.sigma / (1.0 - rho * rho).sqrt();
    let prior = (series.level, series.level_var);
    let (level, level_var) = level_of(&z[..baseline], sd, rho, nu, prior, steps);
    whiten(z, level, sd, rho, steps);
    let logs: f64 = steps
        .iter()
        .map(|step| (step.e * step.e / (nu - 2.0)).ln_1p())
        .sum();
    let first = steps.partition_point(|step| step.month < baseline);
    let steps = &steps[first..];
    x.u.clear();
    x.u.extend(steps.iter().map(|step| score(step.e, nu, info)));
    x.o.clear();
    x.o.extend(steps.iter().map(|step| root * step.o));
    // A shift that is there in full acts like a level.
    x.tail.clear();
    x.tail.resize(steps.len() + 1, (0.0, 0.0));
    for i in (0..steps.len()).rev() {
        let (ou, oo) = x.tail[i + 1];
        x.tail[i] = (ou + x.o[i] * x.u[i], oo + x.o[i] * x.o[i]);
    }
    let (ou, oo) = x.tail[0];
    // Level error: V = I + level_var · o o'.
    let factor = level_var / (1.0 + level_var * oo);
    let unit = own.marginal_sd() / sd;
    for ramp in RAMPS {
        for onset in 0..own.span.monitored() {
            let (mut a, mut b, mut ho) = (0.0, 0.0, 0.0);
            let from = steps.partition_point(|step| step.month < baseline + onset);
            for (i, step) in steps.iter().enumerate().skip(from) {
                let previous = step.previous.and_then(|month| month.checked_sub(baseline));
                let before = before(previous, onset, ramp);
                if before >= 1.0 {
                    a += x.tail[i].0;
                    b += x.tail[i].1;
                    ho += x.tail[i].1;
                    break;
                }
                let now = response(step.month - baseline, onset, ramp);
                let h = root * (now - step.carry * before) * step.scale;
                a += h * x.u[i];
                b += h * h;
                ho += h * x.o[i];
            }
            a -= factor * ho * ou;
            b -= factor * ho * ho;
            let to = &mut x.ratios[at + onset];
            add_ratios(unit * a, unit * unit * b, 1.0 / RAMPS.len() as f64, to);
        }
    }
    0.5 * level_var.ln() + 0.5 * (1.0 - rho * rho).ln() - (nu + 1.0) / 2.0 * logs
        + 0.5 * factor * ou * ou
        - 0.5 * (1.0 + level_var * oo).ln()
}
