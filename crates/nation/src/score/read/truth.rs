//! What is true.

use qipp_domain::Period;

use super::cells::{Row, Sheet, is_missing, quoted};
use super::fault::Log;
use super::returns::Held;
use crate::TruthKind;
use crate::score::input::{Episode, Truth};

const TRUTH: &str = "truth.csv";

pub(super) fn read(bytes: &[u8], held: &Held, log: &mut Log) -> Truth {
    let required = ["org_code", "kind", "from"];
    let Some(mut sheet) = Sheet::open(TRUTH, bytes, &required, &["until", "markers"], log) else {
        return Truth::default();
    };
    let mut episodes: Vec<Episode> = Vec::new();
    let mut early = 0;
    while let Some(row) = sheet.next(log) {
        let org = organisation(&row, held, log);
        let kind = kind(&row, log);
        let markers = markers(&row, held, log);
        if kind == Some(None) {
            continue;
        }
        let from = row.required_month("from", log);
        let until = row.month("until", log);
        if Option::zip(from, until.flatten()).is_some_and(|(from, until)| until < from) {
            let what = "it ends before it begins: the last month comes after the first".to_owned();
            log.fault("ENDS_BEFORE_IT_BEGINS", row.place("until"), what);
            continue;
        }
        let (Some(org), Some(Some(kind)), Some(markers), Some(from), Some(until)) =
            (org, kind, markers, from, until)
        else {
            continue;
        };
        let first = held.returns.first;
        early += usize::from(from < first);
        let index = |month: Period| usize::try_from(month.months_since(first)).unwrap_or(0);
        let episode = Episode {
            org,
            kind,
            from: index(from),
            until: until.map(index),
            markers,
        };
        if !episodes.contains(&episode) {
            episodes.push(episode);
        }
    }
    if early > 0 {
        log.note(format!(
            "{TRUTH}: {early} episodes begin before the first month of the returns, and count from that"
        ));
    }
    Truth::new(episodes)
}

fn organisation(row: &Row<'_>, held: &Held, log: &mut Log) -> Option<usize> {
    let code = row.code("org_code", log)?;
    let index = held.organisations.get(code).copied();
    if index.is_none() {
        let what = format!(
            "{} has returned nothing: mend the code, or take the row out",
            quoted(code)
        );
        log.fault("UNKNOWN_ORGANISATION", row.place("org_code"), what);
    }
    index
}

/// `Some(None)`: nothing was put in.
fn kind(row: &Row<'_>, log: &mut Log) -> Option<Option<TruthKind>> {
    let text = row.text("kind", log)?;
    let word = text.to_lowercase().replace([' ', '-'], "_");
    match word.as_str() {
        "both" => Some(Some(TruthKind::Both)),
        "savings_only" => Some(Some(TruthKind::SavingsOnly)),
        "quality_only" => Some(Some(TruthKind::QualityOnly)),
        "none" | "null" | "neither" => Some(None),
        _ => {
            let what = format!(
                "{} is no kind: write both, savings_only or quality_only",
                quoted(text)
            );
            log.fault("INVALID_KIND", row.place("kind"), what);
            None
        }
    }
}

fn markers(row: &Row<'_>, held: &Held, log: &mut Log) -> Option<Vec<usize>> {
    let text = row.text("markers", log)?;
    if is_missing(text) {
        return Some(Vec::new());
    }
    // A code may have spaces in it: the whole cell comes first, then what ; and | separate, then spaces.
    let parts: Vec<&str> = if held.markers.contains_key(text) {
        vec![text]
    } else if text.contains([';', '|']) {
        text.split([';', '|']).collect()
    } else {
        text.split_whitespace().collect()
    };
    let mut markers = Vec::new();
    let mut is_known = true;
    for code in parts
        .into_iter()
        .map(str::trim)
        .filter(|code| !code.is_empty())
    {
        match held.markers.get(code) {
            Some(marker) => markers.extend(*marker),
            None => {
                is_known = false;
                let what = format!("{} is not in markers.csv: add it there", quoted(code));
                log.fault("UNKNOWN_MARKER", row.place("markers"), what);
            }
        }
    }
    markers.sort_unstable();
    markers.dedup();
    is_known.then_some(markers)
}
