//! Services that other processes serve: a call is passed on to one of them as the bytes that it came in, and so is its answer.
//!
//! The next peer is tried when one can't be reached, or can't answer now (UNAVAILABLE, before anything of an answer): every call is safe to
//! repeat, by its idempotency key or its content. Each peer is tried once, in turns, and those that are known to be away come last.
//! Never looks into a message; decides nothing; who calls was asked by the gate here, and is asked by the gate there again.

mod body;
mod connections;
mod shards;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::any;
use http::request::Parts as Head;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use qipp_api::error::{ApiError, Code};
use qipp_serving::{Caller, step, trace};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tower::ServiceExt as _;
use tracing::Instrument as _;

use crate::config::{ServeConfig, Service};
use crate::peers::body::{Answer, Sent};
use crate::peers::connections::{Connections, Place};

/// A call that was passed on once is not passed on again: two processes that name each other would do so for ever.
const PASSED_ON: HeaderName = HeaderName::from_static("x-qipp-passed-on");

/// A host that is gone answers nothing at all; one that is there answers within this.
const CONNECT: Duration = Duration::from_secs(2);

/// How often a silent connection is asked whether it is still there, and how long it may take to say so.
const PING: Duration = Duration::from_secs(10);
const PONG: Duration = Duration::from_secs(5);

/// How often peers are asked for their health.
const PROBE: Duration = Duration::from_secs(1);

/// When a caller should come again who found nobody.
const RETRY: Duration = Duration::from_secs(1);

/// The headers of a message, beyond its bytes.
const ENVELOPE: usize = 1 << 10;

/// How many messages go which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// One there, one back.
    Unary,
    /// One there, any number back, without an end.
    Watch,
    /// Any number both ways.
    Bulk,
}

/// The peers of one service.
#[derive(Clone)]
pub(crate) struct Peers(Arc<Parts>);

struct Parts {
    service: Service,
    peers: Vec<Arc<Peer>>,
    /// Those of them that hold a shard, shard by shard: they are asked, and not passed on to.
    shards: Vec<Vec<Arc<Peer>>>,
    turn: AtomicUsize,
    shapes: HashMap<String, Shape>,
    max_body_bytes: usize,
    shutdown: CancellationToken,
}

struct Peer {
    url: String,
    connections: Connections,
    seen: AtomicU8,
}

/// What is known of a peer; the lower, the sooner it is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
enum Seen {
    Serving,
    NotAsked,
    NotServing,
    Away,
}

impl Seen {
    const ALL: [Self; 4] = [Self::Serving, Self::NotAsked, Self::NotServing, Self::Away];
}

/// The peers of all services that are not served here; those without peers too, because somebody has to say so.
///
/// # Errors
/// An address that is none.
pub(crate) fn of_config(
    config: &ServeConfig,
    shutdown: &CancellationToken,
) -> anyhow::Result<Vec<Peers>> {
    let elsewhere = Service::OF_LOG
        .into_iter()
        .filter(|service| !config.serves(*service));
    elsewhere
        .map(|service| {
            let shards = match service {
                Service::Projections => {
                    config.peers.shards.iter().map(|urls| named(urls)).collect()
                }
                _ => Ok(Vec::new()),
            };
            let shards: Vec<Vec<Arc<Peer>>> = shards?;
            let mut peers = named(config.peers.of(service))?;
            peers.extend(shards.iter().flatten().cloned());
            Ok(Peers(Arc::new(Parts {
                service,
                peers,
                shards,
                turn: AtomicUsize::new(0),
                shapes: shapes(service),
                max_body_bytes: config.limits.message_bytes + ENVELOPE,
                shutdown: shutdown.clone(),
            })))
        })
        .collect()
}

fn named(urls: &[String]) -> anyhow::Result<Vec<Arc<Peer>>> {
    urls.iter()
        .map(|url| Peer::new(url).map(Arc::new))
        .collect()
}

/// Every rpc of a service, by its path.
fn shapes(service: Service) -> HashMap<String, Shape> {
    let ours = |name: &str| service.of_contract().contains(&name);
    qipp_api::json::pool()
        .services()
        .filter(|described| ours(described.full_name()))
        .flat_map(|described| described.methods().collect::<Vec<_>>())
        .map(|rpc| {
            let shape = match (rpc.is_client_streaming(), rpc.is_server_streaming()) {
                (true, _) => Shape::Bulk,
                (false, true) => Shape::Watch,
                (false, false) => Shape::Unary,
            };
            let path = format!("/{}/{}", rpc.parent_service().full_name(), rpc.name());
            (path, shape)
        })
        .collect()
}

impl Peer {
    fn new(url: &str) -> anyhow::Result<Self> {
        let endpoint = Endpoint::from_shared(url.to_owned())?
            .connect_timeout(CONNECT)
            .http2_keep_alive_interval(PING)
            .keep_alive_timeout(PONG)
            .keep_alive_while_idle(true)
            .tcp_nodelay(true)
            .http2_adaptive_window(true);
        Ok(Self {
            url: url.to_owned(),
            connections: Connections::new(endpoint),
            seen: AtomicU8::new(Seen::NotAsked as u8),
        })
    }

