//! What must hold of every XmR chart, whatever the series.
//!
//! Values are small multiples of an eighth, so that shifting, scaling and subtracting them is exact and a property of the
//! method is not mistaken for one of floating point; they repeat often, so that ties and points on the mean occur.

use proptest::prelude::*;
use qipp_spc::xmr::{
    self, Chart, ChartBuffer, ImprovementDirection, Limits, MissingInTrend, Point, PointType,
    Segment, Side, SpecialCause, XmrOptions,
};
use qipp_spc::{Date, Profile};

type Series = Vec<Option<f64>>;

/// The `index`-th of the first 28 days of the months from January 2000.
fn day(index: usize) -> Date {
    let part = |number: usize| u8::try_from(number).expect("a day or a month is small");
    let year = u16::try_from(2000 + index / 336).expect("series are short");
    let date = Date::new(year, part(1 + index % 336 / 28), part(1 + index % 28));
    date.expect("every month has 28 days")
}

fn days(count: usize) -> Vec<Date> {
    (0..count).map(day).collect()
}

fn draw(values: &[Option<f64>], options: &XmrOptions) -> Chart {
    draw_by(Profile::Nhsr022, values, options)
}

fn draw_by(profile: Profile, values: &[Option<f64>], options: &XmrOptions) -> Chart {
    // The workbook has no screening to ask for.
    let options = XmrOptions {
        screen_outliers: options
            .screen_outliers
            .filter(|_| profile == Profile::Nhsr022),
        ..options.clone()
    };
    xmr::chart(profile, &days(values.len()), values, &options)
        .expect("options that suit any series")
}

fn profile() -> impl Strategy<Value = Profile> {
    prop::sample::select(Profile::ALL)
}

/// A walk or noise of eighths: trends, shifts, ties and outliers all happen within 60 points.
fn complete_series() -> impl Strategy<Value = Series> {
    let noise = prop::collection::vec(-40_i32..=40, 1..60);
    let level = prop_oneof![Just(0), -3_i32..=3];
    let spike = prop::option::weighted(0.3, (0_usize..60, -400_i32..=400));
    (noise, level, prop::bool::ANY, spike).prop_map(|(noise, drift, walk, spike)| {
        let mut sum = 0;
        let mut values: Vec<i32> = noise
            .iter()
            .map(|step| {
                sum += drift + step.signum();
                if walk { sum } else { step + drift }
            })
            .collect();
        if let Some((place, size)) = spike
            && let Some(value) = values.get_mut(place)
        {
            *value += size;
        }
        values
            .iter()
            .map(|value| Some(f64::from(*value) / 8.0))
            .collect()
    })
}

fn gappy_series() -> impl Strategy<Value = Series> {
    let holes = prop::collection::vec(prop::bool::weighted(0.12), 60);
    (complete_series(), holes).prop_map(|(mut series, holes)| {
        for (value, hole) in series.iter_mut().zip(holes) {
            *value = value.filter(|_| !hole);
        }
        series
    })
}

fn direction() -> impl Strategy<Value = ImprovementDirection> {
    use ImprovementDirection::{Decrease, Increase, Neutral};
    prop_oneof![Just(Increase), Just(Decrease), Just(Neutral)]
}

/// Options under which any series can be drawn.
fn options() -> impl Strategy<Value = XmrOptions> {
    let target = prop::option::of((-40_i32..40).prop_map(f64::from));
    let rebase = prop::collection::vec((0_usize..60).prop_map(day), 0..3);
    let fix = prop::option::weighted(0.3, 12_usize..30);
    (direction(), target, rebase, fix, prop::bool::ANY).prop_map(
        |(improvement_direction, target, rebase, fix_after_n_points, screen_outliers)| XmrOptions {
            improvement_direction,
            target,
            rebase,
            fix_after_n_points,
            screen_outliers: Some(screen_outliers),
            missing_in_trend: Some(MissingInTrend::Breaks),
        },
    )
}

/// Whether no value is so near a limit, and no moving range so near the screening bound, that rounding decides.
fn clear_of_rounding(chart: &Chart) -> bool {
    let far = |a: f64, b: f64| (a - b).abs() > 1e-9;
    chart.points.iter().all(|point| {
        let Segment {
            limits,
            average_moving_range_unscreened,
            ..
        } = chart.segment_of(point);
        let clear_of_limits = match (point.value, limits) {
            (
                Some(y),
                Some(Limits {
                    lower,
                    upper,
                    near_lower,
                    near_upper,
                }),
            ) if upper > lower => [*lower, *upper, *near_lower, *near_upper]
                .iter()
                .all(|limit| far(y, *limit)),
            _ => true,
        };
        let clear_of_screen = match (point.moving_range, average_moving_range_unscreened) {
            (Some(range), Some(average)) if *average > 0.0 => far(range, 3.267 * average),
            _ => true,
        };
        clear_of_limits && clear_of_screen
    })
}

