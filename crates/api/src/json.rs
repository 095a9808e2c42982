//! The contract as JSON: the canonical form of protobuf, by descriptors, so that there is no second set of types.
//!
//! Out: lowerCamelCase, 64-bit numbers as text, what has its default left out. In: names of the contract or lowerCamelCase, and
//! nothing that the contract does not know. It never guesses what a misspelled name meant; it says which names there are. All faults of
//! a text are told at once.

mod form;
mod strict;

use std::fmt;
use std::sync::LazyLock;

use bytes::Bytes;
use prost::Message;
use prost_reflect::{
    DescriptorPool, DeserializeOptions, DynamicMessage, FieldDescriptor, MessageDescriptor,
};
use serde_json::{Map, Value};
use thiserror::Error;

use crate::error::{ApiError, Problem};

/// Why JSON is not the message that it should be.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{}{what}", self.place())]
pub struct JsonError {
    /// Stable: `BAD_JSON`, `NOT_UTF8`, `BAD_VALUE`, `UNKNOWN_FIELD`, `UNKNOWN_MESSAGE`, `BAD_MESSAGE`.
    pub code: &'static str,
    /// The field, in the names of the contract. Empty: the whole.
    pub field: String,
    /// Line and column, both from 1, where the text is not JSON at all.
    pub position: Option<(usize, usize)>,
    /// What is wrong, and what to do about it.
    pub what: String,
}

/// The code of the entry that stands for those which are not listed.
pub const MORE_FAULTS: &str = "MORE_FAULTS";

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

/// All that is wrong with a text, or the beginning of a list that would be longer than what was sent.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub struct JsonFaults {
    /// At least one, in the order of the text.
    pub faults: Vec<JsonError>,
    /// How many more there are that are not listed.
    pub more: usize,
}

impl From<JsonError> for JsonFaults {
    fn from(fault: JsonError) -> Self {
        Self {
            faults: vec![fault],
            more: 0,
        }
    }
}

impl fmt::Display for JsonFaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told: Vec<String> = self.faults.iter().map(ToString::to_string).collect();
        f.write_str(&told.join("; "))?;
        match self.more {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
        }
    }
}

impl From<JsonError> for ApiError {
    fn from(error: JsonError) -> Self {
        JsonFaults::from(error).into()
    }
}

impl From<JsonFaults> for ApiError {
    fn from(JsonFaults { faults, more }: JsonFaults) -> Self {
        // Only our own mistakes ask for a message that the contract does not have, or hold bytes that are none.
        let ours = |fault: &JsonError| matches!(fault.code, "UNKNOWN_MESSAGE" | "BAD_MESSAGE");
        if faults.iter().any(ours) {
            return Self::internal();
        }
        let problem = |fault: JsonError| Problem {
            code: fault.code.into(),
            // Every fault has a place: where none is named it is the whole body.
            field: match fault.position {
                Some((line, column)) => format!("line {line}, column {column}"),
                None if fault.field.is_empty() => "body".to_owned(),
                None => fault.field,
            },
            description: fault.what,
        };
        let (listed, only) = (faults.len(), faults.len() + more == 1);
        let reason = faults.first().map(|fault| fault.code);
        let mut error = Self::invalid(faults.into_iter().map(problem));
        if let Some(reason) = reason.filter(|_| only) {
            error.reason = reason.into();
        }
        if more > 0 {
            let first = error.message.split_once(": ").map_or("", |(_, told)| told);
            error.message = format!(
                "{} faults, of which {listed} are listed, the first: {first}",
                listed + more
            );
            error.problems.push(Problem {
                code: MORE_FAULTS.into(),
                field: "body".to_owned(),
                description: format!("{more} more faults are not listed: put these right first"),
            });
        }
        error
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
/// Every `BAD_VALUE` and `UNKNOWN_FIELD` with its field; `UNKNOWN_MESSAGE`.
#[allow(
    clippy::needless_pass_by_value,
    reason = "the value is of no more use, and a copy of a large return is avoided"
)]
pub fn from_json(message: &str, value: Value) -> Result<Bytes, JsonFaults> {
    let descriptor = descriptor(message)?;
    match read(&descriptor, &value) {
        Ok(message) => Ok(message.encode_to_vec().into()),
        Err(what) => Err(form::faults(&descriptor, &value)
            .unwrap_or_else(|| JsonError::new("BAD_VALUE", "", what).into())),
    }
}

