//! Which services this process serves, and who serves the others.

use std::collections::BTreeSet;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// One of the services that a process may serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Service {
    /// Takes returns and schemes.
    Intake,
    /// Keeps the reference data.
    Registry,
    /// Answers questions, and streams back-ups.
    Projections,
    /// Evaluates the rules, lists and streams alerts, takes the acts of people.
    Alerts,
    /// HTTP and JSON in front of the others.
    Gateway,
}

impl Service {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Intake,
        Self::Registry,
        Self::Projections,
        Self::Alerts,
        Self::Gateway,
    ];

    /// Those that need the log, and that other processes can be peers of.
    pub const OF_LOG: [Self; 4] = [
        Self::Intake,
        Self::Registry,
        Self::Projections,
        Self::Alerts,
    ];

    /// As the command line and the configuration call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Intake => "intake",
            Self::Registry => "registry",
            Self::Projections => "projections",
            Self::Alerts => "alerts",
            Self::Gateway => "gateway",
        }
    }

    /// Its services of the contract, by their full names.
    #[must_use]
    pub fn of_contract(self) -> &'static [&'static str] {
        match self {
            Self::Intake => &["qipp.intake.v1.IntakeService"],
            Self::Registry => &["qipp.registry.v1.RegistryService"],
            Self::Projections => &[
                "qipp.projections.v1.ProjectionsService",
                "qipp.log.v1.LogService",
            ],
            Self::Alerts => &["qipp.alerts.v1.AlertsService"],
            Self::Gateway => &[],
        }
    }
}

/// Who serves what this process does not: base addresses, `http://HOST:PORT`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "default.toml is the documentation")]
pub struct Peers {
    #[serde(deserialize_with = "super::listed::deserialize")]
    pub intake: Vec<String>,
    #[serde(deserialize_with = "super::listed::deserialize")]
    pub registry: Vec<String>,
    #[serde(deserialize_with = "super::listed::deserialize")]
    pub projections: Vec<String>,
    #[serde(deserialize_with = "super::listed::deserialize")]
    pub alerts: Vec<String>,
    pub shards: Vec<Vec<String>>,
}

impl Peers {
    /// The peers of a service.
    #[must_use]
    pub fn of(&self, service: Service) -> &[String] {
        match service {
            Service::Intake => &self.intake,
            Service::Registry => &self.registry,
            Service::Projections => &self.projections,
            Service::Alerts => &self.alerts,
            Service::Gateway => &[],
        }
    }

    /// Everybody who is named for a service, also for a shard of it.
    #[must_use]
    pub fn all_of(&self, service: Service) -> Vec<&String> {
        let of_shards = self.shards.iter().flatten();
        let of_shards = of_shards.filter(|_| service == Service::Projections);
        self.of(service).iter().chain(of_shards).collect()
    }

    /// The form only. The addresses themselves are not repeated: there may be a password in one.
    pub(super) fn wrong(&self, wrong: &mut Vec<String>) {
        for service in Service::OF_LOG {
            let faults = self.of(service).iter().enumerate();
            wrong.extend(faults.filter_map(|(index, peer)| {
                let what = super::fault_of_address(peer)?;
                Some(format!(
                    "serve.peers.{}[{index}] {what}: use http://HOST:PORT of a process that serves it, for example http://10.0.0.7:8080",
                    service.name()
                ))
            }));
        }
        self.wrong_shards(wrong);
    }

    fn wrong_shards(&self, wrong: &mut Vec<String>) {
        if self.shards.len() == 1 {
            wrong.push("serve.peers.shards names one shard, and that is the whole nation: name its processes in serve.peers.projections".to_owned());
        }
        if !self.shards.is_empty() && !self.projections.is_empty() {
            wrong.push("serve.peers.shards and serve.peers.projections are both given: name those that hold a shard in the one, or those that hold the whole nation in the other".to_owned());
        }
        let mut seen = BTreeSet::new();
        for (shard, replicas) in self.shards.iter().enumerate() {
            if replicas.is_empty() {
                wrong.push(format!(
                    "serve.peers.shards[{shard}] is empty: name at least one process that holds shard {shard}"
                ));
            }
            for (index, peer) in replicas.iter().enumerate() {
                let what = super::fault_of_address(peer);
                let what = what.or((!seen.insert(peer)).then_some("is named twice"));
                wrong.extend(what.map(|what| format!(
                    "serve.peers.shards[{shard}][{index}] {what}: use http://HOST:PORT of a process with serve.shard = \"{shard}/{}\"",
                    self.shards.len()
                )));
            }
        }
    }
}
