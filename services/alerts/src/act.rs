//! ActOnAlert: what people do with an alert. The act is a fact; whether it was legal is what the fold says of it.

use qipp_access::check_act;
use qipp_api::cut::cut_to_proto;
use qipp_api::error::{ApiError, Code};
use qipp_api::names::act_from_proto;
use qipp_api::proto::alerts::v1 as wire;
use qipp_domain::OrgCode;
use qipp_domain::alert::{Act, ActDecision, Acted, AlertFact};
use qipp_domain::nation::Facts;
use qipp_domain::validate::{Problem, code_holds_nhs_number, control_character, holds_nhs_number};
use qipp_eventlog::Topic;
use qipp_serving::{Caller, denied};

use crate::Alerts;
use crate::list::{LATEST, permitted, shown, unknown};

/// Longest reason, characters.
const MAX_WHY: usize = 2_000;

/// Longest key of an act, characters.
const MAX_ACT_ID: usize = 128;

impl Alerts {
    pub(crate) async fn act(
        &self,
        caller: &Caller,
        request: wire::ActOnAlertRequest,
    ) -> Result<wire::ActOnAlertResponse, ApiError> {
        let (org, acted, now) = self.prepare(caller, request)?;
        let mut cut = self.deps.follower.cut();
        if now == ActDecision::Accepted {
            let cause = format!("{}/{}", acted.alert_id, acted.act_id);
            let facts = Facts::Alerts(org, vec![AlertFact::Acted(acted.clone())]);
            let written = self
                .deps
                .append(caller, Topic::Alerts, org.as_str(), cause, &facts)
                .await?;
            // Somebody else may have been faster: the log says who came first.
            let view = self.deps.follower.view();
            let book = view.alerts(org).ok_or_else(|| unknown(&acted.alert_id))?;
            refuse(book.decide_before(written.position.offset, &acted), &acted)?;
            cut = written.cut;
        }
        refuse(now, &acted)?;
        let view = self.deps.follower.view();
        let alert = view
            .alerts(org)
            .and_then(|book| book.get(&acted.alert_id))
            .ok_or_else(|| unknown(&acted.alert_id))?;
        let standing = alert
            .known(&LATEST)
            .ok_or_else(|| unknown(&acted.alert_id))?;
        let alert = shown(alert, &standing, &view.reference(&LATEST));
        Ok(wire::ActOnAlertResponse {
            alert: Some(alert),
            cut: Some(cut_to_proto(&cut)),
        })
    }

    fn prepare(
        &self,
        caller: &Caller,
        request: wire::ActOnAlertRequest,
    ) -> Result<(OrgCode, Acted, ActDecision), ApiError> {
        let view = self.deps.follower.view();
        let current = view.reference(&LATEST);
        let act = checked(&request)?;
        let alert = permitted(caller, &view, &current, &request.alert_id)?;
        check_act(&caller.principal, act, alert.org, &current).map_err(denied)?;
        let is_keyed = !request.act_id.is_empty();
        // A call that is passed on twice is one act, too.
        let act_id = if is_keyed {
            request.act_id
        } else {
            caller.request_id.clone()
        };
        let acted = Acted {
            alert_id: request.alert_id,
            act_id,
            act,
            who: caller.principal.name.clone(),
            why: request.why,
        };
        let now = match view.alerts(alert.org) {
            // The id of a call may name several that belong together.
            Some(book) if !is_keyed => book.decide_before(u64::MAX, &acted),
            _ => view.decide_act(alert.org, &acted),
        };
        Ok((alert.org, acted, now))
    }
}

fn checked(request: &wire::ActOnAlertRequest) -> Result<Act, ApiError> {
    let mut problems = Vec::new();
    let act = act_from_proto(request.act());
    if act.is_none() {
        let names: Vec<&str> = Act::ALL.iter().map(|act| act.name()).collect();
        problems.push(Problem::new(
            "ACT_MISSING",
            "act",
            format!("name the act: {}", names.join(", ")),
        ));
    }
    if request.why.trim().is_empty() || request.why.chars().count() > MAX_WHY {
        problems.push(Problem::new(
            "WHY_MISSING",
            "why",
            format!("say why, in at most {MAX_WHY} characters: the next reader will ask"),
        ));
    }
    let held = [
        ("why", holds_nhs_number(&request.why)),
        ("act_id", code_holds_nhs_number(&request.act_id)),
    ];
    for (field, _) in held.iter().filter(|(_, holds)| *holds) {
        let what = "it holds a number in the shape of an NHS number: take it out, no patient-level data may be sent";
        problems.push(Problem::new("NHS_NUMBER", *field, what));
    }
    let hidden = [
        ("why", control_character(&request.why, true)),
        ("act_id", control_character(&request.act_id, false)),
    ];
    for (field, what) in hidden {
        problems.extend(what.map(|what| Problem::new("CONTROL_CHARACTER", field, what)));
    }
    if request.act_id.chars().count() > MAX_ACT_ID {
        problems.push(Problem::new(
            "ACT_ID_TOO_LONG",
            "act_id",
            format!("at most {MAX_ACT_ID} characters"),
        ));
    }
    match act {
        Some(act) if problems.is_empty() => Ok(act),
        _ => Err(ApiError::invalid(problems)),
    }
}

fn refuse(decision: ActDecision, acted: &Acted) -> Result<(), ApiError> {
    match decision {
        ActDecision::Accepted | ActDecision::Repeat => Ok(()),
        ActDecision::UnknownAlert => Err(unknown(&acted.alert_id)),
        ActDecision::KeyReused(held) => {
            let what = format!(
                "`{}` is the key of another act already (`{}` on alert {}, or with other words), so nothing was done: take another `act_id`, or send \
                 that act as it was",
                acted.act_id,
                held.act.name(),
                held.alert_id
            );
            Err(ApiError::new(Code::FailedPrecondition, "KEY_REUSED", what))
        }
        ActDecision::Illegal(legal) => {
            let names: Vec<&str> = legal.iter().map(|act| act.name()).collect();
            let next = if names.is_empty() {
                "nothing more can be done with it".to_owned()
            } else {
                format!("now it can be: {}", names.join(", "))
            };
            let what = format!(
                "`{}` is not possible at the stage that alert {} is in; {next}",
                acted.act.name(),
                acted.alert_id
            );
            Err(ApiError::new(Code::FailedPrecondition, "ILLEGAL_ACT", what))
        }
    }
}
