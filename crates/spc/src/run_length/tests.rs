//! Known limits, monotony, and that more nodes change nothing.

use super::*;
use crate::normal::above;

fn cusum(k: f64, h: f64, sides: Sides) -> CusumDesign {
    CusumDesign::new(k, h).unwrap().with_sides(sides)
}

fn ewma(lambda: f64, width: f64, limits: EwmaLimits) -> EwmaDesign {
    EwmaDesign::new(lambda, width, limits).unwrap()
}

fn close(a: f64, b: f64, tolerance: f64) -> bool {
    (a / b - 1.0).abs() <= tolerance
}

#[test]
fn half_as_many_nodes_again_change_nothing() {
    for (k, h, shift) in [
        (0.5, 0.01, 0.0),
        (0.25, 2.0, 0.0),
        (0.5, 5.0, 1.0),
        (0.0, 20.0, 0.0),
        (0.5, 20.0, 3.0),
        (1.0, 30.0, -1.0),
        (0.25, 60.0, 0.0),
        (10.0, 15.0, 0.0),
    ] {
        let design = cusum(k, h, Sides::Upper).with_headstart(h / 2.0).unwrap();
        let nodes = quadrature::nodes_for(h);
        let (ours, more) = (
            super::cusum::upper_with(&design, shift, nodes),
            super::cusum::upper_with(&design, shift, nodes + nodes / 2),
        );
        assert!(
            close(ours.from_zero, more.from_zero, 1e-9),
            "{k} {h} {shift}: {ours:?} {more:?}"
        );
        assert!(
            close(ours.from_headstart, more.from_headstart, 1e-9),
            "{k} {h} {shift}: {ours:?} {more:?}"
        );
    }
    for (lambda, width, shift) in [
        (0.01, 3.0, 0.0),
        (0.01, 6.0, 0.5),
        (0.05, 3.0, 10.0),
        (0.2, 6.0, 0.0),
        (0.4, 0.01, 0.0),
        (1.0, 6.0, 0.0),
    ] {
        let design = ewma(lambda, width, EwmaLimits::Fixed);
        let nodes = quadrature::nodes_for(2.0 * design.final_limit() / lambda);
        let ours = super::ewma::fixed_with(&design, shift, nodes);
        let more = super::ewma::fixed_with(&design, shift, nodes + nodes / 2);
        assert!(
            close(ours, more, 1e-9),
            "{lambda} {width} {shift}: {ours} {more}"
        );
        if lambda > 0.01 {
            let ours = super::ewma::time_varying_with(&design, shift, nodes);
            let more = super::ewma::time_varying_with(&design, shift, nodes + nodes / 2);
            assert!(
                close(ours, more, 1e-9),
                "{lambda} {width} {shift}: {ours} {more}"
            );
        }
    }
}

#[test]
fn with_all_weight_on_the_newest_value_it_is_a_shewhart_chart() {
    for limits in [EwmaLimits::Fixed, EwmaLimits::TimeVarying] {
        for (width, shift) in [(0.5, 0.0), (3.0, 0.0), (3.0, 1.5), (6.0, 0.0), (2.0, -9.0)] {
            let exact = 1.0 / (above(width - shift) + above(width + shift));
            let arl = of_ewma(&ewma(1.0, width, limits), shift).unwrap();
            assert!(
                close(arl, exact, 1e-9),
                "{limits:?} {width} {shift}: {arl} {exact}"
            );
        }
    }
}

#[test]
fn with_no_room_for_a_sum_a_cusum_is_a_shewhart_chart() {
    let arl = of_cusum(&cusum(3.0, 1e-9, Sides::Both), 0.0).unwrap();
    assert!(close(arl, 1.0 / (2.0 * above(3.0)), 1e-7), "{arl}");
    let arl = of_cusum(&cusum(3.0, 1e-9, Sides::Upper), 1.0).unwrap();
    assert!(close(arl, 1.0 / above(2.0), 1e-7), "{arl}");
}

#[test]
fn very_long_run_lengths_keep_to_the_known_growth() {
    // Each further unit of h multiplies the length by exp(2(k − μ)) in the end (Siegmund 1985, chapter 2).
    let length = |h| of_cusum(&cusum(1.0, h, Sides::Upper), -1.0).unwrap();
    let (a, b) = (length(40.0), length(50.0));
    assert!(a > 1e60 && close(b / a, (40.0_f64).exp(), 1e-6), "{a} {b}");
    let code = |h, shift| {
        of_cusum(&cusum(5.0, h, Sides::Upper), shift)
            .unwrap_err()
            .code()
    };
    assert_eq!(code(100.0, -5.0), "run_length_too_long");
}

#[test]
fn a_side_that_never_signals_is_no_side() {
    // Some 1e800 for the lower sum under this shift: the two-sided length is that of the upper one.
    let (k, h, shift) = (5.0, 60.0, 8.0);
    let both = of_cusum(&cusum(k, h, Sides::Both), shift).unwrap();
    let upper = of_cusum(&cusum(k, h, Sides::Upper), shift).unwrap();
    assert!(close(both, upper, 1e-12));
    assert!(of_cusum(&cusum(k, h, Sides::Lower), shift).is_err());
}

