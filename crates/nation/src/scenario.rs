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
mod faults;
pub mod files;
mod markers;
mod quality;
mod returns;
mod savings;

use qipp_domain::marker::{Polarity, QualityDomain};
use qipp_domain::{OrgCode, Period};

pub use faults::{Fault, FaultRates};

use crate::TruthKind;
use crate::calibration::scenarios as figures;

/// Months before the first possible onset.
pub const BASELINE: usize = 24;
/// Fewest and most months that are simulated.
pub const MONTHS: (usize, usize) = (36, 120);
/// Fewest and most organisations that are simulated.
pub const ORGANISATIONS: (usize, usize) = (1, 10_000);
/// Most months by which quality may slip later than savings rise.
pub const LARGEST_LAG: usize = 3;

/// A scenario by its name in the study behind the rules (`spec/spc.md`, section 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scenario {
    /// Autocorrelation 0 to 0.6 by marker, slips of 1 sd, savings of 1.5 sd.
    A,
    /// As A, without autocorrelation but for the scatter of the organisations.
    B,
    /// Autocorrelation 0.3 to 0.7, slips of 1.5 sd, savings of 2 sd.
    C,
    /// Autocorrelation 0 to 0.6, slips and savings of 2 sd.
    E,
    /// As A, and nobody has both.
    N,
    /// Everything at once: autocorrelation 0.3 to 0.7, slips of 1 to 2.5 sd, savings of 1.5 to 2.5 sd, delays, schemes
    /// that do good, and faults of the data.
    Real,
}

impl Scenario {
    /// All scenarios with their names.
    pub const NAMES: [(Self, &'static str); 6] = [
        (Self::A, "A"),
        (Self::B, "B"),
        (Self::C, "C"),
        (Self::E, "E"),
        (Self::N, "N"),
        (Self::Real, "real"),
    ];

    /// The name, as the study and the command line have it.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::NAMES
            .iter()
            .find(|(scenario, _)| *scenario == self)
            .map_or("", |(_, name)| name)
    }

    /// The scenario of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::NAMES
            .iter()
            .find(|(_, held)| *held == name)
            .map(|(scenario, _)| *scenario)
    }
}

/// When effects begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Onsets {
    /// All in the month after [`BASELINE`], as in the study.
    Fixed,
    /// Each in one of the twelve months after it, and never in the last twelve.
    Spread,
}

/// What to simulate. A number out of its range counts as the nearest in it; [`ScenarioConfig::problems`] names them.
#[derive(Clone, Debug, PartialEq)]
pub struct ScenarioConfig {
    /// Sizes of effects and autocorrelation.
    pub scenario: Scenario,
    /// Decides all random numbers.
    pub seed: u64,
    /// How many organisations: [`ORGANISATIONS`].
    pub organisations: usize,
    /// How many months: [`MONTHS`].
    pub months: usize,
    /// The first of them.
    pub first: Period,
    /// When effects begin.
    pub onsets: Onsets,
    /// Fewest and most months by which quality moves later than savings, where both do: at most [`LARGEST_LAG`].
    pub lag: (usize, usize),
    /// Part of the schemes behind savings alone that do good: the markers of a domain improve (0 to 1).
    pub genuine_share: f64,
    /// What is wrong with the data.
    pub faults: FaultRates,
}

impl ScenarioConfig {
    /// The scenario as the study has it: 500 organisations, 24 months before the onset and 24 from it on, from April
    /// 2010, no faults. [`Scenario::Real`] has spread onsets, lags, genuine schemes and faults.
    #[must_use]
    pub fn new(scenario: Scenario, seed: u64) -> Self {
        let real = scenario == Scenario::Real;
        Self {
            scenario,
            seed,
            organisations: 500,
            months: 48,
            first: Period::new(2010, 4).expect("a month of the calendar"),
            onsets: if real { Onsets::Spread } else { Onsets::Fixed },
            lag: (0, if real { LARGEST_LAG } else { 0 }),
            genuine_share: if real { figures::GENUINE_SHARE } else { 0.0 },
            faults: if real {
                figures::REAL_FAULTS
            } else {
                FaultRates::NONE
            },
        }
    }

