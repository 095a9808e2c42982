//! Who has returned what was owed, and when; working days; and exact numbers.
#![allow(
    clippy::unwrap_used,
    reason = "tests and their helpers may fail loudly"
)]

#[allow(dead_code, reason = "each test file uses its own part of the builder")]
mod fixture;

use std::collections::BTreeMap;

use fixture::*;
use jiff::ToSpan;
use jiff::civil::{Date, Weekday};
use proptest::prelude::*;
use qipp_domain::calendar::{
    add_working_days, is_bank_holiday, is_working_day, working_day_after, working_days_between,
};
use qipp_domain::completeness::{State, day_of_ms, submission, submissions};
use qipp_domain::{Dataset, KnownAt, Pence, Period, Quantity};

/// March 2012, due on Tuesday 17 April (the tenth working day), owed by four trusts.
fn owed() -> World {
    let mut world = World::england();
    world.reference(vec![deadline(Dataset::Quality, "2012-03", "2012-04-17")]);
    world.reference(
        ["RA1", "RA2", "RB1", "RB2"]
            .map(|code| owes(code, Dataset::Quality, "2012-01", None))
            .to_vec(),
    );
    world
}

fn send(world: &mut World, code: &str, on: &str) {
    world
        .on(on)
        .quality(code, "2012-03", vec![figure("AE_4H", 95, 100)]);
}

fn states(world: &World, at: &KnownAt, today: &str) -> BTreeMap<String, (State, u32, u32)> {
    submissions(
        &world.nation,
        &world.known(),
        at,
        Dataset::Quality,
        period("2012-03"),
        day(today),
    )
    .into_iter()
    .map(|s| {
        (
            s.org.to_string(),
            (s.state, s.working_days_late, s.revisions),
        )
    })
    .collect()
}

#[test]
fn what_is_owed_is_in_time_late_missing_or_not_yet_due() {
    let mut world = owed();
    send(&mut world, "RA1", "2012-04-17");
    send(&mut world, "RA2", "2012-04-20");
    let on = |today| states(&world, &LATEST, today);
    let later = on("2012-04-24");
    assert_eq!(later["RA1"], (State::InTime, 0, 1));
    assert_eq!(later["RA2"], (State::Late, 3, 1));
    assert_eq!(later["RB1"], (State::Missing, 5, 0));
    assert_eq!(on("2012-04-17")["RB1"], (State::NotYetDue, 0, 0));
    assert_eq!(on("2012-04-18")["RB1"], (State::Missing, 1, 0));
    assert_eq!(later.len(), 4);
}

#[test]
fn a_restatement_does_not_make_a_return_late() {
    let mut world = owed();
    send(&mut world, "RA1", "2012-04-10");
    world
        .on("2012-06-01")
        .quality("RA1", "2012-03", vec![figure("AE_4H", 50, 100)]);
    assert_eq!(
        states(&world, &LATEST, "2012-06-02")["RA1"],
        (State::InTime, 0, 2)
    );
}

#[test]
fn what_came_later_is_not_known_before() {
    let mut world = owed();
    send(&mut world, "RA2", "2012-04-20");
    let then = KnownAt::Time(noon("2012-04-19"));
    assert_eq!(
        states(&world, &then, "2012-04-19")["RA2"],
        (State::Missing, 2, 0)
    );
    assert_eq!(
        states(&world, &KnownAt::Time(noon("2012-04-20")), "2012-04-20")["RA2"],
        (State::Late, 3, 1)
    );
}

#[test]
fn only_what_is_owed_can_be_missing_and_what_was_sent_is_shown_all_the_same() {
    let mut world = owed();
    send(&mut world, "RT1", "2012-04-11");
    world.reference(vec![
        owes("RZ9", Dataset::Savings, "2012-01", None),
        owes("RB2", Dataset::Quality, "2012-01", Some("2012-03")),
    ]);
    let now = states(&world, &LATEST, "2012-04-24");
    assert_eq!(
        now.keys().map(String::as_str).collect::<Vec<_>>(),
        ["RA1", "RA2", "RB1", "RT1"]
    );
    assert_eq!(now["RT1"].0, State::InTime);
}

#[test]
fn an_obligation_covers_its_months_only() {
    let mut world = World::england();
    world.reference(vec![
        owes("RA1", Dataset::Savings, "2011-04", Some("2012-04")),
        owes("RA1", Dataset::Savings, "2013-04", None),
    ]);
    let reference = world.known();
    let owes_in = |month| reference.owes(org("RA1"), Dataset::Savings, period(month));
    let months = [
        "2011-03", "2011-04", "2012-03", "2012-04", "2013-03", "2013-04", "2020-01",
    ];
    assert_eq!(
        months.map(owes_in),
        [false, true, true, false, false, true, true]
    );
    assert!(!reference.owes(org("RA1"), Dataset::Quality, period("2011-05")));
}

