//! The store of checkpoints: a directory with one file in it, and a lock beside it.
//!
//! It is a cache. It never judges what it holds (`checkpoint.rs` does), and what cannot be used is moved aside, never
//! repaired and never deleted. A new checkpoint is written beside the old one and takes its name when it is on the disk, so that there is
//! always a whole one.

use std::fs::{File, TryLockError};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use crate::checkpoint::{self, Damage, Image};
use crate::error::ProjectionError;
use crate::state::State;

const CHECKPOINT: &str = "checkpoint";
const NEW: &str = "checkpoint.new";

/// What is read and written at a time.
const BUFFER_BYTES: usize = 1 << 20;

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

/// A store that is held.
#[derive(Debug)]
pub(crate) struct Store {
    claim: Claim,
}

impl Store {
    /// Reads the checkpoint of a store; a state without records when there is none. What is damaged is moved aside.
    pub(crate) fn open(claim: Claim) -> Result<(Self, State), ProjectionError> {
        match load(&claim.path) {
            Ok(state) => {
                let store = Self { claim };
                store.create()?;
                Ok((store, state))
            }
            Err(damage) => Ok((Self { claim }.start_over(&damage)?, State::default())),
        }
    }

    /// Moves what is there aside and goes on with an empty store.
    pub(crate) fn start_over(self, damage: &Damage) -> Result<Self, ProjectionError> {
        self.claim.set_aside(damage)?;
        self.create()?;
        Ok(self)
    }

    fn create(&self) -> Result<(), ProjectionError> {
        let path = &self.claim.path;
        std::fs::create_dir_all(path).map_err(|error| failed(path, &error))
    }

    /// Writes the checkpoint whole or not at all, and returns when it is on the disk. Blocks.
    pub(crate) fn persist(&self, image: &Image) -> Result<(), String> {
        let path = &self.claim.path;
        write(path, NEW, CHECKPOINT, image).map_err(|error| error.to_string())
    }
}

/// Writes a checkpoint into a folder, under the name `new` first and then `name`.
pub(crate) fn write(folder: &Path, new: &str, name: &str, image: &Image) -> io::Result<()> {
    let new = folder.join(new);
    let written = write_whole(&new, image).and_then(|()| {
        std::fs::rename(&new, folder.join(name))?;
        File::open(folder)?.sync_all()
    });
    if written.is_err() {
        // What is half written takes room and is of no use to anybody.
        let _ = std::fs::remove_file(&new);
    }
    written
}

fn write_whole(file: &Path, image: &Image) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(BUFFER_BYTES, File::create(file)?);
    image.write(&mut out)?;
    out.flush()?;
    out.get_ref().sync_all()
}

fn load(path: &Path) -> Result<State, Damage> {
    let file = match File::open(path.join(CHECKPOINT)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return empty(path),
        Err(error) => return Err(Damage(error.to_string())),
    };
    read(file)
}

/// Reads a checkpoint, wherever it comes from. Blocks.
pub(crate) fn read(from: impl Read) -> Result<State, Damage> {
    // What an older version wrote passes its checksums and may still be state that nothing should be.
    let read = catch_unwind(AssertUnwindSafe(|| {
        checkpoint::read(&mut BufReader::with_capacity(BUFFER_BYTES, from))
    }));
    read.unwrap_or_else(|_| Err(Damage("reading it panicked".into())))
}

/// No checkpoint is fine where there is nothing else either; a store of another kind is not to be written over.
fn empty(path: &Path) -> Result<State, Damage> {
    let entries = match std::fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(State::default()),
        Err(error) => return Err(Damage(error.to_string())),
    };
    for entry in entries {
        let entry = entry.map_err(|error| Damage(error.to_string()))?;
        if entry.file_name() != NEW {
            return Err(Damage(
                "it holds files and no checkpoint: it was written by another version, or something is missing".into(),
            ));
        }
    }
    Ok(State::default())
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
