//! One writer at a time: what a writer wrote after its epoch was over is not there, on any replica.

use std::collections::BTreeMap;

use proptest::prelude::*;
use qipp_domain::nation::{Key, Nation};
use qipp_domain::tenure::{EPOCH_KEY, Tenure};
use qipp_domain::{MarkerCode, Stamp};
use qipp_eventlog::{EventLog, MemoryLog, Topic};
use qipp_projection::{digest_of, lane_of, place_of};

use crate::fixture::*;

/// The lanes with one writer in the layout of the fixture.
const LANES: [(Topic, u16); 3] = [
    (Topic::Benchmarks, 0),
    (Topic::Alerts, 0),
    (Topic::Alerts, 1),
];

async fn begin(log: &MemoryLog, (topic, partition): (Topic, u16), epoch: u64, holder: &str) {
    let begun = Fact::Begun(epoch, holder.to_owned());
    let payload = postcard::to_stdvec(&begun).unwrap();
    append_to(log, topic, partition, EPOCH_KEY, payload).await;
}

fn of(epoch: u64, fact: Fact) -> Fact {
    Fact::Of(epoch, Box::new(fact))
}

#[derive(Clone, Debug)]
enum Step {
    /// In one lane, so that beginnings that were broken off and beginnings that overtake each other are among them.
    Begin(usize, u64, bool),
    Write(Fact),
    Restart,
}

fn any_step() -> impl Strategy<Value = Step> {
    let written = prop_oneof![
        2 => (0..4_u8, 1..3_i8).prop_map(|(o, month)| Fact::Raised(org(o), month)),
        2 => (1..3_i8, 0..4_u32)
            .prop_map(|(month, n)| Fact::National(MarkerCode::new("AE_4H").unwrap(), month, n)),
    ];
    let acted = (0..4_u8, 1..3_i8, any::<bool>(), 0..4_u32)
        .prop_map(|(o, month, acknowledges, n)| Fact::Acted(org(o), month, acknowledges, n));
    prop_oneof![
        3 => (0..LANES.len(), 1..5_u64, any::<bool>()).prop_map(|(l, e, first)| Step::Begin(l, e, first)),
        6 => (1..5_u64, written).prop_map(|(epoch, fact)| Step::Write(of(epoch, fact))),
        2 => acted.prop_map(Step::Write),
        1 => Just(Step::Restart),
    ]
}

/// What the log says, by a second and simpler reading: record by record, and what is superseded left out.
async fn expected(log: &MemoryLog) -> (String, u64) {
    let (mut nation, mut superseded) = (Nation::default(), 0);
    for (topic, partition) in log.layout().all() {
        let mut current = 0;
        for record in log.read(topic, partition, 0, usize::MAX).await.unwrap() {
            let read = version_1(&record.key, &record.payload).unwrap();
            if read.epoch != 0 && read.epoch < current {
                superseded += 1;
                continue;
            }
            if let qipp_domain::nation::Facts::EpochBegun(tenure) = &read.facts {
                current = tenure.epoch;
            }
            let stamp = Stamp {
                lane: lane_of(topic, partition),
                offset: record.position.offset,
                time_ms: record.time_ms,
            };
            nation.apply(stamp, &read.by, read.facts);
        }
    }
    (digest_of(&nation), superseded)
}

