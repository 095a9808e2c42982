use jiff::civil::Date;
use proptest::prelude::*;
use proptest::sample::select;
use qipp_api::view;
use qipp_domain::completeness::submissions;
use qipp_domain::marker::{
    Breakdown, MarkerDefinition, Polarity, QualityDomain, RollUp, TriggerRole,
};
use qipp_domain::nation::{Facts, Nation, ReturnFact};
use qipp_domain::reference::{
    Edge, Obligation, Organisation, Reference, ReferenceFact, Succession,
};
use qipp_domain::returns::{
    Body, Observation, Precondition, Return, ReturnContent, SavingsLine, Status, Value as Figure,
};
use qipp_domain::rollup::{self, Parts, Query, Structure, roll_up};
use qipp_domain::savings::{Position, position};
use qipp_domain::{
    Dataset, KnownAt, MarkerCode, Missing, OrgCode, Pence, Period, SeriesKey, Slug, Stamp,
};

use super::*;
use crate::roll_ups::counted;

const ORGS: [&str; 6] = ["RA1", "RA2", "RA3", "RB1", "RB2", "RZ9"];
const MARKERS: [&str; 3] = ["AE_4H", "WTE", "LOS_MEDIAN"];
const SHARDS: usize = 3;

fn org(code: &str) -> OrgCode {
    OrgCode::new(code).unwrap()
}

fn slug(text: &str) -> Slug {
    Slug::new(text).unwrap()
}

fn month(number: i32) -> Period {
    "2011-04".parse::<Period>().unwrap().plus(number).unwrap()
}

fn day(text: &str) -> Date {
    text.parse().unwrap()
}

fn organisation(code: &str, kind: &str) -> ReferenceFact {
    ReferenceFact::Organisation(Organisation {
        code: org(code),
        name: format!("Organisation {code}"),
        kind: slug(kind),
        opened: None,
        closed: None,
    })
}

fn edge(child: &str, parent: &str) -> ReferenceFact {
    ReferenceFact::Edge(Edge {
        tree: slug("regions"),
        child: org(child),
        parent: org(parent),
        from: day("2000-01-01"),
        until: None,
    })
}

fn definition(code: &str, roll_up: RollUp) -> ReferenceFact {
    ReferenceFact::Marker(MarkerDefinition {
        marker: MarkerCode::new(code).unwrap(),
        version: 1,
        name: code.to_owned(),
        domain: QualityDomain::Access,
        numerator: "what is counted".to_owned(),
        denominator: String::new(),
        unit: "number".to_owned(),
        polarity: Polarity::HigherIsBetter,
        roll_up,
        role: TriggerRole::Trigger,
        proportion: false,
        valid_from: None,
        valid_until: None,
        successor: String::new(),
        standard: String::new(),
        publication_lag_days: 0,
        notes: String::new(),
    })
}

/// Two regions, a trust outside of the tree, and RB2 merged into RA1: what an organisation is made of can be in two shards.
fn reference() -> Vec<ReferenceFact> {
    let mut facts = vec![organisation("ENG", "nation")];
    facts.extend(["N01", "S01"].map(|code| organisation(code, "region")));
    facts.extend(ORGS.map(|code| organisation(code, "trust")));
    facts.push(ReferenceFact::Tree {
        tree: slug("regions"),
        title: "Regions".to_owned(),
        root: org("ENG"),
    });
    facts.extend([("N01", "ENG"), ("S01", "ENG")].map(|(child, parent)| edge(child, parent)));
    facts.extend(["RA1", "RA2", "RA3"].map(|code| edge(code, "N01")));
    facts.extend(["RB1", "RB2"].map(|code| edge(code, "S01")));
    facts.push(ReferenceFact::Succeeded(Succession {
        org: org("RB2"),
        successor: org("RA1"),
        date: day("2011-06-01"),
    }));
    facts.push(ReferenceFact::Deadline {
        dataset: Dataset::Quality,
        period: month(0),
        due: day("2011-05-15"),
    });
    for code in ORGS {
        facts.extend([Dataset::Quality, Dataset::Savings].map(|dataset| {
            ReferenceFact::Obligation(Obligation {
                org: org(code),
                dataset,
                from: month(0),
                until: None,
            })
        }));
    }
    let markers = [RollUp::Parts, RollUp::Sum, RollUp::None];
    facts.extend(
        MARKERS
            .into_iter()
            .zip(markers)
            .map(|(code, of)| definition(code, of)),
    );
    facts
}

fn any_value() -> impl Strategy<Value = Figure> {
    let quantity = (0_i64..10_000_000).prop_map(Quantity::from_thousandths);
    let measured = (quantity.clone(), prop::option::of(quantity));
    let measured = measured.prop_map(|(numerator, denominator)| Measured {
        numerator,
        denominator,
    });
    let reasons = vec![Missing::Suppressed, Missing::WithheldForQuality];
    prop_oneof![
        4 => measured.prop_map(Figure::Measured),
        2 => select(reasons).prop_map(Figure::Missing),
    ]
}

