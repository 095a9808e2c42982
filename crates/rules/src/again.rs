//! Everything that was decided, decided again from the log alone: national values, joint decisions, and what happened to alerts.
//!
//! Each is computed at the cut that it cites. What cites the same cut is taken together, because the picture of a moment costs more than
//! what is then asked of it.

use std::collections::BTreeMap;

use jiff::civil::Date;
use qipp_domain::alert::{AlertBook, AlertEventKind, AlertFact, Finding};
use qipp_domain::benchmark::NationalValue;
use qipp_domain::nation::Nation;
use qipp_domain::rollup::Partial;
use qipp_domain::surveillance::Assessment;
use qipp_domain::{Cut, KnownAt, MarkerCode, OrgCode, Period, Slug, Stamp};

use crate::{Evaluated, Moment, Rule, Subject, slipping_nationally, surveillance, transitions};

/// A fact that was computed again.
#[derive(Clone, Debug, PartialEq)]
pub struct Again {
    /// Its rule, or what else it is.
    pub of: String,
    /// The alert, or the marker or kind and the month.
    pub name: String,
    /// Where it stands in the log.
    pub stamp: Stamp,
    /// What is other than recorded, in words; `None` when it is the same.
    pub difference: Option<String>,
}

/// Facts that cite the same state of the log.
#[derive(Debug)]
pub enum Together<'a> {
    /// What evaluations did to alerts.
    Alerts(Cut, Date, Vec<(OrgCode, Stamp, AlertFact)>),
    /// National values of a month.
    Values(Cut, Period, Vec<&'a (Stamp, NationalValue)>),
    /// A joint decision.
    Decision(&'a (Stamp, Assessment)),
}

/// Lanes and their next offsets: a cut that can be sorted by.
type Lanes = Vec<(u32, u64)>;

/// Everything of the log that can be computed again, by the state that it cites. Of evaluations, those that took effect: any other says
/// nothing to anybody.
#[must_use]
pub fn all(nation: &Nation) -> Vec<Together<'_>> {
    let lanes = |cut: &Cut| -> Lanes { cut.iter().collect() };
    let mut alerts: BTreeMap<(Lanes, Date), Vec<_>> = BTreeMap::new();
    for (org, book) in nation.alert_books() {
        for alert in book.iter() {
            for event in &alert.history {
                let AlertEventKind::Evaluated(_, Finding { evidence, .. }) = &event.kind else {
                    continue;
                };
                let group = alerts.entry((lanes(&evidence.cut), evidence.as_of));
                let fact = as_fact(&alert.id, &event.kind);
                group.or_default().push((org, event.stamp, fact));
            }
        }
    }
    let mut values: BTreeMap<(Lanes, Period), Vec<_>> = BTreeMap::new();
    for held in nation.benchmarks().published() {
        let group = values.entry((lanes(&held.1.cut), held.1.period));
        group.or_default().push(held);
    }
    let kinds = nation.assessments().kinds();
    let decisions = kinds.flat_map(|kind| nation.assessments().of_kind(kind));
    let alerts = alerts
        .into_iter()
        .map(|((cut, today), facts)| Together::Alerts(cut.into_iter().collect(), today, facts));
    let values = values
        .into_iter()
        .map(|((cut, period), values)| Together::Values(cut.into_iter().collect(), period, values));
    values
        .chain(decisions.map(Together::Decision))
        .chain(alerts)
        .collect()
}

fn as_fact(id: &str, kind: &AlertEventKind) -> AlertFact {
    match kind {
        AlertEventKind::Acted(acted) => AlertFact::Acted(acted.clone()),
        AlertEventKind::Evaluated(transition, finding) => AlertFact::Evaluated {
            alert_id: id.to_owned(),
            transition: *transition,
            finding: finding.clone(),
        },
    }
}

