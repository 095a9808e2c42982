//! The whole house from end to end: every scenario starts a real one and speaks to it through its port.
#![allow(
    clippy::unwrap_used,
    reason = "in a test a failed expectation is a failed test"
)]
#![allow(
    clippy::float_cmp,
    reason = "counts come back as the very numbers that were sent"
)]

mod access_matrix;
mod acts;
mod alerts;
mod binary;
mod buckets;
mod contract;
mod deployment;
mod intake;
mod intake_http;
mod limits;
mod loaded;
mod made_up_totals;
mod operating;
mod processes;
mod published_totals;
mod rebuilding;
mod shards;
mod surveillance;
mod time;
mod traces;
mod watching;
