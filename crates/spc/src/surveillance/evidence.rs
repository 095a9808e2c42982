//! Evidence that a unit's series have moved: likelihood ratios over onset, ramp and size.

use std::ops::Range;

use super::Design;
use super::correlation::leave_out;
use super::fit::{Own, Shared, Step, level_of, score, whiten};

/// Sizes of a shift, in marginal standard deviations, and their prior weights.
pub(crate) const SIZES: [f64; 4] = [0.6, 1.0, 1.6, 2.4];
pub(crate) const K: usize = SIZES.len();
/// Likelihood ratios of one onset, a size each.
pub(crate) type Ratios = [f64; K];
/// Months until a shift is there in full, equally likely.
pub(crate) const RAMPS: [usize; 2] = [1, 4];
const RHO_GRID: usize = 7;

/// Likelihood ratios against nothing having moved, by onset (month of monitoring) and size.
///
/// Savings and quality each have an onset in every month from the first that is monitored, of quality that of any marker.
#[derive(Clone, Debug)]
pub(crate) struct Evidence {
    /// First onset of savings, and of quality.
    pub(crate) base: [usize; 2],
    /// Of savings, and of quality: mean over domains, one of which slipped, each as likely.
    pub(crate) moved: [Vec<Ratios>; 2],
    /// Domains × onsets.
    pub(crate) domains: Vec<Ratios>,
}

#[derive(Debug, Default)]
pub(crate) struct Scratch {
    steps: Vec<Step>,
    u: Vec<f64>,
    o: Vec<f64>,
    carry: Vec<f64>,
    scale: Vec<f64>,
    from: Vec<usize>,
    back: Vec<Option<usize>>,
    g: Vec<f64>,
    beta: Vec<f64>,
    h: Vec<f64>,
    precision: Vec<f64>,
    partial: Vec<usize>,
    tail: Vec<f64>,
    pairs: Vec<f64>,
}

/// Response of a level at month `k` (from the start of monitoring) to a shift that begins in month `onset`.
pub(crate) fn response(k: usize, onset: usize, ramp: usize) -> f64 {
    if k < onset {
        0.0
    } else {
        (((k - onset + 1) as f64) / ramp as f64).min(1.0)
    }
}

/// Response in the month observed before; `None`, when that lies in the baseline.
fn before(k: Option<usize>, onset: usize, ramp: usize) -> f64 {
    k.map_or(0.0, |k| response(k, onset, ramp))
}

/// A unit's peer-adjusted values, series-major, each `months` long, and what is its own for each series.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unit<'a> {
    pub(crate) z: &'a [f64],
    pub(crate) months: usize,
    pub(crate) own: &'a [Own],
}

/// Months in which any of `series` is monitored; `None`, when none can be used.
pub(crate) fn monitored(own: &[Own], series: impl Iterator<Item = usize>) -> Option<Range<usize>> {
    series
        .filter(|s| own[*s].usable())
        .map(|s| own[s].span.base..own[s].span.end)
        .reduce(|a, b| a.start.min(b.start)..a.end)
}

/// `None` for a unit whose savings cannot be used.
pub(crate) fn evidence(
    unit: Unit,
    shared: &Shared,
    design: &Design,
    x: &mut Scratch,
) -> Option<Evidence> {
    let of_savings = monitored(unit.own, std::iter::once(design.savings))?;
    // Without a marker that can be used, nothing is said of quality, in as many months.
    let of_quality = monitored(unit.own, design.domains.iter().flatten().copied())
        .unwrap_or_else(|| of_savings.clone());
    let n = of_quality.len();
    let domains = design.domains.len();
    let mut out = Evidence {
        base: [of_savings.start, of_quality.start],
        moved: [vec![[1.0; K]; of_savings.len()], vec![[0.0; K]; n]],
        domains: vec![[1.0; K]; n * domains],
    };
    savings(unit, shared, design.savings, x, &mut out.moved[0]);
    quality(unit, shared, design, of_quality, x, &mut out.domains);
    for (at, ratios) in out.domains.iter().enumerate() {
        for (sum, ratio) in out.moved[1][at % n].iter_mut().zip(ratios) {
            *sum += ratio / domains as f64;
        }
    }
    Some(out)
}

/// Adds the likelihood ratios of a shift from its score and information, by size; capped far beyond any decision.
fn add_ratios(a: f64, b: f64, weight: f64, to: &mut Ratios) {
    for (size, to) in SIZES.iter().zip(to) {
        *to += weight * (size * a - 0.5 * size * size * b).min(60.0).exp();
    }
}

