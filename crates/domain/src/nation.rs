//! The nation: everything that the log says, folded.
//!
//! State is kept by key (an organisation, a marker, the reference data), and no key's state depends on facts of another lane. So the
//! order in which lanes are interleaved does not matter, and a checkpoint can save just the keys that were touched.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::alert::{AlertBook, AlertFact};
use crate::benchmark::{Benchmarks, NationalValue};
use crate::reference::{Reference, ReferenceFact, ReferenceHistory};
use crate::returns::Precondition;
use crate::returns::{History, Observation, Return, ReturnContent, Revision};
use crate::scheme::Scheme;
use crate::{Dataset, KnownAt, MarkerCode, OrgCode, Period, SchemeId, SeriesKey, Stamp};

/// A fact of the returns topic.
#[derive(Clone, Debug, PartialEq)]
pub enum ReturnFact {
    /// A return arrived.
    Return(Return),
    /// A scheme arrived.
    Scheme {
        /// The scheme.
        scheme: Scheme,
        /// How it wants to be decided.
        precondition: Precondition,
    },
}

/// The facts of one record.
#[derive(Clone, Debug, PartialEq)]
pub enum Facts {
    /// Of the reference topic.
    Reference(Vec<ReferenceFact>),
    /// Of the returns topic.
    Returns(Vec<ReturnFact>),
    /// Of the benchmarks topic.
    Benchmarks(Vec<NationalValue>),
    /// Of the alerts topic, all of one organisation.
    Alerts(OrgCode, Vec<AlertFact>),
}

/// Which state was touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// The reference data, as a whole.
    Reference,
    /// Returns and schemes of an organisation.
    Ledger(OrgCode),
    /// National values of a marker.
    Benchmarks(MarkerCode),
    /// Alerts of an organisation.
    Alerts(OrgCode),
}

/// Returns and schemes of one organisation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ledger {
    returns: BTreeMap<(Dataset, Period), History<ReturnContent>>,
    schemes: BTreeMap<SchemeId, History<Scheme>>,
}

impl Ledger {
    /// The history of a return.
    #[must_use]
    pub fn history(&self, dataset: Dataset, period: Period) -> Option<&History<ReturnContent>> {
        self.returns.get(&(dataset, period))
    }

    /// The return that was current at a moment of knowledge.
    #[must_use]
    pub fn known(
        &self,
        dataset: Dataset,
        period: Period,
        at: &KnownAt,
    ) -> Option<&Revision<ReturnContent>> {
        self.history(dataset, period)?.known(at)
    }

    /// Periods of a dataset for which something was known, oldest first.
    pub fn periods<'a>(
        &'a self,
        dataset: Dataset,
        at: &'a KnownAt,
    ) -> impl DoubleEndedIterator<Item = Period> + 'a {
        self.returns
            .iter()
            .filter(move |((held, _), history)| *held == dataset && history.known(at).is_some())
            .map(|((_, period), _)| *period)
    }

    /// An observation with the revision that it is from.
    #[must_use]
    pub fn observation(
        &self,
        key: SeriesKey,
        period: Period,
        at: &KnownAt,
    ) -> Option<(&Observation, &Revision<ReturnContent>)> {
        let revision = self.known(Dataset::Quality, period, at)?;
        revision
            .content
            .observation(key)
            .map(|observation| (observation, revision))
    }

    /// The history of a scheme.
    #[must_use]
    pub fn scheme_history(&self, id: SchemeId) -> Option<&History<Scheme>> {
        self.schemes.get(&id)
    }

    /// The schemes known at a moment, by identifier.
    pub fn schemes<'a>(
        &'a self,
        at: &'a KnownAt,
    ) -> impl Iterator<Item = &'a Revision<Scheme>> + 'a {
        self.schemes
            .values()
            .filter_map(move |history| history.known(at))
    }

    /// All histories of returns.
    pub fn histories(&self) -> impl Iterator<Item = ((Dataset, Period), &History<ReturnContent>)> {
        self.returns.iter().map(|(key, history)| (*key, history))
    }

    fn apply(&mut self, stamp: Stamp, by: &str, fact: ReturnFact) {
        match fact {
            ReturnFact::Return(ret) => {
                let history = self
                    .returns
                    .entry((ret.content.body.dataset(), ret.period))
                    .or_default();
                history.apply(stamp, by, ret.precondition, ret.content);
            }
            ReturnFact::Scheme {
                scheme,
                precondition,
            } => {
                self.schemes
                    .entry(scheme.id)
                    .or_default()
                    .apply(stamp, by, precondition, scheme);
            }
        }
    }
}

/// Counts, for people and for progress.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Organisations registered.
    pub organisations: u64,
    /// Returns (organisation, dataset, period).
    pub returns: u64,
    /// Revisions of returns.
    pub revisions: u64,
    /// Values in the current revisions.
    pub values: u64,
    /// Schemes.
    pub schemes: u64,
    /// Alerts ever opened.
    pub alerts: u64,
    /// National values published.
    pub benchmarks: u64,
}

/// Everything that the log says.
#[derive(Clone, Debug, Default)]
pub struct Nation {
    reference: ReferenceHistory,
    ledgers: BTreeMap<OrgCode, Ledger>,
    benchmarks: Benchmarks,
    alerts: BTreeMap<OrgCode, AlertBook>,
}

impl Nation {
    /// The reference data known at a moment.
    #[must_use]
    pub fn reference(&self, at: &KnownAt) -> Arc<Reference> {
        self.reference.known(at)
    }

    /// Every reference fact.
    #[must_use]
    pub fn reference_history(&self) -> &ReferenceHistory {
        &self.reference
    }

