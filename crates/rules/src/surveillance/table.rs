//! Figures by organisation, marker and month, and the numbers that surveillance makes of them.
//!
//! On which scale, and why:
//!
//! * a proportion on the log odds, a rate on the log, both with a half added so that 0 has a place ([`Scale`]);
//! * a value without denominator on the log where its baseline stays well above 0, and as it is otherwise;
//! * savings as `asinh(3 x / u) + ln(u / 6)`, `u` being the median amount of the organisation's first 24 months: the log of what is usual
//!   for it or more, with a place for nothing saved and for reversals. The second part puts each organisation's size back. Without it
//!   all would have one level by construction, the core would take that level for known, and an organisation whose baseline was low by
//!   chance would seem to save more ever after (false alerts doubled).
//!
//! Then everything is turned so that up is more savings or worse quality. What all organisations have in common in a month (season,
//! trend, a national change) is taken off by the numeric core, as a robust location over the organisations.

use qipp_spc::baseline::{log_rate, logit_clamped};
use qipp_spc::surveillance::{Design, Panel};

use super::faults;
use crate::series::Scale;

/// Months of a baseline in which the unit of savings, and the scale of values without denominator, are looked up.
const BASELINE: usize = 24;

/// Months that are looked at, at most: a frozen baseline of 24 is moved on, a year at a time, when 36 more have gone by.
pub(super) const WINDOW: usize = 72;

/// A value without denominator is put on the log when no value of the baselines is below this share of their median.
const LOG_FROM: f64 = 0.2;

/// Which way is worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "plain words")]
pub enum Adverse {
    Up,
    Down,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measure {
    /// How figures become numbers.
    pub scale: Scale,
    /// Which way is worse.
    pub adverse: Adverse,
    /// Index of the quality domain, from 0. Domains are judged as wholes.
    pub domain: usize,
}

/// Below what a figure says too little to be used (suppression column of R01).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Floors {
    /// Smallest denominator of a proportion; persons or events.
    pub denominator: f64,
    /// Events (or non-events, whichever are fewer) expected at the rate of all organisations.
    pub expected: f64,
}

impl Default for Floors {
    fn default() -> Self {
        Self {
            denominator: crate::r01::DENOMINATOR_FLOOR.default,
            expected: crate::r01::EXPECTED_FLOOR.default,
        }
    }
}

/// Figures of organisations that are each other's peers. Everything is by index; what was never set is missing.
#[derive(Clone, Debug)]
pub struct Table {
    organisations: usize,
    months: usize,
    measures: Vec<Measure>,
    /// By organisation, measure, month; NaN is missing.
    numerators: Vec<f64>,
    /// As the numerators; NaN where there is none.
    denominators: Vec<f64>,
    /// By organisation and month, pence; NaN is missing.
    savings: Vec<f64>,
    starts: Vec<usize>,
    /// Below what a figure is not used.
    pub floors: Floors,
}

impl Table {
    /// An empty table. Domains are numbered from 0 without a gap.
    #[must_use]
    pub fn new(organisations: usize, months: usize, measures: Vec<Measure>) -> Self {
        let cells = organisations * months * measures.len();
        Self {
            organisations,
            months,
            measures,
            numerators: vec![f64::NAN; cells],
            denominators: vec![f64::NAN; cells],
            savings: vec![f64::NAN; organisations * months],
            starts: vec![0; organisations],
            floors: Floors::default(),
        }
    }

    /// Number of organisations.
    #[must_use]
    pub fn organisations(&self) -> usize {
        self.organisations
    }

    /// Number of months.
    #[must_use]
    pub fn months(&self) -> usize {
        self.months
    }

    /// What is measured.
    #[must_use]
    pub fn measures(&self) -> &[Measure] {
        &self.measures
    }

    /// Puts a figure in; a later one for the same place replaces it. A value without denominator has `None`.
    pub fn set_figure(
        &mut self,
        organisation: usize,
        measure: usize,
        month: usize,
        numerator: f64,
        denominator: Option<f64>,
    ) {
        let at = self.cell(organisation, measure, month);
        self.numerators[at] = numerator;
        self.denominators[at] = denominator.unwrap_or(f64::NAN);
    }

    /// Puts in what was delivered in a month, pence; NaN takes it out again.
    pub fn set_savings(&mut self, organisation: usize, month: usize, pence: f64) {
        self.savings[organisation * self.months + month] = pence;
    }

    /// Makes an organisation begin anew in a month, as after a merger: what was before is not compared with.
    pub fn rebase(&mut self, organisation: usize, month: usize) {
        let start = &mut self.starts[organisation];
        *start = month.max(*start);
    }

