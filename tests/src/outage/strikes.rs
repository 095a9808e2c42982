//! Which failures there are, and when each of them comes: a function of the seed.
//!
//! When is told in acknowledged sendings and not in seconds, so that a replay meets a similar moment on a slower machine, too.

use std::fmt::{self, Display};
use std::ops::Range;
use std::time::Duration;

use clap::ValueEnum;

use crate::survive::plan::Plan;
use crate::survive::seed::Seeded;

/// What is done to the house or its brokers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Kind {
    /// SIGKILL to a process of the house, which is started again.
    KillService,
    /// SIGTERM to a process of the house, which has to end in order and is started again.
    StopService,
    /// SIGSTOP to a process of the house for longer than its session, and SIGCONT.
    PauseService,
    /// A process of the house is cut off from the brokers: connections break, or nothing passes.
    CutService,
    /// SIGKILL to one broker, which is started again.
    KillBroker,
    /// SIGKILL to the broker that is the active controller, which is started again.
    KillController,
    /// SIGKILL to two brokers of three, after which nothing can be acknowledged until both are started again.
    KillTwoBrokers,
    /// All brokers and all processes of the house end and are started again.
    RestartEverything,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::KillService,
        Self::StopService,
        Self::PauseService,
        Self::CutService,
        Self::KillBroker,
        Self::KillController,
        Self::KillTwoBrokers,
        Self::RestartEverything,
    ];
}

/// As the command line calls it.
impl Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value().expect("none is left away");
        f.write_str(value.get_name())
    }
}

/// A failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Strike {
    pub(crate) kind: Kind,
    /// Whoever evaluates is the victim, rather than the one that is named.
    pub(crate) evaluator: bool,
    /// The process that is the victim otherwise.
    pub(crate) service: usize,
    /// The broker that is the victim, and a second one.
    pub(crate) brokers: [usize; 2],
    /// So long after the sending that it waits for: it may come while nothing is sent and the rules are evaluated.
    pub(crate) delay: Duration,
    /// How long it lasts, beyond what it has to.
    pub(crate) hold: Duration,
    /// The worse way of two: nothing passes instead of breaking; everybody is killed instead of ended.
    pub(crate) harsh: bool,
}

/// A part of the load with one failure in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    /// These steps of the plan.
    pub(crate) steps: Range<usize>,
    /// The failure comes when so many of its sendings were answered.
    pub(crate) after: usize,
    pub(crate) strike: Strike,
}

/// The segments of a plan, so many as failures are wanted; half of them where alerts come and go, which is at the end.
///
/// `number` is that of the first failure within the run: kinds take turns over the whole run, in an order that is another one each round.
pub(crate) fn segments(
    plan: &Plan,
    seed: u64,
    kinds: &[Kind],
    number: usize,
    count: usize,
    processes: usize,
) -> Vec<Segment> {
    let whole = 0..plan.steps.len();
    let late = (count / 2).min(plan.steps.len() - plan.calm);
    let steps: Vec<Range<usize>> = if late == 0 {
        parts(whole, count).collect()
    } else {
        let calm = parts(0..plan.calm, count - late);
        calm.chain(parts(plan.calm..whole.end, late)).collect()
    };
    (number..)
        .zip(steps)
        .map(|(number, steps)| {
            let mut random = Seeded::new(seed, 1000 + number as u64);
            let sendings = plan.sendings_before(steps.end) - plan.sendings_before(steps.start);
            Segment {
                after: random.index(sendings + 1),
                strike: strike(kind(seed, kinds, number), processes, &mut random),
                steps,
            }
        })
        .collect()
}

/// A range in so many parts that are as even as they can be.
fn parts(whole: Range<usize>, count: usize) -> impl Iterator<Item = Range<usize>> {
    let (start, length) = (whole.start, whole.len());
    let edge = move |part: usize| start + part * length / count.max(1);
    (0..count).map(move |part| edge(part)..edge(part + 1))
}

/// The kind of the failure of this number: every round has each kind once.
fn kind(seed: u64, kinds: &[Kind], number: usize) -> Kind {
    let mut random = Seeded::new(seed, 10_000 + (number / kinds.len()) as u64);
    let mut round = kinds.to_vec();
    for last in (1..round.len()).rev() {
        round.swap(last, random.index(last + 1));
    }
    round[number % kinds.len()]
}

fn strike(kind: Kind, processes: usize, random: &mut Seeded) -> Strike {
    let broker = random.index(3);
    Strike {
        kind,
        evaluator: random.percent(67),
        service: random.index(processes),
        brokers: [broker, (broker + 1 + random.index(2)) % 3],
        delay: Duration::from_millis(random.of(0..250)),
        hold: Duration::from_millis(random.of(0..1500)),
        harsh: random.percent(50),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_seed_is_a_plan_of_failures_and_another_seed_is_another() {
        let plan = Plan::of_impatient(1);
        let of = |seed| segments(&plan, seed, &Kind::ALL, 0, 20, 3);
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
    }

    #[test]
    fn a_longer_run_begins_as_a_shorter_one_of_the_same_seed() {
        let kinds = |count| {
            let of = |number| kind(7, &Kind::ALL, number);
            (0..count).map(of).collect::<Vec<_>>()
        };
        assert_eq!(kinds(40)[..10], kinds(10));
    }

    #[test]
    fn every_round_has_every_kind_and_every_step_is_in_one_segment() {
        let plan = Plan::of_impatient(5);
        for count in [1, 2, 3, 8, 20, 200] {
            let all = segments(&plan, 5, &Kind::ALL, 0, count, 3);
            assert_eq!(all.len(), count);
            let steps: Vec<usize> = all.iter().flat_map(|s| s.steps.clone()).collect();
            assert_eq!(steps, (0..plan.steps.len()).collect::<Vec<_>>(), "{count}");
            for round in all.chunks_exact(Kind::ALL.len()) {
                let kinds: BTreeSet<Kind> = round.iter().map(|s| s.strike.kind).collect();
                assert_eq!(kinds.len(), Kind::ALL.len());
            }
            for Segment { strike, .. } in &all {
                assert_ne!(strike.brokers[0], strike.brokers[1]);
            }
        }
    }
}
