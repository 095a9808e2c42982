//! What rules are scored on, whatever it comes from: what was returned, and apart from it what is true.

use std::collections::BTreeMap;

use qipp_domain::Period;
use qipp_domain::marker::Polarity;
use qipp_rules::series::Scale;

use crate::TruthKind;
use crate::scenario::ScoringNation;

/// Most organisations.
pub const MAX_ORGANISATIONS: usize = 20_000;
/// Most months from the first to the last.
pub const MAX_MONTHS: usize = 480;
/// Most figures that there could be (organisations × markers × months); two numbers are held for each.
pub const MAX_CELLS: usize = 60_000_000;

/// A marker that has a worse side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marker {
    /// Its code, any text.
    pub code: String,
    /// Index into [`Returns::domains`].
    pub domain: usize,
    /// Which way is better; never [`Polarity::Neutral`].
    pub polarity: Polarity,
    /// What its figures are: seen from all of them, see [`Returns::assemble`].
    pub scale: Scale,
}

/// A figure as it was returned.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figure {
    /// Index into [`Returns::organisations`].
    pub org: usize,
    /// Index into [`Returns::markers`].
    pub marker: usize,
    /// Month that it is about, from 0.
    pub month: usize,
    /// Month at whose end it became known, from 0; may lie after the last month.
    pub received: usize,
    /// Numerator, or the value of a marker without denominator; NaN: returned as missing.
    pub numerator: f64,
    /// Denominator; NaN where there is none.
    pub denominator: f64,
}

/// Savings of an organisation in a month as they were returned.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Saving {
    /// Index into [`Returns::organisations`].
    pub org: usize,
    /// Month that it is about, from 0.
    pub month: usize,
    /// Month at whose end it became known, from 0; may lie after the last month.
    pub received: usize,
    /// Delivered, pence; NaN: returned as missing.
    pub actual_pence: f64,
}

/// What was returned: all that a method may see. Plans are not kept, since no method looks at them.
#[derive(Clone, Debug, PartialEq)]
pub struct Returns {
    /// Names of the domains, each of which has a marker.
    pub domains: Vec<String>,
    /// Markers; those that are neutral are left out.
    pub markers: Vec<Marker>,
    /// Codes of the organisations, ascending.
    pub organisations: Vec<String>,
    /// The first month.
    pub first: Period,
    /// How many months.
    pub months: usize,
    /// Figures by `received`, organisation, marker, month. A later one of a key restates those before.
    pub figures: Vec<Figure>,
    /// Savings by `received`, organisation, month; the same.
    pub savings: Vec<Saving>,
}

/// A time in which something was put into an organisation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Episode {
    /// Index into [`Returns::organisations`].
    pub org: usize,
    /// What moves.
    pub kind: TruthKind,
    /// First month, from 0.
    pub from: usize,
    /// Last month; `None`: it lasts.
    pub until: Option<usize>,
    /// Indices of the markers that slip, ascending; empty where it is not said.
    pub markers: Vec<usize>,
}

/// What is true. Nothing that judges returns is given it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Truth {
    /// By organisation and first month.
    pub episodes: Vec<Episode>,
}

impl Truth {
    /// In order.
    #[must_use]
    pub fn new(mut episodes: Vec<Episode>) -> Self {
        episodes.sort_by_key(|held| (held.org, held.from, held.kind));
        Self { episodes }
    }
}

/// Both.
#[derive(Clone, Debug, PartialEq)]
pub struct Input {
    /// For methods.
    pub returns: Returns,
    /// For the score.
    pub truth: Truth,
}

/// A marker before its figures were seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MarkerEntry {
    /// Its code.
    pub code: String,
    /// Its domain's name.
    pub domain: String,
    /// Which way is better; never [`Polarity::Neutral`].
    pub polarity: Polarity,
}

