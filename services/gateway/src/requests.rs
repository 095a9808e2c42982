//! What an HTTP request asks for, read without a network: the handlers and the fuzz targets use the same functions.
//!
//! Never sends anything and never looks at who asks.

use http::{HeaderMap, Uri};
use prost::Message as _;
use prost_reflect::{DynamicMessage, MessageDescriptor, Value};
use qipp_api::error::ApiError;
use qipp_api::json;
use qipp_api::proto::alerts::v1::WatchAlertsRequest;

use crate::answer::Failure;
use crate::transcode;
use crate::unary::query_of;

/// The request of an rpc, as path, query and body state it together.
pub(crate) fn message(
    input: MessageDescriptor,
    path: &[(&str, &str)],
    uri: &Uri,
    body: &[u8],
) -> Result<DynamicMessage, Failure> {
    let query = query_of(uri)?;
    let query = query
        .iter()
        .map(|(name, text)| (name.as_str(), text.as_str()));
    let (mut message, faulty) = match transcode::from_json(input.clone(), body) {
        Ok(message) => (message, None),
        // A body that can't be read hides no fault of the address.
        Err(failure) => (DynamicMessage::new(input), Some(failure)),
    };
    let set = transcode::set_parameters(&mut message, path.iter().copied().chain(query));
    match (faulty, set) {
        (None, Ok(())) => Ok(message),
        (None, Err(failure)) | (Some(failure), Ok(())) => Err(failure),
        (Some(body), Err(_)) if body.error.problems.is_empty() => Err(body),
        (Some(body), Err(parameters)) => {
            let problems = [body.error.problems, parameters.error.problems];
            Err(ApiError::invalid(problems.concat()).into())
        }
    }
}

/// A dry run of what can be read of a request that was refused for its form; `None` where there is no dry run, or nothing can be read.
pub(crate) fn dry_run(
    input: MessageDescriptor,
    path: &[(&str, &str)],
    uri: &Uri,
    body: &[u8],
) -> Option<DynamicMessage> {
    let validate_only = input.get_field_by_name("validate_only")?;
    let bytes = json::readable_part(input.full_name(), body)?;
    let mut message = DynamicMessage::decode(input, bytes).ok()?;
    let query = query_of(uri).ok()?;
    let query = query
        .iter()
        .map(|(name, text)| (name.as_str(), text.as_str()));
    // Parameters with a fault stay out, as fields do.
    let _ = transcode::set_parameters(&mut message, path.iter().copied().chain(query));
    message.set_field(&validate_only, Value::Bool(true));
    Some(message)
}

/// The bytes of a request message: `rpc` is its full name (`package.Service/Method`), `path` holds the fields that the address names.
///
/// # Errors
/// What the caller is told.
pub fn request(
    rpc: &str,
    path: &[(&str, &str)],
    uri: &Uri,
    body: &[u8],
) -> Result<Vec<u8>, ApiError> {
    let rpc = transcode::rpc(rpc).ok_or_else(|| ApiError::not_found("rpc", rpc))?;
    message(rpc.input(), path, uri, body)
        .map(|message| message.encode_to_vec())
        .map_err(|failure| failure.error)
}

/// The JSON of a message that is given by its full name and its bytes, as answers are written.
///
/// # Errors
/// INTERNAL when the bytes are not of that message.
pub fn answer(message: &str, bytes: &[u8]) -> Result<Vec<u8>, ApiError> {
    let descriptor = qipp_api::json::pool()
        .get_message_by_name(message)
        .ok_or_else(|| ApiError::not_found("message", message))?;
    transcode::to_json(descriptor, bytes.to_vec().into()).map_err(|failure| failure.error)
}

/// What a watcher asks for: where to go on, from the header `last-event-id` or the query, and the filter.
///
/// # Errors
/// What the caller is told.
pub fn watch(uri: &Uri, headers: &HeaderMap) -> Result<WatchAlertsRequest, ApiError> {
    crate::watch::request_of(uri, headers).map_err(|failure| failure.error)
}
