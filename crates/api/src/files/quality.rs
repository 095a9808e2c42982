//! `quality`: monthly quality markers, one figure a row.
//!
//! | column | | holds |
//! |---|---|---|
//! | `org_code` | required | ODS code of the organisation that the figure is about, capital letters |
//! | `period` | required | month, `YYYY-MM` |
//! | `marker` | required | code of the catalogue, for example `AE_4H` |
//! | `numerator` | required | what was counted: not negative, a point for decimals, at most three of them |
//! | `denominator` | required | of what; empty for a marker that has only a value |
//! | `breakdown` | optional | a part of the marker, `tfc:100`; empty: the whole. Parts are never added to the whole |
//! | `missing` | optional | why there is no figure: `not_collected`, `not_applicable`, `withheld_for_quality` or `suppressed` |
//! | `definition_version` | optional | version of the definition; empty: the one in force for the month |
//! | `status` | optional | `provisional` (also when empty), `final` or `restated`; one for the organisation's whole month |
//! | `simulated` | optional | `true` when the figure is simulated |
//! | `source` | optional | where the figure comes from; the different ones of a month are joined, at most 200 characters together |
//! | `org_name`, `marker_name` | ignored | for people |
//!
//! Each row has either a numerator or a word in `missing`: an empty row is a mistake and missing is never zero. What was not submitted
//! is left out.
//!
//! The rows of one organisation and month become one return, with its observations in the order of the file. A return replaces the
//! whole of the organisation's quality month, so a file has to hold all of it. Whether markers exist, figures fit and nothing comes
//! twice is decided by the same validation that every return meets.

use qipp_domain::{Breakdown, MarkerCode, OrgCode};

use super::cell::{Cell, shown};
use super::faults::{Faults, Parsed, Read};
use super::grouped::{Grouped, Key, MAX_SOURCE, quality_return};
use super::sheet::{Columns, Places, Sheet};
use super::table::{Layout, Row, each_row};
use crate::proto::events::v1::{
    Measured, Missing, Observation, Return, ReturnStatus, observation::Value,
};

const LAYOUT: Layout = Layout {
    format: "a quality file",
    required: &["org_code", "period", "marker", "numerator", "denominator"],
    optional: &[
        "breakdown",
        "missing",
        "definition_version",
        "status",
        "simulated",
        "source",
    ],
    ignored: &["org_name", "marker_name"],
};

const STATUSES: [(&str, ReturnStatus); 3] = [
    ("provisional", ReturnStatus::Provisional),
    ("final", ReturnStatus::Final),
    ("restated", ReturnStatus::Restated),
];

const REASONS: [(&str, Missing); 4] = [
    ("not_collected", Missing::NotCollected),
    ("not_applicable", Missing::NotApplicable),
    ("withheld_for_quality", Missing::WithheldForQuality),
    ("suppressed", Missing::Suppressed),
];

/// What the rows of one organisation's month have in common.
#[derive(Debug)]
struct Draft {
    /// The first that could be read, and its line.
    status: Option<(ReturnStatus, u64)>,
    places: Places,
    sources: Vec<String>,
    observations: Vec<Observation>,
}

/// Reads a quality file into one return for each organisation and month.
///
/// # Errors
/// All problems of the file, each with its line and column.
pub fn quality(bytes: &[u8]) -> Read<Vec<Return>> {
    quality_sheet(bytes).whole().map(|(returns, _)| returns)
}

/// The same, with what could be read of a file that has faults.
#[must_use]
pub fn quality_sheet(bytes: &[u8]) -> Sheet {
    let mut faults = Faults::default();
    let mut drafts: Grouped<Draft> = Grouped::default();
    each_row(bytes, &LAYOUT, &mut faults, |row, faults| {
        // Everything is read before anything is judged, so that all faults of a row are reported at once.
        let key = read_key(row, faults);
        let status = read_status(row, faults);
        let observation = read_observation(row, faults);
        let source = row.text("source");
        let (Ok(key), Some(observation)) = (key, observation.ok().or_else(|| stand_in(row))) else {
            return;
        };
        let draft = drafts.entry(key, || Draft {
            status: None,
            places: Places::new(Columns::Quality, row.line()),
            sources: Vec::new(),
            observations: Vec::new(),
        });
        if let Ok(status) = status {
            let first = *draft.status.get_or_insert((status, row.line()));
            check_status(row, status, first, key, faults);
        }
        if let Ok(source) = source {
            add_source(row, source, &mut draft.sources, faults);
        }
        draft.places.push(row.line(), None);
        draft.observations.push(observation);
    });
    let mut sheet = Sheet::default();
    for (key, draft) in drafts.into_groups() {
        let status = draft.status.map_or(ReturnStatus::Provisional, |(s, _)| s);
        let source = draft.sources.join("; ");
        let ret = quality_return(key, status, source, draft.observations);
        sheet.returns.push(ret);
        sheet.places.push(draft.places);
    }
    sheet.problems = faults.list();
    sheet
}