    /// Takes out what was returned of a measure before a month, as under an earlier version of its definition.
    pub fn redefine(&mut self, organisation: usize, measure: usize, month: usize) {
        let at = self.cell(organisation, measure, 0);
        self.numerators[at..at + month].fill(f64::NAN);
    }

    /// From which month of `first..end` on an organisation's figures are comparable: where it began or was rebased.
    pub(super) fn begins(&self, organisation: usize, first: usize, end: usize) -> usize {
        let start = self.starts[organisation].max(first);
        let known = |month: &usize| {
            let savings = self.savings_of(organisation)[*month];
            let mut lines = (0..self.measures.len()).map(|at| self.line(organisation, at).0);
            savings.is_finite() || lines.any(|numerators| numerators[*month].is_finite())
        };
        (start..end).find(known).unwrap_or(start)
    }

    fn cell(&self, organisation: usize, measure: usize, month: usize) -> usize {
        assert!(
            organisation < self.organisations && month < self.months,
            "a place in the table"
        );
        (organisation * self.measures.len() + measure) * self.months + month
    }

    /// One measure of one organisation over all months: numerators and denominators; NaN is missing.
    #[must_use]
    pub fn line(&self, organisation: usize, measure: usize) -> (&[f64], &[f64]) {
        let at = (organisation * self.measures.len() + measure) * self.months;
        let range = at..at + self.months;
        (&self.numerators[range.clone()], &self.denominators[range])
    }

    /// What an organisation delivered over all months, pence; NaN is missing.
    #[must_use]
    pub fn savings_of(&self, organisation: usize) -> &[f64] {
        &self.savings[organisation * self.months..(organisation + 1) * self.months]
    }

    /// How many organisations have, of what can be used at the end of month `end − 1`, savings that vary; a measure that varies; and both.
    /// Where nothing varies, there is nothing to judge by.
    #[must_use]
    pub fn varying(&self, end: usize) -> [usize; 3] {
        let panel = self.panel(end);
        let mut counts = [0; 3];
        if panel.months == 0 {
            return counts;
        }
        let varies = |line: &[f64]| {
            let mut known = line.iter().filter(|number| !number.is_nan());
            let first = known.next();
            known.any(|number| Some(number) != first)
        };
        for values in panel.values.chunks(panel.series * panel.months) {
            let mut lines = values.chunks(panel.months);
            let savings = lines.next().is_some_and(varies);
            let measure = lines.any(varies);
            for (count, is) in counts
                .iter_mut()
                .zip([savings, measure, savings && measure])
            {
                *count += usize::from(is);
            }
        }
        counts
    }

    /// The numbers that surveillance works on at the end of month `end − 1`: savings first, then the measures.
    pub(super) fn panel(&self, end: usize) -> Panel {
        let end = end.min(self.months);
        // Whole years, so that what has been looked at stays aligned from month to month.
        let first = end.saturating_sub(WINDOW).next_multiple_of(12).min(end);
        let months = end - first;
        let series = 1 + self.measures.len();
        let found = faults::find(self, first, end);
        let forms: Vec<Form> = (0..self.measures.len())
            .map(|measure| self.form(measure, end))
            .collect();
        let mut values = vec![f64::NAN; self.organisations * series * months];
        for organisation in 0..self.organisations {
            let lines = &mut values[organisation * series * months..][..series * months];
            let held = |month: usize| found.is_held(organisation, month);
            let savings = self.savings_of(organisation);
            let unit = unit_of(&savings[found.starts[organisation]..end]);
            for month in (first..end).filter(|month| !held(*month)) {
                lines[month - first] = finite(savings_number(savings[month], unit));
            }
            for (measure, form) in forms.iter().enumerate() {
                let (numerators, denominators) = self.line(organisation, measure);
                let line = &mut lines[(1 + measure) * months..][..months];
                for month in (first..end).filter(|month| !held(*month)) {
                    line[month - first] =
                        finite(form.number(numerators[month], denominators[month], self.floors));
                }
            }
        }
        let domains = self.measures.iter().map(|held| held.domain + 1).max();
        let mut by_domain = vec![Vec::new(); domains.unwrap_or(0)];
        for (measure, held) in self.measures.iter().enumerate() {
            by_domain[held.domain].push(1 + measure);
        }
        Panel {
            units: self.organisations,
            series,
            months,
            values,
            starts: found
                .starts
                .iter()
                .map(|start| start.saturating_sub(first))
                .collect(),
            design: Design {
                savings: 0,
                domains: by_domain,
            },
        }
    }

