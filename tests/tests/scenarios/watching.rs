//! Watching: whoever breaks the connection, and wherever, misses nothing and hears nothing twice.

use std::collections::BTreeMap;

use prost::Message as _;
use qipp_api::error::ApiError;
use qipp_api::json;
use qipp_api::proto::alerts::v1::{
    ActOnAlertRequest, AlertEvent, AlertFilter, GetAlertRequest, WatchAlertsRequest,
    WatchAlertsResponse,
};
use qipp_api::proto::events::v1::{Act, Cut, Position};
use qipp_tests::http::Http;
use qipp_tests::{Sandbox, Who, harm, sse};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tonic::{Code, Streaming};

use crate::loaded;

/// Where an event stands in the log: events of one partition come in order, partitions in none.
type Place = (u32, u64);

fn place(event: &WatchAlertsResponse) -> Place {
    let position = event.event.as_ref().unwrap().position.as_ref().unwrap();
    (position.partition, position.offset)
}

async fn watch(sandbox: &Sandbox, from: Option<Cut>) -> Streaming<WatchAlertsResponse> {
    let request = WatchAlertsRequest { from, filter: None };
    sandbox
        .client(Who::National)
        .live_alerts()
        .watch_alerts(request)
        .await
        .unwrap()
        .into_inner()
}

/// Everything that ever happened to an alert, from their histories.
async fn histories(sandbox: &Sandbox) -> Vec<(String, AlertEvent)> {
    let mut all = Vec::new();
    for alert in sandbox.alerts().await {
        let request = GetAlertRequest {
            alert_id: alert.alert_id.clone(),
            ..GetAlertRequest::default()
        };
        let found = sandbox
            .client(Who::National)
            .alerts()
            .get_alert(request)
            .await
            .unwrap()
            .into_inner();
        all.extend(
            found
                .history
                .into_iter()
                .map(|event| (alert.alert_id.clone(), event)),
        );
    }
    all
}

/// A nation in which more has happened: people have acted on everything that there is.
async fn busy() -> Sandbox {
    let sandbox = loaded::nation().await;
    for alert in sandbox.alerts().await {
        for (act, who) in [
            (Act::Acknowledge, Who::Collector),
            (Act::Ask, Who::National),
            (Act::Answer, Who::Collector),
            (Act::Ask, Who::National),
        ] {
            let request = ActOnAlertRequest {
                alert_id: alert.alert_id.clone(),
                act: act.into(),
                why: "to see it".to_owned(),
                ..ActOnAlertRequest::default()
            };
            sandbox
                .client(who)
                .alerts()
                .act_on_alert(request)
                .await
                .unwrap();
        }
    }
    let last = harm::months().pop().unwrap();
    let cut = sandbox.submit(harm::unharmed(last)).await.cut.unwrap();
    sandbox.evaluated(&cut).await;
    sandbox
}

/// The next events of a stream.
async fn take(
    stream: &mut Streaming<WatchAlertsResponse>,
    most: usize,
) -> Vec<WatchAlertsResponse> {
    let mut events = Vec::new();
    while events.len() < most {
        events.push(stream.message().await.unwrap().unwrap());
    }
    events
}

