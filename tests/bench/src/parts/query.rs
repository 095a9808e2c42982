//! Queries while submissions go on, one querying client after the other, at two sizes of the nation.
//!
//! Ours over gRPC; PostgreSQL over its socket with prepared statements, both on roll-ups that are refreshed once a second and on the
//! figures themselves. Both sides' answers are read to the end, and their sums have to be equal before the load begins.

use std::time::{Duration, Instant};

use qipp::client::Client;
use qipp_api::proto::events::v1::Dataset;
use qipp_api::proto::projections::v1::{
    GetSeriesRequest, ListRevisionsRequest, ListRollUpsRequest,
};

use crate::load::{Load, Loaded, Mode};
use crate::nation::{ICB, Nation, REGION, TREE};
use crate::parts::submit::{Target, generate};
use crate::parts::{Bench, evaluated};
use crate::process::House;
use crate::report::WITHOUT_TABLE;
use crate::results::{Side, latencies, note};
use crate::say;

/// How long the rules may take over a log that they have never seen.
const FIRST_EVALUATION: Duration = Duration::from_secs(120);
/// Clients that submit.
const SUBMITTERS: u32 = 4;
/// Most cells of a page.
const PAGE: i32 = 1000;

/// The four questions, by the name of their case.
#[derive(Clone, Copy, Debug)]
enum Question {
    RollUp,
    Month,
    Series,
    Scorecard,
}

const QUESTIONS: [(Question, &str); 4] = [
    (Question::RollUp, "roll-up: a marker by region, all months"),
    (Question::Month, "roll-up: a month, all markers by ICB"),
    (Question::Series, "series: a marker of an organisation"),
    (
        Question::Scorecard,
        "scorecard: an organisation's last month",
    ),
];

/// Measures both sides.
pub async fn measure(bench: &Bench) -> anyhow::Result<()> {
    for nation in bench.sizes() {
        let (_, house) = bench.house_of(nation).await?;
        match evaluated(&house, FIRST_EVALUATION).await? {
            Some(took) => bench
                .results
                .of("query", &format!("{}: rules", nation.name()), Side::Qipp)
                .told("first evaluation", "s", took.as_secs_f64())?,
            None => say("the rules have not been evaluated yet; queries are measured beside that"),
        }
        let ours = Ours {
            client: house.client("national")?,
            nation,
        };
        let expected = ours.check().await?;
        load_and_ask(bench, nation, &house, &ours).await?;
        house.stop().await?;
        if let Some(client) = super::postgres(bench).await? {
            crate::postgres::loaded(&client, nation).await?;
            theirs(bench, nation, expected).await?;
        }
    }
    Ok(())
}

async fn load_and_ask(
    bench: &Bench,
    nation: Nation,
    house: &House,
    ours: &Ours,
) -> anyhow::Result<()> {
    let loading = load(bench, nation, Target::house(house)?, QUESTIONS.len());
    let asking = async {
        for (question, name) in QUESTIONS {
            let mut histogram = latencies();
            let until = Instant::now() + Duration::from_secs_f64(bench.seconds());
            let mut number = 0;
            while Instant::now() < until {
                let begun = Instant::now();
                ours.ask(question, number).await?;
                note(&mut histogram, begun.elapsed());
                number += 1;
            }
            let case = format!("{}: {name}", nation.name());
            bench
                .results
                .of("query", &case, Side::Qipp)
                .percentiles(&histogram)?;
        }
        anyhow::Ok(())
    };
    let (loaded, asked) = tokio::join!(loading, asking);
    asked?;
    let loaded = loaded?;
    let case = bench.results.of(
        "query",
        &format!("{}: submissions beside", nation.name()),
        Side::Qipp,
    );
    case.told("accepted", "/s", loaded.rate())?;
    case.percentiles(&loaded.histogram())
}

/// Submissions at the stated rate for as long as so many measurements take.
async fn load(
    bench: &Bench,
    nation: Nation,
    target: Target,
    measurements: usize,
) -> anyhow::Result<Loaded> {
    let seconds = bench.seconds() * measurements as f64;
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a small positive number"
    )]
    let returns = (bench.args.rate * seconds).max(1.0) as u32;
    let load = Load {
        mode: Mode::Unary,
        clients: SUBMITTERS,
        returns,
        seconds,
        orgs: nation.orgs,
        markers: nation.markers,
        seed: nation.seed,
        first: u64::from(nation.orgs) * u64::from(nation.months),
        rate: bench.args.rate,
    };
    generate(&target, load).await
}

/// The sums that both sides have to agree on.
type Sums = [(usize, i64); 2];

#[derive(Debug)]
struct Ours {
    client: Client,
    nation: Nation,
}

impl Ours {
    async fn check(&self) -> anyhow::Result<Sums> {
        Ok([
            self.ask(Question::RollUp, 0).await?,
            self.ask(Question::Month, 0).await?,
        ])
    }

