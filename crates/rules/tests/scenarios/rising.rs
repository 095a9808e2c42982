//! When savings rise.

use qipp_domain::Pence;
use qipp_domain::scheme::SchemeCategory;
use qipp_rules::rising::{Basis, Look};

use crate::fixture::{NOW, Trust, month, scheme};

fn look(trust: &Trust, period: &str) -> Look {
    trust
        .log()
        .with_subject(|subject| subject.savings.look(subject.context.rules, month(period)))
}

#[test]
fn savings_rise_when_they_exceed_the_same_months_of_last_year_by_a_twentieth() {
    let risen = look(&Trust::with_rising_savings(), NOW);
    assert_eq!(
        (risen.basis, risen.rising),
        (Basis::SameMonthsLastYear, true)
    );
    assert_eq!(
        (risen.last_three, risen.last_year),
        (Some(Pence(36_000_000)), Some(Pence(30_000_000)))
    );
    let mut exactly = Trust::with_flat_savings();
    for period in ["2012-04", "2012-05", "2012-06"] {
        exactly.deliver("LOCAL", month(period), Some(105_000));
    }
    assert!(!look(&exactly, NOW).rising, "exactly 5% is not above 5%");
    exactly.deliver("LOCAL", month(NOW), Some(105_001));
    assert!(look(&exactly, NOW).rising);
}

#[test]
fn the_reset_in_april_neither_makes_savings_rise_nor_fall() {
    // An ordinary phased plan: £40,000 in April, £20,000 more every month, the same every year.
    let mut phased = Trust::with_flat_savings();
    for period in phased.first.to(phased.last) {
        phased.deliver(
            "LOCAL",
            period,
            Some(20_000 + 20_000 * i64::from(period.month_of_financial_year())),
        );
    }
    for period in month("2011-03").to(month(NOW)) {
        let look = look(&phased, &period.to_string());
        assert_eq!(
            (look.basis, look.rising),
            (Basis::SameMonthsLastYear, false),
            "{period}"
        );
    }
}

#[test]
fn in_the_first_year_savings_rise_on_plan_and_with_more_in_force() {
    let mut young = Trust::with_flat_savings();
    young.first = month("2011-05");
    assert!(
        !look(&young, NOW).rising,
        "on plan, but no more in force than three months ago"
    );
    let mut second = scheme("SECOND");
    second.start = month("2012-05");
    second.planned = vec![Pence(0); 12];
    young.schemes.push(second);
    let on_plan = look(&young, NOW);
    assert_eq!(
        (on_plan.basis, on_plan.rising),
        (Basis::PlanInFirstYear, true)
    );
    assert_eq!(
        (on_plan.in_force, on_plan.in_force_before),
        (Pence(240_000_000), Pence(120_000_000))
    );
    for period in ["2012-04", "2012-05", "2012-06"] {
        young.deliver("LOCAL", month(period), Some(94_000));
    }
    assert!(!look(&young, NOW).rising, "94% of plan");
}

#[test]
fn the_fifteenth_month_ends_the_first_year() {
    let mut young = Trust::with_rising_savings();
    young.first = month("2011-05");
    assert_eq!(look(&young, NOW).basis, Basis::PlanInFirstYear);
    young.first = month("2011-04");
    assert_eq!(look(&young, NOW).basis, Basis::SameMonthsLastYear);
    young.first = month("2012-05");
    assert_eq!(look(&young, NOW).basis, Basis::NotEnoughHistory);
}

#[test]
fn a_missing_month_is_no_month_without_savings() {
    // Last year's May missing: taken as zero, this year would have risen by half.
    let mut gap = Trust::with_flat_savings();
    gap.no_savings_return.push(month("2011-05"));
    let unknown = look(&gap, NOW);
    assert_eq!(
        (unknown.basis, unknown.rising, unknown.last_year),
        (Basis::MonthMissing, false, None)
    );
    let mut line = Trust::with_rising_savings();
    line.deliver("LOCAL", month("2012-05"), None);
    assert_eq!(look(&line, NOW).last_three, None);
    assert!(!look(&line, NOW).rising);
}

#[test]
fn national_pay_tariff_and_technical_items_are_left_out() {
    for category in [
        SchemeCategory::NationalPay,
        SchemeCategory::NationalTariff,
        SchemeCategory::TechnicalAccounting,
    ] {
        let mut trust = Trust::with_flat_savings();
        trust.schemes.push(qipp_domain::scheme::Scheme {
            category,
            ..scheme("OUTSIDE")
        });
        for period in month("2012-01").to(trust.last) {
            trust.deliver("OUTSIDE", period, Some(500_000));
        }
        let look = look(&trust, NOW);
        assert_eq!(
            (look.last_three, look.in_force),
            (Some(Pence(30_000_000)), Pence(120_000_000)),
            "{category:?}"
        );
        assert!(!look.rising);
    }
}

#[test]
fn a_sum_that_is_not_positive_is_no_saving() {
    let mut reversed = Trust::with_flat_savings();
    for period in ["2011-04", "2011-05", "2011-06"] {
        reversed.deliver("LOCAL", month(period), Some(-200_000));
    }
    for period in ["2012-04", "2012-05", "2012-06"] {
        reversed.deliver("LOCAL", month(period), Some(-1));
    }
    assert!(!look(&reversed, NOW).rising);
}
