//! The computed run lengths are those of the charts that are drawn: seeded simulation, with tolerances from its own standard error.

use qipp_spc::cusum::{Cusum, CusumDesign, SelfStarting};
use qipp_spc::ewma::{Ewma, EwmaDesign, EwmaLimits};
use qipp_spc::run_length;
use qipp_spc::standard::Sides;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

const RUNS: usize = 20_000;

/// Mean and standard error of the length of `RUNS` runs, each of which ends when `signals` says so of a new value of N(shift, 1).
fn simulated<C>(
    seed: u64,
    shift: f64,
    start: impl Fn() -> C,
    signals: impl Fn(&mut C, f64) -> bool,
) -> (f64, f64) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let (mut sum, mut squares) = (0.0, 0.0);
    for _ in 0..RUNS {
        let mut chart = start();
        let mut length = 1.0;
        loop {
            let noise: f64 = StandardNormal.sample(&mut random);
            if signals(&mut chart, noise + shift) {
                break;
            }
            length += 1.0;
        }
        sum += length;
        squares += length * length;
    }
    let runs = RUNS as f64;
    let mean = sum / runs;
    (mean, ((squares / runs - mean * mean) / runs).sqrt())
}

/// Four standard errors: wrong by chance once in 16,000 seeds, and the seed is fixed.
fn assert_agrees(what: &str, (mean, error): (f64, f64), computed: f64) {
    assert!(
        (mean - computed).abs() < 4.0 * error,
        "{what}: simulated {mean} ± {error}, computed {computed}"
    );
}

#[test]
fn a_cusum_runs_as_long_as_computed() {
    for (seed, (sides, start, shift)) in (1..).zip([
        (Sides::Upper, 0.0, 0.0),
        (Sides::Lower, 1.5, -1.0),
        (Sides::Both, 0.0, 0.0),
        (Sides::Both, 1.5, 0.5),
    ]) {
        let design = CusumDesign::new(0.5, 3.0)
            .unwrap()
            .with_headstart(start)
            .unwrap()
            .with_sides(sides);
        let runs = simulated(
            seed,
            shift,
            || Cusum::new(design),
            |cusum, z| {
                let point = cusum.update(Some(z));
                point.signal_upper || point.signal_lower
            },
        );
        assert_agrees(
            &format!("{design:?} {shift}"),
            runs,
            run_length::of_cusum(&design, shift).unwrap(),
        );
    }
}

#[test]
fn an_ewma_runs_as_long_as_computed() {
    for (seed, (limits, shift)) in (11..).zip([
        (EwmaLimits::Fixed, 0.0),
        (EwmaLimits::TimeVarying, 0.0),
        (EwmaLimits::TimeVarying, 1.0),
    ]) {
        let design = EwmaDesign::new(0.1, 2.0, limits).unwrap();
        let runs = simulated(
            seed,
            shift,
            || Ewma::new(design),
            |ewma, z| {
                let point = ewma.update(Some(z));
                point.signal_upper || point.signal_lower
            },
        );
        assert_agrees(
            &format!("{design:?} {shift}"),
            runs,
            run_length::of_ewma(&design, shift).unwrap(),
        );
    }
}

#[test]
fn a_self_starting_cusum_runs_as_long_in_control_as_one_with_known_parameters() {
    // The first two values have no score; from the third on the scores are exactly independent N(0, 1).
    let design = CusumDesign::new(0.5, 3.0).unwrap();
    let runs = simulated(
        21,
        7.0,
        || (SelfStarting::new(), Cusum::new(design)),
        |(scores, cusum), x| {
            let point = cusum.update(scores.update(Some(100.0 * x)));
            point.signal_upper || point.signal_lower
        },
    );
    assert_agrees(
        "self-starting",
        runs,
        2.0 + run_length::of_cusum(&design, 0.0).unwrap(),
    );
}
