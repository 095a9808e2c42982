//! The clients: they send what the plan says, and go on until everything has its answer, however often the house goes away in between.

use std::collections::BTreeSet;
use std::io::Write as _;
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
use tokio::sync::watch;
use tonic::{Code, Status};

use super::model::{Answer, Attempt, History, Place, Slot};
use super::plan::{Plan, Script};

/// A call that takes longer than this has failed the run: the house is up again long before.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a client waits before it calls a house again that did not answer, unless it hears of a new one.
const PAUSE: Duration = Duration::from_millis(5);

/// Where the house is now, and which of its lives it is; nothing while it is down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) life: u64,
    pub(super) url: String,
}

/// What all clients of an episode share.
#[derive(Debug)]
pub(super) struct Clients {
    pub(super) plan: Plan,
    pub(super) house: watch::Receiver<Option<Address>>,
    pub(super) keys: Keys,
    began: Instant,
    ticks: AtomicU64,
    notes: Mutex<Notes>,
}

/// The keys of the house.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    pub(super) operator: String,
    pub(super) collector: String,
    pub(super) national: String,
}

/// What has happened so far.
#[derive(Debug)]
pub(super) struct Notes {
    pub(super) history: History,
    /// Includes everything that was acknowledged.
    pub(super) cut: Cut,
    /// Answered since they were last looked at.
    pub(super) unchecked: BTreeSet<Slot>,
    /// Every attempt as a line, for a look when something is wrong.
    pub(super) file: std::io::BufWriter<std::fs::File>,
}

/// How an attempt ended.
#[derive(Clone, Copy)]
enum Outcome<T> {
    Answered(T),
    /// The house may or may not have done it.
    Unknown,
}

/// The connection of one client, and the life of the house that it belongs to.
#[derive(Debug, Default)]
struct Line(Option<(u64, Client)>);

impl Clients {
    pub(super) fn new(
        plan: Plan,
        house: watch::Receiver<Option<Address>>,
        keys: Keys,
        file: std::fs::File,
    ) -> Self {
        let wanted = plan.sendings.iter().map(|s| s.wanted.clone()).collect();
        let notes = Notes {
            history: History {
                wanted,
                attempts: Vec::new(),
            },
            cut: Cut::default(),
            unchecked: BTreeSet::new(),
            file: std::io::BufWriter::new(file),
        };
        Self {
            plan,
            house,
            keys,
            began: Instant::now(),
            ticks: AtomicU64::new(1),
            notes: Mutex::new(notes),
        }
    }

    pub(super) fn tick(&self) -> u64 {
        self.ticks.fetch_add(1, Ordering::SeqCst)
    }

    pub(super) fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn say(&self, what: &str) {
        let elapsed = self.began.elapsed();
        let _ = writeln!(self.notes().file, "{elapsed:.3?} {what}");
    }

    /// The house, once it is up.
    pub(super) async fn up(&self) -> Address {
        let mut house = self.house.clone();
        let up = house.wait_for(Option::is_some).await;
        up.expect("the killer outlives the clients")
            .clone()
            .expect("waited for")
    }

    /// Waits until there is another life, or a moment.
    async fn breath(&self, life: u64) {
        let mut house = self.house.clone();
        let another = house.wait_for(|house| house.as_ref().is_some_and(|house| house.life > life));
        let _ = tokio::time::timeout(PAUSE, another).await;
    }

