//! The store of checkpoints: one sled tree, one lock beside it. What is known of sled and relied on here is in this file.
//!
//! It is a cache. It never judges what it holds (`checkpoint.rs` does), and what cannot be opened is moved aside, never
//! repaired and never deleted.

use std::collections::BTreeSet;
use std::fs::{File, TryLockError};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::checkpoint::{self, CHUNK_BYTES, Damage, Loading, Marks};
use crate::error::ProjectionError;
use crate::state::State;

/// sled writes what is larger than a quarter of a segment to a file of its own, and what it writes is a page of up to 17 values.
/// Segments are made so large that a page of full chunks stays below that.
const SEGMENT_BYTES: usize = 8 * 1024 * 1024;
const _: () = assert!(17 * (CHUNK_BYTES + 64) < SEGMENT_BYTES / 4 - 1024);

/// Entries are read once and then only written, so a cache is of little use.
const CACHE_BYTES: u64 = 32 * 1024 * 1024;

/// How long opening waits for sled to let go of a store that was closed a moment ago: its threads do so in their own time.
const RELEASE_DEADLINE: Duration = Duration::from_secs(5);

/// The right to use a store, held by one follower at a time.
///
/// The lock stands beside the store, so that a store which is moved aside does not take it along.
#[derive(Debug)]
pub(crate) struct Claim {
    path: PathBuf,
    _lock: File,
}

impl Claim {
    /// Claims the store at `path`, which need not be there.
    pub(crate) fn new(path: &Path) -> Result<Self, ProjectionError> {
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(|error| failed(path, &error))?;
        }
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(beside(path, "lock"))
            .map_err(|error| failed(path, &error))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self {
                path: path.to_owned(),
                _lock: lock,
            }),
            Err(TryLockError::WouldBlock) => Err(in_use(path)),
            Err(TryLockError::Error(error)) => Err(failed(path, &error)),
        }
    }

    /// Moves the store aside for good, loudly.
    pub(crate) fn set_aside(&self, Damage(why): &Damage) -> Result<(), ProjectionError> {
        let aside = (1_u32..)
            .map(|n| beside(&self.path, &format!("damaged-{n}")))
            .find(|path| !path.exists())
            .expect("some number below 2^32 is free");
        tracing::error!(
            store = %self.path.display(), moved_to = %aside.display(), why,
            "the projection store cannot be used: it is moved aside and the log is folded again from its beginning"
        );
        std::fs::rename(&self.path, &aside).map_err(|error| failed(&self.path, &error))
    }
}

/// An open store.
#[derive(Debug)]
pub(crate) struct Store {
    db: sled::Db,
    claim: Claim,
}

impl Store {
    /// Opens a store and reads all that it holds. What is damaged is moved aside and an empty store opened instead.
    pub(crate) fn open(claim: Claim) -> Result<(Self, State, Marks), ProjectionError> {
        match open_and_load(&claim.path)? {
            Ok((db, state, marks)) => Ok((Self { db, claim }, state, marks)),
            Err(damage) => Self::replace(claim, &damage),
        }
    }

    /// Moves this store aside and opens an empty one in its place.
    pub(crate) fn start_over(self, damage: &Damage) -> Result<Self, ProjectionError> {
        let Self { db, claim } = self;
        drop(db);
        Self::replace(claim, damage).map(|(store, _, _)| store)
    }

    fn replace(claim: Claim, damage: &Damage) -> Result<(Self, State, Marks), ProjectionError> {
        claim.set_aside(damage)?;
        match open_and_load(&claim.path)? {
            Ok((db, state, marks)) => Ok((Self { db, claim }, state, marks)),
            Err(Damage(cause)) => Err(ProjectionError::Store {
                path: claim.path,
                cause,
            }),
        }
    }

    /// Writes the batch whole or not at all, and returns when it is on the disk. Blocks.
    pub(crate) fn persist(&self, batch: sled::Batch) -> Result<(), String> {
        // Never flush_async: in this version it deadlocks. Some failures make sled panic instead of answering.
        let written = catch_unwind(AssertUnwindSafe(|| {
            self.db.apply_batch(batch)?;
            self.db.flush()
        }));
        match written {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("sled panicked; its message is on standard error".into()),
        }
    }
}

type Loaded = (sled::Db, State, Marks);

fn open_and_load(path: &Path) -> Result<Result<Loaded, Damage>, ProjectionError> {
    // sled takes a file that it can make no sense of for an empty one. So a new store gets a checkpoint of nothing at once,
    // and one that was there before has to have a checkpoint.
    let is_new = !path.exists();
    let db = match open_sled(path)? {
        Ok(db) => db,
        Err(damage) => return Ok(Err(damage)),
    };
    let loaded = catch_unwind(AssertUnwindSafe(|| match is_new {
        true => initialise(&db),
        false => load(&db),
    }));
    let loaded = loaded.unwrap_or_else(|_| Err(Damage("reading it panicked".into())));
    Ok(loaded.map(|(state, marks)| (db, state, marks)))
}

fn initialise(db: &sled::Db) -> Result<(State, Marks), Damage> {
    let (state, mut marks) = (State::default(), Marks::default());
    let empty = checkpoint::encode(&state, &BTreeSet::new(), &mut marks);
    let written = db.apply_batch(empty.batch).and_then(|()| db.flush());
    written.map_err(|error| Damage(error.to_string()))?;
    Ok((state, marks))
}

fn load(db: &sled::Db) -> Result<(State, Marks), Damage> {
    let mut loading = Loading::default();
    for entry in db.iter() {
        let (name, bytes) = entry.map_err(|error| Damage(error.to_string()))?;
        loading.take(&name, &bytes)?;
    }
    loading.finish()
}

fn open_sled(path: &Path) -> Result<Result<sled::Db, Damage>, ProjectionError> {
    let config = sled::Config::new()
        .path(path)
        .segment_size(SEGMENT_BYTES)
        .cache_capacity(CACHE_BYTES)
        .use_compression(false)
        // Nothing is written behind the saver's back: it flushes after every batch.
        .flush_every_ms(None);
    let deadline = Instant::now() + RELEASE_DEADLINE;
    loop {
        match catch_unwind(AssertUnwindSafe(|| config.open())) {
            Err(_) => return Ok(Err(Damage("opening it panicked".into()))),
            Ok(Ok(db)) => return Ok(Ok(db)),
            // This is how sled reports that its own lock is held: not by another process, which would hold the claim.
            Ok(Err(sled::Error::Io(error))) if error.kind() == io::ErrorKind::Other => {}
            Ok(Err(error)) => return Ok(Err(Damage(error.to_string()))),
        }
        if Instant::now() >= deadline {
            return Err(in_use(path));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    PathBuf::from(name)
}

fn in_use(path: &Path) -> ProjectionError {
    ProjectionError::StoreInUse {
        path: path.to_owned(),
    }
}

fn failed(path: &Path, error: &io::Error) -> ProjectionError {
    ProjectionError::Store {
        path: path.to_owned(),
        cause: error.to_string(),
    }
}
