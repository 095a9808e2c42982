//! Rebuild beside: a second fold of the same log catches up with the one that serves, is compared with it, and takes its place without a gap.
//!
//! ```text
//!   start ──▶ catching up ──▶ ready ──switch──▶ kept ──back──▶ (catching up, ready, switched) kept
//!                 │             │                │
//!                 └─────────────┴─────forget─────┴──▶ nothing beside
//! ```
//!
//! At most one state stands beside the one that serves. After a switch that is the former one, which rests in memory and is caught up when somebody
//! goes back to it. Views, waits, changes and tails go on through a switch, because it happens at one and the same cut; so whatever acts on what
//! the fold says (the evaluator) acts on the new state only once that has everything the old one had.

use std::sync::{Arc, MutexGuard, PoisonError};

use qipp_domain::Cut;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::beside::{Command, Offer, Second};
use crate::compare::Compared;
use crate::error::ProjectionError;
use crate::follower::{Follower, Shared};
use crate::state::{Decoder, State};

/// How far what is beside has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// Nothing is beside.
    #[default]
    None,
    /// It folds, and was not compared yet.
    CatchingUp,
    /// It was compared and follows the log.
    Ready,
    /// It served before, and rests.
    Kept,
    /// It could not go on; why.
    Failed(String),
}

/// The state beside the one that serves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rebuild {
    /// How far it has come.
    pub phase: Phase,
    /// Where it stands.
    pub cut: Cut,
    /// Records that it covers.
    pub records: u64,
    /// Records that the one that serves covers.
    pub of: u64,
    /// What it said when it was last held against the one that serves.
    pub compared: Option<Compared>,
    /// How often the two have changed places.
    pub switched: u64,
}

/// Something about a rebuild was refused, or failed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RebuildError {
    /// There is one beside already.
    #[error("a state is beside already: switch to it, or forget it, before another one is built")]
    UnderWay,
    /// There is none.
    #[error("no state is beside: start a rebuild first")]
    NothingBeside,
    /// It was not compared yet.
    #[error(
        "the state beside has not caught up yet: look at its progress, and switch when it is ready"
    )]
    NotReady,
    /// What is beside served before, and rests.
    #[error("the state beside is the one that served before: go back to it, or forget it")]
    Kept,
    /// It says something else.
    #[error(
        "the state beside says something else in {count} places ({named}): find out why, then forget it, or switch even if it is different"
    )]
    Differs {
        /// In how many keys.
        count: u64,
        /// The first of them.
        named: String,
    },
    /// No state that served before is kept.
    #[error(
        "no former state is kept: there is one after a switch only, and until it is forgotten or the process ends"
    )]
    NothingKept,
    /// It could not go on.
    #[error("the state beside could not go on ({0}): forget it and start again")]
    Failed(String),
}

impl RebuildError {
    /// A short name that never changes.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::UnderWay => "REBUILD_UNDER_WAY",
            Self::NothingBeside => "REBUILD_NOT_STARTED",
            Self::NotReady => "REBUILD_NOT_READY",
            Self::Kept => "REBUILD_KEPT",
            Self::Differs { .. } => "REBUILD_DIFFERS",
            Self::NothingKept => "REBUILD_NOTHING_KEPT",
            Self::Failed(_) => "REBUILD_FAILED",
        }
    }
}

/// What is beside, as long as it is held.
#[derive(Debug)]
pub(crate) struct Beside {
    commands: mpsc::UnboundedSender<Command>,
    ended: CancellationToken,
}

