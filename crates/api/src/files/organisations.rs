//! `pct_sha_2010`, `trusts` and `succession`: organisations, their trees and who followed whom.
//!
//! # `pct_sha_2010`: primary care trusts under the strategic health authorities
//!
//! `org_code`, `org_name`, `sha_code`, `sha_name`, `country`, `first_seen`, `last_seen` (months). The tree is `sha_2010`: the country (kind `nation`),
//! the authorities (`sha`), the trusts (`pct`). An organisation whose `sha_code` is `-` or empty stands directly below the country with the kind
//! `commissioner`; a roll-up to `sha` counts it in the group with an empty code.
//!
//! Edges hold from the first day of `first_seen`. The file knows only its own span of months, so an opening or closing is inferred only inside it:
//! who is first seen after the file's first month opened on the first day of that month; who is last seen before the file's last month closed
//! on the first day of the month after. Edges of closed organisations stay, so that their history keeps its place.
//!
//! # `trusts`: trusts under today's seven regions
//!
//! `org_code`, `org_name`, `open_date`, `close_date` (`YYYYMMDD`), `region7_code`, `region7_name`; the file's other columns are ignored. The tree is
//! `region7`: `ENG`, the regions (kind `region`), the trusts (kind `trust`). `close_date` is the last day of operation, so the organisation is closed
//! from the day after. Edges hold from `open_date`, or from 1990-01-01 where that is not known. A trust without a region stands directly below
//! `ENG`. An organisation that the caller has recorded already (the Isle of Wight PCT is in both files) is not recorded again, which would
//! change its kind and name; it gets its edge.
//!
//! # `succession`: who follows whom
//!
//! `old_code`, `new_code`, `date` (`YYYY-MM-DD`). Only pairs of which both codes are known to the caller become facts; the file is full of practices and
//! sites. A code with several successors from one day is a split: each is a fact, and reads give such an organisation no single heir.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use qipp_domain::{OrgCode, Period};

use super::faults::{Faults, Parsed, Read};
use super::reference::{Once, beginning, closed, edge, organisation, succeeded, tree};
use super::table::{Layout, Row, each_row};
use crate::proto::events::v1::{ReferenceFact, reference_fact::Fact};

const PCT_LAYOUT: Layout = Layout {
    format: "a file of PCTs and SHAs",
    required: &[
        "org_code",
        "org_name",
        "sha_code",
        "sha_name",
        "country",
        "first_seen",
        "last_seen",
    ],
    optional: &[],
    ignored: &[],
};

const TRUST_LAYOUT: Layout = Layout {
    format: "a file of trusts",
    required: &[
        "org_code",
        "org_name",
        "open_date",
        "close_date",
        "region7_code",
        "region7_name",
    ],
    optional: &[],
    ignored: &[
        "icb_stp_code",
        "region4_code_2016",
        "region4_name_2016",
        "area_team_2016",
        "gor_code",
        "gor_name",
        "region_derived_from_successor",
        "postcode",
        "successors",
        "all_names",
        "snapshots",
    ],
};

const SUCCESSION_LAYOUT: Layout = Layout {
    format: "a succession file",
    required: &["old_code", "new_code", "date"],
    optional: &[],
    ignored: &[],
};

/// A group above organisations, and the first day on which it is needed.
#[derive(Debug)]
struct Group {
    name: String,
    from: Date,
}

type Groups = BTreeMap<OrgCode, Group>;

#[derive(Debug)]
struct Pct {
    org: OrgCode,
    name: String,
    sha: Option<OrgCode>,
    first: Period,
    last: Period,
}

#[derive(Debug)]
struct Trust {
    org: OrgCode,
    name: String,
    region: Option<OrgCode>,
    opened: Option<Date>,
    last_day: Option<Date>,
}

/// Reads the file of primary care trusts into organisations and the tree `sha_2010`, parents first.
///
/// # Errors
/// All problems of the file; also an organisation that comes twice.
pub fn pct_sha_2010(bytes: &[u8]) -> Read<Vec<ReferenceFact>> {
    let mut faults = Faults::default();
    let mut once = Once::default();
    let mut shas = Groups::new();
    let mut pcts = Vec::new();
    let mut country = None;
    each_row(bytes, &PCT_LAYOUT, &mut faults, |row, faults| {
        let nation = row.cell("country").code::<OrgCode>(faults);
        let Ok(pct) = read_pct(row, &mut shas, faults) else {
            return;
        };
        refuse_repeat(row, pct.org, &mut once, faults);
        pcts.push(pct);
        let Ok(nation) = nation else { return };
        if *country.get_or_insert(nation) != nation {
            let what = "one file has one country at its root: split it";
            faults.push("TWO_ROOTS", row.cell("country").field(), what);
        }
    });
    let facts = country.map_or_else(Vec::new, |root| pct_facts(root, &shas, &pcts));
    faults.finish(facts)
}

