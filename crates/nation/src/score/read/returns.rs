//! What was returned: markers, observations and savings.

use std::collections::{BTreeMap, HashMap};

use qipp_domain::Period;
use qipp_domain::marker::Polarity;
use qipp_spc::surveillance::MAX_MARKERS;

use super::Files;
use super::cells::{Row, Sheet, quoted};
use super::fault::{Log, Place};
use crate::score::input::{
    Figure, MAX_CELLS, MAX_MONTHS, MAX_ORGANISATIONS, MarkerEntry, Returns, Saving,
};

const MARKERS: &str = "markers.csv";
const OBSERVATIONS: &str = "observations.csv";
const SAVINGS: &str = "savings.csv";

/// Numerators above their denominators are told when no more than one in so many is.
const RARE: usize = 20;

/// What was read, with what the truth is looked up by.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) returns: Returns,
    /// Index of each marker by its code; `None` for a neutral one.
    pub(super) markers: HashMap<String, Option<usize>>,
    /// Index of each organisation.
    pub(super) organisations: HashMap<String, usize>,
}

/// A row while neither the first month nor the order of organisations is known.
struct Raw {
    line: u64,
    org: usize,
    /// Savings: 0.
    marker: usize,
    month: Period,
    received: Period,
    numerator: f64,
    denominator: f64,
}

/// Codes in the order in which they were first seen.
#[derive(Default)]
struct Codes(HashMap<String, usize>);

impl Codes {
    fn index(&mut self, code: &str) -> usize {
        let next = self.0.len();
        match self.0.get(code) {
            Some(index) => *index,
            None => *self.0.entry(code.to_owned()).or_insert(next),
        }
    }
}

pub(super) fn read(files: &Files<'_>, log: &mut Log) -> Held {
    let (entries, markers) = read_markers(files.markers, log);
    let mut seen = Codes::default();
    let mut observations = read_observations(files.observations, &markers, &mut seen, log);
    let mut savings = read_savings(files.savings, &mut seen, log);
    check_repeats(OBSERVATIONS, &mut observations, log);
    check_repeats(SAVINGS, &mut savings, log);
    let span = span(&observations, &savings, log);
    check_size(seen.0.len(), entries.len(), span.1, log);

    let mut codes: Vec<(String, usize)> = seen.0.into_iter().collect();
    codes.sort();
    let mut place = vec![0; codes.len()];
    for (at, (_, index)) in codes.iter().enumerate() {
        place[*index] = at;
    }
    let index = |month: Period| usize::try_from(month.months_since(span.0)).unwrap_or(0);
    let figures = observations.iter().map(|row| Figure {
        org: place[row.org],
        marker: row.marker,
        month: index(row.month),
        received: index(row.received),
        numerator: row.numerator,
        denominator: row.denominator,
    });
    let money = savings.iter().map(|row| Saving {
        org: place[row.org],
        month: index(row.month),
        received: index(row.received),
        actual_pence: row.numerator,
    });
    let organisations: Vec<String> = codes.into_iter().map(|(code, _)| code).collect();
    let (returns, without) = Returns::assemble(
        entries,
        organisations.clone(),
        span,
        figures.collect(),
        money.collect(),
    );
    if without > 0 {
        log.note(format!(
            "{OBSERVATIONS}: {without} figures lack the denominator that others of their marker have, and count as missing"
        ));
    }
    note_rates(&returns, log);
    Held {
        returns,
        markers,
        organisations: organisations.into_iter().zip(0..).collect(),
    }
}

/// A few mistyped figures make a rate of a proportion, for all of its figures: whoever sent them should know.
fn note_rates(returns: &Returns, log: &mut Log) {
    let mut counts = vec![(0_usize, 0_usize); returns.markers.len()];
    for row in returns
        .figures
        .iter()
        .filter(|row| !row.denominator.is_nan())
    {
        counts[row.marker].0 += usize::from(row.numerator > row.denominator);
        counts[row.marker].1 += 1;
    }
    for (marker, (above, all)) in returns.markers.iter().zip(counts) {
        if above > 0 && above * RARE <= all {
            log.note(format!(
                "{OBSERVATIONS}: {} is taken for a rate and no proportion, since {above} of {all} numerators are above their denominators",
                quoted(&marker.code)
            ));
        }
    }
}

type Markers = (Vec<MarkerEntry>, HashMap<String, Option<usize>>);

