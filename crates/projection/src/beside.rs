//! The thread of a second fold: it goes over the same log beside the one that serves, is compared with it, and offers its state to it.
//!
//! It only ever folds up to cuts at which the first one has stood, so that both can be held against each other at the very same cut while neither
//! waits for the other. Nobody reads from it, and nothing is written because of it.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use qipp_domain::Cut;
use qipp_domain::nation::Key;
use qipp_eventlog::{EventLog, LogError, Record};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::compare::{Compared, Differing, compare, compare_keys};
use crate::error::ProjectionError;
use crate::follower::{Shared, Standing};
use crate::lane::place_of;
use crate::rebuild::{Phase, Rebuild, RebuildError};
use crate::run::Exchange;
use crate::state::{Decoder, Prepared, State};

/// Records read at a time.
const PAGE: usize = 1024;
/// Nearer than this many records, it is held against the first one: what is left is folded in a moment.
const CLOSE: u64 = 10_000;
/// When more keys than this have changed since they were compared, both are compared as a whole again. What is left for the moment of the switch
/// is then compared in some milliseconds.
const MOST_TOUCHED: usize = 500;
/// How long to wait before a lane that could not be read is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// How much nicer than the rest of the process, in the system's own measure: it takes what time others leave.
const NICE: i32 = 10;

/// A state that could take the place of the one that serves.
#[derive(Debug)]
pub(crate) struct Offer {
    pub(crate) state: State,
    pub(crate) decode: Decoder,
    /// To be taken although it says something else.
    pub(crate) even_if_different: bool,
    /// What it said differently when all was compared.
    differing: Differing,
    /// Keys that have changed since.
    touched: BTreeSet<Key>,
}

/// Why an offered state was not taken.
#[derive(Debug)]
pub(crate) enum Refused {
    /// It could not be folded to its end.
    Failed(String),
    /// It says something else.
    Differs(Differing),
}

impl Offer {
    pub(crate) fn new(state: State, decode: Decoder) -> Self {
        Self {
            state,
            decode,
            even_if_different: false,
            differing: Differing::default(),
            touched: BTreeSet::new(),
        }
    }

    /// Folds everything up to a cut.
    ///
    /// # Errors
    /// Why it cannot.
    pub(crate) async fn go_on(&mut self, log: &dyn EventLog, until: &Cut) -> Result<(), String> {
        while self.state.cut != *until {
            let page = next_page(log, &self.state.cut, until).await;
            self.apply(&page.map_err(|error| error.to_string())?)?;
        }
        Ok(())
    }

    fn apply(&mut self, page: &[Record]) -> Result<(), String> {
        if page.is_empty() {
            return Err("the log does not hold any more what was folded of it".to_owned());
        }
        let decode = self.decode;
        let prepared = page.iter().map(|record| Prepared::new(record, decode));
        self.touched.extend(self.state.apply(prepared.collect()));
        Ok(())
    }

    /// What it says differently than a state at the same cut. Only what was different and what has changed since can be.
    pub(crate) fn still_differing(&self, serving: &State) -> Differing {
        let keys = self.touched.union(&self.differing.keys);
        compare_keys(serving, &self.state, keys)
    }

    /// Compares everything with a state at the same cut.
    fn compare_with(&mut self, serving: &State) -> Compared {
        let (compared, differing) = compare(serving, &self.state);
        self.differing = differing;
        self.touched.clear();
        compared
    }
}

/// The next records of the first lane that is behind; empty when the log does not hold them.
async fn next_page(log: &dyn EventLog, from: &Cut, until: &Cut) -> Result<Vec<Record>, LogError> {
    let behind = until.iter().find(|(lane, next)| from.next(*lane) < *next);
    let place = behind.and_then(|(lane, next)| Some((lane, place_of(lane)?, next)));
    let Some((lane, (topic, partition), next)) = place else {
        return Ok(Vec::new());
    };
    let mut page = log.read(topic, partition, from.next(lane), PAGE).await?;
    page.retain(|record| record.position.offset < next);
    Ok(page)
}

