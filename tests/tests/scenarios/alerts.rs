//! Alerts: who is asked, on what evidence, and what makes a question go away; raised once, whatever happens to the process.

use std::collections::BTreeSet;

use qipp_api::proto::alerts::v1::alert_event::Event;
use qipp_api::proto::alerts::v1::{
    Alert, Condition, GetAlertRequest, ListBenchmarksRequest, RecomputeAlertRequest,
};
use qipp_api::proto::events::v1::{
    Cut, Dataset, KnownAt, ReadOptions, Severity, Transition, known_at,
};
use qipp_api::proto::projections::v1::ListRollUpsRequest;
use qipp_domain::Period;
use qipp_eventlog::Topic;
use qipp_tests::harm::{HARMED, LAST};
use qipp_tests::returns::{savings, scheme};
use qipp_tests::{Sandbox, TREE, TRUST, Who, facts, harm};

use crate::loaded;

fn of_rule<'a>(alerts: &'a [Alert], rule: &str) -> Vec<&'a Alert> {
    alerts
        .iter()
        .filter(|alert| alert.rule_id == rule)
        .collect()
}

/// Recomputes every alert there is, and says how many that were.
async fn recompute_all(sandbox: &Sandbox) -> usize {
    let alerts = sandbox.alerts().await;
    for alert in &alerts {
        let request = RecomputeAlertRequest {
            alert_id: alert.alert_id.clone(),
        };
        let answer = sandbox
            .client(Who::National)
            .alerts()
            .recompute_alert(request)
            .await
            .unwrap()
            .into_inner();
        assert!(answer.equal, "{}: {answer:#?}", alert.alert_id);
        assert_eq!(answer.recorded, answer.recomputed);
    }
    alerts.len()
}

