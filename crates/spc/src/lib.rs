//! Statistical process control: numbers in, chart out.
//!
//! The entry points, from the inside out:
//!
//! * [`xmr::chart`] draws an XmR (individuals and moving range) chart under a named [`Profile`]: centre, limits,
//!   special causes, icons.
//! * [`chart_io`] is the pure half of the analyst's verb: a JSON line or a CSV text to a chart record.
//! * [`mod@baseline`] holds the small functions the alert rules stand on: an organisation's own baseline, its z-score,
//!   and the transforms that make proportions and rates comparable.
//!
//! *Architecture invariant*: this crate knows numbers and dates, and nothing of the NHS. It has no clock, no
//! randomness, no I/O and no async, so every chart can be computed again from what it was given.
//!
//! *Architecture invariant*: a chart is for a person to read. Nothing here decides an alert.

pub mod baseline;
pub mod chart_io;
mod date;
mod mean;
mod profile;
pub mod surveillance;
pub mod xmr;

pub use date::Date;
pub use mean::mean;
pub use profile::Profile;
