//! `qipp submit`: returns from a file, through the bulk stream, with a progress bar; goes on after a broken connection.

use std::path::PathBuf;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use qipp_access::Role;
use qipp_api::error::Problem;
use qipp_api::files::{Places, Sheet};
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

/// Submit returns from a file: all of it or nothing. The file is read and validated whole first, and with any fault in it, of form or of
/// meaning, all are told with line and column and nothing is written. Sending it again is harmless.
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
    let sheet = files::sheet(args.format, &bytes, &files::source(&args.file));
    for note in &sheet.notes {
        eprintln!("note: {note}");
    }
    let checked = check(&args, &sheet).await;
    let (answers, found) = match checked {
        Ok(checked) => checked,
        // What the file itself says is certain: a service that can't be asked adds nothing to it.
        Err(failure) if !sheet.problems.is_empty() => {
            eprintln!(
                "note: the rows that could be read were not validated: {}",
                failure.error
            );
            Default::default()
        }
        Err(failure) => return Err(failure),
    };
    let problems = sheet.all_problems(found);
    if !problems.is_empty() {
        return Err(files::faults(&args.file, problems));
    }
    if args.dry_run {
        if args.reach.json {
            for (ret, answer) in sheet.returns.iter().zip(&answers.each) {
                print_json(ret, answer);
            }
        }
        print_summary(&args, &answers.summary)?;
        return Ok(exit::OK);
    }
    submit(&args, &sheet).await
}

/// What a dry run said.
#[derive(Default)]
struct Answers {
    summary: Summary,
    each: Vec<Answer>,
}

/// Every fault that validation finds, by the index of its return.
type Found = Vec<(usize, Problem)>;

/// All returns in a dry run, so that nothing is written of a file of which anything would be refused.
async fn check(args: &SubmitArgs, sheet: &Sheet) -> Result<(Answers, Found), exit::Failure> {
    if sheet.returns.is_empty() {
        return Ok(Default::default());
    }
    let client = args.reach.client(Role::Submitter)?;
    let bar = progress(sheet.returns.len(), "validated");
    let (mut each, mut found) = (Vec::new(), Vec::new());
    let summary = client
        .submit_all(&sheet.returns, true, |index, answer| {
            bar.inc(1);
            found.extend(refused(answer).into_iter().map(|problem| (index, problem)));
            if args.dry_run && args.reach.json {
                each.push(answer.clone());
            }
        })
        .await;
    bar.finish_and_clear();
    Ok((
        Answers {
            summary: summary?,
            each,
        },
        found,
    ))
}

/// All returns for good. Something may have changed since they were checked: then what was refused is told, and what was accepted stands.
async fn submit(args: &SubmitArgs, sheet: &Sheet) -> Outcome {
    let client = args.reach.client(Role::Submitter)?;
    let bar = progress(sheet.returns.len(), "returns");
    let (mut shown, mut answered) = (0, 0);
    let summary = client
        .submit_all(&sheet.returns, false, |index, answer| {
            bar.inc(1);
            answered += 1;
            let ret = &sheet.returns[index];
            if args.reach.json {
                print_json(ret, answer);
                return;
            }
            let problems = refused(answer);
            if !problems.is_empty() && shown < MAX_SHOWN {
                shown += 1;
                bar.suspend(|| print_refusal(ret, &sheet.places[index], problems));
            }
        })
        .await;
    bar.finish_and_clear();
    let summary = summary.map_err(|failure| {
        let what = format!(
            "{:#}; {answered} of {} returns were answered and stand: send the file again, repeats are harmless",
            failure.error,
            sheet.returns.len()
        );
        exit::Failure::new(failure.code, what)
    })?;
    print_summary(args, &summary)?;
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

/// Why a return was not taken; nothing when it was.
fn refused(answer: &Answer) -> Vec<Problem> {
    use qipp_api::proto::intake::v1::Decision;
    match answer {
        Answer::Rejection(rejection) => {
            let problem = |p: &qipp_api::proto::intake::v1::Problem| Problem {
                code: p.code.clone().into(),
                field: p.field.clone(),
                description: p.description.clone(),
            };
            rejection.problems.iter().map(problem).collect()
        }
        Answer::Receipt(receipt)
            if matches!(receipt.decision(), Decision::Conflict | Decision::KeyReused) =>
        {
            let description = format!(
                "another return was faster: the current revision is {}",
                receipt.revision
            );
            vec![Problem {
                code: "CONFLICT".into(),
                field: "return".to_owned(),
                description,
            }]
        }
        Answer::Receipt(_) => Vec::new(),
    }
}

fn print_refusal(ret: &Return, places: &Places, problems: Vec<Problem>) {
    eprintln!("{} {}: refused", ret.org_code, ret.period);
    for problem in problems {
        let problem = places.of(problem);
        let Problem {
            code,
            field,
            description,
        } = &problem;
        eprintln!("  {code} at {field}: {description}");
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
