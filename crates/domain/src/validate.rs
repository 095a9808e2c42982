//! Validation: what is wrong with a return, all at once, each fault with a code, a pointer and the remedy.
//!
//! A draft is what the wire gave, as far as it could be read; reading faults are already in its list. Validation adds what only the
//! reference data and the organisation's own history can tell. It never changes a figure.

mod lines;
mod quality;
mod text;

use jiff::civil::Date;

use crate::nation::Ledger;
use crate::reference::Reference;
use crate::returns::{Body, Observation, Precondition, Return, ReturnContent, SavingsLine, Status};
use crate::scheme::Scheme;
use crate::{MarkerCode, OrgCode, Pence, Period, SchemeId};

pub use text::{code_holds_nhs_number, control_character, holds_nhs_number};

use lines::{check_pence, check_savings};
use quality::check_quality;
use text::{Lines, check_code, check_text};

/// Most values (observations or lines) that one return may hold.
pub const MAX_VALUES: usize = 20_000;

/// One fault or oddity.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Stable code, for example `NUMERATOR_ABOVE_DENOMINATOR`.
    pub code: &'static str,
    /// Pointer into the message, for example `return.quality.observations[3].measured.numerator`.
    pub field: String,
    /// What is wrong, and what to do about it.
    pub description: String,
}

impl Problem {
    /// A problem.
    pub fn new(
        code: &'static str,
        field: impl Into<String>,
        description: impl Into<String>,
    ) -> Self {
        Self {
            code,
            field: field.into(),
            description: description.into(),
        }
    }
}

/// A return as far as the wire could be read. What could not be read is absent here and present in `problems`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReturnDraft {
    /// Whose.
    pub org: Option<OrgCode>,
    /// About which month.
    pub period: Option<Period>,
    /// How firm.
    pub status: Option<Status>,
    /// How it wants to be decided.
    pub precondition: Precondition,
    /// Where from.
    pub source: String,
    /// Remarks.
    pub narrative: String,
    /// The figures.
    pub body: Option<DraftBody>,
    /// Faults found while reading.
    pub problems: Vec<Problem>,
}

/// The figures of a draft, each with its index in the request, for pointers.
#[derive(Clone, Debug, PartialEq)]
pub enum DraftBody {
    /// Observations. Definition version 0 stands for the one in force.
    Quality(Vec<(usize, Observation)>),
    /// Lines.
    Savings(Vec<(usize, SavingsLine)>),
}

/// A scheme as far as the wire could be read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SchemeDraft {
    /// The scheme, when all that makes it up could be read.
    pub scheme: Option<Scheme>,
    /// What can be checked of it all the same when not.
    pub parts: Option<SchemeParts>,
    /// Whose, when that could be read.
    pub org: Option<OrgCode>,
    /// How it wants to be decided.
    pub precondition: Precondition,
    /// Faults found while reading.
    pub problems: Vec<Problem>,
}

/// The parts of a scheme that are checked one by one, so that a part which can't be read does not hide what is wrong with the others.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SchemeParts {
    /// Its identifier.
    pub id: Option<SchemeId>,
    /// What people call it.
    pub title: String,
    /// Who answers for it.
    pub clinical_lead: String,
    /// Titles of its milestones.
    pub milestones: Vec<String>,
    /// First month of the plan.
    pub start: Option<Period>,
    /// The month in which it ended.
    pub ended: Option<Period>,
    /// Planned savings by month.
    pub planned: Vec<Pence>,
    /// Full-year effect.
    pub full_year_effect: Pence,
    /// Linked markers, each with its index in the request.
    pub linked_markers: Vec<(usize, MarkerCode)>,
}

impl SchemeParts {
    fn of(scheme: &Scheme) -> Self {
        let titles = scheme.milestones.iter().map(|m| m.title.clone());
        let markers = scheme.linked_markers.iter().map(|linked| linked.marker);
        Self {
            id: Some(scheme.id),
            title: scheme.title.clone(),
            clinical_lead: scheme.clinical_lead.clone(),
            milestones: titles.collect(),
            start: Some(scheme.start),
            ended: scheme.ended,
            planned: scheme.planned.clone(),
            full_year_effect: scheme.full_year_effect,
            linked_markers: markers.enumerate().collect(),
        }
    }
}

/// What a draft is held against.
#[derive(Clone, Copy, Debug)]
pub struct Against<'a> {
    /// The reference data as known now.
    pub reference: &'a Reference,
    /// The organisation's own history; `None` when it never sent anything.
    pub ledger: Option<&'a Ledger>,
    /// Today.
    pub today: Date,
}

