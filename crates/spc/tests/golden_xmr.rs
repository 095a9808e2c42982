//! Every golden record of NHSRplotthedots 0.2.2 is reproduced, field by field and cell by cell. See `golden/README.md`.

use std::io::Read;

use flate2::read::GzDecoder;
use qipp_spc::chart_io::xmr_json_line;
use serde_json::{Number, Value};

const RECORDS: usize = 241;
const POINTS: usize = 7280;
const RELATIVE_TOLERANCE: f64 = 1e-9;

/// The records the package refuses, and the code of our refusal of each. The wording of the message is R's, and not ours.
const REFUSED: [(&str, &str); 3] = [
    ("syn-pub-055", "fix_too_short"),
    ("syn-pub-065", "trend_undecided"),
    ("syn-pub-068", "duplicate_date"),
];

fn golden_lines() -> Vec<String> {
    let mut text = String::new();
    GzDecoder::new(include_bytes!("golden/xmr_public.jsonl.gz").as_slice())
        .read_to_string(&mut text)
        .expect("the file is whole");
    text.lines().map(str::to_owned).collect()
}

fn same_number(ours: &Number, golden: &Number) -> bool {
    Option::zip(ours.as_f64(), golden.as_f64())
        .is_some_and(|(a, b)| (a - b).abs() <= RELATIVE_TOLERANCE * b.abs())
}

/// Where the two differ, as paths. Fields that only one of the two has are differences.
fn differences(path: &str, ours: &Value, golden: &Value, found: &mut Vec<String>) {
    match (ours, golden) {
        (Value::Number(a), Value::Number(b)) if same_number(a, b) => {}
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (i, (a, b)) in a.iter().zip(b).enumerate() {
                differences(&format!("{path}[{i}]"), a, b, found);
            }
        }
        (Value::Object(a), Value::Object(b)) if a.keys().eq(b.keys()) => {
            for (name, a) in a {
                differences(&format!("{path}.{name}"), a, &b[name], found);
            }
        }
        (a, b) if a == b => {}
        (a, b) => found.push(format!("{path}: ours {a}, golden {b}")),
    }
}

#[test]
fn every_golden_record_is_reproduced() {
    let lines = golden_lines();
    assert_eq!(lines.len(), RECORDS);
    let (mut refused, mut points, mut found) = (Vec::new(), 0, Vec::new());
    for line in &lines {
        let golden: Value = serde_json::from_str(line).unwrap();
        let mut ours: Value = serde_json::from_str(&xmr_json_line(line).unwrap()).unwrap();
        let id = golden["id"].as_str().unwrap().to_owned();
        if golden["expected"].get("error").is_some() {
            let message = ours["expected"]["error"].as_str().expect("a refusal");
            refused.push((id, message.split(':').next().unwrap().to_owned()));
        } else {
            points += golden["expected"]["date"].as_array().unwrap().len();
            // The one thing that is added to a record besides its chart: who drew it.
            let profile = ours.as_object_mut().unwrap().remove("profile");
            assert_eq!(profile, Some("nhsr_0_2_2".into()));
            differences(&id, &ours, &golden, &mut found);
        }
    }
    assert!(
        found.is_empty(),
        "{} differences: {:#?}",
        found.len(),
        &found[..found.len().min(20)]
    );
    assert_eq!(
        refused,
        REFUSED.map(|(id, code)| (id.to_owned(), code.to_owned()))
    );
    assert_eq!(points, POINTS);
}

#[test]
fn everything_but_the_expected_comes_back_to_the_byte() {
    for line in golden_lines() {
        let ours = xmr_json_line(&line).unwrap();
        let before = |text: &str| text.split(r#""expected":"#).next().unwrap().to_owned();
        assert_eq!(
            before(&ours).replace(' ', ""),
            before(&line).replace(' ', "")
        );
    }
}

#[test]
fn the_comparison_sees_a_changed_cell_a_missing_field_and_an_unknown_field() {
    let golden: Value = serde_json::from_str(&golden_lines()[0]).unwrap();
    let breaks: [fn(&mut Value); 5] = [
        |expected| expected["upl"][3] = Value::Null,
        |expected| {
            expected["mean"][0] = (expected["mean"][0].as_f64().unwrap() * (1.0 + 2e-9)).into()
        },
        |expected| expected["point_type"][0] = "special_cause_concern".into(),
        |expected| drop(expected.as_object_mut().unwrap().remove("amr")),
        |expected| expected["new_column"] = Value::Null,
    ];
    for change in breaks {
        let mut changed = golden.clone();
        change(&mut changed["expected"]);
        let mut found = Vec::new();
        differences("", &changed, &golden, &mut found);
        assert_eq!(found.len(), 1, "{found:?}");
    }
}