fn scaled(series: &[Option<f64>], a: f64, b: f64) -> Series {
    series
        .iter()
        .map(|value| value.map(|y| a * y + b))
        .collect()
}

fn mirrored(cause: SpecialCause) -> SpecialCause {
    use SpecialCause::*;
    match cause {
        AboveUpperLimit => BelowLowerLimit,
        BelowLowerLimit => AboveUpperLimit,
        TrendIncreasing => TrendDecreasing,
        TrendDecreasing => TrendIncreasing,
        TwoInThreeAbove => TwoInThreeBelow,
        TwoInThreeBelow => TwoInThreeAbove,
        ShiftAbove => ShiftBelow,
        ShiftBelow => ShiftAbove,
        CommonCause => CommonCause,
    }
}

/// The one label that is not symmetric: a rise or a fall that ends in a tie with the next trend is "Decreasing".
fn ends_in_tie_of_trends(points: &[Point], i: usize) -> bool {
    points.get(i + 1).is_some_and(|next| {
        next.segment == points[i].segment
            && points[i].part_of_trend()
            && next.part_of_trend()
            && next.value == points[i].value
    })
}

/// Whether `holds` of any window of `length` rows with row `i` in it that lies wholly in the segment: the run rules as they
/// are defined. The engine's counters must agree.
fn in_any_window(
    points: &[Point],
    i: usize,
    length: usize,
    holds: impl Fn(&[Point]) -> bool,
) -> bool {
    (0..points.len().saturating_sub(length - 1))
        .filter(|first| (*first..first + length).contains(&i))
        .any(|first| holds(&points[first..first + length]))
}

fn all_steps(window: &[Point], holds: impl Fn(f64, f64) -> bool) -> bool {
    window.windows(2).all(|pair| {
        Option::zip(pair[0].value, pair[1].value).is_some_and(|(before, now)| holds(before, now))
    })
}

fn one_sided(window: &[Point]) -> bool {
    [Side::Above, Side::Below]
        .iter()
        .any(|side| window.iter().all(|point| point.side == Some(*side)))
}

/// Three-valued "and" and "or" over many.
fn all_of(parts: impl IntoIterator<Item = Option<bool>>) -> Option<bool> {
    parts
        .into_iter()
        .try_fold(Some(true), |so_far, part| match part {
            Some(false) => Err(()),
            Some(true) => Ok(so_far),
            None => Ok(None),
        })
        .unwrap_or(Some(false))
}

fn any_of(parts: impl IntoIterator<Item = Option<bool>>) -> Option<bool> {
    all_of(parts.into_iter().map(|part| part.map(|holds| !holds))).map(|none| !none)
}

/// Sides of a segment's rows, with `0` (on the mean) for rows before and after it, as in the package.
fn padded_side(points: &[Point], row: isize) -> Option<i8> {
    usize::try_from(row)
        .ok()
        .and_then(|row| points.get(row))
        .map_or(Some(0), |point| point.side.map(Side::sign))
}

fn padded_close(points: &[Point], row: isize) -> Option<bool> {
    usize::try_from(row)
        .ok()
        .and_then(|row| points.get(row))
        .map_or(Some(false), |point| point.close_to_limits)
}

/// A row ends a run if the six before it equal it and it is not on the mean.
fn ends_run(points: &[Point], row: isize) -> Option<bool> {
    if row >= points.len() as isize {
        return Some(false);
    }
    let own = padded_side(points, row);
    let equal =
        (1..7).map(|back| Option::zip(own, padded_side(points, row - back)).map(|(a, b)| a == b));
    all_of(equal.chain([own.map(|side| side != 0)]))
}

fn defined_shift(points: &[Point], row: isize) -> Option<bool> {
    any_of((0..7).map(|ahead| ends_run(points, row + ahead)))
}

fn defined_two_in_three(points: &[Point], row: isize) -> Option<bool> {
    let window_holds = |first: isize| {
        let rows = || first..first + 3;
        let close: Option<Vec<bool>> = rows().map(|row| padded_close(points, row)).collect();
        let sides: Option<i8> = rows().map(|row| padded_side(points, row)).sum();
        all_of([
            close.map(|close| close.iter().filter(|is| **is).count() >= 2),
            sides.map(|sum| sum.abs() == 3),
        ])
    };
    all_of([
        any_of((row - 2..=row).map(window_holds)),
        padded_close(points, row),
    ])
}

