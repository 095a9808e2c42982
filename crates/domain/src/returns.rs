//! Returns and their revisions: how a thing that arrives becomes a revision, a repeat or a conflict.
//!
//! [`History`] is the one deciding fold of the house, used for returns and for schemes alike. `decide` says what a command would
//! become, `apply` makes it so. Both are functions of what the lane held before, so every replica reaches the same answer, and the
//! answer for a position can be found again at any later time.

mod changes;
mod history;
mod observations;

use serde::{Deserialize, Serialize};

pub use changes::{Change, changes};
pub(crate) use history::Alias;
pub use history::{Decision, History, Precondition, Revision};
pub use observations::{Column, Observations, PackError, Shape};
pub(crate) use observations::{Figure, Scaled};

use crate::marker::SeriesKey;
use crate::{OrgCode, Pence, Period, Quantity, SchemeId};

/// Which return.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Dataset {
    /// Planned and delivered savings.
    Savings,
    /// Quality markers.
    Quality,
}

impl Dataset {
    /// `savings` or `quality`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Savings => "savings",
            Self::Quality => "quality",
        }
    }
}

/// How firm the figures are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Status {
    /// Will be refreshed.
    Provisional,
    /// Stands.
    Final,
    /// Corrects a final one.
    Restated,
}

/// Why there is no figure. None of these is zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Missing {
    /// Nothing was sent.
    NotSubmitted,
    /// The organisation does not collect it.
    NotCollected,
    /// It can't apply.
    NotApplicable,
    /// Its quality is in doubt.
    WithheldForQuality,
    /// Suppressed to protect small numbers.
    Suppressed,
}

impl Missing {
    /// All reasons with their names.
    pub const NAMES: [(Self, &'static str); 5] = [
        (Self::NotSubmitted, "not_submitted"),
        (Self::NotCollected, "not_collected"),
        (Self::NotApplicable, "not_applicable"),
        (Self::WithheldForQuality, "withheld_for_quality"),
        (Self::Suppressed, "suppressed"),
    ];

    /// The name.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::NAMES
            .iter()
            .find(|(m, _)| *m == self)
            .map_or("", |(_, name)| name)
    }

    /// The reason of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::NAMES
            .iter()
            .find(|(_, n)| *n == name)
            .map(|(m, _)| *m)
    }
}

/// A figure and its parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measured {
    /// What was counted.
    pub numerator: Quantity,
    /// Of what; `None` for a marker that has only a value.
    pub denominator: Option<Quantity>,
}

impl Measured {
    /// Numerator over denominator, or the value itself; `None` when the denominator is 0.
    #[must_use]
    pub fn value(self) -> Option<f64> {
        match self.denominator {
            None => Some(self.numerator.to_f64()),
            Some(d) if d.thousandths() == 0 => None,
            Some(d) => Some(self.numerator.to_f64() / d.to_f64()),
        }
    }
}

/// A figure, or the reason why there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Value {
    /// A figure.
    Measured(Measured),
    /// No figure.
    Missing(Missing),
}

/// One marker (or a part of one) in one month.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    /// Marker and part.
    pub key: SeriesKey,
    /// Version of the definition that the figures follow.
    pub definition_version: u32,
    /// Figure or reason.
    pub value: Value,
    /// The figures are simulated.
    pub simulated: bool,
}

/// One scheme in one month.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavingsLine {
    /// The scheme.
    pub scheme: SchemeId,
    /// Planned for the month.
    pub plan: Option<Pence>,
    /// Delivered in the month.
    pub actual: Option<Pence>,
    /// Delivered since April.
    pub actual_ytd: Option<Pence>,
    /// Expected for the financial year.
    pub forecast: Option<Pence>,
    /// Recurrent part of what was delivered in the month.
    pub recurrent: Option<Pence>,
    /// Why there is no figure.
    pub missing: Option<Missing>,
    /// The figures are simulated.
    pub simulated: bool,
}

/// What a return says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// Lines by scheme, in order of the scheme's identifier.
    Savings(Vec<SavingsLine>),
    /// Observations in order of their key.
    Quality(Observations),
}

impl Body {
    /// Which dataset it is of.
    #[must_use]
    pub fn dataset(&self) -> Dataset {
        match self {
            Self::Savings(_) => Dataset::Savings,
            Self::Quality(_) => Dataset::Quality,
        }
    }

    /// Number of values (lines or observations).
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Savings(lines) => lines.len(),
            Self::Quality(observations) => observations.len(),
        }
    }

    /// Says nothing?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The content of a return: two returns with equal content say the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReturnContent {
    /// How firm.
    pub status: Status,
    /// Where from, in words.
    pub source: String,
    /// Remarks.
    pub narrative: String,
    /// The figures.
    pub body: Body,
}

impl ReturnContent {
    /// The observation of a series.
    #[must_use]
    pub fn observation(&self, key: SeriesKey) -> Option<Observation> {
        match &self.body {
            Body::Quality(observations) => observations.get(key),
            Body::Savings(_) => None,
        }
    }
}

/// A return of an organisation, as it goes to the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Return {
    /// Whose.
    pub org: OrgCode,
    /// About which month.
    pub period: Period,
    /// The figures.
    pub content: ReturnContent,
    /// How it wants to be decided.
    pub precondition: Precondition,
}
