//! Records of every version ever written must always decode, to the same facts.
//!
//! `golden/envelope_v1.txt` holds one record a line: the key, a space, and the payload in hexadecimal, one for each kind of fact. It was
//! written once, by `write_the_golden_file`, from the facts below, and is never written again: if a change makes this test fail,
//! the change would make stored logs unreadable. A new version of the envelope, or another way to write a fact, gets a file of its
//! own next to it: `golden/envelope_v1_packed.txt` has quality returns as they are written since they are packed,
//! `golden/envelope_v1_epoch.txt` the beginning of a single writer, `golden/envelope_v1_joint.txt` a joint decision and an alert that rests on one.

#![allow(
    clippy::unwrap_used,
    reason = "a fixture that cannot be built fails the test"
)]

use qipp_api::facts::{Meta, decode, encode, record_key};
use qipp_domain::alert::{
    Act, Acted, AlertFact, Direction, Evidence, Finding, JointEvidence, LateReturn, MarkerEvidence,
    MarkerPoint, SavingsEvidence, Severity, Transition,
};
use qipp_domain::benchmark::NationalValue;
use qipp_domain::marker::{
    MarkerDefinition, Polarity, QualityDomain, RollUp, SeriesKey, TriggerRole,
};
use qipp_domain::nation::{Facts, ReturnFact};
use qipp_domain::reference::{
    Community, Edge, Obligation, Organisation, ReferenceFact, RuleSet, RuleSetting, Succession,
};
use qipp_domain::returns::{
    Body, Dataset, Measured, Missing, Observation, Precondition, Return, ReturnContent,
    SavingsLine, Status, Value,
};
use qipp_domain::scheme::{LinkedMarker, Milestone, MilestoneKind, Scheme, SchemeCategory};
use qipp_domain::surveillance::{Assessment, NationalChange, PeerValue, Tier, Watched};
use qipp_domain::tenure::Tenure;
use qipp_domain::{Cut, MarkerCode, OrgCode, Pence, Period, Quantity, SchemeId, Slug};

fn org(text: &str) -> OrgCode {
    OrgCode::new(text).unwrap()
}

fn slug(text: &str) -> Slug {
    Slug::new(text).unwrap()
}

fn marker(text: &str) -> MarkerCode {
    MarkerCode::new(text).unwrap()
}

fn period(text: &str) -> Period {
    text.parse().unwrap()
}

fn day(text: &str) -> jiff::civil::Date {
    text.parse().unwrap()
}

fn measured(numerator: i64, denominator: i64) -> Measured {
    let quantity = Quantity::from_thousandths;
    Measured {
        numerator: quantity(numerator),
        denominator: Some(quantity(denominator)),
    }
}

fn meta() -> Meta {
    Meta {
        cause_id: "cause-1".into(),
        principal: "RJ1 finance".into(),
        request_id: "req-1".into(),
        writer_epoch: 3,
    }
}

/// Quality returns as they are packed: with parts, without, and with nothing in them.
fn packed() -> Vec<Facts> {
    let ReturnFact::Return(whole) = quality_return() else {
        panic!("it is a return");
    };
    let mut simulated = whole.clone();
    let Body::Quality(observations) = &whole.content.body else {
        panic!("it is a quality return");
    };
    let made_up = observations.iter().map(|o| Observation {
        simulated: true,
        definition_version: 2,
        value: match o.value {
            Value::Measured(_) => Value::Measured(Measured {
                numerator: Quantity::from_thousandths(-1),
                denominator: None,
            }),
            missing => missing,
        },
        ..o
    });
    simulated.content.body = Body::Quality(made_up.collect());
    let mut empty = whole.clone();
    empty.content.body = Body::Quality(Vec::new().into());
    [whole, simulated, empty]
        .map(|ret| Facts::Returns(vec![ReturnFact::Return(ret)]))
        .to_vec()
}

/// A single writer begins.
fn begun() -> Vec<Facts> {
    vec![Facts::EpochBegun(Tenure {
        epoch: 3,
        holder: "0123456789abcdef".into(),
    })]
}

