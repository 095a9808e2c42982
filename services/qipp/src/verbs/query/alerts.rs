//! Alerts: the list, one with its evidence as a person reads it, and the national values that rules compare with.

mod detail;

use clap::{Args, ValueEnum};
use qipp_api::proto::alerts::v1::{
    Alert, AlertEvent, AlertFilter, ExpectedFalse, GetAlertRequest, ListAlertsRequest,
    ListBenchmarksRequest,
};
use qipp_api::proto::events::v1::{Measured, Severity};
use qipp_domain::{MarkerCode, OrgCode, Period, Slug};

use super::{Asker, PAGE, figure, parts, text};
use crate::exit::Failure;
use crate::output::{Table, line, simulated, word, write};

/// A severity on the command line.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum SeverityArg {
    /// Worth knowing; nobody is asked.
    Info,
    /// A question.
    Amber,
    /// A pressing question.
    Red,
}

impl From<SeverityArg> for Severity {
    fn from(severity: SeverityArg) -> Self {
        match severity {
            SeverityArg::Info => Self::Info,
            SeverityArg::Amber => Self::Amber,
            SeverityArg::Red => Self::Red,
        }
    }
}

/// Which alerts, for lists and for watching.
#[derive(Clone, Debug, Args)]
pub(crate) struct FilterArgs {
    /// Only of this organisation (ODS code).
    #[arg(long, value_name = "CODE")]
    org: Option<OrgCode>,
    /// Only of this rule: R01, R02, …
    #[arg(long, value_name = "ID")]
    rule: Option<String>,
    /// Only of this severity and above.
    #[arg(long, value_enum, value_name = "SEVERITY")]
    min_severity: Option<SeverityArg>,
    /// Only of organisations at and below --node in this tree.
    #[arg(long, requires = "node")]
    tree: Option<Slug>,
    /// The node of --tree.
    #[arg(long, value_name = "CODE", requires = "tree")]
    node: Option<OrgCode>,
}

impl FilterArgs {
    /// As the contract says it.
    pub(crate) fn to_proto(&self, open_only: bool) -> AlertFilter {
        AlertFilter {
            org_code: text(self.org),
            rule_id: text(self.rule.as_deref()),
            min_severity: self
                .min_severity
                .map_or(Severity::Unspecified, Severity::from)
                .into(),
            tree: text(self.tree),
            node_code: text(self.node),
            open_only,
        }
    }
}

/// Arguments of `qipp query alerts`.
#[derive(Debug, Args)]
#[command(
    after_help = "Example: qipp query alerts --open --min-severity amber --tree region7 --node Y54"
)]
pub(crate) struct AlertsArgs {
    #[command(flatten)]
    filter: FilterArgs,
    /// Only those that still hold and are not closed.
    #[arg(long)]
    open: bool,
}

pub(super) async fn alerts(asker: &Asker, args: AlertsArgs) -> Result<(), Failure> {
    let request = ListAlertsRequest {
        read: asker.read.clone(),
        filter: Some(args.filter.to_proto(args.open)),
        page_size: PAGE,
        page_token: String::new(),
        min_evaluated: None,
    };
    let ask = async |page_token| {
        let request = ListAlertsRequest {
            page_token,
            ..request.clone()
        };
        asker.client.alerts().list_alerts(request).await
    };
    let Some(pages) = asker.pages(ask).await? else {
        return Ok(());
    };
    let header = [
        "month",
        "severity",
        "rule",
        "organisation",
        "name",
        "condition",
        "stage",
        "alert",
        "simulated",
        "seen",
    ];
    let mut table = Table::new(&header);
    for alert in pages.iter().flat_map(|page| &page.alerts) {
        table.row(alert_row(alert));
    }
    table.show()?;
    let expected = pages.first().and_then(|page| page.expected_false);
    expected_false(&expected.unwrap_or_default())
}

/// What a list of questions has to say of itself.
fn expected_false(expected: &ExpectedFalse) -> Result<(), Failure> {
    if expected.jointly_decided > 0 {
        line(&jointly_decided(expected))?;
    }
    if expected.not_controlled > 0 {
        line(&not_controlled(expected.not_controlled))?;
    }
    Ok(())
}

fn jointly_decided(expected: &ExpectedFalse) -> String {
    match expected.jointly_decided {
        1 => format!(
            "The one open alert decided jointly (R05) is false with a chance of {:.0}%.",
            100.0 * expected.expected
        ),
        many => format!(
            "Of {many} open alerts decided jointly (R05), about {:.1} are expected to be false.",
            expected.expected
        ),
    }
}

