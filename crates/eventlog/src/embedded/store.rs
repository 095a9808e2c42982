//! The store under the embedded log: one directory, one lock, one tree; batches in, frames out.
//!
//! Everything that is known about sled and that the rest of the log relies on is in this file. It never decides what is
//! written, and never gives away a frame whose checksum it has not seen hold.

use crate::embedded::frame::{self, Damage, FrameBuilder, FrameHeader};
use crate::embedded::keys::{End, FORMAT, FORMAT_KEY, Format, PIECE_BYTES, PieceKey};
use crate::embedded::verify::Ends;
use crate::follow::BATCH_BYTES;
use crate::{Layout, LogError, Position, Record, Topic};
use bytes::Bytes;
use std::fs::{File, TryLockError};
use std::io;
use std::ops::RangeBounds;
use std::os::unix::fs::MetadataExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// The size of sled's log segments.
///
/// sled writes what is larger than a quarter of a segment to a file of its own, which it never syncs: such data would not
/// survive a loss of power although `flush` returned. What it writes is a page, up to 17 values, whenever a page has had ten
/// changes. So values are cut into pieces and segments are made so large that a page of full pieces stays below the
/// quarter: 17 × 64 KiB = 1.1 MiB < 2 MiB. A test watches that no such file ever appears.
pub(crate) const SEGMENT_BYTES: usize = 8 * 1024 * 1024;
const _: () = assert!(17 * (PIECE_BYTES + 64) < SEGMENT_BYTES / 4 - 1024);

/// The file that sled keeps everything in, from the directory of the log.
pub(crate) const DATA: &str = "store/db";

/// A block of a file system: a segment that lacks less is whole, because sled writes it up to its last byte but one.
const BLOCK_BYTES: u64 = 4096;

/// How much a scan reads for each visit that it pays to the page that it reads: see [`Frames::tell`].
const VISIT_BYTES: usize = 8 * 1024;

/// How long opening waits for sled to let go of a store closed a moment ago: its own threads do so in their own time.
const RELEASE_DEADLINE: Duration = Duration::from_secs(5);

/// What the writer writes to. A trait, so that tests can let the disk fill up or fail.
pub(crate) trait Medium: Send {
    /// How many bytes are free for this process.
    fn free_bytes(&self) -> io::Result<u64>;
    /// Writes the batch whole or not at all, and returns when it is durable.
    fn write(&self, batch: sled::Batch) -> Result<(), LogError>;
}

/// An open store. Whoever holds it keeps it open; when the last one lets go, the lock is released and then `released` ends.
#[derive(Debug)]
pub(crate) struct Store {
    // The order of the fields is the order of dropping.
    db: sled::Db,
    data: File,
    directory: PathBuf,
    _lock: File,
    _released: watch::Sender<()>,
}

impl Store {
    /// Opens the store in this directory, or creates it. The receiver ends when the store is closed and released.
    pub(crate) fn open(
        directory: &Path,
        layout: Layout,
        cache_bytes: u64,
    ) -> Result<(Store, watch::Receiver<()>), LogError> {
        std::fs::create_dir_all(directory).map_err(|e| failed("create its directory", &e))?;
        let lock = lock(directory)?;
        let path = directory.join("store");
        remove_unfinished_snapshots(&path).map_err(|e| failed("tidy its store", &e))?;
        refuse_if_full(directory)?;
        let db = open_sled(directory, &path, cache_bytes)?;
        let data = File::open(path.join("db")).map_err(|e| failed("open its data", &e))?;
        let (_released, released) = watch::channel(());
        let store = Store {
            db,
            data,
            directory: directory.to_owned(),
            _lock: lock,
            _released,
        };
        store.check_format(layout)?;
        Ok((store, released))
    }

    fn check_format(&self, asked: Layout) -> Result<(), LogError> {
        let Some(stored) = self
            .db
            .get(FORMAT_KEY)
            .map_err(|e| sled_failed("read", e))?
        else {
            return self.create(asked);
        };
        let damaged = || damaged("the description of its format cannot be read", None);
        let stored = Format::decode(&stored).ok_or_else(damaged)?;
        if stored.version > FORMAT {
            return Err(LogError::UnsupportedFormat {
                found: stored.version,
                supported: FORMAT,
            });
        }
        if stored.layout != asked {
            return Err(LogError::LayoutMismatch {
                stored: stored.layout,
                asked,
            });
        }
        Ok(())
    }

    fn create(&self, layout: Layout) -> Result<(), LogError> {
        if !self.db.is_empty() {
            return Err(damaged("the description of its format is missing", None));
        }
        let mut batch = sled::Batch::default();
        let version = FORMAT;
        batch.insert(&FORMAT_KEY, Format { version, layout }.encode());
        self.persist(batch)?;
        // The names of new files are durable only once their directories are.
        for directory in [&self.directory.join("store"), &self.directory] {
            let synced = File::open(directory).and_then(|directory| directory.sync_all());
            synced.map_err(|e| failed("create its directory", &e))?;
        }
        Ok(())
    }

