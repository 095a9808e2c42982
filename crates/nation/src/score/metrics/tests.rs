use super::*;

fn episode(org: usize, kind: TruthKind, from: usize, until: Option<usize>) -> Episode {
    Episode {
        org,
        kind,
        from,
        until,
        markers: vec![0, 1],
    }
}

fn said(alerts: &[(usize, &[usize])]) -> Said {
    Said {
        alerts: alerts
            .iter()
            .map(|(org, markers)| (*org, markers.to_vec()))
            .collect(),
        ..Said::default()
    }
}

fn close(metrics: &Metrics, name: &str, expected: f64) {
    let found = metrics.get(name).unwrap_or(f64::NAN);
    assert!(
        (found - expected).abs() < 1e-12,
        "{name}: {found} and not {expected}"
    );
}

/// Four organisations, months 24 to 29: 0 has both from month 25 on, 1 saves only from 24 on, 2 and 3 are as ever.
fn truth() -> Truth {
    Truth::new(vec![
        episode(0, TruthKind::Both, 25, None),
        episode(1, TruthKind::SavingsOnly, 24, None),
    ])
}

#[test]
fn a_small_nation_counted_by_hand() {
    let truth = truth();
    let mut scorer = Scorer::new(&truth, 4, 30);
    // False, as the onset is to come.
    scorer.month(24, &said(&[(0, &[0])]));
    scorer.month(25, &said(&[]));
    // One of three is true, and it names one marker that slips and one that does not.
    scorer.month(26, &said(&[(0, &[1, 2]), (1, &[]), (2, &[])]));
    scorer.month(27, &said(&[(0, &[0, 1])]));
    scorer.month(28, &said(&[(3, &[])]));
    scorer.month(29, &said(&[]));
    let metrics = scorer.finish().metrics();
    close(
        &metrics,
        "fdr",
        (1.0 + 0.0 + 2.0 / 3.0 + 0.0 + 1.0 + 0.0) / 6.0,
    );
    close(&metrics, "any", 4.0 / 6.0);
    close(&metrics, "any_when_nothing", 1.0);
    close(&metrics, "alerts_a_month", 1.0);
    close(&metrics, "false_a_month", 4.0 / 6.0);
    close(&metrics, "delay_median", 2.0);
    close(&metrics, "within_3", 1.0);
    assert_eq!(
        metrics.get("within_6"),
        None,
        "five months are left from the onset on"
    );
    close(&metrics, "marker_precision", 3.0 / 4.0);
    close(&metrics, "marker_recall", 3.0 / 4.0);
    close(&metrics, "episodes", 1.0);
    assert_eq!(metrics.get("matched"), None, "there was nothing to rank by");
    assert_eq!(metrics.get("expected_false"), None);
}

#[test]
fn an_alert_stays_true_for_three_months_after_the_end_and_power_does_not_count_them() {
    let truth = Truth::new(vec![episode(0, TruthKind::Both, 24, Some(26))]);
    let mut scorer = Scorer::new(&truth, 2, 40);
    for month in 24..32 {
        let strength = vec![1.0, 0.0];
        scorer.month(
            month,
            &Said {
                strength,
                ..said(&[(0, &[])])
            },
        );
    }
    let metrics = scorer.finish().metrics();
    close(&metrics, "false_a_month", 2.0 / 8.0);
    // Eight of equal strength of which two are false: more than a tenth.
    close(&metrics, "matched", 0.0);
    assert_eq!(metrics.get("marker_recall"), Some(0.0));
}

#[test]
fn the_oracle_takes_the_lowest_threshold_at_which_a_tenth_is_false() {
    let truth = Truth::new(
        (0..12)
            .map(|org| episode(org, TruthKind::Both, 24, None))
            .collect(),
    );
    let mut scorer = Scorer::new(&truth, 20, 30);
    // Nine true, one false, and then a false one before the last three true ones: 9 of 10 stand, 12 of 14 do not.
    let mut strength = vec![0.0; 20];
    (0..9).for_each(|org| strength[org] = 5.0);
    strength[12] = 4.0;
    strength[13] = 3.0;
    (9..12).for_each(|org| strength[org] = 2.0);
    scorer.month(
        26,
        &Said {
            strength,
            ..said(&[])
        },
    );
    let score = scorer.finish();
    close(&score.metrics(), "matched", 9.0 / 12.0);
    close(&score.metrics(), "matched_full", 9.0 / 12.0);
    // The same twice over is the same share.
    close(
        &Score::together([&score, &score].into_iter()).metrics(),
        "matched",
        9.0 / 12.0,
    );
}

#[test]
fn months_before_the_shift_is_there_in_full_count_as_since_the_onset_only() {
    let truth = Truth::new(vec![episode(0, TruthKind::Both, 24, None)]);
    let mut scorer = Scorer::new(&truth, 1, 30);
    for (month, strength) in [(24, 0.0), (25, 0.0), (26, 1.0), (27, 1.0)] {
        scorer.month(
            month,
            &Said {
                strength: vec![strength],
                ..said(&[])
            },
        );
    }
    let metrics = scorer.finish().metrics();
    close(&metrics, "matched", 0.5);
    close(&metrics, "matched_full", 1.0);
}

#[test]
fn what_is_expected_to_be_false_is_told_by_month() {
    let truth = Truth::default();
    let mut scorer = Scorer::new(&truth, 1, 30);
    for expected in [0.2, 0.6] {
        let expected_false = Some(expected);
        scorer.month(
            24,
            &Said {
                expected_false,
                ..said(&[])
            },
        );
    }
    let metrics = scorer.finish().metrics();
    close(&metrics, "expected_false", 0.4);
    close(&metrics, "any_when_nothing", 0.0);
    assert_eq!(metrics.get("within_11"), None);
}
