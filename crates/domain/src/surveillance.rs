//! Surveillance: what was decided jointly over all organisations of a kind, as facts.
//!
//! Whether an organisation belongs on a list whose share of false entries is held down depends on all others, so the decision of a month
//! is a fact of its own, published with the cut that it was made at. What one organisation is asked follows from the fact alone.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::marker::QualityDomain;
use crate::{Cut, KnownAt, MarkerCode, OrgCode, Period, Slug, Stamp};

/// How sure the list is that an organisation is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Tier {
    /// On the longer list, of which a larger share may be false. Nobody is asked.
    Watch,
    /// On the list of alerts.
    Alert,
    /// On the list of alerts in this month and in the month before.
    Confirmed,
}

impl Tier {
    /// All tiers with their names.
    pub const NAMES: [(Self, &'static str); 3] = [
        (Self::Watch, "watch"),
        (Self::Alert, "alert"),
        (Self::Confirmed, "confirmed"),
    ];

    /// The name.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::NAMES
            .iter()
            .find(|(tier, _)| *tier == self)
            .map_or("", |(_, name)| name)
    }

    /// The tier of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::NAMES
            .iter()
            .find(|(_, n)| *n == name)
            .map(|(tier, _)| *tier)
    }
}

/// An organisation whose savings rose while its quality slipped, as far as can be told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Watched {
    /// Which.
    pub org: OrgCode,
    /// On which list.
    pub tier: Tier,
    /// Probability that it is not so: its local false discovery rate, 0 to 1.
    pub chance_false: f64,
    /// p-value of savings by themselves, 0 to 1.
    pub savings_p: f64,
    /// p-value of quality by itself, over all domains, 0 to 1.
    pub quality_p: f64,
    /// The domain with the most evidence.
    pub domain: QualityDomain,
    /// The month in which that domain most probably began to slip.
    pub since: Period,
    /// The markers that slipped since, at a false discovery rate of their own; in order of their code. Perhaps none by itself.
    pub markers: Vec<MarkerCode>,
}

/// A marker that moved for all organisations at once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NationalChange {
    /// Which.
    pub marker: MarkerCode,
    /// Change against the month before on the scale of the marker (log odds, log), plus is adverse.
    pub jump: f64,
}

/// What is typical of the organisations of a kind in a month: a robust location over them, at which those that moved count little.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PeerValue {
    /// Which marker.
    pub marker: MarkerCode,
    /// In the marker's own unit: a share of 1, events for each unit of the denominator, or the value.
    pub value: f64,
}

/// What was decided over the organisations of a kind at the end of a month.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Assessment {
    /// Organisations of this kind are each other's peers.
    pub peer_group: Slug,
    /// The month.
    pub period: Period,
    /// Organisations that could be judged.
    pub assessed: u32,
    /// Expected number of false entries among those of tiers alert and confirmed.
    pub expected_false: f64,
    /// Expected number of false entries among all of the list.
    pub expected_false_watched: f64,
    /// The list, in order of the code.
    pub watched: Vec<Watched>,
    /// Markers that moved for all at once, in order of the code.
    pub national: Vec<NationalChange>,
    /// What was taken off each organisation's figures of the month as common to all, in order of the code.
    pub peers: Vec<PeerValue>,
    /// The rules in force.
    pub rule_set_version: String,
    /// What it was decided from.
    pub cut: Cut,
    /// Any figure was simulated.
    pub simulated: bool,
}

impl Assessment {
    /// The entry of an organisation.
    #[must_use]
    pub fn of(&self, org: OrgCode) -> Option<&Watched> {
        let at = self.watched.binary_search_by_key(&org, |held| held.org);
        at.ok().map(|at| &self.watched[at])
    }

    /// Organisations of tiers alert and confirmed.
    #[must_use]
    pub fn listed(&self) -> usize {
        let asked = |held: &&Watched| held.tier > Tier::Watch;
        self.watched.iter().filter(asked).count()
    }

    /// Do they say the same, wherever they were decided?
    #[must_use]
    pub fn says_the_same(&self, other: &Self) -> bool {
        let cut = other.cut.clone();
        Self {
            cut,
            ..self.clone()
        } == *other
    }
}

/// Kind of organisation and month.
type Of = (Slug, Period);

/// All assessments ever published, by kind and month, in the order of the log.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Assessments {
    by_key: BTreeMap<Of, Vec<(Stamp, Assessment)>>,
}

impl Assessments {
    /// The assessment of a month that was current at a moment of knowledge.
    #[must_use]
    pub fn known(&self, kind: Slug, period: Period, at: &KnownAt) -> Option<&Assessment> {
        current(self.by_key.get(&(kind, period))?, at)
    }

    /// The assessment of the latest month of a kind.
    #[must_use]
    pub fn latest(&self, kind: Slug, at: &KnownAt) -> Option<&Assessment> {
        let months = self
            .by_key
            .range((kind, Period::FIRST)..=(kind, Period::LAST));
        months.rev().find_map(|(_, held)| current(held, at))
    }

    /// Every kind and month, with the assessment that was current.
    pub fn iter<'a>(&'a self, at: &'a KnownAt) -> impl Iterator<Item = &'a Assessment> + 'a {
        self.by_key.values().filter_map(|held| current(held, at))
    }

    /// Every assessment of a kind with its stamp, for checkpoints and checks.
    #[must_use]
    pub fn of_kind(&self, kind: Slug) -> Vec<&(Stamp, Assessment)> {
        self.by_key
            .range((kind, Period::FIRST)..=(kind, Period::LAST))
            .flat_map(|(_, held)| held)
            .collect()
    }

    /// The kinds of which there are any.
    pub fn kinds(&self) -> impl Iterator<Item = Slug> + '_ {
        let kinds: std::collections::BTreeSet<Slug> =
            self.by_key.keys().map(|(kind, _)| *kind).collect();
        kinds.into_iter()
    }

    /// Applies a fact. One that was applied before changes nothing.
    pub fn apply(&mut self, stamp: Stamp, assessment: Assessment) {
        let key = (assessment.peer_group, assessment.period);
        let held = self.by_key.entry(key).or_default();
        if held
            .last()
            .is_none_or(|(last, _)| last.offset < stamp.offset)
        {
            held.push((stamp, assessment));
        }
    }
}

fn current<'a>(held: &'a [(Stamp, Assessment)], at: &KnownAt) -> Option<&'a Assessment> {
    let known = |(stamp, _): &&(Stamp, Assessment)| at.covers(*stamp);
    held.iter().rev().find(known).map(|(_, held)| held)
}
