//! The list of everything that is wrong with a file.

use qipp_domain::validate::Problem;

/// Most problems that a list names one by one. One more, the last, says how many were left out.
pub const MAX_PROBLEMS: usize = 1_000;

/// What reading a file gives: its content, or ALL its problems in the order of its lines.
pub type Read<T> = Result<T, Vec<Problem>>;

/// Marks a cell whose problem is in the list already, so that it is not reported twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reported;

/// A cell's value, or the note that its problem has been reported.
pub(crate) type Parsed<T> = Result<T, Reported>;

/// Problems as they are found. Bounded, so that a file of faults cannot fill the memory.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    kept: Vec<Problem>,
    left_out: usize,
}

impl Faults {
    /// Adds one.
    pub(crate) fn push(
        &mut self,
        code: &'static str,
        field: impl Into<String>,
        description: impl Into<String>,
    ) {
        if self.kept.len() < MAX_PROBLEMS {
            self.kept.push(Problem::new(code, field, description));
        } else {
            self.left_out += 1;
        }
    }

    /// The value when nothing was wrong, otherwise the list.
    pub(crate) fn finish<T>(self, value: T) -> Read<T> {
        let problems = self.list();
        if problems.is_empty() {
            return Ok(value);
        }
        Err(problems)
    }

    /// Everything that was wrong.
    pub(crate) fn list(mut self) -> Vec<Problem> {
        if self.left_out > 0 {
            let what = format!(
                "{} more problems are not listed: mend these first and try again",
                self.left_out
            );
            self.kept
                .push(Problem::new("TOO_MANY_PROBLEMS", "file", what));
        }
        self.kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_problems_is_cut_at_1000_and_says_how_many_more() {
        let mut faults = Faults::default();
        for line in 0..1_234 {
            faults.push("X", format!("line {line}"), "wrong");
        }
        let problems = faults.finish(()).unwrap_err();
        assert_eq!(problems.len(), 1_001);
        assert_eq!(problems[1_000].code, "TOO_MANY_PROBLEMS");
        assert!(problems[1_000].description.starts_with("234 more"));
    }
}
