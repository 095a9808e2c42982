//! Whose turn it is to evaluate: decided by what the log shows, not by what a process believes.
//!
//! The log chooses one of the processes that stand. That is a hint: one that was paused believes for a moment longer that it is chosen. So the
//! chosen one begins an epoch in every lane that it will write to, and evaluates only while each of them shows that epoch as its own. What
//! it writes then is seen, and what anybody writes under a lower epoch is not (`qipp_domain::tenure`). Two can never hold the same epoch,
//! because in each lane the first to begin it has it.
//!
//! Nothing here reads a clock, the log or the fold: they are handed in.

use std::time::Duration;

use qipp_domain::tenure::Tenure;
use tokio::time::Instant;

/// What a process that could evaluate has to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Another one evaluates. To be asked again when the choice or a lane has changed, and at that moment.
    StandBy(Option<Instant>),
    /// Begin this epoch in every lane, and ask again when all of that is folded.
    Begin(u64),
    /// Evaluate, and write under this epoch.
    Evaluate(u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Until that moment also when it is chosen.
    StandingBy(Option<Instant>),
    Beginning(u64),
    Evaluating(u64),
}

/// A process that could evaluate.
#[derive(Debug)]
pub(crate) struct Candidate {
    holder: String,
    /// Several processes may write to the log. Where there is one, it needs no epoch of its own.
    shared: bool,
    patience: Duration,
    state: State,
}

impl Candidate {
    /// `patience`: when it is superseded and chosen all the same, one of the two is mistaken; so much time it gets to find out.
    pub(crate) fn new(holder: String, shared: bool, patience: Duration) -> Self {
        Self {
            holder,
            shared,
            patience,
            state: State::StandingBy(None),
        }
    }

    /// What it begins in every lane to have an epoch.
    pub(crate) fn tenure(&self, epoch: u64) -> Tenure {
        Tenure {
            epoch,
            holder: self.holder.clone(),
        }
    }

    /// What to do, given whether the log has chosen this process and what its lanes show.
    pub(crate) fn order(&mut self, now: Instant, chosen: bool, lanes: &[Option<Tenure>]) -> Order {
        let highest = lanes.iter().flatten().map(|held| held.epoch).max();
        let highest = highest.unwrap_or(0);
        if !self.shared {
            // It goes on where others left off, so that a log that several wrote to can come back to one machine.
            return Order::Evaluate(highest);
        }
        self.state = match self.state {
            _ if !chosen => State::StandingBy(None),
            State::StandingBy(Some(until)) if until > now => self.state,
            State::Beginning(epoch) | State::Evaluating(epoch) if self.holds(epoch, lanes) => {
                State::Evaluating(epoch)
            }
            State::Evaluating(_) => State::StandingBy(Some(now + self.patience)),
            State::Beginning(epoch) if self.is_anothers(epoch, lanes) => {
                State::StandingBy(Some(now + self.patience))
            }
            // Also when two began at the same time and each was first in some lanes.
            State::StandingBy(_) | State::Beginning(_) => State::Beginning(highest + 1),
        };
        match self.state {
            State::StandingBy(until) => Order::StandBy(until),
            State::Beginning(epoch) => Order::Begin(epoch),
            State::Evaluating(epoch) => Order::Evaluate(epoch),
        }
    }

    /// May it still write what it has computed since it was told to evaluate?
    pub(crate) fn may_write(&self, chosen: bool, lanes: &[Option<Tenure>]) -> bool {
        match self.state {
            _ if !self.shared => true,
            State::Evaluating(epoch) => chosen && self.holds(epoch, lanes),
            _ => false,
        }
    }

    fn holds(&self, epoch: u64, lanes: &[Option<Tenure>]) -> bool {
        let own = |held: &Tenure| held.epoch == epoch && held.holder == self.holder;
        lanes.iter().all(|held| held.as_ref().is_some_and(own))
    }

