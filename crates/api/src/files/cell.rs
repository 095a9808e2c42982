//! What a cell says: a month, a day, a count, an amount, a code. Each refusal names the remedy.

use std::str::FromStr;

use jiff::civil::Date;
use qipp_domain::code::CodeError;
use qipp_domain::{Period, Quantity};

use super::faults::{Faults, Parsed, Reported};

/// One cell: its text, and where it stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cell<'a> {
    line: u64,
    column: &'static str,
    text: &'a str,
    separator: u8,
    unfit: bool,
}

impl<'a> Cell<'a> {
    pub(crate) fn new(
        line: u64,
        column: &'static str,
        text: &'a str,
        separator: u8,
        unfit: bool,
    ) -> Self {
        Self {
            line,
            column,
            text,
            separator,
            unfit,
        }
    }

    /// The pointer for problems.
    pub(crate) fn field(&self) -> String {
        format!("line {}, column {}", self.line, self.column)
    }

    /// Reports a problem of this cell.
    pub(crate) fn fault<T>(
        &self,
        faults: &mut Faults,
        code: &'static str,
        what: impl Into<String>,
    ) -> Parsed<T> {
        faults.push(code, self.field(), what);
        Err(Reported)
    }

    /// The text, which may be empty.
    pub(crate) fn text(&self) -> Parsed<&'a str> {
        if self.unfit {
            Err(Reported)
        } else {
            Ok(self.text)
        }
    }

    /// The text, which has to be there.
    pub(crate) fn required(&self, faults: &mut Faults) -> Parsed<&'a str> {
        match self.text()? {
            "" => self.fault(faults, "EMPTY_CELL", "the cell is empty: fill it in"),
            text => Ok(text),
        }
    }

    /// A code of the house (organisation, marker, scheme), which has to be there.
    pub(crate) fn code<T: FromStr<Err = CodeError>>(&self, faults: &mut Faults) -> Parsed<T> {
        let text = self.required(faults)?;
        text.parse()
            .or_else(|error: CodeError| self.fault(faults, "BAD_CODE", error.to_string()))
    }

    /// A month, which has to be there.
    pub(crate) fn period(&self, faults: &mut Faults) -> Parsed<Period> {
        let text = self.required(faults)?;
        text.parse().or_else(|_| {
            let shown = shown(text);
            if looks_like_a_spreadsheet_date(text) {
                let what = format!(
                    "`{shown}` is a date as a spreadsheet shows it: write the month as YYYY-MM, for example 2012-03 (format the column as text first)"
                );
                return self.fault(faults, "EXCEL_DATE", what);
            }
            let what = format!(
                "`{shown}` is not a month from 1990-01 to 2100-12: write it as YYYY-MM, for example 2012-03"
            );
            self.fault(faults, "BAD_PERIOD", what)
        })
    }

    /// A day as YYYY-MM-DD, which has to be there.
    pub(crate) fn day(&self, faults: &mut Faults) -> Parsed<Date> {
        let text = self.required(faults)?;
        let shape = text.len() == 10 && text.as_bytes()[4] == b'-' && text.as_bytes()[7] == b'-';
        let day = shape.then(|| text.parse::<Date>().ok()).flatten();
        self.supported_day(day, text, "YYYY-MM-DD, for example 2012-03-31", faults)
    }

    /// A day as YYYYMMDD, or nothing.
    pub(crate) fn compact_day(&self, faults: &mut Faults) -> Parsed<Option<Date>> {
        let text = self.text()?;
        if text.is_empty() {
            return Ok(None);
        }
        let day = compact_day(text);
        self.supported_day(day, text, "YYYYMMDD, for example 20120331", faults)
            .map(Some)
    }

    /// Days lie in the months that the house knows.
    fn supported_day(
        &self,
        day: Option<Date>,
        text: &str,
        form: &str,
        faults: &mut Faults,
    ) -> Parsed<Date> {
        match day.filter(|day| Period::of(*day).is_ok()) {
            Some(day) => Ok(day),
            None => {
                let code = if looks_like_a_spreadsheet_date(text) {
                    "EXCEL_DATE"
                } else {
                    "BAD_DATE"
                };
                let what = format!(
                    "`{}` is not a day from 1990 to 2100: write it as {form}",
                    shown(text)
                );
                self.fault(faults, code, what)
            }
        }
    }

    /// A count of whole patients, or nothing. `181.0` is read as 181: programs that know no empty integer write that.
    pub(crate) fn whole(&self, faults: &mut Faults) -> Parsed<Option<u64>> {
        let text = self.text()?;
        let Some(number) = self.decimal(faults)? else {
            return Ok(None);
        };
        let integer = text.split('.').next().unwrap_or(text);
        match integer.parse() {
            Ok(count) if number.fract() == 0.0 => Ok(Some(count)),
            _ => {
                let what = format!(
                    "`{}` is not a whole number: this column counts patients",
                    shown(text)
                );
                self.fault(faults, "NOT_WHOLE", what)
            }
        }
    }

    /// A quantity as the contract allows it (not negative, at most three decimals), or nothing.
    pub(crate) fn decimal(&self, faults: &mut Faults) -> Parsed<Option<f64>> {
        let text = self.text()?;
        if text.is_empty() {
            return Ok(None);
        }
        if !is_decimal(text) {
            return self.not_a_number(text, faults);
        }
        if self.separator == b';' && is_ambiguous_point(text) {
            // Where cells are separated by semicolons a point usually marks thousands; guessing would be wrong by a factor of 1000.
            let what = format!(
                "`{}` can be a thousand or a decimal in a file with semicolons: write it without thousands separators and save with commas",
                shown(text)
            );
            return self.fault(faults, "THOUSANDS_SEPARATOR", what);
        }
        let number: f64 = text.parse().unwrap_or(f64::INFINITY);
        match Quantity::from_f64(number) {
            Ok(_) => Ok(Some(number)),
            Err(error) => self.fault(faults, "BAD_NUMBER", format!("`{}` {error}", shown(text))),
        }
    }

    /// Whole pence, or nothing.
    pub(crate) fn pence(&self, faults: &mut Faults) -> Parsed<Option<i64>> {
        let text = self.text()?;
        if text.is_empty() {
            return Ok(None);
        }
        if is_decimal(text) && text.contains('.') {
            let what = format!(
                "`{}` has a decimal point: amounts are whole pence, write £12.34 as 1234",
                shown(text)
            );
            return self.fault(faults, "NOT_PENCE", what);
        }
        if !is_decimal(text) {
            return self.not_a_number(text, faults);
        }
        text.parse().map(Some).or_else(|_| {
            let what = format!(
                "`{}` is too large: amounts are whole pence, check the unit",
                shown(text)
            );
            self.fault(faults, "BAD_NUMBER", what)
        })
    }

    fn not_a_number<T>(&self, text: &str, faults: &mut Faults) -> Parsed<T> {
        let (code, remedy) = number_remedy(text);
        self.fault(
            faults,
            code,
            format!("`{}` is not a plain number: {remedy}", shown(text)),
        )
    }

    /// True, false, or nothing for false.
    pub(crate) fn flag(&self, faults: &mut Faults) -> Parsed<bool> {
        match self.text()?.to_ascii_lowercase().as_str() {
            "true" | "yes" | "1" => Ok(true),
            "" | "false" | "no" | "0" => Ok(false),
            _ => self.fault(faults, "BAD_WORD", "write true or false"),
        }
    }

    /// One of some words, or nothing.
    pub(crate) fn word<T: Copy>(
        &self,
        words: &[(&str, T)],
        faults: &mut Faults,
    ) -> Parsed<Option<T>> {
        let text = self.text()?.to_lowercase();
        if text.is_empty() {
            return Ok(None);
        }
        match words.iter().find(|(word, _)| *word == text) {
            Some((_, value)) => Ok(Some(*value)),
            None => {
                let all: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
                let what = format!("`{}` is not one of {}", shown(&text), all.join(", "));
                self.fault(faults, "BAD_WORD", what)
            }
        }
    }
}

