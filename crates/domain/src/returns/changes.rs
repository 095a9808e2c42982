//! What a revision changes against the one before, value by value, as text for people. Never used to decide anything.

use std::collections::{BTreeMap, BTreeSet};

use super::{Body, Measured, Observations, ReturnContent, Value};

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
    let both = (before.map(|before| &before.body), &after.body);
    let (old, new) = (before.map(status_as_text), Some(status_as_text(after)));
    let status = (old != new).then(|| change("status".to_owned(), old, new));
    let values: Vec<Change> = match both {
        (None, Body::Quality(after)) => differing(None, after).take(limit).collect(),
        (Some(Body::Quality(before)), Body::Quality(after)) => {
            differing(Some(before), after).take(limit).collect()
        }
        _ => differing_lines(before, after),
    };
    values.into_iter().chain(status).take(limit).collect()
}

fn change(item: String, before: Option<String>, after: Option<String>) -> Change {
    Change {
        item,
        before: before.unwrap_or_default(),
        after: after.unwrap_or_default(),
    }
}

/// Both come in order of their keys, so they are read side by side, and text is made only of what differs.
fn differing<'a>(
    before: Option<&'a Observations>,
    after: &'a Observations,
) -> impl Iterator<Item = Change> + 'a {
    let mut old = before.into_iter().flat_map(Observations::iter).peekable();
    let mut new = after.iter().peekable();
    std::iter::from_fn(move || {
        loop {
            let key = match (old.peek(), new.peek()) {
                (None, None) => return None,
                (Some(one), None) | (None, Some(one)) => one.key,
                (Some(one), Some(other)) => one.key.min(other.key),
            };
            let was = old.next_if(|o| o.key == key).map(|o| o.value);
            let is = new.next_if(|o| o.key == key).map(|o| o.value);
            if was != is {
                let text = |value: Option<Value>| value.map(value_as_text);
                return Some(change(key.to_string(), text(was), text(is)));
            }
        }
    })
}

fn differing_lines(before: Option<&ReturnContent>, after: &ReturnContent) -> Vec<Change> {
    let old = before.map(values_as_text).unwrap_or_default();
    let new = values_as_text(after);
    let items: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let text = |held: &BTreeMap<String, String>, item: &String| held.get(item).cloned();
    items
        .into_iter()
        .filter(|item| old.get(*item) != new.get(*item))
        .map(|item| change(item.clone(), text(&old, item), text(&new, item)))
        .collect()
}

fn status_as_text(content: &ReturnContent) -> String {
    format!("{:?}", content.status).to_lowercase()
}

fn values_as_text(content: &ReturnContent) -> BTreeMap<String, String> {
    let mut texts = BTreeMap::new();
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
