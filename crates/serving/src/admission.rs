//! Who is served when there is more to do than the house takes at once.
//!
//! A call needs one of a fixed number of places. While there are free ones, taking one is two atomic additions. When all are taken, calls
//! queue by principal, and every place that becomes free goes to the next principal in turn. So whoever has one call waiting waits for
//! at most one call of each other principal that waits, however many calls those have; and because nobody may hold all places, it does
//! not even wait for slow ones. Queues are bounded: what finds no room in them is refused at once, with a time after which to try again.
//!
//! Streams are counted and not queued: one that is open for months is no call. The items of a bulk stream have their own bound per
//! principal, because they share the log's queue with everybody else's calls.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use qipp_api::error::{ApiError, Code};
use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::Instant;
use tracing::Instrument as _;

/// How much is taken at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Places {
    /// Calls that run at the same time.
    pub calls: usize,
    /// Of these, calls of one principal.
    pub calls_per_principal: usize,
    /// Calls that wait for a place.
    pub waiting: usize,
    /// Of these, calls of one principal.
    pub waiting_per_principal: usize,
    /// Open streams.
    pub streams: usize,
    /// Of these, streams of one principal.
    pub streams_per_principal: usize,
    /// Returns that the bulk streams of one principal may have on their way to the log together.
    pub items_per_principal: usize,
}

/// A refused caller tries again after this long. Clients spread their attempts.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Gives out places.
#[derive(Debug)]
pub struct Admission {
    places: Places,
    running: AtomicUsize,
    /// Calls in the queue. Written under its lock, read without: 0 lets calls pass by the queue.
    waiting: AtomicUsize,
    streams: AtomicUsize,
    queue: Mutex<Queue>,
    /// Grows with the principals that were ever let in: they are in a file.
    shares: RwLock<HashMap<String, Arc<Share>>>,
}

/// What one principal has.
#[derive(Debug)]
struct Share {
    running: AtomicUsize,
    streams: AtomicUsize,
    items: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct Queue {
    /// Who waits, by principal, each in the order in which they came. No line is empty.
    lines: HashMap<String, VecDeque<Waiter>>,
    /// The principals that wait, the next one first.
    turns: VecDeque<String>,
    next_ticket: u64,
    /// Places given to those who waited, ever.
    granted: u64,
}

#[derive(Debug)]
struct Waiter {
    ticket: u64,
    share: Arc<Share>,
    /// Places that had been given when it came.
    granted: u64,
    place: oneshot::Sender<Pass>,
}

/// A place that was given. Dropping it gives it back.
#[derive(Debug)]
pub struct Pass {
    admission: Arc<Admission>,
    share: Arc<Share>,
    is_stream: bool,
    given_back: bool,
    turns: Option<u64>,
}

impl Pass {
    /// How many other calls were let in while this one waited for its turn; nothing when it did not wait.
    #[must_use]
    pub fn turns(&self) -> Option<u64> {
        self.turns
    }

    /// Bounds the items that the bulk streams of the principal have under way.
    pub(crate) fn items(&self) -> Arc<Semaphore> {
        Arc::clone(&self.share.items)
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        if self.given_back {
            return;
        }
        if self.is_stream {
            self.share.streams.fetch_sub(1, SeqCst);
            self.admission.streams.fetch_sub(1, SeqCst);
            return;
        }
        self.share.running.fetch_sub(1, SeqCst);
        self.admission.running.fetch_sub(1, SeqCst);
        // Whoever queues counts itself before it looks for a place, and this looks at the count after it has freed one: one of both
        // sees the other, and no place stays free while somebody waits.
        if self.admission.waiting.load(SeqCst) > 0 {
            let mut queue = self.admission.queue();
            self.admission.grant(&mut queue);
        }
    }
}

/// Adds one unless the limit is reached.
fn take(count: &AtomicUsize, limit: usize) -> bool {
    let more = |held: usize| (held < limit).then_some(held + 1);
    count.fetch_update(SeqCst, SeqCst, more).is_ok()
}

impl Admission {
    /// All places free.
    #[must_use]
    pub fn new(places: Places) -> Arc<Self> {
        Arc::new(Self {
            places,
            running: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            streams: AtomicUsize::new(0),
            queue: Mutex::default(),
            shares: RwLock::default(),
        })
    }

    /// Calls that run.
    #[must_use]
    pub fn running(&self) -> usize {
        self.running.load(SeqCst)
    }

    /// Calls that wait for a place.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.load(SeqCst)
    }

