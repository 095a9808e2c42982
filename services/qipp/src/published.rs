//! Published roll-ups of waiting times held against ours, cell by cell.

use std::collections::BTreeMap;

use anyhow::Context;

/// Period, pathway, level, group, treatment function.
type CellKey = [String; 5];

/// The counts of a cell, as text: total pathways, known clock start, within 18 weeks, over 52 weeks. An empty one was not published.
type Counts = [String; 4];

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

/// Compares two files in the published layout.
///
/// # Errors
/// When either is not in that layout.
pub(crate) fn compare(ours: &str, published: &[u8]) -> anyhow::Result<Compared> {
    let ours = cells(ours.as_bytes()).context("our roll-ups")?;
    let published = cells(published).context("the published roll-ups")?;
    let mut compared = Compared {
        published: published.len(),
        ..Compared::default()
    };
    for (key, counts) in &published {
        match ours.get(key) {
            Some(held) if held == counts => compared.equal += 1,
            Some(held) => compared.differences.push(format!(
                "{}: published {}, ours {}",
                key.join(" "),
                counts.join("/"),
                held.join("/")
            )),
            None => compared
                .differences
                .push(format!("{}: published, and not in ours", key.join(" "))),
        }
    }
    Ok(compared)
}

fn cells(bytes: &[u8]) -> anyhow::Result<BTreeMap<CellKey, Counts>> {
    let mut reader = csv::Reader::from_reader(bytes);
    let header = reader.headers()?.clone();
    let column = |name: &str| {
        header
            .iter()
            .position(|held| held.trim() == name)
            .with_context(|| format!("no column `{name}`"))
    };
    let key = ["period", "pathway", "level", "rollup_code", "tfc_code"].map(column);
    let counts = [
        "total_pathways",
        "total_known_clock_start",
        "within_18_weeks",
        "over_52_weeks",
    ]
    .map(column);
    let (key, counts) = (all(key)?, all(counts)?);
    let mut cells = BTreeMap::new();
    for row in reader.records() {
        let row = row?;
        let text = |index: usize| row.get(index).unwrap_or_default().trim().to_owned();
        cells.insert(key.map(text), counts.map(text));
    }
    Ok(cells)
}

fn all<const N: usize>(columns: [anyhow::Result<usize>; N]) -> anyhow::Result<[usize; N]> {
    let mut found = [0; N];
    for (place, column) in found.iter_mut().zip(columns) {
        *place = column?;
    }
    Ok(found)
}
