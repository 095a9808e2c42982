//! The published totals of the country, from the returns of its parts: every cell, through the API.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use qipp_api::files::{self, RttTree};
use qipp_api::proto::projections::v1::{ListRollUpsRequest, RollUpCell};
use qipp_tests::{Sandbox, Who, facts, real};

/// Published proportions carry rounding of the last digit of a double.
const TOLERANCE: f64 = 1e-12;

/// All cells of a level, page by page.
pub(crate) async fn cells(
    sandbox: &Sandbox,
    tree: &str,
    level: &str,
    page_size: i32,
) -> Vec<RollUpCell> {
    let mut request = ListRollUpsRequest {
        tree: tree.to_owned(),
        level: level.to_owned(),
        breakdown: "*".to_owned(),
        page_size,
        ..ListRollUpsRequest::default()
    };
    let mut cells = Vec::new();
    loop {
        let page = sandbox
            .client(Who::National)
            .projections()
            .list_roll_ups(request.clone())
            .await;
        let page = page.unwrap().into_inner();
        assert!(page.cells.len() <= usize::try_from(page_size).unwrap());
        cells.extend(page.cells);
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            return cells;
        }
    }
}

/// A count as the files write it: empty where there is none.
fn count(number: Option<f64>) -> String {
    number.map_or_else(String::new, |number| number.to_string())
}

/// What the roll-ups say for a row: total, known clock start, within 18 weeks, over 52 weeks, proportion.
pub(crate) struct RolledUp {
    by_key: BTreeMap<(String, String, String, String), RollUpCell>,
}

impl RolledUp {
    pub(crate) fn new(cells: Vec<RollUpCell>) -> Self {
        let key = |cell: &RollUpCell| {
            (
                cell.period.clone(),
                cell.group_code.clone(),
                cell.marker.clone(),
                cell.breakdown.clone(),
            )
        };
        Self {
            by_key: cells.into_iter().map(|cell| (key(&cell), cell)).collect(),
        }
    }

    fn cell(&self, period: &str, group: &str, marker: &str, tfc: &str) -> Option<&RollUpCell> {
        let breakdown = if tfc == "999" {
            String::new()
        } else {
            format!("tfc:{tfc}")
        };
        self.by_key.get(&(
            period.to_owned(),
            group.to_owned(),
            marker.to_owned(),
            breakdown,
        ))
    }

    pub(crate) fn row(
        &self,
        period: &str,
        pathway: &str,
        group: &str,
        tfc: &str,
    ) -> ([String; 4], Option<f64>) {
        let (within, over, clock) = match pathway {
            "admitted" => ("RTT_ADM", "RTT_ADM_52W", Some("RTT_ADM_CLOCK")),
            "non_admitted" => ("RTT_NADM", "RTT_NADM_52W", Some("RTT_NADM_CLOCK")),
            _ => ("RTT_INC", "RTT_52W", None),
        };
        let measured = |marker: &str| {
            self.cell(period, group, marker, tfc)
                .and_then(|cell| cell.measured)
        };
        let share = self
            .cell(period, group, within, tfc)
            .and_then(|cell| cell.value_of_parts);
        let (judged, long) = (measured(within), measured(over));
        let (total, known) = match clock.map(measured) {
            Some(clock) => (
                clock.and_then(|m| m.denominator),
                clock.map(|m| m.numerator),
            ),
            None => (judged.and_then(|m| m.denominator), None),
        };
        let counts = [
            total,
            known,
            judged.map(|m| m.numerator),
            long.map(|m| m.numerator),
        ];
        (counts.map(count), share)
    }
}

/// Within 18 weeks, of those with a known clock start where that is published and of all where it is not; `None` of nobody.
fn proportion(counts: &[String]) -> Option<f64> {
    let number = |index: usize| counts[index].parse::<f64>().ok();
    let of = number(1).or(number(0)).filter(|of| *of > 0.0)?;
    Some(number(2)? / of)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pct_returns_roll_up_to_every_published_cell_of_sha_and_nation() {
    let sandbox = Sandbox::start().await;
    let file = real::read("rtt_pct_monthly_2009-12_2010-05.csv.gz");
    let options = RttTree {
        tree: "sha_of_the_file",
        title: "Strategic health authorities, as the file has them",
        root_code: "ENG",
        root_name: "England",
        group_kind: "sha",
        org_kind: "pct",
        group_names: &BTreeMap::new(),
    };
    sandbox.record(facts::catalogue()).await;
    sandbox
        .record(files::rtt_reference(&file, &options).unwrap())
        .await;
    let returns = files::rtt(&file, "DH referral to treatment").unwrap();
    let summary = sandbox.submit_all(&returns).await;
    assert_eq!((summary.rejected, summary.conflicts), (0, 0));

    let shas = RolledUp::new(cells(&sandbox, "sha_of_the_file", "sha", 1000).await);
    let nation = RolledUp::new(cells(&sandbox, "sha_of_the_file", "nation", 1000).await);
    let published = real::read("rtt_published_rollups_2009-12_2010-05.csv.gz");
    let mut rows = csv::Reader::from_reader(published.as_slice());
    let header: Vec<String> = rows.headers().unwrap().iter().map(str::to_owned).collect();
    assert_eq!(
        &header[7..12],
        [
            "total_pathways",
            "total_known_clock_start",
            "within_18_weeks",
            "over_52_weeks",
            "pct_within_18_weeks_published"
        ]
    );
    let (mut checked, mut shares, mut differences) = (0, 0, String::new());
    let (mut functions, mut groups) = (BTreeSet::new(), BTreeSet::new());
    for row in rows.records() {
        let row = row.unwrap();
        let (period, pathway, level, code, tfc) = (&row[0], &row[1], &row[2], &row[3], &row[5]);
        let (found, share) = match (level, code) {
            ("national", _) => nation.row(period, pathway, "ENG", tfc),
            // The National Commissioning Group stands below no authority.
            (_, "-") => shas.row(period, pathway, "", tfc),
            (_, sha) => shas.row(period, pathway, sha, tfc),
        };
        let expected: Vec<String> = (7..11).map(|column| row[column].to_owned()).collect();
        let (published_share, of_counts) = (row[11].parse::<f64>().ok(), proportion(&expected));
        shares += usize::from(published_share.is_some());
        let close = match (published_share.or(of_counts), share) {
            (Some(published), Some(found)) => (published - found).abs() <= TOLERANCE,
            // Of nobody: the sheets print 0, the contract says that a proportion of nothing is none.
            (published, None) => of_counts.is_none() && published.is_none_or(|share| share == 0.0),
            (None, Some(_)) => false,
        };
        let same = found.iter().zip(&expected).all(|(a, b)| a == b);
        if !(same && close) {
            writeln!(differences, "{period} {pathway} {level} {code} {tfc}: published {expected:?} {published_share:?}, rolled up {found:?} {share:?}").unwrap();
        }
        checked += 1;
        functions.insert(tfc.to_owned());
        groups.insert(code.to_owned());
    }
    assert!(
        differences.is_empty(),
        "{} of {checked} rows differ:\n{differences}",
        differences.lines().count()
    );
    assert!(functions.contains("999") && groups.contains("-") && groups.contains("ENG"));
    // The sheets of the last month give no proportion for authorities: 660 rows, for which that of their counts stands in.
    assert_eq!((checked, shares, functions.len()), (4_320, 3_660, 20));
}
