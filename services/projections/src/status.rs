//! GetStatus: what is folded, what is durable, and whether anything is parked.

use qipp_access::{Target, check_digest};
use qipp_api::cut::{cut_to_proto, log_cut_to_proto, stamp_to_proto};
use qipp_api::error::{ApiError, Code};
use qipp_api::proto::projections::v1 as wire;
use qipp_domain::nation::Nation;
use qipp_domain::{Dataset, KnownAt, Period};
use qipp_projection::Parked;
use qipp_serving::{Caller, denied};

use crate::Projections;

impl Projections {
    pub(crate) async fn status(
        &self,
        caller: &Caller,
        request: wire::GetStatusRequest,
    ) -> Result<wire::GetStatusResponse, ApiError> {
        let head = self.deps.log.head();
        let all_parked = self.deps.follower.parked();
        let (mut cut, counts, (first, last), parked) = {
            let answer = self.deps.answer(caller, request.read.as_ref()).await?;
            caller.may(Target::None, &answer.current)?;
            let is_visible = |p: &Parked| {
                p.key
                    .parse()
                    .map_or(true, |org| caller.sees(org, &answer.current))
            };
            let parked: Vec<wire::Parked> = all_parked
                .into_iter()
                .filter(is_visible)
                .map(shown)
                .collect();
            (
                answer.cut.clone(),
                answer.nation.counts(),
                span(&answer.nation),
                parked,
            )
        };
        let digest = if request.digest {
            check_digest(&caller.principal).map_err(denied)?;
            let follower = self.deps.follower.clone();
            let computed = tokio::task::spawn_blocking(move || follower.digest_at_cut()).await;
            let computed = computed.map_err(|error| {
                ApiError::new(Code::Internal, "DIGEST_FAILED", error.to_string())
            })?;
            // Two who say which digest they have at which cut can be compared.
            cut = computed.1;
            computed.0
        } else {
            String::new()
        };
        let month = |period: Option<Period>| period.map(|p| p.to_string()).unwrap_or_default();
        Ok(wire::GetStatusResponse {
            cut: Some(cut_to_proto(&cut)),
            head: Some(log_cut_to_proto(&head)),
            digest,
            organisations: counts.organisations,
            returns: counts.returns,
            revisions: counts.revisions,
            values: counts.values,
            schemes: counts.schemes,
            alerts: counts.alerts,
            benchmarks: counts.benchmarks,
            parked,
            first_period: month(first),
            last_period: month(last),
            shard: String::from(self.deps.follower.share()),
            shards: Vec::new(),
            shards_away: self.others(),
        })
    }
}

fn shown(parked: Parked) -> wire::Parked {
    wire::Parked {
        key: parked.key,
        position: stamp_to_proto(parked.stamp),
        reason: parked.reason,
    }
}

fn span(nation: &Nation) -> (Option<Period>, Option<Period>) {
    let at = KnownAt::Latest;
    let mut first: Option<Period> = None;
    let mut last: Option<Period> = None;
    for (_, ledger) in nation.ledgers() {
        for dataset in [Dataset::Quality, Dataset::Savings] {
            for period in ledger.periods(dataset, &at) {
                first = Some(first.map_or(period, |held| held.min(period)));
                last = Some(last.map_or(period, |held| held.max(period)));
            }
        }
    }
    (first, last)
}
