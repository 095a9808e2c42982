//! Roll-ups: the sum of the parts is the whole, however it is cut; missing is counted and never zero.
#![allow(
    clippy::unwrap_used,
    reason = "tests and their helpers may fail loudly"
)]

#[allow(dead_code, reason = "each test file uses its own part of the builder")]
mod fixture;

use std::collections::BTreeMap;

use fixture::*;
use proptest::prelude::*;
use qipp_domain::marker::{Breakdown, RollUp};
use qipp_domain::nation::Key;
use qipp_domain::reference::ReferenceFact;
use qipp_domain::returns::{Measured, Missing, Observation, Status, Value};
use qipp_domain::rollup::{CellKey, Partial, Parts, Peers, Query, Structure, add, roll_up, series};
use qipp_domain::{KnownAt, OrgCode, Period, Quantity};

const TRUSTS: [&str; 6] = ["RA1", "RA2", "RB1", "RB2", "RT1", "RZ9"];
const MARKERS: [&str; 4] = ["AE_4H", "FALLS", "WTE", "LOS_MEDIAN"];

type Cells = BTreeMap<CellKey, Partial>;

/// Rolls up to a level of England's tree.
fn rolled(world: &World, level: &str, structure: Structure, parts: Parts) -> Cells {
    let reference = world.known();
    let query = Query {
        tree: reference.tree(slug("sha_2010")).unwrap(),
        level: slug(level),
        marker: None,
        parts,
        from: None,
        to: None,
        structure,
        sources: true,
    };
    let named: Cells = roll_up(&world.nation, &reference, &LATEST, query).collect();
    // Figures that name their sources are read from the ledgers, others from the columns: they have to say the same.
    let query = Query {
        sources: false,
        ..query
    };
    let summed: Cells = roll_up(&world.nation, &reference, &LATEST, query).collect();
    let unnamed = named.clone().into_iter().map(|(key, mut partial)| {
        partial.sources.clear();
        (key, partial)
    });
    assert_eq!(summed, unnamed.collect());
    named
}

/// The reference data, and the ledgers of some organisations.
fn shard(world: &World, includes: impl Fn(OrgCode) -> bool) -> World {
    let mut shard = World::default();
    let keys = world.nation.keys().into_iter().filter(|key| match key {
        Key::Ledger(code) => includes(*code),
        _ => true,
    });
    for key in keys {
        shard.nation.restore(world.nation.save(key).unwrap());
    }
    shard
}

fn was(world: &World, level: &str) -> Cells {
    rolled(world, level, Structure::AsItWas, Parts::Whole)
}

fn cell<'a>(cells: &'a Cells, month: &str, group: &str, code: &str) -> Option<&'a Partial> {
    let group = (!group.is_empty()).then(|| org(group));
    cells.get(&CellKey {
        period: period(month),
        group,
        key: whole(code),
    })
}

/// Adds up cells as another grouping of them; sources are put in order.
fn merged(cells: impl IntoIterator<Item = (CellKey, Partial)>) -> Cells {
    let mut sums = Cells::new();
    for (key, partial) in cells {
        sums.entry(key).or_default().merge(partial);
    }
    for partial in sums.values_mut() {
        partial.sources.sort();
    }
    sums
}

fn as_one_group(cells: Cells, group: Option<OrgCode>) -> Cells {
    merged(
        cells
            .into_iter()
            .map(|(key, partial)| (CellKey { group, ..key }, partial)),
    )
}

#[test]
fn percentages_are_never_averaged() {
    let mut world = World::england();
    world.quality("RA1", "2012-01", vec![figure("AE_4H", 90, 100)]);
    world.quality("RA2", "2012-01", vec![figure("AE_4H", 500, 1_000)]);
    let cells = was(&world, "sha");
    let sum = cell(&cells, "2012-01", "Q30", "AE_4H").unwrap();
    assert_eq!(sum.measured, Some(measured(590, 1_100)));
    let mean_of_percentages = f64::midpoint(0.9, 0.5);
    assert!((sum.measured.unwrap().value().unwrap() - mean_of_percentages).abs() > 0.1);
}

