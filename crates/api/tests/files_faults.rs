//! What the file formats refuse and what they put up with, each by its name.

#![allow(clippy::unwrap_used, reason = "a test may stop where it fails")]

use std::collections::{BTreeMap, BTreeSet};

use qipp_api::error;
use qipp_api::files::{
    self, MAX_BYTES, MAX_CELL_BYTES, MAX_PROBLEMS, MAX_ROWS, Read, RollUpLevel, RttTree, ae_weekly,
    markers, pct_sha_2010, quality, rtt, rtt_reference, rtt_rollup_csv, savings, succession,
    trusts,
};
use qipp_api::proto::events::v1::{
    EdgeRecorded, Measured, Missing, Observation, Return, ReturnStatus, observation::Value,
    reference_fact::Fact, r#return::Body,
};
use qipp_api::proto::projections::v1::RollUpCell;

const QUALITY: &str = "org_code,period,marker,numerator,denominator";
const SAVINGS: &str = "org_code,period,scheme_id,plan_pence,actual_pence,actual_ytd_pence,forecast_pence,recurrent_pence,missing";
const RTT: &str = "period,pathway,sha_code,org_code,org_name,tfc_code,tfc_name,total_pathways,total_known_clock_start,within_18_weeks,over_52_weeks";
const WEEKLY: &str = "week_ending,org_code,type1_attendances,type1_over_4h,type1_pct_within_4h";

/// Code and field of every problem.
fn faults<T: std::fmt::Debug>(read: Read<T>) -> Vec<(&'static str, String)> {
    let problems = read.unwrap_err();
    assert!(problems.iter().all(|p| !p.description.is_empty()));
    problems.into_iter().map(|p| (p.code, p.field)).collect()
}

fn only<T: std::fmt::Debug>(read: Read<T>, code: &str, field: &str) {
    let found = faults(read);
    assert_eq!(found, [(found[0].0, field.to_owned())]);
    assert_eq!(found[0].0, code);
}

fn read_quality(rows: &str) -> Read<Vec<Return>> {
    quality(format!("{QUALITY}\n{rows}\n").as_bytes())
}

fn read_savings(rows: &str) -> Read<Vec<Return>> {
    savings(format!("{SAVINGS}\n{rows}\n").as_bytes())
}

fn read_rtt(rows: &str) -> Read<Vec<Return>> {
    rtt(format!("{RTT}\n{rows}\n").as_bytes(), "table")
}

fn read_weekly(rows: &str) -> Read<files::AeWeekly> {
    ae_weekly(format!("{WEEKLY}\n{rows}\n").as_bytes(), "weekly")
}

fn observations(of: &Return) -> &[Observation] {
    match &of.body {
        Some(Body::Quality(quality)) => &quality.observations,
        _ => panic!("a quality return"),
    }
}

/// `MARKER numerator/denominator` of each observation.
fn figures(of: &Return) -> Vec<String> {
    let show = |o: &Observation| match o.value {
        Some(Value::Measured(Measured {
            numerator,
            denominator,
        })) => {
            format!("{} {numerator}/{}", o.marker, denominator.unwrap_or(-1.0))
        }
        _ => format!("{} missing", o.marker),
    };
    observations(of).iter().map(show).collect()
}

// The table.

#[test]
fn any_spreadsheet_s_table_is_read() {
    let plain = read_quality("RJ1,2012-03,AE_4H,95,100").unwrap();
    for text in [
        "\u{feff}org_code,period,marker,numerator,denominator\r\nRJ1,2012-03,AE_4H,95,100\r\n\r\n,,,,\r\n",
        "ORG_CODE; Period ;marker;numerator;denominator\nRJ1;2012-03;AE_4H;95;100",
        "denominator\tnumerator\tmarker\tperiod\torg_code\n100\t95\tAE_4H\t2012-03\tRJ1\n",
        "\n\norg_code,period,marker,numerator,denominator,,\n\"RJ1\", 2012-03 ,AE_4H,95,100,,\n",
        "org_code,period,marker,numerator,denominator\rRJ1,2012-03,AE_4H,95,100\r",
    ] {
        assert_eq!(quality(text.as_bytes()).unwrap(), plain, "{text}");
    }
}

