//! What records of CUSUM and EWMA charts have in common.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::ChartInputError;
use super::csv;
use super::record::{Record, Refusal, Rows, invalid_option, to_json};
use crate::standard::{AfterSignal, Standard};
use crate::xmr::{XmrError, check_lengths, check_rows};
use crate::{Date, ParameterError};

mod cusum;
mod ewma;

pub use cusum::{CusumOptions, cusum_csv, cusum_json_line};
pub use ewma::{EwmaOptions, ewma_csv, ewma_json_line};

/// What a series is measured by. What is not given is estimated, as [`Standard::from_baseline`] does.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ScaleOptions {
    /// In-control mean, in the units of the series.
    pub mean: Option<f64>,
    /// In-control standard deviation, in the units of the series.
    pub sigma: Option<f64>,
    /// Estimate from the first so many rows; default all rows.
    pub fix_after_n_points: Option<usize>,
}

impl ScaleOptions {
    fn standard(&self, values: &[Option<f64>]) -> Result<Standard, ParameterError> {
        if let (Some(mean), Some(sigma)) = (self.mean, self.sigma) {
            return Standard::new(mean, sigma);
        }
        let rows = self.fix_after_n_points.unwrap_or(values.len());
        let baseline = &values[..rows.min(values.len())];
        match (self.mean, self.sigma) {
            // The mean of a baseline that does not vary is known all the same.
            (None, Some(sigma)) => {
                let mean = crate::mean(baseline.iter().flatten().copied());
                let none = ParameterError::TooFewValues {
                    found: 0,
                    needed: 1,
                };
                Standard::new(mean.ok_or(none)?, sigma)
            }
            (mean, _) => {
                let estimated = Standard::from_baseline(baseline)?;
                Standard::new(mean.unwrap_or(estimated.mean()), estimated.sigma())
            }
        }
    }
}

/// Options of a kind of chart: how they stand in a record, and how they draw one.
trait Kind: Sized {
    /// The options as they stand in a record.
    type Written: Default + DeserializeOwned + Serialize;
    /// The `expected` of a record.
    type Columns: Serialize;

    fn read(written: &Self::Written) -> Result<Self, Refusal>;
    fn written(&self) -> Self::Written;
    fn draw(
        &self,
        dates: Vec<Date>,
        values: Vec<Option<f64>>,
    ) -> Result<Self::Columns, ParameterError>;
}

fn json_line<K: Kind>(line: &str) -> Result<String, ChartInputError> {
    let mut record = Record::parse(line)?;
    let rows = Rows::of(&record)?;
    let columns = columns_of::<K>(&record, &rows);
    record.set_expected(columns.as_ref());
    Ok(to_json(&record))
}

fn columns_of<K: Kind>(record: &Record, rows: &Rows<'_>) -> Result<K::Columns, Refusal> {
    rows.check_lengths()?;
    let options = K::read(&record.options().map_err(invalid_option)?)?;
    let (dates, values) = rows.read()?;
    let (dates, values) = sorted(&dates, &values)?;
    Ok(options.draw(dates, values)?)
}

fn csv_text<K: Kind>(text: &str, options: &K, id: &str) -> Result<String, ChartInputError> {
    let series = csv::parse(text)?;
    let (dates, values) = sorted(&series.dates, &series.values)?;
    let columns = options.draw(dates, values)?;
    let mut record = Record::new(id);
    record.set("options", options.written());
    record.set("dates", &series.dates);
    record.set("values", &series.values);
    record.set("expected", columns);
    Ok(to_json(&record))
}

