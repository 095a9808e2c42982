//! The XmR engine: a series and options in, a [`Chart`] out.
//!
//! The problem in the abstract. Points `(date, value)` are sorted by date and cut into *segments* at the rebase dates.
//! In each segment the first `k` rows (all of them, unless fixed) are the *baseline*: their mean is the centre, and the
//! average of `|y_i − y_{i−1}|` over them (the average moving range, AMR) sets the limits, `mean ± 2.66 × AMR`. Each point
//! then has a side of the mean and a place within the limits, four run rules mark points, and one label per point is left.
//! Nothing crosses a segment boundary. The icons speak of the last point only.
//!
//! Constants and rules belong to a [`Profile`]; quirks of `nhsr_0_2_2` are kept on purpose and named in the tests.
//! The work is linear in the number of points once they are sorted, and the loops do not allocate. Who draws many charts
//! draws them in one [`ChartBuffer`], which allocates nothing once it has held the longest.
//!
//! *Architecture invariant*: values that are missing stay missing. A state that cannot be known (is a missing point
//! beyond the limits?) is `None`, not `false`.

use crate::{Date, Profile, mean};

mod chart;
mod error;
mod run_rules;

pub use chart::{
    Assurance, Chart, Limits, Point, PointType, Segment, Side, SpecialCause, VariationIcon,
};
pub use error::XmrError;
pub(crate) use error::excerpt;

use crate::profile::{Rules, Screening};

/// The most points one chart takes: 274 years of days. A longer series is a mistake in the query that made it.
pub const MAX_POINTS: usize = 100_000;

/// The largest absolute value or target. Beyond it, sums over [`MAX_POINTS`] values could overflow a float.
pub const MAX_MAGNITUDE: f64 = 1e300;

/// Which way the measure should move.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ImprovementDirection {
    /// Higher is better. The default.
    #[default]
    Increase,
    /// Lower is better.
    Decrease,
    /// Neither: special causes are called high and low, and no target is judged.
    Neutral,
}

/// What to do where a missing value leaves it open whether seven points are a trend, because every known step of the
/// seven goes the same way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MissingInTrend {
    /// Refuse the chart with [`XmrError::TrendUndecided`], as NHSRplotthedots does.
    Refuse,
    /// A missing value breaks a trend, as it breaks a shift.
    Breaks,
}

/// How to draw a chart.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct XmrOptions {
    /// Which way is better; default [`ImprovementDirection::Increase`].
    pub improvement_direction: ImprovementDirection,
    /// The value to be reached, in the units of the series; default none, and then no assurance.
    pub target: Option<f64>,
    /// Days at which a new segment starts, in any order; a day that is not in the data does nothing. Default none.
    pub rebase: Vec<Date>,
    /// Take centre and limits of each segment from its first so many rows only (at least 12 under `nhsr_0_2_2`, 2 under
    /// `mdc_excel_2024`); default all rows.
    pub fix_after_n_points: Option<usize>,
    /// Leave moving ranges of 3.267 × AMR or more out of the AMR, once. The mean keeps every value. Default the profile's:
    /// true under `nhsr_0_2_2`, and never under `mdc_excel_2024`, which refuses true.
    pub screen_outliers: Option<bool>,
    /// What a missing value does to a possible trend. Default the profile's: [`MissingInTrend::Refuse`] under
    /// `nhsr_0_2_2`, [`MissingInTrend::Breaks`] under `mdc_excel_2024`.
    pub missing_in_trend: Option<MissingInTrend>,
}

impl XmrOptions {
    /// These options with the profile's defaults filled in, so that nothing about the chart is left to know.
    pub fn resolved(&self, profile: Profile) -> Self {
        let rules = profile.rules();
        let screens = rules.screening == Screening::UnlessDeclined;
        Self {
            screen_outliers: self.screen_outliers.or(Some(screens)),
            missing_in_trend: self.missing_in_trend.or(Some(rules.missing_in_trend)),
            ..self.clone()
        }
    }
}

