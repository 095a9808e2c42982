//! Funnel plots: is an organisation unlike its peers at one time, beyond chance and beyond what peers differ anyway?
//!
//! The problem in the abstract. Rows `(group, numerator, denominator)` are summed by group. Each group's ratio `r` is brought to a
//! scale on which its standard error `s` depends on the denominator only, `Y = g(r)`, and compared with the target,
//! `z = (Y − g(θ)) / s`. The middle of the `z` says how much more the groups differ than chance makes them: `φ = Σz²/n` after
//! trimming, and from it `τ²`, the variance between groups on the scale of `Y` (method of moments). Limits at a denominator are
//! `g⁻¹(g(θ) ∓ c·√(s² + τ²))`, with `c` = 1.96 or 3.09 (95 % and 99.8 %).
//!
//! | measure | target θ | Y | s² | trimming |
//! |---|---|---|---|---|
//! | proportion (PR) | Σn/Σd | asin √(n/d) | 1/(4d) | winsorised |
//! | ratio of counts (RC) | Σn/Σd | ln((n+½)/(d+½)) | n/(n+½)² + d/(d+½)² for z, (1+θ)/(θd) for limits | winsorised |
//! | standardised ratio, CQC | 1 | √(O/E) | 1/(4E) | winsorised |
//! | standardised ratio, SHMI | 1 | ln(O/E) | 1/E | truncated |
//!
//! Without `τ²` the limits of a standardised ratio are exact Poisson limits.
//!
//! Sources: Spiegelhalter (2005) Stat Med 24:1185 for funnels; Spiegelhalter (2005) Qual Saf Health Care 14:347 and Spiegelhalter et al.
//! (2012) JRSS A 175:1 for overdispersion; DerSimonian & Laird (1986) Control Clin Trials 7:177 for `τ²`.
//!
//! Domain of validity: the transforms are approximations. With fewer than about ten events on target per group expect more groups
//! outside than nominal, above all below the limits of SHMI, whose logarithm is skewed; `τ²` wants a dozen groups or more. Of groups that differ among themselves more are outside the 99.8 % limits than nominal
//! even so: about 1 % where the variance between groups is not far above that of chance, and up to 3 % where it is many times that of the largest of
//! groups that are a hundred times as large as the smallest, because trimming then takes away the large ones (the
//! first is a test, `tests/funnel_null.rs`; the second was simulated once in the same way, with arcsines that differ by 0.25).
//!
//! *Architecture invariant*: a funnel compares levels at one time. It says nothing of change, and decides no alert.

use std::collections::BTreeMap;
use std::fmt;

mod dispersion;
mod error;
mod limits;
mod poisson;

pub use error::FunnelError;
pub use limits::Limits;

use dispersion::Dispersion;

/// The most rows of one funnel, and so the most groups.
pub const MAX_ROWS: usize = 100_000;

/// The largest count or expected count. More than the events of a nation in all its history.
pub const MAX_COUNT: f64 = 1e12;

/// Which form of the method.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Mode {
    /// As the method is meant. The default. Against [`Self::Compat`]:
    ///
    /// * limits of ratios of counts have the variance of a logarithm, `(1+θ)/(θd)`, not that of an arcsine, `1/(4d)`;
    /// * limits by the CQC method are squared back to the scale of the ratio, and 0 where the root would be negative;
    /// * `φ` is divided by what trimming leaves of it when there is no overdispersion, so that 1 means none;
    /// * Poisson limits are those of the count given what is expected: a group is outside when the probability of a count as far out
    ///   or farther is below 2.5 % or 0.1 %. (The package gives the interval for the mean that goes with a count, the wrong way
    ///   round: at the 99.8 % limits up to ten times too many small groups are then low.)
    /// * a group with no event at all is low only when nothing has that small a probability on target too, and its logarithm
    ///   is that of half an event;
    /// * `φ` and `τ²` are reported whether limits with them are asked for or not.
    #[default]
    Corrected,
    /// As the R package FunnelPlotR 0.6.0 computes, for comparison with it only. One thing is not inherited: where a limit of a proportion
    /// reaches 0 or 1 is found in closed form, and not by looking at neighbours in a grid.
    Compat,
}

impl Mode {
    /// Both.
    pub const ALL: &'static [Self] = &[Self::Corrected, Self::Compat];

