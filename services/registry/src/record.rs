//! RecordFacts: all facts of a call are checked, each against those before it, and stand in the log as one record or not at all.

use qipp_access::Target;
use qipp_api::cut::cut_to_proto;
use qipp_api::draft::reference_fact;
use qipp_api::error::ApiError;
use qipp_api::proto::registry::v1 as wire;
use qipp_domain::KnownAt;
use qipp_domain::nation::Facts;
use qipp_domain::reference::{Reference, ReferenceFact};
use qipp_domain::validate::Problem;
use qipp_eventlog::Topic;
use qipp_serving::Caller;

use crate::Registry;

/// Key of all reference records: the topic has one partition, and its facts are checked against each other.
const KEY: &str = "reference";

impl Registry {
    pub(crate) async fn record(
        &self,
        caller: &Caller,
        request: wire::RecordFactsRequest,
    ) -> Result<wire::RecordFactsResponse, ApiError> {
        let _turn = self.recording.lock().await;
        // Another process may have recorded what these facts build on.
        self.deps.catch_up(caller).await?;
        let known = self.deps.follower.view().reference(&KnownAt::Latest);
        caller.may(Target::Everything, &known)?;
        if request.facts.is_empty() || request.facts.len() > self.config.max_facts {
            let what = format!(
                "send 1 to {} facts a call; {} were sent",
                self.config.max_facts,
                request.facts.len()
            );
            return Err(ApiError::invalid(vec![Problem::new(
                "FACT_COUNT",
                "facts",
                what,
            )]));
        }
        let (new, unchanged) = checked(&request, (*known).clone())?;
        let recorded = u32::try_from(new.len()).unwrap_or(u32::MAX);
        let mut cut = self.deps.follower.cut();
        if !request.validate_only && !new.is_empty() {
            let cause = format!("reference/{}", caller.request_id);
            cut = self
                .deps
                .append(caller, Topic::Reference, KEY, cause, &Facts::Reference(new))
                .await?
                .cut;
        }
        Ok(wire::RecordFactsResponse {
            recorded,
            unchanged,
            cut: Some(cut_to_proto(&cut)),
        })
    }
}

/// The facts that say something new, and how many did not.
fn checked(
    request: &wire::RecordFactsRequest,
    mut state: Reference,
) -> Result<(Vec<ReferenceFact>, u32), ApiError> {
    let mut new = Vec::with_capacity(request.facts.len());
    let mut problems = Vec::new();
    let mut unchanged = 0;
    for (index, sent) in request.facts.iter().enumerate() {
        match reference_fact(sent, index) {
            Err(faults) => problems.extend(faults),
            Ok(fact) if state.knows(&fact) => unchanged += 1,
            Ok(fact) => match state.check(&fact) {
                Err((code, what)) => {
                    problems.push(Problem::new(code, format!("facts[{index}]"), what))
                }
                Ok(()) => {
                    state.apply(&fact);
                    new.push(fact);
                }
            },
        }
    }
    if problems.is_empty() {
        Ok((new, unchanged))
    } else {
        Err(ApiError::invalid(problems))
    }
}