/// A joint decision over the organisations of a kind, and an alert that rests on it.
fn joint() -> Vec<Facts> {
    let watched = Watched {
        org: org("RJ1"),
        tier: Tier::Confirmed,
        chance_false: 1.0 / 30.0,
        savings_p: 1.0 / 401.0,
        quality_p: 2.0 / 401.0,
        domain: QualityDomain::Access,
        since: period("2012-01"),
        markers: vec![marker("AE_4H")],
    };
    let decided = Assessment {
        peer_group: slug("trust"),
        period: period("2012-03"),
        assessed: 140,
        expected_false: 1.0 / 3.0,
        expected_false_watched: 2.0 / 3.0,
        watched: vec![watched.clone()],
        national: vec![NationalChange {
            marker: marker("AE_4H"),
            jump: -1.0 / 7.0,
        }],
        peers: vec![PeerValue {
            marker: marker("AE_4H"),
            value: 14.0 / 15.0,
        }],
        rule_set_version: "2012-1".into(),
        cut: cut(),
        simulated: true,
    };
    let AlertFact::Evaluated {
        alert_id,
        transition,
        mut finding,
    } = evaluated()
    else {
        panic!("it is an evaluation");
    };
    finding.evidence.joint = Some(JointEvidence {
        peer_group: slug("trust"),
        entry: watched,
        assessed: 140,
        listed: 3,
        expected_false: 1.0 / 3.0,
        decided_at: cut(),
    });
    let alert = AlertFact::Evaluated {
        alert_id,
        transition,
        finding,
    };
    vec![
        Facts::Assessment(Box::new(decided)),
        Facts::Alerts(org("RJ1"), vec![alert]),
    ]
}

/// One record for each kind of fact.
fn records() -> Vec<Facts> {
    let mut records: Vec<Facts> = reference_facts()
        .into_iter()
        .map(|fact| Facts::Reference(vec![fact]))
        .collect();
    records.push(Facts::Returns(vec![quality_return()]));
    records.push(Facts::Returns(vec![savings_return(), scheme()]));
    records.push(Facts::Benchmarks(vec![national_value()]));
    records.push(Facts::Alerts(org("RJ1"), vec![evaluated(), acted()]));
    records
}

fn reference_facts() -> Vec<ReferenceFact> {
    let organisation = Organisation {
        code: org("RJ1"),
        name: "Guy’s and St Thomas’".into(),
        kind: slug("trust"),
        opened: Some(day("1993-04-01")),
        closed: None,
    };
    let edge = Edge {
        tree: slug("sha_2010"),
        child: org("RJ1"),
        parent: org("Q36"),
        from: day("2006-07-01"),
        until: Some(day("2013-04-01")),
    };
    let community = Community {
        community: slug("south_london"),
        title: "South London".into(),
        members: vec![org("RJ1"), org("5LE")],
    };
    let obligation = Obligation {
        org: org("RJ1"),
        dataset: Dataset::Savings,
        from: period("2010-04"),
        until: Some(period("2015-04")),
    };
    let setting = RuleSetting {
        enabled: true,
        parameters: [("months".to_owned(), 3.0)].into(),
    };
    vec![
        ReferenceFact::Organisation(organisation),
        ReferenceFact::Closed {
            org: org("5LE"),
            closed: day("2013-04-01"),
        },
        ReferenceFact::Succeeded(Succession {
            org: org("5LE"),
            successor: org("08Q"),
            date: day("2013-04-01"),
        }),
        ReferenceFact::Tree {
            tree: slug("sha_2010"),
            title: "SHAs of 2010".into(),
            root: org("ENG"),
        },
        ReferenceFact::Edge(edge),
        ReferenceFact::Community(community),
        ReferenceFact::Marker(definition()),
        ReferenceFact::Deadline {
            dataset: Dataset::Quality,
            period: period("2012-03"),
            due: day("2012-04-20"),
        },
        ReferenceFact::Obligation(obligation),
        ReferenceFact::RuleSet(RuleSet {
            version: "2012-1".into(),
            rules: [("R01".to_owned(), setting)].into(),
        }),
    ]
}

