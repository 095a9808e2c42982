//! Any fact that the house can hold, for property tests.

use std::collections::BTreeMap;

use jiff::civil::Date;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use qipp_domain::alert::AlertFact;
use qipp_domain::benchmark::NationalValue;
use qipp_domain::marker::{
    Breakdown, MarkerDefinition, Polarity, QualityDomain, RollUp, SeriesKey, TriggerRole,
};
use qipp_domain::nation::{Facts, ReturnFact};
use qipp_domain::reference::{
    Community, Edge, Obligation, Organisation, ReferenceFact, RuleSet, RuleSetting, Succession,
};
use qipp_domain::returns::{
    Body, Dataset, Measured, Missing, Observation, Precondition, Return, ReturnContent,
    SavingsLine, Status, Value,
};
use qipp_domain::scheme::{LinkedMarker, Milestone, Scheme, SchemeCategory};
use qipp_domain::tenure::Tenure;
use qipp_domain::{Cut, MarkerCode, OrgCode, Pence, Period, Quantity, SchemeId, Slug};

use self::alerts::{alert_fact, assessment, national_value};
use crate::cut::lane;
use crate::names;
use crate::proto::events::v1 as wire;

mod alerts;

/// Facts of every topic.
pub(super) fn facts() -> impl Strategy<Value = Facts> {
    prop_oneof![
        vec(reference_fact(), 0..4).prop_map(Facts::Reference),
        org()
            .prop_flat_map(|org| vec(return_fact(org), 1..3))
            .prop_map(Facts::Returns),
        vec(national_value(), 0..3).prop_map(Facts::Benchmarks),
        org()
            .prop_flat_map(|org| (Just(org), vec(alert_fact(org), 0..3)))
            .prop_map(|(org, facts)| Facts::Alerts(org, facts)),
        (1_u64.., "[0-9a-f]{1,32}")
            .prop_map(|(epoch, holder)| Facts::EpochBegun(Tenure { epoch, holder })),
        assessment().prop_map(|held| Facts::Assessment(Box::new(held))),
    ]
}

fn org() -> impl Strategy<Value = OrgCode> {
    "[A-Z0-9]{2,12}".prop_map(|text| OrgCode::new(&text).unwrap())
}

fn marker() -> impl Strategy<Value = MarkerCode> {
    "[A-Z0-9_]{1,24}".prop_map(|text| MarkerCode::new(&text).unwrap())
}

fn slug() -> impl Strategy<Value = Slug> {
    "[a-z0-9_]{1,32}".prop_map(|text| Slug::new(&text).unwrap())
}

fn scheme_id() -> impl Strategy<Value = SchemeId> {
    "[A-Z0-9_-]{1,32}".prop_map(|text| SchemeId::new(&text).unwrap())
}

fn text() -> impl Strategy<Value = String> {
    "\\PC{0,12}"
}

fn period() -> impl Strategy<Value = Period> {
    (1990_i16..=2100, 1_i8..=12).prop_map(|(year, month)| Period::new(year, month).unwrap())
}

fn date() -> impl Strategy<Value = Date> {
    (1900_i16..=2100, 1_i8..=12, 1_i8..=28)
        .prop_map(|(year, month, day)| Date::new(year, month, day).unwrap())
}

fn pence() -> impl Strategy<Value = Pence> {
    any::<i64>().prop_map(Pence)
}

fn number() -> impl Strategy<Value = f64> {
    any::<f64>().prop_filter("evidence is compared, and NaN equals nothing", |number| {
        !number.is_nan()
    })
}

/// Sums of what returns may state, in the range in which a double holds thousandths exactly.
fn measured() -> impl Strategy<Value = Measured> {
    let quantity = || (0_i64..=2_000_000_000_000_000).prop_map(Quantity::from_thousandths);
    (quantity(), option::of(quantity())).prop_map(|(numerator, denominator)| Measured {
        numerator,
        denominator,
    })
}

fn cut() -> impl Strategy<Value = Cut> {
    vec(((1_u8..=4, any::<u16>()), any::<u64>()), 0..4).prop_map(|lanes| {
        lanes
            .into_iter()
            .map(|((topic, partition), next)| (lane(topic, partition), next))
            .collect()
    })
}

