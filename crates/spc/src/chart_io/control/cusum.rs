//! Records of CUSUM charts.

use serde::{Deserialize, Serialize};

use super::{After, Kind, ScaleOptions, csv_text, json_line, standardised};
use crate::chart_io::ChartInputError;
use crate::chart_io::record::{Refusal, invalid_option};
use crate::cusum::{self, CusumDesign, CusumPoint};
use crate::standard::{AfterSignal, Sides, Standard};
use crate::{Date, ParameterError, run_length};

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

/// Computes the `expected` of one CUSUM record and returns the record with it; all else is as for [`xmr_json_line`](crate::chart_io::xmr_json_line).
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

/// Draws the CUSUM chart of a `date,value` CSV text, as [`xmr_csv`](crate::chart_io::xmr_csv) reads it, and returns it as a record (see [`cusum_json_line`]) named `id`.
///
/// # Errors
///
/// With the number of the line, counted from 1, wherever the fault is in a line; all lines with a fault, of which the first 20 in words.
pub fn cusum_csv(text: &str, options: &CusumOptions, id: &str) -> Result<String, ChartInputError> {
    csv_text(text, options, id)
}

/// The options of a CUSUM as they stand in a record. An unknown one is refused: it may have been meant to change the chart.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct WrittenCusum {
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

#[derive(Debug, Serialize)]
pub(super) struct CusumColumns {
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
