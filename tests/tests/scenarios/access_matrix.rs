//! Every rpc of the contract, called for real by everybody, for an organisation of their own and for one that is not.

use std::collections::BTreeSet;

use qipp_api::error::ApiError;
use qipp_api::proto::alerts::v1::{ListAlertsRequest, WatchAlertsRequest};
use qipp_api::proto::events::v1::Dataset;
use qipp_api::proto::projections::v1::{
    GetCompletenessRequest, GetStatusRequest, ListRollUpsRequest,
};
use qipp_tests::returns::{four_hours, scheme};
use qipp_tests::{NODE, OTHER, Sandbox, TREE, TRUST, Who, facts, no_key, wire};
use serde_json::{Value, json};

/// What a caller gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gets {
    /// An answer.
    Ok,
    /// The role may not.
    Role,
    /// The role may, for others.
    Scope,
}
use Gets::{Ok, Role, Scope};

/// The callers, in the order of the columns below.
const CALLERS: [Who; 6] = [
    Who::Operator,
    Who::National,
    Who::Collector,
    Who::Regional,
    Who::Trust,
    Who::OtherTrust,
];

/// What each of them gets when it asks about the trust of [`Who::Trust`], which the node of [`Who::Regional`] holds.
type Row = [Gets; 6];

const ALL: Row = [Ok; 6];
const SUBMITTERS_OWN: Row = [Role, Role, Ok, Role, Ok, Scope];
const OPERATOR: Row = [Ok, Role, Role, Role, Role, Role];
const OWN: Row = [Ok, Ok, Ok, Ok, Ok, Scope];
const OVERSEERS: Row = [Ok, Ok, Role, Ok, Role, Role];
const CONVERSING: Row = [Role, Ok, Ok, Ok, Ok, Scope];

struct Case {
    rpc: &'static str,
    expected: Row,
    message: Value,
}