#[test]
fn bytes_that_are_no_text_are_refused_by_what_they_are() {
    only(quality(b""), "EMPTY_FILE", "file");
    only(quality(b"\xEF\xBB\xBF\r\n\r\n"), "EMPTY_FILE", "file");
    only(quality(QUALITY.as_bytes()), "NO_ROWS", "file");
    only(quality(b"PK\x03\x04..."), "NOT_CSV", "file");
    only(quality(b"\x1F\x8B\x08"), "NOT_CSV", "file");
    only(quality(b"\xFF\xFEo\0r\0g\0"), "NOT_CSV", "file");
    only(quality(b"o\0r\0g\0"), "NOT_CSV", "file");
    only(quality(b"\0o\0r\0g"), "NOT_CSV", "file");
    let latin = [
        QUALITY.as_bytes(),
        b"\r\nRJ1,2012-03,AE_4H,95,100\r\nRJ1,2012-03,\xA3,1,2\r\n",
    ]
    .concat();
    only(quality(&latin), "NOT_UTF8", "line 3, column marker");
    only(
        quality(&vec![b'a'; MAX_BYTES + 1]),
        "FILE_TOO_LARGE",
        "file",
    );
}

#[test]
fn bytes_that_are_no_characters_hide_no_other_fault() {
    let rows = b"\nRJ1,Mar-12,AE_4H,95,100\nRJ1,2012-03,A\xA3,1,2\nRJ1,2012-03,CDI,\x961,2\nRJ1,2012-03,AE_4H,1e3,2\n";
    let found = faults(quality(&[QUALITY.as_bytes(), rows].concat()));
    let expected = [
        ("EXCEL_DATE", "line 2, column period".to_owned()),
        ("NOT_UTF8", "line 3, column marker".to_owned()),
        ("NOT_UTF8", "line 4, column numerator".to_owned()),
        ("NOT_A_NUMBER", "line 5, column numerator".to_owned()),
    ];
    assert_eq!(found, expected);
    // In the header it is told by its line.
    let found = faults(quality(
        b"org_code,period,m\xA3rker,numerator,denominator\nRJ1,2012-03,AE_4H,1,2\n",
    ));
    assert!(
        found.contains(&("NOT_UTF8", "line 1".to_owned())),
        "{found:?}"
    );
}

#[test]
fn a_header_that_does_not_fit_is_refused_column_by_column() {
    let text = b"org_code,period,marker,numerator,numerator,Region\nRJ1,2012-03,AE_4H,1,1,x\n";
    let expected = [
        ("DUPLICATE_COLUMN", "line 1, column numerator".to_owned()),
        ("UNKNOWN_COLUMN", "line 1, column region".to_owned()),
        ("MISSING_COLUMN", "line 1, column denominator".to_owned()),
    ];
    assert_eq!(faults(quality(text)), expected);
}

#[test]
fn a_row_that_does_not_fit_its_header_is_refused() {
    let found = faults(read_quality("RJ1,2012-03,AE_4H,95"));
    assert_eq!(found, [("SHORT_ROW", "line 2".to_owned())]);
    only(
        read_quality("RJ1,2012-03,AE_4H,95,100,7"),
        "CELL_WITHOUT_COLUMN",
        "line 2, column 6",
    );
}

#[test]
fn a_formula_is_refused_and_a_negative_number_is_none() {
    for cell in ["=1+1", "+1", "@SUM(A1)", "-A1", "--1"] {
        let rows = format!("RJ1,2012-03,AE_4H,{cell},100");
        only(read_quality(&rows), "FORMULA", "line 2, column numerator");
    }
    only(
        read_quality("RJ1,2012-03,AE_4H,-5,100"),
        "BAD_NUMBER",
        "line 2, column numerator",
    );
    let line = read_savings("RJ1,2012-03,S1,100,-500,,,,").unwrap();
    let Some(Body::Savings(body)) = &line[0].body else {
        panic!("savings")
    };
    assert_eq!(body.lines[0].actual_pence, Some(-500));
}

