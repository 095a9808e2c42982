//! Traces: spans of calls and of the evaluator, sent to an OpenTelemetry collector (OTLP over gRPC).
//!
//! Off unless `serve.traces.endpoint` names one; then nothing of this is installed. Calls never wait for the collector: spans stand in a
//! bounded queue, and what it does not take in time is lost. That it is away is said once, and once more when it is back.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry::{KeyValue, global};
use opentelemetry_otlp::{
    ExporterBuildError, RetryPolicy, WithExportConfig as _, WithTonicConfig as _,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider, SpanData, SpanExporter};
use qipp_serving::trace::TARGET;
use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::registry::LookupSpan;

use crate::config;
use crate::exit::{self, Failure};

/// How long the collector has for a batch, with all attempts.
const PER_BATCH: Duration = Duration::from_secs(5);

/// How long `--check` waits for it.
const PER_CHECK: Duration = Duration::from_secs(2);

/// What is being traced.
#[derive(Debug)]
pub(crate) struct Traces {
    provider: SdkTracerProvider,
}

impl Traces {
    /// Nothing when traces are off. Has to be called in the runtime, which carries the connection.
    ///
    /// # Errors
    /// When what the environment says about OTLP can't be used.
    pub(crate) fn start(config: &config::Traces) -> Result<Option<Self>, Failure> {
        if config.endpoint.is_empty() {
            return Ok(None);
        }
        let exporter = Announced {
            exporter: exporter(config, PER_BATCH, RetryPolicy::recommended())
                .map_err(|error| Failure::new(exit::USAGE, format!("traces: {error}")))?,
            endpoint: config.endpoint.clone(),
            is_away: AtomicBool::new(false),
        };
        let resource = Resource::builder()
            .with_service_name("qipp")
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .build();
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            // A caller that has decided whether its trace is recorded has decided it for its calls here too.
            .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(
                config.ratio,
            ))))
            .with_resource(resource)
            .build();
        global::set_text_map_propagator(TraceContextPropagator::new());
        Ok(Some(Self { provider }))
    }

    /// What turns spans of ours into spans of OpenTelemetry. It sees no others, and no log lines.
    pub(crate) fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        tracing_opentelemetry::layer()
            .with_tracer(self.provider.tracer("qipp"))
            .with_context_activation(false)
            .with_location(false)
            .with_target(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_filter(Targets::new().with_target(TARGET, LevelFilter::INFO))
    }

    /// Sends what is still here.
    pub(crate) async fn end(self, patience: Duration) {
        let ending = move || self.provider.shutdown_with_timeout(patience);
        // Other failures have been said by then.
        if let Ok(Err(OTelSdkError::Timeout(_))) = tokio::task::spawn_blocking(ending).await {
            tracing::warn!(
                ?patience,
                "the last traces are lost: sending them took too long"
            );
        }
    }
}

/// Does anybody take traces there? Sends none.
///
/// # Errors
/// What went wrong, in words.
pub(crate) async fn probe(config: &config::Traces) -> Result<(), String> {
    let exporter = exporter(config, PER_CHECK, RetryPolicy::disabled());
    let exporter = exporter.map_err(|error| error.to_string())?;
    let sent = exporter.export(Vec::new()).await;
    sent.map_err(|error| error.to_string())
}

fn exporter(
    config: &config::Traces,
    timeout: Duration,
    retry: RetryPolicy,
) -> Result<opentelemetry_otlp::SpanExporter, ExporterBuildError> {
    opentelemetry_otlp::SpanExporter::builder()
        .with_tonic()
        .with_endpoint(&config.endpoint)
        .with_timeout(timeout)
        .with_retry_policy(retry)
        .build()
}

/// Says when the collector goes away and when it is back, and not for every batch.
#[derive(Debug)]
struct Announced<E> {
    exporter: E,
    endpoint: String,
    is_away: AtomicBool,
}

impl<E: SpanExporter> SpanExporter for Announced<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let sent = self.exporter.export(batch).await;
        let was_away = self.is_away.swap(sent.is_err(), Relaxed);
        let endpoint = &self.endpoint;
        match &sent {
            Err(error) if !was_away => tracing::warn!(
                %endpoint,
                %error,
                "nobody takes the traces: they are lost until somebody does, and everything else goes on"
            ),
            Ok(()) if was_away => tracing::info!(%endpoint, "the traces are taken again"),
            _ => {}
        }
        sent
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}
