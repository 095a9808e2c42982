//! Replicas that leave their checkpoints for each other in an object store, and start from them.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use qipp::config::{LogKind, Service, Snapshot};
use qipp::serve::House;
use qipp_api::facts::{Meta, encode, record_key};
use qipp_domain::nation::Facts;
use qipp_domain::reference::{Organisation, ReferenceFact};
use qipp_eventlog::{EventLog, NewRecord, Topic};
use qipp_projection::{Share, domain_cut};
use qipp_tests::late::Late;
use qipp_tests::object_store::{ACCESS_KEY, ObjectStore, SECRET};
use qipp_tests::{Sandbox, facts};
use tempfile::TempDir;
use tokio::io::AsyncReadExt as _;

use crate::binary::command;

/// What a checkpoint grows by with each of the [`heavy`].
const WEIGHT: usize = 1 << 20;

/// A nation whose checkpoint goes up in three parts of 8 MiB.
async fn nation() -> Sandbox {
    let sandbox = Sandbox::in_memory().await;
    sandbox.record(facts::small_nation()).await;
    heavy(&sandbox, 0..18).await;
    sandbox
}

/// Organisations with names that nobody could register.
async fn heavy(sandbox: &Sandbox, numbers: std::ops::Range<u32>) {
    for number in numbers {
        let organisation = Organisation {
            code: format!("H{number:04}").parse().unwrap(),
            name: char::from(b'a' + (number % 26) as u8)
                .to_string()
                .repeat(WEIGHT),
            kind: "trust".parse().unwrap(),
            opened: None,
            closed: None,
        };
        let facts = Facts::Reference(vec![ReferenceFact::Organisation(organisation)]);
        let record = NewRecord {
            key: record_key(&facts).into(),
            payload: encode(&facts, Meta::default()),
        };
        let log = &sandbox.house().log;
        log.append(Topic::Reference, 0, vec![record]).await.unwrap();
    }
    sandbox.house().follower.caught_up().await.unwrap();
}

/// A replica of the sandbox, and the view of the log that it reads.
async fn replica(
    sandbox: &Sandbox,
    folder: &Path,
    share: Share,
    snapshot: Snapshot,
) -> (House, Arc<Late>) {
    let view = Late::prompt(Arc::clone(&sandbox.house().log));
    let log = Arc::clone(&view) as Arc<dyn EventLog>;
    let house = sandbox.beside(Some(log), |config| {
        config.services = vec![Service::Projections];
        // So that it makes checkpoints.
        config.log = LogKind::Embedded;
        config.data_dir = folder.to_owned();
        config.shard = share;
        config.snapshot = snapshot;
    });
    let house = house.await;
    house.follower.caught_up().await.unwrap();
    (house, view)
}

/// A replica that leaves its checkpoints in the store.
struct Saving {
    house: House,
    _folder: TempDir,
}

impl Saving {
    async fn start(sandbox: &Sandbox, share: Share, store: &ObjectStore) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let snapshot = Snapshot {
            save: true,
            ..store.settings()
        };
        let (house, _) = replica(sandbox, folder.path(), share, snapshot).await;
        Self {
            house,
            _folder: folder,
        }
    }

    /// What it has now, as it has to stand in the store.
    fn checkpoint(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.house.follower.snapshot().write(&mut bytes).unwrap();
        bytes
    }

    /// Waits until what it has now is in the store: of all that stands there, the file that ends so.
    async fn is_in(&self, store: &ObjectStore, name: &str) -> PathBuf {
        let wanted = self.checkpoint();
        loop {
            let mut objects = store.objects().into_iter();
            let found = objects.find(|path| path.display().to_string().ends_with(name));
            if let Some(object) = found
                && std::fs::metadata(&object).unwrap().len() == wanted.len() as u64
                && std::fs::read(&object).unwrap() == wanted
            {
                return object;
            }
            tokio::task::yield_now().await;
        }
    }
}

/// Waits until the store keeps nothing of any upload but what became an object.
async fn nothing_is_unfinished(store: &ObjectStore) {
    while !store.unfinished().is_empty() {
        tokio::task::yield_now().await;
    }
}

