//! Asking the shards of a nation, and adding up what they say (`merge.rs`).
//!
//! What is about one organisation goes to the shard that it is in. What is about many goes to all of them at once; they are brought to one moment, and
//! shards that are away are named in the answer. Holds no state of the nation and decides nothing: who may see what is decided by those that are
//! asked, because the key of the caller goes with every question.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use futures::future::join_all;
use http::HeaderMap;
use prost::Message;
use qipp_api::cut::{cut_from_proto, known_at_to_proto};
use qipp_api::error::{ApiError, Code, is_of_service};
use qipp_api::page::{Page, Place, next_token, page, wrong_token};
use qipp_api::proto::events::v1::known_at::Moment;
use qipp_api::proto::events::v1::{Cut, KnownAt, Position, ReadOptions};
use qipp_api::proto::projections::v1 as wire;
use qipp_api::proto::projections::v1::projections_service_client::ProjectionsServiceClient;
use qipp_api::proto::projections::v1::projections_service_server::{
    ProjectionsService, ProjectionsServiceServer,
};
use qipp_api::read::read_options;
use qipp_domain::OrgCode;
use qipp_domain::completeness::day_of_ms;
use qipp_eventlog::{Clock, Topic, partition_for};
use qipp_projection::Share;
use qipp_serving::{Caller, step, trace};
use tokio::time::Instant;
use tonic::metadata::MetadataMap;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};
use tracing::Instrument as _;

use crate::merge::{Merge, is_of_all, union};
use crate::roll_ups::cursor_of;
use crate::share::{ASKED_AS, check_asked};

/// Largest answer that is taken of a shard, bytes: a page of a thousand roll-ups with their sources is below it.
const MAX_ANSWER: usize = 64 << 20;

/// How long a process is waited for that did not answer when it was last asked for its health.
const DOUBTFUL: Duration = Duration::from_secs(2);

/// When a caller should come again whose shard is away.
const RETRY: Duration = Duration::from_secs(1);

/// What goes with the question: who asks, and under which number.
const FORWARDED: [&str; 4] = ["authorization", "x-request-id", "traceparent", "tracestate"];

/// A process that holds a shard.
pub trait Replica: Send + Sync + 'static {
    /// Held by a question for as long as it is open.
    type Place: Send;

    /// The way to it, with a place there.
    fn take(&self) -> (Channel, Self::Place);

    /// The lower, the sooner it is asked.
    fn rank(&self) -> u8;

    /// Did it not answer when it was last asked for its health?
    fn is_away(&self) -> bool;

    /// It could not be reached.
    fn lost(&self);
}

/// Who is asked, and what has to be known for that.
#[allow(
    missing_debug_implementations,
    reason = "channels have no form to print"
)]
pub struct Shards<R> {
    /// The replicas of each shard, in the order of shards.
    pub replicas: Vec<Vec<R>>,
    /// Partitions of the returns topic: which shard an organisation is in depends on it.
    pub returns_partitions: u16,
    /// Tells which day is today, once for all shards.
    pub clock: Arc<dyn Clock>,
    /// Largest request, bytes.
    pub max_message_bytes: usize,
}

/// The service, answered by shards.
pub struct Scatter<R> {
    shards: Shards<R>,
    turn: AtomicUsize,
}

impl<R> fmt::Debug for Scatter<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scatter")
            .field("shards", &self.shards.replicas.len())
            .finish_non_exhaustive()
    }
}

/// Builds the service.
#[must_use]
pub fn scatter<R: Replica>(shards: Shards<R>) -> ProjectionsServiceServer<Scatter<R>> {
    let max_message_bytes = shards.max_message_bytes;
    let scatter = Scatter {
        shards,
        turn: AtomicUsize::new(0),
    };
    ProjectionsServiceServer::new(scatter).max_decoding_message_size(max_message_bytes)
}

/// A question of the contract, and how it is put.
#[tonic::async_trait]
trait Question: Message + Clone {
    type Answer: Send;

    async fn ask(
        client: &mut ProjectionsServiceClient<Channel>,
        request: Request<Self>,
    ) -> Result<Response<Self::Answer>, Status>;
}

