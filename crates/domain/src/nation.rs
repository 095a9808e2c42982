//! The nation: everything that the log says, folded.
//!
//! State is kept by key (an organisation, a marker, the reference data), and no key's state depends on facts of another lane. So the
//! order in which lanes are interleaved does not matter, and a checkpoint can save just the keys that were touched.

mod columns;
mod ledger;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::alert::{ActDecision, Acted, AlertBook, AlertFact};
use crate::benchmark::{Benchmarks, NationalValue};
use crate::reference::{Reference, ReferenceFact, ReferenceHistory};
use crate::returns::{Body, Decision, Precondition, Return};
use crate::scheme::Scheme;
use crate::surveillance::{Assessment, Assessments};
use crate::tenure::{Tenure, Tenures};
use crate::{KnownAt, MarkerCode, OrgCode, Slug, Stamp};

pub use columns::{CellSum, ColumnData, Columns, NO_GROUP, OrgIndex};
pub use ledger::Ledger;

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
    /// Of any topic with one writer at a time: from here on the lane is this writer's.
    EpochBegun(Tenure),
    /// Of the benchmarks topic too: a joint decision over the organisations of a kind.
    Assessment(Box<Assessment>),
}

impl Facts {
    /// Adds the keys of the state that these facts, which came by a lane, touch; some perhaps more than once.
    pub fn add_keys(&self, lane: u32, keys: &mut Vec<Key>) {
        match self {
            Self::Reference(_) => keys.push(Key::Reference),
            Self::Returns(facts) => keys.extend(facts.iter().map(|fact| Key::Ledger(fact.org()))),
            Self::Benchmarks(values) => {
                keys.extend(values.iter().map(|value| Key::Benchmarks(value.marker)));
            }
            Self::Alerts(org, _) => keys.push(Key::Alerts(*org)),
            Self::EpochBegun(_) => keys.push(Key::Tenure(lane)),
            Self::Assessment(held) => keys.push(Key::Assessments(held.peer_group)),
        }
    }
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
    /// The single writer of a lane.
    Tenure(u32),
    /// Joint decisions over the organisations of a kind.
    Assessments(Slug),
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
///
/// What is large is shared: a clone costs a pointer for each organisation, and state that is changed while a clone is held is copied
/// first. That is how a checkpoint is written while folding goes on.
#[derive(Clone, Debug, Default)]
pub struct Nation {
    reference: Arc<ReferenceHistory>,
    ledgers: BTreeMap<OrgCode, Arc<Ledger>>,
    benchmarks: Arc<Benchmarks>,
    assessments: Arc<Assessments>,
    alerts: BTreeMap<OrgCode, Arc<AlertBook>>,
    columns: Columns,
    tenures: Tenures,
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
        self.ledgers.get(&org).map(|ledger| &**ledger)
    }

    /// The current figures by column.
    #[must_use]
    pub fn columns(&self) -> &Columns {
        &self.columns
    }

    /// As much of the state as rules look at for these organisations. Costs a pointer for each of them.
    #[must_use]
    pub fn frozen_for(&self, organisations: &[OrgCode]) -> Self {
        let ledger = |org: &OrgCode| Some((*org, Arc::clone(self.ledgers.get(org)?)));
        let book = |org: &OrgCode| Some((*org, Arc::clone(self.alerts.get(org)?)));
        Self {
            reference: Arc::clone(&self.reference),
            ledgers: organisations.iter().filter_map(ledger).collect(),
            benchmarks: Arc::clone(&self.benchmarks),
            assessments: Arc::clone(&self.assessments),
            alerts: organisations.iter().filter_map(book).collect(),
            columns: Columns::default(),
            tenures: Tenures::default(),
        }
    }

    /// The same state to be saved: without the columns, which are made again when it is restored.
    #[must_use]
    pub fn frozen(&self) -> Self {
        Self {
            reference: Arc::clone(&self.reference),
            ledgers: self.ledgers.clone(),
            benchmarks: Arc::clone(&self.benchmarks),
            assessments: Arc::clone(&self.assessments),
            alerts: self.alerts.clone(),
            columns: Columns::default(),
            tenures: self.tenures.clone(),
        }
    }

    /// All ledgers by organisation.
    pub fn ledgers(&self) -> impl Iterator<Item = (OrgCode, &Ledger)> {
        self.ledgers.iter().map(|(org, ledger)| (*org, &**ledger))
    }

    /// National values.
    #[must_use]
    pub fn benchmarks(&self) -> &Benchmarks {
        &self.benchmarks
    }

    /// Joint decisions.
    #[must_use]
    pub fn assessments(&self) -> &Assessments {
        &self.assessments
    }

    /// Alerts of an organisation; `None` when it never had any.
    #[must_use]
    pub fn alerts(&self, org: OrgCode) -> Option<&AlertBook> {
        self.alerts.get(&org).map(|book| &**book)
    }

    /// All alert books by organisation.
    pub fn alert_books(&self) -> impl Iterator<Item = (OrgCode, &AlertBook)> {
        self.alerts.iter().map(|(org, book)| (*org, &**book))
    }

    /// What would become of an act now. A key that its author has used for another alert is refused here, before the act is a fact: the fold
    /// of an alert sees no other lane.
    #[must_use]
    pub fn decide_act(&self, org: OrgCode, acted: &Acted) -> ActDecision {
        let Some(book) = self.alerts(org) else {
            return ActDecision::UnknownAlert;
        };
        let elsewhere = || {
            let mut books = self.alert_books();
            books.find_map(|(_, book)| book.same_key_elsewhere(acted))
        };
        match book.decide_before(u64::MAX, acted) {
            ActDecision::Repeat => ActDecision::Repeat,
            decision => elsewhere().map_or(decision, |held| ActDecision::KeyReused(held.clone())),
        }
    }