#[test]
fn a_quotation_mark_that_is_not_closed_is_found() {
    let rows = "RJ1,2012-03,\"AE_4H,95,100\nRJ2,2012-03,AE_4H,95,100";
    let found = faults(read_quality(rows));
    assert!(
        found.contains(&("CONTROL_CHARACTER", "line 2, column marker".to_owned())),
        "{found:?}"
    );
    let long = format!("RJ1,2012-03,{},95,100", "A".repeat(MAX_CELL_BYTES + 1));
    only(
        read_quality(&long),
        "CELL_TOO_LONG",
        "line 2, column marker",
    );
}

#[test]
fn lines_are_counted_as_an_editor_counts_them() {
    let text =
        format!("{QUALITY}\r\n\r\n\r\nRJ1,2012-03,AE_4H,95,100\r\n\r\nRJ1,2012-03,AE_4H,x,100\r\n");
    only(
        quality(text.as_bytes()),
        "NOT_A_NUMBER",
        "line 6, column numerator",
    );
}

#[test]
fn a_million_rows_is_the_end() {
    let mut text = String::from("old_code,new_code,date\n");
    text.push_str(&"A1,B1,2012-03-01\n".repeat(MAX_ROWS + 2));
    let field = format!("line {}", MAX_ROWS + 2);
    only(
        succession(text.as_bytes(), &BTreeSet::new()),
        "TOO_MANY_ROWS",
        &field,
    );
}

#[test]
fn all_faults_of_a_file_are_listed_and_the_list_is_cut_at_1000() {
    let found = faults(read_quality("rj1,Mar-12,a b,\"1,234\",1.234.567"));
    let codes: Vec<&str> = found.iter().map(|(code, _)| *code).collect();
    assert_eq!(
        codes,
        [
            "BAD_CODE",
            "EXCEL_DATE",
            "BAD_CODE",
            "THOUSANDS_SEPARATOR",
            "THOUSANDS_SEPARATOR"
        ]
    );
    let many = "RJ1,2012-03,AE_4H,x,100\n".repeat(1_500);
    let problems = read_quality(&many).unwrap_err();
    assert_eq!(problems.len(), MAX_PROBLEMS + 1);
    assert!(
        problems[MAX_PROBLEMS]
            .description
            .starts_with("500 more problems")
    );
}

#[test]
fn the_separator_that_excel_states_is_taken() {
    let plain = read_quality("RJ1,2012-03,AE_4H,95,100").unwrap();
    for text in [
        format!("sep=,\r\n{QUALITY}\r\nRJ1,2012-03,AE_4H,95,100\r\n"),
        format!("\u{feff}SEP=;\n{QUALITY}\nRJ1,2012-03,AE_4H,95,100\n").replace(',', ";"),
        format!("\"sep=\t\"\n{QUALITY}\nRJ1,2012-03,AE_4H,95,100\n").replace(',', "\t"),
    ] {
        assert_eq!(quality(text.as_bytes()).unwrap(), plain, "{text}");
    }
    let text = format!("sep=,\n{QUALITY}\nRJ1,2012-03,AE_4H,x,100\n");
    only(
        quality(text.as_bytes()),
        "NOT_A_NUMBER",
        "line 3, column numerator",
    );
    let text = format!("sep=|\n{QUALITY}\n");
    only(quality(text.as_bytes()), "BAD_SEPARATOR", "line 1");
}