    /// Streams that are open.
    #[must_use]
    pub fn streams(&self) -> usize {
        self.streams.load(SeqCst)
    }

    /// A place for a stream, or why there is none. Never waits.
    ///
    /// # Errors
    /// The limit that is reached.
    pub fn stream(self: &Arc<Self>, principal: &str) -> Result<Pass, Refused> {
        let share = self.share(principal);
        if !take(&share.streams, self.places.streams_per_principal) {
            return Err(Refused::StreamsOfPrincipal(
                self.places.streams_per_principal,
            ));
        }
        if !take(&self.streams, self.places.streams) {
            share.streams.fetch_sub(1, SeqCst);
            return Err(Refused::Streams);
        }
        Ok(self.pass(share, true))
    }

    /// A place for a call, as soon as it is this principal's turn.
    ///
    /// # Errors
    /// The limit that is reached, or that the deadline passed before a place was free.
    pub async fn call(
        self: &Arc<Self>,
        principal: &str,
        deadline: Instant,
    ) -> Result<Pass, Refused> {
        let share = self.share(principal);
        // Nobody passes by those who wait.
        if self.waiting.load(SeqCst) == 0 && self.run(&share) {
            return Ok(self.pass(share, false));
        }
        let (place, mut granted) = oneshot::channel();
        let waiting = self.line_up(principal, share, place)?;
        let came = tokio::time::timeout_at(deadline, &mut granted)
            .instrument(crate::step!("wait_for_place"))
            .await;
        drop(waiting);
        match came {
            Ok(Ok(pass)) => Ok(pass),
            // A place may have been given in the very moment in which the patience ended.
            _ => granted.try_recv().map_err(|_| Refused::NoPlaceInTime),
        }
    }

    fn line_up<'a>(
        self: &'a Arc<Self>,
        principal: &'a str,
        share: Arc<Share>,
        place: oneshot::Sender<Pass>,
    ) -> Result<Waiting<'a>, Refused> {
        let mut queue = self.queue();
        // A call that came here although there was a place (another one had it for a moment) leaves none behind.
        self.grant(&mut queue);
        let mine = queue.lines.get(principal).map_or(0, VecDeque::len);
        if mine >= self.places.waiting_per_principal {
            return Err(Refused::CallsOfPrincipal(self.places.calls_per_principal));
        }
        if self.waiting.load(SeqCst) >= self.places.waiting {
            return Err(Refused::Calls);
        }
        let ticket = queue.next_ticket;
        queue.next_ticket += 1;
        let waiter = Waiter {
            ticket,
            share,
            granted: queue.granted,
            place,
        };
        if mine == 0 {
            queue.turns.push_back(principal.to_owned());
        }
        let line = queue.lines.entry(principal.to_owned()).or_default();
        line.push_back(waiter);
        self.waiting.fetch_add(1, SeqCst);
        self.grant(&mut queue);
        Ok(Waiting {
            admission: self,
            principal,
            ticket,
        })
    }

    /// Gives free places to those who wait, principal by principal.
    fn grant(self: &Arc<Self>, queue: &mut Queue) {
        // Principals in a row that have as many calls running as they may.
        let mut skipped = 0;
        while skipped < queue.turns.len() {
            let Some(principal) = queue.turns.pop_front() else {
                return;
            };
            let Some(line) = queue.lines.get_mut(&principal) else {
                continue;
            };
            let Some(first) = line.front() else {
                queue.lines.remove(&principal);
                continue;
            };
            if first.share.running.load(SeqCst) >= self.places.calls_per_principal {
                skipped += 1;
                queue.turns.push_back(principal);
                continue;
            }
            if !self.run(&first.share) {
                queue.turns.push_front(principal);
                return;
            }
            skipped = 0;
            let granted = line.pop_front();
            if line.is_empty() {
                queue.lines.remove(&principal);
            } else {
                queue.turns.push_back(principal);
            }
            self.waiting.fetch_sub(1, SeqCst);
            if let Some(waiter) = granted {
                let mut pass = self.pass(Arc::clone(&waiter.share), false);
                pass.turns = Some(queue.granted - waiter.granted);
                queue.granted += 1;
                if let Err(mut nobody) = waiter.place.send(pass) {
                    // It has gone away. Not by its drop, which would ask for the lock that is held here.
                    nobody.given_back = true;
                    waiter.share.running.fetch_sub(1, SeqCst);
                    self.running.fetch_sub(1, SeqCst);
                }
            }
        }
    }

    fn run(&self, share: &Share) -> bool {
        if !take(&share.running, self.places.calls_per_principal) {
            return false;
        }
        let taken = take(&self.running, self.places.calls);
        if !taken {
            share.running.fetch_sub(1, SeqCst);
        }
        taken
    }

    fn pass(self: &Arc<Self>, share: Arc<Share>, is_stream: bool) -> Pass {
        Pass {
            admission: Arc::clone(self),
            share,
            is_stream,
            given_back: false,
            turns: None,
        }
    }

    fn share(&self, principal: &str) -> Arc<Share> {
        let shares = self.shares.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(share) = shares.get(principal) {
            return Arc::clone(share);
        }
        drop(shares);
        let mut shares = self.shares.write().unwrap_or_else(PoisonError::into_inner);
        let share = shares.entry(principal.to_owned()).or_insert_with(|| {
            Arc::new(Share {
                running: AtomicUsize::new(0),
                streams: AtomicUsize::new(0),
                items: Arc::new(Semaphore::new(self.places.items_per_principal)),
            })
        });
        Arc::clone(share)
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in the queue, left when the caller goes away.
struct Waiting<'a> {
    admission: &'a Arc<Admission>,
    principal: &'a str,
    ticket: u64,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut queue = self.admission.queue();
        let Some(line) = queue.lines.get_mut(self.principal) else {
            return;
        };
        let before = line.len();
        line.retain(|waiter| waiter.ticket != self.ticket);
        let left = before - line.len();
        if line.is_empty() {
            queue.lines.remove(self.principal);
            queue.turns.retain(|turn| turn != self.principal);
        }
        self.admission.waiting.fetch_sub(left, SeqCst);
    }
}

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The principal has as many calls running, and waiting, as it may.
    CallsOfPrincipal(usize),
    /// So has the house.
    Calls,
    /// No place became free before the deadline.
    NoPlaceInTime,
    /// The principal has as many streams open as it may.
    StreamsOfPrincipal(usize),
    /// So has the house.
    Streams,
}

