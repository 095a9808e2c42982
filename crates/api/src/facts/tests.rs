use proptest::prelude::*;

use super::strategies::facts;
use super::*;

fn meta() -> Meta {
    Meta {
        cause_id: "cause".into(),
        principal: "rj1".into(),
        request_id: "req".into(),
        writer_epoch: 7,
    }
}

fn decoded_field(key: &str, body: Body) -> String {
    let envelope = wire::Envelope {
        version: 1,
        body: Some(body),
        ..Default::default()
    };
    match decode(key.as_bytes(), &*envelope.encode_to_vec()).unwrap_err() {
        DecodeError::Field { field, .. } => field,
        other => panic!("{other}"),
    }
}

fn returns(fact: wire::return_fact::Fact) -> Body {
    Body::Returns(wire::ReturnFacts {
        facts: vec![wire::ReturnFact { fact: Some(fact) }],
    })
}

#[test]
fn a_version_that_is_not_known_is_refused_by_its_number() {
    let envelope = wire::Envelope {
        version: 2,
        ..Default::default()
    };
    assert_eq!(
        decode(b"RJ1", &*envelope.encode_to_vec()),
        Err(DecodeError::UnknownVersion(2))
    );
}

#[test]
fn what_is_absent_is_named() {
    let empty = wire::Envelope {
        version: 1,
        ..Default::default()
    };
    let error = decode(b"RJ1", &*empty.encode_to_vec()).unwrap_err();
    assert_eq!(error.to_string(), "body: it is absent: state it");
    let nothing = returns(wire::return_fact::Fact::ReturnReceived(
        wire::ReturnReceived { r#return: None },
    ));
    assert_eq!(
        decoded_field("RJ1", nothing),
        "returns.facts[0].return_received.return"
    );
    let acted = wire::AlertActed {
        act: 99,
        ..Default::default()
    };
    let acted = wire::AlertFact {
        fact: Some(wire::alert_fact::Fact::Acted(acted)),
    };
    let acted = Body::Alerts(wire::AlertFacts { facts: vec![acted] });
    assert_eq!(
        decoded_field("RJ1", acted.clone()),
        "alerts.facts[0].acted.act"
    );
    assert_eq!(decoded_field("not a code", acted), "key");
}

#[test]
fn a_beginning_has_an_epoch_and_a_holder() {
    let begun = |epoch, holder: &str| {
        let holder = holder.to_owned();
        Body::EpochBegun(wire::EpochBegun { epoch, holder })
    };
    assert_eq!(decoded_field("epoch", begun(0, "a")), "epoch_begun.epoch");
    assert_eq!(decoded_field("epoch", begun(1, "")), "epoch_begun.holder");
}

#[test]
fn a_return_under_another_organisations_key_is_refused() {
    let ret = wire::Return {
        org_code: "RJ1".into(),
        period: "2012-03".into(),
        status: wire::ReturnStatus::Final.into(),
        body: Some(wire::r#return::Body::Savings(wire::SavingsReturn::default())),
        ..Default::default()
    };
    let received = wire::return_fact::Fact::ReturnReceived(wire::ReturnReceived {
        r#return: Some(ret),
    });
    assert_eq!(decoded_field("RX1", returns(received)), "returns.facts[0]");
}

proptest! {
    #[test]
    fn every_fact_comes_back_as_it_was(facts in facts()) {
        let payload = encode(&facts, meta());
        let key = record_key(&facts);
        prop_assert_eq!(decode(key.as_bytes(), payload.clone()), Ok((meta(), facts.clone())));
        prop_assert_eq!(encode(&facts, meta()), payload, "the same fact has the same bytes");
    }

    #[test]
    fn no_bytes_panic(key in any::<Vec<u8>>(), payload in any::<Vec<u8>>()) {
        let _ = decode(&key, &*payload);
    }

    #[test]
    fn no_damaged_record_panics(facts in facts(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut payload = encode(&facts, meta()).to_vec();
        let at = at.index(payload.len());
        payload[at] = byte;
        let _ = decode(record_key(&facts).as_bytes(), &*payload);
        payload.truncate(at);
        let _ = decode(record_key(&facts).as_bytes(), &*payload);
    }
}
