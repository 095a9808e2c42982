//! What the house makes of it: the nation's position, the alerts with their evidence, and which of them hit the harm that was simulated.
//!
//! Everything here is asked of the API. The truth of the simulation comes last, and only here: the rules never see it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use qipp_api::files::{RollUpLevel, rtt_rollup_csv};
use qipp_api::proto::alerts::v1::{
    Alert, AlertFilter, Condition, GetAlertRequest, ListAlertsRequest, RecomputeAlertRequest,
    alert_event,
};
use qipp_api::proto::events::v1::{Dataset, Severity, Transition};
use qipp_api::proto::projections::v1::{
    GetCompletenessRequest, GetSavingsPositionRequest, GetStatusRequest, ListRollUpsRequest,
    RollUpCell, SavingsPosition,
};
use qipp_domain::Period;
use qipp_nation::{Truth, TruthKind};

use super::Clients;
use super::load::Loaded;
use super::sources::{LAST_MONTH, World};
use crate::exit::{Failure, refusal};
use crate::output::{Table, millions, percent, word};
use crate::published;
use crate::verbs::query::alerts::print_alert;

/// Most alerts that are listed.
const MAX_LISTED: usize = 15;

pub(crate) async fn print(
    clients: &Clients,
    world: &World,
    loaded: &Loaded,
) -> Result<(), Failure> {
    loading(clients, world, loaded).await?;
    waiting_times(clients, world).await?;
    emergency(clients).await?;
    savings(clients).await?;
    completeness(clients).await?;
    let alerts = all_alerts(clients).await?;
    overview(&alerts);
    in_full(clients, &alerts, &world.truth).await?;
    against_truth(&questions(clients, &alerts).await?, world);
    Ok(())
}

fn heading(text: &str) {
    println!("\n{text}\n{}", "─".repeat(text.chars().count()));
}

async fn loading(clients: &Clients, world: &World, loaded: &Loaded) -> Result<(), Failure> {
    let status = clients
        .national
        .projections()
        .get_status(GetStatusRequest::default())
        .await;
    let status = status.map_err(|status| refusal(&status))?.into_inner();
    heading("What was loaded");
    println!(
        "{} reference facts, {} schemes (simulated), {} returns with {} values, {} to {}.",
        loaded.facts,
        loaded.schemes,
        status.returns,
        status.values,
        status.first_period,
        status.last_period
    );
    let sum = &loaded.summary;
    println!(
        "{} accepted, {} repeats, {} conflicts, {} refused, {} warnings.",
        sum.accepted, sum.repeats, sum.conflicts, sum.rejected, sum.warnings
    );
    let mut reasons: BTreeMap<&str, (usize, String)> = BTreeMap::new();
    for (org, period, problem) in &loaded.refused {
        let entry = reasons.entry(problem.code.as_str()).or_default();
        entry.0 += 1;
        entry.1 = format!("{org} {period}: {}", problem.description);
    }
    for (code, (count, example)) in reasons {
        println!("  refused {count} × {code}, for example {example}");
    }
    if reasons_are_mergers(loaded) {
        println!(
            "  (weekly figures were published under the old code in the month of a merger; the registry says when it closed)"
        );
    }
    for note in &world.notes {
        println!("  note: {note}");
    }
    Ok(())
}

fn reasons_are_mergers(loaded: &Loaded) -> bool {
    !loaded.refused.is_empty()
        && loaded
            .refused
            .iter()
            .all(|(_, _, problem)| problem.code == "ORGANISATION_CLOSED")
}

