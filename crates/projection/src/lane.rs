//! Lanes and cuts: the log speaks of topics and partitions, the domain of lanes. Nothing else is mapped here.

use qipp_domain::Cut;
use qipp_eventlog::Topic;

/// The lane of a topic's partition: `topic id << 16 | partition`. Stored in checkpoints and cited by facts: never to change.
#[must_use]
pub fn lane_of(topic: Topic, partition: u16) -> u32 {
    u32::from(topic.id()) << 16 | u32::from(partition)
}

/// The topic and partition of a lane; `None` when no topic has that number.
#[must_use]
pub fn place_of(lane: u32) -> Option<(Topic, u16)> {
    let topic = Topic::from_id(u8::try_from(lane >> 16).ok()?)?;
    let partition = u16::try_from(lane & 0xffff).ok()?;
    Some((topic, partition))
}

/// A cut of the log as the domain says it.
#[must_use]
pub fn domain_cut(cut: &qipp_eventlog::Cut) -> Cut {
    cut.iter()
        .map(|((topic, partition), next)| (lane_of(topic, partition), next))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_are_golden_and_lead_back() {
        assert_eq!(lane_of(Topic::Reference, 0), 0x1_0000);
        assert_eq!(lane_of(Topic::Alerts, 7), 0x4_0007);
        for topic in Topic::ALL {
            for partition in [0, 7, u16::MAX] {
                assert_eq!(
                    place_of(lane_of(topic, partition)),
                    Some((topic, partition))
                );
            }
        }
        assert_eq!(place_of(3), None);
        assert_eq!(place_of(0x0101_0000), None);
    }
}
