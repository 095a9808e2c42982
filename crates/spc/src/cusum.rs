//! Cumulative sums (CUSUM): evidence for a small lasting shift, added up until it is enough.
//!
//! On standardised values `z_t` (in control N(0, 1)), with the reference value k and the decision interval h, both in standard
//! deviations:
//!
//! ```text
//! upper  C⁺_t = max(0, C⁺_{t−1} + z_t − k)        signal while C⁺_t > h
//! lower  C⁻_t = max(0, C⁻_{t−1} − z_t − k)        signal while C⁻_t > h
//! ```
//!
//! Both start at the headstart, usually 0. A headstart of h/2 is the *fast initial response* (FIR): a process that is out of control from the
//! beginning is found sooner (k = ½, h = 4, shift of 1: after 5.3 values instead of 8.4), at a price in false signals (one in 149 instead of one in
//! 168). k is half the shift that should be found soonest (½ for one
//! standard deviation). The run lengths of a design, and the design with a wanted one, are in [`run_length`](crate::run_length).
//!
//! A **missing value keeps the state**: a month without a figure is no evidence either way, so the sum neither grows nor decays, and no signal
//! begins in it. (The run lengths then count values, not months.)
//!
//! Valid for independent, roughly normal values with known mean and standard deviation. Autocorrelation shortens the run lengths
//! greatly: watch innovations instead. Where no baseline is to be had there is the [self-starting](SelfStarting) form.
//!
//! Sources: Page (1954), Biometrika 41:100; Lucas & Crosier (1982), Technometrics 24:199 (FIR, and two-sided run lengths);
//! Hawkins & Olwell (1998), *Cumulative Sum Charts and Charting for Quality Improvement*.

use crate::ParameterError;
use crate::parameter::within;
use crate::standard::{AfterSignal, Sides, Standard};

mod self_starting;

pub use self_starting::{SelfStarting, self_starting_chart};

/// The largest reference value, in standard deviations.
pub const MAX_REFERENCE: f64 = 10.0;

/// The largest decision interval, in standard deviations.
pub const MAX_DECISION: f64 = 100.0;

/// k, h, headstart and sides, each within its domain.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CusumDesign {
    reference: f64,
    decision: f64,
    headstart: f64,
    sides: Sides,
}

impl CusumDesign {
    /// `reference` k from 0 to 10, `decision` h above 0 and up to 100, both in standard deviations; two-sided, no headstart.
    ///
    /// # Errors
    ///
    /// [`ParameterError::OutOfDomain`].
    pub fn new(reference: f64, decision: f64) -> Result<Self, ParameterError> {
        let in_range = |k: f64| (0.0..=MAX_REFERENCE).contains(&k);
        let reference = within("k", reference, in_range, "from 0 to 10")?;
        let in_range = |h: f64| h > 0.0 && h <= MAX_DECISION;
        let decision = within("h", decision, in_range, "above 0 and up to 100")?;
        Ok(Self {
            reference,
            decision,
            headstart: 0.0,
            sides: Sides::Both,
        })
    }

    /// The same with both sums starting at `headstart`, from 0 to h: the fast initial response.
    ///
    /// # Errors
    ///
    /// [`ParameterError::OutOfDomain`].
    pub fn with_headstart(self, headstart: f64) -> Result<Self, ParameterError> {
        let in_range = |start: f64| (0.0..=self.decision).contains(&start);
        let headstart = within("headstart", headstart, in_range, "from 0 to h")?;
        Ok(Self { headstart, ..self })
    }

    /// The same for other sides.
    pub fn with_sides(self, sides: Sides) -> Self {
        Self { sides, ..self }
    }

    /// k, in standard deviations.
    pub fn reference(&self) -> f64 {
        self.reference
    }

    /// h, in standard deviations.
    pub fn decision(&self) -> f64 {
        self.decision
    }

    /// Where the sums start, in standard deviations.
    pub fn headstart(&self) -> f64 {
        self.headstart
    }

    /// Which sums there are.
    pub fn sides(&self) -> Sides {
        self.sides
    }
}

impl Default for CusumDesign {
    /// k = ½, h = 5, two-sided, no headstart: one false signal in 465 values, a shift of one standard deviation after 10.4.
    fn default() -> Self {
        Self {
            reference: 0.5,
            decision: 5.0,
            headstart: 0.0,
            sides: Sides::Both,
        }
    }
}

/// The sums after one value, in standard deviations. The sum of a side that is not watched is 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CusumPoint {
    /// C⁺, evidence for a shift upwards.
    pub upper: f64,
    /// C⁻, evidence for a shift downwards; not negative.
    pub lower: f64,
    /// C⁺ > h.
    pub signal_upper: bool,
    /// C⁻ > h.
    pub signal_lower: bool,
}

/// The state of a CUSUM between values.
///
/// ```
/// use qipp_spc::cusum::{Cusum, CusumDesign};
///
/// let mut cusum = Cusum::new(CusumDesign::new(0.5, 4.0)?);
/// assert_eq!(cusum.update(Some(2.5)).upper, 2.0);
/// assert_eq!(cusum.update(None).upper, 2.0);
/// assert!(cusum.update(Some(3.0)).signal_upper);
/// # Ok::<(), qipp_spc::ParameterError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cusum {
    design: CusumDesign,
    upper: f64,
    lower: f64,
}

impl Cusum {
    /// At its start.
    pub fn new(design: CusumDesign) -> Self {
        let start = |watched| if watched { design.headstart } else { 0.0 };
        Self {
            design,
            upper: start(design.sides.watches_upper()),
            lower: start(design.sides.watches_lower()),
        }
    }

