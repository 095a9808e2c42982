//! Findings, alert facts and national values between domain and wire.

use qipp_domain::OrgCode;
use qipp_domain::alert::{
    Acted, AlertFact, Evidence, Finding, LateReturn, MarkerEvidence, MarkerPoint, SavingsEvidence,
    Transition,
};
use qipp_domain::benchmark::NationalValue;
use qipp_domain::marker::QualityDomain;
use qipp_domain::returns::Measured;
use qipp_domain::{Pence, Quantity};

use super::returns::{flip, read_measured, stored_quantity};
use super::surveillance::{joint_to_proto, read_joint};
use crate::cut::{cut_to_proto, read_cut};
use crate::names;
use crate::parse::{Faults, Path};
use crate::proto::events::v1 as wire;

/// A national value for the wire.
#[must_use]
pub fn national_value_to_proto(value: &NationalValue) -> wire::NationalValuePublished {
    wire::NationalValuePublished {
        marker: value.marker.to_string(),
        peer_group: value.peer_group.to_string(),
        period: value.period.to_string(),
        numerator: value.measured.numerator.to_f64(),
        denominator: value.measured.denominator.map(Quantity::to_f64),
        organisations: value.organisations,
        organisations_slipping: value.organisations_slipping,
        cut: Some(cut_to_proto(&value.cut)),
        simulated: value.simulated,
    }
}

/// A fact of the benchmarks topic for the wire.
pub(crate) fn benchmark_to_proto(value: &NationalValue) -> wire::BenchmarkFact {
    wire::BenchmarkFact {
        fact: Some(wire::benchmark_fact::Fact::NationalValuePublished(
            national_value_to_proto(value),
        )),
    }
}

/// A fact of the alerts topic for the wire.
pub(crate) fn fact_to_proto(fact: &AlertFact) -> wire::AlertFact {
    use wire::alert_fact::Fact;
    let fact = match fact {
        AlertFact::Evaluated {
            alert_id,
            transition,
            finding,
        } => Fact::Evaluated(evaluated_to_proto(alert_id, *transition, finding)),
        AlertFact::Acted(acted) => Fact::Acted(acted_to_proto(acted)),
    };
    wire::AlertFact { fact: Some(fact) }
}

/// An evaluation for the wire.
#[must_use]
pub fn evaluated_to_proto(
    alert_id: &str,
    transition: Transition,
    finding: &Finding,
) -> wire::AlertEvaluated {
    wire::AlertEvaluated {
        alert_id: alert_id.to_owned(),
        transition: names::transition_to_proto(transition).into(),
        finding: Some(finding_to_proto(finding)),
    }
}

/// An act for the wire.
#[must_use]
pub fn acted_to_proto(acted: &Acted) -> wire::AlertActed {
    wire::AlertActed {
        alert_id: acted.alert_id.clone(),
        act_id: acted.act_id.clone(),
        act: names::act_to_proto(acted.act).into(),
        who: acted.who.clone(),
        why: acted.why.clone(),
    }
}

/// A finding for the wire.
#[must_use]
pub fn finding_to_proto(finding: &Finding) -> wire::Finding {
    wire::Finding {
        rule_id: finding.rule.clone(),
        org_code: finding.org.to_string(),
        period: finding.period.to_string(),
        severity: names::severity_to_proto(finding.severity).into(),
        summary: finding.summary.clone(),
        question: finding.question.clone(),
        asked: finding.asked.clone(),
        suppressed_because: finding.suppressed_because.clone(),
        evidence: Some(evidence_to_proto(&finding.evidence)),
    }
}

fn evidence_to_proto(evidence: &Evidence) -> wire::Evidence {
    wire::Evidence {
        cut: Some(cut_to_proto(&evidence.cut)),
        rule_set_version: evidence.rule_set_version.clone(),
        as_of: evidence.as_of.to_string(),
        savings: evidence.savings.as_ref().map(savings_to_proto),
        markers: evidence.markers.iter().map(marker_to_proto).collect(),
        late_returns: evidence.late_returns.iter().map(late_to_proto).collect(),
        simulated: evidence.simulated,
        notes: evidence.notes.clone(),
        joint: evidence.joint.as_ref().map(joint_to_proto),
    }
}

