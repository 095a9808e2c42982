//! A clock that jumps, back by years and forward by years, while the house runs and between two starts.

use std::collections::BTreeMap;

use qipp_api::proto::alerts::v1::Condition;
use qipp_api::proto::events::v1::Dataset;
use qipp_eventlog::Topic;
use qipp_tests::Sandbox;
use qipp_tests::facts::{due, owes, small_nation};
use qipp_tests::returns::four_hours;

/// RA1 owes a return for April 2011 that never comes.
async fn house() -> Sandbox {
    let sandbox = Sandbox::start().await;
    let mut facts = small_nation();
    facts.push(owes("RA1", Dataset::Quality, "2011-04"));
    facts.push(due(Dataset::Quality, "2011-04", "2011-05-16"));
    sandbox.record(facts).await;
    sandbox
}

async fn submit(sandbox: &Sandbox, org: &str, numerator: f64) {
    let receipt = sandbox
        .submit(four_hours(org, "2009-01", numerator, 100.0))
        .await;
    sandbox.evaluated(&receipt.cut.unwrap()).await;
}

/// The questions that are open.
async fn open(sandbox: &Sandbox) -> Vec<(String, String, String)> {
    let alerts = sandbox
        .alerts()
        .await
        .into_iter()
        .filter(|alert| alert.condition() == Condition::Holds);
    let mut open: Vec<_> = alerts
        .map(|alert| {
            (
                alert.rule_id,
                alert.org_code,
                alert.finding.unwrap_or_default().period,
            )
        })
        .collect();
    open.sort();
    open
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn times_never_decrease_and_once_the_clock_is_right_so_are_the_alerts() {
    let undisturbed = house().await;
    for (org, numerator) in [
        ("RB1", 1.0),
        ("RB2", 2.0),
        ("RB1", 3.0),
        ("RB2", 4.0),
        ("RB1", 5.0),
    ] {
        submit(&undisturbed, org, numerator).await;
    }
    undisturbed.set_day("2011-06-03");
    submit(&undisturbed, "RB2", 6.0).await;
    let right = open(&undisturbed).await;
    assert!(
        right
            .iter()
            .any(|(rule, org, _)| rule == "R90" && org == "RA1"),
        "{right:?}"
    );

    let mut jumping = house().await;
    submit(&jumping, "RB1", 1.0).await;
    for (day, org, numerator) in [
        ("2009-02-01", "RB2", 2.0),
        ("2031-01-01", "RB1", 3.0),
        ("2011-06-01", "RB2", 4.0),
    ] {
        jumping.set_day(day);
        submit(&jumping, org, numerator).await;
    }
    jumping.close().await;
    jumping.set_day("2008-01-01");
    jumping.open().await;
    let receipt = jumping
        .submit(four_hours("RB1", "2007-01", 5.0, 100.0))
        .await;
    jumping.evaluated(&receipt.cut.unwrap()).await;
    jumping.set_day("2011-06-03");
    submit(&jumping, "RB1", 5.0).await;
    submit(&jumping, "RB2", 6.0).await;
    assert_eq!(open(&jumping).await, right);

    let mut times: BTreeMap<(Topic, u16), i64> = BTreeMap::new();
    for topic in Topic::ALL {
        for record in jumping.records(topic).await {
            let last = times
                .entry((topic, record.position.partition))
                .or_insert(i64::MIN);
            assert!(record.time_ms >= *last, "{:?}", record.position);
            *last = record.time_ms;
        }
    }
    let digest = jumping.status().await.digest;
    jumping.close().await;
    jumping.open().await;
    assert_eq!(jumping.status().await.digest, digest);
}
