//! Facts of the profiles, one each: of `nhsr_0_2_2` unless the name says the workbook. The golden vectors prove the whole; these
//! say what is meant.

use super::*;

const UP: [f64; 14] = [
    5.0, 4.0, 6.0, 5.0, 4.0, 6.0, 5.0, 4.0, 6.0, 5.0, 4.0, 6.0, 5.0, 5.0,
];

fn days(count: usize) -> Vec<Date> {
    let months = (0..count).map(|month| {
        let (year, month) = (2009 + month / 12, 1 + month % 12);
        Date::new(year.try_into().unwrap(), month.try_into().unwrap(), 1).unwrap()
    });
    months.collect()
}

fn draw_gappy(values: &[Option<f64>], options: &XmrOptions) -> Result<Chart, XmrError> {
    chart(Profile::Nhsr022, &days(values.len()), values, options)
}

fn draw_with(values: &[f64], options: &XmrOptions) -> Chart {
    let values: Vec<_> = values.iter().copied().map(Some).collect();
    draw_gappy(&values, options).unwrap()
}

fn draw(values: &[f64]) -> Chart {
    draw_with(values, &XmrOptions::default())
}

fn causes(chart: &Chart) -> Vec<SpecialCause> {
    chart
        .points
        .iter()
        .map(|point| point.special_cause)
        .collect()
}

fn trends(chart: &Chart) -> Vec<bool> {
    chart
        .points
        .iter()
        .map(|point| point.part_of_trend())
        .collect()
}

/// Fixed limits from a quiet baseline of 12 points: mean 5, AMR 1 (so 2.34 to 7.66, near limits 3.23 and 6.77).
fn after_quiet_baseline(tail: &[f64]) -> Chart {
    let quiet = [5.0, 4.5, 5.5, 4.5, 5.5, 4.5, 5.5, 4.5, 5.5, 4.5, 5.5, 5.0];
    let options = XmrOptions {
        fix_after_n_points: Some(12),
        screen_outliers: Some(false),
        ..XmrOptions::default()
    };
    let mut chart = draw_with(&[&quiet, tail].concat(), &options);
    assert_eq!(chart.segments[0].mean, Some(5.0));
    assert!((chart.segments[0].average_moving_range.unwrap() - 10.0 / 11.0).abs() < 1e-12);
    chart.points.drain(..12);
    chart
}

#[test]
fn limits_are_2_66_average_moving_ranges_from_the_mean() {
    let chart = draw(&[3.039, 7.823]);
    let limits = chart.segments[0].limits.unwrap();
    assert!((limits.upper - (5.431 + 2.66 * 4.784)).abs() < 1e-12);
    assert!((limits.lower - (5.431 - 2.66 * 4.784)).abs() < 1e-12);
    assert!((limits.near_upper - (5.431 + 2.66 * 4.784 * 2.0 / 3.0)).abs() < 1e-12);
}

#[test]
fn a_single_point_has_a_mean_and_no_limits_and_is_common_cause() {
    let options = XmrOptions {
        target: Some(10.0),
        ..XmrOptions::default()
    };
    let chart = draw_with(&[4.393], &options);
    assert_eq!(chart.segments[0].mean, Some(4.393));
    assert_eq!(chart.segments[0].limits, None);
    assert!(chart.segments[0].short_series);
    assert_eq!(chart.points[0].side, Some(Side::On));
    assert_eq!(chart.points[0].outside_limits, None);
    assert_eq!(chart.variation_icon, Some(VariationIcon::CommonCause));
    assert_eq!(chart.assurance, Some(Assurance::Inconsistent));
}

#[test]
fn a_constant_series_loses_its_limits_to_screening_and_flags_nothing() {
    let options = XmrOptions {
        target: Some(1.0),
        ..XmrOptions::default()
    };
    let chart = draw_with(&[0.728; 15], &options);
    assert_eq!(chart.segments[0].limits, None);
    assert_eq!(chart.segments[0].average_moving_range_unscreened, Some(0.0));
    assert!(causes(&chart).iter().all(|cause| !cause.is_special()));
    assert_eq!(chart.assurance, Some(Assurance::Inconsistent));
}

