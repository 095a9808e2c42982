//! A named tree of organisations: who stood below whom on a day. A cycle that slipped in never hangs a read.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;

use super::Edge;
use crate::{OrgCode, Slug};

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
    pub(super) edges: BTreeMap<OrgCode, Vec<Edge>>,
}

/// Deeper than any real hierarchy; a cycle that slipped in cannot hang a read.
pub(super) const MAX_DEPTH: usize = 16;

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
