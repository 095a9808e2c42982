//! What is usual: month effects, own baselines, autocorrelation, variance, cross-marker correlation.
//!
//! Everything here is estimated from the months known so far; nothing looks at what a unit is suspected of, but for the
//! weights with which units count in the peers' value of a month.

use std::ops::Range;

use super::evidence::Unit;
use super::stats::{biweight, mean_of, median, variance_of};
use super::{NationalEvent, Options, Panel, SILENT_AFTER};

/// A series' months: `[start, base)` is its baseline, `[base, end)` is monitored. No month is both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: usize,
    pub(crate) base: usize,
    pub(crate) end: usize,
}

/// Fewest months of a series in a baseline.
pub(crate) const MIN_BASELINE: usize = 6;
/// A baseline is moved on, a year at a time, when more months than this have been monitored.
const MAX_MONITORED: usize = 36;

impl Span {
    /// Months of a series of its own; `None` for one that is too young.
    ///
    /// A new marker, or one whose definition changed, begins later than its unit: in its first known month. One that is missing
    /// in fewer than [`SILENT_AFTER`] months of the unit's first began with it. So that a stray early value does not begin a
    /// series, at least half of the months of its baseline have to be known.
    pub(crate) fn of_series(
        values: &[f64],
        start: usize,
        end: usize,
        baseline: usize,
    ) -> Option<Self> {
        let begins = |month: &usize| {
            let first = &values[*month..end.min(month + baseline)];
            let known = first.iter().filter(|v| !v.is_nan()).count();
            !first[0].is_nan() && 2 * known >= first.len()
        };
        let first = (start..end).find(begins)?;
        let began = if first - start < SILENT_AFTER {
            start
        } else {
            first
        };
        Self::of(began, end, baseline)
    }

    /// Months of a series that began in month `start`; `None` for one that is too young.
    pub(crate) fn of(start: usize, end: usize, baseline: usize) -> Option<Self> {
        let mut start = start;
        while end > start.saturating_add(baseline + MAX_MONITORED) {
            start += 12;
        }
        let history = end.checked_sub(start)?;
        let base = match history {
            h if h > baseline => baseline,
            h if h > MIN_BASELINE => (h - MIN_BASELINE).max(MIN_BASELINE).min(baseline),
            _ => return None,
        };
        Some(Self {
            start,
            base: start + base,
            end,
        })
    }
    pub(crate) fn baseline(&self) -> usize {
        self.base - self.start
    }
}

/// What is shared by all units.
#[derive(Clone, Debug)]
pub(crate) struct Shared {
    /// Degrees of freedom of the t distribution of innovations.
    pub(crate) nu: f64,
    /// Fisher information about location of a unit-variance t, `ν(ν+1)/((ν+3)(ν−2))`, 1 for the normal.
    pub(crate) information: f64,
    pub(crate) series: Vec<SeriesShared>,
    /// Between-unit variance of autocorrelation that a unit's series have in common.
    pub(crate) rho_unit_var: f64,
    /// Inverse correlation of innovation scores between markers, row-major over `Design::markers`.
    pub(crate) precision: Vec<f64>,
}

#[derive(Clone, Debug)]
pub(crate) struct SeriesShared {
    pub(crate) rho: f64,
    pub(crate) rho_var: f64,
    /// Mean and variance over units of the log innovation variance.
    pub(crate) log_var: f64,
    pub(crate) log_var_var: f64,
    /// Mean and variance over units of the level.
    pub(crate) level: f64,
    pub(crate) level_var: f64,
}

/// What is a unit's own, for one series. `rho` NaN: the series cannot be used.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Own {
    pub(crate) span: Span,
    pub(crate) rho: f64,
    /// Prior for the grid of autocorrelations: centre that uses the unit's other series, too.
    pub(crate) rho_centre: f64,
    /// Standard deviation of that prior.
    pub(crate) rho_spread: f64,
    /// Innovation standard deviation, and the standard error of its logarithm.
    pub(crate) sigma: f64,
    pub(crate) log_sd_spread: f64,
    pub(crate) level: f64,
    /// Variance of the level, in units of the marginal variance `sigma² / (1 − rho²)`.
    pub(crate) level_var: f64,
}

