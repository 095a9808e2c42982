//! What the house talks about: organisations, periods, money, markers, schemes and returns, and the folds that decide.
//!
//! Pure: no clock, no randomness, no I/O, no async. Time, ids and limits come in as arguments, so that every decision can be
//! replayed. Wire formats live in `qipp-api`, statistics in `qipp-spc`, rules in `qipp-rules`.

pub mod alert;
pub mod benchmark;
pub mod calendar;
pub mod code;
pub mod completeness;
pub mod known;
pub mod marker;
pub mod nation;
pub mod period;
pub mod quantity;
pub mod reference;
pub mod returns;
pub mod rollup;
pub mod savings;
pub mod scheme;
pub mod surveillance;
pub mod tenure;
pub mod validate;

pub use code::{MarkerCode, OrgCode, SchemeId, Slug};
pub use known::{Cut, KnownAt, Stamp};
pub use marker::{Breakdown, SeriesKey};
pub use period::{FinancialYear, Period};
pub use quantity::{Pence, Quantity};
pub use returns::{Dataset, Missing};
