//! What the evidence looks like when nothing has moved, and when something has: units made from resampled months, through
//! the same pipeline, without and with a planted shift.
//!
//! A made unit takes an observed unit's months and gaps, draws level, variance and autocorrelation from what was estimated
//! of the population, and its innovations from whole unit-months of the baselines: tails and correlation between series
//! stay as they are in the data. It then goes through the same estimation of its own values as any unit. The planted shift
//! comes after the baseline, so those stay; its size and onset are drawn from what was estimated of all units.

use std::ops::Range;

use super::Panel;
use super::decide::Mixture;
use super::evidence::{Evidence, RAMPS, Scratch, Unit, evidence, monitored, response};
use super::fit::{Fit, RHO_RANGE, own_values};
use super::random::Random;

/// Months before the first, so that the made series begins in its stationary state.
const BURN_IN: usize = 12;

/// Evidence of made units: without, and with a shift of savings and of one domain.
#[derive(Debug, Default)]
pub(crate) struct Made {
    pub(crate) null: Vec<Option<Evidence>>,
    pub(crate) planted: Vec<Option<Evidence>>,
}

pub(crate) fn resample(
    panel: &Panel,
    fit: &Fit,
    mixture: &Mixture,
    assessed: &[bool],
    (count, seed): (usize, u64),
    scratch: &mut Scratch,
) -> Made {
    let (series, months) = (panel.series, panel.months);
    let mut random = Random::new(seed);
    let templates: Vec<usize> = (0..panel.units).filter(|u| assessed[*u]).collect();
    let rows = fit.residuals.len() / series;
    if templates.is_empty() || rows == 0 {
        return Made::default();
    }
    let scale = column_scales(&fit.residuals, series);
    let mut steps = Vec::new();
    let mut z = vec![f64::NAN; series * months];
    let (mut x, mut rho, mut sd) = (vec![0.0; series], vec![0.0; series], vec![0.0; series]);
    let mut made = Made::default();
    for _ in 0..count {
        let u = templates[random.below(templates.len())];
        let template = Panel::block(&fit.z, u, series, months);
        let spans = &fit.spans[u * series..(u + 1) * series];
        let known = || spans.iter().flatten();
        let (Some(start), Some(end)) = (
            known().map(|span| span.start).min(),
            known().map(|span| span.end).max(),
        ) else {
            continue;
        };
        let common = fit.shared.rho_unit_var.sqrt() * random.normal();
        let mut level = vec![0.0; series];
        for (s, shared) in fit.shared.series.iter().enumerate() {
            rho[s] = (shared.rho + common + shared.rho_var.sqrt() * random.normal())
                .clamp(RHO_RANGE.0, RHO_RANGE.1);
            let log_var = shared.log_var + shared.log_var_var.sqrt() * random.normal();
            sd[s] = (0.5 * log_var).exp() / (1.0 - rho[s] * rho[s]).sqrt();
            level[s] = shared.level + shared.level_var.sqrt() * random.normal();
            x[s] = random.normal();
        }
        z.fill(f64::NAN);
        for step in 0..BURN_IN + end - start {
            let row = random.below(rows) * series;
            for s in 0..series {
                let mut e = fit.residuals[row + s];
                while e.is_nan() && scale[s] > 0.0 {
                    e = fit.residuals[random.below(rows) * series + s];
                }
                let e = if scale[s] > 0.0 { e / scale[s] } else { 0.0 };
                x[s] = rho[s] * x[s] + (1.0 - rho[s] * rho[s]).sqrt() * e;
                let Some(month) = step.checked_sub(BURN_IN) else {
                    continue;
                };
                let at = s * months + start + month;
                if !template[at].is_nan() {
                    z[at] = level[s] + sd[s] * x[s];
                }
            }
        }
        let own = own_values(&z, months, spans, &fit.shared, &mut steps);
        let monitored = |group: &[usize]| monitored(&own, group.iter().copied());
        let mut look = |z: &[f64]| {
            let unit = Unit {
                z,
                months,
                own: &own,
            };
            evidence(unit, &fit.shared, &panel.design, scratch)
        };
        made.null.push(look(&z));
        // A domain of which nothing is known cannot be seen to slip.
        let windows: Vec<(&[usize], Range<usize>)> = (panel.design.domains.iter())
            .filter_map(|domain| Some((&domain[..], monitored(domain)?)))
            .collect();
        let slips = (!windows.is_empty()).then(|| windows[random.below(windows.len())].clone());
        let savings = [panel.design.savings];
        let rises = monitored(&savings).map(|window| (&savings[..], window));
        for (which, moves) in [rises, slips].into_iter().enumerate() {
            let Some((group, window)) = moves else {
                continue;
            };
            let (onset, size) = mixture.draw(which, window, &mut random);
            let ramp = RAMPS[random.below(RAMPS.len())];
            // What began before a series is monitored is in its level, and not seen.
            for s in group.iter().filter(|s| own[**s].span.base <= onset) {
                for t in onset..end {
                    z[s * months + t] += size * sd[*s] * response(t, onset, ramp);
                }
            }
        }
        made.planted.push(look(&z));
    }
    made
}

/// Root mean square of each column, 0 for one without values.
fn column_scales(rows: &[f64], series: usize) -> Vec<f64> {
    (0..series)
        .map(|s| {
            let known = rows.iter().skip(s).step_by(series).filter(|e| !e.is_nan());
            super::stats::mean_of(known.map(|e| e * e)).map_or(0.0, f64::sqrt)
        })
        .collect()
}
