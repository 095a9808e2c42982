//! WatchAlerts: every change of every alert from a cut on, in order, and then live.
//!
//! The stream is the log's own tail, so nothing is missed and nothing comes twice, whoever breaks the connection; a slow watcher slows
//! only its own tail. Few events wait for it, and when it takes none for too long, its stream ends and says where to go on. Facts that had no effect (a repeat, an illegal act, what an evaluator
//! wrote after its epoch was over) are not shown: the fold is asked about each position.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::stream::{BoxStream, Stream, StreamExt, poll_fn, select_all};
use qipp_access::visible;
use qipp_api::cut::{cut_from_proto, cut_to_proto};
use qipp_api::cut_text;
use qipp_api::error::{ApiError, Code};
use qipp_api::proto::alerts::v1 as wire;
use qipp_api::view;
use qipp_domain::alert::{Alert, AlertEventKind, Severity};
use qipp_domain::nation::Nation;
use qipp_domain::{Cut, OrgCode};
use qipp_eventlog::{Record, Topic};
use qipp_projection::{domain_cut, lane_of};
use qipp_serving::{Caller, Deps, log_error, wait_error};
use tokio::sync::mpsc;
use tonic::Status;

use crate::Alerts;
use crate::list::{Filter, LATEST, shown};

/// Events that wait for a watcher. Beyond them its tail waits too.
const WAITING: usize = 64;

/// The stream that a watcher gets.
pub(crate) type Events =
    Pin<Box<dyn Stream<Item = Result<wire::WatchAlertsResponse, Status>> + Send>>;

/// One watcher: what it wants, and how far it has come.
#[derive(Debug)]
struct Watcher {
    deps: Deps,
    caller: Caller,
    filter: Option<wire::AlertFilter>,
    /// Everything up to here was shown, or is not for this watcher. One lane at a time advances it.
    shown: Mutex<Cut>,
}

impl Alerts {
    pub(crate) fn watch(
        &self,
        caller: &Caller,
        request: wire::WatchAlertsRequest,
    ) -> Result<Events, ApiError> {
        let from = request
            .from
            .as_ref()
            .map(|cut| cut_from_proto(cut, "from"))
            .transpose()
            .map_err(ApiError::invalid)?;
        let from = from.unwrap_or_default();
        let filter = Filter::parse(request.filter.as_ref())?;
        let current = self.deps.follower.view().reference(&LATEST);
        caller.may(filter.target(), &current)?;
        filter.check(&current)?;
        let partitions = self.deps.log.layout().partitions(Topic::Alerts);
        let lanes = (0..partitions).map(|partition| {
            let next = from.next(lane_of(Topic::Alerts, partition));
            self.deps.log.tail(Topic::Alerts, partition, next)
        });
        // Only the lanes of alerts count: a cut that came with a list names others too.
        let start: Cut = from
            .iter()
            .filter(|(lane, _)| lane >> 16 == u32::from(Topic::Alerts.id()))
            .collect();
        if !domain_cut(&self.deps.log.head()).includes(&start) {
            // A cut of another log, or of one that was restored from before it: going on from there would lose events without a word.
            let what = "the cut lies beyond the head of the log: watch from a cut that this log has given, or from the beginning";
            return Err(ApiError::precondition("CUT_BEYOND_HEAD", what));
        }
        let watcher = Arc::new(Watcher {
            deps: self.deps.clone(),
            caller: caller.clone(),
            filter: request.filter,
            shown: Mutex::new(start),
        });
        let pump = Pump {
            watcher: Arc::clone(&watcher),
            patience: self.patience,
            sent: cut_to_proto(&from),
        };
        let events = select_all(lanes.collect::<Vec<_>>())
            .then(move |batch| {
                let watcher = Arc::clone(&watcher);
                async move {
                    watcher
                        .events(batch.map_err(|error| log_error(&error)))
                        .await
                }
            })
            .flat_map(futures::stream::iter);
        let (sender, mut waiting) = mpsc::channel(WAITING);
        tokio::spawn(pump.run(events.boxed(), sender));
        Ok(Box::pin(poll_fn(move |context| waiting.poll_recv(context))))
    }
}

type Event = Result<wire::WatchAlertsResponse, Status>;

/// Carries events to a watcher, as long as it takes them.
struct Pump {
    watcher: Arc<Watcher>,
    patience: Duration,
    /// Where to go on after what was handed over.
    sent: qipp_api::proto::events::v1::Cut,
}

