//! Validation: every fault by its code and its pointer, all at once.
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
use qipp_domain::marker::RollUp;
use qipp_domain::quantity::MAX_PENCE;
use qipp_domain::reference::ReferenceFact;
use qipp_domain::returns::{
    Body, Measured, Missing, Observation, Precondition, SavingsLine, Status, Value,
};
use qipp_domain::validate::{MAX_VALUES, Problem, ReturnDraft};
use qipp_domain::{Pence, Quantity};

// Passing.

#[test]
fn a_valid_return_passes_unchanged_but_for_order_and_the_versions_in_force() {
    let in_force = |mut o: Observation| {
        o.definition_version = 0;
        o
    };
    let sent = ReturnDraft {
        source: "march.csv".to_owned(),
        narrative: "Norovirus on two wards".to_owned(),
        precondition: Precondition {
            idempotency_key: "k1".to_owned(),
            expected_revision: Some(0),
        },
        ..of_quality(vec![
            in_force(amount("WTE", 300)),
            no_figure("FALLS", Missing::NotCollected),
            in_force(figure("AE_4H", 95, 100)),
        ])
    };
    let (ret, warnings) = validated(&world(), sent.clone()).unwrap();
    assert!(warnings.is_empty());
    assert_eq!(
        (ret.org, ret.period, ret.precondition),
        (org("RA1"), period("2012-03"), sent.precondition)
    );
    assert_eq!(
        (
            ret.content.status,
            &ret.content.source,
            &ret.content.narrative
        ),
        (Status::Provisional, &sent.source, &sent.narrative)
    );
    let ordered = vec![
        figure("AE_4H", 95, 100),
        no_figure("FALLS", Missing::NotCollected),
        amount("WTE", 300),
    ];
    assert_eq!(ret.content.body, Body::Quality(ordered.into()));
}

#[test]
fn valid_lines_pass_in_the_order_of_their_schemes() {
    let (ret, warnings) = validated(
        &world(),
        of_savings(vec![in_month("B", -5), missing_line("A")]),
    )
    .unwrap();
    assert!(warnings.is_empty());
    assert_eq!(
        ret.content.body,
        Body::Savings(vec![missing_line("A"), in_month("B", -5)])
    );
}

#[test]
fn the_version_in_force_is_that_of_the_period_and_not_the_latest() {
    let mut world = world();
    let mut first = definition("AE_4H", RollUp::Parts);
    first.valid_until = Some(period("2012-04"));
    let mut second = first.clone();
    (second.version, second.valid_from, second.valid_until) = (2, Some(period("2012-04")), None);
    world.reference(vec![
        ReferenceFact::Marker(first),
        ReferenceFact::Marker(second),
    ]);
    let mut sent = figure("AE_4H", 95, 100);
    sent.definition_version = 0;
    let (ret, _) = validated(&world, of_quality(vec![sent])).unwrap();
    assert_eq!(
        ret.content.body,
        Body::Quality(vec![figure("AE_4H", 95, 100)].into())
    );
    sent.definition_version = 2;
    assert_refused(
        &world,
        of_quality(vec![sent]),
        &[("MARKER_NOT_IN_USE", &at(OBSERVATIONS, "[0].marker"))],
    );
}

// Who and when.

#[test]
fn an_unknown_organisation_is_refused() {
    let draft = ReturnDraft {
        org: Some(org("XX9")),
        ..of_quality(good())
    };
    assert_refused(
        &world(),
        draft,
        &[("UNKNOWN_ORGANISATION", "return.org_code")],
    );
    let unread = ReturnDraft {
        org: Some(org("XX9")),
        period: None,
        ..of_quality(good())
    };
    assert_refused(
        &world(),
        unread,
        &[("UNKNOWN_ORGANISATION", "return.org_code")],
    );
}

#[test]
fn a_closed_organisation_is_refused_and_its_successor_named() {
    let mut world = world();
    world.reference(vec![
        closed("RA1", "2012-03-01"),
        succeeded("RA1", "RB1", "2012-03-01"),
    ]);
    let faults = validated(&world, of_quality(good())).unwrap_err();
    assert_eq!(
        listed(&faults),
        [("ORGANISATION_CLOSED", "return.org_code")]
    );
    assert!(
        faults[0].description.contains("RB1"),
        "{}",
        faults[0].description
    );
    // It operated on the first day of March: the month is still its own.
    world.reference(vec![closed("RA1", "2012-03-02")]);
    assert!(validated(&world, of_quality(good())).is_ok());
}

