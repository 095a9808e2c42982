//! Savings: in-month from year-to-date and back, and the position of an organisation or of many.
//!
//! Missing is never zero: a figure that needs a month which is missing is missing itself. Cumulative savings always rise, so they
//! prove nothing; they are here to be shown, not to raise alerts.

use crate::nation::Ledger;
use crate::returns::{Body, SavingsLine};
use crate::scheme::Scheme;
use crate::{Dataset, KnownAt, Pence, Period, SchemeId};

/// Is there a savings return for the month?
#[must_use]
pub fn has_return(ledger: &Ledger, period: Period, at: &KnownAt) -> bool {
    ledger.known(Dataset::Savings, period, at).is_some()
}

/// The line of a scheme in a month.
#[must_use]
pub fn line<'a>(
    ledger: &'a Ledger,
    scheme: SchemeId,
    period: Period,
    at: &KnownAt,
) -> Option<&'a SavingsLine> {
    let lines = lines(ledger, period, at);
    lines
        .binary_search_by(|line| line.scheme.cmp(&scheme))
        .ok()
        .map(|index| &lines[index])
}

/// The lines of a month; none when there is no return.
#[must_use]
pub fn lines<'a>(ledger: &'a Ledger, period: Period, at: &KnownAt) -> &'a [SavingsLine] {
    match ledger
        .known(Dataset::Savings, period, at)
        .map(|revision| &revision.content.body)
    {
        Some(Body::Savings(lines)) => lines,
        _ => &[],
    }
}

/// Delivered in the month: as stated, or the year to date less that of the month before.
///
/// A scheme that has no line in an earlier month of the year, although the organisation returned that month, had not begun then; unless
/// that return [`owed`] it a line, in which case what it delivered is not known.
#[must_use]
pub fn in_month(ledger: &Ledger, scheme: SchemeId, period: Period, at: &KnownAt) -> Option<Pence> {
    let held = line(ledger, scheme, period, at)?;
    if held.actual.is_some() {
        return held.actual;
    }
    let ytd = held.actual_ytd?;
    Some(ytd - before(ledger, scheme, period, at)?)
}

/// Delivered from April to the end of the month: as stated, or the months added up.
#[must_use]
pub fn year_to_date(
    ledger: &Ledger,
    scheme: SchemeId,
    period: Period,
    at: &KnownAt,
) -> Option<Pence> {
    match line(ledger, scheme, period, at) {
        Some(SavingsLine {
            actual_ytd: Some(ytd),
            ..
        }) => Some(*ytd),
        Some(SavingsLine {
            actual: Some(month),
            ..
        }) => Some(*month + before(ledger, scheme, period, at)?),
        Some(_) => None,
        None if owed(ledger, period, at).any(|id| id == scheme) => None,
        // The organisation returned the month, and the scheme was not to be in it: nothing was added to what it had delivered.
        None if has_return(ledger, period, at) => before(ledger, scheme, period, at),
        None => None,
    }
}

/// Delivered from April to the end of the month before; nothing in April.
fn before(ledger: &Ledger, scheme: SchemeId, period: Period, at: &KnownAt) -> Option<Pence> {
    if period.month_of_financial_year() == 1 {
        return Some(Pence(0));
    }
    year_to_date(ledger, scheme, period.plus(-1)?, at)
}

/// The schemes that a month's return owes a line: registered before it arrived, live, and with something planned for the month. None
/// without a return. One that is left out is not submitted, which is not zero.
pub fn owed<'a>(
    ledger: &'a Ledger,
    period: Period,
    at: &'a KnownAt,
) -> impl Iterator<Item = SchemeId> + 'a {
    let arrived = ledger
        .known(Dataset::Savings, period, at)
        .map(|revision| revision.stamp.offset);
    let is_owed = move |scheme: &Scheme, registered: u64| {
        let planned = scheme
            .planned_in(period)
            .is_some_and(|planned| planned.0 != 0);
        planned && scheme.is_live_in(period) && arrived.is_some_and(|arrived| registered < arrived)
    };
    ledger.schemes(at).filter_map(move |revision| {
        let scheme = &revision.content;
        let history = ledger.scheme_history(scheme.id)?;
        let registered = history.revisions().first()?.stamp.offset;
        is_owed(scheme, registered).then_some(scheme.id)
    })
}

/// Planned for the month: as the return states, or as the scheme was registered. Nothing outside the scheme's plan.
#[must_use]
pub fn plan_in_month(
    ledger: &Ledger,
    scheme: SchemeId,
    period: Period,
    at: &KnownAt,
) -> Option<Pence> {
    let stated = line(ledger, scheme, period, at).and_then(|held| held.plan);
    stated.or_else(|| registered_plan(ledger, scheme, period, at))
}

fn registered_plan(
    ledger: &Ledger,
    scheme: SchemeId,
    period: Period,
    at: &KnownAt,
) -> Option<Pence> {
    ledger
        .scheme_history(scheme)?
        .known(at)
        .map(|revision| &revision.content)
        .filter(|scheme| scheme.is_live_in(period))?
        .planned_in(period)
}

