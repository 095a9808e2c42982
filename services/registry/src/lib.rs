//! Registry: owns the reference data. Organisations, trees, communities, markers, calendars and rule sets, as facts with validity.
//!
//! It never deletes: a code is closed, a definition gets a new version, an edge ends on a day. Entry point: [`build`].

mod read;
mod record;

use std::sync::Arc;

use qipp_api::proto::registry::v1 as wire;
use qipp_api::proto::registry::v1::registry_service_server::{
    RegistryService, RegistryServiceServer,
};
use qipp_serving::{Deps, answer};
use tokio::sync::Mutex;
use tonic::{Request, Response, Status};

/// Limits of the service.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Largest message, bytes.
    pub max_message_bytes: usize,
    /// Most facts of one call.
    pub max_facts: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_message_bytes: 4 << 20,
            max_facts: 1_000,
        }
    }
}

/// Builds the service.
#[must_use]
pub fn build(config: Config, deps: Deps) -> RegistryServiceServer<Registry> {
    let registry = Registry {
        config,
        deps,
        recording: Arc::default(),
    };
    RegistryServiceServer::new(registry).max_decoding_message_size(config.max_message_bytes)
}

/// The service.
#[derive(Clone, Debug)]
pub struct Registry {
    config: Config,
    deps: Deps,
    /// Facts are checked against those before them, so that calls that record take turns. Reads never wait for it.
    recording: Arc<Mutex<()>>,
}

#[tonic::async_trait]
impl RegistryService for Registry {
    async fn record_facts(
        &self,
        request: Request<wire::RecordFactsRequest>,
    ) -> Result<Response<wire::RecordFactsResponse>, Status> {
        answer!(self, request, record)
    }

    async fn get_organisation(
        &self,
        request: Request<wire::GetOrganisationRequest>,
    ) -> Result<Response<wire::GetOrganisationResponse>, Status> {
        answer!(self, request, organisation)
    }

    async fn list_organisations(
        &self,
        request: Request<wire::ListOrganisationsRequest>,
    ) -> Result<Response<wire::ListOrganisationsResponse>, Status> {
        answer!(self, request, organisations)
    }

    async fn list_trees(
        &self,
        request: Request<wire::ListTreesRequest>,
    ) -> Result<Response<wire::ListTreesResponse>, Status> {
        answer!(self, request, trees)
    }

    async fn list_tree_nodes(
        &self,
        request: Request<wire::ListTreeNodesRequest>,
    ) -> Result<Response<wire::ListTreeNodesResponse>, Status> {
        answer!(self, request, tree_nodes)
    }

    async fn list_markers(
        &self,
        request: Request<wire::ListMarkersRequest>,
    ) -> Result<Response<wire::ListMarkersResponse>, Status> {
        answer!(self, request, markers)
    }

    async fn list_communities(
        &self,
        request: Request<wire::ListCommunitiesRequest>,
    ) -> Result<Response<wire::ListCommunitiesResponse>, Status> {
        answer!(self, request, communities)
    }

    async fn list_deadlines(
        &self,
        request: Request<wire::ListDeadlinesRequest>,
    ) -> Result<Response<wire::ListDeadlinesResponse>, Status> {
        answer!(self, request, deadlines)
    }
}
