//! From a submission to its alert on a watcher's stream: returns that each raise one, one after the other.
//!
//! Two markers of two domains get three times as bad in a restatement of the last month. That moves national values, so each one has the
//! rules evaluated for the whole nation.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use qipp_api::proto::alerts::v1::WatchAlertsRequest;
use qipp_api::proto::intake::v1::SubmitReturnRequest;
use qipp_api::proto::projections::v1::GetStatusRequest;

use crate::parts::{Bench, evaluated};
use crate::results::{Side, latencies, note};
use crate::say;

/// How long one alert may take before we give up.
const PATIENCE: Duration = Duration::from_secs(60);
/// Of a nation, the share that may slip before the question is a national one and is not asked of organisations is a third.
const MOST_OF: u32 = 10;
/// Submissions at each size.
const SUBMISSIONS: u32 = 100;

/// Measures our side; the others have no alerts.
pub async fn measure(bench: &Bench) -> anyhow::Result<()> {
    for nation in bench.sizes() {
        let (_, house) = bench.house_of(nation).await?;
        let case = bench.results.of("alerts", &nation.name(), Side::Qipp);
        if evaluated(&house, PATIENCE * 4).await?.is_none() {
            say("the rules were not evaluated in four minutes: left out");
            house.stop().await?;
            continue;
        }
        let (collector, national) = (house.client("collector")?, house.client("national")?);
        let status = national
            .projections()
            .get_status(GetStatusRequest::default())
            .await?;
        let watch = WatchAlertsRequest {
            from: status.into_inner().head,
            filter: None,
        };
        let mut watched = national
            .live_alerts()
            .watch_alerts(watch)
            .await?
            .into_inner();
        let (mut to_alert, mut from_answer) = (latencies(), latencies());
        let until = Instant::now() + Duration::from_secs_f64(bench.seconds() * 2.5);
        for number in 0..SUBMISSIONS.min(nation.orgs / MOST_OF).max(1) {
            let org = number * MOST_OF % nation.orgs;
            let harmed = nation.harmed_return(org, nation.months - 1, 2);
            let request = SubmitReturnRequest {
                r#return: Some(harmed),
                validate_only: false,
            };
            let sent = Instant::now();
            collector.intake().submit_return(request).await?;
            let answered = Instant::now();
            let wanted = nation.org(org).to_string();
            let seen = tokio::time::timeout(PATIENCE, async {
                while let Some(event) = watched.message().await? {
                    if event.alert.is_some_and(|alert| alert.org_code == wanted) {
                        return anyhow::Ok(Instant::now());
                    }
                }
                anyhow::bail!("the watch ended")
            });
            let seen = seen
                .await
                .with_context(|| format!("no alert for {wanted} within a minute"))??;
            note(&mut to_alert, seen - sent);
            note(&mut from_answer, seen.saturating_duration_since(answered));
            if Instant::now() > until {
                break;
            }
        }
        case.percentiles(&to_alert)?;
        case.told(
            "p50 from the answer on",
            "ms",
            from_answer.value_at_quantile(0.5) as f64 / 1e3,
        )?;
        house.stop().await?;
    }
    Ok(())
}
