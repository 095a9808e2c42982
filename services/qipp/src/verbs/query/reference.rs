//! Reference data: organisations, trees, markers and deadlines.

use clap::Args;
use jiff::civil::Date;
use qipp_api::proto::events::v1::{Dataset, MarkerDefined};
use qipp_api::proto::registry::v1::{
    GetOrganisationRequest, GetOrganisationResponse, ListDeadlinesRequest, ListMarkersRequest,
    ListOrganisationsRequest, ListTreeNodesRequest, ListTreesRequest, Organisation,
};
use qipp_domain::{OrgCode, Period, Slug};

use super::{Asker, PAGE, text};
use crate::exit::Failure;
use crate::output::{Table, line, plain, word};

/// Arguments of `qipp query organisations`.
#[derive(Debug, Args)]
pub(crate) struct OrganisationsArgs {
    /// Only this kind: trust, pct, sha, region, …
    #[arg(long)]
    kind: Option<Slug>,
}

pub(super) async fn organisations(asker: &Asker, args: OrganisationsArgs) -> Result<(), Failure> {
    let ask = async |page_token| {
        let request = ListOrganisationsRequest {
            read: asker.read.clone(),
            kind: text(args.kind),
            page_size: PAGE,
            page_token,
        };
        asker.client.registry().list_organisations(request).await
    };
    let Some(pages) = asker.pages(ask).await? else {
        return Ok(());
    };
    let mut table = Table::new(&["code", "kind", "name", "opened", "closed"]);
    for organisation in pages.iter().flat_map(|page| &page.organisations) {
        table.row(organisation_row(organisation));
    }
    table.show()
}

fn organisation_row(organisation: &Organisation) -> Vec<String> {
    let Organisation {
        org_code,
        name,
        kind,
        opened,
        closed,
    } = organisation.clone();
    vec![org_code, kind, name, opened, closed]
}

/// Arguments of `qipp query organisation`.
#[derive(Debug, Args)]
pub(crate) struct OrganisationArgs {
    /// ODS code.
    code: OrgCode,
}

pub(super) async fn organisation(asker: &Asker, args: OrganisationArgs) -> Result<(), Failure> {
    let request = GetOrganisationRequest {
        read: asker.read.clone(),
        org_code: args.code.to_string(),
    };
    let answer = asker.client.registry().get_organisation(request).await;
    let Some(answer) = asker.answer(answer)? else {
        return Ok(());
    };
    for text in organisation_lines(&answer) {
        line(&plain(&text))?;
    }
    Ok(())
}

fn organisation_lines(answer: &GetOrganisationResponse) -> Vec<String> {
    let Organisation {
        org_code,
        name,
        kind,
        opened,
        closed,
    } = answer.organisation.clone().unwrap_or_default();
    let since = |day: &str, what: &str| {
        if day.is_empty() {
            String::new()
        } else {
            format!(", {what} {day}")
        }
    };
    let mut lines = vec![format!(
        "{org_code} {name} ({kind}{}{})",
        since(&opened, "opened"),
        since(&closed, "closed")
    )];
    lines.extend(
        answer
            .successors
            .iter()
            .map(|s| format!("  followed by {} on {}", s.successor_code, s.date)),
    );
    lines.extend(
        answer
            .predecessors
            .iter()
            .map(|s| format!("  follows {} since {}", s.org_code, s.date)),
    );
    lines.extend(answer.edges.iter().map(|edge| {
        let (from, until) = (&edge.valid_from, since(&edge.valid_until, "until"));
        format!(
            "  in {}: below {} from {from}{until}",
            edge.tree, edge.parent_code
        )
    }));
    lines.extend(answer.obligations.iter().map(|owed| {
        let dataset = Dataset::try_from(owed.dataset).unwrap_or_default();
        format!(
            "  owes {} from {}{}",
            word(dataset.as_str_name(), "DATASET_"),
            owed.from,
            since(&owed.until, "until")
        )
    }));
    lines
}

