//! Series, savings and schemes of an organisation.

use clap::Args;
use qipp_api::proto::events::v1::{Missing, SchemeCategory};
use qipp_api::proto::projections::v1::point::Value;
use qipp_api::proto::projections::v1::{
    GetSavingsPositionRequest, GetSeriesRequest, ListSchemesRequest, Point, SavingsPosition,
    SchemeStanding, Structure,
};
use qipp_domain::{Breakdown, MarkerCode, OrgCode, Period, Slug};

use super::{Asker, PAGE, came_from, figure, parts, text};
use crate::exit::Failure;
use crate::output::{Table, line, percent, pounds, simulated, word};

/// Arguments of `qipp query series`.
#[derive(Debug, Args)]
#[command(after_help = "Example: qipp query series RJ1 AE_4H --from 2011-04 --to 2012-03")]
pub(crate) struct SeriesArgs {
    /// ODS code of the organisation.
    org: OrgCode,
    /// The marker, for example AE_4H (`qipp query markers` lists them).
    marker: MarkerCode,
    /// A part of the marker, for example tfc:100. Without it: the whole.
    #[arg(long, value_name = "PART")]
    breakdown: Option<Breakdown>,
    /// First month, YYYY-MM. Without it: that of the first return.
    #[arg(long, value_name = "MONTH")]
    from: Option<Period>,
    /// Last month, YYYY-MM. Without it: that of the last return.
    #[arg(long, value_name = "MONTH")]
    to: Option<Period>,
    /// Add what was merged into the organisation.
    #[arg(long)]
    as_it_is: bool,
}

pub(super) async fn series(asker: &Asker, args: SeriesArgs) -> Result<(), Failure> {
    let structure = if args.as_it_is {
        Structure::AsItIs
    } else {
        Structure::AsItWas
    };
    let request = GetSeriesRequest {
        read: asker.read.clone(),
        org_code: args.org.to_string(),
        marker: args.marker.to_string(),
        breakdown: text(args.breakdown),
        from: text(args.from),
        to: text(args.to),
        structure: structure.into(),
    };
    let answer = asker.client.projections().get_series(request).await;
    let Some(series) = asker.answer(answer)? else {
        return Ok(());
    };
    let mut table = Table::new(&[
        "month",
        ">value",
        ">numerator",
        ">denominator",
        "status",
        "definition",
        "simulated",
        "from",
    ]);
    for point in &series.points {
        table.row(point_row(point));
    }
    table.show()
}

fn point_row(point: &Point) -> Vec<String> {
    let (value, (numerator, denominator)) = match &point.value {
        Some(Value::Measured(measured)) => {
            (figure(point.value_of_parts, measured), parts(measured))
        }
        Some(Value::Missing(reason)) => (missing(*reason), Default::default()),
        None => ("unknown".to_owned(), Default::default()),
    };
    let version = point.definition_version;
    let (status, definition) = if point.sources.is_empty() {
        (String::new(), String::new())
    } else {
        (
            word(point.status().as_str_name(), "RETURN_STATUS_"),
            format!("v{version}"),
        )
    };
    let from = came_from(&point.sources);
    vec![
        point.period.clone(),
        value,
        numerator,
        denominator,
        status,
        definition,
        simulated(point.simulated),
        from,
    ]
}

/// The reason why there is no figure.
fn missing(reason: i32) -> String {
    let reason = Missing::try_from(reason).unwrap_or_default();
    word(reason.as_str_name(), "MISSING_").replace('_', " ")
}

/// Arguments of `qipp query savings`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  qipp query savings RJ1 2012-03\n  qipp query savings Y54 2012-03 --tree region7"
)]
pub(crate) struct SavingsArgs {
    /// ODS code of the organisation; with --tree, of the node.
    org: OrgCode,
    /// Last month of the year to date, YYYY-MM.
    period: Period,
    /// Sum over everything at and below the organisation in this tree.
    #[arg(long)]
    tree: Option<Slug>,
}

pub(super) async fn savings(asker: &Asker, args: SavingsArgs) -> Result<(), Failure> {
    let request = GetSavingsPositionRequest {
        read: asker.read.clone(),
        period: args.period.to_string(),
        org_code: args.org.to_string(),
        tree: text(args.tree),
    };
    let answer = asker
        .client
        .projections()
        .get_savings_position(request)
        .await;
    let Some(answer) = asker.answer(answer)? else {
        return Ok(());
    };
    let position = answer.position.unwrap_or_default();
    show_position(&args, &position)?;
    if position.schemes.is_empty() {
        Ok(())
    } else {
        show_schemes(&position)
    }
}