fn any_quality() -> impl Strategy<Value = Body> {
    let observation = (
        select(&MARKERS[..]),
        any::<bool>(),
        1_u32..3,
        any::<bool>(),
        any_value(),
    );
    let observation =
        observation.prop_map(|(code, of_part, definition_version, simulated, value)| {
            let part = of_part.then(|| Breakdown::new("tfc:100").unwrap());
            Observation {
                key: SeriesKey {
                    marker: MarkerCode::new(code).unwrap(),
                    breakdown: part,
                },
                definition_version,
                value,
                simulated,
            }
        });
    prop::collection::btree_map(0..6_u8, observation, 1..6).prop_map(|held| {
        let mut held: Vec<Observation> = held.into_values().collect();
        held.sort_by_key(|o| o.key);
        held.dedup_by_key(|o| o.key);
        Body::Quality(held.into())
    })
}

fn any_savings() -> impl Strategy<Value = Body> {
    let pence = || prop::option::of((-1_000_i64..100_000).prop_map(Pence));
    (pence(), pence(), pence(), pence()).prop_map(|(plan, actual, actual_ytd, recurrent)| {
        Body::Savings(vec![SavingsLine {
            scheme: qipp_domain::SchemeId::new("S-1").unwrap(),
            plan,
            actual,
            actual_ytd,
            forecast: plan,
            recurrent,
            missing: None,
            simulated: false,
        }])
    })
}

fn any_return() -> impl Strategy<Value = Return> {
    let statuses = vec![Status::Provisional, Status::Final, Status::Restated];
    let body = prop_oneof![2 => any_quality(), 1 => any_savings()];
    (select(&ORGS[..]), 0_i32..4, select(statuses), body).prop_map(
        |(code, number, status, body)| Return {
            org: org(code),
            period: month(number),
            content: ReturnContent {
                status,
                source: String::new(),
                narrative: String::new(),
                body,
            },
            precondition: Precondition::default(),
        },
    )
}

/// The whole nation, and what each of its shards holds.
#[derive(Debug)]
struct Split {
    of: Vec<usize>,
    whole: Nation,
    shards: Vec<Nation>,
}

impl Split {
    fn new(of: Vec<usize>, returns: &[Return]) -> Self {
        let mut split = Self {
            of,
            whole: Nation::default(),
            shards: (0..SHARDS).map(|_| Nation::default()).collect(),
        };
        let everybody = 0..SHARDS;
        split.apply(everybody, 0x1_0000, 0, || Facts::Reference(reference()));
        for (offset, held) in (0..).zip(returns) {
            let index = ORGS.iter().position(|code| org(code) == held.org).unwrap();
            let shard = split.of[index];
            let lane = 0x2_0000 + u32::try_from(index).unwrap();
            split.apply(shard..shard + 1, lane, offset, || {
                Facts::Returns(vec![ReturnFact::Return(held.clone())])
            });
        }
        split
    }

    fn apply(
        &mut self,
        shards: std::ops::Range<usize>,
        lane: u32,
        offset: u64,
        facts: impl Fn() -> Facts,
    ) {
        let stamp = Stamp {
            lane,
            offset,
            // From 9 May 2011 on, two days apart: some of it is late.
            time_ms: 1_304_899_200_000 + i64::try_from(offset).unwrap() * 172_800_000,
        };
        self.whole.apply(stamp, "tester", facts());
        for shard in &mut self.shards[shards] {
            shard.apply(stamp, "tester", facts());
        }
    }

    fn is_in(&self, shard: usize, code: OrgCode) -> bool {
        let index = ORGS.iter().position(|held| org(held) == code);
        index.map_or(0, |index| self.of[index]) == shard
    }

    /// What the shards say together, and what the whole nation says.
    fn both<A: Merge>(
        &self,
        say: impl Fn(&Nation, &Reference, &dyn Fn(OrgCode) -> bool) -> A,
    ) -> (A, A) {
        let reference = self.whole.reference(&KnownAt::Latest);
        let each = self.shards.iter().enumerate();
        let merged = each
            .map(|(shard, nation)| say(nation, &reference, &|code| self.is_in(shard, code)))
            .reduce(|mut sum, other| {
                sum.merge(other);
                sum
            });
        (merged.unwrap(), say(&self.whole, &reference, &|_| true))
    }
}

fn any_split() -> impl Strategy<Value = Split> {
    let of = prop::collection::vec(0..SHARDS, ORGS.len());
    let returns = prop::collection::vec(any_return(), 0..40);
    (of, returns).prop_map(|(of, returns)| Split::new(of, &returns))
}

fn any_moment() -> impl Strategy<Value = KnownAt> {
    prop_oneof![
        2 => Just(KnownAt::Latest),
        1 => (0_i64..60).prop_map(|days| KnownAt::Time(1_304_899_200_000 + days * 86_400_000)),
    ]
}

