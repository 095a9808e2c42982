//! Returns and schemes of one organisation, and how a checkpoint holds them.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::ReturnFact;
use crate::returns::{
    Alias, Body, Column, History, Observation, Observations, ReturnContent, Revision, SavingsLine,
    Shape, Status,
};
use crate::scheme::Scheme;
use crate::{Dataset, KnownAt, Period, SchemeId, SeriesKey, Stamp};

/// Returns and schemes of one organisation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ledger {
    returns: BTreeMap<(Dataset, Period), History<ReturnContent>>,
    schemes: BTreeMap<SchemeId, History<Scheme>>,
}

impl Ledger {
    /// The history of a return.
    #[must_use]
    pub fn history(&self, dataset: Dataset, period: Period) -> Option<&History<ReturnContent>> {
        self.returns.get(&(dataset, period))
    }

    /// The return that was current at a moment of knowledge.
    #[must_use]
    pub fn known(
        &self,
        dataset: Dataset,
        period: Period,
        at: &KnownAt,
    ) -> Option<&Revision<ReturnContent>> {
        self.history(dataset, period)?.known(at)
    }

    /// The returns of a dataset that were current at a moment of knowledge, oldest month first.
    pub fn known_returns<'a>(
        &'a self,
        dataset: Dataset,
        at: &'a KnownAt,
    ) -> impl DoubleEndedIterator<Item = (Period, &'a Revision<ReturnContent>)> + 'a {
        self.returns
            .range((dataset, Period::FIRST)..=(dataset, Period::LAST))
            .filter_map(move |((_, period), history)| Some((*period, history.known(at)?)))
    }

    /// Periods of a dataset for which something was known, oldest first.
    pub fn periods<'a>(
        &'a self,
        dataset: Dataset,
        at: &'a KnownAt,
    ) -> impl DoubleEndedIterator<Item = Period> + 'a {
        self.known_returns(dataset, at).map(|(period, _)| period)
    }

    /// An observation with the revision that it is from.
    #[must_use]
    pub fn observation(
        &self,
        key: SeriesKey,
        period: Period,
        at: &KnownAt,
    ) -> Option<(Observation, &Revision<ReturnContent>)> {
        let revision = self.known(Dataset::Quality, period, at)?;
        let observation = revision.content.observation(key)?;
        Some((observation, revision))
    }

    /// The history of a scheme.
    #[must_use]
    pub fn scheme_history(&self, id: SchemeId) -> Option<&History<Scheme>> {
        self.schemes.get(&id)
    }

    /// The schemes known at a moment, by identifier.
    pub fn schemes<'a>(
        &'a self,
        at: &'a KnownAt,
    ) -> impl Iterator<Item = &'a Revision<Scheme>> + 'a {
        self.schemes
            .values()
            .filter_map(move |history| history.known(at))
    }

    /// The histories of all schemes, by identifier.
    pub fn all_schemes(&self) -> impl Iterator<Item = &History<Scheme>> {
        self.schemes.values()
    }

    /// How many schemes there ever were.
    #[must_use]
    pub fn scheme_count(&self) -> usize {
        self.schemes.len()
    }

    /// All histories of returns.
    pub fn histories(&self) -> impl Iterator<Item = ((Dataset, Period), &History<ReturnContent>)> {
        self.returns.iter().map(|(key, history)| (*key, history))
    }

    /// The observations that are current, month by month.
    pub(super) fn current(&self) -> impl Iterator<Item = (Period, &Observations)> {
        self.known_returns(Dataset::Quality, &KnownAt::Latest)
            .filter_map(|(period, revision)| match &revision.content.body {
                Body::Quality(observations) => Some((period, observations)),
                Body::Savings(_) => None,
            })
    }

    /// Lets equal shapes be one: `share` gives the one that everybody shares.
    pub(super) fn share_shapes(&mut self, mut share: impl FnMut(&mut Observations)) {
        for history in self.returns.values_mut() {
            for content in history.contents_mut() {
                if let Body::Quality(observations) = &mut content.body {
                    share(observations);
                }
            }
        }
    }

    /// The history that a return belongs to.
    pub(super) fn history_mut(
        &mut self,
        dataset: Dataset,
        period: Period,
    ) -> &mut History<ReturnContent> {
        self.returns.entry((dataset, period)).or_default()
    }

    pub(super) fn apply_scheme(
        &mut self,
        stamp: Stamp,
        by: &str,
        scheme: Scheme,
        precondition: crate::returns::Precondition,
    ) {
        self.schemes
            .entry(scheme.id)
            .or_default()
            .apply(stamp, by, precondition, scheme);
    }
}

