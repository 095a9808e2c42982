//! A series as CSV text, as it comes out of a spreadsheet.
//!
//! Two cells per line need no CSV library, and a parser of our own counts lines as a text editor does.

use std::collections::BTreeSet;

use super::ChartInputError;
use super::xmr::record_of_chart;
use crate::xmr::{self, MAX_POINTS, XmrError, XmrOptions, excerpt, in_range};
use crate::{Date, Profile};

/// Draws the chart of a `date,value` CSV text and returns it as a chart record (see [the module](super)) named `id`.
///
/// * The first line is a header if its cells are `date` and `value`, in any case; otherwise it is data. Anything else in a
///   first line is an error and not skipped, so that a mistyped first date cannot lose a point.
/// * Dates are `YYYY-MM-DD`, in any order. A value that is empty or `NA` is missing.
/// * Cells may have blanks around them and one pair of double quotes. Empty lines are skipped. A byte order mark and
///   Windows line ends are fine.
///
/// # Errors
///
/// With the number of the line, counted from 1, wherever the fault is in a line; all lines with a fault, of which the first 20 in words.
pub fn xmr_csv(
    profile: Profile,
    text: &str,
    options: &XmrOptions,
    id: &str,
) -> Result<String, ChartInputError> {
    let Series {
        lines,
        dates,
        values,
    } = parse(text)?;
    let chart = xmr::chart(profile, &dates, &values, options).map_err(|source| {
        // The second of two lines with one date is the one that should not be there.
        let row = dates.iter().rposition(|date| Some(*date) == source.date());
        match row {
            Some(row) => at_line(lines[row], source),
            None => source.into(),
        }
    })?;
    Ok(record_of_chart(id, &dates, &values, options, &chart))
}

/// Rows in the order of the text, with the line each was on.
#[derive(Default)]
pub(super) struct Series {
    lines: Vec<usize>,
    pub(super) dates: Vec<Date>,
    pub(super) values: Vec<Option<f64>>,
}

pub(super) fn parse(text: &str) -> Result<Series, ChartInputError> {
    let mut series = Series::default();
    let mut faults = Faults::default();
    let mut seen = BTreeSet::new();
    let mut rows = 0;
    for (line, content) in lines(text) {
        let (date, value) = match cells(line, content) {
            Ok(cells) => cells,
            Err(fault) => {
                faults.add(fault);
                continue;
            }
        };
        if line == 1 && date.eq_ignore_ascii_case("date") && value.eq_ignore_ascii_case("value") {
            continue;
        }
        if rows == MAX_POINTS {
            let (found, limit) = (MAX_POINTS + 1, MAX_POINTS);
            faults.add(at_line(line, XmrError::TooManyPoints { found, limit }));
            break;
        }
        rows += 1;
        let date = date.parse::<Date>();
        let date = date.map_err(|source| faults.add(at_line(line, source)));
        let value = parse_value(rows, value);
        let value = value.map_err(|source| faults.add(at_line(line, source)));
        let Ok(date) = date else { continue };
        if !seen.insert(date) {
            faults.add(at_line(line, XmrError::DuplicateDate { date }));
        }
        let Ok(value) = value else { continue };
        if let Some(value) = value.filter(|value| !in_range(*value)) {
            faults.add(at_line(line, XmrError::ValueOutOfRange { date, value }));
        }
        series.lines.push(line);
        series.dates.push(date);
        series.values.push(value);
    }
    faults.none().map(|()| series)
}

/// Most faults that are told one by one.
const MOST_TOLD: usize = 20;

/// All lines that can't be charted, as far as anybody reads them.
#[derive(Default)]
struct Faults {
    listed: Vec<ChartInputError>,
    more: usize,
}

impl Faults {
    fn add(&mut self, fault: ChartInputError) {
        if self.listed.len() < MOST_TOLD {
            self.listed.push(fault);
        } else {
            self.more += 1;
        }
    }

    fn none(mut self) -> Result<(), ChartInputError> {
        match self.listed.len() {
            0 => Ok(()),
            1 => Err(self.listed.swap_remove(0)),
            _ => Err(ChartInputError::Several {
                listed: self.listed,
                more: self.more,
            }),
        }
    }
}

fn at_line(line: usize, source: XmrError) -> ChartInputError {
    ChartInputError::AtLine { line, source }
}

fn cells(line: usize, content: &str) -> Result<(&str, &str), ChartInputError> {
    let mut cells = content.split(',');
    match (cells.next(), cells.next(), cells.next()) {
        (Some(date), Some(value), None) => Ok((unquoted(date), unquoted(value))),
        _ => {
            let found = content.split(',').count();
            Err(ChartInputError::WrongCells { line, found })
        }
    }
}

/// The lines that are not empty, with their numbers from 1. A byte order mark is none of the text.
pub(super) fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    (1..)
        .zip(text.lines())
        .filter(|(_, content)| !content.trim().is_empty())
}

pub(super) fn unquoted(cell: &str) -> &str {
    let cell = cell.trim();
    let inner = cell
        .strip_prefix('"')
        .and_then(|cell| cell.strip_suffix('"'));
    inner.unwrap_or(cell).trim()
}

