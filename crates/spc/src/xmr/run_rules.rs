//! The run rules, over the points of one segment. Each rule is one pass with counters, and marks points backwards when a
//! counter is full, so the work per point is bounded by the length of the rule.
//!
//! Missing values make rules three-valued: a rule holds, does not hold, or cannot be decided (`None`), where "cannot be
//! decided" means that some filling-in of what is missing would make it hold and another would not. Flags follow
//! NHSRplotthedots 0.2.2 in this, cell by cell.

use std::cmp::Ordering;

use super::{ImprovementDirection, Point, PointType, Side, SpecialCause};
use crate::Date;
use crate::profile::{Precedence, TwoInThree};

/// The window of the two-in-three rule, and how many of it must be close to the limits.
const WINDOW: usize = 3;
const CLOSE_IN_WINDOW: usize = 2;

/// Marks every point of `length` consecutive strictly rising, or strictly falling, points. A tie breaks a trend.
///
/// Returns the last day of the first window that cannot be decided: all its known steps go one way, and some step is
/// unknown for want of a value. Its points are left unmarked.
pub(super) fn mark_trends(points: &mut [Point], length: usize) -> Option<Date> {
    let steps_needed = length - 1;
    let (mut rises, mut falls) = (0, 0);
    // Steps that rise, or might; steps that fall, or might.
    let (mut may_rise, mut may_fall) = (0, 0);
    let mut undecided = None;
    for i in 1..points.len() {
        let step = step(&points[i - 1], &points[i]);
        let (up, down) = (Some(Ordering::Greater), Some(Ordering::Less));
        rises = longer_if(step == up, rises);
        falls = longer_if(step == down, falls);
        may_rise = longer_if(step == up || step.is_none(), may_rise);
        may_fall = longer_if(step == down || step.is_none(), may_fall);
        if rises >= steps_needed {
            for point in &mut points[i - steps_needed..=i] {
                point.rising = true;
            }
        } else if falls >= steps_needed {
            for point in &mut points[i - steps_needed..=i] {
                point.falling = true;
            }
        } else if may_rise >= steps_needed || may_fall >= steps_needed {
            undecided = undecided.or(Some(points[i].date));
        }
    }
    undecided
}

/// How the value moved from one row to the next; `None` if either is missing.
fn step(before: &Point, now: &Point) -> Option<Ordering> {
    now.value?.partial_cmp(&before.value?)
}

fn longer_if(holds: bool, run: usize) -> usize {
    if holds { run + 1 } else { 0 }
}

/// Marks every point of `length` consecutive points on the same side of the mean. A point on the mean breaks the run.
///
/// Whether a run ends at a missing value is open whatever came before it; whether one ends at a later point is open only
/// where nothing known among its seven is against it. An open run leaves its points open, unless another run has them.
pub(super) fn mark_shifts(points: &mut [Point], length: usize) {
    let (mut run, mut may_be_above, mut may_be_below) = (0, 0, 0);
    let mut previous = None;
    for i in 0..points.len() {
        let side = points[i].side;
        may_be_above = longer_if(matches!(side, None | Some(Side::Above)), may_be_above);
        may_be_below = longer_if(matches!(side, None | Some(Side::Below)), may_be_below);
        run = if side == previous { run + 1 } else { 1 };
        previous = side;
        let ends_run = match side {
            None => None,
            Some(Side::On) => Some(false),
            Some(_) if run >= length => Some(true),
            Some(Side::Above) => (may_be_above < length).then_some(false),
            Some(Side::Below) => (may_be_below < length).then_some(false),
        };
        // "Or false" changes nothing, and is what nearly every point comes to.
        if ends_run == Some(false) {
            continue;
        }
        for point in &mut points[(i + 1).saturating_sub(length)..=i] {
            point.part_of_shift = either(point.part_of_shift, ends_run);
        }
    }
}

/// Marks the points that count in every window of three that has at least two of them and lies strictly on one side of the
/// mean. Where only points close to the limits count, one beyond them does not, so near-beyond-middle is no signal.
pub(super) fn mark_two_in_three(points: &mut [Point], rule: TwoInThree) {
    // In the package a segment is padded with two rows on the mean at both ends. They never complete a window, but a
    // padded window with a missing value cannot be decided, hence windows may hang over the ends.
    let rows = points.len();
    for end in 1..=rows + WINDOW - 1 {
        let inside = end.saturating_sub(WINDOW)..end.min(rows);
        let holds = window_holds(&points[inside.clone()], rule);
        if holds == Some(false) {
            continue;
        }
        for point in &mut points[inside] {
            point.part_of_two_in_three = either(point.part_of_two_in_three, holds);
        }
    }
    for point in points {
        point.part_of_two_in_three = both(point.part_of_two_in_three, counts(point, rule));
    }
}

/// Whether a point counts for two-in-three.
fn counts(point: &Point, rule: TwoInThree) -> Option<bool> {
    match rule {
        TwoInThree::BetweenLimits => point.close_to_limits,
        TwoInThree::BeyondNearLimit => either(point.close_to_limits, point.outside_limits),
    }
}

