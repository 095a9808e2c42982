//! Moving house: the records of one log into another one, each where and when it stands, and the proof that both logs are equal.
//!
//! ```text
//!             held by the target       cut: where the source ended
//!   source    ───────────┬─────────────┬────▶ what comes later
//!              1 compare │  2 copy     │ 3 follow, until told to stop
//!   target    ───────────┘─────────────▶
//!             └──── 4 prove ───────────┘
//! ```
//!
//! 1. What the target has already must be what the source has there, byte for byte. So a copy that was broken off is simply begun again, and a
//!    wrong target is refused before anything is written to it.
//! 2. The rest up to where the source ended when the copy began, several partitions at a time.
//! 3. If it is wanted, what arrives meanwhile.
//! 4. Both logs are read again, and their digests compared.
//!
//! A log that is open elsewhere can't be read from here, but its house streams it: [`Copying`] takes what is streamed. It never looks into a
//! payload, and never changes a source.

mod digest;
mod lane;
mod progress;

pub use digest::{Digesting, LogDigest};
pub use progress::{Done, Progress, Stage};

use crate::{Cut, EventLog, Layout, LogError, Position, Record, Topic};
use async_trait::async_trait;
use futures::{FutureExt, StreamExt, TryStreamExt};
use lane::Lane;
use std::collections::BTreeMap;
use tokio::sync::watch;

/// The most records that are read at a time; a read is bounded in bytes by itself.
const PAGE_RECORDS: usize = 10_000;

/// A log that takes records where and when they stand in another log.
#[async_trait]
pub trait CopyTarget: EventLog {
    /// Appends records of one partition, which keep their offsets and times. They are durable when this returns.
    ///
    /// The first has the next offset of the partition, or a later one where the storage can have gaps (the embedded log and the log in
    /// memory can, Kafka can't). Nobody else may write to the partition meanwhile. Limits are those of [`append`](EventLog::append).
    ///
    /// # Errors
    /// [`LogError::CopyMismatch`] for a record that can't have its place or time here; nothing was appended. Others as
    /// [`append`](EventLog::append) has.
    async fn append_at(
        &self,
        topic: Topic,
        partition: u16,
        records: Vec<Record>,
    ) -> Result<(), LogError>;
}

/// How far a copy goes.
#[derive(Clone, Debug, Default)]
pub enum Until {
    /// To where the source ends when the copy begins.
    #[default]
    Head,
    /// To where the source ends when this becomes true or its sender is gone.
    Stopped(watch::Receiver<bool>),
}

/// What can be chosen.
#[derive(Clone, Debug)]
pub struct CopyOptions {
    /// Partitions that are worked on at a time, at least 1 (default 4). Each takes up to two pages of a read, a few MiB.
    pub partitions_at_once: usize,
    /// How far it goes (default: [`Until::Head`]).
    pub until: Until,
}

impl Default for CopyOptions {
    fn default() -> CopyOptions {
        CopyOptions {
            partitions_at_once: 4,
            until: Until::Head,
        }
    }
}

/// What a copy did. That it is there says that both logs are equal up to the cut, and that the target has nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copied {
    /// How far both logs are equal.
    pub cut: Cut,
    /// Records that were copied this time.
    pub copied: u64,
    /// Bytes of their keys and payloads.
    pub bytes: u64,
    /// Records that were there already, and were compared.
    pub found: u64,
    /// The digest of both.
    pub digest: LogDigest,
}

/// Why there is no whole copy. What was copied stays; begun again, it goes on from there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CopyError {
    /// The source could not be read.
    #[error("the source: {0}")]
    Source(LogError),
    /// The target could not be read or written.
    #[error("the target: {0}")]
    Target(LogError),
    /// The two have other numbers of partitions.
    #[error(
        "the source has {source_layout} partitions and the target {target_layout}: name a target that is new, or make it with the layout of the source, because keys are spread by it"
    )]
    LayoutsDiffer {
        /// Of the source.
        source_layout: Layout,
        /// Of the target.
        target_layout: Layout,
    },
    /// The target is no beginning of the source.
    #[error(
        "the target differs from the source at {position}: {what}. It is not a copy of this source, or somebody has written to it since: name a target that is new or empty"
    )]
    TargetDiffers {
        /// The first place of its partition where they differ.
        position: Position,
        /// In what.
        what: &'static str,
    },
    /// The target goes beyond the source.
    #[error(
        "the target goes beyond the source: it has a record at {position}, where the source has ended. If a service has written to the target since, it has the newer log: copy the other way round, or name a new target"
    )]
    TargetBeyond {
        /// The first such record of its partition, or where it stands at the earliest.
        position: Position,
    },
    /// Everything was copied, and the digests are not equal.
    #[error(
        "the digests differ: {source_digest} of the source, {target_digest} of the target. Don't use the target; `qipp log check` says whether a log is damaged"
    )]
    DigestsDiffer {
        /// Of the source.
        source_digest: LogDigest,
        /// Of the target.
        target_digest: LogDigest,
    },
}

