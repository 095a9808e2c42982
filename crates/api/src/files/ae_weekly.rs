//! `ae_weekly`: weekly A&E figures of type 1 departments, as months.
//!
//! | column | | holds |
//! |---|---|---|
//! | `week_ending` | required | last day of the week, `YYYY-MM-DD` |
//! | `org_code` | required | ODS code; a row without one is left out and counted in the notes |
//! | `type1_attendances` | required | patients of the week |
//! | `type1_over_4h` | required | of these, longer than four hours; may be empty |
//! | `type1_pct_within_4h` | required | percent within four hours, as published; may be empty |
//! | `org_name_as_published` | optional | only to name the rows left out |
//! | `emergency_admissions_via_type1`, `code_source`, `source` | ignored | |
//!
//! **A week belongs to the month of its last day.** It cannot be split: days are not published. Months therefore have four or five weeks.
//!
//! * `AE_4H_T1`: numerator = patients within four hours, denominator = attendances, both summed over the month's weeks. A week's numerator is
//!   attendances − over_4h where that is given, otherwise attendances × percent / 100, rounded to a whole patient. The percentage has one
//!   decimal, so a derived numerator is within ±0.05% of the attendances; the source of the return says so.
//! * `AE_ATT`: numerator = attendances, denominator = calendar days covered, 7 × the weeks that have attendances.
//!
//! **Complete months only.** The weeks of a month are those for which the file has any organisation. `AE_4H_T1` is given when the organisation
//! has every one of them, each with attendances and a way to tell who waited; otherwise it is left out (`not submitted`) and a note says
//! so: half a month under a month's name would look like a change. `AE_ATT` states the days that it covers, and is given from any week.
//!
//! Status final: the figures are what was published.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use qipp_domain::validate::Problem;
use qipp_domain::{OrgCode, Period};

use super::cell::shown;
use super::faults::{Faults, Parsed, Read};
use super::grouped::{cut_source, quality_return};
use super::reference::Once;
use super::rtt::exact;
use super::sheet::{Columns, Places, Sheet};
use super::table::{Layout, Row, each_row};
use crate::proto::events::v1::{Measured, Observation, Return, ReturnStatus, observation::Value};

const LAYOUT: Layout = Layout {
    format: "a weekly A&E file",
    required: &[
        "week_ending",
        "org_code",
        "type1_attendances",
        "type1_over_4h",
        "type1_pct_within_4h",
    ],
    optional: &["org_name_as_published"],
    ignored: &["emergency_admissions_via_type1", "code_source", "source"],
};

/// What a weekly file gives.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AeWeekly {
    /// One return for each organisation and month, by month and code; see [`merge_quality`](super::merge_quality).
    pub returns: Vec<Return>,
    /// What was left out and why, for people.
    pub notes: Vec<String>,
    /// Rows without an organisation code.
    pub rows_without_code: usize,
}

/// One organisation's week.
#[derive(Clone, Copy, Debug)]
struct Week {
    line: u64,
    attendances: Option<u64>,
    within: Option<u64>,
    derived: bool,
}

type Weeks = BTreeMap<(Period, OrgCode), BTreeMap<Date, Week>>;

/// Reads a weekly A&E file into monthly quality returns. `source` is what the returns name as their source.
///
/// # Errors
/// All problems of the file, each with its line and column.
pub fn ae_weekly(bytes: &[u8], source: &str) -> Read<AeWeekly> {
    let (read, problems) = read_file(bytes, source);
    if problems.is_empty() {
        Ok(AeWeekly {
            returns: read.sheet.returns,
            notes: read.sheet.notes,
            rows_without_code: read.rows_without_code,
        })
    } else {
        Err(problems)
    }
}

/// The same, with what could be read of a file that has faults.
#[must_use]
pub fn ae_weekly_sheet(bytes: &[u8], source: &str) -> Sheet {
    let (read, problems) = read_file(bytes, source);
    Sheet {
        problems,
        ..read.sheet
    }
}

struct Months {
    sheet: Sheet,
    rows_without_code: usize,
}

fn read_file(bytes: &[u8], source: &str) -> (Months, Vec<Problem>) {
    let mut faults = Faults::default();
    let mut weeks = Weeks::new();
    let mut calendar: BTreeMap<Date, u64> = BTreeMap::new();
    let mut once = Once::default();
    let mut nameless: BTreeMap<String, usize> = BTreeMap::new();
    each_row(bytes, &LAYOUT, &mut faults, |row, faults| {
        let day = row.cell("week_ending").day(faults);
        let week = read_week(row, faults);
        if row.text("org_code") == Ok("") {
            let name = row.text("org_name_as_published").unwrap_or_default();
            *nameless.entry(shown(name)).or_default() += 1;
            return;
        }
        let org = row.cell("org_code").code::<OrgCode>(faults);
        let (Ok(day), Ok(week), Ok(org)) = (day, week, org) else {
            return;
        };
        if let Some(first) = once.before((org, day), row.line()) {
            let what = format!("{org} and the week ending {day} stand in line {first}: keep one");
            faults.push("DUPLICATE_ROW", format!("line {}", row.line()), what);
        }
        calendar.entry(day).or_insert(row.line());
        let period = Period::of(day).expect("days are read only from the months that exist");
        weeks.entry((period, org)).or_default().insert(day, week);
    });
    check_calendar(&calendar, &mut faults);
    let mut sheet = Sheet {
        notes: nameless.iter().map(note_nameless).collect(),
        ..Sheet::default()
    };
    months(&weeks, &calendar, source, &mut sheet);
    let read = Months {
        sheet,
        rows_without_code: nameless.values().sum(),
    };
    (read, faults.list())
}

