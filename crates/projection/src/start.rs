//! Opening a store, and judging what it holds against the log.
//!
//! A checkpoint counts only if the log holds everything that it covers: the log decides, a checkpoint only saves time. Nothing
//! here writes a checkpoint.

use std::path::PathBuf;
use std::time::Duration;

use futures::StreamExt;
use qipp_domain::Cut;
use qipp_eventlog::{EventLog, LogError, Record};

use crate::checkpoint::Damage;
use crate::error::ProjectionError;
use crate::follower::FollowerConfig;
use crate::follower::StoreConfig;
use crate::lane::{domain_cut, place_of};
use crate::saver::Saver;
use crate::share::Share;
use crate::snapshot::Snapshots;
use crate::state::{Anchor, Decoder, Prepared, State};
use crate::store::{self, Claim, Store};

/// How long a record may take to arrive that the storage has and this process has not seen.
const ARRIVAL: Duration = Duration::from_secs(30);
/// Records that are looked up at a time.
const AT_ONCE: usize = 16;

/// The state to go on from, and what saves it; nothing does when nothing is to be kept.
pub(crate) async fn open(
    log: &dyn EventLog,
    config: &FollowerConfig,
) -> Result<(State, Option<Saver>), ProjectionError> {
    let (store, mut state) = match &config.store {
        StoreConfig::Memory => (None, State::of(config.share)),
        StoreConfig::Directory(path) => {
            let (store, state) = own(log, path.clone(), config.share).await?;
            (Some(store), state)
        }
    };
    let covered = state.records;
    let held: u64 = domain_cut(&log.head()).iter().map(|(_, next)| next).sum();
    if state.records == 0
        && held > 0
        && let Some(snapshots) = &config.snapshots
    {
        state = restored(log, &**snapshots, config.share).await;
    }
    if state.records == 0 && held > 0 && store.is_some() {
        tracing::warn!(
            records = held,
            "there is no checkpoint of the projection: it is built again from the whole log"
        );
    }
    if heals(log, &state, config.decode).await? {
        tracing::info!(
            "a parked record can be read now: the log is folded again from its beginning"
        );
        // The store is sound, only outdated: the next checkpoint takes its place.
        state = State::of(config.share);
    }
    let saver = store.map(|store| {
        let mut saver = Saver::new(store, covered, config.checkpoint_every_records);
        // What came from elsewhere is to be here at the next start.
        saver.note(state.records.saturating_sub(covered));
        saver
    });
    Ok((state, saver))
}

/// The checkpoint that is kept here. One that the log contradicts is moved aside.
async fn own(
    log: &dyn EventLog,
    path: PathBuf,
    share: Share,
) -> Result<(Store, State), ProjectionError> {
    let (store, state) = open_store(path).await?;
    if state.share != share {
        if state.records > 0 {
            tracing::warn!(
                checkpoint = %state.share, wanted = %share,
                "the checkpoint is of another share of the log: it is not taken, and the next one takes its place"
            );
        }
        return Ok((store, State::of(share)));
    }
    let head = domain_cut(&log.head());
    match contradiction(log, &head, &state).await? {
        None => Ok((store, state)),
        Some(damage) => {
            let store = blocking(move || store.start_over(&damage)).await?;
            Ok((store, State::of(share)))
        }
    }
}

/// A checkpoint that somebody else made of this log; a state without records, with a warning, when there is none.
async fn restored(log: &dyn EventLog, snapshots: &dyn Snapshots, share: Share) -> State {
    match taken(log, snapshots, share).await {
        Ok(Some(state)) => {
            tracing::info!(
                records = state.records,
                "the projection goes on from a snapshot"
            );
            state
        }
        Ok(None) => {
            tracing::warn!("there is no snapshot of the projection");
            State::of(share)
        }
        Err(why) => {
            tracing::warn!(why, "the snapshot of the projection cannot be used");
            State::of(share)
        }
    }
}

