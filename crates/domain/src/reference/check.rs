//! What is wrong with a reference fact, held against what is known. It changes nothing.

use std::collections::BTreeSet;

use super::{Edge, Reference, ReferenceFact};
use crate::OrgCode;
use crate::marker::MarkerDefinition;

impl Reference {
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
                if self.is_followed_by(s.successor, s.org) {
                    let what = format!(
                        "{} follows {} already: check which one came first",
                        s.org, s.successor
                    );
                    return Err(("CYCLE", what));
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

    /// Does `later` follow `earlier`, directly or through others?
    fn is_followed_by(&self, earlier: OrgCode, later: OrgCode) -> bool {
        let mut seen = BTreeSet::from([earlier]);
        let mut open = vec![earlier];
        while let Some(current) = open.pop() {
            if current == later {
                return true;
            }
            open.extend(
                self.successors(current)
                    .map(|s| s.successor)
                    .filter(|next| seen.insert(*next)),
            );
        }
        false
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
        if definition.version > latest.saturating_add(1) || definition.version == 0 {
            return Err((
                "VERSION_GAP",
                format!(
                    "the next version of {marker} is {}",
                    latest.saturating_add(1)
                ),
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
                    latest.saturating_add(1)
                ),
            ));
        }
        Ok(())
    }
}