fn not_controlled(alerts: u32) -> String {
    let (come, these) = match alerts {
        1 => ("alert comes", "whether it is false"),
        _ => ("alerts come", "how many of these are false"),
    };
    format!(
        "{alerts} open {come} from rules that look at one organisation at a time: {these} is not controlled."
    )
}

fn alert_row(alert: &Alert) -> Vec<String> {
    let finding = alert.finding.clone().unwrap_or_default();
    vec![
        finding.period.clone(),
        word(finding.severity().as_str_name(), "SEVERITY_"),
        alert.rule_id.clone(),
        alert.org_code.clone(),
        alert.org_name.clone(),
        word(alert.condition().as_str_name(), "CONDITION_"),
        word(alert.stage().as_str_name(), "STAGE_"),
        alert.alert_id.clone(),
        simulated(
            finding
                .evidence
                .as_ref()
                .is_some_and(|evidence| evidence.simulated),
        ),
        finding.summary,
    ]
}

/// Arguments of `qipp query alert`.
#[derive(Debug, Args)]
#[command(
    after_help = "With --json the evidence comes whole: everything that is needed to compute the finding again."
)]
pub(crate) struct AlertArgs {
    /// Identifier of the alert (`qipp query alerts` lists them).
    id: String,
}

pub(super) async fn alert(asker: &Asker, args: AlertArgs) -> Result<(), Failure> {
    let request = GetAlertRequest {
        read: asker.read.clone(),
        alert_id: args.id,
    };
    let answer = asker.client.alerts().get_alert(request).await;
    let Some(answer) = asker.answer(answer)? else {
        return Ok(());
    };
    write(&detail::text(
        &answer.alert.unwrap_or_default(),
        &answer.history,
    ))
}

/// Prints an alert as `qipp query alert` does; without a history, what has happened since is left out.
pub(crate) fn print_alert(alert: &Alert, history: &[AlertEvent]) {
    print!("{}", detail::text(alert, history));
}

/// Arguments of `qipp query benchmarks`.
#[derive(Debug, Args)]
#[command(after_help = "Example: qipp query benchmarks AE_4H --kind trust --from 2012-01")]
pub(crate) struct BenchmarksArgs {
    /// The marker.
    marker: MarkerCode,
    /// Only of this kind of organisations, which are each other's peers.
    #[arg(long)]
    kind: Option<Slug>,
    /// First month, YYYY-MM.
    #[arg(long, value_name = "MONTH")]
    from: Option<Period>,
    /// Last month, YYYY-MM.
    #[arg(long, value_name = "MONTH")]
    to: Option<Period>,
}

pub(super) async fn benchmarks(asker: &Asker, args: BenchmarksArgs) -> Result<(), Failure> {
    let request = ListBenchmarksRequest {
        read: asker.read.clone(),
        marker: args.marker.to_string(),
        peer_group: text(args.kind),
        from: text(args.from),
        to: text(args.to),
    };
    let answer = asker.client.alerts().list_benchmarks(request).await;
    let Some(answer) = asker.answer(answer)? else {
        return Ok(());
    };
    let header = [
        "month",
        "peers",
        ">value",
        ">numerator",
        ">denominator",
        ">organisations",
        ">slipping",
        "simulated",
    ];
    let mut table = Table::new(&header);
    for value in &answer.benchmarks {
        let measured = Measured {
            numerator: value.numerator,
            denominator: value.denominator,
        };
        let (numerator, denominator) = parts(&measured);
        table.row(vec![
            value.period.clone(),
            value.peer_group.clone(),
            figure(share(&measured), &measured),
            numerator,
            denominator,
            value.organisations.to_string(),
            value.organisations_slipping.to_string(),
            simulated(value.simulated),
        ]);
    }
    table.show()?;
    line("Organisations slip against the very value of their month.")
}

/// Numerator over denominator, or the value itself; nothing of nothing.
fn share(measured: &Measured) -> Option<f64> {
    match measured.denominator {
        None => Some(measured.numerator),
        Some(denominator) => (denominator > 0.0).then(|| measured.numerator / denominator),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_alert_is_not_told_as_many() {
        let of = |jointly_decided, expected| ExpectedFalse {
            jointly_decided,
            expected,
            not_controlled: 0,
        };
        assert_eq!(
            jointly_decided(&of(1, 0.14)),
            "The one open alert decided jointly (R05) is false with a chance of 14%."
        );
        assert!(jointly_decided(&of(2, 0.14)).starts_with("Of 2 open alerts"));
        assert!(not_controlled(1).starts_with("1 open alert comes from"));
        assert!(not_controlled(2).starts_with("2 open alerts come from"));
    }
}
