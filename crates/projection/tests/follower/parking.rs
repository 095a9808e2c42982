//! What cannot be digested parks its key and nobody else.

use qipp_domain::{Dataset, KnownAt, Period};
use qipp_eventlog::Topic;

use crate::fixture::*;

fn newer(number: u8, month: i8) -> Fact {
    Fact::Newer(Box::new(Fact::quality(number, month, 500)))
}

#[tokio::test]
async fn an_undecodable_record_parks_its_organisation_and_the_rest_goes_on() {
    let log = empty_log();
    let (follower, _shutdown) = follow(&log, in_memory()).await;
    append_all(&log, &some_of_everything()).await;
    append_raw(&log, Topic::Returns, "R01", vec![0xff; 3]).await;
    append_raw(&log, Topic::Returns, "R02", Vec::new()).await;
    for number in 0..6 {
        append(&log, &Fact::quality(number, 9, 900)).await;
    }
    append(&log, &Fact::Raised(org(1), 9)).await;
    follower.caught_up().await.unwrap();

    let parked = follower.parked();
    let summary = Vec::from_iter(
        parked
            .iter()
            .map(|p| (p.key.as_str(), p.topic(), p.withheld)),
    );
    let returns = Some(Topic::Returns);
    assert_eq!(summary, [("R01", returns, 1), ("R02", returns, 1)]);
    assert!(parked.iter().all(|p| !p.reason.is_empty()));

    let view = follower.view();
    let september = Period::new(2011, 9).unwrap();
    let known = |number| {
        let ledger = view.ledger(org(number)).unwrap();
        ledger
            .known(Dataset::Quality, september, &KnownAt::Latest)
            .is_some()
    };
    assert_eq!(
        [0, 1, 2, 3, 4, 5].map(known),
        [true, false, false, true, true, true]
    );
    // What was known before stays, and its other topics go on.
    assert_eq!(view.ledger(org(1)).unwrap().histories().count(), 4);
    assert_eq!(view.alerts(org(1)).unwrap().iter().count(), 2);
}

#[tokio::test]
async fn a_record_about_another_organisation_than_its_key_is_parked() {
    let log = empty_log();
    let (follower, _shutdown) = follow(&log, in_memory()).await;
    append(&log, &Fact::Misaddressed(org(1))).await;
    let in_the_wrong_topic = postcard::to_stdvec(&Fact::quality(2, 1, 900)).unwrap();
    append_raw(&log, Topic::Alerts, "R02", in_the_wrong_topic).await;
    follower.caught_up().await.unwrap();
    assert_eq!(follower.view().ledgers().count(), 0);
    let parked = follower.parked();
    assert_eq!(
        Vec::from_iter(parked.iter().map(|p| p.key.as_str())),
        ["R01", "R02"]
    );
}

#[tokio::test]
async fn parking_outlives_a_restart_and_ends_with_a_version_that_can_read_the_record() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().join("store");
    let log = empty_log();
    append_all(&log, &some_of_everything()).await;
    append(&log, &newer(1, 5)).await;
    append(&log, &Fact::quality(1, 6, 900)).await;

    let first = follow(&log, seldom(&store, version_1)).await;
    first.0.caught_up().await.unwrap();
    let parked = first.0.parked();
    assert_eq!((parked.len(), parked[0].withheld), (1, 1));
    stop(first).await;

    append(&log, &Fact::quality(1, 7, 900)).await;
    let second = follow(&log, seldom(&store, version_1)).await;
    second.0.caught_up().await.unwrap();
    assert_eq!(second.0.parked()[0].withheld, 2);
    assert_eq!(second.0.digest(), truth(&log, version_1).await);
    stop(second).await;

    for _ in 0..2 {
        let upgraded = follow(&log, seldom(&store, version_2)).await;
        upgraded.0.caught_up().await.unwrap();
        assert_eq!(upgraded.0.parked(), []);
        assert_eq!(upgraded.0.digest(), truth(&log, version_2).await);
        stop(upgraded).await;
    }
    let aside = std::fs::read_dir(directory.path()).unwrap().count();
    assert_eq!(
        aside, 2,
        "the store and its lock: an outdated store is not a damaged one"
    );
}