/// Delivered by all schemes in the month; `None` when the month was not returned, one of its lines has no figure, or a line that it
/// [`owed`] is not there.
///
/// `counts` says which schemes are to be added.
#[must_use]
pub fn delivered_in_month(
    ledger: &Ledger,
    period: Period,
    at: &KnownAt,
    counts: impl Fn(SchemeId) -> bool,
) -> Option<Pence> {
    if !has_return(ledger, period, at) {
        return None;
    }
    let mut schemes: Vec<SchemeId> = lines(ledger, period, at)
        .iter()
        .map(|line| line.scheme)
        .chain(owed(ledger, period, at))
        .filter(|id| counts(*id))
        .collect();
    schemes.sort_unstable();
    schemes.dedup();
    schemes
        .into_iter()
        .map(|id| in_month(ledger, id, period, at))
        .sum()
}

/// Planned for all schemes in the month, as returned or as registered.
#[must_use]
pub fn planned_in_month(
    ledger: &Ledger,
    period: Period,
    at: &KnownAt,
    counts: impl Fn(SchemeId) -> bool,
) -> Pence {
    let mut schemes: Vec<SchemeId> = lines(ledger, period, at)
        .iter()
        .map(|line| line.scheme)
        .collect();
    schemes.extend(ledger.schemes(at).map(|revision| revision.content.id));
    schemes.sort_unstable();
    schemes.dedup();
    schemes
        .into_iter()
        .filter(|id| counts(*id))
        .filter_map(|id| plan_in_month(ledger, id, period, at))
        .sum()
}

/// One scheme's part of a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SchemePosition {
    /// The scheme.
    pub scheme: SchemeId,
    /// Planned for the month.
    pub plan_month: Option<Pence>,
    /// Planned since April.
    pub plan_ytd: Option<Pence>,
    /// Delivered in the month.
    pub actual_month: Option<Pence>,
    /// Delivered since April.
    pub actual_ytd: Option<Pence>,
    /// Expected for the year.
    pub forecast: Option<Pence>,
    /// Recurrent part of what was delivered in the month.
    pub recurrent: Option<Pence>,
}

/// Plan, delivery and forecast at the end of a month. Sums of these are [`Position::add`]: partial sums merge in any order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// Planned for the month.
    pub plan_month: Option<Pence>,
    /// Delivered in the month.
    pub actual_month: Option<Pence>,
    /// Planned since April.
    pub plan_ytd: Option<Pence>,
    /// Delivered since April.
    pub actual_ytd: Option<Pence>,
    /// Planned since April, over the organisations that state what they delivered since April: what a delivery ratio may be held against.
    pub plan_ytd_of_delivered: Option<Pence>,
    /// Delivered since April, over the organisations that state what they planned since April: what a delivery ratio is made of.
    pub actual_ytd_of_planned: Option<Pence>,
    /// Expected for the year.
    pub forecast: Option<Pence>,
    /// Planned for the whole year by the schemes registered.
    pub plan_year: Option<Pence>,
    /// Recurrent part of what was delivered in the month, and what it is a part of.
    pub recurrent: Option<(Pence, Pence)>,
    /// Organisations added up.
    pub organisations: u32,
    /// Of these, those with a figure for the year to date.
    pub organisations_with_actual_ytd: u32,
    /// Any figure is simulated.
    pub simulated: bool,
}

impl Position {
    /// Delivered / planned since April, over the organisations that state both.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "a ratio for people to read")]
    pub fn delivery_ratio(&self) -> Option<f64> {
        let (actual, plan) = (self.actual_ytd_of_planned?, self.plan_ytd_of_delivered?);
        (plan.0 > 0).then(|| actual.0 as f64 / plan.0 as f64)
    }

    /// Recurrent share of what was delivered in the month.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "a ratio for people to read")]
    pub fn recurrent_share(&self) -> Option<f64> {
        let (recurrent, of) = self.recurrent?;
        (of.0 > 0).then(|| recurrent.0 as f64 / of.0 as f64)
    }

    /// Adds another position. Organisations without a figure are left out of that figure, and the counts say how many there were.
    #[must_use]
    #[allow(
        clippy::should_implement_trait,
        reason = "no `+`: what is left out of a figure deserves a name that can be looked up"
    )]
    pub fn add(self, other: &Self) -> Self {
        let both = |a: Option<Pence>, b: Option<Pence>| match (a, b) {
            (Some(a), Some(b)) => Some(a + b),
            (one, other) => one.or(other),
        };
        let recurrent = match (self.recurrent, other.recurrent) {
            (Some((r, of)), Some((r2, of2))) => Some((r + r2, of + of2)),
            (one, other) => one.or(other),
        };
        Self {
            plan_month: both(self.plan_month, other.plan_month),
            actual_month: both(self.actual_month, other.actual_month),
            plan_ytd: both(self.plan_ytd, other.plan_ytd),
            actual_ytd: both(self.actual_ytd, other.actual_ytd),
            plan_ytd_of_delivered: both(self.plan_ytd_of_delivered, other.plan_ytd_of_delivered),
            actual_ytd_of_planned: both(self.actual_ytd_of_planned, other.actual_ytd_of_planned),
            forecast: both(self.forecast, other.forecast),
            plan_year: both(self.plan_year, other.plan_year),
            recurrent,
            organisations: self.organisations + other.organisations,
            organisations_with_actual_ytd: self.organisations_with_actual_ytd
                + other.organisations_with_actual_ytd,
            simulated: self.simulated || other.simulated,
        }
    }
}

