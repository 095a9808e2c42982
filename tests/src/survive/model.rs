//! What has to be true of a house that was killed, whatever happened to it. Pure: attempts and records in, faults out.
//!
//! The model knows nothing of how the house decides. It folds the records of the log again by its own few lines ([`fold`]) and holds three
//! things against each other: what was answered to clients, what the house shows, and what the log holds. That a return is told from all
//! others by its token, which travels in its narrative, is all that it asks of the returns.

use std::collections::{BTreeMap, BTreeSet};

/// Which return: what its revisions are counted by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slot {
    /// Whose.
    pub org: String,
    /// `quality` or `savings`.
    pub dataset: &'static str,
    /// YYYY-MM.
    pub period: String,
}

/// What a client wants to be stored.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wanted {
    /// Where it goes.
    pub slot: Slot,
    /// Stands for the content: equal tokens are equal contents.
    pub token: String,
    /// Idempotency key; empty: none.
    pub key: String,
    /// The revision that the sender believes to be current.
    pub expected: Option<u32>,
    /// A dry run, which must leave no trace.
    pub dry_run: bool,
}

/// What was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It became this revision.
    Accepted(u32),
    /// It repeats this revision.
    Repeat(u32),
    /// This revision is current, and not the expected one.
    Conflict(u32),
    /// The key was used for other content, which is this revision.
    KeyReused(u32),
    /// It has faults.
    Refused,
}

/// Where a record stands: partition of the returns topic, offset.
pub type Place = (u16, u64);

/// One attempt of a client to have something stored. Moments are ticks of one counter, so that what was over before something else began
/// is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Index of what is wanted.
    pub wanted: usize,
    /// When it was sent.
    pub began: u64,
    /// When its end was known.
    pub ended: u64,
    /// Nothing: no answer came, so that it may or may not be stored.
    pub answer: Option<(Answer, Option<Place>)>,
}

/// All that clients did.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// What they wanted.
    pub wanted: Vec<Wanted>,
    /// What they did for it.
    pub attempts: Vec<Attempt>,
}

/// A record of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Where it stands.
    pub place: Place,
    /// When the log accepted it, Unix milliseconds.
    pub time_ms: i64,
    /// What it says; never a dry run.
    pub wanted: Wanted,
}

/// A revision, as the house shows it or as the model folds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// From 1.
    pub number: u32,
    /// Where its record stands.
    pub place: Place,
    /// Its content.
    pub token: String,
}

/// The revisions of everything, and what each record became.
#[derive(Clone, Debug, Default)]
pub struct Folded {
    /// By slot, oldest first.
    pub revisions: BTreeMap<Slot, Vec<Shown>>,
    /// By record.
    pub decisions: BTreeMap<Place, Answer>,
}

/// What the records come to, by the contract's words: a known key is a repeat or was reused, what is current already is a repeat, another
/// revision than the expected one is a conflict, everything else is the next revision.
#[must_use]
pub fn fold(records: &[Stored]) -> Folded {
    let mut sorted: Vec<&Stored> = records.iter().collect();
    sorted.sort_by_key(|record| record.place);
    let mut folded = Folded::default();
    let mut keys: BTreeMap<(Slot, String), u32> = BTreeMap::new();
    for record in sorted {
        let Wanted {
            slot,
            token,
            key,
            expected,
            ..
        } = &record.wanted;
        let revisions = folded.revisions.entry(slot.clone()).or_default();
        let current = revisions.last().map_or(0, |revision| revision.number);
        let known = keys.get(&(slot.clone(), key.clone())).copied();
        let decision = match known {
            Some(number)
                if revisions
                    .iter()
                    .any(|r| r.number == number && r.token == *token) =>
            {
                Answer::Repeat(number)
            }
            Some(number) => Answer::KeyReused(number),
            None if revisions.last().is_some_and(|last| last.token == *token) => {
                Answer::Repeat(current)
            }
            None if expected.is_some_and(|expected| expected != current) => {
                Answer::Conflict(current)
            }
            None => {
                revisions.push(Shown {
                    number: current + 1,
                    place: record.place,
                    token: token.clone(),
                });
                Answer::Accepted(current + 1)
            }
        };
        if let Answer::Accepted(number) | Answer::Repeat(number) = decision
            && !key.is_empty()
        {
            keys.entry((slot.clone(), key.clone())).or_insert(number);
        }
        folded.decisions.insert(record.place, decision);
    }
    folded
}

