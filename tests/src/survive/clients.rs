//! The clients: they send what the plan says, and go on until everything has its answer, however often the house goes away in between.
//! Where several processes serve, a client stays with one until that one fails it, and asks the next then.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use qipp::client::{Client, merge};
use qipp_api::proto::events::v1::Cut;
use qipp_api::proto::intake::v1::submit_returns_response::Result as Streamed;
use qipp_api::proto::intake::v1::{
    Decision, Receipt, SubmitReturnRequest, SubmitReturnsRequest, SubmitSchemeRequest,
};
use qipp_api::proto::registry::v1::RecordFactsRequest;
use serde_json::json;
use tokio::sync::watch;
use tonic::{Code, Status};

use super::journal::Journal;
use super::model::{Answer, Attempt, History, Place, Slot};
use super::plan::{Plan, Script};

/// How long a client waits before it calls a house again that did not answer, unless it hears of a new one.
const PAUSE: Duration = Duration::from_millis(5);
/// Where others can be asked it waits longer: while nobody can answer, that is a question every so often and not a flood.
const PAUSE_ELSEWHERE: Duration = Duration::from_millis(25);
/// A client that got no answer from anybody for so long has failed the run: everything is up again long before.
const GIVEN_UP: Duration = Duration::from_secs(180);

/// Where a process is now, and which of all lives it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) life: u64,
    pub(crate) url: String,
}

/// What becomes of a call that is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    /// There is one house, and it is up again long before this: the run has failed.
    Fails(Duration),
    /// It is given up, and made again elsewhere. What was given up may still be done, at any later time.
    Elsewhere(Duration),
}

impl Patience {
    fn time(self) -> Duration {
        match self {
            Self::Fails(time) | Self::Elsewhere(time) => time,
        }
    }
}

/// What all clients of an episode share.
#[derive(Debug)]
pub(crate) struct Clients {
    pub(crate) plan: Plan,
    /// Whoever can be asked now; nobody while the house is down.
    pub(crate) houses: watch::Receiver<Vec<Address>>,
    pub(crate) keys: Keys,
    patience: Patience,
    ticks: AtomicU64,
    /// How many sendings were answered.
    acknowledged: watch::Sender<u64>,
    notes: Mutex<Notes>,
}

/// The keys of the house.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    pub(crate) operator: String,
    pub(crate) collector: String,
    pub(crate) national: String,
}

/// What has happened so far.
#[derive(Debug)]
pub(crate) struct Notes {
    pub(crate) history: History,
    /// Includes everything that was acknowledged.
    pub(crate) cut: Cut,
    /// Answered since they were last looked at.
    pub(crate) unchecked: BTreeSet<Slot>,
    /// Every attempt, for a look when something is wrong.
    pub(crate) journal: Journal,
    /// The longest that a client waited for one answer, over all its attempts.
    pub(crate) longest_wait: Duration,
}

/// How an attempt ended.
#[derive(Clone, Copy)]
enum Outcome<T> {
    Answered(T),
    /// The house may or may not have done it.
    Unknown,
}

/// The connection of one client, and the life of the house that it belongs to.
#[derive(Debug)]
struct Line {
    held: Option<(Address, Client)>,
    /// Who is asked: the next one when one has failed.
    turn: usize,
}

impl Clients {
    pub(crate) fn new(
        plan: Plan,
        houses: watch::Receiver<Vec<Address>>,
        keys: Keys,
        patience: Patience,
        journal: Journal,
    ) -> Self {
        let wanted = plan.sendings.iter().map(|s| s.wanted.clone()).collect();
        let notes = Notes {
            history: History {
                wanted,
                attempts: Vec::new(),
            },
            cut: Cut::default(),
            unchecked: BTreeSet::new(),
            journal,
            longest_wait: Duration::ZERO,
        };
        Self {
            plan,
            houses,
            keys,
            patience,
            ticks: AtomicU64::new(1),
            acknowledged: watch::Sender::new(0),
            notes: Mutex::new(notes),
        }
    }

    pub(crate) fn tick(&self) -> u64 {
        self.ticks.fetch_add(1, Ordering::SeqCst)
    }

    pub(crate) fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn say(&self, what: &serde_json::Value) {
        self.notes().journal.say(what);
    }

    /// How many sendings were answered, from now on.
    pub(crate) fn acknowledged(&self) -> watch::Receiver<u64> {
        self.acknowledged.subscribe()
    }

