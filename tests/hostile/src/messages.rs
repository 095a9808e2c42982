//! Protobuf as it comes over gRPC: requests into drafts, drafts through validation, accepted facts into the log and the fold.

use prost::Message as _;
use prost_reflect::{DynamicMessage, ReflectMessage as _};
use qipp_api::proto::events::v1 as wire;
use qipp_api::proto::intake::v1::{SubmitReturnRequest, SubmitSchemeRequest};
use qipp_api::proto::registry::v1::RecordFactsRequest;
use qipp_api::{cut, draft, facts, json, read, view};
use qipp_domain::KnownAt;
use qipp_domain::nation::{Facts, ReturnFact};
use qipp_domain::validate::{Against, Passed, Problem, validate_return, validate_scheme};

use crate::{promises, world};

/// `SubmitReturn`.
pub(crate) fn return_message(data: &[u8]) {
    if let Ok(request) = SubmitReturnRequest::decode(data)
        && let Some(ret) = &request.r#return
    {
        check_return(ret);
    }
}

/// A return is refused with all that is wrong, or comes out of the log as it went in and keeps every promise.
pub(crate) fn check_return(ret: &wire::Return) {
    let sent = ret.encoded_len();
    let draft = draft::return_draft(ret);
    assert_eq!(draft::return_draft(ret), draft, "reading is deterministic");
    let told_by_form = draft.problems.clone();
    let validated = against(ret, |against| validate_return(draft.clone(), against));
    assert_eq!(
        against(ret, |against| validate_return(draft.clone(), against)),
        validated,
        "validation is deterministic"
    );
    match validated {
        Err(problems) => {
            promises::faults(&problems, sent);
            assert!(problems.iter().all(|p| p.field.starts_with("return")));
            for told in &told_by_form {
                assert!(
                    problems.contains(told),
                    "a fault of form was dropped: {told:?}"
                );
            }
        }
        Ok((accepted, warnings)) => {
            assert!(told_by_form.is_empty(), "accepted with faults");
            if !warnings.is_empty() {
                promises::faults(&warnings, sent);
            }
            let org = accepted.org.to_string();
            let written =
                to_log_and_back(&org, &Facts::Returns(vec![ReturnFact::Return(accepted)]));
            promises::accepted(&written_return(&written));
        }
    }
}

/// What validation finds in a return.
pub(crate) fn faults_of(ret: &wire::Return) -> Vec<Problem> {
    let draft = draft::return_draft(ret);
    against(ret, |against| validate_return(draft, against))
        .err()
        .unwrap_or_default()
}

