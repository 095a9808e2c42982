//! However facts, checkpoints, restarts and crashes follow each other: the digest is that of a fresh fold.

use proptest::prelude::*;
use qipp_domain::MarkerCode;

use crate::fixture::*;

#[derive(Clone, Debug)]
enum Step {
    Append(Vec<Fact>),
    CatchUp,
    Restart,
    Crash,
}

fn any_fact() -> impl Strategy<Value = Fact> {
    let place = || (0..4_u8, 1..4_i8);
    let revision = prop_oneof![3 => Just(None), 1 => (0..3_u32).prop_map(Some)];
    prop_oneof![
        2 => (0..4_u8, "[a-c]").prop_map(|(o, name)| Fact::Organisation(org(o), name)),
        6 => (place(), 0..5_u32, revision).prop_map(|((o, month), numerator, expected_revision)| {
            Fact::Quality { org: org(o), month, numerator, expected_revision }
        }),
        2 => (prop_oneof![Just("AE_4H"), Just("RTT_18W")], 1..4_i8, 0..4_u32)
            .prop_map(|(marker, month, n)| Fact::National(MarkerCode::new(marker).unwrap(), month, n)),
        2 => place().prop_map(|(o, month)| Fact::Raised(org(o), month)),
        2 => (place(), any::<bool>(), 0..4_u32)
            .prop_map(|((o, month), acknowledges, n)| Fact::Acted(org(o), month, acknowledges, n)),
        1 => (0..4_u8).prop_map(|o| Fact::Scheme(org(o))),
        1 => place().prop_map(|(o, month)| Fact::Savings(org(o), month)),
        1 => (0..20_u8).prop_map(|o| Fact::Newer(Box::new(Fact::quality(o, 1, 1)))),
    ]
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => proptest::collection::vec(any_fact(), 1..12).prop_map(Step::Append),
        2 => Just(Step::CatchUp),
        1 => Just(Step::Restart),
        1 => Just(Step::Crash),
    ]
}

async fn run(steps: Vec<Step>, seed: u64, saves_often: bool) {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().join("store");
    let config = || match saves_often {
        true => often(&store, version_1),
        false => seldom(&store, version_1),
    };
    let log = log_with_gaps(seed);
    let mut durable = follow(&log, config()).await;
    let in_memory = follow(&log, in_memory()).await;
    for step in steps {
        match step {
            Step::Append(facts) => append_all(&log, &facts).await,
            Step::CatchUp => durable.0.caught_up().await.unwrap(),
            Step::Restart => {
                stop(durable).await;
                durable = follow(&log, config()).await;
            }
            Step::Crash => {
                crash(durable).await;
                durable = follow(&log, config()).await;
            }
        }
    }
    stop(durable).await;
    let durable = follow(&log, config()).await;
    let expected = truth(&log, version_1).await;
    for (follower, _) in [&durable, &in_memory] {
        follower.caught_up().await.unwrap();
        assert_eq!(follower.digest(), expected);
    }
    assert_eq!(durable.0.parked(), in_memory.0.parked());
    let files = std::fs::read_dir(directory.path()).unwrap().count();
    assert_eq!(
        files, 2,
        "the store and its lock: nothing was found damaged"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn resuming_gives_the_digest_of_a_fresh_fold(
        steps in proptest::collection::vec(any_step(), 1..16),
        seed in any::<u64>(),
        saves_often in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(run(steps, seed, saves_often));
    }
}
