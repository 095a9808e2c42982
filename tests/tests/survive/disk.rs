//! A full disk: appends are refused with a stable code, nothing acknowledged is lost, and it goes on when there is room again.

use std::path::Path;

use qipp_api::error::ApiError;
use qipp_tests::survive::process::Binary;
use tonic::Code;

use crate::house::{House, all_there, binary, binary_with, folder, stopped};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn below_the_reserve_returns_are_refused_reads_go_on_and_nothing_is_lost() {
    let (folder, mut acknowledged) = stopped(10).await;
    let data = folder.path().join("data");
    // More than any disk has.
    let full = binary_with(&[("QIPP_SERVE__MIN_FREE_BYTES", "4611686018427387904")]);
    let house = House::start(&full, &data).await;
    let status = house.submit(11).await.unwrap_err();
    let error = ApiError::from_status(&status);
    assert_eq!(
        (status.code(), &*error.reason),
        (Code::ResourceExhausted, "LOG_STORAGE_FULL")
    );
    assert!(
        error.message.contains("free some space"),
        "{}",
        error.message
    );
    // What is there is read, and what was sent before is answered: a repeat needs no room.
    all_there(&house, &acknowledged).await;
    house.terminate().await;
    let house = House::start(&binary(), &data).await;
    acknowledged.push((11, house.submit(11).await.unwrap()));
    all_there(&house, &acknowledged).await;
    house.terminate().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_that_the_disk_has_no_room_for_is_refused_with_its_code_and_harms_nothing() {
    let (folder, acknowledged) = stopped(10).await;
    let data = folder.path().join("data");
    let path = data.join("log/store/db");
    let held = path.metadata().unwrap().len();
    // A file with a hole that is larger than the disk: what the store would fill up when it is opened.
    let disk = rustix::fs::statvfs(&data).unwrap();
    let hole = disk.f_bavail * disk.f_frsize + (1 << 30);
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    file.set_len(held + hole).unwrap();
    for arguments in [
        &["serve", "--listen", "127.0.0.1:0"][..],
        &["serve", "--listen", "127.0.0.1:0", "--check"],
    ] {
        let output = binary().command(&data).args(arguments).output();
        let output = output.await.unwrap();
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8(said).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(
            said.contains("(LOG_STORAGE_FULL)")
                && said.contains("free some space")
                && !said.contains("panicked"),
            "{said}"
        );
        assert_eq!(path.metadata().unwrap().len(), held + hole);
    }
    file.set_len(held).unwrap();
    let house = House::start(&binary(), &data).await;
    all_there(&house, &acknowledged).await;
    house.terminate().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_check_looks_at_the_disk_of_a_folder_that_is_not_there_yet() {
    let folder = folder();
    let data = folder.path().join("not/there/yet");
    let check = async |variables: &[(&str, &str)]| {
        let mut check = binary_with(variables).command(&data);
        check.args(["serve", "--listen", "127.0.0.1:0", "--check"]);
        let output = check.output().await.unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        (output.status.code(), said)
    };
    let (code, said) = check(&[("QIPP_SERVE__MIN_FREE_BYTES", "4611686018427387904")]).await;
    assert!(
        code == Some(1) && said.contains("WRONG    min_free_bytes"),
        "{said}"
    );
    let (code, said) = check(&[]).await;
    assert!(
        code == Some(0) && said.contains("bytes are free") && said.contains("will be made"),
        "{said}"
    );
    assert!(!folder.path().join("not").exists(), "nothing was made");
}

/// `qipp` whose files may not grow beyond so many KiB: a write that would fails in its middle, as on a disk that has just filled up.
fn limited(folder: &Path, kib: u32) -> Binary {
    use std::os::unix::fs::PermissionsExt as _;
    let script = folder.join(format!("limited-{kib}"));
    // dash counts blocks of 512 bytes.
    let text = format!(
        "#!/bin/dash\ntrap '' XFSZ\nulimit -f {}\nexec '{}' \"$@\"\n",
        kib * 2,
        binary().program.display()
    );
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    Binary::new(script)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_fails_in_its_middle_loses_nothing_acknowledged_and_a_restart_goes_on() {
    let (folder, mut acknowledged) = stopped(10).await;
    let data = folder.path().join("data");
    let held = data.join("log/store/db").metadata().unwrap().len();
    // Room for what is there and for one more of the store's segments, which it takes when it is opened.
    let kib = u32::try_from(held / 1024).unwrap() + 9 * 1024;
    let house = House::start(&limited(folder.path(), kib), &data).await;
    let mut refused = None;
    for number in 100..40_000 {
        match house.submit(number).await {
            Ok(receipt) => acknowledged.push((number, receipt)),
            Err(status) => {
                refused = Some(status);
                break;
            }
        }
    }
    let error = ApiError::from_status(&refused.expect("the file could not grow for ever"));
    assert!(error.reason.starts_with("LOG_"), "{error:?}");
    // From then on it takes nothing and says what to do; what is stored is read.
    let again = ApiError::from_status(&house.submit(50_000).await.unwrap_err());
    assert_eq!(&*again.reason, "LOG_POISONED", "{again:?}");
    assert!(again.message.contains("restart"), "{}", again.message);
    house.served.kill().await.unwrap();
    let house = House::start(&binary(), &data).await;
    all_there(&house, &acknowledged).await;
    house.submit(60_000).await.unwrap();
    house.terminate().await;
}
