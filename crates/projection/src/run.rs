//! The thread that folds: tails every lane, applies what arrives, and decides when to checkpoint.
//!
//! A thread of its own with a small runtime of its own, so that reading and applying facts never takes a worker away from
//! requests. It never decides what a fact means.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures::stream::{BoxStream, SelectAll};
use futures::{FutureExt, StreamExt};
use qipp_domain::Cut;
use qipp_domain::nation::Key;
use qipp_eventlog::{LogError, Record, Topic};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::beside::{Offer, Refused};
use crate::compare::Differing;
use crate::error::ProjectionError;
use crate::follower::{Checkpointed, FollowerConfig, Shared};
use crate::lane::{domain_cut, lane_of};
use crate::saver::Saver;
use crate::state::{Decoder, Prepared, State};

/// Records applied under one hold of the lock: some milliseconds at most, which is what a reader may have to wait.
const SLICE: usize = 256;
/// Further behind than this many records, the fold is catching up.
const CATCHING_UP: u64 = 10_000;
/// How long to wait before a lane that could not be read is tried again.
const RETRY: Duration = Duration::from_secs(1);

type Lane = (Topic, u16);

/// Starts the thread.
pub(crate) fn spawn(
    shared: Arc<Shared>,
    config: &FollowerConfig,
    saver: Option<Saver>,
    mut signals: Signals,
) -> Result<(), ProjectionError> {
    let ending = Ending(Arc::clone(&shared));
    let fold = Fold {
        tails: SelectAll::new(),
        retrying: BTreeSet::new(),
        decode: config.decode,
        idle: config.checkpoint_when_idle_for,
        saver,
        pausing: false,
        shared,
    };
    let work = move || {
        let why = run(fold, &mut signals);
        // Only now, with the store released, may anybody think that it is over.
        ending.0.stop(&why);
    };
    let thread = std::thread::Builder::new().name("qipp-fold".into());
    let started = thread.spawn(work);
    started.map(drop).map_err(|error| ProjectionError::Start {
        cause: error.to_string(),
    })
}

fn run(mut fold: Fold, signals: &mut Signals) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    match runtime {
        Ok(runtime) => runtime.block_on(fold.run(signals)),
        Err(error) => format!("it could not be started: {error}"),
    }
}

/// What a fold is told from outside.
#[derive(Debug)]
pub(crate) struct Signals {
    /// In order, with a last checkpoint.
    pub(crate) shutdown: CancellationToken,
    /// At once.
    pub(crate) abandoned: CancellationToken,
    /// States that are to take the place of the one that is folded.
    pub(crate) exchanged: mpsc::UnboundedReceiver<Exchange>,
}

/// A state that is to take the place of the one that is folded, which is given back for it; or the offered one, and why it was not taken.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) offer: Offer,
    pub(crate) answer: oneshot::Sender<Result<Offer, (Offer, Refused)>>,
}

/// Wakes whoever waits even if the fold panics.
struct Ending(Arc<Shared>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.stop("the fold panicked");
    }
}

/// What a tail gives: a batch, a failure, or its end.
type Arrival = (Lane, Option<Result<Vec<Record>, LogError>>);

struct Fold {
    shared: Arc<Shared>,
    decode: Decoder,
    idle: Duration,
    /// Nothing when nothing is to be kept, or once writing has failed.
    saver: Option<Saver>,
    /// Folding waits for a checkpoint to be written: while it is, whatever changes is copied first, and a catch-up changes all.
    pausing: bool,
    tails: SelectAll<BoxStream<'static, Arrival>>,
    retrying: BTreeSet<Lane>,
}

/// What the fold wakes up for.
enum Wake {
    Abandoned,
    Shutdown,
    Arrived(Option<Arrival>),
    Saved(Result<Cut, String>),
    Exchange(Box<Exchange>),
    Idle,
}

