//! Roll-ups: as a table, as JSON, or in the layout of the published waiting-time tables.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use jiff::civil::Date;
use qipp_api::files::{RollUpLevel, rtt_rollup_csv, rtt_treatment_functions};
use qipp_api::proto::events::v1::known_at::Moment;
use qipp_api::proto::events::v1::{KnownAt, ReadOptions};
use qipp_api::proto::projections::v1::{
    ListRollUpsRequest, ListRollUpsResponse, RollUpCell, Structure,
};
use qipp_domain::{MarkerCode, Period, Slug};

use super::{Asker, PAGE, came_from, figure, parts, text};
use crate::exit::{Failure, USAGE};
use crate::files;
use crate::output::{Table, simulated, write};

const EXAMPLES: &str = "\
Examples:
  qipp query rollup sha_2010 sha --marker RTT_INC --from 2010-05
  qipp query rollup region7 nation --marker AE_4H --as-it-is 2013-04-01
  qipp query rollup sha_2010 nation,sha --rtt-csv > rollups.csv";

/// Arguments of `qipp query rollup`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct RollUpArgs {
    /// The tree (`qipp query trees` lists them).
    tree: Slug,
    /// Kind of the organisations to roll up to: nation, sha, region, … Several with commas between; all are answered at one cut.
    #[arg(required = true, value_delimiter = ',', value_name = "LEVEL")]
    levels: Vec<Slug>,
    /// One marker. Without it: all.
    #[arg(long)]
    marker: Option<MarkerCode>,
    /// A part (tfc:100), or * for the whole and every part. Without it: the whole.
    #[arg(
        long,
        value_name = "PART",
        default_value = "",
        hide_default_value = true
    )]
    breakdown: String,
    /// First month, YYYY-MM.
    #[arg(long, value_name = "MONTH")]
    from: Option<Period>,
    /// Last month, YYYY-MM.
    #[arg(long, value_name = "MONTH")]
    to: Option<Period>,
    /// All months under the tree of this day (without a day: today); what was merged counts for its successor. Without it: each month
    /// under the tree that held then.
    #[arg(long, value_name = "DAY", num_args = 0..=1)]
    #[allow(
        clippy::option_option,
        reason = "clap's form of an option whose value may be left out"
    )]
    as_it_is: Option<Option<Date>>,
    /// Name every return that each figure came from.
    #[arg(long)]
    sources: bool,
    /// Print the layout of the published waiting-time roll-ups, whole and parts. `qipp verify --published` reads the published file.
    #[arg(long)]
    rtt_csv: bool,
    /// With --rtt-csv: a waiting-time file (plain or gzipped) that has the names of the treatment functions.
    #[arg(long, value_name = "FILE", requires = "rtt_csv")]
    names: Option<PathBuf>,
}

pub(super) async fn roll_up(asker: &Asker, args: RollUpArgs) -> Result<(), Failure> {
    if args.rtt_csv && asker.json {
        return Err(Failure::new(
            USAGE,
            "--rtt-csv and --json are two layouts: choose one",
        ));
    }
    let names = args
        .names
        .as_deref()
        .map(treatment_functions)
        .transpose()?
        .unwrap_or_default();
    let mut read = asker.read.clone();
    let mut levels: Vec<(Slug, Vec<RollUpCell>)> = Vec::new();
    for level in &args.levels {
        let Some(pages) = pages(asker, &args, *level, read.clone()).await? else {
            continue;
        };
        // Further levels are read at the cut of the first, so that they add up to each other.
        if read.is_none() {
            let cut = pages.first().and_then(|page| page.cut.clone());
            let known_at = cut.map(|cut| KnownAt {
                moment: Some(Moment::Cut(cut)),
            });
            read = Some(ReadOptions {
                min_cut: None,
                known_at,
            });
        }
        levels.push((
            *level,
            pages.into_iter().flat_map(|page| page.cells).collect(),
        ));
    }
    if asker.json {
        return Ok(());
    }
    if args.rtt_csv {
        write(&as_published(&levels, &names))
    } else {
        table(&args, &levels).show()
    }
}

