//! Months and financial years. April starts the year.

use std::fmt;
use std::str::FromStr;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Why a text is not a period.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "`{0}` is not a period: it has to be YYYY-MM with a year from 1990 to 2100, for example 2012-03"
)]
pub struct PeriodError(pub String);

/// A calendar month.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Period(u16);

const FIRST_YEAR: i16 = 1990;
const LAST_YEAR: i16 = 2100;

impl Period {
    /// The first month of the calendar, 1990-01.
    pub const FIRST: Self = Self(0);
    /// The last month of the calendar, 2100-12.
    pub const LAST: Self = Self(111 * 12 - 1);

    /// The month `month` (1 to 12) of `year`.
    ///
    /// # Errors
    /// [`PeriodError`] outside 1990-01 to 2100-12.
    pub fn new(year: i16, month: i8) -> Result<Self, PeriodError> {
        let wrong = || PeriodError(format!("{year}-{month:02}"));
        if !(FIRST_YEAR..=LAST_YEAR).contains(&year) || !(1..=12).contains(&month) {
            return Err(wrong());
        }
        let index = i32::from(year - FIRST_YEAR) * 12 + i32::from(month - 1);
        u16::try_from(index).map(Self).map_err(|_| wrong())
    }

    /// The month that a day lies in.
    ///
    /// # Errors
    /// [`PeriodError`] outside 1990-01 to 2100-12.
    pub fn of(day: Date) -> Result<Self, PeriodError> {
        Self::new(day.year(), day.month())
    }

    /// Calendar year.
    #[must_use]
    pub fn year(self) -> i16 {
        FIRST_YEAR + i16::try_from(self.0 / 12).expect("at most 111 years")
    }

    /// Month of the calendar year, 1 to 12.
    #[must_use]
    pub fn month(self) -> i8 {
        i8::try_from(self.0 % 12).expect("less than 12") + 1
    }

    /// The month `months` later (earlier when negative), or `None` beyond the calendar's ends.
    #[must_use]
    pub fn plus(self, months: i32) -> Option<Self> {
        let index = i32::from(self.0).checked_add(months)?;
        let last = i32::from(LAST_YEAR - FIRST_YEAR) * 12 + 11;
        (0..=last)
            .contains(&index)
            .then(|| Self(u16::try_from(index).expect("within the calendar")))
    }

    /// Months from `earlier` to `self`; negative when `earlier` is later.
    #[must_use]
    pub fn months_since(self, earlier: Self) -> i32 {
        i32::from(self.0) - i32::from(earlier.0)
    }

    /// All months from `self` to `last`, both included; none when `last` is earlier.
    pub fn to(self, last: Self) -> impl DoubleEndedIterator<Item = Self> + Clone {
        (self.0..=last.0).map(Self)
    }

    /// First day of the month.
    #[must_use]
    pub fn first_day(self) -> Date {
        Date::new(self.year(), self.month(), 1).expect("a month of the calendar has a first day")
    }

    /// Last day of the month.
    #[must_use]
    pub fn last_day(self) -> Date {
        self.first_day().last_of_month()
    }

    /// The financial year that the month lies in.
    #[must_use]
    pub fn financial_year(self) -> FinancialYear {
        FinancialYear(if self.month() >= 4 {
            self.year()
        } else {
            self.year() - 1
        })
    }

    /// Month of the financial year: April is 1, March is 12.
    #[must_use]
    pub fn month_of_financial_year(self) -> i8 {
        (self.month() + 8) % 12 + 1
    }

    /// April of the financial year that the month lies in; `None` for the months before the calendar's first April.
    #[must_use]
    pub fn april(self) -> Option<Self> {
        self.plus(1 - i32::from(self.month_of_financial_year()))
    }
}

impl FromStr for Period {
    type Err = PeriodError;

    fn from_str(text: &str) -> Result<Self, PeriodError> {
        let wrong = || PeriodError(text.chars().take(40).collect());
        let (year, month) = text.split_once('-').ok_or_else(wrong)?;
        let digits = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
        if year.len() != 4 || month.len() != 2 || !digits(year) || !digits(month) {
            return Err(wrong());
        }
        let year = year.parse().map_err(|_| wrong())?;
        let month = month.parse().map_err(|_| wrong())?;
        Self::new(year, month).map_err(|_| wrong())
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // By hand: answers hold very many of them.
        let (year, month) = (self.year().unsigned_abs(), self.month().unsigned_abs());
        let digit = |number: u16| u8::try_from(number % 10).map_or(b'0', |digit| b'0' + digit);
        let month = u16::from(month);
        let text = [
            digit(year / 1000),
            digit(year / 100),
            digit(year / 10),
            digit(year),
            b'-',
            digit(month / 10),
            digit(month),
        ];
        f.pad(std::str::from_utf8(&text).unwrap_or_default())
    }
}

/// A financial year, April to March, named by the calendar year in which it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FinancialYear(pub i16);

impl fmt::Display for FinancialYear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}-{:02}",
            self.0,
            (i32::from(self.0) + 1).rem_euclid(100)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn period(text: &str) -> Period {
        text.parse().unwrap()
    }

    #[test]
    fn april_starts_the_financial_year() {
        assert_eq!(period("2012-04").month_of_financial_year(), 1);
        assert_eq!(period("2012-03").month_of_financial_year(), 12);
        assert_eq!(period("2012-03").financial_year().to_string(), "2011-12");
        assert_eq!(period("2012-04").financial_year().to_string(), "2012-13");
        assert_eq!(period("2012-01").april(), Some(period("2011-04")));
        assert_eq!(period("1999-12").financial_year().to_string(), "1999-00");
    }

    #[test]
    fn only_year_and_month_is_a_period() {
        for bad in [
            "2012-3",
            "2012-13",
            "2012-00",
            "201203",
            "2012-03-01",
            " 2012-03",
            "1900-01",
            "2101-01",
            "Mar-12",
            "+012-03",
        ] {
            assert!(bad.parse::<Period>().is_err(), "{bad}");
        }
    }

    #[test]
    fn months_are_counted_across_years() {
        assert_eq!(period("2011-11").plus(3), Some(period("2012-02")));
        assert_eq!(period("2012-02").months_since(period("2011-11")), 3);
        assert_eq!(period("2012-02").last_day().to_string(), "2012-02-29");
        assert_eq!(period("1990-01").plus(-1), None);
        assert_eq!(period("2100-12").plus(1), None);
    }
}
