//! The folds: the order of the lanes, repeats and restarts change nothing, and the past stays as it was known.
#![allow(
    clippy::unwrap_used,
    reason = "tests and their helpers may fail loudly"
)]

#[allow(dead_code, reason = "each test file uses its own part of the builder")]
mod fixture;

use fixture::*;
use jiff::civil::Date;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use qipp_domain::alert::{Act, AlertFact, Severity, Transition};
use qipp_domain::benchmark::NationalValue;
use qipp_domain::marker::{Breakdown, RollUp};
use qipp_domain::nation::{Facts, Key, Nation, ReturnFact, Saved};
use qipp_domain::reference::{Community, Edge, ReferenceFact, RuleSet, Succession};
use qipp_domain::returns::{
    Body, Dataset, Decision, History, Measured, Missing, Observation, Precondition, Return,
    ReturnContent, SavingsLine, Status, Value, changes,
};
use qipp_domain::rollup::{Parts, Query, Structure, national_value, roll_up, series};
use qipp_domain::savings::position;
use qipp_domain::validate::{
    Against, DraftBody, ReturnDraft, SchemeDraft, validate_return, validate_scheme,
};
use qipp_domain::{Cut, KnownAt, OrgCode, Pence, Period, Quantity, Stamp, completeness, savings};

// Arbitrary facts. Few organisations, months and keys, so that they meet; figures of every size.

const CODES: [&str; 7] = ["ENG", "Q30", "RA1", "RA2", "RB1", "RB2", "RX7"];
const MARKERS: [&str; 4] = ["AE_4H", "WTE", "LOS_MEDIAN", "NO_SUCH"];
const SCHEMES: [&str; 3] = ["A", "B", "C"];
const KEYS: [&str; 4] = ["", "", "k1", "k2"];

fn any_org() -> impl Strategy<Value = OrgCode> {
    select(&CODES[..]).prop_map(org)
}

fn any_month() -> impl Strategy<Value = Period> {
    prop_oneof![
        9 => (0_i32..5).prop_map(|n| period("2012-01").plus(n).unwrap()),
        1 => select(vec!["1990-01", "2100-12"]).prop_map(period),
    ]
}

fn any_day() -> impl Strategy<Value = Date> {
    prop_oneof![
        6 => (1_i8..=6, 1_i8..=28).prop_map(|(month, of)| Date::new(2012, month, of).unwrap()),
        1 => select(vec![Date::MIN, Date::MAX, Date::ZERO]),
    ]
}

fn any_measured() -> impl Strategy<Value = Measured> {
    let quantity =
        prop_oneof![9 => 0_i64..10_000_000, 1 => any::<i64>()].prop_map(Quantity::from_thousandths);
    (quantity.clone(), prop::option::of(quantity)).prop_map(|(numerator, denominator)| Measured {
        numerator,
        denominator,
    })
}

fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![4 => any_measured().prop_map(Value::Measured), 1 => Just(Value::Missing(Missing::Suppressed))]
}

fn any_observation() -> impl Strategy<Value = Observation> {
    (select(&MARKERS[..]), any::<bool>(), 0_u32..3, any_value()).prop_map(
        |(code, of_part, version, value)| {
            let mut made = observation(code, value);
            made.key.breakdown = of_part.then(|| Breakdown::new("tfc:100").unwrap());
            made.definition_version = version;
            made
        },
    )
}

fn any_pence() -> impl Strategy<Value = Option<Pence>> {
    prop_oneof![
        4 => (-1_000_i64..100_000).prop_map(|p| Some(Pence(p))),
        3 => Just(None),
        1 => any::<i64>().prop_map(|p| Some(Pence(p))),
    ]
}

fn any_line() -> impl Strategy<Value = SavingsLine> {
    (
        select(&SCHEMES[..]),
        any_pence(),
        any_pence(),
        any_pence(),
        any_pence(),
    )
        .prop_map(|(id, plan, actual, ytd, recurrent)| SavingsLine {
            plan,
            actual,
            actual_ytd: ytd,
            recurrent,
            ..line(id)
        })
}

