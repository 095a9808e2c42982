//! Returns as CSV: all of a file or nothing of it.
//!
//! A file is read, then every return of it is validated by the service as in a dry run, and only when nothing is wrong with any of them they
//! are submitted. Faults of form and faults that validation found are told together, each with its line and column. Between the two passes
//! the world can change (an organisation closes, another sender is faster): what is refused then can't take back what was accepted before,
//! and the answer is 207 with both lists. After a broken connection the same file is sent again: repeats are harmless. Never parses CSV:
//! [`CsvIntake`] does.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::Request;
use axum::response::Response;
use bytes::Bytes;
use futures::StreamExt as _;
use http::{HeaderMap, StatusCode, Uri};
use qipp_api::error::{self, ApiError, FormFaults};
use qipp_api::files::{MAX_PROBLEMS, Sheet};
use qipp_api::proto::events::v1::{Cut, Position, Return};
use qipp_api::proto::intake::v1::intake_service_client::IntakeServiceClient;
use qipp_api::proto::intake::v1::submit_returns_response::Result as Outcome;
use qipp_api::proto::intake::v1::{
    Decision, Problem, Receipt, SubmitReturnsRequest, SubmitReturnsResponse,
};
use serde_json::{Value, json};
use tokio::time::Instant;
use tonic::Status;

use crate::Gateway;
use crate::answer::{Failure, json_response};
use crate::backend::within;
use crate::context::{grpc_request, request_id, timeout};
use crate::unary::{expect_content_type, query_of, read_body};

/// Reads returns from CSV.
pub trait CsvIntake: Send + Sync {
    /// The returns of a file, or what could be read of them and all faults. `format` is what the sender named in `?format=`, or empty.
    /// May take its time: it is called where that holds up nobody.
    fn parse(&self, format: &str, text: &[u8]) -> Sheet;
}

/// Answers an upload.
pub(crate) async fn upload(gateway: Arc<Gateway>, request: Request) -> Response {
    let id = request_id(request.headers()).to_owned();
    match try_upload(&gateway, request).await {
        Ok((status, summary)) => json_response(status, summary.to_string()),
        Err(failure) => failure.into_response(&id),
    }
}

async fn try_upload(gateway: &Gateway, request: Request) -> Result<(StatusCode, Value), Failure> {
    let (parts, body) = request.into_parts();
    let options = Options::of(&parts.uri)?;
    expect_content_type(&parts.headers, "csv")?;
    let timeout = timeout(&parts.headers, &gateway.config, gateway.config.max_timeout)?;
    let text = read_body(&parts.headers, body, gateway.config.max_upload_bytes).await?;
    let sheet = parse(gateway, options.format, text).await?;

    let ends = Instant::now() + timeout;
    let call = Pass {
        gateway,
        headers: &parts.headers,
        sheet: &sheet,
        ends,
    };
    let checked = match call.run(true).await {
        Ok(summary) => summary,
        // What the file itself says is certain, and would be so again.
        Err(_) if !sheet.problems.is_empty() => Summary::default(),
        Err(failure) => return Err(failure),
    };
    if !sheet.problems.is_empty() || !checked.refused.is_empty() {
        return Err(refused(&sheet, checked.refused));
    }
    if options.validate_only {
        return Ok((StatusCode::OK, checked.json(None)));
    }
    let summary = call.run(false).await?;
    Ok(if summary.refused.is_empty() {
        (StatusCode::OK, summary.json(None))
    } else {
        (StatusCode::MULTI_STATUS, summary.json(Some(&sheet)))
    })
}

/// A file with faults: all of them, and nothing of it is submitted. Those of form are counted here, the others were counted by the service.
fn refused(sheet: &Sheet, found: Vec<(usize, error::Problem)>) -> Failure {
    let of_form = sheet.problems.iter().map(|problem| problem.code.into());
    let counted = FormFaults(of_form.collect());
    let invalid = ApiError::invalid(sheet.all_problems(found));
    let message = format!("nothing of the file was submitted: {}", invalid.message);
    let error = ApiError {
        reason: "INVALID_CSV".into(),
        message,
        ..invalid
    };
    Failure::from(error).counting(counted)
}

struct Options {
    format: String,
    validate_only: bool,
}

impl Options {
    fn of(uri: &Uri) -> Result<Self, Failure> {
        let mut options = Self {
            format: String::new(),
            validate_only: false,
        };
        let mut seen = Vec::new();
        for (name, text) in query_of(uri)? {
            let known = name.replace("validateOnly", "validate_only");
            if seen.contains(&known) {
                let message = format!("`{name}` is stated twice: state it once");
                return Err(Failure::invalid("INVALID_PARAMETERS", message));
            }
            seen.push(known);
            match (name.as_str(), text.as_str()) {
                ("format", _) => options.format = text,
                ("validate_only" | "validateOnly", "true") => options.validate_only = true,
                ("validate_only" | "validateOnly", "false") => options.validate_only = false,
                // A misspelt dry run must not write.
                _ => {
                    let message = format!(
                        "`{name}={text}` is not understood: known are format and validate_only=true"
                    );
                    return Err(Failure::invalid("INVALID_PARAMETERS", message));
                }
            }
        }
        Ok(options)
    }
}

async fn parse(gateway: &Gateway, format: String, text: Bytes) -> Result<Sheet, Failure> {
    let Some(parser) = gateway.config.csv.clone() else {
        return Err(ApiError::new(
            error::Code::Unimplemented,
            "CSV_NOT_SERVED",
            "this service does not read CSV: send JSON to /v1/returns",
        )
        .into());
    };
    let parsed = tokio::task::spawn_blocking(move || parser.parse(&format, &text)).await;
    parsed.map_err(|error| {
        tracing::error!(%error, "the CSV parser failed");
        Failure::from(ApiError::internal())
    })
}

