//! A checkpoint as a stream: a thread writes it, and waits while nobody takes.

use std::io::{self, Write};

use bytes::{Bytes, BytesMut};
use futures::Stream;
use qipp_projection::Snapshot;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

/// What is sent at a time.
const PIECE_BYTES: usize = 256 << 10;
/// Pieces that may wait to be taken.
const WAITING: usize = 4;

/// The bytes of a checkpoint. Dropping the stream ends the writing.
pub(crate) fn of(snapshot: Snapshot) -> impl Stream<Item = io::Result<Bytes>> {
    let (sender, pieces) = mpsc::channel(WAITING);
    tokio::task::spawn_blocking(move || {
        let mut out = Pieces {
            held: BytesMut::with_capacity(PIECE_BYTES),
            sender: sender.clone(),
        };
        let written = snapshot.write(&mut out).and_then(|()| out.flush());
        if let Err(error) = written {
            // Whoever has left need not know.
            let _ = sender.blocking_send(Err(error));
        }
    });
    ReceiverStream::new(pieces)
}

struct Pieces {
    held: BytesMut,
    sender: mpsc::Sender<io::Result<Bytes>>,
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = PIECE_BYTES - self.held.len();
        let taken = &bytes[..room.min(bytes.len())];
        self.held.extend_from_slice(taken);
        if self.held.len() == PIECE_BYTES {
            self.flush()?;
        }
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.held.is_empty() {
            return Ok(());
        }
        let piece = self.held.split().freeze();
        let sent = self.sender.blocking_send(Ok(piece));
        sent.map_err(|_| io::Error::new(io::ErrorKind::BrokenPipe, "nobody takes it any more"))
    }
}
