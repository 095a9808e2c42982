//! Who calls, under which request id, and until when.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderMap, HeaderValue};
use qipp_access::{Authenticator, Credentials, Denied, Principal, Target};
use qipp_api::error::{ApiError, Code};
use qipp_domain::OrgCode;
use qipp_domain::completeness::day_of_ms;
use qipp_domain::reference::Reference;
use qipp_eventlog::Clock;
use tokio::time::Instant;
use tracing::Instrument;

/// How long a call may take when it does not say.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// The longest that a call may ask for.
const MAX_TIMEOUT: Duration = Duration::from_secs(600);

const REQUEST_ID: &str = "x-request-id";

/// What the middleware needs: who can be let in.
#[derive(Clone)]
pub struct Gate {
    /// Turns credentials into a principal.
    pub authenticator: Arc<dyn Authenticator>,
    /// Keys expire by it.
    pub clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gate")
            .field("clock", &self.clock)
            .finish_non_exhaustive()
    }
}

/// The call as the services see it.
#[derive(Clone, Debug)]
pub struct Caller {
    /// On whose behalf.
    pub principal: Arc<Principal>,
    /// For the logs and for the answer's errors.
    pub request_id: String,
    /// When the caller stops waiting.
    pub deadline: Instant,
    /// Full name of the rpc, for example `qipp.intake.v1.IntakeService/SubmitReturn`.
    pub method: String,
}

impl Caller {
    /// The caller of a request that came through [`identify`].
    ///
    /// # Errors
    /// UNAUTHENTICATED when it did not.
    pub fn of<T>(request: &tonic::Request<T>) -> Result<Self, tonic::Status> {
        let missing = || {
            ApiError::new(
                Code::Unauthenticated,
                "NO_CREDENTIALS",
                "the call did not say who makes it",
            )
        };
        request
            .extensions()
            .get::<Self>()
            .cloned()
            .ok_or_else(|| missing().into_status(""))
    }

    /// Checks the policy.
    ///
    /// # Errors
    /// PERMISSION_DENIED with what is missing and whom to ask.
    pub fn may(&self, target: Target, reference: &Reference) -> Result<(), ApiError> {
        qipp_access::check(&self.principal, &self.method, target, reference).map_err(denied)
    }

    /// May the principal see what belongs to the organisation? For cutting down lists.
    #[must_use]
    pub fn sees(&self, org: OrgCode, reference: &Reference) -> bool {
        qipp_access::visible(&self.principal, org, reference)
    }

    /// An error as the status that goes back, with the request id.
    #[must_use]
    pub fn status(&self, error: ApiError) -> tonic::Status {
        if error.code == Code::Internal {
            tracing::error!(request_id = %self.request_id, method = %self.method, error = %error.message, "call failed");
        }
        error.into_status(&self.request_id)
    }

    /// Waits for something until the deadline.
    ///
    /// # Errors
    /// DEADLINE_EXCEEDED with `reason` and `what` was waited for.
    pub async fn within<F: Future>(
        &self,
        reason: &'static str,
        what: &str,
        future: F,
    ) -> Result<F::Output, ApiError> {
        tokio::time::timeout_at(self.deadline, future)
            .await
            .map_err(|_| {
                ApiError::new(
                    Code::DeadlineExceeded,
                    reason,
                    format!("{what} did not come before the call's deadline"),
                )
            })
    }
}

/// Middleware before the services: gives every call a request id and a deadline, and lets in who is known.
///
/// Health checks and reflection pass without credentials: they say nothing about any organisation.
pub async fn identify(State(gate): State<Gate>, mut request: Request, next: Next) -> Response {
    let request_id = request_id(request.headers());
    let method = request.uri().path().trim_start_matches('/').to_owned();
    let span = tracing::info_span!("call", %method, %request_id, principal = tracing::field::Empty);
    if method.starts_with("qipp.") {
        match admit(&gate, request.headers(), &request_id, &method) {
            Ok(caller) => {
                span.record("principal", caller.principal.name.as_str());
                request.extensions_mut().insert(caller);
            }
            Err(error) => {
                return with_request_id(
                    error
                        .into_status(&request_id)
                        .into_http::<axum::body::Body>(),
                    &request_id,
                );
            }
        }
    }
    let response = next.run(request).instrument(span).await;
    let response = match refused_by_transport(&method, response.headers()) {
        Some(error) => error
            .into_status(&request_id)
            .into_http::<axum::body::Body>(),
        None => response,
    };
    with_request_id(response, &request_id)
}

/// What the transport refused before a service saw it. Every error of a service carries details, those of the transport carry none.
fn refused_by_transport(method: &str, headers: &HeaderMap) -> Option<ApiError> {
    let status = tonic::Status::from_header_map(headers).filter(|_| method.starts_with("qipp."))?;
    let is_its_own = status.code() != tonic::Code::Ok && status.details().is_empty();
    is_its_own.then(|| transport_fault(&status))
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
            format!("{what}: build it from the contract in proto/"),
        ),
        _ => ApiError::from_status(status),
    }
}

fn admit(
    gate: &Gate,
    headers: &HeaderMap,
    request_id: &str,
    method: &str,
) -> Result<Caller, ApiError> {
    let timeout = match headers.get("grpc-timeout") {
        None => DEFAULT_TIMEOUT,
        Some(value) => parse_timeout(value).ok_or_else(|| {
            let what = "grpc-timeout is digits and a unit (H, M, S, m, u or n), for example 5S";
            ApiError::new(Code::InvalidArgument, "TIMEOUT_INVALID", what)
        })?,
    };
    let authorization = headers
        .get("authorization")
        .and_then(|value| value.to_str().ok());
    let credentials = Credentials::new(authorization, day_of_ms(gate.clock.now_ms()));
    let principal = gate
        .authenticator
        .authenticate(&credentials)
        .map_err(|refused| {
            ApiError::new(Code::Unauthenticated, refused.reason(), refused.to_string())
        })?;
    Ok(Caller {
        principal: Arc::new(principal),
        request_id: request_id.to_owned(),
        deadline: Instant::now() + timeout.min(MAX_TIMEOUT),
        method: method.to_owned(),
    })
}

/// The caller's request id when it is short and printable, or one of our own.
fn request_id(headers: &HeaderMap) -> String {
    let given = headers
        .get(REQUEST_ID)
        .and_then(|value| value.to_str().ok());
    let usable = given
        .filter(|id| !id.is_empty() && id.len() <= 64 && id.bytes().all(|b| b.is_ascii_graphic()));
    usable.map_or_else(|| format!("{:032x}", rand::random::<u128>()), str::to_owned)
}

fn with_request_id<B>(
    mut response: http::Response<B>,
    request_id: &str,
) -> http::Response<axum::body::Body>
where
    B: http_body::Body<Data = axum::body::Bytes> + Send + 'static,
    B::Error: Into<axum::BoxError>,
{
    if let Ok(value) = HeaderValue::from_str(request_id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response.map(axum::body::Body::new)
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

/// A refusal as an error.
#[must_use]
pub fn denied(denied: Denied) -> ApiError {
    ApiError::new(Code::PermissionDenied, denied.reason.code(), denied.message)
}

#[cfg(test)]
mod tests {
    use super::*;

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
