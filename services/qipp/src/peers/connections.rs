//! The connections to one peer: as many as its calls need. On one of HTTP/2 there is a limit of calls, and open watchers would use it up, so that
//! everybody else waited for them.

use std::sync::{Arc, Mutex, PoisonError};

use tonic::transport::{Channel, Endpoint};

/// Calls on one connection, below what a peer takes there (`serve.limits.streams_per_connection`).
const CALLS: usize = 100;

/// Connections to one peer. Beyond these, calls share the one that has the fewest.
const MOST: usize = 32;

/// Connects when it is first used, and again after a connection was lost. One that is not needed any more is closed by the peer.
pub(super) struct Connections {
    endpoint: Endpoint,
    open: Mutex<Vec<Connection>>,
}

struct Connection {
    channel: Channel,
    calls: Place,
}

/// Held by a call for as long as it is open.
#[derive(Clone, Default)]
pub(crate) struct Place(Arc<()>);

impl Place {
    /// How many calls hold one of these.
    fn held(&self) -> usize {
        Arc::strong_count(&self.0) - 1
    }
}

impl Connections {
    pub(super) fn new(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            open: Mutex::default(),
        }
    }

    /// A connection with a place on it.
    pub(super) fn take(&self) -> (Channel, Place) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let has_room = |connection: &&Connection| connection.calls.held() < CALLS;
        let taken =
            |connection: &Connection| (connection.channel.clone(), connection.calls.clone());
        if let Some(connection) = open.iter().find(has_room) {
            return taken(connection);
        }
        if open.len() >= MOST
            && let Some(least) = open.iter().min_by_key(|connection| connection.calls.held())
        {
            return taken(least);
        }
        let connection = Connection {
            channel: self.endpoint.connect_lazy(),
            calls: Place::default(),
        };
        let first = taken(&connection);
        open.push(connection);
        first
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_connection_that_is_full_is_followed_by_another_and_places_come_free() {
        let connections = Connections::new(Endpoint::from_static("http://127.0.0.1:1"));
        let count = || connections.open.lock().unwrap().len();
        let mut held: Vec<_> = (0..CALLS).map(|_| connections.take()).collect();
        assert_eq!(count(), 1);
        held.push(connections.take());
        assert_eq!(count(), 2);
        // A call that ends makes room on its connection.
        held.remove(0);
        held.push(connections.take());
        held.extend((1..CALLS).map(|_| connections.take()));
        assert_eq!(count(), 2);
        held.extend((0..MOST * CALLS).map(|_| connections.take()));
        assert_eq!(count(), MOST);
    }
}
