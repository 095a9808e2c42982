//! When a marker slips, and when it does not count.

use qipp_domain::alert::Direction;
use qipp_rules::SlipOutcome;
use qipp_rules::slip::NotJudged;
use qipp_rules::suppress::LeftOut;

use crate::fixture::{FAR, NOW, SOME, Trust, marker, month, org};

fn trust() -> Trust {
    Trust::with_flat_savings()
}

fn slips(outcome: &SlipOutcome) -> bool {
    matches!(outcome, SlipOutcome::Slipping(_))
}

#[test]
fn a_usual_month_is_no_slip_on_any_scale() {
    for code in ["AE_4H", "FALLS_HARM", "FFT_IP", "SICKNESS", "OAP_BD"] {
        assert!(
            matches!(trust().slip(code, NOW), SlipOutcome::Usual(_)),
            "{code}"
        );
    }
}

#[test]
fn one_month_far_out_is_a_slip_on_every_scale_and_on_the_adverse_side_only() {
    for (code, scale) in [
        ("AE_4H", "logit"),
        ("SICKNESS", "logit"),
        ("FALLS_HARM", "log"),
        ("OAP_BD", "log"),
    ] {
        let outcome = trust().worse(code, FAR, &[NOW]).slip(code, NOW);
        assert!(slips(&outcome), "{code}");
        let evidence = outcome
            .reading()
            .unwrap()
            .evidence(Direction::Slipping, Vec::new());
        assert_eq!(
            (
                evidence.scale.as_str(),
                evidence.baseline_points,
                evidence.trial
            ),
            (scale, 24, false)
        );
        assert_eq!(
            (evidence.baseline_from, evidence.baseline_until),
            (month("2010-01"), month("2011-12"))
        );
        let now = evidence.points.last().unwrap();
        assert!(now.adverse_z >= 3.0, "{code} {}", now.adverse_z);
        let better = trust().worse(code, -FAR, &[NOW]).slip(code, NOW);
        assert!(matches!(better, SlipOutcome::Improving(_)), "{code}");
    }
}

#[test]
fn two_of_three_months_at_two_sigmas_are_a_slip_when_all_three_are_adverse() {
    let two = trust().worse("AE_4H", SOME, &["2012-04", NOW]);
    assert!(slips(
        &two.clone()
            .worse("AE_4H", 0.5, &["2012-05"])
            .slip("AE_4H", NOW)
    ));
    assert!(!slips(
        &two.worse("AE_4H", -0.5, &["2012-05"]).slip("AE_4H", NOW)
    ));
    assert!(!slips(
        &trust()
            .worse("AE_4H", SOME, &[NOW])
            .worse("AE_4H", 0.5, &["2012-04", "2012-05"])
            .slip("AE_4H", NOW)
    ));
}

#[test]
fn a_missing_month_breaks_two_of_three_and_leaves_a_far_month_alone() {
    let two = trust()
        .worse("AE_4H", SOME, &["2012-04", NOW])
        .missing("AE_4H", &["2012-05"]);
    assert!(!slips(&two.slip("AE_4H", NOW)));
    let far = trust()
        .worse("AE_4H", FAR, &[NOW])
        .missing("AE_4H", &["2012-05"]);
    assert!(slips(&far.slip("AE_4H", NOW)));
}

#[test]
fn a_month_without_a_figure_is_not_judged_and_never_zero() {
    let outcome = trust().missing("AE_4H", &[NOW]).slip("AE_4H", NOW);
    assert_eq!(outcome, SlipOutcome::NotJudged(NotJudged::NoFigure));
    let mut unpublished = trust();
    unpublished.unpublished.push((marker("AE_4H"), month(NOW)));
    assert_eq!(
        unpublished.slip("AE_4H", NOW),
        SlipOutcome::NotJudged(NotJudged::NoComparison)
    );
}

#[test]
fn months_without_a_figure_are_skipped_in_the_baseline() {
    let gap = trust().missing("AE_4H", &["2010-03", "2010-04"]);
    let outcome = gap.slip("AE_4H", NOW);
    let reading = outcome.reading().unwrap();
    assert_eq!(
        (reading.baseline.count, reading.baseline_months.1),
        (24, month("2012-02"))
    );
    let full = trust().slip("AE_4H", NOW);
    assert!((full.reading().unwrap().baseline.mean - reading.baseline.mean).abs() < 0.02);
}

#[test]
fn the_baseline_is_frozen_so_that_a_slow_decline_stays_visible() {
    let before = trust().slip("AE_4H", NOW);
    let declined = trust()
        .worse("AE_4H", 1.2, &["2012-01", "2012-02", "2012-03"])
        .slip("AE_4H", NOW);
    assert_eq!(
        before.reading().unwrap().baseline,
        declined.reading().unwrap().baseline
    );
}

#[test]
fn twelve_points_make_a_trial_baseline_and_eleven_none() {
    let mut young = trust();
    young.first = month("2011-04");
    let outcome = young.clone().worse("AE_4H", FAR, &[NOW]).slip("AE_4H", NOW);
    assert!(slips(&outcome) && outcome.reading().unwrap().trial);
    young.first = month("2011-05");
    assert_eq!(
        young.slip("AE_4H", NOW),
        SlipOutcome::NotJudged(NotJudged::TooFewPoints(11))
    );
}

