//! Reading the text fields of a request: what can't be read is named with its field and the form that it should have.

use std::fmt::Display;
use std::str::FromStr;

use qipp_api::error::ApiError;
use qipp_domain::Period;
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

/// First and last month of a query; each may be empty. All that is wrong with them at once.
///
/// # Errors
/// `PERIOD_INVALID` at either, and `EMPTY_INTERVAL` when the first is after the last: that would be answered with nothing, as if there
/// were no figures.
pub fn months(from: &str, to: &str) -> Result<(Option<Period>, Option<Period>), ApiError> {
    let read = |text, field| optional::<Period>(text, field, "PERIOD_INVALID");
    match (read(from, "from"), read(to, "to")) {
        (Ok(Some(first)), Ok(Some(last))) if first > last => {
            let what =
                format!("`from` ({first}) is after `to` ({last}): swap them, or leave one out");
            Err(ApiError::invalid([Problem::new(
                "EMPTY_INTERVAL",
                "from",
                what,
            )]))
        }
        (Ok(first), Ok(last)) => Ok((first, last)),
        (Err(one), Err(other)) => Err(ApiError::invalid([one.problems, other.problems].concat())),
        (Err(one), Ok(_)) | (Ok(_), Err(one)) => Err(one),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_that_are_the_wrong_way_round_are_refused_and_not_answered_with_nothing() {
        let codes = |from, to| -> Vec<(String, String)> {
            let error = months(from, to).unwrap_err();
            let told = error.problems.into_iter();
            told.map(|p| (p.code.into_owned(), p.field)).collect()
        };
        let owned = |code: &str, field: &str| (code.to_owned(), field.to_owned());
        assert_eq!(
            codes("2012-03", "2012-02"),
            [owned("EMPTY_INTERVAL", "from")]
        );
        let both = [
            owned("PERIOD_INVALID", "from"),
            owned("PERIOD_INVALID", "to"),
        ];
        assert_eq!(codes("2012", "soon"), both);
        let error = months("2012-03", "2012-02").unwrap_err();
        assert!(error.message.contains("`to`"), "{error}");
        assert!(months("2012-03", "2012-03").is_ok());
        assert_eq!(months("", "2012-03").unwrap().0, None);
    }
}
