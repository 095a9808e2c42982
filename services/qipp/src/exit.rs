//! Exit codes, and how an error gets one.

use qipp_api::error::{ApiError, Code};

/// Done.
pub const OK: u8 = 0;
/// Something failed that is none of the others.
pub const FAILED: u8 = 1;
/// The command line is wrong.
pub const USAGE: u8 = 2;
/// The input was refused: something in it has to be mended.
pub const REFUSED: u8 = 3;
/// What was asked for does not exist.
pub const NOT_FOUND: u8 = 4;
/// The key is not known, or may not do this.
pub const DENIED: u8 = 5;
/// The service can't be reached, or is busy: the same call may go through later.
pub const UNAVAILABLE: u8 = 6;
/// A check found a difference.
pub const DIFFERENT: u8 = 7;

/// What `--help` says about them.
pub const HELP: &str = "Exit codes: 0 done; 1 failed; 2 wrong command line; 3 the input was refused; 4 not found; \
5 the key is unknown or may not do this; 6 the service can't be reached or is busy; 7 a check found a difference.";

/// A failure with the exit code that it ends with.
#[derive(Debug)]
pub struct Failure {
    /// Exit code.
    pub code: u8,
    /// What to print.
    pub error: anyhow::Error,
}

impl Failure {
    /// A failure with a code of its own.
    pub fn new(code: u8, message: impl std::fmt::Display) -> Self {
        Self {
            code,
            error: anyhow::anyhow!("{message}"),
        }
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self {
            code: FAILED,
            error: error.into(),
        }
    }
}

/// What a verb returns.
pub type Outcome = Result<u8, Failure>;

/// A refusal of the service, as a person reads it.
#[must_use]
pub fn refusal(status: &tonic::Status) -> Failure {
    let error = ApiError::from_status(status);
    let code = match error.code {
        Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => REFUSED,
        Code::NotFound => NOT_FOUND,
        Code::Unauthenticated | Code::PermissionDenied => DENIED,
        Code::Unavailable | Code::DeadlineExceeded | Code::ResourceExhausted => UNAVAILABLE,
        _ => FAILED,
    };
    let mut message = format!("{} ({})", error.message, error.reason);
    for problem in &error.problems {
        message.push_str(&format!(
            "\n  {} at {}: {}",
            problem.code, problem.field, problem.description
        ));
    }
    Failure::new(code, message)
}
