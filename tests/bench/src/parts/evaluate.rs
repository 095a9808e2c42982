//! Evaluating a month of the whole nation: the rules alone on one core, and as the service does it when a month comes in.

use std::time::Duration;

use crate::load::{Load, Mode};
use crate::parts::fold::folded;
use crate::parts::submit::{Target, generate};
use crate::parts::{Bench, evaluated};
use crate::results::Side;
use crate::say;

/// How long the service may take.
const PATIENCE: Duration = Duration::from_secs(900);

/// Clients that submit.
const SUBMITTERS: u32 = 4;

/// Measures our side; the others have no rules.
pub async fn measure(bench: &Bench) -> anyhow::Result<()> {
    for nation in bench.sizes() {
        let case = bench.results.of("evaluate", &nation.name(), Side::Qipp);
        let (data, _) = crate::fill::filled(&bench.work, nation).await?;
        let alone = folded(&data, &["--evaluate"], Some(0)).await?;
        case.less(
            "all rules, every organisation, one core",
            "s",
            alone.evaluated,
        )?;
        case.told("findings", "", alone.findings as f64)?;
        let (_, house) = bench.house_of(nation).await?;
        if evaluated(&house, PATIENCE).await?.is_none() {
            say("the rules were not evaluated in time: left out");
            house.stop().await?;
            continue;
        }
        let load = Load {
            mode: Mode::Bulk,
            clients: SUBMITTERS,
            returns: nation.orgs,
            seconds: PATIENCE.as_secs_f64(),
            orgs: nation.orgs,
            markers: nation.markers,
            seed: nation.seed,
            first: u64::from(nation.orgs) * u64::from(nation.months),
            rate: 0.0,
        };
        let loaded = generate(&Target::house(&house)?, load).await?;
        case.told("a month submitted in", "s", loaded.seconds)?;
        match evaluated(&house, PATIENCE).await? {
            Some(lag) => {
                case.less(
                    "national values and alerts after the last answer",
                    "s",
                    lag.as_secs_f64(),
                )?;
            }
            None => say("the month was not evaluated in time"),
        }
        house.stop().await?;
    }
    Ok(())
}
