//! Reading text and numbers of the wire into types that cannot be wrong, collecting every fault with a pointer to its field.
//!
//! Used for requests (all faults are answered) and for records of the log (the first fault names what is wrong). It checks form
//! only; what the reference data says is checked by `qipp_domain::validate`. It never panics and never guesses.

use std::fmt;

use jiff::civil::Date;
use qipp_domain::marker::Breakdown;
use qipp_domain::validate::Problem;
use qipp_domain::{MarkerCode, OrgCode, Period, SchemeId, Slug};

/// A pointer into a message, such as `return.quality.observations[3].marker`. Written out only when there is a fault, because a
/// rebuild reads many millions of fields that have none.
#[derive(Clone, Copy)]
pub(crate) struct Path<'a> {
    parent: Option<&'a Path<'a>>,
    name: &'a str,
    index: Option<usize>,
}

impl<'a> Path<'a> {
    /// The message itself, under the name that pointers start with.
    pub(crate) const fn root(name: &'a str) -> Self {
        Self {
            parent: None,
            name,
            index: None,
        }
    }

    /// One entry of a list that pointers start with.
    pub(crate) const fn root_item(name: &'a str, index: usize) -> Self {
        Self {
            parent: None,
            name,
            index: Some(index),
        }
    }

    /// A field of this.
    pub(crate) const fn at(&'a self, name: &'a str) -> Self {
        Self {
            parent: Some(self),
            name,
            index: None,
        }
    }

    /// An entry of this, which is a list.
    pub(crate) const fn nth(self, index: usize) -> Self {
        Self {
            index: Some(index),
            ..self
        }
    }

    /// An entry of a repeated field of this.
    pub(crate) const fn item(&'a self, name: &'a str, index: usize) -> Self {
        Self {
            parent: Some(self),
            name,
            index: Some(index),
        }
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent.filter(|parent| !parent.name.is_empty()) {
            write!(f, "{parent}.")?;
        }
        f.write_str(self.name)?;
        self.index.map_or(Ok(()), |index| write!(f, "[{index}]"))
    }
}

/// The faults found so far. Readers return `None` exactly when they have added one.
#[derive(Default)]
pub(crate) struct Faults {
    pub(crate) found: Vec<Problem>,
}

impl Faults {
    /// Adds a fault.
    pub(crate) fn add(
        &mut self,
        path: &Path<'_>,
        code: &'static str,
        description: impl Into<String>,
    ) {
        self.found
            .push(Problem::new(code, path.to_string(), description));
    }

    /// The value, if it was read without any fault at all; otherwise every fault.
    pub(crate) fn finish<T>(self, value: Option<T>) -> Result<T, Vec<Problem>> {
        match value {
            Some(value) if self.found.is_empty() => Ok(value),
            _ => Err(self.found),
        }
    }

    fn take<T>(
        &mut self,
        path: &Path<'_>,
        code: &'static str,
        read: Result<T, impl fmt::Display>,
    ) -> Option<T> {
        read.map_err(|error| self.add(path, code, error.to_string()))
            .ok()
    }

    /// An organisation code.
    pub(crate) fn org(&mut self, path: &Path<'_>, text: &str) -> Option<OrgCode> {
        self.take(path, "BAD_ORG_CODE", OrgCode::new(text))
    }

    /// A marker code.
    pub(crate) fn marker(&mut self, path: &Path<'_>, text: &str) -> Option<MarkerCode> {
        self.take(path, "BAD_MARKER", MarkerCode::new(text))
    }

    /// A scheme identifier.
    pub(crate) fn scheme_id(&mut self, path: &Path<'_>, text: &str) -> Option<SchemeId> {
        self.take(path, "BAD_SCHEME_ID", SchemeId::new(text))
    }

    /// A name of a tree, a community or a kind.
    pub(crate) fn slug(&mut self, path: &Path<'_>, text: &str) -> Option<Slug> {
        self.take(path, "BAD_NAME", Slug::new(text))
    }