#[test]
fn the_lower_side_is_the_upper_one_in_a_mirror() {
    for shift in [-1.5, 0.0, 0.25] {
        let upper = of_cusum(&cusum(0.5, 4.0, Sides::Upper), shift).unwrap();
        let lower = of_cusum(&cusum(0.5, 4.0, Sides::Lower), -shift).unwrap();
        assert_eq!(upper, lower);
        let both = |shift| of_cusum(&cusum(0.5, 4.0, Sides::Both), shift).unwrap();
        assert!(close(both(shift), both(-shift), 1e-12) && both(shift) < upper);
    }
}

#[test]
fn lengths_grow_with_the_limit_and_shrink_with_the_shift() {
    let mut before = 0.0;
    for step in 1..=40 {
        let h = 0.2 * f64::from(step);
        let arl = of_cusum(&cusum(0.5, h, Sides::Both), 0.3).unwrap();
        assert!(arl > before && arl >= 1.0);
        before = arl;
    }
    for limits in [EwmaLimits::Fixed, EwmaLimits::TimeVarying] {
        let mut before = f64::INFINITY;
        for step in 0..=20 {
            let arl = of_ewma(&ewma(0.2, 2.86, limits), 0.5 * f64::from(step)).unwrap();
            assert!(arl <= before && arl >= 1.0 - 1e-9);
            before = arl;
        }
    }
}

#[test]
fn the_design_inverse_gives_the_wanted_length() {
    for wanted in [4.0, 86.3, 500.0, 10_000.0, 1e12] {
        for (sides, fraction) in [(Sides::Upper, 0.0), (Sides::Both, 0.0), (Sides::Both, 0.5)] {
            let design = cusum_with(wanted, 0.5, fraction, sides).unwrap();
            let arl = of_cusum(&design, 0.0).unwrap();
            assert!(
                close(arl, wanted, 1e-9),
                "{wanted} {sides:?} {fraction}: {arl}"
            );
        }
    }
    for wanted in [1.5, 86.3, 500.0, 1e6] {
        for limits in [EwmaLimits::Fixed, EwmaLimits::TimeVarying] {
            let design = ewma_with(wanted, 0.2, limits).unwrap();
            let arl = of_ewma(&design, 0.0).unwrap();
            assert!(close(arl, wanted, 1e-9), "{wanted} {limits:?}: {arl}");
        }
    }
}

#[test]
fn published_designs_come_out() {
    // One-sided h for in-control lengths of 500 to 10,000.
    for (k, designs) in [
        (
            0.5,
            [
                (500.0, 4.39),
                (1000.0, 5.07),
                (2000.0, 5.76),
                (5000.0, 6.67),
                (10_000.0, 7.36),
            ],
        ),
        (
            0.25,
            [
                (500.0, 7.27),
                (1000.0, 8.59),
                (2000.0, 9.93),
                (5000.0, 11.74),
                (10_000.0, 13.11),
            ],
        ),
    ] {
        for (wanted, h) in designs {
            let design = cusum_with(wanted, k, 0.0, Sides::Upper).unwrap();
            assert!(
                (design.decision() - h).abs() <= 0.006,
                "{k} {wanted}: {}",
                design.decision()
            );
        }
    }
    let design = cusum_with(86.3, 0.5, 0.0, Sides::Both).unwrap();
    assert!((design.decision() - 3.3616).abs() < 0.001);
    let design = ewma_with(86.3, 0.2, EwmaLimits::Fixed).unwrap();
    assert!((design.width() - 2.297).abs() < 0.001);
}

#[test]
fn what_cannot_be_had_is_refused() {
    let unreachable = |wanted| {
        cusum_with(wanted, 0.5, 0.0, Sides::Upper)
            .unwrap_err()
            .code()
    };
    for wanted in [f64::NAN, -1.0, 0.0, 1.0, 3.0, f64::INFINITY, 1e301] {
        assert_eq!(unreachable(wanted), "run_length_unreachable", "{wanted}");
    }
    let error = ewma_with(1e12, 0.2, EwmaLimits::Fixed).unwrap_err();
    assert_eq!(error.code(), "run_length_unreachable");
    for shift in [f64::NAN, f64::INFINITY, 10.5] {
        let error = of_cusum(&cusum(0.5, 4.0, Sides::Both), shift).unwrap_err();
        assert_eq!(error.code(), "parameter_out_of_domain");
    }
    let high = cusum(0.5, 4.0, Sides::Both).with_headstart(3.0).unwrap();
    assert_eq!(
        of_cusum(&high, 0.0).unwrap_err().code(),
        "parameter_out_of_domain"
    );
    assert!(of_cusum(&high.with_sides(Sides::Upper), 0.0).is_ok());
    assert!(cusum_with(500.0, 0.5, 1.5, Sides::Upper).is_err());
    assert!(cusum_with(500.0, -0.5, 0.0, Sides::Upper).is_err());
}
