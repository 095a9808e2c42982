//! Reading a table of text that people made: with a byte order mark or without, from any spreadsheet, in any order of columns.
//!
//! A reader names its columns in a [`Layout`] and gets its rows one by one. What is wrong with the table itself (its bytes, its header,
//! the shape of its rows, cells that no column may hold) is found here, once for all formats.

use std::borrow::Cow;
use std::collections::BTreeMap;

use csv::{ReaderBuilder, StringRecord};

use super::cell::{Cell, shown};
use super::faults::{Faults, Parsed, Reported};

/// Largest file, bytes.
pub const MAX_BYTES: usize = 64 * 1024 * 1024;
/// Most rows below the header.
pub const MAX_ROWS: usize = 1_000_000;
/// Longest cell, bytes.
pub const MAX_CELL_BYTES: usize = 4_000;

/// The columns of a format, in lower case.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    /// What the format is called.
    pub(crate) format: &'static str,
    /// Columns that have to be there.
    pub(crate) required: &'static [&'static str],
    /// Columns that may be there.
    pub(crate) optional: &'static [&'static str],
    /// Columns that may be there and are not read.
    pub(crate) ignored: &'static [&'static str],
}

impl Layout {
    fn known(&self, name: &str) -> Option<&'static str> {
        let all = self
            .required
            .iter()
            .chain(self.optional)
            .chain(self.ignored);
        all.copied().find(|known| *known == name)
    }

    fn refuse(&self, name: &str) -> String {
        format!(
            "`{}` is not a column of {}: take it out, or check its name; its columns are {}",
            shown(name),
            self.format,
            [self.required, self.optional].concat().join(", ")
        )
    }
}

/// The header of a file: where each column stands.
#[derive(Debug)]
struct Header {
    names: Vec<String>,
    columns: BTreeMap<&'static str, usize>,
    separator: u8,
}

/// One row of a table.
#[derive(Debug)]
pub(crate) struct Row<'a> {
    line: u64,
    record: &'a StringRecord,
    header: &'a Header,
    /// Columns whose cell has been reported as unfit.
    unfit: &'a [usize],
}

impl<'a> Row<'a> {
    /// Line of the file, from 1.
    pub(crate) fn line(&self) -> u64 {
        self.line
    }

