//! One replica of the projection, for those who run it: folding it anew beside the one that serves, and giving its checkpoint away.
//!
//! It decides nothing: what a rebuild is stands in `crates/projection/src/rebuild.rs`. Every call is about this process. Entry point: [`build`].

mod pieces;

use std::pin::Pin;

use futures::{Stream, StreamExt};
use qipp_access::Target;
use qipp_api::cut::cut_to_proto;
use qipp_api::error::{ApiError, Code};
use qipp_api::proto::replica::v1 as wire;
use qipp_api::proto::replica::v1::replica_service_server::{ReplicaService, ReplicaServiceServer};
use qipp_projection::{Compared, Decoder, Phase, Rebuild, RebuildError};
use qipp_serving::{Caller, Deps, answer};
use tonic::{Request, Response, Status};

/// Builds the service. A rebuild reads records with `decode`.
#[must_use]
pub fn build(deps: Deps, decode: Decoder) -> ReplicaServiceServer<Replica> {
    ReplicaServiceServer::new(Replica { deps, decode })
}

/// The service.
#[derive(Clone, Debug)]
pub struct Replica {
    deps: Deps,
    decode: Decoder,
}

type Pieces = Pin<Box<dyn Stream<Item = Result<wire::FetchCheckpointResponse, Status>> + Send>>;

#[tonic::async_trait]
impl ReplicaService for Replica {
    type FetchCheckpointStream = Pieces;

    async fn start_rebuild(
        &self,
        request: Request<wire::StartRebuildRequest>,
    ) -> Result<Response<wire::StartRebuildResponse>, Status> {
        answer!(self, request, start)
    }

    async fn get_rebuild(
        &self,
        request: Request<wire::GetRebuildRequest>,
    ) -> Result<Response<wire::GetRebuildResponse>, Status> {
        answer!(self, request, get)
    }

    async fn switch_rebuild(
        &self,
        request: Request<wire::SwitchRebuildRequest>,
    ) -> Result<Response<wire::SwitchRebuildResponse>, Status> {
        answer!(self, request, switch)
    }

    async fn forget_rebuild(
        &self,
        request: Request<wire::ForgetRebuildRequest>,
    ) -> Result<Response<wire::ForgetRebuildResponse>, Status> {
        answer!(self, request, forget)
    }

    async fn fetch_checkpoint(
        &self,
        request: Request<wire::FetchCheckpointRequest>,
    ) -> Result<Response<Pieces>, Status> {
        let caller = Caller::of(&request)?;
        let allowed = self.allow(&caller);
        allowed.map_err(|error| caller.status(error))?;
        Ok(Response::new(self.checkpoint(&caller)))
    }
}

impl Replica {
    fn allow(&self, caller: &Caller) -> Result<(), ApiError> {
        let view = self.deps.follower.view();
        let reference = view.reference(&qipp_domain::KnownAt::Latest);
        caller.may(Target::Everything, &reference)
    }

    async fn start(
        &self,
        caller: &Caller,
        _: wire::StartRebuildRequest,
    ) -> Result<wire::StartRebuildResponse, ApiError> {
        self.allow(caller)?;
        let started = self.deps.follower.start_rebuild(self.decode);
        started.map_err(|error| refused(&error))?;
        Ok(wire::StartRebuildResponse {})
    }

    async fn get(
        &self,
        caller: &Caller,
        _: wire::GetRebuildRequest,
    ) -> Result<wire::GetRebuildResponse, ApiError> {
        self.allow(caller)?;
        Ok(shown(&self.deps.follower.rebuild().borrow()))
    }

    async fn switch(
        &self,
        caller: &Caller,
        request: wire::SwitchRebuildRequest,
    ) -> Result<wire::SwitchRebuildResponse, ApiError> {
        self.allow(caller)?;
        let follower = &self.deps.follower;
        let switching = async {
            match request.back {
                true => follower.back().await,
                false => follower.switch_when_ready(request.even_if_different).await,
            }
        };
        let switched = caller
            .within("REBUILD_NOT_READY", "the state beside", switching)
            .await?;
        let cut = switched.map_err(|error| refused(&error))?;
        Ok(wire::SwitchRebuildResponse {
            cut: Some(cut_to_proto(&cut)),
        })
    }

    async fn forget(
        &self,
        caller: &Caller,
        _: wire::ForgetRebuildRequest,
    ) -> Result<wire::ForgetRebuildResponse, ApiError> {
        self.allow(caller)?;
        let forgotten = self.deps.follower.forget();
        forgotten.map_err(|error| refused(&error))?;
        Ok(wire::ForgetRebuildResponse {})
    }

    fn checkpoint(&self, caller: &Caller) -> Pieces {
        let snapshot = self.deps.follower.snapshot();
        let (failing, closing) = (caller.clone(), caller.clone());
        let shutdown = self.deps.shutdown.clone();
        let pieces = pieces::of(snapshot)
            .map(move |piece| {
                let piece = piece.map_err(|error| {
                    let what = format!("the checkpoint could not be written: {error}");
                    failing.status(ApiError::new(Code::Internal, "CHECKPOINT_FAILED", what))
                })?;
                Ok(wire::FetchCheckpointResponse { piece })
            })
            .take_until(shutdown.clone().cancelled_owned());
        // One that was cut off has no end, and says why.
        let closed = futures::stream::once(async move {
            shutdown.is_cancelled().then(|| {
                let what = "the service is closing: take the checkpoint of another replica";
                Err(closing.status(ApiError::new(Code::Unavailable, "SHUTTING_DOWN", what)))
            })
        });
        Box::pin(pieces.chain(closed.filter_map(std::future::ready)))
    }
}

fn refused(error: &RebuildError) -> ApiError {
    ApiError::precondition(error.code(), error.to_string())
}

fn shown(rebuild: &Rebuild) -> wire::GetRebuildResponse {
    let (phase, why) = match &rebuild.phase {
        Phase::None => (wire::RebuildPhase::None, ""),
        Phase::CatchingUp => (wire::RebuildPhase::CatchingUp, ""),
        Phase::Ready => (wire::RebuildPhase::Ready, ""),
        Phase::Kept => (wire::RebuildPhase::Kept, ""),
        Phase::Failed(why) => (wire::RebuildPhase::Failed, why.as_str()),
    };
    wire::GetRebuildResponse {
        phase: phase.into(),
        cut: Some(cut_to_proto(&rebuild.cut)),
        records: rebuild.records,
        of_records: rebuild.of,
        compared: rebuild.compared.as_ref().map(comparison),
        switched: rebuild.switched,
        why: why.to_owned(),
    }
}

fn comparison(compared: &Compared) -> wire::Comparison {
    wire::Comparison {
        cut: Some(cut_to_proto(&compared.cut)),
        serving_digest: compared.serving.clone(),
        beside_digest: compared.beside.clone(),
        different: compared.different.clone(),
        differences: compared.count,
    }
}
