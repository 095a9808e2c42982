//! What alerts were worth: held against the truth of a nation, month by month.
//!
//! An alert is *true* when the organisation has an episode of the kind *both* and the month is within it, or in the
//! [`GRACE`] months after its end. Power, delay and the matched threshold count the months of the episode itself.

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::input::{Episode, Truth};
use crate::TruthKind;

/// Months after the end of an episode in which an alert is still true.
pub const GRACE: usize = 3;
/// Months from the onset to the month in which a shift is there in full, in the scenarios of the study.
const RAMP: usize = 3;
/// Within how many months of the onset something is found; the month of the onset is the first.
const WITHIN: [usize; 3] = [3, 6, 11];
/// Share of false alerts at which methods are compared by an oracle's threshold.
const MATCHED_FDR: f64 = 0.10;

/// Names of the metrics, in the order of [`Metrics::values`]. A metric without anything to be told from has no value.
///
/// * `fdr`: mean over months of the false share of the month's alerts; 0 in a month without alerts;
/// * `within_3`, `within_6`, `within_11`: share of the episodes found by so many months from their onset, of those with so
///   many months (and so many that were judged) ahead of them;
/// * `delay_median`, `delay_mean`: months to the first true alert, 1 in the month of the onset, of those found;
/// * `alerts_a_month`, `false_a_month`: how many;
/// * `any`: share of the months with any alert; `any_when_nothing`: the same of the months in which nobody has both;
/// * `expected_false`: how many false alerts a month the layer itself says to expect;
/// * `matched`, `matched_full`: share of the organisation-months since the onset, and since the third month of it, above the
///   lowest threshold at which 10 % of all alerts of all months are false (an oracle's threshold: it knows the truth);
/// * `marker_precision`, `marker_recall`: of markers named in true alerts, how many slip; of those that slip, how many are
///   named;
/// * `episodes`, `months`: how many there were to be found, and how many months were judged.
pub const METRICS: [&str; 17] = [
    "fdr",
    "within_3",
    "within_6",
    "within_11",
    "delay_median",
    "delay_mean",
    "alerts_a_month",
    "false_a_month",
    "any",
    "any_when_nothing",
    "expected_false",
    "matched",
    "matched_full",
    "marker_precision",
    "marker_recall",
    "episodes",
    "months",
];

/// The metrics by name.
#[derive(Clone, Debug, PartialEq)]
pub struct Metrics {
    /// In the order of [`METRICS`].
    pub values: [Option<f64>; METRICS.len()],
}

impl Metrics {
    /// The metric of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<f64> {
        let at = METRICS.iter().position(|held| *held == name)?;
        self.values[at]
    }
}

impl Serialize for Metrics {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(METRICS.len()))?;
        for (name, value) in METRICS.iter().zip(self.values) {
            map.serialize_entry(name, &value)?;
        }
        map.end()
    }
}

/// What one voice says in one month, as the score takes it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Said {
    /// Organisations that are alerted, each with the markers named.
    pub alerts: Vec<(usize, Vec<usize>)>,
    /// By organisation, larger is more suspect; empty for a voice that has none.
    pub strength: Vec<f64>,
    /// The voice's own expected number of false alerts, where it says one.
    pub expected_false: Option<f64>,
}

/// One organisation-month, as the oracle sees it.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Pooled {
    strength: f64,
    is_true: bool,
    since_onset: bool,
    in_full: bool,
}

/// Counts of one voice over months; those of several nations add up.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Score {
    months: usize,
    false_shares: f64,
    alerts: usize,
    false_alerts: usize,
    any: usize,
    quiet_months: usize,
    quiet_any: usize,
    expected_false: Option<f64>,
    episodes: usize,
    /// For each of [`WITHIN`]: found, and how many could have been.
    within: [(usize, usize); WITHIN.len()],
    delays: Vec<usize>,
    is_ranked: bool,
    months_since: usize,
    months_in_full: usize,
    /// Organisation-months with any strength, the strongest first.
    pool: Vec<Pooled>,
    /// Markers named that slip; named; that slip.
    markers: (usize, usize, usize),
}