/// One series; the autocorrelation is integrated over its posterior under "nothing moved".
fn savings(unit: Unit, shared: &Shared, s: usize, x: &mut Scratch, out: &mut [Ratios]) {
    let Unit { z, months, own } = unit;
    let own = own[s];
    let span = own.span;
    let n = span.monitored();
    let z = &z[s * months + span.start..s * months + span.end];
    let baseline = span.baseline();
    let series = &shared.series[s];
    let spread = own.rho_spread;
    let grid = if spread < 0.03 { 1 } else { RHO_GRID };
    let sd_hat = own.marginal_sd();
    let (nu, info) = (shared.nu, shared.information);
    let mut logs = [f64::NEG_INFINITY; RHO_GRID];
    let mut ratios = vec![[0.0; K]; grid * n];
    for g in 0..grid {
        let offset = if grid == 1 {
            0.0
        } else {
            -2.1 + 4.2 * g as f64 / (grid - 1) as f64
        };
        let rho = if grid == 1 {
            own.rho
        } else {
            own.rho_centre + offset * spread
        };
        if !(-0.8..=0.95).contains(&rho) {
            continue;
        }
        let sd = own.sigma / (1.0 - rho * rho).sqrt();
        let (level, level_var) = level_of(
            &z[..baseline],
            sd,
            rho,
            nu,
            (series.level, series.level_var),
            &mut x.steps,
        );
        whiten(z, level, sd, rho, &mut x.steps);
        let mut log = -0.5 * offset * offset + 0.5 * level_var.ln() + 0.5 * (1.0 - rho * rho).ln();
        let (mut oo, mut ou) = (0.0, 0.0);
        for step in &x.steps {
            if step.month < baseline {
                log -= (nu + 1.0) / 2.0 * (step.e * step.e / (nu - 2.0)).ln_1p();
            } else {
                oo += info * step.o * step.o;
                ou += info.sqrt() * step.o * score(step.e, nu, info);
            }
        }
        // Level error: V = I + level_var · o o'; the likelihood of the monitored months under "nothing moved".
        let factor = level_var / (1.0 + level_var * oo);
        let mut quad = 0.0;
        for step in x.steps.iter().filter(|step| step.month >= baseline) {
            quad += (nu + 1.0) / 2.0 * (step.e * step.e / (nu - 2.0)).ln_1p();
        }
        log += -quad + 0.5 * factor * ou * ou - 0.5 * (1.0 + level_var * oo).ln();
        logs[g] = log;
        let unit = sd_hat / sd;
        let first = x
            .steps
            .iter()
            .position(|step| step.month >= baseline)
            .unwrap_or(x.steps.len());
        let steps = &x.steps[first..];
        let m = steps.len();
        // Sums from a step to the end: a shift that is there in full acts like a level.
        x.tail.clear();
        x.tail.resize((m + 1) * 2, 0.0);
        for i in (0..m).rev() {
            let o = info.sqrt() * steps[i].o;
            x.tail[2 * i] = x.tail[2 * i + 2] + o * score(steps[i].e, nu, info);
            x.tail[2 * i + 1] = x.tail[2 * i + 3] + o * o;
        }
        for ramp in RAMPS {
            for onset in 0..n {
                let (mut a, mut b, mut ho) = (0.0, 0.0, 0.0);
                for (i, step) in steps.iter().enumerate() {
                    let k = step.month - baseline;
                    if k < onset {
                        continue;
                    }
                    let before = before(
                        step.previous.and_then(|month| month.checked_sub(baseline)),
                        onset,
                        ramp,
                    );
                    if before >= 1.0 {
                        a += x.tail[2 * i];
                        b += x.tail[2 * i + 1];
                        ho += x.tail[2 * i + 1];
                        break;
                    }
                    let h =
                        info.sqrt() * (response(k, onset, ramp) - step.carry * before) * step.scale;
                    a += h * score(step.e, nu, info);
                    b += h * h;
                    ho += h * info.sqrt() * step.o;
                }
                a -= factor * ho * ou;
                b -= factor * ho * ho;
                add_ratios(
                    unit * a,
                    unit * unit * b,
                    1.0 / RAMPS.len() as f64,
                    &mut ratios[g * n + onset],
                );
            }
        }
    }
    let top = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let weights: Vec<f64> = logs[..grid].iter().map(|l| (l - top).exp()).collect();
    let total: f64 = weights.iter().sum();
    for (onset, out) in out.iter_mut().enumerate() {
        for (k, out) in out.iter_mut().enumerate() {
            *out = (0..grid)
                .map(|g| weights[g] * ratios[g * n + onset][k])
                .sum::<f64>()
                / total;
        }
    }
}

