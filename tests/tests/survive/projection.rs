//! The projection store is a cache: damage to any of its files is answered by moving it aside, saying so, and folding again.

use std::path::{Path, PathBuf};

use crate::house::{House, binary, folder};
use qipp_tests::copy;

/// All files below a folder that hold something.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.metadata().unwrap().len() > 0 {
            found.push(path);
        }
    }
    found.sort();
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_projection_store_that_is_deleted_or_damaged_is_built_again_and_says_the_same() {
    let folder = folder();
    let original = folder.path().join("data");
    let house = House::with_nation(&binary(), &original).await;
    for number in 0..30 {
        house.submit(number).await.unwrap();
    }
    house.terminate().await;
    // A start and an end, so that the evaluator has had its say and the checkpoint covers all of it.
    let house = House::start(&binary(), &original).await;
    let before = house.settled().await;
    house.terminate().await;
    let stored = files(&original.join("projection"));
    assert!(!stored.is_empty(), "there is a checkpoint");

    let deleted = folder.path().join("deleted");
    copy(&original, &deleted);
    std::fs::remove_dir_all(deleted.join("projection")).unwrap();
    same(&deleted, &before).await;

    for (number, file) in stored.iter().enumerate() {
        let damaged = folder.path().join(format!("damaged-{number}"));
        copy(&original, &damaged);
        let file = damaged.join(file.strip_prefix(&original).unwrap());
        // Every byte: which of them matter is the store's own affair.
        let bytes: Vec<u8> = std::fs::read(&file)
            .unwrap()
            .iter()
            .map(|byte| byte ^ 0x5a)
            .collect();
        std::fs::write(&file, bytes).unwrap();
        same(&damaged, &before).await;
    }
    let cut = folder.path().join("cut");
    copy(&original, &cut);
    for file in files(&cut.join("projection")) {
        let half = file.metadata().unwrap().len() / 2;
        std::fs::File::options()
            .write(true)
            .open(&file)
            .unwrap()
            .set_len(half)
            .unwrap();
    }
    let said = same(&cut, &before).await;
    let told = said.lines().any(|line| {
        (line.contains("WARN") || line.contains("ERROR"))
            && line.to_lowercase().contains("projection")
    });
    assert!(told, "it was said loudly: {said}");
}

/// Starts on it, and finds everything as it was. Gives what was said.
async fn same(data: &Path, before: &qipp_api::proto::projections::v1::GetStatusResponse) -> String {
    let house = House::start(&binary(), data).await;
    let after = house.status(before.cut.clone()).await;
    assert_eq!(
        (&after.cut, &after.digest),
        (&before.cut, &before.digest),
        "{}",
        data.display()
    );
    let said = house.said();
    house.terminate().await;
    said
}
