//! Charts for rare events: not how many in a month, but how long until the next.
//!
//! Months with a mean of one event or less have no useful limits: zero is always inside. The gaps between events do.
//!
//! * **g chart**: opportunities (patients, bed-days) without an event between one event and the next; geometric, from 0,
//!   `P(X ≥ x) = (μ/(1+μ))ˣ` with mean μ.
//! * **t chart**: time from one event to the next; exponential, `P(X > x) = exp(−x/μ)`.
//!
//! A gap signals *sooner* when a gap as short or shorter has probability at most α, and *later* when one as long or longer has; α is the
//! `tail`, by default that of three standard deviations.
//!
//! **These are exact probability limits, not those of a transform.** Nelson (1994) raises t to the power 1/3.6, which makes the exponential
//! nearly normal, and draws an XmR chart. Its limits have tails that are only about right, its lower limit is often below zero, where nothing
//! can signal, and the moving range adds noise to an estimate that needs one parameter. With one parameter the exact limits have closed forms,
//! and the estimation of the mean can be allowed for exactly:
//!
//! | the mean is | t: P(X > x) | g: P(X ≥ x) |
//! |---|---|---|
//! | known, μ | `exp(−x/μ)` | `(μ/(1+μ))ˣ` |
//! | of m earlier gaps with sum S | `(1 + x/S)^−m` | `Π_{j=1…m} (S+j)/(S+x+j)` |
//! | of m gaps with sum S, this one included | `(1 − x/S)^(m−1)` | `Π_{j=1…m−1} (S−x+j)/(S+j)` |
//!
//! (The second row for t is the F distribution of X/(S/m). The others of the lower rows are conditional on the sum, which takes the unknown mean out.) So α holds
//! for a baseline of any length; for g it is an upper bound, because counts are whole.
//!
//! The gap that is still open, from the last event until today, is no gap yet: leave it out, or hold it against the upper limit alone. When events are
//! frequent enough that the lower limit of a g chart is none, no single gap can say that they come sooner; a [CUSUM](crate::cusum) of the gaps can.
//!
//! Valid for events that are independent and, in control, equally likely throughout.
//!
//! Sources: Kaminsky, Benneyan, Davis & Burke (1992), J. Qual. Technol. 24:63, and Benneyan (2001), Health Care Manag. Sci. 4:305 (g); Nelson (1994), J. Qual.
//! Technol. 26:239, and Montgomery (2013), *Introduction to Statistical Quality Control*, §7.3.5 (t).

use crate::ParameterError;
use crate::mean;
use crate::parameter::within;

/// Probability beyond three standard deviations on one side of a normal distribution.
pub const SHEWHART_TAIL: f64 = 1.349_898_031_630_094_5e-3;

/// The most gaps of a chart.
pub const MAX_GAPS: usize = 100_000;

/// The longest gap of a g chart: to here every count is exact in a float, and so are sums over [`MAX_GAPS`] of them to a last digit.
pub const MAX_OPPORTUNITIES: u64 = 1_000_000_000_000;

/// The longest gap of a t chart, in its units.
pub const MAX_TIME: f64 = 1e290;

/// Where the mean gap comes from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Basis {
    /// It is known.
    Known(f64),
    /// The first so many gaps (all, if there are not as many) are the baseline; at least one.
    First(usize),
}

impl Basis {
    /// Every gap is in the baseline.
    pub const ALL: Self = Self::First(usize::MAX);
}

/// Limits for one gap. `None`: no gap is that unlikely on this side.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GapLimits {
    /// A gap of this length or shorter signals.
    pub lower: Option<f64>,
    /// A gap of this length or longer signals.
    pub upper: Option<f64>,
}

/// What a gap says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GapSignal {
    /// The event came sooner than chance explains: events have become more frequent.
    Sooner,
    /// The event came later than chance explains: events have become rarer.
    Later,
}

impl GapLimits {
    /// What a gap of that length says. Lower and upper limit never overlap, because a tail is less than a half.
    pub fn judge(&self, gap: f64) -> Option<GapSignal> {
        if self.lower.is_some_and(|lower| gap <= lower) {
            Some(GapSignal::Sooner)
        } else if self.upper.is_some_and(|upper| gap >= upper) {
            Some(GapSignal::Later)
        } else {
            None
        }
    }
}

/// A g or t chart. The first [`GapChart::in_baseline`] gaps have the limits `baseline_limits`, the others `limits`.
#[derive(Clone, Debug, PartialEq)]
pub struct GapChart {
    /// The mean gap, known or of the baseline.
    pub mean: f64,
    /// How many gaps are in the baseline; 0 when the mean is known.
    pub in_baseline: usize,
    /// Limits for gaps that are in the baseline themselves.
    pub baseline_limits: GapLimits,
    /// Limits for gaps after the baseline; also for those to come.
    pub limits: GapLimits,
    /// What each gap says.
    pub signals: Vec<Option<GapSignal>>,
}

