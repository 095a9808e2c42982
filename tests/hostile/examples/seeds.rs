//! Writes the hand-made part of the corpora: `cargo run -p qipp-hostile --example seeds`. What fuzzing adds to them stays.

#![allow(clippy::unwrap_used, reason = "it writes files for developers")]

use std::path::Path;

use bytes::Bytes;
use prost::Message as _;
use qipp_api::cut::cut_to_proto;
use qipp_api::draft::return_draft;
use qipp_api::files;
use qipp_api::page;
use qipp_api::proto::events::v1 as wire;
use qipp_api::proto::intake::v1::{SubmitReturnRequest, SubmitSchemeRequest};
use qipp_api::proto::registry::v1::{ListOrganisationsRequest, RecordFactsRequest};
use qipp_domain::Cut;
use qipp_eventlog::{NewRecord, Position, Topic, stored};
use wire::observation::Value;
use wire::r#return::Body;

fn main() {
    messages();
    http();
    tables();
    words();
    stored_things();
}

fn write(target: &str, name: &str, bytes: impl AsRef<[u8]>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fuzz/corpus")
        .join(target);
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join(name), bytes).unwrap();
}

fn observation(marker: &str, value: Value) -> wire::Observation {
    wire::Observation {
        marker: marker.into(),
        value: Some(value),
        ..Default::default()
    }
}

fn measured(numerator: f64, denominator: Option<f64>) -> Value {
    Value::Measured(wire::Measured {
        numerator,
        denominator,
    })
}

fn ret(body: Body) -> wire::Return {
    wire::Return {
        org_code: "RA1".into(),
        period: "2011-04".into(),
        status: wire::ReturnStatus::Final.into(),
        source: "a file".into(),
        body: Some(body),
        ..Default::default()
    }
}

fn quality() -> wire::Return {
    let mut part = observation("RTT_ADM", measured(8.0, Some(10.0)));
    part.breakdown = "tfc:100".into();
    let observations = vec![
        observation("AE_4H", measured(95.0, Some(100.0))),
        observation("CDI", Value::Missing(wire::Missing::NotCollected.into())),
        part,
    ];
    ret(Body::Quality(wire::QualityReturn { observations }))
}

fn savings() -> wire::Return {
    let line = wire::SavingsLine {
        scheme_id: "S-1".into(),
        plan_pence: Some(1_000),
        actual_pence: Some(-5),
        forecast_pence: Some(12_000),
        ..Default::default()
    };
    ret(Body::Savings(wire::SavingsReturn { lines: vec![line] }))
}

fn faulty() -> wire::Return {
    let observations = vec![
        observation("AE_4H", measured(f64::NAN, Some(f64::INFINITY))),
        observation("AE_4H", measured(110.0, Some(100.0))),
        observation("CDI", measured(-1.0, Some(1e300))),
        observation("no such", Value::Missing(99)),
    ];
    wire::Return {
        org_code: "RA9".into(),
        period: "2099-13".into(),
        narrative: "of patient 943 476 5919".into(),
        ..ret(Body::Quality(wire::QualityReturn { observations }))
    }
}

fn scheme() -> wire::Scheme {
    wire::Scheme {
        org_code: "RA1".into(),
        scheme_id: "S-2".into(),
        title: "Night theatres".into(),
        category: wire::SchemeCategory::Estates.into(),
        start: "2011-04".into(),
        planned_pence: vec![1_000; 12],
        full_year_effect_pence: 12_000,
        milestones: vec![wire::Milestone {
            kind: "started".into(),
            due: "2011-05-01".into(),
            ..Default::default()
        }],
        linked_markers: vec![wire::LinkedMarker {
            marker: "AE_4H".into(),
            balancing: true,
        }],
        ..Default::default()
    }
}

