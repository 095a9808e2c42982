//! The second listener, for those who run the service: metrics, liveness, readiness. No keys, so it belongs on loopback or on a network of
//! operators only; nothing here says anything about any organisation.

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use qipp_serving::Metrics;

use crate::standing::Standing;

#[derive(Clone)]
struct Operated {
    metrics: Metrics,
    standing: Standing,
}

pub(crate) fn router(metrics: Metrics, standing: Standing) -> Router {
    Router::new()
        .route("/metrics", get(metrics_page))
        .route("/livez", get(qipp_gateway::alive))
        .route(
            "/readyz",
            get(|State(operated): State<Operated>| async move {
                qipp_gateway::ready(&operated.standing.reasons())
            }),
        )
        .with_state(Operated { metrics, standing })
}

/// Counting alerts by state takes a look at the whole nation: not on a thread that serves calls.
async fn metrics_page(State(operated): State<Operated>) -> Response {
    match tokio::task::spawn_blocking(move || operated.metrics.text()).await {
        Ok(text) => (
            [(
                header::CONTENT_TYPE,
                "text/plain; version=0.0.4; charset=utf-8",
            )],
            text,
        )
            .into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
