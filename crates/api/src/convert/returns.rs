//! Returns, schemes and figures between domain and wire.

mod packed;

use qipp_domain::marker::SeriesKey;
use qipp_domain::nation::ReturnFact;
use qipp_domain::returns::{
    Body, Measured, Missing, Observation, Precondition, Return, ReturnContent, SavingsLine, Value,
};
use qipp_domain::scheme::{LinkedMarker, Milestone, Scheme};
use qipp_domain::{OrgCode, Pence, Period, Quantity};

use crate::names;
use crate::parse::{Faults, Path, date_text, period_text};
use crate::proto::events::v1 as wire;
use wire::observation::Value as WireValue;
use wire::r#return::Body as WireBody;
use wire::return_fact::Fact;

/// A fact of the returns topic for the wire.
pub(crate) fn fact_to_proto(fact: &ReturnFact) -> wire::ReturnFact {
    let fact = match fact {
        ReturnFact::Return(ret) if let Body::Quality(observations) = &ret.content.body => {
            Fact::PackedReturnReceived(packed::to_proto(ret, observations))
        }
        ReturnFact::Return(ret) => Fact::ReturnReceived(wire::ReturnReceived {
            r#return: Some(return_to_proto(
                ret.org,
                ret.period,
                &ret.content,
                &ret.precondition,
            )),
        }),
        ReturnFact::Scheme {
            scheme,
            precondition,
        } => Fact::SchemeReceived(wire::SchemeReceived {
            scheme: Some(scheme_to_proto(scheme, precondition)),
        }),
    };
    wire::ReturnFact { fact: Some(fact) }
}

/// A return for the wire.
#[must_use]
pub fn return_to_proto(
    org: OrgCode,
    period: Period,
    content: &ReturnContent,
    precondition: &Precondition,
) -> wire::Return {
    let body = match &content.body {
        Body::Savings(lines) => WireBody::Savings(wire::SavingsReturn {
            lines: lines.iter().map(line_to_proto).collect(),
        }),
        Body::Quality(observations) => WireBody::Quality(wire::QualityReturn {
            observations: observations
                .iter()
                .map(|o| observation_to_proto(&o))
                .collect(),
        }),
    };
    wire::Return {
        org_code: org.to_string(),
        period: period.to_string(),
        status: names::status_to_proto(content.status).into(),
        body: Some(body),
        idempotency_key: precondition.idempotency_key.clone(),
        expected_revision: precondition.expected_revision,
        source: content.source.clone(),
        narrative: content.narrative.clone(),
    }
}

/// A line of a savings return for the wire.
#[must_use]
pub fn line_to_proto(line: &SavingsLine) -> wire::SavingsLine {
    let pence = |amount: Option<Pence>| amount.map(|amount| amount.0);
    wire::SavingsLine {
        scheme_id: line.scheme.to_string(),
        plan_pence: pence(line.plan),
        actual_pence: pence(line.actual),
        actual_ytd_pence: pence(line.actual_ytd),
        forecast_pence: pence(line.forecast),
        recurrent_pence: pence(line.recurrent),
        missing: line
            .missing
            .map_or(wire::Missing::Unspecified, names::missing_to_proto)
            .into(),
        simulated: line.simulated,
    }
}

/// An observation for the wire.
#[must_use]
pub fn observation_to_proto(observation: &Observation) -> wire::Observation {
    let value = match observation.value {
        Value::Measured(measured) => WireValue::Measured(measured_to_proto(measured)),
        Value::Missing(missing) => WireValue::Missing(names::missing_to_proto(missing).into()),
    };
    wire::Observation {
        marker: observation.key.marker.to_string(),
        definition_version: observation.definition_version,
        breakdown: observation
            .key
            .breakdown
            .map(|part| part.to_string())
            .unwrap_or_default(),
        value: Some(value),
        simulated: observation.simulated,
    }
}

/// A figure for the wire. Exact up to 2 × 10^12, twice what a return may state.
#[must_use]
pub fn measured_to_proto(measured: Measured) -> wire::Measured {
    wire::Measured {
        numerator: measured.numerator.to_f64(),
        denominator: measured.denominator.map(Quantity::to_f64),
    }
}

/// A scheme for the wire.
#[must_use]
pub fn scheme_to_proto(scheme: &Scheme, precondition: &Precondition) -> wire::Scheme {
    wire::Scheme {
        org_code: scheme.org.to_string(),
        scheme_id: scheme.id.to_string(),
        title: scheme.title.clone(),
        category: names::category_to_proto(scheme.category).into(),
        start: scheme.start.to_string(),
        planned_pence: scheme.planned.iter().map(|amount| amount.0).collect(),
        full_year_effect_pence: scheme.full_year_effect.0,
        recurrent: scheme.recurrent,
        pay: scheme.pay,
        linked_markers: scheme
            .linked_markers
            .iter()
            .map(|linked| wire::LinkedMarker {
                marker: linked.marker.to_string(),
                balancing: linked.balancing,
            })
            .collect(),
        clinical_lead: scheme.clinical_lead.clone(),
        qia_medical_director_signed: date_text(scheme.qia_medical_director),
        qia_nursing_director_signed: date_text(scheme.qia_nursing_director),
        milestones: scheme.milestones.iter().map(milestone_to_proto).collect(),
        ended: period_text(scheme.ended),
        idempotency_key: precondition.idempotency_key.clone(),
        expected_revision: precondition.expected_revision,
        simulated: scheme.simulated,
    }
}

