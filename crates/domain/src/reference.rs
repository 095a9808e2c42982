//! Reference data: who exists, how they are arranged, what is measured, when it is due.
//!
//! [`ReferenceHistory`] keeps every fact with its stamp; [`Reference`] is the picture that the facts known at a moment give. Valid
//! time is inside the facts: edges, openings and closings carry days, definitions carry periods.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::marker::MarkerDefinition;
use crate::{Dataset, KnownAt, MarkerCode, OrgCode, Period, Slug, Stamp};

/// One reference fact.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ReferenceFact {
    /// An organisation exists; recording it again restates it.
    Organisation(Organisation),
    /// It no longer operates from this day on.
    Closed {
        /// Which.
        org: OrgCode,
        /// First day on which it no longer operates.
        closed: Date,
    },
    /// It is followed by another.
    Succeeded(Succession),
    /// A tree.
    Tree {
        /// Its name.
        tree: Slug,
        /// What people call it.
        title: String,
        /// The organisation at its root.
        root: OrgCode,
    },
    /// An edge of a tree.
    Edge(Edge),
    /// A health community.
    Community(Community),
    /// A version of a marker's definition.
    Marker(MarkerDefinition),
    /// The day by which a dataset of a period is due.
    Deadline {
        /// Which.
        dataset: Dataset,
        /// About which month.
        period: Period,
        /// Last day on which it is in time.
        due: Date,
    },
    /// Who owes what.
    Obligation(Obligation),
    /// The rules in force.
    RuleSet(RuleSet),
}

/// An organisation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Organisation {
    /// ODS code.
    pub code: OrgCode,
    /// Name.
    pub name: String,
    /// `trust`, `pct`, `sha`, `region`, `nation`, …
    pub kind: Slug,
    /// First day of operation, when known.
    pub opened: Option<Date>,
    /// First day on which it no longer operates.
    pub closed: Option<Date>,
}

impl Organisation {
    /// Does it operate on some day of the month?
    #[must_use]
    pub fn operates_in(&self, period: Period) -> bool {
        self.opened.is_none_or(|opened| opened <= period.last_day())
            && self.closed.is_none_or(|closed| closed > period.first_day())
    }
}

/// One organisation follows another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Succession {
    /// The one that is followed.
    pub org: OrgCode,
    /// The one that follows.
    pub successor: OrgCode,
    /// First day of the successor.
    pub date: Date,
}

/// An organisation stands below another in a tree, for a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edge {
    /// The tree.
    pub tree: Slug,
    /// Below.
    pub child: OrgCode,
    /// Above.
    pub parent: OrgCode,
    /// First day.
    pub from: Date,
    /// First day on which it no longer holds.
    pub until: Option<Date>,
}

impl Edge {
    /// Does it hold on the day?
    #[must_use]
    pub fn holds_on(&self, day: Date) -> bool {
        self.from <= day && self.until.is_none_or(|until| day < until)
    }
}

/// Organisations that plan together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Community {
    /// Its name.
    pub community: Slug,
    /// What people call it.
    pub title: String,
    /// Members, in order.
    pub members: Vec<OrgCode>,
}

/// An organisation owes a dataset for a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Obligation {
    /// Who.
    pub org: OrgCode,
    /// What.
    pub dataset: Dataset,
    /// First period owed.
    pub from: Period,
    /// First period no longer owed.
    pub until: Option<Period>,
}

impl Obligation {
    /// Is the period owed?
    #[must_use]
    pub fn covers(&self, period: Period) -> bool {
        self.from <= period && self.until.is_none_or(|until| period < until)
    }
}

/// The rules in force.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RuleSet {
    /// A name that people can cite.
    pub version: String,
    /// Settings by rule.
    pub rules: BTreeMap<String, RuleSetting>,
}

/// The setting of one rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RuleSetting {
    /// Evaluated at all?
    pub enabled: bool,
    /// Parameters that differ from the catalogue's defaults.
    pub parameters: BTreeMap<String, f64>,
}

/// A named tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    /// Its name.
    pub tree: Slug,
    /// What people call it.
    pub title: String,
    /// The organisation at its root.
    pub root: OrgCode,
    /// Edges by child, oldest first.
    edges: BTreeMap<OrgCode, Vec<Edge>>,
}

/// Deeper than any real hierarchy; a cycle that slipped in cannot hang a read.
const MAX_DEPTH: usize = 16;

impl Tree {
    /// The organisation above `child` on a day.
    #[must_use]
    pub fn parent(&self, child: OrgCode, day: Date) -> Option<OrgCode> {
        self.edges
            .get(&child)?
            .iter()
            .rev()
            .find(|edge| edge.holds_on(day))
            .map(|edge| edge.parent)
    }

