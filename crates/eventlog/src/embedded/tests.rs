//! What only the embedded log can get wrong: damage, a full or failing disk, two owners, another layout.

use crate::embedded::keys::{End, FORMAT_KEY, Format, PieceKey};
use crate::embedded::store::{self, Medium, Store};
use crate::embedded::survey::copy_folder;
use crate::embedded::verify::verify;
use crate::embedded::writer::{Limits, Request, Wanted, Writer};
use crate::follow::Heads;
use crate::{
    Appended, Batch, EmbeddedConfig, EmbeddedLog, EventLog, Layout, LogError, Lost,
    MAX_RECORD_BYTES, ManualClock, NewRecord, Observer, Position, Record, Survey, Topic, survey,
};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use tempfile::TempDir;
use tokio::sync::{Semaphore, oneshot};

const TOPIC: Topic = Topic::Returns;
const LAYOUT: Layout = Layout {
    returns: 2,
    alerts: 1,
};

fn config() -> EmbeddedConfig {
    EmbeddedConfig {
        layout: LAYOUT,
        clock: Arc::new(ManualClock::new(1000)),
        ..EmbeddedConfig::default()
    }
}

fn open(directory: &TempDir) -> Result<EmbeddedLog, LogError> {
    EmbeddedLog::open(directory.path(), config())
}

fn record(payload: &[u8]) -> NewRecord {
    NewRecord {
        key: b"RJ1".to_vec().into(),
        payload: payload.to_vec().into(),
    }
}

fn at(partition: u16, offset: u64) -> Position {
    Position {
        topic: TOPIC,
        partition,
        offset,
    }
}

/// A closed log with frames at offsets 0, 2, 4, 6 and 8 of partition 1.
async fn five_frames() -> TempDir {
    let directory = TempDir::new().unwrap();
    let log = open(&directory).unwrap();
    for _ in 0..5 {
        log.append(TOPIC, 1, vec![record(b"a"), record(b"b")])
            .await
            .unwrap();
    }
    log.close().await;
    directory
}

/// Changes a closed store behind the log's back.
fn tamper(directory: &Path, change: impl FnOnce(&sled::Db)) {
    let (store, _released) = Store::open(directory, LAYOUT, 1 << 20).unwrap();
    change(store.raw());
    store.raw().flush().unwrap();
}

fn piece(partition: u16, offset: u64, piece: u16) -> [u8; 13] {
    PieceKey {
        base: at(partition, offset),
        piece,
    }
    .encode()
}

/// Opens a log that was tampered with: what is said to be wrong, and where.
async fn damage_found(
    directory: &TempDir,
    change: impl FnOnce(&sled::Db),
) -> (String, Option<Position>) {
    tamper(directory.path(), change);
    match open(directory) {
        Err(LogError::Corrupt { what, position }) => (what, position),
        other => panic!("expected damage to be found, not {other:?}"),
    }
}

#[tokio::test]
async fn a_damaged_frame_is_found_on_opening() {
    let directory = five_frames().await;
    let (what, position) = damage_found(&directory, |db| {
        let mut frame = db.get(piece(1, 4, 0)).unwrap().unwrap().to_vec();
        *frame.last_mut().unwrap() ^= 1;
        db.insert(piece(1, 4, 0), frame).unwrap();
    })
    .await;
    assert_eq!(position, Some(at(1, 4)));
    assert!(what.contains("checksum"), "{what}");
    let message = open(&directory).unwrap_err().to_string();
    assert!(message.contains("qipp.returns.v1/1@4"), "{message}");
}

/// sled writes its snapshots while it opens. One that was killed then leaves a file that sled itself takes for its newest snapshot.
#[tokio::test]
async fn a_log_opens_after_a_kill_while_it_was_opened() {
    let directory = five_frames().await;
    for left in [b"".as_slice(), b"cut off", &[0; 100]] {
        let unfinished = directory
            .path()
            .join("store/snap.7FFFFFFFFFFFFFFF.generating");
        std::fs::write(&unfinished, left).unwrap();
        let log = open(&directory).unwrap();
        assert_eq!(log.head().next(TOPIC, 1), 10);
        log.close().await;
        assert!(!unfinished.exists());
    }
}

