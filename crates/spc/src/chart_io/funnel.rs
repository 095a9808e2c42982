//! Funnel records and CSV.
//!
//! A *funnel record* is one JSON object on one line:
//!
//! ```json
//! {"id": "x", "mode": "corrected",
//!  "options": {"data_type": "PR", "limit": 99, "draw_adjusted": true, "draw_unadjusted": false, "sr_method": "SHMI",
//!              "trim_by": 0.1, "multiplier": 1, "shmi_rounding": false},
//!  "group": ["A"], "numerator": [3], "denominator": [10], "expected": {}}
//! ```
//!
//! `group`, `numerator` and `denominator` are required, one entry a row; rows of one group are added up. `options`, and each of its
//! members, may be absent or null, and then has the value above. `data_type` is `PR` (proportion), `RC` (ratio of counts) or `SR` (standardised
//! ratio, by the `sr_method` `SHMI` or `CQC`); `limit` is 95 or 99, which stands for 99.8 %. An absent `mode` means `corrected`; the other is
//! `compat`, under which `shmi_rounding` is true when absent. The mode that drew a funnel is written into its record.
//!
//! `expected` is what the engine computes, under the names of the study of FunnelPlotR: columns with one cell per group, sorted by
//! name. What is infinite is `"inf"` or `"-inf"`, and `z_trimmed` of a group that is left out is null. Where there is no funnel it is
//! `{"error": "code: message"}`, with the code of [`FunnelError::code`].

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::ChartInputError;
use super::record::{Record, Refusal, to_json};
use crate::funnel::{self, Funnel, FunnelError, FunnelOptions, Level, Measure, Mode, Row};
use crate::xmr::excerpt;

mod columns;
mod csv;

use columns::Columns;
pub use csv::funnel_csv;

/// Computes the `expected` of one funnel record and returns the record with it, and with the name of the mode that drew it.
///
/// Everything else of the line is returned byte for byte and in its own order, as by [`xmr_json_line`](super::xmr_json_line). A record that can't
/// be drawn still is a record: its `expected` then holds the error.
///
/// # Errors
///
/// Only if the line is no record: not one line, not a JSON object, a field twice, or one of the three columns absent or not an array.
pub fn funnel_json_line(line: &str) -> Result<String, ChartInputError> {
    funnel_json_line_in(Mode::default(), line)
}

/// As [`funnel_json_line`], but a record that names no mode is drawn in `unnamed`.
///
/// # Errors
///
/// As [`funnel_json_line`].
pub fn funnel_json_line_in(unnamed: Mode, line: &str) -> Result<String, ChartInputError> {
    let mut record = Record::parse(line)?;
    let columns = [
        record.array("group")?,
        record.array("numerator")?,
        record.array("denominator")?,
    ];
    let drawn = funnel_of(&record, unnamed, &columns);
    record.set_expected(drawn.as_ref().map(Columns::from));
    if let Ok(funnel) = &drawn {
        record.set("mode", funnel.mode.name());
    }
    Ok(to_json(&record))
}

fn funnel_of(
    record: &Record,
    unnamed: Mode,
    columns: &[Vec<&RawValue>; 3],
) -> Result<Funnel, Refusal> {
    check_lengths(columns)?;
    let mode = record
        .named("mode", Mode::ALL, Mode::name, unnamed)
        .map_err(invalid_option)?;
    let given: RecordOptions = record.options().map_err(invalid_option)?;
    let options = given.parse()?;
    let [groups, numerators, denominators] = columns;
    let names: Vec<String> = (1..)
        .zip(groups)
        .map(|(row, name)| parse_name(row, name))
        .collect::<Result<_, _>>()?;
    let numbers = numerators.iter().zip(denominators);
    let rows: Vec<Row<'_>> = (1..)
        .zip(names.iter().zip(numbers))
        .map(|(row, (group, (numerator, denominator)))| {
            Ok(Row {
                group,
                numerator: parse_number(row, numerator)?,
                denominator: parse_number(row, denominator)?,
            })
        })
        .collect::<Result<_, FunnelError>>()?;
    Ok(funnel::funnel(mode, &rows, &options)?)
}

/// Before the entries are looked at: a limit is no limit if it comes after the work.
fn check_lengths(columns: &[Vec<&RawValue>; 3]) -> Result<(), FunnelError> {
    let [groups, numerators, denominators] = columns.each_ref().map(Vec::len);
    funnel::check_count(groups)?;
    if numerators != groups || denominators != groups {
        return Err(FunnelError::LengthsDiffer {
            groups,
            numerators,
            denominators,
        });
    }
    Ok(())
}

fn invalid_option(problem: impl std::fmt::Display) -> FunnelError {
    FunnelError::InvalidOption {
        problem: problem.to_string(),
    }
}

fn parse_name(row: usize, raw: &RawValue) -> Result<String, FunnelError> {
    serde_json::from_str(raw.get()).map_err(|_| FunnelError::GroupNotText {
        row,
        text: excerpt(raw.get()),
    })
}

fn parse_number(row: usize, raw: &RawValue) -> Result<f64, FunnelError> {
    serde_json::from_str(raw.get()).map_err(|_| FunnelError::ValueNotNumeric {
        row,
        text: excerpt(raw.get()),
    })
}

/// The options as they stand in a record. An unknown one is refused: it may have been meant to change the funnel.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
struct RecordOptions {
    data_type: Option<DataType>,
    limit: Option<f64>,
    draw_adjusted: Option<bool>,
    draw_unadjusted: Option<bool>,
    sr_method: Option<SrMethod>,
    trim_by: Option<f64>,
    multiplier: Option<f64>,
    shmi_rounding: Option<bool>,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(rename_all = "UPPERCASE")]
enum DataType {
    Pr,
    Rc,
    Sr,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(rename_all = "UPPERCASE")]