macro_rules! questions {
    ($($question:ident => $answer:ident by $rpc:ident;)+) => {$(
        #[tonic::async_trait]
        impl Question for wire::$question {
            type Answer = wire::$answer;

            async fn ask(
                client: &mut ProjectionsServiceClient<Channel>,
                request: Request<Self>,
            ) -> Result<Response<Self::Answer>, Status> {
                client.$rpc(request).await
            }
        }
    )+};
}

questions! {
    GetSeriesRequest => GetSeriesResponse by get_series;
    ListRevisionsRequest => ListRevisionsResponse by list_revisions;
    GetSavingsPositionRequest => GetSavingsPositionResponse by get_savings_position;
    ListSchemesRequest => ListSchemesResponse by list_schemes;
    GetCompletenessRequest => GetCompletenessResponse by get_completeness;
    ListRollUpsRequest => ListRollUpsResponse by list_roll_ups;
    GetStatusRequest => GetStatusResponse by get_status;
}

/// On whose behalf shards are asked.
struct Call {
    caller: Caller,
    headers: HeaderMap,
}

impl Call {
    fn of<T>(request: &Request<T>) -> Result<Self, Status> {
        let caller = Caller::of(request)?;
        // Who was asked as a shard is none: it would ask itself for ever.
        check_asked(request.metadata(), Share::WHOLE).map_err(|error| caller.status(error))?;
        let held: &HeaderMap = request.metadata().as_ref();
        let headers = FORWARDED
            .into_iter()
            .filter_map(|name| Some((http::HeaderName::from_static(name), held.get(name)?.clone())))
            .collect();
        Ok(Self { caller, headers })
    }

    /// The question as it goes to a shard.
    fn put<Q>(&self, question: Q, shard: Share, step: &tracing::Span) -> Request<Q> {
        let mut headers = self.headers.clone();
        trace::inject(step, &mut headers);
        let mut request = Request::new(question);
        *request.metadata_mut() = MetadataMap::from_headers(headers);
        let asked = shard.to_string().parse();
        request.metadata_mut().insert(
            ASKED_AS,
            asked.expect("digits and a slash are a header value"),
        );
        let left = self
            .caller
            .deadline
            .saturating_duration_since(Instant::now());
        request.set_timeout(left);
        request
    }
}

/// What came of a question.
enum Told<A> {
    Answer(A),
    /// None of the shard's processes can answer now.
    Away,
}

/// What the shards said together.
struct Gathered<A> {
    answer: A,
    cut: Cut,
    away: BTreeSet<u16>,
}

impl<A: Merge> Gathered<A> {
    fn sealed(mut self) -> A {
        let away = self.away.into_iter().map(u32::from).collect();
        self.answer.seal(self.cut, away);
        self.answer
    }
}

impl<R: Replica> Scatter<R> {
    fn count(&self) -> u16 {
        u16::try_from(self.shards.replicas.len()).unwrap_or(u16::MAX)
    }

    fn all(&self) -> BTreeSet<u16> {
        (0..self.count()).collect()
    }

    /// The shard that an organisation is in. Of what is no code any shard says what is wrong with it.
    fn shard_of(&self, org: &str) -> u16 {
        let partitions = self.shards.returns_partitions;
        org.parse().map_or(0, |org: OrgCode| {
            partition_for(org.as_str().as_bytes(), partitions) % self.count()
        })
    }

    fn today(&self) -> String {
        day_of_ms(self.shards.clock.now_ms()).to_string()
    }

    /// The replicas of a shard from the one whose turn it is on; those that are known to be worse come later.
    fn in_turn(&self, shard: u16) -> Vec<&R> {
        let replicas = &self.shards.replicas[usize::from(shard)];
        let first = self.turn.fetch_add(1, Relaxed) % replicas.len().max(1);
        let mut all: Vec<&R> = replicas[first..].iter().chain(&replicas[..first]).collect();
        all.sort_by_key(|replica| replica.rank());
        all
    }

