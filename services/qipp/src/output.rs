//! What a person sees: tables in columns, or JSON for scripts.

use std::io::{ErrorKind, Write as _};

use prost::Message;

use crate::exit::{FAILED, Failure, OK, Outcome};

/// A table with a header; columns are as wide as their widest cell. Columns named in `right` are numbers.
pub(crate) struct Table {
    header: Vec<&'static str>,
    right: Vec<bool>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// `>name` is a column of numbers.
    pub(crate) fn new(header: &[&'static str]) -> Self {
        let right = header.iter().map(|name| name.starts_with('>')).collect();
        Self {
            header: header
                .iter()
                .map(|name| name.trim_start_matches('>'))
                .collect(),
            right,
            rows: Vec::new(),
        }
    }

    pub(crate) fn row(&mut self, cells: Vec<String>) {
        self.rows
            .push(cells.into_iter().map(|cell| plain(&cell)).collect());
    }

    pub(crate) fn print(&self) {
        print!("{}", self.text());
    }

    /// As `print`, for verbs whose reader may leave early (`| head`).
    ///
    /// # Errors
    /// When it can't be written; [`quietly`] forgives a reader that has left.
    pub(crate) fn show(&self) -> Result<(), Failure> {
        write(&self.text())
    }

    /// The table as text.
    pub(crate) fn text(&self) -> String {
        let header: Vec<String> = self.header.iter().map(|name| (*name).to_owned()).collect();
        let width = |column: usize| {
            let cells = std::iter::once(&header)
                .chain(&self.rows)
                .filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..header.len()).map(width).collect();
        let mut text = String::new();
        for row in std::iter::once(&header).chain(&self.rows) {
            let cells = row
                .iter()
                .zip(&widths)
                .zip(&self.right)
                .map(|((cell, width), right)| {
                    if *right {
                        format!("{cell:>width$}")
                    } else {
                        format!("{cell:<width$}")
                    }
                });
            text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
            text.push('\n');
        }
        if self.rows.is_empty() {
            text.push_str("(nothing)\n");
        }
        text
    }
}

/// Writes to standard output, at once.
///
/// # Errors
/// When it can't be written; [`quietly`] forgives a reader that has left.
pub(crate) fn write(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

/// Writes a line to standard output, at once.
///
/// # Errors
/// As [`write`].
pub(crate) fn line(text: &str) -> Result<(), Failure> {
    write(&format!("{text}\n"))
}

/// A reader that has left (`| head`) ends a verb, and is no failure.
pub(crate) fn quietly(outcome: Outcome) -> Outcome {
    match outcome {
        Err(failure) if is_closed_pipe(&failure) => Ok(OK),
        other => other,
    }
}

fn is_closed_pipe(failure: &Failure) -> bool {
    failure
        .error
        .downcast_ref::<std::io::Error>()
        .is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}

/// Text that somebody sent, on one line and without characters that a terminal would obey.
pub(crate) fn plain(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

/// The mark of simulated figures; empty for real ones.
pub(crate) fn simulated(is: bool) -> String {
    if is {
        "simulated".to_owned()
    } else {
        String::new()
    }
}

/// A message of the contract as one line of canonical JSON.
///
/// # Errors
/// When `name` is not a message of the contract.
pub(crate) fn json_line(name: &str, message: &impl Message) -> Result<String, Failure> {
    let json = qipp_api::json::to_json(name, &message.encode_to_vec());
    json.map(|value| value.to_string())
        .map_err(|error| Failure::new(FAILED, error))
}

/// Pence as pounds, or a dash where there is no figure.
pub(crate) fn pounds(pence: Option<i64>) -> String {
    pence.map_or_else(
        || "–".to_owned(),
        |pence| qipp_domain::Pence(pence).to_string(),
    )
}

/// Pence as millions of pounds.
#[allow(clippy::cast_precision_loss, reason = "a figure to one decimal")]
pub(crate) fn millions(pence: Option<i64>) -> String {
    pence.map_or_else(
        || "–".to_owned(),
        |pence| format!("£{:.1}m", pence as f64 / 1e8),
    )
}

/// A share as a percentage.
pub(crate) fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "–".to_owned(), |share| format!("{:.1}%", share * 100.0))
}

/// A word of an enumeration without its prefix: `SEVERITY_RED` → `red`.
pub(crate) fn word(name: &str, prefix: &str) -> String {
    name.strip_prefix(prefix).unwrap_or(name).to_lowercase()
}
