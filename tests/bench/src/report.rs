//! Tables of what was measured: a table a part, a line a figure, a column a side, and the ratio.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::results::{Row, Side};

/// Parts in the order of the report, with their headings.
const PARTS: [(&str, &str); 12] = [
    ("machine", "The machine"),
    ("submit", "Durable submissions"),
    ("fold", "Folding the history"),
    ("rebuild", "Full rebuild of ten years"),
    ("query", "Queries while submissions go on"),
    (
        "alerts",
        "From a submission to its alert on a watcher's stream",
    ),
    ("evaluate", "Evaluating a month of the whole nation"),
    ("start", "Starting with a full log"),
    ("disk", "Disk"),
    ("growth", "Growth"),
    ("kafka", "Many processes on Kafka"),
    ("run", "How long the parts took"),
];

/// What sides without a roll-up table are asked; our answer to the question is the same one in both cases.
pub const WITHOUT_TABLE: &str = ", without roll-up table";

/// The whole report.
pub fn markdown(rows: &[Row]) -> String {
    let mut text = String::from(
        "# Results\n\nWritten by `tests/bench/run --report tests/bench/results.md`, and only by it. What the figures mean and how they \
         were measured: [README.md](README.md). A ratio above 1 says how many times better ours is.\n\n",
    );
    for (part, heading) in PARTS {
        let of_part: Vec<&Row> = rows.iter().filter(|row| row.part == part).collect();
        if !of_part.is_empty() {
            write(&mut text, heading, &of_part).expect("a String takes everything");
        }
    }
    text
}

fn write(text: &mut String, heading: &str, rows: &[&Row]) -> std::fmt::Result {
    let sides = [
        (Side::Qipp, "QIPP Watch"),
        (Side::Postgresql, "PostgreSQL"),
        (Side::Duckdb, "DuckDB"),
    ];
    let sides: Vec<(Side, &str)> = sides
        .into_iter()
        .filter(|(side, _)| *side == Side::Qipp || rows.iter().any(|row| row.side == *side))
        .collect();
    writeln!(text, "## {heading}\n")?;
    write!(text, "| | |")?;
    for (side, name) in &sides {
        write!(text, " {name} |")?;
        if *side != Side::Qipp {
            write!(text, " ratio |")?;
        }
    }
    write!(text, "\n|---|---|")?;
    for (side, _) in &sides {
        write!(
            text,
            "{}",
            if *side == Side::Qipp {
                "---:|"
            } else {
                "---:|---:|"
            }
        )?;
    }
    writeln!(text)?;
    let mut last_case = "";
    for (case, metric, unit) in lines(rows) {
        let find = |side: Side, case: &str| {
            rows.iter().find(|row| {
                row.side == side && row.case == case && row.metric == metric && row.unit == unit
            })
        };
        let shown_case = if case == last_case { "" } else { case };
        last_case = case;
        write!(text, "| {shown_case} | {metric} |")?;
        let plain = case.strip_suffix(WITHOUT_TABLE).unwrap_or(case);
        let ours = find(Side::Qipp, plain);
        for (side, _) in &sides {
            let found = if *side == Side::Qipp {
                ours
            } else {
                find(*side, case)
            };
            write!(
                text,
                " {} |",
                found.map(|row| row.shown()).unwrap_or_default()
            )?;
            if *side != Side::Qipp {
                let ratio = ours
                    .zip(found)
                    .and_then(|(ours, theirs)| ratio(ours, theirs));
                write!(text, " {} |", ratio.map(times).unwrap_or_default())?;
            }
        }
        writeln!(text)?;
    }
    writeln!(text)
}

/// Every figure once, cases together, ours first, then in the order in which they came.
fn lines<'a>(rows: &[&'a Row]) -> Vec<(&'a str, &'a str, &'a str)> {
    let mut cases: Vec<&str> = Vec::new();
    let mut by_case: BTreeMap<&str, Vec<(&str, &str, &str)>> = BTreeMap::new();
    let mut rows = rows.to_vec();
    rows.sort_by_key(|row| row.side);
    for row in rows {
        if !cases.contains(&row.case.as_str()) {
            cases.push(&row.case);
        }
        let line = (row.case.as_str(), row.metric.as_str(), row.unit.as_str());
        let lines = by_case.entry(&row.case).or_default();
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    cases
        .into_iter()
        .flat_map(|case| by_case.remove(case).unwrap_or_default())
        .collect()
}

/// How many times better ours is; nothing where nothing is to be compared.
fn ratio(ours: &Row, theirs: &Row) -> Option<f64> {
    if ours.background || theirs.background || ours.value <= 0.0 || theirs.value <= 0.0 {
        return None;
    }
    Some(if ours.less_is_better {
        theirs.value / ours.value
    } else {
        ours.value / theirs.value
    })
}

fn times(ratio: f64) -> String {
    format!("{}×", crate::results::number(ratio, ""))
}
