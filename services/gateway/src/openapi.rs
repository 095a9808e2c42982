//! The OpenAPI 3.1 document, made from the descriptors of the contract and the route table. The comments of `proto/` are its text.
//!
//! Pure: the same program gives the same document. Nothing in it is written by hand except the addresses that stand for no unary rpc.

mod schema;

use std::collections::BTreeSet;

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor};
use serde_json::{Map, Value, json};

use crate::routes::{Route, TABLE, UPLOAD_PATH, Verb, WATCH_PATH, WATCH_RPC};
use crate::transcode::{self, MAX_NAMED, choices};
use schema::{Comments, reference};

/// The document.
#[must_use]
pub fn openapi() -> Value {
    let comments = Comments::of(qipp_api::json::pool());
    let mut paths = Map::new();
    let mut messages = BTreeSet::new();
    for route in TABLE {
        let rpc =
            transcode::rpc(route.rpc).expect("a test holds the route table against the contract");
        messages.insert(rpc.output().full_name().to_owned());
        if route.verb == Verb::Post {
            messages.insert(rpc.input().full_name().to_owned());
        }
        add(
            &mut paths,
            route.path,
            route.verb,
            operation(route, &rpc, &comments),
        );
    }
    let watch =
        transcode::rpc(WATCH_RPC).expect("a test holds the route table against the contract");
    messages.insert(watch.output().full_name().to_owned());
    add(
        &mut paths,
        WATCH_PATH,
        Verb::Get,
        watch_operation(&watch, &comments),
    );
    messages.insert("qipp.intake.v1.Problem".to_owned());
    add(&mut paths, UPLOAD_PATH, Verb::Post, upload_operation());
    for (path, summary) in [
        ("/healthz", "The process is up."),
        ("/readyz", "The process can answer; 503 when it cannot yet."),
    ] {
        let operation = json!({"operationId": &path[1..], "summary": summary, "tags": ["Process"], "security": [],
            "responses": {"200": {"description": "Yes.", "content": {"application/json": {"schema": {"type": "object"}}}}}});
        add(&mut paths, path, Verb::Get, operation);
    }
    let mut schemas = schema::schemas(qipp_api::json::pool(), messages, &comments);
    schemas.insert("Error".to_owned(), error_schema());
    json!({
        "openapi": "3.1.0",
        "info": {"title": "QIPP Watch", "version": "v1", "description": DESCRIPTION},
        "security": [{"key": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
            "schemas": schemas,
        },
    })
}

const DESCRIPTION: &str = "The contract of QIPP Watch as JSON: canonical JSON of protobuf, in which 64-bit integers are strings and enumerations are names. \
    In a query enumerations may be short (`quality` for `DATASET_QUALITY`), fields of `filter` need no prefix, `known_at` is a time (state as it was known then) \
    and `min_cut` a cut such as `returns.0-15~alerts.0-7` (read your own writes). Headers: `x-request-id` is in every answer; `x-timeout: 5s` or \
    `grpc-timeout: 5S` says how long you wait. Errors all have the form of `Error`.";

fn add(paths: &mut Map<String, Value>, path: &str, verb: Verb, operation: Value) {
    let verb = match verb {
        Verb::Get => "get",
        Verb::Post => "post",
    };
    let item = paths.entry(path).or_insert_with(|| json!({}));
    item[verb] = operation;
}

fn operation(route: &Route, rpc: &MethodDescriptor, comments: &Comments) -> Value {
    let named: Vec<&str> = path_fields(route.path).collect();
    let mut parameters: Vec<Value> = Vec::new();
    for field in rpc.input().fields() {
        if named.contains(&field.name()) {
            parameters.push(parameter("path", field.name(), &field, comments));
        }
    }
    match route.verb {
        Verb::Get => query_parameters(&rpc.input(), "", &named, comments, &mut parameters),
        Verb::Post => {
            let switches = rpc
                .input()
                .fields()
                .filter(|field| field.name() == "validate_only")
                .collect::<Vec<_>>();
            parameters.extend(
                switches
                    .iter()
                    .map(|field| parameter("query", field.name(), field, comments)),
            );
        }
    }
    let mut operation = json!({
        "operationId": rpc.name(),
        "summary": comments.of_method(rpc),
        "tags": [rpc.parent_service().name().trim_end_matches("Service")],
        "parameters": parameters,
        "responses": responses("application/json", &reference(rpc.output().full_name())),
    });
    if route.verb == Verb::Post {
        operation["requestBody"] = json!({
            "required": rpc.input().fields().len() > named.len(),
            "content": {"application/json": {"schema": reference(rpc.input().full_name())}},
        });
    }
    operation
}

fn responses(content_type: &str, schema: &Value) -> Value {
    let mut content = Map::new();
    content.insert(content_type.to_owned(), json!({ "schema": schema }));
    json!({
        "200": {"description": "The answer.", "content": content},
        "default": {"description": "Why there is no answer.", "content": {"application/json": {"schema": reference("Error")}}},
    })
}

/// The names in braces.
pub(crate) fn path_fields(path: &str) -> impl Iterator<Item = &str> {
    path.split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}

/// The fields of a message that a query can name, nested ones with dots. Those of `filter` go by their own name, and of `read` the two
/// that have a short one.
fn query_parameters(
    message: &MessageDescriptor,
    prefix: &str,
    skip: &[&str],
    comments: &Comments,
    parameters: &mut Vec<Value>,
) {
    if prefix.split('.').count() > MAX_NAMED {
        return;
    }
    for field in message
        .fields()
        .filter(|field| !skip.contains(&field.name()))
    {
        match field.kind() {
            Kind::Message(_) if field.name() == "read" => parameters.extend(read_parameters()),
            Kind::Message(inner) if field.name() == "filter" => {
                query_parameters(&inner, "", &[], comments, parameters)
            }
            Kind::Message(inner) if inner.full_name() == "qipp.events.v1.Cut" => {
                parameters.push(parameter(
                    "query",
                    &format!("{prefix}{}", field.name()),
                    &field,
                    comments,
                ));
            }
            Kind::Message(_) if field.is_list() || field.is_map() => {}
            Kind::Message(inner) => query_parameters(
                &inner,
                &format!("{prefix}{}.", field.name()),
                &[],
                comments,
                parameters,
            ),
            _ => parameters.push(parameter(
                "query",
                &format!("{prefix}{}", field.name()),
                &field,
                comments,
            )),
        }
    }
}

fn read_parameters() -> [Value; 2] {
    let text = json!({"type": "string"});
    [
        json!({"name": "known_at", "in": "query", "schema": text, "description": "Time travel: RFC 3339, the state as it was known then."}),
        json!({"name": "min_cut", "in": "query", "schema": text, "description": "Read your own writes: wait until the state includes this cut."}),
    ]
}

fn parameter(place: &str, name: &str, field: &FieldDescriptor, comments: &Comments) -> Value {
    let schema = match field.kind() {
        // Any case, with or without what all names start with: the words are in the description.
        Kind::Enum(_) | Kind::Message(_) => json!({"type": "string"}),
        Kind::Int64 | Kind::Uint64 => json!({"type": "integer", "format": "int64"}),
        _ => schema::scalar(&field.kind()),
    };
    let schema = if field.is_list() {
        json!({"type": "array", "items": schema})
    } else {
        schema
    };
    let comment = comments.of_field(field);
    let description = match field.kind() {
        Kind::Enum(names) => format!("{comment} {}.", choices(&names)),
        _ => comment,
    };
    json!({"name": name, "in": place, "required": place == "path", "schema": schema, "description": description.trim()})
}

fn watch_operation(rpc: &MethodDescriptor, comments: &Comments) -> Value {
    let mut parameters = Vec::new();
    query_parameters(&rpc.input(), "", &[], comments, &mut parameters);
    parameters.push(json!({"name": "Last-Event-ID", "in": "header", "schema": {"type": "string"},
        "description": "The id of the last event seen: the stream goes on after it. Counts before `from`."}));
    let description = "Server-sent events. `event: alert`, `id:` the cut after the event, `data:` a WatchAlertsResponse. A failure in the middle is \
        `event: error` with an Error. Comments keep the connection alive.";
    json!({
        "operationId": rpc.name(), "summary": comments.of_method(rpc), "description": description, "tags": ["Alerts"],
        "parameters": parameters,
        "responses": responses("text/event-stream", &reference(rpc.output().full_name())),
    })
}

fn upload_operation() -> Value {
    let outcome = |properties: Value| json!({"type": "array", "items": {"type": "object", "properties": properties}});
    let text = json!({"type": "string"});
    let taken = outcome(json!({"org": text, "period": text, "revision": {"type": "integer"}}));
    let refused = outcome(
        json!({"org": text, "period": text, "code": text, "field": text, "description": text}),
    );
    let summary = json!({"type": "object", "properties": {
        "accepted": {"type": "integer", "description": "Returns that became a new revision, or would in a dry run."},
        "repeats": {"type": "integer", "description": "Returns that say what was there already."},
        "minCut": {"type": "string", "description": "A cut that includes all that was accepted, for `min_cut`."},
    }});
    let mut partly = summary.clone();
    partly["properties"]["taken"] = taken;
    partly["properties"]["refused"] = refused;
    let mut responses = responses("application/json", &summary);
    responses["207"] = json!({
        "description": "Rare: every return was valid, and then something changed before the last was written. `taken` lists the returns that stand, \
            `refused` those that do not, each fault with its line and column. Mend them and send the file again: what was taken is a repeat.",
        "content": {"application/json": {"schema": partly}},
    });
    json!({
        "operationId": "UploadReturns", "tags": ["Intake"],
        "summary": "Submits the returns of a CSV file. All of the file or nothing of it: with a fault in any row or any return (400) all faults are told, \
            each with its line and column, and nothing is written. Sending the file again is harmless.",
        "parameters": [
            {"name": "format", "in": "query", "schema": text, "description": "Which form the file has. Empty: the default one."},
            {"name": "validate_only", "in": "query", "schema": {"type": "boolean"}, "description": "Dry run: nothing is written."},
        ],
        "requestBody": {"required": true, "content": {"text/csv": {"schema": text}}},
        "responses": responses,
    })
}

fn error_schema() -> Value {
    let text = |description: &str| json!({"type": "string", "description": description});
    json!({"type": "object", "required": ["error"], "properties": {"error": {
        "type": "object", "required": ["code", "reason", "message", "requestId", "problems"],
        "properties": {
            "code": text("Code of gRPC, for example INVALID_ARGUMENT."),
            "reason": text("Stable code of the service."),
            "message": text("What is wrong and what to do about it."),
            "requestId": text("To be told to the operator."),
            "problems": {"type": "array", "items": {"type": "object", "properties": {
                "code": text("Stable code."), "field": text("Pointer into the request, or a parameter."),
                "description": text("What is wrong, and what to do."),
            }}},
            "retryAfterSeconds": {"type": "integer", "description": "When to try again."},
        },
    }}})
}
