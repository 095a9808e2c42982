//! Moving house: most is copied while the service runs, the rest after it was stopped, and a house on the copy is the same house.

use std::path::Path;

use serde_json::Value;

use crate::house::{House, all_there, binary, folder, stopped};

/// What `qipp log copy` ended with, printed, and said on standard error.
async fn copy(data: &Path, arguments: &[&str]) -> (Option<i32>, Value, String) {
    let mut command = binary().command(data);
    command.args(["log", "copy", "--json"]).args(arguments);
    let output = command.output().await.unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    let printed = serde_json::from_slice(&output.stdout).unwrap_or_default();
    (output.status.code(), printed, said)
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_house_moves_while_it_is_in_service_with_a_short_pause_at_the_end() {
    let folder = folder();
    let (old, new) = (folder.path().join("old"), folder.path().join("new"));
    let house = House::with_nation(&binary(), &old).await;
    let mut acknowledged = Vec::new();
    let mut found = 0;
    // Two passes in service; what comes in between is in the next one.
    for pass in 0..2 {
        for number in pass * 20..pass * 20 + 20 {
            acknowledged.push((number, house.submit(number).await.unwrap()));
        }
        let arguments = [
            "--from",
            &house.url,
            "--to",
            text(&new),
            "--data-dir",
            text(&old),
        ];
        let (code, done, said) = copy(&old, &arguments).await;
        assert_eq!(code, Some(0), "{said}");
        assert_eq!(done["found"].as_u64(), Some(found), "{done}");
        assert!(done["copied"].as_u64() >= Some(20), "{done}");
        found += done["copied"].as_u64().unwrap();
    }
    let stranger = old.join("keys/collector.key");
    let arguments = [
        "--from",
        &house.url,
        "--to",
        text(&new),
        "--key-file",
        text(&stranger),
    ];
    let (code, _, said) = copy(&old, &arguments).await;
    assert_eq!(code, Some(5), "{said}");
    let (code, _, said) = copy(&old, &["--from", text(&old), "--to", text(&new)]).await;
    assert_eq!(code, Some(6), "it is open elsewhere: {said}");
    for number in 40..50 {
        acknowledged.push((number, house.submit(number).await.unwrap()));
    }
    let before = house.settled().await;
    house.terminate().await;

    let (code, done, said) =
        copy(&old, &["--from", text(&old), "--to", text(&new), "--fold"]).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(done["copied"].as_u64() >= Some(10), "{done}");
    assert_eq!(done["found"].as_u64(), Some(found), "{done}");
    assert_eq!(done["nation"].as_str(), Some(before.digest.as_str()));
    let house = House::start(&binary(), &new).await;
    let after = house.settled().await;
    assert_eq!((after.digest, after.cut), (before.digest, before.cut));
    all_there(&house, &acknowledged).await;
    // It lives on there, so that the old one is no source of it any more; but the other way round it is.
    house.submit(1_000).await.unwrap();
    house.terminate().await;
    let (code, _, said) = copy(&old, &["--from", text(&old), "--to", text(&new)]).await;
    assert_eq!(code, Some(7), "{said}");
    assert!(said.contains("COPY_TARGET_BEYOND"), "{said}");
    let (code, _, said) = copy(&old, &["--from", text(&new), "--to", text(&old)]).await;
    assert_eq!(code, Some(0), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_is_not_finished_is_not_served_and_another_nation_is_refused_untouched() {
    let (one, _) = stopped(5).await;
    let (other, acknowledged) = stopped(9).await;
    let (one, other) = (one.path().join("data"), other.path().join("data"));
    let (code, _, said) = copy(&one, &["--from", text(&one), "--to", text(&other)]).await;
    assert_eq!(code, Some(7), "{said}");
    assert!(
        said.contains("the target differs from the source at"),
        "{said}"
    );
    let house = House::start(&binary(), &other).await;
    all_there(&house, &acknowledged).await;
    house.terminate().await;

    // As a copy leaves it that was killed.
    std::fs::write(other.join("log/copying"), b"").unwrap();
    let served = binary()
        .command(&other)
        .arg("serve")
        .output()
        .await
        .unwrap();
    assert_eq!(served.status.code(), Some(1), "{served:?}");
    let said = String::from_utf8(served.stderr).unwrap();
    assert!(
        said.contains("is not finished") && said.contains("log/copying"),
        "{said}"
    );
    // A refused copy leaves the mark of the one before; one that is finished takes it away.
    copy(&one, &["--from", text(&one), "--to", text(&other)]).await;
    assert!(other.join("log/copying").exists());
    let made = other.with_file_name("made");
    for (from, to) in [(&other, &made), (&made, &other)] {
        let (code, _, said) = copy(&one, &["--from", text(from), "--to", text(to)]).await;
        assert_eq!(code, Some(0), "{said}");
        assert!(!to.join("log/copying").exists());
    }
    let wrong: [&[&str]; 4] = [
        &["--from", text(&one), "--to", text(&one)],
        &["--from", text(&one), "--to", "http://127.0.0.1:1"],
        &["--from", text(&one), "--to", text(&made), "--follow"],
        &["--from", text(&one), "--to", "ftp://there"],
    ];
    for arguments in wrong {
        let (code, _, said) = copy(&one, arguments).await;
        assert_eq!(code, Some(2), "{said}");
    }
    let nowhere = one.with_file_name("nowhere");
    let (code, _, said) = copy(&one, &["--from", text(&nowhere), "--to", text(&made)]).await;
    assert_eq!(code, Some(4), "{said}");
}
