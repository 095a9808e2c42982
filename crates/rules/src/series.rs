//! The series of a marker: its own figures next to the national ones of the same months, and the difference on a scale where
//! differences mean the same everywhere.
//!
//! Holding a month against the national value of the same month takes out the season and whatever else hits everybody
//! (report §0.4: on real A&E data, winter flags fall from 45% of months to 25%).

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use qipp_domain::benchmark::NationalValue;
use qipp_domain::marker::MarkerDefinition;
use qipp_domain::nation::{Ledger, Nation};
use qipp_domain::returns::{
    Body, Measured, Observations, ReturnContent, Revision, Shape, Status, Value,
};
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
pub struct Nationals(HashMap<(MarkerCode, Slug), Months>);

/// The values of one marker and kind, month by month from the first on.
#[derive(Clone, Debug)]
struct Months {
    first: Period,
    values: Vec<Option<National>>,
}

impl Months {
    fn of(&self, period: Period) -> Option<National> {
        let index = usize::try_from(period.months_since(self.first)).ok()?;
        self.values.get(index).copied().flatten()
    }
}

impl Nationals {
    /// What was published and known then.
    #[must_use]
    pub fn known(nation: &Nation, at: &KnownAt) -> Self {
        let mut all = Self::default();
        // They come by marker, kind and month.
        for value in nation.benchmarks().iter(at) {
            let key = (value.marker, value.peer_group);
            let months = all.0.entry(key).or_insert_with(|| Months {
                first: value.period,
                values: Vec::new(),
            });
            let index = usize::try_from(value.period.months_since(months.first)).unwrap_or(0);
            months.values.resize(index + 1, None);
            months.values[index] = Some(National::from(value));
        }
        all
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

/// Reads returns as points. What a return speaks about is looked up once, and used for all returns that speak of the same.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    context: Context<'a>,
    kind: Slug,
    shape: Option<Arc<Shape>>,
    /// For each column of the shape; `None` for parts, which are never judged.
    columns: Vec<Option<Looked<'a>>>,
}

/// What is known of a marker before any figure is read.
#[derive(Clone, Copy, Debug)]
struct Looked<'a> {
    marker: MarkerCode,
    version: u32,
    simulated: bool,
    scale: Option<Scale>,
    national: Option<&'a Months>,
}

impl<'a> Reader<'a> {
    /// A reader of returns of organisations of this kind.
    pub(crate) fn new(context: &Context<'a>, kind: Slug) -> Self {
        Self {
            context: *context,
            kind,
            shape: None,
            columns: Vec::new(),
        }
    }

    fn look_up(&mut self, shape: &Arc<Shape>) {
        if self
            .shape
            .as_ref()
            .is_some_and(|held| Arc::ptr_eq(held, shape))
        {
            return;
        }
        let Context {
            reference,
            nationals,
            ..
        } = self.context;
        let columns = shape.columns().iter().map(|column| {
            let marker = column.key.marker;
            column.key.breakdown.is_none().then(|| Looked {
                marker,
                version: column.definition_version,
                simulated: column.simulated,
                scale: reference
                    .marker(marker, column.definition_version)
                    .map(Scale::of),
                national: nationals.0.get(&(marker, self.kind)),
            })
        });
        self.columns = columns.collect();
        self.shape = Some(Arc::clone(shape));
    }

    /// The points of a return: one for every marker as a whole that has a figure. `instead` takes the place of the published national
    /// value of a marker and this month.
    pub(crate) fn points<'r>(
        &'r mut self,
        period: Period,
        revision: &'r Revision<ReturnContent>,
        instead: Option<&'r BTreeMap<MarkerCode, NationalValue>>,
    ) -> impl Iterator<Item = (MarkerCode, Point)> + 'r {
        let observations = match &revision.content.body {
            Body::Quality(observations) => Some(observations),
            Body::Savings(_) => None,
        };
        if let Some(observations) = observations {
            self.look_up(observations.shape());
        }
        let values = observations.into_iter().flat_map(Observations::values);
        let columns = self.columns.iter().zip(values);
        columns.filter_map(move |(looked, value)| {
            let (looked, Value::Measured(own)) = (looked.as_ref()?, value) else {
                return None;
            };
            let published = || looked.national.and_then(|months| months.of(period));
            let tried = instead.and_then(|values| values.get(&looked.marker));
            let national = tried.map(National::from).or_else(published);
            let residual = looked.scale.zip(national).and_then(|(scale, national)| {
                let difference = scale.place(own)? - scale.place(national.figure)?;
                difference.is_finite().then_some(difference)
            });
            let point = Point {
                period,
                own,
                version: looked.version,
                revision: revision.number,
                status: revision.content.status,
                simulated: looked.simulated,
                national,
                residual,
            };
            Some((looked.marker, point))
        })
    }
}
