//! A checkpoint as bytes, and what has to hold of them.
//!
//! ```text
//! k <key> <chunk number>   checksum · a piece of the key's state
//! m                        format · checksum · cut, parked keys, anchors, number and sum of all chunks' checksums
//! ```
//!
//! Written in one atomic batch: the chunks that differ from those of the last checkpoint, and the summary. So a checkpoint costs an
//! encoding of every key that was touched (the reference data count as one key: some megabytes for a nation, whenever
//! they change), but growth at the end of a long history writes only its last chunks.
//!
//! Nothing that does not add up is ever used in part: it is [`Damage`], and the log is folded again.

use std::collections::{BTreeMap, BTreeSet};

use qipp_domain::Cut;
use qipp_domain::nation::{Key, Saved};
use serde::{Deserialize, Serialize};

use crate::digest::{key_bytes, key_of_bytes, state_bytes};
use crate::state::{Anchor, Parked, State};

/// To be raised whenever the bytes of a saved state change their meaning. A test pins them.
pub(crate) const FORMAT: u16 = 1;

/// The most bytes of state in one chunk; `store.rs` relies on it.
pub(crate) const CHUNK_BYTES: usize = 63 * 1024;

const KEY_PREFIX: u8 = b'k';
const SUMMARY: &[u8] = b"m";
const CRC_BYTES: usize = 4;

/// What does not hold of a checkpoint.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Damage(pub(crate) String);

fn damage<T>(what: impl Into<String>) -> Result<T, Damage> {
    Err(Damage(what.into()))
}

/// The checksums of the chunks that are stored, by key: what the next checkpoint is a difference to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Marks(BTreeMap<Key, Vec<u32>>);

impl Marks {
    /// Every key that is stored.
    pub(crate) fn keys(&self) -> BTreeSet<Key> {
        self.0.keys().copied().collect()
    }

    fn chunks(&self) -> u64 {
        self.0.values().map(|crcs| crcs.len() as u64).sum()
    }

    fn sum(&self) -> u64 {
        let all = self.0.values().flatten();
        all.fold(0, |sum, crc| sum.wrapping_add(u64::from(*crc)))
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Summary {
    cut: Cut,
    parked: Vec<Parked>,
    anchors: Vec<Anchor>,
    chunks: u64,
    sum: u64,
}

/// A checkpoint that is ready to be written.
#[derive(Debug)]
pub(crate) struct Encoded {
    pub(crate) batch: sled::Batch,
    pub(crate) cut: Cut,
    /// Bytes of state that the batch writes.
    pub(crate) bytes: u64,
}

/// Encodes the state of the dirty keys as a difference to what `marks` says is stored, and moves `marks` on.
pub(crate) fn encode(state: &State, dirty: &BTreeSet<Key>, marks: &mut Marks) -> Encoded {
    let mut batch = sled::Batch::default();
    let mut bytes = 0;
    for key in dirty {
        let saved = state_bytes(&state.nation, *key).unwrap_or_default();
        let stored = marks.0.remove(key).unwrap_or_default();
        let mut crcs = Vec::with_capacity(saved.len() / CHUNK_BYTES + 1);
        for (number, chunk) in saved.chunks(CHUNK_BYTES).enumerate() {
            let name = chunk_name(*key, number);
            let crc = checksum(&name, chunk);
            if stored.get(number) != Some(&crc) {
                bytes += chunk.len() as u64;
                batch.insert(name, sealed(crc, chunk));
            }
            crcs.push(crc);
        }
        for number in crcs.len()..stored.len() {
            batch.remove(chunk_name(*key, number));
        }
        if !crcs.is_empty() {
            marks.0.insert(*key, crcs);
        }
    }
    batch.insert(SUMMARY, summary(state, marks));
    let cut = state.cut.clone();
    Encoded { batch, cut, bytes }
}

fn summary(state: &State, marks: &Marks) -> Vec<u8> {
    let summary = Summary {
        cut: state.cut.clone(),
        parked: state.parked.values().cloned().collect(),
        anchors: state.anchors.values().copied().collect(),
        chunks: marks.chunks(),
        sum: marks.sum(),
    };
    let body = postcard::to_stdvec(&summary).expect("a summary is plain data");
    let mut bytes = FORMAT.to_le_bytes().to_vec();
    bytes.extend(sealed(checksum(SUMMARY, &body), &body));
    bytes
}

fn chunk_name(key: Key, number: usize) -> Vec<u8> {
    let number =
        u32::try_from(number).expect("state of one key fits memory, so less than 2^32 chunks");
    let mut name = vec![KEY_PREFIX];
    name.extend(key_bytes(key));
    name.extend(number.to_be_bytes());
    name
}

fn checksum(name: &[u8], body: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(name);
    crc.update(body);
    crc.finalize()
}

fn sealed(crc: u32, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(CRC_BYTES + body.len());
    bytes.extend(crc.to_le_bytes());
    bytes.extend_from_slice(body);
    bytes
}

fn unsealed<'a>(name: &[u8], bytes: &'a [u8]) -> Option<(u32, &'a [u8])> {
    let (crc, body) = bytes.split_first_chunk::<CRC_BYTES>()?;
    let crc = u32::from_le_bytes(*crc);
    (crc == checksum(name, body)).then_some((crc, body))
}

/// Reads a checkpoint from its entries, taken in order. Puts chunks together as they come.
#[derive(Debug, Default)]
pub(crate) struct Loading {
    state: State,
    marks: Marks,
    current: Option<(Key, Vec<u8>)>,
    summary: Option<Summary>,
}

impl Loading {
    /// Takes the next entry.
    pub(crate) fn take(&mut self, name: &[u8], bytes: &[u8]) -> Result<(), Damage> {
        match name.split_first() {
            Some((&KEY_PREFIX, rest)) => self.take_chunk(name, rest, bytes),
            _ if name == SUMMARY => self.take_summary(bytes),
            _ => damage(format!("it holds an entry of no known kind, {name:?}")),
        }
    }

