//! `qipp serve`: all services in one process, or those that are named; one port for gRPC and HTTP. Calls for a service that is served elsewhere are
//! passed on to its peers (`peers.rs`).
//!
//! Order of starting: log → fold → services → port. Order of ending: no new calls → open calls are answered → the fold saves its
//! checkpoint → the log closes. This is the only wiring there is; the demo and the tests start the same house.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use bytes::Bytes;
use qipp_access::Authenticator;
use qipp_alerts::Evaluator;
use qipp_api::{DESCRIPTORS, facts};
use qipp_eventlog::{Clock, EventLog, Layout, MemoryLog};
use qipp_gateway::{GatewayConfig, routes};
use qipp_projection::{Decoded, Follower, FollowerConfig, StoreConfig};
use qipp_serving::admission::Admission;
use qipp_serving::{Deps, Gate, GateParts, Methods, Metrics};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::caught_up;
use crate::config::{LogKind, ServeConfig, Service};
use crate::files::ReturnsAsCsv;
pub use crate::log::open_log;
pub(crate) use crate::log::{has_log, with_code};
use crate::peers::Peers;
use crate::standing::Standing;
use crate::{gauges, operations, peers, port, snapshot};

/// How soon a log that did not say where it ends is asked again, while nothing is answered from its fold yet.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// A house that is up.
#[derive(Debug)]
pub struct House {
    /// Where it listens, with the port that was really taken.
    pub address: std::net::SocketAddr,
    /// The log.
    pub log: Arc<dyn EventLog>,
    /// The folded log.
    pub follower: Follower,
    /// What is counted.
    pub metrics: Metrics,
    standing: Standing,
    shutdown: CancellationToken,
    stop_folding: CancellationToken,
    grace: Duration,
    server: JoinHandle<std::io::Result<()>>,
    /// Where alerts are served.
    evaluator: Option<JoinHandle<()>>,
    /// Health, metrics: they have nothing to finish.
    background: Vec<JoinHandle<()>>,
}

/// What a house is built on. Every part is a port, so that a test gives its own.
#[allow(
    missing_debug_implementations,
    reason = "its parts are ports, which have no form to print"
)]
pub struct Parts {
    /// The log, open.
    pub log: Arc<dyn EventLog>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Turns credentials into a principal.
    pub authenticator: Arc<dyn Authenticator>,
    /// Where is counted; the log was given its observer.
    pub metrics: Metrics,
}

impl Parts {
    /// On a log that nobody observes.
    #[must_use]
    pub fn new(
        log: Arc<dyn EventLog>,
        clock: Arc<dyn Clock>,
        authenticator: Arc<dyn Authenticator>,
    ) -> Self {
        Self {
            log,
            clock,
            authenticator,
            metrics: Metrics::new(),
        }
    }
}

impl House {
    /// Opens the log, folds it, and serves on the listener. Calls are answered from the moment that this returns; reads may still wait
    /// for the fold to catch up.
    ///
    /// # Errors
    /// When the log or the projection store can't be opened: the message says why and what to do.
    pub async fn start(
        config: &ServeConfig,
        listener: TcpListener,
        clock: Arc<dyn Clock>,
        authenticator: Arc<dyn Authenticator>,
    ) -> anyhow::Result<Self> {
        let metrics = Metrics::new();
        let observer = match config.log {
            LogKind::Kafka(_) => metrics.shared_log_observer(),
            LogKind::Embedded | LogKind::Memory => metrics.log_observer(),
        };
        let log: Arc<dyn EventLog> = match config.opens_log() {
            true => open_log(config, Arc::clone(&clock), observer).await?,
            // Nothing is ever written to it and nothing read from it but that it is empty.
            false => Arc::new(MemoryLog::new(Layout::default(), Arc::clone(&clock))),
        };
        let parts = Parts {
            log,
            clock,
            authenticator,
            metrics,
        };
        Self::start_on(config, listener, parts).await
    }

