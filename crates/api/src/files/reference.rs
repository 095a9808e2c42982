//! Making reference facts.

use std::collections::BTreeMap;

use jiff::civil::Date;
use qipp_domain::OrgCode;

use crate::proto::events::v1::{
    EdgeRecorded, OrganisationClosed, OrganisationRecorded, OrganisationSucceeded, ReferenceFact,
    TreeDefined, reference_fact::Fact,
};

/// Most facts that the registry takes in one call: send a longer list in pieces of this size, in order.
pub const MAX_FACTS_PER_CALL: usize = 1_000;

/// First day from which an edge holds when nothing says since when: the first that the house knows.
pub(crate) fn beginning() -> Date {
    Date::new(1990, 1, 1).expect("1 January 1990 is a day")
}

pub(crate) fn fact(fact: Fact) -> ReferenceFact {
    ReferenceFact { fact: Some(fact) }
}

pub(crate) fn organisation(
    code: OrgCode,
    name: &str,
    kind: &str,
    opened: Option<Date>,
) -> ReferenceFact {
    let name = if name.is_empty() { code.as_str() } else { name };
    fact(Fact::OrganisationRecorded(OrganisationRecorded {
        org_code: code.to_string(),
        name: name.to_owned(),
        kind: kind.to_owned(),
        opened: opened.map_or_else(String::new, |day| day.to_string()),
    }))
}

pub(crate) fn closed(code: OrgCode, closed: Date) -> ReferenceFact {
    fact(Fact::OrganisationClosed(OrganisationClosed {
        org_code: code.to_string(),
        closed: closed.to_string(),
    }))
}

pub(crate) fn succeeded(code: OrgCode, successor: OrgCode, date: Date) -> ReferenceFact {
    fact(Fact::OrganisationSucceeded(OrganisationSucceeded {
        org_code: code.to_string(),
        successor_code: successor.to_string(),
        date: date.to_string(),
    }))
}

pub(crate) fn tree(tree: &str, title: &str, root: OrgCode) -> ReferenceFact {
    fact(Fact::TreeDefined(TreeDefined {
        tree: tree.to_owned(),
        title: title.to_owned(),
        root_code: root.to_string(),
    }))
}

pub(crate) fn edge(
    tree: &str,
    child: OrgCode,
    parent: OrgCode,
    from: Date,
    until: Option<Date>,
) -> ReferenceFact {
    fact(Fact::EdgeRecorded(EdgeRecorded {
        tree: tree.to_owned(),
        child_code: child.to_string(),
        parent_code: parent.to_string(),
        valid_from: from.to_string(),
        valid_until: until.map_or_else(String::new, |day| day.to_string()),
    }))
}

/// The first line of each key, to name it when the key comes again.
#[derive(Debug)]
pub(crate) struct Once<K>(BTreeMap<K, u64>);

impl<K> Default for Once<K> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: Ord> Once<K> {
    /// The line in which the key stood before, if it did; otherwise it is remembered with this line.
    pub(crate) fn before(&mut self, key: K, line: u64) -> Option<u64> {
        match self.0.get(&key) {
            Some(first) => Some(*first),
            None => {
                self.0.insert(key, line);
                None
            }
        }
    }
}
