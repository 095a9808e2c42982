//! SubmitScheme: schemes are decided like returns.

use qipp_access::Target;
use qipp_api::cut::{cut_to_proto, time_to_text};
use qipp_api::draft::scheme_draft;
use qipp_api::error::ApiError;
use qipp_api::proto::events::v1 as events;
use qipp_api::proto::intake::v1 as wire;
use qipp_api::view;
use qipp_domain::KnownAt;
use qipp_domain::nation::{Facts, Nation, ReturnFact};
use qipp_domain::returns::{Decision, History, Precondition};
use qipp_domain::scheme::Scheme;
use qipp_domain::validate::{Against, Problem, validate_scheme};
use qipp_eventlog::Topic;
use qipp_serving::{Caller, step};

use crate::Intake;

impl Intake {
    /// One scheme, from the wire to its receipt.
    ///
    /// # Errors
    /// All faults of the scheme at once, or why it could not be stored.
    pub(crate) async fn register(
        &self,
        caller: &Caller,
        sent: Option<&events::Scheme>,
        validate_only: bool,
    ) -> Result<wire::Receipt, ApiError> {
        let Some(sent) = sent else {
            let problem = Problem::new(
                "SCHEME_MISSING",
                "scheme",
                "the request holds no scheme: put it into `scheme`",
            );
            return Err(ApiError::invalid(vec![problem]));
        };
        let judge = || step!("validate").in_scope(|| self.validated_scheme(caller, sent));
        let ((scheme, precondition), warnings) = self.judged(caller, judge).await?;
        let mut receipt = wire::Receipt {
            warnings: warnings.iter().map(view::problem).collect(),
            ..wire::Receipt::default()
        };
        if validate_only || self.remembers_scheme(&scheme, &precondition) {
            let (kind, number) = view::decision(decide(
                &self.deps.follower.view(),
                &scheme,
                &precondition,
                u64::MAX,
            ));
            (receipt.decision, receipt.revision) = (kind.into(), number);
            return Ok(receipt);
        }
        let cause = format!(
            "{}/scheme/{}/{}",
            scheme.org, scheme.id, precondition.idempotency_key
        );
        let fact = ReturnFact::Scheme {
            scheme: scheme.clone(),
            precondition: precondition.clone(),
        };
        let written = self
            .deps
            .append(
                caller,
                Topic::Returns,
                scheme.org.as_str(),
                cause,
                &Facts::Returns(vec![fact]),
            )
            .await?;
        let decision = decide(
            &self.deps.follower.view(),
            &scheme,
            &precondition,
            written.position.offset,
        );
        let (kind, number) = view::decision(decision);
        (receipt.decision, receipt.revision) = (kind.into(), number);
        receipt.position = Some(written.wire_position());
        receipt.cut = Some(cut_to_proto(&written.cut));
        receipt.received_at = time_to_text(written.time_ms);
        Ok(receipt)
    }

    fn validated_scheme(
        &self,
        caller: &Caller,
        sent: &events::Scheme,
    ) -> Result<((Scheme, Precondition), Vec<Problem>), ApiError> {
        let draft = scheme_draft(sent);
        let view = self.deps.follower.view();
        let reference = view.reference(&KnownAt::Latest);
        caller.may(
            draft.org.map_or(Target::None, Target::Organisation),
            &reference,
        )?;
        let ledger = draft.org.and_then(|org| view.ledger(org));
        let against = Against {
            reference: &reference,
            ledger,
            today: self.deps.today(),
        };
        validate_scheme(draft, &against).map_err(ApiError::invalid)
    }

    fn remembers_scheme(&self, scheme: &Scheme, precondition: &Precondition) -> bool {
        let view = self.deps.follower.view();
        let history = view
            .ledger(scheme.org)
            .and_then(|ledger| ledger.scheme_history(scheme.id));
        history.is_some_and(|history| history.remembers(precondition, scheme))
    }
}

fn decide(nation: &Nation, scheme: &Scheme, precondition: &Precondition, offset: u64) -> Decision {
    match nation
        .ledger(scheme.org)
        .and_then(|ledger| ledger.scheme_history(scheme.id))
    {
        Some(history) => history.decide_before(offset, precondition, scheme),
        None => History::default().decide(precondition, scheme),
    }
}