pub(crate) const UNUSABLE: Own = Own {
    span: Span {
        start: 0,
        base: 0,
        end: 0,
    },
    rho: f64::NAN,
    rho_centre: 0.0,
    rho_spread: 0.0,
    sigma: 1.0,
    log_sd_spread: 0.0,
    level: 0.0,
    level_var: 0.0,
};

impl Own {
    pub(crate) fn usable(&self) -> bool {
        !self.rho.is_nan()
    }
    pub(crate) fn marginal_sd(&self) -> f64 {
        self.sigma / (1.0 - self.rho * self.rho).sqrt()
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Fit {
    /// Of each series of each unit.
    pub(crate) spans: Vec<Option<Span>>,
    /// Peer-adjusted values, laid out as the panel's.
    pub(crate) z: Vec<f64>,
    /// Month effects, series × months; NaN where no unit has a value.
    pub(crate) effects: Vec<f64>,
    pub(crate) own: Vec<Own>,
    pub(crate) shared: Shared,
    /// Standardised innovations of baselines: rows of `series` values, NaN where missing.
    pub(crate) residuals: Vec<f64>,
}

impl Fit {
    pub(crate) fn unit(&self, panel: &Panel, unit: usize) -> Unit<'_> {
        Unit {
            z: Panel::block(&self.z, unit, panel.series, panel.months),
            months: panel.months,
            own: &self.own[unit * panel.series..(unit + 1) * panel.series],
        }
    }
}

/// One step of prewhitening: the value, the response to a unit of level, both in units of the marginal sd.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub(crate) month: usize,
    pub(crate) e: f64,
    pub(crate) o: f64,
    /// `ρ^gap` and `1/sqrt(1 − ρ^2gap)`; the first has 0 and 1.
    pub(crate) carry: f64,
    pub(crate) scale: f64,
    /// The month observed before.
    pub(crate) previous: Option<usize>,
}

/// AR(1) innovations of `z` about `level`, standardised: `(x_t − ρ^g x_{t−g}) / sqrt(1 − ρ^{2g})`, `x = (z − level)/sd`, where
/// `g` is the distance to the month observed before. Missing months are skipped. Writes into `out`.
pub(crate) fn whiten(z: &[f64], level: f64, sd: f64, rho: f64, out: &mut Vec<Step>) {
    out.clear();
    let scale_of = |carry: f64| 1.0 / (1.0 - carry * carry).sqrt();
    let (usual, unit) = (scale_of(rho), 1.0 / sd);
    let mut before: Option<(usize, f64)> = None;
    for (month, value) in z.iter().enumerate() {
        if value.is_nan() {
            continue;
        }
        let x = (value - level) * unit;
        let (carry, scale, past, previous) = match before {
            None => (0.0, 1.0, 0.0, None),
            Some((earlier, past)) if earlier + 1 == month => (rho, usual, past, Some(earlier)),
            Some((earlier, past)) => {
                let carry = rho.powf((month - earlier) as f64);
                let carry = if carry.is_nan() { 0.0 } else { carry };
                (carry, scale_of(carry), past, Some(earlier))
            }
        };
        out.push(Step {
            month,
            e: (x - carry * past) * scale,
            o: (1.0 - carry) * scale,
            carry,
            scale,
            previous,
        });
        before = Some((month, x));
    }
}

/// Score of a unit-variance t: `(ν+1) e / (ν − 2 + e²)`, divided by the root of its variance.
pub(crate) fn score(e: f64, nu: f64, information: f64) -> f64 {
    (nu + 1.0) * e / ((nu - 2.0 + e * e) * information.sqrt())
}

pub(crate) fn information(nu: f64) -> f64 {
    nu * (nu + 1.0) / ((nu + 3.0) * (nu - 2.0))
}