fn savings_to_proto(savings: &SavingsEvidence) -> wire::SavingsEvidence {
    let pence = |amount: Option<Pence>| amount.map(|amount| amount.0);
    wire::SavingsEvidence {
        last_three_months_pence: pence(savings.last_three_months),
        same_months_last_year_pence: pence(savings.same_months_last_year),
        planned_three_months_pence: pence(savings.planned_three_months),
        in_force_pence: savings.in_force.0,
        in_force_three_months_ago_pence: savings.in_force_three_months_ago.0,
        basis: savings.basis.clone(),
        rising_periods: savings
            .rising_periods
            .iter()
            .map(ToString::to_string)
            .collect(),
        simulated: savings.simulated,
        pay_three_months_pence: pence(savings.pay_three_months),
    }
}

fn marker_to_proto(marker: &MarkerEvidence) -> wire::MarkerEvidence {
    wire::MarkerEvidence {
        marker: marker.marker.to_string(),
        domain: marker.domain.name().to_owned(),
        definition_version: marker.definition_version,
        polarity: names::polarity_to_proto(marker.polarity).into(),
        direction: names::direction_name(marker.direction).to_owned(),
        baseline_mean: marker.baseline_mean,
        baseline_sigma: marker.baseline_sigma,
        baseline_points: marker.baseline_points,
        baseline_from: marker.baseline_from.to_string(),
        baseline_until: marker.baseline_until.to_string(),
        trial: marker.trial,
        scale: marker.scale.clone(),
        points: marker.points.iter().map(point_to_proto).collect(),
        linked_schemes: marker
            .linked_schemes
            .iter()
            .map(ToString::to_string)
            .collect(),
        simulated: marker.simulated,
    }
}

fn point_to_proto(point: &MarkerPoint) -> wire::MarkerPoint {
    wire::MarkerPoint {
        period: point.period.to_string(),
        numerator: point.own.numerator.to_f64(),
        denominator: point.own.denominator.map(Quantity::to_f64),
        national_numerator: point.national.numerator.to_f64(),
        national_denominator: point.national.denominator.map(Quantity::to_f64),
        residual: point.residual,
        adverse_z: point.adverse_z,
        revision: point.revision,
        status: names::status_to_proto(point.status).into(),
    }
}

fn late_to_proto(late: &LateReturn) -> wire::LateReturn {
    wire::LateReturn {
        dataset: names::dataset_to_proto(late.dataset).into(),
        period: late.period.to_string(),
        due: late.due.to_string(),
        working_days_late: late.working_days_late,
    }
}

/// A fact of the benchmarks topic.
pub(crate) fn read_benchmark(
    faults: &mut Faults,
    path: &Path<'_>,
    fact: &wire::BenchmarkFact,
) -> Option<NationalValue> {
    let wire::benchmark_fact::Fact::NationalValuePublished(value) =
        faults.required(&path.at("fact"), fact.fact.as_ref())?;
    let path = path.at("national_value_published");
    let marker = faults.marker(&path.at("marker"), &value.marker);
    let peer_group = faults.slug(&path.at("peer_group"), &value.peer_group);
    let period = faults.period(&path.at("period"), &value.period);
    let measured = read_measured(
        faults,
        &path,
        value.numerator,
        value.denominator,
        stored_quantity,
    );
    let cut = faults.required(&path.at("cut"), value.cut.as_ref());
    let cut = cut.and_then(|cut| read_cut(faults, &path.at("cut"), cut));
    Some(NationalValue {
        marker: marker?,
        peer_group: peer_group?,
        period: period?,
        measured: measured?,
        organisations: value.organisations,
        organisations_slipping: value.organisations_slipping,
        cut: cut?,
        simulated: value.simulated,
    })
}

