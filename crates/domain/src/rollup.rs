//! Roll-ups: markers of many organisations as one figure, by their parts.
//!
//! A [`Partial`] is a mergeable sum, so that a shard can own some organisations and answers merge. Percentages are never averaged,
//! parts (a specialty) are never added to the whole, and a missing figure is counted as missing, never as zero.

use std::collections::BTreeMap;

use jiff::civil::Date;

use crate::marker::{Breakdown, RollUp};
use crate::nation::Nation;
use crate::reference::{Reference, Tree};
use crate::returns::{Body, Measured, Observation, ReturnContent, Revision, Status, Value};
use crate::{Dataset, KnownAt, MarkerCode, Missing, OrgCode, Period, SeriesKey, Slug, Stamp};

/// Under which structure months are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Structure {
    /// Each month under the tree that held on its last day.
    AsItWas,
    /// All months under the tree of this day; what was merged counts for its successor.
    AsItIs(Date),
}

impl Structure {
    /// The day whose tree counts for the month.
    fn day(self, period: Period) -> Date {
        match self {
            Self::AsItWas => period.last_day(),
            Self::AsItIs(day) => day,
        }
    }

    /// The organisation that `org` counts for.
    fn counts_for(self, org: OrgCode, reference: &Reference) -> OrgCode {
        match self {
            Self::AsItWas => org,
            Self::AsItIs(day) => reference.heir(org, day),
        }
    }
}

/// Which part of a marker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parts {
    /// The whole.
    Whole,
    /// This part.
    One(Breakdown),
    /// The whole and every part, side by side.
    All,
}

impl Parts {
    fn wants(self, breakdown: Option<Breakdown>) -> bool {
        match self {
            Self::Whole => breakdown.is_none(),
            Self::One(part) => breakdown == Some(part),
            Self::All => true,
        }
    }
}

/// What to roll up, and to where.
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    /// The tree.
    pub tree: &'a Tree,
    /// Kind of the organisations to roll up to.
    pub level: Slug,
    /// `None`: every marker.
    pub marker: Option<MarkerCode>,
    /// Which part.
    pub parts: Parts,
    /// First month.
    pub from: Option<Period>,
    /// Last month.
    pub to: Option<Period>,
    /// Under which structure.
    pub structure: Structure,
    /// Name the returns that each figure came from.
    pub sources: bool,
}

/// One figure of one group: the order is that of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CellKey {
    /// The month.
    pub period: Period,
    /// The group; `None`: organisations that have no organisation of the level above them.
    pub group: Option<OrgCode>,
    /// Marker and part.
    pub key: SeriesKey,
}

/// A return that a figure came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Source {
    /// Whose.
    pub org: OrgCode,
    /// Which revision.
    pub revision: u32,
    /// Where in the log.
    pub stamp: Stamp,
}

/// A mergeable sum.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Partial {
    /// Sum of the parts; `None` when no organisation has a figure, or when the marker can't be added up.
    pub measured: Option<Measured>,
    /// Organisations with a figure.
    pub organisations: u32,
    /// Organisations that gave a reason instead.
    pub missing: u32,
    /// Any part is simulated.
    pub simulated: bool,
    /// Returns that it came from, when asked for.
    pub sources: Vec<Source>,
}

impl Partial {
    /// Adds another partial sum. Associative and commutative, up to the order of the sources.
    pub fn merge(&mut self, other: Self) {
        self.measured = match (self.measured, other.measured) {
            (Some(a), Some(b)) => Some(add(a, b)),
            (one, another) => one.or(another),
        };
        self.organisations += other.organisations;
        self.missing += other.missing;
        self.simulated |= other.simulated;
        self.sources.extend(other.sources);
    }

    fn of(observation: &Observation, roll_up: RollUp) -> Self {
        match observation.value {
            Value::Missing(_) => Self {
                missing: 1,
                ..Self::default()
            },
            Value::Measured(measured) => Self {
                measured: (roll_up != RollUp::None).then_some(measured),
                organisations: 1,
                simulated: observation.simulated,
                ..Self::default()
            },
        }
    }
}

/// Adds two figures by their parts.
#[must_use]
pub fn add(a: Measured, b: Measured) -> Measured {
    let denominator = match (a.denominator, b.denominator) {
        (Some(x), Some(y)) => Some(x + y),
        (one, another) => one.or(another),
    };
    Measured {
        numerator: a.numerator + b.numerator,
        denominator,
    }
}

/// Rolls up every organisation of the tree for which `includes` holds.
#[must_use]
pub fn roll_up(
    nation: &Nation,
    reference: &Reference,
    at: &KnownAt,
    query: &Query<'_>,
    includes: impl Fn(OrgCode) -> bool,
) -> BTreeMap<CellKey, Partial> {
    let mut cells: BTreeMap<CellKey, Partial> = BTreeMap::new();
    for (org, ledger) in nation.ledgers().filter(|(org, _)| includes(*org)) {
        for period in ledger.periods(Dataset::Quality, at) {
            let wanted = query.from.is_none_or(|from| from <= period)
                && query.to.is_none_or(|to| period <= to);
            let Some(group) = wanted
                .then(|| group_of(org, period, reference, query))
                .flatten()
            else {
                continue;
            };
            if let Some(revision) = ledger.known(Dataset::Quality, period, at) {
                add_return(&mut cells, org, period, group, revision, reference, query);
            }
        }
    }
    cells
}

