//! Nations on which rules are scored: synthetic organisations, markers in the five domains of quality, savings, and what
//! was put into whom.
//!
//! Where [`crate::simulate`] makes up what real organisations might have returned, nobody here exists: organisations
//! are `SIM00001`, `SIM00002`, …, markers `SIM_ACCESS_1`, …. The named scenarios are those of the study behind the rules
//! (A, B, C, E and N, in which nobody has both), and [`Scenario::Real`] has everything at once, with the faults that
//! real data have.
//!
//! On the link scale (logit for proportions, log for rates and for savings) a series is: national level, trend, winter
//! and month effect + the organisation's own level + its standard deviation × (a stationary first-order autoregression
//! of variance 1 with t6 innovations, which an organisation's markers share a part of) + the effect, if there is one.
//! Counts are drawn around it. Effects are in units of the series' own standard deviation in stable times: persistent
//! and counting noise together. They come in thirds over three months.
//!
//! Pure, as the rest of the crate: the configuration decides every figure. What an organisation returns does not depend
//! on who else is there, except for who is given a part of the truth and who merges with whom, which are shares of the
//! list. Logarithms and exponentials are the platform's.

mod cast;
mod config;
mod faults;
pub mod files;
mod markers;
mod quality;
mod returns;
mod savings;

use qipp_domain::marker::{Polarity, QualityDomain};
use qipp_domain::{OrgCode, Period};

pub use config::{
    BASELINE, ConfigProblem, LARGEST_LAG, MONTHS, ORGANISATIONS, Onsets, Scenario, ScenarioConfig,
};
pub use faults::{Fault, FaultRates};

use crate::TruthKind;

/// The month at an index. Saturates at the end of the calendar.
pub(crate) fn period_at(first: Period, month: usize) -> Period {
    let months = i32::try_from(month).ok();
    months
        .and_then(|months| first.plus(months))
        .unwrap_or(Period::LAST)
}

/// A marker of a scoring nation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScoringMarker {
    /// Its code: `SIM_`, the domain, a number.
    pub code: String,
    /// Its domain, one of the five of quality.
    pub domain: QualityDomain,
    /// Which way is better.
    pub polarity: Polarity,
    /// The numerator is a part of the denominator; otherwise it counts events per unit of it.
    pub proportion: bool,
}

/// A figure of a marker as it was returned. A figure that was not returned has no row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObservationRow {
    /// Index into [`ScoringNation::organisations`].
    pub org: usize,
    /// Index into [`ScoringNation::markers`].
    pub marker: usize,
    /// Month that it is about, from 0.
    pub month: usize,
    /// What was counted.
    pub numerator: i64,
    /// Of what; at least 1.
    pub denominator: i64,
    /// Month at whose end it became known, from 0: `month`, or later. May lie after the last month.
    pub received: usize,
}

/// Savings of an organisation in a month as they were returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SavingsRow {
    /// Index into [`ScoringNation::organisations`].
    pub org: usize,
    /// Month that it is about, from 0.
    pub month: usize,
    /// Planned for the month.
    pub plan_pence: i64,
    /// Delivered in the month.
    pub actual_pence: i64,
    /// Month at whose end it became known, as in [`ObservationRow`].
    pub received: usize,
}

/// What was put into an organisation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TruthRow {
    /// Index into [`ScoringNation::organisations`].
    pub org: usize,
    /// What moves.
    pub kind: TruthKind,
    /// First month, from 0, in which all that the kind names is there: where quality follows savings, the month in
    /// which quality begins to.
    pub from: usize,
    /// First month in which it is over; `None`: it lasts.
    pub until: Option<usize>,
    /// Indices of the markers that slip, ascending. Empty for [`TruthKind::SavingsOnly`], also where markers improve.
    pub markers: Vec<usize>,
}

/// What is behind a row of the truth, for people and for tests.
#[derive(Clone, Debug, PartialEq)]
pub struct Story {
    /// Index into [`ScoringNation::organisations`].
    pub org: usize,
    /// First month of higher savings, from 0. They stay.
    pub savings_from: Option<usize>,
    /// Size of their rise, in the organisation's own standard deviations of the logarithm.
    pub savings_sd: f64,
    /// First month in which markers move.
    pub quality_from: Option<usize>,
    /// First month in which they are back.
    pub quality_until: Option<usize>,
    /// Markers that move.
    pub markers: Vec<usize>,
    /// How far, in the organisation's own standard deviations of the marker; plus is worse.
    pub quality_sd: f64,
    /// In words.
    pub text: &'static str,
}

/// A nation on which rules are scored. Rows are in order of organisation, month, marker and `received`; of several rows
/// of one key each restates the one before.
#[derive(Clone, Debug, PartialEq)]
pub struct ScoringNation {
    /// The markers, by domain.
    pub markers: Vec<ScoringMarker>,
    /// The organisations, in order of their code.
    pub organisations: Vec<OrgCode>,
    /// The first month.
    pub first: Period,
    /// How many months.
    pub months: usize,
    /// Figures of markers.
    pub observations: Vec<ObservationRow>,
    /// Savings.
    pub savings: Vec<SavingsRow>,
    /// What was put into whom, in order of the organisation. Who is not here has noise only.
    pub truth: Vec<TruthRow>,
    /// The stories behind the rows of `truth`, at the same places.
    pub stories: Vec<Story>,
    /// What is wrong with the data: those of markers first, then by organisation.
    pub faults: Vec<Fault>,
}

impl ScoringNation {
    /// The month at an index, from 0. Saturates at the end of the calendar, far after everything that is simulated.
    #[must_use]
    pub fn period(&self, month: usize) -> Period {
        period_at(self.first, month)
    }
}

/// Simulates a nation. Same configuration, same rows.
#[must_use]
pub fn scenario(config: &ScenarioConfig) -> ScoringNation {
    scenario_watched(config, |_| ())
}

/// The same, telling `done` after each organisation how many there are by now.
#[must_use]
pub fn scenario_watched(config: &ScenarioConfig, mut done: impl FnMut(usize)) -> ScoringNation {
    let config = &config.within();
    let organisations: Vec<OrgCode> = (1..=config.organisations).map(code).collect();
    let (truth, stories) = cast::cast(config, &organisations);
    let plan = faults::Plan::new(config, &organisations, &truth);
    let nation = returns::Nation::new(config, &organisations, &stories, &plan);
    let mut sent = returns::Sent::new(&plan);
    for org in 0..organisations.len() {
        nation.send(org, &mut sent);
        done(org + 1);
    }
    ScoringNation {
        markers: markers::MODELS.iter().map(markers::Model::marker).collect(),
        first: config.first,
        months: config.months,
        observations: sent.observations,
        savings: sent.savings,
        faults: sent.faults,
        organisations,
        truth,
        stories,
    }
}

/// The code of the n-th organisation. No code of the NHS begins like this, and the simulation of 2010 to 2013 has real
/// codes only.
fn code(number: usize) -> OrgCode {
    OrgCode::new(&format!("SIM{number:05}")).expect("eight of A-Z and 0-9 are a code")
}
