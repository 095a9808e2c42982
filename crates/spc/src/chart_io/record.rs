//! One JSON object per line, and what every kind of chart reads from it and writes into it.

use std::fmt;

use serde::de::{self, DeserializeOwned, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};

use super::ChartInputError;
use crate::funnel::FunnelError;
use crate::xmr::{XmrError, check_lengths, excerpt};
use crate::{Date, ParameterError};

/// A JSON object whose fields keep their order and their bytes.
#[derive(Debug)]
pub(super) struct Record {
    fields: Vec<(String, Box<RawValue>)>,
}

impl Record {
    pub(super) fn new(id: &str) -> Self {
        let mut record = Self { fields: Vec::new() };
        record.set("id", id);
        record
    }

    pub(super) fn parse(line: &str) -> Result<Self, ChartInputError> {
        let line = line.trim();
        if line.contains(['\n', '\r']) {
            return Err(ChartInputError::SeveralLines);
        }
        serde_json::from_str(line).map_err(|error| ChartInputError::NotARecord {
            problem: error.to_string(),
        })
    }

    fn get(&self, name: &str) -> Option<&RawValue> {
        let field = self.fields.iter().find(|(key, _)| key == name);
        field.map(|(_, value)| &**value)
    }

    pub(super) fn array(&self, name: &'static str) -> Result<Vec<&RawValue>, ChartInputError> {
        let raw = self
            .get(name)
            .ok_or(ChartInputError::MissingField { name })?;
        serde_json::from_str(raw.get()).map_err(|_| ChartInputError::NotAnArray { name })
    }

    /// The options, of which all that are absent or null are their defaults. The error says what is wrong.
    pub(super) fn options<T: Default + DeserializeOwned>(&self) -> Result<T, String> {
        Ok(self.optional("options")?.unwrap_or_default())
    }

    /// The one of `all` that the field names, or `unnamed` where the field is absent or null. The error says what is wrong.
    pub(super) fn named<T: Copy>(
        &self,
        field: &str,
        all: &[T],
        name: fn(T) -> &'static str,
        unnamed: T,
    ) -> Result<T, String> {
        let Some(given) = self.optional::<String>(field)? else {
            return Ok(unnamed);
        };
        let found = all.iter().copied().find(|one| name(*one) == given);
        found.ok_or_else(|| {
            let known: Vec<&str> = all.iter().copied().map(name).collect();
            format!("no {field} {given:?}, only {}", known.join(", "))
        })
    }

    fn optional<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, String> {
        match self.get(name) {
            Some(raw) => serde_json::from_str(raw.get()).map_err(|error| error.to_string()),
            None => Ok(None),
        }
    }

    /// Sets `expected` to the columns of the chart, or to why there is none.
    pub(super) fn set_expected(&mut self, drawn: Result<impl Serialize, &Refusal>) {
        match drawn {
            Ok(columns) => self.set("expected", columns),
            Err(refusal) => self.set("expected", refusal),
        }
    }

    /// Replaces the field in its place, or adds it at the end.
    pub(super) fn set(&mut self, name: &str, value: impl Serialize) {
        let value = to_raw_value(&value)
            .expect("finite numbers, strings and lists of them are always JSON");
        match self.fields.iter_mut().find(|(key, _)| key == name) {
            Some((_, old)) => *old = value,
            None => self.fields.push((name.to_owned(), value)),
        }
    }
}

impl Serialize for Record {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.fields.len()))?;
        for (name, value) in &self.fields {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Record {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;

        impl<'de> Visitor<'de> for Fields {
            type Value = Record;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Record, A::Error> {
                let mut record = Record { fields: Vec::new() };
                while let Some((name, value)) = map.next_entry::<String, Box<RawValue>>()? {
                    // Two values for one name: whichever we took, somebody would have meant the other.
                    if record.get(&name).is_some() {
                        return Err(de::Error::custom(format!("field {name:?} twice")));
                    }
                    if record.fields.len() == MAX_FIELDS {
                        return Err(de::Error::custom(format!("more than {MAX_FIELDS} fields")));
                    }
                    record.fields.push((name, value));
                }
                Ok(record)
            }
        }

        deserializer.deserialize_map(Fields)
    }
}

