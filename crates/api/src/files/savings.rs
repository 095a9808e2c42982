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

use qipp_domain::{OrgCode, Period, SchemeId};

use super::faults::{Faults, Parsed, Read};
use super::grouped::Grouped;
use super::quality::{check_status, keep_keyless, read_missing, read_status};
use super::sheet::{Placed, Sheet};
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
    /// The first one that could be read, and its line.
    status: Option<(ReturnStatus, u64)>,
    first_line: u64,
    lines: Vec<SavingsLine>,
    places: Vec<u64>,
}

/// Reads a savings file into one return for each organisation and month.
///
/// # Errors
/// All problems of the file, each with its line and column.
pub fn savings(bytes: &[u8]) -> Read<Vec<Return>> {
    savings_sheet(bytes).whole()
}

/// Reads a savings file into its returns, with their lines, and its problems.
#[must_use]
pub fn savings_sheet(bytes: &[u8]) -> Sheet {
    let mut faults = Faults::default();
    let mut drafts: Grouped<Draft> = Grouped::default();
    let mut keyless = Vec::new();
    each_row(bytes, &LAYOUT, &mut faults, |row, faults| {
        let org = row.cell("org_code").code::<OrgCode>(faults);
        let period = row.cell("period").period(faults);
        let status = read_status(row, faults);
        let line = read_line(row, faults).or_else(|_| stand_in(row));
        let (Ok(org), Ok(period)) = (org, period) else {
            keep_keyless(&mut keyless, row, org.ok(), period.ok(), |ret| {
                let lines = line.into_iter().collect();
                ret.body = Some(Body::Savings(SavingsReturn { lines }));
            });
            return;
        };
        let key = (org, period);
        let draft = drafts.entry(key, || Draft {
            status: None,
            first_line: row.line(),
            lines: Vec::new(),
            places: Vec::new(),
        });
        if let Ok(status) = status {
            let first = *draft.status.get_or_insert((status, row.line()));
            check_status(row, status, first, key, faults);
        }
        if let Ok(line) = line {
            draft.lines.push(line);
            draft.places.push(row.line());
        }
    });
    let placed = |((org, period), draft): ((OrgCode, Period), Draft)| Placed {
        ret: Return {
            org_code: org.to_string(),
            period: period.to_string(),
            status: draft
                .status
                .map_or(ReturnStatus::Provisional, |(status, _)| status)
                .into(),
            body: Some(Body::Savings(SavingsReturn { lines: draft.lines })),
            ..Return::default()
        },
        first: draft.first_line,
        lines: draft.places,
    };
    let returns = drafts.into_groups().into_iter().map(placed);
    Sheet::new(returns.chain(keyless).collect(), faults)
}

/// The line of a row without its figures, when it can be told of which scheme it is. Its problem is in the list: it is never submitted.
fn stand_in(row: &Row<'_>) -> Parsed<SavingsLine> {
    let mut told = Faults::default();
    Ok(SavingsLine {
        scheme_id: row
            .cell("scheme_id")
            .code::<SchemeId>(&mut told)?
            .to_string(),
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
