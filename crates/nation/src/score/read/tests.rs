use qipp_domain::marker::Polarity;
use qipp_rules::series::Scale;

use super::*;
use crate::TruthKind;
use crate::scenario::{self, Scenario, ScenarioConfig};

const MARKERS: &str =
    "marker,domain,polarity\nM 1,safety,lower_is_better\nM2,access,higher\nM3,access,0\n";
const OBSERVATIONS: &str =
    "org_code,period,marker,numerator,denominator\nB,2020-01,M 1,1,10\nA,2020-02-29,M2,3.5,2\n";
const SAVINGS: &str = "org_code,period,plan_pence,actual_pence\nA,2020-01,,1.5e6\nB,2020-03,10,\n";
const TRUTH: &str = "org_code,kind,from,until,markers\nA,both,2020-02,,M 1;M2\n";

fn reading(
    markers: &str,
    observations: &str,
    savings: &str,
    truth: &str,
) -> Result<Reading, Faults> {
    read(&Files {
        markers: markers.as_bytes(),
        observations: observations.as_bytes(),
        savings: savings.as_bytes(),
        truth: truth.as_bytes(),
    })
}

fn codes(result: Result<Reading, Faults>) -> Vec<(&'static str, &'static str, u64)> {
    let faults = result.unwrap_err();
    assert_eq!(faults.count, faults.listed.len());
    faults
        .listed
        .iter()
        .map(|fault| (fault.code, fault.file, fault.line))
        .collect()
}

#[test]
fn the_plain_form_is_read_as_it_stands() {
    let Reading { input, notes } = reading(MARKERS, OBSERVATIONS, SAVINGS, TRUTH).unwrap();
    let returns = &input.returns;
    assert_eq!(returns.organisations, ["A", "B"]);
    assert_eq!(
        (returns.period(0), returns.months),
        ("2020-01".to_owned(), 3)
    );
    assert_eq!(returns.domains, ["safety", "access"]);
    let taken: Vec<(&str, Polarity, Scale)> = returns
        .markers
        .iter()
        .map(|marker| (marker.code.as_str(), marker.polarity, marker.scale))
        .collect();
    assert_eq!(
        taken,
        [
            ("M 1", Polarity::LowerIsBetter, Scale::Proportion),
            ("M2", Polarity::HigherIsBetter, Scale::Rate)
        ]
    );
    let figure = returns.figures[1];
    assert_eq!((figure.org, figure.month, figure.received), (0, 1, 1));
    assert_eq!((figure.numerator, figure.denominator), (3.5, 2.0));
    assert_eq!(returns.savings[0].actual_pence, 1.5e6);
    assert!(
        returns.savings[1].actual_pence.is_nan(),
        "missing is never zero"
    );
    let episode = &input.truth.episodes[0];
    assert_eq!(
        (episode.kind, episode.from, episode.until),
        (TruthKind::Both, 1, None)
    );
    assert_eq!(episode.markers, [0, 1]);
    assert_eq!(
        notes,
        ["markers.csv: lower is better for 1, higher for 1; 1 neutral ones are left out"]
    );
}

#[test]
fn columns_come_in_any_order_and_others_are_ignored_with_a_note() {
    let observations = "\u{feff}Marker, value ,note,Period,ORG_CODE\r\nM2,NA,x,2020-01,A\r\nM2,0.5,,2020-02,B\r\n\r\nM2,-1,,2020-03,A\r\n";
    let truth = "from,org_code,kind\n2020-01,A,Savings-only\n2020-01,B,none\n";
    let Reading { input, notes } = reading(MARKERS, observations, SAVINGS, truth).unwrap();
    assert_eq!(input.returns.markers[1].scale, Scale::Amount);
    assert!(input.returns.figures[0].numerator.is_nan());
    assert_eq!(input.returns.figures[2].numerator, -1.0);
    assert_eq!(input.truth.episodes.len(), 1);
    assert!(
        notes
            .iter()
            .any(|note| note == "observations.csv: ignored columns note"),
        "{notes:?}"
    );
}

#[test]
fn parts_count_before_a_value_and_what_lacks_its_denominator_is_missing() {
    let observations = "org_code,period,marker,numerator,denominator,value\nA,2020-01,M2,1,4,99\nA,2020-02,M2,1,,\nA,2020-03,M2,,,0.3\nA,2020-04,M2,0,0,\n";
    let Reading { input, notes } = reading(MARKERS, observations, SAVINGS, TRUTH).unwrap();
    let numerators: Vec<f64> = input
        .returns
        .figures
        .iter()
        .map(|row| row.numerator)
        .collect();
    assert_eq!(numerators[0], 1.0);
    assert!(
        numerators[1..].iter().all(|held| held.is_nan()),
        "{numerators:?}"
    );
    assert!(
        notes
            .iter()
            .any(|note| note.contains("2 figures lack the denominator")),
        "{notes:?}"
    );
}

