//! Many processes: some serve this and some serve that, on one log, behind a gateway that has none.

use std::sync::Arc;

use qipp::config::Service;
use qipp::serve::House;
use qipp_api::error::ApiError;
use qipp_api::files::MAX_FACTS_PER_CALL;
use qipp_api::proto::alerts::v1::{ListAlertsRequest, WatchAlertsRequest};
use qipp_api::proto::events::v1::{Cut, ReadOptions, ReferenceFact, Return};
use qipp_api::proto::intake::v1::{Decision, SubmitReturnRequest, SubmitReturnsRequest};
use qipp_api::proto::registry::v1::{ListMarkersRequest, RecordFactsRequest};
use qipp_eventlog::EventLog;
use qipp_tests::http::Http;
use qipp_tests::late::Late;
use qipp_tests::{OTHER, Sandbox, TRUST, Who, facts, returns, sse};
use serde_json::{Value, json};
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::binary::command;
use crate::loaded;

const ASK: &str = "qipp.registry.v1.RegistryService/ListMarkers";

/// A gateway without a log in front of others.
async fn gateway(sandbox: &Sandbox, writers: &[&str], alerts: &[&str]) -> House {
    let owned = |urls: &[&str]| urls.iter().map(|url| (*url).to_owned()).collect::<Vec<_>>();
    let (writers, alerts) = (owned(writers), owned(alerts));
    sandbox
        .beside(None, |config| {
            config.services = vec![Service::Gateway];
            config.peers.intake.clone_from(&writers);
            config.peers.registry.clone_from(&writers);
            config.peers.projections = writers;
            config.peers.alerts = alerts;
        })
        .await
}

/// The log of the sandbox, for a further house.
fn shared(sandbox: &Sandbox) -> Option<Arc<dyn EventLog>> {
    Some(Late::prompt(Arc::clone(&sandbox.house().log)))
}

async fn readiness(url: &str) -> (u16, Vec<String>) {
    let answer = Http::new(url, None).get("/readyz").await;
    let reasons = answer.body["reasons"].as_array().cloned();
    let code = |reason: &Value| reason["code"].as_str().unwrap().to_owned();
    (
        answer.status,
        reasons.unwrap_or_default().iter().map(code).collect(),
    )
}

/// Waits until a process is ready.
async fn ready(url: &str) {
    while readiness(url).await.0 != 200 {}
}

/// Waits until that is among the reasons why a process is not ready.
async fn not_ready(url: &str, code: &str) {
    while !readiness(url).await.1.iter().any(|held| held == code) {}
}

async fn health(url: &str, service: &str) -> Result<ServingStatus, Code> {
    let channel = tonic::transport::Endpoint::from_shared(url.to_owned()).unwrap();
    let request = HealthCheckRequest {
        service: service.to_owned(),
    };
    let answer = HealthClient::new(channel.connect_lazy())
        .check(request)
        .await;
    answer
        .map(|answer| answer.into_inner().status())
        .map_err(|status| status.code())
}

async fn record(sandbox: &Sandbox, url: &str, facts: &[ReferenceFact]) -> Cut {
    let mut cut = Cut::default();
    for facts in facts.chunks(MAX_FACTS_PER_CALL) {
        let request = RecordFactsRequest {
            facts: facts.to_vec(),
            validate_only: false,
        };
        let mut registry = sandbox.client_through(url, Who::Operator).registry();
        let answer = registry.record_facts(request).await.unwrap();
        cut = answer.into_inner().cut.unwrap();
    }
    cut
}

async fn submit(
    sandbox: &Sandbox,
    url: &str,
    ret: Return,
) -> Result<(Decision, Option<Cut>), Status> {
    let request = SubmitReturnRequest {
        r#return: Some(ret),
        validate_only: false,
    };
    let mut intake = sandbox.client_through(url, Who::Collector).intake();
    let receipt = intake.submit_return(request).await?.into_inner().receipt;
    let receipt = receipt.unwrap();
    Ok((receipt.decision(), receipt.cut))
}

async fn markers(sandbox: &Sandbox, url: &str) -> Result<usize, ApiError> {
    let mut registry = sandbox.client_through(url, Who::National).registry();
    let answer = registry.list_markers(ListMarkersRequest::default()).await;
    answer
        .map(|answer| answer.into_inner().markers.len())
        .map_err(|status| ApiError::from_status(&status))
}

