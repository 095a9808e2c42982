//! ListRevisions: every revision of one return. Nothing is ever overwritten.

use qipp_access::Target;
use qipp_api::error::ApiError;
use qipp_api::names::dataset_from_proto;
use qipp_api::proto::events::v1::Dataset as Wire;
use qipp_api::proto::projections::v1 as wire;
use qipp_api::view;
use qipp_domain::validate::Problem;
use qipp_domain::{Dataset, OrgCode, Period};
use qipp_serving::Caller;
use qipp_serving::field::{Together as _, required};

use crate::Projections;
use crate::series::known_organisation;

impl Projections {
    pub(crate) async fn revisions(
        &self,
        caller: &Caller,
        request: wire::ListRevisionsRequest,
    ) -> Result<wire::ListRevisionsResponse, ApiError> {
        let (org, period, dataset) = (
            required::<OrgCode>(&request.org_code, "org_code", "ORG_CODE_INVALID"),
            required::<Period>(&request.period, "period", "PERIOD_INVALID"),
            dataset(request.dataset),
        )
            .together()?;
        let answer = self.deps.answer(caller, request.read.as_ref()).await?;
        caller.may(Target::Organisation(org), &answer.current)?;
        known_organisation(&answer, org)?;
        self.own(org)?;
        let history = answer
            .nation
            .ledger(org)
            .and_then(|ledger| ledger.history(dataset, period));
        let revisions = history.map_or(&[][..], |history| history.revisions());
        let known = revisions
            .iter()
            .filter(|revision| answer.at.covers(revision.stamp));
        Ok(wire::ListRevisionsResponse {
            revisions: known
                .map(|revision| view::revision(org, period, revision))
                .collect(),
            cut: answer.wire_cut(),
        })
    }
}

/// The dataset asked for.
///
/// # Errors
/// INVALID_ARGUMENT when it is not named.
pub(crate) fn dataset(value: i32) -> Result<Dataset, ApiError> {
    wire_dataset(value).ok_or_else(|| {
        let what = "name the dataset: DATASET_SAVINGS or DATASET_QUALITY";
        ApiError::invalid(vec![Problem::new("DATASET_MISSING", "dataset", what)])
    })
}

fn wire_dataset(value: i32) -> Option<Dataset> {
    dataset_from_proto(Wire::try_from(value).ok()?)
}
