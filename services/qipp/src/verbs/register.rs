//! `qipp register`: reference data from files, in batches, parents first.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use qipp_access::Role;
use qipp_api::files::{self as formats, MAX_FACTS_PER_CALL, RttTree};
use qipp_api::proto::events::v1::{ReferenceFact, Scheme};
use qipp_api::proto::intake::v1::{Decision, SubmitSchemeRequest};
use qipp_api::proto::registry::v1::{ListOrganisationsRequest, RecordFactsRequest};
use qipp_domain::OrgCode;

use crate::cli::Reach;
use crate::client::{Client, unreachable};
use crate::exit::{self, Failure, Outcome};
use crate::files;
use crate::verbs::submit::progress;

/// Record reference data and schemes from files. What is known already is left as it is, so running it again is harmless.
#[derive(Debug, Args)]
pub(crate) struct RegisterArgs {
    #[command(subcommand)]
    what: What,
    /// Check only: nothing is written.
    #[arg(long, global = true)]
    dry_run: bool,
    #[command(flatten)]
    reach: Reach,
}

#[derive(Debug, Subcommand)]
enum What {
    #[command(flatten)]
    Reference(ReferenceFile),
    /// Schemes of savings, a line of JSON each (qipp.events.v1.Scheme), with the key of somebody who submits.
    #[command(after_help = SCHEMES)]
    Schemes {
        /// File with lines of JSON, plain or gzipped.
        file: PathBuf,
    },
}

