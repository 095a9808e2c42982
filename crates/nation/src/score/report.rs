//! One nation judged, and several together.

use std::collections::BTreeMap;
use std::fmt;

use qipp_rules::surveillance::SurveillanceError;
use qipp_spc::surveillance::MIN_UNITS;

use super::input::{Input, Returns};
use super::known::Known;
use super::methods::Method;
use super::metrics::{METRICS, Metrics, Said, Score, Scorer};
use super::speak::{BenchPlan, Entry, Spoken, Tier, speak};

/// Who says something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Voice {
    /// A list of the layer. The watch list and the alerts go by the same probability, so what is matched is told of alerts
    /// only.
    Layer(Tier),
    /// A method that it is compared with.
    Method(Method),
}

impl Voice {
    /// The short name, for programs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Layer(tier) => tier.name(),
            Self::Method(method) => method.name(),
        }
    }

    /// For people.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Layer(Tier::Watch) => "surveillance: watch",
            Self::Layer(Tier::Alert) => "surveillance: alert",
            Self::Layer(Tier::Confirmed) => "surveillance: confirmed",
            Self::Method(method) => method.title(),
        }
    }

    /// Who speaks under a plan, in order. Confirmed needs months that follow each other.
    #[must_use]
    pub fn of(plan: &BenchPlan) -> Vec<Self> {
        let tiers = Tier::ALL
            .into_iter()
            .filter(|tier| *tier != Tier::Confirmed || plan.every <= 1);
        tiers
            .map(Self::Layer)
            .chain(plan.methods.iter().copied().map(Self::Method))
            .collect()
    }

    fn said(self, plan: &BenchPlan, spoken: &Spoken) -> Said {
        match self {
            Self::Layer(tier) => {
                let on = |entry: &&Entry| entry.tier >= tier;
                let listed = spoken.entries.iter().filter(on);
                let expected = listed.clone().map(|entry| entry.chance_false).sum();
                Said {
                    alerts: listed
                        .map(|entry| (entry.org, entry.markers.clone()))
                        .collect(),
                    strength: match tier {
                        Tier::Alert => spoken.probability.clone(),
                        _ => Vec::new(),
                    },
                    expected_false: (tier != Tier::Confirmed).then_some(expected),
                }
            }
            Self::Method(method) => {
                let at = plan.methods.iter().position(|held| *held == method);
                let sayings = at.map_or(&[][..], |at| &spoken.methods[at]);
                let alerted = sayings
                    .iter()
                    .enumerate()
                    .filter(|(_, saying)| saying.alert);
                Said {
                    alerts: alerted
                        .map(|(org, saying)| (org, saying.markers.clone()))
                        .collect(),
                    strength: sayings.iter().map(|saying| saying.strength).collect(),
                    expected_false: None,
                }
            }
        }
    }
}

/// A nation that was judged.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Judged {
    /// By voice.
    pub scores: BTreeMap<Voice, Score>,
    /// What the layer said, by month.
    pub entries: Vec<(usize, Vec<Entry>)>,
    /// Why the layer could judge nobody in any month. Its scores are of no month then, so that they have no metrics.
    pub unjudged: Option<Unjudged>,
}

/// Why the layer could judge nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unjudged {
    /// All months belong to the baseline.
    TooFewMonths {
        /// How many there are.
        months: usize,
        /// How many the baseline takes.
        baseline: usize,
    },
    /// What is usual cannot be told from so few.
    TooFewOrganisations(usize),
    /// The figures say too little.
    TooLittleToTell {
        /// How many organisations there are.
        organisations: usize,
        /// How many have savings that vary.
        savings: usize,
        /// How many have a marker that varies.
        markers: usize,
    },
}

impl Unjudged {
    /// For programs; stable.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::TooFewMonths { .. } => "TOO_FEW_MONTHS",
            Self::TooFewOrganisations(_) => "TOO_FEW_ORGANISATIONS",
            Self::TooLittleToTell { .. } => "TOO_LITTLE_TO_TELL",
        }
    }

    /// Nobody was judged in a month: why? `None` where somebody was, by figures that vary.
    fn of(returns: &Returns, plan: &BenchPlan, anybody: bool) -> Option<Self> {
        let (organisations, months) = (returns.organisations.len(), returns.months);
        if months <= plan.warm_up {
            let baseline = plan.warm_up;
            return Some(Self::TooFewMonths { months, baseline });
        }
        if organisations < MIN_UNITS {
            return Some(Self::TooFewOrganisations(organisations));
        }
        let mut known = Known::new(returns);
        known.advance(months);
        let [savings, markers, both] = known.table().varying(months);
        (!anybody || both == 0).then_some(Self::TooLittleToTell {
            organisations,
            savings,
            markers,
        })
    }
}

