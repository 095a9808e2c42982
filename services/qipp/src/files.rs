//! Files that a person names: plain or gzipped, in one of the formats of `qipp_api::files`.

use std::io::Read as _;
use std::path::Path;

use clap::ValueEnum;
use prost::Message;
use qipp_api::error::{self, ApiError};
use qipp_api::files::{self, Sheet};
use qipp_api::json::from_json_text;
use qipp_domain::validate::Problem;
use qipp_gateway::CsvIntake;

use crate::exit::{Failure, REFUSED, USAGE};

/// A format of returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReturnsFormat {
    /// Quality markers, one figure a row: org_code, period, marker, breakdown, numerator, denominator, missing, …
    Quality,
    /// Savings, one scheme a row: org_code, period, scheme_id, plan_pence, actual_pence, actual_ytd_pence, …
    Savings,
    /// Published referral-to-treatment tables, any year's.
    Rtt,
    /// Published weekly A&E figures.
    AeWeekly,
}

/// Largest file after unpacking, bytes; the formats refuse larger ones anyway.
const MAX_UNPACKED: u64 = 64 << 20;

/// The content of a file, unpacked when it is gzipped.
///
/// # Errors
/// When it can't be read.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let raw = std::fs::read(path)
        .map_err(|error| Failure::new(USAGE, format!("can't read {}: {error}", path.display())))?;
    if !raw.starts_with(&[0x1f, 0x8b]) {
        return Ok(raw);
    }
    let mut bytes = Vec::new();
    let mut unpacked = flate2::read::GzDecoder::new(raw.as_slice()).take(MAX_UNPACKED + 1);
    unpacked.read_to_end(&mut bytes).map_err(|error| {
        Failure::new(
            REFUSED,
            format!("{} is not a whole gzip file: {error}", path.display()),
        )
    })?;
    Ok(bytes)
}

/// The name of a file, as the source that returns state.
pub(crate) fn source(path: &Path) -> String {
    path.file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
}

/// The returns of a file, or what could be read of them and all faults.
pub(crate) fn sheet(format: ReturnsFormat, bytes: &[u8], source: &str) -> Sheet {
    match format {
        ReturnsFormat::Quality => files::quality_sheet(bytes),
        ReturnsFormat::Savings => files::savings_sheet(bytes),
        ReturnsFormat::Rtt => files::rtt_sheet(bytes, source),
        ReturnsFormat::AeWeekly => files::ae_weekly_sheet(bytes, source),
    }
}

/// The messages of a file of JSON, one in a line; empty lines are passed over. `message` is the full name in the contract.
///
/// # Errors
/// All faults of the file, each with its line.
pub(crate) fn json_lines<M: Message + Default>(
    path: &Path,
    message: &str,
) -> Result<Vec<M>, Failure> {
    let bytes = read(path)?;
    let (mut messages, mut faults) = (Vec::new(), Vec::new());
    for (number, line) in (1_u32..).zip(bytes.split(|byte| *byte == b'\n')) {
        if line.trim_ascii().is_empty() {
            continue;
        }
        match from_json_text(message, line) {
            Ok(bytes) => messages.push(M::decode(bytes)?),
            Err(wrong) => faults.extend(ApiError::from(wrong).problems.into_iter().map(|p| {
                format!(
                    "  {} in line {number}, {}: {}",
                    p.code, p.field, p.description
                )
            })),
        }
    }
    if faults.is_empty() && !messages.is_empty() {
        return Ok(messages);
    }
    if faults.is_empty() {
        faults.push("  there is nothing in it: write one JSON object a line".to_owned());
    }
    Err(refused(path, &faults))
}

/// All faults of a file as one failure.
pub(crate) fn faults<P: Into<error::Problem>>(
    path: &Path,
    problems: impl IntoIterator<Item = P>,
) -> Failure {
    let lines: Vec<String> = problems
        .into_iter()
        .map(Into::into)
        .map(|p| format!("  {} at {}: {}", p.code, p.field, p.description))
        .collect();
    refused(path, &lines)
}

fn refused(path: &Path, lines: &[String]) -> Failure {
    let what = format!(
        "{} was refused, and nothing of it was written:\n{}",
        path.display(),
        lines.join("\n")
    );
    Failure::new(REFUSED, what)
}

/// The formats behind `POST /v1/returns:csv`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReturnsAsCsv;

impl CsvIntake for ReturnsAsCsv {
    fn parse(&self, format: &str, text: &[u8]) -> Sheet {
        let known =
            ReturnsFormat::from_str(if format.is_empty() { "quality" } else { format }, true);
        if let Ok(format) = known {
            return sheet(format, text, "upload");
        }
        let names: Vec<String> = ReturnsFormat::value_variants()
            .iter()
            .filter_map(|variant| {
                variant
                    .to_possible_value()
                    .map(|value| value.get_name().to_owned())
            })
            .collect();
        let format: String = format.chars().take(40).collect();
        let what = format!(
            "`{format}` is not a format: use one of {}",
            names.join(", ")
        );
        Sheet::refused(Problem::new("FORMAT_UNKNOWN", "format", what))
    }
}
