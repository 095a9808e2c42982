//! The gateway in front of a small service in the same process.

mod fake;

use std::collections::BTreeSet;

use axum::body::Body;
use futures::StreamExt as _;
use http::{Request as HttpRequest, StatusCode};
use http_body_util::BodyExt as _;
use qipp_api::proto::alerts::v1::alerts_service_server::AlertsServiceServer;
use qipp_api::proto::events::v1 as events;
use qipp_api::proto::intake::v1::intake_service_server::IntakeServiceServer;
use serde_json::{Value, json};
use tonic::service::Routes;
use tower::ServiceExt as _;

use super::*;
use fake::{Fake, Lines, alerts_cut, cut};

struct Rig {
    fake: Fake,
    router: Router,
    shutdown: CancellationToken,
}

fn rig() -> Rig {
    let fake = Fake::default();
    let shutdown = CancellationToken::new();
    let routes = Routes::new(IntakeServiceServer::new(fake.clone()))
        .add_service(AlertsServiceServer::new(fake.clone()));
    let ready: Arc<Readiness> = Arc::new(|| {
        vec![Reason {
            code: "FOLD_BEHIND",
            detail: "folding".to_owned(),
        }]
    });
    let config = GatewayConfig {
        max_body_bytes: 1024,
        ready,
        csv: Some(Arc::new(Lines)),
        ..GatewayConfig::new(shutdown.clone())
    };
    // On one port with gRPC, as it is served.
    let router =
        router(routes.clone(), config).merge(routes.prepare().into_axum_router().reset_fallback());
    Rig {
        fake,
        router,
        shutdown,
    }
}

impl Rig {
    async fn send(&self, request: HttpRequest<Body>) -> http::Response<Body> {
        self.router.clone().oneshot(request).await.unwrap()
    }

    async fn json(&self, request: HttpRequest<Body>) -> (StatusCode, Value) {
        let response = self.send(request).await;
        let status = response.status();
        assert!(response.headers().contains_key("x-request-id"));
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&bytes).unwrap())
    }

    async fn get(&self, path: &str) -> (StatusCode, Value) {
        self.json(HttpRequest::get(path).body(Body::empty()).unwrap())
            .await
    }

    async fn post(&self, path: &str, body: &Value) -> (StatusCode, Value) {
        self.json(
            HttpRequest::post(path)
                .body(Body::from(body.to_string()))
                .unwrap(),
        )
        .await
    }

    async fn upload(&self, text: &str) -> (StatusCode, Value) {
        let request = HttpRequest::post("/v1/returns:csv?format=codes")
            .header("content-type", "text/csv; charset=utf-8");
        self.json(request.body(Body::from(text.to_owned())).unwrap())
            .await
    }
}

fn savings(period: &str) -> Value {
    json!({"return": {"orgCode": "RJ1", "period": period, "savings": {"lines": [{"scheme_id": "S1", "planPence": "9007199254740993"}]}}})
}

#[test]
fn every_unary_rpc_has_exactly_one_route_and_every_field_in_a_path_exists() {
    let rpcs = qipp_api::json::pool()
        .services()
        .flat_map(|service| service.methods().collect::<Vec<_>>());
    let unary = rpcs.filter(|rpc| !rpc.is_client_streaming() && !rpc.is_server_streaming());
    let contract: Vec<String> = unary
        .map(|rpc| format!("{}/{}", rpc.parent_service().full_name(), rpc.name()))
        .collect();
    let mut routed: Vec<String> = routes::TABLE
        .iter()
        .map(|route| route.rpc.to_owned())
        .collect();
    routed.sort();
    let mut sorted = contract;
    sorted.sort();
    assert_eq!(routed, sorted);
    for route in routes::TABLE {
        let input = transcode::rpc(route.rpc).unwrap().input();
        for field in openapi::path_fields(route.path) {
            assert!(
                input.get_field_by_name(field).is_some(),
                "{} {field}",
                route.path
            );
        }
    }
    assert!(
        transcode::rpc(routes::WATCH_RPC)
            .unwrap()
            .is_server_streaming()
    );
}

