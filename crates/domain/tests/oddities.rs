//! What is odd about a return is said and stops nothing; and the faults of schemes.
#![allow(
    clippy::unwrap_used,
    reason = "tests and their helpers may fail loudly"
)]

#[allow(dead_code, reason = "each test file uses its own part of the builder")]
#[path = "fixture/drafts.rs"]
mod drafts;
#[allow(dead_code, reason = "each test file uses its own part of the builder")]
mod fixture;

use drafts::*;
use fixture::*;
use qipp_domain::Pence;
use qipp_domain::quantity::MAX_PENCE;
use qipp_domain::returns::{Missing, SavingsLine, Value};
use qipp_domain::scheme::Scheme;
use qipp_domain::validate::{
    Against, Problem, ReturnDraft, SchemeDraft, SchemeParts, validate_scheme,
};

#[test]
fn parts_that_do_not_make_the_whole_are_odd_dimension_by_dimension() {
    let whole = |d| figure("FALLS", 1, d);
    let by_ward = || {
        [
            part("FALLS", "ward:1", 1, 400),
            part("FALLS", "ward:2", 0, 600),
        ]
    };
    let by_age = || {
        [
            part("FALLS", "age:young", 1, 500),
            part("FALLS", "age:old", 0, 500),
        ]
    };
    let sent = |d| of_quality([vec![whole(d)], by_ward().to_vec(), by_age().to_vec()].concat());
    assert_warned(&world(), sent(1_000), &[]);
    assert_warned(&world(), sent(1_005), &[]);
    let pointer = at(OBSERVATIONS, "[0]");
    let odd = ("PARTS_DIFFER_FROM_WHOLE", pointer.as_str());
    assert_warned(&world(), sent(1_006), &[odd, odd]);
    let mut suppressed = vec![
        whole(2_000),
        part("FALLS", "ward:1", 1, 400),
        part("FALLS", "ward:2", 0, 1),
    ];
    suppressed[2].value = Value::Missing(Missing::Suppressed);
    assert_warned(&world(), of_quality(suppressed), &[]);
}

#[test]
fn a_jump_of_a_denominator_is_odd() {
    let mut world = world();
    world.quality(
        "RA1",
        "2012-02",
        vec![figure("AE_4H", 900, 1_000), figure("FALLS", 1, 20)],
    );
    let sent = |d| of_quality(vec![figure("FALLS", 1, 100), figure("AE_4H", 10, d)]);
    let pointer = at(OBSERVATIONS, "[1]");
    for (denominator, odd) in [
        (1_000, false),
        (1_400, false),
        (1_430, true),
        (720, false),
        (690, true),
        (10, true),
    ] {
        let expected: &[_] = if odd {
            &[("DENOMINATOR_JUMP", pointer.as_str())]
        } else {
            &[]
        };
        assert_warned(&world, sent(denominator), expected);
    }
    world.quality("RA1", "2012-02", vec![figure("AE_4H", 0, 0)]);
    assert_warned(&world, sent(1_000), &[("DENOMINATOR_JUMP", &pointer)]);
}

#[test]
fn last_months_return_sent_again_is_odd() {
    let mut world = world();
    let held = vec![figure("AE_4H", 900, 1_000), figure("FALLS", 7, 5_000)];
    world.quality("RA1", "2012-02", held.clone());
    let mut sent = held;
    assert_warned(
        &world,
        of_quality(sent.clone()),
        &[("COPY_OF_LAST_MONTH", OBSERVATIONS)],
    );
    sent[1] = figure("FALLS", 8, 5_000);
    assert_warned(&world, of_quality(sent), &[]);
    // Small numbers repeat by themselves.
    world.quality("RA1", "2012-02", vec![figure("AE_4H", 1, 150)]);
    assert_warned(&world, of_quality(vec![figure("AE_4H", 1, 150)]), &[]);
}

#[test]
fn a_year_to_date_that_falls_is_odd_but_not_in_april() {
    let mut world = world();
    world.savings("RA1", "2012-02", vec![to_date("A", 1_000)]);
    world.savings("RA1", "2012-03", vec![to_date("A", 1_200)]);
    // March is restated: it stands against February and not against what March said before.
    let pointer = at(LINES, "[0].actual_ytd_pence");
    assert_warned(
        &world,
        of_savings(vec![to_date("A", 999)]),
        &[("YEAR_TO_DATE_FALLS", &pointer)],
    );
    assert_warned(&world, of_savings(vec![to_date("A", 1_000)]), &[]);
    let april = ReturnDraft {
        period: Some(period("2012-04")),
        ..of_savings(vec![to_date("A", 1)])
    };
    assert_warned(&world, april, &[("PERIOD_NOT_OVER", "return.period")]);
}

#[test]
fn a_month_and_a_year_that_disagree_are_odd() {
    let mut world = world();
    world.savings("RA1", "2012-02", vec![to_date("A", 1_000)]);
    let sent = |month, ytd| {
        of_savings(vec![SavingsLine {
            actual: Some(Pence(month)),
            ..to_date("A", ytd)
        }])
    };
    let pointer = at(LINES, "[0].actual_ytd_pence");
    assert_warned(&world, sent(50, 1_050), &[]);
    assert_warned(
        &world,
        sent(50, 1_051),
        &[("MONTH_AND_YEAR_DISAGREE", &pointer)],
    );
}