    /// A number of a measure as the figure that it stands for: a share of 1, events for each unit of the denominator, or the value. `end`
    /// as it was for the number.
    pub(super) fn figure(&self, measure: usize, number: f64, end: usize) -> f64 {
        let form = self.form(measure, end);
        let number = form.sign * number;
        match form.scale {
            Scale::Proportion => 1.0 / (1.0 + (-number).exp()),
            Scale::Rate => number.exp(),
            Scale::Amount if form.on_log => number.exp() - 0.5,
            Scale::Amount => number,
        }
    }

    /// How figures of a measure become numbers, judged by what all organisations returned.
    fn form(&self, measure: usize, end: usize) -> Form {
        let Measure { scale, adverse, .. } = self.measures[measure];
        let sign = match adverse {
            Adverse::Up => 1.0,
            Adverse::Down => -1.0,
        };
        let (mut events, mut exposure) = (0.0, 0.0);
        let mut values = Vec::new();
        for organisation in 0..self.organisations {
            let (numerators, denominators) = self.line(organisation, measure);
            for month in 0..end {
                let (numerator, denominator) = (numerators[month], denominators[month]);
                if numerator.is_finite() && denominator > 0.0 {
                    events += numerator;
                    exposure += denominator;
                }
                if scale == Scale::Amount && month < BASELINE && numerator.is_finite() {
                    values.push(numerator);
                }
            }
        }
        values.sort_unstable_by(f64::total_cmp);
        let on_log = match values.as_slice() {
            [] => false,
            [least, ..] => {
                let median = values[values.len() / 2];
                median > 0.0 && *least >= LOG_FROM * median
            }
        };
        Form {
            scale,
            sign,
            rate: if exposure > 0.0 {
                events / exposure
            } else {
                f64::NAN
            },
            on_log,
        }
    }
}

/// How figures of a measure become numbers.
struct Form {
    scale: Scale,
    sign: f64,
    /// Events for each unit of the denominator, over all organisations and months.
    rate: f64,
    on_log: bool,
}

impl Form {
    /// NaN for what is missing, has no place on the scale, or is below a floor.
    fn number(&self, numerator: f64, denominator: f64, floors: Floors) -> f64 {
        let expected = |rate: f64| denominator * rate >= floors.expected;
        let number = match self.scale {
            Scale::Proportion if denominator >= floors.denominator => {
                let rarer = self.rate.min(1.0 - self.rate);
                expected(rarer)
                    .then(|| logit_clamped(numerator, denominator))
                    .flatten()
            }
            Scale::Proportion => None,
            Scale::Rate => expected(self.rate)
                .then(|| log_rate(numerator, denominator))
                .flatten(),
            Scale::Amount if self.on_log => log_rate(numerator, 1.0),
            Scale::Amount => Some(numerator),
        };
        number.map_or(f64::NAN, |number| self.sign * number)
    }
}

/// Savings on their scale; see the top.
fn savings_number(pence: f64, unit: f64) -> f64 {
    (3.0 * pence / unit).asinh() + (unit / 6.0).ln()
}

/// What an organisation's savings are counted in: the median amount of its first 24 known months; 1 where that is nothing.
fn unit_of(savings: &[f64]) -> f64 {
    let known = savings.iter().filter(|pence| pence.is_finite());
    let mut amounts: Vec<f64> = known.take(BASELINE).map(|pence| pence.abs()).collect();
    amounts.sort_unstable_by(f64::total_cmp);
    match amounts.get(amounts.len() / 2) {
        Some(median) if *median > 0.0 => *median,
        _ => 1.0,
    }
}

