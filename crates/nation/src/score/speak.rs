//! What is said of a nation month by month, on what was known then. The truth is not to be had here.

use qipp_rules::surveillance::{Assessment, Options, SurveillanceError, assess};

use super::input::Returns;
use super::known::Known;
use super::methods::{Method, Saying, says_all};

/// Probabilities of *both* below this are told as 0, so that what is ranked stays small.
const NEGLIGIBLE: f64 = 1e-3;

/// What to run.
#[derive(Clone, Debug, PartialEq)]
pub struct BenchPlan {
    /// How the layer assesses.
    pub options: Options,
    /// What it is compared with.
    pub methods: Vec<Method>,
    /// Months before the first one that is judged.
    pub warm_up: usize,
    /// Every so many months, from the first after the warm-up on; at least 1.
    pub every: usize,
    /// For what the layer resamples.
    pub seed: u64,
}

impl Default for BenchPlan {
    /// The layer at its defaults, all methods, every month after the 24 of a baseline.
    fn default() -> Self {
        Self {
            options: Options::default(),
            methods: Method::ALL.to_vec(),
            warm_up: 24,
            every: 1,
            seed: 0,
        }
    }
}

impl BenchPlan {
    /// The months that are judged of so many, from 0.
    pub fn judged(&self, months: usize) -> impl Iterator<Item = usize> + use<> {
        (self.warm_up..months).step_by(self.every.max(1))
    }
}

/// How far an alert of the layer has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tier {
    /// On the watch list only.
    Watch,
    /// On the list of alerts.
    Alert,
    /// On it in the month before, too.
    Confirmed,
}

impl Tier {
    /// All tiers.
    pub const ALL: [Self; 3] = [Self::Watch, Self::Alert, Self::Confirmed];

    /// The word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Watch => "watch",
            Self::Alert => "alert",
            Self::Confirmed => "confirmed",
        }
    }
}

/// An organisation that the layer names in a month.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Index into [`Returns::organisations`].
    pub org: usize,
    /// The highest tier that it has reached. Higher tiers are on the lists of lower ones, too.
    pub tier: Tier,
    /// Probability that the alert is false, as the layer says it.
    pub chance_false: f64,
    /// p-value of savings.
    pub savings_p: f64,
    /// p-value of quality.
    pub quality_p: f64,
    /// Index into [`Returns::domains`].
    pub domain: usize,
    /// Month in which that domain began to slip, as the layer says it.
    pub since: usize,
    /// Indices of the markers that it names, ascending.
    pub markers: Vec<usize>,
}

/// What was said in a month.
#[derive(Clone, Debug, PartialEq)]
pub struct Spoken {
    /// The month, from 0.
    pub month: usize,
    /// How many organisations the layer could judge.
    pub judged: usize,
    /// By organisation, the layer's probability of *both*; 0 where it says nothing of it.
    pub probability: Vec<f64>,
    /// Whom it names.
    pub entries: Vec<Entry>,
    /// What each method says, in the order of [`BenchPlan::methods`], by organisation.
    pub methods: Vec<Vec<Saying>>,
}

/// Runs the layer, and what it is compared with, over all months of the plan.
///
/// # Errors
///
/// [`SurveillanceError`] when the layer can't take the figures or the options.
pub fn speak(
    returns: &Returns,
    plan: &BenchPlan,
    mut each: impl FnMut(Spoken),
) -> Result<(), SurveillanceError> {
    let mut known = Known::new(returns);
    let mut before: Option<Assessment> = None;
    for month in plan.judged(returns.months) {
        let end = month + 1;
        known.advance(end);
        // Each month has random numbers of its own.
        let seed = plan.seed ^ ((end as u64) << 32);
        let now = assess(known.table(), end, &plan.options, seed)?;
        each(Spoken {
            month,
            judged: now.judgements.iter().flatten().count(),
            probability: now
                .judgements
                .iter()
                .map(|judged| judged.as_ref().map_or(0.0, |judged| judged.states[3]))
                .map(|both| if both < NEGLIGIBLE { 0.0 } else { both })
                .collect(),
            entries: entries(&now, before.as_ref()),
            methods: says_all(&known, &plan.methods),
        });
        before = (plan.every <= 1).then_some(now);
    }
    Ok(())
}

fn entries(now: &Assessment, before: Option<&Assessment>) -> Vec<Entry> {
    let confirmed = before.map_or_else(Vec::new, |before| now.confirmed(before));
    let named = now.watch.iter().filter_map(|alert| {
        let judged = now.judgements[alert.unit].as_ref()?;
        let alerted = now.alerts.iter().any(|held| held.unit == alert.unit);
        Some(Entry {
            org: alert.unit,
            tier: match (alerted, confirmed.binary_search(&alert.unit)) {
                (false, _) => Tier::Watch,
                (true, Err(_)) => Tier::Alert,
                (true, Ok(_)) => Tier::Confirmed,
            },
            chance_false: alert.lfdr,
            savings_p: judged.savings_p,
            quality_p: judged.quality_p,
            domain: alert.domain,
            since: alert.since,
            // The layer's series are savings and then the markers.
            markers: alert.markers.iter().map(|series| series - 1).collect(),
        })
    });
    named.collect()
}
