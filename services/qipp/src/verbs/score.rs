//! `qipp score`: what the surveillance layer, and what it is compared with, are worth on nations whose truth is known. Needs no service.
//!
//! Here are files, threads and tables; what is computed is the business of `qipp_nation::score`.

mod jobs;
mod show;

use std::path::{Path, PathBuf};

use clap::{ArgGroup, Args};
use qipp_nation::scenario::{Onsets, Scenario, ScenarioConfig};
use qipp_nation::score::read::{Faults, Files};
use qipp_nation::score::{BenchPlan, Method, read, real};
use qipp_rules::surveillance::Options;

use self::jobs::{Group, Job};
use self::show::AlertFile;
use super::simulate::{OnsetsArg, parse_scenario};
use crate::exit::{self, Failure, Outcome, REFUSED, USAGE};
use crate::output::quietly;

/// The watch list allows so many times the false share of the alerts.
const WATCH_TO_ALERT: f64 = 2.0;

const HELP: &str = "\
The layer is run month by month, from the 25th on, on what was known then, and held against the truth, which it never sees. Beside it, on the same \
figures: mdc_1 and mdc_3 (Making Data Count icons: savings improve, and 1 or 3 markers are a concern), cusum (plain CUSUM .5/5) and two_of_three.

An alert is true when the organisation's savings rise and its quality slips, from the onset until three months after its end.
  FDR             mean over months of the false share of the month's alerts; ± is the standard error over seeds
  <=3 <=6 <=11    share of the organisations found within so many months of the onset; delay: median months of those found
  alerts, false   a month; expected: how many false ones the layer itself says to expect
  any             share of the months with any alert; quiet: the same of the months in which nobody has both
  matched         power in organisation-months since the onset, at the threshold (an oracle's) where 10% of all alerts are false;
                  full: of those since the third month, in which a shift of the scenarios is there in full
  right, named    of the markers named in true alerts, how many slip; of those that slip, how many are named

--input DIR takes the four files of anybody's simulator:
  markers.csv       marker,domain,polarity (lower_is_better, higher_is_better or neutral)
  observations.csv  org_code,period,marker,numerator,denominator, or value; may have received
  savings.csv       org_code,period,plan_pence,actual_pence; may have received
  truth.csv         org_code,kind,from,until,markers: both, savings_only or quality_only
Columns come in any order, months are YYYY-MM, an empty cell is missing, received is the month at whose end a row became known. \
A marker whose numerators never exceed their denominators is a proportion, otherwise (one figure is enough) a rate, and without denominators a value. All faults are \
told at once, by file, line and column. `qipp simulate` writes such files.

--real FILE takes published A&E figures by provider (period,org_code,ae_type,attendances,over_4h,emergency_admissions), gives each provider \
simulated savings, and puts slips of 1, 1.5 and 2 standard deviations into 5% of them.

--json prints an object for each seed, {\"what\":\"seed\",\"source\",\"seed\",\"not_judged\",\"scores\":{METHOD:{METRIC:NUMBER}}}, and one for each source, \
{\"what\":\"summary\",\"source\",\"seeds\",\"not_judged\",\"scores\":{METHOD:{\"metrics\":{…},\"errors\":{…}}}}; null is what there is nothing to tell from. \
not_judged: where the layer could judge nobody, the reason of a seed ({\"code\",\"description\"}, else null) and the list of such seeds; it is \
said below the table, too. To be judged, a nation needs 10 organisations, 25 months, and savings and markers that vary.

Examples:
  qipp score --scenario A,B,C,E,N --seeds 20
  qipp score --scenario real --organisations 1000 --months 72 --every 3 --methods none
  qipp score --input nation --alerts alerts.csv
  qipp score --real data/ae_monthly_provider_2016-04_2019-03.csv.gz --seeds 20
  qipp score --scenario E --seeds 5 --json | jq 'select(.what==\"summary\").scores.alert.metrics.fdr'";

/// Score alerts on nations with a known truth: simulated ones, files of any simulator, or real figures with slips put in. Needs no service.
#[derive(Debug, Args)]
#[command(after_help = HELP, group(ArgGroup::new("source").required(true).args(["scenario", "input", "real"])))]
pub(crate) struct ScoreArgs {
    /// Simulated nations: A, B, C, E, N or real; several with commas between.
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = parse_scenario)]
    scenario: Vec<Scenario>,
    /// Folder with markers.csv, observations.csv, savings.csv and truth.csv.
    #[arg(long, value_name = "DIR")]
    input: Option<PathBuf>,
    /// Published monthly A&E figures by provider, plain or gzipped.
    #[arg(long, value_name = "FILE")]
    real: Option<PathBuf>,
    /// How many seeds of each.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=10_000), conflicts_with = "input")]
    seeds: u64,
    /// The first seed; the others follow it. With --input it is what the layer resamples with.
    #[arg(long, value_name = "N", default_value_t = 90_000)]
    first_seed: u64,
    /// Organisations of a simulated nation, 1 to 10000.
    #[arg(long, value_name = "N", default_value_t = 500, conflicts_with_all = ["input", "real"])]
    organisations: usize,
    /// Months of a simulated nation, 36 to 120.
    #[arg(long, value_name = "N", default_value_t = 48, conflicts_with_all = ["input", "real"])]
    months: usize,
    /// When effects of a simulated nation begin. Without it, all in month 25; in `real`, spread over a year.
    #[arg(long, value_enum, value_name = "WHEN", conflicts_with_all = ["input", "real"])]
    onsets: Option<OnsetsArg>,
    /// The false share of alerts that the layer is asked for; the watch list has twice as much.
    #[arg(long, value_name = "SHARE", default_value_t = 0.10, value_parser = parse_q)]
    q: f64,
    /// What the layer is compared with: mdc_1, mdc_3, cusum, two_of_three, with commas between; or all, or none.
    #[arg(long, value_name = "NAMES", value_delimiter = ',', default_value = "all", value_parser = parse_methods)]
    methods: Vec<Methods>,
    /// Judge every so many months only. Delays get coarser, and nothing is confirmed.
    #[arg(long, value_name = "K", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=24))]
    every: u16,
    /// Write what the layer said, by month, as CSV: source, seed, org_code, period, tier, chance_false, savings_p, quality_p, domain, since, markers.
    #[arg(long, value_name = "FILE")]
    alerts: Option<PathBuf>,
    /// Threads. Without it, as many as there are processors. The result is the same with any number.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: Option<u16>,
    /// Print JSON, an object a line.
    #[arg(long)]
    json: bool,
}

