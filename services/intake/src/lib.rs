//! Intake: receives returns and schemes, validates them, appends them, and answers with what the log decided.
//!
//! It never changes a figure, never reads another service, and holds no state but the fold of the log. Entry point: [`build`].

mod judge;
mod schemes;
mod submit;

use qipp_api::proto::intake::v1 as wire;
use qipp_api::proto::intake::v1::intake_service_server::{IntakeService, IntakeServiceServer};
use qipp_serving::{Caller, Deps};
use tonic::{Request, Response, Status, Streaming};

/// Limits of the service.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Largest message, bytes. A return of 20,000 observations is about 1 MiB.
    pub max_message_bytes: usize,
    /// Returns of one stream that may wait for their answers at the same time; more and the stream is no longer read.
    pub max_in_flight: usize,
    /// Most value-level changes listed in an answer.
    pub max_changes: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_message_bytes: 4 << 20,
            max_in_flight: 256,
            max_changes: 1_000,
        }
    }
}

/// Builds the service.
#[must_use]
pub fn build(config: Config, deps: Deps) -> IntakeServiceServer<Intake> {
    IntakeServiceServer::new(Intake { config, deps })
        .max_decoding_message_size(config.max_message_bytes)
}

/// The service.
#[derive(Clone, Debug)]
pub struct Intake {
    config: Config,
    deps: Deps,
}

#[tonic::async_trait]
impl IntakeService for Intake {
    type SubmitReturnsStream = submit::Answers;

    async fn submit_return(
        &self,
        request: Request<wire::SubmitReturnRequest>,
    ) -> Result<Response<wire::SubmitReturnResponse>, Status> {
        let caller = Caller::of(&request)?;
        let wire::SubmitReturnRequest {
            r#return,
            validate_only,
        } = request.into_inner();
        let receipt = self
            .counted(&caller, r#return.as_ref(), validate_only)
            .await;
        let receipt = receipt.map_err(|error| caller.status(error))?;
        Ok(Response::new(wire::SubmitReturnResponse {
            receipt: Some(receipt),
        }))
    }

    async fn submit_returns(
        &self,
        request: Request<Streaming<wire::SubmitReturnsRequest>>,
    ) -> Result<Response<Self::SubmitReturnsStream>, Status> {
        let caller = Caller::of(&request)?;
        Ok(Response::new(
            self.clone().submit_stream(caller, request.into_inner()),
        ))
    }

    async fn submit_scheme(
        &self,
        request: Request<wire::SubmitSchemeRequest>,
    ) -> Result<Response<wire::SubmitSchemeResponse>, Status> {
        let caller = Caller::of(&request)?;
        let wire::SubmitSchemeRequest {
            scheme,
            validate_only,
        } = request.into_inner();
        let receipt = self.register(&caller, scheme.as_ref(), validate_only).await;
        let receipt = receipt.map_err(|error| {
            self.deps.metrics.rejected(&error);
            caller.status(error)
        })?;
        Ok(Response::new(wire::SubmitSchemeResponse {
            receipt: Some(receipt),
        }))
    }
}
