//! One call, from its beginning until its answer has gone out: one line in the log, one count in the metrics, one span, one place given back.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use axum::body::{Body, Bytes};
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use http_body::{Body as HttpBody, Frame, SizeHint};
use qipp_access::Principal;
use qipp_api::error::{Code, FormFaults};
use tracing::Span;

use crate::admission::Pass;
use crate::gate::{Protocol, name_answer};
use crate::methods::Method;
use crate::metrics::Metrics;
use crate::trace;

/// What is known about a call. When it is dropped, the call is over.
#[derive(Debug)]
pub(crate) struct Call {
    metrics: Metrics,
    pub(crate) protocol: Protocol,
    pub(crate) method: Method,
    pub(crate) id: String,
    pub(crate) principal: Option<Arc<Principal>>,
    /// The place that it holds.
    pub(crate) pass: Option<Pass>,
    pub(crate) trace: Span,
    started: Instant,
    /// Of its answer. Whoever goes away before the answer is there has cancelled.
    code: &'static str,
    /// The number that its protocol has for that, once it is known.
    status: Option<u16>,
}

impl Call {
    pub(crate) fn begin(
        metrics: Metrics,
        protocol: Protocol,
        method: Method,
        id: String,
        trace: Span,
    ) -> Self {
        Self {
            metrics,
            protocol,
            method,
            id,
            principal: None,
            pass: None,
            trace,
            started: Instant::now(),
            code: Code::Cancelled.name(),
            status: None,
        }
    }

    /// The answer, with the id of its request; the call is over when its body has gone out.
    pub(crate) fn answered(mut self, mut response: Response) -> Response {
        name_answer(&mut response, &self.id);
        match self.protocol {
            Protocol::Grpc => self.note(response.headers()),
            Protocol::Http => {
                let code = response.extensions().get::<Code>();
                self.code = code.map_or_else(|| name_of(response.status()), |code| code.name());
                self.status = Some(response.status().as_u16());
                if let Some(FormFaults(codes)) = response.extensions().get() {
                    self.metrics.unreadable(codes);
                }
            }
        }
        if self.method.is_quiet {
            return response;
        }
        response.map(|body| Body::new(Recorded { body, call: self }))
    }

    /// The status of gRPC is a trailer, or a header of an answer that is nothing but an error.
    fn note(&mut self, headers: &HeaderMap) {
        let Some(status) = headers.get("grpc-status") else {
            return;
        };
        let code = tonic::Code::from_bytes(status.as_bytes());
        self.status = u16::try_from(i32::from(code)).ok();
        self.code = match code {
            tonic::Code::Ok => "OK",
            code => Code::from_grpc(code).name(),
        };
    }
}

/// What an HTTP status stands for where nobody said it.
fn name_of(status: StatusCode) -> &'static str {
    if status.is_success() || status.is_redirection() {
        "OK"
    } else if status.is_client_error() {
        Code::InvalidArgument.name()
    } else {
        Code::Internal.name()
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if self.method.is_quiet {
            return;
        }
        let took = self.started.elapsed();
        self.metrics.called(&self.method.name, self.code, took);
        trace::end_call(&self.trace, self.protocol, self.status, self.code);
        let principal = self.principal.as_ref().map_or("-", |p| p.name.as_str());
        tracing::info!(
            target: "qipp::access",
            parent: None,
            method = &*self.method.name,
            principal,
            code = self.code,
            duration_ms = (took.as_secs_f64() * 1e6).round() / 1e3,
            request_id = %self.id,
            "answered"
        );
    }
}

/// The body of an answer, which notes the status in its trailers.
struct Recorded {
    body: Body,
    call: Call,
}

impl HttpBody for Recorded {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &frame
            && let Some(trailers) = frame.trailers_ref()
        {
            self.call.note(trailers);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
