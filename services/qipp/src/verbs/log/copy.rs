//! `qipp log copy`: moves a nation to another log, proves that both are equal, and goes on after a break.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressStyle};
use qipp_access::Role;
use qipp_eventlog::copy::{Copied, CopyError, CopyOptions, Done, Progress, Stage, Until, copy};
use qipp_eventlog::{EventLog, Layout};
use qipp_projection::{digest_of, domain_cut, fold_to};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::house::House;
use super::place::{self, OnKafka, Place, Target};
use crate::client::Client;
use crate::config::{LogFormat, Overrides, ServeConfig};
use crate::exit::{self, DENIED, DIFFERENT, FAILED, Failure, Outcome, REFUSED, USAGE};
use crate::keys;
use crate::output::line;
use crate::serve::decode;
use crate::verbs::serve::start_tracing;

const HELP: &str = "\
A LOG is a data directory that no service has open, the address of a running service (to copy from; with the key of an operator), or \
kafka://BROKERS/PREFIX?PROPERTY=VALUE, where every property of librdkafka can be given.

Records keep positions, times and bytes. What the target has already is compared byte for byte first, so that the same command goes on \
after any break, and a target that is not a copy of this source is refused before anything is written to it. At the end both logs are \
read again, and their digests are compared. Nothing may write to the target until the last copy is done. A folder that is not done is \
marked, and `qipp serve` refuses it; topics on Kafka can't be marked.

From one machine to Kafka. The pause is the time of the third line:
  qipp log copy --from http://127.0.0.1:8080 --to kafka://k1:9092,k2:9092,k3:9092    # in service; as often as you like
  # stop the service
  qipp log copy --from qipp-data --to kafka://k1:9092,k2:9092,k3:9092                # the few records that came since
  qipp serve --log kafka://k1:9092,k2:9092,k3:9092

And back. Services stay up while it follows; stop them, then press Ctrl-C: it copies the last records and proves all:
  qipp log copy --from kafka://k1:9092,k2:9092,k3:9092 --to qipp-data --follow
  qipp serve --data-dir qipp-data

Exit code 3: the two can't be copied as they are; 6: a log is open elsewhere, or nobody answers; 7: the target is another log, or a digest differs.";

/// Move house: copy a log into another one, a folder or Kafka, and prove that both are equal.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(super) struct CopyArgs {
    /// The log to copy: a folder, http://HOST:PORT or kafka://….
    #[arg(long, value_name = "LOG")]
    from: Place,
    /// The log that becomes its copy: a folder or kafka://…. It is made if it is not there.
    #[arg(long, value_name = "LOG")]
    to: Place,
    /// Go on with what arrives, until Ctrl-C; then copy the last records and prove all. From Kafka only: other logs have one process, which
    /// has to be stopped to read them, or streams what it has.
    #[arg(long)]
    follow: bool,
    /// Brokers that hold each topic of a target on Kafka (default: serve.kafka.replication).
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    replication: Option<u16>,
    /// Brokers that must have a record before it counts as written to a target on Kafka (default: serve.kafka.min_insync).
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    min_insync: Option<u16>,
    /// Configuration of the services, of which serve.kafka is used: how the brokers are spoken to (properties: TLS, passwords), and how many hold
    /// a record. QIPP_SERVE__KAFKA__… is read too. In an address, everybody on the machine can see a password.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Partitions that are copied at a time.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=256))]
    partitions_at_once: u16,
    /// Fold both logs too, and print the digest of the nation, which `qipp query status --digest` and `qipp verify` print. Takes a fold's time.
    #[arg(long)]
    fold: bool,
    /// File with the key of an operator of the service that is copied. Else the environment variable QIPP_KEY, else the local key.
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// Where the service that is copied keeps its local keys.
    #[arg(long, env = "QIPP_DATA_DIR", default_value = "qipp-data")]
    data_dir: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl CopyArgs {
    /// Asks the configuration only for a log on Kafka: what is wrong with it is no matter between two folders.
    fn on_kafka(&self) -> Result<OnKafka, Failure> {
        let is_kafka = |place: &Place| matches!(place, Place::Kafka(_));
        if !is_kafka(&self.from) && !is_kafka(&self.to) {
            return Ok(OnKafka::default());
        }
        let config = ServeConfig::load(self.config.as_deref(), &Overrides::default())?;
        Ok(OnKafka {
            replication: self.replication.unwrap_or(config.kafka.replication),
            min_insync: self.min_insync.unwrap_or(config.kafka.min_insync),
            properties: config.kafka.properties,
        })
    }

    fn check(&self) -> Result<(), Failure> {
        let on_kafka = |place: &Place| matches!(place, Place::Kafka(_));
        let rules = [
            (
                !same(&self.from, &self.to),
                "--from and --to are the same log",
            ),
            (
                !matches!(self.to, Place::House(_)),
                "--to is a running service, into which nothing can be copied: stop it and name its folder",
            ),
            (
                !self.follow || on_kafka(&self.from),
                "--follow is for a log on Kafka: copy from the running service as often as you like, stop it, and copy from its folder",
            ),
            (
                on_kafka(&self.to) || (self.replication.is_none() && self.min_insync.is_none()),
                "--replication and --min-insync are for a target on Kafka",
            ),
        ];
        match rules.into_iter().find(|(holds, _)| !holds) {
            None => Ok(()),
            Some((_, what)) => Err(Failure::new(USAGE, what)),
        }
    }
}