#[test]
fn a_missing_figure_is_counted_and_is_not_zero() {
    let mut world = World::england();
    world.quality(
        "RA1",
        "2012-01",
        vec![
            figure("AE_4H", 90, 100),
            no_figure("WTE", Missing::NotCollected),
        ],
    );
    world.quality(
        "RA2",
        "2012-01",
        vec![
            no_figure("AE_4H", Missing::Suppressed),
            no_figure("WTE", Missing::NotCollected),
        ],
    );
    world.quality("RB1", "2012-01", vec![figure("AE_4H", 0, 100)]);
    let cells = was(&world, "sha");
    let q30 = cell(&cells, "2012-01", "Q30", "AE_4H").unwrap();
    assert_eq!(
        (q30.measured, q30.organisations, q30.missing),
        (Some(measured(90, 100)), 1, 1)
    );
    let nothing = cell(&cells, "2012-01", "Q30", "WTE").unwrap();
    assert_eq!(
        (nothing.measured, nothing.organisations, nothing.missing),
        (None, 0, 2)
    );
    let zero = cell(&cells, "2012-01", "Q31", "AE_4H").unwrap();
    assert_eq!(zero.measured, Some(measured(0, 100)));
    assert_eq!(cell(&cells, "2012-01", "Q31", "WTE"), None);
}

#[test]
fn organisations_without_a_group_form_one_of_their_own_and_outsiders_none() {
    let mut world = World::england();
    for trust in TRUSTS {
        world.quality(trust, "2012-01", vec![figure("AE_4H", 1, 10)]);
    }
    let cells = was(&world, "sha");
    let counts = ["Q30", "Q31", ""].map(|group| {
        cell(&cells, "2012-01", group, "AE_4H")
            .unwrap()
            .organisations
    });
    assert_eq!(counts, [2, 2, 1]);
    assert_eq!(
        cell(&was(&world, "nation"), "2012-01", "ENG", "AE_4H")
            .unwrap()
            .organisations,
        5
    );
    let trusts = was(&world, "trust");
    assert!(cell(&trusts, "2012-01", "RT1", "AE_4H").is_some());
    assert!(cell(&trusts, "2012-01", "RZ9", "AE_4H").is_none());
}

#[test]
fn a_part_is_never_added_to_the_whole() {
    let mut world = World::england();
    let observations = || {
        vec![
            figure("AE_4H", 90, 100),
            part("AE_4H", "tfc:100", 30, 40),
            part("AE_4H", "tfc:110", 60, 60),
        ]
    };
    world.quality("RA1", "2012-01", observations());
    world.quality("RA2", "2012-01", observations());
    let cells = was(&world, "sha");
    assert_eq!(cells.len(), 1);
    assert_eq!(
        cell(&cells, "2012-01", "Q30", "AE_4H").unwrap().measured,
        Some(measured(180, 200))
    );
    let tfc = Breakdown::new("tfc:100").unwrap();
    let one = rolled(&world, "sha", Structure::AsItWas, Parts::One(tfc));
    assert_eq!(one.len(), 1);
    assert_eq!(
        one.values().next().unwrap().measured,
        Some(measured(60, 80))
    );
    assert_eq!(
        rolled(&world, "sha", Structure::AsItWas, Parts::All).len(),
        3
    );
}

