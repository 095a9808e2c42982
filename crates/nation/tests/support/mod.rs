//! What the tests share: the trusts of the shipped data, and residuals as a reader of the returns would take them.
#![allow(dead_code, reason = "each test binary uses a part of it")]

pub(crate) mod portrait;

use std::collections::BTreeMap;
use std::path::PathBuf;

use qipp_domain::returns::Value;
use qipp_domain::{MarkerCode, OrgCode, Pence, Period, SeriesKey};
use qipp_nation::{Simulation, TrustInput};

/// A file of the shipped data, as rows of column name to text.
pub(crate) fn shipped(name: &str) -> Vec<BTreeMap<String, String>> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../data")
        .join(name);
    let mut reader = csv::Reader::from_path(path).unwrap();
    reader.deserialize().map(Result::unwrap).collect()
}

/// The first `n` organisations of the shipped trust characteristics, all taken as acute.
pub(crate) fn trusts(n: usize) -> Vec<TrustInput> {
    let rows = shipped("trust_characteristics_peerfinder.csv");
    let thousands =
        |row: &BTreeMap<String, String>| -row["operating_expenses"].parse::<i64>().unwrap();
    rows.iter()
        .take(n)
        .map(|row| {
            TrustInput::acute(
                OrgCode::new(&row["org_code"]).unwrap(),
                Pence(thousands(row) * 100_000),
            )
        })
        .collect()
}

pub(crate) fn month(text: &str) -> Period {
    text.parse().unwrap()
}

pub(crate) fn median(mut numbers: Vec<f64>) -> f64 {
    assert!(!numbers.is_empty());
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

pub(crate) fn quantile(mut numbers: Vec<f64>, q: f64) -> f64 {
    numbers.sort_by(f64::total_cmp);
    let below = |index: usize| (index as f64) < (numbers.len() - 1) as f64 * q;
    numbers[(0..numbers.len()).take_while(|index| below(*index)).count()]
}

pub(crate) fn mean(numbers: &[f64]) -> f64 {
    numbers.iter().sum::<f64>() / numbers.len() as f64
}

pub(crate) fn sd(numbers: &[f64]) -> f64 {
    let m = mean(numbers);
    (numbers.iter().map(|x| (x - m).powi(2)).sum::<f64>() / (numbers.len() - 1) as f64).sqrt()
}

/// Pearson correlation.
pub(crate) fn correlation(pairs: &[(f64, f64)]) -> f64 {
    let (xs, ys): (Vec<f64>, Vec<f64>) = pairs.iter().copied().unzip();
    let (mx, my) = (mean(&xs), mean(&ys));
    let sum = |f: &dyn Fn(f64, f64) -> f64| pairs.iter().map(|(x, y)| f(*x, *y)).sum::<f64>();
    let (sxy, sxx, syy) = (
        sum(&|x, y| (x - mx) * (y - my)),
        sum(&|x, _| (x - mx).powi(2)),
        sum(&|_, y| (y - my).powi(2)),
    );
    sxy / (sxx * syy).sqrt()
}

/// By organisation and month: logit (proportions) or log (rates), oriented so that plus is adverse, less the median
/// over all organisations of the month.
pub(crate) type Residuals = BTreeMap<OrgCode, BTreeMap<Period, f64>>;

/// The residuals of one marker; `proportion` and `adverse` (1 or -1) describe it.
pub(crate) fn residuals(
    simulation: &Simulation,
    marker: &str,
    proportion: bool,
    adverse: f64,
) -> Residuals {
    let key = SeriesKey::whole(MarkerCode::new(marker).unwrap());
    let mut by_month: BTreeMap<Period, BTreeMap<OrgCode, f64>> = BTreeMap::new();
    for trust in &simulation.trusts {
        for (period, observations) in &trust.quality {
            let Some(observation) = observations.iter().find(|o| o.key == key) else {
                continue;
            };
            let Value::Measured(m) = observation.value else {
                continue;
            };
            let (x, n) = (m.numerator.to_f64(), m.denominator.unwrap().to_f64());
            // Half an event keeps zeros finite.
            let y = if proportion {
                ((x + 0.5) / (n - x + 0.5)).ln()
            } else {
                ((x + 0.5) / n).ln()
            };
            by_month
                .entry(*period)
                .or_default()
                .insert(trust.org, y * adverse);
        }
    }
    let mut residuals = Residuals::new();
    for (period, month) in by_month {
        let national = median(month.values().copied().collect());
        for (org, y) in month {
            residuals
                .entry(org)
                .or_default()
                .insert(period, y - national);
        }
    }
    residuals
}
