//! The one error model: what a caller is told when something is refused or fails, over gRPC and over HTTP alike.
//!
//! A code says what kind of thing happened and maps to both protocols in one place. A reason is stable and for programs; a message
//! is for people and says what to do. It never carries a stack, a path or anything about another caller.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};

/// The domain of every reason in `google.rpc.ErrorInfo`.
pub const ERROR_DOMAIN: &str = "qipp.nhs.uk";

/// Most bytes of field violations in a gRPC status. Details travel as a trailer in base 64, and common clients refuse more than
/// 8 KiB of those. HTTP answers and the stream of `SubmitReturns` carry every problem.
const MAX_VIOLATION_BYTES: usize = 4_500;

/// Most characters of a message.
const MAX_MESSAGE: usize = 500;

/// What kind of thing happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names are those of gRPC and mean the same")]
pub enum Code {
    InvalidArgument,
    OutOfRange,
    Unauthenticated,
    PermissionDenied,
    NotFound,
    AlreadyExists,
    Aborted,
    FailedPrecondition,
    ResourceExhausted,
    Cancelled,
    DeadlineExceeded,
    Unavailable,
    Unimplemented,
    Internal,
}

impl Code {
    /// Every code with its name, its gRPC code and its HTTP status. The one place where they meet.
    const TABLE: [(Self, &'static str, tonic::Code, u16); 14] = [
        (
            Self::InvalidArgument,
            "INVALID_ARGUMENT",
            tonic::Code::InvalidArgument,
            400,
        ),
        (
            Self::OutOfRange,
            "OUT_OF_RANGE",
            tonic::Code::OutOfRange,
            400,
        ),
        (
            Self::Unauthenticated,
            "UNAUTHENTICATED",
            tonic::Code::Unauthenticated,
            401,
        ),
        (
            Self::PermissionDenied,
            "PERMISSION_DENIED",
            tonic::Code::PermissionDenied,
            403,
        ),
        (Self::NotFound, "NOT_FOUND", tonic::Code::NotFound, 404),
        (
            Self::AlreadyExists,
            "ALREADY_EXISTS",
            tonic::Code::AlreadyExists,
            409,
        ),
        (Self::Aborted, "ABORTED", tonic::Code::Aborted, 409),
        // Not 400: the request is well formed, and it is the state of the thing that does not allow it.
        (
            Self::FailedPrecondition,
            "FAILED_PRECONDITION",
            tonic::Code::FailedPrecondition,
            409,
        ),
        (
            Self::ResourceExhausted,
            "RESOURCE_EXHAUSTED",
            tonic::Code::ResourceExhausted,
            429,
        ),
        (Self::Cancelled, "CANCELLED", tonic::Code::Cancelled, 499),
        (Self::Internal, "INTERNAL", tonic::Code::Internal, 500),
        (
            Self::Unimplemented,
            "UNIMPLEMENTED",
            tonic::Code::Unimplemented,
            501,
        ),
        (
            Self::Unavailable,
            "UNAVAILABLE",
            tonic::Code::Unavailable,
            503,
        ),
        (
            Self::DeadlineExceeded,
            "DEADLINE_EXCEEDED",
            tonic::Code::DeadlineExceeded,
            504,
        ),
    ];

    fn row(self) -> (Self, &'static str, tonic::Code, u16) {
        *Self::TABLE
            .iter()
            .find(|row| row.0 == self)
            .expect("the table holds every code: tested")
    }

    /// The name, as in gRPC.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().1
    }

    /// The gRPC code.
    #[must_use]
    pub fn grpc(self) -> tonic::Code {
        self.row().2
    }

    /// The HTTP status.
    #[must_use]
    pub fn http(self) -> u16 {
        self.row().3
    }

    /// The code of a gRPC code. Those that say nothing to a caller are internal.
    #[must_use]
    pub fn from_grpc(code: tonic::Code) -> Self {
        Self::TABLE
            .iter()
            .find(|row| row.2 == code)
            .map_or(Self::Internal, |row| row.0)
    }

