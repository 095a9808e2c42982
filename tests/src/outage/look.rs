//! What is looked at when a failure is over: every replica, the log, and a house that was never disturbed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{StreamExt as _, TryStreamExt as _};
use qipp::client::Client;
use qipp_api::proto::events::v1::{Cut, ReadOptions};
use qipp_api::proto::projections::v1::{GetStatusRequest, GetStatusResponse};
use tonic::Status;

use super::image::Image;
use super::services::{FULL, NAMES, Services};
use crate::survive::checks::{self, Digest, Left, Told, Trouble};
use crate::survive::clients::{Clients, may_pass};
use crate::survive::model::{self, Copies, History, Place, Shown, Slot};
use crate::survive::undisturbed::Undisturbed;
use crate::survive::watcher::Watcher;
use crate::survive::{Faults, fault};

/// So long after a failure everything has to be in service again, and every look is over.
const LOOK: Duration = Duration::from_secs(60);
/// A question is asked again after so long when it was not answered.
const AGAIN: Duration = Duration::from_millis(50);
/// So many slots are asked about at the same time.
const AT_ONCE: usize = 16;

/// What one replica has shown so far, by its own answers.
struct Replica {
    name: &'static str,
    client: Client,
    shown: BTreeMap<Slot, Vec<Shown>>,
}

/// Looks after every failure; remembers what each replica has shown.
pub(crate) struct Looker {
    replicas: Vec<Replica>,
    /// The brokers without anything in between, and the names of the topics.
    url: String,
    undisturbed: Undisturbed,
    watcher: Watcher,
}

/// What was seen.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    /// Alert events that are in force, by the log.
    pub(crate) events: u64,
    /// National values and alert events of evaluators whose time was over.
    pub(crate) superseded: u64,
    /// Records of returns that the client of Kafka wrote again.
    pub(crate) copies: u64,
    /// The highest epoch.
    pub(crate) epoch: u64,
}

impl Looker {
    pub(crate) async fn start(
        services: &Services,
        clients: &Arc<Clients>,
        url: String,
    ) -> Result<Self, Faults> {
        let replica = |number: usize| {
            let client = Client::new(&services.url(number), &clients.keys.national, LOOK);
            client
                .map_err(|failure| fault(failure.error))
                .map(|client| Replica {
                    name: NAMES[number],
                    client,
                    shown: BTreeMap::new(),
                })
        };
        Ok(Self {
            replicas: (0..FULL).map(replica).collect::<Result<_, _>>()?,
            url,
            undisturbed: Undisturbed::start(&clients.plan).await,
            watcher: Watcher::start(clients),
        })
    }

    /// Waits until every replica answers with everything that had been acknowledged at the beginning, and somebody has evaluated it.
    pub(crate) async fn recovered(&self, clients: &Clients) -> Result<(), Faults> {
        let cut = clients.notes().cut.clone();
        for replica in &self.replicas {
            let name = format!("process {}", replica.name);
            insist(&name, || status(&replica.client, &cut, false)).await?;
        }
        clients.evaluated().await.map_err(fault)
    }

    /// Looks at all of it, when the steps before `upto` have been sent. At the end every slot is asked about again.
    pub(crate) async fn look(
        &mut self,
        clients: &Clients,
        upto: usize,
        at_the_end: bool,
    ) -> Result<Seen, Faults> {
        let digest = self.agreed(clients).await?;
        let image = Image::read(&self.url).await.map_err(fault)?;
        let left = checks::read_all(&image, std::slice::from_ref(&digest)).await?;
        self.slots(clients, &digest.cut, at_the_end).await?;
        let (history, copies) = (so_far(clients, upto), Copies::WithoutEffect);
        let mut faults = Vec::new();
        for replica in &self.replicas {
            let wrong = model::check_log(&history, &left.returns, &replica.shown, copies);
            faults.extend(wrong.into_iter().map(|w| format!("{}: {w}", replica.name)));
        }
        faults.extend(self.alerts(clients, upto, &left).await?);
        if !faults.is_empty() {
            return Err(faults);
        }
        Ok(Seen {
            events: left.alerts.len() as u64,
            superseded: left.superseded,
            copies: model::surplus(&history, &left.returns).1.len() as u64,
            epoch: left.epoch,
        })
    }

