//! National values: what one organisation's finding needs to know of all others, computed from the folded log.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use qipp_domain::benchmark::{Benchmarks, NationalValue};
use qipp_domain::nation::Nation;
use qipp_domain::reference::Reference;
use qipp_domain::returns::{Body, ReturnContent};
use qipp_domain::rollup::Peers;
use qipp_domain::{Cut, Dataset, KnownAt, MarkerCode, OrgCode, Period, Slug};

use crate::{Moment, slipping_nationally};

/// Share of the expected organisations that have to have returned a marker before its national value is published, unless it is set
/// otherwise: 0 to 1.
pub const QUORUM: f64 = 0.8;

/// A marker over the organisations of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Group {
    /// The marker.
    pub marker: MarkerCode,
    /// Organisations of this kind are each other's peers.
    pub kind: Slug,
}

/// The markers of a return as wholes: parts have no national value, because no rule looks at them.
#[must_use]
pub fn markers(content: &ReturnContent) -> BTreeSet<MarkerCode> {
    match &content.body {
        Body::Savings(_) => BTreeSet::new(),
        Body::Quality(observations) => observations
            .iter()
            .filter(|o| o.key.breakdown.is_none())
            .map(|o| o.key.marker)
            .collect(),
    }
}

/// The groups to look at, month by month. When a month moves, every later month that has a value is looked at again: who slips in it was
/// judged against the earlier ones.
#[must_use]
pub fn with_later_months(
    touched: BTreeMap<Period, BTreeSet<Group>>,
    published: &Benchmarks,
) -> BTreeMap<Period, BTreeSet<Group>> {
    let mut first: BTreeMap<Group, Period> = BTreeMap::new();
    for (period, groups) in &touched {
        for group in groups {
            first.entry(*group).or_insert(*period);
        }
    }
    let mut wanted = touched;
    for value in published.iter(&KnownAt::Latest) {
        let group = Group {
            marker: value.marker,
            kind: value.peer_group,
        };
        if first.get(&group).is_some_and(|first| *first < value.period) {
            wanted.entry(value.period).or_default().insert(group);
        }
    }
    wanted
}

/// The national values of a month in the making: summed up at once, and then the organisations are asked one after the other whether they
/// slip, on an image of the nation that is held without a lock.
#[derive(Debug)]
pub struct Month {
    nation: Nation,
    moment: Moment,
    period: Period,
    groups: BTreeSet<Group>,
    /// By kind the values that differ or could, without who slips.
    values: BTreeMap<Slug, BTreeMap<MarkerCode, NationalValue>>,
    /// Who is still to be asked.
    peers: Vec<(OrgCode, Slug)>,
}

/// What came of asking some organisations.
#[derive(Debug)]
pub enum Asked {
    /// There are more to ask.
    More(Box<Month>),
    /// All were asked: the values that differ from those published, or that are new and have their quorum.
    All(Vec<NationalValue>),
}

impl Month {
    /// Adds up the values of a month that are published or have their quorum.
    #[must_use]
    pub fn begin(
        nation: &Nation,
        cut: &Cut,
        today: Date,
        period: Period,
        groups: BTreeSet<Group>,
        quorum: f64,
    ) -> Self {
        let moment = Moment::of_all(nation, cut.clone(), today);
        let reference = nation.reference(&KnownAt::Latest);
        let mut all_peers: BTreeMap<Slug, Peers> = BTreeMap::new();
        let mut values: BTreeMap<Slug, BTreeMap<MarkerCode, NationalValue>> = BTreeMap::new();
        for group in &groups {
            let peers = all_peers
                .entry(group.kind)
                .or_insert_with(|| Peers::new(nation, &reference, group.kind));
            let sum = peers.national_value(nation, &reference, group.marker, period);
            let Some(measured) = sum.measured else {
                continue;
            };
            let key = (group.marker, group.kind, period);
            if nation.benchmarks().known(key, &KnownAt::Latest).is_none()
                && sum.organisations < least(nation, &reference, peers, *group, period, quorum)
            {
                continue;
            }
            let value = NationalValue {
                marker: group.marker,
                peer_group: group.kind,
                period,
                measured,
                organisations: sum.organisations,
                organisations_slipping: 0,
                cut: cut.clone(),
                simulated: sum.simulated,
            };
            values
                .entry(group.kind)
                .or_default()
                .insert(group.marker, value);
        }
        let kinds = nation.ledgers().filter_map(|(org, _)| {
            let kind = reference.organisation(org)?.kind;
            values.contains_key(&kind).then_some((org, kind))
        });
        Self {
            peers: kinds.collect(),
            nation: nation.frozen(),
            moment,
            period,
            groups,
            values,
        }
    }

    /// What it is about.
    #[must_use]
    pub fn asked_about(&self) -> (Period, BTreeSet<Group>) {
        (self.period, self.groups.clone())
    }

    /// Asks the next `count` organisations.
    #[must_use]
    pub fn ask(mut self, count: usize) -> Asked {
        let context = self.moment.context(&self.nation);
        for _ in 0..count {
            let Some((org, kind)) = self.peers.pop() else {
                break;
            };
            let Some(values) = self.values.get_mut(&kind) else {
                continue;
            };
            for marker in slipping_nationally(&context, org, self.period, values) {
                if let Some(value) = values.get_mut(&marker) {
                    value.organisations_slipping += 1;
                }
            }
        }
        if !self.peers.is_empty() {
            return Asked::More(Box::new(self));
        }
        let published = self.nation.benchmarks();
        let differs = |value: &NationalValue| {
            let key = (value.marker, value.peer_group, value.period);
            published
                .known(key, &KnownAt::Latest)
                .is_none_or(|held| says_other(held, value))
        };
        let values = self.values.into_values().flat_map(BTreeMap::into_values);
        Asked::All(values.filter(differs).collect())
    }
}

/// Do they say different things, wherever they were computed?
fn says_other(held: &NationalValue, value: &NationalValue) -> bool {
    let cut = held.cut.clone();
    NationalValue {
        cut,
        ..value.clone()
    } != *held
}

/// How many organisations have to have returned the marker: a share of those that did in the three months before, or, at the
/// beginning of a series, of those that owe the quality return.
fn least(
    nation: &Nation,
    reference: &Reference,
    peers: &Peers,
    group: Group,
    period: Period,
    quorum: f64,
) -> u32 {
    let before = (1..=3).filter_map(|months| period.plus(-months));
    let regular = peers.with_a_figure(nation, group.marker, before);
    let expected = if regular > 0 {
        regular
    } else {
        let owing = reference
            .obligations()
            .filter(|o| o.dataset == Dataset::Quality)
            .map(|o| o.org)
            .collect::<BTreeSet<OrgCode>>();
        owing
            .into_iter()
            .filter(|org| nation.ledger(*org).is_some())
            .filter(|org| {
                reference
                    .organisation(*org)
                    .is_some_and(|o| o.kind == group.kind)
            })
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