/// A return that passed, and the oddities that do not stop it.
pub type Passed<T> = (T, Vec<Problem>);

/// Validates a return.
///
/// # Errors
/// All faults, in the order of their pointers.
pub fn validate_return(
    draft: ReturnDraft,
    against: &Against<'_>,
) -> Result<Passed<Return>, Vec<Problem>> {
    let ReturnDraft {
        org,
        period,
        status,
        precondition,
        source,
        narrative,
        body,
        mut problems,
    } = draft;
    let mut warnings = Vec::new();
    check_text("return.source", &source, Lines::One, &mut problems);
    check_text("return.narrative", &narrative, Lines::Many, &mut problems);
    check_code(
        || "return.idempotency_key".to_owned(),
        &precondition.idempotency_key,
        &mut problems,
    );
    if let Some(org) = org {
        check_organisation(org, "return.org_code", period, against, &mut problems);
    }
    if let Some(period) = period {
        check_period(period, against.today, &mut problems, &mut warnings);
    }
    let body = body.map(|body| match body {
        DraftBody::Quality(observations) => Body::Quality(
            check_quality(observations, period, against, &mut problems, &mut warnings).into(),
        ),
        DraftBody::Savings(lines) => Body::Savings(check_savings(
            lines,
            period,
            against,
            &mut problems,
            &mut warnings,
        )),
    });
    match (org, period, status, body) {
        (Some(org), Some(period), Some(status), Some(body)) if problems.is_empty() => {
            let content = ReturnContent {
                status,
                source,
                narrative,
                body,
            };
            sort_by_pointer(&mut warnings);
            let ret = Return {
                org,
                period,
                content,
                precondition,
            };
            Ok((ret, warnings))
        }
        (org, period, status, body) => {
            let absent = [
                ("return.org_code", org.is_none()),
                ("return.period", period.is_none()),
                ("return.status", status.is_none()),
                ("return.body", body.is_none()),
            ];
            Err(refused(problems, &absent))
        }
    }
}

/// All faults in the order of their pointers. What is absent without a reading fault that says why is a fault itself, so that nothing
/// is ever refused without a reason.
fn refused(mut problems: Vec<Problem>, absent: &[(&str, bool)]) -> Vec<Problem> {
    if problems.is_empty() {
        let absent = absent.iter().filter(|(_, is_absent)| *is_absent);
        problems.extend(
            absent.map(|(field, _)| Problem::new("REQUIRED", *field, "it is absent: state it")),
        );
    }
    sort_by_pointer(&mut problems);
    problems
}

/// Sorts as a reader of the message meets the fields: entry 2 of a list before entry 10.
fn sort_by_pointer(problems: &mut [Problem]) {
    fn steps(field: &str) -> impl Iterator<Item = (u64, &str)> {
        field.split('[').map(|step| match step.split_once(']') {
            Some((index, rest)) => (index.parse().unwrap_or(u64::MAX), rest),
            None => (0, step),
        })
    }
    problems.sort_by(|a, b| steps(&a.field).cmp(steps(&b.field)).then_with(|| a.cmp(b)));
}

/// Validates a scheme.
///
/// # Errors
/// All faults, in the order of their pointers.
pub fn validate_scheme(
    draft: SchemeDraft,
    against: &Against<'_>,
) -> Result<Passed<(Scheme, Precondition)>, Vec<Problem>> {
    let SchemeDraft {
        scheme,
        parts,
        org,
        precondition,
        mut problems,
    } = draft;
    let mut warnings = Vec::new();
    check_code(
        || "scheme.idempotency_key".to_owned(),
        &precondition.idempotency_key,
        &mut problems,
    );
    if let Some(org) = org {
        check_organisation(org, "scheme.org_code", None, against, &mut problems);
    }
    if let Some(parts) = scheme.as_ref().map(SchemeParts::of).or(parts) {
        check_scheme(&parts, against, &mut problems, &mut warnings);
    }
    match scheme {
        Some(scheme) if problems.is_empty() => Ok(((scheme, precondition), warnings)),
        scheme => Err(refused(problems, &[("scheme", scheme.is_none())])),
    }
}

