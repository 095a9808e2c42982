//! `qipp simulate`: a nation with a known truth, as plain files and as the public API takes it. Needs no service.

mod reference;
mod returns;

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, ValueEnum};
use qipp_nation::scenario::{
    Onsets, Scenario, ScenarioConfig, ScoringNation, files, scenario_watched,
};

use crate::exit::{self, Failure, Outcome};
use crate::output::{Table, line, quietly};
use crate::verbs::submit::progress;

const HELP: &str = "\
Scenarios: A, B, C, E and N are those of the study behind the rules (effects of 1 to 2 standard deviations; in N nobody has both); real has \
everything at once, with delays, schemes that do good, and the faults of real data: gaps, mergers, redefinitions, late and restated returns.

Plain files in the folder:
  markers.csv       marker,domain,polarity
  observations.csv  org_code,period,marker,numerator,denominator[,received]
  savings.csv       org_code,period,plan_pence,actual_pence[,received]
  truth.csv         org_code,kind,from,until,markers: both, savings_only or quality_only; the only file that knows
received is there when returns came late or were restated: the month at whose end the row became known, empty for its own.

For the API, in its folder api: facts.jsonl and schemes.jsonl for `qipp register`, and returns as quality-YYYY-MM.csv and savings-YYYY-MM.csv \
for `qipp submit`, by the month in which they came in. How to load them is said at the end.

Nobody in it exists: organisations are SIM00001 and so on, markers SIM_ACCESS_1 and so on. The same flags give the same bytes.

Examples:
  qipp simulate --scenario A --seed 90000 --out nation-a
  qipp simulate --scenario real --organisations 2000 --months 120 --out decade --form files
  qipp simulate --scenario E --onsets spread --out nation-e --form both";

/// Make up a nation with a known truth: savings and markers of organisations that do not exist, to score rules on. Needs no service.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(crate) struct SimulateArgs {
    /// What is put into it: A, B, C, E, N or real.
    #[arg(long, value_name = "NAME", value_parser = parse_scenario)]
    scenario: Scenario,
    /// How many organisations, 1 to 10000. Of fewer than 250 little can be learned.
    #[arg(long, value_name = "N", default_value_t = 500)]
    organisations: usize,
    /// How many months from 2010-04 on, 36 to 120. Nothing happens in the first 24.
    #[arg(long, value_name = "N", default_value_t = 48)]
    months: usize,
    /// Decides all random numbers.
    #[arg(long, value_name = "N", default_value_t = 90_000)]
    seed: u64,
    /// When effects begin: all in month 25, or each in one of the twelve months from there on. Without it, fixed; in `real`, spread.
    #[arg(long, value_enum, value_name = "WHEN")]
    onsets: Option<OnsetsArg>,
    /// Folder to write to. Has to be new or empty.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Write into a folder that is not empty: files of the same names are replaced, others stay.
    #[arg(long)]
    force: bool,
    /// Which form: plain files, files for the API, or both. The truth is written with each.
    #[arg(long, value_enum, value_name = "FORM", default_value = "files")]
    form: Form,
}

/// When effects begin.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum OnsetsArg {
    /// All in month 25.
    Fixed,
    /// Each in one of the months 25 to 36.
    Spread,
}

