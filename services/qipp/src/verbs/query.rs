//! `qipp query`: questions, each answered at one cut, as tables for people or as JSON for scripts.
//!
//! It only asks and prints. One file for each family of questions, in `query/`; here is what they share: the moment of knowledge, pages
//! and the two ways to print.

pub(crate) mod alerts;
mod figures;
mod lists;
mod reference;
mod returns;
mod roll_ups;
mod status;

use std::collections::BTreeSet;

use clap::{Args, Subcommand, ValueEnum};
use prost::Message;
use qipp_access::Role;
use qipp_api::cut::time_from_text;
use qipp_api::json::from_json_text;
use qipp_api::proto::alerts::v1 as alerts_wire;
use qipp_api::proto::events::v1::known_at::Moment;
use qipp_api::proto::events::v1::{Cut, Dataset, KnownAt, Measured, ReadOptions};
use qipp_api::proto::projections::v1::{self as projections_wire, Source};
use qipp_api::proto::registry::v1 as registry_wire;
use tonic::{Response, Status};

use crate::cli::Reach;
use crate::client::{Client, unreachable};
use crate::exit::{self, Failure, Outcome};
use crate::output::{json_line, line, quietly};

/// Items of one page: the most that the contract gives.
const PAGE: i32 = 1000;

const EXAMPLES: &str = "\
Examples:
  qipp query status
  qipp query series RJ1 AE_4H --from 2011-04
  qipp query rollup sha_2010 sha --marker RTT_INC --from 2010-05
  qipp query alerts --open --min-severity amber
  qipp query series RJ1 AE_4H --known-at 2012-03-15T09:00:00Z    (as it was known then)
  qipp query --json organisations | jq -r '.organisations[].orgCode'";

/// Ask: series, savings, roll-ups, completeness, alerts, and how the service stands.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct QueryArgs {
    #[command(subcommand)]
    what: What,
    /// Answer as it was known then: a time with offset (2012-03-15T09:00:00Z), or a cut as JSON (what --json prints as `cut`).
    #[arg(long, global = true, value_name = "TIME", value_parser = parse_known_at)]
    known_at: Option<KnownAt>,
    /// Name the cut of the log that the answer was given at, on standard error. JSON has it anyway.
    #[arg(long, short, global = true)]
    verbose: bool,
    #[command(flatten)]
    reach: Reach,
}

#[derive(Debug, Subcommand)]
enum What {
    /// One marker of one organisation, month by month; a month without a figure says why.
    Series(figures::SeriesArgs),
    /// Planned and delivered savings of an organisation, or of everything below a node of a tree.
    Savings(figures::SavingsArgs),
    /// The schemes of an organisation, and what each has of a scheme of quality.
    Schemes(figures::SchemesArgs),
    /// Markers rolled up to a level of a tree, by their parts.
    Rollup(roll_ups::RollUpArgs),
    /// Who has returned what, and when.
    Completeness(returns::CompletenessArgs),
    /// Every revision of one return.
    Revisions(returns::RevisionsArgs),
    /// Alerts, newest month first.
    Alerts(alerts::AlertsArgs),
    /// One alert: its question, its evidence, its history.
    Alert(alerts::AlertArgs),
    /// Organisations by code.
    Organisations(reference::OrganisationsArgs),
    /// One organisation, with its succession and its places in the trees.
    Organisation(reference::OrganisationArgs),
    /// The trees.
    Trees,
    /// What stands where in a tree on a day.
    Nodes(reference::NodesArgs),
    /// The marker catalogue: every version of every definition.
    Markers,
    /// When returns are due, where a day other than the usual one was set. What an organisation owes: `qipp query organisation`.
    Deadlines(reference::DeadlinesArgs),
    /// National values of a marker, month by month.
    Benchmarks(alerts::BenchmarksArgs),
    /// Who is on the list of a month whose savings rose while quality slipped, in which tier, and how many are expected to be there falsely.
    Lists(lists::ListsArgs),
    /// What is running: how far it has folded, counts, and what is parked.
    Status(status::StatusArgs),
}

/// A dataset on the command line.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum DatasetArg {
    /// Planned and delivered savings.
    Savings,
    /// Quality markers.
    Quality,
}

impl From<DatasetArg> for Dataset {
    fn from(dataset: DatasetArg) -> Self {
        match dataset {
            DatasetArg::Savings => Self::Savings,
            DatasetArg::Quality => Self::Quality,
        }
    }
}