/// A minimal valid request for every rpc, about one organisation and one alert of it.
fn cases(org: &str, alert: &str) -> Vec<Case> {
    let case = |rpc, expected, message| Case {
        rpc,
        expected,
        message,
    };
    let ret = json!({"orgCode": org, "period": "2011-04", "status": "RETURN_STATUS_FINAL",
        "quality": {"observations": [{"marker": "AE_4H", "measured": {"numerator": 90, "denominator": 100}}]}});
    let plan = json!({"orgCode": org, "schemeId": "S-1", "title": "Night theatres", "category": "SCHEME_CATEGORY_ESTATES",
        "start": "2011-04", "plannedPence": ["100"], "fullYearEffectPence": "1200"});
    let filter = json!({"orgCode": org});
    vec![
        case(
            "qipp.intake.v1.IntakeService/SubmitReturn",
            SUBMITTERS_OWN,
            json!({"return": ret}),
        ),
        case(
            "qipp.intake.v1.IntakeService/SubmitReturns",
            SUBMITTERS_OWN,
            json!({"return": ret}),
        ),
        case(
            "qipp.intake.v1.IntakeService/SubmitScheme",
            SUBMITTERS_OWN,
            json!({"scheme": plan}),
        ),
        case(
            "qipp.registry.v1.RegistryService/RecordFacts",
            OPERATOR,
            json!({"facts": [{"organisationRecorded": {"orgCode": "ENG", "name": "England", "kind": "nation"}}]}),
        ),
        case(
            "qipp.registry.v1.RegistryService/GetOrganisation",
            ALL,
            json!({"orgCode": org}),
        ),
        case(
            "qipp.registry.v1.RegistryService/ListOrganisations",
            ALL,
            json!({}),
        ),
        case("qipp.registry.v1.RegistryService/ListTrees", ALL, json!({})),
        case(
            "qipp.registry.v1.RegistryService/ListTreeNodes",
            ALL,
            json!({"tree": TREE}),
        ),
        case(
            "qipp.registry.v1.RegistryService/ListMarkers",
            ALL,
            json!({}),
        ),
        case(
            "qipp.registry.v1.RegistryService/ListCommunities",
            ALL,
            json!({}),
        ),
        case(
            "qipp.registry.v1.RegistryService/ListDeadlines",
            ALL,
            json!({}),
        ),
        case(
            "qipp.projections.v1.ProjectionsService/GetSeries",
            OWN,
            json!({"orgCode": org, "marker": "AE_4H"}),
        ),
        case(
            "qipp.projections.v1.ProjectionsService/ListRevisions",
            OWN,
            json!({"orgCode": org, "dataset": "DATASET_QUALITY", "period": "2011-04"}),
        ),
        case(
            "qipp.projections.v1.ProjectionsService/GetSavingsPosition",
            OWN,
            json!({"orgCode": org, "period": "2011-04"}),
        ),
        case(
            "qipp.projections.v1.ProjectionsService/ListSchemes",
            OWN,
            json!({"orgCode": org}),
        ),
        // Lists are open to all who may see any part of them, and hold only that part: see below.
        case(
            "qipp.projections.v1.ProjectionsService/GetCompleteness",
            ALL,
            json!({"dataset": "DATASET_QUALITY", "period": "2011-04"}),
        ),
        case(
            "qipp.projections.v1.ProjectionsService/ListRollUps",
            OVERSEERS,
            json!({"tree": TREE, "level": "region"}),
        ),
        case(
            "qipp.projections.v1.ProjectionsService/GetStatus",
            ALL,
            json!({}),
        ),
        case(
            "qipp.alerts.v1.AlertsService/ListAlerts",
            OWN,
            json!({"filter": filter}),
        ),
        case(
            "qipp.alerts.v1.AlertsService/GetAlert",
            OWN,
            json!({"alertId": alert}),
        ),
        case(
            "qipp.alerts.v1.AlertsService/WatchAlerts",
            OWN,
            json!({"filter": filter}),
        ),
        // One act on an alert for all: the first one counts and the others are repeats of it.
        case(
            "qipp.alerts.v1.AlertsService/ActOnAlert",
            CONVERSING,
            json!({"alertId": alert, "act": "ACT_ACKNOWLEDGE", "why": "seen", "actId": format!("once on {alert}")}),
        ),
        case(
            "qipp.alerts.v1.AlertsService/RecomputeAlert",
            OWN,
            json!({"alertId": alert}),
        ),
        case(
            "qipp.alerts.v1.AlertsService/ListBenchmarks",
            OVERSEERS,
            json!({"marker": "AE_4H"}),
        ),
        case(
            "qipp.alerts.v1.AlertsService/ListAssessments",
            OVERSEERS,
            json!({}),
        ),
        case("qipp.log.v1.LogService/ExportLog", OPERATOR, json!({})),
        // In this order each of them can be done.
        case(
            "qipp.replica.v1.ReplicaService/StartRebuild",
            OPERATOR,
            json!({}),
        ),
        case(
            "qipp.replica.v1.ReplicaService/GetRebuild",
            OPERATOR,
            json!({}),
        ),
        case(
            "qipp.replica.v1.ReplicaService/SwitchRebuild",
            OPERATOR,
            json!({}),
        ),
        case(
            "qipp.replica.v1.ReplicaService/ForgetRebuild",
            OPERATOR,
            json!({}),
        ),
        case(
            "qipp.replica.v1.ReplicaService/FetchCheckpoint",
            OPERATOR,
            json!({}),
        ),
    ]
}

/// For the organisation outside: who stands for a part loses what it had for its own, and gets what it did not have.
fn outside(row: Row) -> Row {
    let mut turned = row;
    if row.contains(&Scope) {
        turned[5] = row[4];
        for caller in [3, 4] {
            turned[caller] = if row[caller] == Role { Role } else { Scope };
        }
    }
    turned
}

