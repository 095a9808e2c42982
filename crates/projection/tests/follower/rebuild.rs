//! Rebuild beside: whoever reads, waits or listens does not notice it, and what says something else is not switched in unasked.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use proptest::prelude::*;
use qipp_domain::Cut;
use qipp_domain::nation::Key;
use qipp_eventlog::EventLog;
use qipp_projection::{Follower, Phase, Rebuild, RebuildError, domain_cut};

use crate::fixture::*;

async fn stands(follower: &Follower, phase: Phase) -> Rebuild {
    let mut rebuild = follower.rebuild();
    let stands = rebuild.wait_for(|rebuild| rebuild.phase == phase).await;
    stands.unwrap().clone()
}

/// Starts a rebuild with what version 1 of the software can read, and waits until it was compared.
async fn ready(follower: &Follower) -> Rebuild {
    follower.start_rebuild(version_1).unwrap();
    stands(follower, Phase::Ready).await
}

/// Somebody who reads all the time and sees to it that no cut goes back.
struct Reader {
    over: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<()>,
}

impl Reader {
    fn start(follower: &Follower) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let (follower, told) = (follower.clone(), Arc::clone(&over));
        let thread = std::thread::spawn(move || {
            let mut last = Cut::default();
            while !told.load(Ordering::Acquire) {
                let cut = follower.view().cut().clone();
                assert!(cut.includes(&last), "{cut:?} after {last:?}");
                last = cut;
                std::thread::yield_now();
            }
        });
        Self { over, thread }
    }

    fn ended(self) {
        self.over.store(true, Ordering::Release);
        self.thread.join().unwrap();
    }
}

#[derive(Clone, Debug)]
enum Step {
    Append(Vec<Fact>),
    Start,
    Switch,
    Back,
    Forget,
}

fn any_fact() -> impl Strategy<Value = Fact> {
    prop_oneof![
        (0..4_u8).prop_map(|o| Fact::Organisation(org(o), format!("Trust {o}"))),
        (0..4_u8, 1..6_i8, 0..1000_u32).prop_map(|(o, month, n)| Fact::quality(o, month, n)),
        (0..4_u8, 1..3_i8).prop_map(|(o, month)| Fact::Raised(org(o), month)),
        (0..4_u8, 1..3_i8, any::<bool>(), 0..4_u32)
            .prop_map(|(o, month, acknowledges, n)| Fact::Acted(org(o), month, acknowledges, n)),
        // Both folds park it alike.
        (0..4_u8).prop_map(|o| Fact::Newer(Box::new(Fact::quality(o, 7, 900)))),
    ]
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => proptest::collection::vec(any_fact(), 1..12).prop_map(Step::Append),
        2 => Just(Step::Start),
        2 => Just(Step::Switch),
        1 => Just(Step::Back),
        1 => Just(Step::Forget),
    ]
}

async fn all_keys(changes: &mut qipp_projection::Changes, seen: &mut BTreeSet<Key>) {
    if let Some((keys, _)) = changes.take() {
        seen.extend(keys);
    }
}

