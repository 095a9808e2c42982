//! The one binary: all services in one process or some of them in many, and the tool that a person uses.
//!
//! The library half wires the services together ([`serve`]) and speaks to them ([`client`]); [`cli`] reads the command line. Nothing
//! here decides anything about the domain.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line tool prints"
)]

mod caught_up;
mod check;
pub mod cli;
pub mod client;
pub mod config;
mod demo;
mod environment;
pub mod exit;
mod files;
mod gauges;
mod head;
mod keys;
mod log;
mod operations;
mod output;
mod peers;
mod port;
mod published;
pub mod serve;
mod snapshot;
mod standing;
mod traces;
mod verbs;
