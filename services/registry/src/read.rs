//! The reads of the registry: who exists, how they are arranged, what is measured, when it is due.

use jiff::civil::Date;
use qipp_access::Target;
use qipp_api::error::{ApiError, Code};
use qipp_api::proto::registry::v1 as wire;
use qipp_api::view;
use qipp_domain::reference::{Organisation, Tree};
use qipp_domain::{OrgCode, Period, Slug};
use qipp_serving::field::{Together as _, months, optional, required};
use qipp_serving::{Caller, named};

use crate::Registry;

impl Registry {
    pub(crate) async fn organisation(
        &self,
        caller: &Caller,
        request: wire::GetOrganisationRequest,
    ) -> Result<wire::GetOrganisationResponse, ApiError> {
        let code: OrgCode = required(&request.org_code, "org_code", "ORG_CODE_INVALID")?;
        let answer = self.deps.answer(caller, request.read.as_ref()).await?;
        caller.may(Target::Organisation(code), &answer.current)?;
        let reference = &answer.reference;
        let organisation = reference.organisation(code).ok_or_else(|| {
            ApiError::new(
                Code::NotFound,
                "UNKNOWN_ORGANISATION",
                format!("{code} is not a known organisation: check the ODS code"),
            )
        })?;
        let edges = reference.trees().flat_map(|tree| tree.edges_of(code));
        let obligations = reference.obligations().filter(|o| o.org == code);
        Ok(wire::GetOrganisationResponse {
            cut: answer.wire_cut(),
            organisation: Some(view::organisation(organisation)),
            successors: reference
                .successors(code)
                .map(view::succession_to_proto)
                .collect(),
            predecessors: reference
                .successions()
                .filter(|s| s.successor == code)
                .map(view::succession_to_proto)
                .collect(),
            edges: edges.map(view::edge_to_proto).collect(),
            obligations: obligations.map(view::obligation_to_proto).collect(),
        })
    }

    pub(crate) async fn organisations(
        &self,
        caller: &Caller,
        request: wire::ListOrganisationsRequest,
    ) -> Result<wire::ListOrganisationsResponse, ApiError> {
        let kind: Option<Slug> = optional(&request.kind, "kind", "KIND_INVALID")?;
        let list = self
            .deps
            .answer_list(caller, request.read.as_ref(), &request)
            .await?;
        let answer = &list.answer;
        caller.may(Target::None, &answer.current)?;
        named::all_known([kind.and_then(|kind| named::kind(&answer.current, kind, "kind"))])?;
        let wanted = answer
            .reference
            .organisations()
            .filter(|o| kind.is_none_or(|kind| o.kind == kind));
        let (organisations, next_page_token) = list.take(wanted, |o| o.code.to_string());
        Ok(wire::ListOrganisationsResponse {
            organisations: organisations.into_iter().map(view::organisation).collect(),
            next_page_token,
            cut: answer.wire_cut(),
        })
    }

    pub(crate) async fn trees(
        &self,
        caller: &Caller,
        request: wire::ListTreesRequest,
    ) -> Result<wire::ListTreesResponse, ApiError> {
        let answer = self.deps.answer(caller, request.read.as_ref()).await?;
        caller.may(Target::None, &answer.current)?;
        Ok(wire::ListTreesResponse {
            trees: answer.reference.trees().map(view::tree).collect(),
            cut: answer.wire_cut(),
        })
    }

    pub(crate) async fn tree_nodes(
        &self,
        caller: &Caller,
        request: wire::ListTreeNodesRequest,
    ) -> Result<wire::ListTreeNodesResponse, ApiError> {
        let (name, as_of) = (
            required::<Slug>(&request.tree, "tree", "TREE_INVALID"),
            optional::<Date>(&request.as_of, "as_of", "DAY_INVALID"),
        )
            .together()?;
        let day = as_of.unwrap_or_else(|| self.deps.today());
        let list = self
            .deps
            .answer_list(caller, request.read.as_ref(), &request)
            .await?;
        let answer = &list.answer;
        caller.may(Target::None, &answer.current)?;
        let missing = || named::no_tree(&answer.reference, name);
        let tree = answer.reference.tree(name).ok_or_else(missing)?;
        let mut members: Vec<&Organisation> = tree
            .members()
            .filter(|code| *code == tree.root || tree.parent(*code, day).is_some())
            .filter_map(|code| answer.reference.organisation(code))
            .collect();
        members.sort_by_key(|o| o.code);
        let (nodes, next_page_token) = list.take(members, |o| o.code.to_string());
        Ok(wire::ListTreeNodesResponse {
            nodes: nodes.into_iter().map(|o| node(tree, o, day)).collect(),
            next_page_token,
            cut: answer.wire_cut(),
        })
    }

    pub(crate) async fn markers(
        &self,
        caller: &Caller,
        request: wire::ListMarkersRequest,
    ) -> Result<wire::ListMarkersResponse, ApiError> {
        let list = self
            .deps
            .answer_list(caller, request.read.as_ref(), &request)
            .await?;
        let answer = &list.answer;
        caller.may(Target::None, &answer.current)?;
        let cursor = |definition: &&qipp_domain::marker::MarkerDefinition| {
            format!("{}/{:010}", definition.marker, definition.version)
        };
        let mut definitions: Vec<_> = answer.reference.markers().collect();
        definitions.sort_by_key(cursor);
        let (markers, next_page_token) = list.take(definitions, cursor);
        Ok(wire::ListMarkersResponse {
            markers: markers.into_iter().map(view::marker_to_proto).collect(),
            next_page_token,
            cut: answer.wire_cut(),
        })
    }

    pub(crate) async fn communities(
        &self,
        caller: &Caller,
        request: wire::ListCommunitiesRequest,
    ) -> Result<wire::ListCommunitiesResponse, ApiError> {
        let answer = self.deps.answer(caller, request.read.as_ref()).await?;
        caller.may(Target::None, &answer.current)?;
        let communities = answer
            .reference
            .communities()
            .map(view::community_to_proto)
            .collect();
        Ok(wire::ListCommunitiesResponse {
            communities,
            cut: answer.wire_cut(),
        })
    }

    pub(crate) async fn deadlines(
        &self,
        caller: &Caller,
        request: wire::ListDeadlinesRequest,
    ) -> Result<wire::ListDeadlinesResponse, ApiError> {
        let (from, to) = months(&request.from, &request.to)?;
        let answer = self.deps.answer(caller, request.read.as_ref()).await?;
        caller.may(Target::None, &answer.current)?;
        let within = |period: Period| {
            from.is_none_or(|from| from <= period) && to.is_none_or(|to| period <= to)
        };
        let deadlines = answer
            .reference
            .deadlines()
            .filter(|(_, period, _)| within(*period));
        Ok(wire::ListDeadlinesResponse {
            deadlines: deadlines
                .map(|(dataset, period, due)| view::deadline(dataset, period, due))
                .collect(),
            cut: answer.wire_cut(),
        })
    }
}

fn node(tree: &Tree, organisation: &Organisation, day: Date) -> wire::TreeNode {
    let parent = tree
        .parent(organisation.code, day)
        .filter(|_| organisation.code != tree.root);
    wire::TreeNode {
        organisation: Some(view::organisation(organisation)),
        parent_code: parent.map(|code| code.to_string()).unwrap_or_default(),
    }
}