#[test]
fn what_validation_finds_is_placed_in_the_file() {
    let place = |places: &files::Places, field: &str| {
        let problem = error::Problem {
            code: "X".into(),
            field: field.to_owned(),
            description: "as in observations[0] or lines[1]".to_owned(),
        };
        let placed = places.of(problem);
        (placed.field, placed.description)
    };
    // A figure that can't be read leaves its marker to be checked; a row without a month leaves nothing.
    let text = format!("{QUALITY}\nRJ1,2012-03,A,x,1\nRJ1,Mar-12,B,1,1\n\nRJ1,2012-03,C,1,1\n");
    let sheet = files::quality_sheet(text.as_bytes());
    let codes: Vec<&str> = sheet.problems.iter().map(|p| p.code).collect();
    assert_eq!(codes, ["NOT_A_NUMBER", "EXCEL_DATE"]);
    let markers: Vec<&str> = observations(&sheet.returns[0])
        .iter()
        .map(|o| &*o.marker)
        .collect();
    assert_eq!(markers, ["A", "C"]);
    let places = &sheet.places[0];
    for (field, line) in [
        (
            "return.quality.observations[1].marker",
            "line 5, column marker",
        ),
        (
            "return.quality.observations[1].measured.numerator",
            "line 5, column numerator",
        ),
        ("return.quality.observations[0]", "line 2"),
        ("return.quality.observations[9].marker", "line 2"),
        ("return.org_code", "line 2, column org_code"),
        ("return", "line 2"),
        ("elsewhere", "elsewhere"),
    ] {
        assert_eq!(place(places, field).0, line);
    }
    let told = place(places, "return.quality.observations[1].marker").1;
    assert!(told.starts_with("as in line 2"), "{told}");
    assert!(sheet.whole().is_err());

    let text = format!("{SAVINGS}\nRJ1,2012-03,S1,100,12.34,,,,\nRJ1,2012-03,S2,100,5,,,,\n");
    let sheet = files::savings_sheet(text.as_bytes());
    assert_eq!((sheet.problems.len(), sheet.returns.len()), (1, 1));
    let line = place(&sheet.places[0], "return.savings.lines[1].scheme_id").0;
    assert_eq!(line, "line 3, column scheme_id");

    let text = format!("{RTT}\n2012-03,admitted,-,RJ1,x,999,y,10,9,8,1\n");
    let sheet = files::rtt_sheet(text.as_bytes(), "table");
    let columns: Vec<String> = (0..3)
        .map(|i| format!("return.quality.observations[{i}].measured.numerator"))
        .map(|field| place(&sheet.places[0], &field).0)
        .collect();
    assert_eq!(
        columns,
        [
            "within_18_weeks",
            "over_52_weeks",
            "total_known_clock_start"
        ]
        .map(|column| format!("line 2, column {column}"))
    );
}

#[test]
fn both_lists_of_faults_come_in_the_order_of_the_lines() {
    let text = format!("{QUALITY}\nRJ1,2012-03,A,1,1\nRJ1,2012-03,B,x,1\nRJ1,2012-03,C,1,1\n");
    let sheet = files::quality_sheet(text.as_bytes());
    let found = |index: usize| error::Problem {
        code: "UNKNOWN_MARKER".into(),
        field: format!("return.quality.observations[{index}].marker"),
        description: "it is not known".to_owned(),
    };
    let all = sheet.all_problems(vec![(0, found(2)), (0, found(0))]);
    let fields: Vec<&str> = all.iter().map(|p| &*p.field).collect();
    assert_eq!(
        fields,
        [
            "line 2, column marker",
            "line 3, column numerator",
            "line 4, column marker"
        ]
    );
    let many = (0..2_000).map(|_| (0, found(0))).collect();
    let all = sheet.all_problems(many);
    assert_eq!(
        (all.len(), &*all[MAX_PROBLEMS].code),
        (MAX_PROBLEMS + 1, "TOO_MANY_PROBLEMS")
    );
}

// Returns.

#[test]
fn an_organisation_s_month_is_one_return_in_the_order_of_the_file() {
    let header = format!("{QUALITY},breakdown,missing,status,simulated,source");
    let text = format!(
        "{header}\nRJ1,2012-03,RTT_ADM,90,100,,,final,yes,a\nRJ2,2012-03,WTE_RN,1350.5,,,,,,\nRJ1,2012-03,AE_4H,,,,suppressed,final,,b\nRJ1,2012-03,RTT_ADM,9,10,tfc:100,,final,,a\n"
    );
    let returns = quality(text.as_bytes()).unwrap();
    assert_eq!(returns.len(), 2);
    assert_eq!(
        figures(&returns[0]),
        ["RTT_ADM 90/100", "AE_4H missing", "RTT_ADM 9/10"]
    );
    assert_eq!(
        (returns[0].status(), returns[0].source.as_str()),
        (ReturnStatus::Final, "a; b")
    );
    let first = observations(&returns[0]);
    assert!(first[0].simulated && !first[1].simulated);
    assert_eq!(
        first[1].value,
        Some(Value::Missing(Missing::Suppressed.into()))
    );
    assert_eq!(first[2].breakdown, "tfc:100");
    assert_eq!(
        (returns[1].status(), figures(&returns[1])),
        (
            ReturnStatus::Provisional,
            vec!["WTE_RN 1350.5/-1".to_owned()]
        )
    );
}

