//! `qipp serve`: configuration → house → signals → an orderly end.

use std::sync::Arc;

use anyhow::Context;
use qipp_eventlog::SystemClock;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::cli::ServeArgs;
use crate::config::{DEFAULTS, LogFormat, LogKind, ServeConfig};
use crate::exit::{self, Failure, Outcome};
use crate::keys;
use crate::serve::House;

pub(crate) async fn run(args: ServeArgs) -> Outcome {
    if args.defaults {
        print!("{DEFAULTS}");
        return Ok(exit::OK);
    }
    let config = ServeConfig::load(args.config.as_deref(), &args.overrides())?;
    if args.check {
        println!(
            "{}",
            toml::to_string(&config).context("printing the configuration")?
        );
        println!("# The configuration is good. Nothing was started.");
        return Ok(exit::OK);
    }
    start_tracing(config.log_format, "info");
    // Listen before anything else: a port that is taken should not cost a fold.
    let listener = TcpListener::bind(config.listen).await.map_err(|error| {
        Failure::new(
            exit::FAILED,
            format!(
                "can't listen on {}: {error}; choose another address with --listen",
                config.listen
            ),
        )
    })?;
    let principals = keys::principals(&config)?;
    let mut house = House::start(
        &config,
        listener,
        Arc::new(SystemClock),
        Arc::new(principals),
    )
    .await?;
    announce(&config, &house);
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        () = async { tokio::signal::ctrl_c().await.unwrap_or_default() } => {}
        _ = terminate.recv() => {}
        why = house.failed() => return Err(Failure::new(exit::FAILED, format!("the server ended: {why}"))),
    }
    tracing::info!(
        "shutting down: open calls are being answered; a second signal ends the process at once"
    );
    tokio::select! {
        () = house.stop() => {}
        () = async { tokio::signal::ctrl_c().await.unwrap_or_default() } => return Err(Failure::new(exit::FAILED, "ended at once")),
        _ = terminate.recv() => return Err(Failure::new(exit::FAILED, "ended at once")),
    }
    Ok(exit::OK)
}

fn announce(config: &ServeConfig, house: &House) {
    let kept = match config.log {
        LogKind::Embedded => format!("{}", config.data_dir.display()),
        LogKind::Memory => "memory only: gone when this process ends".to_owned(),
    };
    println!(
        "QIPP Watch listens on {} (gRPC and HTTP). Data: {kept}. Keys: {}",
        house.url(),
        config.keys_dir().display()
    );
    println!(
        "Try: qipp query status --server {}    or open {}/",
        house.url(),
        house.url()
    );
}

/// Log lines go to standard error; the level comes from RUST_LOG, or is `level`.
pub(crate) fn start_tracing(format: LogFormat, level: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    // A second call (a demo within a test) keeps the first subscriber.
    let set = match format {
        LogFormat::Text => lines.try_init(),
        LogFormat::Json => lines.json().try_init(),
    };
    drop(set);
}
