//! The policy: one table says which role may call which rpc and how its scope is held against what the call is about.
//!
//! Refuses whatever the table does not name. Never reads a message: the service says what a call is about ([`Target`]), because it has
//! parsed it. Decisions are made against the reference data that the caller passes in, so that each can be replayed.

use std::fmt;

use qipp_domain::alert::Act;
use qipp_domain::reference::Reference;
use qipp_domain::{OrgCode, Slug};
use thiserror::Error;

use crate::{Principal, Role};

/// Full names of the rpcs, as in the descriptors and, after a slash, in the path of a call.
pub mod method {
    #![allow(missing_docs, reason = "the contract documents the rpcs")]
    pub const SUBMIT_RETURN: &str = "qipp.intake.v1.IntakeService/SubmitReturn";
    pub const SUBMIT_RETURNS: &str = "qipp.intake.v1.IntakeService/SubmitReturns";
    pub const SUBMIT_SCHEME: &str = "qipp.intake.v1.IntakeService/SubmitScheme";
    pub const RECORD_FACTS: &str = "qipp.registry.v1.RegistryService/RecordFacts";
    pub const GET_ORGANISATION: &str = "qipp.registry.v1.RegistryService/GetOrganisation";
    pub const LIST_ORGANISATIONS: &str = "qipp.registry.v1.RegistryService/ListOrganisations";
    pub const LIST_TREES: &str = "qipp.registry.v1.RegistryService/ListTrees";
    pub const LIST_TREE_NODES: &str = "qipp.registry.v1.RegistryService/ListTreeNodes";
    pub const LIST_MARKERS: &str = "qipp.registry.v1.RegistryService/ListMarkers";
    pub const LIST_COMMUNITIES: &str = "qipp.registry.v1.RegistryService/ListCommunities";
    pub const LIST_DEADLINES: &str = "qipp.registry.v1.RegistryService/ListDeadlines";
    pub const GET_SERIES: &str = "qipp.projections.v1.ProjectionsService/GetSeries";
    pub const LIST_REVISIONS: &str = "qipp.projections.v1.ProjectionsService/ListRevisions";
    pub const GET_SAVINGS_POSITION: &str =
        "qipp.projections.v1.ProjectionsService/GetSavingsPosition";
    pub const LIST_SCHEMES: &str = "qipp.projections.v1.ProjectionsService/ListSchemes";
    pub const GET_COMPLETENESS: &str = "qipp.projections.v1.ProjectionsService/GetCompleteness";
    pub const LIST_ROLL_UPS: &str = "qipp.projections.v1.ProjectionsService/ListRollUps";
    pub const GET_STATUS: &str = "qipp.projections.v1.ProjectionsService/GetStatus";
    pub const LIST_ALERTS: &str = "qipp.alerts.v1.AlertsService/ListAlerts";
    pub const GET_ALERT: &str = "qipp.alerts.v1.AlertsService/GetAlert";
    pub const WATCH_ALERTS: &str = "qipp.alerts.v1.AlertsService/WatchAlerts";
    pub const ACT_ON_ALERT: &str = "qipp.alerts.v1.AlertsService/ActOnAlert";
    pub const RECOMPUTE_ALERT: &str = "qipp.alerts.v1.AlertsService/RecomputeAlert";
    pub const LIST_BENCHMARKS: &str = "qipp.alerts.v1.AlertsService/ListBenchmarks";
    pub const LIST_ASSESSMENTS: &str = "qipp.alerts.v1.AlertsService/ListAssessments";
    pub const EXPORT_LOG: &str = "qipp.log.v1.LogService/ExportLog";
    pub const START_REBUILD: &str = "qipp.replica.v1.ReplicaService/StartRebuild";
    pub const GET_REBUILD: &str = "qipp.replica.v1.ReplicaService/GetRebuild";
    pub const SWITCH_REBUILD: &str = "qipp.replica.v1.ReplicaService/SwitchRebuild";
    pub const FORGET_REBUILD: &str = "qipp.replica.v1.ReplicaService/ForgetRebuild";
    pub const FETCH_CHECKPOINT: &str = "qipp.replica.v1.ReplicaService/FetchCheckpoint";
}

/// How a scope is held against what a call is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// The target has to be in the scope.
    Own,
    /// Open to every principal with the role, whatever its scope.
    Any,
    /// Allowed, and the answer holds only what is in scope. A single organisation that is named has to be in scope all the same, because
    /// a refusal tells more than an empty list.
    Filtered,
    /// The scope has to be the nation.
    Nation,
}

/// One row of the policy.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// Full name of the rpc.
    pub method: &'static str,
    /// Roles that may call it.
    pub roles: &'static [Role],
    /// How the scope is held against the target.
    pub check: Check,
}

