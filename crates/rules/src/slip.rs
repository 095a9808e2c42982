//! Does a marker slip? (R01)
//!
//! A marker *slips* when it is worse than is usual for this organisation, after what all its peers went through in the same months
//! has been taken off. In detail, for the month `m`:
//!
//! * residual `e` = own figure less the national figure of the same month, on the logit (proportions) or log scale (the rest);
//! * baseline = the residuals of the first 24 months of the series that have one, follow the same version of the definition as `m`
//!   (R98), and come before the three months `m-2..m`. It is frozen: later months never move it, so that a slow decline cannot
//!   become the new normal. With 12 to 23 points it is a *trial* baseline; with fewer nothing is judged;
//! * `z = (e - mean) / max(MRbar / 1.128, SD)`, turned so that plus is adverse;
//! * slipping: `z >= 3` in `m`, or `z >= 2` in two of the three months with all three on the adverse side. Improving is the mirror.
//!
//! A month without a figure breaks the second test (all three have to be seen) and leaves the first alone. A neutral marker has no
//! adverse side and never slips.

use std::collections::BTreeMap;
use std::fmt;

use qipp_domain::alert::{Direction, MarkerEvidence, MarkerPoint};
use qipp_domain::benchmark::NationalValue;
use qipp_domain::marker::{MarkerDefinition, Polarity};
use qipp_domain::returns::Measured;
use qipp_domain::{Dataset, MarkerCode, OrgCode, Period, Quantity, SchemeId};
use qipp_spc::baseline::{Baseline, baseline};

use crate::rule_set::RuleSetInForce;
use crate::series::{Point, Reader, Scale, Series, kind_of, quality_returns};
use crate::suppress::{self, LeftOut};
use crate::{Context, r01};

/// Months that a slip looks at: the month itself and the two before it (R01).
pub const WINDOW: i32 = 3;

/// The numbers that decide whether a marker slips; all are parameters of R01.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// z at which one month is enough.
    pub single: f64,
    /// z that two of three months have to reach.
    pub pair: f64,
    /// Points of a full baseline.
    pub full: u32,
    /// Points of a trial baseline.
    pub least: u32,
}

impl Limits {
    /// The numbers in force.
    #[must_use]
    pub fn of(rules: &RuleSetInForce) -> Self {
        let full = rules.count(&r01::BASELINE_MONTHS);
        Self {
            single: rules.value(&r01::Z_SINGLE),
            pair: rules.value(&r01::Z_PAIR),
            full,
            least: rules.count(&r01::BASELINE_LEAST).min(full),
        }
    }
}

/// Why a marker cannot be judged for a month. None of these means that it is well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotJudged {
    /// No own figure for the month.
    NoFigure,
    /// The version of the definition is not known.
    NoDefinition,
    /// Neither direction is better.
    Neutral,
    /// No national value of the month, or a figure that has no place on the scale.
    NoComparison,
    /// So many points before the window; 12 are needed.
    TooFewPoints(u32),
    /// The baseline does not vary, so nothing can be said about how unusual a change is.
    ConstantBaseline,
}

impl fmt::Display for NotJudged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoFigure => f.write_str("no figure"),
            Self::NoDefinition => f.write_str("unknown version of the definition"),
            Self::Neutral => f.write_str("neither direction is better"),
            Self::NoComparison => f.write_str("no national value to hold it against"),
            Self::TooFewPoints(points) => write!(f, "{points} points are too few for a baseline"),
            Self::ConstantBaseline => f.write_str("the baseline does not vary"),
        }
    }
}

/// What a marker does in a month.
#[derive(Clone, Debug, PartialEq)]
pub enum SlipOutcome {
    /// It cannot be judged.
    NotJudged(NotJudged),
    /// Within what is usual.
    Usual(Reading),
    /// Worse than usual and than peers.
    Slipping(Reading),
    /// Better than usual and than peers.
    Improving(Reading),
    /// It slips or improves, and does not count for a stated reason.
    LeftOut(Reading, LeftOut),
}

impl SlipOutcome {
    /// Does the organisation count as slipping in [`NationalValue::organisations_slipping`]?
    ///
    /// A provisional figure that is held back still counts: whether the whole country slips must not wait for a refresh. So does
    /// one that was left out because the whole country slips.
    #[must_use]
    pub fn counts_nationally(&self) -> bool {
        match self {
            Self::Slipping(_) => true,
            Self::LeftOut(reading, LeftOut::ProvisionalOnly | LeftOut::NationalShock { .. }) => {
                reading.direction == Some(Direction::Slipping)
            }
            _ => false,
        }
    }