    /// Waits until all replicas have folded the same and all that there is. Their digests have to be equal then.
    async fn agreed(&self, clients: &Clients) -> Result<Digest, Faults> {
        let until = Instant::now() + LOOK;
        let mut cut = clients.notes().cut.clone();
        loop {
            let mut told: Vec<Digest> = Vec::new();
            let mut whole = true;
            for replica in &self.replicas {
                let asked = insist(replica.name, || status(&replica.client, &cut, true)).await?;
                whole &= asked.cut == asked.head;
                cut = asked.cut.clone().unwrap_or_default();
                told.push(Digest {
                    cut: cut.clone(),
                    digest: asked.digest,
                });
            }
            if whole && told.iter().all(|one| one.cut == cut) {
                return match told.pop() {
                    Some(last) if told.iter().all(|one| *one == last) => Ok(last),
                    last => Err(fault(format!(
                        "digests of replicas at the same cut differ: {told:?}, {last:?}"
                    ))),
                };
            }
            if Instant::now() > until {
                return Err(fault(format!(
                    "replicas did not come to the same cut within {LOOK:?}: {told:?}"
                )));
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Asks every replica about every slot of which something was answered since the last look.
    async fn slots(
        &mut self,
        clients: &Clients,
        cut: &Cut,
        at_the_end: bool,
    ) -> Result<(), Faults> {
        let slots: Vec<Slot> = {
            let mut notes = clients.notes();
            let touched = std::mem::take(&mut notes.unchecked);
            if at_the_end {
                let all = notes
                    .history
                    .wanted
                    .iter()
                    .map(|wanted| wanted.slot.clone());
                all.collect::<std::collections::BTreeSet<_>>()
                    .into_iter()
                    .collect()
            } else {
                touched.into_iter().collect()
            }
        };
        for replica in &mut self.replicas {
            let client = &replica.client;
            let asked = slots.iter().map(|slot| async move {
                let shown = checks::revisions(client, slot, Some(cut)).await;
                shown.map(|shown| (slot.clone(), shown))
            });
            let asked = futures::stream::iter(asked.collect::<Vec<_>>());
            let asked = asked
                .buffer_unordered(AT_ONCE)
                .try_collect::<Vec<_>>()
                .await;
            match asked {
                Ok(shown) => replica.shown.extend(shown),
                Err(Trouble::Faults(faults)) => return Err(faults),
                Err(Trouble::Gone) => {
                    return Err(fault(format!(
                        "process {} went away by itself",
                        replica.name
                    )));
                }
            }
        }
        Ok(())
    }

    /// What is wrong with the alerts: of each replica, of the watcher, and beside the undisturbed house.
    async fn alerts(
        &mut self,
        clients: &Clients,
        upto: usize,
        left: &Left,
    ) -> Result<Faults, Faults> {
        let (plan, accepted) = (&clients.plan, model::fold(&left.returns).revisions);
        let evaluated = |step| is_evaluated(plan.calm, step, upto);
        self.undisturbed
            .follow(plan, &accepted, upto, evaluated)
            .await;
        let expected = self.undisturbed.alerts().await?;
        let mut faults = Vec::new();
        for replica in &self.replicas {
            let asked = insist(replica.name, || checks::alerts(&replica.client)).await;
            let (told, places): (Vec<Told>, Vec<Place>) = asked?;
            let wrong = checks::differing(&told, &expected).into_iter();
            faults.extend(wrong.map(|w| format!("{}: {w}", replica.name)));
            if places != left.alerts {
                faults.push(format!(
                    "{}: alerts have events at {places:?}, and the log holds {:?}: an alert was told twice, or lost",
                    replica.name, left.alerts
                ));
            }
        }
        let mut seen = self.watcher.seen(left.alerts.len()).await;
        seen.sort_unstable();
        if seen != left.alerts {
            faults.push(format!(
                "the watcher saw {seen:?}, and there are {:?}",
                left.alerts
            ));
        }
        Ok(faults)
    }

    pub(crate) async fn close(self) {
        self.undisturbed.close().await;
    }
}

/// Have the rules to be evaluated before the next step? Where nothing is near any limit that is waited for only before a look, in the disturbed
/// run and in the undisturbed one.
pub(crate) fn is_evaluated(calm: usize, step: usize, upto: usize) -> bool {
    step >= calm || step + 1 == upto
}

/// The history without what nobody has tried to send yet.
fn so_far(clients: &Clients, upto: usize) -> History {
    let mut history = clients.notes().history.clone();
    let sent = clients.plan.sendings_before(upto);
    history.wanted.truncate(sent);
    history
}

async fn status(client: &Client, cut: &Cut, digest: bool) -> Result<GetStatusResponse, Status> {
    let request = GetStatusRequest {
        read: Some(ReadOptions {
            min_cut: Some(cut.clone()),
            ..ReadOptions::default()
        }),
        digest,
    };
    let answer = client.projections().get_status(request).await?;
    Ok(answer.into_inner())
}

/// Asks until there is an answer. A process that is not in service yet says so, or does not answer at all.
async fn insist<T, F: Future<Output = Result<T, Status>>>(
    who: &str,
    ask: impl Fn() -> F,
) -> Result<T, Faults> {
    let until = Instant::now() + LOOK;
    loop {
        match ask().await {
            Ok(answer) => return Ok(answer),
            Err(status) if may_pass(&status) && Instant::now() < until => {
                tokio::time::sleep(AGAIN).await;
            }
            Err(status) => return Err(fault(format!("{who} did not answer: {status:?}"))),
        }
    }
}
