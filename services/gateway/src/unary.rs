//! One call: path, query and body to a request message, the answer to JSON.
//!
//! Never interprets either of them.

use axum::body::Body;
use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{Query, RawPathParams, Request};
use axum::response::Response;
use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use prost::Message as _;
use prost_reflect::MessageDescriptor;
use qipp_api::error::{ApiError, Code, FormFaults, Problem};
use qipp_api::json::MORE_FAULTS;
use tonic::Status;

use crate::answer::{Failure, json_response};
use crate::context::{grpc_request, request_id, timeout};
use crate::routes::{Route, Verb};
use crate::{Gateway, requests, transcode};

/// Where returns and schemes go.
const INTAKE: &str = "/qipp.intake.v1.IntakeService/";

/// A route with its descriptors.
pub(crate) struct Call {
    verb: Verb,
    path: PathAndQuery,
    input: MessageDescriptor,
    output: MessageDescriptor,
}

impl Call {
    pub(crate) fn of(route: &Route) -> Self {
        let rpc =
            transcode::rpc(route.rpc).expect("a test holds the route table against the contract");
        let path = format!("/{}", route.rpc)
            .parse()
            .expect("names of rpcs are fit for a path");
        Self {
            verb: route.verb,
            path,
            input: rpc.input(),
            output: rpc.output(),
        }
    }

    /// Faults of a return or a scheme that its service never sees are counted as those that it does.
    fn count(&self, failure: Failure) -> Failure {
        if !self.path.path().starts_with(INTAKE) {
            return failure;
        }
        let problems = failure.error.problems.iter();
        let codes = problems
            .map(|p| p.code.clone())
            .filter(|code| code != MORE_FAULTS);
        let counted = FormFaults(codes.collect());
        failure.counting(counted)
    }
}

/// Answers a request.
pub(crate) async fn answer(
    gateway: &Gateway,
    call: &Call,
    params: Result<RawPathParams, RawPathParamsRejection>,
    request: Request,
) -> Response {
    let id = request_id(request.headers()).to_owned();
    let params = params.map_err(|_| {
        let what = "the address holds bytes that are not UTF-8 (such as %ff): write it in UTF-8 and escape that";
        Failure::from(ApiError::invalid_field("BAD_PATH", "path", what))
    });
    let answer = match &params {
        Ok(params) => try_answer(gateway, call, params, request).await,
        Err(failure) => Err(failure.clone()),
    };
    match answer {
        Ok(json) => json_response(StatusCode::OK, json),
        Err(failure) => failure.into_response(&id),
    }
}

async fn try_answer(
    gateway: &Gateway,
    call: &Call,
    params: &RawPathParams,
    request: Request,
) -> Result<Vec<u8>, Failure> {
    let (parts, body) = request.into_parts();
    let timeout = timeout(
        &parts.headers,
        &gateway.config,
        gateway.config.default_timeout,
    )?;
    let body = match call.verb {
        Verb::Get => Bytes::new(),
        Verb::Post => {
            expect_content_type(&parts.headers, "json")?;
            read_body(&parts.headers, body, gateway.config.max_body_bytes).await?
        }
    };
    let params: Vec<_> = params.iter().collect();
    let message = match requests::message(call.input.clone(), &params, &parts.uri, &body) {
        Ok(message) => message,
        Err(failure) => {
            let message = requests::dry_run(call.input.clone(), &params, &parts.uri, &body);
            let failure = call.count(failure);
            return Err(match message {
                Some(message) if is_all_told(&failure) => {
                    let mut request =
                        grpc_request(&parts.headers, Bytes::from(message.encode_to_vec()));
                    request.set_timeout(timeout);
                    let checked = gateway.backend.unary(call.path.clone(), request, timeout);
                    with_meaning(failure, checked.await.err().as_ref())
                }
                _ => failure,
            });
        }
    };

    let mut request = grpc_request(&parts.headers, Bytes::from(message.encode_to_vec()));
    request.set_timeout(timeout);
    let bytes = gateway
        .backend
        .unary(call.path.clone(), request, timeout)
        .await?;
    transcode::to_json(call.output.clone(), bytes)
}

/// Are all faults of form listed? While some are not, there is no room for those of meaning.
fn is_all_told(failure: &Failure) -> bool {
    let problems = &failure.error.problems;
    !problems.is_empty() && problems.iter().all(|p| p.code != MORE_FAULTS)
}

/// Faults of form, and after them what validation found in the part that could be read. What it says of a place that could not be read, or
/// of what holds that place, may come from the hole and is left out.
fn with_meaning(mut failure: Failure, checked: Option<&Status>) -> Failure {
    let Some(status) = checked.filter(|status| status.code() == tonic::Code::InvalidArgument)
    else {
        return failure;
    };
    let holes: Vec<String> = failure
        .error
        .problems
        .iter()
        .filter(|p| p.code != "UNKNOWN_FIELD")
        .map(|p| p.field.clone())
        .collect();
    let is_whole = |p: &Problem| !holes.iter().any(|hole| overlap(hole, &p.field));
    let found: Vec<Problem> = ApiError::from_status(status)
        .problems
        .into_iter()
        .filter(is_whole)
        .collect();
    if found.is_empty() {
        return failure;
    }
    let problems = failure.error.problems.iter().cloned().chain(found);
    let error = ApiError::invalid(problems.collect::<Vec<_>>());
    failure.error = error;
    failure
}

/// Is one place the other, or within it?
fn overlap(one: &str, other: &str) -> bool {
    let within = |outer: &str, inner: &str| {
        let rest = inner.strip_prefix(outer);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    };
    within(one, other) || within(other, one)
}

/// The query, name by name.
pub(crate) fn query_of(uri: &Uri) -> Result<Vec<(String, String)>, Failure> {
    let query = Query::<Vec<(String, String)>>::try_from_uri(uri);
    query
        .map(|Query(pairs)| pairs)
        .map_err(|error| Failure::invalid("BAD_QUERY", error.to_string()))
}

/// A body of another kind than it says would be read wrongly; one that says nothing is taken for what it should be.
pub(crate) fn expect_content_type(headers: &HeaderMap, kind: &str) -> Result<(), Failure> {
    let Some(given) = headers.get(header::CONTENT_TYPE) else {
        return Ok(());
    };
    let given = given.to_str().unwrap_or_default().to_ascii_lowercase();
    let essence = given.split(';').next().unwrap_or_default().trim();
    if essence.rsplit(['/', '+']).next() == Some(kind) {
        return Ok(());
    }
    let message = format!("the body is said to be `{essence}`: this address takes {kind}");
    Err(Failure::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Code::InvalidArgument,
        "UNSUPPORTED_MEDIA_TYPE",
        message,
    ))
}

/// The body, up to a limit.
pub(crate) async fn read_body(
    headers: &HeaderMap,
    body: Body,
    limit: usize,
) -> Result<Bytes, Failure> {
    let too_large = || {
        let message = format!("the body is larger than {limit} bytes: send it in parts");
        Failure::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            Code::ResourceExhausted,
            "BODY_TOO_LARGE",
            message,
        )
    };
    let stated = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if stated.is_some_and(|length| length > limit) {
        return Err(too_large());
    }
    match Limited::new(body, limit).collect().await {
        Ok(whole) => Ok(whole.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(too_large()),
        Err(error) => Err(Failure::invalid(
            "BODY_BROKEN",
            format!("the body did not arrive whole: {error}"),
        )),
    }
}