    /// What was read, when the marker could be judged.
    #[must_use]
    pub fn reading(&self) -> Option<&Reading> {
        match self {
            Self::NotJudged(_) => None,
            Self::Usual(reading)
            | Self::Slipping(reading)
            | Self::Improving(reading)
            | Self::LeftOut(reading, _) => Some(reading),
        }
    }
}

/// Everything that was read to judge a marker in a month.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// The definition that the month follows.
    pub definition: MarkerDefinition,
    /// Which way it moved, before anything was left out.
    pub direction: Option<Direction>,
    /// The frozen baseline of the residual.
    pub baseline: Baseline,
    /// First and last month of the baseline.
    pub baseline_months: (Period, Period),
    /// Own figure over the baseline: parts added, or the mean value of a marker without denominator. For sentences.
    pub usual: Option<f64>,
    /// Fewer points than a full baseline.
    pub trial: bool,
    /// The last three months as far as they can be compared, oldest first; the last one is the month judged.
    pub points: Vec<MarkerPoint>,
    /// Any figure of the baseline or the window is simulated.
    pub simulated: bool,
}

impl Reading {
    /// The marker.
    #[must_use]
    pub fn marker(&self) -> MarkerCode {
        self.definition.marker
    }

    /// As evidence of a finding. `linked` are the live schemes that declared the marker.
    #[must_use]
    pub fn evidence(&self, direction: Direction, linked: Vec<SchemeId>) -> MarkerEvidence {
        MarkerEvidence {
            marker: self.marker(),
            domain: self.definition.domain,
            definition_version: self.definition.version,
            polarity: self.definition.polarity,
            direction,
            baseline_mean: self.baseline.mean,
            baseline_sigma: self.baseline.sigma(),
            baseline_points: u32::try_from(self.baseline.count).unwrap_or(u32::MAX),
            baseline_from: self.baseline_months.0,
            baseline_until: self.baseline_months.1,
            trial: self.trial,
            scale: Scale::of(&self.definition).name().to_owned(),
            points: self.points.clone(),
            linked_schemes: linked,
            simulated: self.simulated,
        }
    }
}

/// Which of these markers slip in a month so that it counts in [`NationalValue::organisations_slipping`], each held against the value
/// that is given for it instead of the published one.
///
/// The alerts service asks this of every organisation before it publishes the values of a month. So only the months that decide are
/// read: those of the baseline, and the window.
#[must_use]
pub fn slipping_nationally(
    context: &Context<'_>,
    org: OrgCode,
    period: Period,
    values: &BTreeMap<MarkerCode, NationalValue>,
) -> Vec<MarkerCode> {
    let Some(all) = deciding_series(context, org, period, values) else {
        return Vec::new();
    };
    let slips = |series: &&Series| judge(context, series, period).counts_nationally();
    all.iter()
        .filter(slips)
        .map(|series| series.marker)
        .collect()
}

/// The series of the markers that have a figure in the month, with the points that decide whether they slip.
fn deciding_series(
    context: &Context<'_>,
    org: OrgCode,
    period: Period,
    values: &BTreeMap<MarkerCode, NationalValue>,
) -> Option<Vec<Series>> {
    let ledger = context.nation.ledger(org)?;
    let kind = kind_of(context, org)?;
    let full = Limits::of(context.rules).full;
    let window = period.plus(1 - WINDOW)?;
    let now = ledger.known(Dataset::Quality, period, context.known_at)?;
    let mut reader = Reader::new(context, kind);
    let mut wanted: BTreeMap<MarkerCode, (Series, u32, u32)> = reader
        .points(period, now, None)
        .filter(|(marker, _)| values.contains_key(marker))
        .map(|(marker, point)| {
            let points = Vec::new();
            (marker, (Series { marker, points }, point.version, 0))
        })
        .collect();
    let mut short = wanted.len();
    for (month, revision) in quality_returns(context, ledger) {
        if month > period {
            break;
        }
        if month < window && short == 0 {
            continue;
        }
        let instead = (month == period).then_some(values);
        for (marker, point) in reader.points(month, revision, instead) {
            let Some((series, version, usable)) = wanted.get_mut(&marker) else {
                continue;
            };
            if month < window && *usable == full {
                continue;
            }
            if month < window && point.version == *version && point.residual.is_some() {
                *usable += 1;
                short -= usize::from(*usable == full);
            }
            series.points.push(point);
        }
    }
    Some(wanted.into_values().map(|(series, _, _)| series).collect())
}

/// What the marker of a series does in a month.
#[must_use]
pub fn judge(context: &Context<'_>, series: &Series, period: Period) -> SlipOutcome {
    match read(context, series, period) {
        Err(why) => SlipOutcome::NotJudged(why),
        Ok((reading, now)) => {
            let left_out = reading
                .direction
                .and_then(|_| suppress::marker(context.rules, &reading, now));
            match (left_out, reading.direction) {
                (Some(reason), _) => SlipOutcome::LeftOut(reading, reason),
                (None, None) => SlipOutcome::Usual(reading),
                (None, Some(Direction::Slipping)) => SlipOutcome::Slipping(reading),
                (None, Some(Direction::Improving)) => SlipOutcome::Improving(reading),
            }
        }
    }
}

