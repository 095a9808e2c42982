//! The machine: what has to be known to read any other figure.

use std::io::Write as _;
use std::time::Instant;

use crate::parts::{Bench, postgres};
use crate::results::{Side, latencies, note};
use crate::say;

/// Syncs to measure.
const SYNCS: u32 = 500;

/// Tells cores, memory, the disk's sync, and versions.
pub async fn measure(bench: &Bench) -> anyhow::Result<()> {
    let case = bench.results.of("machine", "this machine", Side::Qipp);
    let cores = std::thread::available_parallelism()?.get();
    case.told("cores", "", cores as f64)?;
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))
        .and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok());
    case.told("memory", "GiB", total.unwrap_or(0.0) / f64::from(1 << 20))?;
    let mut histogram = latencies();
    let path = bench.work.join("sync");
    let mut file = std::fs::File::create(&path)?;
    for _ in 0..if bench.args.quick { 20 } else { SYNCS } {
        file.write_all(&[0x5a; 4096])?;
        let begun = Instant::now();
        file.sync_data()?;
        note(&mut histogram, begun.elapsed());
    }
    std::fs::remove_file(&path)?;
    case.told(
        "sync of 4 KiB, p50",
        "ms",
        histogram.value_at_quantile(0.5) as f64 / 1e3,
    )?;
    case.told(
        "sync of 4 KiB, p99",
        "ms",
        histogram.value_at_quantile(0.99) as f64 / 1e3,
    )?;
    case.told("load before, 1 minute", "", load_average())?;
    let words = bench.results.clone();
    words.fact("processor", &processor())?;
    words.fact(
        "kernel",
        std::fs::read_to_string("/proc/sys/kernel/osrelease")
            .unwrap_or_default()
            .trim(),
    )?;
    words.fact("file system", &file_system(&bench.work))?;
    words.fact(
        "settings",
        &format!(
            "--orgs {} --months {} --markers {} --seconds {} --rate {} --seed {}{}",
            bench.args.orgs,
            bench.args.months,
            bench.args.markers,
            bench.args.seconds,
            bench.args.rate,
            bench.args.seed,
            if bench.args.quick {
                " --quick: a tiny nation, no figure here means anything"
            } else {
                ""
            }
        ),
    )?;
    if let Some(client) = postgres(bench).await? {
        let about = crate::postgres::about(&client).await?;
        let about: Vec<String> = about
            .iter()
            .map(|(name, value)| format!("{name} = {value}"))
            .collect();
        words.fact("PostgreSQL", &about.join(", "))?;
    } else {
        say("no PostgreSQL: that side is left out");
    }
    Ok(())
}

fn load_average() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace()
        .next()
        .and_then(|load| load.parse().ok())
        .unwrap_or(0.0)
}

fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = text.lines().find(|line| line.starts_with("model name"));
    name.and_then(|line| line.split_once(": "))
        .map_or("unknown", |(_, name)| name)
        .to_owned()
}

/// Kind of the file system that holds a path: the longest mount point that it is below.
fn file_system(path: &std::path::Path) -> String {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let text = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
    let mounts = text.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        Some((fields.next()?, fields.next()?))
    });
    mounts
        .filter(|(point, _)| path.starts_with(point))
        .max_by_key(|(point, _)| point.len())
        .map_or("unknown", |(_, kind)| kind)
        .to_owned()
}
