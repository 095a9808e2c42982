//! Who is in an RTT file: its organisations, their groups and the tree that they form.
//!
//! The columns are those of [`rtt`](super::rtt()); `sha_code` and `org_name` have to be there. The group is whatever the publisher put there
//! that year: a strategic health authority, an area team, a region. `-` or an empty cell means none; the organisation then stands directly
//! below the root, and a roll-up to the groups counts it in the group with an empty code.
//!
//! An edge holds from the first day of the first month in which the file shows that parent. When a later month shows another, the new edge
//! starts with that month and the old one ends there. An organisation that disappears before the last month keeps its edge and is not
//! closed: a file that says no more about somebody is not evidence that it ended. Groups stand below the root from the first month in
//! which they are seen. Names are those of the latest month; a group's name is its code unless the caller knows it.

use std::collections::{BTreeMap, BTreeSet};

use qipp_domain::{OrgCode, Period, Slug};

use super::cell::Cell;
use super::faults::{Faults, Parsed, Read, Reported};
use super::quality::read_key;
use super::reference::{edge, organisation, tree};
use super::rtt::LAYOUT as RTT;
use super::table::{Layout, Row, each_row};
use crate::proto::events::v1::ReferenceFact;

const LAYOUT: Layout = Layout {
    format: "an RTT file (for its organisations)",
    required: &["period", "sha_code", "org_code", "org_name"],
    optional: &[],
    ignored: &[
        "pathway",
        "tfc_code",
        "tfc_name",
        "total_pathways",
        "total_known_clock_start",
        "within_18_weeks",
        "over_52_weeks",
    ],
};

/// What the file cannot say about its tree.
#[derive(Clone, Debug)]
pub struct RttTree<'a> {
    /// Name of the tree, for example `sha_2010`.
    pub tree: &'a str,
    /// What people call it.
    pub title: &'a str,
    /// Code of the organisation at the root, for example `ENG`. Its kind is `nation`.
    pub root_code: &'a str,
    /// Its name.
    pub root_name: &'a str,
    /// Kind of the groups, for example `sha`.
    pub group_kind: &'a str,
    /// Kind of the organisations, for example `pct`.
    pub org_kind: &'a str,
    /// Names of groups by code, as far as they are known.
    pub group_names: &'a BTreeMap<String, String>,
}

/// What the rows say, by organisation.
#[derive(Debug, Default)]
struct Seen {
    /// Group (`None`: none) by month, with the line that said so first.
    parents: BTreeMap<OrgCode, BTreeMap<Period, (Option<OrgCode>, u64)>>,
    names: BTreeMap<OrgCode, (Period, String)>,
    groups: BTreeMap<OrgCode, Period>,
}

/// Reference facts for the organisations of an RTT file and their tree, parents first.
///
/// # Errors
/// All problems of the file and of `options`.
pub fn rtt_reference(bytes: &[u8], options: &RttTree<'_>) -> Read<Vec<ReferenceFact>> {
    let mut faults = Faults::default();
    let root = check_options(options, &mut faults);
    let mut seen = Seen::default();
    each_row(bytes, &LAYOUT, &mut faults, |row, faults| {
        // The fault is in the list; the row says nothing more.
        let _ = read_row(row, root, &mut seen, faults);
    });
    for org in seen.parents.keys() {
        if seen.groups.contains_key(org) || Some(*org) == root {
            let what = format!(
                "{org} is an organisation in some rows and a group or the root in others: nobody stands below itself"
            );
            faults.push(
                "GROUP_AND_ORGANISATION",
                format!("organisation {org}"),
                what,
            );
        }
    }
    let facts = root.map_or_else(Vec::new, |root| facts(&seen, root, options));
    faults.finish(facts)
}

fn check_options(options: &RttTree<'_>, faults: &mut Faults) -> Option<OrgCode> {
    for (field, slug) in [
        ("options.tree", options.tree),
        ("options.group_kind", options.group_kind),
        ("options.org_kind", options.org_kind),
    ] {
        if let Err(error) = Slug::new(slug) {
            faults.push("BAD_CODE", field, error.to_string());
        }
    }
    OrgCode::new(options.root_code)
        .map_err(|error| faults.push("BAD_CODE", "options.root_code", error.to_string()))
        .ok()
}

