//! A log with a flipped byte, one cut short, one that is gone: the service refuses with a stable code and names the verbs that help; these name
//! what is lost, and save what is whole.

use std::path::Path;

use qipp_tests::copy;
use serde_json::Value;

use crate::house::{House, all_there, binary, stopped};

async fn verb(data: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = binary()
        .command(data)
        .args(arguments)
        .output()
        .await
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

/// Damages the record of a return, wherever its bytes stand in the file, and gives the bytes of the file.
fn flip(data: &Path, number: u32) -> Vec<u8> {
    let path = data.join("log/store/db");
    let mut bytes = std::fs::read(&path).unwrap();
    let key = format!("number-{number}\"");
    let key = &key.as_bytes()[..key.len() - 1];
    let places: Vec<usize> = bytes
        .windows(key.len())
        .enumerate()
        .filter(|(_, held)| *held == key)
        .map(|(at, _)| at)
        .collect();
    assert!(!places.is_empty());
    for at in places {
        bytes[at] ^= 1;
    }
    std::fs::write(&path, &bytes).unwrap();
    bytes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flipped_byte_is_refused_named_and_the_rest_is_saved() {
    let (folder, acknowledged) = stopped(60).await;
    let data = folder.path().join("data");
    let before = flip(&data, 44);
    let served = folder.path().join("served");
    copy(&data, &served);
    let (code, _, said) = verb(&served, &["serve", "--listen", "127.0.0.1:0"]).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("damaged")
            && said.contains("qipp log check")
            && said.contains("qipp log export")
            && !said.contains("None"),
        "{said}"
    );

    let (code, found, said) = verb(&data, &["log", "check", "--json"]).await;
    assert_eq!(code, Some(7), "{found} {said}");
    let found: Value = serde_json::from_str(&found).unwrap();
    let position = acknowledged[44].1.position.clone().unwrap();
    let lost = &found["lost"][0];
    assert_eq!(
        (&lost["topic"], &lost["partition"]),
        (
            &Value::from("qipp.returns.v1"),
            &Value::from(position.partition)
        )
    );
    assert!(
        (lost["from"].as_u64().unwrap()..lost["until"].as_u64().unwrap())
            .contains(&position.offset),
        "{found}"
    );
    assert_eq!(
        std::fs::read(data.join("log/store/db")).unwrap(),
        before,
        "looking changes nothing"
    );

    let file = folder.path().join("whole.export").display().to_string();
    let mended = folder.path().join("mended");
    let (code, ..) = verb(&data, &["log", "export", "--to", &file]).await;
    assert_eq!(code, Some(7));
    let (code, out, said) = verb(
        &data,
        &[
            "restore",
            "--from",
            &file,
            "--data-dir",
            &mended.display().to_string(),
        ],
    )
    .await;
    assert_eq!(code, Some(0), "{out} {said}");
    // What is whole is served, at its old places: all that the damage left of each return's history.
    let house = House::start(&binary(), &mended).await;
    let lost = lost["from"].as_u64().unwrap()..lost["until"].as_u64().unwrap();
    let month_of = |number: u32| (number % 3, number / 3 % 24);
    let whole: Vec<_> = acknowledged
        .iter()
        .filter(|(number, receipt)| {
            let at = receipt.position.as_ref().unwrap();
            let gone = |at: &qipp_api::proto::events::v1::Position| {
                at.partition == position.partition && lost.contains(&at.offset)
            };
            let of_a_lost_month = acknowledged.iter().any(|(other, receipt)| {
                month_of(*other) == month_of(*number) && gone(receipt.position.as_ref().unwrap())
            });
            !gone(at) && !of_a_lost_month
        })
        .cloned()
        .collect();
    assert!(whole.len() >= 50);
    all_there(&house, &whole).await;
    house.terminate().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_was_cut_short_is_refused_and_what_is_lost_is_named() {
    let (folder, acknowledged) = stopped(60).await;
    let data = folder.path().join("data");
    let path = data.join("log/store/db");
    let length = std::fs::read(&path)
        .unwrap()
        .iter()
        .rposition(|byte| *byte != 0)
        .unwrap() as u64;
    std::fs::File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(length / 2)
        .unwrap();
    let (code, found, said) = verb(&data, &["log", "check", "--json"]).await;
    assert_eq!(code, Some(7), "{found} {said}");
    let found: Value = serde_json::from_str(&found).unwrap();
    let last = acknowledged.last().unwrap().1.position.clone().unwrap();
    let told = found["lost"].as_array().unwrap().iter().any(|lost| {
        lost["partition"] == last.partition
            && (lost["from"].as_u64().unwrap()..lost["until"].as_u64().unwrap())
                .contains(&last.offset)
    });
    assert!(told, "{found}");
    let (code, _, said) = verb(&data, &["serve", "--listen", "127.0.0.1:0"]).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("damaged") && said.contains("qipp restore"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_is_gone_is_not_taken_for_a_new_nation() {
    let (folder, _) = stopped(60).await;
    let data = folder.path().join("data");
    std::fs::rename(data.join("log"), folder.path().join("elsewhere")).unwrap();
    let (code, _, said) = verb(&data, &["serve", "--listen", "127.0.0.1:0"]).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("the log is missing") && said.contains("qipp restore"),
        "{said}"
    );
    let check = ["serve", "--check", "--listen", "127.0.0.1:0"];
    let (code, found, _) = verb(&data, &check).await;
    assert!(
        code == Some(1) && found.contains("WRONG    log: the log is missing"),
        "{found}"
    );
    let (code, _, said) = verb(&data, &["log", "check"]).await;
    assert!(
        code == Some(7) && said.contains("the log is missing") && said.contains("qipp restore"),
        "{said}"
    );
    assert!(!data.join("log").exists(), "nothing was begun in its place");
    // What was put aside has no such past.
    std::fs::rename(data.join("projection"), data.join("projection.before")).unwrap();
    let house = House::start(&binary(), &data).await;
    house.terminate().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_whose_file_is_gone_is_told_with_all_that_was_in_it_and_the_remedy() {
    let (folder, acknowledged) = stopped(60).await;
    let data = folder.path().join("data");
    std::fs::remove_file(data.join("log/store/db")).unwrap();
    let (code, found, said) = verb(&data, &["log", "check", "--json"]).await;
    assert_eq!(code, Some(7), "{found} {said}");
    let found: Value = serde_json::from_str(&found).unwrap();
    assert_eq!(found["records"], 0);
    let is_lost = |at: &qipp_api::proto::events::v1::Position| {
        found["lost"].as_array().unwrap().iter().any(|lost| {
            lost["partition"] == at.partition
                && lost["topic"] == "qipp.returns.v1"
                && lost["from"] == 0
                && lost["until"].as_u64().unwrap() > at.offset
        })
    };
    for (_, receipt) in &acknowledged {
        assert!(is_lost(receipt.position.as_ref().unwrap()), "{found}");
    }
    let remark = found["remarks"][0].as_str().unwrap();
    assert!(
        remark.contains("log/store/db") && remark.contains("qipp restore"),
        "{remark}"
    );
    let file = folder.path().join("whole.export");
    let shown = file.display().to_string();
    let (code, _, said) = verb(&data, &["log", "export", "--to", &shown]).await;
    assert!(
        code == Some(7) && said.contains("nothing is whole") && !file.exists(),
        "{said}"
    );
    for check in [&[][..], &["--check"]] {
        let serve = [&["serve", "--listen", "127.0.0.1:0"], check].concat();
        let (code, found, said) = verb(&data, &serve).await;
        let said = found + &said;
        assert!(
            code == Some(1) && said.contains("log/store/db") && said.contains("(LOG_CORRUPT)"),
            "{said}"
        );
    }
    assert!(!data.join("log/store/db").exists(), "nothing was begun");
    // Where there never was one, there is none.
    let (code, _, said) = verb(&folder.path().join("nowhere"), &["log", "check"]).await;
    assert!(code == Some(4) && said.contains("--data-dir"), "{said}");
}
