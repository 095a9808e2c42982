//! A scoring nation as the public API takes it: reference facts and schemes as lines of JSON, returns as files of the month in which they came in.
//!
//! Of the truth nothing is here. What everybody would know is: who merged with whom, and which marker was redefined.

use std::collections::{BTreeMap, BTreeSet};
use std::iter::once;

use qipp_api::proto::events::v1::reference_fact::Fact;
use qipp_api::proto::events::v1::{
    self as proto, EdgeRecorded, MarkerDefined, ObligationSet, OrganisationClosed,
    OrganisationRecorded, OrganisationSucceeded, ReferenceFact, RollUp, Scheme, SchemeCategory,
    TreeDefined,
};
use qipp_domain::marker::{Polarity, TriggerRole};
use qipp_domain::{Dataset, Period};
use qipp_nation::scenario::{Fault, SavingsRow, ScoringMarker, ScoringNation};

use crate::demo::calendar;
use crate::exit::Failure;
use crate::output::json_line;

const TREE: &str = "simulated";
const ROOT: &str = "SIM";
const REGIONS: usize = 10;

/// Lines of `qipp.events.v1.ReferenceFact`, for `qipp register facts`.
///
/// # Errors
/// When the contract does not know the message.
pub(super) fn facts(nation: &ScoringNation) -> Result<Vec<String>, Failure> {
    let mut facts = vec![
        organisation(ROOT, "Simulated nation", "nation", String::new()),
        Fact::TreeDefined(TreeDefined {
            tree: TREE.to_owned(),
            title: "Simulated regions".to_owned(),
            root_code: ROOT.to_owned(),
        }),
    ];
    for number in 0..REGIONS {
        let name = format!("Simulated region {}", number + 1);
        facts.push(organisation(
            &region(number),
            &name,
            "region",
            String::new(),
        ));
        facts.push(edge(nation, &region(number), ROOT, Life::WHOLE));
    }
    let lives = lives(nation);
    for (org, life) in lives.iter().enumerate() {
        facts.extend(of_organisation(nation, org, *life));
    }
    // After everybody: a successor has to be known.
    facts.extend(
        nation
            .faults
            .iter()
            .filter_map(|fault| succession(nation, fault))
            .flatten(),
    );
    for (index, marker) in nation.markers.iter().enumerate() {
        facts.extend(of_marker(nation, index, marker));
    }
    for (org, life) in lives.iter().enumerate() {
        facts.extend(obligations(nation, org, *life));
    }
    let deadlines = (0..nation.months).flat_map(|month| calendar::deadlines(nation.period(month)));
    facts
        .into_iter()
        .map(|fact| ReferenceFact { fact: Some(fact) })
        .chain(deadlines)
        .map(|fact| json_line("qipp.events.v1.ReferenceFact", &fact))
        .collect()
}

/// First month of an organisation, and the first in which it is no more, from 0.
#[derive(Clone, Copy)]
struct Life {
    start: usize,
    end: Option<usize>,
}

impl Life {
    const WHOLE: Self = Self {
        start: 0,
        end: None,
    };
}

fn lives(nation: &ScoringNation) -> Vec<Life> {
    let mut lives = vec![Life::WHOLE; nation.organisations.len()];
    for fault in &nation.faults {
        match *fault {
            Fault::LateStart { org, month } => lives[org].start = month,
            Fault::Merger {
                absorbed, month, ..
            } => lives[absorbed].end = Some(month),
            _ => {}
        }
    }
    lives
}

fn region(number: usize) -> String {
    format!("SIMR{:02}", number + 1)
}

fn day(period: Period) -> String {
    period.first_day().to_string()
}

fn organisation(code: &str, name: &str, kind: &str, opened: String) -> Fact {
    Fact::OrganisationRecorded(OrganisationRecorded {
        org_code: code.to_owned(),
        name: name.to_owned(),
        kind: kind.to_owned(),
        opened,
    })
}

fn edge(nation: &ScoringNation, child: &str, parent: &str, life: Life) -> Fact {
    Fact::EdgeRecorded(EdgeRecorded {
        tree: TREE.to_owned(),
        child_code: child.to_owned(),
        parent_code: parent.to_owned(),
        valid_from: day(nation.period(life.start)),
        valid_until: life
            .end
            .map(|end| day(nation.period(end)))
            .unwrap_or_default(),
    })
}

