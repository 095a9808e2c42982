//! Working days in England: what a deadline of "the tenth working day" means.

use std::sync::LazyLock;

use jiff::ToSpan;
use jiff::civil::{Date, Weekday};

use crate::Period;

/// Bank holidays in England that no yearly rule gives, from 1995 on: days added and days taken away.
/// Source: the GOV.UK list of bank holidays and the royal proclamations for jubilees, weddings, the coronation and mourning.
const ADDED: [(i16, i8, i8); 10] = [
    (1995, 5, 8),
    (1999, 12, 31),
    (2002, 6, 3),
    (2002, 6, 4),
    (2011, 4, 29),
    (2012, 6, 4),
    (2012, 6, 5),
    (2020, 5, 8),
    (2022, 9, 19),
    (2023, 5, 8),
];
const ADDED_2022: [(i16, i8, i8); 2] = [(2022, 6, 2), (2022, 6, 3)];
const MOVED_AWAY: [(i16, i8, i8); 5] = [
    (1995, 5, 1),
    (2002, 5, 27),
    (2012, 5, 28),
    (2020, 5, 4),
    (2022, 5, 30),
];

/// Is the day a bank holiday in England?
#[must_use]
pub fn is_bank_holiday(day: Date) -> bool {
    let key = (day.year(), day.month(), day.day());
    if ADDED.contains(&key) || ADDED_2022.contains(&key) {
        return true;
    }
    !MOVED_AWAY.contains(&key) && falls_on_yearly_rule(day)
}

fn falls_on_yearly_rule(day: Date) -> bool {
    let monday = day.weekday() == Weekday::Monday;
    match day.month() {
        3 | 4 => is_good_friday_or_easter_monday(day),
        5 => monday && (day.day() <= 7 || day.day() > 24),
        8 => monday && day.day() > 24,
        1 => is_new_year(day),
        12 => is_christmas_or_boxing_day(day),
        _ => false,
    }
}

fn is_good_friday_or_easter_monday(day: Date) -> bool {
    let easter = easter_sunday(day.year());
    day == easter.saturating_sub(2.days()) || day == easter.saturating_add(1.day())
}

/// 1 January, or the Monday after when it falls on a weekend.
fn is_new_year(day: Date) -> bool {
    match day.weekday() {
        Weekday::Saturday | Weekday::Sunday => false,
        Weekday::Monday => day.day() <= 3,
        _ => day.day() == 1,
    }
}

/// 25 and 26 December; what falls on a weekend moves to the next weekdays.
fn is_christmas_or_boxing_day(day: Date) -> bool {
    match day.weekday() {
        Weekday::Saturday | Weekday::Sunday => false,
        // The 25th to the 28th: either day itself, or the one that moved over the weekend.
        Weekday::Monday | Weekday::Tuesday => (25..=28).contains(&day.day()),
        _ => (25..=26).contains(&day.day()),
    }
}

/// Easter Sunday in the Gregorian calendar (the anonymous computus, Nature 1876).
fn easter_sunday(year: i16) -> Date {
    // The Gregorian Easter repeats after 5,700,000 years: years before 1 become later ones, so that no remainder is negative.
    let y = i32::from(year).rem_euclid(5_700_000);
    let (a, b, c) = (y % 19, y / 100, y % 100);
    let (d, e) = (b / 4, b % 4);
    let f = (b + 8) / 25;
    let g = (b - f + 1) / 3;
    let h = (19 * a + b - d - g + 15) % 30;
    let (i, k) = (c / 4, c % 4);
    let l = (32 + 2 * e + 2 * i - h - k) % 7;
    let m = (a + 11 * h + 22 * l) / 451;
    let month = (h + l - 7 * m + 114) / 31;
    let day = (h + l - 7 * m + 114) % 31 + 1;
    let narrow = |n: i32| i8::try_from(n).expect("a month or a day of the month");
    Date::new(year, narrow(month), narrow(day)).expect("Easter falls in March or April")
}

