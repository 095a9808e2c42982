use std::collections::BTreeSet;

use prost_reflect::DescriptorPool;
use qipp_domain::reference::{Edge, ReferenceFact};

use super::*;
use crate::Scope;

fn org(code: &str) -> OrgCode {
    OrgCode::new(code).unwrap()
}

fn tree(name: &str) -> Slug {
    Slug::new(name).unwrap()
}

/// ENG over Q30 and Q31; RJ1 below Q30; RJ2 moved from Q30 to Q31; RJ3 below Q31. A second tree puts RJ1 alone below Y60.
fn reference() -> Reference {
    let mut reference = Reference::default();
    for (name, root) in [("sha_2010", "ENG"), ("region7", "Y60")] {
        reference.apply(&ReferenceFact::Tree {
            tree: tree(name),
            title: name.to_owned(),
            root: org(root),
        });
    }
    let edges = [
        ("sha_2010", "Q30", "ENG", "2000-01-01", None),
        ("sha_2010", "Q31", "ENG", "2000-01-01", None),
        ("sha_2010", "RJ1", "Q30", "2000-01-01", None),
        ("sha_2010", "RJ2", "Q30", "2000-01-01", Some("2010-04-01")),
        ("sha_2010", "RJ2", "Q31", "2010-04-01", None),
        ("sha_2010", "RJ3", "Q31", "2000-01-01", None),
        ("region7", "RJ1", "Y60", "2000-01-01", None),
    ];
    for (name, child, parent, from, until) in edges {
        reference.apply(&ReferenceFact::Edge(Edge {
            tree: tree(name),
            child: org(child),
            parent: org(parent),
            from: from.parse().unwrap(),
            until: until.map(|day| day.parse().unwrap()),
        }));
    }
    reference
}

fn principal(role: Role) -> Principal {
    let scope = match role {
        Role::Submitter => Scope::Organisations([org("RJ1")].into()),
        Role::Regional => Scope::Node {
            tree: tree("sha_2010"),
            node: org("Q30"),
        },
        Role::National | Role::Operator => Scope::Nation,
    };
    Principal {
        name: role.name().to_owned(),
        role,
        scope,
    }
}

#[test]
fn every_rpc_of_the_contract_has_exactly_one_row_and_no_row_is_without_an_rpc() {
    let pool = DescriptorPool::decode(qipp_api::DESCRIPTORS).unwrap();
    let contract: BTreeSet<String> = pool
        .services()
        .flat_map(|service| service.methods().collect::<Vec<_>>())
        .map(|method| format!("{}/{}", method.parent_service().full_name(), method.name()))
        .collect();
    let table: BTreeSet<String> = TABLE.iter().map(|rule| rule.method.to_owned()).collect();
    assert_eq!(table, contract);
    assert_eq!(TABLE.len(), table.len());
    assert_eq!(
        ACTS.iter().map(|(act, _)| *act).collect::<Vec<_>>(),
        Act::ALL
    );
}

/// What a role may do with its own organisation RJ1, with another (RJ3), with its region's node Q30 and with everything.
fn matrix() -> String {
    let reference = reference();
    let node = Target::Node {
        tree: tree("sha_2010"),
        node: org("Q30"),
    };
    let targets = [
        Target::Organisation(org("RJ1")),
        Target::Organisation(org("RJ3")),
        node,
        Target::Everything,
    ];
    let mut text = String::new();
    for rule in TABLE {
        text += &format!("{:<20}", rule.method.rsplit('/').next().unwrap());
        for role in Role::ALL {
            let allowed = |target| check(&principal(role), rule.method, target, &reference).is_ok();
            let cell: String = targets
                .into_iter()
                .zip("onNE".chars())
                .map(|(t, c)| if allowed(t) { c } else { '-' })
                .collect();
            text += &format!(" {cell}");
        }
        text += "\n";
    }
    text
}

#[test]
fn the_whole_matrix_of_roles_and_rpcs_is_as_agreed() {
    // Columns: submitter, regional, national, operator. Letters: own organisation, another, own node, everything.
    let agreed = "\
SubmitReturn         o--- ---- ---- ----
SubmitReturns        o--- ---- ---- ----
SubmitScheme         o--- ---- ---- ----
RecordFacts          ---- ---- ---- onNE
GetOrganisation      onNE onNE onNE onNE
ListOrganisations    onNE onNE onNE onNE
ListTrees            onNE onNE onNE onNE
ListTreeNodes        onNE onNE onNE onNE
ListMarkers          onNE onNE onNE onNE
ListCommunities      onNE onNE onNE onNE
ListDeadlines        onNE onNE onNE onNE
GetSeries            o--- o-N- onNE onNE
ListRevisions        o--- o-N- onNE onNE
GetSavingsPosition   o--- o-N- onNE onNE
ListSchemes          o--- o-N- onNE onNE
GetCompleteness      o-NE o-NE onNE onNE
ListRollUps          ---- o-NE onNE onNE
GetStatus            o-NE o-NE onNE onNE
ListAlerts           o-NE o-NE onNE onNE
GetAlert             o--- o-N- onNE onNE
WatchAlerts          o-NE o-NE onNE onNE
ActOnAlert           o--- o-N- onNE ----
RecomputeAlert       o--- o-N- onNE onNE
ListBenchmarks       ---- onNE onNE onNE
ListAssessments      ---- o-NE onNE onNE
ExportLog            ---- ---- ---- onNE
StartRebuild         ---- ---- ---- onNE
GetRebuild           ---- ---- ---- onNE
SwitchRebuild        ---- ---- ---- onNE
ForgetRebuild        ---- ---- ---- onNE
FetchCheckpoint      ---- ---- ---- onNE
";
    let matrix = matrix();
    assert_eq!(matrix, agreed, "\n{matrix}");
}

