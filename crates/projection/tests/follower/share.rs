//! Shares of a log: each folds its own lanes, stands at them and waits for no others.

use std::sync::Arc;

use qipp_domain::Cut;
use qipp_eventlog::{EventLog, MemoryLog};
use qipp_projection::{Directory, FollowerConfig, Phase, Share, digest_of, domain_cut, fold_to};

use crate::fixture::*;

fn share(index: u16) -> Share {
    Share::new(index, 2).unwrap()
}

fn own_head(log: &MemoryLog, share: Share) -> Cut {
    share.narrow(&domain_cut(&log.head()))
}

async fn truth_of(log: &MemoryLog, share: Share) -> String {
    let (nation, _) = fold_to(log, version_1, &own_head(log, share))
        .await
        .unwrap();
    digest_of(&nation)
}

fn of(share: Share, config: FollowerConfig) -> FollowerConfig {
    FollowerConfig { share, ..config }
}

#[tokio::test]
async fn a_share_folds_its_own_lanes_and_stands_at_them() {
    let log = empty_log();
    append_all(&log, &some_of_everything()).await;
    let head = domain_cut(&log.head());
    let mut lanes = 0;
    for share in [share(0), share(1)] {
        let (follower, _shutdown) = follow(&log, of(share, in_memory())).await;
        follower.caught_up().await.unwrap();
        assert_eq!(follower.cut(), own_head(&log, share));
        assert_eq!(follower.digest(), truth_of(&log, share).await);
        // What lies in the lanes of others is not waited for, however far it is.
        follower.wait_for(&head).await.unwrap();
        let view = follower.view();
        let own = |org| share.has_org(log.layout(), org);
        assert!(view.ledgers().count() > 0 && view.ledgers().all(|(org, _)| own(org)));
        lanes += follower.share().others().count();
    }
    assert_eq!(lanes, 2);
}

#[tokio::test]
async fn a_checkpoint_of_another_share_is_not_taken() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().join("store");
    let log = empty_log();
    append_all(&log, &some_of_everything()).await;
    for held in [share(0), share(1), Share::WHOLE, share(1)] {
        let config = || of(held, seldom(&store, version_1));
        let follower = follow(&log, config()).await;
        assert_eq!(follower.0.checkpointed().borrow().cut, Cut::default());
        follower.0.caught_up().await.unwrap();
        assert_eq!(follower.0.digest(), truth_of(&log, held).await);
        stop(follower).await;
        // Its own is.
        let again = follow(&log, config()).await;
        assert_eq!(again.0.checkpointed().borrow().cut, own_head(&log, held));
        assert_eq!(again.0.digest(), truth_of(&log, held).await);
        stop(again).await;
    }
    let aside = store.with_extension("damaged-1");
    assert!(!aside.exists(), "nothing was damaged");
}

#[tokio::test]
async fn a_log_that_is_closed_ends_the_fold_of_a_share() {
    let log = empty_log();
    append_all(&log, &some_of_everything()).await;
    let (follower, _shutdown) = follow(&log, of(share(1), in_memory())).await;
    follower.caught_up().await.unwrap();
    Arc::clone(&log).close().await;
    follower.stopped().await;
    assert!(follower.why_stopped().is_some());
}

#[tokio::test]
async fn a_share_takes_snapshots_of_its_own_and_is_rebuilt_as_what_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let log = empty_log();
    append_all(&log, &some_of_everything()).await;
    for held in [share(0), Share::WHOLE, share(1)] {
        let (follower, _shutdown) = follow(&log, of(held, in_memory())).await;
        follower.caught_up().await.unwrap();
        let directory = Directory::new(folder.path().to_owned(), held);
        directory.save(&follower.snapshot()).unwrap();
        follower.start_rebuild(version_1).unwrap();
        let cut = follower.switch_when_ready(false).await.unwrap();
        assert_eq!(cut, own_head(&log, held));
        assert_eq!(follower.rebuild().borrow().phase, Phase::Kept);
        assert_eq!(follower.digest(), truth_of(&log, held).await);
        assert_eq!(follower.share(), held);
    }
    for (wanted, from, is_taken) in [
        (share(0), share(0), true),
        (share(1), share(1), true),
        (share(1), share(0), false),
        (share(1), Share::WHOLE, false),
        (Share::WHOLE, share(1), false),
    ] {
        let directory = Directory::new(folder.path().to_owned(), from);
        let config = FollowerConfig {
            snapshots: Some(Arc::new(directory)),
            ..of(wanted, in_memory())
        };
        let (follower, _shutdown) = follow(&log, config).await;
        let begun = follower.checkpointed().borrow().cut.clone();
        assert_eq!(
            begun == own_head(&log, wanted),
            is_taken,
            "{from} by {wanted}"
        );
        follower.caught_up().await.unwrap();
        assert_eq!(follower.digest(), truth_of(&log, wanted).await);
    }
}
