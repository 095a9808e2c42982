//! Text in, chart record out: the pure half of the verb that lets an analyst check any chart of ours against their own.
//!
//! A *chart record* is one JSON object on one line:
//!
//! ```json
//! {"id": "x", "profile": "nhsr_0_2_2",
//!  "options": {"improvement_direction": "increase", "target": null, "rebase": [], "fix_after_n_points": null,
//!              "screen_outliers": true, "missing_in_trend": "refuse"},
//!  "dates": ["2010-04-01"], "values": [4.5], "expected": {}}
//! ```
//!
//! `dates` and `values` are required. `options`, and each of its members, may be absent or null, and then has the value
//! above (`improvement_direction` is `increase`, `decrease` or `neutral`; `missing_in_trend` is `refuse` or `breaks`). An
//! absent `profile` means `nhsr_0_2_2`. All other fields are carried through as they are.
//!
//! `expected` is what the engine computes: columns with one cell per row, sorted by date, under the names of
//! NHSRplotthedots, null where R has NA or NaN; then the icons. Where there is no chart it is `{"error": "code: message"}`,
//! with the code of [`XmrError::code`].
//!
//! CUSUM and EWMA have records of the same shape, with options and columns of their own: [`cusum_json_line`], [`ewma_json_line`].
//!
//! *Architecture invariant*: strings in, strings out. No file is opened here.

use thiserror::Error;

use crate::ParameterError;
use crate::xmr::XmrError;

mod columns;
mod control;
mod csv;
mod record;

pub use control::{
    CusumOptions, EwmaOptions, ScaleOptions, cusum_csv, cusum_json_line, ewma_csv, ewma_json_line,
};
pub use csv::xmr_csv;
pub use record::xmr_json_line;

/// Why an input is not a chart record at all, or which line of a CSV text is at fault.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum ChartInputError {
    /// Not a JSON object, or one with a field twice.
    #[error(
        "not a chart record ({problem}); give one JSON object per line with \"dates\" and \"values\""
    )]
    NotARecord {
        /// What is wrong.
        problem: String,
    },
    /// A record over several lines.
    #[error("a chart record must be on one line; remove the line breaks, for instance with jq -c")]
    SeveralLines,
    /// `dates` or `values` is absent.
    #[error("the record has no field {name:?}; add it as an array with one entry per point")]
    MissingField {
        /// The field.
        name: &'static str,
    },
    /// `dates` or `values` is not an array.
    #[error("the field {name:?} is not an array; give one entry per point")]
    NotAnArray {
        /// The field.
        name: &'static str,
    },
    /// A CSV line that is not two cells.
    #[error(
        "line {line}: {found} cells instead of 2; write date,value with no further columns and no thousands separators"
    )]
    WrongCells {
        /// Line, from 1.
        line: usize,
        /// Cells found.
        found: usize,
    },
    /// A CSV line that cannot be charted.
    #[error("line {line}: {source}")]
    AtLine {
        /// Line, from 1.
        line: usize,
        /// What is wrong with it.
        source: XmrError,
    },
    /// Several CSV lines that cannot be charted.
    #[error("{} faults: {}{}", listed.len() + more, joined(listed), rest(*more))]
    Several {
        /// The first of them, in the order of the lines.
        listed: Vec<ChartInputError>,
        /// How many more there are.
        more: usize,
    },
    /// A CSV text that cannot be charted, for a reason that is not in one line.
    #[error(transparent)]
    Chart(#[from] XmrError),
    /// A design or a scale that cannot be used.
    #[error(transparent)]
    Parameter(#[from] ParameterError),
}

fn joined(faults: &[ChartInputError]) -> String {
    let told: Vec<String> = faults.iter().map(ToString::to_string).collect();
    told.join("; ")
}

fn rest(more: usize) -> String {
    match more {
        0 => String::new(),
        more => format!("; and {more} more lines"),
    }
}