#[test]
fn what_cannot_be_added_gives_no_sum_and_still_counts_who_returned_it() {
    let mut world = World::england();
    world.quality(
        "RA1",
        "2012-01",
        vec![amount("LOS_MEDIAN", 4), amount("WTE", 300)],
    );
    world.quality(
        "RA2",
        "2012-01",
        vec![amount("LOS_MEDIAN", 6), amount("WTE", 200)],
    );
    let cells = was(&world, "sha");
    let median = cell(&cells, "2012-01", "Q30", "LOS_MEDIAN").unwrap();
    assert_eq!((median.measured, median.organisations), (None, 2));
    assert_eq!(
        cell(&cells, "2012-01", "Q30", "WTE").unwrap().measured,
        Some(count_only(500))
    );
    let national = |code| {
        let peers = Peers::new(&world.nation, &world.known(), slug("trust"));
        peers.national_value(
            &world.nation,
            &world.known(),
            marker(code),
            period("2012-01"),
        )
    };
    assert_eq!(national("LOS_MEDIAN").measured, None);
    assert_eq!(national("WTE").measured, Some(count_only(500)));
}

#[test]
fn the_national_value_is_that_of_the_peers_only() {
    let mut world = World::england();
    world.quality("RA1", "2012-01", vec![figure("AE_4H", 90, 100)]);
    world.quality("RZ9", "2012-01", vec![figure("AE_4H", 10, 100)]);
    world.quality("Q30", "2012-01", vec![figure("AE_4H", 1, 1_000)]);
    world.quality(
        "RB1",
        "2012-01",
        vec![no_figure("AE_4H", Missing::Suppressed)],
    );
    let peers = Peers::new(&world.nation, &world.known(), slug("trust"));
    let sum = peers.national_value(
        &world.nation,
        &world.known(),
        marker("AE_4H"),
        period("2012-01"),
    );
    assert_eq!(
        (sum.measured, sum.organisations, sum.missing),
        (Some(measured(100, 200)), 2, 1)
    );
}

#[test]
fn a_moved_organisation_counts_where_it_stood_or_where_it_stands() {
    let mut world = World::england();
    world.reference(vec![
        edge("RA2", "Q30", "2006-10-01", Some("2012-02-01")),
        edge("RA2", "Q31", "2012-02-01", None),
    ]);
    for month in ["2012-01", "2012-02"] {
        world.quality("RA1", month, vec![figure("AE_4H", 1, 10)]);
        world.quality("RA2", month, vec![figure("AE_4H", 2, 20)]);
    }
    let of =
        |cells: &Cells, month, group| cell(cells, month, group, "AE_4H").and_then(|p| p.measured);
    let as_it_was = was(&world, "sha");
    assert_eq!(of(&as_it_was, "2012-01", "Q30"), Some(measured(3, 30)));
    assert_eq!(of(&as_it_was, "2012-01", "Q31"), None);
    assert_eq!(of(&as_it_was, "2012-02", "Q30"), Some(measured(1, 10)));
    assert_eq!(of(&as_it_was, "2012-02", "Q31"), Some(measured(2, 20)));
    let now = rolled(
        &world,
        "sha",
        Structure::AsItIs(day("2012-06-01")),
        Parts::Whole,
    );
    assert_eq!(of(&now, "2012-01", "Q31"), Some(measured(2, 20)));
    let then = rolled(
        &world,
        "sha",
        Structure::AsItIs(day("2011-06-01")),
        Parts::Whole,
    );
    assert_eq!(of(&then, "2012-02", "Q30"), Some(measured(3, 30)));
}

/// RA1 is taken over by RB1 on 1 February 2012 and no longer stands in the tree.
fn merger() -> World {
    let mut world = World::england();
    world.reference(vec![
        closed("RA1", "2012-02-01"),
        succeeded("RA1", "RB1", "2012-02-01"),
        edge("RA1", "Q30", "2006-10-01", Some("2012-02-01")),
    ]);
    let lines = |n| {
        vec![
            figure("AE_4H", n, 10 * n),
            amount("LOS_MEDIAN", n),
            amount("WTE", n),
        ]
    };
    world.quality("RA1", "2012-01", lines(1));
    world.quality("RB1", "2012-01", lines(2));
    world.quality("RB1", "2012-02", lines(4));
    world
}

