//! Evidence that a unit's series have moved: likelihood ratios over onset, ramp and size.

use super::correlation::leave_out;
use super::fit::{Own, Shared, Span, Step, level_of, score, whiten};
use super::Design;

/// Sizes of a shift, in marginal standard deviations, and their prior weights.
pub(crate) const SIZES: [(f64, f64); 4] = [(0.6, 0.25), (1.0, 0.25), (1.6, 0.25), (2.4, 0.25)];
/// Months until a shift is there in full, equally likely.
pub(crate) const RAMPS: [f64; 2] = [1.0, 4.0];
const RHO_GRID: usize = 7;

#[derive(Clone, Debug)]
pub(crate) struct Evidence {
    /// Log likelihood ratios against nothing having moved: savings, quality, both.
    pub(crate) savings: f64,
    pub(crate) quality: f64,
    pub(crate) both: f64,
    /// Per domain.
    pub(crate) domains: Vec<f64>,
    /// Most probable onset of quality, as (domain, onset in monitored months).
    pub(crate) onset: (usize, usize),
}

#[derive(Debug, Default)]
pub(crate) struct Scratch {
    steps: Vec<Step>,
    u: Vec<f64>,
    o: Vec<f64>,
    carry: Vec<f64>,
    scale: Vec<f64>,
    back: Vec<usize>,
    g: Vec<f64>,
    beta: Vec<f64>,
    h: Vec<f64>,
    precision: Vec<f64>,
    partial: Vec<usize>,
    lambda_s: Vec<f64>,
    lambda_q: Vec<f64>,
}

/// Response of a level at month `k` (from the start of monitoring) to a shift that begins in month `onset`.
fn response(k: usize, onset: usize, ramp: f64) -> f64 {
    if k < onset { 0.0 } else { (((k - onset + 1) as f64) / ramp).min(1.0) }
}

/// `z` is the unit's block (series-major, each `months` long).
pub(crate) fn evidence(
    z: &[f64], months: usize, span: Span, own: &[Own], shared: &Shared, design: &Design, x: &mut Scratch,
) -> Evidence {
    let n = span.monitored();
    let domains = design.domains.len();
    x.lambda_s.clear();
    x.lambda_s.resize(n, 1.0);
    x.lambda_q.clear();
    x.lambda_q.resize(n * domains, 1.0);
    savings(z, months, span, own[design.savings], shared, design.savings, x);
    quality(z, months, span, own, shared, design, x);
    let mut out = Evidence { savings: 0.0, quality: 0.0, both: 0.0, domains: vec![0.0; domains], onset: (0, 0) };
    let prior = 1.0 / n as f64;
    let mut both = 0.0;
    let mut quality = 0.0;
    let savings: f64 = x.lambda_s.iter().sum::<f64>() * prior;
    let mut best = 0.0;
    for d in 0..domains {
        let l = &x.lambda_q[d * n..(d + 1) * n];
        let mean = l.iter().sum::<f64>() * prior;
        out.domains[d] = mean.ln();
        quality += mean / domains as f64;
        for (onset, value) in l.iter().enumerate() {
            if *value > best {
                best = *value;
                out.onset = (d, onset);
            }
        }
    }
    // Quality begins about when savings do, or a few months later: half the prior; any time: the other half.
    for s in 0..n {
        let (mut near, mut weight) = (0.0, 0.0);
        for q in s.saturating_sub(2)..n.min(s + 8) {
            let lag = q as f64 - s as f64;
            let w = (-(lag - 0.5).abs() / 2.5).exp();
            let l: f64 = (0..domains).map(|d| x.lambda_q[d * n + q]).sum::<f64>() / domains as f64;
            near += w * l;
            weight += w;
        }
        both += prior * x.lambda_s[s] * (0.5 * near / weight + 0.5 * quality);
    }
    out.savings = savings.ln();
    out.quality = quality.ln();
    out.both = both.ln();
    out
}

/// Likelihood ratio of a shift from its score and information, averaged over sizes; capped far beyond any decision.
fn over_sizes(a: f64, b: f64) -> f64 {
    SIZES.iter().map(|(d, w)| w * (d * a - 0.5 * d * d * b).min(60.0).exp()).sum()
}

