//! Limits against probabilities that are computed in other ways.

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;

const NONE: GapLimits = GapLimits {
    lower: None,
    upper: None,
};

fn limits_t(times: &[f64], basis: Basis, tail: f64) -> GapChart {
    t_chart(times, basis, tail).unwrap()
}

#[test]
fn limits_of_a_known_mean_are_the_quantiles() {
    let limits = limits_t(&[], Basis::Known(10.0), 0.05).limits;
    assert!((limits.lower.unwrap() - 0.512_932_943_875_505_3).abs() < 1e-14);
    assert!((limits.upper.unwrap() - 29.957_322_735_539_91).abs() < 1e-13);
    // q = 0.9: 0.9^29 = 0.0471 and 0.9^28 = 0.0523; P(X = 0) = 0.1 is more than 0.05 already.
    let g = g_chart(&[], Basis::Known(9.0), 0.05).unwrap().limits;
    assert_eq!((g.lower, g.upper), (None, Some(29.0)));
    // q = 0.99: P(X ≤ 4) = 0.0490, P(X ≤ 5) = 0.0585.
    let g = g_chart(&[], Basis::Known(99.0), 0.05).unwrap().limits;
    assert_eq!(g.lower, Some(4.0));
}

#[test]
fn a_long_baseline_is_as_good_as_a_known_mean() {
    let near = |a: Option<f64>, b: Option<f64>| (a.unwrap() / b.unwrap() - 1.0).abs() < 2e-3;
    let known = limits_t(&[], Basis::Known(7.0), 0.01).limits;
    let long = limits_t(&[7.0; 10_000], Basis::ALL, 0.01);
    for limits in [long.limits, long.baseline_limits] {
        assert!(near(limits.lower, known.lower) && near(limits.upper, known.upper));
    }
    let known = g_chart(&[], Basis::Known(7000.0), 0.01).unwrap().limits;
    let long = g_chart(&[7000; 10_000], Basis::ALL, 0.01).unwrap();
    for limits in [long.limits, long.baseline_limits] {
        assert!(
            near(limits.upper, known.upper)
                && (limits.lower.unwrap() - known.lower.unwrap()).abs() <= 1.0
        );
    }
}

/// All ways in which `count` gaps add up to `sum`.
fn compositions(sum: u64, count: usize) -> Vec<Vec<u64>> {
    if count == 1 {
        return vec![vec![sum]];
    }
    let with_first = |first: u64| {
        compositions(sum - first, count - 1)
            .into_iter()
            .map(move |rest| std::iter::once(first).chain(rest).collect())
    };
    (0..=sum).flat_map(with_first).collect()
}

#[test]
fn limits_of_a_short_baseline_are_those_of_counting_all_ways() {
    // Given their sum, all ways in which geometric gaps reach it are equally likely.
    let tail = 0.1;
    let share = |sum: u64, count: usize, holds: &dyn Fn(u64) -> bool| {
        let all = compositions(sum, count);
        all.iter().filter(|gaps| holds(gaps[0])).count() as f64 / all.len() as f64
    };
    for gaps in [vec![3, 9, 0], vec![12, 20], vec![2, 2, 5, 1]] {
        let (sum, count) = (gaps.iter().sum::<u64>(), gaps.len());
        let chart = g_chart(&gaps, Basis::ALL, tail).unwrap();
        for gap in 0..=sum {
            let later = share(sum, count, &|first| first >= gap) <= tail;
            let sooner = share(sum, count, &|first| first <= gap) <= tail;
            let expected = match (sooner, later) {
                (true, _) => Some(GapSignal::Sooner),
                (_, true) => Some(GapSignal::Later),
                _ => None,
            };
            assert_eq!(
                chart.baseline_limits.judge(gap as f64),
                expected,
                "{gaps:?} {gap}"
            );
        }
        for gap in 0..25 {
            let later = share(sum + gap, count + 1, &|first| first >= gap) <= tail;
            let sooner = share(sum + gap, count + 1, &|first| first <= gap) <= tail;
            let judged = chart.limits.judge(gap as f64);
            assert_eq!(judged == Some(GapSignal::Later), later, "{gaps:?} {gap}");
            assert_eq!(judged == Some(GapSignal::Sooner), sooner, "{gaps:?} {gap}");
        }
    }
}