fn note_nameless((name, rows): (&String, &usize)) -> String {
    format!("{rows} row(s) without an organisation code left out: {name}")
}

fn read_week(row: &Row<'_>, faults: &mut Faults) -> Parsed<Week> {
    let attendances = row.cell("type1_attendances").whole(faults);
    let over = row.cell("type1_over_4h").whole(faults);
    let percent = row.cell("type1_pct_within_4h").decimal(faults);
    let (attendances, over, percent) = (attendances?, over?, percent?);
    if let (Some(all), Some(over)) = (attendances, over)
        && over > all
    {
        let what = format!("{over} waited over four hours and {all} attended: check both");
        return row
            .cell("type1_over_4h")
            .fault(faults, "NUMERATOR_ABOVE_DENOMINATOR", what);
    }
    if percent.is_some_and(|percent| percent > 100.0) {
        let what = "more than 100 percent within four hours: check it";
        return row
            .cell("type1_pct_within_4h")
            .fault(faults, "BAD_NUMBER", what);
    }
    let within = match (attendances, over, percent) {
        (Some(all), Some(over), _) => Some(all - over),
        (Some(all), None, Some(percent)) => Some(share(all, percent)),
        _ => None,
    };
    Ok(Week {
        line: row.line(),
        attendances,
        within,
        derived: over.is_none() && within.is_some(),
    })
}

/// `percent` (0 to 100, three decimals at most) of a count, rounded to a whole patient, halves up: in integers, so that no platform differs.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a percentage from 0 to 100 has at most 100,000 thousandths"
)]
fn share(count: u64, percent: f64) -> u64 {
    let thousandths = (percent * 1_000.0).round() as u64;
    (count.saturating_mul(thousandths).saturating_add(50_000)) / 100_000
}

/// Weeks that overlap would count days twice.
fn check_calendar(calendar: &BTreeMap<Date, u64>, faults: &mut Faults) {
    for ((a, _), (b, line)) in calendar.iter().zip(calendar.iter().skip(1)) {
        if a.until(*b).is_ok_and(|span| span.get_days() < 7) {
            let what = format!("the weeks ending {a} and {b} overlap: check the dates");
            faults.push(
                "WEEKS_OVERLAP",
                format!("line {line}, column week_ending"),
                what,
            );
        }
    }
}

fn months(weeks: &Weeks, calendar: &BTreeMap<Date, u64>, source: &str, read: &mut Sheet) {
    let mut expected: BTreeMap<Period, BTreeSet<Date>> = BTreeMap::new();
    for day in calendar.keys() {
        let period = Period::of(*day).expect("days are read only from the months that exist");
        expected.entry(period).or_default().insert(*day);
    }
    for ((period, org), held) in weeks {
        let needed = expected.get(period).map_or(0, BTreeSet::len);
        let mut observations = Vec::new();
        let mut derived = false;
        match within_four_hours(held, needed) {
            Some((within, all, by_percent)) => {
                derived = by_percent;
                observations.push(observation("AE_4H_T1", within, all));
            }
            None => read.notes.push(format!(
                "{org} {period}: AE_4H_T1 left out, {} of {needed} weeks tell who waited",
                held.values().filter(|week| week.within.is_some()).count()
            )),
        }
        let counted: Vec<u64> = held.values().filter_map(|week| week.attendances).collect();
        if !counted.is_empty() {
            let days = 7 * counted.len() as u64;
            observations.push(observation("AE_ATT", sum(counted.into_iter()), days));
        }
        if !observations.is_empty() {
            let source = name_source(source, derived);
            let key = (*org, *period);
            let line = held.values().map(|week| week.line).min().unwrap_or(1);
            let mut places = Places::new(Columns::Weekly, line);
            observations.iter().for_each(|_| places.push(line, None));
            read.places.push(places);
            read.returns.push(quality_return(
                key,
                ReturnStatus::Final,
                source,
                observations,
            ));
        }
    }
}

/// Patients within four hours, all patients, and whether any week's count came from a percentage; `None` unless all weeks are there.
fn within_four_hours(held: &BTreeMap<Date, Week>, needed: usize) -> Option<(u64, u64, bool)> {
    let within: Option<Vec<u64>> = held.values().map(|week| week.within).collect();
    let all: Option<Vec<u64>> = held.values().map(|week| week.attendances).collect();
    let (within, all) = (within?, all?);
    let derived = held.values().any(|week| week.derived);
    (held.len() == needed).then(|| (sum(within.into_iter()), sum(all.into_iter()), derived))
}

fn sum(counts: impl Iterator<Item = u64>) -> u64 {
    counts.fold(0, u64::saturating_add)
}

fn observation(marker: &str, numerator: u64, denominator: u64) -> Observation {
    Observation {
        marker: marker.to_owned(),
        value: Some(Value::Measured(Measured {
            numerator: exact(numerator),
            denominator: Some(exact(denominator)),
        })),
        ..Observation::default()
    }
}

fn name_source(source: &str, derived: bool) -> String {
    const REMARK: &str = " (AE_4H_T1 numerator derived from a one-decimal percentage, +-0.05%)";
    if !derived {
        return cut_source(source);
    }
    let room = super::grouped::MAX_SOURCE - REMARK.len();
    let named: String = source.chars().take(room).collect();
    format!("{named}{REMARK}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_rounded_to_a_whole_patient() {
        assert_eq!(share(1270, 96.8), 1229); // 1229.36
        assert_eq!(share(1000, 98.75), 988); // 987.5
        assert_eq!(share(0, 100.0), 0);
        assert_eq!(share(1_000_000_000_000, 100.0), 1_000_000_000_000);
    }
}
