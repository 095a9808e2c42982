//! `qipp serve`: all services in one process, one port for gRPC and HTTP.
//!
//! Order of starting: log → fold → services → port. Order of ending: no new calls → open calls are answered → the fold saves its
//! checkpoint → the log closes. This is the only wiring there is; the demo and the tests start the same house.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use bytes::Bytes;
use qipp_access::Authenticator;
use qipp_api::{DESCRIPTORS, facts};
use qipp_eventlog::{
    Clock, EmbeddedConfig, EmbeddedLog, EventLog, Layout, LogError, MemoryLog, Observer,
};
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
use crate::config::{LogKind, ServeConfig};
use crate::files::ReturnsAsCsv;
use crate::standing::Standing;
use crate::{gauges, keys, operations, port};

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
    evaluator: JoinHandle<()>,
    /// Health, metrics: they have nothing to finish.
    background: Vec<JoinHandle<()>>,
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
        let address = listener
            .local_addr()
            .context("the listener has no address")?;
        let (shutdown, stop_folding) = (CancellationToken::new(), CancellationToken::new());
        let metrics = Metrics::new();
        let log = open_log(config, Arc::clone(&clock), metrics.log_observer()).await?;
        let store = match config.log {
            LogKind::Memory => StoreConfig::Memory,
            LogKind::Embedded => StoreConfig::Directory(config.data_dir.join("projection")),
        };
        let follower = Follower::start(
            Arc::clone(&log),
            FollowerConfig::new(store, decode),
            stop_folding.clone(),
        )
        .await?;
        let deps = Deps {
            log: Arc::clone(&log),
            follower: follower.clone(),
            clock: Arc::clone(&clock),
            shutdown: shutdown.clone(),
            metrics: metrics.clone(),
        };
        let limits = &config.limits;
        let admission = Admission::new(limits.places());
        let gate = Gate::new(GateParts {
            authenticator,
            clock,
            methods: methods(),
            admission: Arc::clone(&admission),
            metrics: metrics.clone(),
            max_timeout: limits.call(),
            patience: Duration::from_secs(limits.waiting_seconds),
        });
        let alerts = qipp_alerts::Config {
            watcher_patience: Duration::from_secs(limits.watcher_seconds),
            ..qipp_alerts::Config::default()
        };
        let (alerts, evaluator) = qipp_alerts::build(alerts, deps.clone());
        let disk = match config.log {
            LogKind::Memory => None,
            LogKind::Embedded => Some((config.data_dir.clone(), config.min_free_bytes)),
        };
        let standing = Standing::new(
            deps.clone(),
            evaluator.standing(),
            config.operations.clone(),
            disk,
        );
        gauges::register(&deps, &standing, &admission);
        let (reporter, health) = tonic_health::server::health_reporter();
        let reporting = tokio::spawn(standing.clone().report(reporter));
        let grpc = grpc(config, &deps, alerts, health)?;
        let app = app(config, grpc, gate, &deps, standing.clone());
        let serving = port::serve(
            listener,
            app,
            limits.clone(),
            metrics.clone(),
            shutdown.clone(),
        );
        Ok(Self {
            address,
            log,
            follower,
            metrics,
            standing,
            shutdown,
            stop_folding,
            grace: Duration::from_secs(config.grace_seconds),
            server: tokio::spawn(serving),
            evaluator: tokio::spawn(evaluator.run()),
            background: vec![reporting],
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
        if let Err(error) = self.evaluator.await {
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

/// Opens the log of a configuration.
///
/// # Errors
/// As the adapter: the message says why and what to do.
pub async fn open_log(
    config: &ServeConfig,
    clock: Arc<dyn Clock>,
    observer: Arc<dyn Observer>,
) -> anyhow::Result<Arc<dyn EventLog>> {
    let layout = Layout {
        returns: config.returns_partitions,
        alerts: config.alerts_partitions,
    };
    if config.log == LogKind::Memory {
        return Ok(Arc::new(MemoryLog::new(layout, clock)));
    }
    let path = config.data_dir.join("log");
    has_log(&config.data_dir)?;
    keys::private_folder(&config.data_dir)?;
    let embedded = EmbeddedConfig {
        layout,
        clock,
        min_free_bytes: config.min_free_bytes,
        observer,
        ..EmbeddedConfig::default()
    };
    // Opening verifies every frame: work for a thread that may block.
    let opened = tokio::task::spawn_blocking(move || EmbeddedLog::open(path, embedded))
        .await
        .context("opening the log")?;
    Ok(Arc::new(opened.map_err(|error| with_code(&error))?))
}

/// The sentence, and the code that never changes, as refusals of calls have it.
pub(crate) fn with_code(error: &LogError) -> anyhow::Error {
    anyhow::anyhow!("{error} ({})", error.code())
}

/// Is there a log in the data directory? One that was there and is gone is an error. Opens and changes nothing.
///
/// A projection is made of a log: where there is one and no log, the log was lost, and a new one would make a nation without a past.
///
/// # Errors
/// When the log was lost: what is missing, and what to do.
pub(crate) fn has_log(data_dir: &Path) -> anyhow::Result<bool> {
    let (log, projection) = (data_dir.join("log"), data_dir.join("projection"));
    let is_there = qipp_eventlog::is_log(&log).map_err(|error| with_code(&error))?;
    anyhow::ensure!(
        is_there || !projection.join("checkpoint").exists(),
        "the log is missing: {} is not there, and {} was made of one. Put it back, or `qipp restore` a back-up into another folder; to begin with nothing, move {} away",
        log.join("store").display(),
        projection.display(),
        projection.display()
    );
    Ok(is_there)
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

fn grpc<H>(
    config: &ServeConfig,
    deps: &Deps,
    alerts: qipp_alerts::Service,
    health: H,
) -> anyhow::Result<Router>
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
    let limits = &config.limits;
    let intake = qipp_intake::Config {
        max_message_bytes: limits.message_bytes,
        max_in_flight: limits.in_flight,
        ..qipp_intake::Config::default()
    };
    let registry = qipp_registry::Config {
        max_message_bytes: limits.message_bytes,
        ..qipp_registry::Config::default()
    };
    let projections = qipp_projections::Config::default();
    let routes = tonic::service::Routes::new(qipp_intake::build(intake, deps.clone()))
        .add_service(qipp_registry::build(registry, deps.clone()))
        .add_service(qipp_projections::build(projections, deps.clone()))
        .add_service(alerts)
        .add_service(qipp_backup::build(deps.clone()))
        .add_service(health)
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?);
    let (caught_up, held) = watch::channel(false);
    let follower = deps.follower.clone();
    tokio::spawn(async move { caught_up.send_replace(follower.caught_up().await.is_ok()) });
    // Within the gate: who may not call at all is told at once.
    let held = axum::middleware::from_fn_with_state(held, caught_up::hold);
    Ok(routes.prepare().into_axum_router().layer(held))
}

/// Both sides on one port, each behind the gate.
fn app(config: &ServeConfig, grpc: Router, gate: Gate, deps: &Deps, standing: Standing) -> Router {
    let grpc = grpc.layer(axum::middleware::from_fn_with_state(
        gate.clone(),
        Gate::grpc,
    ));
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
