//! The command line of the measurements. `tests/bench/run` is the command that people use.
#![allow(clippy::print_stdout, reason = "a program that prints measurements")]

use std::io::Write as _;
use std::path::PathBuf;

use clap::{Parser, Subcommand};

use qipp_bench::load::LoadArgs;
use qipp_bench::nation::{Figure, Nation};
use qipp_bench::parts::RunArgs;
use qipp_bench::postgres::PgLoadArgs;
use qipp_bench::{load, parts, postgres, report, results};
use tokio::signal::unix::{SignalKind, signal};

/// Measures QIPP Watch beside PostgreSQL and DuckDB. Start it with `tests/bench/run`, which brings those two.
#[derive(Debug, Parser)]
#[command(name = "qipp-bench", max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Measure, print each figure when it is there, and write the report.
    Run(RunArgs),
    /// Print tables of figures that were measured before.
    Report {
        /// Lines of JSON, as `run` writes them.
        file: PathBuf,
    },
    /// Print the nation's quality values as CSV, for sides that read files.
    Rows(Size),
    /// In a process of its own: submit to a running service.
    #[command(hide = true)]
    Load(LoadArgs),
    /// In a process of its own: submit to PostgreSQL.
    #[command(hide = true)]
    PgLoad(PgLoadArgs),
    /// In a process of its own: fold a filled log.
    #[command(hide = true)]
    Fold {
        /// The data directory.
        #[arg(long)]
        data: PathBuf,
        /// By the function that folds to a cut instead of the follower that services hold.
        #[arg(long)]
        to_cut: bool,
        /// Evaluate all rules for every organisation afterwards.
        #[arg(long)]
        evaluate: bool,
    },
    /// In a process of its own: read a filled log and do nothing with it.
    #[command(hide = true)]
    Read {
        /// The data directory.
        #[arg(long)]
        data: PathBuf,
    },
}

/// How big a nation.
#[derive(Clone, Copy, Debug, clap::Args)]
struct Size {
    /// Organisations.
    #[arg(long)]
    orgs: u32,
    /// Months.
    #[arg(long)]
    months: u32,
    /// Markers.
    #[arg(long)]
    markers: u32,
    /// Decides all figures.
    #[arg(long, default_value_t = parts::SEED)]
    seed: u64,
}

/// The allocator of the product, because parts of it are measured in this process.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    // Told to end, it has to end its children first: they are, when what holds them is dropped.
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        done = Box::pin(work(Cli::parse().what)) => done,
        _ = terminate.recv() => anyhow::bail!("stopped before the end"),
        _ = tokio::signal::ctrl_c() => anyhow::bail!("stopped before the end"),
    }
}

async fn work(what: What) -> anyhow::Result<()> {
    match what {
        What::Run(args) => parts::run(args).await,
        What::Report { file } => {
            println!("{}", report::markdown(&results::Results::read(&file)?));
            Ok(())
        }
        What::Rows(size) => rows(&Nation {
            orgs: size.orgs,
            months: size.months,
            markers: size.markers,
            seed: size.seed,
        }),
        What::Load(args) => answer(&load::run(args).await?),
        What::PgLoad(args) => answer(&postgres::run_load(args).await?),
        What::Fold {
            data,
            to_cut,
            evaluate,
        } => answer(&parts::fold::fold_here(&data, to_cut, evaluate).await?),
        What::Read { data } => answer(&parts::fold::read_here(&data).await?),
    }
}

/// The answer of a process of its own: its last line.
fn answer(answer: &impl serde::Serialize) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string(answer)?);
    Ok(())
}

fn rows(nation: &Nation) -> anyhow::Result<()> {
    let mut out = std::io::BufWriter::with_capacity(1 << 20, std::io::stdout().lock());
    for (org, month, revision) in nation.history() {
        let icb = nation.icb_of(org);
        let region = nation.region_of_icb(icb);
        for marker in 0..nation.markers {
            write!(out, "{org},{icb},{region},{month},{revision},{marker},")?;
            match nation.figure(org, month, marker, revision) {
                Figure::Missing(reason) => writeln!(out, "{reason},,")?,
                Figure::Counted(n, d) => writeln!(out, ",{n}000,{d}000")?,
            }
        }
    }
    out.flush()?;
    Ok(())
}
