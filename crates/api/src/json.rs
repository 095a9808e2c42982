//! The contract as JSON: the canonical form of protobuf, by descriptors, so that there is no second set of types.
//!
//! Out: lowerCamelCase, 64-bit numbers as text, what has its default left out. In: names of the contract or lowerCamelCase, and
//! nothing that the contract does not know. It never guesses what a misspelled name meant; it says which names there are.

use std::sync::LazyLock;

use bytes::Bytes;
use prost::Message;
use prost_reflect::{
    DescriptorPool, DeserializeOptions, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor,
};
use serde_json::{Map, Value};
use thiserror::Error;

use crate::error::ApiError;

/// Why JSON, or a query, is not the message that it should be.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{}{what}", self.place())]
pub struct JsonError {
    /// Stable: `BAD_JSON`, `BAD_VALUE`, `UNKNOWN_FIELD`, `UNKNOWN_PARAMETER`, `UNKNOWN_MESSAGE`, `BAD_MESSAGE`.
    pub code: &'static str,
    /// The field, in the names of the contract. Empty: the whole.
    pub field: String,
    /// Line and column, both from 1, where the text is not JSON at all.
    pub position: Option<(usize, usize)>,
    /// What is wrong, and what to do about it.
    pub what: String,
}

/// Most characters of a pointer.
const MOST_PLACE: usize = 200;
/// Most characters of what is wrong.
const MOST_WORDS: usize = 800;

fn cut(mut text: String, most: usize) -> String {
    if let Some((end, _)) = text.char_indices().nth(most) {
        text.truncate(end);
        text.push('…');
    }
    text
}

impl JsonError {
    /// What was sent is quoted in both, so both are cut: an answer is not as long as the body that it refuses.
    fn new(code: &'static str, field: impl Into<String>, what: impl Into<String>) -> Self {
        Self {
            code,
            field: cut(field.into(), MOST_PLACE),
            position: None,
            what: cut(what.into(), MOST_WORDS),
        }
    }

    fn place(&self) -> String {
        match self.position {
            Some((line, column)) => format!("line {line}, column {column}: "),
            None if self.field.is_empty() => String::new(),
            None => format!("{}: ", self.field),
        }
    }
}

impl From<JsonError> for ApiError {
    fn from(error: JsonError) -> Self {
        match error.code {
            // Only our own mistakes ask for a message that the contract does not have, or hold bytes that are none.
            "UNKNOWN_MESSAGE" | "BAD_MESSAGE" => Self::internal(),
            code => {
                // Every fault has a place: where none is named it is the whole body.
                let place = match error.position {
                    Some((line, column)) => format!("line {line}, column {column}"),
                    None if error.field.is_empty() => "body".to_owned(),
                    None => error.field,
                };
                Self::invalid_field(code, place, error.what)
            }
        }
    }
}

static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
    DescriptorPool::decode(crate::DESCRIPTORS)
        .expect("the build made the descriptors out of a contract that compiles")
});

/// The descriptors of the whole contract, with its comments.
#[must_use]
pub fn pool() -> &'static DescriptorPool {
    &POOL
}

/// A message, given by its full name (`qipp.intake.v1.SubmitReturnRequest`) and its bytes, as JSON.
///
/// # Errors
/// `UNKNOWN_MESSAGE` and `BAD_MESSAGE`, when the name or the bytes are wrong.
pub fn to_json(message: &str, bytes: &[u8]) -> Result<Value, JsonError> {
    let read = DynamicMessage::decode(descriptor(message)?, bytes);
    let read = read.map_err(|error| JsonError::new("BAD_MESSAGE", "", error.to_string()))?;
    serde_json::to_value(&read)
        .map_err(|error| JsonError::new("BAD_MESSAGE", "", error.to_string()))
}

/// JSON as the bytes of a message.
///
/// # Errors
/// `BAD_VALUE` and `UNKNOWN_FIELD` with the field; `UNKNOWN_MESSAGE`.
#[allow(
    clippy::needless_pass_by_value,
    reason = "the value is of no more use, and a copy of a large return is avoided"
)]
pub fn from_json(message: &str, value: Value) -> Result<Bytes, JsonError> {
    let descriptor = descriptor(message)?;
    match read(&descriptor, &value) {
        Ok(message) => Ok(message.encode_to_vec().into()),
        Err(what) => Err(locate(&descriptor, &value, "")
            .unwrap_or_else(|| JsonError::new("BAD_VALUE", "", what))),
    }
}

