//! Spans of traces: what a call, or the evaluator, spends its time on.
//!
//! They have a target of their own, which log lines never show and which is enabled only while traces are sent somewhere. Otherwise each
//! costs a comparison, and none of its fields is computed. Names and attributes are those of OpenTelemetry's semantic conventions where
//! there are any. They say which call, who, and how it ended; never a key, a header, or anything of a return.

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::global;
use opentelemetry::propagation::{Extractor, Injector};
use tracing::Span;
use tracing::field::Empty;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use crate::gate::Protocol;

/// The target of all spans of traces, and of nothing else. Filters go by how a target begins, so no module's path may begin like this.
pub const TARGET: &str = "qipp_trace";

/// A step of what is under way in this task: `step!("append", qipp.topic = "returns")`. A span without an end of its own: instrument a
/// future with it, or do the work in its scope.
///
/// `step!(of: SPAN, "return")` is a step of another span than the current one, `step!(of: None, "evaluate")` begins a trace.
#[macro_export]
macro_rules! step {
    (of: $parent:expr, $($span:tt)+) => {
        tracing::info_span!(target: $crate::trace::TARGET, parent: $parent, $($span)+)
    };
    ($($span:tt)+) => {
        tracing::info_span!(target: $crate::trace::TARGET, $($span)+)
    };
}

/// The span of a call that comes in; part of the caller's trace when it has one.
pub(crate) fn of_call(protocol: Protocol, name: &str, id: &str, headers: &HeaderMap) -> Span {
    let span = crate::step!(
        of: None,
        "call",
        otel.name = name,
        otel.kind = "server",
        otel.status_code = Empty,
        "error.type" = Empty,
        enduser.id = Empty,
        qipp.request_id = id,
        // What stays empty is not sent: a call has the fields of its own protocol.
        rpc.system = Empty,
        rpc.service = Empty,
        rpc.method = Empty,
        rpc.grpc.status_code = Empty,
        http.request.method = Empty,
        http.route = Empty,
        http.response.status_code = Empty,
    );
    if span.is_disabled() {
        return span;
    }
    let theirs = global::get_text_map_propagator(|format| format.extract(&Headers(headers)));
    // Refused by spans that have begun, and this one has not.
    span.set_parent(theirs).unwrap_or_default();
    match protocol {
        Protocol::Grpc => {
            let (service, method) = name.split_once('/').unwrap_or(("", name));
            span.record("rpc.system", "grpc");
            span.record("rpc.service", service);
            span.record("rpc.method", method);
        }
        Protocol::Http => {
            // The address as the contract has it: nobody's code is in it.
            let (method, route) = name.split_once(' ').unwrap_or((name, ""));
            span.record("http.request.method", method);
            span.record("http.route", route);
        }
    }
    span
}

/// How a call ended.
pub(crate) fn end_call(span: &Span, protocol: Protocol, status: Option<u16>, code: &'static str) {
    if span.is_disabled() {
        return;
    }
    // In its scope, because a span ends when it was left for the last time.
    span.in_scope(|| {
        let name = match protocol {
            Protocol::Grpc => "rpc.grpc.status_code",
            Protocol::Http => "http.response.status_code",
        };
        if let Some(status) = status {
            // As the one kind of integer that OpenTelemetry has.
            span.record(name, i64::from(status));
        }
        if code != "OK" {
            span.record("error.type", code);
        }
        if is_our_fault(protocol, status) {
            span.record("otel.status_code", "ERROR");
        }
    });
}

/// Of the server's own span, only what the server could not do is an error.
fn is_our_fault(protocol: Protocol, status: Option<u16>) -> bool {
    use tonic::Code::{DataLoss, DeadlineExceeded, Internal, Unavailable, Unimplemented, Unknown};
    let faults = [
        Unknown,
        DeadlineExceeded,
        Unimplemented,
        Internal,
        Unavailable,
        DataLoss,
    ];
    status.is_some_and(|status| match protocol {
        Protocol::Grpc => faults.contains(&tonic::Code::from(i32::from(status))),
        Protocol::Http => status >= 500,
    })
}

/// Tells whoever is called with these headers that the call is part of the span. Without traces the headers stay as they are.
pub fn inject(span: &Span, headers: &mut HeaderMap) {
    if !span.is_disabled() {
        let context = span.context();
        global::get_text_map_propagator(|format| {
            format.inject_context(&context, &mut Outgoing(headers));
        });
    }
}

/// Where a trace is told of.
struct Outgoing<'a>(&'a mut HeaderMap);

impl Injector for Outgoing<'_> {
    fn set(&mut self, name: &str, value: String) {
        let name = HeaderName::from_bytes(name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(&value)) {
            self.0.insert(name, value);
        }
    }
}

/// What a caller says about its trace.
struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(|value| value.to_str().ok())
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}
