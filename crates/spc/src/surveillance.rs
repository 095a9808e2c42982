//! Surveillance of many units at once: which of them save more *and* slip in quality, at a stated false discovery rate.
//!
//! The problem in the abstract. A panel is units × series × months; one series is savings, the others are markers, grouped
//! into domains fixed in advance, all oriented so that up is more savings or worse quality. A unit is in one of four
//! states: nothing moved, savings rose, a domain slipped, both. [`assess`] says, from the months known so far, how
//! probable each state is for each unit, and chooses the set of units in the state *both* whose mean local false discovery
//! rate is at most `q`.
//!
//! The steps (module in brackets):
//!
//! 1. Peers (`fit`): off each value goes a robust location of its month over all units (season, trend, definition), in
//!    which units count as much as they are likely not to have moved. A month in which all scatter more than usual is
//!    brought back to the usual scatter.
//! 2. Own baseline (`fit`): the first 24 months of each series, frozen; level, lag-1 autocorrelation (bias-corrected) and innovation variance
//!    are the unit's own, shrunk by empirical Bayes to the series' and, for autocorrelation, to what the unit's series
//!    share (Smyth 2004 for variances; Marriott & Pope 1954 for the bias). Innovations are t; ν is estimated.
//! 3. Evidence (`evidence`): likelihood ratio of a shift of the level, for each onset, two ramps and four sizes, with the
//!    baseline's error of estimation integrated out. Of savings the autocorrelation is integrated out, too. A domain is
//!    judged by generalised least squares over all markers, so what an organisation's other domains have in common with
//!    it is taken off.
//! 4. Mixture (`decide`): shares of states, sizes, onsets and of the lag from savings to quality by EM over all units,
//!    with Dirichlet priors (Efron 2008 for the two-groups model; here four).
//! 5. Calibration (`null`): units made from resampled whole unit-months, without and with planted shifts, go through
//!    steps 2 to 4. A logistic regression on them tempers likelihood ratios that say too much; p-values are ranks among
//!    those without.
//! 6. Decision (`decide`): the largest set with mean local fdr ≤ q (Sun & Cai 2007), out of units whose savings and quality
//!    are each beyond what [`MAX_P`] of made units reach; in it, markers by Benjamini and Hochberg.
//!
//! *Architecture invariant*: numbers only, no clock and no hidden randomness: the same panel, options and seed give the
//! same assessment, bit for bit, so an alert can be computed again. Months after `end` are never read.
//!
//! *Architecture invariant*: nothing here says why a unit moved.

mod correlation;
mod decide;
mod error;
mod evidence;
mod fit;
mod null;
mod random;
mod stats;

pub use error::SurveillanceError;

/// A unit can only alert when its savings and its quality each have a p-value of at most this.
pub const MAX_P: f64 = 0.05;
/// Fewest assessable units in a month; below, what is usual cannot be told, and nobody is assessed.
pub const MIN_UNITS: usize = 10;
/// A unit whose savings, or whose markers all, are missing for so many months up to the present is not assessed.
pub const SILENT_AFTER: usize = 3;
/// Most markers of a design; the work grows with their square.
pub const MAX_MARKERS: usize = 200;

/// Which series is what. A series may be left out of the design.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Design {
    /// Index of the savings series; up is more.
    pub savings: usize,
    /// Indices of the marker series of each domain; up is worse.
    pub domains: Vec<Vec<usize>>,
}

impl Design {
    fn markers(&self) -> Vec<usize> {
        self.domains.iter().flatten().copied().collect()
    }
}

/// Units × series × months, as it was known.
#[derive(Clone, Debug)]
pub struct Panel {
    /// Number of units.
    pub units: usize,
    /// Number of series of each unit.
    pub series: usize,
    /// Number of months of each series.
    pub months: usize,
    /// `values[(unit * series + s) * months + month]`, transformed and oriented; NaN is missing.
    pub values: Vec<f64>,
    /// Month from which a unit's values are comparable: 0, or when it began or was rebased. Earlier values are not
    /// read, and nothing is said of it for six months.
    pub starts: Vec<usize>,
    /// Which series is what.
    pub design: Design,
}

impl Panel {
    fn start(&self, unit: usize) -> usize {
        self.starts[unit]
    }

    fn block(z: &[f64], unit: usize, series: usize, months: usize) -> &[f64] {
        &z[unit * series * months..(unit + 1) * series * months]
    }

    fn reports(&self, unit: usize, end: usize) -> bool {
        let recent = |s: usize| {
            let at = (unit * self.series + s) * self.months;
            self.values[at + end.saturating_sub(SILENT_AFTER)..at + end]
                .iter()
                .any(|v| !v.is_nan())
        };
        recent(self.design.savings) && self.design.domains.iter().flatten().any(|s| recent(*s))
    }
}

/// How to assess.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// Months of each series' own baseline, from its first known one; default 24, at least 12.
    pub baseline_months: usize,
    /// Units made by resampling; default 400. More make p-values finer and take longer.
    pub resamples: usize,
    /// False discovery rate of alerts; default 0.10.
    pub alert_q: f64,
    /// False discovery rate of the watch list; default 0.20.
    pub watch_q: f64,
    /// False discovery rate of markers within an alerted unit; default 0.10.
    pub marker_q: f64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            baseline_months: 24,
            resamples: 400,
            alert_q: 0.10,
            watch_q: 0.20,
            marker_q: 0.10,
        }
    }
}