#[test]
fn late_and_restated_rows_come_in_by_month_of_receipt() {
    let observations = "org_code,period,marker,numerator,denominator,received\nA,2020-01,M2,5,9,2020-03\nA,2020-01,M2,1,9,\n";
    let Reading { input, .. } = reading(MARKERS, observations, SAVINGS, TRUTH).unwrap();
    let mut known = crate::score::Known::new(&input.returns);
    let mut seen = Vec::new();
    for months in 1..=3 {
        known.advance(months);
        seen.push(known.table().line(0, 1).0[0]);
    }
    assert_eq!(seen, [1.0, 1.0, 5.0]);
    assert!(known.table().savings_of(1)[0].is_nan());
}

#[test]
fn rows_that_are_there_twice_count_once_and_those_that_differ_are_named() {
    let twice =
        "org_code,period,marker,numerator,denominator\nA,2020-01,M2,1,9\nA,2020-01,M2,1.0,9\n";
    let reading_ = reading(MARKERS, twice, SAVINGS, TRUTH).unwrap();
    assert_eq!(reading_.input.returns.figures.len(), 1);
    assert!(
        reading_
            .notes
            .iter()
            .any(|note| note.contains("1 rows are there twice"))
    );
    let differ = "org_code,period,marker,numerator,denominator\nA,2020-01,M2,1,9\nB,2020-01,M2,1,9\nA,2020-01,M2,2,9\n";
    let faults = reading(MARKERS, differ, SAVINGS, TRUTH).unwrap_err();
    let fault = &faults.listed[0];
    assert_eq!((fault.code, fault.line), ("CONTRADICTION", 4));
    assert!(fault.description.starts_with("line 2 "), "{fault}");
}

#[test]
fn all_faults_of_all_files_are_told_at_once() {
    let markers = "marker,domain,polarity\nM2,access,sideways\n,safety,lower\nM1,safety,lower\nM1,access,lower\n";
    let observations = "org_code,period,marker,numerator,denominator,received\n\
        A,2020-13,M1,1,2,\nA,2020-01,M1,one,2,\nA,2020-01,M1,3,0,\nA,2020-02,M1,-1,2,\nA,2020-03,M1,1,2,2020-02\nA,,M1,1,2,\nA,2020-04,M1,1,2,,\n\
        A,2020-05,M9,1,2,\nB,2020-05,M9,1,2,\nB,2020-05,M2,1,2,\n";
    let savings = "org_code,period,plan_pence,actual_pence\nA,2020-01,1,\"1,000\"\n";
    let truth = "org_code,kind,from,until,markers\nZ,both,2020-01,,M1\nA,harm,2020-01,,M7 M8\nA,both,2020-05,2020-04,\n";
    let (o, m, t) = ("observations.csv", "markers.csv", "truth.csv");
    let found = codes(reading(markers, observations, savings, truth));
    let expected = [
        ("INVALID_POLARITY", m, 2),
        ("INVALID_CODE", m, 3),
        ("DUPLICATE_MARKER", m, 5),
        ("INVALID_PERIOD", o, 2),
        ("INVALID_NUMBER", o, 3),
        ("ZERO_DENOMINATOR", o, 4),
        ("NEGATIVE_PART", o, 5),
        ("RECEIVED_TOO_EARLY", o, 6),
        ("MISSING_PERIOD", o, 7),
        ("ROW_LENGTH", o, 8),
        ("UNKNOWN_MARKER", o, 9),
        ("INVALID_NUMBER", "savings.csv", 2),
        ("NO_ROWS", o, 1),
        ("NO_ROWS", "savings.csv", 1),
        ("UNKNOWN_ORGANISATION", t, 2),
        ("INVALID_KIND", t, 3),
        ("UNKNOWN_MARKER", t, 3),
        ("UNKNOWN_MARKER", t, 3),
        ("ENDS_BEFORE_IT_BEGINS", t, 4),
    ];
    for held in &found {
        assert!(expected.contains(held), "{held:?} was not expected");
    }
    for wanted in &expected {
        assert!(found.contains(wanted), "{wanted:?} is not in {found:?}");
    }
}

