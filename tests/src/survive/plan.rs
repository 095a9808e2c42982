//! What clients send in an episode: a function of the seed.
//!
//! The small nation of [`crate::harm`], month by month, and beside it trusts of which nothing depends and for which clients race. Each month has
//! three steps, and after each of them the rules have to have been evaluated:
//!
//! 1. from many clients at once: everybody but the harmed trust, and the races;
//! 2. the harmed trust's savings, alone;
//! 3. its quality, alone.
//!
//! Alone, because what an alert says depends on what had arrived when the rules looked. Where one return arrives between two evaluations,
//! that is the same in every run, however often the house is killed in between; where many do, it is not, and need not be: so nothing in the
//! first step is near any limit. After the last month the harm is restated away and back, so that alerts are withdrawn and raised again.

use qipp_api::proto::events::v1::r#return::Body;
use qipp_api::proto::events::v1::{Dataset, ReferenceFact, Return, ReturnStatus, Scheme};

use super::model::{Slot, Wanted};
use super::seed::Seeded;
use crate::facts::{due, nation_of, owes};
use crate::harm;
use crate::returns::{four_hours, measured};

/// Trusts for whose returns clients race.
const RACED: [&str; 4] = ["RX1", "RX2", "RX3", "RX4"];
/// A trust that owes a return and never sends it.
const SILENT: &str = "RZ1";
/// How many clients send at the same time, each one call after the other.
const CALLERS: usize = 6;
/// How many clients send through a bulk stream.
const STREAMS: usize = 2;

/// One thing to send.
#[derive(Clone, Debug)]
pub(crate) struct Sending {
    pub(crate) wanted: Wanted,
    pub(crate) message: Return,
    /// Send it again when it has been answered.
    pub(crate) again: bool,
}

/// What one client sends in a step, in this order: indices of [`Plan::sendings`].
#[derive(Clone, Debug)]
pub(crate) struct Script {
    pub(crate) streamed: bool,
    pub(crate) sendings: Vec<usize>,
}

/// An episode.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) reference: Vec<ReferenceFact>,
    pub(crate) schemes: Vec<Scheme>,
    pub(crate) sendings: Vec<Sending>,
    /// Scripts of a step run at the same time.
    pub(crate) steps: Vec<Vec<Script>>,
    /// So many steps come before the first month of harm: nothing in them is near any limit.
    pub(crate) calm: usize,
}

impl Plan {
    pub(crate) fn new(seed: u64) -> Self {
        Self::make(seed, false)
    }

    /// For clients that give calls up. What was given up may arrive behind a later revision, and without a key it would be one itself: so
    /// what is revised later always has a key.
    pub(crate) fn of_impatient(seed: u64) -> Self {
        Self::make(seed, true)
    }

    fn make(seed: u64, keyed: bool) -> Self {
        let mut planner = Planner {
            random: Seeded::new(seed, 1),
            keyed,
            plan: Self {
                reference: reference(),
                schemes: schemes(),
                sendings: Vec::new(),
                steps: Vec::new(),
                calm: 0,
            },
        };
        planner.months();
        planner.restatements();
        planner.plan
    }

    /// How many sendings the first so many steps have: a plan numbers them step by step.
    pub(crate) fn sendings_before(&self, step: usize) -> usize {
        let scripts = self.steps[..step].iter().flatten();
        let last = scripts.flat_map(|script| &script.sendings).max();
        last.map_or(0, |last| last + 1)
    }
}

fn reference() -> Vec<ReferenceFact> {
    let trusts: Vec<&str> = harm::trusts().collect();
    let (north, south) = trusts.split_at(6);
    let beside: Vec<&str> = RACED.into_iter().chain([SILENT]).collect();
    let mut facts = nation_of(&[("N01", north), ("S01", south), ("X01", &beside)]);
    facts.push(owes(SILENT, Dataset::Quality, harm::LAST));
    facts.push(due(Dataset::Quality, harm::LAST, harm::LAST_DAY));
    facts
}

