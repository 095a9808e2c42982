//! What is looked at in a house that came back, and in what it leaves behind.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use prost::Message as _;
use qipp::client::Client;
use qipp_api::proto::alerts::v1::{GetAlertRequest, ListAlertsRequest};
use qipp_api::proto::events::v1::alert_fact;
use qipp_api::proto::events::v1::envelope::Body;
use qipp_api::proto::events::v1::return_fact::Fact;
use qipp_api::proto::events::v1::{Cut, Dataset, Envelope, Finding, ReadOptions, Transition};
use qipp_api::proto::projections::v1::{GetStatusRequest, ListRevisionsRequest};
use qipp_eventlog::{EmbeddedConfig, EmbeddedLog, EventLog, Record, Topic};
use qipp_projection::{digest_of, fold_to};
use tonic::Status;

use super::clients::Clients;
use super::model::{Place, Shown, Slot, Stored, Wanted, check_shown};
use super::plan::slot_of;

/// The state of a house at a cut, in one word.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Digest {
    pub(crate) cut: Cut,
    pub(crate) digest: String,
}

/// Why a look was not finished.
pub(crate) enum Trouble {
    /// The house went away.
    Gone,
    /// Something that must not be.
    Faults(Vec<String>),
}

impl From<Status> for Trouble {
    fn from(status: Status) -> Self {
        use tonic::Code::{Cancelled, Internal, Unavailable, Unknown};
        match status.code() {
            Unavailable | Cancelled => Self::Gone,
            Unknown | Internal if status.details().is_empty() => Self::Gone,
            _ => Self::Faults(vec![format!("a question was refused: {status:?}")]),
        }
    }
}

/// Looks at everything that was answered since the last look, as the house shows it now, and takes its digest if nothing happens in
/// between. What could not be looked at is looked at the next time.
pub(crate) async fn look(clients: &Clients, client: &Client) -> Result<Option<Digest>, Trouble> {
    let (slots, cut, asked) = {
        let mut notes = clients.notes();
        let slots = std::mem::take(&mut notes.unchecked);
        (slots, notes.cut.clone(), clients.tick())
    };
    for slot in &slots {
        let looked = revisions(client, slot, Some(&cut)).await;
        let told = looked.and_then(|shown| {
            let faults = check_shown(&clients.notes().history, slot, &shown, asked);
            if faults.is_empty() {
                Ok(())
            } else {
                Err(Trouble::Faults(faults))
            }
        });
        if let Err(trouble) = told {
            clients.notes().unchecked.extend(slots);
            return Err(trouble);
        }
    }
    digest(client, &cut).await
}

async fn digest(client: &Client, cut: &Cut) -> Result<Option<Digest>, Trouble> {
    let status = async |digest: bool| {
        let request = GetStatusRequest {
            read: read(Some(cut)),
            digest,
        };
        client.projections().get_status(request).await
    };
    let first = status(true).await?.into_inner();
    let second = status(false).await?.into_inner();
    Ok((first.cut == second.cut).then(|| Digest {
        cut: first.cut.unwrap_or_default(),
        digest: first.digest,
    }))
}

fn read(cut: Option<&Cut>) -> Option<ReadOptions> {
    Some(ReadOptions {
        min_cut: cut.cloned(),
        ..ReadOptions::default()
    })
}

/// The revisions of a slot as the house shows them.
pub(crate) async fn revisions(
    client: &Client,
    slot: &Slot,
    cut: Option<&Cut>,
) -> Result<Vec<Shown>, Trouble> {
    let dataset = match slot.dataset {
        "savings" => Dataset::Savings,
        _ => Dataset::Quality,
    };
    let request = ListRevisionsRequest {
        read: read(cut),
        org_code: slot.org.clone(),
        dataset: dataset.into(),
        period: slot.period.clone(),
    };
    let answer = client
        .projections()
        .list_revisions(request)
        .await?
        .into_inner();
    let shown = answer.revisions.into_iter().map(|revision| {
        let position = revision.position.unwrap_or_default();
        Shown {
            number: revision.revision,
            place: (
                u16::try_from(position.partition).unwrap_or(u16::MAX),
                position.offset,
            ),
            token: revision.r#return.unwrap_or_default().narrative,
        }
    });
    Ok(shown.collect())
}

/// An alert with everything that happened to it, without what has to differ between two runs of the same returns: positions, times and
/// cuts, and the day that counted as today with the days of lateness that follow from it. Everything else has to be equal: which alerts
/// there are, by their ids; what happened to each, in what order; and every finding, with figures, baselines, limits and wording.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Told {
    pub(crate) id: String,
    pub(crate) state: String,
    pub(crate) events: Vec<(Transition, Finding)>,
}

