//! The published files of the checkout.

use std::io::Read as _;
use std::path::Path;

/// The content of a file of `data/`, unpacked when it is gzipped.
#[must_use]
pub fn read(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../data")
        .join(name);
    let raw = std::fs::read(&path).unwrap();
    if !name.ends_with(".gz") {
        return raw;
    }
    let mut text = Vec::new();
    flate2::read::GzDecoder::new(raw.as_slice())
        .read_to_end(&mut text)
        .unwrap();
    text
}