    /// Calls until something was answered.
    pub(super) async fn insist<T, F: Future<Output = Result<T, Status>>>(
        &self,
        key: &str,
        call: impl Fn(Client) -> F,
    ) -> Result<T, String> {
        loop {
            let at = self.up().await;
            let client = client(&at.url, key)?;
            match tokio::time::timeout(PATIENCE, call(client)).await {
                Err(_) => return Err(format!("a call was not answered within {PATIENCE:?}")),
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(status)) if may_pass(&status) => self.breath(at.life).await,
                Ok(Err(status)) => return Err(format!("a call was refused: {status:?}")),
            }
        }
    }

    /// Reference data and schemes, then step after step.
    pub(super) async fn run(self: Arc<Self>) -> Result<(), String> {
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
        for (number, step) in self.plan.steps.iter().enumerate() {
            self.say(&format!("step {number}"));
            let scripts = step.iter().map(|script| {
                let (clients, script) = (Arc::clone(&self), script.clone());
                tokio::spawn(async move { clients.play(&script).await })
            });
            for script in scripts.collect::<Vec<_>>() {
                script.await.map_err(|error| error.to_string())??;
            }
            self.evaluated().await?;
        }
        Ok(())
    }

    /// Waits until the rules have been evaluated on everything that was acknowledged.
    async fn evaluated(&self) -> Result<(), String> {
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

    async fn play(&self, script: &Script) -> Result<(), String> {
        let mut line = Line::default();
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
        loop {
            let (life, client) = self.connected(line).await?;
            let began = self.tick();
            let sending = &self.plan.sendings[number];
            let request = SubmitReturnRequest {
                r#return: Some(sending.message.clone()),
                validate_only: sending.wanted.dry_run,
            };
            let mut intake = client.intake();
            let answer = tokio::time::timeout(PATIENCE, intake.submit_return(request)).await;
            let answer = answer.map_err(|_| format!("no answer within {PATIENCE:?}"))?;
            let outcome = match answer {
                Ok(answer) => {
                    let receipt = answer
                        .into_inner()
                        .receipt
                        .ok_or("an answer without a receipt")?;
                    Outcome::Answered(self.read(&receipt)?)
                }
                Err(status) if status.code() == Code::InvalidArgument => {
                    Outcome::Answered((Answer::Refused, None))
                }
                Err(status) if may_pass(&status) => Outcome::Unknown,
                Err(status) => return Err(format!("{:?} was refused: {status:?}", sending.wanted)),
            };
            let known = matches!(outcome, Outcome::Answered(_));
            self.note(number, began, outcome);
            if known {
                return Ok(());
            }
            self.breath(life).await;
        }
    }

    /// A connection to the house of now, which is kept for as long as that one lives.
    async fn connected(&self, line: &mut Line) -> Result<(u64, Client), String> {
        let at = self.up().await;
        match &line.0 {
            Some((life, client)) if *life == at.life => Ok((*life, client.clone())),
            _ => {
                let made = (at.life, client(&at.url, &self.keys.collector)?);
                line.0 = Some(made.clone());
                Ok(made)
            }
        }
    }

    /// All at once through the bulk stream; what has no answer when the stream breaks is sent again, in order.
    async fn stream(&self, line: &mut Line, numbers: &[usize]) -> Result<(), String> {
        let mut next = 0;
        while next < numbers.len() {
            let (life, client) = self.connected(line).await?;
            let rest: Vec<usize> = numbers[next..].to_vec();
            let sendings: Vec<_> = rest
                .iter()
                .map(|number| self.plan.sendings[*number].clone())
                .collect();
            let requests =
                sendings
                    .into_iter()
                    .zip(0..)
                    .map(|(sending, sequence)| SubmitReturnsRequest {
                        sequence,
                        r#return: Some(sending.message),
                        validate_only: sending.wanted.dry_run,
                    });
            let began = self.tick();
            let mut intake = client.intake();
            let opened = intake
                .submit_returns(futures::stream::iter(requests.collect::<Vec<_>>()))
                .await;
            let mut answered = 0;
            if let Ok(answers) = opened {
                let mut answers = answers.into_inner();
                while let Some(Ok(answer)) = tokio::time::timeout(PATIENCE, answers.next())
                    .await
                    .map_err(|_| format!("a stream stood still for {PATIENCE:?}"))?
                {
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
            next += answered;
            if next < numbers.len() {
                self.breath(life).await;
            }
        }
        Ok(())
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
        let _ = writeln!(notes.file, "{began} to {ended}: {what:?} → {answer:?}");
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
    }
}

fn client(url: &str, key: &str) -> Result<Client, String> {
    Client::new(url, key, PATIENCE).map_err(|failure| failure.error.to_string())
}

/// Could the same call pass later? A connection that breaks shows itself in many ways, but never with details, which only a house gives.
fn may_pass(status: &Status) -> bool {
    match status.code() {
        Code::Unavailable | Code::Cancelled | Code::ResourceExhausted => true,
        Code::Unknown | Code::Internal => status.details().is_empty(),
        _ => false,
    }
}
