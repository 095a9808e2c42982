//! `markers`: the marker catalogue.
//!
//! | column | becomes |
//! |---|---|
//! | `code`, `name`, `domain`, `numerator`, `denominator`, `unit`, `trigger_role`, `notes`, `publication_lag_days` | the fields of the definition of that name, version 1 |
//! | `polarity` | `higher_is_better`, `lower_is_better` or `neutral` |
//! | `national_standard` | `standard`, with the month since which the catalogue has it; `none` becomes empty |
//! | `standard_valid_from` | only those words. **Not `valid_from`**, see below |
//! | `standard_valid_to` | `valid_until`, the month after it |
//! | `successor_code` | `successor`; where there are several (`A;B`) the first, and the others in the notes |
//! | `proportion` (optional) | `true` or `false`, instead of the lists below |
//! | `frequency`, `chart_type`, `typical_monthly_denominator_medium_trust`, `source`, `scope`, `risk_adjustment`, `collect_mode`, `provenance` | ignored |
//!
//! **Validity.** `standard_valid_from` is the month from which the national *standard* holds. Figures are older than standards: incomplete
//! pathways were published in 2009 and their 92% standard began in April 2012. So it says nothing about which months may be returned, and
//! definitions are open at the beginning. `standard_valid_to` is the last month of a marker that was *retired*: the question is no longer asked.
//! It is read as inclusive, because the last months of the catalogue have figures (delayed transfers were collected for February 2020 and
//! then suspended; harm-free care ended with March 2020), and so a definition is valid until the month after it.
//!
//! **Roll-up.** With a denominator: parts. Without: sum. Medians cannot be added: [`MEDIANS`].
//!
//! **Proportions.** A percentage is a proportion when its numerator counts a part of its denominator, so that it can't exceed it. The unit
//! does not tell; [`PROPORTIONS`] and [`OTHER_PERCENTAGES`] say it code by code, with the reason. A percentage in neither list has to say it in
//! the column `proportion`; nothing is guessed.

use std::str::FromStr;

use qipp_domain::marker::{QualityDomain, TriggerRole};
use qipp_domain::{MarkerCode, Period};

use super::faults::{Faults, Parsed, Read};
use super::reference::{Once, fact};
use super::table::{Layout, Row, each_row};
use crate::proto::events::v1::{
    MarkerDefined, Polarity, ReferenceFact, RollUp, reference_fact::Fact,
};

/// Percentages whose numerator is a part of the denominator: some of the patients, referrals, calls, responses, deaths, items, days, hours or
/// pounds that the denominator counts.
pub const PROPORTIONS: [&str; 32] = [
    // Patients, pathways, incidents or handovers within (or beyond) a time.
    "AE_4H",
    "AE_4H_T1",
    "RTT_INC",
    "RTT_ADM",
    "RTT_NADM",
    "RTT_ADM_52W",
    "RTT_NADM_52W",
    "RTT_ADM_CLOCK",
    "RTT_NADM_CLOCK",
    "DM01_6W",
    "CANC_62",
    "CANC_31",
    "CANC_2WW",
    "CANC_FDS28",
    "AMB_HAND30",
    "AMB_A8",
    "CPA7",
    "COMPL_TIME",
    // People asked, or assessed, of whom some say or get it.
    "GP_ACCESS",
    "HARM_FREE",
    "VTE_RA",
    "STROKE_HF",
    "FFT_IP",
    "STAFF_ENG",
    // Ends of spells, and deaths, of a kind. Readmissions are counted by the discharge that they follow.
    "HSMR_M",
    "READM_30",
    "DIUPR",
    // Of all days, pounds, procedures, items or minutes, those of a kind.
    "SICKNESS",
    "AGENCY_PCT",
    "DAYCASE",
    "RX_LOWCOST",
    "DIRECT_CARE",
];