/// By their places, in the order of each partition, and no place twice.
fn ordered(events: Vec<WatchAlertsResponse>) -> BTreeMap<Place, WatchAlertsResponse> {
    let mut reached: BTreeMap<u32, u64> = BTreeMap::new();
    let mut all = BTreeMap::new();
    for event in events {
        let (partition, offset) = place(&event);
        assert!(
            reached
                .insert(partition, offset)
                .is_none_or(|before| before < offset),
            "out of order or twice: {event:?}"
        );
        // What the watcher has to pass depends on what it saw before; everything else does not.
        all.insert(
            (partition, offset),
            WatchAlertsResponse { cut: None, ..event },
        );
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_breaks_at_any_event_and_goes_on_equals_the_whole_stream() {
    let sandbox = busy().await;
    let expected = histories(&sandbox).await;
    let count = expected.len();
    assert!(count >= 5, "{count}");
    let whole = ordered(take(&mut watch(&sandbox, None).await, count).await);
    let watched: Vec<AlertEvent> = whole
        .values()
        .map(|event| event.event.clone().unwrap())
        .collect();
    assert!(expected.iter().all(|(_, event)| watched.contains(event)) && watched.len() == count);

    let mut random = StdRng::seed_from_u64(20_120_416);
    for _ in 0..10 {
        let (mut events, mut from) = (Vec::new(), None);
        while events.len() < count {
            let most = random.random_range(1..=(count - events.len()).min(4));
            let some = take(&mut watch(&sandbox, from).await, most).await;
            from = some.last().unwrap().cut.clone();
            events.extend(some);
        }
        assert_eq!(ordered(events), whole);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_sent_events_are_the_same_events_and_go_on_from_the_last_event_id() {
    let sandbox = busy().await;
    let count = histories(&sandbox).await.len();
    let whole = ordered(take(&mut watch(&sandbox, None).await, count).await);
    let http = Http::new(&sandbox.url(), Some(sandbox.key(Who::National)));
    for step in [count, 1, 3] {
        let (mut events, mut last) = (Vec::new(), None);
        while events.len() < count {
            let some = sse::events(&http, last.as_deref(), step.min(count - events.len())).await;
            assert!(some.iter().all(|event| event.name == "alert"), "{some:?}");
            last = some.last().map(|event| event.id.clone());
            events.extend(some);
        }
        let read = |event: sse::Event| {
            let bytes = json::from_json("qipp.alerts.v1.WatchAlertsResponse", event.data).unwrap();
            WatchAlertsResponse::decode(bytes).unwrap()
        };
        assert_eq!(
            ordered(events.into_iter().map(read).collect()),
            whole,
            "in steps of {step}"
        );
    }
    let unknown = http
        .request("GET", "/v1/alerts/watch")
        .header("last-event-id", "yesterday")
        .send()
        .await
        .unwrap();
    assert_eq!(unknown.status().as_u16(), 400);
}

/// Such a place was given by another log, or by this one before it was restored: waiting there would lose events without a word.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_place_beyond_the_head_of_the_log_is_refused_and_the_head_itself_is_not() {
    let sandbox = Sandbox::in_memory().await;
    let place = |offset| Cut {
        next: vec![Position {
            topic: "qipp.alerts.v1".to_owned(),
            partition: 0,
            offset,
        }],
    };
    let request = WatchAlertsRequest {
        from: Some(place(1)),
        filter: None,
    };
    let mut alerts = sandbox.client(Who::National).live_alerts();
    let refused = alerts.watch_alerts(request).await.unwrap_err();
    assert_eq!(
        (refused.code(), &*ApiError::from_status(&refused).reason),
        (Code::FailedPrecondition, "CUT_BEYOND_HEAD")
    );
    let http = Http::new(&sandbox.url(), Some(sandbox.key(Who::National)));
    let begin = |id: &'static str| {
        http.request("GET", "/v1/alerts/watch")
            .header("last-event-id", id)
            .send()
    };
    let refused = begin("alerts.0-1").await.unwrap();
    assert_eq!(refused.status().as_u16(), 409);
    let body: serde_json::Value = refused.json().await.unwrap();
    assert_eq!(body["error"]["reason"], "CUT_BEYOND_HEAD", "{body}");
    assert_eq!(begin("alerts.0-0").await.unwrap().status().as_u16(), 200);
    watch(&sandbox, Some(place(0))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_happens_while_somebody_watches_arrives_live_and_filtered() {
    let sandbox = loaded::nation().await;
    let alert = sandbox
        .alerts()
        .await
        .into_iter()
        .find(|alert| alert.rule_id == "R01")
        .unwrap();
    let now = sandbox.status().await.cut;
    let mut live = watch(&sandbox, now.clone()).await;
    let filter = |rule: &str| {
        Some(AlertFilter {
            rule_id: rule.to_owned(),
            ..AlertFilter::default()
        })
    };
    let mut others = sandbox.client(Who::National).live_alerts();
    let request = WatchAlertsRequest {
        from: now,
        filter: filter("R90"),
    };
    let mut other_rule = others.watch_alerts(request).await.unwrap().into_inner();

    let request = ActOnAlertRequest {
        alert_id: alert.alert_id.clone(),
        act: Act::Ask.into(),
        why: "why?".to_owned(),
        ..ActOnAlertRequest::default()
    };
    sandbox
        .client(Who::Regional)
        .alerts()
        .act_on_alert(request)
        .await
        .unwrap();
    let event = live.message().await.unwrap().unwrap();
    assert_eq!(event.alert.unwrap().alert_id, alert.alert_id);
    // Nothing for a watcher of another rule: the first thing that it hears is the end.
    let mut sandbox = sandbox;
    sandbox.close().await;
    for stream in [&mut live, &mut other_rule] {
        let end = stream.message().await.unwrap_err();
        assert_eq!(
            (end.code(), end.message().contains("pass the last cut")),
            (Code::Unavailable, true),
            "{end:?}"
        );
    }
}