fn definition() -> MarkerDefinition {
    MarkerDefinition {
        marker: marker("AE_4H"),
        version: 2,
        name: "A&E within four hours".into(),
        domain: QualityDomain::Access,
        numerator: "attendances within four hours".into(),
        denominator: "attendances".into(),
        unit: "percent".into(),
        polarity: Polarity::HigherIsBetter,
        roll_up: RollUp::Parts,
        role: TriggerRole::Trigger,
        proportion: true,
        valid_from: Some(period("2010-04")),
        valid_until: Some(period("2030-04")),
        successor: "AE_4H_2".into(),
        standard: "95%".into(),
        publication_lag_days: 21,
        notes: "type 1 to 3".into(),
    }
}

fn quality_return() -> ReturnFact {
    let whole = SeriesKey::whole(marker("AE_4H"));
    let part = SeriesKey {
        marker: marker("RTT_ADM"),
        breakdown: Some("tfc:100".parse().unwrap()),
    };
    let observation = |key, value| Observation {
        key,
        definition_version: 1,
        value,
        simulated: false,
    };
    let content = ReturnContent {
        status: Status::Final,
        source: "march.csv".into(),
        narrative: "as agreed".into(),
        body: Body::Quality(
            vec![
                observation(whole, Value::Measured(measured(9_512_000, 10_000_000))),
                observation(part, Value::Missing(Missing::WithheldForQuality)),
            ]
            .into(),
        ),
    };
    let precondition = Precondition {
        idempotency_key: "key-1".into(),
        expected_revision: Some(0),
    };
    ReturnFact::Return(Return {
        org: org("RJ1"),
        period: period("2012-03"),
        content,
        precondition,
    })
}

fn savings_return() -> ReturnFact {
    let line = SavingsLine {
        scheme: SchemeId::new("PAY-1").unwrap(),
        plan: Some(Pence(1_000_000)),
        actual: Some(Pence(-250_050)),
        actual_ytd: None,
        forecast: Some(Pence(12_000_000)),
        recurrent: Some(Pence(0)),
        missing: None,
        simulated: true,
    };
    let missing = SavingsLine {
        scheme: SchemeId::new("EST_2").unwrap(),
        plan: None,
        actual: None,
        forecast: None,
        recurrent: None,
        missing: Some(Missing::NotCollected),
        ..line
    };
    let content = ReturnContent {
        status: Status::Restated,
        source: String::new(),
        narrative: String::new(),
        body: Body::Savings(vec![missing, line]),
    };
    let precondition = Precondition::default();
    ReturnFact::Return(Return {
        org: org("RJ1"),
        period: period("2012-03"),
        content,
        precondition,
    })
}

fn scheme() -> ReturnFact {
    let milestone = Milestone {
        title: "ward opened".into(),
        kind: MilestoneKind::Clinical,
        due: day("2012-06-30"),
        done: Some(day("2012-06-29")),
    };
    let scheme = Scheme {
        org: org("RJ1"),
        id: SchemeId::new("PAY-1").unwrap(),
        title: "Rota".into(),
        category: SchemeCategory::WorkforceRedesign,
        start: period("2011-04"),
        planned: vec![Pence(100), Pence(200)],
        full_year_effect: Pence(2_400),
        recurrent: true,
        pay: true,
        linked_markers: vec![LinkedMarker {
            marker: marker("AE_4H"),
            balancing: true,
        }],
        clinical_lead: "Dr A".into(),
        qia_medical_director: Some(day("2011-03-01")),
        qia_nursing_director: Some(day("2011-03-02")),
        milestones: vec![milestone],
        ended: Some(period("2014-04")),
        simulated: true,
    };
    ReturnFact::Scheme {
        scheme,
        precondition: Precondition {
            idempotency_key: String::new(),
            expected_revision: Some(2),
        },
    }
}

fn cut() -> Cut {
    [(0x0001_0000, 12), (0x0002_0003, 1 << 40)]
        .into_iter()
        .collect()
}

fn national_value() -> NationalValue {
    NationalValue {
        marker: marker("AE_4H"),
        peer_group: slug("trust"),
        period: period("2012-03"),
        measured: measured(1_234_567_890, 2_345_678_901),
        organisations: 160,
        organisations_slipping: 4,
        cut: cut(),
        simulated: true,
    }
}

