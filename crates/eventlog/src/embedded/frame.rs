//! The codec of frames: what a run of records of one partition looks like on disk. Knows bytes, nothing of the store.
//!
//! ```text
//! offset  size
//!      0     4  magic "QLOG"
//!      4     2  version of this format
//!      6     4  crc32 of everything from offset 10 on
//!     10     4  length of the whole frame, from the magic on
//!     14     8  sequence: 0 for the partition's first frame, then one more each time
//!     22     1  topic id
//!     23     2  partition
//!     25     8  offset of the first record; the others follow without gaps
//!     33     8  time the log accepted the records, unix ms
//!     41     4  number of records
//!     45        per record: key length (2), payload length (4), key, payload
//! ```
//!
//! Numbers are big endian. Every byte is under the checksum or compared with a constant, so no single damage passes;
//! topic, partition and offset are inside, so a frame that was moved elsewhere is noticed too. Values are a frame
//! and not a record each because the store's cost is by key, not by byte.
//!
//! Invariants: a frame has at least one record; lengths are checked against the limits of the log before anything is
//! taken from the bytes; nothing follows the last record.

use crate::types::record::{MAX_KEY_BYTES, MAX_RECORD_BYTES};
use crate::{NewRecord, Position, Record, Topic};
use bytes::{Buf, Bytes};

/// The most records a frame may have, whatever the configuration says.
pub(crate) const MAX_FRAME_RECORDS: usize = 65_536;
/// The most bytes a frame may have, far above what is ever written: a bound for reading damaged lengths.
const MAX_FRAME_LENGTH: usize = 64 * 1024 * 1024;
/// Bytes a record needs besides its key and payload.
pub(crate) const RECORD_OVERHEAD: usize = 6;

const MAGIC: [u8; 4] = *b"QLOG";
const VERSION: u16 = 1;
const CRC_FROM: usize = 10;
const HEADER: usize = 45;

/// What a frame says about the records in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    pub(crate) sequence: u64,
    pub(crate) base: Position,
    pub(crate) time_ms: i64,
}

/// A frame that is being filled.
#[derive(Debug)]
pub(crate) struct FrameBuilder {
    header: FrameHeader,
    count: u32,
    records: Vec<u8>,
}

impl FrameBuilder {
    pub(crate) fn new(header: FrameHeader) -> FrameBuilder {
        FrameBuilder {
            header,
            count: 0,
            records: Vec::new(),
        }
    }

    pub(crate) fn header(&self) -> FrameHeader {
        self.header
    }

    /// How many records are in.
    pub(crate) fn count(&self) -> usize {
        self.count as usize
    }

    /// The offset after the last record.
    pub(crate) fn next(&self) -> u64 {
        self.header.base.offset + u64::from(self.count)
    }

    /// How many bytes the records have, with their lengths.
    pub(crate) fn bytes(&self) -> usize {
        self.records.len()
    }

    /// Adds a record, which has passed the limits of the log, and says where it stands.
    pub(crate) fn push(&mut self, record: &NewRecord) -> Position {
        let offset = self.next();
        let key = u16::try_from(record.key.len()).expect("keys are checked against MAX_KEY_BYTES");
        let payload = u32::try_from(record.payload.len())
            .expect("records are checked against MAX_RECORD_BYTES");
        self.records.extend_from_slice(&key.to_be_bytes());
        self.records.extend_from_slice(&payload.to_be_bytes());
        self.records.extend_from_slice(&record.key);
        self.records.extend_from_slice(&record.payload);
        self.count += 1;
        Position {
            offset,
            ..self.header.base
        }
    }

