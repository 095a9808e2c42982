//! What is wrong with the data, and what of it is settled before any figure is drawn: who begins late, who merges, which
//! markers change for all.

use qipp_domain::{Dataset, OrgCode};
use rand::RngExt;
use rand::seq::SliceRandom;

use super::cast::ranked;
use super::markers::MODELS;
use super::{BASELINE, ScenarioConfig, TruthRow};
use crate::calibration::scenarios::{REDEFINITION, SHOCK};
use crate::noise::{Purpose, between, chance, share_of, stream};

/// How often something is wrong. Each is a share, 0 to 1; below and above count as 0 and 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FaultRates {
    /// Of the figures of markers: not given.
    pub missing_figures: f64,
    /// Of the returns (an organisation's month of savings, or of quality): not sent.
    pub missing_returns: f64,
    /// Of the organisations: begin to return 3 to 18 months later.
    pub late_starts: f64,
    /// Of the organisations: take part in a merger, in pairs. Never one with a part in the truth.
    pub mergers: f64,
    /// Of the markers: redefined for all from a month on.
    pub redefinitions: f64,
    /// Of the organisations: tiny, so that counting noise is most of the noise.
    pub tiny: f64,
    /// Of the markers: jump for all in one month, and stay.
    pub shocks: f64,
    /// Of the returns: come one to three months late.
    pub late: f64,
    /// Of the returns: provisional at first, and put right one to three months later.
    pub restated: f64,
    /// Of the returns: last month's, sent again as this month's.
    pub duplicated: f64,
}

impl FaultRates {
    /// Nothing is wrong.
    pub const NONE: Self = Self {
        missing_figures: 0.0,
        missing_returns: 0.0,
        late_starts: 0.0,
        mergers: 0.0,
        redefinitions: 0.0,
        tiny: 0.0,
        shocks: 0.0,
        late: 0.0,
        restated: 0.0,
        duplicated: 0.0,
    };

    /// All rates with the names of their fields.
    pub(crate) fn rates(&self) -> [(&'static str, f64); 10] {
        [
            ("faults.missing_figures", self.missing_figures),
            ("faults.missing_returns", self.missing_returns),
            ("faults.late_starts", self.late_starts),
            ("faults.mergers", self.mergers),
            ("faults.redefinitions", self.redefinitions),
            ("faults.tiny", self.tiny),
            ("faults.shocks", self.shocks),
            ("faults.late", self.late),
            ("faults.restated", self.restated),
            ("faults.duplicated", self.duplicated),
        ]
    }
}

/// Something that is wrong with the data. Organisations, markers and months are indices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The marker counts something else from the month on, for all; what that changes differs by organisation.
    Redefinition {
        /// Which.
        marker: usize,
        /// First month of the new definition.
        month: usize,
    },
    /// The marker jumps for all, and stays.
    NationalShock {
        /// Which.
        marker: usize,
        /// First month of the new level.
        month: usize,
    },
    /// Counts are small.
    Tiny {
        /// Who.
        org: usize,
    },
    /// There is nothing before the month.
    LateStart {
        /// Who.
        org: usize,
        /// First month with returns.
        month: usize,
    },
    /// Two organisations are one from the month on: the other returns nothing any more, this one both's parts.
    Merger {
        /// Who goes on.
        org: usize,
        /// Who stops.
        absorbed: usize,
        /// First month of the merged organisation.
        month: usize,
    },
    /// A figure was not given.
    MissingFigure {
        /// Whose.
        org: usize,
        /// Which.
        marker: usize,
        /// Of which month.
        month: usize,
    },
    /// A return was not sent.
    MissingReturn {
        /// Whose.
        org: usize,
        /// Which.
        dataset: Dataset,
        /// Of which month.
        month: usize,
    },
    /// Last month's return was sent again as this month's.
    DuplicatedMonth {
        /// Whose.
        org: usize,
        /// Which.
        dataset: Dataset,
        /// The month that bears the figures of the one before.
        month: usize,
    },
    /// A return came late.
    LateReturn {
        /// Whose.
        org: usize,
        /// Which.
        dataset: Dataset,
        /// Of which month.
        month: usize,
        /// Month at whose end it was there.
        received: usize,
    },
    /// A return was put right.
    RestatedReturn {
        /// Whose.
        org: usize,
        /// Which.
        dataset: Dataset,
        /// Of which month.
        month: usize,
        /// Month at whose end it was right.
        received: usize,
    },
}

/// A change of a marker for all.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Change {
    /// First month of it.
    pub(crate) month: usize,
    /// How far, in standard deviations of a series.
    pub(crate) sd: f64,
}

/// What becomes of an organisation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Life {
    /// First month with returns.
    pub(crate) start: usize,
    /// First month without.
    pub(crate) end: usize,
    /// Whom it absorbs, and from which month on.
    pub(crate) absorbs: Option<(usize, usize)>,
    /// Is it tiny?
    pub(crate) tiny: bool,
}

