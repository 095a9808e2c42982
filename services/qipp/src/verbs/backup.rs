//! `qipp backup`: the whole log as one file, from a running service or from the folder of a stopped one.

pub(crate) mod file;

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use futures::{Stream, StreamExt};
use qipp_access::Role;
use qipp_api::cut::time_to_text;
use qipp_api::proto::log::v1::{ExportLogRequest, ExportLogResponse};
use qipp_eventlog::{Clock as _, SystemClock};

use self::file::{Summary, Writing};
use crate::cli::Reach;
use crate::client::unreachable;
use crate::exit::{self, DIFFERENT, Failure, Outcome};
use crate::output::{json_line, line};
use crate::verbs::verify::{Opened, open};

const HELP: &str = "\
Everything that is durable when it begins is in the file, and everything in the file is checksummed. It is written beside its name and \
gets its name when it is whole. What came later is not in it: the printed cut says where it stands.

Examples:
  qipp backup --to /backups/qipp-2012-04-01.export
  qipp backup --to qipp.export --stopped --data-dir qipp-data    # no service runs
  qipp restore --from qipp.export --data-dir elsewhere";

/// Write the whole log to a file, while the service runs.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(crate) struct BackupArgs {
    /// The file; it must not be there yet.
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
    /// Read the data directory itself (--data-dir). No service may have it open.
    #[arg(long)]
    stopped: bool,
    #[command(flatten)]
    reach: Reach,
}

pub(crate) async fn run(args: BackupArgs) -> Outcome {
    let writing = Writing::begin(&args.to)?;
    let summary = if args.stopped {
        of_folder(&args, writing).await?
    } else {
        let client = args.reach.client(Role::Operator)?;
        let server = args.reach.server.as_str();
        let answer = client.log().export_log(ExportLogRequest::default()).await;
        let parts = answer.map_err(|status| unreachable(server, &status))?;
        let parts = parts
            .into_inner()
            .map(|part| part.map_err(|status| unreachable(server, &status)));
        written(writing, parts).await?
    };
    say(&args, &summary)?;
    Ok(exit::OK)
}

async fn of_folder(args: &BackupArgs, writing: Writing) -> Result<Summary, Failure> {
    let log = match open(&args.reach.data_dir).await? {
        Opened::Whole(log) => log,
        Opened::Damaged(check) => {
            let what = format!("{}; nothing was written", check.shown.join("; "));
            return Err(Failure::new(DIFFERENT, what));
        }
    };
    let cut = log.head();
    let parts = qipp_backup::parts(Arc::clone(&log), cut, time_to_text(SystemClock.now_ms()));
    let summary = written(writing, parts.map(|part| part.map_err(Failure::from))).await;
    log.close().await;
    summary
}

async fn written(
    mut writing: Writing,
    parts: impl Stream<Item = Result<ExportLogResponse, Failure>>,
) -> Result<Summary, Failure> {
    let mut parts = std::pin::pin!(parts);
    while let Some(part) = parts.next().await {
        writing.add(&part?)?;
    }
    Ok(writing.finish()?)
}

fn say(args: &BackupArgs, summary: &Summary) -> Result<(), Failure> {
    if args.reach.json {
        return line(&json_line("qipp.log.v1.ExportBegin", &summary.begin)?);
    }
    let cut = summary.begin.cut.clone().unwrap_or_default();
    line(&format!(
        "{} records, taken at {}, up to the cut {}, in {}",
        summary.end.records,
        summary.begin.taken_at,
        qipp_gateway::cut_text::encode(&cut),
        args.to.display()
    ))
}
