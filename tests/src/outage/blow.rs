//! Doing what a [`Strike`] says, and undoing it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use qipp_kafka_cluster::Cluster;
use serde_json::json;
use tokio::task::JoinHandle;

use super::services::{FULL, NAMES, SESSION, Services, taken_over};
use super::strikes::{Kind, Strike};
use crate::survive::clients::Clients;
use crate::survive::{Faults, fault};

/// What came of a failure.
#[derive(Debug)]
pub(crate) struct Blow {
    /// Who it hit, in words.
    pub(crate) victim: String,
    /// How long it took until somebody else evaluated, when it hit the one that did.
    pub(crate) take_over: Option<Duration>,
    /// When everything had been undone: from here on the house recovers.
    pub(crate) undone: Instant,
}

/// Does what the strike says, waits for as long as it is to last, and undoes it.
pub(crate) async fn blow(
    strike: &Strike,
    services: &mut Services,
    cluster: &Arc<Cluster>,
    clients: &Arc<Clients>,
) -> Result<Blow, Faults> {
    clients.say(&json!({ "failure": format!("{strike:?}") }));
    let mut hand = Hand {
        strike,
        services,
        cluster,
        clients,
    };
    let (victim, take_over) = match strike.kind {
        Kind::KillService | Kind::StopService | Kind::PauseService | Kind::CutService => {
            hand.process().await?
        }
        Kind::KillBroker => (hand.brokers(&strike.brokers[..1]).await?, None),
        Kind::KillController => {
            let controller = hand.on_cluster(Cluster::controller).await?;
            (hand.brokers(&[controller]).await?, None)
        }
        Kind::KillTwoBrokers => (hand.brokers(&strike.brokers).await?, None),
        Kind::RestartEverything => (hand.everything().await?, None),
    };
    clients.say(&json!({ "undone": victim }));
    Ok(Blow {
        victim,
        take_over,
        undone: Instant::now(),
    })
}

struct Hand<'a> {
    strike: &'a Strike,
    services: &'a mut Services,
    cluster: &'a Arc<Cluster>,
    clients: &'a Arc<Clients>,
}

impl Hand<'_> {
    /// A call that blocks.
    async fn on_cluster<T: Send + 'static>(
        &self,
        call: impl FnOnce(&Cluster) -> Result<T, qipp_kafka_cluster::Error> + Send + 'static,
    ) -> Result<T, Faults> {
        let cluster = Arc::clone(self.cluster);
        let called = tokio::task::spawn_blocking(move || call(&cluster)).await;
        called.map_err(fault)?.map_err(fault)
    }

    async fn process(&mut self) -> Result<(String, Option<Duration>), Faults> {
        let evaluator = self.services.evaluator(&self.clients.keys).await;
        let victim = match evaluator {
            Some(evaluator) if self.strike.evaluator => evaluator,
            _ => self.strike.service,
        };
        let was_evaluating = evaluator == Some(victim);
        let took = match self.strike.kind {
            Kind::KillService | Kind::StopService => self.ended(victim, was_evaluating).await?,
            Kind::PauseService => {
                self.services.pause(victim, true)?;
                let took = self.outlast(victim, was_evaluating).await;
                self.services.pause(victim, false)?;
                took?
            }
            _ => {
                let line = self.cluster.view(victim);
                if self.strike.harsh {
                    line.silence();
                } else {
                    line.cut();
                }
                let took = self.outlast(victim, was_evaluating).await;
                line.mend();
                took?
            }
        };
        let role = if was_evaluating { ", evaluating" } else { "" };
        Ok((format!("process {}{role}", NAMES[victim]), took))
    }

    /// A process ends and is started again.
    async fn ended(
        &mut self,
        victim: usize,
        was_evaluating: bool,
    ) -> Result<Option<Duration>, Faults> {
        if self.strike.kind == Kind::KillService {
            self.services.kill(victim).await?;
        } else {
            self.services.stop(victim).await?;
        }
        // Whoever is first: another one, or itself when it is back.
        let taken = was_evaluating.then(|| self.take_over(0..FULL));
        tokio::time::sleep(self.strike.hold).await;
        self.services.up(&[victim]).await?;
        match taken {
            Some(taken) => taken.await.map_err(fault)?.map(Some),
            None => Ok(None),
        }
    }

    /// Lasts longer than a session; and where the victim evaluated, until somebody else does.
    async fn outlast(
        &self,
        victim: usize,
        was_evaluating: bool,
    ) -> Result<Option<Duration>, Faults> {
        let taken = was_evaluating.then(|| self.take_over((0..FULL).filter(|n| *n != victim)));
        tokio::time::sleep(Duration::from_secs(SESSION) + self.strike.hold).await;
        match taken {
            Some(taken) => taken.await.map_err(fault)?.map(Some),
            None => Ok(None),
        }
    }

    /// Waits, beside whatever else is done, until one of these evaluates.
    fn take_over(
        &self,
        candidates: impl Iterator<Item = usize>,
    ) -> JoinHandle<Result<Duration, Faults>> {
        let urls: Vec<String> = candidates.map(|n| self.services.url(n)).collect();
        let clients = Arc::clone(self.clients);
        tokio::spawn(async move { taken_over(&clients, &urls).await })
    }

    /// These are killed and started again.
    async fn brokers(&self, victims: &[usize]) -> Result<String, Faults> {
        let killed = victims.to_vec();
        self.on_cluster(move |cluster| killed.iter().try_for_each(|node| cluster.kill(*node)))
            .await?;
        tokio::time::sleep(self.strike.hold).await;
        let started = victims.to_vec();
        self.on_cluster(move |cluster| start(cluster, &started))
            .await?;
        let names: Vec<String> = victims.iter().map(usize::to_string).collect();
        Ok(format!("broker {}", names.join(" and ")))
    }

    /// All processes and all brokers.
    async fn everything(&mut self) -> Result<String, Faults> {
        for number in 0..NAMES.len() {
            if self.strike.harsh {
                self.services.kill(number).await?;
            } else {
                self.services.stop(number).await?;
            }
        }
        // Orderly ends of brokers wait for a majority that is going away: they are killed.
        self.brokers(&[0, 1, 2]).await?;
        self.services.up(&[0, 1, 2]).await?;
        let way = if self.strike.harsh { "killed" } else { "ended" };
        Ok(format!("all processes {way}, all brokers killed"))
    }
}

/// Starts brokers at the same time, and waits until all are in service.
fn start(cluster: &Cluster, nodes: &[usize]) -> Result<(), qipp_kafka_cluster::Error> {
    std::thread::scope(|scope| {
        let started = nodes
            .iter()
            .map(|node| scope.spawn(|| cluster.start_node(*node)));
        let started: Vec<_> = started.collect();
        let mut ended = started.into_iter();
        ended.try_for_each(|thread| thread.join().expect("it does not panic"))
    })?;
    cluster.ready()
}
