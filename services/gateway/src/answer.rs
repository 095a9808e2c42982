//! Answers: JSON, and the one form of an error.
//!
//! An error is an [`ApiError`], whose JSON and whose HTTP status are decided in `qipp_api`. Only what gRPC has no word for (a method that an
//! address does not take, a body that is too large) has a status of its own here. Never adds to what a service says.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use qipp_api::error::{ApiError, Code, FormFaults};
use tonic::Status;

/// Why there is no answer.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    http: StatusCode,
    pub(crate) error: ApiError,
    /// Boxed, because hardly any failure has one.
    counted: Option<Box<FormFaults>>,
}

impl Failure {
    /// A failure with a status that its code alone does not give.
    pub(crate) fn new(
        http: StatusCode,
        code: Code,
        reason: &'static str,
        message: impl Into<String>,
    ) -> Self {
        Self {
            http,
            error: ApiError::new(code, reason, message),
            counted: None,
        }
    }

    /// With the faults that no service has seen.
    pub(crate) fn counting(self, counted: FormFaults) -> Self {
        Self {
            counted: Some(Box::new(counted)),
            ..self
        }
    }

    /// A request that cannot be read.
    pub(crate) fn invalid(reason: &'static str, message: impl Into<String>) -> Self {
        ApiError::new(Code::InvalidArgument, reason, message).into()
    }

    /// The whole answer.
    pub(crate) fn into_response(self, request_id: &str) -> Response {
        let mut response = json_response(self.http, self.error.to_json(request_id).to_string());
        // For whoever counts answers by their codes.
        response.extensions_mut().insert(self.error.code);
        if let Some(counted) = self.counted {
            response.extensions_mut().insert(*counted);
        }
        if let Some(seconds) = self.error.retry_after_seconds() {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.http == StatusCode::UNAUTHORIZED {
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        Self {
            http: StatusCode::from_u16(error.code.http())
                .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            error,
            counted: None,
        }
    }
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        ApiError::from_status(&status).into()
    }
}

/// A JSON answer. Figures are official-sensitive until they are published: nobody in between keeps them.
pub(crate) fn json_response(status: StatusCode, text: impl Into<Body>) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (status, headers, text.into()).into_response()
}