const SUBMITTER: &[Role] = &[Role::Submitter];
const OPERATOR: &[Role] = &[Role::Operator];
const EVERYBODY: &[Role] = &Role::ALL;
/// Sums over many organisations are official-sensitive until they are published, so that submitters do not see them.
const OVERSEERS: &[Role] = &[Role::Regional, Role::National, Role::Operator];
/// Those who take part in the conversation about an alert; which act each may do is in [`ACTS`].
const CONVERSING: &[Role] = &[Role::Submitter, Role::Regional, Role::National];

const fn row(method: &'static str, roles: &'static [Role], check: Check) -> Rule {
    Rule {
        method,
        roles,
        check,
    }
}

/// The policy.
pub const TABLE: &[Rule] = &[
    row(method::SUBMIT_RETURN, SUBMITTER, Check::Own),
    row(method::SUBMIT_RETURNS, SUBMITTER, Check::Own),
    row(method::SUBMIT_SCHEME, SUBMITTER, Check::Own),
    row(method::RECORD_FACTS, OPERATOR, Check::Nation),
    row(method::GET_ORGANISATION, EVERYBODY, Check::Any),
    row(method::LIST_ORGANISATIONS, EVERYBODY, Check::Any),
    row(method::LIST_TREES, EVERYBODY, Check::Any),
    row(method::LIST_TREE_NODES, EVERYBODY, Check::Any),
    row(method::LIST_MARKERS, EVERYBODY, Check::Any),
    row(method::LIST_COMMUNITIES, EVERYBODY, Check::Any),
    row(method::LIST_DEADLINES, EVERYBODY, Check::Any),
    row(method::GET_SERIES, EVERYBODY, Check::Own),
    row(method::LIST_REVISIONS, EVERYBODY, Check::Own),
    row(method::GET_SAVINGS_POSITION, EVERYBODY, Check::Own),
    row(method::LIST_SCHEMES, EVERYBODY, Check::Own),
    row(method::GET_COMPLETENESS, EVERYBODY, Check::Filtered),
    row(method::LIST_ROLL_UPS, OVERSEERS, Check::Filtered),
    row(method::GET_STATUS, EVERYBODY, Check::Filtered),
    row(method::LIST_ALERTS, EVERYBODY, Check::Filtered),
    row(method::GET_ALERT, EVERYBODY, Check::Own),
    row(method::WATCH_ALERTS, EVERYBODY, Check::Filtered),
    row(method::ACT_ON_ALERT, CONVERSING, Check::Own),
    row(method::RECOMPUTE_ALERT, EVERYBODY, Check::Own),
    row(method::LIST_BENCHMARKS, OVERSEERS, Check::Any),
    row(method::LIST_ASSESSMENTS, OVERSEERS, Check::Filtered),
    row(method::EXPORT_LOG, OPERATOR, Check::Nation),
    row(method::START_REBUILD, OPERATOR, Check::Nation),
    row(method::GET_REBUILD, OPERATOR, Check::Nation),
    row(method::SWITCH_REBUILD, OPERATOR, Check::Nation),
    row(method::FORGET_REBUILD, OPERATOR, Check::Nation),
    row(method::FETCH_CHECKPOINT, OPERATOR, Check::Nation),
];

/// Who may do what with an alert. An organisation answers the question that others put to it, and never decides its own case.
pub const ACTS: &[(Act, &[Role])] = &[
    (Act::Acknowledge, CONVERSING),
    (Act::Ask, &[Role::Regional, Role::National]),
    (Act::Answer, &[Role::Submitter, Role::National]),
    (Act::Confirm, &[Role::Regional, Role::National]),
    (Act::Refute, &[Role::Regional, Role::National]),
    (Act::Close, &[Role::Regional, Role::National]),
];

/// Who may have the digest of the whole state computed: it takes a while.
const DIGEST: &[Role] = &[Role::National, Role::Operator];

/// What a call is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// One organisation.
    Organisation(OrgCode),
    /// Everything at and below a node of a tree.
    Node {
        /// The tree.
        tree: Slug,
        /// The node.
        node: OrgCode,
    },
    /// All organisations.
    Everything,
    /// Nothing yet, or nothing that belongs to an organisation. Only the role is checked; a stream checks each message in its turn.
    None,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Organisation(org) => write!(f, "{org}"),
            Self::Node { tree, node } => write!(f, "everything below {node} of tree `{tree}`"),
            Self::Everything => f.write_str("the nation"),
            Self::None => f.write_str("no organisation"),
        }
    }
}

/// Why a call is refused, for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeniedReason {
    /// The role may not do this at all.
    Role,
    /// The role may, for others.
    Scope,
    /// The table does not know the rpc.
    Method,
}

