//! GetSavingsPosition, ListSchemes: what was planned, what was delivered, and what stands behind it.

use qipp_access::Target;
use qipp_api::error::ApiError;
use qipp_api::proto::projections::v1 as wire;
use qipp_api::view;
use qipp_domain::completeness::{State, submission};
use qipp_domain::reference::Tree;
use qipp_domain::savings::{Position, SchemePosition, position};
use qipp_domain::{Dataset, OrgCode, Period, Slug};
use qipp_serving::field::{Together as _, optional, required};
use qipp_serving::{Answer, Caller, named};

use crate::Projections;
use crate::series::known_organisation;

impl Projections {
    pub(crate) async fn savings_position(
        &self,
        caller: &Caller,
        request: wire::GetSavingsPositionRequest,
    ) -> Result<wire::GetSavingsPositionResponse, ApiError> {
        let (node, period, tree) = (
            required::<OrgCode>(&request.org_code, "org_code", "ORG_CODE_INVALID"),
            required::<Period>(&request.period, "period", "PERIOD_INVALID"),
            optional::<Slug>(&request.tree, "tree", "TREE_INVALID"),
        )
            .together()?;
        let answer = self.deps.answer(caller, request.read.as_ref()).await?;
        let target = tree.map_or(Target::Organisation(node), |tree| Target::Node {
            tree,
            node,
        });
        caller.may(target, &answer.current)?;
        known_organisation(&answer, node)?;
        let (found, shards_away) = match tree {
            None => {
                self.own(node)?;
                (of_organisation(&answer, node, period), Vec::new())
            }
            Some(name) => {
                let tree = known_tree(&answer, name)?;
                named::all_known([named::node(&answer.current, name, node, "org_code")])?;
                let is_own = |org| self.is_own(org);
                (below(&answer, tree, node, period, is_own), self.others())
            }
        };
        let mut missing = self.missing(&answer, &found.members, period);
        missing.sort_unstable();
        let position = view::savings_position(period, &found.position, &missing, &found.schemes);
        Ok(wire::GetSavingsPositionResponse {
            position: Some(position),
            cut: answer.wire_cut(),
            shards_away,
        })
    }

    /// The organisations that owed the month's savings and did not send it.
    fn missing(&self, answer: &Answer<'_>, members: &[OrgCode], period: Period) -> Vec<OrgCode> {
        let owed = members
            .iter()
            .filter(|org| answer.reference.owes(**org, Dataset::Savings, period));
        let due = answer.reference.deadline(Dataset::Savings, period);
        owed.filter(|org| {
            let found = submission(
                &answer.nation,
                &answer.at,
                **org,
                Dataset::Savings,
                period,
                due,
                self.deps.today(),
            );
            matches!(found.state, State::Missing | State::NotYetDue)
        })
        .copied()
        .collect()
    }

    pub(crate) async fn schemes(
        &self,
        caller: &Caller,
        request: wire::ListSchemesRequest,
    ) -> Result<wire::ListSchemesResponse, ApiError> {
        let org: OrgCode = required(&request.org_code, "org_code", "ORG_CODE_INVALID")?;
        let list = self
            .deps
            .answer_list(caller, request.read.as_ref(), &request)
            .await?;
        let answer = &list.answer;
        caller.may(Target::Organisation(org), &answer.current)?;
        known_organisation(answer, org)?;
        self.own(org)?;
        let schemes = answer
            .nation
            .ledger(org)
            .into_iter()
            .flat_map(|ledger| ledger.schemes(&answer.at));
        let (schemes, next_page_token) =
            list.take(schemes, |revision| revision.content.id.to_string());
        Ok(wire::ListSchemesResponse {
            schemes: schemes.into_iter().map(view::scheme_standing).collect(),
            next_page_token,
            cut: answer.wire_cut(),
        })
    }
}

struct Found {
    position: Position,
    schemes: Vec<SchemePosition>,
    members: Vec<OrgCode>,
}

fn of_organisation(answer: &Answer<'_>, org: OrgCode, period: Period) -> Found {
    let empty = || {
        (
            Position {
                organisations: 1,
                ..Position::default()
            },
            Vec::new(),
        )
    };
    let (position, schemes) = answer
        .nation
        .ledger(org)
        .map_or_else(empty, |ledger| position(ledger, period, &answer.at));
    Found {
        position,
        schemes,
        members: vec![org],
    }
}

/// Everybody of our own at and below the node in the month, who owes savings or has sent some.
fn below(
    answer: &Answer<'_>,
    tree: &Tree,
    node: OrgCode,
    period: Period,
    is_own: impl Fn(OrgCode) -> bool,
) -> Found {
    let day = period.last_day();
    let takes_part = |org: &OrgCode| {
        answer.reference.owes(*org, Dataset::Savings, period)
            || answer.nation.ledger(*org).is_some_and(|ledger| {
                ledger
                    .periods(Dataset::Savings, &answer.at)
                    .next()
                    .is_some()
            })
    };
    let members: Vec<OrgCode> = tree
        .members()
        .filter(|org| is_own(*org) && tree.is_within(*org, node, day))
        .filter(takes_part)
        .collect();
    let sum = members
        .iter()
        .filter_map(|org| answer.nation.ledger(*org))
        .fold(Position::default(), |sum, ledger| {
            sum.add(&position(ledger, period, &answer.at).0)
        });
    Found {
        position: sum,
        schemes: Vec::new(),
        members,
    }
}

/// The tree of that name.
///
/// # Errors
/// NOT_FOUND when there was none at the moment that is read.
pub(crate) fn known_tree<'a>(answer: &'a Answer<'_>, name: Slug) -> Result<&'a Tree, ApiError> {
    let reference = &answer.reference;
    let missing = || named::no_tree(reference, name);
    reference.tree(name).ok_or_else(missing)
}