impl CopyError {
    /// A short name that never changes; of a log's own error, the log's.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            CopyError::Source(error) | CopyError::Target(error) => error.code(),
            CopyError::LayoutsDiffer { .. } => "COPY_LAYOUTS_DIFFER",
            CopyError::TargetDiffers { .. } => "COPY_TARGET_DIFFERS",
            CopyError::TargetBeyond { .. } => "COPY_TARGET_BEYOND",
            CopyError::DigestsDiffer { .. } => "COPY_DIGESTS_DIFFER",
        }
    }
}

/// Copies a log into another one, as the module says.
///
/// The source may be written to meanwhile; the target must not. The future may be dropped at any time. Whether it failed or was dropped: close the
/// target before copying again, because appends that were under way may still be written.
///
/// # Errors
/// [`CopyError`]; what was copied until then stays.
pub async fn copy(
    source: &dyn EventLog,
    target: &dyn CopyTarget,
    options: &CopyOptions,
    progress: &Progress,
) -> Result<Copied, CopyError> {
    let at_once = options.partitions_at_once;
    let mut copying = Copying::begin(source.layout(), target, progress).await?;
    let mut cut = source.find_head().await.map_err(CopyError::Source)?;
    progress.begin(Stage::Comparing, total(copying.held()));
    let lanes = copying.lanes.values_mut();
    all(at_once, lanes.map(|lane| lane.compare_with(source, &cut))).await?;
    copying.fill(source, &cut, at_once).await?;
    if let Until::Stopped(stop) = &options.until {
        progress.begin(Stage::Following, 0);
        // All at once, because each waits for what arrives.
        let lanes = copying.lanes.values_mut();
        let following = lanes.map(|lane| lane.follow(source, stop.clone()));
        all(usize::MAX, following).await?;
        cut = source.find_head().await.map_err(CopyError::Source)?;
        copying.fill(source, &cut, at_once).await?;
    }
    progress.begin(Stage::Proving, 2 * total(&cut));
    let digest = digest::of(source, &cut, at_once, progress);
    let digest = digest.await.map_err(CopyError::Source)?;
    copying.prove(cut, digest, at_once).await
}

/// A copy of which the records of the source are handed in, partition by partition in order, as a house streams them.
///
/// First, up to what the target [holds](Copying::held), to [`compare`](Copying::compare); then from the beginning, or from what it holds on, to
/// [`append`](Copying::append).
#[derive(Debug)]
pub struct Copying<'a> {
    target: &'a dyn CopyTarget,
    progress: &'a Progress,
    held: Cut,
    lanes: BTreeMap<(Topic, u16), Lane<'a>>,
}

