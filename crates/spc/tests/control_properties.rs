//! What must hold of every CUSUM and EWMA chart, whatever the series and the design; and that nothing panics.

use proptest::prelude::*;
use qipp_spc::chart_io;
use qipp_spc::cusum::{self, CusumDesign, SelfStarting};
use qipp_spc::ewma::{self, EwmaDesign, EwmaLimits};
use qipp_spc::fdr;
use qipp_spc::rare::{self, Basis};
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

/// Numbers of which many are not what anybody should send.
fn any_number() -> impl Strategy<Value = f64> {
    let odd = [
        f64::NAN,
        f64::INFINITY,
        -1.0,
        0.0,
        -0.0,
        f64::MIN_POSITIVE,
        f64::MAX,
        1e300,
        0.5,
    ];
    prop_oneof![
        prop::sample::select(odd.to_vec()),
        prop::num::f64::ANY,
        -10.0..10.0_f64
    ]
}

proptest! {
    #[test]
    fn no_input_makes_anything_panic(
        a in any_number(),
        b in any_number(),
        c in any_number(),
        list in prop::collection::vec(any_number(), 0..8),
        other in prop::collection::vec(any_number(), 0..8),
        counts in prop::collection::vec(prop::num::u64::ANY, 0..8),
        first in 0_usize..10,
        text in "[0-9a-z,.\\-\n\"{}:\\[\\] ]{0,60}",
    ) {
        let given: Series = list.iter().copied().map(Some).collect();
        let mut score = SelfStarting::new();
        for value in &given {
            score.update(*value);
        }
        if let Ok(standard) = Standard::from_baseline(&given).or_else(|_| Standard::new(a, b)) {
            cusum::chart(standard, CusumDesign::default(), AfterSignal::Restart, &given);
            ewma::chart(standard, EwmaDesign::default(), AfterSignal::Restart, &given);
        }
        if let Ok(design) = CusumDesign::new(a, b.min(9.0)).and_then(|design| design.with_headstart(c)) {
            let _ = run_length::of_cusum(&design, c);
        }
        if let Ok(design) = EwmaDesign::new(a, b, EwmaLimits::Fixed) {
            let _ = run_length::of_ewma(&design, c);
        }
        for basis in [Basis::Known(a), Basis::First(first)] {
            let _ = rare::t_chart(&list, basis, b);
            let _ = rare::t_chart(&list, basis, 0.01);
            let _ = rare::g_chart(&counts, basis, 0.01);
            let small: Vec<u64> = counts.iter().map(|count| count % 1_000_000_000_000).collect();
            let _ = rare::g_chart(&small, basis, 0.01);
        }
        let _ = fdr::benjamini_hochberg(&list);
        let _ = fdr::ada_filter(&list, &other);
        fdr::largest_set(&list, a);
        let long: Vec<f64> = list.iter().copied().cycle().take(200).collect();
        for null in [fdr::Null::Theoretical, fdr::Null::Empirical] {
            let _ = fdr::local::estimate(&long, null);
            let finite: Vec<f64> = long.iter().map(|z| if z.is_finite() { z.clamp(-1e6, 1e6) } else { 0.0 }).collect();
            if let Ok(estimated) = fdr::local::estimate(&finite, null) {
                prop_assert!(estimated.values.iter().all(|lfdr| (0.0..=1.0).contains(lfdr)));
            }
        }
        let _ = chart_io::cusum_json_line(&text);
        let _ = chart_io::ewma_json_line(&text);
        let _ = chart_io::cusum_csv(&text, &chart_io::CusumOptions::default(), &text);
        let _ = chart_io::ewma_csv(&text, &chart_io::EwmaOptions::default(), &text);
    }
}