#[test]
fn what_was_merged_counts_for_its_successor_only_as_it_is() {
    let world = merger();
    let as_it_was = was(&world, "trust");
    assert_eq!(
        cell(&as_it_was, "2012-01", "RA1", "AE_4H")
            .unwrap()
            .measured,
        Some(measured(1, 10))
    );
    let as_it_is = rolled(
        &world,
        "trust",
        Structure::AsItIs(day("2012-02-01")),
        Parts::Whole,
    );
    assert_eq!(cell(&as_it_is, "2012-01", "RA1", "AE_4H"), None);
    let heir = cell(&as_it_is, "2012-01", "RB1", "AE_4H").unwrap();
    assert_eq!(
        (heir.measured, heir.organisations),
        (Some(measured(3, 30)), 2)
    );
    let regions = rolled(
        &world,
        "sha",
        Structure::AsItIs(day("2012-02-01")),
        Parts::Whole,
    );
    assert_eq!(
        cell(&regions, "2012-01", "Q31", "AE_4H").unwrap().measured,
        Some(measured(3, 30))
    );
    let before = rolled(
        &world,
        "trust",
        Structure::AsItIs(day("2012-01-31")),
        Parts::Whole,
    );
    assert_eq!(
        cell(&before, "2012-01", "RB1", "AE_4H").unwrap().measured,
        Some(measured(2, 20))
    );
}

fn told(world: &World, code: &str, key: &str, structure: Structure) -> Vec<(Value, usize)> {
    let months = period("2011-12").to(period("2012-02"));
    series(
        &world.nation,
        &world.known(),
        &LATEST,
        org(code),
        whole(key),
        months,
        structure,
    )
    .into_iter()
    .map(|point| (point.value, point.sources.len()))
    .collect()
}

#[test]
fn a_series_as_it_is_adds_what_was_merged_by_its_parts() {
    let world = merger();
    let silent = (Value::Missing(Missing::NotSubmitted), 0);
    let figure = |n, d, sources| (Value::Measured(measured(n, d)), sources);
    let is = Structure::AsItIs(day("2012-03-01"));
    assert_eq!(
        told(&world, "RB1", "AE_4H", is),
        [silent, figure(3, 30, 2), figure(4, 40, 1)]
    );
    assert_eq!(
        told(&world, "RB1", "AE_4H", Structure::AsItWas),
        [silent, figure(2, 20, 1), figure(4, 40, 1)]
    );
    assert_eq!(
        told(&world, "RA1", "AE_4H", Structure::AsItWas),
        [silent, figure(1, 10, 1), silent]
    );
}

#[test]
fn a_merged_series_of_what_cannot_be_added_has_no_figure() {
    let world = merger();
    let points = told(
        &world,
        "RB1",
        "LOS_MEDIAN",
        Structure::AsItIs(day("2012-03-01")),
    );
    assert_eq!(points[1], (Value::Missing(Missing::NotApplicable), 2));
    assert_eq!(points[2], (Value::Measured(count_only(4)), 1));
    let head_counts = told(&world, "RB1", "WTE", Structure::AsItIs(day("2012-03-01")));
    assert_eq!(head_counts[1], (Value::Measured(count_only(3)), 2));
}

#[test]
fn a_merged_point_is_as_firm_as_its_least_firm_part() {
    let mut world = merger();
    let mut provisional = quality(org("RA1"), period("2012-01"), vec![figure("AE_4H", 1, 10)]);
    if let qipp_domain::nation::ReturnFact::Return(ret) = &mut provisional {
        ret.content.status = Status::Provisional;
    }
    world.returned("RA1", provisional);
    let structure = Structure::AsItIs(day("2012-03-01"));
    let months = std::iter::once(period("2012-01"));
    let points = series(
        &world.nation,
        &world.known(),
        &LATEST,
        org("RB1"),
        whole("AE_4H"),
        months,
        structure,
    );
    assert_eq!(points[0].status, Some(Status::Provisional));
}