#[test]
fn missing_is_said_and_never_guessed() {
    only(
        read_quality("RJ1,2012-03,AE_4H,,100"),
        "NO_FIGURE",
        "line 2, column numerator",
    );
    let read = |row: &str| quality(format!("{QUALITY},missing\n{row}\n").as_bytes());
    only(
        read("RJ1,2012-03,AE_4H,95,100,suppressed"),
        "FIGURE_AND_MISSING",
        "line 2, column missing",
    );
    only(
        read("RJ1,2012-03,AE_4H,,,not_submitted"),
        "NOT_SUBMITTED_STATED",
        "line 2, column missing",
    );
    only(
        read("RJ1,2012-03,AE_4H,,,lost"),
        "BAD_WORD",
        "line 2, column missing",
    );
    only(
        read_savings("RJ1,2012-03,S1,100,,,,,"),
        "NO_FIGURE",
        "line 2, column actual_pence",
    );
    only(
        read_savings("RJ1,2012-03,S1,100,5,,,,not_collected"),
        "FIGURE_AND_MISSING",
        "line 2, column missing",
    );
    assert!(read_savings("RJ1,2012-03,S1,100,,,,,not_collected").is_ok());
}

#[test]
fn rows_of_one_return_agree_on_its_status() {
    let text = format!(
        "{QUALITY},status\nRJ1,2012-03,AE_4H,1,2,final\nRJ1,2012-03,CDI,1,2,\nRJ2,2012-03,CDI,1,2,\n"
    );
    only(
        quality(text.as_bytes()),
        "STATUS_DIFFERS",
        "line 3, column status",
    );
}

#[test]
fn money_is_whole_pence() {
    only(
        read_savings("RJ1,2012-03,S1,12.34,5,,,,"),
        "NOT_PENCE",
        "line 2, column plan_pence",
    );
    only(
        read_savings("RJ1,2012-03,S1,\"1,234\",5,,,,"),
        "THOUSANDS_SEPARATOR",
        "line 2, column plan_pence",
    );
    only(
        read_savings("RJ1,2012-03,S1,£5,5,,,,"),
        "NOT_A_NUMBER",
        "line 2, column plan_pence",
    );
}

// Published tables.

#[test]
fn rtt_rows_give_the_markers_whose_counts_are_there() {
    let row =
        |pathway: &str, counts: &str| format!("2014-12,{pathway},Y54,01C,X,999,Total,{counts}");
    let of = |pathway: &str, counts: &str| {
        let returns = read_rtt(&row(pathway, counts)).unwrap();
        returns.first().map(figures).unwrap_or_default()
    };
    assert_eq!(
        of("admitted", "100,90,80,1"),
        ["RTT_ADM 80/90", "RTT_ADM_52W 1/90", "RTT_ADM_CLOCK 90/100"]
    );
    assert_eq!(of("non_admitted", "100.0,,80.0,"), ["RTT_NADM 80/100"]);
    assert_eq!(
        of("incomplete", "100,,80,0"),
        ["RTT_INC 80/100", "RTT_52W 0/100"]
    );
    assert_eq!(of("incomplete", "100,90,80,"), ["RTT_INC 80/100"]);
    assert_eq!(of("admitted", ",90,,"), Vec::<String>::new());
    only(
        read_rtt(&row("admitted", "100,90.5,80,1")),
        "NOT_WHOLE",
        "line 2, column total_known_clock_start",
    );
    only(
        read_rtt(&row("planned", "1,1,1,1")),
        "BAD_WORD",
        "line 2, column pathway",
    );
}

#[test]
fn an_rtt_row_that_comes_twice_is_refused() {
    let row = "2014-12,admitted,Y54,01C,X,100,GS,1,1,1,0";
    only(
        read_rtt(&format!("{row}\n{row}")),
        "DUPLICATE_ROW",
        "line 3",
    );
}

fn tree<'a>(names: &'a BTreeMap<String, String>) -> RttTree<'a> {
    RttTree {
        tree: "area_2014",
        title: "Area teams",
        root_code: "ENG",
        root_name: "England",
        group_kind: "area_team",
        org_kind: "ccg",
        group_names: names,
    }
}