fn dataset() -> impl Strategy<Value = Dataset> {
    select(vec![Dataset::Savings, Dataset::Quality])
}

fn status() -> impl Strategy<Value = Status> {
    select(vec![Status::Provisional, Status::Final, Status::Restated])
}

fn polarity() -> impl Strategy<Value = Polarity> {
    select(vec![
        Polarity::HigherIsBetter,
        Polarity::LowerIsBetter,
        Polarity::Neutral,
    ])
}

fn quality_domain() -> impl Strategy<Value = QualityDomain> {
    select(QualityDomain::NAMES.map(|(domain, _)| domain).to_vec())
}

fn missing() -> impl Strategy<Value = Missing> {
    select(Missing::NAMES.map(|(missing, _)| missing).to_vec())
}

fn category() -> impl Strategy<Value = SchemeCategory> {
    (1..=17).prop_map(|n| {
        names::category_from_proto(wire::SchemeCategory::try_from(n).unwrap()).unwrap()
    })
}

fn reference_fact() -> impl Strategy<Value = ReferenceFact> {
    let organisation =
        (org(), text(), slug(), option::of(date())).prop_map(|(code, name, kind, opened)| {
            ReferenceFact::Organisation(Organisation {
                code,
                name,
                kind,
                opened,
                closed: None,
            })
        });
    let edge = (slug(), org(), org(), date(), option::of(date()));
    prop_oneof![
        organisation,
        (org(), date()).prop_map(|(org, closed)| ReferenceFact::Closed { org, closed }),
        (org(), org(), date()).prop_map(|(org, successor, date)| ReferenceFact::Succeeded(
            Succession {
                org,
                successor,
                date
            }
        )),
        (slug(), text(), org()).prop_map(|(tree, title, root)| ReferenceFact::Tree {
            tree,
            title,
            root
        }),
        edge.prop_map(
            |(tree, child, parent, from, until)| ReferenceFact::Edge(Edge {
                tree,
                child,
                parent,
                from,
                until
            })
        ),
        (slug(), text(), vec(org(), 0..4)).prop_map(|(community, title, members)| {
            ReferenceFact::Community(Community {
                community,
                title,
                members,
            })
        }),
        marker_definition().prop_map(ReferenceFact::Marker),
        (dataset(), period(), date()).prop_map(|(dataset, period, due)| ReferenceFact::Deadline {
            dataset,
            period,
            due
        }),
        (org(), dataset(), period(), option::of(period())).prop_map(
            |(org, dataset, from, until)| {
                ReferenceFact::Obligation(Obligation {
                    org,
                    dataset,
                    from,
                    until,
                })
            }
        ),
        rule_set().prop_map(ReferenceFact::RuleSet),
    ]
}

fn rule_set() -> impl Strategy<Value = RuleSet> {
    let parameters = vec((text(), -1e9..1e9_f64), 0..3)
        .prop_map(|pairs| pairs.into_iter().collect::<BTreeMap<_, _>>());
    let setting = (any::<bool>(), parameters).prop_map(|(enabled, parameters)| RuleSetting {
        enabled,
        parameters,
    });
    (text(), vec((text(), setting), 0..3)).prop_map(|(version, rules)| RuleSet {
        version,
        rules: rules.into_iter().collect(),
    })
}

fn marker_definition() -> impl Strategy<Value = MarkerDefinition> {
    let roles = select(TriggerRole::NAMES.map(|(role, _)| role).to_vec());
    let roll_up = select(vec![RollUp::Parts, RollUp::Sum, RollUp::None]);
    let words = [(); 7].map(|()| text());
    let span = (option::of(period()), option::of(period()));
    let numbers = (any::<u32>(), any::<u32>(), any::<bool>());
    (
        marker(),
        numbers,
        quality_domain(),
        polarity(),
        roll_up,
        roles,
        span,
        words,
    )
        .prop_map(
            |(
                marker,
                (version, publication_lag_days, proportion),
                domain,
                polarity,
                roll_up,
                role,
                span,
                words,
            )| {
                let [
                    name,
                    numerator,
                    denominator,
                    unit,
                    successor,
                    standard,
                    notes,
                ] = words;
                let (valid_from, valid_until) = span;
                MarkerDefinition {
                    marker,
                    version,
                    name,
                    domain,
                    numerator,
                    denominator,
                    unit,
                    polarity,
                    roll_up,
                    role,
                    proportion,
                    valid_from,
                    valid_until,
                    successor,
                    standard,
                    publication_lag_days,
                    notes,
                }
            },
        )
}