#[tokio::test]
async fn a_missing_frame_is_found_on_opening() {
    for (missing, found) in [(0, 2), (4, 6), (8, 8)] {
        let directory = five_frames().await;
        let (what, position) = damage_found(&directory, |db| {
            db.remove(piece(1, missing, 0)).unwrap();
        })
        .await;
        assert_eq!(position, Some(at(1, found)), "{what}");
    }
}

#[tokio::test]
async fn a_frame_in_the_wrong_place_is_found_on_opening() {
    let directory = five_frames().await;
    let (what, position) = damage_found(&directory, |db| {
        let frame = db.remove(piece(1, 8, 0)).unwrap().unwrap();
        db.insert(piece(1, 9, 0), frame).unwrap();
    })
    .await;
    assert_eq!(
        (what.as_str(), position),
        ("a frame stands where another belongs", Some(at(1, 9)))
    );
}

#[tokio::test]
async fn a_missing_piece_of_a_large_frame_is_found_on_opening() {
    for (missing, complaint) in [(0, "the first piece"), (1, "a piece"), (5, "a piece")] {
        let directory = TempDir::new().unwrap();
        let log = open(&directory).unwrap();
        let large = vec![7; 5 * 64 * 1024 + 100];
        log.append(
            TOPIC,
            0,
            vec![record(b"small"), record(&large), record(b"small")],
        )
        .await
        .unwrap();
        log.close().await;
        let (what, position) = damage_found(&directory, |db| {
            db.remove(piece(0, 1, missing)).unwrap().unwrap();
        })
        .await;
        assert_eq!(position, Some(at(0, 1)));
        assert!(what.starts_with(complaint), "{what}");
    }
}

#[tokio::test]
async fn a_lost_or_damaged_end_is_found_on_opening() {
    let directory = five_frames().await;
    damage_found(&directory, |db| {
        db.insert(End::key(TOPIC, 1), b"nonsense").unwrap();
    })
    .await;
    let directory = five_frames().await;
    let (_, position) = damage_found(&directory, |db| {
        db.remove(End::key(TOPIC, 1)).unwrap();
    })
    .await;
    assert_eq!(position, Some(at(1, 0)));
}

#[tokio::test]
async fn keys_of_no_known_kind_and_a_lost_format_are_found_on_opening() {
    let unknown_topic = [&[9], &piece(0, 0, 0)[1..]].concat();
    let strangers = [
        vec![],
        b"\0x".to_vec(),
        End::key(TOPIC, 2).to_vec(),
        piece(2, 0, 0).to_vec(),
        piece(1, 0, 0)[..9].to_vec(),
        [&piece(1, 6, 0)[..], b"x"].concat(),
        unknown_topic,
    ];
    for stranger in strangers {
        let directory = five_frames().await;
        let (what, _) = damage_found(&directory, |db| {
            db.insert(&stranger, b"").unwrap();
        })
        .await;
        assert!(what.contains("no known kind"), "{stranger:?}: {what}");
    }
    let directory = five_frames().await;
    let (what, _) = damage_found(&directory, |db| {
        db.remove(FORMAT_KEY).unwrap();
    })
    .await;
    assert!(what.contains("format is missing"), "{what}");
}

#[tokio::test]
async fn a_log_of_a_newer_format_is_not_opened() {
    let directory = five_frames().await;
    tamper(directory.path(), |db| {
        let newer = Format {
            version: 2,
            layout: LAYOUT,
        };
        db.insert(FORMAT_KEY, newer.encode()).unwrap();
    });
    assert_eq!(
        open(&directory).unwrap_err(),
        LogError::UnsupportedFormat {
            found: 2,
            supported: 1
        }
    );
}

#[tokio::test]
async fn another_layout_is_refused_and_the_log_stays_as_it_was() {
    let directory = five_frames().await;
    let asked = Layout {
        returns: 3,
        alerts: 1,
    };
    let other = EmbeddedConfig {
        layout: asked,
        ..config()
    };
    let error = EmbeddedLog::open(directory.path(), other).unwrap_err();
    assert_eq!(
        error,
        LogError::LayoutMismatch {
            stored: LAYOUT,
            asked
        }
    );
    let log = open(&directory).unwrap();
    assert_eq!(log.head().next(TOPIC, 1), 10);
}

