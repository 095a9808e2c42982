//! The file of a back-up: the parts of an export, each with its length and checksum before it.
//!
//! ```text
//! "QIPP log export 1\n"
//! per part   4  length of the message   4  crc32 of the length and the message   message (qipp.log.v1.ExportLogResponse)
//! ```
//!
//! Numbers are big endian. Whole is what begins with `begin`, numbers its parts without gaps, and ends with an `end` that counts the records
//! that there are. Nothing may follow.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use prost::Message as _;
use qipp_api::proto::log::v1::export_log_response::Part;
use qipp_api::proto::log::v1::{ExportBegin, ExportEnd, ExportLogResponse};

const MAGIC: &[u8] = b"QIPP log export 1\n";
/// Longer than any part: a read of the log is bounded far below, one record at most 4 MiB.
const MAX_PART: usize = 64 << 20;

/// Counts parts and records, and says what is not as it should be.
#[derive(Debug, Default)]
pub(crate) struct Whole {
    parts: u64,
    records: u64,
    begin: Option<ExportBegin>,
    end: Option<ExportEnd>,
}

impl Whole {
    /// # Errors
    /// When the part is not the one that follows.
    pub(crate) fn note(&mut self, part: &ExportLogResponse) -> anyhow::Result<()> {
        if part.sequence != self.parts {
            bail!(
                "part {} is missing: part {} follows",
                self.parts,
                part.sequence
            );
        }
        if self.end.is_some() {
            bail!("something follows after the end");
        }
        self.parts += 1;
        match &part.part {
            Some(Part::Begin(begin)) if self.parts == 1 => {
                if begin.format != qipp_backup::FORMAT {
                    bail!(
                        "it has format {}, and this program reads format {}: use a newer one",
                        begin.format,
                        qipp_backup::FORMAT
                    );
                }
                self.begin = Some(begin.clone());
            }
            Some(Part::Batch(batch)) if self.parts > 1 => {
                self.records += batch.records.len() as u64
            }
            Some(Part::End(end)) if self.parts > 1 => {
                if end.records != self.records {
                    bail!(
                        "it says that it has {} records, and has {}",
                        end.records,
                        self.records
                    );
                }
                self.end = Some(end.clone());
            }
            _ => bail!("part {} is not what belongs there", part.sequence),
        }
        Ok(())
    }

    /// # Errors
    /// When something is missing at the end.
    pub(crate) fn finished(self) -> anyhow::Result<Summary> {
        match (self.begin, self.end) {
            (Some(begin), Some(end)) => Ok(Summary { begin, end }),
            _ => bail!(
                "it ends early, after {} parts and {} records",
                self.parts,
                self.records
            ),
        }
    }
}

/// What a whole export says of itself.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Summary {
    pub(crate) begin: ExportBegin,
    pub(crate) end: ExportEnd,
}

/// Writes a back-up beside its name, and gives it its name when it is whole and durable.
#[derive(Debug)]
pub(crate) struct Writing {
    file: BufWriter<File>,
    partial: PathBuf,
    target: PathBuf,
    whole: Whole,
}

impl Writing {
    /// # Errors
    /// When there is a file of that name already, or none can be made.
    pub(crate) fn begin(target: &Path) -> anyhow::Result<Self> {
        if target.exists() {
            bail!(
                "{} is there already: name another file, or remove it first",
                target.display()
            );
        }
        let mut name = target.as_os_str().to_owned();
        name.push(".partial");
        let partial = PathBuf::from(name);
        let file =
            File::create(&partial).with_context(|| format!("can't write {}", partial.display()))?;
        let mut file = BufWriter::new(file);
        file.write_all(MAGIC)?;
        Ok(Self {
            file,
            partial,
            target: target.to_owned(),
            whole: Whole::default(),
        })
    }

    /// # Errors
    /// When it can't be written, or does not belong there.
    pub(crate) fn add(&mut self, part: &ExportLogResponse) -> anyhow::Result<()> {
        self.whole.note(part)?;
        let message = part.encode_to_vec();
        let length = u32::try_from(message.len()).context("a part is longer than any may be")?;
        self.file.write_all(&length.to_be_bytes())?;
        self.file
            .write_all(&checksum(length, &message).to_be_bytes())?;
        Ok(self.file.write_all(&message)?)
    }

    /// Makes it durable, and gives it its name.
    ///
    /// # Errors
    /// When it is not whole, or can't be written.
    pub(crate) fn finish(mut self) -> anyhow::Result<Summary> {
        let summary = std::mem::take(&mut self.whole).finished()?;
        self.file.flush()?;
        self.file.get_ref().sync_all()?;
        std::fs::rename(&self.partial, &self.target)?;
        let folder = match self.target.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        File::open(folder)?.sync_all()?;
        Ok(summary)
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        // Once it has its name there is nothing to remove.
        let _ = std::fs::remove_file(&self.partial);
    }
}

fn checksum(length: u32, message: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&length.to_be_bytes());
    crc.update(message);
    crc.finalize()
}