fn any_body() -> impl Strategy<Value = Body> {
    prop_oneof![
        prop::collection::vec(any_observation(), 0..5).prop_map(|mut observations| {
            observations.sort_by_key(|o| o.key);
            Body::Quality(observations)
        }),
        prop::collection::vec(any_line(), 0..4).prop_map(|mut lines| {
            lines.sort_by_key(|l| l.scheme);
            Body::Savings(lines)
        }),
    ]
}

fn any_precondition() -> impl Strategy<Value = Precondition> {
    (select(&KEYS[..]), prop::option::weighted(0.2, 0_u32..3)).prop_map(
        |(key, expected_revision)| Precondition {
            idempotency_key: key.to_owned(),
            expected_revision,
        },
    )
}

fn any_return(owner: OrgCode) -> impl Strategy<Value = ReturnFact> {
    let status = select(vec![Status::Provisional, Status::Final, Status::Restated]);
    prop_oneof![
        4 => (any_month(), status, any_body(), any_precondition()).prop_map(move |(period, status, body, precondition)| {
            let content = ReturnContent { status, ..content(body) };
            ReturnFact::Return(Return { org: owner, period, content, precondition })
        }),
        1 => (select(&SCHEMES[..]), any_month(), prop::collection::vec(-10_i64..1_000, 0..70), any_precondition()).prop_map(
            move |(id, start, planned, precondition)| {
                let scheme = scheme(owner.as_str(), id, &start.to_string(), &planned);
                ReturnFact::Scheme { scheme, precondition }
            }
        ),
    ]
}

fn any_reference_fact() -> impl Strategy<Value = ReferenceFact> {
    let pair = (any_org(), any_org(), any_day(), prop::option::of(any_day()));
    prop_oneof![
        (any_org(), select(vec!["trust", "sha", "nation"]))
            .prop_map(|(code, kind)| organisation(code.as_str(), kind)),
        (any_org(), any_day()).prop_map(|(org, closed)| ReferenceFact::Closed { org, closed }),
        (any_org(), any_org(), any_day()).prop_map(|(org, successor, date)| {
            ReferenceFact::Succeeded(Succession {
                org,
                successor,
                date,
            })
        }),
        any_org().prop_map(|root| ReferenceFact::Tree {
            tree: slug("sha_2010"),
            title: "A tree".to_owned(),
            root
        }),
        pair.prop_map(|(child, parent, from, until)| {
            ReferenceFact::Edge(Edge {
                tree: slug("sha_2010"),
                child,
                parent,
                from,
                until,
            })
        }),
        prop::collection::vec(any_org(), 0..3).prop_map(|members| {
            ReferenceFact::Community(Community {
                community: slug("north"),
                title: "North".to_owned(),
                members,
            })
        }),
        (
            select(&MARKERS[..3]),
            select(vec![RollUp::Parts, RollUp::Sum, RollUp::None]),
            select(vec![0, 1, 2, u32::MAX])
        )
            .prop_map(|(code, roll_up, version)| {
                let mut made = definition(code, roll_up);
                made.version = version;
                ReferenceFact::Marker(made)
            }),
        (any_month(), any_day()).prop_map(|(period, due)| ReferenceFact::Deadline {
            dataset: Dataset::Quality,
            period,
            due
        }),
        (any_org(), any_month()).prop_map(|(code, from)| owes(
            code.as_str(),
            Dataset::Quality,
            &from.to_string(),
            None
        )),
        Just(ReferenceFact::RuleSet(RuleSet {
            version: "2012-1".to_owned(),
            rules: Default::default()
        })),
    ]
}

fn any_national_value() -> impl Strategy<Value = NationalValue> {
    (
        select(&MARKERS[..]),
        any_month(),
        any_measured(),
        0_u32..100,
    )
        .prop_map(|(code, period, measured, n)| NationalValue {
            marker: marker(code),
            peer_group: slug("trust"),
            period,
            measured,
            organisations: n,
            organisations_slipping: n / 3,
            cut: Cut::default(),
            simulated: false,
        })
}

