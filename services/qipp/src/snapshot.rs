//! Checkpoints from elsewhere, for a replica that starts with none, and copies of its own for others.

#[cfg(feature = "s3")]
mod bucket;

use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Buf as _, Bytes};
use futures::{Stream, StreamExt as _};
use qipp_api::proto::replica::v1::FetchCheckpointRequest;
use qipp_projection::{Directory, Follower, Snapshot, Snapshots};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

#[cfg(feature = "s3")]
use self::bucket::Bucket;
use crate::client::Client;
use crate::config::{self, ServeConfig};
use crate::keys;

/// The longest that another replica or a store may take for its first answer, or for the next piece.
const PATIENCE: Duration = Duration::from_secs(30);
/// Pieces that wait to be read.
const WAITING: usize = 4;

/// Where the configuration takes checkpoints from, if from anywhere.
pub(crate) fn source(config: &ServeConfig) -> Option<Arc<dyn Snapshots>> {
    let snapshot = &config.snapshot;
    if snapshot.is_peer() {
        return Some(Arc::new(Replica {
            address: snapshot.from.clone(),
            key_file: snapshot.key_file.clone(),
        }));
    }
    Shelf::of(config).map(Shelf::source)
}

/// Can the bucket of a configuration be opened? Asks nobody.
///
/// # Errors
/// What is wrong, without anything that may be secret.
#[cfg(feature = "s3")]
pub(crate) fn check_bucket(settings: &config::Snapshot) -> Result<(), String> {
    let share = qipp_projection::Share::WHOLE;
    Bucket::new(settings, share).open().map(drop)
}

/// As the one that is built in.
#[cfg(not(feature = "s3"))]
pub(crate) fn check_bucket(_: &config::Snapshot) -> Result<(), String> {
    Err("serve.snapshot.from is in an object store, and this build has no client of one: build it with `cargo build --release -p qipp --features s3`, or use a folder or http://HOST:PORT of another replica".to_owned())
}

/// Where replicas leave their checkpoints for each other.
#[derive(Clone)]
enum Shelf {
    Folder(Directory),
    #[cfg(feature = "s3")]
    Bucket(Bucket),
}

impl Shelf {
    fn of(config: &ServeConfig) -> Option<Self> {
        let (settings, share) = (&config.snapshot, config.shard);
        match settings.from.as_str() {
            "" => None,
            _ if settings.is_peer() => None,
            #[cfg(feature = "s3")]
            _ if settings.is_bucket() => Some(Self::Bucket(Bucket::new(settings, share))),
            _ if settings.is_bucket() => None,
            path => Some(Self::Folder(Directory::new(PathBuf::from(path), share))),
        }
    }

    fn source(self) -> Arc<dyn Snapshots> {
        match self {
            Self::Folder(folder) => Arc::new(folder),
            #[cfg(feature = "s3")]
            Self::Bucket(bucket) => Arc::new(bucket),
        }
    }

    async fn save(&self, snapshot: Snapshot) -> Result<(), String> {
        match self {
            Self::Folder(folder) => {
                let folder = folder.clone();
                let saved = tokio::task::spawn_blocking(move || folder.save(&snapshot)).await;
                let saved = saved.unwrap_or_else(|error| Err(io::Error::other(error)));
                saved.map_err(|error| error.to_string())
            }
            #[cfg(feature = "s3")]
            Self::Bucket(bucket) => bucket.save(snapshot).await,
        }
    }
}

/// Another replica of the same log.
#[derive(Debug)]
struct Replica {
    address: String,
    key_file: PathBuf,
}

#[async_trait]
impl Snapshots for Replica {
    async fn newest(&self) -> Result<Option<Box<dyn Read + Send>>, String> {
        let key = keys::read(&self.key_file).map_err(|error| format!("{error:#}"))?;
        let client = Client::new(&self.address, &key, PATIENCE);
        let client = client.map_err(|failure| format!("{:#}", failure.error))?;
        let mut replica = client.checkpoint();
        let asked = tokio::time::timeout(
            PATIENCE,
            replica.fetch_checkpoint(FetchCheckpointRequest::default()),
        );
        let answer = asked
            .await
            .map_err(|_| format!("{} does not answer", self.address))?;
        let answer = answer.map_err(|status| format!("{}: {}", self.address, status.message()))?;
        let received = answer.into_inner().map(|piece| match piece {
            Ok(response) => Ok(response.piece),
            Err(status) => Err(io::Error::other(status.message().to_owned())),
        });
        Ok(Some(Box::new(pieces(received))))
    }
}

/// Pieces that come in, to be read on a thread that may block.
fn pieces(received: impl Stream<Item = io::Result<Bytes>> + Send + Unpin + 'static) -> Pieces {
    let (sender, taken) = mpsc::channel(WAITING);
    tokio::spawn(take(received, sender));
    Pieces {
        held: Bytes::new(),
        taken,
    }
}

/// Takes pieces as fast as they are read, until the end, the first failure, or nobody reads any more.
async fn take(
    mut received: impl Stream<Item = io::Result<Bytes>> + Unpin,
    sender: mpsc::Sender<io::Result<Bytes>>,
) {
    loop {
        let piece = match tokio::time::timeout(PATIENCE, received.next()).await {
            Ok(None) => return,
            Ok(Some(piece)) => piece,
            Err(_) => Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "no more of it comes",
            )),
        };
        let failed = piece.is_err();
        if sender.send(piece).await.is_err() || failed {
            return;
        }
    }
}

/// The pieces as one run of bytes, for a thread that may block.
struct Pieces {
    held: Bytes,
    taken: mpsc::Receiver<io::Result<Bytes>>,
}

impl Read for Pieces {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.held.is_empty() {
            match self.taken.blocking_recv() {
                None => return Ok(0),
                Some(piece) => self.held = piece?,
            }
        }
        let count = into.len().min(self.held.len());
        self.held.copy_to_slice(&mut into[..count]);
        Ok(count)
    }
}

/// Leaves a copy of every checkpoint for others, if the configuration asks for it.
pub(crate) fn saving(config: &ServeConfig, follower: &Follower) -> Option<JoinHandle<()>> {
    let shelf = Shelf::of(config).filter(|_| config.snapshot.save)?;
    let follower = follower.clone();
    Some(tokio::spawn(async move {
        let mut checkpointed = follower.checkpointed();
        while checkpointed.changed().await.is_ok() {
            if let Err(error) = shelf.save(follower.snapshot()).await {
                tracing::warn!(%error, "the checkpoint could not be copied for other replicas; the next one is tried again");
            }
        }
    }))
}
