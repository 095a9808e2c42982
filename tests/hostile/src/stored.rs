//! What stands on disk: frames of the log and the envelopes in them. A stranger reaches them through a backup that is restored.

use bytes::Bytes;
use qipp_api::facts;
use qipp_eventlog::{NewRecord, stored};

use crate::messages::to_log_and_back;

/// The key of the record up to the first newline, then its payload.
pub(crate) fn envelope(data: &[u8]) {
    let (key, payload) = match data.iter().position(|b| *b == b'\n') {
        Some(end) => (&data[..end], &data[end + 1..]),
        None => (b"RA1".as_slice(), data),
    };
    let read = facts::decode(key, payload);
    assert_eq!(
        facts::decode(key, payload),
        read,
        "reading is deterministic"
    );
    match read {
        Err(error) => {
            let said = error.to_string();
            assert!(said.len() > 10 && !said.starts_with(':'), "{said}");
        }
        Ok((_, facts)) => {
            to_log_and_back(&String::from_utf8_lossy(key), &facts);
        }
    }
}

/// A frame. So that mutations get beyond the checksum, length and checksum are put right when the first byte is odd.
pub(crate) fn stored_frame(data: &[u8]) {
    let Some((&mend, data)) = data.split_first() else {
        return;
    };
    let mut frame = data.to_vec();
    if mend & 1 == 1 && frame.len() >= 45 {
        let length = u32::try_from(frame.len()).unwrap();
        frame[10..14].copy_from_slice(&length.to_be_bytes());
        let crc = crc32fast::hash(&frame[10..]);
        frame[6..10].copy_from_slice(&crc.to_be_bytes());
    }
    let frame = Bytes::from(frame);
    let read = stored::read_frame(&frame);
    assert_eq!(stored::read_frame(&frame), read, "reading is deterministic");
    match read {
        Err(what) => assert!(!what.is_empty()),
        Ok((sequence, records)) => {
            let first = records.first().expect("a frame has at least one record");
            let again: Vec<NewRecord> = records
                .iter()
                .map(|record| NewRecord {
                    key: record.key.clone(),
                    payload: record.payload.clone(),
                })
                .collect();
            let written = stored::write_frame(sequence, first.position, first.time_ms, &again);
            assert_eq!(written, frame, "a frame has one form");
        }
    }
}
