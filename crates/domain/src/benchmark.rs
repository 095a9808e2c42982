//! Benchmarks: what one organisation's finding needs to know of all others, as facts.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::returns::Measured;
use crate::{Cut, KnownAt, MarkerCode, Period, Slug, Stamp};

/// Marker, kind of organisation, and month.
pub type BenchmarkKey = (MarkerCode, Slug, Period);

/// The value of a marker over all organisations of a kind in a month, as known at a cut.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NationalValue {
    /// The marker.
    pub marker: MarkerCode,
    /// Organisations of this kind are each other's peers.
    pub peer_group: Slug,
    /// The month.
    pub period: Period,
    /// Sum of the parts.
    pub measured: Measured,
    /// Organisations with a figure.
    pub organisations: u32,
    /// Of these, how many slip on the marker in this month, held against this very value.
    pub organisations_slipping: u32,
    /// What it was computed from.
    pub cut: Cut,
    /// Any part of it is simulated.
    pub simulated: bool,
}

/// All national values ever published, by key, in the order of the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Benchmarks {
    by_key: BTreeMap<BenchmarkKey, Vec<(Stamp, NationalValue)>>,
}

impl Benchmarks {
    /// The value that was current at a moment of knowledge.
    #[must_use]
    pub fn known(&self, key: BenchmarkKey, at: &KnownAt) -> Option<&NationalValue> {
        self.by_key
            .get(&key)?
            .iter()
            .rev()
            .find(|(stamp, _)| at.covers(*stamp))
            .map(|(_, value)| value)
    }

    /// Every key, with its current value at a moment of knowledge.
    pub fn iter<'a>(&'a self, at: &'a KnownAt) -> impl Iterator<Item = &'a NationalValue> + 'a {
        self.by_key
            .keys()
            .filter_map(move |key| self.known(*key, at))
    }

    /// Every value ever published with its stamp, by key and in the order of the log.
    pub fn published(&self) -> impl Iterator<Item = &(Stamp, NationalValue)> {
        self.by_key.values().flatten()
    }

    /// Number of values published.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_key.values().map(Vec::len).sum()
    }

    /// Nothing published yet?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    /// Applies a fact. One that was applied before changes nothing.
    pub fn apply(&mut self, stamp: Stamp, value: NationalValue) {
        let values = self
            .by_key
            .entry((value.marker, value.peer_group, value.period))
            .or_default();
        if values
            .last()
            .is_none_or(|(last, _)| last.offset < stamp.offset)
        {
            values.push((stamp, value));
        }
    }

    /// The values of one marker with their stamps, for checkpoints.
    #[must_use]
    pub fn of_marker(&self, marker: MarkerCode) -> Vec<&(Stamp, NationalValue)> {
        self.by_key
            .iter()
            .filter(|((m, _, _), _)| *m == marker)
            .flat_map(|(_, values)| values)
            .collect()
    }
}