/// A text as a message shows it: cut, so that a faulty file cannot blow up the list of its problems.
pub(crate) fn shown(text: &str) -> String {
    text.chars().take(40).collect()
}

/// Digits with at most one point between them, and perhaps a minus.
fn is_decimal(text: &str) -> bool {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (whole, decimals) = unsigned.split_once('.').unwrap_or((unsigned, "0"));
    let digits = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
    digits(whole) && digits(decimals)
}

/// `1.234` or `12.000`: at most three digits, a point, exactly three.
fn is_ambiguous_point(text: &str) -> bool {
    text.split_once('.').is_some_and(|(whole, decimals)| {
        decimals.len() == 3 && whole.len() <= 3 && !whole.starts_with('0')
    })
}

fn number_remedy(text: &str) -> (&'static str, &'static str) {
    let digits = text.bytes().any(|b| b.is_ascii_digit());
    if !digits {
        return (
            "NOT_A_NUMBER",
            "leave the cell empty where there is no figure",
        );
    }
    if text.contains('%') {
        return (
            "NOT_A_NUMBER",
            "write the two counts that the percentage is made of",
        );
    }
    let separators = text.chars().all(|c| {
        c.is_ascii_digit() || c.is_whitespace() || matches!(c, ',' | '.' | '\'' | '’' | '-')
    });
    if separators {
        return (
            "THOUSANDS_SEPARATOR",
            "write it without thousands separators and with a point for decimals, for example 1234.5",
        );
    }
    if text
        .bytes()
        .all(|b| b.is_ascii_digit() || matches!(b, b'e' | b'E' | b'+' | b'-' | b'.'))
    {
        return (
            "NOT_A_NUMBER",
            "the spreadsheet has shortened it: format the column as a number and write all digits",
        );
    }
    ("NOT_A_NUMBER", "write digits only, without unit or sign")
}