fn of_organisation(nation: &ScoringNation, org: usize, life: Life) -> [Fact; 2] {
    let code = nation.organisations[org].as_str();
    let name = format!("Simulated organisation {}", org + 1);
    // Who is there in the first month was so before: when is not known.
    let opened = if life.start > 0 {
        day(nation.period(life.start))
    } else {
        String::new()
    };
    [
        organisation(code, &name, "trust", opened),
        edge(nation, code, &region(org % REGIONS), life),
    ]
}

fn succession(nation: &ScoringNation, fault: &Fault) -> Option<[Fact; 2]> {
    let Fault::Merger {
        org,
        absorbed,
        month,
    } = *fault
    else {
        return None;
    };
    let of = nation.organisations[absorbed].to_string();
    let date = day(nation.period(month));
    Some([
        Fact::OrganisationSucceeded(OrganisationSucceeded {
            org_code: of.clone(),
            successor_code: nation.organisations[org].to_string(),
            date: date.clone(),
        }),
        Fact::OrganisationClosed(OrganisationClosed {
            org_code: of,
            closed: date,
        }),
    ])
}

/// A definition, and the one that follows it where the marker was redefined.
fn of_marker(nation: &ScoringNation, index: usize, marker: &ScoringMarker) -> Vec<Fact> {
    let redefined = nation.faults.iter().find_map(|fault| match *fault {
        Fault::Redefinition { marker, month } if marker == index => {
            Some(nation.period(month).to_string())
        }
        _ => None,
    });
    let (counted, of, unit) = if marker.proportion {
        ("simulated cases of a kind", "simulated cases", "percent")
    } else {
        ("simulated events", "simulated days", "count per 1000")
    };
    let first = MarkerDefined {
        marker: marker.code.clone(),
        definition_version: 1,
        name: format!("Simulated marker {} of {}", index + 1, marker.domain.name()),
        domain: marker.domain.name().to_owned(),
        numerator: counted.to_owned(),
        denominator: of.to_owned(),
        unit: unit.to_owned(),
        polarity: polarity(marker.polarity).into(),
        roll_up: RollUp::Parts.into(),
        trigger_role: TriggerRole::Trigger.name().to_owned(),
        valid_until: redefined.clone().unwrap_or_default(),
        proportion: marker.proportion,
        ..MarkerDefined::default()
    };
    let second = redefined.map(|from| MarkerDefined {
        definition_version: 2,
        valid_from: from,
        valid_until: String::new(),
        ..first.clone()
    });
    once(first).chain(second).map(Fact::MarkerDefined).collect()
}

fn polarity(polarity: Polarity) -> proto::Polarity {
    match polarity {
        Polarity::HigherIsBetter => proto::Polarity::HigherIsBetter,
        Polarity::LowerIsBetter => proto::Polarity::LowerIsBetter,
        Polarity::Neutral => proto::Polarity::Neutral,
    }
}

fn obligations(nation: &ScoringNation, org: usize, life: Life) -> [Fact; 2] {
    [proto::Dataset::Quality, proto::Dataset::Savings].map(|dataset| {
        Fact::ObligationSet(ObligationSet {
            org_code: nation.organisations[org].to_string(),
            dataset: dataset.into(),
            from: nation.period(life.start).to_string(),
            until: life
                .end
                .map(|end| nation.period(end).to_string())
                .unwrap_or_default(),
        })
    })
}

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
    fn facts_and_schemes_are_messages_of_the_contract() {
        let nation = nation();
        let facts = facts(&nation).expect("messages");
        for fact in &facts {
            from_json_text("qipp.events.v1.ReferenceFact", fact.as_bytes()).expect("a fact");
        }
        let count = |what: &str| facts.iter().filter(|fact| fact.contains(what)).count();
        assert_eq!(count("organisationRecorded"), 100 + REGIONS + 1);
        assert_eq!(count("markerDefined"), 21, "one marker has two definitions");
        assert_eq!(count("organisationSucceeded"), 2);
        for scheme in schemes(&nation).expect("messages") {
            from_json_text("qipp.events.v1.Scheme", scheme.as_bytes()).expect("a scheme");
        }
    }

    #[test]
    fn the_formats_of_returns_take_every_row_and_figure() {
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