fn edges(rows: &str) -> Vec<EdgeRecorded> {
    let names = BTreeMap::from([("Q44".to_owned(), "Cheshire".to_owned())]);
    let text = format!("{RTT}\n{rows}");
    let facts = rtt_reference(text.as_bytes(), &tree(&names)).unwrap();
    let edge = |fact| match fact {
        Some(Fact::EdgeRecorded(edge)) => Some(edge),
        _ => None,
    };
    facts.into_iter().filter_map(|f| edge(f.fact)).collect()
}

#[test]
fn an_organisation_that_moves_gets_a_new_edge_and_the_old_one_ends() {
    let row =
        |month: &str, group: &str| format!("{month},admitted,{group},01C,EAST,999,Total,1,1,1,0\n");
    let rows = [
        row("2015-01", "Q45"),
        row("2014-11", "Q44"),
        row("2014-12", "Q44"),
        row("2015-03", "-"),
    ]
    .concat();
    let found: Vec<String> = edges(&rows)
        .iter()
        .map(|e| {
            format!(
                "{}<{} {}..{}",
                e.child_code, e.parent_code, e.valid_from, e.valid_until
            )
        })
        .collect();
    let expected = [
        "Q44<ENG 2014-11-01..",
        "Q45<ENG 2015-01-01..",
        "01C<Q44 2014-11-01..2015-01-01",
        "01C<Q45 2015-01-01..2015-03-01",
        "01C<ENG 2015-03-01..",
    ];
    assert_eq!(found, expected);
}

#[test]
fn a_tree_in_which_somebody_has_two_parents_or_stands_below_itself_is_refused() {
    let names = BTreeMap::new();
    let read = |rows: &str| rtt_reference(format!("{RTT}\n{rows}").as_bytes(), &tree(&names));
    let row = |org: &str, group: &str| format!("2014-12,admitted,{group},{org},X,999,T,1,1,1,0\n");
    let two = [row("01C", "Q44"), row("01C", "Q45")].concat();
    only(read(&two), "TWO_PARENTS", "line 3, column sha_code");
    only(
        read(&row("Q44", "Q44")),
        "GROUP_AND_ORGANISATION",
        "organisation Q44",
    );
    only(
        read(&row("ENG", "Q44")),
        "GROUP_AND_ORGANISATION",
        "organisation ENG",
    );
    let bad = RttTree {
        tree: "Area Teams",
        ..tree(&names)
    };
    only(
        rtt_reference(format!("{RTT}\n{}", row("01C", "Q44")).as_bytes(), &bad),
        "BAD_CODE",
        "options.tree",
    );
}

#[test]
fn the_published_layout_leaves_empty_what_nobody_counted() {
    let cell = |marker: &str, group: &str, n: f64, d: f64| RollUpCell {
        period: "2014-12".to_owned(),
        group_code: group.to_owned(),
        group_name: "=Group".to_owned(),
        marker: marker.to_owned(),
        measured: Some(Measured {
            numerator: n,
            denominator: Some(d),
        }),
        ..RollUpCell::default()
    };
    // One organisation knows 90 clock starts of 100, another does not say and counts with its 50.
    let cells = [
        cell("RTT_ADM", "", 120.0, 140.0),
        cell("RTT_ADM_CLOCK", "", 90.0, 100.0),
        cell("RTT_INC", "Q44", 0.0, 0.0),
        cell("AE_4H", "Q44", 1.0, 2.0),
    ];
    let text = rtt_rollup_csv(
        &[RollUpLevel {
            level: "sha",
            cells: &cells,
        }],
        &BTreeMap::new(),
    );
    let rows: Vec<&str> = text.lines().skip(1).collect();
    let expected = [
        "2014-12,admitted,sha,-,'=Group,999,,150,90,120,,0.8571428571428571",
        "2014-12,incomplete,sha,Q44,'=Group,999,,0,,0,,",
    ];
    assert_eq!(rows, expected);
}

