//! Every golden record of FunnelPlotR 0.6.0 is reproduced in the mode `compat`, field by field and cell by cell, but for the cells that the
//! record itself lists as artifacts of the package: there it is the closed form. See `golden/README.md`.
#![allow(
    clippy::unwrap_used,
    reason = "a test that can't read its records must fail"
)]

use std::io::Read;

use flate2::read::GzDecoder;
use qipp_spc::chart_io::{funnel_json_line, funnel_json_line_in};
use qipp_spc::funnel::Mode;
use serde_json::{Value, json};

const RECORDS: usize = 86;
const RELATIVE_TOLERANCE: f64 = 1e-9;

fn golden_lines() -> Vec<String> {
    let mut text = String::new();
    GzDecoder::new(include_bytes!("golden/funnel_public.jsonl.gz").as_slice())
        .read_to_string(&mut text)
        .expect("the file is whole");
    text.lines().map(str::to_owned).collect()
}

/// Where the two differ, as paths, and the largest relative difference of numbers that do not.
fn differences(path: &str, ours: &Value, golden: &Value, found: &mut Vec<String>, worst: &mut f64) {
    match (ours, golden) {
        (Value::Number(a), Value::Number(b)) => {
            let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
            let off = (a - b).abs();
            if off > RELATIVE_TOLERANCE * b.abs() {
                found.push(format!("{path}: ours {a}, golden {b}"));
            } else if off > 0.0 {
                *worst = worst.max(off / b.abs());
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (i, (a, b)) in a.iter().zip(b).enumerate() {
                differences(&format!("{path}[{i}]"), a, b, found, worst);
            }
        }
        (Value::Object(a), Value::Object(b)) if a.keys().eq(b.keys()) => {
            for (name, a) in a {
                differences(&format!("{path}.{name}"), a, &b[name], found, worst);
            }
        }
        (a, b) if a == b => {}
        (a, b) => found.push(format!("{path}: ours {a}, golden {b}")),
    }
}

#[test]
fn every_golden_record_is_reproduced_in_the_mode_compat() {
    let lines = golden_lines();
    assert_eq!(lines.len(), RECORDS);
    let (mut found, mut artifacts, mut refused, mut worst) = (Vec::new(), 0, 0, 0.0);
    for line in &lines {
        let mut golden: Value = serde_json::from_str(line).unwrap();
        let ours = funnel_json_line_in(Mode::Compat, line).unwrap();
        let mut ours: Value = serde_json::from_str(&ours).unwrap();
        let id = golden["id"].as_str().unwrap().to_owned();
        if golden["expected"].get("error").is_some() {
            let message = ours["expected"]["error"].as_str().expect("a refusal");
            assert!(
                message.starts_with("numerator_is_denominator: "),
                "{message}"
            );
            refused += 1;
            continue;
        }
        for artifact in golden["package_artifacts"].as_array().unwrap().clone() {
            let field = artifact["field"].as_str().unwrap();
            let index = usize::try_from(artifact["index"].as_u64().unwrap()).unwrap();
            assert_eq!(golden["expected"][field][index], artifact["package"]);
            golden["expected"][field][index] = artifact["closed_form"].clone();
            artifacts += 1;
        }
        let mode = ours.as_object_mut().unwrap().remove("mode");
        assert_eq!(mode, Some(json!("compat")));
        differences(&id, &ours, &golden, &mut found, &mut worst);
    }
    assert!(
        found.is_empty(),
        "{} differences: {:#?}",
        found.len(),
        &found[..found.len().min(20)]
    );
    assert_eq!((artifacts, refused), (11, 1));
    println!("largest relative difference {worst:e}");
}

#[test]
fn the_comparison_sees_a_changed_cell_a_missing_field_and_an_unknown_field() {
    let golden: Value = serde_json::from_str(&golden_lines()[3]).unwrap();
    let breaks: [fn(&mut Value); 4] = [
        |expected| {
            expected["od_ucl998"][3] =
                (expected["od_ucl998"][3].as_f64().unwrap() * (1.0 + 2e-9)).into()
        },
        |expected| expected["outlier"][0] = (!expected["outlier"][0].as_bool().unwrap()).into(),
        |expected| drop(expected.as_object_mut().unwrap().remove("phi")),
        |expected| expected["new_column"] = Value::Null,
    ];
    for change in breaks {
        let mut changed = golden.clone();
        change(&mut changed["expected"]);
        let mut found = Vec::new();
        differences("", &changed, &golden, &mut found, &mut 0.0);
        assert_eq!(found.len(), 1, "{found:?}");
    }
}

#[test]
fn every_golden_record_has_a_corrected_funnel_too_with_finite_figures() {
    for line in golden_lines() {
        let ours: Value = serde_json::from_str(&funnel_json_line(&line).unwrap()).unwrap();
        assert_eq!(ours["mode"], "corrected");
        let text = ours["expected"].to_string();
        assert!(
            !text.contains("inf") && !text.contains("error"),
            "{}",
            ours["id"]
        );
    }
}