fn reference() -> RecordFactsRequest {
    use wire::reference_fact::Fact;
    let mut facts =
        files::markers(&[include_bytes!("../../../data/markers.csv").as_slice()]).unwrap();
    facts.truncate(1);
    let more = [
        Fact::OrganisationRecorded(wire::OrganisationRecorded {
            org_code: "RA3".into(),
            name: "Made up".into(),
            kind: "trust".into(),
            opened: "2001-04-01".into(),
        }),
        Fact::OrganisationClosed(wire::OrganisationClosed {
            org_code: "RA3".into(),
            closed: "2011-04-01".into(),
        }),
        Fact::EdgeRecorded(wire::EdgeRecorded {
            tree: "regions".into(),
            child_code: "RA3".into(),
            parent_code: "N01".into(),
            valid_from: "2001-04-01".into(),
            valid_until: String::new(),
        }),
        Fact::DeadlineSet(wire::DeadlineSet {
            dataset: wire::Dataset::Quality.into(),
            period: "2011-04".into(),
            due: "2011-05-20".into(),
        }),
    ];
    facts.extend(more.map(|fact| wire::ReferenceFact { fact: Some(fact) }));
    RecordFactsRequest {
        facts,
        validate_only: false,
    }
}

fn submit(ret: wire::Return) -> SubmitReturnRequest {
    SubmitReturnRequest {
        r#return: Some(ret),
        validate_only: false,
    }
}

fn messages() {
    for (name, ret) in [
        ("quality", quality()),
        ("savings", savings()),
        ("faulty", faulty()),
    ] {
        write("return_message", name, submit(ret).encode_to_vec());
    }
    let many = vec![observation("AE_4H", measured(1.0, Some(2.0))); 60];
    let many = ret(Body::Quality(wire::QualityReturn { observations: many }));
    write("return_message", "duplicates", submit(many).encode_to_vec());
    write("return_message", "groups_without_end", vec![0x0b; 300]);
    let scheme = SubmitSchemeRequest {
        scheme: Some(scheme()),
        validate_only: false,
    };
    write("scheme_message", "scheme", scheme.encode_to_vec());
    write("reference_message", "facts", reference().encode_to_vec());
    for which in 0..24_u8 {
        let message = submit(quality()).encode_to_vec();
        write(
            "any_message",
            &format!("rpc_{which:02}"),
            [&[which], message.as_slice()].concat(),
        );
    }
    let options = wire::ReadOptions {
        min_cut: Some(cut()),
        known_at: Some(wire::KnownAt {
            moment: Some(wire::known_at::Moment::Time("2011-06-01T09:00:00Z".into())),
        }),
    };
    write("read_options", "time", options.encode_to_vec());
    let options = wire::ReadOptions {
        min_cut: None,
        known_at: Some(wire::KnownAt {
            moment: Some(wire::known_at::Moment::Cut(cut())),
        }),
    };
    write("read_options", "cut", options.encode_to_vec());
}

fn cut() -> wire::Cut {
    cut_to_proto(
        &[(1 << 16, 15), ((1 << 16) + 1, 9), (3 << 16, 7)]
            .into_iter()
            .collect(),
    )
}

fn json(message: &str, bytes: &[u8]) -> Vec<u8> {
    qipp_gateway::requests::answer(message, bytes).unwrap()
}

