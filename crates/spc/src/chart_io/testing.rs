//! How the tests of records look at them.

use serde_json::Value;

use super::ChartInputError;

/// From a record to one with its chart.
pub(super) type JsonLine = fn(&str) -> Result<String, ChartInputError>;

/// Rows that no kind of chart of a series can be drawn of, and the code of the refusal.
pub(super) const REFUSED_ROWS: [(&str, &str); 9] = [
    (
        r#"{"dates":["2010-04-01"],"values":["4"]}"#,
        "value_not_numeric",
    ),
    (
        r#"{"dates":["2010-04-01"],"values":[true]}"#,
        "value_not_numeric",
    ),
    (
        r#"{"dates":["2010-04-01"],"values":[1e301]}"#,
        "value_out_of_range",
    ),
    (
        r#"{"dates":["2010-04-01"],"values":[1,2]}"#,
        "lengths_differ",
    ),
    (r#"{"dates":[],"values":[]}"#, "no_points"),
    (r#"{"dates":["April"],"values":[1]}"#, "unparseable_date"),
    (r#"{"dates":[20100401],"values":[1]}"#, "unparseable_date"),
    (r#"{"dates":[null],"values":[1]}"#, "unparseable_date"),
    (
        r#"{"dates":["2010-04-01","2010-04-01"],"values":[1,2]}"#,
        "duplicate_date",
    ),
];

/// The `expected` that `draw` gives the record.
pub(super) fn expected(draw: JsonLine, line: &str) -> Value {
    let record: Value = serde_json::from_str(&draw(line).unwrap()).unwrap();
    record["expected"].clone()
}

/// The code of the error that `draw` puts in the place of the chart.
pub(super) fn error_code(draw: JsonLine, line: &str) -> String {
    let expected = expected(draw, line);
    let message = expected["error"].as_str().expect("an error");
    let (code, _) = message.split_once(": ").expect("code: message");
    code.to_owned()
}