impl Refused {
    /// Name of the limit, for metrics: the entry of the configuration.
    #[must_use]
    pub fn limit(self) -> &'static str {
        match self {
            Self::CallsOfPrincipal(_) => "waiting_per_principal",
            Self::Calls => "waiting",
            Self::NoPlaceInTime => "calls",
            Self::StreamsOfPrincipal(_) => "streams_per_principal",
            Self::Streams => "streams",
        }
    }
}

impl From<Refused> for ApiError {
    fn from(refused: Refused) -> Self {
        let error = match refused {
            Refused::CallsOfPrincipal(calls) => Self::new(
                Code::ResourceExhausted,
                "TOO_MANY_CALLS",
                format!(
                    "this key has too many calls at once: at most {calls} run and some wait; send fewer at a time, or many returns through one SubmitReturns stream"
                ),
            ),
            Refused::Calls => Self::new(
                Code::Unavailable,
                "BUSY",
                "the service has more calls than it can take: try again later",
            ),
            Refused::NoPlaceInTime => Self::new(
                Code::Unavailable,
                "BUSY",
                "the service did not get to this call before its deadline; nothing was done: try again later",
            ),
            Refused::StreamsOfPrincipal(streams) => Self::new(
                Code::ResourceExhausted,
                "TOO_MANY_STREAMS",
                format!("this key has {streams} streams open, as many as it may: end one first"),
            ),
            Refused::Streams => Self::new(
                Code::Unavailable,
                "TOO_MANY_STREAMS",
                "the service has as many streams open as it can take: try again later",
            ),
        };
        error.retry_after(RETRY_AFTER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACES: Places = Places {
        calls: 4,
        calls_per_principal: 4,
        waiting: 2_000,
        waiting_per_principal: 1_000,
        streams: 3,
        streams_per_principal: 2,
        items_per_principal: 8,
    };

    fn never() -> Instant {
        Instant::now() + Duration::from_secs(3600)
    }

    type Waiting = tokio::task::JoinHandle<Result<Pass, Refused>>;

    /// A call that has to wait, and does.
    async fn waits(admission: &Arc<Admission>, principal: &'static str) -> Waiting {
        let before = admission.waiting();
        let held = Arc::clone(admission);
        let call = tokio::spawn(async move { held.call(principal, never()).await });
        while admission.waiting() == before {
            tokio::task::yield_now().await;
        }
        call
    }

    #[tokio::test]
    async fn a_quiet_principal_waits_for_one_call_of_a_noisy_one_however_many_that_has() {
        let admission = Admission::new(PLACES);
        let mut running = Vec::new();
        for _ in 0..PLACES.calls {
            running.push(admission.call("noisy", never()).await.unwrap());
        }
        let mut noisy = Vec::new();
        for _ in 0..1_000 {
            noisy.push(waits(&admission, "noisy").await);
        }
        let quiet = waits(&admission, "quiet").await;
        // Two places become free: the first may go to who was first, the second is the quiet one's.
        running.truncate(PLACES.calls - 2);
        let pass = quiet.await.unwrap().unwrap();
        assert!(pass.turns() <= Some(1), "{:?}", pass.turns());
        let served = noisy.iter().filter(|call| call.is_finished()).count();
        assert!(served <= 1, "{served} noisy calls went first");
        assert_eq!(admission.waiting(), 999);
        drop((running, pass));
        for call in noisy {
            drop(call.await.unwrap().unwrap());
        }
        assert_eq!((admission.running(), admission.waiting()), (0, 0));
    }

    #[tokio::test]
    async fn nobody_can_hold_every_place() {
        let admission = Admission::new(Places {
            calls_per_principal: 3,
            ..PLACES
        });
        let mut running = Vec::new();
        for _ in 0..3 {
            running.push(admission.call("noisy", never()).await.unwrap());
        }
        let fourth = waits(&admission, "noisy").await;
        // The queue is not empty, and the other one goes in all the same.
        let other = admission.call("quiet", never()).await.unwrap();
        assert_eq!((admission.running(), admission.waiting()), (4, 1));
        drop(running);
        drop((fourth.await.unwrap().unwrap(), other));
        assert_eq!(admission.running(), 0);
    }

    #[tokio::test]
    async fn full_queues_refuse_with_the_limit_and_a_time_to_try_again() {
        let admission = Admission::new(Places {
            waiting: 3,
            waiting_per_principal: 2,
            ..PLACES
        });
        let mut running = Vec::new();
        for _ in 0..4 {
            running.push(admission.call("a", never()).await.unwrap());
        }
        let first = waits(&admission, "a").await;
        let _second = waits(&admission, "a").await;
        let refused = admission.call("a", never()).await.unwrap_err();
        assert_eq!(refused.limit(), "waiting_per_principal");
        let error = ApiError::from(refused);
        assert_eq!(
            (error.code, error.retry_after),
            (Code::ResourceExhausted, Some(RETRY_AFTER))
        );
        let _third = waits(&admission, "b").await;
        let refused = admission.call("c", never()).await.unwrap_err();
        assert_eq!(
            (refused, ApiError::from(refused).code),
            (Refused::Calls, Code::Unavailable)
        );
        // Who goes away leaves its place in the queue to others.
        first.abort();
        first.await.unwrap_err();
        assert_eq!(admission.waiting(), 2);
        let soon = Instant::now();
        let late = admission.call("c", soon).await.unwrap_err();
        assert_eq!((late, admission.waiting()), (Refused::NoPlaceInTime, 2));
    }

    #[tokio::test]
    async fn streams_are_counted_for_each_principal_and_together() {
        let admission = Admission::new(PLACES);
        let mut open = vec![
            admission.stream("a").unwrap(),
            admission.stream("a").unwrap(),
        ];
        assert_eq!(
            admission.stream("a").unwrap_err(),
            Refused::StreamsOfPrincipal(2)
        );
        open.push(admission.stream("b").unwrap());
        assert_eq!(admission.stream("c").unwrap_err(), Refused::Streams);
        open.clear();
        assert!(admission.stream("a").is_ok());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn no_place_is_lost_between_many_threads() {
        let admission = Admission::new(Places {
            calls: 3,
            calls_per_principal: 2,
            ..PLACES
        });
        let names = ["a", "b", "c"];
        let calls = (0..3_000).map(|number| {
            let admission = Arc::clone(&admission);
            tokio::spawn(async move {
                loop {
                    match admission.call(names[number % 3], never()).await {
                        Ok(pass) => {
                            assert!(admission.running() <= 3);
                            tokio::task::yield_now().await;
                            drop(pass);
                            return;
                        }
                        Err(_) => tokio::task::yield_now().await,
                    }
                }
            })
        });
        for call in calls.collect::<Vec<_>>() {
            call.await.unwrap();
        }
        assert_eq!((admission.running(), admission.waiting()), (0, 0));
    }
}
