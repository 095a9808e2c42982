//! Real figures of A&E departments, with savings that are simulated, and slips put into some.
//!
//! The file has, by provider and month, how many attended a type 1 department, how many of them waited over four hours, and how
//! many emergencies were admitted through it. So there are two markers, each a domain by itself: the share over four hours
//! (access), and the admissions per attendance (activity; more is taken as worse). Nobody published savings by month: those
//! are of simulated organisations of scenario E, whoever they are given to.
//!
//! What this shows: how the layer stands noise that nobody simulated (trends of their own, winters, departments that change).
//! What it can't show: whether an alert on real figures is right. Some departments got worse in these years without any
//! slip put in; where one of those is given savings that rise, an alert counts as false. And two markers in two domains are
//! few: a domain of several markers is easier to judge, and returns that repeat the month before or lack half of the activity
//! are only told from three markers on.

use std::collections::BTreeMap;

use qipp_domain::Period;
use qipp_domain::marker::Polarity;
use qipp_rules::series::Scale;
use qipp_spc::baseline::logit_clamped;
use qipp_spc::xmr::{ChartBuffer, ImprovementDirection, PointType, VariationIcon, XmrOptions};
use qipp_spc::{Date, Profile};
use rand::seq::SliceRandom as _;

use super::input::{Episode, Figure, Input, MarkerEntry, Returns, Saving, Truth};
use super::methods::{median, natural};
use super::read::Faults;
use super::read::ae;
use crate::TruthKind;
use crate::noise::{Purpose, count, pick, ramp, share_of, stream};
use crate::scenario::{Scenario, ScenarioConfig, ScoringNation, scenario};

/// Month of the onset, from 0.
pub const ONSET: usize = 24;
/// Share of the organisations in which savings rise and a marker slips.
pub const BOTH: f64 = 0.05;
/// Share of the organisations in which only savings rise.
pub const SAVINGS_ONLY: f64 = 0.10;
/// Month of the year in which a winter begins and the last of it.
const WINTER: [i8; 3] = [12, 1, 2];

/// What the file says of a department in a month.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Department {
    /// Attendances, type 1.
    pub attendances: u64,
    /// Of these, over four hours.
    pub over_4h: u64,
    /// Emergency admissions through it.
    pub admissions: u64,
}

/// The file: by organisation and month.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AeFigures {
    /// The first month.
    pub first: Period,
    /// How many months.
    pub months: usize,
    /// By code, and by month from 0. What has no row, or no attendances, is not here.
    pub departments: BTreeMap<String, BTreeMap<usize, Department>>,
}

/// Reads the file: CSV with the columns `period`, `org_code`, `ae_type`, `attendances`, `over_4h` and
/// `emergency_admissions`. Rows of other types than 1 are passed over.
///
/// # Errors
///
/// All faults, by line.
pub fn read(bytes: &[u8]) -> Result<AeFigures, Faults> {
    ae::read(bytes)
}

/// What is put into real figures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Planted {
    /// Size of the slips, in standard deviations of the department's own first 24 months; `None`: nobody slips.
    pub slip_sd: Option<f64>,
    /// Savings rise in some, by 2 of their own standard deviations.
    pub savings_rise: bool,
}

impl Planted {
    /// What is tried, in order.
    pub const ALL: [Self; 5] = [
        Self::new(None, false),
        Self::new(None, true),
        Self::new(Some(1.0), true),
        Self::new(Some(1.5), true),
        Self::new(Some(2.0), true),
    ];

    const fn new(slip_sd: Option<f64>, savings_rise: bool) -> Self {
        Self {
            slip_sd,
            savings_rise,
        }
    }

    /// For people.
    #[must_use]
    pub fn title(self) -> String {
        match (self.slip_sd, self.savings_rise) {
            (Some(sd), _) => format!("slips of {sd} sd"),
            (None, true) => "as it is, savings rise in 10%".to_owned(),
            (None, false) => "as it is".to_owned(),
        }
    }
}