fn against<T>(ret: &wire::Return, check: impl FnOnce(&Against<'_>) -> T) -> T {
    let nation = world::nation();
    let reference = nation.reference(&KnownAt::Latest);
    check(&Against {
        reference: &reference,
        ledger: ret.org_code.parse().ok().and_then(|org| nation.ledger(org)),
        today: world::today(),
    })
}

/// What is appended is read back as it was, has one form, and can be folded. Gives the payload.
pub(crate) fn to_log_and_back(key: &str, facts: &Facts) -> Vec<u8> {
    let meta = facts::Meta {
        cause_id: "cause".into(),
        principal: "fuzz".into(),
        request_id: "id".into(),
        writer_epoch: 0,
    };
    let payload = facts::encode(facts, meta.clone());
    let (read_meta, read) =
        facts::decode(key.as_bytes(), payload.clone()).expect("what was written is read");
    assert_eq!(
        (&read_meta, &read),
        (&meta, facts),
        "the log gives back what it took"
    );
    assert_eq!(facts::encode(&read, meta), payload, "one fact has one form");
    let mut nation = world::nation().clone();
    nation.apply(world::next(), "fuzz", read);
    // The views that a fold has to survive: the state, its checkpoint and its digest.
    for key in nation.keys() {
        assert!(nation.save(key).is_some());
    }
    payload.to_vec()
}

fn written_return(payload: &[u8]) -> wire::Return {
    let envelope = wire::Envelope::decode(payload).unwrap();
    let Some(wire::envelope::Body::Returns(returns)) = envelope.body else {
        panic!("returns were written");
    };
    match returns.facts.into_iter().next().unwrap().fact {
        Some(wire::return_fact::Fact::ReturnReceived(received)) => received.r#return.unwrap(),
        // Quality returns are stored packed: what they say is read back by the reader of the log.
        Some(wire::return_fact::Fact::PackedReturnReceived(packed)) => {
            let read = facts::decode(packed.org_code.as_bytes(), payload);
            let (_, Facts::Returns(mut returns)) = read.expect("what was written is read") else {
                panic!("returns were written");
            };
            let Some(ReturnFact::Return(ret)) = returns.pop() else {
                panic!("a return was written");
            };
            view::return_to_proto(ret.org, ret.period, &ret.content, &ret.precondition)
        }
        other => panic!("a return was written, not {other:?}"),
    }
}

/// `SubmitScheme`.
pub(crate) fn scheme_message(data: &[u8]) {
    if let Ok(request) = SubmitSchemeRequest::decode(data)
        && let Some(scheme) = &request.scheme
    {
        check_scheme(scheme);
    }
}

pub(crate) fn check_scheme(scheme: &wire::Scheme) {
    let draft = draft::scheme_draft(scheme);
    assert_eq!(
        draft::scheme_draft(scheme),
        draft,
        "reading is deterministic"
    );
    let reference = world::nation().reference(&KnownAt::Latest);
    let against = Against {
        reference: &reference,
        ledger: None,
        today: world::today(),
    };
    let validated: Result<Passed<_>, Vec<Problem>> = validate_scheme(draft, &against);
    match validated {
        Err(problems) => promises::faults(&problems, scheme.encoded_len()),
        Ok(((scheme, precondition), _)) => {
            let org = scheme.org.to_string();
            let fact = ReturnFact::Scheme {
                scheme,
                precondition,
            };
            to_log_and_back(&org, &Facts::Returns(vec![fact]));
        }
    }
}

/// `RecordFacts`.
pub(crate) fn reference_message(data: &[u8]) {
    if let Ok(request) = RecordFactsRequest::decode(data) {
        check_reference(&request);
    }
}

pub(crate) fn check_reference(request: &RecordFactsRequest) {
    let mut good = Vec::new();
    for (index, fact) in request.facts.iter().enumerate().take(64) {
        match draft::reference_fact(fact, index) {
            Ok(fact) => good.push(fact),
            Err(problems) => {
                promises::faults(&problems, fact.encoded_len());
                let place = format!("facts[{index}]");
                assert!(problems.iter().all(|p| p.field.starts_with(&place)));
            }
        }
    }
    if !good.is_empty() {
        let facts = Facts::Reference(good);
        to_log_and_back(&facts::record_key(&facts), &facts);
    }
}

/// Any request of the contract, by the number in its first byte: its JSON says the same.
pub(crate) fn any_message(data: &[u8]) {
    let Some((&which, data)) = data.split_first() else {
        return;
    };
    let inputs: Vec<_> = json::pool()
        .services()
        .flat_map(|service| {
            service
                .methods()
                .map(|method| method.input())
                .collect::<Vec<_>>()
        })
        .collect();
    let input = &inputs[usize::from(which) % inputs.len()];
    let Ok(message) = DynamicMessage::decode(input.clone(), data) else {
        return;
    };
    // Unknown fields are none of the contract and have no form in JSON.
    let mut known = DynamicMessage::new(message.descriptor());
    for (field, value) in message.fields() {
        known.set_field(&field, value.clone());
    }
    let Ok(text) = qipp_gateway::requests::answer(input.full_name(), data) else {
        return;
    };
    let Ok(back) = json::from_json_text(input.full_name(), &text) else {
        panic!(
            "what was written as JSON is not read: {}",
            String::from_utf8_lossy(&text)
        );
    };
    let again = qipp_gateway::requests::answer(input.full_name(), &back).unwrap();
    assert_eq!(
        String::from_utf8_lossy(&again),
        String::from_utf8_lossy(&text),
        "JSON says the same"
    );
}

/// Cuts, moments and times of a read.
pub(crate) fn read_options(data: &[u8]) {
    let Ok(options) = wire::ReadOptions::decode(data) else {
        return;
    };
    match read::read_options(Some(&options)) {
        Err(error) => promises::refusal(&error, data.len()),
        Ok(read) => {
            let again = wire::ReadOptions {
                min_cut: read.min_cut.as_ref().map(cut::cut_to_proto),
                known_at: cut::known_at_to_proto(&read.known_at),
            };
            let back = read::read_options(Some(&again));
            assert_eq!(back.as_ref(), Ok(&read), "a read comes back as it was");
        }
    }
}
