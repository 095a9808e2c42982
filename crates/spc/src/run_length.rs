//! Run lengths, computed: how many values a CUSUM or EWMA chart takes until its first signal, on average.
//!
//! The *zero-state average run length* (ARL) is the expected number of values up to and with the first signal, when the chart
//! starts at its start and every value is N(μ, 1). μ is in standard deviations; μ = 0 gives the ARL between false signals.
//!
//! **CUSUM.** With L(s) the expected remaining length at the upper sum s, and the atom that the sum has at zero:
//!
//! ```text
//! L(s) = 1 + L(0) Φ(k − s − μ) + ∫₀ʰ L(x) φ(x − s + k − μ) dx
//! ```
//!
//! The lower sum under μ is the upper one under −μ. From the lengths L⁺ and L⁻ of the two, alone and from the headstart c, comes the two-sided
//! one (Lucas & Crosier 1982): `(L⁺(c) L⁻(0) + L⁺(0) L⁻(c) − L⁺(0) L⁻(0)) / (L⁺(0) + L⁻(0))`. It holds when a sum that signals leaves the other at zero:
//! for c ≤ h/2 + k.
//!
//! **EWMA.** With limits ±c, `c = L √(λ/(2 − λ))`:
//!
//! ```text
//! L(w) = 1 + ∫₋c^c L(x) φ((x − (1 − λ) w)/λ − μ)/λ dx
//! ```
//!
//! Under time-varying limits the density of the average among charts that are still running is carried from value to value, until the
//! limits have settled; from there on the equation above holds.
//!
//! Integrals are Gauss–Legendre sums (Nyström's method), with nodes enough that the error is near that of rounding. What results is a Markov
//! chain between nodes, whose exits are signals, and it is solved without a single subtraction, so that run lengths of 10¹⁰⁰ keep their digits too.
//!
//! Sources: Page (1954), Biometrika 41:100; Vance (1986), J. Qual. Technol. 18:188 (CUSUM); Crowder (1987), Technometrics 29:401, and J. Qual. Technol. 19:161
//! (EWMA); Lucas & Crosier (1982), Technometrics 24:199; Knoth (2003), *EWMA schemes with nonhomogeneous transition kernels*, Seq. Anal. 22:241
//! (time-varying limits).

use crate::ParameterError;
use crate::cusum::{CusumDesign, MAX_DECISION};
use crate::ewma::{EwmaDesign, EwmaLimits, MAX_WIDTH};
use crate::parameter::within;
use crate::standard::Sides;

mod chain;
mod cusum;
mod ewma;
mod quadrature;

/// The largest shift, in standard deviations. Beyond it every chart signals at once, or never.
pub const MAX_SHIFT: f64 = 10.0;

/// The zero-state average run length of a CUSUM when all values are N(`shift`, 1), in values; at least 1.
///
/// Relative accuracy is better than 1e-6 in the whole domain of [`CusumDesign`].
///
/// # Errors
///
/// [`ParameterError::OutOfDomain`] for a shift beyond ±10, or a two-sided headstart above h/2 + k; [`ParameterError::RunLengthTooLong`] beyond 1e300.
///
/// ```
/// use qipp_spc::{cusum::CusumDesign, run_length};
///
/// let arl = run_length::of_cusum(&CusumDesign::new(0.5, 5.0)?, 1.0)?;
/// assert!((arl - 10.38).abs() < 0.005);
/// # Ok::<(), qipp_spc::ParameterError>(())
/// ```
pub fn of_cusum(design: &CusumDesign, shift: f64) -> Result<f64, ParameterError> {
    let shift = checked_shift(shift)?;
    finite(match design.sides() {
        Sides::Upper => cusum::upper(design, shift).from_headstart,
        Sides::Lower => cusum::upper(design, -shift).from_headstart,
        Sides::Both => {
            let bound = 0.5 * design.decision() + design.reference();
            let in_range = |headstart| headstart <= bound;
            within(
                "headstart",
                design.headstart(),
                in_range,
                "of at most h/2 + k for the run length of a two-sided chart",
            )?;
            cusum::both(design, shift)
        }
    })
}

/// The zero-state average run length of a two-sided EWMA when all values are N(`shift`, 1), in values; at least 1.
///
/// Relative accuracy is better than 1e-6 in the whole domain of [`EwmaDesign`].
///
/// # Errors
///
/// [`ParameterError::OutOfDomain`] for a shift beyond ±10.
///
/// ```
/// use qipp_spc::{ewma::{EwmaDesign, EwmaLimits}, run_length};
///
/// let shewhart = EwmaDesign::new(1.0, 3.0, EwmaLimits::Fixed)?;
/// assert!((run_length::of_ewma(&shewhart, 0.0)? - 370.4).abs() < 0.05);
/// # Ok::<(), qipp_spc::ParameterError>(())
/// ```
pub fn of_ewma(design: &EwmaDesign, shift: f64) -> Result<f64, ParameterError> {
    let shift = checked_shift(shift)?;
    finite(match design.limits() {
        EwmaLimits::Fixed => ewma::fixed(design, shift),
        EwmaLimits::TimeVarying => ewma::time_varying(design, shift),
    })
}

