//! A cut as one short word for addresses and event ids: `returns.0-15.1-9~alerts.2-7` says that partitions 0 and 1 of the returns stand
//! at 15 and 9, and partition 2 of the alerts at 7. The empty cut is `-`.
//!
//! Only letters, digits and `. - _ ~`, so that it needs no escaping anywhere. A topic `qipp.NAME.v1` is written NAME, any other in full.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::proto::events::v1::{Cut, Position};

const EMPTY: &str = "-";
/// Longer than any cut of a nation; a header or query that is longer is not one of ours.
const MAX_LENGTH: usize = 16 * 1024;

/// The word for a cut.
#[must_use]
pub fn encode(cut: &Cut) -> String {
    let mut topics: BTreeMap<&str, BTreeMap<u32, u64>> = BTreeMap::new();
    for position in &cut.next {
        topics
            .entry(&position.topic)
            .or_default()
            .insert(position.partition, position.offset);
    }
    let mut text = String::new();
    for (topic, partitions) in topics {
        if !text.is_empty() {
            text.push('~');
        }
        text.push_str(short(topic));
        for (partition, offset) in partitions {
            write!(text, ".{partition}-{offset}").expect("writing to a String never fails");
        }
    }
    if text.is_empty() {
        EMPTY.to_owned()
    } else {
        text
    }
}

/// The cut that a word stands for; `None` when it is not one.
#[must_use]
pub fn decode(text: &str) -> Option<Cut> {
    if text == EMPTY {
        return Some(Cut::default());
    }
    if text.len() > MAX_LENGTH {
        return None;
    }
    let mut next = Vec::new();
    for group in text.split('~') {
        let parts: Vec<&str> = group.split('.').collect();
        let named = parts
            .iter()
            .take_while(|part| place(part).is_none())
            .count();
        let topic = long(&parts[..named])?;
        let places: Option<Vec<(u32, u64)>> =
            parts[named..].iter().map(|part| place(part)).collect();
        let places = places.filter(|places| !places.is_empty())?;
        next.extend(places.into_iter().map(|(partition, offset)| Position {
            topic: topic.clone(),
            partition,
            offset,
        }));
    }
    Some(Cut { next })
}

/// The cut in canonical JSON, as receipts and answers hold it; `None` when it is not one.
#[must_use]
pub fn from_json(text: &str) -> Option<Cut> {
    if !text.starts_with('{') || text.len() > MAX_LENGTH {
        return None;
    }
    let bytes = crate::json::from_json_text("qipp.events.v1.Cut", text.as_bytes()).ok()?;
    prost::Message::decode(bytes).ok()
}

fn short(topic: &str) -> &str {
    let name = topic
        .strip_prefix("qipp.")
        .and_then(|rest| rest.strip_suffix(".v1"));
    name.filter(|name| !name.is_empty() && !name.contains('.'))
        .unwrap_or(topic)
}

fn long(parts: &[&str]) -> Option<String> {
    let fits = |part: &&str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
    };
    match parts {
        _ if !parts.iter().all(fits) => None,
        [] => None,
        [name] => Some(format!("qipp.{name}.v1")),
        whole => Some(whole.join(".")),
    }
}

fn place(part: &str) -> Option<(u32, u64)> {
    let (partition, offset) = part.split_once('-')?;
    Some((partition.parse().ok()?, offset.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(places: &[(&str, u32, u64)]) -> Cut {
        let position = |&(topic, partition, offset): &(&str, u32, u64)| Position {
            topic: topic.to_owned(),
            partition,
            offset,
        };
        Cut {
            next: places.iter().map(position).collect(),
        }
    }

    #[test]
    fn a_cut_survives_the_word_and_the_word_needs_no_escaping() {
        let nation = cut(&[
            ("qipp.alerts.v1", 2, 7),
            ("qipp.returns.v1", 0, 15),
            ("qipp.returns.v1", 1, u64::MAX),
            ("staging.qipp.returns.v1", 3, 1),
        ]);
        let word = encode(&nation);
        assert_eq!(
            word,
            "alerts.2-7~returns.0-15.1-18446744073709551615~staging.qipp.returns.v1.3-1"
        );
        assert!(
            word.bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-._~".contains(&b))
        );
        assert_eq!(decode(&word), Some(nation));
        assert_eq!(decode(&encode(&Cut::default())), Some(Cut::default()));
    }

    #[test]
    fn the_json_that_a_receipt_holds_is_a_cut_too() {
        let json = r#"{"next":[{"topic":"qipp.returns.v1","partition":3,"offset":"15"}]}"#;
        assert_eq!(from_json(json), Some(cut(&[("qipp.returns.v1", 3, 15)])));
        assert_eq!(from_json(r#"{"next":3}"#), None);
        assert_eq!(from_json("returns.0-1"), None);
    }

    #[test]
    fn what_is_not_a_cut_is_refused() {
        for bad in [
            "",
            "~",
            "returns",
            "returns.",
            "returns.0",
            "returns.0-",
            "returns.0-x",
            "0-1",
            "returns.0-1~",
            "re turns.0-1",
            "a..0-1",
        ] {
            assert_eq!(decode(bad), None, "{bad}");
        }
        assert_eq!(decode(&"9".repeat(MAX_LENGTH + 1)), None);
    }
}
