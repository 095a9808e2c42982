//! `qipp keys`: makes keys. A key is shown once; only its hash is kept.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use jiff::Zoned;
use qipp_access::{Principal, Role};

use crate::exit::{self, Outcome};
use crate::keys;

/// Make keys.
#[derive(Debug, Args)]
pub(crate) struct KeysArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Make a key, add its hash to the file of principals, and print the key. `qipp serve` reads the file when it starts.
    New(NewArgs),
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum RoleArg {
    /// Submits returns for its organisations, and answers questions about them.
    Submitter,
    /// Reads everything below a node, asks and decides.
    Regional,
    /// Reads everything, asks and decides.
    National,
    /// Owns the reference data and looks after the service.
    Operator,
}

#[derive(Debug, Args)]
struct NewArgs {
    /// A name that people recognise; it stands in the log beside everything that is done with the key.
    #[arg(long)]
    name: String,
    /// What the key may do.
    #[arg(long, value_enum)]
    role: RoleArg,
    /// For these organisations (ODS codes).
    #[arg(long = "org", value_name = "CODE")]
    organisations: Vec<String>,
    /// For everything at and below a node of a tree: TREE/CODE, for example region7/Y60.
    #[arg(long, value_name = "TREE/CODE")]
    node: Option<String>,
    /// For the nation.
    #[arg(long)]
    nation: bool,
    /// Last day on which the key is valid, YYYY-MM-DD.
    #[arg(long, value_name = "DAY")]
    expires: Option<jiff::civil::Date>,
    /// Where `qipp serve` keeps its data: the file of principals is keys/principals.toml there.
    #[arg(long, env = "QIPP_DATA_DIR", default_value = "qipp-data")]
    data_dir: PathBuf,
    /// Another file of principals, as in the configuration of `qipp serve`.
    #[arg(long, value_name = "FILE")]
    principals: Option<PathBuf>,
}

pub(crate) fn run(args: KeysArgs) -> Outcome {
    let What::New(new) = args.what;
    let role = match new.role {
        RoleArg::Submitter => Role::Submitter,
        RoleArg::Regional => Role::Regional,
        RoleArg::National => Role::National,
        RoleArg::Operator => Role::Operator,
    };
    let scope =
        keys::scope(&new.organisations, new.node.as_deref(), new.nation).map_err(|error| {
            exit::Failure {
                code: exit::USAGE,
                error,
            }
        })?;
    if let Some(day) = new.expires.filter(|day| *day < Zoned::now().date()) {
        let what =
            format!("--expires {day} is over: the key would let nobody in; give a day to come");
        return Err(exit::Failure::new(exit::USAGE, what));
    }
    let local = new.data_dir.join("keys");
    let principals = new
        .principals
        .unwrap_or_else(|| local.join("principals.toml"));
    if principals.starts_with(&local) && !principals.exists() {
        // As at the first start of `qipp serve`, so that a key made beforehand does not keep the local ones from being made.
        keys::make_local(&local)?;
    }
    let key = keys::add(
        &principals,
        Principal {
            name: new.name,
            role,
            scope,
        },
        new.expires,
    )?;
    println!("{key}");
    eprintln!(
        "Its hash was added to {}. Start `qipp serve` anew to let it in. The key is not shown again.",
        principals.display()
    );
    Ok(exit::OK)
}
