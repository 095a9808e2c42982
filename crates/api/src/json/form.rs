//! What is wrong with a JSON value that is not the message it should be: every fault, with its place and in words for people.
//!
//! The library says only that it could not read a value, for the first reason that it met and in terms of Rust. So the value is walked
//! along the descriptors once more, and only when it was refused. Agreement with the library is tested value by value.

use prost_reflect::{EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value};

use super::{JsonError, JsonFaults, field_of, known_names};
use crate::parse::Path;

/// Most bytes of the faults that are listed: an answer that nobody reads to its end helps nobody.
const ROOM: usize = 12_000;
/// What a fault takes besides its text.
const FRAME: usize = 60;
/// Most characters of a value that are shown.
const MOST_SHOWN: usize = 40;

/// All faults of a value. `None`: none was found.
pub(super) fn faults(descriptor: &MessageDescriptor, value: &Value) -> Option<JsonFaults> {
    let mut found = Found {
        faults: Vec::new(),
        room: ROOM,
        more: 0,
    };
    found.message(descriptor, value, &Path::root(""));
    (!found.faults.is_empty()).then_some(JsonFaults {
        faults: found.faults,
        more: found.more,
    })
}

/// Takes away what has a fault, so that the rest can be read. What stays keeps its place: of a list of plain values with a fault nothing
/// stays, because the later ones would move up.
pub(super) fn prune(descriptor: &MessageDescriptor, value: &mut Value) {
    let Value::Object(object) = value else {
        *value = Value::Object(Map::new());
        return;
    };
    for field in descriptor.fields() {
        if field.name() != field.json_name() && object.contains_key(field.name()) {
            object.remove(field.json_name());
        }
    }
    for choice in descriptor.oneofs() {
        let names =
            |field: FieldDescriptor| [field.name().to_owned(), field.json_name().to_owned()];
        let mut stated: Vec<String> = choice.fields().flat_map(names).collect();
        stated.retain(|name| object.get(name).is_some_and(|value| !value.is_null()));
        stated.dedup();
        if stated.len() > 1 {
            object.retain(|name, _| !stated.contains(name));
        }
    }
    object.retain(|name, value| {
        field_of(descriptor, name).is_some_and(|field| prune_field(&field, value))
    });
}

/// Can the field stay?
fn prune_field(field: &FieldDescriptor, value: &mut Value) -> bool {
    match (field.kind(), value) {
        (_, Value::Null) => true,
        (Kind::Message(inner), Value::Array(items)) if field.is_list() => {
            items.iter_mut().for_each(|item| prune(&inner, item));
            true
        }
        (kind, Value::Array(items)) if field.is_list() => {
            items.iter().all(|item| is_of(&kind, item))
        }
        (Kind::Message(entry), Value::Object(entries)) if field.is_map() => {
            let of = entry.map_entry_value_field();
            entries.retain(|_, value| prune_single(&of.kind(), value));
            true
        }
        (_, _) if field.is_list() || field.is_map() => false,
        (kind, value) => prune_single(&kind, value),
    }
}

fn prune_single(kind: &Kind, value: &mut Value) -> bool {
    match kind {
        Kind::Message(inner) => {
            prune(inner, value);
            true
        }
        kind => is_of(kind, value),
    }
}

struct Found {
    faults: Vec<JsonError>,
    room: usize,
    more: usize,
}

impl Found {
    /// The words are made up only as long as there is room for them.
    fn add(&mut self, code: &'static str, path: &Path<'_>, what: impl FnOnce() -> String) {
        if self.more > 0 {
            self.more += 1;
            return;
        }
        let fault = JsonError::new(code, path.to_string(), what());
        let size = fault.field.len() + fault.what.len() + FRAME;
        // The first is told however long it is.
        if size > self.room && !self.faults.is_empty() {
            self.more = 1;
            return;
        }
        self.room = self.room.saturating_sub(size);
        self.faults.push(fault);
    }

    fn bad(&mut self, path: &Path<'_>, what: impl FnOnce() -> String) {
        self.add("BAD_VALUE", path, what);
    }

    fn message(&mut self, descriptor: &MessageDescriptor, value: &Value, path: &Path<'_>) {
        let Value::Object(object) = value else {
            return self.bad(path, || has_to_be("an object, { … }", value));
        };
        self.stated_twice(descriptor, object, path);
        for (key, value) in object {
            match field_of(descriptor, key) {
                Some(field) => self.field(&field, value, path),
                None => self.add("UNKNOWN_FIELD", &path.at(key), || {
                    format!(
                        "there is no such field: there are {}",
                        known_names(descriptor)
                    )
                }),
            }
        }
    }

    /// A field under both of its names, and two fields of which there can be one.
    fn stated_twice(
        &mut self,
        descriptor: &MessageDescriptor,
        object: &Map<String, Value>,
        path: &Path<'_>,
    ) {
        let is_stated = |name: &str| object.get(name).is_some_and(|value| !value.is_null());
        for field in descriptor.fields() {
            let (name, json) = (field.name(), field.json_name());
            if name != json && is_stated(name) && is_stated(json) {
                self.bad(&path.at(name), || {
                    format!("is stated twice, also as {json}: state it once")
                });
            }
        }
        for choice in descriptor.oneofs() {
            let fields: Vec<_> = choice.fields().collect();
            let stated =
                |field: &&FieldDescriptor| is_stated(field.name()) || is_stated(field.json_name());
            let names: Vec<&str> = fields.iter().filter(stated).map(|f| f.name()).collect();
            if names.len() > 1 {
                self.bad(path, || {
                    format!("only one of {} can be stated: choose one", names.join(", "))
                });
            }
        }
    }