    /// As [`House::start`], on a log that is open already.
    ///
    /// # Errors
    /// When the projection store can't be opened.
    pub async fn start_on(
        config: &ServeConfig,
        listener: TcpListener,
        parts: Parts,
    ) -> anyhow::Result<Self> {
        let address = listener
            .local_addr()
            .context("the listener has no address")?;
        let (shutdown, stop_folding) = (CancellationToken::new(), CancellationToken::new());
        let authenticator = Arc::clone(&parts.authenticator);
        let whole_log = Arc::clone(&parts.log);
        let deps = deps(config, parts, shutdown.clone(), stop_folding.clone()).await?;
        let admission = Admission::new(config.limits.places());
        let gate = gate(config, &deps, &admission, authenticator);
        let peers = peers::of_config(config, &shutdown)?;
        let (alerts, evaluator) = alerts(config, &deps).unzip();
        let caught_up = caught_up(&deps);
        let standing = Standing::new(
            deps.clone(),
            evaluator.as_ref().map(Evaluator::standing),
            caught_up.clone(),
            peers.clone(),
            config.operations.clone(),
            disk(config),
        );
        gauges::register(&deps, &standing, &admission);
        let (reporter, health) = tonic_health::server::health_reporter();
        let mut background = standing.tasks(reporter);
        background.extend(snapshot::saving(config, &deps.follower));
        let grpc = grpc(config, &deps, whole_log, alerts, caught_up)?;
        let grpc = with_shards(config, grpc, &peers, &deps);
        let grpc = with_all(grpc, &peers, health)?;
        let app = app(config, grpc, gate, &deps, standing.clone());
        let serving = port::serve(
            listener,
            app,
            config.limits.clone(),
            deps.metrics.clone(),
            shutdown.clone(),
        );
        Ok(Self {
            address,
            log: deps.log,
            follower: deps.follower,
            metrics: deps.metrics,
            standing,
            shutdown,
            stop_folding,
            grace: Duration::from_secs(config.grace_seconds),
            server: tokio::spawn(serving),
            evaluator: evaluator.map(|evaluator| tokio::spawn(evaluator.run())),
            background,
        })
    }

    /// Serves metrics, liveness and readiness on a listener of their own, until the house is closed.
    ///
    /// # Errors
    /// When the listener has no address.
    pub fn operate(&mut self, listener: TcpListener) -> anyhow::Result<std::net::SocketAddr> {
        let address = listener
            .local_addr()
            .context("the listener has no address")?;
        let router = operations::router(self.metrics.clone(), self.standing.clone());
        let serving = axum::serve(listener, router);
        self.background.push(tokio::spawn(async move {
            if let Err(error) = serving.await {
                tracing::error!(%error, "metrics and readiness are not served any more");
            }
        }));
        Ok(address)
    }

    /// Base address for clients.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Ends in order: open calls are answered, then the fold saves its checkpoint and the log closes. All of it within the grace period:
    /// calls have three quarters of it, so that there is time to save. What is not saved by then costs the next start time, and nothing else.
    pub async fn stop(self) {
        let until = Instant::now() + self.grace;
        if tokio::time::timeout_at(until, self.drain_and_close(until))
            .await
            .is_err()
        {
            tracing::warn!(
                "the grace period is over before everything was saved: nothing is lost, and the next start folds more of the log"
            );
        }
    }

    async fn drain_and_close(mut self, until: Instant) {
        self.shutdown.cancel();
        let calls_until = until - self.grace / 4;
        if tokio::time::timeout_at(calls_until, &mut self.server)
            .await
            .is_err()
        {
            tracing::warn!(grace = ?self.grace, "calls were still open near the end of the grace period; they were cut off");
            self.server.abort();
        }
        if let Some(evaluator) = self.evaluator
            && let Err(error) = evaluator.await
        {
            tracing::error!(%error, "the evaluator ended badly; it takes up its work at the next start");
        }
        self.stop_folding.cancel();
        self.follower.stopped().await;
        self.log.close().await;
        // Last, so that readiness says until the end that the house is closing.
        for task in self.background {
            task.abort();
        }
    }

    /// Resolves when the server ends by itself, which it never should.
    pub async fn failed(&mut self) -> String {
        match (&mut self.server).await {
            Ok(Ok(())) => "the server ended".to_owned(),
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        }
    }
}

