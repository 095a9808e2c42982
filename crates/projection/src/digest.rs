//! The digest: two nations with the same digest say the same, byte for byte.

use std::fmt::Write;

use qipp_domain::nation::{Key, Nation};
use sha2::{Digest, Sha256};

/// SHA-256 (hex) over every key in order and the canonical bytes of its state, each preceded by its length.
///
/// Costs an encoding of the whole nation: for verification, not for requests.
#[must_use]
pub fn digest_of(nation: &Nation) -> String {
    let mut hash = Sha256::new();
    for key in nation.keys() {
        let Some(bytes) = state_bytes(nation, key) else {
            continue;
        };
        for part in [key_bytes(key), bytes] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(&part);
        }
    }
    hash.finalize()
        .iter()
        .fold(String::with_capacity(64), |mut hex, byte| {
            write!(hex, "{byte:02x}").expect("a string takes everything");
            hex
        })
}

/// A key as bytes, in the order of keys: what it is of, its code (of a lane its number, big-endian), and a zero (which no code contains)
/// so that no key is the beginning of another.
pub(crate) fn key_bytes(key: Key) -> Vec<u8> {
    let number;
    let (kind, code) = match &key {
        Key::Reference => (1, &[][..]),
        Key::Ledger(org) => (2, org.as_str().as_bytes()),
        Key::Benchmarks(marker) => (3, marker.as_str().as_bytes()),
        Key::Alerts(org) => (4, org.as_str().as_bytes()),
        Key::Tenure(lane) => {
            number = lane.to_be_bytes();
            (5, &number[..])
        }
    };
    let mut bytes = Vec::with_capacity(code.len() + 2);
    bytes.push(kind);
    bytes.extend_from_slice(code);
    bytes.push(0);
    bytes
}

/// The canonical bytes of a key's state; `None` when it has none.
pub(crate) fn state_bytes(nation: &Nation, key: Key) -> Option<Vec<u8>> {
    let saved = nation.save(key)?;
    Some(postcard::to_stdvec(&saved).expect("state is plain data, and memory is what bounds it"))
}