pub(super) async fn trees(asker: &Asker) -> Result<(), Failure> {
    let answer = asker
        .client
        .registry()
        .list_trees(ListTreesRequest {
            read: asker.read.clone(),
        })
        .await;
    let Some(answer) = asker.answer(answer)? else {
        return Ok(());
    };
    let mut table = Table::new(&["tree", "root", "title"]);
    for tree in answer.trees {
        table.row(vec![tree.tree, tree.root_code, tree.title]);
    }
    table.show()
}

/// Arguments of `qipp query nodes`.
#[derive(Debug, Args)]
pub(crate) struct NodesArgs {
    /// The tree (`qipp query trees` lists them).
    tree: Slug,
    /// As it stood on this day, YYYY-MM-DD. Without it: today.
    #[arg(long, value_name = "DAY")]
    as_of: Option<Date>,
}

pub(super) async fn nodes(asker: &Asker, args: NodesArgs) -> Result<(), Failure> {
    let ask = async |page_token| {
        let request = ListTreeNodesRequest {
            read: asker.read.clone(),
            tree: args.tree.to_string(),
            as_of: text(args.as_of),
            page_size: PAGE,
            page_token,
        };
        asker.client.registry().list_tree_nodes(request).await
    };
    let Some(pages) = asker.pages(ask).await? else {
        return Ok(());
    };
    let mut table = Table::new(&["code", "kind", "name", "opened", "closed", "below"]);
    for node in pages.iter().flat_map(|page| &page.nodes) {
        let mut row = organisation_row(&node.organisation.clone().unwrap_or_default());
        row.push(if node.parent_code.is_empty() {
            "(root)".to_owned()
        } else {
            node.parent_code.clone()
        });
        table.row(row);
    }
    table.show()
}

pub(super) async fn markers(asker: &Asker) -> Result<(), Failure> {
    let ask = async |page_token| {
        let request = ListMarkersRequest {
            read: asker.read.clone(),
            page_size: PAGE,
            page_token,
        };
        asker.client.registry().list_markers(request).await
    };
    let Some(pages) = asker.pages(ask).await? else {
        return Ok(());
    };
    let mut table = Table::new(&[
        "marker", ">version", "domain", "role", "better", "adds up", "unit", "from", "until",
        "standard", "name",
    ]);
    for marker in pages.iter().flat_map(|page| &page.markers) {
        table.row(marker_row(marker));
    }
    table.show()
}

fn marker_row(marker: &MarkerDefined) -> Vec<String> {
    vec![
        marker.marker.clone(),
        marker.definition_version.to_string(),
        marker.domain.clone(),
        marker.trigger_role.clone(),
        word(marker.polarity().as_str_name(), "POLARITY_").replace("_is_better", ""),
        word(marker.roll_up().as_str_name(), "ROLL_UP_"),
        marker.unit.clone(),
        marker.valid_from.clone(),
        marker.valid_until.clone(),
        marker.standard.clone(),
        marker.name.clone(),
    ]
}

/// Arguments of `qipp query deadlines`.
#[derive(Debug, Args)]
pub(crate) struct DeadlinesArgs {
    /// First month, YYYY-MM.
    #[arg(long)]
    from: Option<Period>,
    /// Last month, YYYY-MM.
    #[arg(long)]
    to: Option<Period>,
}

pub(super) async fn deadlines(asker: &Asker, args: DeadlinesArgs) -> Result<(), Failure> {
    let request = ListDeadlinesRequest {
        read: asker.read.clone(),
        from: text(args.from),
        to: text(args.to),
    };
    let answer = asker.client.registry().list_deadlines(request).await;
    let Some(answer) = asker.answer(answer)? else {
        return Ok(());
    };
    let mut table = Table::new(&["month", "dataset", "due"]);
    for deadline in answer.deadlines {
        table.row(vec![
            deadline.period.clone(),
            word(deadline.dataset().as_str_name(), "DATASET_"),
            deadline.due,
        ]);
    }
    table.show()
}