/// The position of one organisation at the end of a month, with its schemes.
#[must_use]
pub fn position(ledger: &Ledger, period: Period, at: &KnownAt) -> (Position, Vec<SchemePosition>) {
    let ids = schemes_of_year(ledger, period, at);
    let schemes: Vec<SchemePosition> = ids
        .iter()
        .map(|id| scheme_position(ledger, *id, period, at))
        .collect();
    let held = lines(ledger, period, at);
    let returned = has_return(ledger, period, at);
    // A scheme whose plan starts later can't have delivered: no month is missing for it.
    let mut begun = schemes
        .iter()
        .filter(|s| has_begun(ledger, s.scheme, period, at))
        .peekable();
    let actual_ytd = if returned && begun.peek().is_some() {
        begun.map(|s| s.actual_ytd).sum()
    } else {
        None
    };
    let actual_month = delivered_in_month(ledger, period, at, |_| true);
    let any = |figure: fn(&SchemePosition) -> Option<Pence>| -> Option<Pence> {
        schemes.iter().filter_map(figure).reduce(|a, b| a + b)
    };
    let plan_ytd = any(|s| s.plan_ytd);
    let recurrent = held
        .iter()
        .filter_map(|l| Some((l.recurrent?, in_month(ledger, l.scheme, period, at)?)));
    let position = Position {
        plan_month: any(|s| s.plan_month),
        actual_month,
        plan_ytd,
        actual_ytd,
        plan_ytd_of_delivered: actual_ytd.and(plan_ytd),
        actual_ytd_of_planned: plan_ytd.and(actual_ytd),
        forecast: any(|s| s.forecast),
        plan_year: plan_year(ledger, &ids, period, at),
        recurrent: recurrent.reduce(|(r, of), (r2, of2)| (r + r2, of + of2)),
        organisations: 1,
        organisations_with_actual_ytd: u32::from(actual_ytd.is_some()),
        simulated: held.iter().any(|l| l.simulated)
            || ledger
                .schemes(at)
                .any(|s| s.content.simulated && ids.contains(&s.content.id)),
    };
    (position, schemes)
}

/// Has the scheme a line in the financial year so far, or a plan that starts by the end of the month?
fn has_begun(ledger: &Ledger, scheme: SchemeId, period: Period, at: &KnownAt) -> bool {
    let registered = ledger
        .scheme_history(scheme)
        .and_then(|history| history.known(at));
    registered.is_some_and(|revision| revision.content.start <= period)
        || period.april().is_some_and(|april| {
            april
                .to(period)
                .any(|month| line(ledger, scheme, month, at).is_some())
        })
}

/// Schemes with a line or a plan between April and the end of the month's financial year.
fn schemes_of_year(ledger: &Ledger, period: Period, at: &KnownAt) -> Vec<SchemeId> {
    let Some(april) = period.april() else {
        return Vec::new();
    };
    let march = april.plus(11).unwrap_or(period);
    let mut ids: Vec<SchemeId> = april
        .to(period)
        .flat_map(|month| lines(ledger, month, at))
        .map(|line| line.scheme)
        .collect();
    let planned = ledger.schemes(at).filter(|s| {
        april
            .to(march)
            .any(|month| s.content.planned_in(month).is_some())
    });
    ids.extend(planned.map(|s| s.content.id));
    ids.sort_unstable();
    ids.dedup();
    ids
}

fn plan_year(ledger: &Ledger, ids: &[SchemeId], period: Period, at: &KnownAt) -> Option<Pence> {
    let april = period.april()?;
    let march = april.plus(11)?;
    ids.iter()
        .flat_map(|id| {
            april
                .to(march)
                .filter_map(|month| registered_plan(ledger, *id, month, at))
        })
        .reduce(|a, b| a + b)
}

fn scheme_position(
    ledger: &Ledger,
    scheme: SchemeId,
    period: Period,
    at: &KnownAt,
) -> SchemePosition {
    let held = line(ledger, scheme, period, at);
    let plan_ytd = period.april().and_then(|april| {
        april
            .to(period)
            .filter_map(|month| plan_in_month(ledger, scheme, month, at))
            .reduce(|a, b| a + b)
    });
    SchemePosition {
        scheme,
        plan_month: plan_in_month(ledger, scheme, period, at),
        plan_ytd,
        actual_month: in_month(ledger, scheme, period, at),
        actual_ytd: year_to_date(ledger, scheme, period, at),
        forecast: held.and_then(|l| l.forecast),
        recurrent: held.and_then(|l| l.recurrent),
    }
}