#[test]
fn a_constant_series_without_screening_has_limits_of_no_width_and_is_assured() {
    let options = |target| XmrOptions {
        target: Some(target),
        screen_outliers: Some(false),
        ..XmrOptions::default()
    };
    let chart = draw_with(&[0.728; 15], &options(1.0));
    let limits = chart.segments[0].limits.unwrap();
    assert_eq!((limits.lower, limits.upper), (0.728, 0.728));
    assert!(causes(&chart).iter().all(|cause| !cause.is_special()));
    assert_eq!(chart.assurance, Some(Assurance::ConsistentFail));
    let on_limit = draw_with(&[0.728; 15], &options(0.728));
    assert_eq!(on_limit.assurance, Some(Assurance::Inconsistent));
}

#[test]
fn screening_is_one_pass_over_moving_ranges_and_leaves_the_mean_alone() {
    let mut values = UP.to_vec();
    values[6] = 50.0;
    let chart = draw(&values);
    let screened: Vec<usize> = (0..values.len())
        .filter(|&i| chart.points[i].moving_range_screened_out)
        .collect();
    assert_eq!(screened, [6, 7]);
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    assert!((chart.segments[0].mean.unwrap() - mean).abs() < 1e-12);
    assert!(chart.points.iter().all(|point| point.used_for_limits));
}

#[test]
fn moving_ranges_are_screened_from_3_267_times_their_average() {
    // Nine moving ranges of 1 and one of x: x is 3.2660 times the average for 4.365, and 3.2680 times for 4.369.
    for (last, screened_out) in [(4.365, false), (4.369, true)] {
        let chart = draw(&[0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 1.0 + last]);
        assert_eq!(
            chart.points[10].moving_range_screened_out, screened_out,
            "{last}"
        );
    }
}

#[test]
fn seven_strictly_rising_points_are_a_trend_and_six_are_not() {
    assert_eq!(
        trends(&after_quiet_baseline(&[4.0, 4.2, 4.4, 4.6, 4.8, 4.9, 4.7])),
        [false; 7]
    );
    let chart = after_quiet_baseline(&[4.0, 4.2, 4.4, 4.6, 4.8, 4.9, 5.1, 5.05]);
    assert_eq!(
        trends(&chart),
        [true, true, true, true, true, true, true, false]
    );
    assert_eq!(chart.points[6].special_cause, SpecialCause::TrendIncreasing);
}

#[test]
fn a_tie_breaks_a_trend() {
    let chart = after_quiet_baseline(&[4.0, 4.2, 4.4, 4.4, 4.6, 4.8, 4.9, 5.1]);
    assert_eq!(trends(&chart), [false; 8]);
}

#[test]
fn a_peak_shared_by_a_rise_and_a_fall_is_labelled_decreasing() {
    let chart = after_quiet_baseline(&[
        4.2, 4.4, 4.6, 4.8, 5.2, 5.4, 5.6, 5.4, 5.3, 4.9, 4.8, 4.6, 4.4,
    ]);
    assert_eq!(chart.points[5].special_cause, SpecialCause::TrendIncreasing);
    assert_eq!(chart.points[6].special_cause, SpecialCause::TrendDecreasing);
}

#[test]
fn the_last_point_of_a_rise_that_ties_with_the_next_rise_is_labelled_decreasing() {
    let chart = after_quiet_baseline(&[
        4.0, 4.1, 4.2, 4.3, 4.4, 4.5, 4.6, 4.6, 4.7, 4.8, 4.9, 5.1, 5.2, 5.3,
    ]);
    assert_eq!(trends(&chart), [true; 14]);
    assert_eq!(chart.points[6].special_cause, SpecialCause::TrendDecreasing);
    for i in (0..14).filter(|&i| i != 6) {
        assert_eq!(
            chart.points[i].special_cause,
            SpecialCause::TrendIncreasing,
            "{i}"
        );
    }
}

#[test]
fn two_in_three_marks_only_the_close_points() {
    let chart = after_quiet_baseline(&[7.0, 5.5, 7.0]);
    let above = SpecialCause::TwoInThreeAbove;
    assert_eq!(causes(&chart), [above, SpecialCause::CommonCause, above]);
}

#[test]
fn a_point_beyond_the_limits_is_not_one_of_two_in_three() {
    let beyond_and_near = after_quiet_baseline(&[7.0, 9.0, 5.5]);
    assert_eq!(
        causes(&beyond_and_near),
        [
            SpecialCause::CommonCause,
            SpecialCause::AboveUpperLimit,
            SpecialCause::CommonCause
        ]
    );
    let near_beyond_near = after_quiet_baseline(&[7.0, 9.0, 7.0]);
    let above = SpecialCause::TwoInThreeAbove;
    assert_eq!(
        causes(&near_beyond_near),
        [above, SpecialCause::AboveUpperLimit, above]
    );
}