enum SrMethod {
    Shmi,
    Cqc,
}

impl RecordOptions {
    fn parse(&self) -> Result<FunnelOptions, FunnelError> {
        let default = FunnelOptions::default();
        let method = self.sr_method.unwrap_or(SrMethod::Shmi);
        Ok(FunnelOptions {
            measure: match (self.data_type, method) {
                (None, _) => default.measure,
                (Some(DataType::Pr), _) => Measure::Proportion,
                (Some(DataType::Rc), _) => Measure::RatioOfCounts,
                (Some(DataType::Sr), SrMethod::Shmi) => Measure::StandardisedShmi,
                (Some(DataType::Sr), SrMethod::Cqc) => Measure::StandardisedCqc,
            },
            level: match self.limit {
                None => default.level,
                Some(95.0) => Level::P95,
                Some(99.0 | 99.8) => Level::P998,
                Some(limit) => {
                    return Err(invalid_option(format!("limit {limit}, only 95 or 99")));
                }
            },
            adjusted: self.draw_adjusted.unwrap_or(default.adjusted),
            unadjusted: self.draw_unadjusted.unwrap_or(default.unadjusted),
            trim_by: self.trim_by.unwrap_or(default.trim_by),
            multiplier: self.multiplier.unwrap_or(default.multiplier),
            round_expected: self.shmi_rounding,
        })
    }

    /// Written out in full, with what the mode fills in.
    fn of(mode: Mode, options: &FunnelOptions) -> Self {
        Self {
            data_type: Some(match options.measure {
                Measure::Proportion => DataType::Pr,
                Measure::RatioOfCounts => DataType::Rc,
                Measure::StandardisedShmi | Measure::StandardisedCqc => DataType::Sr,
            }),
            limit: Some(match options.level {
                Level::P95 => 95.0,
                Level::P998 => 99.0,
            }),
            draw_adjusted: Some(options.adjusted),
            draw_unadjusted: Some(options.unadjusted),
            sr_method: Some(match options.measure {
                Measure::StandardisedCqc => SrMethod::Cqc,
                _ => SrMethod::Shmi,
            }),
            trim_by: Some(options.trim_by),
            multiplier: Some(options.multiplier),
            shmi_rounding: Some(options.rounds(mode)),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::chart_io::testing::{error_code, expected};

    const ROWS: &str = r#""group":["B","A","A"],"numerator":[30,12,8],"denominator":[100,60,40]"#;

    #[test]
    fn rows_of_a_group_are_added_up_and_groups_are_sorted() {
        let expected = expected(funnel_json_line, &format!("{{{ROWS}}}"));
        assert_eq!(expected["group"], json!(["A", "B"]));
        assert_eq!(expected["numerator"], json!([20.0, 30.0]));
        assert_eq!(expected["ratio"], json!([0.2, 0.3]));
        assert_eq!(expected["target"], 0.25);
    }

    #[test]
    fn the_mode_is_printed_and_an_absent_one_is_the_corrected() {
        let line = format!("{{\"zeta\":  [1 ],{ROWS}}}");
        let out = funnel_json_line(&line).unwrap();
        assert!(
            out.starts_with(r#"{"zeta":[1 ],"group":["B","A","A"],"#),
            "{out}"
        );
        assert!(out.ends_with(r#","mode":"corrected"}"#), "{out}");
        assert_eq!(funnel_json_line(&out).unwrap(), out);
        let compat = funnel_json_line_in(Mode::Compat, &line).unwrap();
        assert!(compat.ends_with(r#","mode":"compat"}"#), "{compat}");
        assert_eq!(funnel_json_line(&compat).unwrap(), compat);
    }

    #[test]
    fn a_record_that_cannot_be_drawn_says_why_and_stays_a_record() {
        let of = |rest: &str| format!("{{{rest}}}");
        let with = |options: &str| format!("{{{ROWS},\"options\":{options}}}");
        let one = |numerator: &str, denominator: &str| {
            of(&format!(
                r#""group":["A"],"numerator":[{numerator}],"denominator":[{denominator}]"#
            ))
        };
        for (line, code) in [
            (
                of(r#""group":[],"numerator":[],"denominator":[]"#),
                "no_rows",
            ),
            (
                of(r#""group":["A"],"numerator":[],"denominator":[1]"#),
                "lengths_differ",
            ),
            (
                of(r#""group":[7],"numerator":[1],"denominator":[1]"#),
                "group_not_text",
            ),
            (one("null", "1"), "value_not_numeric"),
            (one("\"1\"", "1"), "value_not_numeric"),
            (one("-1", "1"), "count_out_of_range"),
            (one("1", "1e13"), "count_out_of_range"),
            (one("0", "0"), "no_denominator"),
            (one("2", "1"), "more_than_all"),
            (with(r#"{"trim_by":0.5}"#), "trim_out_of_range"),
            (with(r#"{"multiplier":0}"#), "multiplier_out_of_range"),
            (with(r#"{"limit":90}"#), "invalid_option"),
            (with(r#"{"data_type":"XX"}"#), "invalid_option"),
            (with(r#"{"limits":95}"#), "invalid_option"),
            (of(&format!("{ROWS},\"mode\":\"exact\"")), "invalid_option"),
        ] {
            assert_eq!(error_code(funnel_json_line, &line), code, "{line}");
        }
    }

    #[test]
    fn what_is_no_record_is_refused_outright() {
        assert!(matches!(
            funnel_json_line("[]"),
            Err(ChartInputError::NotARecord { .. })
        ));
        let no_group = r#"{"numerator":[1],"denominator":[2]}"#;
        assert_eq!(
            funnel_json_line(no_group),
            Err(ChartInputError::MissingField { name: "group" })
        );
    }
}
