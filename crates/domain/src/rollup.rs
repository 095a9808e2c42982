//! Roll-ups: markers of many organisations as one figure, by their parts.
//!
//! A [`Partial`] is a mergeable sum, so that a shard can own some organisations and answers merge. Percentages are never averaged,
//! parts (a specialty) are never added to the whole, and a missing figure is counted as missing, never as zero.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::civil::Date;

use crate::marker::{Breakdown, RollUp};
use crate::nation::{CellSum, ColumnData, Ledger, NO_GROUP, Nation};
use crate::reference::{Reference, Tree, TreeGrouping};
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

impl Query<'_> {
    fn wants(&self, month: Period) -> bool {
        self.from.is_none_or(|from| from <= month) && self.to.is_none_or(|to| month <= to)
    }
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

    /// The sum of a marker as a whole over the organisations of a kind for a month, as it was known at a moment: what
    /// [`Peers::national_value`] was then, read from the ledgers.
    #[must_use]
    pub fn over_kind(
        nation: &Nation,
        reference: &Reference,
        at: &KnownAt,
        kind: Slug,
        marker: MarkerCode,
        period: Period,
    ) -> Self {
        let key = SeriesKey::whole(marker);
        let mut total = Self::default();
        for (org, ledger) in nation.ledgers() {
            if reference
                .organisation(org)
                .is_none_or(|held| held.kind != kind)
            {
                continue;
            }
            if let Some((observation, _)) = ledger.observation(key, period, at) {
                let definition = reference.marker(marker, observation.definition_version);
                let roll_up = definition.map_or(RollUp::None, |held| held.roll_up);
                total.merge(Self::of(&observation, roll_up));
            }
        }
        total
    }

    fn of_sum(sum: &CellSum, simulated: bool, adds: bool) -> Self {
        Self {
            measured: sum.measured().filter(|_| adds),
            organisations: sum.organisations,
            missing: sum.missing,
            simulated: simulated && sum.organisations > 0,
            sources: Vec::new(),
        }
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

/// Rolls up every organisation of the tree, month by month: cells come in the order of their keys, and a month is added up when its
/// first cell is asked for.
///
/// The current state, and one of a short while ago, are added up from the columns: some nanoseconds an organisation and month, and nothing
/// for a month that was asked for before and has not changed since. Older moments of knowledge, and figures that name their sources, are read from the ledgers: some hundred nanoseconds.
pub fn roll_up<'a>(
    nation: &'a Nation,
    reference: &'a Reference,
    at: &'a KnownAt,
    query: Query<'a>,
) -> impl Iterator<Item = (CellKey, Partial)> + 'a {
    let series = wanted_series(nation, &query);
    let changed = changed_since(nation, at).filter(|_| !query.sources);
    let mut groups = Groups::default();
    let months = match &changed {
        Some(changed) => months_of_columns(nation, &series, changed, &query),
        None => months_of_ledgers(nation, at, &query),
    };
    months.into_iter().flat_map(move |period| {
        let heirs_on = match query.structure {
            Structure::AsItWas => None,
            Structure::AsItIs(day) => Some(day),
        };
        let day = query.structure.day(period);
        let grouping = reference.grouping(query.tree, query.level, day, heirs_on);
        let month = Month {
            nation,
            reference,
            at,
            query: &query,
            period,
            grouping: &grouping,
        };
        let Some(changed) = &changed else {
            return month.by_ledgers(nation.ledgers()).into_iter().collect();
        };
        // What the columns say too new is read from the ledgers instead.
        match changed.get(&period) {
            None => month.by_columns(&series, |data| {
                let add_up = || {
                    let group_of = groups.of(nation, &grouping);
                    data.add_up(period, group_of, grouping.groups().len())
                };
                nation.columns().sums(data, period, &grouping, add_up)
            }),
            Some(orgs) => {
                let mut group_of = groups.of(nation, &grouping).to_vec();
                for org in orgs {
                    if let Some(index) = nation.columns().index_of(*org) {
                        group_of[index as usize] = NO_GROUP;
                    }
                }
                let cells = month.by_columns(&series, |data| {
                    data.add_up(period, &group_of, grouping.groups().len())
                        .into()
                });
                let mut cells: BTreeMap<CellKey, Partial> = cells.into_iter().collect();
                let ledgers = orgs.iter().filter_map(|o| Some((*o, nation.ledger(*o)?)));
                for (key, partial) in month.by_ledgers(ledgers) {
                    cells.entry(key).or_default().merge(partial);
                }
                cells.into_iter().collect()
            }
        }
    })
}

