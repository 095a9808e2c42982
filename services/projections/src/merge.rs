//! Adding up what shards say, each about its own organisations: together it is what one process says that holds them all.
//!
//! Pure. Sums are taken of parts and never of ratios, lists keep their order, and what is missing stays missing. Merging is associative, and
//! the order of shards does not matter. Quantities are exact up to 2 × 10¹², as they are on the wire.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use qipp_api::proto::events::v1 as events;
use qipp_api::proto::projections::v1 as wire;
use qipp_api::proto::projections::v1::point::Value;
use qipp_domain::Quantity;
use qipp_domain::returns::Measured;
use qipp_domain::rollup::add;
use qipp_eventlog::Topic;

/// An answer about some of the organisations.
pub(crate) trait Merge {
    /// Adds what is said about others. Both were given at the same moment.
    fn merge(&mut self, other: Self);

    /// The cut that it was given at.
    fn cut(&self) -> Option<&events::Cut>;

    /// Names the cut of all, and the shards that are not in it.
    fn seal(&mut self, cut: events::Cut, shards_away: Vec<u32>);
}

macro_rules! sealed {
    () => {
        fn cut(&self) -> Option<&events::Cut> {
            self.cut.as_ref()
        }

        fn seal(&mut self, cut: events::Cut, shards_away: Vec<u32>) {
            self.cut = Some(cut);
            self.shards_away = shards_away;
        }
    };
}

impl Merge for wire::GetSeriesResponse {
    /// Both have the same months.
    fn merge(&mut self, other: Self) {
        let mut others = other.points.into_iter();
        for point in &mut self.points {
            if let Some(other) = others.next() {
                debug_assert_eq!(point.period, other.period, "the same months were asked for");
                add_point(point, other);
            }
        }
    }

    sealed!();
}

impl Merge for wire::ListRollUpsResponse {
    /// A token says only that there is more.
    fn merge(&mut self, other: Self) {
        let held = std::mem::take(&mut self.cells);
        self.cells = in_order(held, other.cells, cell_order, add_cell);
        if self.next_page_token.is_empty() {
            self.next_page_token = other.next_page_token;
        }
    }

    sealed!();
}

impl Merge for wire::GetCompletenessResponse {
    fn merge(&mut self, other: Self) {
        self.expected += other.expected;
        self.in_time += other.in_time;
        self.late += other.late;
        self.missing += other.missing;
        self.not_yet_due += other.not_yet_due;
        self.submissions.extend(other.submissions);
        self.submissions.sort_by(|a, b| a.org_code.cmp(&b.org_code));
    }

    sealed!();
}

impl Merge for wire::GetSavingsPositionResponse {
    fn merge(&mut self, other: Self) {
        match (&mut self.position, other.position) {
            (Some(position), Some(other)) => add_position(position, other),
            (position, other) => *position = position.take().or(other),
        }
    }

    sealed!();
}

impl Merge for wire::GetStatusResponse {
    /// What every shard has is counted once; the rest is added.
    fn merge(&mut self, other: Self) {
        self.cut = Some(folded_by_both(self.cut.take(), other.cut));
        self.head = Some(union(self.head.take(), other.head));
        self.digest = String::new();
        self.shard = String::new();
        self.organisations = self.organisations.max(other.organisations);
        self.benchmarks = self.benchmarks.max(other.benchmarks);
        self.returns += other.returns;
        self.revisions += other.revisions;
        self.values += other.values;
        self.schemes += other.schemes;
        self.alerts += other.alerts;
        for parked in other.parked {
            if !self.parked.contains(&parked) {
                self.parked.push(parked);
            }
        }
        self.parked.sort_by(|a, b| place(a).cmp(&place(b)));
        let first = std::mem::take(&mut self.first_period);
        self.first_period = match (first.as_str(), other.first_period.as_str()) {
            ("", _) => other.first_period,
            (_, "") => first,
            _ => first.min(other.first_period),
        };
        let last = std::mem::take(&mut self.last_period);
        self.last_period = last.max(other.last_period);
        self.shards.extend(other.shards);
    }

    sealed!();
}

/// Where something was parked, in the order of the log's topics.
fn place(parked: &wire::Parked) -> (Option<Topic>, &str, u32) {
    let position = parked.position.as_ref();
    let topic = position.and_then(|held| Topic::from_name(&held.topic));
    (
        topic,
        &parked.key,
        position.map_or(0, |held| held.partition),
    )
}