#[test]
fn files_that_are_no_tables_are_refused_and_never_panic() {
    for bad in [
        "",
        "\n\n",
        "org_code",
        "a,b,c\n1,2,3",
        "\"",
        "\u{0}\u{1}",
        "org_code,org_code,period,kind\n",
    ] {
        let faults = reading(bad, bad, bad, bad).unwrap_err();
        assert!(
            faults
                .listed
                .iter()
                .any(|fault| fault.code == "MISSING_COLUMN"),
            "{bad:?}"
        );
    }
    let faults = read(&Files {
        markers: b"marker,domain,polarity\n\xff,safety,lower\n",
        observations: OBSERVATIONS.as_bytes(),
        savings: SAVINGS.as_bytes(),
        truth: TRUTH.as_bytes(),
    });
    assert!(
        faults
            .unwrap_err()
            .listed
            .iter()
            .any(|fault| fault.code == "NOT_UTF8")
    );
}

#[test]
fn at_most_fifty_faults_are_listed_and_all_are_counted() {
    let mut observations = OBSERVATIONS.to_owned();
    (0..80).for_each(|_| observations.push_str("A,never,M2,1,2\n"));
    let faults = reading(MARKERS, &observations, SAVINGS, TRUTH).unwrap_err();
    assert_eq!((faults.listed.len(), faults.count), (MAX_LISTED, 80));
    assert!(faults.to_string().ends_with("and 30 more"));
}

#[test]
fn a_month_that_was_mistyped_does_not_make_a_nation_of_centuries() {
    let savings = "org_code,period,plan_pence,actual_pence\nA,2095-01,1,1\n";
    let found = codes(reading(MARKERS, OBSERVATIONS, savings, TRUTH));
    assert_eq!(found, [("TOO_MANY_MONTHS", "savings.csv", 2)]);
}

#[test]
fn a_nation_by_its_files_is_the_nation_itself() {
    let text = |lines: &mut dyn Iterator<Item = String>| {
        let lines: Vec<String> = lines.collect();
        lines.join("\n")
    };
    for which in [Scenario::E, Scenario::Real] {
        let config = ScenarioConfig {
            organisations: 40,
            months: 40,
            ..ScenarioConfig::new(which, 11)
        };
        let nation = scenario::scenario(&config);
        let Reading { input, .. } = reading(
            &text(&mut scenario::files::markers(&nation)),
            &text(&mut scenario::files::observations(&nation)),
            &text(&mut scenario::files::savings(&nation)),
            &text(&mut scenario::files::truth(&nation)),
        )
        .unwrap();
        assert!(input == Input::from(&nation), "{which:?}");
        assert!(!input.truth.episodes.is_empty());
    }
}

#[test]
fn faults_are_told_where_they_are_and_as_what_they_are() {
    let observations = "org_code,period,marker,numerator,denominator\n\
        A,2020-01,M2,1,-2\nA,9999-12,M2,1,2\nA,2020-01,M2,1e308,2\nA,2020-01,M2,inf,2\nA,2020-01,M7,1,2\nA,2020-01,M8,1,2\nB,2020-01,M8,1,2\n";
    let faults = reading(MARKERS, observations, SAVINGS, TRUTH).unwrap_err();
    let told = faults.to_string();
    for expected in [
        "line 2 column denominator: it is below 0",
        "line 3 column period: `9999-12` is no month: write YYYY-MM, from 1990-01 to 2100-12",
        "line 4 column numerator: `1e308` is too large: give at most 1e18",
        "line 5 column numerator: `inf` is no number",
        "line 6 column marker: `M7` is not in markers.csv: add it there",
        "line 7 column marker: `M8` is not in markers.csv, here and in another row: add it there",
    ] {
        assert!(told.contains(expected), "{expected:?} is not in {told}");
    }
    let one = reading(
        MARKERS,
        &OBSERVATIONS.replace("1,10", "x,10"),
        SAVINGS,
        TRUTH,
    )
    .unwrap_err();
    assert!(one.to_string().starts_with("1 fault\n"), "{one}");
}

#[test]
fn a_proportion_that_a_mistyped_figure_makes_a_rate_is_told() {
    let mut observations = OBSERVATIONS.to_owned();
    let notes = |observations: &str| {
        let Reading { notes, .. } = reading(MARKERS, observations, SAVINGS, TRUTH).unwrap();
        let of = |note: &&String| note.contains("taken for a rate");
        notes.iter().filter(of).cloned().collect::<Vec<String>>()
    };
    (0..39).for_each(|org| observations.push_str(&format!("O{org},2020-01,M 1,1,10\n")));
    assert!(
        notes(&observations).is_empty(),
        "M2 is a rate in all of its figures"
    );
    observations.push_str("P,2020-01,M 1,11,10\n");
    let told = notes(&observations);
    assert!(
        told.len() == 1 && told[0].contains("`M 1`") && told[0].contains("1 of 41"),
        "{told:?}"
    );
}
