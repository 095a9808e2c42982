//! Where a projection may come from that somebody else folded.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Properties;

/// Every address of a bucket begins so.
pub(crate) const BUCKETS: &str = "s3://";

/// A place with checkpoints of the same log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "default.toml is the documentation")]
pub struct Snapshot {
    pub from: String,
    pub key_file: PathBuf,
    pub save: bool,
    pub properties: Properties,
}

impl Snapshot {
    /// Is it another process, and neither a folder nor a bucket?
    #[must_use]
    pub fn is_peer(&self) -> bool {
        self.from.contains("://") && !self.is_bucket()
    }

    /// Is it in an object store?
    #[must_use]
    pub fn is_bucket(&self) -> bool {
        self.from.starts_with(BUCKETS)
    }

    /// The address is not repeated: there may be a password in it.
    pub(super) fn wrong(&self, wrong: &mut Vec<String>) {
        if self.save && (self.from.is_empty() || self.is_peer()) {
            wrong.push(
                "serve.snapshot.save needs a folder or s3://BUCKET/PREFIX: name one in serve.snapshot.from, or set it to false"
                    .to_owned(),
            );
        }
        if self.is_bucket() {
            wrong.extend(crate::snapshot::check_bucket(self).err());
        }
        if !self.is_peer() {
            return;
        }
        if let Some(what) = super::fault_of_address(&self.from) {
            wrong.push(format!(
                "serve.snapshot.from {what}: use http://HOST:PORT of another replica, for example http://10.0.0.7:8080, a folder, or s3://BUCKET/PREFIX"
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
