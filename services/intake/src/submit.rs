//! SubmitReturn and SubmitReturns: validate → append → wait for the fold → answer with its decision.

use std::pin::Pin;
use std::time::Duration;

use futures::{Stream, StreamExt};
use qipp_access::Target;
use qipp_api::cut::{cut_to_proto, time_to_text};
use qipp_api::draft::return_draft;
use qipp_api::error::{ApiError, Code};
use qipp_api::proto::events::v1 as events;
use qipp_api::proto::intake::v1 as wire;
use qipp_api::view;
use qipp_domain::nation::{Facts, Nation, ReturnFact};
use qipp_domain::returns::{Decision, History, Return, ReturnContent, Revision, changes};
use qipp_domain::validate::{Against, Problem, ReturnDraft, validate_return};
use qipp_domain::{Cut, Dataset, KnownAt};
use qipp_eventlog::Topic;
use qipp_serving::{Caller, Written, step, transport_fault};
use tokio::time::Instant;
use tonic::Status;
use tracing::Instrument as _;

use crate::Intake;

/// Answers of a stream, in the order of its requests.
pub(crate) type Answers =
    Pin<Box<dyn Stream<Item = Result<wire::SubmitReturnsResponse, Status>> + Send>>;

/// Every return of a stream has this long, counted from when it is read.
const PER_RETURN: Duration = Duration::from_secs(60);

impl Intake {
    /// As [`Intake::submit`], counted in the metrics by what became of it.
    ///
    /// # Errors
    /// As [`Intake::submit`].
    pub(crate) async fn counted(
        &self,
        caller: &Caller,
        sent: Option<&events::Return>,
        validate_only: bool,
    ) -> Result<wire::Receipt, ApiError> {
        let answer = self.submit(caller, sent, validate_only).await;
        let metrics = &self.deps.metrics;
        match &answer {
            Ok(_) if validate_only => metrics.decided("dry_run"),
            Ok(receipt) => metrics.decided(match receipt.decision() {
                wire::Decision::Accepted => "accepted",
                wire::Decision::Repeat => "repeat",
                wire::Decision::Conflict => "conflict",
                wire::Decision::KeyReused => "key_reused",
                wire::Decision::Unspecified => "unspecified",
            }),
            Err(error) => {
                metrics.rejected(error);
                let is_theirs =
                    matches!(error.code, Code::InvalidArgument | Code::PermissionDenied);
                metrics.decided(if is_theirs { "rejected" } else { "failed" });
            }
        }
        answer
    }

    /// One return, from the wire to its receipt.
    ///
    /// # Errors
    /// All faults of the return at once, or why it could not be stored.
    pub(crate) async fn submit(
        &self,
        caller: &Caller,
        sent: Option<&events::Return>,
        validate_only: bool,
    ) -> Result<wire::Receipt, ApiError> {
        let Some(sent) = sent else {
            let problem = Problem::new(
                "RETURN_MISSING",
                "return",
                "the request holds no return: put it into `return`",
            );
            return Err(ApiError::invalid(vec![problem]));
        };
        let judge = || step!("validate").in_scope(|| self.validated(caller, return_draft(sent)));
        let (ret, warnings) = self.judged(caller, judge).await?;
        if validate_only || self.is_remembered(&ret) {
            let view = self.deps.follower.view();
            let decision = decide(&view, &ret, u64::MAX);
            return Ok(self.receipt(&view, &ret, decision, None, &warnings));
        }
        let key = ret.org.to_string();
        let facts = Facts::Returns(vec![ReturnFact::Return(ret.clone())]);
        let cause = format!(
            "{}/{}/{}/{}",
            ret.org,
            dataset(&ret).name(),
            ret.period,
            ret.precondition.idempotency_key
        );
        let written = self
            .deps
            .append(caller, Topic::Returns, &key, cause, &facts)
            .await?;
        let view = self.deps.follower.view();
        let decision = decide(&view, &ret, written.position.offset);
        Ok(self.receipt(&view, &ret, decision, Some(&written), &warnings))
    }

    /// Who may, before what is wrong: a stranger learns nothing about an organisation's faults.
    fn validated(
        &self,
        caller: &Caller,
        draft: ReturnDraft,
    ) -> Result<(Return, Vec<Problem>), ApiError> {
        let view = self.deps.follower.view();
        let reference = view.reference(&KnownAt::Latest);
        let target = draft.org.map_or(Target::None, Target::Organisation);
        caller.may(target, &reference)?;
        let ledger = draft.org.and_then(|org| view.ledger(org));
        let against = Against {
            reference: &reference,
            ledger,
            today: self.deps.today(),
        };
        validate_return(draft, &against).map_err(ApiError::invalid)
    }

    /// Is the answer known for good, so that no record is needed?
    fn is_remembered(&self, ret: &Return) -> bool {
        let view = self.deps.follower.view();
        let history = view
            .ledger(ret.org)
            .and_then(|ledger| ledger.history(dataset(ret), ret.period));
        history.is_some_and(|history| history.remembers(&ret.precondition, &ret.content))
    }

