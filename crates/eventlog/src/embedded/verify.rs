//! The check of all that is stored, when a log is opened. Reads everything once; changes nothing, repairs nothing.
//!
//! Holds, or the log does not open: every frame reads and its checksum holds; frames are numbered 0, 1, 2 and so on; offsets
//! strictly increase and time never decreases; the last frame is the one the partition's end speaks of; and there is
//! nothing in the store besides; and no partition ends before where it was noted to have ended (`mark.rs`).

use crate::embedded::frame::FrameHeader;
use crate::embedded::keys::End;
use crate::embedded::store::{Store, damaged, stray};
use crate::{Layout, LogError, Position, Record, Topic};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// After how many frames progress is told.
const PROGRESS_FRAMES: u64 = 10_000;

/// Where every partition ends.
pub(crate) type Ends = BTreeMap<(Topic, u16), End>;

/// Checks the whole store, and says where every partition ends.
pub(crate) fn verify(store: &Store, layout: Layout) -> Result<Ends, LogError> {
    // sled panics on some damages instead of answering.
    let verified = catch_unwind(AssertUnwindSafe(|| verify_all(store, layout)));
    verified.unwrap_or_else(|_| {
        let what = "its file store/db does not read (sled panicked)";
        Err(damaged(what, None))
    })
}

/// Refuses a log that ends before where it is noted to have ended: what was acknowledged is gone.
pub(crate) fn reaches(ends: &Ends, noted: &Ends) -> Result<(), LogError> {
    for ((topic, partition), noted) in noted {
        let (topic, partition) = (*topic, *partition);
        let next = ends.get(&(topic, partition)).map_or(0, |end| end.next);
        if next < noted.next {
            let what = format!(
                "its tail is lost: offsets {next} to {} of {topic}/{partition} were acknowledged and are gone",
                noted.next - 1
            );
            let position = Position {
                topic,
                partition,
                offset: next,
            };
            return Err(damaged(what, Some(position)));
        }
    }
    Ok(())
}

fn verify_all(store: &Store, layout: Layout) -> Result<Ends, LogError> {
    if let Some(key) = store.stray_key(layout)? {
        return Err(stray(&key));
    }
    let mut ends = Ends::new();
    for (topic, partition) in layout.all() {
        let end = verify_partition(store, topic, partition)?;
        ends.insert((topic, partition), end);
    }
    let frames: u64 = ends.values().map(|end| end.sequence).sum();
    tracing::info!(frames, "the log is whole");
    Ok(ends)
}

fn verify_partition(store: &Store, topic: Topic, partition: u16) -> Result<End, LogError> {
    let mut end = End::START;
    for frame in store.frames(topic, partition, 0)? {
        let (header, records) = frame?;
        end = follow_on(end, header, &records)?;
        if end.sequence.is_multiple_of(PROGRESS_FRAMES) {
            tracing::info!(%topic, partition, frames = end.sequence, "verifying the log");
        }
    }
    let stored = store.end(topic, partition)?;
    if stored == end {
        return Ok(end);
    }
    let what = format!(
        "the partition should end after {} frames, before offset {}, and ends after {}, before {}",
        stored.sequence, stored.next, end.sequence, end.next
    );
    let position = Position {
        topic,
        partition,
        offset: end.next.min(stored.next),
    };
    Err(damaged(what, Some(position)))
}

/// The end after one more frame, if the frame follows on.
fn follow_on(end: End, frame: FrameHeader, records: &[Record]) -> Result<End, LogError> {
    let here = |what: String| damaged(what, Some(frame.base));
    if frame.sequence != end.sequence {
        return Err(here(format!(
            "frame {} of the partition is missing, frame {} follows",
            end.sequence, frame.sequence
        )));
    }
    if frame.base.offset < end.next {
        return Err(here(format!("a frame begins below offset {}", end.next)));
    }
    if frame.time_ms < end.time_ms {
        return Err(here(format!(
            "a frame is older than the one before, of {}",
            end.time_ms
        )));
    }
    let last = records
        .last()
        .ok_or_else(|| here("a frame is empty".into()))?;
    Ok(End {
        next: last.position.offset + 1,
        sequence: end.sequence + 1,
        time_ms: frame.time_ms,
    })
}