pub(crate) async fn run(args: QueryArgs) -> Outcome {
    let asker = Asker {
        client: args.reach.client(Role::National)?,
        server: args.reach.server,
        read: args.known_at.map(|known_at| ReadOptions {
            min_cut: None,
            known_at: Some(known_at),
        }),
        json: args.reach.json,
        verbose: args.verbose,
    };
    quietly(Box::pin(answer(&asker, args.what)).await.map(|()| exit::OK))
}

async fn answer(asker: &Asker, what: What) -> Result<(), Failure> {
    match what {
        What::Series(args) => figures::series(asker, args).await,
        What::Savings(args) => figures::savings(asker, args).await,
        What::Schemes(args) => figures::schemes(asker, args).await,
        What::Rollup(args) => roll_ups::roll_up(asker, args).await,
        What::Completeness(args) => returns::completeness(asker, args).await,
        What::Revisions(args) => returns::revisions(asker, args).await,
        What::Alerts(args) => alerts::alerts(asker, args).await,
        What::Alert(args) => alerts::alert(asker, args).await,
        What::Organisations(args) => reference::organisations(asker, args).await,
        What::Organisation(args) => reference::organisation(asker, args).await,
        What::Trees => reference::trees(asker).await,
        What::Nodes(args) => reference::nodes(asker, args).await,
        What::Markers => reference::markers(asker).await,
        What::Deadlines(args) => reference::deadlines(asker, args).await,
        What::Benchmarks(args) => alerts::benchmarks(asker, args).await,
        What::Lists(args) => lists::lists(asker, args).await,
        What::Status(args) => status::status(asker, args).await,
    }
}

/// Asks on behalf of a person, and knows how that person wants to read.
pub(crate) struct Asker {
    client: Client,
    server: String,
    read: Option<ReadOptions>,
    json: bool,
    verbose: bool,
}

impl Asker {
    /// The answer, for a table; nothing when it was printed as JSON.
    fn answer<A: Answer>(&self, answer: Result<Response<A>, Status>) -> Result<Option<A>, Failure> {
        let answer = answer
            .map_err(|status| unreachable(&self.server, &status))?
            .into_inner();
        self.name_cut(answer.cut())?;
        name_shards(answer.shards_away());
        if self.json {
            line(&json_line(A::NAME, &answer)?)?;
            return Ok(None);
        }
        Ok(Some(answer))
    }

    /// All pages of an answer, for a table; nothing when they were printed as JSON, a line a page.
    async fn pages<A: Answer>(
        &self,
        ask: impl AsyncFn(String) -> Result<Response<A>, Status>,
    ) -> Result<Option<Vec<A>>, Failure> {
        let mut pages = Vec::new();
        let mut token = String::new();
        let mut away = BTreeSet::new();
        loop {
            let page = ask(token)
                .await
                .map_err(|status| unreachable(&self.server, &status))?
                .into_inner();
            // Every page is answered at the cut of the first.
            if pages.is_empty() {
                self.name_cut(page.cut())?;
            }
            token = page.next_page_token().to_owned();
            away.extend(page.shards_away().iter().copied());
            if self.json {
                line(&json_line(A::NAME, &page)?)?;
            } else {
                pages.push(page);
            }
            if token.is_empty() {
                name_shards(&away.into_iter().collect::<Vec<_>>());
                return Ok((!self.json).then_some(pages));
            }
        }
    }

    fn name_cut(&self, cut: Option<&Cut>) -> Result<(), Failure> {
        if self.verbose
            && let Some(cut) = cut
        {
            eprintln!("answered at {}", json_line("qipp.events.v1.Cut", cut)?);
        }
        Ok(())
    }
}

/// Says whose organisations are not in an answer: it would pass for the nation's.
fn name_shards(away: &[u32]) {
    if away.is_empty() {
        return;
    }
    let away: Vec<String> = away.iter().map(|index| format!("shard {index}")).collect();
    eprintln!(
        "warning: this is not about the whole nation: the organisations of {} are not in it (`qipp query status` says which shards are away)",
        away.join(", ")
    );
}

/// An answer of the contract.
trait Answer: Message {
    /// Its full name.
    const NAME: &'static str;
    /// The cut that it was given at.
    fn cut(&self) -> Option<&Cut>;
    /// Empty: there is no further page.
    fn next_page_token(&self) -> &str {
        ""
    }
    /// Shards whose organisations are left out.
    fn shards_away(&self) -> &[u32] {
        &[]
    }
}

