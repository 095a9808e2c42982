//! R01: savings rising while quality slips.

use qipp_domain::alert::Severity;
use qipp_domain::reference::{ReferenceFact, Succession};
use qipp_domain::scheme::{LinkedMarker, Scheme};

use crate::fixture::{FAR, NOW, Trust, marker, month, org, organisation, scheme, scheme_id};

fn severity(trust: &Trust) -> Option<Severity> {
    trust.finds("R01").map(|finding| finding.severity)
}

/// Two markers slip in two domains.
fn two_slip() -> Trust {
    Trust::with_rising_savings()
        .worse("AE_4H", FAR, &[NOW])
        .worse("FFT_IP", FAR, &[NOW])
}

fn link(code: &str) -> Scheme {
    Scheme {
        linked_markers: vec![LinkedMarker {
            marker: marker(code),
            balancing: true,
        }],
        ..scheme("LOCAL")
    }
}

#[test]
fn two_markers_slipping_in_two_domains_while_savings_rise_is_amber() {
    let finding = two_slip().finds("R01").unwrap();
    assert_eq!(
        (finding.severity, finding.suppressed_because.as_str()),
        (Severity::Amber, "")
    );
    let codes: Vec<String> = finding
        .evidence
        .markers
        .iter()
        .map(|m| m.marker.to_string())
        .collect();
    assert_eq!(codes, ["AE_4H", "FFT_IP"]);
    assert_eq!(finding.evidence.rule_set_version, "default-1");
    let savings = finding.evidence.savings.unwrap();
    assert_eq!(savings.basis, "same_months_last_year");
    assert_eq!(
        savings.rising_periods,
        month("2012-03").to(month(NOW)).collect::<Vec<_>>()
    );
    assert_eq!(
        finding.question,
        "Savings rose 20% over three months against the same months of last year (£360,000, was £300,000), while AE_4H (95.0% to \
         93.4%) and FFT_IP (90.0% to 87.0%) worsened beyond their usual variation and beyond peers. Which schemes touch these \
         services? What did the QIA predict for AE_4H and FFT_IP, what is its trigger, and has it been tripped? What will you \
         stop, change or fund, by when?"
    );
    assert!(!finding.question.contains("because") && !finding.question.contains("caused"));
}

#[test]
fn a_trust_without_slips_is_not_asked() {
    assert_eq!(Trust::with_rising_savings().finds("R01"), None);
}

#[test]
fn one_marker_or_one_domain_is_not_enough() {
    let one = Trust::with_rising_savings().worse("AE_4H", FAR, &[NOW]);
    assert_eq!(severity(&one), None);
    assert_eq!(
        severity(&one.worse("OAP_BD", FAR, &[NOW])),
        None,
        "both are access"
    );
}

#[test]
fn context_and_neutral_markers_do_not_count() {
    let trust = Trust::with_rising_savings().worse("AE_4H", FAR, &[NOW]);
    assert_eq!(
        severity(
            &trust
                .worse("STROKE_HF", FAR, &[NOW])
                .worse("CHPPD", FAR, &[NOW])
        ),
        None
    );
}

#[test]
fn without_rising_savings_it_is_not_this_question() {
    let trust = Trust::with_flat_savings()
        .worse("AE_4H", FAR, &[NOW])
        .worse("FFT_IP", FAR, &[NOW]);
    assert_eq!(severity(&trust), None);
}

#[test]
fn savings_have_to_rise_in_two_of_four_months() {
    let mut trust = two_slip();
    // Rising in April only: the three months to May and to June have a gap.
    trust.deliver("LOCAL", month("2012-05"), None);
    assert_eq!(
        severity(&trust),
        Some(Severity::Amber),
        "rising in March and April"
    );
    for period in ["2012-01", "2012-02", "2012-03"] {
        trust.deliver("LOCAL", month(period), Some(100_000));
    }
    assert_eq!(severity(&trust), None, "rising in April at most");
}

#[test]
fn three_markers_in_two_domains_are_red() {
    assert_eq!(
        severity(&two_slip().worse("OAP_BD", FAR, &[NOW])),
        Some(Severity::Red)
    );
}

