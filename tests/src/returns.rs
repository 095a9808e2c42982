//! Returns and schemes, as short as a scenario needs them.

use qipp_api::proto::events::v1::observation::Value;
use qipp_api::proto::events::v1::r#return::Body;
use qipp_api::proto::events::v1::{
    Measured, Missing, Observation, QualityReturn, Return, ReturnStatus, SavingsLine,
    SavingsReturn, Scheme, SchemeCategory,
};

/// A figure with its parts.
#[must_use]
pub fn measured(marker: &str, numerator: f64, denominator: f64) -> Observation {
    Observation {
        marker: marker.to_owned(),
        value: Some(Value::Measured(Measured {
            numerator,
            denominator: Some(denominator),
        })),
        ..Observation::default()
    }
}

/// A reason instead of a figure.
#[must_use]
pub fn missing(marker: &str, why: Missing) -> Observation {
    Observation {
        marker: marker.to_owned(),
        value: Some(Value::Missing(why.into())),
        ..Observation::default()
    }
}

/// A final quality return.
#[must_use]
pub fn quality(org: &str, period: &str, observations: Vec<Observation>) -> Return {
    of(org, period, Body::Quality(QualityReturn { observations }))
}

/// A final quality return of four-hour waits alone.
#[must_use]
pub fn four_hours(org: &str, period: &str, within: f64, attendances: f64) -> Return {
    quality(org, period, vec![measured("AE_4H", within, attendances)])
}

/// A final savings return of one scheme: what it planned and delivered in the month, pence.
#[must_use]
pub fn savings(org: &str, period: &str, scheme: &str, plan: i64, actual: i64) -> Return {
    let line = SavingsLine {
        scheme_id: scheme.to_owned(),
        plan_pence: Some(plan),
        actual_pence: Some(actual),
        recurrent_pence: Some(actual / 2),
        ..SavingsLine::default()
    };
    of(
        org,
        period,
        Body::Savings(SavingsReturn { lines: vec![line] }),
    )
}

fn of(org: &str, period: &str, body: Body) -> Return {
    Return {
        org_code: org.to_owned(),
        period: period.to_owned(),
        status: ReturnStatus::Final.into(),
        body: Some(body),
        ..Return::default()
    }
}

/// A scheme that plans the same every month for three years, linked to four-hour waits.
#[must_use]
pub fn scheme(org: &str, id: &str, start: &str, planned: i64) -> Scheme {
    Scheme {
        org_code: org.to_owned(),
        scheme_id: id.to_owned(),
        title: format!("Scheme {id} of {org}"),
        category: SchemeCategory::ClinicalProductivity.into(),
        start: start.to_owned(),
        planned_pence: vec![planned; 36],
        full_year_effect_pence: planned * 12,
        recurrent: true,
        linked_markers: vec![qipp_api::proto::events::v1::LinkedMarker {
            marker: "AE_4H".to_owned(),
            balancing: true,
        }],
        ..Scheme::default()
    }
}