/// Rust also reads "inf" and "nan" as floats; here they are words.
pub(super) fn plain_number(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

fn parse_value(row: usize, text: &str) -> Result<Option<f64>, XmrError> {
    if text.is_empty() || text == "NA" {
        return Ok(None);
    }
    let number = plain_number(text);
    number.map(Some).ok_or_else(|| XmrError::ValueNotNumeric {
        row,
        text: format!("{:?}", excerpt(text)),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::chart_io::xmr_json_line;

    fn draw(text: &str) -> Result<String, ChartInputError> {
        xmr_csv(Profile::Nhsr022, text, &XmrOptions::default(), "series")
    }

    fn line_and_code(text: &str) -> (usize, &'static str) {
        of(&draw(text).unwrap_err())
    }

    /// Of several faults the first.
    fn of(fault: &ChartInputError) -> (usize, &'static str) {
        match fault {
            ChartInputError::AtLine { line, source } => (*line, source.code()),
            ChartInputError::WrongCells { line, .. } => (*line, "wrong_cells"),
            ChartInputError::Several { listed, .. } => of(&listed[0]),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_spreadsheet_export_becomes_a_record() {
        let text = "\u{feff}Date,Value\r\n2010-05-01,5\r\n\r\n2010-04-01, 4.5 \r\n\"2010-06-01\",\"\"\r\n2010-07-01,NA\r\n";
        let record: Value = serde_json::from_str(&draw(text).unwrap()).unwrap();
        assert_eq!(record["id"], "series");
        assert_eq!(record["profile"], "nhsr_0_2_2");
        assert_eq!(record["options"]["improvement_direction"], "increase");
        assert_eq!(record["values"], json!([5.0, 4.5, null, null]));
        assert_eq!(record["expected"]["y"], json!([4.5, 5.0, null, null]));
        assert_eq!(record["expected"]["date"][0], "2010-04-01");
    }

    #[test]
    fn a_header_is_optional_and_anything_else_in_its_place_is_data() {
        assert_eq!(draw("date,value\n2010-04-01,4\n"), draw("2010-04-01,4"));
        assert_eq!(
            line_and_code("day,value\n2010-04-01,4\n"),
            (1, "unparseable_date")
        );
        assert_eq!(
            line_and_code("2010-04-01,4\ndate,value\n"),
            (2, "unparseable_date")
        );
    }

    #[test]
    fn a_fault_is_named_by_its_line() {
        let start = "date,value\r\n2010-04-01,4\r\n\r\n";
        for (bad, code) in [
            ("2010-05-01", "wrong_cells"),
            ("2010-05-01,\"1,234\"", "wrong_cells"),
            ("01/05/2010,4", "unparseable_date"),
            ("2010-05-01,95%", "value_not_numeric"),
            ("2010-05-01,n/a", "value_not_numeric"),
            ("2010-05-01,nan", "value_not_numeric"),
            ("2010-05-01,inf", "value_not_numeric"),
            ("2010-05-01,1e301", "value_out_of_range"),
            ("2010-04-01,5", "duplicate_date"),
        ] {
            assert_eq!(
                line_and_code(&format!("{start}{bad}\r\n")),
                (4, code),
                "{bad}"
            );
        }
    }

    #[test]
    fn an_empty_file_has_no_points() {
        for text in ["", "\n\n", "date,value\n"] {
            assert_eq!(draw(text), Err(ChartInputError::Chart(XmrError::NoPoints)));
        }
    }

    #[test]
    fn more_lines_than_the_limit_are_refused() {
        let row = "2010-04-01,1\n";
        let Err(ChartInputError::Several { listed, more }) = draw(&row.repeat(MAX_POINTS + 9))
        else {
            panic!("every line but the first has a fault");
        };
        // The second line is the first that comes twice, and after the limit nothing is read.
        assert_eq!((listed.len(), listed.len() + more), (MOST_TOLD, MAX_POINTS));
    }

    #[test]
    fn all_lines_with_a_fault_are_told() {
        let text =
            "date,value\n01/05/2010,x\n2010-04-01,4\n2010-05-01\n2010-04-01,y\n2010-06-01,5\n";
        let told = draw(text).unwrap_err().to_string();
        assert!(told.starts_with("5 faults: line 2: "), "{told}");
        for line in [
            "line 2: \"01/05/2010\"",
            "line 2: \"x\"",
            "line 4: 1 cells",
            "line 5: \"y\"",
            "line 5: 2010-04-01 occurs",
        ] {
            assert!(told.contains(line), "{line} in {told}");
        }
    }

    #[test]
    fn the_record_of_a_csv_is_its_own_golden_record() {
        let options = XmrOptions {
            target: Some(4.0),
            rebase: vec![Date::new(2010, 5, 1).unwrap()],
            fix_after_n_points: Some(12),
            screen_outliers: Some(false),
            ..XmrOptions::default()
        };
        let text = "2010-04-01,4\n2010-05-01,5.5\n2010-06-01,6\n";
        let record = xmr_csv(Profile::Nhsr022, text, &options, "x").unwrap();
        assert_eq!(xmr_json_line(&record).unwrap(), record);
    }
}
