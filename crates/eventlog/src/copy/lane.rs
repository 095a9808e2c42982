//! One partition of a copy: compared with what the source has, and filled with the rest.

use super::progress::Progress;
use super::{CopyError, CopyTarget, page};
use crate::{
    Cut, EventLog, LogError, MAX_APPEND_BYTES, MAX_APPEND_RECORDS, Position, Record, Topic,
};
use futures::StreamExt;
use std::collections::VecDeque;
use tokio::sync::watch;

/// A partition of the target.
#[derive(Debug)]
pub(super) struct Lane<'a> {
    target: &'a dyn CopyTarget,
    progress: &'a Progress,
    place: (Topic, u16),
    /// Where it ended when the copy began.
    held: u64,
    /// From here on it is to be filled.
    next: u64,
    /// Records of it that are compared next, and from where to read more.
    page: VecDeque<Record>,
    unread: u64,
}

impl<'a> Lane<'a> {
    pub(super) fn new(
        target: &'a dyn CopyTarget,
        progress: &'a Progress,
        place: (Topic, u16),
        held: u64,
    ) -> Lane<'a> {
        Lane {
            target,
            progress,
            place,
            held,
            next: held,
            page: VecDeque::new(),
            unread: 0,
        }
    }

    /// How many offsets are to be filled up to the cut.
    pub(super) fn missing(&self, cut: &Cut) -> u64 {
        cut.next(self.place.0, self.place.1)
            .saturating_sub(self.next)
    }

    /// Compares all that it holds with a source that goes to this cut.
    pub(super) async fn compare_with(
        &mut self,
        source: &dyn EventLog,
        cut: &Cut,
    ) -> Result<(), CopyError> {
        let until = self.held.min(cut.next(self.place.0, self.place.1));
        let mut from = 0;
        loop {
            let records = page(source, self.place, from, until).await;
            let records = records.map_err(CopyError::Source)?;
            let Some(last) = records.last() else { break };
            from = last.position.offset + 1;
            self.compare(&records).await?;
        }
        self.compared(cut).await?;
        self.progress.partition_done();
        Ok(())
    }

    /// Compares those of these records that lie below what it held.
    pub(super) async fn compare(&mut self, records: &[Record]) -> Result<(), CopyError> {
        let below = records.partition_point(|record| record.position.offset < self.held);
        for record in &records[..below] {
            let held = self.held_next().await?;
            if held.as_ref() != Some(record) {
                return Err(differs(record, held.as_ref()));
            }
        }
        self.progress.found(below as u64);
        Ok(())
    }

    /// There is nothing left of it that the source, which goes to this cut, does not have.
    pub(super) async fn compared(&mut self, cut: &Cut) -> Result<(), CopyError> {
        let Some(Record { position, .. }) = self.held_next().await? else {
            return Ok(());
        };
        Err(if cut.covers(position) {
            CopyError::TargetDiffers {
                position,
                what: "it has a record there, and the source has none",
            }
        } else {
            CopyError::TargetBeyond { position }
        })
    }

    /// The next record that it held.
    async fn held_next(&mut self) -> Result<Option<Record>, CopyError> {
        if self.page.is_empty() {
            let target: &dyn EventLog = self.target;
            let records = page(target, self.place, self.unread, self.held).await;
            self.page = records.map_err(CopyError::Target)?.into();
            if let Some(last) = self.page.back() {
                self.unread = last.position.offset + 1;
            }
        }
        Ok(self.page.pop_front())
    }

    /// Copies from the source what is missing up to the cut.
    pub(super) async fn fill(&mut self, source: &dyn EventLog, cut: &Cut) -> Result<(), CopyError> {
        let until = cut.next(self.place.0, self.place.1);
        loop {
            let records = page(source, self.place, self.next, until).await;
            let records = records.map_err(CopyError::Source)?;
            if records.is_empty() {
                break;
            }
            self.append(records).await?;
        }
        self.progress.partition_done();
        Ok(())
    }

    /// Copies what arrives, until it is told to stop.
    pub(super) async fn follow(
        &mut self,
        source: &dyn EventLog,
        mut stop: watch::Receiver<bool>,
    ) -> Result<(), CopyError> {
        let mut tail = source.tail(self.place.0, self.place.1, self.next);
        loop {
            let batch = tokio::select! {
                biased;
                // A sender that is gone can't say it any more.
                _ = stop.wait_for(|stopped| *stopped) => return Ok(()),
                batch = tail.next() => batch,
            };
            let records = batch.unwrap_or(Err(LogError::Closed));
            self.append(records.map_err(CopyError::Source)?).await?;
        }
    }

    /// Appends those of these records that it does not have, in parts that the log takes at once.
    pub(super) async fn append(&mut self, records: Vec<Record>) -> Result<(), CopyError> {
        let mut part: Vec<Record> = Vec::new();
        let mut bytes = 0;
        for record in records {
            if record.position.offset < self.next {
                continue;
            }
            if part.len() == MAX_APPEND_RECORDS || bytes + record.size() > MAX_APPEND_BYTES {
                self.append_part(std::mem::take(&mut part), bytes).await?;
                bytes = 0;
            }
            bytes += record.size();
            part.push(record);
        }
        self.append_part(part, bytes).await
    }

    async fn append_part(&mut self, part: Vec<Record>, bytes: usize) -> Result<(), CopyError> {
        let Some(last) = part.last() else {
            return Ok(());
        };
        let (next, count) = (last.position.offset + 1, part.len() as u64);
        let (topic, partition) = self.place;
        let appended = self.target.append_at(topic, partition, part).await;
        appended.map_err(CopyError::Target)?;
        self.next = next;
        self.progress.copied(count, bytes as u64);
        Ok(())
    }
}

/// In what two records differ that should be the same.
fn differs(source: &Record, held: Option<&Record>) -> CopyError {
    let Some(held) = held else {
        return CopyError::TargetDiffers {
            position: source.position,
            what: "it has no record there, and the source has one",
        };
    };
    let (ours, theirs) = (source.position.offset, held.position.offset);
    let what = match ours.cmp(&theirs) {
        std::cmp::Ordering::Less => "it has no record there, and the source has one",
        std::cmp::Ordering::Greater => "it has a record there, and the source has none",
        std::cmp::Ordering::Equal if source.key != held.key => "another key",
        std::cmp::Ordering::Equal if source.payload != held.payload => "another payload",
        std::cmp::Ordering::Equal => "another time",
    };
    let position = Position {
        offset: ours.min(theirs),
        ..source.position
    };
    CopyError::TargetDiffers { position, what }
}