fn show_position(args: &SavingsArgs, position: &SavingsPosition) -> Result<(), Failure> {
    let mark = if position.simulated {
        " (with simulated figures)"
    } else {
        ""
    };
    line(&format!(
        "Savings of {} in {}{mark}\n",
        args.org, position.period
    ))?;
    let mut table = Table::new(&["", ">month", ">year to date", ">whole year"]);
    let row = |name: &str, month, to_date, year| {
        vec![name.to_owned(), pounds(month), pounds(to_date), year]
    };
    table.row(row(
        "planned",
        position.plan_month_pence,
        position.plan_ytd_pence,
        pounds(position.plan_year_pence),
    ));
    table.row(row(
        "delivered",
        position.actual_month_pence,
        position.actual_ytd_pence,
        String::new(),
    ));
    let forecast = vec![
        "forecast".to_owned(),
        String::new(),
        String::new(),
        pounds(position.forecast_pence),
    ];
    table.row(forecast);
    table.show()?;
    line(&format!(
        "\nDelivered of planned, year to date: {}. Recurrent, of the month: {}.",
        percent(position.delivery_ratio),
        percent(position.recurrent_share)
    ))?;
    if args.tree.is_some() {
        line(&format!(
            "Sum of {} organisations; {} of them state what they delivered to date.",
            position.organisations, position.organisations_with_actual_ytd
        ))?;
    }
    if !position.missing_org_codes.is_empty() {
        line(&format!(
            "Owed for the month and not there: {}.",
            position.missing_org_codes.join(", ")
        ))?;
    }
    line("– means that a month which the figure needs is missing: missing is never zero.")
}

fn show_schemes(position: &SavingsPosition) -> Result<(), Failure> {
    line("")?;
    let mut table = Table::new(&[
        "scheme",
        ">planned",
        ">delivered",
        ">recurrent",
        ">planned to date",
        ">delivered to date",
        ">forecast",
    ]);
    for scheme in &position.schemes {
        table.row(vec![
            scheme.scheme_id.clone(),
            pounds(scheme.plan_month_pence),
            pounds(scheme.actual_month_pence),
            pounds(scheme.recurrent_pence),
            pounds(scheme.plan_ytd_pence),
            pounds(scheme.actual_ytd_pence),
            pounds(scheme.forecast_pence),
        ]);
    }
    table.show()
}

/// Arguments of `qipp query schemes`.
#[derive(Debug, Args)]
pub(crate) struct SchemesArgs {
    /// ODS code of the organisation.
    org: OrgCode,
}

pub(super) async fn schemes(asker: &Asker, args: SchemesArgs) -> Result<(), Failure> {
    let request = ListSchemesRequest {
        read: asker.read.clone(),
        org_code: args.org.to_string(),
        page_size: PAGE,
        page_token: String::new(),
    };
    let ask = async |page_token| {
        let request = ListSchemesRequest {
            page_token,
            ..request.clone()
        };
        asker.client.projections().list_schemes(request).await
    };
    let Some(pages) = asker.pages(ask).await? else {
        return Ok(());
    };
    let mut table = Table::new(&[
        "scheme",
        "title",
        "category",
        ">full-year effect",
        "start",
        "ended",
        "pay",
        "genuine",
        "markers",
        ">revision",
        "simulated",
    ]);
    for standing in pages.iter().flat_map(|page| &page.schemes) {
        table.row(scheme_row(standing));
    }
    table.show()
}

fn scheme_row(standing: &SchemeStanding) -> Vec<String> {
    let scheme = standing.scheme.clone().unwrap_or_default();
    let category = SchemeCategory::try_from(scheme.category).unwrap_or_default();
    let markers: Vec<&str> = scheme
        .linked_markers
        .iter()
        .map(|linked| linked.marker.as_str())
        .collect();
    vec![
        scheme.scheme_id.clone(),
        scheme.title.clone(),
        word(category.as_str_name(), "SCHEME_CATEGORY_").replace('_', " "),
        pounds(Some(scheme.full_year_effect_pence)),
        scheme.start.clone(),
        scheme.ended.clone(),
        if scheme.pay {
            "pay".to_owned()
        } else {
            String::new()
        },
        genuineness(standing),
        markers.join(", "),
        standing.revision.to_string(),
        simulated(scheme.simulated),
    ]
}

/// `genuine`, or what it takes to be that (R20).
fn genuineness(standing: &SchemeStanding) -> String {
    if standing.genuine {
        return "genuine".to_owned();
    }
    let conditions = [
        (standing.category_is_redesign, "category of redesign"),
        (standing.has_linked_marker, "marker"),
        (standing.has_clinical_lead, "clinical lead"),
        (standing.qia_signed_by_both, "both signatures"),
        (
            standing.has_non_financial_milestone,
            "non-financial milestone",
        ),
    ];
    let lacking: Vec<&str> = conditions
        .iter()
        .filter(|(holds, _)| !holds)
        .map(|(_, name)| *name)
        .collect();
    format!("lacks {}", lacking.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_without_a_figure_shows_its_reason_and_no_number() {
        let reason = Missing::WithheldForQuality.into();
        let point = Point {
            period: "2012-03".into(),
            value: Some(Value::Missing(reason)),
            ..Point::default()
        };
        assert_eq!(
            point_row(&point)[..4],
            ["2012-03", "withheld for quality", "", ""]
        );
    }

    #[test]
    fn a_scheme_that_is_not_genuine_names_what_it_lacks() {
        let standing = SchemeStanding {
            has_linked_marker: true,
            qia_signed_by_both: true,
            ..SchemeStanding::default()
        };
        assert_eq!(
            genuineness(&standing),
            "lacks category of redesign, clinical lead, non-financial milestone"
        );
    }
}