#[test]
fn an_organisation_answers_and_others_ask_and_decide() {
    let reference = reference();
    let acts = |role: Role, code: &str| -> String {
        let may = |act: &Act| check_act(&principal(role), *act, org(code), &reference).is_ok();
        Act::ALL
            .iter()
            .filter(|act| may(act))
            .map(|act| act.name())
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(acts(Role::Submitter, "RJ1"), "acknowledge answer");
    assert_eq!(acts(Role::Submitter, "RJ3"), "");
    assert_eq!(
        acts(Role::Regional, "RJ1"),
        "acknowledge ask confirm refute close"
    );
    assert_eq!(acts(Role::Regional, "RJ3"), "");
    assert_eq!(
        acts(Role::National, "RJ3"),
        "acknowledge ask answer confirm refute close"
    );
    assert_eq!(acts(Role::Operator, "RJ1"), "");
    assert!(
        check_digest(&principal(Role::Operator)).is_ok()
            && check_digest(&principal(Role::Regional)).is_err()
    );
}

#[test]
fn who_once_stood_below_a_node_stays_visible_from_it() {
    let reference = reference();
    let north = principal(Role::Regional);
    let seen: Vec<&str> = ["ENG", "Q30", "Q31", "RJ1", "RJ2", "RJ3"]
        .into_iter()
        .filter(|code| visible(&north, org(code), &reference))
        .collect();
    assert_eq!(seen, ["Q30", "RJ1", "RJ2"]);
}

#[test]
fn a_sum_is_visible_only_where_every_part_of_it_is() {
    let reference = reference();
    let north = principal(Role::Regional);
    let sees = |tree_name: &str, node: &str| {
        visible_node(&north, tree(tree_name), Some(org(node)), &reference)
    };
    assert!(sees("sha_2010", "Q30"));
    // RJ2 moved to Q31, but RJ3 was never below Q30.
    assert!(!sees("sha_2010", "Q31"));
    assert!(!sees("sha_2010", "ENG"));
    // Another tree: Y60 itself is not below Q30.
    assert!(!sees("region7", "Y60"));
    assert!(!sees("no_such_tree", "Q30") && !sees("sha_2010", "XXX"));
    assert!(!visible_node(&north, tree("sha_2010"), None, &reference));
    assert!(visible_node(
        &principal(Role::National),
        tree("no_such_tree"),
        None,
        &reference
    ));
    // A list of organisations sees a node that holds nothing else.
    assert!(visible_node(
        &principal(Role::Submitter),
        tree("sha_2010"),
        Some(org("RJ1")),
        &reference
    ));
}

#[test]
fn a_refusal_says_what_is_missing_and_whom_to_ask() {
    let reference = reference();
    let submitter = principal(Role::Submitter);
    let denied =
        |method: &str, target: Target| check(&submitter, method, target, &reference).unwrap_err();
    let scope = denied(method::SUBMIT_RETURN, Target::Organisation(org("RJ3")));
    assert_eq!(scope.reason.code(), "OUT_OF_SCOPE");
    assert!(
        scope.message.contains("`submitter` (submitter for RJ1)")
            && scope.message.contains("for RJ3"),
        "{scope}"
    );
    let role = denied(method::RECORD_FACTS, Target::None);
    assert_eq!(role.reason.code(), "ROLE_NOT_ALLOWED");
    assert!(
        role.message.contains("needs the role operator")
            && role.message.contains("ask the operator"),
        "{role}"
    );
    assert_eq!(
        denied("qipp.intake.v1.IntakeService/Nothing", Target::None)
            .reason
            .code(),
        "UNKNOWN_METHOD"
    );
    // A stream opens with the role alone, and a path may keep its slash.
    assert!(
        check(
            &submitter,
            "/qipp.intake.v1.IntakeService/SubmitReturns",
            Target::None,
            &reference
        )
        .is_ok()
    );
}
