//! What those who run the house see of it: log lines, metrics, readiness; and what they must never see.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use qipp::client::Client;
use qipp_api::proto::intake::v1::SubmitReturnRequest;
use qipp_api::proto::registry::v1::ListMarkersRequest;
use qipp_tests::http::Http;
use qipp_tests::{OTHER, Sandbox, TRUST, Who, facts, returns};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::Request;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::binary::{command, data};

/// Free text of a return, which belongs into the log of facts and nowhere else.
pub(crate) const REMARK: &str = "ward-seven-was-closed-for-a-week";

/// `qipp serve` with everything that it prints in files.
pub(crate) struct Printing {
    process: tokio::process::Child,
    pub(crate) url: String,
    pub(crate) operations: String,
    folder: tempfile::TempDir,
}

impl Printing {
    async fn start(level: &str) -> Self {
        Self::start_with(level, &[]).await
    }

    /// With more variables in its environment.
    pub(crate) async fn start_with(level: &str, environment: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| std::fs::File::create(folder.path().join(name)).unwrap();
        let mut serve = command(folder.path());
        serve
            .env("RUST_LOG", level)
            .envs(environment.iter().copied())
            .args(["serve", "--listen", "127.0.0.1:0", "--log-format", "json"])
            .stdout(file("printed"))
            .stderr(file("lines"));
        let process = serve.spawn().unwrap();
        let mut served = Self {
            process,
            url: String::new(),
            operations: String::new(),
            folder,
        };
        // It says where it listens once it does.
        let words = loop {
            assert!(
                served.process.try_wait().unwrap().is_none(),
                "{}",
                served.read("lines")
            );
            let printed = served.read("printed");
            if printed.contains("/metrics") && printed.ends_with('\n') {
                break printed;
            }
            tokio::task::yield_now().await;
        };
        let mut urls = words
            .split_whitespace()
            .filter(|word| word.starts_with("http://"));
        served.url = urls.next().unwrap().to_owned();
        let metrics = urls.find(|url| url.ends_with("/metrics")).unwrap();
        served.operations = metrics.trim_end_matches("/metrics").to_owned();
        served
    }

    fn read(&self, name: &str) -> String {
        String::from_utf8_lossy(&std::fs::read(self.folder.path().join(name)).unwrap()).into_owned()
    }

    pub(crate) fn key(&self, name: &str) -> String {
        let path = self.folder.path().join("keys").join(format!("{name}.key"));
        std::fs::read_to_string(path).unwrap().trim().to_owned()
    }