#[tokio::test]
async fn a_log_is_opened_once_at_a_time() {
    let directory = TempDir::new().unwrap();
    let log = open(&directory).unwrap();
    let error = open(&directory).unwrap_err();
    assert_eq!(error.code(), "LOG_ALREADY_OPEN");
    assert!(error.to_string().contains("stop the other process"));
    log.append(TOPIC, 0, vec![record(b"goes on")])
        .await
        .unwrap();
    log.close().await;
    open(&directory).unwrap().close().await;
}

#[test]
fn a_configuration_that_cannot_work_is_refused() {
    let directory = TempDir::new().unwrap();
    let wrong = [
        EmbeddedConfig {
            max_frame_records: 0,
            ..config()
        },
        EmbeddedConfig {
            queue_bytes: 0,
            ..config()
        },
        EmbeddedConfig {
            layout: Layout {
                returns: 0,
                alerts: 1,
            },
            ..config()
        },
    ];
    for config in wrong {
        let error = EmbeddedLog::open(directory.path(), config).unwrap_err();
        assert_eq!(error.code(), "LOG_INVALID_CONFIG");
    }
    assert!(
        std::fs::read_dir(directory.path())
            .unwrap()
            .next()
            .is_none()
    );
}

#[tokio::test]
async fn appends_are_refused_and_reads_served_while_the_disk_is_full() {
    let directory = five_frames().await;
    let full = EmbeddedConfig {
        min_free_bytes: u64::MAX,
        ..config()
    };
    let log = EmbeddedLog::open(directory.path(), full).unwrap();
    let error = log
        .append(TOPIC, 1, vec![record(b"no room")])
        .await
        .unwrap_err();
    assert_eq!(error.code(), "LOG_STORAGE_FULL");
    assert_eq!(log.read(TOPIC, 1, 0, 100).await.unwrap().len(), 10);
    log.close().await;
    let log = open(&directory).unwrap();
    assert_eq!(log.read(TOPIC, 1, 0, 100).await.unwrap().len(), 10);
    log.close().await;
}

/// A file with holes takes room when they are filled: as much as a test likes, on any disk.
#[tokio::test]
async fn a_disk_without_room_to_open_it_is_refused_before_anything_is_touched() {
    let directory = five_frames().await;
    let path = directory.path().join("store/db");
    let (length, free) = (
        path.metadata().unwrap().len(),
        store::free_bytes(directory.path()),
    );
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    file.set_len(length + free.unwrap() + (1 << 30)).unwrap();
    let before = path.metadata().unwrap();
    let error = open(&directory).unwrap_err();
    assert_eq!(error.code(), "LOG_STORAGE_FULL");
    assert!(error.to_string().contains("to open the log"), "{error}");
    let error = survey(directory.path(), |_| Ok(())).unwrap_err();
    assert_eq!(error.code(), "LOG_STORAGE_FULL");
    assert!(error.to_string().contains("for a copy"), "{error}");
    let after = path.metadata().unwrap();
    assert_eq!(
        (after.len(), after.blocks()),
        (before.len(), before.blocks())
    );
    file.set_len(length).unwrap();
    let log = open(&directory).unwrap();
    assert_eq!(log.read(TOPIC, 1, 0, 100).await.unwrap().len(), 10);
    log.close().await;
}

#[test]
fn a_log_is_there_or_not_and_one_whose_data_is_gone_is_an_error() {
    let directory = TempDir::new().unwrap();
    assert_eq!(crate::is_log(directory.path()), Ok(false));
    assert_eq!(crate::is_log(directory.path().join("nowhere")), Ok(false));
    drop(open(&directory).unwrap());
    assert_eq!(crate::is_log(directory.path()), Ok(true));
    std::fs::remove_file(directory.path().join("store/db")).unwrap();
    assert_eq!(
        crate::is_log(directory.path()).unwrap_err().code(),
        "LOG_CORRUPT"
    );
}

/// sled never syncs what it puts into files of its own, so nothing durable may ever be there.
#[tokio::test]
async fn nothing_is_ever_stored_outside_of_the_synced_file() {
    let directory = TempDir::new().unwrap();
    let log = open(&directory).unwrap();
    for round in 0..12_u16 {
        let records = vec![
            record(&vec![7; 50_000]),
            record(&vec![8; MAX_RECORD_BYTES / 2]),
            record(b"small"),
        ];
        log.append(TOPIC, round % 2, records).await.unwrap();
        log.append(Topic::Reference, 0, vec![record(&vec![9; 60_000]); 40])
            .await
            .unwrap();
        let files = std::fs::read_dir(directory.path().join("store/blobs")).unwrap();
        assert_eq!(files.count(), 0, "after round {round}");
    }
    log.close().await;
}

