//! The command line: what can be asked, and where the answer comes from.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use qipp_access::Role;
use qipp_projection::Share;

use crate::client::Client;
use crate::config::{LogFormat, LogKind, Overrides, Service};
use crate::exit::{self, Outcome};
use crate::verbs;
use crate::{demo, environment, keys};

/// QIPP Watch: do savings harm quality? Submit returns, query what they say, watch the alerts.
#[derive(Debug, Parser)]
#[command(name = "qipp", version, after_help = exit::HELP, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

/// How to reach a house, and as whom.
#[derive(Clone, Debug, Args)]
pub struct Reach {
    /// Address of the service.
    #[arg(
        long,
        global = true,
        env = "QIPP_SERVER",
        default_value = "http://127.0.0.1:8080"
    )]
    pub server: String,
    /// File with the key to call with. Else the environment variable QIPP_KEY, else the local key of the verb's role.
    #[arg(long, global = true, value_name = "FILE")]
    pub key_file: Option<PathBuf>,
    /// Where `qipp serve` keeps its data: the local keys are there.
    #[arg(
        long,
        global = true,
        env = "QIPP_DATA_DIR",
        default_value = "qipp-data"
    )]
    pub data_dir: PathBuf,
    /// Give up on a call after so many seconds.
    #[arg(long, global = true, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub timeout: u64,
    /// Print JSON, a line a message, for scripts.
    #[arg(long, global = true)]
    pub json: bool,
}

impl Reach {
    /// A client with the key of the verb's role, unless another one is named.
    ///
    /// # Errors
    /// When there is no key, or the address is none.
    pub fn client(&self, role: Role) -> Result<Client, exit::Failure> {
        let key = keys::find(self.key_file.as_deref(), &self.data_dir, role).map_err(|error| {
            exit::Failure {
                code: exit::DENIED,
                error,
            }
        })?;
        Client::new(&self.server, &key, Duration::from_secs(self.timeout))
    }
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run all services in this process, or those that are named: gRPC, HTTP/JSON and the live stream on one port.
    Serve(ServeArgs),
    /// Load real published data and a simulated part through the public API, and show what the house makes of it.
    Demo(demo::DemoArgs),
    /// Record reference data and schemes from files: organisations, trees, markers, deadlines, obligations.
    Register(verbs::register::RegisterArgs),
    /// Submit returns from a file.
    Submit(verbs::submit::SubmitArgs),
    /// Ask: series, savings, roll-ups, completeness, alerts, and how the service stands.
    Query(verbs::query::QueryArgs),
    /// Say whether a process is ready, for the probes of containers: 0 when it is, else 6 and the reasons.
    Ready(verbs::ready::ReadyArgs),
    /// Watch alerts live, from a cut on: nothing is missed and nothing comes twice.
    Watch(verbs::watch::WatchArgs),
    /// Do something with an alert: acknowledge, ask, answer, confirm, refute, close.
    Act(verbs::act::ActArgs),
    /// Compute a chart of any series, from JSON lines or CSV, on standard output. Needs no service.
    Chart(verbs::chart::ChartArgs),
    /// Make up a nation with a known truth, as plain files and for the API, to score rules on. Needs no service.
    Simulate(verbs::simulate::SimulateArgs),
    /// Which alerts would a rule set have raised? Played over the log as it was known month by month. Needs no service.
    Backtest(verbs::backtest::BacktestArgs),
    /// Check a log that no service has open: continuity, digest against a fresh fold, roll-ups against their parts, alerts recomputed.
    Verify(verbs::verify::VerifyArgs),
    /// Write the whole log to a file, while the service runs.
    Backup(verbs::backup::BackupArgs),
    /// Copy a log into another one; look at a log that no service has open, and save what is whole of a damaged one.
    Log(verbs::log::LogArgs),
    /// Make a data directory from a back-up, as the log stood at its end, at a cut or at a time.
    Restore(verbs::restore::RestoreArgs),
    /// Fold the state anew beside the one that serves, compare the two, and change over without a gap.
    Rebuild(verbs::rebuild::RebuildArgs),
    /// Make keys.
    Keys(verbs::keys::KeysArgs),
}

