//! `rtt`: referral to treatment, in the layout of the published commissioner and provider tables.
//!
//! | column | | holds |
//! |---|---|---|
//! | `period` | required | month, `YYYY-MM` |
//! | `pathway` | required | `admitted`, `non_admitted` or `incomplete` |
//! | `org_code` | required | ODS code |
//! | `tfc_code` | required | treatment function; `999` is the published total |
//! | `total_pathways` | required | pathways of the month (completed), or at its end (incomplete) |
//! | `total_known_clock_start` | required | of these, with a known clock start; empty where it is not published (incomplete) |
//! | `within_18_weeks` | required | within 18 weeks |
//! | `over_52_weeks` | required | over 52 weeks |
//! | `sha_code`, `org_name`, `tfc_name` | optional | group above the organisation (of whatever kind, `-` or empty for none), names |
//!
//! Nothing is tied to a year: any organisations, groups and treatment functions may come.
//!
//! | pathway | marker | numerator | denominator |
//! |---|---|---|---|
//! | admitted | `RTT_ADM` | within_18_weeks | total_known_clock_start |
//! | | `RTT_ADM_52W` | over_52_weeks | total_known_clock_start |
//! | | `RTT_ADM_CLOCK` | total_known_clock_start | total_pathways |
//! | non_admitted | `RTT_NADM`, `RTT_NADM_52W`, `RTT_NADM_CLOCK` | the same | the same |
//! | incomplete | `RTT_INC` | within_18_weeks | total_pathways |
//! | | `RTT_52W` | over_52_weeks | total_pathways |
//!
//! Where a completed pathway's total_known_clock_start is empty, total_pathways is the denominator and no `CLOCK` marker is given.
//!
//! Code 999 is the whole (no breakdown), every other code the part `tfc:<code>`. The total is taken as it was published and never made
//! from the parts: the publisher may know patients whose specialty is not.
//!
//! Missing is never zero: where a count that an observation needs is empty, the observation is left out, which the house reads as
//! `not submitted`. An organisation's month without any figure gives no return at all. A zero is a zero, and stays.
//!
//! One return for each organisation and month; status final, because these tables are what was published. A revised table is read the
//! same way and becomes the next revision.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use qipp_domain::Breakdown;

use super::cell::Cell;
use super::faults::{Faults, Parsed, Read};
use super::grouped::{Grouped, Key, cut_source, quality_return};
use super::quality::read_key;
use super::sheet::{Columns, Places, Sheet};
use super::table::{Layout, Row, each_row};
use crate::proto::events::v1::{Measured, Observation, Return, ReturnStatus, observation::Value};

/// Code of the treatment function that stands for all of them.
pub(crate) const TOTAL: &str = "999";

pub(crate) const LAYOUT: Layout = Layout {
    format: "an RTT file",
    required: &[
        "period",
        "pathway",
        "org_code",
        "tfc_code",
        "total_pathways",
        "total_known_clock_start",
        "within_18_weeks",
        "over_52_weeks",
    ],
    optional: &["sha_code", "org_name", "tfc_name"],
    ignored: &[],
};

/// Which clock a row counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Pathway {
    /// Ended with an admission.
    Admitted,
    /// Still running at the end of the month.
    Incomplete,
    /// Ended without one.
    NonAdmitted,
}

/// The markers that a pathway's rows give.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Markers {
    pub(crate) within: &'static str,
    pub(crate) over_52: &'static str,
    /// Only completed pathways have one.
    pub(crate) clock: Option<&'static str>,
}