/// The groups of all organisations that columns know, worked out when they are first needed, and again when the grouping is another.
#[derive(Default)]
struct Groups(Option<(Arc<TreeGrouping>, Vec<u32>)>);

impl Groups {
    fn of(&mut self, nation: &Nation, grouping: &Arc<TreeGrouping>) -> &[u32] {
        let held = self.0.take();
        let held = held.filter(|(held, _)| Arc::ptr_eq(held, grouping));
        let (_, groups) = self.0.insert(held.unwrap_or_else(|| {
            let groups = grouping.groups_of(nation.columns().organisations());
            (Arc::clone(grouping), groups)
        }));
        groups
    }
}

/// The organisations whose returns of a month are other than they were at the moment of knowledge; `None` when that is too long ago.
fn changed_since(nation: &Nation, at: &KnownAt) -> Option<BTreeMap<Period, BTreeSet<OrgCode>>> {
    let changed = match at {
        KnownAt::Latest => Vec::new(),
        KnownAt::Cut(cut) => nation.columns().changed_since(cut)?,
        KnownAt::Time(_) => return None,
    };
    let mut by_month: BTreeMap<Period, BTreeSet<OrgCode>> = BTreeMap::new();
    for (org, period) in changed {
        by_month.entry(period).or_default().insert(org);
    }
    Some(by_month)
}

fn wanted_series(nation: &Nation, query: &Query<'_>) -> Vec<SeriesKey> {
    nation
        .columns()
        .series()
        .filter(|key| query.marker.is_none_or(|marker| key.marker == marker))
        .filter(|key| query.parts.wants(key.breakdown))
        .collect()
}

fn months_of_columns(
    nation: &Nation,
    series: &[SeriesKey],
    changed: &BTreeMap<Period, BTreeSet<OrgCode>>,
    query: &Query<'_>,
) -> BTreeSet<Period> {
    let columns = series
        .iter()
        .flat_map(|key| nation.columns().of_series(*key));
    let months = columns.flat_map(|column| column.months());
    let months = months.chain(changed.keys().copied());
    months.filter(|month| query.wants(*month)).collect()
}

fn months_of_ledgers(nation: &Nation, at: &KnownAt, query: &Query<'_>) -> BTreeSet<Period> {
    let ledgers = nation.ledgers();
    let months = ledgers.flat_map(|(_, ledger)| ledger.periods(Dataset::Quality, at));
    months.filter(|month| query.wants(*month)).collect()
}

/// One month of a roll-up.
struct Month<'a> {
    nation: &'a Nation,
    reference: &'a Reference,
    at: &'a KnownAt,
    query: &'a Query<'a>,
    period: Period,
    grouping: &'a TreeGrouping,
}