/// Every alert that the house shows, and where each of their events stands.
pub(crate) async fn alerts(client: &Client) -> Result<(Vec<Told>, Vec<Place>), Status> {
    let mut told = Vec::new();
    let mut places = Vec::new();
    let mut request = ListAlertsRequest::default();
    loop {
        let page = client
            .alerts()
            .list_alerts(request.clone())
            .await?
            .into_inner();
        for listed in page.alerts {
            let request = GetAlertRequest {
                read: None,
                alert_id: listed.alert_id,
            };
            let got = client.alerts().get_alert(request).await?.into_inner();
            let alert = got.alert.unwrap_or_default();
            let mut events = Vec::new();
            for event in got.history {
                use qipp_api::proto::alerts::v1::alert_event::Event;
                let position = event.position.unwrap_or_default();
                places.push((
                    u16::try_from(position.partition).unwrap_or(u16::MAX),
                    position.offset,
                ));
                if let Some(Event::Evaluated(evaluated)) = event.event {
                    let transition = evaluated.transition();
                    events.push((
                        transition,
                        comparable(evaluated.finding.unwrap_or_default()),
                    ));
                }
            }
            told.push(Told {
                state: format!(
                    "{:?} {:?} since {}",
                    alert.condition(),
                    alert.stage(),
                    alert.raised_period
                ),
                id: alert.alert_id,
                events,
            });
        }
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            told.sort_by(|a, b| a.id.cmp(&b.id));
            places.sort_unstable();
            return Ok((told, places));
        }
    }
}

/// The finding without what depends on the moment at which it was made. A return of a step is held against the national values that are
/// published by then, and those may have taken in the others of its step or not: a restart in between changes that. What each finding says
/// at the cut that it cites is checked by `qipp verify`.
fn comparable(mut finding: Finding) -> Finding {
    if let Some(evidence) = &mut finding.evidence {
        evidence.cut = None;
        evidence.as_of.clear();
        for point in evidence.markers.iter_mut().flat_map(|m| &mut m.points) {
            point.national_numerator = 0.0;
            point.national_denominator = None;
            point.residual = 0.0;
            point.adverse_z = 0.0;
        }
        for late in &mut evidence.late_returns {
            late.working_days_late = 0;
        }
    }
    if finding.rule_id == "R90" {
        // Its wording counts the days.
        finding.summary.clear();
        finding.question.clear();
    }
    finding
}

/// What differs between the alerts of two runs.
pub(crate) fn differing(disturbed: &[Told], undisturbed: &[Told]) -> Vec<String> {
    let by_id = |told: &[Told]| {
        told.iter()
            .map(|t| (t.id.clone(), t.clone()))
            .collect::<BTreeMap<_, _>>()
    };
    let (one, other) = (by_id(disturbed), by_id(undisturbed));
    let mut faults = Vec::new();
    for (id, told) in &one {
        match other.get(id) {
            None => faults.push(format!(
                "alert {id} is there, and not in the undisturbed run: {told:?}"
            )),
            Some(same) if same == told => {}
            Some(differs) => faults.push(format!(
                "alert {id} is {told:?}, and undisturbed {differs:?}"
            )),
        }
    }
    let missing = other.keys().filter(|id| !one.contains_key(*id));
    faults.extend(missing.map(|id| format!("alert {id} is missing")));
    faults
}

/// What a log holds.
#[derive(Debug, Default)]
pub(crate) struct Left {
    pub(crate) returns: Vec<Stored>,
    /// Where the alert facts stand that are in force.
    pub(crate) alerts: Vec<Place>,
    /// National values and alert facts of evaluators whose time was over.
    pub(crate) superseded: u64,
    /// The highest epoch that was begun; 0 when there is one evaluator.
    pub(crate) epoch: u64,
}

/// Whose alert facts count in a partition, by the contract's words: behind the beginning of an epoch, those of a lower one do not.
#[derive(Default)]
struct Reign {
    epoch: u64,
}

impl Reign {
    fn is_over(&mut self, envelope: &Envelope) -> bool {
        if let Some(Body::EpochBegun(begun)) = &envelope.body {
            self.epoch = self.epoch.max(begun.epoch);
        }
        let begins = matches!(envelope.body, Some(Body::EpochBegun(_)));
        !begins && envelope.writer_epoch != 0 && envelope.writer_epoch < self.epoch
    }
}

/// Opens the log that the house left, which verifies all of it; reads it; and folds it afresh to each cut of which a digest was told.
pub(crate) async fn left(data: &Path, digests: &[Digest]) -> Result<Left, Vec<String>> {
    let path = data.join("log");
    let opened =
        tokio::task::spawn_blocking(move || EmbeddedLog::open(path, EmbeddedConfig::default()))
            .await;
    let log = opened
        .map_err(|error| vec![error.to_string()])?
        .map_err(|error| vec![format!("the log does not open: {error}")])?;
    let log: Arc<dyn EventLog> = Arc::new(log);
    let read = read_all(&*log, digests).await;
    log.close().await;
    read
}