/// A nation of which both the trust inside and the one outside have an alert, because a return of theirs is overdue.
async fn sandbox() -> (Sandbox, String, String) {
    let sandbox = Sandbox::in_memory().await;
    let mut facts = facts::small_nation();
    facts.push(facts::due(Dataset::Savings, "2011-03", "2011-04-14"));
    facts.extend([TRUST, OTHER].map(|org| facts::owes(org, Dataset::Savings, "2011-03")));
    let cut = sandbox.record(facts).await;
    sandbox.evaluated(&cut).await;
    let alerts = sandbox.alerts().await;
    let of = |org: &str| {
        alerts
            .iter()
            .find(|alert| alert.org_code == org)
            .unwrap()
            .alert_id
            .clone()
    };
    let (inside, outside) = (of(TRUST), of(OTHER));
    (sandbox, inside, outside)
}

async fn gets(sandbox: &Sandbox, who: Who, case: &Case) -> Gets {
    let answer = wire::call(
        &sandbox.url(),
        Some(sandbox.key(who)),
        case.rpc,
        case.message.clone(),
    )
    .await;
    let reason = match answer {
        // A stream answers for each return by itself.
        Result::Ok(answer) => match answer.pointer("/rejection/problems/0/code") {
            Some(code) => code.as_str().unwrap().to_owned(),
            None => return Ok,
        },
        Err(status) => {
            let error = ApiError::from_status(&status);
            assert_eq!(
                status.code(),
                tonic::Code::PermissionDenied,
                "{} {who:?}: {error:?}",
                case.rpc
            );
            error.reason.into_owned()
        }
    };
    match reason.as_str() {
        "ROLE_NOT_ALLOWED" => Role,
        "OUT_OF_SCOPE" => Scope,
        other => panic!("{} {who:?}: {other}", case.rpc),
    }
}

