//! What an organisation really planned to save and saved.

use qipp_domain::OrgCode;

use super::quality::Organisation;
use super::{ScenarioConfig, period_at};
use crate::calibration::scenarios::{MONTH_EFFECT, RHO_SCATTER, SAVINGS_SD, SD_SPREAD, setting};
use crate::calibration::{
    DELIVERY_MEDIAN, DELIVERY_SPREAD, MEDIUM_TRUST_SPEND, PLAN_SPREAD, PLAN_YEAR_SPREAD, QUARTERS,
    year_plan,
};
use crate::noise::{Purpose, between, count, heavy, next, normal, ramp, stream};

/// Plan and actual, pence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Money {
    pub(crate) plan: u64,
    pub(crate) actual: u64,
}

/// What is the same for all organisations.
#[derive(Debug)]
pub(crate) struct Economy {
    /// Autocorrelation of delivery.
    rho: f64,
    /// Month effect on delivery, logarithm.
    months: Vec<f64>,
}

impl Economy {
    pub(crate) fn new(config: &ScenarioConfig) -> Self {
        let mut rng = stream(config.seed, None, Purpose::Savings);
        Self {
            rho: between(&mut rng, setting(config.scenario).rho),
            months: (0..config.months)
                .map(|_| MONTH_EFFECT * SAVINGS_SD * normal(&mut rng))
                .collect(),
        }
    }
}

/// Savings by month. Plans follow the size, the year and its quarters, and know nothing of the story: what comes on top
/// of the plan is delivered without having been planned.
pub(crate) fn savings(
    config: &ScenarioConfig,
    economy: &Economy,
    organisation: Organisation<'_>,
) -> Vec<Money> {
    let mut rng = stream(config.seed, Some(organisation.code), Purpose::Savings);
    let (of_trust, of_year, _) = DELIVERY_SPREAD;
    let spend = MEDIUM_TRUST_SPEND * 100.0 * organisation.size;
    let ambition = (PLAN_SPREAD * normal(&mut rng)).exp();
    let delivery = DELIVERY_MEDIAN * (of_trust * normal(&mut rng)).exp();
    let own = SAVINGS_SD * (SD_SPREAD * normal(&mut rng)).exp();
    let (scatter, (low, high)) = RHO_SCATTER;
    let rho = (economy.rho + scatter * normal(&mut rng)).clamp(low, high);
    let years = years(config, organisation.code);
    let differ = if setting(config.scenario).years_differ {
        PLAN_YEAR_SPREAD.hypot(of_year)
    } else {
        0.0
    };
    let height = organisation
        .story
        .map_or(0.0, |story| story.savings_sd * own.hypot(differ));
    let mut state = heavy(&mut rng);
    (0..config.months)
        .map(|month| {
            state = next(rho, state, heavy(&mut rng));
            let effect = organisation
                .story
                .and_then(|story| Some(ramp(story.savings_from?, None, month) * height))
                .unwrap_or(0.0);
            let year = years[month];
            let at = period_at(config.first, month);
            let quarter = usize::from(at.month_of_financial_year().unsigned_abs() - 1) / 3;
            let plan = spend
                * ambition
                * (PLAN_YEAR_SPREAD * year.planned).exp()
                * year_plan(at.financial_year()).share_of_spend
                * QUARTERS[quarter.min(3)]
                / 3.0;
            let deviation = economy.months[month] + of_year * year.delivered + own * state + effect;
            Money {
                plan: count(plan),
                actual: count(plan * delivery * deviation.exp()),
            }
        })
        .collect()
}

/// How a financial year differs for an organisation, in standard deviations.
#[derive(Clone, Copy, Debug, Default)]
struct Year {
    planned: f64,
    delivered: f64,
}

/// The year of each month. Years are alike where the scenario does not let them differ.
fn years(config: &ScenarioConfig, code: OrgCode) -> Vec<Year> {
    let mut rng = stream(config.seed, Some(code), Purpose::Years);
    let mut year = Year::default();
    (0..config.months)
        .map(|month| {
            let begins = period_at(config.first, month).month() == 4 || month == 0;
            if begins && setting(config.scenario).years_differ {
                year = Year {
                    planned: normal(&mut rng),
                    delivered: normal(&mut rng),
                };
            }
            year
        })
        .collect()
}
