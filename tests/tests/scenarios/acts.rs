//! What people do with an alert: the whole conversation, and what is refused.

use qipp_api::error::ApiError;
use qipp_api::proto::alerts::v1::{
    ActOnAlertRequest, ActOnAlertResponse, Alert, Condition, GetAlertRequest, Stage,
};
use qipp_api::proto::events::v1::{Act, Dataset};
use qipp_eventlog::Topic;
use qipp_tests::returns::{savings, scheme};
use qipp_tests::{Sandbox, TRUST, Who, facts};
use tonic::{Code, Status};

/// A nation in which one trust is asked for its savings return.
async fn asked() -> (Sandbox, String) {
    let sandbox = Sandbox::start().await;
    let mut facts = facts::small_nation();
    facts.push(facts::due(Dataset::Savings, "2011-04", "2011-05-16"));
    facts.push(facts::owes(TRUST, Dataset::Savings, "2011-04"));
    let cut = sandbox.record(facts).await;
    sandbox.evaluated(&cut).await;
    let alerts = sandbox.alerts().await;
    assert_eq!(alerts.len(), 1);
    let id = alerts[0].alert_id.clone();
    (sandbox, id)
}

async fn act(
    sandbox: &Sandbox,
    who: Who,
    id: &str,
    act: Act,
    act_id: &str,
) -> Result<ActOnAlertResponse, Status> {
    let request = ActOnAlertRequest {
        alert_id: id.to_owned(),
        act: act.into(),
        why: format!("because of {act_id}"),
        act_id: act_id.to_owned(),
    };
    sandbox
        .client(who)
        .alerts()
        .act_on_alert(request)
        .await
        .map(tonic::Response::into_inner)
}

