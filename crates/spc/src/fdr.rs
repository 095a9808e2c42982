//! Many tests at once: which of them to believe, with a known share of false ones.
//!
//! The *false discovery rate* (FDR) is the expected share of false ones among what is rejected (0 when nothing is).
//!
//! * [`benjamini_hochberg`]: p-values of independent (or positively dependent) tests.
//! * [`ada_filter`]: pairs of p-values, where both of two hypotheses have to be false at once.
//! * [`local`]: z-values of many alike units, each with its own probability of being null.

use crate::ParameterError;

pub mod local;

pub use local::{LocalFdr, Null, largest_set};

/// Adjusted p-values: the least FDR at which each hypothesis is rejected.
#[derive(Clone, Debug, PartialEq)]
pub struct Adjusted {
    values: Vec<f64>,
}

impl Adjusted {
    /// One for each hypothesis, in the order given, from 0 to 1.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// The places (from 0) of the hypotheses that are rejected at FDR `level`, in the order given.
    pub fn rejected(&self, level: f64) -> impl Iterator<Item = usize> + '_ {
        let values = self.values.iter().enumerate();
        values.filter_map(move |(place, value)| (*value <= level).then_some(place))
    }

    /// From the p-values in rising order of `order`: the running minimum, from the largest, of p × (how many might be null at p) / rank.
    fn step_up(order: &[usize], p: &[f64], candidates: impl Fn(usize) -> f64) -> Self {
        let mut values = vec![1.0; p.len()];
        let mut least = 1.0_f64;
        for (before, place) in order.iter().enumerate().rev() {
            let rank = before + 1;
            least = least.min(p[*place] * candidates(rank) / rank as f64);
            values[*place] = least;
        }
        Self { values }
    }
}

/// Benjamini and Hochberg's step-up procedure.
///
/// With m p-values in rising order, the adjusted ones are `min_{k ≥ i} m p_(k) / k`, at most 1; what is at most q is rejected. The FDR is then at most
/// q m₀/m, where m₀ is the number of true hypotheses, when p-values are independent, or positively dependent on each true one.
///
/// Sources: Benjamini & Hochberg (1995), JRSS B 57:289; Benjamini & Yekutieli (2001), Ann. Stat. 29:1165 (dependence).
///
/// # Errors
///
/// [`ParameterError::EntryOutOfDomain`] for a p-value that is not from 0 to 1.
///
/// ```
/// let adjusted = qipp_spc::fdr::benjamini_hochberg(&[0.01, 0.9, 0.02])?;
/// assert_eq!(adjusted.rejected(0.05).collect::<Vec<_>>(), [0, 2]);
/// # Ok::<(), qipp_spc::ParameterError>(())
/// ```
pub fn benjamini_hochberg(p: &[f64]) -> Result<Adjusted, ParameterError> {
    check(p)?;
    let count = p.len() as f64;
    Ok(Adjusted::step_up(&rising(p), p, |_| count))
}

/// AdaFilter-BH for the partial conjunction of 2 of 2: hypothesis i is rejected when *both* of its parts are false.
///
/// The selection p-value of a pair is the larger, S = max(p₁, p₂), the filtering p-value the smaller, F = min(p₁, p₂). The BH procedure on S counts all m
/// pairs as candidates, and is very conservative, because in most pairs both parts are true and S is then hardly ever small. AdaFilter counts
/// at the threshold γ only those pairs whose F passes γ: it takes the largest γ with
///
/// ```text
/// γ · #{F ≤ γ} / max(1, #{S ≤ γ}) ≤ q
/// ```
///
/// and rejects S ≤ γ. The adjusted p-values are `min_{k ≥ i} S_(k) #{F ≤ S_(k)} / k`.
///
/// Valid when the two lists are independent of each other and the pairs of one another, for many pairs; with few, the FDR may be slightly above q, as
/// with any rule that estimates how many candidates there are.
///
/// Source: Wang, Gui, Su, Sabatti & Owen (2022), Ann. Stat. 50:1890, doi 10.1214/21-AOS2139.
///
/// # Errors
///
/// [`ParameterError::LengthsDiffer`], and [`ParameterError::EntryOutOfDomain`] for a p-value that is not from 0 to 1.
pub fn ada_filter(first: &[f64], second: &[f64]) -> Result<Adjusted, ParameterError> {
    if first.len() != second.len() {
        return Err(ParameterError::LengthsDiffer {
            first: first.len(),
            second: second.len(),
        });
    }
    check(first)?;
    check(second)?;
    let pairs = || first.iter().zip(second);
    let larger: Vec<f64> = pairs().map(|(a, b)| a.max(*b)).collect();
    let mut smaller: Vec<f64> = pairs().map(|(a, b)| a.min(*b)).collect();
    smaller.sort_unstable_by(f64::total_cmp);
    let order = rising(&larger);
    let passes = |rank: usize| {
        let threshold = larger[order[rank - 1]];
        smaller.partition_point(|filter| *filter <= threshold) as f64
    };
    Ok(Adjusted::step_up(&order, &larger, passes))
}