/// The two-in-three condition on a window; one with fewer than three rows hangs over an end of the segment.
fn window_holds(window: &[Point], rule: TwoInThree) -> Option<bool> {
    let (mut close, mut above, mut below) = (Some(0), 0, 0);
    let mut sides_known = true;
    for point in window {
        close = Option::zip(close, counts(point, rule))
            .map(|(count, counts)| count + usize::from(counts));
        match point.side {
            Some(Side::Above) => above += 1,
            Some(Side::Below) => below += 1,
            Some(Side::On) => {}
            None => sides_known = false,
        }
    }
    let one_sided = sides_known.then_some(above == WINDOW || below == WINDOW);
    both(close.map(|count| count >= CLOSE_IN_WINDOW), one_sided)
}

/// Three-valued "or": true if either is, unknown if that could still be.
fn either(left: Option<bool>, right: Option<bool>) -> Option<bool> {
    match (left, right) {
        (Some(true), _) | (_, Some(true)) => Some(true),
        (Some(false), Some(false)) => Some(false),
        _ => None,
    }
}

/// Three-valued "and": false if either is, unknown if that could still be.
fn both(left: Option<bool>, right: Option<bool>) -> Option<bool> {
    match (left, right) {
        (Some(false), _) | (_, Some(false)) => Some(false),
        (Some(true), Some(true)) => Some(true),
        _ => None,
    }
}

/// Leaves one label on each point. What cannot be decided is no special cause.
pub(super) fn label(points: &mut [Point], direction: ImprovementDirection, precedence: Precedence) {
    for i in 0..points.len() {
        let cause = match precedence {
            Precedence::StrongestRule => strongest(points, i),
            Precedence::ImprovementWins => improvement_first(&points[i], direction),
        };
        points[i].special_cause = cause;
        points[i].point_type = PointType::of(cause, direction);
    }
}

/// Limits before trend before two-in-three before shift.
fn strongest(points: &[Point], i: usize) -> SpecialCause {
    let point = &points[i];
    let above = point.side == Some(Side::Above);
    let pick = |high, low| if above { high } else { low };
    if point.outside_limits == Some(true) {
        pick(SpecialCause::AboveUpperLimit, SpecialCause::BelowLowerLimit)
    } else if point.part_of_trend() {
        trend_direction(points, i)
    } else if point.part_of_two_in_three == Some(true) {
        pick(SpecialCause::TwoInThreeAbove, SpecialCause::TwoInThreeBelow)
    } else if point.part_of_shift == Some(true) {
        pick(SpecialCause::ShiftAbove, SpecialCause::ShiftBelow)
    } else {
        SpecialCause::CommonCause
    }
}

/// The strongest rule in the direction wanted, else the strongest in the other. With no direction wanted, the stronger of
/// the two; a peak or a trough that two trends share is then called increasing.
fn improvement_first(point: &Point, direction: ImprovementDirection) -> SpecialCause {
    let (up, down) = (upwards(point), downwards(point));
    let (first, second) = match direction {
        ImprovementDirection::Increase => (up, down),
        ImprovementDirection::Decrease => (down, up),
        ImprovementDirection::Neutral => (up.min(down), up.max(down)),
    };
    if first.is_special() { first } else { second }
}

/// The strongest rule that points upwards, or common cause.
fn upwards(point: &Point) -> SpecialCause {
    let above = point.side == Some(Side::Above);
    if above && point.outside_limits == Some(true) {
        SpecialCause::AboveUpperLimit
    } else if point.rising {
        SpecialCause::TrendIncreasing
    } else if above && point.part_of_two_in_three == Some(true) {
        SpecialCause::TwoInThreeAbove
    } else if above && point.part_of_shift == Some(true) {
        SpecialCause::ShiftAbove
    } else {
        SpecialCause::CommonCause
    }
}

/// The strongest rule that points downwards, or common cause.
fn downwards(point: &Point) -> SpecialCause {
    let below = point.side == Some(Side::Below);
    if below && point.outside_limits == Some(true) {
        SpecialCause::BelowLowerLimit
    } else if point.falling {
        SpecialCause::TrendDecreasing
    } else if below && point.part_of_two_in_three == Some(true) {
        SpecialCause::TwoInThreeBelow
    } else if below && point.part_of_shift == Some(true) {
        SpecialCause::ShiftBelow
    } else {
        SpecialCause::CommonCause
    }
}

/// The direction of a point in a trend: that of the step to the next point if that is in a trend too, else that of the
/// step to it. Only a rise is "Increasing".
///
/// So a peak shared by two trends is "Decreasing", and so is the last point of a rise when a tie with the first point
/// of another rise follows. The second is a quirk of the package, kept.
fn trend_direction(points: &[Point], i: usize) -> SpecialCause {
    let next_too = points.get(i + 1).is_some_and(|next| next.part_of_trend());
    // A trend has at least two points: one that does not continue must have come from somewhere.
    let from = if next_too { i } else { i - 1 };
    match step(&points[from], &points[from + 1]) {
        Some(Ordering::Greater) => SpecialCause::TrendIncreasing,
        _ => SpecialCause::TrendDecreasing,
    }
}
