//! What must hold of every funnel, whatever the groups, and of every text that is given for one.

use proptest::prelude::*;
use qipp_spc::chart_io::{funnel_csv, funnel_json_line};
use qipp_spc::funnel::{
    Funnel, FunnelError, FunnelOptions, Level, MAX_COUNT, Measure, Mode, Row, funnel,
};

type Counts = Vec<(f64, f64)>;

/// Numerators that fit every measure, with nothing, everything, and sizes from one to a nation's.
fn counts() -> impl Strategy<Value = Counts> {
    let denominator = prop_oneof![
        4 => (1_u32..2_000).prop_map(f64::from),
        1 => 0.01_f64..3.0,
        1 => Just(MAX_COUNT),
    ];
    let share = prop_oneof![4 => 0.0_f64..1.0, 1 => Just(0.0), 1 => Just(1.0)];
    let row = (denominator, share).prop_map(|(d, share)| ((d * share).floor().min(d), d));
    prop::collection::vec(row, 1..40)
}

fn options() -> impl Strategy<Value = FunnelOptions> {
    use Measure::{Proportion, RatioOfCounts, StandardisedCqc, StandardisedShmi};
    let measure = prop::sample::select(vec![
        Proportion,
        RatioOfCounts,
        StandardisedShmi,
        StandardisedCqc,
    ]);
    let level = prop::sample::select(vec![Level::P95, Level::P998]);
    let share = prop_oneof![Just(0.0), Just(0.1), 0.0_f64..0.499];
    (measure, level, prop::bool::ANY, prop::bool::ANY, share).prop_map(
        |(measure, level, adjusted, unadjusted, trim_by)| FunnelOptions {
            measure,
            level,
            adjusted,
            unadjusted,
            trim_by,
            ..FunnelOptions::default()
        },
    )
}

fn draw(mode: Mode, counts: &Counts, options: &FunnelOptions) -> Result<Funnel, FunnelError> {
    let names: Vec<String> = (0..counts.len()).map(|i| format!("{i:02}")).collect();
    let rows: Vec<Row<'_>> = names
        .iter()
        .zip(counts)
        .map(|(group, (numerator, denominator))| Row {
            group,
            numerator: *numerator,
            denominator: *denominator,
        })
        .collect();
    funnel(mode, &rows, options)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_corrected_funnel_has_only_finite_figures_in_order(counts in counts(), options in options()) {
        let drawn = match draw(Mode::Corrected, &counts, &options) {
            Ok(drawn) => drawn,
            Err(error) => {
                prop_assert_eq!(error.code(), "no_events");
                return Ok(());
            }
        };
        prop_assert!(drawn.phi.is_finite() && drawn.phi >= 0.0);
        prop_assert!(drawn.tau2.is_finite() && drawn.tau2 >= 0.0);
        for group in &drawn.groups {
            prop_assert!(group.y.is_finite() && group.z.is_finite());
            for limits in [group.limits, group.adjusted] {
                prop_assert!(0.0 <= limits.lower998 && limits.lower998 <= limits.lower95);
                prop_assert!(limits.lower95 <= limits.upper95 && limits.upper95 <= limits.upper998);
            }
            let proportion = options.measure == Measure::Proportion;
            prop_assert!(!proportion || group.adjusted.upper998 <= 1.0);
        }
    }

    #[test]
    fn an_outlier_is_outside_the_limits_that_decide(counts in counts(), options in options()) {
        for mode in Mode::ALL {
            let Ok(drawn) = draw(*mode, &counts, &options) else { continue };
            for group in &drawn.groups {
                let limits = if drawn.adjusted_used { &group.adjusted } else { &group.limits };
                let (lower, upper) = limits.at(options.level);
                let outside = group.ratio < lower || group.ratio > upper;
                let judged = drawn.adjusted_used || drawn.unadjusted_used;
                prop_assert!(!group.outlier || (outside && judged));
                // Only nothing and everything are judged by more than the limits.
                let extreme = group.ratio == 0.0 || group.ratio == 1.0;
                prop_assert!(group.outlier || extreme || !outside || !judged);
            }
        }
    }

    #[test]
    fn more_of_everything_by_one_factor_keeps_the_target_and_never_lowers_dispersion(
        counts in counts(), mut options in options(), factor in 2_u32..50,
    ) {
        // The transforms of proportions and roots scale exactly: z² grows by the factor.
        options.measure = Measure::Proportion;
        let factor = f64::from(factor);
        let counts: Counts = counts.into_iter().filter(|(_, d)| *d < 1e6).collect();
        prop_assume!(!counts.is_empty());
        let larger: Counts = counts.iter().map(|(n, d)| (n * factor, d * factor)).collect();
        let before = draw(Mode::Corrected, &counts, &options).expect("counts that suit a proportion");
        let after = draw(Mode::Corrected, &larger, &options).expect("counts that suit a proportion");
        prop_assert!((before.target - after.target).abs() < 1e-12);
        prop_assert!((after.phi - factor * before.phi).abs() <= 1e-6 * (1e-6 + after.phi));
    }

    #[test]
    fn no_text_is_a_panic(
        text in "[a-b0-9.,\"\n -]{0,60}", line in "\\{\"group\":\\[\"a\",\"b\"\\],\"numerator\":\\[[0-9e.-]{1,6},1\\],\"denominator\":\\[[0-9e.-]{1,6},2\\]\\}",
    ) {
        for mode in Mode::ALL {
            if let Ok(record) = funnel_csv(*mode, &text, &FunnelOptions::default(), "x") {
                prop_assert_eq!(funnel_json_line(&record), Ok(record.clone()));
            }
        }
        if let Ok(record) = funnel_json_line(&line) {
            prop_assert_eq!(funnel_json_line(&record), Ok(record));
        }
    }
}