async fn run(steps: Vec<Step>, seed: u64) {
    let directory = tempfile::tempdir().unwrap();
    let config = || often(&directory.path().join("store"), version_1);
    let log = log_with_gaps(seed);
    let mut durable = follow(&log, config()).await;
    let in_memory = follow(&log, in_memory()).await;
    for step in steps {
        match step {
            Step::Begin(lane, epoch, first) => {
                let holder = if first { "a" } else { "b" };
                begin(&log, LANES[lane], epoch, holder).await;
            }
            Step::Write(fact) => drop(append(&log, &fact).await),
            Step::Restart => {
                stop(durable).await;
                durable = follow(&log, config()).await;
            }
        }
    }
    let (digest, superseded) = expected(&log).await;
    assert_eq!(truth(&log, version_1).await, digest);
    let late = follow(&log, crate::fixture::in_memory()).await;
    for (follower, _) in [&durable, &in_memory, &late] {
        follower.caught_up().await.unwrap();
        assert_eq!(
            (follower.digest(), follower.superseded()),
            (digest.clone(), superseded)
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_replica_sees_the_same_and_nothing_of_a_writer_that_was_superseded(
        steps in proptest::collection::vec(any_step(), 1..40),
        seed in any::<u64>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(run(steps, seed));
    }
}

#[tokio::test]
async fn what_comes_behind_a_higher_epoch_is_not_there_and_what_people_do_always_is() {
    let log = empty_log();
    let (follower, _shutdown) = follow(&log, in_memory()).await;
    for lane in LANES {
        begin(&log, lane, 1, "a").await;
    }
    append(&log, &of(1, Fact::Raised(org(1), 1))).await;
    for lane in LANES {
        begin(&log, lane, 2, "b").await;
    }
    append(&log, &of(1, Fact::Raised(org(1), 2))).await;
    append(&log, &of(2, Fact::Raised(org(1), 3))).await;
    append(&log, &Fact::Acted(org(1), 1, true, 1)).await;
    follower.caught_up().await.unwrap();

    let view = follower.view();
    let alerts = view.alerts(org(1)).unwrap();
    let entries = alerts
        .iter()
        .map(|alert| (alert.id.as_str(), alert.history.len()));
    assert_eq!(
        BTreeMap::from_iter(entries),
        BTreeMap::from([("R01-R01-2011-01", 2), ("R01-R01-2011-03", 1)])
    );
    let held = Tenure {
        epoch: 2,
        holder: "b".into(),
    };
    for (topic, partition) in LANES {
        let lane = lane_of(topic, partition);
        assert_eq!(view.tenures().of_lane(lane), Some(&held));
    }
    drop(view);
    assert_eq!(follower.superseded(), 1);
}

#[tokio::test]
async fn a_beginning_is_reported_as_a_change_of_its_lane() {
    let log = empty_log();
    let (follower, _shutdown) = follow(&log, in_memory()).await;
    let mut changes = follower.changes();
    begin(&log, LANES[2], 1, "a").await;
    let (keys, _) = changes.next().await.unwrap();
    let lane = lane_of(Topic::Alerts, 1);
    assert_eq!(Vec::from_iter(keys), [Key::Tenure(lane)]);
}

/// A record that cannot be read keeps its key out. The key of beginnings is every writer's, so it must not keep them out.
#[tokio::test]
async fn a_beginning_that_cannot_be_read_keeps_no_other_out() {
    let log = empty_log();
    let (follower, _shutdown) = follow(&log, in_memory()).await;
    for (topic, partition) in LANES {
        append_to(&log, topic, partition, EPOCH_KEY, vec![0xff; 3]).await;
        begin(&log, (topic, partition), 1, "a").await;
    }
    // Beginnings belong to the lanes of single writers, under their own key.
    begin(&log, (Topic::Returns, 0), 1, "a").await;
    let misplaced = postcard::to_stdvec(&Fact::Begun(9, "a".into())).unwrap();
    append_to(&log, Topic::Alerts, 0, "R01", misplaced).await;
    follower.caught_up().await.unwrap();

    let parked = follower.parked();
    let parked = parked
        .iter()
        .map(|p| (place_of(p.stamp.lane), p.key.as_str()));
    let mut expected = vec![
        (Some((Topic::Returns, 0)), EPOCH_KEY),
        (Some((Topic::Benchmarks, 0)), EPOCH_KEY),
        (Some((Topic::Alerts, 0)), "R01"),
        (Some((Topic::Alerts, 0)), EPOCH_KEY),
        (Some((Topic::Alerts, 1)), EPOCH_KEY),
    ];
    let mut parked = Vec::from_iter(parked);
    parked.sort_unstable();
    expected.sort_unstable();
    assert_eq!(parked, expected);
    let view = follower.view();
    let begun = view
        .tenures()
        .iter()
        .map(|(lane, tenure)| (place_of(lane), tenure.epoch));
    assert_eq!(Vec::from_iter(begun), LANES.map(|lane| (Some(lane), 1)));
}