/// The published totals, reproduced from the returns of the PCTs.
async fn waiting_times(clients: &Clients, world: &World) -> Result<(), Failure> {
    heading("Waiting times, December 2009 to May 2010 (published data)");
    let mut levels = Vec::new();
    for level in ["nation", "sha"] {
        levels.push((
            level,
            roll_ups(clients, "sha_2010", level, "", "*", "2009-12", "2010-05").await?,
        ));
    }
    let borrowed: Vec<RollUpLevel<'_>> = levels
        .iter()
        .map(|(level, cells)| RollUpLevel { level, cells })
        .collect();
    let ours = rtt_rollup_csv(&borrowed, &BTreeMap::new());
    let cells = |text: &str| published::parse(text).map_err(anyhow::Error::msg);
    let held = std::str::from_utf8(&world.published)?;
    let compared = published::compare(&cells(held)?, &cells(&ours)?);
    println!(
        "Rolled up from PCT returns: {} of {} cells that the Department published are equal, count for count.",
        compared.equal, compared.published
    );
    for difference in compared.differences.iter().take(5) {
        println!("  {difference}");
    }
    let mut table = Table::new(&[
        "Strategic health authority",
        ">within 18 weeks, admitted",
        ">non-admitted",
        ">incomplete",
    ]);
    let of_may = levels
        .iter()
        .flat_map(|(_, cells)| cells)
        .filter(|c| c.period == "2010-05" && c.breakdown.is_empty());
    let mut rows: BTreeMap<(bool, String, String), BTreeMap<String, String>> = BTreeMap::new();
    for cell in of_may {
        let key = (
            cell.group_code != "ENG",
            cell.group_code.clone(),
            group_name(cell),
        );
        rows.entry(key)
            .or_default()
            .insert(cell.marker.clone(), percent(cell.value_of_parts));
    }
    for ((_, _, name), values) in rows {
        let of = |marker: &str| {
            values
                .get(marker)
                .cloned()
                .unwrap_or_else(|| "–".to_owned())
        };
        table.row(vec![name, of("RTT_ADM"), of("RTT_NADM"), of("RTT_INC")]);
    }
    println!("May 2010:");
    table.print();
    Ok(())
}

fn group_name(cell: &RollUpCell) -> String {
    if cell.group_code.is_empty() {
        "(below none: National Commissioning Group)".to_owned()
    } else {
        cell.group_name.clone()
    }
}

/// A&E within four hours, by region of today.
async fn emergency(clients: &Clients) -> Result<(), Failure> {
    heading("A&E type 1 within four hours (published data)");
    let (last, before) = (
        LAST_MONTH.period(),
        LAST_MONTH.period().plus(-12).unwrap_or(LAST_MONTH.period()),
    );
    let mut table_rows: BTreeMap<(bool, String), BTreeMap<String, String>> = BTreeMap::new();
    for level in ["nation", "region"] {
        for month in [before, last] {
            let month = month.to_string();
            for cell in roll_ups(clients, "region7", level, "AE_4H_T1", "", &month, &month).await? {
                let name = if cell.group_code.is_empty() {
                    "(no region known)".to_owned()
                } else {
                    cell.group_name.clone()
                };
                let text = format!(
                    "{} ({} trusts)",
                    percent(cell.value_of_parts),
                    cell.organisations
                );
                table_rows
                    .entry((level == "region", name))
                    .or_default()
                    .insert(month.clone(), text);
            }
        }
    }
    let mut table = Table::new(&["Region", ">March 2012", ">March 2013"]);
    for ((_, name), values) in table_rows {
        let of = |month: Period| {
            values
                .get(&month.to_string())
                .cloned()
                .unwrap_or_else(|| "–".to_owned())
        };
        table.row(vec![name, of(before), of(last)]);
    }
    table.print();
    Ok(())
}

async fn savings(clients: &Clients) -> Result<(), Failure> {
    heading("Savings at the end of March 2013 (SIMULATED)");
    let mut table = Table::new(&[
        "Region",
        ">planned for the year",
        ">delivered",
        ">of plan",
        ">recurrent",
        ">trusts",
        ">missing this month",
    ]);
    let mut nodes = vec![("ENG".to_owned(), "England".to_owned())];
    nodes.extend(regions(clients).await?);
    for (code, name) in nodes {
        let request = GetSavingsPositionRequest {
            period: LAST_MONTH.period().to_string(),
            org_code: code,
            tree: "region7".into(),
            read: None,
        };
        let answer = clients
            .national
            .projections()
            .get_savings_position(request)
            .await
            .map_err(|status| refusal(&status))?;
        let position: SavingsPosition = answer.into_inner().position.unwrap_or_default();
        table.row(vec![
            name,
            millions(position.plan_year_pence),
            millions(position.actual_ytd_pence),
            percent(position.delivery_ratio),
            percent(position.recurrent_share),
            format!(
                "{} of {}",
                position.organisations_with_actual_ytd, position.organisations
            ),
            position.missing_org_codes.len().to_string(),
        ]);
    }
    table.print();
    println!(
        "`delivered` adds the trusts that are known for the whole year; one missing month makes a trust's year unknown, never smaller."
    );
    Ok(())
}

async fn regions(clients: &Clients) -> Result<Vec<(String, String)>, Failure> {
    let request = qipp_api::proto::registry::v1::ListOrganisationsRequest {
        kind: "region".into(),
        ..Default::default()
    };
    let answer = clients
        .national
        .registry()
        .list_organisations(request)
        .await
        .map_err(|status| refusal(&status))?;
    Ok(answer
        .into_inner()
        .organisations
        .into_iter()
        .map(|o| (o.org_code, o.name))
        .collect())
}

