//! The payload of a record: facts of one key, in one envelope.
//!
//! Total both ways: every fact can be written, and whatever bytes stand in a record, reading them gives facts or an error that names
//! the field. It never panics on a payload and never looks at the clock. A golden file of every version ever written is kept
//! (`tests/golden`) and must always decode.

use bytes::{Buf, Bytes};
use prost::Message;
use qipp_domain::OrgCode;
use qipp_domain::nation::{Facts, ReturnFact};
use qipp_domain::reference::ReferenceFact;
use qipp_domain::tenure::{EPOCH_KEY, Tenure};
use thiserror::Error;

use crate::convert::{alerts, reference, returns, surveillance};
use crate::parse::{Faults, Path};
use crate::proto::events::v1 as wire;
use wire::envelope::Body;

/// The version of the envelope that is written.
pub const ENVELOPE_VERSION: u32 = 1;

/// What an envelope says besides its facts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    /// An id that the cause determines. Folds ignore a repeat.
    pub cause_id: String,
    /// Name of the principal on whose behalf it was written.
    pub principal: String,
    /// Request id that the caller saw.
    pub request_id: String,
    /// Epoch of a single writer; 0: any number of writers.
    pub writer_epoch: u64,
}

/// Why a payload is not a record of ours.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// The bytes are no envelope.
    #[error("the payload is not an envelope: {0}")]
    NotAnEnvelope(#[from] prost::DecodeError),
    /// Written by a version that this program does not know.
    #[error(
        "the envelope has version {0} and this program reads version {ENVELOPE_VERSION}: run a newer program"
    )]
    UnknownVersion(u32),
    /// A field does not hold what it should.
    #[error("{field}: {what}")]
    Field {
        /// Pointer into the envelope.
        field: String,
        /// What is wrong.
        what: String,
    },
}

/// The payload of a record.
#[must_use]
pub fn encode(facts: &Facts, meta: Meta) -> Bytes {
    let body = match facts {
        Facts::Reference(facts) => Body::Reference(wire::ReferenceFacts {
            facts: facts.iter().map(reference::fact_to_proto).collect(),
        }),
        Facts::Returns(facts) => Body::Returns(wire::ReturnFacts {
            facts: facts.iter().map(returns::fact_to_proto).collect(),
        }),
        Facts::Benchmarks(values) => Body::Benchmarks(wire::BenchmarkFacts {
            facts: values.iter().map(alerts::benchmark_to_proto).collect(),
        }),
        Facts::Alerts(_, facts) => Body::Alerts(wire::AlertFacts {
            facts: facts.iter().map(alerts::fact_to_proto).collect(),
        }),
        Facts::EpochBegun(Tenure { epoch, holder }) => Body::EpochBegun(wire::EpochBegun {
            epoch: *epoch,
            holder: holder.clone(),
        }),
        Facts::Assessment(held) => Body::Assessment(surveillance::assessment_to_proto(held)),
    };
    let envelope = wire::Envelope {
        version: ENVELOPE_VERSION,
        cause_id: meta.cause_id,
        writer_epoch: meta.writer_epoch,
        principal: meta.principal,
        request_id: meta.request_id,
        body: Some(body),
    };
    envelope.encode_to_vec().into()
}

/// The key under which facts go to the log: of what they are about, by the first of them. Empty when there are none.
#[must_use]
pub fn record_key(facts: &Facts) -> String {
    match facts {
        Facts::Reference(facts) => facts.first().map(reference_key).unwrap_or_default(),
        Facts::Returns(facts) => facts
            .first()
            .map(|fact| org_of(fact).to_string())
            .unwrap_or_default(),
        Facts::Benchmarks(values) => values
            .first()
            .map(|value| value.marker.to_string())
            .unwrap_or_default(),
        Facts::Alerts(org, _) => org.to_string(),
        Facts::EpochBegun(_) => EPOCH_KEY.to_owned(),
        Facts::Assessment(held) => held.peer_group.to_string(),
    }
}

fn reference_key(fact: &ReferenceFact) -> String {
    match fact {
        ReferenceFact::Organisation(organisation) => organisation.code.to_string(),
        ReferenceFact::Closed { org, .. } => org.to_string(),
        ReferenceFact::Succeeded(succession) => succession.org.to_string(),
        ReferenceFact::Tree { tree, .. } => tree.to_string(),
        ReferenceFact::Edge(edge) => edge.child.to_string(),
        ReferenceFact::Community(community) => community.community.to_string(),
        ReferenceFact::Marker(definition) => definition.marker.to_string(),
        ReferenceFact::Deadline { dataset, .. } => dataset.name().to_owned(),
        ReferenceFact::Obligation(obligation) => obligation.org.to_string(),
        ReferenceFact::RuleSet(_) => "rule_set".to_owned(),
    }
}

