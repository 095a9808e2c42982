//! What is measured, a file a part. Each part says what it does at the top of its file, and README.md says it for readers of the tables.

pub mod alerts;
pub mod evaluate;
pub mod fold;
pub mod growth;
pub mod kafka;
pub mod query;
pub mod start;
pub mod submit;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use qipp_api::proto::alerts::v1::ListAlertsRequest;
use qipp_api::proto::projections::v1::GetStatusRequest;

use crate::nation::Nation;
use crate::process::{House, Serve};
use crate::results::{Results, Side};
use crate::{machine, postgres, report, say};

/// Decides all figures of all runs, unless another is given.
pub const SEED: u64 = 2010;
/// Markers of a quality return.
pub const MARKERS: u32 = 30;
/// Months of the usual history.
pub const MONTHS: u32 = 60;

/// Organisations, months and markers of the tiny nation.
const QUICK: (u32, u32, u32) = (20, 16, 5);

/// A part of the measurements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// Durable submissions: rate and latency, by clients.
    Submit,
    /// Folding the history; disk space.
    Fold,
    /// The full rebuild of ten years.
    Rebuild,
    /// Queries while submissions go on.
    Query,
    /// From a submission to its alert on a watcher's stream.
    Alerts,
    /// Evaluating a month of the whole nation.
    Evaluate,
    /// Starting with a full log, with and without a checkpoint.
    Start,
    /// The same at 1×, 10× and 100×.
    Growth,
    /// Many processes on one broker and on three.
    Kafka,
}

/// What to measure.
#[derive(Clone, Debug, Args)]
pub struct RunArgs {
    /// Parts to measure. None: all.
    #[arg(value_enum)]
    pub parts: Vec<Part>,
    /// Organisations of the large nation; the small one has 500.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(2..=100_000))]
    pub orgs: u32,
    /// Months of history (submit: 12, rebuild: 120).
    #[arg(long, default_value_t = MONTHS, value_parser = clap::value_parser!(u32).range(2..=120))]
    pub months: u32,
    /// Markers of a quality return (rebuild: 50).
    #[arg(long, default_value_t = MARKERS, value_parser = clap::value_parser!(u32).range(1..=99))]
    pub markers: u32,
    /// A tiny nation and short times: shows that everything works, and no figure of it means anything.
    #[arg(long)]
    pub quick: bool,
    /// Seconds of each measurement of a rate or a latency.
    #[arg(long, default_value_t = 8.0)]
    pub seconds: f64,
    /// Returns a second that are submitted while queries are measured.
    #[arg(long, default_value_t = 200.0)]
    pub rate: f64,
    /// Where PostgreSQL 15 is, for example `host=/run/postgresql dbname=bench`: an empty database that may be wiped. Without it, that side is left out.
    #[arg(long)]
    pub postgres: Option<String>,
    /// A Python that has the package duckdb. Without it, that side is left out.
    #[arg(long)]
    pub python: Option<PathBuf>,
    /// The binary of the product. Default: `qipp` beside this program.
    #[arg(long)]
    pub qipp: Option<PathBuf>,
    /// Where data goes: on the disk that is to be measured. Filled logs are kept there and used again. Default: a temporary folder.
    #[arg(long)]
    pub work: Option<PathBuf>,
    /// File of results, lines of JSON; parts that are measured again replace theirs in the report.
    #[arg(long)]
    pub out: Option<PathBuf>,
    /// Write the report there as well.
    #[arg(long)]
    pub report: Option<PathBuf>,
    /// Decides all figures of the nation.
    #[arg(long, default_value_t = SEED)]
    pub seed: u64,
}

/// What every part needs.
#[derive(Debug)]
pub struct Bench {
    /// Settings.
    pub args: RunArgs,
    /// Where data goes.
    pub work: PathBuf,
    /// The binary.
    pub qipp: PathBuf,
    /// Where figures go.
    pub results: Results,
}

impl Bench {
    /// A nation of so many organisations with the usual history.
    pub fn nation(&self, orgs: u32) -> Nation {
        Nation {
            orgs,
            months: self.args.months,
            markers: self.args.markers,
            seed: self.args.seed,
        }
    }

    /// The large and the small nation, in this order, so that what the part before has loaded can be used; once when they are the same.
    pub fn sizes(&self) -> Vec<Nation> {
        let mut sizes = vec![
            self.nation(self.args.orgs),
            self.nation(self.args.orgs.min(500)),
        ];
        sizes.dedup();
        sizes
    }

    /// A copy of the data directory of a filled nation, to be written to.
    pub async fn house_of(&self, nation: Nation) -> anyhow::Result<(PathBuf, House)> {
        self.house_as(nation, &Serve::default()).await
    }

    /// The same, but not as it comes.
    pub async fn house_as(
        &self,
        nation: Nation,
        serve: &Serve,
    ) -> anyhow::Result<(PathBuf, House)> {
        let (data, _) = crate::fill::filled(&self.work, nation).await?;
        let copy = self.work.join("written");
        crate::fill::copy(&data, &copy)?;
        let house = House::start_as(&self.qipp, &copy, serve).await?;
        Ok((copy, house))
    }

    /// Seconds of a measurement.
    pub fn seconds(&self) -> f64 {
        if self.args.quick {
            0.3
        } else {
            self.args.seconds
        }
    }
}

/// How often is looked again at what nobody tells.
pub const LOOK: Duration = Duration::from_millis(50);
/// The service lets no call last longer than five minutes.
const CALL: Duration = Duration::from_secs(240);

