//! Who gets which story.

use qipp_domain::OrgCode;
use rand::{Rng, RngExt};

use super::{BASELINE, Onsets, ScenarioConfig, Story, TruthRow, markers};
use crate::TruthKind;
use crate::calibration::scenarios::{CONTROLS, RECOVERY, setting};
use crate::noise::{Purpose, between, chance, pick, share_of, stream};
use crate::scenario::Scenario;

/// Months that are left after the last onset of [`Onsets::Spread`].
const AFTER: usize = 12;

/// The truth and the stories behind it, in order of the organisation. Organisations are ranked by a number of their own.
pub(crate) fn cast(
    config: &ScenarioConfig,
    organisations: &[OrgCode],
) -> (Vec<TruthRow>, Vec<Story>) {
    let shares = [
        (TruthKind::Both, setting(config.scenario).both),
        (TruthKind::SavingsOnly, CONTROLS),
        (TruthKind::QualityOnly, CONTROLS),
    ];
    let kinds = shares.iter().flat_map(|(kind, share)| {
        std::iter::repeat_n(*kind, share_of(organisations.len(), *share))
    });
    let mut parts: Vec<(TruthRow, Story)> = ranked(config, organisations, Purpose::Casting)
        .into_iter()
        .zip(kinds)
        .map(|(org, kind)| write(config, organisations[org], org, kind))
        .collect();
    parts.sort_by_key(|(truth, _)| truth.org);
    parts.into_iter().unzip()
}

/// The indices of the organisations in an order of chance that depends on nobody else.
pub(crate) fn ranked(
    config: &ScenarioConfig,
    organisations: &[OrgCode],
    purpose: Purpose,
) -> Vec<usize> {
    let mut ranked: Vec<usize> = (0..organisations.len()).collect();
    ranked.sort_by_cached_key(|org| {
        (
            stream(config.seed, Some(organisations[*org]), purpose).next_u64(),
            *org,
        )
    });
    ranked
}

fn write(config: &ScenarioConfig, code: OrgCode, org: usize, kind: TruthKind) -> (TruthRow, Story) {
    let setting = setting(config.scenario);
    // Everything is drawn whether it is used or not, so that one choice changes nothing of the others.
    let mut rng = stream(config.seed, Some(code), Purpose::Story);
    let onset = onset(config, pick(&mut rng, 12));
    let lag = rng.random_range(config.lag.0..=config.lag.1);
    let domain = markers::DOMAINS[pick(&mut rng, markers::DOMAINS.len())];
    let slip_sd = between(&mut rng, setting.slip);
    let savings_sd = between(&mut rng, setting.savings);
    let is_genuine = chance(&mut rng, config.genuine_share);
    let recovers = chance(&mut rng, RECOVERY.0) && config.scenario == Scenario::Real;
    let lasting = rng.random_range(RECOVERY.1.0..=RECOVERY.1.1);

    let moved = markers::of(domain);
    let followed = onset + lag;
    let until =
        |from: usize| Some(from + lasting).filter(|until| recovers && *until < config.months);
    let saves = Story {
        org,
        savings_from: Some(onset),
        savings_sd,
        quality_from: None,
        quality_until: None,
        markers: Vec::new(),
        quality_sd: 0.0,
        text: "Posts and budgets are cut on top of the plan; the markers do not move.",
    };
    let story = match kind {
        TruthKind::Both => Story {
            quality_from: Some(followed),
            quality_until: until(followed),
            markers: moved,
            quality_sd: slip_sd,
            text: "Posts and budgets are cut on top of the plan, without redesign; care slips.",
            ..saves
        },
        TruthKind::SavingsOnly if is_genuine => Story {
            quality_from: Some(followed),
            markers: moved,
            quality_sd: -slip_sd,
            text: "A pathway is redesigned: it costs less, and care gets better.",
            ..saves
        },
        TruthKind::SavingsOnly => saves,
        TruthKind::QualityOnly => Story {
            savings_from: None,
            savings_sd: 0.0,
            quality_from: Some(onset),
            quality_until: until(onset),
            markers: moved,
            quality_sd: slip_sd,
            text: "Care slips for reasons of its own; savings go on as before.",
            ..saves
        },
    };
    (truth(kind, &story), story)
}

fn truth(kind: TruthKind, story: &Story) -> TruthRow {
    let slips = kind != TruthKind::SavingsOnly;
    let onset = if slips {
        story.quality_from
    } else {
        story.savings_from
    };
    TruthRow {
        org: story.org,
        kind,
        from: onset.unwrap_or(BASELINE),
        until: story.quality_until,
        markers: if slips {
            story.markers.clone()
        } else {
            Vec::new()
        },
    }
}

/// First month of a story; `spread` is 0 to 11.
fn onset(config: &ScenarioConfig, spread: usize) -> usize {
    match config.onsets {
        Onsets::Fixed => BASELINE,
        Onsets::Spread => {
            let last = config.months.saturating_sub(AFTER).max(BASELINE + 1);
            BASELINE + spread % (last - BASELINE).min(12)
        }
    }
}
