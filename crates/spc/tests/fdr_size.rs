//! The rates that are promised are the rates that come out: seeded simulations. Tolerances are four standard errors of the binomial
//! count behind each share, so a wrong procedure fails, and a right one passed once and passes always.

use qipp_spc::fdr::{self, Null, largest_set, local};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

fn normal(random: &mut ChaCha8Rng) -> f64 {
    StandardNormal.sample(random)
}

/// One-sided p-value.
fn p_value(z: f64) -> f64 {
    0.5 * libm::erfc(z / std::f64::consts::SQRT_2)
}

/// Four standard errors of a share that is `share` in truth, of `count`.
fn tolerance(share: f64, count: usize) -> f64 {
    4.0 * (share * (1.0 - share) / count as f64).sqrt()
}

const Q: f64 = 0.1;

#[test]
fn bh_rejects_anything_in_exactly_q_of_the_families_without_a_signal() {
    // Simes: with independent p-values and all hypotheses true it is an equality.
    const FAMILIES: usize = 10_000;
    let mut random = ChaCha8Rng::seed_from_u64(41);
    let mut any = 0;
    for _ in 0..FAMILIES {
        let p: Vec<f64> = (0..50).map(|_| p_value(normal(&mut random))).collect();
        any += usize::from(
            fdr::benjamini_hochberg(&p)
                .unwrap()
                .rejected(Q)
                .next()
                .is_some(),
        );
    }
    let share = any as f64 / FAMILIES as f64;
    assert!((share - Q).abs() <= tolerance(Q, FAMILIES), "{share}");
}

#[test]
fn bh_keeps_to_q_times_the_share_of_true_hypotheses() {
    const FAMILIES: usize = 4000;
    let mut random = ChaCha8Rng::seed_from_u64(42);
    let mut sum = 0.0;
    for _ in 0..FAMILIES {
        // The first 20 of 80 are false.
        let p: Vec<f64> = (0..80)
            .map(|i| p_value(normal(&mut random) + if i < 20 { 2.5 } else { 0.0 }))
            .collect();
        let rejected: Vec<usize> = fdr::benjamini_hochberg(&p).unwrap().rejected(Q).collect();
        let wrong = rejected.iter().filter(|place| **place >= 20).count();
        sum += wrong as f64 / rejected.len().max(1) as f64;
    }
    let (rate, expected) = (sum / FAMILIES as f64, 0.75 * Q);
    // A share between 0 and 1 varies at most as much as one that is 0 or 1.
    assert!(
        (rate - expected).abs() <= tolerance(expected, FAMILIES),
        "{rate}"
    );
}

#[test]
fn ada_filter_keeps_to_q_and_finds_more_than_bh() {
    const FAMILIES: usize = 1000;
    let mut random = ChaCha8Rng::seed_from_u64(43);
    let (mut sum, mut found, mut found_by_bh) = (0.0, 0, 0);
    for _ in 0..FAMILIES {
        // Of 500 pairs: 25 both, 50 only the first, 50 only the second.
        let shift = |holds: bool| if holds { 3.0 } else { 0.0 };
        let pair = |i: usize| {
            let first = shift(i < 75);
            let second = shift(i < 25 || (75..125).contains(&i));
            (first, second)
        };
        let (first, second): (Vec<f64>, Vec<f64>) = (0..500)
            .map(pair)
            .map(|(a, b)| {
                (
                    p_value(normal(&mut random) + a),
                    p_value(normal(&mut random) + b),
                )
            })
            .unzip();
        let rejected: Vec<usize> = fdr::ada_filter(&first, &second)
            .unwrap()
            .rejected(Q)
            .collect();
        let right = rejected.iter().filter(|place| **place < 25).count();
        sum += (rejected.len() - right) as f64 / rejected.len().max(1) as f64;
        found += right;
        let larger: Vec<f64> = first.iter().zip(&second).map(|(a, b)| a.max(*b)).collect();
        let bh = fdr::benjamini_hochberg(&larger).unwrap();
        found_by_bh += bh.rejected(Q).filter(|place| *place < 25).count();
    }
    let rate = sum / FAMILIES as f64;
    assert!(rate <= Q + tolerance(Q, FAMILIES), "{rate}");
    assert!(found > found_by_bh * 5 / 4, "{found} {found_by_bh}");
}