    fn seen(&self) -> Seen {
        Seen::ALL[usize::from(self.seen.load(Relaxed))]
    }

    fn see(&self, service: Service, seen: Seen) {
        let before = Seen::ALL[usize::from(self.seen.swap(seen as u8, Relaxed))];
        let (peer, service) = (self.url.as_str(), service.name());
        match (before, seen) {
            (Seen::Away, Seen::Away) => {}
            (_, Seen::Away) => tracing::warn!(peer, service, "a peer can't be reached"),
            (Seen::Away, _) => tracing::info!(peer, service, "a peer can be reached again"),
            _ => {}
        }
    }

    /// What the health service there says.
    async fn probe(&self, service: Service) {
        let name = service.of_contract().first().copied().unwrap_or_default();
        let request = HealthCheckRequest {
            service: name.to_owned(),
        };
        let (channel, _place) = self.connections.take();
        let mut client = HealthClient::new(channel);
        let answer = tokio::time::timeout(CONNECT, client.check(request)).await;
        let seen = match answer {
            Ok(Ok(answer)) if answer.get_ref().status() == ServingStatus::Serving => Seen::Serving,
            Ok(Ok(_)) => Seen::NotServing,
            // It is there, and has no such service.
            Ok(Err(status)) if status.code() == tonic::Code::NotFound => Seen::NotServing,
            Ok(Err(_)) | Err(_) => Seen::Away,
        };
        self.see(service, seen);
    }
}

impl Peers {
    /// Whose peers they are.
    pub(crate) fn service(&self) -> Service {
        self.0.service
    }

    /// Is anybody named?
    pub(crate) fn is_named(&self) -> bool {
        !self.0.peers.is_empty()
    }

    /// How many are there, and how many of them answered when they were last asked?
    pub(crate) fn reachable(&self) -> (usize, usize) {
        let answered = |peer: &&Arc<Peer>| matches!(peer.seen(), Seen::Serving | Seen::NotServing);
        let reachable = self.0.peers.iter().filter(answered).count();
        (reachable, self.0.peers.len())
    }

    /// Asks all of them for their health, for as long as it runs.
    pub(crate) async fn probe(self) {
        let mut ticks = tokio::time::interval(PROBE);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let probes = self.0.peers.iter().map(|peer| peer.probe(self.0.service));
            futures::future::join_all(probes).await;
        }
    }

    /// Adds the addresses of the service's rpcs to a router.
    pub(crate) fn mount(&self, router: Router) -> Router {
        let names = self.0.service.of_contract().iter();
        let names = names.filter(|name| !self.asks_shards() || **name != shards::ASKED);
        names.fold(router, |router, name| {
            let calls = any(Self::answer).with_state(self.clone());
            router.route(&format!("/{name}/{{rpc}}"), calls)
        })
    }

    async fn answer(State(peers): State<Self>, request: Request) -> Response {
        let caller = request.extensions().get::<Caller>().cloned();
        let id = caller.as_ref().map_or("", |caller| &caller.request_id);
        match peers.pass_on(caller.as_ref(), request).await {
            Ok(response) => response,
            Err(error) => error.into_status(id).into_http(),
        }
    }

    async fn pass_on(
        &self,
        caller: Option<&Caller>,
        request: Request,
    ) -> Result<Response, ApiError> {
        let parts = &*self.0;
        if parts.peers.is_empty() || request.headers().contains_key(PASSED_ON) {
            return Err(self.not_served());
        }
        let path = request.uri().path();
        let shape = parts.shapes.get(path).copied().unwrap_or(Shape::Unary);
        let (head, body) = request.into_parts();
        let sent = match shape {
            Shape::Bulk => Sent::lent(body, &parts.shutdown),
            Shape::Unary | Shape::Watch => Sent::held(body, parts.max_body_bytes).await?,
        };
        let id = caller.map_or_else(String::new, |caller| caller.request_id.clone());
        let deadline = match shape {
            Shape::Unary => caller.map(|caller| caller.deadline),
            Shape::Watch | Shape::Bulk => None,
        };
        let mut answered = None;
        for peer in self.in_turn() {
            let answer = parts.send(peer, &head, &sent, deadline);
            match answer.await {
                Ok((response, place)) if is_unavailable(&response) && sent.can_be_sent_again() => {
                    answered = Some((response, place));
                }
                Ok((response, place)) => return Ok(parts.answer(response, place, shape, id)),
                Err(error) if sent.can_be_sent_again() && error.code == Code::Unavailable => {}
                Err(error) => return Err(error),
            }
        }
        answered
            .map(|(response, place)| parts.answer(response, place, shape, id))
            .ok_or_else(|| self.unreachable())
    }

    /// The peers from the one whose turn it is on; those that are known to be worse come later.
    fn in_turn(&self) -> Vec<&Arc<Peer>> {
        let peers = &self.0.peers;
        let first = self.0.turn.fetch_add(1, Relaxed) % peers.len().max(1);
        let mut all: Vec<&Arc<Peer>> = peers[first..].iter().chain(&peers[..first]).collect();
        all.sort_by_key(|peer| peer.seen());
        all
    }

    fn not_served(&self) -> ApiError {
        let name = self.0.service.name();
        let what = format!(
            "{name} is not served by this process: call one that serves it (`qipp serve {name}`), or have the operator name one in serve.peers.{name} here"
        );
        ApiError::new(Code::Unimplemented, "NOT_SERVED_HERE", what)
    }

    /// Where they are named.
    pub(crate) fn entry(&self) -> String {
        match self.asks_shards() {
            true => "serve.peers.shards".to_owned(),
            false => format!("serve.peers.{}", self.0.service.name()),
        }
    }

    fn unreachable(&self) -> ApiError {
        let (name, entry, count) = (self.0.service.name(), self.entry(), self.0.peers.len());
        let what = format!(
            "none of the {count} processes that serve {name} can be reached: try again in a moment; if it stays so, have the operator see whether they run and whether {entry} names them"
        );
        ApiError::unavailable("PEERS_UNREACHABLE", what, RETRY)
    }
}