/// A fact of the alerts topic; a finding has to be about `org`, whose record it is.
pub(crate) fn read_fact(
    faults: &mut Faults,
    path: &Path<'_>,
    org: OrgCode,
    fact: &wire::AlertFact,
) -> Option<AlertFact> {
    match faults.required(&path.at("fact"), fact.fact.as_ref())? {
        wire::alert_fact::Fact::Acted(acted) => {
            let path = path.at("acted");
            let act = faults.choice(&path.at("act"), acted.act, names::act_from_proto)?;
            let (alert_id, act_id) = (acted.alert_id.clone(), acted.act_id.clone());
            Some(AlertFact::Acted(Acted {
                alert_id,
                act_id,
                act,
                who: acted.who.clone(),
                why: acted.why.clone(),
            }))
        }
        wire::alert_fact::Fact::Evaluated(evaluated) => {
            let path = path.at("evaluated");
            let transition = faults.choice(
                &path.at("transition"),
                evaluated.transition,
                names::transition_from_proto,
            );
            let path = path.at("finding");
            let finding = faults.required(&path, evaluated.finding.as_ref())?;
            let finding = read_finding(faults, &path, finding)?;
            if finding.org != org {
                let what = format!(
                    "the finding is about {} and the record is of {org}",
                    finding.org
                );
                faults.add(&path.at("org_code"), "WRONG_KEY", what);
            }
            Some(AlertFact::Evaluated {
                alert_id: evaluated.alert_id.clone(),
                transition: transition?,
                finding,
            })
        }
    }
}

/// A finding.
pub(crate) fn read_finding(
    faults: &mut Faults,
    path: &Path<'_>,
    finding: &wire::Finding,
) -> Option<Finding> {
    let org = faults.org(&path.at("org_code"), &finding.org_code);
    let period = faults.period(&path.at("period"), &finding.period);
    let severity = faults.choice(
        &path.at("severity"),
        finding.severity,
        names::severity_from_proto,
    );
    let evidence = faults.required(&path.at("evidence"), finding.evidence.as_ref());
    let evidence =
        evidence.and_then(|evidence| read_evidence(faults, &path.at("evidence"), evidence));
    Some(Finding {
        rule: finding.rule_id.clone(),
        org: org?,
        period: period?,
        severity: severity?,
        summary: finding.summary.clone(),
        question: finding.question.clone(),
        asked: finding.asked.clone(),
        suppressed_because: finding.suppressed_because.clone(),
        evidence: evidence?,
    })
}

fn read_evidence(
    faults: &mut Faults,
    path: &Path<'_>,
    evidence: &wire::Evidence,
) -> Option<Evidence> {
    let cut = faults.required(&path.at("cut"), evidence.cut.as_ref());
    let cut = cut.and_then(|cut| read_cut(faults, &path.at("cut"), cut));
    let as_of = faults.date(&path.at("as_of"), &evidence.as_of);
    let savings = match &evidence.savings {
        None => Some(None),
        Some(savings) => read_savings(faults, &path.at("savings"), savings).map(Some),
    };
    let markers = faults.list(path, "markers", &evidence.markers, read_marker);
    let late_returns = faults.list(path, "late_returns", &evidence.late_returns, read_late);
    let joint = match &evidence.joint {
        None => Some(None),
        Some(joint) => read_joint(faults, &path.at("joint"), joint).map(Some),
    };
    Some(Evidence {
        cut: cut?,
        rule_set_version: evidence.rule_set_version.clone(),
        as_of: as_of?,
        savings: savings?,
        markers: markers?,
        late_returns: late_returns?,
        simulated: evidence.simulated,
        notes: evidence.notes.clone(),
        joint: joint?,
    })
}