#[test]
fn an_organisation_that_was_not_open_yet_is_refused() {
    let mut world = world();
    world.reference(vec![opened("RA1", "trust", "2012-04-01")]);
    assert_refused(
        &world,
        of_quality(good()),
        &[("ORGANISATION_NOT_OPEN", "return.org_code")],
    );
    world.reference(vec![opened("RA1", "trust", "2012-03-31")]);
    assert!(validated(&world, of_quality(good())).is_ok());
}

#[test]
fn a_month_that_has_not_begun_is_refused_and_one_that_is_not_over_is_odd() {
    let of = |month| ReturnDraft {
        period: Some(period(month)),
        ..of_quality(good())
    };
    assert_refused(
        &world(),
        of("2012-05"),
        &[("FUTURE_PERIOD", "return.period")],
    );
    assert_warned(
        &world(),
        of("2012-04"),
        &[("PERIOD_NOT_OVER", "return.period")],
    );
    assert_warned(&world(), of("2012-03"), &[]);
}

// Observations.

#[test]
fn an_unknown_marker_is_refused() {
    assert_refused(
        &world(),
        of_quality(vec![amount("NO_SUCH", 1)]),
        &[("UNKNOWN_MARKER", &at(OBSERVATIONS, "[0].marker"))],
    );
}

#[test]
fn an_unknown_version_is_refused() {
    let mut sent = figure("AE_4H", 95, 100);
    sent.definition_version = 7;
    let pointer = at(OBSERVATIONS, "[0].definition_version");
    assert_refused(
        &world(),
        of_quality(vec![sent]),
        &[("UNKNOWN_DEFINITION_VERSION", &pointer)],
    );
}

#[test]
fn a_retired_marker_is_refused_and_what_followed_it_named() {
    let mut world = world();
    let mut retired = definition("WTE", RollUp::Sum);
    (retired.valid_until, retired.successor) = (Some(period("2012-03")), "WTE_2".to_owned());
    world.reference(vec![ReferenceFact::Marker(retired)]);
    for version in [0, 1] {
        let mut sent = amount("WTE", 300);
        sent.definition_version = version;
        let faults = validated(&world, of_quality(vec![sent])).unwrap_err();
        assert_eq!(
            listed(&faults),
            [("MARKER_NOT_IN_USE", at(OBSERVATIONS, "[0].marker").as_str())]
        );
        assert!(faults[0].description.contains("WTE_2"));
    }
    let february = ReturnDraft {
        period: Some(period("2012-02")),
        ..of_quality(vec![amount("WTE", 300)])
    };
    assert!(validated(&world, february).is_ok());
}

#[test]
fn a_marker_that_is_given_twice_is_refused_and_its_parts_are_not_it() {
    let twice = of_quality(vec![
        figure("AE_4H", 95, 100),
        part("AE_4H", "tfc:100", 95, 100),
        figure("AE_4H", 96, 100),
    ]);
    assert_refused(
        &world(),
        twice,
        &[("DUPLICATE_MARKER", &at(OBSERVATIONS, "[2].marker"))],
    );
}

#[test]
fn a_numerator_above_its_denominator_is_refused_for_a_proportion_only() {
    let pointer = at(OBSERVATIONS, "[1].measured.numerator");
    let sent = of_quality(vec![figure("FALLS", 101, 100), figure("AE_4H", 101, 100)]);
    assert_refused(&world(), sent, &[("NUMERATOR_ABOVE_DENOMINATOR", &pointer)]);
    assert!(validated(&world(), of_quality(vec![figure("AE_4H", 100, 100)])).is_ok());
    assert!(validated(&world(), of_quality(vec![figure("AE_4H", 0, 0)])).is_ok());
}

#[test]
fn a_denominator_that_is_missing_or_not_expected_is_refused() {
    let sent = of_quality(vec![amount("AE_4H", 95), figure("WTE", 95, 100)]);
    let pointers = [
        at(OBSERVATIONS, "[0].measured.denominator"),
        at(OBSERVATIONS, "[1].measured.denominator"),
    ];
    assert_refused(
        &world(),
        sent,
        &[
            ("DENOMINATOR_MISSING", &pointers[0]),
            ("DENOMINATOR_NOT_EXPECTED", &pointers[1]),
        ],
    );
}