impl Together<'_> {
    /// Computes them again.
    #[must_use]
    pub fn again(&self, nation: &Nation) -> Vec<Again> {
        match self {
            Self::Alerts(cut, today, facts) => alerts(nation, cut, *today, facts),
            Self::Values(cut, period, values) => national_values(nation, cut, *period, values),
            Self::Decision((stamp, held)) => vec![decision(nation, *stamp, held)],
        }
    }
}

fn alerts(
    nation: &Nation,
    cut: &Cut,
    today: Date,
    facts: &[(OrgCode, Stamp, AlertFact)],
) -> Vec<Again> {
    let moment = Moment::at(nation, cut.clone(), today);
    let mut by_org: BTreeMap<OrgCode, Vec<(Stamp, &AlertFact)>> = BTreeMap::new();
    for (org, stamp, fact) in facts {
        by_org.entry(*org).or_default().push((*stamp, fact));
    }
    let of_org = |(org, facts): (OrgCode, Vec<(Stamp, &AlertFact)>)| {
        let book = book_below(nation, org, cut);
        let subject = Subject::new(moment.context(nation), org);
        let again = move |(stamp, fact)| alert(&book, &subject, stamp, fact);
        facts.into_iter().filter_map(again).collect::<Vec<_>>()
    };
    by_org.into_iter().flat_map(of_org).collect()
}

/// The alerts of an organisation as they stood below a cut.
fn book_below(nation: &Nation, org: OrgCode, cut: &Cut) -> AlertBook {
    let known = KnownAt::Cut(cut.clone());
    let alerts = nation.alerts(org).into_iter().flat_map(AlertBook::iter);
    let events = alerts.flat_map(|alert| alert.history.iter().map(move |event| (alert, event)));
    let mut events: Vec<_> = events
        .filter(|(_, event)| known.covers(event.stamp))
        .collect();
    events.sort_by_key(|(_, event)| event.stamp.offset);
    let mut book = AlertBook::default();
    for (alert, event) in events {
        book.apply(event.stamp, as_fact(&alert.id, &event.kind));
    }
    book
}

/// What happened to an alert, decided again: with its identifier, how, and everything that the finding says. So the end of an alert is
/// computed again too: its rule finds nothing, in the month that it was last seen in or in a later one.
fn alert(book: &AlertBook, subject: &Subject<'_>, stamp: Stamp, fact: &AlertFact) -> Option<Again> {
    let AlertFact::Evaluated {
        alert_id, finding, ..
    } = fact
    else {
        return None;
    };
    let found = Rule::of(&finding.rule).and_then(|rule| {
        let enabled = subject.context.rules.is_enabled(rule.id);
        let period = rule.frontier(subject).filter(|_| enabled)?;
        Some(Evaluated {
            rule,
            org: subject.org,
            period,
            finding: (rule.evaluate)(subject, period),
        })
    });
    let facts = found.map_or_else(Vec::new, |found| {
        transitions(Some(book), &KnownAt::Latest, &found, subject)
    });
    let difference = (!facts.contains(fact)).then(|| difference(fact, &facts));
    Some(Again {
        of: finding.rule.clone(),
        name: alert_id.clone(),
        stamp,
        difference,
    })
}