#[test]
fn a_corrected_day_of_a_merger_stays_one_merger() {
    let mut world = merger();
    world.reference(vec![succeeded("RA1", "RB1", "2012-04-01")]);
    let reference = world.known();
    assert_eq!(reference.heir(org("RA1"), day("2012-03-31")), org("RA1"));
    assert_eq!(reference.heir(org("RA1"), day("2012-04-01")), org("RB1"));
    let circle = succeeded("RB1", "RA1", "2013-04-01");
    assert_eq!(reference.check(&circle).unwrap_err().0, "CYCLE");
}

#[test]
fn only_the_months_and_the_marker_that_were_asked_for_are_rolled_up() {
    let mut world = World::england();
    for month in ["2012-01", "2012-02", "2012-03"] {
        world.quality("RA1", month, MARKERS.map(|code| amount(code, 5)).to_vec());
    }
    let reference = world.known();
    let query = Query {
        tree: reference.tree(slug("sha_2010")).unwrap(),
        level: slug("sha"),
        marker: Some(marker("FALLS")),
        parts: Parts::All,
        from: Some(period("2012-02")),
        to: Some(period("2012-02")),
        structure: Structure::AsItWas,
        sources: false,
    };
    let cells = roll_up(&world.nation, &reference, &LATEST, query).collect::<Cells>();
    assert_eq!(cells.len(), 1);
    assert!(
        cell(&cells, "2012-02", "Q30", "FALLS")
            .unwrap()
            .sources
            .is_empty()
    );
}

#[test]
fn a_marker_without_a_definition_is_not_added() {
    let mut world = World::england();
    world.quality("RA1", "2012-01", vec![amount("UNHEARD_OF", 5)]);
    let cells = was(&world, "sha");
    assert_eq!(
        cell(&cells, "2012-01", "Q30", "UNHEARD_OF")
            .unwrap()
            .measured,
        None
    );
}

#[test]
fn every_figure_names_its_returns() {
    let mut world = World::england();
    world.quality("RA1", "2012-01", vec![figure("AE_4H", 1, 10)]);
    let restated = world.quality("RA1", "2012-01", vec![figure("AE_4H", 2, 10)]);
    let cells = was(&world, "nation");
    let sources = &cell(&cells, "2012-01", "ENG", "AE_4H").unwrap().sources;
    assert_eq!(
        (sources.len(), sources[0].revision, sources[0].stamp),
        (1, 2, restated)
    );
}

fn any_observation() -> impl Strategy<Value = Observation> {
    let value = prop_oneof![
        4 => (0_i64..1_000, 0_i64..2_000).prop_map(|(n, d)| Value::Measured(measured(n, d))),
        // Not a whole count.
        1 => (0_i64..1_000_000, 0_i64..2_000).prop_map(|(n, d)| {
            let numerator = Quantity::from_thousandths(n);
            Value::Measured(Measured { numerator, ..measured(0, d) })
        }),
        1 => Just(Value::Missing(Missing::NotCollected)),
        1 => Just(Value::Missing(Missing::Suppressed)),
    ];
    (0_usize..4, 0_usize..3, value, any::<bool>()).prop_map(|(code, of, value, simulated)| {
        let mut made = observation(MARKERS[code], value);
        made.key.breakdown =
            [None, Some("tfc:100"), Some("tfc:110")][of].map(|text| Breakdown::new(text).unwrap());
        made.simulated = simulated;
        made
    })
}

/// Returns of any organisation for any of four months; the second month RA2 has moved, the third RA1 is merged into RB1.
fn any_world() -> impl Strategy<Value = World> {
    let one = (
        0_usize..6,
        0_i32..4,
        prop::collection::btree_map(any::<u8>(), any_observation(), 1..6),
    );
    prop::collection::vec(one, 1..30).prop_map(|returns| {
        let mut world = World::england();
        world.reference(vec![
            edge("RA2", "Q30", "2006-10-01", Some("2012-02-01")),
            edge("RA2", "Q31", "2012-02-01", None),
            succeeded("RA1", "RB1", "2012-03-01"),
            ReferenceFact::Marker(definition("WTE", RollUp::Sum)),
        ]);
        for (trust, month, observations) in returns {
            let by_key: BTreeMap<_, _> = observations.into_values().map(|o| (o.key, o)).collect();
            let month: Period = period("2012-01").plus(month).unwrap();
            world.quality(
                TRUSTS[trust],
                &month.to_string(),
                by_key.into_values().collect(),
            );
            // Sums are remembered once they were asked for: so they are, after every return.
            rolled(&world, "sha", Structure::AsItWas, Parts::All);
        }
        world
    })
}

