//! The folds: the order of the lanes, repeats and restarts change nothing, and the past stays as it was known.
#![allow(
    clippy::unwrap_used,
    reason = "tests and their helpers may fail loudly"
)]

#[path = "fixture/arbitrary.rs"]
mod arbitrary;
#[allow(dead_code, reason = "each test file uses its own part of the builder")]
mod fixture;

use arbitrary::{CODES, Lane, any_body, any_month, lanes};
use fixture::*;
use jiff::civil::Date;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use qipp_domain::nation::{Facts, Key, Nation, ReturnFact, Saved};
use qipp_domain::returns::{
    Body, Dataset, Decision, History, Missing, Precondition, Status, changes,
};
use qipp_domain::rollup::{CellKey, Partial, Parts, Query, Structure, roll_up, series};
use qipp_domain::savings::position;
use qipp_domain::validate::{
    Against, DraftBody, ReturnDraft, SchemeDraft, validate_return, validate_scheme,
};
use qipp_domain::{Cut, KnownAt, Stamp, completeness, savings};

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
            let cells: Vec<_> = roll_up(nation, &reference, at, query).collect();
            // Without sources they are added up by column, as far as that can tell what was known then.
            let query = Query {
                sources: false,
                ..query
            };
            let without = |(key, partial): &(CellKey, Partial)| {
                let sources = Vec::new();
                (
                    *key,
                    Partial {
                        sources,
                        ..partial.clone()
                    },
                )
            };
            assert_eq!(
                roll_up(nation, &reference, at, query).collect::<Vec<_>>(),
                cells.iter().map(without).collect::<Vec<_>>()
            );
            told.push(format!("{cells:?}"));
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
                    Body::Quality(observations) => DraftBody::Quality(observations.iter().enumerate().collect()),
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
    let before = content(Body::Quality(
        vec![figure("AE_4H", 95, 100), amount("WTE", 300)].into(),
    ));
    let after = content(Body::Quality(
        vec![
            figure("AE_4H", 96, 100),
            no_figure("FALLS", Missing::Suppressed),
        ]
        .into(),
    ));
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
