//! How many markers slip or improve together, and in how many domains (R01).
//!
//! One marker is noise: 26 to 54 of 100 trust-months have one. Two in two domains are rare (report §0.6).

use std::collections::BTreeSet;

use qipp_domain::alert::{Direction, MarkerEvidence};
use qipp_domain::marker::{QualityDomain, TriggerRole};
use qipp_domain::{Period, SchemeId};

use crate::r01;
use crate::rule_set::RuleSetInForce;
use crate::slip::{Reading, SlipOutcome, WINDOW};
use crate::subject::Subject;

/// A marker that counts.
#[derive(Clone, Debug)]
pub struct Sighting {
    /// What was read.
    pub reading: Reading,
    /// Which way it moved.
    pub direction: Direction,
    /// Live schemes that declared it in advance.
    pub linked: Vec<SchemeId>,
    /// It slips in all of the last three months. Looked up for declared markers only: nothing else depends on it.
    pub persists: bool,
}

/// The markers of one month.
#[derive(Clone, Debug)]
pub struct Tally {
    /// Trigger markers that slip, by code.
    pub slipping: Vec<Sighting>,
    /// Trigger markers that improve, by code.
    pub improving: Vec<Sighting>,
    /// Sentinel markers with enough events in three months, in words.
    pub sentinels: Vec<String>,
    /// What was left out and why.
    pub notes: Vec<String>,
}

/// How much a set of slipping markers weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Weight {
    /// Markers.
    markers: u32,
    /// Markers, declared ones counted twice where they may be.
    weighted: u32,
    /// Domains.
    domains: u32,
    /// A declared marker that persists stands in for the second domain.
    stands_alone: bool,
}

impl Tally {
    /// The markers of a month.
    #[must_use]
    pub fn of(subject: &Subject<'_>, period: Period) -> Self {
        let mut tally = Self {
            slipping: Vec::new(),
            improving: Vec::new(),
            sentinels: sentinel_clusters(subject, period),
            notes: Vec::new(),
        };
        for series in subject.watched(TriggerRole::Trigger, period) {
            match subject.slip(series.marker, period) {
                SlipOutcome::Slipping(reading) => {
                    let sighting = sighting(subject, period, reading, Direction::Slipping);
                    tally.slipping.push(sighting);
                }
                SlipOutcome::Improving(reading) => {
                    let sighting = sighting(subject, period, reading, Direction::Improving);
                    tally.improving.push(sighting);
                }
                SlipOutcome::LeftOut(_, reason) => {
                    tally
                        .notes
                        .push(format!("{} left out: {reason}", series.marker));
                }
                SlipOutcome::Usual(_) | SlipOutcome::NotJudged(_) => {}
            }
        }
        tally
    }

    /// Do enough markers slip in enough domains for a question? Trial baselines count only when asked for.
    #[must_use]
    pub fn is_amber(&self, rules: &RuleSetInForce, with_trial: bool) -> bool {
        let weight = self.weigh(with_trial);
        let spread = weight.domains >= rules.count(&r01::DOMAINS) || weight.stands_alone;
        weight.weighted >= rules.count(&r01::MARKERS) && spread
    }

    /// Is this month pressing by itself: many markers, or a sentinel cluster next to a slipping marker? Without trial baselines.
    #[must_use]
    pub fn is_red_by_itself(&self, rules: &RuleSetInForce) -> bool {
        let weight = self.weigh(false);
        let many = weight.weighted >= rules.count(&r01::RED_MARKERS)
            && weight.domains >= rules.count(&r01::DOMAINS);
        many || (!self.sentinels.is_empty() && weight.markers >= 1)
    }

    fn weigh(&self, with_trial: bool) -> Weight {
        let counted: Vec<&Sighting> = self
            .slipping
            .iter()
            .filter(|sighting| with_trial || !sighting.reading.trial)
            .collect();
        let domains: BTreeSet<QualityDomain> = counted
            .iter()
            .map(|s| s.reading.definition.domain)
            .collect();
        let declared = |s: &&&Sighting| !s.linked.is_empty() && (domains.len() >= 2 || s.persists);
        let twice = counted.iter().filter(declared).count();
        Weight {
            markers: as_count(counted.len()),
            weighted: as_count(counted.len() + twice),
            domains: as_count(domains.len()),
            stands_alone: counted.iter().any(|s| !s.linked.is_empty() && s.persists),
        }
    }

    /// The slipping markers as evidence.
    #[must_use]
    pub fn slipping_evidence(&self) -> Vec<MarkerEvidence> {
        evidence_of(&self.slipping)
    }

    /// Notes with the sentinel clusters.
    #[must_use]
    pub fn all_notes(&self) -> Vec<String> {
        self.sentinels.iter().chain(&self.notes).cloned().collect()
    }
}

/// Sightings as evidence.
#[must_use]
pub fn evidence_of(sightings: &[Sighting]) -> Vec<MarkerEvidence> {
    sightings
        .iter()
        .map(|sighting| {
            sighting
                .reading
                .evidence(sighting.direction, sighting.linked.clone())
        })
        .collect()
}

/// The number of domains that the sightings lie in.
#[must_use]
pub fn domains(sightings: &[Sighting]) -> usize {
    let domains: BTreeSet<QualityDomain> = sightings
        .iter()
        .map(|s| s.reading.definition.domain)
        .collect();
    domains.len()
}

fn as_count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

fn sighting(
    subject: &Subject<'_>,
    period: Period,
    reading: Reading,
    direction: Direction,
) -> Sighting {
    let linked = subject.linked_schemes(reading.marker(), period);
    let earlier = || (1..WINDOW).map(|back| period.plus(-back));
    let slips = |month: Option<Period>| {
        month.is_some_and(|month| {
            matches!(
                subject.slip(reading.marker(), month),
                SlipOutcome::Slipping(_)
            )
        })
    };
    let persists = direction == Direction::Slipping && !linked.is_empty() && earlier().all(slips);
    Sighting {
        reading,
        direction,
        linked,
        persists,
    }
}

/// Sentinel markers with at least so many events in the three months. A month without a figure adds nothing that is known: the
/// events that are known are enough, or they are not.
fn sentinel_clusters(subject: &Subject<'_>, period: Period) -> Vec<String> {
    let needed = subject.context.rules.value(&r01::SENTINEL_EVENTS);
    let Some(from) = period.plus(1 - WINDOW) else {
        return Vec::new();
    };
    let is_sentinel = |marker, version| {
        let definition = subject.context.reference.marker(marker, version);
        definition
            .is_some_and(|held| held.role == TriggerRole::Sentinel && held.domain.is_quality())
    };
    let mut clusters = Vec::new();
    for series in subject.all_series() {
        let window = series
            .points
            .iter()
            .filter(|point| (from..=period).contains(&point.period));
        let counted = window.filter(|point| is_sentinel(series.marker, point.version));
        let events: f64 = counted.map(|point| point.own.numerator.to_f64()).sum();
        if events >= needed {
            clusters.push(format!(
                "{}: {events} events in {from} to {period} (sentinel)",
                series.marker
            ));
        }
    }
    clusters
}
