//! Back-up while the service runs and takes returns, and restore: to the end, to a cut, to a time.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use qipp_api::cut::{cut_from_proto, time_from_text};
use qipp_eventlog::{EmbeddedConfig, EmbeddedLog, EventLog as _};
use qipp_projection::{digest_of, fold_to};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::house::{House, all_there, binary, folder, submit};

/// The digest of the log in a folder that nobody has open, by a fresh fold up to a cut.
async fn digest_at(data: &Path, cut: &str) -> String {
    let log = EmbeddedLog::open(data.join("log"), EmbeddedConfig::default()).unwrap();
    let cut = qipp_gateway::cut_text::decode(cut).unwrap();
    let cut = cut_from_proto(&cut, "cut").unwrap();
    let (nation, _) = fold_to(&log, qipp::serve::decode, &cut).await.unwrap();
    log.close().await;
    digest_of(&nation)
}

async fn restored(from: &Path, to: &Path, more: &[&str]) -> Value {
    let mut command = binary().command(to);
    command
        .args(["restore", "--json", "--from"])
        .arg(from)
        .arg("--data-dir")
        .arg(to)
        .args(more);
    let output = command.output().await.unwrap();
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_back_up_under_load_restores_to_the_same_digest_at_its_end_at_a_cut_and_at_a_time() {
    let folder = folder();
    let house = Arc::new(House::with_nation(&binary(), &folder.path().join("data")).await);
    let mut before = Vec::new();
    for number in 0..40 {
        before.push((number, house.submit(number).await.unwrap()));
    }
    // Others go on sending all the while, and count.
    let (stop, sent) = (CancellationToken::new(), Arc::new(AtomicU32::new(40)));
    let senders: Vec<_> = (0..3)
        .map(|_| {
            let (house, stop, sent) = (Arc::clone(&house), stop.clone(), Arc::clone(&sent));
            tokio::spawn(async move {
                let client = house.client("collector");
                while !stop.is_cancelled() {
                    submit(&client, sent.fetch_add(1, Ordering::SeqCst))
                        .await
                        .unwrap();
                }
            })
        })
        .collect();
    let file = folder.path().join("qipp.export");
    let path = file.display().to_string();
    let taken = house
        .verb(&["backup", "--to", &path])
        .output()
        .await
        .unwrap();
    assert!(taken.status.success(), "{taken:?}");
    let again = house
        .verb(&["backup", "--to", &path])
        .output()
        .await
        .unwrap();
    assert!(!again.status.success(), "a back-up is never written over");
    let stranger = folder
        .path()
        .join("data/keys/collector.key")
        .display()
        .to_string();
    let other = folder.path().join("other.export").display().to_string();
    let denied = house
        .verb(&["backup", "--to", &other, "--key-file", &stranger])
        .output()
        .await
        .unwrap();
    assert_eq!(denied.status.code(), Some(5), "{denied:?}");
    stop.cancel();
    for sender in senders {
        sender.await.unwrap();
    }
    assert!(sent.load(Ordering::SeqCst) > 43, "they did send");
    Arc::into_inner(house).unwrap().terminate().await;

    let end = restored(&file, &folder.path().join("end"), &[]).await;
    assert_eq!(
        end["digest"],
        digest_at(&folder.path().join("data"), end["cut"].as_str().unwrap()).await
    );
    // Everything that was acknowledged before the back-up began is in it, and the restored folder serves.
    let house = House::start(&binary(), &folder.path().join("end")).await;
    all_there(&house, &before).await;
    assert_eq!(
        house.submit(1_000_000).await.unwrap().revision,
        1 + house_revisions(&house).await
    );
    house.terminate().await;

    let cut = before[20].1.cut.clone().unwrap();
    let whole = qipp_gateway::cut_text::decode(end["cut"].as_str().unwrap()).unwrap();
    let reference = whole
        .next
        .iter()
        .filter(|place| place.topic == "qipp.reference.v1")
        .cloned();
    let mut wanted = cut;
    wanted.next.extend(reference);
    let wanted = qipp_gateway::cut_text::encode(&wanted);
    let at_cut = restored(&file, &folder.path().join("cut"), &["--cut", &wanted]).await;
    assert_eq!(
        at_cut["digest"],
        digest_at(&folder.path().join("data"), at_cut["cut"].as_str().unwrap()).await
    );
    assert_ne!(at_cut["digest"], end["digest"]);

    let time = &before[30].1.received_at;
    let at_time = restored(&file, &folder.path().join("time"), &["--at", time]).await;
    assert_eq!(
        at_time["digest"],
        digest_at(
            &folder.path().join("data"),
            at_time["cut"].as_str().unwrap()
        )
        .await
    );
    assert!(
        time_from_text(time).is_some() && at_time["records"].as_u64() < end["records"].as_u64()
    );

    refusals(folder.path(), &file).await;
}

/// The revisions of the return that number 1,000,000 is of.
async fn house_revisions(house: &House) -> u32 {
    use qipp_api::proto::events::v1::Dataset;
    use qipp_api::proto::projections::v1::ListRevisionsRequest;
    let month = 1_000_000 / 3 % 24;
    let request = ListRevisionsRequest {
        org_code: ["RA1", "RA2", "RB1"][1_000_000 % 3].to_owned(),
        dataset: Dataset::Quality.into(),
        period: format!("{}-{:02}", 2009 + month / 12, month % 12 + 1),
        read: None,
    };
    let answer = house
        .client("national")
        .projections()
        .list_revisions(request)
        .await
        .unwrap();
    u32::try_from(answer.into_inner().revisions.len()).unwrap() - 1
}

/// What can't be restored is refused before anything is written.
async fn refusals(folder: &Path, file: &Path) {
    let refused = async |from: &Path, to: &Path, more: &[&str]| {
        let mut command = binary().command(to);
        command
            .args(["restore", "--from"])
            .arg(from)
            .arg("--data-dir")
            .arg(to)
            .args(more);
        let output = command.output().await.unwrap();
        assert_eq!(output.status.code(), Some(3), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let held = refused(file, &folder.join("end"), &[]).await;
    assert!(held.contains("holds something already"), "{held}");
    let beyond = refused(
        file,
        &folder.join("beyond"),
        &["--cut", "returns.0-99999999"],
    )
    .await;
    assert!(beyond.contains("beyond the end"), "{beyond}");
    let mut bytes = std::fs::read(file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let damaged = folder.join("damaged.export");
    std::fs::write(&damaged, &bytes).unwrap();
    let said = refused(&damaged, &folder.join("none"), &[]).await;
    assert!(said.contains("damaged at byte"), "{said}");
    std::fs::write(&damaged, &bytes[..middle]).unwrap();
    refused(&damaged, &folder.join("none"), &[]).await;
    assert!(!folder.join("none/log").exists(), "nothing was written");
}