    /// The finished frame.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let FrameHeader {
            sequence,
            base,
            time_ms,
        } = self.header;
        let length = u32::try_from(HEADER + self.records.len())
            .expect("a frame is bounded far below 4 GiB by the limits of an append");
        let mut frame = Vec::with_capacity(HEADER + self.records.len());
        frame.extend_from_slice(&MAGIC);
        frame.extend_from_slice(&VERSION.to_be_bytes());
        frame.extend_from_slice(&[0; 4]);
        frame.extend_from_slice(&length.to_be_bytes());
        frame.extend_from_slice(&sequence.to_be_bytes());
        frame.push(base.topic.id());
        frame.extend_from_slice(&base.partition.to_be_bytes());
        frame.extend_from_slice(&base.offset.to_be_bytes());
        frame.extend_from_slice(&time_ms.to_be_bytes());
        frame.extend_from_slice(&self.count.to_be_bytes());
        frame.extend_from_slice(&self.records);
        let crc = crc32fast::hash(&frame[CRC_FROM..]);
        frame[CRC_FROM - 4..CRC_FROM].copy_from_slice(&crc.to_be_bytes());
        frame
    }
}

/// How long the frame that begins with these bytes says it is. Not yet checked against the checksum.
pub(crate) fn length(start: &[u8]) -> Result<usize, Damage> {
    let mut bytes = start;
    if bytes.len() < HEADER {
        return Err(Damage("a frame is shorter than its header"));
    }
    if bytes.get_u32().to_be_bytes() != MAGIC {
        return Err(Damage("a frame does not begin with the mark of a frame"));
    }
    if bytes.get_u16() != VERSION {
        return Err(Damage("a frame has a format that is not known"));
    }
    bytes.advance(4);
    let length = bytes.get_u32() as usize;
    if length > MAX_FRAME_LENGTH {
        return Err(Damage(
            "a frame says that it is longer than any frame may be",
        ));
    }
    Ok(length)
}

/// Reads a whole frame. The records share its memory.
pub(crate) fn decode(frame: &Bytes) -> Result<(FrameHeader, Vec<Record>), Damage> {
    if length(frame)? != frame.len() {
        return Err(Damage("a frame is not as long as it says"));
    }
    let stored = (&frame[CRC_FROM - 4..]).get_u32();
    if crc32fast::hash(&frame[CRC_FROM..]) != stored {
        return Err(Damage("the checksum of a frame does not hold"));
    }
    let mut rest = frame.slice(CRC_FROM + 4..);
    let sequence = rest.get_u64();
    let topic = Topic::from_id(rest.get_u8()).ok_or(Damage("a frame names an unknown topic"))?;
    let partition = rest.get_u16();
    let offset = rest.get_u64();
    let base = Position {
        topic,
        partition,
        offset,
    };
    let header = FrameHeader {
        sequence,
        base,
        time_ms: rest.get_i64(),
    };
    let count = rest.get_u32() as usize;
    let records = decode_records(header, count, rest)?;
    Ok((header, records))
}

fn decode_records(
    header: FrameHeader,
    count: usize,
    mut rest: Bytes,
) -> Result<Vec<Record>, Damage> {
    if !(1..=MAX_FRAME_RECORDS).contains(&count) {
        return Err(Damage(
            "a frame has no record, or more than a frame may have",
        ));
    }
    let mut records = Vec::with_capacity(count);
    for index in 0..count as u64 {
        let offset = header.base.offset.checked_add(index);
        let offset = offset.ok_or(Damage(
            "the offsets of a frame go beyond the last possible one",
        ))?;
        let (key, payload) = decode_record(&mut rest)?;
        records.push(Record {
            position: Position {
                offset,
                ..header.base
            },
            time_ms: header.time_ms,
            key,
            payload,
        });
    }
    if rest.is_empty() {
        Ok(records)
    } else {
        Err(Damage("bytes follow the last record of a frame"))
    }
}

fn decode_record(rest: &mut Bytes) -> Result<(Bytes, Bytes), Damage> {
    if rest.len() < RECORD_OVERHEAD {
        return Err(Damage("a frame ends within a record"));
    }
    let key = usize::from(rest.get_u16());
    let payload = rest.get_u32() as usize;
    if key > MAX_KEY_BYTES || key + payload > MAX_RECORD_BYTES {
        return Err(Damage("a record is larger than any record may be"));
    }
    if rest.len() < key + payload {
        return Err(Damage("a frame ends within a record"));
    }
    Ok((rest.split_to(key), rest.split_to(payload)))
}

