//! Records of EWMA charts.

use serde::{Deserialize, Serialize};

use super::{After, Kind, ScaleOptions, csv_text, json_line, standardised};
use crate::chart_io::ChartInputError;
use crate::chart_io::record::Refusal;
use crate::ewma::{self, EwmaDesign, EwmaLimits, EwmaPoint};
use crate::standard::AfterSignal;
use crate::{Date, ParameterError, run_length};

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

/// Computes the `expected` of one EWMA record and returns the record with it; all else is as for [`cusum_json_line`](crate::chart_io::cusum_json_line).
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
/// As [`cusum_json_line`](crate::chart_io::cusum_json_line).
pub fn ewma_json_line(line: &str) -> Result<String, ChartInputError> {
    json_line::<EwmaOptions>(line)
}

/// Draws the EWMA chart of a `date,value` CSV text and returns it as a record (see [`ewma_json_line`]) named `id`.
///
/// # Errors
///
/// As [`cusum_csv`](crate::chart_io::cusum_csv).
pub fn ewma_csv(text: &str, options: &EwmaOptions, id: &str) -> Result<String, ChartInputError> {
    csv_text(text, options, id)
}

/// The options of an EWMA as they stand in a record.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct WrittenEwma {
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
pub(super) struct EwmaColumns {
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