/// Everything that either holds, in order; what both hold is added.
fn in_order<T>(
    a: Vec<T>,
    b: Vec<T>,
    order: impl Fn(&T, &T) -> Ordering,
    add: impl Fn(&mut T, T),
) -> Vec<T> {
    let mut all = Vec::with_capacity(a.len() + b.len());
    let (mut a, mut b) = (a.into_iter().peekable(), b.into_iter().peekable());
    while let (Some(first), Some(second)) = (a.peek(), b.peek()) {
        match order(first, second) {
            Ordering::Less => all.extend(a.next()),
            Ordering::Greater => all.extend(b.next()),
            Ordering::Equal => {
                let both = a.next().zip(b.next());
                all.extend(both.map(|(mut held, other)| {
                    add(&mut held, other);
                    held
                }));
            }
        }
    }
    all.extend(a);
    all.extend(b);
    all
}

/// As roll-ups are ordered: by month, group, marker and part.
fn cell_order(a: &wire::RollUpCell, b: &wire::RollUpCell) -> Ordering {
    a.period
        .cmp(&b.period)
        .then_with(|| a.group_code.cmp(&b.group_code))
        .then_with(|| a.marker.cmp(&b.marker))
        .then_with(|| a.breakdown.cmp(&b.breakdown))
}

fn add_cell(cell: &mut wire::RollUpCell, other: wire::RollUpCell) {
    cell.measured = both(cell.measured, other.measured, add_measured);
    cell.value_of_parts = cell.measured.and_then(value);
    cell.organisations += other.organisations;
    cell.organisations_missing += other.organisations_missing;
    cell.simulated |= other.simulated;
    add_sources(&mut cell.sources, other.sources);
}

/// A source each organisation, in the order of their codes.
fn add_sources(sources: &mut Vec<wire::Source>, others: Vec<wire::Source>) {
    sources.extend(others);
    sources.sort_by(|a, b| a.org_code.cmp(&b.org_code));
}

/// The figures of several organisations of one month, one of which was merged into the other.
fn add_point(point: &mut wire::Point, other: wire::Point) {
    point.organisations += other.organisations;
    point.stands_alone |= other.stands_alone;
    let last = |point: &wire::Point| point.sources.last().map(|source| source.org_code.clone());
    point.value = match (point.value, other.value) {
        _ if point.organisations > 1 && point.stands_alone => {
            Some(Value::Missing(events::Missing::NotApplicable.into()))
        }
        (Some(Value::Measured(a)), Some(Value::Measured(b))) => {
            Some(Value::Measured(add_measured(a, b)))
        }
        (measured @ Some(Value::Measured(_)), _) | (_, measured @ Some(Value::Measured(_))) => {
            measured
        }
        // The reason that the last of them gave.
        (held, reason) if last(&other) > last(point) => reason.or(held),
        (held, reason) => held.or(reason),
    };
    point.value_of_parts = match point.value {
        Some(Value::Measured(measured)) => value(measured),
        _ => None,
    };
    point.definition_version = point.definition_version.max(other.definition_version);
    // The least firm of those that there are.
    let none = i32::from(events::ReturnStatus::Unspecified);
    point.status = match (point.status, other.status) {
        (held, status) if held == none || status == none => held.max(status),
        (held, status) => held.min(status),
    };
    point.simulated |= other.simulated;
    add_sources(&mut point.sources, other.sources);
}

