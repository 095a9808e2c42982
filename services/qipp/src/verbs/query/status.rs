//! How the service stands: what is folded, what is durable, what is parked.

use clap::Args;
use qipp_api::proto::events::v1::Cut;
use qipp_api::proto::projections::v1::{GetStatusRequest, GetStatusResponse};

use super::Asker;
use crate::exit::Failure;
use crate::output::{Table, line, plain};

/// Arguments of `qipp query status`.
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// Compute the digest of the whole state (takes a while): two services that say the same have the same.
    #[arg(long)]
    digest: bool,
}

pub(super) async fn status(asker: &Asker, args: StatusArgs) -> Result<(), Failure> {
    let request = GetStatusRequest {
        read: asker.read.clone(),
        digest: args.digest,
    };
    let answer = asker.client.projections().get_status(request).await;
    let Some(status) = asker.answer(answer)? else {
        return Ok(());
    };
    line(&standing(&status))?;
    let span = match (status.first_period.as_str(), status.last_period.as_str()) {
        ("", _) => "no returns yet".to_owned(),
        (first, last) => format!("{first} to {last}"),
    };
    let rows = [
        ("months", span),
        ("organisations", status.organisations.to_string()),
        ("returns", status.returns.to_string()),
        ("revisions", status.revisions.to_string()),
        ("values", status.values.to_string()),
        ("schemes", status.schemes.to_string()),
        ("national values", status.benchmarks.to_string()),
        ("alerts", status.alerts.to_string()),
    ];
    for (name, count) in rows {
        line(&format!("  {name:<16}{count}"))?;
    }
    if !status.digest.is_empty() {
        line(&format!("  {:<16}{}", "digest", status.digest))?;
    }
    shards(&status)?;
    parked(&status)
}

/// How each shard stands, where the nation is split.
fn shards(status: &GetStatusResponse) -> Result<(), Failure> {
    if !status.shard.is_empty() {
        line(&format!("  {:<16}{}", "shard", status.shard))?;
    }
    if status.shards.is_empty() {
        return Ok(());
    }
    line("")?;
    let mut table = Table::new(&["shard", "standing", "digest"]);
    for shard in &status.shards {
        let standing = match shard.away {
            true => "away: none of its processes can be reached".to_owned(),
            false => behind(shard.cut.as_ref(), shard.head.as_ref()),
        };
        table.row(vec![shard.shard.clone(), standing, shard.digest.clone()]);
    }
    table.show()
}

/// How far the fold is behind the log.
fn standing(status: &GetStatusResponse) -> String {
    behind(status.cut.as_ref(), status.head.as_ref())
}

fn behind(cut: Option<&Cut>, head: Option<&Cut>) -> String {
    let (cut, head) = (
        cut.cloned().unwrap_or_default(),
        head.cloned().unwrap_or_default(),
    );
    let behind: u64 = head
        .next
        .iter()
        .map(|end| end.offset.saturating_sub(folded(&cut, end)))
        .sum();
    if behind == 0 {
        return "Everything in the log is folded.".to_owned();
    }
    format!(
        "The fold is {behind} offsets behind the log: it is catching up, or an earlier cut was asked for."
    )
}

fn folded(cut: &Cut, end: &qipp_api::proto::events::v1::Position) -> u64 {
    let held = cut
        .next
        .iter()
        .find(|place| place.topic == end.topic && place.partition == end.partition);
    held.map_or(0, |place| place.offset)
}

fn parked(status: &GetStatusResponse) -> Result<(), Failure> {
    if status.parked.is_empty() {
        return Ok(());
    }
    line(
        "\nParked: a fact could not be digested, and later facts of the same key are kept out. Everything else goes on.",
    )?;
    let mut table = Table::new(&["key", "topic", ">partition", ">offset", "why"]);
    for parked in &status.parked {
        let position = parked.position.clone().unwrap_or_default();
        table.row(vec![
            parked.key.clone(),
            position.topic,
            position.partition.to_string(),
            position.offset.to_string(),
            plain(&parked.reason),
        ]);
    }
    table.show()
}