fn read_row(
    row: &Row<'_>,
    root: Option<OrgCode>,
    seen: &mut Seen,
    faults: &mut Faults,
) -> Parsed<()> {
    let key = read_key(row, faults);
    let group = read_group(row.cell("sha_code"), root, faults);
    let name = row.text("org_name");
    let ((org, period), group, name) = (key?, group?, name?);
    let months = seen.parents.entry(org).or_default();
    let (stated, line) = *months.entry(period).or_insert((group, row.line()));
    if stated != group {
        let show = |g: Option<OrgCode>| g.map_or_else(|| "-".to_owned(), |g| g.to_string());
        let what = format!(
            "{} here and {} in line {line}: in one month an organisation stands below one group",
            show(group),
            show(stated)
        );
        return row.cell("sha_code").fault(faults, "TWO_PARENTS", what);
    }
    if let Some(group) = group {
        let first = seen.groups.entry(group).or_insert(period);
        *first = period.min(*first);
    }
    let held = seen
        .names
        .entry(org)
        .or_insert_with(|| (period, String::new()));
    if !name.is_empty() && (held.1.is_empty() || held.0 <= period) && held.1 != name {
        *held = (period, name.to_owned());
    }
    Ok(())
}

fn read_group(
    cell: Cell<'_>,
    root: Option<OrgCode>,
    faults: &mut Faults,
) -> Result<Option<OrgCode>, Reported> {
    match cell.text()? {
        "" | "-" => Ok(None),
        _ => {
            let group: OrgCode = cell.code(faults)?;
            Ok(Some(group).filter(|group| Some(*group) != root))
        }
    }
}

fn facts(seen: &Seen, root: OrgCode, options: &RttTree<'_>) -> Vec<ReferenceFact> {
    let mut facts = vec![organisation(root, options.root_name, "nation", None)];
    for group in seen.groups.keys() {
        let name = options.group_names.get(group.as_str());
        let name = name.map_or("", String::as_str);
        facts.push(organisation(*group, name, options.group_kind, None));
    }
    for org in seen.parents.keys() {
        let name = seen.names.get(org).map_or("", |(_, name)| name.as_str());
        facts.push(organisation(*org, name, options.org_kind, None));
    }
    facts.push(tree(options.tree, options.title, root));
    for (group, first) in &seen.groups {
        facts.push(edge(options.tree, *group, root, first.first_day(), None));
    }
    for (org, months) in &seen.parents {
        edges(*org, months, root, options.tree, &mut facts);
    }
    facts
}

/// One edge for each run of months under the same parent; each but the last ends where the next one starts.
fn edges(
    org: OrgCode,
    months: &BTreeMap<Period, (Option<OrgCode>, u64)>,
    root: OrgCode,
    tree: &str,
    facts: &mut Vec<ReferenceFact>,
) {
    let mut runs: Vec<(Period, OrgCode)> = Vec::new();
    for (period, (group, _)) in months {
        let parent = group.unwrap_or(root);
        if runs.last().is_none_or(|(_, held)| *held != parent) {
            runs.push((*period, parent));
        }
    }
    for (i, (from, parent)) in runs.iter().enumerate() {
        let until = runs.get(i + 1).map(|(next, _)| next.first_day());
        facts.push(edge(tree, org, *parent, from.first_day(), until));
    }
}

/// Names of the treatment functions of an RTT file by code, for [`rtt_rollup_csv`](super::rtt_rollup_csv). Where the column is missing or a
/// name is empty, there is none.
///
/// # Errors
/// All problems of the file.
pub fn rtt_treatment_functions(bytes: &[u8]) -> Read<BTreeMap<String, String>> {
    let mut faults = Faults::default();
    let mut names = BTreeMap::new();
    let mut codes = BTreeSet::new();
    each_row(bytes, &RTT, &mut faults, |row, faults| {
        let code = row.cell("tfc_code").required(faults);
        if let (Ok(code), Ok(name)) = (code, row.text("tfc_name"))
            && !name.is_empty()
            && codes.insert(code.to_owned())
        {
            names.insert(code.to_owned(), name.to_owned());
        }
    });
    faults.finish(names)
}
