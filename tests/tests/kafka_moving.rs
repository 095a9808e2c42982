//! Moving house to Kafka and back: the real binary, a real broker, and hardly a pause.
#![allow(
    clippy::unwrap_used,
    reason = "in a test a failed expectation is a failed test"
)]

#[allow(dead_code, reason = "the scenarios of surviving use the rest")]
#[path = "survive/house.rs"]
mod house;

use std::path::Path;
use std::process::Stdio;

use house::{House, all_there, binary, binary_with, folder};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

/// `qipp log copy`, on topics that one broker holds.
fn copy(data: &Path, from: &str, to: &str, more: &[&str]) -> Command {
    let mut command = binary().command(data);
    command
        .args(["log", "copy", "--json", "--from", from, "--to", to])
        .env("QIPP_SERVE__KAFKA__REPLICATION", "1")
        .env("QIPP_SERVE__KAFKA__MIN_INSYNC", "1")
        .args(more);
    command
}

async fn done(mut command: Command) -> Value {
    let output = command.output().await.unwrap();
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_nation_moves_to_kafka_and_back_and_every_return_is_there() {
    let broker = qipp_kafka_cluster::shared().unwrap_or_else(|error| panic!("{error}"));
    let folder = folder();
    let place = |name: &str| folder.path().join(name);
    let (old, many, new) = (place("old"), place("many"), place("new"));
    let prefix = folder.path().file_name().unwrap().to_str().unwrap();
    let kafka = format!("kafka://{}/{prefix}", broker.brokers());
    let mut acknowledged = Vec::new();

    let house = House::with_nation(&binary(), &old).await;
    for number in 0..20 {
        acknowledged.push((number, house.submit(number).await.unwrap()));
    }
    let first = done(copy(&old, &house.url, &kafka, &[])).await;
    assert!(first["copied"].as_u64() >= Some(20), "{first}");
    for number in 20..30 {
        acknowledged.push((number, house.submit(number).await.unwrap()));
    }
    let before = house.settled().await;
    house.terminate().await;
    let last = done(copy(&old, old.to_str().unwrap(), &kafka, &["--fold"])).await;
    assert_eq!(last["found"], first["copied"]);
    assert!(last["copied"].as_u64() >= Some(10), "{last}");
    assert_eq!(last["nation"].as_str(), Some(before.digest.as_str()));

    let on_kafka = binary_with(&[
        ("QIPP_SERVE__LOG", &kafka),
        ("QIPP_SERVE__KAFKA__REPLICATION", "1"),
        ("QIPP_SERVE__KAFKA__MIN_INSYNC", "1"),
    ]);
    let house = House::start(&on_kafka, &many).await;
    all_there(&house, &acknowledged).await;
    // Checked while it is in service, and evaluates.
    let said = loop {
        let before = house.settled().await.digest;
        let mut verify = binary().command(&many);
        let checks = verify.args(["verify", "--json", "--log", &kafka]).output();
        let checks = checks.await.unwrap();
        let said = String::from_utf8(checks.stdout).unwrap();
        assert!(checks.status.success(), "{said}");
        if house.settled().await.digest == before {
            assert!(said.contains(&before), "{before}: {said}");
            break said;
        }
    };
    for check in ["continuity", "roll-ups", "alerts"] {
        assert!(said.contains(&format!("\"check\":\"{check}\"")), "{said}");
    }
    let mut following = copy(&old, &kafka, new.to_str().unwrap(), &["--follow", "--fold"]);
    let following = following.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut following = following.spawn().unwrap();
    let mut said = BufReader::new(following.stderr.take().unwrap()).lines();
    while said.next_line().await.unwrap().as_deref() != Some("… following") {}
    for number in 30..40 {
        acknowledged.push((number, house.submit(number).await.unwrap()));
    }
    house.terminate().await;
    let pid = i32::try_from(following.id().unwrap()).unwrap();
    kill_process(Pid::from_raw(pid).unwrap(), Signal::INT).unwrap();
    let output = following.wait_with_output().await.unwrap();
    assert!(output.status.success(), "{output:?}");
    let back: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(back["found"].as_u64(), Some(0));
    assert!(back["copied"].as_u64() >= Some(40), "{back}");

    let house = House::start(&binary(), &new).await;
    all_there(&house, &acknowledged).await;
    house.submit(1_000).await.unwrap();
    house.terminate().await;
}