impl Fold {
    /// Folds until told to stop, or until it cannot go on; answers why.
    async fn run(&mut self, signals: &mut Signals) -> String {
        for lane in self.shared.log.layout().all() {
            self.follow(lane, Duration::ZERO);
        }
        loop {
            let ended = match self.wake(signals).await {
                Wake::Abandoned => return "nobody holds it any more".into(),
                Wake::Shutdown => Err("it was told to".into()),
                Wake::Arrived(arrival) => self.arrived(arrival),
                Wake::Saved(saved) => {
                    self.pausing = false;
                    self.saved(saved.map(Some));
                    Ok(())
                }
                Wake::Exchange(exchange) => {
                    let exchanged = self.exchange(exchange.offer).await;
                    // Whoever offered it may be gone: what is given back is dropped then.
                    let _ = exchange.answer.send(exchanged);
                    Ok(())
                }
                Wake::Idle => {
                    self.checkpoint();
                    Ok(())
                }
            };
            if let Err(why) = ended {
                self.save_the_rest().await;
                return why;
            }
        }
    }

    async fn wake(&mut self, signals: &mut Signals) -> Wake {
        let idle = match &self.saver {
            Some(saver) if saver.is_behind() => Some(self.idle),
            _ => None,
        };
        let idle = async {
            match idle {
                Some(idle) => tokio::time::sleep(idle).await,
                None => std::future::pending().await,
            }
        };
        let saved = async {
            match &mut self.saver {
                Some(saver) => saver.finished().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = signals.abandoned.cancelled() => Wake::Abandoned,
            () = signals.shutdown.cancelled() => Wake::Shutdown,
            saved = saved => Wake::Saved(saved),
            Some(exchange) = signals.exchanged.recv() => Wake::Exchange(Box::new(exchange)),
            arrival = self.tails.next(), if !self.pausing => Wake::Arrived(arrival),
            () = idle => Wake::Idle,
        }
    }

    /// Takes what came from a lane. An error says why folding ends.
    fn arrived(&mut self, arrival: Option<Arrival>) -> Result<(), String> {
        let closed = || Err("the log was closed".into());
        let Some((lane, event)) = arrival else {
            return closed();
        };
        match event {
            Some(Ok(batch)) => {
                self.apply(&batch);
                self.checkpoint_if_due();
            }
            Some(Err(error)) => self.tolerate(lane, &error)?,
            None if self.retrying.remove(&lane) => self.follow(lane, RETRY),
            None => return closed(),
        }
        Ok(())
    }

    /// Tails a lane from where the state stands, after a pause. Lanes take turns, batch by batch.
    fn follow(&mut self, lane: Lane, pause: Duration) {
        let (topic, partition) = lane;
        let from = self.shared.read().cut.next(lane_of(topic, partition));
        let log = Arc::clone(&self.shared.log);
        let tail = async move {
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
            log.tail(topic, partition, from)
        };
        let tail = tail
            .flatten_stream()
            .map(Some)
            .chain(futures::stream::once(async { None }));
        self.tails
            .push(tail.map(move |event| (lane, event)).boxed());
    }

    /// A lane could not be read: try again when that may help.
    fn tolerate(&mut self, (topic, partition): Lane, error: &LogError) -> Result<(), String> {
        if matches!(error, LogError::Io { .. }) {
            tracing::warn!(%topic, partition, %error, "the log could not be read; trying again");
            self.retrying.insert((topic, partition));
            return Ok(());
        }
        tracing::error!(%topic, partition, %error, "the log cannot be read: folding stops");
        Err(format!("the log cannot be read: {error}"))
    }

    fn apply(&mut self, batch: &[Record]) {
        for slice in batch.chunks(SLICE) {
            let prepared = slice.iter().map(|r| Prepared::new(r, self.decode));
            self.apply_slice(prepared.collect());
            if let Some(saver) = &mut self.saver {
                saver.note(slice.len() as u64);
            }
        }
    }

    fn apply_slice(&mut self, prepared: Vec<Prepared>) {
        {
            let state = self.shared.state.write();
            let mut state = state.unwrap_or_else(PoisonError::into_inner);
            let touched = state.apply(prepared);
            // Still locked, and the feeds first: whoever waited for a cut finds its changes reported, and whoever is told of
            // a change finds its cut in the state.
            if !touched.is_empty() {
                self.shared.feeds.report(&touched, &state.cut);
            }
            let standing = &self.shared.standing;
            standing.send_modify(|standing| standing.cut.clone_from(&state.cut));
        }
        self.shared.progress.send_modify(|progress| *progress += 1);
    }

    /// Puts an offered state in the place of this one, at the very cut at which this one stands: no reader sees a cut go back, no tail has to
    /// begin anew, and whoever waits for a cut waits on. Readers go on while the offered state takes the last steps.
    async fn exchange(&mut self, mut offer: Offer) -> Result<Offer, (Offer, Refused)> {
        let until = self.shared.read().cut.clone();
        if let Err(why) = offer.go_on(&*self.shared.log, &until).await {
            return Err((offer, Refused::Failed(why)));
        }
        let differing = offer.still_differing(&self.shared.read());
        if !differing.is_empty() && !offer.even_if_different {
            return Err((offer, Refused::Differs(differing)));
        }
        self.take(&mut offer.state, &differing);
        std::mem::swap(&mut self.decode, &mut offer.decode);
        Ok(offer)
    }

    /// Swaps the states. What they say differently is reported as changed.
    fn take(&mut self, offered: &mut State, differing: &Differing) {
        if !differing.is_empty() {
            self.shared.restated.fetch_add(1, Ordering::AcqRel);
            if let Some(saver) = &mut self.saver {
                saver.outdate();
            }
        }
        {
            let state = self.shared.state.write();
            let mut state = state.unwrap_or_else(PoisonError::into_inner);
            debug_assert_eq!(state.cut, offered.cut, "they stand at the same cut");
            std::mem::swap(&mut *state, offered);
            if !differing.is_empty() {
                // Reference data always: what rests on everything is to be concluded again, whichever keys it are.
                let keys = differing.keys.iter().copied().chain([Key::Reference]);
                let keys: Vec<Key> = keys.collect();
                self.shared.feeds.report(&keys, &state.cut);
            }
        }
        self.shared.progress.send_modify(|progress| *progress += 1);
    }

    /// Is so much of the log still to be folded that nobody waits for the next record?
    fn is_catching_up(&self) -> bool {
        let head = domain_cut(&self.shared.log.head());
        let cut = self.shared.standing.borrow().cut.clone();
        let behind = head
            .iter()
            .map(|(lane, next)| next.saturating_sub(cut.next(lane)));
        behind.sum::<u64>() > CATCHING_UP
    }

    fn checkpoint_if_due(&mut self) {
        let catching_up = self.is_catching_up();
        if let Some(saver) = &mut self.saver
            && saver.is_due(catching_up)
        {
            saver.begin(&self.shared.read());
        }
        self.pausing = catching_up && self.saver.as_ref().is_some_and(Saver::is_writing);
    }

    fn checkpoint(&mut self) {
        if let Some(saver) = &mut self.saver
            && saver.is_behind()
        {
            saver.begin(&self.shared.read());
        }
    }

    async fn save_the_rest(&mut self) {
        if let Some(saver) = &mut self.saver {
            let settled = saver.settle().await;
            self.saved(settled);
        }
        self.checkpoint();
        if let Some(saver) = &mut self.saver {
            let settled = saver.settle().await;
            self.saved(settled);
        }
    }

    /// Makes known what was saved, or that nothing will be any more.
    fn saved(&mut self, saved: Result<Option<Cut>, String>) {
        match saved {
            Ok(None) => {}
            Ok(Some(cut)) => self.shared.checkpointed.send_modify(|checkpointed| {
                checkpointed.count += 1;
                checkpointed.cut = cut;
            }),
            Err(cause) => {
                tracing::error!(
                    cause,
                    "a checkpoint could not be written: none is until the next start, which will fold more of the log"
                );
                self.saver = None;
                let failed = |checkpointed: &mut Checkpointed| checkpointed.failed = Some(cause);
                self.shared.checkpointed.send_modify(failed);
            }
        }
    }
}
