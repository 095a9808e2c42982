//! What is promised of every answer: faults that can be acted on, and accepted returns that keep the contract.

use std::collections::BTreeSet;

use qipp_api::draft::{MAX_IDEMPOTENCY_KEY, MAX_NAME, MAX_REMARK};
use qipp_api::error::ApiError;
use qipp_api::proto::events::v1 as wire;
use qipp_domain::KnownAt;
use qipp_domain::validate::{Problem, code_holds_nhs_number, control_character, holds_nhs_number};
use wire::observation::Value;
use wire::r#return::Body;

use crate::world;

/// Most characters of one description: a screen, not a dump of what was sent.
const MAX_DESCRIPTION: usize = 2_000;

/// Faults are told with a stable code, a place and words, in an order that does not change.
pub(crate) fn faults(problems: &[Problem], sent: usize) {
    assert!(!problems.is_empty(), "refused without a reason");
    for problem in problems {
        fault(problem.code, &problem.field, &problem.description);
    }
    assert!(
        problems.len() <= 16 + sent,
        "{} faults in {sent} bytes",
        problems.len()
    );
}

/// One fault, from wherever.
pub(crate) fn fault(code: &str, field: &str, description: &str) {
    let stable = !code.is_empty()
        && code
            .bytes()
            .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
    assert!(stable, "`{code}` is not a code");
    assert!(!field.is_empty(), "{code} names no place");
    let length = description.chars().count();
    assert!(
        (10..=MAX_DESCRIPTION).contains(&length),
        "{code} at {field}: {description}"
    );
}

/// An error of HTTP or gRPC can be read by people and programs, and blames the caller and nobody else.
pub(crate) fn refusal(error: &ApiError, sent: usize) {
    assert!(
        error.code.http() < 500,
        "a stranger's bytes are no fault of ours: {error:?}"
    );
    // A parameter may be called `: x` by who sent it.
    let mut places = error.problems.iter().map(|problem| &*problem.field);
    let named = places.any(|place| !place.is_empty() && error.message.starts_with(place));
    assert!(
        !error.message.is_empty() && (!error.message.starts_with(": ") || named),
        "a place without a name: {}",
        error.message
    );
    for problem in &error.problems {
        fault(&problem.code, &problem.field, &problem.description);
    }
    let said = error.to_json("id").to_string().len();
    assert!(
        said <= 20_000 + 40 * sent,
        "{sent} bytes are answered with {said}"
    );
}

/// An accepted return, as it was written to the log, keeps every promise of the contract.
pub(crate) fn accepted(ret: &wire::Return) {
    let most = |text: &str, most: usize, what: &str| {
        assert!(text.chars().count() <= most, "{what} is too long");
        assert!(!holds_nhs_number(text), "{what} holds an NHS number");
    };
    most(&ret.source, MAX_NAME, "source");
    most(&ret.narrative, MAX_REMARK, "narrative");
    assert_eq!(control_character(&ret.source, false), None);
    assert_eq!(control_character(&ret.narrative, true), None);
    code(&ret.idempotency_key);
    assert!(ret.idempotency_key.chars().count() <= MAX_IDEMPOTENCY_KEY);
    assert_ne!(ret.status(), wire::ReturnStatus::Unspecified);
    assert!(
        ret.period.as_str() <= world::THIS_MONTH,
        "{} is in the future",
        ret.period
    );
    match ret.body.as_ref().unwrap() {
        Body::Quality(quality) => {
            assert!(!quality.observations.is_empty(), "an empty return");
            let mut seen = BTreeSet::new();
            for observation in &quality.observations {
                assert!(
                    seen.insert((&observation.marker, &observation.breakdown)),
                    "twice: {}",
                    observation.marker
                );
                code(&observation.breakdown);
                figure(observation);
            }
        }
        Body::Savings(savings) => {
            let mut seen = BTreeSet::new();
            assert!(!savings.lines.is_empty(), "an empty return");
            for line in &savings.lines {
                assert!(seen.insert(&line.scheme_id), "twice: {}", line.scheme_id);
                code(&line.scheme_id);
                money(line);
            }
        }
    }
}

fn code(text: &str) {
    assert!(!code_holds_nhs_number(text), "{text} holds an NHS number");
    assert_eq!(control_character(text, false), None);
}

fn figure(observation: &wire::Observation) {
    let reference = world::nation().reference(&KnownAt::Latest);
    let marker = observation.marker.parse().unwrap();
    let definition = reference
        .marker(marker, observation.definition_version)
        .expect("an accepted figure follows a definition that there is");
    match observation.value.as_ref().unwrap() {
        Value::Missing(reason) => {
            let reason = wire::Missing::try_from(*reason).unwrap();
            assert!(!matches!(
                reason,
                wire::Missing::Unspecified | wire::Missing::NotSubmitted
            ));
        }
        Value::Measured(measured) => {
            assert_eq!(measured.denominator.is_some(), definition.has_denominator());
            for number in [Some(measured.numerator), measured.denominator]
                .into_iter()
                .flatten()
            {
                assert!(number.is_finite() && (0.0..=1e12).contains(&number));
            }
            if definition.proportion {
                assert!(measured.numerator <= measured.denominator.unwrap());
            }
        }
    }
}

fn money(line: &wire::SavingsLine) {
    let amounts = [
        line.plan_pence,
        line.actual_pence,
        line.actual_ytd_pence,
        line.forecast_pence,
        line.recurrent_pence,
    ];
    for amount in amounts.into_iter().flatten() {
        assert!(
            amount.unsigned_abs() <= qipp_domain::quantity::MAX_PENCE.unsigned_abs(),
            "{amount}"
        );
    }
    let delivered = [
        line.actual_pence,
        line.actual_ytd_pence,
        line.recurrent_pence,
    ];
    let reason = line.missing() != wire::Missing::Unspecified;
    assert_ne!(
        reason,
        delivered.iter().any(Option::is_some),
        "a figure or a reason: {line:?}"
    );
}
