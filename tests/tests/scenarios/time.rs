//! Two times and the cut: reading one's own writes, reading as it was known then, pages that stay where they began, deadlines, request ids.

use std::time::Duration;

use qipp_api::error::{ApiError, request_id_of};
use qipp_api::proto::alerts::v1::ListAlertsRequest;
use qipp_api::proto::events::v1::{Cut, Dataset, KnownAt, Position, ReadOptions, known_at};
use qipp_api::proto::projections::v1::{
    GetSeriesRequest, ListRollUpsRequest, ListRollUpsResponse, point,
};
use qipp_api::proto::registry::v1::ListMarkersRequest;
use qipp_tests::http::{Http, answer};
use qipp_tests::returns::{four_hours, measured, quality, savings, scheme};
use qipp_tests::{Sandbox, TREE, Who, facts, wire};
use serde_json::{Value, json};
use tonic::{Code, Request, Status};

async fn sandbox() -> Sandbox {
    let sandbox = Sandbox::start().await;
    sandbox.record(facts::small_nation()).await;
    sandbox
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_passes_the_cut_of_the_receipt_reads_what_was_just_written() {
    let sandbox = sandbox().await;
    for within in 1..=50_u32 {
        let receipt = sandbox
            .submit(four_hours("RA1", "2011-04", f64::from(within), 100.0))
            .await;
        let request = GetSeriesRequest {
            read: Some(ReadOptions {
                min_cut: receipt.cut,
                known_at: None,
            }),
            org_code: "RA1".to_owned(),
            marker: "AE_4H".to_owned(),
            ..GetSeriesRequest::default()
        };
        let series = sandbox
            .client(Who::Trust)
            .projections()
            .get_series(request)
            .await
            .unwrap()
            .into_inner();
        let Some(point::Value::Measured(read)) = series.points[0].value else {
            panic!("{series:?}")
        };
        assert_eq!(
            (read.numerator, series.points[0].sources[0].revision),
            (f64::from(within), within)
        );
    }
}

/// Every read that has a moment of knowledge, about things that are going to change.
const READS: [(&str, &str); 10] = [
    (
        "qipp.projections.v1.ProjectionsService/GetSeries",
        r#"{"orgCode": "RA1", "marker": "AE_4H"}"#,
    ),
    (
        "qipp.projections.v1.ProjectionsService/ListRevisions",
        r#"{"orgCode": "RA1", "dataset": "DATASET_QUALITY", "period": "2011-04"}"#,
    ),
    (
        "qipp.projections.v1.ProjectionsService/GetSavingsPosition",
        r#"{"orgCode": "ENG", "tree": "regions", "period": "2011-04"}"#,
    ),
    (
        "qipp.projections.v1.ProjectionsService/ListSchemes",
        r#"{"orgCode": "RA1"}"#,
    ),
    (
        "qipp.projections.v1.ProjectionsService/GetCompleteness",
        r#"{"dataset": "DATASET_SAVINGS", "period": "2011-04", "asOf": "2011-06-30"}"#,
    ),
    (
        "qipp.projections.v1.ProjectionsService/ListRollUps",
        r#"{"tree": "regions", "level": "region", "includeSources": true}"#,
    ),
    ("qipp.alerts.v1.AlertsService/ListAlerts", "{}"),
    (
        "qipp.alerts.v1.AlertsService/ListBenchmarks",
        r#"{"marker": "AE_4H"}"#,
    ),
    (
        "qipp.registry.v1.RegistryService/GetOrganisation",
        r#"{"orgCode": "RA1"}"#,
    ),
    ("qipp.registry.v1.RegistryService/ListDeadlines", "{}"),
];

/// What is read at a moment, without the cuts that the answer names.
async fn read(sandbox: &Sandbox, (rpc, message): (&str, &str), known_at: Option<Value>) -> Value {
    let mut message: Value = serde_json::from_str(message).unwrap();
    if let Some(known_at) = known_at {
        message["read"] = json!({"knownAt": known_at});
    }
    let mut answer = wire::call(
        &sandbox.url(),
        Some(sandbox.key(Who::National)),
        rpc,
        message,
    )
    .await
    .unwrap();
    for cut in ["cut", "evaluated"] {
        answer.as_object_mut().unwrap().remove(cut);
    }
    answer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_received_later_is_invisible_to_every_read_of_an_earlier_moment() {
    let sandbox = sandbox().await;
    for org in ["RA1", "RA2"] {
        sandbox.register(scheme(org, "S-1", "2011-04", 100)).await;
        sandbox
            .submit(four_hours(org, "2011-04", 90.0, 100.0))
            .await;
    }
    sandbox
        .submit(savings("RA2", "2011-04", "S-1", 100, 90))
        .await;
    let mut owed = vec![facts::due(Dataset::Savings, "2011-04", "2011-05-16")];
    owed.extend(["RA1", "RA2"].map(|org| facts::owes(org, Dataset::Savings, "2011-04")));
    let cut = sandbox.record(owed).await;
    sandbox.evaluated(&cut).await;
    assert_eq!(
        sandbox.alerts().await.len(),
        1,
        "RA1 has not sent its savings"
    );
    let cut = sandbox.status().await.cut.unwrap();
    let cut = json!({"cut": {"next": cut.next.iter().map(|place| {
        json!({"topic": place.topic, "partition": place.partition, "offset": place.offset})
    }).collect::<Vec<_>>()}});
    let mut before = Vec::new();
    for question in READS {
        before.push(read(&sandbox, question, None).await);
    }

    sandbox.set_day("2011-06-20");
    sandbox
        .submit(four_hours("RA1", "2011-04", 50.0, 100.0))
        .await;
    sandbox
        .submit(four_hours("RB1", "2011-03", 50.0, 100.0))
        .await;
    sandbox.register(scheme("RA1", "S-2", "2011-04", 100)).await;
    sandbox
        .submit(savings("RA2", "2011-04", "S-1", 100, 10))
        .await;
    let cut_of_savings = sandbox
        .submit(savings("RA1", "2011-04", "S-1", 100, 90))
        .await
        .cut
        .unwrap();
    let cut_of_facts = sandbox
        .record(vec![
            facts::organisation("RA1", "mental_health_trust"),
            facts::due(Dataset::Savings, "2011-05", "2031-01-01"),
        ])
        .await;
    sandbox.evaluated(&cut_of_savings).await;
    sandbox.evaluated(&cut_of_facts).await;

    for (question, before) in READS.into_iter().zip(before) {
        let latest = read(&sandbox, question, None).await;
        assert_ne!(
            latest, before,
            "{question:?} has to have changed, or this shows nothing"
        );
        assert_eq!(
            read(&sandbox, question, Some(cut.clone())).await,
            before,
            "{question:?} by cut"
        );
        for time in ["2011-06-01T09:00:00Z", "2011-06-19T23:59:59+01:00"] {
            assert_eq!(
                read(&sandbox, question, Some(json!({"time": time}))).await,
                before,
                "{question:?} by time"
            );
        }
        assert_eq!(
            read(
                &sandbox,
                question,
                Some(json!({"time": "2011-06-20T09:00:00Z"}))
            )
            .await,
            latest,
            "inclusive"
        );
    }
}

fn beyond() -> Cut {
    Cut {
        next: vec![Position {
            topic: "qipp.returns.v1".to_owned(),
            partition: 0,
            offset: 1 << 40,
        }],
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_beyond_the_head_of_the_log_is_refused_at_once() {
    let sandbox = sandbox().await;
    let known_at = KnownAt {
        moment: Some(known_at::Moment::Cut(beyond())),
    };
    for read in [
        ReadOptions {
            min_cut: Some(beyond()),
            known_at: None,
        },
        ReadOptions {
            min_cut: None,
            known_at: Some(known_at),
        },
    ] {
        let request = ListMarkersRequest {
            read: Some(read),
            ..ListMarkersRequest::default()
        };
        let status = sandbox
            .client(Who::Trust)
            .registry()
            .list_markers(request)
            .await
            .unwrap_err();
        let error = ApiError::from_status(&status);
        assert_eq!(
            (status.code(), &*error.reason),
            (Code::FailedPrecondition, "CUT_BEYOND_HEAD")
        );
    }
    let http = Http::new(&sandbox.url(), Some(sandbox.key(Who::Trust)));
    let refused = http
        .get("/v1/markers?min_cut=returns.0-1099511627776")
        .await;
    assert_eq!(
        (refused.status, &refused.body["error"]["reason"]),
        (409, &json!("CUT_BEYOND_HEAD"))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_ends_at_its_deadline_with_what_it_waited_for() {
    let sandbox = sandbox().await;
    // Evaluation up to a cut that nobody writes: the one wait that has no end of its own.
    let http = Http::new(&sandbox.url(), Some(sandbox.key(Who::National)));
    let path = "/v1/alerts?min_evaluated=returns.0-1099511627776";
    for (header, value) in [("x-timeout", "50ms"), ("grpc-timeout", "50m")] {
        let late = answer(http.request("GET", path).header(header, value)).await;
        let found = (
            late.status,
            &late.body["error"]["code"],
            &late.body["error"]["reason"],
        );
        assert_eq!(
            found,
            (
                504,
                &json!("DEADLINE_EXCEEDED"),
                &json!("NOT_EVALUATED_YET")
            )
        );
    }
    let request = ListAlertsRequest {
        min_evaluated: Some(beyond()),
        ..ListAlertsRequest::default()
    };
    let mut request = Request::new(request);
    request.set_timeout(Duration::from_millis(50));
    let status = sandbox
        .client(Who::National)
        .live_alerts()
        .list_alerts(request)
        .await
        .unwrap_err();
    // The client has a clock of its own, and either may be first.
    assert!(
        matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled),
        "{status:?}"
    );
    let wrong = answer(http.request("GET", path).header("x-timeout", "soon")).await;
    assert_eq!(
        (wrong.status, &wrong.body["error"]["reason"]),
        (400, &json!("BAD_TIMEOUT"))
    );
}

async fn page(
    sandbox: &Sandbox,
    who: Who,
    page_token: &str,
    marker: &str,
) -> Result<ListRollUpsResponse, Status> {
    let request = ListRollUpsRequest {
        tree: TREE.to_owned(),
        level: "region".to_owned(),
        marker: marker.to_owned(),
        page_size: 2,
        page_token: page_token.to_owned(),
        ..ListRollUpsRequest::default()
    };
    sandbox
        .client(who)
        .projections()
        .list_roll_ups(request)
        .await
        .map(tonic::Response::into_inner)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_pages_of_a_list_are_of_one_moment_while_new_returns_come_in() {
    let sandbox = sandbox().await;
    let months = ["2011-01", "2011-02", "2011-03", "2011-04"];
    for month in months {
        for org in ["RA1", "RB1"] {
            sandbox.submit(four_hours(org, month, 90.0, 100.0)).await;
        }
    }
    let mut found = page(&sandbox, Who::National, "", "AE_4H").await.unwrap();
    let first = found.cut.clone();
    let mut cells = std::mem::take(&mut found.cells);
    while !found.next_page_token.is_empty() {
        let number = f64::from(u32::try_from(cells.len()).unwrap());
        // A restatement of what comes on the next page, and somebody new.
        sandbox
            .submit(four_hours("RA1", "2011-04", number, 100.0))
            .await;
        sandbox
            .submit(quality(
                "RA2",
                "2011-03",
                vec![measured("AE_4H", number, 100.0)],
            ))
            .await;
        found = page(&sandbox, Who::National, &found.next_page_token, "AE_4H")
            .await
            .unwrap();
        assert_eq!(found.cut, first);
        cells.append(&mut found.cells);
    }
    assert_eq!(cells.len(), 8);
    assert!(
        cells
            .iter()
            .all(|cell| cell.measured.unwrap().numerator == 90.0 && cell.organisations == 1),
        "{cells:#?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_token_that_was_altered_or_is_of_another_list_is_refused() {
    let sandbox = sandbox().await;
    for month in ["2011-03", "2011-04"] {
        sandbox
            .submit(quality(
                "RA1",
                month,
                vec![
                    measured("AE_4H", 90.0, 100.0),
                    measured("CDI", 1.0, 18_500.0),
                ],
            ))
            .await;
    }
    let token = page(&sandbox, Who::National, "", "")
        .await
        .unwrap()
        .next_page_token;
    assert!(page(&sandbox, Who::National, &token, "").await.is_ok());
    let turned = |at: usize| {
        let mut text: Vec<u8> = token.clone().into_bytes();
        text[at] = if text[at] == b'0' { b'1' } else { b'0' };
        String::from_utf8(text).unwrap()
    };
    let altered = (0..token.len()).map(turned).chain([
        "zz".to_owned(),
        "é".to_owned(),
        token[..token.len() - 2].to_owned(),
    ]);
    let mut refused = 0;
    for (marker, text) in altered
        .map(|text| ("", text))
        .chain([("AE_4H", token.clone())])
    {
        let status = page(&sandbox, Who::National, &text, marker)
            .await
            .unwrap_err();
        let error = ApiError::from_status(&status);
        assert_eq!(
            (status.code(), &*error.problems[0].code),
            (Code::InvalidArgument, "PAGE_TOKEN_INVALID"),
            "{text}"
        );
        refused += 1;
    }
    assert!(refused > 50);
    let elsewhere = page(&sandbox, Who::Trust, &token, "").await.unwrap_err();
    assert_eq!(
        elsewhere.code(),
        Code::PermissionDenied,
        "a token grants nothing"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_request_id_comes_back_with_answers_and_with_errors() {
    let sandbox = sandbox().await;
    let mut registry = sandbox.client(Who::Trust).registry();
    let named = |page_size: i32| {
        let mut request = Request::new(ListMarkersRequest {
            page_size,
            ..ListMarkersRequest::default()
        });
        request
            .metadata_mut()
            .insert("x-request-id", "the-callers-own".parse().unwrap());
        request
    };
    let fine = registry.list_markers(named(1)).await.unwrap();
    assert_eq!(
        fine.metadata().get("x-request-id").unwrap(),
        "the-callers-own"
    );
    let refused = registry.list_markers(named(-1)).await.unwrap_err();
    assert_eq!(request_id_of(&refused).as_deref(), Some("the-callers-own"));
    let unnamed = registry
        .list_markers(ListMarkersRequest::default())
        .await
        .unwrap();
    assert!(
        unnamed
            .metadata()
            .get("x-request-id")
            .is_some_and(|id| id.len() == 32)
    );

    let http = Http::new(&sandbox.url(), Some(sandbox.key(Who::Trust)));
    for (path, status) in [
        ("/v1/markers", 200),
        ("/v1/markers?page_size=-1", 400),
        ("/nowhere", 404),
    ] {
        let found = answer(
            http.request("GET", path)
                .header("x-request-id", "over-http"),
        )
        .await;
        assert_eq!(
            (
                found.status,
                found.headers["x-request-id"].to_str().unwrap()
            ),
            (status, "over-http")
        );
        if status != 200 {
            assert_eq!(found.body["error"]["requestId"], json!("over-http"));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_names_nothing_or_is_to_come_is_refused_and_not_answered_with_nothing() {
    let sandbox = sandbox().await;
    let cases = [
        (
            "alerts.v1.AlertsService/ListAlerts",
            json!({"filter": {"orgCode": "ZZZ", "ruleId": "r05"}}),
            vec![
                ("UNKNOWN_ORGANISATION", "filter.org_code"),
                ("UNKNOWN_RULE", "filter.rule_id"),
            ],
        ),
        (
            "alerts.v1.AlertsService/ListAlerts",
            json!({"filter": {"tree": "nope", "nodeCode": "N01"}}),
            vec![("UNKNOWN_TREE", "filter.tree")],
        ),
        (
            "alerts.v1.AlertsService/ListAlerts",
            json!({"filter": {"tree": TREE, "nodeCode": "ZZZ"}}),
            vec![("UNKNOWN_NODE", "filter.node_code")],
        ),
        (
            "alerts.v1.AlertsService/ListAlerts",
            json!({"filter": {"tree": TREE}}),
            vec![("NODE_MISSING", "filter.node_code")],
        ),
        (
            "alerts.v1.AlertsService/ListAlerts",
            json!({"filter": {"nodeCode": "N01"}}),
            vec![("TREE_MISSING", "filter.tree")],
        ),
        (
            "alerts.v1.AlertsService/ListAssessments",
            json!({"peerGroup": "trst"}),
            vec![("UNKNOWN_KIND", "peer_group")],
        ),
        (
            "alerts.v1.AlertsService/ListBenchmarks",
            json!({"marker": "AE_4H", "peerGroup": "trst"}),
            vec![("UNKNOWN_KIND", "peer_group")],
        ),
        (
            "registry.v1.RegistryService/ListOrganisations",
            json!({"kind": "trst"}),
            vec![("UNKNOWN_KIND", "kind")],
        ),
        (
            "projections.v1.ProjectionsService/ListRollUps",
            json!({"tree": TREE, "level": "trst", "marker": "AE_5H"}),
            vec![("UNKNOWN_KIND", "level"), ("UNKNOWN_MARKER", "marker")],
        ),
        (
            "registry.v1.RegistryService/ListMarkers",
            json!({"read": {"knownAt": {"time": "2199-01-01T00:00:00Z"}}}),
            vec![("KNOWN_AT_TO_COME", "read.known_at.time")],
        ),
    ];
    for (rpc, message, faults) in cases {
        let rpc = format!("qipp.{rpc}");
        let key = Some(sandbox.key(Who::National));
        let status = wire::call(&sandbox.url(), key, &rpc, message.clone())
            .await
            .unwrap_err();
        let error = ApiError::from_status(&status);
        let told: Vec<(&str, &str)> = error
            .problems
            .iter()
            .map(|fault| (&*fault.code, &*fault.field))
            .collect();
        assert_eq!(told, faults, "{rpc} {message}: {}", error.message);
    }
    // A month without a list is no error.
    let lists = "qipp.alerts.v1.AlertsService/ListAssessments";
    read(&sandbox, (lists, r#"{"from": "2030-01"}"#), None).await;
}