impl Pump {
    async fn run(mut self, mut events: BoxStream<'static, Event>, sender: mpsc::Sender<Event>) {
        let shutdown = self.watcher.deps.shutdown.clone();
        loop {
            let event = tokio::select! {
                () = shutdown.cancelled() => None,
                () = sender.closed() => return,
                event = events.next() => event,
            };
            let Some(event) = event else {
                return self.end(&sender, self.watcher.closing()).await;
            };
            let room = tokio::select! {
                () = shutdown.cancelled() => return self.end(&sender, self.watcher.closing()).await,
                room = tokio::time::timeout(self.patience, sender.reserve()) => room,
            };
            match room {
                Ok(Ok(room)) => {
                    if let Ok(event) = &event {
                        self.sent = event.cut.clone().unwrap_or_default();
                    }
                    room.send(event);
                }
                // It has gone away.
                Ok(Err(_)) => return,
                Err(_) => return self.end(&sender, self.too_slow()).await,
            }
        }
    }

    /// The last word comes when everything before it was taken.
    async fn end(&self, sender: &mpsc::Sender<Event>, status: Status) {
        let _ = sender.send(Err(status)).await;
    }

    fn too_slow(&self) -> Status {
        let Watcher { deps, caller, .. } = &*self.watcher;
        deps.metrics.refused("watcher_seconds");
        let what = format!(
            "nothing was taken for {} s while events were waiting: connect again and go on from the cut {}, read faster or filter more",
            self.patience.as_secs(),
            cut_text::encode(&self.sent)
        );
        let error = ApiError::exhausted("WATCHER_TOO_SLOW", what);
        caller.status(error.retry_after(Duration::from_secs(1)))
    }
}

impl Watcher {
    /// The events of a batch that are for this watcher.
    async fn events(
        &self,
        batch: Result<Vec<Record>, ApiError>,
    ) -> Vec<Result<wire::WatchAlertsResponse, Status>> {
        let records = match batch {
            Ok(records) => records,
            Err(error) => return vec![Err(self.caller.status(error))],
        };
        let Some(last) = records.last() else {
            return Vec::new();
        };
        let folded = Cut::from_iter([(
            lane_of(Topic::Alerts, last.position.partition),
            last.position.offset + 1,
        )]);
        if let Err(error) = self.deps.follower.wait_for(&folded).await {
            return vec![Err(self.caller.status(wait_error(&error)))];
        }
        let view = self.deps.follower.view();
        records
            .iter()
            .filter_map(|record| self.event(&view, record))
            .map(Ok)
            .collect()
    }

    fn event(&self, nation: &Nation, record: &Record) -> Option<wire::WatchAlertsResponse> {
        let lane = lane_of(Topic::Alerts, record.position.partition);
        let cut = {
            let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
            shown.advance_past(lane, record.position.offset);
            shown.clone()
        };
        let org: OrgCode = std::str::from_utf8(&record.key).ok()?.parse().ok()?;
        let reference = nation.reference(&LATEST);
        let filter = Filter::parse(self.filter.as_ref()).ok()?;
        if !filter.wants_org(org, &reference) || !visible(&self.caller.principal, org, &reference) {
            return None;
        }
        let (alert, index) = found(nation, org, lane, record.position.offset)?;
        let standing = alert.after_events(index + 1)?;
        let wanted = (filter.rule.is_empty() || alert.rule == filter.rule)
            && filter
                .min_severity
                .is_none_or(|least| worst(alert, index) >= Some(least));
        wanted.then(|| wire::WatchAlertsResponse {
            alert: Some(shown(alert, &standing, &reference)),
            event: Some(view::alert_event(&alert.id, &alert.history[index])),
            cut: Some(cut_to_proto(&cut)),
        })
    }

    fn closing(&self) -> Status {
        let what = "the stream has ended: connect again and pass the last cut as `from`";
        self.caller
            .status(ApiError::new(Code::Unavailable, "STREAM_ENDED", what))
    }
}

/// The alert whose history has an entry from that position, and which entry it is. Records of alerts hold one fact each.
pub(crate) fn found(
    nation: &Nation,
    org: OrgCode,
    lane: u32,
    offset: u64,
) -> Option<(&Alert, usize)> {
    nation.alerts(org)?.iter().find_map(|alert| {
        let index = alert
            .history
            .iter()
            .position(|event| event.stamp.lane == lane && event.stamp.offset == offset)?;
        Some((alert, index))
    })
}

/// The worst severity that an alert has had: who was told that it was raised is told that it cleared.
fn worst(alert: &Alert, index: usize) -> Option<Severity> {
    let severities = alert
        .history
        .iter()
        .take(index + 1)
        .filter_map(|event| match &event.kind {
            AlertEventKind::Evaluated(_, finding) => Some(finding.severity),
            AlertEventKind::Acted(_) => None,
        });
    severities.max()
}
