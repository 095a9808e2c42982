//! What the layer is compared with: what people do today, and textbook methods, on the same figures of the same month.
//!
//! All of them ask of an organisation: has something come up in its savings, and in at least so many markers? Each says how
//! strongly, as a number that is larger the more suspect the organisation is.
//!
//! * *Making Data Count*: the icon of the latest month of an XmR chart over all months known, under the profile
//!   `mdc_excel_2024` with runs of 7, of the figures as people read them (percentages, rates, pence). Savings with an icon of
//!   improvement, and markers with one of concern. Strength: how many markers.
//! * *Plain CUSUM*: k = 0.5, h = 5, upwards. On the link scale (`methods/link.rs`), less the median over the organisations of the
//!   month, in standard deviations of the organisation's own first 24 months. Strength: the lower of the two sums, savings
//!   and the highest marker.
//! * *Two of three*: on the same numbers, two of the latest three months at 2 standard deviations or more. Strength: the
//!   second largest of the three, the lower of savings and the highest marker.

mod link;

use qipp_domain::Period;
use qipp_domain::marker::Polarity;
use qipp_rules::series::Scale;
use qipp_spc::cusum::{Cusum, CusumDesign};
use qipp_spc::standard::Sides;
use qipp_spc::xmr::{ChartBuffer, ImprovementDirection, VariationIcon, XmrOptions};
use qipp_spc::{Date, Profile};

use super::known::Known;

pub(super) use link::median;

/// Reference value of the plain CUSUM, standard deviations.
const CUSUM_K: f64 = 0.5;
/// Decision limit of the plain CUSUM, standard deviations.
const CUSUM_H: f64 = 5.0;
/// Limit of two of three, standard deviations.
const TWO_SD: f64 = 2.0;

/// A method that the layer is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Method {
    /// Savings icon and at least one icon of concern.
    MdcOne,
    /// Savings icon and at least three icons of concern.
    MdcThree,
    /// Plain CUSUM.
    Cusum,
    /// Two of three.
    TwoOfThree,
}

impl Method {
    /// All methods.
    pub const ALL: [Self; 4] = [Self::MdcOne, Self::MdcThree, Self::Cusum, Self::TwoOfThree];

    /// The short name, for command lines and programs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::MdcOne => "mdc_1",
            Self::MdcThree => "mdc_3",
            Self::Cusum => "cusum",
            Self::TwoOfThree => "two_of_three",
        }
    }

    /// The method of that short name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.name() == name)
    }

    /// For people.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::MdcOne => "MDC icons: savings and >= 1 marker",
            Self::MdcThree => "MDC icons: savings and >= 3 markers",
            Self::Cusum => "plain CUSUM .5/5: savings and >= 1 marker",
            Self::TwoOfThree => "two of three at 2 sd: savings and >= 1 marker",
        }
    }
}

/// What a method says of one organisation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Saying {
    /// Larger is more suspect; 0: not at all.
    pub strength: f64,
    /// An alert.
    pub alert: bool,
    /// Indices of the markers that it names, ascending.
    pub markers: Vec<usize>,
}

/// What a method says of each organisation at the end of the month up to which `known` has advanced.
///
/// Work of one method is not shared with another's, except that [`Method::MdcOne`] and [`Method::MdcThree`] read the same
/// icons; [`says_all`] computes those once.
#[must_use]
pub fn says_all(known: &Known<'_>, methods: &[Method]) -> Vec<Vec<Saying>> {
    let needs = |method: &Method| matches!(method, Method::Cusum | Method::TwoOfThree);
    let standardised = methods.iter().any(needs).then(|| link::standardise(known));
    let mut icons: Option<Vec<Saying>> = None;
    methods
        .iter()
        .map(|method| match (method, &standardised) {
            (Method::Cusum, Some(z)) => cusums(known, z),
            (Method::TwoOfThree, Some(z)) => twos(known, z),
            _ => {
                let least = if *method == Method::MdcThree { 3 } else { 1 };
                let counted = icons.get_or_insert_with(|| icon_counts(known));
                let with_limit = |saying: &Saying| Saying {
                    alert: saying.markers.len() >= least && saying.alert,
                    ..saying.clone()
                };
                counted.iter().map(with_limit).collect()
            }
        })
        .collect()
}

/// A month as a day, as charts want it.
pub(super) fn day(first: Period, month: usize) -> Date {
    let day = crate::scenario::period_at(first, month).first_day();
    let year = u16::try_from(day.year());
    let month = u8::try_from(day.month());
    let date = Option::zip(year.ok(), month.ok()).and_then(|(y, m)| Date::new(y, m, 1));
    date.expect("the calendar's months are days of a chart")
}