/// Reads a record for the fold.
///
/// # Errors
/// Why it can't be read, in words.
pub fn decode(key: &[u8], payload: &Bytes) -> Result<Decoded, String> {
    facts::decode(key, payload.clone())
        .map(|(meta, facts)| Decoded {
            by: meta.principal,
            epoch: meta.writer_epoch,
            facts,
        })
        .map_err(|error| error.to_string())
}

/// Every call that there is: the rpcs of the contract, and the addresses of the gateway.
fn methods() -> Methods {
    let rpcs: Vec<(String, bool)> = qipp_api::json::pool()
        .services()
        .flat_map(|service| service.methods().collect::<Vec<_>>())
        .map(|rpc| {
            let name = format!("{}/{}", rpc.parent_service().full_name(), rpc.name());
            (name, rpc.is_client_streaming() || rpc.is_server_streaming())
        })
        .collect();
    let addresses = routes::TABLE.iter().map(|route| {
        let verb = match route.verb {
            routes::Verb::Get => "GET",
            routes::Verb::Post => "POST",
        };
        (format!("{verb} {}", route.path), false)
    });
    let others = [
        (format!("POST {}", routes::UPLOAD_PATH), false),
        (format!("GET {}", routes::WATCH_PATH), true),
    ];
    Methods::new(rpcs.into_iter().chain(addresses).chain(others))
}

/// The log, folded, with everything else that services are built from.
async fn deps(
    config: &ServeConfig,
    parts: Parts,
    shutdown: CancellationToken,
    stop_folding: CancellationToken,
) -> anyhow::Result<Deps> {
    let store = match config.log {
        _ if !config.opens_log() => StoreConfig::Memory,
        LogKind::Memory => StoreConfig::Memory,
        LogKind::Embedded | LogKind::Kafka(_) => {
            StoreConfig::Directory(config.data_dir.join("projection"))
        }
    };
    let follower = Follower::start(
        Arc::clone(&parts.log),
        FollowerConfig {
            share: config.shard,
            snapshots: snapshot::source(config),
            ..FollowerConfig::new(store, decode)
        },
        stop_folding,
    );
    Ok(Deps {
        follower: follower.await?,
        log: config.shard.of_log(parts.log),
        clock: parts.clock,
        shutdown,
        metrics: parts.metrics,
    })
}

fn gate(
    config: &ServeConfig,
    deps: &Deps,
    admission: &Arc<Admission>,
    authenticator: Arc<dyn Authenticator>,
) -> Gate {
    let limits = &config.limits;
    Gate::new(GateParts {
        authenticator,
        clock: Arc::clone(&deps.clock),
        methods: methods(),
        admission: Arc::clone(admission),
        metrics: deps.metrics.clone(),
        max_timeout: limits.call(),
        patience: Duration::from_secs(limits.waiting_seconds),
    })
}

/// The disk of the log, where it has one, and how much of it has to be free.
fn disk(config: &ServeConfig) -> Option<(PathBuf, u64)> {
    let has_disk = config.log == LogKind::Embedded && config.opens_log();
    has_disk.then(|| (config.data_dir.clone(), config.min_free_bytes))
}

/// The service and its evaluator, where alerts are served: nobody else evaluates.
fn alerts(config: &ServeConfig, deps: &Deps) -> Option<(qipp_alerts::Service, Evaluator)> {
    let settings = qipp_alerts::Config {
        watcher_patience: Duration::from_secs(config.limits.watcher_seconds),
        ..qipp_alerts::Config::default()
    };
    config
        .serves(Service::Alerts)
        .then(|| qipp_alerts::build(settings, deps.clone()))
}

/// Becomes true when the fold has come to where the log ended at the start.
fn caught_up(deps: &Deps) -> watch::Receiver<bool> {
    let (told, caught_up) = watch::channel(false);
    let deps = deps.clone();
    tokio::spawn(async move {
        let reached = async {
            while let Err(error) = deps.reach_head().await {
                if deps.follower.why_stopped().is_some() {
                    return;
                }
                tracing::warn!(code = %error.reason, "where the log ends is not known yet: {}", error.message);
                tokio::time::sleep(ASK_AGAIN).await;
            }
            told.send_replace(true);
        };
        tokio::select! {
            () = reached => {}
            () = deps.shutdown.cancelled() => {}
        }
    });
    caught_up
}