#[tokio::test]
async fn a_body_hides_no_fault_of_the_query_and_an_id_that_could_be_a_patients_is_not_echoed() {
    let rig = rig();
    let body = json!({"return": {"status": "DRAFT", "period": 5}});
    let (status, error) = rig
        .post("/v1/returns?validate_only=perhaps&x=1", &body)
        .await;
    assert_eq!(
        (status, &error["error"]["code"]),
        (StatusCode::BAD_REQUEST, &json!("INVALID_ARGUMENT"))
    );
    let problems = error["error"]["problems"].as_array().unwrap();
    let fields: Vec<&str> = problems
        .iter()
        .map(|p| p["field"].as_str().unwrap())
        .collect();
    assert_eq!(
        fields,
        ["return.period", "return.status", "validate_only", "x"]
    );

    let request = HttpRequest::get("/livez").header("x-request-id", "943-476-5919");
    let response = rig.send(request.body(Body::empty()).unwrap()).await;
    let id = response.headers()["x-request-id"].to_str().unwrap();
    assert!(id.starts_with("gw-"), "{id}");
}

#[tokio::test]
async fn an_address_that_is_no_text_and_an_event_of_another_log_are_refused_as_json() {
    let rig = rig();
    let (status, error) = rig.get("/v1/alerts/%ff").await;
    assert_eq!(
        (status, &error["error"]["reason"]),
        (StatusCode::BAD_REQUEST, &json!("BAD_PATH"))
    );
    assert_eq!(error["error"]["problems"][0]["field"], "path");

    let watch = |id: &str| {
        let request = HttpRequest::get("/v1/alerts/watch").header("last-event-id", id);
        request.body(Body::empty()).unwrap()
    };
    for id in ["returns.0-1", "nonsense"] {
        let (status, error) = rig.json(watch(id)).await;
        assert_eq!(
            (status, &error["error"]["reason"]),
            (StatusCode::BAD_REQUEST, &json!("BAD_EVENT_ID"))
        );
        assert_eq!(error["error"]["problems"][0]["field"], "last-event-id");
    }
    assert_eq!(rig.send(watch("alerts.0-7")).await.status(), StatusCode::OK);
    rig.shutdown.cancel();
}

#[tokio::test]
async fn a_grpc_client_hears_of_an_unknown_service_in_its_own_protocol() {
    let request =
        HttpRequest::post("/qipp.nothing.v1.Nothing/Do").header("content-type", "application/grpc");
    let answer = rig().send(request.body(Body::empty()).unwrap()).await;
    let status = tonic::Status::from_header_map(answer.headers()).unwrap();
    assert_eq!(status.code(), tonic::Code::Unimplemented);
    assert!(
        status.message().contains("/qipp.nothing.v1.Nothing/Do")
            && status.message().contains("reflection")
    );
}

#[test]
fn a_numerator_of_zero_is_written_and_a_denominator_that_is_missing_is_not() {
    use prost::Message as _;
    let descriptor = qipp_api::json::pool()
        .get_message_by_name("qipp.events.v1.Measured")
        .unwrap();
    let json = |measured: events::Measured| {
        let bytes = measured.encode_to_vec().into();
        serde_json::from_slice::<Value>(&transcode::to_json(descriptor.clone(), bytes).unwrap())
            .unwrap()
    };
    let none = events::Measured {
        numerator: 0.0,
        denominator: None,
    };
    assert_eq!(json(none), json!({"numerator": 0.0}));
    let zero = events::Measured {
        numerator: 0.0,
        denominator: Some(0.0),
    };
    assert_eq!(json(zero), json!({"numerator": 0.0, "denominator": 0.0}));
}

