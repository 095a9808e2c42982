//! The way back: roll-ups of the RTT markers as a table in the layout of the published national and regional sheets.
//!
//! | column | holds |
//! |---|---|
//! | `period`, `pathway` | as in [`rtt`](super::rtt()) |
//! | `level` | kind of the groups (`sha`, `region`, …); `nation` is written `national`, as the published sheets have it |
//! | `rollup_code`, `rollup_name` | the group; `-` for organisations that have none above them |
//! | `tfc_code`, `tfc_name` | treatment function, `999` for the whole |
//! | `total_pathways` … `over_52_weeks` | sums of the counts; empty where no organisation has the figure |
//! | `pct_within_18_weeks_published` | the proportion, 0 to 1, of the sums; empty when nothing was counted |
//!
//! The name of the last column is that of the layout: here the proportion is computed from the two sums beside it. Cells of other markers
//! are left out. Rows come in the order of period, pathway, level as given, code and treatment function.

use std::collections::BTreeMap;

use super::rtt::{Pathway, TOTAL};
use crate::proto::events::v1::Measured;
use crate::proto::projections::v1::RollUpCell;

const HEADER: [&str; 12] = [
    "period",
    "pathway",
    "level",
    "rollup_code",
    "rollup_name",
    "tfc_code",
    "tfc_name",
    "total_pathways",
    "total_known_clock_start",
    "within_18_weeks",
    "over_52_weeks",
    "pct_within_18_weeks_published",
];

/// The cells of one level.
#[derive(Clone, Copy, Debug)]
pub struct RollUpLevel<'a> {
    /// Kind of the groups that the roll-up was asked for.
    pub level: &'a str,
    /// What `ListRollUps` answered, all pages.
    pub cells: &'a [RollUpCell],
}

/// Period, pathway, index of the level, group, treatment function.
type RowKey<'a> = (&'a str, &'static str, usize, &'a str, &'a str);

/// The sums of one row, as far as they are known.
#[derive(Clone, Debug, Default)]
struct Sums<'a> {
    name: &'a str,
    within: Option<Measured>,
    over_52: Option<Measured>,
    clock: Option<Measured>,
}

/// Writes the roll-ups of the RTT markers, with a treatment function's name where `tfc_names` knows it.
#[must_use]
pub fn rtt_rollup_csv(levels: &[RollUpLevel<'_>], tfc_names: &BTreeMap<String, String>) -> String {
    let mut rows: BTreeMap<RowKey<'_>, Sums<'_>> = BTreeMap::new();
    for (index, level) in levels.iter().enumerate() {
        for cell in level.cells {
            gather(index, cell, &mut rows);
        }
    }
    let mut writer = csv::Writer::from_writer(Vec::new());
    let written = "a vector takes every record of twelve fields";
    writer.write_record(HEADER).expect(written);
    for ((period, pathway, level, code, tfc), sums) in rows {
        let level = match levels[level].level {
            "nation" => "national",
            other => other,
        };
        let code = if code.is_empty() { "-" } else { code };
        let name = harmless(sums.name);
        let tfc_name = harmless(tfc_names.get(tfc).map_or("", String::as_str));
        let [total, known, within, over_52, share] = figures(&sums);
        let fields: [&str; 12] = [
            period, pathway, level, code, &name, tfc, &tfc_name, &total, &known, &within, &over_52,
            &share,
        ];
        writer.write_record(fields).expect(written);
    }
    let bytes = writer.into_inner().expect("a vector is always flushed");
    String::from_utf8(bytes).expect("only text was written")
}

fn gather<'a>(level: usize, cell: &'a RollUpCell, rows: &mut BTreeMap<RowKey<'a>, Sums<'a>>) {
    let tfc = match cell.breakdown.as_str() {
        "" => TOTAL,
        part => match part.strip_prefix("tfc:") {
            Some(code) => code,
            None => return,
        },
    };
    for (pathway_name, pathway) in Pathway::NAMES {
        let markers = pathway.markers();
        let marker = cell.marker.as_str();
        if ![Some(markers.within), Some(markers.over_52), markers.clock].contains(&Some(marker)) {
            continue;
        }
        let key = (
            cell.period.as_str(),
            pathway_name,
            level,
            cell.group_code.as_str(),
            tfc,
        );
        let sums = rows.entry(key).or_default();
        sums.name = &cell.group_name;
        let slot = if marker == markers.within {
            &mut sums.within
        } else if marker == markers.over_52 {
            &mut sums.over_52
        } else {
            &mut sums.clock
        };
        *slot = cell.measured;
    }
}

/// Total, known clock start, within 18 weeks, over 52 weeks, proportion: as text, empty where not known.
fn figures(sums: &Sums<'_>) -> [String; 5] {
    let of = |m: Option<Measured>| m.and_then(|m| m.denominator);
    // Both markers share a denominator; where an organisation gave only one of them, the fuller sum is the denominator.
    let judged = match (of(sums.within), of(sums.over_52)) {
        (Some(a), Some(b)) => Some(a.max(b)),
        (a, b) => a.or(b),
    };
    let known = sums.clock.map(|clock| clock.numerator);
    // Organisations without known clock starts count in `judged` with their total, and not at all in the clock marker.
    let total = match (of(sums.clock), known) {
        (Some(total), Some(known)) => Some(total + (judged.unwrap_or(known) - known).max(0.0)),
        _ => judged,
    };
    let share = sums
        .within
        .and_then(|m| m.denominator.filter(|d| *d > 0.0).map(|d| m.numerator / d));
    [
        count(total),
        count(known),
        count(sums.within.map(|m| m.numerator)),
        count(sums.over_52.map(|m| m.numerator)),
        share.map_or_else(String::new, |share| format!("{share:?}")),
    ]
}

fn count(number: Option<f64>) -> String {
    number.map_or_else(String::new, |number| number.to_string())
}

/// A name that a spreadsheet would take for a formula gets an apostrophe in front.
fn harmless(name: &str) -> String {
    if name.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        format!("'{name}")
    } else {
        name.to_owned()
    }
}
