//! What a chart is made of. Plain data; the words used outside are those of the profile's reference tool.

use std::cmp::Ordering;

use super::{ImprovementDirection, XmrOptions};
use crate::profile::{Rules, TargetOnLimit};
use crate::{Date, Profile};

/// A drawn XmR chart. Units are those of the values unless said otherwise.
#[derive(Clone, Debug, PartialEq)]
pub struct Chart {
    /// The reading of the method that drew it; print its name on the chart.
    pub profile: Profile,
    /// The segments in order of time, at least one.
    pub segments: Vec<Segment>,
    /// One point per input row, in order of date, at least one.
    pub points: Vec<Point>,
    /// What the last point says; `None` where the profile shows no icon for so few points.
    pub variation_icon: Option<VariationIcon>,
    /// How the limits of the last segment lie to the target; `None` without a target, with a neutral direction, or where the
    /// profile shows no icon for so few points.
    pub assurance: Option<Assurance>,
}

impl Chart {
    /// No chart yet.
    pub(super) fn empty() -> Self {
        Self {
            profile: Profile::default(),
            segments: Vec::new(),
            points: Vec::new(),
            variation_icon: None,
            assurance: None,
        }
    }

    /// Draws the icons, and says by what reading.
    pub(super) fn conclude(&mut self, profile: Profile, options: &XmrOptions, rules: &Rules) {
        let last_point = self
            .points
            .last()
            .expect("rows were checked not to be empty");
        let last_segment = self.segments.last().expect("a row makes a segment");
        let direction = options.improvement_direction;
        let icon = VariationIcon::of(last_point.point_type, direction);
        let assurance = Assurance::of(last_segment, options, rules);
        self.profile = profile;
        self.variation_icon = last_segment.judged.then_some(icon);
        self.assurance = assurance.filter(|_| last_segment.judged);
    }

    /// The segment a point of this chart belongs to.
    pub fn segment_of(&self, point: &Point) -> &Segment {
        &self.segments[point.segment]
    }
}

/// A stretch between rebases, with one centre and one set of limits.
#[derive(Clone, Debug, PartialEq)]
pub struct Segment {
    /// Number of rebases up to and including the segment's first row: 0, 1, 2, …, or from 1 if the first row is a rebase.
    pub rebase_group: usize,
    /// Arithmetic mean of the baseline; `None` if all its values are missing.
    pub mean: Option<f64>,
    /// Limits; `None` if there is no average moving range, as for a single point, or a constant series when screened, and
    /// where the profile gives none for so few points.
    pub limits: Option<Limits>,
    /// Average moving range (AMR) of all moving ranges of the baseline.
    pub average_moving_range_unscreened: Option<f64>,
    /// AMR after screening, the one that sets the limits; `None` if screening left no moving range.
    pub average_moving_range: Option<f64>,
    /// Fewer than 13 rows (missing values count): the limits are trial limits.
    pub short_series: bool,
    /// Whether the profile judges so few points at all. If not, there are no limits, no special causes and no icons.
    pub judged: bool,
}

/// Limits around a mean. Not clipped: a proportion may have an upper limit above 1, a count a lower limit below 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Lower process limit, `mean − 2.66 × AMR`.
    pub lower: f64,
    /// Upper process limit, `mean + 2.66 × AMR`.
    pub upper: f64,
    /// Near lower limit, `mean − 2/3 × 2.66 × AMR`.
    pub near_lower: f64,
    /// Near upper limit, `mean + 2/3 × 2.66 × AMR`.
    pub near_upper: f64,
}

impl Limits {
    pub(super) fn around(mean: f64, average_moving_range: f64, rules: &Rules) -> Self {
        let far = rules.limit_multiplier * average_moving_range;
        let near = rules.near_limit_multiplier * average_moving_range;
        Self {
            lower: mean - far,
            upper: mean + far,
            near_lower: mean - near,
            near_upper: mean + near,
        }
    }
}

/// One row of the series and all that is said about it. `None` means that it cannot be known.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// The day.
    pub date: Date,
    /// The value; `None` is missing.
    pub value: Option<f64>,
    /// Index into [`Chart::segments`].
    pub segment: usize,
    /// Whether the value counts in its segment's mean.
    pub used_for_limits: bool,
    /// `|y_i − y_{i−1}|` within the baseline; `None` at its start, beside a missing value, and after a fixed baseline.
    pub moving_range: Option<f64>,
    /// Whether screening left the moving range out.
    pub moving_range_screened_out: bool,
    /// Side of the mean.
    pub side: Option<Side>,
    /// Strictly beyond a process limit.
    pub outside_limits: Option<bool>,
    /// Strictly beyond a near limit, and not outside.
    pub close_to_limits: Option<bool>,
    /// One of seven (by some profiles six) points in strict rise, before precedence.
    pub rising: bool,
    /// One of seven (or six) points in strict fall, before precedence. A peak may be both.
    pub falling: bool,
    /// One of two that count in a window of three on one side of the mean, before precedence. Which points count is the
    /// profile's: those close to the limits, or those outside too.
    pub part_of_two_in_three: Option<bool>,
    /// One of seven (or six) points on one side of the mean, before precedence.
    pub part_of_shift: Option<bool>,
    /// The one label left after precedence.
    pub special_cause: SpecialCause,
    /// What the label means for the direction wanted.
    pub point_type: PointType,
}

