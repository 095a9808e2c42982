//! Gauss–Legendre quadrature.

use std::f64::consts::PI;

/// Nodes, rising, and weights on an interval: `∫ f ≈ Σ wᵢ f(xᵢ)`, exact for polynomials of degree 2n − 1.
#[derive(Clone, Debug)]
pub(super) struct Quadrature {
    pub(super) nodes: Vec<f64>,
    pub(super) weights: Vec<f64>,
}

impl Quadrature {
    /// With `count` nodes on [−1, 1]: the zeros of the Legendre polynomial by Newton's method, from the usual first guess
    /// cos(π (i − ¼)/(n + ½)) (Abramowitz & Stegun 22.16.6).
    pub(super) fn new(count: usize) -> Self {
        let (mut nodes, mut weights) = (vec![0.0; count], vec![0.0; count]);
        for i in 0..count.div_ceil(2) {
            let mut x = (PI * (i as f64 + 0.75) / (count as f64 + 0.5)).cos();
            let mut slope = 1.0;
            // Quadratic from a good guess: four steps are enough, and more than ten never happen.
            for _ in 0..10 {
                let (value, derivative) = legendre(count, x);
                slope = derivative;
                let step = value / derivative;
                x -= step;
                if step.abs() < 1e-15 {
                    break;
                }
            }
            let weight = 2.0 / ((1.0 - x * x) * slope * slope);
            (nodes[i], nodes[count - 1 - i]) = (-x, x);
            (weights[i], weights[count - 1 - i]) = (weight, weight);
        }
        Self { nodes, weights }
    }

    /// The same on [`low`, `high`].
    pub(super) fn on(mut self, low: f64, high: f64) -> Self {
        let (centre, half) = (0.5 * (low + high), 0.5 * (high - low));
        for (node, weight) in self.nodes.iter_mut().zip(&mut self.weights) {
            *node = centre + half * *node;
            *weight *= half;
        }
        self
    }
}

/// Value and derivative of the Legendre polynomial of that degree, by its recurrence.
fn legendre(degree: usize, x: f64) -> (f64, f64) {
    let (mut before, mut value) = (1.0, x);
    for n in 2..=degree {
        let n = n as f64;
        (before, value) = (
            value,
            ((2.0 * n - 1.0) * x * value - (n - 1.0) * before) / n,
        );
    }
    let derivative = degree as f64 * (x * value - before) / (x * x - 1.0);
    (value, derivative)
}

/// How many nodes an interval takes that is `width` standard deviations of the kernel wide. Measured: with these numbers, half as many again
/// change no run length by more than 1e-9 of it (see the tests).
pub(super) fn nodes_for(width: f64) -> usize {
    let nodes = 36.0 + 4.0 * width;
    // Widths are at most a hundred or so by the domains of the designs.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let nodes = nodes.clamp(36.0, 1000.0) as usize;
    nodes
}

#[cfg(test)]
mod tests {
    use super::Quadrature;

    #[test]
    fn polynomials_are_integrated_exactly() {
        for count in [2, 5, 36, 37, 436] {
            let rule = Quadrature::new(count).on(0.0, 2.0);
            assert!(rule.nodes.is_sorted());
            for power in [0, 1, 2, 3, (2 * count - 1).min(40)] {
                let power = i32::try_from(power).unwrap();
                let terms = rule.nodes.iter().zip(&rule.weights);
                let sum: f64 = terms.map(|(x, w)| w * x.powi(power)).sum();
                let exact = 2.0_f64.powi(power + 1) / f64::from(power + 1);
                assert!((sum / exact - 1.0).abs() < 1e-11, "{count} {power}");
            }
        }
    }
}
