//! Which keys changed: a feed that an evaluator drains at its own pace.
//!
//! What it has not drained yet is a set of keys, so it never grows beyond the number of keys, however slow the evaluator is. It
//! never says what a key was before.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use qipp_domain::Cut;
use qipp_domain::nation::Key;
use tokio::sync::Notify;

/// The keys that changed since a cut, coalesced.
#[derive(Debug)]
pub struct Changes {
    feed: Arc<Feed>,
    since: Cut,
}

impl Changes {
    /// The cut at which this feed begins: everything beyond it will be reported, nothing below it is.
    #[must_use]
    pub fn since(&self) -> &Cut {
        &self.since
    }

    /// Takes what has changed by now, without waiting; as [`next`](Self::next), and `None` also when nothing has.
    pub fn take(&mut self) -> Option<(BTreeSet<Key>, Cut)> {
        let mut pending = self.feed.pending();
        let some = !pending.keys.is_empty();
        some.then(|| (std::mem::take(&mut pending.keys), pending.cut.clone()))
    }

    /// Waits for changes and takes all of them: every key that changed since the last answer, and the cut that they are
    /// folded up to. `None` when folding has stopped and everything was taken.
    ///
    /// Cancel safe: a dropped call takes nothing.
    pub async fn next(&mut self) -> Option<(BTreeSet<Key>, Cut)> {
        loop {
            {
                let mut pending = self.feed.pending();
                if !pending.keys.is_empty() {
                    return Some((std::mem::take(&mut pending.keys), pending.cut.clone()));
                }
                if pending.ended {
                    return None;
                }
            }
            self.feed.wake.notified().await;
        }
    }
}

#[derive(Debug, Default)]
struct Pending {
    keys: BTreeSet<Key>,
    cut: Cut,
    ended: bool,
}

#[derive(Debug, Default)]
struct Feed {
    pending: Mutex<Pending>,
    wake: Notify,
}

impl Feed {
    fn pending(&self) -> MutexGuard<'_, Pending> {
        // Only whole assignments happen under the lock, so what a panicking thread left behind is sound.
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The feeds of all evaluators. A feed that was dropped is forgotten at the next change.
#[derive(Debug, Default)]
pub(crate) struct Feeds(Mutex<Open>);

#[derive(Debug, Default)]
struct Open {
    feeds: Vec<Weak<Feed>>,
    ended: bool,
}

impl Feeds {
    /// A feed from `cut` on. To be called while the state is locked, so that no change slips through.
    pub(crate) fn subscribe(&self, cut: &Cut) -> Changes {
        let feed = Arc::new(Feed::default());
        let mut open = self.open();
        feed.pending().ended = open.ended;
        open.feeds.push(Arc::downgrade(&feed));
        Changes {
            feed,
            since: cut.clone(),
        }
    }

    /// Reports keys that changed. To be called while the state is locked.
    pub(crate) fn report(&self, keys: &[Key], cut: &Cut) {
        self.open().each(|pending| {
            pending.keys.extend(keys);
            pending.cut.clone_from(cut);
        });
    }

    /// Nothing will come any more.
    pub(crate) fn end(&self) {
        let mut open = self.open();
        open.ended = true;
        open.each(|pending| pending.ended = true);
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    fn each(&mut self, mut change: impl FnMut(&mut Pending)) {
        self.feeds.retain(|feed| {
            let Some(feed) = feed.upgrade() else {
                return false;
            };
            change(&mut feed.pending());
            feed.wake.notify_one();
            true
        });
    }
}
