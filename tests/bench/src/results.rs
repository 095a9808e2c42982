//! What was measured: one line of JSON a figure, so that parts can be run singly and reported together.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Whose figure it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// Ours.
    Qipp,
    /// PostgreSQL.
    Postgresql,
    /// DuckDB.
    Duckdb,
}

/// One figure.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Row {
    /// Which part of the measurements: `submit`, `fold`, …
    pub part: String,
    /// What was measured, in words. Sides are compared where part, case and metric are equal.
    pub case: String,
    /// Whose.
    pub side: Side,
    /// What the figure is.
    pub metric: String,
    /// Its unit; empty for a number of things.
    #[serde(default)]
    pub unit: String,
    /// The figure.
    pub value: f64,
    /// Is less better? Decides which way the ratio goes.
    #[serde(default)]
    pub less_is_better: bool,
    /// Only told, never compared: what has to be known to read the others.
    #[serde(default)]
    pub background: bool,
    /// In words, where there is no number.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub words: String,
}

/// A file of results.
#[derive(Clone, Debug)]
pub struct Results {
    file: PathBuf,
}

impl Results {
    /// Appends to this file.
    pub fn to(file: &Path) -> Self {
        Self {
            file: file.to_owned(),
        }
    }

    /// Adds a row and shows it.
    pub fn add(&self, row: &Row) -> anyhow::Result<()> {
        crate::say(&format!(
            "{:>9} · {} · {:?} · {}: {}",
            row.part,
            row.case,
            row.side,
            row.metric,
            row.shown()
        ));
        let mut file = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.file)
            .with_context(|| format!("can't write {}", self.file.display()))?;
        writeln!(file, "{}", serde_json::to_string(row)?)?;
        Ok(())
    }

    /// Figures of one case of one side.
    pub fn of(&self, part: &str, case: &str, side: Side) -> Case<'_> {
        Case {
            results: self,
            part: part.to_owned(),
            case: case.to_owned(),
            side,
        }
    }

    /// Adds what has to be known and is no number.
    pub fn fact(&self, name: &str, words: &str) -> anyhow::Result<()> {
        self.add(&Row {
            part: "machine".to_owned(),
            case: "this machine".to_owned(),
            side: Side::Qipp,
            metric: name.to_owned(),
            unit: String::new(),
            value: 0.0,
            less_is_better: false,
            background: true,
            words: words.to_owned(),
        })
    }

    /// All rows of a file; of rows with the same names the last one counts.
    pub fn read(file: &Path) -> anyhow::Result<Vec<Row>> {
        let text = std::fs::read_to_string(file)
            .with_context(|| format!("can't read {}", file.display()))?;
        let mut order: BTreeMap<(String, String, Side, String), usize> = BTreeMap::new();
        let mut rows: Vec<Row> = Vec::new();
        for (number, line) in text
            .lines()
            .enumerate()
            .filter(|(_, line)| !line.is_empty())
        {
            let row: Row = serde_json::from_str(line)
                .with_context(|| format!("line {} of {}", number + 1, file.display()))?;
            let key = (
                row.part.clone(),
                row.case.clone(),
                row.side,
                format!("{} {}", row.metric, row.unit),
            );
            match order.get(&key) {
                Some(index) => rows[*index] = row,
                None => {
                    order.insert(key, rows.len());
                    rows.push(row);
                }
            }
        }
        Ok(rows)
    }
}

/// Where figures of one case go.
#[derive(Clone, Debug)]
pub struct Case<'a> {
    results: &'a Results,
    part: String,
    case: String,
    side: Side,
}

impl Case<'_> {
    /// A figure of which more is better.
    pub fn more(&self, metric: &str, unit: &str, value: f64) -> anyhow::Result<()> {
        self.add(metric, unit, value, false, false)
    }

    /// A figure of which less is better.
    pub fn less(&self, metric: &str, unit: &str, value: f64) -> anyhow::Result<()> {
        self.add(metric, unit, value, true, false)
    }

    /// A figure that is only told.
    pub fn told(&self, metric: &str, unit: &str, value: f64) -> anyhow::Result<()> {
        self.add(metric, unit, value, false, true)
    }

    /// Percentiles of a histogram of microseconds, in milliseconds.
    pub fn percentiles(&self, histogram: &Histogram<u64>) -> anyhow::Result<()> {
        for (name, quantile) in [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)] {
            let micros = histogram.value_at_quantile(quantile);
            self.less(name, "ms", micros as f64 / 1e3)?;
        }
        self.told("measured", "", histogram.len() as f64)
    }

    fn add(
        &self,
        metric: &str,
        unit: &str,
        value: f64,
        less_is_better: bool,
        background: bool,
    ) -> anyhow::Result<()> {
        self.results.add(&Row {
            part: self.part.clone(),
            case: self.case.clone(),
            side: self.side,
            metric: metric.to_owned(),
            unit: unit.to_owned(),
            value,
            less_is_better,
            background,
            words: String::new(),
        })
    }
}

impl Row {
    /// The figure as people read it.
    pub fn shown(&self) -> String {
        if self.words.is_empty() {
            number(self.value, &self.unit)
        } else {
            self.words.clone()
        }
    }
}

/// A histogram of latencies, microseconds, three digits, up to ten minutes.
pub fn latencies() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 600_000_000, 3).expect("the bounds are sound")
}

/// Notes a latency.
pub fn note(histogram: &mut Histogram<u64>, took: std::time::Duration) {
    histogram.saturating_record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1));
}

/// A figure as people read it.
pub fn number(value: f64, unit: &str) -> String {
    let digits = match value.abs() {
        v if v >= 100.0 || v == 0.0 => 0,
        v if v >= 10.0 => 1,
        v if v >= 1.0 => 2,
        _ => 3,
    };
    let plain = format!("{value:.digits$}");
    let (whole, rest) = plain
        .split_once('.')
        .map_or((plain.as_str(), ""), |(w, r)| (w, r));
    let mut grouped = String::new();
    for (i, digit) in whole.chars().enumerate() {
        if i > 0
            && digit.is_ascii_digit()
            && (whole.len() - i).is_multiple_of(3)
            && !grouped.ends_with('-')
        {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    let rest = if rest.is_empty() {
        String::new()
    } else {
        format!(".{rest}")
    };
    let unit = if unit.is_empty() {
        String::new()
    } else {
        format!(" {unit}")
    };
    format!("{grouped}{rest}{unit}")
}
