//! The joint decision over trusts that are each other's peers, on returns as they come.

use std::collections::BTreeMap;

use qipp_domain::alert::{AlertFact, Severity, Transition};
use qipp_domain::marker::{MarkerDefinition, Polarity, QualityDomain, SeriesKey, TriggerRole};
use qipp_domain::nation::{Facts, Nation, ReturnFact};
use qipp_domain::reference::{Edge, Organisation, ReferenceFact, RuleSet, RuleSetting, Succession};
use qipp_domain::returns::{
    Body, Observation, Precondition, Return, ReturnContent, SavingsLine, Status, Value,
};
use qipp_domain::surveillance::{Assessment, Tier};
use qipp_domain::{Cut, KnownAt, OrgCode, Pence, Period, Slug, Stamp};
use qipp_rules::surveillance::{frontier, review};
use qipp_rules::{Moment, Subject, evaluate, r06, recompute, transitions};
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution as _, StandardNormal};

use crate::fixture::{figure, marker, month, org, scheme_id, watched};

const TRUSTS: usize = 30;
const MONTHS: i32 = 34;
/// The trust whose savings rise while access slips, from month `SINCE` on.
const HARMED: usize = 7;
/// Saves as much more, and nothing slips.
const SAVES: usize = 8;
const SINCE: i32 = 26;
const TODAY: &str = "2013-03-01";

fn first() -> Period {
    month("2010-01")
}

fn last() -> Period {
    first().plus(MONTHS - 1).unwrap()
}

fn trust(index: usize) -> OrgCode {
    org(&format!("RT{index:02}"))
}

fn kind() -> Slug {
    Slug::new("trust").unwrap()
}

fn definitions() -> Vec<MarkerDefinition> {
    use QualityDomain::{Access, Safety};
    let proportion = |code, domain, polarity| {
        watched(code, domain, polarity, TriggerRole::Trigger, (0.1, 5_000.0)).definition
    };
    vec![
        proportion("ACCESS_A", Access, Polarity::LowerIsBetter),
        proportion("ACCESS_B", Access, Polarity::HigherIsBetter),
        proportion("ACCESS_C", Access, Polarity::LowerIsBetter),
        proportion("SAFETY_A", Safety, Polarity::LowerIsBetter),
        proportion("SAFETY_B", Safety, Polarity::LowerIsBetter),
    ]
}

/// A month of a trust before it is returned.
struct Month {
    trust: usize,
    index: i32,
    /// Shift of each marker on the log odds, plus is adverse.
    worse: Vec<f64>,
    version: u32,
    denominator: f64,
    missing: bool,
}

/// Trusts and their months, and a log of them.
struct Peers {
    nation: Nation,
    cut: Cut,
    definitions: Vec<MarkerDefinition>,
    noise: BTreeMap<(usize, usize, i32), f64>,
    /// Markers of which no national value of the last month is published.
    unpublished: Vec<usize>,
}

impl Peers {
    /// All returns up to the last month, each changed by `change` before it is sent.
    fn sent(change: impl Fn(&mut Month)) -> Self {
        let mut peers = Self::registered();
        for index in 0..MONTHS {
            peers.send_month(index, &change);
        }
        peers
    }