impl From<OnsetsArg> for Onsets {
    fn from(onsets: OnsetsArg) -> Self {
        match onsets {
            OnsetsArg::Fixed => Self::Fixed,
            OnsetsArg::Spread => Self::Spread,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// Plain files.
    Files,
    /// Files for `qipp register` and `qipp submit`.
    Api,
    /// Both.
    Both,
}

pub(crate) fn parse_scenario(name: &str) -> Result<Scenario, String> {
    Scenario::from_name(name).ok_or_else(|| {
        let known: Vec<&str> = Scenario::NAMES.iter().map(|(_, name)| *name).collect();
        format!("use one of {}", known.join(", "))
    })
}

pub(crate) fn run(args: &SimulateArgs) -> Outcome {
    let config = config(args)?;
    prepare(&args.out, args.force)?;
    let bar = progress(config.organisations, "organisations");
    let nation = scenario_watched(&config, |done| bar.set_position(done as u64));
    bar.finish_and_clear();

    let mut folder = Folder::new(&args.out);
    if args.form != Form::Api {
        folder.write("markers.csv", files::markers(&nation))?;
        folder.write("observations.csv", files::observations(&nation))?;
        folder.write("savings.csv", files::savings(&nation))?;
    }
    folder.write("truth.csv", files::truth(&nation))?;
    if args.form != Form::Files {
        write_api(&nation, &mut folder)?;
    }
    quietly(tell(args, &nation, &folder))
}

fn config(args: &SimulateArgs) -> Result<ScenarioConfig, Failure> {
    let standard = ScenarioConfig::new(args.scenario, args.seed);
    let config = ScenarioConfig {
        organisations: args.organisations,
        months: args.months,
        onsets: args.onsets.map_or(standard.onsets, Onsets::from),
        ..standard
    };
    let problems: Vec<String> = config
        .problems()
        .iter()
        .map(|problem| {
            format!(
                "{} at --{}: {}",
                problem.code, problem.field, problem.description
            )
        })
        .collect();
    if problems.is_empty() {
        return Ok(config);
    }
    Err(Failure::new(exit::USAGE, problems.join("\n  ")))
}

/// Makes the folder, or takes it as it is when that is wanted.
fn prepare(out: &Path, force: bool) -> Result<(), Failure> {
    let used = std::fs::read_dir(out).is_ok_and(|mut entries| entries.next().is_some());
    if used && !force {
        let what = format!(
            "{} is not empty: name a new folder with --out, or write into it with --force",
            out.display()
        );
        return Err(Failure::new(exit::USAGE, what));
    }
    std::fs::create_dir_all(out).map_err(|error| {
        let what = format!(
            "can't make the folder {}: {error}; name another with --out",
            out.display()
        );
        Failure::new(exit::USAGE, what)
    })
}

fn write_api(nation: &ScoringNation, folder: &mut Folder) -> Result<(), Failure> {
    std::fs::create_dir_all(folder.path.join("api"))?;
    folder.write("api/facts.jsonl", reference::facts(nation)?)?;
    folder.write("api/schemes.jsonl", returns::schemes(nation)?)?;
    for (month, lines) in returns::quality(nation) {
        folder.write(&format!("api/quality-{month}.csv"), lines)?;
    }
    for (month, lines) in returns::savings(nation) {
        folder.write(&format!("api/savings-{month}.csv"), lines)?;
    }
    Ok(())
}

/// What was written where.
struct Folder {
    path: PathBuf,
    /// Name and lines.
    written: Vec<(String, u64)>,
}

impl Folder {
    fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            written: Vec::new(),
        }
    }

    fn write(
        &mut self,
        name: &str,
        lines: impl IntoIterator<Item = String>,
    ) -> Result<(), Failure> {
        let path = self.path.join(name);
        let mut count = 0;
        let write = || -> std::io::Result<()> {
            let mut file = BufWriter::new(File::create(&path)?);
            for line in lines {
                file.write_all(line.as_bytes())?;
                file.write_all(b"\n")?;
                count += 1;
            }
            file.flush()
        };
        write().with_context(|| format!("can't write {}", path.display()))?;
        self.written.push((name.to_owned(), count));
        Ok(())
    }
}

/// What there is now, and how to go on.
fn tell(args: &SimulateArgs, nation: &ScoringNation, folder: &Folder) -> Outcome {
    line(&format!(
        "A simulated nation, scenario {}, seed {}: {} organisations that do not exist, {} markers, {} to {}.\n",
        args.scenario.name(),
        args.seed,
        nation.organisations.len(),
        nation.markers.len(),
        nation.period(0),
        nation.period(nation.months - 1),
    ))?;
    let mut table = Table::new(&["file", ">lines"]);
    let by_month =
        |name: &str| name.starts_with("api/quality-") || name.starts_with("api/savings-");
    for (name, lines) in folder.written.iter().filter(|(name, _)| !by_month(name)) {
        table.row(vec![name.clone(), lines.to_string()]);
    }
    for kind in ["quality", "savings"] {
        let start = format!("api/{kind}-");
        let of = || {
            folder
                .written
                .iter()
                .filter(|(name, _)| name.starts_with(&start))
        };
        if of().count() > 0 {
            let name = format!("api/{kind}-YYYY-MM.csv ({} files)", of().count());
            table.row(vec![
                name,
                of().map(|(_, lines)| lines).sum::<u64>().to_string(),
            ]);
        }
    }
    table.show()?;
    if args.form != Form::Files {
        let api = folder.path.join("api");
        let api = api.display();
        line(&format!(
            "\nInto a running service:\n  qipp register facts {api}/facts.jsonl && qipp register schemes {api}/schemes.jsonl\n  \
             for f in {api}/quality-*.csv; do qipp submit \"$f\"; done; for f in {api}/savings-*.csv; do qipp submit --format savings \"$f\"; done"
        ))?;
    }
    Ok(exit::OK)
}