    /// Whose turn it is of those who can be asked, once there is somebody.
    pub(crate) async fn up(&self, turn: usize) -> Address {
        let mut houses = self.houses.clone();
        let up = houses.wait_for(|houses| !houses.is_empty()).await;
        let up = up.expect("who starts the house outlives the clients");
        up[turn % up.len()].clone()
    }

    /// Waits until there is another life, or a moment.
    async fn breath(&self, life: u64) {
        if let Patience::Elsewhere(_) = self.patience {
            return tokio::time::sleep(PAUSE_ELSEWHERE).await;
        }
        let mut houses = self.houses.clone();
        let another = houses.wait_for(|houses| houses.iter().any(|house| house.life > life));
        let _ = tokio::time::timeout(PAUSE, another).await;
    }

    /// What came of a call; nothing when it was given up.
    async fn in_time<T>(&self, call: impl Future<Output = T>) -> Result<Option<T>, String> {
        match (
            tokio::time::timeout(self.patience.time(), call).await,
            self.patience,
        ) {
            (Ok(answer), _) => Ok(Some(answer)),
            (Err(_), Patience::Elsewhere(_)) => Ok(None),
            (Err(_), Patience::Fails(time)) => {
                Err(format!("a call was not answered within {time:?}"))
            }
        }
    }

    /// Could the same call pass later, or elsewhere?
    fn may_pass(&self, status: &Status) -> bool {
        let given_up = matches!(self.patience, Patience::Elsewhere(_));
        may_pass(status) || given_up && status.code() == Code::DeadlineExceeded
    }

    /// Calls until something was answered.
    pub(crate) async fn insist<T, F: Future<Output = Result<T, Status>>>(
        &self,
        key: &str,
        call: impl Fn(Client) -> F,
    ) -> Result<T, String> {
        let began = Instant::now();
        for turn in 0.. {
            let at = self.up(turn).await;
            let client = self.client(&at.url, key)?;
            match self.in_time(call(client)).await? {
                Some(Ok(answer)) => return Ok(answer),
                Some(Err(status)) if !self.may_pass(&status) => {
                    return Err(format!("a call was refused by {}: {status:?}", at.url));
                }
                Some(Err(status)) if began.elapsed() > GIVEN_UP => {
                    return Err(format!(
                        "nobody answered a call within {GIVEN_UP:?}: {status:?}"
                    ));
                }
                None if began.elapsed() > GIVEN_UP => {
                    return Err(format!("nobody answered a call within {GIVEN_UP:?}"));
                }
                _ => self.breath(at.life).await,
            }
        }
        unreachable!("turns do not end")
    }

    /// All of the plan, with an evaluation after each step.
    pub(crate) async fn run(self: Arc<Self>) -> Result<(), String> {
        self.prepare().await?;
        let steps = 0..self.plan.steps.len();
        self.steps(steps, |_| true).await
    }

    /// Reference data and schemes.
    pub(crate) async fn prepare(&self) -> Result<(), String> {
        for facts in self
            .plan
            .reference
            .chunks(qipp_api::files::MAX_FACTS_PER_CALL)
        {
            let call = |client: Client| async move {
                let request = RecordFactsRequest {
                    facts: facts.to_vec(),
                    validate_only: false,
                };
                client.registry().record_facts(request).await
            };
            self.insist(&self.keys.operator, call).await?;
        }
        for scheme in &self.plan.schemes {
            let call = |client: Client| async move {
                let request = SubmitSchemeRequest {
                    scheme: Some(scheme.clone()),
                    validate_only: false,
                };
                client.intake().submit_scheme(request).await
            };
            let receipt = self.insist(&self.keys.collector, call).await?;
            let revision = receipt.into_inner().receipt.unwrap_or_default().revision;
            if revision != 1 {
                return Err(format!(
                    "the scheme of {} became revision {revision}",
                    scheme.org_code
                ));
            }
        }
        Ok(())
    }

    /// Step after step. After those that say so the rules have to have been evaluated before the next one begins.
    pub(crate) async fn steps(
        self: &Arc<Self>,
        steps: Range<usize>,
        evaluated: impl Fn(usize) -> bool,
    ) -> Result<(), String> {
        for number in steps {
            self.say(&json!({ "step": number }));
            let scripts = self.plan.steps[number].iter().zip(number..);
            let scripts = scripts.map(|(script, turn)| {
                let (clients, script) = (Arc::clone(self), script.clone());
                tokio::spawn(async move { clients.play(&script, turn).await })
            });
            for script in scripts.collect::<Vec<_>>() {
                script.await.map_err(|error| error.to_string())??;
            }
            if evaluated(number) {
                self.evaluated().await?;
            }
        }
        Ok(())
    }

