//! `qipp verify`: does a data directory hold what it should? Everything is computed a second way and compared.
//!
//! | check | compares |
//! |---|---|
//! | continuity | every record of the log with what a log promises |
//! | digest, parked | the projection store, opened as the service does it, with a fresh fold of the log |
//! | roll-ups | every cell with a direct sum over the returns, and the groups with the nation |
//! | alerts | what happened to alerts, national values and joint decisions with what the rules decide again |
//! | published | published waiting-time roll-ups with ours |
//!
//! One file a check, in `verify/`; here is what they share and what is printed. The log is only read. The projection store is a cache and
//! is brought up to date, as by any start of the service. A log on Kafka goes on meanwhile: what is checked of it ends where it ended at the
//! beginning, and there is no store, because each process has its own.

mod continuity;
mod digest;
mod published;
mod recomputed;
mod roll_ups;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use clap::Args;
use qipp_domain::Slug;
use qipp_domain::nation::Nation;
use qipp_eventlog::{Cut, EmbeddedConfig, EmbeddedLog, EventLog, LogError, Topic};
use qipp_projection::{domain_cut, fold_to};
use serde_json::json;

use crate::config::{LogFormat, Overrides, ServeConfig};
use crate::exit::{self, DIFFERENT, Failure, NOT_FOUND, Outcome, UNAVAILABLE};
use crate::output::{line, plain, quietly};
use crate::serve::decode;
use crate::verbs::log::place::{OnKafka, Place, failure, source};
use crate::verbs::serve::start_tracing;

/// Most differences of a check that are listed; all are counted.
const MAX_SHOWN: usize = 50;

const HELP: &str = "\
A line for each check: `equal` or `DIFFERENT`, what was compared, and the first differences. Exit code 0: all equal; 7: a difference. \
Stop the service first: a log in a folder is open only once. A log on Kafka is checked while it is in service, up to where it ends now.

Examples:
  qipp verify --data-dir qipp-data
  qipp verify --alerts
  qipp verify --log kafka://k1:9092,k2:9092,k3:9092
  qipp verify --published rtt_published_rollups_2009-12_2010-05.csv.gz --tree sha_2010
  qipp verify --json | jq -r 'select(.equal | not)'";

/// Check a log: continuity, digest against a fresh fold, roll-ups against their parts, alerts recomputed.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(crate) struct VerifyArgs {
    /// Where `qipp serve` keeps its data. No service may have it open.
    #[arg(long, env = "QIPP_DATA_DIR", default_value = "qipp-data")]
    data_dir: PathBuf,
    /// A log on Kafka instead: kafka://BROKERS/PREFIX?PROPERTY=VALUE. Services may go on with it.
    #[arg(long, value_name = "LOG", value_parser = on_kafka)]
    log: Option<Place>,
    /// Configuration of the services, of which serve.kafka.properties is used: how the brokers are spoken to (TLS, passwords).
    /// QIPP_SERVE__KAFKA__PROPERTIES is read too.
    #[arg(long, value_name = "FILE", requires = "log")]
    config: Option<PathBuf>,
    /// Only compute again what was decided: alerts (also that the cleared and the withdrawn no longer hold), national values, joint decisions.
    #[arg(long, conflicts_with = "published")]
    alerts: bool,
    /// Compare with published waiting-time roll-ups too: a CSV, plain or gzipped, in the layout of `qipp query rollup --rtt-csv`.
    #[arg(long, value_name = "FILE", requires = "tree")]
    published: Option<PathBuf>,
    /// The tree in which the published groups stand.
    #[arg(long, requires = "published")]
    tree: Option<Slug>,
    /// Print JSON, an object a check, for scripts.
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: VerifyArgs) -> Outcome {
    start_tracing(LogFormat::Text, "warn", None);
    let published = match (&args.published, args.tree) {
        (Some(path), Some(tree)) => Some((published::Published::read(path)?, tree)),
        _ => None,
    };
    let mut report = Report {
        alerts_only: args.alerts,
        json: args.json,
        differs: false,
    };
    let (opened, store) = match &args.log {
        Some(place) => {
            let config = ServeConfig::load(args.config.as_deref(), &Overrides::default())?;
            let on_kafka = OnKafka {
                properties: config.kafka.properties,
                ..OnKafka::default()
            };
            (Opened::Whole(source(place, &on_kafka).await?), None)
        }
        None => {
            let store = args.data_dir.join("projection");
            (open(&args.data_dir).await?, Some(store))
        }
    };
    let outcome = match opened {
        Opened::Damaged(check) => report.print(&check),
        Opened::Whole(log) => {
            let checked = Box::pin(checks(&mut report, &log, store.as_deref(), published)).await;
            log.close().await;
            checked
        }
    };
    let code = if report.differs { DIFFERENT } else { exit::OK };
    quietly(outcome.map(|()| code))
}

