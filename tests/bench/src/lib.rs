//! Measures the product beside its competitors, on the same data, in the same run, on the same machine.
//!
//! `tests/bench/run` is the command that people use: it starts PostgreSQL and finds DuckDB. What is measured and how to read it: README.md
//! beside it. Where to find what:
//!
//! | file | holds |
//! |---|---|
//! | `nation.rs` | the generated data, the same for all sides |
//! | `fill.rs` | a log filled with it |
//! | `parts/` | what is measured, a file a part |
//! | `load.rs`, `postgres.rs` | clients that submit; PostgreSQL's side of everything |
//! | `process.rs`, `machine.rs` | processes and their memory; the machine |
//! | `results.rs`, `report.rs` | figures as lines of JSON; tables of them |
//!
//! It drives the product from outside only: the binary, its gRPC contract, and the public functions of log and fold.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::cast_precision_loss,
    reason = "a program that prints measurements"
)]

pub mod fill;
pub mod load;
pub mod machine;
pub mod nation;
pub mod parts;
pub mod postgres;
pub mod process;
pub mod report;
pub mod results;

/// Says how far we are.
pub fn say(what: &str) {
    eprintln!("{what}");
}