impl Point {
    pub(super) fn new(date: Date, value: Option<f64>) -> Self {
        Self {
            date,
            value,
            segment: 0,
            used_for_limits: false,
            moving_range: None,
            moving_range_screened_out: false,
            side: None,
            outside_limits: None,
            close_to_limits: None,
            rising: false,
            falling: false,
            part_of_two_in_three: Some(false),
            part_of_shift: Some(false),
            special_cause: SpecialCause::CommonCause,
            point_type: PointType::CommonCause,
        }
    }

    /// One of a trend, in either direction, before precedence.
    pub fn part_of_trend(&self) -> bool {
        self.rising || self.falling
    }
}

/// Side of the mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// Strictly below.
    Below,
    /// Exactly on it: breaks runs.
    On,
    /// Strictly above.
    Above,
}

impl Side {
    pub(super) fn of(value: f64, mean: f64) -> Self {
        match value.partial_cmp(&mean) {
            Some(Ordering::Less) => Self::Below,
            Some(Ordering::Greater) => Self::Above,
            _ => Self::On,
        }
    }

    /// −1, 0 or 1.
    pub fn sign(self) -> i8 {
        match self {
            Self::Below => -1,
            Self::On => 0,
            Self::Above => 1,
        }
    }
}

/// The label of a point, the strongest rule first. Which is left where several fire is the profile's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SpecialCause {
    /// Beyond the upper process limit.
    AboveUpperLimit,
    /// Beyond the lower process limit.
    BelowLowerLimit,
    /// In a strict rise of seven points (by some profiles six).
    TrendIncreasing,
    /// In a strict fall of seven (or six) points.
    TrendDecreasing,
    /// One of two in three near the upper limit.
    TwoInThreeAbove,
    /// One of two in three near the lower limit.
    TwoInThreeBelow,
    /// In a run of seven (or six) above the mean.
    ShiftAbove,
    /// In a run of seven (or six) below the mean.
    ShiftBelow,
    /// No rule fires.
    CommonCause,
}

impl SpecialCause {
    /// The label in the words of NHSRplotthedots, with the length of runs of the profile.
    pub fn label(self, profile: Profile) -> &'static str {
        let six = profile.run_points() == 6;
        match self {
            Self::AboveUpperLimit => "Above UCL",
            Self::BelowLowerLimit => "Below LCL",
            Self::TrendIncreasing if six => "6 Point Trend (Increasing)",
            Self::TrendIncreasing => "7 Point Trend (Increasing)",
            Self::TrendDecreasing if six => "6 Point Trend (Decreasing)",
            Self::TrendDecreasing => "7 Point Trend (Decreasing)",
            Self::TwoInThreeAbove => "2 in 3 Above CL",
            Self::TwoInThreeBelow => "2 in 3 Below CL",
            Self::ShiftAbove if six => "6 Points Above CL",
            Self::ShiftAbove => "7 Points Above CL",
            Self::ShiftBelow if six => "6 Points Below CL",
            Self::ShiftBelow => "7 Points Below CL",
            Self::CommonCause => "Common Cause",
        }
    }

    /// Whether any rule fires.
    pub fn is_special(self) -> bool {
        self != Self::CommonCause
    }
}

/// What a point's label means for the direction wanted.
///
/// The label decides, not the level: a falling trend wholly above the mean is a concern where higher is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PointType {
    /// No special cause.
    CommonCause,
    /// Special cause in the direction wanted.
    Improvement,
    /// Special cause against the direction wanted.
    Concern,
    /// Special cause upwards, with no direction wanted.
    NeutralHigh,
    /// Special cause downwards, with no direction wanted.
    NeutralLow,
}

