//! The scale on which a series is watched: its in-control mean and standard deviation.

use crate::ParameterError;
use crate::baseline::D2_FOR_PAIRS;
use crate::mean;
use crate::parameter::within;
use crate::xmr::MAX_MAGNITUDE;

/// In-control mean and standard deviation, in the units of the series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Standard {
    mean: f64,
    sigma: f64,
}

impl Standard {
    /// The z-scale itself: mean 0 and standard deviation 1.
    pub const UNIT: Self = Self {
        mean: 0.0,
        sigma: 1.0,
    };

    /// A known mean (at most 1e300 in magnitude) and standard deviation (from 1e-300 to 1e300).
    ///
    /// # Errors
    ///
    /// [`ParameterError::OutOfDomain`].
    pub fn new(mean: f64, sigma: f64) -> Result<Self, ParameterError> {
        let mean = within(
            "mean",
            mean,
            |mean| mean.abs() <= MAX_MAGNITUDE,
            "of at most 1e300 in magnitude",
        )?;
        let in_range = |sigma: f64| (1.0 / MAX_MAGNITUDE..=MAX_MAGNITUDE).contains(&sigma);
        let sigma = within("sigma", sigma, in_range, "from 1e-300 to 1e300")?;
        Ok(Self { mean, sigma })
    }

    /// Estimated from a baseline in time order: the arithmetic mean, and `MRbar / 1.128`, where MRbar is the mean of
    /// `|x_i − x_{i−1}|` over neighbours that are both there, as on an XmR chart without screening.
    ///
    /// Valid for independent values: with positive autocorrelation MRbar understates the spread (on monthly series of waiting times
    /// it gives 0.6 of it), and false signals multiply; remove the autocorrelation first, or give sigma. Run lengths are those of
    /// known parameters: with ones estimated from a few dozen values they vary widely from baseline to baseline.
    ///
    /// # Errors
    ///
    /// [`ParameterError::TooFewValues`] without one pair of neighbours, [`ParameterError::NoSpread`] when nothing varies,
    /// [`ParameterError::OutOfDomain`] for values beyond 1e300.
    pub fn from_baseline(values: &[Option<f64>]) -> Result<Self, ParameterError> {
        let centre = mean(values.iter().flatten().copied());
        let ranges = values
            .windows(2)
            .filter_map(|pair| Some((pair[1]? - pair[0]?).abs()));
        let (Some(centre), Some(range)) = (centre, mean(ranges)) else {
            let found = values.iter().flatten().count();
            return Err(ParameterError::TooFewValues { found, needed: 2 });
        };
        // Below this, what varies is rounding.
        if range <= 1e-12 * centre.abs() {
            return Err(ParameterError::NoSpread);
        }
        Self::new(centre, range / D2_FOR_PAIRS)
    }

    /// The in-control mean.
    pub fn mean(self) -> f64 {
        self.mean
    }

    /// The in-control standard deviation.
    pub fn sigma(self) -> f64 {
        self.sigma
    }

    /// `z = (x − mean) / sigma`, held within ±1e300.
    pub fn z(self, value: f64) -> f64 {
        ((value - self.mean) / self.sigma).clamp(-MAX_MAGNITUDE, MAX_MAGNITUDE)
    }
}

/// Which way a departure from the standard goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sides {
    /// Only upwards.
    Upper,
    /// Only downwards.
    Lower,
    /// Both ways.
    Both,
}

impl Sides {
    pub(crate) fn watches_upper(self) -> bool {
        self != Self::Lower
    }

    pub(crate) fn watches_lower(self) -> bool {
        self != Self::Upper
    }
}

/// What a chart does after a signal. Run lengths are those to the first signal and the same for both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum AfterSignal {
    /// Goes on, and signals until the evidence is gone. The default: an alert explains nothing yet, so nothing is forgotten.
    #[default]
    Continue,
    /// Starts again at the next value, with the headstart if there is one: for a cause that was found and removed.
    Restart,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_value_removes_both_ranges_beside_it() {
        let values = [Some(1.0), Some(3.0), None, Some(10.0), Some(14.0)];
        let standard = Standard::from_baseline(&values).unwrap();
        assert_eq!((standard.mean(), standard.sigma()), (7.0, 3.0 / 1.128));
    }

    #[test]
    fn what_gives_no_scale_is_refused() {
        let code = |values: &[Option<f64>]| Standard::from_baseline(values).unwrap_err().code();
        assert_eq!(code(&[]), "too_few_values");
        assert_eq!(code(&[Some(1.0), None, Some(2.0)]), "too_few_values");
        assert_eq!(code(&[Some(0.1); 9]), "no_spread");
        assert_eq!(code(&[Some(f64::NAN); 2]), "parameter_out_of_domain");
        for sigma in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e-320] {
            assert_eq!(
                Standard::new(0.0, sigma).unwrap_err().code(),
                "parameter_out_of_domain"
            );
        }
        assert!(Standard::new(f64::NAN, 1.0).is_err());
    }
}
