//! ListAlerts, GetAlert, RecomputeAlert, ListBenchmarks, ListAssessments.

use std::time::Duration;

use qipp_access::{Target, visible};
use qipp_api::cut::{cut_from_proto, cut_to_proto};
use qipp_api::error::{ApiError, Code};
use qipp_api::names::severity_from_proto;
use qipp_api::proto::alerts::v1 as wire;
use qipp_api::view;
use qipp_domain::alert::{Alert, AlertEventKind, Condition, Severity, Standing, Transition};
use qipp_domain::nation::Nation;
use qipp_domain::reference::Reference;
use qipp_domain::surveillance::Assessment;
use qipp_domain::validate::Problem;
use qipp_domain::{Cut, KnownAt, MarkerCode, OrgCode, Slug};
use qipp_rules::{CATALOGUE, LooksAt, Rule};
use qipp_serving::field::{Together as _, months, optional, required, tree_of_node};
use qipp_serving::{Answer, Caller, named};

use crate::{Alerts, Turn};

/// So long a call waits, where several processes share a log, until it is clear whether this one evaluates.
const STARTING: Duration = Duration::from_secs(10);

/// Which alerts are wanted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Filter<'a> {
    pub(crate) org: Option<OrgCode>,
    pub(crate) rule: &'a str,
    pub(crate) min_severity: Option<Severity>,
    pub(crate) node: Option<(Slug, OrgCode)>,
    pub(crate) open_only: bool,
}

impl<'a> Filter<'a> {
    pub(crate) fn parse(filter: Option<&'a wire::AlertFilter>) -> Result<Self, ApiError> {
        let Some(filter) = filter else {
            return Ok(Self {
                org: None,
                rule: "",
                min_severity: None,
                node: None,
                open_only: false,
            });
        };
        let (org, tree, node, ()) = (
            optional::<OrgCode>(&filter.org_code, "filter.org_code", "ORG_CODE_INVALID"),
            optional::<Slug>(&filter.tree, "filter.tree", "TREE_INVALID"),
            optional::<OrgCode>(&filter.node_code, "filter.node_code", "ORG_CODE_INVALID"),
            tree_of_node(&filter.tree, &filter.node_code, "filter."),
        )
            .together()?;
        Ok(Self {
            org,
            rule: &filter.rule_id,
            min_severity: severity_from_proto(filter.min_severity()),
            node: tree.zip(node),
            open_only: filter.open_only,
        })
    }

    /// Refuses what names nothing: an answer without alerts would say that all is well.
    ///
    /// # Errors
    /// INVALID_ARGUMENT with everything that is not known.
    pub(crate) fn check(&self, current: &Reference) -> Result<(), ApiError> {
        let rules: Vec<&str> = CATALOGUE.iter().map(|rule| rule.id).collect();
        let told = ("UNKNOWN_RULE", "rule", "filter.rule_id");
        let tree = |(tree, _)| named::tree(current, tree, "filter.tree");
        let node = |(tree, node)| named::node(current, tree, node, "filter.node_code");
        named::all_known([
            self.org
                .and_then(|org| named::organisation(current, org, "filter.org_code")),
            (!self.rule.is_empty())
                .then(|| named::among(rules, &self.rule, told))
                .flatten(),
            self.node.and_then(tree),
            self.node.and_then(node),
        ])
    }

    /// What policy is checked against: what is named has to be in scope, the rest is filtered.
    pub(crate) fn target(&self) -> Target {
        match (self.org, self.node) {
            (Some(org), _) => Target::Organisation(org),
            (None, Some((tree, node))) => Target::Node { tree, node },
            (None, None) => Target::None,
        }
    }

    pub(crate) fn wants_org(&self, org: OrgCode, reference: &Reference) -> bool {
        let below = |(tree, node)| {
            reference
                .tree(tree)
                .is_some_and(|tree| tree.was_ever_within(org, node))
        };
        self.org.is_none_or(|wanted| wanted == org) && self.node.is_none_or(below)
    }