#[test]
fn ada_filter_rejects_anything_in_at_most_q_of_the_families_with_no_pair_to_find() {
    const FAMILIES: usize = 2000;
    // Nothing at all, and one half of the pairs with one part false each.
    for (seed, one_sided) in [(44, 0), (45, 250)] {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut any = 0;
        for _ in 0..FAMILIES {
            let mut p = |shifted: usize| -> Vec<f64> {
                let shift = |i: usize| if i < shifted { 3.0 } else { 0.0 };
                (0..500)
                    .map(|i| p_value(normal(&mut random) + shift(i)))
                    .collect()
            };
            let (first, second) = (p(one_sided), p(0));
            any += usize::from(
                fdr::ada_filter(&first, &second)
                    .unwrap()
                    .rejected(Q)
                    .next()
                    .is_some(),
            );
        }
        let share = any as f64 / FAMILIES as f64;
        assert!(share <= Q + tolerance(Q, FAMILIES), "{one_sided}: {share}");
    }
}

/// One family of `count` units, of which the first `signals` are moved by 3.5 standard deviations of the null N(mean, deviation²): how many are in
/// the set at `Q`, and how many of these are null.
fn set(
    random: &mut ChaCha8Rng,
    null: Null,
    (count, signals): (usize, usize),
    (mean, deviation): (f64, f64),
) -> (usize, usize) {
    let effect = |i: usize| if i < signals { 3.5 } else { 0.0 };
    let z: Vec<f64> = (0..count)
        .map(|i| mean + deviation * (normal(random) + effect(i)))
        .collect();
    let set = largest_set(
        &local::estimate(&z, null).expect("a normal middle").values,
        Q,
    );
    let wrong = set.iter().filter(|place| **place >= signals).count();
    (set.len(), wrong)
}

#[test]
fn sets_by_local_fdr_hold_q_null_units() {
    for (seed, null, family, scale) in [
        (51, Null::Theoretical, (2000, 100), (0.0, 1.0)),
        (52, Null::Empirical, (2000, 100), (0.0, 1.0)),
        (53, Null::Empirical, (2000, 100), (0.4, 1.5)),
        (54, Null::Theoretical, (500, 25), (0.0, 1.0)),
    ] {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let (mut taken, mut wrong, mut all) = (0, 0, 0);
        while all < 200_000 {
            let (more, false_ones) = set(&mut random, null, family, scale);
            (taken, wrong, all) = (taken + more, wrong + false_ones, all + family.0);
        }
        let rate = wrong as f64 / taken as f64;
        assert!(rate <= Q + tolerance(Q, taken), "{seed}: {rate} of {taken}");
        // And nearly all of the one in twenty that there are: who knows the truth takes 9,000.
        assert!(taken > 8500, "{seed}: {taken}");
    }
}

#[test]
fn a_theoretical_null_does_not_hold_where_the_null_is_wider() {
    // What the empirical null is for: without it, most of what is taken is null.
    let mut random = ChaCha8Rng::seed_from_u64(55);
    let (taken, wrong) = set(&mut random, Null::Theoretical, (20_000, 0), (0.4, 1.5));
    assert!(wrong == taken && taken > 100, "{taken}");
}

#[test]
fn sets_are_empty_in_all_but_q_of_the_families_without_a_signal() {
    const FAMILIES: usize = 400;
    for (seed, null) in [(56, Null::Theoretical), (57, Null::Empirical)] {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let any = (0..FAMILIES)
            .filter(|_| set(&mut random, null, (500, 0), (0.0, 1.0)).0 > 0)
            .count();
        let share = any as f64 / FAMILIES as f64;
        assert!(share <= Q + tolerance(Q, FAMILIES), "{null:?}: {share}");
    }
}
