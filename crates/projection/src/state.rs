//! Applying records: what a follower knows, how a record changes it, and what is kept out.
//!
//! A record that cannot be digested parks its key: later records of that key in that topic are counted and kept out, because
//! they would be decided against a history with a hole. Everybody else goes on. Nothing here reads the log or a store.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use qipp_domain::nation::{Facts, Key, Nation};
use qipp_domain::tenure::EPOCH_KEY;
use qipp_domain::{Cut, Stamp};
use qipp_eventlog::{Record, Topic};
use serde::{Deserialize, Serialize};

use crate::lane::{lane_of, place_of};
use crate::share::Share;

/// A record as it was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoded {
    /// The principal on whose behalf it was written.
    pub by: String,
    /// The epoch of its writer; 0 when any number of writers may write such records.
    pub epoch: u64,
    /// What it says.
    pub facts: Facts,
}

/// What turns a record's key and payload into what it says, or says why it cannot.
///
/// Has to be a function of these bytes alone: every replica and every rebuild has to get the same answer.
pub type Decoder = fn(key: &[u8], payload: &Bytes) -> Result<Decoded, String>;

/// The most bytes of a reason that are kept, because checkpoints hold them.
const MAX_REASON_BYTES: usize = 500;

/// A key whose facts are kept out, because one of them could not be digested.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parked {
    /// The key of the record, usually an organisation's code; escaped where it is not text.
    pub key: String,
    /// The record that could not be digested.
    pub stamp: Stamp,
    /// Why, in words.
    pub reason: String,
    /// How many later records of the key were kept out.
    pub withheld: u64,
    /// The record could be read, but applying it panicked: trying to read it again tells nothing.
    pub(crate) panicked: bool,
}

impl Parked {
    /// The topic in which the key is parked. It is not parked in others.
    #[must_use]
    pub fn topic(&self) -> Option<Topic> {
        place_of(self.stamp.lane).map(|(topic, _)| topic)
    }
}

/// The last record applied in a lane: what the log has to hold there, or it is not the log that was folded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Anchor {
    pub(crate) stamp: Stamp,
    pub(crate) crc: u32,
}

impl Anchor {
    pub(crate) fn of(record: &Record) -> Self {
        let mut crc = crc32fast::Hasher::new();
        crc.update(&(record.key.len() as u64).to_le_bytes());
        crc.update(&record.key);
        crc.update(&record.payload);
        let stamp = stamp_of(record);
        Self {
            stamp,
            crc: crc.finalize(),
        }
    }
}

fn stamp_of(record: &Record) -> Stamp {
    Stamp {
        lane: lane_of(record.position.topic, record.position.partition),
        offset: record.position.offset,
        time_ms: record.time_ms,
    }
}

/// A record, read and checked but not applied: the part of the work that needs no lock.
#[derive(Debug)]
pub(crate) struct Prepared {
    anchor: Anchor,
    topic: Topic,
    key: Bytes,
    outcome: Result<Decoded, String>,
}

impl Prepared {
    pub(crate) fn new(record: &Record, decode: Decoder) -> Self {
        let decoded = catch_unwind(AssertUnwindSafe(|| decode(&record.key, &record.payload)));
        let outcome = decoded
            .unwrap_or_else(|_| Err("reading it panicked; the message is on standard error".into()))
            .and_then(|decoded| {
                check_place(record.position.topic, &record.key, &decoded.facts)?;
                Ok(decoded)
            });
        Self {
            anchor: Anchor::of(record),
            topic: record.position.topic,
            key: record.key.clone(),
            outcome,
        }
    }

    /// Could it be read?
    pub(crate) fn is_digestible(&self) -> bool {
        self.outcome.is_ok()
    }

    /// Was it written by a writer whose epoch is over?
    fn is_superseded(&self, nation: &Nation) -> bool {
        let lane = self.anchor.stamp.lane;
        let superseded = |read: &Decoded| nation.tenures().is_superseded(lane, read.epoch);
        self.outcome.as_ref().is_ok_and(superseded)
    }

    /// Does a writer begin? That concerns the whole lane, and no key can keep it out.
    fn is_beginning(&self) -> bool {
        let begins = |read: &Decoded| matches!(read.facts, Facts::EpochBegun(_));
        self.outcome.as_ref().is_ok_and(begins)
    }
}

/// The key of a record as text; escaped where it is none.
fn text_of(key: &[u8]) -> String {
    match std::str::from_utf8(key) {
        Ok(text) => text.to_owned(),
        Err(_) => key.escape_ascii().to_string(),
    }
}

