//! What the evidence looks like when nothing has moved.
use super::evidence::{Scratch};
use super::fit::Fit;
use super::{Options, Panel};

#[derive(Clone, Debug, Default)]
pub(crate) struct Calibration {
    pub(crate) savings: [f64; 2],
    pub(crate) quality: [f64; 2],
}

pub(crate) fn calibrate(_panel: &Panel, _fit: &Fit, _options: &Options, _seed: u64, _scratch: &mut Scratch) -> Calibration {
    Calibration { savings: [0.0, 1.0], quality: [0.0, 1.0] }
}