fn over(why: &str) -> String {
    format!("folding has stopped: {why}")
}

/// What the thread is told.
#[derive(Debug)]
pub(crate) enum Command {
    /// Go on folding a state that was kept.
    Resume,
    /// Offer the state to the fold that serves.
    Switch {
        even_if_different: bool,
        answer: oneshot::Sender<Result<Cut, RebuildError>>,
    },
}

/// A second fold.
pub(crate) struct Second {
    pub(crate) shared: Arc<Shared>,
    pub(crate) offer: Offer,
    pub(crate) commands: mpsc::UnboundedReceiver<Command>,
    pub(crate) ended: CancellationToken,
    /// The first one at a cut, to be compared with when this one stands there too.
    image: Option<State>,
    compared: Option<Compared>,
    /// It was taken off service and rests.
    kept: bool,
    switched: u64,
}

impl Second {
    pub(crate) fn new(
        shared: Arc<Shared>,
        offer: Offer,
        commands: mpsc::UnboundedReceiver<Command>,
        ended: CancellationToken,
    ) -> Self {
        Self {
            shared,
            offer,
            commands,
            ended,
            image: None,
            compared: None,
            kept: false,
            switched: 0,
        }
    }

    /// Starts the thread.
    pub(crate) fn spawn(self) -> Result<(), ProjectionError> {
        let thread = std::thread::Builder::new().name("qipp-beside".into());
        let started = thread.spawn(move || {
            // On Linux this is a property of the thread that asks.
            if let Err(error) = rustix::process::nice(NICE) {
                tracing::warn!(%error, "the second fold runs at the priority of everything else");
            }
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            match runtime {
                Ok(runtime) => runtime.block_on(self.run()),
                Err(error) => self.publish(Phase::Failed(error.to_string())),
            }
        });
        started.map(drop).map_err(|error| ProjectionError::Start {
            cause: error.to_string(),
        })
    }

    async fn run(mut self) {
        if let Err(why) = self.follow().await {
            tracing::error!(
                why,
                "the second fold has failed; the one that serves is not concerned"
            );
            // First the memory, then the news: whoever hears it may start another one.
            self.offer.state = State::of(self.shared.share);
            self.publish(Phase::Failed(why));
        }
    }

    /// Folds, compares and obeys until it is ended. An error says why it cannot go on.
    async fn follow(&mut self) -> Result<(), String> {
        let ended = self.ended.clone();
        let mut standing = self.shared.standing.subscribe();
        while !ended.is_cancelled() {
            while let Ok(command) = self.commands.try_recv() {
                self.obey(command).await?;
            }
            if !self.kept && self.step(&mut standing).await? {
                continue;
            }
            tokio::select! {
                () = ended.cancelled() => return Ok(()),
                command = self.commands.recv() => match command {
                    Some(command) => self.obey(command).await?,
                    None => return Ok(()),
                },
                changed = standing.changed() => {
                    changed.map_err(|error| over(&error.to_string()))?;
                    if let Some(why) = &standing.borrow().stopped {
                        return Err(over(why));
                    }
                }
            }
        }
        Ok(())
    }

    /// Does one piece of work; false when there is none until the first one goes on.
    async fn step(&mut self, standing: &mut watch::Receiver<Standing>) -> Result<bool, String> {
        let goal = {
            let stood = standing.borrow_and_update();
            if let Some(why) = &stood.stopped {
                return Err(over(why));
            }
            stood.cut.clone()
        };
        let worth_comparing = self.compared.is_none() || self.offer.touched.len() > MOST_TOUCHED;
        match self.image.take() {
            Some(image) if image.cut == self.offer.state.cut => {
                self.compared = Some(self.offer.compare_with(&image));
                self.publish(Phase::Ready);
            }
            Some(image) => {
                self.page(&image.cut).await?;
                self.image = Some(image);
            }
            None if worth_comparing && self.behind(&goal) <= CLOSE => {
                self.image = Some(self.shared.read().frozen());
            }
            None if self.offer.state.cut != goal => self.page(&goal).await?,
            None => return Ok(false),
        }
        Ok(true)
    }

