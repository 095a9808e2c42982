//! The thread that folds: tails every lane, applies what arrives, and decides when to checkpoint.
//!
//! A thread of its own with a small runtime of its own, so that reading and applying facts never takes a worker away from
//! requests. It never decides what a fact means.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures::stream::{BoxStream, SelectAll};
use futures::{FutureExt, StreamExt};
use qipp_eventlog::{LogError, Record, Topic};
use tokio_util::sync::CancellationToken;

use crate::error::ProjectionError;
use crate::follower::{FollowerConfig, Shared};
use crate::lane::lane_of;
use crate::state::{Decoder, Prepared};

/// Records applied under one hold of the lock: some milliseconds at most, which is what a reader may have to wait.
const SLICE: usize = 256;
/// How long to wait before a lane that could not be read is tried again.
const RETRY: Duration = Duration::from_secs(1);

type Lane = (Topic, u16);

/// Starts the thread.
pub(crate) fn spawn(
    shared: Arc<Shared>,
    config: FollowerConfig,
    shutdown: CancellationToken,
    abandoned: CancellationToken,
) -> Result<(), ProjectionError> {
    let failed = |error: std::io::Error| ProjectionError::Start {
        cause: error.to_string(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(failed)?;
    let ending = Ending(Arc::clone(&shared));
    let mut fold = Fold {
        tails: SelectAll::new(),
        retrying: BTreeSet::new(),
        decode: config.decode,
        shared,
    };
    let work = move || {
        let why = runtime.block_on(fold.run(&shutdown, &abandoned));
        drop(runtime);
        ending.0.stop(&why);
    };
    let thread = std::thread::Builder::new().name("qipp-fold".into());
    thread.spawn(work).map_err(failed)?;
    Ok(())
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
    tails: SelectAll<BoxStream<'static, Arrival>>,
    retrying: BTreeSet<Lane>,
}

impl Fold {
    /// Folds until told to stop, or until it cannot go on; answers why.
    async fn run(&mut self, shutdown: &CancellationToken, abandoned: &CancellationToken) -> String {
        for lane in self.shared.log.layout().all() {
            self.follow(lane, Duration::ZERO);
        }
        loop {
            let arrival = tokio::select! {
                biased;
                () = abandoned.cancelled() => return "nobody holds it any more".into(),
                () = shutdown.cancelled() => return "it was told to".into(),
                arrival = self.tails.next() => arrival,
            };
            let Some((lane, event)) = arrival else {
                return "the log was closed".into();
            };
            match event {
                Some(Ok(batch)) => self.apply(&batch),
                Some(Err(error)) => {
                    if let Err(why) = self.tolerate(lane, &error) {
                        return why;
                    }
                }
                None if self.retrying.remove(&lane) => self.follow(lane, RETRY),
                None => return "the log was closed".into(),
            }
        }
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
            let prepared = slice
                .iter()
                .map(|record| Prepared::new(record, self.decode))
                .collect();
            self.apply_slice(prepared);
        }
    }

    fn apply_slice(&mut self, prepared: Vec<Prepared>) {
        let cut = {
            let state = self.shared.state.write();
            let mut state = state.unwrap_or_else(PoisonError::into_inner);
            let touched = state.apply(prepared);
            if !touched.is_empty() {
                self.shared.feeds.report(&touched, &state.cut);
            }
            state.cut.clone()
        };
        self.shared.standing.send_modify(|s| s.cut = cut);
        self.shared.progress.send_modify(|progress| *progress += 1);
    }
}
