//! Codes that cannot be wrong: short, copied by value, ordered and hashed by their text.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

/// Why a text is not a code.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{text}` is not {what}: it has to be {rule}")]
pub struct CodeError {
    /// What was given, cut to 40 characters.
    pub text: String,
    /// What it should have been, for example `an organisation code`.
    pub what: &'static str,
    /// The form in words.
    pub rule: &'static str,
}

/// Text of at most `N` ASCII characters, kept in place so that series keys are copied without allocation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Inline<const N: usize>([u8; N]);

impl<const N: usize> Inline<N> {
    pub(crate) fn new(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        if bytes.len() > N || !text.is_ascii() || bytes.contains(&0) {
            return None;
        }
        let mut held = [0; N];
        held[..bytes.len()].copy_from_slice(bytes);
        Some(Self(held))
    }

    pub(crate) fn as_str(&self) -> &str {
        let end = self.0.iter().position(|&b| b == 0).unwrap_or(N);
        std::str::from_utf8(&self.0[..end]).expect("only ASCII is ever stored")
    }
}

/// Reads a code from text that is only borrowed.
pub(crate) struct CodeVisitor<T>(
    pub(crate) fn(&str) -> Result<T, CodeError>,
    pub(crate) &'static str,
);

impl<T> serde::de::Visitor<'_> for CodeVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.1)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        (self.0)(text).map_err(E::custom)
    }
}

macro_rules! code {
    ($(#[$doc:meta])* $name:ident, $len:literal, $min:literal, $what:literal, $rule:literal, $accept:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Inline<$len>);

        impl $name {
            /// Before all codes, and none itself: where a range of codes begins.
            #[allow(dead_code, reason = "not every kind of code is looked up by range")]
            pub(crate) const LEAST: Self = Self(Inline([0; $len]));

            /// Parses the code.
            ///
            /// # Errors
            /// [`CodeError`] when the text does not have the form.
            pub fn new(text: &str) -> Result<Self, CodeError> {
                let fits = text.len() >= $min && text.len() <= $len && text.bytes().all($accept);
                fits.then(|| Inline::new(text)).flatten().map(Self).ok_or_else(|| CodeError {
                    text: text.chars().take(40).collect(),
                    what: $what,
                    rule: $rule,
                })
            }

            /// The text of the code.
            #[must_use]
            pub fn as_str(&self) -> &str {
                self.0.as_str()
            }
        }

        impl FromStr for $name {
            type Err = CodeError;
            fn from_str(text: &str) -> Result<Self, CodeError> {
                Self::new(text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str(CodeVisitor(Self::new, $what))
            }
        }
    };
}

code!(
    /// ODS code of an organisation. Never reused.
    OrgCode, 12, 2, "an organisation code", "2 to 12 of A-Z and 0-9",
    |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit()
);
code!(
    /// Code of a marker, for example `AE_4H`.
    MarkerCode, 24, 1, "a marker code", "1 to 24 of A-Z, 0-9 and `_`",
    |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_'
);
code!(
    /// Identifier of a scheme within its organisation.
    SchemeId, 32, 1, "a scheme identifier", "1 to 32 of A-Z, 0-9, `-` and `_`",
    |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'-' || b == b'_'
);
code!(
    /// Name of a tree, a community or an organisation kind.
    Slug, 32, 1, "a name", "1 to 32 of a-z, 0-9 and `_`",
    |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn organisation_codes_are_ods_codes() {
        for good in ["5A3", "RJ1", "Q30", "YDD82", "AD913", "X2C4Y"] {
            assert_eq!(OrgCode::new(good).unwrap().as_str(), good);
        }
        for bad in ["", "R", "rj1", "RJ 1", "-", "RJ1\0", "ÄÄ", "ABCDEFGHIJKLM"] {
            assert!(OrgCode::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn codes_order_as_their_text() {
        let mut codes = ["RJ1", "5A3", "RJ10", "RA2"].map(|c| OrgCode::new(c).unwrap());
        codes.sort();
        assert_eq!(codes.map(|c| c.to_string()), ["5A3", "RA2", "RJ1", "RJ10"]);
    }
}
