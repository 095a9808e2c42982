//! The hidden truth: whose savings jump, whose quality slips, and who has both.

use std::collections::BTreeMap;

use qipp_domain::{MarkerCode, OrgCode, Period};
use rand::seq::SliceRandom;
use rand::{Rng, RngExt};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use crate::calibration::{EVENTS_TO_SLIP, JUMP, RAMP, SLIP};
use crate::models::{MODELS, Model};
use crate::noise::{Purpose, between, chance, pick, share_of, stream};
use crate::quality::Size;
use crate::{Config, TrustInput};

/// What was put into an organisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum TruthKind {
    /// Savings jump and quality slips from the same month on: savings that harm. An alert should find it.
    Both,
    /// Savings jump, quality does not move. A control.
    SavingsOnly,
    /// Quality slips while savings fall. A control.
    QualityOnly,
}

/// What was put into one organisation. Organisations without one have noise only.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Truth {
    /// Where.
    pub org: OrgCode,
    /// What.
    pub kind: TruthKind,
    /// First month in which savings, quality or both differ from what they would have been. A slip reaches its size
    /// in the third month.
    pub from: Period,
    /// First month in which a slip is over; `None`: it lasts to the end. Savings that have jumped stay.
    pub until: Option<Period>,
    /// Markers that slip, in order of their code; empty for `SavingsOnly`.
    pub markers: Vec<MarkerCode>,
    /// Size of the slip at its height: adverse shift in the organisation's own standard deviations of the marker in
    /// stable times (persistent and counting noise together), on the logit scale for proportions and the log scale
    /// for rates. 0 for `SavingsOnly`.
    pub effect_sd: f64,
    /// Extra monthly plan from `from` on, as a part of the mean monthly plan of the organisation's own schemes that
    /// year. 0 for `QualityOnly`.
    pub savings_jump: f64,
    /// What happened, for people.
    pub story: &'static str,
}

impl Truth {
    /// How much of the slip is there in a month: 0 before and after, 1 at its height.
    #[must_use]
    pub fn slip_in(&self, period: Period) -> f64 {
        let months = period.months_since(self.from);
        if months < 0 || self.until.is_some_and(|until| period >= until) {
            return 0.0;
        }
        f64::from((months + 1).min(RAMP)) / f64::from(RAMP)
    }

    pub(crate) fn slips(&self, marker: MarkerCode) -> bool {
        self.markers.contains(&marker)
    }
}

/// Chooses who gets which story. Trusts are ranked by a number of their own, so the order of the input does not matter.
pub(crate) fn cast(config: &Config, trusts: &[TrustInput]) -> BTreeMap<OrgCode, Truth> {
    let Some(onsets) = onsets(config) else {
        return BTreeMap::new();
    };
    let mut ranked: Vec<_> = trusts
        .iter()
        .map(|trust| {
            (
                stream(config.seed, Some(trust.org), Purpose::Casting).next_u64(),
                trust,
            )
        })
        .collect();
    ranked.sort_by_key(|(rank, trust)| (*rank, trust.org));
    let shares = [
        (TruthKind::Both, config.harmful_share),
        (TruthKind::SavingsOnly, config.savings_only_share),
        (TruthKind::QualityOnly, config.quality_only_share),
    ];
    let kinds = shares
        .iter()
        .flat_map(|(kind, share)| std::iter::repeat_n(*kind, share_of(trusts.len(), *share)));
    ranked
        .iter()
        .zip(kinds)
        .map(|((_, trust), kind)| (trust.org, write(config, trust, kind, onsets)))
        .collect()
}

/// First and last month in which a story may begin; `None` when the simulated months leave no room for one.
fn onsets(config: &Config) -> Option<(Period, Period)> {
    let year_two = config
        .first_savings
        .plus(12)?
        .max(config.first_quality.plus(12)?);
    let first = config.first_onset.max(year_two);
    let last = config.last_onset.min(config.last.plus(-RAMP)?);
    (first <= last).then_some((first, last))
}

fn write(
    config: &Config,
    trust: &TrustInput,
    kind: TruthKind,
    (first, last): (Period, Period),
) -> Truth {
    let mut rng = stream(config.seed, Some(trust.org), Purpose::Story);
    let months: Vec<Period> = first.to(last).collect();
    let from = months[pick(&mut rng, months.len())];
    let effect_sd = between(&mut rng, SLIP);
    let savings_jump = between(&mut rng, JUMP);
    let markers = slipping(config, trust, from, &mut rng);
    let lasting = rng.random_range(9..=15);
    let recovers = chance(&mut rng, 0.5);
    let empty = Truth {
        org: trust.org,
        kind,
        from,
        until: None,
        markers: Vec::new(),
        effect_sd: 0.0,
        savings_jump: 0.0,
        story: "",
    };
    match kind {
        TruthKind::Both => Truth {
            markers,
            effect_sd,
            savings_jump,
            story: "Posts and budgets are cut on top of the plan, without redesign; care slips from the same month on.",
            ..empty
        },
        TruthKind::SavingsOnly => Truth {
            savings_jump,
            story: "Posts and budgets are cut on top of the plan; the markers do not move.",
            ..empty
        },
        TruthKind::QualityOnly => Truth {
            markers,
            effect_sd,
            until: from
                .plus(lasting)
                .filter(|until| recovers && *until <= config.last),
            story: "Care slips for reasons of its own while savings fall.",
            ..empty
        },
    }
}

/// Four to six trigger markers in at least two domains. The first two, of different domains, have a full baseline of
/// 24 months wherever the markers allow it, because rules judge others by trial limits only.
fn slipping(
    config: &Config,
    trust: &TrustInput,
    from: Period,
    rng: &mut ChaCha8Rng,
) -> Vec<MarkerCode> {
    let baseline = |model: &Model, months: i32| {
        from.plus(-months)
            .is_some_and(|start| model.is_valid_for(start) && config.first_quality <= start)
    };
    let size = Size::of(trust);
    let loud = |model: &Model| {
        model.events(size.typical(model), model.unlink(model.national(from))) >= EVENTS_TO_SLIP
    };
    let mut able: Vec<&Model> = MODELS
        .iter()
        .filter(|m| m.trigger && trust.returns(m) && baseline(m, 12))
        .collect();
    able.shuffle(rng);
    // Stable: the shuffle decides among equals.
    able.sort_by_key(|model| (!loud(model), !baseline(model, 24)));
    let wanted = rng.random_range(4..=6_usize).min(able.len());
    if let Some(other) = able.iter().position(|model| model.domain != able[0].domain) {
        let second = able.remove(other);
        able.insert(1, second);
    }
    // Markers with a short baseline, or with few events, come only after the first two.
    if able.len() > 2 {
        able[2..].shuffle(rng);
        able[2..].sort_by_key(|model| !loud(model));
    }
    let mut chosen: Vec<MarkerCode> = able[..wanted].iter().map(|model| model.marker()).collect();
    chosen.sort();
    chosen
}