    fn receipt(
        &self,
        nation: &Nation,
        ret: &Return,
        decision: Decision,
        written: Option<&Written>,
        warnings: &[Problem],
    ) -> wire::Receipt {
        let history = nation
            .ledger(ret.org)
            .and_then(|ledger| ledger.history(dataset(ret), ret.period));
        let revisions: &[Revision<ReturnContent>] =
            history.map_or(&[], |history| history.revisions());
        let (kind, number) = view::decision(decision);
        let before = number
            .checked_sub(1)
            .and_then(|n| revisions.iter().find(|r| r.number == n))
            .map(|r| &r.content);
        let listed = match decision {
            // The first says nothing but what was just sent.
            Decision::Accepted(1) => Vec::new(),
            Decision::Accepted(_) => changes(before, &ret.content, self.config.max_changes),
            // What the sender has to reconcile with: the current revision against what was sent.
            Decision::Conflict(n) | Decision::KeyReused(n) => {
                let held = revisions.iter().find(|r| r.number == n).map(|r| &r.content);
                changes(held, &ret.content, self.config.max_changes)
            }
            Decision::Repeat(_) => Vec::new(),
        };
        let held = revisions
            .iter()
            .find(|r| r.number == number)
            .filter(|_| matches!(decision, Decision::Repeat(_)));
        wire::Receipt {
            decision: kind.into(),
            revision: number,
            position: written
                .map(Written::wire_position)
                .or_else(|| held.and_then(|r| qipp_api::cut::stamp_to_proto(r.stamp))),
            cut: written
                .map(|w| cut_to_proto(&w.cut))
                .or_else(|| held.map(|r| cut_to_proto(&including(r)))),
            received_at: written
                .map(|w| w.time_ms)
                .or(held.map(|r| r.stamp.time_ms))
                .map(time_to_text)
                .unwrap_or_default(),
            warnings: warnings.iter().map(view::problem).collect(),
            changes: listed.into_iter().map(|c| view::change(&c)).collect(),
        }
    }

    /// Many returns, pipelined: up to `max_in_flight` are on their way to the log together, so that they share its syncs, and the
    /// answers still come in order. Returns are handed to the log in the order in which they came.
    ///
    /// On shutdown no more are read, what was read is answered, and the stream then ends with an error, so that it can't be taken for
    /// complete.
    pub(crate) fn submit_stream(
        self,
        caller: Caller,
        requests: tonic::Streaming<wire::SubmitReturnsRequest>,
    ) -> Answers {
        let in_flight = self.config.max_in_flight;
        let shutdown = self.deps.shutdown.clone();
        let closing_caller = caller.clone();
        let answers = requests
            .take_until(shutdown.clone().cancelled_owned())
            .map(move |request| {
                let (intake, caller) = (self.clone(), caller.clone());
                async move {
                    let request =
                        request.map_err(|status| caller.status(transport_fault(&status)))?;
                    let step = step!(of: &caller.trace, "return");
                    intake.submit_one(caller, request).instrument(step).await
                }
            })
            .buffered(in_flight);
        let closing = futures::stream::once(async move {
            shutdown.is_cancelled().then(|| {
                let what = "the service is closing: connect again and go on after the last answer";
                Err(closing_caller.status(ApiError::new(Code::Unavailable, "SHUTTING_DOWN", what)))
            })
        });
        Box::pin(answers.chain(closing.filter_map(std::future::ready)))
    }

    async fn submit_one(
        &self,
        mut caller: Caller,
        request: wire::SubmitReturnsRequest,
    ) -> Result<wire::SubmitReturnsResponse, Status> {
        let wire::SubmitReturnsRequest {
            sequence,
            r#return,
            validate_only,
        } = request;
        caller.deadline = Instant::now() + PER_RETURN;
        // The items of all streams of one principal share its part of the log's queue.
        let _item = caller.item().instrument(step!("wait_for_place")).await;
        let result = match self
            .counted(&caller, r#return.as_ref(), validate_only)
            .await
        {
            Ok(receipt) => wire::submit_returns_response::Result::Receipt(receipt),
            // A fault of the return is its own answer, and the stream goes on.
            Err(error) if matches!(error.code, Code::InvalidArgument | Code::PermissionDenied) => {
                wire::submit_returns_response::Result::Rejection(rejection(&error))
            }
            // A fault of ours ends the stream: the sender goes on from the first return without an answer.
            Err(error) => return Err(caller.status(error)),
        };
        Ok(wire::SubmitReturnsResponse {
            sequence,
            result: Some(result),
        })
    }
}

fn rejection(error: &ApiError) -> wire::Rejection {
    let mut problems: Vec<wire::Problem> = error
        .problems
        .iter()
        .map(|p| wire::Problem {
            code: p.code.to_string(),
            field: p.field.clone(),
            description: p.description.clone(),
        })
        .collect();
    if problems.is_empty() {
        let (code, field) = (error.reason.to_string(), "return.org_code".to_owned());
        problems.push(wire::Problem {
            code,
            field,
            description: error.message.clone(),
        });
    }
    wire::Rejection { problems }
}

fn dataset(ret: &Return) -> Dataset {
    ret.content.body.dataset()
}

fn decide(nation: &Nation, ret: &Return, offset: u64) -> Decision {
    let history = nation
        .ledger(ret.org)
        .and_then(|ledger| ledger.history(dataset(ret), ret.period));
    match history {
        Some(history) => history.decide_before(offset, &ret.precondition, &ret.content),
        None => History::default().decide(&ret.precondition, &ret.content),
    }
}

/// A cut that includes a revision.
fn including<C>(revision: &Revision<C>) -> Cut {
    [(revision.stamp.lane, revision.stamp.offset + 1)]
        .into_iter()
        .collect()
}
