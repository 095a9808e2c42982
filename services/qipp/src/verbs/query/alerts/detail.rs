//! One alert on a page: what was seen, what is asked and of whom, what it rests on, and what has happened since.

use qipp_api::proto::alerts::v1::alert_event::Event;
use qipp_api::proto::alerts::v1::{Alert, AlertEvent};
use qipp_api::proto::events::v1::{
    Dataset, Evidence, Finding, JointEvidence, MarkerEvidence, MarkerPoint, Measured,
    SavingsEvidence,
};

use super::{figure, share};
use crate::output::{Table, plain, pounds, word};

/// The page.
pub(super) fn text(alert: &Alert, history: &[AlertEvent]) -> String {
    let finding = alert.finding.clone().unwrap_or_default();
    let evidence = finding.evidence.clone().unwrap_or_default();
    let mut page = Page::default();
    question(&mut page, alert, &finding);
    if evidence.simulated {
        page.line(
            "SIMULATED: this rests, wholly or in part, on simulated figures (marked * below).",
        );
    }
    if let Some(savings) = &evidence.savings {
        page.title("Savings");
        savings_side(&mut page, savings);
    }
    if !evidence.markers.is_empty() {
        page.title("Markers");
        page.table(&markers(&evidence.markers));
        page.line("z is standardised against the organisation's own baseline, after taking off the national value; plus is adverse.");
    }
    if let Some(joint) = &evidence.joint {
        page.title("Joint decision");
        joint_decision(&mut page, joint);
    }
    late_returns(&mut page, &evidence);
    basis(&mut page, &evidence);
    if !history.is_empty() {
        page.title("History");
        page.table(&events(history));
    }
    legal_acts(&mut page, alert);
    page.0
}

/// Lines of text, free of what a terminal would obey.
#[derive(Default)]
struct Page(String);

impl Page {
    fn line(&mut self, text: &str) {
        self.0.push_str(&plain(text));
        self.0.push('\n');
    }

    fn title(&mut self, text: &str) {
        self.line("");
        self.line(text);
    }

    fn table(&mut self, table: &Table) {
        self.0.push_str(&table.text());
    }
}

fn question(page: &mut Page, alert: &Alert, finding: &Finding) {
    let severity = word(finding.severity().as_str_name(), "SEVERITY_");
    let condition = word(alert.condition().as_str_name(), "CONDITION_");
    let stage = word(alert.stage().as_str_name(), "STAGE_");
    page.line(&format!(
        "{} {}: {severity}, {}, {}",
        alert.org_code, alert.org_name, alert.rule_id, finding.period
    ));
    page.line(&format!(
        "Alert {}: {condition}, {stage}; raised for {} at {}",
        alert.alert_id, alert.raised_period, alert.raised_at
    ));
    if !alert.outcome.is_empty() {
        page.line(&format!("Outcome: {}", alert.outcome));
    }
    page.line("");
    page.line(&format!("Seen:      {}", finding.summary));
    page.line(&format!("Question:  {}", finding.question));
    page.line(&format!("Asked:     {}", finding.asked.join(", ")));
    if !finding.suppressed_because.is_empty() {
        page.line(&format!(
            "Not asked, because {}",
            finding.suppressed_because
        ));
    }
}

fn savings_side(page: &mut Page, savings: &SavingsEvidence) {
    let mark = if savings.simulated { " *" } else { "" };
    let absent = |pence: Option<i64>| {
        pence.map_or_else(
            || "a month is missing".to_owned(),
            |pence| pounds(Some(pence)) + mark,
        )
    };
    let rows = [
        (
            "delivered in the last three months",
            absent(savings.last_three_months_pence),
        ),
        (
            "in the same months a year earlier",
            absent(savings.same_months_last_year_pence),
        ),
        (
            "planned for the last three months",
            absent(savings.planned_three_months_pence),
        ),
        (
            "of what was delivered, pay",
            absent(savings.pay_three_months_pence),
        ),
        (
            "full-year effect of live schemes",
            pounds(Some(savings.in_force_pence)) + mark,
        ),
        (
            "the same three months ago",
            pounds(Some(savings.in_force_three_months_ago_pence)) + mark,
        ),
        ("compared by", savings.basis.replace('_', " ")),
        ("rising in", savings.rising_periods.join(", ")),
    ];
    for (name, value) in rows {
        page.line(&format!("  {name:<36}{value}"));
    }
}

/// A row for each of the last three months of a marker; what belongs to the marker as a whole stands in its first row.
fn markers(markers: &[MarkerEvidence]) -> Table {
    let mut table = Table::new(&[
        "marker",
        "domain",
        "moved",
        "baseline",
        "month",
        ">own",
        ">of",
        ">value",
        ">national",
        ">z",
        ">revision",
        "status",
        "schemes",
    ]);
    for marker in markers {
        let mut about = vec![
            format!(
                "{}{}",
                marker.marker,
                if marker.simulated { " *" } else { "" }
            ),
            marker.domain.clone(),
            marker.direction.clone(),
            baseline(marker),
        ];
        let mut schemes = marker.linked_schemes.join(", ");
        for point in &marker.points {
            let mut row = std::mem::replace(&mut about, vec![String::new(); 4]);
            row.extend(point_cells(point));
            row.push(std::mem::take(&mut schemes));
            table.row(row);
        }
    }
    table
}

