//! The arguments of `qipp chart cusum` and `qipp chart ewma`.

use clap::{Args, ValueEnum};
use qipp_spc::ParameterError;
use qipp_spc::chart_io::{CusumOptions, EwmaOptions, ScaleOptions};
use qipp_spc::cusum::CusumDesign;
use qipp_spc::ewma::{EwmaDesign, EwmaLimits};
use qipp_spc::standard::{AfterSignal, Sides};

use super::Input;

const CUSUM_HELP: &str = "\
Input: chart records, one JSON object a line:

  {\"id\": \"x\", \"options\": {\"mean\": 90, \"sigma\": 2}, \"dates\": [\"2010-04-01\", …], \"values\": [91.5, …]}

`dates` and `values` are required; a missing value is null, and leaves the sums as they are. `options` may hold mean, sigma, fix_after_n_points, k, h, \
headstart, sided, after_signal and self_starting, with the meaning of the flags below.

Output: the same lines, each with its chart as `expected`: sums in standard deviations, signals, and `arl0`, how many values pass on average until a false signal. \
A record that can't be charted has {\"error\": \"code: message\"} there. A line that is no record is named on standard error, the others go on, and the exit code is 3.

Examples:
  qipp chart cusum series.jsonl | jq -c '[.id, .expected.arl0]'
  qipp chart cusum --csv --sided lower --fix-after 24 waits.csv
  qipp chart cusum --csv --self-starting new-service.csv";

#[derive(Debug, Args)]
#[command(after_help = CUSUM_HELP)]
pub(super) struct CusumArgs {
    #[command(flatten)]
    pub(super) input: Input,
    #[command(flatten)]
    scale: ScaleArgs,
    /// What each value has to exceed to count, in standard deviations: half of the shift that is looked for.
    #[arg(long, value_name = "K", requires = "csv", default_value_t = 0.5)]
    k: f64,
    /// The sum that is a signal, in standard deviations.
    #[arg(long, value_name = "H", requires = "csv", default_value_t = 5.0)]
    h: f64,
    /// The sum to begin with, in standard deviations: half of h for a fast initial response.
    #[arg(long, value_name = "SUM", requires = "csv", default_value_t = 0.0)]
    headstart: f64,
    /// Which shifts are watched for.
    #[arg(
        long,
        value_enum,
        value_name = "SIDE",
        requires = "csv",
        default_value = "two"
    )]
    sided: SidedArg,
    /// What follows a signal.
    #[arg(
        long,
        value_enum,
        value_name = "HOW",
        requires = "csv",
        default_value = "continue"
    )]
    after_signal: AfterArg,
    /// Measure each value by those before it: for a series without a past.
    #[arg(long, requires = "csv", conflicts_with_all = ["mean", "sigma", "fix_after"])]
    self_starting: bool,
}

impl CusumArgs {
    pub(super) fn options(&self) -> Result<CusumOptions, ParameterError> {
        Ok(CusumOptions {
            scale: self.scale.options(),
            design: CusumDesign::new(self.k, self.h)?
                .with_headstart(self.headstart)?
                .with_sides(match self.sided {
                    SidedArg::Two => Sides::Both,
                    SidedArg::Upper => Sides::Upper,
                    SidedArg::Lower => Sides::Lower,
                }),
            after_signal: self.after_signal.to_spc(),
            self_starting: self.self_starting,
        })
    }
}

