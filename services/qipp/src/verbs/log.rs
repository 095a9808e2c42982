//! `qipp log`: what a log that no service has open still holds, and saving it, which changes nothing in the folder; and moving house, in `log/`.

mod copy;
mod house;
pub(in crate::verbs) mod place;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use qipp_api::cut::{log_cut_to_proto, time_to_text};
use qipp_api::proto::log::v1::export_log_response::Part;
use qipp_api::proto::log::v1::{ExportEnd, ExportLogResponse, LostRecords};
use qipp_eventlog::{Clock as _, LogError, Lost, Record, Survey, SystemClock, survey};
use serde_json::json;

use crate::exit::{self, DIFFERENT, Failure, NOT_FOUND, Outcome, UNAVAILABLE};
use crate::output::line;
use crate::serve::{has_log, with_code};
use crate::verbs::backup::file::Writing;

const HELP: &str = "\
`check` and `export` are for a log that does not open; how a nation moves to another log: `qipp log copy --help`. Nothing in the folder is changed: the store is looked at in a copy beside it (so that as much room has to be \
free), and its file is searched for every frame whose checksum holds. Exit code 0: all is whole; 7: something is lost, and named.

Examples:
  qipp log check --data-dir qipp-data
  qipp log export --data-dir qipp-data --to whole.export
  qipp restore --from whole.export --data-dir mended";

/// Copy a log into another one; look at a log that no service has open, and save what is whole of a damaged one.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(crate) struct LogArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Say what is whole and what is lost: topic, partition and offsets.
    Check(Where),
    /// Write all whole records to a file for `qipp restore`, and say what is lost.
    Export {
        #[command(flatten)]
        place: Where,
        /// The file; it must not be there yet.
        #[arg(long, value_name = "FILE")]
        to: PathBuf,
    },
    /// Move house: copy a log into another one, a folder or Kafka, and prove that both are equal.
    Copy(copy::CopyArgs),
}

#[derive(Debug, Args)]
struct Where {
    /// Where `qipp serve` keeps its data. No service may have it open.
    #[arg(long, env = "QIPP_DATA_DIR", default_value = "qipp-data")]
    data_dir: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: LogArgs) -> Outcome {
    let looking = match args.verb {
        Verb::Copy(args) => return Box::pin(copy::run(args)).await,
        Verb::Check(place) => tokio::task::spawn_blocking(move || {
            let found = look(&place.data_dir, |_| Ok(()))?;
            told(&place, &found)
        }),
        Verb::Export { place, to } => tokio::task::spawn_blocking(move || export(&place, &to)),
    };
    looking.await?
}

fn look(
    data_dir: &Path,
    each: impl FnMut(Vec<Record>) -> Result<(), LogError>,
) -> Result<Survey, Failure> {
    let path = data_dir.join("log");
    // The survey says more of one that was there and has left a note.
    if !path.join("ends").is_file() {
        let is_there = has_log(data_dir).map_err(|error| Failure::new(DIFFERENT, error))?;
        if !is_there {
            let what = format!(
                "there is no log in {}: name the folder that `qipp serve` keeps its data in, with --data-dir",
                data_dir.display()
            );
            return Err(Failure::new(NOT_FOUND, what));
        }
    }
    survey(&path, each).map_err(|error| match error {
        error @ LogError::AlreadyOpen { .. } => Failure::new(UNAVAILABLE, with_code(&error)),
        error @ LogError::Corrupt { .. } => Failure::new(DIFFERENT, with_code(&error)),
        error => with_code(&error).into(),
    })
}

/// Surveys twice: a file says first how far it goes.
fn export(place: &Where, to: &Path) -> Outcome {
    let mut writing = Writing::begin(to)?;
    let before = look(&place.data_dir, |_| Ok(()))?;
    if before.records == 0 && !before.lost.is_empty() {
        told(place, &before)?;
        let what = "nothing is whole, so that there is nothing to export: `qipp restore` a back-up into another folder";
        return Err(Failure::new(DIFFERENT, what));
    }
    let mut sequence = 0;
    let mut numbered = |part| {
        sequence += 1;
        ExportLogResponse {
            sequence: sequence - 1,
            part: Some(part),
        }
    };
    let taken_at = time_to_text(SystemClock.now_ms());
    let begin = qipp_backup::begin(before.layout, &before.cut, taken_at);
    writing.add(&numbered(Part::Begin(begin)))?;
    let mut failure = None;
    let found = look(&place.data_dir, |records| {
        let Some(first) = records.first() else {
            return Ok(());
        };
        let at = (first.position.topic, first.position.partition);
        let part = numbered(Part::Batch(qipp_backup::batch(at, records)));
        writing.add(&part).map_err(|error| {
            let cause = error.to_string();
            failure = Some(error);
            LogError::Io {
                doing: "write the export",
                cause,
            }
        })
    });
    if let Some(error) = failure {
        return Err(error.into());
    }
    let found = found?;
    let end = ExportEnd {
        records: found.records,
        lost: found.lost.iter().map(lost).collect(),
    };
    writing.add(&numbered(Part::End(end)))?;
    writing.finish()?;
    told(place, &found)
}

fn lost(lost: &Lost) -> LostRecords {
    LostRecords {
        topic: lost.topic.name().to_owned(),
        partition: lost.partition.into(),
        from: lost.from,
        until: lost.until,
        why: lost.why.clone(),
    }
}

fn told(place: &Where, found: &Survey) -> Outcome {
    let cut = qipp_gateway::cut_text::encode(&log_cut_to_proto(&found.cut));
    if place.json {
        let lost = found.lost.iter().map(|lost| {
            json!({"topic": lost.topic.name(), "partition": lost.partition, "from": lost.from, "until": lost.until, "why": lost.why})
        });
        let lost: Vec<_> = lost.collect();
        line(
            &json!({"records": found.records, "cut": cut, "lost": lost, "remarks": found.remarks})
                .to_string(),
        )?;
    } else {
        line(&format!(
            "{} records are whole, of a log up to the cut {cut}",
            found.records
        ))?;
        for lost in &found.lost {
            line(&format!(
                "LOST: {}/{} offsets {} to {}: {}",
                lost.topic,
                lost.partition,
                lost.from,
                lost.until.saturating_sub(1),
                lost.why
            ))?;
        }
        for remark in &found.remarks {
            line(remark)?;
        }
    }
    Ok(if found.lost.is_empty() && found.remarks.is_empty() {
        exit::OK
    } else {
        DIFFERENT
    })
}
