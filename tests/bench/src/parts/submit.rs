//! Durable submissions: returns a second and time to the answer, with 1, 16 and 64 clients.
//!
//! Every side starts with a year of history of the same nation. An answer means: synced to disk, decided, visible to readers. Our side
//! folds, validates against the history and evaluates its rules at the same time; PostgreSQL does the checks of `submit_return`.

use std::time::Duration;

use crate::load::{Load, Loaded, Mode};
use crate::nation::Nation;
use crate::parts::{Bench, evaluated, postgres};
use crate::process::{House, cpu_seconds, fresh};
use crate::results::{Case, Side};
use crate::say;

const CLIENTS: [u32; 3] = [1, 16, 64];
/// Organisations, whatever is asked for: a small nation's months until today would be over in seconds.
const ORGS: u32 = 10_000;
/// Months of history before the first submission.
const BASE: u32 = 12;
/// How long the rules may take to catch up between two measurements.
const CATCH_UP: Duration = Duration::from_secs(30);

/// Measures both sides.
pub async fn measure(bench: &Bench) -> anyhow::Result<()> {
    let orgs = if bench.args.quick {
        bench.args.orgs
    } else {
        ORGS
    };
    let nation = Nation {
        months: BASE,
        ..bench.nation(orgs)
    };
    ours(bench, nation).await?;
    if let Some(client) = postgres(bench).await? {
        theirs(bench, nation, &client).await?;
    }
    Ok(())
}

async fn ours(bench: &Bench, nation: Nation) -> anyhow::Result<()> {
    let (_, house) = bench.house_of(nation).await?;
    evaluated(&house, CATCH_UP * 4).await?;
    let target = Target::house(&house)?;
    for (name, load) in loads(bench, nation, &CLIENTS) {
        let case = bench.results.of("submit", &name, Side::Qipp);
        let before = cpu_seconds(house.id());
        let loaded = generate(&target, load).await?;
        tell(&case, &loaded, cpu_seconds(house.id()) - before)?;
        match evaluated(&house, CATCH_UP).await? {
            Some(lag) => case.told("rules caught up after", "s", lag.as_secs_f64())?,
            None => say("the rules have not caught up; going on"),
        }
    }
    house.stop().await?;
    Ok(())
}

async fn theirs(
    bench: &Bench,
    nation: Nation,
    client: &tokio_postgres::Client,
) -> anyhow::Result<()> {
    crate::postgres::loaded(client, nation).await?;
    let server = crate::postgres::server_process(client).await?;
    let target = Target::postgres(bench);
    let refreshing = crate::postgres::keep_refreshing(bench);
    for (name, load) in loads(bench, nation, &CLIENTS) {
        let case = bench.results.of("submit", &name, Side::Postgresql);
        let before = cpu_seconds(server);
        let loaded = generate(&target, load).await?;
        tell(&case, &loaded, cpu_seconds(server) - before)?;
    }
    refreshing.end().await
}

/// One after the other on the same data, each with returns of its own, so that none is a repeat.
pub fn loads(bench: &Bench, nation: Nation, clients: &[u32]) -> Vec<(String, Load)> {
    let mut first = u64::from(nation.orgs) * u64::from(nation.months);
    let mut loads = Vec::new();
    for mode in [Mode::Unary, Mode::Bulk] {
        for &clients in clients {
            let load = Load {
                mode,
                clients,
                returns: most(bench, nation, mode, clients),
                seconds: bench.seconds(),
                orgs: nation.orgs,
                markers: nation.markers,
                seed: nation.seed,
                first,
                rate: 0.0,
            };
            first += u64::from(load.returns);
            let plural = if clients == 1 { "client" } else { "clients" };
            let name = match mode {
                Mode::Unary => format!("{clients} {plural}, a call a return"),
                Mode::Bulk => format!("{clients} {plural}, bulk of 64 in flight"),
            };
            loads.push((name, load));
        }
    }
    loads
}

/// More returns than can be submitted in the time; they are made before the clock starts.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a small positive number"
)]
fn most(bench: &Bench, nation: Nation, mode: Mode, clients: u32) -> u32 {
    let per_second = match (mode, clients) {
        (Mode::Unary, 1) => 8_000.0,
        (Mode::Unary, 16) => 25_000.0,
        (Mode::Unary, _) | (Mode::Bulk, 1) => 40_000.0,
        (Mode::Bulk, _) => 50_000.0,
    };
    // There are no more months than these before anybody's today.
    ((per_second * bench.seconds()) as u32).clamp(1, nation.orgs * 35)
}

/// Whom a load generator submits to.
#[derive(Clone, Debug)]
pub struct Target {
    verb: [String; 2],
    key: Option<String>,
}

impl Target {
    /// Our side.
    pub fn house(house: &House) -> anyhow::Result<Self> {
        Ok(Self {
            verb: ["load".to_owned(), format!("--server={}", house.url)],
            key: Some(house.key("collector")?),
        })
    }

    /// PostgreSQL.
    pub fn postgres(bench: &Bench) -> Self {
        let address = bench.args.postgres.as_deref().unwrap_or_default();
        Self {
            verb: ["pg-load".to_owned(), format!("--postgres={address}")],
            key: None,
        }
    }
}

/// Runs a load generator, in a process of its own, to its end.
pub async fn generate(target: &Target, load: Load) -> anyhow::Result<Loaded> {
    let mut arguments = target.verb.to_vec();
    arguments.extend(load.flags());
    let answer = fresh(&arguments, target.key.as_deref(), None).await?;
    let loaded: Loaded = serde_json::from_value(answer)?;
    if loaded.refused > 0 {
        say(&format!(
            "{} returns were not accepted, for example: {}",
            loaded.refused, loaded.refusal
        ));
    }
    Ok(loaded)
}

/// What came of a load, and what the server used for it.
pub fn tell(case: &Case<'_>, loaded: &Loaded, server_seconds: f64) -> anyhow::Result<()> {
    case.more("durable returns", "/s", loaded.rate())?;
    case.percentiles(&loaded.histogram())?;
    case.told("not accepted", "", loaded.refused as f64)?;
    case.told("server", "cores", server_seconds / loaded.seconds)?;
    case.told(
        "load generator",
        "cores",
        loaded.cpu_seconds / loaded.seconds,
    )
}