/// Holds what one voice says of a nation against the truth.
#[derive(Debug)]
pub struct Scorer<'a> {
    truth: &'a Truth,
    organisations: usize,
    last: usize,
    first_true: Vec<Option<usize>>,
    judged: Vec<usize>,
    score: Score,
}

impl<'a> Scorer<'a> {
    /// Of a nation of so many organisations and months.
    #[must_use]
    pub fn new(truth: &'a Truth, organisations: usize, months: usize) -> Self {
        Self {
            truth,
            organisations,
            last: months.saturating_sub(1),
            first_true: vec![None; truth.episodes.len()],
            judged: Vec::new(),
            score: Score::default(),
        }
    }

    /// The episodes of both that have begun and count in a month, by their index.
    fn current(&self, month: usize) -> impl Iterator<Item = (usize, &'a Episode)> + use<'a> {
        let episodes = self.truth.episodes.iter().enumerate();
        episodes.filter(move |(_, episode)| {
            let over = |until: usize| month > until + GRACE;
            episode.kind == TruthKind::Both
                && month >= episode.from
                && !episode.until.is_some_and(over)
        })
    }

    /// Takes in a month; months come in order.
    pub fn month(&mut self, month: usize, said: &Said) {
        let mut by_org: Vec<Option<(usize, &Episode)>> = vec![None; self.organisations];
        for (at, episode) in self.current(month) {
            by_org[episode.org] = Some((at, episode));
        }
        self.judged.push(month);
        self.count_alerts(month, said, &by_org);
        self.pool(month, said, &by_org);
    }

    fn count_alerts(&mut self, month: usize, said: &Said, by_org: &[Option<(usize, &Episode)>]) {
        let score = &mut self.score;
        let nothing_is_wrong = by_org.iter().all(Option::is_none);
        let mut wrong = 0;
        for (org, named) in &said.alerts {
            let Some((at, episode)) = by_org[*org] else {
                wrong += 1;
                continue;
            };
            self.first_true[at].get_or_insert(month);
            if !episode.markers.is_empty() {
                let right = named.iter().filter(|at| episode.markers.contains(at));
                score.markers.0 += right.count();
                score.markers.1 += named.len();
                score.markers.2 += episode.markers.len();
            }
        }
        let any = usize::from(!said.alerts.is_empty());
        score.months += 1;
        score.alerts += said.alerts.len();
        score.false_alerts += wrong;
        score.any += any;
        if any == 1 {
            score.false_shares += wrong as f64 / said.alerts.len() as f64;
        }
        if nothing_is_wrong {
            score.quiet_months += 1;
            score.quiet_any += any;
        }
        if let Some(expected) = said.expected_false {
            *score.expected_false.get_or_insert(0.0) += expected;
        }
    }

    fn pool(&mut self, month: usize, said: &Said, by_org: &[Option<(usize, &Episode)>]) {
        let score = &mut self.score;
        for (org, current) in by_org.iter().enumerate() {
            let episode = current.map(|(_, episode)| episode);
            let within = episode.filter(|held| held.until.is_none_or(|until| month <= until));
            let in_full = within.is_some_and(|held| month + 1 >= held.from + RAMP);
            score.months_since += usize::from(within.is_some());
            score.months_in_full += usize::from(in_full);
            let Some(strength) = said.strength.get(org) else {
                continue;
            };
            score.is_ranked = true;
            if *strength > 0.0 {
                score.pool.push(Pooled {
                    strength: *strength,
                    is_true: episode.is_some(),
                    since_onset: within.is_some(),
                    in_full,
                });
            }
        }
    }

    /// The score, when the last month is in.
    #[must_use]
    pub fn finish(mut self) -> Score {
        let both = |episode: &&Episode| episode.kind == TruthKind::Both;
        let found = self.first_true.iter();
        for (episode, found) in self
            .truth
            .episodes
            .iter()
            .zip(found)
            .filter(|(episode, _)| both(episode))
        {
            let judged = |month: &&usize| **month >= episode.from;
            if self.judged.iter().find(judged).is_none() {
                continue;
            }
            self.score.episodes += 1;
            let delay = found.map(|month| month - episode.from + 1);
            self.score.delays.extend(delay);
            for ((hit, of), months) in self.score.within.iter_mut().zip(WITHIN) {
                if episode.from + months <= self.last + 1 {
                    *of += 1;
                    *hit += usize::from(delay.is_some_and(|delay| delay <= months));
                }
            }
        }
        self.score.sort();
        self.score
    }
}

impl Score {
    fn sort(&mut self) {
        self.pool.sort_by(|a, b| b.strength.total_cmp(&a.strength));
        self.delays.sort_unstable();
    }