/// The text of a request as the bytes of a message. Empty text is the empty message, and a byte order mark in front is no fault:
/// some editors and Windows tools write one.
///
/// # Errors
/// `BAD_JSON` with line and column, `NOT_UTF8`, and those of [`from_json`].
pub fn from_json_text(message: &str, text: &[u8]) -> Result<Bytes, JsonFaults> {
    let text = text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text);
    if text.trim_ascii().is_empty() {
        return from_json(message, Value::Object(Map::new()));
    }
    let (value, twice) = strict::parse(text).map_err(|error| not_json(text, &error))?;
    let read = from_json(message, value);
    if twice.places.is_empty() {
        return read;
    }
    let told = "is stated twice: state it once";
    let stated = twice.places.into_iter();
    let mut faults = JsonFaults {
        faults: stated
            .map(|place| JsonError::new("BAD_VALUE", place, told))
            .collect(),
        more: twice.more,
    };
    if let Err(others) = read {
        faults.faults.extend(others.faults);
        faults.more += others.more;
    }
    Err(faults)
}

/// Of a text with faults of form, what can be read: the message without the fields that have one. `None` when the text is no JSON at all.
///
/// So that faults of form need not hide what validation would say of the rest. Never to be taken for what was sent.
#[must_use]
pub fn readable_part(message: &str, text: &[u8]) -> Option<Bytes> {
    let descriptor = descriptor(message).ok()?;
    let text = text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text);
    let mut value = serde_json::from_slice(text).ok()?;
    form::prune(&descriptor, &mut value);
    let message = read(&descriptor, &value).ok()?;
    Some(message.encode_to_vec().into())
}