    /// The design it was started with.
    pub fn design(&self) -> &CusumDesign {
        &self.design
    }

    /// Takes the next standardised value. One that is missing, or not finite, keeps the sums and signals nothing.
    pub fn update(&mut self, z: Option<f64>) -> CusumPoint {
        let Some(z) = z.filter(|z| z.is_finite()) else {
            return CusumPoint {
                upper: self.upper,
                lower: self.lower,
                signal_upper: false,
                signal_lower: false,
            };
        };
        let CusumDesign {
            reference,
            decision,
            sides,
            ..
        } = self.design;
        if sides.watches_upper() {
            self.upper = (self.upper + z - reference).clamp(0.0, f64::MAX);
        }
        if sides.watches_lower() {
            self.lower = (self.lower - z - reference).clamp(0.0, f64::MAX);
        }
        CusumPoint {
            upper: self.upper,
            lower: self.lower,
            signal_upper: self.upper > decision,
            signal_lower: self.lower > decision,
        }
    }

    /// Back to the start, headstart included.
    pub fn restart(&mut self) {
        *self = Self::new(self.design);
    }

    fn follow(&mut self, z: Option<f64>, after: AfterSignal) -> CusumPoint {
        let point = self.update(z);
        if after == AfterSignal::Restart && (point.signal_upper || point.signal_lower) {
            self.restart();
        }
        point
    }
}

/// The chart of a series in time order, one point for each value, missing ones included. The point that signals shows the sum that
/// did; a restart shows from the next on.
pub fn chart(
    standard: Standard,
    design: CusumDesign,
    after: AfterSignal,
    values: &[Option<f64>],
) -> Vec<CusumPoint> {
    let mut cusum = Cusum::new(design);
    let z = |value: &Option<f64>| value.map(|value| standard.z(value));
    values
        .iter()
        .map(|value| cusum.follow(z(value), after))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn design(headstart: f64) -> CusumDesign {
        CusumDesign::new(0.5, 2.0)
            .and_then(|design| design.with_headstart(headstart))
            .unwrap()
    }

    fn uppers(points: &[CusumPoint]) -> Vec<f64> {
        points.iter().map(|point| point.upper).collect()
    }

    #[test]
    fn a_sum_by_hand() {
        let values = [1.5, 0.0, 2.0, -0.25, -4.0].map(Some);
        let points = chart(Standard::UNIT, design(0.0), AfterSignal::Continue, &values);
        assert_eq!(uppers(&points), [1.0, 0.5, 2.0, 1.25, 0.0]);
        let lowers: Vec<f64> = points.iter().map(|point| point.lower).collect();
        assert_eq!(lowers, [0.0, 0.0, 0.0, 0.0, 3.5]);
        // A sum that is exactly h is no signal.
        let signals = points
            .iter()
            .map(|point| (point.signal_upper, point.signal_lower));
        let expected = [(false, false); 4].into_iter().chain([(false, true)]);
        assert!(signals.eq(expected));
    }

    #[test]
    fn a_missing_value_keeps_the_sum_and_signals_nothing() {
        let values = [Some(3.0), None, Some(1.0), None, Some(f64::NAN), Some(0.5)];
        let points = chart(Standard::UNIT, design(0.0), AfterSignal::Continue, &values);
        assert_eq!(uppers(&points), [2.5, 2.5, 3.0, 3.0, 3.0, 3.0]);
        let signals: Vec<bool> = points.iter().map(|point| point.signal_upper).collect();
        assert_eq!(signals, [true, false, true, false, false, true]);
    }

    #[test]
    fn a_restart_goes_back_to_the_headstart() {
        let values = [2.0, 0.5, 2.0].map(Some);
        let points = chart(Standard::UNIT, design(1.0), AfterSignal::Restart, &values);
        assert_eq!(uppers(&points), [2.5, 1.0, 2.5]);
        let points = chart(Standard::UNIT, design(1.0), AfterSignal::Continue, &values);
        assert_eq!(uppers(&points), [2.5, 2.5, 4.0]);
    }

    #[test]
    fn a_side_that_is_not_watched_stays_at_zero() {
        let values = [5.0, -5.0].map(Some);
        for (sides, upper, lower) in [(Sides::Upper, 5.5, 0.0), (Sides::Lower, 0.0, 0.0)] {
            let mut cusum = Cusum::new(design(1.0).with_sides(sides));
            let point = cusum.update(values[0]);
            assert_eq!((point.upper, point.lower), (upper, lower));
        }
    }

    #[test]
    fn no_value_breaks_the_sum() {
        let mut cusum = Cusum::new(design(0.0));
        for z in [f64::MAX, f64::MAX, -f64::MAX, -f64::MAX, f64::INFINITY] {
            let point = cusum.update(Some(z));
            assert!(point.upper.is_finite() && point.lower.is_finite());
        }
    }

    #[test]
    fn designs_outside_the_domain_are_refused() {
        for (k, h) in [
            (-0.1, 4.0),
            (10.1, 4.0),
            (f64::NAN, 4.0),
            (0.5, 0.0),
            (0.5, 101.0),
            (0.5, f64::NAN),
        ] {
            let error = CusumDesign::new(k, h).unwrap_err();
            assert_eq!(error.code(), "parameter_out_of_domain");
        }
        assert!(
            CusumDesign::new(0.5, 4.0)
                .unwrap()
                .with_headstart(4.1)
                .is_err()
        );
    }
}
