//! The port that turns credentials into a principal.
//!
//! Never looks at what is asked for, and never prints what was presented.

use std::fmt;

use jiff::civil::Date;
use thiserror::Error;

use crate::Principal;

/// Text that must not be printed. `Debug` and `Display` mask it; [`Secret::expose`] is the one way to it, and easy to search for.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes charge of a secret.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// What a caller presents, and the day on which it does.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The `authorization` header as it came, when there was one.
    authorization: Option<Secret>,
    /// Today, so that keys can expire without a clock in here.
    today: Date,
}

impl Credentials {
    /// From the value of the `authorization` header.
    #[must_use]
    pub fn new(authorization: Option<&str>, today: Date) -> Self {
        Self {
            authorization: authorization.map(Secret::new),
            today,
        }
    }

    /// The day on which they are presented.
    #[must_use]
    pub fn today(&self) -> Date {
        self.today
    }

    /// The bearer token.
    ///
    /// # Errors
    /// [`Unauthenticated::Missing`] without a header, [`Unauthenticated::NotBearer`] for another scheme.
    pub fn bearer(&self) -> Result<&str, Unauthenticated> {
        let header = self
            .authorization
            .as_ref()
            .ok_or(Unauthenticated::Missing)?
            .expose();
        let (scheme, token) = header.split_once(' ').ok_or(Unauthenticated::NotBearer)?;
        let token = token.trim();
        if scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() {
            Ok(token)
        } else {
            Err(Unauthenticated::NotBearer)
        }
    }
}

/// Why nobody could be recognised.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Unauthenticated {
    /// No header.
    #[error("no credentials: send the header `authorization: Bearer <key>`")]
    Missing,
    /// Another scheme than bearer.
    #[error("the authorization header has to have the form `Bearer <key>`")]
    NotBearer,
    /// Not a key of this service.
    #[error(
        "the key is not known here: check that it is complete and was issued for this service, or ask its operator for a new one"
    )]
    Unknown,
    /// A key that was valid once.
    #[error(
        "the key of `{name}` was valid until {expired}: ask the operator of this service for a new one"
    )]
    Expired {
        /// Whose.
        name: String,
        /// Last day on which it was valid.
        expired: Date,
    },
}

impl Unauthenticated {
    /// A stable code.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Missing => "CREDENTIALS_MISSING",
            Self::NotBearer => "CREDENTIALS_NOT_BEARER",
            Self::Unknown => "KEY_UNKNOWN",
            Self::Expired { .. } => "KEY_EXPIRED",
        }
    }
}

/// Recognises callers. Called for every request, so that it must neither block nor wait.
pub trait Authenticator: Send + Sync {
    /// The principal that the credentials belong to.
    ///
    /// # Errors
    /// Why nobody could be recognised, in words that give nothing away.
    fn authenticate(&self, credentials: &Credentials) -> Result<Principal, Unauthenticated>;
}