impl Pathway {
    /// All, with the words of the published tables.
    pub(crate) const NAMES: [(&'static str, Self); 3] = [
        ("admitted", Self::Admitted),
        ("incomplete", Self::Incomplete),
        ("non_admitted", Self::NonAdmitted),
    ];

    pub(crate) fn markers(self) -> Markers {
        let (within, over_52, clock) = match self {
            Self::Admitted => ("RTT_ADM", "RTT_ADM_52W", Some("RTT_ADM_CLOCK")),
            Self::NonAdmitted => ("RTT_NADM", "RTT_NADM_52W", Some("RTT_NADM_CLOCK")),
            Self::Incomplete => ("RTT_INC", "RTT_52W", None),
        };
        Markers {
            within,
            over_52,
            clock,
        }
    }
}

/// The counts of one row; `None` where the cell is empty.
#[derive(Clone, Copy, Debug)]
struct Counts {
    total: Option<u64>,
    known: Option<u64>,
    within: Option<u64>,
    over_52: Option<u64>,
}

/// Reads an RTT file into one quality return for each organisation and month. `source` is what the returns name as their source.
///
/// # Errors
/// All problems of the file, each with its line and column; also a row that comes twice.
pub fn rtt(bytes: &[u8], source: &str) -> Read<Vec<Return>> {
    let sheet = rtt_sheet(bytes, source);
    sheet.whole().map(|(returns, _)| returns)
}

/// The same, with what could be read of a file that has faults.
#[must_use]
pub fn rtt_sheet(bytes: &[u8], source: &str) -> Sheet {
    let mut faults = Faults::default();
    let mut drafts: Grouped<(Vec<Observation>, Places)> = Grouped::default();
    let mut seen: HashMap<(Key, Pathway, Option<Breakdown>), u64> = HashMap::new();
    each_row(bytes, &LAYOUT, &mut faults, |row, faults| {
        let key = read_key(row, faults);
        let pathway = read_pathway(row, faults);
        let part = read_part(row.cell("tfc_code"), faults);
        let counts = read_counts(row, faults);
        let (Ok(key), Ok(pathway), Ok(part), Ok(counts)) = (key, pathway, part, counts) else {
            return;
        };
        match seen.entry((key, pathway, part)) {
            Entry::Occupied(first) => {
                let what = format!(
                    "the same organisation, period, pathway and treatment function stand in line {}: keep one",
                    first.get()
                );
                faults.push("DUPLICATE_ROW", format!("line {}", row.line()), what);
            }
            Entry::Vacant(free) => {
                free.insert(row.line());
                let (observations, places) =
                    drafts.entry(key, || (Vec::new(), Places::new(Columns::Rtt, row.line())));
                observe(pathway, part, counts, |observation, numerator| {
                    observations.push(observation);
                    places.push(row.line(), Some(numerator));
                });
            }
        }
    });
    let mut sheet = Sheet::default();
    for (key, (found, places)) in drafts.into_groups() {
        if !found.is_empty() {
            let ret = quality_return(key, ReturnStatus::Final, cut_source(source), found);
            sheet.returns.push(ret);
            sheet.places.push(places);
        }
    }
    sheet.problems = faults.list();
    sheet
}

fn read_pathway(row: &Row<'_>, faults: &mut Faults) -> Parsed<Pathway> {
    let cell = row.cell("pathway");
    cell.required(faults)?;
    let pathway = cell.word(&Pathway::NAMES, faults)?;
    Ok(pathway.expect("a cell that is not empty is a word or a fault"))
}

fn read_part(cell: Cell<'_>, faults: &mut Faults) -> Parsed<Option<Breakdown>> {
    let code = cell.required(faults)?;
    if code == TOTAL {
        return Ok(None);
    }
    Breakdown::new(&format!("tfc:{code}")).map(Some).or_else(|_| {
        let what = "a treatment function code is letters and digits, at most 20, for example 100 or X01";
        cell.fault(faults, "BAD_CODE", what)
    })
}

fn read_counts(row: &Row<'_>, faults: &mut Faults) -> Parsed<Counts> {
    let mut count = |column| row.cell(column).whole(faults);
    let total = count("total_pathways");
    let known = count("total_known_clock_start");
    let within = count("within_18_weeks");
    let over_52 = count("over_52_weeks");
    Ok(Counts {
        total: total?,
        known: known?,
        within: within?,
        over_52: over_52?,
    })
}

/// Shows every observation that the counts of a row give, each with the column of its numerator.
fn observe(
    pathway: Pathway,
    part: Option<Breakdown>,
    counts: Counts,
    mut show: impl FnMut(Observation, &'static str),
) {
    let markers = pathway.markers();
    let known = counts.known.filter(|_| markers.clock.is_some());
    let of = known.or(counts.total);
    let mut give = |marker: &str, (numerator, column), denominator: Option<u64>| {
        let numerator: Option<u64> = numerator;
        if let (Some(numerator), Some(denominator)) = (numerator, denominator) {
            let observation = Observation {
                marker: marker.to_owned(),
                breakdown: part.map_or_else(String::new, |part| part.to_string()),
                value: Some(Value::Measured(Measured {
                    numerator: exact(numerator),
                    denominator: Some(exact(denominator)),
                })),
                ..Observation::default()
            };
            show(observation, column);
        }
    };
    give(markers.within, (counts.within, "within_18_weeks"), of);
    give(markers.over_52, (counts.over_52, "over_52_weeks"), of);
    if let Some(clock) = markers.clock {
        give(clock, (known, "total_known_clock_start"), counts.total);
    }
}

/// Counts were read as quantities of at most 10^12, which a double holds exactly.
#[allow(clippy::cast_precision_loss, reason = "at most 10^12, far below 2^53")]
pub(crate) fn exact(count: u64) -> f64 {
    count as f64
}