    /// Number of cells or points, and the sum of the numerators in thousandths.
    async fn ask(&self, question: Question, number: u32) -> anyhow::Result<(usize, i64)> {
        let nation = &self.nation;
        let marker = nation.marker(number % nation.markers).to_string();
        let org = nation.org(place(number, nation.orgs)).to_string();
        let (first, last) = (
            nation.period(0).to_string(),
            nation.period(nation.months - 1).to_string(),
        );
        match question {
            Question::RollUp => self.roll_up(REGION, &marker, &first, &last).await,
            Question::Month => self.roll_up(ICB, "", &last, &last).await,
            Question::Series => {
                let request = GetSeriesRequest {
                    org_code: org,
                    marker,
                    from: first,
                    to: last,
                    ..GetSeriesRequest::default()
                };
                let answer = self
                    .client
                    .projections()
                    .get_series(request)
                    .await?
                    .into_inner();
                Ok((answer.points.len(), 0))
            }
            Question::Scorecard => {
                let request = ListRevisionsRequest {
                    org_code: org,
                    dataset: Dataset::Quality.into(),
                    period: last,
                    ..ListRevisionsRequest::default()
                };
                let answer = self
                    .client
                    .projections()
                    .list_revisions(request)
                    .await?
                    .into_inner();
                Ok((answer.revisions.len(), 0))
            }
        }
    }

    /// All pages.
    async fn roll_up(
        &self,
        level: &str,
        marker: &str,
        from: &str,
        to: &str,
    ) -> anyhow::Result<(usize, i64)> {
        let mut request = ListRollUpsRequest {
            tree: TREE.to_owned(),
            level: level.to_owned(),
            marker: marker.to_owned(),
            from: from.to_owned(),
            to: to.to_owned(),
            page_size: PAGE,
            ..ListRollUpsRequest::default()
        };
        let (mut cells, mut sum) = (0, 0.0);
        loop {
            let answer = self
                .client
                .projections()
                .list_roll_ups(request.clone())
                .await?
                .into_inner();
            cells += answer.cells.len();
            sum += answer
                .cells
                .iter()
                .filter_map(|cell| cell.measured.as_ref())
                .map(|measured| measured.numerator)
                .sum::<f64>();
            request.page_token = answer.next_page_token;
            if request.page_token.is_empty() {
                #[allow(clippy::cast_possible_truncation, reason = "counts are below 2^53")]
                return Ok((cells, (sum * 1000.0).round() as i64));
            }
        }
    }
}

/// Organisations in an order in which neighbours do not follow each other.
fn place(number: u32, orgs: u32) -> u32 {
    number.wrapping_mul(2_654_435_761) % orgs
}

async fn theirs(bench: &Bench, nation: Nation, expected: Sums) -> anyhow::Result<()> {
    let address = bench.args.postgres.as_deref().unwrap_or_default();
    let queries = crate::postgres::Queries::new(address, nation).await?;
    for raw in [false, true] {
        let found = [queries.roll_up(0, raw).await?, queries.month(raw).await?];
        anyhow::ensure!(
            found == expected,
            "the sides do not agree: {found:?} and ours {expected:?}"
        );
    }
    let refreshing = crate::postgres::keep_refreshing(bench);
    // Roll-ups are asked twice.
    let loading = load(bench, nation, Target::postgres(bench), QUESTIONS.len() + 2);
    let asking = async {
        for (question, name) in QUESTIONS {
            let raws: &[bool] = match question {
                Question::RollUp | Question::Month => &[false, true],
                Question::Series | Question::Scorecard => &[false],
            };
            for raw in raws {
                let mut histogram = latencies();
                let until = Instant::now() + Duration::from_secs_f64(bench.seconds());
                let mut number = 0;
                while Instant::now() < until {
                    let begun = Instant::now();
                    let marker = i16::try_from(number % nation.markers)?;
                    let org = i32::try_from(place(number, nation.orgs))?;
                    match question {
                        Question::RollUp => queries.roll_up(marker, *raw).await?,
                        Question::Month => queries.month(*raw).await?,
                        Question::Series => queries.series(org, marker).await?,
                        Question::Scorecard => queries.scorecard(org).await?,
                    };
                    note(&mut histogram, begun.elapsed());
                    number += 1;
                }
                let without = if *raw { WITHOUT_TABLE } else { "" };
                let case = format!("{}: {name}{without}", nation.name());
                bench
                    .results
                    .of("query", &case, Side::Postgresql)
                    .percentiles(&histogram)?;
            }
        }
        anyhow::Ok(())
    };
    let (loaded, asked) = tokio::join!(loading, asking);
    refreshing.end().await?;
    asked?;
    let loaded = loaded?;
    let case = bench.results.of(
        "query",
        &format!("{}: submissions beside", nation.name()),
        Side::Postgresql,
    );
    case.told("accepted", "/s", loaded.rate())?;
    case.percentiles(&loaded.histogram())
}