    /// The counts of several nations together.
    #[must_use]
    pub fn together<'s>(scores: impl Iterator<Item = &'s Self>) -> Self {
        let mut all = Self::default();
        for score in scores {
            all.months += score.months;
            all.false_shares += score.false_shares;
            all.alerts += score.alerts;
            all.false_alerts += score.false_alerts;
            all.any += score.any;
            all.quiet_months += score.quiet_months;
            all.quiet_any += score.quiet_any;
            if let Some(expected) = score.expected_false {
                *all.expected_false.get_or_insert(0.0) += expected;
            }
            all.episodes += score.episodes;
            for (sum, own) in all.within.iter_mut().zip(score.within) {
                *sum = (sum.0 + own.0, sum.1 + own.1);
            }
            all.delays.extend(&score.delays);
            all.is_ranked |= score.is_ranked;
            all.months_since += score.months_since;
            all.months_in_full += score.months_in_full;
            all.pool.extend(&score.pool);
            all.markers = (
                all.markers.0 + score.markers.0,
                all.markers.1 + score.markers.1,
                all.markers.2 + score.markers.2,
            );
        }
        all.sort();
        all
    }

    /// What the counts say.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        let of = |part: usize, whole: usize| share(part as f64, whole);
        let [three, six, eleven] = self.within.map(|(found, all)| of(found, all));
        let delays: f64 = self.delays.iter().map(|delay| *delay as f64).sum();
        let (matched, matched_full) = self.matched();
        Metrics {
            values: [
                share(self.false_shares, self.months),
                three,
                six,
                eleven,
                median(&self.delays),
                share(delays, self.delays.len()),
                of(self.alerts, self.months),
                of(self.false_alerts, self.months),
                of(self.any, self.months),
                of(self.quiet_any, self.quiet_months),
                self.expected_false
                    .and_then(|expected| share(expected, self.months)),
                matched,
                matched_full,
                of(self.markers.0, self.markers.1),
                of(self.markers.0, self.markers.2),
                Some(self.episodes as f64),
                Some(self.months as f64),
            ],
        }
    }

    /// Power since the onset, and with the shift in full, at the lowest threshold with at most [`MATCHED_FDR`] false among
    /// all alerts of all months. Equal strengths stand or fall together.
    fn matched(&self) -> (Option<f64>, Option<f64>) {
        if !self.is_ranked {
            return (None, None);
        }
        let (mut all, mut right, mut since, mut full) = (0, 0, 0, 0);
        let mut best = (0, 0);
        let count = |equal: &[Pooled], what: fn(&Pooled) -> bool| {
            equal.iter().filter(|pooled| what(pooled)).count()
        };
        for equal in self.pool.chunk_by(|a, b| a.strength == b.strength) {
            all += equal.len();
            right += count(equal, |pooled| pooled.is_true);
            since += count(equal, |pooled| pooled.since_onset);
            full += count(equal, |pooled| pooled.in_full);
            if (all - right) as f64 <= MATCHED_FDR * all as f64 {
                best = (since, full);
            }
        }
        (
            share(best.0 as f64, self.months_since),
            share(best.1 as f64, self.months_in_full),
        )
    }
}

fn share(part: f64, whole: usize) -> Option<f64> {
    (whole > 0).then(|| part / whole as f64)
}

/// Of ascending numbers.
fn median(ascending: &[usize]) -> Option<f64> {
    let middle = ascending.len() / 2;
    let upper = *ascending.get(middle)?;
    let lower = if ascending.len() % 2 == 1 {
        upper
    } else {
        ascending[middle - 1]
    };
    Some((lower + upper) as f64 / 2.0)
}

#[cfg(test)]
mod tests;