fn org_of(fact: &ReturnFact) -> OrgCode {
    match fact {
        ReturnFact::Return(ret) => ret.org,
        ReturnFact::Scheme { scheme, .. } => scheme.org,
    }
}

/// The facts of a record, by its key and its payload. Of a payload that is handed in as [`Bytes`], parts are shared and not copied.
///
/// The key matters twice: facts about an alert name the alert and not the organisation, which is the key of the record; and a return
/// under another organisation's key would come by another lane than the rest of its history.
///
/// # Errors
/// [`DecodeError`], which names the field.
pub fn decode(key: &[u8], payload: impl Buf) -> Result<(Meta, Facts), DecodeError> {
    let envelope = wire::Envelope::decode(payload)?;
    if envelope.version != ENVELOPE_VERSION {
        return Err(DecodeError::UnknownVersion(envelope.version));
    }
    let wire::Envelope {
        cause_id,
        writer_epoch,
        principal,
        request_id,
        body,
        ..
    } = envelope;
    let mut faults = Faults::default();
    let facts = read_body(&mut faults, key, body);
    let facts = faults.finish(facts).map_err(|problems| {
        let first = problems.into_iter().next();
        let (field, what) = first
            .map(|problem| (problem.field, problem.description))
            .unwrap_or_default();
        DecodeError::Field { field, what }
    })?;
    Ok((
        Meta {
            cause_id,
            principal,
            request_id,
            writer_epoch,
        },
        facts,
    ))
}

fn read_body(faults: &mut Faults, key: &[u8], body: Option<Body>) -> Option<Facts> {
    let root = Path::root("");
    match faults.required(&root.at("body"), body)? {
        Body::Reference(body) => {
            let path = root.at("reference");
            faults
                .list(&path, "facts", &body.facts, reference::read_fact)
                .map(Facts::Reference)
        }
        Body::Benchmarks(body) => {
            let path = root.at("benchmarks");
            faults
                .list(&path, "facts", &body.facts, alerts::read_benchmark)
                .map(Facts::Benchmarks)
        }
        Body::Returns(body) => {
            let (path, org) = (root.at("returns"), read_key(faults, key)?);
            let read = |faults: &mut Faults, path: &Path<'_>, fact| {
                let fact = returns::read_fact(faults, path, fact)?;
                if org_of(&fact) != org {
                    faults.add(
                        path,
                        "WRONG_KEY",
                        format!("is about {} and the record is of {org}", org_of(&fact)),
                    );
                }
                Some(fact)
            };
            faults
                .list(&path, "facts", body.facts, read)
                .map(Facts::Returns)
        }
        Body::Alerts(body) => {
            let (path, org) = (root.at("alerts"), read_key(faults, key)?);
            let read = |faults: &mut Faults, path: &Path<'_>, fact| {
                alerts::read_fact(faults, path, org, fact)
            };
            faults
                .list(&path, "facts", &body.facts, read)
                .map(|facts| Facts::Alerts(org, facts))
        }
        Body::EpochBegun(body) => Some(read_beginning(faults, &root.at("epoch_begun"), body)),
        Body::Assessment(body) => {
            surveillance::read_assessment(faults, &root.at("assessment"), &body)
                .map(|held| Facts::Assessment(Box::new(held)))
        }
    }
}

fn read_beginning(faults: &mut Faults, path: &Path<'_>, body: wire::EpochBegun) -> Facts {
    let wire::EpochBegun { epoch, holder } = body;
    if epoch == 0 {
        faults.add(&path.at("epoch"), "EPOCH_INVALID", "has to be at least 1");
    }
    if holder.is_empty() {
        faults.add(&path.at("holder"), "REQUIRED", "is empty: state it");
    }
    Facts::EpochBegun(Tenure { epoch, holder })
}

fn read_key(faults: &mut Faults, key: &[u8]) -> Option<OrgCode> {
    faults.org(&Path::root("key"), &String::from_utf8_lossy(key))
}

#[cfg(test)]
mod strategies;
#[cfg(test)]
mod tests;
