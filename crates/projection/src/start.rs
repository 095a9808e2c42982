//! Opening a store, and judging what it holds against the log.
//!
//! A checkpoint counts only if the log holds everything that it covers: the log decides, a checkpoint only saves time. Nothing
//! here writes a checkpoint.

use std::path::PathBuf;

use qipp_eventlog::{EventLog, LogError, Record};

use crate::checkpoint::Damage;
use crate::error::ProjectionError;
use crate::follower::FollowerConfig;
use crate::follower::StoreConfig;
use crate::lane::{domain_cut, place_of};
use crate::saver::Saver;
use crate::state::{Anchor, Decoder, Prepared, State};
use crate::store::{Claim, Store};

/// The state to go on from, and what saves it; nothing does when nothing is to be kept.
pub(crate) async fn open(
    log: &dyn EventLog,
    config: &FollowerConfig,
) -> Result<(State, Option<Saver>), ProjectionError> {
    let StoreConfig::Directory(path) = &config.store else {
        return Ok((State::of(config.share), None));
    };
    let (mut store, mut state) = open_store(path.clone()).await?;
    if state.share != config.share {
        if state.records > 0 {
            tracing::warn!(
                checkpoint = %state.share, wanted = %config.share,
                "the checkpoint is of another share of the log: it is not taken, and the next one takes its place"
            );
        }
        state = State::of(config.share);
    }
    if let Some(damage) = contradiction(log, &state).await? {
        store = blocking(move || store.start_over(&damage)).await?;
        state = State::of(config.share);
    }
    let held: u64 = domain_cut(&log.head()).iter().map(|(_, next)| next).sum();
    if state.records == 0 && held > 0 {
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
    let saver = Saver::new(store, state.records, config.checkpoint_every_records);
    Ok((state, Some(saver)))
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

/// What the checkpoint says and the log does not.
async fn contradiction(
    log: &dyn EventLog,
    state: &State,
) -> Result<Option<Damage>, ProjectionError> {
    if !domain_cut(&log.head()).includes(&state.cut) {
        let what = "it covers more than the log holds: the log was replaced or cut short";
        return Ok(Some(Damage(what.into())));
    }
    for anchor in state.anchors.values() {
        let found = record_at(log, anchor.stamp.lane, anchor.stamp.offset).await?;
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
    match log.read(topic, partition, offset, 1).await {
        Ok(records) => Ok(records
            .into_iter()
            .find(|record| record.position.offset == offset)),
        Err(LogError::UnknownPartition { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