/// Level by weighted least squares on the whitened scale with t weights, shrunk towards `prior` (mean, variance).
/// Returns level and its variance in units of `sd²`.
pub(crate) fn level_of(
    z: &[f64],
    sd: f64,
    rho: f64,
    nu: f64,
    prior: (f64, f64),
    steps: &mut Vec<Step>,
) -> (f64, f64) {
    let mut level = prior.0;
    let mut sum = 0.0;
    let mut count = 0.0;
    for v in z.iter().filter(|v| !v.is_nan()) {
        sum += v;
        count += 1.0;
    }
    if count > 0.0 {
        level = sum / count;
    }
    let prior_precision = if prior.1 > 0.0 {
        sd * sd / prior.1
    } else {
        1e6
    };
    let info = information(nu);
    let mut precision = prior_precision;
    for _ in 0..3 {
        whiten(z, level, sd, rho, steps);
        let (mut up, mut weight_sum, mut plain) = (0.0, 0.0, 0.0);
        for s in steps.iter() {
            let w = (nu + 1.0) / (nu - 2.0 + s.e * s.e);
            up += w * s.o * s.e;
            weight_sum += w * s.o * s.o;
            plain += info * s.o * s.o;
        }
        up += prior_precision * (prior.0 - level) / sd;
        level += sd * up / (weight_sum + prior_precision);
        precision = plain + prior_precision;
    }
    (level, 1.0 / precision)
}

/// Bias-corrected lag-1 autocorrelation and its sampling variance. `None` with too few pairs.
pub(crate) fn lag1(z: &[f64]) -> Option<(f64, f64)> {
    let m = mean_of(z.iter().copied().filter(|v| !v.is_nan()))?;
    let (mut c0, mut n0, mut c1, mut n1) = (0.0, 0.0, 0.0, 0.0);
    let sd = variance_of(z.iter().copied().filter(|v| !v.is_nan()))?.sqrt();
    if sd <= 0.0 || !sd.is_finite() {
        return None;
    }
    // Winsorised at 2.5 sd: one typing error must not decide it.
    let clip = |v: f64| ((v - m) / sd).clamp(-2.5, 2.5);
    for (i, v) in z.iter().enumerate() {
        if v.is_nan() {
            continue;
        }
        c0 += clip(*v).powi(2);
        n0 += 1.0;
        if i > 0 && !z[i - 1].is_nan() {
            c1 += clip(*v) * clip(z[i - 1]);
            n1 += 1.0;
        }
    }
    if n1 < 4.0 || c0 <= 0.0 {
        return None;
    }
    // Means, not sums: E r = ρ − (1 + 3ρ)/n, which the correction turns back (Kendall 1954). The ratio of the sums has a term
    // less, is lower by ρ/n more, and made every series look less autocorrelated, so that chance looked like evidence.
    let r = (c1 / n1) / (c0 / n0);
    let factor = 1.0 / (1.0 - 3.0 / n0.max(5.0));
    let rho = ((r + 1.0 / n0) * factor).clamp(-0.99, 0.99);
    Some((rho, factor * factor / n1))
}

/// Range of autocorrelations that are believed.
pub(crate) const RHO_RANGE: (f64, f64) = (-0.6, 0.93);

/// The unit's autocorrelations, shrunk to the series' and to what its series have in common.
fn shrink_rho(
    raw: &[Option<(f64, f64)>],
    spans: &[Option<Span>],
    shared: &[SeriesShared],
    unit_var: f64,
    own: &mut [Own],
) {
    let (mut num, mut den) = (0.0, 1.0 / unit_var.max(1e-6));
    for (r, s) in raw.iter().zip(shared) {
        if let Some((r, v)) = r {
            let w = 1.0 / (s.rho_var + v * (1.0 - s.rho * s.rho));
            num += w * (r - s.rho);
            den += w;
        }
    }
    let common = num / den;
    for (((r, span), s), o) in raw.iter().zip(spans).zip(shared).zip(own) {
        let (Some((r, v)), Some(span)) = (r, span) else {
            *o = UNUSABLE;
            continue;
        };
        o.span = *span;
        let centre = s.rho + common;
        let weight = s.rho_var / (s.rho_var + v * (1.0 - s.rho * s.rho));
        o.rho_centre = centre.clamp(RHO_RANGE.0, RHO_RANGE.1);
        o.rho_spread = (s.rho_var + 1.0 / den).sqrt();
        o.rho = (centre + weight * (r - centre)).clamp(RHO_RANGE.0, RHO_RANGE.1);
    }
}