fn same(from: &Place, to: &Place) -> bool {
    match (from, to) {
        (Place::Folder(from), Place::Folder(to)) => {
            let known = (from.canonicalize(), to.canonicalize());
            matches!(known, (Ok(from), Ok(to)) if from == to)
        }
        _ => from == to,
    }
}

/// Where the records come from.
enum Source {
    Log(Arc<dyn EventLog>),
    House(House, Layout),
}

impl Source {
    async fn open(args: &CopyArgs, on_kafka: &OnKafka) -> Result<Self, Failure> {
        let Place::House(url) = &args.from else {
            return Ok(Self::Log(place::source(&args.from, on_kafka).await?));
        };
        let key = keys::find(args.key_file.as_deref(), &args.data_dir, Role::Operator);
        let key = key.map_err(|error| Failure {
            code: DENIED,
            error,
        })?;
        let client = Client::new(url, &key, Duration::from_secs(30))?;
        let house = House::new(client, url);
        let layout = house.layout().await?;
        Ok(Self::House(house, layout))
    }

    fn layout(&self) -> Layout {
        match self {
            Self::Log(log) => log.layout(),
            Self::House(_, layout) => *layout,
        }
    }

    async fn close(&self) {
        if let Self::Log(log) = self {
            log.close().await;
        }
    }
}

pub(super) async fn run(args: CopyArgs) -> Outcome {
    start_tracing(LogFormat::Text, "warn", None);
    args.check()?;
    let on_kafka = args.on_kafka()?;
    let source = Source::open(&args, &on_kafka).await?;
    let outcome = Box::pin(into_target(&args, &source, &on_kafka)).await;
    source.close().await;
    outcome
}

async fn into_target(args: &CopyArgs, source: &Source, on_kafka: &OnKafka) -> Outcome {
    let target = Target::open(&args.to, source.layout(), on_kafka).await?;
    let (progress, started) = (Progress::default(), Instant::now());
    let (stop, stopped) = watch::channel(false);
    let copied = tokio::select! {
        copied = Box::pin(work(args, source, &target, stopped, &progress)) => copied,
        asked = asked_to_end(args.follow, &stop) => Err(asked.err().unwrap_or_else(|| interrupted(&progress.done()))),
        never = shown(&progress) => match never {},
    };
    let untouched = progress.done().stage == Stage::Comparing;
    let closed = target.close(untouched, copied.is_ok()).await;
    let (copied, nation) = copied?;
    closed?;
    told(args, &copied, started.elapsed(), nation.as_deref())?;
    Ok(exit::OK)
}

/// Copies, and folds if that is wanted.
async fn work(
    args: &CopyArgs,
    source: &Source,
    target: &Target,
    stopped: watch::Receiver<bool>,
    progress: &Progress,
) -> Result<(Copied, Option<String>), Failure> {
    let partitions_at_once = usize::from(args.partitions_at_once);
    let copied = match source {
        Source::House(house, layout) => {
            house
                .copy(*layout, target, partitions_at_once, progress)
                .await?
        }
        Source::Log(log) => {
            let until = match args.follow {
                true => Until::Stopped(stopped),
                false => Until::Head,
            };
            let options = CopyOptions {
                partitions_at_once,
                until,
            };
            let copied = copy(&**log, &*target.log, &options, progress).await;
            copied.map_err(|error| copy_failure(&error))?
        }
    };
    if !args.fold {
        return Ok((copied, None));
    }
    let of_target = nation(&*target.log, &copied).await?;
    if let Source::Log(log) = source {
        let of_source = nation(&**log, &copied).await?;
        if of_source != of_target {
            let what = format!(
                "the folds differ: {of_source} of the source, {of_target} of the target. Don't use the target"
            );
            return Err(Failure::new(DIFFERENT, what));
        }
    }
    Ok((copied, Some(of_target)))
}