fn add_position(sum: &mut wire::SavingsPosition, other: wire::SavingsPosition) {
    let pence = |a: &mut Option<i64>, b: Option<i64>| *a = both(*a, b, i64::saturating_add);
    pence(&mut sum.plan_month_pence, other.plan_month_pence);
    pence(&mut sum.actual_month_pence, other.actual_month_pence);
    pence(&mut sum.plan_ytd_pence, other.plan_ytd_pence);
    pence(&mut sum.actual_ytd_pence, other.actual_ytd_pence);
    pence(&mut sum.forecast_pence, other.forecast_pence);
    pence(&mut sum.plan_year_pence, other.plan_year_pence);
    pence(
        &mut sum.actual_ytd_of_planned_pence,
        other.actual_ytd_of_planned_pence,
    );
    pence(
        &mut sum.plan_ytd_of_delivered_pence,
        other.plan_ytd_of_delivered_pence,
    );
    pence(&mut sum.recurrent_pence, other.recurrent_pence);
    pence(&mut sum.recurrent_of_pence, other.recurrent_of_pence);
    sum.recurrent_share = ratio(sum.recurrent_pence, sum.recurrent_of_pence);
    sum.delivery_ratio = ratio(
        sum.actual_ytd_of_planned_pence,
        sum.plan_ytd_of_delivered_pence,
    );
    sum.organisations += other.organisations;
    sum.organisations_with_actual_ytd += other.organisations_with_actual_ytd;
    sum.missing_org_codes.extend(other.missing_org_codes);
    sum.missing_org_codes.sort();
    sum.simulated |= other.simulated;
}

/// What is missing on one side is left out; what is missing on both is missing.
fn both<T>(a: Option<T>, b: Option<T>, add: impl Fn(T, T) -> T) -> Option<T> {
    match (a, b) {
        (Some(a), Some(b)) => Some(add(a, b)),
        (one, other) => one.or(other),
    }
}

#[allow(clippy::cast_precision_loss, reason = "a ratio for people to read")]
fn ratio(part: Option<i64>, of: Option<i64>) -> Option<f64> {
    let (part, of) = (part?, of?);
    (of > 0).then(|| part as f64 / of as f64)
}

fn add_measured(a: events::Measured, b: events::Measured) -> events::Measured {
    let sum = add(measured(a), measured(b));
    events::Measured {
        numerator: sum.numerator.to_f64(),
        denominator: sum.denominator.map(Quantity::to_f64),
    }
}

fn value(figure: events::Measured) -> Option<f64> {
    measured(figure).value()
}

fn measured(figure: events::Measured) -> Measured {
    Measured {
        numerator: quantity(figure.numerator),
        denominator: figure.denominator.map(quantity),
    }
}

/// The nearest thousandth is the one that it was made of.
#[allow(
    clippy::cast_possible_truncation,
    reason = "it was made of thousandths that fit; beyond, the largest is the nearest"
)]
fn quantity(number: f64) -> Quantity {
    Quantity::from_thousandths((number * 1000.0).round() as i64)
}

/// The lanes of both. A lane that both have is that of the one that is further.
pub(crate) fn union(a: Option<events::Cut>, b: Option<events::Cut>) -> events::Cut {
    lanes(a, b, |_, one, other| {
        one.unwrap_or(0).max(other.unwrap_or(0))
    })
}

/// What is in every shard has been folded only as far as by the one that is behind.
fn folded_by_both(a: Option<events::Cut>, b: Option<events::Cut>) -> events::Cut {
    lanes(a, b, |topic, one, other| match is_of_all(topic) {
        true => one.unwrap_or(0).min(other.unwrap_or(0)),
        false => one.unwrap_or(0).max(other.unwrap_or(0)),
    })
}

/// Is the topic in every shard?
pub(crate) fn is_of_all(topic: &str) -> bool {
    let topic = Topic::from_name(topic);
    matches!(topic, Some(Topic::Reference | Topic::Benchmarks))
}

fn lanes(
    a: Option<events::Cut>,
    b: Option<events::Cut>,
    choose: impl Fn(&str, Option<u64>, Option<u64>) -> u64,
) -> events::Cut {
    let by_lane = |cut: Option<events::Cut>| -> BTreeMap<(Option<Topic>, u32, String), u64> {
        let next = cut.into_iter().flat_map(|cut| cut.next);
        next.map(|at| {
            (
                (Topic::from_name(&at.topic), at.partition, at.topic),
                at.offset,
            )
        })
        .collect()
    };
    let (a, b) = (by_lane(a), by_lane(b));
    let mut all: Vec<_> = a.keys().chain(b.keys()).cloned().collect();
    all.sort();
    all.dedup();
    let next = all.into_iter().map(|lane| {
        let offset = choose(&lane.2, a.get(&lane).copied(), b.get(&lane).copied());
        let (_, partition, topic) = lane;
        events::Position {
            topic,
            partition,
            offset,
        }
    });
    events::Cut {
        next: next.collect(),
    }
}

#[cfg(test)]
mod tests;