impl fmt::Display for Unjudged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooFewMonths { months, baseline } => write!(
                f,
                "there are {months} months, and the first {baseline} are the baseline: give at least {}",
                baseline + 1
            ),
            Self::TooFewOrganisations(organisations) => write!(
                f,
                "there are {organisations} organisations, and what is usual can be told from {MIN_UNITS} on: give more"
            ),
            Self::TooLittleToTell {
                organisations,
                savings,
                markers,
            } => write!(
                f,
                "of {organisations} organisations {savings} have savings that vary, and {markers} a marker that varies: at least {MIN_UNITS} need \
                 both, in the baseline too, and returns of the last three months (what was received later, and too few events, count as missing)"
            ),
        }
    }
}

/// Runs everything over a nation and holds it against the truth. `each` is told of every month when it is done.
///
/// # Errors
///
/// As [`speak`].
pub fn judge(
    input: &Input,
    plan: &BenchPlan,
    mut each: impl FnMut(usize),
) -> Result<Judged, SurveillanceError> {
    let (organisations, months) = (input.returns.organisations.len(), input.returns.months);
    let voices = Voice::of(plan);
    let mut scorers: Vec<Scorer<'_>> = voices
        .iter()
        .map(|_| Scorer::new(&input.truth, organisations, months))
        .collect();
    let mut entries = Vec::new();
    let mut anybody = false;
    speak(&input.returns, plan, |spoken| {
        for (voice, scorer) in voices.iter().zip(&mut scorers) {
            scorer.month(spoken.month, &voice.said(plan, &spoken));
        }
        anybody |= spoken.judged > 0;
        entries.push((spoken.month, spoken.entries));
        each(spoken.month);
    })?;
    let unjudged = Unjudged::of(&input.returns, plan, anybody);
    let scores = scorers.into_iter().map(Scorer::finish);
    let scores = voices.into_iter().zip(scores).map(|(voice, score)| {
        let is_silent = unjudged.is_some() && matches!(voice, Voice::Layer(_));
        (voice, if is_silent { Score::default() } else { score })
    });
    Ok(Judged {
        scores: scores.collect(),
        entries,
        unjudged,
    })
}

/// What one voice was worth over several nations.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// Who.
    pub voice: Voice,
    /// Of all nations together.
    pub metrics: Metrics,
    /// Standard errors: of all nations together, each left out in turn (the jackknife). None of the median of delays, of
    /// which it says nothing right, and of one nation.
    pub errors: Metrics,
}

/// All voices over nations that were judged under one plan.
#[must_use]
pub fn summarise(judged: &[&Judged]) -> Vec<Summary> {
    let Some(first) = judged.first() else {
        return Vec::new();
    };
    first
        .scores
        .keys()
        .map(|voice| {
            let scores: Vec<&Score> = judged
                .iter()
                .filter_map(|nation| nation.scores.get(voice))
                .collect();
            Summary {
                voice: *voice,
                metrics: Score::together(scores.iter().copied()).metrics(),
                errors: errors(&scores),
            }
        })
        .collect()
}

/// Jackknife (Tukey 1958): `√((n − 1)/n · Σ (θ₋ᵢ − θ̄)²)`.
fn errors(scores: &[&Score]) -> Metrics {
    let n = scores.len();
    let without: Vec<Metrics> = (0..n)
        .filter(|_| n > 1)
        .map(|left_out| {
            let others = scores.iter().enumerate().filter(|(at, _)| *at != left_out);
            Score::together(others.map(|(_, score)| *score)).metrics()
        })
        .collect();
    let mut values = [None; METRICS.len()];
    for (at, value) in values.iter_mut().enumerate() {
        let all: Option<Vec<f64>> = without.iter().map(|held| held.values[at]).collect();
        let told = !matches!(METRICS[at], "delay_median" | "episodes" | "months");
        *value = all.filter(|all| told && !all.is_empty()).map(|all| {
            let mean = all.iter().sum::<f64>() / n as f64;
            let squares: f64 = all.iter().map(|x| (x - mean).powi(2)).sum();
            ((n - 1) as f64 / n as f64 * squares).sqrt()
        });
    }
    Metrics { values }
}

#[cfg(test)]
mod tests;
