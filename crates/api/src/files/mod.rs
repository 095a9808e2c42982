//! The file formats: tables of text in, messages of the contract or a list of ALL problems out. Pure; nobody here opens a file.
//!
//! | format | reads | gives |
//! |---|---|---|
//! | [`quality()`] | quality markers, one figure a row | a return for each organisation and month |
//! | [`savings()`] | savings, one scheme a row | the same |
//! | [`rtt()`] | published referral-to-treatment tables | the same |
//! | [`rtt_reference()`] | the same tables | their organisations and tree |
//! | [`rtt_rollup_csv()`] | roll-ups of the RTT markers | the published national and regional layout |
//! | [`ae_weekly()`] | weekly A&E figures | a return for each organisation and month, and notes |
//! | [`markers()`] | marker catalogues | marker definitions |
//! | [`pct_sha_2010()`], [`trusts()`], [`succession()`] | organisations | organisations, trees, successions |
//!
//! # Tables
//!
//! * Bytes: UTF-8, with or without byte order mark; at most 64 MiB. Workbooks, gzip and UTF-16 (with its mark or without) are recognised and refused by name.
//! * Lines end as on any system. Rows of nothing are skipped. At most 1,000,000 rows.
//! * The separator is a comma, a semicolon or a tab, whichever the header uses most, or the one of a first line `sep=;` as Excel knows it.
//! * The first line names the columns, in any order and case. A column that the format does not know is refused by name, and so is a missing one.
//! * Cells are trimmed; at most 4,000 bytes, on one line. A cell that begins like a formula (`=`, `+`, `@`, or `-` before anything but a digit) is
//!   refused; a single `-` is the dash that published tables write for `none`.
//! * Numbers are digits with a point for decimals. Thousands separators and decimal commas are refused, not guessed. Where semicolons separate,
//!   `1.234` could be either, and is refused.
//! * Months are `YYYY-MM`. What a spreadsheet makes of them (`Mar-12`, `01/03/2012`, `40969`) is refused with the remedy.
//!
//! # Problems
//!
//! Every fault has a stable code, a field (`line 17, column numerator`) and words that say what to do. They come in the order of the lines, all at
//! once; after 1,000 a closing one (`TOO_MANY_PROBLEMS`) says how many more. A file with any fault gives nothing else: half a file is no file.
//! A [`Sheet`] is the exception: the rows of a faulty file that could be read, to be checked and never to be submitted, so that faults of form do
//! not hide what validation has to say; it also turns the pointers of validation into lines and columns.
//!
//! | of | codes |
//! |---|---|
//! | the file | `FILE_TOO_LARGE` `NOT_CSV` `BAD_SEPARATOR` `NOT_UTF8` `BAD_CSV` `EMPTY_FILE` `NO_ROWS` `TOO_MANY_ROWS` `TOO_MANY_PROBLEMS` |
//! | the header | `UNKNOWN_COLUMN` `DUPLICATE_COLUMN` `MISSING_COLUMN` |
//! | a row | `SHORT_ROW` `CELL_WITHOUT_COLUMN` `DUPLICATE_ROW` `STATUS_DIFFERS` `TWO_PARENTS` `TWO_ROOTS` `GROUP_AND_ORGANISATION` |
//! | a cell | `EMPTY_CELL` `CELL_TOO_LONG` `CONTROL_CHARACTER` `FORMULA` `BAD_CODE` `BAD_WORD` |
//! | a date | `EXCEL_DATE` `BAD_PERIOD` `BAD_DATE` `EMPTY_INTERVAL` `WEEKS_OVERLAP` |
//! | a number | `NOT_A_NUMBER` `THOUSANDS_SEPARATOR` `BAD_NUMBER` `NOT_WHOLE` `NOT_PENCE` `NUMERATOR_ABOVE_DENOMINATOR` |
//! | a figure | `NO_FIGURE` `FIGURE_AND_MISSING` `NOT_SUBMITTED_STATED` `SOURCE_TOO_LONG` |
//! | reference data | `PROPORTION_UNKNOWN` `SUCCEEDS_ITSELF` |
//!
//! Whether an organisation or a marker exists, and whether figures fit together, is not decided here: what a file gives goes through the same
//! validation as any other return.

pub mod ae_weekly;
mod cell;
mod faults;
mod grouped;
pub mod markers;
pub mod merge;
pub mod organisations;
pub mod quality;
mod reference;
pub mod rtt;
pub mod rtt_reference;
pub mod rtt_rollup;
pub mod savings;
mod sheet;
mod table;

pub use ae_weekly::{AeWeekly, ae_weekly, ae_weekly_sheet};
pub use faults::{MAX_PROBLEMS, Read};
pub use markers::markers;
pub use merge::merge_quality;
pub use organisations::{codes, pct_sha_2010, succession, trusts};
pub use quality::{quality, quality_sheet};
pub use reference::MAX_FACTS_PER_CALL;
pub use rtt::{rtt, rtt_sheet};
pub use rtt_reference::{RttTree, rtt_reference, rtt_treatment_functions};
pub use rtt_rollup::{RollUpLevel, rtt_rollup_csv};
pub use savings::{savings, savings_sheet};
pub use sheet::{Places, Sheet};
pub use table::{MAX_BYTES, MAX_CELL_BYTES, MAX_ROWS};
