//! No bytes make a reader of files panic, and what is written is read back.

#![allow(clippy::unwrap_used, reason = "a test may stop where it fails")]

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use qipp_api::files::{
    self, RttTree, ae_weekly, markers, pct_sha_2010, quality, rtt, rtt_reference, savings,
    succession, trusts,
};
use qipp_api::proto::events::v1::{observation::Value, r#return::Body};

const QUALITY: &str = "org_code,period,marker,numerator,denominator";
const SAVINGS: &str = "org_code,period,scheme_id,plan_pence,actual_pence,actual_ytd_pence,forecast_pence,recurrent_pence,missing";
const RTT: &str = "period,pathway,sha_code,org_code,org_name,tfc_code,tfc_name,total_pathways,total_known_clock_start,within_18_weeks,over_52_weeks";
const WEEKLY: &str = "week_ending,org_code,type1_attendances,type1_over_4h,type1_pct_within_4h";

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

fn read_everything(bytes: &[u8]) {
    let names = BTreeMap::new();
    let known = BTreeSet::new();
    // Only that each of them comes back.
    let _ = (
        quality(bytes),
        savings(bytes),
        rtt(bytes, "any"),
        ae_weekly(bytes, "any"),
    );
    let _ = (
        rtt_reference(bytes, &tree(&names)),
        files::rtt_treatment_functions(bytes),
    );
    let _ = (markers(&[bytes, bytes]), pct_sha_2010(bytes));
    let _ = (trusts(bytes, &known), succession(bytes, &known));
}

fn hostile_cell() -> impl Strategy<Value = String> {
    prop_oneof![
        "[0-9.,;\"' +=@e-]{0,12}",
        "\\PC{0,8}",
        Just("2012-03".to_owned()),
        Just("2012-03-31".to_owned()),
        Just("RJ1".to_owned()),
        Just("999".to_owned()),
        Just("admitted".to_owned()),
        Just("99999999999999999999999".to_owned()),
        Just("9999-12-31".to_owned()),
        Just("£".repeat(3_000)),
    ]
}

proptest! {
    #[test]
    fn no_bytes_make_a_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        read_everything(&bytes);
    }

    #[test]
    fn no_cells_below_a_true_header_make_a_reader_panic(
        which in 0..4_usize,
        rows in prop::collection::vec(prop::collection::vec(hostile_cell(), 0..13), 0..8),
    ) {
        let mut text = [QUALITY, SAVINGS, RTT, WEEKLY][which].to_owned();
        for row in rows {
            text.push('\n');
            text.push_str(&row.join(","));
        }
        read_everything(text.as_bytes());
    }

    #[test]
    fn what_is_written_as_a_quality_file_is_read_back(
        counts in prop::collection::vec((0..1_000_000_000_u64, 0..1_000_000_000_u64), 1..20),
    ) {
        let rows: Vec<String> = counts.iter().enumerate().map(|(i, (n, d))| format!("RJ1,2012-03,M_{i},{}.{},{d}", n / 10, n % 10)).collect();
        let text = format!("{QUALITY}\n{}\n", rows.join("\n"));
        let read = quality(text.as_bytes()).unwrap();
        let Some(Body::Quality(body)) = &read[0].body else { panic!("a quality return") };
        let found = body.observations.iter().map(|o| match o.value {
            Some(Value::Measured(m)) => (m.numerator * 10.0, m.denominator.unwrap()),
            _ => panic!("a figure"),
        });
        let expected = counts.iter().map(|(n, d)| (*n as f64, *d as f64));
        prop_assert!(found.zip(expected).all(|(a, b)| (a.0 - b.0).abs() < 1e-3 && a.1 == b.1));
    }
}
