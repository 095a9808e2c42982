//! Scenarios: given returns, benchmarks and reference facts; when a month is looked at; then this is asked.

#![allow(
    clippy::unwrap_used,
    reason = "a fixture that does not hold is a failed test"
)]

mod again;
mod backtest;
mod fixture;
mod nation;
mod r01;
mod r02_to_r04;
mod r90;
mod recomputing;
mod rising;
mod slipping;
mod surveillance;
mod transition;
