//! A simulated nation through the real binary: loaded as its files say, decided jointly, asked, and recomputed from the log alone.

use std::collections::BTreeSet;
use std::path::Path;

use qipp_api::proto::alerts::v1::ListAlertsRequest;
use qipp_api::proto::projections::v1::GetStatusRequest;
use serde_json::Value;

use crate::binary::{Served, command};

/// Month 36: the third of a year since harm began.
const LAST: &str = "2013-03";

/// Organisations of a kind of truth.
fn truth(folder: &Path, kind: &str) -> BTreeSet<String> {
    let text = std::fs::read_to_string(folder.join("truth.csv")).unwrap();
    let rows = text
        .lines()
        .skip(1)
        .map(|row| row.split(',').collect::<Vec<_>>());
    let of_kind = rows.filter(|row| row[1] == kind);
    of_kind.map(|row| row[0].to_owned()).collect()
}

fn codes(entries: &Value, wanted: impl Fn(&Value) -> bool) -> BTreeSet<String> {
    let entries = entries.as_array().into_iter().flatten();
    let code = |entry: &Value| entry["orgCode"].as_str().unwrap().to_owned();
    entries.filter(|entry| wanted(entry)).map(code).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn harm_that_was_simulated_is_listed_asked_and_recomputed() {
    let scratch = tempfile::tempdir().unwrap();
    let (nation, data) = (scratch.path().join("nation"), scratch.path().join("data"));
    let out = nation.display().to_string();
    let simulate = [
        "simulate",
        "--scenario",
        "E",
        "--organisations",
        "100",
        "--months",
        "36",
        "--seed",
        "7",
        "--form",
        "api",
        "--out",
        &out,
    ];
    let made = command(&data).args(simulate).output().await.unwrap();
    assert!(made.status.success(), "{made:?}");

    let served = Served::start(&data).await;
    for what in ["facts", "schemes"] {
        let file = format!("{out}/api/{what}.jsonl");
        let done = served.run(&["register", what, &file]).await;
        assert!(done.status.success(), "{done:?}");
    }
    let mut files: Vec<String> = std::fs::read_dir(nation.join("api"))
        .unwrap()
        .map(|entry| entry.unwrap().path().display().to_string())
        .filter(|path| path.ends_with(".csv"))
        .collect();
    files.sort();
    for file in &files {
        let savings = file.contains("savings-");
        let format: &[&str] = if savings {
            &["--format", "savings"]
        } else {
            &[]
        };
        let done = served.run(&[&["submit"], format, &[file]].concat()).await;
        assert!(done.status.success(), "{done:?}");
    }
    let client = served.client();
    let now = client
        .projections()
        .get_status(GetStatusRequest::default())
        .await;
    let request = ListAlertsRequest {
        min_evaluated: now.unwrap().into_inner().cut,
        ..ListAlertsRequest::default()
    };
    client.alerts().list_alerts(request).await.unwrap();

    let lists = served.json(&["query", "lists", "--from", LAST]).await;
    let [decided] = lists[0]["assessments"].as_array().unwrap().as_slice() else {
        panic!("one decision of the last month: {lists:?}");
    };
    assert_eq!(
        (&decided["period"], &decided["assessed"]),
        (&LAST.into(), &100.into())
    );
    assert_eq!(decided["simulated"], true);
    let listed = codes(&decided["watched"], |entry| entry["tier"] != "watch");
    let harmed = truth(&nation, "both");
    let found = listed.intersection(&harmed).count();
    assert!(
        found >= 4 && listed.len() <= found + 2,
        "{listed:?} of {harmed:?}"
    );

    let asked = served
        .json(&[
            "query",
            "alerts",
            "--rule",
            "R05",
            "--open",
            "--min-severity",
            "amber",
        ])
        .await;
    assert_eq!(codes(&asked[0]["alerts"], |_| true), listed);
    let expected = &asked[0]["expectedFalse"];
    assert_eq!(expected["jointlyDecided"], listed.len());
    let chance = decided["expectedFalse"].as_f64().unwrap();
    assert!((expected["expected"].as_f64().unwrap() - chance).abs() < 1e-9);

    let earlier = ["query", "--known-at", "2020-01-01T00:00:00Z", "lists"];
    assert!(
        served.json(&earlier).await[0]["assessments"].is_null(),
        "nothing was known then"
    );

    assert_eq!(served.terminate().await, Some(0));
    let verified = command(&data)
        .args(["verify", "--json"])
        .output()
        .await
        .unwrap();
    let text = String::from_utf8(verified.stdout).unwrap();
    assert!(verified.status.success(), "{text}");
    assert!(
        text.contains("recorded findings recompute to the same"),
        "{text}"
    );
}
