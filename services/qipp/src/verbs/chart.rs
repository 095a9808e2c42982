//! `qipp chart`: draws charts of any series, so that an analyst can hold ours against their own. Needs no service.
//!
//! Records stream: one line is in memory at a time, whatever the length of the input. What is computed is the business of
//! `qipp_spc::chart_io`; here are only files, lines and exit codes.

mod control;

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use flate2::bufread::MultiGzDecoder;
use qipp_spc::chart_io::{
    ChartInputError, cusum_csv, cusum_json_line, ewma_csv, ewma_json_line, funnel_csv,
    funnel_json_line_in, xmr_csv, xmr_json_line_under,
};
use qipp_spc::funnel::{FunnelOptions, Level, Measure, Mode};
use qipp_spc::xmr::{ImprovementDirection, MissingInTrend, XmrOptions};
use qipp_spc::{Date, Profile};

use crate::exit::{self, Failure, Outcome, REFUSED, USAGE};
use crate::output::{line, quietly};

/// Longest line, bytes: a record of the most points that a chart takes, with all its columns, is below it.
const MAX_LINE: usize = 64 << 20;

/// Largest CSV, bytes: a chart takes at most 100,000 points.
const MAX_CSV: u64 = 16 << 20;

/// Compute a chart of any series, from JSON lines or CSV, on standard output. Needs no service.
#[derive(Debug, Args)]
pub(crate) struct ChartArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// XmR charts (individuals and moving range), as in Making Data Count.
    Xmr(XmrArgs),
    /// Funnel plots: organisations beside their peers at one time, with limits for overdispersion.
    Funnel(FunnelArgs),
    /// CUSUM charts: evidence for a lasting shift, added up.
    Cusum(control::CusumArgs),
    /// EWMA charts: an average in which old values fade.
    Ewma(control::EwmaArgs),
}

/// What is charted.
#[derive(Debug, Args)]
struct Input {
    /// File with the records, plain or gzipped. Without it, or as `-`: standard input.
    #[arg(value_name = "FILE", default_value = "-", hide_default_value = true)]
    file: PathBuf,
    /// The input is one series as CSV, a date and a value a line, with or without the header date,value.
    #[arg(long)]
    csv: bool,
}

