//! A checkpoint as bytes, and what has to hold of them.
//!
//! ```text
//! file    "qippsnap" · format (2 bytes) · head · one frame a key, in order · tail
//! frame   length (4 bytes) · CRC-32 of the body (4 bytes) · body
//! head    cut, parked keys, anchors, how many records it covers, which share of the log it is of, how many of them were superseded
//! tail    number of the frames between head and tail, and the sum of their checksums
//! ```
//!
//! All numbers are little-endian, bodies are postcard. A checkpoint is the whole state in one file, written in one run and read in one run:
//! a nation's is some hundred megabytes, and reading it costs less than folding. That it is written whole is paid for by writing it
//! seldom (`saver.rs`).
//!
//! Nothing that does not add up is ever used in part: it is [`Damage`], and the log is folded again.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};

use qipp_domain::Cut;
use qipp_domain::nation::{Nation, Saved};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::digest::state_bytes;
use crate::share::Share;
use crate::state::{Anchor, Parked, State};

/// To be raised whenever the bytes of a saved state change their meaning. A test pins them.
pub(crate) const FORMAT: u16 = 5;

const MAGIC: &[u8; 8] = b"qippsnap";

/// Larger than the state of any key: a length above it is damage, and no reason to ask for that much memory.
const MOST_BYTES: usize = 1 << 30;

/// What does not hold of a checkpoint.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Damage(pub(crate) String);

fn damage<T>(what: impl Into<String>) -> Result<T, Damage> {
    Err(Damage(what.into()))
}

#[derive(Debug, Serialize, Deserialize)]
struct Head {
    cut: Cut,
    parked: Vec<Parked>,
    anchors: Vec<Anchor>,
    records: u64,
    superseded: u64,
    share: Share,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Tail {
    frames: u64,
    sum: u64,
}

/// The state at one moment, ready to be written while folding goes on.
#[derive(Debug)]
pub(crate) struct Image {
    nation: Nation,
    head: Head,
}

impl Image {
    /// Costs a pointer for each key.
    pub(crate) fn of(state: &State) -> Self {
        Self {
            nation: state.nation.frozen(),
            head: Head {
                cut: state.cut.clone(),
                parked: state.parked.values().cloned().collect(),
                anchors: state.anchors.values().copied().collect(),
                records: state.records,
                superseded: state.superseded,
                share: state.share,
            },
        }
    }

    /// What of the log it is made of.
    pub(crate) fn share(&self) -> Share {
        self.head.share
    }

    /// Where it stands.
    pub(crate) fn cut(&self) -> &Cut {
        &self.head.cut
    }

    /// Writes the whole checkpoint.
    pub(crate) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        out.write_all(MAGIC)?;
        out.write_all(&FORMAT.to_le_bytes())?;
        write_frame(out, &encoded(&self.head))?;
        let mut tail = Tail { frames: 0, sum: 0 };
        for key in self.nation.keys() {
            if let Some(state) = state_bytes(&self.nation, key) {
                let crc = write_frame(out, &state)?;
                tail.frames += 1;
                tail.sum = tail.sum.wrapping_add(u64::from(crc));
            }
        }
        write_frame(out, &encoded(&tail))?;
        Ok(())
    }
}

fn encoded(part: &impl Serialize) -> Vec<u8> {
    postcard::to_stdvec(part).expect("it is plain data")
}

fn write_frame(out: &mut impl Write, body: &[u8]) -> io::Result<u32> {
    let length = u32::try_from(body.len()).ok();
    let length = length.filter(|_| body.len() <= MOST_BYTES).ok_or_else(|| {
        io::Error::other("the state of one key is larger than a checkpoint can hold")
    })?;
    let crc = crc32fast::hash(body);
    out.write_all(&length.to_le_bytes())?;
    out.write_all(&crc.to_le_bytes())?;
    out.write_all(body)?;
    Ok(crc)
}

/// Reads the whole checkpoint.
pub(crate) fn read(from: &mut impl Read) -> Result<State, Damage> {
    let mut magic = [0; 8];
    let mut format = [0; 2];
    read_all(from, &mut magic)?;
    read_all(from, &mut format)?;
    let format = u16::from_le_bytes(format);
    if &magic != MAGIC {
        return damage("it is not a checkpoint");
    }
    if format != FORMAT {
        return damage(format!(
            "it has format {format}, and this version reads {FORMAT}"
        ));
    }
    let mut body = Vec::new();
    read_frame(from, &mut body)?;
    let mut state = state_of(decoded(&body, "its head")?)?;
    let (mut seen, mut last) = (Tail { frames: 0, sum: 0 }, None);
    // Which frame is the last one is known only when none follows.
    while let Some(crc) = read_frame_or_end(from, &mut body)? {
        if let Some((crc, body)) = last.replace((crc, std::mem::take(&mut body))) {
            state
                .nation
                .restore(decoded::<Saved>(&body, "the state of a key")?);
            seen.frames += 1;
            seen.sum = seen.sum.wrapping_add(u64::from(crc));
        }
    }
    let Some((_, tail)) = last else {
        return damage("its tail is missing");
    };
    if decoded::<Tail>(&tail, "its tail")? != seen {
        return damage("its pieces are not those that were written together");
    }
    Ok(state)
}