/// What happened to an alert, in order.
async fn transitions(sandbox: &Sandbox, alert_id: &str) -> Vec<Transition> {
    let request = GetAlertRequest {
        alert_id: alert_id.to_owned(),
        ..GetAlertRequest::default()
    };
    let history = sandbox
        .client(Who::National)
        .alerts()
        .get_alert(request)
        .await
        .unwrap()
        .into_inner()
        .history;
    let transition = |event: &Event| match event {
        Event::Evaluated(evaluated) => Some(evaluated.transition()),
        Event::Acted(_) => None,
    };
    history
        .iter()
        .filter_map(|entry| transition(entry.event.as_ref().unwrap()))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_trust_whose_savings_do_harm_is_asked_and_nobody_else() {
    let sandbox = loaded::nation().await;
    let alerts = sandbox.alerts().await;
    let asked = of_rule(&alerts, "R01");
    assert_eq!(
        asked
            .iter()
            .map(|alert| alert.org_code.as_str())
            .collect::<Vec<_>>(),
        [HARMED]
    );
    let finding = asked[0].finding.as_ref().unwrap();
    assert_eq!(
        (
            asked[0].condition(),
            finding.severity(),
            finding.period.as_str()
        ),
        (Condition::Holds, Severity::Red, LAST)
    );
    let evidence = finding.evidence.as_ref().unwrap();
    let markers: BTreeSet<&str> = evidence
        .markers
        .iter()
        .map(|held| held.marker.as_str())
        .collect();
    assert_eq!(markers, BTreeSet::from(["CDI", "DM01_6W"]));
    for marker in &evidence.markers {
        assert_eq!(
            (
                marker.baseline_points,
                marker.baseline_from.as_str(),
                marker.points.len()
            ),
            (24, "2009-04", 3)
        );
        assert!(
            !marker.trial && marker.points.iter().all(|point| point.adverse_z > 3.0),
            "{marker:#?}"
        );
    }
    let money = evidence.savings.as_ref().unwrap();
    assert_eq!(money.basis, "same_months_last_year");
    assert_eq!(
        (
            money.last_three_months_pence,
            money.same_months_last_year_pence
        ),
        (Some(450_000_000), Some(300_000_000))
    );
    assert!(
        !finding.question.is_empty()
            && !finding.asked.is_empty()
            && !evidence.rule_set_version.is_empty()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_alert_is_recomputed_from_its_evidence_alone() {
    let sandbox = loaded::nation().await;
    assert!(recompute_all(&sandbox).await > 0);
    // What comes later changes nothing of what was seen then.
    let last: Period = LAST.parse().unwrap();
    let cut = sandbox.submit(harm::unharmed(last)).await.cut.unwrap();
    sandbox.evaluated(&cut).await;
    recompute_all(&sandbox).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn national_values_are_published_as_facts_and_are_the_sums_of_the_returns() {
    let sandbox = loaded::nation().await;
    let request = ListBenchmarksRequest {
        marker: "DM01_6W".to_owned(),
        peer_group: "trust".to_owned(),
        ..ListBenchmarksRequest::default()
    };
    let published = sandbox
        .client(Who::National)
        .alerts()
        .list_benchmarks(request)
        .await
        .unwrap()
        .into_inner()
        .benchmarks;
    let request = ListRollUpsRequest {
        tree: TREE.to_owned(),
        level: "nation".to_owned(),
        marker: "DM01_6W".to_owned(),
        ..ListRollUpsRequest::default()
    };
    let cells = sandbox
        .client(Who::National)
        .projections()
        .list_roll_ups(request)
        .await
        .unwrap()
        .into_inner()
        .cells;
    assert_eq!((published.len(), cells.len()), (36, 36));
    for (value, cell) in published.iter().zip(&cells) {
        let sum = cell.measured.unwrap();
        assert_eq!(
            (&value.period, value.numerator, value.denominator),
            (&cell.period, sum.numerator, sum.denominator)
        );
        assert_eq!(value.organisations, 12);
        assert!(value.cut.is_some());
    }
    assert_eq!(published.last().unwrap().organisations_slipping, 1);
    assert!(sandbox.records(Topic::Benchmarks).await.len() >= 3 * 36);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restatement_that_takes_the_evidence_away_withdraws_the_question_and_hides_nothing_of_the_past()
 {
    let sandbox = loaded::nation().await;
    let before = sandbox.status().await.cut.unwrap();
    let last: Period = LAST.parse().unwrap();
    sandbox.set_day("2012-04-30");
    let corrected: Vec<_> = last
        .plus(-2)
        .unwrap()
        .to(last)
        .map(harm::unharmed)
        .collect();
    let cut = sandbox.submit_all(&corrected).await.cut;
    sandbox.evaluated(&cut).await;

    let alerts = sandbox.alerts().await;
    let withdrawn = of_rule(&alerts, "R01");
    assert_eq!(
        withdrawn.iter().map(|a| a.condition()).collect::<Vec<_>>(),
        [Condition::Withdrawn]
    );
    assert_eq!(
        transitions(&sandbox, &withdrawn[0].alert_id).await.last(),
        Some(&Transition::Withdrawn)
    );
    recompute_all(&sandbox).await;

    sandbox.set_day("2012-05-02");
    let then = |moment: known_at::Moment| {
        let read = ReadOptions {
            known_at: Some(KnownAt {
                moment: Some(moment),
            }),
            ..ReadOptions::default()
        };
        let request = GetAlertRequest {
            read: Some(read),
            alert_id: withdrawn[0].alert_id.clone(),
        };
        let mut alerts = sandbox.client(Who::National).alerts();
        async move {
            alerts
                .get_alert(request)
                .await
                .unwrap()
                .into_inner()
                .alert
                .unwrap()
                .condition()
        }
    };
    assert_eq!(then(known_at::Moment::Cut(before)).await, Condition::Holds);
    assert_eq!(
        then(known_at::Moment::Time("2012-04-20T00:00:00Z".to_owned())).await,
        Condition::Holds
    );
    assert_eq!(
        then(known_at::Moment::Time("2012-05-01T00:00:00Z".to_owned())).await,
        Condition::Withdrawn
    );
}

/// A nation in which two trusts owe savings, one has sent them, and nobody is late yet.
async fn owing() -> Sandbox {
    let sandbox = Sandbox::start().await;
    let mut facts = facts::small_nation();
    facts.push(facts::due(Dataset::Savings, "2011-05", "2011-06-14"));
    facts.extend(["RA1", "RA2"].map(|org| facts::owes(org, Dataset::Savings, "2011-05")));
    let cut = sandbox.record(facts).await;
    for org in ["RA1", "RA2"] {
        sandbox.register(scheme(org, "S-1", "2011-04", 100)).await;
    }
    sandbox
        .submit(savings("RA2", "2011-05", "S-1", 100, 100))
        .await;
    sandbox.evaluated(&cut).await;
    sandbox
}

/// A new day, and something that wakes the evaluator: the deadline of another month.
async fn day(sandbox: &Sandbox, day: &str, other: &str) {
    sandbox.set_day(day);
    let cut = sandbox
        .record(vec![facts::due(Dataset::Savings, other, "2031-01-14")])
        .await;
    sandbox.evaluated(&cut).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_return_is_asked_for_when_its_day_has_passed_and_its_arrival_clears_the_question()
{
    let sandbox = owing().await;
    day(&sandbox, "2011-06-14", "2030-01").await;
    assert_eq!(sandbox.alerts().await.len(), 0, "the last day is in time");
    day(&sandbox, "2011-06-16", "2030-02").await;
    let alerts = sandbox.alerts().await;
    let asked = of_rule(&alerts, "R90");
    assert_eq!(
        asked
            .iter()
            .map(|alert| alert.org_code.as_str())
            .collect::<Vec<_>>(),
        [TRUST]
    );
    let finding = asked[0].finding.as_ref().unwrap();
    let late = &finding.evidence.as_ref().unwrap().late_returns[0];
    assert_eq!(
        (
            late.period.as_str(),
            late.due.as_str(),
            late.working_days_late
        ),
        ("2011-05", "2011-06-14", 2)
    );
    assert_eq!(recompute_all(&sandbox).await, 1);

    let cut = sandbox
        .submit(savings(TRUST, "2011-05", "S-1", 100, 90))
        .await
        .cut
        .unwrap();
    sandbox.evaluated(&cut).await;
    let alerts = sandbox.alerts().await;
    assert_eq!(
        alerts.iter().map(Alert::condition).collect::<Vec<_>>(),
        [Condition::Cleared],
        "late, and no longer missing"
    );
    let known = transitions(&sandbox, &alerts[0].alert_id).await;
    assert_eq!(
        (known.first(), known.last()),
        (Some(&Transition::Raised), Some(&Transition::Cleared))
    );
}

/// What must not change when nothing has happened but a start.
async fn standing(sandbox: &Sandbox) -> (usize, usize, usize, String, Vec<Alert>) {
    let head: Cut = sandbox.status().await.head.unwrap();
    sandbox.evaluated(&head_of_what_is_evaluated(&head)).await;
    let count = |topic| async move { sandbox.records(topic).await.len() };
    let status = sandbox.status().await;
    (
        count(Topic::Returns).await,
        count(Topic::Benchmarks).await,
        count(Topic::Alerts).await,
        status.digest,
        sandbox.alerts().await,
    )
}

/// Evaluation is about the reference data and the returns.
fn head_of_what_is_evaluated(head: &Cut) -> Cut {
    let asked = [Topic::Reference.name(), Topic::Returns.name()];
    Cut {
        next: head
            .next
            .iter()
            .filter(|place| asked.contains(&place.topic.as_str()))
            .cloned()
            .collect(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopping_starting_and_rebuilding_raise_nothing_twice_and_give_the_same_digest() {
    let mut sandbox = loaded::nation().await;
    let before = standing(&sandbox).await;
    assert!(before.2 > 0 && before.3.len() == 64);
    for round in 0..2 {
        sandbox.close().await;
        if round == 1 {
            std::fs::remove_dir_all(sandbox.data().join("projection")).unwrap();
        }
        sandbox.open().await;
        let after = standing(&sandbox).await;
        assert_eq!(after, before, "round {round}");
    }
}
