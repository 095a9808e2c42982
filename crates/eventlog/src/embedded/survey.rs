//! What a damaged log still holds, and what it has lost. Reads; changes nothing: sled, which repairs what it opens, gets a copy.
//!
//! Frames are looked for twice. The store is asked for all of them, as far as it can be read. And its file is searched for what looks like a
//! frame and whose checksum holds: a frame that fits one stored piece stands there in one, wherever sled has put it and whatever has become
//! of sled's own marks. A frame that only the search has found counts when it is the only one of its number, when that number was
//! acknowledged, and when its offsets fit between its neighbours. A record is told only from a frame whose checksum holds.
//!
//! What is left to trust: a frame that was written and never acknowledged, because the process died in that very moment, could stand for the
//! acknowledged one of the same number if that one is damaged beyond finding. Both were sent by somebody who was let in.

use crate::embedded::frame::{self, FrameHeader};
use crate::embedded::keys::End;
use crate::embedded::mark;
use crate::embedded::store::{
    DATA, SEGMENT_BYTES, Store, damaged, failed, holds_data, lock, refuse_without_room,
};
use crate::embedded::verify::Ends;
use crate::{Cut, Layout, LogError, Record, Topic};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// How much of the file is searched at a time.
const WINDOW: usize = 8 * 1024 * 1024;

/// Acknowledged records that can't be read any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Topic.
    pub topic: Topic,
    /// Partition.
    pub partition: u16,
    /// The first offset that is lost.
    pub from: u64,
    /// The first one after it that is whole, or the end of the partition.
    pub until: u64,
    /// What is known of why.
    pub why: String,
}

/// What there is of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survey {
    /// Partitions per topic.
    pub layout: Layout,
    /// Where the log should end, by the best of its notes.
    pub cut: Cut,
    /// Records that are whole.
    pub records: u64,
    /// What is not. Empty: nothing is missing that the notes speak of.
    pub lost: Vec<Lost>,
    /// What is wrong besides, in words.
    pub remarks: Vec<String>,
}

/// Looks at everything in the directory of a log that nobody has open. `each` gets all whole records, partition by partition in order.
///
/// Needs as much free room beside the directory as the log takes, for a copy that is removed again.
///
/// # Errors
/// [`LogError::AlreadyOpen`]; [`LogError::Corrupt`] when not even the layout can be told; [`LogError::Io`]; and what `each` answers.
pub fn survey(
    directory: &Path,
    mut each: impl FnMut(Vec<Record>) -> Result<(), LogError>,
) -> Result<Survey, LogError> {
    let _lock = lock(directory)?;
    let noted = mark::read(directory);
    if !holds_data(directory) {
        return nothing_left(directory, noted);
    }
    let file = File::open(directory.join(DATA)).map_err(|e| failed("open its data", &e))?;
    let length = file.metadata().map_err(|e| failed("open its data", &e))?;
    // Opening the copy fills its last segment up.
    let needed = length.len().next_multiple_of(SEGMENT_BYTES as u64);
    refuse_without_room(directory, needed, "for a copy of its store, in its folder")?;
    let found = search(&file).map_err(|e| failed("search its data", &e))?;
    let copy = directory.join("survey");
    let _ = std::fs::remove_dir_all(&copy);
    if let Err(error) = copy_folder(&directory.join("store"), &copy.join("store")) {
        let _ = std::fs::remove_dir_all(&copy);
        return Err(failed("copy its store", &error));
    }
    let asked = catch_unwind(AssertUnwindSafe(|| ask(&copy, noted.as_ref().map(|n| n.0))));
    let surveyed = match asked {
        Ok(Ok((store, layout))) => {
            let notes = Notes {
                layout,
                marked: noted.map(|(_, ends, _)| ends),
            };
            gather(Some(&store), &notes, &file, &found, &mut each)
        }
        other => {
            let why = match other {
                // Without the remedy, which is to do what is being done.
                Ok(Err(LogError::Corrupt { what, .. })) => what,
                Ok(Err(error)) => error.to_string(),
                _ => "sled panicked".to_owned(),
            };
            match noted {
                None => Err(damaged(
                    format!(
                        "the store does not open ({why}), and no note says how it was laid out"
                    ),
                    None,
                )),
                Some((layout, ends, _)) => {
                    let notes = Notes {
                        layout,
                        marked: Some(ends),
                    };
                    gather(None, &notes, &file, &found, &mut each).map(|mut survey| {
                        survey
                            .remarks
                            .push(format!("the store does not open: {why}"));
                        survey
                    })
                }
            }
        }
    };
    let _ = std::fs::remove_dir_all(&copy);
    surveyed
}