/// What is known of one unit in one month.
#[derive(Clone, Debug, PartialEq)]
pub struct Judgement {
    /// Probabilities that nothing moved, that savings alone rose, that quality alone slipped, and both. They add up to 1.
    pub states: [f64; 4],
    /// p-value of savings: share of made units with as much evidence.
    pub savings_p: f64,
    /// p-value of quality over all domains.
    pub quality_p: f64,
    /// p-value of each domain alone.
    pub domain_p: Vec<f64>,
}

impl Judgement {
    /// Local false discovery rate of an alert: the probability that it is not *both*.
    pub fn lfdr(&self) -> f64 {
        1.0 - self.states[3]
    }
}

/// One unit on a list.
#[derive(Clone, Debug, PartialEq)]
pub struct Alert {
    /// Index of the unit.
    pub unit: usize,
    /// Local false discovery rate.
    pub lfdr: f64,
    /// Domain with the most evidence.
    pub domain: usize,
    /// Most probable month (index) in which that domain began to slip.
    pub since: usize,
    /// Series indices of markers that slipped, at [`Options::marker_q`], ascending.
    pub markers: Vec<usize>,
}

/// A series that jumped for all units at once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NationalEvent {
    /// Index of the series.
    pub series: usize,
    /// Change of the month's effect on the month before, in units of the series.
    pub jump: f64,
}

/// What can be said at the end of a month.
#[derive(Clone, Debug, PartialEq)]
pub struct Assessment {
    /// By unit; `None` for one that is too young, silent, or without usable savings.
    pub judgements: Vec<Option<Judgement>>,
    /// Most certain first.
    pub alerts: Vec<Alert>,
    /// The watch list, alerts included, most certain first.
    pub watch: Vec<Alert>,
    /// Expected number of false alerts: the sum of their local false discovery rates.
    pub expected_false: f64,
    /// Estimated shares of the four states among the units.
    pub shares: [f64; 4],
    /// Series whose national value jumped beyond its usual course this month.
    pub national: Vec<NationalEvent>,
    /// By series, what is typical of the units in this month, in units of the series: what was taken off, at the level of a
    /// typical unit. NaN where there is nothing to tell it from.
    pub typical: Vec<f64>,
}

impl Assessment {
    fn nothing(units: usize) -> Self {
        Self {
            judgements: vec![None; units],
            alerts: Vec::new(),
            watch: Vec::new(),
            expected_false: 0.0,
            shares: [1.0, 0.0, 0.0, 0.0],
            national: Vec::new(),
            typical: Vec::new(),
        }
    }

    /// Units with an alert in this month and in `previous`: the tier *confirmed*. Ascending.
    pub fn confirmed(&self, previous: &Self) -> Vec<usize> {
        let mut units: Vec<usize> = self
            .alerts
            .iter()
            .map(|alert| alert.unit)
            .filter(|unit| previous.alerts.iter().any(|alert| alert.unit == *unit))
            .collect();
        units.sort_unstable();
        units
    }
}

/// Assesses all units at the end of month `end − 1`, from months `0..end`.
///
/// Deterministic in its arguments; `seed` is for the resampling only. Units too young for a baseline, silent ones and
/// those without usable savings get no judgement. With fewer than [`MIN_UNITS`] left, nobody gets one.
///
/// # Errors
///
/// [`SurveillanceError`] when the panel, its design or the options do not fit together. Assessed whole or not at all.
pub fn assess(
    panel: &Panel,
    end: usize,
    options: &Options,
    seed: u64,
) -> Result<Assessment, SurveillanceError> {
    error::check(panel, end, options)?;
    let domains = panel.design.domains.len();
    let mut scratch = evidence::Scratch::default();
    let mut fit = fit::fit(panel, end, options);
    let assessed = |fit: &fit::Fit, unit: usize| {
        fit.own[unit * panel.series + panel.design.savings].usable() && panel.reports(unit, end)
    };
    if (0..panel.units)
        .filter(|unit| assessed(&fit, *unit))
        .count()
        < MIN_UNITS
    {
        return Ok(Assessment::nothing(panel.units));
    }
    let gather =
        |fit: &fit::Fit, scratch: &mut evidence::Scratch| -> Vec<Option<evidence::Evidence>> {
            (0..panel.units)
                .map(|unit| {
                    let unit = assessed(fit, unit).then(|| fit.unit(panel, unit))?;
                    evidence::evidence(unit, &fit.shared, &panel.design, scratch)
                })
                .collect()
        };
    let first = gather(&fit, &mut scratch);
    let roughly = decide::mixture(&first, None);
    let weights = decide::null_weights(panel, &first, &roughly);
    fit::readjust(panel, &mut fit, end, &weights);
    let evidence = gather(&fit, &mut scratch);
    let mixture = decide::mixture(&evidence, Some(roughly));
    let assessed: Vec<bool> = evidence.iter().map(Option::is_some).collect();
    let made = null::resample(
        panel,
        &fit,
        &mixture,
        &assessed,
        (options.resamples, seed),
        &mut scratch,
    );
    Ok(conclude(
        panel,
        end,
        options,
        &fit,
        &mixture,
        &decide::summaries(&evidence, &mixture, domains),
        &made,
    ))
}

