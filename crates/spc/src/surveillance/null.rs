//! What the evidence looks like when nothing has moved: units made from resampled months, through the same pipeline.
//!
//! A made unit takes an observed unit's months and gaps, draws level, variance and autocorrelation from what was estimated
//! of the population, and its innovations from whole unit-months of the baselines: tails and correlation between series
//! stay as they are in the data. It then goes through the same estimation of its own values as any unit.

use super::Panel;
use super::evidence::{Evidence, Scratch, evidence};
use super::fit::{Fit, RHO_RANGE, Span, own_values};
use super::random::Random;

/// Months before the first, so that the made series begins in its stationary state.
const BURN_IN: usize = 12;

pub(crate) fn resample(
    panel: &Panel,
    fit: &Fit,
    count: usize,
    seed: u64,
    scratch: &mut Scratch,
) -> Vec<Option<Evidence>> {
    let (series, months) = (panel.series, panel.months);
    let mut random = Random::new(seed);
    let templates: Vec<(usize, Span)> = (0..panel.units)
        .filter_map(|u| Some((u, fit.spans[u]?)))
        .filter(|(u, _)| fit.own[u * series + panel.design.savings].usable())
        .collect();
    let rows = fit.residuals.len() / series;
    if templates.is_empty() || rows == 0 {
        return Vec::new();
    }
    let scale = column_scales(&fit.residuals, series);
    let mut steps = Vec::new();
    let mut z = vec![f64::NAN; series * months];
    let (mut x, mut rho, mut sd) = (vec![0.0; series], vec![0.0; series], vec![0.0; series]);
    let mut made = Vec::with_capacity(count);
    for _ in 0..count {
        let (u, span) = templates[random.below(templates.len())];
        let template = Panel::block(&fit.z, u, series, months);
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
        for step in 0..BURN_IN + span.end - span.start {
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
                let at = s * months + span.start + month;
                if !template[at].is_nan() {
                    z[at] = level[s] + sd[s] * x[s];
                }
            }
        }
        let own = own_values(&z, months, span, &fit.shared, &mut steps);
        made.push(Some(evidence(
            &z,
            months,
            span,
            &own,
            &fit.shared,
            &panel.design,
            scratch,
        )));
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