fn read_pct(row: &Row<'_>, shas: &mut Groups, faults: &mut Faults) -> Parsed<Pct> {
    let org = row.cell("org_code").code::<OrgCode>(faults);
    let sha = read_group(row, "sha_code", faults);
    let first = row.cell("first_seen").period(faults);
    let last = row.cell("last_seen").period(faults);
    let (name, sha_name) = (row.text("org_name"), row.text("sha_name"));
    let (sha, first, last) = (sha?, first?, last?);
    if last < first {
        let what = format!("{last} is before first_seen ({first}): check both");
        return row.cell("last_seen").fault(faults, "EMPTY_INTERVAL", what);
    }
    if let Some(sha) = sha {
        add_group(shas, sha, sha_name?, first.first_day());
    }
    Ok(Pct {
        org: org?,
        name: name?.to_owned(),
        sha,
        first,
        last,
    })
}

fn pct_facts(root: OrgCode, shas: &Groups, pcts: &[Pct]) -> Vec<ReferenceFact> {
    const TREE: &str = "sha_2010";
    let start = pcts.iter().map(|pct| pct.first).min();
    let end = pcts.iter().map(|pct| pct.last).max();
    let mut facts = vec![nation(root)];
    facts.extend(groups(shas, "sha"));
    for pct in pcts {
        let kind = if pct.sha.is_some() {
            "pct"
        } else {
            "commissioner"
        };
        let opened = Some(pct.first.first_day()).filter(|_| Some(pct.first) > start);
        facts.push(organisation(pct.org, &pct.name, kind, opened));
        let after = pct.last.plus(1).filter(|_| Some(pct.last) < end);
        facts.extend(after.map(|month| closed(pct.org, month.first_day())));
    }
    let title = "Strategic health authorities and primary care trusts, 2010";
    facts.push(tree(TREE, title, root));
    facts.extend(group_edges(TREE, shas, root));
    for pct in pcts {
        let parent = pct.sha.unwrap_or(root);
        facts.push(edge(TREE, pct.org, parent, pct.first.first_day(), None));
    }
    facts
}

/// Reads the file of trusts into organisations and the tree `region7`, parents first. `recorded` are the codes of organisations that have been
/// recorded already, from [`codes`].
///
/// # Errors
/// All problems of the file; also an organisation that comes twice.
pub fn trusts(bytes: &[u8], recorded: &BTreeSet<OrgCode>) -> Read<Vec<ReferenceFact>> {
    let mut faults = Faults::default();
    let mut once = Once::default();
    let mut regions = Groups::new();
    let mut trusts = Vec::new();
    each_row(bytes, &TRUST_LAYOUT, &mut faults, |row, faults| {
        if let Ok(trust) = read_trust(row, &mut regions, faults) {
            refuse_repeat(row, trust.org, &mut once, faults);
            trusts.push(trust);
        }
    });
    faults.finish(trust_facts(&regions, &trusts, recorded))
}

fn read_trust(row: &Row<'_>, regions: &mut Groups, faults: &mut Faults) -> Parsed<Trust> {
    let org = row.cell("org_code").code::<OrgCode>(faults);
    let region = read_group(row, "region7_code", faults);
    let opened = row.cell("open_date").compact_day(faults);
    let last_day = row.cell("close_date").compact_day(faults);
    let (name, region_name) = (row.text("org_name"), row.text("region7_name"));
    let (region, opened, last_day) = (region?, opened?, last_day?);
    if let (Some(opened), Some(last)) = (opened, last_day)
        && last < opened
    {
        let what = format!("{last} is before open_date ({opened}): check both");
        return row.cell("close_date").fault(faults, "EMPTY_INTERVAL", what);
    }
    if let Some(region) = region {
        add_group(regions, region, region_name?, beginning());
    }
    Ok(Trust {
        org: org?,
        name: name?.to_owned(),
        region,
        opened,
        last_day,
    })
}