/// A disk whose room and whose writes the test decides.
#[derive(Clone)]
struct Disk {
    store: Arc<Store>,
    free: Arc<AtomicU64>,
    fails: Arc<AtomicBool>,
    writes: Arc<Mutex<usize>>,
}

impl Medium for Disk {
    fn free_bytes(&self) -> std::io::Result<u64> {
        Ok(self.free.load(Ordering::SeqCst))
    }

    fn write(&self, batch: sled::Batch) -> Result<(), LogError> {
        *self.writes.lock().unwrap() += 1;
        if self.fails.load(Ordering::SeqCst) {
            let cause = "the disk is gone".into();
            return Err(LogError::Io {
                doing: "write",
                cause,
            });
        }
        self.store.persist(batch)
    }
}

fn writer_on(directory: &TempDir) -> (Writer<Disk>, Disk) {
    let (store, _) = Store::open(directory.path(), LAYOUT, 1 << 20).unwrap();
    let disk = Disk {
        store: Arc::new(store),
        free: Arc::new(AtomicU64::new(u64::MAX)),
        fails: Arc::default(),
        writes: Arc::default(),
    };
    let writer = Writer {
        medium: disk.clone(),
        heads: Arc::new(Heads::new(LAYOUT, &crate::Cut::new())),
        clock: Arc::new(ManualClock::new(1000)),
        observer: Arc::new(()),
        limits: Limits {
            frames: config().frames(),
            min_free_bytes: 1 << 20,
        },
        ends: verify(&disk.store, LAYOUT).unwrap(),
        mark: None,
        poisoned: None,
    };
    (writer, disk)
}

type Answers = Vec<oneshot::Receiver<Result<Vec<Appended>, LogError>>>;

fn group(appends: u16) -> (Vec<Request>, Answers) {
    let room = Arc::new(Semaphore::new(1000));
    let request = |number: u16| {
        let (answer, answered) = oneshot::channel();
        let request = Request {
            place: (TOPIC, number % 2),
            records: Wanted::New(vec![record(b"fact")]),
            bytes: 7,
            answer,
            _room: Arc::clone(&room).try_acquire_owned().unwrap(),
        };
        (request, answered)
    };
    (0..appends).map(request).unzip()
}

fn serve(writer: &mut Writer<Disk>, appends: u16) -> Vec<Result<Vec<Appended>, LogError>> {
    let (group, answers) = group(appends);
    writer.serve(group);
    answers
        .into_iter()
        .map(|mut answer| answer.try_recv().unwrap())
        .collect()
}

#[test]
fn what_waits_is_written_at_once_and_acknowledged_together() {
    let directory = TempDir::new().unwrap();
    let (mut writer, disk) = writer_on(&directory);
    let answers = serve(&mut writer, 100);
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(*disk.writes.lock().unwrap(), 1);
    assert_eq!(
        writer.ends[&(TOPIC, 0)],
        End {
            next: 50,
            sequence: 1,
            time_ms: 1000
        }
    );
}

#[test]
fn a_full_disk_refuses_and_goes_on_when_there_is_room_again() {
    let directory = TempDir::new().unwrap();
    let (mut writer, disk) = writer_on(&directory);
    serve(&mut writer, 2);
    disk.free.store(1 << 20, Ordering::SeqCst);
    for answer in serve(&mut writer, 3) {
        assert_eq!(answer.unwrap_err().code(), "LOG_STORAGE_FULL");
    }
    disk.free.store(1 << 21, Ordering::SeqCst);
    let answers = serve(&mut writer, 1);
    assert_eq!(answers[0].as_ref().unwrap()[0].position, at(0, 1));
    assert_eq!(*disk.writes.lock().unwrap(), 2);
}

