//! The load generator: clients that submit returns to a running service, in a process of their own.
//!
//! Every request is encoded before the clock starts, so that the generator takes as little of the machine as it can, and of an answer
//! only the decision is read; every answer is checked. Unary clients have one call in flight each, over a connection of their own; bulk
//! clients have a stream each with a window of returns in flight.
//!
//! Without a rate the loop is closed: a slow answer delays the next request of that client, so percentiles say what a client that
//! waits sees (coordinated omission). With a rate requests are due at fixed moments, and latency counts from when a request was due.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::{BufMut as _, Bytes};
use clap::{Args, ValueEnum};
use futures::StreamExt as _;
use hdrhistogram::Histogram;
use prost::Message as _;
use qipp_api::proto::intake::v1::{SubmitReturnRequest, SubmitReturnsRequest};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use crate::nation::Nation;
use crate::results::{latencies, note};

/// Returns of one bulk client that are on their way.
pub const WINDOW: usize = 64;

/// How clients submit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// One call at a time.
    Unary,
    /// A stream with a window.
    Bulk,
}

/// What to submit to a service, and how.
#[derive(Clone, Debug, Args)]
pub struct LoadArgs {
    /// Address of the service.
    #[arg(long)]
    pub server: String,
    /// Key of a submitter; in the environment, because command lines can be read by others.
    #[arg(long, env = KEY, hide_env_values = true)]
    pub key: String,
    /// What and how.
    #[command(flatten)]
    pub load: Load,
}

/// The variable of the environment that holds the generator's key.
pub const KEY: &str = "QIPP_KEY";

/// What to submit, and how.
#[derive(Clone, Copy, Debug, Args)]
pub struct Load {
    /// How clients submit.
    #[arg(long, value_enum)]
    pub mode: Mode,
    /// Clients.
    #[arg(long)]
    pub clients: u32,
    /// Returns, at most.
    #[arg(long)]
    pub returns: u32,
    /// Seconds, at most.
    #[arg(long)]
    pub seconds: f64,
    /// Organisations of the nation.
    #[arg(long)]
    pub orgs: u32,
    /// Markers of a return.
    #[arg(long)]
    pub markers: u32,
    /// Decides the figures.
    #[arg(long)]
    pub seed: u64,
    /// Number of the first return: return n is of organisation n mod ORGS, month n / ORGS.
    #[arg(long)]
    pub first: u64,
    /// Returns a second over all clients; 0: as fast as answers come.
    #[arg(long, default_value_t = 0.0)]
    pub rate: f64,
}

impl Load {
    /// The nation whose figures are submitted; its history is of no matter here.
    pub fn nation(&self) -> Nation {
        Nation {
            orgs: self.orgs,
            months: 0,
            markers: self.markers,
            seed: self.seed,
        }
    }

    /// As flags of a command line.
    pub fn flags(&self) -> Vec<String> {
        let mode = match self.mode {
            Mode::Unary => "unary",
            Mode::Bulk => "bulk",
        };
        let flags = [
            ("mode", mode.to_owned()),
            ("clients", self.clients.to_string()),
            ("returns", self.returns.to_string()),
            ("seconds", self.seconds.to_string()),
            ("orgs", self.orgs.to_string()),
            ("markers", self.markers.to_string()),
            ("seed", self.seed.to_string()),
            ("first", self.first.to_string()),
            ("rate", self.rate.to_string()),
        ];
        flags
            .into_iter()
            .map(|(name, value)| format!("--{name}={value}"))
            .collect()
    }
}

/// What came of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Loaded {
    /// Returns that were accepted.
    pub accepted: u64,
    /// Answers that were anything else.
    pub refused: u64,
    /// From the first request to the last answer.
    pub seconds: f64,
    /// Processor seconds that the generator used in that time.
    pub cpu_seconds: f64,
    /// Latencies, microseconds: value and count, in order.
    pub latencies: Vec<(u64, u64)>,
    /// One of the refusals.
    pub refusal: String,
}

impl Loaded {
    /// The latencies as a histogram.
    pub fn histogram(&self) -> Histogram<u64> {
        let mut histogram = latencies();
        for (value, count) in &self.latencies {
            histogram.saturating_record_n(*value, *count);
        }
        histogram
    }

    /// Accepted a second.
    pub fn rate(&self) -> f64 {
        self.accepted as f64 / self.seconds
    }
}