impl Returns {
    /// Puts rows, in any order, into the form that everything works on, and sees what each marker is: a proportion where
    /// no numerator is above its denominator, a rate where one is, a value where there are no denominators.
    ///
    /// Returns also how many figures lack the denominator that others of their marker have: they count as missing.
    #[must_use]
    pub fn assemble(
        markers: Vec<MarkerEntry>,
        organisations: Vec<String>,
        (first, months): (Period, usize),
        mut figures: Vec<Figure>,
        mut savings: Vec<Saving>,
    ) -> (Self, usize) {
        figures.sort_by_key(|row| (row.received, row.org, row.marker, row.month));
        savings.sort_by_key(|row| (row.received, row.org, row.month));
        let mut scales = vec![Scale::Amount; markers.len()];
        for row in figures.iter().filter(|row| !row.denominator.is_nan()) {
            let scale = &mut scales[row.marker];
            *scale = match *scale {
                Scale::Amount | Scale::Proportion if row.numerator <= row.denominator => {
                    Scale::Proportion
                }
                _ if row.numerator.is_nan() => *scale,
                _ => Scale::Rate,
            };
        }
        let mut without = 0;
        for row in &mut figures {
            let lacks = row.denominator.is_nan() && !row.numerator.is_nan();
            if lacks && scales[row.marker] != Scale::Amount {
                row.numerator = f64::NAN;
                without += 1;
            }
        }
        let mut domains: Vec<String> = Vec::new();
        let markers = markers
            .into_iter()
            .zip(scales)
            .map(|(entry, scale)| {
                let known = domains.iter().position(|held| *held == entry.domain);
                let domain = known.unwrap_or_else(|| {
                    domains.push(entry.domain);
                    domains.len() - 1
                });
                Marker {
                    code: entry.code,
                    domain,
                    polarity: entry.polarity,
                    scale,
                }
            })
            .collect();
        let returns = Self {
            domains,
            markers,
            organisations,
            first,
            months,
            figures,
            savings,
        };
        (returns, without)
    }

    /// The month at an index, as `YYYY-MM`.
    #[must_use]
    pub fn period(&self, month: usize) -> String {
        crate::scenario::period_at(self.first, month).to_string()
    }
}

impl From<&ScoringNation> for Input {
    /// As if the nation's files had been read.
    fn from(nation: &ScoringNation) -> Self {
        let mut order: Vec<usize> = (0..nation.organisations.len()).collect();
        order.sort_by_key(|org| nation.organisations[*org]);
        let place: BTreeMap<usize, usize> = order
            .iter()
            .enumerate()
            .map(|(place, org)| (*org, place))
            .collect();
        let kept: Vec<Option<usize>> = nation
            .markers
            .iter()
            .scan(0, |next, marker| {
                let taken = marker.polarity != Polarity::Neutral;
                *next += usize::from(taken);
                Some(taken.then(|| *next - 1))
            })
            .collect();
        let markers = nation
            .markers
            .iter()
            .filter(|marker| marker.polarity != Polarity::Neutral)
            .map(|marker| MarkerEntry {
                code: marker.code.clone(),
                domain: marker.domain.name().to_owned(),
                polarity: marker.polarity,
            })
            .collect();
        let figures = nation.observations.iter().filter_map(|row| {
            Some(Figure {
                org: place[&row.org],
                marker: kept[row.marker]?,
                month: row.month,
                received: row.received,
                numerator: row.numerator as f64,
                denominator: row.denominator as f64,
            })
        });
        let savings = nation.savings.iter().map(|row| Saving {
            org: place[&row.org],
            month: row.month,
            received: row.received,
            actual_pence: row.actual_pence as f64,
        });
        let episodes = nation.truth.iter().map(|row| Episode {
            org: place[&row.org],
            kind: row.kind,
            from: row.from,
            // The nation names the first month in which it is over, as its file does. A month more or less is within the
            // months of grace in which an alert still counts.
            until: row.until,
            markers: row.markers.iter().filter_map(|at| kept[*at]).collect(),
        });
        let truth = Truth::new(episodes.collect());
        let codes = order
            .iter()
            .map(|org| nation.organisations[*org].to_string());
        let (returns, _) = Returns::assemble(
            markers,
            codes.collect(),
            (nation.first, nation.months),
            figures.collect(),
            savings.collect(),
        );
        Self { returns, truth }
    }
}
