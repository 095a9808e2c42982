//! What intake answers: accepted, repeat, conflict, key reused, every fault at once; and a bulk stream that breaks.
//!
//! That memory stays bounded during a stream is by construction: the server takes a return off the connection only when fewer than
//! `max_in_flight` wait for their answers, and HTTP/2 stops a sender whose stream nobody reads.

use std::collections::BTreeMap;

use futures::StreamExt as _;
use qipp_api::error::ApiError;
use qipp_api::proto::events::v1::{Dataset, Missing, Observation, Return};
use qipp_api::proto::intake::v1::submit_returns_response::Result as Answer;
use qipp_api::proto::intake::v1::{
    Decision, Receipt, SubmitReturnRequest, SubmitReturnsRequest, SubmitReturnsResponse,
    SubmitSchemeRequest,
};
use qipp_api::proto::projections::v1::{ListRevisionsRequest, Revision};
use qipp_eventlog::Topic;
use qipp_tests::proxy::Proxy;
use qipp_tests::returns::{four_hours, measured, missing, quality, savings, scheme};
use qipp_tests::{Sandbox, Who, facts};
use tonic_types::StatusExt as _;

async fn sandbox() -> Sandbox {
    let sandbox = Sandbox::start().await;
    sandbox.record(facts::small_nation()).await;
    sandbox
}

fn keyed(ret: Return, key: &str) -> Return {
    Return {
        idempotency_key: key.to_owned(),
        ..ret
    }
}

fn expecting(ret: Return, revision: u32) -> Return {
    Return {
        expected_revision: Some(revision),
        ..ret
    }
}

fn decided(receipt: &Receipt) -> (Decision, u32) {
    (receipt.decision(), receipt.revision)
}