#[test]
fn two_in_three_needs_all_three_on_one_side() {
    let chart = after_quiet_baseline(&[7.0, 4.5, 7.0, 5.0]);
    assert!(causes(&chart).iter().all(|cause| !cause.is_special()));
}

#[test]
fn seven_on_one_side_are_a_shift_and_a_point_on_the_mean_breaks_it() {
    let run = [5.5, 5.2, 5.5, 5.2, 5.5, 5.2, 5.5];
    assert_eq!(
        causes(&after_quiet_baseline(&run)),
        [SpecialCause::ShiftAbove; 7]
    );
    let broken = [5.5, 5.2, 5.5, 5.0, 5.2, 5.5, 5.2, 5.5];
    assert_eq!(
        causes(&after_quiet_baseline(&broken)),
        [SpecialCause::CommonCause; 8]
    );
}

#[test]
fn a_fall_wholly_above_the_mean_is_a_concern_where_higher_is_better() {
    let chart = after_quiet_baseline(&[6.6, 6.4, 6.2, 6.0, 5.8, 5.6, 5.4]);
    assert!(
        chart
            .points
            .iter()
            .all(|point| point.side == Some(Side::Above))
    );
    assert_eq!(chart.points[6].special_cause, SpecialCause::TrendDecreasing);
    assert_eq!(chart.points[6].point_type, PointType::Concern);
    assert_eq!(chart.variation_icon, Some(VariationIcon::ConcernLow));
}

#[test]
fn a_missing_value_removes_both_its_moving_ranges_and_a_missing_row_is_bridged() {
    let missing = draw_gappy(&[Some(1.0), None, Some(5.0)], &XmrOptions::default()).unwrap();
    assert_eq!(missing.segments[0].average_moving_range_unscreened, None);
    assert_eq!(missing.segments[0].mean, Some(3.0));
    assert!(!missing.points[1].used_for_limits);
    let bridged = chart(
        Profile::Nhsr022,
        &[
            Date::new(2010, 1, 1).unwrap(),
            Date::new(2010, 3, 1).unwrap(),
        ],
        &[Some(1.0), Some(5.0)],
        &XmrOptions::default(),
    );
    assert_eq!(bridged.unwrap().points[1].moving_range, Some(4.0));
}

#[test]
fn a_missing_value_in_a_possible_trend_refuses_the_chart_unless_told_to_break_it() {
    let mut values: Vec<_> = UP.iter().copied().map(Some).collect();
    values.extend([41.0, 42.0, 43.0, 0.0, 45.0, 46.0, 47.0].map(Some));
    values[17] = None;
    let refusal = draw_gappy(&values, &XmrOptions::default()).unwrap_err();
    assert_eq!(refusal.code(), "trend_undecided");
    assert_eq!(refusal.date(), Some(days(20)[19]), "{refusal}");
    let options = XmrOptions {
        missing_in_trend: Some(MissingInTrend::Breaks),
        ..XmrOptions::default()
    };
    let chart = draw_gappy(&values, &options).unwrap();
    assert!(trends(&chart).iter().all(|trend| !trend));
}

#[test]
fn a_missing_value_away_from_any_trend_is_no_obstacle() {
    let mut values: Vec<_> = UP.iter().copied().map(Some).collect();
    values[6] = None;
    let chart = draw_gappy(&values, &XmrOptions::default()).unwrap();
    assert_eq!(chart.points[6].special_cause, SpecialCause::CommonCause);
    assert_eq!(chart.points[6].part_of_shift, None);
}

#[test]
fn a_wholly_missing_series_has_no_centre() {
    let chart = draw_gappy(&[None; 6], &XmrOptions::default()).unwrap();
    assert_eq!(chart.segments[0].mean, None);
    let refusal = draw_gappy(&[None; 7], &XmrOptions::default()).unwrap_err();
    assert_eq!(refusal.code(), "trend_undecided");
}

#[test]
fn a_rebase_starts_a_segment_only_on_a_day_of_the_data() {
    let rebased_on = |days: Vec<Date>| {
        let options = XmrOptions {
            rebase: days,
            ..XmrOptions::default()
        };
        let chart = draw_with(&UP, &options);
        let groups: Vec<usize> = chart.segments.iter().map(|s| s.rebase_group).collect();
        groups
    };
    let day = days(14);
    assert_eq!(rebased_on(vec![]), [0]);
    assert_eq!(rebased_on(vec![Date::new(2009, 3, 2).unwrap()]), [0]);
    assert_eq!(rebased_on(vec![day[9], day[4], day[9]]), [0, 1, 2]);
    assert_eq!(rebased_on(vec![day[0]]), [1]);
}

