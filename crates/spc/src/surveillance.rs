//! WIP
#![allow(missing_docs)]

mod correlation;
mod decide;
mod evidence;
mod fit;
mod null;
mod random;
mod stats;

pub use decide::Posterior;

#[derive(Clone, Debug, PartialEq)]
pub struct Design {
    pub savings: usize,
    pub domains: Vec<Vec<usize>>,
}
impl Design {
    pub(crate) fn markers(&self) -> Vec<usize> {
        self.domains.iter().flatten().copied().collect()
    }
}

#[derive(Clone, Debug)]
pub struct Panel {
    pub units: usize,
    pub series: usize,
    pub months: usize,
    pub values: Vec<f64>,
    pub starts: Vec<usize>,
    pub design: Design,
}
impl Panel {
    pub(crate) fn start(&self, u: usize) -> usize {
        self.starts.get(u).copied().unwrap_or(0)
    }
    pub(crate) fn block(z: &[f64], u: usize, series: usize, months: usize) -> &[f64] {
        &z[u * series * months..(u + 1) * series * months]
    }
}

#[derive(Clone, Debug)]
pub struct Options {
    pub baseline_months: usize,
    pub resamples: usize,
    pub q: f64,
}
impl Default for Options {
    fn default() -> Self {
        Self { baseline_months: 24, resamples: 1000, q: 0.1 }
    }
}

#[derive(Clone, Debug)]
pub struct Assessment {
    /// per unit: posterior, None when not assessed
    pub posteriors: Vec<Option<Posterior>>,
    pub raw: Vec<Option<[f64; 3]>>,
    pub alerts: Vec<usize>,
    pub watch: Vec<usize>,
}

/// Assess at month index `end-1`, with months 0..end known.
pub fn assess(panel: &Panel, end: usize, options: &Options, seed: u64) -> Assessment {
    let mut scratch = evidence::Scratch::default();
    let mut weights: Option<Vec<f64>> = None;
    let mut result = None;
    for round in 0..2 {
        let fit = fit::fit(panel, end, options, weights.as_deref());
        let e: Vec<Option<evidence::Evidence>> = (0..panel.units)
            .map(|u| {
                let span = fit.spans[u]?;
                let at = u * panel.series..(u + 1) * panel.series;
                Some(evidence::evidence(
                    Panel::block(&fit.z, u, panel.series, panel.months),
                    panel.months, span, &fit.own[at], &fit.shared, &panel.design, &mut scratch,
                ))
            })
            .collect();
        if round == 1 {
            result = Some((fit, e));
            break;
        }
        weights = Some(decide::null_weights(panel, &e));
    }
    let (fit, e) = result.expect("two rounds");
    let calibration = null::calibrate(panel, &fit, options, seed, &mut scratch);
    decide::decide(&e, &calibration, options)
}
