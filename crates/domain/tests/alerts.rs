//! The life of an alert: evaluations move its condition, people move its stage, and nothing counts twice.
#![allow(
    clippy::unwrap_used,
    reason = "tests and their helpers may fail loudly"
)]

#[allow(dead_code, reason = "each test file uses its own part of the builder")]
mod fixture;

use fixture::*;
use proptest::prelude::*;
use qipp_domain::alert::{
    Act, ActDecision, Acted, AlertBook, AlertFact, Condition, Severity, Stage, Standing, Transition,
};
use qipp_domain::{KnownAt, Stamp};

const ID: &str = "R01-RA1-2012-03";

/// A book, and the stamps of its lane.
#[derive(Default)]
struct Told {
    book: AlertBook,
    next: u64,
}

impl Told {
    fn raised() -> Self {
        let mut told = Self::default();
        assert!(told.evaluate(Transition::Raised, "2012-03"));
        told
    }

    fn stamp(&mut self) -> Stamp {
        self.next += 10;
        stamp(self.next)
    }

    fn evaluate(&mut self, transition: Transition, month: &str) -> bool {
        let stamp = self.stamp();
        self.book.apply(
            stamp,
            evaluated(ID, transition, finding("RA1", month, Severity::Amber)),
        )
    }

    fn act(&mut self, act_id: &str, act: Act) -> ActDecision {
        let stamp = self.stamp();
        let acted = acted(ID, act_id, act);
        let decision = self.book.decide_before(stamp.offset, &acted);
        let effective = self.book.apply(stamp, AlertFact::Acted(acted));
        assert_eq!(effective, decision == ActDecision::Accepted);
        decision
    }

    fn acts(mut self, acts: &[Act]) -> Self {
        for (i, act) in acts.iter().enumerate() {
            assert_eq!(
                self.act(&format!("step {i}"), *act),
                ActDecision::Accepted,
                "{act:?}"
            );
        }
        self
    }

    fn standing(&self) -> Standing<'_> {
        self.book.get(ID).unwrap().known(&LATEST).unwrap()
    }
}

fn stamp(offset: u64) -> Stamp {
    Stamp {
        lane: 9,
        offset,
        time_ms: i64::try_from(offset).unwrap() * 100,
    }
}

/// The acts that lead to a stage.
fn way_to(stage: Stage) -> Vec<Act> {
    use Act::{Acknowledge, Answer, Ask, Close, Confirm, Refute};
    match stage {
        Stage::Raised => vec![],
        Stage::Acknowledged => vec![Acknowledge],
        Stage::Asked => vec![Acknowledge, Ask],
        Stage::Explained => vec![Ask, Answer],
        Stage::Confirmed => vec![Ask, Answer, Confirm],
        Stage::Refuted => vec![Ask, Answer, Refute],
        Stage::Closed => vec![Ask, Answer, Refute, Close],
    }
}

const STAGES: [Stage; 7] = [
    Stage::Raised,
    Stage::Acknowledged,
    Stage::Asked,
    Stage::Explained,
    Stage::Confirmed,
    Stage::Refuted,
    Stage::Closed,
];

fn legal_while_it_holds(stage: Stage) -> Vec<(Act, Stage)> {
    match stage {
        Stage::Raised => vec![
            (Act::Acknowledge, Stage::Acknowledged),
            (Act::Ask, Stage::Asked),
        ],
        Stage::Acknowledged => vec![(Act::Ask, Stage::Asked)],
        Stage::Asked => vec![(Act::Answer, Stage::Explained)],
        Stage::Explained => {
            vec![
                (Act::Ask, Stage::Asked),
                (Act::Confirm, Stage::Confirmed),
                (Act::Refute, Stage::Refuted),
            ]
        }
        Stage::Confirmed | Stage::Refuted => vec![(Act::Close, Stage::Closed)],
        Stage::Closed => vec![],
    }
}