#[tokio::test]
async fn a_return_goes_through_as_json_with_its_headers() {
    let rig = rig();
    let request = HttpRequest::post("/v1/returns?validate_only=true")
        .header("content-type", "application/json")
        .header("authorization", "Bearer qipp_x")
        .header("x-request-id", "r-1")
        .header("x-timeout", "5s")
        .body(Body::from(savings("2012-01").to_string()))
        .unwrap();
    let response = rig.send(request).await;
    assert_eq!(response.headers()["x-request-id"], "r-1");
    let (status, body) = (
        response.status(),
        response.into_body().collect().await.unwrap().to_bytes(),
    );
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(status, StatusCode::OK, "{body}");
    let receipt = &body["receipt"];
    assert_eq!(receipt["decision"], "DECISION_ACCEPTED");
    assert_eq!(
        receipt["cut"]["next"][0],
        json!({"topic": "qipp.returns.v1", "partition": 0, "offset": "15"})
    );
    assert_eq!(
        receipt["changes"][0],
        json!({"item": "RJ1", "before": "true", "after": "9007199254740993"})
    );
    assert_eq!(
        receipt["warnings"],
        json!([]),
        "fields at their default are written"
    );
    let seen = rig.fake.0.lock().unwrap();
    let names: Vec<&str> = seen
        .metadata
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(names, ["authorization", "x-request-id", "grpc-timeout"]);
    assert_eq!(seen.metadata[0].1, "Bearer qipp_x");
    assert_eq!(seen.metadata[2].1, "5000000u");
}

#[tokio::test]
async fn errors_keep_code_reason_problems_and_delay() {
    let rig = rig();
    let (status, body) = rig.post("/v1/returns", &savings("")).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let error = &body["error"];
    assert_eq!(
        (&error["code"], &error["reason"]),
        (&json!("INVALID_ARGUMENT"), &json!("INVALID_RETURN"))
    );
    assert_eq!(error["problems"][0]["field"], "return.period");
    assert!(error["requestId"].as_str().unwrap().starts_with("gw-"));

    let request = HttpRequest::post("/v1/returns")
        .body(Body::from(
            json!({"return": {"period": "2012-01"}}).to_string(),
        ))
        .unwrap();
    let response = rig.send(request).await;
    assert_eq!(
        (response.status(), &response.headers()["retry-after"]),
        (StatusCode::SERVICE_UNAVAILABLE, &http::HeaderValue::from(2))
    );
    assert_eq!(rig.get("/v1/alerts/A7").await.1["error"]["message"], "A7");
    assert_eq!(
        rig.get("/v1/benchmarks/AE_4H").await.0,
        StatusCode::UNAUTHORIZED
    );
    // A service that is not there at all.
    assert_eq!(rig.get("/v1/trees").await.0, StatusCode::NOT_IMPLEMENTED);
}

