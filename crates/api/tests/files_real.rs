//! The file formats on the published files: every figure that can be held against a published one is.

#![allow(clippy::unwrap_used, reason = "a test may stop where it fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::PathBuf;

use qipp_api::draft;
use qipp_api::files::{
    self, RollUpLevel, RttTree, ae_weekly, markers, merge_quality, pct_sha_2010, rtt,
    rtt_reference, rtt_rollup_csv, rtt_treatment_functions, succession, trusts,
};
use qipp_api::proto::events::v1::{
    MarkerDefined, Measured, Observation, ReferenceFact, Return, ReturnStatus, RollUp,
    observation::Value, reference_fact::Fact, r#return::Body,
};
use qipp_api::proto::projections::v1::RollUpCell;
use qipp_domain::reference::Reference;
use qipp_domain::validate::{Against, validate_return};

const RTT: &str = "rtt_pct_monthly_2009-12_2010-05.csv";
const PUBLISHED: &str = "rtt_published_rollups_2009-12_2010-05.csv";

/// A file of the project's data, as it is or gzipped.
fn data(name: &str) -> Vec<u8> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../data");
    let plain = folder.join(name);
    if plain.exists() {
        return std::fs::read(plain).unwrap();
    }
    let packed = std::fs::File::open(folder.join(format!("{name}.gz"))).unwrap();
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(packed)
        .read_to_end(&mut bytes)
        .unwrap();
    bytes
}

fn observations(of: &Return) -> &[Observation] {
    match &of.body {
        Some(Body::Quality(quality)) => &quality.observations,
        _ => panic!("a quality return"),
    }
}

fn measured(of: &Observation) -> Measured {
    match of.value {
        Some(Value::Measured(measured)) => measured,
        _ => panic!("a figure"),
    }
}

fn sha_tree(bytes: &[u8]) -> Vec<ReferenceFact> {
    let options = RttTree {
        tree: "sha_2010",
        title: "SHAs",
        root_code: "ENG",
        root_name: "England",
        group_kind: "sha",
        org_kind: "pct",
        group_names: &BTreeMap::new(),
    };
    rtt_reference(bytes, &options).unwrap()
}

/// Parent by child, of edges without an end.
fn parents(facts: &[ReferenceFact]) -> BTreeMap<String, String> {
    let edge = |fact: &ReferenceFact| match &fact.fact {
        Some(Fact::EdgeRecorded(e)) => {
            assert_eq!(e.valid_until, "");
            Some((e.child_code.clone(), e.parent_code.clone()))
        }
        _ => None,
    };
    facts.iter().filter_map(edge).collect()
}

/// Period, group, marker and part.
type Group = (String, String, String, String);

/// Adds up observations by group: `code_of` says where an organisation counts.
fn roll_up(returns: &[Return], code_of: impl Fn(&str) -> String) -> Vec<RollUpCell> {
    let mut sums: BTreeMap<Group, (f64, f64, u32)> = BTreeMap::new();
    for r in returns {
        for o in observations(r) {
            let m = measured(o);
            let key = (
                r.period.clone(),
                code_of(&r.org_code),
                o.marker.clone(),
                o.breakdown.clone(),
            );
            let sum = sums.entry(key).or_default();
            *sum = (
                sum.0 + m.numerator,
                sum.1 + m.denominator.unwrap(),
                sum.2 + 1,
            );
        }
    }
    sums.into_iter()
        .map(
            |((period, group_code, marker, breakdown), (n, d, organisations))| RollUpCell {
                period,
                group_code,
                marker,
                breakdown,
                measured: Some(Measured {
                    numerator: n,
                    denominator: Some(d),
                }),
                organisations,
                ..RollUpCell::default()
            },
        )
        .collect()
}

/// The seven columns that name a cell (less the names) and the counts of it.
fn cells(csv_text: &[u8]) -> BTreeMap<[String; 5], [String; 4]> {
    let mut reader = csv::Reader::from_reader(csv_text);
    let rows = reader.records().map(|row| {
        let row = row.unwrap();
        let take = |i: usize| row[i].to_owned();
        (
            [take(0), take(1), take(2), take(3), take(5)],
            [take(7), take(8), take(9), take(10)],
        )
    });
    rows.collect()
}

