//! Reference data: who exists, how they are arranged, what is measured, when it is due.
//!
//! [`ReferenceHistory`] keeps every fact with its stamp; [`Reference`] is the picture that the facts known at a moment give. Valid
//! time is inside the facts: edges, openings and closings carry days, definitions carry periods.

mod check;
mod facts;
mod grouping;
mod tree;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::civil::Date;

use crate::marker::MarkerDefinition;
use crate::{Dataset, KnownAt, MarkerCode, OrgCode, Period, Slug, Stamp};
use tree::MAX_DEPTH;

pub use facts::{
    Community, Edge, Obligation, Organisation, ReferenceFact, RuleSet, RuleSetting, Succession,
};
pub use grouping::{Grouping, TreeGrouping};
pub use tree::Tree;

/// The picture that the facts known at a moment give.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reference {
    organisations: BTreeMap<OrgCode, Organisation>,
    trees: BTreeMap<Slug, Tree>,
    successions: BTreeSet<Succession>,
    communities: BTreeMap<Slug, Community>,
    markers: BTreeMap<MarkerCode, BTreeMap<u32, MarkerDefinition>>,
    deadlines: BTreeMap<(Dataset, Period), Date>,
    obligations: BTreeMap<(OrgCode, Dataset), BTreeMap<Period, Obligation>>,
    rule_set: Option<RuleSet>,
    memo: grouping::Remembered,
}

impl Reference {
    /// An organisation by its code.
    #[must_use]
    pub fn organisation(&self, code: OrgCode) -> Option<&Organisation> {
        self.organisations.get(&code)
    }

    /// All organisations by code.
    pub fn organisations(&self) -> impl Iterator<Item = &Organisation> {
        self.organisations.values()
    }

    /// A tree by its name.
    #[must_use]
    pub fn tree(&self, tree: Slug) -> Option<&Tree> {
        self.trees.get(&tree)
    }

    /// All trees by name.
    pub fn trees(&self) -> impl Iterator<Item = &Tree> {
        self.trees.values()
    }

    /// All successions.
    pub fn successions(&self) -> impl Iterator<Item = &Succession> {
        self.successions.iter()
    }

    /// All communities by name.
    pub fn communities(&self) -> impl Iterator<Item = &Community> {
        self.communities.values()
    }

    /// Every version of every marker.
    pub fn markers(&self) -> impl Iterator<Item = &MarkerDefinition> {
        self.markers.values().flat_map(BTreeMap::values)
    }

    /// A version of a marker.
    #[must_use]
    pub fn marker(&self, marker: MarkerCode, version: u32) -> Option<&MarkerDefinition> {
        self.markers.get(&marker)?.get(&version)
    }

    /// The latest version of a marker.
    #[must_use]
    pub fn latest_marker(&self, marker: MarkerCode) -> Option<&MarkerDefinition> {
        self.markers.get(&marker)?.values().next_back()
    }

    /// The version of a marker that is in force for a period: the latest one that is valid for it.
    #[must_use]
    pub fn marker_for(&self, marker: MarkerCode, period: Period) -> Option<&MarkerDefinition> {
        self.markers
            .get(&marker)?
            .values()
            .rev()
            .find(|definition| definition.is_valid_for(period))
    }

    /// The day by which a dataset of a period is due.
    #[must_use]
    pub fn deadline(&self, dataset: Dataset, period: Period) -> Option<Date> {
        self.deadlines.get(&(dataset, period)).copied()
    }

