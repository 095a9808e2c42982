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
//! absent `profile` means `nhsr_0_2_2`; the others are `mdc_excel_2024` and `mdc_excel_2024_run6`, under which
//! `screen_outliers` is false and `missing_in_trend` is `breaks` when absent. `n_run` in the options, 6 or 7, chooses between
//! these two. The profile that drew a chart is written into its record. All other fields are carried through as they are.
//!
//! `expected` is what the engine computes: columns with one cell per row, sorted by date, under the names of
//! NHSRplotthedots, null where R has NA or NaN; then the icons, null where the profile shows none. Where there is no chart it is `{"error": "code: message"}`,
//! with the code of [`XmrError::code`].
//!
//! Funnels have records of their own; [`funnel_json_line`] says how it goes, with `group`, `numerator` and `denominator` for columns, `mode` for
//! the profile, and as options `data_type` (`PR`, `RC` or `SR`), `limit` (95 or 99), `draw_adjusted`, `draw_unadjusted`, `sr_method` (`SHMI` or
//! `CQC`), `trim_by`, `multiplier` and `shmi_rounding`.
//!
//! CUSUM and EWMA have records of the same shape, with options and columns of their own: [`cusum_json_line`], [`ewma_json_line`].
//!
//! *Architecture invariant*: strings in, strings out. No file is opened here.

use thiserror::Error;

use crate::ParameterError;
use crate::funnel::FunnelError;
use crate::xmr::XmrError;

mod control;
mod csv;
mod funnel;
mod record;
#[cfg(test)]
mod testing;
mod xmr;

pub use control::{
    CusumOptions, EwmaOptions, ScaleOptions, cusum_csv, cusum_json_line, ewma_csv, ewma_json_line,
};
pub use csv::xmr_csv;
pub use funnel::{funnel_csv, funnel_json_line, funnel_json_line_in};
pub use xmr::{xmr_json_line, xmr_json_line_under};

/// Why an input is not a chart record at all, or which line of a CSV text is at fault.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum ChartInputError {
    /// Not a JSON object, or one with a field twice.
    #[error(
        "not a chart record ({problem}); give one JSON object per line, with one array for each column"
    )]
    NotARecord {
        /// What is wrong.
        problem: String,
    },
    /// A record over several lines.
    #[error("a chart record must be on one line; remove the line breaks, for instance with jq -c")]
    SeveralLines,
    /// A required column, such as `dates`, is absent.
    #[error("the record has no field {name:?}; add it as an array with one entry per point")]
    MissingField {
        /// The field.
        name: &'static str,
    },
    /// A required column, such as `dates`, is not an array.
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
    /// A line of a funnel's CSV that cannot be drawn.
    #[error("line {line}: {source}")]
    FunnelAtLine {
        /// Line, from 1.
        line: usize,
        /// What is wrong with it.
        source: FunnelError,
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
    /// The CSV text of a funnel that cannot be drawn, for a reason that is not in one line.
    #[error(transparent)]
    Funnel(#[from] FunnelError),
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
