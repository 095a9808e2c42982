//! R02 (slipping without savings), R03 (worth copying) and R04 (leading domains).

use qipp_domain::alert::{Finding, Severity};
use qipp_domain::reference::{Obligation, ReferenceFact};
use qipp_domain::scheme::{Scheme, SchemeCategory};
use qipp_domain::{Dataset, Period};

use crate::fixture::{FAR, NOW, Trust, genuine_scheme, month, org, scheme};

fn slipping(trust: Trust) -> Trust {
    trust
        .worse("AE_4H", FAR, &[NOW])
        .worse("FFT_IP", FAR, &[NOW])
}

#[test]
fn r02_asks_about_a_decline_when_savings_do_not_rise() {
    let finding = slipping(Trust::with_flat_savings()).finds("R02").unwrap();
    assert_eq!(finding.severity, Severity::Amber);
    assert_eq!(
        finding.question,
        "Quality has declined without a savings rise: AE_4H (95.0% to 93.4%) and FFT_IP (90.0% to 87.0%). What changed?"
    );
    assert_eq!(Trust::with_flat_savings().finds("R02"), None);
}

#[test]
fn r01_and_r02_never_ask_the_same_decline() {
    for trust in [Trust::with_flat_savings(), Trust::with_rising_savings()] {
        let trust = slipping(trust);
        assert_ne!(trust.finds("R01").is_some(), trust.finds("R02").is_some());
    }
}

#[test]
fn r02_is_not_silenced_by_a_missing_savings_return() {
    let mut trust = slipping(Trust::with_rising_savings());
    trust.no_savings_return = month("2012-03").to(month(NOW)).collect();
    let finding = trust.finds("R02").unwrap();
    assert_eq!(
        finding.evidence.savings.as_ref().unwrap().basis,
        "month_missing"
    );
    assert_eq!(
        finding.evidence.notes,
        ["savings are not known for 2012-04, 2012-05 and 2012-06"]
    );
}

#[test]
fn r02_on_a_trial_baseline_is_information() {
    let mut young = slipping(Trust::with_flat_savings());
    young.first = month("2010-10");
    assert_eq!(young.finds("R02").unwrap().severity, Severity::Info);
}

/// Six months in which two markers of two domains improve and savings rise, from genuine schemes.
fn worth_copying() -> Trust {
    let mut trust = Trust::with_flat_savings();
    trust.schemes = vec![genuine_scheme("LOCAL")];
    for period in month("2011-08").to(trust.last) {
        trust.deliver("LOCAL", period, Some(120_000));
    }
    let months = ["2012-01", "2012-02", "2012-03", "2012-04", "2012-05", NOW];
    trust
        .worse("READM_30", -FAR, &months)
        .worse("FFT_IP", -FAR, &months)
}

#[test]
fn r03_celebrates_six_months_of_better_quality_with_rising_genuine_savings() {
    let finding = worth_copying().finds("R03").unwrap();
    assert_eq!(
        (finding.severity, finding.suppressed_because.as_str()),
        (Severity::Info, "")
    );
    assert_eq!(finding.evidence.markers.len(), 2);
    assert_eq!(worth_copying().finds("R01"), None);
}

#[test]
fn r03_needs_all_six_months_nothing_slipping_and_two_domains() {
    assert_eq!(
        worth_copying()
            .worse("FFT_IP", 1.0, &["2012-03"])
            .finds("R03"),
        None
    );
    assert_eq!(
        worth_copying()
            .worse("AE_4H", FAR, &["2012-03"])
            .finds("R03"),
        None
    );
    assert_eq!(
        worth_copying().missing("FFT_IP", &["2012-03"]).finds("R03"),
        None
    );
}

#[test]
fn r03_needs_half_of_the_local_plan_to_be_genuine() {
    let mut trust = worth_copying();
    trust.schemes.push(scheme("PLAIN"));
    for period in trust.first.to(trust.last) {
        trust.deliver("PLAIN", period, Some(0));
    }
    assert!(trust.finds("R03").is_some(), "exactly half");
    trust.schemes[1]
        .planned
        .iter_mut()
        .for_each(|plan| plan.0 += 1);
    assert_eq!(trust.finds("R03"), None);
    trust.schemes[1].category = SchemeCategory::NationalTariff;
    assert!(
        trust.finds("R03").is_some(),
        "national items are not local plan"
    );
}

fn owed(period: Period, due: &str) -> [ReferenceFact; 2] {
    let obligation = Obligation {
        org: org("RJ1"),
        dataset: Dataset::Savings,
        from: period,
        until: None,
    };
    let deadline = ReferenceFact::Deadline {
        dataset: Dataset::Savings,
        period,
        due: due.parse().unwrap(),
    };
    [ReferenceFact::Obligation(obligation), deadline]
}

#[test]
fn r03_is_held_back_while_a_return_is_overdue() {
    let mut trust = worth_copying();
    trust.reference.extend(owed(month("2012-07"), "2012-07-20"));
    assert_eq!(
        trust.finds("R03").unwrap().suppressed_because,
        "a return is overdue (R90)"
    );
}

/// Workforce and experience slip in June, and pay delivers `percent` of what is saved.
fn staffing(percent: i64) -> Trust {
    let mut trust = Trust::with_flat_savings()
        .worse("SICKNESS", FAR, &[NOW])
        .worse("FFT_IP", FAR, &[NOW]);
    trust.schemes.push(Scheme {
        pay: true,
        ..scheme("PAY")
    });
    for period in trust.first.to(trust.last) {
        trust.deliver("LOCAL", period, Some((100 - percent) * 1_000));
        trust.deliver("PAY", period, Some(percent * 1_000));
    }
    trust
}

fn severity(finding: Option<Finding>) -> Option<Severity> {
    finding.map(|finding| finding.severity)
}

#[test]
fn r04_asks_which_wards_when_staff_and_experience_slip_under_pay_savings() {
    let finding = staffing(61).finds("R04").unwrap();
    assert_eq!(
        (finding.severity, finding.asked),
        (Severity::Info, vec!["nursing director".to_owned()])
    );
    assert_eq!(
        severity(staffing(60).finds("R04")),
        None,
        "60% is not above 60%"
    );
    assert_eq!(
        severity(staffing(61).worse("SICKNESS", 0.0, &[NOW]).finds("R04")),
        None,
        "one marker"
    );
    assert_eq!(
        severity(
            staffing(61)
                .worse("SICKNESS", 0.0, &[NOW])
                .worse("AE_4H", FAR, &[NOW])
                .finds("R04")
        ),
        None
    );
}

#[test]
fn r04_is_amber_in_the_second_month() {
    let second =
        staffing(61)
            .worse("SICKNESS", FAR, &["2012-05"])
            .worse("FFT_IP", FAR, &["2012-05"]);
    assert_eq!(severity(second.finds("R04")), Some(Severity::Amber));
    let mut young = second;
    young.first = month("2010-10");
    assert_eq!(
        severity(young.finds("R04")),
        Some(Severity::Info),
        "trial baselines stay information"
    );
}

#[test]
fn r04_is_silent_when_pay_savings_are_not_known() {
    let mut trust = staffing(90);
    trust.deliver("PAY", month("2012-05"), None);
    assert_eq!(severity(trust.finds("R04")), None);
}
