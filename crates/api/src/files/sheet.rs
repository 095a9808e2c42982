//! The returns of a file as far as they could be read, and where in the file each of their figures stands.
//!
//! What a file says is judged twice: its form here, and what it means by the validation that every return meets. A sender who gets both
//! lists at once, in lines and columns, mends the file once.

use qipp_domain::validate::Problem;

use super::faults::{MAX_PROBLEMS, Read};
use crate::error;
use crate::proto::events::v1::Return;

/// What a file of returns gives. With problems it is not whole: its returns are there to be checked, never to be submitted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sheet {
    /// A return for each organisation and month, of the rows that could be read. Of a row whose figure could not be read a stand-in
    /// without a figure is there, so that its marker or scheme is checked all the same.
    pub returns: Vec<Return>,
    /// Where each of them stands.
    pub places: Vec<Places>,
    /// What was left out.
    pub notes: Vec<String>,
    /// All faults of form.
    pub problems: Vec<Problem>,
}

impl Sheet {
    /// Nothing but the reason why there is nothing.
    #[must_use]
    pub fn refused(problem: Problem) -> Self {
        Self {
            problems: vec![problem],
            ..Self::default()
        }
    }

    /// The returns and the notes when nothing is wrong with the form.
    ///
    /// # Errors
    /// All problems of the file, each with its line and column.
    pub fn whole(self) -> Read<(Vec<Return>, Vec<String>)> {
        if self.problems.is_empty() {
            Ok((self.returns, self.notes))
        } else {
            Err(self.problems)
        }
    }

    /// The faults of form, and those that validation found in the return at each index, in the order of the lines.
    #[must_use]
    pub fn all_problems(&self, found: Vec<(usize, error::Problem)>) -> Vec<error::Problem> {
        let of_form = self.problems.iter().cloned().map(error::Problem::from);
        let placed = found
            .into_iter()
            .map(|(index, problem)| match self.places.get(index) {
                Some(places) => places.of(problem),
                None => problem,
            });
        let mut all: Vec<error::Problem> = of_form.chain(placed).collect();
        all.sort_by_key(|problem| line_of(&problem.field));
        let left_out = all.len().saturating_sub(MAX_PROBLEMS + 1);
        if left_out > 0 {
            all.truncate(MAX_PROBLEMS);
            all.push(error::Problem {
                code: "TOO_MANY_PROBLEMS".into(),
                field: "file".to_owned(),
                description: "more problems are not listed: mend these first and try again"
                    .to_owned(),
            });
        }
        all
    }
}

/// The line that a pointer names; what is about the file as a whole comes last, as in the list of a file's own faults.
fn line_of(field: &str) -> u64 {
    let rest = field.strip_prefix("line ").unwrap_or_default();
    let digits = rest.split(',').next().unwrap_or_default();
    digits.parse().unwrap_or(u64::MAX)
}

/// Which column of a format holds which field of a return.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Columns {
    #[default]
    Quality,
    Savings,
    Rtt,
    Weekly,
}

impl Columns {
    fn of(self, field: &str) -> Option<&'static str> {
        let table: &[(&str, &'static str)] = match self {
            Self::Quality => &[
                ("org_code", "org_code"),
                ("period", "period"),
                ("status", "status"),
                ("source", "source"),
                ("marker", "marker"),
                ("breakdown", "breakdown"),
                ("definition_version", "definition_version"),
                ("measured.numerator", "numerator"),
                ("measured.denominator", "denominator"),
                ("missing", "missing"),
            ],
            Self::Savings => &[
                ("org_code", "org_code"),
                ("period", "period"),
                ("status", "status"),
                ("scheme_id", "scheme_id"),
                ("plan_pence", "plan_pence"),
                ("actual_pence", "actual_pence"),
                ("actual_ytd_pence", "actual_ytd_pence"),
                ("forecast_pence", "forecast_pence"),
                ("recurrent_pence", "recurrent_pence"),
                ("missing", "missing"),
            ],
            Self::Rtt => &[
                ("org_code", "org_code"),
                ("period", "period"),
                ("marker", "pathway"),
                ("breakdown", "tfc_code"),
            ],
            Self::Weekly => &[("org_code", "org_code"), ("period", "week_ending")],
        };
        let found = table.iter().find(|(name, _)| *name == field);
        found.map(|(_, column)| *column)
    }
}

/// Where a figure comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    /// Line of the file, from 1.
    pub(crate) line: u64,
    /// The column of its numerator, where that differs from row to row.
    pub(crate) numerator: Option<&'static str>,
}

/// Where a return stands in its file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    first: u64,
    figures: Vec<Origin>,
    columns: Columns,
}

impl Places {
    pub(crate) fn new(columns: Columns, first: u64) -> Self {
        Self {
            first,
            figures: Vec::new(),
            columns,
        }
    }

    /// The next figure of the return.
    pub(crate) fn push(&mut self, line: u64, numerator: Option<&'static str>) {
        self.figures.push(Origin { line, numerator });
    }

    /// A problem of the return as a problem of its file: `return.quality.observations[3].marker` is `line 17, column marker`.
    #[must_use]
    pub fn of(&self, problem: error::Problem) -> error::Problem {
        let rest = problem.field.strip_prefix("return.");
        let Some(rest) = rest.or((problem.field == "return").then_some("")) else {
            return problem;
        };
        let figure = rest.split_once('[').and_then(|(_, rest)| {
            let (index, part) = rest.split_once(']')?;
            let origin = self.figures.get(index.parse::<usize>().ok()?)?;
            Some((origin, part.trim_start_matches('.')))
        });
        let (line, column) = match figure {
            Some((origin, part)) => {
                let own = origin.numerator.filter(|_| part == "measured.numerator");
                (origin.line, own.or_else(|| self.columns.of(part)))
            }
            None => (self.first, self.columns.of(rest)),
        };
        error::Problem {
            field: column.map_or_else(
                || format!("line {line}"),
                |column| format!("line {line}, column {column}"),
            ),
            description: self.in_lines(problem.description),
            ..problem
        }
    }

    /// Words that point to another figure of the return point to its line.
    fn in_lines(&self, description: String) -> String {
        let mut parts = ["observations[", "lines["].iter().filter_map(|list| {
            let (before, rest) = description.split_once(list)?;
            let (index, after) = rest.split_once(']')?;
            let origin = self.figures.get(index.parse::<usize>().ok()?)?;
            Some(format!("{before}line {}{after}", origin.line))
        });
        parts.next().unwrap_or(description)
    }
}
