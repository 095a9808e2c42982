//! Tenure: which single writer a lane belongs to now, and what comes from an earlier one.
//!
//! Some topics have one writer at a time, and a process can believe for too long that it is the one. So a writer begins an epoch in
//! every lane that it will write to, and everything it writes carries that epoch. What stands behind the beginning of a higher one was
//! written by somebody whose time was over. This depends on one lane alone, so every replica decides the same.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The key under which a beginning stands in the log. Not the code of anything.
pub const EPOCH_KEY: &str = "epoch";

/// Who writes to a lane.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Tenure {
    /// The epoch; the first one is 1.
    pub epoch: u64,
    /// A random id of the process that has it.
    pub holder: String,
}

/// The current tenure of each lane in which one was begun.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tenures(BTreeMap<u32, Tenure>);

impl Tenures {
    /// Takes note of a beginning. One whose epoch is not above the current one of the lane has no effect: who came first has it.
    pub fn begin(&mut self, lane: u32, tenure: Tenure) {
        let current = self.0.get(&lane).map_or(0, |current| current.epoch);
        if tenure.epoch > current {
            self.0.insert(lane, tenure);
        }
    }

    /// Is what a writer of this epoch writes to the lane without effect from now on? Never when it has none (0).
    #[must_use]
    pub fn is_superseded(&self, lane: u32, writer_epoch: u64) -> bool {
        writer_epoch != 0 && self.0.get(&lane).is_some_and(|t| writer_epoch < t.epoch)
    }

    /// The current tenure of a lane; `None` where none was begun.
    #[must_use]
    pub fn of_lane(&self, lane: u32) -> Option<&Tenure> {
        self.0.get(&lane)
    }

    /// Lanes and their tenures, in order.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &Tenure)> {
        self.0.iter().map(|(&lane, tenure)| (lane, tenure))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenure(epoch: u64, holder: &str) -> Tenure {
        Tenure {
            epoch,
            holder: holder.to_owned(),
        }
    }

    #[test]
    fn the_first_to_begin_an_epoch_has_it_and_an_earlier_epoch_is_over() {
        let mut tenures = Tenures::default();
        assert!(!tenures.is_superseded(1, 1));
        for begun in [tenure(2, "a"), tenure(2, "b"), tenure(1, "c")] {
            tenures.begin(1, begun);
            assert_eq!(tenures.of_lane(1), Some(&tenure(2, "a")));
        }
        let superseded = [0, 1, 2, 3].map(|epoch| tenures.is_superseded(1, epoch));
        assert_eq!(superseded, [false, true, false, false]);
        assert!(
            !tenures.is_superseded(2, 1),
            "another lane is not concerned"
        );
        tenures.begin(1, tenure(3, "b"));
        assert_eq!(tenures.of_lane(1), Some(&tenure(3, "b")));
        assert!(tenures.is_superseded(1, 2));
    }

    #[test]
    fn the_key_of_a_beginning_is_the_code_of_nothing() {
        assert!(crate::OrgCode::new(EPOCH_KEY).is_err());
        assert!(crate::MarkerCode::new(EPOCH_KEY).is_err());
    }
}
