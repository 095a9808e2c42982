//! A replica is folded anew while it is used, or starts from what another one has folded: whoever asks, submits or watches notices nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use prost::Message as _;
use qipp::client::Client;
use qipp_api::cut::cut_from_proto;
use qipp_api::error::ApiError;
use qipp_api::proto::alerts::v1::{GetAlertRequest, WatchAlertsRequest};
use qipp_api::proto::events::v1::Cut;
use qipp_api::proto::projections::v1::GetStatusRequest;
use qipp_api::proto::replica::v1::{
    GetRebuildRequest, RebuildPhase, StartRebuildRequest, SwitchRebuildRequest,
};
use qipp_eventlog::{EventLog, Topic};
use qipp_projection::domain_cut;
use qipp_tests::late::Late;
use qipp_tests::{Sandbox, Who, harm};

use crate::loaded;

/// Submits a return that changes what is found, and waits until the rules have seen it.
async fn submit(sandbox: &Sandbox, months_before_the_last: usize) {
    let month = harm::months().into_iter().rev().nth(months_before_the_last);
    let cut = sandbox.submit(harm::unharmed(month.unwrap())).await.cut;
    sandbox.evaluated(&cut.unwrap()).await;
}

/// Everything that ever happened to every alert, but for when it was evaluated.
async fn happened(sandbox: &Sandbox) -> Vec<(String, Vec<i32>)> {
    let mut all = Vec::new();
    for alert in sandbox.alerts().await {
        let request = GetAlertRequest {
            alert_id: alert.alert_id.clone(),
            ..GetAlertRequest::default()
        };
        let mut alerts = sandbox.client(Who::National).alerts();
        let found = alerts.get_alert(request).await.unwrap().into_inner();
        let transitions = found.history.iter().map(|event| {
            use qipp_api::proto::alerts::v1::alert_event::Event;
            match event.event.as_ref().unwrap() {
                Event::Evaluated(evaluated) => evaluated.transition,
                Event::Acted(acted) => -acted.act,
            }
        });
        all.push((alert.alert_id, transitions.collect()));
    }
    all
}

async fn switch(sandbox: &Sandbox, back: bool) -> Cut {
    let mut replica = sandbox.client(Who::Operator).replica();
    let request = SwitchRebuildRequest {
        back,
        even_if_different: false,
    };
    let switched = replica.switch_rebuild(request).await.unwrap();
    switched.into_inner().cut.unwrap()
}