fn any_structure() -> impl Strategy<Value = Structure> {
    select(vec![
        Structure::AsItWas,
        Structure::AsItIs(day("2011-05-31")),
        Structure::AsItIs(day("2012-03-31")),
    ])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn roll_ups_of_shards_add_up_to_those_of_the_nation(
        split in any_split(), at in any_moment(), structure in any_structure(), level in select(vec!["nation", "region", "trust"]), sources in any::<bool>(),
    ) {
        let (merged, whole) = split.both(|nation, reference, _| {
            let query = Query {
                tree: reference.tree(slug("regions")).unwrap(),
                level: slug(level),
                marker: None,
                parts: Parts::All,
                from: None,
                to: None,
                structure,
                sources,
            };
            wire::ListRollUpsResponse {
                cells: roll_up(nation, reference, &at, query)
                    .map(|(key, partial)| view::roll_up_cell(&key, "", &partial))
                    .collect(),
                ..wire::ListRollUpsResponse::default()
            }
        });
        prop_assert_eq!(merged, whole);
    }

    #[test]
    fn a_series_of_what_was_merged_is_the_same_from_any_shards(
        split in any_split(), at in any_moment(), on in select(vec!["2011-05-31", "2012-03-31"]), code in select(&MARKERS[..]),
    ) {
        let key = SeriesKey::whole(MarkerCode::new(code).unwrap());
        let (merged, whole) = split.both(|nation, reference, _| {
            let (months, structure) = (month(0).to(month(4)), Structure::AsItIs(day(on)));
            let points = rollup::series(nation, reference, &at, org("RA1"), key, months, structure);
            wire::GetSeriesResponse {
                points: points.iter().map(view::point).collect(),
                ..wire::GetSeriesResponse::default()
            }
        });
        prop_assert_eq!(merged, whole);
    }

    #[test]
    fn completeness_of_shards_counts_everybody_once(
        split in any_split(), at in any_moment(), number in 0_i32..4, dataset in select(vec![Dataset::Quality, Dataset::Savings]),
    ) {
        let (merged, whole) = split.both(|nation, reference, is_own| {
            let found = submissions(nation, reference, &at, dataset, month(number), day("2011-06-30"));
            let found: Vec<_> = found.into_iter().filter(|s| is_own(s.org)).collect();
            counted(&found)
        });
        prop_assert_eq!(merged.expected as usize, merged.submissions.len());
        prop_assert_eq!(merged, whole);
    }

    #[test]
    fn savings_of_shards_add_up_by_their_parts(split in any_split(), at in any_moment(), number in 0_i32..4) {
        let (merged, whole) = split.both(|nation, _, is_own| {
            let own = ORGS.map(org).into_iter().filter(|code| is_own(*code));
            let (held, missing): (Vec<_>, Vec<_>) = own.partition(|code| nation.ledger(*code).is_some());
            let sum = held.iter().filter_map(|code| nation.ledger(*code)).fold(Position::default(), |sum, ledger| {
                sum.add(&position(ledger, month(number), &at).0)
            });
            wire::GetSavingsPositionResponse {
                position: Some(view::savings_position(month(number), &sum, &missing, &[])),
                ..wire::GetSavingsPositionResponse::default()
            }
        });
        prop_assert_eq!(merged, whole);
    }
}

fn at(topic: Topic, partition: u32, offset: u64) -> events::Position {
    events::Position {
        topic: topic.name().to_owned(),
        partition,
        offset,
    }
}

#[test]
fn a_status_counts_what_every_shard_has_once_and_is_as_far_as_the_one_that_is_behind() {
    let of_shard = |partition, reference, first: &str, last: &str| wire::GetStatusResponse {
        cut: Some(events::Cut {
            next: vec![
                at(Topic::Reference, 0, reference),
                at(Topic::Returns, partition, 5),
            ],
        }),
        head: Some(events::Cut {
            next: vec![at(Topic::Reference, 0, reference + 1)],
        }),
        organisations: 9,
        returns: 4,
        parked: vec![wire::Parked {
            key: "markers".to_owned(),
            position: Some(at(Topic::Reference, 0, 1)),
            reason: "it is none".to_owned(),
        }],
        first_period: first.to_owned(),
        last_period: last.to_owned(),
        ..wire::GetStatusResponse::default()
    };
    let mut sum = of_shard(0, 7, "2011-04", "2011-06");
    sum.merge(of_shard(1, 3, "", ""));
    sum.merge(of_shard(2, 8, "2010-04", "2012-03"));
    assert_eq!(
        (sum.organisations, sum.returns, sum.parked.len()),
        (9, 12, 1)
    );
    assert_eq!(
        (sum.first_period.as_str(), sum.last_period.as_str()),
        ("2010-04", "2012-03")
    );
    let cut = sum.cut.unwrap().next;
    assert_eq!(cut[0], at(Topic::Reference, 0, 3));
    assert_eq!(
        cut[1..],
        [0, 1, 2].map(|partition| at(Topic::Returns, partition, 5))
    );
    assert_eq!(sum.head.unwrap().next, [at(Topic::Reference, 0, 9)]);
}