#[test]
fn pounds_after_pence_are_odd() {
    let mut world = world();
    world.savings("RA1", "2012-02", vec![in_month("A", 1_000_000)]);
    let pointer = at(LINES, "[0].actual_pence");
    let odd: &[_] = &[("UNIT_LOOKS_WRONG", pointer.as_str())];
    for (amount, expected) in [
        (1_040_000_000, odd),
        (1_000, odd),
        (970, odd),
        (900, &[]),
        (10_000, &[]),
        (1_200_000, &[]),
        (0, &[]),
    ] {
        assert_warned(&world, of_savings(vec![in_month("A", amount)]), expected);
    }
}

// Schemes.

fn scheme_result(sent: Option<Scheme>, owner: &str) -> Result<Vec<Problem>, Vec<Problem>> {
    let world = world();
    let reference = world.known();
    let draft = SchemeDraft {
        scheme: sent,
        org: Some(org(owner)),
        ..SchemeDraft::default()
    };
    let against = Against {
        reference: &reference,
        ledger: None,
        today: day("2012-04-20"),
    };
    validate_scheme(draft, &against).map(|(_, warnings)| warnings)
}

fn scheme_faults(sent: Scheme) -> Vec<Problem> {
    scheme_result(Some(sent), "RA1").unwrap_err()
}

#[test]
fn a_part_that_could_not_be_read_hides_no_fault_of_the_others() {
    let world = world();
    let reference = world.known();
    let mut draft = SchemeDraft {
        scheme: None,
        parts: Some(SchemeParts {
            title: "for 943 476 5919".to_owned(),
            clinical_lead: "\u{1b}[1m".to_owned(),
            linked_markers: vec![(1, marker("NO_SUCH"))],
            planned: vec![Pence(MAX_PENCE + 1)],
            ..SchemeParts::default()
        }),
        org: None,
        problems: vec![Problem::new("BAD_PERIOD", "scheme.start", "not a month")],
        ..SchemeDraft::default()
    };
    draft.precondition.idempotency_key = "9434765919".to_owned();
    let against = Against {
        reference: &reference,
        ledger: None,
        today: day("2012-04-20"),
    };
    let expected = [
        ("CONTROL_CHARACTER", "scheme.clinical_lead"),
        ("NHS_NUMBER", "scheme.idempotency_key"),
        ("UNKNOWN_MARKER", "scheme.linked_markers[1].marker"),
        ("AMOUNT_TOO_LARGE", "scheme.planned_pence[0]"),
        ("BAD_PERIOD", "scheme.start"),
        ("NHS_NUMBER", "scheme.title"),
    ];
    let faults = validate_scheme(draft, &against).unwrap_err();
    assert_eq!(listed(&faults), expected);
}

#[test]
fn all_faults_of_a_scheme_come_at_once() {
    let mut sent = scheme("RA1", "A", "2012-04", &[1, MAX_PENCE + 1]);
    sent.title = " ".to_owned();
    sent.full_year_effect = Pence(-MAX_PENCE - 1);
    sent.ended = Some(period("2012-03"));
    sent.linked_markers[0].marker = marker("NO_SUCH");
    let faults = scheme_result(Some(sent), "XX9").unwrap_err();
    let expected = [
        ("ENDS_BEFORE_START", "scheme.ended"),
        ("AMOUNT_TOO_LARGE", "scheme.full_year_effect_pence"),
        ("UNKNOWN_MARKER", "scheme.linked_markers[0].marker"),
        ("UNKNOWN_ORGANISATION", "scheme.org_code"),
        ("AMOUNT_TOO_LARGE", "scheme.planned_pence[1]"),
        ("TITLE_MISSING", "scheme.title"),
    ];
    assert_eq!(listed(&faults), expected);
}

#[test]
fn a_plan_has_one_to_sixty_months() {
    for (months, fits) in [(0, false), (1, true), (60, true), (61, false)] {
        let result = scheme_result(Some(scheme("RA1", "A", "2012-04", &vec![1; months])), "RA1");
        assert_eq!(result.is_ok(), fits, "{months} months");
        if let Err(faults) = result {
            assert_eq!(listed(&faults), [("PLAN_LENGTH", "scheme.planned_pence")]);
        }
    }
}

#[test]
fn a_scheme_without_a_linked_marker_is_odd() {
    let mut sent = scheme("RA1", "A", "2012-04", &[1]);
    assert_eq!(scheme_result(Some(sent.clone()), "RA1"), Ok(vec![]));
    sent.linked_markers.clear();
    let warnings = scheme_result(Some(sent), "RA1").unwrap();
    assert_eq!(
        listed(&warnings),
        [("NO_LINKED_MARKER", "scheme.linked_markers")]
    );
    assert_eq!(
        listed(&scheme_result(None, "RA1").unwrap_err()),
        [("REQUIRED", "scheme")]
    );
}

#[test]
fn no_text_of_a_scheme_may_hold_an_nhs_number() {
    let mut sent = scheme("RA1", "A", "2012-04", &[1]);
    sent.title = "For 943-476-5919".to_owned();
    sent.clinical_lead = "Dr 9434765919".to_owned();
    sent.milestones[0].title = "Discharge 9434765919".to_owned();
    let pointers = [
        "scheme.clinical_lead",
        "scheme.milestones[0].title",
        "scheme.title",
    ];
    assert_eq!(
        listed(&scheme_faults(sent)),
        pointers.map(|field| ("NHS_NUMBER", field))
    );
}
