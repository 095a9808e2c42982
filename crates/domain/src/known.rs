//! What was known when: positions of the log as the domain sees them.
//!
//! The domain does not know the log. A fact carries a [`Stamp`]: the lane it came by (a topic and partition, as one number), its
//! offset there, and the time at which the log accepted it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Where and when a fact became known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Stamp {
    /// Topic and partition: `topic id << 16 | partition`. Made by the projection, opaque here.
    pub lane: u32,
    /// Offset in the lane.
    pub offset: u64,
    /// Unix time in milliseconds at which the log accepted it. Never decreases within a lane.
    pub time_ms: i64,
}

/// Per lane the next offset that is not included; a lane that is absent stands at 0.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cut(BTreeMap<u32, u64>);

impl Cut {
    /// The next offset of a lane.
    #[must_use]
    pub fn next(&self, lane: u32) -> u64 {
        self.0.get(&lane).copied().unwrap_or(0)
    }

    /// Sets the next offset of a lane. Setting 0 removes it, so that equal cuts are equal values.
    pub fn set(&mut self, lane: u32, next: u64) {
        if next == 0 {
            self.0.remove(&lane);
        } else {
            self.0.insert(lane, next);
        }
    }

    /// Includes the fact at `offset` and all before it in its lane.
    pub fn advance_past(&mut self, lane: u32, offset: u64) {
        let next = self.0.entry(lane).or_insert(0);
        *next = (*next).max(offset.saturating_add(1));
    }

    /// Is everything of `other` included?
    #[must_use]
    pub fn includes(&self, other: &Self) -> bool {
        other.0.iter().all(|(&lane, &next)| self.next(lane) >= next)
    }

    /// Lanes and their next offsets, in order.
    pub fn iter(&self) -> impl Iterator<Item = (u32, u64)> + '_ {
        self.0.iter().map(|(&lane, &next)| (lane, next))
    }
}

impl FromIterator<(u32, u64)> for Cut {
    fn from_iter<I: IntoIterator<Item = (u32, u64)>>(lanes: I) -> Self {
        let mut cut = Self::default();
        for (lane, next) in lanes {
            cut.set(lane, next);
        }
        cut
    }
}

/// The moment of knowledge that a read is to be answered from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum KnownAt {
    /// Everything.
    #[default]
    Latest,
    /// What the log had accepted by this Unix time in milliseconds, inclusive.
    Time(i64),
    /// What lies below a cut.
    Cut(Cut),
}

impl KnownAt {
    /// Was the fact known then?
    #[must_use]
    pub fn covers(&self, stamp: Stamp) -> bool {
        match self {
            Self::Latest => true,
            Self::Time(time_ms) => stamp.time_ms <= *time_ms,
            Self::Cut(cut) => stamp.offset < cut.next(stamp.lane),
        }
    }
}
