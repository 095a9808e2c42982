//! Writing a log anew from records that were exported: positions, times and bytes as they were.
//!
//! The one place where a position is not the log's own choice. So it writes into an empty directory only, and takes nothing that a log could
//! not have held: offsets increase and time does not decrease within a partition. Gaps stay gaps.

use crate::embedded::frame::{FrameBuilder, FrameHeader, RECORD_OVERHEAD};
use crate::embedded::keys::End;
use crate::embedded::store::{Store, damaged, insert_ends, seal};
use crate::embedded::verify::{Ends, verify};
use crate::types::record::check_limits;
use crate::{Cut, EmbeddedConfig, Layout, LogError, NewRecord, Record};
use std::path::Path;

/// A log that is being written anew. Without [`finish`](Restoring::finish) it is of no use.
#[derive(Debug)]
pub struct Restoring {
    store: Store,
    layout: Layout,
    limits: EmbeddedConfig,
    ends: Ends,
}

impl Restoring {
    /// Begins a log in a directory that does not exist or is empty.
    ///
    /// # Errors
    /// [`LogError::InvalidConfig`] for a directory that holds something, and as opening a log.
    pub fn begin(path: &Path, layout: Layout) -> Result<Restoring, LogError> {
        let limits = EmbeddedConfig {
            layout,
            ..EmbeddedConfig::default()
        };
        limits.check()?;
        if std::fs::read_dir(path).is_ok_and(|mut held| held.next().is_some()) {
            let what = "a directory that holds something already".into();
            return Err(LogError::InvalidConfig { what });
        }
        let (store, _) = Store::open(path, layout, limits.cache_bytes)?;
        let ends = layout.all().map(|place| (place, End::START)).collect();
        Ok(Restoring {
            store,
            layout,
            limits,
            ends,
        })
    }

    /// Adds records. They are durable when this returns.
    ///
    /// # Errors
    /// [`LogError::Corrupt`] for records that no log can have held; what was added before stays, and nothing of these.
    pub fn add(&mut self, records: &[Record]) -> Result<(), LogError> {
        let mut batch = sled::Batch::default();
        let mut ends = self.ends.clone();
        let mut open: Option<FrameBuilder> = None;
        for record in records {
            let new = NewRecord {
                key: record.key.clone(),
                payload: record.payload.clone(),
            };
            check_limits(std::slice::from_ref(&new))?;
            let at = record.position;
            self.layout.check(at.topic, at.partition)?;
            let follows = open.as_ref().is_some_and(|frame| {
                let header = frame.header();
                (header.base.topic, header.base.partition, frame.next())
                    == (at.topic, at.partition, at.offset)
                    && header.time_ms == record.time_ms
                    && frame.count() < self.limits.max_frame_records
                    && frame.bytes() + new.size() + RECORD_OVERHEAD <= self.limits.max_frame_bytes
            });
            if !follows {
                if let Some(frame) = open.take() {
                    seal(&mut batch, &mut ends, &frame);
                }
                let end = ends[&(at.topic, at.partition)];
                if at.offset < end.next || record.time_ms < end.time_ms {
                    let what = "a record stands before the one that it follows";
                    return Err(damaged(what, Some(at)));
                }
                open = Some(FrameBuilder::new(FrameHeader {
                    sequence: end.sequence,
                    base: at,
                    time_ms: record.time_ms,
                }));
            }
            if let Some(frame) = &mut open {
                frame.push(&new);
            }
        }
        if let Some(frame) = open {
            seal(&mut batch, &mut ends, &frame);
        }
        insert_ends(&mut batch, &ends);
        self.store.persist(batch)?;
        self.ends = ends;
        Ok(())
    }

    /// Verifies what was written, and closes it. Says where it ends.
    ///
    /// # Errors
    /// As opening a log.
    pub fn finish(self) -> Result<Cut, LogError> {
        let ends = verify(&self.store, self.layout)?;
        Ok(ends
            .into_iter()
            .map(|(place, end)| (place, end.next))
            .collect())
    }
}
