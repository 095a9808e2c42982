//! Savings: a figure that needs a missing month is missing; the same story told by months or by year to date is the same story.
#![allow(
    clippy::unwrap_used,
    reason = "tests and their helpers may fail loudly"
)]

#[allow(dead_code, reason = "each test file uses its own part of the builder")]
mod fixture;

use fixture::*;
use proptest::prelude::*;
use qipp_domain::returns::SavingsLine;
use qipp_domain::savings::{
    Position, delivered_in_month, in_month as month_of, plan_in_month, planned_in_month, position,
    year_to_date,
};
use qipp_domain::{Pence, Period};

const YEAR: [&str; 12] = [
    "2011-04", "2011-05", "2011-06", "2011-07", "2011-08", "2011-09", "2011-10", "2011-11",
    "2011-12", "2012-01", "2012-02", "2012-03",
];

fn month_figure(world: &World, scheme: &str, month: &str) -> Option<i64> {
    month_of(
        world.ledger("RA1"),
        scheme_id(scheme),
        period(month),
        &LATEST,
    )
    .map(|p| p.0)
}

fn ytd_figure(world: &World, scheme: &str, month: &str) -> Option<i64> {
    year_to_date(
        world.ledger("RA1"),
        scheme_id(scheme),
        period(month),
        &LATEST,
    )
    .map(|p| p.0)
}

/// A return of RA1 for each month in turn from April 2011.
fn told(months: &[Vec<SavingsLine>]) -> World {
    let mut world = World::england();
    for (month, lines) in YEAR.iter().zip(months) {
        if !lines.is_empty() {
            world.savings("RA1", month, lines.clone());
        }
    }
    world
}

#[test]
fn the_month_is_the_year_to_date_less_the_one_before() {
    let world = told(&[vec![to_date("A", 100)], vec![to_date("A", 250)]]);
    assert_eq!(month_figure(&world, "A", "2011-04"), Some(100));
    assert_eq!(month_figure(&world, "A", "2011-05"), Some(150));
}

#[test]
fn april_starts_from_nothing_whatever_march_said() {
    let mut world = World::england();
    world.savings("RA1", "2011-03", vec![to_date("A", 9_000)]);
    world.savings("RA1", "2011-04", vec![to_date("A", 40)]);
    assert_eq!(month_figure(&world, "A", "2011-04"), Some(40));
    assert_eq!(ytd_figure(&world, "A", "2011-04"), Some(40));
}

#[test]
fn a_month_that_was_never_returned_leaves_the_next_one_unknown() {
    let world = told(&[vec![to_date("A", 100)], vec![], vec![to_date("A", 300)]]);
    assert_eq!(month_figure(&world, "A", "2011-06"), None);
    assert_eq!(ytd_figure(&world, "A", "2011-06"), Some(300));
    assert_eq!(ytd_figure(&world, "A", "2011-05"), None);
    let months = told(&[vec![in_month("A", 100)], vec![], vec![in_month("A", 300)]]);
    assert_eq!(month_figure(&months, "A", "2011-06"), Some(300));
    assert_eq!(ytd_figure(&months, "A", "2011-06"), None);
}

#[test]
fn a_line_that_says_missing_is_not_a_nil_month() {
    let world = told(&[
        vec![to_date("A", 100)],
        vec![missing_line("A")],
        vec![to_date("A", 300)],
        vec![to_date("A", 350)],
    ]);
    assert_eq!(month_figure(&world, "A", "2011-05"), None);
    assert_eq!(ytd_figure(&world, "A", "2011-05"), None);
    assert_eq!(month_figure(&world, "A", "2011-06"), None);
    assert_eq!(month_figure(&world, "A", "2011-07"), Some(50));
    assert_eq!(
        position(world.ledger("RA1"), period("2011-05"), &LATEST)
            .0
            .actual_month,
        None
    );
}

