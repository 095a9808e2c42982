//! Are savings rising? (R01)
//!
//! `S3(t)` is what local schemes delivered in the three months up to `t`, month by month, without national pay and tariff items and
//! without technical true-ups. Savings are rising in `t` when
//!
//! * 15 months exist: `S3(t) > 1.05 × S3(t-12)`, the same three months of last year;
//! * in the first year: `S3(t) >= 0.95 × plan` of the same three months, and the full-year effect of the schemes that are live is
//!   higher than it was three months ago.
//!
//! Never the cumulative year to date: it always rises. Never this quarter against the last: an ordinary phased plan starts low
//! every April, so that the rule would sleep in spring and shout all winter (report §0.3).
//!
//! A month without a figure is not a month without savings: what needs it is not known, and what is not known is not rising.

use std::collections::BTreeMap;

use qipp_domain::alert::SavingsEvidence;
use qipp_domain::nation::Ledger;
use qipp_domain::savings::{delivered_in_month, lines, planned_in_month};
use qipp_domain::scheme::Scheme;
use qipp_domain::{Dataset, KnownAt, Pence, Period, SchemeId};

use crate::r01;
use crate::rule_set::RuleSetInForce;

/// Months that are added up (R01).
const SUM: i32 = 3;

/// Months of the window in which rising months are counted: `m-3..m` (R01).
const HELD_WINDOW: i32 = 4;

/// Which comparison was used: the text of [`SavingsEvidence::basis`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// The same months of last year.
    SameMonthsLastYear,
    /// Plan and savings in force, in the first year.
    PlanInFirstYear,
    /// Fewer than three months exist.
    NotEnoughHistory,
    /// A month that the comparison needs has no figure.
    MonthMissing,
}

impl Basis {
    /// The text that evidence carries.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::SameMonthsLastYear => "same_months_last_year",
            Self::PlanInFirstYear => "plan_in_first_year",
            Self::NotEnoughHistory => "not_enough_history",
            Self::MonthMissing => "month_missing",
        }
    }

    /// Was there a comparison at all?
    #[must_use]
    pub fn is_known(self) -> bool {
        matches!(self, Self::SameMonthsLastYear | Self::PlanInFirstYear)
    }
}

/// The savings side in one month. Amounts are of local schemes only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// The month.
    pub period: Period,
    /// Delivered in the last three months.
    pub last_three: Option<Pence>,
    /// Delivered in the same months a year ago.
    pub last_year: Option<Pence>,
    /// Planned for the last three months.
    pub planned: Pence,
    /// Full-year effect of the schemes that are live.
    pub in_force: Pence,
    /// The same three months ago.
    pub in_force_before: Pence,
    /// Which comparison was used.
    pub basis: Basis,
    /// Are savings rising? `false` also when it is not known.
    pub rising: bool,
}

/// A month of local savings.
#[derive(Clone, Copy, Debug)]
struct Month {
    delivered: Option<Pence>,
    simulated: bool,
}

/// The savings of one organisation as known at a moment.
#[derive(Debug)]
pub struct Savings<'a> {
    ledger: Option<&'a Ledger>,
    at: &'a KnownAt,
    schemes: BTreeMap<SchemeId, &'a Scheme>,
    months: BTreeMap<Period, Month>,
}

impl<'a> Savings<'a> {
    /// The savings of a ledger.
    #[must_use]
    pub fn of(ledger: Option<&'a Ledger>, at: &'a KnownAt) -> Self {
        let revisions = ledger.into_iter().flat_map(|held| held.schemes(at));
        let schemes = revisions.map(|revision| (revision.content.id, &revision.content));
        let mut savings = Self {
            ledger,
            at,
            schemes: schemes.collect(),
            months: BTreeMap::new(),
        };
        if let Some(ledger) = ledger {
            let months = ledger.periods(Dataset::Savings, at);
            savings.months = months
                .map(|period| (period, savings.month(ledger, period)))
                .collect();
        }
        savings
    }