/// Percentages that may exceed 100, or whose two counts come from different sources, with the reason.
pub const OTHER_PERCENTAGES: [(&str, &str); 8] = [
    (
        "FFT_RR",
        "responses of a month can follow discharges of an earlier one",
    ),
    ("RN_FILL", "more hours can be worked than were planned"),
    (
        "VACANCY",
        "a difference of two counts, not a count of posts",
    ),
    (
        "TURNOVER",
        "leavers of twelve months against an average head count",
    ),
    (
        "RMS_RETURN",
        "referrals returned in a month can have been received in an earlier one",
    ),
    (
        "DTOC",
        "delayed days and occupied bed days come from different collections",
    ),
    (
        "NCTR",
        "patients of the daily sitrep against beds of another collection",
    ),
    (
        "BED_OCC",
        "escalation beds are occupied and not counted as available",
    ),
];

/// Markers whose value is a median.
pub const MEDIANS: [&str; 1] = ["RMS_TRIAGE"];

const LAYOUT: Layout = Layout {
    format: "a marker catalogue",
    required: &[
        "code",
        "name",
        "domain",
        "numerator",
        "denominator",
        "unit",
        "polarity",
        "national_standard",
        "trigger_role",
        "standard_valid_from",
        "standard_valid_to",
        "successor_code",
        "publication_lag_days",
        "notes",
    ],
    optional: &["proportion"],
    ignored: &[
        "frequency",
        "chart_type",
        "typical_monthly_denominator_medium_trust",
        "source",
        "scope",
        "risk_adjustment",
        "collect_mode",
        "provenance",
    ],
};

const POLARITIES: [(&str, Polarity); 3] = [
    ("higher_is_better", Polarity::HigherIsBetter),
    ("lower_is_better", Polarity::LowerIsBetter),
    ("neutral", Polarity::Neutral),
];

/// Reads one or more marker catalogues (the catalogue, and supplements to it) into definitions, in the order of the files.
///
/// # Errors
/// All problems of all files; also a code that comes twice. With several files the field names the file: `file 2, line 17, column unit`.
pub fn markers(files: &[&[u8]]) -> Read<Vec<ReferenceFact>> {
    let mut problems = Faults::default();
    let mut once = Once::default();
    let mut facts = Vec::new();
    for (number, bytes) in (1_u32..).zip(files) {
        let mut faults = Faults::default();
        each_row(bytes, &LAYOUT, &mut faults, |row, faults| {
            let Ok(definition) = read_definition(row, faults) else {
                return;
            };
            if once.before(definition.marker.clone(), row.line()).is_some() {
                let what = format!(
                    "{} is defined twice: a changed question is a new version, and a catalogue holds one",
                    definition.marker
                );
                faults.push("DUPLICATE_ROW", row.cell("code").field(), what);
            }
            facts.push(fact(Fact::MarkerDefined(definition)));
        });
        if let Err(found) = faults.finish(()) {
            for problem in found {
                let field = if files.len() > 1 {
                    format!("file {number}, {}", problem.field)
                } else {
                    problem.field
                };
                problems.push(problem.code, field, problem.description);
            }
        }
    }
    problems.finish(facts)
}

fn read_definition(row: &Row<'_>, faults: &mut Faults) -> Parsed<MarkerDefined> {
    let marker = row.cell("code").code::<MarkerCode>(faults);
    let name = row.cell("name").required(faults);
    let domain = name_of(row, "domain", &QualityDomain::NAMES, faults);
    let role = name_of(row, "trigger_role", &TriggerRole::NAMES, faults);
    let numerator = row.cell("numerator").required(faults);
    let denominator = row.text("denominator");
    let unit = row.cell("unit").required(faults);
    let polarity = read_polarity(row, faults);
    let standard = read_standard(row, faults);
    let valid_until = read_end(row, faults);
    let (successor, others) = read_successor(row, faults);
    let lag = row.cell("publication_lag_days").whole(faults);
    let notes = row.text("notes");
    let (marker, unit, denominator) = (marker?, unit?, denominator?);
    let proportion = read_proportion(row, marker, unit, denominator, faults);
    Ok(MarkerDefined {
        marker: marker.to_string(),
        definition_version: 1,
        name: name?.to_owned(),
        domain: domain?.to_owned(),
        numerator: numerator?.to_owned(),
        denominator: denominator.to_owned(),
        unit: unit.to_owned(),
        polarity: polarity?.into(),
        roll_up: roll_up(marker, denominator).into(),
        trigger_role: role?.to_owned(),
        valid_from: String::new(),
        valid_until: valid_until?,
        successor: successor?,
        standard: standard?,
        publication_lag_days: lag?.and_then(|days| u32::try_from(days).ok()).unwrap_or(0),
        notes: [notes?, &others].join(" ").trim().to_owned(),
        proportion: proportion?,
    })
}