    /// Returns and schemes of an organisation; `None` when it never sent any.
    #[must_use]
    pub fn ledger(&self, org: OrgCode) -> Option<&Ledger> {
        self.ledgers.get(&org)
    }

    /// All ledgers by organisation.
    pub fn ledgers(&self) -> impl Iterator<Item = (OrgCode, &Ledger)> {
        self.ledgers.iter().map(|(org, ledger)| (*org, ledger))
    }

    /// National values.
    #[must_use]
    pub fn benchmarks(&self) -> &Benchmarks {
        &self.benchmarks
    }

    /// Alerts of an organisation; `None` when it never had any.
    #[must_use]
    pub fn alerts(&self, org: OrgCode) -> Option<&AlertBook> {
        self.alerts.get(&org)
    }

    /// All alert books by organisation.
    pub fn alert_books(&self) -> impl Iterator<Item = (OrgCode, &AlertBook)> {
        self.alerts.iter().map(|(org, book)| (*org, book))
    }

    /// Applies the facts of one record and says which keys it touched. Records come in the order of their lane.
    pub fn apply(&mut self, stamp: Stamp, by: &str, facts: Facts) -> Vec<Key> {
        match facts {
            Facts::Reference(facts) => {
                self.reference.apply(stamp, facts);
                vec![Key::Reference]
            }
            Facts::Returns(facts) => facts
                .into_iter()
                .map(|fact| self.apply_return(stamp, by, fact))
                .collect(),
            Facts::Benchmarks(values) => values
                .into_iter()
                .map(|value| {
                    let key = Key::Benchmarks(value.marker);
                    self.benchmarks.apply(stamp, value);
                    key
                })
                .collect(),
            Facts::Alerts(org, facts) => {
                let book = self.alerts.entry(org).or_default();
                for fact in facts {
                    book.apply(stamp, fact);
                }
                vec![Key::Alerts(org)]
            }
        }
    }

    fn apply_return(&mut self, stamp: Stamp, by: &str, fact: ReturnFact) -> Key {
        let org = match &fact {
            ReturnFact::Return(ret) => ret.org,
            ReturnFact::Scheme { scheme, .. } => scheme.org,
        };
        self.ledgers.entry(org).or_default().apply(stamp, by, fact);
        Key::Ledger(org)
    }

    /// Puts back the state of a key from a checkpoint.
    pub fn restore(&mut self, saved: Saved) {
        match saved {
            Saved::Reference(facts) => {
                self.reference = ReferenceHistory::default();
                for (stamp, facts) in facts {
                    self.reference.apply(stamp, facts);
                }
            }
            Saved::Ledger(org, ledger) => {
                self.ledgers.insert(org, ledger);
            }
            Saved::Benchmarks(values) => {
                for (stamp, value) in values {
                    self.benchmarks.apply(stamp, value);
                }
            }
            Saved::Alerts(org, book) => {
                self.alerts.insert(org, book);
            }
        }
    }

    /// The state of a key, for a checkpoint and for the digest.
    #[must_use]
    pub fn save(&self, key: Key) -> Option<Saved> {
        match key {
            Key::Reference => {
                let mut records: Vec<(Stamp, Vec<ReferenceFact>)> = Vec::new();
                for (stamp, fact) in self.reference.facts() {
                    match records.last_mut() {
                        Some((last, facts)) if last == stamp => facts.push(fact.clone()),
                        _ => records.push((*stamp, vec![fact.clone()])),
                    }
                }
                Some(Saved::Reference(records))
            }
            Key::Ledger(org) => self
                .ledger(org)
                .map(|ledger| Saved::Ledger(org, ledger.clone())),
            Key::Benchmarks(marker) => Some(Saved::Benchmarks(
                self.benchmarks
                    .of_marker(marker)
                    .into_iter()
                    .cloned()
                    .collect(),
            )),
            Key::Alerts(org) => self
                .alerts(org)
                .map(|book| Saved::Alerts(org, book.clone())),
        }
    }

    /// Every key that has state, in order.
    #[must_use]
    pub fn keys(&self) -> Vec<Key> {
        let mut keys = vec![Key::Reference];
        keys.extend(self.ledgers.keys().map(|org| Key::Ledger(*org)));
        let markers: std::collections::BTreeSet<MarkerCode> = self
            .benchmarks
            .iter(&KnownAt::Latest)
            .map(|value| value.marker)
            .collect();
        keys.extend(markers.into_iter().map(Key::Benchmarks));
        keys.extend(self.alerts.keys().map(|org| Key::Alerts(*org)));
        keys
    }

    /// Counts over everything.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let mut counts = Counts {
            organisations: self
                .reference
                .known(&KnownAt::Latest)
                .organisations()
                .count() as u64,
            benchmarks: self.benchmarks.len() as u64,
            alerts: self
                .alerts
                .values()
                .map(|book| book.iter().count() as u64)
                .sum(),
            ..Counts::default()
        };
        for ledger in self.ledgers.values() {
            counts.schemes += ledger.schemes.len() as u64;
            for history in ledger.returns.values() {
                counts.returns += u64::from(!history.revisions().is_empty());
                counts.revisions += history.revisions().len() as u64;
                counts.values += history
                    .latest()
                    .map_or(0, |revision| revision.content.body.len() as u64);
            }
        }
        counts
    }
}

/// The state of one key, as it is saved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Saved {
    /// Records of reference facts.
    Reference(Vec<(Stamp, Vec<ReferenceFact>)>),
    /// Returns and schemes.
    Ledger(OrgCode, Ledger),
    /// National values of a marker.
    Benchmarks(Vec<(Stamp, NationalValue)>),
    /// Alerts.
    Alerts(OrgCode, AlertBook),
}