    /// The code of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::TABLE
            .iter()
            .find(|row| row.1 == name)
            .map(|row| row.0)
    }

    /// May the same call succeed when it is sent again, without any change?
    #[must_use]
    pub fn is_transient(self) -> bool {
        matches!(
            self,
            Self::Unavailable | Self::DeadlineExceeded | Self::Aborted
        )
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// One fault of a request. Like the domain's problem, except that one which came over the wire owns its code.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Stable code.
    pub code: Cow<'static, str>,
    /// Pointer into the message.
    pub field: String,
    /// What is wrong, and what to do about it.
    pub description: String,
}

impl Problem {
    /// In one sentence; what has no place in particular is told without one.
    fn told(&self) -> String {
        match self.field.as_str() {
            "" => self.description.clone(),
            field => format!("{field}: {}", self.description),
        }
    }
}

impl From<qipp_domain::validate::Problem> for Problem {
    fn from(problem: qipp_domain::validate::Problem) -> Self {
        Self {
            code: problem.code.into(),
            field: problem.field,
            description: problem.description,
        }
    }
}

/// The codes of the faults of a return or a scheme that could not even be read, as an extension of the HTTP answer that refuses it: for
/// whoever counts faults. Those that a service found it has counted itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FormFaults(pub Vec<Cow<'static, str>>);

/// What a caller is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    /// What kind of thing happened.
    pub code: Code,
    /// Stable, in upper case, for programs.
    pub reason: Cow<'static, str>,
    /// For people: what happened and what to do.
    pub message: String,
    /// Faults of the request, field by field.
    pub problems: Vec<Problem>,
    /// When to try again.
    pub retry_after: Option<Duration>,
}

