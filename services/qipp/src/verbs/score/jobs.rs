//! Nations to be judged, over threads.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use indicatif::ProgressBar;
use qipp_nation::scenario::{ScenarioConfig, scenario};
use qipp_nation::score::real::{AeFigures, Planted, nation};
use qipp_nation::score::{BenchPlan, Input, Judged, Returns, judge};

use crate::exit::{Failure, REFUSED};
use crate::output::plain;
use crate::verbs::submit::progress;

/// Nations that are told of together.
pub(super) struct Group {
    pub(super) title: String,
    pub(super) jobs: Vec<Job>,
}

/// One nation.
pub(super) enum Job {
    Scenario(ScenarioConfig),
    Input(Arc<Input>, u64),
    Real(Arc<AeFigures>, Planted, u64),
}

impl Job {
    pub(super) fn seed(&self) -> u64 {
        match self {
            Self::Scenario(config) => config.seed,
            Self::Input(_, seed) | Self::Real(_, _, seed) => *seed,
        }
    }

    fn input(&self) -> Arc<Input> {
        match self {
            Self::Scenario(config) => Arc::new(Input::from(&scenario(config))),
            Self::Input(input, _) => Arc::clone(input),
            Self::Real(figures, planted, seed) => Arc::new(nation(figures, *planted, *seed)),
        }
    }

    fn months(&self) -> usize {
        match self {
            Self::Scenario(config) => config.months,
            Self::Input(input, _) => input.returns.months,
            Self::Real(figures, ..) => figures.months,
        }
    }
}

/// A nation that was judged.
pub(super) struct Done {
    pub(super) seed: u64,
    pub(super) organisations: usize,
    pub(super) months: usize,
    pub(super) judged: Judged,
    /// What the layer said, as rows without source and seed; empty unless wanted.
    pub(super) alerts: Vec<Vec<String>>,
}

/// Judges all nations of a group; in their order, whatever the number of threads.
///
/// # Errors
/// When the layer can't take what there is: the first of those.
pub(super) fn run(
    group: &Group,
    plan: &BenchPlan,
    threads: usize,
    alerts: bool,
) -> Result<Vec<Done>, Failure> {
    let of = |job: &Job| plan.judged(job.months()).count();
    let bar = progress(group.jobs.iter().map(of).sum(), "months");
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..threads.min(group.jobs.len()) {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(job) = group.jobs.get(at) else { break };
                    let result = one(job, plan, alerts, &bar);
                    let mut results = results.lock().unwrap_or_else(PoisonError::into_inner);
                    results.push((at, result));
                }
            });
        }
    });
    bar.finish_and_clear();
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort_by_key(|(at, _)| *at);
    results.into_iter().map(|(_, result)| result).collect()
}

fn one(job: &Job, plan: &BenchPlan, alerts: bool, bar: &ProgressBar) -> Result<Done, Failure> {
    let input = job.input();
    let plan = BenchPlan {
        seed: job.seed(),
        ..plan.clone()
    };
    let judged = judge(&input, &plan, |_| bar.inc(1))
        .map_err(|error| Failure::new(REFUSED, format!("the layer can't judge this: {error}")))?;
    Ok(Done {
        seed: job.seed(),
        organisations: input.returns.organisations.len(),
        months: input.returns.months,
        alerts: if alerts {
            rows(&input.returns, &judged)
        } else {
            Vec::new()
        },
        judged,
    })
}

fn rows(returns: &Returns, judged: &Judged) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for (month, entries) in &judged.entries {
        for entry in entries {
            let codes = entry.markers.iter().map(|at| &*returns.markers[*at].code);
            rows.push(vec![
                plain(&returns.organisations[entry.org]),
                returns.period(*month),
                entry.tier.name().to_owned(),
                entry.chance_false.to_string(),
                entry.savings_p.to_string(),
                entry.quality_p.to_string(),
                plain(&returns.domains[entry.domain]),
                returns.period(entry.since),
                plain(&codes.collect::<Vec<&str>>().join(";")),
            ]);
        }
    }
    rows
}
