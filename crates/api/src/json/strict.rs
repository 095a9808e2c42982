//! JSON text as a value, and every name that an object of it states twice.
//!
//! Readers of JSON differ in which of the two they take, so it is never clear what was meant: `{"validateOnly": true, "validateOnly": false}`.

use std::cell::RefCell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::parse::Path;

/// Most places that are listed.
const MOST: usize = 50;

/// Names that are stated twice, in the names of the contract.
#[derive(Default)]
pub(super) struct Twice {
    /// Where they are.
    pub(super) places: Vec<String>,
    /// How many more there are.
    pub(super) more: usize,
}

/// The value of a text. Of a name that is stated twice the last one is there.
pub(super) fn parse(text: &[u8]) -> Result<(Value, Twice), serde_json::Error> {
    let twice = RefCell::default();
    let root = Strict {
        path: Path::root(""),
        twice: &twice,
    };
    let mut reader = serde_json::Deserializer::from_slice(text);
    let value = root.deserialize(&mut reader)?;
    reader.end()?;
    Ok((value, twice.into_inner()))
}

#[derive(Clone, Copy)]
struct Strict<'a> {
    path: Path<'a>,
    twice: &'a RefCell<Twice>,
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        let of = |index| Strict {
            path: self.path.nth(index),
            ..self
        };
        while let Some(item) = items.next_element_seed(of(list.len()))? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = entries.next_key::<String>()? {
            let path = self.path.at(&name);
            let value = entries.next_value_seed(Strict {
                path,
                twice: self.twice,
            })?;
            if object.contains_key(&name) {
                self.note(path);
            }
            object.insert(name, value);
        }
        Ok(Value::Object(object))
    }
}

impl Strict<'_> {
    fn note(self, path: Path<'_>) {
        let mut twice = self.twice.borrow_mut();
        if twice.places.len() == MOST {
            twice.more += 1;
        } else {
            twice.places.push(snake_case(&path.to_string()));
        }
    }
}

/// `orgCode` is `org_code` in the contract.
fn snake_case(name: &str) -> String {
    let mut snake = String::with_capacity(name.len() + 4);
    for c in name.chars() {
        if c.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(c.to_ascii_lowercase());
    }
    snake
}
