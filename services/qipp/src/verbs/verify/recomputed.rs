//! Is every alert what the rules say? Each recorded finding is computed again from the log alone, at the cut and on the day that it cites.

use std::sync::Arc;

use qipp_domain::alert::{AlertFact, Finding, Transition};
use qipp_domain::nation::{Facts, Nation};
use qipp_domain::tenure::Tenures;
use qipp_eventlog::{Cut, EventLog, Position, Record, Topic};
use qipp_projection::lane_of;
use qipp_rules::recompute;

use super::{Check, grouped, on};
use crate::exit::Failure;
use crate::serve::decode;
use crate::verbs::submit::progress;

/// Records read at a time: findings are large, and computing one again takes its time.
const PAGE: usize = 64;

/// Computes everything below `head` again; the nation is what the log made up to there.
pub(super) async fn check(
    log: &dyn EventLog,
    head: &Cut,
    nation: &Arc<Nation>,
) -> Result<Check, Failure> {
    let mut check = Check::new("alerts");
    let mut tenures = Tenures::default();
    let ends: Vec<(u16, u64)> = (0..log.layout().partitions(Topic::Alerts))
        .map(|p| (p, head.next(Topic::Alerts, p)))
        .collect();
    let total: u64 = ends.iter().map(|(_, end)| end).sum();
    let bar = progress(
        usize::try_from(total).unwrap_or(usize::MAX),
        "records of alerts",
    );
    for (partition, end) in ends {
        let mut from = 0;
        while from < end {
            let mut page = log.read(Topic::Alerts, partition, from, PAGE).await?;
            page.retain(|record| record.position.offset < end);
            // A log that ends early was reported as such before.
            let Some(last) = page.last() else { break };
            from = last.position.offset + 1;
            bar.inc(page.len() as u64);
            (check, tenures) = on(nation, move |nation| {
                page.iter()
                    .for_each(|record| check_record(record, nation, &mut tenures, &mut check));
                (check, tenures)
            })
            .await?;
        }
    }
    bar.finish_and_clear();
    let equal = check.checked - check.differences;
    check.summary = format!(
        "{} of {} recorded findings recompute to the same",
        grouped(equal),
        grouped(check.checked)
    );
    Ok(check)
}

/// Records come in the order of their lane.
fn check_record(record: &Record, nation: &Nation, tenures: &mut Tenures, check: &mut Check) {
    // What can't be read was reported before.
    let Ok(read) = decode(&record.key, &record.payload) else {
        return;
    };
    let lane = lane_of(record.position.topic, record.position.partition);
    // Of a writer whose epoch was over the fold saw nothing.
    if tenures.is_superseded(lane, read.epoch) {
        return;
    }
    let facts = match read.facts {
        Facts::Alerts(_, facts) => facts,
        Facts::EpochBegun(tenure) => return tenures.begin(lane, tenure),
        _ => return,
    };
    for fact in facts {
        if let AlertFact::Evaluated {
            alert_id,
            transition,
            finding,
        } = fact
            && is_found(transition)
        {
            check.checked += 1;
            let again = recompute(nation, &finding);
            if again.as_ref() != Some(&finding) {
                check.differ(|| difference(&alert_id, record.position, &finding, again.as_ref()));
            }
        }
    }
}

/// A clear or a withdrawal says what was no longer found: there is nothing to compute again.
fn is_found(transition: Transition) -> bool {
    matches!(
        transition,
        Transition::Raised | Transition::Updated | Transition::Suppressed
    )
}

fn difference(
    alert_id: &str,
    position: Position,
    recorded: &Finding,
    again: Option<&Finding>,
) -> String {
    let Some(again) = again else {
        return format!(
            "{alert_id} at {position}: recorded for {}, and now the rules find nothing",
            recorded.period
        );
    };
    let (held, new) = (&recorded.evidence, &again.evidence);
    let parts = [
        ("severity", recorded.severity == again.severity),
        ("summary", recorded.summary == again.summary),
        ("question", recorded.question == again.question),
        ("roles asked", recorded.asked == again.asked),
        (
            "reason of suppression",
            recorded.suppressed_because == again.suppressed_because,
        ),
        ("rule set", held.rule_set_version == new.rule_set_version),
        ("savings", held.savings == new.savings),
        ("markers", held.markers == new.markers),
        ("late returns", held.late_returns == new.late_returns),
        ("mark of simulated", held.simulated == new.simulated),
        ("joint decision", held.joint == new.joint),
        ("notes", held.notes == new.notes),
    ];
    let differing: Vec<&str> = parts
        .iter()
        .filter(|(_, equal)| !equal)
        .map(|(name, _)| *name)
        .collect();
    format!(
        "{alert_id} at {position} for {}: other {}",
        recorded.period,
        differing.join(", ")
    )
}
