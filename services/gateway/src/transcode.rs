//! Between JSON, queries and the bytes of a message, by the descriptors of the contract.
//!
//! Canonical JSON of protobuf: names in lower camel case (the names of `proto/` are read too), 64-bit integers as strings, enumerations by
//! name. Fields that stand at their default are written: a numerator of 0 that was left out could be taken for a missing figure, and missing
//! is never zero. Never knows what a field means, except two: `min_cut` has a short form (see [`crate::cut_text`]) and `known_at` is mostly a time.

use bytes::Bytes;
use prost::Message as _;
use prost_reflect::{
    DynamicMessage, EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor,
    ReflectMessage as _, SerializeOptions, Value,
};

use qipp_api::error::{ApiError, Problem};
use qipp_api::json;

use crate::answer::Failure;
use crate::cut_text;

const CUT: &str = "qipp.events.v1.Cut";
/// Deeper than any message of the contract.
const MAX_DEPTH: usize = 8;

/// Deeper than any field that a query names.
pub(crate) const MAX_NAMED: usize = 4;

/// The rpc of a full name, `package.Service/Method`.
pub(crate) fn rpc(full_name: &str) -> Option<MethodDescriptor> {
    let (service, method) = full_name.split_once('/')?;
    let service = json::pool().get_service_by_name(service)?;
    service.methods().find(|known| known.name() == method)
}

/// The JSON of a message given as bytes.
pub(crate) fn to_json(descriptor: MessageDescriptor, bytes: Bytes) -> Result<Vec<u8>, Failure> {
    let message = DynamicMessage::decode(descriptor, bytes).map_err(|error| unreadable(&error))?;
    let options = SerializeOptions::new()
        .skip_default_fields(false)
        .stringify_64_bit_integers(true);
    let mut json = Vec::new();
    let mut serializer = serde_json::Serializer::new(&mut json);
    message
        .serialize_with_options(&mut serializer, &options)
        .map_err(|error| unreadable(&error))?;
    Ok(json)
}

fn unreadable(error: &dyn std::error::Error) -> Failure {
    tracing::error!(%error, "an answer does not fit the contract");
    ApiError::internal().into()
}

/// The message that a JSON text states. An empty text is an empty message.
pub(crate) fn from_json(
    descriptor: MessageDescriptor,
    json: &[u8],
) -> Result<DynamicMessage, Failure> {
    let bytes = json::from_json_text(descriptor.full_name(), json).map_err(ApiError::from)?;
    DynamicMessage::decode(descriptor, bytes).map_err(|error| unreadable(&error))
}

/// Sets fields of a message from the parameters of path and query. All faults at once.
pub(crate) fn set_parameters<'a>(
    message: &mut DynamicMessage,
    parameters: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<(), Failure> {
    let faults: Vec<Problem> = parameters
        .into_iter()
        .filter_map(|(name, text)| set_parameter(message, name, text).err())
        .collect();
    if faults.is_empty() {
        return Ok(());
    }
    Err(ApiError {
        reason: "INVALID_PARAMETERS".into(),
        ..ApiError::invalid(faults)
    }
    .into())
}

fn set_parameter(message: &mut DynamicMessage, name: &str, text: &str) -> Result<(), Problem> {
    let fault = |(code, description): Fault| Problem {
        field: if name.is_empty() { "query" } else { name }.to_owned(),
        code: code.into(),
        description,
    };
    let path = resolve(&message.descriptor(), name).map_err(fault)?;
    let (last, above) = path
        .split_last()
        .expect("a resolved name has at least one field");
    let value = parse(last, text).map_err(fault)?;
    let mut holder = message;
    for field in above {
        holder = match holder.get_field_mut(field) {
            Value::Message(inner) => inner,
            _ => {
                return Err(fault((
                    "UNKNOWN_PARAMETER",
                    format!("`{name}` does not name a field"),
                )));
            }
        };
    }
    if last.is_list() {
        if let Value::List(held) = holder.get_field_mut(last) {
            held.push(value);
        }
        return Ok(());
    }
    if holder.has_field(last) && *holder.get_field(last) != value {
        return Err(fault((
            "STATED_TWICE",
            "it is stated twice with different values: leave one away".to_owned(),
        )));
    }
    holder.set_field(last, value);
    Ok(())
}

