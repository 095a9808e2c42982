//! The rows of a funnel as CSV text.

use super::{Columns, RecordOptions};
use crate::chart_io::ChartInputError;
use crate::chart_io::csv::{lines, plain_number, unquoted};
use crate::chart_io::record::{Record, to_json};
use crate::funnel::{self, FunnelError, FunnelOptions, MAX_ROWS, Mode, Row};
use crate::xmr::excerpt;

/// Draws the funnel of a `group,numerator,denominator` CSV text and returns it as a funnel record named `id`.
///
/// * The first line is a header if its cells are these three words, in any case; otherwise it is data.
/// * The last two cells of a line are the numbers, and all before them is the name, so that it may have commas. A name may be in double
///   quotes, and then has two for one.
/// * Empty lines are skipped. A byte order mark and Windows line ends are fine.
///
/// # Errors
///
/// With the number of the line, counted from 1, of the first fault that is in a line.
pub fn funnel_csv(
    mode: Mode,
    text: &str,
    options: &FunnelOptions,
    id: &str,
) -> Result<String, ChartInputError> {
    let table = Table::parse(text)?;
    let rows: Vec<Row<'_>> = table.rows().collect();
    let drawn = funnel::funnel(mode, &rows, options).map_err(|source| {
        let row = source.row();
        match row.and_then(|row| table.lines.get(row - 1)) {
            Some(line) => at_line(*line, source),
            None => source.into(),
        }
    })?;
    let mut record = Record::new(id);
    record.set("mode", mode.name());
    record.set("options", RecordOptions::of(mode, options));
    record.set("group", &table.groups);
    record.set("numerator", &table.numerators);
    record.set("denominator", &table.denominators);
    record.set("expected", Columns::from(&drawn));
    Ok(to_json(&record))
}

fn at_line(line: usize, source: FunnelError) -> ChartInputError {
    ChartInputError::FunnelAtLine { line, source }
}

/// Rows in the order of the text, with the line each was on.
#[derive(Default)]
struct Table {
    lines: Vec<usize>,
    groups: Vec<String>,
    numerators: Vec<f64>,
    denominators: Vec<f64>,
}

impl Table {
    fn parse(text: &str) -> Result<Self, ChartInputError> {
        let mut table = Self::default();
        for (line, content) in lines(text) {
            let at = |source| at_line(line, source);
            let mut cells = content.rsplitn(3, ',');
            let (Some(denominator), Some(numerator), Some(group)) =
                (cells.next(), cells.next(), cells.next())
            else {
                let found = content.split(',').count();
                return Err(at(FunnelError::WrongCells { found }));
            };
            let cells = [unquoted(group), unquoted(numerator), unquoted(denominator)];
            let is_header = ["group", "numerator", "denominator"]
                .iter()
                .zip(cells)
                .all(|(word, cell)| cell.eq_ignore_ascii_case(word));
            if line == 1 && is_header {
                continue;
            }
            let row = table.lines.len() + 1;
            if row > MAX_ROWS {
                let (found, limit) = (row, MAX_ROWS);
                return Err(at(FunnelError::TooManyRows { found, limit }));
            }
            let [group, numerator, denominator] = cells;
            table.lines.push(line);
            table.groups.push(group.replace("\"\"", "\""));
            table
                .numerators
                .push(parse_text(row, numerator).map_err(at)?);
            table
                .denominators
                .push(parse_text(row, denominator).map_err(at)?);
        }
        Ok(table)
    }

    fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        let numbers = self.numerators.iter().zip(&self.denominators);
        self.groups
            .iter()
            .zip(numbers)
            .map(|(group, (numerator, denominator))| Row {
                group,
                numerator: *numerator,
                denominator: *denominator,
            })
    }
}

fn parse_text(row: usize, text: &str) -> Result<f64, FunnelError> {
    plain_number(text).ok_or_else(|| FunnelError::ValueNotNumeric {
        row,
        text: format!("{:?}", excerpt(text)),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::chart_io::funnel_json_line;

    fn draw(text: &str) -> Result<String, ChartInputError> {
        funnel_csv(Mode::Corrected, text, &FunnelOptions::default(), "peers")
    }

    #[test]
    fn a_spreadsheet_export_becomes_a_record_and_its_own_golden_record() {
        let text = "\u{feff}Group,Numerator,Denominator\r\n\"LEEDS, \"\"NEW\"\"\",12,60\r\n\r\nB, 30 ,\"100\"\r\n";
        let record = draw(text).unwrap();
        let value: Value = serde_json::from_str(&record).unwrap();
        assert_eq!(value["group"], json!(["LEEDS, \"NEW\"", "B"]));
        assert_eq!(value["options"]["data_type"], "PR");
        assert_eq!(value["options"]["shmi_rounding"], false);
        assert_eq!(value["expected"]["group"], json!(["B", "LEEDS, \"NEW\""]));
        assert_eq!(funnel_json_line(&record).unwrap(), record);
    }

    #[test]
    fn a_fault_is_named_by_its_line() {
        for (bad, code) in [
            ("B,1", "wrong_cells"),
            ("B,1,\"1,234\"", "value_not_numeric"),
            ("B,1,x", "value_not_numeric"),
            ("B,nan,2", "value_not_numeric"),
            ("B,-1,2", "count_out_of_range"),
        ] {
            let fault = draw(&format!("group,numerator,denominator\n\nA,1,2\n{bad}\n"));
            let Err(ChartInputError::FunnelAtLine { line, source }) = fault else {
                panic!("{bad}: {fault:?}")
            };
            assert_eq!((line, source.code()), (4, code), "{bad}");
        }
        assert_eq!(
            draw("\n"),
            Err(ChartInputError::Funnel(FunnelError::NoRows))
        );
    }
}
