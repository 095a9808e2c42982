//! The domain's things as answers of the contract. One function a thing; none of them decides, looks anything up or formats for people.

use qipp_domain::alert::{Alert, AlertEvent, AlertEventKind, Standing};
use qipp_domain::reference::{Organisation, Tree};
use qipp_domain::returns::{Change, Decision, Precondition, ReturnContent, Revision, Value};
use qipp_domain::rollup::{CellKey, Partial, SeriesPoint, Source};
use qipp_domain::savings::{Position, SchemePosition};
use qipp_domain::scheme::Scheme;
use qipp_domain::validate::Problem;
use qipp_domain::{Dataset, OrgCode, Pence, Period};

pub use crate::convert::alerts::{
    acted_to_proto, evaluated_to_proto, finding_to_proto, national_value_to_proto,
};
pub use crate::convert::reference::{
    community_to_proto, edge_to_proto, marker_to_proto, obligation_to_proto, rule_set_to_proto,
    succession_to_proto,
};
pub use crate::convert::returns::{
    line_to_proto, measured_to_proto, observation_to_proto, return_to_proto, scheme_to_proto,
};

pub use crate::convert::surveillance::assessment_to_proto;

use crate::cut::{stamp_to_proto, time_to_text};
use crate::names;
use crate::parse::date_text;
use crate::proto::{alerts::v1 as alerts, events::v1 as events, intake::v1 as intake};
use crate::proto::{projections::v1 as projections, registry::v1 as registry};

// Reference data.

/// An organisation.
#[must_use]
pub fn organisation(organisation: &Organisation) -> registry::Organisation {
    registry::Organisation {
        org_code: organisation.code.to_string(),
        name: organisation.name.clone(),
        kind: organisation.kind.to_string(),
        opened: date_text(organisation.opened),
        closed: date_text(organisation.closed),
    }
}

/// A tree.
#[must_use]
pub fn tree(tree: &Tree) -> events::TreeDefined {
    events::TreeDefined {
        tree: tree.tree.to_string(),
        title: tree.title.clone(),
        root_code: tree.root.to_string(),
    }
}

/// A deadline.
#[must_use]
pub fn deadline(dataset: Dataset, period: Period, due: jiff::civil::Date) -> events::DeadlineSet {
    events::DeadlineSet {
        dataset: names::dataset_to_proto(dataset).into(),
        period: period.to_string(),
        due: due.to_string(),
    }
}

// Returns and schemes.

/// A revision of a return.
#[must_use]
pub fn revision(
    org: OrgCode,
    period: Period,
    revision: &Revision<ReturnContent>,
) -> projections::Revision {
    let key = Precondition {
        idempotency_key: revision.idempotency_key.clone(),
        expected_revision: None,
    };
    projections::Revision {
        revision: revision.number,
        position: stamp_to_proto(revision.stamp),
        received_at: time_to_text(revision.stamp.time_ms),
        submitted_by: revision.submitted_by.clone(),
        r#return: Some(return_to_proto(org, period, &revision.content, &key)),
    }
}

/// A scheme and its standing.
#[must_use]
pub fn scheme_standing(revision: &Revision<Scheme>) -> projections::SchemeStanding {
    let key = Precondition {
        idempotency_key: revision.idempotency_key.clone(),
        expected_revision: None,
    };
    let standing = revision.content.standing();
    projections::SchemeStanding {
        scheme: Some(scheme_to_proto(&revision.content, &key)),
        revision: revision.number,
        category_is_redesign: standing.category_is_redesign,
        has_linked_marker: standing.has_linked_marker,
        has_clinical_lead: standing.has_clinical_lead,
        qia_signed_by_both: standing.qia_signed_by_both,
        has_non_financial_milestone: standing.has_non_financial_milestone,
        genuine: standing.is_genuine(),
    }
}

/// What the log decided, and the revision that goes with it (0: there is none yet).
#[must_use]
pub const fn decision(decision: Decision) -> (intake::Decision, u32) {
    match decision {
        Decision::Accepted(revision) => (intake::Decision::Accepted, revision),
        Decision::Repeat(revision) => (intake::Decision::Repeat, revision),
        Decision::Conflict(revision) => (intake::Decision::Conflict, revision),
        Decision::KeyReused(revision) => (intake::Decision::KeyReused, revision),
    }
}

/// A value that differs from the revision before.
#[must_use]
pub fn change(change: &Change) -> intake::Change {
    intake::Change {
        item: change.item.clone(),
        before: change.before.clone(),
        after: change.after.clone(),
    }
}

/// A fault or an oddity.
#[must_use]
pub fn problem(problem: &Problem) -> intake::Problem {
    intake::Problem {
        code: problem.code.to_owned(),
        field: problem.field.clone(),
        description: problem.description.clone(),
    }
}

// Figures.

/// The return that a figure came from.
#[must_use]
pub fn source(source: &Source) -> projections::Source {
    projections::Source {
        org_code: source.org.to_string(),
        revision: source.revision,
        position: stamp_to_proto(source.stamp),
        received_at: time_to_text(source.stamp.time_ms),
    }
}

