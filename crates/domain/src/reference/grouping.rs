//! Which organisation counts for which group, for all organisations at once and remembered.
//!
//! A roll-up asks this for every organisation and month, and the answer changes only on days on which an edge of the tree begins or
//! ends. So it is worked out once for each such stretch of days, and kept until the reference data change.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::civil::Date;

use super::{Reference, Tree};
use crate::nation::NO_GROUP;
use crate::{OrgCode, Slug};

/// Every organisation of the reference data and its group.
#[derive(Debug, PartialEq, Eq)]
pub struct Grouping<G> {
    groups: Vec<G>,
    of: HashMap<OrgCode, u32>,
}

impl<G: Ord> Grouping<G> {
    fn new(members: impl Iterator<Item = (OrgCode, G)>) -> Self {
        let mut found: BTreeMap<G, Vec<OrgCode>> = BTreeMap::new();
        for (org, group) in members {
            found.entry(group).or_default().push(org);
        }
        let (mut groups, mut of) = (Vec::new(), HashMap::new());
        for (number, (group, members)) in (0_u32..).zip(found) {
            groups.push(group);
            of.extend(members.into_iter().map(|org| (org, number)));
        }
        Self { groups, of }
    }

    /// The groups, in order.
    #[must_use]
    pub fn groups(&self) -> &[G] {
        &self.groups
    }

    /// The place of the organisation's group in [`groups`](Self::groups); `None` when it counts for none.
    #[must_use]
    pub fn group_of(&self, org: OrgCode) -> Option<u32> {
        self.of.get(&org).copied()
    }

    /// The places of many organisations' groups, with [`NO_GROUP`] for those that count for none.
    #[must_use]
    pub fn groups_of(&self, orgs: &[OrgCode]) -> Vec<u32> {
        orgs.iter()
            .map(|org| self.group_of(*org).unwrap_or(NO_GROUP))
            .collect()
    }
}

/// The groups of a level of a tree; `None` is for what stands in the tree with nothing of the level above it.
pub type TreeGrouping = Grouping<Option<OrgCode>>;

/// Whose place counts, and on which day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Asked {
    tree: Slug,
    level: Slug,
    /// Which stretch between two changes of the tree.
    stretch: usize,
    /// The day whose heirs count; `None`: everybody counts for themselves.
    heirs_on: Option<Date>,
}

/// Most groupings that are kept; a history with more changes than that is worked out again when it is asked for.
const MOST: usize = 512;

#[derive(Debug, Default)]
struct Memo {
    changes: HashMap<Slug, Arc<[Date]>>,
    groupings: HashMap<Asked, Arc<TreeGrouping>>,
    kinds: Option<Arc<Grouping<Slug>>>,
}

/// What was worked out of a picture. It is no part of what the picture says.
#[derive(Debug, Default)]
pub(super) struct Remembered(Mutex<Memo>);

impl Clone for Remembered {
    /// A clone is made to be changed.
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl PartialEq for Remembered {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Remembered {
    pub(super) fn forget(&mut self) {
        *self.0.get_mut().unwrap_or_else(PoisonError::into_inner) = Memo::default();
    }
}

impl Reference {
    /// The group of every organisation at `level` of the tree on a day. With `heirs_on`, what was followed by another organisation by
    /// that day stands where its heir stands.
    #[must_use]
    pub fn grouping(
        &self,
        tree: &Tree,
        level: Slug,
        day: Date,
        heirs_on: Option<Date>,
    ) -> Arc<TreeGrouping> {
        let mut memo = self.memo.0.lock().unwrap_or_else(PoisonError::into_inner);
        let changes = memo
            .changes
            .entry(tree.tree)
            .or_insert_with(|| changes_of(tree));
        let asked = Asked {
            tree: tree.tree,
            level,
            stretch: changes.partition_point(|change| *change <= day),
            heirs_on,
        };
        if let Some(held) = memo.groupings.get(&asked) {
            return Arc::clone(held);
        }
        if memo.groupings.len() == MOST {
            memo.groupings.clear();
        }
        let grouping = Arc::new(self.group(tree, level, day, heirs_on));
        memo.groupings.insert(asked, Arc::clone(&grouping));
        grouping
    }

    /// The kind of every organisation.
    #[must_use]
    pub fn kinds(&self) -> Arc<Grouping<Slug>> {
        let mut memo = self.memo.0.lock().unwrap_or_else(PoisonError::into_inner);
        let kinds = memo.kinds.get_or_insert_with(|| {
            let organisations = self.organisations.values();
            Arc::new(Grouping::new(organisations.map(|o| (o.code, o.kind))))
        });
        Arc::clone(kinds)
    }

    fn group(&self, tree: &Tree, level: Slug, day: Date, heirs_on: Option<Date>) -> TreeGrouping {
        Grouping::new(self.organisations.keys().filter_map(|org| {
            let counted = heirs_on.map_or(*org, |heirs_on| self.heir(*org, heirs_on));
            Some((*org, self.group_of(tree, level, counted, day)?))
        }))
    }

    /// The nearest organisation of the level at or above `org`: `None` when it does not stand in the tree, `Some(None)` when it stands
    /// there with nothing of the level above it.
    #[allow(
        clippy::option_option,
        reason = "outside the tree and outside every group are different answers"
    )]
    fn group_of(
        &self,
        tree: &Tree,
        level: Slug,
        org: OrgCode,
        day: Date,
    ) -> Option<Option<OrgCode>> {
        let mut group = None;
        let mut in_tree = false;
        for above in tree.upwards(org, day) {
            if group.is_none() && self.organisation(above).is_some_and(|o| o.kind == level) {
                group = Some(above);
            }
            in_tree |= above == tree.root;
        }
        in_tree.then_some(group)
    }
}

/// The days on which anything in the tree begins or ends.
fn changes_of(tree: &Tree) -> Arc<[Date]> {
    let edges = tree.edges.values().flatten();
    let days = edges.flat_map(|edge| [Some(edge.from), edge.until]);
    let days: BTreeSet<Date> = days.flatten().collect();
    days.into_iter().collect()
}