    /// Every number that is out of its range, or nothing.
    #[must_use]
    pub fn problems(&self) -> Vec<ConfigProblem> {
        let mut problems = Vec::new();
        let mut range = |field, value: usize, (low, high): (usize, usize)| {
            if !(low..=high).contains(&value) {
                problems.push(ConfigProblem {
                    code: "OUT_OF_RANGE",
                    field,
                    description: format!("it is {value}; choose {low} to {high}"),
                });
            }
        };
        range("organisations", self.organisations, ORGANISATIONS);
        range("months", self.months, MONTHS);
        range("lag.0", self.lag.0, (0, LARGEST_LAG));
        range("lag.1", self.lag.1, (self.lag.0, LARGEST_LAG));
        let rates = [("genuine_share", self.genuine_share)];
        for (field, rate) in rates.into_iter().chain(self.faults.rates()) {
            if !(0.0..=1.0).contains(&rate) {
                problems.push(ConfigProblem {
                    code: "OUT_OF_RANGE",
                    field,
                    description: format!("it is {rate}; choose a share from 0 to 1"),
                });
            }
        }
        if !fits_calendar(self.first, self.months) {
            problems.push(ConfigProblem {
                code: "BEYOND_CALENDAR",
                field: "first",
                description: format!(
                    "{} months from {} end after the calendar; begin earlier",
                    self.months, self.first
                ),
            });
        }
        problems
    }

    /// The same with every number in its range.
    fn within(&self) -> Self {
        let mut config = self.clone();
        config.organisations = self.organisations.clamp(ORGANISATIONS.0, ORGANISATIONS.1);
        config.months = self.months.clamp(MONTHS.0, MONTHS.1);
        let most = self.lag.1.min(LARGEST_LAG);
        config.lag = (self.lag.0.min(most), most);
        // The calendar's last months: a nation that would run out of it begins as the default does.
        if !fits_calendar(config.first, config.months) {
            config.first = Self::new(self.scenario, self.seed).first;
        }
        config
    }
}

/// Does the calendar hold the months, and a year after them for returns that come late?
fn fits_calendar(first: Period, months: usize) -> bool {
    i32::try_from(months)
        .ok()
        .and_then(|months| first.plus(months)?.plus(12))
        .is_some()
}

/// The month at an index. Saturates at the end of the calendar.
pub(crate) fn period_at(first: Period, month: usize) -> Period {
    let months = i32::try_from(month).ok();
    months
        .and_then(|months| first.plus(months))
        .unwrap_or(Period::LAST)
}

/// A number of a [`ScenarioConfig`] that can't be taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigProblem {
    /// For programs: `OUT_OF_RANGE` or `BEYOND_CALENDAR`.
    pub code: &'static str,
    /// The field of the configuration.
    pub field: &'static str,
    /// What it is and what it has to be.
    pub description: String,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_out_of_range_is_named() {
        let good = ScenarioConfig::new(Scenario::A, 1);
        assert_eq!(good.problems(), []);
        let bad = ScenarioConfig {
            organisations: 0,
            months: 121,
            lag: (4, 2),
            genuine_share: f64::NAN,
            faults: FaultRates {
                late: 1.5,
                ..FaultRates::NONE
            },
            first: Period::new(2100, 1).unwrap_or(good.first),
            ..good
        };
        let fields: Vec<&str> = bad.problems().iter().map(|problem| problem.field).collect();
        for field in [
            "organisations",
            "months",
            "lag.0",
            "lag.1",
            "genuine_share",
            "faults.late",
        ] {
            assert!(fields.contains(&field), "{field} in {fields:?}");
        }
        assert_eq!(
            bad.within().problems().len(),
            2,
            "shares are clamped where they are used"
        );
    }
}