/// One way of the returns of a file through the service.
struct Pass<'a> {
    gateway: &'a Gateway,
    headers: &'a HeaderMap,
    sheet: &'a Sheet,
    /// When the caller stops waiting for all of it.
    ends: Instant,
}

impl Pass<'_> {
    async fn run(&self, validate_only: bool) -> Result<Summary, Failure> {
        let returns = self.sheet.returns.clone();
        let all = returns.len();
        let message = move |(sequence, r)| SubmitReturnsRequest {
            sequence,
            r#return: Some(r),
            validate_only,
        };
        let mut request = grpc_request(
            self.headers,
            futures::stream::iter((0..).zip(returns).map(message)),
        );
        let timeout = self.ends.saturating_duration_since(Instant::now());
        request.set_timeout(timeout);
        let backend = &self.gateway.backend;
        let client = IntakeServiceClient::new(backend.service());
        let mut client = client.max_decoding_message_size(backend.max_answer_bytes());

        let mut summary = Summary::default();
        let call = async {
            let mut answers = client.submit_returns(request).await?.into_inner();
            while let Some(answer) = answers.next().await {
                summary.add(answer?, &self.sheet.returns)?;
            }
            if summary.answered == all {
                Ok(())
            } else {
                Err(Status::unavailable("the service ended the stream early"))
            }
        };
        let ended = within(timeout, call).await;
        let written = if validate_only { 0 } else { summary.answered };
        ended.map_err(|status| interrupted(&status, written, all))?;
        Ok(summary)
    }
}

/// Says how far it came, because part of the file may be durable.
fn interrupted(status: &Status, answered: usize, all: usize) -> Failure {
    let failure = ApiError::from_status(status);
    if answered == 0 {
        return failure.into();
    }
    let message = format!(
        "{} ({answered} of {all} returns were answered: send the file again, repeats are harmless)",
        failure.message
    );
    ApiError { message, ..failure }.into()
}

#[derive(Default)]
struct Summary {
    answered: usize,
    /// Each with its revision.
    accepted: Vec<(usize, u32)>,
    repeats: Vec<(usize, u32)>,
    /// Every fault of a return that was not taken, as far as they are told.
    refused: Vec<(usize, error::Problem)>,
    cut: BTreeMap<(String, u32), u64>,
}

impl Summary {
    fn add(&mut self, answer: SubmitReturnsResponse, returns: &[Return]) -> Result<(), Status> {
        let index = usize::try_from(answer.sequence)
            .ok()
            .filter(|index| *index < returns.len())
            .ok_or_else(|| Status::internal("an answer to no return of the file"))?;
        self.answered += 1;
        match answer.result {
            Some(Outcome::Receipt(receipt)) => self.add_receipt(index, &receipt),
            Some(Outcome::Rejection(rejection)) => {
                let problem = |p: Problem| error::Problem {
                    code: p.code.into(),
                    field: p.field,
                    description: p.description,
                };
                // One more than are told: then the list says that there are more.
                let room = (MAX_PROBLEMS + 2).saturating_sub(self.refused.len());
                let problems = rejection.problems.into_iter().take(room).map(problem);
                self.refused
                    .extend(problems.map(|problem| (index, problem)));
            }
            None => return Err(Status::internal("an answer without a result")),
        }
        Ok(())
    }

    fn add_receipt(&mut self, index: usize, receipt: &Receipt) {
        let decision = receipt.decision();
        match decision {
            Decision::Accepted => self.accepted.push((index, receipt.revision)),
            Decision::Repeat => self.repeats.push((index, receipt.revision)),
            Decision::Conflict | Decision::KeyReused | Decision::Unspecified => {
                let name = decision.as_str_name();
                let description = format!(
                    "another return was faster: the current revision is {}, read it and send what is to replace it",
                    receipt.revision
                );
                let problem = error::Problem {
                    code: name.strip_prefix("DECISION_").unwrap_or(name).into(),
                    field: "return".to_owned(),
                    description,
                };
                self.refused.push((index, problem));
            }
        }
        for position in receipt.cut.iter().flat_map(|cut| &cut.next) {
            let reached = self
                .cut
                .entry((position.topic.clone(), position.partition))
                .or_default();
            *reached = position.offset.max(*reached);
        }
    }

    /// The cut includes all that was accepted, in the short form that `min_cut` takes. Of a file that was taken in part, `sheet` is told
    /// return by return.
    fn json(self, sheet: Option<&Sheet>) -> Value {
        let position = |((topic, partition), offset)| Position {
            topic,
            partition,
            offset,
        };
        let cut = Cut {
            next: self.cut.into_iter().map(position).collect(),
        };
        let mut json = json!({
            "accepted": self.accepted.len(), "repeats": self.repeats.len(),
            "minCut": crate::cut_text::encode(&cut),
        });
        let Some(sheet) = sheet else { return json };
        let mut taken: Vec<(usize, u32)> = [self.accepted, self.repeats].concat();
        taken.sort_unstable();
        let about = |index: usize| (&sheet.returns[index].org_code, &sheet.returns[index].period);
        let taken = taken.into_iter().map(|(index, revision)| {
            let (org, period) = about(index);
            json!({"org": org, "period": period, "revision": revision})
        });
        let refused = self.refused.into_iter().map(|(index, problem)| {
            let (org, period) = about(index);
            let problem = sheet.places[index].of(problem);
            json!({"org": org, "period": period, "code": problem.code, "field": problem.field, "description": problem.description})
        });
        json["taken"] = taken.collect();
        json["refused"] = refused.collect();
        json
    }
}