    /// Waits until the rules have been evaluated on everything that was acknowledged.
    pub(crate) async fn evaluated(&self) -> Result<(), String> {
        use qipp_api::proto::alerts::v1::ListAlertsRequest;
        let cut = self.notes().cut.clone();
        let call = |client: Client| {
            let request = ListAlertsRequest {
                page_size: 1,
                min_evaluated: Some(cut.clone()),
                ..ListAlertsRequest::default()
            };
            async move { client.alerts().list_alerts(request).await }
        };
        self.insist(&self.keys.national, call).await.map(drop)
    }

    async fn play(&self, script: &Script, turn: usize) -> Result<(), String> {
        let mut line = Line { held: None, turn };
        if script.streamed {
            self.stream(&mut line, &script.sendings).await?;
            let again = |number: &&usize| self.plan.sendings[**number].again;
            let again: Vec<usize> = script.sendings.iter().filter(again).copied().collect();
            return self.stream(&mut line, &again).await;
        }
        for number in &script.sendings {
            self.send(&mut line, *number).await?;
            if self.plan.sendings[*number].again {
                self.send(&mut line, *number).await?;
            }
        }
        Ok(())
    }

    /// Alone, until it is answered.
    async fn send(&self, line: &mut Line, number: usize) -> Result<(), String> {
        let since = Instant::now();
        loop {
            let (at, client) = self.connected(line).await?;
            let began = self.tick();
            let sending = &self.plan.sendings[number];
            let request = SubmitReturnRequest {
                r#return: Some(sending.message.clone()),
                validate_only: sending.wanted.dry_run,
            };
            self.say(&json!({ "tick": began, "sent": [number], "to": at.url }));
            let mut intake = client.intake();
            let outcome = match self.in_time(intake.submit_return(request)).await? {
                Some(Ok(answer)) => {
                    let receipt = answer
                        .into_inner()
                        .receipt
                        .ok_or("an answer without a receipt")?;
                    Outcome::Answered(self.read(&receipt)?)
                }
                Some(Err(status)) if status.code() == Code::InvalidArgument => {
                    Outcome::Answered((Answer::Refused, None))
                }
                Some(Err(status)) if !self.may_pass(&status) => {
                    return Err(format!("{:?} was refused: {status:?}", sending.wanted));
                }
                Some(Err(_)) | None => Outcome::Unknown,
            };
            let known = matches!(outcome, Outcome::Answered(_));
            self.note(number, began, outcome);
            if known {
                self.waited(since);
                return Ok(());
            }
            self.turn(line, at.life, since).await?;
        }
    }

    fn waited(&self, since: Instant) {
        let mut notes = self.notes();
        notes.longest_wait = notes.longest_wait.max(since.elapsed());
    }

    /// The next one is asked, after a moment.
    async fn turn(&self, line: &mut Line, life: u64, since: Instant) -> Result<(), String> {
        if since.elapsed() > GIVEN_UP {
            return Err(format!("nobody answered a client within {GIVEN_UP:?}"));
        }
        line.turn += 1;
        self.breath(life).await;
        Ok(())
    }

    /// A connection to whoever is asked now, which is kept for as long as that one lives.
    async fn connected(&self, line: &mut Line) -> Result<(Address, Client), String> {
        let at = self.up(line.turn).await;
        match &line.held {
            Some((held, client)) if held.life == at.life => Ok((at, client.clone())),
            _ => {
                let made = (at.clone(), self.client(&at.url, &self.keys.collector)?);
                line.held = Some(made.clone());
                Ok(made)
            }
        }
    }

    /// All at once through the bulk stream; what has no answer when the stream breaks is sent again, in order.
    async fn stream(&self, line: &mut Line, numbers: &[usize]) -> Result<(), String> {
        let (mut next, mut since) = (0, Instant::now());
        while next < numbers.len() {
            let (at, client) = self.connected(line).await?;
            let rest = &numbers[next..];
            let answered = self.stream_once(&at, &client, rest).await?;
            next += answered;
            if answered > 0 {
                self.waited(since);
                since = Instant::now();
            }
            if next < numbers.len() {
                self.turn(line, at.life, since).await?;
            }
        }
        Ok(())
    }

