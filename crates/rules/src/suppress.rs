//! Why something that was seen is not asked (suppression column of R01, report §4).
//!
//! Markers are left out one by one, each with a reason that evidence notes. An organisation that has just merged is found and not
//! asked: the finding is recorded with the reason, and becomes a question by itself if it still holds when the reason is gone.

use std::fmt;

use qipp_domain::Period;
use qipp_domain::alert::Direction;
use qipp_domain::returns::Status;

use crate::r01;
use crate::rule_set::RuleSetInForce;
use crate::series::{Point, Scale};
use crate::slip::Reading;
use crate::subject::Subject;

/// Why a marker that slips or improves does not count.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum LeftOut {
    /// The definition is no longer valid for the month.
    Retired,
    /// A proportion of too few.
    SmallDenominator {
        /// Own denominator.
        denominator: f64,
        /// What it would have to reach.
        floor: f64,
    },
    /// At the national rate hardly any event would be expected, so that a single one looks like a signal.
    FewExpected {
        /// Events expected.
        expected: f64,
        /// What it would have to reach.
        floor: f64,
    },
    /// So many organisations slip at once that the question is a national one.
    NationalShock {
        /// Organisations that slip.
        slipping: u32,
        /// Organisations with a figure.
        organisations: u32,
    },
    /// The only month that slips is a first provisional figure: one refresh is awaited.
    ProvisionalOnly,
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Retired => f.write_str("the definition is no longer valid for the month"),
            Self::SmallDenominator { denominator, floor } => {
                write!(f, "denominator {denominator} is below {floor}")
            }
            Self::FewExpected { expected, floor } => {
                write!(f, "{expected:.2} events expected, below {floor}")
            }
            Self::NationalShock {
                slipping,
                organisations,
            } => write!(
                f,
                "a national question: {slipping} of {organisations} organisations slip in the month"
            ),
            Self::ProvisionalOnly => {
                f.write_str("the only slipping month is provisional: held for one refresh")
            }
        }
    }
}

/// The reason to leave the marker out of the month, if there is one.
#[must_use]
pub fn marker(rules: &RuleSetInForce, reading: &Reading, now: &Point) -> Option<LeftOut> {
    let retired = !reading.definition.is_valid_for(now.period);
    retired
        .then_some(LeftOut::Retired)
        .or_else(|| below_floor(rules, reading, now))
        .or_else(|| national_shock(rules, reading, now))
        .or_else(|| provisional_only(rules, reading, now))
}

/// R01 says "denominator below floor" and gives no number. Two floors are used, because a denominator means different things:
/// a proportion needs enough people, a rate needs enough expected events (bed days alone say nothing about a rare infection).
fn below_floor(rules: &RuleSetInForce, reading: &Reading, now: &Point) -> Option<LeftOut> {
    let scale = Scale::of(&reading.definition);
    let denominator = now.own.denominator?.to_f64();
    let floor = rules.value(&r01::DENOMINATOR_FLOOR);
    if scale == Scale::Proportion && denominator < floor {
        return Some(LeftOut::SmallDenominator { denominator, floor });
    }
    let rate = now.national?.figure.value()?;
    let expected = match scale {
        // Cases or non-cases, whichever are fewer: 2 breaches among 10,000 are as rare as 2 infections.
        Scale::Proportion => denominator * rate.min(1.0 - rate),
        Scale::Rate | Scale::Amount => denominator * rate,
    };
    let floor = rules.value(&r01::EXPECTED_FLOOR);
    (expected < floor).then_some(LeftOut::FewExpected { expected, floor })
}

fn national_shock(rules: &RuleSetInForce, reading: &Reading, now: &Point) -> Option<LeftOut> {
    let national = now.national?;
    let share =
        f64::from(national.organisations_slipping) / f64::from(national.organisations.max(1));
    let is_shock = reading.direction == Some(Direction::Slipping)
        && national.organisations >= rules.count(&r01::SHOCK_ORGANISATIONS)
        && share > rules.value(&r01::SHOCK_SHARE);
    is_shock.then_some(LeftOut::NationalShock {
        slipping: national.organisations_slipping,
        organisations: national.organisations,
    })
}

fn provisional_only(rules: &RuleSetInForce, reading: &Reading, now: &Point) -> Option<LeftOut> {
    let first_provisional = now.status == Status::Provisional && now.revision == 1;
    let limit = rules.value(&r01::Z_PAIR);
    let far = |z: f64| match reading.direction {
        Some(Direction::Improving) => -z >= limit,
        _ => z >= limit,
    };
    let earlier = reading
        .points
        .iter()
        .filter(|point| point.period != now.period);
    let alone = !earlier.into_iter().any(|point| far(point.adverse_z));
    (first_provisional && alone).then_some(LeftOut::ProvisionalOnly)
}

/// Why an organisation is not asked about its figures of the month; empty when it is.
#[must_use]
pub fn organisation(subject: &Subject<'_>, period: Period) -> String {
    let months = subject.context.rules.count(&r01::SUCCESSION_MONTHS);
    let back = i32::try_from(months).unwrap_or(0);
    let from = period.plus(1 - back).unwrap_or(period);
    if months > 0
        && subject
            .context
            .reference
            .had_succession(subject.org, from, period)
    {
        format!(
            "{} merged or was succeeded within the last {months} months",
            subject.org
        )
    } else {
        String::new()
    }
}
