//! Which topics exist, how many partitions each has, and which partition a key belongs to.
//!
//! Everything here is written into stored data, so none of it may ever change its meaning: ids and names are golden,
//! the hash is golden, and the partition count of a log is fixed when the log is created.

use crate::LogError;
use std::fmt;

/// The topics known to the house. A closed set, so that a position cannot name an unknown one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topic {
    /// Organisations, trees, markers, calendars, rule sets. One partition: reference data is totally ordered.
    Reference,
    /// Schemes and returns, keyed by organisation.
    Returns,
    /// National and peer values per marker and month. One partition.
    Benchmarks,
    /// Alerts and every act of a person on them, keyed by organisation.
    Alerts,
}

impl Topic {
    /// Every topic, in the order of their ids.
    pub const ALL: [Topic; 4] = [
        Topic::Reference,
        Topic::Returns,
        Topic::Benchmarks,
        Topic::Alerts,
    ];

    /// The name under which the topic is known outside this process.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Topic::Reference => "qipp.reference.v1",
            Topic::Returns => "qipp.returns.v1",
            Topic::Benchmarks => "qipp.benchmarks.v1",
            Topic::Alerts => "qipp.alerts.v1",
        }
    }

    /// The topic of that name, if there is one.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Topic> {
        Topic::ALL.into_iter().find(|topic| topic.name() == name)
    }

    /// A stable number for stored keys: never reused, never 0 (0 marks what is not a topic).
    #[must_use]
    pub const fn id(self) -> u8 {
        match self {
            Topic::Reference => 1,
            Topic::Returns => 2,
            Topic::Benchmarks => 3,
            Topic::Alerts => 4,
        }
    }

    /// The topic with that id, if there is one.
    #[must_use]
    pub fn from_id(id: u8) -> Option<Topic> {
        Topic::ALL.into_iter().find(|topic| topic.id() == id)
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How many partitions each topic has; fixed when a log is created, because keys are spread by it.
///
/// [`Topic::Reference`] and [`Topic::Benchmarks`] always have one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Partitions of [`Topic::Returns`]; at least 1.
    pub returns: u16,
    /// Partitions of [`Topic::Alerts`]; at least 1.
    pub alerts: u16,
}

impl Default for Layout {
    /// Eight and eight: enough to shard a nation's work, few enough to follow all of them from one process.
    fn default() -> Self {
        Layout {
            returns: 8,
            alerts: 8,
        }
    }
}

impl Layout {
    /// How many partitions the topic has.
    #[must_use]
    pub const fn partitions(&self, topic: Topic) -> u16 {
        match topic {
            Topic::Reference | Topic::Benchmarks => 1,
            Topic::Returns => self.returns,
            Topic::Alerts => self.alerts,
        }
    }

    /// Every partition of every topic, in order.
    pub fn all(&self) -> impl Iterator<Item = (Topic, u16)> + use<> {
        let layout = *self;
        Topic::ALL.into_iter().flat_map(move |topic| {
            (0..layout.partitions(topic)).map(move |partition| (topic, partition))
        })
    }

    /// The partition of `topic` that records with this key belong to.
    #[must_use]
    pub fn partition_of(&self, topic: Topic, key: &[u8]) -> u16 {
        partition_for(key, self.partitions(topic))
    }

    /// Refuses a partition this layout does not have.
    ///
    /// # Errors
    /// [`LogError::UnknownPartition`].
    pub fn check(&self, topic: Topic, partition: u16) -> Result<(), LogError> {
        let partitions = self.partitions(topic);
        if partition < partitions {
            return Ok(());
        }
        Err(LogError::UnknownPartition {
            topic,
            partition,
            partitions,
        })
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "returns={}, alerts={}", self.returns, self.alerts)
    }
}

/// The partition a key belongs to: FNV-1a (64 bit) of the key, modulo the number of partitions.
///
/// Stored data depends on it: it must never change. FNV-1a because it is eight lines anybody can write again in any
/// language, and spreads short codes evenly enough. `partitions` of 0 counts as 1.
#[must_use]
pub fn partition_for(key: &[u8], partitions: u16) -> u16 {
    const OFFSET_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let hash = key.iter().fold(OFFSET_BASIS, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(PRIME)
    });
    u16::try_from(hash % u64::from(partitions.max(1)))
        .expect("a remainder of division by a u16 fits a u16")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_ids_are_golden() {
        let golden = [
            (Topic::Reference, "qipp.reference.v1", 1),
            (Topic::Returns, "qipp.returns.v1", 2),
            (Topic::Benchmarks, "qipp.benchmarks.v1", 3),
            (Topic::Alerts, "qipp.alerts.v1", 4),
        ];
        for (topic, name, id) in golden {
            assert_eq!((topic.name(), topic.id()), (name, id));
            assert_eq!(Topic::from_name(name), Some(topic));
            assert_eq!(Topic::from_id(id), Some(topic));
        }
        assert_eq!(Topic::from_name("qipp.returns.v2"), None);
        assert_eq!(Topic::from_id(0), None);
    }

    #[test]
    fn the_partition_of_a_key_is_golden() {
        // Computed with an independent implementation of FNV-1a 64. A failure here means that stored keys moved.
        let golden = [
            ("", 8, 5),
            ("RJ1", 8, 4),
            ("RJ1", 12, 4),
            ("RX1", 8, 2),
            ("5QT", 8, 5),
            ("Y54", 8, 5),
            ("RRV", 64, 9),
            ("E38000136", 8, 5),
            ("a", 65535, 65086),
        ];
        for (key, partitions, expected) in golden {
            assert_eq!(partition_for(key.as_bytes(), partitions), expected, "{key}");
        }
        assert_eq!(partition_for(b"anything", 1), 0);
        assert_eq!(partition_for(b"anything", 0), 0);
    }

    #[test]
    fn organisation_codes_spread_over_partitions() {
        let mut counts = [0_u32; 8];
        for number in 0..8000_u32 {
            let key = format!("R{number:04}");
            counts[usize::from(partition_for(key.as_bytes(), 8))] += 1;
        }
        assert!(
            counts.iter().all(|count| (700..1300).contains(count)),
            "{counts:?}"
        );
    }
}
