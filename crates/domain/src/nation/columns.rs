//! The current figures by column: for every series and month one run of memory with a cell for each organisation.
//!
//! Ledgers hold what every organisation said, with all its revisions; adding up ten thousand organisations from there would visit ten
//! thousand places in memory for each month. This is the same current figures a second time, laid out as roll-ups read them. It is
//! derived: no checkpoint holds it, and no decision is made from it.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::reference::TreeGrouping;
use crate::returns::{Column, Measured, Missing, Observations, Shape, Value};
use crate::{Cut, OrgCode, Period, Quantity, SeriesKey, Stamp};

/// An organisation as columns know it: organisations are numbered in the order in which they first sent figures.
pub type OrgIndex = u32;

/// A figure, or why there is none, in 16 bytes: the reasons are numerators that no quantity has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cell {
    numerator: i64,
    denominator: i64,
}

/// No return, or none that speaks of the series.
const ABSENT: i64 = i64::MIN;
/// Numerators below this are `ABSENT`, or `ABSENT + 1 +` the index of the reason.
const REASONS: i64 = i64::MIN + 16;
/// The denominator of what has none.
const NONE: i64 = i64::MIN;

impl Cell {
    const EMPTY: Self = Self {
        numerator: ABSENT,
        denominator: NONE,
    };

    fn of(value: Value) -> Self {
        match value {
            Value::Missing(missing) => {
                let index = Missing::NAMES.iter().position(|(held, _)| *held == missing);
                let index = index.and_then(|index| i64::try_from(index).ok());
                Self {
                    numerator: ABSENT + 1 + index.expect("every reason is listed"),
                    denominator: NONE,
                }
            }
            Value::Measured(measured) => Self {
                numerator: measured.numerator.thousandths().max(REASONS),
                denominator: measured
                    .denominator
                    .map_or(NONE, |denominator| denominator.thousandths().max(NONE + 1)),
            },
        }
    }
}

/// What a run of cells adds up to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CellSum {
    numerator: i64,
    denominator: i64,
    /// Organisations with a figure.
    pub organisations: u32,
    /// Organisations that gave a reason instead.
    pub missing: u32,
    with_denominator: u32,
}

impl CellSum {
    #[inline]
    fn add(&mut self, cell: Cell) {
        if cell.numerator >= REASONS {
            self.numerator = self.numerator.saturating_add(cell.numerator);
            self.organisations += 1;
            if cell.denominator != NONE {
                self.denominator = self.denominator.saturating_add(cell.denominator);
                self.with_denominator += 1;
            }
        } else if cell.numerator != ABSENT {
            self.missing += 1;
        }
    }

    /// The sum of the parts; `None` when no organisation has a figure.
    #[must_use]
    pub fn measured(&self) -> Option<Measured> {
        (self.organisations > 0).then(|| Measured {
            numerator: Quantity::from_thousandths(self.numerator),
            denominator: (self.with_denominator > 0)
                .then(|| Quantity::from_thousandths(self.denominator)),
        })
    }

    /// Did no organisation say anything?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.organisations == 0 && self.missing == 0
    }
}

/// One column: rows are the organisations that ever had it.
#[derive(Clone, Debug)]
pub struct ColumnData {
    /// What it is about.
    pub column: Column,
    id: u32,
    rows: Vec<u32>,
    organisations: Vec<OrgIndex>,
    /// The month of the first entry of `cells`.
    first: Period,
    /// A run of cells for each month from the first on; empty for a month of which nobody said anything.
    cells: Vec<Vec<Cell>>,
}

const NO_ROW: u32 = u32::MAX;

impl ColumnData {
    fn new(column: Column, id: u32) -> Self {
        Self {
            column,
            id,
            rows: Vec::new(),
            organisations: Vec::new(),
            first: Period::FIRST,
            cells: Vec::new(),
        }
    }

    fn row(&mut self, org: OrgIndex) -> usize {
        let at = org as usize;
        if self.rows.len() <= at {
            self.rows.resize(at + 1, NO_ROW);
        }
        if self.rows[at] == NO_ROW {
            self.rows[at] = u32::try_from(self.organisations.len())
                .expect("rows are organisations, and those are numbered in 32 bits");
            self.organisations.push(org);
        }
        self.rows[at] as usize
    }

    #[inline]
    fn set(&mut self, org: OrgIndex, period: Period, cell: Cell) {
        let row = self.row(org);
        let rows = self.organisations.len();
        let month = self.month(period);
        let cells = &mut self.cells[month];
        if cells.len() <= row {
            // A month usually ends with as many organisations as there are: room for them at once.
            cells.reserve_exact(rows.max(row + 1) - cells.len());
            cells.resize(row + 1, Cell::EMPTY);
        }
        cells[row] = cell;
    }