/// Log variance of innovations of a baseline (t scale, unit-variance form) and its sampling variance.
fn log_variance(
    z: &[f64],
    rho: f64,
    nu: f64,
    shared: &SeriesShared,
    steps: &mut Vec<Step>,
) -> Option<(f64, f64)> {
    let sd = variance_of(z.iter().copied().filter(|v| !v.is_nan()))?.sqrt();
    if sd <= 0.0 || !sd.is_finite() {
        return None;
    }
    // A vague prior: what a unit's level is should not be in its variance.
    let prior = (shared.level, shared.level_var * 100.0);
    let (level, _) = level_of(z, sd, rho, nu, prior, steps);
    whiten(z, level, 1.0, rho, steps);
    // Innovation units: whiten() standardises to the marginal sd.
    let mut s2 = sd * sd;
    let n = steps.len() as f64;
    for _ in 0..6 {
        let sum: f64 = steps
            .iter()
            .map(|s| s.e * s.e)
            .map(|square| square / ((nu - 2.0) * s2 + square))
            .sum();
        s2 *= (nu + 1.0) * sum / (n - 1.0);
    }
    let log = (s2 * (1.0 - rho * rho)).ln();
    log.is_finite()
        .then_some((log, 2.0 * (nu + 3.0) / (nu * (n - 1.0))))
}

/// A unit's own values given what is shared. `z` is the unit's block, series-major, each `months` long.
pub(crate) fn own_values(
    z: &[f64],
    months: usize,
    spans: &[Option<Span>],
    shared: &Shared,
    steps: &mut Vec<Step>,
) -> Vec<Own> {
    let mut own = vec![UNUSABLE; shared.series.len()];
    let base = |s: usize, span: Span| &z[s * months + span.start..s * months + span.base];
    let raw: Vec<_> = (0..own.len())
        .map(|s| usable_lag1(base(s, spans[s]?)))
        .collect();
    shrink_rho(&raw, spans, &shared.series, shared.rho_unit_var, &mut own);
    for (s, o) in own.iter_mut().enumerate() {
        if o.usable() {
            let z = base(s, o.span);
            let log = log_variance(z, o.rho, shared.nu, &shared.series[s], steps);
            finish(z, log, &shared.series[s], shared.nu, o, steps);
        }
    }
    own
}

fn usable_lag1(z: &[f64]) -> Option<(f64, f64)> {
    (z.iter().filter(|v| !v.is_nan()).count() >= MIN_BASELINE)
        .then(|| lag1(z))
        .flatten()
}

/// Variance and level of a series, given its log variance alone.
fn finish(
    z: &[f64],
    log: Option<(f64, f64)>,
    shared: &SeriesShared,
    nu: f64,
    own: &mut Own,
    steps: &mut Vec<Step>,
) {
    let Some((log, v)) = log else {
        own.rho = f64::NAN;
        return;
    };
    let weight = shared.log_var_var / (shared.log_var_var + v);
    own.sigma = (0.5 * (shared.log_var + weight * (log - shared.log_var))).exp();
    own.log_sd_spread = 0.5 * (weight * v).sqrt();
    let sd = own.marginal_sd();
    (own.level, own.level_var) =
        level_of(z, sd, own.rho, nu, (shared.level, shared.level_var), steps);
}

