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
    match (read(from, "from"), read(to, "to")).together()? {
        (Some(first), Some(last)) if first > last => {
            let what =
                format!("`from` ({first}) is after `to` ({last}): swap them, or leave one out");
            Err(ApiError::invalid([Problem::new(
                "EMPTY_INTERVAL",
                "from",
                what,
            )]))
        }
        read => Ok(read),
    }
}

/// A node stands in a tree: neither is asked for alone. `above` is what their pointers start with.
///
/// # Errors
/// `TREE_MISSING` or `NODE_MISSING`, at what was left out.
pub fn tree_of_node(tree: &str, node: &str, above: &str) -> Result<(), ApiError> {
    if tree.is_empty() && !node.is_empty() {
        let what = format!(
            "`node_code` ({node}) is stated and `tree` is not: name the tree that the node stands in, or leave out both"
        );
        let field = format!("{above}tree");
        return Err(ApiError::invalid([Problem::new(
            "TREE_MISSING",
            field,
            what,
        )]));
    }
    if !tree.is_empty() && node.is_empty() {
        let what = format!(
            "`tree` ({tree}) is stated and `node_code` is not: name the node at and below which organisations are meant, or leave out both"
        );
        let field = format!("{above}node_code");
        return Err(ApiError::invalid([Problem::new(
            "NODE_MISSING",
            field,
            what,
        )]));
    }
    Ok(())
}

/// Fields that were read one by one: all values, or all that is wrong with any of them.
pub trait Together {
    /// The values.
    type Values;

    /// All values.
    ///
    /// # Errors
    /// The only error as it is, or the faults of all of them.
    fn together(self) -> Result<Self::Values, ApiError>;
}

macro_rules! together {
    ($($name:ident)+) => {
        impl<$($name),+> Together for ($(Result<$name, ApiError>,)+) {
            type Values = ($($name,)+);

            #[allow(non_snake_case, reason = "the variables are named as their types are")]
            fn together(self) -> Result<Self::Values, ApiError> {
                let ($($name,)+) = self;
                let mut errors = Vec::new();
                $(let $name = $name.map_err(|error| errors.push(error)).ok();)+
                match ($($name,)+) {
                    ($(Some($name),)+) => Ok(($($name,)+)),
                    _ => Err(all_of(errors)),
                }
            }
        }
    };
}

together!(A B);
together!(A B C);
together!(A B C D);
together!(A B C D E);
together!(A B C D E F);

fn all_of(mut errors: Vec<ApiError>) -> ApiError {
    if errors.len() == 1 {
        return errors.remove(0);
    }
    let problems = errors.into_iter().flat_map(|error| error.problems);
    ApiError::invalid(problems)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_fields_that_can_not_be_read_are_told_at_once() {
        let read = |period, day| {
            (
                required::<Period>(period, "period", "PERIOD_INVALID"),
                optional::<Period>("", "until", "PERIOD_INVALID"),
                required::<jiff::civil::Date>(day, "as_of", "DAY_INVALID"),
            )
                .together()
        };
        let error = read("soon", "now").unwrap_err();
        let fields: Vec<&str> = error.problems.iter().map(|p| &*p.field).collect();
        assert_eq!(fields, ["period", "as_of"]);
        let one = read("soon", "2012-03-15").unwrap_err();
        assert_eq!(one.problems.len(), 1);
        assert_eq!(read("2012-03", "2012-03-15").unwrap().1, None);
    }

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
