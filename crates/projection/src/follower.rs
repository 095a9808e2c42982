//! What a service holds in its hands: a consistent view of the nation, and ways to wait for it.
//!
//! Nothing here folds or saves; that is `run.rs`.

use std::ops::Deref;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use qipp_domain::Cut;
use qipp_domain::nation::Nation;
use qipp_eventlog::EventLog;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::changes::{Changes, Feeds};
use crate::digest::digest_of;
use crate::error::{ProjectionError, WaitError};
use crate::lane::domain_cut;
use crate::rebuild::{Beside, Rebuild};
use crate::run::{self, Exchange, Signals};
use crate::share::Share;
use crate::snapshot::{Snapshot, Snapshots};
use crate::start;
use crate::state::{Decoder, Parked, State};

/// Where checkpoints are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreConfig {
    /// Nowhere: every start folds the log from its beginning.
    Memory,
    /// In this directory, which is made when it is not there. What is damaged is moved to `<directory>.damaged-<n>` beside it.
    Directory(PathBuf),
}

/// How to follow a log.
#[derive(Clone, Debug)]
pub struct FollowerConfig {
    /// Where checkpoints are kept.
    pub store: StoreConfig,
    /// Reads payloads.
    pub decode: Decoder,
    /// At least this many records lie between two checkpoints while records come in; more, the larger the state is (`saver.rs`).
    pub checkpoint_every_records: u64,
    /// Checkpoint when nothing has arrived for this long. Zero: whenever the head is reached.
    pub checkpoint_when_idle_for: Duration,
    /// Where a checkpoint is taken from that somebody else made, when there is no usable one here.
    pub snapshots: Option<Arc<dyn Snapshots>>,
    /// What of the log is folded.
    pub share: Share,
}

impl FollowerConfig {
    /// The defaults: every 2,000 records, or after a second of silence; the whole log.
    #[must_use]
    pub fn new(store: StoreConfig, decode: Decoder) -> Self {
        Self {
            store,
            decode,
            checkpoint_every_records: 2_000,
            checkpoint_when_idle_for: Duration::from_secs(1),
            snapshots: None,
            share: Share::WHOLE,
        }
    }
}

/// How far checkpoints have come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checkpointed {
    /// Checkpoints written since the start.
    pub count: u64,
    /// The cut of the last one that is durable, also of an earlier run; where a restart would go on.
    pub cut: Cut,
    /// Why none are written any more until the next start; the state itself is not concerned.
    pub failed: Option<String>,
}

/// Where folding stands.
#[derive(Clone, Debug, Default)]
pub(crate) struct Standing {
    pub(crate) cut: Cut,
    /// Why folding has stopped.
    pub(crate) stopped: Option<String>,
}

/// What the fold and everybody who reads it share.
#[derive(Debug)]
pub(crate) struct Shared {
    /// As the share sees it.
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) share: Share,
    pub(crate) state: RwLock<State>,
    pub(crate) feeds: Feeds,
    pub(crate) standing: watch::Sender<Standing>,
    pub(crate) progress: watch::Sender<u64>,
    pub(crate) checkpointed: watch::Sender<Checkpointed>,
    /// How often a state was switched in that says something else than the one before.
    pub(crate) restated: AtomicU64,
    /// What the second fold hands over to the first.
    pub(crate) exchanges: mpsc::UnboundedSender<Exchange>,
    pub(crate) beside: Mutex<Option<Beside>>,
    pub(crate) rebuild: watch::Sender<Rebuild>,
}

impl Shared {
    pub(crate) fn new(
        log: Arc<dyn EventLog>,
        state: State,
        exchanges: mpsc::UnboundedSender<Exchange>,
    ) -> Self {
        let (cut, share) = (state.cut.clone(), state.share);
        let checkpointed = Checkpointed {
            cut: cut.clone(),
            ..Checkpointed::default()
        };
        Self {
            log,
            share,
            state: RwLock::new(state),
            feeds: Feeds::default(),
            standing: watch::Sender::new(Standing { cut, stopped: None }),
            progress: watch::Sender::new(0),
            checkpointed: watch::Sender::new(checkpointed),
            restated: AtomicU64::new(0),
            exchanges,
            beside: Mutex::default(),
            rebuild: watch::Sender::default(),
        }
    }

    pub(crate) fn read(&self) -> RwLockReadGuard<'_, State> {
        // Panics of the domain are caught below the lock, so a poisoned one means at worst a batch whose cut is behind it.
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says that folding is over. The first reason counts.
    pub(crate) fn stop(&self, reason: &str) {
        self.standing.send_modify(|standing| {
            standing.stopped.get_or_insert_with(|| reason.to_owned());
        });
        self.feeds.end();
        self.progress.send_modify(|progress| *progress += 1);
    }
}

/// A fold that follows a log. Cheap to clone.
///
/// When the last clone is dropped, folding ends at once and without a last checkpoint, as after a crash; cancel the token and
/// await [`stopped`](Self::stopped) for an orderly end.
#[derive(Clone, Debug)]
pub struct Follower {
    pub(crate) shared: Arc<Shared>,
    _abandon: Arc<DropGuard>,
}

