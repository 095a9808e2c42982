//! A log played again under a rule set: what is known when, what is raised, and what people said of it.

use std::collections::BTreeMap;

use qipp_domain::alert::{Act, Acted, AlertFact, Transition};
use qipp_domain::nation::{Facts, Nation};
use qipp_domain::reference::{RuleSet, RuleSetting};
use qipp_domain::{Cut, OrgCode, Stamp};
use qipp_rules::backtest::{
    Known, Outcomes, Plan, Raised, calendar, outcomes, play, share_loaded_late,
};
use qipp_rules::{Moment, Rule, Subject};

use crate::fixture::{month, org};
use crate::nation::{Size, made};

/// 2030-01-01: long after every month of the nation.
const LATER: i64 = 1_893_456_000_000;

const PROMPT: Plan = Plan {
    known: Known::Prompt,
    wait: 0,
    until: None,
};

fn loaded() -> (Nation, Cut) {
    made(Size {
        received: LATER,
        ..Size::SMALL
    })
}

fn strict() -> RuleSet {
    let parameters = [("z_single", 9.0), ("z_pair", 9.0)];
    let parameters = parameters.map(|(name, value)| (name.to_owned(), value));
    let setting = RuleSetting {
        enabled: true,
        parameters: parameters.into_iter().collect(),
    };
    RuleSet {
        version: "strict".to_owned(),
        rules: BTreeMap::from([("R01".to_owned(), setting)]),
    }
}

fn of<'a>(raised: &'a [Raised], rule: &str, whose: OrgCode) -> Vec<&'a Raised> {
    let ours = raised.iter();
    ours.filter(|held| held.rule == rule && held.org == whose)
        .collect()
}

#[test]
fn the_one_that_slips_is_raised_under_the_rules_in_force_and_not_under_strict_ones() {
    let (nation, _) = loaded();
    let mut months = 0;
    let usual = play(&nation, None, &PROMPT, |_| months += 1);
    assert_eq!(months, 39);
    let found = of(&usual, "R01", org("R07"));
    assert!(
        found
            .iter()
            .any(|held| held.period >= month("2013-01") && held.ended.is_none()),
        "{found:?}"
    );
    let raised = |all: &[Raised]| all.iter().filter(|held| held.rule == "R01").count();
    let strict = play(&nation, Some(&strict()), &PROMPT, |_| ());
    assert_eq!(raised(&strict), 0);
    assert!(raised(&usual) <= 12, "noise: {}", raised(&usual));
    // An alert on noise is not for ever.
    let noise = usual
        .iter()
        .filter(|held| held.rule == "R01" && held.org != org("R07"));
    assert!(
        noise.clone().count() > 0 && noise.clone().any(|held| held.ended.is_some()),
        "{:?}",
        noise.collect::<Vec<_>>()
    );
}

#[test]
fn what_was_received_after_a_month_is_not_known_in_it() {
    let (nation, _) = loaded();
    let as_received = Plan {
        known: Known::AsReceived,
        ..PROMPT
    };
    assert_eq!(share_loaded_late(&nation), Some(1.0));
    assert_eq!(play(&nation, None, &as_received, |_| ()), Vec::new());
    assert_eq!(share_loaded_late(&made(Size::SMALL).0), Some(0.0));
    assert_eq!(share_loaded_late(&Nation::default()), None);
    let until = Plan {
        until: Some(month("2012-12")),
        ..PROMPT
    };
    let before = play(&nation, None, &until, |_| ());
    assert!(before.iter().all(|held| held.period <= month("2012-12")));
    let whole = play(&nation, None, &PROMPT, |_| ());
    let begun = |all: &[Raised]| -> Vec<_> {
        let early = all.iter().filter(|held| held.period <= month("2012-12"));
        early
            .map(|held| (held.rule.clone(), held.org, held.period))
            .collect()
    };
    assert_eq!(begun(&before), begun(&whole), "the future changes nothing");
}

#[test]
fn a_month_without_deadlines_is_looked_at_when_the_next_one_and_the_wait_are_over() {
    let (nation, _) = loaded();
    let days = calendar(&nation, &PROMPT);
    assert_eq!(days[0], (month("2010-01"), "2010-02-28".parse().unwrap()));
    let waiting = calendar(&nation, &Plan { wait: 2, ..PROMPT });
    assert_eq!(waiting[0].1, "2010-03-02".parse().unwrap());
}

#[test]
fn people_confirm_or_refute_what_was_raised_near_by() {
    let (mut nation, cut) = loaded();
    let last = month("2013-03");
    let moment = Moment::at(&nation, cut, "2013-05-01".parse().unwrap());
    let subject = Subject::new(moment.context(&nation), org("R07"));
    let finding = (Rule::of("R01").unwrap().evaluate)(&subject, last).unwrap();
    let id = "R01-R07-2013-03".to_owned();
    let raise = AlertFact::Evaluated {
        alert_id: id.clone(),
        transition: Transition::Raised,
        finding,
    };
    let acts = [Act::Ask, Act::Answer, Act::Confirm].map(|act| {
        AlertFact::Acted(Acted {
            alert_id: id.clone(),
            act_id: act.name().to_owned(),
            act,
            who: "somebody".to_owned(),
            why: String::new(),
        })
    });
    let played = play(&nation, None, &PROMPT, |_| ());
    let ours: Vec<Raised> = of(&played, "R01", org("R07"))
        .into_iter()
        .cloned()
        .collect();
    assert_eq!(
        outcomes(&nation, &ours).precision(),
        None,
        "nobody has said"
    );
    for (offset, fact) in (0..).zip(std::iter::once(raise).chain(acts)) {
        let stamp = Stamp {
            lane: 4,
            offset,
            time_ms: LATER,
        };
        nation.apply(stamp, "test", Facts::Alerts(org("R07"), vec![fact]));
    }
    let said = outcomes(&nation, &ours);
    let confirmed = Outcomes {
        confirmed: 1,
        refuted: 0,
    };
    assert_eq!((said, said.precision()), (confirmed, Some(1.0)));
    let long_before: Vec<Raised> = ours
        .iter()
        .map(|held| Raised {
            period: month("2012-12"),
            ..held.clone()
        })
        .collect();
    assert_eq!(outcomes(&nation, &long_before), Outcomes::default());
}

/// Ten years of a nation, played twice on two cores, in under a minute: for machines that are left alone.
#[test]
#[ignore = "takes a minute, and only a release build tells anything"]
fn ten_years_of_a_nation_are_played_under_two_rule_sets_in_a_minute() {
    let (nation, _) = made(Size {
        organisations: 500,
        months: 120,
        markers: 6,
        received: LATER,
    });
    let begun = std::time::Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| play(&nation, None, &PROMPT, |_| ()));
        scope.spawn(|| play(&nation, Some(&strict()), &PROMPT, |_| ()));
    });
    let took = begun.elapsed();
    println!("{took:?}");
    assert!(took.as_secs() < 60, "{took:?}");
}
