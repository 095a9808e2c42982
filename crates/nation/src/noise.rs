//! Random numbers that depend on who and what they are for, never on the order of asking.

use qipp_domain::OrgCode;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Binomial, Distribution, Poisson, StandardNormal, StudentT};

use crate::calibration::{RAMP, TAIL};

/// What a stream of random numbers is for. Each has its own, so that drawing more of one changes nothing of the others.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Purpose {
    /// Which trusts get a story.
    Casting,
    /// The story itself.
    Story,
    /// Schemes.
    Schemes,
    /// Savings returns.
    Savings,
    /// What is shared by the markers of a trust.
    Shared,
    /// Which quality returns are missing.
    Gaps,
    /// Scoring nations: how large an organisation is.
    Size,
    /// Scoring nations: how financial years differ.
    Years,
    /// Scoring nations: what is wrong with the data of an organisation, or with a marker for all.
    Faults,
    /// Scoring nations: who merges.
    Mergers,
    /// Scoring nations: what becomes of savings returns.
    SavingsGaps,
    /// One marker, by its place in the list of models.
    Marker(usize),
    /// Scoring nations: the counts of one marker.
    Counting(usize),
}

impl Purpose {
    fn stream(self) -> u64 {
        match self {
            Self::Casting => 1,
            Self::Story => 2,
            Self::Schemes => 3,
            Self::Savings => 4,
            Self::Shared => 5,
            Self::Gaps => 6,
            Self::Size => 7,
            Self::Years => 8,
            Self::Faults => 9,
            Self::Mergers => 10,
            Self::SavingsGaps => 11,
            Self::Marker(index) => 100 + index as u64,
            Self::Counting(index) => 1000 + index as u64,
        }
    }
}

/// Random numbers of one organisation (`None`: the nation) and one purpose. Seed and code are the key, the purpose is
/// the stream, so nothing is hashed and nothing can collide.
pub(crate) fn stream(seed: u64, org: Option<OrgCode>, purpose: Purpose) -> ChaCha8Rng {
    let mut key = [0_u8; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    if let Some(org) = org {
        let code = org.as_str().as_bytes();
        key[8..8 + code.len()].copy_from_slice(code);
    }
    let mut rng = ChaCha8Rng::from_seed(key);
    rng.set_stream(purpose.stream());
    rng
}

/// Standard normal.
pub(crate) fn normal(rng: &mut ChaCha8Rng) -> f64 {
    rng.sample(StandardNormal)
}

/// Student's t with [`TAIL`] degrees of freedom, scaled to unit variance.
pub(crate) fn heavy(rng: &mut ChaCha8Rng) -> f64 {
    let t = StudentT::new(TAIL).expect("the degrees of freedom are positive");
    t.sample(rng) * ((TAIL - 2.0) / TAIL).sqrt()
}

/// Uniform between two bounds.
pub(crate) fn between(rng: &mut ChaCha8Rng, (low, high): (f64, f64)) -> f64 {
    low + (high - low) * rng.random::<f64>()
}

/// True with a probability; values outside 0 to 1 count as never and always.
pub(crate) fn chance(rng: &mut ChaCha8Rng, probability: f64) -> bool {
    rng.random::<f64>() < probability
}

/// An index below `len` (which is not 0).
pub(crate) fn pick(rng: &mut ChaCha8Rng, len: usize) -> usize {
    rng.random_range(0..len)
}

/// A count out of `of` with probability `p`.
pub(crate) fn binomial(rng: &mut ChaCha8Rng, of: u64, p: f64) -> u64 {
    Binomial::new(of, p.clamp(0.0, 1.0))
        .expect("a clamped probability is one")
        .sample(rng)
}

/// A count with the mean given.
pub(crate) fn poisson(rng: &mut ChaCha8Rng, mean: f64) -> u64 {
    Poisson::new(mean.clamp(1e-9, 1e9)).map_or(0, |law| count(law.sample(rng)))
}

/// The next value of a first-order autoregression with unit variance.
pub(crate) fn next(rho: f64, before: f64, innovation: f64) -> f64 {
    rho * before + (1.0 - rho * rho).sqrt() * innovation
}

/// How much of an effect there is in a month: thirds over [`RAMP`] months, 0 before `from` and from `until` on.
pub(crate) fn ramp(from: usize, until: Option<usize>, month: usize) -> f64 {
    if month < from || until.is_some_and(|until| month >= until) {
        return 0.0;
    }
    ((month - from + 1) as f64 / f64::from(RAMP)).min(1.0)
}

/// A share of `all`, rounded to whole ones. Not a number counts as none.
pub(crate) fn share_of(all: usize, share: f64) -> usize {
    let wanted = all as f64 * share.clamp(0.0, 1.0);
    usize::try_from(count(if wanted.is_nan() { 0.0 } else { wanted })).unwrap_or(all)
}

/// The nearest whole number, 0 for anything negative.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "rounded, and clamped to what both types hold exactly"
)]
pub(crate) fn count(number: f64) -> u64 {
    number.round().clamp(0.0, 1e12) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn innovations_have_unit_variance_and_heavy_tails() {
        let mut rng = stream(1, None, Purpose::Shared);
        let draws: Vec<f64> = (0..50_000).map(|_| heavy(&mut rng)).collect();
        let moment = |k: i32| draws.iter().map(|x| x.powi(k)).sum::<f64>() / draws.len() as f64;
        assert!((moment(2) - 1.0).abs() < 0.05, "{}", moment(2));
        assert!(moment(4) > 4.0, "a normal has 3: {}", moment(4));
    }

    #[test]
    fn purposes_and_organisations_have_their_own_numbers() {
        let org = |code| OrgCode::new(code).ok();
        let mut seen = std::collections::BTreeSet::new();
        for org in [None, org("RJ1"), org("RJ10"), org("5A3")] {
            for purpose in [
                Purpose::Casting,
                Purpose::Story,
                Purpose::Schemes,
                Purpose::Marker(0),
                Purpose::Marker(1),
            ] {
                seen.insert(stream(7, org, purpose).random::<u64>());
            }
        }
        assert_eq!(seen.len(), 20);
    }

    #[test]
    fn an_autoregression_keeps_its_variance() {
        let mut rng = stream(2, None, Purpose::Shared);
        let mut state = normal(&mut rng);
        let sum: f64 = (0..50_000)
            .map(|_| {
                state = next(0.6, state, normal(&mut rng));
                state * state
            })
            .sum();
        assert!((sum / 50_000.0 - 1.0).abs() < 0.05);
    }
}
