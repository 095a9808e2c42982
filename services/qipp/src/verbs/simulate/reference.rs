//! A scoring nation's reference facts, as lines of JSON for `qipp register facts`.
//!
//! Of the truth nothing is here. What everybody would know is: who merged with whom, and which marker was redefined.

use std::iter::once;

use qipp_api::proto::events::v1::reference_fact::Fact;
use qipp_api::proto::events::v1::{
    self as proto, EdgeRecorded, MarkerDefined, ObligationSet, OrganisationClosed,
    OrganisationRecorded, OrganisationSucceeded, ReferenceFact, RollUp, TreeDefined,
};
use qipp_domain::Period;
use qipp_domain::marker::{Polarity, TriggerRole};
use qipp_nation::scenario::{Fault, ScoringMarker, ScoringNation};

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

#[cfg(test)]
mod tests {
    use qipp_api::json::from_json_text;
    use qipp_nation::scenario::{Scenario, ScenarioConfig, scenario};

    use super::*;

    #[test]
    fn facts_are_messages_of_the_contract_and_tell_what_everybody_knows() {
        let nation = scenario(&ScenarioConfig {
            organisations: 100,
            ..ScenarioConfig::new(Scenario::Real, 3)
        });
        let facts = facts(&nation).expect("messages");
        for fact in &facts {
            from_json_text("qipp.events.v1.ReferenceFact", fact.as_bytes()).expect("a fact");
        }
        let count = |what: &str| facts.iter().filter(|fact| fact.contains(what)).count();
        assert_eq!(count("organisationRecorded"), 100 + REGIONS + 1);
        assert_eq!(count("markerDefined"), 21, "one marker has two definitions");
        assert_eq!(count("organisationSucceeded"), 2);
        assert_eq!(count("organisationClosed"), 2);
    }
}