#[test]
fn a_scheme_without_earlier_lines_in_returned_months_starts_from_nothing() {
    let world = told(&[
        vec![to_date("A", 100)],
        vec![to_date("A", 200)],
        vec![to_date("A", 300), to_date("B", 70)],
        vec![to_date("A", 400)],
        vec![to_date("A", 500), to_date("B", 90)],
    ]);
    assert_eq!(month_figure(&world, "B", "2011-06"), Some(70));
    assert_eq!(ytd_figure(&world, "B", "2011-05"), Some(0));
    // July was returned without B: nothing was added.
    assert_eq!(month_figure(&world, "B", "2011-07"), None);
    assert_eq!(ytd_figure(&world, "B", "2011-07"), Some(70));
    assert_eq!(month_figure(&world, "B", "2011-08"), Some(20));
    assert_eq!(ytd_figure(&world, "C", "2011-09"), None);
}

#[test]
fn a_stated_month_wins_over_the_difference_of_the_years_to_date() {
    let both = SavingsLine {
        actual: Some(Pence(33)),
        ..to_date("A", 150)
    };
    let world = told(&[vec![to_date("A", 100)], vec![both], vec![to_date("A", 180)]]);
    assert_eq!(month_figure(&world, "A", "2011-05"), Some(33));
    assert_eq!(ytd_figure(&world, "A", "2011-05"), Some(150));
    assert_eq!(month_figure(&world, "A", "2011-06"), Some(30));
}

#[test]
fn a_reversal_is_a_negative_month_and_a_falling_year_to_date() {
    let world = told(&[
        vec![to_date("A", 100)],
        vec![to_date("A", 60)],
        vec![in_month("A", -80)],
    ]);
    assert_eq!(month_figure(&world, "A", "2011-05"), Some(-40));
    assert_eq!(ytd_figure(&world, "A", "2011-06"), Some(-20));
    let delivered = delivered_in_month(world.ledger("RA1"), period("2011-06"), &LATEST, |_| true);
    assert_eq!(delivered, Some(Pence(-80)));
}

#[test]
fn a_restated_month_is_seen_by_the_months_after_it() {
    let mut world = told(&[vec![to_date("A", 100)], vec![to_date("A", 250)]]);
    let before = world.cut();
    world.savings("RA1", "2011-04", vec![to_date("A", 120)]);
    assert_eq!(month_figure(&world, "A", "2011-05"), Some(130));
    let then = month_of(
        world.ledger("RA1"),
        scheme_id("A"),
        period("2011-05"),
        &before,
    );
    assert_eq!(then, Some(Pence(150)));
}

#[test]
fn the_delivered_month_is_unknown_when_one_line_is_and_nil_only_when_returned() {
    let world = told(&[
        vec![in_month("A", 5), in_month("B", 7)],
        vec![in_month("A", 5), missing_line("B")],
    ]);
    let delivered = |month, only: Option<&str>| {
        delivered_in_month(world.ledger("RA1"), period(month), &LATEST, |id| {
            only.is_none_or(|only| id == scheme_id(only))
        })
    };
    assert_eq!(delivered("2011-04", None), Some(Pence(12)));
    assert_eq!(delivered("2011-05", None), None);
    assert_eq!(delivered("2011-05", Some("A")), Some(Pence(5)));
    assert_eq!(delivered("2011-05", Some("Z")), Some(Pence(0)));
    assert_eq!(delivered("2011-06", None), None);
}

#[test]
fn the_plan_of_the_return_wins_over_the_plan_of_the_register() {
    let mut world = World::england();
    world.scheme(scheme("RA1", "A", "2011-05", &[10, 20, 30]));
    world.savings(
        "RA1",
        "2011-06",
        vec![SavingsLine {
            plan: Some(Pence(25)),
            ..in_month("A", 0)
        }],
    );
    let ledger = world.ledger("RA1");
    let plan =
        |month: &str| plan_in_month(ledger, scheme_id("A"), period(month), &LATEST).map(|p| p.0);
    let planned = ["2011-04", "2011-05", "2011-06", "2011-07", "2011-08"].map(plan);
    assert_eq!(planned, [None, Some(10), Some(25), Some(30), None]);
    assert_eq!(
        planned_in_month(ledger, period("2011-06"), &LATEST, |_| true),
        Pence(25)
    );
    assert_eq!(
        planned_in_month(ledger, period("2011-06"), &LATEST, |_| false),
        Pence(0)
    );
}