async fn run(steps: Vec<Step>, seed: u64) {
    let log = log_with_gaps(seed);
    let (follower, _shutdown) = follow(&log, in_memory()).await;
    let (undisturbed, _also) = follow(&log, in_memory()).await;
    let (mut changes, mut expected) = (follower.changes(), undisturbed.changes());
    let reader = Reader::start(&follower);
    let mut waiting = Vec::new();
    for step in steps {
        match step {
            Step::Append(facts) => {
                for fact in facts {
                    let cut = append(&log, &fact).await;
                    let follower = follower.clone();
                    waiting.push(tokio::spawn(async move { follower.wait_for(&cut).await }));
                }
            }
            Step::Start => drop(follower.start_rebuild(version_1)),
            Step::Switch => {
                if follower.rebuild().borrow().phase == Phase::CatchingUp {
                    stands(&follower, Phase::Ready).await;
                }
                drop(follower.switch(false).await);
            }
            Step::Back => drop(follower.back().await),
            Step::Forget => drop(follower.forget()),
        }
    }
    for waited in waiting {
        assert_eq!(waited.await.unwrap(), Ok(()));
    }
    let (mut seen, mut wanted) = (BTreeSet::new(), BTreeSet::new());
    for (follower, changes, keys) in [
        (&follower, &mut changes, &mut seen),
        (&undisturbed, &mut expected, &mut wanted),
    ] {
        follower.caught_up().await.unwrap();
        assert_eq!(follower.digest(), truth(&log, version_1).await);
        all_keys(changes, keys).await;
    }
    assert_eq!(seen, wanted);
    assert_eq!(follower.parked(), undisturbed.parked());
    assert_eq!(follower.restated(), 0);
    reader.ended();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_fold_that_is_rebuilt_and_switched_at_any_moment_is_as_one_that_never_was(
        steps in proptest::collection::vec(any_step(), 1..24),
        seed in any::<u64>(),
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(run(steps, seed));
    }
}

#[tokio::test]
async fn a_rebuild_is_compared_switched_in_kept_and_gone_back_to() {
    let log = empty_log();
    append_all(&log, &some_of_everything()).await;
    let (follower, _shutdown) = follow(&log, in_memory()).await;
    follower.caught_up().await.unwrap();
    let stood = ready(&follower).await;
    let compared = stood.compared.unwrap();
    assert!(compared.is_equal() && compared.serving == compared.beside);
    assert_eq!(compared.beside, truth(&log, version_1).await);
    assert_eq!(
        (stood.records, &stood.cut),
        (stood.of, &domain_cut(&log.head()))
    );

    let cut = append(&log, &Fact::quality(1, 8, 900)).await;
    follower.wait_for(&cut).await.unwrap();
    assert!(follower.switch(false).await.unwrap().includes(&cut));
    assert_eq!(stands(&follower, Phase::Kept).await.switched, 1);
    assert_eq!(follower.digest(), truth(&log, version_1).await);

    // The one that rests is caught up before it serves again.
    append(&log, &Fact::quality(2, 8, 900)).await;
    follower.caught_up().await.unwrap();
    let before = follower.cut();
    assert!(follower.back().await.unwrap().includes(&before));
    assert_eq!(follower.digest(), truth(&log, version_1).await);
    follower.forget().unwrap();
    assert_eq!(*follower.rebuild().borrow(), Rebuild::default());
}

#[tokio::test]
async fn one_that_says_something_else_is_named_refused_and_switched_in_when_asked() {
    let log = empty_log();
    append_all(&log, &some_of_everything()).await;
    append(&log, &Fact::Newer(Box::new(Fact::quality(1, 9, 950)))).await;
    let (follower, _shutdown) = follow(&log, in_memory()).await;
    follower.caught_up().await.unwrap();
    let mut changes = follower.changes();
    follower.start_rebuild(version_2).unwrap();
    let compared = stands(&follower, Phase::Ready).await.compared.unwrap();
    assert_eq!(compared.different, ["returns of R01", "parked: R01"]);
    assert_eq!(compared.count, 2);
    assert_ne!(compared.serving, compared.beside);

    let refused = follower.switch(false).await.unwrap_err();
    assert_eq!(refused.code(), "REBUILD_DIFFERS");
    assert!(refused.to_string().contains("returns of R01"), "{refused}");
    assert_eq!((follower.parked().len(), follower.restated()), (1, 0));

    follower.switch(true).await.unwrap();
    assert_eq!((follower.parked().len(), follower.restated()), (0, 1));
    assert_eq!(follower.digest(), truth(&log, version_2).await);
    let (keys, _) = changes.next().await.unwrap();
    assert!(keys.contains(&Key::Ledger(org(1))), "{keys:?}");
    // From now on the newer version reads.
    append(&log, &Fact::Newer(Box::new(Fact::quality(1, 10, 950)))).await;
    follower.caught_up().await.unwrap();
    assert_eq!(follower.digest(), truth(&log, version_2).await);

    follower.back().await.unwrap();
    assert_eq!(follower.digest(), truth(&log, version_1).await);
    assert_eq!(follower.parked().len(), 1);
}

