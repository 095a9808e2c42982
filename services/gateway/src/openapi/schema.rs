//! Messages and enumerations of the contract as JSON schemas, with their comments.
//!
//! Knows the canonical JSON of protobuf and nothing of addresses.

use std::collections::{BTreeSet, HashMap};

use prost_reflect::{
    DescriptorPool, EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor,
};
use serde_json::{Map, Value, json};

/// A reference to a schema of the document.
pub(crate) fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

/// The schemas of some messages and of all that they hold.
pub(crate) fn schemas(
    pool: &DescriptorPool,
    roots: BTreeSet<String>,
    comments: &Comments,
) -> Map<String, Value> {
    let mut done = Map::new();
    let mut open: Vec<String> = roots.into_iter().collect();
    while let Some(name) = open.pop() {
        if done.contains_key(&name) {
            continue;
        }
        if let Some(message) = pool.get_message_by_name(&name) {
            for field in message.fields() {
                open.extend(needs(&field.kind()));
            }
            done.insert(name, message_schema(&message, comments));
        } else if let Some(names) = pool.get_enum_by_name(&name) {
            done.insert(name, enum_schema(&names, comments));
        }
    }
    done
}

fn needs(kind: &Kind) -> Vec<String> {
    match kind {
        // A map is an object of its values, its entries are no messages of their own.
        Kind::Message(entry) if entry.is_map_entry() => {
            needs(&entry.map_entry_value_field().kind())
        }
        Kind::Message(message) => vec![message.full_name().to_owned()],
        Kind::Enum(names) => vec![names.full_name().to_owned()],
        _ => Vec::new(),
    }
}

fn message_schema(message: &MessageDescriptor, comments: &Comments) -> Value {
    let properties: Map<String, Value> = message
        .fields()
        .map(|field| (field.json_name().to_owned(), field_schema(&field, comments)))
        .collect();
    let choices: Vec<String> = message
        .oneofs()
        .filter(|choice| !choice.is_synthetic())
        .map(|choice| {
            let names: Vec<String> = choice
                .fields()
                .map(|field| format!("`{}`", field.json_name()))
                .collect();
            format!("At most one of {}.", names.join(", "))
        })
        .collect();
    let description = format!(
        "{} {}",
        comments.get(message.parent_file().name(), message.path()),
        choices.join(" ")
    );
    described(
        json!({"type": "object", "properties": properties}),
        description.trim(),
    )
}

fn enum_schema(names: &EnumDescriptor, comments: &Comments) -> Value {
    let file = names.parent_file();
    let mut description = comments.get(file.name(), names.path());
    for value in names.values() {
        let comment = comments.get(file.name(), value.path());
        if !comment.is_empty() {
            description.push_str(&format!("\n* `{}`: {comment}", value.name()));
        }
    }
    let all: Vec<String> = names
        .values()
        .map(|value| value.name().to_owned())
        .collect();
    described(json!({"type": "string", "enum": all}), description.trim())
}

fn field_schema(field: &FieldDescriptor, comments: &Comments) -> Value {
    let schema = match field.kind() {
        Kind::Message(entry) if field.is_map() => {
            json!({"type": "object", "additionalProperties": single(&entry.map_entry_value_field().kind())})
        }
        kind if field.is_list() => json!({"type": "array", "items": single(&kind)}),
        kind => single(&kind),
    };
    described(schema, &comments.of_field(field))
}

fn single(kind: &Kind) -> Value {
    match kind {
        Kind::Message(message) => reference(message.full_name()),
        Kind::Enum(names) => reference(names.full_name()),
        kind => scalar(kind),
    }
}

/// The canonical JSON type of a scalar.
pub(crate) fn scalar(kind: &Kind) -> Value {
    match kind {
        Kind::Bool => json!({"type": "boolean"}),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => {
            json!({"type": "integer", "format": "int32"})
        }
        Kind::Uint32 | Kind::Fixed32 => {
            json!({"type": "integer", "minimum": 0, "maximum": u32::MAX})
        }
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => json!({"type": "string", "format": "int64"}),
        Kind::Uint64 | Kind::Fixed64 => json!({"type": "string", "format": "uint64"}),
        Kind::Double | Kind::Float => json!({"type": "number", "format": "double"}),
        Kind::Bytes => json!({"type": "string", "contentEncoding": "base64"}),
        Kind::String | Kind::Message(_) | Kind::Enum(_) => json!({"type": "string"}),
    }
}

fn described(mut schema: Value, description: &str) -> Value {
    if !description.is_empty() {
        schema["description"] = json!(description);
    }
    schema
}

/// The comments of the contract by file and path.
pub(crate) struct Comments(HashMap<(String, Vec<i32>), String>);

impl Comments {
    pub(crate) fn of(pool: &DescriptorPool) -> Self {
        let mut all = HashMap::new();
        for file in pool.file_descriptor_protos() {
            let locations = file.source_code_info.iter().flat_map(|info| &info.location);
            for location in locations {
                let text = [&location.leading_comments, &location.trailing_comments]
                    .into_iter()
                    .flatten()
                    .map(|t| t.trim());
                let text: Vec<&str> = text
                    .flat_map(str::lines)
                    .map(str::trim)
                    .filter(|line| !line.is_empty())
                    .collect();
                if !text.is_empty() {
                    all.insert(
                        (file.name().to_owned(), location.path.clone()),
                        text.join(" "),
                    );
                }
            }
        }
        Self(all)
    }

    pub(crate) fn get(&self, file: &str, path: &[i32]) -> String {
        self.0
            .get(&(file.to_owned(), path.to_vec()))
            .cloned()
            .unwrap_or_default()
    }

    pub(crate) fn of_field(&self, field: &FieldDescriptor) -> String {
        self.get(field.parent_file().name(), field.path())
    }

    pub(crate) fn of_method(&self, method: &MethodDescriptor) -> String {
        self.get(method.parent_service().parent_file().name(), method.path())
    }
}