/// The chart of times between events, in time order, in any unit. A time of 0 is allowed (two events at one moment of the clock), but then
/// the clock is too coarse, and many of them make it a wrong chart.
///
/// # Errors
///
/// [`ParameterError::OutOfDomain`] for a tail outside 0 to 0.1 or a known mean that is not above 0; [`ParameterError::EntryOutOfDomain`] for a time that is
/// negative, not finite or beyond 1e290; [`ParameterError::TooFewValues`] for no baseline; [`ParameterError::NoSpread`] for one of zeros;
/// [`ParameterError::TooManyValues`].
///
/// ```
/// use qipp_spc::rare::{self, Basis, GapSignal, SHEWHART_TAIL};
///
/// let days = [31.0, 12.0, 45.0, 26.0, 0.01];
/// let chart = rare::t_chart(&days, Basis::Known(30.0), SHEWHART_TAIL)?;
/// assert_eq!(chart.signals[4], Some(GapSignal::Sooner));
/// # Ok::<(), qipp_spc::ParameterError>(())
/// ```
pub fn t_chart(times: &[f64], basis: Basis, tail: f64) -> Result<GapChart, ParameterError> {
    let in_range = |time: f64| (0.0..=MAX_TIME).contains(&time);
    if let Some(place) = times.iter().position(|time| !in_range(*time)) {
        return Err(ParameterError::EntryOutOfDomain {
            name: "time",
            place: place + 1,
            value: times[place],
            domain: "from 0 to 1e290",
        });
    }
    draw(times, basis, tail, &Exponential)
}

/// The chart of opportunities without an event between one event and the next, in time order.
///
/// # Errors
///
/// As [`t_chart`]; a gap may be at most [`MAX_OPPORTUNITIES`].
pub fn g_chart(opportunities: &[u64], basis: Basis, tail: f64) -> Result<GapChart, ParameterError> {
    let too_long = |gap: &u64| *gap > MAX_OPPORTUNITIES;
    if let Some(place) = opportunities.iter().position(too_long) {
        return Err(ParameterError::EntryOutOfDomain {
            name: "gap",
            place: place + 1,
            value: opportunities[place] as f64,
            domain: "of at most 1e12 opportunities",
        });
    }
    let gaps: Vec<f64> = opportunities.iter().map(|gap| *gap as f64).collect();
    draw(&gaps, basis, tail, &Geometric)
}

/// Limits in the three situations of the table above.
trait GapDistribution {
    fn known(&self, mean: f64, tail: f64) -> GapLimits;
    fn after(&self, sum: f64, count: usize, tail: f64) -> GapLimits;
    fn included(&self, sum: f64, count: usize, tail: f64) -> GapLimits;
    /// Whether a baseline that adds up to nothing still says something.
    fn may_be_zero(&self) -> bool;
}

fn draw(
    gaps: &[f64],
    basis: Basis,
    tail: f64,
    distribution: &impl GapDistribution,
) -> Result<GapChart, ParameterError> {
    let tail = within(
        "tail",
        tail,
        |tail| tail > 0.0 && tail <= 0.1,
        "above 0 and up to 0.1",
    )?;
    if gaps.len() > MAX_GAPS {
        let (found, limit) = (gaps.len(), MAX_GAPS);
        return Err(ParameterError::TooManyValues { found, limit });
    }
    let (mean, in_baseline, baseline_limits, limits) = match basis {
        Basis::Known(mean) => {
            let in_range = |mean: f64| mean > 0.0 && mean <= MAX_TIME;
            let mean = within("mean gap", mean, in_range, "above 0 and up to 1e290")?;
            let limits = distribution.known(mean, tail);
            (mean, 0, limits, limits)
        }
        Basis::First(count) => {
            let baseline = &gaps[..count.min(gaps.len())];
            let Some(mean) = mean(baseline.iter().copied()) else {
                return Err(ParameterError::TooFewValues {
                    found: 0,
                    needed: 1,
                });
            };
            if mean == 0.0 && !distribution.may_be_zero() {
                return Err(ParameterError::NoSpread);
            }
            let sum = mean * baseline.len() as f64;
            let included = distribution.included(sum, baseline.len(), tail);
            let after = distribution.after(sum, baseline.len(), tail);
            (mean, baseline.len(), included, after)
        }
    };
    let judge = |(place, gap): (usize, &f64)| {
        let limits = if place < in_baseline {
            &baseline_limits
        } else {
            &limits
        };
        limits.judge(*gap)
    };
    Ok(GapChart {
        mean,
        in_baseline,
        baseline_limits,
        limits,
        signals: gaps.iter().enumerate().map(judge).collect(),
    })
}