    fn take_chunk(&mut self, name: &[u8], rest: &[u8], bytes: &[u8]) -> Result<(), Damage> {
        let named = rest.split_last_chunk::<4>();
        let named = named.and_then(|(key, number)| Some((key_of_bytes(key)?, number)));
        let Some((key, number)) = named else {
            return damage(format!("it holds state of no known key, {name:?}"));
        };
        let Some((crc, body)) = unsealed(name, bytes) else {
            return damage(format!("a checksum of {key:?} does not hold"));
        };
        if self.current.as_ref().is_none_or(|(held, _)| *held != key) {
            self.restore()?;
            self.current = Some((key, Vec::new()));
        }
        let crcs = self.marks.0.entry(key).or_default();
        if u32::from_be_bytes(*number) as usize != crcs.len() {
            return damage(format!("a piece of {key:?} is missing"));
        }
        crcs.push(crc);
        if let Some((_, held)) = &mut self.current {
            held.extend_from_slice(body);
        }
        Ok(())
    }

    fn restore(&mut self) -> Result<(), Damage> {
        let Some((key, bytes)) = self.current.take() else {
            return Ok(());
        };
        match postcard::take_from_bytes::<Saved>(&bytes) {
            Ok((saved, [])) => self.state.nation.restore(saved),
            _ => return damage(format!("the state of {key:?} cannot be read")),
        }
        Ok(())
    }

    fn take_summary(&mut self, bytes: &[u8]) -> Result<(), Damage> {
        let Some((format, rest)) = bytes.split_first_chunk::<2>() else {
            return damage("its summary is cut off");
        };
        let format = u16::from_le_bytes(*format);
        if format != FORMAT {
            return damage(format!(
                "it has format {format}, and this version reads {FORMAT}"
            ));
        }
        let body = unsealed(SUMMARY, rest).map(|(_, body)| postcard::from_bytes(body));
        match body {
            Some(Ok(summary)) => self.summary = Some(summary),
            _ => return damage("its summary cannot be read"),
        }
        Ok(())
    }

    /// The whole checkpoint.
    pub(crate) fn finish(mut self) -> Result<(State, Marks), Damage> {
        self.restore()?;
        let Some(summary) = self.summary.take() else {
            return damage("its summary is missing");
        };
        if (summary.chunks, summary.sum) != (self.marks.chunks(), self.marks.sum()) {
            return damage("its pieces are not those that were written together");
        }
        self.adopt(summary)?;
        Ok((self.state, self.marks))
    }

    fn adopt(&mut self, summary: Summary) -> Result<(), Damage> {
        for anchor in summary.anchors {
            self.state.anchors.insert(anchor.stamp.lane, anchor);
        }
        let ends = self.state.anchors.values();
        let ends: Cut = ends
            .map(|anchor| (anchor.stamp.lane, anchor.stamp.offset + 1))
            .collect();
        if ends != summary.cut {
            return damage("its cut is not where its lanes end");
        }
        self.state.cut = summary.cut;
        for parked in summary.parked {
            let Some(topic) = parked.topic() else {
                return damage("it parks a key of no known topic");
            };
            self.state
                .parked
                .insert((topic, parked.key.clone()), parked);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use qipp_domain::nation::{Facts, Nation};
    use qipp_domain::reference::{Organisation, ReferenceFact};
    use qipp_domain::{OrgCode, Slug, Stamp};

    fn register(nation: &mut Nation, offset: u64) {
        let fact = ReferenceFact::Organisation(Organisation {
            code: OrgCode::new(&format!("R{offset:05}")).unwrap(),
            name: "a trust with a name of a usual length".repeat(10),
            kind: Slug::new("trust").unwrap(),
            opened: None,
            closed: None,
        });
        let stamp = Stamp {
            lane: 1 << 16,
            offset,
            time_ms: 0,
        };
        nation.apply(stamp, "tester", Facts::Reference(vec![fact]));
    }

    #[test]
    fn growth_at_the_end_writes_only_the_last_chunks() {
        let mut state = State::default();
        let mut marks = Marks::default();
        let dirty = BTreeSet::from([Key::Reference]);
        (0..1000).for_each(|offset| register(&mut state.nation, offset));
        let first = encode(&state, &dirty, &mut marks);
        assert!(first.bytes > 5 * CHUNK_BYTES as u64);
        assert_eq!(encode(&state, &dirty, &mut marks).bytes, 0);
        register(&mut state.nation, 1000);
        let grown = encode(&state, &dirty, &mut marks).bytes;
        // The first chunk holds the number of facts.
        assert!(grown <= 3 * CHUNK_BYTES as u64, "{grown}");
    }

    #[test]
    fn keys_are_read_back_from_their_bytes_and_nothing_else_is() {
        let org = OrgCode::new("RJ1").unwrap();
        let marker = qipp_domain::MarkerCode::new("AE_4H").unwrap();
        let keys = [
            Key::Reference,
            Key::Ledger(org),
            Key::Benchmarks(marker),
            Key::Alerts(org),
        ];
        for key in keys {
            assert_eq!(key_of_bytes(&key_bytes(key)), Some(key));
        }
        for bytes in [
            &b""[..],
            b"\x01",
            b"\x01A\0",
            b"\x02\0",
            b"\x02RJ1",
            b"\x05RJ1\0",
        ] {
            assert_eq!(key_of_bytes(bytes), None, "{bytes:?}");
        }
    }
}
