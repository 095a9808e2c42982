//! National values: what one organisation's finding needs to know of all others, computed from the folded log. Pure.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use qipp_domain::benchmark::NationalValue;
use qipp_domain::nation::Nation;
use qipp_domain::reference::Reference;
use qipp_domain::returns::{Body, ReturnContent, Value};
use qipp_domain::rollup::Peers;
use qipp_domain::{Cut, Dataset, KnownAt, MarkerCode, OrgCode, Period, SeriesKey, Slug};
use qipp_rules::{Moment, marker_slip};
use qipp_serving::Deps;

/// A marker over the organisations of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Group {
    pub(crate) marker: MarkerCode,
    pub(crate) kind: Slug,
}

/// The markers of a return as wholes: parts have no national value, because no rule looks at them.
pub(crate) fn markers(content: &ReturnContent) -> BTreeSet<MarkerCode> {
    match &content.body {
        Body::Savings(_) => BTreeSet::new(),
        Body::Quality(observations) => observations
            .iter()
            .filter(|o| o.key.breakdown.is_none())
            .map(|o| o.key.marker)
            .collect(),
    }
}

/// The groups to look at, month by month, oldest first. When a month moves, every later month that has a value is looked at again: who
/// slips in it was judged against the earlier ones.
pub(crate) fn by_period(
    touched: impl Iterator<Item = (Period, Group)>,
    deps: &Deps,
) -> BTreeMap<Period, Vec<Group>> {
    let mut first: BTreeMap<Group, Period> = BTreeMap::new();
    let mut wanted: BTreeMap<Period, BTreeSet<Group>> = BTreeMap::new();
    for (period, group) in touched {
        first
            .entry(group)
            .and_modify(|held| *held = (*held).min(period))
            .or_insert(period);
        wanted.entry(period).or_default().insert(group);
    }
    let view = deps.follower.view();
    for value in view.benchmarks().iter(&KnownAt::Latest) {
        let group = Group {
            marker: value.marker,
            kind: value.peer_group,
        };
        if first.get(&group).is_some_and(|first| *first < value.period) {
            wanted.entry(value.period).or_default().insert(group);
        }
    }
    wanted
        .into_iter()
        .map(|(period, groups)| (period, groups.into_iter().collect()))
        .collect()
}

/// The national values of a month that differ from those published, or that are new and have their quorum.
pub(crate) fn differing(
    nation: &Nation,
    cut: &Cut,
    today: Date,
    period: Period,
    groups: &[Group],
    quorum: f64,
) -> Vec<NationalValue> {
    let moment = Moment::at(nation, cut.clone(), today);
    let context = moment.context(nation);
    let mut values = Vec::new();
    let mut of_kind: BTreeMap<Slug, Peers> = BTreeMap::new();
    for group in groups {
        let all = of_kind
            .entry(group.kind)
            .or_insert_with(|| Peers::new(nation, context.reference, group.kind));
        let sum = all.national_value(nation, context.reference, group.marker, period);
        let Some(measured) = sum.measured else {
            continue;
        };
        let published = nation
            .benchmarks()
            .known((group.marker, group.kind, period), &KnownAt::Latest);
        if published.is_none()
            && sum.organisations < least(nation, context.reference, *group, period, quorum)
        {
            continue;
        }
        let mut value = NationalValue {
            marker: group.marker,
            peer_group: group.kind,
            period,
            measured,
            organisations: sum.organisations,
            organisations_slipping: 0,
            cut: cut.clone(),
            simulated: sum.simulated,
        };
        let slips = |org: &OrgCode| {
            marker_slip(&context, *org, group.marker, period, Some(&value)).counts_nationally()
        };
        let slipping = peers(nation, context.reference, group.kind)
            .filter(slips)
            .count();
        value.organisations_slipping = u32::try_from(slipping).unwrap_or(u32::MAX);
        if published.is_none_or(|held| {
            NationalValue {
                cut: held.cut.clone(),
                ..value.clone()
            } != *held
        }) {
            values.push(value);
        }
    }
    values
}

fn peers<'a>(
    nation: &'a Nation,
    reference: &'a Reference,
    kind: Slug,
) -> impl Iterator<Item = OrgCode> + 'a {
    nation
        .ledgers()
        .map(|(org, _)| org)
        .filter(move |org| reference.organisation(*org).is_some_and(|o| o.kind == kind))
}

/// How many organisations have to have returned the marker: a share of those that did in the three months before, or, at the
/// beginning of a series, of those that owe the quality return.
fn least(nation: &Nation, reference: &Reference, group: Group, period: Period, quorum: f64) -> u32 {
    let before: Vec<Period> = (1..=3).filter_map(|months| period.plus(-months)).collect();
    let returned = |org: &OrgCode| {
        let ledger = nation.ledger(*org);
        before.iter().any(|month| {
            let found = ledger.and_then(|held| {
                held.observation(SeriesKey::whole(group.marker), *month, &KnownAt::Latest)
            });
            found.is_some_and(|(observation, _)| matches!(observation.value, Value::Measured(_)))
        })
    };
    let regular = peers(nation, reference, group.kind)
        .filter(returned)
        .count();
    let expected = if regular > 0 {
        regular
    } else {
        peers(nation, reference, group.kind)
            .filter(|org| reference.owes(*org, Dataset::Quality, period))
            .count()
    };
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a small count"
    )]
    let least = (expected as f64 * quorum.clamp(0.0, 1.0)).ceil() as u32;
    least.max(1)
}