    /// Writes the batch whole or not at all, and returns when it is durable.
    pub(crate) fn persist(&self, batch: sled::Batch) -> Result<(), LogError> {
        let written = catch_unwind(AssertUnwindSafe(|| {
            self.db.apply_batch(batch)?;
            self.db.flush()
        }));
        match written {
            Err(_) => return Err(panicked("write")),
            Ok(Err(error)) => return Err(sled_failed("write", error)),
            Ok(Ok(_)) => {}
        }
        // On Linux sled's flush is sync_file_range, which neither empties the disk's own cache nor makes the length of
        // the file durable. fdatasync does both.
        let synced = self.data.sync_data();
        synced.map_err(|e| failed("sync its data", &e))
    }

    /// The store itself, for tests that damage it.
    #[cfg(test)]
    pub(crate) fn raw(&self) -> &sled::Db {
        &self.db
    }

    /// Where the store says a partition ends.
    pub(crate) fn end(&self, topic: Topic, partition: u16) -> Result<End, LogError> {
        let stored = self.db.get(End::key(topic, partition));
        let Some(stored) = stored.map_err(|e| sled_failed("read", e))? else {
            return Ok(End::START);
        };
        let what = format!("the end of {topic}/{partition} cannot be read");
        End::decode(&stored).ok_or_else(|| damaged(what, None))
    }

    /// A key in the store that is of no known kind, or of a partition that the layout lacks. Looks only where no frames
    /// should be: what stands among the frames of a partition, [`Frames`] checks.
    pub(crate) fn stray_key(&self, layout: Layout) -> Result<Option<sled::IVec>, LogError> {
        let known = |key: &[u8]| {
            key == FORMAT_KEY
                || layout
                    .all()
                    .any(|(topic, partition)| key == End::key(topic, partition))
        };
        let mut from = vec![1];
        for key in self.db.range::<&[u8], _>(..from.as_slice()).keys() {
            let key = key.map_err(|e| sled_failed("read", e))?;
            if !known(&key) {
                return Ok(Some(key));
            }
        }
        for (topic, partition) in layout.all() {
            let frames = PieceKey::range(topic, partition, 0..=u64::MAX);
            if let Some(key) = self.first_key(from.as_slice()..frames.start().as_slice())? {
                return Ok(Some(key));
            }
            // The least key above the partition's.
            from = [frames.end().as_slice(), &[0]].concat();
        }
        self.first_key(from.as_slice()..)
    }

    fn first_key<'a>(
        &self,
        keys: impl RangeBounds<&'a [u8]>,
    ) -> Result<Option<sled::IVec>, LogError> {
        let first = self.db.range::<&[u8], _>(keys).keys().next();
        first.transpose().map_err(|e| sled_failed("read", e))
    }

    /// The frames of a partition, from the one that holds `from` (or would) on.
    pub(crate) fn frames(
        &self,
        topic: Topic,
        partition: u16,
        from: u64,
    ) -> Result<Frames, LogError> {
        let before = PieceKey::range(topic, partition, 0..=from);
        let start = match self.db.range(before).next_back() {
            None => from,
            Some(entry) => {
                let (key, _) = entry.map_err(|e| sled_failed("read", e))?;
                let key = PieceKey::decode(&key).ok_or_else(|| stray(&key))?;
                key.base.offset
            }
        };
        let range = PieceKey::range(topic, partition, start..=u64::MAX);
        Ok(Frames {
            pieces: self.db.range(range),
            tree: sled::Tree::clone(&self.db),
            untold: 0,
        })
    }

    /// Records from `from` on, below `head`, at most `max`, bounded in bytes.
    pub(crate) fn read(
        &self,
        (topic, partition): (Topic, u16),
        from: u64,
        head: u64,
        max: usize,
    ) -> Result<Vec<Record>, LogError> {
        let mut found = Vec::new();
        let mut bytes = 0;
        if from >= head || max == 0 {
            return Ok(found);
        }
        for frame in self.frames(topic, partition, from)? {
            let (_, records) = frame?;
            for record in records {
                let offset = record.position.offset;
                // What stands at or above the head was written, but is perhaps not durable yet.
                if offset >= head || found.len() == max || bytes >= BATCH_BYTES {
                    return Ok(found);
                }
                if offset >= from {
                    bytes += record.key.len() + record.payload.len();
                    found.push(record);
                }
            }
        }
        Ok(found)
    }
}

impl Medium for Arc<Store> {
    fn free_bytes(&self) -> io::Result<u64> {
        free_bytes(&self.directory)
    }