#[test]
fn a_return_that_says_nothing_is_refused() {
    assert_refused(
        &world(),
        of_quality(vec![]),
        &[("EMPTY_RETURN", OBSERVATIONS)],
    );
    assert_refused(&world(), of_savings(vec![]), &[("EMPTY_RETURN", LINES)]);
    // Also when there are other faults; but not when what it said could not be read.
    let elsewhere = ReturnDraft {
        org: Some(org("XX9")),
        ..of_quality(vec![])
    };
    assert_refused(
        &world(),
        elsewhere,
        &[
            ("UNKNOWN_ORGANISATION", "return.org_code"),
            ("EMPTY_RETURN", OBSERVATIONS),
        ],
    );
    let pointer = at(OBSERVATIONS, "[0].marker");
    let unread = ReturnDraft {
        problems: vec![Problem::new(
            "BAD_MARKER",
            pointer.clone(),
            "it is not a code",
        )],
        ..of_quality(vec![])
    };
    assert_refused(&world(), unread, &[("BAD_MARKER", &pointer)]);
}

#[test]
fn more_values_than_a_return_may_hold_are_refused() {
    let observations = (0..=MAX_VALUES)
        .map(|i| part("AE_4H", &format!("ward:{i}"), 0, 1))
        .collect();
    assert_refused(
        &world(),
        of_quality(observations),
        &[("TOO_MANY_VALUES", OBSERVATIONS)],
    );
}

#[test]
fn a_draft_that_lacks_something_is_never_refused_without_a_reason() {
    let fields = [
        "return.org_code",
        "return.period",
        "return.status",
        "return.body",
    ];
    let expected: Vec<_> = fields.iter().map(|field| ("REQUIRED", *field)).collect();
    let mut faults = validated(&world(), ReturnDraft::default()).unwrap_err();
    faults.sort_by_key(|p| fields.iter().position(|f| *f == p.field));
    assert_eq!(listed(&faults), expected);
}

// Text.

#[test]
fn text_in_the_shape_of_an_nhs_number_is_refused_wherever_it_stands() {
    let sent = ReturnDraft {
        source: "letter of 943 476 5919".to_owned(),
        narrative: "patient 9434765919".to_owned(),
        ..of_quality(good())
    };
    assert_refused(
        &world(),
        sent,
        &[
            ("NHS_NUMBER", "return.narrative"),
            ("NHS_NUMBER", "return.source"),
        ],
    );
}

#[test]
fn identifiers_in_the_shape_of_an_nhs_number_are_refused_too() {
    let mut sent = of_quality(vec![part("AE_4H", "ward:9434765919", 1, 2)]);
    sent.precondition.idempotency_key = "RA1-943-476-5919".to_owned();
    assert_refused(
        &world(),
        sent,
        &[
            ("NHS_NUMBER", "return.idempotency_key"),
            ("NHS_NUMBER", &at(OBSERVATIONS, "[0].breakdown")),
        ],
    );
    assert_refused(
        &world(),
        of_savings(vec![in_month("S9434765919", 1)]),
        &[
            ("NHS_NUMBER", &at(LINES, "[0].scheme_id")),
            ("UNKNOWN_SCHEME", &at(LINES, "[0].scheme_id")),
        ],
    );
}

#[test]
fn characters_that_hide_something_are_refused() {
    let mut sent = ReturnDraft {
        source: "a\tb".to_owned(),
        narrative: "seen\u{202e}neddih".to_owned(),
        ..of_quality(good())
    };
    sent.precondition.idempotency_key = "k\0".to_owned();
    assert_refused(
        &world(),
        sent,
        &[
            ("CONTROL_CHARACTER", "return.idempotency_key"),
            ("CONTROL_CHARACTER", "return.narrative"),
            ("CONTROL_CHARACTER", "return.source"),
        ],
    );
    let lines = ReturnDraft {
        narrative: "one\r\n\ttwo".to_owned(),
        ..of_quality(good())
    };
    assert!(validated(&world(), lines).is_ok());
}

// Lines.

#[test]
fn an_unknown_scheme_is_refused() {
    assert_refused(
        &world(),
        of_savings(vec![in_month("Z", 1)]),
        &[("UNKNOWN_SCHEME", &at(LINES, "[0].scheme_id"))],
    );
    let stranger = ReturnDraft {
        org: Some(org("RA2")),
        ..of_savings(vec![in_month("A", 1)])
    };
    assert_refused(
        &world(),
        stranger,
        &[("UNKNOWN_SCHEME", &at(LINES, "[0].scheme_id"))],
    );
}

#[test]
fn a_scheme_that_is_given_twice_is_refused() {
    let pointer = at(LINES, "[1].scheme_id");
    assert_refused(
        &world(),
        of_savings(vec![in_month("A", 1), in_month("A", 1)]),
        &[("DUPLICATE_SCHEME", &pointer)],
    );
}

