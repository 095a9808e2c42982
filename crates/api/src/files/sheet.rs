//! What a file of returns gives: its returns, each with the lines that it came from, and all that is wrong with its form.
//!
//! A file with faults gives its returns all the same, as far as they can be read, so that what only the service can tell (codes that nobody knows,
//! organisations that are closed) is told together with them. Such returns are for checking: they hold stand-ins, and are never submitted.

use super::MAX_PROBLEMS;
use super::faults::{Faults, Read};
use crate::error::Problem;
use crate::proto::events::v1::Return;

/// Faults of form that a stand-in has: what they stand for is in the list already.
const OF_STAND_INS: [&str; 6] = [
    "BAD_ORG_CODE",
    "BAD_PERIOD",
    "EMPTY_RETURN",
    "NO_VALUE",
    "REQUIRED",
    "UNSPECIFIED",
];

/// A return and where it stands in its file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Placed {
    /// The return.
    pub ret: Return,
    /// Its first line, from 1; 0 where its figures come from several lines each.
    pub first: u64,
    /// Line of each of its figures.
    pub lines: Vec<u64>,
}

impl Placed {
    /// The place in the file that a pointer into the message (`return.quality.observations[3].marker`) stands for: `line 5, column marker`. A
    /// pointer that has no line stays as it is.
    #[must_use]
    pub fn place(&self, pointer: &str) -> String {
        if self.first == 0 {
            return pointer.to_owned();
        }
        let line = index_of(pointer).map_or(Some(&self.first), |index| self.lines.get(index));
        let column = pointer.rsplit('.').next().unwrap_or_default();
        match line {
            // The entry as a whole.
            Some(line) if column.contains('[') => format!("line {line}"),
            Some(line) if matches!(column, "return" | "observations" | "lines") => {
                format!("line {line}")
            }
            Some(line) => format!("line {line}, column {column}"),
            None => pointer.to_owned(),
        }
    }

    /// A problem of the return, with its place in the file instead of the pointer.
    #[must_use]
    pub fn locate(&self, problem: Problem) -> Problem {
        Problem {
            field: self.place(&problem.field),
            description: self.with_lines(&problem.description),
            ..problem
        }
    }

    /// Words that name another entry by its index name its line.
    fn with_lines(&self, text: &str) -> String {
        for list in ["observations[", "lines["] {
            let Some(from) = text.find(list) else {
                continue;
            };
            let Some(to) = text[from..].find(']').map(|length| from + length + 1) else {
                continue;
            };
            let line = index_of(&text[from..to]).and_then(|index| self.lines.get(index));
            if let Some(line) = line {
                return format!("{}line {line}{}", &text[..from], &text[to..]);
            }
        }
        text.to_owned()
    }
}

/// The number in the first brackets.
fn index_of(pointer: &str) -> Option<usize> {
    let (_, rest) = pointer.split_once('[')?;
    rest.split_once(']')?.0.parse().ok()
}

/// What a file of returns gives.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sheet {
    /// Its returns; with any problem they are for checking only.
    pub returns: Vec<Placed>,
    /// All faults of form, in the order of the lines.
    pub problems: Vec<qipp_domain::validate::Problem>,
    /// What was left out and why, for people.
    pub notes: Vec<String>,
}

impl Sheet {
    pub(crate) fn new(returns: Vec<Placed>, faults: Faults) -> Self {
        Self {
            returns,
            problems: faults.finish(()).err().unwrap_or_default(),
            notes: Vec::new(),
        }
    }

    /// Returns that have no lines of their own, or the problems instead.
    #[must_use]
    pub fn of(read: Read<Vec<Return>>) -> Self {
        match read {
            Ok(returns) => {
                let placed = |ret| Placed {
                    ret,
                    first: 0,
                    lines: Vec::new(),
                };
                Self {
                    returns: returns.into_iter().map(placed).collect(),
                    ..Self::default()
                }
            }
            Err(problems) => Self {
                problems,
                ..Self::default()
            },
        }
    }

    /// The returns of a file without faults.
    ///
    /// # Errors
    /// All faults of form.
    pub fn whole(self) -> Read<Vec<Return>> {
        if self.problems.is_empty() {
            Ok(self.returns.into_iter().map(|placed| placed.ret).collect())
        } else {
            Err(self.problems)
        }
    }

    /// Every problem in the order of the lines: those of form, and those that the service told of the returns by their index. At most
    /// [`MAX_PROBLEMS`], and one more that counts the rest.
    #[must_use]
    pub fn with_told(&self, told: impl IntoIterator<Item = (usize, Problem)>) -> Vec<Problem> {
        let mut all: Vec<Problem> = self.problems.iter().cloned().map(Problem::from).collect();
        let told = told
            .into_iter()
            .filter(|(_, problem)| !OF_STAND_INS.contains(&&*problem.code));
        all.extend(
            told.filter_map(|(index, problem)| Some(self.returns.get(index)?.locate(problem))),
        );
        // What is about the file as a whole comes first; `TOO_MANY_PROBLEMS` closes the list.
        all.sort_by_key(|problem| (problem.code == "TOO_MANY_PROBLEMS", line_of(&problem.field)));
        all.dedup();
        if all.len() > MAX_PROBLEMS + 1 {
            let more = all.len() - MAX_PROBLEMS;
            all.truncate(MAX_PROBLEMS);
            all.push(Problem {
                code: "TOO_MANY_PROBLEMS".into(),
                field: "file".to_owned(),
                description: format!(
                    "at least {more} more problems are not listed: mend these first and try again"
                ),
            });
        }
        all
    }
}

fn line_of(field: &str) -> u64 {
    let rest = field.strip_prefix("line ").unwrap_or_default();
    let digits = rest.split(',').next().unwrap_or_default();
    digits.parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_into_the_message_becomes_a_place_in_the_file() {
        let placed = Placed {
            ret: Return::default(),
            first: 4,
            lines: vec![4, 7],
        };
        for (pointer, place) in [
            ("return.org_code", "line 4, column org_code"),
            (
                "return.quality.observations[1].marker",
                "line 7, column marker",
            ),
            (
                "return.quality.observations[1].measured.numerator",
                "line 7, column numerator",
            ),
            ("return.savings.lines[1]", "line 7"),
            ("return.quality.observations", "line 4"),
            (
                "return.savings.lines[9].plan_pence",
                "return.savings.lines[9].plan_pence",
            ),
        ] {
            assert_eq!(placed.place(pointer), place);
        }
        assert_eq!(
            placed.with_lines("given by observations[0]: send it once"),
            "given by line 4: send it once"
        );
        assert_eq!(Placed::default().place("return.period"), "return.period");
    }
}