/// Fits everything from months `0..end`.
pub(crate) fn fit(panel: &Panel, end: usize, options: &Options) -> Fit {
    let (units, series, months) = (panel.units, panel.series, panel.months);
    let spans: Vec<Option<Span>> = panel
        .values
        .chunks_exact(months)
        .enumerate()
        .map(|(line, values)| {
            let start = panel.start(line / series);
            Span::of_series(values, start, end, options.baseline_months)
        })
        .collect();
    let mut z = vec![f64::NAN; panel.values.len()];
    let mut effects = vec![f64::NAN; series * months];
    let mut steps = Vec::new();
    // Months before everybody's baseline have no part in anything.
    let first = spans.iter().flatten().map(|span| span.start).min();
    for s in 0..series {
        adjust_for_peers(
            panel,
            s,
            first.unwrap_or(end)..end,
            &spans,
            &mut z,
            &mut effects[s * months..(s + 1) * months],
        );
    }
    let base = |u: usize, s: usize, span: Span| {
        let at = (u * series + s) * months;
        (at + span.start, at + span.base)
    };
    // Autocorrelation: pooled per series, then how much units scatter round it.
    let mut raw: Vec<Option<(f64, f64)>> = vec![None; units * series];
    for u in 0..units {
        for s in 0..series {
            if let Some(span) = spans[u * series + s] {
                let (a, b) = base(u, s, span);
                raw[u * series + s] = usable_lag1(&z[a..b]);
            }
        }
    }
    let mut shared: Vec<SeriesShared> = Vec::with_capacity(series);
    let mut scatter_all = Vec::new();
    for s in 0..series {
        let r: Vec<(f64, f64)> = (0..units).filter_map(|u| raw[u * series + s]).collect();
        let weight: f64 = r.iter().map(|x| 1.0 / x.1).sum();
        let rho = if r.is_empty() {
            0.0
        } else {
            r.iter().map(|x| x.0 / x.1).sum::<f64>() / weight
        };
        let rho = rho.clamp(RHO_RANGE.0, RHO_RANGE.1);
        let scatter = mean_of(
            r.iter()
                .map(|x| (x.0 - rho).powi(2) - x.1 * (1.0 - rho * rho)),
        )
        .unwrap_or(0.0);
        scatter_all.push((scatter, r.len()));
        shared.push(SeriesShared {
            rho,
            rho_var: 0.0,
            log_var: 0.0,
            log_var_var: 0.0,
            level: 0.0,
            level_var: 0.0,
        });
    }
    // Scatter in total is pooled over series, and split into what a unit's series share and what each has alone.
    let total = scatter_all.iter().map(|x| x.0 * x.1 as f64).sum::<f64>()
        / scatter_all.iter().map(|x| x.1 as f64).sum::<f64>().max(1.0);
    let (mut cross, mut pairs) = (0.0, 0.0);
    for u in 0..units {
        let d: Vec<f64> = (0..series)
            .filter_map(|s| raw[u * series + s].map(|r| r.0 - shared[s].rho))
            .collect();
        let (sum, squares): (f64, f64) = (d.iter().sum(), d.iter().map(|x| x * x).sum());
        cross += sum * sum - squares;
        pairs += (d.len() * d.len().saturating_sub(1)) as f64;
    }
    let total = total.clamp(0.0, 0.16);
    let rho_unit_var = if pairs > 0.0 {
        (cross / pairs).clamp(0.0, total)
    } else {
        0.0
    };
    for s in &mut shared {
        s.rho_var = (total - rho_unit_var).max(1e-4);
    }
    let mut own = vec![UNUSABLE; units * series];
    for u in 0..units {
        let at = u * series..(u + 1) * series;
        shrink_rho(
            &raw[at.clone()],
            &spans[at.clone()],
            &shared,
            rho_unit_var,
            &mut own[at],
        );
    }
    // Levels, roughly; then variances; then levels again.
    for s in 0..series {
        let levels: Vec<f64> = (0..units)
            .filter(|u| own[u * series + s].usable())
            .filter_map(|u| {
                let (a, b) = base(u, s, own[u * series + s].span);
                mean_of(z[a..b].iter().copied().filter(|v| !v.is_nan()))
            })
            .collect();
        shared[s].level = median(levels.clone()).unwrap_or(0.0);
        shared[s].level_var = variance_of(levels.iter().copied())
            .unwrap_or(1.0)
            .max(f64::MIN_POSITIVE);
    }
    let mut nu = 8.0;
    let mut logs: Vec<Option<(f64, f64)>> = vec![None; units * series];
    for round in 0..2 {
        for s in 0..series {
            for u in 0..units {
                let o = own[u * series + s];
                if o.usable() {
                    let (a, b) = base(u, s, o.span);
                    logs[u * series + s] =
                        log_variance(&z[a..b], o.rho, nu, &shared[s], &mut steps);
                }
            }
            let l: Vec<(f64, f64)> = (0..units).filter_map(|u| logs[u * series + s]).collect();
            let weight: f64 = l.iter().map(|x| 1.0 / x.1).sum();
            let centre = if l.is_empty() {
                0.0
            } else {
                l.iter().map(|x| x.0 / x.1).sum::<f64>() / weight
            };
            shared[s].log_var = centre;
            shared[s].log_var_var =
                mean_of(l.iter().map(|x| ((x.0 - centre).powi(2)).min(4.0) - x.1))
                    .unwrap_or(0.0)
                    .max(0.0025);
            let sd2 = centre.exp() / (1.0 - shared[s].rho.powi(2));
            let noise = mean_of(
                (0..units)
                    .map(|u| own[u * series + s])
                    .filter(Own::usable)
                    .map(|o| sd2 * (1.0 + o.rho) / ((1.0 - o.rho) * o.span.baseline() as f64)),
            )
            .unwrap_or(0.0);
            if round == 0 {
                shared[s].level_var = (shared[s].level_var - noise).max(0.02 * sd2);
            }
            for u in 0..units {
                let o = &mut own[u * series + s];
                if o.usable() {
                    let (a, b) = base(u, s, o.span);
                    let log = logs[u * series + s];
                    finish(&z[a..b], log, &shared[s], nu, o, &mut steps);
                }
            }
        }
        if round == 0 {
            nu = degrees_of_freedom(&z, &own, series, months);
        }
    }
    let shared = Shared {
        nu,
        information: information(nu),
        series: shared,
        rho_unit_var,
        precision: Vec::new(),
    };
    let residuals = baseline_residuals(&z, &own, series, months);
    let mut fit = Fit {
        spans,
        z,
        effects,
        own,
        shared,
        residuals,
    };
    fit.shared.precision =
        super::correlation::precision(&fit.residuals, series, panel, &fit.shared);
    fit
}