/// The rows in order of time: at least one, not too many, one per day, every value a usable number.
fn sorted(
    dates: &[Date],
    values: &[Option<f64>],
) -> Result<(Vec<Date>, Vec<Option<f64>>), XmrError> {
    check_lengths(dates.len(), values.len())?;
    let mut rows: Vec<(Date, Option<f64>)> =
        dates.iter().copied().zip(values.iter().copied()).collect();
    rows.sort_by_key(|row| row.0);
    check_rows(rows.iter().copied())?;
    Ok(rows.into_iter().unzip())
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum After {
    Continue,
    Restart,
}

impl From<After> for AfterSignal {
    fn from(after: After) -> Self {
        match after {
            After::Continue => Self::Continue,
            After::Restart => Self::Restart,
        }
    }
}

impl From<AfterSignal> for After {
    fn from(after: AfterSignal) -> Self {
        match after {
            AfterSignal::Continue => Self::Continue,
            AfterSignal::Restart => Self::Restart,
        }
    }
}

fn standardised(standard: Standard, values: &[Option<f64>]) -> Vec<Option<f64>> {
    let z = |value: &Option<f64>| value.map(|value| standard.z(value));
    values.iter().map(z).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::chart_io::testing::{JsonLine, REFUSED_ROWS, error_code, expected};
    use crate::cusum::CusumDesign;
    use crate::ewma::{EwmaDesign, EwmaLimits};
    use crate::standard::Sides;

    const BOTH: [JsonLine; 2] = [cusum_json_line, ewma_json_line];

    const SERIES: &str =
        r#""dates":["2010-06-01","2010-04-01","2010-05-01"],"values":[13,14,null]"#;

    #[test]
    fn a_cusum_record_by_hand() {
        let line = format!(
            r#"{{"options":{{"mean":10,"sigma":2,"h":2,"sided":"upper"}},{SERIES},"note":"n"}}"#
        );
        let ours = expected(cusum_json_line, &line);
        assert_eq!(
            ours["date"],
            json!(["2010-04-01", "2010-05-01", "2010-06-01"])
        );
        assert_eq!(ours["z"], json!([2.0, null, 1.5]));
        assert_eq!(ours["upper"], json!([1.5, 1.5, 2.5]));
        assert_eq!(ours["lower"], json!([null, null, null]));
        assert_eq!(ours["signal_upper"], json!([false, false, true]));
        assert_eq!((&ours["mean"], &ours["sigma"]), (&json!(10.0), &json!(2.0)));
        assert!((ours["arl0"].as_f64().unwrap() - 38.547527442).abs() < 1e-5);
    }

    #[test]
    fn an_ewma_record_by_hand() {
        let line = format!(
            r#"{{"options":{{"mean":10,"sigma":2,"lambda":0.5,"L":3,"limits":"vacl"}},{SERIES}}}"#
        );
        let ours = expected(ewma_json_line, &line);
        assert_eq!(ours["ewma"], json!([12.0, 12.0, 12.5]));
        assert_eq!(ours["ucl"][0], json!(13.0));
        assert_eq!(ours["lcl"][1], json!(7.0));
        assert_eq!(ours["signal_upper"], json!([false, false, false]));
    }

    #[test]
    fn a_self_starting_record_has_scores_and_no_scale() {
        let line = r#"{"options":{"self_starting":true},"dates":["2010-04-01","2010-05-01","2010-06-01"],"values":[1,3,5]}"#;
        let ours = expected(cusum_json_line, line);
        assert_eq!(
            (&ours["mean"], &ours["sigma"]),
            (&Value::Null, &Value::Null)
        );
        assert_eq!(ours["z"][1], Value::Null);
        assert!((ours["z"][2].as_f64().unwrap() - 0.967_421_566_101_701).abs() < 1e-9);
    }

    #[test]
    fn absent_and_null_options_are_the_defaults() {
        let cusum = r#"{"mean":null,"sigma":null,"fix_after_n_points":3,"k":0.5,"h":5,"headstart":0,"sided":"two","after_signal":"continue","self_starting":null}"#;
        let ewma =
            r#"{"lambda":0.2,"L":2.86,"limits":"fix","after_signal":null,"fix_after_n_points":9}"#;
        let series = r#""dates":["2010-04-01","2010-05-01","2010-06-01"],"values":[1,3,5]"#;
        for (draw, written) in BOTH.into_iter().zip([cusum, ewma]) {
            let bare = expected(draw, &format!("{{{series}}}"));
            assert!(bare.get("error").is_none(), "{bare}");
            for options in ["null", "{}", written] {
                let line = format!(r#"{{"options":{options},{series}}}"#);
                assert_eq!(expected(draw, &line), bare, "{options}");
            }
        }
    }

    #[test]
    fn a_record_that_cannot_be_charted_says_why_and_stays_a_record() {
        let of = |values: &str, options: &str| {
            let dates = r#""dates":["2010-04-01","2010-05-01"]"#;
            format!(r#"{{{dates},"values":{values},"options":{options}}}"#)
        };
        for draw in BOTH {
            for (line, code) in REFUSED_ROWS {
                assert_eq!(error_code(draw, line), code, "{line}");
            }
            for (values, options, code) in [
                ("[1,1]", "{}", "no_spread"),
                ("[1,null]", "{}", "too_few_values"),
                ("[1,2]", r#"{"sigma":0}"#, "parameter_out_of_domain"),
                ("[1,2]", r#"{"sigma":"2"}"#, "invalid_option"),
                ("[1,2]", r#"{"sigmma":2}"#, "invalid_option"),
                ("[1,2]", r#"{"fix_after_n_points":1}"#, "too_few_values"),
            ] {
                assert_eq!(error_code(draw, &of(values, options)), code, "{options}");
            }
        }
        for (draw, options, code) in [
            (BOTH[0], r#"{"h":-1}"#, "parameter_out_of_domain"),
            (
                BOTH[0],
                r#"{"self_starting":true,"mean":1}"#,
                "invalid_option",
            ),
            (BOTH[1], r#"{"lambda":2}"#, "parameter_out_of_domain"),
        ] {
            assert_eq!(error_code(draw, &of("[1,2]", options)), code, "{options}");
        }
    }

    #[test]
    fn the_record_of_a_csv_is_its_own_golden_record() {
        let text = "date,value\n2010-06-01,6\n2010-04-01,4\n2010-05-01,NA\n2010-07-01,5.5\n";
        let scale = ScaleOptions {
            mean: Some(4.25),
            sigma: None,
            fix_after_n_points: Some(4),
        };
        let design = CusumDesign::new(0.25, 4.0)
            .and_then(|design| design.with_headstart(1.0))
            .unwrap();
        for sides in [Sides::Upper, Sides::Lower, Sides::Both] {
            let options = CusumOptions {
                scale,
                design: design.with_sides(sides),
                after_signal: AfterSignal::Restart,
                self_starting: false,
            };
            let record = cusum_csv(text, &options, "x").unwrap();
            assert_eq!(cusum_json_line(&record).unwrap(), record);
            let self_starting = CusumOptions {
                scale: ScaleOptions::default(),
                self_starting: true,
                ..options
            };
            let record = cusum_csv(text, &self_starting, "x").unwrap();
            assert_eq!(cusum_json_line(&record).unwrap(), record);
        }
        for limits in [EwmaLimits::Fixed, EwmaLimits::TimeVarying] {
            let options = EwmaOptions {
                scale,
                design: EwmaDesign::new(0.4, 2.5, limits).unwrap(),
                after_signal: AfterSignal::Restart,
            };
            let record = ewma_csv(text, &options, "x").unwrap();
            assert_eq!(ewma_json_line(&record).unwrap(), record);
        }
    }

    #[test]
    fn a_fault_of_a_csv_is_told_with_its_line_or_with_its_code() {
        let draw = |text: &str| cusum_csv(text, &CusumOptions::default(), "x").unwrap_err();
        let fault = draw("date,value\n2010-04-01,4\n2010-05-01,x\n");
        assert!(matches!(fault, ChartInputError::AtLine { line: 3, .. }));
        let fault = draw("2010-04-01,4\n2010-05-01,4\n");
        assert_eq!(fault, ChartInputError::Parameter(ParameterError::NoSpread));
        let fault = ewma_csv("", &EwmaOptions::default(), "x").unwrap_err();
        assert_eq!(fault, ChartInputError::Chart(XmrError::NoPoints));
    }

    #[test]
    fn the_largest_values_stay_finite() {
        let series =
            r#""dates":["2010-04-01","2010-05-01","2010-06-01"],"values":[1e300,-1e300,1e300]"#;
        for draw in BOTH {
            let line = format!(r#"{{"options":{{"mean":0,"sigma":1e-300}},{series}}}"#);
            let text = draw(&line).unwrap();
            assert!(!text.contains("error"), "{text}");
            assert!(
                draw(&format!("{{{series}}}"))
                    .unwrap()
                    .contains("parameter_out_of_domain")
            );
        }
    }
}