/// Reads a log, and folds it afresh to each cut of which a digest was told.
pub(crate) async fn read_all(log: &dyn EventLog, digests: &[Digest]) -> Result<Left, Vec<String>> {
    let mut faults = Vec::new();
    for told in digests {
        let cut =
            qipp_api::cut::cut_from_proto(&told.cut, "cut").map_err(|e| vec![format!("{e:?}")])?;
        match fold_to(log, qipp::serve::decode, &cut).await {
            Ok((nation, _)) => {
                let fresh = digest_of(&nation);
                if fresh != told.digest {
                    faults.push(format!(
                        "at {cut:?} the digest was {}, and a fresh fold gives {fresh}",
                        told.digest
                    ));
                }
            }
            Err(error) => faults.push(format!("no fold to {cut:?}: {error}")),
        }
    }
    let mut left = Left::default();
    for (topic, partition) in log.layout().all() {
        let mut reign = Reign::default();
        let mut from = 0;
        loop {
            let page = log.read(topic, partition, from, 1000).await;
            let page = page.map_err(|error| vec![error.to_string()])?;
            let Some(last) = page.last() else { break };
            from = last.position.offset + 1;
            for record in &page {
                match topic {
                    Topic::Returns => left.returns.extend(stored(record)),
                    Topic::Alerts | Topic::Benchmarks => left.take(record, &mut reign),
                    Topic::Reference => {}
                }
            }
        }
    }
    if faults.is_empty() {
        Ok(left)
    } else {
        Err(faults)
    }
}

impl Left {
    /// A record of a topic that the evaluator writes to.
    fn take(&mut self, record: &Record, reign: &mut Reign) {
        let Ok(envelope) = Envelope::decode(record.payload.clone()) else {
            return;
        };
        let is_over = reign.is_over(&envelope);
        self.epoch = self.epoch.max(reign.epoch);
        if is_over {
            self.superseded += 1;
        } else if is_evaluation(&envelope) {
            let place = (record.position.partition, record.position.offset);
            self.alerts.push(place);
        }
    }
}

fn body(record: &Record) -> Option<Body> {
    Envelope::decode(record.payload.clone()).ok()?.body
}

fn is_evaluation(envelope: &Envelope) -> bool {
    let Some(Body::Alerts(alerts)) = &envelope.body else {
        return false;
    };
    let evaluated = |fact: &alert_fact::Fact| matches!(fact, alert_fact::Fact::Evaluated(_));
    alerts
        .facts
        .iter()
        .any(|fact| fact.fact.as_ref().is_some_and(evaluated))
}

fn unpacked(record: &Record) -> Option<qipp_api::proto::events::v1::Return> {
    let (_, facts) = qipp_api::facts::decode(&record.key, record.payload.clone()).ok()?;
    let qipp_domain::nation::Facts::Returns(facts) = facts else {
        return None;
    };
    facts.into_iter().find_map(|fact| match fact {
        qipp_domain::nation::ReturnFact::Return(ret) => Some(qipp_api::view::return_to_proto(
            ret.org,
            ret.period,
            &ret.content,
            &ret.precondition,
        )),
        qipp_domain::nation::ReturnFact::Scheme { .. } => None,
    })
}

/// A return of the log; nothing for a scheme.
fn stored(record: &Record) -> Option<Stored> {
    let Some(Body::Returns(returns)) = body(record) else {
        return None;
    };
    let received = returns.facts.into_iter().find_map(|fact| match fact.fact {
        Some(Fact::ReturnReceived(received)) => received.r#return,
        // Quality returns are stored packed.
        Some(Fact::PackedReturnReceived(_)) => unpacked(record),
        _ => None,
    })?;
    Some(Stored {
        place: (record.position.partition, record.position.offset),
        time_ms: record.time_ms,
        wanted: Wanted {
            slot: slot_of(&received),
            token: received.narrative,
            key: received.idempotency_key,
            expected: received.expected_revision,
            dry_run: false,
        },
    })
}

#[cfg(test)]
mod tests {
    use qipp_api::proto::events::v1::{AlertFacts, EpochBegun};

    use super::*;

    fn envelope(epoch: u64, body: Body) -> Envelope {
        Envelope {
            writer_epoch: epoch,
            body: Some(body),
            ..Envelope::default()
        }
    }

    #[test]
    fn behind_the_beginning_of_an_epoch_a_lower_one_is_over_and_people_never_are() {
        let begun = |epoch| {
            let holder = "somebody".to_owned();
            envelope(epoch, Body::EpochBegun(EpochBegun { epoch, holder }))
        };
        let told = |epoch| envelope(epoch, Body::Alerts(AlertFacts::default()));
        let mut reign = Reign::default();
        let records = [
            (told(1), false),
            (begun(1), false),
            (told(1), false),
            (begun(3), false),
            (told(1), true),
            (begun(2), false),
            (told(2), true),
            (told(3), false),
            (told(0), false),
        ];
        for (number, (record, expected)) in records.iter().enumerate() {
            assert_eq!(reign.is_over(record), *expected, "record {number}");
        }
    }
}
