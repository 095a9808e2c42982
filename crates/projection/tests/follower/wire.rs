//! The real wire format: what the services append is what a follower folds.

use bytes::Bytes;
use qipp_api::facts::{Meta, decode, encode};
use qipp_domain::{Dataset, KnownAt, Period};
use qipp_eventlog::{EventLog, Layout, Topic};
use qipp_projection::{Decoded, FollowerConfig, StoreConfig, domain_cut, lane_of, place_of};

use crate::fixture::*;

fn real(key: &[u8], payload: &Bytes) -> Result<Decoded, String> {
    let (meta, facts) = decode(key, payload.clone()).map_err(|error| error.to_string())?;
    Ok(Decoded {
        by: meta.principal,
        epoch: meta.writer_epoch,
        facts,
    })
}

#[tokio::test]
async fn facts_in_the_wire_format_fold_and_what_is_no_envelope_parks() {
    let log = empty_log();
    for fact in some_of_everything() {
        let (topic, key) = fact.place();
        let meta = Meta {
            principal: "R01-submitter".into(),
            ..Meta::default()
        };
        append_raw(&log, topic, &key, encode(&fact.facts(), meta).to_vec()).await;
    }
    append_raw(&log, Topic::Returns, "R05", b"no envelope".to_vec()).await;
    let config = FollowerConfig::new(StoreConfig::Memory, real);
    let (follower, _shutdown) = follow(&log, config).await;
    follower.caught_up().await.unwrap();

    let parked = follower.parked();
    assert_eq!(
        Vec::from_iter(parked.iter().map(|p| p.key.as_str())),
        ["R05"]
    );
    let view = follower.view();
    let counts = view.counts();
    assert_eq!(
        (counts.organisations, counts.returns, counts.alerts),
        (6, 25, 6)
    );
    let february = Period::new(2011, 2).unwrap();
    let ledger = view.ledger(org(1)).unwrap();
    let known = ledger.known(Dataset::Quality, february, &KnownAt::Latest);
    assert_eq!(known.unwrap().submitted_by, "R01-submitter");
}

#[tokio::test]
async fn lanes_are_those_of_the_wire() {
    for (topic, partition) in Layout::default().all() {
        let lane = lane_of(topic, partition);
        assert_eq!(lane, qipp_api::cut::lane_of(topic, partition));
        assert_eq!(place_of(lane), qipp_api::cut::place_of(lane));
    }
    let log = empty_log();
    append_all(&log, &some_of_everything()).await;
    let head = log.head();
    assert_eq!(domain_cut(&head), qipp_api::cut::cut_from_log(&head));
}