/// The observation of a row without its figure, when its marker can be read.
fn stand_in(row: &Row<'_>) -> Option<Observation> {
    let marker: MarkerCode = row.text("marker").ok()?.parse().ok()?;
    let breakdown = match row.text("breakdown").ok()? {
        "" => String::new(),
        text => text.parse::<Breakdown>().ok()?.to_string(),
    };
    Some(Observation {
        marker: marker.to_string(),
        breakdown,
        value: Some(Value::Missing(Missing::NotCollected.into())),
        ..Observation::default()
    })
}

/// Organisation and month of a row.
pub(crate) fn read_key(row: &Row<'_>, faults: &mut Faults) -> Parsed<Key> {
    let org = row.cell("org_code").code::<OrgCode>(faults);
    let period = row.cell("period").period(faults);
    Ok((org?, period?))
}

/// The status of a row; provisional when nothing is said, so that nothing becomes final by silence.
pub(crate) fn read_status(row: &Row<'_>, faults: &mut Faults) -> Parsed<ReturnStatus> {
    let status = row.cell("status").word(&STATUSES, faults)?;
    Ok(status.unwrap_or(ReturnStatus::Provisional))
}

/// Why there is no figure, when the row says so.
pub(crate) fn read_missing(row: &Row<'_>, faults: &mut Faults) -> Parsed<Option<Missing>> {
    let cell = row.cell("missing");
    if cell.text()?.eq_ignore_ascii_case("not_submitted") {
        let what = "what was not submitted is not in the file: take the row out";
        return cell.fault(faults, "NOT_SUBMITTED_STATED", what);
    }
    cell.word(&REASONS, faults)
}

/// Reports a row whose status differs from that of the first row of its return.
pub(crate) fn check_status(
    row: &Row<'_>,
    status: ReturnStatus,
    (first, line): (ReturnStatus, u64),
    (org, period): Key,
    faults: &mut Faults,
) {
    if status != first {
        let name = |s| {
            STATUSES
                .iter()
                .find(|(_, t)| *t == s)
                .map_or("", |(n, _)| n)
        };
        let what = format!(
            "{} here and {} in line {line}: {org} {period} is one return and has one status, write it in each of its rows",
            name(status),
            name(first)
        );
        faults.push("STATUS_DIFFERS", row.cell("status").field(), what);
    }
}

fn add_source(row: &Row<'_>, source: &str, sources: &mut Vec<String>, faults: &mut Faults) {
    if source.is_empty() || sources.iter().any(|held| held == source) {
        return;
    }
    let held: usize = sources.iter().map(|s| s.chars().count() + 2).sum();
    if held + source.chars().count() > MAX_SOURCE {
        let what = format!(
            "the sources of the organisation's month are longer than {MAX_SOURCE} characters together: shorten them"
        );
        faults.push("SOURCE_TOO_LONG", row.cell("source").field(), what);
        return;
    }
    sources.push(source.to_owned());
}

fn read_observation(row: &Row<'_>, faults: &mut Faults) -> Parsed<Observation> {
    let marker = row.cell("marker").code::<MarkerCode>(faults);
    let breakdown = read_breakdown(row.cell("breakdown"), faults);
    let version = read_version(row.cell("definition_version"), faults);
    let simulated = row.cell("simulated").flag(faults);
    let value = read_value(row, faults);
    Ok(Observation {
        marker: marker?.to_string(),
        definition_version: version?,
        breakdown: breakdown?,
        simulated: simulated?,
        value: Some(value?),
    })
}

fn read_breakdown(cell: Cell<'_>, faults: &mut Faults) -> Parsed<String> {
    if cell.text()?.is_empty() {
        return Ok(String::new());
    }
    cell.code::<Breakdown>(faults).map(|part| part.to_string())
}

fn read_version(cell: Cell<'_>, faults: &mut Faults) -> Parsed<u32> {
    let stated = cell.whole(faults)?.unwrap_or(0);
    u32::try_from(stated).or_else(|_| {
        let what = format!("{stated} is not a version: versions count from 1");
        cell.fault(faults, "BAD_NUMBER", what)
    })
}

fn read_value(row: &Row<'_>, faults: &mut Faults) -> Parsed<Value> {
    let numerator = row.cell("numerator").decimal(faults);
    let denominator = row.cell("denominator").decimal(faults);
    let missing = read_missing(row, faults);
    match (numerator?, denominator?, missing?) {
        (Some(numerator), denominator, None) => Ok(Value::Measured(Measured {
            numerator,
            denominator,
        })),
        (None, None, Some(reason)) => Ok(Value::Missing(reason.into())),
        (None, _, None) => {
            let what = "there is no figure: fill in the numerator, say in the column missing why there is none, or take the row out";
            row.cell("numerator").fault(faults, "NO_FIGURE", what)
        }
        (_, _, Some(_)) => {
            let reason = shown(row.text("missing")?);
            let what =
                format!("there is a figure and a reason why there is none ({reason}): keep one");
            row.cell("missing")
                .fault(faults, "FIGURE_AND_MISSING", what)
        }
    }
}