async fn taken(
    log: &dyn EventLog,
    snapshots: &dyn Snapshots,
    share: Share,
) -> Result<Option<State>, String> {
    let Some(from) = snapshots.newest().await? else {
        return Ok(None);
    };
    let read = tokio::task::spawn_blocking(move || store::read(from)).await;
    let read = read.map_err(|error| error.to_string())?;
    let state = read.map_err(|Damage(why)| why)?;
    if state.share != share {
        return Err(format!(
            "it is of share {} of the log, and this process folds {share}",
            state.share
        ));
    }
    // Whoever made it may know more of a shared log than this process does yet.
    let head = log.find_head().await.map_err(|error| error.to_string())?;
    let judged = contradiction(log, &domain_cut(&head), &state).await;
    match judged.map_err(|error| error.to_string())? {
        None => Ok(Some(state)),
        Some(Damage(why)) => Err(why),
    }
}

async fn open_store(path: PathBuf) -> Result<(Store, State), ProjectionError> {
    blocking(move || Store::open(Claim::new(&path)?)).await
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ProjectionError> + Send + 'static,
) -> Result<T, ProjectionError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| {
        Err(ProjectionError::Start {
            cause: error.to_string(),
        })
    })
}

/// What the checkpoint says and the log, which ends at `head`, does not.
///
/// The last record of each lane that was folded has to stand in the log: same place, time, key and payload. That tells another log, one that
/// was cut short, and one that took another course after a copy was made, unless it took it before those records and came to the same ones in
/// the same places and at the same millisecond.
async fn contradiction(
    log: &dyn EventLog,
    head: &Cut,
    state: &State,
) -> Result<Option<Damage>, ProjectionError> {
    if !head.includes(&state.cut) {
        let what = "it covers more than the log holds: the log was replaced or cut short";
        return Ok(Some(Damage(what.into())));
    }
    // On Kafka each is a question to a broker: many are asked at a time.
    let anchors = futures::stream::iter(state.anchors.values());
    let read = anchors.map(async |anchor| {
        let found = record_at(log, anchor.stamp.lane, anchor.stamp.offset).await?;
        Ok::<_, ProjectionError>((anchor, found))
    });
    let mut read = std::pin::pin!(read.buffered(AT_ONCE));
    while let Some(read) = read.next().await {
        let (anchor, found) = read?;
        if found.as_ref().map(Anchor::of) != Some(*anchor) {
            return Ok(Some(Damage(format!(
                "the log holds another record at lane {:#x} offset {} than the one that was folded: the log was replaced",
                anchor.stamp.lane, anchor.stamp.offset
            ))));
        }
    }
    Ok(None)
}

/// Can a record be read now that could not be read before? Then this is a newer version, and a rebuild takes the key back in.
async fn heals(
    log: &dyn EventLog,
    state: &State,
    decode: Decoder,
) -> Result<bool, ProjectionError> {
    for parked in state.parked.values().filter(|parked| !parked.panicked) {
        let found = record_at(log, parked.stamp.lane, parked.stamp.offset).await?;
        if found.is_some_and(|record| Prepared::new(&record, decode).is_digestible()) {
            return Ok(true);
        }
    }
    Ok(false)
}

async fn record_at(
    log: &dyn EventLog,
    lane: u32,
    offset: u64,
) -> Result<Option<Record>, ProjectionError> {
    let Some((topic, partition)) = place_of(lane) else {
        return Ok(None);
    };
    let read = if offset < log.head().next(topic, partition) {
        log.read(topic, partition, offset, 1).await
    } else {
        // It is there, and this process will know of it in a moment.
        let arriving = async { log.tail(topic, partition, offset).next().await };
        let arrived = tokio::time::timeout(ARRIVAL, arriving).await;
        arrived.ok().flatten().unwrap_or_else(|| Ok(Vec::new()))
    };
    match read {
        Ok(records) => Ok(records
            .into_iter()
            .find(|record| record.position.offset == offset)),
        Err(LogError::UnknownPartition { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
