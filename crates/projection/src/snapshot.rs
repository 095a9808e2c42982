//! Checkpoints that travel: one that is given away, and where one is taken from that somebody else made.
//!
//! What is taken is judged like any checkpoint, by its checksums and against the log (`start.rs`), so that a wrong one costs a replay and nothing else.

use std::fmt::Debug;
use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, Read, Write};
use std::path::PathBuf;

use async_trait::async_trait;
use qipp_domain::Cut;

use crate::checkpoint::{FORMAT, Image};
use crate::share::Share;
use crate::state::State;
use crate::store;

/// The state at one moment, to be written as a checkpoint while folding goes on.
#[derive(Debug)]
pub struct Snapshot {
    image: Image,
    records: u64,
}

impl Snapshot {
    pub(crate) fn of(state: &State) -> Self {
        Self {
            image: Image::of(state),
            records: state.records,
        }
    }

    /// Where it stands.
    #[must_use]
    pub fn cut(&self) -> &Cut {
        self.image.cut()
    }

    /// How many records it covers.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Writes the checkpoint, in pieces of one key. Blocks as `out` does.
    ///
    /// # Errors
    /// As `out`; and when the state of one key is larger than a checkpoint can hold.
    pub fn write(&self, out: &mut impl Write) -> io::Result<()> {
        self.image.write(out)
    }
}

/// Where checkpoints are that somebody else made.
#[async_trait]
pub trait Snapshots: Send + Sync + Debug {
    /// The newest checkpoint, as bytes; nothing when there is none. Reading them may block.
    ///
    /// # Errors
    /// Why there could be one and cannot be had, in words.
    async fn newest(&self) -> Result<Option<Box<dyn Read + Send>>, String>;
}

/// A directory in which replicas of one log leave their checkpoints for others, of one machine or on a shared disk. It holds a file for each
/// [`checkpoint_name`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directory {
    path: PathBuf,
    share: Share,
}

impl Directory {
    /// That directory, for those that fold this share. It is made when something is saved.
    #[must_use]
    pub const fn new(path: PathBuf, share: Share) -> Self {
        Self { path, share }
    }

    /// Saves a checkpoint in place of the one before, whole or not at all. Blocks.
    ///
    /// # Errors
    /// As the disk.
    pub fn save(&self, snapshot: &Snapshot) -> io::Result<()> {
        std::fs::create_dir_all(&self.path)?;
        // Several replicas may save at the same time, perhaps of several machines: the last one counts, and all are right.
        let number = RandomState::new().hash_one(0);
        let name = checkpoint_name(snapshot.image.share());
        let new = format!("{name}.new-{number:016x}");
        store::write(&self.path, &new, &name, &snapshot.image)
    }
}

#[async_trait]
impl Snapshots for Directory {
    async fn newest(&self) -> Result<Option<Box<dyn Read + Send>>, String> {
        let path = self.path.join(checkpoint_name(self.share));
        match tokio::fs::File::open(&path).await {
            Ok(file) => Ok(Some(Box::new(file.into_std().await))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(format!("{}: {error}", path.display())),
        }
    }
}

/// What the checkpoint of a share is called wherever replicas leave theirs: those of another format or another share have another name, and leave each
/// other alone.
#[must_use]
pub fn checkpoint_name(share: Share) -> String {
    match share.is_whole() {
        true => format!("checkpoint.format-{FORMAT}"),
        false => format!(
            "checkpoint.format-{FORMAT}.share-{}-of-{}",
            share.index(),
            share.of()
        ),
    }
}