    /// The place of a month, which is made when there is none yet.
    fn month(&mut self, period: Period) -> usize {
        if self.cells.is_empty() {
            self.first = period;
        }
        let months = period.months_since(self.first);
        if let Ok(earlier) = usize::try_from(-i64::from(months)) {
            self.cells.splice(..0, (0..earlier).map(|_| Vec::new()));
            self.first = period.min(self.first);
        }
        let at = usize::try_from(months).unwrap_or(0);
        if self.cells.len() <= at {
            self.cells.resize(at + 1, Vec::new());
        }
        at
    }

    fn cells_of(&self, period: Period) -> &[Cell] {
        let at = usize::try_from(period.months_since(self.first)).ok();
        at.and_then(|at| self.cells.get(at))
            .map_or(&[], Vec::as_slice)
    }

    /// The months that have cells, oldest first.
    pub fn months(&self) -> impl Iterator<Item = Period> + '_ {
        let months = self.first.to(Period::LAST).zip(&self.cells);
        months
            .filter(|(_, cells)| !cells.is_empty())
            .map(|(period, _)| period)
    }

    /// The organisations that have a figure in the month.
    pub fn with_a_figure(&self, period: Period) -> impl Iterator<Item = OrgIndex> + '_ {
        let cells = self.cells_of(period);
        cells
            .iter()
            .zip(&self.organisations)
            .filter(|(cell, _)| cell.numerator >= REASONS)
            .map(|(_, org)| *org)
    }

    /// Adds up the cells of a month by group, each into the one that `group_of` gives its organisation; those for which it is [`NO_GROUP`]
    /// are left out.
    #[must_use]
    pub fn add_up(&self, period: Period, group_of: &[u32], groups: usize) -> Vec<CellSum> {
        let mut sums = vec![CellSum::default(); groups];
        for (cell, org) in self.cells_of(period).iter().zip(&self.organisations) {
            let group = group_of.get(*org as usize).copied().unwrap_or(NO_GROUP);
            if let Some(sum) = sums.get_mut(group as usize) {
                sum.add(*cell);
            }
        }
        sums
    }
}

/// The group of an organisation that counts for none.
pub const NO_GROUP: u32 = u32::MAX;

/// Accepted returns that are remembered one by one, so that a read of a moment ago can be answered from the columns of now.
const RECENT: usize = 8_192;

/// A quality return that was accepted a short while ago.
#[derive(Clone, Copy, Debug)]
struct Recent {
    stamp: Stamp,
    org: OrgCode,
    period: Period,
}

/// The sums of a column's month, by group.
type Sums = Arc<[CellSum]>;

/// Most sums that are kept, each of a column, a month and a grouping.
const MOST_SUMS: usize = 65_536;

/// Sums that were asked for and still hold: most months of a roll-up never change again. By month and column.
#[derive(Debug, Default)]
struct Remembered(Mutex<Held>);

#[derive(Debug, Default)]
struct Held {
    count: usize,
    months: HashMap<Period, HashMap<u32, Vec<(Arc<TreeGrouping>, Sums)>>>,
}

impl Clone for Remembered {
    /// A clone is made to be changed.
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Remembered {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, period: Period, column: u32, grouping: &Arc<TreeGrouping>) -> Option<Sums> {
        let held = self.held();
        let sums = held.months.get(&period)?.get(&column)?;
        let of_grouping = sums.iter().find(|(held, _)| Arc::ptr_eq(held, grouping));
        of_grouping.map(|(_, sums)| Arc::clone(sums))
    }

    fn keep(&self, period: Period, column: u32, grouping: &Arc<TreeGrouping>, sums: &Sums) {
        let mut held = self.held();
        if held.count == MOST_SUMS {
            *held = Held::default();
        }
        held.count += 1;
        let columns = held.months.entry(period).or_default();
        let kept = (Arc::clone(grouping), Arc::clone(sums));
        columns.entry(column).or_default().push(kept);
    }

    fn forget(&mut self, period: Period, columns: &[u32]) {
        let held = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        let Some(month) = held.months.get_mut(&period) else {
            return;
        };
        for column in columns {
            held.count -= month.remove(column).map_or(0, |sums| sums.len());
        }
    }
}

/// All columns.
#[derive(Clone, Debug, Default)]
pub struct Columns {
    remembered: Remembered,
    numbers: HashMap<OrgCode, OrgIndex>,
    codes: Vec<OrgCode>,
    columns: Vec<ColumnData>,
    by_key: BTreeMap<SeriesKey, Vec<u32>>,
    by_shape: HashMap<Arc<Shape>, Arc<[u32]>>,
    recent: VecDeque<Recent>,
    /// By lane: below this, not every accepted return is in `recent`.
    forgotten: BTreeMap<u32, u64>,
}

