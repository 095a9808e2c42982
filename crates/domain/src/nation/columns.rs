//! The current figures by column: for every series and month one run of memory with a cell for each organisation.
//!
//! Ledgers hold what every organisation said, with all its revisions; adding up ten thousand organisations from there would visit ten
//! thousand places in memory for each month. This is the same current figures a second time, laid out as roll-ups read them. It is
//! derived: no checkpoint holds it, and no decision is made from it.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::reference::TreeGrouping;
use crate::returns::{Column, Figure, Measured, Missing, Observations, Scaled, Shape};
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

    fn of(figure: Figure) -> Self {
        match figure {
            Figure::Missing(missing) => {
                let index = Missing::NAMES.iter().position(|(held, _)| *held == missing);
                let index = index.and_then(|index| i64::try_from(index).ok());
                Self {
                    numerator: ABSENT + 1 + index.expect("every reason is listed"),
                    denominator: NONE,
                }
            }
            Figure::Measured(numerator, denominator) => {
                let thousandths = |number| Quantity::from(number).thousandths();
                Self {
                    numerator: thousandths(numerator).max(REASONS),
                    denominator: denominator
                        .map_or(NONE, |denominator| thousandths(denominator).max(NONE + 1)),
                }
            }
        }
    }
}

/// A cell in half the room: whole counts that fit, and the reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Narrow {
    numerator: u32,
    denominator: u32,
}

/// The most that a narrow cell counts. Above are the reasons, in the order of their wide cells from the end, and what is absent.
const MOST_NARROW: u32 = u32::MAX - 16;

impl Narrow {
    const EMPTY: Self = Self {
        numerator: u32::MAX,
        denominator: u32::MAX,
    };

    #[inline]
    fn of(figure: Figure) -> Option<Self> {
        let whole = |number| match number {
            Scaled::Units(units) => u32::try_from(units)
                .ok()
                .filter(|units| *units <= MOST_NARROW),
            Scaled::Thousandths(_) => None,
        };
        Some(match figure {
            Figure::Missing(missing) => Self {
                numerator: u32::MAX
                    - u32::try_from(Cell::of(Figure::Missing(missing)).numerator - ABSENT).ok()?,
                denominator: u32::MAX,
            },
            Figure::Measured(numerator, denominator) => Self {
                numerator: whole(numerator)?,
                denominator: match denominator {
                    None => u32::MAX,
                    Some(denominator) => whole(denominator)?,
                },
            },
        })
    }

    fn widened(self) -> Cell {
        Cell {
            numerator: match self.numerator {
                reason if reason > MOST_NARROW => ABSENT + i64::from(u32::MAX - reason),
                units => i64::from(units) * 1000,
            },
            denominator: match self.denominator {
                u32::MAX => NONE,
                units => i64::from(units) * 1000,
            },
        }
    }
}

/// The cells of a month by row. Nearly all figures are whole counts, and memory is what bounds both a fold and a roll-up.
#[derive(Clone, Debug)]
enum Run {
    Narrow(Vec<Narrow>),
    Wide(Vec<Cell>),
}

impl Run {
    const EMPTY: Self = Self::Narrow(Vec::new());

    fn is_empty(&self) -> bool {
        match self {
            Self::Narrow(cells) => cells.is_empty(),
            Self::Wide(cells) => cells.is_empty(),
        }
    }

    /// Sets a cell; there are `rows` rows.
    #[inline]
    fn set(&mut self, row: usize, rows: usize, figure: Figure) {
        match (&mut *self, Narrow::of(figure)) {
            (Self::Narrow(cells), Some(narrow)) => put(cells, row, rows, narrow, Narrow::EMPTY),
            (Self::Wide(cells), _) => put(cells, row, rows, Cell::of(figure), Cell::EMPTY),
            (Self::Narrow(cells), None) => {
                let mut wide = cells.iter().map(|cell| cell.widened()).collect();
                put(&mut wide, row, rows, Cell::of(figure), Cell::EMPTY);
                *self = Self::Wide(wide);
            }
        }
    }

    /// Empties a cell.
    fn clear(&mut self, row: usize) {
        match self {
            Self::Narrow(cells) => cells.get_mut(row).map(|cell| *cell = Narrow::EMPTY),
            Self::Wide(cells) => cells.get_mut(row).map(|cell| *cell = Cell::EMPTY),
        };
    }

    /// The cells, by row.
    fn cells(&self) -> impl Iterator<Item = Cell> + '_ {
        let (narrow, wide): (&[Narrow], &[Cell]) = match self {
            Self::Narrow(cells) => (cells, &[]),
            Self::Wide(cells) => (&[], cells),
        };
        let narrow = narrow.iter().map(|cell| cell.widened());
        narrow.chain(wide.iter().copied())
    }
}