    /// The organisation itself and all above it on a day, upwards.
    pub fn upwards(&self, org: OrgCode, day: Date) -> impl Iterator<Item = OrgCode> + '_ {
        std::iter::successors(Some(org), move |&current| self.parent(current, day)).take(MAX_DEPTH)
    }

    /// Does the organisation stand in the tree on the day, at or below the node?
    #[must_use]
    pub fn is_within(&self, org: OrgCode, node: OrgCode, day: Date) -> bool {
        self.upwards(org, day).any(|above| above == node)
    }

    /// Did the organisation ever stand at or below the node?
    #[must_use]
    pub fn was_ever_within(&self, org: OrgCode, node: OrgCode) -> bool {
        let mut seen = BTreeSet::from([org]);
        let mut open = vec![org];
        while let Some(current) = open.pop() {
            if current == node {
                return true;
            }
            for edge in self.edges.get(&current).into_iter().flatten() {
                if seen.insert(edge.parent) {
                    open.push(edge.parent);
                }
            }
        }
        false
    }

    /// Everything that has an edge, or is the root.
    pub fn members(&self) -> impl Iterator<Item = OrgCode> + '_ {
        let root = (!self.edges.contains_key(&self.root)).then_some(self.root);
        root.into_iter().chain(self.edges.keys().copied())
    }

    /// The edges of a child, oldest first.
    #[must_use]
    pub fn edges_of(&self, child: OrgCode) -> &[Edge] {
        self.edges.get(&child).map_or(&[], Vec::as_slice)
    }
}

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

    /// The organisations that follow `org`, in order of date.
    pub fn successors(&self, org: OrgCode) -> impl Iterator<Item = &Succession> {
        self.successions.iter().filter(move |s| s.org == org)
    }

    /// Who counts for `org` when history is read as it is on a day: the end of its chain of successors. A split (several successors
    /// from the same day) has no single heir, so the organisation then counts for itself.
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

    /// What is wrong with a fact, given what is known: a stable code and what to do. Facts that pass can be applied.
    ///
    /// # Errors
    /// The code and a description with the remedy.
    pub fn check(&self, fact: &ReferenceFact) -> Result<(), (&'static str, String)> {
        let known = |code: OrgCode| {
            self.organisation(code).map(|_| ()).ok_or_else(|| {
                (
                    "UNKNOWN_ORGANISATION",
                    format!("{code} is not known: record the organisation first"),
                )
            })
        };
        match fact {
            ReferenceFact::Organisation(_) | ReferenceFact::Deadline { .. } => Ok(()),
            ReferenceFact::RuleSet(rules) if rules.version.trim().is_empty() => Err((
                "EMPTY_VERSION",
                "a rule set needs a version that people can cite".to_owned(),
            )),
            ReferenceFact::RuleSet(_) => Ok(()),
            ReferenceFact::Closed { org, closed } => {
                known(*org)?;
                match self.organisation(*org).and_then(|o| o.opened) {
                    Some(opened) if opened > *closed => Err((
                        "CLOSED_BEFORE_OPENED",
                        format!("{org} opened on {opened}, after {closed}: check both days"),
                    )),
                    _ => Ok(()),
                }
            }
            ReferenceFact::Succeeded(s) => {
                known(s.org)?;
                known(s.successor)?;
                if s.org == s.successor {
                    return Err(("SUCCEEDS_ITSELF", format!("{} cannot follow itself", s.org)));
                }
                Ok(())
            }
            ReferenceFact::Tree { root, .. } => known(*root),
            ReferenceFact::Community(c) => c.members.iter().try_for_each(|member| known(*member)),
            ReferenceFact::Obligation(o) => {
                known(o.org)?;
                match o.until {
                    Some(until) if until <= o.from => Err((
                        "EMPTY_INTERVAL",
                        format!("it ends ({until}) before it starts ({})", o.from),
                    )),
                    _ => Ok(()),
                }
            }
            ReferenceFact::Edge(edge) => {
                known(edge.child)?;
                known(edge.parent)?;
                self.check_edge(edge)
            }
            ReferenceFact::Marker(definition) => self.check_marker(definition),
        }
    }

    fn check_edge(&self, edge: &Edge) -> Result<(), (&'static str, String)> {
        let Some(tree) = self.tree(edge.tree) else {
            return Err((
                "UNKNOWN_TREE",
                format!("tree `{}` is not known: define it first", edge.tree),
            ));
        };
        if edge.until.is_some_and(|until| until <= edge.from) {
            return Err((
                "EMPTY_INTERVAL",
                format!("{} would end before it starts", edge.child),
            ));
        }
        if tree.was_ever_within(edge.parent, edge.child) {
            return Err((
                "CYCLE",
                format!(
                    "{} already stands above {} in `{}`",
                    edge.child, edge.parent, edge.tree
                ),
            ));
        }
        Ok(())
    }

    fn check_marker(&self, definition: &MarkerDefinition) -> Result<(), (&'static str, String)> {
        let marker = definition.marker;
        let latest = self.latest_marker(marker).map_or(0, |held| held.version);
        if definition.version > latest + 1 || definition.version == 0 {
            return Err((
                "VERSION_GAP",
                format!("the next version of {marker} is {}", latest + 1),
            ));
        }
        let redefines = self.marker(marker, definition.version).is_some_and(|held| {
            (
                &held.numerator,
                &held.denominator,
                held.polarity,
                held.roll_up,
                held.proportion,
            ) != (
                &definition.numerator,
                &definition.denominator,
                definition.polarity,
                definition.roll_up,
                definition.proportion,
            )
        });
        if redefines {
            return Err((
                "SILENT_REDEFINITION",
                format!(
                    "version {} of {marker} means something else already: publish version {}",
                    definition.version,
                    latest + 1
                ),
            ));
        }
        Ok(())
    }

    /// Applies a fact.
    pub fn apply(&mut self, fact: &ReferenceFact) {
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
        if *at == KnownAt::Latest || self.facts.iter().all(|(stamp, _)| at.covers(*stamp)) {
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
