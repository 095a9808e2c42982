//! The series of a marker: its own figures next to the national ones of the same months, and the difference on a scale where
//! differences mean the same everywhere.
//!
//! Holding a month against the national value of the same month takes out the season and whatever else hits everybody
//! (report §0.4: on real A&E data, winter flags fall from 45% of months to 25%).

use std::collections::HashMap;

use qipp_domain::benchmark::NationalValue;
use qipp_domain::marker::MarkerDefinition;
use qipp_domain::nation::{Ledger, Nation};
use qipp_domain::returns::{Body, Measured, Observation, ReturnContent, Revision, Status, Value};
use qipp_domain::{Dataset, KnownAt, MarkerCode, OrgCode, Period, Quantity, Slug};
use qipp_spc::baseline::{log_rate, logit_clamped};

use crate::Context;

/// The scale on which own and national figures are compared (R01: "logit for proportions, log for rates").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// A part of a whole: log odds.
    Proportion,
    /// A count or amount over an exposure (bed days), or a ratio: log.
    Rate,
    /// A value without a denominator: log of the value plus a half, the half as for counts, so that 0 has a place. Its national
    /// figure is the mean over the organisations, as the sum would jump whenever an organisation is late.
    Amount,
}

impl Scale {
    /// The scale of a marker.
    #[must_use]
    pub fn of(definition: &MarkerDefinition) -> Self {
        match (definition.has_denominator(), definition.proportion) {
            (true, true) => Self::Proportion,
            (true, false) => Self::Rate,
            (false, _) => Self::Amount,
        }
    }

    /// The name that evidence carries.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Proportion => "logit",
            Self::Rate | Self::Amount => "log",
        }
    }

    /// A figure on the scale; `None` when it has no place there (no denominator, more cases than people).
    #[must_use]
    pub fn place(self, figure: Measured) -> Option<f64> {
        let numerator = figure.numerator.to_f64();
        match self {
            Self::Proportion => logit_clamped(numerator, figure.denominator?.to_f64()),
            Self::Rate => log_rate(numerator, figure.denominator?.to_f64()),
            Self::Amount => log_rate(figure.value()?, 1.0),
        }
    }
}

/// The national side of a month.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct National {
    /// Sum of the parts. For a marker without denominator: the sum of the values over the number of organisations.
    pub figure: Measured,
    /// Organisations with a figure.
    pub organisations: u32,
    /// Of these, how many slip.
    pub organisations_slipping: u32,
    /// Any part of it is simulated.
    pub simulated: bool,
}

impl From<&NationalValue> for National {
    fn from(value: &NationalValue) -> Self {
        let organisations = Quantity::from_count(i64::from(value.organisations));
        let denominator = value.measured.denominator.unwrap_or(organisations);
        Self {
            figure: Measured {
                numerator: value.measured.numerator,
                denominator: Some(denominator),
            },
            organisations: value.organisations,
            organisations_slipping: value.organisations_slipping,
            simulated: value.simulated,
        }
    }
}

/// The national side of every marker, kind and month at a moment of knowledge, laid out to be looked up for every figure of every
/// organisation.
#[derive(Clone, Debug, Default)]
pub struct Nationals(HashMap<(MarkerCode, Slug), (Period, Vec<Option<National>>)>);

impl Nationals {
    /// What was published and known then.
    #[must_use]
    pub fn known(nation: &Nation, at: &KnownAt) -> Self {
        let mut all = Self::default();
        // They come by marker, kind and month.
        for value in nation.benchmarks().iter(at) {
            let (first, months) = all
                .0
                .entry((value.marker, value.peer_group))
                .or_insert_with(|| (value.period, Vec::new()));
            let index = usize::try_from(value.period.months_since(*first)).unwrap_or(0);
            months.resize(index + 1, None);
            months[index] = Some(National::from(value));
        }
        all
    }

    fn of(&self, marker: MarkerCode, kind: Slug, period: Period) -> Option<National> {
        let (first, months) = self.0.get(&(marker, kind))?;
        let index = usize::try_from(period.months_since(*first)).ok()?;
        months.get(index).copied().flatten()
    }
}

/// One month of a marker that has an own figure.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// The month.
    pub period: Period,
    /// Own figure.
    pub own: Measured,
    /// Version of the definition that the own figure follows.
    pub version: u32,
    /// Revision of the return that it is from.
    pub revision: u32,
    /// How firm it is.
    pub status: Status,
    /// The own figure is simulated.
    pub simulated: bool,
    /// The national side, when it was published.
    pub national: Option<National>,
    /// Own less national on the scale; `None` without a national side or without a place on the scale.
    pub residual: Option<f64>,
}

/// The months of one marker of one organisation, oldest first. Months without an own figure are not in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// The marker.
    pub marker: MarkerCode,
    /// The months.
    pub points: Vec<Point>,
}

impl Series {
    /// The point of a month.
    #[must_use]
    pub fn point(&self, period: Period) -> Option<&Point> {
        let index = self
            .points
            .binary_search_by_key(&period, |point| point.period);
        index.ok().map(|index| &self.points[index])
    }
}

/// The kind of the organisation: organisations of a kind are each other's peers.
pub(crate) fn kind_of(context: &Context<'_>, org: OrgCode) -> Option<Slug> {
    context.reference.organisation(org).map(|held| held.kind)
}

/// The quality returns known at the moment, oldest first.
pub(crate) fn quality_returns<'a>(
    context: &Context<'a>,
    ledger: &'a Ledger,
) -> impl Iterator<Item = (Period, &'a Revision<ReturnContent>)> {
    let at = context.known_at;
    ledger.known_returns(Dataset::Quality, at)
}

/// Every observation of a marker as a whole in a return.
pub(crate) fn whole_observations(
    content: &ReturnContent,
) -> impl Iterator<Item = Observation> + '_ {
    let observations = match &content.body {
        Body::Quality(observations) => Some(observations.iter()),
        Body::Savings(_) => None,
    };
    observations
        .into_iter()
        .flatten()
        .filter(|held| held.key.breakdown.is_none())
}

/// The point that an observation makes; `None` when it has no figure.
pub(crate) fn point(
    context: &Context<'_>,
    kind: Slug,
    period: Period,
    revision: &Revision<ReturnContent>,
    observation: &Observation,
    instead: Option<&NationalValue>,
) -> Option<Point> {
    let Value::Measured(own) = observation.value else {
        return None;
    };
    let marker = observation.key.marker;
    let published = || context.nationals.of(marker, kind, period);
    let national = instead.map(National::from).or_else(published);
    let version = observation.definition_version;
    let scale = context.reference.marker(marker, version).map(Scale::of);
    let residual = scale.zip(national).and_then(|(scale, national)| {
        let difference = scale.place(own)? - scale.place(national.figure)?;
        difference.is_finite().then_some(difference)
    });
    Some(Point {
        period,
        own,
        version,
        revision: revision.number,
        status: revision.content.status,
        simulated: observation.simulated,
        national,
        residual,
    })
}