    /// All deadlines by dataset and period.
    pub fn deadlines(&self) -> impl Iterator<Item = (Dataset, Period, Date)> + '_ {
        self.deadlines
            .iter()
            .map(|(&(dataset, period), &due)| (dataset, period, due))
    }

    /// Does the organisation owe the dataset of the period, and does it operate then?
    #[must_use]
    pub fn owes(&self, org: OrgCode, dataset: Dataset, period: Period) -> bool {
        let obliged = self
            .obligations
            .get(&(org, dataset))
            .is_some_and(|held| held.values().any(|obligation| obligation.covers(period)));
        obliged
            && self
                .organisation(org)
                .is_some_and(|o| o.operates_in(period))
    }

    /// All obligations.
    pub fn obligations(&self) -> impl Iterator<Item = &Obligation> {
        self.obligations.values().flat_map(BTreeMap::values)
    }

    /// The rules in force, when any were published.
    #[must_use]
    pub fn rule_set(&self) -> Option<&RuleSet> {
        self.rule_set.as_ref()
    }

    /// The organisations that follow `org`, in order of their code.
    pub fn successors(&self, org: OrgCode) -> impl Iterator<Item = &Succession> {
        let first = Succession {
            org,
            successor: OrgCode::LEAST,
            date: Date::MIN,
        };
        self.successions
            .range(first..)
            .take_while(move |s| s.org == org)
    }

    /// Who counts for `org` when history is read as it is on a day: the end of its chain of successors. A split (several successors
    /// by that day) has no single heir, so the organisation then counts for itself.
    #[must_use]
    pub fn heir(&self, org: OrgCode, day: Date) -> OrgCode {
        let mut current = org;
        for _ in 0..MAX_DEPTH {
            let mut next = self.successors(current).filter(|s| s.date <= day);
            match (next.next(), next.next()) {
                (Some(only), None) if only.successor != current => current = only.successor,
                _ => break,
            }
        }
        current
    }

    /// Was there a succession into or out of the organisation in the months `from` to `to`?
    #[must_use]
    pub fn had_succession(&self, org: OrgCode, from: Period, to: Period) -> bool {
        let within = |day: Date| from.first_day() <= day && day <= to.last_day();
        self.successions
            .iter()
            .any(|s| (s.org == org || s.successor == org) && within(s.date))
    }

    /// Would the fact change anything?
    #[must_use]
    pub fn knows(&self, fact: &ReferenceFact) -> bool {
        match fact {
            ReferenceFact::Organisation(o) => self.organisation(o.code).is_some_and(|held| {
                Organisation {
                    closed: held.closed,
                    ..o.clone()
                } == *held
            }),
            ReferenceFact::Closed { org, closed } => self
                .organisation(*org)
                .is_some_and(|held| held.closed == Some(*closed)),
            ReferenceFact::Succeeded(succession) => self.successions.contains(succession),
            ReferenceFact::Tree { tree, title, root } => self
                .tree(*tree)
                .is_some_and(|held| held.title == *title && held.root == *root),
            ReferenceFact::Edge(edge) => self
                .tree(edge.tree)
                .is_some_and(|held| held.edges_of(edge.child).contains(edge)),
            ReferenceFact::Community(community) => {
                self.communities.get(&community.community) == Some(community)
            }
            ReferenceFact::Marker(definition) => {
                self.marker(definition.marker, definition.version) == Some(definition)
            }
            ReferenceFact::Deadline {
                dataset,
                period,
                due,
            } => self.deadline(*dataset, *period) == Some(*due),
            ReferenceFact::Obligation(obligation) => {
                let held = self.obligations.get(&(obligation.org, obligation.dataset));
                held.and_then(|periods| periods.get(&obligation.from)) == Some(obligation)
            }
            ReferenceFact::RuleSet(rules) => self.rule_set.as_ref() == Some(rules),
        }
    }

    /// Applies a fact.
    pub fn apply(&mut self, fact: &ReferenceFact) {
        self.memo.forget();
        match fact {
            ReferenceFact::Organisation(organisation) => {
                let closed = self
                    .organisation(organisation.code)
                    .and_then(|held| held.closed);
                self.organisations.insert(
                    organisation.code,
                    Organisation {
                        closed,
                        ..organisation.clone()
                    },
                );
            }
            ReferenceFact::Closed { org, closed } => {
                if let Some(held) = self.organisations.get_mut(org) {
                    held.closed = Some(*closed);
                }
            }
            ReferenceFact::Succeeded(succession) => {
                // One organisation follows another once: a later fact corrects the day, it doesn't make a split of it.
                let same =
                    |s: &Succession| (s.org, s.successor) == (succession.org, succession.successor);
                self.successions.retain(|held| !same(held));
                self.successions.insert(*succession);
            }
            ReferenceFact::Tree { tree, title, root } => {
                let edges = self
                    .trees
                    .remove(tree)
                    .map(|held| held.edges)
                    .unwrap_or_default();
                self.trees.insert(
                    *tree,
                    Tree {
                        tree: *tree,
                        title: title.clone(),
                        root: *root,
                        edges,
                    },
                );
            }
            ReferenceFact::Edge(edge) => {
                if let Some(tree) = self.trees.get_mut(&edge.tree) {
                    let edges = tree.edges.entry(edge.child).or_default();
                    edges.retain(|held| held.from != edge.from);
                    edges.push(*edge);
                    edges.sort_by_key(|held| held.from);
                }
            }
            ReferenceFact::Community(community) => {
                self.communities
                    .insert(community.community, community.clone());
            }
            ReferenceFact::Marker(definition) => {
                self.markers
                    .entry(definition.marker)
                    .or_default()
                    .insert(definition.version, definition.clone());
            }
            ReferenceFact::Deadline {
                dataset,
                period,
                due,
            } => {
                self.deadlines.insert((*dataset, *period), *due);
            }
            ReferenceFact::Obligation(obligation) => {
                let held = self
                    .obligations
                    .entry((obligation.org, obligation.dataset))
                    .or_default();
                held.insert(obligation.from, *obligation);
            }
            ReferenceFact::RuleSet(rules) => self.rule_set = Some(rules.clone()),
        }
    }
}