/// Real figures with simulated savings and what was put in. Same arguments, same input.
#[must_use]
pub fn nation(figures: &AeFigures, planted: Planted, seed: u64) -> Input {
    let cast = Cast::new(figures.departments.len(), figures.months, planted, seed);
    let markers = [("AE_OVER_4H", "access"), ("AE_ADMITTED", "activity")];
    let markers = markers.map(|(code, domain)| MarkerEntry {
        code: code.to_owned(),
        domain: domain.to_owned(),
        polarity: Polarity::LowerIsBetter,
    });
    let deviations = [0, 1].map(|marker| own_deviations(figures, marker));
    let mut rows = Vec::new();
    let mut episodes = Vec::new();
    for (org, months) in figures.departments.values().enumerate() {
        let slips = planted
            .slip_sd
            .filter(|_| cast.kinds[org] == Some(TruthKind::Both));
        let hit = cast.markers[org];
        episodes.extend(cast.kinds[org].map(|kind| Episode {
            org,
            kind,
            from: ONSET,
            until: None,
            markers: slips.map(|_| hit).into_iter().collect(),
        }));
        for (month, department) in months {
            for (marker, of_marker) in deviations.iter().enumerate() {
                let (numerator, denominator) = department.parts(marker);
                let size = slips.filter(|_| marker == hit).unwrap_or(0.0);
                let shift = size * of_marker[org] * ramp(ONSET, None, *month);
                rows.push(Figure {
                    org,
                    marker,
                    month: *month,
                    received: *month,
                    numerator: shifted(numerator, denominator, shift),
                    denominator,
                });
            }
        }
    }
    let (returns, _) = Returns::assemble(
        markers.to_vec(),
        figures.departments.keys().cloned().collect(),
        (figures.first, figures.months),
        rows,
        cast.savings,
    );
    Input {
        returns,
        truth: Truth::new(episodes),
    }
}

/// Who is what, and the savings of each.
struct Cast {
    kinds: Vec<Option<TruthKind>>,
    /// The marker that would slip.
    markers: Vec<usize>,
    savings: Vec<Saving>,
}

impl Cast {
    /// Savings are taken from a simulated nation in which there are more than enough organisations of each kind.
    fn new(organisations: usize, months: usize, planted: Planted, seed: u64) -> Self {
        let nation = scenario(&ScenarioConfig {
            organisations: (2 * organisations).max(40),
            months,
            ..ScenarioConfig::new(Scenario::E, seed)
        });
        let kind_of: BTreeMap<usize, TruthKind> =
            nation.truth.iter().map(|row| (row.org, row.kind)).collect();
        let of_kind = |kind: Option<TruthKind>| -> Vec<usize> {
            let all = 0..nation.organisations.len();
            all.filter(|org| kind_of.get(org).copied() == kind)
                .collect()
        };
        let both = share_of(organisations, BOTH);
        let savings_only = share_of(organisations, SAVINGS_ONLY);
        let mut parts: Vec<(Option<TruthKind>, usize)> = Vec::new();
        let mut take = |kind, from: &[usize], number: usize| {
            parts.extend(from.iter().take(number).map(|org| (kind, *org)));
        };
        if planted.slip_sd.is_some() {
            let kind = Some(TruthKind::Both);
            take(kind, &of_kind(kind), both);
        }
        if planted.savings_rise {
            let kind = Some(TruthKind::SavingsOnly);
            take(kind, &of_kind(kind), savings_only);
        }
        take(None, &of_kind(None), organisations);
        parts.truncate(organisations);
        let mut rng = stream(seed, None, Purpose::Casting);
        parts.shuffle(&mut rng);
        let markers = parts.iter().map(|_| pick(&mut rng, 2)).collect();
        Self {
            savings: savings_of(&nation, &parts),
            kinds: parts.into_iter().map(|(kind, _)| kind).collect(),
            markers,
        }
    }
}

fn savings_of(nation: &ScoringNation, parts: &[(Option<TruthKind>, usize)]) -> Vec<Saving> {
    let given: BTreeMap<usize, usize> = parts
        .iter()
        .enumerate()
        .map(|(org, (_, simulated))| (*simulated, org))
        .collect();
    let rows = nation.savings.iter().filter_map(|row| {
        Some(Saving {
            org: *given.get(&row.org)?,
            month: row.month,
            received: row.received,
            actual_pence: row.actual_pence as f64,
        })
    });
    rows.collect()
}

impl Department {
    /// Numerator and denominator of a marker.
    fn parts(self, marker: usize) -> (f64, f64) {
        let numerator = [self.over_4h, self.admissions][marker];
        (numerator as f64, self.attendances as f64)
    }
}