/// The text of a request as the bytes of a message. Empty text is the empty message.
///
/// # Errors
/// `BAD_JSON` with line and column, and those of [`from_json`].
pub fn from_json_text(message: &str, text: &[u8]) -> Result<Bytes, JsonError> {
    if text.trim_ascii().is_empty() {
        return from_json(message, Value::Object(Map::new()));
    }
    from_json(
        message,
        serde_json::from_slice(text).map_err(|error| not_json(&error))?,
    )
}

/// Why a text is not JSON, and where. The library appends the place to its words; here it has a field of its own.
fn not_json(error: &serde_json::Error) -> JsonError {
    let position = (error.line(), error.column());
    let told = error.to_string();
    let place = format!(" at line {} column {}", position.0, position.1);
    let why = told.strip_suffix(&place).unwrap_or(&told);
    JsonError {
        position: Some(position),
        ..JsonError::new(
            "BAD_JSON",
            "",
            format!("this is not JSON ({why}): send one whole JSON object as UTF-8"),
        )
    }
}

/// Query parameters as the JSON of a message: `read.known_at.time=…`, `orgCode=…`. A repeated field is a repeated parameter; a message
/// may also be given whole, as JSON (`read.min_cut={"next":[…]}`).
///
/// # Errors
/// `UNKNOWN_PARAMETER`, which names those that there are, and `BAD_VALUE`.
pub fn query_to_json(message: &str, parameters: &[(String, String)]) -> Result<Value, JsonError> {
    let descriptor = descriptor(message)?;
    let mut root = Map::new();
    for (name, text) in parameters {
        set_parameter(&descriptor, &mut root, name, text)?;
    }
    Ok(Value::Object(root))
}

fn descriptor(message: &str) -> Result<MessageDescriptor, JsonError> {
    let unknown = || {
        JsonError::new(
            "UNKNOWN_MESSAGE",
            "",
            format!("the contract has no message {message}"),
        )
    };
    POOL.get_message_by_name(message).ok_or_else(unknown)
}

fn read(descriptor: &MessageDescriptor, value: &Value) -> Result<DynamicMessage, String> {
    let options = DeserializeOptions::new().deny_unknown_fields(true);
    DynamicMessage::deserialize_with_options(descriptor.clone(), value, &options)
        .map_err(|error| error.to_string())
}

/// A field by its name in the contract or in JSON.
fn field_of(descriptor: &MessageDescriptor, name: &str) -> Option<FieldDescriptor> {
    descriptor
        .get_field_by_name(name)
        .or_else(|| descriptor.get_field_by_json_name(name))
}

fn known_names(descriptor: &MessageDescriptor) -> String {
    descriptor
        .fields()
        .map(|field| field.name().to_owned())
        .collect::<Vec<_>>()
        .join(", ")
}

/// Finds the field that made a value unreadable, by trying the fields one by one. `None`: each is fine by itself.
fn locate(descriptor: &MessageDescriptor, value: &Value, path: &str) -> Option<JsonError> {
    let Value::Object(object) = value else {
        return Some(JsonError::new(
            "BAD_VALUE",
            path,
            "has to be an object, { … }",
        ));
    };
    let join = |name: &str| {
        if path.is_empty() {
            name.to_owned()
        } else {
            format!("{path}.{name}")
        }
    };
    for (key, value) in object {
        let Some(field) = field_of(descriptor, key) else {
            let what = format!(
                "there is no such field: there are {}",
                known_names(descriptor)
            );
            return Some(JsonError::new("UNKNOWN_FIELD", join(key), what));
        };
        let alone = Value::Object([(key.clone(), value.clone())].into_iter().collect());
        let Err(what) = read(descriptor, &alone) else {
            continue;
        };
        return Some(
            locate_in(&field, value, &join(field.name()))
                .unwrap_or_else(|| JsonError::new("BAD_VALUE", join(field.name()), what)),
        );
    }
    None
}

fn locate_in(field: &FieldDescriptor, value: &Value, path: &str) -> Option<JsonError> {
    let Kind::Message(inner) = field.kind() else {
        return None;
    };
    match value {
        Value::Array(items) if field.is_list() => {
            items
                .iter()
                .enumerate()
                .find_map(|(index, item)| match read(&inner, item) {
                    Ok(_) => None,
                    Err(what) => {
                        let path = format!("{path}[{index}]");
                        Some(
                            locate(&inner, item, &path)
                                .unwrap_or_else(|| JsonError::new("BAD_VALUE", path, what)),
                        )
                    }
                })
        }
        Value::Object(_) if !field.is_list() && !field.is_map() => locate(&inner, value, path),
        _ => None,
    }
}