/// The services that are served here.
fn grpc(
    config: &ServeConfig,
    deps: &Deps,
    whole_log: Arc<dyn EventLog>,
    alerts: Option<qipp_alerts::Service>,
    caught_up: watch::Receiver<bool>,
) -> anyhow::Result<Router> {
    let limits = &config.limits;
    let mut routes = tonic::service::Routes::from(Router::new());
    if config.serves(Service::Intake) {
        let intake = qipp_intake::Config {
            max_message_bytes: limits.message_bytes,
            max_in_flight: limits.in_flight,
            ..qipp_intake::Config::default()
        };
        routes = routes.add_service(qipp_intake::build(intake, deps.clone()));
    }
    if config.serves(Service::Registry) {
        let registry = qipp_registry::Config {
            max_message_bytes: limits.message_bytes,
            ..qipp_registry::Config::default()
        };
        routes = routes.add_service(qipp_registry::build(registry, deps.clone()));
    }
    if config.serves(Service::Projections) {
        let projections = qipp_projections::Config::default();
        routes = routes
            .add_service(qipp_projections::build(projections, deps.clone()))
            .add_service(qipp_backup::build(Deps {
                log: whole_log,
                ..deps.clone()
            }));
    }
    if let Some(alerts) = alerts {
        routes = routes.add_service(alerts);
    }
    if config.opens_log() {
        routes = routes.add_service(qipp_replica::build(deps.clone(), decode));
    }
    // Within the gate: who may not call at all is told at once.
    let held = axum::middleware::from_fn_with_state(caught_up, caught_up::hold);
    Ok(routes.prepare().into_axum_router().layer(held))
}

/// Projections put together of shards, where the nation is split and this process holds nothing of it.
fn with_shards(config: &ServeConfig, served: Router, peers: &[Peers], deps: &Deps) -> Router {
    let scatters = peers
        .iter()
        .filter_map(|peers| peers.scatter(config, Arc::clone(&deps.clock)));
    scatters.fold(served, |router, scatter| {
        tonic::service::Routes::from(router)
            .add_service(scatter)
            .prepare()
            .into_axum_router()
    })
}

/// Beside the services that are served here: those of others, health, and the description of the contract.
fn with_all<H>(served: Router, peers: &[Peers], health: H) -> anyhow::Result<Router>
where
    H: tower::Service<
            http::Request<tonic::body::Body>,
            Response = http::Response<tonic::body::Body>,
            Error = std::convert::Infallible,
        > + tonic::server::NamedService
        + Clone
        + Send
        + Sync
        + 'static,
    H::Future: Send + 'static,
{
    let served = peers
        .iter()
        .fold(served, |router, peers| peers.mount(router));
    Ok(tonic::service::Routes::from(served)
        .add_service(health)
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?)
        .prepare()
        .into_axum_router())
}

/// Both sides on one port, each behind the gate.
fn app(config: &ServeConfig, grpc: Router, gate: Gate, deps: &Deps, standing: Standing) -> Router {
    let grpc = grpc.layer(axum::middleware::from_fn_with_state(
        gate.clone(),
        Gate::grpc,
    ));
    if !config.serves(Service::Gateway) {
        let http = qipp_gateway::pages_only(Arc::new(move || standing.reasons()));
        return http.merge(grpc.reset_fallback());
    }
    let limits = &config.limits;
    let gateway = GatewayConfig {
        max_body_bytes: limits.message_bytes,
        max_upload_bytes: limits.upload_bytes,
        max_timeout: limits.call(),
        ready: Arc::new(move || standing.reasons()),
        csv: Some(Arc::new(ReturnsAsCsv)),
        ..GatewayConfig::new(deps.shutdown.clone())
    };
    let http = qipp_gateway::router(grpc.clone(), gateway)
        .layer(axum::middleware::from_fn_with_state(gate, Gate::http));
    http.merge(grpc.reset_fallback())
}

fn reflection() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        // So that stock clients can show the details of errors.
        .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
}