fn conclude(
    panel: &Panel,
    end: usize,
    options: &Options,
    fit: &fit::Fit,
    mixture: &decide::Mixture,
    summaries: &[Option<decide::Summary>],
    made: &null::Made,
) -> Assessment {
    let domains = panel.design.domains.len();
    let summarise = |made: &[Option<evidence::Evidence>]| -> Vec<decide::Summary> {
        decide::summaries(made, mixture, domains)
            .into_iter()
            .flatten()
            .collect()
    };
    let (made, planted) = (summarise(&made.null), summarise(&made.planted));
    let sorted = |pick: &dyn Fn(&decide::Summary) -> f64| {
        let mut values: Vec<f64> = made.iter().map(pick).collect();
        values.sort_by(f64::total_cmp);
        values
    };
    let (savings, quality) = (sorted(&|s| s.savings), sorted(&|s| s.quality));
    let by_domain: Vec<Vec<f64>> = (0..domains).map(|d| sorted(&|s| s.domains[d])).collect();
    let planted =
        |pick: &dyn Fn(&decide::Summary) -> f64| planted.iter().map(pick).collect::<Vec<f64>>();
    let by_savings = decide::recalibrate(&savings, &planted(&|s| s.savings));
    let by_quality = decide::recalibrate(&quality, &planted(&|s| s.quality));
    let logs: Vec<Option<[f64; 3]>> = summaries
        .iter()
        .map(|s| {
            s.as_ref().map(|s| {
                let (savings, quality) = (by_savings.of(s.savings), by_quality.of(s.quality));
                // What the onsets say beyond the two: whether they belong together.
                let together = s.both - s.savings - s.quality;
                [
                    savings,
                    quality,
                    savings + quality + together * by_savings.slope.min(by_quality.slope),
                ]
            })
        })
        .collect();
    let (states, shares) = decide::posteriors(&logs, mixture.states);
    let judgements: Vec<Option<Judgement>> = summaries
        .iter()
        .zip(&states)
        .map(|(summary, states)| {
            let summary = summary.as_ref()?;
            Some(Judgement {
                states: (*states)?,
                savings_p: rank_p(&savings, summary.savings),
                quality_p: rank_p(&quality, summary.quality),
                domain_p: by_domain
                    .iter()
                    .zip(&summary.domains)
                    .map(|(null, l)| rank_p(null, *l))
                    .collect(),
            })
        })
        .collect();
    let eligible: Vec<(usize, f64)> = judgements
        .iter()
        .enumerate()
        .filter_map(|(unit, judgement)| Some((unit, judgement.as_ref()?)))
        .filter(|(_, judgement)| judgement.savings_p <= MAX_P && judgement.quality_p <= MAX_P)
        .map(|(unit, judgement)| (unit, judgement.lfdr()))
        .collect();
    let mut steps = Vec::new();
    // The list of alerts is the beginning of the watch list: both go by the local false discovery rate.
    let watch: Vec<Alert> = decide::alert_set(&eligible, options.watch_q.max(options.alert_q))
        .into_iter()
        .filter_map(|unit| {
            let summary = summaries[unit].as_ref()?;
            let domain =
                (0..domains).max_by(|a, b| summary.domains[*a].total_cmp(&summary.domains[*b]))?;
            let since = summary.onsets[domain];
            let p: Vec<(usize, f64)> = panel
                .design
                .markers()
                .into_iter()
                .map(|s| {
                    let of = fit.unit(panel, unit);
                    (s, evidence::series_p(of, s, &fit.shared, since, &mut steps))
                })
                .collect();
            let markers = decide::benjamini_hochberg(&p, options.marker_q);
            Some(Alert {
                unit,
                lfdr: judgements[unit].as_ref()?.lfdr(),
                domain,
                since,
                markers,
            })
        })
        .collect();
    let alerted = decide::alert_set(&eligible, options.alert_q).len();
    let alerts = watch[..alerted.min(watch.len())].to_vec();
    Assessment {
        // The sum of nothing is -0.0.
        expected_false: 0.0 + alerts.iter().map(|alert| alert.lfdr).sum::<f64>(),
        watch,
        national: fit::national_events(fit, panel, end),
        typical: (0..panel.series)
            .map(|s| fit.effects[s * panel.months + end - 1] + fit.shared.series[s].level)
            .collect(),
        judgements,
        alerts,
        shares,
    }
}

/// `(1 + number of made units with at least as much) / (1 + number of made units)`; `null` ascending.
fn rank_p(null: &[f64], value: f64) -> f64 {
    let below = null.partition_point(|x| *x < value);
    (1 + null.len() - below) as f64 / (1 + null.len()) as f64
}

#[cfg(test)]
mod tests;