impl ApiError {
    /// An error with a stable reason and a message for people.
    pub fn new(code: Code, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            reason: reason.into(),
            message: message.into(),
            problems: Vec::new(),
            retry_after: None,
        }
    }

    /// The request has faults (`INVALID_REQUEST`). The message counts them and tells the first.
    pub fn invalid<P: Into<Problem>>(problems: impl IntoIterator<Item = P>) -> Self {
        let problems: Vec<Problem> = problems.into_iter().map(Into::into).collect();
        let message = match problems.as_slice() {
            [] => "the request is not valid".to_owned(),
            [only] => only.told(),
            [first, ..] => format!("{} faults, the first: {}", problems.len(), first.told()),
        };
        Self {
            problems,
            ..Self::new(Code::InvalidArgument, "INVALID_REQUEST", message)
        }
    }

    /// One field of the request has a fault; its code is the reason too.
    pub fn invalid_field(
        code: &'static str,
        field: impl Into<String>,
        description: impl Into<String>,
    ) -> Self {
        let problem = Problem {
            code: code.into(),
            field: field.into(),
            description: description.into(),
        };
        Self {
            reason: code.into(),
            ..Self::invalid([problem])
        }
    }

    /// There is no such thing: `what` it is (an organisation, an alert, …) and the key it was sought by.
    pub fn not_found(what: &str, key: impl fmt::Display) -> Self {
        Self::new(
            Code::NotFound,
            "NOT_FOUND",
            format!("there is no {what} {key}"),
        )
    }

    /// No credentials, or unknown ones (`UNAUTHENTICATED`).
    pub fn unauthenticated(message: impl Into<String>) -> Self {
        Self::new(Code::Unauthenticated, "UNAUTHENTICATED", message)
    }

    /// The caller may not do that.
    pub fn denied(reason: &'static str, message: impl Into<String>) -> Self {
        Self::new(Code::PermissionDenied, reason, message)
    }

    /// The state of the thing does not allow it.
    pub fn precondition(reason: &'static str, message: impl Into<String>) -> Self {
        Self::new(Code::FailedPrecondition, reason, message)
    }

    /// Too large, too many, or no room left.
    pub fn exhausted(reason: &'static str, message: impl Into<String>) -> Self {
        Self::new(Code::ResourceExhausted, reason, message)
    }

    /// Not now: try again.
    pub fn unavailable(
        reason: &'static str,
        message: impl Into<String>,
        retry_after: Duration,
    ) -> Self {
        Self::new(Code::Unavailable, reason, message).retry_after(retry_after)
    }

    /// The time for the call ran out.
    pub fn deadline(reason: &'static str, message: impl Into<String>) -> Self {
        Self::new(Code::DeadlineExceeded, reason, message)
    }

    /// Not built.
    pub fn unimplemented(message: impl Into<String>) -> Self {
        Self::new(Code::Unimplemented, "UNIMPLEMENTED", message)
    }

    /// A fault of ours. The caller is told no more than that: the cause belongs in the log, under the request id.
    #[must_use]
    pub fn internal() -> Self {
        let message = "something went wrong on our side: tell the operator the request id";
        Self::new(Code::Internal, "INTERNAL", message)
    }

    /// With a time to wait before trying again.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// For gRPC, with google.rpc details: ErrorInfo, RequestInfo, and where they apply BadRequest and RetryInfo.
    ///
    /// A status has little room (see `MAX_VIOLATION_BYTES`): of very many problems the first ones travel, and the metadata of
    /// ErrorInfo says under `problems` how many there are.
    #[must_use]
    pub fn into_status(self, request_id: &str) -> tonic::Status {
        let mut details = ErrorDetails::new();
        let mut metadata = std::collections::HashMap::new();
        if !self.problems.is_empty() {
            metadata.insert("problems".to_owned(), self.problems.len().to_string());
            details.set_bad_request(violations(&self.problems));
        }
        details.set_error_info(self.reason, ERROR_DOMAIN, metadata);
        details.set_request_info(request_id, "");
        if let Some(wait) = self.retry_after {
            details.set_retry_info(Some(wait));
        }
        let message: String = self.message.chars().take(MAX_MESSAGE).collect();
        tonic::Status::with_error_details(self.code.grpc(), message, details)
    }

    /// The way back, for clients. A status that was not made here keeps its code and message, and its code's name is the reason.
    #[must_use]
    pub fn from_status(status: &tonic::Status) -> Self {
        let code = Code::from_grpc(status.code());
        let info = status
            .get_details_error_info()
            .filter(|info| !info.reason.is_empty());
        let reason = info.map_or(Cow::Borrowed(code.name()), |info| Cow::Owned(info.reason));
        let violations = status
            .get_details_bad_request()
            .map(|bad| bad.field_violations)
            .unwrap_or_default();
        let problem = |violation: FieldViolation| Problem {
            code: violation.reason.into(),
            field: violation.field,
            description: violation.description,
        };
        Self {
            code,
            reason,
            message: status.message().to_owned(),
            problems: violations.into_iter().map(problem).collect(),
            retry_after: status
                .get_details_retry_info()
                .and_then(|info| info.retry_delay),
        }
    }

    /// For HTTP. The status is [`Code::http`].
    #[must_use]
    pub fn to_json(&self, request_id: &str) -> Value {
        let problem =
            |p: &Problem| json!({ "code": p.code, "field": p.field, "description": p.description });
        let mut error = json!({
            "code": self.code.name(),
            "reason": self.reason,
            "message": self.message,
            "requestId": request_id,
            "problems": self.problems.iter().map(problem).collect::<Vec<_>>(),
        });
        if let Some(seconds) = self.retry_after_seconds() {
            error["retryAfterSeconds"] = seconds.into();
        }
        json!({ "error": error })
    }

    /// Whole seconds to wait before trying again, rounded up, for `Retry-After`.
    #[must_use]
    pub fn retry_after_seconds(&self) -> Option<u64> {
        self.retry_after
            .map(|wait| wait.as_secs() + u64::from(wait.subsec_nanos() > 0))
    }
}

/// Did a service of ours say this, and not what lies between: the transport, a proxy?
#[must_use]
pub fn is_of_service(status: &tonic::Status) -> bool {
    let info = status.get_details_error_info();
    info.is_some_and(|info| info.domain == ERROR_DOMAIN)
}

/// The request id that a status carries.
#[must_use]
pub fn request_id_of(status: &tonic::Status) -> Option<String> {
    status
        .get_details_request_info()
        .map(|info| info.request_id)
}