#[tokio::test]
async fn requests_that_cannot_be_read_say_why() {
    let rig = rig();
    let reason = |answer: (StatusCode, Value)| {
        (
            answer.0.as_u16(),
            answer.1["error"]["reason"].as_str().unwrap().to_owned(),
        )
    };
    let is = |code: u16, reason: &str| (code, reason.to_owned());
    // What could be read was validated too, in a dry run.
    let (status, body) = rig.post("/v1/returns", &json!({"retrun": {}})).await;
    let problems = body["error"]["problems"].as_array().unwrap();
    let fields: Vec<_> = problems.iter().map(|p| p["field"].as_str()).collect();
    assert_eq!(fields, [Some("retrun"), Some("return.period")]);
    assert_eq!(reason((status, body)), is(400, "INVALID_REQUEST"));
    assert_eq!(
        reason(rig.post("/v1/alerts/A7/acts", &json!({"why": 7})).await),
        is(400, "BAD_VALUE")
    );
    assert_eq!(
        reason(
            rig.post("/v1/returns", &json!({"validateOnly": "x".repeat(2000)}))
                .await
        ),
        is(413, "BODY_TOO_LARGE")
    );
    let unsized_body = Body::from_stream(
        futures::stream::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from_static(&[b' '; 600])))
            .take(2),
    );
    assert_eq!(
        reason(
            rig.json(HttpRequest::post("/v1/returns").body(unsized_body).unwrap())
                .await
        ),
        is(413, "BODY_TOO_LARGE")
    );
    let xml = HttpRequest::post("/v1/returns")
        .header("content-type", "text/xml")
        .body(Body::empty())
        .unwrap();
    assert_eq!(
        reason(rig.json(xml).await),
        is(415, "UNSUPPORTED_MEDIA_TYPE")
    );
    let nowhere = rig.get("/v1/nowhere").await;
    assert!(
        nowhere.1["error"]["message"]
            .as_str()
            .unwrap()
            .contains("/openapi.json")
    );
    assert_eq!(reason(nowhere), is(404, "UNKNOWN_PATH"));
    let delete = rig
        .send(
            HttpRequest::delete("/v1/alerts/A1")
                .body(Body::empty())
                .unwrap(),
        )
        .await;
    assert_eq!(
        (delete.status(), &delete.headers()["allow"]),
        (
            StatusCode::METHOD_NOT_ALLOWED,
            &http::HeaderValue::from_static("GET,HEAD")
        )
    );
    let late = HttpRequest::get("/v1/alerts")
        .header("x-timeout", "soon")
        .body(Body::empty())
        .unwrap();
    assert_eq!(reason(rig.json(late).await), is(400, "BAD_TIMEOUT"));

    let (status, body) = rig
        .get("/v1/alerts?colour=red&open_only=perhaps&min_severity=pink&min_cut=7")
        .await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let faults: Vec<(&str, &str)> = body["error"]["problems"]
        .as_array()
        .unwrap()
        .iter()
        .map(|fault| {
            (
                fault["field"].as_str().unwrap(),
                fault["code"].as_str().unwrap(),
            )
        })
        .collect();
    let told = body["error"]["problems"][0]["description"]
        .as_str()
        .unwrap();
    for known in ["known_at", "rule_id", "org_code", "open_only", "page_size"] {
        assert!(told.contains(known), "{told}");
    }
    for none in ["read", "filter"] {
        assert!(!told.contains(none), "{told}");
    }
    let expected = [
        ("colour", "UNKNOWN_PARAMETER"),
        ("open_only", "BAD_PARAMETER"),
        ("min_severity", "BAD_PARAMETER"),
        ("min_cut", "BAD_CUT"),
    ];
    assert_eq!(faults, expected);
}

#[tokio::test]
async fn queries_and_paths_reach_nested_fields_by_short_names() {
    let rig = rig();
    let path = "/v1/alerts?org_code=RJ1&minSeverity=red&known_at=2012-03-15T09:00:00Z&min_cut=returns.0-15&page_size=5";
    assert_eq!(rig.get(path).await.0, StatusCode::OK);
    let seen = rig.fake.0.lock().unwrap().list.take().unwrap();
    let filter = seen.filter.unwrap();
    assert_eq!(
        (
            filter.org_code.as_str(),
            filter.min_severity,
            seen.page_size
        ),
        ("RJ1", 3, 5)
    );
    let read = seen.read.unwrap();
    assert_eq!(read.min_cut, Some(cut(15)));
    assert_eq!(
        read.known_at.unwrap().moment,
        Some(events::known_at::Moment::Time(
            "2012-03-15T09:00:00Z".into()
        ))
    );

    // The path counts, and a body that says otherwise is refused.
    let act = |id: &str| json!({"alertId": id, "act": "ACT_ASK", "why": "because"});
    assert_eq!(
        rig.post("/v1/alerts/A%201/acts", &json!({"act": "ACT_ASK"}))
            .await
            .0,
        StatusCode::OK
    );
    assert_eq!(
        rig.fake.0.lock().unwrap().act.take().unwrap().alert_id,
        "A 1"
    );
    assert_eq!(
        rig.post("/v1/alerts/A1/acts", &act("A1")).await.0,
        StatusCode::OK
    );
    let (status, body) = rig.post("/v1/alerts/A1/acts", &act("A2")).await;
    assert_eq!(
        (status, &body["error"]["problems"][0]["code"]),
        (StatusCode::BAD_REQUEST, &json!("STATED_TWICE"))
    );
    assert_eq!(
        rig.post("/v1/alerts/A1/recompute", &json!({})).await.1["equal"],
        true
    );
}

