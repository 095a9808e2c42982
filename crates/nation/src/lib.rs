//! A simulated nation with a known truth: what real organisations might have returned where nobody published what
//! they did.
//!
//! Savings returns by trust and month, and most quality markers by trust and month, were never published. This makes
//! them up for real organisation codes that come from outside, calibrated to published totals ([`calibration`] cites
//! each figure), so that demos, benchmarks and the scoring of rules have something to work on. Everything carries
//! `simulated = true`. What is simulated says nothing about the organisation whose code it bears.
//!
//! The [`Truth`] is known: who saves in a way that harms, and who, as controls, has only one of the two. Rules are
//! scored against it.
//!
//! Pure: the seed decides everything; no clock, no I/O. An organisation's figures depend on the configuration, its
//! own input and its part in the story, never on the order of the list or on who else is on it (except that the parts
//! are given to a share of the list). Logarithms and exponentials are the platform's, so equal configurations give
//! equal figures on one platform, and may differ in a last count on another.
//!
//! [`scenario`] makes the nations on which rules are scored, of organisations that do not exist and with what goes wrong
//! with real data. What is said here and below is of [`simulate`].
//!
//! Limits: delivery does not differ between national and own schemes; amounts are in the money of the spend that
//! comes in; denominators do not react to savings; no organisation opens, closes or merges; nothing is restated.

pub mod calibration;
mod models;
mod noise;
mod quality;
mod savings;
pub mod scenario;
mod schemes;
pub mod score;
mod story;

use std::collections::BTreeMap;

use qipp_domain::returns::{Observation, SavingsLine};
use qipp_domain::scheme::Scheme;
use qipp_domain::{MarkerCode, OrgCode, Pence, Period};

pub use story::{Truth, TruthKind};

/// What to simulate. Shares are 0 to 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Decides all random numbers.
    pub seed: u64,
    /// First month of quality returns.
    pub first_quality: Period,
    /// First month of savings returns.
    pub first_savings: Period,
    /// Last month of both.
    pub last: Period,
    /// Share of trusts whose savings harm ([`TruthKind::Both`]), rounded to whole trusts.
    pub harmful_share: f64,
    /// Share of trusts whose savings jump without harm.
    pub savings_only_share: f64,
    /// Share of trusts whose quality slips without a jump of savings.
    pub quality_only_share: f64,
    /// First month in which a story may begin. Never before the second year of either return, whatever is said here.
    pub first_onset: Period,
    /// Last month in which a story may begin. Never in the last three months.
    pub last_onset: Period,
    /// Share of returns that are not sent at all.
    pub missing_return_share: f64,
    /// Share of figures, in returns that are sent, that are missing for a stated reason.
    pub missing_value_share: f64,
    /// Share of trusts that state savings since April only, and nothing by month.
    pub ytd_only_share: f64,
}

impl Default for Config {
    /// The programme's years: quality 2009-04 to 2013-03, savings 2010-04 to 2013-03; 6% of trusts harmed, 10% in
    /// each group of controls, onsets 2011-10 to 2012-06; 1% of returns and 0.4% of figures missing; every fifth
    /// trust states savings since April only.
    fn default() -> Self {
        let month = |year, month| Period::new(year, month).expect("a month of the calendar");
        Self {
            seed: 2010,
            first_quality: month(2009, 4),
            first_savings: month(2010, 4),
            last: month(2013, 3),
            harmful_share: 0.06,
            savings_only_share: 0.10,
            quality_only_share: 0.10,
            first_onset: month(2011, 10),
            last_onset: month(2012, 6),
            missing_return_share: 0.01,
            missing_value_share: 0.004,
            ytd_only_share: 0.2,
        }
    }
}

/// An organisation to simulate.
#[derive(Clone, Debug, PartialEq)]
pub struct TrustInput {
    /// Its code.
    pub org: OrgCode,
    /// Operating expenses a year. Scales savings and denominators; less than £10m counts as £10m.
    pub annual_spend: Pence,
    /// Occupied bed days a month; `None`: in proportion to the spend (18,500 for £318m).
    pub bed_days_per_month: Option<f64>,
    /// Returns the markers of acute care too; otherwise only those of all providers (complaints, sickness, falls,
    /// ulcers, never events).
    pub acute: bool,
}

impl TrustInput {
    /// An acute trust of that annual spend.
    #[must_use]
    pub fn acute(org: OrgCode, annual_spend: Pence) -> Self {
        Self {
            org,
            annual_spend,
            bed_days_per_month: None,
            acute: true,
        }
    }

    #[allow(clippy::cast_precision_loss, reason = "no trust spends 2^53 pence")]
    fn spend_in_pounds(&self) -> f64 {
        (self.annual_spend.0 as f64 / 100.0).max(calibration::SMALLEST_SPEND)
    }

    fn returns(&self, model: &models::Model) -> bool {
        self.acute || !model.acute_only
    }
}

/// What one organisation returned.
#[derive(Clone, Debug, PartialEq)]
pub struct SimulatedTrust {
    /// Its code.
    pub org: OrgCode,
    /// Schemes of all financial years, in order of their identifiers, as they stand at the end: milestones say when
    /// they were done, which a scheme that has just been registered cannot know.
    pub schemes: Vec<Scheme>,
    /// Savings lines by month, in order of the scheme. A month without an entry was not sent.
    pub savings: BTreeMap<Period, Vec<SavingsLine>>,
    /// Observations by month, in order of the key. A month without an entry was not sent.
    pub quality: BTreeMap<Period, Vec<Observation>>,
}

/// A simulated nation.
#[derive(Clone, Debug, PartialEq)]
pub struct Simulation {
    /// What was returned, in order of the code.
    pub trusts: Vec<SimulatedTrust>,
    /// What was put in, in order of the code. Trusts that are not here have noise only.
    pub truth: Vec<Truth>,
}

/// Simulates the nation. An organisation that is given twice is simulated once, with the smaller spend.
#[must_use]
pub fn simulate(config: &Config, trusts: &[TrustInput]) -> Simulation {
    let mut inputs = trusts.to_vec();
    inputs.sort_by_key(|trust| {
        (
            trust.org,
            trust.annual_spend,
            !trust.acute,
            trust.bed_days_per_month.map(f64::to_bits),
        )
    });
    inputs.dedup_by_key(|trust| trust.org);
    let truth = story::cast(config, &inputs);
    let weather = quality::Weather::new(config);
    let trusts = inputs
        .iter()
        .map(|trust| {
            let truth = truth.get(&trust.org);
            let plans = schemes::plan(config, trust, truth);
            let savings = savings::returns(config, trust, &plans);
            let quality = quality::returns(config, &weather, trust, truth);
            let schemes = plans.into_iter().map(|plan| plan.scheme).collect();
            SimulatedTrust {
                org: trust.org,
                schemes,
                savings,
                quality,
            }
        })
        .collect();
    Simulation {
        trusts,
        truth: truth.into_values().collect(),
    }
}

/// The markers that are simulated, in order of their code.
#[must_use]
pub fn simulated_markers() -> Vec<MarkerCode> {
    let mut markers: Vec<MarkerCode> = models::MODELS.iter().map(models::Model::marker).collect();
    markers.sort();
    markers
}