#[test]
fn a_changed_definition_starts_a_new_baseline() {
    let outcome = trust().redefined("AE_4H", "2011-03").slip("AE_4H", NOW);
    let reading = outcome.reading().unwrap();
    assert_eq!(
        (reading.baseline.count, reading.baseline_months.0),
        (13, month("2011-03"))
    );
    let changed_in_window = trust()
        .redefined("AE_4H", "2012-05")
        .worse("AE_4H", FAR, &[NOW]);
    assert_eq!(
        changed_in_window.slip("AE_4H", NOW),
        SlipOutcome::NotJudged(NotJudged::TooFewPoints(0))
    );
}

#[test]
fn a_neutral_marker_never_slips() {
    let outcome = trust().worse("CHPPD", 9.0, &[NOW]).slip("CHPPD", NOW);
    assert_eq!(outcome, SlipOutcome::NotJudged(NotJudged::Neutral));
}

#[test]
fn a_proportion_of_too_few_and_a_rate_with_hardly_an_event_are_left_out() {
    let mut few = trust().worse("FFT_IP", 60.0, &[NOW]);
    few.denominators
        .insert((marker("FFT_IP"), month(NOW)), 19.0);
    let outcome = few.slip("FFT_IP", NOW);
    assert!(
        matches!(
            outcome,
            SlipOutcome::LeftOut(_, LeftOut::SmallDenominator { .. })
        ),
        "{outcome:?}"
    );
    // At 5 falls per 1,000, 90 bed days expect 0.45 falls.
    let mut rare = trust().worse("FALLS_HARM", 60.0, &[NOW]);
    rare.denominators
        .insert((marker("FALLS_HARM"), month(NOW)), 90.0);
    let outcome = rare.slip("FALLS_HARM", NOW);
    assert!(
        matches!(
            outcome,
            SlipOutcome::LeftOut(_, LeftOut::FewExpected { .. })
        ),
        "{outcome:?}"
    );
}

#[test]
fn a_retired_marker_is_left_out() {
    let mut retired = trust().worse("AE_4H", FAR, &[NOW]);
    retired.markers[0].definition.valid_until = Some(month(NOW));
    assert!(matches!(
        retired.slip("AE_4H", NOW),
        SlipOutcome::LeftOut(_, LeftOut::Retired)
    ));
}

#[test]
fn when_more_than_three_of_ten_slip_the_question_is_a_national_one() {
    let mut winter = trust().worse("AE_4H", FAR, &[NOW]);
    winter.slipping.insert((marker("AE_4H"), month(NOW)), 31);
    let outcome = winter.slip("AE_4H", NOW);
    assert!(matches!(
        outcome,
        SlipOutcome::LeftOut(_, LeftOut::NationalShock { slipping: 31, .. })
    ));
    assert!(outcome.counts_nationally());
    winter.slipping.insert((marker("AE_4H"), month(NOW)), 30);
    assert!(slips(&winter.slip("AE_4H", NOW)));
}

#[test]
fn a_provisional_month_that_slips_alone_is_held_for_one_refresh() {
    let mut early = trust().worse("AE_4H", FAR, &[NOW]);
    early.provisional.push(month(NOW));
    let outcome = early.slip("AE_4H", NOW);
    assert!(matches!(
        outcome,
        SlipOutcome::LeftOut(_, LeftOut::ProvisionalOnly)
    ));
    assert!(outcome.counts_nationally());
    let backed = early.clone().worse("AE_4H", SOME, &["2012-05"]);
    assert!(slips(&backed.slip("AE_4H", NOW)));
    let mut log = early.log();
    log.returns(vec![
        early
            .clone()
            .worse("AE_4H", FAR + 0.1, &[NOW])
            .quality_return(month(NOW)),
    ]);
    assert!(slips(&log.with_subject(|subject| {
        subject.slip(marker("AE_4H"), month(NOW))
    })));
}

#[test]
fn a_national_value_can_be_tried_before_it_is_published() {
    let mut waiting = trust().worse("AE_4H", FAR, &[NOW]);
    let log = waiting.log();
    let key = (
        marker("AE_4H"),
        qipp_domain::Slug::new("trust").unwrap(),
        month(NOW),
    );
    let value = log
        .nation
        .benchmarks()
        .known(key, &qipp_domain::KnownAt::Latest)
        .unwrap()
        .clone();
    waiting.unpublished.push((marker("AE_4H"), month(NOW)));
    let log = waiting.log();
    let moment = log.moment();
    let context = moment.context(&log.nation);
    let before = qipp_rules::Subject::new(context, org("RJ1")).slip(marker("AE_4H"), month(NOW));
    assert_eq!(before, SlipOutcome::NotJudged(NotJudged::NoComparison));
    let tried = [(marker("AE_4H"), value)].into();
    let slipping = qipp_rules::slipping_nationally(&context, org("RJ1"), month(NOW), &tried);
    assert_eq!(slipping, [marker("AE_4H")]);
}
