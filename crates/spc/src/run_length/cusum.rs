//! The integral equation of the CUSUM.

use super::chain::Chain;
use super::quadrature::{Quadrature, nodes_for};
use crate::cusum::CusumDesign;
use crate::normal::{above, below, density};

/// Run lengths of one sum.
#[derive(Clone, Copy, Debug)]
pub(super) struct OneSided {
    pub(super) from_zero: f64,
    pub(super) from_headstart: f64,
}

/// The upper sum alone under `shift`.
pub(super) fn upper(design: &CusumDesign, shift: f64) -> OneSided {
    upper_with(design, shift, nodes_for(design.decision()))
}

pub(super) fn upper_with(design: &CusumDesign, shift: f64, nodes: usize) -> OneSided {
    let (h, start) = (design.decision(), design.headstart());
    // A step goes up by N(−drift, 1).
    let drift = design.reference() - shift;
    let rule = Quadrature::new(nodes).on(0.0, h);
    // State 0 is the atom at zero, state i the i-th node.
    let place = |state: usize| {
        if state == 0 {
            0.0
        } else {
            rule.nodes[state - 1]
        }
    };
    let step_from = |sum: f64, to: usize| {
        if to == 0 {
            below(drift - sum)
        } else {
            rule.weights[to - 1] * density(rule.nodes[to - 1] - sum + drift)
        }
    };
    let chain = Chain::new(
        nodes + 1,
        |from, to| step_from(place(from), to),
        |from| above(h - place(from) + drift),
    );
    let lengths = chain.expected_steps();
    let from_headstart = if start == 0.0 {
        lengths[0]
    } else {
        let onward = lengths.iter().enumerate();
        1.0 + onward
            .map(|(to, length)| step_from(start, to) * length)
            .sum::<f64>()
    };
    OneSided {
        from_zero: lengths[0],
        from_headstart,
    }
}

/// Both sums together under `shift`.
pub(super) fn both(design: &CusumDesign, shift: f64) -> f64 {
    let up = upper(design, shift);
    let down = if shift == 0.0 {
        up
    } else {
        upper(design, -shift)
    };
    // The shorter first, and divided by the longer, which may be too long for a float: then that sum might as well not be there.
    let (short, long) = if up.from_zero <= down.from_zero {
        (up, down)
    } else {
        (down, up)
    };
    if !long.from_zero.is_finite() {
        return short.from_headstart;
    }
    let survives = long.from_headstart / long.from_zero;
    (short.from_headstart + short.from_zero * (survives - 1.0))
        / (1.0 + short.from_zero / long.from_zero)
}