async fn completeness(clients: &Clients) -> Result<(), Failure> {
    for (name, dataset) in [("Savings", Dataset::Savings), ("Quality", Dataset::Quality)] {
        let request = GetCompletenessRequest {
            dataset: dataset.into(),
            period: LAST_MONTH.period().to_string(),
            ..Default::default()
        };
        let answer = clients
            .national
            .projections()
            .get_completeness(request)
            .await
            .map_err(|status| refusal(&status))?
            .into_inner();
        println!(
            "{name} returns of {}: due {}, {} owed, {} in time, {} late, {} missing.",
            LAST_MONTH.period(),
            answer.due,
            answer.expected,
            answer.in_time,
            answer.late,
            answer.missing
        );
    }
    Ok(())
}

async fn roll_ups(
    clients: &Clients,
    tree: &str,
    level: &str,
    marker: &str,
    breakdown: &str,
    from: &str,
    to: &str,
) -> Result<Vec<RollUpCell>, Failure> {
    let mut request = ListRollUpsRequest {
        tree: tree.into(),
        level: level.into(),
        marker: marker.into(),
        breakdown: breakdown.into(),
        from: from.into(),
        to: to.into(),
        page_size: 1000,
        ..ListRollUpsRequest::default()
    };
    let mut cells = Vec::new();
    loop {
        let answer = clients
            .national
            .projections()
            .list_roll_ups(request.clone())
            .await;
        let answer = answer.map_err(|status| refusal(&status))?.into_inner();
        cells.extend(answer.cells);
        if answer.next_page_token.is_empty() {
            return Ok(cells);
        }
        request.page_token = answer.next_page_token;
    }
}

async fn all_alerts(clients: &Clients) -> Result<Vec<Alert>, Failure> {
    let mut request = ListAlertsRequest {
        page_size: 1000,
        filter: Some(AlertFilter::default()),
        ..ListAlertsRequest::default()
    };
    let mut alerts = Vec::new();
    loop {
        let answer = clients
            .national
            .alerts()
            .list_alerts(request.clone())
            .await
            .map_err(|status| refusal(&status))?
            .into_inner();
        alerts.extend(answer.alerts);
        if answer.next_page_token.is_empty() {
            return Ok(alerts);
        }
        request.page_token = answer.next_page_token;
    }
}

fn severity(alert: &Alert) -> Severity {
    alert
        .finding
        .as_ref()
        .map_or(Severity::Unspecified, |finding| finding.severity())
}

fn overview(alerts: &[Alert]) {
    heading("Alerts: questions to named people, with evidence");
    let mut counts: BTreeMap<(&str, &str), [usize; 4]> = BTreeMap::new();
    for alert in alerts {
        let title = qipp_rules::Rule::of(&alert.rule_id).map_or("", |rule| rule.title);
        let row = counts.entry((alert.rule_id.as_str(), title)).or_default();
        row[0] += 1;
        let holds = alert.condition() == Condition::Holds;
        row[1] += usize::from(holds && severity(alert) == Severity::Red);
        row[2] += usize::from(holds && severity(alert) == Severity::Amber);
        row[3] += usize::from(holds && severity(alert) == Severity::Info);
    }
    let mut table = Table::new(&[
        "Rule",
        "Asks",
        ">ever raised",
        ">now red",
        ">now amber",
        ">now info",
    ]);
    for ((rule, title), [raised, red, amber, info]) in counts {
        let cells = [raised, red, amber, info].map(|count| count.to_string());
        table.row([vec![rule.to_owned(), title.to_owned()], cells.to_vec()].concat());
    }
    table.print();
    let open = alerts.iter().filter(|a| {
        a.rule_id == "R05" && a.condition() == Condition::Holds && severity(a) >= Severity::Amber
    });
    let open: Vec<&Alert> = open.collect();
    let chances = open.iter().filter_map(|a| {
        let joint = a.finding.as_ref()?.evidence.as_ref()?.joint.as_ref()?;
        Some(joint.entry.as_ref()?.chance_false)
    });
    println!(
        "\nR05 open at the end of March 2013 ({}, of which about {:.1} are expected to be there by chance; savings and some markers are SIMULATED):",
        open.len(),
        chances.sum::<f64>()
    );
    let mut table = Table::new(&["Alert", "Organisation", "Severity", "Since", "Slipping"]);
    for alert in open.iter().take(MAX_LISTED) {
        table.row(vec![
            alert.alert_id.clone(),
            alert.org_name.chars().take(44).collect(),
            word(severity(alert).as_str_name(), "SEVERITY_"),
            alert.raised_period.clone(),
            slipping(alert),
        ]);
    }
    table.print();
}

