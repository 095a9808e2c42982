//! Figures in sentences: the same words for the same thing in every question.

use qipp_domain::Pence;
use qipp_domain::alert::SavingsEvidence;
use qipp_domain::returns::Measured;

use crate::rising::Basis;
use crate::series::Scale;
use crate::slip::Reading;
use crate::tally::Sighting;

/// "Savings rose 12% over three months", in the terms of the comparison that was used.
#[allow(clippy::cast_precision_loss, reason = "a percentage for people")]
pub(crate) fn savings_sentence(savings: &SavingsEvidence) -> String {
    let percent = |part: Pence, whole: Pence| part.0 as f64 / whole.0 as f64 * 100.0;
    let three = savings.last_three_months.unwrap_or_default();
    match (savings.same_months_last_year, savings.planned_three_months) {
        (Some(year_ago), _)
            if savings.basis == Basis::SameMonthsLastYear.name() && year_ago.0 > 0 =>
        {
            let change = percent(three, year_ago) - 100.0;
            let verb = if change >= 0.0 { "rose" } else { "fell" };
            format!(
                "Savings {verb} {:.0}% over three months against the same months of last year ({three}, was {year_ago})",
                change.abs()
            )
        }
        (Some(year_ago), _) if savings.basis == Basis::SameMonthsLastYear.name() => {
            format!(
                "Savings over three months were {three}, and {year_ago} in the same months of last year"
            )
        }
        (_, Some(plan)) if savings.basis == Basis::PlanInFirstYear.name() && plan.0 > 0 => format!(
            "Savings over three months were {:.0}% of plan ({three} of {plan}), and the full-year effect of live schemes went from {} to {}",
            percent(three, plan),
            savings.in_force_three_months_ago,
            savings.in_force
        ),
        _ => "Savings over the last three months are not known".to_owned(),
    }
}

/// "A (94.2% to 91.0%) and B (…)".
pub(crate) fn moves(sightings: &[Sighting]) -> String {
    let moves: Vec<String> = sightings
        .iter()
        .map(|sighting| movement(&sighting.reading))
        .collect();
    list(&moves)
}

/// "A and B", by name.
pub(crate) fn names(sightings: &[Sighting]) -> String {
    let names: Vec<String> = sightings
        .iter()
        .map(|s| s.reading.definition.name.clone())
        .collect();
    list(&names)
}

/// "a, b and c".
pub(crate) fn list(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [only] => only.clone(),
        [rest @ .., last] => format!("{} and {last}", rest.join(", ")),
    }
}

/// "name (baseline value to this month's value)".
fn movement(reading: &Reading) -> String {
    let now = reading
        .points
        .last()
        .map(|point| point.own)
        .and_then(Measured::value);
    let text = |value: Option<f64>| {
        value.map_or_else(|| "unknown".to_owned(), |value| readable(value, reading))
    };
    format!(
        "{} ({} to {})",
        reading.definition.name,
        text(reading.usual),
        text(now)
    )
}

/// A proportion in percent, a small rate per 1,000, anything else as it is.
fn readable(value: f64, reading: &Reading) -> String {
    match Scale::of(&reading.definition) {
        Scale::Proportion => format!("{:.1}%", value * 100.0),
        Scale::Rate if value < 1.0 => format!("{:.2} per 1,000", value * 1000.0),
        Scale::Rate | Scale::Amount => format!("{value:.1}"),
    }
}
