//! Alerts as they happen, as server-sent events.
//!
//! Each event is named `alert`, carries a `WatchAlertsResponse` as JSON, and its id is the cut after it (see [`crate::cut_text`]): a browser
//! that lost the connection sends the id back as `last-event-id` and misses nothing. `?from=` does the same for a first connection.
//! A failure in the middle comes as an event named `error`. The stream ends when the process shuts down; it never holds the drain.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::Request;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::{Stream, StreamExt as _};
use http::{HeaderMap, HeaderValue, Uri};
use prost::Message as _;
use prost_reflect::DynamicMessage;
use qipp_api::error::ApiError;
use qipp_api::proto::alerts::v1::alerts_service_client::AlertsServiceClient;
use qipp_api::proto::alerts::v1::{WatchAlertsRequest, WatchAlertsResponse};
use qipp_api::proto::events::v1::Cut;
use tonic::{Status, Streaming};

use crate::answer::Failure;
use crate::backend::within;
use crate::context::{grpc_request, request_id, timeout};
use crate::routes::WATCH_RPC;
use crate::unary::query_of;
use crate::{Gateway, cut_text, transcode};

/// The log whose positions the ids of events are.
const ALERTS: &str = "qipp.alerts.v1";

/// Answers with a stream of events.
pub(crate) async fn watch(gateway: Arc<Gateway>, request: Request) -> Response {
    let id = request_id(request.headers()).to_owned();
    let (parts, _) = request.into_parts();
    match open(&gateway, &parts.uri, &parts.headers).await {
        Ok(alerts) => stream(&gateway, alerts, id).into_response(),
        Err(failure) => failure.into_response(&id),
    }
}

async fn open(
    gateway: &Gateway,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<Streaming<WatchAlertsResponse>, Failure> {
    let message = request_of(uri, headers)?;
    // The caller's patience is for the opening; the stream itself has no end, so that the service is told of none.
    let patience = timeout(headers, &gateway.config, gateway.config.default_timeout)?;
    let client = AlertsServiceClient::new(gateway.backend.service());
    let mut client = client.max_decoding_message_size(gateway.backend.max_answer_bytes());
    let opened = within(
        patience,
        client.watch_alerts(grpc_request(headers, message)),
    )
    .await?;
    Ok(opened.into_inner())
}

/// `last-event-id` is later than the address of the first connection: it counts.
pub(crate) fn request_of(uri: &Uri, headers: &HeaderMap) -> Result<WatchAlertsRequest, Failure> {
    let resumed = headers
        .get("last-event-id")
        .filter(|id| !id.is_empty())
        .map(resumption)
        .transpose()?;
    let query = query_of(uri)?;
    let parameters = query
        .iter()
        .filter(|(name, _)| resumed.is_none() || name != "from");
    let descriptor = transcode::rpc(WATCH_RPC)
        .expect("the contract has this rpc, a test says so")
        .input();
    let mut message = DynamicMessage::new(descriptor);
    transcode::set_parameters(
        &mut message,
        parameters.map(|(name, text)| (name.as_str(), text.as_str())),
    )?;
    let unreadable =
        |error: prost::DecodeError| Failure::invalid("INVALID_PARAMETERS", error.to_string());
    let request =
        WatchAlertsRequest::decode(message.encode_to_vec().as_slice()).map_err(unreadable)?;
    Ok(WatchAlertsRequest {
        from: resumed.or(request.from),
        ..request
    })
}

/// The ids of events are cuts of the log of alerts. One of another log says nothing about what was missed: going on from it would show
/// everything again, or nothing.
fn resumption(id: &HeaderValue) -> Result<Cut, Failure> {
    let refused = |what: &str| {
        let what = format!(
            "last-event-id {what}: send the id of an event, or leave it away to start over"
        );
        ApiError::invalid_field("BAD_EVENT_ID", "last-event-id", what).into()
    };
    let cut = id.to_str().ok().and_then(cut_text::decode);
    let cut = cut.ok_or_else(|| refused("is not the id of an event"))?;
    let is_ours = cut.next.iter().any(|position| position.topic == ALERTS);
    if cut.next.is_empty() || is_ours {
        return Ok(cut);
    }
    Err(refused("names no position in the log of alerts"))
}

fn stream(
    gateway: &Gateway,
    alerts: Streaming<WatchAlertsResponse>,
    request_id: String,
) -> Response {
    let shutdown = gateway.config.shutdown.clone().cancelled_owned();
    let keep_alive = KeepAlive::new()
        .interval(gateway.config.keep_alive)
        .text("still here");
    let mut response = Sse::new(events(alerts, request_id).take_until(shutdown))
        .keep_alive(keep_alive)
        .into_response();
    // Some reverse proxies collect a whole answer unless told otherwise.
    response
        .headers_mut()
        .insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

fn events(
    alerts: impl Stream<Item = Result<WatchAlertsResponse, Status>>,
    request_id: String,
) -> impl Stream<Item = Result<Event, Infallible>> {
    alerts.map(move |alert| {
        let event = alert
            .map_err(Failure::from)
            .and_then(|alert| event_of(&alert));
        Ok(event.unwrap_or_else(|failure| {
            Event::default()
                .event("error")
                .data(failure.error.to_json(&request_id).to_string())
        }))
    })
}

fn event_of(alert: &WatchAlertsResponse) -> Result<Event, Failure> {
    let descriptor = transcode::rpc(WATCH_RPC)
        .expect("the contract has this rpc, a test says so")
        .output();
    let json = transcode::to_json(descriptor, alert.encode_to_vec().into())?;
    let event = Event::default()
        .event("alert")
        .data(String::from_utf8_lossy(&json));
    Ok(match &alert.cut {
        Some(cut) => event.id(cut_text::encode(cut)),
        None => event,
    })
}