/// The data is gone as a whole: all that is left to say is what it was.
fn nothing_left(directory: &Path, noted: Option<(Layout, Ends, u64)>) -> Result<Survey, LogError> {
    let gone = format!(
        "{} is missing or empty: nothing can be saved of this log; put the file back, or `qipp restore` a back-up into another folder",
        directory.join(DATA).display()
    );
    let Some((layout, ends, _)) = noted else {
        return Err(damaged(format!("{gone}; no note says what it held"), None));
    };
    let mut cut = Cut::new();
    let mut lost = Vec::new();
    for ((topic, partition), end) in ends.into_iter().filter(|(_, end)| end.next > 0) {
        cut.advance_to(topic, partition, end.next);
        lost.push(Lost {
            topic,
            partition,
            from: 0,
            until: end.next,
            why: "the file that held it is missing".to_owned(),
        });
    }
    Ok(Survey {
        layout,
        cut,
        records: 0,
        lost,
        remarks: vec![gone],
    })
}

/// Copies a folder with everything below it.
pub(crate) fn copy_folder(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// Opens the copy of the store, under the layout that it has.
fn ask(copy: &Path, noted: Option<Layout>) -> Result<(Store, Layout), LogError> {
    let layout = noted.unwrap_or_default();
    match Store::open(copy, layout, 1 << 26) {
        Ok((store, _)) => Ok((store, layout)),
        Err(LogError::LayoutMismatch { stored, .. }) => {
            Store::open(copy, stored, 1 << 26).map(|(store, _)| (store, stored))
        }
        Err(error) => Err(error),
    }
}

/// Where a frame stands in the file.
#[derive(Clone, Copy, Debug)]
struct Found {
    at: u64,
    length: usize,
    header: FrameHeader,
    next: u64,
    crc: u32,
}

/// By partition and number: usually one, several when sled has moved it, and unequal ones only after a crash.
type Index = BTreeMap<(Topic, u16, u64), Vec<Found>>;

/// Searches the file for frames.
fn search(file: &File) -> std::io::Result<Index> {
    let length = file.metadata()?.len();
    let mut index = Index::new();
    let mut window = vec![0; WINDOW];
    let mut at = 0;
    while at < length {
        let held = read_at_most(file, &mut window, at)?;
        let bytes = &window[..held];
        for start in
            (0..held.saturating_sub(3)).filter(|start| bytes[*start..].starts_with(b"QLOG"))
        {
            let place = at + start as u64;
            if let Some(found) = frame_at(file, place)? {
                let (topic, partition) = (found.header.base.topic, found.header.base.partition);
                let same = index
                    .entry((topic, partition, found.header.sequence))
                    .or_default();
                if same.iter().all(|known| known.crc != found.crc) {
                    same.push(found);
                }
            }
        }
        // The last bytes again, for a mark that the window has cut in two.
        at += (held.saturating_sub(3).max(1)) as u64;
    }
    Ok(index)
}

fn read_at_most(file: &File, into: &mut [u8], at: u64) -> std::io::Result<usize> {
    let mut held = 0;
    while held < into.len() {
        match file.read_at(&mut into[held..], at + held as u64)? {
            0 => break,
            some => held += some,
        }
    }
    Ok(held)
}

fn frame_at(file: &File, at: u64) -> std::io::Result<Option<Found>> {
    let mut start = [0; 45];
    if read_at_most(file, &mut start, at)? < start.len() {
        return Ok(None);
    }
    let Ok(length) = frame::length(&start) else {
        return Ok(None);
    };
    Ok(
        read_frame(file, at, length)?.map(|(header, records, crc)| Found {
            at,
            length,
            header,
            next: records
                .last()
                .map_or(0, |record| record.position.offset + 1),
            crc,
        }),
    )
}

fn read_frame(
    file: &File,
    at: u64,
    length: usize,
) -> std::io::Result<Option<(FrameHeader, Vec<Record>, u32)>> {
    let mut bytes = vec![0; length];
    if read_at_most(file, &mut bytes, at)? < length {
        return Ok(None);
    }
    let crc = crc32fast::hash(&bytes);
    let decoded = frame::decode(&Bytes::from(bytes)).ok();
    Ok(decoded.map(|(header, records)| (header, records, crc)))
}

struct Notes {
    layout: Layout,
    marked: Option<Ends>,
}

fn gather(
    store: Option<&Store>,
    notes: &Notes,
    file: &File,
    found: &Index,
    each: &mut dyn FnMut(Vec<Record>) -> Result<(), LogError>,
) -> Result<Survey, LogError> {
    let mut survey = Survey {
        layout: notes.layout,
        cut: Cut::new(),
        records: 0,
        lost: Vec::new(),
        remarks: Vec::new(),
    };
    for (topic, partition) in notes.layout.all() {
        let marked = notes.marked.as_ref();
        let marked = marked.and_then(|ends| ends.get(&(topic, partition)).copied());
        let mut lane = Lane {
            place: (topic, partition),
            end: marked.unwrap_or(End::START),
            stored: BTreeMap::new(),
            why: None,
        };
        if let Some(store) = store {
            lane.ask(store);
        }
        lane.tell(store, file, found, &mut survey, each)?;
    }
    Ok(survey)
}

/// One partition.
struct Lane {
    place: (Topic, u16),
    /// Where it should end.
    end: End,
    /// The first offset, and the one after the last, of each frame that the store gives.
    stored: BTreeMap<u64, (u64, u64)>,
    why: Option<String>,
}

impl Lane {
    /// Reads all frames of the store that can be read.
    fn ask(&mut self, store: &Store) {
        let (topic, partition) = self.place;
        let asked = catch_unwind(AssertUnwindSafe(|| {
            if let Ok(end) = store.end(topic, partition)
                && end.sequence > self.end.sequence
            {
                self.end = end;
            }
            let frames = match store.frames(topic, partition, 0) {
                Ok(frames) => frames,
                Err(error) => return self.why = Some(error.to_string()),
            };
            for frame in frames {
                match frame {
                    Ok((header, records)) => {
                        let next = records.last().map_or(0, |last| last.position.offset + 1);
                        self.stored
                            .insert(header.sequence, (header.base.offset, next));
                        if header.sequence >= self.end.sequence {
                            self.end = End {
                                next,
                                sequence: header.sequence + 1,
                                time_ms: header.time_ms,
                            };
                        }
                    }
                    Err(error) => {
                        // Our own checks leave the rest readable; what sled can't read ends it.
                        let ours = matches!(
                            error,
                            LogError::Corrupt {
                                position: Some(_),
                                ..
                            }
                        );
                        self.why = Some(error.to_string());
                        if !ours {
                            return;
                        }
                    }
                }
            }
        }));
        if asked.is_err() {
            self.why = Some("sled panicked while reading".to_owned());
        }
    }

    /// Gives what is whole, in order, and says what is not.
    fn tell(
        &self,
        store: Option<&Store>,
        file: &File,
        found: &Index,
        survey: &mut Survey,
        each: &mut dyn FnMut(Vec<Record>) -> Result<(), LogError>,
    ) -> Result<(), LogError> {
        let (topic, partition) = self.place;
        survey.cut.advance_to(topic, partition, self.end.next);
        let mut next = 0;
        let mut missing: Option<u64> = None;
        for sequence in 0..self.end.sequence {
            let records = match self.stored.get(&sequence) {
                Some((first, _)) => self.read_from_store(store, sequence, *first),
                None => self.read_from_file(file, found, sequence, next)?,
            };
            let whole = records.filter(|records| {
                records
                    .first()
                    .is_some_and(|record| record.position.offset >= next)
            });
            let Some(records) = whole else {
                missing.get_or_insert(next);
                continue;
            };
            let first = records
                .first()
                .map_or(next, |record| record.position.offset);
            if let Some(from) = missing.take() {
                self.lose(survey, from, first);
            }
            next = records
                .last()
                .map_or(next, |record| record.position.offset + 1);
            survey.records += records.len() as u64;
            each(records)?;
        }
        if let Some(from) = missing {
            self.lose(survey, from, self.end.next);
        }
        Ok(())
    }

    fn lose(&self, survey: &mut Survey, from: u64, until: u64) {
        let (topic, partition) = self.place;
        let why = self.why.clone();
        survey.lost.push(Lost {
            topic,
            partition,
            from,
            until,
            why: why.unwrap_or_else(|| "its frames are not in the store".to_owned()),
        });
    }

    fn read_from_store(
        &self,
        store: Option<&Store>,
        sequence: u64,
        first: u64,
    ) -> Option<Vec<Record>> {
        let (topic, partition) = self.place;
        let store = store?;
        catch_unwind(AssertUnwindSafe(|| {
            let frame = store.frames(topic, partition, first).ok()?.next()?.ok()?;
            (frame.0.sequence == sequence).then_some(frame.1)
        }))
        .ok()
        .flatten()
    }

    fn read_from_file(
        &self,
        file: &File,
        found: &Index,
        sequence: u64,
        next: u64,
    ) -> Result<Option<Vec<Record>>, LogError> {
        let (topic, partition) = self.place;
        let Some([only]) = found.get(&(topic, partition, sequence)).map(Vec::as_slice) else {
            return Ok(None);
        };
        // The frame that follows, where the store has it, must begin behind this one.
        let after = self
            .stored
            .range(sequence..)
            .next()
            .map_or(self.end.next, |(_, (first, _))| *first);
        if only.header.base.offset < next || only.next > after {
            return Ok(None);
        }
        let read =
            read_frame(file, only.at, only.length).map_err(|e| failed("read its data", &e))?;
        Ok(read.map(|(_, records, _)| records))
    }
}
