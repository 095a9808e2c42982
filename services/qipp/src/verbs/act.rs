//! `qipp act`: does something with an alert, and says what can be done next.

use clap::{Args, ValueEnum};
use qipp_access::Role;
use qipp_api::proto::alerts::v1::{ActOnAlertRequest, Alert};
use qipp_api::proto::events::v1::Act;

use crate::cli::Reach;
use crate::client::unreachable;
use crate::exit::{self, Failure, NOT_FOUND, Outcome};
use crate::output::{json_line, line, plain, quietly, word};

const HELP: &str = "\
The conversation goes: acknowledge → ask → answer → confirm or refute → close. An answer may be followed by a further question. \
To close, it needs an outcome, unless what was found no longer holds. Whatever is not possible now is refused, with what is.

Examples:
  qipp act R01-RJ1-2012-03 ask --why 'Please look at the two wards that lost beds'
  qipp act R01-RJ1-2012-03 answer --why 'Norovirus; both reopened' --key-file rj1.key";

/// Do something with an alert: acknowledge, ask, answer, confirm, refute, close.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(crate) struct ActArgs {
    /// Identifier of the alert (`qipp query alerts` lists them).
    alert: String,
    /// What to do.
    #[arg(value_enum)]
    act: ActArg,
    /// Why, in words, at most 2,000 characters: the next reader will ask. No patient-level data.
    #[arg(long, value_name = "TEXT")]
    why: String,
    /// A key of your own, at most 128 characters: sending it again gets the first answer, and for another act it is refused. Without it each call is an act of its own.
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    act_id: String,
    #[command(flatten)]
    reach: Reach,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ActArg {
    /// Seen: you have it in hand.
    Acknowledge,
    /// Put the question to the organisation.
    Ask,
    /// Answer it; usually with the key of the organisation (--key-file).
    Answer,
    /// The answer confirms that quality suffers.
    Confirm,
    /// The answer shows that it does not.
    Refute,
    /// End the conversation.
    Close,
}

impl From<ActArg> for Act {
    fn from(act: ActArg) -> Self {
        match act {
            ActArg::Acknowledge => Self::Acknowledge,
            ActArg::Ask => Self::Ask,
            ActArg::Answer => Self::Answer,
            ActArg::Confirm => Self::Confirm,
            ActArg::Refute => Self::Refute,
            ActArg::Close => Self::Close,
        }
    }
}

pub(crate) async fn run(args: ActArgs) -> Outcome {
    let client = args.reach.client(Role::National)?;
    let request = ActOnAlertRequest {
        alert_id: args.alert,
        act: Act::from(args.act).into(),
        why: args.why,
        act_id: args.act_id,
    };
    let answer = client.alerts().act_on_alert(request).await;
    let answer = answer
        .map_err(|status| refused(&args.reach.server, &status))?
        .into_inner();
    let printed = if args.reach.json {
        json_line("qipp.alerts.v1.ActOnAlertResponse", &answer)?
    } else {
        standing(&answer.alert.unwrap_or_default())
    };
    quietly(line(&printed).map(|()| exit::OK))
}

/// An alert that is not known is looked for with this program, not with an rpc.
fn refused(server: &str, status: &tonic::Status) -> Failure {
    let failure = unreachable(server, status);
    match failure.code {
        NOT_FOUND => {
            let what = failure.error.to_string();
            Failure::new(NOT_FOUND, what.replace("ListAlerts", "`qipp query alerts`"))
        }
        _ => failure,
    }
}

fn standing(alert: &Alert) -> String {
    let stage = word(alert.stage().as_str_name(), "STAGE_");
    let condition = word(alert.condition().as_str_name(), "CONDITION_");
    let acts: Vec<String> = alert
        .legal_acts()
        .map(|act| word(act.as_str_name(), "ACT_"))
        .collect();
    let next = if acts.is_empty() {
        "Nothing more can be done with it.".to_owned()
    } else {
        format!("Possible now: {}.", acts.join(", "))
    };
    plain(&format!(
        "{} ({} {}) is {stage}; its condition: {condition}. {next}",
        alert.alert_id, alert.org_code, alert.org_name
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use qipp_api::error::{ApiError, Code};
    use qipp_api::proto::alerts::v1::{Condition, Stage};

    #[test]
    fn the_answer_says_where_the_alert_stands_and_what_is_possible_now() {
        let alert = Alert {
            alert_id: "A".into(),
            org_code: "RJ1".into(),
            org_name: "Guy's".into(),
            stage: Stage::Explained.into(),
            condition: Condition::Holds.into(),
            legal_acts: vec![Act::Confirm.into(), Act::Refute.into()],
            ..Alert::default()
        };
        assert_eq!(
            standing(&alert),
            "A (RJ1 Guy's) is explained; its condition: holds. Possible now: confirm, refute."
        );
    }

    #[test]
    fn an_unknown_alert_is_told_with_the_verb_that_lists_them() {
        let what = "there is no alert `A`: ListAlerts names those that there are";
        let error = ApiError::new(Code::NotFound, "UNKNOWN_ALERT", what);
        let told = refused("http://here", &error.into_status(""));
        assert_eq!(told.code, NOT_FOUND);
        let text = told.error.to_string();
        assert!(text.contains("`qipp query alerts` names those"), "{text}");
    }
}
