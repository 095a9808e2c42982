//! What an organisation's markers really were, before anything went wrong with the data.

use std::f64::consts::TAU;

use qipp_domain::OrgCode;

use super::faults::Plan;
use super::markers::{MODELS, Model};
use super::{ScenarioConfig, Story};
use crate::calibration::scenarios::{
    DENOMINATOR_SPREAD, LEVEL_SPREAD, MONTH_EFFECT, REDEFINITION, RHO_SCATTER, SD_SPREAD, SHARED,
    TREND, WINTER, setting,
};
use crate::noise::{Purpose, between, binomial, count, heavy, next, normal, poisson, ramp, stream};

/// Numerator and denominator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Parts {
    pub(crate) numerator: u64,
    pub(crate) denominator: u64,
}

/// What is the same for all organisations.
#[derive(Debug)]
pub(crate) struct Weather {
    /// By marker, then month, link scale: level, trend, winter, month effect, changes for all.
    levels: Vec<Vec<f64>>,
    /// Autocorrelation by marker.
    rho: Vec<f64>,
}

impl Weather {
    pub(crate) fn new(config: &ScenarioConfig, plan: &Plan) -> Self {
        let (mut levels, mut rho) = (Vec::new(), Vec::new());
        for (index, model) in MODELS.iter().enumerate() {
            let mut rng = stream(config.seed, None, Purpose::Marker(index));
            rho.push(between(&mut rng, setting(config.scenario).rho));
            let trend = TREND * normal(&mut rng) / 12.0;
            let winter = between(&mut rng, WINTER);
            let changes = [plan.shocks[index], plan.redefinitions[index]];
            let level = |month: usize| {
                let changed: f64 = changes
                    .iter()
                    .flatten()
                    .filter(|change| change.month <= month)
                    .map(|change| change.sd)
                    .sum();
                let course = trend * month as f64 + winter * season(config, month) + changed;
                let sds = course + MONTH_EFFECT * normal(&mut rng);
                model.link(model.level) + model.adverse() * model.own * sds
            };
            levels.push((0..config.months).map(level).collect());
        }
        Self { levels, rho }
    }
}

/// 1 in January, -1 in July.
fn season(config: &ScenarioConfig, month: usize) -> f64 {
    let of_year = (f64::from(config.first.month() - 1) + month as f64) % 12.0;
    (TAU * of_year / 12.0).cos()
}

/// One organisation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Organisation<'a> {
    pub(crate) code: OrgCode,
    /// Size against a medium one.
    pub(crate) size: f64,
    pub(crate) story: Option<&'a Story>,
}

/// Figures by marker, then month.
pub(crate) fn figures(
    config: &ScenarioConfig,
    weather: &Weather,
    plan: &Plan,
    organisation: Organisation<'_>,
) -> Vec<Vec<Parts>> {
    let mut rng = stream(config.seed, Some(organisation.code), Purpose::Shared);
    // One more: for the state that the first month begins with.
    let shared: Vec<f64> = (0..=config.months).map(|_| heavy(&mut rng)).collect();
    (0..MODELS.len())
        .map(|index| series(config, weather, plan, organisation, &shared, index))
        .collect()
}

fn series(
    config: &ScenarioConfig,
    weather: &Weather,
    plan: &Plan,
    organisation: Organisation<'_>,
    shared: &[f64],
    index: usize,
) -> Vec<Parts> {
    let model = &MODELS[index];
    let levels = &weather.levels[index];
    let mut rng = stream(config.seed, Some(organisation.code), Purpose::Marker(index));
    // Of its own stream, so that the noise is the same with and without an effect.
    let mut counting = stream(
        config.seed,
        Some(organisation.code),
        Purpose::Counting(index),
    );
    let level = LEVEL_SPREAD * model.own * normal(&mut rng);
    let own = model.own * (SD_SPREAD * normal(&mut rng)).exp();
    let (scatter, (low, high)) = RHO_SCATTER;
    let rho = (weather.rho[index] + scatter * normal(&mut rng)).clamp(low, high);
    let redefined = REDEFINITION.1 * model.own * normal(&mut rng);
    let typical = model.denominator * organisation.size;
    let moved = organisation
        .story
        .filter(|story| story.markers.contains(&index))
        .and_then(|story| Some((story, story.quality_from?)));
    let height = moved.map_or(0.0, |(story, from)| {
        let there = levels[from.min(config.months - 1)] + level;
        story.quality_sd * own.hypot(model.counting(typical, there))
    });
    let mut innovation =
        |month: usize| SHARED.sqrt() * shared[month] + (1.0 - SHARED).sqrt() * heavy(&mut rng);
    let mut state = innovation(0);
    (0..config.months)
        .map(|month| {
            state = next(rho, state, innovation(month + 1));
            let effect = moved.map_or(0.0, |(story, from)| {
                ramp(from, story.quality_until, month) * height
            });
            let redefined = plan.redefinitions[index]
                .filter(|change| change.month <= month)
                .map_or(0.0, |_| redefined);
            let eta = levels[month] + level + redefined + model.adverse() * (own * state + effect);
            draw(&mut counting, model, typical, eta)
        })
        .collect()
}

fn draw(rng: &mut rand_chacha::ChaCha8Rng, model: &Model, typical: f64, eta: f64) -> Parts {
    let denominator = count(typical * (DENOMINATOR_SPREAD * normal(rng)).exp()).max(1);
    let level = model.unlink(eta);
    let numerator = if model.proportion {
        binomial(rng, denominator, level)
    } else {
        poisson(rng, level * denominator as f64)
    };
    Parts {
        numerator,
        denominator,
    }
}
