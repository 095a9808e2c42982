//! Somebody who watches the alerts, is cut off again and again, and goes on from the last event each time.

use std::sync::Arc;
use std::time::Duration;

use qipp::client::Client;
use qipp_api::proto::alerts::v1::WatchAlertsRequest;
use qipp_api::proto::events::v1::Cut;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::LOOK;
use super::clients::{Address, Clients};
use super::model::Place;

/// Watches the alerts through all kills, and goes on from its last event each time.
pub(crate) struct Watcher {
    task: JoinHandle<()>,
    seen: watch::Receiver<Vec<Place>>,
}

impl Watcher {
    pub(crate) fn start(clients: &Arc<Clients>) -> Self {
        let (sender, seen) = watch::channel(Vec::new());
        let clients = Arc::clone(clients);
        let task = tokio::spawn(async move {
            let mut from: Option<Cut> = None;
            for turn in 0.. {
                let at = clients.up(turn).await;
                let _ = watch_on(&clients, &at, &mut from, &sender).await;
                let mut houses = clients.houses.clone();
                let other = houses.wait_for(|houses| !houses.contains(&at));
                let _ = tokio::time::timeout(Duration::from_millis(20), other).await;
            }
        });
        Self { task, seen }
    }

    /// The places of the events that were seen so far, once there are so many, or when no more come.
    pub(crate) async fn seen(&mut self, count: usize) -> Vec<Place> {
        let enough = self.seen.wait_for(|seen| seen.len() >= count);
        let _ = tokio::time::timeout(LOOK, enough).await;
        self.seen.borrow().clone()
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn watch_on(
    clients: &Clients,
    at: &Address,
    from: &mut Option<Cut>,
    seen: &watch::Sender<Vec<Place>>,
) -> Result<(), String> {
    let client =
        Client::new(&at.url, &clients.keys.national, LOOK).map_err(|f| f.error.to_string())?;
    let request = WatchAlertsRequest {
        from: from.clone(),
        filter: None,
    };
    let events = client.live_alerts().watch_alerts(request).await;
    let mut events = events.map_err(|status| status.to_string())?.into_inner();
    while let Some(event) = events
        .message()
        .await
        .map_err(|status| status.to_string())?
    {
        let position = event.event.unwrap_or_default().position.unwrap_or_default();
        let partition = u16::try_from(position.partition).map_err(|error| error.to_string())?;
        seen.send_modify(|seen| seen.push((partition, position.offset)));
        *from = event.cut;
    }
    Ok(())
}