#[test]
fn a_closed_organisation_owes_nothing_for_the_months_after() {
    let mut world = owed();
    world.reference(vec![
        closed("RA1", "2012-03-01"),
        closed("RA2", "2012-03-02"),
        opened("RB1", "trust", "2012-04-01"),
    ]);
    let now = states(&world, &LATEST, "2012-04-24");
    assert_eq!(
        now.keys().map(String::as_str).collect::<Vec<_>>(),
        ["RA2", "RB2"]
    );
}

#[test]
fn without_a_deadline_nothing_is_late_and_nothing_is_missing() {
    let mut world = owed();
    send(&mut world, "RA1", "2012-09-01");
    let of = |code| {
        submission(
            &world.nation,
            &LATEST,
            org(code),
            Dataset::Quality,
            period("2012-03"),
            None,
            day("2013-01-01"),
        )
    };
    assert_eq!(
        (of("RA1").state, of("RA1").working_days_late),
        (State::InTime, 0)
    );
    assert_eq!(
        (of("RB1").state, of("RB1").received),
        (State::NotYetDue, None)
    );
}

#[test]
fn a_deadline_that_was_moved_counts_from_its_own_record_on() {
    let mut world = owed();
    let before = world.cut();
    world.reference(vec![deadline(Dataset::Quality, "2012-03", "2012-04-24")]);
    let due = |at| {
        world
            .nation
            .reference(at)
            .deadline(Dataset::Quality, period("2012-03"))
    };
    assert_eq!(
        (due(&before), due(&LATEST)),
        (Some(day("2012-04-17")), Some(day("2012-04-24")))
    );
}

// The calendar.

fn days_of(year: i16) -> impl Iterator<Item = Date> {
    let first = Date::new(year, 1, 1).unwrap();
    std::iter::successors(Some(first), |d| d.tomorrow().ok()).take_while(move |d| d.year() == year)
}

#[test]
fn england_had_eight_bank_holidays_a_year_and_the_proclaimed_ones() {
    for year in 2009..=2026 {
        let holidays: Vec<Date> = days_of(year).filter(|d| is_bank_holiday(*d)).collect();
        let expected = match year {
            // The wedding of 2011, the jubilee of 2012, the coronation of 2023; jubilee and state funeral in 2022.
            2011 | 2012 | 2023 => 9,
            2022 => 10,
            _ => 8,
        };
        assert_eq!(holidays.len(), expected, "{year}: {holidays:?}");
        assert!(
            holidays
                .iter()
                .all(|d| !matches!(d.weekday(), Weekday::Saturday | Weekday::Sunday)),
            "{holidays:?}"
        );
    }
}

#[test]
fn bank_holidays_fall_on_the_days_that_were_published() {
    let published = [
        // Good Friday and Easter Monday.
        "2009-04-10",
        "2009-04-13",
        "2010-04-02",
        "2010-04-05",
        "2011-04-22",
        "2011-04-25",
        "2012-04-06",
        "2012-04-09",
        "2013-03-29",
        "2013-04-01",
        "2014-04-18",
        "2014-04-21",
        "2015-04-03",
        "2015-04-06",
        "2016-03-25",
        "2016-03-28",
        "2017-04-14",
        "2017-04-17",
        "2018-03-30",
        "2018-04-02",
        "2019-04-19",
        "2019-04-22",
        "2020-04-10",
        "2020-04-13",
        "2021-04-02",
        "2021-04-05",
        "2022-04-15",
        "2022-04-18",
        "2023-04-07",
        "2023-04-10",
        "2024-03-29",
        "2024-04-01",
        "2025-04-18",
        "2025-04-21",
        "2026-04-03",
        "2026-04-06",
        // New year and Christmas that moved.
        "2010-12-27",
        "2010-12-28",
        "2011-01-03",
        "2012-01-02",
        "2015-12-28",
        "2017-01-02",
        "2020-12-28",
        "2021-12-27",
        "2021-12-28",
        "2022-01-03",
        "2022-12-27",
        "2023-01-02",
        "2026-12-28",
        "2016-12-27",
        // Proclaimed.
        "2011-04-29",
        "2012-06-04",
        "2012-06-05",
        "2020-05-08",
        "2022-06-02",
        "2022-06-03",
        "2022-09-19",
        "2023-05-08",
    ];
    for holiday in published {
        assert!(is_bank_holiday(day(holiday)), "{holiday}");
    }
    for working in [
        "2012-05-28",
        "2020-05-04",
        "2022-05-30",
        "2023-05-02",
        "2016-12-28",
        "2022-01-04",
        "2011-05-01",
    ] {
        assert!(!is_bank_holiday(day(working)), "{working}");
    }
}

