//! `qipp restore`: a data directory from a back-up, as the log stood at its end, at a cut or at a time.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;
use qipp_api::cut::{cut_from_proto, cut_to_log, time_from_text};
use qipp_api::proto::events::v1::Cut as WireCut;
use qipp_api::proto::log::v1::export_log_response::Part;
use qipp_api::proto::log::v1::{ExportBatch, ExportBegin, ExportLogResponse};
use qipp_eventlog::{
    Cut, EmbeddedConfig, EmbeddedLog, EventLog as _, Layout, Position, Record, Restoring, Topic,
};
use qipp_projection::{digest_of, domain_cut, fold_to};
use serde_json::json;

use crate::exit::{self, Failure, Outcome, REFUSED};
use crate::output::line;
use crate::serve::decode;
use crate::verbs::backup::file;
use crate::verbs::query;

const HELP: &str = "\
The whole file is read and its checksums are verified before anything is written. Positions, times and bytes are those of the original. The digest \
that is printed is that of the original at the same cut; compare it with `qipp verify` or `qipp query status --digest`. Keys are not in a \
back-up: `qipp serve` makes new ones, or put the folder `keys` back.

Examples:
  qipp restore --from qipp.export --data-dir elsewhere
  qipp restore --from qipp.export --data-dir elsewhere --at 2012-04-01T00:00:00Z
  qipp restore --from qipp.export --data-dir elsewhere --cut reference.0-1498~returns.0-15.1-9";

/// Make a data directory from a back-up, as the log stood at its end, at a cut or at a time.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(crate) struct RestoreArgs {
    /// A file of `qipp backup`.
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
    /// The folder to make. It must not be there yet, or be empty.
    #[arg(long, value_name = "FOLDER")]
    data_dir: PathBuf,
    /// Everything below this cut and nothing else: as receipts and `qipp backup` name it, or as JSON.
    #[arg(long, value_parser = parse_cut, conflicts_with = "at")]
    cut: Option<WireCut>,
    /// Everything that was received by this time and nothing else (RFC 3339).
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    at: Option<i64>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

fn parse_cut(text: &str) -> Result<WireCut, String> {
    if text.starts_with('{') {
        return query::parse_cut(text);
    }
    qipp_gateway::cut_text::decode(text).ok_or_else(|| {
        "give a cut as `qipp backup` prints it, for example returns.4-1754, or as JSON".to_owned()
    })
}

fn parse_time(text: &str) -> Result<i64, String> {
    time_from_text(text)
        .ok_or_else(|| "give a time with offset, for example 2012-04-01T00:00:00Z".to_owned())
}

/// What is wanted of a back-up.
enum Until {
    End,
    Cut(Cut),
    Time(i64),
}

impl Until {
    fn wants(&self, record: &Record) -> bool {
        match self {
            Self::End => true,
            Self::Cut(cut) => cut.covers(record.position),
            Self::Time(time_ms) => record.time_ms <= *time_ms,
        }
    }
}

pub(crate) async fn run(args: RestoreArgs) -> Outcome {
    let until = match (&args.cut, args.at) {
        (Some(cut), _) => {
            let read = cut_from_proto(cut, "cut");
            let read =
                read.map_err(|problems| Failure::new(exit::USAGE, format!("{problems:?}")))?;
            Until::Cut(cut_to_log(&read))
        }
        (None, Some(time_ms)) => Until::Time(time_ms),
        (None, None) => Until::End,
    };
    if std::fs::read_dir(&args.data_dir).is_ok_and(|mut held| held.next().is_some()) {
        let what = format!(
            "{} holds something already: name a folder that is empty or not there; nothing was written",
            args.data_dir.display()
        );
        return Err(Failure::new(REFUSED, what));
    }
    let (from, data_dir) = (args.from.clone(), args.data_dir.clone());
    let restored = tokio::task::spawn_blocking(move || restore(&from, &data_dir, &until)).await?;
    let (records, layout) = restored.map_err(|error| Failure {
        code: REFUSED,
        error,
    })?;
    let (digest, cut) = Box::pin(digest(&args.data_dir, layout)).await?;
    let cut = qipp_gateway::cut_text::encode(&qipp_api::cut::log_cut_to_proto(&cut));
    if args.json {
        line(&json!({"records": records, "cut": cut, "digest": digest}).to_string())?;
    } else {
        line(&format!(
            "{records} records in {}, up to the cut {cut}",
            args.data_dir.display()
        ))?;
        line(&format!("digest {digest}"))?;
    }
    Ok(exit::OK)
}