    fn registered() -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(20_130_301);
        let mut noise = BTreeMap::new();
        let definitions = definitions();
        for trust in 0..TRUSTS {
            // The last one stands for savings.
            for series in 0..=definitions.len() {
                let mut state = 0.0;
                for index in 0..MONTHS + 6 {
                    let step: f64 = StandardNormal.sample(&mut rng);
                    state = 0.3 * state + 0.95 * step;
                    noise.insert((trust, series, index), state);
                }
            }
        }
        let mut peers = Self {
            nation: Nation::default(),
            cut: Cut::default(),
            definitions,
            noise,
            unpublished: Vec::new(),
        };
        let mut facts: Vec<ReferenceFact> = (0..TRUSTS)
            .map(|index| opened(trust(index), "trust"))
            .collect();
        facts.push(opened(org("ENG"), "nation"));
        facts.push(ReferenceFact::Tree {
            tree: Slug::new("england").unwrap(),
            title: "England".to_owned(),
            root: org("ENG"),
        });
        facts.extend((0..TRUSTS).map(|index| {
            ReferenceFact::Edge(Edge {
                tree: Slug::new("england").unwrap(),
                child: trust(index),
                parent: org("ENG"),
                from: "2009-04-01".parse().unwrap(),
                until: None,
            })
        }));
        facts.extend(peers.definitions.iter().cloned().map(ReferenceFact::Marker));
        peers.append(1, Facts::Reference(facts));
        peers
    }

    fn append(&mut self, lane: u32, facts: Facts) {
        let offset = self.cut.next(lane);
        let stamp = Stamp {
            lane,
            offset,
            time_ms: 0,
        };
        self.nation.apply(stamp, "test", facts);
        self.cut.advance_past(lane, offset);
    }

    /// The usual month: noise, and what is put into two of the trusts.
    fn month(&self, trust: usize, index: i32) -> Month {
        let slips = |series: usize| trust == HARMED && index >= SINCE && series < 3;
        let worse = (0..self.definitions.len()).map(|series| {
            0.1 * self.noise[&(trust, series, index)] + if slips(series) { 0.3 } else { 0.0 }
        });
        Month {
            trust,
            index,
            worse: worse.collect(),
            version: 1,
            denominator: 5_000.0,
            missing: false,
        }
    }

    fn send_month(&mut self, index: i32, change: &impl Fn(&mut Month)) {
        let mut sums = vec![(0.0, 0.0); self.definitions.len()];
        for trust in 0..TRUSTS {
            let mut sent = self.month(trust, index);
            change(&mut sent);
            if sent.missing {
                continue;
            }
            let (savings, quality) = self.returns(&sent, &mut sums);
            self.append(2, Facts::Returns(vec![savings, quality]));
        }
        let published = |at: &usize| !(index == MONTHS - 1 && self.unpublished.contains(at));
        let values = (0..sums.len()).filter(published).map(|at| {
            let definition = &self.definitions[at];
            super::nation::national(
                definition,
                first().plus(index).unwrap(),
                figure(sums[at].0, sums[at].1),
            )
        });
        let values = values.collect();
        self.append(3, Facts::Benchmarks(values));
    }

    fn returns(&self, sent: &Month, sums: &mut [(f64, f64)]) -> (ReturnFact, ReturnFact) {
        let period = first().plus(sent.index).unwrap();
        let mut observations = Vec::new();
        for (at, definition) in self.definitions.iter().enumerate() {
            let adverse = match definition.polarity {
                Polarity::HigherIsBetter => -1.0,
                _ => 1.0,
            };
            let level: f64 = if adverse > 0.0 { 0.1 } else { 0.9 };
            let odds = level / (1.0 - level) * (adverse * sent.worse[at]).exp();
            let cases = (sent.denominator * odds / (1.0 + odds)).round();
            sums[at] = (sums[at].0 + cases, sums[at].1 + sent.denominator);
            observations.push(Observation {
                key: SeriesKey::whole(definition.marker),
                definition_version: sent.version,
                value: Value::Measured(figure(cases, sent.denominator)),
                simulated: true,
            });
        }
        observations.sort_by_key(|held| held.key);
        let more = [HARMED, SAVES].contains(&sent.trust) && sent.index >= SINCE;
        let noise = self.noise[&(sent.trust, self.definitions.len(), sent.index)];
        #[allow(clippy::cast_possible_truncation, reason = "whole pence")]
        let pence = (10_000_000.0 * (1.0 + 0.1 * noise + if more { 0.4 } else { 0.0 })) as i64;
        let line = SavingsLine {
            scheme: scheme_id("LOCAL"),
            plan: None,
            actual: Some(Pence(pence)),
            actual_ytd: None,
            forecast: None,
            recurrent: None,
            missing: None,
            simulated: true,
        };
        let whose = trust(sent.trust);
        (
            returned(whose, period, Body::Savings(vec![line])),
            returned(whose, period, Body::Quality(observations.into())),
        )
    }

    fn decide(&self, period: Period) -> Assessment {
        let moment = self.moment();
        review(&moment.context(&self.nation), kind(), period).unwrap()
    }

    fn moment(&self) -> Moment {
        Moment::at(&self.nation, self.cut.clone(), TODAY.parse().unwrap())
    }

    fn publish(&mut self, decided: Assessment) {
        self.append(3, Facts::Assessment(Box::new(decided)));
    }

    /// Evaluates an organisation and applies what happens to its alerts of a rule.
    fn evaluate(&mut self, whose: OrgCode, rule: &str) -> Vec<AlertFact> {
        let moment = self.moment();
        let subject = Subject::new(moment.context(&self.nation), whose);
        let book = self.nation.alerts(whose);
        let facts: Vec<AlertFact> = evaluate(&subject)
            .iter()
            .filter(|evaluated| evaluated.rule.id == rule)
            .flat_map(|evaluated| transitions(book, &KnownAt::Latest, evaluated, &subject))
            .collect();
        self.append(4, Facts::Alerts(whose, facts.clone()));
        facts
    }
}

fn opened(code: OrgCode, kind: &str) -> ReferenceFact {
    ReferenceFact::Organisation(Organisation {
        code,
        name: code.to_string(),
        kind: Slug::new(kind).unwrap(),
        opened: None,
        closed: None,
    })
}

