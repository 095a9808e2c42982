//! Figures of the nations on which rules are scored.
//!
//! *study* is the simulation study behind the rules; *A&E* is what `data/ae_weekly_trust_2010-11_2013-03.csv.gz` shows
//! of waits over four hours by trust and month (`tests/scenario_calibration.rs` measures it: 138 trusts of 29 months,
//! logit less the national median of the month); *chosen* is a judgement, said so.
//!
//! A&E says further: autocorrelation from month to month 0.40 in the median trust (a quarter below 0.22, a quarter above
//! 0.57; short series understate it by about 0.1), and 54 times the variance that counting alone would give (34 to 101).

use crate::scenario::{FaultRates, Scenario};

/// What the scenarios differ in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Setting {
    /// Autocorrelation of a series from month to month, lowest and highest over series.
    pub rho: (f64, f64),
    /// Size of a slip, lowest and highest over organisations, in standard deviations of the series.
    pub slip: (f64, f64),
    /// Size of a rise of savings, the same.
    pub savings: (f64, f64),
    /// Part of the organisations in which savings rise and quality slips (0 to 1).
    pub both: f64,
    /// Plans and delivery also differ by year, as in [`super::PLAN_YEAR_SPREAD`] and [`super::DELIVERY_SPREAD`].
    pub years_differ: bool,
}

/// The setting of a scenario. A to N: study. Real: the range of autocorrelation as C, sizes from
/// those of A to somewhat above those of E (chosen).
#[must_use]
pub const fn setting(scenario: Scenario) -> Setting {
    let a = Setting {
        rho: (0.0, 0.6),
        slip: (1.0, 1.0),
        savings: (1.5, 1.5),
        both: 0.05,
        years_differ: false,
    };
    match scenario {
        Scenario::A => a,
        Scenario::B => Setting {
            rho: (0.0, 0.0),
            ..a
        },
        Scenario::C => Setting {
            rho: (0.3, 0.7),
            slip: (1.5, 1.5),
            savings: (2.0, 2.0),
            ..a
        },
        Scenario::E => Setting {
            slip: (2.0, 2.0),
            savings: (2.0, 2.0),
            ..a
        },
        Scenario::N => Setting { both: 0.0, ..a },
        Scenario::Real => Setting {
            rho: (0.3, 0.7),
            slip: (1.0, 2.5),
            savings: (1.5, 2.5),
            years_differ: true,
            ..a
        },
    }
}

/// Part of the organisations with a rise of savings only, and with a slip only. Study: 50 of 500 each.
pub const CONTROLS: f64 = 0.10;

/// Part of the schemes behind savings alone that do good, where there are such. Chosen.
pub const GENUINE_SHARE: f64 = 0.4;

/// Part of the slips that end, where the data are as real ones, and after how many months, fewest and most. Chosen, as
/// in the simulation of 2010 to 2013.
pub const RECOVERY: (f64, (usize, usize)) = (0.25, (9, 15));

/// Spread of an organisation's autocorrelation around that of the marker, standard deviation, and within which bounds
/// it stays. Study.
pub const RHO_SCATTER: (f64, (f64, f64)) = (0.2, (-0.5, 0.9));

/// Part of a marker's innovation that an organisation's markers share: their correlation. Study: 0.2.
pub const SHARED: f64 = 0.2;

/// Spread of standard deviations between organisations, standard deviation of the logarithm. Study: 20%. A&E: 0.28 as
/// measured on 29 months, of which 0.18 would be there if all were alike.
pub const SD_SPREAD: f64 = 0.2;

/// Spread of levels between organisations, in standard deviations of a series. Study: 1. A&E: 0.97.
pub const LEVEL_SPREAD: f64 = 1.0;

/// Spread of the national trend over markers, in standard deviations of a series a year. A&E: 0.50, in years that were
/// bad for it; others are chosen to move less.
pub const TREND: f64 = 0.3;

/// How much worse January is than the mean of the year, lowest and highest over markers, in standard deviations of a
/// series. A&E: 0.51. Study: amplitude 1. Chosen around these: not every marker has a winter.
pub const WINTER: (f64, f64) = (0.0, 1.0);

/// Month effect that all organisations share, in standard deviations of a series. A&E: 0.33.
pub const MONTH_EFFECT: f64 = 0.35;

/// Size of organisations around the medium one, standard deviation of the logarithm. Chosen.
pub const SIZE_SPREAD: f64 = 0.35;

/// Size of a tiny organisation against what it would be, lowest and highest. Chosen.
pub const TINY: (f64, f64) = (0.03, 0.10);

/// Change of denominators from month to month, standard deviation of the logarithm. Chosen: working days.
pub const DENOMINATOR_SPREAD: f64 = 0.04;

/// Persistent spread of a savings series, standard deviation of the logarithm: months and schemes of
/// [`super::DELIVERY_SPREAD`] and [`super::SCHEME_SPREAD`] together.
pub const SAVINGS_SD: f64 = 0.2;

/// National jump of a marker, lowest and highest, in standard deviations of a series; up or down. Chosen.
pub const SHOCK: (f64, f64) = (2.0, 4.0);

/// What a new definition does to a marker: national change, lowest and highest, and spread of what it does to
/// organisations, in standard deviations of a series. Chosen.
pub const REDEFINITION: ((f64, f64), f64) = ((1.0, 3.0), 1.0);

/// Part of a count that a provisional figure lacks, lowest and highest, for numerator and denominator each. Chosen.
pub const NOT_YET_COUNTED: (f64, f64) = (0.0, 0.08);

/// Months by which returns come late or are restated, fewest and most. Chosen.
pub const DELAY: (usize, usize) = (1, 3);

/// Faults of real data. Chosen: 1% of returns missing as in the simulation of 2010 to 2013, and enough of each other
/// fault that 500 organisations have some: 10 mergers, 25 late starts, 25 tiny organisations, one marker redefined and
/// one with a shock.
pub const REAL_FAULTS: FaultRates = FaultRates {
    missing_figures: 0.005,
    missing_returns: 0.01,
    late_starts: 0.05,
    mergers: 0.04,
    redefinitions: 0.05,
    tiny: 0.05,
    shocks: 0.05,
    late: 0.03,
    restated: 0.03,
    duplicated: 0.002,
};