/// Figures as people read them: percentages, rates, values. `None` is missing.
pub(super) fn natural(scale: Scale, numerators: &[f64], denominators: &[f64]) -> Vec<Option<f64>> {
    let value = |(numerator, denominator): (&f64, &f64)| {
        let value = match scale {
            Scale::Proportion => 100.0 * numerator / denominator,
            Scale::Rate => numerator / denominator,
            Scale::Amount => *numerator,
        };
        Some(value).filter(|value| value.is_finite())
    };
    numerators.iter().zip(denominators).map(value).collect()
}

/// Savings icon and icons of concern; `alert` is the savings icon.
fn icon_counts(known: &Known<'_>) -> Vec<Saying> {
    let (returns, table, months) = (known.returns(), known.table(), known.months());
    let days: Vec<Date> = (0..months).map(|at| day(returns.first, at)).collect();
    let mut buffer = ChartBuffer::default();
    let mut icon = |values: &[Option<f64>], improvement_direction| {
        let options = XmrOptions {
            improvement_direction,
            ..XmrOptions::default()
        };
        let chart = buffer.draw(Profile::MdcExcel2024, &days, values, &options);
        // A series that can't be charted (nothing known) has no icon.
        chart.ok().and_then(|chart| chart.variation_icon)
    };
    (0..returns.organisations.len())
        .map(|org| {
            let savings = table.savings_of(org)[..months].iter();
            let savings: Vec<Option<f64>> = savings
                .map(|pence| Some(*pence).filter(|pence| pence.is_finite()))
                .collect();
            if icon(&savings, ImprovementDirection::Increase)
                != Some(VariationIcon::ImprovementHigh)
            {
                return Saying::default();
            }
            let concern = |at: &usize| {
                let marker = &returns.markers[*at];
                let (numerators, denominators) = table.line(org, *at);
                let values = natural(marker.scale, &numerators[..months], &denominators[..months]);
                match marker.polarity {
                    Polarity::HigherIsBetter => {
                        icon(&values, ImprovementDirection::Increase)
                            == Some(VariationIcon::ConcernLow)
                    }
                    Polarity::LowerIsBetter => {
                        icon(&values, ImprovementDirection::Decrease)
                            == Some(VariationIcon::ConcernHigh)
                    }
                    Polarity::Neutral => false,
                }
            };
            let markers: Vec<usize> = (0..returns.markers.len()).filter(concern).collect();
            Saying {
                strength: markers.len() as f64,
                alert: true,
                markers,
            }
        })
        .collect()
}

/// Savings and at least one marker beyond the decision limit.
fn cusums(known: &Known<'_>, z: &link::Standardised) -> Vec<Saying> {
    let design = CusumDesign::new(CUSUM_K, CUSUM_H)
        .expect("the design is a sound one")
        .with_sides(Sides::Upper);
    let sum = |org: usize, series: usize| {
        let mut cusum = Cusum::new(design);
        let line = z.line(org, series).iter();
        let last = line
            .map(|z| cusum.update(Some(*z).filter(|z| z.is_finite())))
            .last();
        last.map_or(0.0, |point| point.upper)
    };
    joint(known, sum, |strength| strength > CUSUM_H)
}

/// Savings and at least one marker with two of the latest three months at the limit.
fn twos(known: &Known<'_>, z: &link::Standardised) -> Vec<Saying> {
    let second = |org: usize, series: usize| {
        let line = z.line(org, series);
        let mut latest: Vec<f64> = line[line.len().saturating_sub(3)..]
            .iter()
            .copied()
            .filter(|z| !z.is_nan())
            .collect();
        latest.sort_unstable_by(|a, b| b.total_cmp(a));
        latest.get(1).map_or(0.0, |z| z.max(0.0))
    };
    joint(known, second, |strength| strength >= TWO_SD)
}

/// Savings and at least one marker: of strengths by organisation and series (savings first), the lower of savings' and the
/// highest marker's.
fn joint(
    known: &Known<'_>,
    strength: impl Fn(usize, usize) -> f64,
    is_signal: impl Fn(f64) -> bool,
) -> Vec<Saying> {
    let returns = known.returns();
    (0..returns.organisations.len())
        .map(|org| {
            let savings = strength(org, 0);
            if savings <= 0.0 {
                return Saying::default();
            }
            let of_markers: Vec<f64> = (0..returns.markers.len())
                .map(|marker| strength(org, 1 + marker))
                .collect();
            let highest = of_markers.iter().copied().fold(0.0, f64::max);
            let signals = (0..of_markers.len()).filter(|marker| is_signal(of_markers[*marker]));
            Saying {
                strength: savings.min(highest),
                alert: is_signal(savings.min(highest)),
                markers: signals.collect(),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests;