/// Reference facts, by the kind of their file.
#[derive(Debug, Subcommand)]
enum ReferenceFile {
    /// Marker catalogues (data/markers.csv and data/markers_supplementary.csv): one or more files.
    Markers {
        /// CSV files, plain or gzipped.
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// PCTs and SHAs of 2010 (data/org_pct_sha_2010.csv): organisations and the tree sha_2010.
    PctSha {
        /// CSV file.
        file: PathBuf,
    },
    /// Trusts with dates and regions (data/org_trusts.csv): organisations and the tree region7.
    Trusts {
        /// CSV file.
        file: PathBuf,
    },
    /// Who followed whom (data/org_succession.csv), among the organisations that are known.
    Succession {
        /// CSV file.
        file: PathBuf,
    },
    /// Organisations and tree of a published referral-to-treatment file, any year's.
    Rtt(RttArgs),
    /// Reference facts of any kind, a line of JSON each (qipp.events.v1.ReferenceFact): deadlines, obligations, communities, rule sets, …
    #[command(after_help = FACTS)]
    Facts {
        /// File with lines of JSON, plain or gzipped.
        file: PathBuf,
    },
}

const FACTS: &str = r#"Examples of lines (all fields: proto/qipp/events/v1/reference.proto):
  {"deadlineSet": {"dataset": "DATASET_QUALITY", "period": "2012-04", "due": "2012-05-18"}}
  {"obligationSet": {"orgCode": "RJ1", "dataset": "DATASET_SAVINGS", "from": "2012-04"}}"#;

const SCHEMES: &str = r#"Example of a line (all fields: proto/qipp/events/v1/returns.proto):
  {"orgCode": "RJ1", "schemeId": "THEATRES", "title": "Fewer cancelled lists", "category": "SCHEME_CATEGORY_CLINICAL_PRODUCTIVITY",
   "start": "2012-04", "plannedPence": ["12000000", "12500000"], "fullYearEffectPence": "150000000", "recurrent": true}
on one line. A scheme that is known already is amended; a line that is sent again changes nothing."#;

/// What an RTT file can't say about its tree.
#[derive(Debug, Args)]
pub(crate) struct RttArgs {
    /// CSV file, plain or gzipped.
    file: PathBuf,
    /// Name of the tree, for example rtt_2014.
    #[arg(long)]
    tree: String,
    /// What people call the tree.
    #[arg(long, default_value = "Referral to treatment")]
    title: String,
    /// Code of the organisation at the root.
    #[arg(long, default_value = "ENG")]
    root: String,
    /// Name of the organisation at the root.
    #[arg(long, default_value = "England")]
    root_name: String,
    /// Kind of the groups in the file's sha_code column: sha, region, area_team, … It is the level to roll up to.
    #[arg(long, default_value = "sha")]
    group_kind: String,
    /// Kind of the organisations in the file: pct, ccg, …
    #[arg(long, default_value = "pct")]
    org_kind: String,
}

pub(crate) async fn run(args: RegisterArgs) -> Outcome {
    let (what, (recorded, unchanged)) = match &args.what {
        What::Schemes { file } => ("schemes", schemes(&args, file).await?),
        What::Reference(from) => {
            let client = args.reach.client(Role::Operator)?;
            let facts = facts(from, &client, &args.reach.server).await?;
            let recorded = record(&client, &args.reach.server, facts, args.dry_run).await?;
            ("facts", recorded)
        }
    };
    let how = if args.dry_run {
        "Dry run, nothing was written"
    } else {
        "Registered"
    };
    if args.reach.json {
        println!(
            "{}",
            serde_json::json!({ "recorded": recorded, "unchanged": unchanged, "dryRun": args.dry_run })
        );
    } else {
        println!("{how}: {recorded} {what} recorded, {unchanged} known already.");
    }
    Ok(exit::OK)
}

async fn facts(
    from: &ReferenceFile,
    client: &Client,
    server: &str,
) -> Result<Vec<ReferenceFact>, Failure> {
    match from {
        ReferenceFile::Markers { files: paths } => {
            let contents: Vec<Vec<u8>> = paths
                .iter()
                .map(|path| files::read(path))
                .collect::<Result<_, _>>()?;
            let slices: Vec<&[u8]> = contents.iter().map(Vec::as_slice).collect();
            let named = paths.first().cloned().unwrap_or_default();
            formats::markers(&slices).map_err(|problems| files::faults(&named, problems))
        }
        ReferenceFile::PctSha { file } => {
            formats::pct_sha_2010(&files::read(file)?).map_err(|p| files::faults(file, p))
        }
        ReferenceFile::Trusts { file } => {
            let known = known_codes(client, server).await?;
            formats::trusts(&files::read(file)?, &known).map_err(|p| files::faults(file, p))
        }
        ReferenceFile::Succession { file } => {
            let known = known_codes(client, server).await?;
            formats::succession(&files::read(file)?, &known).map_err(|p| files::faults(file, p))
        }
        ReferenceFile::Rtt(rtt) => {
            let options = RttTree {
                tree: &rtt.tree,
                title: &rtt.title,
                root_code: &rtt.root,
                root_name: &rtt.root_name,
                group_kind: &rtt.group_kind,
                org_kind: &rtt.org_kind,
                group_names: &BTreeMap::new(),
            };
            formats::rtt_reference(&files::read(&rtt.file)?, &options)
                .map_err(|p| files::faults(&rtt.file, p))
        }
        ReferenceFile::Facts { file } => files::json_lines(file, "qipp.events.v1.ReferenceFact"),
    }
}

/// Submits the schemes of a file one by one, and says how many were new or amended and how many known.
async fn schemes(args: &RegisterArgs, file: &Path) -> Result<(u64, u64), Failure> {
    let schemes: Vec<Scheme> = files::json_lines(file, "qipp.events.v1.Scheme")?;
    let client = args.reach.client(Role::Submitter)?;
    let bar = progress(schemes.len(), "schemes");
    let (mut recorded, mut unchanged) = (0, 0);
    for scheme in schemes {
        let name = format!("{} {}", scheme.org_code, scheme.scheme_id);
        let request = SubmitSchemeRequest {
            scheme: Some(scheme),
            validate_only: args.dry_run,
        };
        let refused = |failure: Failure| Failure {
            error: failure.error.context(format!(
                "the scheme {name} was refused; {} before it stand",
                recorded + unchanged
            )),
            ..failure
        };
        let answer = client.intake().submit_scheme(request).await;
        let answer = answer.map_err(|status| refused(unreachable(&args.reach.server, &status)))?;
        let receipt = answer.into_inner().receipt.unwrap_or_default();
        match receipt.decision() {
            Decision::Accepted => recorded += 1,
            Decision::Repeat => unchanged += 1,
            Decision::Conflict | Decision::KeyReused | Decision::Unspecified => {
                let what = format!("its current revision is {}", receipt.revision);
                return Err(refused(Failure::new(exit::REFUSED, what)));
            }
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok((recorded, unchanged))
}

/// Every organisation that the service knows.
async fn known_codes(client: &Client, server: &str) -> Result<BTreeSet<OrgCode>, Failure> {
    let mut codes = BTreeSet::new();
    let mut request = ListOrganisationsRequest {
        page_size: 1000,
        ..ListOrganisationsRequest::default()
    };
    loop {
        let answer = client.registry().list_organisations(request.clone()).await;
        let answer = answer
            .map_err(|status| unreachable(server, &status))?
            .into_inner();
        codes.extend(
            answer
                .organisations
                .iter()
                .filter_map(|o| o.org_code.parse::<OrgCode>().ok()),
        );
        if answer.next_page_token.is_empty() {
            return Ok(codes);
        }
        request.page_token = answer.next_page_token;
    }
}

/// Records facts in batches and says how many were new and how many known.
///
/// # Errors
/// When a batch is refused; earlier batches stand, and running it again goes on.
pub(crate) async fn record(
    client: &Client,
    server: &str,
    facts: Vec<ReferenceFact>,
    validate_only: bool,
) -> Result<(u64, u64), Failure> {
    let bar = progress(facts.len(), "facts");
    let (mut recorded, mut unchanged) = (0, 0);
    for batch in facts.chunks(MAX_FACTS_PER_CALL) {
        let request = RecordFactsRequest {
            facts: batch.to_vec(),
            validate_only,
        };
        let answer = client.registry().record_facts(request).await;
        let answer = answer
            .map_err(|status| unreachable(server, &status))?
            .into_inner();
        recorded += u64::from(answer.recorded);
        unchanged += u64::from(answer.unchanged);
        bar.inc(batch.len() as u64);
    }
    bar.finish_and_clear();
    Ok((recorded, unchanged))
}
