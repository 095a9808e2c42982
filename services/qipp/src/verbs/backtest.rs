//! `qipp backtest`: which alerts would a rule set have raised? The log is played month by month under two rule sets, on what was known in
//! each month, and what they raised is compared. The log is only read.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use clap::{Args, ValueEnum};
use indicatif::ProgressBar;
use qipp_api::draft::reference_fact;
use qipp_api::proto::events::v1::ReferenceFact as Sent;
use qipp_domain::nation::Nation;
use qipp_domain::reference::{ReferenceFact, RuleSet};
use qipp_domain::{KnownAt, OrgCode, Period};
use qipp_projection::{domain_cut, fold_to};
use qipp_rules::backtest::{
    Known, Outcomes, Plan, Raised, calendar, outcomes, play, share_loaded_late,
};
use qipp_rules::{CATALOGUE, RuleSetInForce};
use serde_json::{Value, json};

use super::submit::progress;
use super::verify::{end, on_kafka};
use crate::config::{LogFormat, Overrides, ServeConfig};
use crate::exit::{self, Failure, NOT_FOUND, Outcome, REFUSED, USAGE};
use crate::files;
use crate::output::{Table, line, percent, quietly};
use crate::serve::decode;
use crate::verbs::log::place::{OnKafka, Place, failure, source};
use crate::verbs::serve::start_tracing;

/// Above this share of returns that came more than twelve months late the log was loaded, not lived through.
const LOADED: f64 = 0.9;

const HELP: &str = r#"FILE holds one line, a rule set as `qipp register facts` takes it:
  {"ruleSetPublished": {"version": "trial-1", "rules": [{"ruleId": "R01", "enabled": true, "parameters": {"z_single": 3.5}}]}}
It is held against the rule set that is in force at the end of the log; each is played from the first month to the last as if it had always
been in force. For each month: what was known at the end of the day on which its returns were due and --wait working days later (without
deadlines: the last day of the month that follows), then national values, joint decisions, organisations. Alerts of the two are the same
when rule, organisation and month are.

Confirmed and refuted are people's words on the real alerts of the log: of the same rule and organisation, raised within two months.
Nobody acts on the alerts of a back-test, so one stands until its finding is gone. A rule that finds more is not a better one.

Stop the service first: a log in a folder is open only once. Nothing is written.

Examples:
  qipp backtest --rules trial.json --data-dir qipp-data
  qipp backtest --rules trial.json --as-if prompt --from 2012-04 --to 2013-03 --all
  qipp backtest --rules trial.json --org RJ1 --json | jq -r 'select(.alert) | .alert.summary'"#;

/// Play a rule set over the log as it was known month by month, and compare the alerts with those of the rule set in force.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(crate) struct BacktestArgs {
    /// The rule set: a line of JSON, plain or gzipped.
    #[arg(long, value_name = "FILE")]
    rules: PathBuf,
    /// Where `qipp serve` keeps its data. No service may have it open.
    #[arg(long, env = "QIPP_DATA_DIR", default_value = "qipp-data")]
    data_dir: PathBuf,
    /// A log on Kafka instead: kafka://BROKERS/PREFIX?PROPERTY=VALUE. Services may go on with it.
    #[arg(long, value_name = "LOG", value_parser = on_kafka)]
    log: Option<Place>,
    /// Configuration of the services, of which serve.kafka.properties is used: how the brokers are spoken to (TLS, passwords).
    #[arg(long, value_name = "FILE", requires = "log")]
    config: Option<PathBuf>,
    /// When facts count as known. Without it: as received, unless more than 90% of the returns came over twelve months late.
    #[arg(long, value_enum, value_name = "HOW")]
    as_if: Option<AsIf>,
    /// Working days after the deadline at which a month is looked at, 0 to 250.
    #[arg(long, value_name = "DAYS", default_value_t = 5, value_parser = clap::value_parser!(u32).range(0..=250))]
    wait: u32,
    /// First month whose alerts are told: YYYY-MM. Earlier months are played all the same.
    #[arg(long, value_name = "MONTH")]
    from: Option<Period>,
    /// Last month that is played.
    #[arg(long, value_name = "MONTH")]
    to: Option<Period>,
    /// Only the alerts of this organisation. All others are played all the same.
    #[arg(long, value_name = "CODE")]
    org: Option<OrgCode>,
    /// List the alerts that both raise, too.
    #[arg(long)]
    all: bool,
    /// Print JSON, an object a line: how it was played, each rule, each alert.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum AsIf {
    /// Known when the log received it.
    Received,
    /// Returns and all their restatements known when due, everything else from the beginning: for a log that was loaded in one go.
    Prompt,
}

