//! What can go wrong, and what to do about it.

use std::path::PathBuf;

use qipp_eventlog::LogError;
use thiserror::Error;

/// A projection could not be started, or a fold could not be finished.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ProjectionError {
    /// Another process, or another follower of this one, has the store open.
    #[error(
        "the projection store at {} is already open: stop the other process that uses it, or give this one a store of its own",
        path.display()
    )]
    StoreInUse {
        /// The store.
        path: PathBuf,
    },
    /// The store could be neither opened nor set aside.
    #[error(
        "the projection store at {} could not be opened or replaced ({cause}): look after the disk and its permissions, then start again",
        path.display()
    )]
    Store {
        /// The store.
        path: PathBuf,
        /// How it failed.
        cause: String,
    },
    /// The fold's thread could not be started.
    #[error("the fold could not be started ({cause}): the machine is out of threads or memory")]
    Start {
        /// How it failed.
        cause: String,
    },
    /// The cut lies beyond what the log holds.
    #[error("the cut lies beyond the head of the log: ask for one that the log has reached")]
    BeyondHead,
    /// The log could not be read.
    #[error("the log could not be read: {0}")]
    Log(#[from] LogError),
}

/// Waiting for a cut was in vain.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum WaitError {
    /// The cut lies beyond the head of the log as of the call, so nobody can have got it from this log.
    #[error("the cut lies beyond the head of the log: ask for one that the log has reached")]
    BeyondHead,
    /// Folding has stopped before it reached the cut: on shutdown, because the log was closed, or because it failed.
    #[error("folding has stopped ({0}): ask another replica, or ask again after the restart")]
    Stopped(String),
}
