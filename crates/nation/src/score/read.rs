//! The four files, from anybody's simulator.
//!
//! | file | columns |
//! |---|---|
//! | `markers.csv` | `marker`, `domain`, `polarity` |
//! | `observations.csv` | `org_code`, `period`, `marker`, `numerator`, `denominator`, or `value`; `received` |
//! | `savings.csv` | `org_code`, `period`, `actual_pence`; `plan_pence` and `received` |
//! | `truth.csv` | `org_code`, `kind`, `from`; `until` and `markers` |
//!
//! CSV in UTF-8 with a header. Columns are found by name, in any order; others are ignored, and a note says so. Those after
//! the semicolon may be left out.
//!
//! * Codes and domains are any text of up to 64 characters.
//! * `polarity` is `lower_is_better`, `higher_is_better` or `neutral`; also `lower`, `higher`, `-1`, `+1`, `0`. A neutral marker
//!   has no worse side and is left out.
//! * Months are `YYYY-MM`; a day `YYYY-MM-DD` counts as its month.
//! * Numbers may have decimals and exponents. An empty cell, `NA`, `NaN`, `null` and `None` are missing, never 0; so is what lacks
//!   its row.
//! * A marker whose numerators never exceed their denominators is a proportion, otherwise a rate; one without denominators is
//!   a value. Where a row has parts and a `value`, the parts count.
//! * `received` is the month at whose end the row became known, empty for the month itself. A later row of the same key
//!   restates an earlier one. Rows of the same key and `received` have to be equal.
//! * `kind` is `both`, `savings_only` or `quality_only`; `none` is passed over. `from` and `until` are the first and the last month,
//!   empty `until`: it lasts. `markers` are separated by `;`, `|` or spaces.
//!
//! All faults of all files are found at once. What can't be taken is refused whole.

pub(super) mod ae;
mod cells;
mod fault;
mod returns;
mod truth;

pub use fault::{Fault, Faults, MAX_LISTED};

use super::input::{Input, Returns, Truth};

/// The contents of the files.
#[derive(Clone, Copy, Debug)]
pub struct Files<'a> {
    /// `markers.csv`.
    pub markers: &'a [u8],
    /// `observations.csv`.
    pub observations: &'a [u8],
    /// `savings.csv`.
    pub savings: &'a [u8],
    /// `truth.csv`.
    pub truth: &'a [u8],
}

/// What was read, and what a person should know of how.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// What was returned, and the truth.
    pub input: Input,
    /// What was ignored, left out or taken for something.
    pub notes: Vec<String>,
}

/// Reads the four files.
///
/// # Errors
///
/// All faults, by file and line.
pub fn read(files: &Files<'_>) -> Result<Reading, Faults> {
    let mut log = fault::Log::default();
    let held = returns::read(files, &mut log);
    let truth: Truth = truth::read(files.truth, &held, &mut log);
    let returns::Held { returns, .. } = held;
    let returns: Returns = returns;
    let (faults, notes) = log.finish();
    if faults.count > 0 {
        return Err(faults);
    }
    Ok(Reading {
        input: Input { returns, truth },
        notes,
    })
}

#[cfg(test)]
mod tests;
