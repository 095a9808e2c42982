//! `savings`: monthly savings, one scheme a row.
//!
//! | column | | holds |
//! |---|---|---|
//! | `org_code` | required | ODS code, capital letters |
//! | `period` | required | month, `YYYY-MM` |
//! | `scheme_id` | required | scheme of the organisation, registered before |
//! | `plan_pence` | required | planned for the month |
//! | `actual_pence` | required | delivered in the month |
//! | `actual_ytd_pence` | required | delivered from April to the end of the month |
//! | `forecast_pence` | required | expected for the whole financial year |
//! | `recurrent_pence` | required | of what was delivered in the month, what recurs |
//! | `missing` | required | why there is no figure; words as in a quality file |
//! | `status` | optional | as in a quality file |
//! | `simulated` | optional | `true` when the figures are simulated |
//! | `org_name`, `scheme_title` | ignored | for people |
//!
//! Money is whole pence, without point, separator or sign for pounds; a minus is a reversal. Each cell may be empty: a figure that is
//! not there is not zero. A row states what was delivered (in the month or in the year to date) or why it does not.
//!
//! The rows of one organisation and month become one return, with its lines in the order of the file; it replaces the whole of the
//! organisation's savings month.

use qipp_domain::SchemeId;

use super::faults::{Faults, Parsed, Read};
use super::grouped::Grouped;
use super::quality::{check_status, read_key, read_missing, read_status};
use super::sheet::{Columns, Places, Sheet};
use super::table::{Layout, Row, each_row};
use crate::proto::events::v1::{
    Missing, Return, ReturnStatus, SavingsLine, SavingsReturn, r#return::Body,
};

const LAYOUT: Layout = Layout {
    format: "a savings file",
    required: &[
        "org_code",
        "period",
        "scheme_id",
        "plan_pence",
        "actual_pence",
        "actual_ytd_pence",
        "forecast_pence",
        "recurrent_pence",
        "missing",
    ],
    optional: &["status", "simulated"],
    ignored: &["org_name", "scheme_title"],
};

#[derive(Debug)]
struct Draft {
    status: Option<(ReturnStatus, u64)>,
    places: Places,
    lines: Vec<SavingsLine>,
}

/// Reads a savings file into one return for each organisation and month.
///
/// # Errors
/// All problems of the file, each with its line and column.
pub fn savings(bytes: &[u8]) -> Read<Vec<Return>> {
    savings_sheet(bytes).whole().map(|(returns, _)| returns)
}

/// The same, with what could be read of a file that has faults.
#[must_use]
pub fn savings_sheet(bytes: &[u8]) -> Sheet {
    let mut faults = Faults::default();
    let mut drafts: Grouped<Draft> = Grouped::default();
    each_row(bytes, &LAYOUT, &mut faults, |row, faults| {
        let key = read_key(row, faults);
        let status = read_status(row, faults);
        let line = read_line(row, faults);
        let (Ok(key), Some(line)) = (key, line.ok().or_else(|| stand_in(row))) else {
            return;
        };
        let draft = drafts.entry(key, || Draft {
            status: None,
            places: Places::new(Columns::Savings, row.line()),
            lines: Vec::new(),
        });
        if let Ok(status) = status {
            let first = *draft.status.get_or_insert((status, row.line()));
            check_status(row, status, first, key, faults);
        }
        draft.places.push(row.line(), None);
        draft.lines.push(line);
    });
    let mut sheet = Sheet::default();
    for ((org, period), draft) in drafts.into_groups() {
        let status = draft.status.map_or(ReturnStatus::Provisional, |(s, _)| s);
        sheet.returns.push(Return {
            org_code: org.to_string(),
            period: period.to_string(),
            status: status.into(),
            body: Some(Body::Savings(SavingsReturn { lines: draft.lines })),
            ..Return::default()
        });
        sheet.places.push(draft.places);
    }
    sheet.problems = faults.list();
    sheet
}

/// The line of a row without its figures, when its scheme can be read.
fn stand_in(row: &Row<'_>) -> Option<SavingsLine> {
    let scheme: SchemeId = row.text("scheme_id").ok()?.parse().ok()?;
    Some(SavingsLine {
        scheme_id: scheme.to_string(),
        missing: Missing::NotCollected.into(),
        ..SavingsLine::default()
    })
}

fn read_line(row: &Row<'_>, faults: &mut Faults) -> Parsed<SavingsLine> {
    let scheme = row.cell("scheme_id").code::<SchemeId>(faults);
    let plan = row.cell("plan_pence").pence(faults);
    let actual = row.cell("actual_pence").pence(faults);
    let actual_ytd = row.cell("actual_ytd_pence").pence(faults);
    let forecast = row.cell("forecast_pence").pence(faults);
    let recurrent = row.cell("recurrent_pence").pence(faults);
    let missing = read_missing(row, faults);
    let simulated = row.cell("simulated").flag(faults);
    let line = SavingsLine {
        scheme_id: scheme?.to_string(),
        plan_pence: plan?,
        actual_pence: actual?,
        actual_ytd_pence: actual_ytd?,
        forecast_pence: forecast?,
        recurrent_pence: recurrent?,
        missing: missing?.unwrap_or(Missing::Unspecified).into(),
        simulated: simulated?,
    };
    check_line(row, &line, faults).map(|()| line)
}

/// A line says what was delivered, or why it does not.
fn check_line(row: &Row<'_>, line: &SavingsLine, faults: &mut Faults) -> Parsed<()> {
    let delivered = line.actual_pence.is_some() || line.actual_ytd_pence.is_some();
    let reason = line.missing() != Missing::Unspecified;
    if reason && (delivered || line.recurrent_pence.is_some()) {
        let what =
            "there is a figure of what was delivered and a reason why there is none: keep one";
        return row
            .cell("missing")
            .fault(faults, "FIGURE_AND_MISSING", what);
    }
    if !reason && !delivered {
        let what = "there is no figure: fill in actual_pence or actual_ytd_pence, or say in the column missing why there is none";
        return row.cell("actual_pence").fault(faults, "NO_FIGURE", what);
    }
    Ok(())
}