/// The most fields of a record. Each new one is compared with all before it.
const MAX_FIELDS: usize = 100;

pub(super) fn to_json(record: &Record) -> String {
    serde_json::to_string(record).expect("fields that were JSON are still JSON")
}

/// Why there is no chart of a record, as it stands in `expected`.
#[derive(Debug, Serialize)]
pub(super) struct Refusal {
    error: String,
}

impl Refusal {
    fn new(code: &str, error: impl fmt::Display) -> Self {
        Self {
            error: format!("{code}: {error}"),
        }
    }
}

impl From<XmrError> for Refusal {
    fn from(error: XmrError) -> Self {
        Self::new(error.code(), error)
    }
}

impl From<FunnelError> for Refusal {
    fn from(error: FunnelError) -> Self {
        Self::new(error.code(), error)
    }
}

impl From<ParameterError> for Refusal {
    fn from(error: ParameterError) -> Self {
        Self::new(error.code(), error)
    }
}

pub(super) fn invalid_option(problem: impl fmt::Display) -> XmrError {
    XmrError::InvalidOption {
        problem: problem.to_string(),
    }
}

/// The rows of a series as they stand in a record, not yet looked at.
pub(super) struct Rows<'a> {
    dates: Vec<&'a RawValue>,
    values: Vec<&'a RawValue>,
}

impl<'a> Rows<'a> {
    /// Without both columns it is no record at all.
    pub(super) fn of(record: &'a Record) -> Result<Self, ChartInputError> {
        Ok(Self {
            dates: record.array("dates")?,
            values: record.array("values")?,
        })
    }

    /// To be called before anything else is looked at: a limit is no limit if it comes after the work.
    pub(super) fn check_lengths(&self) -> Result<(), XmrError> {
        check_lengths(self.dates.len(), self.values.len())
    }

    /// Dates and values, in the order of the record.
    pub(super) fn read(&self) -> Result<(Vec<Date>, Vec<Option<f64>>), XmrError> {
        let dates = self.dates.iter().map(|raw| parse_date(raw));
        let dates = dates.collect::<Result<_, _>>()?;
        let values = (1..).zip(&self.values);
        let values = values.map(|(row, raw)| parse_value(row, raw));
        Ok((dates, values.collect::<Result<_, _>>()?))
    }
}

fn parse_date(raw: &RawValue) -> Result<Date, XmrError> {
    let text: Option<String> = serde_json::from_str(raw.get()).ok().flatten();
    text.as_deref().unwrap_or(raw.get()).parse()
}

fn parse_value(row: usize, raw: &RawValue) -> Result<Option<f64>, XmrError> {
    serde_json::from_str(raw.get()).map_err(|_| XmrError::ValueNotNumeric {
        row,
        text: excerpt(raw.get()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart_io::testing::JsonLine;
    use crate::chart_io::{cusum_json_line, ewma_json_line, xmr_json_line};

    #[test]
    fn what_is_no_record_is_refused_outright() {
        let of_series: [JsonLine; 3] = [xmr_json_line, cusum_json_line, ewma_json_line];
        for draw in of_series {
            for line in ["", "[]", "3", "{", r#"{"dates":[],"dates":[],"values":[]}"#] {
                let refusal = draw(line);
                assert!(
                    matches!(refusal, Err(ChartInputError::NotARecord { .. })),
                    "{line}"
                );
            }
            for (name, other) in [("dates", "values"), ("values", "dates")] {
                assert_eq!(
                    draw(&format!(r#"{{"{other}":[]}}"#)),
                    Err(ChartInputError::MissingField { name })
                );
                assert_eq!(
                    draw(&format!(r#"{{"{other}":[],"{name}":{{}}}}"#)),
                    Err(ChartInputError::NotAnArray { name })
                );
            }
            assert_eq!(
                draw("{\"dates\":[],\n\"values\":[]}"),
                Err(ChartInputError::SeveralLines)
            );
        }
    }
}
