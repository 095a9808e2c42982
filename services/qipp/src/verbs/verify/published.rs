//! Do our roll-ups equal those that were published? Ours are written in the published layout, by the same function as
//! `qipp query rollup --rtt-csv`, read back, and compared count by count.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use qipp_api::files::{RollUpLevel, rtt_rollup_csv};
use qipp_api::proto::projections::v1::RollUpCell;
use qipp_api::view::roll_up_cell;
use qipp_domain::nation::Nation;
use qipp_domain::rollup::{Parts, Query, Structure, roll_up};
use qipp_domain::{KnownAt, Period, Slug};

use super::{Check, grouped};
use crate::exit::{Failure, NOT_FOUND, REFUSED};
use crate::files;
use crate::published::{Cells, GROUP, Key, LEVEL, PERIOD, difference, parse};

/// How the layout names the level of the nation.
const NATIONAL: &str = "national";

/// Month, level and group.
type Group = (String, String, String);

/// A published file.
pub(super) struct Published {
    path: PathBuf,
    cells: Cells,
}

impl Published {
    /// # Errors
    /// When it can't be read, or is not in the layout.
    pub(super) fn read(path: &Path) -> Result<Self, Failure> {
        let refused = |what: String| Failure::new(REFUSED, format!("{}: {what}", path.display()));
        let text = String::from_utf8(files::read(path)?)
            .map_err(|_| refused("the text is not UTF-8".to_owned()))?;
        Ok(Self {
            path: path.to_owned(),
            cells: parse(&text).map_err(refused)?,
        })
    }

    /// Compares with the roll-ups of the tree.
    ///
    /// # Errors
    /// When there is no such tree, or the file names a level or month that can't be one.
    pub(super) fn check(&self, nation: &Nation, tree: Slug) -> Result<Check, Failure> {
        let ours = self.ours(nation, tree)?;
        Ok(compare(&self.cells, &ours))
    }

    fn ours(&self, nation: &Nation, tree: Slug) -> Result<Cells, Failure> {
        let bad = |what: String| Failure::new(REFUSED, format!("{}: {what}", self.path.display()));
        let reference = nation.reference(&KnownAt::Latest);
        let tree = reference
            .tree(tree)
            .ok_or_else(|| Failure::new(NOT_FOUND, format!("the data has no tree `{tree}`")))?;
        let periods: BTreeSet<&str> = self.cells.keys().map(|key| key[PERIOD].as_str()).collect();
        let month = |text: Option<&&str>| {
            text.map(|text| text.parse::<Period>())
                .transpose()
                .map_err(|error| bad(error.to_string()))
        };
        let (from, to) = (month(periods.first())?, month(periods.last())?);
        let levels: BTreeSet<&str> = self.cells.keys().map(|key| key[LEVEL].as_str()).collect();
        let mut cells: Vec<(String, Vec<RollUpCell>)> = Vec::new();
        for level in levels {
            let level: Slug = if level == NATIONAL { "nation" } else { level }
                .parse()
                .map_err(|error| bad(format!("{error}")))?;
            let query = Query {
                tree,
                level,
                marker: None,
                parts: Parts::All,
                from,
                to,
                structure: Structure::AsItWas,
                sources: false,
            };
            let rolled = roll_up(nation, &reference, &KnownAt::Latest, query);
            cells.push((
                level.to_string(),
                rolled
                    .map(|(key, partial)| roll_up_cell(&key, "", &partial))
                    .collect(),
            ));
        }
        let levels: Vec<RollUpLevel<'_>> = cells
            .iter()
            .map(|(level, cells)| RollUpLevel { level, cells })
            .collect();
        parse(&rtt_rollup_csv(&levels, &BTreeMap::new()))
            .map_err(|what| anyhow::anyhow!("our own layout can't be read: {what}").into())
    }
}

fn compare(published: &Cells, ours: &Cells) -> Check {
    let mut check = Check::new("published");
    let comparable = comparable(published, ours);
    let held = published
        .iter()
        .filter(|(key, _)| comparable.contains(&group(key)));
    for (key, counts) in held {
        check.checked += 1;
        if let Some(what) = difference(key, counts, ours.get(key)) {
            check.differ(|| what);
        }
    }
    let equal = check.checked - check.differences;
    check.summary = format!("{equal} of {} published cells equal", check.checked);
    let beyond = published.len() as u64 - check.checked;
    if beyond > 0 {
        let what = format!(
            "; {} more are of groups and months that the data does not hold, or not in full",
            grouped(beyond)
        );
        check.summary.push_str(&what);
    }
    if check.checked == 0 {
        check.differ(|| {
            "nothing could be compared: is it the right tree, and are the waiting times loaded?"
                .to_owned()
        });
    }
    check
}

fn group(key: &Key) -> Group {
    (key[PERIOD].clone(), key[LEVEL].clone(), key[GROUP].clone())
}

/// Groups of which the data holds something. The nation of a month can be compared only where all groups of the month are held.
fn comparable(published: &Cells, ours: &Cells) -> BTreeSet<Group> {
    let held: BTreeSet<Group> = ours.keys().map(group).collect();
    let named: BTreeSet<Group> = published.keys().map(group).collect();
    let partly: BTreeSet<&str> = named
        .difference(&held)
        .map(|(period, ..)| period.as_str())
        .collect();
    let is_whole = |group: &&Group| group.1 != NATIONAL || !partly.contains(group.0.as_str());
    named
        .intersection(&held)
        .filter(is_whole)
        .cloned()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "period,pathway,level,rollup_code,rollup_name,tfc_code,tfc_name,total_pathways,total_known_clock_start,within_18_weeks,over_52_weeks";

    fn cells(rows: &[&str]) -> Cells {
        parse(&format!("{HEADER}\r\n{}\r\n", rows.join("\r\n"))).unwrap()
    }

    const ENGLAND: &str =
        "2009-12,admitted,national,ENG,England,120,\"Ear, Nose & Throat\",10,9,8,0";
    const NORTH: &str = "2009-12,admitted,sha,Q30,North East,120,ENT,10,9,8,0";

    #[test]
    fn equal_cells_are_counted_and_a_changed_or_lost_one_is_listed() {
        let published = cells(&[ENGLAND, NORTH]);
        let check = compare(&published, &published);
        assert_eq!(
            (check.summary.as_str(), check.is_equal()),
            ("2 of 2 published cells equal", true)
        );
        let mut ours = published.clone();
        *ours.values_mut().next().unwrap() = [Some(10), None, Some(8), Some(1)];
        let check = compare(&published, &ours);
        assert_eq!(check.differences, 1);
        assert!(
            check.shown[0].contains(
                "total_known_clock_start published 9, ours none; over_52_weeks published 0, ours 1"
            ),
            "{:?}",
            check.shown
        );
    }

    #[test]
    fn a_group_that_the_data_does_not_hold_is_not_compared_and_neither_is_its_nation() {
        let published = cells(&[
            ENGLAND,
            NORTH,
            "2009-12,admitted,sha,Q31,North West,120,ENT,1,1,1,0",
        ]);
        let check = compare(&published, &cells(&[ENGLAND, NORTH]));
        assert_eq!((check.checked, check.differences), (1, 0));
        assert!(check.summary.contains("2 more"), "{}", check.summary);
        assert_eq!(
            compare(&published, &Cells::new()).differences,
            1,
            "nothing compared is no success"
        );
    }
}
