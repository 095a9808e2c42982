//! Every average run length that the R package spc gives is reproduced. See `golden/README.md`.

use std::io::Read;

use flate2::read::GzDecoder;
use qipp_spc::cusum::CusumDesign;
use qipp_spc::ewma::{EwmaDesign, EwmaLimits};
use qipp_spc::run_length;
use qipp_spc::standard::Sides;
use serde_json::Value;

const RECORDS: usize = 1088;

/// Four significant digits are asked for, which is 5e-5 at worst; the two computations agree to 2e-8.
const RELATIVE_TOLERANCE: f64 = 1e-6;

fn golden() -> Vec<Value> {
    let mut text = String::new();
    GzDecoder::new(include_bytes!("golden/arl_exact.jsonl.gz").as_slice())
        .read_to_string(&mut text)
        .expect("the file is whole");
    let parse = |line| serde_json::from_str(line).expect("a record");
    text.lines().map(parse).collect()
}

fn ours(record: &Value) -> f64 {
    let number = |name: &str| record[name].as_f64().expect(name);
    let word = |name: &str| record[name].as_str().expect(name);
    match word("chart") {
        "cusum" => {
            let sides = match word("sided") {
                "one" => Sides::Upper,
                "two" => Sides::Both,
                other => panic!("{other}"),
            };
            let design = CusumDesign::new(number("k"), number("h"))
                .and_then(|design| design.with_headstart(number("headstart")))
                .expect("a design in the domain");
            run_length::of_cusum(&design.with_sides(sides), number("mu"))
        }
        "ewma" => {
            assert_eq!(word("sided"), "two");
            let limits = match word("limits") {
                "fix" => EwmaLimits::Fixed,
                "vacl" => EwmaLimits::TimeVarying,
                other => panic!("{other}"),
            };
            let design = EwmaDesign::new(number("lambda"), number("L"), limits);
            run_length::of_ewma(&design.expect("a design in the domain"), number("mu"))
        }
        other => panic!("{other}"),
    }
    .expect("a run length")
}

#[test]
fn every_golden_run_length_is_reproduced() {
    let records = golden();
    assert_eq!(records.len(), RECORDS);
    let mut found = Vec::new();
    for record in &records {
        let (ours, golden) = (ours(record), record["arl"].as_f64().expect("arl"));
        let off = (ours / golden - 1.0).abs();
        if off.is_nan() || off > RELATIVE_TOLERANCE {
            found.push(format!("{record}: ours {ours}"));
        }
    }
    assert!(
        found.is_empty(),
        "{} differences: {:#?}",
        found.len(),
        &found[..found.len().min(20)]
    );
}