fn baseline(marker: &MarkerEvidence) -> String {
    let trial = if marker.trial { ", trial" } else { "" };
    format!(
        "{:.3} ± {:.3} {} ({} months, {} to {}{trial})",
        marker.baseline_mean,
        marker.baseline_sigma,
        marker.scale,
        marker.baseline_points,
        marker.baseline_from,
        marker.baseline_until
    )
}

fn point_cells(point: &MarkerPoint) -> Vec<String> {
    let own = Measured {
        numerator: point.numerator,
        denominator: point.denominator,
    };
    let national = Measured {
        numerator: point.national_numerator,
        denominator: point.national_denominator,
    };
    vec![
        point.period.clone(),
        point.numerator.to_string(),
        point.denominator.map(|d| d.to_string()).unwrap_or_default(),
        figure(share(&own), &own),
        figure(share(&national), &national),
        format!("{:+.2}", point.adverse_z),
        point.revision.to_string(),
        word(point.status().as_str_name(), "RETURN_STATUS_"),
    ]
}

fn joint_decision(page: &mut Page, joint: &JointEvidence) {
    let entry = joint.entry.clone().unwrap_or_default();
    page.line(&format!(
        "  tier {}: one of {} on the list, out of {} organisations of kind {} that could be judged",
        entry.tier, joint.listed, joint.assessed, joint.peer_group
    ));
    page.line(&format!(
        "  of the list about {:.1} are expected to be there by chance; for this one the chance is {:.0}%",
        joint.expected_false,
        100.0 * entry.chance_false
    ));
    page.line(&format!(
        "  {} since about {}; p-values: savings {:.3}, quality {:.3}",
        entry.domain, entry.since, entry.savings_p, entry.quality_p
    ));
}

fn late_returns(page: &mut Page, evidence: &Evidence) {
    if evidence.late_returns.is_empty() {
        return;
    }
    page.title("Returns that were due");
    for late in &evidence.late_returns {
        let dataset = Dataset::try_from(late.dataset).unwrap_or_default();
        page.line(&format!(
            "  {} {}: due {}, {} working days late",
            word(dataset.as_str_name(), "DATASET_"),
            late.period,
            late.due,
            late.working_days_late
        ));
    }
}

fn basis(page: &mut Page, evidence: &Evidence) {
    page.title("Basis");
    page.line(&format!(
        "  rules {}, the day that counted as today {}",
        evidence.rule_set_version, evidence.as_of
    ));
    for note in &evidence.notes {
        page.line(&format!("  {note}"));
    }
}

fn events(history: &[AlertEvent]) -> Table {
    let mut table = Table::new(&["at", "what", "by", "why or what was seen"]);
    for event in history {
        let row = match &event.event {
            Some(Event::Evaluated(evaluated)) => {
                let what = word(evaluated.transition().as_str_name(), "TRANSITION_");
                let finding = evaluated.finding.clone().unwrap_or_default();
                vec![
                    event.at.clone(),
                    what,
                    "the rules".to_owned(),
                    format!("{}: {}", finding.period, finding.summary),
                ]
            }
            Some(Event::Acted(acted)) => {
                let what = word(acted.act().as_str_name(), "ACT_");
                vec![event.at.clone(), what, acted.who.clone(), acted.why.clone()]
            }
            None => vec![event.at.clone(), "unknown".to_owned()],
        };
        table.row(row);
    }
    table
}

fn legal_acts(page: &mut Page, alert: &Alert) {
    let acts: Vec<String> = alert
        .legal_acts()
        .map(|act| word(act.as_str_name(), "ACT_"))
        .collect();
    page.line("");
    if acts.is_empty() {
        page.line("Nothing more can be done with it.");
    } else {
        page.line(&format!(
            "Possible now: {}  (qipp act {} ACT --why …)",
            acts.join(", "),
            alert.alert_id
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_marks_what_is_simulated_and_never_shows_a_missing_sum_as_zero() {
        let savings = SavingsEvidence {
            planned_three_months_pence: Some(1_234_500),
            simulated: true,
            ..SavingsEvidence::default()
        };
        let evidence = Evidence {
            savings: Some(savings),
            simulated: true,
            ..Evidence::default()
        };
        let finding = Finding {
            summary: "seen\u{1b}[2J\nnow".into(),
            evidence: Some(evidence),
            ..Finding::default()
        };
        let page = text(
            &Alert {
                finding: Some(finding),
                ..Alert::default()
            },
            &[],
        );
        assert!(
            page.contains("SIMULATED") && page.contains("a month is missing"),
            "{page}"
        );
        assert!(page.contains("£12,345 *"), "{page}");
        assert!(
            page.contains("Seen:      seen [2J now"),
            "what was sent can't steer a terminal: {page}"
        );
    }
}
