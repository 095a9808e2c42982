//! JSON, queries and the cursor of a watcher, as they come over HTTP.

use http::{HeaderMap, HeaderValue, Uri};
use prost::Message as _;
use qipp_api::json;
use qipp_api::proto::intake::v1::{SubmitReturnRequest, SubmitSchemeRequest};
use qipp_api::proto::registry::v1::RecordFactsRequest;
use qipp_gateway::{cut_text, requests, routes};

use crate::{messages, promises};

const SUBMIT: &str = "qipp.intake.v1.IntakeService/SubmitReturn";

/// A return as JSON.
pub(crate) fn json_return(data: &[u8]) {
    let uri = Uri::from_static("/v1/returns");
    match requests::request(SUBMIT, &[], &uri, data) {
        Err(error) => promises::refusal(&error, data.len()),
        Ok(bytes) => {
            let request = SubmitReturnRequest::decode(bytes.as_slice()).unwrap();
            if let Some(ret) = &request.r#return {
                messages::check_return(ret);
            }
        }
    }
}

/// Any request as JSON, by the number in its first byte. What it says is written as JSON again and says the same.
pub(crate) fn json_request(data: &[u8]) {
    let Some((&which, data)) = data.split_first() else {
        return;
    };
    let route = &routes::TABLE[usize::from(which) % routes::TABLE.len()];
    let uri = Uri::from_static("/");
    let bytes = match requests::request(route.rpc, &[], &uri, data) {
        Err(error) => return promises::refusal(&error, data.len()),
        Ok(bytes) => bytes,
    };
    let (service, method) = route.rpc.split_once('/').unwrap();
    let service = json::pool().get_service_by_name(service).unwrap();
    let input = service
        .methods()
        .find(|m| m.name() == method)
        .unwrap()
        .input();
    let text = requests::answer(input.full_name(), &bytes).unwrap();
    let back = requests::request(route.rpc, &[], &uri, &text).unwrap();
    let again = requests::answer(input.full_name(), &back).unwrap();
    assert_eq!(
        String::from_utf8_lossy(&again),
        String::from_utf8_lossy(&text)
    );
    match method {
        "SubmitScheme" => {
            if let Some(scheme) = &SubmitSchemeRequest::decode(bytes.as_slice())
                .unwrap()
                .scheme
            {
                messages::check_scheme(scheme);
            }
        }
        "RecordFacts" => {
            messages::check_reference(&RecordFactsRequest::decode(bytes.as_slice()).unwrap())
        }
        _ => {}
    }
}

/// A query, for the rpc whose number is in the first byte.
pub(crate) fn query_string(data: &[u8]) {
    let Some((&which, text)) = data.split_first() else {
        return;
    };
    let route = &routes::TABLE[usize::from(which) % routes::TABLE.len()];
    let Some(uri) = uri(text) else { return };
    match requests::request(route.rpc, &[], &uri, b"") {
        Err(error) => promises::refusal(&error, text.len()),
        Ok(bytes) => assert_eq!(
            requests::request(route.rpc, &[], &uri, b""),
            Ok(bytes),
            "reading is deterministic"
        ),
    }
}

fn uri(text: &[u8]) -> Option<Uri> {
    let path = [b"/v1?".as_slice(), text].concat();
    Uri::try_from(path).ok()
}

/// Where a watcher goes on: the first line is the query, the rest is the header `last-event-id`.
pub(crate) fn watch_cursor(data: &[u8]) {
    let (query, id) = match data.iter().position(|b| *b == b'\n') {
        Some(end) => (&data[..end], &data[end + 1..]),
        None => (&data[..0], data),
    };
    let (Some(uri), Ok(id)) = (uri(query), HeaderValue::from_bytes(id)) else {
        return;
    };
    let mut headers = HeaderMap::new();
    headers.insert("last-event-id", id);
    match requests::watch(&uri, &headers) {
        Err(error) => promises::refusal(&error, data.len()),
        Ok(request) => {
            if let Some(from) = &request.from {
                let word = cut_text::encode(from);
                let again = cut_text::decode(&word).expect("what is written as a cursor is read");
                assert_eq!(cut_text::encode(&again), word, "a cursor has one form");
            }
        }
    }
}