impl DeniedReason {
    /// A stable code.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Role => "ROLE_NOT_ALLOWED",
            Self::Scope => "OUT_OF_SCOPE",
            Self::Method => "UNKNOWN_METHOD",
        }
    }
}

/// A refusal that says what is missing and whom to ask.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct Denied {
    /// For programs.
    pub reason: DeniedReason,
    /// For people.
    pub message: String,
}

/// The row of an rpc. The leading slash of a path is accepted.
#[must_use]
pub fn rule(method: &str) -> Option<&'static Rule> {
    let method = method.strip_prefix('/').unwrap_or(method);
    TABLE.iter().find(|rule| rule.method == method)
}

/// May the principal make the call?
///
/// # Errors
/// [`Denied`] when the table does not allow it.
pub fn check(
    principal: &Principal,
    method: &str,
    target: Target,
    reference: &Reference,
) -> Result<(), Denied> {
    let Some(rule) = rule(method) else {
        let message = format!("`{method}` is not in the access policy: nobody may call it");
        return Err(Denied {
            reason: DeniedReason::Method,
            message,
        });
    };
    let name = rule.method.rsplit('/').next().unwrap_or(rule.method);
    allow_role(principal, name, rule.roles)?;
    let in_scope = match (rule.check, target) {
        (Check::Any, _) | (Check::Own, Target::None) => true,
        (Check::Filtered, Target::Organisation(org)) => visible(principal, org, reference),
        (Check::Filtered, _) => true,
        (Check::Own, target) => contains(principal, target, reference),
        (Check::Nation, _) => contains(principal, Target::Everything, reference),
    };
    let asked_for = if rule.check == Check::Nation {
        Target::Everything
    } else {
        target
    };
    if in_scope {
        Ok(())
    } else {
        Err(out_of_scope(principal, name, asked_for))
    }
}

/// May the principal do this with an alert of the organisation? Covers the check of the rpc.
///
/// # Errors
/// [`Denied`] when the tables do not allow it.
pub fn check_act(
    principal: &Principal,
    act: Act,
    org: OrgCode,
    reference: &Reference,
) -> Result<(), Denied> {
    check(
        principal,
        method::ACT_ON_ALERT,
        Target::Organisation(org),
        reference,
    )?;
    let roles = ACTS
        .iter()
        .find(|(known, _)| *known == act)
        .map_or(&[][..], |(_, roles)| roles);
    allow_role(
        principal,
        &format!("the act `{}` on an alert", act.name()),
        roles,
    )
}

/// May the principal have the digest of the whole state computed?
///
/// # Errors
/// [`Denied`] when it may not.
pub fn check_digest(principal: &Principal) -> Result<(), Denied> {
    allow_role(principal, "GetStatus with `digest`", DIGEST)
}

/// May the principal see what belongs to the organisation? For cutting down lists.
#[must_use]
pub fn visible(principal: &Principal, org: OrgCode, reference: &Reference) -> bool {
    principal.scope.contains(org, reference)
}

/// May the principal see a sum over everything at and below a node? For cutting down roll-ups. The group of those that stand below no node
/// of a level has no node: it belongs to the nation.
#[must_use]
pub fn visible_node(
    principal: &Principal,
    tree: Slug,
    node: Option<OrgCode>,
    reference: &Reference,
) -> bool {
    let target = node.map_or(Target::Everything, |node| Target::Node { tree, node });
    contains(principal, target, reference)
}

fn contains(principal: &Principal, target: Target, reference: &Reference) -> bool {
    match target {
        Target::Organisation(org) => principal.scope.contains(org, reference),
        Target::Node { tree, node } => principal.scope.contains_node(tree, node, reference),
        Target::Everything => principal.scope == crate::Scope::Nation,
        Target::None => true,
    }
}

fn allow_role(principal: &Principal, what: &str, roles: &[Role]) -> Result<(), Denied> {
    if roles.contains(&principal.role) {
        return Ok(());
    }
    let needed: Vec<&str> = roles.iter().map(|role| role.name()).collect();
    let message = format!(
        "{principal} may not call {what}: that needs the role {}. Use such a key, or ask the operator of this service for one",
        needed.join(" or ")
    );
    Err(Denied {
        reason: DeniedReason::Role,
        message,
    })
}

fn out_of_scope(principal: &Principal, name: &str, target: Target) -> Denied {
    let message = format!(
        "{principal} may not call {name} for {target}, which is outside of its scope. If it should be inside, ask the operator of this \
         service to widen the key's scope, or the registry to correct where the organisation stands"
    );
    Denied {
        reason: DeniedReason::Scope,
        message,
    }
}

#[cfg(test)]
mod tests;