/// The digest of the nation that a log makes up to the cut.
async fn nation(log: &dyn EventLog, copied: &Copied) -> Result<String, Failure> {
    let (nation, _) = fold_to(log, decode, &domain_cut(&copied.cut)).await?;
    Ok(tokio::task::spawn_blocking(move || digest_of(&nation)).await?)
}

/// Waits for Ctrl-C or a request to terminate. A copy that follows is told to stop by the first, and broken off by the second.
async fn asked_to_end(follows: bool, stop: &watch::Sender<bool>) -> Result<(), Failure> {
    let mut terminate = signal(SignalKind::terminate())?;
    for remaining in (0..=u8::from(follows)).rev() {
        tokio::select! {
            asked = tokio::signal::ctrl_c() => asked?,
            _ = terminate.recv() => {}
        }
        if remaining > 0 {
            eprintln!("… copying the last records, then proving; Ctrl-C again breaks off");
            stop.send_replace(true);
        }
    }
    Ok(())
}

fn interrupted(done: &Done) -> Failure {
    let what = format!(
        "broken off after {} records; what was copied stays. Run the same command again: it goes on from there",
        HumanCount(done.copied)
    );
    Failure::new(FAILED, what)
}

/// A copy that failed, with its exit code.
pub(super) fn copy_failure(error: &CopyError) -> Failure {
    let code = match error {
        CopyError::Source(cause) | CopyError::Target(cause) => place::failure(cause).code,
        CopyError::LayoutsDiffer { .. } => REFUSED,
        _ => DIFFERENT,
    };
    Failure::new(code, format!("{error} ({})", error.code()))
}

/// Shows on standard error how far it is; where that is no terminal, only what it does.
async fn shown(progress: &Progress) -> std::convert::Infallible {
    let bar = ProgressBar::new(0);
    let style = ProgressStyle::with_template(
        "{msg:>10} [{bar:30}] {human_pos}/{human_len} ({per_sec}) {prefix}",
    );
    bar.set_style(
        style
            .unwrap_or_else(|_| ProgressStyle::default_bar())
            .progress_chars("=> "),
    );
    let mut stage = None;
    let mut ticks = tokio::time::interval(Duration::from_millis(200));
    loop {
        ticks.tick().await;
        let done = progress.done();
        if stage.replace(done.stage) != Some(done.stage) {
            let doing = match done.stage {
                Stage::Comparing => "comparing",
                Stage::Copying => "copying",
                Stage::Following => "following",
                Stage::Proving => "proving",
            };
            bar.reset();
            bar.set_message(doing);
            if bar.is_hidden() {
                eprintln!("… {doing}");
            }
        }
        bar.set_length(done.total.max(done.records));
        bar.set_position(done.records);
        let (bytes, partitions) = (HumanBytes(done.bytes), done.partitions);
        bar.set_prefix(format!("{bytes} copied, {partitions} partitions done"));
    }
}

fn told(
    args: &CopyArgs,
    copied: &Copied,
    took: Duration,
    nation: Option<&str>,
) -> Result<(), Failure> {
    let cut = qipp_gateway::cut_text::encode(&qipp_api::cut::log_cut_to_proto(&copied.cut));
    let seconds = took.as_secs_f64();
    let rate = copied.copied as f64 / seconds.max(f64::EPSILON);
    let digest = copied.digest.to_string();
    if args.json {
        let told = json!({
            "copied": copied.copied, "found": copied.found, "bytes": copied.bytes, "cut": cut, "digest": digest, "nation": nation,
            "seconds": seconds, "recordsPerSecond": rate.round(),
        });
        return line(&told.to_string());
    }
    line(&format!(
        "{} records copied ({}), {} were there; {seconds:.1} s with comparing and proving, {rate:.0} records/s",
        HumanCount(copied.copied),
        HumanBytes(copied.bytes),
        HumanCount(copied.found),
    ))?;
    line(&format!("up to the cut {cut}"))?;
    line(&format!("digest of both logs {digest}"))?;
    match nation {
        Some(digest) => line(&format!("digest of the nation {digest}")),
        None => Ok(()),
    }
}
