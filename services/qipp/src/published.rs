//! Published roll-ups of waiting times: their layout, and ours held against them cell by cell.

use std::collections::BTreeMap;

/// What names a cell, in the columns of the layout.
const KEY: [&str; 5] = ["period", "pathway", "level", "rollup_code", "tfc_code"];
pub(crate) const PERIOD: usize = 0;
pub(crate) const LEVEL: usize = 2;
pub(crate) const GROUP: usize = 3;

/// What is compared.
const COUNTS: [&str; 4] = [
    "total_pathways",
    "total_known_clock_start",
    "within_18_weeks",
    "over_52_weeks",
];

pub(crate) type Key = [String; 5];
/// A count, or nothing where the cell is empty.
pub(crate) type Counts = [Option<u64>; 4];
pub(crate) type Cells = BTreeMap<Key, Counts>;

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Compared {
    /// Cells that were published.
    pub(crate) published: usize,
    /// Of these, equal in every count.
    pub(crate) equal: usize,
    /// Those that are not, in words.
    pub(crate) differences: Vec<String>,
}

/// Compares all published cells with ours.
pub(crate) fn compare(published: &Cells, ours: &Cells) -> Compared {
    let differences: Vec<String> = published
        .iter()
        .filter_map(|(key, counts)| difference(key, counts, ours.get(key)))
        .collect();
    Compared {
        published: published.len(),
        equal: published.len() - differences.len(),
        differences,
    }
}

/// How a published cell differs from ours; nothing when they are equal.
pub(crate) fn difference(key: &Key, published: &Counts, ours: Option<&Counts>) -> Option<String> {
    match ours {
        Some(found) if found == published => None,
        Some(found) => Some(format!("{}: {}", key.join(" "), unequal(published, found))),
        None => Some(format!(
            "{}: published, and not in our roll-ups",
            key.join(" ")
        )),
    }
}

/// Which counts differ.
fn unequal(published: &Counts, ours: &Counts) -> String {
    let show =
        |count: Option<u64>| count.map_or_else(|| "none".to_owned(), |count| count.to_string());
    let differing = COUNTS
        .iter()
        .zip(published.iter().zip(ours))
        .filter(|(_, (published, ours))| published != ours);
    let words: Vec<String> = differing
        .map(|(name, (published, ours))| {
            format!(
                "{name} published {}, ours {}",
                show(*published),
                show(*ours)
            )
        })
        .collect();
    words.join("; ")
}

/// The cells of a text in the layout.
///
/// # Errors
/// What is not as it should be, with its line.
pub(crate) fn parse(text: &str) -> Result<Cells, String> {
    let mut lines = text.trim_start_matches('\u{feff}').lines();
    let header = fields(lines.next().unwrap_or_default());
    let column = |name: &str| {
        let found = header.iter().position(|held| held == name);
        found.ok_or_else(|| format!("there is no column {name}: it is not in the layout of published waiting-time roll-ups"))
    };
    let keys: Vec<usize> = KEY
        .iter()
        .map(|name| column(name))
        .collect::<Result<_, _>>()?;
    let counts: Vec<usize> = COUNTS
        .iter()
        .map(|name| column(name))
        .collect::<Result<_, _>>()?;
    let mut cells = Cells::new();
    for (number, line) in (2_u64..)
        .zip(lines)
        .filter(|(_, line)| !line.trim().is_empty())
    {
        let row = fields(line);
        let cell = |index: usize| {
            row.get(index)
                .map(String::as_str)
                .ok_or_else(|| format!("line {number} is too short"))
        };
        let mut key = Key::default();
        for (slot, index) in key.iter_mut().zip(&keys) {
            cell(*index)?.clone_into(slot);
        }
        let mut found = Counts::default();
        for (slot, index) in found.iter_mut().zip(&counts) {
            *slot = count(cell(*index)?).map_err(|what| format!("line {number}: {what}"))?;
        }
        if cells.insert(key, found).is_some() {
            return Err(format!("line {number} repeats a cell of an earlier line"));
        }
    }
    Ok(cells)
}

fn count(text: &str) -> Result<Option<u64>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse()
        .map(Some)
        .map_err(|_| format!("`{text}` is not a count"))
}

/// The fields of a line; a quoted field may hold commas, and a doubled quote is one.
fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    let mut characters = line.trim_end_matches('\r').chars().peekable();
    while let Some(character) = characters.next() {
        let field = fields
            .last_mut()
            .expect("there is always a field: it begins with one and none is taken away");
        match character {
            '"' if quoted && characters.peek() == Some(&'"') => field.extend(characters.next()),
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            other => field.push(other),
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "period,pathway,level,rollup_code,rollup_name,tfc_code,tfc_name,total_pathways,total_known_clock_start,within_18_weeks,over_52_weeks";

    #[test]
    fn quoted_fields_may_hold_commas_and_quotes() {
        assert_eq!(
            fields("a,\"b, \"\"c\"\"\",,d\r"),
            ["a", "b, \"c\"", "", "d"]
        );
        assert_eq!(
            parse(&format!("{HEADER}\r\n2009-12,admitted,national,ENG,England,120,\"Ear, Nose & Throat\",10,9,8,0\r\n"))
                .unwrap()
                .into_values()
                .next(),
            Some([Some(10), Some(9), Some(8), Some(0)])
        );
    }

    #[test]
    fn another_layout_is_refused_by_its_first_missing_column() {
        assert!(
            parse("date,value\n")
                .unwrap_err()
                .contains("no column period")
        );
    }
}