/// What is too large to be computed with is no figure.
fn finite(number: f64) -> f64 {
    if number.abs() < 1e50 {
        number
    } else {
        f64::NAN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measure(scale: Scale, adverse: Adverse) -> Measure {
        Measure {
            scale,
            adverse,
            domain: 0,
        }
    }

    /// Five organisations with ordinary figures of three proportions, and savings.
    fn ordinary(months: usize) -> Table {
        let proportion = measure(Scale::Proportion, Adverse::Down);
        let mut table = Table::new(5, months, vec![proportion; 3]);
        for organisation in 0..5 {
            for month in 0..months {
                for index in 0..3 {
                    let part = 900.0 + ((month * 7 + index * 3 + organisation) % 5) as f64;
                    table.set_figure(organisation, index, month, part, Some(1000.0));
                }
                table.set_savings(organisation, month, 100_000.0 * (1 + organisation) as f64);
            }
        }
        table
    }

    fn value(panel: &Panel, unit: usize, series: usize, month: usize) -> f64 {
        panel.values[(unit * panel.series + series) * panel.months + month]
    }

    #[test]
    fn up_is_worse_whatever_is_better() {
        let measures = [Adverse::Up, Adverse::Down].map(|way| measure(Scale::Proportion, way));
        let mut table = Table::new(1, 2, measures.to_vec());
        for index in 0..2 {
            table.set_figure(0, index, 0, 100.0, Some(1000.0));
            table.set_figure(0, index, 1, 200.0, Some(1000.0));
        }
        let panel = table.panel(2);
        assert!(value(&panel, 0, 1, 1) > value(&panel, 0, 1, 0));
        assert!(value(&panel, 0, 2, 1) < value(&panel, 0, 2, 0));
    }

    #[test]
    fn savings_are_near_their_log_and_keep_the_organisations_size() {
        let mut table = ordinary(30);
        table.set_savings(0, 6, 200_000.0);
        table.set_savings(0, 7, 0.0);
        table.set_savings(0, 8, -50_000.0);
        let panel = table.panel(30);
        let of = |unit, month| value(&panel, unit, 0, month);
        for (number, pence) in [
            (of(0, 5), 100_000.0_f64),
            (of(1, 5), 200_000.0),
            (of(0, 6), 200_000.0),
        ] {
            assert!(
                (number - pence.ln()).abs() < 0.03,
                "{number} {}",
                pence.ln()
            );
        }
        assert!(of(0, 8) < of(0, 7) && of(0, 7) < of(0, 5) - 1.5);
    }

    #[test]
    fn what_says_too_little_or_is_missing_is_no_number() {
        let mut table = ordinary(30);
        table.set_figure(0, 0, 3, 9.0, Some(10.0));
        table.set_figure(0, 0, 4, f64::NAN, None);
        // More cases than people.
        table.set_figure(0, 0, 5, 1100.0, Some(1000.0));
        table.set_savings(0, 6, f64::NAN);
        let panel = table.panel(30);
        assert!((3..6).all(|month| value(&panel, 0, 1, month).is_nan()));
        assert!(value(&panel, 0, 0, 6).is_nan());
        assert!(value(&panel, 0, 1, 6).is_finite());
    }

    #[test]
    fn a_value_near_nothing_stays_as_it_is_and_one_far_from_it_goes_on_the_log() {
        let mut table = Table::new(1, 24, vec![measure(Scale::Amount, Adverse::Up); 2]);
        for month in 0..24 {
            table.set_figure(0, 0, month, month as f64 - 10.0, None);
            table.set_figure(0, 1, month, 100.0 + month as f64, None);
        }
        let panel = table.panel(24);
        assert_eq!(value(&panel, 0, 1, 3), -7.0);
        assert!((value(&panel, 0, 2, 3) - 103.5_f64.ln()).abs() < 1e-12);
    }

    #[test]
    fn months_after_the_end_are_never_looked_at() {
        let mut table = ordinary(40);
        let before = table.panel(30);
        for month in 30..40 {
            table.set_figure(0, 0, month, 1.0, Some(5000.0));
            table.set_savings(0, month, 1e9);
        }
        let after = table.panel(30);
        assert_eq!(
            format!("{:?}", before.values),
            format!("{:?}", after.values)
        );
        assert_eq!(before.starts, after.starts);
    }

    #[test]
    fn a_return_that_copies_the_month_before_is_held_back() {
        let mut table = ordinary(30);
        for index in 0..3 {
            let (numerators, _) = table.line(0, index);
            let copied = numerators[19];
            table.set_figure(0, index, 20, copied, Some(1000.0));
        }
        let panel = table.panel(30);
        assert!(value(&panel, 0, 1, 20).is_nan() && value(&panel, 0, 0, 20).is_nan());
        assert!(value(&panel, 0, 1, 19).is_finite() && value(&panel, 1, 1, 20).is_finite());
    }

    #[test]
    fn half_a_return_is_held_back_and_a_merger_begins_anew() {
        let scaled = |table: &mut Table, organisation, month, by: f64| {
            for index in 0..3 {
                let part = table.line(organisation, index).0[month];
                table.set_figure(organisation, index, month, part * by, Some(1000.0 * by));
            }
        };
        let mut table = ordinary(30);
        scaled(&mut table, 0, 20, 0.5);
        for month in 15..30 {
            scaled(&mut table, 1, month, 2.0);
        }
        let panel = table.panel(30);
        assert!(value(&panel, 0, 1, 20).is_nan());
        assert!(value(&panel, 0, 1, 21).is_finite());
        assert_eq!(panel.starts, [0, 15, 0, 0, 0]);
        // In its first month it can't be told yet which of the two it is.
        let panel = table.panel(16);
        assert!(value(&panel, 1, 1, 15).is_nan());
        assert_eq!(panel.starts, [0; 5]);
    }

    #[test]
    fn long_histories_are_looked_at_from_whole_years_on() {
        let panel = ordinary(120).panel(118);
        assert_eq!(panel.months, 118 - 48);
    }
}
