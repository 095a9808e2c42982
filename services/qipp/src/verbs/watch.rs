//! `qipp watch`: alerts as they happen, a line an event.
//!
//! Every event names the cut after it. When the connection breaks, watching goes on from the last one: nothing is missed and nothing
//! comes twice. A printed event counts as seen, so its cut is kept the moment that its line is out.

use std::time::Duration;

use clap::Args;
use futures::FutureExt as _;
use qipp_access::Role;
use qipp_api::error::ApiError;
use qipp_api::proto::alerts::v1::alert_event::Event;
use qipp_api::proto::alerts::v1::{
    AlertFilter, ListAlertsRequest, WatchAlertsRequest, WatchAlertsResponse,
};
use qipp_api::proto::events::v1::Cut;
use tokio::signal::unix::{SignalKind, signal};
use tonic::{Code, Status};

use crate::cli::Reach;
use crate::client::{Client, spread, unreachable};
use crate::exit::{self, Failure, Outcome};
use crate::output::{json_line, line, plain, quietly, word};
use crate::verbs::query::alerts::FilterArgs;
use crate::verbs::query::parse_cut;

/// First pause before connecting again; it doubles up to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LAST_PAUSE: Duration = Duration::from_secs(30);

const HELP: &str = "\
Ctrl-C ends it and prints the cut to go on from, on standard error. A connection that breaks is taken up again from the last event: \
nothing is missed and nothing comes twice.

Examples:
  qipp watch --min-severity amber
  qipp watch --from beginning --org RJ1
  qipp watch --json --from '{\"next\":[…]}' | jq -r .alert.orgCode";

/// Watch alerts live, from a cut on: nothing is missed and nothing comes twice.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(crate) struct WatchArgs {
    /// Where to begin: `now`, `beginning`, or a cut as JSON, as this verb prints it when it ends.
    #[arg(long, default_value = "now", value_parser = parse_from)]
    from: From,
    #[command(flatten)]
    filter: FilterArgs,
    /// End after so many events.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    max: Option<u64>,
    #[command(flatten)]
    reach: Reach,
}

/// Where to begin.
#[derive(Clone, Debug, PartialEq)]
enum From {
    Now,
    Beginning,
    After(Cut),
}

fn parse_from(text: &str) -> Result<From, String> {
    match text {
        "now" => Ok(From::Now),
        "beginning" => Ok(From::Beginning),
        _ if text.starts_with('{') => parse_cut(text).map(From::After),
        _ => Err("give `now`, `beginning`, or a cut as JSON".to_owned()),
    }
}

pub(crate) async fn run(args: WatchArgs) -> Outcome {
    let client = args.reach.client(Role::National)?;
    let filter = args.filter.to_proto(false);
    let cut = match args.from {
        From::Beginning => None,
        From::After(cut) => Some(cut),
        From::Now => Some(now(&client, &args.reach.server, &filter).await?),
    };
    let mut watch = Watch {
        client,
        filter,
        cut,
        left: args.max,
        reach: args.reach,
        connected: false,
        pause: FIRST_PAUSE,
    };
    let mut terminate = signal(SignalKind::terminate())?;
    let ended = tokio::select! {
        ended = watch.follow().boxed() => ended,
        interrupted = tokio::signal::ctrl_c() => interrupted.map_err(Failure::from),
        _ = terminate.recv() => Ok(()),
    };
    watch.say_where_to_go_on()?;
    quietly(ended.map(|()| exit::OK))
}

/// The state as of now: what happened before is not shown.
async fn now(client: &Client, server: &str, filter: &AlertFilter) -> Result<Cut, Failure> {
    let request = ListAlertsRequest {
        filter: Some(filter.clone()),
        page_size: 1,
        ..ListAlertsRequest::default()
    };
    let answer = client.alerts().list_alerts(request).await;
    let answer = answer
        .map_err(|status| unreachable(server, &status))?
        .into_inner();
    Ok(answer.cut.unwrap_or_default())
}

/// How a connection ended.
enum End {
    /// As many events as were asked for have come.
    Enough,
    /// It broke, or could not be made.
    Broken(Status),
}

struct Watch {
    client: Client,
    filter: AlertFilter,
    /// Everything up to here was printed; nothing: from the beginning.
    cut: Option<Cut>,
    /// How many events are still wanted; nothing: all.
    left: Option<u64>,
    reach: Reach,
    /// It has worked once, so that an address that is wrong is told at once, and a service that is away is waited for.
    connected: bool,
    pause: Duration,
}

impl Watch {
    async fn follow(&mut self) -> Result<(), Failure> {
        loop {
            let status = match self.connection().await? {
                End::Enough => return Ok(()),
                End::Broken(status) => status,
            };
            if !self.connected || !may_come_back(status.code()) {
                return Err(unreachable(&self.reach.server, &status));
            }
            // One line for an outage, not one for each attempt.
            if self.pause == FIRST_PAUSE {
                eprintln!(
                    "The connection to {} is lost ({}); trying again until it is back.",
                    self.reach.server,
                    status.message()
                );
            }
            let asked = ApiError::from_status(&status).retry_after;
            tokio::time::sleep(spread(asked.unwrap_or_default().max(self.pause))).await;
            self.pause = (self.pause * 2).min(LAST_PAUSE);
        }
    }

