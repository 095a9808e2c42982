//! A scoring nation as plain files: lines of CSV, the header first, without line ends.
//!
//! | file | columns |
//! |---|---|
//! | `markers.csv` | `marker,domain,polarity` |
//! | `observations.csv` | `org_code,period,marker,numerator,denominator` |
//! | `savings.csv` | `org_code,period,plan_pence,actual_pence` |
//! | `truth.csv` | `org_code,kind,from,until,markers` |
//!
//! Months are `YYYY-MM`, polarities `lower_is_better` and `higher_is_better`. What was not returned has no row. Where
//! returns came late or were restated, observations and savings have a last column `received`: the month at whose end
//! the row became known, empty for the month itself; a later row of the same organisation, month and marker restates an
//! earlier one. In the truth the kinds are `both`, `savings_only` and `quality_only`, `from` is the first month in which
//! all that the kind names is there, `until` the first in which it is over (empty: it lasts), and markers are separated
//! by `;`. No cell needs quotes.

use std::iter::once;

use qipp_domain::marker::Polarity;

use super::ScoringNation;
use crate::TruthKind;

/// The lines of `markers.csv`.
pub fn markers(nation: &ScoringNation) -> impl Iterator<Item = String> + '_ {
    let rows = nation.markers.iter().map(|marker| {
        let polarity = match marker.polarity {
            Polarity::HigherIsBetter => "higher_is_better",
            Polarity::LowerIsBetter => "lower_is_better",
            Polarity::Neutral => "neutral",
        };
        format!("{},{},{polarity}", marker.code, marker.domain.name())
    });
    once("marker,domain,polarity".to_owned()).chain(rows)
}

/// The lines of `observations.csv`.
pub fn observations(nation: &ScoringNation) -> impl Iterator<Item = String> + '_ {
    let received = Received::of(nation);
    let rows = nation.observations.iter().map(move |row| {
        format!(
            "{},{},{},{},{}{}",
            nation.organisations[row.org],
            nation.period(row.month),
            nation.markers[row.marker].code,
            row.numerator,
            row.denominator,
            received.cell(nation, row.month, row.received),
        )
    });
    let header = "org_code,period,marker,numerator,denominator";
    once(received.header(header)).chain(rows)
}

/// The lines of `savings.csv`.
pub fn savings(nation: &ScoringNation) -> impl Iterator<Item = String> + '_ {
    let received = Received::of(nation);
    let rows = nation.savings.iter().map(move |row| {
        format!(
            "{},{},{},{}{}",
            nation.organisations[row.org],
            nation.period(row.month),
            row.plan_pence,
            row.actual_pence,
            received.cell(nation, row.month, row.received),
        )
    });
    once(received.header("org_code,period,plan_pence,actual_pence")).chain(rows)
}

/// The lines of `truth.csv`.
pub fn truth(nation: &ScoringNation) -> impl Iterator<Item = String> + '_ {
    let rows = nation.truth.iter().map(|row| {
        let markers: Vec<&str> = row
            .markers
            .iter()
            .map(|marker| nation.markers[*marker].code.as_str())
            .collect();
        let until = row
            .until
            .map(|month| nation.period(month).to_string())
            .unwrap_or_default();
        format!(
            "{},{},{},{until},{}",
            nation.organisations[row.org],
            kind(row.kind),
            nation.period(row.from),
            markers.join(";"),
        )
    });
    once("org_code,kind,from,until,markers".to_owned()).chain(rows)
}

/// The word for a kind of truth.
#[must_use]
pub fn kind(kind: TruthKind) -> &'static str {
    match kind {
        TruthKind::Both => "both",
        TruthKind::SavingsOnly => "savings_only",
        TruthKind::QualityOnly => "quality_only",
    }
}

/// Is there a column `received`? In both files or in neither.
#[derive(Clone, Copy)]
struct Received(bool);

impl Received {
    fn of(nation: &ScoringNation) -> Self {
        let later = nation
            .observations
            .iter()
            .any(|row| row.received != row.month)
            || nation.savings.iter().any(|row| row.received != row.month);
        Self(later)
    }

    fn header(self, columns: &str) -> String {
        let last = if self.0 { ",received" } else { "" };
        format!("{columns}{last}")
    }

    fn cell(self, nation: &ScoringNation, month: usize, received: usize) -> String {
        match self.0 {
            false => String::new(),
            true if received == month => ",".to_owned(),
            true => format!(",{}", nation.period(received)),
        }
    }
}
