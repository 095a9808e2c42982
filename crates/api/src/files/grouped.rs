//! Rows of a file gathered by organisation and month, in the order in which they first appear.

use std::collections::HashMap;

use qipp_domain::{OrgCode, Period};

use crate::proto::events::v1::{Observation, QualityReturn, Return, ReturnStatus, r#return};

/// What belongs to one organisation's month.
pub(crate) type Key = (OrgCode, Period);

/// Values by organisation and month, in order of appearance.
#[derive(Debug)]
pub(crate) struct Grouped<T> {
    index: HashMap<Key, usize>,
    groups: Vec<(Key, T)>,
}

impl<T> Default for Grouped<T> {
    fn default() -> Self {
        Self {
            index: HashMap::new(),
            groups: Vec::new(),
        }
    }
}

impl<T> Grouped<T> {
    /// The group of the key; made by `new` when it is not there.
    pub(crate) fn entry(&mut self, key: Key, new: impl FnOnce() -> T) -> &mut T {
        let index = *self.index.entry(key).or_insert_with(|| {
            self.groups.push((key, new()));
            self.groups.len() - 1
        });
        &mut self.groups[index].1
    }

    /// All groups.
    pub(crate) fn into_groups(self) -> Vec<(Key, T)> {
        self.groups
    }
}

/// A quality return.
pub(crate) fn quality_return(
    (org, period): Key,
    status: ReturnStatus,
    source: String,
    observations: Vec<Observation>,
) -> Return {
    Return {
        org_code: org.to_string(),
        period: period.to_string(),
        status: status.into(),
        source,
        body: Some(r#return::Body::Quality(QualityReturn { observations })),
        ..Return::default()
    }
}

/// Longest `source` that a return may state, characters.
pub(crate) const MAX_SOURCE: usize = 200;

/// A text cut to what `source` may hold.
pub(crate) fn cut_source(text: &str) -> String {
    text.chars().take(MAX_SOURCE).collect()
}