/// One series; the autocorrelation is integrated over its posterior under "nothing moved".
fn savings(z: &[f64], months: usize, span: Span, own: Own, shared: &Shared, s: usize, x: &mut Scratch) {
    if !own.usable() {
        return;
    }
    let n = span.monitored();
    let z = &z[s * months + span.start..s * months + span.end];
    let baseline = span.baseline();
    let series = &shared.series[s];
    let spread = series.rho_var.sqrt();
    let grid = if spread < 0.03 { 1 } else { RHO_GRID };
    let sd_hat = own.marginal_sd();
    let (nu, info) = (shared.nu, shared.information);
    let mut logs = [f64::NEG_INFINITY; RHO_GRID];
    let mut ratios = vec![0.0; grid * n];
    for g in 0..grid {
        let offset = if grid == 1 { 0.0 } else { -2.1 + 4.2 * g as f64 / (grid - 1) as f64 };
        let rho = if grid == 1 { own.rho } else { own.rho_centre + offset * spread };
        if !(-0.8..=0.95).contains(&rho) {
            continue;
        }
        let sd = own.sigma / (1.0 - rho * rho).sqrt();
        let (level, level_var) =
            level_of(&z[..baseline], sd, rho, nu, (series.level, series.level_var), &mut x.steps);
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
        let first = x.steps.iter().position(|step| step.month >= baseline).unwrap_or(x.steps.len());
        for ramp in RAMPS {
            for onset in 0..n {
                let (mut a, mut b, mut ho) = (0.0, 0.0, 0.0);
                for step in &x.steps[first..] {
                    let k = step.month - baseline;
                    if k < onset {
                        continue;
                    }
                    let before =
                        if step.previous == usize::MAX || step.previous < baseline { 0.0 } else { response(step.previous - baseline, onset, ramp) };
                    let h = info.sqrt() * unit * (response(k, onset, ramp) - step.carry * before) * step.scale;
                    a += h * score(step.e, nu, info);
                    b += h * h;
                    ho += h * info.sqrt() * step.o;
                }
                a -= factor * ho * ou;
                b -= factor * ho * ho;
                ratios[g * n + onset] += over_sizes(a, b) / RAMPS.len() as f64;
            }
        }
    }
    let top = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let weights: Vec<f64> = logs[..grid].iter().map(|l| (l - top).exp()).collect();
    let total: f64 = weights.iter().sum();
    for onset in 0..n {
        x.lambda_s[onset] = (0..grid).map(|g| weights[g] * ratios[g * n + onset]).sum::<f64>() / total;
    }
}

/// All markers at once: what the markers of other domains did is taken off what a domain's markers did.
fn quality(z: &[f64], months: usize, span: Span, own: &[Own], shared: &Shared, design: &Design, x: &mut Scratch) {
    let n = span.monitored();
    let markers = design.markers();
    let p = markers.len();
    let baseline = span.baseline();
    let (nu, info) = (shared.nu, shared.information);
    let root = info.sqrt();
    for v in [&mut x.u, &mut x.o, &mut x.carry, &mut x.scale] {
        v.clear();
        v.resize(p * n, f64::NAN);
    }
    x.back.clear();
    x.back.resize(p * n, usize::MAX);
    x.beta.clear();
    x.beta.resize(p, 0.0);
    for (m, s) in markers.iter().enumerate() {
        let o = own[*s];
        if !o.usable() {
            continue;
        }
        let z = &z[s * months + span.start..s * months + span.end];
        whiten(z, o.level, o.marginal_sd(), o.rho, &mut x.steps);
        let (mut oo, mut ou) = (0.0, 0.0);
        for step in x.steps.iter().filter(|step| step.month >= baseline) {
            let at = m * n + step.month - baseline;
            x.u[at] = score(step.e, nu, info);
            x.o[at] = root * step.o;
            x.carry[at] = step.carry;
            x.scale[at] = root * step.scale;
            if step.previous != usize::MAX && step.previous >= baseline {
                x.back[at] = step.previous - baseline;
            }
            oo += x.o[at] * x.o[at];
            ou += x.o[at] * x.u[at];
        }
        // (I + c o o')^(−1/2) = I − β o o'.
        let beta = if oo > 0.0 { (1.0 - 1.0 / (1.0 + o.level_var * oo).sqrt()) / oo } else { 0.0 };
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
    let mut first = 0;
    for (d, domain) in design.domains.iter().enumerate() {
        let size = domain.len();
        let rows = first..first + size;
        first += size;
        for ramp in RAMPS {
            for onset in 0..n {
                x.h.clear();
                x.h.resize(size * n, 0.0);
                let mut a = 0.0;
                for (r, m) in rows.clone().enumerate() {
                    let h = &mut x.h[r * n..(r + 1) * n];
                    let mut ho = 0.0;
                    for k in onset..n {
                        let at = m * n + k;
                        if x.u[at].is_nan() {
                            continue;
                        }
                        let before = if x.back[at] == usize::MAX { 0.0 } else { response(x.back[at], onset, ramp) };
                        h[k] = (response(k, onset, ramp) - x.carry[at] * before) * x.scale[at];
                        ho += h[k] * x.o[at];
                    }
                    for k in 0..n {
                        let at = m * n + k;
                        if !x.u[at].is_nan() {
                            h[k] -= x.beta[m] * ho * x.o[at];
                            a += h[k] * x.g[at];
                        }
                    }
                }
                let mut b = 0.0;
                for k in 0..n {
                    let c = &x.precision[x.partial[k]..];
                    for (r, m) in rows.clone().enumerate() {
                        let h = x.h[r * n + k];
                        let row = &c[m * p..];
                        let mut sum = 0.5 * row[m] * h;
                        for (q, j) in rows.clone().enumerate().take(r) {
                            sum += row[j] * x.h[q * n + k];
                        }
                        b += 2.0 * h * sum;
                    }
                }
                let ratio = over_sizes(a, b) / RAMPS.len() as f64;
                let l = &mut x.lambda_q[d * n + onset];
                *l = if ramp == RAMPS[0] { ratio } else { *l + ratio };
            }
        }
    }
}
