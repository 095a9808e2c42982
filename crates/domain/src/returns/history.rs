//! The one deciding fold of the house, used for returns and for schemes alike: what arrives becomes a revision, a repeat or a
//! conflict. It never changes a revision that it has once made.

use serde::{Deserialize, Serialize};

use crate::{KnownAt, Stamp};

/// How the sender wants a thing to be decided.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Precondition {
    /// Empty: the content itself is the key, held against the current revision.
    pub idempotency_key: String,
    /// The revision that the sender believes to be current.
    pub expected_revision: Option<u32>,
}

/// What the log decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It became this revision.
    Accepted(u32),
    /// It repeats this revision; nothing changed.
    Repeat(u32),
    /// The current revision is this one and not the expected one; nothing changed.
    Conflict(u32),
    /// The key was used before for other content, accepted as this revision; nothing changed.
    KeyReused(u32),
}

/// One revision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revision<C> {
    /// From 1, without gaps.
    pub number: u32,
    /// When it became known.
    pub stamp: Stamp,
    /// Key it came with.
    pub idempotency_key: String,
    /// Principal that submitted it.
    pub submitted_by: String,
    /// What it says.
    pub content: C,
}

/// A key that came with content which was already current.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Alias {
    idempotency_key: String,
    revision: u32,
    offset: u64,
}

/// All revisions of one thing, in the order of the log. Nothing is ever overwritten.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct History<C> {
    revisions: Vec<Revision<C>>,
    aliases: Vec<Alias>,
}

impl<C> Default for History<C> {
    fn default() -> Self {
        Self {
            revisions: Vec::new(),
            aliases: Vec::new(),
        }
    }
}

impl<C> History<C> {
    /// What a checkpoint holds of it.
    pub(crate) fn parts(&self) -> (&[Revision<C>], &[Alias]) {
        (&self.revisions, &self.aliases)
    }

    /// What the revisions say, to let them share what is equal.
    pub(crate) fn contents_mut(&mut self) -> impl Iterator<Item = &mut C> {
        self.revisions
            .iter_mut()
            .map(|revision| &mut revision.content)
    }

    /// What a checkpoint held of it.
    pub(crate) fn from_parts(revisions: Vec<Revision<C>>, aliases: Vec<Alias>) -> Self {
        Self { revisions, aliases }
    }
}

impl<C: PartialEq> History<C> {
    /// All revisions, oldest first.
    #[must_use]
    pub fn revisions(&self) -> &[Revision<C>] {
        &self.revisions
    }

    /// The revision that was current at a moment of knowledge.
    #[must_use]
    pub fn known(&self, at: &KnownAt) -> Option<&Revision<C>> {
        self.revisions.iter().rev().find(|r| at.covers(r.stamp))
    }

    /// The current revision.
    #[must_use]
    pub fn latest(&self) -> Option<&Revision<C>> {
        self.revisions.last()
    }

    /// What the content would become now.
    #[must_use]
    pub fn decide(&self, precondition: &Precondition, content: &C) -> Decision {
        self.decide_before(u64::MAX, precondition, content)
    }

    /// What the content became, or would have become, at an offset of this thing's lane.
    #[must_use]
    pub fn decide_before(&self, offset: u64, precondition: &Precondition, content: &C) -> Decision {
        let held = self.revisions.partition_point(|r| r.stamp.offset < offset);
        let revisions = &self.revisions[..held];
        let key = precondition.idempotency_key.as_str();
        if !key.is_empty()
            && let Some(first) = self.keyed(revisions, offset, key)
        {
            return if first.content == *content {
                Decision::Repeat(first.number)
            } else {
                Decision::KeyReused(first.number)
            };
        }
        let current = revisions.last();
        let number = current.map_or(0, |r| r.number);
        // What is current already is a repeat whatever revision was expected: the retry of a lost answer is no conflict.
        if current.is_some_and(|revision| revision.content == *content) {
            return Decision::Repeat(number);
        }
        match precondition.expected_revision {
            Some(expected) if expected != number => Decision::Conflict(number),
            _ => Decision::Accepted(number + 1),
        }
    }