fn milestone_to_proto(milestone: &Milestone) -> wire::Milestone {
    wire::Milestone {
        title: milestone.title.clone(),
        kind: names::milestone_kind_name(milestone.kind).to_owned(),
        due: milestone.due.to_string(),
        done: date_text(milestone.done),
    }
}

/// A fact of the returns topic, as the log holds it.
pub(crate) fn read_fact(
    faults: &mut Faults,
    path: &Path<'_>,
    fact: wire::ReturnFact,
) -> Option<ReturnFact> {
    match faults.required(&path.at("fact"), fact.fact)? {
        Fact::ReturnReceived(received) => {
            let path = path.at("return_received");
            let path = path.at("return");
            let ret = faults.required(&path, received.r#return)?;
            read_return(faults, &path, ret).map(ReturnFact::Return)
        }
        Fact::PackedReturnReceived(received) => {
            packed::read(faults, &path.at("packed_return_received"), received)
                .map(ReturnFact::Return)
        }
        Fact::SchemeReceived(received) => {
            let path = path.at("scheme_received");
            let path = path.at("scheme");
            let scheme = faults.required(&path, received.scheme)?;
            let read = read_scheme(faults, &path, &scheme)?;
            let precondition = precondition(scheme.idempotency_key, scheme.expected_revision);
            Some(ReturnFact::Scheme {
                scheme: read,
                precondition,
            })
        }
    }
}

/// How the sender wants a thing to be decided.
pub(crate) fn precondition(
    idempotency_key: String,
    expected_revision: Option<u32>,
) -> Precondition {
    Precondition {
        idempotency_key,
        expected_revision,
    }
}

fn read_return(faults: &mut Faults, path: &Path<'_>, ret: wire::Return) -> Option<Return> {
    let org = faults.org(&path.at("org_code"), &ret.org_code);
    let period = faults.period(&path.at("period"), &ret.period);
    let status = faults.choice(&path.at("status"), ret.status, names::status_from_proto);
    let body = match faults.required(&path.at("body"), ret.body.as_ref())? {
        WireBody::Savings(savings) => faults
            .list(&path.at("savings"), "lines", &savings.lines, read_line)
            .map(Body::Savings),
        WireBody::Quality(quality) => {
            let read = |faults: &mut Faults, path: &Path<'_>, observation| {
                read_observation(faults, path, observation, stored_quantity)
            };
            faults
                .list(
                    &path.at("quality"),
                    "observations",
                    &quality.observations,
                    read,
                )
                .map(|observations| Body::Quality(observations.into()))
        }
    };
    let content = ReturnContent {
        status: status?,
        source: ret.source,
        narrative: ret.narrative,
        body: body?,
    };
    let precondition = precondition(ret.idempotency_key, ret.expected_revision);
    Some(Return {
        org: org?,
        period: period?,
        content,
        precondition,
    })
}

/// A line of a savings return, by form only.
pub(crate) fn read_line(
    faults: &mut Faults,
    path: &Path<'_>,
    line: &wire::SavingsLine,
) -> Option<SavingsLine> {
    let scheme = faults.scheme_id(&path.at("scheme_id"), &line.scheme_id);
    let missing = read_missing(faults, &path.at("missing"), line.missing, true);
    Some(SavingsLine {
        scheme: scheme?,
        plan: line.plan_pence.map(Pence),
        actual: line.actual_pence.map(Pence),
        actual_ytd: line.actual_ytd_pence.map(Pence),
        forecast: line.forecast_pence.map(Pence),
        recurrent: line.recurrent_pence.map(Pence),
        missing: missing?,
        simulated: line.simulated,
    })
}

/// A reason for a missing figure. 0 is "no reason", which is either fine or a fault.
#[allow(
    clippy::option_option,
    reason = "the outer one says whether it could be read"
)]
fn read_missing(
    faults: &mut Faults,
    path: &Path<'_>,
    number: i32,
    may_be_absent: bool,
) -> Option<Option<Missing>> {
    if number == 0 && may_be_absent {
        return Some(None);
    }
    faults
        .choice(path, number, names::missing_from_proto)
        .map(Some)
}