fn returned(org: OrgCode, period: Period, body: Body) -> ReturnFact {
    ReturnFact::Return(Return {
        org,
        period,
        content: ReturnContent {
            status: Status::Final,
            source: String::new(),
            narrative: String::new(),
            body,
        },
        precondition: Precondition::default(),
    })
}

fn listed(decided: &Assessment) -> Vec<OrgCode> {
    let asked = decided
        .watched
        .iter()
        .filter(|held| held.tier > Tier::Watch);
    asked.map(|held| held.org).collect()
}

fn unchanged(_: &mut Month) {}

#[test]
fn who_saves_more_and_slips_is_listed_and_who_only_saves_is_not() {
    let peers = Peers::sent(unchanged);
    let decided = peers.decide(last());
    assert_eq!(listed(&decided), [trust(HARMED)], "{decided:?}");
    let entry = decided.of(trust(HARMED)).unwrap();
    assert_eq!(entry.domain, QualityDomain::Access);
    assert!(entry.chance_false < 0.1 && entry.savings_p <= 0.05 && entry.quality_p <= 0.05);
    let access = ["ACCESS_A", "ACCESS_B", "ACCESS_C"].map(marker);
    assert!(entry.markers.iter().all(|held| access.contains(held)));
    assert!(!entry.markers.is_empty());
    assert!(
        (entry.since.months_since(first()) - SINCE).abs() <= 2,
        "{entry:?}"
    );
    assert_eq!(decided.assessed as usize, TRUSTS);
    assert!(decided.expected_false < 0.5 && decided.simulated);
    // Where most have a tenth of cases, or nine tenths of successes.
    let typical: Vec<_> = decided.peers.iter().map(|held| held.value).collect();
    let expected = [0.1, 0.9, 0.1, 0.1, 0.1];
    assert!(
        typical
            .iter()
            .zip(expected)
            .all(|(held, near)| (held - near).abs() < 0.01),
        "{typical:?}"
    );
    assert_eq!(peers.decide(last()), decided, "the same again");
}

#[test]
fn the_finding_recomputes_from_the_log_and_rises_to_confirmed_and_ends() {
    let mut peers = Peers::registered();
    for index in 0..MONTHS - 1 {
        peers.send_month(index, &unchanged);
    }
    let harmed = trust(HARMED);
    let decided = peers.decide(last().plus(-1).unwrap());
    peers.publish(decided);
    let raised = peers.evaluate(harmed, "R05");
    let [
        AlertFact::Evaluated {
            transition: Transition::Raised,
            finding,
            ..
        },
    ] = &raised[..]
    else {
        panic!("{raised:?}");
    };
    assert_eq!(finding.severity, Severity::Amber);
    assert_eq!(
        finding.evidence.joint.as_ref().unwrap().entry.tier,
        Tier::Alert
    );
    assert_eq!(recompute(&peers.nation, finding).as_ref(), Some(finding));
    assert!(
        peers.evaluate(harmed, "R05").is_empty(),
        "nothing new is said twice"
    );
    assert!(peers.evaluate(trust(SAVES), "R05").is_empty());

    peers.send_month(MONTHS - 1, &unchanged);
    let decided = peers.decide(last());
    assert_eq!(decided.of(harmed).unwrap().tier, Tier::Confirmed);
    peers.publish(decided);
    let updated = peers.evaluate(harmed, "R05");
    let [
        AlertFact::Evaluated {
            transition: Transition::Updated,
            finding,
            ..
        },
    ] = &updated[..]
    else {
        panic!("{updated:?}");
    };
    assert_eq!(finding.severity, Severity::Red);
    for word in ["because", "caused", "due to", "led to"] {
        assert!(!finding.question.contains(word) && !finding.summary.contains(word));
    }

    // Everything was restated as if nothing had moved.
    for index in SINCE..MONTHS {
        peers.send_month(index, &|sent: &mut Month| {
            if sent.trust == HARMED {
                sent.worse
                    .iter_mut()
                    .take(3)
                    .for_each(|shift| *shift -= 0.3);
            }
        });
    }
    let decided = peers.decide(last());
    assert!(decided.of(harmed).is_none(), "{decided:?}");
    peers.publish(decided);
    let ended = peers.evaluate(harmed, "R05");
    assert!(
        matches!(
            &ended[..],
            [AlertFact::Evaluated {
                transition: Transition::Withdrawn,
                ..
            }]
        ),
        "{ended:?}"
    );
}

#[test]
fn after_a_merger_nothing_is_said_for_six_months() {
    for (date, judged) in [("2012-06-01", false), ("2012-03-01", true)] {
        let mut peers = Peers::sent(unchanged);
        peers.append(
            1,
            Facts::Reference(vec![ReferenceFact::Succeeded(Succession {
                org: trust(0),
                successor: trust(HARMED),
                date: date.parse().unwrap(),
            })]),
        );
        let decided = peers.decide(last());
        // Of the two, the one that has gone on returning is judged again after half a year, too.
        let expected = if judged { TRUSTS } else { TRUSTS - 2 };
        assert_eq!(decided.assessed as usize, expected, "{date}");
        assert!(
            listed(&decided).is_empty(),
            "its baseline begins with the merger"
        );
    }
}

