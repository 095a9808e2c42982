//! Records of CUSUM and EWMA charts.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::ChartInputError;
use super::csv;
use super::record::{Record, Refusal, Rows, invalid_option, to_json};
use crate::cusum::{self, CusumDesign, CusumPoint};
use crate::ewma::{self, EwmaDesign, EwmaLimits, EwmaPoint};
use crate::standard::{AfterSignal, Sides, Standard};
use crate::xmr::{XmrError, check_lengths, check_rows};
use crate::{Date, ParameterError, run_length};

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

/// How to draw a CUSUM chart.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CusumOptions {
    /// Mean and standard deviation.
    pub scale: ScaleOptions,
    /// k, h, headstart and sides.
    pub design: CusumDesign,
    /// What follows a signal.
    pub after_signal: AfterSignal,
    /// Take scores of the [self-starting](cusum::SelfStarting) form; then there is no scale to give.
    pub self_starting: bool,
}

/// How to draw an EWMA chart.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct EwmaOptions {
    /// Mean and standard deviation.
    pub scale: ScaleOptions,
    /// λ, L and the kind of limits.
    pub design: EwmaDesign,
    /// What follows a signal.
    pub after_signal: AfterSignal,
}

/// Computes the `expected` of one CUSUM record and returns the record with it; all else is as for [`xmr_json_line`](super::xmr_json_line).
///
/// ```json
/// {"id": "x",
///  "options": {"mean": null, "sigma": null, "fix_after_n_points": null, "k": 0.5, "h": 5, "headstart": 0, "sided": "two",
///              "after_signal": "continue", "self_starting": false},
///  "dates": ["2010-04-01"], "values": [4.5], "expected": {}}
/// ```
///
/// `options`, and each of its members, may be absent or null, and then has the value above; a `mean` or `sigma` that is null is estimated from the
/// first `fix_after_n_points` rows, or from all. `k`, `h` and `headstart` are in standard deviations; `sided` is `two`, `upper` (or `one`) or `lower`;
/// `after_signal` is `continue` or `restart`.
///
/// `expected` has the columns `date`, `y`, `z` (standardised, or the score of the self-starting form), `upper` and `lower` (the sums, in
/// standard deviations; null for a side that is not watched), `signal_upper` and `signal_lower`, sorted by date; then `mean` and `sigma` (null for the
/// self-starting form) and `arl0`, the average run length between false signals (null where it is not known, or beyond all floats). Where
/// there is no chart it is `{"error": "code: message"}`.
///
/// # Errors
///
/// Only if the line is no record: not one line, not a JSON object, a field twice, or `dates` or `values` not an array.
pub fn cusum_json_line(line: &str) -> Result<String, ChartInputError> {
    json_line::<CusumOptions>(line)
}

/// Draws the CUSUM chart of a `date,value` CSV text, as [`xmr_csv`](super::xmr_csv) reads it, and returns it as a record (see [`cusum_json_line`]) named `id`.
///
/// # Errors
///
/// With the number of the line, counted from 1, wherever the fault is in a line; all lines with a fault, of which the first 20 in words.
pub fn cusum_csv(text: &str, options: &CusumOptions, id: &str) -> Result<String, ChartInputError> {
    csv_text(text, options, id)
}

/// Computes the `expected` of one EWMA record and returns the record with it; all else is as for [`cusum_json_line`].
///
/// ```json
/// {"id": "x",
///  "options": {"mean": null, "sigma": null, "fix_after_n_points": null, "lambda": 0.2, "L": 2.86, "limits": "fix",
///              "after_signal": "continue"},
///  "dates": ["2010-04-01"], "values": [4.5], "expected": {}}
/// ```
///
/// `limits` is `fix`, or `vacl` for time-varying ones. `expected` has the columns `date`, `y`, `z` (standardised), `ewma`, `lcl` and `ucl` (the average and its limits, in
/// the units of the series), `signal_upper` and `signal_lower`; then `mean`, `sigma` and `arl0`.
///
/// # Errors
///
/// As [`cusum_json_line`].
pub fn ewma_json_line(line: &str) -> Result<String, ChartInputError> {
    json_line::<EwmaOptions>(line)
}