impl Columns {
    /// Takes the figures of a return that was accepted, in the place of those that it replaces. Lets it share its shape.
    pub(super) fn replace(
        &mut self,
        org: OrgCode,
        period: Period,
        before: Option<&Observations>,
        now: &mut Observations,
    ) {
        let ids = self.share(now);
        let org = self.number(org);
        if let Some(before) = before
            && before.shape() != now.shape()
        {
            let mut held = before.clone();
            let stale = self.share(&mut held);
            self.remembered.forget(period, &stale);
            for id in stale.iter() {
                self.columns[*id as usize].set(org, period, Cell::EMPTY);
            }
        }
        self.remembered.forget(period, &ids);
        for (id, value) in ids.iter().zip(now.values()) {
            self.columns[*id as usize].set(org, period, Cell::of(value));
        }
    }

    /// Takes note of where an accepted return stands in the log.
    pub(super) fn note(&mut self, stamp: Stamp, org: OrgCode, period: Period) {
        if self.recent.len() == RECENT
            && let Some(old) = self.recent.pop_front()
        {
            self.forgotten.insert(old.stamp.lane, old.stamp.offset + 1);
        }
        self.recent.push_back(Recent { stamp, org, period });
    }

    /// Nothing is known of how the state came to be what it is at these stamps: it was read from a checkpoint.
    pub(super) fn forget(&mut self, stamp: Stamp) {
        let next = self.forgotten.entry(stamp.lane).or_default();
        *next = (*next).max(stamp.offset + 1);
    }

    /// The organisations and months in which the columns say something else than was known at a cut; `None` when that is too long ago
    /// to be told.
    #[must_use]
    pub fn changed_since(&self, cut: &Cut) -> Option<Vec<(OrgCode, Period)>> {
        let told = self
            .forgotten
            .iter()
            .all(|(lane, next)| cut.next(*lane) >= *next);
        told.then(|| {
            let newer = |recent: &&Recent| recent.stamp.offset >= cut.next(recent.stamp.lane);
            let newer = self.recent.iter().filter(newer);
            newer.map(|recent| (recent.org, recent.period)).collect()
        })
    }

    fn number(&mut self, org: OrgCode) -> OrgIndex {
        *self.numbers.entry(org).or_insert_with(|| {
            self.codes.push(org);
            u32::try_from(self.codes.len() - 1).expect("fewer organisations than 2^32")
        })
    }

    pub(super) fn share(&mut self, observations: &mut Observations) -> Arc<[u32]> {
        if let Some((shape, ids)) = self.by_shape.get_key_value(observations.shape()) {
            if !Arc::ptr_eq(shape, observations.shape()) {
                observations.share(shape);
            }
            return Arc::clone(ids);
        }
        let shape = Arc::clone(observations.shape());
        let ids: Arc<[u32]> = shape.columns().iter().map(|c| self.id(*c)).collect();
        self.by_shape.insert(shape, Arc::clone(&ids));
        ids
    }

    fn id(&mut self, column: Column) -> u32 {
        let ids = self.by_key.entry(column.key).or_default();
        let held = ids
            .iter()
            .find(|id| self.columns[**id as usize].column == column);
        if let Some(id) = held {
            return *id;
        }
        let id = u32::try_from(self.columns.len()).expect("fewer columns than 2^32");
        self.columns.push(ColumnData::new(column, id));
        ids.push(id);
        id
    }

    /// The organisations, by their numbers.
    #[must_use]
    pub fn organisations(&self) -> &[OrgCode] {
        &self.codes
    }

    /// The number of an organisation; `None` when it never sent any figures.
    #[must_use]
    pub fn index_of(&self, org: OrgCode) -> Option<OrgIndex> {
        self.numbers.get(&org).copied()
    }

    /// The columns of a series: one for each version of the definition, and for simulated figures their own.
    pub fn of_series(&self, key: SeriesKey) -> impl Iterator<Item = &ColumnData> {
        let ids = self.by_key.get(&key).map(Vec::as_slice).unwrap_or_default();
        ids.iter().map(|id| &self.columns[*id as usize])
    }

    /// The sums of a column's month by the groups of a grouping: `add_up` is asked for them once, and again when anything of the column's
    /// month has changed.
    pub fn sums(
        &self,
        data: &ColumnData,
        period: Period,
        grouping: &Arc<TreeGrouping>,
        add_up: impl FnOnce() -> Vec<CellSum>,
    ) -> Arc<[CellSum]> {
        self.remembered
            .get(period, data.id, grouping)
            .unwrap_or_else(|| {
                let sums = Arc::from(add_up());
                self.remembered.keep(period, data.id, grouping, &sums);
                sums
            })
    }

    /// Every series, in order.
    pub fn series(&self) -> impl Iterator<Item = SeriesKey> + '_ {
        self.by_key.keys().copied()
    }
}
