//! What can go wrong, under a code that stays, with what to do about it.

use std::fmt::{self, Display};

/// What kind of thing went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// Java or Maven is not there, or too old.
    ToolMissing,
    /// Kafka could not be fetched.
    FetchFailed,
    /// A broker did not come up, or ended by itself.
    NotReady,
    /// A broker could not listen: somebody else has taken the port.
    PortTaken,
    /// The tests were pointed at a cluster that is not theirs to kill.
    NotOurs,
    /// The node is not in the state that the call asks for, or there is no such node.
    WrongState,
    /// The system refused something.
    System,
}

impl Code {
    /// The code in words, as it is told.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ToolMissing => "KAFKA_TOOL_MISSING",
            Self::FetchFailed => "KAFKA_FETCH_FAILED",
            Self::NotReady => "KAFKA_NOT_READY",
            Self::PortTaken => "KAFKA_PORT_TAKEN",
            Self::NotOurs => "KAFKA_NOT_OURS",
            Self::WrongState => "KAFKA_WRONG_STATE",
            Self::System => "KAFKA_SYSTEM",
        }
    }
}

/// Something went wrong; the message names it and the remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// What kind of thing.
    pub code: Code,
    /// What it was, and what to do.
    pub message: String,
}

impl Error {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { code, message }
    }

    /// For `map_err`: what was being done when the system refused.
    pub(crate) fn system<E: Display>(doing: impl Display) -> impl FnOnce(E) -> Self {
        move |error| Self::new(Code::System, format!("{doing}: {error}"))
    }
}

impl Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.as_str(), self.message)
    }
}

impl std::error::Error for Error {}