fn state_of(head: Head) -> Result<State, Damage> {
    let anchors = head.anchors.into_iter();
    let anchors: BTreeMap<u32, Anchor> = anchors.map(|a| (a.stamp.lane, a)).collect();
    let ends: Cut = anchors
        .values()
        .map(|anchor| (anchor.stamp.lane, anchor.stamp.offset + 1))
        .collect();
    if ends != head.cut {
        return damage("its cut is not where its lanes end");
    }
    let mut parked = BTreeMap::new();
    for key in head.parked {
        let Some(topic) = key.topic() else {
            return damage("it parks a key of no known topic");
        };
        parked.insert((topic, key.key.clone(), key.stamp.lane), key);
    }
    Ok(State {
        nation: Nation::default(),
        cut: head.cut,
        parked,
        anchors,
        records: head.records,
        superseded: head.superseded,
        share: head.share,
    })
}

fn decoded<T: DeserializeOwned>(body: &[u8], what: &str) -> Result<T, Damage> {
    match postcard::take_from_bytes(body) {
        Ok((value, [])) => Ok(value),
        _ => damage(format!("{what} cannot be read")),
    }
}

fn read_frame(from: &mut impl Read, body: &mut Vec<u8>) -> Result<u32, Damage> {
    match read_frame_or_end(from, body)? {
        Some(crc) => Ok(crc),
        None => damage("it is cut off"),
    }
}

fn read_frame_or_end(from: &mut impl Read, body: &mut Vec<u8>) -> Result<Option<u32>, Damage> {
    let mut length = [0; 4];
    match read_start(from, &mut length)? {
        false => return Ok(None),
        true => read_all(from, &mut length[1..])?,
    }
    let length = u32::from_le_bytes(length) as usize;
    if length > MOST_BYTES {
        return damage("a length in it cannot be");
    }
    let mut crc = [0; 4];
    read_all(from, &mut crc)?;
    body.clear();
    // As it comes, not as it is announced: a length that is damaged asks for no memory.
    let read = from.take(length as u64).read_to_end(body);
    let read = read.map_err(|error| Damage(error.to_string()))?;
    if read != length {
        return damage("it is cut off");
    }
    let crc = u32::from_le_bytes(crc);
    if crc != crc32fast::hash(body) {
        return damage("a checksum in it does not hold");
    }
    Ok(Some(crc))
}

/// Reads the first byte of a length; false at the end of the file.
fn read_start(from: &mut impl Read, length: &mut [u8; 4]) -> Result<bool, Damage> {
    loop {
        match from.read(&mut length[..1]) {
            Ok(count) => return Ok(count == 1),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return damage(error.to_string()),
        }
    }
}

fn read_all(from: &mut impl Read, bytes: &mut [u8]) -> Result<(), Damage> {
    from.read_exact(bytes).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => Damage("it is cut off".into()),
        _ => Damage(error.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use qipp_domain::nation::Facts;
    use qipp_domain::reference::{Organisation, ReferenceFact};
    use qipp_domain::{OrgCode, Slug, Stamp};

    fn written() -> Vec<u8> {
        let mut state = State::default();
        let stamp = Stamp {
            lane: 1 << 16,
            offset: 4,
            time_ms: 0,
        };
        let fact = ReferenceFact::Organisation(Organisation {
            code: OrgCode::new("RJ1").unwrap(),
            name: "a trust".into(),
            kind: Slug::new("trust").unwrap(),
            opened: None,
            closed: None,
        });
        state
            .nation
            .apply(stamp, "tester", Facts::Reference(vec![fact]));
        state.cut.advance_past(stamp.lane, stamp.offset);
        state.anchors.insert(stamp.lane, Anchor { stamp, crc: 7 });
        state.records = 1;
        let mut bytes = Vec::new();
        Image::of(&state).write(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn what_was_written_is_read_back() {
        let bytes = written();
        let state = read(&mut bytes.as_slice()).unwrap();
        assert_eq!(state.records, 1);
        let mut again = Vec::new();
        Image::of(&state).write(&mut again).unwrap();
        assert_eq!(again, bytes);
    }

    #[test]
    fn no_byte_may_be_missing_added_or_changed() {
        let bytes = written();
        for end in 0..bytes.len() {
            assert!(read(&mut &bytes[..end]).is_err(), "cut off at {end}");
        }
        for at in 0..bytes.len() {
            let mut harmed = bytes.clone();
            harmed[at] ^= 1;
            assert!(read(&mut harmed.as_slice()).is_err(), "flipped at {at}");
        }
        let mut longer = bytes.clone();
        longer.push(0);
        assert!(read(&mut longer.as_slice()).is_err());
        let mut twice = bytes.clone();
        twice.extend_from_slice(&bytes[10..]);
        assert!(read(&mut twice.as_slice()).is_err());
    }
}
