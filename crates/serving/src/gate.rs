//! The way in, for gRPC and HTTP alike: every call gets a request id and a deadline, is let in by its key, gets a place among the calls
//! that run ([`crate::admission`]), and leaves one line in the log and one count in the metrics when its answer has gone out.
//!
//! Health checks, reflection and the description of the interface pass without credentials: they say nothing about any organisation.
//! Never looks into a message.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use qipp_access::{Authenticator, Credentials, Principal};
use qipp_api::error::{ApiError, Code};
use qipp_domain::completeness::day_of_ms;
use qipp_domain::validate::code_holds_nhs_number;
use qipp_eventlog::Clock;
use tokio::time::Instant;
use tracing::{Instrument as _, Span};

use crate::admission::{Admission, Refused};
use crate::call::Call;
use crate::caller::{Caller, DEFAULT_TIMEOUT};
use crate::methods::{Method, Methods};
use crate::metrics::Metrics;
use crate::trace;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Longest request id that is taken over.
const MAX_REQUEST_ID: usize = 64;

/// A service that keeps the deadline itself can say more about it, so that it gets this much longer.
const GRACE: Duration = Duration::from_millis(500);

tokio::task_local! {
    /// Set while the HTTP side answers: the gRPC call that it makes for that, in the same task, has been let in already.
    static PASSED: Caller;
}

/// What the gate needs.
#[derive(Clone)]
#[allow(
    missing_debug_implementations,
    reason = "its parts are ports, which have no form to print"
)]
pub struct GateParts {
    /// Turns credentials into a principal.
    pub authenticator: Arc<dyn Authenticator>,
    /// Keys expire by it.
    pub clock: Arc<dyn Clock>,
    /// The calls that there are.
    pub methods: Methods,
    /// Who gets in when it is full.
    pub admission: Arc<Admission>,
    /// Where calls are counted.
    pub metrics: Metrics,
    /// The longest that a call may ask for.
    pub max_timeout: Duration,
    /// How long a call waits for a place.
    pub patience: Duration,
}

/// The gate. Cheap to clone.
#[derive(Clone)]
pub struct Gate(Arc<GateParts>);

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gate")
            .field("admission", &self.0.admission)
            .finish_non_exhaustive()
    }
}

impl Gate {
    /// A gate of these parts.
    #[must_use]
    pub fn new(parts: GateParts) -> Self {
        Self(Arc::new(parts))
    }

    /// Middleware before the gRPC services.
    pub async fn grpc(State(gate): State<Self>, mut request: Request, next: Next) -> Response {
        let path = request.uri().path().trim_start_matches('/').to_owned();
        if let Ok(passed) = PASSED.try_with(Caller::clone) {
            let inner = deadline(request.headers(), gate.0.max_timeout).map(|deadline| Caller {
                deadline: deadline.min(passed.deadline),
                method: path.clone(),
                ..passed.clone()
            });
            return match inner {
                Ok(caller) => {
                    request.extensions_mut().insert(caller);
                    in_our_words(&path, next.run(request).await, &passed.request_id)
                }
                Err(error) => refusal(Protocol::Grpc, error, &passed.request_id),
            };
        }
        gate.pass(Protocol::Grpc, path, request, next).await
    }

    /// Middleware before the HTTP side; on a router, so that the address has been found.
    pub async fn http(State(gate): State<Self>, request: Request, next: Next) -> Response {
        let matched = request.extensions().get::<MatchedPath>();
        let path = matched.map_or("", MatchedPath::as_str);
        let name = format!("{} {path}", request.method());
        gate.pass(Protocol::Http, name, request, next).await
    }

