//! What two states at the same cut say differently.

use std::collections::BTreeSet;
use std::iter::Peekable;

use qipp_domain::Cut;
use qipp_domain::nation::{Key, Nation};

use crate::digest::{Digesting, key_name, state_bytes};
use crate::state::State;

/// The most differences that are named; all are counted.
const MOST_NAMED: usize = 20;

/// The state that serves and the one beside it, held against each other at one cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compared {
    /// Where both stood.
    pub cut: Cut,
    /// Digest of the one that served.
    pub serving: String,
    /// Digest of the one beside it.
    pub beside: String,
    /// What they say differently, in words; the first twenty.
    pub different: Vec<String>,
    /// How many such things there are.
    pub count: u64,
}

impl Compared {
    /// Do they say the same?
    #[must_use]
    pub fn is_equal(&self) -> bool {
        self.count == 0
    }
}

/// What two states say differently.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Differing {
    /// Keys with another state.
    pub(crate) keys: BTreeSet<Key>,
    /// What is kept out in one of them only, or not from the same record on.
    pub(crate) parked: BTreeSet<String>,
}

impl Differing {
    pub(crate) fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.parked.is_empty()
    }

    /// In words; the first few.
    pub(crate) fn named(&self) -> Vec<String> {
        let keys = self.keys.iter().map(|key| key_name(*key));
        let parked = self.parked.iter().map(|place| format!("parked: {place}"));
        keys.chain(parked).take(MOST_NAMED).collect()
    }

    pub(crate) fn count(&self) -> u64 {
        (self.keys.len() + self.parked.len()) as u64
    }
}

/// Compares everything, which costs an encoding of both.
pub(crate) fn compare(serving: &State, beside: &State) -> (Compared, Differing) {
    debug_assert_eq!(serving.cut, beside.cut, "only then can they be compared");
    let mut digests = (Digesting::default(), Digesting::default());
    let mut differing = Differing {
        parked: parked_apart(serving, beside),
        ..Differing::default()
    };
    let (ours, theirs) = (serving.nation.keys(), beside.nation.keys());
    for key in merged(ours.into_iter().peekable(), theirs.into_iter().peekable()) {
        let bytes = (
            state_bytes(&serving.nation, key),
            state_bytes(&beside.nation, key),
        );
        for (digest, bytes) in [(&mut digests.0, &bytes.0), (&mut digests.1, &bytes.1)] {
            if let Some(bytes) = bytes {
                digest.add(key, bytes);
            }
        }
        if bytes.0 != bytes.1 {
            differing.keys.insert(key);
        }
    }
    let compared = Compared {
        cut: serving.cut.clone(),
        serving: digests.0.finish(),
        beside: digests.1.finish(),
        different: differing.named(),
        count: differing.count(),
    };
    (compared, differing)
}

/// Compares these keys only, and what is parked.
pub(crate) fn compare_keys<'a>(
    serving: &State,
    beside: &State,
    keys: impl Iterator<Item = &'a Key>,
) -> Differing {
    let differs = |key: &&Key| says(&serving.nation, **key) != says(&beside.nation, **key);
    Differing {
        keys: keys.filter(differs).copied().collect(),
        parked: parked_apart(serving, beside),
    }
}

fn says(nation: &Nation, key: Key) -> Option<Vec<u8>> {
    state_bytes(nation, key)
}

/// Why a record could not be read is said in the words of a version; from which record on a key is kept out is not.
fn parked_apart(serving: &State, beside: &State) -> BTreeSet<String> {
    let parked = |state: &State| -> BTreeSet<(u32, u64, u64, String)> {
        let parked = state.parked.values();
        parked
            .map(|p| (p.stamp.lane, p.stamp.offset, p.withheld, p.key.clone()))
            .collect()
    };
    let (ours, theirs) = (parked(serving), parked(beside));
    ours.symmetric_difference(&theirs)
        .map(|(.., key)| key.clone())
        .collect()
}

/// The keys of both, each once and in order.
fn merged(
    mut ours: Peekable<impl Iterator<Item = Key>>,
    mut theirs: Peekable<impl Iterator<Item = Key>>,
) -> impl Iterator<Item = Key> {
    std::iter::from_fn(move || {
        let key = match (ours.peek(), theirs.peek()) {
            (Some(a), Some(b)) => *a.min(b),
            (Some(key), None) | (None, Some(key)) => *key,
            (None, None) => return None,
        };
        ours.next_if_eq(&key);
        theirs.next_if_eq(&key);
        Some(key)
    })
}