/// `Mar-12`, `01/03/2012`, `1 March 2012`, or the day number that a spreadsheet keeps behind a date (1990 to 2100).
fn looks_like_a_spreadsheet_date(text: &str) -> bool {
    const MONTHS: [&str; 12] = [
        "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
    ];
    let lower = text.to_ascii_lowercase();
    let digits = lower.bytes().any(|b| b.is_ascii_digit());
    let serial = lower.len() == 5
        && lower
            .parse::<u32>()
            .is_ok_and(|day| (32_874..=73_415).contains(&day));
    serial || (digits && (lower.contains('/') || MONTHS.iter().any(|month| lower.contains(month))))
}

fn compact_day(text: &str) -> Option<Date> {
    if text.len() != 8 || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let part = |from: usize, to: usize| text.get(from..to);
    let year = part(0, 4)?.parse().ok()?;
    let month = part(4, 6)?.parse().ok()?;
    let day = part(6, 8)?.parse().ok()?;
    Date::new(year, month, day).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(text: &str, separator: u8) -> Cell<'_> {
        Cell::new(17, "numerator", text, separator, false)
    }

    fn code_of<T: std::fmt::Debug>(read: impl FnOnce(&mut Faults) -> Parsed<T>) -> &'static str {
        let mut faults = Faults::default();
        assert!(read(&mut faults).is_err());
        let problems = faults.finish(()).unwrap_err();
        assert_eq!(problems.len(), 1);
        assert_eq!(problems[0].field, "line 17, column numerator");
        problems[0].code
    }

    #[test]
    fn numbers_are_digits_with_at_most_one_point() {
        for (text, number) in [
            ("0", 0.0),
            ("1234", 1234.0),
            ("12.5", 12.5),
            ("1.234", 1.234),
        ] {
            let mut faults = Faults::default();
            assert_eq!(cell(text, b',').decimal(&mut faults), Ok(Some(number)));
        }
        for bad in ["1,234", "1.234,5", "1 234", "1'234.5", "1.234.567", "12,5"] {
            let code = code_of(|f| cell(bad, b',').decimal(f));
            assert_eq!(code, "THOUSANDS_SEPARATOR", "{bad}");
        }
        for bad in [
            "n/a", "*", "95%", "£12", "1.2E+05", "NaN", "inf", ".5", "5.",
        ] {
            let code = code_of(|f| cell(bad, b',').decimal(f));
            assert!(
                code == "NOT_A_NUMBER" || code == "THOUSANDS_SEPARATOR",
                "{bad}"
            );
        }
        for bad in [
            "-1",
            "0.0001",
            "9999999999999",
            "99999999999999999999999999",
        ] {
            assert_eq!(
                code_of(|f| cell(bad, b',').decimal(f)),
                "BAD_NUMBER",
                "{bad}"
            );
        }
    }

    #[test]
    fn a_point_before_three_digits_is_ambiguous_where_semicolons_separate() {
        assert_eq!(
            code_of(|f| cell("1.234", b';').decimal(f)),
            "THOUSANDS_SEPARATOR"
        );
        let mut faults = Faults::default();
        assert_eq!(cell("0.125", b';').decimal(&mut faults), Ok(Some(0.125)));
        assert_eq!(cell("1.5", b';').decimal(&mut faults), Ok(Some(1.5)));
    }

    #[test]
    fn a_count_is_whole_and_may_be_written_with_a_nought_behind_the_point() {
        let mut faults = Faults::default();
        assert_eq!(cell("181.0", b',').whole(&mut faults), Ok(Some(181)));
        assert_eq!(cell("", b',').whole(&mut faults), Ok(None));
        assert_eq!(code_of(|f| cell("181.5", b',').whole(f)), "NOT_WHOLE");
    }

    #[test]
    fn money_is_whole_pence_and_may_be_negative() {
        let mut faults = Faults::default();
        assert_eq!(cell("-1234", b',').pence(&mut faults), Ok(Some(-1234)));
        assert_eq!(code_of(|f| cell("12.34", b',').pence(f)), "NOT_PENCE");
        assert_eq!(
            code_of(|f| cell("1,234", b',').pence(f)),
            "THOUSANDS_SEPARATOR"
        );
        assert_eq!(
            code_of(|f| cell("99999999999999999999", b',').pence(f)),
            "BAD_NUMBER"
        );
    }

    #[test]
    fn a_month_as_a_spreadsheet_shows_it_is_refused_with_the_remedy() {
        for bad in ["Mar-12", "01/03/2012", "03/2012", "1 March 2012", "40969"] {
            assert_eq!(
                code_of(|f| cell(bad, b',').period(f)),
                "EXCEL_DATE",
                "{bad}"
            );
        }
        for bad in ["2012-3", "2012-13", "201203", "2012-03-01", "1989-12"] {
            assert_eq!(
                code_of(|f| cell(bad, b',').period(f)),
                "BAD_PERIOD",
                "{bad}"
            );
        }
        assert_eq!(code_of(|f| cell("07/11/2010", b',').day(f)), "EXCEL_DATE");
        assert_eq!(code_of(|f| cell("2010-02-30", b',').day(f)), "BAD_DATE");
        assert_eq!(code_of(|f| cell("éééééé", b',').day(f)), "BAD_DATE");
    }
}