/// A word that the domain knows, as it is written there.
fn name_of<T: Copy>(
    row: &Row<'_>,
    column: &'static str,
    names: &[(T, &'static str)],
    faults: &mut Faults,
) -> Parsed<&'static str> {
    let words: Vec<(&str, &'static str)> = names.iter().map(|(_, name)| (*name, *name)).collect();
    row.cell(column).required(faults)?;
    let found = row.cell(column).word(&words, faults)?;
    Ok(found.unwrap_or_default())
}

fn read_polarity(row: &Row<'_>, faults: &mut Faults) -> Parsed<Polarity> {
    row.cell("polarity").required(faults)?;
    let polarity = row.cell("polarity").word(&POLARITIES, faults)?;
    Ok(polarity.unwrap_or_default())
}

fn read_standard(row: &Row<'_>, faults: &mut Faults) -> Parsed<String> {
    let from = match row.text("standard_valid_from")? {
        "" => None,
        _ => Some(row.cell("standard_valid_from").period(faults)?),
    };
    Ok(match (row.text("national_standard")?, from) {
        ("" | "none", _) => String::new(),
        (standard, None) => standard.to_owned(),
        (standard, Some(from)) => format!("{standard}; in the catalogue from {from}"),
    })
}

fn read_end(row: &Row<'_>, faults: &mut Faults) -> Parsed<String> {
    if row.text("standard_valid_to")?.is_empty() {
        return Ok(String::new());
    }
    let last = row.cell("standard_valid_to").period(faults)?;
    let next: Option<Period> = last.plus(1);
    Ok(next.map_or_else(String::new, |next| next.to_string()))
}

/// The first successor, and words about the others.
fn read_successor(row: &Row<'_>, faults: &mut Faults) -> (Parsed<String>, String) {
    let cell = row.cell("successor_code");
    let text = match cell.text() {
        Ok(text) => text,
        Err(reported) => return (Err(reported), String::new()),
    };
    let codes: Vec<&str> = text
        .split(';')
        .map(str::trim)
        .filter(|c| !c.is_empty())
        .collect();
    for code in &codes {
        if let Err(error) = MarkerCode::from_str(code) {
            return (
                cell.fault(faults, "BAD_CODE", error.to_string()),
                String::new(),
            );
        }
    }
    let others = match codes.as_slice() {
        [] | [_] => String::new(),
        [_, others @ ..] => format!("Followed by {} as well.", others.join(", ")),
    };
    let first = codes.first().copied().unwrap_or_default();
    (Ok(first.to_owned()), others)
}

fn roll_up(marker: MarkerCode, denominator: &str) -> RollUp {
    if MEDIANS.contains(&marker.as_str()) {
        RollUp::None
    } else if denominator.is_empty() {
        RollUp::Sum
    } else {
        RollUp::Parts
    }
}

fn read_proportion(
    row: &Row<'_>,
    marker: MarkerCode,
    unit: &str,
    denominator: &str,
    faults: &mut Faults,
) -> Parsed<bool> {
    let cell = row.cell("proportion");
    if !cell.text()?.is_empty() {
        return cell.flag(faults);
    }
    let code = marker.as_str();
    if unit != "percent"
        || denominator.is_empty()
        || OTHER_PERCENTAGES.iter().any(|(c, _)| *c == code)
    {
        return Ok(false);
    }
    if PROPORTIONS.contains(&code) {
        return Ok(true);
    }
    let what = format!(
        "{marker} is a percentage that this program does not know: say in a column `proportion` whether its numerator is a part of its denominator (true or false)"
    );
    cell.fault(faults, "PROPORTION_UNKNOWN", what)
}