fn set_parameter(
    descriptor: &MessageDescriptor,
    object: &mut Map<String, Value>,
    name: &str,
    text: &str,
) -> Result<(), JsonError> {
    let (mut descriptor, mut object, mut rest) = (descriptor.clone(), object, name);
    loop {
        let (head, tail) = rest
            .split_once('.')
            .map_or((rest, None), |(head, tail)| (head, Some(tail)));
        let field = field_of(&descriptor, head).ok_or_else(|| {
            let what = format!(
                "there is no such parameter: at this place there are {}",
                known_names(&descriptor)
            );
            JsonError::new("UNKNOWN_PARAMETER", name, what)
        })?;
        let Some(tail) = tail else {
            return set_leaf(&field, object, name, text);
        };
        let Kind::Message(inner) = single(&field) else {
            return Err(JsonError::new(
                "UNKNOWN_PARAMETER",
                name,
                format!("{head} has no fields of its own"),
            ));
        };
        let slot = object
            .entry(field.json_name().to_owned())
            .or_insert_with(|| Value::Object(Map::new()));
        let Value::Object(next) = slot else {
            return Err(given_twice(name));
        };
        (descriptor, object, rest) = (inner, next, tail);
    }
}

/// The kind of a field that is neither a list nor a map; for those a kind that has no fields.
fn single(field: &FieldDescriptor) -> Kind {
    if field.is_list() || field.is_map() {
        Kind::String
    } else {
        field.kind()
    }
}

fn given_twice(name: &str) -> JsonError {
    JsonError::new("BAD_VALUE", name, "is given twice: give it once")
}

fn set_leaf(
    field: &FieldDescriptor,
    object: &mut Map<String, Value>,
    name: &str,
    text: &str,
) -> Result<(), JsonError> {
    let value = leaf(field, name, text)?;
    let key = field.json_name().to_owned();
    if field.is_list() {
        let list = object
            .entry(key)
            .or_insert_with(|| Value::Array(Vec::new()));
        list.as_array_mut()
            .ok_or_else(|| given_twice(name))?
            .push(value);
        return Ok(());
    }
    match object.insert(key, value) {
        None => Ok(()),
        Some(_) => Err(given_twice(name)),
    }
}

