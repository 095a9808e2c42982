//! How large the effects of units are: a mixture on a grid, by penalised maximum likelihood.

/// The effects that a unit that is not null can have, in standard deviations of the null: from 1 to 6 by halves, both ways.
///
/// None is nearer to zero than 1. Units of smaller effect cannot be told from null ones, and with them on the grid the share of null units would be
/// whatever the shape of the middle happened to be.
const EFFECTS: [f64; 22] = [
    -6.0, -5.5, -5.0, -4.5, -4.0, -3.5, -3.0, -2.5, -2.0, -1.5, -1.0, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5,
    4.0, 4.5, 5.0, 5.5, 6.0,
];

/// The maximum is sought as if so many more units had been seen, all null: where the data hardly say, units are null (Stephens 2017).
const PRIOR_NULLS: f64 = 10.0;

/// Values are counted in bins of this width, so that the work does not grow with their number.
const BIN: f64 = 0.05;

/// Beyond this, in standard deviations of the null, values count as this: every effect of the grid explains them better than the null does.
const FARTHEST: f64 = 12.0;

const BINS: usize = 480;

const _: () = assert!(
    (BINS as f64 * BIN - 2.0 * FARTHEST).abs() < 1e-9,
    "the bins cover the range"
);

type Weights = [f64; EFFECTS.len()];

/// Shares of the null and of each effect, which add up to 1.
#[derive(Debug)]
pub(super) struct Mixture {
    pub(super) null: f64,
    effects: Weights,
}

impl Mixture {
    /// Fitted to standardised values by the EM algorithm, which never leaves the range of shares and raises the likelihood with each step. The likelihood is
    /// concave in the shares, so the maximum does not depend on the start.
    pub(super) fn fit(standardised: impl Iterator<Item = f64>) -> Self {
        let mut counts = [0.0; BINS];
        for value in standardised {
            // From 0 to the number of bins.
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            let bin = ((value.clamp(-FARTHEST, FARTHEST) + FARTHEST) / BIN) as usize;
            counts[bin.min(BINS - 1)] += 1.0;
        }
        let filled: Vec<(f64, Weights)> = counts
            .into_iter()
            .enumerate()
            .filter(|(_, count)| *count > 0.0)
            .map(|(bin, count)| (count, ratios((bin as f64 + 0.5) * BIN - FARTHEST)))
            .collect();
        let total = counts.iter().sum::<f64>() + PRIOR_NULLS;
        let mut mixture = Self {
            null: 0.5,
            effects: [0.5 / EFFECTS.len() as f64; EFFECTS.len()],
        };
        for _ in 0..MOST_STEPS {
            let next = mixture.step(&filled, total);
            let moved = (next.null - mixture.null).abs();
            mixture = next;
            if moved < SETTLED {
                break;
            }
        }
        mixture
    }

    /// New shares: the mean of each part's probability over the units.
    fn step(&self, filled: &[(f64, Weights)], total: f64) -> Self {
        let (mut null, mut effects) = (PRIOR_NULLS, [0.0; EFFECTS.len()]);
        for (count, ratios) in filled {
            let unit = count / (self.null + dot(&self.effects, ratios));
            null += unit * self.null;
            for ((sum, share), ratio) in effects.iter_mut().zip(&self.effects).zip(ratios) {
                *sum += unit * share * ratio;
            }
        }
        Self {
            null: null / total,
            effects: effects.map(|sum| sum / total),
        }
    }

    /// The probability that a unit with this standardised value is null.
    pub(super) fn lfdr(&self, standardised: f64) -> f64 {
        let ratios = ratios(standardised.clamp(-FARTHEST, FARTHEST));
        self.null / (self.null + dot(&self.effects, &ratios))
    }
}

/// Steps of the EM algorithm, at most; what is left to gain after so many is far below the error of the estimate.
const MOST_STEPS: usize = 2000;

/// The share of null units has settled when a step moves it by less.
const SETTLED: f64 = 1e-7;

/// The density under each effect over the one under the null: `exp(μu − μ²/2)`.
fn ratios(u: f64) -> Weights {
    EFFECTS.map(|effect| (effect * u - 0.5 * effect * effect).exp())
}

fn dot(a: &Weights, b: &Weights) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::normal::quantile;

    /// Standardised values without noise: `count` null ones, and `more` with an effect.
    fn values(count: usize, more: usize, effect: f64) -> Vec<f64> {
        let spread = |n: usize| (0..n).map(move |i| quantile((i as f64 + 0.5) / n as f64));
        spread(count)
            .chain(spread(more).map(|z| z + effect))
            .collect()
    }

    #[test]
    fn shares_that_were_mixed_are_found_again() {
        for (null, other, effect) in [(9000, 1000, 3.0), (9700, 300, -4.0), (10_000, 0, 0.0)] {
            let mixture = Mixture::fit(values(null, other, effect).into_iter());
            let share = null as f64 / (null + other) as f64;
            assert!(
                (mixture.null - share).abs() < 0.012,
                "{} {share}",
                mixture.null
            );
            let sum = mixture.null + mixture.effects.iter().sum::<f64>();
            assert!((sum - 1.0).abs() < 1e-12);
        }
    }

    #[test]
    fn the_probability_of_being_null_is_that_of_the_mixture() {
        let mixture = Mixture::fit(values(9500, 500, 3.0).into_iter());
        for u in [0.0, 1.0, 2.0, 3.0, 4.0] {
            let exact = 0.95 / (0.95 + 0.05 * (3.0 * u - 4.5_f64).exp());
            assert!(
                (mixture.lfdr(u) - exact).abs() < 0.05,
                "{u}: {} {exact}",
                mixture.lfdr(u)
            );
        }
        assert!(mixture.lfdr(1e300) < 1e-12 && mixture.lfdr(-1e300) <= 1.0);
    }
}
