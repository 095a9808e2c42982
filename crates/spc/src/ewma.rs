//! Exponentially weighted moving averages (EWMA): the recent level, with weights that fade.
//!
//! On standardised values `z_t` (in control N(0, 1)), with the weight λ of the newest value and limits at L standard deviations of the average:
//!
//! ```text
//! W_0 = 0,  W_t = λ z_t + (1 − λ) W_{t−1}
//! fixed limits          ± L √(λ / (2 − λ))
//! time-varying limits   ± L √(λ / (2 − λ) · (1 − (1 − λ)^{2t}))        signal when W_t is outside
//! ```
//!
//! The fixed limits are those of a long series; the time-varying ones are the exact ones after t values and find a process that is out of control
//! from the beginning sooner. λ = 1 is a Shewhart chart; small λ finds small shifts. Run lengths are in
//! [`run_length`](crate::run_length).
//!
//! A **missing value keeps the state**: average and t stay, as on a [CUSUM](crate::cusum). Valid for independent, roughly normal values with known
//! mean and standard deviation; less sensitive to their shape than a Shewhart chart when λ is small (Borror, Montgomery & Runger 1999).
//!
//! Sources: Roberts (1959), Technometrics 1:239; Lucas & Saccucci (1990), Technometrics 32:1; Steiner (1999), J. Qual. Technol. 31:75
//! (time-varying limits).

use crate::ParameterError;
use crate::parameter::within;
use crate::standard::{AfterSignal, Standard};

/// Which limits an EWMA chart has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EwmaLimits {
    /// Those of a long series, from the beginning.
    Fixed,
    /// The exact ones after each value.
    TimeVarying,
}

/// λ, L and the kind of limits, each within its domain.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EwmaDesign {
    lambda: f64,
    width: f64,
    limits: EwmaLimits,
}

impl EwmaDesign {
    /// `lambda` from 0.01 to 1; `width` L above 0 and up to 6, in standard deviations of the average.
    ///
    /// # Errors
    ///
    /// [`ParameterError::OutOfDomain`].
    pub fn new(lambda: f64, width: f64, limits: EwmaLimits) -> Result<Self, ParameterError> {
        let in_range = |lambda: f64| (0.01..=1.0).contains(&lambda);
        let lambda = within("lambda", lambda, in_range, "from 0.01 to 1")?;
        let in_range = |width: f64| width > 0.0 && width <= MAX_WIDTH;
        let width = within("L", width, in_range, "above 0 and up to 6")?;
        Ok(Self {
            lambda,
            width,
            limits,
        })
    }

    /// λ, the weight of the newest value.
    pub fn lambda(&self) -> f64 {
        self.lambda
    }

    /// L, in standard deviations of the average.
    pub fn width(&self) -> f64 {
        self.width
    }

    /// Which limits.
    pub fn limits(&self) -> EwmaLimits {
        self.limits
    }

    /// The limit of a long series, `L √(λ / (2 − λ))`, in standard deviations of the values.
    pub(crate) fn final_limit(&self) -> f64 {
        self.width * (self.lambda / (2.0 - self.lambda)).sqrt()
    }
}

impl Default for EwmaDesign {
    /// λ = 0.2, L = 2.86, fixed limits: one false signal in 371 values, a shift of one standard deviation after 9.8.
    fn default() -> Self {
        Self {
            lambda: 0.2,
            width: 2.86,
            limits: EwmaLimits::Fixed,
        }
    }
}

/// The largest L.
pub const MAX_WIDTH: f64 = 6.0;

/// The average after one value, and its limit, in standard deviations of the values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EwmaPoint {
    /// W.
    pub average: f64,
    /// The limits are plus and minus this. Before the first value of time-varying limits it is 0.
    pub limit: f64,
    /// W above the upper limit.
    pub signal_upper: bool,
    /// W below the lower limit.
    pub signal_lower: bool,
}

/// The state of an EWMA between values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ewma {
    design: EwmaDesign,
    average: f64,
    // (1 − λ)^{2t}: what is left of the start in the variance.
    left_of_start: f64,
}

impl Ewma {
    /// At its start.
    pub fn new(design: EwmaDesign) -> Self {
        Self {
            design,
            average: 0.0,
            left_of_start: 1.0,
        }
    }