#[test]
fn a_fixed_baseline_sets_limits_for_every_row_and_has_the_only_moving_ranges() {
    let options = XmrOptions {
        fix_after_n_points: Some(12),
        ..XmrOptions::default()
    };
    let chart = draw_with(&UP, &options);
    assert!(chart.points[11].used_for_limits && !chart.points[12].used_for_limits);
    assert_eq!(chart.points[12].moving_range, None);
    assert_eq!(chart.points[12].outside_limits, Some(false));
}

#[test]
fn a_series_is_short_below_thirteen_rows() {
    assert!(draw(&UP[..12]).segments[0].short_series);
    assert!(!draw(&UP[..13]).segments[0].short_series);
}

#[test]
fn assurance_compares_the_target_with_the_limits_and_not_with_the_data() {
    let assured = |target, improvement_direction| {
        let options = XmrOptions {
            target: Some(target),
            improvement_direction,
            ..XmrOptions::default()
        };
        draw_with(&UP, &options).assurance
    };
    use ImprovementDirection::{Decrease, Increase, Neutral};
    assert_eq!(assured(100.0, Increase), Some(Assurance::ConsistentFail));
    assert_eq!(assured(100.0, Decrease), Some(Assurance::ConsistentPass));
    assert_eq!(assured(-100.0, Increase), Some(Assurance::ConsistentPass));
    assert_eq!(assured(-100.0, Decrease), Some(Assurance::ConsistentFail));
    assert_eq!(assured(6.0, Increase), Some(Assurance::Inconsistent));
    assert_eq!(assured(100.0, Neutral), None);
}

#[test]
fn input_that_cannot_be_charted_is_refused_with_its_code() {
    let refused = |dates: &[Date], values: &[Option<f64>], options: &XmrOptions| {
        chart(Profile::Nhsr022, dates, values, options)
            .unwrap_err()
            .code()
    };
    let plain = XmrOptions::default();
    let day = days(2);
    assert_eq!(refused(&[], &[], &plain), "no_points");
    assert_eq!(refused(&day, &[Some(1.0)], &plain), "lengths_differ");
    assert_eq!(
        refused(&[day[0]; 2], &[Some(1.0); 2], &plain),
        "duplicate_date"
    );
    for value in [f64::NAN, f64::INFINITY, -1e301] {
        assert_eq!(
            refused(&day, &[Some(1.0), Some(value)], &plain),
            "value_out_of_range"
        );
        let options = XmrOptions {
            target: Some(value),
            ..XmrOptions::default()
        };
        assert_eq!(
            refused(&day, &[Some(1.0); 2], &options),
            "target_out_of_range"
        );
    }
    let fixed = XmrOptions {
        fix_after_n_points: Some(11),
        ..XmrOptions::default()
    };
    assert_eq!(refused(&day, &[Some(1.0); 2], &fixed), "fix_too_short");
    let many = vec![day[0]; MAX_POINTS + 1];
    assert_eq!(
        refused(&many, &vec![None; MAX_POINTS + 1], &plain),
        "too_many_points"
    );
}

#[test]
fn the_largest_values_allowed_have_finite_limits() {
    let values: Vec<f64> = (0..40)
        .map(|i| {
            if i % 2 == 0 {
                MAX_MAGNITUDE
            } else {
                -MAX_MAGNITUDE
            }
        })
        .collect();
    let limits = draw(&values).segments[0].limits.unwrap();
    assert!(limits.upper.is_finite() && limits.lower.is_finite());
}

/// The same quiet baseline by the workbook: mean 5, limits 2.58 to 7.42, near limits 3.39 to 6.61.
fn in_workbook(profile: Profile, tail: &[f64], direction: ImprovementDirection) -> Chart {
    let quiet = [5.0, 4.5, 5.5, 4.5, 5.5, 4.5, 5.5, 4.5, 5.5, 4.5, 5.5, 5.0];
    let options = XmrOptions {
        improvement_direction: direction,
        fix_after_n_points: Some(12),
        ..XmrOptions::default()
    };
    let values: Vec<_> = quiet.iter().chain(tail).copied().map(Some).collect();
    let mut chart = chart(profile, &days(values.len()), &values, &options).unwrap();
    chart.points.drain(..12);
    chart
}

