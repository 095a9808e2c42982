//! What happens to those who want too much: each limit, the error that says so, and that nobody else feels it.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use qipp_api::error::ApiError;
use qipp_api::proto::alerts::v1::WatchAlertsRequest;
use qipp_api::proto::alerts::v1::alerts_service_client::AlertsServiceClient;
use qipp_api::proto::events::v1::Dataset;
use qipp_api::proto::intake::v1::{SubmitReturnRequest, SubmitReturnsRequest};
use qipp_api::proto::projections::v1::GetStatusRequest;
use qipp_api::proto::registry::v1::ListMarkersRequest;
use qipp_tests::http::Http;
use qipp_tests::{Sandbox, TREE, TRUST, Who, facts, returns};
use tonic::transport::Endpoint;
use tonic::{Code, Request, Status};

fn reason(status: &Status) -> String {
    ApiError::from_status(status).reason.into_owned()
}

/// A thousand calls of one key are on their way at any time, and it may hold every place. Another key's calls all succeed, and none of
/// them sees more than two others let in while it waits: its turn comes after one of each key that waits. Counted by the gate, because
/// clients and service share two threads here and an answer may lie unread for long.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_noisy_key_cannot_starve_another() {
    let sandbox = Sandbox::configured(|config| {
        config.limits.calls = 8;
        config.limits.calls_per_principal = 8;
        config.limits.streams_per_connection = 1_000;
    })
    .await;
    sandbox.record(facts::small_nation()).await;
    let stop = Arc::new(AtomicBool::new(false));
    let request = SubmitReturnRequest {
        r#return: Some(returns::four_hours(TRUST, "2011-04", 90.0, 100.0)),
        validate_only: true,
    };
    let connections: Vec<_> = (0..10).map(|_| sandbox.client(Who::Trust)).collect();
    let noisy: Vec<_> = (0..1_000)
        .map(|number: usize| {
            let stop = Arc::clone(&stop);
            let mut intake = connections[number % connections.len()].intake();
            let request = request.clone();
            tokio::spawn(async move {
                while !stop.load(Ordering::SeqCst) {
                    intake.submit_return(request.clone()).await.unwrap();
                }
            })
        })
        .collect();
    while sandbox.metric("qipp_calls_waiting") < 900.0 {
        tokio::task::yield_now().await;
    }
    let mut quiet = sandbox.client(Who::OtherTrust).registry();
    for _ in 0..50 {
        let request = ListMarkersRequest::default();
        quiet.list_markers(request).await.unwrap();
    }
    stop.store(true, Ordering::SeqCst);
    for call in noisy {
        call.await.unwrap();
    }
    let turns = |series: &str, labels: &str| {
        sandbox.metric(&format!("qipp_call_turns_{series}{{{labels}}}"))
    };
    let quiet = "rpc=\"qipp.registry.v1.RegistryService/ListMarkers\"";
    let waited = turns("count", quiet);
    assert!(waited > 0.0, "it never had to wait");
    assert_eq!(turns("bucket", &format!("{quiet},le=\"2\"")), waited);
    // In one queue for all, each of them would have waited for some nine hundred, as the noisy ones do for each other. How many wait at one moment
    // says little: those whose answers lie unread do not.
    let noisy = "rpc=\"qipp.intake.v1.IntakeService/SubmitReturn\"";
    assert!(turns("bucket", &format!("{noisy},le=\"500\"")) < turns("count", noisy));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_sends_too_many_calls_at_once_is_told_when_to_come_back() {
    let sandbox = Sandbox::configured(|config| {
        config.limits.calls = 2;
        config.limits.calls_per_principal = 1;
        config.limits.waiting_per_principal = 0;
    })
    .await;
    // A call that holds its place: its body is not all there yet.
    let mut held = raw(&sandbox);
    let head = format!(
        "POST /v1/returns HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n",
        sandbox.key(Who::National)
    );
    held.write_all(head.as_bytes()).unwrap();
    while sandbox.metric("qipp_calls_running") < 1.0 {
        tokio::task::yield_now().await;
    }
    let mut national = sandbox.client(Who::National).projections();
    let refused = national
        .get_status(GetStatusRequest::default())
        .await
        .unwrap_err();
    assert_eq!(
        (refused.code(), reason(&refused)),
        (Code::ResourceExhausted, "TOO_MANY_CALLS".to_owned())
    );
    assert_eq!(
        ApiError::from_status(&refused).retry_after,
        Some(Duration::from_secs(1))
    );
    assert_eq!(refused.metadata().get("retry-after").unwrap(), "1");
    let http = Http::new(&sandbox.url(), Some(sandbox.key(Who::National)));
    let refused = http.get("/v1/status").await;
    assert_eq!(
        (
            refused.status,
            refused.headers["retry-after"].to_str().unwrap()
        ),
        (429, "1")
    );
    assert_eq!(refused.body["error"]["retryAfterSeconds"], 1);
    // Others are served, and so is the same key once its call is through.
    let mut operator = sandbox.client(Who::Operator).projections();
    operator
        .get_status(GetStatusRequest::default())
        .await
        .unwrap();
    held.write_all(b"{}").unwrap();
    while sandbox.metric("qipp_calls_running") > 0.0 {
        tokio::task::yield_now().await;
    }
    national
        .get_status(GetStatusRequest::default())
        .await
        .unwrap();
    assert_eq!(
        sandbox.metric("qipp_refusals_total{limit=\"waiting_per_principal\"}"),
        2.0
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_of_one_key_are_bounded_and_the_streams_of_others_are_not_touched() {
    let sandbox = Sandbox::configured(|config| config.limits.streams_per_principal = 2).await;
    let watch = |who: Who| {
        let mut alerts = sandbox.client(who).live_alerts();
        async move { alerts.watch_alerts(WatchAlertsRequest::default()).await }
    };
    let first = watch(Who::National).await.unwrap();
    let _second = watch(Who::National).await.unwrap();
    let refused = watch(Who::National).await.unwrap_err();
    assert_eq!(
        (refused.code(), reason(&refused)),
        (Code::ResourceExhausted, "TOO_MANY_STREAMS".to_owned())
    );
    // Over HTTP it is the same limit.
    let http = Http::new(&sandbox.url(), Some(sandbox.key(Who::National)));
    assert_eq!(http.get("/v1/alerts/watch").await.status, 429);
    let mut intake = sandbox.client(Who::Collector).intake();
    let none = futures::stream::empty::<SubmitReturnsRequest>();
    intake.submit_returns(none).await.unwrap();
    drop(first);
    while sandbox.metric("qipp_streams") > 1.0 {
        tokio::task::yield_now().await;
    }
    watch(Who::National).await.unwrap();
}

fn raw(sandbox: &Sandbox) -> TcpStream {
    let stream = TcpStream::connect(sandbox.house().address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    stream
}

/// What comes until the other side closes.
async fn rest(mut stream: TcpStream) -> String {
    tokio::task::spawn_blocking(move || {
        let mut text = Vec::new();
        match stream.read_to_end(&mut text) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
            Err(error) => panic!("it was not closed: {error}"),
        }
        String::from_utf8_lossy(&text).into_owned()
    })
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_say_nothing_or_say_it_drop_by_drop_are_closed() {
    let sandbox = Sandbox::configured(|config| {
        config.limits.header_seconds = 1;
        config.limits.idle_seconds = 1;
        config.limits.call_seconds = 1;
    })
    .await;
    let silent = raw(&sandbox);
    let mut slow = raw(&sandbox);
    slow.write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\nx-slow: ")
        .unwrap();
    // The beginning of HTTP/2, and then nothing.
    let mut half = raw(&sandbox);
    half.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
    half.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).unwrap();
    let mut idle = raw(&sandbox);
    idle.write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n")
        .unwrap();
    for stream in [silent, slow, half] {
        rest(stream).await;
    }
    assert!(rest(idle).await.starts_with("HTTP/1.1 200"));
    // A body that never becomes whole is answered when its time is up.
    let mut body = raw(&sandbox);
    let head = format!(
        "POST /v1/returns HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{{",
        sandbox.key(Who::Collector)
    );
    body.write_all(head.as_bytes()).unwrap();
    let answer = rest(body).await;
    assert!(
        answer.starts_with("HTTP/1.1 504") && answer.contains("CALL_TOO_SLOW"),
        "{answer}"
    );
    while sandbox.metric("qipp_connections") > 0.0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_of_one_address_are_bounded_and_those_that_are_in_go_on() {
    let sandbox = Sandbox::configured(|config| config.limits.connections_per_peer = 2).await;
    let mut first = raw(&sandbox);
    let second = raw(&sandbox);
    while sandbox.metric("qipp_connections") < 2.0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(rest(raw(&sandbox)).await, "");
    assert_eq!(
        sandbox.metric("qipp_refusals_total{limit=\"connections_per_peer\"}"),
        1.0
    );
    drop(second);
    while sandbox.metric("qipp_connections") > 1.0 {
        tokio::task::yield_now().await;
    }
    first
        .write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .unwrap();
    assert!(rest(first).await.starts_with("HTTP/1.1 200"));
    let third = Http::new(&sandbox.url(), None).get("/livez").await;
    assert_eq!(third.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_headers_bodies_and_uploads_are_refused_by_size() {
    let sandbox = Sandbox::configured(|config| {
        config.limits.header_bytes = 8192;
        config.limits.message_bytes = 4096;
        config.limits.upload_bytes = 8192;
    })
    .await;
    let mut large = raw(&sandbox);
    large
        .write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\nx-large: ")
        .unwrap();
    large.write_all(&[b'a'; 10_000]).unwrap();
    assert!(rest(large).await.starts_with("HTTP/1.1 431"));
    let http = Http::new(&sandbox.url(), Some(sandbox.key(Who::Collector)));
    let body = serde_json::json!({"return": {"narrative": "a".repeat(5_000)}});
    let refused = http.post("/v1/returns", &body).await;
    assert_eq!(
        (refused.status, &refused.body["error"]["reason"]),
        (413, &"BODY_TOO_LARGE".into())
    );
    let refused = http.post_csv("/v1/returns:csv", "a".repeat(9_000)).await;
    assert_eq!(
        (refused.status, &refused.body["error"]["reason"]),
        (413, &"BODY_TOO_LARGE".into())
    );
    // The same over HTTP/2: the stream is refused, the connection goes on.
    let channel = Endpoint::from_shared(sandbox.url()).unwrap().connect_lazy();
    let mut alerts = AlertsServiceClient::new(channel);
    let mut request = Request::new(WatchAlertsRequest::default());
    request
        .metadata_mut()
        .insert("x-large", "a".repeat(20_000).parse().unwrap());
    // The answer is 431 and no status of gRPC: a client sees that at the latest when it reads.
    if let Ok(answer) = alerts.watch_alerts(request).await {
        answer.into_inner().message().await.unwrap_err();
    }
    let unknown = alerts
        .watch_alerts(WatchAlertsRequest::default())
        .await
        .unwrap_err();
    assert_eq!(unknown.code(), Code::Unauthenticated);
    // A stranger's upload is refused before it is read.
    let stranger = Http::new(&sandbox.url(), None);
    let mut held = raw(&sandbox);
    held.write_all(b"POST /v1/returns:csv HTTP/1.1\r\nhost: x\r\ncontent-length: 8000\r\nconnection: close\r\n\r\n").unwrap();
    assert!(rest(held).await.starts_with("HTTP/1.1 401"));
    assert_eq!(stranger.get("/livez").await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watcher_that_does_not_read_is_ended_and_told_where_to_go_on() {
    let sandbox = Sandbox::configured(|config| config.limits.watcher_seconds = 1).await;
    // Everybody owes a return that nobody has sent: an alert each.
    let codes: Vec<String> = (0..800).map(|number| format!("R{number:03}")).collect();
    let mut nation = facts::catalogue();
    nation.extend([
        facts::organisation("ENG", "nation"),
        facts::tree(TREE, "ENG"),
    ]);
    for code in &codes {
        nation.push(facts::organisation(code, "trust"));
        nation.push(facts::below(TREE, code, "ENG"));
        nation.push(facts::owes(code, Dataset::Quality, "2011-04"));
    }
    nation.push(facts::due(Dataset::Quality, "2011-04", "2011-05-02"));
    let cut = sandbox.record(nation).await;
    sandbox.evaluated(&cut).await;

    let endpoint = Endpoint::from_shared(sandbox.url()).unwrap();
    // As little as HTTP/2 allows waits on our side.
    let channel = endpoint
        .initial_stream_window_size(Some(65_535))
        .connect_lazy();
    let key = format!("Bearer {}", sandbox.key(Who::National));
    let mut alerts = AlertsServiceClient::new(channel);
    let mut request = Request::new(WatchAlertsRequest::default());
    request
        .metadata_mut()
        .insert("authorization", key.parse().unwrap());
    let mut events = alerts.watch_alerts(request).await.unwrap().into_inner();
    while sandbox.metric("qipp_refusals_total{limit=\"watcher_seconds\"}") < 1.0 {
        tokio::task::yield_now().await;
    }
    let mut seen = Vec::new();
    let mut last = None;
    let ended = loop {
        match events.message().await {
            Ok(Some(event)) => {
                seen.push(event.alert.unwrap().alert_id);
                last = event.cut;
            }
            Ok(None) => panic!("it ended without a word"),
            Err(status) => break status,
        }
    };
    assert_eq!(
        (ended.code(), reason(&ended)),
        (Code::ResourceExhausted, "WATCHER_TOO_SLOW".to_owned())
    );
    let last = last.unwrap();
    let resume = qipp_api::cut_text::encode(&last);
    assert!(
        ended.message().contains(&resume),
        "{} / {resume}",
        ended.message()
    );
    assert!(seen.len() < codes.len(), "{}", seen.len());
    // Going on from there misses nothing and repeats nothing.
    let again = WatchAlertsRequest {
        from: Some(last),
        ..WatchAlertsRequest::default()
    };
    let mut live = sandbox.client(Who::National).live_alerts();
    let mut events = live.watch_alerts(again).await.unwrap().into_inner();
    while seen.len() < codes.len() {
        seen.push(
            events
                .message()
                .await
                .unwrap()
                .unwrap()
                .alert
                .unwrap()
                .alert_id,
        );
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), codes.len());
}