impl Month<'_> {
    fn key(&self, group: u32, key: SeriesKey) -> Option<CellKey> {
        let group = self.grouping.groups().get(group as usize)?;
        Some(CellKey {
            period: self.period,
            group: *group,
            key,
        })
    }

    /// The cells in the order of their keys. `sums_of` adds up a column of the month by groups.
    fn by_columns(
        &self,
        series: &[SeriesKey],
        mut sums_of: impl FnMut(&ColumnData) -> Arc<[CellSum]>,
    ) -> Vec<(CellKey, Partial)> {
        let mut by_group: Vec<Vec<(SeriesKey, Partial)>> = Vec::new();
        by_group.resize_with(self.grouping.groups().len(), Vec::new);
        for key in series {
            for data in self.nation.columns().of_series(*key) {
                let adds = adds_up(self.reference, *key, data.column.definition_version);
                let sums = sums_of(data);
                let groups = by_group.iter_mut().zip(sums.iter());
                for (cells, sum) in groups.filter(|(_, sum)| !sum.is_empty()) {
                    let partial = Partial::of_sum(sum, data.column.simulated, adds);
                    match cells.last_mut() {
                        Some((held, cell)) if held == key => cell.merge(partial),
                        _ => cells.push((*key, partial)),
                    }
                }
            }
        }
        let groups = self.grouping.groups().iter().zip(by_group);
        let cells = groups.flat_map(|(group, cells)| {
            cells.into_iter().map(|(key, partial)| {
                let (period, group) = (self.period, *group);
                (CellKey { period, group, key }, partial)
            })
        });
        cells.collect()
    }

    fn by_ledgers<'l>(
        &self,
        ledgers: impl Iterator<Item = (OrgCode, &'l Ledger)>,
    ) -> BTreeMap<CellKey, Partial> {
        let mut cells = BTreeMap::new();
        for (org, ledger) in ledgers {
            let known = ledger.known(Dataset::Quality, self.period, self.at);
            if let (Some(group), Some(revision)) = (self.grouping.group_of(org), known) {
                self.add_return(&mut cells, org, group, revision);
            }
        }
        cells
    }

    fn add_return(
        &self,
        cells: &mut BTreeMap<CellKey, Partial>,
        org: OrgCode,
        group: u32,
        revision: &Revision<ReturnContent>,
    ) {
        let Body::Quality(observations) = &revision.content.body else {
            return;
        };
        let query = self.query;
        let wanted = |o: &Observation| {
            query.marker.is_none_or(|marker| o.key.marker == marker)
                && query.parts.wants(o.key.breakdown)
        };
        for observation in observations.iter().filter(wanted) {
            let Some(key) = self.key(group, observation.key) else {
                continue;
            };
            let mut partial = Partial::of(&observation, roll_up_of(&observation, self.reference));
            if query.sources {
                partial.sources.push(Source {
                    org,
                    revision: revision.number,
                    stamp: revision.stamp,
                });
            }
            cells.entry(key).or_default().merge(partial);
        }
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
    /// Organisations with a figure.
    pub organisations: u32,
    /// One of the figures can't be added to others.
    pub stands_alone: bool,
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
        Structure::AsItIs(day) => {
            // Only who is followed by somebody can have an heir.
            let followed: BTreeSet<OrgCode> = reference.successions().map(|s| s.org).collect();
            let merged = followed
                .into_iter()
                .filter(|o| reference.heir(*o, day) == org);
            merged
                .chain([org])
                .collect::<BTreeSet<_>>()
                .into_iter()
                .collect()
        }
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
        organisations: 0,
        stands_alone: false,
    };
    for member in members {
        let found = nation
            .ledger(*member)
            .and_then(|ledger| ledger.observation(key, period, at));
        let Some((observation, revision)) = found else {
            continue;
        };
        if matches!(observation.value, Value::Measured(_)) {
            result.organisations += 1;
            result.stands_alone |= roll_up_of(&observation, reference) == RollUp::None;
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
    if result.organisations > 1 && result.stands_alone {
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

fn adds_up(reference: &Reference, key: SeriesKey, definition_version: u32) -> bool {
    reference
        .marker(key.marker, definition_version)
        .is_some_and(|definition| definition.roll_up != RollUp::None)
}

/// The organisations of a kind, to be asked for many national values.
#[derive(Debug)]
pub struct Peers {
    group_of: Vec<u32>,
}

impl Peers {
    /// The organisations of this kind that ever sent a quality return.
    #[must_use]
    pub fn new(nation: &Nation, reference: &Reference, kind: Slug) -> Self {
        let kinds = reference.kinds();
        let wanted = kinds.groups().iter().position(|held| *held == kind);
        let wanted = wanted.and_then(|group| u32::try_from(group).ok());
        let orgs = nation.columns().organisations().iter();
        let group_of = orgs.map(|org| match kinds.group_of(*org) {
            Some(group) if Some(group) == wanted => 0,
            _ => NO_GROUP,
        });
        Self {
            group_of: group_of.collect(),
        }
    }

    /// How many of these organisations have a figure of the marker in any of the months, as it is now.
    #[must_use]
    pub fn with_a_figure(
        &self,
        nation: &Nation,
        marker: MarkerCode,
        months: impl Iterator<Item = Period>,
    ) -> usize {
        let mut found = vec![false; self.group_of.len()];
        for month in months {
            for data in nation.columns().of_series(SeriesKey::whole(marker)) {
                for org in data.with_a_figure(month) {
                    found[org as usize] = true;
                }
            }
        }
        let ours = found.iter().zip(&self.group_of);
        ours.filter(|(found, group)| **found && **group == 0)
            .count()
    }

    /// The sum of a marker over these organisations for a month, as it is now: the national value before it is published. The value of
    /// a marker that can't be added up (a median) is not a sum, so there is none.
    #[must_use]
    pub fn national_value(
        &self,
        nation: &Nation,
        reference: &Reference,
        marker: MarkerCode,
        period: Period,
    ) -> Partial {
        let key = SeriesKey::whole(marker);
        let mut total = Partial::default();
        for data in nation.columns().of_series(key) {
            let sum = data.add_up(period, &self.group_of, 1);
            let adds = adds_up(reference, key, data.column.definition_version);
            total.merge(Partial::of_sum(&sum[0], data.column.simulated, adds));
        }
        total
    }
}
