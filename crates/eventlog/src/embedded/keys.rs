//! The keys of the store, and the two small values that are not frames: the format and the end of a partition.
//!
//! ```text
//! key of a piece of a frame   topic id (1)  partition (2)  first offset (8)  piece (2)      13 bytes, big endian
//! key of a partition's end    0  'e'        topic id (1)   partition (2)                     5 bytes
//! key of the format           0  'f'                                                         2 bytes
//! ```
//!
//! Topic ids are never 0, so frames of one partition stand together, in order, and never mix with the rest.

use crate::{Layout, Position, Topic};
use std::ops::RangeInclusive;

/// The most bytes one stored value has. Larger frames are cut into pieces; why, the store says
/// ([`SEGMENT_BYTES`](super::store::SEGMENT_BYTES)).
pub(crate) const PIECE_BYTES: usize = 64 * 1024;

/// The format this version writes, and the newest it reads.
pub(crate) const FORMAT: u16 = 1;

/// The key of the format.
pub(crate) const FORMAT_KEY: [u8; 2] = [0, b'f'];

/// Where a piece of a frame is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PieceKey {
    pub(crate) base: Position,
    pub(crate) piece: u16,
}

impl PieceKey {
    pub(crate) fn encode(self) -> [u8; 13] {
        let mut key = [0; 13];
        key[0] = self.base.topic.id();
        key[1..3].copy_from_slice(&self.base.partition.to_be_bytes());
        key[3..11].copy_from_slice(&self.base.offset.to_be_bytes());
        key[11..].copy_from_slice(&self.piece.to_be_bytes());
        key
    }

    pub(crate) fn decode(key: &[u8]) -> Option<PieceKey> {
        let key: &[u8; 13] = key.try_into().ok()?;
        let [topic, p0, p1, o0, o1, o2, o3, o4, o5, o6, o7, i0, i1] = *key;
        let base = Position {
            topic: Topic::from_id(topic)?,
            partition: u16::from_be_bytes([p0, p1]),
            offset: u64::from_be_bytes([o0, o1, o2, o3, o4, o5, o6, o7]),
        };
        Some(PieceKey {
            base,
            piece: u16::from_be_bytes([i0, i1]),
        })
    }

    /// The keys of all pieces of all frames of one partition whose first offset is in the range.
    pub(crate) fn range(
        topic: Topic,
        partition: u16,
        offsets: RangeInclusive<u64>,
    ) -> RangeInclusive<[u8; 13]> {
        let key = |offset, piece| {
            let base = Position {
                topic,
                partition,
                offset,
            };
            PieceKey { base, piece }.encode()
        };
        key(*offsets.start(), 0)..=key(*offsets.end(), u16::MAX)
    }
}

/// Where a partition ends: what the next frame has to go on from. Written with every frame, in the same batch, so that a
/// lost last frame is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct End {
    /// The next offset.
    pub(crate) next: u64,
    /// The sequence number of the next frame: how many frames there are.
    pub(crate) sequence: u64,
    /// The time of the last frame.
    pub(crate) time_ms: i64,
}

impl End {
    /// The end of an empty partition.
    pub(crate) const START: End = End {
        next: 0,
        sequence: 0,
        time_ms: i64::MIN,
    };

    pub(crate) fn key(topic: Topic, partition: u16) -> [u8; 5] {
        let [high, low] = partition.to_be_bytes();
        [0, b'e', topic.id(), high, low]
    }

    pub(crate) fn encode(self) -> Vec<u8> {
        let parts: [&[u8]; 3] = [
            &self.next.to_be_bytes(),
            &self.sequence.to_be_bytes(),
            &self.time_ms.to_be_bytes(),
        ];
        with_crc(parts.concat())
    }

    pub(crate) fn decode(value: &[u8]) -> Option<End> {
        let value: &[u8; 24] = without_crc(value)?.try_into().ok()?;
        let (next, rest) = value.split_first_chunk::<8>()?;
        let (sequence, time) = rest.split_first_chunk::<8>()?;
        Some(End {
            next: u64::from_be_bytes(*next),
            sequence: u64::from_be_bytes(*sequence),
            time_ms: i64::from_be_bytes(time.try_into().ok()?),
        })
    }
}

/// What the store says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Format {
    pub(crate) version: u16,
    pub(crate) layout: Layout,
}

impl Format {
    pub(crate) fn encode(self) -> Vec<u8> {
        let numbers = [self.version, self.layout.returns, self.layout.alerts];
        with_crc(numbers.map(u16::to_be_bytes).concat())
    }

    pub(crate) fn decode(value: &[u8]) -> Option<Format> {
        let [v0, v1, r0, r1, a0, a1] = *<&[u8; 6]>::try_from(without_crc(value)?).ok()?;
        let layout = Layout {
            returns: u16::from_be_bytes([r0, r1]),
            alerts: u16::from_be_bytes([a0, a1]),
        };
        Some(Format {
            version: u16::from_be_bytes([v0, v1]),
            layout,
        })
    }
}

fn with_crc(mut value: Vec<u8>) -> Vec<u8> {
    let crc = crc32fast::hash(&value);
    value.extend_from_slice(&crc.to_be_bytes());
    value
}

fn without_crc(value: &[u8]) -> Option<&[u8]> {
    let (value, crc) = value.split_last_chunk::<4>()?;
    (crc32fast::hash(value) == u32::from_be_bytes(*crc)).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_format_is_golden() {
        let base = Position {
            topic: Topic::Returns,
            partition: 0x0102,
            offset: 0x0304_0506_0708_090a,
        };
        let key = PieceKey {
            base,
            piece: 0x0b0c,
        };
        assert_eq!(key.encode(), [2, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
        assert_eq!(End::key(Topic::Alerts, 7), [0, b'e', 4, 0, 7]);
        let format = Format {
            version: 1,
            layout: Layout {
                returns: 8,
                alerts: 4,
            },
        };
        assert_eq!(format.encode()[..6], [0, 1, 0, 8, 0, 4]);
    }

    #[test]
    fn a_damaged_end_or_format_is_not_read() {
        let end = End {
            next: 9,
            sequence: 3,
            time_ms: -5,
        }
        .encode();
        let format = Format {
            version: 1,
            layout: Layout::default(),
        }
        .encode();
        for place in 0..end.len() {
            let mut damaged = end.clone();
            damaged[place] ^= 0x10;
            assert_eq!(End::decode(&damaged), None);
            assert_eq!(End::decode(&end[..place]), None);
        }
        for place in 0..format.len() {
            let mut damaged = format.clone();
            damaged[place] ^= 0x10;
            assert_eq!(Format::decode(&damaged), None);
        }
    }

    proptest! {
        #[test]
        fn keys_come_back_and_order_as_positions_do(
            a in (0..4_usize, any::<u16>(), any::<u64>(), any::<u16>()),
            b in (0..4_usize, any::<u16>(), any::<u64>(), any::<u16>()),
        ) {
            let [a, b] = [a, b].map(|(topic, partition, offset, piece)| PieceKey {
                base: Position { topic: Topic::ALL[topic], partition, offset },
                piece,
            });
            prop_assert_eq!(PieceKey::decode(&a.encode()), Some(a));
            prop_assert_eq!(a.encode().cmp(&b.encode()), a.cmp(&b));
        }

        #[test]
        fn ends_come_back(next: u64, sequence: u64, time_ms: i64) {
            let end = End { next, sequence, time_ms };
            prop_assert_eq!(End::decode(&end.encode()), Some(end));
        }
    }
}