/// `y − (month's effect)`, where the effect is a robust location of `y − (unit's own baseline mean)` over the units.
fn adjust_for_peers(
    panel: &Panel,
    s: usize,
    window: Range<usize>,
    spans: &[Option<Span>],
    z: &mut [f64],
    effects: &mut [f64],
) {
    let (units, series, months) = (panel.units, panel.series, panel.months);
    let at = |u: usize, t: usize| (u * series + s) * months + t;
    let y = &panel.values;
    let mut level = vec![0.0f64; units];
    let mut pool: Vec<(f64, f64)> = Vec::with_capacity(units);
    const ROUNDS: usize = 4;
    let mut spread = f64::INFINITY;
    for round in 0..ROUNDS {
        let mut spreads = Vec::with_capacity(window.len());
        for t in window.clone() {
            pool.clear();
            for u in 0..units {
                let value = y[at(u, t)];
                if value.is_nan() || level[u].is_nan() || t < panel.start(u) {
                    continue;
                }
                pool.push((value - level[u], 1.0));
            }
            if round < 2 {
                let Some(centre) = median(pool.iter().map(|x| x.0).collect()) else {
                    continue;
                };
                effects[t] = centre;
                spreads.extend(median(pool.iter().map(|x| (x.0 - centre).abs()).collect()));
            } else {
                effects[t] = biweight(&pool, effects[t], 4.685 * 1.4826 * spread);
            }
        }
        if round < 2 {
            spread = median(spreads).unwrap_or(0.0);
        }
        if round + 1 == ROUNDS {
            break;
        }
        for u in 0..units {
            level[u] = spans[u * series + s]
                .and_then(|span| {
                    mean_of(
                        (span.start..span.base)
                            .map(|t| y[at(u, t)] - effects[t])
                            .filter(|v| !v.is_nan()),
                    )
                })
                .unwrap_or(f64::NAN);
        }
    }
    for u in 0..units {
        for t in panel.start(u).max(window.start)..window.end {
            z[at(u, t)] = y[at(u, t)] - effects[t];
        }
    }
}

