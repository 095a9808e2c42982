//! Joint decisions: who is on the list that R05 reads, computed from the folded log. Pure.
//!
//! The latest month of which enough is known is decided, and the month before it when that never was, because who is on the list of both
//! is confirmed. Earlier months stay as they were decided when they were the latest.

use std::collections::BTreeSet;

use jiff::civil::Date;
use qipp_domain::nation::Nation;
use qipp_domain::surveillance::Assessment;
use qipp_domain::{Cut, KnownAt, OrgCode, Slug};
use qipp_rules::{Moment, r05, r06, surveillance};

/// An alert waits so many months for figures before it is cleared; whoever was on a list since then is looked at again.
const MONTHS_BACK: i32 = 4;

/// A decision that is news.
#[derive(Debug)]
pub(crate) struct Decided {
    /// The decision, which says something else than what is published.
    pub(crate) news: Box<Assessment>,
    /// A later month is to be decided when this one is published.
    pub(crate) go_on: bool,
    /// Whose findings could be others because of it.
    pub(crate) touched: BTreeSet<OrgCode>,
}

/// Decides over the organisations of a kind. `None` when there is nothing to publish: it is as published, the rule is switched off, nobody
/// returned both, or nobody can be judged yet.
pub(crate) fn decide(
    nation: &Nation,
    cut: &Cut,
    today: Date,
    kind: Slug,
    quorum: f64,
) -> Option<Decided> {
    let moment = Moment::at(nation, cut.clone(), today);
    if !moment.rules().is_enabled(r05::RULE.id) {
        return None;
    }
    let context = moment.context(nation);
    let latest = surveillance::frontier(&context, kind, quorum)?;
    let known = |period| nation.assessments().known(kind, period, &KnownAt::Latest);
    let first = latest.plus(-1).filter(|before| known(*before).is_none());
    for period in first.into_iter().chain([latest]) {
        let decided = match surveillance::review(&context, kind, period) {
            Ok(decided) => decided,
            Err(error) => {
                // No markers to judge by, or too many: nothing that another attempt would change.
                tracing::debug!(%kind, %period, code = error.code(), %error, "no joint decision");
                return None;
            }
        };
        let held = known(period);
        // That nobody can be judged is no news.
        let is_news = held.map_or(decided.assessed > 0, |held| !held.says_the_same(&decided));
        if is_news {
            let months = (1..=MONTHS_BACK).filter_map(|back| known(period.plus(-back)?));
            let lists = months.chain(held).chain([&decided]);
            let listed = lists.flat_map(|list| list.watched.iter().map(|entry| entry.org));
            return Some(Decided {
                touched: listed.chain(r06::nation(context.reference)).collect(),
                news: Box::new(decided),
                go_on: period < latest,
            });
        }
    }
    None
}