type Fault = (&'static str, String);

/// The fields that a name leads through. Short names of what every read takes come last, so that they never hide a field.
fn resolve(message: &MessageDescriptor, name: &str) -> Result<Vec<FieldDescriptor>, Fault> {
    let alias = match name {
        "known_at" | "knownAt" => Some("read.known_at.time"),
        "min_cut" | "minCut" => Some("read.min_cut"),
        _ => None,
    };
    walk(message, name)
        .or_else(|| walk(message, &format!("filter.{name}")))
        .or_else(|| alias.and_then(|long| walk(message, long)))
        .ok_or_else(|| {
            (
                "UNKNOWN_PARAMETER",
                format!("there is no such parameter: {}", known_parameters(message)),
            )
        })
}

fn known_parameters(message: &MessageDescriptor) -> String {
    let mut names = Vec::new();
    add_names(message, "", &mut names);
    format!("known are {}", names.join(", "))
}

/// The parameters that can be written, by the names under which the OpenAPI document has them.
pub(crate) fn add_names(message: &MessageDescriptor, prefix: &str, names: &mut Vec<String>) {
    if prefix.split('.').count() > MAX_NAMED {
        return;
    }
    for field in message.fields() {
        let name = format!("{prefix}{}", field.name());
        match field.kind() {
            Kind::Message(_) if field.name() == "read" => {
                names.extend(["known_at", "min_cut"].map(str::to_owned));
            }
            Kind::Message(inner) if field.name() == "filter" => add_names(&inner, "", names),
            Kind::Message(inner) if inner.full_name() == CUT => names.push(name),
            Kind::Message(_) if field.is_list() || field.is_map() => {}
            Kind::Message(inner) => add_names(&inner, &format!("{name}."), names),
            _ => names.push(name),
        }
    }
}

fn walk(message: &MessageDescriptor, dotted: &str) -> Option<Vec<FieldDescriptor>> {
    let mut path: Vec<FieldDescriptor> = Vec::new();
    let mut current = Some(message.clone());
    for part in dotted.split('.').take(MAX_DEPTH + 1) {
        let holder = current.take()?;
        let field = holder
            .get_field_by_name(part)
            .or_else(|| holder.get_field_by_json_name(part))?;
        if !field.is_list() && !field.is_map() {
            current = field.kind().as_message().cloned();
        }
        path.push(field);
    }
    (path.len() <= MAX_DEPTH).then_some(path)
}

fn parse(field: &FieldDescriptor, text: &str) -> Result<Value, Fault> {
    let wrong = |what: &str| ("BAD_PARAMETER", format!("it has to be {what}"));
    match field.kind() {
        _ if field.is_map() => Err(wrong("in a JSON body: it is a map")),
        Kind::String => Ok(Value::String(text.to_owned())),
        Kind::Bool => text
            .parse()
            .map(Value::Bool)
            .map_err(|_| wrong("true or false")),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => text
            .parse()
            .map(Value::I32)
            .map_err(|_| wrong("a whole number of 32 bits")),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => text
            .parse()
            .map(Value::I64)
            .map_err(|_| wrong("a whole number of 64 bits")),
        Kind::Uint32 | Kind::Fixed32 => text
            .parse()
            .map(Value::U32)
            .map_err(|_| wrong("a whole number from 0, of 32 bits")),
        Kind::Uint64 | Kind::Fixed64 => text
            .parse()
            .map(Value::U64)
            .map_err(|_| wrong("a whole number from 0, of 64 bits")),
        Kind::Double => text.parse().map(Value::F64).map_err(|_| wrong("a number")),
        Kind::Float => text.parse().map(Value::F32).map_err(|_| wrong("a number")),
        Kind::Enum(names) => enum_value(&names, text)
            .map(Value::EnumNumber)
            .ok_or_else(|| wrong(&choices(&names))),
        Kind::Message(message) if message.full_name() == CUT => cut_value(message, text),
        Kind::Message(_) => Err(wrong("a field of it, after a dot: it is a message")),
        Kind::Bytes => Err(wrong("in a JSON body: it is binary")),
    }
}

fn cut_value(descriptor: MessageDescriptor, text: &str) -> Result<Value, Fault> {
    let wrong = || {
        (
            "BAD_CUT",
            "it has to be a cut such as returns.0-15.1-9~alerts.0-7, or the JSON of one, or the id of an event"
                .to_owned(),
        )
    };
    // The word, or the JSON that receipts hold.
    let cut = cut_text::decode(text)
        .or_else(|| cut_text::from_json(text))
        .ok_or_else(wrong)?;
    let message =
        DynamicMessage::decode(descriptor, cut.encode_to_vec().as_slice()).map_err(|_| wrong())?;
    Ok(Value::Message(message))
}

/// By full name (`DATASET_QUALITY`) or without what all its names start with, in any case (`quality`).
fn enum_value(names: &EnumDescriptor, text: &str) -> Option<i32> {
    let upper = text.to_ascii_uppercase();
    let long = format!("{}{upper}", prefix(names));
    names
        .get_value_by_name(&upper)
        .or_else(|| names.get_value_by_name(&long))
        .map(|value| value.number())
}

/// What all names of an enumeration start with: the zero value is PREFIX_UNSPECIFIED throughout the contract.
fn prefix(names: &EnumDescriptor) -> String {
    let zero = names.default_value();
    zero.name()
        .strip_suffix("UNSPECIFIED")
        .unwrap_or_default()
        .to_owned()
}

pub(crate) fn choices(names: &EnumDescriptor) -> String {
    let prefix = prefix(names);
    let short = |name: &str| {
        name.strip_prefix(&prefix)
            .unwrap_or(name)
            .to_ascii_lowercase()
    };
    let all: Vec<String> = names
        .values()
        .filter(|value| value.number() != 0)
        .map(|value| short(value.name()))
        .collect();
    format!("one of {}", all.join(", "))
}