impl Follower {
    /// Opens the store, loads the checkpoint and starts folding from it, on a thread of its own; returns without waiting for
    /// that. Cancelling `shutdown` makes a last checkpoint and stops.
    ///
    /// A checkpoint that is damaged, of another format, or not of this log is moved aside with an error in the trace. Where there is none then,
    /// one of `snapshots` is taken, if they hold one of this log; else the log is folded from its beginning.
    ///
    /// # Errors
    /// [`ProjectionError::StoreInUse`], [`ProjectionError::Store`], [`ProjectionError::Log`], [`ProjectionError::Start`].
    pub async fn start(
        log: Arc<dyn EventLog>,
        config: FollowerConfig,
        shutdown: CancellationToken,
    ) -> Result<Self, ProjectionError> {
        let abandoned = CancellationToken::new();
        let guard = Arc::new(abandoned.clone().drop_guard());
        let log = config.share.of_log(log);
        let (state, saver) = start::open(&*log, &config).await?;
        let (exchanges, exchanged) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared::new(log, state, exchanges));
        let signals = Signals {
            shutdown,
            abandoned,
            exchanged,
        };
        run::spawn(Arc::clone(&shared), &config, saver, signals)?;
        Ok(Self {
            shared,
            _abandon: guard,
        })
    }

    /// The nation at one cut. Folding waits while a view is held: take what is needed and let go, never hold one across an
    /// `await`, and never take a second one while holding a first.
    #[must_use]
    pub fn view(&self) -> View<'_> {
        View(self.shared.read())
    }

    /// The cut that everything is folded up to. Not to be called while a view is held: that has one.
    #[must_use]
    pub fn cut(&self) -> Cut {
        self.shared.read().cut.clone()
    }

    /// What of the log is folded.
    #[must_use]
    pub fn share(&self) -> Share {
        self.shared.share
    }

    /// Resolves when everything in `cut` is folded; lanes of other shares do not count.
    ///
    /// Give it a deadline: a fold that catches up with a long log may take its time.
    ///
    /// # Errors
    /// [`WaitError::BeyondHead`] at once when the log as of now does not hold everything in `cut`;
    /// [`WaitError::Stopped`] when folding has stopped before it got there.
    pub async fn wait_for(&self, cut: &Cut) -> Result<(), WaitError> {
        let cut = &self.shared.share.narrow(cut);
        if self.shared.standing.borrow().cut.includes(cut) {
            return Ok(());
        }
        if !domain_cut(&self.shared.log.head()).includes(cut) {
            return Err(WaitError::BeyondHead);
        }
        let mut standing = self.shared.standing.subscribe();
        let reached = |standing: &Standing| standing.cut.includes(cut);
        let ended = standing
            .wait_for(|s| reached(s) || s.stopped.is_some())
            .await
            .expect("the sender lives as long as this follower");
        match &ended.stopped {
            Some(reason) if !reached(&ended) => Err(WaitError::Stopped(reason.clone())),
            _ => Ok(()),
        }
    }

    /// Resolves when everything that the log holds as of the call is folded.
    ///
    /// # Errors
    /// [`WaitError::Stopped`] when folding has stopped before it got there.
    pub async fn caught_up(&self) -> Result<(), WaitError> {
        self.wait_for(&domain_cut(&self.shared.log.head())).await
    }

    /// A number that changes after every batch of records, and once more when folding stops.
    #[must_use]
    pub fn progress(&self) -> watch::Receiver<u64> {
        self.shared.progress.subscribe()
    }

    /// How far checkpoints have come; changes after every one.
    #[must_use]
    pub fn checkpointed(&self) -> watch::Receiver<Checkpointed> {
        self.shared.checkpointed.subscribe()
    }

    /// Keys whose facts are kept out, because one of them could not be digested.
    #[must_use]
    pub fn parked(&self) -> Vec<Parked> {
        self.shared.read().parked.values().cloned().collect()
    }

    /// How many records had no effect, because the epoch of their writer was over. Follows from the log, as the nation does.
    #[must_use]
    pub fn superseded(&self) -> u64 {
        self.shared.read().superseded
    }

    /// The digest of the nation as it stands ([`digest_of`]).
    #[must_use]
    pub fn digest(&self) -> String {
        self.digest_at_cut().0
    }

    /// The digest of the nation as it stands, and the cut at which that is. Folding goes on while it is computed.
    #[must_use]
    pub fn digest_at_cut(&self) -> (String, Cut) {
        let (nation, cut) = {
            let state = self.shared.read();
            (state.nation.frozen(), state.cut.clone())
        };
        (digest_of(&nation), cut)
    }

    /// The state as it stands, to be given to somebody else as a checkpoint. Costs a pointer for each key.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::of(&self.shared.read())
    }

    /// How often a state was switched in that says something else than the one before: whoever concluded something from the past has to
    /// conclude it again. The keys that differ are reported as changes.
    #[must_use]
    pub fn restated(&self) -> u64 {
        self.shared.restated.load(Ordering::Acquire)
    }

    /// A feed of the keys that change from now on. What a checkpoint brought, or was folded before, is not reported.
    #[must_use]
    pub fn changes(&self) -> Changes {
        let state = self.shared.read();
        self.shared.feeds.subscribe(&state.cut)
    }

    /// Resolves when folding has ended, the last checkpoint is durable and the store is released.
    pub async fn stopped(&self) {
        let mut standing = self.shared.standing.subscribe();
        let _ = standing.wait_for(|s| s.stopped.is_some()).await;
    }

    /// Why folding has stopped; `None` while it goes on.
    #[must_use]
    pub fn why_stopped(&self) -> Option<String> {
        self.shared.standing.borrow().stopped.clone()
    }
}

/// The nation at one cut, for as long as it is held.
#[derive(Debug)]
pub struct View<'a>(RwLockReadGuard<'a, State>);

impl View<'_> {
    /// The cut that it stands at.
    #[must_use]
    pub fn cut(&self) -> &Cut {
        &self.0.cut
    }
}

impl Deref for View<'_> {
    type Target = Nation;

    fn deref(&self) -> &Nation {
        &self.0.nation
    }
}