fn trust_facts(
    regions: &Groups,
    trusts: &[Trust],
    recorded: &BTreeSet<OrgCode>,
) -> Vec<ReferenceFact> {
    const TREE: &str = "region7";
    let root = OrgCode::new("ENG").expect("ENG is a code");
    let mut facts = vec![nation(root)];
    facts.extend(groups(regions, "region"));
    for trust in trusts.iter().filter(|t| !recorded.contains(&t.org)) {
        facts.push(organisation(trust.org, &trust.name, "trust", trust.opened));
        let after = trust.last_day.and_then(|day| day.tomorrow().ok());
        facts.extend(after.map(|day| closed(trust.org, day)));
    }
    facts.push(tree(TREE, "NHS England regions and trusts", root));
    facts.extend(group_edges(TREE, regions, root));
    for trust in trusts {
        let parent = trust.region.unwrap_or(root);
        let from = trust.opened.unwrap_or_else(beginning);
        facts.push(edge(TREE, trust.org, parent, from, None));
    }
    facts
}

/// Reads the successions of which both organisations are known.
///
/// # Errors
/// All problems of the file. Codes that are not known are no problem; their pairs are left out.
pub fn succession(bytes: &[u8], known: &BTreeSet<OrgCode>) -> Read<Vec<ReferenceFact>> {
    let mut faults = Faults::default();
    let mut pairs: BTreeSet<(Date, OrgCode, OrgCode)> = BTreeSet::new();
    each_row(bytes, &SUCCESSION_LAYOUT, &mut faults, |row, faults| {
        let known_code = |column| {
            let code = OrgCode::new(row.text(column).ok()?).ok()?;
            known.contains(&code).then_some(code)
        };
        let date = row.cell("date").day(faults);
        let (Some(old), Some(new), Ok(date)) =
            (known_code("old_code"), known_code("new_code"), date)
        else {
            return;
        };
        if old == new {
            let what = format!("{old} cannot follow itself: take the row out");
            faults.push("SUCCEEDS_ITSELF", row.cell("new_code").field(), what);
        }
        pairs.insert((date, old, new));
    });
    let facts = pairs
        .into_iter()
        .map(|(date, old, new)| succeeded(old, new, date));
    faults.finish(facts.collect())
}

/// The codes of the organisations that the facts record.
#[must_use]
pub fn codes(facts: &[ReferenceFact]) -> BTreeSet<OrgCode> {
    let code = |f: &ReferenceFact| match &f.fact {
        Some(Fact::OrganisationRecorded(o)) => OrgCode::new(&o.org_code).ok(),
        _ => None,
    };
    facts.iter().filter_map(code).collect()
}

fn refuse_repeat(row: &Row<'_>, org: OrgCode, once: &mut Once<OrgCode>, faults: &mut Faults) {
    if let Some(first) = once.before(org, row.line()) {
        let what = format!("{org} stands in line {first}: keep one");
        faults.push("DUPLICATE_ROW", row.cell("org_code").field(), what);
    }
}

fn read_group(row: &Row<'_>, column: &'static str, faults: &mut Faults) -> Parsed<Option<OrgCode>> {
    match row.text(column)? {
        "" | "-" => Ok(None),
        _ => row.cell(column).code(faults).map(Some),
    }
}

fn add_group(groups: &mut Groups, code: OrgCode, name: &str, from: Date) {
    let group = groups.entry(code).or_insert_with(|| Group {
        name: name.to_owned(),
        from,
    });
    group.from = group.from.min(from);
}

fn nation(code: OrgCode) -> ReferenceFact {
    let name = if code.as_str() == "ENG" {
        "England"
    } else {
        ""
    };
    organisation(code, name, "nation", None)
}

fn groups<'a>(groups: &'a Groups, kind: &'a str) -> impl Iterator<Item = ReferenceFact> + 'a {
    groups
        .iter()
        .map(move |(code, group)| organisation(*code, &group.name, kind, None))
}

fn group_edges<'a>(
    tree: &'a str,
    groups: &'a Groups,
    root: OrgCode,
) -> impl Iterator<Item = ReferenceFact> + 'a {
    groups
        .iter()
        .map(move |(code, group)| edge(tree, *code, root, group.from, None))
}
