//! Chart records of XmR charts.

use serde::{Deserialize, Serialize};

use super::ChartInputError;
use super::record::{Record, Refusal, Rows, invalid_option, to_json};
use crate::xmr::{self, Chart, ImprovementDirection, MissingInTrend, XmrError, XmrOptions};
use crate::{Date, Profile};

mod columns;

use columns::Columns;

/// Computes the `expected` of one chart record (see [the module](super)) and returns the record with it, and with the name
/// of the profile that drew it.
///
/// Everything else of the line is returned byte for byte and in its own order, but for the spaces between fields. An
/// `expected` in the input is ignored and replaced in its place; what is not there yet is added at the end. Blanks around the
/// line are dropped. A record that cannot be charted still is a record: its `expected` then holds the error.
///
/// # Errors
///
/// Only if the line is no record: not one line, not a JSON object, a field twice, or `dates` or `values` not an array.
pub fn xmr_json_line(line: &str) -> Result<String, ChartInputError> {
    xmr_json_line_under(Profile::default(), line)
}

/// As [`xmr_json_line`], but a record that names no profile is drawn under `unnamed`.
///
/// # Errors
///
/// As [`xmr_json_line`].
pub fn xmr_json_line_under(unnamed: Profile, line: &str) -> Result<String, ChartInputError> {
    let mut record = Record::parse(line)?;
    let rows = Rows::of(&record)?;
    let chart = chart_of(&record, unnamed, &rows);
    record.set_expected(chart.as_ref().map(Columns::from));
    if let Ok(chart) = &chart {
        record.set("profile", chart.profile.name());
    }
    Ok(to_json(&record))
}

/// The record of a chart that was not given as one. `id` and `options` are written out in full, and so is the profile.
pub(super) fn record_of_chart(
    id: &str,
    dates: &[Date],
    values: &[Option<f64>],
    options: &XmrOptions,
    chart: &Chart,
) -> String {
    let mut record = Record::new(id);
    record.set("profile", chart.profile.name());
    record.set("options", RecordOptions::of(chart.profile, options));
    record.set("dates", dates);
    record.set("values", values);
    record.set("expected", Columns::from(chart));
    to_json(&record)
}

fn chart_of(record: &Record, unnamed: Profile, rows: &Rows<'_>) -> Result<Chart, Refusal> {
    rows.check_lengths()?;
    let given: RecordOptions = record.options().map_err(invalid_option)?;
    let named = record.named("profile", Profile::ALL, Profile::name, unnamed);
    let profile = given.profile(named.map_err(invalid_option)?)?;
    let options = given.parse()?;
    let (dates, values) = rows.read()?;
    Ok(xmr::chart(profile, &dates, &values, &options)?)
}