    async fn pass(
        &self,
        protocol: Protocol,
        name: String,
        mut request: Request,
        next: Next,
    ) -> Response {
        let parts = &*self.0;
        let id = request_id(request.headers());
        if let Ok(value) = HeaderValue::from_str(&id) {
            // The services and the gateway find the same one.
            request.headers_mut().insert(REQUEST_ID, value);
        }
        let method = self.method(protocol, &name, request.uri().path());
        let trace = match method.is_quiet {
            true => Span::none(),
            false => trace::of_call(protocol, &method.name, &id, request.headers()),
        };
        let mut call = Call::begin(parts.metrics.clone(), protocol, method, id, trace.clone());
        if call.method.is_quiet {
            let response = next.run(request).await;
            return call.answered(response);
        }
        let span = tracing::info_span!("call", method = %call.method.name, request_id = %call.id, principal = tracing::field::Empty);
        let caller = match self
            .admit(name, request.headers(), &mut call)
            .instrument(trace.clone())
            .await
        {
            Ok(caller) => caller,
            Err(error) => {
                let response = refusal(protocol, error, &call.id);
                return call.answered(response);
            }
        };
        span.record("principal", caller.principal.name.as_str());
        trace.record("enduser.id", caller.principal.name.as_str());
        let deadline = caller.deadline + GRACE;
        let answer = async {
            match protocol {
                Protocol::Grpc => {
                    let path = caller.method.clone();
                    request.extensions_mut().insert(caller);
                    in_our_words(&path, next.run(request).await, &call.id)
                }
                Protocol::Http => PASSED.scope(caller, next.run(request)).await,
            }
        };
        // A body that trickles in holds its place no longer than a call may take.
        let answer = answer.instrument(span).instrument(trace);
        let response = tokio::time::timeout_at(deadline, answer).await;
        let response = response.unwrap_or_else(|_| {
            parts.metrics.refused("call_seconds");
            let what = "the call was not complete before its deadline: send it faster, or with a longer timeout";
            refusal(protocol, ApiError::deadline("CALL_TOO_SLOW", what), &call.id)
        });
        call.answered(response)
    }

    fn method(&self, protocol: Protocol, name: &str, path: &str) -> Method {
        let methods = &self.0.methods;
        match protocol {
            Protocol::Grpc if path.starts_with("/qipp.") => methods.get(name).clone(),
            Protocol::Grpc => methods.quiet(),
            // What is no address of the contract is told so, with a key or without.
            Protocol::Http => methods
                .find(name)
                .cloned()
                .unwrap_or_else(|| methods.quiet()),
        }
    }

    async fn admit(
        &self,
        method: String,
        headers: &HeaderMap,
        call: &mut Call,
    ) -> Result<Caller, ApiError> {
        let parts = &*self.0;
        let deadline = match call.protocol {
            Protocol::Grpc => deadline(headers, parts.max_timeout)?,
            // The gateway reads what the caller says, and tells it to the service.
            Protocol::Http => Instant::now() + parts.max_timeout,
        };
        let principal = Arc::new(self.principal(headers)?);
        call.principal = Some(Arc::clone(&principal));
        let name = principal.name.as_str();
        let pass = match call.method.is_stream {
            true => parts.admission.stream(name),
            false => {
                let patience = deadline.min(Instant::now() + parts.patience);
                parts.admission.call(name, patience).await
            }
        };
        let pass = pass.map_err(|refused: Refused| {
            parts.metrics.refused(refused.limit());
            ApiError::from(refused)
        })?;
        if let Some(turns) = pass.turns() {
            parts.metrics.waited(&call.method.name, turns);
        }
        let items = pass.items();
        call.pass = Some(pass);
        Ok(Caller {
            principal,
            request_id: call.id.clone(),
            deadline,
            method,
            trace: call.trace.clone(),
            items,
        })
    }

    fn principal(&self, headers: &HeaderMap) -> Result<Principal, ApiError> {
        let authorization = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok());
        let credentials = Credentials::new(authorization, day_of_ms(self.0.clock.now_ms()));
        let recognised = self.0.authenticator.authenticate(&credentials);
        recognised.map_err(|refused| {
            ApiError::new(Code::Unauthenticated, refused.reason(), refused.to_string())
        })
    }
}

/// How answers are worded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Grpc,
    Http,
}