fn schemes() -> Vec<Scheme> {
    let mut schemes = harm::schemes();
    for scheme in &mut schemes {
        scheme.idempotency_key = format!("scheme-{}", scheme.org_code);
    }
    schemes
}

/// The slot of a return.
pub(crate) fn slot_of(message: &Return) -> Slot {
    Slot {
        org: message.org_code.clone(),
        dataset: match message.body {
            Some(Body::Savings(_)) => "savings",
            _ => "quality",
        },
        period: message.period.clone(),
    }
}

struct Planner {
    random: Seeded,
    /// What is sent alone always has a key.
    keyed: bool,
    plan: Plan,
}

impl Planner {
    fn months(&mut self) {
        let months = harm::months();
        for (index, month) in months.iter().copied().enumerate() {
            if index + harm::HARMED_MONTHS == months.len() {
                self.plan.calm = self.plan.steps.len();
            }
            let mut scripts: Vec<Script> = (0..CALLERS + STREAMS)
                .map(|client| Script {
                    streamed: client >= CALLERS,
                    sendings: Vec::new(),
                })
                .collect();
            let mut alone = Vec::new();
            for message in harm::returns(month) {
                if message.org_code == harm::HARMED {
                    alone.push(message);
                } else {
                    let client = self.random.index(scripts.len());
                    let sendings = self.life(message);
                    scripts[client].sendings.extend(sendings);
                }
            }
            self.race(&month.to_string(), &mut scripts);
            self.plan.steps.push(scripts);
            alone.sort_by_key(|message| slot_of(message).dataset == "quality");
            for message in alone {
                self.alone(message, None);
            }
        }
    }

    /// The months of harm as they would have been without, and back.
    fn restatements(&mut self) {
        let months = harm::months();
        let harmed = &months[months.len() - harm::HARMED_MONTHS..];
        for (round, expected) in [(0, 1), (1, 2)] {
            for month in harmed {
                let was = || harm::returns(*month).into_iter().next();
                let mut message = if round == 0 {
                    harm::unharmed(*month)
                } else {
                    was().expect("the harmed trust is the first")
                };
                message.status = ReturnStatus::Restated.into();
                self.alone(message, Some(expected));
            }
        }
    }

    /// A return that is sent when nobody else sends anything.
    fn alone(&mut self, message: Return, expected: Option<u32>) {
        let key = self.random.percent(50) || self.keyed;
        let again = self.random.percent(30);
        let sending = self.sending(message, key, expected, false, again);
        self.plan.steps.push(vec![Script {
            streamed: false,
            sendings: vec![sending],
        }]);
    }

    /// Everything that one client does with a return. It ends with the figures of `message` being current.
    fn life(&mut self, message: Return) -> Vec<usize> {
        let mut all = Vec::new();
        let drafted = self.random.percent(35);
        if self.random.percent(10) {
            all.push(self.sending(message.clone(), true, None, true, false));
        }
        if drafted {
            let mut draft = message.clone();
            draft.status = ReturnStatus::Provisional.into();
            all.push(self.sending(draft, true, Some(0), false, false));
        }
        // Without a key a return that was sent again behind a later one is a change: so only what has no draft goes without.
        let keyed = drafted || self.random.percent(60);
        let again = self.random.percent(25);
        let expected = drafted.then_some(1);
        let last = self.sending(message.clone(), keyed, expected, false, again);
        all.push(last);
        if self.random.percent(8) {
            all.push(self.sending(message.clone(), true, Some(9), false, false));
        }
        if keyed && self.random.percent(8) {
            let other = self.sending(message.clone(), true, None, false, false);
            let key = self.plan.sendings[last].wanted.key.clone();
            let reused = &mut self.plan.sendings[other];
            reused.message.idempotency_key.clone_from(&key);
            reused.wanted.key = key;
            all.push(other);
        }
        if self.random.percent(5) {
            let mut faulty = message;
            faulty.body = four_hours("RA1", "2011-04", 120.0, 100.0).body;
            all.push(self.sending(faulty, true, None, false, false));
        }
        all
    }

