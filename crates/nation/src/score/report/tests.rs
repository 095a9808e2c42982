use super::*;
use crate::scenario::{Scenario, ScenarioConfig, scenario};
use crate::score::input::Truth;

fn small(scenario_: Scenario, seed: u64) -> Input {
    let config = ScenarioConfig {
        organisations: 60,
        months: 38,
        ..ScenarioConfig::new(scenario_, seed)
    };
    Input::from(&scenario(&config))
}

fn plan() -> BenchPlan {
    BenchPlan {
        warm_up: 34,
        every: 2,
        ..BenchPlan::default()
    }
}

#[test]
fn a_small_nation_goes_through_and_the_same_seed_says_the_same() {
    let input = small(Scenario::E, 3);
    let mut months = Vec::new();
    let first = judge(&input, &plan(), |month| months.push(month)).unwrap();
    assert_eq!(months, [34, 36]);
    assert_eq!(judge(&input, &plan(), |_| ()).unwrap(), first);
    let alert = first.scores[&Voice::Layer(Tier::Alert)].metrics();
    assert_eq!(alert.get("episodes"), Some(3.0));
    assert!(
        alert.get("matched").is_some_and(|matched| matched > 0.3),
        "{alert:?}"
    );
    assert!(first.entries.iter().any(|(_, entries)| !entries.is_empty()));
    assert!(
        !first.scores.contains_key(&Voice::Layer(Tier::Confirmed)),
        "months do not follow each other"
    );
    for entry in first.entries.iter().flat_map(|(_, entries)| entries) {
        assert!(entry.domain < 5 && entry.since < 37 && entry.markers.iter().all(|at| *at < 20));
    }
}

#[test]
fn another_truth_changes_no_word_of_what_is_said() {
    let input = small(Scenario::E, 4);
    let with = judge(&input, &plan(), |_| ()).unwrap();
    let without = Input {
        truth: Truth::default(),
        ..input
    };
    let without = judge(&without, &plan(), |_| ()).unwrap();
    assert_eq!(with.entries, without.entries);
    assert_ne!(with.scores, without.scores);
}

#[test]
fn what_is_received_later_changes_nothing_of_what_was_said_before() {
    let mut input = small(Scenario::Real, 5);
    let plan = BenchPlan {
        every: 1,
        methods: Vec::new(),
        ..plan()
    };
    let with = judge(&input, &plan, |_| ()).unwrap();
    let last = input.returns.months - 1;
    let returns = &mut input.returns;
    for row in returns
        .figures
        .iter_mut()
        .filter(|row| row.received >= last)
    {
        row.numerator = 0.0;
    }
    for row in returns
        .savings
        .iter_mut()
        .filter(|row| row.received >= last)
    {
        row.actual_pence *= 100.0;
    }
    let changed = judge(&input, &plan, |_| ()).unwrap();
    let before = with.entries.len() - 1;
    assert_eq!(with.entries[..before], changed.entries[..before]);
}

#[test]
fn standard_errors_of_means_over_equal_nations_are_those_of_the_mean() {
    let score = |alerts: usize| {
        let truth = Truth::default();
        let mut scorer = Scorer::new(&truth, 10, 30);
        let alerts = (0..alerts).map(|org| (org, Vec::new())).collect();
        scorer.month(
            24,
            &Said {
                alerts,
                ..Said::default()
            },
        );
        scorer.finish()
    };
    let scores = [score(1), score(2), score(6)];
    let errors = errors(&scores.iter().collect::<Vec<_>>());
    // 1, 2 and 6: variance 7, so √(7/3).
    let found = errors.get("false_a_month").unwrap();
    assert!((found - (7.0_f64 / 3.0).sqrt()).abs() < 1e-12, "{found}");
    assert_eq!(errors.get("months"), None);
    let of_one = super::errors(&[&scores[0]]);
    assert!(
        of_one.values.iter().all(Option::is_none),
        "one nation has no spread"
    );
}

#[test]
fn metrics_are_told_by_name() {
    let told = serde_json::to_value(Score::default().metrics()).unwrap();
    assert_eq!(told["months"], 0.0);
    assert!(told["fdr"].is_null());
    assert_eq!(told.as_object().unwrap().len(), METRICS.len());
}

#[test]
fn where_nothing_can_be_judged_the_layer_has_no_figures_and_the_reason_is_told() {
    let layer = |input: &Input| {
        let judged = judge(input, &plan(), |_| ()).unwrap();
        let metrics = judged.scores[&Voice::Layer(Tier::Alert)].metrics();
        (judged.unjudged, metrics)
    };
    let whole = small(Scenario::E, 3);
    assert_eq!(layer(&whole).0, None);

    let mut few = whole.clone();
    few.returns.organisations.truncate(9);
    few.returns.figures.retain(|row| row.org < 9);
    few.returns.savings.retain(|row| row.org < 9);
    few.truth.episodes.retain(|held| held.org < 9);
    let mut young = whole.clone();
    young.returns.months = 34;
    young.returns.figures.retain(|row| row.month < 34);
    young.returns.savings.retain(|row| row.month < 34);
    let mut constant = whole.clone();
    for row in &mut constant.returns.savings {
        row.actual_pence = 1e6;
    }
    let mut late = whole.clone();
    for row in &mut late.returns.figures {
        row.received = 999;
    }
    // Quality that never moves: savings could be judged, both cannot.
    let mut still = whole;
    for row in &mut still.returns.figures {
        row.numerator = row.denominator;
    }
    let little = |savings, markers| Unjudged::TooLittleToTell {
        organisations: 60,
        savings,
        markers,
    };
    for (input, expected) in [
        (few, Unjudged::TooFewOrganisations(9)),
        (
            young,
            Unjudged::TooFewMonths {
                months: 34,
                baseline: 34,
            },
        ),
        (constant, little(0, 60)),
        (late, little(60, 0)),
        (still, little(60, 0)),
    ] {
        let (unjudged, metrics) = layer(&input);
        assert_eq!(unjudged, Some(expected));
        for name in [
            "fdr",
            "any_when_nothing",
            "alerts_a_month",
            "expected_false",
            "matched",
        ] {
            assert_eq!(metrics.get(name), None, "{name}: {expected}");
        }
        assert_eq!(metrics.get("months"), Some(0.0));
    }
}
