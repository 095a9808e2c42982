//! Joint decisions: who is on the list of a month, in which tier, and how many are expected to be there falsely.

use clap::Args;
use qipp_api::proto::alerts::v1::ListAssessmentsRequest;
use qipp_api::proto::events::v1::AssessmentPublished;
use qipp_domain::{Period, Slug};

use super::{Asker, text};
use crate::exit::Failure;
use crate::output::{Table, line, simulated};

/// Arguments of `qipp query lists`.
#[derive(Debug, Args)]
#[command(
    after_help = "Every organisation of a kind is held against all others of the same month, and the list is as long as a stated share of false \
                  entries allows: tier `alert` by default 10%, `watch` 20%; `confirmed` was on the list of the month before, too. The order is that \
                  of the codes: nobody is ranked.\n\nExample: qipp query lists --kind trust --from 2013-01"
)]
pub(crate) struct ListsArgs {
    /// Only of this kind of organisations.
    #[arg(long, value_name = "KIND")]
    kind: Option<Slug>,
    /// First month, YYYY-MM.
    #[arg(long, value_name = "MONTH")]
    from: Option<Period>,
    /// Last month, YYYY-MM.
    #[arg(long, value_name = "MONTH")]
    to: Option<Period>,
}

pub(super) async fn lists(asker: &Asker, args: ListsArgs) -> Result<(), Failure> {
    let request = ListAssessmentsRequest {
        read: asker.read.clone(),
        peer_group: text(args.kind),
        from: text(args.from),
        to: text(args.to),
    };
    let answer = asker.client.alerts().list_assessments(request).await;
    let Some(answer) = asker.answer(answer)? else {
        return Ok(());
    };
    let header = [
        "month",
        "peers",
        "tier",
        "organisation",
        ">chance of being false",
        "domain",
        "since about",
        "markers",
        "simulated",
    ];
    let mut table = Table::new(&header);
    for decided in &answer.assessments {
        for entry in &decided.watched {
            table.row(vec![
                decided.period.clone(),
                decided.peer_group.clone(),
                entry.tier.clone(),
                entry.org_code.clone(),
                format!("{:.0}%", 100.0 * entry.chance_false),
                entry.domain.clone(),
                entry.since.clone(),
                entry.markers.join(", "),
                simulated(decided.simulated),
            ]);
        }
    }
    table.show()?;
    answer.assessments.iter().try_for_each(of_month)
}

fn of_month(decided: &AssessmentPublished) -> Result<(), Failure> {
    line(&format!(
        "{} {}: {} organisations could be judged; expected to be false: {:.1} of those in tiers alert and confirmed, {:.1} of the whole list.",
        decided.period,
        decided.peer_group,
        decided.assessed,
        decided.expected_false,
        decided.expected_false_watched
    ))?;
    for change in &decided.national {
        let way = if change.jump > 0.0 { "worse" } else { "better" };
        line(&format!(
            "  {} moved for all at once, for the {way}: a national question.",
            change.marker
        ))?;
    }
    Ok(())
}
