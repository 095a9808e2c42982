//! The numbers of textbook methods: figures on a scale where differences mean the same everywhere, less what all
//! organisations had in common that month, in standard deviations of the organisation's own baseline.
//!
//! Proportions on the log odds and rates on the log, each with a half added; values as they are; savings as `asinh(x / u)`,
//! `u` being the median amount of the organisation's first 24 months. Turned so that up is more savings or worse quality.

use qipp_rules::series::Scale;
use qipp_rules::surveillance::Adverse;
use qipp_spc::baseline::{log_rate, logit_clamped};
use qipp_spc::mean;

use crate::score::known::Known;

/// Months of a series' own baseline, from its first figure on.
const BASELINE: usize = 24;
/// Fewest figures in it.
const LEAST: usize = 12;

/// By organisation, series (savings first) and month. NaN is missing, in the baseline, or without one.
#[derive(Debug)]
pub(super) struct Standardised {
    series: usize,
    months: usize,
    values: Vec<f64>,
}

impl Standardised {
    /// One series over all months known.
    pub(super) fn line(&self, org: usize, series: usize) -> &[f64] {
        &self.values[(org * self.series + series) * self.months..][..self.months]
    }
}

/// Standardises everything that is known.
pub(super) fn standardise(known: &Known<'_>) -> Standardised {
    let (table, months) = (known.table(), known.months());
    let (organisations, series) = (table.organisations(), 1 + table.measures().len());
    let mut values = vec![f64::NAN; organisations * series * months];
    for (org, block) in values
        .chunks_exact_mut((series * months).max(1))
        .enumerate()
    {
        let (savings, markers) = block.split_at_mut(months);
        let pence = &table.savings_of(org)[..months];
        let unit = unit_of(pence);
        for (value, pence) in savings.iter_mut().zip(pence) {
            *value = (pence / unit).asinh();
        }
        for (at, (measure, line)) in table
            .measures()
            .iter()
            .zip(markers.chunks_exact_mut(months.max(1)))
            .enumerate()
        {
            let sign = match measure.adverse {
                Adverse::Up => 1.0,
                Adverse::Down => -1.0,
            };
            let (numerators, denominators) = table.line(org, at);
            for (month, value) in line.iter_mut().enumerate() {
                let placed = place(measure.scale, numerators[month], denominators[month]);
                *value = sign * placed.unwrap_or(f64::NAN);
            }
        }
    }
    let mut all = Vec::with_capacity(organisations);
    for at in 0..series * months {
        let places = (at..values.len()).step_by(series * months);
        all.clear();
        all.extend(
            places
                .clone()
                .map(|at| values[at])
                .filter(|v| v.is_finite()),
        );
        let Some(median) = median(&mut all) else {
            continue;
        };
        places.for_each(|at| values[at] -= median);
    }
    values
        .chunks_exact_mut(months.max(1))
        .for_each(against_baseline);
    Standardised {
        series,
        months,
        values,
    }
}

fn place(scale: Scale, numerator: f64, denominator: f64) -> Option<f64> {
    match scale {
        Scale::Proportion => logit_clamped(numerator, denominator),
        Scale::Rate => log_rate(numerator, denominator),
        Scale::Amount => Some(numerator),
    }
}

/// Turns a series into standard deviations of its own first months, which become NaN themselves.
fn against_baseline(line: &mut [f64]) {
    let begin = line
        .iter()
        .position(|v| v.is_finite())
        .unwrap_or(line.len());
    let end = (begin + BASELINE).min(line.len());
    let known = || line[begin..end].iter().copied().filter(|v| v.is_finite());
    let count = known().count();
    let centre = mean(known()).filter(|_| count >= LEAST);
    let spread = centre.map(|centre| {
        let squares: f64 = known().map(|v| (v - centre).powi(2)).sum();
        (squares / (count - 1) as f64).sqrt()
    });
    match (centre, spread) {
        (Some(centre), Some(spread)) if spread > 1e-9 * centre.abs().max(1e-9) => {
            line[..end].fill(f64::NAN);
            line[end..]
                .iter_mut()
                .for_each(|v| *v = (*v - centre) / spread);
        }
        _ => line.fill(f64::NAN),
    }
}

/// The median amount of the first 24 known months; 1 where that is nothing.
fn unit_of(pence: &[f64]) -> f64 {
    let known = pence.iter().filter(|pence| pence.is_finite());
    let mut amounts: Vec<f64> = known.take(BASELINE).map(|pence| pence.abs()).collect();
    median(&mut amounts)
        .filter(|unit| *unit > 0.0)
        .unwrap_or(1.0)
}

/// The middle value, or the mean of the middle two. Reorders.
pub(in crate::score) fn median(values: &mut [f64]) -> Option<f64> {
    if values.is_empty() {
        return None;
    }
    let middle = values.len() / 2;
    let odd = values.len() % 2 == 1;
    let (below, upper, _) = values.select_nth_unstable_by(middle, f64::total_cmp);
    let lower = below.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    Some(if odd { *upper } else { lower.midpoint(*upper) })
}