/// Draws the chart of `values[i]` on `dates[i]`, in any order of rows; `None` is a missing value.
///
/// A missing value removes both moving ranges beside it. A day with no row at all is bridged.
///
/// # Errors
///
/// Any [`XmrError`] but those of parsing text. The chart is drawn whole or not at all.
///
/// ```
/// use qipp_spc::{Date, Profile, xmr};
///
/// let dates: Vec<Date> = (1..=4).filter_map(|month| Date::new(2010, month, 1)).collect();
/// let values = [Some(4.0), Some(6.0), None, Some(5.0)];
/// let chart = xmr::chart(Profile::Nhsr022, &dates, &values, &xmr::XmrOptions::default())?;
/// assert_eq!(chart.segments[0].mean, Some(5.0));
/// assert_eq!(chart.segments[0].average_moving_range_unscreened, Some(2.0));
/// # Ok::<(), xmr::XmrError>(())
/// ```
pub fn chart(
    profile: Profile,
    dates: &[Date],
    values: &[Option<f64>],
    options: &XmrOptions,
) -> Result<Chart, XmrError> {
    let mut buffer = ChartBuffer::default();
    buffer.draw(profile, dates, values, options)?;
    Ok(buffer.chart)
}

/// Memory for one chart, used again for the next: drawing in it allocates only for a chart longer than all before it, for
/// rows out of order, and for rebases.
#[derive(Clone, Debug)]
pub struct ChartBuffer {
    /// Shown to nobody until it is drawn whole.
    chart: Chart,
}

impl Default for ChartBuffer {
    fn default() -> Self {
        Self {
            chart: Chart::empty(),
        }
    }
}

impl ChartBuffer {
    /// Draws as [`chart`] does, in place of the chart that is here.
    ///
    /// # Errors
    ///
    /// As [`chart`].
    pub fn draw(
        &mut self,
        profile: Profile,
        dates: &[Date],
        values: &[Option<f64>],
        options: &XmrOptions,
    ) -> Result<&Chart, XmrError> {
        let rules = profile.rules();
        let Chart {
            segments, points, ..
        } = &mut self.chart;
        segments.clear();
        points.clear();
        check_options(profile, options, &rules)?;
        fill_in_order(points, dates, values)?;

        let mut rebase = options.rebase.clone();
        rebase.sort_unstable();
        let starts_segment = |point: &Point| rebase.binary_search(&point.date).is_ok();
        // Groups are counted from 0, and a rebase on the very first row makes the first group number 1.
        let first_group = usize::from(starts_segment(&points[0]));
        for own in points.chunk_by_mut(|_, next| !starts_segment(next)) {
            let segment = segments.len();
            for point in own.iter_mut() {
                point.segment = segment;
            }
            segments.push(draw_segment(own, first_group + segment, options, &rules)?);
        }
        self.chart.conclude(profile, options, &rules);
        Ok(&self.chart)
    }
}

fn check_options(profile: Profile, options: &XmrOptions, rules: &Rules) -> Result<(), XmrError> {
    if rules.screening == Screening::Never && options.screen_outliers == Some(true) {
        return Err(XmrError::InvalidOption {
            problem: format!("{profile} never screens outliers: leave screen_outliers out"),
        });
    }
    if let Some(found) = options.fix_after_n_points
        && found < rules.fix_at_least
    {
        let minimum = rules.fix_at_least;
        return Err(XmrError::FixTooShort { found, minimum });
    }
    match options.target {
        Some(target) if !in_range(target) => Err(XmrError::TargetOutOfRange { target }),
        _ => Ok(()),
    }
}

pub(crate) fn in_range(value: f64) -> bool {
    value.is_finite() && value.abs() <= MAX_MAGNITUDE
}

/// The rows as points, sorted by day: at least one, not too many, one per day, every value a usable number.
fn fill_in_order(
    points: &mut Vec<Point>,
    dates: &[Date],
    values: &[Option<f64>],
) -> Result<(), XmrError> {
    check_lengths(dates.len(), values.len())?;
    let rows = dates.iter().zip(values);
    points.extend(rows.map(|(date, value)| Point::new(*date, *value)));
    if !points.is_sorted_by_key(|point| point.date) {
        points.sort_by_key(|point| point.date);
    }
    check_rows(points.iter().map(|point| (point.date, point.value)))
}

/// Of rows sorted by day: one per day, every value a usable number.
pub(crate) fn check_rows(
    rows: impl Iterator<Item = (Date, Option<f64>)> + Clone,
) -> Result<(), XmrError> {
    for (date, value) in rows.clone() {
        if let Some(value) = value
            && !in_range(value)
        {
            return Err(XmrError::ValueOutOfRange { date, value });
        }
    }
    let mut pairs = rows.clone().zip(rows.skip(1));
    match pairs.find(|(row, next)| row.0 == next.0) {
        Some(((date, _), _)) => Err(XmrError::DuplicateDate { date }),
        None => Ok(()),
    }
}

