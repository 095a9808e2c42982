//! What the end-to-end scenarios stand on: a real house in this process, on a port of its own and in a folder of its own, with a clock that
//! the test sets, a key for every role, and small nations to put into it.
//!
//! Nothing here is a fake: calls go through the port, facts through the log. A scenario waits for a state (`min_cut`, `min_evaluated`, an
//! answer) and never for time to pass; there is not a single sleep.
#![allow(
    clippy::unwrap_used,
    reason = "in a test a failed expectation is a failed test"
)]

pub mod facts;
pub mod harm;
pub mod http;
pub mod late;
pub mod object_store;
pub mod outage;
pub mod proxy;
pub mod real;
pub mod returns;
mod sandbox;
pub mod sse;
pub mod survive;
pub mod wire;

pub use sandbox::{NODE, OTHER, Sandbox, TREE, TRUST, Who, copy, no_key};
