//! Returns as CSV: parsed as a whole, then submitted one by one.
//!
//! A file with a fault is refused with all its faults and nothing of it is submitted. Otherwise each return stands for itself, and the answer says
//! what became of it. After a broken connection the same file is sent again: repeats are harmless. Never parses CSV: [`CsvIntake`] does.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::Request;
use axum::response::Response;
use bytes::Bytes;
use futures::StreamExt as _;
use http::{HeaderMap, StatusCode, Uri};
use qipp_api::error::{self, ApiError};
use qipp_api::proto::events::v1::{Cut, Position, Return};
use qipp_api::proto::intake::v1::intake_service_client::IntakeServiceClient;
use qipp_api::proto::intake::v1::submit_returns_response::Result as Outcome;
use qipp_api::proto::intake::v1::{
    Decision, Problem, Receipt, SubmitReturnsRequest, SubmitReturnsResponse,
};
use serde_json::{Value, json};
use tonic::Status;

use crate::Gateway;
use crate::answer::{Failure, json_response};
use crate::backend::within;
use crate::context::{grpc_request, request_id, timeout};
use crate::unary::{expect_content_type, query_of, read_body};

/// Reads returns from CSV.
pub trait CsvIntake: Send + Sync {
    /// The returns of a file. `format` is what the sender named in `?format=`, or empty. May take its time: it is called where that
    /// holds up nobody.
    ///
    /// # Errors
    /// All faults of the file, each with a pointer to its row and column.
    fn parse(&self, format: &str, text: &[u8]) -> Result<Vec<Return>, Vec<Problem>>;
}

/// Answers an upload.
pub(crate) async fn upload(gateway: Arc<Gateway>, request: Request) -> Response {
    let id = request_id(request.headers()).to_owned();
    match try_upload(&gateway, request).await {
        Ok(summary) => json_response(StatusCode::OK, summary.to_string()),
        Err(failure) => failure.into_response(&id),
    }
}

async fn try_upload(gateway: &Gateway, request: Request) -> Result<Value, Failure> {
    let (parts, body) = request.into_parts();
    let options = Options::of(&parts.uri)?;
    expect_content_type(&parts.headers, "csv")?;
    let timeout = timeout(&parts.headers, &gateway.config, gateway.config.max_timeout)?;
    let text = read_body(&parts.headers, body, gateway.config.max_upload_bytes).await?;
    let returns = parse(gateway, options.format, text).await?;
    submit(
        gateway,
        &parts.headers,
        returns,
        options.validate_only,
        timeout,
    )
    .await
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
        for (name, text) in query_of(uri)? {
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

async fn parse(gateway: &Gateway, format: String, text: Bytes) -> Result<Vec<Return>, Failure> {
    let Some(parser) = gateway.config.csv.clone() else {
        return Err(ApiError::new(
            error::Code::Unimplemented,
            "CSV_NOT_SERVED",
            "this service does not read CSV: send JSON to /v1/returns",
        )
        .into());
    };
    let parsed = tokio::task::spawn_blocking(move || parser.parse(&format, &text)).await;
    let parsed = parsed.map_err(|error| {
        tracing::error!(%error, "the CSV parser failed");
        Failure::from(ApiError::internal())
    })?;
    parsed.map_err(|problems| {
        let problem = |p: Problem| error::Problem {
            code: p.code.into(),
            field: p.field,
            description: p.description,
        };
        let invalid = ApiError::invalid(problems.into_iter().map(problem));
        let message = format!("nothing of the file was submitted: {}", invalid.message);
        ApiError {
            reason: "INVALID_CSV".into(),
            message,
            ..invalid
        }
        .into()
    })
}

async fn submit(
    gateway: &Gateway,
    headers: &HeaderMap,
    returns: Vec<Return>,
    validate_only: bool,
    timeout: std::time::Duration,
) -> Result<Value, Failure> {
    let about: Vec<(String, String)> = returns
        .iter()
        .map(|r| (r.org_code.clone(), r.period.clone()))
        .collect();
    let message = move |(sequence, r)| SubmitReturnsRequest {
        sequence,
        r#return: Some(r),
        validate_only,
    };
    let mut request = grpc_request(
        headers,
        futures::stream::iter((0..).zip(returns).map(message)),
    );
    request.set_timeout(timeout);
    let client = IntakeServiceClient::new(gateway.backend.service());
    let mut client = client.max_decoding_message_size(gateway.backend.max_answer_bytes());

    let mut summary = Summary::default();
    let call = async {
        let mut answers = client.submit_returns(request).await?.into_inner();
        while let Some(answer) = answers.next().await {
            summary.add(answer?, &about)?;
        }
        if summary.answered == about.len() {
            Ok(())
        } else {
            Err(Status::unavailable("the service ended the stream early"))
        }
    };
    let ended = within(timeout, call).await;
    ended.map_err(|status| interrupted(&status, summary.answered, about.len()))?;
    Ok(summary.json())
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
    accepted: u64,
    repeats: u64,
    conflicts: Vec<Value>,
    rejected: Vec<Value>,
    cut: BTreeMap<(String, u32), u64>,
}

impl Summary {
    fn add(
        &mut self,
        answer: SubmitReturnsResponse,
        about: &[(String, String)],
    ) -> Result<(), Status> {
        let index = usize::try_from(answer.sequence)
            .ok()
            .filter(|index| *index < about.len());
        let (org, period) = index
            .map(|index| &about[index])
            .ok_or_else(|| Status::internal("an answer to no return of the file"))?;
        self.answered += 1;
        match answer.result {
            Some(Outcome::Receipt(receipt)) => self.add_receipt(&receipt, org, period),
            Some(Outcome::Rejection(rejection)) => {
                let problem = |p: Problem| json!({"code": p.code, "field": p.field, "description": p.description});
                let problems: Vec<Value> = rejection.problems.into_iter().map(problem).collect();
                self.rejected
                    .push(json!({"org": org, "period": period, "problems": problems}));
            }
            None => return Err(Status::internal("an answer without a result")),
        }
        Ok(())
    }

    fn add_receipt(&mut self, receipt: &Receipt, org: &str, period: &str) {
        let decision = receipt.decision();
        match decision {
            Decision::Accepted => self.accepted += 1,
            Decision::Repeat => self.repeats += 1,
            Decision::Conflict | Decision::KeyReused | Decision::Unspecified => self.conflicts.push(json!({
                "org": org, "period": period, "decision": decision.as_str_name(), "revision": receipt.revision,
            })),
        }
        for position in receipt.cut.iter().flat_map(|cut| &cut.next) {
            let reached = self
                .cut
                .entry((position.topic.clone(), position.partition))
                .or_default();
            *reached = position.offset.max(*reached);
        }
    }

    /// The cut includes all that was accepted, in the short form that `min_cut` takes.
    fn json(self) -> Value {
        let position = |((topic, partition), offset)| Position {
            topic,
            partition,
            offset,
        };
        let cut = Cut {
            next: self.cut.into_iter().map(position).collect(),
        };
        json!({
            "accepted": self.accepted, "repeats": self.repeats, "conflicts": self.conflicts, "rejected": self.rejected,
            "minCut": crate::cut_text::encode(&cut),
        })
    }
}