fn leaf(field: &FieldDescriptor, name: &str, text: &str) -> Result<Value, JsonError> {
    match field.kind() {
        Kind::Bool => match text {
            "true" | "1" => Ok(Value::Bool(true)),
            "false" | "0" => Ok(Value::Bool(false)),
            _ => Err(JsonError::new(
                "BAD_VALUE",
                name,
                format!("`{text}` is neither true nor false"),
            )),
        },
        Kind::Message(_) => {
            let what = || {
                JsonError::new(
                    "BAD_VALUE",
                    name,
                    format!("is a message: give a field of it, as {name}.…, or all of it as JSON"),
                )
            };
            serde_json::from_str(text)
                .ok()
                .filter(|_| text.starts_with('{'))
                .ok_or_else(what)
        }
        // An enumeration by its number; by its name it stays text.
        Kind::Enum(_) => Ok(text.parse::<i32>().map_or_else(|_| text.into(), Into::into)),
        // Canonical JSON reads numbers from text too.
        _ => Ok(text.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::events::v1 as wire;
    use crate::proto::intake::v1::SubmitReturnRequest;
    use crate::proto::projections::v1::GetSeriesRequest;
    use proptest::prelude::*;
    use serde_json::json;

    const SUBMIT: &str = "qipp.intake.v1.SubmitReturnRequest";
    const SERIES: &str = "qipp.projections.v1.GetSeriesRequest";

    fn query(message: &str, parameters: &[(&str, &str)]) -> Result<Value, JsonError> {
        let owned: Vec<_> = parameters
            .iter()
            .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
            .collect();
        query_to_json(message, &owned)
    }

    #[test]
    fn json_is_the_canonical_form_both_ways() {
        let line = wire::SavingsLine {
            scheme_id: "S-1".into(),
            actual_pence: Some(-5),
            ..Default::default()
        };
        let ret = wire::Return {
            org_code: "RJ1".into(),
            status: wire::ReturnStatus::Final.into(),
            body: Some(wire::r#return::Body::Savings(wire::SavingsReturn {
                lines: vec![line],
            })),
            ..Default::default()
        };
        let request = SubmitReturnRequest {
            r#return: Some(ret),
            validate_only: false,
        };
        let value = to_json(SUBMIT, &request.encode_to_vec()).unwrap();
        let line = json!({"schemeId": "S-1", "actualPence": "-5"});
        let expected = json!({"return": {"orgCode": "RJ1", "status": "RETURN_STATUS_FINAL", "savings": {"lines": [line]}}});
        assert_eq!(value, expected);
        assert_eq!(
            SubmitReturnRequest::decode(from_json(SUBMIT, value).unwrap()).unwrap(),
            request
        );
    }

    #[test]
    fn a_fault_in_json_is_pointed_at() {
        let place = |value: Value| {
            let error = from_json(SUBMIT, value).unwrap_err();
            (error.code, error.field)
        };
        let bad = json!({"return": {"quality": {"observations": [{"marker": "A"}, {"marker": "B", "measured": {"numerator": "x"}}]}}});
        assert_eq!(
            place(bad),
            (
                "BAD_VALUE",
                "return.quality.observations[1].measured.numerator".to_owned()
            )
        );
        assert_eq!(
            place(json!({"return": {"org": "RJ1"}})),
            ("UNKNOWN_FIELD", "return.org".to_owned())
        );
        assert_eq!(
            place(json!({"return": {"status": "DRAFT"}})),
            ("BAD_VALUE", "return.status".to_owned())
        );
        assert_eq!(place(json!({"return": 5})).1, "return");
        assert_eq!(place(json!([])).0, "BAD_VALUE");
        let both = json!({"return": {"quality": {}, "savings": {}}});
        assert_eq!(place(both), ("BAD_VALUE", "return".to_owned()));
        let error = from_json_text(SUBMIT, b"{\n  \"return\": }").unwrap_err();
        assert_eq!(error.position.map(|(line, _)| line), Some(2));
    }

    #[test]
    fn flat_parameters_become_a_message() {
        let value = query(
            SERIES,
            &[
                ("orgCode", "RJ1"),
                ("marker", "AE_4H"),
                ("read.known_at.time", "2012-03-15T09:00:00Z"),
                ("structure", "2"),
            ],
        )
        .unwrap();
        let request = GetSeriesRequest::decode(from_json(SERIES, value).unwrap()).unwrap();
        assert_eq!((request.org_code.as_str(), request.structure), ("RJ1", 2));
        let time = wire::known_at::Moment::Time("2012-03-15T09:00:00Z".into());
        assert_eq!(request.read.unwrap().known_at.unwrap().moment, Some(time));
    }

    #[test]
    fn a_cut_may_be_given_as_json_and_numbers_and_flags_as_text() {
        let cut = r#"{"next":[{"topic":"qipp.returns.v1","partition":1,"offset":"7"}]}"#;
        let value = query(
            SERIES,
            &[("read.min_cut", cut), ("read.knownAt.cut.next", "{}")],
        )
        .unwrap();
        assert!(from_json(SERIES, value).is_ok());
        let value = query(
            "qipp.alerts.v1.ListAlertsRequest",
            &[("page_size", "7"), ("filter.open_only", "true")],
        )
        .unwrap();
        assert!(from_json("qipp.alerts.v1.ListAlertsRequest", value).is_ok());
    }

    #[test]
    fn a_parameter_that_is_not_known_is_told_with_those_that_are() {
        let error = query(SERIES, &[("org", "RJ1")]).unwrap_err();
        assert_eq!(
            (error.code, error.field.as_str()),
            ("UNKNOWN_PARAMETER", "org")
        );
        assert!(
            error.what.contains("org_code, marker, breakdown"),
            "{}",
            error.what
        );
        assert_eq!(
            query(SERIES, &[("read.at.time", "x")]).unwrap_err().field,
            "read.at.time"
        );
        assert_eq!(
            query(SERIES, &[("marker.x", "x")]).unwrap_err().code,
            "UNKNOWN_PARAMETER"
        );
        assert_eq!(
            query(SERIES, &[("marker", "A"), ("marker", "B")])
                .unwrap_err()
                .code,
            "BAD_VALUE"
        );
        assert_eq!(
            query(SERIES, &[("read", "x")]).unwrap_err().code,
            "BAD_VALUE"
        );
    }

    #[test]
    fn our_own_mistakes_are_not_told_as_the_callers() {
        let error = ApiError::from(to_json("qipp.Nothing", b"").unwrap_err());
        assert_eq!(error.code, crate::error::Code::Internal);
    }

    proptest! {
        #[test]
        fn no_query_and_no_text_panics(name in "[a-z_.]{0,12}|read|read\\.known_at|marker", text in ".{0,12}") {
            let read = query(SERIES, &[(&name, &text), (&name, &text)]);
            let _ = read.and_then(|value| from_json(SERIES, value));
            let _ = from_json_text(SERIES, text.as_bytes());
        }
    }
}