/// Every reference fact with its stamp, in the order of the log, and the picture they give now.
#[derive(Clone, Debug, Default)]
pub struct ReferenceHistory {
    facts: Vec<(Stamp, ReferenceFact)>,
    latest: Arc<Reference>,
}

impl ReferenceHistory {
    /// The picture that the facts known at a moment give. Cheap for the latest; otherwise the facts are folded again.
    #[must_use]
    pub fn known(&self, at: &KnownAt) -> Arc<Reference> {
        // They all come by one lane, in which neither offsets nor times go back: who knew the last one knew all.
        if self.facts.last().is_none_or(|(last, _)| at.covers(*last)) {
            return Arc::clone(&self.latest);
        }
        let mut reference = Reference::default();
        for (_, fact) in self.facts.iter().filter(|(stamp, _)| at.covers(*stamp)) {
            reference.apply(fact);
        }
        Arc::new(reference)
    }

    /// Applies the facts of one record. A record that was applied before changes nothing.
    pub fn apply(&mut self, stamp: Stamp, facts: Vec<ReferenceFact>) {
        if self
            .facts
            .last()
            .is_some_and(|(last, _)| last.offset >= stamp.offset)
        {
            return;
        }
        let latest = Arc::make_mut(&mut self.latest);
        for fact in facts {
            latest.apply(&fact);
            self.facts.push((stamp, fact));
        }
    }