#[test]
fn after_a_failed_write_nothing_is_taken_and_the_head_stays() {
    let directory = TempDir::new().unwrap();
    let (mut writer, disk) = writer_on(&directory);
    serve(&mut writer, 2);
    disk.fails.store(true, Ordering::SeqCst);
    for answer in serve(&mut writer, 2) {
        assert_eq!(answer.unwrap_err().code(), "LOG_IO");
    }
    disk.fails.store(false, Ordering::SeqCst);
    for answer in serve(&mut writer, 2) {
        let error = answer.unwrap_err();
        assert_eq!(error.code(), "LOG_POISONED");
        assert!(error.to_string().contains("the disk is gone"), "{error}");
    }
    assert_eq!(*disk.writes.lock().unwrap(), 2);
    assert_eq!(writer.heads.next(TOPIC, 0), 1);
    let readable = disk
        .store
        .read((TOPIC, 0), 0, writer.heads.next(TOPIC, 0), 10);
    assert_eq!(readable.unwrap().len(), 1);
}

#[derive(Debug, Default)]
struct Heard(Mutex<Vec<String>>);

impl Observer for Heard {
    fn written(&self, batch: Batch) {
        let Batch {
            appends,
            records,
            bytes,
            ..
        } = batch;
        let heard = format!("written {appends} {records} {bytes}");
        self.0.lock().unwrap().push(heard);
    }

    fn refused(&self, appends: usize, error: &LogError) {
        let heard = format!("refused {appends} {}", error.code());
        self.0.lock().unwrap().push(heard);
    }
}

#[test]
fn the_observer_hears_of_every_batch_and_of_every_refusal() {
    let directory = TempDir::new().unwrap();
    let (mut writer, disk) = writer_on(&directory);
    let heard = Arc::new(Heard::default());
    writer.observer = Arc::clone(&heard) as Arc<dyn Observer>;
    serve(&mut writer, 3);
    disk.fails.store(true, Ordering::SeqCst);
    serve(&mut writer, 2);
    serve(&mut writer, 1);
    assert_eq!(
        *heard.0.lock().unwrap(),
        [
            "written 3 3 21",
            "refused 2 LOG_IO",
            "refused 1 LOG_POISONED"
        ]
    );
}

/// Copies the files of a log.
fn copy_of(directory: &Path) -> TempDir {
    let to = TempDir::new().unwrap();
    copy_folder(directory, to.path()).unwrap();
    to
}

async fn all_records(log: &EmbeddedLog) -> Vec<Record> {
    let mut all = Vec::new();
    for (topic, partition) in LAYOUT.all() {
        all.extend(log.read(topic, partition, 0, usize::MAX).await.unwrap());
    }
    all
}

/// A closed log with small frames, large ones and several partitions, and what is in it.
async fn a_real_log() -> (TempDir, Vec<Record>) {
    let directory = TempDir::new().unwrap();
    let log = open(&directory).unwrap();
    for round in 0..40_u16 {
        let payload = vec![u8::try_from(round).unwrap(); 300 + 97 * usize::from(round)];
        log.append(TOPIC, round % 2, vec![record(&payload), record(b"b")])
            .await
            .unwrap();
        log.append(Topic::Reference, 0, vec![record(&payload[..50])])
            .await
            .unwrap();
    }
    log.append(Topic::Alerts, 0, vec![record(&vec![9; 150_000])])
        .await
        .unwrap();
    let all = all_records(&log).await;
    log.close().await;
    (directory, all)
}

/// What is given of a log, and what is told to be lost, make up all that was acknowledged; and nothing else is given.
fn accounts_for(all: &[Record], found: &[Record], lost: &[Lost]) {
    for record in found {
        assert!(
            all.contains(record),
            "never a wrong record: {:?}",
            record.position
        );
    }
    for record in all {
        let at = record.position;
        let told = lost.iter().any(|lost| {
            (lost.topic, lost.partition) == (at.topic, at.partition)
                && (lost.from..lost.until).contains(&at.offset)
        });
        assert!(
            told != found.contains(record),
            "{at} is neither given nor told to be lost, or both: {lost:?}"
        );
    }
}

fn surveyed(directory: &Path) -> Result<(Vec<Record>, Survey), LogError> {
    let mut found = Vec::new();
    let survey = survey(directory, |records| {
        found.extend(records);
        Ok(())
    })?;
    assert_eq!(survey.records, found.len() as u64);
    Ok((found, survey))
}

#[tokio::test]
async fn a_survey_of_a_whole_log_gives_all_of_it_and_changes_nothing() {
    let (directory, all) = a_real_log().await;
    let before = std::fs::read(directory.path().join("store/db")).unwrap();
    let (found, survey) = surveyed(directory.path()).unwrap();
    assert_eq!((found, survey.lost), (all, Vec::new()));
    assert_eq!(
        before,
        std::fs::read(directory.path().join("store/db")).unwrap()
    );
}