    /// Asks the replicas of a shard, one after the other, until one answers.
    ///
    /// # Errors
    /// What the shard refuses, and DEADLINE_EXCEEDED.
    async fn ask<Q: Question>(
        &self,
        call: &Call,
        shard: u16,
        question: Q,
    ) -> Result<Told<Q::Answer>, ApiError> {
        let share = Share::new(shard, self.count()).expect("shards are numbered below their count");
        for replica in self.in_turn(shard) {
            let step = step!("ask_shard", qipp.shard = u64::from(shard));
            let request = call.put(question.clone(), share, &step);
            let (channel, _place) = replica.take();
            let mut client =
                ProjectionsServiceClient::new(channel).max_decoding_message_size(MAX_ANSWER);
            let until = match replica.is_away() {
                true => call.caller.deadline.min(Instant::now() + DOUBTFUL),
                false => call.caller.deadline,
            };
            let asked = Q::ask(&mut client, request).instrument(step);
            let status = match tokio::time::timeout_at(until, asked).await {
                Ok(Ok(answer)) => return Ok(Told::Answer(answer.into_inner())),
                Ok(Err(status)) => status,
                Err(_) => Status::unavailable("it did not answer"),
            };
            if call.caller.deadline <= Instant::now() {
                return Err(late(share));
            }
            if !is_of_service(&status) && is_of_transport(&status) {
                tracing::debug!(%share, %status, "a process that holds a shard could not be asked");
                replica.lost();
            } else if status.code() != tonic::Code::Unavailable {
                return Err(ApiError::from_status(&status));
            }
        }
        Ok(Told::Away)
    }

    /// Asks the shard that an organisation is in.
    async fn of_organisation<Q: Question>(
        &self,
        call: &Call,
        org: &str,
        question: Q,
    ) -> Result<Q::Answer, ApiError> {
        let shard = self.shard_of(org);
        match self.ask(call, shard, question).await? {
            Told::Answer(answer) => Ok(answer),
            Told::Away => {
                let (number, count) =
                    (self.shards.replicas[usize::from(shard)].len(), self.count());
                let what = format!(
                    "none of the {number} processes that hold shard {shard}/{count}, in which {org} is, can be reached: try again in a moment; if it \
                     stays so, have the operator see whether they run and whether serve.peers.shards names them"
                );
                Err(ApiError::unavailable("SHARD_AWAY", what, RETRY))
            }
        }
    }

    /// Asks several shards at once; those that are away are not in the answers.
    async fn ask_each<Q: Question>(
        &self,
        call: &Call,
        shards: impl Iterator<Item = u16>,
        question: impl Fn() -> Q,
    ) -> Result<BTreeMap<u16, Q::Answer>, ApiError> {
        let asked = shards.map(|shard| {
            let asked = self.ask(call, shard, question());
            async move { (shard, asked.await) }
        });
        let mut answers = BTreeMap::new();
        for (shard, told) in join_all(asked).await {
            if let Told::Answer(answer) = told? {
                answers.insert(shard, answer);
            }
        }
        match answers.is_empty() {
            false => Ok(answers),
            true => Err(nobody()),
        }
    }

    /// Asks all shards but those that are left out, brings them to one moment, and adds up what they say.
    async fn gather<Q: Question<Answer: Merge>>(
        &self,
        call: &Call,
        read: &ReadOptions,
        left_out: BTreeSet<u16>,
        question: impl Fn(ReadOptions) -> Q,
    ) -> Result<Gathered<Q::Answer>, ApiError> {
        let asked = self.all().into_iter().filter(|s| !left_out.contains(s));
        let mut answers = self
            .ask_each(call, asked, || question(read.clone()))
            .await?;
        let (cut, behind) = standing(&answers);
        if let Some(read) = again(read, &cut)
            && !behind.is_empty()
        {
            // They wait until they have folded what the others have. Those that went away in between do not count.
            for shard in &behind {
                answers.remove(shard);
            }
            let asked = self.ask_each(call, behind.into_iter(), || question(read.clone()));
            match asked.await {
                Ok(told) => answers.extend(told),
                Err(error) if error.code == Code::Unavailable => {}
                Err(error) => return Err(error),
            }
        }
        let there = answers.keys().copied().collect();
        let away = self.all().difference(&there).copied().collect();
        let cut = self.naming(cut, &there);
        let answer = sum(answers.into_values()).ok_or_else(nobody)?;
        Ok(Gathered { answer, cut, away })
    }

    /// A cut of these shards and no others, which names a partition of each, also of one that holds nothing yet: what it names nothing of is not in it.
    fn naming(&self, mut cut: Cut, shards: &BTreeSet<u16>) -> Cut {
        cut.next
            .retain(|lane| is_of_all(&lane.topic) || shards.contains(&self.shard_of_lane(lane)));
        let named = self.named(&cut);
        let unnamed = shards.difference(&named).map(|shard| Position {
            topic: Topic::Returns.name().to_owned(),
            partition: u32::from(*shard),
            offset: 0,
        });
        cut.next.extend(unnamed);
        cut
    }