/// Draws an exponential gap of mean 1.
fn exponential(random: &mut impl Rng) -> f64 {
    -(1.0 - random.random::<f64>()).ln()
}

#[test]
fn the_share_of_false_signals_is_the_tail_for_a_baseline_of_any_length() {
    const RUNS: usize = 40_000;
    let tail = 0.05;
    let mut random = ChaCha8Rng::seed_from_u64(31);
    for baseline in [1, 2, 5, 20] {
        // Sooner and later, of the first gap of the baseline, and of the one after it.
        let mut counts = [[0_u32; 2]; 2];
        for _ in 0..RUNS {
            let times: Vec<f64> = (0..=baseline).map(|_| exponential(&mut random)).collect();
            let chart = limits_t(&times, Basis::First(baseline), tail);
            for (count, place) in counts.iter_mut().zip([0, baseline]) {
                count[0] += u32::from(chart.signals[place] == Some(GapSignal::Sooner));
                count[1] += u32::from(chart.signals[place] == Some(GapSignal::Later));
            }
        }
        // Four binomial standard errors.
        let error = 4.0 * (tail * (1.0 - tail) / RUNS as f64).sqrt();
        for (place, count) in counts.into_iter().enumerate() {
            let expected = if baseline == 1 && place == 0 {
                0.0
            } else {
                tail
            };
            for side in count {
                let share = f64::from(side) / RUNS as f64;
                assert!(
                    (share - expected).abs() <= error,
                    "{baseline} {place}: {share}"
                );
            }
        }
    }
}

#[test]
fn units_do_not_matter() {
    let days = [3.0, 40.0, 0.001, 12.0, 300.0, 7.0];
    let hours: Vec<f64> = days.iter().map(|time| time * 24.0).collect();
    for basis in [Basis::ALL, Basis::First(3)] {
        assert_eq!(
            limits_t(&days, basis, 0.01).signals,
            limits_t(&hours, basis, 0.01).signals
        );
    }
}

#[test]
fn a_single_gap_says_nothing_about_itself() {
    assert_eq!(limits_t(&[5.0], Basis::ALL, 0.01).baseline_limits, NONE);
    assert_eq!(
        g_chart(&[5], Basis::ALL, 0.01).unwrap().baseline_limits,
        NONE
    );
    assert_eq!(
        g_chart(&[0, 0, 0], Basis::ALL, 0.01).unwrap().signals,
        [None; 3]
    );
}

#[test]
fn what_is_no_gap_is_refused() {
    let code = |times: &[f64], basis, tail| t_chart(times, basis, tail).unwrap_err().code();
    for time in [-1.0, f64::NAN, f64::INFINITY, 1e300] {
        assert_eq!(code(&[1.0, time], Basis::ALL, 0.01), "entry_out_of_domain");
    }
    assert_eq!(code(&[], Basis::ALL, 0.01), "too_few_values");
    assert_eq!(code(&[1.0], Basis::First(0), 0.01), "too_few_values");
    assert_eq!(code(&[0.0; 3], Basis::ALL, 0.01), "no_spread");
    assert_eq!(
        code(&vec![1.0; MAX_GAPS + 1], Basis::ALL, 0.01),
        "too_many_values"
    );
    for tail in [0.0, -0.1, 0.2, f64::NAN] {
        assert_eq!(code(&[1.0], Basis::ALL, tail), "parameter_out_of_domain");
    }
    for mean in [0.0, -3.0, f64::NAN, f64::INFINITY] {
        assert_eq!(
            code(&[1.0], Basis::Known(mean), 0.01),
            "parameter_out_of_domain"
        );
    }
    assert!(g_chart(&[u64::MAX], Basis::ALL, 0.01).is_err());
    let farthest = g_chart(&[MAX_OPPORTUNITIES; 4], Basis::ALL, SHEWHART_TAIL).unwrap();
    assert!(farthest.limits.upper.is_some());
}