fn slipping(alert: &Alert) -> String {
    let evidence = alert
        .finding
        .as_ref()
        .and_then(|finding| finding.evidence.as_ref());
    let markers = evidence
        .into_iter()
        .flat_map(|e| &e.markers)
        .filter(|m| m.direction == "slipping");
    markers
        .map(|m| m.marker.as_str())
        .collect::<Vec<_>>()
        .join(", ")
}

/// One alert with its whole evidence, and whether it recomputes.
async fn in_full(clients: &Clients, alerts: &[Alert], truth: &[Truth]) -> Result<(), Failure> {
    let harmful: BTreeSet<String> = truth
        .iter()
        .filter(|t| t.kind == TruthKind::Both)
        .map(|t| t.org.to_string())
        .collect();
    let of_r05 = alerts
        .iter()
        .filter(|a| a.rule_id == "R05" && severity(a) >= Severity::Amber);
    // One that still holds, and of a trust whose savings were made to do harm, if there is one.
    let rank = |alert: &&Alert| {
        (
            alert.condition() == Condition::Holds,
            harmful.contains(&alert.org_code),
        )
    };
    let Some(shown) = of_r05.max_by_key(rank) else {
        return Ok(());
    };
    heading(&format!("One of them in full: {}", shown.alert_id));
    print_alert(shown, &[]);
    let mut equal = 0;
    for alert in alerts {
        let request = RecomputeAlertRequest {
            alert_id: alert.alert_id.clone(),
        };
        let answer = clients
            .national
            .alerts()
            .recompute_alert(request)
            .await
            .map_err(|status| refusal(&status))?;
        equal += usize::from(answer.into_inner().equal);
    }
    println!(
        "\nRecomputed from the log alone, at the cut that each cites: {equal} of {} alerts come out equal.",
        alerts.len()
    );
    Ok(())
}

/// The rules that are held against the truth.
const HELD_AGAINST_TRUTH: [&str; 3] = ["R05", "R01", "R02"];

/// Something that an alert asked at some time, whatever it says now: one that has cleared since, or is no more than worth
/// watching, was asked all the same.
struct Question {
    rule: String,
    org: String,
    period: Period,
    severity: Severity,
}

/// All that was ever asked by the rules that are held against the truth, an alert's oldest question first.
async fn questions(clients: &Clients, alerts: &[Alert]) -> Result<Vec<Question>, Failure> {
    let mut questions = Vec::new();
    for alert in alerts {
        if !HELD_AGAINST_TRUTH.contains(&alert.rule_id.as_str()) {
            continue;
        }
        let request = GetAlertRequest {
            alert_id: alert.alert_id.clone(),
            ..GetAlertRequest::default()
        };
        let answer = clients.national.alerts().get_alert(request).await;
        let history = answer
            .map_err(|status| refusal(&status))?
            .into_inner()
            .history;
        questions.extend(history.into_iter().filter_map(|entry| {
            let alert_event::Event::Evaluated(evaluated) = entry.event? else {
                return None;
            };
            // What has cleared or was withdrawn is told with what it was.
            let new = matches!(
                evaluated.transition(),
                Transition::Raised | Transition::Updated
            );
            let finding = evaluated.finding?;
            let asks = new
                && finding.severity() >= Severity::Amber
                && finding.suppressed_because.is_empty();
            Some(Question {
                period: finding.period.parse().ok()?,
                severity: finding.severity(),
                rule: finding.rule_id,
                org: finding.org_code,
            })
            .filter(|_| asks)
        }));
    }
    Ok(questions)
}

