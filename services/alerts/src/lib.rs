//! Alerts: evaluates the rules, appends what changed, streams it to watchers, and takes the acts of people.
//!
//! It never decides by itself what is wrong in an organisation: it asks, with the evidence. Entry point: [`build`], which gives the
//! service and the [`Evaluator`] to run beside it.

mod act;
mod background;
mod evaluator;
mod list;
mod tenure;
#[cfg(test)]
mod tests;
mod watch;

use std::time::Duration;

use qipp_api::proto::alerts::v1 as wire;
use qipp_api::proto::alerts::v1::alerts_service_server::{AlertsService, AlertsServiceServer};
use qipp_domain::Cut;
use qipp_serving::{Caller, Deps, answer};
use tokio::sync::watch as channel;
use tonic::{Request, Response, Status};

pub use evaluator::{Evaluator, EvaluatorStanding, Turn};

/// Limits and choices of the service.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Largest request, bytes.
    pub max_message_bytes: usize,
    /// How long events may wait for a watcher that takes none before its stream is ended.
    pub watcher_patience: Duration,
    /// Share of the expected organisations that have to have returned a marker before its national value is published, 0 to 1.
    pub quorum: f64,
    /// National values are looked at again when no return has come for this long.
    pub settle: Duration,
    /// While returns do not stop coming, the national values rest for so many times as long as the last look at them took: what is
    /// computed of the whole nation then takes a small share of the machine.
    pub rests: u32,
    /// An evaluator that was superseded, and is chosen all the same, tries again after this long: until then one of the two has learned that
    /// it is not chosen.
    pub superseded_patience: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_message_bytes: 256 << 10,
            watcher_patience: Duration::from_secs(60),
            quorum: qipp_rules::national::QUORUM,
            settle: Duration::from_millis(100),
            rests: 10,
            superseded_patience: Duration::from_secs(5),
        }
    }
}

/// What answers the calls.
pub type Service = AlertsServiceServer<Alerts>;

/// Builds the service, and the evaluator that has to run beside it.
#[must_use]
pub fn build(config: Config, deps: Deps) -> (Service, Evaluator) {
    let (evaluator, evaluated) = Evaluator::new(config, deps.clone());
    let alerts = Alerts {
        patience: config.watcher_patience,
        deps,
        evaluated,
        standing: evaluator.standing(),
    };
    let service =
        AlertsServiceServer::new(alerts).max_decoding_message_size(config.max_message_bytes);
    (service, evaluator)
}

/// The service.
#[derive(Clone, Debug)]
pub struct Alerts {
    deps: Deps,
    patience: Duration,
    /// The cut up to which the rules have been evaluated; nothing while another process does it.
    evaluated: channel::Receiver<Cut>,
    /// Does this process evaluate?
    standing: channel::Receiver<EvaluatorStanding>,
}

#[tonic::async_trait]
impl AlertsService for Alerts {
    type WatchAlertsStream = watch::Events;

    async fn list_alerts(
        &self,
        request: Request<wire::ListAlertsRequest>,
    ) -> Result<Response<wire::ListAlertsResponse>, Status> {
        answer!(self, request, list)
    }

    async fn get_alert(
        &self,
        request: Request<wire::GetAlertRequest>,
    ) -> Result<Response<wire::GetAlertResponse>, Status> {
        answer!(self, request, get)
    }

    async fn watch_alerts(
        &self,
        request: Request<wire::WatchAlertsRequest>,
    ) -> Result<Response<Self::WatchAlertsStream>, Status> {
        let caller = Caller::of(&request)?;
        let events = self
            .watch(&caller, request.into_inner())
            .map_err(|error| caller.status(error))?;
        Ok(Response::new(events))
    }

    async fn act_on_alert(
        &self,
        request: Request<wire::ActOnAlertRequest>,
    ) -> Result<Response<wire::ActOnAlertResponse>, Status> {
        answer!(self, request, act)
    }

    async fn recompute_alert(
        &self,
        request: Request<wire::RecomputeAlertRequest>,
    ) -> Result<Response<wire::RecomputeAlertResponse>, Status> {
        answer!(self, request, recompute)
    }

    async fn list_assessments(
        &self,
        request: Request<wire::ListAssessmentsRequest>,
    ) -> Result<Response<wire::ListAssessmentsResponse>, Status> {
        answer!(self, request, assessments)
    }

    async fn list_benchmarks(
        &self,
        request: Request<wire::ListBenchmarksRequest>,
    ) -> Result<Response<wire::ListBenchmarksResponse>, Status> {
        answer!(self, request, benchmarks)
    }
}