#[test]
fn a_redefined_marker_is_looked_at_again_when_it_has_a_baseline_of_its_own() {
    let mut peers = Peers::registered();
    let second = peers
        .definitions
        .iter()
        .cloned()
        .map(|held| MarkerDefinition { version: 2, ..held });
    let second = second.map(ReferenceFact::Marker).collect();
    peers.append(1, Facts::Reference(second));
    for index in 0..MONTHS {
        peers.send_month(index, &|sent: &mut Month| {
            sent.version = if sent.index >= MONTHS - 4 { 2 } else { 1 };
        });
    }
    // All markers were redefined four months ago: nothing can be said of anybody.
    assert!(peers.decide(last()).watched.is_empty());
}

#[test]
fn what_has_no_national_value_yet_is_not_looked_at() {
    let mut peers = Peers::registered();
    peers.unpublished = (0..5).collect();
    for index in 0..MONTHS {
        peers.send_month(index, &unchanged);
    }
    let mut early = Peers::registered();
    for index in 0..MONTHS - 1 {
        early.send_month(index, &unchanged);
    }
    let since = |peers: &Peers| {
        let decided = peers.decide(last());
        decided
            .of(trust(HARMED))
            .map(|held| (held.since, held.markers.clone()))
    };
    assert!(since(&peers).is_some());
    assert_eq!(
        since(&peers).map(|held| held.1),
        since(&early).map(|held| held.1),
        "quality says the same as without the month"
    );
}

#[test]
fn the_month_that_is_decided_is_the_latest_that_most_have_returned() {
    let late = |share: usize| {
        Peers::sent(move |sent: &mut Month| {
            sent.missing = sent.index == MONTHS - 1 && sent.trust >= share;
        })
    };
    let latest = |peers: &Peers| frontier(&peers.moment().context(&peers.nation), kind(), 0.8);
    assert_eq!(latest(&late(TRUSTS)), Some(last()));
    assert_eq!(latest(&late(24)), Some(last()));
    assert_eq!(latest(&late(23)), last().plus(-1));
    let peers = Peers::registered();
    assert_eq!(latest(&peers), None);
}

#[test]
fn a_shock_to_all_is_one_national_question_and_nobodys_slip() {
    let mut peers = Peers::sent(|sent: &mut Month| {
        if sent.index == MONTHS - 1 {
            sent.worse[3] += 1.5;
        }
    });
    let calm = Peers::sent(unchanged).decide(last());
    let decided = peers.decide(last());
    assert_eq!(listed(&decided), listed(&calm));
    let moved: Vec<_> = decided.national.iter().map(|held| held.marker).collect();
    assert_eq!(moved, [marker("SAFETY_A")]);
    assert!(decided.national[0].jump > 1.0);
    assert!(calm.national.is_empty(), "{calm:?}");
    peers.publish(decided);
    assert_eq!(
        r06::nation(&peers.nation.reference(&KnownAt::Latest)),
        Some(org("ENG"))
    );
    let raised = peers.evaluate(org("ENG"), "R06");
    let [
        AlertFact::Evaluated {
            transition: Transition::Raised,
            finding,
            ..
        },
    ] = &raised[..]
    else {
        panic!("{raised:?}");
    };
    assert!(finding.summary.contains("SAFETY_A"), "{}", finding.summary);
    assert_eq!(recompute(&peers.nation, finding).as_ref(), Some(finding));
    assert!(peers.evaluate(trust(0), "R06").is_empty());
}

#[test]
fn a_rule_set_moves_the_rates_and_switches_it_off() {
    let rules = |enabled: bool, parameters: &[(&str, f64)]| {
        let setting = RuleSetting {
            enabled,
            parameters: parameters
                .iter()
                .map(|(name, value)| ((*name).to_owned(), *value))
                .collect(),
        };
        Facts::Reference(vec![ReferenceFact::RuleSet(RuleSet {
            version: "strict".to_owned(),
            rules: [("R05".to_owned(), setting)].into_iter().collect(),
        })])
    };
    let mut peers = Peers::sent(unchanged);
    let before = peers.decide(last()).watched.len();
    peers.append(1, rules(true, &[("watch_q", 0.5), ("alert_q", 0.4)]));
    let decided = peers.decide(last());
    assert!(decided.watched.len() >= before);
    assert_eq!(decided.rule_set_version, "strict");
    peers.publish(decided);
    peers.append(1, rules(false, &[]));
    assert!(peers.evaluate(trust(HARMED), "R05").is_empty());
}