fn return_fact(org: OrgCode) -> impl Strategy<Value = ReturnFact> {
    let content =
        (status(), text(), text(), body()).prop_map(|(status, source, narrative, body)| {
            ReturnContent {
                status,
                source,
                narrative,
                body,
            }
        });
    let ret =
        (period(), content, precondition()).prop_map(move |(period, content, precondition)| {
            Return {
                org,
                period,
                content,
                precondition,
            }
        });
    prop_oneof![
        ret.prop_map(ReturnFact::Return),
        (scheme(org), precondition()).prop_map(|(scheme, precondition)| ReturnFact::Scheme {
            scheme,
            precondition
        }),
    ]
}

fn precondition() -> impl Strategy<Value = Precondition> {
    (text(), option::of(any::<u32>())).prop_map(|(idempotency_key, expected_revision)| {
        Precondition {
            idempotency_key,
            expected_revision,
        }
    })
}

fn body() -> impl Strategy<Value = Body> {
    let breakdown =
        "[a-z0-9_]{1,8}:[A-Za-z0-9_-]{1,15}".prop_map(|text| Breakdown::new(&text).unwrap());
    let key = (marker(), option::of(breakdown))
        .prop_map(|(marker, breakdown)| SeriesKey { marker, breakdown });
    let value = prop_oneof![
        measured().prop_map(Value::Measured),
        missing().prop_map(Value::Missing)
    ];
    let observation = (key, any::<u32>(), value, any::<bool>()).prop_map(
        |(key, definition_version, value, simulated)| Observation {
            key,
            definition_version,
            value,
            simulated,
        },
    );
    let amounts = [(); 5].map(|()| option::of(pence()));
    let line = (scheme_id(), amounts, option::of(missing()), any::<bool>()).prop_map(
        |(scheme, [plan, actual, actual_ytd, forecast, recurrent], missing, simulated)| {
            SavingsLine {
                scheme,
                plan,
                actual,
                actual_ytd,
                forecast,
                recurrent,
                missing,
                simulated,
            }
        },
    );
    prop_oneof![
        vec(line, 0..4).prop_map(Body::Savings),
        vec(observation, 0..4).prop_map(|observations| Body::Quality(observations.into()))
    ]
}

fn scheme(org: OrgCode) -> impl Strategy<Value = Scheme> {
    let kinds = select(names::MILESTONE_KINDS.map(|(kind, _)| kind).to_vec());
    let milestone =
        (text(), kinds, date(), option::of(date())).prop_map(|(title, kind, due, done)| {
            Milestone {
                title,
                kind,
                due,
                done,
            }
        });
    let linked = (marker(), any::<bool>())
        .prop_map(|(marker, balancing)| LinkedMarker { marker, balancing });
    let lists = (vec(pence(), 0..4), vec(linked, 0..3), vec(milestone, 0..3));
    let days = (
        option::of(date()),
        option::of(date()),
        period(),
        option::of(period()),
    );
    (
        scheme_id(),
        [text(), text()],
        category(),
        pence(),
        any::<[bool; 3]>(),
        lists,
        days,
    )
        .prop_map(
            move |(id, [title, clinical_lead], category, full_year_effect, flags, lists, days)| {
                let [recurrent, pay, simulated] = flags;
                let (planned, linked_markers, milestones) = lists;
                let (qia_medical_director, qia_nursing_director, start, ended) = days;
                Scheme {
                    org,
                    id,
                    title,
                    category,
                    start,
                    planned,
                    full_year_effect,
                    recurrent,
                    pay,
                    linked_markers,
                    clinical_lead,
                    qia_medical_director,
                    qia_nursing_director,
                    milestones,
                    ended,
                    simulated,
                }
            },
        )
}