/// Arguments of `qipp serve`.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// What this process serves. Nothing named: everything. Others serve the rest, on the same log: `--log kafka://…`.
    #[arg(value_name = "SERVICE")]
    pub services: Vec<Service>,
    /// Hold a part of the nation, for a nation that outgrows one process: 0/3 is the first of three. For `projections` alone.
    #[arg(long, value_name = "I/N")]
    pub shard: Option<Share>,
    /// Configuration file (TOML). Every entry and its default: `qipp serve --defaults`.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Address for gRPC and HTTP alike.
    #[arg(long)]
    pub listen: Option<SocketAddr>,
    /// Where the log, the projections and the keys live.
    #[arg(long, env = "QIPP_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
    /// Which log: `embedded` is durable, on one machine; kafka://HOST:PORT,… is shared by any number of processes; `memory` is gone when the
    /// process ends.
    #[arg(long, value_name = "LOG")]
    pub log: Option<LogKind>,
    /// File with the principals.
    #[arg(long, value_name = "FILE")]
    pub principals: Option<PathBuf>,
    /// Log lines for people (`text`) or machines (`json`).
    #[arg(long, value_parser = parse_format)]
    pub log_format: Option<LogFormat>,
    /// Check everything that a start needs (entries, addresses, folder, disk, log, keys), print every entry with its source, and end:
    /// 0 when it would start, 1 when not.
    #[arg(long)]
    pub check: bool,
    /// Print every default with its explanation, and end.
    #[arg(long)]
    pub defaults: bool,
}

impl ServeArgs {
    /// What the flags override.
    #[must_use]
    pub fn overrides(&self) -> Overrides {
        Overrides {
            listen: self.listen,
            services: Some(self.services.clone()).filter(|named| !named.is_empty()),
            shard: self.shard,
            data_dir: self.data_dir.clone(),
            log: self.log.clone(),
            principals: self.principals.clone(),
            log_format: self.log_format,
        }
    }
}

fn parse_format(text: &str) -> Result<LogFormat, String> {
    match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err("use `text` or `json`".to_owned()),
    }
}

/// Reads the command line and runs the verb.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    // `serve` says it in its log lines.
    if !matches!(cli.verb, Verb::Serve(_)) {
        for what in environment::warnings() {
            eprintln!("warning: {what}");
        }
    }
    let outcome = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => {
            let outcome = runtime.block_on(run(cli.verb));
            // Whatever still blocks a thread was given up on: dropping the runtime would wait for it, past every deadline.
            runtime.shutdown_background();
            outcome
        }
        Err(error) => Err(error.into()),
    };
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            eprintln!("error: {:#}", failure.error);
            ExitCode::from(failure.code)
        }
    }
}

async fn run(verb: Verb) -> Outcome {
    match verb {
        Verb::Serve(args) => Box::pin(verbs::serve::run(args)).await,
        Verb::Demo(args) => Box::pin(demo::run(args)).await,
        Verb::Register(args) => verbs::register::run(args).await,
        Verb::Submit(args) => verbs::submit::run(args).await,
        Verb::Query(args) => Box::pin(verbs::query::run(args)).await,
        Verb::Ready(args) => verbs::ready::run(args).await,
        Verb::Watch(args) => verbs::watch::run(args).await,
        Verb::Act(args) => verbs::act::run(args).await,
        Verb::Chart(args) => verbs::chart::run(&args),
        Verb::Simulate(args) => verbs::simulate::run(&args),
        Verb::Backtest(args) => Box::pin(verbs::backtest::run(args)).await,
        Verb::Verify(args) => Box::pin(verbs::verify::run(args)).await,
        Verb::Backup(args) => verbs::backup::run(args).await,
        Verb::Log(args) => verbs::log::run(args).await,
        Verb::Restore(args) => verbs::restore::run(args).await,
        Verb::Rebuild(args) => verbs::rebuild::run(args).await,
        Verb::Keys(args) => verbs::keys::run(args),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