    /// The cell of a column; empty when the file does not have the column.
    pub(crate) fn cell(&self, column: &'static str) -> Cell<'a> {
        let index = self.header.columns.get(column).copied();
        let text = index.and_then(|i| self.record.get(i)).unwrap_or("").trim();
        let unfit = index.is_some_and(|i| self.unfit.contains(&i));
        Cell::new(self.line, column, text, self.header.separator, unfit)
    }

    /// The text of a column that may be empty.
    pub(crate) fn text(&self, column: &'static str) -> Parsed<&'a str> {
        self.cell(column).text()
    }
}

/// Reads a table and shows every row to `visit`.
pub(crate) fn each_row(
    bytes: &[u8],
    layout: &Layout,
    faults: &mut Faults,
    mut visit: impl FnMut(&Row<'_>, &mut Faults),
) {
    let Ok(text) = decode(bytes, faults) else {
        return;
    };
    let broken = match &text {
        Cow::Borrowed(_) => None,
        Cow::Owned(_) => Some(first_broken_line(bytes)),
    };
    let found = read_rows(&text, layout, faults, &mut visit);
    if let Some(line) = broken.filter(|_| !found) {
        faults.push("NOT_UTF8", format!("line {line}"), NOT_UTF8);
    }
}

/// Shows every row; answers whether a cell with characters that are none was reported.
fn read_rows(
    text: &str,
    layout: &Layout,
    faults: &mut Faults,
    visit: &mut impl FnMut(&Row<'_>, &mut Faults),
) -> bool {
    let mut found = false;
    let Ok(mut records) = Records::new(text, faults) else {
        return found;
    };
    let mut record = StringRecord::new();
    let Some(line) = records.next(&mut record, faults) else {
        let what = format!(
            "the file is empty: the first line of {} names the columns {}",
            layout.format,
            layout.required.join(", ")
        );
        faults.push("EMPTY_FILE", "file", what);
        return found;
    };
    let Ok(header) = read_header(&record, records.separator, line, layout, faults) else {
        return found;
    };
    let mut rows = 0_usize;
    while let Some(line) = records.next(&mut record, faults) {
        rows += 1;
        if rows > MAX_ROWS {
            let what = format!("more than {MAX_ROWS} rows: split the file");
            faults.push("TOO_MANY_ROWS", format!("line {line}"), what);
            return found;
        }
        let unfit = check_row(&record, &header, line, faults);
        found |= record.iter().any(|cell| cell.contains(BROKEN));
        let row = Row {
            line,
            record: &record,
            header: &header,
            unfit: &unfit,
        };
        visit(&row, faults);
    }
    if rows == 0 {
        faults.push("NO_ROWS", "file", "there are no rows below the header");
    }
    found
}

/// The records of a text that say anything, with their lines.
struct Records<'a> {
    reader: csv::Reader<&'a [u8]>,
    lines: Lines<'a>,
    separator: u8,
}

impl<'a> Records<'a> {
    fn new(text: &'a str, faults: &mut Faults) -> Parsed<Self> {
        let stated = stated_separator(text);
        let separator = match stated {
            None => separator(text),
            Some("," | "") => b',',
            Some(";") => b';',
            Some("\t") => b'\t',
            Some(other) => {
                let what = format!(
                    "the separator `{}` is not read: use a comma, a semicolon or a tab, and leave this line away",
                    shown(other)
                );
                faults.push("BAD_SEPARATOR", "line 1", what);
                return Err(Reported);
            }
        };
        let mut records = Self {
            reader: ReaderBuilder::new()
                .delimiter(separator)
                .has_headers(false)
                .flexible(true)
                .from_reader(text.as_bytes()),
            lines: Lines::new(text.as_bytes()),
            separator,
        };
        if stated.is_some() {
            records.next(&mut StringRecord::new(), faults);
        }
        Ok(records)
    }

    /// Reads the next one and gives its line; `None` at the end.
    fn next(&mut self, record: &mut StringRecord, faults: &mut Faults) -> Option<u64> {
        loop {
            match self.reader.read_record(record) {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => {
                    let what = format!(
                        "the table can't be read any further ({error}): save it as CSV again"
                    );
                    faults.push("BAD_CSV", "file", what);
                    return None;
                }
            }
            let line = self
                .lines
                .at(record.position().map_or(0, csv::Position::byte));
            // Spreadsheets write rows of nothing where somebody once clicked.
            if record.iter().any(|cell| !cell.trim().is_empty()) {
                return Some(line);
            }
        }
    }
}

/// The text of a file, or the reason why its bytes are none.
fn decode<'a>(bytes: &'a [u8], faults: &mut Faults) -> Parsed<Cow<'a, str>> {
    if bytes.len() > MAX_BYTES {
        let what = format!(
            "{} bytes are more than the {MAX_BYTES} that a file may have: split it",
            bytes.len()
        );
        faults.push("FILE_TOO_LARGE", "file", what);
        return Err(Reported);
    }
    let other = match bytes {
        [0x50, 0x4B, 0x03, 0x04, ..] => Some("an Excel workbook (or another zip archive)"),
        [0xD0, 0xCF, 0x11, 0xE0, ..] => Some("an old Excel workbook"),
        [0x1F, 0x8B, ..] => Some("compressed (gzip)"),
        // With its mark, or a zero beside the first character.
        [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] | [0, _, ..] | [_, 0, ..] => Some("UTF-16 text"),
        _ => None,
    };
    if let Some(other) = other {
        let what = format!("the file is {other}: save it as `CSV UTF-8`");
        faults.push("NOT_CSV", "file", what);
        return Err(Reported);
    }
    // Bytes that are no character hide no fault of the rest.
    Ok(String::from_utf8_lossy(without_mark(bytes)))
}

/// What stands for bytes that are no character.
const BROKEN: char = char::REPLACEMENT_CHARACTER;
const NOT_UTF8: &str = "a character is not UTF-8: save the file as `CSV UTF-8` (probably a £, a dash or an accent from Windows)";

fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes)
}

fn first_broken_line(bytes: &[u8]) -> u64 {
    let bytes = without_mark(bytes);
    let valid = std::str::from_utf8(bytes).map_or_else(|error| error.valid_up_to(), str::len);
    Lines::new(bytes).at(valid as u64)
}

/// The separator that a first line states for Excel: `sep=;`.
fn stated_separator(text: &str) -> Option<&str> {
    let first = text.split(['\r', '\n']).next().unwrap_or("");
    let bare = first.trim_matches('"');
    let (name, separator) = bare.split_at_checked(4)?;
    name.eq_ignore_ascii_case("sep=").then_some(separator)
}

/// The separator that the header uses most; a comma when in doubt.
fn separator(text: &str) -> u8 {
    let first = text
        .lines()
        .find(|line| !line.trim().is_empty())
        .unwrap_or("");
    let mut counts = [(b',', 0_usize), (b';', 0), (b'\t', 0)];
    let mut quoted = false;
    for byte in first.bytes() {
        quoted ^= byte == b'"';
        for (separator, count) in &mut counts {
            *count += usize::from(!quoted && byte == *separator);
        }
    }
    // The first of the largest.
    let best = counts
        .iter()
        .rev()
        .max_by_key(|(_, count)| *count)
        .expect("there are three separators");
    best.0
}

