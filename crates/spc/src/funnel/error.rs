//! Why a funnel could not be drawn, and what to do about it.

use thiserror::Error;

use super::{MAX_COUNT, MAX_ROWS};

/// Why there is no funnel. [`FunnelError::code`] is stable and for programs; the message names the remedy and is for people.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum FunnelError {
    /// No rows.
    #[error("there are no groups; give at least one group, numerator and denominator")]
    NoRows,
    /// More rows than [`MAX_ROWS`].
    #[error("{found} rows are more than the limit of {limit}; add them up by group first")]
    TooManyRows {
        /// Rows given.
        found: usize,
        /// Rows allowed, [`MAX_ROWS`].
        limit: usize,
    },
    /// Groups, numerators and denominators do not go together.
    #[error(
        "{groups} groups, {numerators} numerators and {denominators} denominators; give one of each for every row"
    )]
    LengthsDiffer {
        /// Number of groups.
        groups: usize,
        /// Number of numerators.
        numerators: usize,
        /// Number of denominators.
        denominators: usize,
    },
    /// A line of a CSV without three cells.
    #[error("{found} cells instead of 3; write group,numerator,denominator")]
    WrongCells {
        /// Cells found.
        found: usize,
    },
    /// Anything but text where a group's name should be.
    #[error("{text} in row {row} is not a name; write each group as a string")]
    GroupNotText {
        /// Row, counted from 1.
        row: usize,
        /// What was given.
        text: String,
    },
    /// Text, or a missing value, where a number should be.
    #[error(
        "{text} in row {row} is not a number; write plain decimals without % or thousands separators, and leave out rows of which \
         a number is missing"
    )]
    ValueNotNumeric {
        /// Row, counted from 1.
        row: usize,
        /// What was given.
        text: String,
    },
    /// Negative, NaN, or beyond [`MAX_COUNT`].
    #[error(
        "the {field} {value} in row {row} is not from 0 to {MAX_COUNT:e}; correct it or leave the row out"
    )]
    CountOutOfRange {
        /// Row, counted from 1.
        row: usize,
        /// `numerator` or `denominator`.
        field: &'static str,
        /// The value.
        value: f64,
    },
    /// A group whose denominator is nothing, or rounds to nothing.
    #[error("the denominator of {group:?} is 0, so it has no ratio; leave the group out")]
    NoDenominator {
        /// The group.
        group: String,
    },
    /// A proportion above 1.
    #[error(
        "the numerator of {group:?} is larger than its denominator, so it is no proportion; correct it, or use data_type RC for a \
         ratio of counts"
    )]
    MoreThanAll {
        /// The group.
        group: String,
    },
    /// A ratio of counts without any.
    #[error(
        "all numerators are 0, and the logarithm of 0 has no limits; draw it as a proportion (PR)"
    )]
    NoEvents,
    /// Every numerator is its denominator, which the package takes for a mistake.
    #[error(
        "numerator and denominator are the same in every group; check that the right columns were given"
    )]
    NumeratorIsDenominator,
    /// Trimming half or more at each end leaves nothing.
    #[error("trim_by is {trim_by} but must be from 0 to below 0.5; 0.1 is usual")]
    TrimOutOfRange {
        /// The share asked for.
        trim_by: f64,
    },
    /// A multiplier that is not positive.
    #[error(
        "the multiplier {multiplier} is not above 0 and up to {MAX_COUNT:e}; 1, 100 and 1000 are usual"
    )]
    MultiplierOutOfRange {
        /// The multiplier.
        multiplier: f64,
    },
    /// An option of a record cannot be read.
    #[error(
        "the options cannot be read ({problem}); see the documentation of the funnel record for their names and values"
    )]
    InvalidOption {
        /// What is wrong, with the name of the option where it is known.
        problem: String,
    },
}

impl FunnelError {
    /// A stable, lower-case name of the kind of error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoRows => "no_rows",
            Self::TooManyRows { .. } => "too_many_rows",
            Self::LengthsDiffer { .. } => "lengths_differ",
            Self::WrongCells { .. } => "wrong_cells",
            Self::GroupNotText { .. } => "group_not_text",
            Self::ValueNotNumeric { .. } => "value_not_numeric",
            Self::CountOutOfRange { .. } => "count_out_of_range",
            Self::NoDenominator { .. } => "no_denominator",
            Self::MoreThanAll { .. } => "more_than_all",
            Self::NoEvents => "no_events",
            Self::NumeratorIsDenominator => "numerator_is_denominator",
            Self::TrimOutOfRange { .. } => "trim_out_of_range",
            Self::MultiplierOutOfRange { .. } => "multiplier_out_of_range",
            Self::InvalidOption { .. } => "invalid_option",
        }
    }

    /// The row the error is about, counted from 1, if it is about one.
    pub fn row(&self) -> Option<usize> {
        match self {
            Self::GroupNotText { row, .. }
            | Self::ValueNotNumeric { row, .. }
            | Self::CountOutOfRange { row, .. } => Some(*row),
            _ => None,
        }
    }
}

const _: () = assert!(
    MAX_ROWS as f64 * MAX_COUNT < 1e18,
    "sums of allowed counts are far from overflow"
);
