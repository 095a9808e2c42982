//! The contract over HTTP: nothing that gRPC can do is out of its reach.

use std::collections::BTreeSet;

use qipp_gateway::routes::{TABLE, UPLOAD_PATH, Verb, WATCH_PATH};
use qipp_tests::http::{Http, answer};
use qipp_tests::{Sandbox, Who, facts, wire};
use serde_json::{Value, json};

#[test]
fn every_unary_rpc_has_one_address_and_the_streams_have_theirs() {
    let (streams, unary): (Vec<_>, Vec<_>) = wire::contract()
        .into_iter()
        .partition(|rpc| rpc.client_streams || rpc.server_streams);
    let unary: BTreeSet<String> = unary.into_iter().map(|rpc| rpc.name).collect();
    let routed: BTreeSet<String> = TABLE.iter().map(|route| route.rpc.to_owned()).collect();
    assert_eq!(routed, unary);
    assert_eq!(TABLE.len(), routed.len(), "one address each");
    let streams: Vec<String> = streams.into_iter().map(|rpc| rpc.name).collect();
    assert_eq!(
        streams.len(),
        4,
        "CSV upload and live stream stand for two of {streams:?}; back-ups and checkpoints are taken over gRPC only"
    );
}

/// A path with something for every field in braces.
fn filled(path: &str) -> String {
    [
        ("{org_code}", "RA1"),
        ("{tree}", "regions"),
        ("{marker}", "AE_4H"),
        ("{dataset}", "quality"),
        ("{period}", "2011-04"),
        ("{level}", "region"),
        ("{alert_id}", "no-such-alert"),
    ]
    .iter()
    .fold(path.to_owned(), |path, (name, value)| {
        path.replace(name, value)
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_unary_rpc_answers_over_http_with_a_message_or_an_error_of_the_service() {
    let sandbox = Sandbox::in_memory().await;
    sandbox.record(facts::small_nation()).await;
    for route in TABLE {
        let who = if route.rpc.contains("Registry") {
            Who::Operator
        } else {
            Who::National
        };
        let http = Http::new(&sandbox.url(), Some(sandbox.key(who)));
        let (method, body) = match route.verb {
            Verb::Get => ("GET", None),
            Verb::Post => ("POST", Some(json!({}))),
        };
        let mut path = filled(route.path);
        if path.ends_with("/savings") || path == "/v1/completeness" {
            path.push_str("?period=2011-04&dataset=quality");
            path = path.replace(
                "/savings?period=2011-04&dataset=quality",
                "/savings?period=2011-04",
            );
        }
        let request = http.request(method, &path);
        let found = answer(match body {
            Some(body) => request.json(&body),
            None => request,
        })
        .await;
        let reason = found.body["error"]["reason"].as_str().unwrap_or_default();
        // Not found has to be the alert, never the address.
        let served = match found.status {
            200 => found.body.is_object() && reason.is_empty(),
            400 => {
                reason == "INVALID_REQUEST"
                    && !found.body["error"]["problems"]
                        .as_array()
                        .unwrap()
                        .is_empty()
            }
            403 => reason == "ROLE_NOT_ALLOWED",
            404 => reason == "UNKNOWN_ALERT",
            _ => false,
        };
        assert!(served, "{} {path}: {} {}", method, found.status, found.body);
        assert!(found.headers.contains_key("x-request-id"), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_openapi_document_has_every_address_and_resolves_its_references() {
    let sandbox = Sandbox::in_memory().await;
    let http = Http::new(&sandbox.url(), None);
    let document = http.get("/openapi.json").await.body;
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let paths = document["paths"].as_object().unwrap();
    for path in TABLE
        .iter()
        .map(|route| route.path)
        .chain([UPLOAD_PATH, WATCH_PATH])
    {
        assert!(paths.contains_key(path), "{path}");
    }
    let mut references = BTreeSet::new();
    collect(&document, &mut references);
    assert!(references.len() > 20);
    for reference in references {
        assert!(
            document.pointer(&reference[1..]).is_some(),
            "{reference} leads nowhere"
        );
    }
}

fn collect(value: &Value, references: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            if let Some(Value::String(reference)) = fields.get("$ref") {
                references.insert(reference.clone());
            }
            fields.values().for_each(|inner| collect(inner, references));
        }
        Value::Array(items) => items.iter().for_each(|inner| collect(inner, references)),
        _ => {}
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_and_readiness_answer_without_a_key_and_a_wrong_address_says_where_to_look() {
    let sandbox = Sandbox::in_memory().await;
    let http = Http::new(&sandbox.url(), None);
    assert_eq!(http.get("/healthz").await.status, 200);
    sandbox.house().follower.caught_up().await.unwrap();
    assert_eq!(http.get("/readyz").await.status, 200);
    let lost = http.get("/v2/returns").await;
    assert_eq!(
        (lost.status, &lost.body["error"]["reason"]),
        (404, &json!("UNKNOWN_PATH"))
    );
    assert!(
        lost.body["error"]["message"]
            .as_str()
            .unwrap()
            .contains("/openapi.json")
    );
    let method = answer(http.request("DELETE", "/v1/alerts")).await;
    assert_eq!(
        (method.status, &method.body["error"]["reason"]),
        (405, &json!("METHOD_NOT_ALLOWED"))
    );
}
