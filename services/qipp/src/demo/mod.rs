//! `qipp demo`: real published data and a simulated part, loaded through the public API, on a clock that replays the years.
//!
//! Real: PCT waiting times 2009-12 to 2010-05, trust A&E 2010-11 to 2013-03. Simulated, and labelled so wherever they are shown: savings
//! returns and the markers of the other domains, which nobody published at this grain. Some of the simulated organisations save in a way
//! that harms. What is printed at the end was asked of the API like anybody else would ask.
//!
//! The clock of the house is set to the day on which each month's returns would have come in, so that "as it was known on 15 March 2012" has
//! its real meaning: received times, deadlines and alerts stand in their years.

pub(crate) mod calendar;
mod load;
mod report;
mod sources;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Args;
use qipp_access::Role;
use qipp_eventlog::ManualClock;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::client::Client;
use crate::config::{LogFormat, Overrides, ServeConfig};
use crate::exit::{self, Outcome};
use crate::keys;
use crate::serve::House;
use crate::verbs::serve::start_tracing;

/// Load real published data and a simulated part through the public API, and show what the house makes of it.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Stay up when everything is loaded, so that you can look further. Ctrl-C or SIGTERM ends it.
    #[arg(long)]
    stay: bool,
    /// Address to listen on. Without --stay any free port is taken.
    #[arg(long)]
    listen: Option<SocketAddr>,
    /// Where to keep the demo's data. Has to be new or empty. Without it: a temporary folder, removed at the end.
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// Decides everything that is simulated.
    #[arg(long, default_value_t = 2010)]
    seed: u64,
}

pub(crate) async fn run(args: DemoArgs) -> Outcome {
    start_tracing(LogFormat::Text, "warn", None);
    let mut terminate = signal(SignalKind::terminate())?;
    let started = Instant::now();
    let folder = Folder::prepare(args.data_dir.clone())?;
    let listen = args
        .listen
        .unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], if args.stay { 8080 } else { 0 })));
    let flags = Overrides {
        listen: Some(listen),
        data_dir: Some(folder.path.clone()),
        ..Overrides::default()
    };
    let config = ServeConfig::load(None, &flags)?;
    let listener = TcpListener::bind(listen).await.with_context(|| {
        format!("can't listen on {listen}; choose another address with --listen")
    })?;
    let clock = ManualClock::new(calendar::morning(sources::FIRST_MONTH.first_day()));
    let principals = keys::principals(&config)?;
    let house = House::start(
        &config,
        listener,
        Arc::new(clock.clone()),
        Arc::new(principals),
    )
    .await?;
    let clients = Clients::new(&house.url(), &config)?;

    println!(
        "QIPP Watch demo. Published data of the NHS (Open Government Licence v3.0), and simulated data wherever it says so.\n"
    );
    let work = async {
        let world = sources::World::build(args.seed)?;
        let loaded = load::everything(&clients, &clock, &world).await?;
        println!(
            "\nLoaded in {:.0} s through the public API at {}.\n",
            started.elapsed().as_secs_f64(),
            house.url()
        );
        report::print(&clients, &world, &loaded).await?;
        if args.stay {
            report::how_to_go_on(&house.url(), &folder.path);
            std::future::pending::<()>().await;
        }
        Ok::<_, exit::Failure>(())
    };
    let told_to_end = tokio::select! {
        done = work => done.map(|()| false)?,
        interrupted = tokio::signal::ctrl_c() => interrupted.map(|()| true).context("waiting for Ctrl-C")?,
        _ = terminate.recv() => true,
    };
    if told_to_end {
        println!("Ending.");
    }
    house.stop().await;
    folder.clean_up();
    if !told_to_end {
        println!(
            "\nDone in {:.0} s. `qipp demo --stay` stays up, so that you can look further.",
            started.elapsed().as_secs_f64()
        );
    }
    Ok(exit::OK)
}

/// One client for each role that takes part.
pub(crate) struct Clients {
    pub(crate) operator: Client,
    pub(crate) collector: Client,
    pub(crate) national: Client,
}

impl Clients {
    fn new(url: &str, config: &ServeConfig) -> Result<Self, exit::Failure> {
        let client = |role: Role| {
            let name = keys::LOCAL
                .iter()
                .find(|(held, _)| *held == role)
                .map_or("national", |(_, name)| name);
            let path = config.keys_dir().join(format!("{name}.key"));
            let key = keys::find(Some(&path), &config.data_dir, role)?;
            Client::new(url, &key, Duration::from_secs(120))
        };
        Ok(Self {
            operator: client(Role::Operator)?,
            collector: client(Role::Submitter)?,
            national: client(Role::National)?,
        })
    }
}

/// The folder of the demo's data; a temporary one is removed at the end.
struct Folder {
    path: PathBuf,
    temporary: bool,
}

impl Folder {
    fn prepare(named: Option<PathBuf>) -> Result<Self, exit::Failure> {
        if let Some(path) = named {
            let used = std::fs::read_dir(&path).is_ok_and(|mut entries| entries.next().is_some());
            if used {
                let what = format!(
                    "{} is not empty: name a new folder with --data-dir",
                    path.display()
                );
                return Err(exit::Failure::new(exit::USAGE, what));
            }
            keys::private_folder(&path)?;
            return Ok(Self {
                path,
                temporary: false,
            });
        }
        let path = std::env::temp_dir().join(format!(
            "qipp-demo-{}-{:08x}",
            std::process::id(),
            rand::random::<u32>()
        ));
        keys::private_folder(&path)?;
        Ok(Self {
            path,
            temporary: true,
        })
    }

    fn clean_up(&self) {
        if self.temporary
            && let Err(error) = std::fs::remove_dir_all(&self.path)
        {
            eprintln!("{} was not removed: {error}", self.path.display());
        }
    }
}
