//! Hostile and clumsy input by name, through gRPC, JSON and CSV: all that is wrong in one answer, each with its place, and nothing changed.

use bytes::Bytes;
use prost::Message as _;
use qipp_api::error::ApiError;
use qipp_api::proto::events::v1::reference_fact::Fact;
use qipp_api::proto::events::v1::{OrganisationClosed, ReferenceFact, Return};
use qipp_api::proto::intake::v1::SubmitReturnRequest;
use qipp_tests::http::{Answer, Http, answer};
use qipp_tests::returns::{four_hours, scheme};
use qipp_tests::{Sandbox, Who, facts, wire};
use serde_json::{Value, json};

const SUBMIT: &str = "qipp.intake.v1.IntakeService/SubmitReturn";
const STREAM: &str = "qipp.intake.v1.IntakeService/SubmitReturns";

/// A nation with a history, and RC1, which closed with the year 2010.
async fn sandbox() -> Sandbox {
    let sandbox = Sandbox::start().await;
    let mut facts = facts::small_nation();
    facts.push(facts::organisation("RC1", "trust"));
    facts.push(ReferenceFact {
        fact: Some(Fact::OrganisationClosed(OrganisationClosed {
            org_code: "RC1".to_owned(),
            closed: "2011-01-01".to_owned(),
        })),
    });
    sandbox.record(facts).await;
    sandbox
        .register(scheme("RA1", "S-1", "2011-04", 1_000))
        .await;
    let receipt = sandbox
        .submit(four_hours("RA1", "2011-03", 90.0, 100.0))
        .await;
    sandbox.evaluated(&receipt.cut.unwrap()).await;
    sandbox
}

/// What must not change: where the topics stand that people write to, and the digest of the state.
async fn state(sandbox: &Sandbox) -> impl PartialEq + std::fmt::Debug + use<> {
    (sandbox.written(), sandbox.status().await.digest)
}

/// Code and place of every problem of an answer, wherever it stands in it; each with words enough to act on.
fn problems(answer: &Value) -> Vec<(String, String)> {
    let in_error = answer.pointer("/error/problems").into_iter();
    let in_stream = answer.pointer("/rejection/problems").into_iter();
    let rejected = answer.get("rejected").and_then(Value::as_array).into_iter();
    let rejected = rejected.flatten().map(|rejected| &rejected["problems"]);
    let lists = in_error.chain(in_stream).chain(rejected);
    let text = |problem: &Value, name: &str| problem[name].as_str().unwrap_or_default().to_owned();
    lists
        .flat_map(|list| list.as_array().unwrap())
        .map(|problem| {
            assert!(
                text(problem, "description").len() > 20,
                "no remedy: {problem}"
            );
            (text(problem, "code"), text(problem, "field"))
        })
        .collect()
}

fn expected(faults: &[(&str, &str)], below: &str) -> Vec<(String, String)> {
    let place = |place: &str| match below {
        "" => place.to_owned(),
        below => format!("{below}{place}"),
    };
    faults
        .iter()
        .map(|(code, field)| ((*code).to_owned(), place(field)))
        .collect()
}

fn http(sandbox: &Sandbox) -> Http {
    Http::new(&sandbox.url(), Some(sandbox.key(Who::Collector)))
}

/// A return of RA1 for April 2011 with these fields instead.
fn changed(changes: Value) -> Value {
    let mut ret = json!({"orgCode": "RA1", "period": "2011-04", "status": "RETURN_STATUS_FINAL",
        "quality": {"observations": [figure("AE_4H", json!(95), json!(100))]}});
    for (name, value) in changes.as_object().unwrap() {
        ret[name] = value.clone();
    }
    ret
}

fn figure(marker: &str, numerator: Value, denominator: Value) -> Value {
    json!({"marker": marker, "measured": {"numerator": numerator, "denominator": denominator}})
}

fn figures(observations: Vec<Value>) -> Value {
    changed(json!({"quality": {"observations": observations}}))
}

fn one(marker: &str, numerator: Value, denominator: Value) -> Value {
    figures(vec![figure(marker, numerator, denominator)])
}

