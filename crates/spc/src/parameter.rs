//! Why a design, a scale or a list of p-values cannot be used, and what to do about it.

use thiserror::Error;

/// Why there is no answer. [`ParameterError::code`] is stable and for programs; the message names the remedy and is for people.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum ParameterError {
    /// A parameter outside the domain for which its method is valid, or computed accurately.
    #[error("{name} is {value}; give a number {domain}")]
    OutOfDomain {
        /// The parameter.
        name: &'static str,
        /// What was given.
        value: f64,
        /// What is allowed, in words.
        domain: &'static str,
    },
    /// No design has the wanted run length.
    #[error(
        "no design has the average run length {wanted}: with these parameters it is from {shortest:.4} to {longest:.4e}; ask for one between"
    )]
    Unreachable {
        /// The run length asked for.
        wanted: f64,
        /// The shortest there is.
        shortest: f64,
        /// The longest within the domain.
        longest: f64,
    },
    /// The average run length is no longer a float.
    #[error(
        "the average run length is beyond 1e300; such a chart never signals, use a lower limit or a larger shift"
    )]
    RunLengthTooLong,
    /// Not enough values to estimate from.
    #[error(
        "{found} values are too few; at least {needed} are needed, or give the parameters themselves"
    )]
    TooFewValues {
        /// Values that are not missing.
        found: usize,
        /// The least number.
        needed: usize,
    },
    /// Too many values at once.
    #[error("{found} values are more than the limit of {limit}; split them")]
    TooManyValues {
        /// Values given.
        found: usize,
        /// The most there may be.
        limit: usize,
    },
    /// A baseline that does not vary.
    #[error(
        "the baseline does not vary, so that nothing can be measured against its spread; give sigma, or a longer baseline"
    )]
    NoSpread,
    /// An entry of a list that is outside its domain.
    #[error("{name} {place} of the list is {value}; give a number {domain}")]
    EntryOutOfDomain {
        /// What the list holds.
        name: &'static str,
        /// Its place, from 1.
        place: usize,
        /// What was given.
        value: f64,
        /// What is allowed, in words.
        domain: &'static str,
    },
    /// Two lists that do not pair up.
    #[error("{first} entries but {second}; give one of each for every hypothesis")]
    LengthsDiffer {
        /// Entries of the first list.
        first: usize,
        /// Entries of the second list.
        second: usize,
    },
    /// A fit that did not settle.
    #[error(
        "the fit of {what} did not settle; use the theoretical null, or look at the z-values: they may hold ties, gaps or two separate groups"
    )]
    NoFit {
        /// What was fitted.
        what: &'static str,
    },
}

impl ParameterError {
    /// A stable, lower-case name of the kind of error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::OutOfDomain { .. } => "parameter_out_of_domain",
            Self::Unreachable { .. } => "run_length_unreachable",
            Self::RunLengthTooLong => "run_length_too_long",
            Self::TooFewValues { .. } => "too_few_values",
            Self::TooManyValues { .. } => "too_many_values",
            Self::NoSpread => "no_spread",
            Self::EntryOutOfDomain { .. } => "entry_out_of_domain",
            Self::LengthsDiffer { .. } => "lengths_differ",
            Self::NoFit { .. } => "no_fit",
        }
    }
}

/// `value`, if it is one of `allowed`; NaN never is.
pub(crate) fn within(
    name: &'static str,
    value: f64,
    allowed: impl Fn(f64) -> bool,
    domain: &'static str,
) -> Result<f64, ParameterError> {
    if value.is_finite() && allowed(value) {
        Ok(value)
    } else {
        Err(ParameterError::OutOfDomain {
            name,
            value,
            domain,
        })
    }
}