/// What comes after the comparison counts too: a record that only one of them can read.
#[tokio::test]
async fn one_that_begins_to_differ_after_it_was_compared_is_refused() {
    let log = empty_log();
    append_all(&log, &some_of_everything()).await;
    let (follower, _shutdown) = follow(&log, in_memory()).await;
    follower.caught_up().await.unwrap();
    follower.start_rebuild(version_2).unwrap();
    assert!(
        stands(&follower, Phase::Ready)
            .await
            .compared
            .unwrap()
            .is_equal()
    );
    append(&log, &Fact::Newer(Box::new(Fact::quality(1, 9, 950)))).await;
    follower.caught_up().await.unwrap();
    assert_eq!(
        follower.switch(false).await.unwrap_err().code(),
        "REBUILD_DIFFERS"
    );
    assert_eq!(follower.digest(), truth(&log, version_1).await);
    // And what is told of it is found again.
    let mut rebuild = follower.rebuild();
    let differs = |rebuild: &Rebuild| rebuild.compared.as_ref().is_some_and(|c| !c.is_equal());
    rebuild.wait_for(differs).await.unwrap();
}

#[tokio::test]
async fn what_is_saved_after_a_switch_is_what_was_switched_in() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().join("store");
    let log = empty_log();
    append_all(&log, &some_of_everything()).await;
    append(&log, &Fact::Newer(Box::new(Fact::quality(1, 9, 950)))).await;
    let first = follow(&log, seldom(&store, version_1)).await;
    first.0.caught_up().await.unwrap();
    stop(first).await;
    // Nothing is new to it, so that it would save nothing by itself.
    let (follower, shutdown) = follow(&log, seldom(&store, version_1)).await;
    follower.start_rebuild(version_2).unwrap();
    stands(&follower, Phase::Ready).await;
    follower.switch(true).await.unwrap();
    stop((follower, shutdown)).await;
    let (follower, _shutdown) = follow(&log, seldom(&store, version_2)).await;
    assert_eq!(
        follower.checkpointed().borrow().cut,
        domain_cut(&log.head())
    );
    assert_eq!(
        (follower.parked(), follower.digest()),
        (vec![], truth(&log, version_2).await)
    );
}

#[tokio::test]
async fn what_cannot_be_done_is_said() {
    let log = empty_log();
    let (follower, shutdown) = follow(&log, in_memory()).await;
    assert_eq!(
        follower.switch(false).await,
        Err(RebuildError::NothingBeside)
    );
    assert_eq!(follower.back().await, Err(RebuildError::NothingKept));
    assert_eq!(follower.forget(), Err(RebuildError::NothingBeside));
    ready(&follower).await;
    assert_eq!(
        follower.start_rebuild(version_1),
        Err(RebuildError::UnderWay)
    );
    assert_eq!(follower.back().await, Err(RebuildError::NothingKept));
    follower.switch(false).await.unwrap();
    assert_eq!(follower.switch(false).await, Err(RebuildError::Kept));

    // With the fold that serves, what is beside ends, and so does the log's last user.
    shutdown.cancel();
    follower.stopped().await;
    let mut rebuild = follower.rebuild();
    let failed = rebuild
        .wait_for(|r| matches!(r.phase, Phase::Failed(_)))
        .await;
    failed.unwrap();
    assert_eq!(
        follower.switch(false).await.unwrap_err().code(),
        "REBUILD_FAILED"
    );
}

#[tokio::test]
async fn a_log_that_ends_ends_what_is_beside() {
    let log = empty_log();
    append_all(&log, &some_of_everything()).await;
    let (follower, _shutdown) = follow(&log, in_memory()).await;
    ready(&follower).await;
    log.close().await;
    let mut rebuild = follower.rebuild();
    let failed = rebuild
        .wait_for(|r| matches!(r.phase, Phase::Failed(_)))
        .await;
    failed.unwrap();
}