/// What is other than recorded.
fn difference(fact: &AlertFact, again: &[AlertFact]) -> String {
    let told = |fact: &AlertFact| match fact {
        AlertFact::Evaluated {
            alert_id,
            transition,
            finding,
        } => Some((alert_id.clone(), *transition, finding.clone())),
        AlertFact::Acted(_) => None,
    };
    let Some((id, transition, recorded)) = told(fact) else {
        return String::new();
    };
    let same = again
        .iter()
        .filter_map(told)
        .find(|(held, _, _)| *held == id);
    let Some((_, now, finding)) = same.or_else(|| again.iter().find_map(told)) else {
        return format!(
            "recorded as {transition:?} for {}, and now the rules find nothing to say of it",
            recorded.period
        );
    };
    let (held, new) = (&recorded.evidence, &finding.evidence);
    let parts = [
        ("transition", transition == now),
        ("month", recorded.period == finding.period),
        ("severity", recorded.severity == finding.severity),
        ("summary", recorded.summary == finding.summary),
        ("question", recorded.question == finding.question),
        ("roles asked", recorded.asked == finding.asked),
        (
            "reason of suppression",
            recorded.suppressed_because == finding.suppressed_because,
        ),
        ("rule set", held.rule_set_version == new.rule_set_version),
        ("savings", held.savings == new.savings),
        ("markers", held.markers == new.markers),
        ("late returns", held.late_returns == new.late_returns),
        ("mark of simulated", held.simulated == new.simulated),
        ("joint decision", held.joint == new.joint),
        ("notes", held.notes == new.notes),
    ];
    let other: Vec<&str> = parts
        .iter()
        .filter(|(_, equal)| !equal)
        .map(|(name, _)| *name)
        .collect();
    let other = if other.is_empty() {
        "identifier".to_owned()
    } else {
        other.join(", ")
    };
    format!("for {}: other {other}", recorded.period)
}

fn national_values(
    nation: &Nation,
    cut: &Cut,
    period: Period,
    published: &[&(Stamp, NationalValue)],
) -> Vec<Again> {
    let known = KnownAt::Cut(cut.clone());
    // Which day counts as today matters to late returns only.
    let moment = Moment::at(nation, cut.clone(), period.last_day());
    let context = moment.context(nation);
    let mut values: BTreeMap<Slug, BTreeMap<MarkerCode, NationalValue>> = BTreeMap::new();
    for (_, held) in published {
        let reference = context.reference;
        let (kind, marker) = (held.peer_group, held.marker);
        let sum = Partial::over_kind(nation, reference, &known, kind, marker, period);
        let Some(measured) = sum.measured else {
            continue;
        };
        let value = NationalValue {
            measured,
            organisations: sum.organisations,
            organisations_slipping: 0,
            simulated: sum.simulated,
            ..held.clone()
        };
        values.entry(kind).or_default().insert(marker, value);
    }
    for (org, _) in nation.ledgers() {
        let kind = context.reference.organisation(org).map(|held| held.kind);
        let Some(values) = kind.and_then(|kind| values.get_mut(&kind)) else {
            continue;
        };
        for marker in slipping_nationally(&context, org, period, values) {
            if let Some(value) = values.get_mut(&marker) {
                value.organisations_slipping += 1;
            }
        }
    }
    let again = |(stamp, held): &&(Stamp, NationalValue)| {
        let now = values
            .get(&held.peer_group)
            .and_then(|of_kind| of_kind.get(&held.marker));
        Again {
            of: "national values".to_owned(),
            name: format!("{} of kind {} in {period}", held.marker, held.peer_group),
            stamp: *stamp,
            difference: (now != Some(held)).then(|| match now {
                None => "recorded, and now nobody has a figure".to_owned(),
                Some(now) => format!(
                    "recorded {:?} of {} organisations, {} slipping; now {:?} of {}, {} slipping",
                    held.measured.value(),
                    held.organisations,
                    held.organisations_slipping,
                    now.measured.value(),
                    now.organisations,
                    now.organisations_slipping
                ),
            }),
        }
    };
    published.iter().map(again).collect()
}

fn decision(nation: &Nation, stamp: Stamp, held: &Assessment) -> Again {
    let moment = Moment::at(nation, held.cut.clone(), held.period.last_day());
    let again = surveillance::review(&moment.context(nation), held.peer_group, held.period);
    Again {
        of: "joint decisions".to_owned(),
        name: format!("kind {} in {}", held.peer_group, held.period),
        stamp,
        difference: match again {
            Ok(again) if again == *held => None,
            Ok(again) => Some(format!(
                "recorded {} of {} listed, now {} of {}",
                held.listed(),
                held.assessed,
                again.listed(),
                again.assessed
            )),
            Err(error) => Some(format!("recorded, and now it can't be decided: {error}")),
        },
    }
}