const EWMA_HELP: &str = "\
Input: chart records, one JSON object a line:

  {\"id\": \"x\", \"options\": {\"lambda\": 0.1, \"L\": 2.7}, \"dates\": [\"2010-04-01\", …], \"values\": [91.5, …]}

`dates` and `values` are required; a missing value is null, and leaves the average as it is. `options` may hold mean, sigma, fix_after_n_points, lambda, L, \
limits (fix, or vacl for time-varying ones) and after_signal, with the meaning of the flags below.

Output: the same lines, each with its chart as `expected`: the average and its limits in the units of the series, signals, and `arl0`, how many values pass on average until a false signal. \
A record that can't be charted has {\"error\": \"code: message\"} there. A line that is no record is named on standard error, the others go on, and the exit code is 3.

Examples:
  qipp chart ewma series.jsonl > charts.jsonl
  qipp chart ewma --csv --limits vacl --mean 90 --sigma 2 waits.csv";

#[derive(Debug, Args)]
#[command(after_help = EWMA_HELP)]
pub(super) struct EwmaArgs {
    #[command(flatten)]
    pub(super) input: Input,
    #[command(flatten)]
    scale: ScaleArgs,
    /// The weight of the newest value, from 0.01 to 1.
    #[arg(long, value_name = "WEIGHT", requires = "csv", default_value_t = 0.2)]
    lambda: f64,
    /// The distance of the limits, in standard deviations of the average.
    #[arg(long, value_name = "L", requires = "csv", default_value_t = 2.86)]
    width: f64,
    /// Limits of a long series from the beginning, or the exact ones of each value.
    #[arg(
        long,
        value_enum,
        value_name = "KIND",
        requires = "csv",
        default_value = "fix"
    )]
    limits: LimitsArg,
    /// What follows a signal.
    #[arg(
        long,
        value_enum,
        value_name = "HOW",
        requires = "csv",
        default_value = "continue"
    )]
    after_signal: AfterArg,
}

impl EwmaArgs {
    pub(super) fn options(&self) -> Result<EwmaOptions, ParameterError> {
        let limits = match self.limits {
            LimitsArg::Fix => EwmaLimits::Fixed,
            LimitsArg::Vacl => EwmaLimits::TimeVarying,
        };
        Ok(EwmaOptions {
            scale: self.scale.options(),
            design: EwmaDesign::new(self.lambda, self.width, limits)?,
            after_signal: self.after_signal.to_spc(),
        })
    }
}

/// What a series is measured by. What is not given is estimated.
#[derive(Debug, Args)]
struct ScaleArgs {
    /// The mean as long as nothing has changed, in the units of the series.
    #[arg(
        long,
        value_name = "NUMBER",
        requires = "csv",
        allow_negative_numbers = true
    )]
    mean: Option<f64>,
    /// The standard deviation as long as nothing has changed.
    #[arg(long, value_name = "NUMBER", requires = "csv")]
    sigma: Option<f64>,
    /// Estimate mean and standard deviation from the first so many rows only.
    #[arg(long, value_name = "N", requires = "csv")]
    fix_after: Option<usize>,
}

impl ScaleArgs {
    const fn options(&self) -> ScaleOptions {
        ScaleOptions {
            mean: self.mean,
            sigma: self.sigma,
            fix_after_n_points: self.fix_after,
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum SidedArg {
    /// Up and down.
    Two,
    /// Up only.
    Upper,
    /// Down only.
    Lower,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum AfterArg {
    /// Goes on, and signals until the evidence is gone.
    Continue,
    /// Starts again: the cause was found and removed.
    Restart,
}

impl AfterArg {
    const fn to_spc(self) -> AfterSignal {
        match self {
            Self::Continue => AfterSignal::Continue,
            Self::Restart => AfterSignal::Restart,
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LimitsArg {
    /// Those of a long series.
    Fix,
    /// Time-varying, the exact ones of each value.
    Vacl,
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    enum Verb {
        Cusum(CusumArgs),
        Ewma(EwmaArgs),
    }

    fn parse(line: &str) -> Verb {
        Verb::try_parse_from(line.split(' ')).unwrap()
    }

    #[test]
    fn flags_that_are_not_given_are_what_records_have_by_default() {
        let Verb::Cusum(cusum) = parse("chart cusum --csv waits.csv") else {
            panic!("it is a CUSUM")
        };
        assert_eq!(cusum.options(), Ok(CusumOptions::default()));
        let Verb::Ewma(ewma) = parse("chart ewma --csv waits.csv") else {
            panic!("it is an EWMA")
        };
        assert_eq!(ewma.options(), Ok(EwmaOptions::default()));
    }

    #[test]
    fn what_is_outside_its_domain_is_refused_by_name() {
        let Verb::Cusum(cusum) = parse("chart cusum --csv --h 900 waits.csv") else {
            panic!("it is a CUSUM")
        };
        let refused = cusum.options().unwrap_err().to_string();
        assert!(refused.contains("h is 900"), "{refused}");
        let own = "chart cusum --csv --self-starting --mean 4 waits.csv";
        assert!(Verb::try_parse_from(own.split(' ')).is_err());
    }
}