/// An error as a whole answer.
fn refusal(protocol: Protocol, error: ApiError, request_id: &str) -> Response {
    let retry_after = error.retry_after_seconds();
    let code = error.code;
    let mut response = match protocol {
        Protocol::Grpc => error.into_status(request_id).into_http::<Body>(),
        Protocol::Http => {
            let mut response = Response::new(Body::from(error.to_json(request_id).to_string()));
            *response.status_mut() =
                StatusCode::from_u16(code.http()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            let headers = response.headers_mut();
            headers.insert(
                header::CONTENT_TYPE,
                HeaderValue::from_static("application/json"),
            );
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            if code == Code::Unauthenticated {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            response.extensions_mut().insert(code);
            response
        }
    };
    if let Some(seconds) = retry_after {
        let headers = response.headers_mut();
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// What the transport refused before a service saw it, in the words of the contract. Every error of a service carries details, those of the
/// transport carry none.
fn in_our_words(path: &str, response: Response, request_id: &str) -> Response {
    let status =
        tonic::Status::from_header_map(response.headers()).filter(|_| path.starts_with("qipp."));
    let of_transport =
        |status: &tonic::Status| status.code() != tonic::Code::Ok && status.details().is_empty();
    match status.filter(of_transport) {
        Some(status)
            if status.code() == tonic::Code::Unimplemented && status.message().is_empty() =>
        {
            let shown: String = path.chars().take(200).collect();
            let what = format!(
                "there is no method {shown}: the reflection service of this address lists those that there are, and proto/ describes them"
            );
            refusal(Protocol::Grpc, ApiError::unimplemented(what), request_id)
        }
        Some(status) => refusal(Protocol::Grpc, transport_fault(&status), request_id),
        None => response,
    }
}

/// An error of the transport in the words of the contract: it calls a message that is too large OUT_OF_RANGE, and one that cannot be
/// read INTERNAL.
#[must_use]
pub fn transport_fault(status: &tonic::Status) -> ApiError {
    let what = status.message();
    match status.code() {
        tonic::Code::OutOfRange => ApiError::new(
            Code::ResourceExhausted,
            "MESSAGE_TOO_LARGE",
            format!("{what}: send it in parts"),
        ),
        tonic::Code::Internal => ApiError::new(
            Code::InvalidArgument,
            "MESSAGE_UNREADABLE",
            // The decoder names fields as Rust has to write them.
            format!(
                "{}: build it from the contract in proto/",
                what.replace("r#", "")
            ),
        ),
        _ => ApiError::from_status(status),
    }
}

/// The caller's request id when it is short and visible, or one of our own. One that holds what could be the NHS number of a patient is
/// not taken over: request ids go into logs and into the log, where no patient-level data may stand.
fn request_id(headers: &HeaderMap) -> String {
    let given = headers
        .get(REQUEST_ID)
        .and_then(|value| value.to_str().ok());
    let is_fit = |id: &&str| {
        !id.is_empty()
            && id.len() <= MAX_REQUEST_ID
            && id.bytes().all(|b| b.is_ascii_graphic())
            && !code_holds_nhs_number(id)
    };
    let usable = given.filter(is_fit);
    usable.map_or_else(|| format!("{:032x}", rand::random::<u128>()), str::to_owned)
}

/// Puts the id of the request on its answer.
pub(crate) fn name_answer(response: &mut Response, request_id: &str) {
    if let Ok(value) = HeaderValue::from_str(request_id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
}

/// When the caller stops waiting.
fn deadline(headers: &HeaderMap, max: Duration) -> Result<Instant, ApiError> {
    let timeout = match headers.get("grpc-timeout") {
        None => DEFAULT_TIMEOUT,
        Some(value) => parse_timeout(value).ok_or_else(|| {
            let what = "grpc-timeout is digits and a unit (H, M, S, m, u or n), for example 5S";
            ApiError::new(Code::InvalidArgument, "TIMEOUT_INVALID", what)
        })?,
    };
    Ok(Instant::now() + timeout.min(max))
}

/// Reads a gRPC timeout: at most eight digits and a unit.
fn parse_timeout(value: &HeaderValue) -> Option<Duration> {
    let text = value.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(count * 3600)),
        "M" => Some(Duration::from_secs(count * 60)),
        "S" => Some(Duration::from_secs(count)),
        "m" => Some(Duration::from_millis(count)),
        "u" => Some(Duration::from_micros(count)),
        "n" => Some(Duration::from_nanos(count)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_that_there_is_not_is_named_with_the_way_to_those_that_there_are() {
        let bare = tonic::Status::new(tonic::Code::Unimplemented, "").into_http::<Body>();
        let answer = in_our_words("qipp.intake.v1.IntakeService/Submit", bare, "id-1");
        let status = tonic::Status::from_header_map(answer.headers()).unwrap();
        let error = ApiError::from_status(&status);
        assert_eq!(error.code, Code::Unimplemented);
        assert!(
            error.message.contains("IntakeService/Submit") && error.message.contains("reflection"),
            "{error}"
        );
    }

    #[test]
    fn an_id_that_could_be_a_patients_is_replaced() {
        let taken = |id: &'static str| {
            let headers = HeaderMap::from_iter([(REQUEST_ID, HeaderValue::from_static(id))]);
            request_id(&headers) == id
        };
        assert!(taken("req-1") && taken("9434765918"));
        for id in ["9434765919", "visit-943-476-5919", "a b", ""] {
            assert!(!taken(id), "{id}");
        }
    }

    #[test]
    fn a_timeout_is_digits_and_a_unit() {
        let parse = |text: &'static str| parse_timeout(&HeaderValue::from_static(text));
        assert_eq!(parse("5S"), Some(Duration::from_secs(5)));
        assert_eq!(parse("100m"), Some(Duration::from_millis(100)));
        assert_eq!(parse("123456789S"), None);
        assert_eq!(parse("S"), None);
        assert_eq!(parse("5"), None);
        assert_eq!(parse(""), None);
    }
}
