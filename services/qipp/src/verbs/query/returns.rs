//! Returns themselves: who has sent what, and every revision of one.

use clap::Args;
use jiff::civil::Date;
use qipp_api::proto::events::v1::{self as events, r#return::Body};
use qipp_api::proto::projections::v1::{GetCompletenessRequest, ListRevisionsRequest, Revision};
use qipp_domain::{OrgCode, Period, Slug};

use super::{Asker, DatasetArg, text};
use crate::exit::Failure;
use crate::output::{Table, line, simulated, word};

/// Arguments of `qipp query completeness`.
#[derive(Debug, Args)]
#[command(
    after_help = "Example: qipp query completeness quality 2012-03 --tree region7 --node Y54"
)]
pub(crate) struct CompletenessArgs {
    /// Which return.
    #[arg(value_enum)]
    dataset: DatasetArg,
    /// Month, YYYY-MM.
    period: Period,
    /// Only what stands at and below --node in this tree.
    #[arg(long, requires = "node")]
    tree: Option<Slug>,
    /// The node of --tree.
    #[arg(long, value_name = "CODE", requires = "tree")]
    node: Option<OrgCode>,
    /// The day that counts as today, YYYY-MM-DD: what is late depends on it. Without it: today.
    #[arg(long, value_name = "DAY")]
    as_of: Option<Date>,
}

pub(super) async fn completeness(asker: &Asker, args: CompletenessArgs) -> Result<(), Failure> {
    let request = GetCompletenessRequest {
        read: asker.read.clone(),
        dataset: events::Dataset::from(args.dataset).into(),
        period: args.period.to_string(),
        tree: text(args.tree),
        node_code: text(args.node),
        as_of: text(args.as_of),
    };
    let answer = asker.client.projections().get_completeness(request).await;
    let Some(answer) = asker.answer(answer)? else {
        return Ok(());
    };
    let due = if answer.due.is_empty() {
        "no deadline is set".to_owned()
    } else {
        format!("due {}", answer.due)
    };
    line(&format!(
        "{}: {} expected ({due}): {} in time, {} late, {} missing, {} not yet due\n",
        args.period,
        answer.expected,
        answer.in_time,
        answer.late,
        answer.missing,
        answer.not_yet_due
    ))?;
    let mut table = Table::new(&[
        "organisation",
        "state",
        "first received",
        ">working days late",
        ">revisions",
    ]);
    for submission in &answer.submissions {
        let late = submission.working_days_late;
        table.row(vec![
            submission.org_code.clone(),
            word(submission.state().as_str_name(), "SUBMISSION_STATE_").replace('_', " "),
            submission.received_at.clone(),
            if late > 0 {
                late.to_string()
            } else {
                String::new()
            },
            submission.revisions.to_string(),
        ]);
    }
    table.show()
}

/// Arguments of `qipp query revisions`.
#[derive(Debug, Args)]
#[command(
    after_help = "Example: qipp query revisions RJ1 quality 2012-03\nWith --json every revision comes with its figures."
)]
pub(crate) struct RevisionsArgs {
    /// ODS code of the organisation.
    org: OrgCode,
    /// Which return.
    #[arg(value_enum)]
    dataset: DatasetArg,
    /// Month, YYYY-MM.
    period: Period,
}

pub(super) async fn revisions(asker: &Asker, args: RevisionsArgs) -> Result<(), Failure> {
    let request = ListRevisionsRequest {
        read: asker.read.clone(),
        org_code: args.org.to_string(),
        dataset: events::Dataset::from(args.dataset).into(),
        period: args.period.to_string(),
    };
    let answer = asker.client.projections().list_revisions(request).await;
    let Some(answer) = asker.answer(answer)? else {
        return Ok(());
    };
    let mut table = Table::new(&[
        ">revision",
        "received",
        "by",
        "status",
        ">values",
        "source",
        "remarks",
        "simulated",
    ]);
    for revision in &answer.revisions {
        table.row(revision_row(revision));
    }
    table.show()
}

fn revision_row(revision: &Revision) -> Vec<String> {
    let content = revision.r#return.clone().unwrap_or_default();
    let (values, any_simulated) = match &content.body {
        Some(Body::Savings(savings)) => (
            savings.lines.len(),
            savings.lines.iter().any(|line| line.simulated),
        ),
        Some(Body::Quality(quality)) => (
            quality.observations.len(),
            quality.observations.iter().any(|o| o.simulated),
        ),
        None => (0, false),
    };
    vec![
        revision.revision.to_string(),
        revision.received_at.clone(),
        revision.submitted_by.clone(),
        word(content.status().as_str_name(), "RETURN_STATUS_"),
        values.to_string(),
        content.source.clone(),
        content.narrative,
        simulated(any_simulated),
    ]
}
