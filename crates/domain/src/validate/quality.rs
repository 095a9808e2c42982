//! What is wrong or odd with observations.

use std::collections::BTreeMap;

use super::{Against, Problem, check_code, check_count, unknown_marker};
use crate::marker::MarkerDefinition;
use crate::nation::Ledger;
use crate::reference::Reference;
use crate::returns::{Body, Dataset, Measured, Observation, Value};
use crate::{KnownAt, MarkerCode, Period, Quantity};

pub(super) fn check_quality(
    observations: Vec<(usize, Observation)>,
    period: Option<Period>,
    against: &Against<'_>,
    problems: &mut Vec<Problem>,
    warnings: &mut Vec<Problem>,
) -> Vec<Observation> {
    check_count(observations.len(), "return.quality.observations", problems);
    let mut checked = observations;
    checked.sort_by_key(|(_, o)| o.key);
    for pair in checked.windows(2) {
        let ((first, one), (index, other)) = (&pair[0], &pair[1]);
        if one.key == other.key {
            let what = format!(
                "{} is already given by observations[{first}]: send it once",
                other.key
            );
            problems.push(Problem::new(
                "DUPLICATE_MARKER",
                pointer(*index, ".marker"),
                what,
            ));
        }
    }
    for (index, observation) in &mut checked {
        if let Some(part) = &observation.key.breakdown {
            check_code(|| pointer(*index, ".breakdown"), part.as_str(), problems);
        }
        let definition = definition_for(observation, period, *index, against.reference, problems);
        if let Some(definition) = definition {
            observation.definition_version = definition.version;
            check_value(observation, definition, *index, problems);
        }
    }
    warn_parts(&checked, warnings);
    if let (Some(period), Some(ledger)) = (period, against.ledger) {
        warn_against_last_month(&checked, period, ledger, warnings);
    }
    checked
        .into_iter()
        .map(|(_, observation)| observation)
        .collect()
}

/// The pointer to a part of an observation. Written out only when there is something to say of it.
fn pointer(index: usize, part: &str) -> String {
    format!("return.quality.observations[{index}]{part}")
}

fn definition_for<'a>(
    observation: &Observation,
    period: Option<Period>,
    index: usize,
    reference: &'a Reference,
    problems: &mut Vec<Problem>,
) -> Option<&'a MarkerDefinition> {
    let marker = observation.key.marker;
    let Some(latest) = reference.latest_marker(marker) else {
        problems.push(Problem::new(
            "UNKNOWN_MARKER",
            pointer(index, ".marker"),
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
                    pointer(index, ".definition_version"),
                    what,
                ));
                None
            }
            Some(definition) if period.is_some_and(|period| !definition.is_valid_for(period)) => {
                problems.push(not_in_use(definition, period, index));
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
        problems.push(not_in_use(latest, Some(period), index));
    }
    found
}

fn not_in_use(definition: &MarkerDefinition, period: Option<Period>, index: usize) -> Problem {
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
    Problem::new("MARKER_NOT_IN_USE", pointer(index, ".marker"), what)
}

fn check_value(
    observation: &Observation,
    definition: &MarkerDefinition,
    index: usize,
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
                pointer(index, ".measured.denominator"),
                what,
            ));
        }
        Some(_) if !definition.has_denominator() => {
            let what = format!("{marker} has no denominator: leave it out");
            problems.push(Problem::new(
                "DENOMINATOR_NOT_EXPECTED",
                pointer(index, ".measured.denominator"),
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
                pointer(index, ".measured.numerator"),
                what,
            ));
        }
        _ => {}
    }
}

/// Parts of a dimension that do not add up to the whole within 0.5% (R97) are odd, and stay as they were sent.
fn warn_parts(observations: &[(usize, Observation)], warnings: &mut Vec<Problem>) {
    let mut sums: BTreeMap<(MarkerCode, &str), (Quantity, bool)> = BTreeMap::new();
    for (_, o) in observations {
        let Some(part) = &o.key.breakdown else {
            continue;
        };
        let dimension = part
            .as_str()
            .split_once(':')
            .map_or("", |(dimension, _)| dimension);
        let entry = sums.entry((o.key.marker, dimension)).or_default();
        match o.value {
            Value::Measured(m) => entry.0 = entry.0 + m.denominator.unwrap_or(m.numerator),
            // A missing part says nothing about the sum.
            Value::Missing(_) => entry.1 = true,
        }
    }
    for (index, o) in observations
        .iter()
        .filter(|(_, o)| o.key.breakdown.is_none())
    {
        let Value::Measured(m) = o.value else {
            continue;
        };
        let whole = m.denominator.unwrap_or(m.numerator);
        let of_marker = sums
            .range((o.key.marker, "")..)
            .take_while(|((marker, _), _)| *marker == o.key.marker);
        for ((marker, dimension), (sum, incomplete)) in of_marker {
            let apart = (sum.to_f64() - whole.to_f64()).abs();
            if !incomplete && apart > 0.005 * whole.to_f64().max(1.0) {
                let what = format!(
                    "the parts of {marker} by {dimension} add up to {sum} and the whole is {whole}: check which one is right"
                );
                let field = pointer(*index, "");
                warnings.push(Problem::new("PARTS_DIFFER_FROM_WHOLE", field, what));
            }
        }
    }
}

/// A copied return (R94) and a jump of a denominator (R96) are odd, and stay as they were sent.
fn warn_against_last_month(
    observations: &[(usize, Observation)],
    period: Period,
    ledger: &Ledger,
    warnings: &mut Vec<Problem>,
) {
    let Some(before) = period.plus(-1) else {
        return;
    };
    let last = ledger.known(Dataset::Quality, before, &KnownAt::Latest);
    let Some(Body::Quality(last)) = last.map(|revision| &revision.content.body) else {
        return;
    };
    // Both come in order of their keys.
    let mut last = last.iter().peekable();
    let (mut large, mut identical) = (0_u32, 0_u32);
    for (index, o) in observations
        .iter()
        .filter(|(_, o)| o.key.breakdown.is_none())
    {
        let Value::Measured(Measured {
            numerator,
            denominator: Some(now),
        }) = o.value
        else {
            continue;
        };
        while last.next_if(|before| before.key < o.key).is_some() {}
        let Some(Value::Measured(Measured {
            numerator: last_numerator,
            denominator: Some(then),
        })) = last.peek().filter(|l| l.key == o.key).map(|l| l.value)
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
                "the denominator of {} went from {then} to {now} in a month: is it a merger, or is the return partial? (R96)",
                o.key.marker
            );
            warnings.push(Problem::new("DENOMINATOR_JUMP", pointer(*index, ""), what));
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
