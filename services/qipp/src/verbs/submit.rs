//! `qipp submit`: returns from a file, through the bulk stream, with a progress bar; goes on after a broken connection.

use std::path::PathBuf;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use qipp_access::Role;
use qipp_api::proto::events::v1::Return;
use qipp_api::proto::intake::v1::submit_returns_response::Result as Answer;
use serde_json::json;

use crate::cli::Reach;
use crate::client::Summary;
use crate::exit::{self, Outcome};
use crate::files::{self, ReturnsFormat};
use crate::output::json_line;

/// Most refusals that are printed in full.
const MAX_SHOWN: usize = 20;

/// Submit returns from a file. The file is read whole first: with any fault in it nothing is sent. Sending it again is harmless.
#[derive(Debug, Args)]
pub(crate) struct SubmitArgs {
    /// CSV file, plain or gzipped.
    file: PathBuf,
    /// What the file holds. The columns of each format stand in the documentation of `qipp_api::files` and in the README.
    #[arg(long, value_enum, default_value = "quality")]
    format: ReturnsFormat,
    /// Validate only: the same answers, and nothing is written.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    reach: Reach,
}

pub(crate) async fn run(args: SubmitArgs) -> Outcome {
    let bytes = files::read(&args.file)?;
    let (returns, notes) = files::returns(args.format, &bytes, &files::source(&args.file))
        .map_err(|problems| files::faults(&args.file, &problems))?;
    for note in &notes {
        eprintln!("note: {note}");
    }
    let client = args.reach.client(Role::Submitter)?;
    let bar = progress(returns.len(), "returns");
    let mut shown = 0;
    let summary = client
        .submit_all(&returns, args.dry_run, |index, answer| {
            bar.inc(1);
            if args.reach.json {
                print_json(&returns[index], answer);
            } else if shown < MAX_SHOWN {
                shown += usize::from(bar.suspend(|| print_refusal(&returns[index], answer)));
            }
        })
        .await?;
    bar.finish_and_clear();
    print_summary(&args, &summary)?;
    Ok(if summary.rejected + summary.conflicts > 0 {
        exit::REFUSED
    } else {
        exit::OK
    })
}

/// A bar on standard error; invisible where that is not a terminal.
pub(crate) fn progress(length: usize, what: &'static str) -> ProgressBar {
    let bar = ProgressBar::new(length as u64);
    let style = ProgressStyle::with_template(
        "{msg} [{bar:40}] {human_pos}/{human_len} ({per_sec}, {eta} left)",
    );
    bar.set_style(
        style
            .unwrap_or_else(|_| ProgressStyle::default_bar())
            .progress_chars("=> "),
    );
    bar.set_message(what);
    bar
}

fn print_json(ret: &Return, answer: &Answer) {
    let (name, answer) = match answer {
        Answer::Receipt(receipt) => ("receipt", json_line("qipp.intake.v1.Receipt", receipt)),
        Answer::Rejection(rejection) => (
            "rejection",
            json_line("qipp.intake.v1.Rejection", rejection),
        ),
    };
    let value: serde_json::Value = answer
        .ok()
        .and_then(|line| serde_json::from_str(&line).ok())
        .unwrap_or_default();
    println!(
        "{}",
        json!({ "orgCode": ret.org_code, "period": ret.period, name: value })
    );
}

/// Prints what was refused; says whether it was.
fn print_refusal(ret: &Return, answer: &Answer) -> bool {
    use qipp_api::proto::intake::v1::Decision;
    match answer {
        Answer::Rejection(rejection) => {
            eprintln!("{} {}: refused", ret.org_code, ret.period);
            for problem in &rejection.problems {
                eprintln!(
                    "  {} at {}: {}",
                    problem.code, problem.field, problem.description
                );
            }
            true
        }
        Answer::Receipt(receipt)
            if matches!(receipt.decision(), Decision::Conflict | Decision::KeyReused) =>
        {
            eprintln!(
                "{} {}: conflict, the current revision is {}",
                ret.org_code, ret.period, receipt.revision
            );
            true
        }
        Answer::Receipt(_) => false,
    }
}

fn print_summary(args: &SubmitArgs, summary: &Summary) -> Result<(), exit::Failure> {
    let Summary {
        accepted,
        repeats,
        conflicts,
        rejected,
        warnings,
        cut,
    } = summary;
    if args.reach.json {
        let cut: serde_json::Value = serde_json::from_str(&json_line("qipp.events.v1.Cut", cut)?)?;
        println!(
            "{}",
            json!({ "accepted": accepted, "repeats": repeats, "conflicts": conflicts, "rejected": rejected, "warnings": warnings, "dryRun": args.dry_run, "cut": cut })
        );
    } else {
        let how = if args.dry_run {
            "Dry run, nothing was written"
        } else {
            "Submitted"
        };
        println!(
            "{how}: {accepted} accepted, {repeats} repeats, {conflicts} conflicts, {rejected} rejected; {warnings} warnings."
        );
    }
    Ok(())
}