    /// Has one other process all the lanes, with an epoch that is not below this one?
    fn is_anothers(&self, epoch: u64, lanes: &[Option<Tenure>]) -> bool {
        let Some(Some(first)) = lanes.first() else {
            return false;
        };
        first.epoch >= epoch
            && first.holder != self.holder
            && lanes.iter().all(|held| held.as_ref() == Some(first))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(5);

    fn held(epoch: u64, holder: &str) -> Option<Tenure> {
        let holder = holder.to_owned();
        Some(Tenure { epoch, holder })
    }

    fn me() -> Candidate {
        Candidate::new("me".to_owned(), true, PATIENCE)
    }

    /// Chosen?, what three lanes show, seconds since the start, and what the process has to do.
    type Step = (bool, [Option<Tenure>; 3], u64, Order);

    #[test]
    fn it_evaluates_only_while_every_lane_is_its_own() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let none = || [None, None, None];
        let all = |epoch, holder: &str| [(); 3].map(|()| held(epoch, holder));
        let mixed = |other: u64| [held(1, "me"), held(other, "you"), held(1, "me")];
        use Order::{Begin, Evaluate, StandBy};
        let tables: [&[Step]; 6] = [
            // The first one, until it is not chosen any more; chosen again it begins anew.
            &[
                (false, none(), 0, StandBy(None)),
                (true, none(), 0, Begin(1)),
                (true, all(1, "me"), 1, Evaluate(1)),
                (true, all(1, "me"), 9, Evaluate(1)),
                (false, all(1, "me"), 10, StandBy(None)),
                (true, all(1, "me"), 11, Begin(2)),
                (true, all(2, "me"), 12, Evaluate(2)),
            ],
            // It takes over from another one.
            &[
                (false, all(4, "you"), 0, StandBy(None)),
                (true, all(4, "you"), 0, Begin(5)),
                (true, all(5, "me"), 1, Evaluate(5)),
            ],
            // Another one has taken over in one lane, and the choice is not known here yet: it waits, and then tries.
            &[
                (true, none(), 0, Begin(1)),
                (true, all(1, "me"), 1, Evaluate(1)),
                (true, mixed(2), 2, StandBy(Some(at(7)))),
                (true, all(2, "you"), 6, StandBy(Some(at(7)))),
                (true, all(2, "you"), 7, Begin(3)),
            ],
            // The same, and in the meantime it learns that it is not chosen; later it is, and has nothing to wait for.
            &[
                (true, none(), 0, Begin(1)),
                (true, all(1, "me"), 1, Evaluate(1)),
                (true, all(2, "you"), 2, StandBy(Some(at(7)))),
                (false, all(2, "you"), 3, StandBy(None)),
                (true, all(2, "you"), 4, Begin(3)),
            ],
            // Two begin at the same time: each is first somewhere, so nobody has the epoch.
            &[
                (true, none(), 0, Begin(1)),
                (true, mixed(1), 1, Begin(2)),
                (true, all(2, "me"), 2, Evaluate(2)),
            ],
            // The other one was first everywhere; or nothing of what was begun has arrived.
            &[
                (true, all(1, "you"), 0, Begin(2)),
                (true, all(1, "you"), 1, Begin(2)),
                (true, all(2, "you"), 2, StandBy(Some(at(7)))),
            ],
        ];
        for (number, table) in tables.iter().enumerate() {
            let mut candidate = me();
            for (step, (chosen, lanes, seconds, expected)) in table.iter().enumerate() {
                let order = candidate.order(at(*seconds), *chosen, lanes);
                assert_eq!(order, *expected, "table {number}, step {step}");
                let evaluates = matches!(expected, Evaluate(_));
                assert_eq!(candidate.may_write(*chosen, lanes), evaluates);
            }
        }
    }

    #[test]
    fn between_two_orders_it_may_not_write_once_it_has_lost_its_turn() {
        let (mut candidate, now) = (me(), Instant::now());
        candidate.order(now, true, &[None, None]);
        let own = [held(1, "me"), held(1, "me")];
        assert_eq!(candidate.order(now, true, &own), Order::Evaluate(1));
        assert!(candidate.may_write(true, &own));
        assert!(!candidate.may_write(false, &own));
        assert!(!candidate.may_write(true, &[held(1, "me"), held(2, "you")]));
    }

    #[test]
    fn where_one_process_writes_it_goes_on_with_the_epoch_of_the_log_and_begins_none() {
        let mut alone = Candidate::new("me".to_owned(), false, PATIENCE);
        let now = Instant::now();
        for (lanes, epoch) in [
            ([None, None], 0),
            ([held(3, "you"), held(4, "you")], 4),
            ([None, held(4, "you")], 4),
        ] {
            assert_eq!(alone.order(now, true, &lanes), Order::Evaluate(epoch));
            assert!(alone.may_write(true, &lanes));
        }
    }
}