/// Somebody who asks all the time: no question fails, and no answer is older than the one before.
fn ask_all_the_time(client: Client, over: Arc<AtomicBool>) -> tokio::task::JoinHandle<u64> {
    tokio::spawn(async move {
        let (mut last, mut asked) = (qipp_domain::Cut::default(), 0);
        while !over.load(Ordering::Acquire) {
            let mut projections = client.projections();
            let answer = projections.get_status(GetStatusRequest::default()).await;
            let cut = answer.unwrap().into_inner().cut.unwrap();
            let cut = cut_from_proto(&cut, "cut").unwrap();
            assert!(cut.includes(&last), "{cut:?} after {last:?}");
            (last, asked) = (cut, asked + 1);
        }
        asked
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_nation_is_rebuilt_changed_over_and_changed_back_while_it_is_used() {
    let sandbox = loaded::nation().await;
    let from = WatchAlertsRequest::default();
    let mut watcher = sandbox.client(Who::National).live_alerts();
    let mut watched = watcher.watch_alerts(from).await.unwrap().into_inner();
    let over = Arc::new(AtomicBool::new(false));
    let asking = ask_all_the_time(sandbox.client(Who::National), Arc::clone(&over));

    let mut replica = sandbox.client(Who::Operator).replica();
    replica.start_rebuild(StartRebuildRequest {}).await.unwrap();
    submit(&sandbox, 0).await;
    let first = switch(&sandbox, false).await;
    submit(&sandbox, 1).await;
    let status = replica.get_rebuild(GetRebuildRequest {}).await.unwrap();
    let status = status.into_inner();
    assert_eq!((status.phase(), status.switched), (RebuildPhase::Kept, 1));
    let second = switch(&sandbox, true).await;
    submit(&sandbox, 2).await;
    let read = |cut| cut_from_proto(cut, "cut").unwrap();
    assert!(read(&second).includes(&read(&first)) && second != first);

    over.store(true, Ordering::Release);
    assert!(asking.await.unwrap() > 0);
    let records = sandbox.records(Topic::Alerts).await.len();
    let mut events = Vec::new();
    while events.len() < records {
        let event = watched.message().await.unwrap().unwrap();
        events.extend(event.event.map(|event| event.encode_to_vec()));
    }
    let count = events.len();
    events.sort_unstable();
    events.dedup();
    assert_eq!(events.len(), count, "nothing comes twice");

    let undisturbed = loaded::nation().await;
    for months_before_the_last in 0..3 {
        submit(&undisturbed, months_before_the_last).await;
    }
    assert_eq!(happened(&sandbox).await, happened(&undisturbed).await);
    assert_eq!(records, undisturbed.records(Topic::Alerts).await.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_switch_without_a_rebuild_says_what_to_do() {
    let sandbox = Sandbox::in_memory().await;
    let mut replica = sandbox.client(Who::Operator).replica();
    let request = SwitchRebuildRequest::default();
    let refused = replica.switch_rebuild(request).await.unwrap_err();
    let error = ApiError::from_status(&refused);
    assert_eq!(error.reason, "REBUILD_NOT_STARTED");
    assert_eq!(refused.code(), tonic::Code::FailedPrecondition);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_starts_from_the_checkpoint_of_a_peer_and_says_the_same() {
    let sandbox = loaded::nation().await;
    let folder = tempfile::tempdir().unwrap();
    let key_file = folder.path().join("operator.key");
    std::fs::write(&key_file, sandbox.key(Who::Operator)).unwrap();
    let log: Arc<dyn EventLog> = Late::prompt(Arc::clone(&sandbox.house().log));
    let beside = sandbox
        .beside(Some(log), |config| {
            config.services = vec![qipp::config::Service::Projections];
            config.snapshot.from = sandbox.url();
            config.snapshot.key_file = key_file;
        })
        .await;
    // It began where the peer stood, and not at nothing.
    let began = beside.follower.checkpointed().borrow().cut.clone();
    let head = domain_cut(&sandbox.house().log.head());
    assert!(
        began.iter().count() > 4 && head.includes(&began),
        "{began:?}"
    );
    beside.follower.caught_up().await.unwrap();
    sandbox.house().follower.caught_up().await.unwrap();
    assert_eq!(beside.follower.digest(), sandbox.house().follower.digest());
    beside.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_not_have_the_checkpoint_of_a_peer_folds_the_log() {
    let sandbox = loaded::nation().await;
    let folder = tempfile::tempdir().unwrap();
    let key_file = folder.path().join("national.key");
    std::fs::write(&key_file, sandbox.key(Who::National)).unwrap();
    let log: Arc<dyn EventLog> = Late::prompt(Arc::clone(&sandbox.house().log));
    let beside = sandbox
        .beside(Some(log), |config| {
            config.services = vec![qipp::config::Service::Projections];
            config.snapshot.from = sandbox.url();
            config.snapshot.key_file = key_file;
        })
        .await;
    assert_eq!(
        beside.follower.checkpointed().borrow().cut,
        qipp_domain::Cut::default()
    );
    beside.follower.caught_up().await.unwrap();
    assert_eq!(beside.follower.digest(), sandbox.house().follower.digest());
    beside.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn checkpoints_are_left_in_a_folder_for_replicas_that_start_later() {
    let sandbox = loaded::nation().await;
    let folder = tempfile::tempdir().unwrap();
    let shared = folder.path().join("shared");
    // On a copy of the data, without its checkpoint: so that it makes one.
    let data = folder.path().join("data");
    qipp_tests::copy(&sandbox.data(), &data);
    std::fs::remove_dir_all(data.join("projection")).unwrap();
    let saving = sandbox
        .beside(None, |config| {
            config.log = qipp::config::LogKind::Embedded;
            config.data_dir = data;
            config.snapshot.from = shared.display().to_string();
            config.snapshot.save = true;
        })
        .await;
    let checkpoints = |name: &std::fs::DirEntry| {
        let name = name.file_name();
        let name = name.to_string_lossy();
        name.starts_with("checkpoint.format-") && !name.contains(".new-")
    };
    let is_saved = || {
        let entries = std::fs::read_dir(&shared).into_iter().flatten();
        entries.flatten().any(|entry| checkpoints(&entry))
    };
    while !is_saved() {
        tokio::task::yield_now().await;
    }
    let log: Arc<dyn EventLog> = Late::prompt(Arc::clone(&saving.log));
    let beside = sandbox
        .beside(Some(log), |config| {
            config.services = vec![qipp::config::Service::Projections];
            config.snapshot.from = shared.display().to_string();
        })
        .await;
    let began = beside.follower.checkpointed().borrow().cut.clone();
    assert!(began.iter().count() > 4, "{began:?}");
    beside.follower.caught_up().await.unwrap();
    saving.follower.caught_up().await.unwrap();
    assert_eq!(beside.follower.digest(), saving.follower.digest());
    beside.stop().await;
    saving.stop().await;
}