fn any_structure() -> impl Strategy<Value = Structure> {
    prop_oneof![
        Just(Structure::AsItWas),
        Just(Structure::AsItIs(day("2011-01-01"))),
        Just(Structure::AsItIs(day("2012-02-10"))),
        Just(Structure::AsItIs(day("2013-01-01"))),
    ]
}

proptest! {
    #[test]
    fn the_groups_of_every_level_add_up_to_the_nation(world in any_world(), structure in any_structure()) {
        let nation = merged(rolled(&world, "nation", structure, Parts::All));
        for level in ["sha", "trust", "no_such_kind"] {
            let groups = rolled(&world, level, structure, Parts::All);
            prop_assert_eq!(&as_one_group(groups, Some(org("ENG"))), &nation);
        }
    }

    #[test]
    fn shards_merge_into_the_whole(world in any_world(), structure in any_structure(), mask in any::<u8>()) {
        let owned = |code: OrgCode| TRUSTS.iter().position(|t| org(t) == code).is_some_and(|i| mask & (1 << i) != 0);
        let one = rolled(&shard(&world, owned), "sha", structure, Parts::All);
        let other = rolled(&shard(&world, |code| !owned(code)), "sha", structure, Parts::All);
        let whole = merged(rolled(&world, "sha", structure, Parts::All));
        prop_assert_eq!(&merged(one.clone().into_iter().chain(other.clone())), &whole);
        prop_assert_eq!(&merged(other.into_iter().chain(one)), &whole);
    }

    #[test]
    fn a_cell_is_the_sum_of_the_figures_of_its_sources(world in any_world(), structure in any_structure()) {
        for (key, partial) in rolled(&world, "sha", structure, Parts::All) {
            let mut sum = None;
            let (mut figures, mut reasons) = (0, 0);
            for source in &partial.sources {
                let ledger = world.nation.ledger(source.org).unwrap();
                let (found, revision) = ledger.observation(key.key, key.period, &KnownAt::Latest).unwrap();
                prop_assert_eq!(revision.stamp, source.stamp);
                match found.value {
                    Value::Measured(m) => {
                        figures += 1;
                        sum = Some(sum.map_or(m, |held| add(held, m)));
                    }
                    Value::Missing(_) => reasons += 1,
                }
            }
            prop_assert_eq!((partial.organisations, partial.missing), (figures, reasons));
            let addable = key.key.marker != marker("LOS_MEDIAN");
            prop_assert_eq!(partial.measured, sum.filter(|_| addable));
        }
    }

    #[test]
    fn the_series_of_an_heir_is_its_cell_as_it_is(world in any_world()) {
        let structure = Structure::AsItIs(day("2013-01-01"));
        let cells = rolled(&world, "trust", structure, Parts::Whole);
        for code in ["RB1", "RA2"] {
            let months = period("2012-01").to(period("2012-04"));
            for point in series(&world.nation, &world.known(), &LATEST, org(code), whole("AE_4H"), months, structure) {
                let cell = cell(&cells, &point.period.to_string(), code, "AE_4H");
                match (point.value, cell.and_then(|c| c.measured)) {
                    (Value::Measured(a), Some(b)) => prop_assert_eq!(a, b),
                    (Value::Missing(_), None) => {}
                    (value, sum) => prop_assert!(false, "{value:?} is not {sum:?}"),
                }
            }
        }
    }
}