#[tokio::test]
async fn a_damaged_frame_is_named_by_a_survey_and_all_others_are_given() {
    let directory = five_frames().await;
    let log = open(&directory).unwrap();
    let all = all_records(&log).await;
    log.close().await;
    // Every byte of the frame, wherever it stands in the file.
    let path = directory.path().join("store/db");
    let mut bytes = std::fs::read(&path).unwrap();
    let frame = crate::embedded::frame::decode;
    let mut damaged = 0;
    for at in 0..bytes.len() - 4 {
        if bytes[at..].starts_with(b"QLOG") {
            let length = crate::embedded::frame::length(&bytes[at..]).unwrap_or(0);
            let Some(held) = bytes.get(at..at + length) else {
                continue;
            };
            let is_third =
                frame(&held.to_vec().into()).is_ok_and(|(header, _)| header.base == self::at(1, 4));
            if is_third {
                bytes[at + length - 1] ^= 1;
                damaged += 1;
            }
        }
    }
    assert!(damaged > 0);
    std::fs::write(&path, bytes).unwrap();
    let copy = copy_of(directory.path());
    assert_eq!(open(&copy).unwrap_err().code(), "LOG_CORRUPT");
    let (found, survey) = surveyed(directory.path()).unwrap();
    accounts_for(&all, &found, &survey.lost);
    let [lost] = &survey.lost[..] else {
        panic!("{survey:?}")
    };
    assert_eq!(
        (lost.topic, lost.partition, lost.from, lost.until),
        (TOPIC, 1, 4, 6),
        "{lost:?}"
    );
}

#[tokio::test]
async fn a_log_whose_data_is_gone_is_not_taken_for_a_new_one() {
    for emptied in [false, true] {
        let (directory, all) = a_real_log().await;
        let path = directory.path().join("store/db");
        if emptied {
            std::fs::write(&path, b"").unwrap();
        } else {
            std::fs::remove_dir_all(directory.path().join("store")).unwrap();
        }
        let error = open(&directory).unwrap_err();
        assert_eq!(error.code(), "LOG_CORRUPT");
        assert!(error.to_string().contains("qipp log check"), "{error}");
        if emptied {
            let (found, survey) = surveyed(directory.path()).unwrap();
            accounts_for(&all, &found, &survey.lost);
        }
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(48))]

    /// Bytes flipped anywhere, or the end cut off, in any file: the log opens with every record as it was, or refuses; and a survey gives
    /// what is whole and names the rest. Never a wrong record, never fewer without a word.
    #[test]
    fn a_damaged_log_opens_whole_or_is_refused_and_its_survey_accounts_for_every_record(
        file in 0_usize..3,
        places in proptest::collection::vec(proptest::prelude::any::<proptest::sample::Index>(), 1..4),
        cut in proptest::prelude::any::<bool>(),
    ) {
        use std::sync::OnceLock;
        static WHOLE: OnceLock<(TempDir, Vec<Record>)> = OnceLock::new();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (whole, all) = WHOLE.get_or_init(|| runtime.block_on(a_real_log()));
        let damaged = copy_of(whole.path());
        // The data twice as often as the note of the ends.
        let path = damaged.path().join(["store/db", "store/db", "ends"][file]);
        let mut bytes = std::fs::read(&path).unwrap();
        // Where something stands, not where a segment is empty.
        let held: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at] != 0).collect();
        if cut {
            bytes.truncate(held[places[0].index(held.len())]);
        } else {
            for place in &places {
                bytes[held[place.index(held.len())]] ^= 0x21;
            }
        }
        std::fs::write(&path, &bytes).unwrap();
        let looked_at = copy_of(damaged.path());
        match open(&damaged) {
            Ok(log) => {
                let found = runtime.block_on(all_records(&log));
                runtime.block_on(log.close());
                proptest::prop_assert_eq!(&found, all);
            }
            Err(error) => proptest::prop_assert!(
                matches!(error.code(), "LOG_CORRUPT" | "LOG_IO"),
                "{}", error
            ),
        }
        match surveyed(looked_at.path()) {
            Ok((found, survey)) => accounts_for(all, &found, &survey.lost),
            Err(error) => proptest::prop_assert_eq!(error.code(), "LOG_CORRUPT"),
        }
    }
}
