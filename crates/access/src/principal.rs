//! Who is calling: a name, a role, and the part of the nation that it speaks for.
//!
//! Never says what a role may do: that is the table in [`crate::policy`].

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use qipp_domain::reference::Reference;
use qipp_domain::{OrgCode, Slug};

/// What a principal does in the programme.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Sends the returns of its organisations and answers their alerts.
    Submitter,
    /// Reads everything at or below its node, and asks.
    Regional,
    /// Reads everything, and does everything with alerts.
    National,
    /// Keeps the reference data and the machinery. Takes no side in a conversation.
    Operator,
}

impl Role {
    /// All roles.
    pub const ALL: [Self; 4] = [
        Self::Submitter,
        Self::Regional,
        Self::National,
        Self::Operator,
    ];

    /// The name, as in the key file.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Submitter => "submitter",
            Self::Regional => "regional",
            Self::National => "national",
            Self::Operator => "operator",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|role| role.name() == text)
            .ok_or_else(|| "a role is submitter, regional, national or operator".to_owned())
    }
}

/// The part of the nation that a principal speaks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// These organisations.
    Organisations(BTreeSet<OrgCode>),
    /// Everything that stands, or ever stood, at or below a node of a tree. Who once stood there stays readable: its old months are
    /// part of the node's own history.
    Node {
        /// The tree.
        tree: Slug,
        /// The node.
        node: OrgCode,
    },
    /// Everything.
    Nation,
}

impl Scope {
    /// Is the organisation in the scope?
    #[must_use]
    pub fn contains(&self, org: OrgCode, reference: &Reference) -> bool {
        match self {
            Self::Organisations(listed) => listed.contains(&org),
            Self::Node { tree, node } => reference
                .tree(*tree)
                .is_some_and(|held| held.was_ever_within(org, *node)),
            Self::Nation => true,
        }
    }

    /// Is everything that ever stood at or below the node in the scope? A sum over a node tells something of each of its parts, so that
    /// a single organisation outside of the scope keeps the node out. An unknown tree or node is in the scope of the nation only.
    #[must_use]
    pub fn contains_node(&self, tree: Slug, node: OrgCode, reference: &Reference) -> bool {
        if *self == Self::Nation {
            return true;
        }
        let Some(held) = reference.tree(tree) else {
            return false;
        };
        let mut below = held
            .members()
            .filter(|member| held.was_ever_within(*member, node))
            .peekable();
        below.peek().is_some() && below.all(|member| self.contains(member, reference))
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Organisations(listed) => {
                let shown: Vec<&str> = listed.iter().take(5).map(OrgCode::as_str).collect();
                f.write_str(&shown.join(", "))?;
                match listed.len() - shown.len() {
                    0 => Ok(()),
                    more => write!(f, " and {more} more"),
                }
            }
            Self::Node { tree, node } => write!(f, "{node} of tree `{tree}`"),
            Self::Nation => f.write_str("the nation"),
        }
    }
}

/// Who is calling. The name goes into the log with everything that the principal does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// A name that people recognise; never a secret.
    pub name: String,
    /// What it does.
    pub role: Role,
    /// What it speaks for.
    pub scope: Scope,
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` ({} for {})", self.name, self.role, self.scope)
    }
}