    /// The design it was started with.
    pub fn design(&self) -> &EwmaDesign {
        &self.design
    }

    /// Takes the next standardised value. One that is missing, or not finite, keeps the average and signals nothing.
    pub fn update(&mut self, z: Option<f64>) -> EwmaPoint {
        let present = z.filter(|z| z.is_finite());
        if let Some(z) = present {
            let keep = 1.0 - self.design.lambda;
            // A mean of what is there: it cannot leave the range of the values, nor of the floats.
            self.average = self.design.lambda * z + keep * self.average;
            self.left_of_start *= keep * keep;
        }
        let limit = match self.design.limits {
            EwmaLimits::Fixed => self.design.final_limit(),
            EwmaLimits::TimeVarying => {
                self.design.final_limit() * (1.0 - self.left_of_start).sqrt()
            }
        };
        EwmaPoint {
            average: self.average,
            limit,
            signal_upper: present.is_some() && self.average > limit,
            signal_lower: present.is_some() && self.average < -limit,
        }
    }

    /// Back to the start.
    pub fn restart(&mut self) {
        *self = Self::new(self.design);
    }
}

/// The chart of a series in time order, one point for each value, missing ones included.
pub fn chart(
    standard: Standard,
    design: EwmaDesign,
    after: AfterSignal,
    values: &[Option<f64>],
) -> Vec<EwmaPoint> {
    let mut ewma = Ewma::new(design);
    values
        .iter()
        .map(|value| {
            let point = ewma.update(value.map(|value| standard.z(value)));
            if after == AfterSignal::Restart && (point.signal_upper || point.signal_lower) {
                ewma.restart();
            }
            point
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn design(limits: EwmaLimits) -> EwmaDesign {
        EwmaDesign::new(0.5, 3.0, limits).unwrap()
    }

    #[test]
    fn an_average_by_hand() {
        let values = [Some(2.0), None, Some(-1.0), Some(8.0)];
        let after = AfterSignal::Continue;
        let points = chart(Standard::UNIT, design(EwmaLimits::Fixed), after, &values);
        let averages: Vec<f64> = points.iter().map(|point| point.average).collect();
        assert_eq!(averages, [1.0, 1.0, 0.0, 4.0]);
        assert!(
            points
                .iter()
                .all(|point| (point.limit - 3.0_f64.sqrt()).abs() < 1e-15)
        );
        assert!(points[3].signal_upper && !points[2].signal_upper);
    }

    #[test]
    fn time_varying_limits_are_those_of_the_variance_of_the_average() {
        // Variance of W_t is the sum of the squared weights: λ², λ² + λ²(1 − λ)², ...
        let mut ewma = Ewma::new(design(EwmaLimits::TimeVarying));
        let mut variance = 0.0;
        assert_eq!(ewma.update(None).limit, 0.0);
        for _ in 0..50 {
            variance = 0.25 + 0.25 * variance;
            let limit = ewma.update(Some(0.0)).limit;
            assert!((limit - 3.0 * f64::sqrt(variance)).abs() < 1e-14);
            assert_eq!(ewma.update(None).limit, limit);
        }
        let fixed = Ewma::new(design(EwmaLimits::Fixed)).update(None).limit;
        assert!((ewma.update(None).limit - fixed).abs() < 1e-14);
    }

    #[test]
    fn a_restart_forgets_average_and_time() {
        let values = [10.0, 0.0].map(Some);
        let varying = design(EwmaLimits::TimeVarying);
        let points = chart(Standard::UNIT, varying, AfterSignal::Restart, &values);
        assert_eq!((points[0].average, points[1].average), (5.0, 0.0));
        assert_eq!(points[0].limit, points[1].limit);
    }

    #[test]
    fn no_value_breaks_the_average_and_no_bad_design_is_made() {
        let mut ewma = Ewma::new(design(EwmaLimits::Fixed));
        for z in [f64::MAX, f64::MAX, -f64::MAX, f64::INFINITY, f64::NAN] {
            assert!(ewma.update(Some(z)).average.is_finite());
        }
        for (lambda, width) in [
            (0.0, 3.0),
            (1.1, 3.0),
            (f64::NAN, 3.0),
            (0.2, 0.0),
            (0.2, 7.0),
        ] {
            assert!(EwmaDesign::new(lambda, width, EwmaLimits::Fixed).is_err());
        }
    }
}