pub(super) fn on_kafka(text: &str) -> Result<Place, String> {
    match text.parse()? {
        place @ Place::Kafka(_) => Ok(place),
        Place::Folder(_) | Place::House(_) => Err(
            "it has to be kafka://BROKERS/PREFIX; a log in a folder is named by --data-dir"
                .to_owned(),
        ),
    }
}

async fn checks(
    report: &mut Report,
    log: &Arc<dyn EventLog>,
    store: Option<&Path>,
    published: Option<(published::Published, Slug)>,
) -> Result<(), Failure> {
    let head = end(&**log).await.map_err(|error| failure(&error))?;
    if report.alerts_only {
        stage("folding the log anew");
        let (nation, parked) = fold_to(&**log, decode, &domain_cut(&head)).await?;
        if !parked.is_empty() {
            report.print(&digest::parked_keys(&parked))?;
        }
        stage("computing everything that was decided again");
        return report.print(&recomputed::check(&Arc::new(nation)).await?);
    }
    stage("reading every record of the log");
    report.print(&continuity::check(&**log, &head).await?)?;
    stage(match store {
        Some(_) => "folding the log anew, and comparing with the projection store",
        None => "folding the log anew",
    });
    let (folded, nation) = digest::check(log, &head, store).await?;
    for check in &folded {
        report.print(check)?;
    }
    let nation = Arc::new(nation);
    stage("adding up the returns directly, and comparing with the roll-ups");
    report.print(&on(&nation, roll_ups::check).await?)?;
    stage("computing everything that was decided again");
    report.print(&recomputed::check(&nation).await?)?;
    if let Some((published, tree)) = published {
        stage("comparing with the published roll-ups");
        report.print(&on(&nation, move |nation| published.check(nation, tree)).await??)?;
    }
    Ok(())
}

/// Where the log ends, with everything in it that what stands below rests on: alerts on national values, and both on returns. Of a log that
/// goes on, the partitions do not answer at the same moment.
pub(super) async fn end(log: &dyn EventLog) -> Result<Cut, LogError> {
    let mut end = Cut::new();
    let in_turn: [&[Topic]; 3] = [
        &[Topic::Alerts],
        &[Topic::Benchmarks],
        &[Topic::Returns, Topic::Reference],
    ];
    for topics in in_turn {
        let found = log.find_head().await?;
        for ((topic, partition), next) in found.iter() {
            if topics.contains(&topic) {
                end.advance_to(topic, partition, next);
            }
        }
    }
    Ok(end)
}

/// Says on standard error what is going on.
fn stage(what: &str) {
    eprintln!("… {what}");
}

/// Works with the nation on a thread that may be busy for long.
async fn on<T: Send + 'static>(
    nation: &Arc<Nation>,
    work: impl FnOnce(&Nation) -> T + Send + 'static,
) -> anyhow::Result<T> {
    let nation = Arc::clone(nation);
    tokio::task::spawn_blocking(move || work(&nation))
        .await
        .context("a check ended badly; its message is above")
}

/// What opening a log gave.
pub(super) enum Opened {
    Whole(Arc<dyn EventLog>),
    /// Opening reads every frame, and something in them does not hold.
    Damaged(Check),
}