fn check_scheme(
    scheme: &SchemeParts,
    against: &Against<'_>,
    problems: &mut Vec<Problem>,
    warnings: &mut Vec<Problem>,
) {
    if let Some(id) = &scheme.id {
        check_code(|| "scheme.scheme_id".to_owned(), id.as_str(), problems);
    }
    check_text("scheme.title", &scheme.title, Lines::One, problems);
    let lead = &scheme.clinical_lead;
    check_text("scheme.clinical_lead", lead, Lines::One, problems);
    for (i, title) in scheme.milestones.iter().enumerate() {
        let field = format!("scheme.milestones[{i}].title");
        check_text(&field, title, Lines::One, problems);
    }
    if scheme.title.trim().is_empty() {
        problems.push(Problem::new(
            "TITLE_MISSING",
            "scheme.title",
            "a scheme needs a title that people recognise",
        ));
    }
    for (i, planned) in scheme.planned.iter().enumerate() {
        check_pence(
            &format!("scheme.planned_pence[{i}]"),
            Some(*planned),
            problems,
        );
    }
    check_pence(
        "scheme.full_year_effect_pence",
        Some(scheme.full_year_effect),
        problems,
    );
    if scheme.planned.is_empty() || scheme.planned.len() > 60 {
        problems.push(Problem::new(
            "PLAN_LENGTH",
            "scheme.planned_pence",
            "give the plan for 1 to 60 months from `start` on",
        ));
    }
    let (start, ended) = (scheme.start, scheme.ended);
    if start.zip(ended).is_some_and(|(start, ended)| ended < start) {
        problems.push(Problem::new(
            "ENDS_BEFORE_START",
            "scheme.ended",
            "the scheme ends before it starts: check both months",
        ));
    }
    for (i, marker) in &scheme.linked_markers {
        if against.reference.latest_marker(*marker).is_none() {
            let field = format!("scheme.linked_markers[{i}].marker");
            problems.push(Problem::new(
                "UNKNOWN_MARKER",
                field,
                unknown_marker(marker.as_str()),
            ));
        }
    }
    if scheme.linked_markers.is_empty() {
        let what = "no marker is linked: name the measure that would tell you that this had harmed patients (R21)";
        warnings.push(Problem::new(
            "NO_LINKED_MARKER",
            "scheme.linked_markers",
            what,
        ));
    }
}

fn unknown_marker(marker: &str) -> String {
    format!("{marker} is not in the catalogue: see the list of markers (ListMarkers) for the codes")
}

fn check_organisation(
    org: OrgCode,
    field: &str,
    period: Option<Period>,
    against: &Against<'_>,
    problems: &mut Vec<Problem>,
) {
    let Some(organisation) = against.reference.organisation(org) else {
        let what = format!(
            "{org} is not a known organisation: check the ODS code, or ask the operator to register it"
        );
        problems.push(Problem::new("UNKNOWN_ORGANISATION", field, what));
        return;
    };
    let Some(period) = period else { return };
    if organisation
        .closed
        .is_some_and(|closed| closed <= period.first_day())
    {
        let heirs: Vec<String> = against
            .reference
            .successors(org)
            .map(|s| s.successor.to_string())
            .collect();
        let next = if heirs.is_empty() {
            String::new()
        } else {
            format!("; its successor is {}", heirs.join(", "))
        };
        let what = format!(
            "{org} ({}) was closed before {period}{next}",
            organisation.name
        );
        problems.push(Problem::new("ORGANISATION_CLOSED", field, what));
    }
    if organisation
        .opened
        .is_some_and(|opened| opened > period.last_day())
    {
        let what = format!("{org} ({}) was not open yet in {period}", organisation.name);
        problems.push(Problem::new("ORGANISATION_NOT_OPEN", field, what));
    }
}

fn check_period(
    period: Period,
    today: Date,
    problems: &mut Vec<Problem>,
    warnings: &mut Vec<Problem>,
) {
    if period.first_day() > today {
        let what =
            format!("{period} has not begun (today is {today}): send it when the month is over");
        problems.push(Problem::new("FUTURE_PERIOD", "return.period", what));
    } else if period.last_day() >= today {
        let what = format!("{period} is not over yet: the figures can't be complete");
        warnings.push(Problem::new("PERIOD_NOT_OVER", "return.period", what));
    }
}

/// Too many values, or none at all. That there are none is no fault when there were some which could not be read.
fn check_count(found: usize, field: &str, problems: &mut Vec<Problem>) {
    let unread = problems.iter().any(|p| {
        p.field
            .strip_prefix(field)
            .is_some_and(|rest| rest.starts_with('['))
    });
    if found == 0 && !unread {
        let what = "it says nothing: send every figure, and for each that is missing the reason";
        problems.push(Problem::new("EMPTY_RETURN", field, what));
    }
    if found > MAX_VALUES {
        let what = format!("{found} values are more than the {MAX_VALUES} that a return may hold");
        problems.push(Problem::new("TOO_MANY_VALUES", field, what));
    }
}
