//! Any finding, act and national value.

use super::*;
use qipp_domain::alert::{
    Act, Acted, Direction, Evidence, Finding, JointEvidence, LateReturn, MarkerEvidence,
    MarkerPoint, SavingsEvidence, Severity, Transition,
};
use qipp_domain::surveillance::{Assessment, NationalChange, PeerValue, Tier, Watched};

pub(super) fn national_value() -> impl Strategy<Value = NationalValue> {
    (
        marker(),
        slug(),
        period(),
        measured(),
        any::<[u32; 2]>(),
        cut(),
        any::<bool>(),
    )
        .prop_map(
            |(
                marker,
                peer_group,
                period,
                measured,
                [organisations, organisations_slipping],
                cut,
                simulated,
            )| NationalValue {
                marker,
                peer_group,
                period,
                measured,
                organisations,
                organisations_slipping,
                cut,
                simulated,
            },
        )
}

pub(super) fn alert_fact(org: OrgCode) -> impl Strategy<Value = AlertFact> {
    let transitions = select(vec![
        Transition::Raised,
        Transition::Updated,
        Transition::Cleared,
        Transition::Withdrawn,
        Transition::Suppressed,
    ]);
    let evaluated =
        (text(), transitions, finding(org)).prop_map(|(alert_id, transition, finding)| {
            AlertFact::Evaluated {
                alert_id,
                transition,
                finding,
            }
        });
    let acted = (text(), text(), select(Act::ALL.to_vec()), text(), text()).prop_map(
        |(alert_id, act_id, act, who, why)| {
            AlertFact::Acted(Acted {
                alert_id,
                act_id,
                act,
                who,
                why,
            })
        },
    );
    prop_oneof![evaluated, acted]
}

fn finding(org: OrgCode) -> impl Strategy<Value = Finding> {
    let severity = select(vec![Severity::Info, Severity::Amber, Severity::Red]);
    (
        period(),
        severity,
        [(); 4].map(|()| text()),
        vec(text(), 0..3),
        evidence(),
    )
        .prop_map(
            move |(
                period,
                severity,
                [rule, summary, question, suppressed_because],
                asked,
                evidence,
            )| Finding {
                rule,
                org,
                period,
                severity,
                summary,
                question,
                asked,
                suppressed_because,
                evidence,
            },
        )
}

fn evidence() -> impl Strategy<Value = Evidence> {
    let late = (dataset(), period(), date(), any::<u32>()).prop_map(
        |(dataset, period, due, working_days_late)| LateReturn {
            dataset,
            period,
            due,
            working_days_late,
        },
    );
    let lists = (
        vec(marker_evidence(), 0..3),
        vec(late, 0..3),
        vec(text(), 0..3),
        option::of(joint_evidence()),
    );
    (
        cut(),
        text(),
        date(),
        option::of(savings_evidence()),
        lists,
        any::<bool>(),
    )
        .prop_map(
            |(
                cut,
                rule_set_version,
                as_of,
                savings,
                (markers, late_returns, notes, joint),
                simulated,
            )| {
                Evidence {
                    cut,
                    rule_set_version,
                    as_of,
                    savings,
                    markers,
                    late_returns,
                    simulated,
                    notes,
                    joint,
                }
            },
        )
}

fn savings_evidence() -> impl Strategy<Value = SavingsEvidence> {
    let amounts = [(); 4].map(|()| option::of(pence()));
    (
        amounts,
        [pence(), pence()],
        text(),
        vec(period(), 0..3),
        any::<bool>(),
    )
        .prop_map(
            |(amounts, [in_force, in_force_three_months_ago], basis, rising_periods, simulated)| {
                let [
                    last_three_months,
                    same_months_last_year,
                    planned_three_months,
                    pay_three_months,
                ] = amounts;
                SavingsEvidence {
                    last_three_months,
                    same_months_last_year,
                    planned_three_months,
                    pay_three_months,
                    in_force,
                    in_force_three_months_ago,
                    basis,
                    rising_periods,
                    simulated,
                }
            },
        )
}