    /// The stable name, printed on every funnel.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Corrected => "corrected",
            Self::Compat => "compat",
        }
    }

    /// The mode of that exact name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|mode| mode.name() == name)
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What the ratio is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Measure {
    /// A proportion: the numerator is part of the denominator. The default.
    #[default]
    Proportion,
    /// A ratio of two counts.
    RatioOfCounts,
    /// Observed over expected, by the method of the summary hospital-level mortality indicator: logarithm, truncation.
    StandardisedShmi,
    /// Observed over expected, by the method of the Care Quality Commission: square root, winsorising.
    StandardisedCqc,
}

impl Measure {
    /// Whether the denominator is an expected count, and the target 1.
    pub fn is_standardised(self) -> bool {
        matches!(self, Self::StandardisedShmi | Self::StandardisedCqc)
    }
}

/// Which limits decide what is an outlier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Level {
    /// 95 %: one in forty on each side.
    P95,
    /// 99.8 %: one in a thousand on each side. The default.
    #[default]
    P998,
}

/// How to draw a funnel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FunnelOptions {
    /// What the ratio is; default [`Measure::Proportion`].
    pub measure: Measure,
    /// The limits beyond which a group is an outlier; default [`Level::P998`].
    pub level: Level,
    /// Judge by limits with overdispersion; default true. If it is the only kind asked for and `φ ≤ 1`, the other kind is used.
    pub adjusted: bool,
    /// Judge by limits without overdispersion; default false. With neither nothing is an outlier, with both `adjusted` decides.
    pub unadjusted: bool,
    /// The share that is trimmed at each end; from 0 to below ½, default 0.1.
    pub trim_by: f64,
    /// What limits are multiplied with, as for a rate per 1,000. Positive, default 1.
    pub multiplier: f64,
    /// Round expected counts to two places under SHMI, as it is published, for everything but the ratio. Default the mode's: false when
    /// corrected, true in [`Mode::Compat`].
    pub round_expected: Option<bool>,
}

impl Default for FunnelOptions {
    fn default() -> Self {
        Self {
            measure: Measure::default(),
            level: Level::default(),
            adjusted: true,
            unadjusted: false,
            trim_by: 0.1,
            multiplier: 1.0,
            round_expected: None,
        }
    }
}

impl FunnelOptions {
    /// Whether expected counts are rounded, with the mode's default.
    pub(crate) fn rounds(&self, mode: Mode) -> bool {
        self.round_expected.unwrap_or(mode == Mode::Compat)
    }

    fn check(&self) -> Result<(), FunnelError> {
        if !(0.0..0.5).contains(&self.trim_by) {
            return Err(FunnelError::TrimOutOfRange {
                trim_by: self.trim_by,
            });
        }
        if !(self.multiplier > 0.0 && self.multiplier <= MAX_COUNT) {
            return Err(FunnelError::MultiplierOutOfRange {
                multiplier: self.multiplier,
            });
        }
        Ok(())
    }
}

/// One row of the input. A group may have several, which are added up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row<'a> {
    /// Name of the group.
    pub group: &'a str,
    /// Events.
    pub numerator: f64,
    /// What they could have been: cases, the other count, or expected events.
    pub denominator: f64,
}

/// A funnel. Ratios are per unit of the denominator; limits are times [`FunnelOptions::multiplier`].
#[derive(Clone, Debug, PartialEq)]
pub struct Funnel {
    /// The form of the method; print its name on the funnel.
    pub mode: Mode,
    /// The target `θ`, as a ratio.
    pub target: f64,
    /// The target on the scale of `Y`.
    pub target_transformed: f64,
    /// Dispersion `φ`: 1 when the groups differ as chance makes them.
    pub phi: f64,
    /// Variance between groups `τ²`, on the scale of `Y`.
    pub tau2: f64,
    /// Whether limits with overdispersion are in use.
    pub adjusted_used: bool,
    /// Whether limits without overdispersion are in use.
    pub unadjusted_used: bool,
    /// The groups in the order of their names.
    pub groups: Vec<Group>,
}