/// Reads one number of a figure.
pub(crate) type ReadQuantity = fn(&mut Faults, &Path<'_>, f64) -> Option<Quantity>;

/// An observation; `quantity` says how strict its numbers are read.
pub(crate) fn read_observation(
    faults: &mut Faults,
    path: &Path<'_>,
    observation: &wire::Observation,
    quantity: ReadQuantity,
) -> Option<Observation> {
    let marker = faults.marker(&path.at("marker"), &observation.marker);
    let breakdown = faults.breakdown(&path.at("breakdown"), &observation.breakdown);
    let value = match observation.value {
        None => {
            let what = "there is neither a figure nor a reason for its absence: state one of `measured` and `missing`";
            faults.add(path, "NO_VALUE", what);
            None
        }
        Some(WireValue::Missing(number)) => {
            read_missing(faults, &path.at("missing"), number, false)
                .flatten()
                .map(Value::Missing)
        }
        Some(WireValue::Measured(measured)) => read_measured(
            faults,
            &path.at("measured"),
            measured.numerator,
            measured.denominator,
            quantity,
        )
        .map(Value::Measured),
    };
    Some(Observation {
        key: SeriesKey {
            marker: marker?,
            breakdown: breakdown?,
        },
        definition_version: observation.definition_version,
        value: value?,
        simulated: observation.simulated,
    })
}

/// A figure and its parts.
pub(crate) fn read_measured(
    faults: &mut Faults,
    path: &Path<'_>,
    numerator: f64,
    denominator: Option<f64>,
    quantity: ReadQuantity,
) -> Option<Measured> {
    let numerator = quantity(faults, &path.at("numerator"), numerator);
    let denominator =
        denominator.map(|denominator| quantity(faults, &path.at("denominator"), denominator));
    Some(Measured {
        numerator: numerator?,
        denominator: flip(denominator)?,
    })
}

/// From "there is one, and it was read or not" to "all is well, with or without one".
#[allow(clippy::option_option, reason = "absent and unreadable are different")]
pub(crate) fn flip<T>(read: Option<Option<T>>) -> Option<Option<T>> {
    match read {
        None => Some(None),
        Some(value) => value.map(Some),
    }
}

/// A number that the log holds. It passed validation when it was written, or is a sum of such numbers, so it is only held to be a
/// number that fits.
#[allow(
    clippy::cast_possible_truncation,
    reason = "bounded and rounded just before"
)]
pub(crate) fn stored_quantity(
    faults: &mut Faults,
    path: &Path<'_>,
    number: f64,
) -> Option<Quantity> {
    const MOST: f64 = 9e15;
    let number = faults.finite(path, number)?;
    if number.abs() > MOST {
        faults.add(
            path,
            "TOO_LARGE",
            "is above 9 × 10^15, the largest sum that can be held",
        );
        return None;
    }
    Some(Quantity::from_thousandths((number * 1000.0).round() as i64))
}

/// A scheme, by form only.
pub(crate) fn read_scheme(
    faults: &mut Faults,
    path: &Path<'_>,
    scheme: &wire::Scheme,
) -> Option<Scheme> {
    let org = faults.org(&path.at("org_code"), &scheme.org_code);
    let id = faults.scheme_id(&path.at("scheme_id"), &scheme.scheme_id);
    let category = faults.choice(
        &path.at("category"),
        scheme.category,
        names::category_from_proto,
    );
    let start = faults.period(&path.at("start"), &scheme.start);
    let linked_markers = faults.list(
        path,
        "linked_markers",
        &scheme.linked_markers,
        |faults, path, linked| {
            let marker = faults.marker(&path.at("marker"), &linked.marker)?;
            Some(LinkedMarker {
                marker,
                balancing: linked.balancing,
            })
        },
    );
    let medical = faults.optional_date(
        &path.at("qia_medical_director_signed"),
        &scheme.qia_medical_director_signed,
    );
    let nursing = faults.optional_date(
        &path.at("qia_nursing_director_signed"),
        &scheme.qia_nursing_director_signed,
    );
    let milestones = faults.list(path, "milestones", &scheme.milestones, read_milestone);
    let ended = faults.optional_period(&path.at("ended"), &scheme.ended);
    Some(Scheme {
        org: org?,
        id: id?,
        title: scheme.title.clone(),
        category: category?,
        start: start?,
        planned: scheme
            .planned_pence
            .iter()
            .map(|&amount| Pence(amount))
            .collect(),
        full_year_effect: Pence(scheme.full_year_effect_pence),
        recurrent: scheme.recurrent,
        pay: scheme.pay,
        linked_markers: linked_markers?,
        clinical_lead: scheme.clinical_lead.clone(),
        qia_medical_director: medical?,
        qia_nursing_director: nursing?,
        milestones: milestones?,
        ended: ended?,
        simulated: scheme.simulated,
    })
}

fn read_milestone(
    faults: &mut Faults,
    path: &Path<'_>,
    milestone: &wire::Milestone,
) -> Option<Milestone> {
    let kinds = names::MILESTONE_KINDS.map(|(_, name)| name);
    let kind = names::milestone_kind_from_name(&milestone.kind);
    let kind = faults.named(&path.at("kind"), &milestone.kind, kind, &kinds);
    let due = faults.date(&path.at("due"), &milestone.due);
    let done = faults.optional_date(&path.at("done"), &milestone.done);
    Some(Milestone {
        title: milestone.title.clone(),
        kind: kind?,
        due: due?,
        done: done?,
    })
}