/// What is wrong with the revisions of a slot as the house shows them, given everything that was answered up to `asked`.
///
/// Holds or is told: numbers run from 1 without gaps and places rise; every revision is something that a client wanted, and no (content, key)
/// is there twice; everything accepted is there under its number and at its place; what was answered with another decision names a
/// revision that is there and says the right thing.
#[must_use]
pub fn check_shown(history: &History, slot: &Slot, shown: &[Shown], asked: u64) -> Vec<String> {
    let mut faults = Vec::new();
    for (index, revision) in shown.iter().enumerate() {
        if revision.number as usize != index + 1 {
            faults.push(format!(
                "{slot:?}: revision {} stands where {} belongs",
                revision.number,
                index + 1
            ));
        }
    }
    if shown.windows(2).any(|pair| pair[0].place >= pair[1].place) {
        faults.push(format!(
            "{slot:?}: revisions do not stand in the order of the log"
        ));
    }
    faults.extend(doubled(history, slot, shown));
    let answered = history.attempts.iter().filter(|a| a.ended <= asked);
    for attempt in answered {
        let wanted = &history.wanted[attempt.wanted];
        if wanted.slot == *slot && !wanted.dry_run {
            faults.extend(check_answer(wanted, attempt, shown));
        }
    }
    faults
}

/// More revisions of a content than clients wanted, by the keys that they wanted it with; or a revision that nobody wanted.
fn doubled(history: &History, slot: &Slot, shown: &[Shown]) -> Vec<String> {
    let mut left: BTreeMap<&str, usize> = BTreeMap::new();
    let wanted: BTreeSet<&Wanted> = history
        .wanted
        .iter()
        .filter(|wanted| wanted.slot == *slot && !wanted.dry_run)
        .collect();
    for wanted in wanted {
        *left.entry(&wanted.token).or_default() += 1;
    }
    let mut faults = Vec::new();
    for revision in shown {
        match left.get_mut(revision.token.as_str()) {
            Some(left) if *left > 0 => *left -= 1,
            Some(_) => faults.push(format!("{slot:?}: {} is there twice", revision.token)),
            None => faults.push(format!("{slot:?}: nobody sent {}", revision.token)),
        }
    }
    faults
}

fn check_answer(wanted: &Wanted, attempt: &Attempt, shown: &[Shown]) -> Option<String> {
    let (answer, place) = attempt.answer?;
    let revision = |number: u32| shown.iter().find(|revision| revision.number == number);
    let fault = |what: String| {
        Some(format!(
            "{wanted:?} was answered {answer:?} at {place:?}: {what}"
        ))
    };
    match answer {
        Answer::Accepted(number) => match revision(number) {
            None => fault("LOST: there is no such revision".to_owned()),
            Some(held) if held.token != wanted.token => fault(format!("the revision is {held:?}")),
            Some(held) if Some(held.place) != place => {
                fault(format!("it stands at {:?}", held.place))
            }
            Some(_) => None,
        },
        Answer::Repeat(number) => match revision(number) {
            None => fault("LOST: there is no such revision".to_owned()),
            Some(held) if held.token != wanted.token => fault(format!("the revision is {held:?}")),
            Some(_) => None,
        },
        Answer::Conflict(0) => (wanted.expected == Some(0))
            .then(|| format!("{wanted:?}: 0 was expected, and there is none")),
        Answer::Conflict(number) => match revision(number) {
            None => fault("LOST: there is no such revision".to_owned()),
            Some(_) if wanted.expected == Some(number) => {
                fault("it is the expected one".to_owned())
            }
            Some(_) => None,
        },
        Answer::KeyReused(number) => match revision(number) {
            None => fault("LOST: there is no such revision".to_owned()),
            Some(held) if held.token == wanted.token => fault("it is the same content".to_owned()),
            Some(_) => None,
        },
        Answer::Refused => shown
            .iter()
            .find(|held| held.token == wanted.token)
            .and_then(|held| fault(format!("it became {held:?}"))),
    }
}

/// Whether an attempt may stand in the log more than once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copies {
    /// A log on one machine writes what it is given once.
    Never,
    /// The client of Kafka may write again what was stored before its answer was lost. That has to change nothing.
    WithoutEffect,
}

