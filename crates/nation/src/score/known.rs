//! What was known at the end of a month: late and restated rows come in when they were received, and nothing earlier.

use qipp_domain::marker::Polarity;
use qipp_rules::surveillance::{Adverse, Measure, Table};

use super::input::{Marker, Returns};

/// What is known of a nation, month after month.
#[derive(Debug)]
pub struct Known<'a> {
    returns: &'a Returns,
    table: Table,
    months: usize,
    /// Rows that have come in, of [`Returns::figures`] and [`Returns::savings`].
    figures: usize,
    savings: usize,
}

impl<'a> Known<'a> {
    /// Before the first month: nothing.
    #[must_use]
    pub fn new(returns: &'a Returns) -> Self {
        let measures = returns.markers.iter().map(Marker::measure).collect();
        Self {
            returns,
            table: Table::new(returns.organisations.len(), returns.months, measures),
            months: 0,
            figures: 0,
            savings: 0,
        }
    }

    /// Goes on to the end of month `months − 1`. Going back does nothing.
    pub fn advance(&mut self, months: usize) {
        self.months = self.months.max(months);
        let figures = &self.returns.figures[self.figures..];
        for row in figures.iter().take_while(|row| row.received < self.months) {
            let denominator = Some(row.denominator).filter(|denominator| !denominator.is_nan());
            self.table
                .set_figure(row.org, row.marker, row.month, row.numerator, denominator);
            self.figures += 1;
        }
        let savings = &self.returns.savings[self.savings..];
        for row in savings.iter().take_while(|row| row.received < self.months) {
            self.table.set_savings(row.org, row.month, row.actual_pence);
            self.savings += 1;
        }
    }

    /// How many months have ended.
    #[must_use]
    pub fn months(&self) -> usize {
        self.months
    }

    /// The figures, as surveillance takes them.
    #[must_use]
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// What they are of.
    #[must_use]
    pub fn returns(&self) -> &'a Returns {
        self.returns
    }
}

impl Marker {
    /// As surveillance takes it.
    fn measure(&self) -> Measure {
        Measure {
            scale: self.scale,
            adverse: match self.polarity {
                Polarity::HigherIsBetter => Adverse::Down,
                Polarity::LowerIsBetter | Polarity::Neutral => Adverse::Up,
            },
            domain: self.domain,
        }
    }
}
