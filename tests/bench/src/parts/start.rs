//! Starting with a full log, with and without a checkpoint: until the service says that it serves.

use std::time::Duration;

use crate::fill::bytes_below;
use crate::parts::{Bench, evaluated};
use crate::process::{House, peak_memory};
use crate::results::Side;

/// How long the rules may take over a log that they have never seen.
const FIRST_EVALUATION: Duration = Duration::from_secs(240);

/// Measures our side.
pub async fn measure(bench: &Bench) -> anyhow::Result<()> {
    let nation = bench.nation(bench.args.orgs);
    let (data, house) = bench.house_of(nation).await?;
    let without = bench.results.of(
        "start",
        &format!("{}, no checkpoint", nation.name()),
        Side::Qipp,
    );
    without.less("ready after", "s", house.ready_after.as_secs_f64())?;
    if let Some(took) = evaluated(&house, FIRST_EVALUATION).await? {
        without.told("rules evaluated after", "s", took.as_secs_f64())?;
    }
    without.less(
        "peak memory",
        "MiB",
        peak_memory(house.id()) as f64 / f64::from(1 << 20),
    )?;
    let stopped = house.stop().await?;
    let with = bench.results.of(
        "start",
        &format!("{}, with a checkpoint", nation.name()),
        Side::Qipp,
    );
    with.told(
        "checkpoint",
        "MiB",
        bytes_below(&data.join("projection"))? as f64 / f64::from(1 << 20),
    )?;
    with.told("stopped in", "s", stopped.as_secs_f64())?;
    let house = House::start(&bench.qipp, &data).await?;
    with.less("ready after", "s", house.ready_after.as_secs_f64())?;
    if let Some(took) = evaluated(&house, FIRST_EVALUATION).await? {
        with.told("rules evaluated after", "s", took.as_secs_f64())?;
    }
    with.less(
        "peak memory",
        "MiB",
        peak_memory(house.id()) as f64 / f64::from(1 << 20),
    )?;
    house.stop().await?;
    Ok(())
}