/// Why a text is not JSON, and where. The library appends the place to its words; here it has a field of its own.
fn not_json(text: &[u8], error: &serde_json::Error) -> JsonError {
    // Every JSON text begins with a character of ASCII, of which UTF-16 makes a zero and the character.
    if matches!(
        text,
        [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] | [0, _, ..] | [_, 0, ..]
    ) {
        let what = "this looks like UTF-16: send one whole JSON object as UTF-8";
        return JsonError {
            position: Some((1, 1)),
            ..JsonError::new("NOT_UTF8", "", what)
        };
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::events::v1 as wire;
    use crate::proto::intake::v1::SubmitReturnRequest;
    use proptest::prelude::*;
    use serde_json::json;

    const SUBMIT: &str = "qipp.intake.v1.SubmitReturnRequest";
    /// A field of every kind.
    const LEAVES: [(&str, &str); 10] = [
        ("qipp.events.v1.Observation", "marker"),
        ("qipp.events.v1.Observation", "definitionVersion"),
        ("qipp.events.v1.Observation", "missing"),
        ("qipp.events.v1.Observation", "simulated"),
        ("qipp.events.v1.Observation", "measured"),
        ("qipp.events.v1.Measured", "numerator"),
        ("qipp.events.v1.SavingsLine", "actual_pence"),
        ("qipp.events.v1.Scheme", "planned_pence"),
        ("qipp.alerts.v1.ListAlertsRequest", "page_size"),
        ("qipp.log.v1.ExportedRecord", "key"),
    ];

    fn leaf() -> impl Strategy<Value = Value> {
        let number = prop_oneof![any::<i64>(), -3..3_i64, Just(1 << 31), Just(1 << 32)];
        let text = prop_oneof![
            "[-+]?[0-9]{0,20}",
            "[-+]?[0-9]{1,3}(\\.[0-9]{0,2})?(e[0-9])?",
            "NaN|Infinity|-Infinity|inf|MISSING_SUPPRESSED|MISSING_OTHER",
            "[A-Za-z_/+-]{0,6}={0,2}",
        ];
        let single = prop_oneof![
            number.prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            (-5..5_i32).prop_map(|n| Value::from(f64::from(n) / 2.0)),
            text.prop_map(Value::from),
            any::<bool>().prop_map(Value::from),
            Just(Value::Null),
            Just(json!({})),
        ];
        let list = proptest::collection::vec(single.clone(), 0..3).prop_map(Value::from);
        prop_oneof![4 => single, 1 => list]
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
            let faults = from_json(SUBMIT, value).unwrap_err().faults;
            let [fault] = faults.try_into().unwrap();
            (fault.code, fault.field)
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
        assert_eq!(error.faults[0].position.map(|(line, _)| line), Some(2));
    }

    #[test]
    fn all_faults_of_form_are_told_at_once_in_words_for_people() {
        let observation = json!({"marker": 5, "measured": {"numerator": "x", "denominator": [1]}, "breakdwn": ""});
        let body = json!({
            "validate_only": "yes",
            "return": {"status": "DRAFT", "expectedRevision": -1, "org": "RJ1", "quality": {"observations": [observation, 7, null]}}
        });
        let faults = from_json(SUBMIT, body).unwrap_err();
        let at = |rest: &str| format!("return.quality.observations{rest}");
        let said = |field: &str| {
            let fault = faults.faults.iter().find(|fault| fault.field == field);
            fault
                .unwrap_or_else(|| panic!("{field} in {faults}"))
                .clone()
        };
        for (field, code, words) in [
            ("validate_only", "BAD_VALUE", "true or false"),
            (
                "return.status",
                "BAD_VALUE",
                "RETURN_STATUS_PROVISIONAL, RETURN_STATUS_FINAL",
            ),
            (
                "return.expected_revision",
                "BAD_VALUE",
                "a whole number from 0 to 4294967295",
            ),
            ("return.org", "UNKNOWN_FIELD", "there are org_code"),
            (&at("[0].marker"), "BAD_VALUE", "text in quotation marks"),
            (
                &at("[0].measured.numerator"),
                "BAD_VALUE",
                "`x` is not a number: write it as 12.5",
            ),
            (
                &at("[0].measured.denominator"),
                "BAD_VALUE",
                "a number such as 12.5, and is a list",
            ),
            (&at("[0].breakdwn"), "UNKNOWN_FIELD", "breakdown"),
            (&at("[1]"), "BAD_VALUE", "an object, { … }"),
            (&at("[2]"), "BAD_VALUE", "null"),
        ] {
            let fault = said(field);
            assert_eq!(fault.code, code, "{fault}");
            assert!(fault.what.contains(words), "{fault}");
        }
        assert_eq!((faults.faults.len(), faults.more), (10, 0));
        let error = ApiError::from(faults);
        assert_eq!(
            (error.code, error.problems.len()),
            (crate::error::Code::InvalidArgument, 10)
        );
        assert!(error.message.starts_with("10 faults"), "{}", error.message);
    }

    #[test]
    fn elements_of_plain_lists_and_maps_and_choices_stated_twice_are_pointed_at() {
        let scheme = json!({"scheme": {"plannedPence": ["1", "1.5", 2, "9223372036854775808"]}});
        let faults = from_json("qipp.intake.v1.SubmitSchemeRequest", scheme).unwrap_err();
        let places: Vec<_> = faults.faults.iter().map(|fault| &*fault.field).collect();
        assert_eq!(
            places,
            ["scheme.planned_pence[1]", "scheme.planned_pence[3]"]
        );
        let rule = json!({"facts": [{"ruleSetPublished": {"rules": [{"parameters": {"a": 1, "b": "x"}}]}}]});
        let faults = from_json("qipp.registry.v1.RecordFactsRequest", rule).unwrap_err();
        assert_eq!(
            faults.faults[0].field,
            "facts[0].rule_set_published.rules[0].parameters.b"
        );
        let twice = json!({"return": {"org_code": "A", "orgCode": "B", "quality": {}, "savings": {}, "status": []}});
        let faults = from_json(SUBMIT, twice).unwrap_err();
        let told: Vec<_> = faults.faults.iter().map(ToString::to_string).collect();
        assert_eq!(told.len(), 3, "{told:?}");
        for words in [
            "return.org_code: is stated twice",
            "return.status: has to be one of",
            "return: only one of savings, quality",
        ] {
            assert!(told.iter().any(|told| told.contains(words)), "{told:?}");
        }
    }

    #[test]
    fn a_name_that_is_stated_twice_is_no_choice_of_ours() {
        let places = |text: &str| -> Vec<String> {
            let faults = from_json_text(SUBMIT, text.as_bytes()).unwrap_err().faults;
            faults.into_iter().map(|fault| fault.field).collect()
        };
        assert_eq!(
            places(r#"{"validateOnly": true, "validateOnly": false}"#),
            ["validate_only"]
        );
        let text = r#"{"return": {"orgCode": "A", "orgCode": "B", "quality": {"observations": [
            {}, {"measured": {"numerator": -5, "numerator": 1}, "marker": 7}]}}}"#;
        assert_eq!(
            places(text),
            [
                "return.org_code",
                "return.quality.observations[1].measured.numerator",
                "return.quality.observations[1].marker"
            ]
        );
        let many = format!(
            "{{{}\"validateOnly\": true}}",
            "\"validateOnly\": true,".repeat(999)
        );
        let faults = from_json_text(SUBMIT, many.as_bytes()).unwrap_err();
        assert_eq!(faults.faults.len() + faults.more, 999);
        let deep = "[".repeat(100_000);
        assert_eq!(
            from_json_text(SUBMIT, deep.as_bytes()).unwrap_err().faults[0].code,
            "BAD_JSON"
        );
    }

    #[test]
    fn what_has_no_fault_is_left_where_it_is() {
        let body = json!({"return": {"orgCode": "RJ1", "org_code": 7, "period": 5, "nothing": 1, "quality": {"observations": [
            {"marker": 1, "measured": {"numerator": "12,5", "denominator": 4}}, 7, {"marker": "AE_4H", "missing": "MISSING_SUPPRESSED"},
        ]}}});
        let rest = readable_part(SUBMIT, body.to_string().as_bytes()).unwrap();
        let expected = json!({"return": {"quality": {"observations": [
            {"measured": {"denominator": 4}}, {}, {"marker": "AE_4H", "missing": "MISSING_SUPPRESSED"},
        ]}}});
        assert_eq!(from_json(SUBMIT, expected).unwrap(), rest);
        let scheme = json!({"scheme": {"title": "Beds", "plannedPence": ["1", "x", "3"]}, "validateOnly": true});
        let name = "qipp.intake.v1.SubmitSchemeRequest";
        let rest = readable_part(name, scheme.to_string().as_bytes()).unwrap();
        let expected = json!({"scheme": {"title": "Beds"}, "validateOnly": true});
        assert_eq!(from_json(name, expected).unwrap(), rest);
        assert_eq!(readable_part(SUBMIT, b"{"), None);
    }

    #[test]
    fn a_list_of_faults_that_is_too_long_is_cut_and_counted() {
        let bad = |many: usize| json!({"return": {"quality": {"observations": vec![json!({"marker": 5}); many]}}});
        let faults = from_json(SUBMIT, bad(20_000)).unwrap_err();
        assert_eq!(faults.faults.len() + faults.more, 20_000);
        let listed = faults.faults.len();
        assert!((20..200).contains(&listed), "{listed}");
        let error = ApiError::from(faults);
        assert!(
            error.message.starts_with("20000 faults"),
            "{}",
            error.message
        );
        let last = error.problems.last().unwrap();
        assert_eq!((&*last.code, &*last.field), ("MORE_FAULTS", "body"));
        assert!(error.to_json("id").to_string().len() < 20_000);
        assert_eq!(from_json(SUBMIT, bad(3)).unwrap_err().more, 0);
    }

    #[test]
    fn a_byte_order_mark_is_no_fault_and_utf_16_is_named() {
        assert!(from_json_text(SUBMIT, b"\xEF\xBB\xBF{\"validateOnly\":true}").is_ok());
        let little: Vec<u8> = "{\"a\":1}"
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        let big: Vec<u8> = "{\"a\":1}"
            .encode_utf16()
            .flat_map(u16::to_be_bytes)
            .collect();
        let marked = [&[0xFF, 0xFE], little.as_slice()].concat();
        for text in [little, big, marked] {
            let faults = from_json_text(SUBMIT, &text).unwrap_err();
            let error = ApiError::from(faults);
            assert_eq!(
                (&*error.reason, &*error.problems[0].field),
                ("NOT_UTF8", "line 1, column 1")
            );
            assert!(error.message.contains("UTF-16"), "{error}");
        }
    }

    #[test]
    fn our_own_mistakes_are_not_told_as_the_callers() {
        let error = ApiError::from(to_json("qipp.Nothing", b"").unwrap_err());
        assert_eq!(error.code, crate::error::Code::Internal);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".{0,12}") {
            let _ = from_json_text(SUBMIT, text.as_bytes());
        }

        /// The words are ours, the decision is the library's: they have to agree on what is wrong.
        #[test]
        fn a_value_is_told_as_wrong_exactly_when_it_is_refused(field in 0..LEAVES.len(), value in leaf()) {
            let (message, name) = LEAVES[field];
            let body = json!({ name: value });
            let refused = read(&descriptor(message).unwrap(), &body).is_err();
            prop_assert_eq!(form::faults(&descriptor(message).unwrap(), &body).is_some(), refused, "{}", body);
            // What is left can be read, and is everything where nothing is wrong.
            let text = body.to_string();
            let rest = readable_part(message, text.as_bytes());
            prop_assert!(rest.is_some(), "{}", body);
            if let Ok(whole) = from_json_text(message, text.as_bytes()) {
                prop_assert_eq!(rest, Some(whole));
            }
        }
    }
}
