//! Limits of a funnel at a denominator.

use std::f64::consts::FRAC_PI_2;

use super::{Level, Measure, Mode, poisson};

/// Limits at one denominator, times the multiplier.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Lower 95 % limit.
    pub lower95: f64,
    /// Upper 95 % limit.
    pub upper95: f64,
    /// Lower 99.8 % limit.
    pub lower998: f64,
    /// Upper 99.8 % limit.
    pub upper998: f64,
}

impl Limits {
    fn of(pair: impl Fn(Level) -> (f64, f64), multiplier: f64) -> Self {
        let ((lower95, upper95), (lower998, upper998)) = (pair(Level::P95), pair(Level::P998));
        Self {
            lower95: lower95 * multiplier,
            upper95: upper95 * multiplier,
            lower998: lower998 * multiplier,
            upper998: upper998 * multiplier,
        }
    }

    /// Lower and upper limit of a level.
    pub fn at(&self, level: Level) -> (f64, f64) {
        match level {
            Level::P95 => (self.lower95, self.upper95),
            Level::P998 => (self.lower998, self.upper998),
        }
    }
}

impl Level {
    /// The probability beyond each of its limits.
    pub(super) fn tail(self) -> f64 {
        match self {
            Self::P95 => 0.025,
            Self::P998 => 0.001,
        }
    }

    /// The normal quantile of the upper limit; in the package it has six decimals.
    fn normal(self, mode: Mode) -> f64 {
        match (self, mode) {
            (Self::P95, Mode::Compat) => 1.959_964,
            (Self::P998, Mode::Compat) => 3.090_232,
            (Self::P95, Mode::Corrected) => 1.959_963_984_540_054,
            (Self::P998, Mode::Corrected) => 3.090_232_306_167_813_5,
        }
    }
}

/// All that limits depend on besides the denominator.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) mode: Mode,
    pub(super) measure: Measure,
    pub(super) target: f64,
    pub(super) multiplier: f64,
}

impl Shape {
    /// Limits without overdispersion.
    pub(super) fn unadjusted(&self, denominator: f64) -> Limits {
        if !self.measure.is_standardised() {
            return self.adjusted(denominator, 0.0);
        }
        let poisson = match self.mode {
            Mode::Corrected => poisson::limits_of_count,
            Mode::Compat => poisson::interval_of_mean,
        };
        let pair = |level: Level| {
            let (lower, upper) = poisson(denominator, level);
            (lower / denominator, upper / denominator)
        };
        Limits::of(pair, self.multiplier)
    }

    /// Limits with a variance between groups of `tau2`.
    pub(super) fn adjusted(&self, denominator: f64, tau2: f64) -> Limits {
        let (d, target, corrected) = (denominator, self.target, self.mode == Mode::Corrected);
        let pair = |level: Level| {
            let width = |variance: f64| level.normal(self.mode) * (variance + tau2).sqrt();
            match self.measure {
                Measure::Proportion => {
                    let (middle, width) = (target.sqrt().asin(), width(0.25 / d));
                    let (low, high) = (middle - width, middle + width);
                    // Beyond these angles the sine turns back.
                    let lower = if low < 0.0 { 0.0 } else { low.sin().powi(2) };
                    let upper = if high > FRAC_PI_2 {
                        1.0
                    } else {
                        high.sin().powi(2)
                    };
                    (lower, upper)
                }
                Measure::RatioOfCounts => {
                    let log_ratio = (1.0 + target) / (target * d);
                    let width = width(if corrected { log_ratio } else { 0.25 / d });
                    (target * (-width).exp(), target * width.exp())
                }
                Measure::StandardisedShmi => {
                    let width = width(d.recip());
                    ((-width).exp(), width.exp())
                }
                Measure::StandardisedCqc => {
                    let width = width(0.25 / d);
                    if corrected {
                        ((1.0 - width).max(0.0).powi(2), (1.0 + width).powi(2))
                    } else {
                        (1.0 - width, 1.0 + width)
                    }
                }
            }
        };
        Limits::of(pair, self.multiplier)
    }

    /// Whether a ratio is strictly outside. When corrected, a group in which nothing happened is outside only if that is rarer on target than
    /// the limit's tail: the transforms make nothing of nothing. So is a proportion of 1.
    pub(super) fn outside(&self, ratio: f64, d: f64, limits: &Limits, level: Level) -> bool {
        let (lower, upper) = limits.at(level);
        let shown = ratio * self.multiplier;
        let is_proportion = self.measure == Measure::Proportion;
        let probability = match self.mode {
            Mode::Compat => None,
            Mode::Corrected if ratio == 0.0 && is_proportion => {
                Some((d * (-self.target).ln_1p()).exp())
            }
            Mode::Corrected if ratio == 0.0 => Some((-self.target * d).exp()),
            Mode::Corrected if ratio == 1.0 && is_proportion => Some((d * self.target.ln()).exp()),
            Mode::Corrected => None,
        };
        (shown < lower || shown > upper)
            && probability.is_none_or(|probability| probability < level.tail())
    }
}