fn any_alert_fact(owner: OrgCode) -> impl Strategy<Value = AlertFact> {
    let transition = select(vec![
        Transition::Raised,
        Transition::Updated,
        Transition::Cleared,
        Transition::Withdrawn,
        Transition::Suppressed,
    ]);
    let severity = select(vec![Severity::Amber, Severity::Red]);
    prop_oneof![
        (select(vec!["X", "Y"]), transition, any_month(), severity).prop_map(
            move |(id, transition, month, severity)| {
                evaluated(
                    id,
                    transition,
                    finding(owner.as_str(), &month.to_string(), severity),
                )
            }
        ),
        (
            select(vec!["X", "Y"]),
            select(&Act::ALL[..]),
            select(&KEYS[..])
        )
            .prop_map(|(id, act, key)| AlertFact::Acted(acted(id, key, act))),
    ]
}

// Lanes. Each has its own records in order; an interleaving says which lane goes next.

/// A lane and the facts of each of its records. Offsets have gaps.
type Lane = (u32, Vec<Facts>);

fn lane(number: u32, facts: impl Strategy<Value = Facts> + 'static) -> BoxedStrategy<Lane> {
    prop::collection::vec(facts, 0..10)
        .prop_map(move |records| (number, records))
        .boxed()
}

fn returns_lane(number: u32, owners: &'static [&'static str]) -> BoxedStrategy<Lane> {
    let record = select(owners)
        .prop_map(org)
        .prop_flat_map(|owner| prop::collection::vec(any_return(owner), 1..3));
    lane(number, record.prop_map(Facts::Returns))
}

fn alerts_lane(number: u32, owner: &'static str) -> BoxedStrategy<Lane> {
    let facts = prop::collection::vec(any_alert_fact(org(owner)), 1..3);
    lane(
        number,
        facts.prop_map(move |facts| Facts::Alerts(org(owner), facts)),
    )
}

/// Lanes of all four topics. The reference lane starts with England, so that most facts have something to hold on to.
fn lanes() -> impl Strategy<Value = Vec<Lane>> {
    let reference = prop::collection::vec(any_reference_fact(), 1..3).prop_map(Facts::Reference);
    let reference = lane(1, reference).prop_map(|(number, records)| {
        let start = std::iter::once(Facts::Reference(england()));
        (number, start.chain(records).collect())
    });
    let benchmarks = prop::collection::vec(any_national_value(), 1..3).prop_map(Facts::Benchmarks);
    (
        reference,
        returns_lane(2, &["RA1", "RB1"]),
        returns_lane(3, &["RA2", "RX7"]),
        returns_lane(4, &["RB2", "Q30"]),
        lane(5, benchmarks),
        alerts_lane(6, "RA1"),
        alerts_lane(7, "RB1"),
    )
        .prop_map(|(a, b, c, d, e, f, g)| vec![a, b, c, d, e, f, g])
}

type Record = (Stamp, Facts);

/// One order of all records that keeps the order of each lane. Time goes on with every record.
fn interleaved(lanes: &[Lane], picks: &[Index]) -> Vec<Record> {
    let mut waiting: Vec<_> = lanes
        .iter()
        .map(|(number, records)| (*number, records.iter().enumerate()))
        .collect();
    let mut order = Vec::new();
    for turn in 0.. {
        waiting.retain(|(_, records)| records.len() > 0);
        let Some(count) = waiting.len().checked_sub(1) else {
            break;
        };
        let pick = picks.get(turn).map_or(0, |pick| pick.index(count + 1));
        let (lane, records) = &mut waiting[pick];
        let (index, facts) = records.next().unwrap();
        let stamp = Stamp {
            lane: *lane,
            offset: index as u64 * 3 + 1,
            time_ms: i64::try_from(turn).unwrap() * 10,
        };
        order.push((stamp, facts.clone()));
    }
    order
}

