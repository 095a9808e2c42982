//! What a revision changes against the one before, value by value, as text for people. Never used to decide anything.

use std::collections::{BTreeMap, BTreeSet};

use super::{Body, Measured, ReturnContent, Value};

/// One value that differs between two revisions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Which value, for example `AE_4H` or `PAY-1 actual`.
    pub item: String,
    /// Before, as text; empty when it was not there.
    pub before: String,
    /// After, as text; empty when it is no longer there.
    pub after: String,
}

/// Value by value, what `after` changes against `before`. At most `limit` changes are listed.
#[must_use]
pub fn changes(before: Option<&ReturnContent>, after: &ReturnContent, limit: usize) -> Vec<Change> {
    let old = before.map(values_as_text).unwrap_or_default();
    let new = values_as_text(after);
    let items: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let text = |held: &BTreeMap<String, String>, item: &String| {
        held.get(item).cloned().unwrap_or_default()
    };
    items
        .into_iter()
        .filter(|item| old.get(*item) != new.get(*item))
        .map(|item| Change {
            item: item.clone(),
            before: text(&old, item),
            after: text(&new, item),
        })
        .take(limit)
        .collect()
}

fn values_as_text(content: &ReturnContent) -> BTreeMap<String, String> {
    let mut texts = BTreeMap::new();
    texts.insert(
        "status".to_owned(),
        format!("{:?}", content.status).to_lowercase(),
    );
    match &content.body {
        Body::Quality(observations) => {
            for o in observations.iter() {
                texts.insert(o.key.to_string(), value_as_text(o.value));
            }
        }
        Body::Savings(lines) => {
            for line in lines {
                let figures = [
                    ("plan", line.plan),
                    ("actual", line.actual),
                    ("actual_ytd", line.actual_ytd),
                    ("forecast", line.forecast),
                    ("recurrent", line.recurrent),
                ];
                for (name, figure) in figures {
                    if let Some(amount) = figure {
                        texts.insert(format!("{} {name}", line.scheme), amount.to_string());
                    }
                }
                if let Some(missing) = line.missing {
                    texts.insert(
                        format!("{} missing", line.scheme),
                        missing.name().to_owned(),
                    );
                }
            }
        }
    }
    texts
}

fn value_as_text(value: Value) -> String {
    match value {
        Value::Missing(missing) => missing.name().to_owned(),
        Value::Measured(Measured {
            numerator,
            denominator: None,
        }) => numerator.to_string(),
        Value::Measured(Measured {
            numerator,
            denominator: Some(d),
        }) => format!("{numerator} of {d}"),
    }
}
