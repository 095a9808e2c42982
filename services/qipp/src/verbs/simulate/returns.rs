//! A scoring nation's schemes and returns: schemes as lines of JSON for `qipp register schemes`, returns as files for `qipp submit`, by the month in
//! which they came in.

use std::collections::{BTreeMap, BTreeSet};

use qipp_api::proto::events::v1::{Scheme, SchemeCategory};
use qipp_domain::{Dataset, Period};
use qipp_nation::scenario::{Fault, SavingsRow, ScoringNation};

use crate::exit::Failure;
use crate::output::json_line;

/// Lines of `qipp.events.v1.Scheme`, for `qipp register schemes`: one for each organisation and financial year, because a return of savings is of
/// schemes. All declare the same, so that nothing of the truth can be read from them.
///
/// # Errors
/// When the contract does not know the message.
pub(super) fn schemes(nation: &ScoringNation) -> Result<Vec<String>, Failure> {
    let mut plans: BTreeMap<(usize, i16), BTreeMap<usize, i64>> = BTreeMap::new();
    for row in &nation.savings {
        let year = nation.period(row.month).financial_year().0;
        plans
            .entry((row.org, year))
            .or_default()
            .insert(row.month, row.plan_pence);
    }
    plans
        .iter()
        .map(|((org, year), plan)| {
            json_line("qipp.events.v1.Scheme", &scheme(nation, *org, *year, plan))
        })
        .collect()
}

/// The plan of a month that was not returned is that of the month before.
fn scheme(nation: &ScoringNation, org: usize, year: i16, plan: &BTreeMap<usize, i64>) -> Scheme {
    let first = plan.keys().next().copied().unwrap_or_default();
    let last = plan.keys().next_back().copied().unwrap_or_default();
    let planned: Vec<i64> = (first..=last)
        .filter_map(|month| plan.range(..=month).next_back().map(|(_, pence)| *pence))
        .collect();
    Scheme {
        org_code: nation.organisations[org].to_string(),
        scheme_id: scheme_id(nation, first),
        title: format!("Simulated savings of {year}-{:02}", (year + 1) % 100),
        category: SchemeCategory::ClinicalProductivity.into(),
        start: nation.period(first).to_string(),
        full_year_effect_pence: planned.iter().sum(),
        planned_pence: planned,
        recurrent: true,
        simulated: true,
        ..Scheme::default()
    }
}

fn scheme_id(nation: &ScoringNation, month: usize) -> String {
    format!("SAVINGS-{}", nation.period(month).financial_year().0)
}

/// The lines of files for `qipp submit --format quality`, by the month in which they came in.
pub(super) fn quality(nation: &ScoringNation) -> BTreeMap<Period, Vec<String>> {
    let statuses = Statuses::of(nation, Dataset::Quality);
    let header = "org_code,period,marker,numerator,denominator,status,simulated";
    let mut files = BTreeMap::new();
    for row in &nation.observations {
        let lines = files
            .entry(nation.period(row.received))
            .or_insert_with(|| vec![header.to_owned()]);
        lines.push(format!(
            "{},{},{},{},{},{},true",
            nation.organisations[row.org],
            nation.period(row.month),
            nation.markers[row.marker].code,
            row.numerator,
            row.denominator,
            statuses.of_return(row.org, row.month, row.received),
        ));
    }
    files
}

/// The lines of files for `qipp submit --format savings`, by the month in which they came in.
pub(super) fn savings(nation: &ScoringNation) -> BTreeMap<Period, Vec<String>> {
    let statuses = Statuses::of(nation, Dataset::Savings);
    let header = "org_code,period,scheme_id,plan_pence,actual_pence,actual_ytd_pence,forecast_pence,recurrent_pence,missing,status,simulated";
    let mut files = BTreeMap::new();
    for row in &nation.savings {
        let lines = files
            .entry(nation.period(row.received))
            .or_insert_with(|| vec![header.to_owned()]);
        let SavingsRow {
            plan_pence,
            actual_pence,
            ..
        } = row;
        lines.push(format!(
            "{},{},{},{plan_pence},{actual_pence},,,,,{},true",
            nation.organisations[row.org],
            nation.period(row.month),
            scheme_id(nation, row.month),
            statuses.of_return(row.org, row.month, row.received),
        ));
    }
    files
}

/// Which returns are put right later.
struct Statuses(BTreeSet<(usize, usize)>);

impl Statuses {
    fn of(nation: &ScoringNation, wanted: Dataset) -> Self {
        let restated = nation.faults.iter().filter_map(|fault| match *fault {
            Fault::RestatedReturn {
                org,
                dataset,
                month,
                ..
            } if dataset == wanted => Some((org, month)),
            _ => None,
        });
        Self(restated.collect())
    }

    fn of_return(&self, org: usize, month: usize, received: usize) -> &'static str {
        match (self.0.contains(&(org, month)), received > month) {
            (false, _) => "final",
            (true, false) => "provisional",
            (true, true) => "restated",
        }
    }
}

#[cfg(test)]
mod tests {
    use qipp_api::files::{quality_sheet, savings_sheet};
    use qipp_api::json::from_json_text;
    use qipp_nation::scenario::{Scenario, ScenarioConfig, scenario};

    use super::*;

    fn nation() -> ScoringNation {
        scenario(&ScenarioConfig {
            organisations: 100,
            ..ScenarioConfig::new(Scenario::Real, 3)
        })
    }

    #[test]
    fn schemes_are_messages_of_the_contract() {
        for scheme in schemes(&nation()).expect("messages") {
            from_json_text("qipp.events.v1.Scheme", scheme.as_bytes()).expect("a scheme");
        }
    }

    #[test]
    fn the_formats_of_returns_take_every_row() {
        let nation = nation();
        let (mut observations, mut lines) = (0, 0);
        for file in quality(&nation).into_values() {
            let sheet = quality_sheet(file.join("\n").as_bytes());
            assert!(sheet.problems.is_empty(), "{:?}", sheet.problems);
            observations += file.len() - 1;
        }
        for file in savings(&nation).into_values() {
            let sheet = savings_sheet(file.join("\n").as_bytes());
            assert!(sheet.problems.is_empty(), "{:?}", sheet.problems);
            lines += file.len() - 1;
        }
        assert_eq!(observations, nation.observations.len());
        assert_eq!(lines, nation.savings.len());
        assert!(
            nation
                .observations
                .iter()
                .any(|row| row.received > row.month)
        );
    }
}
