//! What a house survives: the real binary, in a process of its own, on a folder of its own.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "in a test a failed expectation is a failed test, and it says what to replay"
)]

mod clock;
mod damage;
mod disk;
mod house;
mod keeping;
mod kills;
mod moving;
mod projection;
mod stopping;
