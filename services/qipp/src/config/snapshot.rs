//! Where a projection may come from that somebody else folded.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// A place with checkpoints of the same log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "default.toml is the documentation")]
pub struct Snapshot {
    pub from: String,
    pub key_file: PathBuf,
    pub save: bool,
}

impl Snapshot {
    /// Is it another process, and not a folder?
    #[must_use]
    pub fn is_peer(&self) -> bool {
        self.from.contains("://")
    }

    /// The address is not repeated: there may be a password in it.
    pub(super) fn wrong(&self, wrong: &mut Vec<String>) {
        if self.save && (self.from.is_empty() || self.is_peer()) {
            wrong.push(
                "serve.snapshot.save needs a folder: name one in serve.snapshot.from, or set it to false"
                    .to_owned(),
            );
        }
        if !self.is_peer() {
            return;
        }
        if let Some(what) = super::fault_of_address(&self.from) {
            wrong.push(format!(
                "serve.snapshot.from {what}: use http://HOST:PORT of another replica, for example http://10.0.0.7:8080, or a folder"
            ));
        }
        if self.key_file.as_os_str().is_empty() {
            wrong.push(
                "serve.snapshot.key_file is empty: another replica gives its checkpoint to operators only, so name a file with the key of one"
                    .to_owned(),
            );
        }
    }
}
