//! The verbs, one file each.

pub(crate) mod act;
pub(crate) mod backtest;
pub(crate) mod backup;
pub(crate) mod chart;
pub(crate) mod keys;
pub(crate) mod log;
pub(crate) mod query;
pub(crate) mod ready;
pub(crate) mod rebuild;
pub(crate) mod register;
pub(crate) mod restore;
pub(crate) mod serve;
pub(crate) mod simulate;
pub(crate) mod submit;
pub(crate) mod verify;
pub(crate) mod watch;