    /// All facts, in the order of the log.
    #[must_use]
    pub fn facts(&self) -> &[(Stamp, ReferenceFact)] {
        &self.facts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn org(code: &str, kind: &str) -> ReferenceFact {
        ReferenceFact::Organisation(Organisation {
            code: OrgCode::new(code).unwrap(),
            name: code.to_owned(),
            kind: Slug::new(kind).unwrap(),
            opened: None,
            closed: None,
        })
    }

    fn edge(child: &str, parent: &str, from: &str, until: Option<&str>) -> ReferenceFact {
        ReferenceFact::Edge(Edge {
            tree: Slug::new("sha_2010").unwrap(),
            child: OrgCode::new(child).unwrap(),
            parent: OrgCode::new(parent).unwrap(),
            from: from.parse().unwrap(),
            until: until.map(|day| day.parse().unwrap()),
        })
    }

    fn reference(facts: &[ReferenceFact]) -> Reference {
        let mut reference = Reference::default();
        for fact in facts {
            reference.check(fact).unwrap();
            reference.apply(fact);
        }
        reference
    }

    fn small_tree() -> Vec<ReferenceFact> {
        vec![
            org("ENG", "nation"),
            org("Q30", "sha"),
            org("Q31", "sha"),
            org("5A3", "pct"),
            ReferenceFact::Tree {
                tree: Slug::new("sha_2010").unwrap(),
                title: "SHAs".into(),
                root: OrgCode::new("ENG").unwrap(),
            },
            edge("Q30", "ENG", "2002-10-01", None),
            edge("Q31", "ENG", "2002-10-01", None),
            edge("5A3", "Q30", "2006-10-01", Some("2010-04-01")),
            edge("5A3", "Q31", "2010-04-01", None),
        ]
    }

    #[test]
    fn an_organisation_that_moved_stands_where_it_stood_on_the_day() {
        let reference = reference(&small_tree());
        let tree = reference.tree(Slug::new("sha_2010").unwrap()).unwrap();
        let above = |day: &str| {
            let codes: Vec<String> = tree
                .upwards(OrgCode::new("5A3").unwrap(), day.parse().unwrap())
                .map(|c| c.to_string())
                .collect();
            codes.join("<")
        };
        assert_eq!(above("2010-03-31"), "5A3<Q30<ENG");
        assert_eq!(above("2010-04-01"), "5A3<Q31<ENG");
        assert_eq!(above("2001-01-01"), "5A3");
    }

    #[test]
    fn a_cycle_a_redefinition_and_an_unknown_parent_are_refused() {
        let reference = reference(&small_tree());
        assert_eq!(
            reference
                .check(&edge("ENG", "5A3", "2010-01-01", None))
                .unwrap_err()
                .0,
            "CYCLE"
        );
        assert_eq!(
            reference
                .check(&edge("5A3", "Q99", "2010-01-01", None))
                .unwrap_err()
                .0,
            "UNKNOWN_ORGANISATION"
        );
        assert_eq!(
            reference
                .check(&edge("5A3", "Q30", "2010-01-01", Some("2009-01-01")))
                .unwrap_err()
                .0,
            "EMPTY_INTERVAL"
        );
    }

    #[test]
    fn a_merger_has_an_heir_and_a_split_has_none() {
        let mut facts: Vec<ReferenceFact> = ["RAA", "RBB", "RCC", "RDD"]
            .iter()
            .map(|code| org(code, "trust"))
            .collect();
        let succession = |from: &str, to: &str, date: &str| {
            ReferenceFact::Succeeded(Succession {
                org: OrgCode::new(from).unwrap(),
                successor: OrgCode::new(to).unwrap(),
                date: date.parse().unwrap(),
            })
        };
        facts.extend([
            succession("RAA", "RBB", "2012-04-01"),
            succession("RBB", "RCC", "2013-04-01"),
        ]);
        facts.extend([
            succession("RDD", "RBB", "2012-10-01"),
            succession("RDD", "RCC", "2012-10-01"),
        ]);
        let reference = reference(&facts);
        let heir = |code: &str, day: &str| {
            reference
                .heir(OrgCode::new(code).unwrap(), day.parse().unwrap())
                .to_string()
        };
        assert_eq!(heir("RAA", "2012-03-31"), "RAA");
        assert_eq!(heir("RAA", "2012-04-01"), "RBB");
        assert_eq!(heir("RAA", "2014-01-01"), "RCC");
        assert_eq!(heir("RDD", "2014-01-01"), "RDD");
    }

    #[test]
    fn reference_data_is_known_only_from_its_record_on() {
        let mut history = ReferenceHistory::default();
        for (i, fact) in small_tree().into_iter().enumerate() {
            let offset = i as u64;
            history.apply(
                Stamp {
                    lane: 1,
                    offset,
                    time_ms: i as i64 * 100,
                },
                vec![fact],
            );
        }
        assert_eq!(
            history.known(&KnownAt::Time(150)).organisations().count(),
            2
        );
        assert_eq!(history.known(&KnownAt::Latest).organisations().count(), 4);
        let before = history.clone();
        history.apply(
            Stamp {
                lane: 1,
                offset: 0,
                time_ms: 0,
            },
            vec![org("XXX", "trust")],
        );
        assert_eq!(history.facts(), before.facts());
    }
}