    /// Three clients want the same return to be theirs, and two of them then revise whatever there is.
    fn race(&mut self, period: &str, scripts: &mut [Script]) {
        let org = RACED[self.random.index(RACED.len())];
        let message = four_hours(org, period, 90.0, 100.0);
        for client in scripts.iter_mut().take(3) {
            let again = self.random.percent(20);
            let first = self.sending(message.clone(), true, Some(0), false, again);
            client.sendings.push(first);
        }
        for client in scripts.iter_mut().skip(1).take(2) {
            let again = self.random.percent(20);
            let revision = self.sending(message.clone(), true, None, false, again);
            client.sendings.push(revision);
        }
        // Through a stream, too, and as whole as it can be: two markers.
        let mut whole = message;
        if let Some(Body::Quality(quality)) = &mut whole.body {
            quality
                .observations
                .push(measured("SICKNESS", 4_500.0, 100_000.0));
        }
        let streamed = self.sending(whole, true, None, false, false);
        scripts[CALLERS].sendings.push(streamed);
    }

    fn sending(
        &mut self,
        mut message: Return,
        keyed: bool,
        expected: Option<u32>,
        dry_run: bool,
        again: bool,
    ) -> usize {
        let number = self.plan.sendings.len();
        message.narrative = format!("sending {number}");
        message.expected_revision = expected;
        if keyed {
            message.idempotency_key = format!("key-{number}");
        }
        let wanted = Wanted {
            slot: slot_of(&message),
            token: message.narrative.clone(),
            key: message.idempotency_key.clone(),
            expected,
            dry_run,
        };
        self.plan.sendings.push(Sending {
            wanted,
            message,
            again,
        });
        number
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_seed_is_a_plan_and_another_seed_is_another() {
        let (one, same, other) = (Plan::new(1), Plan::new(1), Plan::new(2));
        let wanted = |plan: &Plan| {
            plan.sendings
                .iter()
                .map(|s| s.wanted.clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(wanted(&one), wanted(&same));
        assert_ne!(wanted(&one), wanted(&other));
    }

    #[test]
    fn sendings_are_numbered_step_by_step() {
        let plan = Plan::of_impatient(3);
        for step in 0..plan.steps.len() {
            let of_step = plan.steps[step].iter().flat_map(|s| &s.sendings);
            let held: BTreeSet<_> = of_step.copied().collect();
            let numbers = plan.sendings_before(step)..plan.sendings_before(step + 1);
            assert_eq!(held, numbers.collect(), "step {step}");
        }
        assert!(plan.calm > 90 && plan.calm < plan.steps.len());
        let alone = |step: &&Vec<Script>| step.len() == 1;
        let mut alone = plan.steps.iter().filter(alone).map(|s| s[0].sendings[0]);
        assert!(alone.all(|number| !plan.sendings[number].wanted.key.is_empty()));
    }

    #[test]
    fn a_plan_has_everything_that_clients_do() {
        let plan = Plan::new(7);
        let all = || plan.sendings.iter().map(|sending| &sending.wanted);
        assert!(all().any(|wanted| wanted.dry_run));
        assert!(all().any(|wanted| wanted.key.is_empty()));
        assert!(all().any(|wanted| wanted.expected == Some(9)));
        assert!(plan.sendings.iter().any(|sending| sending.again));
        let keys: Vec<_> = all()
            .filter(|w| !w.key.is_empty())
            .map(|w| (&w.slot, &w.key))
            .collect();
        let distinct: BTreeSet<_> = keys.iter().collect();
        assert!(distinct.len() < keys.len(), "a key is reused");
        let tokens: BTreeSet<_> = all().map(|wanted| &wanted.token).collect();
        assert_eq!(tokens.len(), plan.sendings.len());
        assert!(plan.steps.iter().filter(|step| step.len() == 1).count() > 70);
    }
}
