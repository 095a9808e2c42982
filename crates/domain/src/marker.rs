//! Markers: what is measured, under which version of its definition, and in which part.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::code::{CodeError, CodeVisitor, Inline};
use crate::{MarkerCode, Period};

/// Quality domain of a marker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum QualityDomain {
    /// Waiting and getting in.
    Access,
    /// Avoidable harm.
    Safety,
    /// Outcomes.
    Effectiveness,
    /// What patients say.
    Experience,
    /// Staff.
    Workforce,
    /// How much was done.
    Activity,
    /// What it cost or used.
    Value,
}

impl QualityDomain {
    /// All domains with their names.
    pub const NAMES: [(Self, &'static str); 7] = [
        (Self::Access, "access"),
        (Self::Safety, "safety"),
        (Self::Effectiveness, "effectiveness"),
        (Self::Experience, "experience"),
        (Self::Workforce, "workforce"),
        (Self::Activity, "activity"),
        (Self::Value, "value"),
    ];

    /// The name, as in the catalogue.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::NAMES
            .iter()
            .find(|(domain, _)| *domain == self)
            .map_or("", |(_, name)| name)
    }

    /// The domain of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::NAMES
            .iter()
            .find(|(_, n)| *n == name)
            .map(|(domain, _)| *domain)
    }

    /// One of the five domains in which a slip counts for R01: not activity and not value.
    #[must_use]
    pub fn is_quality(self) -> bool {
        !matches!(self, Self::Activity | Self::Value)
    }
}

/// Which way is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Polarity {
    /// More is better.
    HigherIsBetter,
    /// Less is better.
    LowerIsBetter,
    /// Neither by itself.
    Neutral,
}

/// How values of several organisations become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum RollUp {
    /// Numerators and denominators add.
    Parts,
    /// Values add.
    Sum,
    /// Cannot be added.
    None,
}

/// What a marker does in alerts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum TriggerRole {
    /// A slip counts.
    Trigger,
    /// Read along with others; does not count.
    Context,
    /// Says how much was done.
    Activity,
    /// A single event counts.
    Sentinel,
}

impl TriggerRole {
    /// All roles with their names.
    pub const NAMES: [(Self, &'static str); 4] = [
        (Self::Trigger, "trigger"),
        (Self::Context, "context"),
        (Self::Activity, "activity"),
        (Self::Sentinel, "sentinel"),
    ];

    /// The name, as in the catalogue.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::NAMES
            .iter()
            .find(|(role, _)| *role == self)
            .map_or("", |(_, name)| name)
    }

    /// The role of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::NAMES
            .iter()
            .find(|(_, n)| *n == name)
            .map(|(role, _)| *role)
    }
}

/// One version of the definition of a marker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MarkerDefinition {
    /// The marker.
    pub marker: MarkerCode,
    /// From 1.
    pub version: u32,
    /// What people call it.
    pub name: String,
    /// Quality domain.
    pub domain: QualityDomain,
    /// What is counted.
    pub numerator: String,
    /// Of what; empty for a marker that has only a value.
    pub denominator: String,
    /// As people read it.
    pub unit: String,
    /// Which way is better.
    pub polarity: Polarity,
    /// How it adds up.
    pub roll_up: RollUp,
    /// Role in alerts.
    pub role: TriggerRole,
    /// The numerator counts a part of the denominator and can't exceed it.
    pub proportion: bool,
    /// First period for which it may be returned.
    pub valid_from: Option<Period>,
    /// First period for which it may no longer be returned.
    pub valid_until: Option<Period>,
    /// The marker that follows when this one is retired.
    pub successor: String,
    /// National standard in words.
    pub standard: String,
    /// Days from the end of the period to publication.
    pub publication_lag_days: u32,
    /// Traps, breaks, sources.
    pub notes: String,
}

impl MarkerDefinition {
    /// May this version be returned for the period?
    #[must_use]
    pub fn is_valid_for(&self, period: Period) -> bool {
        self.valid_from.is_none_or(|from| from <= period)
            && self.valid_until.is_none_or(|until| period < until)
    }

    /// Does the marker have a denominator?
    #[must_use]
    pub fn has_denominator(&self) -> bool {
        !self.denominator.is_empty()
    }
}

/// A part of a marker: a dimension and a code in it, for example `tfc:100`. Parts are never added to the whole.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Breakdown(Inline<24>);

impl Breakdown {
    /// Parses `dimension:code`.
    ///
    /// # Errors
    /// [`CodeError`] when the text does not have that form.
    pub fn new(text: &str) -> Result<Self, CodeError> {
        let fits = text.len() <= 24
            && text.split_once(':').is_some_and(|(dimension, code)| {
                !dimension.is_empty()
                    && !code.is_empty()
                    && dimension
                        .bytes()
                        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
                    && code
                        .bytes()
                        .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
            });
        fits.then(|| Inline::new(text))
            .flatten()
            .map(Self)
            .ok_or_else(|| CodeError {
                text: text.chars().take(40).collect(),
                what: "a breakdown",
                rule: "`dimension:code` of at most 24 characters, for example tfc:100",
            })
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl FromStr for Breakdown {
    type Err = CodeError;
    fn from_str(text: &str) -> Result<Self, CodeError> {
        Self::new(text)
    }
}

impl fmt::Display for Breakdown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Breakdown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Breakdown {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Breakdown {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(CodeVisitor(Self::new, "a breakdown"))
    }
}

/// What a series is of, within an organisation: a marker, whole or a part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SeriesKey {
    /// The marker.
    pub marker: MarkerCode,
    /// The part; `None` is the whole.
    pub breakdown: Option<Breakdown>,
}

impl SeriesKey {
    /// The marker as a whole.
    #[must_use]
    pub fn whole(marker: MarkerCode) -> Self {
        Self {
            marker,
            breakdown: None,
        }
    }
}

impl fmt::Display for SeriesKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.breakdown {
            None => write!(f, "{}", self.marker),
            Some(part) => write!(f, "{} {part}", self.marker),
        }
    }
}
