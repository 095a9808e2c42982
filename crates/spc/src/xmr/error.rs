//! Why a chart could not be drawn, and what to do about it.

use thiserror::Error;

use super::{MAX_MAGNITUDE, MAX_POINTS};
use crate::Date;

/// Why there is no chart. [`XmrError::code`] is stable and for programs; the message names the remedy and is for people.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum XmrError {
    /// A series without rows.
    #[error("there are no points; give at least one date and value")]
    NoPoints,
    /// More rows than [`MAX_POINTS`].
    #[error(
        "{found} points are more than the limit of {limit}; draw a shorter period, or one series per chart"
    )]
    TooManyPoints {
        /// Rows given.
        found: usize,
        /// Rows allowed, [`MAX_POINTS`].
        limit: usize,
    },
    /// Dates and values do not pair up.
    #[error(
        "{dates} dates but {values} values; give one value, or null for missing, for each date"
    )]
    LengthsDiffer {
        /// Number of dates.
        dates: usize,
        /// Number of values.
        values: usize,
    },
    /// Text that is not a day.
    #[error("{text:?} is not a date; write a calendar day as YYYY-MM-DD, for instance 2010-04-01")]
    UnparseableDate {
        /// What was given.
        text: String,
    },
    /// Two rows of the same day.
    #[error("{date} occurs more than once; keep one row per date, or draw one chart per series")]
    DuplicateDate {
        /// The first day, in time, with two rows.
        date: Date,
    },
    /// Text, or anything else that is not a number, where a value should be.
    #[error(
        "{text} in row {row} is not a number; write plain decimals without %, currency or thousands separators, and leave \
         missing values empty (null in JSON, NA in CSV)"
    )]
    ValueNotNumeric {
        /// Row, counted from 1 in the order given.
        row: usize,
        /// What was given.
        text: String,
    },
    /// NaN, an infinity, or a magnitude beyond [`MAX_MAGNITUDE`].
    #[error(
        "the value {value} on {date} is not a finite number of at most {MAX_MAGNITUDE:e}; correct it, or mark it as missing"
    )]
    ValueOutOfRange {
        /// The day.
        date: Date,
        /// The value.
        value: f64,
    },
    /// The target is NaN, an infinity, or beyond [`MAX_MAGNITUDE`].
    #[error(
        "the target {target} is not a finite number of at most {MAX_MAGNITUDE:e}; correct it, or leave it out"
    )]
    TargetOutOfRange {
        /// The target.
        target: f64,
    },
    /// The fixed baseline is too short for limits that will not move again.
    #[error(
        "fix_after_n_points is {found} but must be at least {minimum}; use {minimum} or more, or leave it out"
    )]
    FixTooShort {
        /// Points asked for.
        found: usize,
        /// Points needed.
        minimum: usize,
    },
    /// A missing value leaves it open whether there is a trend.
    #[error(
        "a missing value among the seven rows up to {date} leaves it open whether they are a trend; fill the value in, leave \
         its row out, or set missing_in_trend to \"breaks\""
    )]
    TrendUndecided {
        /// Last day of the first seven rows that cannot be decided.
        date: Date,
    },
    /// An option of a record cannot be read.
    #[error(
        "the options cannot be read ({problem}); see the documentation of the chart record for their names and values"
    )]
    InvalidOption {
        /// What is wrong, with the name of the option where it is known.
        problem: String,
    },
}

impl XmrError {
    /// A stable, lower-case name of the kind of error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoPoints => "no_points",
            Self::TooManyPoints { .. } => "too_many_points",
            Self::LengthsDiffer { .. } => "lengths_differ",
            Self::UnparseableDate { .. } => "unparseable_date",
            Self::DuplicateDate { .. } => "duplicate_date",
            Self::ValueNotNumeric { .. } => "value_not_numeric",
            Self::ValueOutOfRange { .. } => "value_out_of_range",
            Self::TargetOutOfRange { .. } => "target_out_of_range",
            Self::FixTooShort { .. } => "fix_too_short",
            Self::TrendUndecided { .. } => "trend_undecided",
            Self::InvalidOption { .. } => "invalid_option",
        }
    }

    /// The day the error is about, if it is about one.
    pub fn date(&self) -> Option<Date> {
        match self {
            Self::DuplicateDate { date }
            | Self::ValueOutOfRange { date, .. }
            | Self::TrendUndecided { date } => Some(*date),
            _ => None,
        }
    }
}

/// The start of a text that could not be read: enough to find it, not so much that a bad file fills the log.
pub(crate) fn excerpt(text: &str) -> String {
    const SHOWN: usize = 40;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

const _: () = assert!(
    MAX_POINTS as f64 * MAX_MAGNITUDE < f64::MAX / 10.0,
    "sums of allowed values stay finite"
);
