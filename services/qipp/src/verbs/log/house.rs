//! The log of a running house, streamed to its operator: compared with what a target holds, and copied.

use futures::StreamExt as _;
use qipp_api::cut::log_cut_to_proto;
use qipp_api::proto::log::v1::export_log_response::Part;
use qipp_api::proto::log::v1::{ExportBegin, ExportLogRequest, ExportLogResponse};
use qipp_eventlog::copy::{Copied, Copying, Digesting, Progress, Stage};
use qipp_eventlog::{Cut, Layout, Record};
use tonic::{Code, Status, Streaming};

use super::copy::copy_failure;
use super::place::Target;
use crate::client::{Client, unreachable};
use crate::exit::{DIFFERENT, FAILED, Failure};
use crate::verbs::backup::file::Whole;
use crate::verbs::restore::{cut, layout, records};

/// A house whose log is copied.
#[derive(Debug)]
pub(super) struct House {
    client: Client,
    url: String,
}

impl House {
    pub(super) fn new(client: Client, url: &str) -> Self {
        Self {
            client,
            url: url.to_owned(),
        }
    }

    /// The layout of its log.
    pub(super) async fn layout(&self) -> Result<Layout, Failure> {
        let export = self.export(Some(&Cut::new())).await?;
        Ok(layout(&export.begin)?)
    }

    /// Copies what is durable there now, and what the target does not have.
    pub(super) async fn copy(
        &self,
        source_layout: Layout,
        target: &Target,
        partitions_at_once: usize,
        progress: &Progress,
    ) -> Result<Copied, Failure> {
        let copying = Copying::begin(source_layout, &*target.log, progress).await;
        let mut copying = copying.map_err(|error| copy_failure(&error))?;
        self.compare(&mut copying, progress).await?;

        let mut export = self.export(None).await?;
        let until = cut(&export.begin)?;
        progress.begin(Stage::Copying, between(copying.held(), &until));
        let mut digesting = Digesting::new(source_layout);
        while let Some(records) = export.next().await? {
            digesting.add(&records);
            let appended = copying.append(records).await;
            appended.map_err(|error| copy_failure(&error))?;
        }
        export.finished()?;
        progress.begin(Stage::Proving, between(&Cut::new(), &until));
        let proved = copying.prove(until, digesting.finish(), partitions_at_once);
        proved.await.map_err(|error| copy_failure(&error))
    }

    /// Compares all that the target holds, before anything is written to it.
    async fn compare(&self, copying: &mut Copying<'_>, progress: &Progress) -> Result<(), Failure> {
        let held = copying.held().clone();
        if held.is_empty() {
            return Ok(());
        }
        progress.begin(Stage::Comparing, between(&Cut::new(), &held));
        let mut export = self.export(Some(&held)).await?;
        while let Some(records) = export.next().await? {
            let compared = copying.compare(&records).await;
            compared.map_err(|error| copy_failure(&error))?;
        }
        export.finished()?;
        let compared = copying.compared(&held).await;
        compared.map_err(|error| copy_failure(&error))
    }

    async fn export(&self, until: Option<&Cut>) -> Result<Export<'_>, Failure> {
        let request = ExportLogRequest {
            until: until.map(log_cut_to_proto),
        };
        let answer = self.client.log().export_log(request).await;
        let parts = answer.map_err(|status| self.failure(&status))?.into_inner();
        let mut export = Export {
            house: self,
            parts,
            whole: Whole::default(),
            begin: ExportBegin::default(),
        };
        match export.part().await? {
            Some(Part::Begin(begin)) => export.begin = begin,
            _ => return Err(broken_off("it did not begin")),
        }
        Ok(export)
    }

    fn failure(&self, status: &Status) -> Failure {
        let failure = unreachable(&self.url, status);
        // The only cut that is asked for is what a target holds.
        if status.code() == Code::FailedPrecondition {
            let what = format!(
                "the target goes beyond the source (COPY_TARGET_BEYOND): {:#}. If a service has written to the target since, it has the newer log: copy the other way round, or name a new target",
                failure.error
            );
            return Failure::new(DIFFERENT, what);
        }
        failure
    }
}

/// A stream of the log.
struct Export<'a> {
    house: &'a House,
    parts: Streaming<ExportLogResponse>,
    whole: Whole,
    begin: ExportBegin,
}

impl Export<'_> {
    async fn part(&mut self) -> Result<Option<Part>, Failure> {
        let Some(part) = self.parts.next().await else {
            return Ok(None);
        };
        let part = part.map_err(|status| self.house.failure(&status))?;
        self.whole.note(&part)?;
        Ok(part.part)
    }

    /// The next records, of one partition.
    async fn next(&mut self) -> Result<Option<Vec<Record>>, Failure> {
        match self.part().await? {
            Some(Part::Batch(batch)) => Ok(Some(records(batch)?)),
            _ => Ok(None),
        }
    }

    /// Was it whole?
    fn finished(self) -> Result<(), Failure> {
        let ended = self.whole.finished();
        ended
            .map(|_| ())
            .map_err(|error| broken_off(&error.to_string()))
    }
}

fn broken_off(how: &str) -> Failure {
    let what =
        format!("the stream of the log broke off: {how}. Run it again; it goes on from there");
    Failure::new(FAILED, what)
}

/// How many offsets lie between two cuts.
fn between(from: &Cut, until: &Cut) -> u64 {
    let offsets = until
        .iter()
        .map(|((topic, partition), next)| next.saturating_sub(from.next(topic, partition)));
    offsets.sum()
}