#[test]
fn a_second_amber_month_of_three_is_red() {
    let earlier = two_slip()
        .worse("AE_4H", FAR, &["2012-04"])
        .worse("FFT_IP", FAR, &["2012-04"]);
    assert_eq!(severity(&earlier), Some(Severity::Red));
    assert_eq!(
        earlier.finds_in("R01", "2012-05").map(|f| f.severity),
        None,
        "a usual month in between"
    );
}

#[test]
fn a_sentinel_cluster_next_to_one_slipping_marker_is_red() {
    let mut trust = Trust::with_rising_savings().worse("AE_4H", FAR, &[NOW]);
    trust.never_events.insert(month("2012-04"), 1.0);
    assert_eq!(severity(&trust), None, "one event is no cluster");
    trust.never_events.insert(month(NOW), 1.0);
    let finding = trust.finds("R01").unwrap();
    assert_eq!(finding.severity, Severity::Red);
    assert!(finding.evidence.notes[0].starts_with("NEVER_EVT: 2 events in 2012-04 to 2012-06"));
    let calm = trust.worse("AE_4H", 0.0, &[NOW]);
    assert_eq!(severity(&calm), None, "nothing slips");
}

#[test]
fn a_declared_marker_counts_twice_when_another_domain_slips() {
    let mut trust = two_slip();
    trust.schemes = vec![link("AE_4H")];
    let finding = trust.finds("R01").unwrap();
    assert_eq!(finding.severity, Severity::Red);
    assert_eq!(
        finding.evidence.markers[0].linked_schemes,
        [scheme_id("LOCAL")]
    );
    trust.schemes[0].ended = Some(month(NOW));
    assert_eq!(
        severity(&trust),
        Some(Severity::Amber),
        "the scheme is no longer live"
    );
}

#[test]
fn a_declared_marker_that_slips_for_three_months_needs_no_second_domain() {
    let months = ["2012-04", "2012-05", NOW];
    let mut trust = Trust::with_rising_savings().worse("AE_4H", FAR, &months);
    assert_eq!(severity(&trust), None);
    trust.schemes = vec![link("AE_4H")];
    assert_eq!(severity(&trust), Some(Severity::Amber));
    assert_eq!(
        trust.finds_in("R01", "2012-05"),
        None,
        "two months are not three"
    );
}

#[test]
fn what_needs_a_trial_baseline_is_information_only() {
    let mut young = two_slip().worse("OAP_BD", FAR, &[NOW]);
    young.first = month("2010-10");
    let finding = young.finds("R01").unwrap();
    assert_eq!(finding.severity, Severity::Info);
    assert!(finding.evidence.markers.iter().all(|m| m.trial));
}

#[test]
fn markers_that_are_left_out_are_named_with_the_reason() {
    let mut trust = two_slip();
    trust.slipping.insert((marker("AE_4H"), month(NOW)), 40);
    assert_eq!(severity(&trust), None);
    let third = trust.worse("SICKNESS", FAR, &[NOW]).finds("R01").unwrap();
    assert_eq!(third.severity, Severity::Amber);
    assert_eq!(
        third.evidence.notes,
        ["AE_4H left out: a national question: 40 of 100 organisations slip in the month"]
    );
}

#[test]
fn a_trust_that_merged_in_the_last_six_months_is_found_and_not_asked() {
    let merged_on = |date: &str| {
        let mut trust = two_slip();
        let succession = Succession {
            org: org("RJ2"),
            successor: org("RJ1"),
            date: date.parse().unwrap(),
        };
        trust
            .reference
            .extend([organisation("RJ2"), ReferenceFact::Succeeded(succession)]);
        trust.finds("R01").unwrap().suppressed_because
    };
    assert_eq!(
        merged_on("2012-01-01"),
        "RJ1 merged or was succeeded within the last 6 months"
    );
    assert_eq!(merged_on("2011-12-31"), "");
}

#[test]
fn a_finding_from_simulated_figures_says_so() {
    let mut trust = two_slip();
    assert!(!trust.finds("R01").unwrap().evidence.simulated);
    trust.simulated = true;
    assert!(trust.finds("R01").unwrap().evidence.simulated);
}
