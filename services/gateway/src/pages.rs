//! The small pages: index, health, readiness, and what is said to those who lost their way.
//!
//! No dashboard, and nothing about any organisation.

use axum::extract::Request;
use axum::response::{Html, IntoResponse, Response};
use bytes::Bytes;
use http::{StatusCode, header};
use qipp_api::error::{ApiError, Code};
use serde_json::json;

use crate::answer::{Failure, json_response};
use crate::context::request_id;

/// JSON that is at hand as text.
#[derive(Clone, Debug)]
pub(crate) struct Json(pub(crate) Bytes);

impl IntoResponse for Json {
    fn into_response(self) -> Response {
        json_response(StatusCode::OK, self.0)
    }
}

const INDEX: &str = "<!doctype html>
<html lang=\"en\">
<meta charset=\"utf-8\">
<title>QIPP Watch</title>
<h1>QIPP Watch</h1>
<p>Savings and quality of NHS organisations, and the questions that arise when one rises while the other slips.
<ul>
<li><a href=\"/openapi.json\">/openapi.json</a>: every address of this service, as OpenAPI 3.1
<li><a href=\"/v1/status\">/v1/status</a>: what is in the log (needs a key)
<li>/v1/alerts/watch: alerts as they happen, as server-sent events (needs a key)
<li><a href=\"/livez\">/livez</a>: the process is up
<li><a href=\"/readyz\">/readyz</a>: it can answer
</ul>
";

/// Names the addresses.
pub(crate) async fn index() -> Html<&'static str> {
    Html(INDEX)
}

/// Something that keeps the process from being ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// Stable, for programs.
    pub code: &'static str,
    /// For people: what it is and what to do.
    pub detail: String,
}

/// The process serves.
pub async fn alive() -> Response {
    json_response(StatusCode::OK, json!({"status": "up"}).to_string())
}

/// The process can answer, or everything that it waits for.
#[must_use]
pub fn ready(reasons: &[Reason]) -> Response {
    if reasons.is_empty() {
        return json_response(StatusCode::OK, json!({"status": "ready"}).to_string());
    }
    let reason = |reason: &Reason| json!({"code": reason.code, "detail": reason.detail});
    let reasons: Vec<_> = reasons.iter().map(reason).collect();
    json_response(
        StatusCode::SERVICE_UNAVAILABLE,
        json!({"status": "not ready", "reasons": reasons}).to_string(),
    )
}

/// An address that is not there.
pub(crate) async fn not_found(request: Request) -> Response {
    let path = shown(&request);
    if is_grpc(&request) {
        return no_service(&path, &request);
    }
    let message = format!("there is nothing at {path}: see /openapi.json for every address");
    Failure::new(
        StatusCode::NOT_FOUND,
        Code::NotFound,
        "UNKNOWN_PATH",
        message,
    )
    .into_response(request_id(request.headers()))
}

/// Any address of a process that has no gateway.
pub(crate) async fn no_gateway(request: Request) -> Response {
    let path = shown(&request);
    if is_grpc(&request) {
        return no_service(&path, &request);
    }
    let message = format!(
        "there is nothing at {path}: this process serves gRPC only, so call one that serves the gateway (`qipp serve gateway`)"
    );
    Failure::new(
        StatusCode::NOT_IMPLEMENTED,
        Code::Unimplemented,
        "NOT_SERVED_HERE",
        message,
    )
    .into_response(request_id(request.headers()))
}

fn shown(request: &Request) -> String {
    request.uri().path().chars().take(200).collect()
}

fn is_grpc(request: &Request) -> bool {
    let kind = request.headers().get(header::CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

/// A client of gRPC would make up words of its own for a 404.
fn no_service(path: &str, request: &Request) -> Response {
    let what = format!(
        "there is no service at {path}: the reflection service of this address lists those that there are"
    );
    let status = ApiError::unimplemented(what).into_status(request_id(request.headers()));
    status.into_http()
}

/// A method that the address does not take.
pub(crate) async fn method_not_allowed(request: Request) -> Response {
    let path: String = request.uri().path().chars().take(200).collect();
    let message = format!(
        "{path} does not take {}: see the header `allow`, or /openapi.json",
        request.method()
    );
    let failure = Failure::new(
        StatusCode::METHOD_NOT_ALLOWED,
        Code::Unimplemented,
        "METHOD_NOT_ALLOWED",
        message,
    );
    failure.into_response(request_id(request.headers()))
}
