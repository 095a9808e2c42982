//! The same intake over HTTP: JSON and CSV get the decisions and the faults that gRPC gets.

use qipp_tests::http::Http;
use qipp_tests::{Sandbox, Who, facts};
use serde_json::{Value, json};

use crate::intake::FAULTS;

async fn sandbox() -> Sandbox {
    let sandbox = Sandbox::start().await;
    sandbox.record(facts::small_nation()).await;
    sandbox
}

fn collector(sandbox: &Sandbox) -> Http {
    Http::new(&sandbox.url(), Some(sandbox.key(Who::Collector)))
}

fn four_hours(within: u32, key: &str, expected: Option<u32>) -> Value {
    json!({"return": {
        "orgCode": "RA1", "period": "2011-04", "status": "RETURN_STATUS_FINAL", "idempotencyKey": key, "expectedRevision": expected,
        "quality": {"observations": [{"marker": "AE_4H", "measured": {"numerator": within, "denominator": 100}}]},
    }})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn json_gets_the_decisions_that_grpc_gets() {
    let sandbox = sandbox().await;
    let http = collector(&sandbox);
    let head = sandbox.written();
    let dry = http
        .post(
            "/v1/returns?validate_only=true",
            &four_hours(90, "k1", None),
        )
        .await;
    assert_eq!(
        (dry.status, &dry.body["receipt"]["decision"]),
        (200, &json!("DECISION_ACCEPTED"))
    );
    assert_eq!(sandbox.written(), head);
    for (body, decision, revision) in [
        (four_hours(90, "k1", None), "DECISION_ACCEPTED", 1),
        (four_hours(90, "k1", None), "DECISION_REPEAT", 1),
        (four_hours(80, "k1", None), "DECISION_KEY_REUSED", 1),
        (four_hours(80, "", Some(5)), "DECISION_CONFLICT", 1),
        (four_hours(80, "", Some(1)), "DECISION_ACCEPTED", 2),
    ] {
        let answer = http.post("/v1/returns", &body).await;
        let receipt = &answer.body["receipt"];
        assert_eq!(
            (answer.status, &receipt["decision"], &receipt["revision"]),
            (200, &json!(decision), &json!(revision))
        );
    }
    let answer = http.get("/v1/organisations/RA1/series/AE_4H").await;
    let point = &answer.body["points"][0];
    assert_eq!(
        (
            &point["measured"]["numerator"],
            &point["sources"][0]["revision"]
        ),
        (&json!(80.0), &json!(2))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn json_gets_all_faults_at_once_in_the_words_of_the_contract() {
    let sandbox = sandbox().await;
    let figure = |marker: &str, n: f64, d: f64| json!({"marker": marker, "measured": {"numerator": n, "denominator": d}});
    let mut versioned = figure("SICKNESS", 1.0, 2.0);
    versioned["definitionVersion"] = json!(7);
    let body = json!({"return": {
        "orgCode": "RZ9", "period": "2011-04", "status": "RETURN_STATUS_FINAL", "narrative": "about patient 943 476 5919",
        "quality": {"observations": [
            figure("AE_4H", 110.0, 100.0), figure("NO_SUCH", 1.0, 2.0), figure("CDI", -1.0, 18_500.0),
            figure("DM01_6W", 1.0, 400.0), figure("DM01_6W", 2.0, 400.0), versioned,
        ]},
    }});
    let answer = collector(&sandbox).post("/v1/returns", &body).await;
    let error = &answer.body["error"];
    assert_eq!(
        (answer.status, &error["code"], &error["reason"]),
        (400, &json!("INVALID_ARGUMENT"), &json!("INVALID_REQUEST"))
    );
    let problems = error["problems"].as_array().unwrap();
    let found: Vec<(&str, &str)> = problems
        .iter()
        .map(|p| (p["code"].as_str().unwrap(), p["field"].as_str().unwrap()))
        .collect();
    assert_eq!(found, FAULTS);
    assert!(
        problems
            .iter()
            .all(|p| p["description"].as_str().unwrap().len() > 20)
    );

    let unknown = collector(&sandbox)
        .post("/v1/returns", &json!({"return": {"orgCod": "RA1"}}))
        .await;
    let problem = &unknown.body["error"]["problems"][0];
    assert_eq!(
        (unknown.status, problem["code"].as_str()),
        (400, Some("UNKNOWN_FIELD")),
        "{:?}",
        unknown.body
    );
}

const CSV: &str = "\
org_code,period,marker,numerator,denominator,missing,status
RA1,2011-04,AE_4H,90,100,,final
RA1,2011-04,CDI,,,not_collected,final
RA2,2011-04,AE_4H,80,100,,final
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn csv_is_submitted_as_a_whole_and_sent_again_without_harm() {
    let sandbox = sandbox().await;
    let http = collector(&sandbox);
    let head = sandbox.written();
    let dry = http
        .post_csv("/v1/returns:csv?validate_only=true", CSV.to_owned())
        .await;
    assert_eq!((dry.status, &dry.body["accepted"]), (200, &json!(2)));
    assert_eq!(sandbox.written(), head);

    // One month of which anything is wrong keeps all others out.
    let unknown = format!("{CSV}RZ9,2011-04,AE_4H,80,100,,final\n");
    let refused = http.post_csv("/v1/returns:csv", unknown).await;
    let problem = &refused.body["error"]["problems"][0];
    assert_eq!(
        (refused.status, &problem["code"], &problem["field"]),
        (
            400,
            &json!("UNKNOWN_ORGANISATION"),
            &json!("line 5, column org_code")
        )
    );
    assert_eq!(sandbox.written(), head);

    let first = http
        .post_csv("/v1/returns:csv?format=quality", CSV.to_owned())
        .await;
    assert_eq!(
        (
            first.status,
            &first.body["accepted"],
            &first.body["repeats"]
        ),
        (200, &json!(2), &json!(0)),
        "{:?}",
        first.body
    );
    let again = http.post_csv("/v1/returns:csv", CSV.to_owned()).await;
    assert_eq!(
        (&again.body["accepted"], &again.body["repeats"]),
        (&json!(0), &json!(2))
    );

    // The answer's cut reads one's own write.
    let cut = first.body["minCut"].as_str().unwrap();
    let series = http
        .get(&format!("/v1/organisations/RA1/series/CDI?min_cut={cut}"))
        .await;
    assert_eq!(
        series.body["points"][0]["missing"],
        json!("MISSING_NOT_COLLECTED")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_csv_file_with_faults_is_refused_whole_with_line_and_column() {
    let sandbox = sandbox().await;
    let head = sandbox.written();
    let text = "sep=,\norg_code,period,marker,numerator,denominator\nRA1,Apr-11,AE_4H,90,100\nRA1,2011-04,NOPE,\"9,000\",100\nRA1,2011-04,AE_4H,101,100\nRA1,2011-04,AE_4H,1,2\n";
    let answer = collector(&sandbox)
        .post_csv("/v1/returns:csv", text.to_owned())
        .await;
    let error = &answer.body["error"];
    let found: Vec<(&str, &str)> = error["problems"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| (p["code"].as_str().unwrap(), p["field"].as_str().unwrap()))
        .collect();
    assert_eq!(
        (answer.status, &error["reason"]),
        (400, &json!("INVALID_CSV"))
    );
    assert_eq!(
        found,
        [
            ("EXCEL_DATE", "line 3, column period"),
            ("THOUSANDS_SEPARATOR", "line 4, column numerator"),
            ("UNKNOWN_MARKER", "line 4, column marker"),
            ("NUMERATOR_ABOVE_DENOMINATOR", "line 5, column numerator"),
            ("DUPLICATE_MARKER", "line 6, column marker"),
        ]
    );
    let twice = error["problems"][4]["description"].as_str().unwrap();
    assert!(twice.contains("already given by line 5"), "{twice}");
    let unknown = collector(&sandbox)
        .post_csv("/v1/returns:csv?format=xls", text.to_owned())
        .await;
    assert_eq!(
        unknown.body["error"]["problems"][0]["code"],
        json!("FORMAT_UNKNOWN")
    );
    assert_eq!(sandbox.written(), head);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_json_body_with_faults_of_form_and_of_meaning_is_told_all_of_them() {
    let sandbox = sandbox().await;
    let head = sandbox.written();
    let observations = json!([
        {"marker": "AE_4H", "measured": {"numerator": "9,000", "denominator": 10_000}},
        {"marker": "NOPE", "measured": {"numerator": 1, "denominator": 2}},
        {"marker": "AE_4H", "measured": {"numerator": 3, "denominator": 2}},
        {"marker": "CDI", "missing": "NONE", "remark": ""},
    ]);
    let body = json!({"return": {
        "orgCode": "RZ9", "period": "2011-04", "status": "RETURN_STATUS_FINAL", "narrative": "see 943 476 5919",
        "quality": {"observations": observations},
    }});
    let answer = collector(&sandbox).post("/v1/returns", &body).await;
    let mut found: Vec<(&str, &str)> = answer.body["error"]["problems"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| (p["code"].as_str().unwrap(), p["field"].as_str().unwrap()))
        .collect();
    found.sort_unstable();
    assert_eq!(answer.status, 400);
    assert_eq!(
        found,
        [
            (
                "BAD_VALUE",
                "return.quality.observations[0].measured.numerator"
            ),
            ("BAD_VALUE", "return.quality.observations[3].missing"),
            ("DUPLICATE_MARKER", "return.quality.observations[2].marker"),
            ("NHS_NUMBER", "return.narrative"),
            (
                "NUMERATOR_ABOVE_DENOMINATOR",
                "return.quality.observations[2].measured.numerator"
            ),
            ("UNKNOWN_FIELD", "return.quality.observations[3].remark"),
            ("UNKNOWN_MARKER", "return.quality.observations[1].marker"),
            ("UNKNOWN_ORGANISATION", "return.org_code"),
        ]
    );
    assert_eq!(sandbox.written(), head);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_of_form_are_counted_by_code_like_those_of_meaning() {
    let sandbox = sandbox().await;
    let http = collector(&sandbox);
    let counted =
        |code: &str| sandbox.metric(&format!("qipp_rejected_faults_total{{code=\"{code}\"}}"));
    let json = json!({"return": {"orgCod": "RA1", "status": "DRAFT", "period": 5}});
    assert_eq!(http.post("/v1/returns", &json).await.status, 400);
    assert_eq!((counted("UNKNOWN_FIELD"), counted("BAD_VALUE")), (1.0, 2.0));
    let scheme = json!({"scheme": {"plannedPence": ["1", "x", "y"]}});
    assert_eq!(http.post("/v1/schemes", &scheme).await.status, 400);
    assert_eq!(counted("BAD_VALUE"), 4.0);
    let csv = "org_code,period,marker,numerator,denominator\nRA1,Apr-11,AE_4H,90,100\nRZ9,2011-04,AE_4H,1,2\n";
    let refused = http.post_csv("/v1/returns:csv", csv.to_owned()).await;
    assert_eq!(refused.status, 400);
    // One by the reader of the file, one by the service that validated what could be read; neither twice.
    assert_eq!(
        (counted("EXCEL_DATE"), counted("UNKNOWN_ORGANISATION")),
        (1.0, 1.0)
    );
    // A query that can't be read rejects no return.
    assert_eq!(http.get("/v1/alerts?nope=1").await.status, 400);
    assert_eq!(counted("UNKNOWN_PARAMETER"), 0.0);
}
