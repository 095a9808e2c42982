//! A chart as the columns of NHSRplotthedots: the `expected` of a chart record.

use serde::Serialize;

use crate::Date;
use crate::xmr::{Chart, Limits, Point, Segment, Side};

/// The columns, in the order of the record.
#[derive(Debug, Serialize)]
pub(super) struct Columns {
    date: Vec<Date>,
    y: Vec<Option<f64>>,
    rebase_group: Vec<usize>,
    used_for_limits: Vec<bool>,
    mean: Vec<Option<f64>>,
    lpl: Vec<Option<f64>>,
    upl: Vec<Option<f64>>,
    nlpl: Vec<Option<f64>>,
    nupl: Vec<Option<f64>>,
    mr: Vec<Option<f64>>,
    mr_screened_out: Vec<bool>,
    amr_unscreened: Vec<Option<f64>>,
    amr: Vec<Option<f64>>,
    relative_to_mean: Vec<Option<i8>>,
    outside_limits: Vec<Option<bool>>,
    close_to_limits: Vec<Option<bool>>,
    part_of_trend: Vec<bool>,
    part_of_two_in_three: Vec<Option<bool>>,
    part_of_shift: Vec<Option<bool>>,
    special_cause_type: Vec<&'static str>,
    special_cause_flag: Vec<bool>,
    point_type: Vec<&'static str>,
    short_group_warning: Vec<bool>,
    variation_icon: Option<&'static str>,
    assurance_type: Option<&'static str>,
    assurance_icon: Option<&'static str>,
}

impl From<&Chart> for Columns {
    fn from(chart: &Chart) -> Self {
        let limit = |pick: fn(&Limits) -> f64| {
            segment_column(chart, |segment| segment.limits.as_ref().map(pick))
        };
        Self {
            date: column(chart, |point| point.date),
            y: column(chart, |point| point.value),
            rebase_group: segment_column(chart, |segment| segment.rebase_group),
            used_for_limits: column(chart, |point| point.used_for_limits),
            mean: segment_column(chart, |segment| segment.mean),
            lpl: limit(|limits| limits.lower),
            upl: limit(|limits| limits.upper),
            nlpl: limit(|limits| limits.near_lower),
            nupl: limit(|limits| limits.near_upper),
            mr: column(chart, |point| point.moving_range),
            mr_screened_out: column(chart, |point| point.moving_range_screened_out),
            amr_unscreened: segment_column(chart, |segment| {
                segment.average_moving_range_unscreened
            }),
            amr: segment_column(chart, |segment| segment.average_moving_range),
            relative_to_mean: column(chart, |point| point.side.map(Side::sign)),
            outside_limits: column(chart, |point| point.outside_limits),
            close_to_limits: column(chart, |point| point.close_to_limits),
            part_of_trend: column(chart, Point::part_of_trend),
            part_of_two_in_three: column(chart, |point| point.part_of_two_in_three),
            part_of_shift: column(chart, |point| point.part_of_shift),
            special_cause_type: column(chart, |point| point.special_cause.label(chart.profile)),
            special_cause_flag: column(chart, |point| point.special_cause.is_special()),
            point_type: column(chart, |point| point.point_type.name()),
            short_group_warning: segment_column(chart, |segment| segment.short_series),
            variation_icon: chart.variation_icon.map(|icon| icon.name()),
            assurance_type: chart.assurance.map(|assurance| assurance.name()),
            assurance_icon: chart.assurance.map(|assurance| assurance.icon()),
        }
    }
}

fn column<T>(chart: &Chart, cell: impl Fn(&Point) -> T) -> Vec<T> {
    chart.points.iter().map(cell).collect()
}

fn segment_column<T>(chart: &Chart, cell: impl Fn(&Segment) -> T) -> Vec<T> {
    column(chart, |point| cell(chart.segment_of(point)))
}