#[test]
fn the_returns_of_all_pcts_add_up_to_every_published_cell() {
    let bytes = data(RTT);
    let returns = rtt(&bytes, RTT).unwrap();
    // 153 organisations in each of four months, 152 in each of two.
    assert_eq!(returns.len(), 4 * 153 + 2 * 152);
    // Every row gives two markers, and three when it is of a completed pathway: 18,320 rows each.
    let count: usize = returns.iter().map(|r| observations(r).len()).sum();
    assert_eq!(count, 18_320 * (3 + 3 + 2));
    assert!(
        returns
            .iter()
            .all(|r| r.status() == ReturnStatus::Final && r.source == RTT)
    );

    let parent = parents(&sha_tree(&bytes));
    let national = roll_up(&returns, |_| "ENG".to_owned());
    let regional = roll_up(&returns, |org| {
        parent[org].clone().replace("ENG", "") // straight below the root: in no group
    });
    let levels = [
        RollUpLevel {
            level: "nation",
            cells: &national,
        },
        RollUpLevel {
            level: "sha",
            cells: &regional,
        },
    ];
    let names = rtt_treatment_functions(&bytes).unwrap();
    assert_eq!(names.len(), 20);
    assert_eq!(names["110"], "Trauma & Orthopaedics");
    let ours = rtt_rollup_csv(&levels, &names);
    let published = data(PUBLISHED);
    let first_line = |text: &[u8]| text.split(|b| *b == b'\n').next().unwrap().to_vec();
    assert_eq!(
        first_line(ours.as_bytes()),
        first_line(&published)
            .strip_suffix(b"\r")
            .map_or(first_line(&published), <[u8]>::to_vec)
    );
    let (ours, published) = (cells(ours.as_bytes()), cells(&published));
    assert_eq!(published.len(), 4_320);
    assert_eq!(ours.len(), 4_320);
    for (cell, counts) in &published {
        assert_eq!(&ours[cell], counts, "{cell:?}");
    }
}

#[test]
fn the_national_total_of_december_2009_is_the_published_one() {
    let returns = rtt(&data(RTT), RTT).unwrap();
    let sum = |marker: &str| {
        let of_month = returns.iter().filter(|r| r.period == "2009-12");
        let all = of_month.flat_map(observations);
        let mine = all.filter(|o| o.marker == marker && o.breakdown.is_empty());
        mine.map(measured).fold((0.0, 0.0), |(n, d), m| {
            (n + m.numerator, d + m.denominator.unwrap())
        })
    };
    assert_eq!(sum("RTT_ADM"), (252_617.0, 279_360.0));
    assert_eq!(sum("RTT_ADM_52W"), (473.0, 279_360.0));
    assert_eq!(sum("RTT_ADM_CLOCK"), (279_360.0, 279_701.0));
    assert_eq!(sum("RTT_NADM"), (792_428.0, 809_649.0));
    assert_eq!(sum("RTT_NADM_CLOCK"), (809_649.0, 810_203.0));
    assert_eq!(sum("RTT_INC"), (2_128_078.0, 2_365_316.0));
    assert_eq!(sum("RTT_52W"), (20_792.0, 2_365_316.0));
}

#[test]
fn the_tree_of_the_rtt_file_has_ten_groups_and_155_organisations() {
    let facts = sha_tree(&data(RTT));
    assert_eq!(files::codes(&facts).len(), 1 + 10 + 155);
    let parent = parents(&facts);
    assert_eq!(parent.len(), 10 + 155);
    assert_eq!(parent["YDD82"], "ENG");
    assert_eq!(parent["5A3"], "Q39");
    let starts: BTreeMap<&str, &str> = facts
        .iter()
        .filter_map(|f| match &f.fact {
            Some(Fact::EdgeRecorded(e)) => Some((e.child_code.as_str(), e.valid_from.as_str())),
            _ => None,
        })
        .collect();
    assert_eq!(starts["5CC"], "2009-12-01"); // vanishes in April, and is not closed for that
    assert_eq!(starts["TAP"], "2010-04-01");
    assert!(
        !facts
            .iter()
            .any(|f| matches!(f.fact, Some(Fact::OrganisationClosed(_))))
    );
    parents_come_first(&facts);
}