    /// Records at most; offsets may have gaps.
    fn behind(&self, goal: &Cut) -> u64 {
        let behind = goal
            .iter()
            .map(|(lane, next)| next.saturating_sub(self.offer.state.cut.next(lane)));
        behind.sum()
    }

    async fn page(&mut self, until: &Cut) -> Result<(), String> {
        match next_page(&*self.shared.log, &self.offer.state.cut, until).await {
            Ok(page) => self.offer.apply(&page)?,
            Err(error @ LogError::Io { .. }) => {
                tracing::warn!(%error, "the log could not be read for the second fold; trying again");
                tokio::select! {
                    () = self.ended.cancelled() => {}
                    () = tokio::time::sleep(RETRY) => {}
                }
            }
            Err(error) => return Err(format!("the log cannot be read: {error}")),
        }
        self.publish(self.phase());
        Ok(())
    }

    fn phase(&self) -> Phase {
        match (self.kept, &self.compared) {
            (true, _) => Phase::Kept,
            (false, Some(_)) => Phase::Ready,
            (false, None) => Phase::CatchingUp,
        }
    }

    async fn obey(&mut self, command: Command) -> Result<(), String> {
        match command {
            Command::Resume => {
                if std::mem::take(&mut self.kept) {
                    self.compared = None;
                    self.publish(Phase::CatchingUp);
                }
            }
            Command::Switch {
                even_if_different,
                answer,
            } => {
                let switched = match self.phase() {
                    Phase::Ready => self.switch(even_if_different).await?,
                    Phase::Kept => Err(RebuildError::Kept),
                    _ => Err(RebuildError::NotReady),
                };
                self.publish(self.phase());
                // Whoever asked may be gone; what was done is done.
                let _ = answer.send(switched);
            }
        }
        Ok(())
    }

    async fn switch(
        &mut self,
        even_if_different: bool,
    ) -> Result<Result<Cut, RebuildError>, String> {
        let (decode, empty) = (self.offer.decode, State::of(self.shared.share));
        let offered = std::mem::replace(&mut self.offer, Offer::new(empty, decode));
        let (answer, answered) = oneshot::channel();
        let exchange = Exchange {
            offer: Offer {
                even_if_different,
                ..offered
            },
            answer,
        };
        let gone = || "folding has stopped while the states were being switched".to_owned();
        self.image = None;
        self.shared.exchanges.send(exchange).map_err(|_| gone())?;
        match answered.await.map_err(|_| gone())? {
            Ok(taken_off) => {
                let cut = taken_off.state.cut.clone();
                self.offer = Offer::new(taken_off.state, taken_off.decode);
                self.kept = true;
                self.switched += 1;
                tracing::info!(
                    switched = self.switched,
                    "the state beside serves now; the one before is kept"
                );
                Ok(Ok(cut))
            }
            Err((offer, refused)) => {
                self.offer = offer;
                Ok(Err(self.refused(refused)))
            }
        }
    }

    fn refused(&mut self, refused: Refused) -> RebuildError {
        match refused {
            Refused::Failed(cause) => RebuildError::Failed(cause),
            Refused::Differs(differing) => {
                if differing != self.offer.differing {
                    // It has begun to differ since: what is told of it has to be found again.
                    self.compared = None;
                }
                RebuildError::Differs {
                    count: differing.count(),
                    named: differing.named().join(", "),
                }
            }
        }
    }

    /// Makes known how far it is, unless it was ended: then nothing is beside any more.
    fn publish(&self, phase: Phase) {
        let beside = self.shared.beside.lock();
        let _beside = beside.unwrap_or_else(PoisonError::into_inner);
        if self.ended.is_cancelled() {
            return;
        }
        let of = self.shared.read().records;
        self.shared.rebuild.send_replace(Rebuild {
            phase,
            cut: self.offer.state.cut.clone(),
            records: self.offer.state.records,
            of,
            compared: self.compared.clone(),
            switched: self.switched,
        });
    }
}
