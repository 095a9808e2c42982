//! `qipp serve`: all services in one process, one port for gRPC and HTTP.
//!
//! Order of starting: log → fold → services → port. Order of ending: no new calls → open calls are answered → the fold saves its
//! checkpoint → the log closes. This is the only wiring there is; the demo and the tests start the same house.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::serve::ListenerExt as _;
use qipp_access::Authenticator;
use qipp_api::{DESCRIPTORS, facts};
use qipp_eventlog::{Clock, EmbeddedConfig, EmbeddedLog, EventLog, Layout, MemoryLog};
use qipp_gateway::GatewayConfig;
use qipp_projection::{Follower, FollowerConfig, StoreConfig};
use qipp_serving::{Deps, Gate, identify};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::{LogKind, ServeConfig};
use crate::files::ReturnsAsCsv;

/// A house that is up.
#[derive(Debug)]
pub struct House {
    /// Where it listens, with the port that was really taken.
    pub address: std::net::SocketAddr,
    /// The log.
    pub log: Arc<dyn EventLog>,
    /// The folded log.
    pub follower: Follower,
    shutdown: CancellationToken,
    stop_folding: CancellationToken,
    grace: Duration,
    server: JoinHandle<std::io::Result<()>>,
    evaluator: JoinHandle<()>,
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
        let log = open_log(config, Arc::clone(&clock)).await?;
        let store = match config.log {
            LogKind::Memory => StoreConfig::Memory,
            LogKind::Embedded => StoreConfig::Sled(config.data_dir.join("projection")),
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
        };
        let (app, evaluator) = app(
            config,
            deps,
            Gate {
                authenticator,
                clock,
            },
        )
        .await?;
        let stopping = shutdown.clone();
        // Answers are small: without this one of several frames waits 40 ms for the acknowledgement of the frame before.
        let listener = listener.tap_io(|stream| {
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "a connection ended before it began");
            }
        });
        let serving = axum::serve(listener, app)
            .with_graceful_shutdown(async move { stopping.cancelled().await });
        Ok(Self {
            address,
            log,
            follower,
            shutdown,
            stop_folding,
            grace: Duration::from_secs(config.grace_seconds),
            server: tokio::spawn(async move { serving.await }),
            evaluator: tokio::spawn(evaluator.run()),
        })
    }

    /// Base address for clients.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Ends in order: open calls are answered within the grace period, then the fold saves its checkpoint and the log closes.
    pub async fn stop(mut self) {
        self.shutdown.cancel();
        if tokio::time::timeout(self.grace, &mut self.server)
            .await
            .is_err()
        {
            tracing::warn!(grace = ?self.grace, "calls were still open at the end of the grace period; they were cut off");
            self.server.abort();
        }
        if let Err(error) = self.evaluator.await {
            tracing::error!(%error, "the evaluator ended badly; it takes up its work at the next start");
        }
        self.stop_folding.cancel();
        self.follower.stopped().await;
        self.log.close().await;
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
pub fn decode(key: &[u8], payload: &[u8]) -> Result<(String, qipp_domain::nation::Facts), String> {
    facts::decode(key, payload)
        .map(|(meta, facts)| (meta.principal, facts))
        .map_err(|error| error.to_string())
}

/// Opens the log of a configuration.
///
/// # Errors
/// As the adapter: the message says why and what to do.
pub async fn open_log(
    config: &ServeConfig,
    clock: Arc<dyn Clock>,
) -> anyhow::Result<Arc<dyn EventLog>> {
    let layout = Layout {
        returns: config.returns_partitions,
        alerts: config.alerts_partitions,
    };
    if config.log == LogKind::Memory {
        return Ok(Arc::new(MemoryLog::new(layout, clock)));
    }
    let path = config.data_dir.join("log");
    let embedded = EmbeddedConfig {
        layout,
        clock,
        min_free_bytes: config.min_free_bytes,
        ..EmbeddedConfig::default()
    };
    // Opening verifies every frame: work for a thread that may block.
    let opened = tokio::task::spawn_blocking(move || EmbeddedLog::open(path, embedded))
        .await
        .context("opening the log")?;
    Ok(Arc::new(opened?))
}

async fn app(
    config: &ServeConfig,
    deps: Deps,
    gate: Gate,
) -> anyhow::Result<(Router, qipp_alerts::Evaluator)> {
    let intake = qipp_intake::Config {
        max_message_bytes: config.max_message_bytes,
        max_in_flight: config.max_in_flight,
        ..qipp_intake::Config::default()
    };
    let registry = qipp_registry::Config {
        max_message_bytes: config.max_message_bytes,
        ..qipp_registry::Config::default()
    };
    let (alerts, evaluator) = qipp_alerts::build(qipp_alerts::Config::default(), deps.clone());
    let (reporter, health) = tonic_health::server::health_reporter();
    // Not serving until the fold has caught up.
    set_health(&reporter, false).await;
    let routes = tonic::service::Routes::new(qipp_intake::build(intake, deps.clone()))
        .add_service(qipp_registry::build(registry, deps.clone()))
        .add_service(qipp_projections::build(
            qipp_projections::Config::default(),
            deps.clone(),
        ))
        .add_service(alerts)
        .add_service(health)
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?);
    let grpc = routes
        .prepare()
        .into_axum_router()
        .layer(axum::middleware::from_fn_with_state(gate, identify));
    tokio::spawn(report_health(reporter, deps.clone()));
    let gateway = GatewayConfig {
        max_body_bytes: config.max_message_bytes,
        ready: Arc::new(readiness(&deps)),
        csv: Some(Arc::new(ReturnsAsCsv)),
        ..GatewayConfig::new(deps.shutdown.clone())
    };
    Ok((
        qipp_gateway::router(grpc.clone(), gateway).merge(grpc.reset_fallback()),
        evaluator,
    ))
}

fn reflection() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        // So that stock clients can show the details of errors.
        .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
}

/// Names under which health can be asked for; the empty one is the whole process.
const HEALTH_NAMES: [&str; 5] = [
    "",
    "qipp.intake.v1.IntakeService",
    "qipp.registry.v1.RegistryService",
    "qipp.projections.v1.ProjectionsService",
    "qipp.alerts.v1.AlertsService",
];

async fn set_health(reporter: &tonic_health::server::HealthReporter, serving: bool) {
    use tonic_health::ServingStatus::{NotServing, Serving};
    for name in HEALTH_NAMES {
        reporter
            .set_service_status(name, if serving { Serving } else { NotServing })
            .await;
    }
}

/// Serving from the moment that the fold has caught up with what the log held at the start, until the shutdown begins.
async fn report_health(reporter: tonic_health::server::HealthReporter, deps: Deps) {
    let caught_up = deps.follower.caught_up().await.is_ok();
    set_health(&reporter, caught_up).await;
    deps.shutdown.cancelled().await;
    set_health(&reporter, false).await;
}

/// Ready while the fold stands at most a moment behind the log, and no shutdown has begun.
fn readiness(deps: &Deps) -> impl Fn() -> Result<(), String> + Send + Sync + use<> {
    let deps = deps.clone();
    let started = Arc::new(std::sync::OnceLock::new());
    move || {
        if deps.shutdown.is_cancelled() {
            return Err("the service is shutting down".to_owned());
        }
        let folded = deps.follower.cut();
        // Once caught up, a fold that is a few records behind its writers is still ready.
        let head = started.get_or_init(|| qipp_projection::domain_cut(&deps.log.head()));
        if folded.includes(head) {
            Ok(())
        } else {
            Err("the fold is still catching up with the log".to_owned())
        }
    }
}
