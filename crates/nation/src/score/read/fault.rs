//! What is wrong with the files.

use std::fmt;

/// Most faults that are listed; all are counted.
pub const MAX_LISTED: usize = 50;

/// Something that can't be taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// For programs; stable.
    pub code: &'static str,
    /// Name of the file.
    pub file: &'static str,
    /// Line, the header being 1.
    pub line: u64,
    /// Name of the column; empty where it is about the line or the file.
    pub column: String,
    /// What it is and what it has to be.
    pub description: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {} line {}", self.code, self.file, self.line)?;
        if !self.column.is_empty() {
            write!(f, " column {}", self.column)?;
        }
        write!(f, ": {}", self.description)
    }
}

/// All that is wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// The first of them, in the order of files and lines as they were found.
    pub listed: Vec<Fault>,
    /// How many there are.
    pub count: usize,
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let faults = if self.count == 1 { "fault" } else { "faults" };
        write!(f, "{} {faults}", self.count)?;
        for fault in &self.listed {
            write!(f, "\n  {fault}")?;
        }
        let more = self.count - self.listed.len();
        if more > 0 {
            write!(f, "\n  and {more} more")?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

/// Where a fault is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    pub(super) file: &'static str,
    pub(super) line: u64,
    pub(super) column: &'a str,
}

/// Collects faults and notes.
#[derive(Debug, Default)]
pub(super) struct Log {
    faults: Faults,
    notes: Vec<String>,
}

impl Log {
    pub(super) fn fault(&mut self, code: &'static str, place: Place<'_>, description: String) {
        self.faults.count += 1;
        if self.faults.listed.len() < MAX_LISTED {
            self.faults.listed.push(Fault {
                code,
                file: place.file,
                line: place.line,
                column: place.column.to_owned(),
                description,
            });
        }
    }

    pub(super) fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    pub(super) fn finish(self) -> (Faults, Vec<String>) {
        (self.faults, self.notes)
    }
}