/// Waits until the rules have been evaluated on everything that the log holds now, and says how long that took; nothing when it was
/// not done within the time.
pub async fn evaluated(house: &House, patience: Duration) -> anyhow::Result<Option<Duration>> {
    let begun = Instant::now();
    let client = house.client("national")?;
    let status = client
        .projections()
        .get_status(GetStatusRequest::default())
        .await?;
    let request = ListAlertsRequest {
        page_size: 1,
        min_evaluated: status.into_inner().head,
        ..ListAlertsRequest::default()
    };
    loop {
        let left = patience.saturating_sub(begun.elapsed()).min(CALL);
        if left.is_zero() {
            return Ok(None);
        }
        let client = qipp::client::Client::new(&house.url, &house.key("national")?, left)
            .map_err(|failure| failure.error)?;
        match client.alerts().list_alerts(request.clone()).await {
            Ok(_) => return Ok(Some(begun.elapsed())),
            Err(status)
                if matches!(
                    status.code(),
                    tonic::Code::DeadlineExceeded | tonic::Code::Cancelled
                ) => {}
            // It has not begun to evaluate yet: on Kafka it has to be chosen first.
            Err(status) if status.code() == tonic::Code::Unavailable => {
                tokio::time::sleep(LOOK).await;
            }
            Err(status) => return Err(status.into()),
        }
    }
}

/// Measures the parts.
pub async fn run(mut args: RunArgs) -> anyhow::Result<()> {
    if args.quick {
        (args.orgs, args.months, args.markers) = QUICK;
    }
    let started = Instant::now();
    let (_temporary, work) = match &args.work {
        Some(work) => (None, work.clone()),
        None => {
            let made = tempfile::Builder::new().prefix("qipp-bench-").tempdir()?;
            let path = made.path().to_owned();
            (Some(made), path)
        }
    };
    std::fs::create_dir_all(&work).with_context(|| format!("can't make {}", work.display()))?;
    let qipp = match &args.qipp {
        Some(qipp) => qipp.clone(),
        None => std::env::current_exe()?.with_file_name("qipp"),
    };
    anyhow::ensure!(
        qipp.exists(),
        "there is no {}: build it with `cargo build --release -p qipp -p qipp-bench`, or name it with --qipp",
        qipp.display()
    );
    let out = args
        .out
        .clone()
        .unwrap_or_else(|| work.join("results.jsonl"));
    let bench = Bench {
        results: Results::to(&out),
        work,
        qipp,
        args,
    };
    let mut parts = bench.args.parts.clone();
    if parts.is_empty() {
        parts = Part::value_variants().to_vec();
    }
    machine::measure(&bench).await?;
    let mut failed = Vec::new();
    for part in parts {
        let begun = Instant::now();
        let name = format!("{part:?}").to_lowercase();
        say(&format!("== {name}"));
        let done = match part {
            Part::Submit => submit::measure(&bench).await,
            Part::Fold => fold::measure(&bench).await,
            Part::Rebuild => fold::rebuild(&bench).await,
            Part::Query => query::measure(&bench).await,
            Part::Alerts => alerts::measure(&bench).await,
            Part::Evaluate => evaluate::measure(&bench).await,
            Part::Start => start::measure(&bench).await,
            Part::Growth => growth::measure(&bench).await,
            Part::Kafka => kafka::measure(&bench).await,
        };
        // A part that fails costs its own figures and not those of the others.
        if let Err(error) = done {
            say(&format!("== {name} FAILED: {error:#}"));
            failed.push(name.clone());
        }
        bench.results.of("run", &name, Side::Qipp).told(
            "took",
            "s",
            begun.elapsed().as_secs_f64(),
        )?;
    }
    let report = report::markdown(&Results::read(&out)?);
    println!("{report}");
    if let Some(file) = &bench.args.report {
        std::fs::write(file, &report)?;
    }
    say(&format!(
        "everything took {:.0} s; figures are in {}",
        started.elapsed().as_secs_f64(),
        out.display()
    ));
    anyhow::ensure!(failed.is_empty(), "parts failed: {}", failed.join(", "));
    Ok(())
}

/// The competitor, when there is one.
pub async fn postgres(bench: &Bench) -> anyhow::Result<Option<tokio_postgres::Client>> {
    match &bench.args.postgres {
        None => Ok(None),
        Some(address) => postgres::connect(address).await.map(Some),
    }
}

/// Where DuckDB's side stands, when there is one.
pub async fn duckdb(bench: &Bench, nation: Nation) -> anyhow::Result<()> {
    let Some(python) = &bench.args.python else {
        return Ok(());
    };
    say("DuckDB: reading the rows");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("duck.py");
    let rows = bench.work.join("rows.csv");
    let size = [
        ("--orgs", nation.orgs),
        ("--months", nation.months),
        ("--markers", nation.markers),
    ];
    let mut generate = tokio::process::Command::new(std::env::current_exe()?);
    generate
        .arg("rows")
        .arg("--seed")
        .arg(nation.seed.to_string());
    for (name, value) in size {
        generate.arg(name).arg(value.to_string());
    }
    let status = generate
        .stdout(std::fs::File::create(&rows)?)
        .status()
        .await?;
    anyhow::ensure!(status.success(), "writing the rows failed");
    let output = tokio::process::Command::new(python)
        .arg(script)
        .arg(&rows)
        .arg(bench.work.join("duck.db"))
        .arg(nation.name())
        .stderr(std::process::Stdio::inherit())
        .output()
        .await?;
    std::fs::remove_file(&rows)?;
    anyhow::ensure!(output.status.success(), "DuckDB's side failed");
    for line in String::from_utf8(output.stdout)?.lines() {
        bench.results.add(&serde_json::from_str(line)?)?;
    }
    Ok(())
}