#[test]
fn the_tenth_working_day_is_counted_around_the_holidays() {
    let due = [
        ("2011-12", "2012-01-16"),
        ("2012-03", "2012-04-17"),
        ("2012-05", "2012-06-18"),
        ("2012-11", "2012-12-14"),
        ("2022-08", "2022-09-14"),
    ];
    for (month, expected) in due {
        assert_eq!(
            working_day_after(period(month), 10),
            day(expected),
            "{month}"
        );
    }
}

#[test]
fn the_ends_of_the_calendar_are_no_reason_to_panic() {
    assert_eq!(add_working_days(Date::MAX, 3), Date::MAX);
    assert_eq!(working_days_between(Date::MIN, Date::MAX), 3_000);
    assert_eq!(working_days_between(Date::MAX, Date::MIN), 0);
    for extreme in [i64::MIN, i64::MAX, 0, -1] {
        let _ = day_of_ms(extreme);
    }
    for year in [-9_999, -401, -44, -1, 0, 1, 1582, 9_999] {
        let holidays = days_of(year).filter(|d| is_bank_holiday(*d)).count();
        assert_eq!(holidays, 8, "{year}");
    }
}

proptest! {
    #[test]
    fn the_nth_working_day_is_n_working_days_away(offset in 0_i32..20_000, n in 0_u32..60) {
        let from = day("1995-01-01").saturating_add(offset.days());
        let to = add_working_days(from, n);
        prop_assert_eq!(working_days_between(from, to), n);
        prop_assert!(n == 0 || is_working_day(to));
        prop_assert!(to >= from);
    }

    #[test]
    fn any_day_of_any_year_is_a_working_day_or_not(year in -9_999_i16..=9_999, month in 1_i8..=12, of_month in 1_i8..=28) {
        let date = Date::new(year, month, of_month).unwrap();
        let _ = is_working_day(date);
        let _ = add_working_days(date, 30);
    }

    #[test]
    fn a_period_reads_back_as_it_was_written(index in 0_i32..1_332, step in -2_000_i32..2_000) {
        let held = period("1990-01").plus(index).unwrap();
        prop_assert_eq!(held.to_string().parse::<Period>(), Ok(held));
        prop_assert_eq!(Period::of(held.first_day()), Ok(held));
        prop_assert_eq!(Period::of(held.last_day()), Ok(held));
        if let Some(other) = held.plus(step) {
            prop_assert_eq!(other.months_since(held), step);
            prop_assert_eq!(other.plus(-step), Some(held));
        }
        if let Some(april) = held.april() {
            prop_assert_eq!((april.month(), april.financial_year()), (4, held.financial_year()));
            prop_assert_eq!(april.to(held).count(), usize::try_from(held.month_of_financial_year()).unwrap());
        }
    }

    #[test]
    fn a_decimal_of_three_places_is_exact_and_prints_back(thousandths in 0_i64..=1_000_000_000_000) {
        let written = Quantity::from_thousandths(thousandths).to_string();
        let number: f64 = written.parse().unwrap();
        let held = Quantity::from_f64(number).unwrap();
        prop_assert_eq!(held.thousandths(), thousandths);
        prop_assert_eq!(held.to_f64().to_bits(), number.to_bits());
        prop_assert_eq!(held.to_string(), number.to_string());
    }

    #[test]
    fn a_fourth_decimal_is_refused(thousandths in 0_i64..=1_000_000_000_000, digit in 1_u8..=9) {
        let number: f64 = format!("{}.{:03}{digit}", thousandths / 1000, thousandths % 1000).parse().unwrap();
        prop_assert!(Quantity::from_f64(number).is_err(), "{}", number);
    }

    #[test]
    fn any_number_is_a_quantity_or_refused(number in any::<f64>(), thousandths in any::<i64>(), pence in any::<i64>()) {
        if let Ok(held) = Quantity::from_f64(number) {
            prop_assert_eq!(held.to_f64(), number);
        }
        let sum = Quantity::from_thousandths(thousandths) + Quantity::from_thousandths(thousandths) + Quantity::from_count(thousandths);
        prop_assert!(!sum.to_string().is_empty());
        prop_assert!(!(Pence(pence) + Pence(pence) - Pence(i64::MIN)).to_string().is_empty());
    }
}