#[test]
fn every_stage_allows_its_acts_and_names_them_when_it_refuses_another() {
    for stage in STAGES {
        let legal = legal_while_it_holds(stage);
        for act in Act::ALL {
            let mut told = Told::raised().acts(&way_to(stage));
            assert_eq!(told.standing().stage, stage);
            let decision = told.act("the act", act);
            match legal.iter().find(|(a, _)| *a == act) {
                Some((_, next)) => {
                    assert_eq!(
                        (decision, told.standing().stage),
                        (ActDecision::Accepted, *next),
                        "{stage:?} {act:?}"
                    );
                }
                None => {
                    let allowed = legal.iter().map(|(a, _)| *a).collect();
                    assert_eq!(
                        (decision, told.standing().stage),
                        (ActDecision::Illegal(allowed), stage),
                        "{stage:?} {act:?}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_conversation_closes_without_an_outcome_only_when_the_finding_no_longer_holds() {
    for gone in [
        Transition::Cleared,
        Transition::Withdrawn,
        Transition::Suppressed,
    ] {
        for stage in STAGES.into_iter().filter(|s| *s != Stage::Closed) {
            let mut told = Told::raised().acts(&way_to(stage));
            assert!(told.evaluate(gone, "2012-04"));
            let outcome = told.standing().outcome;
            assert_eq!(
                told.act("close", Act::Close),
                ActDecision::Accepted,
                "{gone:?} {stage:?}"
            );
            assert_eq!(
                (told.standing().stage, told.standing().outcome),
                (Stage::Closed, outcome)
            );
        }
    }
}

#[test]
fn the_outcome_survives_closing() {
    for (stage, outcome) in [
        (Stage::Confirmed, Act::Confirm),
        (Stage::Refuted, Act::Refute),
    ] {
        let told = Told::raised().acts(&way_to(stage)).acts(&[]);
        assert_eq!(told.standing().outcome, Some(outcome));
        let mut told = told;
        told.act("close", Act::Close);
        assert_eq!(
            (told.standing().stage, told.standing().outcome),
            (Stage::Closed, Some(outcome))
        );
        assert!(!told.standing().is_open());
        assert!(told.book.current("R01", &LATEST).is_none());
    }
}

#[test]
fn a_repeat_of_an_act_is_told_so_and_changes_nothing() {
    let mut told = Told::raised();
    assert_eq!(told.act("k1", Act::Acknowledge), ActDecision::Accepted);
    let before = told.book.clone();
    assert_eq!(told.act("k1", Act::Acknowledge), ActDecision::Repeat);
    assert_eq!(told.book, before);
    // Even after the conversation has moved on.
    told.act("k2", Act::Ask);
    assert_eq!(told.act("k1", Act::Acknowledge), ActDecision::Repeat);
}

#[test]
fn a_key_that_stands_for_another_act_is_refused_and_changes_nothing() {
    let mut told = Told::raised();
    assert_eq!(told.act("k1", Act::Acknowledge), ActDecision::Accepted);
    let (before, first) = (told.book.clone(), acted(ID, "k1", Act::Acknowledge));
    assert_eq!(
        told.act("k1", Act::Ask),
        ActDecision::KeyReused(first.clone()),
        "though the alert could be asked"
    );
    let other_words = Acted {
        why: "For another reason".to_owned(),
        ..first.clone()
    };
    let decision = told.book.decide_before(u64::MAX, &other_words);
    assert_eq!(decision, ActDecision::KeyReused(first));
    assert_eq!(told.book, before);
}

#[test]
fn a_key_that_its_author_used_for_another_alert_is_refused() {
    let mut world = World::england();
    let other = "R01-RB1-2012-03";
    for (alert, owner) in [(ID, "RA1"), (other, "RB1")] {
        let raised = finding(owner, "2012-03", Severity::Amber);
        world.alert(owner, evaluated(alert, Transition::Raised, raised));
    }
    let first = acted(ID, "k1", Act::Ask);
    world.alert("RA1", AlertFact::Acted(first.clone()));
    let decide = |owner: &str, acted: &Acted| world.nation.decide_act(org(owner), acted);
    assert_eq!(decide("RA1", &first), ActDecision::Repeat);
    let elsewhere = acted(other, "k1", Act::Ask);
    assert_eq!(decide("RB1", &elsewhere), ActDecision::KeyReused(first));
    let of_somebody_else = Acted {
        who: "Somebody else".to_owned(),
        ..elsewhere
    };
    assert_eq!(decide("RB1", &of_somebody_else), ActDecision::Accepted);
    assert_eq!(
        decide("RB1", &acted(other, "", Act::Ask)),
        ActDecision::Accepted
    );
}

#[test]
fn acts_without_a_key_are_acts_of_their_own() {
    let mut told = Told::raised();
    for act in [Act::Ask, Act::Answer, Act::Ask, Act::Answer] {
        assert_eq!(told.act("", act), ActDecision::Accepted);
    }
}

#[test]
fn an_act_on_an_alert_that_is_not_there_yet_is_unknown() {
    let mut told = Told::default();
    assert_eq!(told.act("k1", Act::Ask), ActDecision::UnknownAlert);
    told.evaluate(Transition::Raised, "2012-03");
    assert_eq!(
        told.book.decide_before(5, &acted(ID, "k1", Act::Ask)),
        ActDecision::UnknownAlert
    );
}

#[test]
fn a_suppressed_finding_is_asked_once_the_reason_falls_away() {
    let mut told = Told::default();
    assert!(told.evaluate(Transition::Suppressed, "2012-03"));
    assert_eq!(told.standing().condition, Condition::Suppressed);
    assert!(!told.standing().is_open());
    assert!(told.book.current("R01", &LATEST).is_some());
    assert!(!told.evaluate(Transition::Suppressed, "2012-04"));
    assert!(told.evaluate(Transition::Raised, "2012-04"));
    assert!(told.standing().is_open());
    assert_eq!(told.standing().raised_period, period("2012-03"));
}

#[test]
fn a_withdrawn_finding_comes_back_when_the_figure_is_restated_back() {
    let mut told = Told::raised().acts(&[Act::Ask]);
    assert!(told.evaluate(Transition::Withdrawn, "2012-03"));
    assert_eq!(told.standing().condition, Condition::Withdrawn);
    assert!(told.book.current("R01", &LATEST).is_none());
    assert!(told.evaluate(Transition::Raised, "2012-03"));
    assert_eq!(
        (told.standing().condition, told.standing().stage),
        (Condition::Holds, Stage::Asked)
    );
}

#[test]
fn evaluations_that_say_nothing_new_are_ignored() {
    let mut told = Told::default();
    for transition in [
        Transition::Updated,
        Transition::Cleared,
        Transition::Withdrawn,
    ] {
        assert!(
            !told.evaluate(transition, "2012-03"),
            "{transition:?} before it was raised"
        );
    }
    assert!(told.book.get(ID).is_none());
    assert!(told.evaluate(Transition::Raised, "2012-03"));
    assert!(!told.evaluate(Transition::Raised, "2012-03"));
    assert!(
        !told.evaluate(Transition::Updated, "2012-03"),
        "the same finding again"
    );
    assert!(told.evaluate(Transition::Updated, "2012-04"));
    assert!(told.evaluate(Transition::Cleared, "2012-05"));
    for transition in [
        Transition::Raised,
        Transition::Updated,
        Transition::Cleared,
        Transition::Withdrawn,
        Transition::Suppressed,
    ] {
        assert!(
            !told.evaluate(transition, "2012-05"),
            "{transition:?} after it was cleared"
        );
    }
    assert_eq!(told.book.get(ID).unwrap().history.len(), 3);
}

#[test]
fn the_past_keeps_its_standing() {
    let mut told = Told::raised();
    told.act("k1", Act::Ask);
    told.evaluate(Transition::Updated, "2012-04");
    told.evaluate(Transition::Cleared, "2012-05");
    let alert = told.book.get(ID).unwrap();
    let at = |at: &KnownAt| {
        alert.known(at).map(|s| {
            (
                s.condition,
                s.stage,
                s.finding.period.to_string(),
                s.changed.offset,
            )
        })
    };
    let told_at =
        |condition, stage, month: &str, offset| Some((condition, stage, month.to_owned(), offset));
    assert_eq!(at(&KnownAt::Time(999)), None);
    assert_eq!(
        at(&KnownAt::Time(1_000)),
        told_at(Condition::Holds, Stage::Raised, "2012-03", 10)
    );
    assert_eq!(
        at(&KnownAt::Time(2_999)),
        told_at(Condition::Holds, Stage::Asked, "2012-03", 20)
    );
    let cut = |next| KnownAt::Cut([(9, next)].into_iter().collect());
    assert_eq!(at(&cut(10)), None);
    assert_eq!(
        at(&cut(31)),
        told_at(Condition::Holds, Stage::Asked, "2012-04", 30)
    );
    assert_eq!(
        at(&LATEST),
        told_at(Condition::Cleared, Stage::Asked, "2012-05", 40)
    );
    assert!(told.book.current("R01", &cut(31)).is_some());
    assert!(told.book.current("R01", &LATEST).is_none());
    assert!(told.book.current("R02", &cut(31)).is_none());
}

#[test]
fn an_act_applied_twice_counts_once() {
    let mut told = Told::raised();
    let ask = AlertFact::Acted(acted(ID, "k1", Act::Ask));
    let answer = AlertFact::Acted(acted(ID, "k2", Act::Answer));
    assert!(told.book.apply(stamp(20), ask.clone()));
    assert!(told.book.apply(stamp(30), answer.clone()));
    let before = told.book.clone();
    assert!(!told.book.apply(stamp(20), ask));
    assert!(!told.book.apply(stamp(30), answer));
    assert_eq!(told.book, before);
}

fn any_fact() -> impl Strategy<Value = AlertFact> {
    let transition = prop_oneof![
        Just(Transition::Raised),
        Just(Transition::Updated),
        Just(Transition::Cleared),
        Just(Transition::Withdrawn),
        Just(Transition::Suppressed),
    ];
    let id = prop_oneof![Just("A"), Just("B")];
    prop_oneof![
        (id.clone(), transition, 1..4).prop_map(|(id, t, month)| evaluated(
            id,
            t,
            finding("RA1", &format!("2012-0{month}"), Severity::Red)
        )),
        (id, 0_usize..6, 0_usize..5).prop_map(|(id, act, key)| AlertFact::Acted(acted(
            id,
            ["", "1", "2", "3", "4"][key],
            Act::ALL[act]
        ))),
    ]
}

proptest! {
    #[test]
    fn facts_applied_twice_change_nothing_and_old_answers_can_be_found_again(
        facts in prop::collection::vec(any_fact(), 1..40),
        again in prop::collection::vec(any::<prop::sample::Index>(), 1..10),
    ) {
        let mut book = AlertBook::default();
        let mut answers = Vec::new();
        for (i, fact) in facts.iter().enumerate() {
            answers.push(book.apply(stamp(i as u64 * 3), fact.clone()));
        }
        let before = book.clone();
        for index in again {
            let i = index.index(facts.len());
            prop_assert!(!book.apply(stamp(i as u64 * 3), facts[i].clone()));
        }
        prop_assert_eq!(&book, &before);
        for (i, fact) in facts.iter().enumerate() {
            if let AlertFact::Acted(acted) = fact {
                let accepted = book.decide_before(i as u64 * 3, acted) == ActDecision::Accepted;
                prop_assert_eq!(accepted, answers[i], "fact {}", i);
            }
        }
        for alert in book.iter() {
            for events in 1..=alert.history.len() {
                let standing = alert.after_events(events).unwrap();
                prop_assert_eq!(standing.legal_acts().is_empty(), standing.stage == Stage::Closed);
            }
        }
    }
}