/// What the simulation knows and the rules do not.
fn against_truth(questions: &[Question], world: &World) {
    heading("Against the truth of the simulation");
    println!(
        "The simulation let savings do harm in some trusts, and made controls with only one of the two. The rules do not know which.\n"
    );
    let mut table = Table::new(&[
        "Simulated",
        ">trusts",
        ">asked by R05",
        ">by R01",
        ">by R02",
        ">by none",
    ]);
    let kinds = [
        (TruthKind::Both, "savings jump and quality slips (harm)"),
        (TruthKind::SavingsOnly, "savings jump, no harm"),
        (TruthKind::QualityOnly, "quality slips, no jump of savings"),
    ];
    for (kind, name) in kinds {
        let truths: Vec<&Truth> = world.truth.iter().filter(|t| t.kind == kind).collect();
        let asked = |rule: &str| {
            truths
                .iter()
                .filter(|t| asked_after_onset(questions, t, rule))
                .count()
        };
        let none = truths.iter().filter(|t| {
            !HELD_AGAINST_TRUTH
                .iter()
                .any(|rule| asked_after_onset(questions, t, rule))
        });
        table.row(vec![
            name.to_owned(),
            truths.len().to_string(),
            asked("R05").to_string(),
            asked("R01").to_string(),
            asked("R02").to_string(),
            none.count().to_string(),
        ]);
    }
    let with_story: BTreeSet<String> = world.truth.iter().map(|t| t.org.to_string()).collect();
    let others = world.trusts.len() - world.truth.len();
    let elsewhere = |rule: &str| {
        let orgs = questions
            .iter()
            .filter(|q| q.rule == rule && !with_story.contains(&q.org))
            .map(|q| q.org.as_str());
        orgs.collect::<BTreeSet<_>>().len()
    };
    table.row(vec![
        "nothing simulated".to_owned(),
        others.to_string(),
        elsewhere("R05").to_string(),
        elsewhere("R01").to_string(),
        elsewhere("R02").to_string(),
        String::new(),
    ]);
    table.print();
    println!("\nHarm, trust by trust:");
    let mut table = Table::new(&["Trust", "From", "Markers that were made to slip", "R05"]);
    for truth in world.truth.iter().filter(|t| t.kind == TruthKind::Both) {
        let asked: Vec<&Question> = after_onset(questions, truth, "R05").collect();
        let markers: Vec<&str> = truth.markers.iter().map(|m| m.as_str()).collect();
        let found = match (asked.first(), asked.iter().max_by_key(|q| q.severity)) {
            (Some(first), Some(gravest)) => format!(
                "asked in {}; at most {}",
                first.period,
                word(gravest.severity.as_str_name(), "SEVERITY_")
            ),
            _ => "not asked".to_owned(),
        };
        table.row(vec![
            truth.org.to_string(),
            truth.from.to_string(),
            markers.join(", "),
            found,
        ]);
    }
    table.print();
    println!(
        "\nA&E figures are real: a trust with nothing simulated can be asked because its real A&E slipped. An alert is a question, not a verdict."
    );
}

fn after_onset<'a>(
    questions: &'a [Question],
    truth: &Truth,
    rule: &str,
) -> impl Iterator<Item = &'a Question> {
    let (org, from) = (truth.org.to_string(), truth.from);
    questions
        .iter()
        .filter(move |q| q.rule == rule && q.org == org && q.period >= from)
}

fn asked_after_onset(questions: &[Question], truth: &Truth, rule: &str) -> bool {
    after_onset(questions, truth, rule).next().is_some()
}

/// Commands that can be typed as they stand.
pub(crate) fn how_to_go_on(url: &str, data_dir: &Path) {
    let dir = data_dir.display();
    heading("Look further (this process stays up; Ctrl-C ends it)");
    println!("  qipp query alerts --rule R05 --open          --server {url} --data-dir {dir}");
    println!("  qipp query alert R05-…                       the evidence of one");
    println!("  qipp query series RJ1 AE_4H_T1               one marker, month by month");
    println!(
        "  qipp query series RJ1 SICKNESS --known-at 2012-06-30T00:00:00Z   as it was known then"
    );
    println!(
        "  qipp query savings RJ1 2013-03               savings, scheme by scheme (simulated)"
    );
    println!("  qipp query rollup sha_2010 sha --marker RTT_ADM --from 2010-05 --to 2010-05");
    println!(
        "  qipp watch --from beginning                  every change of every alert, then live"
    );
    println!("  qipp act R05-… acknowledge --why \"I have it\"");
    println!(
        "  curl -s -H \"authorization: Bearer $(cat {dir}/keys/national.key)\" {url}/v1/alerts?page_size=3"
    );
    println!(
        "  curl -sN -H \"authorization: Bearer $(cat {dir}/keys/national.key)\" {url}/v1/alerts/watch"
    );
    println!(
        "  grpcurl -plaintext -H \"authorization: Bearer $(cat {dir}/keys/national.key)\" {} list",
        url.trim_start_matches("http://")
    );
}