fn marker_evidence() -> impl Strategy<Value = MarkerEvidence> {
    let point = (
        period(),
        measured(),
        measured(),
        [number(), number()],
        any::<u32>(),
        status(),
    )
        .prop_map(
            |(period, own, national, [residual, adverse_z], revision, status)| MarkerPoint {
                period,
                own,
                national,
                residual,
                adverse_z,
                revision,
                status,
            },
        );
    let kind = (
        marker(),
        quality_domain(),
        polarity(),
        select(vec![Direction::Slipping, Direction::Improving]),
        text(),
    );
    let baseline = (
        [number(), number()],
        any::<u32>(),
        period(),
        period(),
        any::<bool>(),
    );
    let lists = (vec(point, 0..4), vec(scheme_id(), 0..3));
    (kind, baseline, lists, any::<u32>(), any::<bool>()).prop_map(
        |(kind, baseline, lists, definition_version, simulated)| {
            let (marker, domain, polarity, direction, scale) = kind;
            let (
                [baseline_mean, baseline_sigma],
                baseline_points,
                baseline_from,
                baseline_until,
                trial,
            ) = baseline;
            let (points, linked_schemes) = lists;
            MarkerEvidence {
                marker,
                domain,
                definition_version,
                polarity,
                direction,
                baseline_mean,
                baseline_sigma,
                baseline_points,
                baseline_from,
                baseline_until,
                trial,
                scale,
                points,
                linked_schemes,
                simulated,
            }
        },
    )
}

fn tier() -> impl Strategy<Value = Tier> {
    select(Tier::NAMES.map(|(tier, _)| tier).to_vec())
}

fn quality_domain() -> impl Strategy<Value = QualityDomain> {
    select(QualityDomain::NAMES.map(|(domain, _)| domain).to_vec())
}

fn watched() -> impl Strategy<Value = Watched> {
    (
        org(),
        tier(),
        any::<[u16; 3]>(),
        quality_domain(),
        period(),
        vec(marker(), 0..3),
    )
        .prop_map(|(org, tier, numbers, domain, since, markers)| {
            let [chance_false, savings_p, quality_p] = numbers.map(|n| f64::from(n) / 65535.0);
            Watched {
                org,
                tier,
                chance_false,
                savings_p,
                quality_p,
                domain,
                since,
                markers,
            }
        })
}

fn joint_evidence() -> impl Strategy<Value = JointEvidence> {
    (slug(), watched(), any::<[u32; 2]>(), any::<u16>(), cut()).prop_map(
        |(peer_group, entry, [assessed, listed], expected_false, decided_at)| JointEvidence {
            peer_group,
            entry,
            assessed,
            listed,
            expected_false: f64::from(expected_false) / 7.0,
            decided_at,
        },
    )
}

pub(super) fn assessment() -> impl Strategy<Value = Assessment> {
    let national = (marker(), any::<i16>()).prop_map(|(marker, jump)| NationalChange {
        marker,
        jump: f64::from(jump) / 3.0,
    });
    let peers = (marker(), any::<u16>()).prop_map(|(marker, value)| PeerValue {
        marker,
        value: f64::from(value) / 3.0,
    });
    (
        (slug(), period(), text(), cut()),
        any::<(u32, u16, u16, bool)>(),
        vec(watched(), 0..4),
        vec(national, 0..3),
        vec(peers, 0..3),
    )
        .prop_map(
            |(
                (peer_group, period, rule_set_version, cut),
                (assessed, expected_false, expected_false_watched, simulated),
                watched,
                national,
                peers,
            )| Assessment {
                peer_group,
                period,
                assessed,
                expected_false: f64::from(expected_false) / 7.0,
                expected_false_watched: f64::from(expected_false_watched) / 7.0,
                watched,
                national,
                peers,
                rule_set_version,
                cut,
                simulated,
            },
        )
}