/// What does not hold in a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Damage(pub(crate) &'static str);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_frame() -> impl Strategy<Value = (FrameHeader, Vec<NewRecord>)> {
        let bytes = |most| proptest::collection::vec(any::<u8>(), 0..most).prop_map(Bytes::from);
        let record = (bytes(12), bytes(60)).prop_map(|(key, payload)| NewRecord { key, payload });
        let header = (
            any::<u64>(),
            0..4_usize,
            any::<u16>(),
            0..u64::MAX / 2,
            any::<i64>(),
        );
        (header, proptest::collection::vec(record, 1..8)).prop_map(
            |((sequence, topic, partition, offset, time_ms), records)| {
                let base = Position {
                    topic: Topic::ALL[topic],
                    partition,
                    offset,
                };
                (
                    FrameHeader {
                        sequence,
                        base,
                        time_ms,
                    },
                    records,
                )
            },
        )
    }

    fn build(header: FrameHeader, records: &[NewRecord]) -> FrameBuilder {
        let mut builder = FrameBuilder::new(header);
        for record in records {
            builder.push(record);
        }
        builder
    }

    #[test]
    fn the_format_is_golden() {
        let base = Position {
            topic: Topic::Returns,
            partition: 3,
            offset: 7,
        };
        let header = FrameHeader {
            sequence: 2,
            base,
            time_ms: 1_700_000_000_000,
        };
        let record = NewRecord {
            key: Bytes::from_static(b"RJ1"),
            payload: Bytes::from_static(b"facts"),
        };
        let frame = build(header, &[record]).encode();
        let hex: String = frame.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            hex,
            "514c4f470001516d375d0000003b000000000000000202000300000000000000070000018bcfe5680000000001000300000005524a316661637473"
        );
    }

    proptest! {
        #[test]
        fn a_frame_comes_back_as_it_was((header, records) in any_frame()) {
            let builder = build(header, &records);
            let (read, decoded) = decode(&Bytes::from(builder.encode())).unwrap();
            prop_assert_eq!(read, header);
            prop_assert_eq!(decoded.len(), records.len());
            let mut offset = header.base.offset;
            for (record, new) in decoded.iter().zip(&records) {
                prop_assert_eq!(record.position, Position { offset, ..header.base });
                prop_assert_eq!(record.time_ms, header.time_ms);
                prop_assert_eq!((&record.key, &record.payload), (&new.key, &new.payload));
                offset += 1;
            }
            prop_assert_eq!(builder.next(), offset);
        }

        #[test]
        fn every_truncated_frame_is_refused((header, records) in any_frame()) {
            let frame = Bytes::from(build(header, &records).encode());
            for length in 0..frame.len() {
                prop_assert!(decode(&frame.slice(..length)).is_err(), "cut at {}", length);
            }
        }

        #[test]
        fn every_changed_byte_is_refused((header, records) in any_frame(), change in 1..=255_u8) {
            let frame = build(header, &records).encode();
            for place in 0..frame.len() {
                let mut damaged = frame.clone();
                damaged[place] ^= change;
                prop_assert!(decode(&Bytes::from(damaged)).is_err(), "changed at {}", place);
            }
        }

        #[test]
        fn no_bytes_whatsoever_make_the_decoder_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), seal: bool) {
            let mut bytes = bytes;
            if seal && bytes.len() >= HEADER {
                let length = u32::try_from(bytes.len()).unwrap();
                bytes[..4].copy_from_slice(&MAGIC);
                bytes[4..6].copy_from_slice(&VERSION.to_be_bytes());
                bytes[10..14].copy_from_slice(&length.to_be_bytes());
                let crc = crc32fast::hash(&bytes[CRC_FROM..]);
                bytes[6..10].copy_from_slice(&crc.to_be_bytes());
            }
            let _ = decode(&Bytes::from(bytes));
        }
    }
}