/// Takes the month effects of monitored months again, with every unit's series counting as much as it is likely not to have
/// moved: otherwise the peers' value follows those that moved, and hides part of it.
pub(crate) fn readjust(panel: &Panel, fit: &mut Fit, end: usize, null_weight: &[f64]) {
    let (units, series, months) = (panel.units, panel.series, panel.months);
    let mut pool: Vec<(f64, f64)> = Vec::with_capacity(units);
    for s in 0..series {
        let row = |u: usize| (u * series + s) * months;
        let monitored = fit.own.iter().skip(s).step_by(series);
        let Some(first) = monitored.filter(|o| o.usable()).map(|o| o.span.base).min() else {
            continue;
        };
        for t in first..end {
            pool.clear();
            for u in 0..units {
                let own = &fit.own[u * series + s];
                let z = fit.z[row(u) + t];
                if own.usable() && !z.is_nan() && t >= own.span.start {
                    let weight = if t >= own.span.base {
                        null_weight[u * series + s]
                    } else {
                        1.0
                    };
                    pool.push(((z - own.level) / own.marginal_sd(), weight));
                }
            }
            // Deviations are in units of each one's own standard deviation, so a typical one turns the shift back.
            let sd = (0.5 * fit.shared.series[s].log_var).exp()
                / (1.0 - fit.shared.series[s].rho.powi(2)).sqrt();
            let shift = sd * biweight(&pool, 0.0, 4.685);
            fit.effects[s * months + t] += shift;
            for u in 0..units {
                fit.z[row(u) + t] -= shift;
            }
            calm(panel, fit, s, t);
        }
    }
}

/// Series of the design whose national value changed this month by more than 5 times the usual change of a month, and by more
/// than a typical unit varies by itself. Months before the first value of a series are no months of it.
pub(crate) fn national_events(fit: &Fit, panel: &Panel, end: usize) -> Vec<NationalEvent> {
    let mut used = panel.design.markers();
    used.push(panel.design.savings);
    used.sort_unstable();
    used.into_iter()
        .filter_map(|series| {
            let effects = &fit.effects[series * panel.months..series * panel.months + end];
            let mut backwards = effects.windows(2).rev().map(|pair| pair[1] - pair[0]);
            let last = backwards.next()?;
            let before: Vec<f64> = backwards
                .filter(|change| !change.is_nan())
                .map(f64::abs)
                .collect();
            let enough = before.len() >= 11;
            let usual = 1.4826 * median(before)?;
            let shared = &fit.shared.series[series];
            let typical = (0.5 * shared.log_var).exp() / (1.0 - shared.rho * shared.rho).sqrt();
            (enough && usual > 0.0 && last.abs() > (5.0 * usual).max(typical))
                .then_some(NationalEvent { series, jump: last })
        })
        .collect()
}

/// See [`calm`].
const SHAKEN: f64 = 2.0;

