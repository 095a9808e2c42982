//! Appending a fact and waiting until the fold has passed it: the log orders, the fold decides, the caller gets the answer.

use std::time::Duration;

use qipp_api::cut::position_to_proto;
use qipp_api::error::{ApiError, Code};
use qipp_api::facts::{self, Meta};
use qipp_api::proto::events::v1 as wire;
use qipp_domain::Cut;
use qipp_domain::nation::Facts;
use qipp_eventlog::{LogError, NewRecord, Position, Topic, partition_for};
use qipp_projection::{WaitError, lane_of};
use tracing::Instrument as _;

use crate::{Caller, Deps};

/// A record that is durable and folded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Where it stands.
    pub position: Position,
    /// When the log accepted it, Unix milliseconds.
    pub time_ms: i64,
    /// A cut that includes it.
    pub cut: Cut,
}

impl Written {
    /// The position on the wire.
    #[must_use]
    pub fn wire_position(&self) -> wire::Position {
        position_to_proto(self.position)
    }
}

impl Deps {
    /// Appends the facts of one record on behalf of a caller, and waits until they are folded.
    ///
    /// # Errors
    /// RESOURCE_EXHAUSTED when the disk is full, UNAVAILABLE when the log is closing, DEADLINE_EXCEEDED when the call's time is up; the
    /// record may then be in the log all the same, and a repeat with the same idempotency key finds out.
    pub async fn append(
        &self,
        caller: &Caller,
        topic: Topic,
        key: &str,
        cause_id: String,
        body: &Facts,
    ) -> Result<Written, ApiError> {
        let meta = Meta {
            cause_id,
            principal: caller.principal.name.clone(),
            request_id: caller.request_id.clone(),
            writer_epoch: 0,
        };
        let what = "the answer of the log (the record may be durable: send it again with the same idempotency key)";
        let appended = caller
            .within(
                "LOG_TOO_SLOW",
                what,
                self.append_record(topic, key, meta, body)
                    .instrument(crate::step!("append", qipp.topic = topic.name())),
            )
            .await??;
        caller
            .within(
                "FOLD_TOO_SLOW",
                what,
                self.follower
                    .wait_for(&appended.cut)
                    .instrument(crate::step!("wait_for_fold")),
            )
            .await?
            .map_err(|error| wait_error(&error))?;
        Ok(appended)
    }

    /// Appends one record without waiting for its fold.
    ///
    /// # Errors
    /// As [`Deps::append`], without the deadline.
    pub async fn append_record(
        &self,
        topic: Topic,
        key: &str,
        meta: Meta,
        body: &Facts,
    ) -> Result<Written, ApiError> {
        let partition = partition_for(key.as_bytes(), self.log.layout().partitions(topic));
        let record = NewRecord {
            key: key.as_bytes().to_vec().into(),
            payload: facts::encode(body, meta),
        };
        let appended = self
            .log
            .append(topic, partition, vec![record])
            .await
            .map_err(|error| log_error(&error))?;
        let Some(done) = appended.first() else {
            return Err(ApiError::new(
                Code::Internal,
                "LOG_ANSWERED_NOTHING",
                "the log acknowledged nothing",
            ));
        };
        let cut = Cut::from_iter([(lane_of(topic, partition), done.position.offset + 1)]);
        Ok(Written {
            position: done.position,
            time_ms: done.time_ms,
            cut,
        })
    }
}

/// When a call should come again that the log could not take.
const RETRY: Duration = Duration::from_secs(1);

/// A failure of the log as the caller sees it.
#[must_use]
pub fn log_error(error: &LogError) -> ApiError {
    let code = match error {
        LogError::StorageFull { .. } => Code::ResourceExhausted,
        // Brokers come back. Whether the record is there is found out by sending it again. Where the brokers are is nobody's business: the
        // cause is for the log lines.
        LogError::Io { doing, .. } => {
            tracing::warn!(%error, "the log failed");
            let what = format!(
                "the log could not {doing} just now: send it again in a moment, a repeat is harmless; if it stays so, have the operator look after the log"
            );
            return ApiError::unavailable(error.code(), what, RETRY);
        }
        LogError::Closed | LogError::Poisoned { .. } => Code::Unavailable,
        LogError::RecordTooLarge { .. } | LogError::AppendTooLarge { .. } => Code::InvalidArgument,
        _ => Code::Internal,
    };
    ApiError::new(code, error.code(), error.to_string())
}

/// A wait in vain as the caller sees it.
#[must_use]
pub fn wait_error(error: &WaitError) -> ApiError {
    match error {
        WaitError::BeyondHead => ApiError::new(
            Code::FailedPrecondition,
            "CUT_BEYOND_HEAD",
            error.to_string(),
        ),
        WaitError::Stopped(_) => {
            ApiError::new(Code::Unavailable, "FOLD_STOPPED", error.to_string())
        }
    }
}