/// By organisation: the standard deviation of its log odds, less the median of the month, over the months before the onset; 0
/// where there are not twelve.
fn own_deviations(figures: &AeFigures, marker: usize) -> Vec<f64> {
    let mut lines: Vec<Vec<f64>> = Vec::new();
    for months in figures.departments.values() {
        let place = |month: usize| {
            let (numerator, denominator) = months.get(&month)?.parts(marker);
            logit_clamped(numerator, denominator)
        };
        lines.push((0..ONSET).map(|m| place(m).unwrap_or(f64::NAN)).collect());
    }
    for month in 0..ONSET {
        let mut all: Vec<f64> = lines.iter().map(|line| line[month]).collect();
        all.retain(|value| value.is_finite());
        let usual = median(&mut all).unwrap_or(0.0);
        lines.iter_mut().for_each(|line| line[month] -= usual);
    }
    lines
        .into_iter()
        .map(|mut line| {
            line.retain(|value| value.is_finite());
            let spread = (line.len() >= 12).then(|| qipp_spc::baseline::baseline(&line));
            spread
                .flatten()
                .map_or(0.0, |spread| spread.standard_deviation)
        })
        .collect()
}

/// The numerator after a shift of the log odds; never more than the denominator.
fn shifted(numerator: f64, denominator: f64, shift: f64) -> f64 {
    match logit_clamped(numerator, denominator) {
        Some(odds) if shift != 0.0 => {
            let share = 1.0 / (1.0 + (-(odds + shift)).exp());
            count(share * denominator) as f64
        }
        _ => numerator,
    }
}

/// What rules that look at one department say of the share over four hours, as it really was.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Naive {
    /// Share of the months in which it was higher than in the month before.
    pub worse_than_last_month: f64,
    /// Share of the December to February months that an XmR chart over all months marks as a concern.
    pub concern_in_winter: f64,
    /// The same of the other months.
    pub concern_otherwise: f64,
    /// Share of the December to February months whose icon, on a chart of the months up to then, was concern.
    pub icon_in_winter: f64,
    /// The same of the other months.
    pub icon_otherwise: f64,
}

/// What such rules say of the real figures. Charts are under `nhsr_0_2_2`, of percentages.
#[must_use]
pub fn naive(figures: &AeFigures) -> Naive {
    let days: Vec<Date> = (0..figures.months)
        .map(|month| super::methods::day(figures.first, month))
        .collect();
    let options = XmrOptions {
        improvement_direction: ImprovementDirection::Decrease,
        missing_in_trend: Some(qipp_spc::xmr::MissingInTrend::Breaks),
        ..XmrOptions::default()
    };
    let is_winter =
        |month: usize| WINTER.contains(&crate::scenario::period_at(figures.first, month).month());
    let mut buffer = ChartBuffer::default();
    // Of winters, and of the rest.
    let (mut worse, mut concern, mut icon) = (
        Share::default(),
        [Share::default(); 2],
        [Share::default(); 2],
    );
    for months in figures.departments.values() {
        let at = |month: usize| months.get(&month).map(|held| held.parts(0));
        let (numerators, denominators): (Vec<f64>, Vec<f64>) = (0..figures.months)
            .map(|month| at(month).unwrap_or((f64::NAN, f64::NAN)))
            .unzip();
        let values = natural(Scale::Proportion, &numerators, &denominators);
        for pair in values.windows(2) {
            if let [Some(before), Some(now)] = pair {
                worse.count(now > before);
            }
        }
        for end in 1..=figures.months {
            let Ok(chart) = buffer.draw(Profile::Nhsr022, &days[..end], &values[..end], &options)
            else {
                continue;
            };
            if values[end - 1].is_some() && end >= 13 {
                let at = usize::from(!is_winter(end - 1));
                icon[at].count(chart.variation_icon == Some(VariationIcon::ConcernHigh));
            }
            if end < figures.months {
                continue;
            }
            for (month, point) in chart.points.iter().enumerate() {
                if point.value.is_some() {
                    let at = usize::from(!is_winter(month));
                    concern[at].count(point.point_type == PointType::Concern);
                }
            }
        }
    }
    Naive {
        worse_than_last_month: worse.share(),
        concern_in_winter: concern[0].share(),
        concern_otherwise: concern[1].share(),
        icon_in_winter: icon[0].share(),
        icon_otherwise: icon[1].share(),
    }
}

#[derive(Clone, Copy, Default)]
struct Share {
    yes: u32,
    all: u32,
}

impl Share {
    fn count(&mut self, yes: bool) {
        self.yes += u32::from(yes);
        self.all += 1;
    }

    fn share(self) -> f64 {
        f64::from(self.yes) / f64::from(self.all.max(1))
    }
}

#[cfg(test)]
mod tests;
