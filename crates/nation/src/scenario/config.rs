//! What a scoring nation is made by: the scenario, its size, its onsets and its faults.

use qipp_domain::Period;

use super::FaultRates;
use crate::calibration::scenarios as figures;

/// Months before the first possible onset.
pub const BASELINE: usize = 24;
/// Fewest and most months that are simulated.
pub const MONTHS: (usize, usize) = (36, 120);
/// Fewest and most organisations that are simulated.
pub const ORGANISATIONS: (usize, usize) = (1, 10_000);
/// Most months by which quality may slip later than savings rise.
pub const LARGEST_LAG: usize = 3;

/// A scenario by its name in the study behind the rules.
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
    pub(crate) fn within(&self) -> Self {
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
