//! Scenarios: given returns, benchmarks and reference facts; when a month is looked at; then this is asked.

mod fixture;
mod nation;
mod r01;
mod r02_to_r04;
mod r90;
mod recomputing;
mod rising;
mod slipping;
mod transition;