#[tokio::test(start_paused = true)]
async fn a_call_ends_when_its_caller_stops_waiting() {
    let rig = rig();
    let request = HttpRequest::post("/v1/schemes")
        .header("grpc-timeout", "200m")
        .body(Body::empty())
        .unwrap();
    let (status, body) = rig.json(request).await;
    assert_eq!(
        (status, &body["error"]["code"]),
        (StatusCode::GATEWAY_TIMEOUT, &json!("DEADLINE_EXCEEDED"))
    );
}

#[tokio::test]
async fn a_live_stream_names_the_cut_resumes_and_ends_with_the_process() {
    let rig = rig();
    let response = rig
        .send(
            HttpRequest::get("/v1/alerts/watch?open_only=true")
                .body(Body::empty())
                .unwrap(),
        )
        .await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    assert!(
        rig.fake
            .0
            .lock()
            .unwrap()
            .metadata
            .iter()
            .all(|(name, _)| name != "grpc-timeout")
    );
    let mut body = response.into_body();
    let mut text = String::new();
    while !text.contains("alerts.0-2") {
        text += std::str::from_utf8(&body.frame().await.unwrap().unwrap().into_data().unwrap())
            .unwrap();
    }
    assert!(
        text.contains("event: alert\n") && text.contains("\"alertId\":\"A1\""),
        "{text}"
    );
    let id = text
        .lines()
        .filter_map(|line| line.strip_prefix("id: "))
        .next_back()
        .unwrap();

    for (path, resumed) in [
        ("/v1/alerts/watch?from=alerts.0-1", Some(id)),
        ("/v1/alerts/watch?from=alerts.0-2", None),
    ] {
        let request = HttpRequest::get(path);
        let request = resumed
            .iter()
            .fold(request, |request, id| request.header("last-event-id", *id));
        assert_eq!(
            rig.send(request.body(Body::empty()).unwrap())
                .await
                .status(),
            StatusCode::OK
        );
        assert_eq!(
            rig.fake.0.lock().unwrap().watch.take().unwrap().from,
            Some(alerts_cut(2))
        );
    }
    let bad = HttpRequest::get("/v1/alerts/watch")
        .header("last-event-id", "7")
        .body(Body::empty())
        .unwrap();
    assert_eq!(rig.json(bad).await.1["error"]["reason"], "BAD_EVENT_ID");

    rig.shutdown.cancel();
    // Nothing more comes, and the body ends although the service would go on.
    assert!(body.collect().await.unwrap().to_bytes().is_empty());
}

#[tokio::test]
async fn a_csv_file_is_taken_as_a_whole_or_refused_as_a_whole() {
    let rig = rig();
    let (status, body) = rig.upload("RJ1\nRJ2\nRJ1").await;
    assert_eq!(status, StatusCode::OK, "{body}");
    let expected = json!({"accepted": 2, "repeats": 1, "minCut": "returns.0-12"});
    assert_eq!(body, expected);

    // What cannot be read hides nothing of what could, and nothing of either is submitted.
    let (status, body) = rig.upload("RJ1\n?\nRJ3\nRJ9").await;
    assert_eq!(
        (status, &body["error"]["reason"]),
        (StatusCode::BAD_REQUEST, &json!("INVALID_CSV"))
    );
    let problems = body["error"]["problems"].as_array().unwrap();
    let codes: Vec<&str> = problems
        .iter()
        .map(|p| p["code"].as_str().unwrap())
        .collect();
    assert_eq!(codes, ["CONFLICT", "UNKNOWN", "BAD_ROW"]);
    let bad = json!({"field": "line 2", "code": "BAD_ROW", "description": "what?"});
    assert_eq!(problems[2], bad);
    let message = body["error"]["message"].as_str().unwrap();
    assert!(
        message.starts_with("nothing of the file was submitted: 3 faults"),
        "{message}"
    );

    // Refused after all others had been accepted: both are said, and it is no plain success.
    let (status, body) = rig.upload("RJ1\nRJ8").await;
    assert_eq!(status, StatusCode::MULTI_STATUS, "{body}");
    assert_eq!(
        body["taken"],
        json!([{"org": "RJ1", "period": "2012-01", "revision": 2}])
    );
    let refused = &body["refused"][0];
    assert_eq!(
        (&refused["org"], &refused["code"]),
        (&json!("RJ8"), &json!("UNKNOWN"))
    );

    let (status, body) = rig.upload("RJ1\nBREAK\nRJ1").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(
        body["error"]["message"]
            .as_str()
            .unwrap()
            .contains("1 of 3 returns were answered"),
        "{body}"
    );
    let misspelt = HttpRequest::post("/v1/returns:csv?validate=true")
        .body(Body::from("RJ1"))
        .unwrap();
    assert_eq!(
        rig.json(misspelt).await.1["error"]["reason"],
        "INVALID_PARAMETERS"
    );
}

