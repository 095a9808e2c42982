//! Why a panel could not be assessed, and what to do about it.

use thiserror::Error;

use super::{MAX_MARKERS, Options, Panel};

/// Why there is no assessment. [`SurveillanceError::code`] is stable and for programs; the message names the remedy.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum SurveillanceError {
    /// Values or starts that do not fill the panel.
    #[error(
        "{name} has {found} entries where the panel has room for {expected}; give one for each"
    )]
    WrongLength {
        /// `values` or `starts`.
        name: &'static str,
        /// Entries given.
        found: usize,
        /// Entries that belong there.
        expected: usize,
    },
    /// A value that is infinite or so large that its square is.
    #[error(
        "the value {value} at index {index} is too large to be computed with; correct it, or make it NaN for missing"
    )]
    ValueOutOfRange {
        /// Index into `values`.
        index: usize,
        /// What was given.
        value: f64,
    },
    /// A month that the panel does not have.
    #[error(
        "the assessment is to end before month {end}, and the panel has {months}; choose from 1 to {months}"
    )]
    NoSuchMonth {
        /// What was asked for.
        end: usize,
        /// Months of the panel.
        months: usize,
    },
    /// A series that does not exist, that has two places, an empty domain, no domains, or too many markers.
    #[error(
        "the design does not fit: give savings and 1 to {MAX_MARKERS} markers in domains that are not empty, each series once \
         and below {series}"
    )]
    Design {
        /// Series of the panel.
        series: usize,
    },
    /// An option out of its range.
    #[error("the option {name} is {value}, and has to be {range}")]
    Option {
        /// Which option.
        name: &'static str,
        /// What was given.
        value: f64,
        /// What is taken.
        range: &'static str,
    },
}

impl SurveillanceError {
    /// A stable code for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::WrongLength { .. } => "PANEL_WRONG_LENGTH",
            Self::ValueOutOfRange { .. } => "PANEL_VALUE_OUT_OF_RANGE",
            Self::NoSuchMonth { .. } => "PANEL_NO_SUCH_MONTH",
            Self::Design { .. } => "PANEL_DESIGN",
            Self::Option { .. } => "SURVEILLANCE_OPTION",
        }
    }
}

/// Largest absolute value: squares of sums over a panel stay finite.
const MAX_MAGNITUDE: f64 = 1e100;

pub(super) fn check(panel: &Panel, end: usize, options: &Options) -> Result<(), SurveillanceError> {
    let expected = panel
        .units
        .saturating_mul(panel.series)
        .saturating_mul(panel.months);
    for (name, found, expected) in [
        ("values", panel.values.len(), expected),
        ("starts", panel.starts.len(), panel.units),
    ] {
        if found != expected {
            return Err(SurveillanceError::WrongLength {
                name,
                found,
                expected,
            });
        }
    }
    if end == 0 || end > panel.months {
        return Err(SurveillanceError::NoSuchMonth {
            end,
            months: panel.months,
        });
    }
    if let Some((index, value)) = panel
        .values
        .iter()
        .enumerate()
        .find(|(_, v)| v.abs() > MAX_MAGNITUDE)
    {
        return Err(SurveillanceError::ValueOutOfRange {
            index,
            value: *value,
        });
    }
    let mut all = panel.design.markers();
    let markers = all.len();
    all.push(panel.design.savings);
    all.sort_unstable();
    let twice = all.windows(2).any(|pair| pair[0] == pair[1]);
    let empty = markers == 0 || panel.design.domains.iter().any(Vec::is_empty);
    if twice || empty || markers > MAX_MARKERS || all.last().is_some_and(|s| *s >= panel.series) {
        return Err(SurveillanceError::Design {
            series: panel.series,
        });
    }
    let rates = [
        ("alert_q", options.alert_q),
        ("watch_q", options.watch_q),
        ("marker_q", options.marker_q),
    ];
    if let Some((name, value)) = rates.into_iter().find(|(_, q)| !(*q > 0.0 && *q < 1.0)) {
        return Err(SurveillanceError::Option {
            name,
            value,
            range: "between 0 and 1",
        });
    }
    if !(12..=600).contains(&options.baseline_months) {
        let value = options.baseline_months as f64;
        return Err(SurveillanceError::Option {
            name: "baseline_months",
            value,
            range: "12 to 600",
        });
    }
    if !(99..=1_000_000).contains(&options.resamples) {
        let value = options.resamples as f64;
        return Err(SurveillanceError::Option {
            name: "resamples",
            value,
            range: "99 to 1,000,000",
        });
    }
    Ok(())
}