#[test]
fn a_line_has_a_figure_or_a_reason_and_not_both() {
    let plan_only = SavingsLine {
        plan: Some(Pence(5)),
        ..line("A")
    };
    assert_refused(
        &world(),
        of_savings(vec![plan_only]),
        &[("NO_FIGURE", &at(LINES, "[0]"))],
    );
    let reason = Some(Missing::WithheldForQuality);
    let both = [
        SavingsLine {
            missing: reason,
            ..in_month("A", 1)
        },
        SavingsLine {
            missing: reason,
            ..to_date("A", 1)
        },
        SavingsLine {
            missing: reason,
            recurrent: Some(Pence(1)),
            ..line("A")
        },
    ];
    for sent in both {
        assert_refused(
            &world(),
            of_savings(vec![sent]),
            &[("FIGURE_AND_MISSING", &at(LINES, "[0].missing"))],
        );
    }
    let planned = SavingsLine {
        missing: reason,
        plan: Some(Pence(1)),
        ..line("A")
    };
    assert!(validated(&world(), of_savings(vec![planned])).is_ok());
}

#[test]
fn an_amount_beyond_every_budget_is_refused_in_each_of_its_fields() {
    let far = Some(Pence(MAX_PENCE + 1));
    let sent = SavingsLine {
        plan: far,
        actual: far,
        actual_ytd: Some(Pence(i64::MIN)),
        forecast: far,
        recurrent: far,
        ..line("A")
    };
    let faults = validated(&world(), of_savings(vec![sent])).unwrap_err();
    let fields = [
        "actual_pence",
        "actual_ytd_pence",
        "forecast_pence",
        "plan_pence",
        "recurrent_pence",
    ];
    let expected: Vec<String> = fields
        .iter()
        .map(|name| format!("{LINES}[0].{name}"))
        .collect();
    assert_eq!(
        faults.iter().map(|p| p.field.as_str()).collect::<Vec<_>>(),
        expected
    );
    assert!(faults.iter().all(|p| p.code == "AMOUNT_TOO_LARGE"));
    assert!(validated(&world(), of_savings(vec![in_month("A", -MAX_PENCE)])).is_ok());
}

// All at once.

#[test]
fn all_faults_come_at_once_in_the_order_of_their_pointers() {
    let mut observations = vec![amount("NO_SUCH", 1)];
    observations.extend((0..8).map(|i| part("FALLS", &format!("ward:{i}"), 1, 1)));
    observations.extend([
        amount("FALLS", 1),
        figure("AE_4H", 2, 1),
        figure("AE_4H", 2, 1),
        figure("WTE", 1, 1),
    ]);
    let sent = ReturnDraft {
        org: Some(org("XX9")),
        period: Some(period("2013-01")),
        narrative: "9434765919".to_owned(),
        problems: vec![Problem::new(
            "UNSPECIFIED",
            "return.status",
            "it is not stated",
        )],
        status: None,
        ..of_quality(observations)
    };
    let of = |rest: &str| at(OBSERVATIONS, rest);
    assert_refused(
        &world(),
        sent,
        &[
            ("NHS_NUMBER", "return.narrative"),
            ("UNKNOWN_ORGANISATION", "return.org_code"),
            ("FUTURE_PERIOD", "return.period"),
            ("UNKNOWN_MARKER", &of("[0].marker")),
            ("DENOMINATOR_MISSING", &of("[9].measured.denominator")),
            (
                "NUMERATOR_ABOVE_DENOMINATOR",
                &of("[10].measured.numerator"),
            ),
            ("DUPLICATE_MARKER", &of("[11].marker")),
            (
                "NUMERATOR_ABOVE_DENOMINATOR",
                &of("[11].measured.numerator"),
            ),
            ("DENOMINATOR_NOT_EXPECTED", &of("[12].measured.denominator")),
            ("UNSPECIFIED", "return.status"),
        ],
    );
}

#[test]
fn figures_are_checked_as_they_were_sent_to_the_thousandth() {
    let mut sent = figure("AE_4H", 0, 0);
    sent.value = Value::Measured(Measured {
        numerator: Quantity::from_thousandths(1_001),
        denominator: Some(Quantity::from_count(1)),
    });
    let pointer = at(OBSERVATIONS, "[0].measured.numerator");
    assert_refused(
        &world(),
        of_quality(vec![sent]),
        &[("NUMERATOR_ABOVE_DENOMINATOR", &pointer)],
    );
}