pub(crate) async fn run(args: BacktestArgs) -> Outcome {
    start_tracing(LogFormat::Text, "warn", None);
    if let (Some(from), Some(to)) = (args.from, args.to)
        && from > to
    {
        let what = format!("--from {from} is after --to {to}: swap them");
        return Err(Failure::new(USAGE, what));
    }
    let proposed = rule_set(&args.rules)?;
    let nation = Arc::new(folded(&args).await?);
    let reading = reading(&nation, args.as_if)?;
    let plan = Plan {
        known: reading.known,
        wait: args.wait,
        until: args.to,
    };
    let in_force = nation.reference(&KnownAt::Latest).rule_set().cloned();
    let months = calendar(&nation, &plan).len();
    let bar = progress(2 * months, "months played");
    // A core for each of the two.
    let (old, new) = tokio::try_join!(
        played(&nation, in_force.clone(), plan, bar.clone()),
        played(&nation, Some(proposed.clone()), plan, bar.clone()),
    )?;
    bar.finish_and_clear();
    let told = |raised: Vec<Raised>| -> Vec<Raised> {
        let is_asked_for = |held: &Raised| {
            args.org.is_none_or(|org| org == held.org)
                && args.from.is_none_or(|from| from <= held.period)
        };
        raised.into_iter().filter(is_asked_for).collect()
    };
    let compared = Compared {
        in_force: in_force.map_or_else(RuleSetInForce::default, |set| RuleSetInForce::from(&set)),
        proposed: RuleSetInForce::from(&proposed),
        old: told(old),
        new: told(new),
    };
    let printed = match args.json {
        true => compared.print_json(&nation, &reading, args.all),
        false => compared.print(&nation, &reading, months, args.all),
    };
    quietly(printed.map(|()| exit::OK))
}

/// The rule set of a file, with all faults at once: those that a registration would find, and what would be ignored in force.
fn rule_set(path: &Path) -> Result<RuleSet, Failure> {
    let sent: Vec<Sent> = files::json_lines(path, "qipp.events.v1.ReferenceFact")?;
    let [sent] = sent.as_slice() else {
        let what = format!(
            "{} holds {} facts: it has to be one rule set",
            path.display(),
            sent.len()
        );
        return Err(Failure::new(REFUSED, what));
    };
    let fact = reference_fact(sent, 0).map_err(|problems| files::faults(path, problems))?;
    let ReferenceFact::RuleSet(rules) = fact else {
        let what = format!(
            "{} holds another fact than a rule set: write {{\"ruleSetPublished\": {{…}}}}",
            path.display()
        );
        return Err(Failure::new(REFUSED, what));
    };
    let in_force = RuleSetInForce::from(&rules);
    if in_force.notes().is_empty() {
        return Ok(rules);
    }
    let what = format!(
        "{} was refused, because a part of it would be ignored:\n  {}",
        path.display(),
        in_force.notes().join("\n  ")
    );
    Err(Failure::new(REFUSED, what))
}

async fn folded(args: &BacktestArgs) -> Result<Nation, Failure> {
    let mut on_kafka = OnKafka::default();
    if args.log.is_some() {
        let config = ServeConfig::load(args.config.as_deref(), &Overrides::default())?;
        on_kafka.properties = config.kafka.properties;
    }
    let folder = Place::Folder(args.data_dir.clone());
    let log = source(args.log.as_ref().unwrap_or(&folder), &on_kafka).await?;
    eprintln!("… folding the log");
    let head = end(&*log).await.map_err(|error| failure(&error))?;
    let folded = fold_to(&*log, decode, &domain_cut(&head)).await;
    log.close().await;
    let (nation, parked) = folded?;
    if !parked.is_empty() {
        eprintln!(
            "warning: the facts of {} keys can't be digested and are left out; `qipp verify` names them",
            parked.len()
        );
    }
    Ok(nation)
}

/// How the log was read.
struct Reading {
    known: Known,
    late: f64,
}

impl Reading {
    fn name(&self) -> &'static str {
        match self.known {
            Known::AsReceived => "received",
            Known::Prompt => "prompt",
        }
    }
}

fn reading(nation: &Nation, asked: Option<AsIf>) -> Result<Reading, Failure> {
    let late = share_loaded_late(nation).ok_or_else(|| {
        Failure::new(
            NOT_FOUND,
            "there are no returns in the log: nothing can be played",
        )
    })?;
    let known = match asked {
        Some(AsIf::Received) => Known::AsReceived,
        Some(AsIf::Prompt) => Known::Prompt,
        None if late > LOADED => {
            eprintln!(
                "warning: {} of the returns came over twelve months after their month, so the log was loaded and not lived through. It is \
                 played as if they had come when due (--as-if prompt): late and restated returns are not seen as they were. To see only \
                 what the log had received: --as-if received",
                percent(Some(late))
            );
            Known::Prompt
        }
        None => Known::AsReceived,
    };
    Ok(Reading { known, late })
}

async fn played(
    nation: &Arc<Nation>,
    rules: Option<RuleSet>,
    plan: Plan,
    bar: ProgressBar,
) -> anyhow::Result<Vec<Raised>> {
    let nation = Arc::clone(nation);
    let work = move || play(&nation, rules.as_ref(), &plan, |_| bar.inc(1));
    tokio::task::spawn_blocking(work)
        .await
        .context("playing the log ended badly; its message is above")
}

/// What two rule sets raised.
struct Compared {
    in_force: RuleSetInForce,
    proposed: RuleSetInForce,
    old: Vec<Raised>,
    new: Vec<Raised>,
}