/// What a name of `--methods` stands for.
#[derive(Clone, Debug)]
struct Methods(Vec<Method>);

fn parse_methods(name: &str) -> Result<Methods, String> {
    match name {
        "all" => Ok(Methods(Method::ALL.to_vec())),
        "none" => Ok(Methods(Vec::new())),
        _ => Method::from_name(name)
            .map(|method| Methods(vec![method]))
            .ok_or_else(|| {
                let known: Vec<&str> = Method::ALL.iter().map(|method| method.name()).collect();
                format!("use {}, all or none", known.join(", "))
            }),
    }
}

fn parse_q(text: &str) -> Result<f64, String> {
    let q = text.parse().ok().filter(|q| *q > 0.0 && *q <= 0.5);
    q.ok_or_else(|| "use a share above 0, at most 0.5".to_owned())
}

pub(crate) fn run(args: &ScoreArgs) -> Outcome {
    let plan = plan(args);
    let groups = groups(args)?;
    let threads = args.threads.map_or_else(
        || std::thread::available_parallelism().map_or(1, usize::from),
        usize::from,
    );
    let mut alerts = args.alerts.as_deref().map(AlertFile::create).transpose()?;
    quietly((|| {
        if !args.json
            && let Some(path) = &args.real
        {
            show::naive(&figures(path)?)?;
        }
        for group in groups {
            let done = jobs::run(&group, &plan, threads, alerts.is_some())?;
            if let Some(file) = &mut alerts {
                file.write(&group, &done)?;
            }
            if args.json {
                show::json(&group, &done)?;
            } else {
                show::table(&group, &done, &plan)?;
            }
        }
        if let Some(file) = alerts.take() {
            file.finish()?;
        }
        Ok(exit::OK)
    })())
}

