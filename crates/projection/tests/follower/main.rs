//! Following a log: what must be true of views, waits, checkpoints and parking, through the public interface only.
#![allow(
    clippy::unwrap_used,
    reason = "in a test a failed expectation is a failed test"
)]

mod checkpoints;
mod fixture;
mod folding;
mod parking;
mod properties;
mod rebuild;
mod share;
mod snapshots;
mod tenure;
mod wire;
