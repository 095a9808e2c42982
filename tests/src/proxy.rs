//! A line between client and house that breaks when it is told to: it passes bytes on until so many have come back, then cuts.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream};

/// The line.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl Proxy {
    /// A line to `upstream`. The first connection is cut after `cuts[0]` bytes of answers, the second one after `cuts[1]`, and so on; those
    /// after the last one are left alone.
    pub async fn start(upstream: SocketAddr, cuts: Vec<u64>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&connections);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let number = counter.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(pass(
                    client,
                    upstream,
                    cuts.get(number).copied().unwrap_or(u64::MAX),
                ));
            }
        });
        Self {
            address,
            connections,
        }
    }

    /// Where clients connect.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many connections there were.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

async fn pass(client: TcpStream, upstream: SocketAddr, most: u64) {
    let Ok(server) = TcpStream::connect(upstream).await else {
        return;
    };
    let (mut from_client, mut to_client) = client.into_split();
    let (from_server, mut to_server) = server.into_split();
    let mut answers = from_server.take(most);
    // Whichever ends first ends both: the halves are dropped, and with them the connections.
    tokio::select! {
        _ = copy(&mut from_client, &mut to_server) => {}
        _ = copy(&mut answers, &mut to_client) => {}
    }
    let _ = to_client.shutdown().await;
}