/// Facts of another topic, or of another organisation than the record's key, are refused: a key's state may depend on one lane
/// only, and parking by key isolates only if a record is about its key.
fn check_place(topic: Topic, key: &[u8], facts: &Facts) -> Result<(), String> {
    let own = |org: qipp_domain::OrgCode| match org.as_str().as_bytes() == key {
        true => Ok(()),
        false => Err(format!(
            "it is keyed `{}` and holds facts of {org}",
            text_of(key)
        )),
    };
    match (topic, facts) {
        (Topic::Reference, Facts::Reference(_))
        | (Topic::Benchmarks, Facts::Benchmarks(_) | Facts::Assessment(_)) => Ok(()),
        (Topic::Returns, Facts::Returns(facts)) => {
            facts.iter().try_for_each(|fact| own(fact.org()))
        }
        (Topic::Alerts, Facts::Alerts(org, _)) => own(*org),
        (Topic::Benchmarks | Topic::Alerts, Facts::EpochBegun(_)) => {
            match key == EPOCH_KEY.as_bytes() {
                true => Ok(()),
                false => Err(format!(
                    "it is keyed `{}` and begins an epoch",
                    text_of(key)
                )),
            }
        }
        _ => Err(format!("its facts do not belong to {topic}")),
    }
}

/// What a follower knows.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) nation: Nation,
    /// Everything below it is applied, or kept out of a parked key.
    pub(crate) cut: Cut,
    /// By topic, key and lane: the key of beginnings is in many lanes, and none of them depends on another.
    pub(crate) parked: BTreeMap<(Topic, String, u32), Parked>,
    pub(crate) anchors: BTreeMap<u32, Anchor>,
    /// How many records that is.
    pub(crate) records: u64,
    /// How many of them were written by somebody whose epoch was over, and had no effect.
    pub(crate) superseded: u64,
    /// What of the log it is made of.
    pub(crate) share: Share,
}

impl State {
    /// Nothing yet, of this share.
    pub(crate) fn of(share: Share) -> Self {
        Self {
            share,
            ..Self::default()
        }
    }

    /// What it says at this moment, to be compared without a lock; without the columns, which say the same a second time. Costs a pointer
    /// for each key.
    pub(crate) fn frozen(&self) -> Self {
        Self {
            nation: self.nation.frozen(),
            cut: self.cut.clone(),
            parked: self.parked.clone(),
            anchors: self.anchors.clone(),
            records: self.records,
            superseded: self.superseded,
            share: self.share,
        }
    }

    /// Applies records of one lane in their order and returns the keys that were touched, each once. What was applied before
    /// changes nothing; gaps between offsets mean nothing.
    pub(crate) fn apply(&mut self, records: Vec<Prepared>) -> Vec<Key> {
        let mut touched = Vec::with_capacity(records.len());
        for record in records {
            let anchor = record.anchor;
            let Stamp { lane, offset, .. } = anchor.stamp;
            if offset < self.cut.next(lane) {
                continue;
            }
            self.digest(record, &mut touched);
            self.cut.advance_past(lane, offset);
            self.anchors.insert(lane, anchor);
            self.records += 1;
        }
        touched.sort_unstable();
        touched.dedup();
        touched
    }

    fn digest(&mut self, record: Prepared, touched: &mut Vec<Key>) {
        let stamp = record.anchor.stamp;
        let place = || (record.topic, text_of(&record.key), stamp.lane);
        if record.is_superseded(&self.nation) {
            self.superseded += 1;
            return;
        }
        // Hardly ever is anything parked: only then is the key needed as text.
        if !self.parked.is_empty()
            && !record.is_beginning()
            && let Some(parked) = self.parked.get_mut(&place())
        {
            parked.withheld += 1;
            return;
        }
        let Decoded { by, facts, .. } = match record.outcome {
            Ok(digestible) => digestible,
            Err(reason) => return self.park(place(), stamp, &reason, false),
        };
        facts.add_keys(stamp.lane, touched);
        // A record touches the state of its own key only, so what a panic leaves half-done is parked with it.
        let nation = &mut self.nation;
        let applied = catch_unwind(AssertUnwindSafe(|| nation.apply(stamp, &by, facts)));
        if applied.is_err() {
            let reason = "applying it panicked; the message is on standard error";
            self.park(place(), stamp, reason, true);
        }
    }

    fn park(&mut self, place: (Topic, String, u32), stamp: Stamp, reason: &str, panicked: bool) {
        let (topic, key, _) = &place;
        tracing::error!(
            %topic, key, lane = stamp.lane, offset = stamp.offset, reason,
            "a record cannot be digested: its key is parked, and its later facts are kept out until a version that can digest it rebuilds the projection"
        );
        let parked = Parked {
            key: key.clone(),
            stamp,
            reason: shortened(reason),
            withheld: 0,
            panicked,
        };
        self.parked.insert(place, parked);
    }
}

fn shortened(text: &str) -> String {
    let end = (0..=MAX_REASON_BYTES.min(text.len()))
        .rev()
        .find(|&end| text.is_char_boundary(end));
    text[..end.unwrap_or(0)].to_owned()
}
