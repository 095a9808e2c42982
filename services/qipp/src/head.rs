//! Where the log really ends, and whether it stands still while somebody writes to it.
//!
//! Asked in the background, because on brokers it takes a round trip: whoever wants to know is answered from memory. What is concluded from
//! what was found is [`Ends`], which has no clock of its own.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use qipp_domain::Cut;
use qipp_eventlog::EventLog;
use qipp_projection::domain_cut;
use qipp_serving::Deps;

/// How often the log is asked.
const ASK: Duration = Duration::from_secs(5);

/// The longest that an answer is waited for; an adapter has a limit of its own.
const ANSWER: Duration = Duration::from_secs(10);

/// What is known. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct RealHead(Arc<Mutex<Ends>>);

/// One look at the log.
#[derive(Clone, Debug)]
struct Look {
    /// Where it ends, or why that can't be told.
    found: Result<Cut, String>,
    /// Where it ends as far as this process has heard of it.
    heard: Cut,
    /// Appends wait, or one has failed lately.
    is_written: bool,
}

/// What was found so far.
#[derive(Clone, Debug, Default)]
struct Ends {
    head: Cut,
    heard: Cut,
    unreachable: Option<(Instant, String)>,
    stalled: Option<Instant>,
}

impl Ends {
    fn look(&mut self, now: Instant, look: Look) {
        // Nobody has to hear of a record at once: only of what was there at the look before.
        let hears = look.heard.includes(&self.head) || look.heard != self.heard;
        let moves = match look.found {
            Ok(found) => {
                self.unreachable = None;
                let moves = found != self.head;
                self.head = found;
                moves
            }
            Err(why) => {
                self.unreachable.get_or_insert((now, String::new())).1 = why;
                false
            }
        };
        self.heard = look.heard;
        match hears && (moves || !look.is_written) {
            true => self.stalled = None,
            false => {
                self.stalled.get_or_insert(now);
            }
        }
    }
}

impl RealHead {
    /// Before anything was asked: what the log says that it holds.
    pub(crate) fn new(log: &dyn EventLog) -> Self {
        let head = domain_cut(&log.head());
        Self(Arc::new(Mutex::new(Ends {
            heard: head.clone(),
            head,
            ..Ends::default()
        })))
    }

    /// Asks for as long as it runs. `lately`: how long ago a failed append still says that somebody writes.
    pub(crate) async fn ask(self, deps: Deps, lately: Duration) {
        let mut ticks = tokio::time::interval(ASK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let found = match tokio::time::timeout(ANSWER, deps.log.find_head()).await {
                Ok(found) => found.map_err(|error| error.to_string()),
                Err(_) => Err(format!("no answer within {} s", ANSWER.as_secs())),
            };
            let failed = deps.metrics.log_failed();
            let look = Look {
                found: found.map(|found| domain_cut(&found)),
                heard: domain_cut(&deps.log.head()),
                is_written: deps.log.waiting() > 0 || failed.is_some_and(|(ago, _)| ago < lately),
            };
            self.ends().look(Instant::now(), look);
        }
    }

    /// Where the log ended when it was last asked.
    pub(crate) fn cut(&self) -> Cut {
        self.ends().head.clone()
    }

    /// For how long the log has not said where it ends, and why.
    pub(crate) fn unreachable(&self) -> Option<(Duration, String)> {
        let ends = self.ends();
        let (since, why) = ends.unreachable.as_ref()?;
        Some((since.elapsed(), why.clone()))
    }

    /// For how long the log has stood still while somebody writes, or this process has not heard of what others wrote.
    pub(crate) fn stalled(&self) -> Option<Duration> {
        self.ends().stalled.map(|since| since.elapsed())
    }

    fn ends(&self) -> MutexGuard<'_, Ends> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(next: u64) -> Cut {
        Cut::from_iter([(1, next)])
    }

    fn look(found: Option<u64>, heard: u64, is_written: bool) -> Look {
        Look {
            found: found.map(cut).ok_or_else(|| "away".to_owned()),
            heard: cut(heard),
            is_written,
        }
    }

    #[test]
    fn a_log_stalls_when_it_stands_still_while_somebody_writes_and_recovers_when_it_moves() {
        let begun = Instant::now();
        let mut ends = Ends::default();
        let mut after = |seconds: u64, look: Look| {
            ends.look(begun + Duration::from_secs(seconds), look);
            (
                ends.stalled,
                ends.unreachable.clone().map(|(since, _)| since),
            )
        };
        let at = |seconds: u64| Some(begun + Duration::from_secs(seconds));
        assert_eq!(after(0, look(Some(5), 5, false)), (None, None));
        // Nobody writes: it may stand still for as long as it likes.
        assert_eq!(after(5, look(Some(5), 5, false)), (None, None));
        // Appends wait, and it moves.
        assert_eq!(after(10, look(Some(6), 6, true)), (None, None));
        // Appends wait, and it does not; the first time counts.
        assert_eq!(after(15, look(Some(6), 6, true)), (at(15), None));
        assert_eq!(after(20, look(None, 6, true)), (at(15), at(20)));
        assert_eq!(after(25, look(None, 6, true)), (at(15), at(20)));
        assert_eq!(after(30, look(Some(7), 7, true)), (None, None));
    }

    #[test]
    fn a_process_that_hears_nothing_of_what_others_wrote_stalls_too() {
        let begun = Instant::now();
        let mut ends = Ends::default();
        let mut after = |seconds: u64, look: Look| {
            ends.look(begun + Duration::from_secs(seconds), look);
            ends.stalled
        };
        assert_eq!(after(0, look(Some(5), 5, false)), None);
        // One look later is soon enough.
        assert_eq!(after(5, look(Some(9), 5, false)), None);
        assert_eq!(
            after(10, look(Some(12), 5, false)),
            Some(begun + Duration::from_secs(10))
        );
        // It hears again, though it is still behind.
        assert_eq!(after(15, look(Some(12), 8, false)), None);
        assert_eq!(after(20, look(Some(12), 12, false)), None);
    }
}