    fn month(&self, ledger: &Ledger, period: Period) -> Month {
        let counted = |id: SchemeId| self.is_local(id);
        Month {
            delivered: delivered_in_month(ledger, period, self.at, counted),
            simulated: lines(ledger, period, self.at)
                .iter()
                .any(|line| line.simulated),
        }
    }

    /// A scheme that is not registered counts as local: nothing says that it is not.
    fn is_local(&self, id: SchemeId) -> bool {
        self.schemes
            .get(&id)
            .is_none_or(|scheme| !scheme.category.is_outside_r01())
    }

    /// What local schemes delivered month by month, oldest first; `None` where it is not known.
    pub fn delivered(&self) -> impl Iterator<Item = (Period, Option<Pence>)> + '_ {
        self.months
            .iter()
            .map(|(period, month)| (*period, month.delivered))
    }

    /// The schemes known, by identifier.
    pub fn schemes(&self) -> impl Iterator<Item = &'a Scheme> + '_ {
        self.schemes.values().copied()
    }

    /// The savings side in a month.
    #[must_use]
    pub fn look(&self, rules: &RuleSetInForce, period: Period) -> Look {
        let year_ago = period.plus(-12);
        let mut look = Look {
            period,
            last_three: self.sum(period, |month| month.delivered),
            last_year: year_ago.and_then(|then| self.sum(then, |month| month.delivered)),
            planned: self.planned(period),
            in_force: self.in_force(period),
            in_force_before: period
                .plus(-SUM)
                .map_or(Pence(0), |then| self.in_force(then)),
            basis: Basis::NotEnoughHistory,
            rising: false,
        };
        look.basis = self.basis(&look);
        look.rising = is_rising(rules, &look);
        look
    }

    fn basis(&self, look: &Look) -> Basis {
        let Some((&first, _)) = self.months.first_key_value() else {
            return Basis::NotEnoughHistory;
        };
        let months = look.period.months_since(first) + 1;
        match (look.last_three, look.last_year) {
            _ if months < SUM => Basis::NotEnoughHistory,
            (None, _) => Basis::MonthMissing,
            (Some(_), _) if months < 12 + SUM => Basis::PlanInFirstYear,
            (Some(_), None) => Basis::MonthMissing,
            (Some(_), Some(_)) => Basis::SameMonthsLastYear,
        }
    }

    /// Sum of the three months up to `until`; `None` when one of them has no figure.
    fn sum(&self, until: Period, amount: impl Fn(&Month) -> Option<Pence>) -> Option<Pence> {
        let from = until.plus(1 - SUM)?;
        from.to(until)
            .map(|period| self.months.get(&period).and_then(&amount))
            .sum()
    }

    /// Of the three months up to `until`, what pay schemes delivered; `None` when one of them has no figure.
    #[must_use]
    pub fn pay(&self, until: Period) -> Option<Pence> {
        let ledger = self.ledger?;
        let of_pay = |id: SchemeId| {
            self.is_local(id) && self.schemes.get(&id).is_some_and(|scheme| scheme.pay)
        };
        let of_month = |period| delivered_in_month(ledger, period, self.at, of_pay);
        until.plus(1 - SUM)?.to(until).map(of_month).sum()
    }

    fn planned(&self, until: Period) -> Pence {
        let (Some(ledger), Some(from)) = (self.ledger, until.plus(1 - SUM)) else {
            return Pence(0);
        };
        let plan = |period| planned_in_month(ledger, period, self.at, |id| self.is_local(id));
        from.to(until).map(plan).sum()
    }

    fn in_force(&self, period: Period) -> Pence {
        self.schemes()
            .filter(|scheme| scheme.is_live_in(period) && !scheme.category.is_outside_r01())
            .map(|scheme| scheme.full_year_effect)
            .sum()
    }

    /// The months of `m-3..m` in which savings were rising, oldest first.
    #[must_use]
    pub fn rising_periods(&self, rules: &RuleSetInForce, period: Period) -> Vec<Period> {
        let from = period.plus(1 - HELD_WINDOW).unwrap_or(period);
        from.to(period)
            .filter(|month| self.look(rules, *month).rising)
            .collect()
    }

    /// Did "savings rising" hold in enough of the months `m-3..m`?
    #[must_use]
    pub fn held(&self, rules: &RuleSetInForce, period: Period) -> bool {
        let rising = self.rising_periods(rules, period).len();
        rising >= rules.count(&r01::RISING_MONTHS) as usize
    }

    /// The savings side of a finding.
    #[must_use]
    pub fn evidence(&self, rules: &RuleSetInForce, period: Period) -> SavingsEvidence {
        let look = self.look(rules, period);
        SavingsEvidence {
            last_three_months: look.last_three,
            same_months_last_year: look.last_year,
            planned_three_months: Some(look.planned),
            pay_three_months: self.pay(period),
            in_force: look.in_force,
            in_force_three_months_ago: look.in_force_before,
            basis: look.basis.name().to_owned(),
            rising_periods: self.rising_periods(rules, period),
            simulated: self.is_simulated(period),
        }
    }

    /// Any figure that the months `m-3..m` are judged by is simulated.
    fn is_simulated(&self, period: Period) -> bool {
        let from = period.plus(-12 - SUM - HELD_WINDOW).unwrap_or(period);
        let scheme = self.schemes().any(|scheme| scheme.simulated);
        scheme
            || self
                .months
                .range(from..=period)
                .any(|(_, month)| month.simulated)
    }

    /// The months that the comparison of a month needs and that have no figure, oldest first.
    #[must_use]
    pub fn missing(&self, period: Period) -> Vec<Period> {
        let first = self.months.keys().next().copied().unwrap_or(period);
        [period.plus(-12), Some(period)]
            .into_iter()
            .flatten()
            .filter_map(|until| Some(until.plus(1 - SUM)?.to(until)))
            .flatten()
            .filter(|month| *month >= first)
            .filter(|month| {
                self.months
                    .get(month)
                    .and_then(|held| held.delivered)
                    .is_none()
            })
            .collect()
    }

    /// The share of genuine schemes in what local schemes plan for the financial year of the month, 0 to 1 (R20). `None` when
    /// nothing is planned.
    #[must_use]
    #[allow(
        clippy::cast_precision_loss,
        reason = "a share needs no more than 53 bits"
    )]
    pub fn genuine_share(&self, period: Period) -> Option<f64> {
        let april = period.april()?;
        let year = || april.to(april.plus(11).unwrap_or(period));
        let planned = |scheme: &Scheme| -> Pence {
            let live = year().filter(|month| scheme.is_live_in(*month));
            live.filter_map(|month| scheme.planned_in(month)).sum()
        };
        let local = || {
            self.schemes()
                .filter(|scheme| !scheme.category.is_national())
        };
        let all: Pence = local().map(planned).sum();
        let genuine: Pence = local()
            .filter(|scheme| scheme.standing().is_genuine())
            .map(planned)
            .sum();
        (all.0 > 0).then(|| genuine.0 as f64 / all.0 as f64)
    }
}

/// The comparison itself. A sum that is not positive is no saving, however much worse last year was.
#[allow(
    clippy::cast_precision_loss,
    reason = "sums of pence of one organisation fit 53 bits"
)]
fn is_rising(rules: &RuleSetInForce, look: &Look) -> bool {
    let Some(last_three) = look.last_three.filter(|sum| sum.0 > 0) else {
        return false;
    };
    match (look.basis, look.last_year) {
        (Basis::SameMonthsLastYear, Some(last_year)) => {
            last_three.0 as f64 > rules.value(&r01::RISING_FACTOR) * last_year.0 as f64
        }
        (Basis::PlanInFirstYear, _) => {
            let on_plan =
                last_three.0 as f64 >= rules.value(&r01::PLAN_SHARE) * look.planned.0 as f64;
            on_plan && look.in_force > look.in_force_before
        }
        _ => false,
    }
}
