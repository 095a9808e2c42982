//! What happened, for a look when something is wrong: a line of JSON each, with the time since the beginning in milliseconds.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::time::Instant;

use serde_json::{Value, json};

/// A file of lines.
#[derive(Debug)]
pub(crate) struct Journal {
    began: Instant,
    file: BufWriter<File>,
}

impl Journal {
    /// Begins a file, in a folder that is made when it is not there.
    pub(crate) fn create(path: &Path) -> std::io::Result<Self> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        Ok(Self {
            began: Instant::now(),
            file: BufWriter::new(File::create(path)?),
        })
    }

    /// Adds a line. A disk that is full is no reason to end a run: what is judged is held in memory.
    pub(crate) fn say(&mut self, what: &Value) {
        let ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let mut line = json!({ "ms": ms });
        if let (Value::Object(line), Value::Object(what)) = (&mut line, what) {
            line.extend(what.clone());
        }
        let _ = writeln!(self.file, "{line}");
    }

    /// Everything up to now is in the file.
    pub(crate) fn flush(&mut self) {
        let _ = self.file.flush();
    }
}
