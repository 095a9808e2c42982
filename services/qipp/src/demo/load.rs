//! Loading: month by month, as it would have come in, through the public API.

use anyhow::Context;
use futures::StreamExt;
use indicatif::{ProgressBar, ProgressStyle};
use qipp_api::proto::alerts::v1::ListAlertsRequest;
use qipp_api::proto::events::v1::{Cut, Scheme};
use qipp_api::proto::intake::v1::submit_returns_response::Result as Answer;
use qipp_api::proto::intake::v1::{Problem, SubmitSchemeRequest};
use qipp_domain::Period;
use qipp_eventlog::ManualClock;

use super::sources::{FIRST_MONTH, LAST_MONTH, World};
use super::{Clients, calendar};
use crate::client::Summary;
use crate::exit::{Failure, refusal};
use crate::verbs::register::record;

/// Schemes on their way at the same time.
const SCHEMES_IN_FLIGHT: usize = 64;

/// What became of it all.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    pub(crate) facts: u64,
    pub(crate) schemes: usize,
    pub(crate) summary: Summary,
    /// Returns that were refused, with their first fault.
    pub(crate) refused: Vec<(String, String, Problem)>,
}

/// Registers the reference data, then submits month after month, each on the day on which it would have come in, and waits after each month
/// until the rules have been evaluated on it.
pub(crate) async fn everything(
    clients: &Clients,
    clock: &ManualClock,
    world: &World,
) -> Result<Loaded, Failure> {
    let mut loaded = Loaded::default();
    let facts: Vec<_> = world
        .reference
        .iter()
        .chain(&world.obligations)
        .cloned()
        .collect();
    (loaded.facts, _) = record(&clients.operator, "the demo", facts, false).await?;
    let months: Vec<Period> = FIRST_MONTH.period().to(LAST_MONTH.period()).collect();
    let total = months
        .iter()
        .filter_map(|month| world.returns.get(month))
        .map(Vec::len)
        .sum::<usize>();
    let bar = bar(total);
    for month in &months {
        bar.set_message(month.to_string());
        load_month(clients, clock, world, *month, &mut loaded, &bar).await?;
    }
    bar.set_message("what is missing");
    clock.set(calendar::after_deadline(LAST_MONTH.period()));
    let next = LAST_MONTH
        .period()
        .plus(1)
        .context("the calendar goes on")?;
    record(
        &clients.operator,
        "the demo",
        calendar::deadlines(next).to_vec(),
        false,
    )
    .await?;
    wait_for_evaluation(clients, &head(clients).await?).await?;
    bar.finish_and_clear();
    Ok(loaded)
}

async fn load_month(
    clients: &Clients,
    clock: &ManualClock,
    world: &World,
    month: Period,
    loaded: &mut Loaded,
    bar: &ProgressBar,
) -> Result<(), Failure> {
    clock.set(calendar::morning(month.first_day()));
    if let Some(schemes) = world.schemes.get(&month) {
        loaded.schemes += submit_schemes(clients, schemes).await?;
    }
    clock.set(calendar::submitted(month));
    let Some(returns) = world.returns.get(&month) else {
        return Ok(());
    };
    let refused = &mut loaded.refused;
    let summary = clients
        .collector
        .submit_all(returns, false, |index, answer| {
            bar.inc(1);
            if let Answer::Rejection(rejection) = answer {
                let first = rejection.problems.first().cloned().unwrap_or_default();
                refused.push((
                    returns[index].org_code.clone(),
                    returns[index].period.clone(),
                    first,
                ));
            }
        })
        .await?;
    wait_for_evaluation(clients, &summary.cut).await?;
    let sum = &mut loaded.summary;
    sum.accepted += summary.accepted;
    sum.repeats += summary.repeats;
    sum.conflicts += summary.conflicts;
    sum.rejected += summary.rejected;
    sum.warnings += summary.warnings;
    Ok(())
}

async fn submit_schemes(clients: &Clients, schemes: &[Scheme]) -> Result<usize, Failure> {
    let calls = schemes.iter().map(|scheme| {
        let mut intake = clients.collector.intake();
        let request = SubmitSchemeRequest {
            scheme: Some(scheme.clone()),
            validate_only: false,
        };
        async move {
            intake
                .submit_scheme(request)
                .await
                .map_err(|status| refusal(&status))
        }
    });
    let answers: Vec<_> = futures::stream::iter(calls)
        .buffer_unordered(SCHEMES_IN_FLIGHT)
        .collect()
        .await;
    let count = answers.len();
    answers.into_iter().collect::<Result<Vec<_>, _>>()?;
    Ok(count)
}

/// Waits until the rules have been evaluated on everything up to the cut.
async fn wait_for_evaluation(clients: &Clients, cut: &Cut) -> Result<(), Failure> {
    let request = ListAlertsRequest {
        page_size: 1,
        min_evaluated: Some(cut.clone()),
        ..ListAlertsRequest::default()
    };
    clients
        .national
        .alerts()
        .list_alerts(request)
        .await
        .map_err(|status| refusal(&status))?;
    Ok(())
}

/// The head of the reference topic: what the last calendar facts are part of.
async fn head(clients: &Clients) -> Result<Cut, Failure> {
    let status = clients
        .national
        .projections()
        .get_status(qipp_api::proto::projections::v1::GetStatusRequest::default())
        .await;
    let head = status
        .map_err(|status| refusal(&status))?
        .into_inner()
        .head
        .unwrap_or_default();
    let reference = head
        .next
        .into_iter()
        .filter(|place| place.topic == qipp_eventlog::Topic::Reference.name());
    Ok(Cut {
        next: reference.collect(),
    })
}

fn bar(length: usize) -> ProgressBar {
    let bar = ProgressBar::new(length as u64);
    let style = ProgressStyle::with_template(
        "{msg:>16} [{bar:40}] {human_pos}/{human_len} returns, {elapsed} gone, {eta} left",
    );
    bar.set_style(
        style
            .unwrap_or_else(|_| ProgressStyle::default_bar())
            .progress_chars("=> "),
    );
    bar
}