/// What makes two alerts the same.
fn key(alert: &Raised) -> (Period, OrgCode, &str) {
    (alert.period, alert.org, &alert.rule)
}

/// A rule under the two rule sets.
struct Line {
    rule: &'static str,
    old: usize,
    new: usize,
    both: usize,
    old_outcomes: Outcomes,
    new_outcomes: Outcomes,
}

impl Compared {
    fn lines(&self, nation: &Nation) -> Vec<Line> {
        let line = |rule: &'static str| {
            let of = |all: &'_ [Raised]| -> Vec<Raised> {
                let ours = all.iter().filter(|held| held.rule == rule);
                ours.cloned().collect()
            };
            let (old, new) = (of(&self.old), of(&self.new));
            let keys: BTreeSet<_> = old.iter().map(key).collect();
            Line {
                rule,
                both: new.iter().filter(|held| keys.contains(&key(held))).count(),
                old_outcomes: outcomes(nation, &old),
                new_outcomes: outcomes(nation, &new),
                old: old.len(),
                new: new.len(),
            }
        };
        CATALOGUE.iter().map(|rule| line(rule.id)).collect()
    }

    /// Every alert with who raised it, in order; those of both only when asked for.
    fn alerts(&self, all: bool) -> Vec<(&'static str, &Raised)> {
        let (old, new): (BTreeSet<_>, BTreeSet<_>) = (
            self.old.iter().map(key).collect(),
            self.new.iter().map(key).collect(),
        );
        let only_old = self.old.iter().filter(|held| !new.contains(&key(held)));
        let of_new = self.new.iter().map(|held| match old.contains(&key(held)) {
            true => ("both", held),
            false => ("FILE only", held),
        });
        let mut alerts: Vec<_> = only_old
            .map(|held| ("in force only", held))
            .chain(of_new.filter(|(who, _)| all || *who != "both"))
            .collect();
        alerts.sort_by_key(|(_, held)| key(held));
        alerts
    }

    fn print(
        &self,
        nation: &Nation,
        reading: &Reading,
        months: usize,
        all: bool,
    ) -> Result<(), Failure> {
        line(&format!(
            "{months} months played; facts known as if {} ({} of the returns came over twelve months late).\n\
             In force: {}. FILE: {}.\n",
            reading.name(),
            percent(Some(reading.late)),
            self.in_force.version(),
            self.proposed.version()
        ))?;
        let mut table = Table::new(&[
            "rule",
            ">in force",
            ">FILE",
            ">both",
            ">in force only",
            ">FILE only",
            "confirmed: in force",
            "confirmed: FILE",
        ]);
        for held in self.lines(nation) {
            table.row(vec![
                held.rule.to_owned(),
                held.old.to_string(),
                held.new.to_string(),
                held.both.to_string(),
                (held.old - held.both).to_string(),
                (held.new - held.both).to_string(),
                said(held.old_outcomes),
                said(held.new_outcomes),
            ]);
        }
        table.show()?;
        line("")?;
        let mut table = Table::new(&[
            "raised by",
            "rule",
            "org",
            "month",
            "severity",
            "ended",
            "summary",
        ]);
        for (who, held) in self.alerts(all) {
            table.row(vec![
                who.to_owned(),
                held.rule.clone(),
                held.org.to_string(),
                held.period.to_string(),
                format!("{:?}", held.severity).to_lowercase(),
                ended(held).unwrap_or_default(),
                held.summary.clone(),
            ]);
        }
        table.show()
    }

    fn print_json(&self, nation: &Nation, reading: &Reading, all: bool) -> Result<(), Failure> {
        let head = json!({
            "asIf": reading.name(),
            "shareLoadedLate": reading.late,
            "inForce": self.in_force.version(),
            "file": self.proposed.version(),
        });
        line(&head.to_string())?;
        for held in self.lines(nation) {
            let of = |raised: usize, said: Outcomes| {
                json!({
                    "raised": raised,
                    "confirmed": said.confirmed,
                    "refuted": said.refuted,
                    "precision": said.precision(),
                })
            };
            let rule: Value = json!({
                "rule": held.rule,
                "inForce": of(held.old, held.old_outcomes),
                "file": of(held.new, held.new_outcomes),
                "both": held.both,
            });
            line(&rule.to_string())?;
        }
        for (who, held) in self.alerts(all) {
            let alert = json!({ "alert": {
                "raisedBy": who,
                "rule": held.rule,
                "orgCode": held.org.to_string(),
                "period": held.period.to_string(),
                "severity": format!("{:?}", held.severity).to_lowercase(),
                "ended": ended(held),
                "summary": held.summary,
            }});
            line(&alert.to_string())?;
        }
        Ok(())
    }
}

fn said(outcomes: Outcomes) -> String {
    let decided = outcomes.confirmed + outcomes.refuted;
    match outcomes.precision() {
        None => "nobody has said".to_owned(),
        share => format!("{} of {decided} ({})", outcomes.confirmed, percent(share)),
    }
}

fn ended(held: &Raised) -> Option<String> {
    let (how, period) = held.ended?;
    Some(format!("{} {period}", format!("{how:?}").to_lowercase()))
}
