//! The state that a read is answered from: waits for `min_cut`, resolves `known_at`, and keeps the pages of a list on one cut.

use std::sync::Arc;

use qipp_api::cut::{cut_to_proto, time_to_text};
use qipp_api::error::ApiError;
use qipp_api::page::{Page, Paged, next_token, page};
use qipp_api::proto::events::v1 as wire;
use qipp_api::read::{Read, read_options};
use qipp_domain::reference::Reference;
use qipp_domain::{Cut, KnownAt};
use qipp_projection::View;
use tracing::Instrument as _;
use tracing::span::EnteredSpan;

use crate::{Caller, Deps};

/// So far may a caller's clock be ahead of ours, milliseconds.
const SKEW_MS: i64 = 60_000;

/// A consistent state to answer from. Holds a read lock: build the answer and let it go, never hold it over an await.
#[derive(Debug)]
pub struct Answer<'a> {
    /// The nation.
    pub nation: View<'a>,
    /// The moment of knowledge that was asked for.
    pub at: KnownAt,
    /// The reference data as known at that moment.
    pub reference: Arc<Reference>,
    /// The reference data as known now: what policy is checked against.
    pub current: Arc<Reference>,
    /// The cut that is answered at.
    pub cut: Cut,
    /// The answer is computed while it is held, so that its life is that step of the trace.
    _compute: EnteredSpan,
}

impl Answer<'_> {
    /// The cut on the wire.
    #[must_use]
    pub fn wire_cut(&self) -> Option<wire::Cut> {
        Some(cut_to_proto(&self.cut))
    }
}

/// A page of a list, and the state that it is taken from.
#[derive(Debug)]
pub struct ListAnswer<'a, R> {
    /// The state. All pages of a list are answered from the state of the first.
    pub answer: Answer<'a>,
    page: Page,
    request: &'a R,
}

impl<R: Paged> ListAnswer<'_, R> {
    /// Where the page before ended; `None` on the first page.
    #[must_use]
    pub fn cursor(&self) -> Option<&str> {
        self.page.cursor()
    }

    /// Takes the items of this page out of all items, which come in the order of their cursors, with the token of the next page.
    pub fn take<T>(
        &self,
        items: impl IntoIterator<Item = T>,
        cursor: impl Fn(&T) -> String,
    ) -> (Vec<T>, String) {
        let is_of_earlier_page = |item: &T| {
            self.page
                .cursor()
                .is_some_and(|last| cursor(item).as_str() <= last)
        };
        let mut taken: Vec<T> = items
            .into_iter()
            .skip_while(is_of_earlier_page)
            .take(self.page.size + 1)
            .collect();
        if taken.len() <= self.page.size {
            return (taken, String::new());
        }
        taken.truncate(self.page.size);
        let last = taken.last().map(&cursor).unwrap_or_default();
        let token = next_token(self.request, &last, &self.answer.cut);
        (taken, token)
    }
}

impl Deps {
    /// The state that a read is to be answered from, waiting for it until the call's deadline.
    ///
    /// # Errors
    /// INVALID_ARGUMENT for options that can't be read, FAILED_PRECONDITION for a cut beyond the log's head, DEADLINE_EXCEEDED.
    pub async fn answer(
        &self,
        caller: &Caller,
        options: Option<&wire::ReadOptions>,
    ) -> Result<Answer<'_>, ApiError> {
        let Read { min_cut, known_at } = read_options(options)?;
        let at = self.own(self.not_to_come(known_at)?);
        self.reach(caller, min_cut.as_ref(), &at).await?;
        Ok(self.answer_at(at))
    }

    /// The state for a page of a list.
    ///
    /// # Errors
    /// As [`Deps::answer`], and INVALID_ARGUMENT for a page size or token that is none of this query's.
    pub async fn answer_list<'a, R: Paged>(
        &'a self,
        caller: &Caller,
        options: Option<&wire::ReadOptions>,
        request: &'a R,
    ) -> Result<ListAnswer<'a, R>, ApiError> {
        let page = page(request)?;
        let Read { min_cut, known_at } = read_options(options)?;
        let at = self.own(page.known_at(self.not_to_come(known_at)?));
        self.reach(caller, min_cut.as_ref(), &at).await?;
        Ok(ListAnswer {
            answer: self.answer_at(at),
            page,
            request,
        })
    }

    /// What will be known at a moment to come is not known: an answer of now would change under the same question.
    fn not_to_come(&self, at: KnownAt) -> Result<KnownAt, ApiError> {
        let now = self.clock.now_ms();
        match at {
            KnownAt::Time(time) if time > now.saturating_add(SKEW_MS) => {
                let what = format!(
                    "{} is to come: by the clock of this service it is {}; leave `known_at` out to read what is known now",
                    time_to_text(time),
                    time_to_text(now)
                );
                let field = "read.known_at.time";
                Err(ApiError::invalid_field("KNOWN_AT_TO_COME", field, what))
            }
            at => Ok(at),
        }
    }

    /// Where this process folds a share of the log, a moment that others of its lanes are known at too is cut down to its own.
    fn own(&self, at: KnownAt) -> KnownAt {
        match at {
            KnownAt::Cut(cut) => KnownAt::Cut(self.follower.share().narrow(&cut)),
            at => at,
        }
    }

    fn answer_at(&self, at: KnownAt) -> Answer<'_> {
        let compute = crate::step!("compute").entered();
        let nation = self.follower.view();
        let cut = match &at {
            KnownAt::Cut(cut) => cut.clone(),
            KnownAt::Latest | KnownAt::Time(_) => nation.cut().clone(),
        };
        let reference = nation.reference(&at);
        let current = nation.reference(&KnownAt::Latest);
        Answer {
            nation,
            at,
            reference,
            current,
            cut,
            _compute: compute,
        }
    }

    /// Waits until what is to be read is folded.
    async fn reach(
        &self,
        caller: &Caller,
        min_cut: Option<&Cut>,
        at: &KnownAt,
    ) -> Result<(), ApiError> {
        let known = match at {
            KnownAt::Cut(cut) => Some(cut),
            KnownAt::Latest | KnownAt::Time(_) => None,
        };
        for cut in min_cut.into_iter().chain(known) {
            let folded = self.folded(cut).instrument(crate::step!("wait_for_fold"));
            caller
                .within("CUT_NOT_REACHED", "the state asked for", folded)
                .await??;
        }
        Ok(())
    }
}
