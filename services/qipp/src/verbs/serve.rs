//! `qipp serve`: configuration → house → signals → an orderly end.

use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use qipp_access::{Authenticator, KeyFile};
use qipp_domain::KnownAt;
use qipp_eventlog::SystemClock;
use qipp_projection::Follower;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;
use tracing::Subscriber;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer, Registry};

use crate::check;
use crate::cli::ServeArgs;
use crate::config::{DEFAULTS, LogFormat, LogKind, ServeConfig};
use crate::exit::{self, Failure, Outcome};
use crate::serve::House;
use crate::traces::Traces;
use crate::{environment, keys};

/// For the last traces when the server has ended by itself.
const LAST_TRACES: Duration = Duration::from_secs(1);

pub(crate) async fn run(args: ServeArgs) -> Outcome {
    if args.defaults {
        print!("{DEFAULTS}");
        return Ok(exit::OK);
    }
    let loaded = ServeConfig::load_with_sources(args.config.as_deref(), &args.overrides());
    if args.check {
        let (config, entries) = loaded.map_err(|failure| Failure {
            code: exit::FAILED,
            ..failure
        })?;
        return check::run(&config, &entries).await;
    }
    let (config, _) = loaded?;
    let traces = Traces::start(&config.traces)?;
    start_tracing(config.log_format, "info", traces.as_ref());
    for what in environment::warnings()
        .into_iter()
        .chain(config.surprises())
    {
        tracing::warn!("{what}");
    }
    // Before anybody can be answered: who is told to end must never just die of it.
    let mut terminate = signal(SignalKind::terminate())?;
    // Listen before anything else: a port that is taken should not cost a fold.
    let listener = listen(config.listen, "with --listen").await?;
    let operations = match config.operations() {
        None => None,
        Some(address) => Some(listen(address, "as serve.operations.listen").await?),
    };
    let principals = Arc::new(keys::principals(&config)?);
    let authenticator = Arc::clone(&principals) as Arc<dyn Authenticator>;
    let mut house = tokio::select! {
        house = House::start(&config, listener, Arc::new(SystemClock), authenticator) => house?,
        _ = terminate.recv() => {
            tracing::info!("told to end while it was starting: nothing was taken yet");
            return Ok(exit::OK);
        }
    };
    tokio::spawn(warn_of_scopes(principals, house.follower.clone()));
    let operations = operations
        .map(|listener| house.operate(listener))
        .transpose()?;
    announce(&config, &house, operations);
    tokio::select! {
        () = async { tokio::signal::ctrl_c().await.unwrap_or_default() } => {}
        _ = terminate.recv() => {}
        why = house.failed() => {
            if let Some(traces) = traces {
                traces.end(LAST_TRACES).await;
            }
            return Err(Failure::new(exit::FAILED, format!("the server ended: {why}")));
        }
    }
    tracing::info!(
        "shutting down: open calls are being answered; a second signal ends the process at once"
    );
    let grace = Duration::from_secs(config.grace_seconds);
    // The process has to be gone at its end, and not only then begin to go.
    let until = Instant::now() + grace - grace / 20;
    let ending = async {
        house.stop().await;
        if let Some(traces) = traces {
            traces
                .end(until.saturating_duration_since(Instant::now()))
                .await;
        }
    };
    tokio::select! {
        () = ending => {}
        () = async { tokio::signal::ctrl_c().await.unwrap_or_default() } => return Err(Failure::new(exit::FAILED, "ended at once")),
        _ = terminate.recv() => return Err(Failure::new(exit::FAILED, "ended at once")),
    }
    Ok(exit::OK)
}

/// A key for a place that nobody has recorded works, and shows nothing: its owner would wonder.
async fn warn_of_scopes(principals: Arc<KeyFile>, follower: Follower) {
    if follower.caught_up().await.is_err() {
        return;
    }
    let reference = follower.view().reference(&KnownAt::Latest);
    if reference.organisations().next().is_none() {
        return;
    }
    for what in keys::unknown_scopes(&principals, &reference) {
        tracing::warn!("{what}");
    }
}

async fn listen(address: SocketAddr, how: &str) -> Result<TcpListener, Failure> {
    let bound = TcpListener::bind(address).await;
    bound.map_err(|error| {
        let what = format!("can't listen on {address}: {error}; choose another address {how}");
        Failure::new(exit::FAILED, what)
    })
}

fn announce(config: &ServeConfig, house: &House, operations: Option<SocketAddr>) {
    let kept = match &config.log {
        _ if !config.opens_log() => "none, calls are passed on".to_owned(),
        LogKind::Embedded => format!("{}", config.data_dir.display()),
        LogKind::Memory => "memory only: gone when this process ends".to_owned(),
        log @ LogKind::Kafka(_) => format!("{log}"),
    };
    // Those of a file that several processes share stand wherever that is.
    let keys = match config.principals.as_os_str().is_empty() {
        true => config.keys_dir(),
        false => config.principals_file(),
    };
    println!(
        "QIPP Watch listens on {} (gRPC and HTTP). Data: {kept}. Keys: {}",
        house.url(),
        keys.display()
    );
    if let Some(operations) = operations {
        println!("For operators: http://{operations}/metrics /readyz /livez");
    }
    println!(
        "Try: qipp query status --server {}    or open {}/",
        house.url(),
        house.url()
    );
}

/// What carries headers.
const TRANSPORTS: [&str; 6] = ["h2", "hyper", "hyper_util", "reqwest", "tonic", "tower"];

/// Log lines go to standard error; the level comes from RUST_LOG, or is `level`. Traces go where they are sent, whatever that is.
pub(crate) fn start_tracing(format: LogFormat, level: &str, traces: Option<&Traces>) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    // Below info these print headers, and a header holds the key: no level that anybody sets may bring that out.
    let filter = TRANSPORTS
        .iter()
        .map(|name| format!("{name}=info"))
        // Spans of traces are no lines.
        .chain([format!("{}=off", qipp_serving::trace::TARGET)])
        .filter_map(|directive| directive.parse().ok())
        .fold(filter, EnvFilter::add_directive);
    // A second call (a demo within a test) keeps the first subscriber.
    let set = match traces {
        // What no line shows is nobody's then, and is passed over at once.
        None => Registry::default()
            .with(filter)
            .with(lines(format))
            .try_init(),
        Some(traces) => Registry::default()
            .with(lines(format).with_filter(filter))
            .with(traces.layer())
            .try_init(),
    };
    drop(set);
}

fn lines<S>(format: LogFormat) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    match format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    }
}