/// One month of a series.
#[must_use]
pub fn point(point: &SeriesPoint) -> projections::Point {
    let (value, value_of_parts) = match point.value {
        Value::Measured(measured) => (
            projections::point::Value::Measured(measured_to_proto(measured)),
            measured.value(),
        ),
        Value::Missing(missing) => (
            projections::point::Value::Missing(names::missing_to_proto(missing).into()),
            None,
        ),
    };
    projections::Point {
        period: point.period.to_string(),
        value: Some(value),
        value_of_parts,
        definition_version: point.definition_version,
        status: point
            .status
            .map_or(events::ReturnStatus::Unspecified, names::status_to_proto)
            .into(),
        simulated: point.simulated,
        sources: point.sources.iter().map(source).collect(),
        organisations: point.organisations,
        stands_alone: point.stands_alone,
    }
}

/// One figure of one group, whose name the caller knows.
#[must_use]
pub fn roll_up_cell(key: &CellKey, group_name: &str, partial: &Partial) -> projections::RollUpCell {
    projections::RollUpCell {
        period: key.period.to_string(),
        group_code: key.group.map(|group| group.to_string()).unwrap_or_default(),
        group_name: group_name.to_owned(),
        marker: key.key.marker.to_string(),
        breakdown: key
            .key
            .breakdown
            .map(|part| part.to_string())
            .unwrap_or_default(),
        measured: partial.measured.map(measured_to_proto),
        value_of_parts: partial.measured.and_then(|measured| measured.value()),
        organisations: partial.organisations,
        organisations_missing: partial.missing,
        simulated: partial.simulated,
        sources: partial.sources.iter().map(source).collect(),
    }
}

/// Savings at the end of a month. `missing` are the organisations that owed a return of the month and gave none.
#[must_use]
pub fn savings_position(
    period: Period,
    position: &Position,
    missing: &[OrgCode],
    schemes: &[SchemePosition],
) -> projections::SavingsPosition {
    projections::SavingsPosition {
        period: period.to_string(),
        plan_month_pence: pence(position.plan_month),
        actual_month_pence: pence(position.actual_month),
        plan_ytd_pence: pence(position.plan_ytd),
        actual_ytd_pence: pence(position.actual_ytd),
        forecast_pence: pence(position.forecast),
        plan_year_pence: pence(position.plan_year),
        recurrent_share: position.recurrent_share(),
        delivery_ratio: position.delivery_ratio(),
        organisations: position.organisations,
        missing_org_codes: missing.iter().map(ToString::to_string).collect(),
        simulated: position.simulated,
        schemes: schemes.iter().map(scheme_position).collect(),
        organisations_with_actual_ytd: position.organisations_with_actual_ytd,
        actual_ytd_of_planned_pence: pence(position.actual_ytd_of_planned),
        plan_ytd_of_delivered_pence: pence(position.plan_ytd_of_delivered),
        recurrent_pence: pence(position.recurrent.map(|(recurrent, _)| recurrent)),
        recurrent_of_pence: pence(position.recurrent.map(|(_, of)| of)),
    }
}

fn scheme_position(position: &SchemePosition) -> projections::SchemePosition {
    projections::SchemePosition {
        scheme_id: position.scheme.to_string(),
        plan_month_pence: pence(position.plan_month),
        actual_month_pence: pence(position.actual_month),
        actual_ytd_pence: pence(position.actual_ytd),
        forecast_pence: pence(position.forecast),
        recurrent_pence: pence(position.recurrent),
        plan_ytd_pence: pence(position.plan_ytd),
    }
}

fn pence(amount: Option<Pence>) -> Option<i64> {
    amount.map(|amount| amount.0)
}

// Alerts.

/// An alert as it stands. The caller knows the name of its organisation.
#[must_use]
pub fn alert(alert: &Alert, org_name: &str, standing: &Standing<'_>) -> alerts::Alert {
    alerts::Alert {
        alert_id: alert.id.clone(),
        org_code: alert.org.to_string(),
        org_name: org_name.to_owned(),
        rule_id: alert.rule.clone(),
        condition: names::condition_to_proto(standing.condition).into(),
        stage: names::stage_to_proto(standing.stage).into(),
        raised_period: standing.raised_period.to_string(),
        raised_at: time_to_text(standing.raised.time_ms),
        changed_at: time_to_text(standing.changed.time_ms),
        finding: Some(finding_to_proto(standing.finding)),
        legal_acts: standing
            .legal_acts()
            .into_iter()
            .map(|act| names::act_to_proto(act).into())
            .collect(),
        outcome: names::outcome_name(standing.outcome).to_owned(),
    }
}

/// An entry of the history of the alert of this identifier.
#[must_use]
pub fn alert_event(alert_id: &str, event: &AlertEvent) -> alerts::AlertEvent {
    use alerts::alert_event::Event;
    let kind = match &event.kind {
        AlertEventKind::Evaluated(transition, finding) => {
            Event::Evaluated(evaluated_to_proto(alert_id, *transition, finding))
        }
        AlertEventKind::Acted(acted) => Event::Acted(acted_to_proto(acted)),
    };
    alerts::AlertEvent {
        position: stamp_to_proto(event.stamp),
        at: time_to_text(event.stamp.time_ms),
        event: Some(kind),
    }
}