#[test]
fn the_plan_of_the_year_is_that_of_the_register_and_stays_within_april_to_march() {
    let mut world = World::england();
    world.scheme(scheme("RA1", "A", "2011-02", &[1, 2, 10, 20, 30]));
    world.scheme(scheme("RA1", "B", "2012-02", &[100, 200, 400]));
    world.savings("RA1", "2011-05", vec![in_month("A", 7)]);
    let (held, schemes) = position(world.ledger("RA1"), period("2011-05"), &LATEST);
    assert_eq!(held.plan_year, Some(Pence(10 + 20 + 30 + 100 + 200)));
    assert_eq!(held.plan_ytd, Some(Pence(30)));
    assert_eq!(held.plan_month, Some(Pence(20)));
    assert_eq!(schemes.len(), 2);
}

#[test]
fn a_scheme_that_starts_later_does_not_hide_what_the_others_delivered() {
    let mut world = World::england();
    world.scheme(scheme("RA1", "A", "2011-04", &[10; 12]));
    world.scheme(scheme("RA1", "LATER", "2011-10", &[10; 12]));
    // April was never returned; May states the year to date.
    world.savings("RA1", "2011-05", vec![to_date("A", 18)]);
    let (held, schemes) = position(world.ledger("RA1"), period("2011-05"), &LATEST);
    assert_eq!(held.actual_ytd, Some(Pence(18)));
    assert_eq!(held.delivery_ratio(), Some(0.9));
    assert_eq!(schemes[1].actual_ytd, None);
}

#[test]
fn a_scheme_that_should_have_begun_and_is_nowhere_keeps_the_sum_unknown() {
    let mut world = World::england();
    world.scheme(scheme("RA1", "A", "2011-04", &[10; 12]));
    world.scheme(scheme("RA1", "B", "2011-04", &[10; 12]));
    world.savings("RA1", "2011-05", vec![to_date("A", 18)]);
    let (held, _) = position(world.ledger("RA1"), period("2011-05"), &LATEST);
    assert_eq!(held.actual_ytd, None);
    assert_eq!(held.organisations_with_actual_ytd, 0);
    // April without B says nothing of B either: not submitted is not zero.
    world.savings("RA1", "2011-04", vec![to_date("A", 8)]);
    let (held, _) = position(world.ledger("RA1"), period("2011-05"), &LATEST);
    assert_eq!((held.actual_ytd, held.actual_month), (None, None));
    // A zero that is stated is a zero.
    world.savings("RA1", "2011-05", vec![to_date("A", 18), to_date("B", 0)]);
    let (held, _) = position(world.ledger("RA1"), period("2011-05"), &LATEST);
    assert_eq!(held.actual_ytd, Some(Pence(18)));
}

#[test]
fn an_organisation_that_returned_nothing_has_a_plan_and_no_delivery() {
    let mut world = World::england();
    world.scheme(scheme("RA1", "A", "2011-04", &[10; 12]));
    let (held, _) = position(world.ledger("RA1"), period("2011-06"), &LATEST);
    assert_eq!(
        (held.plan_ytd, held.actual_ytd, held.actual_month),
        (Some(Pence(30)), None, None)
    );
    assert_eq!(
        (held.delivery_ratio(), held.recurrent_share()),
        (None, None)
    );
    assert_eq!(
        (held.organisations, held.organisations_with_actual_ytd),
        (1, 0)
    );
}

#[test]
fn the_recurrent_share_is_of_the_lines_that_state_one() {
    let recurrent = |scheme, month, of| SavingsLine {
        recurrent: Some(Pence(of)),
        ..in_month(scheme, month)
    };
    let world = told(&[vec![
        recurrent("A", 100, 25),
        recurrent("B", 100, 50),
        in_month("C", 999),
    ]]);
    let (held, _) = position(world.ledger("RA1"), period("2011-04"), &LATEST);
    assert_eq!(held.recurrent_share(), Some(0.375));
}