/// One group of a funnel.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// Events, summed.
    pub numerator: f64,
    /// Denominator, summed, and rounded where that was asked for.
    pub denominator: f64,
    /// Numerator over denominator, before any rounding.
    pub ratio: f64,
    /// `Y`.
    pub y: f64,
    /// `z` without overdispersion.
    pub z: f64,
    /// Whether `z` is at or beyond where it is clamped, or was left out.
    pub trimmed: bool,
    /// `z` as it counts in `φ`; `None` is left out.
    pub z_trimmed: Option<f64>,
    /// Limits without overdispersion.
    pub limits: Limits,
    /// Limits with overdispersion.
    pub adjusted: Limits,
    /// Strictly outside the limits that decide.
    pub outlier: bool,
}

/// Draws the funnel of `rows`, in any order.
///
/// # Errors
///
/// Any [`FunnelError`] but those of parsing text.
///
/// ```
/// use qipp_spc::funnel::{FunnelOptions, Mode, Row, funnel};
///
/// let row = |group, numerator, denominator| Row { group, numerator, denominator };
/// let rows = [row("A", 30.0, 100.0), row("B", 28.0, 100.0), row("C", 62.0, 200.0), row("D", 60.0, 100.0)];
/// let drawn = funnel(Mode::Corrected, &rows, &FunnelOptions { adjusted: false, unadjusted: true, ..FunnelOptions::default() })?;
/// assert_eq!(drawn.target, 180.0 / 500.0);
/// let outliers: Vec<&str> = drawn.groups.iter().filter(|group| group.outlier).map(|group| group.name.as_str()).collect();
/// assert_eq!(outliers, ["D"]);
/// # Ok::<(), qipp_spc::funnel::FunnelError>(())
/// ```
pub fn funnel(
    mode: Mode,
    rows: &[Row<'_>],
    options: &FunnelOptions,
) -> Result<Funnel, FunnelError> {
    options.check()?;
    let sums = summed(mode, rows, options)?;
    let measure = options.measure;
    let target = target(mode, &sums, measure)?;
    let target_transformed = match measure {
        Measure::Proportion => target.sqrt().asin(),
        Measure::RatioOfCounts | Measure::StandardisedShmi => target.ln(),
        Measure::StandardisedCqc => target.sqrt(),
    };
    let scores: Vec<Score> = sums
        .iter()
        .map(|sum| sum.score(mode, measure, target_transformed))
        .collect();
    let Dispersion { phi, tau2, trimmed } = dispersion::of(mode, &scores, options);

    let (mut adjusted_used, mut unadjusted_used) = (options.adjusted, options.unadjusted);
    // The package reports no dispersion where it was not asked for limits with it, and draws them as if there were none.
    let (phi, tau2) = match mode {
        Mode::Compat if !options.adjusted => (0.0, 0.0),
        _ => (phi, tau2),
    };
    if adjusted_used && !unadjusted_used && phi <= 1.0 {
        (adjusted_used, unadjusted_used) = (false, true);
    }

    let shape = limits::Shape {
        mode,
        measure,
        target,
        multiplier: options.multiplier,
    };
    let groups = sums.into_iter().zip(scores).zip(trimmed);
    let groups = groups.map(|((sum, score), trimmed)| {
        let limits = shape.unadjusted(sum.denominator);
        let adjusted = shape.adjusted(sum.denominator, tau2);
        let decides = match (adjusted_used, unadjusted_used) {
            (true, _) => Some(&adjusted),
            (false, true) => Some(&limits),
            (false, false) => None,
        };
        let outlier = decides.is_some_and(|decides| {
            shape.outside(sum.ratio, sum.denominator, decides, options.level)
        });
        Group {
            name: sum.name.to_owned(),
            numerator: sum.numerator,
            denominator: sum.denominator,
            ratio: sum.ratio,
            y: score.y,
            z: score.z,
            trimmed: trimmed.is_trimmed,
            z_trimmed: trimmed.z,
            limits,
            adjusted,
            outlier,
        }
    });
    Ok(Funnel {
        mode,
        target,
        target_transformed,
        phi,
        tau2,
        adjusted_used,
        unadjusted_used,
        groups: groups.collect(),
    })
}

/// A group before it is judged.
struct Sum<'a> {
    name: &'a str,
    numerator: f64,
    denominator: f64,
    ratio: f64,
}

/// A group on the scale of `Y`.
#[derive(Clone, Copy, Debug)]
struct Score {
    y: f64,
    z: f64,
    /// Standard error of `y`.
    s: f64,
}