    /// One stream, until it breaks. How many were answered.
    async fn stream_once(
        &self,
        at: &Address,
        client: &Client,
        rest: &[usize],
    ) -> Result<usize, String> {
        let sendings = rest
            .iter()
            .map(|number| self.plan.sendings[*number].clone());
        let requests = sendings
            .zip(0..)
            .map(|(sending, sequence)| SubmitReturnsRequest {
                sequence,
                r#return: Some(sending.message),
                validate_only: sending.wanted.dry_run,
            });
        let requests = futures::stream::iter(requests.collect::<Vec<_>>());
        let began = self.tick();
        self.say(&json!({ "tick": began, "sent": rest, "to": at.url }));
        let mut intake = client.intake();
        let mut answered = 0;
        if let Some(Ok(answers)) = self.in_time(intake.submit_returns(requests)).await? {
            let mut answers = answers.into_inner();
            while let Some(Some(Ok(answer))) = self.in_time(answers.next()).await? {
                if answer.sequence != answered as u64 {
                    return Err(format!(
                        "answer {} came where {answered} belongs",
                        answer.sequence
                    ));
                }
                let read = match answer.result {
                    Some(Streamed::Receipt(receipt)) => self.read(&receipt)?,
                    Some(Streamed::Rejection(_)) => (Answer::Refused, None),
                    None => return Err("an answer that says nothing".to_owned()),
                };
                self.note(rest[answered], began, Outcome::Answered(read));
                answered += 1;
            }
        }
        for number in &rest[answered..] {
            self.note(*number, began, Outcome::Unknown);
        }
        Ok(answered)
    }

    fn read(&self, receipt: &Receipt) -> Result<(Answer, Option<Place>), String> {
        let answer = match receipt.decision() {
            Decision::Accepted => Answer::Accepted(receipt.revision),
            Decision::Repeat => Answer::Repeat(receipt.revision),
            Decision::Conflict => Answer::Conflict(receipt.revision),
            Decision::KeyReused => Answer::KeyReused(receipt.revision),
            Decision::Unspecified => {
                return Err(format!("a receipt without a decision: {receipt:?}"));
            }
        };
        let place = receipt.position.as_ref().map(|position| {
            let partition = u16::try_from(position.partition).map_err(|e| e.to_string());
            partition.map(|partition| (partition, position.offset))
        });
        Ok((answer, place.transpose()?))
    }

    fn note(&self, wanted: usize, began: u64, outcome: Outcome<(Answer, Option<Place>)>) {
        let ended = self.tick();
        let what = &self.plan.sendings[wanted].wanted;
        let answer = match outcome {
            Outcome::Answered((answer, place)) if !what.dry_run => Some((answer, place)),
            // Where it would stand is nobody's business.
            Outcome::Answered((answer, _)) => Some((answer, None)),
            Outcome::Unknown => None,
        };
        let mut notes = self.notes();
        notes.journal.say(&json!({
            "tick": ended, "since": began, "sending": wanted,
            "wanted": format!("{what:?}"), "answer": answer.map(|answer| format!("{answer:?}")),
        }));
        if answer.is_some() && !what.dry_run {
            notes.unchecked.insert(what.slot.clone());
        }
        if let Some((_, Some((partition, offset)))) = answer {
            let reached = Cut {
                next: vec![qipp_api::proto::events::v1::Position {
                    topic: "qipp.returns.v1".to_owned(),
                    partition: partition.into(),
                    offset: offset + 1,
                }],
            };
            merge(&mut notes.cut, Some(&reached));
        }
        notes.history.attempts.push(Attempt {
            wanted,
            began,
            ended,
            answer,
        });
        drop(notes);
        if answer.is_some() {
            self.acknowledged.send_modify(|count| *count += 1);
        }
    }

    fn client(&self, url: &str, key: &str) -> Result<Client, String> {
        let time = self.patience.time();
        Client::new(url, key, time).map_err(|failure| failure.error.to_string())
    }
}

/// Could the same call pass later? A connection that breaks shows itself in many ways, but never with details, which only a house gives.
pub(crate) fn may_pass(status: &Status) -> bool {
    match status.code() {
        Code::Unavailable | Code::Cancelled | Code::ResourceExhausted => true,
        Code::Unknown | Code::Internal => status.details().is_empty(),
        _ => false,
    }
}
