//! The log: the source of truth of the whole house, as one port with several adapters.
//!
//! Everything that ever happened is a record in an ordered, durable, append-only log of a few topics, each cut into a
//! fixed number of partitions. This crate says what such a log promises ([`EventLog`], read its documentation first),
//! offers adapters that keep the promise ([`MemoryLog`], [`EmbeddedLog`], `KafkaLog`), and holds the one
//! [contract suite](conformance) every adapter must pass.
//!
//! It never looks inside a payload, never decides anything about the domain, and never deletes a record.
//!
//! Where to find what:
//!
//! | file | holds |
//! |---|---|
//! | `types/topic.rs` | topics, how many partitions each has, which partition a key belongs to |
//! | `types/cut.rs` | positions and cuts |
//! | `types/record.rs` | records and their limits |
//! | `types/error.rs` | what can go wrong, with a stable code and a remedy |
//! | `types/clock.rs` | the time the log stamps on records |
//! | `log.rs` | the port and its semantics |
//! | `follow.rs` | durable heads and the tails that wait for them; shared by the adapters |
//! | `observer.rs` | what an adapter tells those who operate it |
//! | `memory.rs` | the adapter for tests and for replaying history |
//! | `embedded/` | the adapter for one machine |
//! | `kafka/` | the adapter for many machines (feature `kafka`) |
//! | `copy.rs`, `copy/` | a log copied into another one, and the proof that both are equal |
//! | `conformance/` | the contract, as executable checks |

pub mod conformance;
pub mod copy;
mod embedded;
mod follow;
#[cfg(feature = "kafka")]
mod kafka;
mod log;
mod memory;
mod observer;
mod types;

pub use copy::CopyTarget;
pub use embedded::{
    EmbeddedConfig, EmbeddedLog, GROWTH_BYTES, Lost, Restoring, Survey, is_log, stored, survey,
};
#[cfg(feature = "kafka")]
pub use kafka::{KafkaConfig, KafkaLog};
pub use log::{EventLog, RecordStream};
pub use memory::MemoryLog;
pub use observer::{Batch, Observer};
pub use types::clock::{Clock, ManualClock, SystemClock};
pub use types::cut::{Cut, Position};
pub use types::error::LogError;
pub use types::record::{
    Appended, MAX_APPEND_BYTES, MAX_APPEND_RECORDS, MAX_KEY_BYTES, MAX_RECORD_BYTES, NewRecord,
    Record,
};
pub use types::topic::{Layout, Topic, partition_for};
