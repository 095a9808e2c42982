//! Validation: what is wrong with a return, all at once, each fault with a code, a pointer and the remedy.
//!
//! A draft is what the wire gave, as far as it could be read; reading faults are already in its list. Validation adds what only the
//! reference data and the organisation's own history can tell. It never changes a figure.

use std::collections::BTreeMap;

use jiff::civil::Date;

use crate::marker::MarkerDefinition;
use crate::nation::Ledger;
use crate::quantity::MAX_PENCE;
use crate::reference::Reference;
use crate::returns::{
    Body, Measured, Observation, Precondition, Return, ReturnContent, SavingsLine, Status, Value,
};
use crate::savings;
use crate::scheme::Scheme;
use crate::{KnownAt, OrgCode, Pence, Period, Quantity, SeriesKey};

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
    /// Whose, when that could be read.
    pub org: Option<OrgCode>,
    /// How it wants to be decided.
    pub precondition: Precondition,
    /// Faults found while reading.
    pub problems: Vec<Problem>,
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
    check_text("return.source", &source, &mut problems);
    check_text("return.narrative", &narrative, &mut problems);
    if let Some(org) = org {
        check_organisation(org, period, against, &mut problems);
    }
    if let Some(period) = period {
        check_period(period, against.today, &mut problems, &mut warnings);
    }
    let body = body.map(|body| match body {
        DraftBody::Quality(observations) => Body::Quality(check_quality(
            observations,
            period,
            against,
            &mut problems,
            &mut warnings,
        )),
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
            Ok((
                Return {
                    org,
                    period,
                    content,
                    precondition,
                },
                warnings,
            ))
        }
        _ => {
            problems.sort();
            Err(problems)
        }
    }
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
        org,
        precondition,
        mut problems,
    } = draft;
    let mut warnings = Vec::new();
    if let Some(org) = org {
        check_organisation(org, None, against, &mut problems);
    }
    if let Some(scheme) = &scheme {
        check_scheme(scheme, against, &mut problems, &mut warnings);
    }
    match scheme {
        Some(scheme) if problems.is_empty() => Ok(((scheme, precondition), warnings)),
        _ => {
            problems.sort();
            Err(problems)
        }
    }
}