impl ReturnFact {
    /// The organisation that it is about.
    #[must_use]
    pub fn org(&self) -> crate::OrgCode {
        match self {
            Self::Return(ret) => ret.org,
            Self::Scheme { scheme, .. } => scheme.org,
        }
    }
}

/// A ledger as a checkpoint holds it: every shape once, in the order of first use, so that equal ledgers are equal bytes whoever
/// shares what.
#[derive(Serialize, Deserialize)]
struct Image<'a> {
    shapes: Vec<Vec<Column>>,
    #[serde(borrow)]
    returns: Vec<(Dataset, Period, Vec<RevisionImage<'a>>, Vec<Alias>)>,
    schemes: BTreeMap<SchemeId, History<Scheme>>,
}

#[derive(Serialize, Deserialize)]
struct RevisionImage<'a> {
    number: u32,
    stamp: Stamp,
    idempotency_key: &'a str,
    submitted_by: &'a str,
    status: Status,
    source: &'a str,
    narrative: &'a str,
    #[serde(borrow)]
    body: BodyImage<'a>,
}

#[derive(Serialize, Deserialize)]
enum BodyImage<'a> {
    Savings(Vec<SavingsLine>),
    /// Which shape, and the figures.
    Quality(u32, #[serde(borrow)] Figures<'a>),
}

struct Figures<'a>(&'a [u8]);

impl Serialize for Figures<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Figures<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <&[u8]>::deserialize(deserializer).map(Figures)
    }
}

impl Serialize for Ledger {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut shapes: Vec<&Arc<Shape>> = Vec::new();
        let mut number_of = |shape| {
            let number = shapes.iter().rposition(|held| *held == shape);
            let number = number.unwrap_or_else(|| {
                shapes.push(shape);
                shapes.len() - 1
            });
            u32::try_from(number).expect("fewer shapes than memory has bytes")
        };
        let mut returns = Vec::with_capacity(self.returns.len());
        for ((dataset, period), history) in &self.returns {
            let (revisions, aliases) = history.parts();
            let revisions = revisions.iter().map(|revision| RevisionImage {
                number: revision.number,
                stamp: revision.stamp,
                idempotency_key: &revision.idempotency_key,
                submitted_by: &revision.submitted_by,
                status: revision.content.status,
                source: &revision.content.source,
                narrative: &revision.content.narrative,
                body: match &revision.content.body {
                    Body::Savings(lines) => BodyImage::Savings(lines.clone()),
                    Body::Quality(observations) => BodyImage::Quality(
                        number_of(observations.shape()),
                        Figures(observations.figures()),
                    ),
                },
            });
            returns.push((*dataset, *period, revisions.collect(), aliases.to_vec()));
        }
        let image = Image {
            returns,
            shapes: shapes
                .iter()
                .map(|shape| shape.columns().to_vec())
                .collect(),
            schemes: self.schemes.clone(),
        };
        image.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Ledger {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let image = Image::deserialize(deserializer)?;
        ledger_of(image).map_err(serde::de::Error::custom)
    }
}

fn ledger_of(image: Image<'_>) -> Result<Ledger, String> {
    let shapes = image.shapes.into_iter().map(|columns| {
        let shape = Shape::new(columns).map_err(|error| error.to_string())?;
        Ok(Arc::new(shape))
    });
    let shapes: Vec<Arc<Shape>> = shapes.collect::<Result<_, String>>()?;
    let revision_of = |image: RevisionImage<'_>| {
        let body = match image.body {
            BodyImage::Savings(lines) => Body::Savings(lines),
            BodyImage::Quality(shape, Figures(figures)) => {
                let shape = usize::try_from(shape).ok().and_then(|at| shapes.get(at));
                let shape = shape.ok_or("a return is of a shape that is not there")?;
                let observations = Observations::from_parts(Arc::clone(shape), figures);
                Body::Quality(observations.map_err(|error| error.to_string())?)
            }
        };
        Ok(Revision {
            number: image.number,
            stamp: image.stamp,
            idempotency_key: image.idempotency_key.to_owned(),
            submitted_by: image.submitted_by.to_owned(),
            content: ReturnContent {
                status: image.status,
                source: image.source.to_owned(),
                narrative: image.narrative.to_owned(),
                body,
            },
        })
    };
    let mut returns = BTreeMap::new();
    for (dataset, period, revisions, aliases) in image.returns {
        let revisions = revisions.into_iter().map(revision_of);
        let revisions = revisions.collect::<Result<Vec<_>, String>>()?;
        returns.insert((dataset, period), History::from_parts(revisions, aliases));
    }
    Ok(Ledger {
        returns,
        schemes: image.schemes,
    })
}