fn stage(response: &ActOnAlertResponse) -> Stage {
    response.alert.as_ref().unwrap().stage()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conversation_goes_from_raised_to_closed_and_keeps_who_when_and_why() {
    let (sandbox, id) = asked().await;
    let steps = [
        (Who::Trust, Act::Acknowledge, Stage::Acknowledged),
        (Who::Regional, Act::Ask, Stage::Asked),
        (Who::Trust, Act::Answer, Stage::Explained),
        (Who::National, Act::Ask, Stage::Asked),
        (Who::Trust, Act::Answer, Stage::Explained),
        (Who::Regional, Act::Confirm, Stage::Confirmed),
        (Who::National, Act::Close, Stage::Closed),
    ];
    for (number, (who, move_, reached)) in steps.into_iter().enumerate() {
        sandbox.clock.advance(60_000);
        let answer = act(&sandbox, who, &id, move_, &format!("step {number}"))
            .await
            .unwrap();
        assert_eq!(stage(&answer), reached, "step {number}");
    }
    let request = GetAlertRequest {
        alert_id: id,
        ..GetAlertRequest::default()
    };
    let found = sandbox
        .client(Who::Trust)
        .alerts()
        .get_alert(request)
        .await
        .unwrap()
        .into_inner();
    let alert = found.alert.unwrap();
    assert_eq!(
        (alert.outcome.as_str(), alert.legal_acts.len()),
        ("confirmed", 0)
    );
    let acts: Vec<(String, String, String)> = found
        .history
        .iter()
        .filter_map(|entry| match entry.event.as_ref().unwrap() {
            qipp_api::proto::alerts::v1::alert_event::Event::Acted(acted) => {
                Some((acted.who.clone(), acted.why.clone(), entry.at.clone()))
            }
            qipp_api::proto::alerts::v1::alert_event::Event::Evaluated(_) => None,
        })
        .collect();
    assert_eq!(acts.len(), steps.len());
    assert_eq!(
        acts[0],
        (
            "test-trust".to_owned(),
            "because of step 0".to_owned(),
            "2011-06-01T09:01:00Z".to_owned()
        )
    );
    assert_eq!(acts[5].0, "test-regional");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_illegal_move_is_refused_and_the_legal_ones_are_named() {
    let (sandbox, id) = asked().await;
    let records = sandbox.records(Topic::Alerts).await.len();
    for illegal in [Act::Confirm, Act::Refute, Act::Close, Act::Answer] {
        let status = act(&sandbox, Who::National, &id, illegal, "x")
            .await
            .unwrap_err();
        let error = ApiError::from_status(&status);
        assert_eq!(
            (status.code(), &*error.reason),
            (Code::FailedPrecondition, "ILLEGAL_ACT"),
            "{illegal:?}"
        );
        assert!(
            error.message.contains("acknowledge, ask"),
            "{}",
            error.message
        );
    }
    assert_eq!(
        sandbox.records(Topic::Alerts).await.len(),
        records,
        "what was refused left nothing"
    );
    let legal = act(&sandbox, Who::National, &id, Act::Ask, "y")
        .await
        .unwrap()
        .alert
        .unwrap();
    assert_eq!(legal.legal_acts, [i32::from(Act::Answer)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_repeat_of_an_act_is_answered_and_counts_once() {
    let (sandbox, id) = asked().await;
    let first = act(&sandbox, Who::Regional, &id, Act::Ask, "ask-1")
        .await
        .unwrap();
    let records = sandbox.records(Topic::Alerts).await.len();
    let again = act(&sandbox, Who::Regional, &id, Act::Ask, "ask-1")
        .await
        .unwrap();
    assert_eq!(again.alert, first.alert);
    let other = act(&sandbox, Who::Regional, &id, Act::Ask, "ask-2")
        .await
        .unwrap_err();
    assert_eq!(
        ApiError::from_status(&other).reason,
        "ILLEGAL_ACT",
        "another key is another act"
    );
    let reused = act(&sandbox, Who::Regional, &id, Act::Confirm, "ask-1")
        .await
        .unwrap_err();
    assert_eq!(
        (reused.code(), &*ApiError::from_status(&reused).reason),
        (Code::FailedPrecondition, "KEY_REUSED"),
        "the same key for another act is not done in silence"
    );
    assert_eq!(sandbox.records(Topic::Alerts).await.len(), records);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_organisation_answers_and_never_decides_its_own_case() {
    let (sandbox, id) = asked().await;
    for forbidden in [Act::Ask, Act::Confirm, Act::Refute, Act::Close] {
        let status = act(&sandbox, Who::Trust, &id, forbidden, "x")
            .await
            .unwrap_err();
        assert_eq!(
            (status.code(), &*ApiError::from_status(&status).reason),
            (Code::PermissionDenied, "ROLE_NOT_ALLOWED")
        );
    }
    let status = act(&sandbox, Who::Regional, &id, Act::Answer, "x")
        .await
        .unwrap_err();
    assert_eq!(
        status.code(),
        Code::PermissionDenied,
        "the answer is the organisation's"
    );
    let status = act(&sandbox, Who::OtherTrust, &id, Act::Acknowledge, "x")
        .await
        .unwrap_err();
    assert_eq!(&*ApiError::from_status(&status).reason, "OUT_OF_SCOPE");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_act_without_a_reason_or_about_nothing_is_refused() {
    let (sandbox, id) = asked().await;
    let mut request = ActOnAlertRequest {
        alert_id: id,
        act: Act::Ask.into(),
        ..ActOnAlertRequest::default()
    };
    request.why = "see 943 476 5919".to_owned();
    let mut alerts = sandbox.client(Who::National).alerts();
    let problems = |status: &Status| {
        ApiError::from_status(status)
            .problems
            .iter()
            .map(|p| p.code.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        problems(&alerts.act_on_alert(request.clone()).await.unwrap_err()),
        ["NHS_NUMBER"]
    );
    request.why.clear();
    request.act = 0;
    assert_eq!(
        problems(&alerts.act_on_alert(request.clone()).await.unwrap_err()),
        ["ACT_MISSING", "WHY_MISSING"]
    );
    let unknown = ActOnAlertRequest {
        alert_id: "R01-RA1-1999-01".to_owned(),
        act: Act::Ask.into(),
        why: "why".to_owned(),
        ..request
    };
    assert_eq!(
        alerts.act_on_alert(unknown).await.unwrap_err().code(),
        Code::NotFound
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_longer_holds_may_be_closed_without_an_outcome() {
    let (sandbox, id) = asked().await;
    sandbox.register(scheme(TRUST, "S-1", "2011-04", 100)).await;
    let cut = sandbox
        .submit(savings(TRUST, "2011-04", "S-1", 100, 90))
        .await
        .cut
        .unwrap();
    sandbox.evaluated(&cut).await;
    let conditions: Vec<Condition> = sandbox
        .alerts()
        .await
        .iter()
        .map(Alert::condition)
        .collect();
    assert_eq!(conditions, [Condition::Cleared]);
    let closed = act(&sandbox, Who::National, &id, Act::Close, "done")
        .await
        .unwrap();
    assert_eq!(
        (stage(&closed), closed.alert.unwrap().outcome),
        (Stage::Closed, String::new())
    );
}