/// What is wrong with a log, given all that clients did and what the house showed at the end.
///
/// Beyond [`check_shown`] of every slot: what the house shows is what the model folds; every answer that came with a record is what that
/// record became; every record is an attempt of a client (or its copy, where there may be such), and none is of a dry run or of something refused; what was acknowledged before
/// something else began stands before it; time never decreases in a partition; everything got its answer, and after the first decision
/// every later one is the same or its repeat.
#[must_use]
pub fn check_log(
    history: &History,
    records: &[Stored],
    shown: &BTreeMap<Slot, Vec<Shown>>,
    copies: Copies,
) -> Vec<String> {
    let folded = fold(records);
    let mut faults = Vec::new();
    let slots: BTreeSet<&Slot> = history.wanted.iter().map(|wanted| &wanted.slot).collect();
    for slot in slots {
        let held = shown.get(slot).map_or(&[][..], Vec::as_slice);
        let expected = folded.revisions.get(slot).map_or(&[][..], Vec::as_slice);
        if held != expected {
            faults.push(format!(
                "{slot:?}: shown {held:?}, and the log holds {expected:?}"
            ));
        }
        faults.extend(check_shown(history, slot, held, u64::MAX));
    }
    faults.extend(check_records(history, records, &folded, copies));
    faults.extend(check_decisions(history, &folded));
    faults.extend(check_order(history, records));
    faults.extend(check_retries(history));
    faults
}

fn check_records(
    history: &History,
    records: &[Stored],
    folded: &Folded,
    copies: Copies,
) -> Vec<String> {
    let (unsent, more) = surplus(history, records);
    let changes = |record: &&&Stored| {
        let became = folded.decisions.get(&record.place);
        copies == Copies::Never || matches!(became, Some(Answer::Accepted(_)))
    };
    let wrong = unsent.iter().chain(more.iter().filter(changes));
    wrong
        .map(|record| format!("the log holds {record:?}, which nobody sent (so often)"))
        .collect()
}

/// Records that nobody sent, and those that stand there more often than they were sent.
pub(crate) fn surplus<'a>(
    history: &History,
    records: &'a [Stored],
) -> (Vec<&'a Stored>, Vec<&'a Stored>) {
    let mut attempts: BTreeMap<&Wanted, usize> = BTreeMap::new();
    for attempt in &history.attempts {
        let refused = matches!(attempt.answer, Some((Answer::Refused, _)));
        let wanted = &history.wanted[attempt.wanted];
        if !refused && !wanted.dry_run {
            *attempts.entry(wanted).or_default() += 1;
        }
    }
    let (mut unsent, mut more) = (Vec::new(), Vec::new());
    for record in records {
        match attempts.get_mut(&record.wanted) {
            Some(left) if *left > 0 => *left -= 1,
            Some(_) => more.push(record),
            None => unsent.push(record),
        }
    }
    (unsent, more)
}

fn check_decisions(history: &History, folded: &Folded) -> Vec<String> {
    let mut faults = Vec::new();
    for attempt in &history.attempts {
        let wanted = &history.wanted[attempt.wanted];
        let Some((answer, Some(place))) = attempt.answer else {
            continue;
        };
        match folded.decisions.get(&place) {
            None => faults.push(format!(
                "LOST: {wanted:?} was answered {answer:?} at {place:?}, and no record is there"
            )),
            Some(became) if *became == answer => {}
            // A remembered repeat is answered with the place of the revision that it repeats.
            Some(Answer::Accepted(number)) if answer == Answer::Repeat(*number) => {}
            Some(became) => faults.push(format!(
                "{wanted:?} was answered {answer:?} at {place:?}, where the log says {became:?}"
            )),
        }
    }
    faults
}

fn check_order(history: &History, records: &[Stored]) -> Vec<String> {
    let mut faults = Vec::new();
    let mut by_place: Vec<&Stored> = records.iter().collect();
    by_place.sort_by_key(|record| record.place);
    for pair in by_place.windows(2) {
        if pair[0].place.0 == pair[1].place.0 && pair[0].time_ms > pair[1].time_ms {
            faults.push(format!(
                "time decreases from {:?} to {:?}",
                pair[0], pair[1]
            ));
        }
    }
    // Of what was accepted, per partition, in the order in which it began: nothing that ended before may stand behind.
    let mut accepted: Vec<(u64, u64, Place)> = Vec::new();
    for attempt in &history.attempts {
        if let Some((Answer::Accepted(_), Some(place))) = attempt.answer {
            accepted.push((attempt.began, attempt.ended, place));
        }
    }
    for (_, ended, before) in &accepted {
        let overtaken = accepted
            .iter()
            .find(|(began, _, after)| began > ended && after.0 == before.0 && after.1 < before.1);
        if let Some((_, _, after)) = overtaken {
            faults.push(format!(
                "{after:?} was sent after {before:?} had been acknowledged"
            ));
        }
    }
    faults
}