fn picks() -> impl Strategy<Value = Vec<Index>> {
    prop::collection::vec(any::<Index>(), 70)
}

fn folded(records: &[Record]) -> Nation {
    let mut nation = Nation::default();
    for (stamp, facts) in records {
        nation.apply(*stamp, "tester", facts.clone());
    }
    nation
}

fn saved(nation: &Nation) -> Vec<(Key, Option<Saved>)> {
    nation
        .keys()
        .into_iter()
        .map(|key| (key, nation.save(key)))
        .collect()
}

/// The same state of a lane, whatever time the log gave to its records.
fn without_times(records: &[Record]) -> Vec<Record> {
    let timeless = |stamp: &Stamp| Stamp {
        time_ms: i64::try_from(stamp.offset).unwrap(),
        ..*stamp
    };
    records
        .iter()
        .map(|(stamp, facts)| (timeless(stamp), facts.clone()))
        .collect()
}

/// Every read that the domain offers, as text, so that answers can be compared.
fn answers(nation: &Nation, at: &KnownAt) -> Vec<String> {
    let mut told = Vec::new();
    let reference = nation.reference(at);
    let months = || period("2012-01").to(period("2012-05"));
    for tree in reference.trees() {
        for structure in [
            Structure::AsItWas,
            Structure::AsItIs(day("2012-04-01")),
            Structure::AsItIs(Date::MAX),
        ] {
            let query = Query {
                tree,
                level: slug("sha"),
                marker: None,
                parts: Parts::All,
                from: None,
                to: None,
                structure,
                sources: true,
            };
            told.push(format!(
                "{:?}",
                roll_up(nation, &reference, at, &query, |_| true)
            ));
            for code in CODES {
                told.push(format!(
                    "{:?}",
                    series(
                        nation,
                        &reference,
                        at,
                        org(code),
                        whole("AE_4H"),
                        months(),
                        structure
                    )
                ));
            }
        }
    }
    for code in CODES {
        for month in months() {
            let ledger = nation.ledger(org(code));
            let known = ledger.is_some_and(|l| {
                l.periods(Dataset::Savings, at).count() + l.schemes(at).count() > 0
            });
            told.extend(
                ledger
                    .filter(|_| known)
                    .map(|l| format!("{:?}", position(l, month, at))),
            );
        }
        let alerts = nation
            .alerts(org(code))
            .into_iter()
            .flat_map(|book| book.iter());
        told.extend(
            alerts
                .filter_map(|alert| alert.known(at))
                .map(|standing| format!("{standing:?}")),
        );
    }
    for month in months() {
        let at_today = completeness::submissions(
            nation,
            &reference,
            at,
            Dataset::Quality,
            month,
            day("2012-06-01"),
        );
        told.push(format!("{at_today:?}"));
        told.push(format!(
            "{:?}",
            national_value(
                nation,
                &reference,
                at,
                marker("AE_4H"),
                slug("trust"),
                month
            )
        ));
    }
    told.push(format!(
        "{:?}",
        nation.benchmarks().iter(at).collect::<Vec<_>>()
    ));
    told
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn lanes_may_be_interleaved_in_any_way(lanes in lanes(), one in picks(), other in picks()) {
        let one = folded(&without_times(&interleaved(&lanes, &one)));
        let other = folded(&without_times(&interleaved(&lanes, &other)));
        prop_assert_eq!(saved(&one), saved(&other));
        prop_assert_eq!(one.counts(), other.counts());
        prop_assert_eq!(one.reference(&LATEST), other.reference(&LATEST));
    }

    #[test]
    fn a_record_that_was_applied_before_changes_nothing(
        lanes in lanes(),
        order in picks(),
        again in prop::collection::vec(any::<Index>(), 1..20),
    ) {
        let records = interleaved(&lanes, &order);
        let mut nation = folded(&records);
        let before = saved(&nation);
        for index in again {
            let (stamp, facts) = &records[index.index(records.len())];
            nation.apply(*stamp, "tester", facts.clone());
        }
        prop_assert_eq!(saved(&nation), before);
    }

    #[test]
    fn the_same_return_with_the_same_key_at_a_new_place_is_a_repeat(lanes in lanes(), order in picks()) {
        let records = interleaved(&lanes, &order);
        let mut nation = folded(&records);
        let mut place = 1_000;
        for (stamp, facts) in &records {
            let Facts::Returns(facts) = facts else { continue };
            // Two facts about one thing in one record are no case of this property.
            let [ReturnFact::Return(ret)] = facts.as_slice() else { continue };
            let dataset = ret.content.body.dataset();
            let history = nation.ledger(ret.org).unwrap().history(dataset, ret.period).unwrap();
            let first = history.decide_before(stamp.offset, &ret.precondition, &ret.content);
            let (Decision::Accepted(number) | Decision::Repeat(number)) = first else { continue };
            if ret.precondition.idempotency_key.is_empty() {
                continue;
            }
            let before = history.revisions().to_vec();
            prop_assert_eq!(history.decide(&ret.precondition, &ret.content), Decision::Repeat(number));
            prop_assert!(history.remembers(&ret.precondition, &ret.content));
            place += 1;
            let new = Stamp { offset: place, ..*stamp };
            nation.apply(new, "somebody else", Facts::Returns(facts.clone()));
            let after = nation.ledger(ret.org).unwrap().history(dataset, ret.period).unwrap().revisions();
            prop_assert_eq!(after, before.as_slice());
        }
    }

    #[test]
    fn what_came_later_is_invisible_to_what_was_known_before(lanes in lanes(), order in picks(), until in any::<Index>()) {
        let records = interleaved(&lanes, &order);
        let until = 1 + until.index(records.len());
        let then = folded(&records[..until]);
        let now = folded(&records);
        let expected = answers(&then, &LATEST);
        let mut cut = Cut::default();
        for (stamp, _) in &records[..until] {
            cut.advance_past(stamp.lane, stamp.offset);
        }
        prop_assert_eq!(&answers(&now, &KnownAt::Cut(cut)), &expected);
        prop_assert_eq!(&answers(&now, &KnownAt::Time(records[until - 1].0.time_ms)), &expected);
    }

    #[test]
    fn a_checkpoint_goes_on_as_if_nothing_had_happened(lanes in lanes(), order in picks(), until in any::<Index>()) {
        let records = interleaved(&lanes, &order);
        let until = until.index(records.len() + 1);
        let before = folded(&records[..until]);
        let mut restored = Nation::default();
        for (_, state) in saved(&before) {
            restored.restore(state.unwrap());
        }
        prop_assert_eq!(saved(&restored), saved(&before));
        prop_assert_eq!(restored.counts(), before.counts());
        prop_assert_eq!(answers(&restored, &LATEST), answers(&before, &LATEST));
        for (stamp, facts) in &records[until..] {
            restored.apply(*stamp, "tester", facts.clone());
        }
        prop_assert_eq!(saved(&restored), saved(&folded(&records)));
    }

    #[test]
    fn nothing_that_can_be_said_makes_a_read_or_a_check_panic(lanes in lanes(), order in picks(), draft in any_body(), month in any_month()) {
        let nation = folded(&interleaved(&lanes, &order));
        let reference = nation.reference(&LATEST);
        for today in [Date::MIN, day("2012-04-20"), Date::MAX] {
            for (code, ledger) in nation.ledgers() {
                let against = Against { reference: &reference, ledger: Some(ledger), today };
                let body = match draft.clone() {
                    Body::Quality(observations) => DraftBody::Quality(observations.into_iter().enumerate().collect()),
                    Body::Savings(lines) => DraftBody::Savings(lines.into_iter().enumerate().collect()),
                };
                let sent = ReturnDraft {
                    org: Some(code),
                    period: Some(month),
                    status: Some(Status::Final),
                    body: Some(body),
                    ..ReturnDraft::default()
                };
                match validate_return(sent, &against) {
                    Ok((ret, _)) => prop_assert_eq!(ret.content.body.len(), draft.len()),
                    Err(faults) => prop_assert!(!faults.is_empty()),
                }
                for revision in ledger.schemes(&LATEST) {
                    let scheme = Some(revision.content.clone());
                    let _ = validate_scheme(SchemeDraft { scheme, org: Some(code), ..SchemeDraft::default() }, &against);
                }
                let _ = savings::planned_in_month(ledger, month, &LATEST, |_| true);
                for (_, history) in ledger.histories() {
                    let pairs = history.revisions().windows(2);
                    for pair in pairs {
                        prop_assert!(changes(Some(&pair[0].content), &pair[1].content, 3).len() <= 3);
                    }
                }
            }
            let _ = completeness::submissions(&nation, &reference, &LATEST, Dataset::Quality, month, today);
        }
        for (_, fact) in nation.reference_history().facts() {
            let _ = reference.check(fact);
            let _ = reference.knows(fact);
        }
    }

    #[test]
    fn the_answer_to_every_arrival_can_be_found_again(
        arrivals in prop::collection::vec((select(&["", "k1", "k2", "k3"][..]), prop::option::weighted(0.3, 0_u32..4), 0_u8..4, 1_u64..4), 1..40),
    ) {
        let mut history = History::default();
        let mut answers = Vec::new();
        let mut offset = 0;
        for (key, expected_revision, content, gap) in arrivals {
            offset += gap;
            let precondition = Precondition { idempotency_key: key.to_owned(), expected_revision };
            let stamp = Stamp { lane: 0, offset, time_ms: 0 };
            let asked = history.decide(&precondition, &content);
            let answer = history.apply(stamp, "tester", precondition.clone(), content);
            prop_assert_eq!(asked, answer);
            if history.remembers(&precondition, &content) {
                prop_assert!(matches!(answer, Decision::Accepted(_) | Decision::Repeat(_) | Decision::KeyReused(_)));
            }
            answers.push((stamp, precondition, content, answer));
        }
        let before = history.clone();
        for (stamp, precondition, content, answer) in answers {
            prop_assert_eq!(history.decide_before(stamp.offset, &precondition, &content), answer);
            prop_assert_eq!(history.apply(stamp, "tester", precondition, content), answer);
        }
        prop_assert_eq!(&history, &before);
        let numbers: Vec<u32> = history.revisions().iter().map(|r| r.number).collect();
        prop_assert_eq!(numbers, (1..=u32::try_from(history.revisions().len()).unwrap()).collect::<Vec<_>>());
    }
}