fn read<'s>(
    context: &Context<'_>,
    series: &'s Series,
    period: Period,
) -> Result<(Reading, &'s Point), NotJudged> {
    let limits = Limits::of(context.rules);
    let now = series.point(period).ok_or(NotJudged::NoFigure)?;
    let definition = context
        .reference
        .marker(series.marker, now.version)
        .ok_or(NotJudged::NoDefinition)?;
    let sign = adverse_sign(definition.polarity).ok_or(NotJudged::Neutral)?;
    now.residual.ok_or(NotJudged::NoComparison)?;
    let first_of_window = period.plus(1 - WINDOW).ok_or(NotJudged::TooFewPoints(0))?;

    let usual = baseline_points(series, now.version, first_of_window, limits.full);
    let residuals: Vec<f64> = usual.iter().filter_map(|point| point.residual).collect();
    let count = u32::try_from(residuals.len()).unwrap_or(u32::MAX);
    let (Some(from), Some(until), true) = (usual.first(), usual.last(), count >= limits.least)
    else {
        return Err(NotJudged::TooFewPoints(count));
    };
    let baseline = baseline(&residuals).ok_or(NotJudged::ConstantBaseline)?;

    let window: Vec<&Point> = series
        .points
        .iter()
        .filter(|point| (first_of_window..=period).contains(&point.period))
        .filter(|point| point.version == now.version)
        .collect();
    let points: Vec<MarkerPoint> = window
        .iter()
        .filter_map(|point| compared(point, &baseline, sign))
        .collect();
    if points.last().is_none_or(|point| point.period != period) {
        return Err(NotJudged::ConstantBaseline);
    }
    let reading = Reading {
        definition: definition.clone(),
        direction: direction(&points, &limits),
        baseline,
        baseline_months: (from.period, until.period),
        usual: pooled(&usual),
        trial: count < limits.full,
        points,
        simulated: usual.iter().chain(&window).any(|point| is_simulated(point)),
    };
    Ok((reading, now))
}

/// The earliest points that can be compared, follow the version and lie before the window.
fn baseline_points(series: &Series, version: u32, before: Period, full: u32) -> Vec<&Point> {
    series
        .points
        .iter()
        .take_while(|point| point.period < before)
        .filter(|point| point.version == version && point.residual.is_some())
        .take(full as usize)
        .collect()
}

fn is_simulated(point: &Point) -> bool {
    point.simulated || point.national.is_some_and(|national| national.simulated)
}

/// +1 when more is worse, -1 when less is worse, `None` when neither is.
fn adverse_sign(polarity: Polarity) -> Option<f64> {
    match polarity {
        Polarity::LowerIsBetter => Some(1.0),
        Polarity::HigherIsBetter => Some(-1.0),
        Polarity::Neutral => None,
    }
}

fn compared(point: &Point, baseline: &Baseline, sign: f64) -> Option<MarkerPoint> {
    let residual = point.residual?;
    Some(MarkerPoint {
        period: point.period,
        own: point.own,
        national: point.national?.figure,
        residual,
        adverse_z: sign * baseline.z(residual)?,
        revision: point.revision,
        status: point.status,
    })
}

/// Slipping, improving or neither, from the months of the window. The last point is the month judged.
fn direction(points: &[MarkerPoint], limits: &Limits) -> Option<Direction> {
    let slips = |sign: f64| {
        let z = |point: &MarkerPoint| sign * point.adverse_z;
        let now = points.last().is_some_and(|point| z(point) >= limits.single);
        let all_seen = points.len() == WINDOW as usize;
        let one_side = points.iter().all(|point| z(point) > 0.0);
        let far = points
            .iter()
            .filter(|point| z(point) >= limits.pair)
            .count();
        now || (all_seen && one_side && far >= 2)
    };
    if slips(1.0) {
        Some(Direction::Slipping)
    } else {
        slips(-1.0).then_some(Direction::Improving)
    }
}

/// The own figure over several months: parts added, or the mean of values without a denominator.
fn pooled(points: &[&Point]) -> Option<f64> {
    let numerator: Quantity = points.iter().map(|point| point.own.numerator).sum();
    let denominators = points.iter().map(|point| point.own.denominator);
    let added: Option<Quantity> = denominators.sum();
    let months = i64::try_from(points.len()).ok()?;
    let denominator = added.unwrap_or(Quantity::from_count(months));
    Measured {
        numerator,
        denominator: Some(denominator),
    }
    .value()
}
