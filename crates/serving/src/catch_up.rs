//! Catching up with what other processes wrote to the same log.
//!
//! A process hears of that a moment later. Most answers may be that old; who decides by what is recorded must not be. On a log of
//! one process there is nothing to catch up with, and nothing here waits.

use qipp_api::error::ApiError;
use qipp_domain::Cut;
use qipp_projection::{WaitError, domain_cut};
use tracing::Instrument as _;

use crate::append::{log_error, wait_error};
use crate::{Caller, Deps};

impl Deps {
    /// Waits until everything is folded that any process was acknowledged before the call. Returns at once unless the log is shared.
    ///
    /// # Errors
    /// UNAVAILABLE when the log does not say where it ends or the fold has stopped, DEADLINE_EXCEEDED.
    pub async fn catch_up(&self, caller: &Caller) -> Result<(), ApiError> {
        if !self.log.is_shared() {
            return Ok(());
        }
        let reached = self.reach_head().instrument(crate::step!("catch_up"));
        caller
            .within("FOLD_TOO_SLOW", "what other processes wrote", reached)
            .await?
    }

    /// As [`Deps::catch_up`], on any log and without a deadline.
    ///
    /// # Errors
    /// UNAVAILABLE when the log does not say where it ends, or the fold has stopped.
    pub async fn reach_head(&self) -> Result<(), ApiError> {
        let head = self.log.find_head().await;
        let head = domain_cut(&head.map_err(|error| log_error(&error))?);
        self.pass(&head).await.map_err(|error| wait_error(&error))
    }

    /// Waits until a cut is folded, as far as it is of this process's share. On a shared log it may come from another process, and lie beyond what this one has heard of.
    pub(crate) async fn folded(&self, cut: &Cut) -> Result<(), ApiError> {
        let cut = &self.follower.share().narrow(cut);
        match self.follower.wait_for(cut).await {
            Err(WaitError::BeyondHead) if self.log.is_shared() => {
                let head = self.log.find_head().await;
                let head = head.map_err(|error| log_error(&error))?;
                if !domain_cut(&head).includes(cut) {
                    return Err(wait_error(&WaitError::BeyondHead));
                }
                self.pass(cut).await
            }
            waited => waited,
        }
        .map_err(|error| wait_error(&error))
    }

    /// Waits until a cut is folded that the log is known to hold, whether this process has heard of it or not.
    async fn pass(&self, cut: &Cut) -> Result<(), WaitError> {
        let mut progress = self.follower.progress();
        loop {
            progress.mark_unchanged();
            if self.follower.cut().includes(cut) {
                return Ok(());
            }
            if let Some(why) = self.follower.why_stopped() {
                return Err(WaitError::Stopped(why));
            }
            if progress.changed().await.is_err() {
                return Err(WaitError::Stopped("nobody folds any more".to_owned()));
            }
        }
    }
}
