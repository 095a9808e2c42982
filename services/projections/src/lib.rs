//! Projections: what the log says, asked in many ways.
//!
//! It never writes, and every answer names the cut that it was given at. Entry points: [`build`] where the log is folded, all of it or a share
//! (`share.rs`), and [`scatter()`] where the shares are asked (`scatter.rs`) and what they say is added up (`merge.rs`).

mod merge;
mod revisions;
mod roll_ups;
mod savings;
mod scatter;
mod series;
mod share;
mod status;

use qipp_api::proto::projections::v1 as wire;
use qipp_api::proto::projections::v1::projections_service_server::{
    ProjectionsService, ProjectionsServiceServer,
};
use qipp_serving::{Caller, Deps, answer};
use tonic::{Request, Response, Status};

pub use scatter::{Replica, Scatter, Shards, scatter};

/// Limits of the service.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Largest request, bytes.
    pub max_message_bytes: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_message_bytes: 256 << 10,
        }
    }
}

/// Builds the service.
#[must_use]
pub fn build(config: Config, deps: Deps) -> ProjectionsServiceServer<Projections> {
    ProjectionsServiceServer::new(Projections { deps })
        .max_decoding_message_size(config.max_message_bytes)
}

/// The service.
#[derive(Clone, Debug)]
pub struct Projections {
    deps: Deps,
}

impl Projections {
    /// # Errors
    /// FAILED_PRECONDITION when another shard was meant.
    fn asked_rightly<T>(&self, request: &Request<T>) -> Result<(), Status> {
        let checked = share::check_asked(request.metadata(), self.deps.follower.share());
        checked.or_else(|error| Err(Caller::of(request)?.status(error)))
    }
}

#[tonic::async_trait]
impl ProjectionsService for Projections {
    async fn get_series(
        &self,
        request: Request<wire::GetSeriesRequest>,
    ) -> Result<Response<wire::GetSeriesResponse>, Status> {
        self.asked_rightly(&request)?;
        answer!(self, request, series)
    }

    async fn list_revisions(
        &self,
        request: Request<wire::ListRevisionsRequest>,
    ) -> Result<Response<wire::ListRevisionsResponse>, Status> {
        self.asked_rightly(&request)?;
        answer!(self, request, revisions)
    }

    async fn get_savings_position(
        &self,
        request: Request<wire::GetSavingsPositionRequest>,
    ) -> Result<Response<wire::GetSavingsPositionResponse>, Status> {
        self.asked_rightly(&request)?;
        answer!(self, request, savings_position)
    }

    async fn list_schemes(
        &self,
        request: Request<wire::ListSchemesRequest>,
    ) -> Result<Response<wire::ListSchemesResponse>, Status> {
        self.asked_rightly(&request)?;
        answer!(self, request, schemes)
    }

    async fn get_completeness(
        &self,
        request: Request<wire::GetCompletenessRequest>,
    ) -> Result<Response<wire::GetCompletenessResponse>, Status> {
        self.asked_rightly(&request)?;
        answer!(self, request, completeness)
    }

    async fn list_roll_ups(
        &self,
        request: Request<wire::ListRollUpsRequest>,
    ) -> Result<Response<wire::ListRollUpsResponse>, Status> {
        self.asked_rightly(&request)?;
        answer!(self, request, roll_ups)
    }

    async fn get_status(
        &self,
        request: Request<wire::GetStatusRequest>,
    ) -> Result<Response<wire::GetStatusResponse>, Status> {
        self.asked_rightly(&request)?;
        answer!(self, request, status)
    }
}
