//! What can go wrong with the log. Every message says what to do; every code is stable, so that callers and dashboards
//! can tell failures apart without reading prose.

use crate::types::record::{MAX_APPEND_BYTES, MAX_APPEND_RECORDS};
use crate::{Layout, Position, Topic};
use std::path::PathBuf;

/// Why the log refused or failed. There is no "busy": an append waits for room (back-pressure).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// The disk has not enough room. Nothing of the append was kept.
    #[error(
        "the disk that holds the log is full ({detail}): free some space and try again; nothing that is stored is lost"
    )]
    StorageFull {
        /// What was found.
        detail: String,
    },
    /// Another handle, in this process or another, has the log open.
    #[error(
        "the log at {} is already open: stop the other process that uses it (or close it in this one), then try again",
        path.display()
    )]
    AlreadyOpen {
        /// The log's directory.
        path: PathBuf,
    },
    /// The log was closed.
    #[error("the log is closed: open it again to go on")]
    Closed,
    /// The topic has no such partition.
    #[error(
        "{topic} has partitions 0 to {}, not {partition}: choose the partition by the key and the log's layout",
        partitions.saturating_sub(1)
    )]
    UnknownPartition {
        /// The topic.
        topic: Topic,
        /// What was asked for.
        partition: u16,
        /// How many there are.
        partitions: u16,
    },
    /// A record, or its key, is larger than the log takes.
    #[error(
        "a {what} of {bytes} bytes is more than the {limit} the log takes: make it smaller or split it"
    )]
    RecordTooLarge {
        /// `record` or `key`.
        what: &'static str,
        /// How large it is.
        bytes: usize,
        /// How large it may be.
        limit: usize,
    },
    /// One append has more records, or more bytes, than the log takes at once.
    #[error(
        "an append of {records} records and {bytes} bytes is more than the {max_records} records and {max_bytes} bytes taken at once: append it in parts",
        max_records = MAX_APPEND_RECORDS,
        max_bytes = MAX_APPEND_BYTES
    )]
    AppendTooLarge {
        /// How many records it has.
        records: usize,
        /// How many bytes they have together.
        bytes: usize,
    },
    /// What is stored is not what was written.
    #[error(
        "the log is damaged{}: {what}; nothing is served from it. Keep the folder as it is: `qipp log check` says all that is lost, `qipp log export` saves what is whole, `qipp restore` makes a log of that or of a back-up",
        position.map(|position| format!(" at {position}")).unwrap_or_default()
    )]
    Corrupt {
        /// What does not hold.
        what: String,
        /// Where; nothing when the damage is not at a position.
        position: Option<Position>,
    },
    /// The log was created with other partition counts.
    #[error(
        "the log was created with {stored} partitions, not {asked}: configure what it was created with (serve.returns_partitions, serve.alerts_partitions), because keys are spread by it"
    )]
    LayoutMismatch {
        /// What the log was created with.
        stored: Layout,
        /// What was asked for.
        asked: Layout,
    },
    /// A topic is not on the brokers, and was not to be made.
    #[error(
        "the topic {name} is not on the brokers: look at their address and at the prefix behind it. `qipp serve` makes the topics of a new nation, and `qipp log copy --to` those of a copy"
    )]
    TopicMissing {
        /// Its name there.
        name: String,
    },
    /// A topic is not as the log needs it.
    #[error(
        "the topic {name} has {setting} = {found}, and the log needs {wanted}: {}; nothing was changed",
        remedy(setting)
    )]
    TopicMismatch {
        /// Its name on the brokers.
        name: String,
        /// What is wrong with it.
        setting: String,
        /// What it has to be.
        wanted: String,
        /// What it is.
        found: String,
    },
    /// A record can't be written where it stands in another log.
    #[error("the record {position} can't keep its place here: {what}")]
    CopyMismatch {
        /// Where it stands.
        position: Position,
        /// Why it can't, and what to do.
        what: String,
    },
    /// A configuration that cannot work.
    #[error("the log cannot be opened with {what}: correct the configuration")]
    InvalidConfig {
        /// What is wrong with it.
        what: String,
    },
    /// The log was written by a version of this software that this one does not know.
    #[error(
        "the log has storage format {found} and this version reads up to {supported}: use the version that wrote it, or a newer one"
    )]
    UnsupportedFormat {
        /// The stored format.
        found: u16,
        /// The newest format known here.
        supported: u16,
    },
    /// An earlier write failed half-way, so what the disk holds is in doubt until the log is opened again.
    #[error(
        "the log takes no more records since a write failed ({cause}): look after the disk, then restart; opening verifies all that is stored"
    )]
    Poisoned {
        /// How the earlier write failed.
        cause: String,
    },
    /// Reading or writing failed. An append answered so may or may not be found after a restart.
    #[error(
        "the log could not {doing} ({cause}): look after the disk or the connection, then try again"
    )]
    Io {
        /// What was tried.
        doing: &'static str,
        /// How it failed.
        cause: String,
    },
}

impl LogError {
    /// A short name that never changes.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            LogError::StorageFull { .. } => "LOG_STORAGE_FULL",
            LogError::AlreadyOpen { .. } => "LOG_ALREADY_OPEN",
            LogError::Closed => "LOG_CLOSED",
            LogError::UnknownPartition { .. } => "LOG_UNKNOWN_PARTITION",
            LogError::RecordTooLarge { .. } => "LOG_RECORD_TOO_LARGE",
            LogError::AppendTooLarge { .. } => "LOG_APPEND_TOO_LARGE",
            LogError::Corrupt { .. } => "LOG_CORRUPT",
            LogError::LayoutMismatch { .. } => "LOG_LAYOUT_MISMATCH",
            LogError::TopicMissing { .. } => "LOG_TOPIC_MISSING",
            LogError::TopicMismatch { .. } => "LOG_TOPIC_MISMATCH",
            LogError::CopyMismatch { .. } => "LOG_COPY_MISMATCH",
            LogError::InvalidConfig { .. } => "LOG_INVALID_CONFIG",
            LogError::UnsupportedFormat { .. } => "LOG_UNSUPPORTED_FORMAT",
            LogError::Poisoned { .. } => "LOG_POISONED",
            LogError::Io { .. } => "LOG_IO",
        }
    }
}

/// What to do about a topic in which this is wrong.
fn remedy(setting: &str) -> &'static str {
    match setting {
        "partitions" => {
            "they can't become fewer; delete the topic if nothing is in it, or use another prefix (kafka://BROKERS/PREFIX)"
        }
        "replication factor" => {
            "raise it with kafka-reassign-partitions.sh, or set serve.kafka.replication to what there is if you mean it"
        }
        "min.insync.replicas" => {
            "raise it with kafka-configs.sh --alter, or set serve.kafka.min_insync to what there is if you mean it"
        }
        _ => "set it so with kafka-configs.sh --alter",
    }
}
