//! The words of the log: topics, positions, records, errors, time. Plain values; nothing here reads or writes.

pub(crate) mod clock;
pub(crate) mod cut;
pub(crate) mod error;
pub(crate) mod record;
pub(crate) mod topic;