/// Is the day a working day in England?
#[must_use]
pub fn is_working_day(day: Date) -> bool {
    !matches!(day.weekday(), Weekday::Saturday | Weekday::Sunday) && !is_bank_holiday(day)
}

/// The `n`-th working day (from 1) of the month after `period`: working day 10 is when savings returns are due.
#[must_use]
pub fn working_day_after(period: Period, n: u32) -> Date {
    add_working_days(period.last_day(), n)
}

/// The `n`-th working day after `day`; `day` itself when `n` is 0.
#[must_use]
pub fn add_working_days(day: Date, n: u32) -> Date {
    let mut current = day;
    let mut left = n;
    while left > 0 {
        current = current.saturating_add(1.day());
        left -= u32::from(is_working_day(current));
    }
    current
}

/// Working days after `from` up to and including `to`; 0 when `to` is not later. At most about ten years are counted.
#[must_use]
pub fn working_days_between(from: Date, to: Date) -> u32 {
    const LIMIT: u32 = 3_000;
    // The lateness of every return of a nation is asked for again and again: count the days of the calendar of periods once.
    if let (Some(before), Some(until)) = (counted_until(from), counted_until(to)) {
        return until.saturating_sub(before).min(LIMIT);
    }
    let mut current = from;
    let mut count = 0;
    while current < to && count < LIMIT {
        current = current.saturating_add(1.day());
        count += u32::from(is_working_day(current));
    }
    count
}

/// Working days from the beginning of the calendar of periods up to and including the day; `None` outside of that calendar.
fn counted_until(day: Date) -> Option<u32> {
    static COUNTS: LazyLock<Vec<u32>> = LazyLock::new(|| {
        let (first, last) = (Period::FIRST.first_day(), Period::LAST.last_day());
        let days = std::iter::successors(Some(first), |day| day.tomorrow().ok());
        let mut count = 0;
        days.take_while(|day| *day <= last)
            .map(|day| {
                count += u32::from(is_working_day(day));
                count
            })
            .collect()
    });
    let days = (day - Period::FIRST.first_day()).get_days();
    COUNTS.get(usize::try_from(days).ok()?).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> Date {
        text.parse().unwrap()
    }

    #[test]
    fn bank_holidays_are_those_that_were_proclaimed() {
        let of_2012 = [
            "2012-01-02",
            "2012-04-06",
            "2012-04-09",
            "2012-05-07",
            "2012-06-04",
            "2012-06-05",
            "2012-08-27",
            "2012-12-25",
            "2012-12-26",
        ];
        let mut found = Vec::new();
        let mut current = day("2012-01-01");
        while current.year() == 2012 {
            if is_bank_holiday(current) {
                found.push(current.to_string());
            }
            current = current.saturating_add(1.day());
        }
        assert_eq!(found, of_2012);
    }

    #[test]
    fn christmas_on_a_weekend_moves_to_the_next_weekdays() {
        for moved in [
            "2010-12-27",
            "2010-12-28",
            "2011-12-26",
            "2011-12-27",
            "2021-12-27",
            "2021-12-28",
            "2022-12-26",
            "2022-12-27",
        ] {
            assert!(is_bank_holiday(day(moved)), "{moved}");
        }
        for working in ["2012-12-27", "2013-12-27", "2010-12-29", "2024-12-27"] {
            assert!(!is_bank_holiday(day(working)), "{working}");
        }
        assert!(is_bank_holiday(day("2011-01-03")) && !is_bank_holiday(day("2012-01-03")));
    }

    #[test]
    fn the_tenth_working_day_skips_easter() {
        // April 2012: Good Friday 6th, Easter Monday 9th.
        assert_eq!(
            working_day_after("2012-03".parse().unwrap(), 10),
            day("2012-04-17")
        );
        assert_eq!(
            working_days_between(day("2012-04-05"), day("2012-04-10")),
            1
        );
        assert_eq!(
            working_days_between(day("2012-04-10"), day("2012-04-05")),
            0
        );
    }
}