/// The group that an organisation counts for in a month: `None` when it does not stand in the tree, `Some(None)` when it stands in
/// the tree with nothing of the level above it.
#[allow(
    clippy::option_option,
    reason = "outside the tree and outside every group are different answers"
)]
fn group_of(
    org: OrgCode,
    period: Period,
    reference: &Reference,
    query: &Query<'_>,
) -> Option<Option<OrgCode>> {
    let counted = query.structure.counts_for(org, reference);
    let mut group = None;
    let mut in_tree = false;
    for above in query.tree.upwards(counted, query.structure.day(period)) {
        if group.is_none()
            && reference
                .organisation(above)
                .is_some_and(|o| o.kind == query.level)
        {
            group = Some(above);
        }
        in_tree |= above == query.tree.root;
    }
    in_tree.then_some(group)
}

fn add_return(
    cells: &mut BTreeMap<CellKey, Partial>,
    org: OrgCode,
    period: Period,
    group: Option<OrgCode>,
    revision: &Revision<ReturnContent>,
    reference: &Reference,
    query: &Query<'_>,
) {
    let Body::Quality(observations) = &revision.content.body else {
        return;
    };
    // Observations are in the order of their key: all of one marker stand together.
    let observations = match query.marker {
        None => observations.as_slice(),
        Some(marker) => {
            let from = observations.partition_point(|o| o.key.marker < marker);
            let to = observations.partition_point(|o| o.key.marker <= marker);
            &observations[from..to]
        }
    };
    for observation in observations
        .iter()
        .filter(|o| query.parts.wants(o.key.breakdown))
    {
        let definition = reference.marker(observation.key.marker, observation.definition_version);
        let mut partial = Partial::of(observation, definition.map_or(RollUp::None, |d| d.roll_up));
        if query.sources {
            partial.sources.push(Source {
                org,
                revision: revision.number,
                stamp: revision.stamp,
            });
        }
        cells
            .entry(CellKey {
                period,
                group,
                key: observation.key,
            })
            .or_default()
            .merge(partial);
    }
}

/// One month of a series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeriesPoint {
    /// The month.
    pub period: Period,
    /// A figure, or the reason why there is none.
    pub value: Value,
    /// Version of the definition; 0 when nothing was submitted.
    pub definition_version: u32,
    /// How firm, the least firm of its parts; `None` when nothing was submitted.
    pub status: Option<Status>,
    /// Any part is simulated.
    pub simulated: bool,
    /// Returns that it came from.
    pub sources: Vec<Source>,
}

/// A marker of an organisation, a point for every month from `from` to `to`.
///
/// Under [`Structure::AsItIs`] what was merged into the organisation is added by its parts. Where several have a figure of a marker
/// that can't be added up, there is none.
#[must_use]
pub fn series(
    nation: &Nation,
    reference: &Reference,
    at: &KnownAt,
    org: OrgCode,
    key: SeriesKey,
    months: impl Iterator<Item = Period>,
    structure: Structure,
) -> Vec<SeriesPoint> {
    let members: Vec<OrgCode> = match structure {
        Structure::AsItWas => vec![org],
        Structure::AsItIs(day) => nation
            .ledgers()
            .map(|(o, _)| o)
            .filter(|o| *o == org || reference.heir(*o, day) == org)
            .collect(),
    };
    months
        .map(|period| point(nation, reference, at, &members, key, period))
        .collect()
}

fn point(
    nation: &Nation,
    reference: &Reference,
    at: &KnownAt,
    members: &[OrgCode],
    key: SeriesKey,
    period: Period,
) -> SeriesPoint {
    let mut result = SeriesPoint {
        period,
        value: Value::Missing(Missing::NotSubmitted),
        definition_version: 0,
        status: None,
        simulated: false,
        sources: Vec::new(),
    };
    let (mut figures, mut can_add) = (0, true);
    for member in members {
        let found = nation
            .ledger(*member)
            .and_then(|ledger| ledger.observation(key, period, at));
        let Some((observation, revision)) = found else {
            continue;
        };
        if matches!(observation.value, Value::Measured(_)) {
            figures += 1;
            can_add &= roll_up_of(observation, reference) != RollUp::None;
        }
        result.value = match (result.value, observation.value) {
            (Value::Measured(a), Value::Measured(b)) => Value::Measured(add(a, b)),
            (Value::Measured(a), Value::Missing(_)) => Value::Measured(a),
            (Value::Missing(_), other) => other,
        };
        result.definition_version = result
            .definition_version
            .max(observation.definition_version);
        let status = revision.content.status;
        result.status = Some(result.status.map_or(status, |held| held.min(status)));
        result.simulated |= observation.simulated;
        result.sources.push(Source {
            org: *member,
            revision: revision.number,
            stamp: revision.stamp,
        });
    }
    if figures > 1 && !can_add {
        // Two medians make no median: the sources name where each can be read.
        result.value = Value::Missing(Missing::NotApplicable);
    }
    result
}

/// How the figures of an observation add up; what is not defined can't be added.
fn roll_up_of(observation: &Observation, reference: &Reference) -> RollUp {
    reference
        .marker(observation.key.marker, observation.definition_version)
        .map_or(RollUp::None, |definition| definition.roll_up)
}

/// The sum of a marker over the organisations of a kind that returned it for a month: the national value before it is published.
#[must_use]
pub fn national_value(
    nation: &Nation,
    reference: &Reference,
    at: &KnownAt,
    marker: MarkerCode,
    peer_group: Slug,
    period: Period,
) -> Partial {
    let mut sum = Partial::default();
    let peers = nation.ledgers().filter(|(org, _)| {
        reference
            .organisation(*org)
            .is_some_and(|o| o.kind == peer_group)
    });
    for (_, ledger) in peers {
        if let Some((observation, _)) = ledger.observation(SeriesKey::whole(marker), period, at) {
            // The national value of a marker that can't be added up (a median) is not a sum, so there is none.
            sum.merge(Partial::of(observation, roll_up_of(observation, reference)));
        }
    }
    sum
}