/// The CUSUM with reference value k, the given sides, a headstart of `headstart_fraction` of h (0 for none, ½ for the usual fast initial response),
/// and the average run length `in_control` at no shift: the design inverse, for h.
///
/// # Errors
///
/// [`ParameterError::OutOfDomain`] for k or a fraction outside 0 to 1, and for a headstart of which the run length is not known
/// ([`of_cusum`]); [`ParameterError::Unreachable`] when no h up to 100 has that run length.
pub fn cusum_with(
    in_control: f64,
    k: f64,
    headstart_fraction: f64,
    sides: Sides,
) -> Result<CusumDesign, ParameterError> {
    let in_range = |fraction: f64| (0.0..=1.0).contains(&fraction);
    let fraction = within(
        "headstart fraction",
        headstart_fraction,
        in_range,
        "from 0 to 1",
    )?;
    let design = |h: f64| {
        let design = CusumDesign::new(k, h)?.with_sides(sides);
        design.with_headstart(fraction * h)
    };
    let h = solve(in_control, MAX_DECISION, |h| of_cusum(&design(h)?, 0.0))?;
    design(h)
}

/// The EWMA with that λ and kind of limits which has the average run length `in_control` at no shift: the design inverse, for L.
///
/// # Errors
///
/// [`ParameterError::OutOfDomain`] for λ; [`ParameterError::Unreachable`] when no L up to 6 has that run length.
pub fn ewma_with(
    in_control: f64,
    lambda: f64,
    limits: EwmaLimits,
) -> Result<EwmaDesign, ParameterError> {
    let design = |width| EwmaDesign::new(lambda, width, limits);
    let width = solve(in_control, MAX_WIDTH, |width| of_ewma(&design(width)?, 0.0))?;
    design(width)
}

fn checked_shift(shift: f64) -> Result<f64, ParameterError> {
    let in_range = |shift: f64| shift.abs() <= MAX_SHIFT;
    within("shift", shift, in_range, "from -10 to 10")
}

/// Beyond this a run length may have overflowed on the way.
const LONGEST: f64 = 1e300;

fn finite(length: f64) -> Result<f64, ParameterError> {
    (length <= LONGEST)
        .then_some(length)
        .ok_or(ParameterError::RunLengthTooLong)
}

/// The parameter up to `largest` at which the rising function `length` is `wanted`: false position on the logarithm of the length, which is
/// nearly linear, in the form that halves the weight of an end that stays (Illinois).
fn solve(
    wanted: f64,
    largest: f64,
    length: impl Fn(f64) -> Result<f64, ParameterError>,
) -> Result<f64, ParameterError> {
    let excess = |parameter: f64| match length(parameter) {
        Ok(length) => Ok(length.ln() - wanted.ln()),
        Err(ParameterError::RunLengthTooLong) => Ok(LONGEST.ln()),
        Err(other) => Err(other),
    };
    let mut low = 1e-6 * largest;
    let shortest = length(low)?;
    let unreachable = |longest| ParameterError::Unreachable {
        wanted,
        shortest,
        longest,
    };
    // Not `wanted < shortest`: that is false for NaN.
    if !(wanted >= shortest && wanted <= LONGEST) {
        return Err(unreachable(LONGEST));
    }
    let mut at_low = excess(low)?;
    let mut high = 1.0;
    let mut at_high = excess(high)?;
    while at_high < 0.0 {
        if high >= largest {
            return Err(unreachable(length(largest)?));
        }
        (low, at_low) = (high, at_high);
        high = (1.5 * high).min(largest);
        at_high = excess(high)?;
    }
    for _ in 0..100 {
        if high - low <= 1e-12 * high {
            break;
        }
        let middle = (low * at_high - high * at_low) / (at_high - at_low);
        // Rounding may throw it out of the bracket.
        let middle = if middle > low && middle < high {
            middle
        } else {
            0.5 * (low + high)
        };
        let at_middle = excess(middle)?;
        if at_middle.abs() <= 1e-12 {
            return Ok(middle);
        }
        if at_middle < 0.0 {
            (low, at_low) = (middle, at_middle);
            at_high *= 0.5;
        } else {
            (high, at_high) = (middle, at_middle);
            at_low *= 0.5;
        }
    }
    Ok(0.5 * (low + high))
}

#[cfg(test)]
mod tests;
