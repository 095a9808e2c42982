//! Quality returns: markers that drift, share their weather, and sometimes slip.
//!
//! On the link scale (logit for proportions, log for rates) a trust's month is: national level + season + month
//! effect that all share + the trust's own level + autocorrelated heavy-tailed noise, a part of which the trust's
//! markers share + the slip, if there is one. Counts are then drawn around it, so that there is more spread than
//! counting alone would give.

use std::collections::BTreeMap;
use std::f64::consts::TAU;

use qipp_domain::returns::{Measured, Observation, Value};
use qipp_domain::{Missing, Period, Quantity, SeriesKey};
use rand_chacha::ChaCha8Rng;

use crate::calibration::{
    MARKER_RHO, MEDIUM_BED_DAYS, MEDIUM_TRUST_SPEND, NATIONAL_PART, SHARED_PART, SMALLEST_SPEND,
};
use crate::models::{Base, Kind, MODELS, Model};
use crate::noise::{
    Purpose, between, binomial, chance, count, heavy, next, normal, poisson, stream,
};
use crate::story::Truth;
use crate::{Config, TrustInput};

/// How large a trust is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    /// Against a medium trust.
    scale: f64,
    /// Occupied bed days a month.
    bed_days: f64,
}

impl Size {
    pub(crate) fn of(trust: &TrustInput) -> Self {
        let scale = trust.spend_in_pounds().max(SMALLEST_SPEND) / MEDIUM_TRUST_SPEND;
        let usable = |days: &f64| days.is_finite() && *days >= 1.0;
        Self {
            scale,
            bed_days: trust
                .bed_days_per_month
                .filter(usable)
                .unwrap_or(MEDIUM_BED_DAYS * scale),
        }
    }

    /// The denominator of a typical month, times the scale where the denominator does not carry it.
    pub(crate) fn typical(self, model: &Model) -> f64 {
        match model.base {
            Base::BedDays => self.bed_days,
            Base::CalendarDays => 30.4 * self.scale,
            Base::Own(medium) => medium * self.scale,
        }
    }
}

/// What is the same for all trusts: for each model and month the national level with season and month effect, link
/// scale.
#[derive(Debug)]
pub(crate) struct Weather {
    months: Vec<Period>,
    /// By model, then month.
    levels: Vec<Vec<f64>>,
    rho: Vec<f64>,
}

impl Weather {
    pub(crate) fn new(config: &Config) -> Self {
        let months: Vec<Period> = config.first_quality.to(config.last).collect();
        let mut levels = Vec::new();
        let mut rho = Vec::new();
        for (index, model) in MODELS.iter().enumerate() {
            let mut rng = stream(config.seed, None, Purpose::Marker(index));
            rho.push(between(&mut rng, MARKER_RHO));
            let level = |period: &Period| {
                let season = (TAU * f64::from(period.month() - 1) / 12.0).cos();
                model.national(*period)
                    + model.adverse * model.winter * season
                    + NATIONAL_PART * model.own * normal(&mut rng)
            };
            levels.push(months.iter().map(level).collect());
        }
        Self {
            months,
            levels,
            rho,
        }
    }
}

/// The quality returns of one trust, by month. A month without an entry was not sent.
pub(crate) fn returns(
    config: &Config,
    weather: &Weather,
    trust: &TrustInput,
    truth: Option<&Truth>,
) -> BTreeMap<Period, Vec<Observation>> {
    let shared = Shared::new(config, trust, weather.months.len());
    let mut sent: BTreeMap<Period, Vec<Observation>> = BTreeMap::new();
    for (period, is_sent) in weather.months.iter().zip(&shared.sent) {
        if *is_sent {
            sent.insert(*period, Vec::new());
        }
    }
    for index in (0..MODELS.len()).filter(|index| trust.returns(&MODELS[*index])) {
        for (period, observation) in series(config, weather, trust, truth, &shared, index) {
            if let Some(month) = sent.get_mut(&period) {
                month.push(observation);
            }
        }
    }
    sent.retain(|_, observations| !observations.is_empty());
    for observations in sent.values_mut() {
        observations.sort_by_key(|observation| observation.key);
    }
    sent
}

/// What the markers of a trust have in common, by month.
struct Shared {
    /// Innovations; plus is worse.
    innovations: Vec<f64>,
    bed_days: Vec<f64>,
    sent: Vec<bool>,
}

