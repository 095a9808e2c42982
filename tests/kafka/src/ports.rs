//! Ports for brokers, which have to be known before a broker starts and still be free when it comes back after a kill.

use std::collections::BTreeSet;
use std::fs;
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::net::{Ipv4Addr, TcpListener};

/// Lower ones are other people's.
const LOWEST: u16 = 15_000;

/// So many different ports on which nobody listens. They are below those that the system gives to connections, because a port of those may
/// be taken by any connection while its broker is down.
///
/// # Errors
/// When there are none left.
pub fn free_ports(count: usize) -> io::Result<Vec<u16>> {
    let above = above().max(LOWEST + 1000);
    let mut tried = BTreeSet::new();
    let mut taken = Vec::new();
    while taken.len() < count {
        if tried.len() > 500 {
            return Err(io::Error::other("no free ports on 127.0.0.1"));
        }
        let candidate = LOWEST + random_below(above - LOWEST);
        if !tried.insert(candidate) {
            continue;
        }
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, candidate)) {
            // Held until all are found.
            taken.push((candidate, listener));
        }
    }
    Ok(taken.into_iter().map(|(port, _)| port).collect())
}

/// Where the ports of connections begin.
fn above() -> u16 {
    fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")
        .ok()
        .and_then(|range| range.split_whitespace().next()?.parse().ok())
        .unwrap_or(32_768)
}

fn random_below(most: u16) -> u16 {
    let within = random() % u64::from(most);
    u16::try_from(within).expect("a remainder is below its divisor")
}

/// Not for secrets: only has to differ from process to process.
pub(crate) fn random() -> u64 {
    RandomState::new().hash_one(std::process::id())
}