    fn write(&self, batch: sled::Batch) -> Result<(), LogError> {
        self.persist(batch)
    }
}

/// The frames of one partition, in order, each with its records.
pub(crate) struct Frames {
    pieces: sled::Iter,
    tree: sled::Tree,
    /// Bytes that were read since sled last took note.
    untold: usize,
}

impl Frames {
    fn next_piece(&mut self) -> Option<Result<(PieceKey, sled::IVec), LogError>> {
        self.pieces.next().map(|entry| {
            let (key, value) = entry.map_err(|e| sled_failed("read", e))?;
            self.tell(&key, value.len())?;
            let key = PieceKey::decode(&key).ok_or_else(|| stray(&key))?;
            Ok((key, value))
        })
    }

    /// Lets sled keep to its cache's bound. It has 256 parts of the cache, and evicts from one of them whenever that was visited 64
    /// times; a scan visits each page once, and a page of ours may hold a megabyte, so it would keep 16,384 of them: all of the log.
    /// A visit for each 8 KiB that were read keeps it to 256 × 64 × 8 KiB = 128 MiB above the bound.
    fn tell(&mut self, key: &[u8], bytes: usize) -> Result<(), LogError> {
        self.untold += bytes;
        while self.untold >= VISIT_BYTES {
            self.untold -= VISIT_BYTES;
            let visited = self.tree.contains_key(key);
            visited.map_err(|e| sled_failed("read", e))?;
        }
        Ok(())
    }

    fn read_frame(
        &mut self,
        first: PieceKey,
        start: &[u8],
    ) -> Result<(FrameHeader, Vec<Record>), LogError> {
        let here = |Damage(what)| damaged(what, Some(first.base));
        if first.piece != 0 {
            return Err(here(Damage("the first piece of a frame is missing")));
        }
        let length = frame::length(start).map_err(here)?;
        let mut bytes = Vec::with_capacity(length.max(start.len()));
        bytes.extend_from_slice(start);
        for piece in 1.. {
            if bytes.len() >= length {
                break;
            }
            let base = first.base;
            match self.next_piece().transpose()? {
                Some((key, value)) if key == (PieceKey { base, piece }) => {
                    bytes.extend_from_slice(&value)
                }
                _ => return Err(here(Damage("a piece of a frame is missing"))),
            }
        }
        let (header, records) = frame::decode(&Bytes::from(bytes)).map_err(here)?;
        if header.base != first.base {
            return Err(here(Damage("a frame stands where another belongs")));
        }
        Ok((header, records))
    }
}

impl Iterator for Frames {
    type Item = Result<(FrameHeader, Vec<Record>), LogError>;

    fn next(&mut self) -> Option<Self::Item> {
        let piece = self.next_piece()?;
        Some(piece.and_then(|(key, start)| self.read_frame(key, &start)))
    }
}

/// Removes what sled had begun to write when the process was killed while it opened the store. sled would take such a file for its newest
/// snapshot, find it cut off, and call the store damaged; the last whole snapshot stands until the new one has its name, and all that a
/// snapshot says is in the data too.
fn remove_unfinished_snapshots(store: &Path) -> io::Result<()> {
    let held = match std::fs::read_dir(store) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        held => held?,
    };
    for file in held {
        let path = file?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with("snap.") && name.ends_with(".generating") {
            tracing::info!(%name, "removing a snapshot that was not finished");
            std::fs::remove_file(&path)?;
        }
    }
    Ok(())
}

/// Adds a frame that takes no more to a batch, and notes where its partition ends with it.
pub(crate) fn seal(batch: &mut sled::Batch, ends: &mut Ends, frame: &FrameBuilder) {
    let header = frame.header();
    insert_frame(batch, header.base, &frame.encode());
    let end = End {
        next: frame.next(),
        sequence: header.sequence + 1,
        time_ms: header.time_ms,
    };
    ends.insert((header.base.topic, header.base.partition), end);
}

/// Adds where partitions end to the batch that has their frames.
pub(crate) fn insert_ends(batch: &mut sled::Batch, ends: &Ends) {
    for ((topic, partition), end) in ends {
        batch.insert(&End::key(*topic, *partition), end.encode());
    }
}

/// Adds a frame to a batch, in pieces.
fn insert_frame(batch: &mut sled::Batch, base: Position, frame: &[u8]) {
    for (index, piece) in frame.chunks(PIECE_BYTES).enumerate() {
        let piece_number = u16::try_from(index).expect("a frame has far fewer than 65536 pieces");
        let key = PieceKey {
            base,
            piece: piece_number,
        };
        batch.insert(&key.encode(), piece);
    }
}

/// Is there data of a log in this directory?
pub(crate) fn holds_data(directory: &Path) -> bool {
    std::fs::metadata(directory.join(DATA)).is_ok_and(|held| held.len() > 0)
}