    /// A part of a marker; empty is the whole.
    #[allow(
        clippy::option_option,
        reason = "the outer one says whether it could be read"
    )]
    pub(crate) fn breakdown(&mut self, path: &Path<'_>, text: &str) -> Option<Option<Breakdown>> {
        self.optional(text, |faults, text| {
            faults.take(path, "BAD_BREAKDOWN", Breakdown::new(text))
        })
    }

    /// A month.
    pub(crate) fn period(&mut self, path: &Path<'_>, text: &str) -> Option<Period> {
        self.take(path, "BAD_PERIOD", text.parse::<Period>())
    }

    /// A month, or empty.
    #[allow(
        clippy::option_option,
        reason = "the outer one says whether it could be read"
    )]
    pub(crate) fn optional_period(
        &mut self,
        path: &Path<'_>,
        text: &str,
    ) -> Option<Option<Period>> {
        self.optional(text, |faults, text| faults.period(path, text))
    }

    /// A day.
    pub(crate) fn date(&mut self, path: &Path<'_>, text: &str) -> Option<Date> {
        let day = date(text);
        if day.is_none() {
            let shown: String = text.chars().take(40).collect();
            self.add(
                path,
                "BAD_DATE",
                format!("`{shown}` is not a day: it has to be YYYY-MM-DD, for example 2012-03-15"),
            );
        }
        day
    }

    /// A day, or empty.
    #[allow(
        clippy::option_option,
        reason = "the outer one says whether it could be read"
    )]
    pub(crate) fn optional_date(&mut self, path: &Path<'_>, text: &str) -> Option<Option<Date>> {
        self.optional(text, |faults, text| faults.date(path, text))
    }

    #[allow(
        clippy::option_option,
        reason = "the outer one says whether it could be read"
    )]
    fn optional<T>(
        &mut self,
        text: &str,
        read: impl FnOnce(&mut Self, &str) -> Option<T>,
    ) -> Option<Option<T>> {
        if text.is_empty() {
            Some(None)
        } else {
            read(self, text).map(Some)
        }
    }

    /// A value of an enumeration. `known` is `None` for "unspecified".
    pub(crate) fn choice<W: TryFrom<i32>, D>(
        &mut self,
        path: &Path<'_>,
        number: i32,
        known: fn(W) -> Option<D>,
    ) -> Option<D> {
        let Ok(wire) = W::try_from(number) else {
            let what =
                format!("{number} is not one of its values: use a value that the contract lists");
            self.add(path, "UNKNOWN_VALUE", what);
            return None;
        };
        let value = known(wire);
        if value.is_none() {
            self.add(
                path,
                "UNSPECIFIED",
                "it is not stated: choose one of the values that the contract lists",
            );
        }
        value
    }

    /// A value of an enumeration that travels as its name.
    pub(crate) fn named<D>(
        &mut self,
        path: &Path<'_>,
        text: &str,
        value: Option<D>,
        names: &[&str],
    ) -> Option<D> {
        if value.is_none() {
            let shown: String = text.chars().take(40).collect();
            let names = names.join(", ");
            self.add(
                path,
                "UNKNOWN_VALUE",
                format!("`{shown}` is not one of its values: use one of {names}"),
            );
        }
        value
    }

    /// A part of a message that has to be there.
    pub(crate) fn required<T>(&mut self, path: &Path<'_>, part: Option<T>) -> Option<T> {
        if part.is_none() {
            self.add(path, "REQUIRED", "it is absent: state it");
        }
        part
    }

    /// A finite number.
    pub(crate) fn finite(&mut self, path: &Path<'_>, number: f64) -> Option<f64> {
        if !number.is_finite() {
            self.add(path, "NOT_FINITE", "is not a finite number");
        }
        number.is_finite().then_some(number)
    }

    /// Every entry of a list, with all faults of all entries; `None` when any could not be read.
    pub(crate) fn list<I, D>(
        &mut self,
        path: &Path<'_>,
        name: &str,
        items: I,
        mut read: impl FnMut(&mut Self, &Path<'_>, I::Item) -> Option<D>,
    ) -> Option<Vec<D>>
    where
        I: IntoIterator<IntoIter: ExactSizeIterator>,
    {
        let items = items.into_iter();
        let count = items.len();
        let mut values = Vec::with_capacity(count);
        for (index, item) in items.enumerate() {
            values.extend(read(self, &path.item(name, index), item));
        }
        (values.len() == count).then_some(values)
    }
}

/// Exactly YYYY-MM-DD. The parser of the calendar library accepts more forms than the contract does.
pub(crate) fn date(text: &str) -> Option<Date> {
    let bytes = text.as_bytes();
    let dashed = bytes.len() == 10 && bytes[4] == b'-' && bytes[7] == b'-';
    let digits = bytes.iter().filter(|b| b.is_ascii_digit()).count() == 8;
    (dashed && digits).then(|| text.parse().ok()).flatten()
}

/// A day that may be absent, as text.
pub(crate) fn date_text(day: Option<Date>) -> String {
    day.map(|day| day.to_string()).unwrap_or_default()
}

/// A month that may be absent, as text.
pub(crate) fn period_text(period: Option<Period>) -> String {
    period.map(|period| period.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_reads_as_the_contract_names_it() {
        let root = Path::root("return");
        let quality = root.at("quality");
        let observation = quality.item("observations", 3);
        assert_eq!(
            observation.at("marker").to_string(),
            "return.quality.observations[3].marker"
        );
        assert_eq!(Path::root("").at("period").to_string(), "period");
    }

    #[test]
    fn only_year_month_day_is_a_day() {
        assert!(date("2012-02-29").is_some());
        for bad in [
            "2011-02-29",
            "20120229",
            "2012-02-29T00:00",
            "2012-2-29",
            "-012-02-29",
            "",
        ] {
            assert!(date(bad).is_none(), "{bad}");
        }
    }
}