#[test]
fn a_month_of_weeks_is_given_when_all_of_them_are_there() {
    let rows = "2011-01-02,RJ1,1000,50,94.9\n2011-01-09,RJ1,1000,,94.9\n2011-01-02,RJ2,10,,90.0\n2011-01-09,RJ2,10,,\n2011-01-02,,7,,\n2011-01-02,RJ3,10,1,";
    let read = read_weekly(rows).unwrap();
    let found: Vec<Vec<String>> = read.returns.iter().map(figures).collect();
    let expected = [
        vec!["AE_4H_T1 1899/2000", "AE_ATT 2000/14"],
        vec!["AE_ATT 20/14"],
        vec!["AE_ATT 10/7"],
    ];
    assert_eq!(found, expected);
    assert_eq!((read.rows_without_code, read.notes.len()), (1, 3));
    assert!(read.returns[0].source.contains("derived") && read.returns[2].source == "weekly");
}

#[test]
fn weeks_that_cannot_be_are_refused() {
    only(
        read_weekly("2011-01-02,RJ1,10,11,"),
        "NUMERATOR_ABOVE_DENOMINATOR",
        "line 2, column type1_over_4h",
    );
    only(
        read_weekly("2011-01-02,RJ1,10,,100.1"),
        "BAD_NUMBER",
        "line 2, column type1_pct_within_4h",
    );
    only(
        read_weekly("02/01/2011,RJ1,10,,95"),
        "EXCEL_DATE",
        "line 2, column week_ending",
    );
    only(
        read_weekly("2011-01-02,RJ1,10,,95\n2011-01-02,RJ1,10,,95"),
        "DUPLICATE_ROW",
        "line 3",
    );
    only(
        read_weekly("2011-01-02,RJ1,10,,95\n2011-01-07,RJ1,10,,95"),
        "WEEKS_OVERLAP",
        "line 3, column week_ending",
    );
}

// Reference files.

#[test]
fn a_percentage_that_nobody_classified_has_to_say_what_it_is() {
    let header = "code,name,domain,numerator,denominator,unit,polarity,national_standard,trigger_role,standard_valid_from,standard_valid_to,successor_code,publication_lag_days,notes";
    let row = "NEW_PCT,New,access,a,b,percent,neutral,none,context,,,,30,";
    let read = |header: &str, row: &str| markers(&[format!("{header}\n{row}\n").as_bytes()]);
    only(
        read(header, row),
        "PROPORTION_UNKNOWN",
        "line 2, column proportion",
    );
    assert!(read(&format!("{header},proportion"), &format!("{row},true")).is_ok());
    let twice = format!("{header}\n{}\n", row.replace("percent", "count"));
    let both = markers(&[twice.as_bytes(), twice.as_bytes()]);
    only(both, "DUPLICATE_ROW", "file 2, line 2, column code");
}

#[test]
fn a_succession_needs_two_known_codes_that_differ() {
    let known = ["RJ1", "RJ2"].map(|code| code.parse().unwrap()).into();
    let read = |row: &str| {
        succession(
            format!("old_code,new_code,date\n{row}\n").as_bytes(),
            &known,
        )
    };
    assert_eq!(read("RJ1,RJ2,2012-04-01").unwrap().len(), 1);
    assert_eq!(
        read("RJ1,RJ9,2012-04-01\nnobody,RJ1,2012-04-01")
            .unwrap()
            .len(),
        0
    );
    only(
        read("RJ1,RJ1,2012-04-01"),
        "SUCCEEDS_ITSELF",
        "line 2, column new_code",
    );
    only(read("RJ1,RJ2,20120401"), "BAD_DATE", "line 2, column date");
}

#[test]
fn intervals_that_end_before_they_start_are_refused() {
    let pct = "org_code,org_name,sha_code,sha_name,country,first_seen,last_seen\n5A3,X,Q39,SW,ENG,2010-05,2009-12\n";
    only(
        pct_sha_2010(pct.as_bytes()),
        "EMPTY_INTERVAL",
        "line 2, column last_seen",
    );
    let trust = "org_code,org_name,open_date,close_date,region7_code,region7_name\nRJ1,X,20120401,20110331,Y56,London\n";
    only(
        trusts(trust.as_bytes(), &BTreeSet::new()),
        "EMPTY_INTERVAL",
        "line 2, column close_date",
    );
}