/// Does something that has to ask where the log ends, and hears of all that others write from the moment that it has.
async fn hearing_once_asked<T>(late: &Late, asked: u64, doing: impl Future<Output = T>) -> T {
    let hearing = async {
        while late.asked() == asked {
            tokio::task::yield_now().await;
        }
        loop {
            late.hear();
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        done = doing => done,
        never = hearing => never,
    }
}

fn calls(house: &House, rpc: &str) -> f64 {
    let series = format!("qipp_call_duration_seconds_count{{code=\"OK\",rpc=\"{rpc}\"}} ");
    let text = house.metrics.text();
    let value = text.lines().find_map(|line| line.strip_prefix(&series));
    value.map_or(0.0, |value| value.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_passes_calls_on_over_grpc_and_http_and_its_peers_take_turns() {
    let sandbox = Sandbox::in_memory().await;
    let second = sandbox
        .beside(shared(&sandbox), |config| {
            config.services = vec![Service::Intake, Service::Registry, Service::Projections];
        })
        .await;
    let first = sandbox.url();
    let gateway = gateway(&sandbox, &[&first, &second.url()], &[&first]).await;
    let url = gateway.url();
    ready(&url).await;
    record(&sandbox, &url, &facts::small_nation()).await;
    let fine = returns::four_hours(TRUST, "2011-04", 90.0, 100.0);
    let (decision, cut) = submit(&sandbox, &url, fine.clone()).await.unwrap();
    assert_eq!(decision, Decision::Accepted);
    for _ in 0..2 {
        // Whichever it comes to.
        assert_eq!(
            submit(&sandbox, &url, fine.clone()).await.unwrap().0,
            Decision::Repeat
        );
    }
    // The bulk stream, with a rejection in the middle of it.
    let many: Vec<Return> = (1..=12)
        .map(|month| {
            let within = if month == 7 { 101.0 } else { 90.0 };
            returns::four_hours(OTHER, &format!("2010-{month:02}"), within, 100.0)
        })
        .collect();
    let collector = sandbox.client_through(&url, Who::Collector);
    let summary = collector.submit_all(&many, false, |_, _| {}).await.unwrap();
    assert_eq!((summary.accepted, summary.rejected), (11, 1), "{summary:?}");

    let before = (calls(sandbox.house(), ASK), calls(&second, ASK));
    for _ in 0..6 {
        assert!(markers(&sandbox, &url).await.unwrap() > 0);
    }
    let turns = (
        calls(sandbox.house(), ASK) - before.0,
        calls(&second, ASK) - before.1,
    );
    assert_eq!(turns, (3.0, 3.0));

    let http = Http::new(&url, Some(sandbox.key(Who::National)));
    assert!(cut.is_some());
    let markers = http
        .request("GET", "/v1/markers")
        .header("x-request-id", "my-call");
    let markers = markers.send().await.unwrap();
    assert_eq!(markers.status(), 200);
    assert_eq!(markers.headers()["x-request-id"], "my-call");
    assert_eq!(Http::new(&url, None).get("/v1/markers").await.status, 401);
    let faulty = Http::new(&url, Some(sandbox.key(Who::Collector)));
    let refused = json!({"return": {"orgCode": "XYZ", "period": "2011-04"}});
    let refused = faulty.post("/v1/returns", &refused).await;
    assert_eq!(refused.status, 400);
    assert!(
        !refused.body["error"]["problems"]
            .as_array()
            .unwrap()
            .is_empty()
    );
    gateway.stop().await;
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_through_a_gateway_shows_everything_and_ends_in_words_when_it_closes() {
    let sandbox = loaded::nation().await;
    let url = sandbox.url();
    let gateway = gateway(&sandbox, &[&url], &[&url]).await;
    ready(&gateway.url()).await;
    let http = |url: &str| Http::new(url, Some(sandbox.key(Who::National)));
    let there = sse::events(&http(&url), None, 3).await;
    assert_eq!(sse::events(&http(&gateway.url()), None, 3).await, there);

    let national = sandbox.client_through(&gateway.url(), Who::National);
    let request = WatchAlertsRequest::default();
    let mut watching = national
        .live_alerts()
        .watch_alerts(request)
        .await
        .unwrap()
        .into_inner();
    assert!(watching.message().await.unwrap().is_some());
    let live = http(&gateway.url())
        .request("GET", "/v1/alerts/watch")
        .send()
        .await
        .unwrap();
    let closing = tokio::spawn(gateway.stop());
    let ended = loop {
        match watching.message().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("an end that could be taken for complete"),
            Err(status) => break status,
        }
    };
    assert_eq!(ended.code(), Code::Unavailable, "{ended:?}");
    assert_eq!(ApiError::from_status(&ended).reason, "SHUTTING_DOWN");
    // Its end, however it comes, is what the close waits for.
    let _ = live.text().await;
    closing.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_is_gone_is_passed_over_and_without_any_the_caller_is_told_what_to_do() {
    let mut sandbox = Sandbox::in_memory().await;
    let second = sandbox
        .beside(shared(&sandbox), |config| {
            config.services = vec![Service::Intake, Service::Registry, Service::Projections];
        })
        .await;
    let first = sandbox.url();
    let gateway = gateway(&sandbox, &[&first, &second.url()], &[&first]).await;
    let url = gateway.url();
    ready(&url).await;
    record(&sandbox, &url, &facts::small_nation()).await;
    second.stop().await;
    // Also before anybody has noticed.
    for month in 1..=6 {
        let ret = returns::four_hours(TRUST, &format!("2011-{month:02}"), 90.0, 100.0);
        if month <= 5 {
            submit(&sandbox, &url, ret).await.unwrap();
        }
        assert!(markers(&sandbox, &url).await.unwrap() > 0);
    }
    assert_eq!(readiness(&url).await.0, 200);

    sandbox.close().await;
    let error = markers(&sandbox, &url).await.unwrap_err();
    assert_eq!(
        (error.code.grpc(), &*error.reason),
        (Code::Unavailable, "PEERS_UNREACHABLE")
    );
    assert!(error.message.contains("serve.peers.registry"), "{error}");
    assert!(error.retry_after.is_some());
    let http = Http::new(&url, Some(sandbox.key(Who::National)));
    assert_eq!(http.get("/v1/markers").await.status, 503);
    let returned = returns::four_hours(TRUST, "2011-01", 90.0, 100.0);
    let collector = sandbox.client_through(&url, Who::Collector);
    let mut intake = collector.intake();
    let refused = intake
        .submit_returns(futures::stream::iter([SubmitReturnsRequest {
            sequence: 0,
            r#return: Some(returned),
            validate_only: false,
        }]))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    not_ready(&url, "PEERS_UNREACHABLE").await;
    while health(&url, "").await != Ok(ServingStatus::NotServing) {}
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_finds_the_process_that_evaluates() {
    let sandbox = Sandbox::in_memory().await;
    let late = Late::prompt(Arc::clone(&sandbox.house().log));
    late.choose(false);
    let standing_by = sandbox
        .beside(Some(late), |config| config.services = vec![Service::Alerts])
        .await;
    let (first, second) = (standing_by.url(), sandbox.url());
    let gateway = gateway(&sandbox, &[&second], &[&first, &second]).await;
    let url = gateway.url();
    ready(&url).await;
    let cut = record(&sandbox, &url, &facts::small_nation()).await;
    let evaluated = async |url: &str| {
        let request = ListAlertsRequest {
            min_evaluated: Some(cut.clone()),
            ..Default::default()
        };
        let mut alerts = sandbox.client_through(url, Who::National).alerts();
        let answer = alerts.list_alerts(request).await;
        answer.map_err(|status| ApiError::from_status(&status).reason)
    };
    assert_eq!(evaluated(&first).await.unwrap_err(), "EVALUATED_ELSEWHERE");
    // Peers take turns, so that at least every other call comes to the wrong one first.
    for _ in 0..4 {
        evaluated(&url).await.unwrap();
    }
    gateway.stop().await;
    standing_by.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_process_does_not_serve_it_says_so_and_who_does() {
    let sandbox = Sandbox::in_memory().await;
    let intake = sandbox
        .beside(shared(&sandbox), |config| {
            config.services = vec![Service::Intake];
        })
        .await;
    let url = intake.url();
    ready(&url).await;
    let error = markers(&sandbox, &url).await.unwrap_err();
    assert_eq!(
        (error.code.grpc(), &*error.reason),
        (Code::Unimplemented, "NOT_SERVED_HERE")
    );
    for word in ["registry", "qipp serve registry", "serve.peers.registry"] {
        assert!(error.message.contains(word), "{error}");
    }
    let national = Http::new(&url, Some(sandbox.key(Who::National)));
    let answer = national.get("/v1/markers").await;
    assert_eq!(
        (answer.status, answer.body["error"]["reason"].as_str()),
        (501, Some("NOT_SERVED_HERE"))
    );
    assert_eq!(national.get("/livez").await.status, 200);
    // Who passes a call on to the wrong process is told; nobody passes it on in a circle.
    let circle = gateway(&sandbox, &[&url], &[&url]).await;
    let lost = markers(&sandbox, &circle.url()).await.unwrap_err();
    assert_eq!(lost.reason, "NOT_SERVED_HERE");
    // Health is only told of what is answered for.
    assert_eq!(
        health(&url, "qipp.intake.v1.IntakeService").await,
        Ok(ServingStatus::Serving)
    );
    assert_eq!(
        health(&url, "qipp.registry.v1.RegistryService").await,
        Err(Code::NotFound)
    );
    circle.stop().await;
    intake.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_refused_for_what_another_process_has_recorded_a_moment_ago() {
    let sandbox = Sandbox::in_memory().await;
    let late = Late::new(Arc::clone(&sandbox.house().log));
    let second = sandbox
        .beside(Some(Arc::clone(&late) as Arc<dyn EventLog>), |config| {
            config.services = vec![Service::Intake, Service::Registry];
        })
        .await;
    let url = second.url();
    ready(&url).await;
    let recorded = sandbox.record(facts::small_nation()).await;

    // It has heard of nothing yet, and asks where the log really ends before it refuses anything.
    let asked = late.asked();
    let fine = returns::four_hours(TRUST, "2011-04", 90.0, 100.0);
    let submitting = submit(&sandbox, &url, fine.clone());
    let submitted = hearing_once_asked(&late, asked, submitting).await;
    assert_eq!(submitted.unwrap().0, Decision::Accepted);
    // The same at the other one is a repeat: all agree.
    assert_eq!(
        submit(&sandbox, &sandbox.url(), fine).await.unwrap().0,
        Decision::Repeat
    );

    // A fault of form is told at once: no later fact mends it.
    let asked = late.asked();
    let mut faulty = returns::four_hours(TRUST, "2011-04", 101.0, 100.0);
    let status = submit(&sandbox, &url, faulty.clone()).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    // An organisation that nobody has recorded is refused all the same, once it has looked.
    faulty.org_code = "XYZ".to_owned();
    let submitting = submit(&sandbox, &url, faulty);
    let status = hearing_once_asked(&late, asked, submitting)
        .await
        .unwrap_err();
    assert!(
        ApiError::from_status(&status)
            .problems
            .iter()
            .any(|p| p.code == "UNKNOWN_ORGANISATION")
    );
    assert!(late.asked() > asked);

    // A cut that came from another process is waited for, and not taken for one that there is not.
    let more = sandbox
        .record(vec![facts::organisation("RZZ", "trust")])
        .await;
    assert_ne!(more, recorded);
    let read = ReadOptions {
        min_cut: Some(more),
        known_at: None,
    };
    let request = ListMarkersRequest {
        read: Some(read),
        ..ListMarkersRequest::default()
    };
    let asked = late.asked();
    let national = sandbox.client_through(&url, Who::National);
    let mut registry = national.registry();
    let reading = registry.list_markers(request);
    hearing_once_asked(&late, asked, reading).await.unwrap();
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_is_away_is_said_to_be_and_all_goes_on_when_it_is_back() {
    let sandbox = Sandbox::in_memory().await;
    sandbox.record(facts::small_nation()).await;
    let late = Late::new(Arc::clone(&sandbox.house().log));
    let second = sandbox
        .beside(Some(Arc::clone(&late) as Arc<dyn EventLog>), |config| {
            config.services = vec![Service::Intake];
            config.operations.max_stalled_seconds = 0;
        })
        .await;
    let reader = sandbox
        .beside(Some(Arc::clone(&late) as Arc<dyn EventLog>), |config| {
            config.services = vec![Service::Projections];
            config.operations.max_stalled_seconds = 0;
        })
        .await;
    let url = second.url();
    ready(&url).await;
    ready(&reader.url()).await;
    late.go_away(true);
    let ret = returns::four_hours(TRUST, "2011-04", 90.0, 100.0);
    let status = submit(&sandbox, &url, ret.clone()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    let error = ApiError::from_status(&status);
    assert_eq!(error.reason, "LOG_IO");
    assert!(error.retry_after.is_some());
    not_ready(&url, "LOG_UNREACHABLE").await;
    while health(&url, "qipp.log").await != Ok(ServingStatus::NotServing) {}
    assert_eq!(health(&url, "qipp.fold").await, Ok(ServingStatus::Serving));
    let text = second.metrics.text();
    assert!(text.contains("qipp_state{state=\"stalled\"} 1"), "{text}");

    // Who only answers questions goes on from what is folded, and says all the same that its log is away.
    while health(&reader.url(), "qipp.log").await != Ok(ServingStatus::NotServing) {}
    assert_eq!(readiness(&reader.url()).await.0, 200);
    assert_eq!(health(&reader.url(), "").await, Ok(ServingStatus::Serving));
    reader.stop().await;

    // The probe of a container.
    let folder = tempfile::tempdir().unwrap();
    let probe = command(folder.path())
        .args(["ready", &url])
        .output()
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&probe.stderr).into_owned();
    assert_eq!(probe.status.code(), Some(6), "{said}");
    assert!(
        said.contains("LOG_UNREACHABLE") && said.contains("brokers"),
        "{said}"
    );

    late.go_away(false);
    let waiting = command(folder.path())
        .args(["ready", &url, "--wait", "60"])
        .output()
        .await;
    assert!(waiting.unwrap().status.success());
    assert_eq!(
        submit(&sandbox, &url, ret).await.unwrap().0,
        Decision::Accepted
    );
    assert!(
        second
            .metrics
            .text()
            .contains("qipp_state{state=\"serving\"} 1")
    );
    second.stop().await;
    let nobody = command(folder.path())
        .args(["ready", &url])
        .output()
        .await
        .unwrap();
    assert_eq!(nobody.status.code(), Some(6));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_setting_of_many_processes_comes_from_the_environment_and_flags_win() {
    let folder = tempfile::tempdir().unwrap();
    let check = command(folder.path())
        .env("QIPP_SERVE__SERVICES", "intake,alerts")
        .env(
            "QIPP_SERVE__LOG",
            "kafka://k1:9092,k2:9092,k3:9092/nation?sasl.password=hidden",
        )
        .env("QIPP_SERVE__KAFKA__REPLICATION", "5")
        .env("QIPP_SERVE__KAFKA__MIN_INSYNC", "3")
        .env("QIPP_SERVE__KAFKA__SESSION_SECONDS", "9")
        .env("QIPP_SERVE__KAFKA__TIMEOUT_SECONDS", "11")
        .env("QIPP_SERVE__KAFKA__WINDOW_BYTES", "16777216")
        .env(
            "QIPP_SERVE__KAFKA__PROPERTIES",
            r#"{"security.protocol"="sasl_ssl","ssl.key.password"="hidden"}"#,
        )
        .env(
            "QIPP_SERVE__PEERS__REGISTRY",
            r#"["http://r1:8080","http://r2:8080"]"#,
        )
        .env(
            "QIPP_SERVE__PEERS__PROJECTIONS",
            "http://p1:8080,http://p2:8080",
        )
        .args(["serve", "gateway", "--listen", "127.0.0.1:0", "--check"])
        .output()
        .await
        .unwrap();
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&check.stdout),
        String::from_utf8_lossy(&check.stderr)
    );
    assert!(check.status.success(), "{said}");
    assert!(!said.contains("hidden"), "{said}");
    let entry = |name: &str, value: &str, source: &str| {
        let held = said
            .lines()
            .find(|line| line.starts_with(&format!("serve.{name} = ")));
        let held = held.unwrap_or_else(|| panic!("{name} in {said}"));
        assert!(held.contains(value) && held.ends_with(source), "{held}");
    };
    entry("services", r#"["gateway"]"#, "# flag");
    entry(
        "log",
        "k1:9092,k2:9092,k3:9092/nation?sasl.password=***",
        "# environment",
    );
    entry("kafka.replication", "5", "# environment");
    entry("kafka.min_insync", "3", "# environment");
    entry("kafka.session_seconds", "9", "# environment");
    entry("kafka.timeout_seconds", "11", "# environment");
    entry("kafka.window_bytes", "16777216", "# environment");
    entry(
        "kafka.properties.security.protocol",
        "sasl_ssl",
        "# environment",
    );
    entry("kafka.properties.ssl.key.password", "***", "# environment");
    entry("peers.registry", "http://r2:8080", "# environment");
    entry("peers.projections", "http://p2:8080", "# environment");
    entry("peers.intake", "[]", "# default");
}
