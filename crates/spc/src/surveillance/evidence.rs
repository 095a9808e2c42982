//! Evidence that a unit's series have moved: likelihood ratios over onset, ramp and size.

mod quality;
mod savings;

use std::ops::Range;

use super::Design;
use super::fit::{Own, Shared, Step, score, whiten};

/// Sizes of a shift, in marginal standard deviations, and their prior weights.
pub(crate) const SIZES: [f64; 4] = [0.6, 1.0, 1.6, 2.4];
pub(crate) const K: usize = SIZES.len();
/// Likelihood ratios of one onset, a size each.
pub(crate) type Ratios = [f64; K];
/// Months until a shift is there in full, equally likely: at once, or a third more each month.
pub(crate) const RAMPS: [usize; 2] = [1, 3];

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

/// Room that is used again for each unit.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    steps: Vec<Step>,
    savings: savings::Room,
    quality: quality::Room,
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

impl Unit<'_> {
    /// Values of a series from the first month of its baseline to the last that is monitored.
    fn line(&self, s: usize) -> &[f64] {
        let span = self.own[s].span;
        &self.z[s * self.months + span.start..s * self.months + span.end]
    }
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
        moved: [vec![[0.0; K]; of_savings.len()], vec![[0.0; K]; n]],
        domains: vec![[0.0; K]; n * domains],
    };
    let Scratch {
        steps,
        savings,
        quality,
    } = x;
    savings::ratios(
        unit,
        shared,
        design.savings,
        (steps, savings),
        &mut out.moved[0],
    );
    quality::ratios(
        unit,
        shared,
        design,
        of_quality,
        (steps, quality),
        &mut out.domains,
    );
    for (at, ratios) in out.domains.iter().enumerate() {
        for (sum, ratio) in out.moved[1][at % n].iter_mut().zip(ratios) {
            *sum += ratio / domains as f64;
        }
    }
    Some(out)
}

/// Adds the likelihood ratios `exp(size · a − size² · b / 2)` of a shift from its score `a` and information `b`, by size; capped
/// at e⁶⁰, far beyond any decision.
fn add_ratios(a: f64, b: f64, weight: f64, to: &mut Ratios) {
    // Below the cap for the largest size, and so for all. Sizes are 3, 5, 8 and 12 fifths, so two exponentials give all four.
    if a <= 25.0 {
        let (x, y) = ((0.2 * a).exp(), (-0.02 * b).exp());
        let (x2, x4, y8) = (x * x, x.powi(4), y.powi(8));
        let (y16, y64) = (y8 * y8, y8.powi(8));
        let sizes = [
            x2 * x * (y8 * y),
            x4 * x * (y16 * y8 * y),
            x4 * x4 * y64,
            x4 * x4 * x4 * (y64 * y64 * y16),
        ];
        for (to, ratio) in to.iter_mut().zip(sizes) {
            *to += weight * ratio;
        }
    } else {
        for (size, to) in SIZES.iter().zip(to) {
            *to += weight * (size * a - 0.5 * size * size * b).min(60.0).exp();
        }
    }
}

/// One-sided p-value that a single series has been higher since month `onset` (index) than its own level, by weighted
/// least squares on the whitened scale: `Φ(−a/√b)`. 1 for a series that cannot be used.
pub(crate) fn series_p(
    unit: Unit,
    s: usize,
    shared: &Shared,
    onset: usize,
    steps: &mut Vec<Step>,
) -> f64 {
    let own = unit.own[s];
    if !own.usable() {
        return 1.0;
    }
    let (nu, info) = (shared.nu, shared.information);
    whiten(unit.line(s), own.level, own.marginal_sd(), own.rho, steps);
    let (mut a, mut b, mut ho, mut oo, mut ou) = (0.0, 0.0, 0.0, 0.0, 0.0);
    let baseline = own.span.baseline();
    for step in steps.iter().filter(|step| step.month >= baseline) {
        let (u, o) = (score(step.e, nu, info), info.sqrt() * step.o);
        oo += o * o;
        ou += o * u;
        if own.span.start + step.month >= onset {
            a += o * u;
            b += o * o;
            ho += o * o;
        }
    }
    let factor = own.level_var / (1.0 + own.level_var * oo);
    a -= factor * ho * ou;
    b -= factor * ho * ho;
    if b > 0.0 {
        crate::normal::above(a / b.sqrt())
    } else {
        1.0
    }
}