fn violations(problems: &[Problem]) -> Vec<FieldViolation> {
    let mut room = MAX_VIOLATION_BYTES;
    let mut fits = |problem: &&Problem| {
        // Tags and lengths of a violation take some ten bytes.
        let size = problem.code.len() + problem.field.len() + problem.description.len() + 16;
        let fits = size <= room;
        room = room.saturating_sub(size);
        fits
    };
    let violation = |problem: &Problem| FieldViolation {
        field: problem.field.clone(),
        description: problem.description.clone(),
        reason: problem.code.to_string(),
        localized_message: None,
    };
    problems
        .iter()
        .take_while(&mut fits)
        .map(violation)
        .collect()
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.code, self.reason, self.message)
    }
}

impl std::error::Error for ApiError {}

impl From<Vec<qipp_domain::validate::Problem>> for ApiError {
    fn from(problems: Vec<qipp_domain::validate::Problem>) -> Self {
        Self::invalid(problems)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_maps_to_both_protocols() {
        for (code, name, grpc, _) in Code::TABLE {
            assert_eq!(
                (Code::from_name(name), Code::from_grpc(grpc)),
                (Some(code), code)
            );
        }
        // A code that is missing from the table would panic here: the match makes the compiler point at it.
        match Code::Internal {
            Code::InvalidArgument
            | Code::OutOfRange
            | Code::Unauthenticated
            | Code::PermissionDenied
            | Code::NotFound => {}
            Code::AlreadyExists
            | Code::Aborted
            | Code::FailedPrecondition
            | Code::ResourceExhausted
            | Code::Cancelled => {}
            Code::DeadlineExceeded | Code::Unavailable | Code::Unimplemented | Code::Internal => {}
        }
        assert_eq!(Code::TABLE.len(), 14);
        assert_eq!(Code::from_grpc(tonic::Code::DataLoss), Code::Internal);
        assert_eq!(Code::FailedPrecondition.http(), 409);
    }

    fn two_problems() -> ApiError {
        let problem = |code, field| {
            qipp_domain::validate::Problem::new(code, field, "is wrong: put it right")
        };
        ApiError::invalid([
            problem("BAD_PERIOD", "return.period"),
            problem("BAD_ORG_CODE", "return.org_code"),
        ])
    }

    #[test]
    fn an_error_comes_back_from_a_status() {
        let error = two_problems();
        let status = error.clone().into_status("req-1");
        assert_eq!(request_id_of(&status).as_deref(), Some("req-1"));
        assert_eq!(
            status.get_details_error_info().unwrap().domain,
            ERROR_DOMAIN
        );
        assert_eq!(ApiError::from_status(&status), error);
        let error = ApiError::unavailable(
            "STARTING",
            "the state is still being read: try again",
            Duration::from_millis(1500),
        );
        assert_eq!(
            ApiError::from_status(&error.clone().into_status("req-2")),
            error
        );
    }

    #[test]
    fn a_status_of_somebody_else_is_understood_too() {
        let error = ApiError::from_status(&tonic::Status::unavailable("connection refused"));
        assert_eq!(
            (error.code, &*error.reason, error.message.as_str()),
            (Code::Unavailable, "UNAVAILABLE", "connection refused")
        );
        assert!(!is_of_service(&tonic::Status::unavailable(
            "connection refused"
        )));
        assert!(is_of_service(&two_problems().into_status("")));
        assert!(error.code.is_transient());
    }

    #[test]
    fn very_many_problems_fit_a_status_and_are_counted() {
        let problem = |i| {
            qipp_domain::validate::Problem::new(
                "NEGATIVE",
                format!("return.quality.observations[{i}]"),
                "x".repeat(80),
            )
        };
        let status = ApiError::invalid((0..20_000).map(problem)).into_status("req");
        assert!(status.details().len() < 6_000, "{}", status.details().len());
        assert_eq!(
            status.get_details_error_info().unwrap().metadata["problems"],
            "20000"
        );
        assert!(status.message().starts_with("20000 faults"));
    }

    #[test]
    fn http_says_the_same() {
        let json = two_problems()
            .retry_after(Duration::from_millis(1200))
            .to_json("req-1");
        assert_eq!(json["error"]["code"], "INVALID_ARGUMENT");
        assert_eq!(json["error"]["reason"], "INVALID_REQUEST");
        assert_eq!(json["error"]["problems"][1]["field"], "return.org_code");
        assert_eq!(json["error"]["requestId"], "req-1");
        assert_eq!(json["error"]["retryAfterSeconds"], 2);
    }
}
