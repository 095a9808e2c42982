//! Rows and cells of one file.

use csv::{ByteRecord, Reader, ReaderBuilder, Trim};
use qipp_domain::Period;

use super::fault::{Log, Place};

/// Longest code or name of a domain, characters.
const LONGEST: usize = 64;
/// Largest number in a cell.
const LARGEST: f64 = 1e18;
/// What else than an empty cell is missing.
const MISSING: [&str; 4] = ["NA", "NaN", "null", "None"];

/// A file while it is read.
pub(super) struct Sheet<'a> {
    file: &'static str,
    reader: Reader<&'a [u8]>,
    record: ByteRecord,
    /// By the columns asked for: their names, and where they are.
    columns: Vec<(&'static str, Option<usize>)>,
    width: usize,
}

/// One row of it.
#[derive(Clone, Copy)]
pub(super) struct Row<'a> {
    pub(super) file: &'static str,
    pub(super) line: u64,
    record: &'a ByteRecord,
    columns: &'a [(&'static str, Option<usize>)],
}

impl<'a> Sheet<'a> {
    /// Opens a file. `None` when it has no header or lacks a column of `required`; `optional` ones may be missing, and others
    /// are ignored with a note.
    pub(super) fn open(
        file: &'static str,
        bytes: &'a [u8],
        required: &[&'static str],
        optional: &[&'static str],
        log: &mut Log,
    ) -> Option<Self> {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let mut reader = ReaderBuilder::new()
            .flexible(true)
            .trim(Trim::All)
            .from_reader(bytes);
        let header = reader.byte_headers().cloned().unwrap_or_default();
        let names: Vec<String> = header
            .iter()
            .map(|name| plain(&String::from_utf8_lossy(name)).to_lowercase())
            .map(|name| name.replace([' ', '-'], "_"))
            .collect();
        let place = |column| Place {
            file,
            line: 1,
            column,
        };
        let mut is_whole = true;
        let mut columns = Vec::new();
        for name in required.iter().chain(optional) {
            let mut at = (0..names.len()).filter(|at| names[*at] == **name);
            let found = at.next();
            if at.next().is_some() {
                is_whole = false;
                log.fault(
                    "DUPLICATE_COLUMN",
                    place(name),
                    "two columns have this name: keep one".to_owned(),
                );
            }
            if found.is_none() && required.contains(name) {
                is_whole = false;
                let found = names.join(", ");
                let what = format!("there is no such column; there are: {found}");
                log.fault("MISSING_COLUMN", place(name), what);
            }
            columns.push((*name, found));
        }
        let ignored: Vec<&str> = names
            .iter()
            .map(String::as_str)
            .filter(|name| !required.contains(name) && !optional.contains(name))
            .collect();
        if is_whole && !ignored.is_empty() {
            log.note(format!("{file}: ignored columns {}", ignored.join(", ")));
        }
        is_whole.then_some(Self {
            file,
            reader,
            record: ByteRecord::new(),
            columns,
            width: names.len(),
        })
    }

    /// Is there such a column?
    pub(super) fn has(&self, name: &str) -> bool {
        let mut columns = self.columns.iter();
        columns.any(|(held, at)| *held == name && at.is_some())
    }

    /// The next row of the right length; others are faults.
    pub(super) fn next(&mut self, log: &mut Log) -> Option<Row<'_>> {
        loop {
            // Bytes in memory can't fail to be read, and any length is let through, so an error is not to be expected.
            if !self.reader.read_byte_record(&mut self.record).ok()? {
                return None;
            }
            let line = self.record.position().map_or(0, csv::Position::line);
            if self.record.len() == self.width {
                break;
            }
            let place = Place {
                file: self.file,
                line,
                column: "",
            };
            let what = format!(
                "the row has {} cells and the header {}",
                self.record.len(),
                self.width
            );
            log.fault("ROW_LENGTH", place, what);
        }
        Some(Row {
            file: self.file,
            line: self.record.position().map_or(0, csv::Position::line),
            record: &self.record,
            columns: &self.columns,
        })
    }
}

impl<'a> Row<'a> {
    pub(super) fn place(&self, column: &'a str) -> Place<'a> {
        Place {
            file: self.file,
            line: self.line,
            column,
        }
    }

    /// The cell, `""` where there is no such column.
    pub(super) fn text(&self, column: &'static str, log: &mut Log) -> Option<&'a str> {
        let at = self
            .columns
            .iter()
            .find(|(name, _)| *name == column)
            .and_then(|(_, at)| *at);
        let Some(at) = at else { return Some("") };
        let cell = self.record.get(at).unwrap_or_default();
        let text = std::str::from_utf8(cell).ok();
        if text.is_none() {
            let what = "the text is not UTF-8: save the file as CSV UTF-8".to_owned();
            log.fault("NOT_UTF8", self.place(column), what);
        }
        text
    }

    /// A code or a name: text of 1 to 64 characters.
    pub(super) fn code(&self, column: &'static str, log: &mut Log) -> Option<&'a str> {
        let text = self.text(column, log)?;
        let problem = if text.is_empty() {
            "it is empty: give a code"
        } else if text.chars().count() > LONGEST {
            "it is longer than 64 characters: shorten it"
        } else if text.chars().any(char::is_control) {
            "it has a control character: take it out"
        } else {
            return Some(text);
        };
        log.fault("INVALID_CODE", self.place(column), problem.to_owned());
        None
    }

    /// A month; a day counts as its month. `Some(None)`: the cell is empty.
    pub(super) fn month(&self, column: &'static str, log: &mut Log) -> Option<Option<Period>> {
        let text = self.text(column, log)?;
        if is_missing(text) {
            return Some(None);
        }
        let period = month_of(text);
        if period.is_none() {
            let what = format!(
                "{} is no month: write YYYY-MM, from 1990-01 to 2100-12",
                quoted(text)
            );
            log.fault("INVALID_PERIOD", self.place(column), what);
        }
        period.map(Some)
    }

    /// A month that has to be there.
    pub(super) fn required_month(&self, column: &'static str, log: &mut Log) -> Option<Period> {
        let month = self.month(column, log)?;
        if month.is_none() {
            let what = "it is empty: write the month as YYYY-MM".to_owned();
            log.fault("MISSING_PERIOD", self.place(column), what);
        }
        month
    }

    /// A number; NaN where it is missing.
    pub(super) fn number(&self, column: &'static str, log: &mut Log) -> Option<f64> {
        let text = self.text(column, log)?;
        if is_missing(text) {
            return Some(f64::NAN);
        }
        let number = text.parse::<f64>().ok();
        let number = number.filter(|number| number.is_finite());
        let what = match number {
            Some(number) if number.abs() <= LARGEST => return Some(number),
            Some(_) => format!("{} is too large: give at most {LARGEST:e}", quoted(text)),
            None => format!(
                "{} is no number: write digits with a point for decimals, or leave the cell empty where it is missing",
                quoted(text)
            ),
        };
        log.fault("INVALID_NUMBER", self.place(column), what);
        None
    }
}

/// Does the cell say that there is nothing?
pub(super) fn is_missing(text: &str) -> bool {
    text.is_empty() || MISSING.iter().any(|word| text.eq_ignore_ascii_case(word))
}

/// `YYYY-MM`, or a day with whatever time behind it.
fn month_of(text: &str) -> Option<Period> {
    let month = text.get(..7)?.parse().ok()?;
    match text.get(7..)? {
        "" => Some(month),
        _ => text
            .get(..10)?
            .parse::<jiff::civil::Date>()
            .ok()
            .map(|_| month),
    }
}

/// Somebody's text in a message: short, and without characters that a terminal would obey.
pub(super) fn quoted(text: &str) -> String {
    let short: String = text.chars().take(40).collect();
    format!("`{}`", plain(&short))
}

fn plain(text: &str) -> String {
    let text = text.trim();
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}