    fn shard_of_lane(&self, lane: &Position) -> u16 {
        let shard = lane.partition % u32::from(self.count());
        u16::try_from(shard).expect("a remainder of division by a u16 fits a u16")
    }

    /// The shards of which a cut names any partition.
    fn named(&self, cut: &Cut) -> BTreeSet<u16> {
        let own = cut.next.iter().filter(|lane| !is_of_all(&lane.topic));
        own.map(|lane| self.shard_of_lane(lane)).collect()
    }

    /// The shards that a moment of knowledge leaves out: a cut that names others of them and nothing of these was given by the others.
    fn left_out(&self, read: &ReadOptions) -> BTreeSet<u16> {
        let Some(Moment::Cut(cut)) = moment(read) else {
            return BTreeSet::new();
        };
        let named = self.named(cut);
        match named.is_empty() {
            true => named,
            false => self.all().difference(&named).copied().collect(),
        }
    }
}

fn nobody() -> ApiError {
    let what = "none of the processes that hold the shards of the nation can be reached: try again in a moment; if it stays so, have the operator see \
         whether they run and whether serve.peers.shards names them";
    ApiError::unavailable("SHARD_AWAY", what, RETRY)
}

fn sum<A: Merge>(answers: impl Iterator<Item = A>) -> Option<A> {
    answers.reduce(|mut sum, other| {
        sum.merge(other);
        sum
    })
}

fn late(share: Share) -> ApiError {
    let what = format!(
        "the answer of shard {share} did not come before the call's deadline: send a longer timeout, or try again"
    );
    ApiError::deadline("PEER_TOO_SLOW", what)
}

/// Is it what a connection says that is lost or was never there?
fn is_of_transport(status: &Status) -> bool {
    use tonic::Code::{Cancelled, Internal, Unavailable, Unknown};
    matches!(status.code(), Unavailable | Unknown | Cancelled | Internal)
}

fn moment(read: &ReadOptions) -> Option<&Moment> {
    read.known_at.as_ref()?.moment.as_ref()
}

/// The cut of all answers, and the shards that have folded less than others of what belongs to all.
fn standing<A: Merge>(answers: &BTreeMap<u16, A>) -> (Cut, Vec<u16>) {
    let cut = answers.values().fold(Cut::default(), |cut, answer| {
        union(Some(cut), answer.cut().cloned())
    });
    let of_all = |cut: &Cut| -> Vec<Position> {
        let lanes = cut.next.iter().filter(|lane| is_of_all(&lane.topic));
        lanes.cloned().collect()
    };
    let wanted = of_all(&cut);
    let behind = answers.iter().filter(|(_, answer)| {
        let held = answer.cut().map(&of_all).unwrap_or_default();
        held != wanted
    });
    let behind = behind.map(|(shard, _)| *shard).collect();
    (cut, behind)
}

/// How those that are behind are asked again; not at all when the moment was named by a cut, which all of them answer at.
fn again(read: &ReadOptions, cut: &Cut) -> Option<ReadOptions> {
    let mut read = read.clone();
    match moment(&read) {
        Some(Moment::Cut(_)) => return None,
        Some(Moment::Time(_)) => {
            let mut of_all = cut.clone();
            of_all.next.retain(|lane| is_of_all(&lane.topic));
            read.min_cut = Some(union(read.min_cut.take(), Some(of_all)));
        }
        None => {
            read.known_at = Some(KnownAt {
                moment: Some(Moment::Cut(cut.clone())),
            });
        }
    }
    Some(read)
}