struct Exponential;

impl GapDistribution for Exponential {
    fn known(&self, mean: f64, tail: f64) -> GapLimits {
        GapLimits {
            lower: Some(-mean * (-tail).ln_1p()),
            upper: Some(-mean * tail.ln()),
        }
    }

    fn after(&self, sum: f64, count: usize, tail: f64) -> GapLimits {
        let count = count as f64;
        GapLimits {
            lower: Some(sum * (-(-tail).ln_1p() / count).exp_m1()),
            upper: Some(sum * (-tail.ln() / count).exp_m1()).filter(|upper| upper.is_finite()),
        }
    }

    fn included(&self, sum: f64, count: usize, tail: f64) -> GapLimits {
        if count < 2 {
            // A gap says nothing about itself.
            return GapLimits {
                lower: None,
                upper: None,
            };
        }
        let others = count as f64 - 1.0;
        GapLimits {
            lower: Some(-sum * ((-tail).ln_1p() / others).exp_m1()),
            upper: Some(-sum * (tail.ln() / others).exp_m1()),
        }
    }

    fn may_be_zero(&self) -> bool {
        false
    }
}

struct Geometric;

impl GapDistribution for Geometric {
    fn known(&self, mean: f64, tail: f64) -> GapLimits {
        // ln(μ/(1+μ))
        let per_opportunity = -(1.0 / mean).ln_1p();
        whole_limits(
            tail,
            |gap| gap * per_opportunity,
            |gap| (gap + 1.0) * per_opportunity,
        )
    }

    fn after(&self, sum: f64, count: usize, tail: f64) -> GapLimits {
        // P(X ≥ y | X + S = S + x), in logarithms: for y = x, and for y = x + 1, which is what P(X ≤ x) leaves.
        let ln_ratio = |top: f64, more: f64| {
            let factors = (0..count).map(|j| (-more / (top + more + j as f64)).ln_1p());
            factors.sum::<f64>()
        };
        whole_limits(
            tail,
            |gap| ln_ratio(sum + 1.0, gap),
            |gap| ln_ratio(sum, gap + 1.0),
        )
    }

    fn included(&self, sum: f64, count: usize, tail: f64) -> GapLimits {
        let ln_at_least = |gap: f64| {
            if gap > sum {
                return f64::NEG_INFINITY;
            }
            let factors = (1..count).map(|j| (-gap / (sum + j as f64)).ln_1p());
            factors.sum::<f64>()
        };
        let limits = whole_limits(tail, ln_at_least, |gap| ln_at_least(gap + 1.0));
        GapLimits {
            // No gap of the baseline is longer than all of them together.
            upper: limits.upper.filter(|upper| *upper <= sum),
            lower: limits.lower.filter(|_| count > 1),
        }
    }

    fn may_be_zero(&self) -> bool {
        true
    }
}

/// Whole gaps at which the tails are small enough, from the logarithms of P(X ≥ x) and of P(X > x), both of which fall with x.
fn whole_limits(
    tail: f64,
    ln_at_least: impl Fn(f64) -> f64,
    ln_more: impl Fn(f64) -> f64,
) -> GapLimits {
    let ln_tail = tail.ln();
    let upper = first_whole(|gap| ln_at_least(gap) <= ln_tail);
    // P(X ≤ x) = 1 − P(X > x), without losing the digits of a small one.
    let first_above = first_whole(|gap| -ln_more(gap).exp_m1() > tail);
    GapLimits {
        lower: first_above.filter(|gap| *gap >= 1.0).map(|gap| gap - 1.0),
        upper,
    }
}

/// The least whole number from 0 at which `holds`, which then holds for all larger ones; `None` beyond 2^52.
fn first_whole(holds: impl Fn(f64) -> bool) -> Option<f64> {
    const FARTHEST: f64 = 4_503_599_627_370_496.0;
    if holds(0.0) {
        return Some(0.0);
    }
    let (mut fails, mut high) = (0.0, 1.0);
    while !holds(high) {
        if high >= FARTHEST {
            return None;
        }
        (fails, high) = (high, 2.0 * high);
    }
    while high - fails > 1.0 {
        let middle = (0.5 * (fails + high)).floor();
        if holds(middle) {
            high = middle;
        } else {
            fails = middle;
        }
    }
    Some(high)
}

#[cfg(test)]
mod tests;
