//! What must hold of every CUSUM and EWMA chart, whatever the series and the design.

use proptest::prelude::*;
use qipp_spc::cusum::{self, CusumDesign, SelfStarting};
use qipp_spc::ewma::{self, EwmaDesign, EwmaLimits};
use qipp_spc::run_length;
use qipp_spc::standard::{AfterSignal, Sides, Standard};

type Series = Vec<Option<f64>>;

/// Small multiples of an eighth: shifting and scaling them by powers of two is exact.
fn series() -> impl Strategy<Value = Series> {
    let value = prop::option::weighted(
        0.9,
        (-40_i32..=40).prop_map(|eighths| f64::from(eighths) / 8.0),
    );
    prop::collection::vec(value, 0..60)
}

fn sides() -> impl Strategy<Value = Sides> {
    prop_oneof![Just(Sides::Upper), Just(Sides::Lower), Just(Sides::Both)]
}

fn after() -> impl Strategy<Value = AfterSignal> {
    prop_oneof![Just(AfterSignal::Continue), Just(AfterSignal::Restart)]
}

fn cusum_design() -> impl Strategy<Value = CusumDesign> {
    (0_u8..8, 1_u8..40, 0_u8..=4, sides()).prop_map(|(k, h, start, sides)| {
        let h = f64::from(h) / 4.0;
        CusumDesign::new(f64::from(k) / 4.0, h)
            .and_then(|design| design.with_headstart(h * f64::from(start) / 4.0))
            .expect("in the domain")
            .with_sides(sides)
    })
}

fn ewma_design() -> impl Strategy<Value = EwmaDesign> {
    let limits = prop_oneof![Just(EwmaLimits::Fixed), Just(EwmaLimits::TimeVarying)];
    (1_u8..=100, 1_u8..=60, limits).prop_map(|(lambda, width, limits)| {
        let (lambda, width) = (f64::from(lambda) / 100.0, f64::from(width) / 10.0);
        EwmaDesign::new(lambda, width, limits).expect("in the domain")
    })
}

/// `scale · x + shift`, with a scale that is a power of two and may be negative.
fn moved(series: &Series, scale: f64, shift: f64) -> Series {
    let one = |value: &Option<f64>| value.map(|value| scale * value + shift);
    series.iter().map(one).collect()
}

fn without_missing(series: &Series) -> Series {
    series.iter().copied().filter(Option::is_some).collect()
}

proptest! {
    #[test]
    fn units_do_not_matter(series in series(), design in cusum_design(), ewma in ewma_design(), after in after()) {
        let (here, there) = (Standard::UNIT, Standard::new(3.0, 4.0).unwrap());
        let elsewhere = moved(&series, 4.0, 3.0);
        prop_assert_eq!(cusum::chart(here, design, after, &series), cusum::chart(there, design, after, &elsewhere));
        prop_assert_eq!(ewma::chart(here, ewma, after, &series), ewma::chart(there, ewma, after, &elsewhere));
    }

    #[test]
    fn a_mirrored_series_swaps_the_sides(series in series(), design in cusum_design(), after in after()) {
        let both = design.with_sides(Sides::Both);
        let ours = cusum::chart(Standard::UNIT, both, after, &series);
        let mirrored = cusum::chart(Standard::UNIT, both, after, &moved(&series, -1.0, 0.0));
        for (a, b) in ours.iter().zip(&mirrored) {
            prop_assert_eq!((a.upper, a.lower), (b.lower, b.upper));
            prop_assert_eq!((a.signal_upper, a.signal_lower), (b.signal_lower, b.signal_upper));
        }
    }

    #[test]
    fn missing_values_are_as_if_they_had_not_been(series in series(), design in cusum_design(), ewma in ewma_design(), after in after()) {
        let dense = without_missing(&series);
        let there = |index: &usize| series[*index].is_some();
        let places: Vec<usize> = (0..series.len()).filter(there).collect();
        let gappy = cusum::chart(Standard::UNIT, design, after, &series);
        for (place, point) in places.iter().zip(cusum::chart(Standard::UNIT, design, after, &dense)) {
            prop_assert_eq!(gappy[*place], point);
        }
        let gappy = ewma::chart(Standard::UNIT, ewma, after, &series);
        for (place, point) in places.iter().zip(ewma::chart(Standard::UNIT, ewma, after, &dense)) {
            prop_assert_eq!(gappy[*place], point);
        }
    }

    #[test]
    fn sums_are_never_negative_and_signals_are_what_exceeds_h(series in series(), design in cusum_design(), after in after()) {
        for (value, point) in series.iter().zip(cusum::chart(Standard::UNIT, design, after, &series)) {
            prop_assert!(point.upper >= 0.0 && point.lower >= 0.0);
            prop_assert_eq!(point.signal_upper, value.is_some() && point.upper > design.decision());
            prop_assert_eq!(point.signal_lower, value.is_some() && point.lower > design.decision());
        }
    }

    #[test]
    fn a_cusum_of_everything_is_the_random_walk_above_its_minimum(series in series()) {
        // C_t = S_t − min(0, S_1 … S_t), with S the running sum: the other form of the same chart.
        let design = CusumDesign::new(0.25, 3.0).unwrap();
        let (mut sum, mut least) = (0.0_f64, 0.0_f64);
        for (value, point) in series.iter().zip(cusum::chart(Standard::UNIT, design, AfterSignal::Continue, &series)) {
            sum += value.map_or(0.0, |value| value - 0.25);
            least = least.min(sum);
            prop_assert_eq!(point.upper, sum - least);
        }
    }

    #[test]
    fn scores_of_a_self_starting_chart_do_not_know_units(series in series(), exponent in -3_i32..4) {
        let scores = |series: &Series| {
            let mut state = SelfStarting::new();
            series.iter().map(|value| state.update(*value)).collect::<Vec<_>>()
        };
        let (ours, theirs) = (scores(&series), scores(&moved(&series, 2.0_f64.powi(exponent), 5.0)));
        for (a, b) in ours.iter().zip(&theirs) {
            match (a, b) {
                (Some(a), Some(b)) => prop_assert!((a - b).abs() < 1e-6, "{} {}", a, b),
                (a, b) => prop_assert_eq!(a, b),
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_run_length_is_at_least_one_or_says_that_it_is_too_long(design in cusum_design(), ewma in ewma_design(), tenths in -100_i32..=100) {
        let shift = f64::from(tenths) / 10.0;
        match run_length::of_cusum(&design, shift) {
            Ok(length) => prop_assert!(length >= 1.0 - 1e-9),
            Err(error) => prop_assert!(["run_length_too_long", "parameter_out_of_domain"].contains(&error.code())),
        }
        let length = run_length::of_ewma(&ewma, shift);
        prop_assert!(length.is_ok_and(|length| length >= 1.0 - 1e-7));
    }

    #[test]
    fn a_headstart_only_shortens(k in 0_u8..6, h in 1_u8..30, tenths in -20_i32..=20) {
        let (h, shift) = (f64::from(h) / 4.0, f64::from(tenths) / 10.0);
        let design = CusumDesign::new(f64::from(k) / 4.0, h).unwrap();
        let length = |start: f64| run_length::of_cusum(&design.with_headstart(start * h).unwrap(), shift).unwrap();
        prop_assert!(length(0.5) < length(0.25) && length(0.25) < length(0.0));
    }
}