/// The options as they stand in a record. An unknown one is refused: it may have been meant to change the chart.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
struct RecordOptions {
    improvement_direction: Option<Direction>,
    target: Option<f64>,
    rebase: Option<Vec<String>>,
    fix_after_n_points: Option<usize>,
    screen_outliers: Option<bool>,
    missing_in_trend: Option<Missing>,
    /// The length of runs, for a profile that has the choice. Never written: the profile's name says it.
    #[serde(skip_serializing)]
    n_run: Option<usize>,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum Direction {
    Increase,
    Decrease,
    Neutral,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum Missing {
    Refuse,
    Breaks,
}

impl RecordOptions {
    fn profile(&self, named: Profile) -> Result<Profile, XmrError> {
        let Some(points) = self.n_run else {
            return Ok(named);
        };
        named.with_run_points(points).ok_or_else(|| {
            invalid_option(format!("{named} has no runs of {points} points (n_run)"))
        })
    }

    fn parse(self) -> Result<XmrOptions, XmrError> {
        let default = XmrOptions::default();
        let rebase = self.rebase.unwrap_or_default();
        Ok(XmrOptions {
            improvement_direction: match self.improvement_direction {
                None => default.improvement_direction,
                Some(Direction::Increase) => ImprovementDirection::Increase,
                Some(Direction::Decrease) => ImprovementDirection::Decrease,
                Some(Direction::Neutral) => ImprovementDirection::Neutral,
            },
            target: self.target,
            rebase: rebase
                .iter()
                .map(|day| day.parse())
                .collect::<Result<_, _>>()?,
            fix_after_n_points: self.fix_after_n_points,
            screen_outliers: self.screen_outliers,
            missing_in_trend: self.missing_in_trend.map(|missing| match missing {
                Missing::Refuse => MissingInTrend::Refuse,
                Missing::Breaks => MissingInTrend::Breaks,
            }),
        })
    }
}

impl RecordOptions {
    /// Written out in full, with what the profile fills in.
    fn of(profile: Profile, options: &XmrOptions) -> Self {
        let options = options.resolved(profile);
        Self {
            improvement_direction: Some(match options.improvement_direction {
                ImprovementDirection::Increase => Direction::Increase,
                ImprovementDirection::Decrease => Direction::Decrease,
                ImprovementDirection::Neutral => Direction::Neutral,
            }),
            target: options.target,
            rebase: Some(options.rebase.iter().map(Date::to_string).collect()),
            fix_after_n_points: options.fix_after_n_points,
            screen_outliers: options.screen_outliers,
            missing_in_trend: options.missing_in_trend.map(|missing| match missing {
                MissingInTrend::Refuse => Missing::Refuse,
                MissingInTrend::Breaks => Missing::Breaks,
            }),
            n_run: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::chart_io::testing::{REFUSED_ROWS, error_code, expected};

    #[test]
    fn a_record_comes_back_with_its_fields_in_order_and_to_the_byte() {
        let line = r#" {"note":"é \u0041","zeta":{"b":1, "a":2},"values":[4,0.10],"expected":"x","dates":["2010-04-01","2010-05-01"],"id":7} "#;
        let out = xmr_json_line(line).unwrap();
        let start =
            r#"{"note":"é \u0041","zeta":{"b":1, "a":2},"values":[4,0.10],"expected":{"date":["#;
        assert!(out.starts_with(start), "{out}");
        assert!(
            out.ends_with(
                r#"},"dates":["2010-04-01","2010-05-01"],"id":7,"profile":"nhsr_0_2_2"}"#
            ),
            "{out}"
        );
    }

    #[test]
    fn absent_and_null_options_are_the_defaults() {
        let series = r#""dates":["2010-04-01","2010-05-01"],"values":[1,2]"#;
        let bare = expected(xmr_json_line, &format!("{{{series}}}"));
        assert_eq!(bare["assurance_type"], Value::Null);
        for options in [
            "null",
            "{}",
            r#"{"improvement_direction":null,"target":null,"rebase":null,"fix_after_n_points":null,"screen_outliers":null}"#,
            r#"{"improvement_direction":"increase","rebase":[],"screen_outliers":true,"missing_in_trend":"refuse"}"#,
        ] {
            let line = format!(r#"{{"profile":"nhsr_0_2_2","options":{options},{series}}}"#);
            assert_eq!(expected(xmr_json_line, &line), bare, "{options}");
        }
    }

    #[test]
    fn computing_a_record_again_changes_nothing() {
        let line = r#"{"dates":["2010-05-01","2010-04-01"],"values":[1.25,null]}"#;
        let once = xmr_json_line(line).unwrap();
        assert_eq!(xmr_json_line(&once).unwrap(), once);
    }

    #[test]
    fn a_record_that_cannot_be_charted_says_why_and_stays_a_record() {
        for (line, code) in REFUSED_ROWS {
            assert_eq!(error_code(xmr_json_line, line), code, "{line}");
        }
        for (options, code) in [
            (r#""options":{"target":"90%"}"#, "invalid_option"),
            (r#""options":{"targett":1}"#, "invalid_option"),
            (
                r#""options":{"improvement_direction":"up"}"#,
                "invalid_option",
            ),
            (r#""options":{"fix_after_n_points":-1}"#, "invalid_option"),
            (r#""options":{"fix_after_n_points":11}"#, "fix_too_short"),
            (r#""options":{"rebase":["May"]}"#, "unparseable_date"),
            (r#""profile":"mdc""#, "invalid_option"),
        ] {
            let line = format!(r#"{{"dates":["2010-04-01"],"values":[1],{options}}}"#);
            assert_eq!(error_code(xmr_json_line, &line), code, "{line}");
        }
    }

    #[test]
    fn a_number_beyond_all_floats_is_no_number() {
        let out = xmr_json_line(r#"{"dates":["2010-04-01"],"values":[1e999]}"#).unwrap();
        assert!(
            out.contains(
                r#""values":[1e999],"expected":{"error":"value_not_numeric: 1e999 in row 1 "#
            ),
            "{out}"
        );
    }

    #[test]
    fn values_are_read_to_the_last_bit() {
        // These two differ in the last bit, and a reader that rounds carelessly makes them equal.
        let y = &expected(
            xmr_json_line,
            r#"{"dates":["2010-04-01","2010-05-01"],"values":[9007199254740.993,0.30000000000000004]}"#,
        )["y"];
        assert_eq!(y[0].as_f64(), Some(9_007_199_254_740.993));
        assert_eq!(y[1].as_f64(), Some(0.1 + 0.2));
    }
}