pub(super) async fn open(data_dir: &Path) -> Result<Opened, Failure> {
    let path = data_dir.join("log");
    // Opening would make an empty log where there is none.
    if !path.join("store").is_dir() {
        let what = format!(
            "there is no log in {}: name the folder that `qipp serve` keeps its data in, with --data-dir",
            data_dir.display()
        );
        return Err(Failure::new(NOT_FOUND, what));
    }
    let opened = match open_with(&path, EmbeddedConfig::default()).await? {
        // The layout is the log's own; it is not for a check to know it beforehand.
        Err(LogError::LayoutMismatch { stored, .. }) => {
            open_with(
                &path,
                EmbeddedConfig {
                    layout: stored,
                    ..EmbeddedConfig::default()
                },
            )
            .await?
        }
        other => other,
    };
    match opened {
        Ok(log) => Ok(Opened::Whole(Arc::new(log))),
        Err(error @ LogError::Corrupt { .. }) => {
            let mut check = Check::new("continuity");
            check.summary = "the log could not be opened".to_owned();
            check.differ(|| error.to_string());
            Ok(Opened::Damaged(check))
        }
        Err(error @ LogError::AlreadyOpen { .. }) => Err(Failure::new(UNAVAILABLE, error)),
        Err(error) => Err(error.into()),
    }
}

async fn open_with(
    path: &Path,
    config: EmbeddedConfig,
) -> Result<Result<EmbeddedLog, LogError>, Failure> {
    let path = path.to_owned();
    Ok(
        tokio::task::spawn_blocking(move || EmbeddedLog::open(path, config))
            .await
            .context("opening the log")?,
    )
}

/// What a check found.
#[derive(Debug)]
pub(super) struct Check {
    name: &'static str,
    /// What was compared, in words.
    summary: String,
    /// How many things were compared.
    checked: u64,
    differences: u64,
    /// The first differences.
    pub(super) shown: Vec<String>,
}

impl Check {
    fn new(name: &'static str) -> Self {
        Self {
            name,
            summary: String::new(),
            checked: 0,
            differences: 0,
            shown: Vec::new(),
        }
    }

    /// Counts a difference; only the first ones are put into words.
    fn differ(&mut self, what: impl FnOnce() -> String) {
        self.differences += 1;
        if self.shown.len() < MAX_SHOWN {
            self.shown.push(what());
        }
    }

    fn is_equal(&self) -> bool {
        self.differences == 0
    }
}

/// Prints checks as they are done.
struct Report {
    alerts_only: bool,
    json: bool,
    differs: bool,
}

impl Report {
    fn print(&mut self, check: &Check) -> Result<(), Failure> {
        self.differs |= !check.is_equal();
        if self.json {
            line(&as_json(check))
        } else {
            line(&as_text(check))
        }
    }
}

fn as_json(check: &Check) -> String {
    json!({
        "check": check.name,
        "equal": check.is_equal(),
        "checked": check.checked,
        "summary": check.summary,
        "differences": check.differences,
        "examples": check.shown,
    })
    .to_string()
}

fn as_text(check: &Check) -> String {
    let verdict = if check.is_equal() {
        "equal"
    } else {
        "DIFFERENT"
    };
    let mut text = format!(
        "{verdict:<9}  {:<10}  {}",
        check.name,
        plain(&check.summary)
    );
    for difference in &check.shown {
        text.push_str(&format!("\n           {}", plain(difference)));
    }
    let more = check.differences.saturating_sub(check.shown.len() as u64);
    if more > 0 {
        text.push_str(&format!("\n           … and {more} more"));
    }
    text
}

/// A number as a person reads it: 1,234,567.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_counts_every_difference_and_shows_the_first_ones() {
        let mut check = Check::new("roll-ups");
        check.summary = "1,000 cells".to_owned();
        assert_eq!(as_text(&check), "equal      roll-ups    1,000 cells");
        for number in 0..60 {
            check.differ(|| format!("cell {number}"));
        }
        let text = as_text(&check);
        assert!(
            text.starts_with("DIFFERENT") && text.ends_with("… and 10 more"),
            "{text}"
        );
        let json: serde_json::Value = serde_json::from_str(&as_json(&check)).unwrap();
        assert_eq!(
            (json["equal"].as_bool(), json["differences"].as_u64()),
            (Some(false), Some(60))
        );
    }

    #[test]
    fn numbers_are_grouped_by_thousands() {
        assert_eq!(
            [0, 999, 1_000, 1_234_567].map(grouped),
            ["0", "999", "1,000", "1,234,567"]
        );
    }

    #[tokio::test]
    async fn a_folder_without_a_log_is_named_and_nothing_is_made_in_it() {
        let folder = std::env::temp_dir().join(format!("qipp-verify-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let failure = open(&folder).await.err().expect("no log");
        assert_eq!(failure.code, NOT_FOUND);
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
