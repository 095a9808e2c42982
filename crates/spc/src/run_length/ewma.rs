//! The integral equation of the EWMA.

use super::chain::Chain;
use super::quadrature::{Quadrature, nodes_for};
use crate::ewma::EwmaDesign;
use crate::normal::{above, below, density};

/// How far the next average may lie from where it is drawn to.
struct Kernel {
    lambda: f64,
    shift: f64,
}

impl Kernel {
    /// Standardised place of the next average `to` after `from`.
    fn z(&self, from: f64, to: f64) -> f64 {
        (to - (1.0 - self.lambda) * from) / self.lambda - self.shift
    }

    fn density(&self, from: f64, to: f64) -> f64 {
        density(self.z(from, to)) / self.lambda
    }

    /// Probability of the next average outside ±`limit`.
    fn exit(&self, from: f64, limit: f64) -> f64 {
        below(self.z(from, -limit)) + above(self.z(from, limit))
    }
}

fn nodes_of(design: &EwmaDesign) -> usize {
    nodes_for(2.0 * design.final_limit() / design.lambda())
}

/// With the limits of a long series, from 0.
pub(super) fn fixed(design: &EwmaDesign, shift: f64) -> f64 {
    fixed_with(design, shift, nodes_of(design))
}

pub(super) fn fixed_with(design: &EwmaDesign, shift: f64, nodes: usize) -> f64 {
    let (kernel, limit) = (kernel(design, shift), design.final_limit());
    let rule = Quadrature::new(nodes).on(-limit, limit);
    let lengths = lengths(&kernel, &rule, limit);
    let onward = rule.nodes.iter().zip(&rule.weights).zip(&lengths);
    1.0 + onward
        .map(|((to, weight), length)| weight * kernel.density(0.0, *to) * length)
        .sum::<f64>()
}

fn kernel(design: &EwmaDesign, shift: f64) -> Kernel {
    Kernel {
        lambda: design.lambda(),
        shift,
    }
}

/// Expected run length from each node, under fixed limits.
fn lengths(kernel: &Kernel, rule: &Quadrature, limit: f64) -> Vec<f64> {
    let chain = Chain::new(
        rule.nodes.len(),
        |from, to| rule.weights[to] * kernel.density(rule.nodes[from], rule.nodes[to]),
        |from| kernel.exit(rule.nodes[from], limit),
    );
    chain.expected_steps()
}

/// Limits have settled when they are within this of the last ones, relatively: a run length changes by less than 1e-7 of itself.
const SETTLED: f64 = 1e-9;

/// With limits that follow the variance, from 0.
pub(super) fn time_varying(design: &EwmaDesign, shift: f64) -> f64 {
    time_varying_with(design, shift, nodes_of(design))
}

pub(super) fn time_varying_with(design: &EwmaDesign, shift: f64, nodes: usize) -> f64 {
    let (kernel, last_limit) = (kernel(design, shift), design.final_limit());
    let unit = Quadrature::new(nodes);
    let keep = 1.0 - design.lambda();
    let mut left_of_start = keep * keep;
    let mut limit = last_limit * (1.0 - left_of_start).sqrt();
    // P(still running after t values), summed from t = 0; and the parts of it at each node.
    let mut length = 1.0;
    let mut running: Vec<f64> = (0..nodes)
        .map(|to| limit * unit.weights[to] * kernel.density(0.0, limit * unit.nodes[to]))
        .collect();
    let mut next = vec![0.0; nodes];
    while 0.5 * left_of_start > SETTLED {
        let share: f64 = running.iter().sum();
        if share < SETTLED * length {
            // Hardly any chart still runs, and it does so for no longer than the ones that have stopped.
            break;
        }
        length += share;
        left_of_start *= keep * keep;
        let wider = last_limit * (1.0 - left_of_start).sqrt();
        for (to, part) in next.iter_mut().enumerate() {
            let (place, weight) = (wider * unit.nodes[to], wider * unit.weights[to]);
            let arriving: f64 = running
                .iter()
                .zip(&unit.nodes)
                .map(|(share, from)| share * kernel.density(limit * from, place))
                .sum();
            *part = weight * arriving;
        }
        std::mem::swap(&mut running, &mut next);
        limit = wider;
    }
    let lengths = lengths(&kernel, &unit.on(-last_limit, last_limit), last_limit);
    length
        + running
            .iter()
            .zip(&lengths)
            .map(|(share, time)| share * time)
            .sum::<f64>()
}