fn segments_of(chart: &Chart) -> impl Iterator<Item = &[Point]> {
    chart.points.chunk_by(|a, b| a.segment == b.segment)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rescaling_keeps_every_label(
        profile in profile(), series in gappy_series(), mut options in options(),
        a in 1_i32..40, b in -400_i32..400,
    ) {
        options.target = None;
        let (a, b) = (f64::from(a) / 4.0, f64::from(b) / 8.0);
        let before = draw_by(profile, &series, &options);
        let after = draw_by(profile, &scaled(&series, a, b), &options);
        prop_assume!(clear_of_rounding(&before) && clear_of_rounding(&after));
        for (before, after) in before.points.iter().zip(&after.points) {
            prop_assert_eq!(before.special_cause, after.special_cause);
            prop_assert_eq!(before.part_of_shift, after.part_of_shift);
            prop_assert_eq!(before.part_of_two_in_three, after.part_of_two_in_three);
        }
        prop_assert_eq!(before.variation_icon, after.variation_icon);
    }

    #[test]
    fn turning_a_series_upside_down_swaps_high_and_low(
        profile in profile(), series in gappy_series(), mut options in options(),
        a in 1_i32..40, b in -400_i32..400,
    ) {
        let (a, b) = (f64::from(-a) / 4.0, f64::from(b) / 8.0);
        let before = draw_by(profile, &series, &options);
        options.improvement_direction = match options.improvement_direction {
            ImprovementDirection::Increase => ImprovementDirection::Decrease,
            ImprovementDirection::Decrease => ImprovementDirection::Increase,
            ImprovementDirection::Neutral => ImprovementDirection::Neutral,
        };
        let after = draw_by(profile, &scaled(&series, a, b), &options);
        prop_assume!(clear_of_rounding(&before) && clear_of_rounding(&after));
        for i in 0..series.len() {
            let (before_cause, after_cause) = (before.points[i].special_cause, after.points[i].special_cause);
            // A point that two trends share has one name, however it is turned.
            if before.points[i].rising && before.points[i].falling {
                continue;
            }
            let nhsr = profile == Profile::Nhsr022;
            if nhsr && before_cause == SpecialCause::TrendDecreasing && ends_in_tie_of_trends(&before.points, i) {
                prop_assert_eq!(after_cause, SpecialCause::TrendDecreasing);
            } else {
                prop_assert_eq!(after_cause, mirrored(before_cause));
            }
        }
    }

    #[test]
    fn a_rebase_makes_two_independent_charts(
        profile in profile(), series in gappy_series(), mut options in options(), cut in any::<prop::sample::Index>(),
    ) {
        options.screen_outliers = None;
        prop_assume!(series.len() > 1);
        let cut = 1 + cut.index(series.len() - 1);
        options.rebase = vec![day(cut)];
        let whole = draw_by(profile, &series, &options);
        options.rebase = vec![];
        let dates = days(series.len());
        let part = |range: std::ops::Range<usize>| {
            xmr::chart(profile, &dates[range.clone()], &series[range], &options).unwrap()
        };
        let (first, second) = (part(0..cut), part(cut..series.len()));
        let parts: Vec<Point> = first.points.iter().cloned()
            .chain(second.points.iter().map(|point| Point { segment: 1, ..point.clone() }))
            .collect();
        prop_assert_eq!(&whole.points, &parts);
        prop_assert_eq!(&whole.segments[0], &first.segments[0]);
        prop_assert_eq!(&whole.segments[1], &Segment { rebase_group: 1, ..second.segments[0].clone() });
        prop_assert_eq!(whole.variation_icon, second.variation_icon);
        prop_assert_eq!(whole.assurance, second.assurance);
    }

    #[test]
    fn nothing_in_one_segment_changes_anything_in_another(
        series in gappy_series(), other in gappy_series(), mut options in options(), cut in any::<prop::sample::Index>(),
    ) {
        prop_assume!(series.len() > 1);
        let cut = 1 + cut.index(series.len() - 1);
        options.rebase = vec![day(cut)];
        let replaced: Series = series[..cut].iter().chain(&other).copied().collect();
        let (before, after) = (draw(&series, &options), draw(&replaced, &options));
        prop_assert_eq!(&before.points[..cut], &after.points[..cut]);
        prop_assert_eq!(&before.segments[0], &after.segments[0]);
    }

    #[test]
    fn the_order_of_the_rows_does_not_matter(
        (series, order) in gappy_series().prop_flat_map(|series| {
            let order: Vec<usize> = (0..series.len()).collect();
            (Just(series), Just(order).prop_shuffle())
        }),
        options in options(),
    ) {
        let dates: Vec<Date> = order.iter().map(|i| day(*i)).collect();
        let values: Series = order.iter().map(|i| series[*i]).collect();
        let shuffled = xmr::chart(Profile::Nhsr022, &dates, &values, &options).unwrap();
        prop_assert_eq!(shuffled, draw(&series, &options));
    }

    #[test]
    fn a_buffer_that_was_used_draws_what_a_new_one_does(
        profile in profile(), all in prop::collection::vec((gappy_series(), options()), 1..6),
    ) {
        let mut buffer = ChartBuffer::default();
        for (series, mut options) in all {
            options.screen_outliers = None;
            options.missing_in_trend = None;
            let dates = days(series.len());
            let again = buffer.draw(profile, &dates, &series, &options).cloned();
            prop_assert_eq!(again, xmr::chart(profile, &dates, &series, &options));
        }
    }

    #[test]
    fn the_workbook_judges_nothing_before_thirteen_values(series in gappy_series(), options in options()) {
        let chart = draw_by(Profile::MdcExcel2024, &series, &options);
        for (segment, points) in segments_of(&chart).enumerate() {
            let values = points.iter().filter(|point| point.value.is_some()).count();
            let judged = values >= 13;
            prop_assert_eq!(chart.segments[segment].judged, judged);
            if !judged {
                prop_assert_eq!(chart.segments[segment].limits, None);
                prop_assert!(points.iter().all(|point| !point.special_cause.is_special()));
            }
        }
        prop_assert_eq!(chart.variation_icon.is_some(), chart.segments.last().unwrap().judged);
    }

    #[test]
    fn in_the_workbook_no_point_is_a_concern_that_is_part_of_an_improvement(series in gappy_series(), options in options()) {
        let chart = draw_by(Profile::MdcExcel2024, &series, &options);
        for point in chart.points.iter().filter(|point| point.point_type == PointType::Concern) {
            let improving_trend = match options.improvement_direction {
                ImprovementDirection::Increase => point.rising,
                ImprovementDirection::Decrease => point.falling,
                ImprovementDirection::Neutral => unreachable!("no direction, no concern"),
            };
            prop_assert!(!improving_trend);
        }
    }

    #[test]
    fn a_missing_value_is_never_flagged(series in gappy_series(), options in options()) {
        let chart = draw(&series, &options);
        for point in chart.points.iter().filter(|point| point.value.is_none()) {
            prop_assert_eq!(point.special_cause, SpecialCause::CommonCause);
            prop_assert!(!point.part_of_trend() && !point.used_for_limits);
            prop_assert_eq!(point.part_of_shift, None);
            prop_assert_eq!(point.side, None);
        }
    }

    #[test]
    fn the_run_rules_are_their_definitions(series in gappy_series(), options in options()) {
        let chart = draw(&series, &options);
        for points in segments_of(&chart) {
            for (i, point) in points.iter().enumerate() {
                let trend = in_any_window(points, i, 7, |window| {
                    all_steps(window, |a, b| a < b) || all_steps(window, |a, b| a > b)
                });
                let shift = in_any_window(points, i, 7, one_sided);
                let two_in_three = point.close_to_limits == Some(true)
                    && in_any_window(points, i, 3, |window| {
                        one_sided(window)
                            && window.iter().filter(|point| point.close_to_limits == Some(true)).count() >= 2
                    });
                prop_assert_eq!(point.part_of_trend(), trend);
                prop_assert_eq!(point.part_of_shift == Some(true), shift);
                prop_assert_eq!(point.part_of_two_in_three == Some(true), two_in_three);
            }
        }
    }

    #[test]
    fn what_cannot_be_decided_is_what_the_padded_windows_leave_open(series in gappy_series(), options in options()) {
        let chart = draw(&series, &options);
        for points in segments_of(&chart) {
            for (row, point) in (0..).zip(points) {
                prop_assert_eq!(point.part_of_shift, defined_shift(points, row));
                prop_assert_eq!(point.part_of_two_in_three, defined_two_in_three(points, row));
            }
        }
    }

    #[test]
    fn a_complete_series_leaves_nothing_undecided(series in complete_series(), mut options in options()) {
        options.missing_in_trend = Some(MissingInTrend::Refuse);
        let chart = draw(&series, &options);
        for point in &chart.points {
            prop_assert!(point.part_of_shift.is_some() && point.side.is_some());
            prop_assert_eq!(point.outside_limits.is_some(), chart.segment_of(point).limits.is_some());
        }
    }

    #[test]
    fn refusing_happens_exactly_where_a_missing_value_could_be_a_trend(series in gappy_series()) {
        let options = XmrOptions::default();
        let open = |window: &[Option<f64>]| {
            let steps = || window.windows(2).map(|pair| Option::zip(pair[0], pair[1]));
            steps().any(|step| step.is_none())
                && (steps().flatten().all(|(a, b)| a < b) || steps().flatten().all(|(a, b)| a > b))
        };
        let refused = xmr::chart(Profile::Nhsr022, &days(series.len()), &series, &options).err();
        prop_assert_eq!(
            refused.map(|error| error.code()),
            series.windows(7).any(open).then_some("trend_undecided")
        );
    }
}
