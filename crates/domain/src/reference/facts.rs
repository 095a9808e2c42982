//! The facts of the reference topic. Valid time is inside them; when they became known is that of their record.

use std::collections::BTreeMap;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::marker::MarkerDefinition;
use crate::{Dataset, OrgCode, Period, Slug};

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