fn check_scheme(
    scheme: &Scheme,
    against: &Against<'_>,
    problems: &mut Vec<Problem>,
    warnings: &mut Vec<Problem>,
) {
    check_text("scheme.title", &scheme.title, problems);
    check_text("scheme.clinical_lead", &scheme.clinical_lead, problems);
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
    if scheme.ended.is_some_and(|ended| ended < scheme.start) {
        problems.push(Problem::new(
            "ENDS_BEFORE_START",
            "scheme.ended",
            "the scheme ends before it starts: check both months",
        ));
    }
    for (i, linked) in scheme.linked_markers.iter().enumerate() {
        if against.reference.latest_marker(linked.marker).is_none() {
            let field = format!("scheme.linked_markers[{i}].marker");
            problems.push(Problem::new(
                "UNKNOWN_MARKER",
                field,
                unknown_marker(linked.marker.as_str()),
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

/// Refuses text in the shape of an NHS number: no patient-level data, ever.
fn check_text(field: &str, text: &str, problems: &mut Vec<Problem>) {
    if holds_nhs_number(text) {
        let what = "it holds a number in the shape of an NHS number: take it out, no patient-level data may be sent";
        problems.push(Problem::new("NHS_NUMBER", field, what));
    }
}

/// Is there a run of ten digits (single spaces or hyphens between them allowed) that passes the NHS number's check digit?
///
/// The check is modulo 11 with weights 10 to 2 (NHS Data Dictionary, "NHS NUMBER").
#[must_use]
pub fn holds_nhs_number(text: &str) -> bool {
    let mut digits: Vec<u32> = Vec::new();
    let mut gap = false;
    for c in text.chars().chain(std::iter::once('\n')) {
        if let Some(digit) = c.to_digit(10) {
            digits.push(digit);
            gap = false;
        } else if (c == ' ' || c == '-') && !gap && !digits.is_empty() {
            gap = true;
        } else {
            if digits.len() == 10 && passes_check_digit(&digits) {
                return true;
            }
            digits.clear();
            gap = false;
        }
    }
    false
}

fn passes_check_digit(digits: &[u32]) -> bool {
    let all_equal = digits.windows(2).all(|pair| pair[0] == pair[1]);
    let sum: u32 = digits
        .iter()
        .take(9)
        .zip((2..=10).rev())
        .map(|(digit, weight)| digit * weight)
        .sum();
    let check = (11 - sum % 11) % 11;
    !all_equal && check != 10 && check == digits[9]
}

fn check_organisation(
    org: OrgCode,
    period: Option<Period>,
    against: &Against<'_>,
    problems: &mut Vec<Problem>,
) {
    let field = if period.is_some() {
        "return.org_code"
    } else {
        "org_code"
    };
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

fn too_many(found: usize, field: &str, problems: &mut Vec<Problem>) {
    if found == 0 {
        let what = "it says nothing: send every figure, and for each that is missing the reason";
        problems.push(Problem::new("EMPTY_RETURN", field, what));
    }
    if found > MAX_VALUES {
        let what = format!("{found} values are more than the {MAX_VALUES} that a return may hold");
        problems.push(Problem::new("TOO_MANY_VALUES", field, what));
    }
}

// Quality.

fn check_quality(
    observations: Vec<(usize, Observation)>,
    period: Option<Period>,
    against: &Against<'_>,
    problems: &mut Vec<Problem>,
    warnings: &mut Vec<Problem>,
) -> Vec<Observation> {
    if problems.is_empty() || !observations.is_empty() {
        too_many(observations.len(), "return.quality.observations", problems);
    }
    let mut seen: BTreeMap<SeriesKey, usize> = BTreeMap::new();
    let mut checked = Vec::with_capacity(observations.len());
    for (index, mut observation) in observations {
        let field = format!("return.quality.observations[{index}]");
        if let Some(first) = seen.insert(observation.key, index) {
            let what = format!(
                "{} is already given by observations[{first}]: send it once",
                observation.key
            );
            problems.push(Problem::new(
                "DUPLICATE_MARKER",
                format!("{field}.marker"),
                what,
            ));
        }
        if let Some(definition) =
            definition_for(&observation, period, &field, against.reference, problems)
        {
            observation.definition_version = definition.version;
            check_value(&observation, definition, &field, problems);
        }
        checked.push(observation);
    }
    checked.sort_by_key(|o| o.key);
    warn_parts(&checked, warnings);
    if let (Some(period), Some(ledger)) = (period, against.ledger) {
        warn_against_last_month(&checked, period, ledger, warnings);
    }
    checked
}

fn definition_for<'a>(
    observation: &Observation,
    period: Option<Period>,
    field: &str,
    reference: &'a Reference,
    problems: &mut Vec<Problem>,
) -> Option<&'a MarkerDefinition> {
    let marker = observation.key.marker;
    let Some(latest) = reference.latest_marker(marker) else {
        problems.push(Problem::new(
            "UNKNOWN_MARKER",
            format!("{field}.marker"),
            unknown_marker(marker.as_str()),
        ));
        return None;
    };
    if observation.definition_version != 0 {
        let stated = reference.marker(marker, observation.definition_version);
        return match stated {
            None => {
                let what = format!(
                    "{marker} has no version {}: the latest is {}",
                    observation.definition_version, latest.version
                );
                problems.push(Problem::new(
                    "UNKNOWN_DEFINITION_VERSION",
                    format!("{field}.definition_version"),
                    what,
                ));
                None
            }
            Some(definition) if period.is_some_and(|period| !definition.is_valid_for(period)) => {
                problems.push(not_in_use(definition, period, field));
                None
            }
            definition => definition,
        };
    }
    let Some(period) = period else {
        return Some(latest);
    };
    let found = reference.marker_for(marker, period);
    if found.is_none() {
        problems.push(not_in_use(latest, Some(period), field));
    }
    found
}

fn not_in_use(definition: &MarkerDefinition, period: Option<Period>, field: &str) -> Problem {
    let span = |p: Option<Period>| p.map_or_else(|| "…".to_owned(), |p| p.to_string());
    let next = if definition.successor.is_empty() {
        String::new()
    } else {
        format!("; it was followed by {}", definition.successor)
    };
    let what = format!(
        "{} version {} is not in use in {} (from {} until {}){next}",
        definition.marker,
        definition.version,
        span(period),
        span(definition.valid_from),
        span(definition.valid_until),
    );
    Problem::new("MARKER_NOT_IN_USE", format!("{field}.marker"), what)
}

fn check_value(
    observation: &Observation,
    definition: &MarkerDefinition,
    field: &str,
    problems: &mut Vec<Problem>,
) {
    let Value::Measured(Measured {
        numerator,
        denominator,
    }) = observation.value
    else {
        return;
    };
    let marker = definition.marker;
    match denominator {
        None if definition.has_denominator() => {
            let what = format!("{marker} needs a denominator ({})", definition.denominator);
            problems.push(Problem::new(
                "DENOMINATOR_MISSING",
                format!("{field}.measured.denominator"),
                what,
            ));
        }
        Some(_) if !definition.has_denominator() => {
            let what = format!("{marker} has no denominator: leave it out");
            problems.push(Problem::new(
                "DENOMINATOR_NOT_EXPECTED",
                format!("{field}.measured.denominator"),
                what,
            ));
        }
        Some(d) if definition.proportion && numerator > d => {
            let what = format!(
                "{numerator} is above the denominator {d}, of which it is a part ({})",
                definition.numerator
            );
            problems.push(Problem::new(
                "NUMERATOR_ABOVE_DENOMINATOR",
                format!("{field}.measured.numerator"),
                what,
            ));
        }
        _ => {}
    }
}

/// Parts that do not add up to the whole within 0.5% (R97) are odd, and stay as they were sent.
fn warn_parts(observations: &[Observation], warnings: &mut Vec<Problem>) {
    let mut sums: BTreeMap<SeriesKey, (Quantity, bool)> = BTreeMap::new();
    for o in observations {
        if let (Some(_), Value::Measured(m)) = (o.key.breakdown, o.value) {
            let entry = sums.entry(SeriesKey::whole(o.key.marker)).or_default();
            entry.0 = entry.0 + m.denominator.unwrap_or(m.numerator);
        } else if o.key.breakdown.is_some() {
            // A missing part says nothing about the sum.
            sums.entry(SeriesKey::whole(o.key.marker)).or_default().1 = true;
        }
    }
    for o in observations {
        let (Value::Measured(m), Some((sum, incomplete))) = (o.value, sums.get(&o.key)) else {
            continue;
        };
        let whole = m.denominator.unwrap_or(m.numerator).to_f64();
        if !incomplete && (sum.to_f64() - whole).abs() > 0.005 * whole.max(1.0) {
            let what = format!(
                "the parts of {} add up to {sum} and the whole is {whole}: check which one is right",
                o.key.marker
            );
            warnings.push(Problem::new(
                "PARTS_DIFFER_FROM_WHOLE",
                format!("return.quality.observations[{}]", o.key),
                what,
            ));
        }
    }
}

/// A copied return (R94) and a jump of a denominator (R96) are odd, and stay as they were sent.
fn warn_against_last_month(
    observations: &[Observation],
    period: Period,
    ledger: &Ledger,
    warnings: &mut Vec<Problem>,
) {
    let Some(before) = period.plus(-1) else {
        return;
    };
    let (mut large, mut identical) = (0_u32, 0_u32);
    for o in observations.iter().filter(|o| o.key.breakdown.is_none()) {
        let Value::Measured(Measured {
            numerator,
            denominator: Some(now),
        }) = o.value
        else {
            continue;
        };
        let Some((last, _)) = ledger.observation(o.key, before, &KnownAt::Latest) else {
            continue;
        };
        let Value::Measured(Measured {
            numerator: last_numerator,
            denominator: Some(then),
        }) = last.value
        else {
            continue;
        };
        if now > Quantity::from_count(200) {
            large += 1;
            identical += u32::from(now == then && numerator == last_numerator);
        }
        let jump = (now.to_f64().max(0.5) / then.to_f64().max(0.5)).ln().abs();
        if jump > 0.35 && now.max(then) > Quantity::from_count(200) {
            let what = format!(
                "the denominator went from {then} to {now} in a month: is it a merger, or is the return partial? (R96)"
            );
            warnings.push(Problem::new(
                "DENOMINATOR_JUMP",
                format!("return.quality.observations[{}]", o.key.marker),
                what,
            ));
        }
    }
    if large > 0 && identical * 10 >= large * 6 {
        let what = format!(
            "{identical} of {large} larger markers repeat {before} to the unit: is it last month's return? (R94)"
        );
        warnings.push(Problem::new(
            "COPY_OF_LAST_MONTH",
            "return.quality.observations",
            what,
        ));
    }
}

// Savings.

fn check_savings(
    lines: Vec<(usize, SavingsLine)>,
    period: Option<Period>,
    against: &Against<'_>,
    problems: &mut Vec<Problem>,
    warnings: &mut Vec<Problem>,
) -> Vec<SavingsLine> {
    if problems.is_empty() || !lines.is_empty() {
        too_many(lines.len(), "return.savings.lines", problems);
    }
    let mut seen = BTreeMap::new();
    let mut checked = Vec::with_capacity(lines.len());
    for (index, line) in lines {
        let field = format!("return.savings.lines[{index}]");
        if let Some(first) = seen.insert(line.scheme, index) {
            let what = format!(
                "{} is already given by lines[{first}]: send it once",
                line.scheme
            );
            problems.push(Problem::new(
                "DUPLICATE_SCHEME",
                format!("{field}.scheme_id"),
                what,
            ));
        }
        if against
            .ledger
            .and_then(|ledger| ledger.scheme_history(line.scheme))
            .is_none_or(|h| h.latest().is_none())
        {
            let what = format!(
                "{} is not registered: register the scheme first (SubmitScheme)",
                line.scheme
            );
            problems.push(Problem::new(
                "UNKNOWN_SCHEME",
                format!("{field}.scheme_id"),
                what,
            ));
        }
        check_line(&line, &field, problems);
        if let (Some(period), Some(ledger)) = (period, against.ledger) {
            warn_line(&line, &field, period, ledger, warnings);
        }
        checked.push(line);
    }
    checked.sort_by_key(|line| line.scheme);
    checked
}

fn check_line(line: &SavingsLine, field: &str, problems: &mut Vec<Problem>) {
    let figures = [
        ("plan_pence", line.plan),
        ("actual_pence", line.actual),
        ("actual_ytd_pence", line.actual_ytd),
        ("forecast_pence", line.forecast),
        ("recurrent_pence", line.recurrent),
    ];
    for (name, figure) in figures {
        check_pence(&format!("{field}.{name}"), figure, problems);
    }
    let delivered = line.actual.is_some() || line.actual_ytd.is_some();
    match line.missing {
        None if !delivered => {
            let what = "state what was delivered (actual_pence or actual_ytd_pence), or the reason why there is no figure (missing)";
            problems.push(Problem::new("NO_FIGURE", field, what));
        }
        Some(_) if delivered || line.recurrent.is_some() => {
            let what = "it gives a figure and says that there is none: send one of the two";
            problems.push(Problem::new(
                "FIGURE_AND_MISSING",
                format!("{field}.missing"),
                what,
            ));
        }
        _ => {}
    }
}

fn check_pence(field: &str, amount: Option<Pence>, problems: &mut Vec<Problem>) {
    if amount.is_some_and(|a| a.0.unsigned_abs() > MAX_PENCE.unsigned_abs()) {
        let what = "more than £1,000bn: amounts are whole pence, check the unit";
        problems.push(Problem::new("AMOUNT_TOO_LARGE", field, what));
    }
}

/// Contradictions with earlier months are odd, and stay as they were sent: real returns fall and are restated.
fn warn_line(
    line: &SavingsLine,
    field: &str,
    period: Period,
    ledger: &Ledger,
    warnings: &mut Vec<Problem>,
) {
    let at = &KnownAt::Latest;
    let april = period.month_of_financial_year() == 1;
    let before = period
        .plus(-1)
        .filter(|_| !april)
        .and_then(|p| savings::year_to_date(ledger, line.scheme, p, at));
    if let (Some(ytd), Some(before)) = (line.actual_ytd, before)
        && ytd < before
    {
        let what = format!(
            "the year to date falls from {before} to {ytd}: restate the earlier month if it was wrong (R97)"
        );
        warnings.push(Problem::new(
            "YEAR_TO_DATE_FALLS",
            format!("{field}.actual_ytd_pence"),
            what,
        ));
    }
    let start = if april { Some(Pence(0)) } else { before };
    if let (Some(month), Some(ytd), Some(start)) = (line.actual, line.actual_ytd, start)
        && start + month != ytd
    {
        let what = format!(
            "{start} so far and {month} this month do not make {ytd}: the month counts as stated"
        );
        warnings.push(Problem::new(
            "MONTH_AND_YEAR_DISAGREE",
            format!("{field}.actual_ytd_pence"),
            what,
        ));
    }
    let usual = period
        .plus(-1)
        .and_then(|p| savings::in_month(ledger, line.scheme, p, at));
    if let (Some(now), Some(usual)) = (line.actual, usual)
        && usual.0 != 0
    {
        #[allow(clippy::cast_precision_loss, reason = "a ratio to within 5%")]
        let ratio = now.0 as f64 / usual.0 as f64;
        if (950.0..=1050.0).contains(&ratio) || (0.000_95..=0.001_05).contains(&ratio) {
            let what = format!(
                "{now} after {usual} last month: pounds, thousands or pence? Amounts are whole pence (R97)"
            );
            warnings.push(Problem::new(
                "UNIT_LOOKS_WRONG",
                format!("{field}.actual_pence"),
                what,
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_nhs_number_is_found_however_it_is_written() {
        // 943 476 5919 is the specification's own example of a number that passes the check digit.
        for text in [
            "9434765919",
            "patient 943 476 5919 complained",
            "943-476-5919",
        ] {
            assert!(holds_nhs_number(text), "{text}");
        }
        for text in [
            "9434765918",
            "0000000000",
            "12345",
            "£9434765919123",
            "tel 94347 65919 1",
            "",
        ] {
            assert!(!holds_nhs_number(text), "{text}");
        }
    }
}
