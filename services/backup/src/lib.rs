//! Back-up: streams the whole log, as it stands at a cut, while everything else goes on.
//!
//! It reads the log and nothing else, and knows no payload. What is made of the stream (a file, its checksums) is the caller's business. Entry
//! points: [`build`] for the service, [`parts`] for an export of a log that no service has open.

use std::pin::Pin;
use std::sync::Arc;

use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use qipp_access::Target;
use qipp_api::cut::{cut_from_proto, cut_to_log, log_cut_to_proto, time_to_text};
use qipp_api::error::{ApiError, Code};
use qipp_api::proto::log::v1 as wire;
use qipp_api::proto::log::v1::export_log_response::Part;
use qipp_api::proto::log::v1::log_service_server::{LogService, LogServiceServer};
use qipp_eventlog::{Cut, EventLog, Layout, LogError, Record, Topic};
use qipp_serving::{Caller, Deps, log_error};
use tonic::{Request, Response, Status};

/// The version of the export that is written, and the newest that is read.
pub const FORMAT: u32 = 1;
/// Records of a part. A part is bounded in bytes by the log's own reads.
const PART_RECORDS: usize = 1_000;

/// Builds the service.
#[must_use]
pub fn build(deps: Deps) -> LogServiceServer<Backup> {
    LogServiceServer::new(Backup { deps })
}

/// The service.
#[derive(Clone, Debug)]
pub struct Backup {
    deps: Deps,
}

type Answers = Pin<Box<dyn Stream<Item = Result<wire::ExportLogResponse, Status>> + Send>>;

#[tonic::async_trait]
impl LogService for Backup {
    type ExportLogStream = Answers;

    async fn export_log(
        &self,
        request: Request<wire::ExportLogRequest>,
    ) -> Result<Response<Answers>, Status> {
        let caller = Caller::of(&request)?;
        let export = self.export(&caller, &request.into_inner());
        export
            .map(Response::new)
            .map_err(|error| caller.status(error))
    }
}

impl Backup {
    fn export(
        &self,
        caller: &Caller,
        request: &wire::ExportLogRequest,
    ) -> Result<Answers, ApiError> {
        {
            let view = self.deps.follower.view();
            let reference = view.reference(&qipp_domain::KnownAt::Latest);
            caller.may(Target::Everything, &reference)?;
        }
        let cut = match &request.until {
            None => consistent_head(&*self.deps.log),
            Some(until) => {
                let until = cut_from_proto(until, "until").map_err(ApiError::invalid)?;
                cut_to_log(&until)
            }
        };
        if !self.deps.log.head().includes(&cut) {
            let what = "the cut lies beyond the head of the log: export up to a cut that this log has given, or all of it";
            return Err(ApiError::precondition("CUT_BEYOND_HEAD", what));
        }
        let taken_at = time_to_text(self.deps.clock.now_ms());
        let (failing, closing) = (caller.clone(), caller.clone());
        let shutdown = self.deps.shutdown.clone();
        let parts = parts(Arc::clone(&self.deps.log), cut, taken_at)
            .map(move |part| part.map_err(|error| failing.status(log_error(&error))))
            .take_until(shutdown.clone().cancelled_owned());
        // An export that was cut off has no end, and says why.
        let closed = futures::stream::once(async move {
            shutdown.is_cancelled().then(|| {
                let what = "the service is closing: take the back-up again when it is up, or from its folder";
                Err(closing.status(ApiError::new(Code::Unavailable, "SHUTTING_DOWN", what)))
            })
        });
        Ok(Box::pin(parts.chain(closed.filter_map(std::future::ready))))
    }
}

/// Where the log stands, such that nothing in it cites what is not in it: who cites is asked before whom they cite. Alerts rest on national
/// values and returns, national values on returns, returns on reference data.
#[must_use]
pub fn consistent_head(log: &dyn EventLog) -> Cut {
    let mut cut = Cut::new();
    for topic in Topic::ALL.into_iter().rev() {
        let head = log.head();
        for partition in 0..log.layout().partitions(topic) {
            cut.advance_to(topic, partition, head.next(topic, partition));
        }
    }
    cut
}

/// The parts of an export of everything below a cut, which the log has to have reached.
pub fn parts(
    log: Arc<dyn EventLog>,
    cut: Cut,
    taken_at: String,
) -> BoxStream<'static, Result<wire::ExportLogResponse, LogError>> {
    let layout = log.layout();
    let reading = Reading {
        log,
        places: layout.all().collect(),
        cut,
        sequence: 0,
        records: 0,
        next: 0,
        taken_at: Some(taken_at),
        ended: false,
    };
    futures::stream::unfold(reading, |mut reading| async move {
        let part = reading.part().await.transpose()?;
        Some((part, reading))
    })
    .boxed()
}

struct Reading {
    log: Arc<dyn EventLog>,
    /// Partitions that are not read to their end, the one that is being read first.
    places: std::collections::VecDeque<(Topic, u16)>,
    cut: Cut,
    sequence: u64,
    records: u64,
    /// The next offset of the first place.
    next: u64,
    /// Nothing once the beginning was given.
    taken_at: Option<String>,
    ended: bool,
}

impl Reading {
    async fn part(&mut self) -> Result<Option<wire::ExportLogResponse>, LogError> {
        if let Some(taken_at) = self.taken_at.take() {
            let begin = begin(self.log.layout(), &self.cut, taken_at);
            return Ok(Some(self.numbered(Part::Begin(begin))));
        }
        while let Some((topic, partition)) = self.places.front().copied() {
            let until = self.cut.next(topic, partition);
            let mut page = Vec::new();
            if self.next < until {
                page = self
                    .log
                    .read(topic, partition, self.next, PART_RECORDS)
                    .await?;
                page.retain(|record| record.position.offset < until);
            }
            let Some(last) = page.last() else {
                self.places.pop_front();
                self.next = 0;
                continue;
            };
            self.next = last.position.offset + 1;
            self.records += page.len() as u64;
            let batch = batch((topic, partition), page);
            return Ok(Some(self.numbered(Part::Batch(batch))));
        }
        if std::mem::replace(&mut self.ended, true) {
            return Ok(None);
        }
        let end = wire::ExportEnd {
            records: self.records,
            lost: Vec::new(),
        };
        Ok(Some(self.numbered(Part::End(end))))
    }

    fn numbered(&mut self, part: Part) -> wire::ExportLogResponse {
        let sequence = self.sequence;
        self.sequence += 1;
        wire::ExportLogResponse {
            sequence,
            part: Some(part),
        }
    }
}

/// The first part.
#[must_use]
pub fn begin(layout: Layout, cut: &Cut, taken_at: String) -> wire::ExportBegin {
    wire::ExportBegin {
        format: FORMAT,
        returns_partitions: layout.returns.into(),
        alerts_partitions: layout.alerts.into(),
        taken_at,
        cut: Some(log_cut_to_proto(cut)),
    }
}

/// Records of one partition as a part.
#[must_use]
pub fn batch((topic, partition): (Topic, u16), records: Vec<Record>) -> wire::ExportBatch {
    let exported = |record: Record| wire::ExportedRecord {
        offset: record.position.offset,
        time_ms: record.time_ms,
        key: record.key,
        payload: record.payload,
    };
    wire::ExportBatch {
        topic: topic.name().to_owned(),
        partition: partition.into(),
        records: records.into_iter().map(exported).collect(),
    }
}