fn evaluated() -> AlertFact {
    let finding = Finding {
        rule: "R01".into(),
        org: org("RJ1"),
        period: period("2012-03"),
        severity: Severity::Amber,
        summary: "savings rise while A&E slips".into(),
        question: "what changed?".into(),
        asked: vec!["medical_director".into(), "nursing_director".into()],
        suppressed_because: String::new(),
        evidence: evidence(),
    };
    AlertFact::Evaluated {
        alert_id: "R01-RJ1-2012-03".into(),
        transition: Transition::Raised,
        finding,
    }
}

fn evidence() -> Evidence {
    let savings = SavingsEvidence {
        last_three_months: Some(Pence(300)),
        same_months_last_year: Some(Pence(200)),
        planned_three_months: None,
        pay_three_months: Some(Pence(50)),
        in_force: Pence(1_000),
        in_force_three_months_ago: Pence(800),
        basis: "same_months_last_year".into(),
        rising_periods: vec![period("2012-02"), period("2012-03")],
        simulated: false,
    };
    let late = LateReturn {
        dataset: Dataset::Quality,
        period: period("2012-02"),
        due: day("2012-03-20"),
        working_days_late: 5,
    };
    Evidence {
        cut: cut(),
        rule_set_version: "2012-1".into(),
        as_of: day("2012-05-01"),
        savings: Some(savings),
        markers: vec![marker_evidence()],
        late_returns: vec![late],
        joint: None,
        simulated: false,
        notes: vec!["one marker retired".into()],
    }
}

fn marker_evidence() -> MarkerEvidence {
    let point = MarkerPoint {
        period: period("2012-03"),
        own: measured(9_000_000, 10_000_000),
        national: measured(95_000_000, 100_000_000),
        // Thirds have no end in binary: they show that evidence keeps every bit.
        residual: -1.0 / 3.0,
        adverse_z: 10.0 / 3.0,
        revision: 2,
        status: Status::Provisional,
    };
    MarkerEvidence {
        marker: marker("AE_4H"),
        domain: QualityDomain::Access,
        definition_version: 1,
        polarity: Polarity::HigherIsBetter,
        direction: Direction::Slipping,
        baseline_mean: 0.1,
        baseline_sigma: 0.2,
        baseline_points: 24,
        baseline_from: period("2009-04"),
        baseline_until: period("2011-03"),
        trial: false,
        scale: "logit".into(),
        points: vec![point],
        linked_schemes: vec![SchemeId::new("PAY-1").unwrap()],
        simulated: false,
    }
}

fn acted() -> AlertFact {
    AlertFact::Acted(Acted {
        alert_id: "R01-RJ1-2012-03".into(),
        act_id: "act-1".into(),
        act: Act::Ask,
        who: "national".into(),
        why: "to know".into(),
    })
}

fn unhex(text: &str) -> Vec<u8> {
    let byte = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(byte).collect()
}

#[test]
fn records_of_version_1_decode_for_ever() {
    decodes(include_str!("golden/envelope_v1.txt"), records());
}

#[test]
fn packed_returns_decode_for_ever() {
    decodes(include_str!("golden/envelope_v1_packed.txt"), packed());
}

#[test]
fn a_beginning_decodes_for_ever() {
    decodes(include_str!("golden/envelope_v1_epoch.txt"), begun());
}

#[test]
fn a_joint_decision_decodes_for_ever() {
    decodes(include_str!("golden/envelope_v1_joint.txt"), joint());
}

fn decodes(golden: &str, expected: Vec<Facts>) {
    assert_eq!(golden.lines().count(), expected.len());
    for (line, facts) in golden.lines().zip(expected) {
        let (key, payload) = line.split_once(' ').unwrap();
        assert_eq!(key, record_key(&facts));
        assert_eq!(
            decode(key.as_bytes(), &*unhex(payload)),
            Ok((meta(), facts))
        );
    }
}

/// Written once; see above. Refuses to write over a file that is there.
#[test]
#[ignore = "writes the golden file of a new version"]
fn write_the_golden_file() {
    use std::io::Write as _;
    let path =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/envelope_v1_joint.txt");
    assert!(
        std::fs::metadata(&path).map_or(true, |file| file.len() == 0),
        "a golden file is written once"
    );
    let mut file = std::fs::File::create(path).unwrap();
    for facts in joint() {
        let hex: String = encode(&facts, meta())
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        writeln!(file, "{} {hex}", record_key(&facts)).unwrap();
    }
}
