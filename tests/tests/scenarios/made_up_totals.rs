//! The same path with a file that nobody published: other years, codes, groups and specialties, somebody who moves, somebody who stands
//! alone, counts that are missing. Nothing may be tuned to the published six months.

use std::collections::BTreeMap;

use qipp_api::files::{self, RttTree};
use qipp_api::proto::projections::v1::{ListRollUpsRequest, RollUpCell, Structure};
use qipp_tests::{Sandbox, Who, facts};

use crate::published_totals::{RolledUp, cells};

/// Z9A moves from area X1 to X2 in October. Z9C has no area. Z9B does not say how many waited for over 52 weeks in September.
const FILE: &str = "\
period,pathway,sha_code,org_code,org_name,tfc_code,total_pathways,total_known_clock_start,within_18_weeks,over_52_weeks
2013-09,admitted,X1,Z9A,Moving,X77,100,90,80,3
2013-09,admitted,X1,Z9A,Moving,999,120,110,95,4
2013-09,admitted,X1,Z9B,Steady,X77,50,40,30,
2013-09,admitted,X1,Z9B,Steady,999,50,40,30,
2013-09,admitted,-,Z9C,Alone,999,7,7,6,0
2013-09,incomplete,X1,Z9A,Moving,999,1000,,900,20
2013-10,admitted,X2,Z9A,Moving,999,200,180,150,5
2013-10,admitted,X1,Z9B,Steady,999,60,60,45,1
2013-10,admitted,X2,Z9D,New,999,30,,20,2
2013-10,incomplete,X2,Z9A,Moving,999,0,,0,0
";

fn row(total: &str, known: &str, within: &str, over: &str) -> [String; 4] {
    [total, known, within, over].map(str::to_owned)
}

async fn loaded() -> Sandbox {
    let sandbox = Sandbox::in_memory().await;
    sandbox.set_day("2013-12-02");
    let names = BTreeMap::from([("X1".to_owned(), "Area One".to_owned())]);
    let options = RttTree {
        tree: "areas_2013",
        title: "Areas",
        root_code: "WAL",
        root_name: "Somewhere else",
        group_kind: "area_team",
        org_kind: "ccg",
        group_names: &names,
    };
    sandbox.record(facts::catalogue()).await;
    sandbox
        .record(files::rtt_reference(FILE.as_bytes(), &options).unwrap())
        .await;
    let returns = files::rtt(FILE.as_bytes(), "made up").unwrap();
    assert_eq!(returns.len(), 6);
    sandbox.submit_all(&returns).await;
    sandbox
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_file_of_the_same_columns_rolls_up_by_its_own_tree() {
    let sandbox = loaded().await;
    let found = cells(&sandbox, "areas_2013", "area_team", 3).await;
    let named = |code: &str| {
        found
            .iter()
            .find(|cell| cell.group_code == code)
            .unwrap()
            .group_name
            .clone()
    };
    assert_eq!(
        (named("X1"), named("X2"), named("")),
        ("Area One".to_owned(), "X2".to_owned(), String::new())
    );
    let areas = RolledUp::new(found);
    let nation = RolledUp::new(cells(&sandbox, "areas_2013", "nation", 1000).await);

    // September: Z9A and Z9B below X1, Z9C below nobody. Over 52 weeks: Z9A alone said so.
    let (counts, share) = areas.row("2013-09", "admitted", "X1", "999");
    assert_eq!(
        (counts, share),
        (row("170", "150", "125", "4"), Some(125.0 / 150.0))
    );
    assert_eq!(
        areas.row("2013-09", "admitted", "X1", "X77").0,
        row("150", "130", "110", "3")
    );
    assert_eq!(
        areas.row("2013-09", "admitted", "", "999").0,
        row("7", "7", "6", "0")
    );
    assert_eq!(
        areas.row("2013-09", "incomplete", "X1", "999").0,
        row("1000", "", "900", "20")
    );
    assert_eq!(
        nation.row("2013-09", "admitted", "WAL", "999").0,
        row("177", "157", "131", "4")
    );

    // October: Z9A has moved to X2, and Z9D says nothing of clock starts, so that its total is what it is judged by.
    assert_eq!(
        areas.row("2013-10", "admitted", "X1", "999").0,
        row("60", "60", "45", "1")
    );
    let (counts, share) = areas.row("2013-10", "admitted", "X2", "999");
    assert_eq!(
        (counts, share),
        (row("200", "180", "170", "7"), Some(170.0 / 210.0))
    );
    // A proportion of nobody is none.
    assert_eq!(
        areas.row("2013-10", "incomplete", "X2", "999"),
        (row("0", "", "0", "0"), None)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn months_are_read_under_the_tree_of_then_or_of_now() {
    let sandbox = loaded().await;
    let september = |structure: Structure| {
        let request = ListRollUpsRequest {
            tree: "areas_2013".to_owned(),
            level: "area_team".to_owned(),
            marker: "RTT_ADM".to_owned(),
            from: "2013-09".to_owned(),
            to: "2013-09".to_owned(),
            structure: structure.into(),
            include_sources: true,
            ..ListRollUpsRequest::default()
        };
        let mut projections = sandbox.client(Who::National).projections();
        async move {
            projections
                .list_roll_ups(request)
                .await
                .unwrap()
                .into_inner()
                .cells
        }
    };
    let numerators = |cells: &[RollUpCell]| {
        let pair = |cell: &RollUpCell| (cell.group_code.clone(), cell.measured.unwrap().numerator);
        cells.iter().map(pair).collect::<Vec<_>>()
    };
    let then = september(Structure::AsItWas).await;
    assert_eq!(
        numerators(&then),
        [(String::new(), 6.0), ("X1".to_owned(), 125.0)]
    );
    let now = september(Structure::AsItIs).await;
    assert_eq!(
        numerators(&now),
        [
            (String::new(), 6.0),
            ("X1".to_owned(), 30.0),
            ("X2".to_owned(), 95.0)
        ]
    );
    let sources = |cell: &RollUpCell| {
        cell.sources
            .iter()
            .map(|s| (s.org_code.clone(), s.revision))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        sources(&then[1]),
        [("Z9A".to_owned(), 1), ("Z9B".to_owned(), 1)]
    );
    assert_eq!(sources(&now[2]), [("Z9A".to_owned(), 1)]);
}