impl<R: Replica> Scatter<R> {
    async fn series(
        &self,
        call: &Call,
        request: wire::GetSeriesRequest,
    ) -> Result<wire::GetSeriesResponse, ApiError> {
        let of_many = request.structure == i32::from(wire::Structure::AsItIs);
        let org = request.org_code.clone();
        if !of_many {
            return self.of_organisation(call, &org, request).await;
        }
        // The organisation's own shard has to be there, and knows which months an open range stands for.
        let own = self.of_organisation(call, &org, request.clone()).await?;
        let (Some(first), Some(last)) = (own.points.first(), own.points.last()) else {
            let left_out = self.left_out(&request.read.clone().unwrap_or_default());
            return Ok(wire::GetSeriesResponse {
                shards_away: left_out.into_iter().map(u32::from).collect(),
                ..own
            });
        };
        let (from, to) = (first.period.clone(), last.period.clone());
        let read = request.read.clone().unwrap_or_default();
        let gathered = self.gather(call, &read, self.left_out(&read), |read| {
            wire::GetSeriesRequest {
                read: Some(read),
                from: from.clone(),
                to: to.clone(),
                ..request.clone()
            }
        });
        gathered.await.map(Gathered::sealed)
    }

    async fn revisions(
        &self,
        call: &Call,
        request: wire::ListRevisionsRequest,
    ) -> Result<wire::ListRevisionsResponse, ApiError> {
        let org = request.org_code.clone();
        self.of_organisation(call, &org, request).await
    }

    async fn savings_position(
        &self,
        call: &Call,
        request: wire::GetSavingsPositionRequest,
    ) -> Result<wire::GetSavingsPositionResponse, ApiError> {
        if request.tree.is_empty() {
            let org = request.org_code.clone();
            return self.of_organisation(call, &org, request).await;
        }
        let read = request.read.clone().unwrap_or_default();
        let gathered = self.gather(call, &read, self.left_out(&read), |read| {
            wire::GetSavingsPositionRequest {
                read: Some(read),
                ..request.clone()
            }
        });
        gathered.await.map(Gathered::sealed)
    }

    async fn schemes(
        &self,
        call: &Call,
        request: wire::ListSchemesRequest,
    ) -> Result<wire::ListSchemesResponse, ApiError> {
        let org = request.org_code.clone();
        self.of_organisation(call, &org, request).await
    }

    async fn completeness(
        &self,
        call: &Call,
        mut request: wire::GetCompletenessRequest,
    ) -> Result<wire::GetCompletenessResponse, ApiError> {
        if request.as_of.is_empty() {
            request.as_of = self.today();
        }
        let read = request.read.clone().unwrap_or_default();
        let gathered = self.gather(call, &read, self.left_out(&read), |read| {
            wire::GetCompletenessRequest {
                read: Some(read),
                ..request.clone()
            }
        });
        gathered.await.map(Gathered::sealed)
    }

    /// A page of the merged list is the beginning of what the shards have after the last cell of the page before: whatever belongs to it is on the
    /// page of any shard that has it. All pages are answered at the cut of the first one.
    async fn roll_ups(
        &self,
        call: &Call,
        request: wire::ListRollUpsRequest,
    ) -> Result<wire::ListRollUpsResponse, ApiError> {
        let page = page(&request)?;
        let mut read = request.read.clone().unwrap_or_default();
        let (left_out, after) = match &page.after {
            None => (self.left_out(&read), None),
            Some(place) => {
                let (left_out, cursor) = parse_cursor(&place.cursor)?;
                let asked = read_options(Some(&read))?.known_at;
                read.known_at = known_at_to_proto(&page.known_at(asked));
                let cut = place.cut.clone();
                (left_out, Some(Place { cursor, cut }))
            }
        };
        let mut structure_date = request.structure_date.clone();
        if structure_date.is_empty() && request.structure == i32::from(wire::Structure::AsItIs) {
            structure_date = self.today();
        }
        let gathered = self.gather(call, &read, left_out, |read| {
            let mut of_shard = wire::ListRollUpsRequest {
                read: Some(read),
                structure_date: structure_date.clone(),
                page_token: String::new(),
                ..request.clone()
            };
            if let Some(place) = &after {
                of_shard.page_token = next_token(&of_shard, &place.cursor, &place.cut);
            }
            of_shard
        });
        paged(&request, &page, gathered.await?)
    }

    async fn status(
        &self,
        call: &Call,
        request: wire::GetStatusRequest,
    ) -> Result<wire::GetStatusResponse, ApiError> {
        let all = self.all().into_iter();
        let answers = self.ask_each(call, all, || request.clone()).await?;
        let there: BTreeSet<u16> = answers.keys().copied().collect();
        let away: BTreeSet<u16> = self.all().difference(&there).copied().collect();
        let mut status = sum(answers.into_values().map(as_shard)).ok_or_else(nobody)?;
        let lost = away.iter().map(|shard| wire::ShardStatus {
            shard: format!("{shard}/{}", self.count()),
            away: true,
            ..wire::ShardStatus::default()
        });
        status.shards.extend(lost);
        status.shards.sort_by_key(|status| number(&status.shard));
        status.shards_away = away.into_iter().map(u32::from).collect();
        Ok(status)
    }
}