#[inline]
fn put<C: Copy>(cells: &mut Vec<C>, row: usize, rows: usize, cell: C, empty: C) {
    if cells.len() <= row {
        // A month usually ends with as many organisations as there are: room for them at once.
        cells.reserve_exact(rows.max(row + 1) - cells.len());
        cells.resize(row + 1, empty);
    }
    cells[row] = cell;
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
    cells: Vec<Run>,
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
    fn set(&mut self, org: OrgIndex, period: Period, figure: Figure) {
        let row = self.row(org);
        let rows = self.organisations.len();
        let month = self.month(period);
        self.cells[month].set(row, rows, figure);
    }

    /// Takes away what an organisation said of a month.
    fn clear(&mut self, org: OrgIndex, period: Period) {
        let row = self.row(org);
        let month = self.month(period);
        self.cells[month].clear(row);
    }

    /// The place of a month, which is made when there is none yet.
    fn month(&mut self, period: Period) -> usize {
        if self.cells.is_empty() {
            self.first = period;
        }
        let months = period.months_since(self.first);
        if let Ok(earlier) = usize::try_from(-i64::from(months)) {
            self.cells.splice(..0, (0..earlier).map(|_| Run::EMPTY));
            self.first = period.min(self.first);
        }
        let at = usize::try_from(months).unwrap_or(0);
        if self.cells.len() <= at {
            self.cells.resize(at + 1, Run::EMPTY);
        }
        at
    }

    /// The organisations with their cells of a month.
    fn cells_of(&self, period: Period) -> impl Iterator<Item = (OrgIndex, Cell)> + '_ {
        let at = usize::try_from(period.months_since(self.first)).ok();
        let run = at.and_then(|at| self.cells.get(at));
        let cells = run.into_iter().flat_map(Run::cells);
        self.organisations.iter().copied().zip(cells)
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
        self.cells_of(period)
            .filter(|(_, cell)| cell.numerator >= REASONS)
            .map(|(org, _)| org)
    }

    /// Adds up the cells of a month by group, each into the one that `group_of` gives its organisation; those for which it is [`NO_GROUP`]
    /// are left out.
    #[must_use]
    pub fn add_up(&self, period: Period, group_of: &[u32], groups: usize) -> Vec<CellSum> {
        let mut sums = vec![CellSum::default(); groups];
        // Within, so that the loop is one over one kind of cells.
        self.cells_of(period).for_each(|(org, cell)| {
            let group = group_of.get(org as usize).copied().unwrap_or(NO_GROUP);
            if let Some(sum) = sums.get_mut(group as usize) {
                sum.add(cell);
            }
        });
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

/// The sums of a column's month by group, and by which grouping.
type Sums = (Arc<TreeGrouping>, Arc<[CellSum]>);

/// Most sums that are kept, of all groups together: 64 MiB.
const MOST_SUMS: usize = 2 * 1024 * 1024;

/// Sums that were asked for and still hold: most months of a roll-up never change again. By month and column.
#[derive(Debug, Default)]
struct Remembered(Mutex<Held>);

#[derive(Debug, Default)]
struct Held {
    count: usize,
    months: HashMap<Period, HashMap<u32, Vec<Sums>>>,
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

    fn get(
        &self,
        period: Period,
        column: u32,
        grouping: &Arc<TreeGrouping>,
    ) -> Option<Arc<[CellSum]>> {
        let held = self.held();
        let sums = held.months.get(&period)?.get(&column)?;
        let of_grouping = sums.iter().find(|(held, _)| Arc::ptr_eq(held, grouping));
        of_grouping.map(|(_, sums)| Arc::clone(sums))
    }

    fn keep(&self, period: Period, column: u32, (grouping, sums): Sums) {
        let mut held = self.held();
        if held.count + sums.len() > MOST_SUMS {
            *held = Held::default();
        }
        held.count += sums.len();
        let columns = held.months.entry(period).or_default();
        columns.entry(column).or_default().push((grouping, sums));
    }

    fn forget(&mut self, period: Period, columns: &[u32]) {
        let held = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        let Some(month) = held.months.get_mut(&period) else {
            return;
        };
        for column in columns {
            let gone = month.remove(column).unwrap_or_default();
            held.count -= gone.iter().map(|(_, sums)| sums.len()).sum::<usize>();
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
                self.columns[*id as usize].clear(org, period);
            }
        }
        self.remembered.forget(period, &ids);
        for (id, figure) in ids.iter().zip(now.scaled()) {
            self.columns[*id as usize].set(org, period, figure);
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
                let kept = (Arc::clone(grouping), Arc::clone(&sums));
                self.remembered.keep(period, data.id, kept);
                sums
            })
    }

    /// Every series, in order.
    pub fn series(&self) -> impl Iterator<Item = SeriesKey> + '_ {
        self.by_key.keys().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(numerator: i64, denominator: Option<i64>) -> Figure {
        let scaled = |thousandths| Scaled::from(Quantity::from_thousandths(thousandths));
        Figure::Measured(scaled(numerator), denominator.map(scaled))
    }

    #[test]
    fn a_cell_is_the_same_in_half_the_room_or_needs_all_of_it() {
        let most = i64::from(MOST_NARROW) * 1000;
        let fits = [
            measured(0, None),
            measured(0, Some(0)),
            measured(1000, Some(most)),
            measured(most, None),
        ];
        let reasons = Missing::NAMES.map(|(missing, _)| Figure::Missing(missing));
        for figure in fits.into_iter().chain(reasons) {
            let narrow = Narrow::of(figure).map(Narrow::widened);
            assert_eq!(narrow, Some(Cell::of(figure)));
        }
        assert_eq!(Narrow::EMPTY.widened(), Cell::EMPTY);
        for figure in [
            measured(1, None),
            measured(-1000, None),
            measured(most + 1000, None),
            measured(0, Some(500)),
            measured(0, Some(most + 1000)),
        ] {
            assert_eq!(Narrow::of(figure), None, "{figure:?}");
        }
    }

    #[test]
    fn a_run_that_widens_keeps_its_cells() {
        let mut run = Run::EMPTY;
        let reason = Figure::Missing(Missing::Suppressed);
        let (count, share) = (measured(7000, None), measured(1, None));
        run.set(2, 4, count);
        run.set(0, 4, reason);
        run.set(3, 4, share);
        run.set(1, 4, count);
        let cells: Vec<Cell> = run.cells().collect();
        assert_eq!(cells, [reason, count, count, share].map(Cell::of));
        run.clear(1);
        assert_eq!(run.cells().nth(1), Some(Cell::EMPTY));
    }
}
