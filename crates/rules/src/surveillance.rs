//! Surveillance: who saves more *and* slips, jointly decided over all organisations of a kind at a stated false discovery rate.
//!
//! The statistics are those of [`qipp_spc::surveillance`], which knows numbers only. Here figures become the numbers that it wants:
//!
//! * [`mod@table`]: figures by organisation, marker and month → transformed, and turned so that up is more savings or worse quality;
//! * `faults.rs`: what of them cannot be trusted (a return that copies the month before, a denominator that jumps);
//! * [`mod@review`]: the returns known at a moment as such a table, and the decision as a fact;
//! * [`mod@decide`]: which month is to be decided, and is that news?
//!
//! Charts never raise an alert; this does (design §7). Nothing here says why anything moved.

pub mod decide;
mod faults;
pub mod review;
pub mod table;

pub use decide::{Decided, decide};
pub use qipp_spc::surveillance::{Assessment, Options, SurveillanceError};
pub use review::{frontier, kinds, options, review};
pub use table::{Adverse, Floors, Measure, Table};

/// Assesses all organisations of a table at the end of month `end − 1`, from what the months before hold.
///
/// Deterministic in its arguments: `seed` is for resampling only.
///
/// # Errors
///
/// [`SurveillanceError`] when `end` is no month of the table, it has no measure, or an option is out of its range.
pub fn assess(
    table: &Table,
    end: usize,
    options: &Options,
    seed: u64,
) -> Result<Assessment, SurveillanceError> {
    let panel = table.panel(end);
    let mut found = qipp_spc::surveillance::assess(&panel, panel.months, options, seed)?;
    // Of a long table the panel holds the latest years only; months are told as the table counts them.
    let skipped = end.min(table.months()) - panel.months;
    for alert in found.alerts.iter_mut().chain(&mut found.watch) {
        alert.since += skipped;
    }
    Ok(found)
}
