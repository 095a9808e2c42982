//! What was decided is decided again from the log alone, and what was tampered with is named.

use qipp_domain::alert::{AlertFact, Transition};
use qipp_domain::nation::{Facts, Nation};
use qipp_domain::{Cut, Stamp};
use qipp_rules::again::{Again, all};
use qipp_rules::national::{Asked, Group, Month, QUORUM, with_later_months};

use crate::fixture::{FAR, NOW, Trust, month};
use crate::nation::{Size, made};

fn differing(nation: &Nation) -> Vec<Again> {
    let again = all(nation).into_iter().flat_map(|held| held.again(nation));
    again.filter(|held| held.difference.is_some()).collect()
}

/// The trust slips, and a restated return takes it back.
fn trust() -> (Trust, Trust) {
    let usual = Trust::with_rising_savings();
    let slipping = usual.clone().worse("AE_4H", FAR, &[NOW]);
    (slipping.worse("FFT_IP", FAR, &[NOW]), usual)
}

/// The alerts of the trust, without the national values, which the fixture makes up.
fn of_alerts(nation: &Nation) -> Vec<Again> {
    let mut found = differing(nation);
    found.retain(|held| held.of.starts_with('R'));
    found
}

#[test]
fn raised_and_withdrawn_alerts_are_decided_again_and_equal_and_a_tampered_one_is_named() {
    let (slipping, usual) = trust();
    let mut log = slipping.log();
    let mut facts = log.evaluate_on("2012-08-01");
    log.returns(vec![usual.quality_return(month(NOW))]);
    facts.extend(log.evaluate_on("2012-08-02"));
    let did = |fact: &AlertFact, wanted| matches!(fact, AlertFact::Evaluated { transition, .. } if *transition == wanted);
    assert!(facts.iter().any(|fact| did(fact, Transition::Raised)));
    assert!(facts.iter().any(|fact| did(fact, Transition::Withdrawn)));
    assert_eq!(of_alerts(&log.nation), Vec::new());

    for at in 0..facts.len() {
        let mut forged = slipping.log();
        forged.returns(vec![usual.quality_return(month(NOW))]);
        let mut tampered = facts.clone();
        let AlertFact::Evaluated {
            alert_id, finding, ..
        } = &mut tampered[at]
        else {
            continue;
        };
        let named = alert_id.clone();
        finding.summary.push_str(" Or so.");
        forged.alerts(tampered);
        let found = of_alerts(&forged.nation);
        assert!(
            found.iter().any(|held| held.name == named
                && held
                    .difference
                    .as_ref()
                    .is_some_and(|what| what.contains("summary"))),
            "{found:?}"
        );
    }
}

#[test]
fn national_values_are_added_up_again_and_a_tampered_one_is_named() {
    // The fixture's values carry no cut: new ones are published at the end of the log.
    let (mut nation, cut) = made(Size::SMALL);
    let period = month("2013-03");
    let groups = nation
        .benchmarks()
        .published()
        .filter(|(_, value)| value.period == period)
        .map(|(_, value)| Group {
            marker: value.marker,
            kind: value.peer_group,
        })
        .collect();
    let touched = [(period, groups)].into_iter().collect();
    let (period, groups) = with_later_months(touched, nation.benchmarks())
        .pop_first()
        .unwrap();
    let today = "2013-05-01".parse().unwrap();
    let asked = Month::begin(&nation, &cut, today, period, groups, QUORUM).ask(usize::MAX);
    let Asked::All(mut values) = asked else {
        panic!("all were asked");
    };
    assert!(
        values.iter().any(|value| value.organisations_slipping > 0),
        "{values:?}"
    );
    append(&mut nation, &cut, values.clone());
    let of_cut = |nation: &Nation, cut: &Cut| -> Vec<String> {
        let ours = |held: &Again| held.stamp.offset == cut.next(3) && held.stamp.lane == 3;
        differing(nation)
            .into_iter()
            .filter(ours)
            .map(|held| held.name)
            .collect()
    };
    assert_eq!(of_cut(&nation, &cut), Vec::<String>::new());

    let (mut nation, cut) = made(Size::SMALL);
    values[0].organisations_slipping += 1;
    let named = values[0].marker.to_string();
    append(&mut nation, &cut, values);
    let found = of_cut(&nation, &cut);
    assert!(
        found.len() == 1 && found[0].starts_with(&named),
        "{found:?}"
    );
}

fn append(nation: &mut Nation, cut: &Cut, values: Vec<qipp_domain::benchmark::NationalValue>) {
    let stamp = Stamp {
        lane: 3,
        offset: cut.next(3),
        time_ms: 0,
    };
    nation.apply(stamp, "test", Facts::Benchmarks(values));
}
