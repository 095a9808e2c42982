//! Which joint decision is news: who is on the list that R05 reads, computed from the folded log.
//!
//! The latest month of which enough is known is decided, and the month before it when that never was, because who is on the list of both
//! is confirmed. Earlier months stay as they were decided when they were the latest.

use std::collections::BTreeSet;

use jiff::civil::Date;
use qipp_domain::nation::Nation;
use qipp_domain::surveillance::Assessment;
use qipp_domain::{Cut, KnownAt, OrgCode, Slug};

use super::{SurveillanceError, frontier, review};
use crate::{Moment, r05, r06};

/// An alert waits so many months for figures before it is cleared; whoever was on a list since then is looked at again.
const MONTHS_BACK: i32 = 4;

/// A decision that is news.
#[derive(Debug)]
pub struct Decided {
    /// The decision, which says something else than what is published.
    pub news: Box<Assessment>,
    /// A later month is to be decided when this one is published.
    pub go_on: bool,
    /// Whose findings could be others because of it.
    pub touched: BTreeSet<OrgCode>,
}

/// Decides over the organisations of a kind. `None` when there is nothing to publish: it is as published, the rule is switched off, nobody
/// returned both, or nobody can be judged yet.
///
/// # Errors
/// [`SurveillanceError`] when the kind has no marker to be judged by, or more than the core takes: nothing that another attempt changes.
pub fn decide(
    nation: &Nation,
    cut: &Cut,
    today: Date,
    kind: Slug,
    quorum: f64,
) -> Result<Option<Decided>, SurveillanceError> {
    let moment = Moment::of_all(nation, cut.clone(), today);
    if !moment.rules().is_enabled(r05::RULE.id) {
        return Ok(None);
    }
    let context = moment.context(nation);
    let Some(latest) = frontier(&context, kind, quorum) else {
        return Ok(None);
    };
    let known = |period| nation.assessments().known(kind, period, &KnownAt::Latest);
    let first = latest.plus(-1).filter(|before| known(*before).is_none());
    for period in first.into_iter().chain([latest]) {
        let decided = review(&context, kind, period)?;
        let held = known(period);
        // That nobody can be judged is no news.
        let is_news = held.map_or(decided.assessed > 0, |held| !held.says_the_same(&decided));
        if is_news {
            let months = (1..=MONTHS_BACK).filter_map(|back| known(period.plus(-back)?));
            let lists = months.chain(held).chain([&decided]);
            let listed = lists.flat_map(|list| list.watched.iter().map(|entry| entry.org));
            return Ok(Some(Decided {
                touched: listed.chain(r06::nation(context.reference)).collect(),
                news: Box::new(decided),
                go_on: period < latest,
            }));
        }
    }
    Ok(None)
}