    pub(crate) async fn terminate(mut self) -> (String, String) {
        let pid = Pid::from_raw(i32::try_from(self.process.id().unwrap()).unwrap()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
        assert!(self.process.wait().await.unwrap().success());
        (self.read("printed"), self.read("lines"))
    }
}

/// A verb of the tool, with all that it prints.
pub(crate) async fn verb(served: &Printing, arguments: &[&str]) -> String {
    let output = command(served.folder.path())
        .env("QIPP_SERVER", &served.url)
        .env("RUST_LOG", "trace")
        .args(arguments)
        .output()
        .await
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_is_printed_holds_a_key_or_the_text_of_a_return_whatever_the_level() {
    let served = Printing::start("trace").await;
    let (markers, more) = (data("markers.csv"), data("markers_supplementary.csv"));
    let mut printed = verb(&served, &["register", "markers", &markers, &more]).await;
    printed += &verb(
        &served,
        &["register", "pct-sha", &data("org_pct_sha_2010.csv")],
    )
    .await;
    printed += &verb(&served, &["query", "status"]).await;

    let collector = served.key("collector");
    let client = Client::new(&served.url, &collector, Duration::from_secs(60)).unwrap();
    let mut ret = returns::quality(
        "5A3",
        "2010-04",
        vec![returns::measured("RTT_ADM", 90.0, 100.0)],
    );
    ret.narrative = REMARK.to_owned();
    let request = |ret: &qipp_api::proto::events::v1::Return| SubmitReturnRequest {
        r#return: Some(ret.clone()),
        validate_only: false,
    };
    client.intake().submit_return(request(&ret)).await.unwrap();
    client
        .submit_all(&[ret.clone()], false, |_, _| {})
        .await
        .unwrap();
    // Refused with faults, over gRPC and over HTTP; by a wrong key; by a header that is none.
    ret.period = "2099-01".to_owned();
    client
        .intake()
        .submit_return(request(&ret))
        .await
        .unwrap_err();
    let http = Http::new(&served.url, Some(&collector));
    let body = json!({"return": {"orgCode": "5A3", "narrative": REMARK, "period": "x"}});
    assert_eq!(http.post("/v1/returns", &body).await.status, 400);
    let wrong = qipp_tests::no_key();
    assert_eq!(
        Http::new(&served.url, Some(&wrong))
            .get("/v1/status")
            .await
            .status,
        401
    );
    let odd = Http::new(&served.url, None)
        .request("GET", "/v1/status")
        .header("authorization", format!("Basic {wrong}"));
    assert_eq!(odd.send().await.unwrap().status(), 401);

    let metrics = Http::new(&served.operations, None).request("GET", "/metrics");
    let metrics = metrics.send().await.unwrap().text().await.unwrap();
    let secrets: Vec<String> = ["operator", "collector", "national"]
        .map(|name| served.key(name))
        .into_iter()
        .chain([wrong, REMARK.to_owned()])
        .collect();
    let (stdout, lines) = served.terminate().await;
    assert!(
        lines.contains("qipp::access"),
        "the lines are the real ones: {lines}"
    );
    for (what, text) in [
        ("verbs", printed),
        ("standard output", stdout),
        ("log lines", lines),
        ("metrics", metrics),
    ] {
        for secret in &secrets {
            // The bare digits of a key are as good as the key.
            let bare = secret.trim_start_matches(qipp_access::KEY_PREFIX);
            assert!(!text.contains(bare), "{what} hold a secret");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_leaves_one_line_with_its_request_id_and_metrics_that_promtool_takes() {
    let served = Printing::start("info").await;
    let client = Client::new(
        &served.url,
        &served.key("national"),
        Duration::from_secs(60),
    )
    .unwrap();
    let named = |page_size: i32, id: &str| {
        let mut request = Request::new(ListMarkersRequest {
            page_size,
            ..ListMarkersRequest::default()
        });
        request
            .metadata_mut()
            .insert("x-request-id", id.parse().unwrap());
        request
    };
    client
        .registry()
        .list_markers(named(1, "first-call"))
        .await
        .unwrap();
    client
        .registry()
        .list_markers(named(-1, "second-call"))
        .await
        .unwrap_err();
    let http = Http::new(&served.url, Some(&served.key("national")));
    let over_http = http
        .request("GET", "/v1/markers")
        .header("x-request-id", "third-call");
    assert_eq!(over_http.send().await.unwrap().status(), 200);
    let stranger = Http::new(&served.url, None);
    let refused = stranger
        .request("GET", "/v1/markers")
        .header("x-request-id", "fourth-call");
    assert_eq!(refused.send().await.unwrap().status(), 401);

    let operators = Http::new(&served.operations, None);
    let text = operators.request("GET", "/metrics").send().await.unwrap();
    let text = text.text().await.unwrap();
    promtool(&["check", "metrics"], &text);
    for series in [
        r#"qipp_call_duration_seconds_count{code="OK",rpc="qipp.registry.v1.RegistryService/ListMarkers"} 1"#,
        r#"qipp_call_duration_seconds_count{code="INVALID_ARGUMENT",rpc="qipp.registry.v1.RegistryService/ListMarkers"} 1"#,
        r#"qipp_call_duration_seconds_count{code="OK",rpc="GET /v1/markers"} 1"#,
        r#"qipp_call_duration_seconds_count{code="UNAUTHENTICATED",rpc="GET /v1/markers"} 1"#,
        r#"qipp_log_head{partition="0",topic="#,
        "qipp_fold_lag_records 0",
        "qipp_ready 1",
        "qipp_parked_keys 0",
        "qipp_data_free_bytes ",
        "qipp_connections ",
        "process_resident_memory_bytes ",
    ] {
        assert!(text.contains(series), "{series} is missing in\n{text}");
    }
    assert_eq!(operators.get("/livez").await.status, 200);
    assert_eq!(
        operators.get("/readyz").await.body,
        json!({"status": "ready"})
    );

    let (_, lines) = served.terminate().await;
    let lines: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    for (id, method, principal, code) in [
        (
            "first-call",
            "qipp.registry.v1.RegistryService/ListMarkers",
            "local-national",
            "OK",
        ),
        (
            "second-call",
            "qipp.registry.v1.RegistryService/ListMarkers",
            "local-national",
            "INVALID_ARGUMENT",
        ),
        ("third-call", "GET /v1/markers", "local-national", "OK"),
        ("fourth-call", "GET /v1/markers", "-", "UNAUTHENTICATED"),
    ] {
        let of_call: Vec<&Value> = lines
            .iter()
            .filter(|line| line["target"] == "qipp::access" && line["request_id"] == id)
            .collect();
        let [line] = of_call.as_slice() else {
            panic!("{id}: {of_call:?}");
        };
        assert_eq!(
            (&line["method"], &line["principal"], &line["code"]),
            (&json!(method), &json!(principal), &json!(code))
        );
        assert!(
            line["duration_ms"].as_f64().is_some_and(|ms| ms > 0.0) && line["level"] == "INFO",
            "{line}"
        );
    }
}

/// Runs promtool on a text. It comes with Debian's package `prometheus`; tests/run installs it.
fn promtool(arguments: &[&str], text: &str) {
    let mut promtool = Command::new("promtool")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is needed: apt-get install prometheus");
    promtool
        .stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        output.status.success() && said.trim().is_empty(),
        "promtool {arguments:?}: {said}"
    );
}

#[test]
fn the_shipped_alerting_rules_fire_when_they_should_and_only_then() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/prometheus");
    for arguments in [
        &["check", "rules", "rules.yml"][..],
        &["test", "rules", "rules_test.yml"],
        &["check", "config", "--syntax-only", "prometheus.yml"],
    ] {
        let output = Command::new("promtool")
            .args(arguments)
            .current_dir(&folder)
            .output();
        let output = output.expect("promtool is needed: apt-get install prometheus");
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    }
    // A rule on a series that nobody writes would never fire.
    let rules = std::fs::read_to_string(folder.join("rules.yml")).unwrap();
    let written = include_str!("../../../services/qipp/src/gauges.rs").to_owned()
        + include_str!("../../../crates/serving/src/metrics.rs");
    let names = rules
        .split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .filter(|word| word.starts_with("qipp_") && !word.ends_with("_rules"));
    for name in names {
        let family = name
            .trim_end_matches("_bucket")
            .trim_end_matches("_count")
            .trim_end_matches("_sum");
        assert!(
            written.contains(&format!("\"{family}\"")),
            "{name} is written nowhere"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rejected_returns_are_counted_by_fault_and_by_what_became_of_them() {
    let sandbox = Sandbox::in_memory().await;
    sandbox.record(facts::small_nation()).await;
    let fine = returns::four_hours(TRUST, "2011-04", 90.0, 100.0);
    sandbox.submit(fine.clone()).await;
    sandbox.submit(fine).await;
    let bad = returns::four_hours(OTHER, "2011-04", 101.0, 100.0);
    let summary = sandbox
        .client(Who::Collector)
        .submit_all(&[bad], false, |_, _| {})
        .await
        .unwrap();
    assert_eq!(summary.rejected, 1);
    let decided =
        |what: &str| sandbox.metric(&format!("qipp_returns_total{{decision=\"{what}\"}}"));
    assert_eq!(
        (decided("accepted"), decided("repeat"), decided("rejected")),
        (1.0, 1.0, 1.0)
    );
    let text = sandbox.house().metrics.text();
    assert!(
        text.lines().any(
            |line| line.starts_with("qipp_rejected_faults_total{code=\"") && line.ends_with(" 1")
        ),
        "{text}"
    );
}

/// Asks until the house is in that state: its code, or ready.
async fn until(operations: &str, reason: Option<&str>) -> Value {
    let http = Http::new(operations, None);
    loop {
        let answer = http.get("/readyz").await;
        let codes: Vec<&str> = answer.body["reasons"]
            .as_array()
            .map(|reasons| {
                reasons
                    .iter()
                    .filter_map(|reason| reason["code"].as_str())
                    .collect()
            })
            .unwrap_or_default();
        match reason {
            None if answer.status == 200 => return answer.body,
            Some(reason) if answer.status == 503 && codes.contains(&reason) => return answer.body,
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fold_that_has_stopped_is_neither_ready_nor_healthy_and_says_why() {
    let mut sandbox = Sandbox::in_memory().await;
    let operations = sandbox.operate().await;
    until(&operations, None).await;
    let channel = tonic::transport::Endpoint::from_shared(sandbox.url())
        .unwrap()
        .connect_lazy();
    let service = "qipp.projections.v1.ProjectionsService".to_owned();
    let mut states = HealthClient::new(channel)
        .watch(HealthCheckRequest { service })
        .await
        .unwrap()
        .into_inner();
    while states.message().await.unwrap().unwrap().status() != ServingStatus::Serving {}
    // A log that goes away ends the fold.
    sandbox.house().log.close().await;
    let found = until(&operations, Some("FOLD_STOPPED")).await;
    assert!(found.to_string().contains("restart"), "{found}");
    while states.message().await.unwrap().unwrap().status() != ServingStatus::NotServing {}
    assert_eq!(
        Http::new(&sandbox.url(), None).get("/readyz").await.status,
        503
    );
    assert_eq!(sandbox.metric("qipp_ready"), 0.0);
    assert_eq!(
        sandbox.metric("qipp_not_ready{reason=\"FOLD_STOPPED\"}"),
        1.0
    );
    // Nobody takes it for dead.
    assert_eq!(Http::new(&operations, None).get("/livez").await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_house_that_drains_is_not_ready_and_answers_what_it_has_begun() {
    let mut sandbox = Sandbox::in_memory().await;
    let operations = sandbox.operate().await;
    until(&operations, None).await;
    // A call whose body is not all there yet.
    let address = sandbox.house().address;
    let mut call = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST /v1/returns HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{{",
        sandbox.key(Who::Collector)
    );
    call.write_all(head.as_bytes()).await.unwrap();
    while sandbox.metric("qipp_calls_running") < 1.0 {
        tokio::task::yield_now().await;
    }
    let closing = sandbox.begin_closing();
    until(&operations, Some("DRAINING")).await;
    call.write_all(b"}").await.unwrap();
    let mut answer = String::new();
    call.read_to_string(&mut answer).await.unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 400") && answer.contains("RETURN_MISSING"),
        "{answer}"
    );
    closing.await.unwrap();
}