    fn wants(&self, alert: &Alert, standing: &Standing<'_>) -> bool {
        let rule = self.rule.is_empty() || alert.rule == self.rule;
        let severe = self
            .min_severity
            .is_none_or(|least| standing.finding.severity >= least);
        rule && severe && (!self.open_only || standing.is_open())
    }
}

fn stopped() -> ApiError {
    ApiError::new(
        Code::Unavailable,
        "EVALUATION_STOPPED",
        "the rules are not evaluated any more: try again later",
    )
}

impl Alerts {
    pub(crate) async fn list(
        &self,
        caller: &Caller,
        request: wire::ListAlertsRequest,
    ) -> Result<wire::ListAlertsResponse, ApiError> {
        self.wait_for_evaluation(caller, request.min_evaluated.as_ref())
            .await?;
        let evaluated = self.evaluated_here();
        let filter = Filter::parse(request.filter.as_ref())?;
        let list = self
            .deps
            .answer_list(caller, request.read.as_ref(), &request)
            .await?;
        let answer = &list.answer;
        caller.may(filter.target(), &answer.current)?;
        filter.check(&answer.current)?;
        let mut found: Vec<(String, &Alert, Standing<'_>)> = Vec::new();
        for (org, book) in answer.nation.alert_books() {
            if filter.wants_org(org, &answer.reference)
                && visible(&caller.principal, org, &answer.current)
            {
                let known = book
                    .iter()
                    .filter_map(|alert| alert.known(&answer.at).map(|standing| (alert, standing)));
                let wanted = known.filter(|(alert, standing)| filter.wants(alert, standing));
                found.extend(
                    wanted.map(|(alert, standing)| (cursor(alert, &standing), alert, standing)),
                );
            }
        }
        found.sort_by(|a, b| a.0.cmp(&b.0));
        let expected = expected_false(found.iter().map(|(_, _, standing)| standing));
        let (found, next_page_token) = list.take(found, |(cursor, ..)| cursor.clone());
        Ok(wire::ListAlertsResponse {
            alerts: found
                .into_iter()
                .map(|(_, alert, standing)| shown(alert, &standing, &answer.reference))
                .collect(),
            next_page_token,
            cut: answer.wire_cut(),
            evaluated,
            expected_false: Some(expected),
        })
    }

    /// Waits until the rules have been evaluated on everything up to the cut.
    async fn wait_for_evaluation(
        &self,
        caller: &Caller,
        cut: Option<&qipp_api::proto::events::v1::Cut>,
    ) -> Result<(), ApiError> {
        let Some(cut) = cut else { return Ok(()) };
        let cut: Cut = cut_from_proto(cut, "min_evaluated").map_err(ApiError::invalid)?;
        let what = "the evaluation asked for";
        caller
            .within("NOT_EVALUATED_YET", what, self.evaluation_of(&cut))
            .await?
    }

    /// Resolves when the rules have been evaluated here on everything up to the cut, or when there is nothing to wait for.
    pub(crate) async fn evaluation_of(&self, cut: &Cut) -> Result<(), ApiError> {
        let mut evaluated = self.evaluated.clone();
        tokio::select! {
            biased;
            done = evaluated.wait_for(|done| done.includes(cut)) => {
                done.map(|_| ()).map_err(|_| stopped())
            }
            error = self.evaluated_elsewhere() => Err(error),
        }
    }

    /// The cut up to which this process has evaluated; `None` when another one does.
    fn evaluated_here(&self) -> Option<qipp_api::proto::events::v1::Cut> {
        let here = self.standing.borrow().turn != Turn::StandingBy;
        here.then(|| cut_to_proto(&self.evaluated.borrow()))
    }

    /// Resolves when it is clear that there is nothing to wait for here.
    async fn evaluated_elsewhere(&self) -> ApiError {
        let mut standing = self.standing.clone();
        let shared = self.deps.log.is_shared();
        loop {
            let turn = standing.borrow_and_update().turn;
            let changed = standing.wait_for(|now| now.turn != turn);
            let changed = match turn {
                Turn::StandingBy => break,
                Turn::Starting if shared => match tokio::time::timeout(STARTING, changed).await {
                    Ok(changed) => changed.is_ok(),
                    Err(_) => break,
                },
                Turn::Starting | Turn::Evaluating => changed.await.is_ok(),
            };
            if !changed {
                // It has ended: whoever waits for the evaluation is told so.
                std::future::pending::<()>().await;
            }
        }
        let what = "another process evaluates the rules: ask that one for `min_evaluated`, or ask through a gateway, which tries them in turn";
        ApiError::unavailable("EVALUATED_ELSEWHERE", what, Duration::from_secs(1))
    }

    pub(crate) async fn get(
        &self,
        caller: &Caller,
        request: wire::GetAlertRequest,
    ) -> Result<wire::GetAlertResponse, ApiError> {
        let answer = self.deps.answer(caller, request.read.as_ref()).await?;
        let alert = permitted(caller, &answer.nation, &answer.current, &request.alert_id)?;
        let standing = alert
            .known(&answer.at)
            .ok_or_else(|| unknown(&request.alert_id))?;
        let history = alert
            .history
            .iter()
            .filter(|event| answer.at.covers(event.stamp));
        Ok(wire::GetAlertResponse {
            alert: Some(shown(alert, &standing, &answer.reference)),
            history: history
                .map(|event| view::alert_event(&alert.id, event))
                .collect(),
            cut: answer.wire_cut(),
        })
    }

    pub(crate) async fn recompute(
        &self,
        caller: &Caller,
        request: wire::RecomputeAlertRequest,
    ) -> Result<wire::RecomputeAlertResponse, ApiError> {
        let answer: Answer<'_> = self.deps.answer(caller, None).await?;
        let alert = permitted(caller, &answer.nation, &answer.current, &request.alert_id)?;
        // The last evaluation that found something: a clear or a withdrawal says what was not found.
        let found = alert
            .history
            .iter()
            .rev()
            .find_map(|event| match &event.kind {
                AlertEventKind::Evaluated(transition, finding) if is_found(*transition) => {
                    Some(finding)
                }
                _ => None,
            });
        let recorded = found.ok_or_else(|| unknown(&request.alert_id))?;
        let recomputed = qipp_rules::recompute(&answer.nation, recorded);
        Ok(wire::RecomputeAlertResponse {
            equal: recomputed.as_ref() == Some(recorded),
            recorded: Some(view::finding_to_proto(recorded)),
            recomputed: recomputed.as_ref().map(view::finding_to_proto),
        })
    }

    pub(crate) async fn assessments(
        &self,
        caller: &Caller,
        request: wire::ListAssessmentsRequest,
    ) -> Result<wire::ListAssessmentsResponse, ApiError> {
        let (peer_group, (from, to)) = (
            optional::<Slug>(&request.peer_group, "peer_group", "KIND_INVALID"),
            months(&request.from, &request.to),
        )
            .together()?;
        let answer = self.deps.answer(caller, request.read.as_ref()).await?;
        caller.may(Target::None, &answer.current)?;
        named::all_known([
            peer_group.and_then(|kind| named::kind(&answer.current, kind, "peer_group"))
        ])?;
        let mut wanted: Vec<&Assessment> = answer
            .nation
            .assessments()
            .iter(&answer.at)
            .filter(|held| {
                peer_group.is_none_or(|group| held.peer_group == group)
                    && from.is_none_or(|from| from <= held.period)
                    && to.is_none_or(|to| held.period <= to)
            })
            .collect();
        wanted.sort_by_key(|held| (held.period, held.peer_group));
        let seen = |held: &Assessment| {
            let mut held = held.clone();
            held.watched
                .retain(|entry| visible(&caller.principal, entry.org, &answer.current));
            view::assessment_to_proto(&held)
        };
        Ok(wire::ListAssessmentsResponse {
            assessments: wanted.into_iter().map(seen).collect(),
            cut: answer.wire_cut(),
        })
    }

    pub(crate) async fn benchmarks(
        &self,
        caller: &Caller,
        request: wire::ListBenchmarksRequest,
    ) -> Result<wire::ListBenchmarksResponse, ApiError> {
        let (marker, peer_group, (from, to)) = (
            required::<MarkerCode>(&request.marker, "marker", "MARKER_INVALID"),
            optional::<Slug>(&request.peer_group, "peer_group", "KIND_INVALID"),
            months(&request.from, &request.to),
        )
            .together()?;
        let answer = self.deps.answer(caller, request.read.as_ref()).await?;
        caller.may(Target::None, &answer.current)?;
        named::all_known([
            peer_group.and_then(|kind| named::kind(&answer.current, kind, "peer_group"))
        ])?;
        if answer.reference.latest_marker(marker).is_none() {
            let what = format!(
                "{marker} is not in the catalogue: ListMarkers names the markers that there are"
            );
            return Err(ApiError::invalid(vec![Problem::new(
                "UNKNOWN_MARKER",
                "marker",
                what,
            )]));
        }
        let wanted = answer.nation.benchmarks().iter(&answer.at).filter(|value| {
            value.marker == marker
                && peer_group.is_none_or(|group| value.peer_group == group)
                && from.is_none_or(|from| from <= value.period)
                && to.is_none_or(|to| value.period <= to)
        });
        Ok(wire::ListBenchmarksResponse {
            benchmarks: wanted.map(view::national_value_to_proto).collect(),
            cut: answer.wire_cut(),
        })
    }
}

/// How many of the alerts are expected to be false.
fn expected_false<'a>(alerts: impl Iterator<Item = &'a Standing<'a>>) -> wire::ExpectedFalse {
    let undecided = |held: &&Standing<'_>| {
        held.condition == Condition::Holds && held.is_open() && held.outcome.is_none()
    };
    let mut expected = wire::ExpectedFalse::default();
    for standing in alerts.filter(undecided) {
        let finding = standing.finding;
        let looks_at = Rule::of(&finding.rule).map(|rule| rule.looks_at);
        match &finding.evidence.joint {
            Some(joint) => {
                expected.jointly_decided += 1;
                expected.expected += joint.entry.chance_false;
            }
            None if looks_at == Some(LooksAt::Figures) => expected.not_controlled += 1,
            None => {}
        }
    }
    expected
}