/// All markers at once: what the markers of other domains did is taken off what a domain's markers did.
///
/// A marker says nothing of months before it is monitored, nor of a slip that began before: its level holds that already.
fn quality(
    unit: Unit,
    shared: &Shared,
    design: &Design,
    window: Range<usize>,
    x: &mut Scratch,
    out: &mut [Ratios],
) {
    let Unit { z, months, own } = unit;
    let n = window.len();
    let markers = design.markers();
    let p = markers.len();
    let (nu, info) = (shared.nu, shared.information);
    let root = info.sqrt();
    for v in [&mut x.u, &mut x.o, &mut x.carry, &mut x.scale] {
        v.clear();
        v.resize(p * n, f64::NAN);
    }
    x.back.clear();
    x.back.resize(p * n, None);
    x.beta.clear();
    x.beta.resize(p, 0.0);
    x.from.clear();
    x.from.resize(p, n);
    for (m, s) in markers.iter().enumerate() {
        let o = own[*s];
        if !o.usable() {
            continue;
        }
        let (span, baseline) = (o.span, o.span.baseline());
        x.from[m] = span.base - window.start;
        let z = &z[s * months + span.start..s * months + span.end];
        whiten(z, o.level, o.marginal_sd(), o.rho, &mut x.steps);
        let monitored = |month: usize| Some(x.from[m] + month.checked_sub(baseline)?);
        let (mut oo, mut ou) = (0.0, 0.0);
        for step in &x.steps {
            let Some(k) = monitored(step.month) else {
                continue;
            };
            let at = m * n + k;
            x.u[at] = score(step.e, nu, info);
            x.o[at] = root * step.o;
            x.carry[at] = step.carry;
            x.scale[at] = root * step.scale;
            x.back[at] = step.previous.and_then(monitored);
            oo += x.o[at] * x.o[at];
            ou += x.o[at] * x.u[at];
        }
        // (I + c o o')^(−1/2) = I − β o o'.
        let beta = if oo > 0.0 {
            (1.0 - 1.0 / (1.0 + o.level_var * oo).sqrt()) / oo
        } else {
            0.0
        };
        x.beta[m] = beta;
        for k in 0..n {
            let at = m * n + k;
            if !x.u[at].is_nan() {
                x.u[at] -= beta * x.o[at] * ou;
            }
        }
    }
    // g = C⁻¹ u month by month; months with missing markers get an inverse of their own.
    x.g.clear();
    x.g.resize(p * n, 0.0);
    x.partial.clear();
    x.partial.resize(n, usize::MAX);
    x.precision.clear();
    x.precision.extend_from_slice(&shared.precision);
    for k in 0..n {
        let mut at = 0;
        if (0..p).any(|m| x.u[m * n + k].is_nan()) {
            at = x.precision.len();
            x.precision.extend_from_slice(&shared.precision);
            for m in (0..p).filter(|m| x.u[m * n + k].is_nan()) {
                leave_out(&mut x.precision[at..], p, m);
            }
        }
        x.partial[k] = at;
        let c = &x.precision[at..at + p * p];
        for i in 0..p {
            let mut sum = 0.0;
            for j in 0..p {
                let u = x.u[j * n + k];
                if !u.is_nan() {
                    sum += c[i * p + j] * u;
                }
            }
            x.g[i * n + k] = if x.u[i * n + k].is_nan() { 0.0 } else { sum };
        }
    }
    let longest_gap = (0..p * n)
        .filter_map(|at| Some(at % n - x.back[at]?))
        .max()
        .unwrap_or(1);
    let mut first = 0;
    for (d, domain) in design.domains.iter().enumerate() {
        let size = domain.len();
        let rows = first..first + size;
        first += size;
        // Sums from month k to the end of o g per marker, and of o_i C_ij o_j and o_i o_i per pair.
        x.tail.clear();
        x.tail.resize((n + 1) * 2 * size, 0.0);
        x.pairs.clear();
        x.pairs.resize((n + 1) * size * size, 0.0);
        for k in (0..n).rev() {
            let c = &x.precision[x.partial[k]..];
            for (r, i) in rows.clone().enumerate() {
                let o = x.o[i * n + k];
                let known = !o.is_nan();
                let at = (k * size + r) * 2;
                let next = at + 2 * size;
                x.tail[at] = x.tail[next] + if known { o * x.g[i * n + k] } else { 0.0 };
                x.tail[at + 1] = x.tail[next + 1] + if known { o * o } else { 0.0 };
                for (q, j) in rows.clone().enumerate() {
                    let other = x.o[j * n + k];
                    let at = (k * size + r) * size + q;
                    x.pairs[at] = x.pairs[at + size * size]
                        + if known && !other.is_nan() {
                            c[i * p + j] * o * other
                        } else {
                            0.0
                        };
                }
            }
        }
        for ramp in RAMPS {
            for onset in 0..n {
                // Beyond the zone the shift is there in full, and acts like a level.
                let zone = (onset + ramp + longest_gap - 1).min(n);
                let width = zone - onset;
                x.h.clear();
                x.h.resize(size * (width + 2), 0.0);
                let mut a = 0.0;
                for (r, m) in rows.clone().enumerate() {
                    if onset < x.from[m] {
                        continue;
                    }
                    let tail = (zone * size + r) * 2;
                    let mut ho = x.tail[tail + 1];
                    a += x.tail[tail];
                    for k in onset..zone {
                        let at = m * n + k;
                        if x.u[at].is_nan() {
                            continue;
                        }
                        let earlier = before(x.back[at], onset, ramp);
                        let h = (response(k, onset, ramp) - x.carry[at] * earlier) * x.scale[at];
                        x.h[r * (width + 2) + k - onset] = h;
                        ho += h * x.o[at];
                        a += h * x.g[at];
                    }
                    // Off goes what the level takes up.
                    let taken = x.beta[m] * ho;
                    a -= taken * x.tail[r * 2];
                    x.h[r * (width + 2) + width] = taken;
                }
                let mut b = 0.0;
                for (r, i) in rows.clone().enumerate() {
                    let hr = &x.h[r * (width + 2)..(r + 1) * (width + 2)];
                    for (q, j) in rows.clone().enumerate() {
                        if onset < x.from[i].max(x.from[j]) {
                            continue;
                        }
                        let hq = &x.h[q * (width + 2)..(q + 1) * (width + 2)];
                        let rest = x.pairs[(zone * size + r) * size + q];
                        let (mut hh, mut ho) = (rest, rest);
                        for k in onset..zone {
                            let c = x.precision[x.partial[k] + i * p + j] * hr[k - onset];
                            hh += c * hq[k - onset];
                            let o = x.o[j * n + k];
                            ho += if o.is_nan() { 0.0 } else { c * o };
                        }
                        b += hh - 2.0 * hq[width] * ho
                            + hr[width] * hq[width] * x.pairs[r * size + q];
                    }
                }
                let to = &mut out[d * n + onset];
                if ramp == RAMPS[0] {
                    *to = [0.0; K];
                }
                add_ratios(a, b, 1.0 / RAMPS.len() as f64, to);
            }
        }
    }
}

/// One-sided p-value that a single series has been higher since month `onset` (index) than its own level, by weighted
/// least squares on the whitened scale: `Φ(−a/√b)`. 1 for a series that cannot be used.
pub(crate) fn series_p(
    z: &[f64],
    own: Own,
    shared: &Shared,
    onset: usize,
    steps: &mut Vec<Step>,
) -> f64 {
    if !own.usable() {
        return 1.0;
    }
    let span = own.span;
    let (nu, info) = (shared.nu, shared.information);
    whiten(
        &z[span.start..span.end],
        own.level,
        own.marginal_sd(),
        own.rho,
        steps,
    );
    let (mut a, mut b, mut ho, mut oo, mut ou) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for step in steps.iter().filter(|step| step.month >= span.baseline()) {
        let (u, o) = (score(step.e, nu, info), info.sqrt() * step.o);
        oo += o * o;
        ou += o * u;
        if span.start + step.month >= onset {
            a += o * u;
            b += o * o;
            ho += o * o;
        }
    }
    let factor = own.level_var / (1.0 + own.level_var * oo);
    a -= factor * ho * ou;
    b -= factor * ho * ho;
    if b > 0.0 {
        super::stats::normal_upper(a / b.sqrt())
    } else {
        1.0
    }
}