fn http() {
    for (name, ret) in [("quality", quality()), ("savings", savings())] {
        let text = json(
            "qipp.intake.v1.SubmitReturnRequest",
            &submit(ret).encode_to_vec(),
        );
        write("json_return", name, &text);
        write("json_request", name, [&[0], text.as_slice()].concat());
    }
    write("json_return", "special", br#"{"return":{"orgCode":"RA1","period":"2011-04","status":2,"quality":{"observations":[{"marker":"AE_4H","measured":{"numerator":"NaN","denominator":"-Infinity"}},{"marker":"CDI","measured":{"numerator":1e999}}]}}}"#);
    write("json_return", "many_faults", br#"{"validateOnly":"yes","x":1,"return":{"orgCode":5,"status":"DRAFT","expectedRevision":-1,"quality":{"observations":[{"marker":[],"measured":{"numerator":"x"}},7,null]},"savings":{}}}"#);
    write("json_return", "hidden", br#"{"return":{"orgCode":"RA1","period":"2011-04","status":2,"source":"\u0000","narrative":"\u202e\u001b","idempotencyKey":"943-476-5919","quality":{"observations":[{"marker":"AE_4H","breakdown":"w:9434765919","missing":2}]}}}"#);
    write(
        "json_return",
        "byte_order_mark",
        b"\xEF\xBB\xBF{\"validateOnly\":true}",
    );
    write("json_return", "utf_16", b"{\0\"\0x\0\"\0:\x001\0}\0");
    write("json_return", "deep", "[".repeat(2_000));
    write("json_return", "deeper", r#"{"return":"#.repeat(400));
    write(
        "json_return",
        "truncated",
        br#"{"return":{"orgCode":"RA1","#,
    );
    write(
        "json_return",
        "not_utf8",
        b"{\"return\":{\"orgCode\":\"\xff\xfe\"}}",
    );
    write(
        "json_return",
        "twice",
        br#"{"return":{"orgCode":"RA1","orgCode":"RA2","org_code":"RA2"}}"#,
    );
    let scheme = SubmitSchemeRequest {
        scheme: Some(scheme()),
        validate_only: true,
    };
    let text = json(
        "qipp.intake.v1.SubmitSchemeRequest",
        &scheme.encode_to_vec(),
    );
    write("json_request", "scheme", [&[1], text.as_slice()].concat());
    let text = json(
        "qipp.registry.v1.RecordFactsRequest",
        &reference().encode_to_vec(),
    );
    write("json_request", "facts", [&[2], text.as_slice()].concat());
    for (which, query) in [
        (4_u8, "read.known_at.time=2011-06-01T09:00:00Z"),
        (3, "page_size=7&page_token=01&kind=trust"),
        (
            9,
            "from=2011-04&min_cut=returns.0-15.1-9~alerts.0-7&orgCode=RA1&marker=AE_4H",
        ),
        (
            15,
            "open_only=true&filter.min_severity=amber&org_codes=RA1&org_codes=RA2",
        ),
        (11, "known_at=%C3%A9&dataset=quality&period=2011-04"),
        (14, "read.min_cut={%22next%22:[]}"),
    ] {
        write(
            "query_string",
            &format!("rpc_{which:02}"),
            [&[which], query.as_bytes()].concat(),
        );
    }
    write("watch_cursor", "event", "filter.open_only=true\nalerts.0-7");
    write(
        "watch_cursor",
        "nation",
        "\nreturns.0-15.1-9~alerts.0-7.1-0~reference.0-2",
    );
    write("watch_cursor", "from", "from=alerts.0-7\n-");
}

fn tables() {
    const HEADER: &str = "org_code,period,marker,numerator,denominator,breakdown,missing,definition_version,status,simulated,source\n";
    let quality = |rows: &str| format!("{HEADER}{rows}");
    write(
        "csv_quality",
        "good",
        quality(
            "RA1,2011-04,AE_4H,95,100,,,,final,,a\nRA1,2011-04,CDI,,,,not_collected,,final,,a\nRA2,2011-04,RTT_ADM,8,10,tfc:100,,1,final,true,b\n",
        ),
    );
    write(
        "csv_quality",
        "excel",
        quality(
            "RA1,Jan-10,AE_4H,\"1,234\",12%,,,,,,\nRA1,45000,CDI,1E+05,#N/A,,,,,,\nRA1,01/02/2010,CDI,181.0,-,,,,,,\n",
        ),
    );
    write(
        "csv_quality",
        "formulas",
        quality("=RA1,+2011-04,@AE_4H,-A1,=1+1,,,,,,=HYPERLINK(1)\n"),
    );
    write(
        "csv_quality",
        "semicolons",
        "\u{feff}org_code;period;marker;numerator;denominator\r\nRA1;2011-04;AE_4H;1.234;2\r\n",
    );
    write(
        "csv_quality",
        "tabs_and_cr",
        "org_code\tperiod\tmarker\tnumerator\tdenominator\rRA1\t2011-04\tAE_4H\t1\t2\r\r\n",
    );
    write(
        "csv_quality",
        "open_quote",
        quality("RA1,2011-04,\"AE_4H,95,100\nRA1,2011-04,CDI,1,2\n"),
    );
    write(
        "csv_quality",
        "not_utf8",
        [
            quality("RA1,2011-04,AE_4H,95,100,,,,,,").as_bytes(),
            b"\xa3\n",
        ]
        .concat(),
    );
    write(
        "csv_quality",
        "stated_separator",
        "sep=;\r\norg_code;period;marker;numerator;denominator\r\nRA1;2011-04;AE_4H;95;100\r\n",
    );
    write("csv_quality", "utf_16", b"o\0r\0g\0_\0c\0o\0d\0e\0");
    write(
        "csv_quality",
        "form_and_meaning",
        "org_code,period,marker,numerator,denominator\nRA1,Apr-11,AE_4H,1,2\nRA1,2011-04,NOPE,x,2\nRA1,2011-04,AE_4H,3,2\nRZ9,2011-04,AE_4H,1,2\n",
    );
    write("csv_quality", "zip", b"PK\x03\x04abc");
    let savings = "org_code,period,scheme_id,plan_pence,actual_pence,actual_ytd_pence,forecast_pence,recurrent_pence,missing,status,simulated\n";
    write(
        "csv_savings",
        "good",
        format!(
            "{savings}RA1,2011-04,S-1,1000,-5,,12000,0,,final,\nRA2,2011-04,S-1,,,,,,not_collected,,true\n"
        ),
    );
    write(
        "csv_savings",
        "bad",
        format!(
            "{savings}RA1,2011-04,S-1,12.34,9223372036854775807,-9223372036854775808,1E+05,\"1,000\",,,\n"
        ),
    );
    let rtt = "period,pathway,sha_code,org_code,org_name,tfc_code,tfc_name,total_pathways,total_known_clock_start,within_18_weeks,over_52_weeks\n";
    write(
        "csv_rtt",
        "good",
        format!(
            "{rtt}2010-01,admitted,Q30,5A3,PCT,100,Surgery,10,9,8,0\n2010-01,admitted,Q30,5A3,PCT,999,All,10,9,8,0\n2010-02,incomplete,-,5A4,PCT,999,All,10,,8,1\n"
        ),
    );
    write(
        "csv_rtt",
        "bad",
        format!("{rtt}2010-01,admitted,5A3,5A3,PCT,1000,=1,10,99,100,-1\n"),
    );
    let weekly = "week_ending,org_code,type1_attendances,type1_over_4h,type1_pct_within_4h,org_name_as_published\n";
    write(
        "csv_ae_weekly",
        "good",
        format!(
            "{weekly}2011-04-03,RA1,100,5,,A\n2011-04-10,RA1,100,,96.8,A\n2011-04-10,RA2,,,,B\n2011-04-10,,1,1,,nameless\n"
        ),
    );
    write(
        "csv_ae_weekly",
        "bad",
        format!(
            "{weekly}2011-04-03,RA1,100,500,,A\n2011-04-04,RA1,100,,101,A\n9999-12-31,RA1,99999999999999999999,,,A\n"
        ),
    );
    let markers = std::str::from_utf8(include_bytes!("../../../data/markers.csv")).unwrap();
    let some: String = markers
        .lines()
        .take(4)
        .map(|line| format!("{line}\n"))
        .collect();
    write("csv_reference", "markers", format!("\0{some}"));
    write(
        "csv_reference",
        "pcts",
        "\u{1}org_code,org_name,sha_code,sha_name,country,first_seen,last_seen\n5A3,PCT,Q30,SHA,ENG,2009-12,2010-05\n5A4,PCT,-,,ENG,2010-01,2010-02\n",
    );
    write(
        "csv_reference",
        "trusts",
        "\u{2}org_code,org_name,open_date,close_date,region7_code,region7_name\nRB1,Trust,20010401,,Y62,North West\nRA1,Trust,,20110331,,\n",
    );
    write(
        "csv_reference",
        "succession",
        "\u{3}old_code,new_code,date\nRA9,RA1,2011-01-01\nRA1,XX9,2012-04-01\n",
    );
    write(
        "csv_chart",
        "csv",
        "date,value\n2010-04-01,4.5\n2010-05-01,5\n2010-06-01,\n2010-07-01,3\n",
    );
    write("csv_chart", "json", br#"{"id":"x","profile":"nhsr_0_2_2","options":{"improvement_direction":"increase","target":1.5,"rebase":[]},"dates":["2010-04-01","2010-05-01"],"values":[4.5,null]}"#);
}

fn words() {
    let request = ListOrganisationsRequest {
        kind: "trust".into(),
        ..Default::default()
    };
    let cut: Cut = [(1 << 16, 15)].into_iter().collect();
    let token = page::next_token(&request, "RA1", &cut);
    write("page_token", "token", format!("{token}\nRA2"));
    write("page_token", "empty", "\n");
    write("page_token", "odd", "0\u{e9}");
    for (name, text) in [
        ("word", "returns.0-15.1-9~alerts.0-7"),
        ("empty", "-"),
        ("long", "staging.qipp.returns.v1.3-18446744073709551615"),
        (
            "json",
            r#"{"next":[{"topic":"qipp.returns.v1","partition":3,"offset":"15"}]}"#,
        ),
        ("time", "2011-06-01T09:00:00.5+01:00"),
        ("end_of_time", "9999-12-31T23:59:59.999999999Z"),
    ] {
        write("cut_text", name, text);
    }
    let hash = "0123456789abcdef".repeat(4);
    write(
        "key_file",
        "three",
        format!(
            "[[key]]\nname = \"a\"\nrole = \"submitter\"\nsha256 = \"{hash}\"\norganisations = [\"RA1\"]\nexpires = \"2013-03-31\"\n\n[[key]]\nname = \"b\"\nrole = \"regional\"\nsha256 = \"{}\"\ntree = \"regions\"\nnode = \"N01\"\n",
            hash.replace('0', "1")
        ),
    );
    write(
        "key_file",
        "nation",
        format!("[[key]]\nname = \"c\"\nrole = \"national\"\nnation = true\nsha256 = \"{hash}\"\n"),
    );
    write(
        "key_file",
        "pasted_key",
        "[[key]]\nname = \"qipp_00112233445566778899\"\nsha256 = \"qipp_00112233445566778899\"\n",
    );
    write("authorization", "bearer", "Bearer test");
    write("authorization", "basic", "Basic dGVzdA==");
    write("authorization", "odd", "bEARER  test ");
}

fn stored_things() {
    use qipp_api::facts;
    use qipp_domain::nation::{Facts, ReturnFact};
    // Records as they were written once, by every kind of fact.
    let golden = include_str!("../../../crates/api/tests/golden/envelope_v1.txt");
    for (index, line) in golden
        .lines()
        .filter(|line| !line.trim().is_empty() && !line.starts_with('#'))
        .enumerate()
    {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (Some(hex), Some(key)) = (words.last(), words.get(words.len().saturating_sub(2)))
        else {
            continue;
        };
        let bytes: Option<Vec<u8>> = (0..hex.len() / 2)
            .map(|i| u8::from_str_radix(hex.get(2 * i..2 * i + 2)?, 16).ok())
            .collect();
        if let Some(bytes) = bytes {
            write(
                "envelope",
                &format!("golden_{index:02}"),
                [key.as_bytes(), b"\n", &bytes].concat(),
            );
        }
    }
    let draft = return_draft(&savings());
    assert!(draft.problems.is_empty());
    let reference = reference();
    let fact = qipp_api::draft::reference_fact(&reference.facts[1], 0).unwrap();
    let payload = facts::encode(&Facts::Reference(vec![fact]), facts::Meta::default());
    write(
        "envelope",
        "organisation",
        [b"RA3\n", payload.as_ref()].concat(),
    );
    let none = facts::encode(
        &Facts::Returns(Vec::<ReturnFact>::new()),
        facts::Meta::default(),
    );
    write("envelope", "nothing", [b"RA1\n", none.as_ref()].concat());
    let record = |key: &'static str, payload: &Bytes| NewRecord {
        key: Bytes::from_static(key.as_bytes()),
        payload: payload.clone(),
    };
    let base = Position {
        topic: Topic::Returns,
        partition: 2,
        offset: 40,
    };
    let frame = stored::write_frame(
        7,
        base,
        1_306_918_800_000,
        &[record("RA3", &payload), record("", &Bytes::new())],
    );
    write("stored_frame", "whole", [&[0], frame.as_slice()].concat());
    write("stored_frame", "mended", [&[1], frame.as_slice()].concat());
    write("stored_frame", "cut_short", [&[1], &frame[..60]].concat());
}