async fn revisions(sandbox: &Sandbox, org: &str, period: &str) -> Vec<Revision> {
    let request = ListRevisionsRequest {
        org_code: org.to_owned(),
        period: period.to_owned(),
        dataset: Dataset::Quality.into(),
        ..ListRevisionsRequest::default()
    };
    let answer = sandbox
        .client(Who::National)
        .projections()
        .list_revisions(request)
        .await
        .unwrap();
    answer.into_inner().revisions
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_return_becomes_a_revision_and_its_repeat_gets_the_first_answer() {
    let sandbox = sandbox().await;
    let first = sandbox
        .submit(keyed(four_hours("RA1", "2011-04", 90.0, 100.0), "k1"))
        .await;
    assert_eq!(decided(&first), (Decision::Accepted, 1));
    assert!(first.position.is_some() && first.cut.is_some() && !first.received_at.is_empty());
    let second = sandbox
        .submit(keyed(four_hours("RA1", "2011-04", 91.0, 100.0), "k2"))
        .await;
    assert_eq!(decided(&second), (Decision::Accepted, 2));

    let head = sandbox.written();
    let repeat = sandbox
        .submit(keyed(four_hours("RA1", "2011-04", 90.0, 100.0), "k1"))
        .await;
    assert_eq!(
        decided(&repeat),
        (Decision::Repeat, 1),
        "the first answer, although revision 2 is current"
    );
    assert_eq!(
        (&repeat.position, &repeat.received_at),
        (&first.position, &first.received_at)
    );
    let unkeyed = sandbox
        .submit(four_hours("RA1", "2011-04", 91.0, 100.0))
        .await;
    assert_eq!(
        decided(&unkeyed),
        (Decision::Repeat, 2),
        "without a key the content is the key"
    );
    assert_eq!(
        sandbox.written(),
        head,
        "a repeat that is known for good needs no record"
    );

    let back = sandbox
        .submit(four_hours("RA1", "2011-04", 90.0, 100.0))
        .await;
    assert_eq!(
        decided(&back),
        (Decision::Accepted, 3),
        "going back to an earlier figure is a change"
    );
    assert_eq!(revisions(&sandbox, "RA1", "2011-04").await.len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conflict_names_the_current_revision_and_changes_nothing() {
    let sandbox = sandbox().await;
    let ret = |within| four_hours("RA1", "2011-04", within, 100.0);
    assert_eq!(
        decided(&sandbox.submit(expecting(ret(90.0), 1)).await),
        (Decision::Conflict, 0),
        "there is none yet"
    );
    assert_eq!(
        decided(&sandbox.submit(expecting(ret(90.0), 0)).await),
        (Decision::Accepted, 1)
    );
    let conflict = sandbox.submit(expecting(ret(80.0), 0)).await;
    assert_eq!(decided(&conflict), (Decision::Conflict, 1));
    let change = &conflict.changes[0];
    assert_eq!(
        (change.before.as_str(), change.after.as_str()),
        ("90 of 100", "80 of 100"),
        "what has to be reconciled"
    );
    assert_eq!(
        decided(&sandbox.submit(expecting(ret(90.0), 0)).await),
        (Decision::Repeat, 1),
        "a lost answer's retry"
    );
    assert_eq!(
        decided(&sandbox.submit(expecting(ret(80.0), 1)).await),
        (Decision::Accepted, 2)
    );
    assert_eq!(revisions(&sandbox, "RA1", "2011-04").await.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_was_used_for_other_content_is_refused_as_such() {
    let sandbox = sandbox().await;
    sandbox
        .submit(keyed(four_hours("RA1", "2011-04", 90.0, 100.0), "k1"))
        .await;
    let reused = sandbox
        .submit(keyed(four_hours("RA1", "2011-04", 70.0, 100.0), "k1"))
        .await;
    assert_eq!(decided(&reused), (Decision::KeyReused, 1));
    let elsewhere = sandbox
        .submit(keyed(four_hours("RA1", "2011-03", 70.0, 100.0), "k1"))
        .await;
    assert_eq!(
        decided(&elsewhere),
        (Decision::Accepted, 1),
        "a key belongs to one organisation, dataset and period"
    );
    assert_eq!(revisions(&sandbox, "RA1", "2011-04").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_gives_the_same_decision_and_writes_nothing() {
    let sandbox = sandbox().await;
    sandbox
        .submit(keyed(four_hours("RA1", "2011-03", 90.0, 100.0), "k1"))
        .await;
    let attempts = [
        four_hours("RA1", "2011-04", 90.0, 100.0),
        four_hours("RA1", "2011-03", 90.0, 100.0),
        expecting(four_hours("RA1", "2011-03", 10.0, 100.0), 7),
        keyed(four_hours("RA1", "2011-03", 20.0, 100.0), "k1"),
        four_hours("RA1", "2011-03", 30.0, 100.0),
    ];
    for ret in attempts {
        let head = sandbox.written();
        let request = SubmitReturnRequest {
            r#return: Some(ret.clone()),
            validate_only: true,
        };
        let dry = sandbox
            .client(Who::Collector)
            .intake()
            .submit_return(request)
            .await
            .unwrap();
        let dry = dry.into_inner().receipt.unwrap();
        assert_eq!(sandbox.written(), head, "{ret:?}");
        let wet = sandbox.submit(ret).await;
        assert_eq!(
            (decided(&dry), &dry.changes, &dry.warnings),
            (decided(&wet), &wet.changes, &wet.warnings)
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_revision_is_answered_with_its_changes_value_by_value() {
    let sandbox = sandbox().await;
    let first = quality(
        "RA1",
        "2011-04",
        vec![
            measured("AE_4H", 90.0, 100.0),
            measured("CDI", 3.0, 18_500.0),
            measured("DM01_6W", 1.0, 400.0),
        ],
    );
    let second = quality(
        "RA1",
        "2011-04",
        vec![
            measured("AE_4H", 90.0, 100.0),
            missing("CDI", Missing::WithheldForQuality),
            measured("SICKNESS", 4.5, 100.0),
        ],
    );
    sandbox.submit(first).await;
    let receipt = sandbox.submit(second).await;
    let changes: Vec<[&str; 3]> = receipt
        .changes
        .iter()
        .map(|c| [&*c.item, &*c.before, &*c.after])
        .collect();
    assert_eq!(
        changes,
        [
            ["CDI", "3 of 18500", "withheld_for_quality"],
            ["DM01_6W", "1 of 400", ""],
            ["SICKNESS", "", "4.5 of 100"]
        ]
    );
    let known = revisions(&sandbox, "RA1", "2011-04").await;
    assert_eq!(
        known
            .iter()
            .map(|r| (r.revision, r.submitted_by.as_str()))
            .collect::<Vec<_>>(),
        [(1, "test-collector"), (2, "test-collector")]
    );
}

/// A return with seven faults.
fn faulty() -> Return {
    let observations = vec![
        measured("AE_4H", 110.0, 100.0),
        measured("NO_SUCH", 1.0, 2.0),
        measured("CDI", -1.0, 18_500.0),
        measured("DM01_6W", 1.0, 400.0),
        measured("DM01_6W", 2.0, 400.0),
        Observation {
            definition_version: 7,
            ..measured("SICKNESS", 1.0, 2.0)
        },
    ];
    Return {
        narrative: "about patient 943 476 5919".to_owned(),
        ..quality("RZ9", "2011-04", observations)
    }
}

/// Code and pointer of each of them, in the order of the pointers.
pub(crate) const FAULTS: [(&str, &str); 7] = [
    ("NHS_NUMBER", "return.narrative"),
    ("UNKNOWN_ORGANISATION", "return.org_code"),
    (
        "NUMERATOR_ABOVE_DENOMINATOR",
        "return.quality.observations[0].measured.numerator",
    ),
    ("UNKNOWN_MARKER", "return.quality.observations[1].marker"),
    (
        "NEGATIVE",
        "return.quality.observations[2].measured.numerator",
    ),
    ("DUPLICATE_MARKER", "return.quality.observations[4].marker"),
    (
        "UNKNOWN_DEFINITION_VERSION",
        "return.quality.observations[5].definition_version",
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_faults_of_a_return_come_at_once_each_with_code_pointer_and_remedy() {
    let sandbox = sandbox().await;
    let head = sandbox.written();
    let request = SubmitReturnRequest {
        r#return: Some(faulty()),
        validate_only: false,
    };
    let status = sandbox
        .client(Who::Collector)
        .intake()
        .submit_return(request)
        .await
        .unwrap_err();
    assert_eq!(status.code(), tonic::Code::InvalidArgument);
    let violations = status.get_details_bad_request().unwrap().field_violations;
    let found: Vec<(&str, &str)> = violations
        .iter()
        .map(|v| (v.reason.as_str(), v.field.as_str()))
        .collect();
    assert_eq!(found, FAULTS);
    assert!(
        violations.iter().all(|v| v.description.len() > 20),
        "{violations:?}"
    );
    let info = status.get_details_error_info().unwrap();
    assert_eq!(
        (info.reason.as_str(), info.domain.as_str()),
        ("INVALID_REQUEST", "qipp.nhs.uk")
    );
    assert!(
        !status
            .get_details_request_info()
            .unwrap()
            .request_id
            .is_empty()
    );
    assert_eq!(sandbox.written(), head, "nothing of it was written");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scheme_is_decided_like_a_return_and_savings_need_it() {
    let sandbox = sandbox().await;
    let early = SubmitReturnRequest {
        r#return: Some(savings("RA1", "2011-04", "S-1", 100, 90)),
        validate_only: false,
    };
    let status = sandbox
        .client(Who::Collector)
        .intake()
        .submit_return(early)
        .await
        .unwrap_err();
    assert_eq!(
        ApiError::from_status(&status).problems[0].code,
        "UNKNOWN_SCHEME"
    );

    assert_eq!(
        decided(&sandbox.register(scheme("RA1", "S-1", "2011-04", 100)).await),
        (Decision::Accepted, 1)
    );
    assert_eq!(
        decided(&sandbox.register(scheme("RA1", "S-1", "2011-04", 100)).await),
        (Decision::Repeat, 1)
    );
    let mut amended = scheme("RA1", "S-1", "2011-04", 200);
    amended.linked_markers.clear();
    let receipt = sandbox.register(amended.clone()).await;
    assert_eq!(decided(&receipt), (Decision::Accepted, 2));
    assert_eq!(receipt.warnings[0].code, "NO_LINKED_MARKER");
    amended.expected_revision = Some(1);
    amended.title.push_str(", by night");
    assert_eq!(
        decided(&sandbox.register(amended.clone()).await),
        (Decision::Conflict, 2)
    );

    amended.planned_pence.clear();
    let request = SubmitSchemeRequest {
        scheme: Some(amended),
        validate_only: false,
    };
    let status = sandbox
        .client(Who::Collector)
        .intake()
        .submit_scheme(request)
        .await
        .unwrap_err();
    assert_eq!(status.code(), tonic::Code::InvalidArgument);
    assert_eq!(
        decided(
            &sandbox
                .submit(savings("RA1", "2011-04", "S-1", 100, 90))
                .await
        ),
        (Decision::Accepted, 1)
    );
}

/// 48 months of every trust, oldest first.
fn many() -> Vec<Return> {
    let months =
        (2007..=2010).flat_map(|year| (1..=12).map(move |month| format!("{year}-{month:02}")));
    let trusts = ["RA1", "RA2", "RA3", "RB1", "RB2"];
    let of = |month: String| {
        trusts.map(|trust| quality(trust, &month, vec![measured("DM01_6W", 4.0, 400.0)]))
    };
    months
        .filter(|month| month.as_str() >= "2008-04")
        .flat_map(of)
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bulk_stream_answers_in_order_and_a_faulty_return_does_not_stop_it() {
    let sandbox = sandbox().await;
    let mut returns = many();
    returns[7] = faulty();
    returns[8] = four_hours("RA1", "2019-01", 1.0, 2.0);
    let count = returns.len();
    let requests =
        futures::stream::iter(
            (1000..)
                .zip(returns)
                .map(|(sequence, ret)| SubmitReturnsRequest {
                    sequence,
                    r#return: Some(ret),
                    validate_only: false,
                }),
        );
    let answers = sandbox
        .client(Who::Collector)
        .intake()
        .submit_returns(requests)
        .await
        .unwrap()
        .into_inner();
    let answers: Vec<SubmitReturnsResponse> = answers.map(Result::unwrap).collect().await;
    assert_eq!(
        answers.iter().map(|a| a.sequence).collect::<Vec<_>>(),
        (1000..1000 + count as u64).collect::<Vec<_>>()
    );
    for (index, answer) in answers.into_iter().enumerate() {
        match (index, answer.result.unwrap()) {
            (7, Answer::Rejection(rejection)) => {
                let found: Vec<(&str, &str)> = rejection
                    .problems
                    .iter()
                    .map(|p| (&*p.code, &*p.field))
                    .collect();
                assert_eq!(found, FAULTS);
            }
            (8, Answer::Rejection(rejection)) => {
                assert_eq!(rejection.problems[0].code, "FUTURE_PERIOD")
            }
            (_, Answer::Receipt(receipt)) => assert_eq!(decided(&receipt), (Decision::Accepted, 1)),
            (index, other) => panic!("{index}: {other:?}"),
        }
    }
    assert_eq!(sandbox.status().await.revisions, count as u64 - 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bulk_stream_that_breaks_and_goes_on_leaves_every_return_exactly_once() {
    let sandbox = sandbox().await;
    let returns = many();
    // Cut in the middle of answers: after a few, after some more, and in the middle of the handshake.
    let proxy = Proxy::start(sandbox.house().address, vec![700, 5_000, 40, 9_000]).await;
    let client = sandbox.client_through(&proxy.url(), Who::Collector);
    let mut answered = BTreeMap::new();
    let note = |index: usize, answer: &Answer| {
        let Answer::Receipt(receipt) = answer else {
            panic!("{answer:?}")
        };
        *answered.entry(index).or_insert(0) += 1;
        assert_eq!(receipt.revision, 1);
    };
    let summary = client.submit_all(&returns, false, note).await.unwrap();
    assert!(
        proxy.connections() > 4,
        "the line really broke: {} connections",
        proxy.connections()
    );
    assert_eq!(
        summary.accepted + summary.repeats,
        returns.len(),
        "{summary:?}"
    );
    assert!(answered.len() == returns.len() && answered.values().all(|times| *times == 1));

    for ret in [
        &returns[0],
        &returns[returns.len() / 2],
        &returns[returns.len() - 1],
    ] {
        assert_eq!(
            revisions(&sandbox, &ret.org_code, &ret.period).await.len(),
            1
        );
    }
    let status = sandbox.status().await;
    assert_eq!(
        (status.revisions, status.returns),
        (returns.len() as u64, returns.len() as u64)
    );
    let again = sandbox
        .client(Who::Collector)
        .submit_all(&returns, false, |_, _| {})
        .await
        .unwrap();
    assert_eq!((again.accepted, again.repeats), (0, returns.len()));
    assert!(sandbox.records(Topic::Returns).await.len() >= returns.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_above_the_limit_is_refused_as_too_large_and_the_next_one_goes_through() {
    let sandbox = sandbox().await;
    let written = sandbox.written();
    let ret = Return {
        narrative: "x".repeat(5 << 20),
        ..four_hours("RA1", "2011-04", 90.0, 100.0)
    };
    let mut intake = sandbox.client(Who::Collector).intake();
    let single = SubmitReturnRequest {
        r#return: Some(ret.clone()),
        validate_only: false,
    };
    let refused = intake.submit_return(single).await.unwrap_err();
    let bulk = futures::stream::iter([SubmitReturnsRequest {
        r#return: Some(ret),
        ..SubmitReturnsRequest::default()
    }]);
    let mut answers = intake.submit_returns(bulk).await.unwrap().into_inner();
    let ended = answers.message().await.unwrap_err();
    for status in [refused, ended] {
        let reason = status.get_details_error_info().unwrap().reason;
        assert_eq!(
            (status.code(), reason.as_str()),
            (tonic::Code::ResourceExhausted, "MESSAGE_TOO_LARGE")
        );
    }
    assert_eq!(sandbox.written(), written);
    let next = sandbox
        .submit(four_hours("RA1", "2011-04", 90.0, 100.0))
        .await;
    assert_eq!(decided(&next), (Decision::Accepted, 1));
}