/// What a shard says of itself, as one of several.
fn as_shard(mut status: wire::GetStatusResponse) -> wire::GetStatusResponse {
    status.shards = vec![wire::ShardStatus {
        shard: std::mem::take(&mut status.shard),
        away: false,
        cut: status.cut.clone(),
        head: status.head.clone(),
        digest: std::mem::take(&mut status.digest),
    }];
    status
}

fn number(shard: &str) -> Option<u16> {
    shard.parse().ok().map(Share::index)
}

/// The beginning of what the shards have, and the token of what follows.
fn paged(
    request: &wire::ListRollUpsRequest,
    page: &Page,
    gathered: Gathered<wire::ListRollUpsResponse>,
) -> Result<wire::ListRollUpsResponse, ApiError> {
    let cut = match &page.after {
        Some(place) => place.cut.clone(),
        None => cut_from_proto(&gathered.cut, "cut").map_err(ApiError::invalid)?,
    };
    let mut answer = gathered.sealed();
    let is_more = answer.cells.len() > page.size || !answer.next_page_token.is_empty();
    answer.cells.truncate(page.size);
    answer.next_page_token = match answer.cells.last() {
        Some(cell) if is_more => {
            let last = cursor_of(
                &cell.period,
                &cell.group_code,
                &cell.marker,
                &cell.breakdown,
            );
            let away: Vec<String> = answer.shards_away.iter().map(u32::to_string).collect();
            next_token(request, &format!("{}|{last}", away.join(",")), &cut)
        }
        _ => String::new(),
    };
    Ok(answer)
}

/// The shards that earlier pages were without, and the last cell of the page before.
fn parse_cursor(cursor: &str) -> Result<(BTreeSet<u16>, String), ApiError> {
    let (away, last) = cursor.split_once('|').ok_or_else(wrong_token)?;
    let away = away.split(',').filter(|shard| !shard.is_empty());
    let away: Result<_, _> = away.map(str::parse).collect();
    Ok((away.map_err(|_| wrong_token())?, last.to_owned()))
}

macro_rules! answered {
    ($service:ident, $request:ident, $work:ident) => {{
        let call = Call::of(&$request)?;
        let answered = Box::pin($service.$work(&call, $request.into_inner())).await;
        answered
            .map(Response::new)
            .map_err(|error| call.caller.status(error))
    }};
}

#[tonic::async_trait]
impl<R: Replica> ProjectionsService for Scatter<R> {
    async fn get_series(
        &self,
        request: Request<wire::GetSeriesRequest>,
    ) -> Result<Response<wire::GetSeriesResponse>, Status> {
        answered!(self, request, series)
    }

    async fn list_revisions(
        &self,
        request: Request<wire::ListRevisionsRequest>,
    ) -> Result<Response<wire::ListRevisionsResponse>, Status> {
        answered!(self, request, revisions)
    }

    async fn get_savings_position(
        &self,
        request: Request<wire::GetSavingsPositionRequest>,
    ) -> Result<Response<wire::GetSavingsPositionResponse>, Status> {
        answered!(self, request, savings_position)
    }

    async fn list_schemes(
        &self,
        request: Request<wire::ListSchemesRequest>,
    ) -> Result<Response<wire::ListSchemesResponse>, Status> {
        answered!(self, request, schemes)
    }

    async fn get_completeness(
        &self,
        request: Request<wire::GetCompletenessRequest>,
    ) -> Result<Response<wire::GetCompletenessResponse>, Status> {
        answered!(self, request, completeness)
    }

    async fn list_roll_ups(
        &self,
        request: Request<wire::ListRollUpsRequest>,
    ) -> Result<Response<wire::ListRollUpsResponse>, Status> {
        answered!(self, request, roll_ups)
    }

    async fn get_status(
        &self,
        request: Request<wire::GetStatusRequest>,
    ) -> Result<Response<wire::GetStatusResponse>, Status> {
        answered!(self, request, status)
    }
}
