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
    let mut fit = fit::fit(panel, end, options);
    let gather = |fit: &fit::Fit, scratch: &mut evidence::Scratch| -> Vec<Option<evidence::Evidence>> {
        (0..panel.units)
            .map(|u| {
                let span = fit.spans[u]?;
                let at = u * panel.series..(u + 1) * panel.series;
                let z = Panel::block(&fit.z, u, panel.series, panel.months);
                Some(evidence::evidence(z, panel.months, span, &fit.own[at], &fit.shared, &panel.design, scratch))
            })
            .collect()
    };
    let first = gather(&fit, &mut scratch);
    let weights = decide::null_weights(panel, &first, &decide::mixture(&first));
    fit::readjust(panel, &mut fit, end, &weights);
    let e = gather(&fit, &mut scratch);
    let _ = null::calibrate(panel, &fit, options, seed, &mut scratch);
    decide::decide(&e, options)
}
