//! A second note of how far the log goes, in a file of its own, because a store that has lost its end has lost its own note of it too.
//!
//! sled takes a tail that does not read for one that was never written, and opens without it. What was acknowledged would be gone without a
//! word. So after every sync, and before anything is acknowledged, the ends of all partitions are written here, into two places by turns:
//! one of them is whole whenever the process, or the machine, stops.
//!
//! ```text
//! slot   4  magic "QEND"   4  crc32 of the rest   8  generation   2+2  layout   per partition: 8 next   8 sequence   8 time
//! ```
//!
//! It is not synced for every batch, which would cost as much as the batch. So a process that is killed never leaves it behind the log by more
//! than what was not acknowledged, and a machine that loses power may leave it behind by the last seconds; it is never ahead. Not noticed is
//! therefore: a tail lost together with this file, or with its latest seconds, and a folder that was put back as a whole from an earlier day.

use crate::embedded::keys::End;
use crate::embedded::store::failed;
use crate::embedded::verify::Ends;
use crate::{Layout, LogError};
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

const NAME: &str = "ends";
const MAGIC: [u8; 4] = *b"QEND";
const HEADER: usize = 20;
const ENTRY: usize = 24;

/// The file, and what it says.
#[derive(Debug)]
pub(crate) struct Mark {
    file: File,
    layout: Layout,
    generation: u64,
    ends: Ends,
    failing: bool,
}

/// What the file of a directory says; nothing when there is none that reads.
pub(crate) fn read(directory: &Path) -> Option<(Layout, Ends, u64)> {
    let bytes = std::fs::read(directory.join(NAME)).ok()?;
    let half = bytes.len() / 2;
    let (one, other) = bytes.split_at(half);
    let newest = [decode(one), decode(other)].into_iter().flatten();
    newest.max_by_key(|(_, _, generation)| *generation)
}

impl Mark {
    /// Notes where the log ends now, durably, and goes on from there.
    ///
    /// # Errors
    /// When the file can't be written.
    pub(crate) fn begin(directory: &Path, layout: Layout, ends: &Ends) -> Result<Mark, LogError> {
        let generation = read(directory).map_or(0, |(_, _, generation)| generation);
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(directory.join(NAME))
            .map_err(|e| failed("note where it ends", &e))?;
        let mut mark = Mark {
            file,
            layout,
            generation,
            ends: ends.clone(),
            failing: false,
        };
        // Both places, so that the file has its length from now on.
        for _ in 0..2 {
            mark.write().map_err(|e| failed("note where it ends", &e))?;
        }
        mark.file
            .sync_all()
            .map_err(|e| failed("note where it ends", &e))?;
        Ok(mark)
    }

    /// Notes where partitions end. A failure costs only that the loss of a tail would not be noticed.
    pub(crate) fn note(&mut self, changed: &Ends) {
        self.ends.extend(changed);
        let written = self.write();
        if let Err(error) = &written
            && !self.failing
        {
            tracing::warn!(%error, "where the log ends could not be noted: the loss of a tail may go unnoticed");
        }
        self.failing = written.is_err();
    }

    fn write(&mut self) -> std::io::Result<()> {
        self.generation += 1;
        let slot = encode(self.layout, &self.ends, self.generation);
        let at = (self.generation % 2) * slot.len() as u64;
        self.file.write_all_at(&slot, at)
    }
}

fn encode(layout: Layout, ends: &Ends, generation: u64) -> Vec<u8> {
    let mut slot = Vec::with_capacity(HEADER + layout.all().count() * ENTRY);
    slot.extend_from_slice(&MAGIC);
    slot.extend_from_slice(&[0; 4]);
    slot.extend_from_slice(&generation.to_be_bytes());
    slot.extend_from_slice(&layout.returns.to_be_bytes());
    slot.extend_from_slice(&layout.alerts.to_be_bytes());
    for place in layout.all() {
        let end = ends.get(&place).copied().unwrap_or(End::START);
        slot.extend_from_slice(&end.next.to_be_bytes());
        slot.extend_from_slice(&end.sequence.to_be_bytes());
        slot.extend_from_slice(&end.time_ms.to_be_bytes());
    }
    let crc = crc32fast::hash(&slot[8..]);
    slot[4..8].copy_from_slice(&crc.to_be_bytes());
    slot
}

fn decode(slot: &[u8]) -> Option<(Layout, Ends, u64)> {
    use bytes::Buf as _;
    let mut rest = slot;
    if slot.len() < HEADER || rest.get_u32().to_be_bytes() != MAGIC {
        return None;
    }
    if rest.get_u32() != crc32fast::hash(rest) {
        return None;
    }
    let generation = rest.get_u64();
    let layout = Layout {
        returns: rest.get_u16(),
        alerts: rest.get_u16(),
    };
    let mut ends = Ends::new();
    for place in layout.all() {
        if rest.len() < ENTRY {
            return None;
        }
        let end = End {
            next: rest.get_u64(),
            sequence: rest.get_u64(),
            time_ms: rest.get_i64(),
        };
        ends.insert(place, end);
    }
    Some((layout, ends, generation))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Topic;

    #[test]
    fn the_latest_note_is_read_and_a_torn_one_falls_back_to_the_one_before() {
        let directory = tempfile::tempdir().unwrap();
        let layout = Layout {
            returns: 2,
            alerts: 1,
        };
        assert!(read(directory.path()).is_none());
        let mut mark = Mark::begin(directory.path(), layout, &Ends::new()).unwrap();
        let end = |next| End {
            next,
            sequence: next,
            time_ms: 5,
        };
        for next in 1..5 {
            mark.note(&Ends::from([((Topic::Returns, 1), end(next))]));
            let (held, ends, _) = read(directory.path()).unwrap();
            assert_eq!((held, ends[&(Topic::Returns, 1)]), (layout, end(next)));
        }
        let path = directory.path().join(NAME);
        let whole = std::fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut torn = whole.clone();
            torn[at] ^= 1;
            std::fs::write(&path, torn).unwrap();
            let (_, ends, _) = read(directory.path()).unwrap();
            assert!(
                (3..5).contains(&ends[&(Topic::Returns, 1)].next),
                "byte {at}"
            );
        }
        std::fs::write(&path, &whole[..whole.len() - 1]).unwrap();
        read(directory.path());
    }
}
