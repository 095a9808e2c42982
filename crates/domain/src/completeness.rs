//! Completeness and timeliness: who has returned what was owed, and when. Silence is information, and never zero.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::calendar::working_days_between;
use crate::nation::Nation;
use crate::reference::Reference;
use crate::{Dataset, KnownAt, OrgCode, Period, Stamp};

/// The day (UTC) on which something became known.
#[must_use]
pub fn day_of(stamp: Stamp) -> Date {
    day_of_ms(stamp.time_ms)
}

/// The day (UTC) of a Unix time in milliseconds.
#[must_use]
pub fn day_of_ms(time_ms: i64) -> Date {
    Timestamp::from_millisecond(time_ms)
        .map_or(Date::ZERO, |time| time.to_zoned(TimeZone::UTC).date())
}

/// Where the return of an organisation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// It came by the day it was due.
    InTime,
    /// It came later.
    Late,
    /// It is due and has not come.
    Missing,
    /// It is not due yet, and has not come.
    NotYetDue,
}

/// The return of an organisation for a month.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Submission {
    /// Whose.
    pub org: OrgCode,
    /// Where it stands.
    pub state: State,
    /// When the first revision became known.
    pub received: Option<Stamp>,
    /// Working days from the due day to its arrival, or to today.
    pub working_days_late: u32,
    /// Revisions so far.
    pub revisions: u32,
}

/// Where the returns of a month stand, by organisation. Those that owe nothing are left out, unless they sent something all the same.
#[must_use]
pub fn submissions(
    nation: &Nation,
    reference: &Reference,
    at: &KnownAt,
    dataset: Dataset,
    period: Period,
    today: Date,
) -> Vec<Submission> {
    let due = reference.deadline(dataset, period);
    reference
        .organisations()
        .filter_map(|organisation| {
            let submission = submission(nation, at, organisation.code, dataset, period, due, today);
            let counts =
                reference.owes(organisation.code, dataset, period) || submission.received.is_some();
            counts.then_some(submission)
        })
        .collect()
}

/// Where the return of one organisation for a month stands. Without a deadline nothing is late and nothing is missing.
#[must_use]
pub fn submission(
    nation: &Nation,
    at: &KnownAt,
    org: OrgCode,
    dataset: Dataset,
    period: Period,
    due: Option<Date>,
    today: Date,
) -> Submission {
    let history = nation
        .ledger(org)
        .and_then(|ledger| ledger.history(dataset, period));
    let known: Vec<Stamp> = history.map_or_else(Vec::new, |h| {
        h.revisions()
            .iter()
            .map(|r| r.stamp)
            .filter(|stamp| at.covers(*stamp))
            .collect()
    });
    let received = known.first().copied();
    let until = received.map_or(today, day_of);
    let overdue = due.is_some_and(|due| until > due);
    let state = match (received, overdue) {
        (Some(_), false) => State::InTime,
        (Some(_), true) => State::Late,
        (None, true) => State::Missing,
        (None, false) => State::NotYetDue,
    };
    let revisions = u32::try_from(known.len()).unwrap_or(u32::MAX);
    Submission {
        org,
        state,
        received,
        working_days_late: due.map_or(0, |due| working_days_between(due, until)),
        revisions,
    }
}