#[test]
fn in_the_workbook_a_point_beyond_the_limits_is_one_of_two_in_three() {
    let chart = in_workbook(
        Profile::MdcExcel2024,
        &[7.0, 9.0, 5.5],
        ImprovementDirection::Increase,
    );
    assert_eq!(
        causes(&chart),
        [
            SpecialCause::TwoInThreeAbove,
            SpecialCause::AboveUpperLimit,
            SpecialCause::CommonCause
        ]
    );
}

#[test]
fn in_the_workbook_improvement_wins_over_a_stronger_rule() {
    // A rise that is wholly below the mean, of which the first is beyond the lower limit.
    let tail = [2.0, 2.8, 3.5, 3.8, 4.0, 4.2, 4.4];
    use ImprovementDirection::{Decrease, Increase, Neutral};
    let first = |direction| {
        let chart = in_workbook(Profile::MdcExcel2024, &tail, direction);
        (chart.points[0].special_cause, chart.points[0].point_type)
    };
    let (below, rising) = (SpecialCause::BelowLowerLimit, SpecialCause::TrendIncreasing);
    assert_eq!(first(Increase), (rising, PointType::Improvement));
    assert_eq!(first(Decrease), (below, PointType::Improvement));
    assert_eq!(first(Neutral), (below, PointType::NeutralLow));
}

#[test]
fn in_the_workbook_runs_may_be_six_points_and_say_so() {
    let run = [5.5, 5.2, 5.5, 5.2, 5.5, 5.2];
    let drawn = |profile| in_workbook(profile, &run, ImprovementDirection::Increase);
    let (six, seven) = (
        drawn(Profile::MdcExcel2024Run6),
        drawn(Profile::MdcExcel2024),
    );
    assert_eq!(causes(&six), [SpecialCause::ShiftAbove; 6]);
    assert_eq!(causes(&seven), [SpecialCause::CommonCause; 6]);
    let label = |chart: &Chart| SpecialCause::ShiftAbove.label(chart.profile);
    assert_eq!(
        (label(&six), label(&seven)),
        ("6 Points Above CL", "7 Points Above CL")
    );
}

#[test]
fn in_the_workbook_a_target_on_a_limit_is_beyond_it() {
    let limits = chart(
        Profile::MdcExcel2024,
        &days(14),
        &UP.map(Some),
        &XmrOptions::default(),
    );
    let limits = limits.unwrap().segments[0].limits.unwrap();
    let assured = |profile, target, improvement_direction| {
        let options = XmrOptions {
            target: Some(target),
            improvement_direction,
            screen_outliers: Some(false),
            ..XmrOptions::default()
        };
        let chart = chart(profile, &days(14), &UP.map(Some), &options);
        chart.unwrap().assurance.unwrap()
    };
    use ImprovementDirection::{Decrease, Increase};
    let (excel, nhsr) = (Profile::MdcExcel2024, Profile::Nhsr022);
    for (target, direction, judged) in [
        (limits.upper, Increase, Assurance::ConsistentFail),
        (limits.upper, Decrease, Assurance::ConsistentPass),
        (limits.lower, Increase, Assurance::ConsistentPass),
        (limits.lower, Decrease, Assurance::ConsistentFail),
    ] {
        assert_eq!(assured(excel, target, direction), judged);
        assert_eq!(assured(nhsr, target, direction), Assurance::Inconsistent);
    }
}

#[test]
fn in_the_workbook_a_constant_series_on_its_target_passes() {
    for improvement_direction in [
        ImprovementDirection::Increase,
        ImprovementDirection::Decrease,
    ] {
        let options = XmrOptions {
            target: Some(0.728),
            improvement_direction,
            ..XmrOptions::default()
        };
        let chart = chart(
            Profile::MdcExcel2024,
            &days(15),
            &[Some(0.728); 15],
            &options,
        )
        .unwrap();
        assert_eq!(chart.assurance, Some(Assurance::ConsistentPass));
    }
}

#[test]
fn the_workbook_screens_nothing_and_refuses_to() {
    let mut values = UP.map(Some);
    values[6] = Some(50.0);
    let options = |screen_outliers| XmrOptions {
        screen_outliers,
        ..XmrOptions::default()
    };
    let drawn = |screen| chart(Profile::MdcExcel2024, &days(14), &values, &options(screen));
    let chart = drawn(None).unwrap();
    assert!(
        chart
            .points
            .iter()
            .all(|point| !point.moving_range_screened_out)
    );
    assert_eq!(drawn(Some(false)), Ok(chart));
    assert_eq!(drawn(Some(true)).unwrap_err().code(), "invalid_option");
}