/// A replica that starts with nothing: how many records it has read when it is right.
async fn started(sandbox: &Sandbox, share: Share, snapshot: Snapshot) -> u64 {
    let folder = tempfile::tempdir().unwrap();
    let (house, view) = replica(sandbox, folder.path(), share, snapshot).await;
    if share.is_whole() {
        assert_eq!(house.follower.digest(), sandbox.house().follower.digest());
    }
    let read = view.read();
    house.stop().await;
    read
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_goes_on_from_a_bucket_and_reads_only_what_came_after() {
    let (sandbox, store) = (nation().await, ObjectStore::start().await);
    // Nothing is in it yet.
    let all = started(&sandbox, Share::WHOLE, store.settings()).await;

    let saving = Saving::start(&sandbox, Share::WHOLE, &store).await;
    saving.is_in(&store, "").await;
    assert!(store.asked("PUT partNumber=3&") > 0);
    nothing_is_unfinished(&store).await;
    saving.house.stop().await;
    let lanes = domain_cut(&sandbox.house().log.head()).iter().count() as u64;
    heavy(&sandbox, 18..20).await;
    // The last record of every lane, to be sure that it is of this log, and the two that came later.
    let read = started(&sandbox, Share::WHOLE, store.settings()).await;
    assert_eq!(read, lanes + 2);
    assert!(all > 2 * read, "{all} records without it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_breaks_off_leaves_the_one_before_and_the_next_one_takes_its_place() {
    let (sandbox, store) = (nation().await, ObjectStore::start().await);
    let saving = Saving::start(&sandbox, Share::WHOLE, &store).await;
    let object = saving.is_in(&store, "").await;
    let before = std::fs::read(&object).unwrap();

    store.breaks_off(true);
    heavy(&sandbox, 18..20).await;
    store.was_asked("DELETE uploadId=", 1).await;
    assert_eq!(std::fs::read(&object).unwrap(), before);

    store.breaks_off(false);
    heavy(&sandbox, 20..23).await;
    saving.house.follower.caught_up().await.unwrap();
    assert_eq!(saving.is_in(&store, "").await, object);
    assert_eq!(store.objects(), [object]);
    nothing_is_unfinished(&store).await;
    saving.house.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_shard_has_a_checkpoint_of_its_own_beside_the_others() {
    let (sandbox, store) = (nation().await, ObjectStore::start().await);
    let shares = [0, 1].map(|index| Share::new(index, 2).unwrap());
    for share in shares {
        let saving = Saving::start(&sandbox, share, &store).await;
        let name = format!(".share-{}-of-2", share.index());
        saving.is_in(&store, &name).await;
        saving.house.stop().await;
    }
    assert_eq!(store.objects().len(), 2);
    let lanes = domain_cut(&sandbox.house().log.head()).iter().count() as u64;
    for share in shares {
        let read = started(&sandbox, share, store.settings()).await;
        assert!(read <= lanes, "{read} records, {lanes} lanes");
    }
    // Who holds all of it finds none.
    assert!(started(&sandbox, Share::WHOLE, store.settings()).await > lanes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_object_is_not_taken_and_the_log_is_folded() {
    let (sandbox, store) = (nation().await, ObjectStore::start().await);
    let saving = Saving::start(&sandbox, Share::WHOLE, &store).await;
    let object = saving.is_in(&store, "").await;
    saving.house.stop().await;
    let lanes = domain_cut(&sandbox.house().log.head()).iter().count() as u64;
    let whole = std::fs::read(&object).unwrap();
    let mut turned = whole.clone();
    turned[whole.len() / 2] ^= 1;
    for damaged in [&turned[..], &whole[..whole.len() / 2], &[]] {
        std::fs::write(&object, damaged).unwrap();
        assert!(started(&sandbox, Share::WHOLE, store.settings()).await > lanes);
    }
    std::fs::write(&object, &whole).unwrap();
    let read = started(&sandbox, Share::WHOLE, store.settings()).await;
    assert_eq!(read, lanes);
}

/// What a process warns of that is to start from there, with these variables, until it serves.
async fn told(data: &Path, from: &str, variables: &[(&str, &str)]) -> String {
    let folder = tempfile::tempdir().unwrap();
    qipp_tests::copy(data, folder.path());
    std::fs::remove_dir_all(folder.path().join("projection")).unwrap();
    let mut serve = command(folder.path());
    serve
        .args(["serve", "--listen", "127.0.0.1:0"])
        .env("QIPP_SERVE__SNAPSHOT__FROM", from)
        .envs(variables.iter().copied())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut process = serve.spawn().unwrap();
    // It says where it listens, and has taken a snapshot, or none, by then.
    let mut first = [0; 1];
    let mut output = process.stdout.take().unwrap();
    output.read_exact(&mut first).await.unwrap();
    process.kill().await.unwrap();
    let mut said = String::new();
    let mut errors = process.stderr.take().unwrap();
    errors.read_to_string(&mut said).await.unwrap();
    said
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_gives_nothing_is_told_with_the_remedy_and_the_log_is_folded() {
    let mut sandbox = Sandbox::start().await;
    sandbox.record(facts::small_nation()).await;
    sandbox.close().await;
    let (data, store) = (sandbox.data(), ObjectStore::start().await);
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let away = format!("http://{}", nobody.local_addr().unwrap());
    drop(nobody);
    let (right, endpoint) = (store.settings().from, store.endpoint());
    let elsewhere = "s3://another/nation";
    let cases: [(&str, &str, &str, &str, &[&str]); 6] = [
        (
            &right,
            endpoint,
            ACCESS_KEY,
            SECRET,
            &["there is no snapshot"],
        ),
        (
            elsewhere,
            endpoint,
            ACCESS_KEY,
            SECRET,
            &[elsewhere, "NoSuchBucket", "make the bucket"],
        ),
        (
            &right,
            endpoint,
            ACCESS_KEY,
            "another secret",
            &[&right, "SignatureDoesNotMatch", "AWS_SECRET_ACCESS_KEY"],
        ),
        (
            &right,
            endpoint,
            "nobody",
            SECRET,
            &[&right, "NotSignedUp", "AWS_ACCESS_KEY_ID"],
        ),
        (
            &right,
            endpoint,
            "",
            "",
            &[&right, "give credentials", "AWS_ACCESS_KEY_ID"],
        ),
        (
            &right,
            &away,
            ACCESS_KEY,
            SECRET,
            &[&right, &away, "refused", "look at endpoint"],
        ),
    ];
    for (from, endpoint, access_key, secret, because) in cases {
        let variables = [
            ("AWS_ENDPOINT_URL", endpoint),
            ("AWS_ACCESS_KEY_ID", access_key),
            ("AWS_SECRET_ACCESS_KEY", secret),
            // Whoever runs this may be on a machine that has a role.
            ("AWS_METADATA_ENDPOINT", &away),
        ];
        let said = told(&data, from, &variables);
        let said = tokio::time::timeout(Duration::from_secs(60), said)
            .await
            .unwrap();
        for because in because {
            assert!(said.contains(because), "{because} in {said}");
        }
        assert!(said.contains("built again from the whole log"), "{said}");
        assert!(secret.is_empty() || !said.contains(secret), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_address_of_a_bucket_is_told_by_the_check_and_no_secret_is_printed() {
    let folder = tempfile::tempdir().unwrap();
    let check = async |from: &str, properties: &str| {
        let check = command(folder.path())
            .env("QIPP_SERVE__SNAPSHOT__FROM", from)
            .env("QIPP_SERVE__SNAPSHOT__PROPERTIES", properties)
            .args(["serve", "--listen", "127.0.0.1:0", "--check"])
            .output();
        let check = check.await.unwrap();
        let said = [check.stdout, check.stderr].concat();
        (check.status.success(), String::from_utf8(said).unwrap())
    };
    let (is_right, said) = check(
        "s3://checkpoints/qipp",
        r#"{endpoint="http://minio:9000",access_key_id="me",secret_access_key="hidden"}"#,
    )
    .await;
    assert!(is_right && !said.contains("hidden"), "{said}");
    assert!(said.contains("secret_access_key = \"***\""), "{said}");
    for (from, properties, because) in [
        ("s3://", "{}", "names no bucket"),
        ("s3:///prefix", "{}", "names no bucket"),
        ("s3://minio:9000/checkpoints", "{}", "has a port"),
        ("s3://me:hidden@checkpoints/qipp", "{}", "user or password"),
        ("s3://checkpoints/a//b", "{}", "no path"),
        ("s3://checkpoints/qipp?region=x", "{}", "has a query"),
        ("s3://check points", "{}", "characters"),
        ("s3://c", r#"{endpoint="minio:9000"}"#, "https://HOST"),
        (
            "s3://c",
            r#"{endpoint="http://me:hidden@minio"}"#,
            "without a user",
        ),
        (
            "s3://c",
            r#"{regoin="x"}"#,
            "serve.snapshot.properties.regoin",
        ),
        ("s3://c", r#"{secret_access_key="hidden"}"#, "AccessKeyId"),
        ("s3://c", r#"{allow_http="perhaps"}"#, "perhaps"),
    ] {
        let (is_right, said) = check(from, properties).await;
        assert!(
            !is_right && said.contains(because),
            "{from} {properties}: {said}"
        );
        assert!(!said.contains("hidden"), "{said}");
    }
}