fn check(p: &[f64]) -> Result<(), ParameterError> {
    match p.iter().position(|p| !(0.0..=1.0).contains(p)) {
        Some(place) => Err(ParameterError::EntryOutOfDomain {
            name: "p-value",
            place: place + 1,
            value: p[place],
            domain: "from 0 to 1",
        }),
        None => Ok(()),
    }
}

/// Places in rising order of the values; equal ones in the order given.
fn rising(values: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition, without adjusted p-values: the largest rank whose p-value is at most q rank / m.
    fn step_up_by_definition(p: &[f64], q: f64) -> Vec<usize> {
        let order = rising(p);
        let passes = |rank: &usize| p[order[rank - 1]] <= q * *rank as f64 / p.len() as f64;
        let rejected = (1..=p.len()).rev().find(passes).unwrap_or(0);
        let mut places = order[..rejected].to_vec();
        places.sort_unstable();
        places
    }

    /// The definition: the largest threshold among the p-values that meets the bound.
    fn ada_filter_by_definition(first: &[f64], second: &[f64], q: f64) -> Vec<usize> {
        let pair = |place: usize| {
            (
                first[place].min(second[place]),
                first[place].max(second[place]),
            )
        };
        let count = |holds: &dyn Fn((f64, f64)) -> bool| {
            (0..first.len()).filter(|place| holds(pair(*place))).count() as f64
        };
        let meets = |g: &f64| g * count(&|(f, _)| f <= *g) / count(&|(_, s)| s <= *g).max(1.0) <= q;
        let thresholds = (0..first.len()).map(|place| pair(place).1);
        let best = thresholds.filter(meets).fold(-1.0, f64::max);
        (0..first.len())
            .filter(|place| pair(*place).1 <= best)
            .collect()
    }

    /// P-values with ties and zeros, from a small generator of its own.
    fn some_p_values(seed: u64, count: usize) -> Vec<f64> {
        let mut state = seed;
        let mut next = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % 40
        };
        (0..count).map(|_| (next() as f64 / 40.0).powi(3)).collect()
    }

    #[test]
    fn adjusted_p_values_by_hand() {
        let adjusted = benjamini_hochberg(&[0.01, 0.04, 0.03, 0.5]).unwrap();
        let expected = [0.04, 0.16 / 3.0, 0.16 / 3.0, 0.5];
        for (ours, expected) in adjusted.values().iter().zip(expected) {
            assert!((ours - expected).abs() < 1e-15);
        }
    }

    #[test]
    fn adjusted_p_values_reject_what_the_definitions_reject() {
        for seed in 0..300 {
            let (first, second) = (some_p_values(seed, 25), some_p_values(seed + 1000, 25));
            let (bh, ada) = (
                benjamini_hochberg(&first).unwrap(),
                ada_filter(&first, &second).unwrap(),
            );
            // No multiple of a 40th cubed over small counts: no comparison is decided by rounding.
            for q in [0.0123, 0.0517, 0.1019, 0.31] {
                let rejected: Vec<usize> = bh.rejected(q).collect();
                assert_eq!(rejected, step_up_by_definition(&first, q), "{seed} {q}");
                let rejected: Vec<usize> = ada.rejected(q).collect();
                assert_eq!(
                    rejected,
                    ada_filter_by_definition(&first, &second, q),
                    "{seed} {q}"
                );
            }
        }
    }

    #[test]
    fn adjusting_keeps_the_order_and_never_rejects_less_than_bh_on_the_larger() {
        for seed in 0..100 {
            let (first, second) = (some_p_values(seed, 40), some_p_values(seed + 1000, 40));
            let larger: Vec<f64> = first.iter().zip(&second).map(|(a, b)| a.max(*b)).collect();
            let (bh, ada) = (
                benjamini_hochberg(&larger).unwrap(),
                ada_filter(&first, &second).unwrap(),
            );
            let order = rising(&larger);
            assert!(order.is_sorted_by(|a, b| bh.values()[*a] <= bh.values()[*b]));
            assert!(order.is_sorted_by(|a, b| ada.values()[*a] <= ada.values()[*b]));
            assert!(
                ada.values()
                    .iter()
                    .zip(bh.values())
                    .all(|(ada, bh)| ada <= bh)
            );
        }
    }

    #[test]
    fn what_is_no_p_value_is_refused() {
        for p in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
            assert_eq!(
                benjamini_hochberg(&[0.5, p]).unwrap_err().code(),
                "entry_out_of_domain"
            );
            assert!(ada_filter(&[0.5, 0.5], &[0.5, p]).is_err());
        }
        assert_eq!(
            ada_filter(&[0.5], &[]).unwrap_err().code(),
            "lengths_differ"
        );
        assert_eq!(benjamini_hochberg(&[]).unwrap().values(), [0.0; 0]);
        assert_eq!(ada_filter(&[], &[]).unwrap().values(), [0.0; 0]);
    }
}