async fn pages(
    asker: &Asker,
    args: &RollUpArgs,
    level: Slug,
    read: Option<ReadOptions>,
) -> Result<Option<Vec<ListRollUpsResponse>>, Failure> {
    let structure = if args.as_it_is.is_some() {
        Structure::AsItIs
    } else {
        Structure::AsItWas
    };
    let request = ListRollUpsRequest {
        read,
        tree: args.tree.to_string(),
        level: level.to_string(),
        marker: text(args.marker),
        breakdown: if args.rtt_csv && args.breakdown.is_empty() {
            "*".to_owned()
        } else {
            args.breakdown.clone()
        },
        from: text(args.from),
        to: text(args.to),
        structure: structure.into(),
        structure_date: text(args.as_it_is.flatten()),
        include_sources: args.sources,
        page_size: PAGE,
        page_token: String::new(),
    };
    let ask = async |page_token| {
        let request = ListRollUpsRequest {
            page_token,
            ..request.clone()
        };
        asker.client.projections().list_roll_ups(request).await
    };
    asker.pages(ask).await
}

fn treatment_functions(path: &Path) -> Result<BTreeMap<String, String>, Failure> {
    rtt_treatment_functions(&files::read(path)?).map_err(|problems| files::faults(path, problems))
}

fn as_published(levels: &[(Slug, Vec<RollUpCell>)], names: &BTreeMap<String, String>) -> String {
    let level = |(level, cells): &'_ (Slug, Vec<RollUpCell>)| (level.to_string(), cells.clone());
    let held: Vec<(String, Vec<RollUpCell>)> = levels.iter().map(level).collect();
    let levels: Vec<RollUpLevel<'_>> = held
        .iter()
        .map(|(level, cells)| RollUpLevel { level, cells })
        .collect();
    rtt_rollup_csv(&levels, names)
}

fn table(args: &RollUpArgs, levels: &[(Slug, Vec<RollUpCell>)]) -> Table {
    let mut header = vec![
        "month",
        "level",
        "group",
        "name",
        "marker",
        "part",
        ">value",
        ">numerator",
        ">denominator",
        ">with figure",
        ">without",
        "simulated",
    ];
    if args.sources {
        header.push("from");
    }
    let mut table = Table::new(&header);
    for (level, cells) in levels {
        for cell in cells {
            let mut row = cell_row(*level, cell);
            if args.sources {
                row.push(came_from(&cell.sources));
            }
            table.row(row);
        }
    }
    table
}

fn cell_row(level: Slug, cell: &RollUpCell) -> Vec<String> {
    let (value, (numerator, denominator)) = match &cell.measured {
        Some(measured) => (figure(cell.value_of_parts, measured), parts(measured)),
        None if cell.organisations > 0 => ("does not add up".to_owned(), Default::default()),
        None => ("none has a figure".to_owned(), Default::default()),
    };
    let group = if cell.group_code.is_empty() {
        "(none above)".to_owned()
    } else {
        cell.group_code.clone()
    };
    vec![
        cell.period.clone(),
        level.to_string(),
        group,
        cell.group_name.clone(),
        cell.marker.clone(),
        cell.breakdown.clone(),
        value,
        numerator,
        denominator,
        cell.organisations.to_string(),
        cell.organisations_missing.to_string(),
        simulated(cell.simulated),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_without_a_figure_says_why_and_shows_no_zero() {
        let cell = RollUpCell {
            organisations_missing: 3,
            ..RollUpCell::default()
        };
        assert_eq!(
            cell_row("sha".parse().unwrap(), &cell)[6..9],
            ["none has a figure", "", ""]
        );
        let median = RollUpCell {
            organisations: 2,
            ..RollUpCell::default()
        };
        assert_eq!(
            cell_row("sha".parse().unwrap(), &median)[6],
            "does not add up"
        );
    }
}