fn is_found(transition: Transition) -> bool {
    matches!(
        transition,
        Transition::Raised | Transition::Updated | Transition::Suppressed
    )
}

/// Newest month first, then by identifier, as a text that sorts that way.
fn cursor(alert: &Alert, standing: &Standing<'_>) -> String {
    let period = standing.finding.period;
    format!(
        "{:04}{:02}-{}",
        9999 - i32::from(period.year()),
        12 - period.month(),
        alert.id
    )
}

/// An alert as it is shown.
pub(crate) fn shown(alert: &Alert, standing: &Standing<'_>, reference: &Reference) -> wire::Alert {
    let name = reference
        .organisation(alert.org)
        .map(|o| o.name.as_str())
        .unwrap_or_default();
    view::alert(alert, name, standing)
}

/// The alert of that identifier, when the caller may see it.
///
/// # Errors
/// NOT_FOUND, or PERMISSION_DENIED.
pub(crate) fn permitted<'a>(
    caller: &Caller,
    nation: &'a Nation,
    current: &Reference,
    id: &str,
) -> Result<&'a Alert, ApiError> {
    let alert = nation
        .alert_books()
        .find_map(|(_, book)| book.get(id))
        .ok_or_else(|| unknown(id))?;
    caller.may(Target::Organisation(alert.org), current)?;
    Ok(alert)
}

pub(crate) fn unknown(id: &str) -> ApiError {
    let id: String = id.chars().take(80).collect();
    ApiError::new(
        Code::NotFound,
        "UNKNOWN_ALERT",
        format!("there is no alert `{id}`: ListAlerts names those that there are"),
    )
}

/// Everything that is known.
pub(crate) const LATEST: KnownAt = KnownAt::Latest;