#[tokio::test]
async fn health_readiness_and_the_index_need_no_service() {
    let rig = rig();
    assert_eq!(
        rig.get("/healthz").await,
        (StatusCode::OK, json!({"status": "up"}))
    );
    assert_eq!(
        rig.get("/readyz").await,
        (
            StatusCode::SERVICE_UNAVAILABLE,
            json!({
                "status": "not ready",
                "reasons": [{"code": "FOLD_BEHIND", "detail": "folding"}],
            })
        )
    );
    assert_eq!(rig.get("/openapi.json").await.1["openapi"], "3.1.0");
    let index = rig
        .send(HttpRequest::get("/").body(Body::empty()).unwrap())
        .await;
    let index = index.into_body().collect().await.unwrap().to_bytes();
    assert!(
        std::str::from_utf8(&index)
            .unwrap()
            .contains("/openapi.json")
    );
}

#[test]
fn every_reference_of_the_openapi_document_resolves_and_nothing_is_left_over() {
    fn references(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(map) => {
                found.extend(map.get("$ref").and_then(Value::as_str).map(str::to_owned));
                map.values().for_each(|inner| references(inner, found));
            }
            Value::Array(list) => list.iter().for_each(|inner| references(inner, found)),
            _ => {}
        }
    }
    let document = openapi();
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    let schemas = document["components"]["schemas"].as_object().unwrap();
    let known: BTreeSet<String> = schemas
        .keys()
        .map(|name| format!("#/components/schemas/{name}"))
        .collect();
    assert_eq!(found, known);
    for route in routes::TABLE {
        let verb = if route.verb == Verb::Get {
            "get"
        } else {
            "post"
        };
        let operation = &document["paths"][route.path][verb];
        assert!(
            !operation["summary"].as_str().unwrap().is_empty(),
            "{}",
            route.path
        );
        let in_path = operation["parameters"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|p| p["in"] == "path")
            .count();
        assert_eq!(
            in_path,
            openapi::path_fields(route.path).count(),
            "{}",
            route.path
        );
    }
    let line = &schemas["qipp.events.v1.SavingsLine"]["properties"];
    assert_eq!(line["planPence"]["type"], "string");
    assert_eq!(
        line["planPence"]["description"],
        "Planned for the month, pence."
    );
    assert_eq!(
        schemas["qipp.events.v1.Dataset"]["enum"][2],
        "DATASET_QUALITY"
    );
    assert!(openapi() == document, "the document is a pure function");
}

#[test]
fn the_parameters_that_a_refusal_names_are_those_of_the_document() {
    let document = openapi();
    for route in routes::TABLE.iter().filter(|route| route.verb == Verb::Get) {
        let parameters = document["paths"][route.path]["get"]["parameters"].clone();
        let documented: BTreeSet<String> = parameters
            .as_array()
            .unwrap()
            .iter()
            .map(|parameter| parameter["name"].as_str().unwrap().to_owned())
            .collect();
        let mut named = Vec::new();
        let rpc = crate::transcode::rpc(route.rpc).unwrap();
        crate::transcode::add_names(&rpc.input(), "", &mut named);
        assert_eq!(BTreeSet::from_iter(named), documented, "{}", route.path);
    }
}