#[test]
fn simulated_figures_are_shown_as_such() {
    let mut world = told(&[vec![in_month("A", 5)]]);
    assert!(
        !position(world.ledger("RA1"), period("2011-04"), &LATEST)
            .0
            .simulated
    );
    let simulated = SavingsLine {
        simulated: true,
        ..in_month("A", 5)
    };
    world.savings("RA1", "2011-04", vec![simulated]);
    let of_a = position(world.ledger("RA1"), period("2011-04"), &LATEST).0;
    assert!(of_a.simulated && Position::default().add(&of_a).simulated);
}

#[test]
fn the_delivery_ratio_counts_only_organisations_that_state_plan_and_delivery() {
    let mut world = World::england();
    world.scheme(scheme("RA1", "A", "2011-04", &[100]));
    world.savings("RA1", "2011-04", vec![in_month("A", 80)]);
    world.scheme(scheme("RA2", "A", "2011-04", &[1_000]));
    world.savings("RB1", "2011-04", vec![in_month("A", 5_000)]);
    let of = |code| position(world.ledger(code), period("2011-04"), &LATEST).0;
    let sum = of("RA1").add(&of("RA2")).add(&of("RB1"));
    assert_eq!(sum.delivery_ratio(), Some(0.8));
    assert_eq!(
        (sum.plan_ytd, sum.actual_ytd),
        (Some(Pence(1_100)), Some(Pence(5_080)))
    );
    assert_eq!(
        (sum.organisations, sum.organisations_with_actual_ytd),
        (3, 2)
    );
}

fn any_pence() -> impl Strategy<Value = Option<Pence>> {
    prop::option::of((-1_000_000_i64..1_000_000).prop_map(Pence))
}

fn any_position() -> impl Strategy<Value = Position> {
    let figures = prop::collection::vec(any_pence(), 8);
    let recurrent = prop::option::of((-500_i64..500, -500_i64..500));
    (figures, recurrent, 0_u32..100, any::<bool>()).prop_map(|(f, recurrent, n, simulated)| {
        Position {
            plan_month: f[0],
            actual_month: f[1],
            plan_ytd: f[2],
            actual_ytd: f[3],
            plan_ytd_of_delivered: f[4],
            actual_ytd_of_planned: f[5],
            forecast: f[6],
            plan_year: f[7],
            recurrent: recurrent.map(|(a, b)| (Pence(a), Pence(b))),
            organisations: n,
            organisations_with_actual_ytd: n / 2,
            simulated,
        }
    })
}

proptest! {
    #[test]
    fn positions_add_in_any_order_and_any_grouping(a in any_position(), b in any_position(), c in any_position()) {
        prop_assert_eq!(a.clone().add(&b), b.clone().add(&a));
        prop_assert_eq!(a.clone().add(&b).add(&c), a.clone().add(&b.add(&c)));
        prop_assert_eq!(Position::default().add(&a), a);
    }

    #[test]
    fn the_same_savings_told_by_months_or_by_year_to_date_give_the_same_positions(
        months in prop::collection::vec(prop::collection::vec(-500_i64..2_000, 12), 1..4),
    ) {
        let names = ["A", "B", "C"];
        let (mut by_month, mut by_year) = (World::england(), World::england());
        for (i, month) in YEAR.iter().enumerate() {
            let lines = |make: fn(&str, i64) -> SavingsLine, figure: &dyn Fn(&Vec<i64>) -> i64| {
                months.iter().zip(names).map(|(series, name)| make(name, figure(series))).collect::<Vec<_>>()
            };
            by_month.savings("RA1", month, lines(in_month, &|series| series[i]));
            by_year.savings("RA1", month, lines(to_date, &|series| series[..=i].iter().sum()));
        }
        for (i, month) in YEAR.iter().enumerate() {
            let month: Period = period(month);
            let told = position(by_month.ledger("RA1"), month, &LATEST);
            prop_assert_eq!(&told, &position(by_year.ledger("RA1"), month, &LATEST));
            let sum: i64 = months.iter().map(|series| series[i]).sum();
            prop_assert_eq!(told.0.actual_month, Some(Pence(sum)));
            let to_date: i64 = months.iter().flat_map(|series| &series[..=i]).sum();
            prop_assert_eq!(told.0.actual_ytd, Some(Pence(to_date)));
        }
    }
}