pub(crate) fn check_lengths(dates: usize, values: usize) -> Result<(), XmrError> {
    if dates != values {
        return Err(XmrError::LengthsDiffer { dates, values });
    }
    match dates {
        0 => Err(XmrError::NoPoints),
        found if found > MAX_POINTS => Err(XmrError::TooManyPoints {
            found,
            limit: MAX_POINTS,
        }),
        _ => Ok(()),
    }
}

/// Fills in everything that is known of the points of one segment, which start out with day and value only.
fn draw_segment(
    points: &mut [Point],
    rebase_group: usize,
    options: &XmrOptions,
    rules: &Rules,
) -> Result<Segment, XmrError> {
    let fixed = options.fix_after_n_points.unwrap_or(points.len());
    let baseline = fixed.min(points.len());
    let short_series = points.len() < rules.short_below;
    let judged = rules.judged_from == 0
        || points.iter().filter(|point| point.value.is_some()).count() >= rules.judged_from;
    let screen =
        rules.screening == Screening::UnlessDeclined && options.screen_outliers != Some(false);
    let centre = mean(points[..baseline].iter().filter_map(|point| point.value));
    let (unscreened, average) = average_moving_range(&mut points[..baseline], screen, rules);
    let limits = Option::zip(centre, average)
        .filter(|_| judged)
        .map(|(centre, average)| Limits::around(centre, average, rules));

    place_points(points, centre, limits.as_ref());
    if judged {
        let undecided = run_rules::mark_trends(points, rules.run_points);
        let missing = options.missing_in_trend.unwrap_or(rules.missing_in_trend);
        if let (Some(date), MissingInTrend::Refuse) = (undecided, missing) {
            return Err(XmrError::TrendUndecided { date });
        }
        run_rules::mark_two_in_three(points, rules.two_in_three);
        run_rules::mark_shifts(points, rules.run_points);
        run_rules::label(points, options.improvement_direction, rules.precedence);
    }

    Ok(Segment {
        rebase_group,
        mean: centre,
        limits,
        average_moving_range_unscreened: unscreened,
        average_moving_range: average,
        short_series,
        judged,
    })
}

/// Sets the moving ranges of the baseline points; returns their average before and after screening.
///
/// Screening is a single pass and keeps what is strictly below the bound. So a constant series loses all its (zero)
/// moving ranges and has no limits: 0 < 3.267 × 0 is false.
fn average_moving_range(
    baseline: &mut [Point],
    screen: bool,
    rules: &Rules,
) -> (Option<f64>, Option<f64>) {
    let mut previous = None;
    for point in baseline.iter_mut() {
        point.used_for_limits = point.value.is_some();
        point.moving_range = Option::zip(previous, point.value)
            .map(|(before, now): (f64, f64)| (now - before).abs());
        previous = point.value;
    }
    let unscreened = mean(baseline.iter().filter_map(|point| point.moving_range));
    let Some(bound) = unscreened
        .filter(|_| screen)
        .map(|average| rules.screen_multiplier * average)
    else {
        return (unscreened, unscreened);
    };
    for point in baseline.iter_mut() {
        point.moving_range_screened_out = point.moving_range.is_some_and(|range| range >= bound);
    }
    let kept = baseline
        .iter()
        .filter(|point| !point.moving_range_screened_out);
    (
        unscreened,
        mean(kept.filter_map(|point| point.moving_range)),
    )
}

/// Where each point lies: side of the mean, beyond the limits, between near and process limits. All strict.
fn place_points(points: &mut [Point], centre: Option<f64>, limits: Option<&Limits>) {
    for point in points {
        let Some(value) = point.value else { continue };
        point.side = centre.map(|centre| Side::of(value, centre));
        let Some(limits) = limits else { continue };
        let outside = value > limits.upper || value < limits.lower;
        let beyond_near = value > limits.near_upper || value < limits.near_lower;
        point.outside_limits = Some(outside);
        point.close_to_limits = Some(!outside && beyond_near);
    }
}

#[cfg(test)]
mod tests;