    fn keyed<'a>(
        &self,
        revisions: &'a [Revision<C>],
        offset: u64,
        key: &str,
    ) -> Option<&'a Revision<C>> {
        let by_alias = || {
            let alias = self
                .aliases
                .iter()
                .find(|a| a.offset < offset && a.idempotency_key == key)?;
            revisions.iter().find(|r| r.number == alias.revision)
        };
        revisions
            .iter()
            .find(|r| r.idempotency_key == key)
            .or_else(by_alias)
    }

    /// Would a repeat be answered without a new record? True when the answer is already known for good.
    #[must_use]
    pub fn remembers(&self, precondition: &Precondition, content: &C) -> bool {
        let key = precondition.idempotency_key.as_str();
        match self.decide(precondition, content) {
            Decision::Repeat(_) => {
                key.is_empty() || self.keyed(&self.revisions, u64::MAX, key).is_some()
            }
            Decision::KeyReused(_) => true,
            Decision::Accepted(_) | Decision::Conflict(_) => false,
        }
    }

    /// Applies what arrived at a stamp. Stamps have to come in the order of their lane; one that was applied before changes nothing.
    ///
    /// A record says one thing about one thing: a second arrival at the same stamp changes nothing either.
    pub fn apply(
        &mut self,
        stamp: Stamp,
        by: &str,
        precondition: Precondition,
        content: C,
    ) -> Decision {
        let decision = self.decide_before(stamp.offset, &precondition, &content);
        self.apply_decided(decision, stamp, by, precondition, content);
        decision
    }

    /// Did nothing that was accepted come at this stamp or after it?
    pub(crate) fn is_new(&self, stamp: Stamp) -> bool {
        self.revisions
            .last()
            .is_none_or(|r| r.stamp.offset < stamp.offset)
    }

    /// Applies what arrived at a stamp, when [`decide_before`](Self::decide_before) has said what it becomes there.
    pub(crate) fn apply_decided(
        &mut self,
        decision: Decision,
        stamp: Stamp,
        by: &str,
        precondition: Precondition,
        content: C,
    ) {
        if !self.is_new(stamp) {
            return;
        }
        match decision {
            Decision::Accepted(number) => {
                // Most things are said once, and there are millions of them: no room is kept for more.
                self.revisions.reserve_exact(1);
                self.revisions.push(Revision {
                    number,
                    stamp,
                    idempotency_key: precondition.idempotency_key,
                    submitted_by: by.to_owned(),
                    content,
                });
            }
            Decision::Repeat(revision) => {
                self.remember(precondition.idempotency_key, revision, stamp.offset)
            }
            Decision::Conflict(_) | Decision::KeyReused(_) => {}
        }
    }

    fn remember(&mut self, idempotency_key: String, revision: u32, offset: u64) {
        let known = idempotency_key.is_empty()
            || self
                .keyed(&self.revisions, u64::MAX, &idempotency_key)
                .is_some();
        if !known {
            self.aliases.push(Alias {
                idempotency_key,
                revision,
                offset,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(offset: u64) -> Stamp {
        Stamp {
            lane: 0,
            offset,
            time_ms: i64::try_from(offset).unwrap(),
        }
    }

    fn with(key: &str, expected: Option<u32>) -> Precondition {
        Precondition {
            idempotency_key: key.to_owned(),
            expected_revision: expected,
        }
    }

    #[test]
    fn a_repeat_with_the_same_key_gets_the_first_answer_even_after_later_revisions() {
        let mut history = History::default();
        assert_eq!(
            history.apply(stamp(1), "a", with("k1", None), 10),
            Decision::Accepted(1)
        );
        assert_eq!(
            history.apply(stamp(2), "a", with("k2", None), 20),
            Decision::Accepted(2)
        );
        assert_eq!(
            history.apply(stamp(3), "a", with("k1", None), 10),
            Decision::Repeat(1)
        );
        assert_eq!(
            history.apply(stamp(4), "a", with("k1", None), 30),
            Decision::KeyReused(1)
        );
        assert_eq!(history.revisions().len(), 2);
    }

    #[test]
    fn without_a_key_going_back_to_an_earlier_figure_is_a_change() {
        let mut history = History::default();
        for (offset, content, decision) in [
            (1, 10, Decision::Accepted(1)),
            (2, 10, Decision::Repeat(1)),
            (3, 20, Decision::Accepted(2)),
            (4, 10, Decision::Accepted(3)),
        ] {
            assert_eq!(
                history.apply(stamp(offset), "a", with("", None), content),
                decision
            );
        }
    }

    #[test]
    fn an_unexpected_revision_is_a_conflict_that_names_the_current_one() {
        let mut history = History::default();
        assert_eq!(
            history.apply(stamp(1), "a", with("", Some(0)), 10),
            Decision::Accepted(1)
        );
        assert_eq!(
            history.apply(stamp(2), "a", with("", Some(0)), 20),
            Decision::Conflict(1)
        );
        assert_eq!(
            history.apply(stamp(3), "a", with("", Some(1)), 20),
            Decision::Accepted(2)
        );
    }

    #[test]
    fn a_delayed_retry_of_a_new_key_with_known_content_stays_a_repeat() {
        let mut history = History::default();
        history.apply(stamp(1), "a", with("k1", None), 10);
        assert!(!history.remembers(&with("k2", None), &10));
        assert_eq!(
            history.apply(stamp(2), "a", with("k2", None), 10),
            Decision::Repeat(1)
        );
        assert!(history.remembers(&with("k2", None), &10));
        history.apply(stamp(3), "a", with("k3", None), 20);
        assert_eq!(
            history.apply(stamp(4), "a", with("k2", None), 10),
            Decision::Repeat(1)
        );
    }

    #[test]
    fn the_answer_for_a_position_can_be_found_again_later() {
        let mut history = History::default();
        let arrivals = [
            ("k1", None, 10),
            ("", None, 20),
            ("k1", None, 10),
            ("", Some(7), 30),
            ("k4", None, 20),
            ("", None, 10),
        ];
        let mut answers = Vec::new();
        for (i, (key, expected, content)) in arrivals.iter().enumerate() {
            answers.push(history.apply(stamp(i as u64 * 2), "a", with(key, *expected), *content));
        }
        for (i, (key, expected, content)) in arrivals.iter().enumerate() {
            assert_eq!(
                history.decide_before(i as u64 * 2, &with(key, *expected), content),
                answers[i],
                "arrival {i}"
            );
        }
    }

    #[test]
    fn a_revision_is_invisible_to_what_was_known_before() {
        let mut history = History::default();
        history.apply(stamp(5), "a", with("", None), 10);
        history.apply(stamp(9), "a", with("", None), 20);
        let content = |at: &KnownAt| history.known(at).map(|r| r.content);
        assert_eq!(content(&KnownAt::Time(4)), None);
        assert_eq!(content(&KnownAt::Time(5)), Some(10));
        assert_eq!(content(&KnownAt::Time(8)), Some(10));
        assert_eq!(
            content(&KnownAt::Cut([(0, 9)].into_iter().collect())),
            Some(10)
        );
        assert_eq!(
            content(&KnownAt::Cut([(0, 10)].into_iter().collect())),
            Some(20)
        );
        assert_eq!(content(&KnownAt::Latest), Some(20));
    }
}