fn plan(args: &ScoreArgs) -> BenchPlan {
    let mut methods: Vec<Method> = args
        .methods
        .iter()
        .flat_map(|named| named.0.iter().copied())
        .collect();
    methods.sort();
    methods.dedup();
    BenchPlan {
        options: Options {
            alert_q: args.q,
            watch_q: args.q * WATCH_TO_ALERT,
            ..Options::default()
        },
        methods,
        every: usize::from(args.every),
        seed: args.first_seed,
        ..BenchPlan::default()
    }
}

/// What is judged, and shown together.
fn groups(args: &ScoreArgs) -> Result<Vec<Group>, Failure> {
    let seeds = || (0..args.seeds).map(|at| args.first_seed.wrapping_add(at));
    if let Some(folder) = &args.input {
        return Ok(vec![input(folder, args.first_seed)?]);
    }
    if let Some(path) = &args.real {
        let figures = std::sync::Arc::new(figures(path)?);
        let group = |planted: real::Planted| Group {
            title: format!("A&E {}", planted.title()),
            jobs: seeds()
                .map(|seed| Job::Real(std::sync::Arc::clone(&figures), planted, seed))
                .collect(),
        };
        return Ok(real::Planted::ALL.into_iter().map(group).collect());
    }
    let mut groups = Vec::new();
    for scenario in &args.scenario {
        let config = scenario_config(args, *scenario)?;
        let with_seed = |seed| {
            Job::Scenario(ScenarioConfig {
                seed,
                ..config.clone()
            })
        };
        groups.push(Group {
            title: scenario.name().to_owned(),
            jobs: seeds().map(with_seed).collect(),
        });
    }
    Ok(groups)
}

fn scenario_config(args: &ScoreArgs, scenario: Scenario) -> Result<ScenarioConfig, Failure> {
    let standard = ScenarioConfig::new(scenario, args.first_seed);
    let config = ScenarioConfig {
        organisations: args.organisations,
        months: args.months,
        onsets: args.onsets.map_or(standard.onsets, Onsets::from),
        ..standard
    };
    let problems = config.problems();
    if problems.is_empty() {
        return Ok(config);
    }
    let told: Vec<String> = problems
        .iter()
        .map(|problem| {
            format!(
                "{} at --{}: {}",
                problem.code, problem.field, problem.description
            )
        })
        .collect();
    Err(Failure::new(USAGE, told.join("\n  ")))
}

/// The four files of a folder; all that can't be read are named at once.
fn input(folder: &Path, seed: u64) -> Result<Group, Failure> {
    let names = [
        "markers.csv",
        "observations.csv",
        "savings.csv",
        "truth.csv",
    ];
    let (mut contents, mut faults) = (Vec::new(), Vec::new());
    for name in names {
        let path = folder.join(name);
        match std::fs::read(&path) {
            Ok(bytes) => contents.push(bytes),
            Err(error) => faults.push(format!("can't read {}: {error}", path.display())),
        }
    }
    let [markers, observations, savings, truth] = contents.as_slice() else {
        return Err(Failure::new(USAGE, faults.join("\n  ")));
    };
    let files = Files {
        markers,
        observations,
        savings,
        truth,
    };
    let reading = read::read(&files).map_err(refused)?;
    for note in &reading.notes {
        eprintln!("note: {note}");
    }
    Ok(Group {
        title: folder.display().to_string(),
        jobs: vec![Job::Input(std::sync::Arc::new(reading.input), seed)],
    })
}

fn figures(path: &Path) -> Result<real::AeFigures, Failure> {
    real::read(&crate::files::read(path)?).map_err(refused)
}

#[allow(clippy::needless_pass_by_value, reason = "the error of a result")]
fn refused(faults: Faults) -> Failure {
    Failure::new(REFUSED, faults)
}