macro_rules! answers {
    ($($wire:ident::$message:ident, $name:literal $(, $token:ident)? $(=> $away:ident)?;)+) => {
        $(impl Answer for $wire::$message {
            const NAME: &'static str = concat!("qipp.", $name, ".v1.", stringify!($message));
            fn cut(&self) -> Option<&Cut> {
                self.cut.as_ref()
            }
            $(fn next_page_token(&self) -> &str {
                &self.$token
            })?
            $(fn shards_away(&self) -> &[u32] {
                &self.$away
            })?
        })+
    };
}

answers! {
    projections_wire::GetSeriesResponse, "projections" => shards_away;
    projections_wire::GetSavingsPositionResponse, "projections" => shards_away;
    projections_wire::ListSchemesResponse, "projections", next_page_token;
    projections_wire::ListRollUpsResponse, "projections", next_page_token => shards_away;
    projections_wire::GetCompletenessResponse, "projections" => shards_away;
    projections_wire::ListRevisionsResponse, "projections";
    projections_wire::GetStatusResponse, "projections" => shards_away;
    alerts_wire::ListAlertsResponse, "alerts", next_page_token;
    alerts_wire::GetAlertResponse, "alerts";
    alerts_wire::ListBenchmarksResponse, "alerts";
    alerts_wire::ListAssessmentsResponse, "alerts";
    registry_wire::ListOrganisationsResponse, "registry", next_page_token;
    registry_wire::GetOrganisationResponse, "registry";
    registry_wire::ListTreesResponse, "registry";
    registry_wire::ListTreeNodesResponse, "registry", next_page_token;
    registry_wire::ListMarkersResponse, "registry", next_page_token;
    registry_wire::ListDeadlinesResponse, "registry";
}

/// A cut as the verbs print it.
///
/// # Errors
/// What is wrong, and what to give instead.
pub(crate) fn parse_cut(text: &str) -> Result<Cut, String> {
    let bytes = from_json_text("qipp.events.v1.Cut", text.as_bytes());
    let bytes = bytes
        .map_err(|error| format!("{error}; a cut is JSON as --json prints it: {{\"next\":[…]}}"))?;
    Cut::decode(bytes).map_err(|error| error.to_string())
}

fn parse_known_at(text: &str) -> Result<KnownAt, String> {
    let moment = if text.starts_with('{') {
        Moment::Cut(parse_cut(text)?)
    } else if time_from_text(text).is_some() {
        Moment::Time(text.to_owned())
    } else {
        return Err(
            "give a time with its offset, for example 2012-03-15T09:00:00Z, or a cut as JSON"
                .to_owned(),
        );
    };
    Ok(KnownAt {
        moment: Some(moment),
    })
}

/// Text of an argument that may be absent: the contract says nothing by an empty one.
fn text(argument: Option<impl ToString>) -> String {
    argument.map(|value| value.to_string()).unwrap_or_default()
}

/// A figure as a person reads it: numerator over denominator, or the value itself.
fn figure(value: Option<f64>, measured: &Measured) -> String {
    match (value, measured.denominator) {
        (Some(value), Some(_)) => format!("{value:.4}"),
        (Some(value), None) => value.to_string(),
        (None, _) => "of nothing".to_owned(),
    }
}

/// Numerator and denominator; a marker that has only a value has no denominator.
fn parts(measured: &Measured) -> (String, String) {
    (measured.numerator.to_string(), text(measured.denominator))
}

/// The returns that a figure came from: `RJ1 r2` is revision 2 of RJ1's return.
fn came_from(sources: &[Source]) -> String {
    let named: Vec<String> = sources
        .iter()
        .map(|s| format!("{} r{}", s.org_code, s.revision))
        .collect();
    named.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_time_with_its_offset_or_a_cut() {
        let time = parse_known_at("2012-03-15T09:00:00Z").unwrap();
        assert_eq!(
            time.moment,
            Some(Moment::Time("2012-03-15T09:00:00Z".into()))
        );
        let cut = r#"{"next":[{"topic":"qipp.returns.v1","partition":1,"offset":"7"}]}"#;
        let Some(Moment::Cut(cut)) = parse_known_at(cut).unwrap().moment else {
            panic!("a cut")
        };
        assert_eq!((cut.next[0].partition, cut.next[0].offset), (1, 7));
        for bad in ["yesterday", "2012-03-15", "{\"after\":[]}"] {
            assert!(parse_known_at(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_figure_of_a_denominator_of_nothing_is_not_zero() {
        let none = Measured {
            numerator: 0.0,
            denominator: Some(0.0),
        };
        assert_eq!(figure(None, &none), "of nothing");
        let days = Measured {
            numerator: 12.0,
            denominator: None,
        };
        assert_eq!(
            (figure(Some(12.0), &days).as_str(), parts(&days).1.as_str()),
            ("12", "")
        );
    }
}