/// A month in which units scatter more than they use to (a national shock that hits each differently) is brought back to
/// the usual scatter, so that it is no evidence against hundreds of units at once. One in which they scatter more than
/// [`SHAKEN`] times as much says nothing of any one, and counts as missing.
fn calm(panel: &Panel, fit: &mut Fit, s: usize, t: usize) {
    let (series, months) = (panel.series, panel.months);
    let expected = |fit: &Fit, u: usize| {
        let own = fit.own[u * series + s];
        let at = (u * series + s) * months + t;
        let z = fit.z[at];
        if !own.usable() || z.is_nan() || t < own.span.base {
            return None;
        }
        let past = fit.z[at - 1];
        let past = if past.is_nan() { 0.0 } else { past - own.level };
        Some((own.level + own.rho * past, own.sigma))
    };
    let deviations: Vec<f64> = (0..panel.units)
        .filter_map(|u| {
            expected(fit, u)
                .map(|(usual, sigma)| (fit.z[(u * series + s) * months + t] - usual).abs() / sigma)
        })
        .collect();
    let count = deviations.len() as f64;
    let Some(scale) = median(deviations).map(|mad| 1.4826 * mad) else {
        return;
    };
    // Four standard errors of the median absolute deviation above the usual.
    if scale <= 1.15 + 4.7 / count.sqrt() {
        return;
    }
    for u in 0..panel.units {
        if let Some((usual, _)) = expected(fit, u) {
            let z = &mut fit.z[(u * series + s) * months + t];
            *z = if scale > SHAKEN {
                f64::NAN
            } else {
                usual + (*z - usual) / scale
            };
        }
    }
}

/// Degrees of freedom in a grid with the largest likelihood of the standardised baseline innovations.
fn degrees_of_freedom(z: &[f64], own: &[Own], series: usize, months: usize) -> f64 {
    const GRID: [f64; 6] = [4.0, 5.0, 6.0, 8.0, 12.0, 30.0];
    let residuals = baseline_residuals(z, own, series, months);
    let mut best = (f64::NEG_INFINITY, 8.0);
    let e: Vec<f64> = residuals.into_iter().filter(|e| !e.is_nan()).collect();
    let Some(var) = mean_of(e.iter().map(|e| e * e).filter(|v| *v < 36.0)) else {
        return 8.0;
    };
    for nu in GRID {
        let constant = libm::lgamma((nu + 1.0) / 2.0)
            - libm::lgamma(nu / 2.0)
            - 0.5 * (std::f64::consts::PI * (nu - 2.0)).ln();
        // Logarithms of products of eight, which are finite: one logarithm costs as much as they all.
        let unit = 1.0 / (var * (nu - 2.0));
        let logs: f64 = e
            .chunks(8)
            .map(|e| e.iter().map(|e| 1.0 + (e * e * unit).min(1e30)).product())
            .map(f64::ln)
            .sum();
        let sum = constant * e.len() as f64 - (nu + 1.0) / 2.0 * logs;
        if sum > best.0 {
            best = (sum, nu);
        }
    }
    best.1
}

/// Rows of standardised innovations, a unit-month each, all series; NaN where missing or not of the series' baseline.
fn baseline_residuals(z: &[f64], own: &[Own], series: usize, months: usize) -> Vec<f64> {
    let mut rows = Vec::new();
    let mut steps = Vec::new();
    for (u, own) in own.chunks_exact(series).enumerate() {
        let usable = || own.iter().enumerate().filter(|(_, o)| o.usable());
        let start = usable().map(|(_, o)| o.span.start).min();
        let base = usable().map(|(_, o)| o.span.base).max();
        let (Some(start), Some(base)) = (start, base) else {
            continue;
        };
        let first = rows.len();
        rows.resize(first + (base - start) * series, f64::NAN);
        for (s, o) in usable() {
            let at = (u * series + s) * months;
            whiten(
                &z[at + o.span.start..at + o.span.base],
                o.level,
                o.marginal_sd(),
                o.rho,
                &mut steps,
            );
            for step in &steps {
                rows[first + (o.span.start - start + step.month) * series + s] = step.e;
            }
        }
    }
    rows
}
