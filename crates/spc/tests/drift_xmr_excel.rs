//! The profile `mdc_excel_2024` still draws what it drew when it was written. *Unverified*: the records were computed by a port of
//! what the makers of the workbook say of it, not by the workbook. See `golden/README.md`.
#![allow(
    clippy::unwrap_used,
    reason = "a test that can't read its records must fail"
)]

use std::io::Read;

use flate2::read::GzDecoder;
use qipp_spc::chart_io::xmr_json_line_under;
use qipp_spc::xmr::{self, Chart, ImprovementDirection, Point, Side, VariationIcon, XmrOptions};
use qipp_spc::{Date, Profile};
use serde_json::{Value, json};

const RECORDS: usize = 211;
const RELATIVE_TOLERANCE: f64 = 1e-9;

fn golden() -> Vec<Value> {
    let mut text = String::new();
    let packed = include_bytes!("golden/xmr_mdc_excel_2024_unverified.jsonl.gz");
    GzDecoder::new(packed.as_slice())
        .read_to_string(&mut text)
        .expect("the file is whole");
    let records = text.lines().map(|line| serde_json::from_str(line).unwrap());
    records.collect()
}

fn profile_of(record: &Value) -> Profile {
    match record["options"]["n_run"].as_u64() {
        Some(6) => Profile::MdcExcel2024Run6,
        Some(7) => Profile::MdcExcel2024,
        other => panic!("{other:?}"),
    }
}

fn draw(record: &Value) -> Chart {
    let options = &record["options"];
    assert_eq!(options["screen_outliers"], false);
    let options = XmrOptions {
        improvement_direction: match options["improvement_direction"].as_str() {
            Some("increase") => ImprovementDirection::Increase,
            Some("decrease") => ImprovementDirection::Decrease,
            Some("neutral") => ImprovementDirection::Neutral,
            other => panic!("{other:?}"),
        },
        target: options["target"].as_f64(),
        fix_after_n_points: options["fix_after_n_points"]
            .as_u64()
            .map(|rows| rows.try_into().unwrap()),
        ..XmrOptions::default()
    };
    let dates = record["dates"].as_array().unwrap().iter();
    let dates: Vec<Date> = dates
        .map(|day| day.as_str().unwrap().parse().unwrap())
        .collect();
    let values = record["values"].as_array().unwrap().iter();
    let values: Vec<Option<f64>> = values.map(Value::as_f64).collect();
    xmr::chart(profile_of(record), &dates, &values, &options).unwrap()
}

/// The rules that fire at a point in one direction, in the words and the order of the file.
fn rules(point: &Point, side: Side, in_trend: bool) -> Value {
    let here = point.side == Some(side);
    let fired = [
        ("astronomical", here && point.outside_limits == Some(true)),
        ("shift", here && point.part_of_shift == Some(true)),
        ("trend", in_trend),
        (
            "two_of_three",
            here && point.part_of_two_in_three == Some(true),
        ),
    ];
    fired
        .iter()
        .filter(|(_, fires)| *fires)
        .map(|(name, _)| *name)
        .collect()
}

/// The file's icons have no high and low where a direction is wanted.
fn icon(chart: &Chart) -> &'static str {
    use VariationIcon::*;
    match chart.variation_icon {
        None => "none",
        Some(CommonCause) => "common_cause",
        Some(ConcernHigh | ConcernLow) => "concern",
        Some(ImprovementHigh | ImprovementLow) => "improvement",
        Some(NeutralHigh) => "neutral_high",
        Some(NeutralLow) => "neutral_low",
    }
}

/// A common-cause point has the same name in all directions; others are named by what they mean.
fn point_type(point: &Point) -> &'static str {
    let name = point.point_type.name();
    name.strip_prefix("special_cause_").unwrap_or(name)
}

/// What the file says of a chart, computed by us, but for the numbers.
fn in_words(chart: &Chart) -> Value {
    let limits_shown = chart.segments[0].limits.is_some();
    if !limits_shown {
        return json!({ "limits_shown": false, "icon": icon(chart) });
    }
    let column =
        |cell: &dyn Fn(&Point) -> Value| -> Value { chart.points.iter().map(cell).collect() };
    json!({
        "limits_shown": true,
        "n_run": chart.profile.run_points(),
        "rules_high": column(&|point| rules(point, Side::Above, point.rising)),
        "rules_low": column(&|point| rules(point, Side::Below, point.falling)),
        "point_type": column(&|point| point_type(point).into()),
        "icon": icon(chart),
    })
}

fn near(ours: f64, golden: &Value, scale: f64) -> bool {
    let golden = golden.as_f64().unwrap();
    (ours - golden).abs() <= RELATIVE_TOLERANCE * golden.abs().max(scale)
}

#[test]
fn every_unverified_record_is_as_it_was() {
    let records = golden();
    assert_eq!(records.len(), RECORDS);
    for record in records {
        let chart = draw(&record);
        let mut expected = record["port_expected"].clone();
        if let Some(limits) = chart.segments[0].limits {
            let numbers = expected.as_object_mut().unwrap();
            let width = limits.upper - limits.lower;
            for (name, ours) in [
                ("mean", chart.segments[0].mean.unwrap()),
                ("lpl", limits.lower),
                ("upl", limits.upper),
            ] {
                let golden = numbers.remove(name).unwrap();
                assert!(
                    near(ours, &golden, width),
                    "{} {name}: {ours}, {golden}",
                    record["id"]
                );
            }
        }
        let ours = in_words(&chart);
        assert_eq!(ours, expected, "{}", record["id"]);
    }
}

#[test]
fn the_records_go_through_the_verb_as_they_are_and_come_back_with_the_name_of_their_profile() {
    for record in golden() {
        let line = xmr_json_line_under(Profile::MdcExcel2024, &record.to_string()).unwrap();
        let ours: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(ours["profile"], profile_of(&record).name());
        let chart = draw(&record);
        let flags: Value = chart
            .points
            .iter()
            .map(|point| point.special_cause.is_special())
            .collect();
        assert_eq!(ours["expected"]["special_cause_flag"], flags);
    }
}
