//! WatchAlerts: every change of every alert from a cut on, in order, and then live.
//!
//! The stream is the log's own tail, so nothing is missed and nothing comes twice, whoever breaks the connection; a slow watcher slows
//! only its own tail. Facts that had no effect (a repeat, an illegal act) are not shown: the fold is asked about each position.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use futures::stream::{Stream, StreamExt, select_all};
use qipp_access::visible;
use qipp_api::cut::{cut_from_proto, cut_to_proto};
use qipp_api::error::{ApiError, Code};
use qipp_api::proto::alerts::v1 as wire;
use qipp_api::view;
use qipp_domain::alert::{Alert, AlertEventKind, Severity};
use qipp_domain::nation::Nation;
use qipp_domain::{Cut, OrgCode};
use qipp_eventlog::{Record, Topic};
use qipp_projection::{domain_cut, lane_of};
use qipp_serving::{Caller, Deps, log_error, wait_error};
use tonic::Status;

use crate::Alerts;
use crate::list::{Filter, LATEST, shown};

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
        caller.may(
            filter.target(),
            &self.deps.follower.view().reference(&LATEST),
        )?;
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
        let shutdown = self.deps.shutdown.clone();
        let closing = Arc::clone(&watcher);
        let events = select_all(lanes.collect::<Vec<_>>())
            .then(move |batch| {
                let watcher = Arc::clone(&watcher);
                async move {
                    watcher
                        .events(batch.map_err(|error| log_error(&error)))
                        .await
                }
            })
            .flat_map(futures::stream::iter)
            .take_until(shutdown.cancelled_owned())
            .chain(futures::stream::once(async move { Err(closing.closing()) }));
        Ok(Box::pin(events))
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
fn found(nation: &Nation, org: OrgCode, lane: u32, offset: u64) -> Option<(&Alert, usize)> {
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