/// What is settled before any figure is drawn.
#[derive(Debug)]
pub(crate) struct Plan {
    /// By marker.
    pub(crate) shocks: Vec<Option<Change>>,
    /// By marker.
    pub(crate) redefinitions: Vec<Option<Change>>,
    /// By organisation.
    pub(crate) lives: Vec<Life>,
}

impl Plan {
    pub(crate) fn new(
        config: &ScenarioConfig,
        organisations: &[OrgCode],
        truth: &[TruthRow],
    ) -> Self {
        let (shocks, redefinitions) = changes(config);
        let mut lives: Vec<Life> = organisations
            .iter()
            .map(|code| life(config, *code))
            .collect();
        merge(config, organisations, truth, &mut lives);
        Self {
            shocks,
            redefinitions,
            lives,
        }
    }

    /// What the plan holds, as faults: those of markers, then those of organisations.
    pub(crate) fn of_markers(&self) -> impl Iterator<Item = Fault> + '_ {
        let redefined = self
            .redefinitions
            .iter()
            .enumerate()
            .filter_map(|(marker, change)| {
                let month = change.as_ref()?.month;
                Some(Fault::Redefinition { marker, month })
            });
        let shocked = self
            .shocks
            .iter()
            .enumerate()
            .filter_map(|(marker, change)| {
                let month = change.as_ref()?.month;
                Some(Fault::NationalShock { marker, month })
            });
        redefined.chain(shocked)
    }

    /// What becomes of one organisation, as faults.
    pub(crate) fn of_organisation(&self, org: usize) -> impl Iterator<Item = Fault> {
        let life = self.lives[org];
        let merger = life.absorbs.map(|(absorbed, month)| Fault::Merger {
            org,
            absorbed,
            month,
        });
        let late = Fault::LateStart {
            org,
            month: life.start,
        };
        [
            life.tiny.then_some(Fault::Tiny { org }),
            (life.start > 0).then_some(late),
            merger,
        ]
        .into_iter()
        .flatten()
    }
}

/// Shocks and redefinitions, by marker; no marker has both.
fn changes(config: &ScenarioConfig) -> (Vec<Option<Change>>, Vec<Option<Change>>) {
    let mut rng = stream(config.seed, None, Purpose::Faults);
    let mut order: Vec<usize> = (0..MODELS.len()).collect();
    order.shuffle(&mut rng);
    let redefined = share_of(MODELS.len(), config.faults.redefinitions);
    let shocked = share_of(MODELS.len(), config.faults.shocks);
    let (mut redefinitions, mut shocks) = (vec![None; MODELS.len()], vec![None; MODELS.len()]);
    for (place, marker) in order.into_iter().enumerate() {
        let month = month_of_change(config, &mut rng);
        let sign = if chance(&mut rng, 0.5) { 1.0 } else { -1.0 };
        if place < redefined {
            let sd = sign * between(&mut rng, REDEFINITION.0);
            redefinitions[marker] = Some(Change { month, sd });
        } else if place < redefined + shocked {
            let sd = sign * between(&mut rng, SHOCK);
            shocks[marker] = Some(Change { month, sd });
        }
    }
    (shocks, redefinitions)
}

/// A month that leaves a year before it and half a year from it on.
fn month_of_change(config: &ScenarioConfig, rng: &mut impl RngExt) -> usize {
    rng.random_range(12..=config.months - 6)
}

fn life(config: &ScenarioConfig, code: OrgCode) -> Life {
    let mut rng = stream(config.seed, Some(code), Purpose::Faults);
    let later = rng.random_range(3..=BASELINE - 6);
    let is_late = chance(&mut rng, config.faults.late_starts);
    Life {
        start: if is_late { later } else { 0 },
        end: config.months,
        absorbs: None,
        tiny: chance(&mut rng, config.faults.tiny),
    }
}

/// Pairs of organisations merge. Those with a part in the truth do not, because it would not be clear what is true of
/// the merged one.
fn merge(
    config: &ScenarioConfig,
    organisations: &[OrgCode],
    truth: &[TruthRow],
    lives: &mut [Life],
) {
    let pairs = share_of(organisations.len(), config.faults.mergers) / 2;
    let has_part = |org: &usize| truth.binary_search_by_key(org, |row| row.org).is_ok();
    let free: Vec<usize> = ranked(config, organisations, Purpose::Mergers)
        .into_iter()
        .filter(|org| !has_part(org))
        .collect();
    for pair in free.chunks_exact(2).take(pairs) {
        let (goes_on, stops) = (pair[0], pair[1]);
        let mut rng = stream(config.seed, Some(organisations[goes_on]), Purpose::Mergers);
        let month = month_of_change(config, &mut rng);
        lives[goes_on].absorbs = Some((stops, month));
        lives[goes_on].start = 0;
        lives[stops].start = 0;
        lives[stops].end = month;
    }
}