/// Counts of a histogram, as they go from process to process.
pub fn counts(histogram: &Histogram<u64>) -> Vec<(u64, u64)> {
    histogram
        .iter_recorded()
        .map(|step| (step.value_iterated_to(), step.count_at_value()))
        .collect()
}

/// Return `number` of an endless sequence over a nation: every organisation's month, then the next month.
pub fn place(orgs: u32, number: u64) -> (u32, u32) {
    let month = u32::try_from(number / u64::from(orgs)).expect("months fit a calendar");
    let org = u32::try_from(number % u64::from(orgs)).expect("below the number of organisations");
    (org, month)
}

/// Runs the load.
pub async fn run(args: LoadArgs) -> anyhow::Result<Loaded> {
    let LoadArgs {
        server,
        key,
        load: args,
    } = args;
    let nation = args.nation();
    let mut shares: Vec<Vec<Bytes>> = (0..args.clients).map(|_| Vec::new()).collect();
    let clients = u64::from(args.clients);
    for number in 0..u64::from(args.returns) {
        let (org, month) = place(args.orgs, args.first + number);
        let sent = Some(nation.sent_quality(org, month, 1));
        let bytes = match args.mode {
            Mode::Unary => SubmitReturnRequest {
                r#return: sent,
                validate_only: false,
            }
            .encode_to_vec(),
            Mode::Bulk => SubmitReturnsRequest {
                sequence: number,
                r#return: sent,
                validate_only: false,
            }
            .encode_to_vec(),
        };
        shares[usize::try_from(number % clients)?].push(bytes.into());
    }
    let mut ready = Vec::new();
    for share in shares {
        ready.push((Connection::open(&server, &key).await?, share));
    }
    let cpu = crate::process::cpu_seconds(std::process::id());
    let start = Instant::now();
    let mut running = tokio::task::JoinSet::new();
    for (client, (connection, share)) in ready.into_iter().enumerate() {
        let pace = Pace::of(&args, start, client);
        match args.mode {
            Mode::Unary => running.spawn(unary(connection, share, pace)),
            Mode::Bulk => running.spawn(bulk(connection, share, pace)),
        };
    }
    let mut all = Tally::default();
    while let Some(tally) = running.join_next().await {
        all.add(tally??);
    }
    let seconds = start.elapsed().as_secs_f64();
    let loaded = Loaded {
        accepted: all.accepted,
        refused: all.refused,
        seconds,
        cpu_seconds: crate::process::cpu_seconds(std::process::id()) - cpu,
        latencies: counts(&all.latencies),
        refusal: all.refusal,
    };
    Ok(loaded)
}

/// When requests are due, and when to stop.
#[derive(Clone, Copy, Debug)]
struct Pace {
    start: Instant,
    until: Instant,
    /// Between two requests of a client; zero: at once.
    every: Duration,
    /// Of this client's first request after the start.
    offset: Duration,
}

impl Pace {
    fn of(args: &Load, start: Instant, client: usize) -> Self {
        let every = if args.rate > 0.0 {
            Duration::from_secs_f64(f64::from(args.clients) / args.rate)
        } else {
            Duration::ZERO
        };
        Self {
            start,
            until: start + Duration::from_secs_f64(args.seconds),
            every,
            offset: every.mul_f64(client as f64 / f64::from(args.clients)),
        }
    }

    /// Waits until request `number` of this client is due, and says from when its latency counts; nothing when time is up.
    async fn due(&self, number: usize) -> Option<Instant> {
        if self.every.is_zero() {
            let now = Instant::now();
            return (now < self.until).then_some(now);
        }
        let due = self.start + self.offset + self.every.mul_f64(number as f64);
        if due >= self.until {
            return None;
        }
        tokio::time::sleep_until(due.into()).await;
        Some(due)
    }
}

#[derive(Debug)]
struct Tally {
    accepted: u64,
    refused: u64,
    refusal: String,
    latencies: Histogram<u64>,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            accepted: 0,
            refused: 0,
            refusal: String::new(),
            latencies: latencies(),
        }
    }
}

impl Tally {
    fn answered(
        &mut self,
        since: Instant,
        decision: Option<i32>,
        refusal: impl FnOnce() -> String,
    ) {
        note(&mut self.latencies, since.elapsed());
        // DECISION_ACCEPTED.
        if decision == Some(1) {
            self.accepted += 1;
        } else {
            self.refused += 1;
            self.refusal = refusal();
        }
    }

