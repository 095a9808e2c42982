//! Does the projection store say what the log says? It is opened as the service opens it, caught up, and held against a fresh fold that
//! reads no checkpoint. Where no store belongs to the log, the fresh fold alone tells what it parks.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use qipp_domain::Cut;
use qipp_domain::nation::Nation;
use qipp_eventlog::EventLog;
use qipp_projection::{
    Follower, FollowerConfig, Parked, ProjectionError, StoreConfig, digest_of, domain_cut, fold_to,
};
use tokio_util::sync::CancellationToken;

use super::{Check, grouped};
use crate::exit::{Failure, UNAVAILABLE};
use crate::serve::decode;

/// The checks, and the nation of the fresh fold.
pub(super) async fn check(
    log: &Arc<dyn EventLog>,
    head: &qipp_eventlog::Cut,
    store: Option<&Path>,
) -> Result<([Check; 2], Nation), Failure> {
    let stored = match store {
        Some(store) => Some(of_store(log, store).await?),
        None => None,
    };
    let cut = domain_cut(head);
    let (nation, parked) = fold_to(&**log, decode, &cut).await?;
    let digested = tokio::task::spawn_blocking(move || (digest_of(&nation), nation)).await;
    let (fresh, nation) = digested.context("computing the digest")?;

    let mut digest = Check::new("digest");
    digest.checked = nation.keys().len() as u64;
    match &stored {
        None => digest.summary = format!("{fresh} by a fresh fold; no store was compared"),
        Some(stored) => {
            digest.summary = format!("{fresh} by a fresh fold; {}", stored.began);
            compare(&mut digest, stored, &fresh, &parked);
        }
    }
    Ok(([digest, parked_keys(&parked)], nation))
}

fn compare(check: &mut Check, stored: &Stored, fresh: &str, parked: &[Parked]) {
    if stored.digest != fresh {
        let what = "the store differs from the log: move the folder `projection` away, and the next start builds it anew";
        check.differ(|| format!("{what} (its digest is {})", stored.digest));
    }
    if places(&stored.parked) != places(parked) {
        check.differ(|| {
            format!(
                "the store parks {:?}, the fresh fold {:?}",
                places(&stored.parked),
                places(parked)
            )
        });
    }
}

/// What the store holds after it has caught up.
struct Stored {
    digest: String,
    parked: Vec<Parked>,
    /// What it began with, in words.
    began: String,
}

async fn of_store(log: &Arc<dyn EventLog>, store: &Path) -> Result<Stored, Failure> {
    let before = Before {
        existed: store.exists(),
        aside: set_aside(store),
    };
    let stop = CancellationToken::new();
    let config = FollowerConfig::new(StoreConfig::Directory(store.to_owned()), decode);
    let follower = Follower::start(Arc::clone(log), config, stop.clone())
        .await
        .map_err(|error| match error {
            in_use @ ProjectionError::StoreInUse { .. } => Failure::new(UNAVAILABLE, in_use),
            other => other.into(),
        })?;
    let loaded = follower.checkpointed().borrow().cut.clone();
    follower.caught_up().await?;
    let began = before.began(store, &loaded, &domain_cut(&log.head()));
    let parked = follower.parked();
    let computing = follower.clone();
    let digest = tokio::task::spawn_blocking(move || computing.digest())
        .await
        .context("computing the digest")?;
    stop.cancel();
    follower.stopped().await;
    Ok(Stored {
        digest,
        parked,
        began,
    })
}

/// What was there before the store was opened.
struct Before {
    existed: bool,
    aside: Vec<PathBuf>,
}

impl Before {
    fn began(&self, store: &Path, loaded: &Cut, head: &Cut) -> String {
        let total: u64 = head.iter().map(|(_, next)| next).sum();
        let held: u64 = loaded.iter().map(|(_, next)| next).sum();
        let new: Vec<String> = set_aside(store)
            .into_iter()
            .filter(|path| !self.aside.contains(path))
            .map(|path| path.display().to_string())
            .collect();
        if !new.is_empty() {
            format!(
                "the store was damaged or not of this log: it was moved to {} and REBUILT",
                new.join(", ")
            )
        } else if !self.existed {
            "there was no store: it was built from the log".to_owned()
        } else if held == 0 && total > 0 {
            "the store was outdated and was REBUILT".to_owned()
        } else if held == total {
            "its checkpoint covered the whole log".to_owned()
        } else {
            format!(
                "its checkpoint was {} records behind",
                grouped(total - held)
            )
        }
    }
}

/// Stores that were moved aside beside this one.
fn set_aside(store: &Path) -> Vec<PathBuf> {
    let Some(name) = store
        .file_name()
        .map(|name| format!("{}.damaged-", name.to_string_lossy()))
    else {
        return Vec::new();
    };
    let entries = store
        .parent()
        .and_then(|folder| std::fs::read_dir(folder).ok());
    let paths = entries
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok().map(|entry| entry.path()));
    paths
        .filter(|path| {
            path.file_name()
                .is_some_and(|held| held.to_string_lossy().starts_with(&name))
        })
        .collect()
}

/// Where each parked key was parked.
fn places(parked: &[Parked]) -> Vec<(&str, u32, u64)> {
    let mut places: Vec<_> = parked
        .iter()
        .map(|p| (p.key.as_str(), p.stamp.lane, p.stamp.offset))
        .collect();
    places.sort_unstable();
    places
}

pub(super) fn parked_keys(parked: &[Parked]) -> Check {
    let mut check = Check::new("parked");
    check.checked = parked.len() as u64;
    check.summary = format!("{} keys whose facts could not be digested", parked.len());
    for parked in parked {
        check.differ(|| {
            let topic = parked
                .topic()
                .map(|topic| topic.to_string())
                .unwrap_or_default();
            let Parked {
                key,
                stamp,
                reason,
                withheld,
                ..
            } = parked;
            format!(
                "{key} in {topic}, offset {}: {reason}; {withheld} later records are kept out",
                stamp.offset
            )
        });
    }
    check
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_the_store_began_is_told() {
        let store = std::env::temp_dir()
            .join(format!("qipp-verify-digest-{}", std::process::id()))
            .join("projection");
        let cut = |next: u64| Cut::from_iter([(0x2_0000, next)]);
        let before = Before {
            existed: true,
            aside: Vec::new(),
        };
        assert!(before.began(&store, &cut(9), &cut(9)).contains("whole log"));
        assert!(
            before
                .began(&store, &cut(7), &cut(9))
                .contains("2 records behind")
        );
        assert!(before.began(&store, &cut(0), &cut(9)).contains("REBUILT"));
        std::fs::create_dir_all(store.with_file_name("projection.damaged-1")).unwrap();
        assert!(
            before
                .began(&store, &cut(0), &cut(9))
                .contains("projection.damaged-1")
        );
        std::fs::remove_dir_all(store.parent().unwrap()).unwrap();
    }
}