impl PointType {
    pub(super) fn of(cause: SpecialCause, direction: ImprovementDirection) -> Self {
        use SpecialCause as Cause;
        let upwards = match cause {
            Cause::AboveUpperLimit
            | Cause::TrendIncreasing
            | Cause::TwoInThreeAbove
            | Cause::ShiftAbove => true,
            Cause::BelowLowerLimit
            | Cause::TrendDecreasing
            | Cause::TwoInThreeBelow
            | Cause::ShiftBelow => false,
            Cause::CommonCause => return Self::CommonCause,
        };
        match (direction, upwards) {
            (ImprovementDirection::Neutral, true) => Self::NeutralHigh,
            (ImprovementDirection::Neutral, false) => Self::NeutralLow,
            (ImprovementDirection::Increase, true) | (ImprovementDirection::Decrease, false) => {
                Self::Improvement
            }
            (ImprovementDirection::Increase, false) | (ImprovementDirection::Decrease, true) => {
                Self::Concern
            }
        }
    }

    /// The name in the words of NHSRplotthedots.
    pub fn name(self) -> &'static str {
        match self {
            Self::CommonCause => "common_cause",
            Self::Improvement => "special_cause_improvement",
            Self::Concern => "special_cause_concern",
            Self::NeutralHigh => "special_cause_neutral_high",
            Self::NeutralLow => "special_cause_neutral_low",
        }
    }
}

/// The variation icon: the last point's type, drawn for the direction wanted. Earlier points do not matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VariationIcon {
    /// Common cause.
    CommonCause,
    /// Concern, where lower is better.
    ConcernHigh,
    /// Concern, where higher is better.
    ConcernLow,
    /// Improvement, where higher is better.
    ImprovementHigh,
    /// Improvement, where lower is better.
    ImprovementLow,
    /// Upwards, with no direction wanted.
    NeutralHigh,
    /// Downwards, with no direction wanted.
    NeutralLow,
}

impl VariationIcon {
    fn of(last: PointType, direction: ImprovementDirection) -> Self {
        let higher_is_better = direction == ImprovementDirection::Increase;
        match last {
            PointType::CommonCause => Self::CommonCause,
            PointType::Concern if higher_is_better => Self::ConcernLow,
            PointType::Concern => Self::ConcernHigh,
            PointType::Improvement if higher_is_better => Self::ImprovementHigh,
            PointType::Improvement => Self::ImprovementLow,
            PointType::NeutralHigh => Self::NeutralHigh,
            PointType::NeutralLow => Self::NeutralLow,
        }
    }

    /// The icon's name in the words of NHSRplotthedots.
    pub fn name(self) -> &'static str {
        match self {
            Self::CommonCause => "common_cause",
            Self::ConcernHigh => "concern_high",
            Self::ConcernLow => "concern_low",
            Self::ImprovementHigh => "improvement_high",
            Self::ImprovementLow => "improvement_low",
            Self::NeutralHigh => "neutral_high",
            Self::NeutralLow => "neutral_low",
        }
    }
}

/// Whether the process, left alone, will meet the target. The data themselves are not compared with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Assurance {
    /// The target lies beyond the limits on the easy side.
    ConsistentPass,
    /// The target lies beyond the limits on the hard side.
    ConsistentFail,
    /// The target lies between the limits, or there are none. Whether one exactly on a limit lies beyond it is the profile's.
    Inconsistent,
}

impl Assurance {
    fn of(last: &Segment, options: &XmrOptions, rules: &Rules) -> Option<Self> {
        let target = options.target?;
        let higher_is_better = match options.improvement_direction {
            ImprovementDirection::Increase => true,
            ImprovementDirection::Decrease => false,
            ImprovementDirection::Neutral => return None,
        };
        let Some(limits) = last.limits else {
            return Some(Self::Inconsistent);
        };
        let on_limit_is_beyond = rules.target_on_limit == TargetOnLimit::Beyond;
        let above = target > limits.upper || (on_limit_is_beyond && target == limits.upper);
        let below = target < limits.lower || (on_limit_is_beyond && target == limits.lower);
        Some(match (above, below) {
            // Limits of no width, and the target on them: every value meets it.
            (true, true) => Self::ConsistentPass,
            (true, false) => Self::consistent(!higher_is_better),
            (false, true) => Self::consistent(higher_is_better),
            (false, false) => Self::Inconsistent,
        })
    }

    fn consistent(passes: bool) -> Self {
        if passes {
            Self::ConsistentPass
        } else {
            Self::ConsistentFail
        }
    }

    /// The name in the words of NHSRplotthedots.
    pub fn name(self) -> &'static str {
        match self {
            Self::ConsistentPass => "consistent_pass",
            Self::ConsistentFail => "consistent_fail",
            Self::Inconsistent => "inconsistent",
        }
    }

    /// The icon's name in the words of NHSRplotthedots.
    pub fn icon(self) -> &'static str {
        match self {
            Self::ConsistentPass => "pass",
            Self::ConsistentFail => "fail",
            Self::Inconsistent => "inconsistent",
        }
    }
}