fn read_savings(
    faults: &mut Faults,
    path: &Path<'_>,
    savings: &wire::SavingsEvidence,
) -> Option<SavingsEvidence> {
    let rising = faults.list(
        path,
        "rising_periods",
        &savings.rising_periods,
        |faults, path, text| faults.period(path, text),
    );
    Some(SavingsEvidence {
        last_three_months: savings.last_three_months_pence.map(Pence),
        same_months_last_year: savings.same_months_last_year_pence.map(Pence),
        planned_three_months: savings.planned_three_months_pence.map(Pence),
        pay_three_months: savings.pay_three_months_pence.map(Pence),
        in_force: Pence(savings.in_force_pence),
        in_force_three_months_ago: Pence(savings.in_force_three_months_ago_pence),
        basis: savings.basis.clone(),
        rising_periods: rising?,
        simulated: savings.simulated,
    })
}

fn read_marker(
    faults: &mut Faults,
    path: &Path<'_>,
    marker: &wire::MarkerEvidence,
) -> Option<MarkerEvidence> {
    let domains = QualityDomain::NAMES.map(|(_, name)| name);
    let code = faults.marker(&path.at("marker"), &marker.marker);
    let domain = QualityDomain::from_name(&marker.domain);
    let domain = faults.named(&path.at("domain"), &marker.domain, domain, &domains);
    let polarity = faults.choice(
        &path.at("polarity"),
        marker.polarity,
        names::polarity_from_proto,
    );
    let direction = names::direction_from_name(&marker.direction);
    let direction = faults.named(
        &path.at("direction"),
        &marker.direction,
        direction,
        &["slipping", "improving"],
    );
    let from = faults.period(&path.at("baseline_from"), &marker.baseline_from);
    let until = faults.period(&path.at("baseline_until"), &marker.baseline_until);
    let points = faults.list(path, "points", &marker.points, read_point);
    let schemes = faults.list(
        path,
        "linked_schemes",
        &marker.linked_schemes,
        |faults, path, text| faults.scheme_id(path, text),
    );
    Some(MarkerEvidence {
        marker: code?,
        domain: domain?,
        definition_version: marker.definition_version,
        polarity: polarity?,
        direction: direction?,
        baseline_mean: marker.baseline_mean,
        baseline_sigma: marker.baseline_sigma,
        baseline_points: marker.baseline_points,
        baseline_from: from?,
        baseline_until: until?,
        trial: marker.trial,
        scale: marker.scale.clone(),
        points: points?,
        linked_schemes: schemes?,
        simulated: marker.simulated,
    })
}

fn read_point(
    faults: &mut Faults,
    path: &Path<'_>,
    point: &wire::MarkerPoint,
) -> Option<MarkerPoint> {
    let period = faults.period(&path.at("period"), &point.period);
    let own = read_measured(
        faults,
        path,
        point.numerator,
        point.denominator,
        stored_quantity,
    );
    let national_numerator = stored_quantity(
        faults,
        &path.at("national_numerator"),
        point.national_numerator,
    );
    let national_denominator = point
        .national_denominator
        .map(|number| stored_quantity(faults, &path.at("national_denominator"), number));
    let status = faults.choice(&path.at("status"), point.status, names::status_from_proto);
    Some(MarkerPoint {
        period: period?,
        own: own?,
        national: Measured {
            numerator: national_numerator?,
            denominator: flip(national_denominator)?,
        },
        residual: point.residual,
        adverse_z: point.adverse_z,
        revision: point.revision,
        status: status?,
    })
}

fn read_late(faults: &mut Faults, path: &Path<'_>, late: &wire::LateReturn) -> Option<LateReturn> {
    let dataset = faults.choice(&path.at("dataset"), late.dataset, names::dataset_from_proto);
    let period = faults.period(&path.at("period"), &late.period);
    let due = faults.date(&path.at("due"), &late.due);
    Some(LateReturn {
        dataset: dataset?,
        period: period?,
        due: due?,
        working_days_late: late.working_days_late,
    })
}