#[test]
fn every_rpc_of_the_contract_has_a_row_and_every_row_an_rpc() {
    let contract: BTreeSet<String> = wire::contract().into_iter().map(|rpc| rpc.name).collect();
    let rows: BTreeSet<String> = cases(TRUST, "")
        .into_iter()
        .map(|case| case.rpc.to_owned())
        .collect();
    assert_eq!(
        rows, contract,
        "the matrix and the contract differ: add a row with what every role gets"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_gets_what_the_matrix_says_inside_and_outside_of_their_scope() {
    let (sandbox, inside, outside_alert) = sandbox().await;
    let mut wrong = Vec::new();
    for (org, alert, is_outside) in [(TRUST, &inside, false), (OTHER, &outside_alert, true)] {
        for case in cases(org, alert) {
            let expected = if is_outside {
                outside(case.expected)
            } else {
                case.expected
            };
            for (who, expected) in CALLERS.into_iter().zip(expected) {
                let found = gets(&sandbox, who, &case).await;
                if found != expected {
                    wrong.push(format!(
                        "{} about {org} by {who:?}: {found:?} instead of {expected:?}",
                        case.rpc
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_gets_anything_without_a_key_or_with_a_wrong_one() {
    let (sandbox, alert, _) = sandbox().await;
    let head = sandbox.written();
    let wrong = no_key();
    for case in cases(TRUST, &alert) {
        for (key, reason) in [
            (None, "CREDENTIALS_MISSING"),
            (Some(wrong.as_str()), "KEY_UNKNOWN"),
        ] {
            let status = wire::call(&sandbox.url(), key, case.rpc, case.message.clone())
                .await
                .unwrap_err();
            let error = ApiError::from_status(&status);
            assert_eq!(
                (status.code(), &*error.reason),
                (tonic::Code::Unauthenticated, reason),
                "{}",
                case.rpc
            );
        }
    }
    assert_eq!(sandbox.written(), head, "nothing was written");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trust_cannot_submit_for_another_and_leaves_no_trace_of_trying() {
    let (sandbox, ..) = sandbox().await;
    let head = sandbox.written();
    let returns = [
        four_hours(OTHER, "2011-04", 90.0, 100.0),
        four_hours("ENG", "2011-04", 90.0, 100.0),
    ];
    let summary = sandbox
        .client(Who::Trust)
        .submit_all(&returns, false, |_, _| {})
        .await
        .unwrap();
    assert_eq!((summary.accepted, summary.rejected), (0, 2));
    let mut intake = sandbox.client(Who::Trust).intake();
    let request = qipp_api::proto::intake::v1::SubmitSchemeRequest {
        scheme: Some(scheme(OTHER, "S-1", "2011-04", 100)),
        validate_only: true,
    };
    let status = intake.submit_scheme(request).await.unwrap_err();
    assert_eq!(
        status.code(),
        tonic::Code::PermissionDenied,
        "a dry run tells a stranger nothing either"
    );
    assert_eq!(sandbox.written(), head);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_hold_only_what_the_caller_may_see() {
    let (sandbox, ..) = sandbox().await;
    for org in ["RA1", "RA2", "RB1"] {
        sandbox
            .submit(four_hours(org, "2011-04", 90.0, 100.0))
            .await;
    }
    for (who, seen) in [
        (Who::National, &["RA1", "RB1"][..]),
        (Who::Regional, &["RA1"]),
        (Who::Trust, &["RA1"]),
        (Who::OtherTrust, &["RB1"]),
    ] {
        let client = sandbox.client(who);
        let alerts = client
            .alerts()
            .list_alerts(ListAlertsRequest::default())
            .await
            .unwrap()
            .into_inner()
            .alerts;
        let mut orgs: Vec<&str> = alerts.iter().map(|alert| alert.org_code.as_str()).collect();
        orgs.sort_unstable();
        assert_eq!(orgs, seen, "alerts of {who:?}");

        let mut events = client
            .live_alerts()
            .watch_alerts(WatchAlertsRequest::default())
            .await
            .unwrap()
            .into_inner();
        let mut watched = Vec::new();
        for _ in seen {
            watched.push(
                events
                    .message()
                    .await
                    .unwrap()
                    .unwrap()
                    .alert
                    .unwrap()
                    .org_code,
            );
        }
        watched.sort_unstable();
        assert_eq!(watched, seen, "events of {who:?}");

        let request = GetCompletenessRequest {
            dataset: Dataset::Savings.into(),
            period: "2011-03".to_owned(),
            ..GetCompletenessRequest::default()
        };
        let found = client
            .projections()
            .get_completeness(request)
            .await
            .unwrap()
            .into_inner();
        let orgs: Vec<&str> = found
            .submissions
            .iter()
            .map(|s| s.org_code.as_str())
            .collect();
        assert_eq!(
            (orgs.as_slice(), found.expected as usize),
            (seen, seen.len()),
            "completeness of {who:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_region_sees_the_sums_of_its_own_groups_only() {
    let (sandbox, ..) = sandbox().await;
    for org in ["RA1", "RB1"] {
        sandbox
            .submit(four_hours(org, "2011-04", 90.0, 100.0))
            .await;
    }
    for (level, national, regional) in [
        ("region", &["N01", "S01"][..], &[NODE][..]),
        ("nation", &["ENG"], &[]),
    ] {
        for (who, expected) in [(Who::National, national), (Who::Regional, regional)] {
            let request = ListRollUpsRequest {
                tree: TREE.to_owned(),
                level: level.to_owned(),
                ..ListRollUpsRequest::default()
            };
            let found = sandbox
                .client(who)
                .projections()
                .list_roll_ups(request)
                .await
                .unwrap()
                .into_inner();
            let groups: Vec<&str> = found
                .cells
                .iter()
                .map(|cell| cell.group_code.as_str())
                .collect();
            assert_eq!(groups, expected, "{level} for {who:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_those_who_run_or_oversee_the_nation_may_have_the_digest_computed() {
    let (sandbox, ..) = sandbox().await;
    for who in Who::ALL {
        let request = GetStatusRequest {
            digest: true,
            ..GetStatusRequest::default()
        };
        let answer = sandbox.client(who).projections().get_status(request).await;
        match who {
            Who::National | Who::Operator => {
                assert_eq!(answer.unwrap().into_inner().digest.len(), 64)
            }
            _ => assert_eq!(
                answer.unwrap_err().code(),
                tonic::Code::PermissionDenied,
                "{who:?}"
            ),
        }
    }
}
