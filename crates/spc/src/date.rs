//! The day a point belongs to: an ISO calendar date that cannot be wrong once parsed. Never a time, never "today".

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use crate::xmr::{XmrError, excerpt};

/// A day of the proleptic Gregorian calendar, years 1 to 9999, ordered in time.
///
/// ```
/// let day: qipp_spc::Date = "2010-04-01".parse()?;
/// assert_eq!(day.to_string(), "2010-04-01");
/// assert!("2010-02-29".parse::<qipp_spc::Date>().is_err());
/// # Ok::<(), qipp_spc::xmr::XmrError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date {
    // The order of the fields is the order in time, so the derived comparison is the right one.
    year: u16,
    month: u8,
    day: u8,
}

impl Date {
    /// The day `day` of month `month` (1 to 12) of `year` (1 to 9999); `None` if the calendar has no such day.
    pub fn new(year: u16, month: u8, day: u8) -> Option<Self> {
        let exists = (1..=9999).contains(&year)
            && (1..=12).contains(&month)
            && (1..=days_in(year, month)).contains(&day);
        exists.then_some(Self { year, month, day })
    }

    fn parse(text: &str) -> Option<Self> {
        let bytes: &[u8; 10] = text.as_bytes().try_into().ok()?;
        if bytes[4] != b'-' || bytes[7] != b'-' {
            return None;
        }
        let year = digits(&bytes[..4])?;
        let month = digits(&bytes[5..7])?;
        let day = digits(&bytes[8..])?;
        Self::new(year, u8::try_from(month).ok()?, u8::try_from(day).ok()?)
    }
}

/// At most four decimal digits; unlike `str::parse` it takes no sign.
fn digits(bytes: &[u8]) -> Option<u16> {
    bytes.iter().try_fold(0, |number: u16, byte| {
        byte.is_ascii_digit()
            .then(|| number * 10 + u16::from(byte - b'0'))
    })
}

fn days_in(year: u16, month: u8) -> u8 {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => 31,
    }
}

impl FromStr for Date {
    type Err = XmrError;

    /// Exactly `YYYY-MM-DD`: no other separator, no shortened month, no time of day.
    fn from_str(text: &str) -> Result<Self, XmrError> {
        Self::parse(text).ok_or_else(|| XmrError::UnparseableDate {
            text: excerpt(text),
        })
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

impl Serialize for Date {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::Date;

    #[test]
    fn only_days_that_exist_are_dates() {
        for good in ["2000-02-29", "2012-02-29", "0001-01-01", "9999-12-31"] {
            assert_eq!(good.parse::<Date>().unwrap().to_string(), good);
        }
        for bad in [
            "1900-02-29",
            "2011-02-29",
            "2010-04-31",
            "2010-13-01",
            "2010-00-10",
            "2010-01-00",
            "0000-01-01",
            "2010-4-01",
            "2010/04/01",
            "01/04/2010",
            "+201-04-01",
            "2010-04-01T00:00:00",
            "",
            "２010-04-",
        ] {
            assert!(bad.parse::<Date>().is_err(), "{bad}");
        }
    }

    #[test]
    fn dates_are_ordered_in_time() {
        let day = |text: &str| text.parse::<Date>().unwrap();
        assert!(day("2009-12-31") < day("2010-01-01"));
        assert!(day("2010-01-31") < day("2010-02-01"));
    }
}