const XMR_HELP: &str = "\
Input: chart records, one JSON object a line:

  {\"id\": \"x\", \"options\": {\"target\": 4}, \"dates\": [\"2010-04-01\", …], \"values\": [4.5, …]}

`dates` and `values` are required; a missing value is null. `options` may hold improvement_direction, target, rebase, \
fix_after_n_points, screen_outliers and missing_in_trend. `profile` names the exact reading of the method: nhsr_0_2_2 as the R package \
NHSRplotthedots has it, mdc_excel_2024 as the workbook of Making Data Count is described (unverified), mdc_excel_2024_run6 the same with runs of 6 points.

Output: the same lines, each with its chart as `expected` (what is there under that name is ignored) and its profile. A record that can't be charted \
has {\"error\": \"code: message\"} there. A line that is no record is named on standard error, the others go on, and the exit code is 3.

Examples:
  qipp chart xmr series.jsonl > charts.jsonl
  qipp chart xmr --csv --improvement decrease --target 4 waits.csv
  qipp chart xmr --profile mdc_excel_2024 series.jsonl
  zcat golden.jsonl.gz | qipp chart xmr | jq -c '[.id, .expected.variation_icon]'";

#[derive(Debug, Args)]
#[command(after_help = XMR_HELP)]
struct XmrArgs {
    #[command(flatten)]
    input: Input,
    /// The exact reading of the method, for a CSV and for records that name none: nhsr_0_2_2, mdc_excel_2024 or mdc_excel_2024_run6.
    #[arg(long, value_name = "NAME", default_value = "nhsr_0_2_2", value_parser = parse_profile)]
    profile: Profile,
    #[command(flatten)]
    options: CsvOptions,
}

/// How to draw the chart of a CSV; records say it themselves.
#[derive(Debug, Args)]
struct CsvOptions {
    /// Which way is better.
    #[arg(
        long,
        value_enum,
        value_name = "WAY",
        requires = "csv",
        default_value = "increase"
    )]
    improvement: ImprovementArg,
    /// The value to be reached, in the units of the series.
    #[arg(
        long,
        value_name = "NUMBER",
        requires = "csv",
        allow_negative_numbers = true
    )]
    target: Option<f64>,
    /// A day at which limits are computed anew, YYYY-MM-DD. Several: again, or with commas between.
    #[arg(long, value_name = "DATE", requires = "csv", value_delimiter = ',')]
    rebase: Vec<Date>,
    /// Compute the limits from the first so many points only, at least 12.
    #[arg(long, value_name = "N", requires = "csv")]
    fix_after: Option<usize>,
    /// Let moving ranges that are outliers count for the limits too.
    #[arg(long, requires = "csv")]
    no_screen_outliers: bool,
    /// What a missing value does to a possible trend. Without it, as the profile has it: nhsr_0_2_2 refuses, mdc_excel_2024 breaks.
    #[arg(long, value_enum, value_name = "HOW", requires = "csv")]
    missing_in_trend: Option<MissingArg>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ImprovementArg {
    /// Higher is better.
    Increase,
    /// Lower is better.
    Decrease,
    /// Neither.
    Neutral,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum MissingArg {
    /// Refuse the chart where the missing value leaves a trend open.
    Refuse,
    /// It breaks the trend.
    Breaks,
}

fn parse_profile(name: &str) -> Result<Profile, String> {
    Profile::from_name(name).ok_or_else(|| {
        let known: Vec<&str> = Profile::ALL.iter().map(|profile| profile.name()).collect();
        format!("use one of {}", known.join(", "))
    })
}

impl CsvOptions {
    fn to_xmr(&self) -> XmrOptions {
        XmrOptions {
            improvement_direction: match self.improvement {
                ImprovementArg::Increase => ImprovementDirection::Increase,
                ImprovementArg::Decrease => ImprovementDirection::Decrease,
                ImprovementArg::Neutral => ImprovementDirection::Neutral,
            },
            target: self.target,
            rebase: self.rebase.clone(),
            fix_after_n_points: self.fix_after,
            screen_outliers: self.no_screen_outliers.then_some(false),
            missing_in_trend: self.missing_in_trend.map(|missing| match missing {
                MissingArg::Refuse => MissingInTrend::Refuse,
                MissingArg::Breaks => MissingInTrend::Breaks,
            }),
        }
    }
}

const FUNNEL_HELP: &str = "\
Input: funnel records, one JSON object a line:

  {\"id\": \"x\", \"options\": {\"data_type\": \"PR\"}, \"group\": [\"RWW\", …], \"numerator\": [30, …], \"denominator\": [100, …]}

`group`, `numerator` and `denominator` are required; rows of one group are added up. `options` may hold data_type (PR proportion, RC ratio of counts, \
SR observed over expected), limit (95, or 99 for 99.8 %), draw_adjusted, draw_unadjusted, sr_method (SHMI or CQC), trim_by, multiplier and \
shmi_rounding. `mode` is corrected, or compat: as the R package FunnelPlotR 0.6.0 computes, with its defects.

Output: the same lines, each with its funnel as `expected` (what is there under that name is ignored) and its mode. A record that can't be drawn \
has {\"error\": \"code: message\"} there. A line that is no record is named on standard error, the others go on, and the exit code is 3.

Examples:
  qipp chart funnel peers.jsonl | jq -c '[.id, .expected.phi, .expected.tau2]'
  qipp chart funnel --csv --type sr --sr-method cqc deaths.csv
  zcat golden.jsonl.gz | qipp chart funnel --mode compat";

/// What [`Input`] says of a series is not so of a funnel.
const FUNNEL_CSV_HELP: &str = "The input is one funnel as CSV, group,numerator,denominator a line, with or without these as header";

#[derive(Debug, Args)]
#[command(after_help = FUNNEL_HELP, mut_arg("csv", |csv| csv.help(FUNNEL_CSV_HELP)))]
struct FunnelArgs {
    #[command(flatten)]
    input: Input,
    /// Which form of the method, for a CSV and for records that name none: corrected or compat (FunnelPlotR 0.6.0).
    #[arg(long, value_name = "NAME", default_value = "corrected", value_parser = parse_mode)]
    mode: Mode,
    #[command(flatten)]
    options: FunnelCsvOptions,
}

/// How to draw the funnel of a CSV; records say it themselves.
#[derive(Debug, Args)]
struct FunnelCsvOptions {
    /// What the ratio is.
    #[arg(
        long = "type",
        value_enum,
        value_name = "TYPE",
        requires = "csv",
        default_value = "pr"
    )]
    data_type: TypeArg,
    /// How observed over expected is transformed and trimmed.
    #[arg(
        long,
        value_enum,
        value_name = "METHOD",
        requires = "csv",
        default_value = "shmi"
    )]
    sr_method: SrMethodArg,
    /// The limits beyond which a group is an outlier: 95 %, or 99.8 %.
    #[arg(
        long,
        value_enum,
        value_name = "LIMIT",
        requires = "csv",
        default_value = "99"
    )]
    limit: LimitArg,
    /// Judge by limits without overdispersion.
    #[arg(long, requires = "csv")]
    unadjusted: bool,
    /// The share that is trimmed at each end before dispersion is estimated, below 0.5.
    #[arg(long, value_name = "SHARE", requires = "csv", default_value_t = 0.1)]
    trim_by: f64,
    /// What limits are multiplied with, as for a rate per 1,000.
    #[arg(long, value_name = "NUMBER", requires = "csv", default_value_t = 1.0)]
    multiplier: f64,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum TypeArg {
    /// Proportion: the numerator is part of the denominator.
    Pr,
    /// Ratio of two counts.
    Rc,
    /// Standardised ratio: observed over expected.
    Sr,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum SrMethodArg {
    /// Logarithm, truncated.
    Shmi,
    /// Square root, winsorised.
    Cqc,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LimitArg {
    /// 95 %.
    #[value(name = "95")]
    P95,
    /// 99.8 %.
    #[value(name = "99")]
    P998,
}

fn parse_mode(name: &str) -> Result<Mode, String> {
    Mode::from_name(name).ok_or_else(|| {
        let known: Vec<&str> = Mode::ALL.iter().map(|mode| mode.name()).collect();
        format!("use one of {}", known.join(", "))
    })
}

impl FunnelCsvOptions {
    fn to_funnel(&self) -> FunnelOptions {
        FunnelOptions {
            measure: match (self.data_type, self.sr_method) {
                (TypeArg::Pr, _) => Measure::Proportion,
                (TypeArg::Rc, _) => Measure::RatioOfCounts,
                (TypeArg::Sr, SrMethodArg::Shmi) => Measure::StandardisedShmi,
                (TypeArg::Sr, SrMethodArg::Cqc) => Measure::StandardisedCqc,
            },
            level: match self.limit {
                LimitArg::P95 => Level::P95,
                LimitArg::P998 => Level::P998,
            },
            adjusted: !self.unadjusted,
            unadjusted: self.unadjusted,
            trim_by: self.trim_by,
            multiplier: self.multiplier,
            round_expected: None,
        }
    }
}

pub(crate) fn run(args: &ChartArgs) -> Outcome {
    match &args.what {
        What::Xmr(args) => {
            let options = args.options.to_xmr();
            chart(
                &args.input,
                &|text, id| xmr_csv(args.profile, text, &options, id),
                &|text| xmr_json_line_under(args.profile, text),
            )
        }
        What::Funnel(args) => {
            let options = args.options.to_funnel();
            chart(
                &args.input,
                &|text, id| funnel_csv(args.mode, text, &options, id),
                &|text| funnel_json_line_in(args.mode, text),
            )
        }
        What::Cusum(args) => {
            let options = args.options().map_err(|error| Failure::new(USAGE, error))?;
            chart(
                &args.input,
                &|text, id| cusum_csv(text, &options, id),
                &cusum_json_line,
            )
        }
        What::Ewma(args) => {
            let options = args.options().map_err(|error| Failure::new(USAGE, error))?;
            chart(
                &args.input,
                &|text, id| ewma_csv(text, &options, id),
                &ewma_json_line,
            )
        }
    }
}

/// From a CSV text and its id to a record.
type OfCsv<'a> = &'a dyn Fn(&str, &str) -> Result<String, ChartInputError>;

/// From a record to one with its chart.
type OfLine<'a> = &'a dyn Fn(&str) -> Result<String, ChartInputError>;

/// One kind of chart, of the CSV or the records in a file.
fn chart(Input { file, csv }: &Input, of_csv: OfCsv<'_>, of_line: OfLine<'_>) -> Outcome {
    let input = open(file)?;
    quietly(if *csv {
        chart_csv(file, input, of_csv)
    } else {
        chart_lines(input, of_line, &mut |text| line(text), &mut |text| {
            eprintln!("{text}")
        })
    })
}

/// The input, unpacked when it is gzipped.
fn open(path: &Path) -> Result<Box<dyn BufRead>, Failure> {
    let mut input: Box<dyn BufRead> = if path == Path::new("-") {
        Box::new(BufReader::new(io::stdin()))
    } else {
        let file = File::open(path).map_err(|error| {
            Failure::new(USAGE, format!("can't read {}: {error}", path.display()))
        })?;
        Box::new(BufReader::new(file))
    };
    let packed = input.fill_buf()?.starts_with(&[0x1f, 0x8b]);
    Ok(if packed {
        Box::new(BufReader::new(MultiGzDecoder::new(input)))
    } else {
        input
    })
}

fn chart_csv(file: &Path, input: impl BufRead, of_csv: OfCsv<'_>) -> Outcome {
    let is_stdin = file == Path::new("-");
    let named = if is_stdin {
        "standard input".to_owned()
    } else {
        file.display().to_string()
    };
    let refused = |what: String| Failure::new(REFUSED, format!("{named}: {what}"));
    let mut bytes = Vec::new();
    input
        .take(MAX_CSV + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| refused(error.to_string()))?;
    if bytes.len() as u64 > MAX_CSV {
        return Err(refused(format!(
            "more than {MAX_CSV} bytes are no series of one chart: give one series"
        )));
    }
    let text = String::from_utf8(bytes)
        .map_err(|_| refused("the text is not UTF-8: save it as CSV UTF-8".to_owned()))?;
    let id = file
        .file_stem()
        .map(|stem| stem.to_string_lossy().into_owned());
    let id = id
        .filter(|_| !is_stdin)
        .unwrap_or_else(|| "series".to_owned());
    let record = of_csv(&text, &id).map_err(|error| refused(error.to_string()))?;
    line(&record)?;
    Ok(exit::OK)
}

/// Charts every record; what is no record is reported and left out.
fn chart_lines(
    mut input: impl BufRead,
    of_line: OfLine<'_>,
    print: &mut dyn FnMut(&str) -> Result<(), Failure>,
    report: &mut dyn FnMut(&str),
) -> Outcome {
    let mut code = exit::OK;
    let mut buffer = Vec::new();
    for number in 1_u64.. {
        let fault = match next_line(&mut input, &mut buffer, MAX_LINE)? {
            Line::End => break,
            Line::TooLong => format!("longer than {MAX_LINE} bytes: give one record a line"),
            Line::Text => match std::str::from_utf8(&buffer) {
                Err(_) => "not UTF-8".to_owned(),
                Ok(text) if text.trim().is_empty() => continue,
                Ok(text) => match of_line(text) {
                    Ok(record) => {
                        print(&record)?;
                        continue;
                    }
                    Err(error) => error.to_string(),
                },
            },
        };
        report(&format!("line {number}: {fault}"));
        code = REFUSED;
    }
    Ok(code)
}

/// What came next.
#[derive(Debug, PartialEq)]
enum Line {
    Text,
    TooLong,
    End,
}

/// Reads a line, without its end, into the buffer. Of a line that is too long the rest is read over.
fn next_line(input: &mut impl BufRead, buffer: &mut Vec<u8>, longest: usize) -> io::Result<Line> {
    buffer.clear();
    let limit = longest as u64 + 1;
    if input.by_ref().take(limit).read_until(b'\n', buffer)? == 0 {
        return Ok(Line::End);
    }
    if buffer.last() == Some(&b'\n') {
        buffer.pop();
    } else if buffer.len() > longest {
        input.skip_until(b'\n')?;
        return Ok(Line::TooLong);
    }
    Ok(Line::Text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn charted(input: &str) -> (u8, Vec<String>, Vec<String>) {
        let (mut records, mut faults) = (Vec::new(), Vec::new());
        let mut print = |text: &str| -> Result<(), Failure> {
            records.push(text.to_owned());
            Ok(())
        };
        let code = chart_lines(
            input.as_bytes(),
            &qipp_spc::chart_io::xmr_json_line,
            &mut print,
            &mut |text| faults.push(text.to_owned()),
        )
        .unwrap();
        (code, records, faults)
    }

    #[test]
    fn a_line_that_is_no_record_is_named_by_its_number_and_the_others_go_on() {
        let good = r#"{"id":"a","dates":["2010-04-01"],"values":[1]}"#;
        let (code, records, faults) = charted(&format!("{good}\n\n  \r\nnot json\n{good}"));
        assert_eq!((code, records.len(), faults.len()), (REFUSED, 2, 1));
        assert!(faults[0].starts_with("line 4: "), "{}", faults[0]);
    }

    #[test]
    fn a_record_that_cannot_be_charted_is_an_answer_and_no_fault() {
        let (code, records, faults) = charted(r#"{"dates":["2010-02-30"],"values":[1]}"#);
        assert_eq!((code, faults.len()), (exit::OK, 0));
        assert!(records[0].contains("unparseable_date"), "{}", records[0]);
    }

    #[test]
    fn lines_are_bounded_and_the_one_after_a_long_one_is_whole() {
        let mut input: &[u8] = b"abcd\nabcdef\nab\n\nabc";
        let mut buffer = Vec::new();
        let mut seen = Vec::new();
        loop {
            let line = next_line(&mut input, &mut buffer, 4).unwrap();
            if line == Line::End {
                break;
            }
            seen.push((line, String::from_utf8(buffer.clone()).unwrap()));
        }
        assert_eq!(seen[0], (Line::Text, "abcd".to_owned()));
        assert_eq!(seen[1].0, Line::TooLong);
        assert_eq!(
            seen[2..]
                .iter()
                .map(|(_, text)| text.as_str())
                .collect::<Vec<_>>(),
            ["ab", "", "abc"]
        );
    }

    #[test]
    fn nothing_in_gives_nothing_out() {
        assert_eq!(charted(""), (exit::OK, vec![], vec![]));
    }
}