/// Draws the EWMA chart of a `date,value` CSV text and returns it as a record (see [`ewma_json_line`]) named `id`.
///
/// # Errors
///
/// As [`cusum_csv`].
pub fn ewma_csv(text: &str, options: &EwmaOptions, id: &str) -> Result<String, ChartInputError> {
    csv_text(text, options, id)
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

/// The options of a CUSUM as they stand in a record. An unknown one is refused: it may have been meant to change the chart.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
struct WrittenCusum {
    mean: Option<f64>,
    sigma: Option<f64>,
    fix_after_n_points: Option<usize>,
    k: Option<f64>,
    h: Option<f64>,
    headstart: Option<f64>,
    sided: Option<Sided>,
    after_signal: Option<After>,
    self_starting: Option<bool>,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum Sided {
    #[serde(alias = "one")]
    Upper,
    Lower,
    Two,
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

#[derive(Debug, Serialize)]
struct CusumColumns {
    date: Vec<Date>,
    y: Vec<Option<f64>>,
    z: Vec<Option<f64>>,
    upper: Vec<Option<f64>>,
    lower: Vec<Option<f64>>,
    signal_upper: Vec<bool>,
    signal_lower: Vec<bool>,
    mean: Option<f64>,
    sigma: Option<f64>,
    arl0: Option<f64>,
}

impl Kind for CusumOptions {
    type Written = WrittenCusum;
    type Columns = CusumColumns;

    fn read(written: &WrittenCusum) -> Result<Self, Refusal> {
        let default = CusumDesign::default();
        let sides = match written.sided {
            None | Some(Sided::Two) => Sides::Both,
            Some(Sided::Upper) => Sides::Upper,
            Some(Sided::Lower) => Sides::Lower,
        };
        let design = CusumDesign::new(
            written.k.unwrap_or(default.reference()),
            written.h.unwrap_or(default.decision()),
        )?
        .with_headstart(written.headstart.unwrap_or(default.headstart()))?
        .with_sides(sides);
        let scale = ScaleOptions {
            mean: written.mean,
            sigma: written.sigma,
            fix_after_n_points: written.fix_after_n_points,
        };
        let self_starting = written.self_starting.unwrap_or_default();
        if self_starting && scale != ScaleOptions::default() {
            return Err(invalid_option("a self-starting chart learns its scale; leave mean, sigma and fix_after_n_points out").into());
        }
        Ok(Self {
            scale,
            design,
            after_signal: written
                .after_signal
                .map_or_else(AfterSignal::default, Into::into),
            self_starting,
        })
    }

    fn written(&self) -> WrittenCusum {
        WrittenCusum {
            mean: self.scale.mean,
            sigma: self.scale.sigma,
            fix_after_n_points: self.scale.fix_after_n_points,
            k: Some(self.design.reference()),
            h: Some(self.design.decision()),
            headstart: Some(self.design.headstart()),
            sided: Some(match self.design.sides() {
                Sides::Both => Sided::Two,
                Sides::Upper => Sided::Upper,
                Sides::Lower => Sided::Lower,
            }),
            after_signal: Some(self.after_signal.into()),
            self_starting: Some(self.self_starting),
        }
    }

    fn draw(
        &self,
        dates: Vec<Date>,
        values: Vec<Option<f64>>,
    ) -> Result<CusumColumns, ParameterError> {
        let (design, after) = (self.design, self.after_signal);
        let (standard, z, points): (_, Vec<Option<f64>>, Vec<CusumPoint>) = if self.self_starting {
            let (z, points) = cusum::self_starting_chart(design, after, &values)
                .into_iter()
                .unzip();
            (None, z, points)
        } else {
            let standard = self.scale.standard(&values)?;
            let points = cusum::chart(standard, design, after, &values);
            (Some(standard), standardised(standard, &values), points)
        };
        let (watches_upper, watches_lower) = (
            design.sides().watches_upper(),
            design.sides().watches_lower(),
        );
        let sum = |watched: bool, pick: fn(&CusumPoint) -> f64| {
            let cell = |point| watched.then(|| pick(point));
            points.iter().map(cell).collect()
        };
        Ok(CusumColumns {
            date: dates,
            upper: sum(watches_upper, |point| point.upper),
            lower: sum(watches_lower, |point| point.lower),
            signal_upper: points.iter().map(|point| point.signal_upper).collect(),
            signal_lower: points.iter().map(|point| point.signal_lower).collect(),
            y: values,
            z,
            mean: standard.map(Standard::mean),
            sigma: standard.map(Standard::sigma),
            arl0: run_length::of_cusum(&design, 0.0).ok(),
        })
    }
}

/// The options of an EWMA as they stand in a record.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
struct WrittenEwma {
    mean: Option<f64>,
    sigma: Option<f64>,
    fix_after_n_points: Option<usize>,
    lambda: Option<f64>,
    #[serde(rename = "L")]
    width: Option<f64>,
    limits: Option<WrittenLimits>,
    after_signal: Option<After>,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum WrittenLimits {
    Fix,
    Vacl,
}

#[derive(Debug, Serialize)]
struct EwmaColumns {
    date: Vec<Date>,
    y: Vec<Option<f64>>,
    z: Vec<Option<f64>>,
    ewma: Vec<f64>,
    lcl: Vec<f64>,
    ucl: Vec<f64>,
    signal_upper: Vec<bool>,
    signal_lower: Vec<bool>,
    mean: f64,
    sigma: f64,
    arl0: Option<f64>,
}

impl Kind for EwmaOptions {
    type Written = WrittenEwma;
    type Columns = EwmaColumns;

    fn read(written: &WrittenEwma) -> Result<Self, Refusal> {
        let default = EwmaDesign::default();
        let limits = match written.limits {
            None | Some(WrittenLimits::Fix) => EwmaLimits::Fixed,
            Some(WrittenLimits::Vacl) => EwmaLimits::TimeVarying,
        };
        let lambda = written.lambda.unwrap_or(default.lambda());
        let width = written.width.unwrap_or(default.width());
        Ok(Self {
            scale: ScaleOptions {
                mean: written.mean,
                sigma: written.sigma,
                fix_after_n_points: written.fix_after_n_points,
            },
            design: EwmaDesign::new(lambda, width, limits)?,
            after_signal: written
                .after_signal
                .map_or_else(AfterSignal::default, Into::into),
        })
    }

    fn written(&self) -> WrittenEwma {
        WrittenEwma {
            mean: self.scale.mean,
            sigma: self.scale.sigma,
            fix_after_n_points: self.scale.fix_after_n_points,
            lambda: Some(self.design.lambda()),
            width: Some(self.design.width()),
            limits: Some(match self.design.limits() {
                EwmaLimits::Fixed => WrittenLimits::Fix,
                EwmaLimits::TimeVarying => WrittenLimits::Vacl,
            }),
            after_signal: Some(self.after_signal.into()),
        }
    }

    fn draw(
        &self,
        dates: Vec<Date>,
        values: Vec<Option<f64>>,
    ) -> Result<EwmaColumns, ParameterError> {
        let standard = self.scale.standard(&values)?;
        let points = ewma::chart(standard, self.design, self.after_signal, &values);
        let column = |pick: fn(&EwmaPoint) -> f64| {
            let cell = |point| standard.mean() + standard.sigma() * pick(point);
            points.iter().map(cell).collect()
        };
        Ok(EwmaColumns {
            date: dates,
            z: standardised(standard, &values),
            ewma: column(|point| point.average),
            lcl: column(|point| -point.limit),
            ucl: column(|point| point.limit),
            signal_upper: points.iter().map(|point| point.signal_upper).collect(),
            signal_lower: points.iter().map(|point| point.signal_lower).collect(),
            y: values,
            mean: standard.mean(),
            sigma: standard.sigma(),
            arl0: run_length::of_ewma(&self.design, 0.0).ok(),
        })
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

    type JsonLine = fn(&str) -> Result<String, ChartInputError>;

    const BOTH: [JsonLine; 2] = [cusum_json_line, ewma_json_line];

    fn expected(draw: JsonLine, line: &str) -> Value {
        let record: Value = serde_json::from_str(&draw(line).unwrap()).unwrap();
        record["expected"].clone()
    }

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
        let day = r#""dates":["2010-04-01","2010-05-01"]"#;
        for (line, code) in [
            (
                format!(r#"{{{day},"values":[1,"4"]}}"#),
                "value_not_numeric",
            ),
            (
                format!(r#"{{{day},"values":[1,1e301]}}"#),
                "value_out_of_range",
            ),
            (format!(r#"{{{day},"values":[1]}}"#), "lengths_differ"),
            (r#"{"dates":[],"values":[]}"#.into(), "no_points"),
            (
                r#"{"dates":["April"],"values":[1]}"#.into(),
                "unparseable_date",
            ),
            (
                r#"{"dates":["2010-04-01","2010-04-01"],"values":[1,2]}"#.into(),
                "duplicate_date",
            ),
            (format!(r#"{{{day},"values":[1,1]}}"#), "no_spread"),
            (format!(r#"{{{day},"values":[1,null]}}"#), "too_few_values"),
            (
                format!(r#"{{{day},"values":[1,2],"options":{{"sigma":0}}}}"#),
                "parameter_out_of_domain",
            ),
            (
                format!(r#"{{{day},"values":[1,2],"options":{{"sigma":"2"}}}}"#),
                "invalid_option",
            ),
            (
                format!(r#"{{{day},"values":[1,2],"options":{{"sigmma":2}}}}"#),
                "invalid_option",
            ),
            (
                format!(r#"{{{day},"values":[1,2],"options":{{"fix_after_n_points":1}}}}"#),
                "too_few_values",
            ),
        ] {
            for draw in BOTH {
                let expected = expected(draw, &line);
                let message = expected["error"].as_str().expect("an error");
                assert!(
                    message.starts_with(&format!("{code}: ")),
                    "{line}: {message}"
                );
            }
        }
        let of_cusum = r#"{"h":-1}"#;
        let of_ewma = r#"{"lambda":2}"#;
        for (draw, options) in BOTH.into_iter().zip([of_cusum, of_ewma]) {
            let expected = expected(
                draw,
                &format!(r#"{{{day},"values":[1,2],"options":{options}}}"#),
            );
            assert!(
                expected["error"]
                    .as_str()
                    .unwrap()
                    .starts_with("parameter_out_of_domain: ")
            );
        }
        let both = r#"{"self_starting":true,"mean":1}"#;
        let refused = expected(
            cusum_json_line,
            &format!(r#"{{{day},"values":[1,2],"options":{both}}}"#),
        );
        assert!(
            refused["error"]
                .as_str()
                .unwrap()
                .starts_with("invalid_option: ")
        );
    }

    #[test]
    fn what_is_no_record_is_refused_outright() {
        for draw in BOTH {
            assert!(matches!(
                draw("[]"),
                Err(ChartInputError::NotARecord { .. })
            ));
            assert_eq!(
                draw("{\"dates\":[],\n\"values\":[]}"),
                Err(ChartInputError::SeveralLines)
            );
            assert_eq!(
                draw(r#"{"dates":[]}"#),
                Err(ChartInputError::MissingField { name: "values" })
            );
            assert_eq!(
                draw(r#"{"dates":3,"values":[]}"#),
                Err(ChartInputError::NotAnArray { name: "dates" })
            );
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