    fn field(&mut self, field: &FieldDescriptor, value: &Value, path: &Path<'_>) {
        let (name, kind) = (field.name(), field.kind());
        match value {
            Value::Null => {}
            Value::Array(items) if field.is_list() => {
                for (index, item) in items.iter().enumerate() {
                    self.single(&kind, item, &path.item(name, index));
                }
            }
            _ if field.is_list() => self.bad(&path.at(name), || has_to_be("a list, [ … ]", value)),
            Value::Object(entries) if field.is_map() => {
                let Kind::Message(entry) = kind else { return };
                let of = entry.map_entry_value_field();
                let map = path.at(name);
                for (key, value) in entries {
                    self.single(&of.kind(), value, &map.at(key));
                }
            }
            _ => self.single(&kind, value, &path.at(name)),
        }
    }

    fn single(&mut self, kind: &Kind, value: &Value, path: &Path<'_>) {
        match kind {
            Kind::Message(inner) => self.message(inner, value, path),
            kind if !is_of(kind, value) => self.bad(path, || wrong(kind, value)),
            _ => {}
        }
    }
}

/// Is a value one of that kind? As canonical JSON has it: numbers may come as text too.
fn is_of(kind: &Kind, value: &Value) -> bool {
    match (kind, value) {
        (Kind::Bool, Value::Bool(_)) | (Kind::String, Value::String(_)) => true,
        (Kind::Bytes, Value::String(text)) => is_base64(text),
        (Kind::Enum(names), Value::String(text)) => names.get_value_by_name(text).is_some(),
        (Kind::Enum(_), Value::Number(number)) => {
            let number = number.as_i64();
            number.is_some_and(|number| i32::try_from(number).is_ok())
        }
        (Kind::Double, Value::Number(_)) => true,
        (Kind::Float, Value::Number(number)) => number
            .as_f64()
            .is_some_and(|number| (f64::from(f32::MIN)..=f64::from(f32::MAX)).contains(&number)),
        (Kind::Double | Kind::Float, Value::String(text)) => text.parse::<f64>().is_ok(),
        (kind, Value::Number(number)) => {
            let Some((least, most)) = range(kind) else {
                return false;
            };
            let whole = number
                .as_i64()
                .map(i128::from)
                .or_else(|| number.as_u64().map(i128::from));
            match whole {
                Some(whole) => (least..=most).contains(&whole),
                #[allow(
                    clippy::cast_precision_loss,
                    reason = "the library compares in the same way"
                )]
                None => number.as_f64().is_some_and(|number| {
                    number.fract() == 0.0 && (least as f64..=most as f64).contains(&number)
                }),
            }
        }
        (kind, Value::String(text)) => range(kind).is_some_and(|(least, most)| {
            let number = text.parse::<i128>();
            // An unsigned number takes no sign, not even before a zero.
            let signed = least == 0 && text.starts_with('-');
            !signed && number.is_ok_and(|number| (least..=most).contains(&number))
        }),
        _ => false,
    }
}

/// The whole numbers of a kind.
fn range(kind: &Kind) -> Option<(i128, i128)> {
    match kind {
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => Some((i32::MIN.into(), i32::MAX.into())),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => Some((i64::MIN.into(), i64::MAX.into())),
        Kind::Uint32 | Kind::Fixed32 => Some((0, u32::MAX.into())),
        Kind::Uint64 | Kind::Fixed64 => Some((0, u64::MAX.into())),
        _ => None,
    }
}

/// Either alphabet, with padding or without; a last character that stands alone says nothing.
fn is_base64(text: &str) -> bool {
    let body = text.trim_end_matches('=');
    let padding = text.len() - body.len();
    let letters = |more: [u8; 2]| {
        body.bytes()
            .all(|b| b.is_ascii_alphanumeric() || more.contains(&b))
    };
    // How many of them may be there, by how many characters the last group has.
    let most = [0, 0, 2, 1][body.len() % 4];
    (letters(*b"+/") || letters(*b"-_")) && body.len() % 4 != 1 && padding <= most
}

fn wrong(kind: &Kind, value: &Value) -> String {
    match (kind, value) {
        (Kind::Bool, _) => has_to_be("true or false, without quotation marks", value),
        (Kind::String, _) => has_to_be("text in quotation marks", value),
        (Kind::Bytes, _) => has_to_be("bytes as text in base 64", value),
        (Kind::Enum(names), _) => has_to_be(&format!("one of {}", choices(names)), value),
        (Kind::Double | Kind::Float, Value::String(text)) => format!(
            "`{}` is not a number: write it as 12.5, with a point and without anything else",
            cut(text)
        ),
        (Kind::Double | Kind::Float, _) => has_to_be("a number such as 12.5", value),
        (kind, _) => {
            let (least, most) = range(kind).unwrap_or_default();
            has_to_be(&format!("a whole number from {least} to {most}"), value)
        }
    }
}

fn choices(names: &EnumDescriptor) -> String {
    let stated = names.values().filter(|value| value.number() != 0);
    let names: Vec<String> = stated.map(|value| value.name().to_owned()).collect();
    names.join(", ")
}

fn has_to_be(what: &str, value: &Value) -> String {
    let given = match value {
        Value::Null => "null".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
        Value::String(text) => format!("\"{}\"", cut(text)),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
    };
    format!("has to be {what}, and is {given}")
}

fn cut(text: &str) -> String {
    super::cut(text.to_owned(), MOST_SHOWN)
}
