//! Do the roll-ups add up? Every cell is computed a second way: the organisations' current returns are walked one by one, each is counted
//! for the group that stands above it, and the sums are integers. Nothing here uses the code that it checks.

use std::collections::{BTreeMap, BTreeSet};

use qipp_domain::marker::RollUp;
use qipp_domain::nation::Nation;
use qipp_domain::reference::{Reference, Tree};
use qipp_domain::returns::{Body, Observation, Value};
use qipp_domain::rollup::{CellKey, Partial, Parts, Query, Structure, roll_up};
use qipp_domain::{Dataset, KnownAt, OrgCode, Period, SeriesKey, Slug};

use super::{Check, grouped};
use crate::verbs::submit::progress;

/// Deeper than any real tree.
const MAX_DEPTH: usize = 16;

pub(super) fn check(nation: &Nation) -> Check {
    let reference = nation.reference(&KnownAt::Latest);
    let months = months(nation);
    let levels: Vec<(&Tree, Slug)> = reference
        .trees()
        .flat_map(|tree| {
            kinds(tree, &reference)
                .into_iter()
                .map(move |level| (tree, level))
        })
        .collect();
    let mut check = Check::new("roll-ups");
    let bar = progress(levels.len() * months.len(), "levels and months");
    for (tree, level) in &levels {
        for month in &months {
            check_month(nation, &reference, tree, *level, *month, &mut check);
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    let trees: BTreeSet<Slug> = levels.iter().map(|(tree, _)| tree.tree).collect();
    check.summary = format!(
        "{} cells of {} trees, {} levels and {} months against their returns, and the groups together against the whole tree",
        grouped(check.checked),
        trees.len(),
        levels.len(),
        months.len()
    );
    check
}

/// Months of any quality return.
fn months(nation: &Nation) -> BTreeSet<Period> {
    let histories = nation.ledgers().flat_map(|(_, ledger)| ledger.histories());
    histories
        .map(|((dataset, period), _)| (dataset, period))
        .filter(|(d, _)| *d == Dataset::Quality)
        .map(|(_, p)| p)
        .collect()
}

/// Kinds that occur in a tree: its levels.
fn kinds(tree: &Tree, reference: &Reference) -> BTreeSet<Slug> {
    tree.members()
        .filter_map(|org| reference.organisation(org))
        .map(|organisation| organisation.kind)
        .collect()
}

fn check_month(
    nation: &Nation,
    reference: &Reference,
    tree: &Tree,
    level: Slug,
    month: Period,
    check: &mut Check,
) {
    let query = Query {
        tree,
        level,
        marker: None,
        parts: Parts::All,
        from: Some(month),
        to: Some(month),
        structure: Structure::AsItWas,
        sources: false,
    };
    let cells = roll_up(nation, reference, &KnownAt::Latest, query).collect();
    let direct = direct(nation, reference, tree, level, month);
    compare(&cells, &direct, &format!("{} {level}", tree.tree), check);
}

/// Holds the cells of a month against the direct sums: cell by cell, and all groups together against the whole tree.
fn compare(cells: &BTreeMap<CellKey, Partial>, direct: &Direct, what: &str, check: &mut Check) {
    let mut together: BTreeMap<SeriesKey, Sum> = BTreeMap::new();
    for (key, partial) in cells {
        let sum = Sum::from(partial);
        together.entry(key.key).or_default().add(&sum);
        check.checked += 1;
        let found = direct.groups.get(&(key.group, key.key));
        if found != Some(&sum) {
            check.differ(|| {
                format!(
                    "{what} {}: rolled up {sum:?}, directly {found:?}",
                    name(key.period, key.group, key.key)
                )
            });
        }
    }
    for (group, key) in direct.groups.keys() {
        let cell = CellKey {
            period: direct.month,
            group: *group,
            key: *key,
        };
        if !cells.contains_key(&cell) {
            check.differ(|| {
                format!(
                    "{what} {}: there are returns and no cell",
                    name(direct.month, *group, *key)
                )
            });
        }
    }
    for (key, whole) in &direct.whole {
        let groups = together.remove(key).unwrap_or_default();
        if groups != *whole {
            check.differ(|| {
                format!(
                    "{what} {} {key}: the groups together are {groups:?}, the whole tree {whole:?}",
                    direct.month
                )
            });
        }
    }
}

fn name(month: Period, group: Option<OrgCode>, key: SeriesKey) -> String {
    let group = group.map_or_else(|| "(none above)".to_owned(), |group| group.to_string());
    format!("{month} {group} {key}")
}

/// Sums made directly from the returns of a month.
struct Direct {
    month: Period,
    groups: BTreeMap<(Option<OrgCode>, SeriesKey), Sum>,
    whole: BTreeMap<SeriesKey, Sum>,
}

fn direct(
    nation: &Nation,
    reference: &Reference,
    tree: &Tree,
    level: Slug,
    month: Period,
) -> Direct {
    let mut sums = Direct {
        month,
        groups: BTreeMap::new(),
        whole: BTreeMap::new(),
    };
    for (org, ledger) in nation.ledgers() {
        let revision = ledger
            .history(Dataset::Quality, month)
            .and_then(|history| history.revisions().last());
        let Some(Body::Quality(observations)) = revision.map(|revision| &revision.content.body)
        else {
            continue;
        };
        let above = above(tree, org, month);
        if !above.contains(&tree.root) {
            continue;
        }
        let is_group = |code: &&OrgCode| {
            reference
                .organisation(**code)
                .is_some_and(|organisation| organisation.kind == level)
        };
        let group = above.iter().find(is_group).copied();
        for observation in observations.iter() {
            let sum = Sum::of(&observation, reference);
            sums.groups
                .entry((group, observation.key))
                .or_default()
                .add(&sum);
            sums.whole.entry(observation.key).or_default().add(&sum);
        }
    }
    sums
}

/// The organisation and all above it on the last day of the month, upwards.
fn above(tree: &Tree, org: OrgCode, month: Period) -> Vec<OrgCode> {
    let mut path = vec![org];
    while path.len() < MAX_DEPTH
        && let Some(parent) = path
            .last()
            .and_then(|last| tree.parent(*last, month.last_day()))
    {
        path.push(parent);
    }
    path
}

/// What a cell says, in thousandths.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Sum {
    numerator: Option<i64>,
    denominator: Option<i64>,
    organisations: u32,
    missing: u32,
    simulated: bool,
}

impl Sum {
    fn of(observation: &Observation, reference: &Reference) -> Self {
        let Value::Measured(measured) = observation.value else {
            return Self {
                missing: 1,
                ..Self::default()
            };
        };
        let definition = reference.marker(observation.key.marker, observation.definition_version);
        let adds_up = definition.is_some_and(|definition| definition.roll_up != RollUp::None);
        Self {
            numerator: adds_up.then(|| measured.numerator.thousandths()),
            denominator: measured
                .denominator
                .filter(|_| adds_up)
                .map(|denominator| denominator.thousandths()),
            organisations: 1,
            missing: 0,
            simulated: observation.simulated,
        }
    }

    fn add(&mut self, other: &Self) {
        let sum = |a: Option<i64>, b: Option<i64>| {
            if a.is_none() && b.is_none() {
                None
            } else {
                Some(a.unwrap_or(0) + b.unwrap_or(0))
            }
        };
        self.numerator = sum(self.numerator, other.numerator);
        self.denominator = sum(self.denominator, other.denominator);
        self.organisations += other.organisations;
        self.missing += other.missing;
        self.simulated |= other.simulated;
    }
}

impl From<&Partial> for Sum {
    fn from(partial: &Partial) -> Self {
        Self {
            numerator: partial
                .measured
                .map(|measured| measured.numerator.thousandths()),
            denominator: partial
                .measured
                .and_then(|measured| measured.denominator)
                .map(|denominator| denominator.thousandths()),
            organisations: partial.organisations,
            missing: partial.missing,
            simulated: partial.simulated,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use qipp_domain::Quantity;
    use qipp_domain::returns::Measured;

    fn key() -> SeriesKey {
        SeriesKey::whole("AE_4H".parse().unwrap())
    }

    fn partial(numerator: i64, denominator: i64) -> Partial {
        let measured = Measured {
            numerator: Quantity::from_count(numerator),
            denominator: Some(Quantity::from_count(denominator)),
        };
        Partial {
            measured: Some(measured),
            organisations: 1,
            ..Partial::default()
        }
    }

    /// Two groups, one of them the empty one, as they were rolled up and as they were added directly.
    fn both() -> (BTreeMap<CellKey, Partial>, Direct) {
        let month: Period = "2012-03".parse().unwrap();
        let groups = [
            (Some("Q30".parse().unwrap()), partial(90, 100)),
            (None, partial(5, 7)),
        ];
        let cells = groups
            .iter()
            .map(|(group, partial)| {
                (
                    CellKey {
                        period: month,
                        group: *group,
                        key: key(),
                    },
                    partial.clone(),
                )
            })
            .collect();
        let mut direct = Direct {
            month,
            groups: BTreeMap::new(),
            whole: BTreeMap::new(),
        };
        for (group, partial) in &groups {
            direct.groups.insert((*group, key()), Sum::from(partial));
            direct
                .whole
                .entry(key())
                .or_default()
                .add(&Sum::from(partial));
        }
        (cells, direct)
    }

    fn differences(change: impl FnOnce(&mut BTreeMap<CellKey, Partial>, &mut Direct)) -> u64 {
        let (mut cells, mut direct) = both();
        change(&mut cells, &mut direct);
        let mut check = Check::new("roll-ups");
        compare(&cells, &direct, "t sha", &mut check);
        check.differences
    }

    #[test]
    fn cells_that_equal_their_returns_are_no_difference() {
        assert_eq!(differences(|_, _| {}), 0);
    }

    #[test]
    fn a_wrong_figure_a_lost_group_and_a_cell_out_of_nothing_are_seen() {
        let wrong = |cells: &mut BTreeMap<CellKey, Partial>, _: &mut Direct| {
            cells.values_mut().for_each(|cell| cell.missing += 1);
        };
        assert_eq!(differences(wrong), 3, "both cells, and their sum");
        assert_eq!(
            differences(|cells, _| drop(cells.pop_first())),
            2,
            "the cell, and the sum"
        );
        assert_eq!(
            differences(|_, direct| {
                direct.groups.pop_first();
            }),
            1
        );
    }
}
