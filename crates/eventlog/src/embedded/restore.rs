//! Writing a log anew from records that were exported: positions, times and bytes as they were.
//!
//! Here, as in [`append_at`](crate::CopyTarget::append_at), a position is not the log's own choice. So it writes into an empty directory only, and
//! takes nothing that a log could not have held: offsets increase and time does not decrease within a partition. Gaps stay gaps.

use crate::embedded::cutter::Cutter;
use crate::embedded::keys::End;
use crate::embedded::store::{Store, damaged};
use crate::embedded::verify::{Ends, verify};
use crate::types::record::check_size;
use crate::{Cut, EmbeddedConfig, Layout, LogError, Record};
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
        let mut cutter = Cutter::new(self.limits.frames(), &self.ends);
        for record in records {
            let at = record.position;
            self.layout.check(at.topic, at.partition)?;
            check_size(&record.key, &record.payload)?;
            cutter.keep(record).map_err(|error| match error {
                LogError::CopyMismatch { position, .. } => {
                    let what = "a record stands before the one that it follows";
                    damaged(what, Some(position))
                }
                other => other,
            })?;
        }
        let sealed = cutter.finish();
        self.store.persist(sealed.batch)?;
        self.ends.extend(sealed.ends);
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
