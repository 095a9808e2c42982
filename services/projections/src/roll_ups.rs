//! ListRollUps and GetCompleteness: many organisations as one figure, and who is in it.

use std::fmt::Display;

use jiff::civil::Date;
use qipp_access::{Target, visible_node};
use qipp_api::cut::time_to_text;
use qipp_api::error::ApiError;
use qipp_api::proto::projections::v1 as wire;
use qipp_api::view;
use qipp_domain::completeness::{State, Submission, submissions};
use qipp_domain::rollup::{CellKey, Partial, Parts, Query, roll_up};
use qipp_domain::{Breakdown, MarkerCode, OrgCode, Period, Slug};
use qipp_serving::field::{Together as _, months, optional, required, tree_of_node};
use qipp_serving::{Answer, Caller, named};

use crate::Projections;
use crate::revisions::dataset;
use crate::savings::known_tree;
use crate::series::structure;

impl Projections {
    pub(crate) async fn roll_ups(
        &self,
        caller: &Caller,
        request: wire::ListRollUpsRequest,
    ) -> Result<wire::ListRollUpsResponse, ApiError> {
        let (tree, level, marker, parts, (from, to), day) = (
            required::<Slug>(&request.tree, "tree", "TREE_INVALID"),
            required::<Slug>(&request.level, "level", "LEVEL_INVALID"),
            optional::<MarkerCode>(&request.marker, "marker", "MARKER_INVALID"),
            parts(&request.breakdown),
            months(&request.from, &request.to),
            optional::<Date>(&request.structure_date, "structure_date", "DAY_INVALID"),
        )
            .together()?;
        let structure = structure(request.structure, day, self.deps.today())?;
        let list = self
            .deps
            .answer_list(caller, request.read.as_ref(), &request)
            .await?;
        let answer = &list.answer;
        let known = known_tree(answer, tree)?;
        caller.may(Target::None, &answer.current)?;
        named::all_known([
            named::kind(&answer.current, level, "level"),
            marker.and_then(|marker| named::marker(&answer.current, marker, "marker")),
        ])?;
        let query = Query {
            tree: known,
            level,
            marker,
            parts,
            // Months before the page's are not added up only to be passed over.
            from: from.max(list.cursor().and_then(month_of)),
            to,
            structure,
            sources: request.include_sources,
        };
        let cells = roll_up(&answer.nation, &answer.reference, &answer.at, query);
        let visible = cells
            .filter(|(key, _)| visible_node(&caller.principal, tree, key.group, &answer.current));
        let (cells, next_page_token) = list.take(visible, |(key, _)| cursor(key));
        Ok(wire::ListRollUpsResponse {
            cells: cells
                .into_iter()
                .map(|(key, partial)| cell(answer, &key, &partial))
                .collect(),
            next_page_token,
            cut: answer.wire_cut(),
            shards_away: self.others(),
        })
    }

    pub(crate) async fn completeness(
        &self,
        caller: &Caller,
        request: wire::GetCompletenessRequest,
    ) -> Result<wire::GetCompletenessResponse, ApiError> {
        let (dataset, period, tree, node, (), as_of) = (
            dataset(request.dataset),
            required::<Period>(&request.period, "period", "PERIOD_INVALID"),
            optional::<Slug>(&request.tree, "tree", "TREE_INVALID"),
            optional::<OrgCode>(&request.node_code, "node_code", "ORG_CODE_INVALID"),
            tree_of_node(&request.tree, &request.node_code, ""),
            optional::<Date>(&request.as_of, "as_of", "DAY_INVALID"),
        )
            .together()?;
        let today = as_of.unwrap_or_else(|| self.deps.today());
        let answer = self.deps.answer(caller, request.read.as_ref()).await?;
        let target = match (tree, node) {
            (Some(tree), Some(node)) => Target::Node { tree, node },
            _ => Target::None,
        };
        caller.may(target, &answer.current)?;
        let known = tree.map(|tree| known_tree(&answer, tree)).transpose()?;
        named::all_known([tree
            .zip(node)
            .and_then(|(tree, node)| named::node(&answer.current, tree, node, "node_code"))])?;
        let within = |org: OrgCode| match (known, node) {
            (Some(tree), Some(node)) => tree.is_within(org, node, period.last_day()),
            _ => true,
        };
        let found: Vec<Submission> = submissions(
            &answer.nation,
            &answer.reference,
            &answer.at,
            dataset,
            period,
            today,
        )
        .into_iter()
        .filter(|s| self.is_own(s.org) && within(s.org) && caller.sees(s.org, &answer.current))
        .collect();
        let due = answer.reference.deadline(dataset, period);
        Ok(wire::GetCompletenessResponse {
            due: due.map(|day| day.to_string()).unwrap_or_default(),
            cut: answer.wire_cut(),
            shards_away: self.others(),
            ..counted(&found)
        })
    }
}

/// How many returns stand where, and each of them.
pub(crate) fn counted(found: &[Submission]) -> wire::GetCompletenessResponse {
    let count = |state: State| {
        u32::try_from(found.iter().filter(|s| s.state == state).count()).unwrap_or(u32::MAX)
    };
    wire::GetCompletenessResponse {
        expected: u32::try_from(found.len()).unwrap_or(u32::MAX),
        in_time: count(State::InTime),
        late: count(State::Late),
        missing: count(State::Missing),
        not_yet_due: count(State::NotYetDue),
        submissions: found.iter().map(submission).collect(),
        ..wire::GetCompletenessResponse::default()
    }
}

fn parts(breakdown: &str) -> Result<Parts, ApiError> {
    match breakdown {
        "" => Ok(Parts::Whole),
        "*" => Ok(Parts::All),
        text => required::<Breakdown>(text, "breakdown", "BREAKDOWN_INVALID").map(Parts::One),
    }
}

/// The month of the cell that a cursor stands at.
fn month_of(cursor: &str) -> Option<Period> {
    cursor.split(' ').next()?.parse().ok()
}

/// Sorts as [`CellKey`] does: codes are ASCII, and a space comes before all that they may hold.
fn cursor(key: &CellKey) -> String {
    let group = key.group.map(|code| code.to_string()).unwrap_or_default();
    let part = key.key.breakdown.map(|b| b.to_string()).unwrap_or_default();
    cursor_of(key.period, group, key.key.marker, part)
}

pub(crate) fn cursor_of(
    period: impl Display,
    group: impl Display,
    marker: impl Display,
    part: impl Display,
) -> String {
    format!("{period} {group} {marker} {part}")
}

fn cell(answer: &Answer<'_>, key: &CellKey, partial: &Partial) -> wire::RollUpCell {
    let name = key
        .group
        .and_then(|code| answer.reference.organisation(code))
        .map(|o| o.name.clone());
    view::roll_up_cell(key, &name.unwrap_or_default(), partial)
}

fn submission(submission: &Submission) -> wire::Submission {
    let state = match submission.state {
        State::InTime => wire::SubmissionState::InTime,
        State::Late => wire::SubmissionState::Late,
        State::Missing => wire::SubmissionState::Missing,
        State::NotYetDue => wire::SubmissionState::NotYetDue,
    };
    wire::Submission {
        org_code: submission.org.to_string(),
        state: state.into(),
        received_at: submission
            .received
            .map(|stamp| time_to_text(stamp.time_ms))
            .unwrap_or_default(),
        working_days_late: submission.working_days_late,
        revisions: submission.revisions,
    }
}