    /// Who writes to which lane now.
    #[must_use]
    pub fn tenures(&self) -> &Tenures {
        &self.tenures
    }

    /// Applies the facts of one record. Records come in the order of their lane. One whose writer is superseded
    /// ([`Tenures::is_superseded`]) is not to be applied.
    pub fn apply(&mut self, stamp: Stamp, by: &str, facts: Facts) {
        match facts {
            Facts::Reference(facts) => Arc::make_mut(&mut self.reference).apply(stamp, facts),
            Facts::Returns(facts) => {
                for fact in facts {
                    self.apply_return(stamp, by, fact);
                }
            }
            Facts::Benchmarks(values) => {
                let benchmarks = Arc::make_mut(&mut self.benchmarks);
                for value in values {
                    benchmarks.apply(stamp, value);
                }
            }
            Facts::Alerts(org, facts) => {
                let book = Arc::make_mut(self.alerts.entry(org).or_default());
                for fact in facts {
                    book.apply(stamp, fact);
                }
            }
            Facts::EpochBegun(tenure) => self.tenures.begin(stamp.lane, tenure),
            Facts::Assessment(held) => Arc::make_mut(&mut self.assessments).apply(stamp, *held),
        }
    }

    fn apply_return(&mut self, stamp: Stamp, by: &str, fact: ReturnFact) {
        let org = fact.org();
        let ledger = Arc::make_mut(self.ledgers.entry(org).or_default());
        match fact {
            ReturnFact::Return(ret) => {
                let Return {
                    period,
                    mut content,
                    precondition,
                    ..
                } = ret;
                let history = ledger.history_mut(content.body.dataset(), period);
                let decision = history.decide_before(stamp.offset, &precondition, &content);
                if let (Decision::Accepted(_), Body::Quality(now)) = (decision, &mut content.body)
                    && history.is_new(stamp)
                {
                    let before = history.latest().and_then(|held| match &held.content.body {
                        Body::Quality(before) => Some(before),
                        Body::Savings(_) => None,
                    });
                    self.columns.replace(org, period, before, now);
                    self.columns.note(stamp, org, period);
                }
                history.apply_decided(decision, stamp, by, precondition, content);
            }
            ReturnFact::Scheme {
                scheme,
                precondition,
            } => ledger.apply_scheme(stamp, by, scheme, precondition),
        }
    }

    /// Puts back the state of a key from a checkpoint.
    pub fn restore(&mut self, saved: Saved) {
        match saved {
            Saved::Reference(facts) => {
                let mut reference = ReferenceHistory::default();
                for (stamp, facts) in facts {
                    reference.apply(stamp, facts);
                }
                self.reference = Arc::new(reference);
            }
            Saved::Ledger(org, mut ledger) => {
                let columns = &mut self.columns;
                let held = Arc::make_mut(&mut ledger);
                held.share_shapes(|observations| drop(columns.share(observations)));
                for ((_, _), history) in held.histories() {
                    if let Some(revision) = history.latest() {
                        columns.forget(revision.stamp);
                    }
                }
                for (period, observations) in held.current() {
                    columns.replace(org, period, None, &mut observations.clone());
                }
                self.ledgers.insert(org, ledger);
            }
            Saved::Benchmarks(values) => {
                let benchmarks = Arc::make_mut(&mut self.benchmarks);
                for (stamp, value) in values {
                    benchmarks.apply(stamp, value);
                }
            }
            Saved::Alerts(org, book) => {
                self.alerts.insert(org, book);
            }
            Saved::Tenure(lane, tenure) => self.tenures.begin(lane, tenure),
            Saved::Assessments(all) => {
                let assessments = Arc::make_mut(&mut self.assessments);
                for (stamp, held) in all {
                    assessments.apply(stamp, held);
                }
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
            Key::Ledger(org) => {
                let ledger = self.ledgers.get(&org)?;
                Some(Saved::Ledger(org, Arc::clone(ledger)))
            }
            Key::Benchmarks(marker) => Some(Saved::Benchmarks(
                self.benchmarks
                    .of_marker(marker)
                    .into_iter()
                    .cloned()
                    .collect(),
            )),
            Key::Alerts(org) => {
                let book = self.alerts.get(&org)?;
                Some(Saved::Alerts(org, Arc::clone(book)))
            }
            Key::Tenure(lane) => {
                let tenure = self.tenures.of_lane(lane)?;
                Some(Saved::Tenure(lane, tenure.clone()))
            }
            Key::Assessments(kind) => {
                let all = self.assessments.of_kind(kind).into_iter();
                Some(Saved::Assessments(all.cloned().collect()))
            }
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
        keys.extend(self.tenures.iter().map(|(lane, _)| Key::Tenure(lane)));
        keys.extend(self.assessments.kinds().map(Key::Assessments));
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
            counts.schemes += ledger.scheme_count() as u64;
            for (_, history) in ledger.histories() {
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
    Ledger(OrgCode, Arc<Ledger>),
    /// National values of a marker.
    Benchmarks(Vec<(Stamp, NationalValue)>),
    /// Alerts.
    Alerts(OrgCode, Arc<AlertBook>),
    /// The single writer of a lane.
    Tenure(u32, Tenure),
    /// Joint decisions over the organisations of a kind.
    Assessments(Vec<(Stamp, Assessment)>),
}