impl Shared {
    fn new(config: &Config, trust: &TrustInput, months: usize) -> Self {
        let size = Size::of(trust);
        let mut rng = stream(config.seed, Some(trust.org), Purpose::Shared);
        // Month by month, so that a longer simulation begins like a shorter one.
        let mut month = || {
            (
                heavy(&mut rng),
                size.bed_days * (0.03 * normal(&mut rng)).exp(),
            )
        };
        let (innovations, bed_days) = (0..months).map(|_| month()).unzip();
        let mut gaps = stream(config.seed, Some(trust.org), Purpose::Gaps);
        let sent = (0..months)
            .map(|_| !chance(&mut gaps, config.missing_return_share))
            .collect();
        Self {
            innovations,
            bed_days,
            sent,
        }
    }
}

/// One marker of one trust over all months in which it is valid.
fn series(
    config: &Config,
    weather: &Weather,
    trust: &TrustInput,
    truth: Option<&Truth>,
    shared: &Shared,
    index: usize,
) -> Vec<(Period, Observation)> {
    let model = &MODELS[index];
    let size = Size::of(trust);
    let truth = truth.filter(|truth| truth.slips(model.marker()));
    let mut rng = stream(config.seed, Some(trust.org), Purpose::Marker(index));
    let level = model.between * normal(&mut rng);
    let own = model.own * (0.15 * normal(&mut rng)).exp();
    let height = truth.map_or(0.0, |truth| {
        truth.effect_sd * total_sd(model, size, own, level, truth.from)
    });
    let mut state = heavy(&mut rng);
    let mut observations = Vec::new();
    for (month, &period) in weather.months.iter().enumerate() {
        let innovation = SHARED_PART.sqrt() * shared.innovations[month]
            + (1.0 - SHARED_PART).sqrt() * heavy(&mut rng);
        state = next(weather.rho[index], state, innovation);
        let slip = truth.map_or(0.0, |truth| truth.slip_in(period)) * height;
        let eta = weather.levels[index][month] + level + model.adverse * (own * state + slip);
        let measured = draw(&mut rng, model, size, shared.bed_days[month], period, eta);
        let value = missing(&mut rng, config).map_or(Value::Measured(measured), Value::Missing);
        if model.is_valid_for(period) {
            let key = SeriesKey::whole(model.marker());
            observations.push((
                period,
                Observation {
                    key,
                    definition_version: 1,
                    value,
                    simulated: true,
                },
            ));
        }
    }
    observations
}

/// A trust's standard deviation of a marker in stable times around a month: persistent and counting noise, link scale.
fn total_sd(model: &Model, size: Size, own: f64, level: f64, at: Period) -> f64 {
    let value = model.unlink(model.national(at) + level);
    own.hypot(model.counting(size.typical(model), value))
}

fn missing(rng: &mut ChaCha8Rng, config: &Config) -> Option<Missing> {
    let is_missing = chance(rng, config.missing_value_share);
    let withheld = chance(rng, 0.6);
    is_missing.then_some(if withheld {
        Missing::WithheldForQuality
    } else {
        Missing::NotSubmitted
    })
}

fn draw(
    rng: &mut ChaCha8Rng,
    model: &Model,
    size: Size,
    bed_days: f64,
    period: Period,
    eta: f64,
) -> Measured {
    let days = f64::from(period.last_day().day());
    let of = match model.base {
        Base::BedDays => count(bed_days),
        Base::CalendarDays => count(days),
        // Fewer working days, fewer referrals and operations; about 4% of month-to-month spread.
        Base::Own(_) => count(size.typical(model) * (0.04 * normal(rng)).exp()),
    }
    .max(1);
    let units = of as f64
        * if model.base == Base::CalendarDays {
            size.scale
        } else {
            1.0
        };
    let level = model.unlink(eta);
    let numerator = match model.kind {
        Kind::Proportion => binomial(rng, of, level),
        Kind::Rate => poisson(rng, level * units),
    };
    Measured {
        numerator: whole(numerator),
        denominator: Some(whole(of)),
    }
}

fn whole(count: u64) -> Quantity {
    Quantity::from_count(i64::try_from(count).unwrap_or(i64::MAX / 1000))
}
