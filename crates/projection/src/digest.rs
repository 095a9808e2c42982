//! The digest: two nations with the same digest say the same, byte for byte.

use std::fmt::Write;

use qipp_domain::nation::{Key, Nation};
use sha2::{Digest, Sha256};

/// SHA-256 (hex) over every key in order and the canonical bytes of its state, each preceded by its length.
///
/// Costs an encoding of the whole nation: for verification, not for requests.
#[must_use]
pub fn digest_of(nation: &Nation) -> String {
    let mut digest = Digesting::default();
    for key in nation.keys() {
        if let Some(bytes) = state_bytes(nation, key) {
            digest.add(key, &bytes);
        }
    }
    digest.finish()
}

/// A digest that is being computed, key by key in their order.
#[derive(Default)]
pub(crate) struct Digesting(Sha256);

impl Digesting {
    pub(crate) fn add(&mut self, key: Key, state: &[u8]) {
        for part in [&key_bytes(key)[..], state] {
            self.0.update((part.len() as u64).to_le_bytes());
            self.0.update(part);
        }
    }

    pub(crate) fn finish(self) -> String {
        let bytes = self.0.finalize();
        let hex = String::with_capacity(64);
        bytes.iter().fold(hex, |mut hex, byte| {
            write!(hex, "{byte:02x}").expect("a string takes everything");
            hex
        })
    }
}

/// A key as people read it.
pub(crate) fn key_name(key: Key) -> String {
    match key {
        Key::Reference => "reference data".to_owned(),
        Key::Ledger(org) => format!("returns of {org}"),
        Key::Benchmarks(marker) => format!("national values of {marker}"),
        Key::Alerts(org) => format!("alerts of {org}"),
        Key::Tenure(lane) => format!("who writes to lane {lane:#x}"),
        Key::Assessments(kind) => format!("joint decisions over kind {kind}"),
    }
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
        Key::Assessments(kind) => (6, kind.as_str().as_bytes()),
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
