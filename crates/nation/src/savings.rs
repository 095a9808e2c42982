//! Savings returns: how much of the plan each scheme delivers, and how the trust states it.

use std::collections::BTreeMap;

use qipp_domain::returns::SavingsLine;
use qipp_domain::{FinancialYear, Missing, Pence, Period};
use rand_chacha::ChaCha8Rng;

use crate::calibration::{DELIVERY_MEDIAN, DELIVERY_RHO, DELIVERY_SPREAD, SCHEME_SPREAD};
use crate::noise::{Purpose, chance, next, normal, stream};
use crate::schemes::{Plan, pounds};
use crate::{Config, TrustInput};

/// The savings returns of one trust, by month. A month without an entry was not sent.
pub(crate) fn returns(
    config: &Config,
    trust: &TrustInput,
    plans: &[Plan],
) -> BTreeMap<Period, Vec<SavingsLine>> {
    let mut rng = stream(config.seed, Some(trust.org), Purpose::Savings);
    let ytd_only = chance(&mut rng, config.ytd_only_share);
    let mut delivery = Delivery::new(&mut rng);
    let mut ledgers = vec![Ledger::default(); plans.len()];
    let mut sent = BTreeMap::new();
    // From April on, even when returns start later: what is stated since April includes it.
    let Some(april) = config.first_savings.april() else {
        return sent;
    };
    for period in april.to(config.last) {
        let ratio = delivery.of(&mut rng, period);
        let mut lines = Vec::new();
        for (plan, ledger) in plans.iter().zip(&mut ledgers) {
            let Some(planned) = plan.scheme.planned_in(period) else {
                continue;
            };
            let actual = deliver(&mut rng, planned, ratio);
            ledger.book(planned, actual);
            let mut line = line(plan, ledger, planned, actual, ytd_only);
            if let Some(missing) = missing(&mut rng, config) {
                line = SavingsLine {
                    actual: None,
                    actual_ytd: None,
                    forecast: None,
                    recurrent: None,
                    missing: Some(missing),
                    ..line
                };
            }
            lines.push(line);
        }
        let is_sent = !chance(&mut rng, config.missing_return_share);
        if is_sent && period >= config.first_savings && !lines.is_empty() {
            sent.insert(period, lines);
        }
    }
    sent
}

/// How much of its plan a trust delivers, month by month.
struct Delivery {
    trust: f64,
    year: f64,
    in_year: Option<FinancialYear>,
    month: f64,
}

impl Delivery {
    fn new(rng: &mut ChaCha8Rng) -> Self {
        Self {
            trust: normal(rng),
            year: 0.0,
            in_year: None,
            month: normal(rng),
        }
    }

    fn of(&mut self, rng: &mut ChaCha8Rng, period: Period) -> f64 {
        let year = period.financial_year();
        if self.in_year != Some(year) {
            (self.in_year, self.year) = (Some(year), normal(rng));
        }
        self.month = next(DELIVERY_RHO, self.month, normal(rng));
        let (trust, year, month) = DELIVERY_SPREAD;
        DELIVERY_MEDIAN * (trust * self.trust + year * self.year + month * self.month).exp()
    }
}

/// What a scheme was to bring and has brought since April. No scheme's plan reaches into a second year.
#[derive(Clone, Debug, Default)]
struct Ledger {
    planned: Pence,
    actual: Pence,
}

impl Ledger {
    fn book(&mut self, planned: Pence, actual: Pence) {
        self.planned = self.planned + planned;
        self.actual = self.actual + actual;
    }

    /// Expected for the year: the rest of the plan, at the mean of the rate so far and of the full plan, because
    /// forecasts hope.
    fn forecast(&self, plan: &Plan) -> Pence {
        let year: Pence = plan.scheme.planned.iter().copied().sum();
        let so_far = if self.planned.0 > 0 {
            in_pounds(self.actual) / in_pounds(self.planned)
        } else {
            1.0
        };
        self.actual + pounds(in_pounds(year - self.planned) * (1.0 + so_far) / 2.0)
    }
}

fn deliver(rng: &mut ChaCha8Rng, planned: Pence, ratio: f64) -> Pence {
    pounds(in_pounds(planned) * ratio * (SCHEME_SPREAD * normal(rng)).exp())
}

/// A line as the trust states it: by month, or only since April, which leaves the month's recurrent part unsaid too.
fn line(
    plan: &Plan,
    ledger: &Ledger,
    planned: Pence,
    actual: Pence,
    ytd_only: bool,
) -> SavingsLine {
    let recurrent = pounds(in_pounds(actual) * plan.recurrent_part);
    SavingsLine {
        scheme: plan.scheme.id,
        plan: Some(planned),
        actual: (!ytd_only).then_some(actual),
        actual_ytd: ytd_only.then_some(ledger.actual),
        forecast: Some(ledger.forecast(plan)),
        recurrent: (!ytd_only).then_some(recurrent),
        missing: None,
        simulated: true,
    }
}

fn missing(rng: &mut ChaCha8Rng, config: &Config) -> Option<Missing> {
    let is_missing = chance(rng, config.missing_value_share);
    let withheld = chance(rng, 0.4);
    is_missing.then_some(if withheld {
        Missing::WithheldForQuality
    } else {
        Missing::NotSubmitted
    })
}

#[allow(
    clippy::cast_precision_loss,
    reason = "no amount here reaches 2^53 pence"
)]
fn in_pounds(amount: Pence) -> f64 {
    amount.0 as f64 / 100.0
}