    fn add(&mut self, other: Self) {
        self.accepted += other.accepted;
        self.refused += other.refused;
        if !other.refusal.is_empty() {
            self.refusal = other.refusal;
        }
        self.latencies += other.latencies;
    }
}

async fn unary(mut connection: Connection, share: Vec<Bytes>, pace: Pace) -> anyhow::Result<Tally> {
    let mut tally = Tally::default();
    for (number, bytes) in share.into_iter().enumerate() {
        let Some(since) = pace.due(number).await else {
            break;
        };
        connection.grpc.ready().await?;
        let request = connection.request(bytes);
        let path = "/qipp.intake.v1.IntakeService/SubmitReturn".parse()?;
        match connection
            .grpc
            .unary(request, path, Answered::<Unary>::default())
            .await
        {
            Ok(answer) => {
                let decision = answer
                    .get_ref()
                    .receipt
                    .as_ref()
                    .map(|receipt| receipt.decision);
                tally.answered(since, decision, || format!("decision {decision:?}"));
            }
            Err(status) => tally.answered(since, None, || status.to_string()),
        }
    }
    Ok(tally)
}

async fn bulk(mut connection: Connection, share: Vec<Bytes>, pace: Pace) -> anyhow::Result<Tally> {
    let window = Arc::new(Semaphore::new(WINDOW));
    let (sent_at, mut sent) = tokio::sync::mpsc::unbounded_channel();
    let room = Arc::clone(&window);
    let requests = futures::stream::unfold(
        (share.into_iter(), 0, sent_at, room),
        move |(mut rest, number, sent_at, room)| async move {
            // A permit comes back with the answer.
            room.acquire().await.ok()?.forget();
            let bytes = rest.next()?;
            let since = pace.due(number).await?;
            sent_at.send(since).ok()?;
            Some((bytes, (rest, number + 1, sent_at, room)))
        },
    );
    connection.grpc.ready().await?;
    let request = connection.request(requests);
    let path = "/qipp.intake.v1.IntakeService/SubmitReturns".parse()?;
    let answers = connection
        .grpc
        .streaming(request, path, Answered::<Bulk>::default())
        .await?;
    let mut answers = answers.into_inner();
    let mut tally = Tally::default();
    while let Some(answer) = answers.next().await {
        // Answers come in the order of the requests.
        let since = sent.recv().await.context("an answer without a request")?;
        let answer = answer?;
        let decision = answer.receipt.as_ref().map(|receipt| receipt.decision);
        tally.answered(since, decision, || format!("{answer:?}"));
        window.add_permits(1);
    }
    Ok(tally)
}

#[derive(Debug)]
struct Connection {
    grpc: Grpc<Channel>,
    authorization: MetadataValue<Ascii>,
}

impl Connection {
    async fn open(server: &str, key: &str) -> anyhow::Result<Self> {
        let channel = Endpoint::from_shared(server.to_owned())?
            .tcp_nodelay(true)
            .connect()
            .await?;
        Ok(Self {
            grpc: Grpc::new(channel).max_decoding_message_size(64 << 20),
            authorization: format!("Bearer {}", key).parse()?,
        })
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request
            .metadata_mut()
            .insert("authorization", self.authorization.clone());
        request
    }
}

/// Of an answer to SubmitReturn, what the generator looks at.
#[derive(Clone, PartialEq, prost::Message)]
struct Unary {
    #[prost(message, optional, tag = "1")]
    receipt: Option<Decided>,
}

/// Of an answer to SubmitReturns, what the generator looks at.
#[derive(Clone, PartialEq, prost::Message)]
struct Bulk {
    #[prost(message, optional, tag = "2")]
    receipt: Option<Decided>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Decided {
    #[prost(int32, tag = "1")]
    decision: i32,
}

/// Bytes out, as they were encoded beforehand; answers in.
#[derive(Debug)]
struct Answered<A>(std::marker::PhantomData<A>);

impl<A> Default for Answered<A> {
    fn default() -> Self {
        Self(std::marker::PhantomData)
    }
}

impl<A: prost::Message + Default + 'static> Codec for Answered<A> {
    type Encode = Bytes;
    type Decode = A;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self::default()
    }

    fn decoder(&mut self) -> Self {
        Self::default()
    }
}

impl<A> Encoder for Answered<A> {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.put(item);
        Ok(())
    }
}

impl<A: prost::Message + Default> Decoder for Answered<A> {
    type Item = A;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<A>, Status> {
        A::decode(from)
            .map(Some)
            .map_err(|error| Status::internal(error.to_string()))
    }
}