    /// Prints events until the connection ends.
    async fn connection(&mut self) -> Result<End, Failure> {
        let request = WatchAlertsRequest {
            from: self.cut.clone(),
            filter: Some(self.filter.clone()),
        };
        let mut client = self.client.live_alerts();
        // The stream has no deadline, its opening has.
        let opening = tokio::time::timeout(
            Duration::from_secs(self.reach.timeout),
            client.watch_alerts(request),
        );
        let mut events = match opening.await {
            Ok(Ok(answer)) => answer.into_inner(),
            Ok(Err(status)) => return Ok(End::Broken(status)),
            Err(_) => {
                return Ok(End::Broken(Status::unavailable(
                    "the service does not answer",
                )));
            }
        };
        if self.pause != FIRST_PAUSE {
            eprintln!("Connected again: going on from the last event.");
        }
        (self.connected, self.pause) = (true, FIRST_PAUSE);
        loop {
            match events.message().await {
                Ok(Some(event)) => {
                    if self.show(event)? {
                        return Ok(End::Enough);
                    }
                }
                Ok(None) => return Ok(End::Broken(Status::unavailable("the stream ended"))),
                Err(status) => return Ok(End::Broken(status)),
            }
        }
    }

    /// Prints an event; says whether it was the last one wanted.
    fn show(&mut self, event: WatchAlertsResponse) -> Result<bool, Failure> {
        if self.reach.json {
            line(&json_line("qipp.alerts.v1.WatchAlertsResponse", &event)?)?;
        } else {
            line(&event_line(&event))?;
        }
        if event.cut.is_some() {
            self.cut = event.cut;
        }
        self.left = self.left.map(|left| left - 1);
        Ok(self.left == Some(0))
    }

    fn say_where_to_go_on(&self) -> Result<(), Failure> {
        let from = match &self.cut {
            Some(cut) => format!("'{}'", json_line("qipp.events.v1.Cut", cut)?),
            None => "beginning".to_owned(),
        };
        eprintln!("To go on from here: qipp watch --from {from}");
        Ok(())
    }
}

/// A failure of the way, or of a service that is just going down or coming up; what is refused stays refused.
fn may_come_back(code: Code) -> bool {
    use Code::{
        Aborted, Cancelled, DeadlineExceeded, Internal, ResourceExhausted, Unavailable, Unknown,
    };
    matches!(
        code,
        Aborted
            | Cancelled
            | DeadlineExceeded
            | Internal
            | ResourceExhausted
            | Unavailable
            | Unknown
    )
}

/// Time, organisation, rule, severity, what happened, and in words.
fn event_line(response: &WatchAlertsResponse) -> String {
    let alert = response.alert.clone().unwrap_or_default();
    let event = response.event.clone().unwrap_or_default();
    let standing = alert.finding.clone().unwrap_or_default();
    let (what, finding, words) = match event.event {
        Some(Event::Evaluated(evaluated)) => {
            let what = word(evaluated.transition().as_str_name(), "TRANSITION_");
            let finding = evaluated.finding.unwrap_or_default();
            let words = finding.summary.clone();
            (what, finding, words)
        }
        Some(Event::Acted(acted)) => {
            let what = word(acted.act().as_str_name(), "ACT_");
            (
                what,
                standing,
                format!("{}: {} [{}]", acted.who, acted.why, alert.alert_id),
            )
        }
        None => ("unknown".to_owned(), standing, String::new()),
    };
    let severity = word(finding.severity().as_str_name(), "SEVERITY_");
    let simulated = if finding.evidence.is_some_and(|evidence| evidence.simulated) {
        " (simulated)"
    } else {
        ""
    };
    plain(&format!(
        "{}  {:<6} {:<4} {severity:<6} {what:<12} {words}{simulated}",
        event.at, alert.org_code, alert.rule_id
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use qipp_api::proto::alerts::v1::{Alert, AlertEvent};
    use qipp_api::proto::events::v1::{AlertEvaluated, Evidence, Finding, Severity, Transition};

    #[test]
    fn watching_begins_now_at_the_beginning_or_after_a_cut() {
        assert_eq!(parse_from("now"), Ok(From::Now));
        assert_eq!(parse_from("beginning"), Ok(From::Beginning));
        let cut = r#"{"next":[{"topic":"qipp.alerts.v1","partition":2,"offset":"9"}]}"#;
        let Ok(From::After(cut)) = parse_from(cut) else {
            panic!("a cut")
        };
        assert_eq!(
            parse_from(&json_line("qipp.events.v1.Cut", &cut).unwrap()),
            Ok(From::After(cut)),
            "what is printed can be given back"
        );
        assert!(parse_from("yesterday").is_err());
    }

    #[test]
    fn a_line_names_who_what_and_that_it_is_simulated() {
        let evidence = Evidence {
            simulated: true,
            ..Evidence::default()
        };
        let finding = Finding {
            severity: Severity::Red.into(),
            summary: "savings rise\nand two markers slip".into(),
            evidence: Some(evidence),
            ..Finding::default()
        };
        let evaluated = AlertEvaluated {
            transition: Transition::Raised.into(),
            finding: Some(finding),
            ..AlertEvaluated::default()
        };
        let response = WatchAlertsResponse {
            alert: Some(Alert {
                org_code: "RJ1".into(),
                rule_id: "R01".into(),
                ..Alert::default()
            }),
            event: Some(AlertEvent {
                at: "2012-04-20T09:00:00Z".into(),
                event: Some(Event::Evaluated(evaluated)),
                position: None,
            }),
            cut: None,
        };
        let expected = "2012-04-20T09:00:00Z  RJ1    R01  red    raised       savings rise and two markers slip (simulated)";
        assert_eq!(event_line(&response), expected);
    }
}
