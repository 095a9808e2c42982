//! HTTP and JSON in front of the contract.
//!
//! A call comes in as path, query and JSON, is turned into the bytes of its request message by the descriptors of the contract, and goes to a
//! gRPC service: in one process the very service that gRPC callers reach, elsewhere a channel. There is no second set of types:
//! [`routes::TABLE`] says which address stands for which rpc, and everything else (JSON, queries, the OpenAPI document) follows from `proto/`.
//!
//! Decides nothing, knows no principal and keeps no state: `authorization` is passed on, and so are the answers. Limits how many
//! requests run at a time in nothing but their size and their time: concurrency is the outer server's.
//!
//! | header | meaning |
//! |---|---|
//! | `authorization` | passed on as it is |
//! | `x-request-id` | passed on, made when it is missing or unfit, and in every answer |
//! | `traceparent` | passed on |
//! | `grpc-timeout` | how long the caller waits, in the form of gRPC: `5S`, `200m` (milliseconds), `1M` (minutes) |
//! | `x-timeout` | the same for people: `5s`, `200ms`, `2m`. When both are there, `grpc-timeout` counts |
//! | `last-event-id` | where a live stream goes on, see [`cut_text`] |

mod answer;
mod backend;
mod context;
mod csv;
mod openapi;
mod pages;
pub mod requests;
pub mod routes;
mod transcode;
mod unary;
mod watch;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{RawPathParams, Request};
use axum::routing::{MethodFilter, get, on, post};
use bytes::Bytes;
use tokio_util::sync::CancellationToken;
use tower::Service;

use crate::backend::Backend;
pub use crate::csv::CsvIntake;
pub use crate::openapi::openapi;
pub use crate::pages::{Reason, alive, ready};
use crate::routes::{Route, Verb};
pub use qipp_api::cut_text;

/// Asks what keeps the process from answering; nothing when it can.
pub type Readiness = dyn Fn() -> Vec<Reason> + Send + Sync;

/// Limits and neighbours of the gateway.
#[derive(Clone)]
pub struct GatewayConfig {
    /// Largest JSON body, bytes.
    pub max_body_bytes: usize,
    /// Largest CSV body, bytes.
    pub max_upload_bytes: usize,
    /// Largest answer of a service, bytes of the message.
    pub max_answer_bytes: usize,
    /// How long a call may take when the caller does not say.
    pub default_timeout: Duration,
    /// How long a call may take whatever the caller says; also the limit for uploads.
    pub max_timeout: Duration,
    /// How often a live stream that has nothing to say sends a comment, so that nobody in between takes it for dead.
    pub keep_alive: Duration,
    /// Ends the live streams. Without it an open stream would hold the drain for ever.
    pub shutdown: CancellationToken,
    /// For `/readyz`.
    pub ready: Arc<Readiness>,
    /// Reads CSV. Without it `/v1/returns:csv` answers 501.
    pub csv: Option<Arc<dyn CsvIntake>>,
}

impl GatewayConfig {
    /// The defaults: 4 MiB of JSON, 32 MiB of CSV, answers of 64 MiB, 30 seconds, at most 5 minutes, always ready, no CSV.
    #[must_use]
    pub fn new(shutdown: CancellationToken) -> Self {
        Self {
            max_body_bytes: 4 << 20,
            max_upload_bytes: 32 << 20,
            max_answer_bytes: 64 << 20,
            default_timeout: Duration::from_secs(30),
            max_timeout: Duration::from_secs(300),
            keep_alive: Duration::from_secs(15),
            shutdown,
            ready: Arc::new(Vec::new),
            csv: None,
        }
    }
}

impl fmt::Debug for GatewayConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GatewayConfig")
            .field("max_body_bytes", &self.max_body_bytes)
            .field("max_upload_bytes", &self.max_upload_bytes)
            .field("max_answer_bytes", &self.max_answer_bytes)
            .field("default_timeout", &self.default_timeout)
            .field("max_timeout", &self.max_timeout)
            .field("keep_alive", &self.keep_alive)
            .field("csv", &self.csv.is_some())
            .finish_non_exhaustive()
    }
}

/// What every handler needs.
pub(crate) struct Gateway {
    pub(crate) config: GatewayConfig,
    pub(crate) backend: Backend,
}

/// The HTTP side of the services behind `grpc`: `tonic::service::Routes` in one process, or a channel.
///
/// It has a fallback (a 404 that names `/openapi.json`), as the router of tonic has. To serve both on one port, take away the other one:
/// `gateway::router(routes.clone(), config).merge(routes.prepare().into_axum_router().reset_fallback())`.
pub fn router<G, B>(grpc: G, config: GatewayConfig) -> Router
where
    G: Service<http::Request<tonic::body::Body>, Response = http::Response<B>>
        + Clone
        + Send
        + Sync
        + 'static,
    G::Error: Into<tower::BoxError> + 'static,
    G::Future: Send + 'static,
    B: axum::body::HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<tower::BoxError>,
{
    let backend = Backend::new(grpc, config.max_answer_bytes);
    let gateway = Arc::new(Gateway { config, backend });
    let router = routes::TABLE.iter().fold(Router::new(), |router, route| {
        with_route(router, &gateway, route)
    });
    let ready = Arc::clone(&gateway.config.ready);
    let (upload, watch) = (Arc::clone(&gateway), Arc::clone(&gateway));
    router
        .route(
            routes::UPLOAD_PATH,
            post(move |request: Request| csv::upload(Arc::clone(&upload), request)),
        )
        .route(
            routes::WATCH_PATH,
            get(move |request: Request| watch::watch(Arc::clone(&watch), request)),
        )
        .route("/openapi.json", get(openapi_page()))
        .route("/livez", get(alive))
        .route("/healthz", get(alive))
        .route(
            "/readyz",
            get(move || async move { pages::ready(&ready()) }),
        )
        .route("/", get(pages::index))
        .fallback(pages::not_found)
        .method_not_allowed_fallback(pages::method_not_allowed)
        .layer(axum::middleware::from_fn(context::name_request))
}

/// What a process without a gateway answers over HTTP: that it is alive, whether it is ready, and who answers everything else.
pub fn pages_only(ready: Arc<Readiness>) -> Router {
    Router::new()
        .route("/livez", get(alive))
        .route("/healthz", get(alive))
        .route(
            "/readyz",
            get(move || async move { pages::ready(&ready()) }),
        )
        .fallback(pages::no_gateway)
        .layer(axum::middleware::from_fn(context::name_request))
}

fn with_route(router: Router, gateway: &Arc<Gateway>, route: &'static Route) -> Router {
    let gateway = Arc::clone(gateway);
    let call = Arc::new(unary::Call::of(route));
    let verb = match route.verb {
        Verb::Get => MethodFilter::GET,
        Verb::Post => MethodFilter::POST,
    };
    let handler = move |params: Result<RawPathParams, RawPathParamsRejection>, request: Request| {
        let (gateway, call) = (Arc::clone(&gateway), Arc::clone(&call));
        async move { unary::answer(&gateway, &call, params, request).await }
    };
    router.route(route.path, on(verb, handler))
}

/// The document is the same for the whole life of the process.
fn openapi_page() -> impl Fn() -> std::future::Ready<pages::Json> + Clone + Send + Sync + 'static {
    let text = Bytes::from(openapi().to_string());
    move || std::future::ready(pages::Json(text.clone()))
}

#[cfg(test)]
mod tests;