fn beside(shared: &Shared) -> MutexGuard<'_, Option<Beside>> {
    shared.beside.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Follower {
    /// Starts a second fold of the whole log from nothing, on a thread of its own and of low priority, and returns at once. It costs the memory of
    /// the nation a second time, until it is forgotten.
    ///
    /// # Errors
    /// [`RebuildError::UnderWay`]; [`RebuildError::Failed`] when there is no thread for it.
    pub fn start_rebuild(&self, decode: Decoder) -> Result<(), RebuildError> {
        let mut held = beside(&self.shared);
        if held.as_ref().is_some_and(|held| !held.commands.is_closed()) {
            return Err(RebuildError::UnderWay);
        }
        let (commands, orders) = mpsc::unbounded_channel();
        let ended = CancellationToken::new();
        let second = Second::new(
            Arc::clone(&self.shared),
            Offer::new(State::of(self.shared.share), decode),
            orders,
            ended.clone(),
        );
        let failed = |error: ProjectionError| RebuildError::Failed(error.to_string());
        second.spawn().map_err(failed)?;
        *held = Some(Beside { commands, ended });
        self.shared.rebuild.send_replace(Rebuild {
            phase: Phase::CatchingUp,
            of: self.shared.read().records,
            ..Rebuild::default()
        });
        Ok(())
    }

    /// How far what is beside has come.
    #[must_use]
    pub fn rebuild(&self) -> watch::Receiver<Rebuild> {
        self.shared.rebuild.subscribe()
    }

    /// Puts the state that is beside in the place of the one that serves, at one cut, and keeps the latter beside. Answers the cut.
    ///
    /// # Errors
    /// [`RebuildError::NothingBeside`], [`RebuildError::NotReady`], [`RebuildError::Kept`], [`RebuildError::Failed`]; [`RebuildError::Differs`] unless `even_if_different`.
    /// After each the one that served serves on.
    pub async fn switch(&self, even_if_different: bool) -> Result<Cut, RebuildError> {
        let (answer, answered) = oneshot::channel();
        self.tell(Command::Switch {
            even_if_different,
            answer,
        })?;
        answered.await.unwrap_or_else(|_| Err(self.why_gone()))
    }

    /// Goes back to the state that served before: catches it up, and switches, whatever it says. Answers the cut. The one that it takes
    /// the place of is kept beside in its turn.
    ///
    /// When the call is dropped before that, the kept state goes on catching up, and can be switched to.
    ///
    /// # Errors
    /// [`RebuildError::NothingKept`], [`RebuildError::Failed`].
    pub async fn back(&self) -> Result<Cut, RebuildError> {
        let mut rebuild = self.rebuild();
        if rebuild.borrow().phase != Phase::Kept {
            return Err(RebuildError::NothingKept);
        }
        self.tell(Command::Resume)?;
        let resumed = rebuild.wait_for(|rebuild| rebuild.phase != Phase::Kept);
        drop(resumed.await);
        self.switch_when_ready(true).await
    }

    /// As [`switch`](Self::switch), and waits until it was compared.
    ///
    /// # Errors
    /// As [`switch`](Self::switch), but for [`RebuildError::NotReady`].
    pub async fn switch_when_ready(&self, even_if_different: bool) -> Result<Cut, RebuildError> {
        let mut rebuild = self.rebuild();
        loop {
            let stands = rebuild.wait_for(|rebuild| rebuild.phase != Phase::CatchingUp);
            drop(stands.await);
            match self.switch(even_if_different).await {
                // It is being compared anew.
                Err(RebuildError::NotReady) => {}
                switched => return switched,
            }
        }
    }

    /// Ends what is beside, and gives its memory back: a rebuild under way, or the state that served before.
    ///
    /// # Errors
    /// [`RebuildError::NothingBeside`].
    pub fn forget(&self) -> Result<(), RebuildError> {
        let mut held = beside(&self.shared);
        let taken = held.take().ok_or(RebuildError::NothingBeside)?;
        taken.ended.cancel();
        self.shared.rebuild.send_replace(Rebuild::default());
        Ok(())
    }

    fn tell(&self, command: Command) -> Result<(), RebuildError> {
        let sent = match &*beside(&self.shared) {
            None => return Err(RebuildError::NothingBeside),
            Some(held) => held.commands.send(command),
        };
        sent.map_err(|_| self.why_gone())
    }

    /// The second fold has ended: why.
    fn why_gone(&self) -> RebuildError {
        match &self.shared.rebuild.borrow().phase {
            Phase::Failed(why) => RebuildError::Failed(why.clone()),
            _ => RebuildError::NothingBeside,
        }
    }
}
