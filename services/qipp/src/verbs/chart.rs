//! `qipp chart`: draws charts of any series, so that an analyst can hold ours against their own. Needs no service.
//!
//! Records stream: one line is in memory at a time, whatever the length of the input. What is computed is the business of
//! `qipp_spc::chart_io`; here are only files, lines and exit codes.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use flate2::bufread::MultiGzDecoder;
use qipp_spc::chart_io::{xmr_csv, xmr_json_line};
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
}

const HELP: &str = "\
Input: chart records, one JSON object a line:

  {\"id\": \"x\", \"options\": {\"target\": 4}, \"dates\": [\"2010-04-01\", …], \"values\": [4.5, …]}

`dates` and `values` are required; a missing value is null. `options` may hold improvement_direction, target, rebase, \
fix_after_n_points, screen_outliers and missing_in_trend.

Output: the same lines, each with its chart as `expected` (what is there under that name is ignored). A record that can't be charted \
has {\"error\": \"code: message\"} there. A line that is no record is named on standard error, the others go on, and the exit code is 3.

Examples:
  qipp chart xmr series.jsonl > charts.jsonl
  qipp chart xmr --csv --improvement decrease --target 4 waits.csv
  zcat golden.jsonl.gz | qipp chart xmr | jq -c '[.id, .expected.variation_icon]'";

#[derive(Debug, Args)]
#[command(after_help = HELP)]
struct XmrArgs {
    /// File with the records, plain or gzipped. Without it, or as `-`: standard input.
    #[arg(value_name = "FILE", default_value = "-", hide_default_value = true)]
    file: PathBuf,
    /// The input is one series as CSV, a date and a value a line, with or without the header date,value.
    #[arg(long)]
    csv: bool,
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
    /// What a missing value does to a possible trend.
    #[arg(
        long,
        value_enum,
        value_name = "HOW",
        requires = "csv",
        default_value = "refuse"
    )]
    missing_in_trend: MissingArg,
    /// The exact reading of the method.
    #[arg(long, value_name = "NAME", requires = "csv", default_value = "nhsr_0_2_2", value_parser = parse_profile)]
    profile: Profile,
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
            screen_outliers: !self.no_screen_outliers,
            missing_in_trend: match self.missing_in_trend {
                MissingArg::Refuse => MissingInTrend::Refuse,
                MissingArg::Breaks => MissingInTrend::Breaks,
            },
        }
    }
}

pub(crate) fn run(args: &ChartArgs) -> Outcome {
    let What::Xmr(args) = &args.what;
    let input = open(&args.file)?;
    quietly(if args.csv {
        chart_csv(args, input)
    } else {
        chart_lines(input, &mut |text| line(text), &mut |text| {
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

fn chart_csv(args: &XmrArgs, input: impl BufRead) -> Outcome {
    let is_stdin = args.file == Path::new("-");
    let named = if is_stdin {
        "standard input".to_owned()
    } else {
        args.file.display().to_string()
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
    let id = args
        .file
        .file_stem()
        .map(|stem| stem.to_string_lossy().into_owned());
    let id = id
        .filter(|_| !is_stdin)
        .unwrap_or_else(|| "series".to_owned());
    let record = xmr_csv(args.options.profile, &text, &args.options.to_xmr(), &id)
        .map_err(|error| refused(error.to_string()))?;
    line(&record)?;
    Ok(exit::OK)
}

/// Charts every record; what is no record is reported and left out.
fn chart_lines(
    mut input: impl BufRead,
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
                Ok(text) => match xmr_json_line(text) {
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
        let code = chart_lines(input.as_bytes(), &mut print, &mut |text| {
            faults.push(text.to_owned())
        })
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