impl Parts {
    /// One attempt.
    async fn send(
        &self,
        peer: &Peer,
        head: &Head,
        sent: &Sent,
        deadline: Option<Instant>,
    ) -> Result<(http::Response<tonic::body::Body>, Place), ApiError> {
        let (channel, place) = peer.connections.take();
        let step = step!("pass_on", qipp.service = self.service.name());
        let request = outgoing(head, sent.body(), deadline, &step);
        let call = channel.oneshot(request).instrument(step);
        let answer = match deadline {
            Some(deadline) => tokio::time::timeout_at(deadline, call).await,
            None => Ok(call.await),
        };
        match answer {
            Ok(Ok(response)) => Ok((response, place)),
            // The channel looks at the deadline too.
            Ok(Err(_)) if deadline.is_some_and(|deadline| deadline <= Instant::now()) => {
                Err(late())
            }
            Err(_) => Err(late()),
            Ok(Err(error)) => {
                tracing::debug!(peer = %peer.url, %error, "a call could not be passed on");
                peer.see(self.service, Seen::Away);
                Err(body::lost())
            }
        }
    }

    fn answer(
        &self,
        response: http::Response<tonic::body::Body>,
        place: Place,
        shape: Shape,
        request_id: String,
    ) -> Response {
        response.map(|body| Body::new(Answer::new(body, place, shape, &self.shutdown, request_id)))
    }
}

fn late() -> ApiError {
    ApiError::deadline(
        "PEER_TOO_SLOW",
        "the answer of the process that serves this did not come before the call's deadline: send a longer timeout, or try again",
    )
}

/// Did the peer say, before anything else, that it can't answer now?
fn is_unavailable(response: &http::Response<tonic::body::Body>) -> bool {
    let status = Status::from_header_map(response.headers());
    status.is_some_and(|status| status.code() == tonic::Code::Unavailable)
}

/// Belongs to the connection and not to the call.
const OF_CONNECTION: [HeaderName; 5] = [
    header::CONNECTION,
    header::HOST,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::CONTENT_LENGTH,
];

fn outgoing(
    head: &Head,
    body: tonic::body::Body,
    deadline: Option<Instant>,
    step: &tracing::Span,
) -> http::Request<tonic::body::Body> {
    let mut headers: HeaderMap = head.headers.clone();
    for name in OF_CONNECTION {
        headers.remove(name);
    }
    headers.insert(header::TE, HeaderValue::from_static("trailers"));
    headers.insert(PASSED_ON, HeaderValue::from_static("1"));
    if let Some(deadline) = deadline {
        headers.insert("grpc-timeout", timeout(deadline));
    }
    trace::inject(step, &mut headers);
    let mut request = http::Request::new(body);
    *request.method_mut() = http::Method::POST;
    *request.version_mut() = http::Version::HTTP_2;
    // The channel puts the peer before the path.
    *request.uri_mut() = head
        .uri
        .path_and_query()
        .map_or_else(http::Uri::default, |path| http::Uri::from(path.clone()));
    *request.headers_mut() = headers;
    request
}

/// What is left, as gRPC has it: at most eight digits.
fn timeout(deadline: Instant) -> HeaderValue {
    let left = deadline.saturating_duration_since(Instant::now());
    let text = match left.as_millis() {
        millis @ 0..=99_999_999 => format!("{}m", millis.max(1)),
        _ => format!("{}S", left.as_secs().min(99_999_999)),
    };
    HeaderValue::from_str(&text).expect("digits and a letter are a header value")
}