/// What is sent as a message, and the faults that are told, with their place below `return`.
fn messages() -> Vec<(&'static str, Value, &'static [(&'static str, &'static str)])> {
    const NUMERATOR: &str = ".quality.observations[0].measured.numerator";
    const DENOMINATOR: &str = ".quality.observations[0].measured.denominator";
    const MARKER: &str = ".quality.observations[0].marker";
    let nhs = |field: &str, text: &str| changed(json!({ field: text }));
    let mut version = figure("AE_4H", json!(95), json!(100));
    version["definitionVersion"] = json!(7);
    let mut both_ways = figure("AE_4H", json!("NaN"), json!(-1));
    both_ways["breakdown"] = json!("=1+1");
    vec![
        (
            "not a number",
            one("AE_4H", json!("NaN"), json!(100)),
            &[("NOT_FINITE", NUMERATOR)],
        ),
        (
            "infinity",
            one("AE_4H", json!(95), json!("Infinity")),
            &[("NOT_FINITE", DENOMINATOR)],
        ),
        (
            "minus infinity",
            one("AE_4H", json!("-Infinity"), json!(100)),
            &[("NOT_FINITE", NUMERATOR)],
        ),
        (
            "a negative count",
            one("AE_4H", json!(-1), json!(100)),
            &[("NEGATIVE", NUMERATOR)],
        ),
        (
            "numerator above denominator",
            one("AE_4H", json!(101), json!(100)),
            &[("NUMERATOR_ABOVE_DENOMINATOR", NUMERATOR)],
        ),
        (
            "too large",
            one("AE_4H", json!(1e300), json!(2e12)),
            &[("TOO_LARGE", DENOMINATOR), ("TOO_LARGE", NUMERATOR)],
        ),
        (
            "too precise",
            one("AE_4H", json!(0.0001), json!(100)),
            &[("TOO_PRECISE", NUMERATOR)],
        ),
        (
            "wrong month",
            changed(json!({"period": "2011-13"})),
            &[("BAD_PERIOD", ".period")],
        ),
        (
            "a month as Excel shows it",
            changed(json!({"period": "Apr-11"})),
            &[("BAD_PERIOD", ".period")],
        ),
        (
            "a month as Excel keeps it",
            changed(json!({"period": "40634"})),
            &[("BAD_PERIOD", ".period")],
        ),
        (
            "future month",
            changed(json!({"period": "2011-07"})),
            &[("FUTURE_PERIOD", ".period")],
        ),
        (
            "closed organisation",
            changed(json!({"orgCode": "RC1"})),
            &[("ORGANISATION_CLOSED", ".org_code")],
        ),
        (
            "unknown organisation",
            changed(json!({"orgCode": "RZ9"})),
            &[("UNKNOWN_ORGANISATION", ".org_code")],
        ),
        (
            "no organisation code",
            changed(json!({"orgCode": "=RA1"})),
            &[("BAD_ORG_CODE", ".org_code")],
        ),
        (
            "unknown marker",
            one("NO_SUCH", json!(1), json!(2)),
            &[("UNKNOWN_MARKER", MARKER)],
        ),
        (
            "unknown definition version",
            figures(vec![version]),
            &[(
                "UNKNOWN_DEFINITION_VERSION",
                ".quality.observations[0].definition_version",
            )],
        ),
        (
            "duplicate markers",
            figures(vec![
                figure("AE_4H", json!(95), json!(100)),
                figure("AE_4H", json!(96), json!(100)),
            ]),
            &[("DUPLICATE_MARKER", ".quality.observations[1].marker")],
        ),
        (
            "no figures",
            figures(vec![]),
            &[("EMPTY_RETURN", ".quality.observations")],
        ),
        (
            "an NHS number",
            nhs("narrative", "about 9434765919"),
            &[("NHS_NUMBER", ".narrative")],
        ),
        (
            "an NHS number with spaces",
            nhs("narrative", "about 943 476 5919."),
            &[("NHS_NUMBER", ".narrative")],
        ),
        (
            "an NHS number with hyphens",
            nhs("source", "943-476-5919"),
            &[("NHS_NUMBER", ".source")],
        ),
        (
            "a source without end",
            nhs("source", &"x".repeat(201)),
            &[("TOO_LONG", ".source")],
        ),
        (
            "a narrative without end",
            nhs("narrative", &"é".repeat(2_001)),
            &[("TOO_LONG", ".narrative")],
        ),
        (
            "a key without end",
            nhs("idempotencyKey", &"k".repeat(129)),
            &[("TOO_LONG", ".idempotency_key")],
        ),
        (
            "a scheme that nobody knows",
            json!({"orgCode": "RA1", "period": "2011-04", "status": "RETURN_STATUS_FINAL", "savings": {"lines": [{"schemeId": "S-9", "actualPence": "5"}]}}),
            &[("UNKNOWN_SCHEME", ".savings.lines[0].scheme_id")],
        ),
        (
            "everything at once",
            json!({"orgCode": "RZ9", "period": "2011-07", "status": "RETURN_STATUS_FINAL", "narrative": "of 943 476 5919",
                "quality": {"observations": [both_ways, figure("NO_SUCH", json!(1), json!(2)), figure("CDI", json!(-1), json!(2)), figure("AE_4H", json!(9), json!(2))]}}),
            &[
                ("NHS_NUMBER", ".narrative"),
                ("UNKNOWN_ORGANISATION", ".org_code"),
                ("FUTURE_PERIOD", ".period"),
                ("BAD_BREAKDOWN", ".quality.observations[0].breakdown"),
                ("NEGATIVE", DENOMINATOR),
                ("NOT_FINITE", NUMERATOR),
                ("UNKNOWN_MARKER", ".quality.observations[1].marker"),
                ("NEGATIVE", ".quality.observations[2].measured.numerator"),
                (
                    "NUMERATOR_ABOVE_DENOMINATOR",
                    ".quality.observations[3].measured.numerator",
                ),
            ],
        ),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_a_message_is_told_at_once_over_grpc_and_http_and_nothing_changes() {
    let sandbox = sandbox().await;
    let before = state(&sandbox).await;
    let (url, key) = (sandbox.url(), sandbox.key(Who::Collector));
    for (name, ret, faults) in messages() {
        let expected = expected(faults, "return");
        let message = json!({ "return": ret });
        let status = wire::call(&url, Some(key), SUBMIT, message.clone())
            .await
            .unwrap_err();
        let error = ApiError::from_status(&status);
        assert_eq!(error.code.name(), "INVALID_ARGUMENT", "{name}: {error:?}");
        assert_eq!(problems(&error.to_json("")), expected, "{name} over gRPC");
        let streamed = wire::call(&url, Some(key), STREAM, message.clone())
            .await
            .unwrap();
        assert_eq!(problems(&streamed), expected, "{name} in a stream");
        let told = http(&sandbox).post("/v1/returns", &message).await;
        assert_eq!(
            (told.status, problems(&told.body)),
            (400, expected),
            "{name} as JSON"
        );
        assert_eq!(state(&sandbox).await, before, "{name} left a trace");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_that_are_no_message_are_refused_over_grpc_and_nothing_changes() {
    let sandbox = sandbox().await;
    let before = state(&sandbox).await;
    let whole = SubmitReturnRequest {
        r#return: Some(four_hours("RA1", "2011-04", 90.0, 100.0)),
        validate_only: false,
    };
    let whole = whole.encode_to_vec();
    let narrative = |text: &[u8]| {
        // Field 1 of the request holds the return, of which field 8 is a text.
        let field = [&[0x42, u8::try_from(text.len()).unwrap()], text].concat();
        [
            &[0x0a, u8::try_from(field.len()).unwrap()],
            field.as_slice(),
        ]
        .concat()
    };
    let large = SubmitReturnRequest {
        r#return: Some(Return {
            narrative: "x".repeat(5 << 20),
            ..Return::default()
        }),
        validate_only: false,
    };
    for (name, bytes, reason) in [
        (
            "truncated",
            whole[..whole.len() - 3].to_vec(),
            "MESSAGE_UNREADABLE",
        ),
        ("random", vec![0xff; 40], "MESSAGE_UNREADABLE"),
        ("invalid UTF-8", narrative(b"caf\xe9"), "MESSAGE_UNREADABLE"),
        ("deeply nested", vec![0x0b; 10_000], "MESSAGE_UNREADABLE"),
        (
            "a length without end",
            [&[0x0a], [0xff; 9].as_slice(), &[0x7f]].concat(),
            "MESSAGE_UNREADABLE",
        ),
        ("oversized", large.encode_to_vec(), "MESSAGE_TOO_LARGE"),
        ("empty", Vec::new(), "INVALID_REQUEST"),
    ] {
        for rpc in [SUBMIT, STREAM] {
            let (url, key) = (sandbox.url(), sandbox.key(Who::Collector));
            let bytes = Bytes::from(bytes.clone());
            match wire::call_with_bytes(&url, Some(key), rpc, bytes).await {
                Err(status) => {
                    let error = ApiError::from_status(&status);
                    assert_eq!(error.reason, reason, "{name} by {rpc}: {error:?}");
                    assert!(
                        error.code.http() < 500 && error.message.len() > 20,
                        "{name} by {rpc}: {error:?}"
                    );
                }
                // A stream answers for each return.
                Ok(_) => assert_eq!((rpc, name), (STREAM, "empty")),
            }
            assert_eq!(state(&sandbox).await, before, "{name} left a trace");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_is_not_the_contracts_json_is_refused_with_every_place_and_nothing_changes() {
    let sandbox = sandbox().await;
    let before = state(&sandbox).await;
    let deep_inside = format!(
        "{{\"return\":{{\"quality\":{}1{}}}}}",
        "[".repeat(2_000),
        "]".repeat(2_000)
    );
    let cases: Vec<(&str, Vec<u8>, u16, &[(&str, &str)])> = vec![
        ("truncated", b"{\"return\": {\"orgCode\": \"RA1\",".to_vec(), 400, &[("BAD_JSON", "line 1, column 29")]),
        ("invalid UTF-8", b"{\"return\": {\"orgCode\": \"\xff\"}}".to_vec(), 400, &[("BAD_JSON", "line 1, column 25")]),
        ("deeply nested", "[".repeat(100_000).into_bytes(), 400, &[("BAD_JSON", "line 1, column 128")]),
        ("deeply nested inside", deep_inside.into_bytes(), 400, &[("BAD_JSON", "line 1, column 147")]),
        ("a number without end", b"{\"return\": {\"status\": 1e999}}".to_vec(), 400, &[("BAD_JSON", "line 1, column 27")]),
        ("not a number as a word", b"{\"a\":\n NaN}".to_vec(), 400, &[("BAD_JSON", "line 2, column 2")]),
        ("no object", b"[]".to_vec(), 400, &[("BAD_VALUE", "body")]),
        ("nothing", Vec::new(), 400, &[("RETURN_MISSING", "return")]),
        (
            "several faults",
            br#"{"return": {"org": "RA1", "status": "DRAFT", "quality": {"observations": [{"marker": 5}]}}, "dryRun": true}"#.to_vec(),
            400,
            &[
                ("UNKNOWN_FIELD", "dryRun"),
                ("UNKNOWN_FIELD", "return.org"),
                ("BAD_VALUE", "return.quality.observations[0].marker"),
                ("BAD_VALUE", "return.status"),
            ],
        ),
        ("oversized", format!("{{\"return\": {{\"narrative\": \"{}\"}}}}", "x".repeat(5 << 20)).into_bytes(), 413, &[]),
    ];
    for (name, body, status, faults) in cases {
        let request = http(&sandbox)
            .request("POST", "/v1/returns")
            .header("content-type", "application/json")
            .body(body);
        let told = answer(request).await;
        let mut found = problems(&told.body);
        found.sort_by(|a, b| a.1.cmp(&b.1));
        assert_eq!(
            (told.status, found),
            (status, expected(faults, "")),
            "{name}: {}",
            told.body
        );
        let message = told.body["error"]["message"].as_str().unwrap();
        assert!(
            message.len() > 20 && !message.starts_with(':'),
            "{name}: {message}"
        );
        assert_eq!(state(&sandbox).await, before, "{name} left a trace");
    }
    let with_mark = format!(
        "\u{feff}{}",
        json!({"return": changed(json!({})), "validateOnly": true})
    );
    let request = http(&sandbox)
        .request("POST", "/v1/returns")
        .header("content-type", "application/json")
        .body(with_mark);
    assert_eq!(
        answer(request).await.status,
        200,
        "a byte order mark is no fault"
    );
}

async fn upload(sandbox: &Sandbox, query: &str, file: impl Into<Vec<u8>>) -> Answer {
    let request = http(sandbox).request("POST", &format!("/v1/returns:csv{query}"));
    answer(request.header("content-type", "text/csv").body(file.into())).await
}

const HEADER: &str =
    "org_code,period,marker,numerator,denominator,missing,definition_version,status,source";

fn rows(rows: &str) -> Vec<u8> {
    format!("{HEADER}\n{rows}\n").into_bytes()
}

/// One figure of RA1 in April 2011, with a cell in its place.
fn cell(column: &str, text: &str) -> Vec<u8> {
    let mut row = ["RA1", "2011-04", "AE_4H", "95", "100", "", "", "final", ""].map(str::to_owned);
    let index = HEADER.split(',').position(|name| name == column).unwrap();
    row[index] = format!("\"{}\"", text.replace('"', "\"\""));
    rows(&row.join(","))
}

/// What people, spreadsheets and attackers write into one cell, and what is told of it.
const CELLS: &[(&str, &str, &str)] = &[
    ("period", "Jan-10", "EXCEL_DATE"),
    ("period", "45000", "EXCEL_DATE"),
    ("period", "01/02/2010", "EXCEL_DATE"),
    ("period", "1 April 2011", "EXCEL_DATE"),
    ("period", "2011-13", "BAD_PERIOD"),
    ("period", "2011-04-01", "BAD_PERIOD"),
    ("period", "2011-07", "FUTURE_PERIOD"),
    ("period", "", "EMPTY_CELL"),
    ("numerator", "1,234", "THOUSANDS_SEPARATOR"),
    ("numerator", "1.234,5", "THOUSANDS_SEPARATOR"),
    ("numerator", "1 234", "THOUSANDS_SEPARATOR"),
    ("numerator", "1\u{a0}234", "THOUSANDS_SEPARATOR"),
    ("numerator", "12%", "NOT_A_NUMBER"),
    ("numerator", "1E+05", "NOT_A_NUMBER"),
    ("numerator", "#N/A", "NOT_A_NUMBER"),
    ("numerator", "#DIV/0!", "NOT_A_NUMBER"),
    ("numerator", "-", "NOT_A_NUMBER"),
    ("numerator", "*", "NOT_A_NUMBER"),
    ("numerator", "n/a", "NOT_A_NUMBER"),
    ("numerator", "NaN", "NOT_A_NUMBER"),
    ("numerator", "inf", "NOT_A_NUMBER"),
    ("numerator", "-Infinity", "FORMULA"),
    ("numerator", "£95", "NOT_A_NUMBER"),
    ("numerator", "-1", "BAD_NUMBER"),
    ("numerator", "9999999999999", "BAD_NUMBER"),
    ("numerator", "0.0001", "BAD_NUMBER"),
    ("numerator", "101", "NUMERATOR_ABOVE_DENOMINATOR"),
    ("numerator", "", "NO_FIGURE"),
    ("org_code", "RZ9", "UNKNOWN_ORGANISATION"),
    ("org_code", "RC1", "ORGANISATION_CLOSED"),
    ("org_code", "ra1", "BAD_CODE"),
    ("marker", "NO_SUCH", "UNKNOWN_MARKER"),
    ("definition_version", "7", "UNKNOWN_DEFINITION_VERSION"),
    ("definition_version", "1.5", "NOT_WHOLE"),
    ("missing", "nil", "BAD_WORD"),
    ("status", "draft", "BAD_WORD"),
    ("source", "about 943 476 5919", "NHS_NUMBER"),
    ("source", "943-476-5919", "NHS_NUMBER"),
    ("source", "=HYPERLINK(\"http://x\")", "FORMULA"),
    ("source", "+44 20", "FORMULA"),
    ("source", "-cmd|' /C calc'!A0", "FORMULA"),
    ("source", "@SUM(1)", "FORMULA"),
    ("source", "\t=1+1", "FORMULA"),
    ("source", "a\tb", "CONTROL_CHARACTER"),
    ("source", "a\nb", "CONTROL_CHARACTER"),
    ("source", "nul\0", "CONTROL_CHARACTER"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cell_as_people_and_spreadsheets_write_it_is_refused_by_line_and_column_and_nothing_changes()
 {
    let sandbox = sandbox().await;
    let before = state(&sandbox).await;
    for (column, text, code) in CELLS {
        let told = upload(&sandbox, "", cell(column, text)).await;
        let place = format!("line 2, column {column}");
        assert_eq!(
            problems(&told.body),
            [((*code).to_owned(), place)],
            "{column} `{text}`: {}",
            told.body
        );
        let accepted = &told.body["accepted"];
        assert!(
            told.status == 400 || accepted == &json!(0),
            "{column} `{text}`: {}",
            told.body
        );
        assert_eq!(
            state(&sandbox).await,
            before,
            "{column} `{text}` left a trace"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_no_table_is_refused_with_its_place_and_nothing_changes() {
    let sandbox = sandbox().await;
    let before = state(&sandbox).await;
    let good = "RA1,2011-04,AE_4H,95,100,,,final,";
    let utf16: Vec<u8> = [0xff, 0xfe]
        .into_iter()
        .chain("org_code".bytes().flat_map(|b| [b, 0]))
        .collect();
    let long = format!("RA1,2011-04,AE_4H,95,100,,,final,{}", "x".repeat(5_000));
    let cases: Vec<(&str, Vec<u8>, &[(&str, &str)])> = vec![
        (
            "invalid UTF-8",
            [
                rows(good),
                b"RA1,2011-05,AE_4H,95,100,,,final,\xa3\n".to_vec(),
            ]
            .concat(),
            &[("NOT_UTF8", "line 3")],
        ),
        ("UTF-16", utf16, &[("NOT_CSV", "file")]),
        (
            "a workbook",
            b"PK\x03\x04...".to_vec(),
            &[("NOT_CSV", "file")],
        ),
        ("gzip", b"\x1f\x8b\x08...".to_vec(), &[("NOT_CSV", "file")]),
        ("nothing", Vec::new(), &[("EMPTY_FILE", "file")]),
        ("only a header", rows(""), &[("NO_ROWS", "file")]),
        (
            "truncated",
            rows("RA1,2011-04,AE_4H,95,100,,,final,\nRA1,2011-04,CDI,9"),
            &[("SHORT_ROW", "line 3")],
        ),
        (
            "a quotation mark left open",
            rows("RA1,2011-04,AE_4H,\"95,100,,,final,\nRA1"),
            &[
                ("CONTROL_CHARACTER", "line 2, column numerator"),
                ("SHORT_ROW", "line 2"),
            ],
        ),
        (
            "a cell without end",
            rows(&long),
            &[("CELL_TOO_LONG", "line 2, column source")],
        ),
        (
            "a column of their own",
            b"org_code,period,marker,numerator,denominator,nhs_number\n".to_vec(),
            &[("UNKNOWN_COLUMN", "line 1, column nhs_number")],
        ),
        (
            "a column short",
            b"org_code,period,marker,numerator\n".to_vec(),
            &[("MISSING_COLUMN", "line 1, column denominator")],
        ),
        (
            "another separator",
            format!("{}\n{}\n", HEADER.replace(',', "|"), good.replace(',', "|")).into_bytes(),
            &[],
        ),
        (
            "thousands where semicolons separate",
            b"org_code;period;marker;numerator;denominator\nRA1;2011-04;AE_4H;1.234;2.000\n"
                .to_vec(),
            &[
                ("THOUSANDS_SEPARATOR", "line 2, column numerator"),
                ("THOUSANDS_SEPARATOR", "line 2, column denominator"),
            ],
        ),
        (
            "a marker twice",
            rows(&format!("{good}\n{good}")),
            &[("DUPLICATE_MARKER", "line 3, column marker")],
        ),
        (
            "two statuses",
            rows(&format!("{good}\nRA1,2011-04,CDI,1,2,,,restated,")),
            &[("STATUS_DIFFERS", "line 3, column status")],
        ),
    ];
    for (name, file, faults) in cases {
        let told = upload(&sandbox, "", file).await;
        let found = problems(&told.body);
        if faults.is_empty() {
            assert!(!found.is_empty(), "{name}: {}", told.body);
        } else {
            assert_eq!(found, expected(faults, ""), "{name}: {}", told.body);
        }
        assert_eq!(state(&sandbox).await, before, "{name} left a trace");
    }
    let told = upload(&sandbox, "?format=savings", "org_code,period,scheme_id,plan_pence,actual_pence,actual_ytd_pence,forecast_pence,recurrent_pence,missing\nRA1,2011-04,S-9,,12.34,,,,\nRA1,2011-04,S-8,,5,,,,\nRA1,2011-04,S-1,,\"1,000\",,,,\n").await;
    let faults = [
        ("NOT_PENCE", "line 2, column actual_pence"),
        ("UNKNOWN_SCHEME", "line 2, column scheme_id"),
        ("UNKNOWN_SCHEME", "line 3, column scheme_id"),
        ("THOUSANDS_SEPARATOR", "line 4, column actual_pence"),
    ];
    assert_eq!(problems(&told.body), expected(&faults, ""));
    assert_eq!(state(&sandbox).await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_of_form_and_unknown_codes_of_a_file_are_told_in_one_answer() {
    let sandbox = sandbox().await;
    let before = state(&sandbox).await;
    let file = rows(
        "RA1,2011-04,AE_4H,95,100,,,final,a\n\
         RA1,Jan-10,NO_SUCH,1,2,,,final,\n\
         RZ9,45000,AE_4H,1,2,,,final,\n\
         RA1,2011-04,CDI,\"1,234\",2,,,final,\n\
         RA1,2011-04,NO_MARKER,12%,2,,,final,\n\
         RC1,2011-04,AE_4H,110,100,,,final,b 943 476 5919\n\
         RA1,2011-04,AE_4H,1,2,,,final,\n\
         RA1,2011-04,SICKNESS,1,2,,7,final,\n\
         RA1,2099-01,AE_4H,1,2,,,final,\n\
         =RA1,2011-04,AE_4H,+1,2,,,final,",
    );
    let told = upload(&sandbox, "", file.clone()).await;
    let faults = [
        ("EXCEL_DATE", "line 3, column period"),
        ("UNKNOWN_MARKER", "line 3, column marker"),
        ("EXCEL_DATE", "line 4, column period"),
        ("UNKNOWN_ORGANISATION", "line 4, column org_code"),
        ("THOUSANDS_SEPARATOR", "line 5, column numerator"),
        ("NOT_A_NUMBER", "line 6, column numerator"),
        ("UNKNOWN_MARKER", "line 6, column marker"),
        ("ORGANISATION_CLOSED", "line 7, column org_code"),
        ("NUMERATOR_ABOVE_DENOMINATOR", "line 7, column numerator"),
        ("NHS_NUMBER", "line 7, column source"),
        ("DUPLICATE_MARKER", "line 8, column marker"),
        (
            "UNKNOWN_DEFINITION_VERSION",
            "line 9, column definition_version",
        ),
        ("FUTURE_PERIOD", "line 10, column period"),
        ("FORMULA", "line 11, column org_code"),
        ("FORMULA", "line 11, column numerator"),
    ];
    assert_eq!(
        (told.status, problems(&told.body)),
        (400, expected(&faults, ""))
    );
    assert_eq!(told.body["error"]["reason"], json!("INVALID_CSV"));
    let twice = told.body["error"]["problems"]
        .as_array()
        .unwrap()
        .iter()
        .find(|p| p["code"] == "DUPLICATE_MARKER")
        .unwrap();
    assert!(
        twice["description"].as_str().unwrap().contains("line 2"),
        "{twice}"
    );
    assert_eq!(state(&sandbox).await, before);

    let stranger = Http::new(&sandbox.url(), None);
    let request = stranger
        .request("POST", "/v1/returns:csv")
        .header("content-type", "text/csv")
        .body(file);
    assert_eq!(
        answer(request).await.status,
        401,
        "who may comes before what is wrong"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_only_unusual_is_read_as_it_was_meant() {
    let sandbox = sandbox().await;
    let before = state(&sandbox).await;
    let row = "RA1,2011-04,AE_4H,95,100,,,final,";
    let comma = format!("{HEADER}\n{row}\n");
    for (name, file) in [
        ("a byte order mark", format!("\u{feff}{comma}")),
        ("Windows line ends", comma.replace('\n', "\r\n")),
        ("old Mac line ends", comma.replace('\n', "\r")),
        ("mixed line ends", format!("{HEADER}\r\n\r{row}\n\r\n")),
        ("no line end", comma.trim_end().to_owned()),
        ("semicolons", comma.replace(',', ";")),
        ("tabs", comma.replace(',', "\t")),
        ("rows of nothing", format!("{comma},,,,,,,,\n\n")),
        ("a nought behind the point", comma.replace("95", "95.0")),
        (
            "blanks that do not break",
            comma.replace("95", "\u{a0}95\u{a0}"),
        ),
        ("quotation marks", comma.replace("RA1", "\"RA1\"")),
        (
            "columns in another order and case",
            "MARKER,Period,org_code,denominator,numerator\nAE_4H,2011-04,RA1,100,95\n".to_owned(),
        ),
    ] {
        let told = upload(&sandbox, "?validate_only=true", file).await;
        assert_eq!(
            (told.status, &told.body["accepted"]),
            (200, &json!(1)),
            "{name}: {}",
            told.body
        );
        assert_eq!(
            state(&sandbox).await,
            before,
            "{name}: a dry run writes nothing"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_or_a_token_that_makes_no_sense_is_told_by_its_name() {
    let sandbox = sandbox().await;
    let national = Http::new(&sandbox.url(), Some(sandbox.key(Who::National)));
    let long = format!("/v1/organisations?page_token={}", "0".repeat(20_000));
    let series = "/v1/organisations/RA1/series/AE_4H";
    for (path, code, field) in [
        (
            "/v1/organisations?page_token=zz",
            "PAGE_TOKEN_INVALID",
            "page_token",
        ),
        (long.as_str(), "PAGE_TOKEN_INVALID", "page_token"),
        (
            "/v1/organisations?page_size=-1",
            "PAGE_SIZE_NEGATIVE",
            "page_size",
        ),
        (
            "/v1/organisations?page_size=1e5",
            "BAD_PARAMETER",
            "page_size",
        ),
        (
            "/v1/organisations?page_size=99999999999",
            "BAD_PARAMETER",
            "page_size",
        ),
        ("/v1/organisations?=1", "UNKNOWN_PARAMETER", "query"),
        (&format!("{series}?from=Jan-10"), "PERIOD_INVALID", "from"),
        (
            &format!("{series}?known_at=yesterday"),
            "BAD_TIME",
            "read.known_at.time",
        ),
        (&format!("{series}?min_cut=returns"), "BAD_CUT", "min_cut"),
        (
            &format!("{series}?min_cut=orders.0-1"),
            "UNKNOWN_TOPIC",
            "read.min_cut.next[0].topic",
        ),
        (
            &format!("{series}?nonsense=%00%ff"),
            "UNKNOWN_PARAMETER",
            "nonsense",
        ),
        (
            "/v1/alerts?min_severity=purple",
            "BAD_PARAMETER",
            "min_severity",
        ),
    ] {
        let told = national.get(path).await;
        let shown: String = path.chars().take(80).collect();
        assert_eq!(
            (told.status, problems(&told.body)),
            (400, expected(&[(code, field)], "")),
            "{shown}: {}",
            told.body
        );
    }
    let request = national
        .request("GET", "/v1/alerts/watch")
        .header("last-event-id", "yesterday");
    let told = answer(request).await;
    assert_eq!(
        (told.status, &told.body["error"]["reason"]),
        (400, &json!("BAD_EVENT_ID"))
    );
}