fn read_markers(bytes: &[u8], log: &mut Log) -> Markers {
    let mut entries: Vec<MarkerEntry> = Vec::new();
    let mut index = HashMap::new();
    let mut first: HashMap<String, (u64, String, Polarity)> = HashMap::new();
    let columns = ["marker", "domain", "polarity"];
    let Some(mut sheet) = Sheet::open(MARKERS, bytes, &columns, &[], log) else {
        return (entries, index);
    };
    let mut counts = [0_usize; 3];
    while let Some(row) = sheet.next(log) {
        let code = row.code("marker", log);
        let domain = row.code("domain", log);
        let polarity = polarity(&row, log);
        let (Some(code), Some(domain), Some(polarity)) = (code, domain, polarity) else {
            // Known by name, so that its observations are no faults too.
            code.map(|code| index.entry(code.to_owned()).or_insert(None));
            continue;
        };
        if let Some((line, held_domain, held_polarity)) = first.get(code) {
            if held_domain != domain || *held_polarity != polarity {
                let what = format!(
                    "{} is on line {line} too, and differs: keep one",
                    quoted(code)
                );
                log.fault("DUPLICATE_MARKER", row.place("marker"), what);
            }
            continue;
        }
        first.insert(code.to_owned(), (row.line, domain.to_owned(), polarity));
        let taken = polarity != Polarity::Neutral;
        index.insert(code.to_owned(), taken.then_some(entries.len()));
        counts[match polarity {
            Polarity::LowerIsBetter => 0,
            Polarity::HigherIsBetter => 1,
            Polarity::Neutral => 2,
        }] += 1;
        if taken {
            entries.push(MarkerEntry {
                code: code.to_owned(),
                domain: domain.to_owned(),
                polarity,
            });
        }
    }
    log.note(format!(
        "{MARKERS}: lower is better for {}, higher for {}; {} neutral ones are left out",
        counts[0], counts[1], counts[2]
    ));
    let place = Place {
        file: MARKERS,
        line: 1,
        column: "",
    };
    if index.is_empty() || entries.len() > MAX_MARKERS {
        let what = format!(
            "there are {} markers with a better side: give 1 to {MAX_MARKERS}",
            entries.len()
        );
        log.fault("NUMBER_OF_MARKERS", place, what);
    }
    (entries, index)
}

fn polarity(row: &Row<'_>, log: &mut Log) -> Option<Polarity> {
    let text = row.text("polarity", log)?;
    let word = text.to_lowercase().replace([' ', '-'], "_");
    match word.as_str() {
        "lower_is_better" | "lower_better" | "lower" | "low" | "decrease" | "down" | "_1"
        | "_1.0" => Some(Polarity::LowerIsBetter),
        "higher_is_better" | "higher_better" | "higher" | "high" | "increase" | "up" | "1"
        | "+1" | "1.0" | "+1.0" => Some(Polarity::HigherIsBetter),
        "neutral" | "none" | "0" | "0.0" => Some(Polarity::Neutral),
        _ => {
            let what = format!(
                "{} is no polarity: write lower_is_better, higher_is_better or neutral",
                quoted(text)
            );
            log.fault("INVALID_POLARITY", row.place("polarity"), what);
            None
        }
    }
}

fn read_observations(
    bytes: &[u8],
    markers: &HashMap<String, Option<usize>>,
    seen: &mut Codes,
    log: &mut Log,
) -> Vec<Raw> {
    let mut rows = Vec::new();
    let required = ["org_code", "period", "marker"];
    let optional = ["numerator", "denominator", "value", "received"];
    let Some(mut sheet) = Sheet::open(OBSERVATIONS, bytes, &required, &optional, log) else {
        return rows;
    };
    if !sheet.has("numerator") && !sheet.has("value") {
        let place = Place {
            file: OBSERVATIONS,
            line: 1,
            column: "numerator",
        };
        let what = "there are no figures: give numerator and denominator, or value".to_owned();
        log.fault("MISSING_COLUMN", place, what);
        return rows;
    }
    // An unknown marker is one fault, however many rows it has.
    let mut unknown: BTreeMap<String, (u64, usize)> = BTreeMap::new();
    while let Some(row) = sheet.next(log) {
        // Known by name even when the row is faulty, so that the truth that names it is no fault too.
        let org = row.code("org_code", log).map(|code| seen.index(code));
        let months = months(&row, log);
        let figure = figure(&row, log);
        let Some(code) = row.code("marker", log) else {
            continue;
        };
        let Some(marker) = markers.get(code) else {
            unknown.entry(code.to_owned()).or_insert((row.line, 0)).1 += 1;
            continue;
        };
        let (Some(org), Some((month, received)), Some((numerator, denominator)), Some(marker)) =
            (org, months, figure, marker)
        else {
            continue;
        };
        rows.push(Raw {
            line: row.line,
            org,
            marker: *marker,
            month,
            received,
            numerator,
            denominator,
        });
    }
    for (code, (line, count)) in unknown {
        let place = Place {
            file: OBSERVATIONS,
            line,
            column: "marker",
        };
        let more = match count - 1 {
            0 => String::new(),
            1 => ", here and in another row".to_owned(),
            more => format!(", here and in {more} more rows"),
        };
        let what = format!("{} is not in {MARKERS}{more}: add it there", quoted(&code));
        log.fault("UNKNOWN_MARKER", place, what);
    }
    rows
}

/// The month that a row is about and the month at whose end it became known.
fn months(row: &Row<'_>, log: &mut Log) -> Option<(Period, Period)> {
    let month = row.required_month("period", log);
    let received = row.month("received", log);
    let (month, received) = (month?, received?);
    let received = received.unwrap_or(month);
    if received < month {
        let what = format!("it was received in {received}, before its month {month} had ended");
        log.fault("RECEIVED_TOO_EARLY", row.place("received"), what);
        return None;
    }
    Some((month, received))
}