/// Reads the file twice: all of it to verify it, and again to write it.
fn restore(from: &Path, data_dir: &Path, until: &Until) -> anyhow::Result<(u64, Layout)> {
    let summary = file::read(from, |_| Ok(()))?;
    let held = cut(&summary.begin)?;
    if let Until::Cut(cut) = until
        && !held.includes(cut)
    {
        bail!("the cut lies beyond the end of the back-up; nothing was written");
    }
    let layout = layout(&summary.begin)?;
    // Made beside its place, so that what was broken off is never taken for a log.
    let (making, log) = (data_dir.join("log.restoring"), data_dir.join("log"));
    let made = write(from, &making, layout, until);
    let records = match made {
        Ok(records) => records,
        Err(error) => {
            let _ = std::fs::remove_dir_all(&making);
            return Err(error);
        }
    };
    std::fs::rename(&making, &log)?;
    File::open(data_dir)?.sync_all()?;
    Ok((records, layout))
}

fn write(from: &Path, making: &Path, layout: Layout, until: &Until) -> anyhow::Result<u64> {
    let mut restoring = Restoring::begin(making, layout)?;
    let mut count = 0;
    file::read(from, |part: ExportLogResponse| {
        if let Some(Part::Batch(batch)) = part.part {
            let mut records = records(batch)?;
            records.retain(|record| until.wants(record));
            restoring.add(&records)?;
            count += records.len() as u64;
        }
        Ok(())
    })?;
    restoring.finish()?;
    Ok(count)
}

/// How far an export goes.
pub(crate) fn cut(begin: &ExportBegin) -> anyhow::Result<Cut> {
    let cut = cut_from_proto(&begin.cut.clone().unwrap_or_default(), "cut");
    let cut = cut.map_err(|problems| anyhow::anyhow!("{problems:?}"))?;
    Ok(cut_to_log(&cut))
}

/// The layout that an export says.
pub(crate) fn layout(begin: &ExportBegin) -> anyhow::Result<Layout> {
    let partitions = |count: u32| u16::try_from(count).context("a layout that no log can have");
    Ok(Layout {
        returns: partitions(begin.returns_partitions)?,
        alerts: partitions(begin.alerts_partitions)?,
    })
}

/// The records of a part of an export.
pub(crate) fn records(batch: ExportBatch) -> anyhow::Result<Vec<Record>> {
    let topic = Topic::from_name(&batch.topic)
        .with_context(|| format!("an unknown topic {}", batch.topic))?;
    let partition = u16::try_from(batch.partition).context("a partition that no log can have")?;
    let record = |exported: qipp_api::proto::log::v1::ExportedRecord| Record {
        position: Position {
            topic,
            partition,
            offset: exported.offset,
        },
        time_ms: exported.time_ms,
        key: exported.key,
        payload: exported.payload,
    };
    Ok(batch.records.into_iter().map(record).collect())
}

/// Opens what was made, as the service will, and folds it.
async fn digest(data_dir: &Path, layout: Layout) -> anyhow::Result<(String, Cut)> {
    let path = data_dir.join("log");
    let config = EmbeddedConfig {
        layout,
        ..EmbeddedConfig::default()
    };
    let log = tokio::task::spawn_blocking(move || EmbeddedLog::open(path, config)).await??;
    let head = log.head();
    let (nation, _) = fold_to(&log, decode, &domain_cut(&head)).await?;
    let digest = tokio::task::spawn_blocking(move || digest_of(&nation)).await?;
    log.close().await;
    Ok((digest, head))
}
