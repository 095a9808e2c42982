//! Lines to the brokers that can be cut: a forwarder for each broker, on addresses that the brokers give to whoever comes by them.

use std::collections::BTreeMap;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

/// Addresses of all brokers of a cluster that are good for one client, or a group of clients that is cut off together.
#[derive(Debug)]
pub struct View {
    listening: Vec<SocketAddr>,
    gate: Arc<Gate>,
}

/// What becomes of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// They pass.
    Open,
    /// Connections are broken, and new ones end at once.
    Cut,
    /// Connections are held, and nothing passes.
    Silent,
    /// The cluster is gone.
    Over,
}

#[derive(Debug)]
struct Gate {
    inner: Mutex<Inner>,
    changed: Condvar,
}

#[derive(Debug)]
struct Inner {
    state: State,
    /// Both ends of every connection, by its number.
    connections: BTreeMap<u64, [TcpStream; 2]>,
    next: u64,
}

impl View {
    /// A forwarder to each of these ports.
    pub(crate) fn start(upstream: &[u16]) -> io::Result<Self> {
        let gate = Arc::new(Gate {
            inner: Mutex::new(Inner {
                state: State::Open,
                connections: BTreeMap::new(),
                next: 0,
            }),
            changed: Condvar::new(),
        });
        let mut listening = Vec::new();
        for port in upstream {
            let broker = SocketAddr::from((Ipv4Addr::LOCALHOST, *port));
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
            listening.push(listener.local_addr()?);
            let gate = Arc::clone(&gate);
            std::thread::spawn(move || accept(&listener, broker, &gate));
        }
        Ok(Self { listening, gate })
    }

    pub(crate) fn ports(&self) -> impl Iterator<Item = u16> {
        self.listening.iter().map(SocketAddr::port)
    }

    /// The bootstrap list of this view.
    #[must_use]
    pub fn brokers(&self) -> String {
        let all: Vec<String> = self.listening.iter().map(SocketAddr::to_string).collect();
        all.join(",")
    }

    /// Breaks all connections; new ones are closed at once, until [`mend`](Self::mend).
    pub fn cut(&self) {
        self.gate.change(State::Cut);
    }

    /// Lets nothing pass, in either direction, until [`mend`](Self::mend): connections stay, and new ones are taken but never answered, as
    /// by a network that swallows packets. What was sent meanwhile arrives after that.
    pub fn silence(&self) {
        self.gate.change(State::Silent);
    }

    /// Everything passes again.
    pub fn mend(&self) {
        self.gate.change(State::Open);
    }
}

impl Drop for View {
    fn drop(&mut self) {
        self.gate.change(State::Over);
        for address in &self.listening {
            // Wakes the thread, which sees that it is over.
            let _ = TcpStream::connect(address);
        }
    }
}

impl Gate {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("nobody panics with it")
    }

    fn change(&self, to: State) {
        let mut inner = self.lock();
        inner.state = to;
        if matches!(to, State::Cut | State::Over) {
            for ends in inner.connections.values() {
                close(ends);
            }
        }
        self.changed.notify_all();
    }

    /// Waits while it is silent. Whether bytes may pass.
    fn pass(&self) -> bool {
        let inner = self.lock();
        let silent = |inner: &mut Inner| inner.state == State::Silent;
        let inner = self.changed.wait_while(inner, silent);
        inner.is_ok_and(|inner| inner.state == State::Open)
    }

    /// Takes a connection into the books, so that it can be cut. Nothing when it came too late for that.
    fn enter(&self, ends: [TcpStream; 2]) -> Option<u64> {
        let mut inner = self.lock();
        if matches!(inner.state, State::Cut | State::Over) {
            return None;
        }
        let number = inner.next;
        inner.next += 1;
        inner.connections.insert(number, ends);
        Some(number)
    }

    fn leave(&self, number: u64) {
        if let Some(ends) = self.lock().connections.remove(&number) {
            close(&ends);
        }
    }
}

fn close(ends: &[TcpStream; 2]) {
    for end in ends {
        let _ = end.shutdown(Shutdown::Both);
    }
}

fn accept(listener: &TcpListener, broker: SocketAddr, gate: &Arc<Gate>) {
    for client in listener.incoming() {
        let state = gate.lock().state;
        match (state, client) {
            (State::Over, _) => return,
            (State::Cut, _) | (_, Err(_)) => {}
            // A broker that is down is one that closes the connection.
            (_, Ok(client)) => drop(connect(client, broker, gate)),
        }
    }
}

fn connect(client: TcpStream, broker: SocketAddr, gate: &Arc<Gate>) -> io::Result<()> {
    let server = TcpStream::connect(broker)?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let Some(number) = gate.enter([client.try_clone()?, server.try_clone()?]) else {
        return Ok(());
    };
    let ways = [(client.try_clone()?, server.try_clone()?), (server, client)];
    for (from, to) in ways {
        let gate = Arc::clone(gate);
        std::thread::spawn(move || {
            let _ = forward(from, to, &gate);
            // Whichever way ends first ends both.
            gate.leave(number);
        });
    }
    Ok(())
}

fn forward(mut from: TcpStream, mut to: TcpStream, gate: &Gate) -> io::Result<()> {
    let mut bytes = vec![0; 1 << 16];
    loop {
        let read = from.read(&mut bytes)?;
        if read == 0 || !gate.pass() {
            return Ok(());
        }
        to.write_all(&bytes[..read])?;
    }
}