/// Numerator and denominator, or value and NaN; NaN and NaN where it is missing.
fn figure(row: &Row<'_>, log: &mut Log) -> Option<(f64, f64)> {
    let numerator = row.number("numerator", log);
    let denominator = row.number("denominator", log);
    let value = row.number("value", log);
    let (numerator, denominator, value) = (numerator?, denominator?, value?);
    if numerator.is_nan() {
        return Some((value, f64::NAN));
    }
    if denominator.is_nan() {
        return Some((numerator, f64::NAN));
    }
    let parts = [("numerator", numerator), ("denominator", denominator)];
    let negative = parts.map(|(column, part)| {
        part < 0.0 && {
            let what = "it is below 0: counts and their bases are 0 or more".to_owned();
            log.fault("NEGATIVE_PART", row.place(column), what);
            true
        }
    });
    if negative.contains(&true) {
        return None;
    }
    if denominator == 0.0 && numerator > 0.0 {
        let what = format!("{numerator} of nothing: the denominator is 0");
        log.fault("ZERO_DENOMINATOR", row.place("denominator"), what);
        return None;
    }
    // Nothing of nothing says nothing.
    Some(if denominator == 0.0 {
        (f64::NAN, f64::NAN)
    } else {
        (numerator, denominator)
    })
}

fn read_savings(bytes: &[u8], seen: &mut Codes, log: &mut Log) -> Vec<Raw> {
    let mut rows = Vec::new();
    let required = ["org_code", "period", "actual_pence"];
    let optional = ["plan_pence", "received"];
    let Some(mut sheet) = Sheet::open(SAVINGS, bytes, &required, &optional, log) else {
        return rows;
    };
    while let Some(row) = sheet.next(log) {
        let org = row.code("org_code", log).map(|code| seen.index(code));
        let months = months(&row, log);
        let plan = row.number("plan_pence", log);
        let actual = row.number("actual_pence", log);
        let (Some(org), Some((month, received)), Some(_), Some(actual)) =
            (org, months, plan, actual)
        else {
            continue;
        };
        rows.push(Raw {
            line: row.line,
            org,
            marker: 0,
            month,
            received,
            numerator: actual,
            denominator: f64::NAN,
        });
    }
    rows
}

/// Sorts the rows by key, takes out those that are there twice, and finds those that contradict each other.
fn check_repeats(file: &'static str, rows: &mut Vec<Raw>, log: &mut Log) {
    let key = |row: &Raw| (row.org, row.marker, row.month, row.received);
    rows.sort_by_key(|row| (key(row), row.line));
    let mut repeated = 0;
    rows.dedup_by(|later, first| {
        if key(later) != key(first) {
            return false;
        }
        let same = |a: f64, b: f64| a == b || a.is_nan() && b.is_nan();
        if same(later.numerator, first.numerator) && same(later.denominator, first.denominator) {
            repeated += 1;
        } else {
            let place = Place {
                file,
                line: later.line,
                column: "",
            };
            let what = format!(
                "line {} has other figures for the same key: keep one, or say in the column received when each became known",
                first.line
            );
            log.fault("CONTRADICTION", place, what);
        }
        true
    });
    if repeated > 0 {
        log.note(format!(
            "{file}: {repeated} rows are there twice and count once"
        ));
    }
}

/// First month and number of months.
fn span(observations: &[Raw], savings: &[Raw], log: &mut Log) -> (Period, usize) {
    let place = |file, line, column| Place { file, line, column };
    for (file, rows) in [(OBSERVATIONS, observations), (SAVINGS, savings)] {
        if rows.is_empty() {
            let what = "no row could be taken: without it there is nothing to score".to_owned();
            log.fault("NO_ROWS", place(file, 1, ""), what);
        }
    }
    let of = |file| move |row: &Raw| (row.month, file, row.line);
    let months = || {
        let observations = observations.iter().map(of(OBSERVATIONS));
        observations.chain(savings.iter().map(of(SAVINGS)))
    };
    let Some(((first, _, _), (last, file, line))) = Option::zip(months().min(), months().max())
    else {
        let never = Period::new(2000, 1).expect("a month of the calendar");
        return (never, 0);
    };
    let count = usize::try_from(last.months_since(first)).unwrap_or(0) + 1;
    if count > MAX_MONTHS {
        let what = format!("{first} to {last} are {count} months: give at most {MAX_MONTHS}");
        log.fault("TOO_MANY_MONTHS", place(file, line, "period"), what);
    }
    (first, count)
}

fn check_size(organisations: usize, markers: usize, months: usize, log: &mut Log) {
    let place = Place {
        file: OBSERVATIONS,
        line: 1,
        column: "org_code",
    };
    let cells = organisations.saturating_mul(markers).saturating_mul(months);
    if organisations > MAX_ORGANISATIONS || cells > MAX_CELLS {
        let what = format!(
            "{organisations} organisations, {markers} markers and {months} months: give at most {MAX_ORGANISATIONS} organisations and \
             {MAX_CELLS} figures"
        );
        log.fault("TOO_LARGE", place, what);
    }
}
