//! A fresh fold of the log up to a cut, into memory: for verification and for recomputing what was decided at a cut.
//!
//! It reads no checkpoint and writes none.

use qipp_domain::Cut;
use qipp_domain::nation::Nation;
use qipp_eventlog::{EventLog, Record};

use crate::error::ProjectionError;
use crate::lane::{domain_cut, place_of};
use crate::state::{Decoder, Parked, Prepared, State};

/// Records read at a time.
const PAGE: usize = 1024;

/// Folds everything below `cut` and nothing else. The second answer lists the keys that are parked there.
///
/// Costs reading and folding that much of the log; the work is done on blocking threads.
///
/// # Errors
/// [`ProjectionError::BeyondHead`] for a cut (or a lane) that the log has not reached; [`ProjectionError::Log`].
pub async fn fold_to(
    log: &dyn EventLog,
    decode: Decoder,
    cut: &Cut,
) -> Result<(Nation, Vec<Parked>), ProjectionError> {
    if !domain_cut(&log.head()).includes(cut) {
        return Err(ProjectionError::BeyondHead);
    }
    let mut state = State::default();
    for (lane, until) in cut.iter() {
        let (topic, partition) = place_of(lane).ok_or(ProjectionError::BeyondHead)?;
        let mut from = 0;
        while from < until {
            let mut page = log.read(topic, partition, from, PAGE).await?;
            let Some(last) = page.last() else { break };
            from = last.position.offset + 1;
            page.retain(|record| record.position.offset < until);
            state = apply(state, page, decode).await?;
        }
    }
    Ok((state.nation, state.parked.into_values().collect()))
}

async fn apply(
    mut state: State,
    page: Vec<Record>,
    decode: Decoder,
) -> Result<State, ProjectionError> {
    let applied = tokio::task::spawn_blocking(move || {
        state.apply(page.iter().map(|r| Prepared::new(r, decode)).collect());
        state
    });
    applied.await.map_err(|error| ProjectionError::Start {
        cause: error.to_string(),
    })
}
