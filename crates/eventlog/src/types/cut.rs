//! Positions and cuts: where in the log something stands, and how much of the log something covers.

use crate::Topic;
use std::collections::BTreeMap;
use std::fmt;

/// Where one record stands. Positions of one partition are ordered by offset; across partitions there is no order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The topic.
    pub topic: Topic,
    /// The partition within the topic.
    pub partition: u16,
    /// The offset within the partition: strictly increasing, not always by one.
    pub offset: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}@{}", self.topic, self.partition, self.offset)
    }
}

/// A state of the whole log: per partition the next offset to read, everything below it being included.
///
/// Cuts are partially ordered by [`includes`](Cut::includes): two of them may each hold something the other lacks.
/// A partition that is not mentioned stands at 0, and none is ever stored as 0, so equal cuts compare equal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Cut(BTreeMap<(Topic, u16), u64>);

impl Cut {
    /// The cut before everything.
    #[must_use]
    pub const fn new() -> Cut {
        Cut(BTreeMap::new())
    }

    /// The next offset to read in that partition; 0 when nothing of it is included.
    #[must_use]
    pub fn next(&self, topic: Topic, partition: u16) -> u64 {
        self.0.get(&(topic, partition)).copied().unwrap_or(0)
    }

    /// Moves the cut forward so that it covers `position`. Never moves it back.
    pub fn advance_past(&mut self, position: Position) {
        let next = position.offset.saturating_add(1);
        self.advance_to(position.topic, position.partition, next);
    }

    /// Moves the partition forward so that `next` is the next offset to read. Never moves it back.
    pub fn advance_to(&mut self, topic: Topic, partition: u16, next: u64) {
        if next > self.next(topic, partition) {
            self.0.insert((topic, partition), next);
        }
    }

    /// Whether the record at `position` is included.
    #[must_use]
    pub fn covers(&self, position: Position) -> bool {
        position.offset < self.next(position.topic, position.partition)
    }

    /// Whether everything in `other` is included here too.
    #[must_use]
    pub fn includes(&self, other: &Cut) -> bool {
        other
            .iter()
            .all(|((topic, partition), next)| self.next(topic, partition) >= next)
    }

    /// Every partition of which something is included, with its next offset, in order.
    pub fn iter(&self) -> impl Iterator<Item = ((Topic, u16), u64)> + '_ {
        self.0.iter().map(|(place, next)| (*place, *next))
    }

    /// Moves every partition forward to where `other` stands, if that is further: the least cut that includes both.
    pub fn merge_max(&mut self, other: &Cut) {
        for ((topic, partition), next) in other.iter() {
            self.advance_to(topic, partition, next);
        }
    }

    /// Whether nothing is included.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<((Topic, u16), u64)> for Cut {
    /// Zeros are left out; of a partition named twice the further place counts.
    fn from_iter<I: IntoIterator<Item = ((Topic, u16), u64)>>(places: I) -> Cut {
        let mut cut = Cut::new();
        for ((topic, partition), next) in places {
            cut.advance_to(topic, partition, next);
        }
        cut
    }
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, ((topic, partition), next)) in self.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{topic}/{partition}<{next}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_cut() -> impl Strategy<Value = Cut> {
        let place =
            (0..4_usize, 0..3_u16).prop_map(|(topic, partition)| (Topic::ALL[topic], partition));
        proptest::collection::vec((place, 0..5_u64), 0..8)
            .prop_map(|places| places.into_iter().collect())
    }

    #[test]
    fn a_cut_advanced_past_a_position_covers_it_and_never_moves_back() {
        let at = |offset| Position {
            topic: Topic::Returns,
            partition: 3,
            offset,
        };
        let mut cut = Cut::new();
        assert!(!cut.covers(at(0)));
        cut.advance_past(at(7));
        cut.advance_past(at(2));
        assert_eq!(cut.next(Topic::Returns, 3), 8);
        assert!(cut.covers(at(7)) && !cut.covers(at(8)));
        assert_eq!(cut.next(Topic::Returns, 4), 0);
    }

    #[test]
    fn a_partition_at_zero_is_the_same_as_one_not_mentioned() {
        let zero: Cut = [((Topic::Alerts, 0), 0)].into_iter().collect();
        assert_eq!(zero, Cut::new());
        assert!(zero.is_empty());
    }

    proptest! {
        #[test]
        fn merging_gives_the_least_cut_that_includes_both(a in any_cut(), b in any_cut(), c in any_cut()) {
            let mut merged = a.clone();
            merged.merge_max(&b);
            prop_assert!(merged.includes(&a) && merged.includes(&b));
            prop_assert_eq!(c.includes(&a) && c.includes(&b), c.includes(&merged));
        }

        #[test]
        fn inclusion_both_ways_is_equality(a in any_cut(), b in any_cut()) {
            prop_assert_eq!(a.includes(&b) && b.includes(&a), a == b);
        }
    }
}