/// Refuses to open a store on a disk that has no room for it, before anything is touched: sled fills its last segment up when it is opened, would
/// take what room there is, and fail in the middle.
fn refuse_if_full(directory: &Path) -> Result<(), LogError> {
    let held = match std::fs::metadata(directory.join(DATA)) {
        Ok(held) => (held.len(), held.blocks() * 512),
        Err(error) if error.kind() == io::ErrorKind::NotFound => (0, 0),
        Err(error) => return Err(failed("look at its data", &error)),
    };
    refuse_without_room(directory, room_to_open(held.0, held.1), "to open the log")
}

/// Refuses what the disk of a directory has no room for.
pub(crate) fn refuse_without_room(
    directory: &Path,
    needed: u64,
    what: &str,
) -> Result<(), LogError> {
    let free = free_bytes(directory).map_err(|e| failed("ask how much room the disk has", &e))?;
    if free >= needed {
        return Ok(());
    }
    let detail = format!("{free} bytes free, {needed} wanted {what}");
    Err(LogError::StorageFull { detail })
}

/// What opening a store takes, given the length of its data and what of that the disk has already given, bytes. Nothing where the last segment
/// is whole, so that a log on a full disk can be read.
fn room_to_open(length: u64, allocated: u64) -> u64 {
    let segment = SEGMENT_BYTES as u64;
    let whole = length.max(1).next_multiple_of(segment);
    match whole.saturating_sub(allocated) {
        0..=BLOCK_BYTES => 0,
        gap => gap,
    }
}

pub(crate) fn free_bytes(directory: &Path) -> io::Result<u64> {
    let disk = rustix::fs::statvfs(directory)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// Refuses a log whose data is gone although it was there: sled would begin a new one without a word.
pub(crate) fn refuse_if_gone(directory: &Path, was_there: bool) -> Result<(), LogError> {
    if was_there && !holds_data(directory) {
        let what = format!(
            "its file {} is missing or empty, and it held records before",
            directory.join(DATA).display()
        );
        return Err(damaged(what, None));
    }
    Ok(())
}

/// Takes the log's own lock. sled has one too, but lets go of it in its own time, and calls every failure the same.
pub(crate) fn lock(directory: &Path) -> Result<File, LogError> {
    let lock = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(directory.join("lock"));
    let lock = lock.map_err(|e| failed("create its lock", &e))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(already_open(directory)),
        Err(TryLockError::Error(error)) => Err(failed("take its lock", &error)),
    }
}

fn open_sled(directory: &Path, path: &Path, cache_bytes: u64) -> Result<sled::Db, LogError> {
    let config = sled::Config::new()
        .path(path)
        .segment_size(SEGMENT_BYTES)
        .cache_capacity(cache_bytes)
        .use_compression(false)
        // Nothing is flushed behind the writer's back: durable is what the writer made so.
        .flush_every_ms(None);
    let deadline = Instant::now() + RELEASE_DEADLINE;
    loop {
        // sled panics on some damages instead of answering.
        let opened = catch_unwind(AssertUnwindSafe(|| config.open()));
        let held = match opened
            .map_err(|_| damaged("its file store/db does not open (sled panicked)", None))?
        {
            Ok(db) => return Ok(db),
            // This is how sled reports that its lock is held.
            Err(sled::Error::Io(error)) if error.kind() == io::ErrorKind::Other => error,
            Err(error) => return Err(sled_failed("open its store", error)),
        };
        if Instant::now() >= deadline {
            tracing::warn!(cause = %held, "the store under the log stays locked");
            return Err(already_open(directory));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn already_open(directory: &Path) -> LogError {
    LogError::AlreadyOpen {
        path: directory.to_owned(),
    }
}

pub(crate) fn damaged(what: impl Into<String>, position: Option<Position>) -> LogError {
    LogError::Corrupt {
        what: what.into(),
        position,
    }
}

pub(crate) fn stray(key: &[u8]) -> LogError {
    damaged(format!("it holds a key of no known kind, {key:?}"), None)
}

fn panicked(doing: &'static str) -> LogError {
    LogError::Io {
        doing,
        cause: "sled panicked; its message is on standard error".into(),
    }
}

pub(crate) fn failed(doing: &'static str, error: &io::Error) -> LogError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => LogError::StorageFull {
            detail: error.to_string(),
        },
        _ => LogError::Io {
            doing,
            cause: error.to_string(),
        },
    }
}

fn sled_failed(doing: &'static str, error: sled::Error) -> LogError {
    match error {
        sled::Error::Io(error) => failed(doing, &error),
        sled::Error::Corruption { at, .. } => {
            let at = at.map(|at| format!(" at {at:?}")).unwrap_or_default();
            damaged(format!("its file store/db does not read{at}"), None)
        }
        other => LogError::Io {
            doing,
            cause: other.to_string(),
        },
    }
}