/// Every code and tree is recorded before it is used.
fn parents_come_first(facts: &[ReferenceFact]) {
    let (mut known, mut trees) = (BTreeSet::new(), BTreeSet::new());
    for fact in facts {
        match fact.fact.as_ref().unwrap() {
            Fact::OrganisationRecorded(o) => assert!(known.insert(&o.org_code), "{o:?}"),
            Fact::OrganisationClosed(c) => assert!(known.contains(&c.org_code)),
            Fact::TreeDefined(t) => {
                assert!(known.contains(&t.root_code));
                trees.insert(&t.tree);
            }
            Fact::EdgeRecorded(e) => {
                assert!(trees.contains(&e.tree));
                assert!(
                    known.contains(&e.child_code) && known.contains(&e.parent_code),
                    "{e:?}"
                );
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn weekly_a_and_e_becomes_months() {
    let read = ae_weekly(&data("ae_weekly_trust_2010-11_2013-03.csv"), "weekly").unwrap();
    // Organisation months; 18 of them lack a week because of a merger, an opening or a gap.
    assert_eq!(read.returns.len(), 4_297);
    assert_eq!(read.rows_without_code, 1);
    assert_eq!(read.notes.len(), 1 + 18);
    let four_hours = read.returns.iter().flat_map(observations);
    assert_eq!(
        four_hours.filter(|o| o.marker == "AE_4H_T1").count(),
        4_297 - 18
    );
    let ra2 = read
        .returns
        .iter()
        .find(|r| r.org_code == "RA2" && r.period == "2010-11")
        .unwrap();
    // Weeks ending 7, 14, 21 and 28 November.
    let [four, attendances] = observations(ra2) else {
        panic!("two markers")
    };
    let attended = measured(attendances);
    assert_eq!(
        (attendances.marker.as_str(), attended.denominator),
        ("AE_ATT", Some(28.0))
    );
    assert_eq!(measured(four).denominator, Some(attended.numerator));
    assert!(ra2.source.contains("derived"));
    // Every attendance with a code is in exactly one month.
    let all: f64 = read
        .returns
        .iter()
        .flat_map(observations)
        .filter(|o| o.marker == "AE_ATT")
        .map(|o| measured(o).numerator)
        .sum();
    assert_eq!(all, attendances_in_file() as f64);
    let merged = merge_quality(read.returns.clone(), Vec::new());
    assert_eq!(merged, read.returns);
}

fn attendances_in_file() -> u64 {
    let bytes = data("ae_weekly_trust_2010-11_2013-03.csv");
    let mut reader = csv::Reader::from_reader(bytes.as_slice());
    let rows = reader.records().map(Result::unwrap);
    rows.filter(|row| !row[1].is_empty())
        .map(|row| row[3].parse::<u64>().unwrap())
        .sum()
}

fn catalogue() -> Vec<MarkerDefined> {
    let (main, more) = (data("markers.csv"), data("markers_supplementary.csv"));
    let facts = markers(&[&main, &more]).unwrap();
    let definition = |fact: ReferenceFact| match fact.fact {
        Some(Fact::MarkerDefined(definition)) => definition,
        _ => panic!("a definition"),
    };
    facts.into_iter().map(definition).collect()
}

#[test]
fn the_catalogue_says_what_may_be_returned_and_how_it_adds_up() {
    let all = catalogue();
    assert_eq!(all.len(), 64 + 5);
    let of = |code: &str| all.iter().find(|m| m.marker == code).unwrap();
    // A standard's first month is not the first month of the figures; retirement is the month after the last.
    assert!(
        all.iter()
            .all(|m| m.valid_from.is_empty() && m.definition_version == 1)
    );
    assert_eq!(of("RTT_INC").valid_until, "");
    assert!(
        of("RTT_INC")
            .standard
            .ends_with("in the catalogue from 2012-04")
    );
    assert_eq!(of("DTOC").valid_until, "2020-03");
    assert_eq!(of("RTT_ADM").valid_until, "2015-11");
    // Roll-up.
    let not_parts: BTreeMap<&str, RollUp> = all
        .iter()
        .filter(|m| m.roll_up() != RollUp::Parts)
        .map(|m| (m.marker.as_str(), m.roll_up()))
        .collect();
    let expected = [
        ("OAP_BD", RollUp::Sum),
        ("RMS_TRIAGE", RollUp::None),
        ("WTE_RN", RollUp::Sum),
    ];
    assert_eq!(not_parts, BTreeMap::from(expected));
    // Proportions: each list is used to the last entry, and every percentage is in one of them.
    let with = |proportion: bool| -> BTreeSet<&str> {
        let percent = all
            .iter()
            .filter(|m| m.unit == "percent" && m.proportion == proportion);
        percent.map(|m| m.marker.as_str()).collect()
    };
    assert_eq!(with(true), BTreeSet::from(files::markers::PROPORTIONS));
    let others = files::markers::OTHER_PERCENTAGES.map(|(code, _)| code);
    assert_eq!(with(false), BTreeSet::from(others));
    assert!(!all.iter().any(|m| m.proportion && m.unit != "percent"));
    // Two successors: the contract holds one.
    assert_eq!(of("HARM_FREE").successor, "PU_2_4");
    assert!(
        of("HARM_FREE")
            .notes
            .ends_with("Followed by FALLS_HARM as well.")
    );
}

#[test]
fn pcts_open_and_close_only_inside_the_span_of_the_file() {
    let facts = pct_sha_2010(&data("org_pct_sha_2010.csv")).unwrap();
    parents_come_first(&facts);
    assert_eq!(files::codes(&facts).len(), 1 + 10 + 155);
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    let (mut opened, mut closed) = (Vec::new(), Vec::new());
    for fact in &facts {
        match fact.fact.as_ref().unwrap() {
            Fact::OrganisationRecorded(o) => {
                *kinds.entry(&o.kind).or_default() += 1;
                if !o.opened.is_empty() {
                    opened.push((o.org_code.as_str(), o.opened.as_str()));
                }
            }
            Fact::OrganisationClosed(c) => closed.push((c.org_code.as_str(), c.closed.as_str())),
            _ => {}
        }
    }
    let expected = [
        ("commissioner", 1),
        ("nation", 1),
        ("pct", 154),
        ("sha", 10),
    ];
    assert_eq!(kinds, BTreeMap::from(expected));
    assert_eq!(opened, [("5QV", "2010-04-01"), ("TAP", "2010-04-01")]);
    let april = "2010-04-01";
    assert_eq!(closed, [("5CC", april), ("5P3", april), ("5P4", april)]);
    assert_eq!(parents(&facts)["YDD82"], "ENG");
    // The tree of this file and that of the returns are the same.
    assert_eq!(parents(&facts), parents(&sha_tree(&data(RTT))));
}

#[test]
fn trusts_stand_below_seven_regions_and_succeed_each_other() {
    let pcts = files::codes(&pct_sha_2010(&data("org_pct_sha_2010.csv")).unwrap());
    let facts = trusts(&data("org_trusts.csv"), &pcts).unwrap();
    // 275 trusts, of which the Isle of Wight PCT is recorded already.
    let mine = files::codes(&facts);
    assert_eq!(mine.len(), 1 + 7 + 274);
    let parent = parents(&facts);
    assert_eq!(parent.len(), 7 + 275);
    assert_eq!(parent["5QT"], "Y59");
    let below_root: Vec<&str> = parent
        .iter()
        .filter(|(_, p)| *p == "ENG")
        .map(|(c, _)| c.as_str())
        .collect();
    assert_eq!(
        below_root,
        [
            "RQF", "RT4", "RYT", "Y56", "Y58", "Y59", "Y60", "Y61", "Y62", "Y63"
        ]
    );
    let closed = |code: &str| {
        let closing = facts.iter().find_map(|f| match &f.fact {
            Some(Fact::OrganisationClosed(c)) if c.org_code == code => Some(c.closed.clone()),
            _ => None,
        });
        closing.unwrap()
    };
    assert_eq!(closed("R1C"), "2024-10-01"); // last day of operation 2024-09-30
    let known: BTreeSet<_> = pcts.union(&mine).copied().collect();
    let pairs = succession(&data("org_succession.csv"), &known).unwrap();
    assert_eq!(pairs.len(), 58);
    let heirs = |code: &str| {
        let mine = pairs.iter().filter(
            |f| matches!(&f.fact, Some(Fact::OrganisationSucceeded(s)) if s.org_code == code),
        );
        mine.count()
    };
    assert_eq!((heirs("RNJ"), heirs("RW6")), (1, 2)); // a merger, and a split
}

/// The reference data of all files, each fact checked against those before it.
fn reference() -> Reference {
    let pcts = pct_sha_2010(&data("org_pct_sha_2010.csv")).unwrap();
    let mut known = files::codes(&pcts);
    let mut facts = pcts;
    let more = trusts(&data("org_trusts.csv"), &known).unwrap();
    known.extend(files::codes(&more));
    facts.extend(more);
    facts.extend(succession(&data("org_succession.csv"), &known).unwrap());
    let (main, supplement) = (data("markers.csv"), data("markers_supplementary.csv"));
    facts.extend(markers(&[&main, &supplement]).unwrap());
    let mut reference = Reference::default();
    for (index, fact) in facts.iter().enumerate() {
        let fact = draft::reference_fact(fact, index).unwrap();
        reference.check(&fact).unwrap();
        reference.apply(&fact);
    }
    reference
}

#[test]
fn what_the_files_give_passes_the_validation_of_every_return() {
    let reference = reference();
    let against = Against {
        reference: &reference,
        ledger: None,
        today: "2013-06-01".parse().unwrap(),
    };
    let weekly = ae_weekly(&data("ae_weekly_trust_2010-11_2013-03.csv"), "weekly").unwrap();
    let all = merge_quality(rtt(&data(RTT), RTT).unwrap(), weekly.returns);
    let mut refused = Vec::new();
    for sent in &all {
        if let Err(problems) = validate_return(draft::return_draft(sent), &against) {
            let codes: BTreeSet<&str> = problems.iter().map(|p| p.code).collect();
            refused.push((sent.org_code.as_str(), sent.period.as_str(), codes));
        }
    }
    // The week that straddles a merger is published for those who were merged, under the month in which it ends.
    refused.sort();
    let merged = |org, period| (org, period, BTreeSet::from(["ORGANISATION_CLOSED"]));
    let expected = [
        merged("RCC", "2012-07"),
        merged("RGC", "2012-04"),
        merged("RM4", "2012-04"),
        merged("RNH", "2012-04"),
        merged("RNJ", "2012-04"),
    ];
    assert_eq!(refused, expected);
}