impl Sum<'_> {
    fn score(&self, mode: Mode, measure: Measure, target: f64) -> Score {
        let (n, d) = (self.numerator, self.denominator);
        let (y, s) = match measure {
            Measure::Proportion => ((n / d).sqrt().asin(), 0.5 / d.sqrt()),
            Measure::RatioOfCounts => {
                let (n_half, d_half) = (n + 0.5, d + 0.5);
                let variance = n / (n_half * n_half) + d / (d_half * d_half);
                ((n_half / d_half).ln(), variance.sqrt())
            }
            Measure::StandardisedCqc => ((n / d).sqrt(), 0.5 / d.sqrt()),
            Measure::StandardisedShmi => {
                // The logarithm of nothing is half an event's; in the package it is minus infinity.
                let nothing = n == 0.0 && mode == Mode::Corrected;
                let n = if nothing { 0.5 } else { n };
                ((n / d).ln(), d.sqrt().recip())
            }
        };
        let z = (y - target) / s;
        Score { y, z, s }
    }
}

/// Adds the rows up by group, in the order of names.
fn summed<'a>(
    mode: Mode,
    rows: &[Row<'a>],
    options: &FunnelOptions,
) -> Result<Vec<Sum<'a>>, FunnelError> {
    check_count(rows.len())?;
    let mut sums: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
    for (row, number) in rows.iter().zip(1..) {
        for (field, value) in [
            ("numerator", row.numerator),
            ("denominator", row.denominator),
        ] {
            if !(0.0..=MAX_COUNT).contains(&value) {
                return Err(FunnelError::CountOutOfRange {
                    row: number,
                    field,
                    value,
                });
            }
        }
        let sum = sums.entry(row.group).or_default();
        *sum = (sum.0 + row.numerator, sum.1 + row.denominator);
    }
    let rounds = options.measure == Measure::StandardisedShmi && options.rounds(mode);
    let sums = sums.into_iter().map(|(name, (numerator, whole))| {
        let denominator = if rounds { two_places(whole) } else { whole };
        let group = || name.to_owned();
        if denominator == 0.0 {
            return Err(FunnelError::NoDenominator { group: group() });
        }
        if options.measure == Measure::Proportion && numerator > denominator {
            return Err(FunnelError::MoreThanAll { group: group() });
        }
        Ok(Sum {
            name,
            numerator,
            denominator,
            ratio: numerator / whole,
        })
    });
    sums.collect()
}

pub(crate) fn check_count(found: usize) -> Result<(), FunnelError> {
    match found {
        0 => Err(FunnelError::NoRows),
        found if found > MAX_ROWS => Err(FunnelError::TooManyRows {
            found,
            limit: MAX_ROWS,
        }),
        _ => Ok(()),
    }
}

fn target(mode: Mode, sums: &[Sum<'_>], measure: Measure) -> Result<f64, FunnelError> {
    if mode == Mode::Compat && sums.iter().all(|sum| sum.numerator == sum.denominator) {
        return Err(FunnelError::NumeratorIsDenominator);
    }
    if measure.is_standardised() {
        return Ok(1.0);
    }
    let events: f64 = sums.iter().map(|sum| sum.numerator).sum();
    let all: f64 = sums.iter().map(|sum| sum.denominator).sum();
    if measure == Measure::RatioOfCounts && events == 0.0 {
        return Err(FunnelError::NoEvents);
    }
    // Sums of many parts may be a bit off, and no proportion is above 1.
    let ratio = events / all;
    Ok(if measure == Measure::Proportion {
        ratio.min(1.0)
    } else {
        ratio
    })
}

/// The nearer of the two decimals with two places around `x`, the even one if both are as near: what R's `round` gives.
fn two_places(x: f64) -> f64 {
    let (below, above) = ((x * 100.0).floor(), (x * 100.0).ceil());
    let (low, high) = (below / 100.0, above / 100.0);
    let is_low = match (x - low).total_cmp(&(high - x)) {
        std::cmp::Ordering::Less => true,
        std::cmp::Ordering::Greater => false,
        std::cmp::Ordering::Equal => below % 2.0 == 0.0,
    };
    if is_low { low } else { high }
}

#[cfg(test)]
mod tests;