/// Reads a back-up from its beginning to its end. `each` hears of every part, and only of parts whose checksum holds.
///
/// # Errors
/// When it can't be read, is damaged, or is not whole: what, and at which byte.
pub(crate) fn read(
    path: &Path,
    mut each: impl FnMut(ExportLogResponse) -> anyhow::Result<()>,
) -> anyhow::Result<Summary> {
    let file = File::open(path).with_context(|| format!("can't read {}", path.display()))?;
    let mut file = BufReader::with_capacity(1 << 20, file);
    let mut magic = vec![0; MAGIC.len()];
    if file.read_exact(&mut magic).is_err() || magic != MAGIC {
        bail!("{} is no back-up of `qipp backup`", path.display());
    }
    let mut whole = Whole::default();
    let mut at = MAGIC.len() as u64;
    loop {
        let part = match part(&mut file) {
            Ok(Some(part)) => part,
            Ok(None) => break,
            Err(error) => bail!(
                "{} is damaged at byte {at}: {error:#}; use another back-up",
                path.display()
            ),
        };
        let (length, part) = part;
        let noted = whole.note(&part);
        noted.with_context(|| {
            format!(
                "{} is damaged at byte {at}; use another back-up",
                path.display()
            )
        })?;
        each(part)?;
        at += 8 + length as u64;
    }
    whole
        .finished()
        .with_context(|| format!("{} is not whole; use another back-up", path.display()))
}

/// The next part with its length; nothing at the end of the file.
fn part(file: &mut impl std::io::Read) -> anyhow::Result<Option<(usize, ExportLogResponse)>> {
    let mut head = [0; 8];
    let mut held = 0;
    while held < head.len() {
        match file.read(&mut head[held..])? {
            0 if held == 0 => return Ok(None),
            0 => bail!("it ends in the middle of a part"),
            some => held += some,
        }
    }
    let [l0, l1, l2, l3, c0, c1, c2, c3] = head;
    let length = u32::from_be_bytes([l0, l1, l2, l3]);
    if length as usize > MAX_PART {
        bail!("a part says that it is longer than any may be");
    }
    let mut message = vec![0; length as usize];
    file.read_exact(&mut message)
        .context("it ends in the middle of a part")?;
    if checksum(length, &message) != u32::from_be_bytes([c0, c1, c2, c3]) {
        bail!("a checksum does not hold");
    }
    let part = ExportLogResponse::decode(message.as_slice())?;
    Ok(Some((message.len(), part)))
}

#[cfg(test)]
mod tests {
    use qipp_api::proto::log::v1::{ExportBatch, ExportedRecord};

    use super::*;

    fn parts() -> Vec<ExportLogResponse> {
        let begin = ExportBegin {
            format: 1,
            returns_partitions: 8,
            alerts_partitions: 8,
            ..ExportBegin::default()
        };
        let record = |offset| ExportedRecord {
            offset,
            time_ms: 7,
            key: b"RJ1".to_vec().into(),
            payload: vec![1, 2, 3].into(),
        };
        let batch = ExportBatch {
            topic: "qipp.returns.v1".to_owned(),
            partition: 4,
            records: vec![record(0), record(1)],
        };
        let end = ExportEnd {
            records: 2,
            lost: Vec::new(),
        };
        let all = [Part::Begin(begin), Part::Batch(batch), Part::End(end)];
        (0..)
            .zip(all)
            .map(|(sequence, part)| ExportLogResponse {
                sequence,
                part: Some(part),
            })
            .collect()
    }

    fn written(folder: &Path) -> PathBuf {
        let path = folder.join("log.export");
        let mut writing = Writing::begin(&path).unwrap();
        for part in parts() {
            writing.add(&part).unwrap();
        }
        writing.finish().unwrap();
        path
    }

    fn folder(name: &str) -> PathBuf {
        let folder =
            std::env::temp_dir().join(format!("qipp-backup-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn what_was_written_is_read_and_nothing_else_is_left() {
        let folder = folder("whole");
        let path = written(&folder);
        let mut found = Vec::new();
        let summary = read(&path, |part| {
            found.push(part);
            Ok(())
        });
        assert_eq!((found, summary.unwrap().end.records), (parts(), 2));
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
        assert!(
            Writing::begin(&path)
                .unwrap_err()
                .to_string()
                .contains("already")
        );
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn no_byte_can_be_changed_and_no_end_cut_off_without_being_noticed() {
        let folder = folder("damaged");
        let path = written(&folder);
        let whole = std::fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x10;
            std::fs::write(&path, &damaged).unwrap();
            assert!(read(&path, |_| Ok(())).is_err(), "byte {at}");
            std::fs::write(&path, &whole[..at]).unwrap();
            assert!(read(&path, |_| Ok(())).is_err(), "cut at {at}");
        }
        let mut more = whole;
        more.push(0);
        std::fs::write(&path, &more).unwrap();
        assert!(read(&path, |_| Ok(())).is_err());
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_back_up_that_was_broken_off_leaves_nothing() {
        let folder = folder("broken");
        let path = folder.join("log.export");
        let mut writing = Writing::begin(&path).unwrap();
        writing.add(&parts()[0]).unwrap();
        assert!(
            writing
                .add(&parts()[2])
                .unwrap_err()
                .to_string()
                .contains("missing")
        );
        assert!(writing.finish().is_err());
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