/// Every client went on until it had an answer, and answers of the same thing with the same key agree.
fn check_retries(history: &History) -> Vec<String> {
    let mut faults = Vec::new();
    let mut answers: Vec<Vec<Answer>> = vec![Vec::new(); history.wanted.len()];
    for attempt in &history.attempts {
        answers[attempt.wanted].extend(attempt.answer.map(|(answer, _)| answer));
    }
    for (wanted, answers) in history.wanted.iter().zip(answers) {
        let Some(first) = answers.first() else {
            faults.push(format!("{wanted:?} was never answered"));
            continue;
        };
        for later in &answers[1..] {
            let agrees = match (first, later) {
                (Answer::Accepted(first) | Answer::Repeat(first), Answer::Repeat(later)) => {
                    first == later
                }
                (Answer::KeyReused(first), Answer::KeyReused(later)) => first == later,
                // Asked again, it is judged against what is current then.
                (Answer::Conflict(_), Answer::Conflict(_)) => true,
                (first, later) => first == later && (wanted.dry_run || *first == Answer::Refused),
            };
            if !agrees && !wanted.dry_run {
                faults.push(format!(
                    "{wanted:?} was answered {first:?}, and then {later:?}"
                ));
            }
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(token: &str, key: &str, expected: Option<u32>) -> Wanted {
        let slot = Slot {
            org: "RA1".into(),
            dataset: "quality",
            period: "2011-04".into(),
        };
        Wanted {
            slot,
            token: token.into(),
            key: key.into(),
            expected,
            dry_run: false,
        }
    }

    fn stored(offset: u64, wanted: &Wanted) -> Stored {
        Stored {
            place: (0, offset),
            time_ms: 5,
            wanted: wanted.clone(),
        }
    }

    fn attempt(wanted: usize, began: u64, answer: Option<(Answer, Option<Place>)>) -> Attempt {
        Attempt {
            wanted,
            began,
            ended: began + 1,
            answer,
        }
    }

    /// A first return whose answer was lost, its retry, a revision, a conflict.
    fn sound() -> (History, Vec<Stored>) {
        let history = History {
            wanted: vec![
                wanted("a", "k1", None),
                wanted("b", "k2", Some(1)),
                wanted("c", "", Some(1)),
            ],
            attempts: vec![
                attempt(0, 1, None),
                attempt(0, 3, Some((Answer::Repeat(1), Some((0, 0))))),
                attempt(1, 5, Some((Answer::Accepted(2), Some((0, 1))))),
                attempt(2, 7, Some((Answer::Conflict(2), Some((0, 2))))),
            ],
        };
        let records = (0..3)
            .map(|i| stored(i as u64, &history.wanted[i]))
            .collect();
        (history, records)
    }

    fn faults(history: &History, records: &[Stored]) -> Vec<String> {
        check_log(history, records, &fold(records).revisions, Copies::Never)
    }

    #[test]
    fn a_lost_answer_and_its_retry_are_sound() {
        let (history, records) = sound();
        assert_eq!(faults(&history, &records), Vec::<String>::new());
    }

    #[test]
    fn keys_expectations_and_contents_decide_as_the_contract_says() {
        let all = [
            (wanted("a", "k1", None), Answer::Accepted(1)),
            (wanted("a", "k9", Some(7)), Answer::Repeat(1)),
            (wanted("b", "", Some(0)), Answer::Conflict(1)),
            (wanted("b", "k2", Some(1)), Answer::Accepted(2)),
            (wanted("a", "k1", None), Answer::Repeat(1)),
            (wanted("a", "k9", None), Answer::Repeat(1)),
            (wanted("c", "k2", None), Answer::KeyReused(2)),
            (wanted("a", "", None), Answer::Accepted(3)),
        ];
        let records: Vec<Stored> = (0..)
            .zip(&all)
            .map(|(i, (wanted, _))| stored(i, wanted))
            .collect();
        for (offset, (_, became)) in (0..).zip(&all) {
            assert_eq!(fold(&records).decisions[&(0, offset)], *became, "{offset}");
        }
    }

    #[test]
    fn a_lost_return_is_found() {
        let (history, mut records) = sound();
        records.truncate(1);
        assert!(
            faults(&history, &records)
                .iter()
                .any(|fault| fault.contains("LOST"))
        );
        let shown = fold(&records).revisions;
        let slot = &history.wanted[0].slot;
        let told = check_shown(&history, slot, &shown[slot], u64::MAX);
        assert!(told.iter().any(|fault| fault.contains("LOST")), "{told:?}");
        // Before it was answered nothing can be said.
        assert_eq!(
            check_shown(&history, slot, &shown[slot], 5),
            Vec::<String>::new()
        );
    }

    #[test]
    fn a_doubled_return_is_found() {
        let (mut history, _) = sound();
        history.wanted[0].key.clear();
        let records: Vec<Stored> = [0, 1, 0]
            .iter()
            .zip(0..)
            .map(|(i, at)| stored(at, &history.wanted[*i]))
            .collect();
        assert!(
            faults(&history, &records)
                .iter()
                .any(|fault| fault.contains("is there twice"))
        );
    }

    #[test]
    fn a_copy_is_found_where_there_may_be_none_and_where_it_changes_anything() {
        let found = |records: &[Stored], copies| {
            let (history, shown) = (sound().0, fold(records).revisions);
            !check_log(&history, records, &shown, copies).is_empty()
        };
        let (history, mut records) = sound();
        for offset in 3..6 {
            records.push(stored(offset, &history.wanted[1]));
        }
        assert!(found(&records, Copies::Never));
        assert!(!found(&records, Copies::WithoutEffect));
        assert_eq!(surplus(&history, &records).1.len(), 3);
        // What nobody sent is no copy, and what becomes a revision has an effect.
        records.push(stored(6, &wanted("x", "k7", None)));
        assert!(found(&records, Copies::WithoutEffect));
        let (mut history, _) = sound();
        history.wanted[0].key.clear();
        history.attempts.remove(0);
        let order = [0, 1, 0].into_iter().zip(0..);
        let records: Vec<Stored> = order
            .map(|(i, at)| stored(at, &history.wanted[i]))
            .collect();
        let faults = check_records(&history, &records, &fold(&records), Copies::WithoutEffect);
        assert_eq!(faults.len(), 1, "{faults:?}");
    }

    #[test]
    fn a_record_that_nobody_sent_is_found_and_so_is_one_of_a_dry_run() {
        let (history, mut records) = sound();
        records.push(stored(3, &wanted("x", "k7", None)));
        assert!(
            faults(&history, &records)
                .iter()
                .any(|fault| fault.contains("nobody sent"))
        );
        let (mut history, records) = sound();
        history.wanted[1].dry_run = true;
        assert!(!faults(&history, &records).is_empty());
    }

    #[test]
    fn a_wrong_number_a_wrong_place_and_a_gap_are_found() {
        for answer in [
            (Answer::Accepted(3), Some((0, 1))),
            (Answer::Accepted(2), Some((0, 2))),
        ] {
            let (mut history, records) = sound();
            history.attempts[2].answer = Some(answer);
            assert!(!faults(&history, &records).is_empty(), "{answer:?}");
        }
        let (history, records) = sound();
        let slot = history.wanted[0].slot.clone();
        let mut shown = fold(&records).revisions;
        shown.get_mut(&slot).unwrap()[1].number = 3;
        assert!(
            check_log(&history, &records, &shown, Copies::Never)
                .iter()
                .any(|fault| fault.contains("belongs"))
        );
    }

    #[test]
    fn what_overtakes_an_acknowledged_return_is_found_and_so_is_time_that_decreases() {
        let (mut history, mut records) = sound();
        (history.attempts[2].began, history.attempts[2].ended) = (50, 51);
        history.attempts[3] = attempt(2, 60, Some((Answer::Accepted(3), Some((0, 0)))));
        assert!(
            faults(&history, &records)
                .iter()
                .any(|fault| fault.contains("had been acknowledged"))
        );
        let (history, _) = sound();
        records[2].time_ms = 4;
        assert!(
            faults(&history, &records)
                .iter()
                .any(|fault| fault.contains("time decreases"))
        );
    }

    #[test]
    fn what_was_never_answered_and_answers_that_disagree_are_found() {
        let (mut history, records) = sound();
        history.attempts.pop();
        assert!(
            faults(&history, &records)
                .iter()
                .any(|fault| fault.contains("never answered"))
        );
        let (mut history, records) = sound();
        history
            .attempts
            .push(attempt(0, 90, Some((Answer::Accepted(1), Some((0, 0))))));
        assert!(
            faults(&history, &records)
                .iter()
                .any(|fault| fault.contains("and then"))
        );
    }
}
