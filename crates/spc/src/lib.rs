//! Statistical process control: numbers in, chart out.
//!
//! The entry points, from the inside out:
//!
//! * [`xmr::chart`] draws an XmR (individuals and moving range) chart under a named [`Profile`]: centre, limits,
//!   special causes, icons.
//! * [`funnel::funnel`] compares organisations at one time, with limits for overdispersion.
//! * [`mod@cusum`] and [`mod@ewma`] add up evidence over time, [`mod@rare`] counts what lies between events, and [`mod@run_length`] says how often
//!   such charts are wrong.
//! * [`mod@fdr`] chooses among many at a stated share of false ones, and [`mod@surveillance`] does so month by month over organisations of whom two
//!   things should be true at once.
//! * [`chart_io`] is the pure half of the analyst's verb: a JSON line or a CSV text to a chart record.
//! * [`mod@baseline`] holds the small functions the alert rules stand on: an organisation's own baseline, its z-score,
//!   and the transforms that make proportions and rates comparable.
//!
//! *Architecture invariant*: this crate knows numbers and dates, and nothing of the NHS. It has no clock,
//! no I/O, no async, and no randomness but from a seed that is an argument, so everything can be computed again from what it was given.
//!
//! *Architecture invariant*: a chart is for a person to read, and decides no alert. What may is in [`mod@surveillance`], and is not a chart.

pub mod baseline;
pub mod chart_io;
pub mod cusum;
mod date;
pub mod ewma;
pub mod fdr;
pub mod funnel;
mod mean;
mod normal;
mod parameter;
mod profile;
pub mod rare;
pub mod run_length;
pub mod standard;
pub mod surveillance;
pub mod xmr;

pub use date::Date;
pub use mean::mean;
pub use parameter::ParameterError;
pub use profile::Profile;
