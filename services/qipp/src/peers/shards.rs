//! Peers that hold shards: what is asked of projections is put to them one by one, and added up (`services/projections/src/scatter.rs`). Everything
//! else that they serve, which is back-ups, is passed on to any of them.

use std::sync::Arc;

use qipp_api::proto::projections::v1::projections_service_server::ProjectionsServiceServer;
use qipp_eventlog::Clock;
use qipp_projections::{Config, Replica, Scatter, Shards, scatter};
use tonic::transport::Channel;

use crate::config::{ServeConfig, Service};
use crate::peers::connections::Place;
use crate::peers::{Peer, Peers, Seen};

/// The service that is put together of shards.
pub(super) const ASKED: &str = "qipp.projections.v1.ProjectionsService";

/// A peer that holds a shard.
pub(crate) struct Holder(Arc<Peer>);

impl Replica for Holder {
    type Place = Place;

    fn take(&self) -> (Channel, Place) {
        self.0.connections.take()
    }

    fn rank(&self) -> u8 {
        self.0.seen() as u8
    }

    fn is_away(&self) -> bool {
        self.0.seen() == Seen::Away
    }

    fn lost(&self) {
        self.0.see(Service::Projections, Seen::Away);
    }
}

impl Peers {
    /// Are questions put to shards, and not passed on?
    pub(super) fn asks_shards(&self) -> bool {
        !self.0.shards.is_empty()
    }

    /// The shards of which no process answered when it was last asked, counted from 0.
    pub(crate) fn shards_away(&self) -> Vec<usize> {
        let shards = self.0.shards.iter().enumerate();
        let away = shards.filter(|(_, held)| held.iter().all(|peer| peer.seen() == Seen::Away));
        away.map(|(shard, _)| shard).collect()
    }

    /// The service that asks the shards; nothing where the nation is not split.
    pub(crate) fn scatter(
        &self,
        config: &ServeConfig,
        clock: Arc<dyn Clock>,
    ) -> Option<ProjectionsServiceServer<Scatter<Holder>>> {
        let holders = |held: &Vec<Arc<Peer>>| held.iter().cloned().map(Holder).collect();
        self.asks_shards().then(|| {
            scatter(Shards {
                replicas: self.0.shards.iter().map(holders).collect(),
                returns_partitions: config.returns_partitions,
                clock,
                max_message_bytes: Config::default().max_message_bytes,
            })
        })
    }
}
