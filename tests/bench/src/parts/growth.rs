//! The same at a hundredth, a tenth and the whole of the large nation: what grows with the data, and what does not.

use std::time::{Duration, Instant};

use qipp_api::proto::projections::v1::ListRollUpsRequest;

use crate::fill::filled;
use crate::nation::{REGION, TREE};
use crate::parts::fold::folded;
use crate::parts::{Bench, evaluated};
use crate::results::{Side, latencies, note};

/// How long the rules may take; queries are measured after that in any case.
const FIRST_EVALUATION: Duration = Duration::from_secs(120);

/// Measures our side.
pub async fn measure(bench: &Bench) -> anyhow::Result<()> {
    for (times, share) in [("1×", 100), ("10×", 10), ("100×", 1)] {
        let nation = bench.nation((bench.args.orgs / share).max(1));
        let (data, filled) = filled(&bench.work, nation).await?;
        let case = bench
            .results
            .of("growth", &format!("{times}: {}", nation.name()), Side::Qipp);
        case.told("values and lines in the log", "", filled.all())?;
        let fold = folded(&data, &[], None).await?;
        case.more("folded", "values/s", filled.all() / fold.seconds)?;
        case.less(
            "memory at the end",
            "bytes/value",
            fold.resident as f64 / filled.all(),
        )?;
        case.less("disk", "bytes/value", filled.bytes as f64 / filled.all())?;
        let (_, house) = bench.house_of(nation).await?;
        case.less(
            "start without checkpoint",
            "s",
            house.ready_after.as_secs_f64(),
        )?;
        if let Some(took) = evaluated(&house, FIRST_EVALUATION).await? {
            case.less("rules evaluated after", "s", took.as_secs_f64())?;
        }
        let client = house.client("national")?;
        let mut histogram = latencies();
        let until = Instant::now() + Duration::from_secs_f64(bench.seconds() / 2.0);
        let mut number = 0;
        while Instant::now() < until {
            let request = ListRollUpsRequest {
                tree: TREE.to_owned(),
                level: REGION.to_owned(),
                marker: nation.marker(number % nation.markers).to_string(),
                from: nation.period(0).to_string(),
                to: nation.period(nation.months - 1).to_string(),
                page_size: 1000,
                ..ListRollUpsRequest::default()
            };
            let begun = Instant::now();
            client.projections().list_roll_ups(request).await?;
            note(&mut histogram, begun.elapsed());
            number += 1;
        }
        case.less(
            "roll-up, p50",
            "ms",
            histogram.value_at_quantile(0.5) as f64 / 1e3,
        )?;
        case.less(
            "roll-up, p99",
            "ms",
            histogram.value_at_quantile(0.99) as f64 / 1e3,
        )?;
        house.stop().await?;
    }
    Ok(())
}