impl<'a> Copying<'a> {
    /// Begins with what the target holds now. Writes nothing.
    ///
    /// # Errors
    /// [`CopyError::LayoutsDiffer`], [`CopyError::Target`].
    pub async fn begin(
        source_layout: Layout,
        target: &'a dyn CopyTarget,
        progress: &'a Progress,
    ) -> Result<Copying<'a>, CopyError> {
        let target_layout = target.layout();
        if source_layout != target_layout {
            return Err(CopyError::LayoutsDiffer {
                source_layout,
                target_layout,
            });
        }
        let held = target.find_head().await.map_err(CopyError::Target)?;
        let lane = |(topic, partition)| {
            let held = held.next(topic, partition);
            let lane = Lane::new(target, progress, (topic, partition), held);
            ((topic, partition), lane)
        };
        let lanes = source_layout.all().map(lane).collect();
        Ok(Copying {
            target,
            progress,
            held,
            lanes,
        })
    }

    /// What the target held when the copy began.
    #[must_use]
    pub const fn held(&self) -> &Cut {
        &self.held
    }

    /// Compares records of one partition with what the target holds; of what lies beyond that, nothing.
    ///
    /// # Errors
    /// [`CopyError::TargetDiffers`], [`CopyError::Target`].
    pub async fn compare(&mut self, records: &[Record]) -> Result<(), CopyError> {
        match self.lane(records)? {
            Some(lane) => lane.compare(records).await,
            None => Ok(()),
        }
    }

    /// Says that no more is to be compared of a source that goes to this cut.
    ///
    /// # Errors
    /// [`CopyError::TargetDiffers`] and [`CopyError::TargetBeyond`] when the target holds more; [`CopyError::Target`].
    pub async fn compared(&mut self, source: &Cut) -> Result<(), CopyError> {
        for lane in self.lanes.values_mut() {
            lane.compared(source).await?;
        }
        Ok(())
    }

    /// Appends records of one partition, leaving out what the target has.
    ///
    /// # Errors
    /// [`CopyError::Target`].
    pub async fn append(&mut self, records: Vec<Record>) -> Result<(), CopyError> {
        match self.lane(&records)? {
            Some(lane) => lane.append(records).await,
            None => Ok(()),
        }
    }

    /// Reads the target again up to the cut, and compares its digest with that of the source. Beyond the cut the target must have nothing.
    ///
    /// # Errors
    /// [`CopyError::DigestsDiffer`], [`CopyError::TargetBeyond`], [`CopyError::Target`].
    pub async fn prove(
        &self,
        cut: Cut,
        source_digest: LogDigest,
        partitions_at_once: usize,
    ) -> Result<Copied, CopyError> {
        let target: &dyn EventLog = self.target;
        let target_digest = digest::of(target, &cut, partitions_at_once, self.progress);
        let target_digest = target_digest.await.map_err(CopyError::Target)?;
        if source_digest != target_digest {
            return Err(CopyError::DigestsDiffer {
                source_digest,
                target_digest,
            });
        }
        let head = target.find_head().await.map_err(CopyError::Target)?;
        let beyond = head
            .iter()
            .find(|((topic, partition), next)| *next > cut.next(*topic, *partition));
        if let Some(((topic, partition), _)) = beyond {
            let offset = cut.next(topic, partition);
            let position = Position {
                topic,
                partition,
                offset,
            };
            return Err(CopyError::TargetBeyond { position });
        }
        let Done {
            copied,
            bytes,
            found,
            ..
        } = self.progress.done();
        Ok(Copied {
            cut,
            copied,
            bytes,
            found,
            digest: source_digest,
        })
    }

    /// Copies from a source what is missing up to the cut.
    async fn fill(
        &mut self,
        source: &dyn EventLog,
        cut: &Cut,
        at_once: usize,
    ) -> Result<(), CopyError> {
        let missing = self.lanes.values().map(|lane| lane.missing(cut)).sum();
        self.progress.begin(Stage::Copying, missing);
        let lanes = self.lanes.values_mut();
        all(at_once, lanes.map(|lane| lane.fill(source, cut))).await
    }

    /// The partition that these records are of.
    fn lane(&mut self, records: &[Record]) -> Result<Option<&mut Lane<'a>>, CopyError> {
        let Some(Record { position, .. }) = records.first() else {
            return Ok(None);
        };
        let place = (position.topic, position.partition);
        let known = self.target.layout().check(place.0, place.1);
        known.map_err(CopyError::Source)?;
        Ok(self.lanes.get_mut(&place))
    }
}

/// How many offsets lie below a cut: of records there are as many at most.
fn total(cut: &Cut) -> u64 {
    cut.iter().map(|(_, next)| next).sum()
}

/// Does so many at a time, to the first error.
async fn all<'a, Work>(at_once: usize, work: impl Iterator<Item = Work>) -> Result<(), CopyError>
where
    Work: Future<Output = Result<(), CopyError>> + Send + 'a,
{
    let work: Vec<_> = work.map(FutureExt::boxed).collect();
    let at_once = at_once.clamp(1, work.len().max(1));
    let running = futures::stream::iter(work).buffer_unordered(at_once);
    running.try_for_each(|()| std::future::ready(Ok(()))).await
}

/// Records of one partition from an offset on, below another one that the log has reached. Empty when there are none.
async fn page(
    log: &dyn EventLog,
    (topic, partition): (Topic, u16),
    from: u64,
    until: u64,
) -> Result<Vec<Record>, LogError> {
    if from >= until {
        return Ok(Vec::new());
    }
    let mut records = log.read(topic, partition, from, PAGE_RECORDS).await?;
    if records.is_empty() {
        // Below `until` there is a record, so this process has not heard of it yet. A tail waits for it.
        let arrived = log.tail(topic, partition, from).next().await;
        records = arrived.unwrap_or(Err(LogError::Closed))?;
    }
    records.retain(|record| record.position.offset < until);
    Ok(records)
}
