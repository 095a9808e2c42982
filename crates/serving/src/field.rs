//! Reading the text fields of a request: what can't be read is named with its field and the form that it should have.

use std::fmt::Display;
use std::str::FromStr;

use qipp_api::error::ApiError;
use qipp_domain::validate::Problem;

/// A field that has to be there.
///
/// # Errors
/// INVALID_ARGUMENT with `code` at `field`.
pub fn required<T: FromStr<Err: Display>>(
    text: &str,
    field: &str,
    code: &'static str,
) -> Result<T, ApiError> {
    text.parse().map_err(|error: T::Err| {
        ApiError::invalid(vec![Problem::new(code, field, error.to_string())])
    })
}

/// A field that may be empty.
///
/// # Errors
/// As [`required`].
pub fn optional<T: FromStr<Err: Display>>(
    text: &str,
    field: &str,
    code: &'static str,
) -> Result<Option<T>, ApiError> {
    if text.is_empty() {
        Ok(None)
    } else {
        required(text, field, code).map(Some)
    }
}