#[test]
fn the_retry_of_a_lost_answer_is_a_repeat_even_when_it_expected_the_revision_before() {
    let mut history = History::default();
    let first = Precondition {
        idempotency_key: String::new(),
        expected_revision: Some(0),
    };
    let stamp = |offset| Stamp {
        lane: 0,
        offset,
        time_ms: 0,
    };
    assert_eq!(
        history.apply(stamp(1), "a", first.clone(), 10),
        Decision::Accepted(1)
    );
    assert_eq!(
        history.apply(stamp(2), "a", first.clone(), 10),
        Decision::Repeat(1)
    );
    assert_eq!(
        history.apply(stamp(3), "a", first, 20),
        Decision::Conflict(1)
    );
}

#[test]
fn a_difference_names_each_value_that_changed() {
    let before = content(Body::Quality(vec![
        figure("AE_4H", 95, 100),
        amount("WTE", 300),
    ]));
    let after = content(Body::Quality(vec![
        figure("AE_4H", 96, 100),
        no_figure("FALLS", Missing::Suppressed),
    ]));
    let told: Vec<_> = changes(Some(&before), &after, 10)
        .into_iter()
        .map(|c| [c.item, c.before, c.after])
        .collect();
    let expected = [
        ["AE_4H", "95 of 100", "96 of 100"],
        ["FALLS", "", "suppressed"],
        ["WTE", "300", ""],
    ];
    assert_eq!(told, expected);
}
