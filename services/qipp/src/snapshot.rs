//! Checkpoints from elsewhere, for a replica that starts with none, and copies of its own for others.

use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Buf as _, Bytes};
use qipp_api::proto::replica::v1::{FetchCheckpointRequest, FetchCheckpointResponse};
use qipp_projection::{Directory, Follower, Snapshots};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tonic::Streaming;

use crate::client::Client;
use crate::config::ServeConfig;
use crate::keys;

/// The longest that the other replica may take for its first answer, or for the next piece.
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
    folder(config).map(|folder| Arc::new(folder) as Arc<dyn Snapshots>)
}

fn folder(config: &ServeConfig) -> Option<Directory> {
    let snapshot = &config.snapshot;
    let is_folder = !snapshot.from.is_empty() && !snapshot.is_peer();
    is_folder.then(|| Directory::new(PathBuf::from(&snapshot.from), config.shard))
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
        let pieces = answer.map_err(|status| format!("{}: {}", self.address, status.message()))?;
        let (sender, taken) = mpsc::channel(WAITING);
        tokio::spawn(take(pieces.into_inner(), sender));
        Ok(Some(Box::new(Pieces {
            held: Bytes::new(),
            taken,
        })))
    }
}

/// Takes pieces as fast as they are read, until the end, the first failure, or nobody reads any more.
async fn take(
    mut pieces: Streaming<FetchCheckpointResponse>,
    sender: mpsc::Sender<io::Result<Bytes>>,
) {
    loop {
        let piece = match tokio::time::timeout(PATIENCE, pieces.message()).await {
            Ok(Ok(None)) => return,
            Ok(Ok(Some(response))) => Ok(response.piece),
            Ok(Err(status)) => Err(io::Error::other(status.message().to_owned())),
            Err(_) => Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the other replica has stopped sending",
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

/// Leaves a copy of every checkpoint in the folder, if the configuration asks for it.
pub(crate) fn saving(config: &ServeConfig, follower: &Follower) -> Option<JoinHandle<()>> {
    let folder = folder(config).filter(|_| config.snapshot.save)?;
    let follower = follower.clone();
    Some(tokio::spawn(async move {
        let mut checkpointed = follower.checkpointed();
        while checkpointed.changed().await.is_ok() {
            let (folder, snapshot) = (folder.clone(), follower.snapshot());
            let saved = tokio::task::spawn_blocking(move || folder.save(&snapshot)).await;
            let saved = saved.unwrap_or_else(|error| Err(io::Error::other(error)));
            if let Err(error) = saved {
                tracing::warn!(%error, "the checkpoint could not be copied for other replicas; the next one is tried again");
            }
        }
    }))
}