fn read_header(
    record: &StringRecord,
    separator: u8,
    line: u64,
    layout: &Layout,
    faults: &mut Faults,
) -> Parsed<Header> {
    let names: Vec<String> = record
        .iter()
        .map(|name| name.trim().to_lowercase())
        .collect();
    let mut columns = BTreeMap::new();
    let mut sound = true;
    let mut fault = |code, name: &str, what: String| {
        faults.push(code, format!("line {line}, column {}", shown(name)), what);
        sound = false;
    };
    for (index, name) in names.iter().enumerate().filter(|(_, n)| !n.is_empty()) {
        match layout.known(name) {
            None => fault("UNKNOWN_COLUMN", name, layout.refuse(name)),
            Some(known) => {
                if columns.insert(known, index).is_some() {
                    let what = format!("`{known}` is there twice: keep one");
                    fault("DUPLICATE_COLUMN", name, what);
                }
            }
        }
    }
    for missing in layout.required {
        if !columns.contains_key(missing) {
            let format = layout.format;
            let what = format!("{format} needs the column `{missing}`: add it, or check its name");
            fault("MISSING_COLUMN", missing, what);
        }
    }
    let header = Header {
        names,
        columns,
        separator,
    };
    sound.then_some(header).ok_or(Reported)
}

/// Reports what no cell may hold and a row that does not fit the header; gives the columns that are unfit.
fn check_row(record: &StringRecord, header: &Header, line: u64, faults: &mut Faults) -> Vec<usize> {
    let mut unfit = Vec::new();
    let name = |i: usize| match header.names.get(i) {
        Some(name) if !name.is_empty() => name.clone(),
        _ => (i + 1).to_string(),
    };
    for (index, raw) in record.iter().enumerate() {
        let nameless = header.names.get(index).is_none_or(String::is_empty);
        let found = if nameless && !raw.trim().is_empty() {
            let what = "there is a value and the header has no name for it: is a separator too many, or a quotation mark missing?";
            Some(("CELL_WITHOUT_COLUMN", what.to_owned()))
        } else {
            unfit_cell(raw)
        };
        if let Some((code, what)) = found {
            faults.push(code, format!("line {line}, column {}", name(index)), what);
            unfit.push(index);
        }
    }
    if record.len() < header.names.len() {
        let what = format!(
            "{} cells where the header has {}: is a separator missing, or is the line cut off?",
            record.len(),
            header.names.len()
        );
        faults.push("SHORT_ROW", format!("line {line}"), what);
        unfit.extend(record.len()..header.names.len());
    }
    unfit
}

fn unfit_cell(raw: &str) -> Option<(&'static str, String)> {
    let text = raw.trim();
    if raw.contains(BROKEN) {
        return Some(("NOT_UTF8", NOT_UTF8.to_owned()));
    }
    if raw.len() > MAX_CELL_BYTES {
        let what = format!(
            "{} bytes are more than the {MAX_CELL_BYTES} that a cell may have: is a quotation mark not closed?",
            raw.len()
        );
        return Some(("CELL_TOO_LONG", what));
    }
    if text.contains(char::is_control) {
        let what = "there is a line break or another control character in the cell: write it on one line (is a quotation mark not closed?)";
        return Some(("CONTROL_CHARACTER", what.to_owned()));
    }
    let formula = match text.as_bytes() {
        [b'=' | b'+' | b'@', ..] => true,
        // A number, or the dash that published tables write for `none`.
        [b'-'] => false,
        [b'-', next, ..] => !next.is_ascii_digit(),
        _ => false,
    };
    formula.then(|| {
        let what = "the cell begins like a formula (= + - @): write its value instead".to_owned();
        ("FORMULA", what)
    })
}

/// Lines of a file by byte offset, asked in rising order. The csv reader counts a blank line before a record as the record's own.
#[derive(Debug)]
struct Lines<'a> {
    bytes: &'a [u8],
    next: usize,
    line: u64,
}

impl<'a> Lines<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            next: 0,
            line: 1,
        }
    }

    /// The line of the first byte at or after `offset` that is not a line end.
    fn at(&mut self, offset: u64) -> u64 {
        let offset = usize::try_from(offset)
            .unwrap_or(usize::MAX)
            .min(self.bytes.len());
        while let Some(&byte) = self.bytes.get(self.next) {
            let ends =
                byte == b'\n' || (byte == b'\r' && self.bytes.get(self.next + 1) != Some(&b'\n'));
            if self.next >= offset && byte != b'\n' && byte != b'\r' {
                break;
            }
            self.line += u64::from(ends);
            self.next += 1;
        }
        self.line
    }
}
