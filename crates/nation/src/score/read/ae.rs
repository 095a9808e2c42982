//! The published monthly A&E figures by provider.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use qipp_domain::Period;

use super::cells::{Row, Sheet, quoted};
use super::fault::{Faults, Log, Place};
use crate::score::real::{AeFigures, Department};

const FILE: &str = "A&E figures";
/// Fewest months: those before the onset and a year from it on.
const FEWEST: usize = 36;
/// Most months that a simulated nation gives savings for.
const MOST: usize = 120;

/// The type 1 departments of a file.
pub(in crate::score) fn read(bytes: &[u8]) -> Result<AeFigures, Faults> {
    let mut log = Log::default();
    let mut found: BTreeMap<String, BTreeMap<Period, Department>> = BTreeMap::new();
    let columns = [
        "period",
        "org_code",
        "ae_type",
        "attendances",
        "over_4h",
        "emergency_admissions",
    ];
    if let Some(mut sheet) = Sheet::open(FILE, bytes, &columns, &[], &mut log) {
        while let Some(row) = sheet.next(&mut log) {
            take(&row, &mut found, &mut log);
        }
    }
    let periods = || found.values().flat_map(BTreeMap::keys).copied();
    let first = periods().min();
    let months = Option::zip(first, periods().max()).map_or(0, |(first, last)| {
        usize::try_from(last.months_since(first)).unwrap_or(0) + 1
    });
    if !(FEWEST..=MOST).contains(&months) {
        let place = Place {
            file: FILE,
            line: 1,
            column: "period",
        };
        let what = format!(
            "there are {months} months of type 1 departments: give {FEWEST} to {MOST}, 24 before the slips and 12 from them on"
        );
        log.fault("NUMBER_OF_MONTHS", place, what);
    }
    let (faults, _) = log.finish();
    match first {
        Some(first) if faults.count == 0 => Ok(AeFigures {
            first,
            months,
            departments: found
                .into_iter()
                .map(|(org, by_period)| {
                    let index =
                        |period: Period| usize::try_from(period.months_since(first)).unwrap_or(0);
                    let by_month = by_period.into_iter().map(|(at, held)| (index(at), held));
                    (org, by_month.collect())
                })
                .collect(),
        }),
        _ => Err(faults),
    }
}

fn take(row: &Row<'_>, found: &mut BTreeMap<String, BTreeMap<Period, Department>>, log: &mut Log) {
    if row.text("ae_type", log) != Some("1") {
        return;
    }
    let org = row.code("org_code", log);
    let period = row.required_month("period", log);
    let attendances = count(row, "attendances", log);
    let over_4h = count(row, "over_4h", log);
    let admissions = count(row, "emergency_admissions", log);
    let (Some(org), Some(period), Some(attendances), Some(over_4h), Some(admissions)) =
        (org, period, attendances, over_4h, admissions)
    else {
        return;
    };
    if over_4h > attendances {
        let what = format!("{over_4h} of {attendances} attendances: a part is more than the whole");
        log.fault("MORE_THAN_ALL", row.place("over_4h"), what);
        return;
    }
    // A month without attendances says nothing of waits.
    if attendances == 0 {
        return;
    }
    let department = Department {
        attendances,
        over_4h,
        admissions,
    };
    match found.entry(org.to_owned()).or_default().entry(period) {
        Entry::Vacant(place) => {
            place.insert(department);
        }
        Entry::Occupied(_) => {
            let what = format!("{} has two rows for {period}: keep one", quoted(org));
            log.fault("CONTRADICTION", row.place("period"), what);
        }
    }
}

fn count(row: &Row<'_>, column: &'static str, log: &mut Log) -> Option<u64> {
    let text = row.text(column, log)?;
    let count = text.parse().ok().filter(|count| *count < 1 << 40);
    if count.is_none() {
        let what = format!("{} is no count: write digits only", quoted(text));
        log.fault("INVALID_NUMBER", row.place(column), what);
    }
    count
}
